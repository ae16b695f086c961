"""Keeps the mirror equal to the server's books: when to load them, and what to say of it."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Callable, Optional

from ..errors import (
    AccountUpdatesStoppedError,
    AuthenticationError,
    CertificateError,
    ConnectionEndedError,
    NotFoundError,
    OneTradeError,
    RateLimitedError,
    detached,
)
from ..protocol.events import ClientEventType, Event
from ..protocol.snapshot import Snapshot

logger = logging.getLogger("onetrade_ws.account")


# Another attempt would get the same answer: the next connection makes one all the same.
_FINAL = (AuthenticationError, CertificateError, NotFoundError)


class Synchronizer:
    """Loads a snapshot when a connection has been made, and when somebody asks for one; tries again what fails.

    :param announce: takes the client's own events in their order, on any thread; does not block. The mirror makes of a
        ``RESYNCED`` with a :class:`.Snapshot` what observers get
    :param delay: seconds to wait after so many failures in a row; None: do not try again
    :param wanted: whether account updates come, without which nothing would stay as it was loaded
    """

    def __init__(
        self,
        announce: Callable[[Event], None],
        delay: Optional[Callable[[int], float]],
        *,
        wanted: bool,
    ) -> None:
        # Guards that what is announced fits to whether it is wanted. Nothing that blocks is called under it.
        self._lock = threading.Lock()
        self._wanted = wanted
        self._announce = announce
        self._delay = delay
        # Set when there is something to do: to load again, or to end.
        self._wake = threading.Event()
        self._requested = False
        self._said_not_offered = False

    def request(self) -> None:
        """Load again. On any thread; does not block. Without a connection, the next one does it anyway."""
        self._requested = True
        self._wake.set()

    def want(self, wanted: bool) -> None:
        """Account updates come from now on, or no more. On any thread; does not block."""
        with self._lock:
            self._wanted = wanted
            if not wanted:
                self._say(ClientEventType.RESYNC_FAILED, AccountUpdatesStoppedError())
        self.request()

    def tries_again_after(self, error: OneTradeError) -> bool:
        """Whether it loads again, on the same connection: by itself, but for what the server refuses for good or does
        not offer; or because account updates are wanted again."""
        if isinstance(error, AccountUpdatesStoppedError):
            return self._wanted
        return self._delay is not None and not isinstance(error, _FINAL)

    def wake(self) -> None:
        """Let :meth:`run` look whether it is over. On any thread."""
        self._wake.set()

    def run(self, fetch: Callable[[], Snapshot], over: threading.Event) -> None:
        """Load, for one connection: on a thread of its own, until ``over`` is set and :meth:`wake` was called.

        :param fetch: asks the server; blocks, until the connection is over at most
        """
        failures = 0
        while not over.is_set():
            self._requested = False
            if not self._say_if_wanted(ClientEventType.RESYNCING, None):
                self._pause(over, None)
                continue
            error = self._load(fetch)
            if isinstance(error, ConnectionEndedError):
                # The connection goes, and who says so is on the way.
                over.wait()
            if over.is_set():
                return
            failures = 0 if error is None else failures + 1
            patience = self._patience(error, failures)
            self._log(error, patience)
            self._pause(over, patience)

    def _load(self, fetch: Callable[[], Snapshot]) -> Optional[OneTradeError]:
        try:
            snapshot = fetch()
        except OneTradeError as error:
            problem = detached(error)
        except Exception as error:
            # A bug of ours. The mirror must not be taken for current.
            with contextlib.suppress(Exception):
                logger.exception("loading the account failed for a reason of its own")
            problem = OneTradeError(type(error).__name__)
        else:
            self._say_if_wanted(ClientEventType.RESYNCED, snapshot)
            return None
        self._say_if_wanted(ClientEventType.RESYNC_FAILED, problem)
        return problem

    def _patience(self, error: Optional[OneTradeError], failures: int) -> Optional[float]:
        """Seconds until it is worth another try; None: not by itself."""
        if error is None or self._delay is None or not self.tries_again_after(error):
            return None
        patience = self._delay(failures)
        if isinstance(error, RateLimitedError) and error.retry_after is not None:
            patience = max(patience, error.retry_after)
        # Longer than this, no thread can wait.
        return min(patience, threading.TIMEOUT_MAX)

    def _pause(self, over: threading.Event, patience: Optional[float]) -> None:
        """Until it is time to load again, or over."""
        until = None if patience is None else time.monotonic() + patience
        while not (over.is_set() or self._requested):
            remaining = None if until is None else until - time.monotonic()
            if remaining is not None and remaining <= 0:
                return
            self._wake.clear()
            # What was asked for before that has been seen, or is here.
            if not (over.is_set() or self._requested):
                self._wake.wait(remaining)

    def _log(self, error: Optional[OneTradeError], patience: Optional[float]) -> None:
        if error is None:
            return
        # A log handler of the program's that raises must not cost the thread.
        with contextlib.suppress(Exception):
            if isinstance(error, NotFoundError):
                if not self._said_not_offered:
                    self._said_not_offered = True
                    logger.warning(
                        "the server does not offer the account over HTTP: the mirror knows what events tell (%s)",
                        error,
                    )
            elif patience is None:
                logger.warning("the account could not be loaded: %s", error)
            else:
                logger.warning("the account could not be loaded: %s; trying again in %.1f s", error, patience)

    def _say_if_wanted(self, event_type: ClientEventType, data: object) -> bool:
        with self._lock:
            if self._wanted:
                self._say(event_type, data)
            return self._wanted

    def _say(self, event_type: ClientEventType, data: object) -> None:
        self._announce(Event(event_type, data, time.time()))
