"""After a loss the client comes back by itself, and says what it missed."""

from __future__ import annotations

import logging
import random
import threading
import time
from itertools import count
from typing import Any, Callable, List, Tuple

import pytest
import websocket

from onetrade_ws import (
    AuthenticationError,
    ClientEventType,
    ConnectionClosedError,
    ConnectionLostError,
    ConnectionStalledError,
    ConnectionState,
    Event,
    EventMessageType,
    Gap,
    NetworkError,
    OneTradeClient,
    OneTradeError,
    ReconnectFailedError,
    ReconnectPolicy,
    ServerError,
)
from onetrade_ws.simulator import Simulator
from onetrade_ws.simulator import websocket as framing
from tests.connection.conftest import (
    FAST,
    Background,
    MakeClient,
    MakeHostile,
    became,
    connected,
    messages,
    read_until,
)
from tests.connection.hostile import TIMEOUT, Peer, close_frame, event_frame, validated, well_behaved

NUMBERED = "numbered"
ACCOUNT = ("start_account_all", None)
# Bytes that may wait for a client that is slower than the producer: little, or the test waits for it.
BACKLOG = 200_000
# How many events a producer may be ahead of the client.
AHEAD = 3_000


def subscribed(symbol_id: int) -> Tuple[str, int]:
    """The message that asks for a symbol."""
    return ("market_subscribe_symbol", symbol_id)


class Producer:
    """A thread that emits numbered events as fast as a client takes them."""

    def __init__(self, simulator: Simulator, client: OneTradeClient) -> None:
        self._simulator = simulator
        self._delivered = 0
        self._pace = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="producer")
        client.subscribe(NUMBERED, self._note)

    def _note(self, event: Event) -> None:
        self._delivered = event.data
        self._pace.set()

    def _run(self) -> None:
        for number in count():
            if self._stop.is_set():
                return
            self._simulator.emit(NUMBERED, number)
            # The system's buffers hold a hundred thousand of them. A loss would take them all, and prove nothing; the
            # end of the test would wait for them. After a loss it is not known how many are on their way.
            if number % 100 == 0 and number - self._delivered > AHEAD:
                self._pace.clear()
                self._pace.wait(0.02)

    def __enter__(self) -> Producer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def close_politely(simulator: Simulator) -> None:
    simulator.close(1001, "going away")


FAULTS = [Simulator.drop, Simulator.reset, close_politely]


def lose(simulator: Simulator, client: OneTradeClient) -> Gap:
    """Lose the connection, and wait until the client is back."""
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT) as expected:
        simulator.drop()
    gap = expected.event.data
    assert isinstance(gap, Gap)
    return gap


def is_number(event: Event) -> bool:
    return event.type == NUMBERED


def at_least(number: int) -> Callable[[Event], bool]:
    return lambda event: is_number(event) and event.data >= number


@pytest.mark.parametrize("fault", FAULTS)
def test_a_loss_in_the_middle_of_a_busy_stream(
    simulator: Simulator, make_client: MakeClient, fault: Callable[[Simulator], None]
) -> None:
    client = make_client(simulator, queue_limit=BACKLOG)
    client.subscribe_market(1)
    client.subscribe_market(2)
    stream = client.events(NUMBERED, ClientEventType.GAP, ClientEventType.RECONNECTING, timeout=TIMEOUT)
    begun_at = time.time()
    client.connect()
    with Producer(simulator, client):
        events = read_until(stream, at_least(2_000))
        simulator.wait_for(lambda simulator: len(messages(simulator, 1)) == 3)
        simulator.refuse_validation(503, "down for a moment", times=None)
        lost_at = time.time()
        fault(simulator)
        events += read_until(stream, lambda event: event.type is ClientEventType.RECONNECTING)
        for number in range(50):
            client.send("note", number)
        client.subscribe_market(3)
        client.unsubscribe_market(2)
        simulator.allow()
        events += read_until(stream, lambda event: event.type is ClientEventType.GAP)
        back_at = time.time()
        resumed = read_until(stream, is_number)
        events += resumed
        goal = resumed[-1].data + 2_000
        events += read_until(stream, at_least(goal))
    simulator.wait_for(lambda simulator: len(messages(simulator, 2)) >= 53)
    client.disconnect()
    events += list(stream)

    # No event twice, none out of order; and none lost but in the gap, which is announced at its place.
    gaps = [index for index, event in enumerate(events) if event.type is ClientEventType.GAP]
    assert len(gaps) == 1
    before = [event for event in events[: gaps[0]] if is_number(event)]
    after = [event for event in events[gaps[0] :] if is_number(event)]
    assert [event.data for event in before] == list(range(len(before)))
    assert [event.data for event in after] == list(range(after[0].data, after[0].data + len(after)))
    assert after[0].data > before[-1].data

    # The gap says from when to when.
    gap = events[gaps[0]].data
    assert begun_at <= gap.started_at <= gap.ended_at <= back_at
    assert before[-1].received_at <= gap.started_at
    assert lost_at <= gap.ended_at
    assert isinstance(gap.reason, ConnectionLostError)

    # What is wanted now was restored, once, in the order of the asking; then what had waited, in its order.
    assert simulator.connections_total == 2
    assert messages(simulator, 1) == [ACCOUNT, subscribed(1), subscribed(2)]
    expected = [ACCOUNT, subscribed(1), subscribed(3)] + [("note", number) for number in range(50)]
    assert messages(simulator, 2) == expected


def test_several_losses_in_a_row_while_both_sides_talk(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator, outgoing_limit=1_000_000, queue_limit=BACKLOG)
    client.subscribe_market(7)
    stream = client.events(NUMBERED, ClientEventType.GAP, timeout=TIMEOUT)
    sent = count()

    def talk(event: Event) -> None:
        if event.data % 10 == 0:
            client.send("note", next(sent))

    client.subscribe(NUMBERED, talk)
    client.connect()
    events: List[Event] = []
    with Producer(simulator, client):
        for fault in FAULTS * 2:
            events += read_until(stream, is_number)
            goal = events[-1].data + 200
            events += read_until(stream, at_least(goal))
            fault(simulator)
            events += read_until(stream, lambda event: event.type is ClientEventType.GAP)
        events += read_until(stream, is_number)
    with client.expect("settled", timeout=TIMEOUT):
        simulator.emit("settled")
    client.send("end")
    simulator.wait_for(lambda simulator: any(b'"end"' in message.payload for message in simulator.messages))
    client.disconnect()

    # Inbound: every hole is announced where it is.
    seen, after_gap = -1, False
    for event in events:
        if event.type is ClientEventType.GAP:
            after_gap = True
        else:
            assert event.data == seen + 1 or (after_gap and event.data > seen)
            seen, after_gap = event.data, False

    # Outbound: nothing twice, nothing out of order, whole within each connection; restored once on each.
    notes: List[int] = []
    for connection in range(1, len(FAULTS) * 2 + 2):
        arrived = messages(simulator, connection)
        # A fault may come before the simulator has read what is in front of it.
        assert arrived[:2] == [ACCOUNT, subscribed(7)][: len(arrived)]
        numbers = [data for name, data in arrived[2:] if name == "note"]
        assert {name for name, _ in arrived[2:]} <= {"note", "end"}
        assert numbers == list(range(min(numbers, default=0), max(numbers, default=-1) + 1))
        notes += numbers
    assert notes == sorted(set(notes))
    assert client.stats().connections == len(FAULTS) * 2 + 1


REASONS: List[Tuple[str, Callable[[Simulator], None], type, str]] = [
    ("drop", Simulator.drop, ConnectionLostError, "without a close frame"),
    ("reset", Simulator.reset, ConnectionLostError, "was lost"),
    ("close", close_politely, ConnectionClosedError, "going away"),
    ("close without a code", lambda simulator: simulator.close(None), ConnectionClosedError, "code None"),
    ("stop", Simulator.stop, ConnectionClosedError, "1001"),
]


@pytest.mark.parametrize(
    ("fault", "kind", "words"), [case[1:] for case in REASONS], ids=[case[0] for case in REASONS]
)
def test_the_reason_is_told_everywhere(
    simulator: Simulator, make_client: MakeClient, fault: Callable[[Simulator], None], kind: type, words: str
) -> None:
    client = make_client(simulator)
    stream = connected(client, ClientEventType.RECONNECTING, ClientEventType.GAP)
    fault(simulator)
    events = read_until(stream, lambda event: event.type is ClientEventType.RECONNECTING)
    simulator.start()
    events += read_until(stream, lambda event: event.type is ClientEventType.GAP)

    kinds = [event.type for event in events if event.type is not ClientEventType.RECONNECTING]
    assert kinds == [ClientEventType.STATE_CHANGED, ClientEventType.STATE_CHANGED, ClientEventType.GAP]
    lost, reconnecting = events[0].data, events[1].data
    back, gap = events[-2].data, events[-1].data
    assert (lost.old, lost.new) == (ConnectionState.OPEN, ConnectionState.CONNECTING)
    assert (back.old, back.new, back.reason) == (ConnectionState.CONNECTING, ConnectionState.OPEN, None)
    assert reconnecting.attempt == 1
    assert type(gap.reason) is kind
    assert lost.reason is reconnecting.reason is gap.reason
    assert words in str(gap.reason)


def test_a_stall_in_the_middle_of_a_frame_is_a_loss(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator, heartbeat_interval=0.05, heartbeat_timeout=0.3)
    client.connect()
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT) as expected:
        simulator.stall_mid_frame()
    assert isinstance(expected.event.data.reason, ConnectionStalledError)
    with client.expect("whole", timeout=TIMEOUT):
        simulator.emit("whole")
    assert client.stats().decode_errors == 0


def test_each_attempt_validates_afresh(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    client.connect()
    lose(simulator, client)
    lose(simulator, client)
    assert [request.method for request in simulator.requests] == ["POST", "GET"] * 3


def test_attempts_that_fail_are_counted_and_told(
    simulator: Simulator, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    client = make_client(simulator)
    client.connect()
    stream = client.events(ClientEventType.RECONNECTING, ClientEventType.GAP, timeout=TIMEOUT)
    simulator.refuse_validation(503, "not now", times=2)
    simulator.refuse_handshake(500, "nor now")
    simulator.drop()
    events = read_until(stream, lambda event: event.type is ClientEventType.GAP)
    gap = events.pop().data
    told = [event.data for event in events]
    assert [reconnecting.attempt for reconnecting in told] == [1, 2, 3, 4]
    assert all(0 <= reconnecting.delay <= FAST.max_delay for reconnecting in told)
    assert [type(reconnecting.reason) for reconnecting in told] == [ConnectionLostError] + [ServerError] * 3
    assert [str(reconnecting.reason).rpartition(": ")[2] for reconnecting in told[1:]] == [
        "not now",
        "not now",
        "nor now",
    ]
    # What was missed began with the loss, whatever failed since.
    assert gap.reason is told[0].reason
    lines = [record.message for record in caplog.records if record.name.startswith("onetrade_ws")]
    assert [line.partition(";")[0] for line in lines] == [str(reconnecting.reason) for reconnecting in told]


def test_unsubscribing_while_down_is_not_undone(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    client.connect()
    for symbol_id in (1, 2, 3):
        client.subscribe_market(symbol_id)
    simulator.refuse_validation(503, "down", times=None)
    with client.expect(ClientEventType.RECONNECTING, timeout=TIMEOUT):
        simulator.drop()
    client.unsubscribe_market(1)
    client.stop_account_all()
    client.unsubscribe_market(2)
    client.subscribe_market(2)
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
        simulator.allow()
    client.send("end")
    simulator.wait_for(lambda simulator: ("end", None) in messages(simulator, 2))
    # Asked for again later, symbol 2 comes after symbol 3.
    assert messages(simulator, 2) == [subscribed(3), subscribed(2), ("end", None)]


def test_stopped_account_updates_stay_stopped(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    client.connect()
    client.stop_account_all()
    simulator.wait_for(lambda simulator: len(messages(simulator, 1)) == 2)
    lose(simulator, client)
    client.start_account_all()
    simulator.wait_for(lambda simulator: len(messages(simulator, 2)) == 1)
    lose(simulator, client)
    client.send("end")
    simulator.wait_for(lambda simulator: ("end", None) in messages(simulator, 3))
    assert messages(simulator, 1) == [ACCOUNT, ("stop_account_all", None)]
    assert messages(simulator, 2) == [ACCOUNT]
    assert messages(simulator, 3) == [ACCOUNT, ("end", None)]


def test_account_updates_that_were_never_wanted_are_not_restored(
    simulator: Simulator, make_client: MakeClient
) -> None:
    client = make_client(simulator, account_updates=False)
    client.connect()
    lose(simulator, client)
    client.send("end")
    simulator.wait_for(lambda simulator: ("end", None) in messages(simulator, 2))
    assert messages(simulator, 1) == []
    assert messages(simulator, 2) == [("end", None)]


def test_prices_come_again_after_a_loss(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    client.connect()
    with client.expect(EventMessageType.MARKET_FEED, timeout=TIMEOUT):
        client.subscribe_market(1)
    lose(simulator, client)
    with client.expect(EventMessageType.MARKET_FEED, lambda event: event.data.bid == 1.5, timeout=TIMEOUT):
        simulator.wait_for(lambda simulator: subscribed(1) in messages(simulator, 2))
        simulator.quote(1, 1.5)


def test_it_gives_up_at_the_policys_limit(simulator: Simulator, make_client: MakeClient) -> None:
    policy = ReconnectPolicy(initial_delay=0.01, max_delay=0.05, max_attempts=3, stable_after=0.0)
    client = make_client(simulator, reconnect=policy)
    client.connect()
    stream = client.events(ClientEventType.STATE_CHANGED, timeout=TIMEOUT)
    requests = len(simulator.requests)
    simulator.refuse_validation(503, "gone", times=None)
    simulator.drop()
    with pytest.raises(ReconnectFailedError) as caught:
        client.wait(TIMEOUT)
    assert caught.value.attempts == 3
    assert isinstance(caught.value.last_error, ServerError)
    assert "gone" in str(caught.value)
    assert len(simulator.requests) - requests == 3
    assert client.state is ConnectionState.CLOSED
    changes: List[Any] = []
    with pytest.raises(ReconnectFailedError):
        changes.extend(event.data for event in stream)
    assert changes == [] or changes[-1].reason is caught.value


def test_the_end_is_told_with_its_reason(simulator: Simulator, make_client: MakeClient) -> None:
    policy = ReconnectPolicy(initial_delay=0.01, max_delay=0.05, max_attempts=1)
    client = make_client(simulator, reconnect=policy)
    client.connect()
    changes: List[Any] = []
    client.subscribe(ClientEventType.STATE_CHANGED, lambda event: changes.append(event.data))
    simulator.refuse_validation(503, "down", times=None)
    simulator.drop()
    with pytest.raises(ReconnectFailedError) as caught:
        client.wait(TIMEOUT)
    closing, closed = changes[-2:]
    assert (closing.new, closed.new) == (ConnectionState.CLOSING, ConnectionState.CLOSED)
    assert closing.reason is closed.reason is caught.value
    # It is still the reason when it is asked again, and connecting again forgets it.
    with pytest.raises(ReconnectFailedError):
        client.wait(TIMEOUT)
    simulator.allow()
    client.connect()
    client.disconnect()
    assert client.wait(TIMEOUT) is True


def test_without_a_policy_a_loss_is_the_end(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator, reconnect=None)
    client.connect()
    simulator.close(1011, "out of memory")
    with pytest.raises(ConnectionClosedError) as caught:
        client.wait(TIMEOUT)
    assert caught.value.code == 1011
    assert simulator.connections_total == 1


def breaks_at_once(peer: Peer) -> None:
    """The script of a server that throws everybody out who has come in."""
    peer.upgrade()
    assert peer.read_frame().payload == b"9"
    peer.send(close_frame(1013, "too busy"))
    peer.finish()


def test_a_connection_that_breaks_at_once_counts_as_a_failed_attempt(
    hostile: MakeHostile, make_client: MakeClient
) -> None:
    server = hostile(breaks_at_once)
    policy = ReconnectPolicy(initial_delay=0.01, max_delay=0.05, max_attempts=3, stable_after=3600)
    client = make_client(server, reconnect=policy, account_updates=False)
    attempts: List[int] = []
    client.subscribe(ClientEventType.RECONNECTING, lambda event: attempts.append(event.data.attempt))
    try:
        client.connect()
    except ConnectionClosedError:
        pytest.fail("connect() took the loss for a refusal")
    except ReconnectFailedError:
        pass  # lost for good before connect() could see it open
    with pytest.raises(ReconnectFailedError) as caught:
        client.wait(TIMEOUT)
    assert caught.value.attempts == 3
    assert isinstance(caught.value.last_error, ConnectionClosedError)
    assert attempts == [1, 2, 3]
    assert server.handshakes == 4


def test_a_connection_that_was_stable_starts_the_counting_anew(
    simulator: Simulator, make_client: MakeClient
) -> None:
    policy = ReconnectPolicy(initial_delay=0.01, max_delay=0.05, max_attempts=1, stable_after=0.0)
    client = make_client(simulator, reconnect=policy)
    attempts: List[int] = []
    client.subscribe(ClientEventType.RECONNECTING, lambda event: attempts.append(event.data.attempt))
    client.connect()
    for _ in range(4):
        lose(simulator, client)
    assert attempts == [1, 1, 1, 1]


def test_a_server_that_refuses_connections_for_a_while(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    client.connect()
    stream = client.events(ClientEventType.RECONNECTING, ClientEventType.GAP, timeout=TIMEOUT)
    simulator.stop()
    read_until(
        stream,
        lambda event: (
            isinstance(event.data.reason, NetworkError) and "refused" in str(event.data.reason).lower()
        ),
    )
    simulator.start()
    gap = read_until(stream, lambda event: event.type is ClientEventType.GAP)[-1].data
    assert isinstance(gap.reason, ConnectionClosedError)
    assert client.state is ConnectionState.OPEN


# Numbers of 4,000 digits: so few of them are more than the system's buffers hold.
_LARGE = 10**4000
_MANY = 2_000


def test_a_gap_reaches_back_to_the_loss_when_the_next_connection_breaks_before_it_is_open(
    hostile: MakeHostile, make_client: MakeClient
) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        if peer.number == 1:
            while peer.read_frame().text.find("start_account_all") < 0:
                pass
            peer.send(close_frame(1001, "the loss"))
            peer.finish()
        elif peer.number == 2:
            # It takes what is asked for again only in part, so that the client never gets as far as OPEN.
            peer.receive()
            peer.reset()
        else:
            peer.serve()

    asked = threading.Event()

    def validate(peer: Peer) -> None:
        if server.handshakes == 1:
            assert asked.wait(TIMEOUT)
        validated(peer)

    server = hostile(script, http=validate)
    client = make_client(server)
    stream = client.events(
        ClientEventType.STATE_CHANGED, ClientEventType.RECONNECTING, ClientEventType.GAP, timeout=TIMEOUT
    )

    def ask_for_much(event: Event) -> None:
        if event.data.attempt == 1:
            for number in range(_MANY):
                client.subscribe_market(_LARGE + number)
            asked.set()
        else:
            for number in range(_MANY):
                client.unsubscribe_market(_LARGE + number)

    # While it is down: a callback, so that the client waits neither for us nor we for it.
    client.subscribe(ClientEventType.RECONNECTING, ask_for_much)
    client.connect()
    events = read_until(stream, lambda event: event.type is ClientEventType.GAP)
    assert server.handshakes == 3
    opened = [event for event in events if became(ConnectionState.OPEN)(event)]
    lost = [event for event in events if became(ConnectionState.CONNECTING)(event)]
    assert len(opened) == 2, "the second connection was open: the test proves nothing"
    gap = events[-1].data
    assert gap.started_at <= lost[-1].received_at
    assert isinstance(gap.reason, ConnectionClosedError)


def test_credentials_that_were_revoked_end_it(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    client.connect()
    # Told of somebody else's logout, so that only the refusal can end it.
    simulator.refuse_validation(401, "token expired", times=None)
    simulator.drop()
    with pytest.raises(AuthenticationError):
        client.wait(TIMEOUT)
    assert [request.method for request in simulator.requests] == ["POST", "GET", "POST"]


def test_connect_waits_for_a_client_that_is_reconnecting(
    simulator: Simulator, make_client: MakeClient
) -> None:
    client = make_client(simulator)
    client.connect()
    simulator.refuse_validation(503, "down", times=None)
    with client.expect(ClientEventType.RECONNECTING, timeout=TIMEOUT):
        simulator.drop()
    joining = Background(client.connect)
    simulator.allow()
    joining.result()
    assert client.state is ConnectionState.OPEN
    assert simulator.connections_total == 2


def test_events_before_the_loss_are_delivered_before_it(
    simulator: Simulator, make_client: MakeClient
) -> None:
    client = make_client(simulator)
    stream = connected(client, "last words")
    simulator.emit("last words")
    simulator.close(1001)
    first = next(stream)
    assert first.type == "last words"
    assert became(ConnectionState.CONNECTING)(next(stream))


def test_frames_that_come_with_the_handshake_come_after_the_gap(
    hostile: MakeHostile, make_client: MakeClient
) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade(event_frame(NUMBERED, peer.number))
        if peer.number == 1:
            while "go on" not in peer.read_frame().text:
                pass
            peer.send(close_frame(1000))
            peer.finish()
        peer.serve()

    client = make_client(hostile(script))
    stream = client.events(timeout=TIMEOUT)
    client.connect()
    client.send("go on")
    events = read_until(stream, lambda event: is_number(event) and event.data == 2)
    kinds = [event.type for event in events]
    assert kinds[-3:] == [ClientEventType.STATE_CHANGED, ClientEventType.GAP, NUMBERED]
    assert kinds.count(NUMBERED) == 2


def test_a_server_that_answers_each_subscription_before_it_reads_the_next(
    hostile: MakeHostile, make_client: MakeClient
) -> None:
    snapshot = event_frame("snapshot", "x" * 10_000)

    def script(peer: Peer) -> None:
        peer.upgrade()
        while True:
            if "market_subscribe_symbol" in peer.read_frame().text:
                peer.send(snapshot)

    client = make_client(hostile(script, receive_buffer=4096))
    for number in range(_MANY):
        client.subscribe_market(_LARGE + number)
    stream = client.events("snapshot", timeout=TIMEOUT)
    client.connect()
    assert len([next(stream) for _ in range(_MANY)]) == _MANY
    assert client.stats().connections == 1


def test_what_comes_before_everything_is_restored_is_bounded_and_kept(
    hostile: MakeHostile, make_client: MakeClient
) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        for number in range(50):
            peer.send(event_frame(NUMBERED, number))
        peer.serve()

    # Reading goes on while subscriptions are written, but no further than this.
    client = make_client(hostile(script, receive_buffer=4096), queue_limit=1)
    for number in range(_MANY):
        client.subscribe_market(_LARGE + number)
    stream = client.events(NUMBERED, ClientEventType.STATE_CHANGED, timeout=TIMEOUT)
    client.connect()
    events = read_until(stream, lambda event: is_number(event) and event.data == 49)
    assert [became(ConnectionState.OPEN)(event) for event in events[:3]] == [False, True, False]
    assert [event.data for event in events[2:]] == list(range(50))


class Moody(ReconnectPolicy):
    """A policy of a user's own."""

    def delay(self, attempt: int, draw: Callable[[], float] = random.random) -> float:
        raise RuntimeError("not today")


def test_a_policy_that_raises_ends_the_client(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator, reconnect=Moody())
    client.connect()
    simulator.drop()
    with pytest.raises(ReconnectFailedError, match="RuntimeError"):
        client.wait(TIMEOUT)
    assert client.state is ConnectionState.CLOSED


def test_a_failure_of_the_websocket_library_is_a_loss(
    simulator: Simulator, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive = websocket.WebSocket.recv_frame

    def fail_once(*arguments: Any) -> Any:
        monkeypatch.setattr(websocket.WebSocket, "recv_frame", receive)
        raise RuntimeError("a bug")

    monkeypatch.setattr(websocket.WebSocket, "recv_frame", fail_once)
    client = make_client(simulator)
    client.connect()
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT) as expected:
        # One that is not cut out of the buffer without it.
        simulator.emit_raw(framing.frame(framing.PING, b""))
    assert "RuntimeError" in str(expected.event.data.reason)
    assert simulator.connections_total == 2


def test_a_hostile_server_cannot_hold_the_reconnect_up(hostile: MakeHostile, make_client: MakeClient) -> None:
    """A connection attempt that gets no answer is given up after the connect timeout, and another one made."""
    answering = threading.Event()

    def script(peer: Peer) -> None:
        if peer.number == 2:
            # The handshake is never answered; the client hangs up.
            answering.set()
            peer.read_until_end()
        if peer.number == 1:
            peer.upgrade()
            peer.read_frame()
            peer.close()
            return
        well_behaved(peer)

    client = make_client(hostile(script), connect_timeout=1.0, account_updates=False)
    stream = client.events(ClientEventType.RECONNECTING, ClientEventType.GAP, timeout=TIMEOUT)
    Background(lambda: _ignore(client.connect)).result()
    events = read_until(stream, lambda event: event.type is ClientEventType.GAP)
    assert answering.is_set()
    reasons = [event.data.reason for event in events]
    assert any(isinstance(reason, NetworkError) and reason.step == "handshake" for reason in reasons)


def _ignore(call: Callable[[], None]) -> None:
    """A first connection that is lost at once may be seen by connect() or not."""
    try:
        call()
    except OneTradeError:
        pass
