"""The open positions, what each is worth, and the sum of that.

What is to be valued is taken with the mirror's lock (:meth:`Holdings.take`: references, no arithmetic), valued without
it (:meth:`Taken.value`), and put back with it, in pieces (:meth:`Holdings.put_back`). What a position is worth depends
on how it was described last and on the newest prices seen: a value is put back if both are still the same ones, and
dropped otherwise; then the position stays among those that are to be valued.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Set, Tuple

import attrs

from ..protocol.models import Position, Quote
from .history import LIVE_LIMIT
from .money import ARITHMETIC, ZERO
from .pricing import Described, Prices, Pricing, Route, Worth

_NEVER_VALUED = Worth()


@attrs.define(eq=False)
class Held:
    """An open position.

    :ivar converter: the id of the symbol that converts; None: there is none, or it is not known
    :ivar worth: what of it is in the sum
    """

    route: Optional[Route]
    converter: Optional[int]
    described: Described
    worth: Worth = _NEVER_VALUED

    @property
    def moved_by(self) -> Set[int]:
        """The ids of the symbols whose price moves its profit."""
        return {self.described[0].symbol_id, *(() if self.converter is None else (self.converter,))}


class Valued(NamedTuple):
    """A position that was valued.

    :ivar described: as it was then
    """

    held: Held
    described: Described
    worth: Worth


@attrs.frozen(eq=False)
class Taken:
    """The positions that were to be valued at one moment, and the sum of then.

    :ivar held: the positions; how each was described, and what each was worth, is in the other lists
    :ivar seen: the newest prices, by symbol id
    :ivar total: the sum, with the values that are not valid any more
    :ivar unknown: how many values in it are not known
    """

    pricing: Pricing
    seen: Mapping[int, Prices]
    held: List[Held]
    described: List[Described]
    worth: List[Worth]
    total: Decimal
    unknown: int

    def value(self) -> Tuple[Optional[Decimal], List[Valued]]:
        """The sum at that moment, None if it is not known, and what it was made of. On any thread, without a lock:
        takes a moment for each position."""
        total, unknown = self.total, self.unknown
        found = []
        with localcontext(ARITHMETIC):
            for held, described, before in zip(self.held, self.described, self.worth):
                worth = self.pricing.value(held.route, described, before, self.seen)
                found.append(Valued(held, described, worth))
                total += (worth.value or ZERO) - (before.value or ZERO)
                unknown += (worth.value is None) - (before.value is None)
        return (None if unknown else total), found


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
        self._exchange(held, _NEVER_VALUED)
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
            [each.worth for each in held],
            self.total,
            self._unknown,
        )

    def put_back(self, seen: Mapping[int, Prices], valued: Iterable[Valued]) -> None:
        """What was taken has been valued, or a part of it.

        :param seen: the prices that it was valued by
        """
        for held, described, worth in valued:
            identity = described[0].id
            is_open = self._held.get(identity) is held
            if is_open and held.described is described and self._are_newest(seen, held):
                self._exchange(held, worth)
                self._unvalued.pop(identity, None)

    def _are_newest(self, seen: Mapping[int, Prices], held: Held) -> bool:
        newest, symbol_id, converter = self._seen, held.described[0].symbol_id, held.converter
        return newest.get(symbol_id) is seen.get(symbol_id) and (
            converter is None or newest.get(converter) is seen.get(converter)
        )

    def _exchange(self, held: Held, worth: Worth) -> None:
        before, held.worth = held.worth, worth
        change = ARITHMETIC.subtract(worth.value or ZERO, before.value or ZERO)
        self.total = ARITHMETIC.add(self.total, change)
        self._unknown += (worth.value is None) - (before.value is None)
