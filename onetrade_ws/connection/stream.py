"""The TCP or TLS connection under the WebSocket.

websocket-client is handed a :class:`Stream` in place of a socket. It receives in large chunks, writes a message whole
or not at all as far as the peer can tell, puts a deadline on everything, and can be torn down from any thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import selectors
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Callable, List, Optional, Sequence, Tuple, Union

from ..deadline import Deadline
from ..errors import (
    CertificateError,
    ConnectionLostError,
    ConnectionStalledError,
    HandshakeError,
    NetworkError,
    OneTradeError,
    detached,
)
from .buffer import ReceiveBuffer
from .resolver import Address, LookUp
from .turns import Turns

if TYPE_CHECKING:
    from .proxy import Tunnel

_CHUNK = 256 * 1024
# RFC 8446, 5.1: what a TLS record holds at most.
_RECORD = 16 * 1024
_HEAD_LIMIT = 64 * 1024
_LONGEST_SELECT = 86400.0
_LONGEST_USER_TIMEOUT = 2**31 - 1
# Seconds that the body of a refusal may take, when its length is not known.
_MOMENT = 0.5

_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r\n", re.IGNORECASE)

# What the system says of a connection that is over: nothing more will come but what has come.
_OVER = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ECONNABORTED, errno.ESHUTDOWN, errno.ENOTCONN})

_Socket = Union[socket.socket, ssl.SSLSocket]
_Waitable = Union[_Socket, LookUp]


class TornFrameError(ConnectionLostError):
    """Of what was to be written, a part was, and nothing ever will be after it."""


class _TimeIsOverError(Exception):
    """Nobody outside sees it: each step says in its own words what did not happen in time."""


class Stream:
    """One connection, used once: ``connect()``, ``start_tls()``, ``send()`` and ``recv()``, ``close()``.

    ``abort()`` may be called from any thread at any time; it releases whoever waits in any other method. The
    methods that websocket-client calls carry the names that it expects of a socket.

    :param host: ``host:port``, for messages
    :param write_timeout: seconds that a message may take to be written, before the peer counts as stalled
    :param tunnel: the way through a proxy; None: directly
    :param patience: seconds after which the system is to give up a peer that does not acknowledge what was sent, where
        it can be told to; None: as it does by itself
    """

    def __init__(
        self,
        host: str,
        write_timeout: float,
        tunnel: Optional[Tunnel] = None,
        *,
        patience: Optional[float] = None,
    ) -> None:
        #: When bytes arrived last, on the monotonic clock.
        self.last_received = time.monotonic()
        #: What arrived and was not read yet.
        self.buffer = ReceiveBuffer(lambda: self._receive(Deadline(None)))
        #: Called once, before websocket-client receives anything.
        self.on_first_recv: Optional[Callable[[], None]] = None
        #: Makes what is written of what websocket-client sends first, its request.
        self.on_first_send: Optional[Callable[[bytes], bytes]] = None
        #: Called each time that somebody tears the connection down, on any thread; must not block.
        self.on_failure: Callable[[], None] = lambda: None
        self._host = host
        self._write_timeout = write_timeout
        self._patience = patience
        self._tunnel = tunnel
        self._sock: Optional[_Socket] = None
        self._error: Optional[OneTradeError] = None
        # Why nothing can be written any more, though what has come can still be read.
        self._write_error: Optional[OneTradeError] = None
        self._finished = False
        self._closed = False
        # Serialises whole messages: while one is being written, no other may begin. A turn includes waiting for the
        # socket, at most write_timeout long.
        self._writing = Turns()
        # Serialises the calls into OpenSSL, which allows no two at a time on one connection. Never held while
        # waiting: the socket does not block.
        self._tls_lock = threading.Lock()
        # Guards the first error, and that nothing is torn down after close().
        self._state_lock = threading.Lock()
        # A byte in this pair, never taken out, wakes everybody who waits for the socket.
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._read_selector: Optional[selectors.BaseSelector] = None
        # What came after the last bytes, and has not been raised yet.
        self._receive_error: Optional[OSError] = None
        # Whether to receive without waiting first: to find nothing there costs more than to wait.
        self._more_is_there = True

    # -- set-up: on the reader thread -----------------------------------------------------------------------

    def connect(self, host: str, port: int, deadline: Deadline) -> None:
        """Open the TCP connection, or the tunnel through the proxy.

        Of a host that has several addresses, each is tried in turn, with its share of the time left.

        :raises NetworkError: when none of them answers in time, or the proxy does not play along
        """
        if self._tunnel is None:
            self._connect_to_first(self._look_up(host, port, deadline), deadline)
            return
        if not self._tunnel.resolves_names:
            addresses = self._look_up(host, port, deadline)
            # The old SOCKS knows no other addresses.
            host = next((each[4][0] for each in addresses if each[0] == socket.AF_INET), "")
            if not host:
                raise NetworkError("DNS", self._host, "no IPv4 address, and the proxy can do no other")
        proxy = self._tunnel.proxy
        try:
            self._connect_to_first(self._look_up(proxy.host, proxy.port, deadline), deadline)
            self._open_tunnel(self._tunnel, host, port, deadline)
        except NetworkError as error:
            raise NetworkError("proxy", proxy.address, error.reason) from None

    def _open_tunnel(self, tunnel: Tunnel, host: str, port: int, deadline: Deadline) -> None:
        sock = self._sock
        assert sock is not None
        try:
            tunnel.open(sock, host, port, lambda event: self._wait(sock, event, deadline))
        except _TimeIsOverError:
            raise NetworkError("proxy", tunnel.proxy.address, "no answer in time") from None
        except NetworkError:
            if self._error is None:
                raise
        if self._error is not None:
            # Whoever tore the connection down has said why.
            raise self._error

    def _look_up(self, host: str, port: int, deadline: Deadline) -> Sequence[Address]:
        try:
            with contextlib.closing(LookUp(host, port)) as look_up:
                self._wait(look_up, selectors.EVENT_READ, deadline)
                return look_up.addresses()
        except _TimeIsOverError:
            reason = "no answer in time"
        except OSError as error:
            reason = _words(error)
        except UnicodeError:
            reason = "not a host name"
        except RuntimeError:
            reason = "there is no thread left for it"
        raise NetworkError("DNS", self._host, reason)

    def _connect_to_first(self, addresses: Sequence[Address], deadline: Deadline) -> None:
        failure: Optional[OneTradeError] = None
        for index, (family, kind, protocol, _, address) in enumerate(addresses):
            remaining = deadline.remaining()
            share = None if remaining is None else remaining / (len(addresses) - index)
            try:
                # Not every family that has an address need be supported here.
                sock = socket.socket(family, kind, protocol)
            except OSError as error:
                failure = NetworkError("TCP", self._host, _words(error))
                continue
            try:
                self._connect_to(sock, address, deadline.sooner(share))
            except OSError as error:
                failure = NetworkError("TCP", self._host, _words(error))
            except _TimeIsOverError:
                failure = NetworkError("TCP", self._host, "no answer in time")
            except BaseException:
                # Aborted: no other address is tried, and the descriptor is given back.
                sock.close()
                raise
            else:
                return
            sock.close()
        raise failure or NetworkError("DNS", self._host, "no address")

    def _connect_to(self, sock: socket.socket, address: Tuple[object, ...], deadline: Deadline) -> None:
        sock.setblocking(False)
        try:
            sock.connect(address)
        except (BlockingIOError, InterruptedError):
            self._wait(sock, selectors.EVENT_WRITE, deadline)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code)) from None
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._patience is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            # While nobody reads, writing is all that can tell that the peer has gone. Linux has it tell in time.
            milliseconds = min(int(self._patience * 1000), _LONGEST_USER_TIMEOUT)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        self._adopt(sock)

    def start_tls(self, context: ssl.SSLContext, server_name: str, deadline: Deadline) -> None:
        """Do the TLS handshake.

        :raises CertificateError: when the server's certificate is not accepted
        :raises NetworkError: when the handshake fails otherwise, or takes too long
        """
        plain = self._sock
        assert plain is not None
        try:
            sock = context.wrap_socket(plain, server_hostname=server_name, do_handshake_on_connect=False)
            self._adopt(sock)
            while True:
                try:
                    sock.do_handshake()
                    return
                except ssl.SSLWantReadError:
                    self._wait(sock, selectors.EVENT_READ, deadline)
                except ssl.SSLWantWriteError:
                    self._wait(sock, selectors.EVENT_WRITE, deadline)
        except ssl.CertificateError as error:
            raise CertificateError(self._host, error.verify_message or str(error)) from None
        except OSError as error:
            raise NetworkError("TLS", self._host, _words(error)) from None
        except _TimeIsOverError:
            raise NetworkError("TLS", self._host, "no answer in time") from None

    def _adopt(self, sock: _Socket) -> None:
        with self._state_lock:
            self._sock = sock
            error = self._error
        if error is not None:
            raise error

    def detach(self) -> socket.socket:
        """Hand the connected socket out, blocking; this object is then good for ``close()`` alone."""
        with self._state_lock:
            sock, self._sock = self._sock, None
            if self._error is None and sock is not None:
                sock.setblocking(True)
                return sock
        if sock is not None:
            sock.close()
        raise self._error or ConnectionLostError("it was closed")

    def read_head(self, deadline: Deadline, hide: Callable[[bytes], bytes]) -> Tuple[int, bytes]:
        """Receive the answer to the handshake up to its empty line, and leave it to be received again.

        websocket-client reads the answer byte by byte, without a limit, without an end in time, and goes where a
        redirect points to. So the answer is looked at before it may see it.

        :param hide: makes what websocket-client is to see of the head of a 101
        :returns: the HTTP status, and for anything but 101 the body, as far as it arrived in time
        :raises HandshakeError: when it is not HTTP, or endless
        :raises NetworkError: when it does not come in time
        """
        head = b""
        while b"\r\n\r\n" not in head:
            if len(head) > _HEAD_LIMIT:
                raise HandshakeError(self._host, "its answer has no end")
            try:
                head += self._receive(deadline)
            except _TimeIsOverError:
                raise NetworkError("handshake", self._host, "no answer in time") from None
        parts = head.split(b"\r\n", 1)[0].split(b" ", 2)
        if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].isdigit():
            raise HandshakeError(self._host, "its answer is not HTTP")
        status = int(parts[1])
        if status != 101:
            head = self._read_body(head, deadline)
        end = head.index(b"\r\n\r\n") + 4
        body = head[end:]
        self.buffer.feed(hide(head[:end]) + body)
        return status, body

    def _read_body(self, head: bytes, deadline: Deadline) -> bytes:
        length = _CONTENT_LENGTH.search(head)
        # Without a length it ends with the connection, which a server may leave open: a moment has to do.
        wanted = head.index(b"\r\n\r\n") + 4 + int(length.group(1)) if length else _HEAD_LIMIT
        deadline = deadline if length else deadline.sooner(_MOMENT)
        # What arrived says enough, when the rest does not come.
        with contextlib.suppress(OneTradeError, _TimeIsOverError):
            while len(head) < min(wanted, _HEAD_LIMIT):
                head += self._receive(deadline)
        return head

    # -- receiving: on the reader thread --------------------------------------------------------------------

    def recv(self, size: int) -> bytes:
        """Up to ``size`` bytes; blocks until there is one.

        :raises ConnectionLostError: when no more will come
        """
        if self.on_first_recv is not None:
            look, self.on_first_recv = self.on_first_recv, None
            look()
        return self.buffer.recv(size)

    def _receive(self, deadline: Deadline) -> bytes:
        sock = self._sock
        assert sock is not None
        while True:
            if self._error is not None:
                raise self._error
            if not self._more_is_there:
                self._wait_to_read(sock, deadline)
            # When nothing is there after all, the next thing is to wait.
            self._more_is_there = False
            try:
                if isinstance(sock, ssl.SSLSocket):
                    chunk = self._receive_records(sock)
                else:
                    chunk = sock.recv(_CHUNK)
                    self._more_is_there = len(chunk) == _CHUNK
            except (BlockingIOError, ssl.SSLWantReadError):
                continue
            except ssl.SSLWantWriteError:
                self._wait(sock, selectors.EVENT_WRITE, deadline)
                continue
            except InterruptedError:
                continue
            except OSError as error:
                raise self._fail(self._loss(error)) from None
            if not chunk:
                end = ConnectionLostError("the server closed it without a close frame")
                raise self._fail(self._write_error or end)
            self.touch()
            return chunk

    def _receive_records(self, sock: ssl.SSLSocket) -> bytes:
        """As many TLS records as there are: OpenSSL gives one at a time, of 16 KB at most."""
        if self._receive_error is not None:
            raise self._receive_error
        records: List[bytes] = []
        size = 0
        with self._tls_lock:
            while size < _CHUNK:
                try:
                    record = sock.recv(_CHUNK)
                except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    if records:
                        return b"".join(records)
                    raise
                except OSError as error:
                    if not records:
                        raise
                    self._receive_error = error
                    break
                if not record:
                    break
                records.append(record)
                size += len(record)
        # More, or what ended it: the socket need not show that.
        self._more_is_there = True
        return b"".join(records)

    def touch(self) -> None:
        """Count this moment as a sign of life."""
        self.last_received = time.monotonic()

    # -- sending: on any thread -----------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Write ``data`` whole; blocks while the peer takes nothing, at most ``write_timeout`` seconds.

        When it fails, a part may have been written, but nothing ever is after it, so that the frame is never completed
        and the peer cannot act on it. What the peer had sent before can still be received.

        :raises TornFrameError: when a part was written
        :raises ConnectionLostError: when nothing was
        """

        def write() -> None:
            if self._finished:
                raise ConnectionLostError("it is being closed")
            try:
                self._write(data, Deadline(self._write_timeout))
            except OneTradeError:
                raise
            except BaseException:
                # Ctrl-C, above all. Nobody knows how much of it has gone.
                self._fail(ConnectionLostError("a write was interrupted"))
                raise

        self._writing.take(write)

    def send(self, data: bytes) -> int:
        """What websocket-client writes: handshake, pongs, and the answer to a close frame.

        :returns: ``len(data)``, as it expects
        :raises ConnectionLostError: when it could not be written whole
        """
        complete, self.on_first_send = self.on_first_send, None
        problem: Optional[OneTradeError] = None

        def write() -> None:
            # Nothing may follow our close frame (RFC 6455, 5.5.1), and it would answer the peer's answer.
            if not self._finished:
                self._write(data if complete is None else complete(data), Deadline(self._write_timeout))

        try:
            self._writing.take(write)
        except OneTradeError as error:
            problem = error
        if problem is not None:
            # Without the frames that know what was written.
            raise detached(problem)
        return len(data)

    def send_last(self, data: bytes, timeout: float) -> bool:
        """Write ``data``, and nothing after it.

        :param timeout: seconds, for a write that is under way and this one together
        :returns: whether it was written, now or before
        """
        deadline = Deadline(timeout)

        def write() -> None:
            if not self._finished:
                self._finished = True
                self._write(data, deadline)

        try:
            return self._writing.take(write, timeout)
        except OneTradeError:
            return False

    def _write(self, data: bytes, deadline: Deadline) -> None:
        # In a turn of writing.
        sock = self._sock
        assert sock is not None
        view = memoryview(data)
        try:
            while view:
                view = view[self._write_some(sock, view, deadline) :]
        except ConnectionLostError as error:
            if len(view) == len(data):
                raise
            torn = TornFrameError(error.reason)
        else:
            return
        raise torn

    def _write_some(self, sock: _Socket, view: memoryview, deadline: Deadline) -> int:
        while True:
            if self._error is not None:
                raise self._error
            if self._write_error is not None:
                raise self._write_error
            try:
                if isinstance(sock, ssl.SSLSocket):
                    # One record: of several it would not be known how many have gone when the rest cannot.
                    with self._tls_lock:
                        return sock.send(view[:_RECORD])
                return sock.send(view)
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._wait_to_write(sock, selectors.EVENT_WRITE, deadline)
            except ssl.SSLWantReadError:
                # The other thread reads; OpenSSL will have what it needs when it has. Waiting for both
                # directions would spin, as the socket is nearly always writable.
                self._wait_to_write(sock, selectors.EVENT_READ, deadline)
            except InterruptedError:
                continue
            except OSError as error:
                problem = self._loss(error)
                if not _the_peer_has_gone(error):
                    raise self._fail(problem) from None
                # What it said before may lie here unread: the reader finds the end by itself.
                self._write_error = problem
                self.on_failure()
                raise problem from None

    def _wait_to_write(self, sock: _Socket, event: int, deadline: Deadline) -> None:
        try:
            self._wait(sock, event, deadline)
        except _TimeIsOverError:
            stalled = ConnectionStalledError("the server took nothing", self._write_timeout)
            raise self._fail(stalled) from None

    # -- the end --------------------------------------------------------------------------------------------

    def _loss(self, error: OSError) -> ConnectionLostError:
        # What the system says when it was told how long to wait for an acknowledgement.
        if error.errno == errno.ETIMEDOUT and self._patience is not None:
            return ConnectionStalledError("the server took nothing", self._patience)
        return ConnectionLostError(_words(error))

    def finish(self, timeout: float) -> None:
        """Say that nothing more will be sent, and receive and forget what comes, until the peer says the same: on the
        reader thread, after the last write.

        A connection that is closed with bytes unread is reset, and a reset may take from the peer the close frame that
        it has not read yet.

        :param timeout: seconds that the peer gets
        """
        deadline = Deadline(timeout)
        with self._state_lock:
            if self._error is not None or self._sock is None:
                return
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._sock, socket.SHUT_WR)
        with contextlib.suppress(OneTradeError, _TimeIsOverError):
            while not deadline.expired:
                self._receive(deadline)

    def abort(self, error: OneTradeError) -> None:
        """Tear the connection down: whoever waits in another method gets ``error``. Does not block.

        The first error given stays; later ones are ignored.
        """
        self._fail(error)

    def _fail(self, error: OneTradeError) -> OneTradeError:
        with self._state_lock:
            if self._error is None:
                self._error = error
            if not self._closed:
                # A full pipe would mean that everybody has been woken many times over.
                with contextlib.suppress(OSError):
                    self._wake_sender.send(b"\0")
                if self._sock is not None:
                    # Not SSLSocket.shutdown: it takes the encryption off first, and another thread could
                    # still send or receive.
                    with contextlib.suppress(OSError):
                        socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
            error = self._error
        self.on_failure()
        return error

    @property
    def failed(self) -> bool:
        """Whether it has been torn down, or nothing can be written any more."""
        return self._error is not None or self._write_error is not None

    def close(self) -> None:
        """Give everything back. On the reader thread, last. Idempotent."""
        self._fail(ConnectionLostError("it was closed"))
        # Whoever writes has been woken, and is out before the descriptors are.
        self._writing.take(self._give_back)

    def _give_back(self) -> None:
        with self._state_lock:
            if self._closed:
                return
            self._closed = True
            if self._read_selector is not None:
                self._read_selector.close()
            if self._sock is not None:
                self._sock.close()
            self._wake_receiver.close()
            self._wake_sender.close()

    # -- waiting --------------------------------------------------------------------------------------------

    def _wait_to_read(self, sock: _Socket, deadline: Deadline) -> None:
        # On the reader thread alone, which waits here for every chunk: its selector is made once.
        if self._read_selector is None:
            self._read_selector = selectors.DefaultSelector()
            self._read_selector.register(sock, selectors.EVENT_READ)
            self._read_selector.register(self._wake_receiver, selectors.EVENT_READ)
        self._select(self._read_selector, deadline)

    def _wait(self, sock: _Waitable, event: int, deadline: Deadline) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(sock, event)
            selector.register(self._wake_receiver, selectors.EVENT_READ)
            self._select(selector, deadline)

    def _select(self, selector: selectors.BaseSelector, deadline: Deadline) -> None:
        """Until the socket is ready, somebody aborts, or the time is over."""
        ready: object = None
        # A signal may wake it with nothing ready, and it cannot wait for longer than some weeks.
        while not ready:
            if deadline.expired:
                raise _TimeIsOverError
            remaining = deadline.remaining()
            ready = selector.select(None if remaining is None else min(remaining, _LONGEST_SELECT))
            if self._error is not None:
                raise self._error

    # -- what else websocket-client asks of a socket --------------------------------------------------------

    def gettimeout(self) -> None:
        """None: it looks like a blocking socket."""

    def fileno(self) -> int:
        """The descriptor of the connection."""
        return -1 if self._sock is None else self._sock.fileno()


def _the_peer_has_gone(error: OSError) -> bool:
    if isinstance(error, ssl.SSLError):
        # The system has refused to write, of which OpenSSL does not say why: by Python's version it is the one or the
        # other (gh-115627, gh-127257).
        return isinstance(error, ssl.SSLEOFError) or error.errno == ssl.SSL_ERROR_SYSCALL
    return error.errno in _OVER


def _words(error: OSError) -> str:
    """What the system says of an error, without what it was called with."""
    if isinstance(error, ssl.SSLError):
        return str(error.reason or error.strerror or "TLS error").lower().replace("_", " ")
    return error.strerror or type(error).__name__
