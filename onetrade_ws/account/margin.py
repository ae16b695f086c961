"""The margins of the open positions, their sum, and whether that is the server's own."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any, Dict, Iterable, NamedTuple, Optional, Tuple

from ..protocol.enums import PositionStatus
from ..protocol.models import Position
from .money import ARITHMETIC, ZERO, exact
from .pricing import Pricing


class _Margin(NamedTuple):
    """A position's margin; None: not known."""

    made_of: Tuple[Any, ...]
    value: Optional[Decimal]


class Margins:
    """Requires holding the mirror's lock.

    :param told: the account's margin, as the server said
    :param leverage: the account's; None: not known
    """

    def __init__(self, pricing: Pricing, leverage: Optional[Decimal], told: Optional[Decimal]) -> None:
        self._pricing = pricing
        self._leverage = leverage
        self._told = told
        self._by_id: Dict[int, _Margin] = {}
        self._sum = ZERO
        self._unknown = 0
        # Whether the sum is what the server says.
        self._is_proven = False
        self._has_moved = False

    @property
    def total(self) -> Optional[Decimal]:
        """The sum, where that is the server's margin; else what the server said, until a margin changes."""
        if self._is_proven:
            return None if self._unknown else self._sum
        return None if self._has_moved else self._told

    def put(self, position: Position) -> None:
        """An open position is now like this."""
        before, made_of = self._by_id.get(position.id), _made_of(position)
        if before is None or before.made_of != made_of:
            self.remove(position.id)
            with localcontext(ARITHMETIC):
                margin = self._by_id[position.id] = _Margin(made_of, self._margin_of(position))
                self._sum += margin.value or ZERO
            self._unknown += margin.value is None
            self._has_moved = True

    def remove(self, identity: int) -> None:
        """A position is not open any more, if it was."""
        margin = self._by_id.pop(identity, None)
        if margin is not None:
            self._sum = ARITHMETIC.subtract(self._sum, margin.value or ZERO)
            self._unknown -= margin.value is None
            self._has_moved = True

    def clear(self) -> None:
        """Which positions are open is not known any more."""
        self._by_id.clear()

    def begin(self, told: Iterable[Position], since: Iterable[Position]) -> None:
        """The positions are those of a snapshot, with what events have made of them since.

        :param told: those that are open in the snapshot itself
        :param since: what events told of them while it was taken, one after the other
        """
        told, since = list(told), list(since)
        with localcontext(ARITHMETIC):
            self._is_proven = self._gives_what_was_told() or self._gave_what_was_told(told, since)
        # One that came and went since is in none of them.
        self._has_moved = bool(since) or {one.id: _made_of(one) for one in told} != {
            identity: margin.made_of for identity, margin in self._by_id.items()
        }

    def try_again(self) -> None:
        """What happened while the snapshot was taken may have been told of only now. That nothing is nothing would
        prove nothing."""
        if self._sum and not self._is_proven:
            self._is_proven = self._gives_what_was_told()

    def _gives_what_was_told(self) -> bool:
        return not self._unknown and self._sum == self._told

    def _gave_what_was_told(self, told: Iterable[Position], since: Iterable[Position]) -> bool:
        """Whether the rule gives the server's margin for what was open at some moment while the snapshot was taken: the
        account's own figures are as of any."""
        margins = {one.id: self._margin_of(one) for one in told}
        unknown = list(margins.values()).count(None)
        total = sum(filter(None, margins.values()), ZERO)
        for position in (None, *since):
            if position is not None:
                is_over = position.status == PositionStatus.CLOSED
                before = margins.get(position.id, ZERO)
                now = margins[position.id] = ZERO if is_over else self._margin_of(position)
                unknown += (now is None) - (before is None)
                total += (now or ZERO) - (before or ZERO)
            if not unknown and total == self._told:
                return True
        return False

    def _margin_of(self, position: Position) -> Optional[Decimal]:
        rate, leverage = exact(position.extra.get("rate_margin")), self._leverage
        size, price = self._pricing.size_of(position), exact(position.price_open)
        if size is None or price is None or rate is None or leverage is None or leverage <= 0:
            return None
        return (size * price * rate / leverage).quantize(self._pricing.cent)


def _made_of(position: Position) -> Tuple[Any, ...]:
    """What a position's margin depends on."""
    extra = position.extra
    return (
        position.price_open,
        position.volume_current,
        extra.get("contract_size"),
        extra.get("rate_margin"),
    )
