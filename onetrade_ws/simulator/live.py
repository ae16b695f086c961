"""What makes a live simulator live: threads that do something again and again until they are stopped."""

from __future__ import annotations

import logging
import threading
import time
from typing import Callable

from ..deadline import Flag

logger = logging.getLogger("onetrade_ws.simulator")

_SHORTEST_WAIT = 0.005  # seconds; at higher rates several actions share a wake-up
_MOST_AT_ONCE = 1000  # actions made up for after a delay; what is more is forgotten


class Pacemaker:
    """Calls a function `rate` times a second on a thread of its own, the first time at once.

    After a delay it catches up. What the function raises is logged, and the next call comes all the same.
    """

    def __init__(self, name: str, rate: float, action: Callable[[], None]) -> None:
        self._rate = rate
        self._action = action
        self._stopping = Flag()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, after the call that is under way."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        started, done = time.monotonic(), 0
        while not self._stopping.is_set():
            due = int((time.monotonic() - started) * self._rate) + 1 - done
            for _ in range(min(due, _MOST_AT_ONCE)):
                if self._stopping.is_set():
                    return
                self._act()
            done += due
            self._stopping.wait(max(started + done / self._rate - time.monotonic(), _SHORTEST_WAIT))

    def _act(self) -> None:
        try:
            self._action()
        except Exception:
            # The market goes on: one action that failed is logged, not the end of all.
            logger.exception("an action of the live simulator failed")
