"""How far each part of the mirror can be relied on, and since when."""

from __future__ import annotations

from typing import Dict, FrozenSet, Iterable, Mapping, Optional

from ..errors import OneTradeError
from ..protocol.events import CollectionStatus, SyncState
from ..protocol.snapshot import PARTS

_CURRENT, _LOADING, _STALE = SyncState.CURRENT, SyncState.LOADING, SyncState.STALE

# The parts that events tell of.
_TOLD = ("orders", "positions", "deals")


class Standing:
    """Written on the thread that delivers; :attr:`by_part` is exchanged whole, so that any thread may read it.

    :param now: seconds since the epoch
    """

    def __init__(self, now: float) -> None:
        #: The statuses, by name.
        self.by_part: Mapping[str, CollectionStatus] = dict.fromkeys(PARTS, CollectionStatus(_STALE, now))
        # The last moment at which each was known to be current.
        self._current_until = dict.fromkeys(PARTS, now)
        # What an event that could not be read has left in doubt, while it is being loaded.
        self._doubts: Dict[str, OneTradeError] = {}
        self._missing: FrozenSet[str] = frozenset()

    @property
    def missed_since(self) -> float:
        """Since when something may have been missed of what events tell. What the server did not offer when it was
        loaded last was never known, and nothing can be missing from it."""
        names = set(_TOLD) - self._missing or _TOLD
        return min(self._current_until[name] for name in names)

    def begin(self, now: float) -> None:
        """All of it is being loaded."""
        self._leave_current(PARTS, now)
        self._doubts.clear()
        self.by_part = dict.fromkeys(PARTS, CollectionStatus(_LOADING, now))

    def settle(self, missing: Mapping[str, OneTradeError], now: float) -> None:
        """It has been loaded, but for what is missing, and why."""
        self._missing = frozenset(missing)
        reasons = {**self._doubts, **missing}
        self.by_part = {
            name: CollectionStatus(_STALE, self._current_until[name], reasons[name])
            if name in reasons
            else CollectionStatus(_CURRENT, now)
            for name in PARTS
        }

    def doubt(self, names: Iterable[str], now: float, reason: OneTradeError) -> None:
        """What is known of these may not be all there is.

        A part that is being loaded is so still when it has been.
        """
        names = list(names)
        self._leave_current(names, now)
        self._doubts.update((name, reason) for name in names)
        stale = {
            name: CollectionStatus(_STALE, self._current_until[name], reason)
            for name in names
            if self.by_part[name].state is not _LOADING
        }
        self.by_part = {**self.by_part, **stale}

    def give_up(self, now: float, reason: Optional[OneTradeError] = None) -> None:
        """None of it is kept up to date any more, or could be loaded."""
        self._leave_current(PARTS, now)
        self.by_part = {name: CollectionStatus(_STALE, self._current_until[name], reason) for name in PARTS}

    def note_gap(self, started_at: float) -> None:
        """Nothing came from then on, which was noticed later."""
        self._current_until = {name: min(until, started_at) for name, until in self._current_until.items()}
        self.by_part = {
            name: status
            if status.state is not _STALE
            else CollectionStatus(_STALE, self._current_until[name], status.reason)
            for name, status in self.by_part.items()
        }

    def _leave_current(self, names: Iterable[str], now: float) -> None:
        for name in names:
            if self.by_part[name].state is _CURRENT:
                self._current_until[name] = now
