"""The event queue between the reader thread and the dispatcher."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from typing import Callable, Deque, List, Optional, Sequence, Tuple, Union

from ..deadline import Deadline
from ..protocol.events import ClientEventType, Event, SlowConsumer
from ..protocol.frames import Batch, Opcode
from ..protocol.keys import RecordKeys
from .merging import ROUND_OVERHEAD, TEXT_OVERHEAD, Pieces, Round, cost_of, sort_out

logger = logging.getLogger("onetrade_ws.delivery")

Item = Union[Batch, Event]

# Bytes that wait at most for who keeps up: the reader outruns the fastest consumer for a moment.
_HIGH_WATER = 1024 * 1024
# Seconds that a consumer gets to come below that, before it is taken to be behind.
_PATIENCE = 0.1
# Bytes that are taken at once, when messages are large: what has been taken is beyond the limit.
_TAKEN_AT_ONCE = 256 * 1024


class EventQueue:
    """First in, first out; messages in batches, and the client's own events at their place among them.

    Nothing is dropped as long as the consumer keeps up, however much the server sends: above a high-water mark
    :meth:`put` blocks for a moment, so that the reader thread stops reading and TCP holds the server back. A consumer
    that has not come below the mark by then is *behind*, until it finds the queue empty. Meanwhile quotes give way to
    newer ones of their symbol and profit updates to newer ones of their position, and each that does is counted; text
    messages and what cannot be read never do, and none of this goes across one of the client's own events, or across
    what cannot be read. See :class:`.Round` for who stands where.

    Bounded in bytes all the same: when what waits reaches the limit although everything has been merged, :meth:`put`
    blocks until there is room. ``SLOW_CONSUMER`` then is the next event, and it is logged: once, until the queue has
    been half empty. Over losses of the connection, with a consumer that takes nothing meanwhile, it may grow to three
    times the limit.

    :param limit: bytes
    :param price_columns: the names of a price record's columns, in their order
    """

    def __init__(self, limit: int, price_columns: Sequence[str]) -> None:
        self._limit = limit
        self._mark = min(_HIGH_WATER, limit // 2)
        self._keys = RecordKeys(price_columns)
        # Guards everything below.
        self._lock = threading.Lock()
        # What waits: its cost in bytes, and how many messages of a batch have been taken already, which are in memory
        # and counted until the last one has been.
        self._waiting: Deque[Tuple[Union[Batch, Event, Round], int, int]] = deque()
        # The last of those, when it may be merged into.
        self._round: Optional[Round] = None
        self._bytes = 0
        self._high_water = 0
        self._merged = 0
        self._limited = True
        self._behind = False
        # Whether SLOW_CONSUMER was said since the queue was last half empty.
        self._said_slow = False
        # There is nothing to wait for before the first life.
        self._closed = True
        # Waited on by the reader thread, for the queue to come down to so many bytes; -1 when nobody waits.
        self._room = threading.Condition(self._lock)
        self._room_at = -1
        # Who gets waits for this to be released, which is done once when it is awaited: a condition makes a lock for
        # each wait, and this is the way of every message when few come.
        self._arrival = threading.Lock()
        self._arrival.acquire()
        self._awaited = False

    @property
    def bytes(self) -> int:
        """What waits now, in bytes."""
        return self._bytes

    @property
    def high_water(self) -> int:
        """The most that ever waited, in bytes."""
        return self._high_water

    @property
    def merged(self) -> int:
        """How many quotes and profit updates gave way to newer ones."""
        return self._merged

    # -- the reader's side ----------------------------------------------------------------------------------

    def put(self, batches: Sequence[Batch], give_up: Optional[Callable[[], bool]]) -> None:
        """Add batches. Blocks for a moment while the consumer does not keep up, and for as long as the queue is full
        with them and what was there before.

        :param give_up: whether to wait no longer, asked again after :meth:`wake`: for a connection that is gone, which
            is better made anew than waited with. That may be done until twice the limit waits. None: do not block;
            for the little that comes before a connection is open.
        """
        # Before the lock is taken, and most likely still right then.
        sorted_out = [self._sort_out(batch) for batch in batches] if self._behind else None
        with self._lock:
            before = self._bytes
            if self._behind:
                for batch, pieces in zip(batches, sorted_out or map(self._sort_out, batches)):
                    self._merge(batch, pieces)
                crowded = self._bytes >= self._limit
            else:
                for batch in batches:
                    size = cost_of(batch.payloads)
                    self._waiting.append((batch, size, 0))
                    self._bytes += size
                crowded = self._bytes > self._mark
            self._note_arrival()
            # One large batch in an empty queue says nothing about who takes it.
            crowded = crowded and before > 0 and self._limited
        if crowded and give_up is not None:
            self._hold_back(give_up)

    def _hold_back(self, give_up: Callable[[], bool]) -> None:
        with self._lock:
            fell_behind = False
            if not self._behind:
                if not self._is_filled_for_good() and self._wait_for_room(
                    self._mark, give_up, Deadline(_PATIENCE)
                ):
                    return
                self._fall_behind()
                fell_behind = True
            queued = self._bytes
            full = queued >= self._limit and self._limited
            say_slow = full and not self._said_slow
            if say_slow:
                self._said_slow = True
                slow = SlowConsumer(queued_bytes=queued, limit=self._limit)
                # In front: who is too slow learns it next, and nothing is kept from being merged.
                self._waiting.appendleft((Event(ClientEventType.SLOW_CONSUMER, slow, time.time()), 0, 0))
                self._note_arrival()
        # A log handler of the program's that raises must not cost the connection.
        if fell_behind:
            with contextlib.suppress(BaseException):
                logger.info(
                    "callbacks do not keep up: until they do, quotes and profit updates give way to newer ones"
                )
        if say_slow:
            with contextlib.suppress(BaseException):
                logger.warning(
                    "callbacks are too slow: %d bytes wait, reading stops until there is room", queued
                )
        if full:
            with self._lock:
                self._wait_for_room(self._limit - 1, give_up, Deadline(None))

    def _wait_for_room(self, level: int, give_up: Callable[[], bool], deadline: Deadline) -> bool:
        # Requires holding _lock.
        def is_over() -> bool:
            if self._bytes <= level or not self._limited or (self._bytes < 2 * self._limit and give_up()):
                return True
            self._room_at = max(self._room_at, level)
            return False

        return deadline.wait_for(self._room, is_over)

    def _is_filled_for_good(self) -> bool:
        """Whether no merging would make room."""
        # Requires holding _lock.
        if self._bytes < self._limit:
            return False
        texts = (
            size for item, size, _ in self._waiting if isinstance(item, Batch) and item.opcode == Opcode.TEXT
        )
        return sum(texts) >= self._limit

    def _fall_behind(self) -> None:
        # Requires holding _lock. What waits is not much more than the high-water mark.
        waiting, self._waiting = self._waiting, deque()
        self._bytes = 0
        self._behind = True
        for item, _, taken in waiting:
            if isinstance(item, Batch):
                rest = _part(item, taken, len(item.payloads)) if taken else item
                self._merge(rest, self._sort_out(rest))
            else:
                self._waiting.append((item, 0, 0))
                self._round = None
        self._note_arrival()

    def _sort_out(self, batch: Batch) -> Pieces:
        if batch.opcode == Opcode.TEXT:
            return []
        return sort_out(batch.payloads, self._keys, self._limit - self._bytes)

    def _merge(self, batch: Batch, pieces: Pieces) -> None:
        # Requires holding _lock, and being behind.
        if batch.opcode == Opcode.TEXT:
            current = self._current_round()
            self._bytes -= current.size
            current.add_text(batch)
            self._bytes += current.size
        for piece in pieces:
            if isinstance(piece, list):
                size = cost_of(piece)
                self._waiting.append((Batch(batch.opcode, piece, batch.received_at), size, 0))
                self._bytes += size
                # It may be an older quote of a symbol, in an odd form: nothing newer goes before it.
                self._round = None
            else:
                current = self._current_round()
                self._bytes -= current.size
                replaced = current.merge(piece.newest, batch.received_at)
                self._bytes += current.size
                self._merged += piece.total - len(piece.newest) + replaced

    def _current_round(self) -> Round:
        # Requires holding _lock.
        if self._round is None:
            self._round = Round()
            self._waiting.append((self._round, 0, 0))
            self._bytes += ROUND_OVERHEAD
        return self._round

    def _note_arrival(self) -> None:
        # Requires holding _lock.
        if self._bytes > self._high_water:
            self._high_water = self._bytes
        if self._awaited:
            self._awaited = False
            self._arrival.release()

    def wake(self) -> None:
        """Let a :meth:`put` that blocks ask whether to give up. On any thread."""
        with self._lock:
            self._room.notify_all()

    def announce(self, event: Event) -> None:
        """Add an event of the client's own. On any thread; never blocks."""
        with self._lock:
            self._waiting.append((event, 0, 0))
            # What comes after a gap belongs after it.
            self._round = None
            self._note_arrival()

    # -- the dispatcher's side: on one thread at a time -----------------------------------------------------

    def get(self, deadline: Deadline, limit: int) -> Optional[Sequence[Item]]:
        """Take the oldest items; blocks until there is one. What has been taken gives way to nothing any more.

        :param limit: how many messages and events to take at most
        :returns: nothing when the time was over before, None when the queue is closed and empty
        """
        while True:
            with self._lock:
                if self._waiting:
                    return self._take(limit)
                if self._closed:
                    return None
                self._behind = False
                if deadline.expired:
                    self._awaited = False
                    return ()
                # Ctrl-C may have left it released.
                self._arrival.acquire(blocking=False)
                self._awaited = True
            deadline.acquire(self._arrival)

    def _take(self, limit: int) -> List[Item]:
        # Requires holding _lock, and that something waits.
        waiting = self._waiting
        items: List[Item] = []
        before = self._bytes
        while limit > 0 and waiting:
            item, size, taken = waiting[0]
            spare = max(0, _TAKEN_AT_ONCE - (before - self._bytes))
            if isinstance(item, Batch):
                total = len(item.payloads)
                # As many as fit, by their average; and one in any case.
                fitting = spare * total // size or int(not items)
                number = min(total - taken, limit, fitting)
                if number == 0:
                    break
                items.append(item if number == total else _part(item, taken, taken + number))
                limit -= number
                if taken + number < total:
                    waiting[0] = item, size, taken + number
                    break
                waiting.popleft()
                self._bytes -= size
            elif isinstance(item, Round):
                if spare == 0:
                    break
                limit -= self._take_of_round(item, items, limit, spare)
            else:
                waiting.popleft()
                items.append(item)
                limit -= 1
        if self._bytes * 2 <= self._limit:
            self._said_slow = False
        if self._bytes <= self._room_at:
            self._room_at = -1
            self._room.notify_all()
        return items

    def _take_of_round(self, current: Round, items: List[Item], limit: int, spare: int) -> int:
        """Take from what stands first: records, or else let the text messages that come next stand first.

        :returns: how many messages were taken
        """
        # Requires holding _lock.
        before = current.size
        batches = current.take_records(limit, spare)
        self._bytes -= before - current.size
        items += batches
        text = current.take_text() if not batches else None
        if text is not None:
            self._bytes -= TEXT_OVERHEAD
        if not current:
            self._waiting.popleft()
            self._bytes -= ROUND_OVERHEAD
            if current is self._round:
                self._round = None
        if text is not None:
            self._waiting.appendleft((text, cost_of(text.payloads), 0))
        return sum(len(batch.payloads) for batch in batches)

    # -- lives ----------------------------------------------------------------------------------------------

    def open(self) -> None:
        """A life begins: the limit holds, and whoever gets waits for more."""
        with self._lock:
            self._limited = True
            self._closed = False

    def lift_limit(self) -> None:
        """The life is ending: :meth:`put` blocks no more. Little will follow."""
        with self._lock:
            self._limited = False
            self._room.notify_all()

    def close(self) -> None:
        """Nothing more will be put: whoever gets is told when the rest is taken."""
        with self._lock:
            self._closed = True
            self._limited = False
            self._note_arrival()
            self._room.notify_all()

    @property
    def is_exhausted(self) -> bool:
        """Whether it is closed and empty."""
        with self._lock:
            return self._closed and not self._waiting


def _part(batch: Batch, start: int, end: int) -> Batch:
    return Batch(batch.opcode, batch.payloads[start:end], batch.received_at)
