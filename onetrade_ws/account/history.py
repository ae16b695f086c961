"""Collections of bounded length."""

from __future__ import annotations

from collections import OrderedDict
from typing import Callable, Dict, Generic, Optional, TypeVar

T = TypeVar("T")

#: How many live objects of a kind are kept: far more than any account has, so that a server that makes up ids does not
#: fill the memory.
LIVE_LIMIT = 250_000


class Records(Generic[T]):
    """Objects by id, in the order in which they first came. Requires holding the mirror's lock.

    Of those that are over, the newest ``limit`` are kept; of live ones the newest :data:`LIVE_LIMIT`.
    """

    def __init__(self, limit: int, is_over: Callable[[T], bool]) -> None:
        self._limit = limit
        self._is_over = is_over
        #: Whether live ones had to go.
        self.forgets = False
        self._by_id: Dict[int, T] = {}
        # The ids of the live ones, the oldest first.
        self._live: OrderedDict[int, None] = OrderedDict()
        # The ids of those that are over, the longest over first.
        self._over: OrderedDict[int, None] = OrderedDict()

    def put(self, identity: int, record: T) -> None:
        """Add or replace."""
        self._by_id[identity] = record
        if not self._is_over(record):
            self._over.pop(identity, None)
            self._live[identity] = None
            if len(self._live) > LIVE_LIMIT:
                oldest, _ = self._live.popitem(last=False)
                del self._by_id[oldest]
                self.forgets = True
        elif identity not in self._over:
            self._live.pop(identity, None)
            self._over[identity] = None
            if len(self._over) > self._limit:
                oldest, _ = self._over.popitem(last=False)
                del self._by_id[oldest]

    def get(self, identity: int) -> Optional[T]:
        """The object, or None."""
        return self._by_id.get(identity)

    def snapshot(self) -> Dict[int, T]:
        """All of them, in a dict that the caller owns."""
        return dict(self._by_id)
