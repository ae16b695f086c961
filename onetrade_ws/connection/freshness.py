"""Whether the quotes that are wanted keep coming."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Callable, Optional, Sequence, Tuple

from ..protocol.events import ClientEventType, Event, Recovered, Stale

logger = logging.getLogger("onetrade_ws.connection")

_NEVER = 86400.0


class Freshness:
    """Says ``STALE`` when no quote came for too long while the connection was open and symbols were subscribed to, and
    ``RECOVERED`` when one came again, or none is wanted any more. It outlives connections.

    A market that is closed looks just like a feed that has died: so nothing but the saying is done about it.

    :param stale_after: seconds without a quote; None: never
    :param announce: takes the events, on any thread; does not block
    """

    def __init__(self, stale_after: Optional[float], announce: Callable[[Event], None]) -> None:
        self._stale_after = stale_after
        self._announce = announce
        # Guards everything below, and that the events come in their order.
        self._lock = threading.Lock()
        self._symbol_ids: Tuple[int, ...] = ()
        self._open = False
        # When the last quote came, on the monotonic clock.
        self._last_quote: Optional[float] = None
        # Since when quotes could have come and did not: on the monotonic clock, and since the epoch.
        self._quiet_since = 0.0
        self._started_at = 0.0
        self._stale = False

    @property
    def is_stale(self) -> bool:
        """Whether ``STALE`` was the last word."""
        return self._stale

    @property
    def last_quote_age(self) -> Optional[float]:
        """Seconds since the last quote came; None before the first."""
        last = self._last_quote
        return None if last is None else time.monotonic() - last

    def want(self, symbol_ids: Sequence[int]) -> None:
        """These symbols are subscribed to now. On any thread."""
        with self._lock:
            if not self._symbol_ids:
                self._begin_quiet()
            self._symbol_ids = tuple(symbol_ids)
            if not self._symbol_ids:
                self._recover()

    def opened(self) -> None:
        """The connection is open: quotes may come from now on."""
        with self._lock:
            self._open = True
            if not self._stale:
                self._begin_quiet()

    def closed(self, *, for_good: bool) -> None:
        """The connection is gone: no quotes can come.

        :param for_good: whether the client has ended, so that nothing that was said before counts in its next life
        """
        with self._lock:
            self._open = False
            if for_good:
                self._stale = False

    def quotes_came(self) -> None:
        """On the reader thread, for each batch with quotes in it."""
        with self._lock:
            self._last_quote = time.monotonic()
            self._recover()
            self._begin_quiet()

    def held_up(self) -> None:
        """Nothing was read until now, because callbacks are slow: that no quote came proves nothing."""
        with self._lock:
            if not self._stale:
                self._begin_quiet()

    def look(self) -> float:
        """Say ``STALE`` if it is time to.

        :returns: seconds after which to look again, at the latest
        """
        if self._stale_after is None:
            return _NEVER
        with self._lock:
            if self._stale or not (self._open and self._symbol_ids):
                return self._stale_after
            left = self._stale_after - (time.monotonic() - self._quiet_since)
            if left > 0:
                return left
            self._stale = True
            data = Stale(started_at=self._started_at, symbol_ids=self._symbol_ids)
            self._announce(Event(ClientEventType.STALE, data, time.time()))
        # A log handler of the program's that raises must not cost the connection.
        with contextlib.suppress(BaseException):
            logger.warning(
                "no quote for %g s; symbols subscribed to: %d", self._stale_after, len(data.symbol_ids)
            )
        return self._stale_after

    def _begin_quiet(self) -> None:
        # Requires holding _lock.
        self._quiet_since = time.monotonic()
        self._started_at = time.time()

    def _recover(self) -> None:
        # Requires holding _lock.
        if self._stale:
            self._stale = False
            # The wall clock may have been set back meanwhile.
            now = time.time()
            data = Recovered(started_at=self._started_at, ended_at=max(self._started_at, now))
            self._announce(Event(ClientEventType.RECOVERED, data, now))
