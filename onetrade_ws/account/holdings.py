"""The open positions, what each is worth, and the sum of that.

What is to be valued is taken with the mirror's lock (:meth:`Holdings.take`: references, no arithmetic), valued without
it (:meth:`Taken.value`), and put back with it, in pieces (:meth:`Holdings.put_back`). What a position is worth depends
on how it was described last and on the newest prices seen: a value is put back if both are still the same ones, and
dropped otherwise; then the position stays among those that are to be valued.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Set

import attrs

from ..protocol.models import Position, Quote
from .history import LIVE_LIMIT
from .money import ARITHMETIC, ZERO
from .pricing import Described, Prices, Pricing, Route, Trial

_NOT_TRIED = Trial()


@attrs.define(eq=False)
class Held:
    """An open position.

    :ivar converter: the id of the symbol that converts; None: there is none, or it is not known
    :ivar trial: the last one of the calculation on it
    :ivar value: what of it is in the sum; None: what it is worth is not known
    """

    route: Optional[Route]
    converter: Optional[int]
    described: Described
    trial: Trial = _NOT_TRIED
    value: Optional[Decimal] = ZERO

    @property
    def moved_by(self) -> Set[int]:
        """The ids of the symbols whose price moves its profit."""
        return {self.described[0].symbol_id, *(() if self.converter is None else (self.converter,))}


class Taken(NamedTuple):
    """The positions that were to be valued at one moment, and the sum of then.

    :ivar held: the positions; how each was described, its trial and what of it was in the sum is in the other lists
    :ivar seen: the newest prices, by symbol id
    :ivar total: the sum, with the values that are not valid any more
    :ivar unknown: how many values in it are not known
    """

    pricing: Pricing
    seen: Mapping[int, Prices]
    held: List[Held]
    described: List[Described]
    trials: List[Trial]
    values: List[Optional[Decimal]]
    total: Decimal
    unknown: int

    def value(self) -> Valued:
        """On any thread, without a lock, in a context of :data:`~onetrade_ws.account.money.ARITHMETIC`: takes a moment
        for each of the positions."""
        total, unknown = self.total, self.unknown
        value_of, seen = self.pricing.value, self.seen
        values, trials = [], []
        for held, described, before, last in zip(self.held, self.described, self.values, self.trials):
            value, trial = value_of(held.route, described, last, seen)
            values.append(value)
            trials.append(trial)
            if before is None:
                unknown -= 1
            else:
                total -= before
            if value is None:
                unknown += 1
            else:
                total += value
        return Valued(None if unknown else total, values, trials)


class Valued(NamedTuple):
    """What was taken, valued.

    :ivar total: the sum of then; None: not known
    :ivar values: what each of the positions is worth
    :ivar trials: the last trial of each
    """

    total: Optional[Decimal]
    values: List[Optional[Decimal]]
    trials: List[Trial]


class Holdings:
    """Requires holding the mirror's lock.

    :param quotes: the newest quote of each symbol, by symbol id; only looked at
    :param moved_by: filled with the positions whose profit a symbol's price moves, by symbol id, and by their own
    :param is_known: whether it is known which positions are open
    """

    def __init__(
        self,
        quotes: Mapping[int, Quote],
        moved_by: Dict[int, Dict[int, Held]],
        pricing: Pricing,
        is_known: bool,
    ) -> None:
        self.is_known = is_known
        self._quotes = quotes
        self._moved_by = moved_by
        self._pricing = pricing
        self._held: Dict[int, Held] = {}
        # Those to which something has happened since they were valued.
        self._unvalued: Dict[int, Held] = {}
        # The prices that they are valued by, by symbol id.
        self._seen: Dict[int, Prices] = {}
        #: The sum of their values, as far as they are known, with those that are not valid any more.
        self.total = ZERO
        self._unknown = 0

    # -- which there are ------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Position]:
        return (held.described[0] for held in self._held.values())

    def get(self, identity: int) -> Optional[Position]:
        """The position, if it is open."""
        held = self._held.get(identity)
        return None if held is None else held.described[0]

    def add(self, position: Position) -> None:
        """A position is open that was not."""
        route = self._pricing.route_of(position)
        converter = None if route is None else route.converter
        held = self._held[position.id] = Held(route, converter, (position, None, None))
        for symbol_id in held.moved_by:
            self._moved_by.setdefault(symbol_id, {})[position.id] = held
        self.put(position)
        if len(self._held) > LIVE_LIMIT:
            self.lose()

    def put(self, position: Position) -> bool:
        """An open position is described anew.

        :returns: False: it is not open
        """
        identity = position.id
        held = self._held.get(identity)
        if held is None:
            return False
        quotes, converter = self._quotes, held.converter
        held.described = (
            position,
            quotes.get(position.symbol_id),
            None if converter is None else quotes.get(converter),
        )
        self._unvalued[identity] = held
        return True

    def remove(self, identity: int) -> None:
        """A position is not open any more, if it was."""
        held = self._held.pop(identity, None)
        if held is None:
            return
        self._unvalued.pop(identity, None)
        with localcontext(ARITHMETIC):
            self._exchange(held, ZERO)
        for symbol_id in held.moved_by:
            moved = self._moved_by[symbol_id]
            del moved[identity]
            if not moved:
                del self._moved_by[symbol_id]
                self._seen.pop(symbol_id, None)

    def lose(self) -> None:
        """Which positions are open is not known any more."""
        self.is_known = False
        self._held.clear()
        self._unvalued.clear()
        self._seen.clear()
        self._moved_by.clear()

    # -- what they are worth --------------------------------------------------------------------------------

    def note_quotes(self) -> bool:
        """Note which positions are to be valued for newer quotes.

        :returns: whether there are any
        """
        quotes, seen = self._quotes, self._seen
        has_moved = False
        for symbol_id, moved in self._moved_by.items():
            quote, before = quotes.get(symbol_id), seen.get(symbol_id)
            if quote is not None and (before is None or quote is not before.quote):
                seen[symbol_id] = Prices.of(quote)
                self._unvalued.update(moved)
                has_moved = True
        return has_moved

    def take(self) -> Taken:
        """What is to be valued now."""
        held = list(self._unvalued.values())
        return Taken(
            self._pricing,
            dict(self._seen) if held else {},
            held,
            [each.described for each in held],
            [each.trial for each in held],
            [each.value for each in held],
            self.total,
            self._unknown,
        )

    def put_back(self, taken: Taken, valued: Valued, start: int, stop: int) -> None:
        """What was taken has been valued.

        :param start: the first of the positions that is put back now
        :param stop: the first one that is not
        """
        unvalued, newest, seen, piece = self._unvalued, self._seen, taken.seen, slice(start, stop)
        of_each = zip(taken.held[piece], taken.described[piece], valued.values[piece], valued.trials[piece])
        with localcontext(ARITHMETIC):
            for held, described, value, trial in of_each:
                position, converter = described[0], held.converter
                if (
                    held.described is described
                    and newest.get(position.symbol_id) is seen.get(position.symbol_id)
                    and (converter is None or newest.get(converter) is seen.get(converter))
                    # Neither closed nor put back meanwhile.
                    and unvalued.get(position.id) is held
                ):
                    del unvalued[position.id]
                    held.trial = trial
                    self._exchange(held, value)

    def _exchange(self, held: Held, value: Optional[Decimal]) -> None:
        before, held.value = held.value, value
        if before is None:
            self._unknown -= 1
        else:
            self.total -= before
        if value is None:
            self._unknown += 1
        else:
            self.total += value
