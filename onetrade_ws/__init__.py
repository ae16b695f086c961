"""A synchronous, threaded client for the OneTrade WebTrader WebSocket API.

Everything that a program needs is here: :class:`OneTradeClient`, the event types, the models and the exceptions.
"""

from __future__ import annotations

from .account import Account
from .client import OneTradeClient
from .config import PRICE_COLUMNS, ReconnectPolicy
from .delivery.observers import Subscription
from .delivery.waiting import EventStream, Expectation
from .errors import *  # noqa: F403 - the tree at the top of errors.py
from .errors import __all__ as _errors
from .protocol.enums import (
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
from .protocol.events import (
    CallbackError,
    ClientEventType,
    ConnectionState,
    Event,
    Gap,
    Reconnecting,
    SlowConsumer,
    StateChange,
)
from .protocol.models import (
    Deal,
    Journal,
    Notification,
    Order,
    Position,
    ProfitUpdate,
    Quote,
    Report,
    SessionLogout,
    Symbol,
)
from .stats import Stats

__version__ = "0.1.0"

__all__ = [
    "PRICE_COLUMNS",
    "Account",
    "CallbackError",
    "ChannelType",
    "ClientEventType",
    "ConnectionState",
    "Deal",
    "DirectionType",
    "Event",
    "EventMessageType",
    "EventStream",
    "Expectation",
    "Gap",
    "Journal",
    "Notification",
    "OneTradeClient",
    "Order",
    "OrderStatus",
    "OrderType",
    "Position",
    "PositionStatus",
    "ProfitUpdate",
    "Quote",
    "ReasonType",
    "ReconnectPolicy",
    "Reconnecting",
    "Report",
    "SessionLogout",
    "SideType",
    "SlowConsumer",
    "StateChange",
    "Stats",
    "Subscription",
    "Symbol",
    "SymbolStatus",
    *_errors,
]
