"""What the books hold: orders, positions, deals, journal entries and reports.

Times are nanoseconds since the epoch, volumes lots, money and prices decimals.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from decimal import Decimal
from typing import Deque, Dict, Generic, List, Optional, Tuple, TypeVar, Union

from ..protocol.enums import (
    ChannelType,
    DirectionType,
    OrderStatus,
    OrderType,
    PositionStatus,
    ReasonType,
    SideType,
)
from .market import Instrument

ZERO = Decimal(0)

WORKING = (OrderStatus.PLACED, OrderStatus.STARTED, OrderStatus.PARTIALLY_FILLED, OrderStatus.REQUOTED)


class Refused(ValueError):
    """The books do not allow this."""


class NotFound(LookupError):
    """There is nothing with that id."""


@dataclass(eq=False)
class Order:
    """An order."""

    id: int
    instrument: Instrument
    type: OrderType
    side: SideType
    volume_initial: Decimal
    volume_current: Decimal  # what is left to fill
    price_order: Decimal
    created_at: int
    reason: ReasonType
    channel: ChannelType
    price_trigger: Optional[Decimal] = None
    price_sl: Optional[Decimal] = None
    price_tp: Optional[Decimal] = None
    time_expiration: Optional[int] = None
    comment: Optional[str] = None
    external_id: Optional[str] = None
    status: OrderStatus = OrderStatus.PLACED
    updated_at: Optional[int] = None
    time_done: Optional[int] = None
    position_id: Optional[int] = None  # the position it opened, or closes
    triggered: bool = False  # a stop limit order that waits as a limit order now

    @property
    def working(self) -> bool:
        """Whether anything can still happen to it."""
        return self.status in WORKING


@dataclass(eq=False)
class Position:
    """A position."""

    id: int
    instrument: Instrument
    side: SideType
    volume_initial: Decimal
    volume_current: Decimal
    price_open: Decimal
    price_current: Decimal
    rate_margin: Decimal
    rate_profit: Decimal
    created_at: int
    reason: ReasonType
    channel: ChannelType
    price_sl: Optional[Decimal] = None
    price_tp: Optional[Decimal] = None
    profit: Decimal = ZERO
    swaps: Decimal = ZERO
    commission: Decimal = ZERO
    comment: Optional[str] = None
    external_id: Optional[str] = None
    status: PositionStatus = PositionStatus.OPEN
    updated_at: Optional[int] = None
    # what the deals that left it have realised so far
    realised_profit: Decimal = ZERO
    realised_swaps: Decimal = ZERO
    realised_commission: Decimal = ZERO

    @property
    def open(self) -> bool:
        """Whether it is not closed."""
        return self.status != PositionStatus.CLOSED

    @property
    def total_profit(self) -> Decimal:
        """Profit with swaps and commission."""
        return self.profit + self.swaps - self.commission


@dataclass(eq=False)
class Deal:
    """A trade, or an operation on the balance (without an instrument)."""

    id: int
    instrument: Optional[Instrument]
    order_id: int
    position_id: int
    side: SideType
    direction: DirectionType
    volume: Decimal
    price: Decimal
    entry: Decimal  # the price at which the position was opened
    profit_raw: Decimal
    commission: Decimal
    swap: Decimal
    reason: ReasonType
    channel: ChannelType
    market: Tuple[Decimal, Decimal, Decimal]  # bid, ask, last
    rate_profit: Decimal
    created_at: int
    price_sl: Optional[Decimal] = None
    price_tp: Optional[Decimal] = None
    fee: Decimal = ZERO
    comment: Optional[str] = None
    external_id: Optional[str] = None
    updated_at: Optional[int] = None

    @property
    def profit(self) -> Decimal:
        """What the balance changed by."""
        return self.profit_raw + self.swap - self.commission - self.fee


@dataclass(eq=False)
class JournalEntry:
    """A line of the activity log."""

    id: int
    desc: str
    channel: ChannelType
    created_at: int


@dataclass(eq=False)
class Report:
    """A report that is ready."""

    id: int
    kind: str
    created_at: int


@dataclass(frozen=True)
class Account:
    """The account's figures at one moment, in account currency."""

    balance: Decimal
    credit: Decimal
    profit: Decimal
    equity: Decimal
    margin: Decimal
    margin_free: Decimal
    margin_level: Decimal  # per cent; 0 without positions
    leverage: int


Record = Union[Order, Position, Deal, JournalEntry, Report]
R = TypeVar("R", Order, Position, Deal, JournalEntry, Report)


class Shelf(Generic[R]):
    """Records by id. Finished ones stay until there are more of them than the limit; then the oldest goes."""

    def __init__(self, what: str, limit: int) -> None:
        self._what = what
        self._limit = limit
        self._records: Dict[int, R] = {}
        self._finished: Deque[int] = deque()

    def add(self, record: R) -> None:
        """Takes a new record."""
        self._records[record.id] = record

    def finish(self, record: R) -> None:
        """The record belongs to the history from now on."""
        self._finished.append(record.id)
        if len(self._finished) > self._limit:
            del self._records[self._finished.popleft()]

    def get(self, record_id: int) -> R:
        """The record with that id. Raises NotFound."""
        try:
            return self._records[record_id]
        except (KeyError, TypeError):
            raise NotFound(f"no {self._what} with id {record_id}") from None

    def find(self, record_id: int) -> Optional[R]:
        """The record with that id, None when there is none (any more)."""
        return self._records.get(record_id)

    def all(self) -> List[R]:
        """All records, the oldest first."""
        return list(self._records.values())
