"""The exceptions, as a tree::

    OneTradeError
     +-- ConfigurationError (ValueError)          a setting is wrong
     +-- EncodeError (ValueError)                 what should be sent is not JSON
     +-- DecodeError (ValueError)                 what arrived is not what the protocol says
     +-- QueueFullError                           too much waits to be sent
     +-- SlowConsumerError                        an events() iterator was not read fast enough
     +-- WaitTimeoutError (TimeoutError)          the event waited for did not come in time
     +-- CallbackThreadError (RuntimeError)       a call that can only work on another thread
     +-- AnswerError (ValueError)                 what was answered over HTTP is not what the protocol says
     +-- AccountUpdatesStoppedError               without them the mirror does not stay up to date
     +-- UnknownSymbolError (KeyError)            no symbol has this name
     +-- MissingPackageError (ImportError)        a call that needs a package which is not installed
     +-- OutcomeUnknownError                      asked to act, the server did not say whether it has
     +-- RequoteError                             the answer to a requote was not taken
     |    +-- RequoteOverError                    too late: the order does not wait for it any more
     |    +-- RequoteRefusedError                 the server refuses it
     |    +-- UnknownOrderError (LookupError)     the server knows no such order
     +-- ConnectError                             no connection could be made
     |    +-- ConnectTimeoutError (TimeoutError)  not within the time given
     |    +-- NetworkError                        DNS, TCP, TLS or HTTP failed on the way
     |    +-- CertificateError                    the server's certificate was not accepted
     |    +-- ServerError                         the server answered with something else than success
     |    |    +-- AuthenticationError            401 or 403: credentials refused
     |    |    +-- SessionInUseError              "session is already used": two tabs
     |    |    +-- NotFoundError (LookupError)    404: the server does not have, or not offer, what was asked for
     |    |    +-- RateLimitedError               429: too many requests
     |    +-- HandshakeError                      no WebSocket on the other side
     +-- ConnectionEndedError                     a connection is over, or was never made
          +-- NotConnectedError                   a call that needs a connection
          +-- ConnectionLostError                 the network or the server cut it
          |    +-- ConnectionStalledError         the peer stopped answering
          |    +-- ConnectionClosedError          the server sent a close frame
          |    +-- ProtocolError                  the server broke the WebSocket protocol, or a limit
          +-- SessionLoggedOutError               the session was logged out elsewhere
          +-- ReconnectFailedError                the reconnect policy's limit is reached

Every exception stores its facts as attributes and makes its text from them. None of them ever holds an access
token, a session id or an API key in a place that a text, a log or a traceback would show.
"""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple, TypeVar

__all__ = [
    "AccountUpdatesStoppedError",
    "AnswerError",
    "AuthenticationError",
    "CallbackThreadError",
    "CertificateError",
    "ConfigurationError",
    "ConnectError",
    "ConnectTimeoutError",
    "ConnectionClosedError",
    "ConnectionEndedError",
    "ConnectionLostError",
    "ConnectionStalledError",
    "DecodeError",
    "EncodeError",
    "HandshakeError",
    "MissingPackageError",
    "NetworkError",
    "NotConnectedError",
    "NotFoundError",
    "OneTradeError",
    "OutcomeUnknownError",
    "ProtocolError",
    "QueueFullError",
    "RateLimitedError",
    "ReconnectFailedError",
    "RequoteError",
    "RequoteOverError",
    "RequoteRefusedError",
    "ServerError",
    "SessionInUseError",
    "SessionLoggedOutError",
    "SlowConsumerError",
    "UnknownOrderError",
    "UnknownSymbolError",
    "WaitTimeoutError",
]


E = TypeVar("E", bound=BaseException)


def detached(error: E) -> E:
    """``error`` without its past: traceback, cause and context. For one that is handed on, from thread to thread or
    call to call: each frame that it has come through would otherwise stay alive with it, and what its locals know."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


class OneTradeError(Exception):
    """Everything that this library raises on its own account.

    The positional arguments are the facts, in the order of the attributes, so that every error can be pickled,
    copied and raised again.
    """


class ConfigurationError(OneTradeError, ValueError):
    """A setting is wrong.

    :ivar setting: its name
    :ivar value: what was given (for a secret: only its type)
    :ivar allowed: what is allowed, in words
    :ivar problem: what is wrong, where the value alone does not say it
    """

    def __init__(self, setting: str, value: object, allowed: str, problem: str = "") -> None:
        super().__init__(setting, value, allowed, problem)
        self.setting = setting
        self.value = value
        self.allowed = allowed
        self.problem = problem

    def __str__(self) -> str:
        if self.problem:
            return f"{self.problem}: {self.allowed}"
        return f"{self.setting}={self.value!r} is not allowed: {self.allowed}"


class EncodeError(OneTradeError, ValueError):
    """What should be sent cannot be written as JSON; nothing was queued or sent.

    :ivar event_type: the type of the message
    :ivar reason: what is wrong with it
    """

    def __init__(self, event_type: str, reason: str) -> None:
        super().__init__(event_type, reason)
        self.event_type = event_type
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot send {self.event_type!r}: {self.reason}"


class DecodeError(OneTradeError, ValueError):
    """A frame is not what the protocol says.

    :ivar path: where, from the root ``$`` of the message: ``$.data.symbol.digits``; for a binary frame the
        name of the column: ``$.bid``
    :ivar reason: what is wrong there
    :ivar raw: the bytes as they came. They are not part of the text: they may hold what should not be logged.
    :ivar event_type: the message's ``type``, as far as it could be read
    """

    def __init__(self, path: str, reason: str, raw: bytes = b"", event_type: Optional[str] = None) -> None:
        super().__init__(path, reason, raw, event_type)
        self.path = path
        self.reason = reason
        self.raw = raw
        self.event_type = event_type

    def __str__(self) -> str:
        what = f" in {self.event_type!r}" if self.event_type else ""
        return f"{self.reason} at {self.path}{what} ({len(self.raw)} bytes)"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class QueueFullError(OneTradeError):
    """Too many messages wait to be sent; this one was not queued. Try again once the client is open.

    :ivar limit: how many may wait
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"{self.limit} messages already wait to be sent: this one was not queued"


class SlowConsumerError(OneTradeError):
    """An ``events()`` iterator was not read for so long that its buffer is full; it ended, and events that came
    since then are not in it. Read faster, ask for fewer event types, or use callbacks.

    :ivar limit: how many events it may hold
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"{self.limit} events waited unread: this iterator has ended, read faster or use callbacks"


class WaitTimeoutError(OneTradeError, TimeoutError):
    """The event that was waited for did not come in time.

    :ivar what: the event type, in words
    :ivar timeout: seconds
    :ivar last_error: of an account that was waited for, why it could not be loaded when that was tried last; else None
    """

    def __init__(self, what: str, timeout: float, last_error: Optional[OneTradeError] = None) -> None:
        super().__init__()
        # Not through OSError, which TimeoutError is: it would take them for an errno and its text.
        self.args = (what, timeout, last_error)
        self.what = what
        self.timeout = timeout
        self.last_error = last_error

    def __str__(self) -> str:
        trouble = f"; the last trouble: {self.last_error}" if self.last_error else ""
        return f"no {self.what} within {self.timeout:g} s{trouble}"


class CallbackThreadError(OneTradeError, RuntimeError):
    """A call that waits for events was made on the thread that delivers them, so that it would wait for itself;
    or ``pump()`` was called where it does not belong.

    :ivar call: the call
    :ivar advice: what to do instead
    """

    def __init__(self, call: str, advice: str) -> None:
        super().__init__(call, advice)
        self.call = call
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.call} cannot be called here: {self.advice}"


class AnswerError(OneTradeError, ValueError):
    """The answer to an HTTP call is not what the protocol says. Nothing was made of it.

    :ivar step: the call: ``"orders"``, ``"candles"``, …
    :ivar path: where, from the root ``$`` of the answer: ``$.data[3].symbol.digits``
    :ivar reason: what is wrong there
    """

    def __init__(self, step: str, path: str, reason: str) -> None:
        super().__init__(step, path, reason)
        self.step = step
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"the answer to {self.step} makes no sense: {self.reason} at {self.path}"


class AccountUpdatesStoppedError(OneTradeError):
    """``stop_account_all()`` was called: the server tells of no changes any more, and the mirror stays as it was. Call
    ``start_account_all()`` to have it loaded and kept up to date again."""

    def __str__(self) -> str:
        return "account updates are stopped: start_account_all() has the account loaded again"


class UnknownSymbolError(OneTradeError, KeyError):
    """The server offers no symbol of this name, or of this id.

    :ivar symbol: what was asked for
    :ivar near: names that look like it, the most similar first
    """

    def __init__(self, symbol: object, near: Sequence[str] = ()) -> None:
        super().__init__(symbol, tuple(near))
        self.symbol = symbol
        self.near = tuple(near)

    def __str__(self) -> str:
        meant = f"; did you mean {', '.join(self.near)}?" if self.near else ""
        if isinstance(self.symbol, str) and self.symbol.isdigit():
            meant = f": an id is a number, {self.symbol}{meant}"
        return f"there is no symbol {self.symbol!r}{meant}"


class MissingPackageError(OneTradeError, ImportError):
    """A call needs a package that is not installed, or that cannot be imported: the cause says why.

    :ivar call: the call
    :ivar package: its name
    :ivar extra: this library's extra that brings it
    """

    def __init__(self, call: str, package: str, extra: str) -> None:
        super().__init__(call, package, extra)
        self.call = call
        self.package = package
        self.extra = extra

    def __str__(self) -> str:
        return f'{self.call} needs {self.package}, this library\'s extra "{self.extra}": pip install {self.package}'


class OutcomeUnknownError(OneTradeError):
    """The server was asked to act, and no answer came: it may have acted or not. It was not asked again. Look at the
    order, or wait for its events, before you do anything more.

    :ivar step: what it was asked for
    :ivar reason: why there is no answer
    """

    def __init__(self, step: str, reason: OneTradeError) -> None:
        super().__init__(step, reason)
        self.step = step
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.step}: the server may have acted or not, and was not asked again: {self.reason}"


class RequoteError(OneTradeError):
    """The answer to a requote was not taken; nothing was traded by it.

    :ivar order_id: the order
    :ivar message: what the server said, shortened, secrets removed
    """

    def __init__(self, order_id: int, message: str) -> None:
        super().__init__(order_id, message)
        self.order_id = order_id
        self.message = message

    def __str__(self) -> str:
        message = f": {self.message}" if self.message else ""
        return f"{self._problem} (order {self.order_id}){message}"

    _problem = "the answer to a requote was not taken"


class RequoteOverError(RequoteError):
    """Too late: the order does not wait for an answer any more, or never did. Its status says what became of it."""

    _problem = "the order does not wait for an answer to a requote"


class RequoteRefusedError(RequoteError):
    """The server refuses the answer, though the order still waits for one."""

    _problem = "the server refuses the answer to a requote"


class UnknownOrderError(RequoteError, LookupError):
    """The server knows no such order."""

    _problem = "the server knows no such order"


class ConnectError(OneTradeError):
    """No connection could be made, or an HTTP call did not get through."""


class ConnectTimeoutError(ConnectError, TimeoutError):
    """No connection within the time given.

    :ivar timeout: seconds
    :ivar attempts: how many attempts were begun
    :ivar last_error: why the last finished attempt failed, or None when the first one never finished
    """

    def __init__(self, timeout: float, attempts: int, last_error: Optional[OneTradeError] = None) -> None:
        super().__init__()
        self.args = (timeout, attempts, last_error)
        self.timeout = timeout
        self.attempts = attempts
        self.last_error = last_error

    def __str__(self) -> str:
        attempts = "1 attempt" if self.attempts == 1 else f"{self.attempts} attempts"
        trouble = f"; the last trouble: {self.last_error}" if self.last_error else ""
        return f"not connected within {self.timeout:g} s ({attempts}){trouble}"


class NetworkError(ConnectError):
    """DNS, TCP, a proxy, TLS or HTTP failed on the way to the server.

    :ivar step: ``"login"``, ``"session validation"``, ``"DNS"``, ``"TCP"``, ``"proxy"``, ``"TLS"``, ``"handshake"``, or
        the HTTP call: ``"orders"``, ``"candles"``, …
    :ivar host: the server, as ``host:port``; for the step ``"proxy"`` the proxy
    :ivar reason: the system's words
    """

    def __init__(self, step: str, host: str, reason: str) -> None:
        super().__init__(step, host, reason)
        self.step = step
        self.host = host
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.step} with {self.host} failed: {self.reason}"


class CertificateError(ConnectError):
    """The server's certificate was not accepted. Never retried. For a private authority pass ``ssl_context=``.

    :ivar host: the server, as ``host:port``
    :ivar reason: OpenSSL's words
    """

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(host, reason)
        self.host = host
        self.reason = reason

    def __str__(self) -> str:
        return f"the certificate of {self.host} was not accepted: {self.reason}"


class ServerError(ConnectError):
    """The server answered a step of the connection, or an HTTP call, with something else than success.

    :ivar step: ``"login"``, ``"session validation"``, ``"handshake"``, or the HTTP call: ``"orders"``, ``"candles"``, …
    :ivar status: the HTTP status
    :ivar message: what the server said, shortened, secrets removed
    :ivar retry_after: seconds that the server asks to wait (``Retry-After``: RFC 9110, 10.2.3); None when it does not
        say. What is tried again by itself waits so long, or an hour
    """

    def __init__(self, step: str, status: int, message: str, retry_after: Optional[float] = None) -> None:
        super().__init__(step, status, message, retry_after)
        self.step = step
        self.status = status
        self.message = message
        self.retry_after = retry_after

    def __str__(self) -> str:
        message = f": {self.message}" if self.message else ""
        wait = "" if self.retry_after is None else f"; it asks to wait for {self.retry_after:g} s"
        return f"{self.step} was answered with HTTP {self.status}{message}{wait}"


class AuthenticationError(ServerError):
    """401 or 403: the server does not accept the credentials. Never retried."""

    def __str__(self) -> str:
        what = "API key" if self.step == "login" else "credentials: sessions and tokens expire"
        return f"{super().__str__()}; check the {what}"


class SessionInUseError(ServerError):
    """The server says "session is already used": another program or browser tab holds the session.

    Close the other one, or log in for a session of your own (``api_key=``).
    """

    def __str__(self) -> str:
        return "the session is already used by another program or browser tab: close it there, or log in anew"


class NotFoundError(ServerError, LookupError):
    """404: the server does not have what was asked for, or does not offer the call at all."""


class RateLimitedError(ServerError):
    """429: too many requests."""


class HandshakeError(ConnectError):
    """The other side does not speak WebSocket here, or speaks it wrongly.

    :ivar host: the server, as ``host:port``
    :ivar reason: what is wrong
    """

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(host, reason)
        self.host = host
        self.reason = reason

    def __str__(self) -> str:
        return f"no WebSocket at {self.host}: {self.reason}"


class ConnectionEndedError(OneTradeError):
    """A connection is over, or was never made."""


class NotConnectedError(ConnectionEndedError):
    """A call that needs a connection was made without one, or ``disconnect()`` ended the wait.

    :ivar call: the call
    """

    def __init__(self, call: str) -> None:
        super().__init__(call)
        self.call = call

    def __str__(self) -> str:
        return f"{self.call}: the client is not connected"


class ConnectionLostError(ConnectionEndedError):
    """The network or the server cut the connection.

    :ivar reason: the system's words
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the connection was lost: {self.reason}"


class ConnectionStalledError(ConnectionLostError):
    """The peer gave no sign of life, or took nothing, for too long.

    :ivar silence: seconds
    """

    def __init__(self, reason: str, silence: float) -> None:
        super().__init__(reason)
        self.args: Tuple[Any, ...] = (reason, silence)
        self.silence = silence

    def __str__(self) -> str:
        return f"the connection stalled: {self.reason} for {self.silence:g} s"


class ConnectionClosedError(ConnectionLostError):
    """The server sent a close frame.

    :ivar code: the RFC 6455 status code, or None when the frame held none
    :ivar reason: the server's words, may be empty
    """

    def __init__(self, code: Optional[int], reason: str) -> None:
        super().__init__(reason)
        self.args: Tuple[Any, ...] = (code, reason)
        self.code = code

    def __str__(self) -> str:
        reason = f": {self.reason}" if self.reason else ""
        return f"the server closed the connection (code {self.code}){reason}"


class ProtocolError(ConnectionLostError):
    """The server broke the WebSocket protocol, or a limit, and the client failed the connection for it.

    :ivar code: the RFC 6455 status code that the client sent: 1002 (protocol error), 1007 (not UTF-8) or 1009 (too big)
    :ivar reason: what the server did
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.args: Tuple[Any, ...] = (code, reason)
        self.code = code

    def __str__(self) -> str:
        return f"the server broke the WebSocket protocol (close code {int(self.code)}): {self.reason}"


class SessionLoggedOutError(ConnectionEndedError):
    """The session was logged out from another place. The client has ended; log in anew."""

    def __str__(self) -> str:
        return "the session was logged out from another place: log in anew"


class ReconnectFailedError(ConnectionEndedError):
    """The reconnect policy's limit is reached: the client has ended.

    :ivar attempts: how many times in a row it was tried
    :ivar last_error: why the last attempt failed
    """

    def __init__(self, attempts: int, last_error: OneTradeError) -> None:
        super().__init__(attempts, last_error)
        self.attempts = attempts
        self.last_error = last_error

    def __str__(self) -> str:
        return f"gave up after {self.attempts} attempts to reconnect; the last trouble: {self.last_error}"
