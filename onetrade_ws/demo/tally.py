"""What the summary at the end says."""

from __future__ import annotations

import time
from collections import deque
from typing import Callable, Deque, List, Optional, Sequence

from .. import ClientEventType, Event, Gap, Stats
from . import figures, wording

_LATENCIES_KEPT = 100_000
_COLUMNS, _COLUMN_WIDTH = 3, 26


class Tally:
    """Counts what ``stats()`` does not: how long events took from the socket to the callback, and deaf times.

    :param now: seconds since the epoch
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        #: How many gaps there were.
        self.gaps = 0
        #: The newest of them.
        self.last_gap: Optional[Gap] = None
        #: How long they lasted together, in seconds.
        self.deaf = 0.0
        self._now = now
        # Seconds, of the newest events from the server. Written on the thread that runs callbacks, read after it.
        self._latencies: Deque[float] = deque(maxlen=_LATENCIES_KEPT)

    def add(self, event: Event) -> None:
        """The callback."""
        if not isinstance(event.type, ClientEventType):
            # The wall clock may have been set back meanwhile.
            self._latencies.append(max(0.0, self._now() - event.received_at))
        elif event.type is ClientEventType.GAP:
            self.gaps += 1
            self.last_gap = event.data
            self.deaf += event.data.ended_at - event.data.started_at

    def summary(self, stats: Stats, seconds: float) -> List[str]:
        """The summary's lines.

        :param stats: of the client, when it was disconnected
        :param seconds: how long it was watched
        """
        events = sum(stats.events.values())
        rate = events / seconds if seconds > 0 else 0.0
        lines = [
            "",
            f"Summary: {figures.count(events, 'event')} in {seconds:.1f} s, {rate:,.1f} a second",
            "",
        ]
        lines += _in_columns(_counts(stats))
        return [*lines, "", self._latency(), self._connection(stats), _errors(stats)]

    def _latency(self) -> str:
        latencies = sorted(self._latencies)
        if not latencies:
            return "latency from socket to callback: nothing arrived"
        median, p99 = (figures.milliseconds(latencies[int(len(latencies) * share)]) for share in (0.5, 0.99))
        return f"latency from socket to callback: median {median}, p99 {p99}"

    def _connection(self, stats: Stats) -> str:
        text = figures.count(max(0, stats.connections - 1), "reconnect")
        if self.last_gap is not None:
            start, end = figures.clock(self.last_gap.started_at), figures.clock(self.last_gap.ended_at)
            text += f", {figures.count(self.gaps, 'gap')}: deaf for {self.deaf:.2f} s"
            text += f", {'' if self.gaps == 1 else 'the last time '}{start} to {end}"
        return text


def _counts(stats: Stats) -> List[str]:
    counted = {wording.kind(event_type): number for event_type, number in stats.events.items()}
    order = {name: place for place, name in enumerate(wording.KINDS.values())}
    names = sorted(counted, key=lambda name: (order.get(name, len(order)), name))
    return [f"{counted[name]:>9,}  {name}" for name in names]


def _in_columns(cells: Sequence[str]) -> List[str]:
    rows = -(-len(cells) // _COLUMNS)
    return ["".join(cell.ljust(_COLUMN_WIDTH) for cell in cells[row::rows]).rstrip() for row in range(rows)]


def _errors(stats: Stats) -> str:
    decode = figures.count(stats.decode_errors, "decode error")
    callback = figures.count(stats.callback_errors, "callback error")
    return f"{decode}, {callback}"
