"""What the server talks about: orders, positions, deals, journal entries, reports, symbols, prices.

Frozen, slotted attrs classes whose field names are the wire's. The fields are those of the specification
(:class:`Symbol`, which it leaves undefined, :class:`Quote` and :class:`ProfitUpdate`: the vendor SDK's). Whatever
else the server sends, today or after its next release, is kept as decoded JSON in ``extra``, by its wire name; the
order of the names there says nothing.

Volumes are in lots, prices in the symbol's quote currency, money (profit, swap, commission, …) in the account's
deposit currency, and times are aware datetimes, None where the server left them unset.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Mapping, Optional, Union

import attrs

from .enums import (
    ChannelType,
    DirectionType,
    EventMessageType,
    OrderStatus,
    OrderType,
    PositionStatus,
    ReasonType,
    SideType,
    SymbolStatus,
)


def _extra() -> Any:
    # Not hashed: a dict cannot be.
    return attrs.field(factory=dict, hash=False)


@attrs.frozen(kw_only=True)
class Symbol:
    """An instrument (vendor SDK; the specification uses it without defining it).

    ``symbol`` is its name ("EURUSD"). ``digits`` counts the decimals of its prices; ``contract_size`` is units per
    lot; ``min_value``, ``max_value`` and ``step`` limit a volume in lots; ``spread`` and ``stop_level`` are in
    points. ``trade_level`` and ``enabled`` are documented nowhere and stay as they came.
    """

    id: int
    symbol: str
    desc: Optional[str] = None
    base_currency: Optional[str] = None
    quote_currency: Optional[str] = None
    digits: Optional[int] = None
    contract_size: Optional[float] = None
    tick_size: Optional[float] = None
    tick_value: Optional[float] = None
    min_value: Optional[float] = None
    max_value: Optional[float] = None
    step: Optional[float] = None
    spread: Optional[float] = None
    stop_level: Optional[float] = None
    swap_long: Optional[float] = None
    swap_short: Optional[float] = None
    status: Optional[SymbolStatus] = None
    trade_level: Any = attrs.field(default=None, hash=False)
    enabled: Any = attrs.field(default=None, hash=False)
    isin: Optional[str] = None
    extra: Mapping[str, Any] = _extra()


@attrs.frozen(kw_only=True)
class Order:
    """An order (specification).

    ``volume_initial`` and ``volume_current`` are lots: asked for, and not yet filled. ``price_order`` is the price
    asked for, ``price_current`` the market's, ``price_sl`` and ``price_tp`` the stops. ``symbol`` is None when the
    server sent the id alone.
    """

    id: int
    account_id: int
    symbol_id: int
    symbol: Optional[Symbol] = None
    type: OrderType
    side: SideType
    volume_initial: float
    volume_current: float
    price_order: float
    price_current: float
    price_sl: Optional[float] = None
    price_tp: Optional[float] = None
    status: OrderStatus = OrderStatus.PLACED
    reason: Optional[ReasonType] = None
    comment: Optional[str] = None
    external_id: Optional[str] = None
    created_at: Optional[datetime] = None
    updated_at: Optional[datetime] = None
    time_setup: Optional[datetime] = None
    time_expiration: Optional[datetime] = None
    time_done: Optional[datetime] = None
    extra: Mapping[str, Any] = _extra()


@attrs.frozen(kw_only=True)
class Position:
    """A position (specification).

    ``volume_initial`` and ``volume_current`` are lots: opened, and still open. ``profit`` is the floating result of
    the prices alone, ``total_profit`` includes swaps and charges; ``swaps`` and ``storage`` as the server books
    them. All money in the deposit currency.
    """

    id: int
    account_id: int
    symbol_id: int
    symbol: Optional[Symbol] = None
    side: SideType
    volume_initial: float
    volume_current: float
    price_open: float
    price_current: float
    price_sl: Optional[float] = None
    price_tp: Optional[float] = None
    profit: float = 0.0
    total_profit: float = 0.0
    swaps: float = 0.0
    storage: float = 0.0
    status: PositionStatus = PositionStatus.OPEN
    reason: Optional[ReasonType] = None
    comment: Optional[str] = None
    external_id: Optional[str] = None
    created_at: Optional[datetime] = None
    updated_at: Optional[datetime] = None
    extra: Mapping[str, Any] = _extra()


@attrs.frozen(kw_only=True)
class Deal:
    """A trade execution (specification).

    ``volume`` is lots; ``price`` the execution price and ``entry`` the price at which the position was entered;
    ``profit``, ``profit_raw``, ``commission``, ``swap``, ``fee`` and ``storage`` are money; ``market_bid``,
    ``market_ask`` and ``market_last`` the market at that moment.
    """

    id: int
    account_id: int
    order_id: int
    position_id: int
    symbol_id: int
    symbol: Optional[Symbol] = None
    side: SideType
    direction: DirectionType
    volume: float
    price: float
    entry: float
    profit: float
    profit_raw: float
    commission: float
    swap: float
    fee: float
    storage: float
    market_bid: float
    market_ask: float
    market_last: float
    reason: ReasonType
    channel: ChannelType
    comment: Optional[str] = None
    external_id: Optional[str] = None
    created_at: Optional[datetime] = None
    updated_at: Optional[datetime] = None
    extra: Mapping[str, Any] = _extra()


@attrs.frozen(kw_only=True)
class Journal:
    """An entry of the activity log (specification)."""

    id: int
    user_id: int
    desc: str
    ip: str
    device: str
    os: str
    channel: ChannelType
    created_at: Optional[datetime] = None
    extra: Mapping[str, Any] = _extra()


@attrs.frozen(kw_only=True)
class Report:
    """A requested report, ready at ``url`` (specification).

    The values of ``type`` and ``status`` are documented nowhere: they stay the integer or string that came.
    """

    id: int
    user_id: int
    type: Union[int, str]
    status: Union[int, str]
    kind: str
    desc: str
    query: str
    url: str
    extra: Mapping[str, Any] = _extra()


@attrs.frozen(kw_only=True)
class NotificationText:
    """The data of an ``info`` or ``error`` message as it travels (specification)."""

    message: str
    extra: Mapping[str, Any] = _extra()


@attrs.frozen(kw_only=True)
class Notification:
    """Something the server wants the user to read (specification): ``type`` is ``INFO`` or ``ERROR``."""

    type: EventMessageType
    message: str
    extra: Mapping[str, Any] = _extra()


@attrs.frozen(kw_only=True)
class SessionLogout:
    """A session was logged out from another place (specification). The id is a credential: no repr shows it."""

    session_id: str = attrs.field(repr=False)
    extra: Mapping[str, Any] = _extra()


@attrs.frozen(kw_only=True)
class Quote:
    """A price frame (vendor SDK): the newest prices of one symbol.

    Columns that the server left out or empty are None. Columns beyond the known ones are in ``extra`` as text, by
    the name that the ``price_columns`` setting gives them, or else by their position from 0: ``{"7": "0.1"}``.
    """

    symbol_id: int
    bid: float
    ask: float
    last: Optional[float] = None
    volume: Optional[float] = None
    high: Optional[float] = None
    low: Optional[float] = None
    extra: Mapping[str, str] = _extra()


@attrs.frozen(kw_only=True)
class ProfitUpdate:
    """A profit frame (vendor SDK): the floating profit of one open position, in the deposit currency.

    ``profit`` and ``total_profit`` as in :class:`Position`. Further columns are in ``extra`` as text, by their
    position from 0.
    """

    position_id: int
    profit: float
    total_profit: float
    extra: Mapping[str, str] = _extra()


@attrs.frozen(kw_only=True)
class TradingAccount:
    """The account's own figures, as the server counts them (the vendor SDK names the call, not its fields; what the
    server leaves out is None).

    Money is in ``currency``. ``equity`` is ``balance + credit + profit``, ``margin_free`` is ``equity - margin``, and
    ``margin_level`` is ``equity`` in percent of ``margin``.
    """

    id: Optional[int] = None
    user_id: Optional[int] = None
    currency: Optional[str] = None
    digits_currency: Optional[int] = None
    leverage: Optional[float] = None
    balance: Optional[float] = None
    credit: Optional[float] = None
    profit: Optional[float] = None
    equity: Optional[float] = None
    margin: Optional[float] = None
    margin_free: Optional[float] = None
    margin_level: Optional[float] = None
    extra: Mapping[str, Any] = _extra()


@attrs.frozen(kw_only=True)
class Candle:
    """The prices of one period (vendor SDK): ``time`` is when it begins."""

    time: datetime
    open: float
    high: float
    low: float
    close: float
    volume: Optional[float] = None
    extra: Mapping[str, Any] = _extra()
