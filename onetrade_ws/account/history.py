"""Collections of bounded size."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any, Callable, Deque, Dict, Generic, List, Optional, Set, Tuple, TypeVar

T = TypeVar("T")

#: How many live objects of a kind are kept: far more than any account has, so that a server that makes up ids does not
#: fill the memory.
LIVE_LIMIT = 250_000

#: Bytes that the messages of what is kept may have had on average: far more than those of an honest server, which could
#: fill the memory with a few otherwise.
BYTES_EACH = 4096


class Log(Generic[T]):
    """The newest of what came, the oldest first. Requires holding the mirror's lock.

    :param limit: how many are kept, and :data:`BYTES_EACH` times as many bytes
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = 0
        self._items: Deque[Tuple[T, int]] = deque()

    def append(self, item: T, size: int) -> None:
        """Add one.

        :param size: bytes of the message that it came in
        """
        self._items.append((item, size))
        self._bytes += size
        while len(self._items) > self._limit or (
            len(self._items) > 1 and self._bytes > self._limit * BYTES_EACH
        ):
            self._bytes -= self._items.popleft()[1]

    def snapshot(self) -> List[T]:
        """All of them, in a list that the caller owns."""
        return [item for item, _ in self._items]


class Records(Generic[T]):
    """Objects by id, in the order in which they first came, or were sorted. Requires holding the mirror's lock.

    Of those that are over, the newest ``limit`` are kept, and :data:`BYTES_EACH` times as many bytes; of live ones the
    newest :data:`LIVE_LIMIT`.

    :param is_over: whether an object is not live any more
    :param forgetting: called when the first live one has to go
    """

    def __init__(
        self, limit: int, is_over: Callable[[T], bool], forgetting: Callable[[], None] = lambda: None
    ) -> None:
        #: How many of those that are over are kept.
        self.limit = limit
        self._is_over = is_over
        self._forgetting = forgetting
        self._has_forgotten = False
        self._by_id: Dict[int, T] = {}
        # The ids of the live ones, the oldest first.
        self._live: OrderedDict[int, None] = OrderedDict()
        # The ids of those that are over, the longest over first, and the bytes of their messages.
        self._over: OrderedDict[int, int] = OrderedDict()
        self._bytes = 0
        #: The ids of those that an event has told of since it was made empty; None: nobody asks.
        self.touched: Optional[Set[int]] = None

    def put(self, identity: int, record: T, size: int) -> None:
        """Add or replace.

        :param size: bytes of the message that it came in
        """
        self._by_id[identity] = record
        if not self._is_over(record):
            if identity in self._live:
                return
            self._bytes -= self._over.pop(identity, 0)
            self._live[identity] = None
            if len(self._live) > LIVE_LIMIT:
                oldest, _ = self._live.popitem(last=False)
                del self._by_id[oldest]
                if not self._has_forgotten:
                    self._has_forgotten = True
                    self._forgetting()
            return
        self._live.pop(identity, None)
        self._bytes += size - self._over.get(identity, 0)
        self._over[identity] = size
        while len(self._over) > self.limit or (len(self._over) > 1 and self._bytes > self.limit * BYTES_EACH):
            oldest, freed = self._over.popitem(last=False)
            self._bytes -= freed
            del self._by_id[oldest]

    def sort(self, moment: Callable[[T], Any]) -> None:
        """Put them in an order: the one of the earliest moment has to go first. Equal ones stay as they were."""
        self._by_id = dict(sorted(self._by_id.items(), key=lambda item: moment(item[1])))
        self._over = OrderedDict(
            (identity, self._over[identity]) for identity in self._by_id if identity in self._over
        )

    def remove(self, identity: int) -> None:
        """Forget an object that is live."""
        del self._by_id[identity]
        del self._live[identity]

    def get(self, identity: int) -> Optional[T]:
        """The object, or None."""
        return self._by_id.get(identity)

    def snapshot(self) -> Dict[int, T]:
        """All of them, in a dict that the caller owns."""
        return dict(self._by_id)
