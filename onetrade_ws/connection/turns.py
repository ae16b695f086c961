"""A lock that is had in the order in which it was asked for."""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType
from typing import Deque, Optional, Type


class FairLock:
    """Like ``threading.Lock``, which lets a thread that releases it and asks again at once have it before one that
    waits: the heartbeat would never get its turn beside a long queue that a slow server takes bit by bit.
    """

    def __init__(self) -> None:
        # Guards the next two; never held while waiting.
        self._lock = threading.Lock()
        self._held = False
        # A lock for each who waits, released to hand ours over.
        self._turns: Deque[threading.Lock] = deque()

    def acquire(self, timeout: float = -1) -> bool:
        """Wait for the turn.

        :param timeout: seconds; negative: as long as it takes
        :returns: whether it is held now
        """
        with self._lock:
            if not self._held:
                self._held = True
                return True
            turn = threading.Lock()
            turn.acquire()
            self._turns.append(turn)
        try:
            return turn.acquire(timeout=timeout) or self._is_given(turn)
        except BaseException:
            # Ctrl-C.
            if self._is_given(turn):
                self.release()
            raise

    def _is_given(self, turn: threading.Lock) -> bool:
        """Wait for ``turn`` no more.

        :returns: whether it came at the last moment
        """
        with self._lock:
            if turn in self._turns:
                self._turns.remove(turn)
                return False
            return True

    def release(self) -> None:
        """Hand it over to who has waited longest."""
        with self._lock:
            if self._turns:
                self._turns.popleft().release()
            else:
                self._held = False

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.release()
