"""What a client notes while it receives."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Optional

#: Where a price record carries the server's clock.
STAMP = 4


class Pace:
    """Notes of messages that come one at a time: how late each was, and what the process did for them."""

    def __init__(self, messages: int) -> None:
        self._messages = messages
        self._late: List[int] = []
        self._began: Optional[float] = None
        self._cpu = self._wall = 0.0

    def note(self, now: int, stamp: int) -> bool:
        """A message that was sent at ``stamp`` is in the callback at ``now``, nanoseconds of the monotonic clock.

        :returns: whether it was the last
        """
        if self._began is None:
            self._began, self._cpu = time.monotonic(), time.process_time()
        self._late.append(now - stamp)
        if len(self._late) < self._messages:
            return False
        self._cpu = time.process_time() - self._cpu
        self._wall = time.monotonic() - self._began
        return True

    @property
    def result(self) -> Dict[str, Any]:
        """Latencies in nanoseconds, processor time and time in seconds from the first message to the last."""
        return {
            "messages": len(self._late),
            "latencies": self._late,
            "cpu": self._cpu,
            "seconds": self._wall,
        }


def record_stamp(record: bytes) -> int:
    """The server's clock in a price record."""
    return int(record.split(b",")[STAMP])
