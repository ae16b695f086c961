"""What prices make of a position, in the account's money: pure calculations."""

from __future__ import annotations

from decimal import Decimal
from typing import Dict, Mapping, NamedTuple, Optional, Tuple

from ..protocol.enums import SideType
from ..protocol.models import Position, Quote, Symbol
from .money import ONE, exact
from .symbols import Symbols

_RATE_STEP = Decimal("1e-10")

#: A position as the server described it last, its symbol's newest quote then, and the newest one then of what converts.
#: A plain tuple: one is made for each profit update.
Described = Tuple[Position, Optional[Quote], Optional[Quote]]


class Route(NamedTuple):
    """How a symbol's prices become the account's money.

    :ivar converter: the id of the symbol that converts; None: nothing to convert
    :ivar is_direct: whether its price is that of the symbol's currency, or of the account's
    """

    converter: Optional[int]
    is_direct: bool


class Prices(NamedTuple):
    """A quote's prices, exactly; None for one that cannot be."""

    quote: Quote
    bid: Optional[Decimal]
    ask: Optional[Decimal]

    @classmethod
    def of(cls, quote: Quote) -> Prices:
        return cls(quote, exact(quote.bid), exact(quote.ask))


class Terms(NamedTuple):
    """What is the same for each price of a position.

    :ivar factor: money in the symbol's currency for a move of the price by 1
    :ivar charges: what is in its total profit besides the profit
    """

    price_open: Decimal
    factor: Decimal
    charges: Decimal


class Trial(NamedTuple):
    """The calculation was tried on a position.

    :ivar described: how that was described; None: on none
    :ivar terms: None: the calculation does not give the profit that the server said
    """

    described: Optional[Described] = None
    terms: Optional[Terms] = None


class Pricing:
    """Nothing in it changes, so that any thread may calculate with it; in a context of
    :data:`~onetrade_ws.account.money.ARITHMETIC`.

    :param currency: the account's
    :param cent: the smallest part of it
    :param symbols: all there are
    """

    def __init__(self, currency: Optional[str], cent: Decimal, symbols: Symbols) -> None:
        self.cent = cent
        self._currency = currency
        self._symbols = symbols
        # By base and quote currency; None: by several.
        self._pairs: Dict[Tuple[str, str], Optional[int]] = {}
        for symbol in symbols.values():
            pair = (symbol.base_currency or "", symbol.quote_currency or "")
            self._pairs[pair] = None if pair in self._pairs else symbol.id

    def size_of(self, position: Position) -> Optional[Decimal]:
        """What is open of a position, in units; None: not known."""
        told = position.extra.get("contract_size")
        if told is None:
            symbol = self._symbol_of(position)
            told = None if symbol is None else symbol.contract_size
        size, volume = exact(told), exact(position.volume_current)
        return None if size is None or volume is None or size <= 0 or volume < 0 else size * volume

    def route_of(self, position: Position) -> Optional[Route]:
        """How its prices become the account's money; None: not known."""
        symbol = self._symbol_of(position)
        if symbol is None or not symbol.quote_currency or not self._currency:
            return None
        there, here = symbol.quote_currency, self._currency
        if there == here:
            return Route(None, True)
        is_direct = (there, here) in self._pairs
        converter = self._pairs.get((there, here) if is_direct else (here, there))
        return None if converter is None else Route(converter, is_direct)

    def _symbol_of(self, position: Position) -> Optional[Symbol]:
        return self._symbols.get(position.symbol_id) or position.symbol

    def value(
        self, route: Optional[Route], described: Described, trial: Trial, seen: Mapping[int, Prices]
    ) -> Tuple[Optional[Decimal], Trial]:
        """What a position is worth, its total profit: what the server said, or, when prices are newer than that, by
        them, if the same calculation with the prices of then gives what the server said then. None: not known.

        :param trial: the last one on this position, however it was described
        :param seen: the newest prices, by symbol id
        :returns: and the last trial from here on
        """
        position, quote, quote_of_converter = described
        if route is not None:
            prices = seen.get(position.symbol_id)
            conversion = None if route.converter is None else seen.get(route.converter)
            is_newer = (prices and prices.quote) is not quote
            if is_newer or (conversion and conversion.quote) is not quote_of_converter:
                if trial.described is not described:
                    trial = Trial(described, self._terms_of(route, described))
                terms = trial.terms
                if terms is not None:
                    profit = self._profit_of(terms, position.side, route, prices, conversion)
                    return None if profit is None else profit + terms.charges, trial
        return exact(position.total_profit), trial

    def _terms_of(self, route: Route, described: Described) -> Optional[Terms]:
        position, quote, quote_of_converter = described
        profit, total = exact(position.profit), exact(position.total_profit)
        size, price = self.size_of(position), exact(position.price_open)
        # That nothing is nothing, whatever it is multiplied by, would prove nothing.
        if not profit or total is None or size is None or price is None:
            return None
        if position.side not in (SideType.BUY, SideType.SELL):
            return None
        terms = Terms(price, size if position.side == SideType.BUY else -size, total - profit)
        prices = None if quote is None else Prices.of(quote)
        conversion = None if quote_of_converter is None else Prices.of(quote_of_converter)
        then = self._profit_of(terms, position.side, route, prices, conversion)
        return terms if then == profit else None

    def _profit_of(
        self,
        terms: Terms,
        side: SideType,
        route: Route,
        prices: Optional[Prices],
        conversion: Optional[Prices],
    ) -> Optional[Decimal]:
        """What prices make of a position: it is closed at the bid when it was bought, else at the ask."""
        price = prices and (prices.bid if side == SideType.BUY else prices.ask)
        rate = ONE if route.converter is None else (conversion and conversion.bid)
        if price is None or rate is None or rate <= 0:
            return None
        if route.converter is not None:
            rate = (rate if route.is_direct else ONE / rate).quantize(_RATE_STEP)
        return ((price - terms.price_open) * terms.factor * rate).quantize(self.cent)
