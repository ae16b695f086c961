"""Work that is done by one thread at a time, in the order in which they came."""

from __future__ import annotations

import threading
from collections import deque
from typing import Callable, Deque, Optional

from ..deadline import Deadline


class Turns:
    """Like a ``threading.Lock``, which lets a thread that releases it and asks again at once have it before one that
    waits: the heartbeat would never get its turn beside a long queue that a slow server takes bit by bit.

    Ctrl-C at any step of it leaves the turn to the next.
    """

    def __init__(self) -> None:
        # Guards the queue; never held while waiting.
        self._lock = threading.Lock()
        # A lock for each: whoever is first has the turn, the others wait until theirs is released.
        self._queue: Deque[threading.Lock] = deque()

    def take(self, work: Callable[[], None], timeout: Optional[float] = None) -> bool:
        """Wait for the turn, and call ``work()`` in it. Not reentrant.

        :param timeout: seconds to wait for the turn; None: as long as it takes
        :returns: whether the turn came in time
        """
        mine = threading.Lock()
        mine.acquire()
        # Not in a "finally": it may be the end itself that was interrupted, and would not be made up for.
        try:
            came = self._wait(mine, Deadline(timeout))
            if came:
                work()
            self._end(mine)
        except BaseException:
            self._end(mine)
            raise
        return came

    def _wait(self, mine: threading.Lock, deadline: Deadline) -> bool:
        with self._lock:
            self._queue.append(mine)
            if self._queue[0] is mine:
                return True
        # At the last moment counts.
        return deadline.acquire(mine) or self._queue[0] is mine

    def _end(self, mine: threading.Lock) -> None:
        # Any number of times, however far it came the last time.
        with self._lock:
            if mine in self._queue:
                self._queue.remove(mine)
            if self._queue and self._queue[0].locked():
                self._queue[0].release()
