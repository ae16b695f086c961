"""Keeps the mirror equal to the server's books: when to load them, and what to say of it."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import Callable, Optional, Sequence

import attrs

from ..deadline import Condition, Deadline, Flag, in_words
from ..errors import (
    AccountUpdatesStoppedError,
    AuthenticationError,
    CertificateError,
    ConnectionEndedError,
    NotFoundError,
    OneTradeError,
    detached,
)
from ..protocol.events import ClientEventType, ConnectionState, Event
from ..protocol.snapshot import PARTS, Snapshot

logger = logging.getLogger("onetrade_ws.account")

# Another attempt would get the same answer: the next connection makes one all the same.
_FINAL = (AuthenticationError, CertificateError, NotFoundError)

# Seconds until the next attempt where the policy does not say.
_PATIENCE = 60.0


@attrs.define(eq=False)
class Load:
    """What the events about one load carry to the mirror, which makes of it what observers get.

    :ivar number: from 1; 0: of no load
    :ivar snapshot: what was loaded; taken away when the next load has begun and nobody has looked at it yet, so that a
        queue that nobody empties does not fill with accounts
    :ivar error: why nothing was
    :ivar is_over: whether that is all there is to say of it
    """

    number: int
    snapshot: Optional[Snapshot] = None
    error: Optional[OneTradeError] = None
    is_over: bool = False


class Synchronizer:
    """Loads a snapshot when a connection has been made, and when somebody asks for one; tries again what fails.

    :param announce: takes the client's own events in their order, on any thread; does not block
    :param delay: seconds to wait after the last failure, where there was one, of so many in a row; None: do not try
        again
    :param stable_after: seconds without a doubt after which the next one is not in a row with the last
    :param enabled: whether to do anything at all
    :param wanted: whether account updates come, without which nothing would stay as it was loaded
    """

    def __init__(
        self,
        announce: Callable[[Event], None],
        delay: Optional[Callable[[Optional[OneTradeError], int], float]],
        *,
        stable_after: float,
        enabled: bool,
        wanted: bool,
    ) -> None:
        self._enabled = enabled
        self._announce = announce
        self._delay = delay
        self._stable_after = stable_after
        # Guards everything below, and that what is announced fits to it. Nothing that blocks is called under it. Waited
        # on by those who load.
        self._changed = Condition()
        self._wanted = wanted
        self._is_open = False
        # Whether to load again without waiting for anything.
        self._is_due = True
        # How often in a row an event has put in doubt what had been loaded, how often before the last load began, and
        # when.
        self._doubts = self._doubts_before = 0
        self._doubted_at = 0.0
        self._last = Load(0)
        self._trouble: Optional[OneTradeError] = None
        self._said_not_offered = False

    # -- what is asked for: on any thread; does not block ---------------------------------------------------

    def request(self) -> None:
        """Load again. Without a connection, the next one does it anyway."""
        with self._changed:
            # In this order: what Ctrl-C interrupts has not been asked for.
            self._changed.notify_all()
            self._is_due = True

    def doubt(self) -> None:
        """What was loaded is in doubt: load again, after a while, where anything is tried again."""
        with self._changed:
            if self._delay is None:
                return
            now = time.monotonic()
            if now - self._doubted_at >= self._stable_after:
                self._doubts = self._doubts_before = 0
            self._doubts += 1
            self._doubted_at = now
            self._changed.notify_all()

    def want(self, wanted: bool) -> None:
        """Account updates come from now on, or no more."""
        with self._changed:
            self._wanted = wanted
            self._is_due = True
            # What was or is being loaded has begun before, and is no answer any more.
            self._last.snapshot = None
            number = self._last.number + 1
            self._last = Load(number)
            if not wanted and self._enabled and self._is_open:
                self._say(ClientEventType.RESYNC_FAILED, Load(0, error=AccountUpdatesStoppedError()))
            self._changed.notify_all()

    def state_changed(self, state: ConnectionState) -> None:
        """The connection's state is this now. What was loaded over another connection says nothing of this one."""
        with self._changed:
            self._is_open = state is ConnectionState.OPEN
            self._is_due = True
            self._doubts = self._doubts_before = 0

    def wake(self) -> None:
        """Let :meth:`run` look whether it is over."""
        with self._changed:
            self._changed.notify_all()

    def is_settled(self, taken: int) -> bool:
        """Whether nothing more is to come by itself, as things stand.

        :param taken: the number of the load that the mirror took in last
        """
        with self._changed:
            if not self._is_open:
                return False
            if not self._wanted:
                return True
            if self._is_due or taken != self._last.number:
                return False
            error = self._last.error
            if error is None and self._is_in_doubt:
                return False
            return self._last.is_over and (error is None or self._is_final(error))

    @property
    def trouble(self) -> Optional[OneTradeError]:
        """Why the last load failed; None when it did not, or its connection was lost meanwhile."""
        with self._changed:
            return self._trouble

    @property
    def _is_in_doubt(self) -> bool:
        # Requires holding _changed.
        return self._doubts != self._doubts_before

    def _is_final(self, error: OneTradeError) -> bool:
        return self._delay is None or isinstance(error, _FINAL)

    # -- loading --------------------------------------------------------------------------------------------

    def run(self, fetch: Callable[[], Snapshot], over: Flag) -> None:
        """Load, for one connection: on a thread of its own, until ``over`` is set and :meth:`wake` was called.

        :param fetch: asks the server; blocks, until the connection is over at most
        """
        failures = 0
        while not over.is_set():
            load = self._begin()
            if load is None:
                self._pause(over, None)
                continue
            outcome = _outcome(fetch, load.number)
            missing = _missing_of(outcome.snapshot)
            had_failed = self.trouble is not None
            is_told = self._finish(load, outcome)
            error = outcome.error
            if isinstance(error, ConnectionEndedError):
                # The connection goes, and who says so is on the way.
                over.wait()
            if over.is_set():
                return
            failures = 0 if error is None else failures + 1
            patience = self._patience(error, failures)
            if is_told and error is None:
                _log_loaded(missing if not self._said_not_offered else (), had_failed)
                self._said_not_offered = self._said_not_offered or bool(missing)
            elif is_told and error is not None:
                self._log(error, patience)
            self._pause(over, patience)

    def _begin(self) -> Optional[Load]:
        with self._changed:
            self._is_due = False
            self._doubts_before = self._doubts
            if not self._wanted:
                return None
            # Whoever has not been told of it by now is told of the next one.
            self._last.snapshot = None
            load = self._last = Load(self._last.number + 1)
            self._say(ClientEventType.RESYNCING, load)
            return load

    def _finish(self, load: Load, outcome: Load) -> bool:
        """Say what has come of it, unless another has begun, or account updates have been stopped, meanwhile.

        :returns: whether it was said
        """
        with self._changed:
            if self._last is not load:
                outcome.snapshot = None
                return False
            self._last = outcome
            self._trouble = None if isinstance(outcome.error, ConnectionEndedError) else outcome.error
            self._say(
                ClientEventType.RESYNCED if outcome.error is None else ClientEventType.RESYNC_FAILED, outcome
            )
            return True

    def _patience(self, error: Optional[OneTradeError], failures: int) -> Optional[float]:
        """Seconds until it is worth another try; None: not by itself."""
        if error is None or self._delay is None or self._is_final(error):
            return None
        return self._delay_after(error, failures)

    def _delay_after(self, error: Optional[OneTradeError], attempts: int) -> float:
        assert self._delay is not None
        try:
            return self._delay(error, attempts)
        except Exception:
            # It may be of the program's own making. Nobody is to wait for ever for what a thread that has ended loads.
            with contextlib.suppress(BaseException):
                logger.exception("the reconnect policy failed; loading again in %.0f s", _PATIENCE)
            return _PATIENCE

    def _pause(self, over: Flag, patience: Optional[float]) -> None:
        """Until it is time to load again, or over."""
        deadline = Deadline(patience)
        with self._changed:
            deadline.wait_for(
                self._changed,
                lambda: over.is_set() or self._is_due or (patience is None and self._is_in_doubt),
            )
            doubts = self._doubts
            if over.is_set() or self._is_due or patience is not None or self._delay is None:
                return
        # A server that goes on saying what makes no sense is not asked for everything each time. Not under the lock:
        # the delays may be of the program's own making.
        self._pause(over, self._delay_after(None, doubts))

    # -- saying ---------------------------------------------------------------------------------------------

    def _log(self, error: OneTradeError, patience: Optional[float]) -> None:
        # A log handler of the program's that raises must not cost the thread.
        with contextlib.suppress(BaseException):
            if isinstance(error, NotFoundError):
                if not self._said_not_offered:
                    self._said_not_offered = True
                    logger.warning(
                        "the server does not offer the account over HTTP, nor any part of it: client.account has only "
                        "what events tell"
                    )
            elif patience is None:
                logger.warning("the account could not be loaded: %s", error)
            else:
                logger.warning(
                    "the account could not be loaded: %s; trying again %s", error, in_words(patience)
                )

    def _say(self, event_type: ClientEventType, load: Load) -> None:
        # Requires holding _changed.
        self._announce(Event(event_type, load, time.time()))


def _outcome(fetch: Callable[[], Snapshot], number: int) -> Load:
    try:
        return Load(number, fetch(), is_over=True)
    except OneTradeError as error:
        problem = detached(error)
    except Exception as error:
        # A bug of ours. The mirror must not be taken for current.
        with contextlib.suppress(BaseException):
            logger.exception("loading the account failed for a reason of its own")
        problem = OneTradeError(type(error).__name__)
    return Load(number, error=problem, is_over=True)


def _missing_of(snapshot: Optional[Snapshot]) -> Sequence[str]:
    return [] if snapshot is None else [name for name in PARTS if getattr(snapshot, name) is None]


def _log_loaded(missing: Sequence[str], had_failed: bool) -> None:
    """
    :param missing: what the server does not offer, and has not been logged
    """
    with contextlib.suppress(BaseException):
        if had_failed:
            logger.info("the account has been loaded")
        if missing:
            logger.warning(
                "the server does not offer the call %s over HTTP: of that client.account has only what events tell",
                ", ".join(missing),
            )
