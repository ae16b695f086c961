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

    Of a field that is left out here, only the name is documented.

    :ivar symbol: its name: ``"EURUSD"``
    :ivar digits: decimals of its prices
    :ivar contract_size: units per lot
    :ivar min_value: the smallest volume, in lots
    :ivar max_value: the largest volume, in lots
    :ivar step: what a volume goes up by, in lots
    :ivar spread: in points
    :ivar stop_level: in points
    :ivar status: whether it is traded and quoted
    :ivar trade_level: documented nowhere: as it came
    :ivar enabled: documented nowhere: as it came
    :ivar extra: what else came, by its wire name: among it margins and sessions
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

    The specification names the fields and explains none: what stands here is what the names mean in the trade. Of one
    that is left out, no more is known.

    :ivar id: may exceed ``2**53``
    :ivar symbol: None: the server sent ``symbol_id`` alone
    :ivar type: market, or which kind of limit or stop
    :ivar side: ``BUY`` or ``SELL``
    :ivar volume_initial: lots asked for
    :ivar volume_current: lots not yet filled
    :ivar price_order: asked for, in the symbol's quote currency, as all prices; of a requoted order the one
        that the server offers
    :ivar price_current: the market's
    :ivar price_sl: stop loss; None: the server sent none
    :ivar price_tp: take profit; None: the server sent none
    :ivar status: what has become of it
    :ivar reason: why it came to be: the client, a stop loss, a rollover, …
    :ivar created_at: with a time zone; None: not set
    :ivar updated_at: with a time zone; None: not set
    :ivar time_setup: with a time zone; None: not set
    :ivar time_expiration: with a time zone; None: not set
    :ivar time_done: with a time zone; None: not set
    :ivar extra: what else came, by its wire name
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

    The specification names the fields and explains none: what stands here is what the names mean in the trade. Of one
    that is left out, no more is known.

    :ivar id: may exceed ``2**53``
    :ivar symbol: None: the server sent ``symbol_id`` alone
    :ivar side: ``BUY`` or ``SELL``
    :ivar volume_initial: lots opened
    :ivar volume_current: lots still open
    :ivar price_open: in the symbol's quote currency, as all prices
    :ivar price_current: the market's
    :ivar price_sl: stop loss; None: the server sent none
    :ivar price_tp: take profit; None: the server sent none
    :ivar profit: the floating result of the prices alone, in the account's deposit currency, as all money
    :ivar total_profit: ``profit`` with swaps and charges
    :ivar swaps: as the server books them
    :ivar storage: as the server books it
    :ivar status: open, being closed, or closed
    :ivar reason: why it came to be: the client, a stop loss, a rollover, …
    :ivar created_at: with a time zone; None: not set
    :ivar updated_at: with a time zone; None: not set
    :ivar extra: what else came, by its wire name
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

    The specification names the fields and explains none: what stands here is what the names mean in the trade. Of one
    that is left out, no more is known.

    :ivar id: may exceed ``2**53``
    :ivar symbol: None: the server sent ``symbol_id`` alone
    :ivar side: ``BUY`` or ``SELL``; ``BALANCE`` or ``CREDIT``: no trade, but an operation on the account
    :ivar direction: whether it enters or leaves a position
    :ivar volume: lots
    :ivar price: at which it was executed, in the symbol's quote currency, as all prices
    :ivar entry: the price at which the position was entered
    :ivar profit: in the account's deposit currency, as all money
    :ivar profit_raw: money
    :ivar commission: money
    :ivar swap: money
    :ivar fee: money
    :ivar storage: money
    :ivar market_bid: the market's at that moment
    :ivar market_ask: the market's at that moment
    :ivar market_last: the market's at that moment
    :ivar reason: why it came to be: the client, a stop loss, a rollover, …
    :ivar channel: through what it was made
    :ivar created_at: with a time zone; None: not set
    :ivar updated_at: with a time zone; None: not set
    :ivar extra: what else came, by its wire name
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
    """An entry of the activity log (specification, which explains none of the fields).

    :ivar channel: through what it was made
    :ivar created_at: with a time zone; None: not set
    :ivar extra: what else came, by its wire name
    """

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

    The specification explains none of the fields. Of one that is left out here, no more is known.

    :ivar type: its values are documented nowhere: the integer or string that came
    :ivar status: likewise
    :ivar url: the link to it
    :ivar extra: what else came, by its wire name
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

    Columns that the server left out or empty are None. In which unit ``volume`` is, and of what time it, ``high`` and
    ``low`` are, is documented nowhere. When it came, the event says: ``event.received_at``.

    :ivar bid: in the symbol's quote currency, as all prices
    :ivar ask: price
    :ivar last: price
    :ivar high: price
    :ivar low: price
    :ivar extra: the columns beyond the known ones as text, by the name that the ``price_columns`` setting gives them,
        or else by their position from 0: ``{"7": "0.1"}``
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

    :ivar position_id: the position's ``id``
    :ivar profit: as of :class:`Position`
    :ivar total_profit: as of :class:`Position`
    :ivar extra: further columns as text, by their position from 0
    """

    position_id: int
    profit: float
    total_profit: float
    extra: Mapping[str, str] = _extra()


@attrs.frozen(kw_only=True)
class TradingAccount:
    """The account's own figures, as the server counts them (the vendor SDK names the call, not its fields; what the
    server leaves out is None). Of a field that is left out below, no more is known than its name.

    :ivar currency: the deposit currency, in which all money here is: ``"USD"``
    :ivar balance: money
    :ivar credit: money
    :ivar profit: money
    :ivar equity: ``balance + credit + profit``
    :ivar margin: money
    :ivar margin_free: ``equity - margin``
    :ivar margin_level: ``equity`` in percent of ``margin``
    :ivar extra: what else came, by its wire name
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
    """The prices of one period (vendor SDK, which names the fields and explains none).

    :ivar time: when the period begins, with a time zone
    :ivar open: the first price, in the symbol's quote currency, as all prices
    :ivar high: the highest
    :ivar low: the lowest
    :ivar close: the last; of the period that is not over, so far
    :ivar volume: in what unit is documented nowhere; None: not told
    :ivar extra: what else came, by its wire name
    """

    time: datetime
    open: float
    high: float
    low: float
    close: float
    volume: Optional[float] = None
    extra: Mapping[str, Any] = _extra()
