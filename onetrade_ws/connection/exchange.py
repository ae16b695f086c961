"""HTTP requests that end in time and can be aborted. The only module that knows ``requests``."""

from __future__ import annotations

import contextlib
import errno
import functools
import http.client
import io
import socket
import ssl
import threading
import zlib
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from ..config import host_and_port
from ..deadline import Deadline, start
from ..errors import AnswerError, CertificateError, NetworkError, OneTradeError, detached
from .credentials import Credentials
from .stream import Stream

if TYPE_CHECKING:
    from .proxy import Tunnel

# Bytes of a body that are looked at, when no more is asked for.
_LOOKED_AT = 64 * 1024
_CHUNK = 16 * 1024
# Bytes of an answer beside its body, however that is packed.
_AROUND = 1024 * 1024
_ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS


class Answer(NamedTuple):
    """An answer to a request: its status, its body as far as it is looked at, and its ``Retry-After``.

    Its repr shows no body: that of a login holds the token.
    """

    status: int
    body: bytes
    retry_after: str = ""

    def __repr__(self) -> str:
        return f"<Answer {self.status}, {len(self.body)} bytes>"


class Exchange:
    """HTTP requests, one after the other, on one thread; ``abort()`` on any other.

    Every socket timeout of ``requests`` begins anew with each byte that arrives, so that a server that drips never
    times out. Here the connection is cut when the time is over, whatever the request is waiting for.

    :param context: for ``https://``; None when there is none
    :param tunnel: the way through a proxy; None: directly
    """

    def __init__(self, context: Optional[ssl.SSLContext], tunnel: Optional[Tunnel] = None) -> None:
        self._context = context
        self._tunnel = tunnel
        # Guards everything below.
        self._lock = threading.Lock()
        # The connection of the request under way: being made, or made. The second descriptor of a made one stays
        # valid whatever TLS wraps around the first.
        self._stream: Optional[Stream] = None
        self._guard: Optional[socket.socket] = None
        #: What it was ended with.
        self.aborted: Optional[OneTradeError] = None
        #: Called when it is ended: wakes who waits for something else before the request.
        self.on_abort: Callable[[], None] = _nothing
        #: Whether some of a request may have gone out.
        self.is_sent = False

    def abort(self, error: OneTradeError) -> None:
        """End the request under way with ``error``, and every later one. Does not block."""
        with self._lock:
            self.aborted = self.aborted or error
            if self._stream is not None:
                self._stream.abort(error)
            if self._guard is not None:
                with contextlib.suppress(OSError):
                    self._guard.shutdown(socket.SHUT_RDWR)
        self.on_abort()

    def request(
        self,
        step: str,
        method: str,
        url: str,
        headers: Mapping[str, str],
        credentials: Credentials,
        deadline: Deadline,
        *,
        content: Optional[bytes] = None,
        limit: Optional[int] = None,
    ) -> Answer:
        """Send a request, and receive the answer. Blocks until ``deadline``.

        :param step: what the request is for, in messages
        :param credentials: what the placeholders in ``url`` and ``headers`` stand for
        :param content: the request's body
        :param limit: bytes that the body of an answer that is no refusal may have; None: of what is larger, the
            beginning will do
        :raises NetworkError: when no whole answer comes in time, or none at all
        :raises AnswerError: when it is larger
        :raises CertificateError: when the server's certificate is not accepted
        """
        host = host_and_port(url)
        late = NetworkError(step, host, "no answer in time")
        if deadline.expired:
            raise late
        timer: Optional[threading.Timer] = None
        remaining = deadline.remaining()
        if remaining is not None:
            timer = threading.Timer(remaining, self.abort, [late])
            timer.name, timer.daemon = "onetrade-ws HTTP deadline", True
        try:
            if timer is not None:
                _start(timer, step, host)
            request = requests.Request(method, url, headers=dict(headers), data=content)
            answer = self._request(step, host, request, credentials, deadline, limit)
            # What was cut looks like an answer, when it was cut in its head.
            if self.aborted is None:
                return answer
            problem = self.aborted
        except OneTradeError as error:
            # Or like a network failure.
            problem = self.aborted or error
        finally:
            if timer is not None:
                # Before it has begun, too, where Ctrl-C came then.
                timer.cancel()
                Deadline(None).join(timer)
            self._forget_connection()
        # Outside of the handler, whose exception has others behind it that quote the answer.
        raise detached(problem)

    def _request(
        self,
        step: str,
        host: str,
        request: requests.Request,
        credentials: Credentials,
        deadline: Deadline,
        limit: Optional[int],
    ) -> Answer:
        problem: OneTradeError
        try:
            with _Session() as session:
                for scheme in ("http://", "https://"):
                    adapter = _Adapter(self, step, host, credentials, deadline, limit or _LOOKED_AT)
                    session.mount(scheme, adapter)
                # A matching entry in ~/.netrc would be sent along, and the environment's proxy asked, which is done in
                # Stream.connect(): requests can abort nothing.
                session.trust_env = False
                # As it is: an answer is a line or two, but for the lists, which are loaded once.
                request.headers = {"Accept-Encoding": "identity", **request.headers}
                # No timeout of its own: it would be for each byte, and the exchange ends with the deadline anyway.
                with session.send(
                    session.prepare_request(request), timeout=None, allow_redirects=False, stream=True
                ) as response:
                    status, retry_after = response.status_code, response.headers.get("Retry-After", "")
                    if limit is None or not 200 <= status <= 299:
                        return Answer(status, _body(response, _LOOKED_AT), retry_after)
                    body = _body(response, limit + 1)
                    if len(body) <= limit:
                        return Answer(status, body, retry_after)
                    problem = AnswerError(step, "$", f"more than {limit} bytes")
        except requests.exceptions.SSLError as error:
            problem = _tls_problem(step, host, error)
        except OneTradeError as error:
            problem = error
        except Exception as error:  # noqa: BLE001 - not everything that a strange answer brings about is wrapped
            problem = NetworkError(step, host, _words(error))
        raise problem

    def open(self, step: str, host: str, peer: Tuple[str, int], deadline: Deadline) -> socket.socket:
        """The TCP connection for urllib3, or the tunnel.

        :param host: the server, for messages
        """
        stream = Stream(host, 0.0, self._tunnel)
        with self._lock:
            if self.aborted is None:
                self._stream = stream
        try:
            if self.aborted is not None:
                raise self.aborted
            try:
                stream.connect(*peer, deadline)
            except NetworkError as error:
                if error.step == "proxy":
                    raise
                raise NetworkError(step, host, error.reason) from None
            sock = stream.detach()
        finally:
            stream.close()
        with self._lock:
            self._stream = None
            if self.aborted is None:
                self._guard = sock.dup()
                return sock
        sock.close()
        raise self.aborted

    def _forget_connection(self) -> None:
        with self._lock:
            self._stream = None
            if self._guard is not None:
                self._guard.close()
                self._guard = None


def _nothing() -> None:
    """Nobody waits."""


class _Session(requests.Session):
    """Looks at no redirect: requests would read its whole body, however long, even where it may not follow it."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: there is none."""


class _Adapter(HTTPAdapter):
    """Makes connections through an :class:`Exchange`, with its TLS context and no authority added to it: requests
    would load its own bundle into it."""

    def __init__(
        self,
        exchange: Exchange,
        step: str,
        host: str,
        credentials: Credentials,
        deadline: Deadline,
        limit: int,
    ) -> None:
        self._exchange = exchange

        def open_connection(connection: HTTPConnection) -> socket.socket:
            return exchange.open(step, host, (connection.host, connection.port or 80), deadline)

        def fill_in(head: bytes) -> bytes:
            exchange.is_sent = True
            return credentials.fill_in(head)

        self._pool_classes = _pool_classes(open_connection, fill_in, limit + _AROUND)
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._exchange._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pool_classes

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs["verify"] = True
        return super().send(request, *args, **kwargs)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """The context says what is trusted."""


class _Limited(io.RawIOBase):
    """What a server answers, up to a limit. Some versions of urllib3 read the announcement of a chunk without one."""

    def __init__(self, raw: io.RawIOBase, limit: int) -> None:
        self._raw = raw
        self._left = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Optional[int]:
        if not self._left:
            raise OSError(errno.EMSGSIZE, "the answer has no end")
        count: Optional[int] = self._raw.readinto(memoryview(buffer)[: self._left])
        self._left -= count or 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, *args: Any, limit: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fp = io.BufferedReader(_Limited(self.fp.detach(), limit))

    def begin(self) -> None:
        super().begin()
        # urllib3 would log what is no header; a server likes to quote requests.
        self.msg.defects.clear()
        self.msg.set_payload("")


class _Discreet:
    """Of an HTTP connection: it writes the secrets into the request as it goes out, so that above it nobody knows them:
    no log, no exception and no traceback of requests, urllib3 and http.client."""

    # It would print the answers.
    debuglevel = 0
    response_class: Any

    fill_in: Callable[[bytes], bytes]
    sock: Any
    connect: Callable[[], None]
    _at_head = False

    def endheaders(self, *args: Any, **kwargs: Any) -> None:
        """The head is complete: what is written next."""
        self._at_head = True
        super().endheaders(*args, **kwargs)  # type: ignore[misc]  # of the HTTPConnection beside it

    def send(self, data: Any) -> None:
        """What http.client calls with the head of a request, and then with its body, in which nothing stands for a
        secret, whatever it looks like."""
        if self.sock is None:
            self.connect()
        at_head, self._at_head = self._at_head, False
        problem: Optional[OSError] = None
        try:
            self.sock.sendall(self.fill_in(data) if at_head else data)
        except OSError as error:
            problem = error
        if problem is not None:
            # Without the frames that know what was written.
            raise problem.with_traceback(None)


def _pool_classes(open_connection: Any, reveal: Callable[[bytes], bytes], limit: int) -> Dict[str, Any]:
    # Python 3.14 would bind a partial like a method.
    response: Any = staticmethod(functools.partial(_Response, limit=limit))

    class Http(_Discreet, HTTPConnection):
        fill_in = staticmethod(reveal)
        response_class = response

        def _new_conn(self) -> socket.socket:
            return open_connection(self)  # type: ignore[no-any-return]

    class Https(_Discreet, HTTPSConnection):
        fill_in = staticmethod(reveal)
        response_class = response

        def _new_conn(self) -> socket.socket:
            return open_connection(self)  # type: ignore[no-any-return]

    class HttpPool(HTTPConnectionPool):
        ConnectionCls = Http

    class HttpsPool(HTTPSConnectionPool):
        ConnectionCls = Https

    return {"http": HttpPool, "https": HttpsPool}


def _start(timer: threading.Timer, step: str, host: str) -> None:
    try:
        start(timer)
    except (RuntimeError, MemoryError):
        pass
    else:
        return
    # The process has none left; it may have some later.
    raise NetworkError(step, host, "there is no thread left for it")


def _body(response: requests.Response, enough: int) -> bytes:
    """The first so many bytes of the body, unpacked.

    Not by urllib3, which unpacks as many times as the answer says, and in some versions whatever that comes to.
    """
    packing = response.headers.get("Content-Encoding", "identity").strip().lower()
    unpacker = zlib.decompressobj(_ZLIB_OR_GZIP) if packing in ("gzip", "x-gzip", "deflate") else None
    if unpacker is None and packing not in ("", "identity"):
        raise OSError(errno.EPROTO, "its answer is packed in a way that nobody asked for")
    body = bytearray()
    try:
        for chunk in response.raw.stream(_CHUNK, decode_content=False):
            body += chunk if unpacker is None else unpacker.decompress(chunk, enough)
            if len(body) >= enough:
                del body[enough:]
                return bytes(body)
    except zlib.error:
        raise OSError(errno.EPROTO, "its answer cannot be unpacked") from None
    if body and unpacker is not None and not unpacker.eof:
        raise OSError(errno.EPROTO, "its answer is cut short")
    return bytes(body)


def _causes(error: BaseException) -> List[BaseException]:
    """Everything that requests and urllib3 wrapped into an error."""
    found: List[BaseException] = []
    todo: List[Any] = [error]
    while todo:
        current = todo.pop(0)
        if isinstance(current, BaseException) and current not in found:
            found.append(current)
            todo += [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
    return found


def _tls_problem(step: str, host: str, error: BaseException) -> OneTradeError:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return CertificateError(host, cause.verify_message or str(cause))
    return NetworkError(step, host, _words(error))


def _words(error: BaseException) -> str:
    """The system's words; those of requests and urllib3 quote the address."""
    reason: Optional[str] = None
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.strerror:
            reason = cause.strerror
    return reason or type(error).__name__
