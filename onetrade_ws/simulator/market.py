"""The market: a dozen symbols, their prices, and a seeded random walk. No I/O and no clock."""

from __future__ import annotations

import random
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Dict, Optional, Tuple

ACCOUNT_CURRENCY = "USD"
_RATE_STEP = Decimal("1e-10")
_HALF_BACK = 0.001  # share of the way home that each move takes on average: keeps prices sensible for days


@dataclass(frozen=True)
class Instrument:
    """What does not change about a symbol.

    Attributes:
        id: Its number on the wire.
        name: ``"EURUSD"``.
        desc: For people.
        base: Currency (or metal, coin, index) that is bought.
        quote: Currency that the price, and so the raw profit, is in.
        digits: Decimal places of a price; the last is a point.
        contract_size: Units of `base` in one lot.
        bid: The price it starts with.
        spread: Usual distance of ask from bid, in points.
        swing: Standard deviation of one move of the random walk, in points.
        min_volume, max_volume, step: In lots.
        commission: Charged for one lot, once, in account currency.
    """

    id: int
    name: str
    desc: str
    base: str
    quote: str
    digits: int
    contract_size: Decimal
    bid: Decimal
    spread: int
    swing: float
    min_volume: Decimal = Decimal("0.01")
    max_volume: Decimal = Decimal("100")
    step: Decimal = Decimal("0.01")
    commission: Decimal = Decimal("0")

    @property
    def point(self) -> Decimal:
        """The smallest step of the price."""
        return Decimal(1).scaleb(-self.digits)

    def round_price(self, price: Decimal) -> Decimal:
        """A price with exactly the symbol's digits."""
        return price.quantize(self.point, ROUND_HALF_UP)


def _forex(
    symbol_id: int, name: str, desc: str, digits: int, bid: str, spread: int, swing: float
) -> Instrument:
    return Instrument(
        symbol_id,
        name,
        desc,
        name[:3],
        name[3:],
        digits,
        Decimal(100_000),
        Decimal(bid),
        spread,
        swing,
        commission=Decimal("3.50"),
    )


INSTRUMENTS: Tuple[Instrument, ...] = (
    _forex(1, "EURUSD", "Euro vs US Dollar", 5, "1.08512", 8, 4.0),
    _forex(2, "GBPUSD", "Pound Sterling vs US Dollar", 5, "1.26480", 11, 5.0),
    _forex(3, "USDJPY", "US Dollar vs Japanese Yen", 3, "151.243", 10, 6.0),
    _forex(4, "AUDUSD", "Australian Dollar vs US Dollar", 5, "0.65817", 9, 3.5),
    _forex(5, "USDCHF", "US Dollar vs Swiss Franc", 5, "0.90156", 12, 3.5),
    _forex(6, "USDCAD", "US Dollar vs Canadian Dollar", 5, "1.36020", 14, 4.0),
    _forex(7, "EURJPY", "Euro vs Japanese Yen", 3, "164.117", 16, 7.0),
    _forex(8, "EURGBP", "Euro vs Pound Sterling", 5, "0.85794", 12, 3.0),
    Instrument(
        9, "XAUUSD", "Gold, troy ounce", "XAU", "USD", 2, Decimal(100), Decimal("2332.15"), 25, 18.0,
        max_volume=Decimal(50), commission=Decimal("5.00"),
    ),
    Instrument(
        10, "XAGUSD", "Silver, troy ounce", "XAG", "USD", 3, Decimal(5000), Decimal("27.415"), 20, 9.0,
        max_volume=Decimal(50), commission=Decimal("5.00"),
    ),
    Instrument(
        11, "US500", "S&P 500 index", "US500", "USD", 1, Decimal(10), Decimal("5204.3"), 5, 4.0,
        min_volume=Decimal("0.1"), step=Decimal("0.1"),
    ),
    Instrument(
        12, "BTCUSD", "Bitcoin vs US Dollar", "BTC", "USD", 2, Decimal(1), Decimal("68250.00"), 1500, 900.0,
        max_volume=Decimal(20),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Price:
    """A symbol's prices now.

    Attributes:
        last: Price of the last trade; the bid unless it was set by hand.
        volume: Traded since the start, in lots.
        high, low: Highest and lowest bid since the start.
    """

    bid: Decimal
    ask: Decimal
    last: Decimal
    volume: Decimal
    high: Decimal
    low: Decimal


class Market:
    """Prices of all symbols. The caller serialises access."""

    def __init__(self, seed: int) -> None:
        self.instruments: Dict[int, Instrument] = {item.id: item for item in INSTRUMENTS}
        self._by_name = {item.name: item for item in INSTRUMENTS}
        self._random = random.Random(seed)
        self._home: Dict[int, Decimal] = {}  # where the walk is drawn to
        self._prices: Dict[int, Price] = {}
        for item in INSTRUMENTS:
            self._home[item.id] = item.bid
            ask = item.bid + item.spread * item.point
            self._prices[item.id] = Price(item.bid, ask, item.bid, Decimal(0), item.bid, item.bid)

    def price(self, symbol_id: int) -> Price:
        """The current prices of a symbol that exists."""
        return self._prices[symbol_id]

    def frame(self, symbol_id: int) -> Optional[bytes]:
        """The payload of a price frame (vendor SDK's layout), None for an unknown symbol."""
        price = self._prices.get(symbol_id)
        if price is None:
            return None
        numbers = (price.bid, price.ask, price.last, price.volume, price.high, price.low)
        return ",".join([str(symbol_id), *(format(number, "f") for number in numbers)]).encode("ascii")

    def set(
        self,
        symbol_id: int,
        bid: Decimal,
        ask: Optional[Decimal] = None,
        last: Optional[Decimal] = None,
        volume: Optional[Decimal] = None,
    ) -> None:
        """Sets a price by hand; the random walk goes on from there.

        Raises:
            ValueError: A price is not above zero, or the ask is below the bid.
        """
        item = self.instruments[symbol_id]
        bid = item.round_price(bid)
        ask = bid + item.spread * item.point if ask is None else item.round_price(ask)
        last = bid if last is None else item.round_price(last)
        if bid <= 0 or last <= 0:
            raise ValueError("a price must be above zero")
        if ask < bid:
            raise ValueError("the ask must not be below the bid")
        self._home[symbol_id] = bid
        self._put(symbol_id, bid, ask, last, self._prices[symbol_id].volume + 1 if volume is None else volume)

    def move(self, symbol_id: int) -> None:
        """One step of the random walk of one symbol."""
        item = self.instruments[symbol_id]
        bid = self._prices[symbol_id].bid
        pull = float(self._home[symbol_id] - bid) / float(item.point) * _HALF_BACK
        points = round(self._random.gauss(pull, item.swing))
        wider = self._random.randrange(max(2, item.spread // 4))
        bid = max(bid + points * item.point, item.point)
        volume = self._prices[symbol_id].volume + self._random.randint(1, 9)
        self._put(symbol_id, bid, bid + (item.spread + wider) * item.point, bid, volume)

    def pick(self) -> int:
        """The symbol that moves next in a live market."""
        return self._random.choice(INSTRUMENTS).id

    def _put(self, symbol_id: int, bid: Decimal, ask: Decimal, last: Decimal, volume: Decimal) -> None:
        before = self._prices[symbol_id]
        high, low = max(before.high, bid), min(before.low, bid)
        self._prices[symbol_id] = Price(bid, ask, last, volume, high, low)

    def conversion(self, currency: str) -> Optional[Instrument]:
        """The symbol whose price converts a currency into the account's, None when there is nothing to do."""
        if currency == ACCOUNT_CURRENCY:
            return None
        direct = self._by_name.get(currency + ACCOUNT_CURRENCY)
        return direct if direct is not None else self._by_name[ACCOUNT_CURRENCY + currency]

    def rate(self, currency: str) -> Decimal:
        """One unit of a currency in account currency: the bid of the converting symbol, or its inverse."""
        symbol = self.conversion(currency)
        if symbol is None:
            return Decimal(1)
        bid = self._prices[symbol.id].bid
        return (bid if symbol.base == currency else 1 / bid).quantize(_RATE_STEP, ROUND_HALF_UP)
