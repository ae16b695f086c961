"""One port for HTTP and WebSocket: sockets on one selector thread, and nothing of the vendor's protocol.

Every socket is non-blocking. Any thread may hand a connection bytes to send: what the operating system does
not take at once waits in the connection's bounded buffer, and the selector thread sends it on. So a client
that does not read blocks nobody, and is cut when its buffer overflows.
"""

from __future__ import annotations

import logging
import selectors
import socket
import struct
import sys
import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import Any, Callable, Deque, List, Optional, Set, Tuple, cast

from . import websocket
from .http1 import BadRequest, ParsedRequest, RequestReader, Response, envelope

logger = logging.getLogger("onetrade_ws.simulator")

MAX_MESSAGE = 1024 * 1024
CLOSE_TIMEOUT = 5.0  # seconds for the peer to answer a close frame or a FIN

# "on, for 0 seconds", as the C library of the platform declares it: closing sends RST
_LINGER_0 = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)

# The life of a connection: HTTP requests, then perhaps a WebSocket, whose closing handshake may be under way;
# DRAINING has sent FIN and reads on, so that no unread byte turns the FIN into a reset.
HTTP, OPEN, CLOSING, DRAINING, CLOSED = range(5)


class Connection:
    """One TCP connection."""

    def __init__(self, server: Server, sock: socket.socket) -> None:
        self._server = server
        self.sock = sock
        self.phase = HTTP
        self.number = 0  # of the WebSocket, once it is one
        self.frozen = False
        self.deadline: Optional[float] = None  # monotonic; when to cut a closing that does not end
        self.owes_fin = False  # FIN follows when what waits has been sent
        self.requests = RequestReader()
        self.frames = websocket.FrameReader(MAX_MESSAGE)
        # Guards the bytes that wait, the switches below, and every send on the socket (with its closing).
        self._sending = threading.Lock()
        self._waiting: Deque[memoryview] = deque()
        self._unsent = 0
        self._mute = False  # nothing more is to be added to what waits
        self._overflowed = False

    @property
    def unsent(self) -> int:
        """Bytes that the operating system has not taken yet."""
        return self._unsent

    @property
    def has_unsent(self) -> bool:
        return self._unsent > 0

    @property
    def overflowed(self) -> bool:
        return self._overflowed

    def send(self, data: bytes) -> None:
        """Sends, or keeps what cannot be sent now. Any thread; never blocks."""
        with self._sending:
            if self._mute or not data:
                return
            if self._unsent > self._server.max_unsent:
                self._overflowed = self._mute = True
            else:
                sent = 0 if self._unsent or self.frozen else self._try_send(data)
                if sent == len(data):
                    return
                self._waiting.append(memoryview(data)[sent:])
                self._unsent += len(data) - sent
        self._server.look_at(self)

    def _try_send(self, data: Any) -> int:
        try:
            return self.sock.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            # The reading side sees the same end, and tells the application.
            self._mute = True
            self._forget_unsent()
            return len(data)

    def _forget_unsent(self) -> None:
        self._waiting.clear()
        self._unsent = 0

    def flush(self) -> None:
        """Sends what waits, as far as the operating system takes it. Selector thread only."""
        with self._sending:
            for _ in range(64):  # the other connections have their turn, too
                if not self._waiting:
                    return
                first = self._waiting[0]
                sent = self._try_send(first)
                if not self._waiting:
                    return
                self._unsent -= sent
                if sent < len(first):
                    self._waiting[0] = first[sent:]
                    return
                self._waiting.popleft()

    def mute(self, last: bytes = b"") -> None:
        """Sends `last`, behind what waits already, and then nothing more."""
        self.send(last)
        with self._sending:
            self._mute = True

    def freeze(self, frozen: bool) -> None:
        with self._sending:
            self.frozen = frozen

    def finish_sending(self) -> None:
        """Sends FIN; what waits is dropped."""
        self.owes_fin = False
        with self._sending:
            self._mute = True
            self._forget_unsent()
            try:
                self.sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # the peer was faster

    def close(self, *, reset: bool = False) -> None:
        """Closes the socket, with RST instead of FIN if asked to."""
        with self._sending:
            self._mute = True
            self._forget_unsent()
            if reset:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
            else:
                self._discard_received()
            self.sock.close()

    def _discard_received(self) -> None:
        """Reads what has arrived, as far as it is little: a socket closed over unread bytes sends a reset."""
        try:
            for _ in range(16):
                if not self.sock.recv(65536):
                    return
        except OSError:
            pass  # there is no more


class Server:
    """Accepts, reads and writes on one thread, and says there what happens.

    Args:
        respond: Answers a request. None: it was the handshake of a WebSocket, and the 101 has been sent.
        received: A message or a control frame arrived on a WebSocket.
        closed: A WebSocket is open no longer. Called once for each that was.
        progressed: Bytes that were waiting have left, or a connection has gone.
        max_unsent: Bytes that may wait for one client.
    """

    def __init__(
        self,
        respond: Callable[[ParsedRequest, Connection], Optional[Response]],
        received: Callable[[Connection, int, bytes], None],
        closed: Callable[[Connection], None],
        progressed: Callable[[], None],
        max_unsent: int,
    ) -> None:
        self._respond = respond
        self._received = received
        self._closed = closed
        self._progressed = progressed
        self.max_unsent = max_unsent
        self._thread: Optional[threading.Thread] = None
        self._selector: selectors.BaseSelector
        self._listener: socket.socket
        self._wake_in: socket.socket
        self._wake_out: socket.socket
        self._connections: Set[Connection] = set()  # selector thread only
        self._frozen = False
        # Guards the three below: what other threads want the selector thread to do.
        self._wishes = threading.Lock()
        self._calls: List[Tuple[Callable[[], None], Future[None]]] = []
        self._to_look_at: Set[Connection] = set()
        self._running = False

    # --- any thread

    def start(self, host: str, port: int) -> Tuple[str, int]:
        """Binds and starts the thread; returns the address. Raises OSError when the port is taken."""
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        self._listener = socket.create_server((host, port), family=family, backlog=128)
        self._listener.setblocking(False)
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._wake_out, selectors.EVENT_READ, self._drain_wake)
        self._frozen = False
        self._running = True
        self._thread = threading.Thread(target=self._run, name="onetrade-ws-simulator", daemon=True)
        address = self._listener.getsockname()
        self._thread.start()
        return cast("str", address[0]), cast("int", address[1])

    def stop(self) -> None:
        """Closes everything (WebSockets with 1001) and ends the thread. Does nothing when not running."""
        thread = self._thread
        if thread is None:
            return
        self.call(self._leave)
        thread.join()
        self._thread = None

    def call(self, function: Callable[[], None]) -> None:
        """Runs a function on the selector thread and waits for it. Does nothing when not running."""
        done: Future[None] = Future()
        with self._wishes:
            if not self._running:
                return
            self._calls.append((function, done))
            self._wake()
        done.result()

    def look_at(self, connection: Connection) -> None:
        """The connection has something to send, or has to be cut. Does not wait."""
        with self._wishes:
            if self._running:
                self._to_look_at.add(connection)
                self._wake()

    def _wake(self) -> None:
        try:
            self._wake_in.send(b"\0")
        except BlockingIOError:
            pass  # it is awake anyway

    # --- the selector thread

    def _run(self) -> None:
        try:
            while self._running:
                self._turn()
        finally:
            self._close_down()

    def _turn(self) -> None:
        # WebSockets come first: one that has ended must be seen before the request of its successor.
        for key, ready in sorted(self._selector.select(self._time_left()), key=_websockets_first):
            if isinstance(key.data, Connection):
                self._serve(key.data, ready)
            else:
                key.data()
        self._grant_wishes()
        self._cut_overdue()

    def _time_left(self) -> Optional[float]:
        deadlines = [c.deadline for c in self._connections if c.deadline is not None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _drain_wake(self) -> None:
        self._wake_out.recv(4096)

    def _grant_wishes(self) -> None:
        with self._wishes:
            calls, self._calls = self._calls, []
            connections, self._to_look_at = self._to_look_at, set()
        for connection in connections:
            if connection.overflowed and connection.phase != CLOSED:
                logger.warning("a client does not read: its connection is cut")
                self._end(connection, reset=True)
            self._watch(connection)
        for function, done in calls:
            try:
                function()
                done.set_result(None)
            except Exception as error:  # noqa: BLE001 - it belongs to the thread that asked
                done.set_exception(error)

    def _cut_overdue(self) -> None:
        now = time.monotonic()
        for connection in [c for c in self._connections if c.deadline is not None and c.deadline <= now]:
            self._end(connection)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return  # it has gone again
        sock.setblocking(False)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            pass  # macOS says so when the peer has reset the connection already
        connection = Connection(self, sock)
        connection.freeze(self._frozen)
        self._connections.add(connection)
        self._watch(connection)

    def _watch(self, connection: Connection) -> None:
        """Tells the selector what this connection waits for now."""
        if connection.phase == CLOSED:
            return
        wanted = 0
        if not connection.frozen:
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.has_unsent else 0)
        registered = self._selector.get_map().get(connection.sock)
        if registered is None:
            if wanted:
                self._selector.register(connection.sock, wanted, connection)
        elif not wanted:
            self._selector.unregister(connection.sock)
        elif registered.events != wanted:
            self._selector.modify(connection.sock, wanted, connection)

    def _serve(self, connection: Connection, ready: int) -> None:
        if connection.phase == CLOSED or connection.frozen:
            return  # an earlier event of this round changed that
        try:
            if ready & selectors.EVENT_WRITE:
                connection.flush()
                if connection.owes_fin and not connection.has_unsent:
                    connection.finish_sending()
                self._progressed()
            if ready & selectors.EVENT_READ:
                self._read(connection)
        except Exception:
            # One client's trouble must not end the server of the others.
            logger.exception("the simulator failed at what a client sent: its connection is cut")
            self._end(connection, reset=True)
        self._watch(connection)

    def _read(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(256 * 1024)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._end(connection)
        elif connection.phase == HTTP:
            connection.requests.feed(data)
            self._read_requests(connection)
        elif connection.phase in (OPEN, CLOSING):
            self._read_frames(connection, data)

    def _read_requests(self, connection: Connection) -> None:
        while connection.phase == HTTP:
            try:
                request = connection.requests.next_request()
            except BadRequest as error:
                connection.send(envelope(error.status, message=error.message).encode(keep_alive=False))
                self._drain(connection)
                return
            if request is None:
                return
            response = self._respond(request, connection)
            if response is None:
                connection.phase = OPEN
                self._read_frames(connection, connection.requests.take_rest())
                return
            connection.send(response.encode(keep_alive=request.keep_alive))
            if not request.keep_alive:
                self._drain(connection)

    def _read_frames(self, connection: Connection, data: bytes) -> None:
        try:
            for opcode, payload in connection.frames.feed(data):
                self._received(connection, opcode, payload)
                if opcode == websocket.PING:
                    connection.send(websocket.frame(websocket.PONG, payload))
                elif opcode == websocket.CLOSE:
                    self._answer_close(connection, websocket.close_code(payload))
                if connection.phase not in (OPEN, CLOSING):
                    return
        except websocket.ProtocolViolation as error:
            self.close_websocket(connection, websocket.close_payload(error.code, error.reason))
            self._drain(connection)

    def _answer_close(self, connection: Connection, code: Optional[int]) -> None:
        if connection.phase == OPEN:
            self.close_websocket(connection, websocket.close_payload(code))
        self._drain(connection)

    def close_websocket(self, connection: Connection, payload: bytes) -> None:
        """Sends a close frame, the last one; the peer has `CLOSE_TIMEOUT` to answer. Selector thread only."""
        if connection.phase == OPEN:
            connection.phase = CLOSING
            connection.deadline = time.monotonic() + CLOSE_TIMEOUT
            # Told first: whoever sees the close frame and comes back finds the session free.
            self._closed(connection)
            connection.mute(websocket.frame(websocket.CLOSE, payload))

    def drop(self, connection: Connection) -> None:
        """Ends with FIN, and without a close frame. Selector thread only."""
        self._leave_open(connection)
        self._drain(connection, at_once=True)

    def reset(self, connection: Connection) -> None:
        """Ends with RST. Selector thread only."""
        self._end(connection, reset=True)

    def _drain(self, connection: Connection, *, at_once: bool = False) -> None:
        """Sends FIN, when all has been sent, and reads on until the peer has ended, too."""
        connection.phase = DRAINING
        if at_once or not connection.has_unsent:
            connection.finish_sending()
        else:
            connection.owes_fin = True
        connection.deadline = time.monotonic() + CLOSE_TIMEOUT

    def _leave_open(self, connection: Connection) -> None:
        was_open, connection.phase = connection.phase == OPEN, DRAINING
        if was_open:
            self._closed(connection)

    def _end(self, connection: Connection, *, reset: bool = False) -> None:
        self._leave_open(connection)
        connection.phase = CLOSED
        self._connections.discard(connection)
        if connection.sock in self._selector.get_map():
            self._selector.unregister(connection.sock)
        connection.close(reset=reset)
        self._progressed()

    def freeze(self, frozen: bool) -> None:
        """Stops, or resumes, reading and writing. Selector thread only."""
        self._frozen = frozen
        for connection in self._connections:
            connection.freeze(frozen)
            self._watch(connection)

    def _leave(self) -> None:
        for connection in list(self._connections):
            if not connection.frozen:
                self.close_websocket(connection, websocket.close_payload(1001))
            self._end(connection)
        self._running = False

    def _close_down(self) -> None:
        with self._wishes:  # from here on nobody wakes this thread
            self._running = False
            calls, self._calls = self._calls, []
        for _, done in calls:
            done.set_result(None)
        self._selector.close()
        for sock in (self._listener, self._wake_in, self._wake_out):
            sock.close()


def _websockets_first(item: Tuple[selectors.SelectorKey, int]) -> bool:
    connection = item[0].data
    return not (isinstance(connection, Connection) and connection.phase != HTTP)
