"""The sum of what open positions are worth, whoever values them, in whatever order that is put back."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any, Dict, List, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onetrade_ws import Position, Quote
from onetrade_ws.account.holdings import Holdings, Taken, Valued
from onetrade_ws.account.money import ARITHMETIC, CENT
from onetrade_ws.account.pricing import Described, Prices, Pricing, Trial
from onetrade_ws.account.symbols import Symbols
from tests.account.test_figures import EURJPY, EURUSD, USDJPY, position, quote

EURO, YEN, CROSS = EURUSD.id, USDJPY.id, EURJPY.id
CONVERTER = {EURO: None, CROSS: YEN}
OPEN = {EURO: Decimal("1.1"), CROSS: Decimal("164")}
PRICE = {EURO: Decimal("1.1"), CROSS: Decimal("164"), YEN: Decimal("150")}


class Desk:
    """Holdings, and what they should be."""

    def __init__(self) -> None:
        self.quotes: Dict[int, Quote] = {}
        self.prices: Dict[int, Decimal] = {}
        for symbol_id in PRICE:
            self.move(symbol_id, 1)
        self.pricing = Pricing("USD", CENT, Symbols([EURUSD, USDJPY, EURJPY]))
        self.moved_by: Dict[int, Dict[int, Any]] = {}
        self.holdings = Holdings(self.quotes, self.moved_by, self.pricing, is_known=True)
        self.open: Dict[int, Described] = {}
        self.taken: List[Tuple[Taken, Decimal]] = []
        self.valued: List[Tuple[Taken, Valued]] = []

    def move(self, symbol_id: int, steps: int) -> None:
        """Another price."""
        price = PRICE[symbol_id] + steps * Decimal("0.01")
        self.prices[symbol_id] = price
        self.quotes[symbol_id] = quote(symbol_id, float(price), float(price))

    def describe(self, identity: int, symbol_id: int, is_right: bool) -> None:
        """The server tells of a position: with the profit that prices make of it, or another one."""
        before = self.open.get(identity)
        if before is not None:
            symbol_id = before[0].symbol_id
        converter = CONVERTER[symbol_id]
        move = (self.prices[symbol_id] - OPEN[symbol_id]) * 100_000
        if converter is not None:
            move *= (1 / self.prices[converter]).quantize(Decimal("1e-10"), context=ARITHMETIC)
        profit = float(move.quantize(CENT, context=ARITHMETIC)) if is_right else 7.77
        one = self._position(identity, symbol_id, profit)
        conversion = None if converter is None else self.quotes.get(converter)
        self.open[identity] = (one, self.quotes.get(symbol_id), conversion)
        if before is None:
            self.holdings.add(one)
        else:
            assert self.holdings.put(one)

    def _position(self, identity: int, symbol_id: int, profit: float) -> Position:
        price = float(OPEN[symbol_id])
        return position(
            identity, symbol_id=symbol_id, price_open=price, profit=profit, total_profit=profit, extra={}
        )

    def close(self, identity: int) -> None:
        """A position is closed, if it is open."""
        self.open.pop(identity, None)
        self.holdings.remove(identity)

    def take(self) -> None:
        """Somebody takes what is to be valued."""
        self.holdings.note_quotes()
        seen = {symbol_id: Prices.of(one) for symbol_id, one in self.quotes.items()}
        with localcontext(ARITHMETIC):
            values = [
                self.pricing.value(self.pricing.route_of(described[0]), described, Trial(), seen)[0]
                for described in self.open.values()
            ]
        assert None not in values
        self.taken.append((self.holdings.take(), sum(filter(None, values), Decimal(0))))

    def value(self, which: int) -> None:
        """Somebody values what was taken: the sum is that of then."""
        if self.taken:
            taken, expected = self.taken[which % len(self.taken)]
            with localcontext(ARITHMETIC):
                valued = taken.value()
            assert valued.total == expected
            self.valued.append((taken, valued))

    def put_back(self, which: int, start: int) -> None:
        """Somebody puts back a part of what was valued."""
        if self.valued:
            taken, valued = self.valued[which % len(self.valued)]
            self.holdings.put_back(taken, valued, start, start + 2)

    def ask(self) -> Taken:
        """All of it at once."""
        self.take()
        self.value(-1)
        taken, valued = self.valued[-1]
        self.holdings.put_back(taken, valued, 0, len(taken.held))
        return taken


identities, nth = st.integers(1, 3), st.integers(-3, -1)
steps = st.one_of(
    st.tuples(st.just("move"), st.sampled_from([*PRICE]), st.integers(1, 2)),
    st.tuples(st.just("describe"), identities, st.sampled_from([EURO, CROSS]), st.booleans()),
    st.tuples(st.just("close"), identities),
    st.tuples(st.just("take")),
    st.tuples(st.just("value"), nth),
    st.tuples(st.just("put_back"), nth, st.integers(0, 1)),
)


@settings(max_examples=10 * settings().max_examples)
@given(st.lists(steps, min_size=8, max_size=40))
def test_whatever_is_put_back_when_the_sum_is_that_of_now(done: List[Tuple[Any, ...]]) -> None:
    desk = Desk()
    for name, *arguments in done:
        getattr(desk, name)(*arguments)
    desk.ask()
    for identity in list(desk.open):
        desk.close(identity)
    desk.ask()
    assert desk.holdings.take().held == []
    assert not desk.moved_by


def test_what_was_put_back_is_not_valued_again() -> None:
    desk = Desk()
    desk.describe(1, EURO, True)
    desk.describe(2, CROSS, True)
    desk.ask()
    assert desk.holdings.take().held == []
    desk.move(YEN, 2)
    assert [held.described[0].id for held in desk.ask().held] == [2]


@pytest.mark.parametrize("symbol_id", [EURO, YEN], ids=["its price", "the price that converts"])
def test_who_finishes_late_leaves_what_newer_prices_make_of_it_to_who_has_seen_them(symbol_id: int) -> None:
    desk = Desk()
    desk.describe(1, EURO if symbol_id == EURO else CROSS, True)
    for price in (2, 3):
        desk.move(symbol_id, price)
        desk.take()
        desk.value(-1)
    desk.put_back(0, 0)
    # And if that one does not come, to the next one who asks.
    assert len(desk.ask().held) == 1
    desk.put_back(1, 0)
    assert desk.ask().held == []


def test_a_position_that_was_opened_again_is_not_taken_for_what_it_was() -> None:
    desk = Desk()
    desk.describe(1, EURO, True)
    desk.describe(2, EURO, True)
    desk.take()
    desk.value(-1)
    desk.close(1)
    desk.describe(1, EURO, False)
    desk.put_back(0, 0)
    desk.ask()
