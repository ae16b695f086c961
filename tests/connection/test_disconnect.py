"""disconnect(): bounded, final, legal everywhere, and it leaves nothing."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing
from typing import Any, Iterator, List

import pytest

from onetrade_ws import (
    ClientEventType,
    ConnectionState,
    Event,
    NotConnectedError,
    OneTradeClient,
    ReconnectPolicy,
)
from onetrade_ws.simulator import Simulator
from onetrade_ws.simulator import websocket as framing
from tests.connection.conftest import (
    Background,
    MakeClient,
    MakeHostile,
    became,
    client_threads,
    connected,
    join_client_threads,
    program_environment,
    run_python,
)
from tests.connection.hostile import TIMEOUT, HostileServer, Peer, event_frame, free_port

# A policy that is always backing off.
SLOW = ReconnectPolicy(initial_delay=100_000, max_delay=100_000)


def assert_gone(client: OneTradeClient) -> None:
    """Nothing is left of the client's connection."""
    assert client.state is ConnectionState.CLOSED
    assert client_threads() == []
    assert client.wait(TIMEOUT) is True


def test_it_is_idempotent(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    client.disconnect()
    assert client.state is ConnectionState.CLOSED
    client.connect()
    for _ in range(3):
        client.disconnect()
    assert_gone(client)
    assert simulator.connections_total == 1


def test_the_states_on_the_way(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    stream = connected(client)
    client.disconnect()
    changes = [(event.data.old, event.data.new, event.data.reason) for event in stream]
    assert changes == [
        (ConnectionState.OPEN, ConnectionState.CLOSING, None),
        (ConnectionState.CLOSING, ConnectionState.CLOSED, None),
    ]


def test_from_many_threads_at_once(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    client.connect()
    calls = [Background(client.disconnect) for _ in range(4)]
    for call in calls:
        call.result()
    assert_gone(client)
    simulator.wait_for(lambda simulator: simulator.connections == 0)
    assert [message.opcode for message in simulator.messages].count(framing.CLOSE) == 1


def test_what_has_arrived_is_delivered(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    seen: List[int] = []
    started, release = threading.Event(), threading.Event()

    def collect(event: Event) -> None:
        started.set()
        assert release.wait(TIMEOUT)
        seen.append(event.data)

    client.subscribe("numbered", collect)
    client.connect()
    for number in range(100):
        simulator.emit("numbered", number)
    assert started.wait(TIMEOUT)
    with client.expect(ClientEventType.STATE_CHANGED, became(ConnectionState.CLOSED), timeout=TIMEOUT):
        leaving = Background(client.disconnect)
        release.set()
        leaving.result()
    assert seen == list(range(len(seen)))
    assert len(seen) == client.stats().frames_received
    assert_gone(client)


def test_what_waits_to_be_sent_stays(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    client.connect()
    client.disconnect()
    client.send("later", 1)
    client.subscribe_market(1)
    assert client.stats().messages_waiting == 1
    client.connect()
    simulator.wait_for(lambda simulator: b'"later"' in simulator.messages[-1].payload)
    client.send("end")
    assert client.stats().messages_waiting == 0


# -- inside a callback -----------------------------------------------------------------------------------------


def test_inside_a_callback(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    states: List[ConnectionState] = []

    def leave(event: Event) -> None:
        client.disconnect()
        client.disconnect()
        states.append(client.state)

    client.subscribe("leave", leave)
    client.connect()
    simulator.emit("leave")
    assert client.wait(TIMEOUT) is True
    assert states == [ConnectionState.CLOSED]
    assert_gone(client)


@pytest.mark.parametrize("moment", ["CONNECTING", "OPEN", "CLOSING", "CLOSED"])
def test_inside_a_callback_for_each_state(simulator: Simulator, make_client: MakeClient, moment: str) -> None:
    client = make_client(simulator)

    def leave(event: Event) -> None:
        if event.data.new is ConnectionState[moment]:
            client.disconnect()

    client.subscribe(ClientEventType.STATE_CHANGED, leave)
    try:
        client.connect()
    except NotConnectedError:
        assert moment in ("CONNECTING", "OPEN")
    client.disconnect()
    assert_gone(client)


def test_inside_a_callback_while_reconnecting(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator, reconnect=SLOW)
    client.subscribe(ClientEventType.RECONNECTING, lambda event: client.disconnect())
    client.connect()
    simulator.drop()
    client.wait(TIMEOUT)
    assert_gone(client)
    assert simulator.connections_total == 1


def test_with_manual_dispatch(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator, dispatch="manual")
    client.subscribe("leave", lambda event: client.disconnect())
    client.connect()
    simulator.emit("leave")
    while client.state is not ConnectionState.CLOSED:
        client.pump(timeout=TIMEOUT)
    assert_gone(client)


# -- in each state ---------------------------------------------------------------------------------------------


class Scene:
    """A client that was brought into a state, and what else has to end."""

    def __init__(self, client: OneTradeClient, server: Any, *calls: Background) -> None:
        self.client = client
        self.server = server
        self.calls = calls


@pytest.fixture
def silent_port() -> Iterator[Any]:
    """A server whose queue of connections is never looked at."""
    held, port = free_port()
    with closing(held):
        held.listen(1)
        yield port


def connecting(
    hostile: MakeHostile, make_client: MakeClient, server: HostileServer, **settings: Any
) -> Scene:
    client = make_client(server, **{"connect_timeout": 60, **settings})
    call = Background(client.connect)
    return Scene(client, server, call)


def silent_login(hostile: MakeHostile, make_client: MakeClient) -> Scene:
    server = hostile(http=Peer.read_until_end)
    scene = connecting(hostile, make_client, server, api_key="key")
    server.wait_for(lambda server: server.requests)
    return scene


def silent_validation(hostile: MakeHostile, make_client: MakeClient) -> Scene:
    server = hostile(http=Peer.read_until_end)
    scene = connecting(hostile, make_client, server)
    server.wait_for(lambda server: server.requests)
    return scene


def silent_tls_of_validation(hostile: MakeHostile, make_client: MakeClient) -> Scene:
    server = hostile(tcp=Peer.read_until_end)
    scene = connecting(hostile, make_client, server, http_url=server.ws_url.replace("ws", "https"))
    server.wait_for(lambda server: server.accepted)
    return scene


def silent_tls(hostile: MakeHostile, make_client: MakeClient) -> Scene:
    http, server = hostile(), hostile(tcp=Peer.read_until_end)
    url, http_url = server.ws_url.replace("ws", "wss"), http.ws_url.replace("ws", "http")
    scene = connecting(hostile, make_client, server, url=url, http_url=http_url)
    server.wait_for(lambda server: server.accepted)
    return scene


def silent_handshake(hostile: MakeHostile, make_client: MakeClient) -> Scene:
    server = hostile(Peer.read_until_end)
    scene = connecting(hostile, make_client, server)
    server.wait_for(lambda server: server.handshakes)
    return scene


def half_a_handshake(hostile: MakeHostile, make_client: MakeClient) -> Scene:
    def script(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 101 Switch")
        peer.read_until_end()

    server = hostile(script)
    scene = connecting(hostile, make_client, server)
    server.wait_for(lambda server: server.handshakes)
    return scene


def backing_off_before_the_first_connection(hostile: MakeHostile, make_client: MakeClient) -> Scene:
    server = hostile(lambda peer: peer.answer(503))
    # An attempt that comes too late is not waited for.
    scene = connecting(hostile, make_client, server, reconnect=SLOW, connect_timeout=2 * SLOW.max_delay)
    server.wait_for(lambda server: server.handshakes)
    return scene


def backing_off_after_a_loss(hostile: MakeHostile, make_client: MakeClient) -> Scene:
    def script(peer: Peer) -> None:
        peer.upgrade()
        while "leave" not in peer.read_frame().text:
            pass

    server = hostile(script)
    client = make_client(server, reconnect=SLOW)
    client.connect()
    with client.expect(ClientEventType.RECONNECTING, timeout=TIMEOUT):
        client.send("leave")
    return Scene(client, server)


def blocked_in_a_write(hostile: MakeHostile, make_client: MakeClient) -> Scene:
    def script(peer: Peer) -> None:
        peer.upgrade(event_frame("hello"))
        peer.hold()

    server = hostile(script, receive_buffer=4096)
    client = make_client(server, heartbeat_timeout=60, outgoing_limit=1000)
    client.connect()

    def write() -> None:
        for _ in range(20):
            begun.release()
            client.send("much", "x" * 1_000_000)

    begun = threading.Semaphore(0)
    call = Background(write)
    # Some of it fits into the system's buffers; 20 MB do not.
    for _ in range(2):
        assert begun.acquire(timeout=TIMEOUT)
    return Scene(client, server, call)


def restoring(hostile: MakeHostile, make_client: MakeClient) -> Scene:
    """It is being opened: what is wanted is written, and the server takes nothing."""

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.receive()
        reading.set()
        peer.hold()

    reading = threading.Event()
    server = hostile(script, receive_buffer=4096)
    client = make_client(server, heartbeat_timeout=60, connect_timeout=60)
    for number in range(2_000):
        client.subscribe_market(10**4000 + number)
    call = Background(client.connect)
    assert reading.wait(TIMEOUT)
    return Scene(client, server, call)


def flooded_with_pings(hostile: MakeHostile, make_client: MakeClient) -> Scene:
    def script(peer: Peer) -> None:
        peer.upgrade()
        flood = framing.frame(framing.PING, b"x" * 125) * 1000
        while True:
            peer.send(flood)

    server = hostile(script, receive_buffer=4096)
    client = make_client(server, heartbeat_timeout=60)
    client.connect()
    # It takes nothing, so that sooner or later we cannot answer and read no more.
    assert server.blocked.wait(TIMEOUT)
    return Scene(client, server)


def flooded_with_messages(hostile: MakeHostile, make_client: MakeClient) -> Scene:
    def script(peer: Peer) -> None:
        peer.upgrade()
        flood = event_frame("flood") * 1000
        while True:
            peer.send(flood)

    server = hostile(script)
    # What has come is delivered first: so little that it is not that which takes the time.
    client = make_client(server, queue_limit=500_000)
    client.connect()
    client.wait_for("flood", timeout=TIMEOUT)
    return Scene(client, server)


def a_server_that_does_not_answer_the_close(hostile: MakeHostile, make_client: MakeClient) -> Scene:
    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.hold()

    server = hostile(script)
    # What has come is delivered first: so little that it is not that which takes the time.
    client = make_client(server, queue_limit=500_000)
    client.connect()
    return Scene(client, server)


def in_the_middle_of_a_frame(hostile: MakeHostile, make_client: MakeClient) -> Scene:
    def script(peer: Peer) -> None:
        peer.upgrade(event_frame("hello") + b"\x81\x7e")
        peer.serve()

    server = hostile(script)
    client = make_client(server)
    client.connect()
    return Scene(client, server)


SCENES = [
    silent_login,
    silent_validation,
    silent_tls_of_validation,
    silent_tls,
    silent_handshake,
    half_a_handshake,
    backing_off_before_the_first_connection,
    backing_off_after_a_loss,
    blocked_in_a_write,
    restoring,
    flooded_with_pings,
    flooded_with_messages,
    a_server_that_does_not_answer_the_close,
    in_the_middle_of_a_frame,
]


@pytest.mark.parametrize("where", ["thread", "timer"])
@pytest.mark.parametrize("play", SCENES)
def test_in_each_state(hostile: MakeHostile, make_client: MakeClient, play: Any, where: str) -> None:
    scene = play(hostile, make_client)
    if where == "timer":
        Background(scene.client.disconnect).result()
    else:
        scene.client.disconnect()
    assert scene.client.state is ConnectionState.CLOSED
    # The dispatcher first delivers what has come; everything else has gone.
    assert client_threads() in ([], ["onetrade-ws dispatcher"])
    for call in scene.calls:
        if play is blocked_in_a_write:
            call.result()
        else:
            assert isinstance(call.error(), NotConnectedError)
    assert scene.client.wait(TIMEOUT) is True
    join_client_threads()
    assert client_threads() == []
    handshakes = scene.server.handshakes
    scene.server.stop()
    assert scene.server.handshakes == handshakes


def test_while_the_server_does_not_take_connections(
    simulator: Simulator, make_client: MakeClient, silent_port: int
) -> None:
    client = make_client(
        simulator, url=f"ws://127.0.0.1:{silent_port}", http_url=simulator.http_url, connect_timeout=60
    )
    call = Background(client.connect)
    simulator.wait_for(lambda simulator: simulator.requests)
    client.disconnect()
    assert isinstance(call.error(), NotConnectedError)
    assert_gone(client)


def test_while_a_callback_is_stuck(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    stuck, release = threading.Event(), threading.Event()
    after: List[Event] = []

    def get_stuck(event: Event) -> None:
        stuck.set()
        assert release.wait(TIMEOUT)

    client.subscribe("stuck", get_stuck)
    client.subscribe("after", after.append)
    client.connect()
    simulator.emit("stuck")
    simulator.emit("after")
    assert stuck.wait(TIMEOUT)
    client.disconnect(timeout=1.0)
    assert client.state is ConnectionState.CLOSED
    assert client_threads() == ["onetrade-ws dispatcher"]
    # What will perhaps never end is not waited for.
    assert client.wait(TIMEOUT) is True
    release.set()
    join_client_threads()
    assert_gone(client)
    assert after == []


def test_connect_while_a_callback_is_still_stuck(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    stuck, release = threading.Event(), threading.Event()

    def get_stuck(event: Event) -> None:
        stuck.set()
        assert release.wait(TIMEOUT)

    client.subscribe("stuck", get_stuck)
    client.connect()
    simulator.emit("stuck")
    assert stuck.wait(TIMEOUT)
    client.disconnect(timeout=0.1)
    client.connect()
    with client.expect("hello", timeout=TIMEOUT):
        simulator.emit("hello")
        release.set()
    client.disconnect()
    assert_gone(client)


@pytest.mark.parametrize("inside", [False, True])
def test_while_the_reader_is_held_up(simulator: Simulator, make_client: MakeClient, inside: bool) -> None:
    client = make_client(simulator, queue_limit=1)
    release = threading.Event()

    def be_slow(event: Event) -> None:
        assert release.wait(TIMEOUT)
        if inside:
            client.disconnect()

    client.subscribe("first", be_slow)
    client.connect()
    simulator.emit("first")
    for _ in range(40):
        simulator.emit("more", "x" * 1_000_000)
    simulator.wait_for(lambda simulator: simulator.unsent > 0)
    if inside:
        release.set()
        client.wait(TIMEOUT)
    else:
        client.disconnect(timeout=0.2)
        assert client.state is ConnectionState.CLOSED
        release.set()
    join_client_threads()
    assert_gone(client)


@pytest.mark.parametrize("step", ["validation", "WebSocket"])
def test_while_a_name_is_looked_up(
    simulator: Simulator, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The one wait that cannot be woken: the thread is left behind, and nothing that it does counts any more."""
    looking, answer = threading.Semaphore(0), threading.Event()
    getaddrinfo = socket.getaddrinfo
    lookups: List[str] = []

    def hang(host: str, *arguments: Any, **options: Any) -> Any:
        lookups.append(host)
        if len(lookups) == (1 if step == "validation" else 2):
            looking.release()
            assert answer.wait(TIMEOUT)
        return getaddrinfo(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    client = make_client(simulator)
    events: List[Event] = []
    client.subscribe(None, events.append)
    call = Background(client.connect)
    assert looking.acquire(timeout=TIMEOUT)
    client.disconnect(timeout=0.1)
    assert isinstance(call.error(), NotConnectedError)
    assert client.state is ConnectionState.CLOSED
    # A new life does not care about the old one.
    client.connect()
    told = len(events)
    answer.set()
    with client.expect("settled", timeout=TIMEOUT):
        simulator.emit("settled")
    client.disconnect()
    join_client_threads()
    assert_gone(client)
    assert simulator.connections_total == 1
    assert [event.type for event in events[told:] if event.type is ClientEventType.RECONNECTING] == []


# -- the closing handshake -------------------------------------------------------------------------------------


@pytest.mark.parametrize("answers", [True, False])
def test_the_closing_handshake(hostile: MakeHostile, make_client: MakeClient, answers: bool) -> None:
    ended = threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade()
        while peer.read_frame().opcode != framing.CLOSE:
            pass
        if answers:
            peer.send(framing.frame(framing.CLOSE, b"\x03\xe8"))
        try:
            peer.serve()
        finally:
            ended.set()

    server = hostile(script)
    client = make_client(server)
    client.connect()
    client.send("last")
    client.disconnect()
    assert ended.wait(TIMEOUT)
    assert all(frame.masked for frame in server.frames)
    # A last heartbeat, whose answer would show that the message was read.
    assert [frame.text for frame in server.frames[-3:-1]] == ['{"type":"last","data":null}', "9"]
    last = server.frames[-1]
    assert (last.opcode, last.payload) == (framing.CLOSE, b"\x03\xe8")
    assert [frame.opcode for frame in server.frames].count(framing.CLOSE) == 1
    assert_gone(client)


def test_when_both_sides_close_at_once(hostile: MakeHostile, make_client: MakeClient) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        while peer.read_frame().opcode != framing.CLOSE:
            pass
        # Ours was under way already.
        peer.send(event_frame("crossing") + framing.frame(framing.CLOSE, b"\x0f\xa0"))
        peer.serve()

    server = hostile(script)
    client = make_client(server)
    stream = client.events("crossing", timeout=TIMEOUT)
    client.connect()
    client.disconnect()
    assert [event.type for event in stream] == ["crossing"]
    assert server.handshakes == 1
    assert_gone(client)


def test_afterwards_connect_works_again(hostile: MakeHostile, make_client: MakeClient) -> None:
    scene = silent_handshake(hostile, make_client)
    scene.client.disconnect()
    scene.calls[0].error()
    good = make_client(hostile())
    for _ in range(2):
        good.connect()
        assert good.state is ConnectionState.OPEN
        good.disconnect()
        assert_gone(good)


def test_connect_while_another_thread_disconnects(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    for _ in range(20):
        client.connect()
        # Longer than result() waits: it must return because it is done, not because its time is over.
        leaving = Background(lambda: client.disconnect(timeout=60))
        try:
            client.connect()
        except NotConnectedError:
            pass  # it was still open, and then it was not
        leaving.result()
        client.disconnect()
        assert_gone(client)


def test_a_log_handler_that_needs_the_thread_that_leaves(
    hostile: MakeHostile, make_client: MakeClient
) -> None:
    """As one that writes to a window does: the reader waits in it, and it for the thread that disconnects."""
    left, entered = threading.Event(), threading.Event()

    class Window(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if threading.current_thread() is not threading.main_thread():
                entered.set()
                left.wait(3 * TIMEOUT)

    def script(peer: Peer) -> None:
        peer.upgrade()
        while b'"go"' not in peer.read_frame().payload:
            pass

    client = make_client(hostile(script))
    client.connect()
    handler = Window()
    logging.getLogger("onetrade_ws").addHandler(handler)
    try:
        client.send("go")
        assert entered.wait(TIMEOUT)
        client.disconnect(timeout=0.2)
        assert client.state is ConnectionState.CLOSED
    finally:
        left.set()
        logging.getLogger("onetrade_ws").removeHandler(handler)
    join_client_threads()


def test_iterators_end(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    stream = client.events("never", timeout=60)
    client.connect()
    reading = Background(lambda: list(stream))
    waiting = Background(lambda: client.wait_for("never", timeout=60))
    with client.expect("sync", timeout=TIMEOUT):
        simulator.emit("sync")
    client.disconnect()
    assert reading.result() == []
    assert isinstance(waiting.error(), NotConnectedError)


# -- the end of the program ------------------------------------------------------------------------------------

PROGRAM = """
import sys
from onetrade_ws import OneTradeClient
from onetrade_ws.simulator import Simulator

simulator = Simulator(live=True, quotes_per_second=500).start()
client = OneTradeClient(
    simulator.ws_url, session_id=simulator.session_id, access_token=simulator.access_token, heartbeat_interval=0.01
)
client.subscribe(None, lambda event: None)
client.connect()
for symbol_id in range(1, 13):
    client.subscribe_market(symbol_id)
client.wait_for("market_feed", timeout=10)
"""


@pytest.mark.parametrize(
    "ending",
    ["", "sys.exit(0)", "simulator.freeze()", "client.pump = None; del client"],
)
def test_a_program_that_ends_without_disconnecting(ending: str) -> None:
    finished = run_python(PROGRAM + ending)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")


def test_a_program_that_fails_without_disconnecting() -> None:
    finished = run_python(PROGRAM + "raise SystemExit(7)")
    assert (finished.returncode, finished.stdout, finished.stderr) == (7, "", "")


def test_ctrl_c_in_wait() -> None:
    program = PROGRAM + (
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell may have it ignored
        "try:\n"
        "    print('waiting', flush=True)\n"
        "    client.wait()\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', client.state.name)\n"
        "client.disconnect()\n"
        "simulator.stop()\n"
        "import threading\n"
        "print([thread.name for thread in threading.enumerate()])\n"
    )
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program],
        env=program_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "waiting\n"
        running.send_signal(signal.SIGINT)
        output, errors = running.communicate(timeout=50)
    assert (output, errors) == ("interrupted OPEN\n['MainThread']\n", "")
    assert running.returncode == 0
