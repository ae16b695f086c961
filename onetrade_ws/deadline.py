"""A point in monotonic time, and waiting for it in a way that Ctrl-C gets through."""

from __future__ import annotations

import os
import threading
import time
from typing import Callable, Optional

# On Windows a lock cannot be interrupted by Ctrl-C while it is waited for; elsewhere it can, and slices would
# only wake an idle process for nothing.
_SLICE: Optional[float] = 0.2 if os.name == "nt" else None


class Deadline:
    """When something must be over: ``timeout`` seconds from now, or never for None.

    Measured on the monotonic clock, so that a change of the wall clock neither hurries nor delays it.
    """

    __slots__ = ("_at",)

    def __init__(self, timeout: Optional[float]) -> None:
        # A lock refuses to wait longer, and nobody will know the difference.
        self._at = None if timeout is None else time.monotonic() + min(timeout, threading.TIMEOUT_MAX)

    def remaining(self) -> Optional[float]:
        """Seconds left, never below 0; None when there is no end."""
        if self._at is None:
            return None
        return max(0.0, self._at - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether no time is left."""
        return self._at is not None and time.monotonic() >= self._at

    def sooner(self, timeout: Optional[float]) -> Deadline:
        """The earlier of this deadline and one in ``timeout`` seconds."""
        other = Deadline(timeout)
        if other._at is None or (self._at is not None and self._at <= other._at):
            return self
        return other

    def wait_for(self, condition: threading.Condition, predicate: Callable[[], bool]) -> bool:
        """Wait on ``condition``, which the caller holds, until ``predicate()`` is true or the time is over.

        :returns: the predicate's last answer
        """
        while not predicate():
            remaining = self.remaining()
            if remaining == 0.0:
                return False
            condition.wait(_turn(remaining))
        return True

    def acquire(self, lock: threading.Lock) -> bool:
        """Wait until ``lock`` could be acquired or the time is over.

        :returns: whether it was acquired
        """
        while True:
            remaining = self.remaining()
            turn = _turn(remaining)
            if lock.acquire(timeout=-1 if turn is None else turn):
                return True
            if remaining == 0.0:
                return False

    def join(self, thread: threading.Thread) -> bool:
        """Wait until ``thread`` has ended or the time is over.

        :returns: whether it has ended
        """
        while thread.is_alive():
            remaining = self.remaining()
            if remaining == 0.0:
                return False
            thread.join(_turn(remaining))
        return True


def _turn(remaining: Optional[float]) -> Optional[float]:
    """How long to wait before looking again."""
    # Only the main thread gets Ctrl-C.
    if _SLICE is None or threading.current_thread() is not threading.main_thread():
        return remaining
    return _SLICE if remaining is None else min(_SLICE, remaining)


def in_words(seconds: float) -> str:
    """When something is that happens after so many seconds: "at once", or "in 2.5 s"."""
    return "at once" if seconds < 0.05 else f"in {seconds:.1f} s"
