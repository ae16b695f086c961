"""Callbacks: who is called for what, in which order, on which thread, and what a callback may do."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timezone
from typing import Any, Callable, Dict, List, Optional, Tuple, Type

import attrs
import pytest

from onetrade_ws import (
    CallbackError,
    CallbackThreadError,
    ClientEventType,
    ConfigurationError,
    ConnectionState,
    Event,
    EventMessageType,
    OneTradeClient,
    Order,
    OrderType,
    Quote,
    SideType,
    UnknownOrderError,
    WaitTimeoutError,
)
from onetrade_ws.simulator import Simulator
from tests.client.background import Background
from tests.client.conftest import MakeClient
from tests.client.conversation import TIMEOUT, catch_up, connect, everything_sent, texts

INFO = EventMessageType.INFO


class Notes:
    """An observer that notes the text of each ``info`` message under its own name."""

    def __init__(self, name: str, log: List[Tuple[str, str]]) -> None:
        self.name = name
        self._log = log

    def __call__(self, event: Event) -> None:
        self._log.append((self.name, event.data.message))


class Watchdog:
    """An observer that lets a test wait for events of a kind."""

    def __init__(self) -> None:
        self.events: List[Event] = []
        self._condition = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._condition:
            self.events.append(event)
            self._condition.notify_all()

    def wait(self, matches: Callable[[Event], bool]) -> Event:
        def found() -> Optional[Event]:
            return next((event for event in self.events if matches(event)), None)

        with self._condition:
            event = self._condition.wait_for(found, TIMEOUT)
        assert event is not None
        return event

    def wait_for_state(self, state: ConnectionState) -> Event:
        return self.wait(
            lambda event: event.type is ClientEventType.STATE_CHANGED and event.data.new is state
        )


def failing(error: BaseException) -> Callable[[Event], None]:
    def fail(event: Event) -> None:
        raise error

    return fail


# -- who is called, and in which order ----------------------------------------------------------------------


def test_observers_are_called_in_the_order_in_which_they_subscribed(
    client: OneTradeClient, simulator: Simulator
) -> None:
    log: List[Tuple[str, str]] = []
    for name in "abcde":
        client.subscribe(INFO, Notes(name, log))
    simulator.info("first")
    simulator.info("second")
    catch_up(client, simulator)
    assert log == [(name, text) for text in ("first", "second") for name in "abcde"]


def test_those_for_the_type_are_called_before_those_for_everything(
    client: OneTradeClient, simulator: Simulator
) -> None:
    called: List[str] = []
    client.subscribe(None, lambda event: called.append("everything"))
    client.subscribe(INFO, lambda event: called.append("info"))
    with client.expect(INFO, timeout=TIMEOUT):
        simulator.info("hello")
    catch_up(client, simulator)
    assert called[:2] == ["info", "everything"]


def test_everything_is_everything(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client()
    everything = Watchdog()
    client.subscribe(None, everything)
    client.subscribe("newer_still", failing(Oops()))
    connect(client, simulator)
    simulator.info("hello")
    simulator.emit("brand_new", 1)
    simulator.emit_binary(b"1,1.1,1.2")
    simulator.emit_text("garbage")
    simulator.emit("newer_still", 2)
    catch_up(client, simulator)
    client.disconnect()
    types = [event.type for event in everything.events if event.type is not EventMessageType.PONG]
    assert types == [
        ClientEventType.STATE_CHANGED,
        ClientEventType.STATE_CHANGED,
        INFO,
        "brand_new",
        EventMessageType.MARKET_FEED,
        ClientEventType.DECODE_ERROR,
        "newer_still",
        ClientEventType.CALLBACK_ERROR,
        ClientEventType.STATE_CHANGED,
        ClientEventType.STATE_CHANGED,
    ]


def test_an_observer_is_called_for_its_type_only(client: OneTradeClient, simulator: Simulator) -> None:
    quotes, infos, unknown = Watchdog(), Watchdog(), Watchdog()
    client.subscribe(EventMessageType.MARKET_FEED, quotes)
    client.subscribe(INFO, infos)
    client.subscribe("brand_new", unknown)
    simulator.emit_binary(b"1,1.1,1.2")
    simulator.info("hello")
    simulator.error("no")
    simulator.emit("brand_new", 1)
    catch_up(client, simulator)
    assert [event.data for event in quotes.events] == [Quote(symbol_id=1, bid=1.1, ask=1.2)]
    assert [event.data.message for event in infos.events] == ["hello"]
    assert [event.data for event in unknown.events] == [1]


def test_the_same_callback_is_called_once_for_a_type(client: OneTradeClient, simulator: Simulator) -> None:
    log: List[Tuple[str, str]] = []
    notes = Notes("a", log)
    client.subscribe(INFO, notes)
    client.subscribe(INFO, notes)
    client.subscribe("info", notes)
    client.subscribe(INFO, notes.__call__)
    client.subscribe(INFO, notes.__call__)
    simulator.info("hello")
    catch_up(client, simulator)
    # A bound method is another callback than its object, and equal to itself.
    assert log == [("a", "hello")] * 2


def test_a_callback_can_serve_several_types(client: OneTradeClient, simulator: Simulator) -> None:
    watchdog = Watchdog()
    for wanted in (INFO, EventMessageType.ERROR, None):
        client.subscribe(wanted, watchdog)
    simulator.info("hello")
    simulator.error("no")
    catch_up(client, simulator)
    types = [event.type for event in watchdog.events]
    assert types[:4] == [INFO, INFO, EventMessageType.ERROR, EventMessageType.ERROR]


@pytest.mark.parametrize("event_type", EventMessageType, ids=lambda event_type: event_type.value)
def test_the_wire_s_name_of_a_known_type_is_that_type(
    make_client: MakeClient, event_type: EventMessageType
) -> None:
    client = make_client()
    watchdog = Watchdog()
    subscription = client.subscribe(event_type.value, watchdog)
    assert subscription.event_type is event_type
    assert client.unsubscribe(event_type, watchdog)
    assert not client.unsubscribe(event_type.value, watchdog)


def test_a_name_is_enough_to_receive_a_known_type(client: OneTradeClient, simulator: Simulator) -> None:
    watchdog = Watchdog()
    client.subscribe("info", watchdog)
    with client.expect("info", timeout=TIMEOUT) as expected:
        simulator.info("hello")
    catch_up(client, simulator)
    assert watchdog.events == [expected.event]
    assert watchdog.events[0].type is INFO


@pytest.mark.parametrize("event_type", ["", 1, b"info", ("info",), ConnectionState.OPEN], ids=repr)
def test_what_is_no_event_type_is_refused(client: OneTradeClient, event_type: Any) -> None:
    for call in (
        lambda: client.subscribe(event_type, print),
        lambda: client.unsubscribe(event_type, print),
        lambda: client.events(event_type),
        lambda: client.expect(event_type),
        lambda: client.wait_for(event_type, timeout=0),
    ):
        with pytest.raises(TypeError, match="event type"):
            call()


@pytest.mark.parametrize("callback", [None, "print", 1], ids=repr)
def test_what_cannot_be_called_is_refused(client: OneTradeClient, callback: Any) -> None:
    with pytest.raises(TypeError, match="callback"):
        client.subscribe(INFO, callback)


# -- the end of a subscription ------------------------------------------------------------------------------


def test_a_subscription_can_be_cancelled(client: OneTradeClient, simulator: Simulator) -> None:
    watchdog = Watchdog()
    subscription = client.subscribe(INFO, watchdog)
    assert subscription.active
    assert "INFO" in repr(subscription)
    assert "cancelled" not in repr(subscription)
    simulator.info("before")
    catch_up(client, simulator)
    subscription.cancel()
    subscription.cancel()
    assert not subscription.active
    assert "cancelled" in repr(subscription)
    simulator.info("after")
    catch_up(client, simulator)
    assert [event.data.message for event in watchdog.events] == ["before"]


def test_a_subscription_ends_with_its_block(client: OneTradeClient, simulator: Simulator) -> None:
    watchdog = Watchdog()
    with client.subscribe(None, watchdog) as subscription:
        assert subscription.active
        assert "everything" in repr(subscription)
        simulator.info("inside")
        catch_up(client, simulator)
    simulator.info("outside")
    catch_up(client, simulator)
    assert [event.data.message for event in watchdog.events if event.type is INFO] == ["inside"]


def test_unsubscribe_says_whether_there_was_something_to_end(client: OneTradeClient) -> None:
    watchdog, another = Watchdog(), Watchdog()
    assert not client.unsubscribe(INFO, watchdog)
    client.subscribe(INFO, watchdog)
    client.subscribe(INFO, another)
    assert not client.unsubscribe(None, watchdog)
    assert not client.unsubscribe(EventMessageType.ERROR, watchdog)
    assert client.unsubscribe(INFO, watchdog)
    assert not client.unsubscribe(INFO, watchdog)
    assert client.unsubscribe(INFO, another)


def test_observers_outlive_disconnect_and_reconnect(client: OneTradeClient, simulator: Simulator) -> None:
    log: List[Tuple[str, str]] = []
    client.subscribe(INFO, Notes("a", log))
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
        simulator.drop()
    simulator.info("after a loss")
    catch_up(client, simulator)
    client.disconnect()
    client.connect()
    simulator.info("after disconnect")
    catch_up(client, simulator)
    assert log == [("a", "after a loss"), ("a", "after disconnect")]


# -- what a callback may do ---------------------------------------------------------------------------------


def test_a_callback_can_unsubscribe_itself(client: OneTradeClient, simulator: Simulator) -> None:
    seen: List[str] = []

    def once(event: Event) -> None:
        seen.append(event.data.message)
        client.unsubscribe(INFO, once)

    client.subscribe(INFO, once)
    simulator.info("first")
    simulator.info("second")
    catch_up(client, simulator)
    assert seen == ["first"]


def test_a_callback_can_unsubscribe_a_later_one_for_the_same_event(
    client: OneTradeClient, simulator: Simulator
) -> None:
    log: List[Tuple[str, str]] = []
    later, last = Notes("later", log), Notes("last", log)
    client.subscribe(INFO, lambda event: client.unsubscribe(INFO, later))
    client.subscribe(INFO, later)
    client.subscribe(INFO, last)
    simulator.info("hello")
    catch_up(client, simulator)
    assert log == [("last", "hello")]


def test_a_callback_that_subscribes_another_makes_it_hear_the_next_event(
    client: OneTradeClient, simulator: Simulator
) -> None:
    log: List[Tuple[str, str]] = []
    another = Notes("another", log)
    client.subscribe(INFO, lambda event: client.subscribe(INFO, another))
    simulator.info("first")
    simulator.info("second")
    catch_up(client, simulator)
    assert log == [("another", "second")]


def test_a_callback_can_send(client: OneTradeClient, simulator: Simulator) -> None:
    def answer(event: Event) -> None:
        client.send("answer", event.data.message)
        client.subscribe_market(1)
        client.stop_account_all()

    client.subscribe(INFO, answer)
    simulator.info("question")
    catch_up(client, simulator)
    assert everything_sent(client, simulator)[1:] == [
        '{"type":"answer","data":"question"}',
        '{"type":"market_subscribe_symbol","data":1}',
        '{"type":"stop_account_all","data":null}',
    ]


def test_a_callback_can_disconnect(client: OneTradeClient, simulator: Simulator) -> None:
    after: List[ConnectionState] = []
    later = Watchdog()

    def leave(event: Event) -> None:
        client.disconnect()
        client.disconnect()
        after.append(client.state)

    client.subscribe(INFO, leave)
    client.subscribe(None, later)
    simulator.info("go")
    assert client.wait(TIMEOUT)
    assert after == [ConnectionState.CLOSED]
    # What had arrived, and what the client itself has to say, is still delivered.
    assert [event.type for event in later.events] == [INFO] + 2 * [ClientEventType.STATE_CHANGED]
    assert later.events[-1].data.new is ConnectionState.CLOSED
    simulator.wait_for(lambda sim: sim.connections == 0)


def test_a_callback_can_connect_again(client: OneTradeClient, simulator: Simulator) -> None:
    reopened = Watchdog()

    def come_back(event: Event) -> None:
        if event.data.new is ConnectionState.CLOSED and simulator.connections_total == 1:
            client.connect()
            assert client.state is ConnectionState.OPEN

    client.subscribe(ClientEventType.STATE_CHANGED, come_back)
    client.subscribe(ClientEventType.STATE_CHANGED, reopened)
    client.subscribe(None, reopened)
    Background(client.disconnect).result()
    reopened.wait_for_state(ConnectionState.OPEN)
    assert simulator.connections_total == 2
    catch_up(client, simulator)
    assert client.stats().callback_errors == 0
    client.disconnect()
    assert client.state is ConnectionState.CLOSED


def test_a_callback_can_disconnect_and_connect(client: OneTradeClient, simulator: Simulator) -> None:
    def renew(event: Event) -> None:
        client.disconnect()
        client.connect()

    client.subscribe(INFO, renew)
    simulator.info("renew")
    simulator.wait_for(lambda sim: sim.connections_total == 2 and sim.connections == 1)
    catch_up(client, simulator)
    assert client.state is ConnectionState.OPEN
    assert client.stats().callback_errors == 0
    assert client.account.connection_state is ConnectionState.OPEN


def test_waiting_inside_a_callback_is_refused(client: OneTradeClient, simulator: Simulator) -> None:
    refusals: List[str] = []

    def wait(event: Event) -> None:
        with pytest.raises(CallbackThreadError) as refused:
            client.wait()
        refusals.append(str(refused.value))
        with pytest.raises(CallbackThreadError) as refused:
            client.wait_for(INFO)
        refusals.append(str(refused.value))
        with pytest.raises(CallbackThreadError) as refused:
            next(client.events())
        refusals.append(str(refused.value))
        with pytest.raises(CallbackThreadError) as refused, client.expect(INFO):
            pass
        refusals.append(str(refused.value))

    client.subscribe(INFO, wait)
    simulator.info("hello")
    catch_up(client, simulator)
    assert len(refusals) == 4
    assert all("callback would wait for itself" in refusal for refusal in refusals)
    assert client.stats().callback_errors == 0


# -- a callback that raises ---------------------------------------------------------------------------------


class Oops(Exception):
    pass


@pytest.mark.parametrize(
    "error", [Oops("it broke"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=repr
)
def test_a_callback_that_raises_is_logged_and_reported_and_the_next_runs(
    client: OneTradeClient,
    simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    error: BaseException,
) -> None:
    log: List[Tuple[str, str]] = []
    reports = Watchdog()
    bad = failing(error)
    client.subscribe(INFO, bad)
    client.subscribe(INFO, Notes("next", log))
    client.subscribe(ClientEventType.CALLBACK_ERROR, reports)
    simulator.info("first")
    simulator.info("second")
    catch_up(client, simulator)

    assert log == [("next", "first"), ("next", "second")]
    assert [event.data for event in reports.events] == [
        CallbackError(event=event, callback=bad, error=error)
        for event in (report.data.event for report in reports.events)
    ]
    assert [report.data.event.data.message for report in reports.events] == ["first", "second"]
    assert reports.events[0].received_at > 0
    assert error.__traceback__ is not None
    records = [record for record in caplog.records if record.name == "onetrade_ws.delivery"]
    assert len(records) == 2
    for record in records:
        assert record.levelno == logging.ERROR
        assert "failing.<locals>.fail" in record.getMessage()
        assert "EventMessageType.INFO" in record.getMessage()
        assert record.exc_info is not None
        assert record.exc_info[1] is error
        assert record.exc_info[2] is not None
    assert capfd.readouterr() == ("", "")
    assert client.stats().callback_errors == 2
    assert client.state is ConnectionState.OPEN


def test_the_report_comes_behind_the_event_and_before_the_next(
    client: OneTradeClient, simulator: Simulator
) -> None:
    watchdog = Watchdog()
    client.subscribe(INFO, failing(Oops()))
    client.subscribe(None, watchdog)
    simulator.info("first")
    simulator.info("second")
    catch_up(client, simulator)
    types = [event.type for event in watchdog.events[:4]]
    assert types == [INFO, ClientEventType.CALLBACK_ERROR] * 2


def test_the_report_comes_before_the_next_record_of_the_same_frame(
    client: OneTradeClient, simulator: Simulator
) -> None:
    watchdog = Watchdog()
    client.subscribe(EventMessageType.MARKET_FEED, failing(Oops()))
    client.subscribe(None, watchdog)
    simulator.emit_binary(b"1,1.1,1.2\n2,1.1,1.2")
    catch_up(client, simulator)
    types = [event.type for event in watchdog.events[:4]]
    assert types == [EventMessageType.MARKET_FEED, ClientEventType.CALLBACK_ERROR] * 2


def test_an_observer_of_errors_that_raises_does_not_go_round_in_circles(
    client: OneTradeClient, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    reports = Watchdog()
    client.subscribe(INFO, failing(Oops("first")))
    client.subscribe(ClientEventType.CALLBACK_ERROR, failing(Oops("second")))
    client.subscribe(ClientEventType.CALLBACK_ERROR, reports)
    simulator.info("hello")
    catch_up(client, simulator)
    assert [str(event.data.error) for event in reports.events] == ["first"]
    errors = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert [str(error) for error in errors] == ["first", "second"]
    assert client.stats().callback_errors == 2


def test_an_observer_of_everything_that_raises_does_not_go_round_in_circles(
    client: OneTradeClient, simulator: Simulator
) -> None:
    reports = Watchdog()
    client.subscribe(None, failing(Oops()))
    client.subscribe(ClientEventType.CALLBACK_ERROR, reports)
    simulator.info("hello")
    simulator.info("again")
    catch_up(client, simulator)
    assert [event.data.event.type for event in reports.events[:2]] == [INFO, INFO]
    assert client.stats().events[ClientEventType.CALLBACK_ERROR] in (2, 3)


class FailingHandler(logging.Handler):
    """A program's log handler that fails once, as one does whose window has been closed."""

    def __init__(self) -> None:
        super().__init__()
        self.failed = False

    def emit(self, record: logging.LogRecord) -> None:
        if "raised for" in record.getMessage() and not self.failed:
            self.failed = True
            raise Oops("no window to write to")


def test_a_log_handler_that_fails_does_not_stop_the_stream(
    client: OneTradeClient, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    log: List[Tuple[str, str]] = []
    client.subscribe(INFO, failing(Oops("first trouble")))
    client.subscribe(INFO, Notes("next", log))
    handler = FailingHandler()
    logger = logging.getLogger("onetrade_ws.delivery")
    logger.addHandler(handler)
    try:
        simulator.info("first")
        simulator.info("second")
        catch_up(client, simulator)
    finally:
        logger.removeHandler(handler)
    assert handler.failed
    assert log == [("next", "first"), ("next", "second")]
    (record,) = [record for record in caplog.records if "delivering an event failed" in record.getMessage()]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], Oops)


class Incomparable:
    """A callback that cannot be compared, as some proxies and arrays cannot."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, event: Event) -> None:
        self.calls += 1

    def __eq__(self, other: object) -> bool:
        raise Oops("not comparable")

    __hash__ = None  # type: ignore[assignment]


def test_a_callback_that_cannot_be_compared_is_one_like_any_other(
    client: OneTradeClient, simulator: Simulator
) -> None:
    incomparable, another, watchdog = Incomparable(), Incomparable(), Watchdog()
    for callback in (incomparable, another, incomparable, watchdog):
        client.subscribe(INFO, callback)
    simulator.info("first")
    catch_up(client, simulator)
    assert client.unsubscribe(INFO, another)
    simulator.info("second")
    catch_up(client, simulator)
    assert (incomparable.calls, another.calls, len(watchdog.events)) == (2, 1, 2)


def test_callbacks_that_are_equal_are_still_two(client: OneTradeClient, simulator: Simulator) -> None:
    @attrs.define
    class Counter:
        calls: int = 0

        def __call__(self, event: Event) -> None:
            self.calls += 1

    first, second = Counter(), Counter()
    assert first == second
    client.subscribe(INFO, first)
    client.subscribe(INFO, second)
    simulator.info("hello")
    catch_up(client, simulator)
    assert (first.calls, second.calls) == (1, 1)


# -- threads ------------------------------------------------------------------------------------------------


def test_all_callbacks_run_on_one_thread_of_the_client_s_own(
    make_client: MakeClient, simulator: Simulator
) -> None:
    client = make_client()
    threads: List[threading.Thread] = []
    client.subscribe(None, lambda event: threads.append(threading.current_thread()))
    connect(client, simulator)
    simulator.info("hello")
    simulator.emit_binary(b"1,1.1,1.2")
    catch_up(client, simulator)
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
        simulator.reset()
    catch_up(client, simulator)
    client.disconnect()
    (thread,) = set(threads)
    assert thread.name == "onetrade-ws dispatcher"
    assert not thread.is_alive()


def test_two_clients_do_not_disturb_each_other(make_client: MakeClient, simulator: Simulator) -> None:
    session = simulator.add_session()
    first = make_client()
    second = make_client(
        session_id=session.session_id, access_token=session.access_token, account_updates=False
    )
    logs: Dict[OneTradeClient, List[Event]] = {first: [], second: []}
    threads = {}
    for client, log in logs.items():
        client.subscribe(None, log.append)
        client.connect()
        threads[client] = client.expect(INFO, timeout=TIMEOUT)
    simulator.wait_for(lambda sim: sim.connections == 2)
    simulator.info("to all")
    assert [expected.wait().data.message for expected in threads.values()] == ["to all", "to all"]
    first.disconnect()
    simulator.info("to the second")
    catch_up(second, simulator)
    assert second.state is ConnectionState.OPEN
    assert [event.data.message for event in logs[first] if event.type is INFO] == ["to all"]
    assert [event.data.message for event in logs[second] if event.type is INFO] == [
        "to all",
        "to the second",
    ]
    assert second.account.notifications != first.account.notifications


def refused(error: Type[Exception], call: Callable[[], object]) -> Callable[[], None]:
    def check() -> None:
        with pytest.raises(error):
            call()

    return check


def calls_of(client: OneTradeClient) -> Dict[str, Callable[[], object]]:
    """A call of each public member, that need not wait for an event."""

    def nobody(event: Event) -> None:
        pass

    unknown_order = Order(
        id=1,
        account_id=1,
        symbol_id=1,
        type=OrderType.MARKET,
        side=SideType.BUY,
        volume_initial=1.0,
        volume_current=1.0,
        price_order=1.1,
        price_current=1.1,
    )
    return {
        "account": lambda: (client.account.orders, client.account.notifications, client.account.quotes),
        "state": lambda: client.state,
        "stats": client.stats,
        "health": client.health,
        "resync": client.resync,
        "wait_until_current": refused(ConfigurationError, client.wait_until_current),
        "candles": lambda: client.candles(1, datetime.now(timezone.utc)),
        "answer_requote": refused(
            UnknownOrderError, lambda: client.answer_requote(unknown_order, accept=True)
        ),
        "subscribe": lambda: client.subscribe(None, nobody),
        "unsubscribe": lambda: client.unsubscribe(None, nobody),
        "subscribe_market": lambda: client.subscribe_market(1),
        "unsubscribe_market": lambda: client.unsubscribe_market(1),
        "start_account_all": client.start_account_all,
        "stop_account_all": client.stop_account_all,
        "send": lambda: client.send("anything"),
        "events": lambda: client.events(timeout=0).close(),
        "expect": lambda: client.expect(INFO, timeout=0),
        "wait_for": refused(WaitTimeoutError, lambda: client.wait_for(INFO, timeout=0)),
        "wait": lambda: client.wait(timeout=0),
        "pump": refused(CallbackThreadError, client.pump),
        "connect": client.connect,
        "from_env": lambda: OneTradeClient.from_env(
            {"ONETRADE_WS_URL": "wss://h", "ONETRADE_API_KEY": "key"}
        ),
        # The last one.
        "disconnect": lambda: client.disconnect(timeout=0.2),
    }


def test_no_lock_is_held_while_a_callback_runs(client: OneTradeClient, simulator: Simulator) -> None:
    calls = calls_of(client)
    assert set(calls) == {name for name in dir(OneTradeClient) if not name.startswith("_")}
    returned: List[str] = []
    finished = threading.Event()

    def call_everything_on_another_thread(event: Event) -> None:
        try:
            for name, call in calls.items():
                Background(call).result()
                returned.append(name)
        finally:
            finished.set()

    client.subscribe(INFO, call_everything_on_another_thread)
    simulator.info("hello")
    assert finished.wait(2 * TIMEOUT)
    assert returned == list(calls)
    assert client.state is ConnectionState.CLOSED


class LogHandler(logging.Handler):
    """A program's log handler that calls the client on another thread and waits, as one that writes to a GUI may."""

    def __init__(self, words: str, call: Callable[[], object]) -> None:
        super().__init__()
        self.outcome: List[object] = []
        self.called = threading.Event()
        self._words = words
        self._call = call

    def emit(self, record: logging.LogRecord) -> None:
        if self._words in record.getMessage() and not self.outcome:
            try:
                self.outcome.append(Background(self._call).result())
            except Exception as error:  # noqa: BLE001 - for the test to see
                self.outcome.append(error)
            self.called.set()

    def __enter__(self) -> LogHandler:
        logging.getLogger("onetrade_ws").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("onetrade_ws").removeHandler(self)


def test_no_lock_is_held_while_a_full_queue_is_logged(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(dispatch="manual", queue_limit=1)
    connect(client, simulator)
    with LogHandler("callbacks are too slow", lambda: client.pump(max_seconds=TIMEOUT)) as handler:
        # More than one batch.
        for _ in range(3000):
            simulator.info("hello")
        assert handler.called.wait(2 * TIMEOUT)
    (delivered,) = handler.outcome
    assert isinstance(delivered, int), delivered
    assert delivered > 0


def test_no_lock_is_held_while_a_callback_that_takes_too_long_is_logged(
    client: OneTradeClient, simulator: Simulator
) -> None:
    entered, release = threading.Event(), threading.Event()

    def stuck(event: Event) -> None:
        entered.set()
        release.wait(3 * TIMEOUT)

    client.subscribe(INFO, stuck)
    with LogHandler("has not returned in time", lambda: client.wait(timeout=0)) as handler:
        try:
            simulator.info("hello")
            assert entered.wait(TIMEOUT)
            client.disconnect(timeout=0.1)
        finally:
            release.set()
        assert handler.called.wait(2 * TIMEOUT)
    (outcome,) = handler.outcome
    assert isinstance(outcome, bool), outcome


def test_a_stuck_callback_delays_no_heartbeat(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(heartbeat_interval=0.02, heartbeat_timeout=0.5)
    connect(client, simulator)
    entered, release = threading.Event(), threading.Event()

    def stuck(event: Event) -> None:
        entered.set()
        release.wait(TIMEOUT)

    client.subscribe(INFO, stuck)
    simulator.info("hello")
    assert entered.wait(TIMEOUT)
    try:
        beats = len(simulator.messages)
        simulator.wait_for(lambda sim: len(sim.messages) >= beats + 5)
        client.send("sent meanwhile")
        simulator.wait_for(lambda sim: '{"type":"sent meanwhile","data":null}' in texts(sim))
    finally:
        release.set()
    catch_up(client, simulator)
    assert simulator.connections_total == 1
