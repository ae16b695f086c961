"""``dispatch="manual"``: callbacks run where the host pumps, and nowhere else."""

from __future__ import annotations

import threading
from typing import Any, Callable, Dict, List, Tuple

import pytest

from onetrade_ws import (
    CallbackThreadError,
    ClientEventType,
    ConnectionState,
    Event,
    EventMessageType,
    NotConnectedError,
    OneTradeClient,
    SessionLoggedOutError,
)
from onetrade_ws.protocol.codec import Codec
from onetrade_ws.simulator import Simulator
from tests.client.background import Background
from tests.client.conftest import MakeClient
from tests.client.conversation import TIMEOUT, catch_up, connect

INFO = EventMessageType.INFO


def pump_until(client: OneTradeClient, reached: Callable[[], object]) -> int:
    """Pump until something is true, and say how many events that took."""
    count = 0
    # One that goes on with an event that was begun before may return 0.
    for _ in range(100):
        if reached():
            return count
        count += client.pump(timeout=TIMEOUT / 10)
    raise AssertionError("nothing came")


def texts_of(events: List[Event]) -> List[str]:
    return [event.data.message for event in events if event.type is INFO]


# -- where callbacks run ------------------------------------------------------------------------------------


def test_callbacks_run_on_the_thread_that_pumps(manual_client: OneTradeClient, simulator: Simulator) -> None:
    threads: List[threading.Thread] = []
    manual_client.subscribe(INFO, lambda event: threads.append(threading.current_thread()))
    simulator.info("hello")
    pump_until(manual_client, lambda: threads)
    assert threads == [threading.current_thread()]
    simulator.info("to another thread")
    Background(lambda: pump_until(manual_client, lambda: len(threads) == 2)).result()
    assert threads[1].name == "in the background"


def test_there_is_no_dispatcher_thread(manual_client: OneTradeClient) -> None:
    names = {thread.name for thread in threading.enumerate()}
    assert {"onetrade-ws reader", "onetrade-ws heartbeat"} <= names
    assert "onetrade-ws dispatcher" not in names


def test_nothing_is_delivered_but_by_pumping(manual_client: OneTradeClient, simulator: Simulator) -> None:
    received: List[Event] = []
    manual_client.subscribe(None, received.append)
    for number in range(10):
        simulator.info(str(number))
    # Ends the threads of the connection, behind everything that the server had to say.
    manual_client.disconnect()
    assert received == []
    assert manual_client.account.notifications == []
    assert manual_client.state is ConnectionState.CLOSED

    assert manual_client.pump(max_seconds=TIMEOUT) == 12
    assert texts_of(received) == [str(number) for number in range(10)]
    changes = [event.data.new for event in received if event.type is ClientEventType.STATE_CHANGED]
    assert changes == [ConnectionState.CLOSING, ConnectionState.CLOSED]
    assert len(manual_client.account.notifications) == 10
    assert manual_client.pump() == 0


def test_pumping_is_refused_where_there_is_a_thread_for_it(client: OneTradeClient) -> None:
    with pytest.raises(CallbackThreadError, match='dispatch="manual"'):
        client.pump()


# -- how much, and how long ---------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0.0, 0.01])
def test_pumping_returns_when_nothing_comes(manual_client: OneTradeClient, timeout: float) -> None:
    assert manual_client.pump(timeout=timeout) == 0


def test_pumping_waits_for_the_first_event(manual_client: OneTradeClient, simulator: Simulator) -> None:
    received: List[Event] = []
    manual_client.subscribe(INFO, received.append)
    for timeout in (None, TIMEOUT):
        received.clear()
        emitting = Background(lambda: simulator.info("hello"))
        assert manual_client.pump(timeout=timeout) == 1
        assert texts_of(received) == ["hello"]
        emitting.result()


def test_pumping_without_end_is_woken_by_the_end(manual_client: OneTradeClient, simulator: Simulator) -> None:
    manual_client.disconnect()
    assert manual_client.pump(max_seconds=TIMEOUT, timeout=None) == 2
    assert manual_client.pump(timeout=None) == 0


def test_disconnect_wakes_who_pumps(manual_client: OneTradeClient, simulator: Simulator) -> None:
    began = threading.Event()
    manual_client.subscribe(INFO, lambda event: began.set())

    def pump_until_the_end() -> int:
        count = 0
        while manual_client.account.connection_state is not ConnectionState.CLOSED:
            count += manual_client.pump(timeout=None)
        return count + manual_client.pump(timeout=None)

    pumping = Background(pump_until_the_end)
    simulator.info("hello")
    assert began.wait(TIMEOUT)
    manual_client.disconnect()
    assert pumping.result() == 3


def test_pumping_a_client_that_was_never_connected_delivers_nothing(make_client: MakeClient) -> None:
    client = make_client(dispatch="manual")
    assert client.pump(timeout=None) == 0
    with pytest.raises(NotConnectedError):
        client.wait()


def test_no_event_is_begun_after_max_seconds(manual_client: OneTradeClient, simulator: Simulator) -> None:
    log: List[Tuple[str, str]] = []
    for name in "ab":
        manual_client.subscribe(INFO, lambda event, name=name: log.append((name, event.data.message)))  # type: ignore[misc]
    simulator.info("first")
    simulator.info("second")
    # No time is enough for one event, with everybody who is to be called for it.
    assert manual_client.pump(max_seconds=0, timeout=TIMEOUT) == 1
    assert log == [("a", "first"), ("b", "first")]
    assert manual_client.pump(max_seconds=0, timeout=TIMEOUT) == 1
    assert log[2:] == [("a", "second"), ("b", "second")]
    assert manual_client.pump(max_seconds=0) == 0


def test_pumping_counts_events_not_callbacks(manual_client: OneTradeClient, simulator: Simulator) -> None:
    manual_client.subscribe(INFO, lambda event: None)
    manual_client.subscribe(None, lambda event: None)
    last: List[Event] = []
    manual_client.subscribe("last", last.append)
    for _ in range(5):
        simulator.info("hello")
    simulator.emit("nobody listens")
    simulator.emit_binary(b"1,1.1,1.2\n2,1.1,1.2")
    simulator.emit("last")
    assert pump_until(manual_client, lambda: last) == 9


# -- pumping inside a callback ------------------------------------------------------------------------------


def test_a_callback_can_pump(manual_client: OneTradeClient, simulator: Simulator) -> None:
    log: List[str] = []

    def show_dialog(event: Event) -> None:
        log.append(f"open {event.data.message}")
        if event.data.message == "question":
            pump_until(manual_client, lambda: "open answer" in log)
        log.append(f"closed {event.data.message}")

    manual_client.subscribe(INFO, show_dialog)
    for text in ("before", "question", "answer", "after"):
        simulator.info(text)
    pump_until(manual_client, lambda: "closed after" in log)
    assert log[:4] == ["open before", "closed before", "open question", "open answer"]
    assert [line for line in log if line.startswith("open")] == [
        "open before",
        "open question",
        "open answer",
        "open after",
    ]
    assert sorted(log) == sorted(
        f"{what} {text}" for what in ("open", "closed") for text in ("before", "question", "answer", "after")
    )


def test_a_nested_pump_calls_the_others_for_the_present_event_first(
    manual_client: OneTradeClient, simulator: Simulator
) -> None:
    log: List[Tuple[str, str]] = []

    def pumping(event: Event) -> None:
        log.append(("pumping", event.data.message))
        if event.data.message == "first":
            pump_until(manual_client, lambda: ("other", "second") in log)

    manual_client.subscribe(INFO, pumping)
    manual_client.subscribe(INFO, lambda event: log.append(("other", event.data.message)))
    simulator.info("first")
    simulator.info("second")
    pump_until(manual_client, lambda: ("other", "second") in log)
    assert log == [("pumping", "first"), ("other", "first"), ("pumping", "second"), ("other", "second")]


def test_a_callback_can_wait_for_an_event(manual_client: OneTradeClient, simulator: Simulator) -> None:
    log: List[str] = []

    def ask(event: Event) -> None:
        with manual_client.expect("answer", timeout=TIMEOUT) as expected:
            simulator.emit("answer", 42)
        log.append(f"answer {expected.event.data}")

    manual_client.subscribe(INFO, ask)
    simulator.info("hello")
    pump_until(manual_client, lambda: log)
    assert log == ["answer 42"]
    assert manual_client.stats().callback_errors == 0


def test_a_callback_cannot_wait_for_the_end(manual_client: OneTradeClient, simulator: Simulator) -> None:
    refused: List[str] = []

    def wait(event: Event) -> None:
        with pytest.raises(CallbackThreadError) as error:
            manual_client.wait()
        refused.append(error.value.call)

    manual_client.subscribe(INFO, wait)
    simulator.info("hello")
    catch_up(manual_client, simulator)
    assert refused == ["wait()"]


def test_a_callback_can_disconnect(manual_client: OneTradeClient, simulator: Simulator) -> None:
    received: List[Event] = []

    def leave(event: Event) -> None:
        manual_client.disconnect()
        assert manual_client.state is ConnectionState.CLOSED

    manual_client.subscribe(INFO, leave)
    manual_client.subscribe(None, received.append)
    simulator.info("go")
    assert manual_client.wait(TIMEOUT) is True
    assert [event.type for event in received] == [INFO] + 2 * [ClientEventType.STATE_CHANGED]
    assert manual_client.stats().callback_errors == 0


# -- what a callback raises ---------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit], ids=lambda error: error.__name__)
def test_a_program_s_end_comes_out_of_the_pump_and_loses_no_event(
    manual_client: OneTradeClient, simulator: Simulator, error: Any
) -> None:
    log: List[Tuple[str, str]] = []

    def interrupted(event: Event) -> None:
        log.append(("interrupted", event.data.message))
        if event.data.message == "2":
            raise error

    manual_client.subscribe(INFO, interrupted)
    manual_client.subscribe(INFO, lambda event: log.append(("other", event.data.message)))
    for number in range(5):
        simulator.info(str(number))
    with pytest.raises(error):
        pump_until(manual_client, lambda: ("other", "2") in log)
    assert log[-1] == ("interrupted", "2")
    # Another thread may go on: nobody pumps now.
    Background(lambda: pump_until(manual_client, lambda: ("other", "4") in log)).result()
    assert log == [(who, str(number)) for number in range(5) for who in ("interrupted", "other")]
    assert manual_client.stats().callback_errors == 0


def test_a_program_s_end_comes_out_of_a_nested_pump(
    manual_client: OneTradeClient, simulator: Simulator
) -> None:
    log: List[str] = []

    def nested(event: Event) -> None:
        log.append(event.data.message)
        if event.data.message == "1":
            pump_until(manual_client, lambda: "2" in log)
        if event.data.message == "2":
            raise KeyboardInterrupt

    manual_client.subscribe(INFO, nested)
    for number in range(4):
        simulator.info(str(number))
    with pytest.raises(KeyboardInterrupt):
        pump_until(manual_client, lambda: "3" in log)
    assert log == ["0", "1", "2"]
    Background(lambda: pump_until(manual_client, lambda: "3" in log)).result()
    assert log == ["0", "1", "2", "3"]


@pytest.mark.parametrize("read", ["events", "wait_for", "wait"])
def test_a_program_s_end_comes_out_of_every_way_to_wait(
    manual_client: OneTradeClient, simulator: Simulator, read: str
) -> None:
    calls: List[Event] = []

    def interrupted(event: Event) -> None:
        calls.append(event)
        if len(calls) == 1:
            raise KeyboardInterrupt

    manual_client.subscribe(INFO, interrupted)
    simulator.info("1")
    simulator.info("2")
    ways: Dict[str, Callable[[], object]] = {
        "events": lambda: next(manual_client.events("nothing", timeout=TIMEOUT)),
        "wait_for": lambda: manual_client.wait_for("nothing", timeout=TIMEOUT),
        "wait": lambda: manual_client.wait(TIMEOUT),
    }
    with pytest.raises(KeyboardInterrupt):
        ways[read]()
    catch_up(manual_client, simulator)
    assert texts_of(calls) == ["1", "2"]


def test_an_error_does_not_come_out_of_the_pump(manual_client: OneTradeClient, simulator: Simulator) -> None:
    error = ValueError("no")
    reports: List[Event] = []
    later: List[Event] = []

    def fail(event: Event) -> None:
        raise error

    manual_client.subscribe(INFO, fail)
    manual_client.subscribe(INFO, later.append)
    manual_client.subscribe(ClientEventType.CALLBACK_ERROR, reports.append)
    simulator.info("hello")
    catch_up(manual_client, simulator)
    assert [event.data.error for event in reports] == [error]
    assert texts_of(later) == ["hello"]
    assert manual_client.stats().callback_errors == 1


# -- other threads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nested", [False, True], ids=["", "after_a_nested_pump"])
def test_one_thread_pumps_at_a_time(
    manual_client: OneTradeClient, simulator: Simulator, nested: bool
) -> None:
    refusals: List[CallbackThreadError] = []

    def let_others_try(event: Event) -> None:
        if nested:
            manual_client.pump()
        for call in (
            manual_client.pump,
            lambda: manual_client.wait(TIMEOUT),
            lambda: manual_client.wait_for(INFO, timeout=TIMEOUT),
            lambda: next(manual_client.events(INFO, timeout=TIMEOUT)),
        ):
            with pytest.raises(CallbackThreadError) as refused:
                Background(call).result()
            refusals.append(refused.value)

    manual_client.subscribe(INFO, let_others_try)
    simulator.info("hello")
    catch_up(manual_client, simulator)
    assert len(refusals) == 4
    assert all("another thread delivers events now" in str(refusal) for refusal in refusals)
    assert manual_client.stats().callback_errors == 0


# -- waiting delivers meanwhile -----------------------------------------------------------------------------


def test_reading_events_runs_callbacks_on_this_thread(
    manual_client: OneTradeClient, simulator: Simulator
) -> None:
    threads: List[threading.Thread] = []
    for event_type in (INFO, EventMessageType.ERROR):
        manual_client.subscribe(event_type, lambda event: threads.append(threading.current_thread()))
    events = manual_client.events(INFO, timeout=TIMEOUT)
    simulator.error("1")
    simulator.info("2")
    assert next(events).data.message == "2"
    simulator.error("3")
    simulator.info("4")
    assert manual_client.wait_for(INFO, timeout=TIMEOUT).data.message == "4"
    assert threads == 4 * [threading.current_thread()]


def test_waiting_for_the_end_runs_callbacks_on_this_thread(
    manual_client: OneTradeClient, simulator: Simulator
) -> None:
    received: List[Event] = []
    threads: List[threading.Thread] = []
    manual_client.subscribe(None, received.append)
    manual_client.subscribe(None, lambda event: threads.append(threading.current_thread()))
    for number in range(100):
        simulator.info(str(number))

    def leave(event: Event) -> None:
        if event.data.message == "99":
            manual_client.disconnect()

    manual_client.subscribe(INFO, leave)
    assert manual_client.wait() is True
    assert texts_of(received) == [str(number) for number in range(100)]
    assert received[-1].data.new is ConnectionState.CLOSED
    assert set(threads) == {threading.current_thread()}


def test_waiting_for_the_end_delivers_and_then_raises_why(
    manual_client: OneTradeClient, simulator: Simulator
) -> None:
    received: List[Event] = []
    manual_client.subscribe(None, received.append)
    simulator.log_out()
    with pytest.raises(SessionLoggedOutError):
        manual_client.wait(TIMEOUT)
    assert [event.type for event in received] == [
        EventMessageType.SESSION_LOGOUT,
        ClientEventType.SESSION_LOGGED_OUT,
        ClientEventType.STATE_CHANGED,
        ClientEventType.STATE_CHANGED,
    ]
    assert manual_client.account.session_logged_out


# -- from one connection to the next ------------------------------------------------------------------------


def test_what_was_not_pumped_is_delivered_after_the_next_connect(
    manual_client: OneTradeClient, simulator: Simulator
) -> None:
    received: List[Event] = []
    for event_type in (INFO, ClientEventType.STATE_CHANGED):
        manual_client.subscribe(event_type, received.append)
    events = manual_client.events(INFO, timeout=TIMEOUT)
    simulator.info("first life")
    manual_client.disconnect()
    manual_client.connect()
    simulator.info("second life")
    assert [next(events).data.message for _ in range(2)] == ["first life", "second life"]
    states = [event.data.new for event in received if event.type is ClientEventType.STATE_CHANGED]
    assert states == [
        ConnectionState.CLOSING,
        ConnectionState.CLOSED,
        ConnectionState.CONNECTING,
        ConnectionState.OPEN,
    ]
    types = [event.type for event in received]
    assert types.index(INFO) < 2
    assert types[-1] is INFO
    assert manual_client.wait(timeout=0) is False


def test_connecting_needs_no_pump(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(dispatch="manual")
    client.connect()
    client.disconnect()
    client.connect()
    assert client.state is ConnectionState.OPEN
    assert client.account.connection_state is ConnectionState.CLOSED
    connection_states: List[ConnectionState] = []
    client.subscribe(
        ClientEventType.STATE_CHANGED,
        lambda event: connection_states.append(client.account.connection_state),
    )
    pump_until(client, lambda: len(connection_states) == 6)
    assert connection_states == [
        ConnectionState.CONNECTING,
        ConnectionState.OPEN,
        ConnectionState.CLOSING,
        ConnectionState.CLOSED,
        ConnectionState.CONNECTING,
        ConnectionState.OPEN,
    ]


def test_a_failed_connect_can_be_pumped(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(dispatch="manual", reconnect=None)
    received: List[Event] = []
    client.subscribe(None, received.append)
    simulator.hold_session()
    with pytest.raises(Exception, match="already used"):
        client.connect()
    client.pump(max_seconds=TIMEOUT)
    assert [event.type for event in received] == [
        ClientEventType.STATE_CHANGED,
        ClientEventType.SESSION_IN_USE,
        ClientEventType.STATE_CHANGED,
        ClientEventType.STATE_CHANGED,
    ]
    simulator.release_session()
    connect(client, simulator)
    assert client.state is ConnectionState.OPEN


def test_ctrl_c_in_the_middle_of_decoding_loses_nothing(
    make_client: MakeClient, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(dispatch="manual")
    connect(client, simulator)
    numbers: List[int] = []
    client.subscribe("numbered", lambda event: numbers.append(event.data))
    for number in range(100):
        simulator.emit("numbered", number)
    decode = Codec.decode_wanted
    interrupts = iter(range(3))

    def interrupted(codec: Codec, *arguments: Any) -> Any:
        decode(codec, *arguments)
        if next(interrupts, None) is not None:
            raise KeyboardInterrupt
        return decode(codec, *arguments)

    monkeypatch.setattr(Codec, "decode_wanted", interrupted)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            client.pump(max_seconds=0, timeout=TIMEOUT)
    catch_up(client, simulator)
    assert numbers == list(range(100))
