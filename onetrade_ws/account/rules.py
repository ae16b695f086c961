"""By which rules the account's figures follow from one another, and from when on.

A rule is tried at the snapshot, on what the server itself says there, and applied from the first change on:

``balance``, ``credit``
    As the server said. A deal changes the balance by its ``profit``, if that is ``profit_raw`` with swap and charges:
    tried on each deal (:mod:`~onetrade_ws.account.ledger`).
a position's profit by quotes
    Tried, with the quotes of then, on each word of the server on that profit; where it does not give it, that word
    stays (:mod:`~onetrade_ws.account.pricing`).
``profit`` is the sum of the positions' ``total_profit``
    *Taken for granted*, since prices may move between the calls of a snapshot, so that a sum that differs disproves
    nothing. It is disproven in one case: the server's profit is not that sum but the one of the positions' ``profit``,
    without charges, and no event told of a profit or of a position while the snapshot was taken.
``margin`` is the sum of the positions'
    Tried on what was open when the snapshot had come, and at each moment while it was taken; if it held at none, again
    whenever a position changes (:mod:`~onetrade_ws.account.margin`). Where nothing was open, and the server says that
    there is no margin, there is nothing to try it on: *taken for granted*.
``equity``, ``margin_free``, ``margin_level``
    Tried on the account's own figures alone. The level without any margin says nothing of the level with one: that
    rule is *taken for granted* then.

A figure whose rule does not hold stays the server's while nothing that it depends on is different from then: the profit
while the sum is what it was at the snapshot; the margin while no position's margin has changed; equity while balance,
credit and profit, and the free margin and the level while these and the margin are what the server said. After that it
is None.

A figure whose rule holds is None while something that it is made of is not known: the balance after a deal that is not
understood; profit and margin where it is not known which positions are open, and between a deal and what it makes of
its position (:mod:`~onetrade_ws.account.pairing`); the profit while a position's value is not known. Whatever is made
of a figure that is None is None.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Iterable, NamedTuple, Optional

import attrs

from ..protocol.models import Position, TradingAccount
from .money import CENT, ZERO, exact

_HUNDRED = Decimal(100)


class Numbers(NamedTuple):
    """The figures, exactly."""

    balance: Optional[Decimal]
    credit: Optional[Decimal]
    profit: Optional[Decimal]
    equity: Optional[Decimal]
    margin: Optional[Decimal]
    margin_free: Optional[Decimal]
    margin_level: Optional[Decimal]

    @classmethod
    def of(cls, account: TradingAccount) -> Numbers:
        return cls(*(exact(getattr(account, name)) for name in cls._fields))


@attrs.frozen(kw_only=True)
class Rules:
    """Which rules hold since a snapshot.

    :ivar told: what the server said
    :ivar profit_at_first: the sum of the positions' profits at the snapshot
    :ivar level_without_margin: what the margin level is without any margin
    """

    told: Numbers
    profit_at_first: Decimal
    sums_profit: bool
    sums_equity: bool
    gives_margin_free: bool
    gives_margin_level: bool
    level_without_margin: Optional[Decimal]

    @classmethod
    def tried(cls, told: Numbers, profit: Decimal, positions: Iterable[Position], is_quiet: bool) -> Rules:
        """Try the rules. In a context of :data:`~onetrade_ws.account.money.ARITHMETIC`.

        :param profit: the sum of the open positions' profits, as far as they are known
        :param positions: the open positions
        :param is_quiet: whether no event has told of a profit or a position while the snapshot was taken
        """
        # A server whose profit is that of the prices alone counts otherwise.
        of_prices = [exact(position.profit) for position in positions]
        is_of_prices = None not in of_prices and sum(filter(None, of_prices), ZERO) == told.profit
        equity, margin, is_level_right = told.equity, told.margin, False
        if equity is not None and margin is not None:
            is_level_right = not margin or told.margin_level == _level(equity, margin)
        return cls(
            told=told,
            profit_at_first=profit,
            sums_profit=told.profit == profit or not (is_quiet and is_of_prices),
            sums_equity=(
                told.balance is not None
                and told.profit is not None
                and equity == told.balance + (told.credit or ZERO) + told.profit
            ),
            gives_margin_free=(
                equity is not None and margin is not None and told.margin_free == equity - margin
            ),
            gives_margin_level=is_level_right,
            level_without_margin=told.margin_level if equity is not None and margin == 0 else ZERO,
        )

    def applied(
        self,
        balance: Optional[Decimal],
        credit: Optional[Decimal],
        profit: Optional[Decimal],
        margin: Optional[Decimal],
    ) -> Numbers:
        """What the figures are now. In a context of :data:`~onetrade_ws.account.money.ARITHMETIC`.

        :param profit: the sum of the open positions' profits
        :param margin: the account's margin
        """
        told = self.told
        if profit is not None and not self.sums_profit:
            profit = told.profit if profit == self.profit_at_first else None
        equity = free = level = None
        if self.sums_equity:
            if balance is not None and profit is not None:
                equity = balance + (credit or ZERO) + profit
        elif None not in (balance, profit):
            is_as_told = (balance, credit, profit) == (told.balance, told.credit, told.profit)
            equity = told.equity if is_as_told else None
        now = (balance, profit, margin)
        if None not in now and (*now, credit) == (told.balance, told.profit, told.margin, told.credit):
            equity, free, level = told.equity, told.margin_free, told.margin_level
        elif equity is not None and margin is not None:
            free = equity - margin if self.gives_margin_free else None
            if not margin:
                level = self.level_without_margin
            elif self.gives_margin_level:
                level = _level(equity, margin)
        return Numbers(balance, credit, profit, equity, margin, free, level)


def _level(equity: Decimal, margin: Decimal) -> Decimal:
    return (equity / margin * _HUNDRED).quantize(CENT)
