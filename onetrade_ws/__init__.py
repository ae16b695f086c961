"""A synchronous, threaded client for the OneTrade WebTrader WebSocket API.

Everything that a program needs is here: :class:`OneTradeClient`, the event types, the models and the exceptions.
"""

from __future__ import annotations

from .account import Account
from .client import OneTradeClient
from .config import PRICE_COLUMNS, ReconnectPolicy
from .delivery.observers import Subscription
from .delivery.waiting import EventStream, Expectation
from .errors import (
    AuthenticationError,
    CallbackThreadError,
    CertificateError,
    ConfigurationError,
    ConnectError,
    ConnectionClosedError,
    ConnectionEndedError,
    ConnectionLostError,
    ConnectionStalledError,
    ConnectTimeoutError,
    DecodeError,
    EncodeError,
    HandshakeError,
    NetworkError,
    NotConnectedError,
    OneTradeError,
    QueueFullError,
    ReconnectFailedError,
    ServerError,
    SessionInUseError,
    SessionLoggedOutError,
    SlowConsumerError,
    WaitTimeoutError,
)
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
    "AuthenticationError",
    "CallbackError",
    "CallbackThreadError",
    "CertificateError",
    "ChannelType",
    "ClientEventType",
    "ConfigurationError",
    "ConnectError",
    "ConnectTimeoutError",
    "ConnectionClosedError",
    "ConnectionEndedError",
    "ConnectionLostError",
    "ConnectionStalledError",
    "ConnectionState",
    "Deal",
    "DecodeError",
    "DirectionType",
    "EncodeError",
    "Event",
    "EventMessageType",
    "EventStream",
    "Expectation",
    "Gap",
    "HandshakeError",
    "Journal",
    "NetworkError",
    "NotConnectedError",
    "Notification",
    "OneTradeClient",
    "OneTradeError",
    "Order",
    "OrderStatus",
    "OrderType",
    "Position",
    "PositionStatus",
    "ProfitUpdate",
    "QueueFullError",
    "Quote",
    "ReasonType",
    "ReconnectFailedError",
    "ReconnectPolicy",
    "Reconnecting",
    "Report",
    "ServerError",
    "SessionInUseError",
    "SessionLoggedOutError",
    "SessionLogout",
    "SideType",
    "SlowConsumer",
    "SlowConsumerError",
    "StateChange",
    "Stats",
    "Subscription",
    "Symbol",
    "SymbolStatus",
    "WaitTimeoutError",
]
