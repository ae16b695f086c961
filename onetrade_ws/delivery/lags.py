"""How far delivery is behind."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from typing import Deque, List, Optional

# How many are known.
_RECENT = 1000


class Lags:
    """The lags of the recent past, in seconds. Written on the thread that delivers, read on any."""

    def __init__(self) -> None:
        self._recent: Deque[float] = deque(maxlen=_RECENT)

    def note(self, received_at: float) -> None:
        """What was received at ``received_at``, seconds since the epoch, is about to be delivered."""
        # The wall clock may have been set back meanwhile.
        self._recent.append(max(0.0, time.time() - received_at))

    def _sorted(self) -> List[float]:
        while True:
            # Rarely, one is added in the middle of it.
            with contextlib.suppress(RuntimeError):
                return sorted(self._recent)

    def quantiles(self, *shares: float) -> List[Optional[float]]:
        """What each of these shares, from 0 to 1, stays below; None where nothing is known yet."""
        recent = self._sorted()
        last = len(recent) - 1
        return [recent[round(last * share)] if recent else None for share in shares]
