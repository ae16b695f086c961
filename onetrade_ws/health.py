"""What ``health()`` returns."""

from __future__ import annotations

from enum import Enum, unique
from typing import Optional

import attrs


@unique
class HealthStatus(Enum):
    """A connection's health in one word."""

    #: Open, and quotes that are subscribed to keep coming, or none are.
    LIVE = "live"
    #: Open, but no quote came for ``stale_after`` seconds: the market is closed, or the feed behind the server is dead.
    STALE = "stale"
    #: Not open.
    DOWN = "down"


@attrs.frozen(kw_only=True)
class Health:
    """How a client's connection is, at one moment.

    :ivar status: in one word
    :ivar connected: whether it is open
    :ivar session_valid: whether the server accepted the session when it was last asked, and has not logged it out
        since; None before the first answer
    :ivar last_message_age: seconds since the last message came, heartbeat answers left out; None before the first
    :ivar last_quote_age: seconds since the last quote came; None before the first
    :ivar heartbeat_round_trip: seconds from the last answered heartbeat to its answer; None when not connected,
        and before the first answer
    """

    status: HealthStatus
    connected: bool
    session_valid: Optional[bool]
    last_message_age: Optional[float]
    last_quote_age: Optional[float]
    heartbeat_round_trip: Optional[float]
