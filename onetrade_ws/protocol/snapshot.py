"""What the server says over HTTP of how things are."""

from __future__ import annotations

from typing import Optional, Tuple

import attrs

from .models import Deal, Order, Position, Symbol, TradingAccount

#: What it consists of.
PARTS = ("account", "orders", "positions", "deals", "symbols")


@attrs.frozen(kw_only=True)
class Snapshot:
    """The account at one moment, or as near to it as several calls come. What the server does not offer is None.

    :ivar is_settled: whether the account's balance is that of these deals: it did not change while they were read
    """

    is_settled: bool = True
    account: Optional[TradingAccount] = None
    orders: Optional[Tuple[Order, ...]] = None
    positions: Optional[Tuple[Position, ...]] = None
    deals: Optional[Tuple[Deal, ...]] = None
    symbols: Optional[Tuple[Symbol, ...]] = None
