"""One WebSocket connection, from TCP to its end. The only module that knows websocket-client."""

from __future__ import annotations

import contextlib
import logging
import re
import ssl
import struct
from typing import Any, Callable, List, Optional
from urllib.parse import urlsplit

from websocket import ABNF, WebSocketApp, WebSocketException, WebSocketPayloadException

from ..config import Settings
from ..deadline import Deadline
from ..errors import (
    ConnectionClosedError,
    ConnectionLostError,
    HandshakeError,
    NetworkError,
    OneTradeError,
    ProtocolError,
    detached,
)
from ..protocol.frames import Batch, CloseCode
from .answers import refusal
from .credentials import ACCESS_TOKEN, SESSION_ID, Credentials
from .reader import FrameReader
from .stream import Stream

logger = logging.getLogger("onetrade_ws.connection")

# Seconds that a close frame of ours may take to be written, and that the server gets to read it and hang up.
_LAST_WRITE = 0.1
_LINGER = 0.5

# We offer neither.
_NOT_OFFERED = re.compile(rb"\r\nsec-websocket-(?:extensions|protocol)[ \t]*:[ \t]*[^ \t\r]", re.IGNORECASE)
_RETRY_AFTER = re.compile(rb"\r\nretry-after[ \t]*:([^\r\n]*)", re.IGNORECASE)


class _Frames:
    """What the reader asks of websocket-client's connection, whose own ``pong()`` would log what the server sent."""

    def __init__(self, websocket: Any, stream: Stream) -> None:
        self.recv_frame = websocket.recv_frame
        self._stream = stream

    def pong(self, data: bytes) -> None:
        # That it cannot be written ends nothing: behind the ping there may be more to read, and the end.
        with contextlib.suppress(ConnectionLostError):
            self._stream.send(ABNF.create_frame(data, ABNF.OPCODE_PONG).format())


class Transport:
    """Runs a ``WebSocketApp`` once, on the thread that calls :meth:`run`: the reader thread.

    :param settings: the address, and what is allowed
    :param stream: not connected yet
    :param on_open: called on the reader thread when the handshake is completed, before anything is read
    :param on_batches: called on the reader thread with the messages that came
    :param on_heartbeat_reply: called on the reader thread for each "10"
    """

    def __init__(
        self,
        settings: Settings,
        stream: Stream,
        *,
        on_open: Callable[[], None],
        on_batches: Callable[[List[Batch]], None],
        on_heartbeat_reply: Callable[[], None],
    ) -> None:
        self._url = settings.url
        self._host = settings.host
        self._stream = stream
        self._reader = FrameReader(
            stream.buffer,
            limit=settings.max_message_size,
            strict_utf8=settings.strict_utf8,
            on_open=on_open,
            on_batches=on_batches,
            on_heartbeat_reply=on_heartbeat_reply,
        )
        self._closing = False
        self._handshake_error: Optional[Exception] = None

    @property
    def opened(self) -> bool:
        """Whether the connection was ever open."""
        return self._reader.opened

    def run(
        self, credentials: Credentials, context: Optional[ssl.SSLContext], deadline: Deadline
    ) -> OneTradeError:
        """Connect, and read until the end.

        :param deadline: for TCP, TLS and handshake together
        :returns: why the connection ended, or could not be made
        """
        try:
            self._open(context, deadline)
            self._run_app(credentials, deadline)
            return detached(self._ending(credentials))
        except OneTradeError as error:
            return detached(error)
        finally:
            self._stream.close()

    def _open(self, context: Optional[ssl.SSLContext], deadline: Deadline) -> None:
        parts = urlsplit(self._url)
        host = parts.hostname or ""
        self._stream.connect(host, parts.port or (443 if parts.scheme == "wss" else 80), deadline)
        if parts.scheme == "wss":
            assert context is not None
            self._stream.start_tls(context, host, deadline)

    def _run_app(self, credentials: Credentials, deadline: Deadline) -> None:
        app = WebSocketApp(
            f"{self._url}/ws/v1?session_id={SESSION_ID}&access_token={ACCESS_TOKEN}",
            socket=self._stream,  # type: ignore[arg-type]  # has of a socket what is asked of it
            on_error=self._remember,
        )
        self._reader.websocket = lambda: _Frames(app.sock, self._stream)
        self._stream.on_first_send = credentials.fill_in
        self._stream.on_first_recv = lambda: self._check_answer(credentials, deadline)
        # reconnect: it would log the end of a failed handshake as an error of its own; so it asks for a reconnect
        # instead, which the reader does not make.
        app.run_forever(dispatcher=self._reader, skip_utf8_validation=True, reconnect=1)

    def _remember(self, app: object, error: Exception) -> None:
        self._handshake_error = error

    def _check_answer(self, credentials: Credentials, deadline: Deadline) -> None:
        # websocket-client would put the whole answer into its exception, and follow a redirect with the token. A 101
        # it may log line by line.
        status, body = self._stream.read_head(deadline, credentials.hide_in_head)
        head = self._stream.buffer.chunk.split(b"\r\n\r\n", 1)[0]
        if status == 101:
            # RFC 6455, 4.1, which websocket-client does not check.
            if _NOT_OFFERED.search(head):
                raise HandshakeError(
                    self._host, "it chose an extension or a subprotocol that was not offered"
                )
            return
        if 300 <= status <= 399:
            raise HandshakeError(self._host, f"it redirects (HTTP {status}), which is not followed")
        wait = _RETRY_AFTER.search(head)
        retry_after = "" if wait is None else wait.group(1).decode("latin-1")
        error = refusal("handshake", status, body, credentials, retry_after)
        raise error or HandshakeError(self._host, f"it answered HTTP {status}, not 101")

    def _ending(self, credentials: Credentials) -> OneTradeError:
        reader = self._reader
        if not reader.opened:
            return self._explain_handshake(self._handshake_error)
        error = reader.error
        if reader.close_frame is not None:
            code, reason = reader.close_frame
            self._end_with(code)
            return ConnectionClosedError(code, credentials.hide_in(reason))
        if isinstance(error, WebSocketException):
            code = (
                CloseCode.INVALID_PAYLOAD
                if isinstance(error, WebSocketPayloadException)
                else CloseCode.PROTOCOL_ERROR
            )
            error = ProtocolError(code, _words(error))
        if isinstance(error, ProtocolError):
            self._end_with(error.code)
        if isinstance(error, OneTradeError):
            return error
        logger.error("reading failed for a reason of its own", exc_info=error)
        return ConnectionLostError(f"reading failed: {type(error).__name__}")

    def _end_with(self, code: Optional[int]) -> None:
        # Nothing to do where we had sent ours before: this was the answer.
        if not self._closing and self._write_close_frame(code, _LAST_WRITE):
            self._stream.finish(_LINGER)

    def _explain_handshake(self, error: Optional[Exception]) -> OneTradeError:
        if isinstance(error, ConnectionLostError):
            return NetworkError("handshake", self._host, error.reason)
        if isinstance(error, OneTradeError):
            return error
        # The texts of websocket-client may quote what the server sent.
        return HandshakeError(self._host, f"its answer breaks the protocol ({type(error).__name__})")

    def send(self, text: str) -> None:
        """Write a text message whole: on any thread, blocks while the server takes nothing.

        :raises TornFrameError: when a part was written; the server cannot have acted on it
        :raises ConnectionLostError: when nothing was
        """
        self._stream.write(ABNF.create_frame(text, ABNF.OPCODE_TEXT).format())

    def close(self, code: int, timeout: float, *, last: str = "") -> bool:
        """Write a close frame, and nothing after it: on any thread, blocks at most ``timeout`` seconds.

        :param last: a text message to be written right before it; none where it is empty
        :returns: whether it was written, now or before; the server's answer ends :meth:`run`
        """
        self._closing = True
        return self._write_close_frame(code, timeout, last)

    def _write_close_frame(self, code: Optional[int], timeout: float, last: str = "") -> bool:
        payload = b"" if code is None else struct.pack("!H", code)
        data = ABNF.create_frame(payload, ABNF.OPCODE_CLOSE).format()
        if last:
            data = ABNF.create_frame(last, ABNF.OPCODE_TEXT).format() + data
        return self._stream.send_last(data, timeout)


def _words(error: WebSocketException) -> str:
    # Before 1.9 some of them hold a format and its arguments.
    words, *arguments = error.args or ("unknown",)
    return str(words) % tuple(arguments) if arguments else str(words)
