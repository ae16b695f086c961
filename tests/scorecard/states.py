"""The states that a client can be in when it is told to disconnect, each with a server that brings it about."""

from __future__ import annotations

import contextlib
import threading
import time
from functools import partial
from typing import Any, Callable, ContextManager, Dict, Iterator, List, Optional, Sequence, Tuple

import attrs

from onetrade_ws import (
    ClientEventType,
    ConnectionState,
    Event,
    OneTradeClient,
    ReconnectPolicy,
)
from onetrade_ws.simulator import websocket as framing
from tests.connection import certificates
from tests.connection.conftest import Background
from tests.connection.hostile import TIMEOUT, HostileServer, Peer, Script, client_of, event_frame
from tests.scorecard.cases import FellShort
from tests.scorecard.full_listener import FullListener
from tests.scorecard.slow_look_up import SlowLookUp

# Seconds that disconnect() is given where the user's own code is in the way; elsewhere its default has to do.
_USERS_TIMEOUT = 0.5


@attrs.frozen(kw_only=True)
class _Steady(ReconnectPolicy):
    """Without jitter, so that a client is surely backing off when it is looked at, and surely back in time."""

    def delay(self, attempt: int, draw: Callable[[], float] = float) -> float:
        return self.initial_delay


_SOON = _Steady(initial_delay=0.02, stable_after=0.0)
_LATER = _Steady(initial_delay=0.15, stable_after=0.0)


@attrs.define
class Scene:
    """A client that was brought into a state.

    :ivar server: where the client connects to; None: the scene itself watches for connections
    :ivar calls: the user's calls that wait; disconnect() ends them
    :ivar leave: seconds that disconnect() took, called in the way of this scene
    :ivar watch: seconds in which a client that comes back all the same would have come, several times if it can
    :ivar excused: names of threads that may be there until :attr:`release`
    :ivar release: lets go what is not the library's to end
    """

    client: OneTradeClient
    server: Optional[HostileServer]
    calls: Sequence[Background] = ()
    leave: Callable[[OneTradeClient], float] = attrs.field(default=lambda client: timed(client.disconnect))
    watch: float = 0.1
    excused: Sequence[str] = ()
    release: Callable[[], None] = attrs.field(default=lambda: None)


Play = Callable[[], ContextManager[Scene]]


def timed(call: Callable[..., None], **options: Any) -> float:
    started = time.monotonic()
    call(**options)
    return time.monotonic() - started


def _in_the_way(client: OneTradeClient) -> float:
    return timed(client.disconnect, timeout=_USERS_TIMEOUT)


def _client(server: HostileServer, **settings: Any) -> OneTradeClient:
    settings = {"reconnect": _SOON, "connect_timeout": 60, "heartbeat_timeout": 60, **settings}
    return client_of(server, **settings)


# -- connecting ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _connecting(
    server: HostileServer, is_there: Callable[[HostileServer], object], **settings: Any
) -> Iterator[Scene]:
    """A client that waits for something while it connects."""
    with server:
        client = _client(server, **settings)
        call = Background(client.connect)
        server.wait_for(is_there)
        yield Scene(client, server, [call], watch=0.4 if "reconnect" in settings else 0.1)


def silent_login() -> ContextManager[Scene]:
    server = HostileServer(http=Peer.read_until_end)
    settings = {"api_key": "key", "session_id": None, "access_token": None}
    return _connecting(server, lambda server: server.requests, **settings)


def silent_validation() -> ContextManager[Scene]:
    return _connecting(HostileServer(http=Peer.read_until_end), lambda server: server.requests)


def dripping_validation() -> ContextManager[Scene]:
    def script(peer: Peer) -> None:
        peer.drip(b"HTTP/1.1 200 OK\r\nX-Filler: " + b"x" * 60_000, 0.01)

    return _connecting(HostileServer(http=script), lambda server: server.requests)


def silent_handshake() -> ContextManager[Scene]:
    return _connecting(HostileServer(Peer.read_until_end), lambda server: server.handshakes)


def dripping_handshake() -> ContextManager[Scene]:
    def script(peer: Peer) -> None:
        peer.drip(b"HTTP/1.1 101 Switching Protocols\r\nX-Filler: " + b"x" * 60_000, 0.01)

    return _connecting(HostileServer(script), lambda server: server.handshakes)


def backing_off_before_the_first_connection() -> ContextManager[Scene]:
    server = HostileServer(lambda peer: peer.answer(503))
    return _connecting(server, lambda server: server.handshakes, reconnect=_LATER)


@contextlib.contextmanager
def silent_tls(step: str) -> Iterator[Scene]:
    with HostileServer(tcp=Peer.read_until_end) as server, HostileServer() as http:
        http_url = server.http_url.replace("http", "https") if step == "validation" else http.http_url
        settings = {"url": server.ws_url.replace("ws", "wss"), "http_url": http_url}
        with _connecting(server, lambda server: server.accepted, **settings) as scene:
            yield scene


@contextlib.contextmanager
def tcp_unanswered(step: str) -> Iterator[Scene]:
    with contextlib.closing(FullListener()) as full, HostileServer() as http:
        silent = f"127.0.0.1:{full.port}"
        http_url = f"http://{silent}" if step == "validation" else http.http_url
        client = _client(http, url=f"ws://{silent}", http_url=http_url)
        call = Background(client.connect)
        full.wait_until_knocked()
        # Looked at once, when all is over: looking makes room.
        yield Scene(client, None, [call])
        if full.accepted():
            raise FellShort("a connection was made afterwards")


def silent_proxy(scheme: str) -> ContextManager[Scene]:
    server = HostileServer(tcp=Peer.read_until_end)
    settings = {"url": "ws://127.0.0.1:9", "proxy": f"{scheme}://{server.address}"}
    return _connecting(server, lambda server: server.accepted, **settings)


@contextlib.contextmanager
def name_looked_up(step: str) -> Iterator[Scene]:
    """The system's look-up cannot be interrupted: its thread ends when it has its answer."""
    skip = 0 if step == "validation" else 1
    with HostileServer() as server, SlowLookUp.of("localhost", skip) as slow:
        client = _client(server, url=server.ws_url.replace("127.0.0.1", "localhost"))
        call = Background(client.connect)
        slow.began.wait(TIMEOUT)
        yield Scene(client, server, [call], excused=["onetrade-ws resolver"], release=slow.answered.set)


# -- open ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _open(script: Script, **settings: Any) -> Iterator[Tuple[OneTradeClient, HostileServer]]:
    with HostileServer(script, receive_buffer=4096) as server:
        client = _client(server, **settings)
        client.connect()
        yield client, server


def _leaves(peer: Peer) -> None:
    """Hangs up when it is told to."""
    peer.upgrade()
    peer.serve(until='"leave"')


@contextlib.contextmanager
def backing_off_after_a_loss() -> Iterator[Scene]:
    with _open(_leaves, reconnect=_LATER) as (client, server):
        with client.expect(ClientEventType.RECONNECTING, timeout=TIMEOUT):
            client.send("leave")
        yield Scene(client, server, watch=0.4)


@contextlib.contextmanager
def validating_again_after_a_loss() -> Iterator[Scene]:
    def http(peer: Peer) -> None:
        if server.validations > 1:
            peer.read_until_end()
        peer.answer(200)

    with HostileServer(_leaves, http=http) as server:
        client = _client(server)
        client.connect()
        client.send("leave")
        server.wait_for(lambda server: server.validations > 1)
        yield Scene(client, server)


@contextlib.contextmanager
def quiet_and_well() -> Iterator[Scene]:
    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.serve()

    with _open(script) as (client, server):
        yield Scene(client, server)


@contextlib.contextmanager
def send_blocked(over_tls: bool) -> Iterator[Scene]:
    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.hold()

    authority = certificates.Authority()
    tls = certificates.good(authority) if over_tls else None
    with HostileServer(script, receive_buffer=4096, tls=tls) as server:
        client = _client(server, ssl_context=certificates.trusting(authority) if over_tls else None)
        client.connect()
        begun = threading.Semaphore(0)

        def write() -> None:
            for _ in range(20):
                begun.release()
                client.send("much", "x" * 1_000_000)

        call = Background(write)
        # Some of it fits into the system's buffers; 20 MB do not.
        for _ in range(2):
            begun.acquire(timeout=TIMEOUT)
        yield Scene(client, server)
        call.result()


@contextlib.contextmanager
def restoring_blocked() -> Iterator[Scene]:
    """It is being opened: what is wanted is written, and the server takes nothing."""
    reading = threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.receive()
        reading.set()
        peer.hold()

    with HostileServer(script, receive_buffer=4096) as server:
        client = _client(server)
        for number in range(2_000):
            client.subscribe_market(10**4000 + number)
        call = Background(client.connect)
        reading.wait(TIMEOUT)
        yield Scene(client, server, [call])


@contextlib.contextmanager
def flooded_with_pings() -> Iterator[Scene]:
    def script(peer: Peer) -> None:
        peer.upgrade()
        flood = framing.frame(framing.PING, b"x" * 125) * 1000
        while True:
            peer.send(flood)

    with _open(script) as (client, server):
        # It takes nothing, so that sooner or later we cannot answer and read no more.
        server.blocked.wait(TIMEOUT)
        yield Scene(client, server)


@contextlib.contextmanager
def flooded_with_messages() -> Iterator[Scene]:
    def script(peer: Peer) -> None:
        peer.upgrade()
        flood = event_frame("flood", "x" * 1000) * 100
        while True:
            peer.send(flood)

    # What has come is delivered first: so few events that it is not that which takes the time.
    with _open(script, queue_limit=1_000_000) as (client, server):
        client.wait_for("flood", timeout=TIMEOUT)
        yield Scene(client, server)


@contextlib.contextmanager
def _stops_after(data: bytes) -> Iterator[Scene]:
    def script(peer: Peer) -> None:
        peer.upgrade(event_frame("hello") + data)
        peer.hold()

    with HostileServer(script) as server:
        client = _client(server)
        stream = client.events("hello", timeout=TIMEOUT)
        client.connect()
        next(stream)
        stream.close()
        yield Scene(client, server)


def closing_handshake_unanswered() -> ContextManager[Scene]:
    return _stops_after(b"")


def in_the_middle_of_a_header() -> ContextManager[Scene]:
    return _stops_after(b"\x81\x7e")


def in_the_middle_of_a_large_message() -> ContextManager[Scene]:
    return _stops_after(b"\x81\x7f\x00\x00\x00\x00\x00\x80\x00\x00" + b"x" * 300_000)


# -- the user's code is in the way --------------------------------------------------------------------------------


def _well_behaved_after(first: bytes) -> Script:
    def script(peer: Peer) -> None:
        peer.upgrade(first)
        peer.serve()

    return script


@contextlib.contextmanager
def callback_stuck(inside_of_a_full_queue: bool) -> Iterator[Scene]:
    stuck, release = threading.Event(), threading.Event()

    def get_stuck(event: Event) -> None:
        stuck.set()
        release.wait(2 * TIMEOUT)

    def script(peer: Peer) -> None:
        peer.upgrade(event_frame("stick"))
        while inside_of_a_full_queue:
            peer.send(event_frame("more", "x" * 10_000))
        peer.serve()

    with HostileServer(script) as server:
        client = _client(server, queue_limit=1 if inside_of_a_full_queue else 10_000_000)
        client.subscribe("stick", get_stuck)
        client.connect()
        stuck.wait(TIMEOUT)
        if inside_of_a_full_queue:
            # The client takes nothing any more.
            server.blocked.wait(TIMEOUT)
        yield Scene(
            client,
            server,
            leave=_in_the_way,
            excused=["onetrade-ws dispatcher"],
            release=release.set,
        )


@contextlib.contextmanager
def inside_a_callback() -> Iterator[Scene]:
    took: List[float] = []
    go = threading.Event()

    def leave(event: Event) -> None:
        go.wait(TIMEOUT)
        took.append(timed(client.disconnect))

    def let_it(client: OneTradeClient) -> float:
        go.set()
        client.wait(TIMEOUT)
        return took[0]

    with HostileServer(_well_behaved_after(event_frame("leave"))) as server:
        client = _client(server)
        client.subscribe("leave", leave)
        client.connect()
        yield Scene(client, server, leave=let_it)


@contextlib.contextmanager
def inside_a_callback_of_a_loss() -> Iterator[Scene]:
    took: List[float] = []
    leaving, go = threading.Event(), threading.Event()

    def leave(event: Event) -> None:
        leaving.set()
        go.wait(TIMEOUT)
        took.append(timed(client.disconnect))

    def let_it(client: OneTradeClient) -> float:
        go.set()
        client.wait(TIMEOUT)
        return took[0]

    with HostileServer(_leaves) as server:
        client = _client(server)
        client.subscribe(ClientEventType.RECONNECTING, leave)
        client.connect()
        client.send("leave")
        leaving.wait(TIMEOUT)
        yield Scene(client, server, leave=let_it)


@contextlib.contextmanager
def from_several_threads_at_once() -> Iterator[Scene]:
    def leave(client: OneTradeClient) -> float:
        calls = [Background(partial(timed, client.disconnect)) for _ in range(4)]
        seconds: List[float] = [call.result() for call in calls]
        return max(seconds)

    with HostileServer() as server:
        client = _client(server)
        client.connect()
        yield Scene(client, server, leave=leave)


@contextlib.contextmanager
def while_the_host_pumps() -> Iterator[Scene]:
    pumping = threading.Event()

    def pump() -> None:
        while client.state is not ConnectionState.CLOSED:
            client.pump(timeout=TIMEOUT)
            pumping.set()

    with HostileServer(_well_behaved_after(event_frame("hello"))) as server:
        client = _client(server, dispatch="manual")
        client.connect()
        call = Background(pump)
        pumping.wait(TIMEOUT)
        yield Scene(client, server)
        call.result()


SCENES: Dict[str, Play] = {
    "a name is looked up for the validation": partial(name_looked_up, "validation"),
    "a name is looked up for the WebSocket": partial(name_looked_up, "WebSocket"),
    "TCP of the validation is not answered": partial(tcp_unanswered, "validation"),
    "TCP of the WebSocket is not answered": partial(tcp_unanswered, "WebSocket"),
    "TLS of the validation is not answered": partial(silent_tls, "validation"),
    "TLS of the WebSocket is not answered": partial(silent_tls, "WebSocket"),
    "an HTTP proxy does not answer": partial(silent_proxy, "http"),
    "a SOCKS proxy does not answer": partial(silent_proxy, "socks5"),
    "the login is not answered": silent_login,
    "the validation is not answered": silent_validation,
    "the validation's answer drips": dripping_validation,
    "the handshake is not answered": silent_handshake,
    "the handshake's answer drips": dripping_handshake,
    "backing off before the first connection": backing_off_before_the_first_connection,
    "backing off after a loss": backing_off_after_a_loss,
    "validating again after a loss": validating_again_after_a_loss,
    "open and quiet": quiet_and_well,
    "a send is blocked": partial(send_blocked, False),
    "a send is blocked under TLS": partial(send_blocked, True),
    "the restoring of subscriptions is blocked": restoring_blocked,
    "the peer floods pings and does not read": flooded_with_pings,
    "the peer floods messages": flooded_with_messages,
    "the closing handshake is not answered": closing_handshake_unanswered,
    "in the middle of a frame header": in_the_middle_of_a_header,
    "in the middle of a large message": in_the_middle_of_a_large_message,
    "a callback is stuck": partial(callback_stuck, False),
    "a callback is stuck, and the queue full": partial(callback_stuck, True),
    "inside a callback": inside_a_callback,
    "inside a callback that is told of a loss": inside_a_callback_of_a_loss,
    "from several threads at once": from_several_threads_at_once,
    "while the host pumps": while_the_host_pumps,
}
