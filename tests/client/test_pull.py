"""Events without callbacks: events(), expect(), wait_for() and wait()."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
import weakref
from typing import Any, Callable, Iterator, List

import pytest

from onetrade_ws import (
    ClientEventType,
    ConnectionLostError,
    ConnectionState,
    ConnectTimeoutError,
    Event,
    EventMessageType,
    NotConnectedError,
    OneTradeClient,
    SessionLoggedOutError,
    SlowConsumerError,
    WaitTimeoutError,
)
from onetrade_ws.simulator import Simulator
from tests.client.background import Background
from tests.client.conftest import MakeClient
from tests.client.conversation import TIMEOUT, catch_up, connect

INFO, ERROR, PONG = EventMessageType.INFO, EventMessageType.ERROR, EventMessageType.PONG


def messages(events: Iterator[Event]) -> List[str]:
    return [event.data.message for event in events]


@pytest.fixture(params=["thread", "manual"])
def either_client(
    request: pytest.FixtureRequest, make_client: MakeClient, simulator: Simulator
) -> OneTradeClient:
    """A connected client, of either way to dispatch."""
    client = make_client(dispatch=request.param)
    connect(client, simulator)
    return client


@pytest.fixture
def stuck_client(client: OneTradeClient, simulator: Simulator) -> Iterator[OneTradeClient]:
    """A client with a callback that does not return before the end of the test."""
    entered, release = threading.Event(), threading.Event()

    def stick(event: Event) -> None:
        entered.set()
        release.wait(3 * TIMEOUT)

    client.subscribe("stick", stick)
    simulator.emit("stick")
    assert entered.wait(TIMEOUT)
    yield client
    release.set()


@pytest.fixture
def switching_often() -> Iterator[None]:
    """Threads take turns after each step or so."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


# -- events() -----------------------------------------------------------------------------------------------


def test_events_are_read_as_they_came(either_client: OneTradeClient, simulator: Simulator) -> None:
    events = either_client.events(INFO, timeout=TIMEOUT)
    for number in range(100):
        simulator.info(str(number))
        simulator.error("not asked for")
    assert messages(next(events) for _ in range(100)) == [str(number) for number in range(100)]


def test_an_iterator_is_its_own_iterator(client: OneTradeClient) -> None:
    events = client.events()
    assert iter(events) is events


def test_events_of_several_types_are_read_in_their_order(
    either_client: OneTradeClient, simulator: Simulator
) -> None:
    events = either_client.events(INFO, "error", "brand_new", INFO, timeout=TIMEOUT)
    simulator.error("1")
    simulator.emit_binary(b"1,1.1,1.2")
    simulator.info("2")
    simulator.emit("brand_new", "3")
    simulator.info("4")
    assert [next(events).type for _ in range(4)] == [ERROR, INFO, "brand_new", INFO]


@pytest.mark.parametrize("types", [(), (None,), (INFO, None)], ids=repr)
def test_without_types_everything_is_read_once(
    either_client: OneTradeClient, simulator: Simulator, types: Any
) -> None:
    events = either_client.events(*types, timeout=TIMEOUT)
    simulator.info("1")
    simulator.emit_text("garbage")
    simulator.emit("brand_new")
    assert [next(events).type for _ in range(3)] == [INFO, ClientEventType.DECODE_ERROR, "brand_new"]


def test_an_iterator_receives_from_its_making_on(either_client: OneTradeClient, simulator: Simulator) -> None:
    simulator.info("before")
    catch_up(either_client, simulator)
    events = either_client.events(INFO, timeout=TIMEOUT)
    simulator.info("after")
    assert messages(next(events) for _ in range(1)) == ["after"]


def test_an_iterator_ends_when_nothing_comes_within_its_timeout(
    either_client: OneTradeClient, simulator: Simulator
) -> None:
    events = either_client.events(INFO, timeout=0.01)
    assert list(events) == []
    simulator.info("waits unread")
    catch_up(either_client, simulator)
    assert messages(events) == ["waits unread"]


def test_several_iterators_each_read_everything(either_client: OneTradeClient, simulator: Simulator) -> None:
    first = either_client.events(INFO, timeout=TIMEOUT)
    second = either_client.events(INFO, timeout=TIMEOUT)
    both = either_client.events(INFO, ERROR, timeout=TIMEOUT)
    simulator.info("1")
    simulator.error("2")
    simulator.info("3")
    assert messages(next(first) for _ in range(2)) == ["1", "3"]
    assert messages(next(both) for _ in range(3)) == ["1", "2", "3"]
    assert messages(next(second) for _ in range(2)) == ["1", "3"]


def test_several_threads_can_read_each_its_own_iterator(client: OneTradeClient, simulator: Simulator) -> None:
    iterators = [client.events(INFO, timeout=TIMEOUT) for _ in range(3)]
    reading = [
        Background(lambda events=events: messages(next(events) for _ in range(50)))  # type: ignore[misc]
        for events in iterators
    ]
    for number in range(50):
        simulator.info(str(number))
    for each in reading:
        assert each.result() == [str(number) for number in range(50)]


def test_several_threads_can_share_an_iterator(
    client: OneTradeClient, simulator: Simulator, switching_often: None
) -> None:
    shared, ended = client.events(INFO, ERROR), threading.Semaphore(0)
    last = client.events(ERROR, timeout=TIMEOUT)

    def read() -> List[str]:
        read = messages(shared)
        ended.release()
        return read

    readers = [Background(read) for _ in range(4)]
    for number in range(600):
        simulator.info(str(number))
        simulator.error(str(number))
        # One at a time: all of them wait for each.
        next(last)
    assert not ended.acquire(blocking=False), "a reader has ended while there was more to come"
    client.disconnect()
    found = sorted(message for reader in readers for message in reader.result())
    assert found == sorted(2 * [str(number) for number in range(600)])


def test_an_iterator_made_before_connect_reads_from_the_first_event_on(
    make_client: MakeClient, simulator: Simulator
) -> None:
    client = make_client()
    with client.events(ClientEventType.STATE_CHANGED, timeout=TIMEOUT) as changes:
        client.connect()
        assert [next(changes).data.new for _ in range(2)] == [
            ConnectionState.CONNECTING,
            ConnectionState.OPEN,
        ]


def test_iterators_end_after_disconnect_behind_the_events_that_came(
    either_client: OneTradeClient, simulator: Simulator
) -> None:
    events = either_client.events(INFO)
    for number in range(20):
        simulator.info(str(number))
    either_client.disconnect()
    assert messages(events) == [str(number) for number in range(20)]
    assert list(events) == []
    assert list(either_client.events()) == []


def test_an_iterator_that_ended_goes_on_with_the_next_connect(
    either_client: OneTradeClient, simulator: Simulator
) -> None:
    events = either_client.events(INFO)
    either_client.disconnect()
    assert list(events) == []
    connect(either_client, simulator)
    simulator.info("hello again")
    assert next(events).data.message == "hello again"


def test_iterators_raise_why_the_client_ended_behind_the_events_that_came(
    either_client: OneTradeClient, simulator: Simulator
) -> None:
    events = either_client.events(INFO)
    simulator.info("before")
    simulator.log_out()
    assert next(events).data.message == "before"
    for _ in range(2):
        with pytest.raises(SessionLoggedOutError):
            next(events)
    with pytest.raises(SessionLoggedOutError):
        list(either_client.events())
    with pytest.raises(SessionLoggedOutError):
        either_client.wait_for(INFO)


def test_iterators_raise_a_loss_that_is_not_mended(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(reconnect=None)
    connect(client, simulator)
    events = client.events(INFO)
    simulator.drop()
    with pytest.raises(ConnectionLostError):
        next(events)


def test_iterators_go_on_after_a_loss_that_is_mended(
    either_client: OneTradeClient, simulator: Simulator
) -> None:
    events = either_client.events(INFO, ClientEventType.GAP, timeout=TIMEOUT)
    simulator.info("before")
    assert next(events).data.message == "before"
    simulator.drop()
    assert next(events).type is ClientEventType.GAP
    simulator.info("after")
    assert next(events).data.message == "after"


def test_disconnect_wakes_who_reads(client: OneTradeClient, simulator: Simulator) -> None:
    events = client.events(INFO)
    first = threading.Event()

    def read() -> List[str]:
        received = []
        for event in events:
            received.append(event.data.message)
            first.set()
        return received

    reading = Background(read)
    simulator.info("hello")
    assert first.wait(TIMEOUT)
    client.disconnect()
    assert reading.result() == ["hello"]


def test_an_iterator_can_be_closed(either_client: OneTradeClient, simulator: Simulator) -> None:
    with either_client.events(INFO, timeout=0.01) as events:
        simulator.info("inside")
        catch_up(either_client, simulator)
        assert next(events).data.message == "inside"
    simulator.info("outside")
    catch_up(either_client, simulator)
    assert list(events) == []
    events.close()


def test_a_closed_iterator_does_not_wait_for_what_will_not_come(
    client: OneTradeClient, simulator: Simulator
) -> None:
    events = client.events(INFO)
    events.close()
    assert Background(lambda: list(events)).result() == []


def test_closing_an_iterator_wakes_who_reads_it(client: OneTradeClient, simulator: Simulator) -> None:
    events = client.events(INFO)
    first = threading.Event()

    def read() -> int:
        count = 0
        for _ in events:
            count += 1
            first.set()
        return count

    reading = Background(read)
    simulator.info("hello")
    assert first.wait(TIMEOUT)
    events.close()
    assert reading.result() == 1


class Witness:
    """Sees events without keeping them: says whether somebody else does."""

    def __init__(self, client: OneTradeClient, simulator: Simulator) -> None:
        self._client = client
        self._simulator = simulator

    def somebody_keeps_events(self) -> bool:
        seen: List[weakref.ref[Event]] = []
        with self._client.subscribe(INFO, lambda event: seen.append(weakref.ref(event))):
            self._simulator.info("does somebody keep this?")
            catch_up(self._client, self._simulator)
        gc.collect()
        return any(event() is not None for event in seen)


def test_an_iterator_that_nobody_reads_keeps_events(client: OneTradeClient, simulator: Simulator) -> None:
    with client.events(INFO):
        assert Witness(client, simulator).somebody_keeps_events()
    assert not Witness(client, simulator).somebody_keeps_events()


def test_an_iterator_that_is_let_go_of_receives_no_more(
    either_client: OneTradeClient, simulator: Simulator
) -> None:
    def first_of(events: Iterator[Event]) -> str:
        simulator.info("hello")
        simulator.info("hello")
        for event in events:
            return str(event.data.message)
        return "nothing"

    assert first_of(either_client.events(INFO, timeout=TIMEOUT)) == "hello"
    catch_up(either_client, simulator)
    assert not Witness(either_client, simulator).somebody_keeps_events()


def test_an_expectation_that_is_let_go_of_receives_no_more(
    either_client: OneTradeClient, simulator: Simulator
) -> None:
    expected = either_client.expect(INFO)
    del expected
    assert not Witness(either_client, simulator).somebody_keeps_events()


def test_a_wait_that_is_over_receives_no_more(either_client: OneTradeClient, simulator: Simulator) -> None:
    with pytest.raises(WaitTimeoutError):
        either_client.wait_for(INFO, timeout=0)
    with pytest.raises(ZeroDivisionError), either_client.expect(INFO):
        raise ZeroDivisionError
    with either_client.expect(INFO, timeout=TIMEOUT) as expected:
        simulator.info("hello")
    assert not Witness(either_client, simulator).somebody_keeps_events()
    assert expected.event.data.message == "hello"


def test_an_iterator_that_could_not_be_made_keeps_nothing(
    either_client: OneTradeClient, simulator: Simulator
) -> None:
    wrong: Any = 7
    with pytest.raises(TypeError):
        either_client.events(INFO, wrong)
    assert not Witness(either_client, simulator).somebody_keeps_events()


def test_letting_go_of_an_iterator_gives_back_what_it_held(
    either_client: OneTradeClient, simulator: Simulator
) -> None:
    seen: List[weakref.ref[Event]] = []
    either_client.subscribe(INFO, lambda event: seen.append(weakref.ref(event)))
    events = either_client.events(INFO)
    simulator.info("hello")
    catch_up(either_client, simulator)
    gc.collect()
    (event,) = seen
    assert event() is not None
    del events
    gc.collect()
    assert event() is None


def objects_of_the_library() -> int:
    gc.collect()
    return sum(str(type(each).__module__).startswith("onetrade_ws") for each in gc.get_objects())


def test_forgotten_iterators_do_not_pile_up(either_client: OneTradeClient, simulator: Simulator) -> None:
    before = objects_of_the_library()
    for _ in range(200):
        assert list(either_client.events(ClientEventType.GAP, timeout=0)) == []
    # One more lets go of those before it, at the latest.
    either_client.events(ClientEventType.GAP).close()
    assert objects_of_the_library() < before + 100


def test_iterators_may_be_collected_at_any_moment(client: OneTradeClient, simulator: Simulator) -> None:
    def forget(event: Event) -> None:
        # Only the garbage collector finds it.
        circle: List[Any] = [client.events(INFO)]
        circle.append(circle)

    def subscribe_and_forget() -> None:
        for _ in range(300):
            forget(Event(INFO))
            client.subscribe(INFO, forget)
            client.unsubscribe(INFO, forget)

    thresholds = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        working = [Background(subscribe_and_forget) for _ in range(2)]
        for number in range(100):
            simulator.info(str(number))
        for each in working:
            each.result()
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    assert not Witness(client, simulator).somebody_keeps_events()


# -- an iterator that is not read ---------------------------------------------------------------------------


def test_of_unread_quotes_and_profits_the_newest_are_kept(
    make_client: MakeClient, simulator: Simulator
) -> None:
    client = make_client(events_limit=20)
    connect(client, simulator)
    events = client.events(EventMessageType.MARKET_FEED, EventMessageType.PROFIT_UPDATE, PONG)
    for number in range(1, 501):
        for key in (1, 2, 3):
            simulator.emit_binary(f"{key},{number},{number}".encode())
            simulator.emit_binary(f"s,{key},{number},{number}".encode())
    last = catch_up(client, simulator)

    read = []
    while last not in read:
        read.append(next(events))
    assert len(read) <= 20
    quotes = [event.data for event in read if event.type is EventMessageType.MARKET_FEED]
    profits = [event.data for event in read if event.type is EventMessageType.PROFIT_UPDATE]
    assert {quote.symbol_id: quote.bid for quote in quotes} == {1: 500.0, 2: 500.0, 3: 500.0}
    assert {profit.position_id: profit.profit for profit in profits} == {1: 500.0, 2: 500.0, 3: 500.0}
    assert [quote.bid for quote in quotes] == sorted(quote.bid for quote in quotes)
    stats = client.stats()
    assert stats.events[EventMessageType.MARKET_FEED] == 1500
    # Each one was delivered, read or merged.
    assert stats.merged_events == 3000 + 1 - len(read)


def test_what_is_merged_is_merged_into_the_newest(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(events_limit=20)
    connect(client, simulator)
    events = client.events(INFO, EventMessageType.MARKET_FEED)
    for bid in range(1, 16):
        simulator.emit_binary(f"1,{bid},{bid}".encode())
    for number in range(6):
        simulator.info(str(number))
    catch_up(client, simulator)
    assert next(events).data.bid == 15.0
    assert messages(next(events) for _ in range(6)) == [str(number) for number in range(6)]
    assert client.stats().merged_events == 14


def test_json_events_among_unread_quotes_are_all_kept_in_order(
    make_client: MakeClient, simulator: Simulator
) -> None:
    client = make_client(events_limit=20)
    connect(client, simulator)
    events = client.events(INFO, EventMessageType.MARKET_FEED, PONG)
    for number in range(10):
        simulator.info(str(number))
        for _ in range(50):
            simulator.emit_binary(b"1,1.1,1.2")
    last = catch_up(client, simulator)

    read = []
    while last not in read:
        read.append(next(events))
    assert messages(event for event in read if event.type is INFO) == [str(number) for number in range(10)]
    assert any(event.type is EventMessageType.MARKET_FEED for event in read)
    assert client.stats().merged_events == 500 + 10 + 1 - len(read)


@pytest.mark.parametrize("quotes", [0, 3], ids=["JSON alone", "quotes among it"])
def test_json_events_are_never_dropped_silently(
    make_client: MakeClient, simulator: Simulator, quotes: int
) -> None:
    client = make_client(events_limit=10)
    connect(client, simulator)
    watched: List[Event] = []
    client.subscribe(INFO, watched.append)
    events = client.events(INFO, EventMessageType.MARKET_FEED)
    for number in range(50):
        simulator.info(str(number))
        for _ in range(quotes):
            simulator.emit_binary(b"1,1.1,1.2")
    catch_up(client, simulator)

    read: List[str] = []

    def read_on() -> None:
        for event in events:
            if event.type is INFO:
                read.append(event.data.message)

    for _ in range(2):
        with pytest.raises(SlowConsumerError) as slow:
            read_on()
    assert slow.value.limit == 10
    assert "10 events waited unread" in str(slow.value)
    assert 1 <= len(read) <= 10
    assert read == [str(number) for number in range(len(read))]
    assert len(watched) == 50
    # What comes later does not come as if nothing were missing.
    simulator.info("later")
    catch_up(client, simulator)
    with pytest.raises(SlowConsumerError):
        next(events)


def test_an_iterator_that_is_read_in_time_does_not_overflow(
    make_client: MakeClient, simulator: Simulator
) -> None:
    client = make_client(events_limit=10)
    connect(client, simulator)
    events = client.events(INFO, timeout=TIMEOUT)
    for start in range(0, 100, 10):
        for number in range(start, start + 10):
            simulator.info(str(number))
        assert messages(next(events) for _ in range(10)) == [str(n) for n in range(start, start + 10)]


# -- expect() and wait_for() --------------------------------------------------------------------------------


def test_nothing_slips_through_between_the_action_and_the_wait(
    either_client: OneTradeClient, simulator: Simulator
) -> None:
    with either_client.expect(INFO, timeout=TIMEOUT) as expected:
        simulator.info("at once")
        catch_up(either_client, simulator)
    assert expected.event.data.message == "at once"
    assert expected.wait() == expected.event


def test_the_first_event_for_which_where_is_true_is_expected(
    either_client: OneTradeClient, simulator: Simulator
) -> None:
    def where(event: Event) -> bool:
        asked.append((event.data.message, threading.current_thread()))
        return bool(event.data.message >= "3")

    asked: List[Any] = []
    with either_client.expect(INFO, where, TIMEOUT) as expected:
        for text in "12345":
            simulator.info(text)
        simulator.error("9")
    assert expected.event.data.message == "3"
    assert asked == [(text, threading.current_thread()) for text in "123"]


def test_what_where_raises_comes_out(either_client: OneTradeClient, simulator: Simulator) -> None:
    with pytest.raises(ZeroDivisionError), either_client.expect(INFO, lambda event: 1 / 0, TIMEOUT):
        simulator.info("hello")
    assert either_client.state is ConnectionState.OPEN


def test_expecting_none_expects_anything(either_client: OneTradeClient, simulator: Simulator) -> None:
    with either_client.expect(None, timeout=TIMEOUT) as expected:
        simulator.emit("brand_new")
    assert expected.event.type == "brand_new"


def test_an_expected_event_is_there_after_the_block_and_not_before(
    either_client: OneTradeClient, simulator: Simulator
) -> None:
    with either_client.expect(INFO, timeout=TIMEOUT) as expected:
        with pytest.raises(RuntimeError, match="end of the with block"):
            _ = expected.event
        simulator.info("hello")
    assert expected.event.data.message == "hello"


def test_an_error_inside_the_block_is_not_waited_upon(either_client: OneTradeClient) -> None:
    with pytest.raises(ZeroDivisionError), either_client.expect(INFO):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("event_type", "words"),
    [
        (INFO, "no EventMessageType.INFO within 0.01 s"),
        (ClientEventType.GAP, "no ClientEventType.GAP within 0.01 s"),
        ("brand_new", "no brand_new within 0.01 s"),
        (None, "no event within 0.01 s"),
    ],
    ids=repr,
)
def test_an_event_that_does_not_come_in_time_is_an_error(
    either_client: OneTradeClient, event_type: Any, words: str
) -> None:
    with pytest.raises(WaitTimeoutError) as late:
        either_client.wait_for(event_type, timeout=0.01)
    assert str(late.value) == words
    assert late.value.timeout == 0.01
    assert isinstance(late.value, TimeoutError)
    with pytest.raises(WaitTimeoutError), either_client.expect(event_type, timeout=0.01):
        pass


def test_events_for_which_where_is_false_do_not_lengthen_the_wait(
    either_client: OneTradeClient, simulator: Simulator
) -> None:
    for _ in range(100):
        simulator.info("hello")
    with pytest.raises(WaitTimeoutError):
        either_client.wait_for(INFO, lambda event: False, timeout=0.05)


def test_wait_for_waits_for_what_is_still_to_come(client: OneTradeClient, simulator: Simulator) -> None:
    looked = threading.Event()

    def where(event: Event) -> bool:
        looked.set()
        return bool(event.data.message == "second")

    simulator.info("second")
    catch_up(client, simulator)
    waiting = Background(lambda: client.wait_for(INFO, where, TIMEOUT))
    while not looked.is_set():
        simulator.info("first")
        catch_up(client, simulator)
    simulator.info("second")
    event = waiting.result()
    assert event.data.message == "second"


def waiting_for_info(client: OneTradeClient, looked: threading.Event) -> Callable[[], Event]:
    def where(event: Event) -> bool:
        looked.set()
        return False

    return lambda: client.wait_for(INFO, where)


def test_disconnect_wakes_who_waits_for_an_event(client: OneTradeClient, simulator: Simulator) -> None:
    looked = threading.Event()
    waiting = Background(waiting_for_info(client, looked))
    while not looked.is_set():
        simulator.info("hello")
        catch_up(client, simulator)
    client.disconnect()
    with pytest.raises(NotConnectedError):
        waiting.result()


def test_disconnect_wakes_who_waits_even_while_a_callback_is_stuck(stuck_client: OneTradeClient) -> None:
    began = threading.Barrier(4)

    def after_the_beginning(call: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> Any:
            began.wait(TIMEOUT)
            return call()

        return run

    for_event = Background(after_the_beginning(lambda: stuck_client.wait_for(INFO)))
    reading = Background(after_the_beginning(lambda: list(stuck_client.events())))
    for_the_end = Background(after_the_beginning(stuck_client.wait))
    began.wait(TIMEOUT)
    stuck_client.disconnect(timeout=0.1)
    with pytest.raises(NotConnectedError):
        for_event.result()
    assert [event.type for event in reading.result()] == []
    assert for_the_end.result() is True


def test_what_waits_behind_a_stuck_callback_is_not_waited_for_later(stuck_client: OneTradeClient) -> None:
    stuck_client.disconnect(timeout=0.1)
    with pytest.raises(NotConnectedError):
        stuck_client.wait_for(INFO)
    assert list(stuck_client.events()) == []
    assert stuck_client.wait() is True


def test_a_client_that_connects_again_while_a_callback_is_stuck_can_be_waited_on(
    stuck_client: OneTradeClient,
) -> None:
    stuck_client.disconnect(timeout=0.1)
    stuck_client.connect()
    assert stuck_client.wait(timeout=0.01) is False
    with pytest.raises(WaitTimeoutError):
        stuck_client.wait_for(INFO, timeout=0.01)


@pytest.mark.parametrize("dispatch", ["thread", "manual"])
def test_who_waits_on_a_client_that_was_never_connected_is_told_so(
    make_client: MakeClient, dispatch: str
) -> None:
    client = make_client(dispatch=dispatch)
    with pytest.raises(NotConnectedError):
        Background(lambda: client.wait_for(INFO)).result()
    with pytest.raises(NotConnectedError):
        Background(lambda: list(client.events())).result()
    with pytest.raises(NotConnectedError):
        client.wait()


# -- wait() -------------------------------------------------------------------------------------------------


def test_wait_is_true_after_disconnect(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client()
    client.connect()
    client.disconnect()
    assert client.wait() is True
    assert client.wait(timeout=0) is True


def test_wait_is_false_when_the_time_is_over(either_client: OneTradeClient) -> None:
    assert either_client.wait(timeout=0) is False
    assert either_client.wait(timeout=0.01) is False
    assert either_client.state is ConnectionState.OPEN


def test_wait_returns_after_the_last_event_was_delivered(
    client: OneTradeClient, simulator: Simulator
) -> None:
    received: List[str] = []
    client.subscribe(INFO, lambda event: received.append(event.data.message))
    changes: List[Event] = []
    client.subscribe(ClientEventType.STATE_CHANGED, changes.append)
    waiting = Background(client.wait)
    for number in range(100):
        simulator.info(str(number))
    client.disconnect()
    assert waiting.result() is True
    assert received == [str(number) for number in range(100)]
    assert changes[-1].data.new is ConnectionState.CLOSED


def test_wait_lasts_over_a_reconnect(client: OneTradeClient, simulator: Simulator) -> None:
    waiting = Background(client.wait)
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
        simulator.reset()
    catch_up(client, simulator)
    assert not waiting.done
    client.disconnect()
    assert waiting.result() is True


def test_wait_raises_why_the_client_ended(either_client: OneTradeClient, simulator: Simulator) -> None:
    simulator.log_out()
    for _ in range(2):
        with pytest.raises(SessionLoggedOutError):
            either_client.wait(TIMEOUT)
    either_client.disconnect()
    assert either_client.state is ConnectionState.CLOSED


def test_wait_forgets_the_reason_with_the_next_connect(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(reconnect=None)
    client.connect()
    simulator.drop()
    with pytest.raises(ConnectionLostError):
        client.wait(TIMEOUT)
    client.connect()
    assert client.wait(timeout=0) is False
    client.disconnect()
    assert client.wait(timeout=0) is True


def test_a_connect_that_does_not_wait_for_a_reconnect_to_succeed_leaves_it_alone(
    client: OneTradeClient, simulator: Simulator
) -> None:
    simulator.refuse_validation(500, "busy", times=None)
    with client.expect(ClientEventType.RECONNECTING, timeout=TIMEOUT):
        simulator.drop()
    events = client.events(INFO, ClientEventType.GAP, timeout=TIMEOUT)
    with pytest.raises(ConnectTimeoutError):
        client.connect(timeout=0.01)
    assert client.wait(timeout=0) is False
    simulator.allow()
    assert next(events).type is ClientEventType.GAP
    simulator.info("still there")
    assert next(events).data.message == "still there"


def test_connecting_and_disconnecting_on_two_threads_at_once_ends_in_one_of_the_two(
    make_client: MakeClient, simulator: Simulator
) -> None:
    client = make_client()
    changes: List[Event] = []
    client.subscribe(ClientEventType.STATE_CHANGED, changes.append)
    enough = threading.Event()

    def connect_again_and_again() -> None:
        while not enough.is_set():
            with contextlib.suppress(NotConnectedError):
                client.connect(TIMEOUT)

    connecting = Background(connect_again_and_again)
    try:
        for _ in range(30):
            client.disconnect()
    finally:
        enough.set()
    connecting.result()
    client.disconnect()
    assert client.wait(TIMEOUT) is True
    states = [(event.data.old, event.data.new) for event in changes]
    assert [old for old, _ in states[1:]] == [new for _, new in states[:-1]]
    assert states[-1][1] is ConnectionState.CLOSED
    assert states[0][0] is ConnectionState.CLOSED
    client.connect()
    simulator.wait_for(lambda sim: sim.connections == 1)
    assert list(client.events(INFO, timeout=0)) == []


def test_a_client_is_connected_for_the_length_of_its_block(
    make_client: MakeClient, simulator: Simulator
) -> None:
    client = make_client()
    assert repr(client) == f"<OneTradeClient 127.0.0.1:{simulator.port} CLOSED>"
    with client as entered:
        assert entered is client
        assert repr(client) == f"<OneTradeClient 127.0.0.1:{simulator.port} OPEN>"
    assert repr(client) == f"<OneTradeClient 127.0.0.1:{simulator.port} CLOSED>"
    with pytest.raises(ZeroDivisionError), client:
        raise ZeroDivisionError
    assert client.state is ConnectionState.CLOSED
    assert simulator.connections_total == 2
