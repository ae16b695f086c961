"""What one part's trouble must not do to another: a slow consumer, a log handler, a life that is over."""

from __future__ import annotations

import logging
import socket
import threading
from typing import Any, Dict, Iterator, List, Tuple

import pytest

from onetrade_ws import (
    ClientEventType,
    ConnectionLostError,
    ConnectionState,
    Event,
    EventMessageType,
    OneTradeClient,
    ReconnectFailedError,
    SessionLoggedOutError,
    SideType,
)
from onetrade_ws.simulator import Simulator
from tests.connection.conftest import Background, MakeClient, MakeHostile, connected, read_until
from tests.connection.hostile import TIMEOUT, Peer, event_frame, validated

INFO = EventMessageType.INFO


class HoldUp:
    """A callback that does not return before it is told to."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.release = threading.Event()
        self.messages: List[str] = []

    def __call__(self, event: Event) -> None:
        self.entered.set()
        assert self.release.wait(3 * TIMEOUT)
        self.messages.append(event.data.message)


@pytest.fixture
def hold_up() -> Iterator[HoldUp]:
    callback = HoldUp()
    yield callback
    callback.release.set()


def test_a_slow_consumer_keeps_nothing_from_being_sent_after_a_loss(
    hostile: MakeHostile, make_client: MakeClient, hold_up: HoldUp
) -> None:
    cut = threading.Event()

    def script(peer: Peer) -> None:
        if peer.number == 1:
            peer.upgrade(event_frame("info", {"message": "first"}))
            while not hold_up.entered.is_set():
                peer.pause(0.01)
            for _ in range(2):
                peer.send(event_frame("info", {"message": "x" * 4500}))
                peer.pause(0.01)
            while not cut.is_set():
                peer.pause(0.01)
            peer.reset()
        else:
            # It speaks before it has read what the client wants.
            peer.upgrade(event_frame("info", {"message": "second"}))
            peer.serve()

    server = hostile(script)
    client = make_client(server, queue_limit=6000, heartbeat_interval=0.05, heartbeat_timeout=5.0)
    client.subscribe(INFO, hold_up)
    client.connect()
    assert hold_up.entered.wait(TIMEOUT)
    cut.set()
    server.wait_for(lambda server: server.handshakes == 2)
    client.send("urgent", 1)
    server.wait_for(lambda server: any(f.connection == 2 and "urgent" in f.text for f in server.frames))
    # And the heart beats on.
    server.wait_for(lambda server: sum(f.connection == 2 and f.text == "9" for f in server.frames) >= 3)
    with client.expect(INFO, where=lambda event: event.data.message == "second", timeout=TIMEOUT):
        hold_up.release.set()
    assert [message[:6] for message in hold_up.messages[:2]] == ["first", "xxxxxx"]


def test_a_logout_behind_a_slow_consumer_ends_the_session_at_once(
    simulator: Simulator, make_client: MakeClient, hold_up: HoldUp
) -> None:
    client = make_client(simulator)
    client.subscribe(INFO, hold_up)
    client.connect()
    simulator.wait_until_subscribed()
    simulator.info("first")
    assert hold_up.entered.wait(TIMEOUT)
    simulator.log_out()
    simulator.wait_for(lambda simulator: simulator.connections == 0)
    hold_up.release.set()
    with pytest.raises(SessionLoggedOutError):
        client.wait(TIMEOUT)


def test_a_life_that_is_over_does_not_cut_off_the_next_one(
    simulator: Simulator, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, answer = threading.Event(), threading.Event()
    getaddrinfo = socket.getaddrinfo
    lookups: List[str] = []

    def hang(host: str, *arguments: Any, **options: Any) -> Any:
        lookups.append(host)
        if len(lookups) == 2:
            looking.set()
            assert answer.wait(TIMEOUT)
        return getaddrinfo(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    client = make_client(simulator)
    call = Background(client.connect)
    assert looking.wait(TIMEOUT)
    readers = [thread for thread in threading.enumerate() if thread.name == "onetrade-ws reader"]
    client.disconnect(timeout=0.05)
    call.error()
    client.connect()
    answer.set()
    for reader in readers:
        reader.join(TIMEOUT)
    client.send("after", 1)
    simulator.wait_for(lambda simulator: any("after" in message.text for message in simulator.messages))


class Raising(logging.Handler):
    """A program's log handler that fails for some lines."""

    def __init__(self, words: str, error: BaseException) -> None:
        super().__init__()
        self.raised = threading.Event()
        self._words = words
        self._error = error

    def emit(self, record: logging.LogRecord) -> None:
        if self._words in record.getMessage():
            self.raised.set()
            raise self._error


@pytest.fixture(params=[RuntimeError("a log handler that fails"), SystemExit(3)], ids=repr)
def failure(request: pytest.FixtureRequest) -> BaseException:
    """What a log handler raises: one that fails, and one that ends the program on errors, or tries to."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def raising(request: pytest.FixtureRequest, failure: BaseException) -> Iterator[Raising]:
    logger, handler = logging.getLogger("onetrade_ws"), Raising(request.param, failure)
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.mark.parametrize("raising", ["connected to"], indirect=True)
def test_a_log_handler_that_fails_costs_no_connection(
    simulator: Simulator, make_client: MakeClient, raising: Raising
) -> None:
    client = make_client(simulator)
    stream = connected(client, INFO)
    simulator.wait_until_subscribed()
    simulator.info("hello")
    read_until(stream, lambda event: event.type is INFO)
    assert raising.raised.is_set()
    assert client.stats().connections == 1


@pytest.mark.parametrize("raising", ["too slow"], indirect=True)
def test_a_log_handler_that_fails_costs_no_event(
    simulator: Simulator, make_client: MakeClient, raising: Raising, hold_up: HoldUp
) -> None:
    client = make_client(simulator, queue_limit=1000)
    client.subscribe(INFO, hold_up)
    client.connect()
    simulator.wait_until_subscribed()
    simulator.info("first")
    assert hold_up.entered.wait(TIMEOUT)
    # More than one batch: the second finds the queue full.
    for number in range(1000):
        simulator.info(f"{number:300}")
    assert raising.raised.wait(TIMEOUT)
    with client.expect("last", timeout=TIMEOUT):
        hold_up.release.set()
        simulator.emit("last")
    assert hold_up.messages == ["first", *(f"{number:300}" for number in range(1000))]


@pytest.mark.parametrize("raising", ["raised for", ""], indirect=True)
def test_a_log_handler_that_fails_costs_no_callback(
    simulator: Simulator, make_client: MakeClient, raising: Raising
) -> None:
    def fail(event: Event) -> None:
        raise ValueError("it broke")

    client = make_client(simulator)
    client.connect()
    client.subscribe("first", fail)
    with client.expect(ClientEventType.CALLBACK_ERROR, timeout=TIMEOUT):
        simulator.emit("first")
    assert raising.raised.is_set()
    with client.expect("last", timeout=TIMEOUT):
        simulator.emit("last")


@pytest.mark.parametrize("raising", ["reconnecting"], indirect=True)
def test_a_log_handler_that_fails_while_reconnecting_leaves_nobody_waiting(
    simulator: Simulator, make_client: MakeClient, raising: Raising
) -> None:
    client = make_client(simulator)
    client.connect()
    simulator.drop()
    with pytest.raises(ReconnectFailedError):
        client.wait(TIMEOUT)
    assert raising.raised.is_set()
    assert client.state is ConnectionState.CLOSED


def test_a_family_that_is_not_supported_here_is_passed_over(
    simulator: Simulator, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    getaddrinfo = socket.getaddrinfo

    def strange_first(*arguments: Any, **options: Any) -> List[Tuple[Any, ...]]:
        found = getaddrinfo(*arguments, **options)
        return [(12345, *found[0][1:]), *found]

    monkeypatch.setattr(socket, "getaddrinfo", strange_first)
    client = make_client(simulator)
    client.connect()
    assert client.state is ConnectionState.OPEN


def test_no_descriptor_left_is_a_trouble_that_passes(
    simulator: Simulator, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(simulator)
    stream = connected(client, ClientEventType.RECONNECTING, ClientEventType.GAP)
    socketpair, failures = socket.socketpair, [OSError(24, "Too many open files")] * 3

    def fail_for_a_while(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return socketpair(*arguments)

    monkeypatch.setattr(socket, "socketpair", fail_for_a_while)
    simulator.drop()
    events = read_until(stream, lambda event: event.type is ClientEventType.GAP)
    reasons = [str(event.data.reason) for event in events if event.type is ClientEventType.RECONNECTING]
    assert any("Too many open files" in reason for reason in reasons)


def test_no_thread_left_is_a_trouble_that_passes(
    simulator: Simulator, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(simulator)
    stream = connected(client, ClientEventType.RECONNECTING, ClientEventType.GAP)
    start, failures = threading.Timer.start, [RuntimeError("can't start new thread")] * 3

    def fail_for_a_while(timer: threading.Timer) -> None:
        if failures:
            raise failures.pop()
        start(timer)

    monkeypatch.setattr(threading.Timer, "start", fail_for_a_while)
    simulator.drop()
    events = read_until(stream, lambda event: event.type is ClientEventType.GAP)
    reasons = [str(event.data.reason) for event in events if event.type is ClientEventType.RECONNECTING]
    assert any("no thread left" in reason for reason in reasons)


def test_the_session_that_our_own_broken_connection_holds_is_waited_for(
    hostile: MakeHostile, make_client: MakeClient
) -> None:
    validations: Dict[str, int] = {"so far": 0}

    def http(peer: Peer) -> None:
        validations["so far"] += 1
        if validations["so far"] in (2, 3):
            peer.answer(400, {"success": False, "code": 400, "message": "session is already used"})
        else:
            validated(peer)

    def script(peer: Peer) -> None:
        peer.upgrade()
        if peer.number == 1:
            peer.reset()
        else:
            peer.serve()

    server = hostile(script, http=http)
    client = make_client(server)
    client.connect()
    server.wait_for(
        lambda server: any(f.connection == 2 and "start_account_all" in f.text for f in server.frames)
    )
    assert client.state is ConnectionState.OPEN
    assert validations["so far"] == 4


def test_a_gap_reaches_from_one_life_to_the_next(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator, reconnect=None)
    client.connect()
    simulator.wait_until_subscribed()
    simulator.place_order(1, SideType.BUY, 0.1)
    simulator.drop()
    with pytest.raises(ConnectionLostError):
        client.wait(TIMEOUT)
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT) as gap:
        client.connect()
    assert isinstance(gap.event.data.reason, ConnectionLostError)
    assert gap.event.data.started_at <= gap.event.data.ended_at


def test_what_waits_behind_a_callback_that_is_left_behind_reaches_the_mirror(
    simulator: Simulator, make_client: MakeClient, hold_up: HoldUp
) -> None:
    client: OneTradeClient = make_client(simulator)
    seen: List[Event] = []
    client.subscribe(INFO, hold_up)
    client.subscribe(EventMessageType.POSITIONS_OPEN, seen.append)
    client.connect()
    simulator.wait_until_subscribed()
    simulator.info("first")
    assert hold_up.entered.wait(TIMEOUT)
    simulator.place_order(1, SideType.BUY, 0.1)
    dispatcher = [thread for thread in threading.enumerate() if thread.name == "onetrade-ws dispatcher"]
    # The closing handshake comes behind all of it.
    client.disconnect(timeout=1.0)
    hold_up.release.set()
    for thread in dispatcher:
        thread.join(TIMEOUT)
    assert len(client.account.positions) == 1
    assert seen == []
