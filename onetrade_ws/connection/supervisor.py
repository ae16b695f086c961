"""The reader thread: makes the connection, keeps it, and is the one place that connects and reconnects."""

from __future__ import annotations

import contextlib
import logging
import ssl
import threading
import time
from typing import Callable, Dict, NoReturn, Optional, Sequence

import attrs

from ..config import Settings
from ..deadline import Deadline, Flag, in_words
from ..errors import (
    AuthenticationError,
    CertificateError,
    ConnectionLostError,
    ConnectTimeoutError,
    NetworkError,
    OneTradeError,
    RateLimitedError,
    ReconnectFailedError,
    ServerError,
    SessionInUseError,
    SessionLoggedOutError,
    detached,
)
from ..protocol.events import ClientEventType, Event, Gap, Reconnecting
from ..protocol.frames import Batch
from .credentials import Credentials
from .exchange import Exchange
from .freshness import Freshness
from .lifecycle import CLOSED, CLOSING, CONNECTING, OPEN, Lifecycle
from .link import Deliver, Ending, Link, Loading
from .outgoing import OutgoingQueue
from .routes import Routes
from .session import validate_session
from .sign_in import SignIn

logger = logging.getLogger("onetrade_ws.connection")

# Seconds that the server may take to answer our close frame, before the connection is cut.
_CLOSING_HANDSHAKE = 0.5


# Another attempt would get the same answer.
_FINAL = (AuthenticationError, CertificateError, SessionInUseError, SessionLoggedOutError)


class _Stopped(Exception):
    """disconnect() was called."""


@attrs.define
class Counters:
    """What a client's connections have done so far. Written by one connection's threads, never two at a time."""

    connections: int = 0
    frames: int = 0
    bytes: int = 0
    #: Attempts to reconnect, by the name of the error behind each.
    reconnects: Dict[str, int] = attrs.field(factory=dict)


@attrs.define
class Memory:
    """What one life leaves to the next."""

    #: The loss that was not made good, for the gap is as long.
    loss: Optional[Ending] = None
    #: What the server last said of the session.
    session_valid: Optional[bool] = None
    #: When the last message came, on the monotonic clock.
    last_message: Optional[float] = None
    #: Whether the server has held the session for a connection since this connect() began.
    accepted: bool = False


class Supervisor:
    """One life of a client's connection, from ``connect()`` to its end.

    Before the connection was open for the first time, what may pass is tried again while the timeout leaves time for
    it. After that, losses are mended as the policy says. Login, validation and handshake that are refused with
    ``Retry-After`` are not tried again before that, an hour at most. Some answers are final at any time: credentials
    refused, a bad certificate, a logout; and "session is already used", except for a while after a connection of our
    own was lost, which the server may still be holding.

    :param deliver: takes batches of messages, and when not to block for it
    :param wake: wakes a ``deliver`` that blocks
    :param announce: takes the client's own events, on any thread; does not block
    :param loading: what loads the account beside the next connection; None: nothing does
    :param timeout: seconds within which the first connection must be made
    """

    def __init__(
        self,
        settings: Settings,
        lifecycle: Lifecycle[Supervisor],
        outgoing: OutgoingQueue,
        freshness: Freshness,
        counters: Counters,
        memory: Memory,
        sign_in: SignIn,
        context: Optional[ssl.SSLContext],
        routes: Routes,
        *,
        deliver: Deliver,
        wake: Callable[[], None],
        announce: Callable[[Event], None],
        loading: Callable[[Optional[ssl.SSLContext], Routes], Optional[Loading]],
        timeout: float,
    ) -> None:
        #: How many attempts were begun since the last loss, or since the start.
        self.attempts = 0
        #: How many times the connection was open in this life.
        self.openings = 0
        #: Why the last attempt failed.
        self.last_error: Optional[OneTradeError] = None
        #: Why this life ended, when it was not asked to.
        self.reason: Optional[OneTradeError] = None
        self._settings = settings
        self._lifecycle = lifecycle
        self._outgoing = outgoing
        self._freshness = freshness
        self._counters = counters
        self._deliver = deliver
        self._wake = wake
        self._announce = announce
        self._loading = loading
        self._timeout = timeout
        self._sign_in = sign_in
        # What the last attempt came in with.
        self._used: Optional[Credentials] = None
        self._context = context
        self._routes = routes
        self._memory = memory
        # What had come before the present connection.
        self._bytes_before = 0
        self._stop = Flag()
        # Guards that nothing is begun which stop() does not see.
        self._lock = threading.Lock()
        self._exchange: Optional[Exchange] = None
        self._link: Optional[Link] = None
        # Set when the thread could not be waited for: nothing that it does counts any more.
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name="onetrade-ws reader", daemon=True)

    @property
    def heartbeat_round_trip(self) -> Optional[float]:
        """Seconds from the last answered beat of this connection to its answer."""
        link = self._link
        return None if link is None else link.heartbeat_round_trip

    def begin(self) -> bool:
        """Begin this life and start the reader thread, unless it was stopped before.

        :returns: False when another life has not ended
        :raises RuntimeError: when there is no memory for a thread; :meth:`stop` ends what has begun
        """
        with self._lock:
            if self._stop.is_set():
                return True
            if not self._lifecycle.begin(self):
                return False
        self._sign_in.begin()
        self._thread.start()
        return True

    def join(self, deadline: Deadline) -> None:
        """Wait for the end of the reader thread, which says first that the life is over."""
        deadline.join(self._thread)

    def stop(self, deadline: Deadline) -> None:
        """End this life. On any thread but the reader's; blocks at most until ``deadline``. Idempotent."""
        with self._lock:
            self._stop.set()
            exchange, link = self._exchange, self._link
        self._lifecycle.move(self, CLOSING)
        if exchange is not None:
            exchange.abort(ConnectionLostError("disconnect() was called"))
        if link is not None:
            # Half of the time at most: the threads' end takes some, too.
            link.close(deadline.sooner(min(_CLOSING_HANDSHAKE, (deadline.remaining() or 0.0) / 2)))
        if not (self._lifecycle.wait_until_over(self, deadline) and deadline.join(self._thread)):
            # A log handler of the program's holds it up, and nobody can wake that; it ends by itself after that.
            self._abandoned = True
            self._lifecycle.move(self, CLOSED)

    # -- the reader thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._stay_connected(self._connect())
        except _Stopped:
            pass
        except OneTradeError as error:
            self.reason = detached(error)
        except BaseException as error:
            # A log handler of the program's, which may raise SystemExit, too, or a bug of ours. Nobody must wait for a
            # thread that is gone.
            with contextlib.suppress(BaseException):
                logger.exception("the reader thread failed for a reason of its own")
            self.reason = ReconnectFailedError(self.attempts, OneTradeError(type(error).__name__))
        if isinstance(self.reason, SessionInUseError):
            self._say(ClientEventType.SESSION_IN_USE, self.reason)
        elif isinstance(self.reason, SessionLoggedOutError):
            self._say(ClientEventType.SESSION_LOGGED_OUT, self.reason)
        self._lifecycle.move(self, CLOSING, self.reason)
        self._lifecycle.move(self, CLOSED, self.reason)

    def _connect(self) -> Ending:
        """Make the first connection, and stay in it until it is lost.

        :raises OneTradeError: when it cannot be made
        """
        deadline = Deadline(self._timeout)
        policy = self._settings.reconnect
        self._memory.accepted = False
        # Of a call before this life, it may be.
        earlier = self._sign_in.credentials
        trouble: Optional[OneTradeError] = None
        while True:
            accepted = self._memory.accepted
            self._raise_if_stopped()
            self.attempts += 1
            ending = self._attempt(deadline)
            if ending.lasted is not None:
                return ending
            if isinstance(ending.error, ServerError):
                # Nobody says what a server answers to a session that is over.
                self._sign_in.forget(earlier)
            final = isinstance(ending.error, _FINAL)
            if isinstance(ending.error, SessionInUseError) and accepted:
                # Most likely by our own connection of a moment ago, which broke before it was open.
                final = False
            if final or policy is None or policy.gives_up_after(self.attempts):
                raise ending.error
            # An attempt that the end of the time has cut short says less than the one before it.
            if trouble is None or not deadline.expired:
                trouble = ending.error
            delay = policy.delay_after(ending.error, self.attempts)
            # Of one that comes too late nothing would come, nor of waiting for it.
            over = delay >= (deadline.remaining() or 0.0)
            if not over:
                logger.warning("not connected yet: %s; trying again %s", ending.error, in_words(delay))
                self._pause(delay)
            if over or deadline.expired:
                raise ConnectTimeoutError(self._timeout, self.attempts, trouble)

    def _stay_connected(self, ending: Ending) -> NoReturn:
        """Mend each loss.

        :param ending: of the first connection
        :raises OneTradeError: why it is over
        """
        policy = self._settings.reconnect
        self.attempts = 0
        session_in_use = 0
        while True:
            if isinstance(ending.error, SessionInUseError):
                # Most likely the server has not noticed the end of our own last connection.
                session_in_use += 1
                if policy is None or session_in_use > policy.session_in_use_attempts:
                    raise ending.error
            elif isinstance(ending.error, _FINAL) or policy is None:
                raise ending.error
            if policy.gives_up_after(self.attempts):
                raise ReconnectFailedError(self.attempts, ending.error)
            self.attempts += 1
            self._reconnect_after(policy.delay_after(ending.error, self.attempts), ending)
            ending = self._attempt(Deadline(self._settings.connect_timeout))
            if _may_be_over(ending.error) and self._used is not None:
                self._sign_in.forget(self._used)
            if ending.lasted is not None:
                session_in_use = 0
                # One that breaks at once counts as a failure, or a server that does it would be stormed.
                if ending.lasted >= policy.stable_after:
                    self.attempts = 0

    def _reconnect_after(self, delay: float, ending: Ending) -> None:
        self._lifecycle.move(self, CONNECTING, ending.error)
        reason = type(ending.error).__name__
        self._counters.reconnects[reason] = self._counters.reconnects.get(reason, 0) + 1
        logger.warning("%s; reconnecting %s (attempt %d)", ending.error, in_words(delay), self.attempts)
        self._say(
            ClientEventType.RECONNECTING,
            Reconnecting(attempt=self.attempts, delay=delay, reason=ending.error),
        )
        self._pause(delay)

    def _attempt(self, deadline: Deadline) -> Ending:
        """Log in where that is asked for, validate the session, and stay in the connection until it ends."""
        before = self._sign_in.credentials
        ending = self._attempt_once(deadline)
        error, used = ending.error, self._used
        # The session is valid, and its token has expired.
        expired = isinstance(error, AuthenticationError) and (error.step, error.status) == ("handshake", 401)
        if expired and self._sign_in.can_log_in and used is before:
            self._sign_in.forget(used)
            ending = self._attempt_once(deadline)
        return ending

    def _enter(self, exchange: Exchange, deadline: Deadline) -> Credentials:
        """Validate the session; of a refused one that an earlier attempt logged in for, log in once more."""
        before = self._sign_in.credentials
        credentials = self._sign_in.obtain(exchange, deadline)
        try:
            self._validate(credentials, exchange, deadline)
        except AuthenticationError as error:
            if credentials is not before:
                raise
            credentials = self._sign_in.renew(error, credentials, exchange, deadline)
            self._validate(credentials, exchange, deadline)
        return credentials

    def _validate(self, credentials: Credentials, exchange: Exchange, deadline: Deadline) -> None:
        self._used = credentials
        self._sign_in.spend(credentials)
        validate_session(self._settings, credentials, exchange, deadline)

    def _attempt_once(self, deadline: Deadline) -> Ending:
        with self._lock:
            self._raise_if_stopped()
            exchange = self._exchange = Exchange(self._context, self._routes.http)
        try:
            credentials = self._enter(exchange, deadline)
        except OneTradeError as error:
            self._raise_if_stopped()
            self._judge_session(error)
            self.last_error = detached(error)
            return Ending(error)
        self._memory.session_valid = True
        loading = self._loading(self._context, self._routes)
        try:
            with self._lock:
                self._raise_if_stopped()
                link = self._link = Link(
                    self._settings,
                    credentials,
                    self._outgoing,
                    self._freshness,
                    self._routes.websocket,
                    on_open=self._opened,
                    deliver=self._received,
                    wake=self._wake,
                    loading=loading,
                )
        except OSError as error:
            # The process has no descriptors left; it may have some later.
            self.last_error = NetworkError("TCP", self._settings.host, error.strerror or type(error).__name__)
            return Ending(self.last_error)
        self._bytes_before = self._counters.bytes
        ending = link.run(self._context, deadline)
        self._memory.accepted = self._memory.accepted or link.accepted
        if not self._abandoned:
            self._counters.bytes = self._bytes_before + link.bytes_received
        self._judge_session(ending.error)
        self._raise_if_stopped()
        self.last_error = ending.error
        if ending.lasted is not None:
            # The first one since the connection was open: the client has been deaf ever since.
            self._memory.loss = self._memory.loss or ending
        return ending

    def _judge_session(self, error: OneTradeError) -> None:
        if isinstance(error, (AuthenticationError, SessionInUseError, SessionLoggedOutError)):
            self._memory.session_valid = False

    def _received(self, batches: Sequence[Batch], give_up: Optional[Callable[[], bool]]) -> None:
        link = self._link
        if not self._abandoned and link is not None:
            self._memory.last_message = time.monotonic()
            for batch in batches:
                self._counters.frames += len(batch.payloads)
            self._counters.bytes = self._bytes_before + link.bytes_received
            self._deliver(batches, give_up)

    def _pause(self, delay: float) -> None:
        self._stop.wait(delay)
        self._raise_if_stopped()

    def _raise_if_stopped(self) -> None:
        if self._stop.is_set():
            raise _Stopped

    # -- the opening thread ---------------------------------------------------------------------------------

    def _opened(self) -> None:
        # Counted before anybody can see the state.
        self.openings += 1
        self._counters.connections += 1
        # Account updates have been asked for again: the deaf time ends here, not with the handshake.
        if not self._lifecycle.move(self, OPEN):
            self.openings -= 1
            self._counters.connections -= 1
            return
        loss, self._memory.loss = self._memory.loss, None
        if loss is not None:
            self._say(
                ClientEventType.GAP,
                Gap(
                    started_at=loss.last_received_at,
                    # The wall clock may have been set back meanwhile.
                    ended_at=max(loss.last_received_at, time.time()),
                    reason=loss.error,
                ),
            )
        # A log handler of the program's that raises must not cost the connection.
        with contextlib.suppress(BaseException):
            logger.info("connected to %s", self._settings.host)

    def _say(self, event_type: ClientEventType, data: object) -> None:
        if not self._abandoned:
            self._announce(Event(event_type, data, time.time()))


def _may_be_over(error: OneTradeError) -> bool:
    """Whether the session may be: nobody says what a server answers then. 5xx and 429 are about something else."""
    about_others = (RateLimitedError, SessionInUseError)
    return isinstance(error, ServerError) and error.status < 500 and not isinstance(error, about_others)
