"""A tunnel through a proxy. The only module that knows ``python_socks``; imported when a proxy is used.

python-socks speaks with the proxy, over a socket that is opened and waited for here: its own timeouts begin anew with
each byte that arrives, and nobody could abort it.
"""

from __future__ import annotations

import selectors
import socket
from typing import Any, Callable, Optional, cast

from python_socks import ProxyError, ProxyType
from python_socks.sync.v2 import Proxy as Negotiation

from ..config import Proxy
from ..errors import NetworkError

_HEAD_LIMIT = 16 * 1024

_TYPES = {
    "http": ProxyType.HTTP,
    "socks5": ProxyType.SOCKS5,
    "socks5h": ProxyType.SOCKS5,
    "socks4": ProxyType.SOCKS4,
    "socks4a": ProxyType.SOCKS4,
}


class Tunnel:
    """The way through one proxy."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy

    @property
    def resolves_names(self) -> bool:
        """Whether the proxy looks the server's name up; all but plain SOCKS4 do."""
        return self.proxy.scheme != "socks4"

    def open(self, sock: socket.socket, host: str, port: int, wait: Callable[[int], None]) -> None:
        """Have the proxy connect ``sock`` with the server; blocks as long as ``wait`` does.

        :param sock: connected with the proxy, not blocking
        :param wait: blocks until the socket is ready for an event of ``selectors``; what it raises ends this
        :raises NetworkError: when the proxy does not do it, answers nonsense, or is gone
        """
        error = self._negotiate(_Conversation(sock, wait), host, port)
        if error is not None:
            # Without the frames of python-socks, whose locals hold the password.
            raise error.with_traceback(None)

    def _negotiate(self, conversation: _Conversation, host: str, port: int) -> Optional[Exception]:
        """What went wrong. It is not raised here: behind it would be what the proxy said, which may quote us."""
        proxy = self.proxy
        is_http = proxy.scheme == "http"
        negotiation = Negotiation(
            _TYPES[proxy.scheme],
            proxy.host,
            proxy.port,
            proxy.username,
            proxy.password,
            rdns=True,
            forward=cast(Any, _Forward(conversation)),
        )
        try:
            # Before 2.8.2 it forgets the brackets.
            negotiation.connect(f"[{host}]" if is_http and ":" in host else host, port)
        except Exception as error:  # noqa: BLE001 - raised again by the caller, without what hangs on it
            words = self._words(error)
            return error if words is None else NetworkError("proxy", proxy.address, words)
        return None

    def _words(self, error: Exception) -> Optional[str]:
        """What the proxy did wrong; None when it was not the proxy."""
        if isinstance(error, _BrokenError):
            return str(error)
        if isinstance(error, OSError):
            return error.strerror or type(error).__name__
        if isinstance(error, (ValueError, LookupError, RuntimeError, AssertionError)):
            # It could not make sense of an answer, or of the host's name; the text may quote either.
            return "what it should be told, or what it says, breaks the proxy protocol"
        return self._refusal(error) if isinstance(error, ProxyError) else None

    def _refusal(self, error: ProxyError) -> str:
        if self.proxy.scheme != "http":
            # Its own words: a fixed text for each code.
            return str(error)
        # Not the words of the answer, which might quote the request.
        code = getattr(error, "error_code", None)
        if code is None or not 100 <= code <= 999:
            return "its answer is not HTTP"
        reason = " (it wants a user and password, or others)" if code == 407 else ""
        return f"it answered HTTP {code}{reason}"


class _BrokenError(Exception):
    """The proxy ended the conversation, or would not end it."""


class _Forward:
    """What python-socks takes for a proxy before the proxy: gives it our connection."""

    def __init__(self, conversation: _Conversation) -> None:
        self._conversation = conversation

    def connect(self, **_: Any) -> _Conversation:
        return self._conversation


class _Conversation:
    """What python-socks takes for its own stream."""

    def __init__(self, sock: socket.socket, wait: Callable[[int], None]) -> None:
        self._sock = sock
        self._wait = wait

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            # It is not waited inside of the handlers: what ends the waiting would have an exception behind it whose
            # frames hold the data, and the password.
            written = 0
            try:
                written = self._sock.send(view)
            except (BlockingIOError, InterruptedError):
                pass
            if not written:
                self._wait(selectors.EVENT_WRITE)
            view = view[written:]

    def read(self, max_bytes: int = 0) -> bytes:
        """The head of an HTTP answer, whole; python-socks takes for it what arrives first."""
        head = bytearray()
        while b"\r\n\r\n" not in head[-4:]:
            if len(head) >= _HEAD_LIMIT:
                raise _BrokenError("its answer has no end")
            # One at a time: what follows it belongs to the server.
            head += self._receive(1)
        return bytes(head)

    def read_exactly(self, size: int) -> bytearray:
        data = bytearray()
        while len(data) < size:
            data += self._receive(size - len(data))
        return data

    def _receive(self, size: int) -> bytes:
        while True:
            try:
                data = self._sock.recv(size)
            except (BlockingIOError, InterruptedError):
                data = None
            if data:
                return data
            if data is not None:
                raise _BrokenError("it closed the connection")
            self._wait(selectors.EVENT_READ)

    def close(self) -> None:
        """Whoever opened the connection closes it."""

    # Their names before 3.0.
    write_all = write
    read_exact = read_exactly
