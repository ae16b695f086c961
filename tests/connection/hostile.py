"""A server of which a test scripts every byte, for what the simulator is too well-behaved to do."""

from __future__ import annotations

import contextlib
import http.client
import json
import selectors
import socket
import ssl
import struct
import threading
from functools import partial
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple, TypeVar, Union

from onetrade_ws import OneTradeClient, ReconnectPolicy
from onetrade_ws.simulator import websocket as framing

TIMEOUT = 10.0

T = TypeVar("T")


class HttpRequest(NamedTuple):
    """A request that arrived: the target as it came, header names in lower case."""

    method: str
    target: str
    headers: Dict[str, str]


class ClientFrame(NamedTuple):
    """A frame that arrived, unmasked, with the number of the WebSocket connection, from 1."""

    connection: int
    opcode: int
    payload: bytes
    masked: bool

    @property
    def text(self) -> str:
        return self.payload.decode("utf-8", "replace")


class _Ended(Exception):
    """The peer has gone, or the server is told to stop: the script is over."""


def text_frame(text: Union[str, bytes]) -> bytes:
    """A whole text frame."""
    return framing.frame(framing.TEXT, text.encode("utf-8") if isinstance(text, str) else text)


def event_frame(event_type: str, data: Any = None) -> bytes:
    """A text frame with an event in it."""
    return text_frame(json.dumps({"type": event_type, "data": data}))


def close_frame(code: Optional[int], reason: str = "") -> bytes:
    """A close frame."""
    return framing.frame(framing.CLOSE, framing.close_payload(code, reason))


class Peer:
    """One TCP connection, as a script sees it. Every method ends the script when the peer has gone."""

    def __init__(self, server: HostileServer, sock: socket.socket) -> None:
        #: The number of the handshake, from 1; 0 for a connection with any other request.
        self.number = 0
        self.request = HttpRequest("", "", {})
        self._server = server
        self._sock: Union[socket.socket, ssl.SSLSocket] = sock
        self._sock.setblocking(False)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = bytearray()

    # -- bytes ----------------------------------------------------------------------------------------------

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Answer the TLS hello."""
        self._sock = context.wrap_socket(self._sock, server_side=True, do_handshake_on_connect=False)
        self._try(self._sock.do_handshake, selectors.EVENT_READ)

    def send(self, data: bytes) -> None:
        """Write all of it; blocks while the client takes nothing."""
        left = memoryview(data)
        while left:
            left = left[self._try(partial(self._sock.send, left), selectors.EVENT_WRITE) :]

    def receive(self) -> bytes:
        """Some bytes."""
        data = self._try(lambda: self._sock.recv(64 * 1024), selectors.EVENT_READ)
        if not data:
            raise _Ended
        return data

    def _try(self, call: Callable[[], T], event: int) -> T:
        while True:
            try:
                return call()
            except ssl.SSLWantReadError:
                wanted = selectors.EVENT_READ
            except ssl.SSLWantWriteError:
                wanted = selectors.EVENT_WRITE
            except BlockingIOError:
                wanted = event
            except OSError as error:
                raise _Ended from error
            if wanted == selectors.EVENT_WRITE:
                self._server.blocked.set()
            self._server.wait_for_socket(self._sock, wanted)

    def drip(self, data: bytes, pause: float) -> None:
        """Write one byte after the other, with a pause of so many seconds behind each."""
        for index in range(len(data)):
            self.send(data[index : index + 1])
            self.pause(pause)

    def pause(self, seconds: float) -> None:
        """Be slow: not waiting for anything, but what a slow server does."""
        self._server.wait_for_socket(None, 0, seconds)

    def hold(self) -> None:
        """Neither read nor write, until the server stops."""
        self._server.wait_for_socket(None, 0)

    def read_until_end(self) -> None:
        """Read whatever comes, until the peer has gone."""
        while True:
            self.receive()

    def reset(self) -> None:
        """End the connection with RST. The script should end then, too."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def close(self) -> None:
        """End the connection with FIN; what was not read makes it a reset."""
        self._sock.close()

    def finish(self) -> None:
        """Send FIN and read on until the peer has gone: never a reset."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
        self.read_until_end()

    # -- HTTP -----------------------------------------------------------------------------------------------

    def read_request(self) -> HttpRequest:
        """The next request's head."""
        while b"\r\n\r\n" not in self._received:
            self._received += self.receive()
        head, _, rest = bytes(self._received).partition(b"\r\n\r\n")
        self._received = bytearray(rest)
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.request = HttpRequest(method, target, headers)
        return self.request

    def read_body(self) -> bytes:
        """The body of the request that was read."""
        length = int(self.request.headers.get("content-length", "0"))
        while len(self._received) < length:
            self._received += self.receive()
        body = bytes(self._received[:length])
        del self._received[:length]
        return body

    def answer(
        self,
        status: int,
        body: Union[bytes, str, Dict[str, Any]] = b"",
        *,
        headers: str = "",
        head_only: bool = False,
    ) -> None:
        """An HTTP answer, then FIN.

        :param headers: more header lines, each ended by CRLF
        :param head_only: whether the body is only announced
        """
        if isinstance(body, dict):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode("utf-8")
        head = (
            f"HTTP/1.1 {status} Whatever\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n"
        )
        self.send(head.encode("latin-1") + (b"" if head_only else body))
        if not head_only:
            self.finish()

    # -- WebSocket ------------------------------------------------------------------------------------------

    def accept_value(self) -> str:
        """The right ``Sec-WebSocket-Accept``."""
        return framing.accept_value(self.request.headers["sec-websocket-key"])

    def upgrade(self, then: bytes = b"") -> None:
        """Complete the handshake.

        :param then: sent with it, in one piece
        """
        head = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {self.accept_value()}\r\n\r\n"
        )
        self.send(head.encode("ascii") + then)

    def read_frame(self) -> ClientFrame:
        """The client's next frame; noted in :attr:`HostileServer.frames`."""
        data = self._received
        while len(data) < 2 or len(data) < self._frame_length(data):
            data += self.receive()
        masked = bool(data[1] & 0x80)
        length, end = self._payload_length(data), self._frame_length(data)
        payload = bytes(data[end - length : end])
        if masked:
            mask = bytes(data[end - length - 4 : end - length])
            key = int.from_bytes((mask * (length // 4 + 1))[:length], "big")
            payload = (int.from_bytes(payload, "big") ^ key).to_bytes(length, "big")
        frame = ClientFrame(self.number, data[0] & 0xF, payload, masked)
        del data[:end]
        self._server.note(lambda: self._server.frames.append(frame))
        return frame

    @staticmethod
    def _payload_length(data: bytearray) -> int:
        length = data[1] & 0x7F
        if length == 126:
            return int.from_bytes(data[2:4], "big")
        return int.from_bytes(data[2:10], "big") if length == 127 else length

    def _frame_length(self, data: bytearray) -> int:
        size = {126: 4, 127: 10}.get(data[1] & 0x7F, 2)
        if len(data) < size:
            return size
        return size + (4 if data[1] & 0x80 else 0) + self._payload_length(data)

    def serve(self, until: Optional[str] = None) -> None:
        """Be a good server until the peer has gone: answer heartbeats, pings and a close frame.

        :param until: a text that ends it before, when it is in a message
        """
        while True:
            frame = self.read_frame()
            if until is not None and until in frame.text:
                return
            if frame.opcode == framing.TEXT and frame.payload == b"9":
                self.send(text_frame("10"))
            elif frame.opcode == framing.PING:
                self.send(framing.frame(framing.PONG, frame.payload))
            elif frame.opcode == framing.CLOSE:
                self.send(framing.frame(framing.CLOSE, frame.payload[:2]))
                self.finish()


Script = Callable[[Peer], None]


def validated(peer: Peer) -> None:
    """The usual answer to the session validation."""
    peer.answer(200, {"success": True, "code": 200, "data": None, "error": "", "message": ""})


def well_behaved(peer: Peer) -> None:
    """The script of a server that does nothing of its own."""
    peer.upgrade()
    peer.serve()


def passing_on(address: str, scripts: Mapping[str, Script]) -> Script:
    """A script that passes requests on to the HTTP server at ``address``, and its answers back.

    :param scripts: what to do instead, by a part of the target
    """

    def script(peer: Peer) -> None:
        request = peer.request
        for part, instead in scripts.items():
            if part in request.target:
                instead(peer)
                return
        connection = http.client.HTTPConnection(address, timeout=TIMEOUT)
        try:
            connection.request(request.method, request.target, peer.read_body(), request.headers)
            response = connection.getresponse()
            status, body = response.status, response.read()
        finally:
            connection.close()
        peer.answer(status, body)

    return script


class HostileServer:
    """One thread that accepts one connection after the other and runs a script for each.

    :param websocket: what to do with a WebSocket handshake that was read
    :param http: what to do with any other request that was read
    :param tcp: what to do with a connection before anything is read, instead of those two
    :param tls: a context, for a TLS server
    :param receive_buffer: bytes that the system may hold for the script, about
    :param host: the address to listen on
    """

    session_id = "hostile-session"
    access_token = "hostile-token"

    def __init__(
        self,
        websocket: Script = well_behaved,
        *,
        http: Script = validated,
        tcp: Optional[Script] = None,
        tls: Optional[ssl.SSLContext] = None,
        receive_buffer: Optional[int] = None,
        host: str = "127.0.0.1",
    ) -> None:
        #: Set when a script had to wait because the client takes nothing.
        self.blocked = threading.Event()
        self.accepted = 0
        self.requests: List[HttpRequest] = []
        self.frames: List[ClientFrame] = []
        self._websocket = websocket
        self._http = http
        self._tcp = tcp
        self._tls = tls
        self._handshakes = 0
        self._failures: List[BaseException] = []
        # Guards what was noted. Waited on for more of it.
        self._changed = threading.Condition()
        self._wake_in, self._wake_out = socket.socketpair()
        self._listener = socket.socket()
        if receive_buffer is not None:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listener.bind((host, 0))
        self._listener.listen(50)
        self._listener.setblocking(False)
        #: ``host:port``.
        self.address = "{}:{}".format(*self._listener.getsockname())
        self._thread = threading.Thread(target=self._run, name="hostile server")
        self._thread.start()

    @property
    def ws_url(self) -> str:
        return f"{'ws' if self._tls is None else 'wss'}://{self.address}"

    @property
    def http_url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://{self.address}"

    @property
    def validations(self) -> int:
        """How many session validations arrived."""
        return sum(request.method == "POST" for request in self.requests)

    @property
    def handshakes(self) -> int:
        """How many WebSocket handshakes arrived."""
        return self._handshakes

    def messages(self, connection: Optional[int] = None) -> List[str]:
        """The text messages that arrived, heartbeats left out."""
        return [
            frame.text
            for frame in tuple(self.frames)
            if frame.opcode == framing.TEXT
            and frame.payload != b"9"
            and connection in (None, frame.connection)
        ]

    def wait_for(self, predicate: Callable[[HostileServer], T], timeout: float = TIMEOUT) -> T:
        """Block until something is true of this server; looked at again whenever something arrived.

        :param timeout: seconds after which it is too late
        """
        found: List[T] = []

        def look() -> bool:
            found[:] = [predicate(self)]
            return bool(found[0])

        with self._changed:
            assert self._changed.wait_for(look, timeout), f"not in time; {self.requests}, {self.frames[-10:]}"
        return found[0]

    def note(self, change: Callable[[], None]) -> None:
        """Change what a test may wait for."""
        with self._changed:
            change()
            self._changed.notify_all()

    def __enter__(self) -> HostileServer:
        return self

    def __exit__(self, *failure: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End all connections and the thread; a failure in a script is raised here. Idempotent.

        Connections that nobody has looked at are counted then, too.
        """
        if self._thread.is_alive():
            self._wake_in.send(b"\0")
        self._thread.join()
        # Closed, or none left.
        with contextlib.suppress(OSError):
            while True:
                self._listener.accept()[0].close()
                self._count_connection()
        for sock in (self._listener, self._wake_in, self._wake_out):
            sock.close()
        if self._failures:
            raise self._failures.pop()

    def wait_for_socket(
        self, sock: Optional[socket.socket], event: int, timeout: Optional[float] = None
    ) -> None:
        """Block until a socket is ready. Ends the script when the server is to stop."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_out, selectors.EVENT_READ)
            if sock is not None:
                selector.register(sock, event)
            if any(key.fileobj is self._wake_out for key, _ in selector.select(timeout)):
                raise _Stopped

    def _run(self) -> None:
        with contextlib.suppress(_Stopped):
            while True:
                self.wait_for_socket(self._listener, selectors.EVENT_READ)
                sock, _ = self._listener.accept()
                self.note(self._count_connection)
                self._converse(Peer(self, sock))

    def _count_connection(self) -> None:
        self.accepted += 1

    def _converse(self, peer: Peer) -> None:
        try:
            if self._tls is not None:
                peer.start_tls(self._tls)
            if self._tcp is not None:
                self._tcp(peer)
                return
            request = peer.read_request()
            is_handshake = "upgrade" in request.headers
            if is_handshake:
                peer.number = self._handshakes + 1
            self.note(lambda: self._count_request(request, is_handshake))
            (self._websocket if is_handshake else self._http)(peer)
        except _Stopped:
            raise
        except _Ended:
            pass
        except BaseException as failure:  # noqa: BLE001 - raised again by stop()
            self._failures.append(failure)
        finally:
            peer.close()

    def _count_request(self, request: HttpRequest, is_handshake: bool) -> None:
        self.requests.append(request)
        self._handshakes += is_handshake


class _Stopped(Exception):
    """stop() was called."""


def client_of(server: HostileServer, **settings: Any) -> OneTradeClient:
    """A client with the server's credentials, which comes back at once."""
    policy = ReconnectPolicy(initial_delay=0.01, max_delay=0.05, stable_after=0.0)
    settings = {
        "reconnect": policy,
        "session_id": server.session_id,
        "access_token": server.access_token,
        "snapshot": False,
        **settings,
    }
    return OneTradeClient(settings.pop("url", server.ws_url), **settings)


def free_port() -> Tuple[socket.socket, int]:
    """A bound socket that does not listen, so that connecting to its port is refused while it is kept."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock, sock.getsockname()[1]
