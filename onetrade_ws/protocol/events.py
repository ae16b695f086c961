"""What reaches an observer: events from the server, and events from the client itself."""

from __future__ import annotations

from enum import Enum, unique
from typing import Any, Callable, Optional, Tuple, Union

import attrs

from ..errors import OneTradeError
from .enums import EventMessageType


@unique
class ConnectionState(Enum):
    """What may be assumed about the connection (specification)."""

    #: An attempt to connect is under way, or the next one is being waited for. What is sent now waits.
    CONNECTING = "connecting"
    #: The connection is established; what is sent now goes out at once.
    OPEN = "open"
    #: ``disconnect()`` is under way, or the client has given up. Nothing more is sent.
    CLOSING = "closing"
    #: There is no connection and none is attempted. ``connect()`` makes one.
    CLOSED = "closed"


@unique
class ClientEventType(Enum):
    """What the client itself has to say. None of these is a wire type, and none can be forged by the server."""

    #: The connection's state changed. ``data``: :class:`StateChange`
    STATE_CHANGED = "state_changed"
    #: The connection was lost, or an attempt to restore it failed; another follows. ``data``: :class:`Reconnecting`
    RECONNECTING = "reconnecting"
    #: Open again after a loss; what the server sent in between is missed. ``data``: :class:`Gap`
    GAP = "gap"
    #: The account is being loaded over HTTP: after connecting, and after each loss. ``data``: None
    RESYNCING = "resyncing"
    #: It has been loaded, and the mirror is up to date. ``data``: :class:`Resynced`
    RESYNCED = "resynced"
    #: It could not be loaded: what the mirror holds may be out of date. ``data``: the :exc:`.OneTradeError`
    RESYNC_FAILED = "resync_failed"
    #: Quotes that are subscribed to have stopped coming; the connection is kept. ``data``: :class:`Stale`
    STALE = "stale"
    #: After ``STALE``: they come again, or none are subscribed to any more. ``data``: :class:`Recovered`
    RECOVERED = "recovered"
    #: "session is already used": two tabs. ``data``: :exc:`.SessionInUseError`
    SESSION_IN_USE = "session_in_use"
    #: Our session was logged out; the client ends. ``data``: :exc:`.SessionLoggedOutError`
    SESSION_LOGGED_OUT = "session_logged_out"
    #: A frame could not be decoded; ``raw`` holds it. ``data``: :exc:`.DecodeError`
    DECODE_ERROR = "decode_error"
    #: An observer raised. ``data``: :class:`CallbackError`
    CALLBACK_ERROR = "callback_error"
    #: Observers are so slow that the event queue is full, although quotes and profit updates have been merged: reading
    #: has stopped, the server is held back by TCP. It is delivered before what waits, and once until the queue has been
    #: half empty.
    #: ``data``: :class:`SlowConsumer`
    SLOW_CONSUMER = "slow_consumer"


EventType = Union[EventMessageType, ClientEventType, str]


@attrs.frozen
class Event:
    """One thing that happened.

    :ivar type: an :class:`.EventMessageType`, a :class:`ClientEventType`, or for a type that this library does not
        know the string that the server sent
    :ivar data: the typed model; for an unknown type the decoded JSON; None where the type has no data
    :ivar received_at: when it was read from the socket (or happened, for the client's own), seconds since the epoch
    :ivar raw: the bytes as they came: the message, or the record's line of a binary frame; empty for the client's
        own events other than ``DECODE_ERROR``. Not in the repr: it may hold what should not be logged.
    """

    type: EventType
    data: Any = None
    received_at: float = 0.0
    raw: bytes = attrs.field(default=b"", repr=False)


@attrs.frozen(kw_only=True)
class StateChange:
    """The connection went from one state to another.

    :ivar reason: the error behind it, None when it was asked for
    """

    old: ConnectionState
    new: ConnectionState
    reason: Optional[OneTradeError] = None


@attrs.frozen(kw_only=True)
class Reconnecting:
    """Another attempt follows.

    :ivar attempt: its number since the loss, from 1
    :ivar delay: seconds until it begins: as the policy has it, or as the server asked where that is longer
    :ivar reason: the loss, or why the attempt before it failed
    """

    attempt: int
    delay: float
    reason: OneTradeError


@attrs.frozen(kw_only=True)
class Gap:
    """The client was deaf for a while: what the server sent then is missed.

    :ivar started_at: the last sign of life before the loss, seconds since the epoch
    :ivar ended_at: when the connection was open again, seconds since the epoch
    :ivar reason: the loss
    """

    started_at: float
    ended_at: float
    reason: OneTradeError


@unique
class SyncState(Enum):
    """What may be assumed about a part of the mirror."""

    #: As the server has it, but for what is on its way.
    CURRENT = "current"
    #: Being compared with the server.
    LOADING = "loading"
    #: What was known last. Something may have been missed since.
    STALE = "stale"


@attrs.frozen
class CollectionStatus:
    """How far a part of the mirror can be relied on.

    :ivar since: since when, seconds since the epoch; of ``STALE``: the last moment at which it was known to be current,
        or when the client was made
    :ivar reason: why it could not be loaded
    """

    state: SyncState
    since: float
    reason: Optional[OneTradeError] = None


@attrs.frozen(kw_only=True)
class Changes:
    """What is different in a part of the mirror from what it was before.

    Prices and floating profits, which always move, do not count.

    :ivar appeared: objects that were not known
    :ivar changed: pairs of an object as it was and as it is; one that is over by now is among these where the server
        still tells of it
    :ivar vanished: live objects, as they were, that the server tells of no more
    """

    appeared: Tuple[Any, ...] = ()
    changed: Tuple[Tuple[Any, Any], ...] = ()
    vanished: Tuple[Any, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.appeared or self.changed or self.vanished)


@attrs.frozen(kw_only=True)
class Resynced:
    """The mirror is up to date, by a snapshot of the server's. What is different, nobody was told of by other events.

    :ivar started_at: since when something may have been missed, seconds since the epoch; None the first time
    :ivar orders: of :class:`.Order`
    :ivar positions: of :class:`.Position`
    :ivar deals: of :class:`.Deal`
    """

    started_at: Optional[float] = None
    orders: Changes = Changes()
    positions: Changes = Changes()
    deals: Changes = Changes()


@attrs.frozen(kw_only=True)
class Stale:
    """No quote came for ``stale_after`` seconds, of any symbol.

    :ivar started_at: when the last one came, or when they could have begun to, seconds since the epoch
    :ivar symbol_ids: what is subscribed to
    """

    started_at: float
    symbol_ids: Tuple[int, ...]


@attrs.frozen(kw_only=True)
class Recovered:
    """Quotes come again.

    :ivar started_at: that of :class:`Stale`
    :ivar ended_at: when it was over, seconds since the epoch
    """

    started_at: float
    ended_at: float


@attrs.frozen(kw_only=True)
class CallbackError:
    """An observer raised. The observers after it were called all the same.

    :ivar event: what it was called with
    :ivar callback: the observer
    :ivar error: what it raised, with its traceback
    """

    event: Event
    callback: Callable[[Event], object]
    error: BaseException


@attrs.frozen(kw_only=True)
class SlowConsumer:
    """The event queue is full.

    :ivar queued_bytes: what waits in it
    :ivar limit: the ``queue_limit`` setting, bytes
    """

    queued_bytes: int
    limit: int
