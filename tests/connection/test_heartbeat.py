"""The heartbeat: it goes out, its answer is swallowed, and a server that is dead is noticed, a quiet one not."""

from __future__ import annotations

import ctypes
import threading
import time
from typing import Any, List

import pytest

from onetrade_ws import ClientEventType, ConnectionStalledError, ConnectionState, Event, OneTradeClient
from onetrade_ws.simulator import Simulator
from onetrade_ws.simulator import websocket as framing
from tests.connection.conftest import (
    Background,
    MakeClient,
    MakeHostile,
    client_threads,
    connected,
    join_client_threads,
    messages,
    read_until,
)
from tests.connection.hostile import TIMEOUT, Peer, event_frame, text_frame

#: Beats often, and takes any pause of a busy machine for one.
PATIENT = {"heartbeat_interval": 0.02, "heartbeat_timeout": 20.0}
#: Loses patience soon. What is tested with it must bear a false alarm of a busy machine.
IMPATIENT = {"heartbeat_interval": 0.05, "heartbeat_timeout": 0.25}


def beats(simulator: Simulator, connection: int = 1) -> int:
    return sum(message.payload == b"9" and message.connection == connection for message in simulator.messages)


def wait_for_beats(simulator: Simulator, count: int, connection: int = 1) -> None:
    simulator.wait_for(lambda simulator: beats(simulator, connection) >= count)


def stalled(client: OneTradeClient, cause: Any) -> ConnectionStalledError:
    """Wait for the loss that ``cause`` brings about."""
    with client.expect(
        ClientEventType.RECONNECTING,
        lambda event: isinstance(event.data.reason, ConnectionStalledError),
        timeout=TIMEOUT,
    ) as expected:
        cause()
    reason = expected.event.data.reason
    assert isinstance(reason, ConnectionStalledError)
    return reason


def test_it_beats_at_once(simulator: Simulator, make_client: MakeClient) -> None:
    make_client(simulator, heartbeat_interval=3600).connect()
    simulator.wait_for(lambda simulator: len(messages(simulator, 1)) == 1)
    assert simulator.messages[0].payload == b"9"
    assert simulator.messages[0].opcode == 1
    assert beats(simulator) == 1


def test_it_beats_at_every_interval(simulator: Simulator, make_client: MakeClient) -> None:
    make_client(simulator, **PATIENT).connect()
    simulator.wait_for(lambda simulator: beats(simulator) >= 10)
    times = [message.at for message in simulator.messages if message.payload == b"9"]
    assert times == sorted(times)


def test_it_begins_anew_with_each_connection(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator, **PATIENT)
    client.connect()
    for connection in (2, 3):
        with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
            simulator.drop()
        wait_for_beats(simulator, 3, connection)
        first = next(message for message in simulator.messages if message.connection == connection)
        assert first.payload == b"9"
        assert client_threads().count("onetrade-ws heartbeat") == 1


def test_the_answer_is_swallowed_and_measured(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator, **PATIENT)
    assert client.stats().heartbeat_round_trip is None
    seen: List[Event] = []
    client.subscribe(None, seen.append)
    client.connect()
    simulator.wait_for(lambda simulator: beats(simulator) >= 5)
    with client.expect("settled", timeout=TIMEOUT):
        simulator.emit("settled")
    assert [event.type for event in seen if event.type is not ClientEventType.STATE_CHANGED] == ["settled"]
    stats = client.stats()
    assert stats.heartbeat_round_trip is not None
    assert 0 < stats.heartbeat_round_trip < TIMEOUT
    assert stats.frames_received == 1
    assert stats.messages_written == 1
    client.disconnect()
    assert client.stats().heartbeat_round_trip is None


def test_an_answer_nobody_asked_for_means_nothing(hostile: MakeHostile, make_client: MakeClient) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade(text_frame("10") * 3)
        assert peer.read_frame().payload == b"9"
        peer.send(text_frame("10") * 3 + event_frame("settled"))
        peer.serve()

    client = make_client(hostile(script), account_updates=False)
    with client.expect("settled", timeout=TIMEOUT):
        client.connect()
    assert client.stats().frames_received == 1
    assert client.stats().decode_errors == 0


def test_a_ten_in_a_binary_frame_is_no_answer(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    client.connect()
    with client.expect(ClientEventType.DECODE_ERROR, timeout=TIMEOUT) as expected:
        simulator.emit_binary(b"10")
    assert expected.event.raw == b"10"


def test_a_frozen_server_is_noticed(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator, connect_timeout=1.0, **IMPATIENT)
    client.connect()
    reason = stalled(client, simulator.freeze)
    assert reason.silence > 0
    assert "stalled" in str(reason)
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
        simulator.thaw()
    assert client.state is ConnectionState.OPEN


def test_a_server_that_answers_no_more_is_noticed(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator, **IMPATIENT)
    client.connect()

    def fall_silent() -> None:
        simulator.heartbeat_reply = False

    reason = stalled(client, fall_silent)
    assert reason.silence == pytest.approx(0.3)
    assert "no sign of life" in str(reason)


def test_a_server_that_never_said_anything_is_noticed(hostile: MakeHostile, make_client: MakeClient) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.read_until_end()

    client = make_client(hostile(script), **IMPATIENT)
    stalled(client, client.connect)


def test_any_traffic_is_a_sign_of_life(hostile: MakeHostile, make_client: MakeClient) -> None:
    """Each beat is answered, but never by "10"."""
    answers = [
        event_frame("something"),
        framing.frame(framing.BINARY, b"1,2,3"),
        framing.frame(framing.PING, b""),
        framing.frame(framing.PONG, b""),
        b"\x81\x7e\x00\xff" + b"x" * 5,
        b"x" * 250,
    ]

    def script(peer: Peer) -> None:
        peer.upgrade()
        left = list(answers) * 10
        while left:
            if peer.read_frame().payload == b"9":
                peer.send(left.pop(0))
        peer.send(event_frame("end"))
        peer.serve()

    client = make_client(hostile(script), heartbeat_interval=0.02, heartbeat_timeout=2.0)
    with client.expect("end", timeout=TIMEOUT):
        client.connect()
    assert client.stats().connections == 1


def test_a_quiet_server_that_is_alive_is_never_dropped(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator, heartbeat_interval=0.02, heartbeat_timeout=2.0)
    client.connect()
    simulator.wait_for(lambda simulator: beats(simulator) >= 50)
    assert simulator.connections_total == 1
    assert client.state is ConnectionState.OPEN


def test_a_server_that_takes_nothing_is_noticed(hostile: MakeHostile, make_client: MakeClient) -> None:
    taking = threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade()
        if peer.number == 1:
            # It talks, so that only the blocked write can tell.
            while not taking.is_set():
                peer.send(event_frame("chatter"))
                talked.wait(0.01)
            return
        peer.serve()

    talked = threading.Event()
    server = hostile(script, receive_buffer=4096)
    client = make_client(server, heartbeat_interval=3600, heartbeat_timeout=0.3, account_updates=False)
    client.connect()
    payload = "x" * 1_000_000

    def write_much() -> None:
        with client.expect(ClientEventType.GAP, timeout=TIMEOUT) as expected:
            for _ in range(20):
                client.send("much", payload)
            taking.set()
        assert isinstance(expected.event.data.reason, ConnectionStalledError)
        assert "took nothing" in str(expected.event.data.reason)

    Background(write_much).result()
    # Nothing is lost that was not written, and nothing is torn.
    server.wait_for(lambda server: server.messages(2))
    assert all(text.startswith('{"type":"much"') and len(text) > 1_000_000 for text in server.messages(2))


def test_jumps_of_the_wall_clock_change_nothing(
    simulator: Simulator, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(simulator, heartbeat_interval=0.02, heartbeat_timeout=2.0)
    client.connect()
    real = time.time
    for jump in (3600.0, -3600.0, 86400.0):
        monkeypatch.setattr(time, "time", lambda jump=jump: real() + jump)
        wait_for_beats(simulator, beats(simulator) + 5)
        with client.expect("settled", timeout=TIMEOUT) as expected:
            simulator.emit("settled")
        assert expected.event.received_at == pytest.approx(real() + jump, abs=60)
    assert simulator.connections_total == 1


def test_a_dead_server_is_noticed_though_the_wall_clock_stands_still(
    simulator: Simulator, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(simulator, **IMPATIENT)
    client.connect()
    monkeypatch.setattr(time, "time", lambda: 0.0)

    def fall_silent() -> None:
        simulator.heartbeat_reply = False

    stalled(client, fall_silent)


@pytest.mark.parametrize("end", ["disconnect", "drop", "log_out"])
def test_its_thread_ends_with_the_connection(simulator: Simulator, make_client: MakeClient, end: str) -> None:
    client = make_client(simulator, reconnect=None, heartbeat_interval=3600)
    client.connect()
    assert client_threads() == ["onetrade-ws dispatcher", "onetrade-ws heartbeat", "onetrade-ws reader"]
    beating = [thread for thread in threading.enumerate() if thread.name == "onetrade-ws heartbeat"]
    assert all(thread.daemon for thread in beating)
    if end == "disconnect":
        client.disconnect()
    else:
        getattr(simulator, end)()
        with pytest.raises(Exception, match=r"lost|logged out"):
            client.wait(TIMEOUT)
        join_client_threads()
    assert client_threads() == []


def test_a_program_that_is_held_up_itself_is_no_stall(simulator: Simulator, make_client: MakeClient) -> None:
    """Foreign code that keeps all other threads from running, for longer than a silence is borne."""
    client = make_client(simulator, heartbeat_interval=0.1, heartbeat_timeout=1.0)
    client.connect()
    # Unlike CDLL it does not let other threads run meanwhile.
    foreign = ctypes.PyDLL(None)
    for _ in range(2):
        foreign.usleep(1_500_000)
        wait_for_beats(simulator, beats(simulator) + 2)
    assert simulator.connections_total == 1


def test_a_reader_that_is_held_up_is_no_stall(simulator: Simulator, make_client: MakeClient) -> None:
    """The user's callback is slow, so nothing is read: that says nothing about the server."""
    client = make_client(simulator, queue_limit=1, heartbeat_interval=0.02, heartbeat_timeout=0.2)
    stream = connected(client, "numbered", ClientEventType.SLOW_CONSUMER)
    started, release = threading.Event(), threading.Event()

    def be_slow(event: Event) -> None:
        if event.data == 0:
            started.set()
            assert release.wait(TIMEOUT)

    client.subscribe("numbered", be_slow)
    simulator.emit("numbered", 0)
    assert started.wait(TIMEOUT)
    for number in range(1, 25):
        simulator.emit("numbered", number)
    # Some of these wait in the queue now, which is full: what follows must wait outside.
    simulator.wait_for(lambda simulator: client.stats().frames_received > 1)
    for number in range(25, 50):
        simulator.emit("numbered", number)
    # The heartbeat goes on meanwhile, much longer than the server's silence is borne.
    seen = beats(simulator)
    simulator.wait_for(lambda simulator: beats(simulator) >= seen + 30)
    release.set()
    events = read_until(stream, lambda event: event.type == "numbered" and event.data == 49)
    assert ClientEventType.SLOW_CONSUMER in [event.type for event in events]
    assert [event.data for event in events if event.type == "numbered"] == list(range(50))
    assert simulator.connections_total == 1


def test_a_server_that_dies_while_the_reader_is_held_up_is_noticed_after_it(
    simulator: Simulator, make_client: MakeClient
) -> None:
    client = make_client(simulator, queue_limit=1, **IMPATIENT)
    stream = connected(client, "numbered", ClientEventType.RECONNECTING)
    release = threading.Event()

    def be_slow(event: Event) -> None:
        if event.data == 0:
            assert release.wait(TIMEOUT)

    client.subscribe("numbered", be_slow)
    for number in range(10):
        simulator.emit("numbered", number)
    simulator.heartbeat_reply = False
    release.set()
    events = read_until(stream, lambda event: event.type is ClientEventType.RECONNECTING)
    assert isinstance(events[-1].data.reason, ConnectionStalledError)
    assert [event.data for event in events if event.type == "numbered"] == list(range(10))
