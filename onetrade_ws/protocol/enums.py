"""The enumerations of the wire.

Event types are strings (specification); every other enumeration is an integer (vendor SDK). A broker adds
values before clients know them, so the integer enumerations are *open*: a number outside the table becomes a
member named ``UNKNOWN_<number>`` that keeps the number and compares by it.
"""

from __future__ import annotations

from enum import Enum, IntEnum, unique
from typing import Any


@unique
class EventMessageType(str, Enum):
    """Every message type of the specification, and one name for each of the two kinds of binary frame.

    ``deals_create``, ``deals_update``, ``journal_create`` and ``report_create`` are missing from the
    specification's own enumeration but described in its text. ``ping`` and ``pong`` are listed there as event
    types; the heartbeat itself is the raw text ``9`` answered by ``10``, and is never delivered.
    """

    # System messages
    INFO = "info"
    ERROR = "error"
    PING = "ping"
    PONG = "pong"

    # Session management
    SESSION_LOGOUT = "session_logout"

    # Market data subscription (outgoing)
    MARKET_SUBSCRIBE_SYMBOL = "market_subscribe_symbol"
    MARKET_UNSUBSCRIBE_SYMBOL = "market_unsubscribe_symbol"

    # Account updates (outgoing)
    START_ACCOUNT_ALL = "start_account_all"
    STOP_ACCOUNT_ALL = "stop_account_all"

    # Orders
    ORDERS_PLACE = "orders_place"
    ORDERS_UPDATE = "orders_update"
    ORDERS_CANCEL = "orders_cancel"
    ORDERS_EXPIRED = "orders_expired"
    ORDERS_REJECTED = "orders_rejected"
    ORDERS_REQUOTED = "dealing_order_requote"

    # Positions
    POSITIONS_OPEN = "positions_open"
    POSITIONS_UPDATE = "positions_update"
    POSITIONS_CLOSE = "positions_close"

    # Deals, journal, reports
    DEALS_CREATE = "deals_create"
    DEALS_UPDATE = "deals_update"
    JOURNAL_CREATE = "journal_create"
    REPORT_CREATE = "report_create"

    # Binary frames: these two names never travel on the wire
    MARKET_FEED = "market_feed"
    PROFIT_UPDATE = "profit_update"

    def __str__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    # Python changed what format() does for mixed-in enumerations in 3.8, 3.11 and 3.12; ours never changes.
    def __format__(self, format_spec: str) -> str:
        return format(str(self), format_spec)


class OpenIntEnum(IntEnum):
    """An integer enumeration that accepts numbers it does not know."""

    @classmethod
    def _missing_(cls, value: object) -> Any:
        if type(value) is not int:
            return None
        # Not cached: a hostile server could otherwise make the table grow without bound.
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = value
        return member

    # By number: by name, as some releases of Python do it, an unknown member would not be found again.
    def __reduce_ex__(self, protocol: Any) -> Any:
        return type(self), (self._value_,)

    @property
    def known(self) -> bool:
        """Whether the number is in the vendor's table."""
        return self._value_ in type(self)._value2member_map_

    def __str__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    # An explicit integer format ("d", "03d", "x", …) still gives the number.
    def __format__(self, format_spec: str) -> str:
        if format_spec and format_spec[-1] in "bcdoxXn":
            return format(int(self), format_spec)
        return format(str(self), format_spec)


@unique
class OrderType(OpenIntEnum):
    """How an order executes (vendor SDK)."""

    MARKET = 0
    BUY_LIMIT = 1
    BUY_STOP = 2
    SELL_LIMIT = 3
    SELL_STOP = 4
    BUY_STOP_LIMIT = 5
    SELL_STOP_LIMIT = 6


@unique
class SideType(OpenIntEnum):
    """Direction of an order, position or deal; balance and credit are account operations (vendor SDK)."""

    BUY = 0
    SELL = 1
    BALANCE = 2
    CREDIT = 3


@unique
class OrderStatus(OpenIntEnum):
    """Life of an order (vendor SDK). The specification's ``PENDING`` is 0, ``PLACED``."""

    PLACED = 0
    STARTED = 1
    PARTIALLY_FILLED = 2
    FILLED = 3
    CANCELED = 4
    REJECTED = 5
    EXPIRED = 6
    REQUOTED = 7


@unique
class PositionStatus(OpenIntEnum):
    """Life of a position (vendor SDK)."""

    OPEN = 0
    CLOSING = 1
    CLOSED = 2


@unique
class ReasonType(OpenIntEnum):
    """Why an order, position or deal came to be (vendor SDK)."""

    CLIENT = 0
    SCRIPT = 1
    DEALER = 2
    STOP_LOSS = 3
    TAKE_PROFIT = 4
    TAKE_PROFIT_STOP_LOSS = 5
    STOP_OUT = 6
    ROLLOVER = 7
    EXTERNAL_CLIENT = 8
    VARIATION_MARGIN = 9
    GATEWAY = 10
    SIGNAL = 11
    SETTLEMENT = 12
    TRANSFER = 13
    SYNCHRONIZATION = 14
    EXTERNAL_SERVICE = 15
    MOBILE = 16
    WEB = 17
    SPLIT = 18
    MIGRATION = 19


@unique
class DirectionType(OpenIntEnum):
    """Whether a deal enters or leaves a position (vendor SDK)."""

    IN = 0
    OUT = 1


@unique
class ChannelType(OpenIntEnum):
    """Through what a deal or a journal entry was made (vendor SDK)."""

    MOBILE = 0
    WEB = 1
    DESKTOP = 2
    API = 3
    SCRIPT = 4
    SYSTEM = 5
    SDK = 6


@unique
class SymbolStatus(OpenIntEnum):
    """Whether a symbol is traded and quoted (vendor SDK)."""

    ENABLED = 0
    DISABLED = 1
    TRADE_CLOSED_QUOTE_CLOSED = 2
    TRADE_CLOSED_QUOTE_OPEN = 3
    TRADE_OPEN_QUOTE_CLOSED = 4
    TIMED_OUT = 5
    TIME_LIMIT_EXPIRED = 6
