"""The event queue between the reader thread and the dispatcher."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from typing import Callable, Deque, Optional, Sequence, Tuple, Union

from ..deadline import Deadline
from ..protocol.events import ClientEventType, Event, SlowConsumer
from ..protocol.frames import Batch

logger = logging.getLogger("onetrade_ws.delivery")

Item = Union[Batch, Event]

# What a message costs in memory besides its payload, roughly.
_OVERHEAD = 128


class EventQueue:
    """First in, first out; messages in batches, and the client's own events at their place among them.

    Bounded in bytes: :meth:`put` that fills it blocks until there is room, so that the reader thread stops reading and
    TCP holds the server back. Nothing is dropped. Over losses of the connection, with a consumer that takes nothing
    meanwhile, it may grow to three times the limit.

    :param limit: bytes
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # Guards everything below. Waited on by the dispatcher for items, and by the reader thread for room.
        self._condition = threading.Condition(threading.Lock())
        self._batches: Deque[Tuple[Sequence[Item], int]] = deque()
        self._bytes = 0
        self._high_water = 0
        self._limited = True
        # Whether SLOW_CONSUMER was said since the queue was last half empty.
        self._said_slow = False
        # There is nothing to wait for before the first life.
        self._closed = True

    @property
    def bytes(self) -> int:
        """What waits now, in bytes."""
        return self._bytes

    @property
    def high_water(self) -> int:
        """The most that ever waited, in bytes."""
        return self._high_water

    def put(self, batches: Sequence[Batch], give_up: Optional[Callable[[], bool]]) -> None:
        """Add batches. Blocks while the queue is full with it and what was there before.

        :param give_up: whether to wait no longer, asked again after :meth:`wake`: for a connection that is gone, which
            is better made anew than waited with. That may be done until twice the limit waits. None: do not block;
            for the little that comes before a connection is open.
        """
        size = sum(sum(map(len, batch.payloads)) + len(batch.payloads) * _OVERHEAD for batch in batches)
        with self._condition:
            queued = self._bytes + size
            # One large batch in an empty queue says nothing about who takes it.
            full = self._bytes > 0 and queued >= self._limit and self._limited
            say_slow = full and not self._said_slow
            if say_slow:
                self._said_slow = True
                slow = SlowConsumer(queued_bytes=queued, limit=self._limit)
                self._add([Event(ClientEventType.SLOW_CONSUMER, slow, time.time())], 0)
            self._add(batches, size)
        if say_slow:
            # A log handler of the program's that raises must not cost the connection.
            with contextlib.suppress(Exception):
                logger.warning(
                    "callbacks are too slow: %d bytes wait, reading stops until there is room", queued
                )
        if full and give_up is not None:
            with self._condition:
                Deadline(None).wait_for(
                    self._condition,
                    lambda: self._has_room() or (self._bytes < 2 * self._limit and give_up()),
                )

    def wake(self) -> None:
        """Let a :meth:`put` that blocks ask whether to give up. On any thread."""
        with self._condition:
            self._condition.notify_all()

    def _has_room(self) -> bool:
        # Requires holding _condition.
        return self._bytes < self._limit or not self._limited

    def announce(self, event: Event) -> None:
        """Add an event of the client's own. On any thread; never blocks."""
        with self._condition:
            self._add([event], 0)

    def _add(self, items: Sequence[Item], size: int) -> None:
        # Requires holding _condition.
        self._batches.append((items, size))
        self._bytes += size
        self._high_water = max(self._high_water, self._bytes)
        self._condition.notify_all()

    def get(self, deadline: Deadline, limit: int) -> Optional[Sequence[Item]]:
        """Take the oldest items; blocks until there is one.

        :param limit: how many messages in all
        :returns: none when the time was over before, None when the queue is closed and empty
        """
        with self._condition:
            if not deadline.wait_for(self._condition, lambda: bool(self._batches) or self._closed):
                return ()
            if not self._batches:
                return None
            batch, size = self._batches.popleft()
            self._bytes -= size
            if self._bytes * 2 <= self._limit:
                self._said_slow = False
            self._condition.notify_all()
            return batch

    def open(self) -> None:
        """A life begins: the limit holds, and whoever gets waits for more."""
        with self._condition:
            self._limited = True
            self._closed = False

    def lift_limit(self) -> None:
        """The life is ending: :meth:`put` blocks no more. Little will follow."""
        with self._condition:
            self._limited = False
            self._condition.notify_all()

    def close(self) -> None:
        """Nothing more will be put: whoever gets is told when the rest is taken."""
        with self._condition:
            self._closed = True
            self._limited = False
            self._condition.notify_all()

    @property
    def is_exhausted(self) -> bool:
        """Whether it is closed and empty."""
        with self._condition:
            return self._closed and not self._batches
