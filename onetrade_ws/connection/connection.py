"""The side of the library that faces the server."""

from __future__ import annotations

import ssl
import threading
import time
from typing import Any, Callable, List, Optional, Sequence, TypeVar

from ..config import Settings
from ..deadline import Deadline, Flag, shielded
from ..errors import ConnectionLostError, ConnectTimeoutError, NotConnectedError, OneTradeError, detached
from ..protocol.events import ConnectionState, Event
from ..protocol.snapshot import Snapshot
from .calls import Calls, asks_for_patience, may_pass
from .freshness import Freshness
from .lifecycle import CLOSED, CLOSING, OPEN, Lifecycle
from .link import Deliver, Loading
from .outgoing import OutgoingMessage, OutgoingQueue
from .routes import Routes, find_routes
from .session import tls_context
from .sign_in import SignIn
from .subscriptions import Subscriptions
from .supervisor import Counters, Memory, Supervisor
from .trader import Trader

T = TypeVar("T")

# Seconds that the reader thread gets, once the connect timeout is over, to say so itself.
_GRACE = 1.0


class Connection:
    """Delivers messages, takes messages to send, and keeps itself alive in between. Every method on any thread.

    :param deliver: takes batches of messages, and when not to block for it; nothing is read while it blocks
    :param wake: wakes a ``deliver`` that blocks
    :param announce: takes the client's own events in their order, on any thread; does not block
    :param load: loads the account over HTTP beside a connection, see :class:`.Loading`
    :param wake_loading: see :class:`.Loading`
    :param load_again: see :class:`.Loading`
    :param want_account: called when account updates are wanted, or no more; must not block
    """

    def __init__(
        self,
        settings: Settings,
        *,
        deliver: Deliver,
        wake: Callable[[], None],
        announce: Callable[[Event], None],
        load: Callable[[Callable[[], Snapshot], Flag], None],
        wake_loading: Callable[[], None],
        load_again: Callable[[], None],
        want_account: Callable[[bool], None],
    ) -> None:
        self.counters = Counters()
        self.freshness = Freshness(settings.stale_after, announce)
        self.outgoing = OutgoingQueue(
            Subscriptions(settings.account_updates),
            settings.outgoing_limit,
            self.freshness.want,
            want_account,
        )
        self._settings = settings
        self._deliver = deliver
        self._wake = wake
        self._announce = announce
        self._load = load
        self._wake_loading = wake_loading
        self._load_again = load_again
        self._memory = Memory()
        self._sign_in = SignIn(settings)
        self._context: Optional[ssl.SSLContext] = None
        # Guards the next one.
        self._asking_lock = threading.RLock()
        # The calls under way, by whomever.
        self._asking: List[Calls] = []
        self._lifecycle: Lifecycle[Supervisor] = Lifecycle(self._on_change)

    @property
    def state(self) -> ConnectionState:
        """The state now."""
        return self._lifecycle.state

    @property
    def reason(self) -> Optional[OneTradeError]:
        """Why the connection ended, when it was not asked to."""
        return self._lifecycle.reason

    @property
    def heartbeat_round_trip(self) -> Optional[float]:
        """Seconds from the last answered beat to its answer; None while not open."""
        supervisor = self._lifecycle.life
        return None if supervisor is None or self.state is not OPEN else supervisor.heartbeat_round_trip

    @property
    def session_valid(self) -> Optional[bool]:
        """Whether the server accepted the session when it was last asked, and has not logged it out since."""
        return self._memory.session_valid

    @property
    def last_message_age(self) -> Optional[float]:
        """Seconds since the last message came, over whatever connection; None before the first."""
        last = self._memory.last_message
        return None if last is None else time.monotonic() - last

    def hide_in(self, text: str) -> str:
        """``text`` without the secrets of this connection."""
        return self._sign_in.hide_in(text)

    def _on_change(self, event: Event) -> None:
        if event.data.new is OPEN:
            self.freshness.opened()
        else:
            self.freshness.closed(for_good=event.data.new is CLOSED)
        # It may raise where a life begins, which has not begun then.
        self._announce(event)
        if event.data.new is CLOSED:
            self.outgoing.end()
        elif event.data.old is CLOSED:
            self.outgoing.begin()

    def connect(self, timeout: Optional[float]) -> None:
        """Begin a life, or join one that has begun, and block until it is open.

        :param timeout: seconds; None: the ``connect_timeout`` setting
        :raises OneTradeError: why it is not; a life that was begun here has ended then
        """
        timeout = self._settings.connect_timeout if timeout is None else timeout
        deadline = Deadline(timeout + _GRACE)
        supervisor = Supervisor(
            self._settings,
            self._lifecycle,
            self.outgoing,
            self.freshness,
            self.counters,
            self._memory,
            self._sign_in,
            self._tls_context(),
            find_routes(self._settings),
            deliver=self._deliver,
            wake=self._wake,
            announce=self._announce,
            loading=self._loading,
            timeout=timeout,
        )
        try:
            while True:
                begun = shielded(supervisor.begin, deadline)
                if begun is None:
                    # It needs a lock of ours that the call holds which a signal's handler has interrupted.
                    raise ConnectTimeoutError(timeout, 0)
                if begun:
                    break
                if self._join(deadline, timeout):
                    return
            in_time = self._lifecycle.wait_until(OPEN, CLOSED, deadline=deadline)
        except BaseException:
            # Ctrl-C, above all.
            _stop(supervisor, Deadline(_GRACE))
            raise
        # It may have ended since: a callback may disconnect at once.
        if supervisor.openings:
            return
        if not in_time:
            _stop(supervisor, Deadline(_GRACE))
            raise ConnectTimeoutError(timeout, supervisor.attempts, supervisor.last_error)
        supervisor.join(Deadline(_GRACE))
        raise detached(supervisor.reason or NotConnectedError("connect()"))

    def _tls_context(self) -> Optional[ssl.SSLContext]:
        if self._context is None:
            self._context = tls_context(self._settings)
        return self._context

    def _join(self, deadline: Deadline, timeout: float) -> bool:
        """Wait for somebody else's life to be open, and share its outcome.

        :returns: False when it has ended in a disconnect() that was under way already
        """
        life, ending = self._lifecycle.life, self.state is CLOSING
        openings = 0 if life is None else life.openings
        if not self._lifecycle.wait_until(OPEN, CLOSED, deadline=deadline):
            raise ConnectTimeoutError(timeout, 0)
        if self.state is OPEN:
            return True
        if life is None or ending:
            return False
        if life.openings > openings:
            return True
        raise detached(life.reason or NotConnectedError("connect()"))

    def disconnect(self, deadline: Deadline) -> None:
        """End the present life, and the calls under way. Blocks at most until ``deadline``, a moment more in a signal's
        handler; idempotent. What has begun goes on after Ctrl-C."""
        with self._asking_lock:
            asking = list(self._asking)
        # Read here: were the next one begun after Ctrl-C, it would not be meant.
        supervisor = self._lifecycle.life
        if supervisor is not None or asking:
            _stop(supervisor, deadline, asking)

    def _loading(self, context: Optional[ssl.SSLContext], routes: Routes) -> Optional[Loading]:
        if not self._settings.snapshot:
            return None
        # Who loads tries again by itself, and says why. But it would begin with the first call: a server that allows
        # fewer at once than it takes would never be done with.
        calls = Calls(
            self._settings,
            self._sign_in,
            context,
            routes,
            policy=self._settings.reconnect,
            passes=asks_for_patience,
        )
        return Loading(self._load, self._wake_loading, self._load_again, Trader(calls))

    def ask(self, call: Callable[[Trader], T]) -> T:
        """What a call of the trader's API says; blocks. What it raises has no past: the frames behind it know what the
        server said, and a server likes to quote requests.

        :raises ConfigurationError: when the environment's proxy or CA bundle makes no sense
        """
        context, routes = self._tls_context(), find_routes(self._settings)
        calls = Calls(
            self._settings, self._sign_in, context, routes, policy=self._settings.reconnect, passes=may_pass
        )
        with self._asking_lock:
            self._asking.append(calls)
        try:
            return call(Trader(calls))
        except OneTradeError as error:
            problem = detached(error)
        finally:
            with self._asking_lock:
                self._asking.remove(calls)
        raise problem

    def send(self, event_type: str, data: Any = None) -> OutgoingMessage:
        """Send a message, or queue it while the connection is not open.

        :raises EncodeError: when it is not JSON; nothing is queued
        :raises QueueFullError: when too many wait already; nothing is queued
        """
        return self.outgoing.send(event_type, data)


def _stop(supervisor: Optional[Supervisor], deadline: Deadline, asking: Sequence[Calls] = ()) -> None:
    def stop() -> None:
        for calls in asking:
            calls.abort(ConnectionLostError("disconnect() was called"))
        if supervisor is not None:
            supervisor.stop(deadline)

    # It says by itself, and last, that its time is over. Who waits for it has a moment more, and goes without it only
    # where it needs a lock of ours: in a signal's handler.
    shielded(stop, Deadline((deadline.remaining() or 0.0) + _GRACE))
