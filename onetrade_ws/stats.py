"""What ``stats()`` returns."""

from __future__ import annotations

from typing import Mapping, Optional

import attrs

from .protocol.events import EventType


@attrs.frozen(kw_only=True)
class Stats:
    """A snapshot of a client's counters and gauges, since it was made.

    :ivar connections: how many times the connection was opened, the first time included
    :ivar frames_received: data frames that came, heartbeat answers left out
    :ivar bytes_received: bytes that came over the WebSocket, TLS taken off; of the present connection up to the last
        data frame
    :ivar messages_written: messages that went out, heartbeats left out
    :ivar messages_waiting: messages in the outgoing queue
    :ivar messages_unknown: messages that were written, and left in doubt by a loss: see :class:`.OutgoingMessage`
    :ivar events: how many events were delivered, by type; those of types that this library does not know together
        under ``"unknown"``
    :ivar merged_events: quotes and profit updates that gave way to newer ones: in the event queue, because callbacks
        did not keep up, and in ``events()`` iterators that were not read
    :ivar decoded_events: how many of the server's events were decoded: those of a type that nobody asked for, and that
        the mirror has no use for, are counted without it where msgspec is installed
    :ivar decode_errors: frames that could not be decoded
    :ivar callback_errors: callbacks that raised
    :ivar queued_bytes: what waits in the event queue
    :ivar queued_bytes_high_water: the most that ever waited in it
    :ivar lag_median: seconds from the receipt of a message to its first callback, the median of the recent past: of the
        last 1,000 batches, each measured by its first message; None before the first
    :ivar lag_p99: likewise, what 99 of 100 stay below
    :ivar reconnects: attempts to reconnect, by the name of the error behind each: ``{"ConnectionStalledError": 1}``
    :ivar heartbeat_round_trip: seconds from the last answered heartbeat to its answer; None when not connected,
        and before the first answer
    """

    connections: int
    frames_received: int
    bytes_received: int
    messages_written: int
    messages_waiting: int
    messages_unknown: int
    events: Mapping[EventType, int]
    merged_events: int
    decoded_events: int
    decode_errors: int
    callback_errors: int
    queued_bytes: int
    queued_bytes_high_water: int
    lag_median: Optional[float]
    lag_p99: Optional[float]
    reconnects: Mapping[str, int]
    heartbeat_round_trip: Optional[float]
