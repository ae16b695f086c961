"""A TCP proxy on one selector thread that does to the bytes between client and server what networks do to them."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from collections import deque
from concurrent.futures import Future
from enum import Enum
from typing import Callable, Deque, List, Optional, Set, Tuple

import attrs

# Bytes that one direction may hold back; beyond that TCP holds the sender back.
_HELD_LIMIT = 1024 * 1024
_CHUNK = 256 * 1024
# Writes of one connection before the others have their turn.
_PIECES_A_TURN = 64
_RESET = struct.pack("ii", 1, 0)


class Then(Enum):
    """What happens when a direction has forwarded what it may."""

    #: Both sides of the connection end with FIN: the bytes before it arrive.
    CLOSE = "close"
    #: Both sides end with RST: the system may throw away what it has.
    RESET = "reset"
    #: What comes is held. The other direction goes on.
    STALL = "stall"


@attrs.frozen
class Treatment:
    """What becomes of the bytes that go in one direction.

    :ivar forward: how many bytes are still forwarded; None: all
    :ivar then: what happens after those
    :ivar piece: the most bytes of one write
    :ivar delay: seconds that every byte is late
    """

    forward: Optional[int] = None
    then: Then = Then.STALL
    piece: int = _CHUNK
    delay: float = 0.0


HEALTHY = Treatment()
STALLED = Treatment(forward=0)
CHOPPED = Treatment(piece=1)


class _Pipe:
    """One direction of one connection."""

    def __init__(self, source: socket.socket, target: socket.socket, treatment: Treatment) -> None:
        self.source = source
        self.target = target
        # What was read and not written yet, each part with when it is due.
        self.held: Deque[Tuple[float, memoryview]] = deque()
        self.size = 0
        self.at_end = False
        self.treat(treatment)

    def treat(self, treatment: Treatment) -> None:
        self.treatment = treatment
        self.left = treatment.forward
        # A delay that is over holds nothing up any more.
        now = time.monotonic()
        self.held = deque((min(due, now + treatment.delay), data) for due, data in self.held)

    @property
    def is_stalled(self) -> bool:
        return self.left == 0 and self.treatment.then is Then.STALL

    @property
    def wants_more(self) -> bool:
        return not self.at_end and self.size < _HELD_LIMIT

    @property
    def has_due(self) -> bool:
        return bool(self.held) and self.left != 0 and self.held[0][0] <= time.monotonic()

    def hold(self, data: memoryview) -> None:
        self.held.append((time.monotonic() + self.treatment.delay, data))
        self.size += len(data)

    def write(self) -> None:
        """Write what is due, as far as the system takes it and up to the cut."""
        for _ in range(_PIECES_A_TURN):
            if not self.has_due:
                return
            due, data = self.held[0]
            piece = self.treatment.piece if self.left is None else min(self.treatment.piece, self.left)
            try:
                written = self.target.send(data[:piece])
            except BlockingIOError:
                return
            self.size -= written
            if self.left is not None:
                self.left -= written
            if written == len(data):
                self.held.popleft()
            else:
                self.held[0] = due, data[written:]


class _Pair:
    """A client's connection and the one that was made to the server for it."""

    def __init__(self, client: socket.socket, server: socket.socket, up: Treatment, down: Treatment) -> None:
        self.client = client
        self.server = server
        self.up = _Pipe(client, server, up)
        self.down = _Pipe(server, client, down)


class FaultProxy:
    """Listens on a port of its own, and connects each client to ``upstream``.

    Commands may be called on any thread; when one returns, it holds. A client's end of sending ends its connection,
    even where its bytes are held back: the server does not keep what the client has given up (but see
    :meth:`orphan`).

    :param upstream: host and port of the server
    """

    def __init__(self, upstream: Tuple[str, int]) -> None:
        self._upstream = upstream
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._selector.register(self._wake_out, selectors.EVENT_READ, self._obey)
        # Keeps the port while it does not listen.
        self._holder = self._bound(0)
        self.port: int = self._holder.getsockname()[1]
        self._listener: Optional[socket.socket] = None
        self._pairs: Set[_Pair] = set()
        self._coming: Deque[Tuple[Treatment, Treatment]] = deque()
        self._orphans: List[socket.socket] = []
        self._buffer = memoryview(bytearray(_CHUNK))
        self._running = True
        self._accepted = 0
        # Guards what is to be done on the selector thread.
        self._lock = threading.Lock()
        self._commands: List[Tuple[Callable[[], None], Future[None]]] = []
        self._listen()
        self._thread = threading.Thread(target=self._run, name="fault proxy", daemon=True)
        self._thread.start()

    # -- on any thread --------------------------------------------------------------------------------------

    @property
    def ws_url(self) -> str:
        """``ws://`` and the proxy's address."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def accepted(self) -> int:
        """How many connections were accepted so far."""
        return self._accepted

    def treat(self, *, up: Treatment = HEALTHY, down: Treatment = HEALTHY) -> None:
        """Treat the bytes of all present connections so from now on.

        :param up: from the client to the server
        :param down: from the server to the client
        """

        def treat() -> None:
            for pair in list(self._pairs):
                pair.up.treat(up)
                pair.down.treat(down)
                self._move(pair)

        self._do(treat)

    def treat_next(self, *, up: Treatment = HEALTHY, down: Treatment = HEALTHY) -> None:
        """Treat the next connection so that is accepted; called again: the one after it."""
        self._do(lambda: self._coming.append((up, down)))

    def blackhole_next(self) -> None:
        """Accept the next connection, and never answer."""
        self.treat_next(up=STALLED, down=STALLED)

    def end(self, *, reset: bool) -> None:
        """End all present connections, both sides, by RST or by FIN. What is held is not forwarded."""

        def end() -> None:
            for pair in list(self._pairs):
                self._end(pair, reset)

        self._do(end)

    def orphan(self) -> None:
        """Reset the clients' sides of all present connections. Their servers learn it by :meth:`release`."""
        self._do(self._orphan)

    def release(self) -> None:
        """Reset the servers' sides that were left by :meth:`orphan`."""

        def release() -> None:
            while self._orphans:
                self._close(self._orphans.pop(), reset=True)

        self._do(release)

    def refuse(self) -> None:
        """Listen no more: who connects is refused."""

        def refuse() -> None:
            if self._listener is not None:
                self._close(self._listener)
                self._listener = None

        self._do(refuse)

    def listen(self) -> None:
        """Listen again after :meth:`refuse`."""
        self._do(self._listen)

    @property
    def coming(self) -> int:
        """How many connections are still to come that :meth:`treat_next` was called for."""
        return len(self._coming)

    def stop(self) -> None:
        """End all connections and the thread. Idempotent."""

        def leave() -> None:
            self._running = False

        if self._thread.is_alive():
            self._do(leave)
            self._thread.join()

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _do(self, command: Callable[[], None]) -> None:
        done: Future[None] = Future()
        with self._lock:
            self._commands.append((command, done))
        self._wake_in.send(b"\0")
        done.result()

    # -- the selector thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._running:
                for key, ready in self._selector.select(self._time_left()):
                    # An earlier one may have closed it, and its number may be another's now.
                    registered = self._selector.get_map().get(key.fd)
                    if registered is not None and registered.data is key.data:
                        key.data(ready)
                self._move_late()
        finally:
            sockets = [key.fileobj for key in self._selector.get_map().values()]
            for sock in [*sockets, *self._orphans, self._holder, self._wake_in]:
                assert isinstance(sock, socket.socket)
                sock.close()
            self._selector.close()

    def _obey(self, ready: int) -> None:
        self._wake_out.recv(4096)
        with self._lock:
            commands, self._commands = self._commands, []
        for command, done in commands:
            try:
                command()
                done.set_result(None)
            except Exception as error:  # noqa: BLE001 - it belongs to the thread that asked
                done.set_exception(error)

    def _bound(self, port: int) -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        return sock

    def _listen(self) -> None:
        if self._listener is None:
            self._listener = self._bound(self.port)
            self._listener.listen(128)
            self._listener.setblocking(False)
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def _accept(self, ready: int) -> None:
        assert self._listener is not None
        try:
            client, _ = self._listener.accept()
        except OSError:
            return  # it has gone again
        self._accepted += 1
        up, down = self._coming.popleft() if self._coming else (HEALTHY, HEALTHY)
        try:
            server = socket.create_connection(self._upstream, timeout=5.0)
        except OSError:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            client.close()
            return
        for sock in (client, server):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = _Pair(client, server, up, down)
        self._pairs.add(pair)
        self._move(pair)

    def _time_left(self) -> Optional[float]:
        late = [pipe.held[0][0] for pipe in self._late()]
        return max(0.0, min(late) - time.monotonic()) if late else None

    def _late(self) -> List[_Pipe]:
        pipes = [pipe for pair in self._pairs for pipe in (pair.up, pair.down)]
        return [pipe for pipe in pipes if pipe.treatment.delay and pipe.held]

    def _move_late(self) -> None:
        for pair in list(self._pairs):
            if pair.up.treatment.delay or pair.down.treatment.delay:
                self._move(pair)

    def _move(self, pair: _Pair) -> None:
        """Write what can be written, and wait for what comes next."""
        pipes = (pair.up, pair.down)
        try:
            for pipe in pipes:
                pipe.write()
                if pipe.left == 0 and not pipe.is_stalled:
                    self._end(pair, pipe.treatment.then is Then.RESET)
                    return
                if pipe.at_end and not pipe.held:
                    pipe.target.shutdown(socket.SHUT_WR)
        except OSError:
            self._end(pair, True)
            return
        if pair.up.at_end and (pair.up.is_stalled or not pair.up.held):
            self._end(pair, bool(pair.up.held))
            return
        for own, other in (pipes, pipes[::-1]):
            wanted = selectors.EVENT_READ if own.wants_more else 0
            self._watch(own.source, wanted | (selectors.EVENT_WRITE if other.has_due else 0), pair)

    def _watch(self, sock: socket.socket, wanted: int, pair: _Pair) -> None:
        registered = self._selector.get_map().get(sock)
        if registered is None:
            if wanted:
                pipe = pair.up if sock is pair.client else pair.down
                self._selector.register(sock, wanted, lambda ready: self._serve(pair, pipe, ready))
        elif not wanted:
            self._selector.unregister(sock)
        elif registered.events != wanted:
            self._selector.modify(sock, wanted, registered.data)

    def _serve(self, pair: _Pair, pipe: _Pipe, ready: int) -> None:
        if ready & selectors.EVENT_READ:
            try:
                length = pipe.source.recv_into(self._buffer)
            except BlockingIOError:
                pass
            except OSError:
                self._end(pair, True)
                return
            else:
                if length:
                    self._forward(pipe, length)
                else:
                    pipe.at_end = True
        self._move(pair)

    def _forward(self, pipe: _Pipe, length: int) -> None:
        written = 0
        if pipe.treatment is HEALTHY and not pipe.held:
            try:
                written = pipe.target.send(self._buffer[:length])
            except OSError:
                pass  # full, or gone: the next write says which
        if written < length:
            pipe.hold(memoryview(bytes(self._buffer[written:length])))

    def _end(self, pair: _Pair, reset: bool) -> None:
        self._pairs.discard(pair)
        for sock in (pair.client, pair.server):
            if reset:
                self._close(sock, reset=True)
            else:
                self._finish(sock)

    def _finish(self, sock: socket.socket) -> None:
        """Send FIN, and close when the other side has ended, too."""

        def drain(ready: int) -> None:
            try:
                if sock.recv_into(self._buffer):
                    return
            except BlockingIOError:
                return
            except OSError:
                pass
            self._close(sock)

        self._forget(sock)
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            sock.close()  # the other side was faster
        else:
            self._selector.register(sock, selectors.EVENT_READ, drain)

    def _orphan(self) -> None:
        for pair in list(self._pairs):
            self._pairs.discard(pair)
            self._close(pair.client, reset=True)
            self._forget(pair.server)
            self._orphans.append(pair.server)

    def _close(self, sock: socket.socket, *, reset: bool = False) -> None:
        self._forget(sock)
        if reset and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        sock.close()

    def _forget(self, sock: socket.socket) -> None:
        if sock.fileno() >= 0 and sock in self._selector.get_map():
            self._selector.unregister(sock)
