"""A deal and what it makes of its position are told of one after the other, in either order: in between, the two
together count something twice, or not at all.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Dict, Set

from ..protocol.models import Deal, Position
from .money import ARITHMETIC, exact


class Pairing:
    """Requires holding the mirror's lock."""

    def __init__(self) -> None:
        # The positions of which a deal has told, and not yet what came of it.
        self._awaited: Set[int] = set()
        # The last change of a position's volume, while no deal has told of it.
        self._unexplained: Dict[int, Decimal] = {}

    @property
    def is_complete(self) -> bool:
        """Whether of no deal the position is still to come."""
        return not self._awaited

    def open(self, position: Position) -> None:
        """A position was opened."""
        opened = exact(position.volume_current)
        if opened is not None:
            self._unexplained[position.id] = opened
        self._awaited.discard(position.id)

    def change(self, before: Position, position: Position) -> None:
        """An open position is described anew."""
        if position.volume_current != before.volume_current and position.id not in self._awaited:
            was, now = exact(before.volume_current), exact(position.volume_current)
            if was is not None and now is not None:
                self._unexplained[position.id] = ARITHMETIC.abs(ARITHMETIC.subtract(now, was))
        self._awaited.discard(position.id)

    def close(self, identity: int) -> None:
        """A position was closed."""
        self._unexplained.pop(identity, None)
        self._awaited.discard(identity)

    def deal(self, deal: Deal) -> None:
        """A deal changed a position that is open."""
        change = self._unexplained.pop(deal.position_id, None)
        if change is None or change != exact(deal.volume):
            self._awaited.add(deal.position_id)

    def clear(self) -> None:
        """Which positions are open is not known any more."""
        self._awaited.clear()
        self._unexplained.clear()
