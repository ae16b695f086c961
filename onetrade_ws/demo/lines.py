"""The demo as plain lines: for pipes, files and terminals without a cursor."""

from __future__ import annotations

from typing import Dict, Hashable, Optional, TextIO

from .. import Event, EventMessageType, EventStream
from . import figures, wording
from .catalogue import Catalogue
from .scenario import Scenario

_SPACING = 5.0  # seconds between two lines about the same symbol's quote, or the same position's profit


class Lines:
    """Writes one line for each event. Quotes and profits come by the dozen: of one symbol, or one position, a line
    is written at most every five seconds."""

    def __init__(self, out: TextIO, catalogue: Catalogue) -> None:
        self._out = out
        self._catalogue = catalogue
        self._written_at: Dict[
            Hashable, float
        ] = {}  # by what must not come too often, seconds since the epoch

    def write(self, line: str) -> None:
        """Write a line at once, with ``?`` for what the stream's encoding does not have.

        :raises BrokenPipeError: when nobody reads any more
        """
        encoding = self._out.encoding or "utf-8"
        self._out.write(line.encode(encoding, "replace").decode(encoding) + "\n")
        self._out.flush()

    def add(self, event: Event) -> None:
        """Write an event's line, unless it comes too soon."""
        subject = _subject(event)
        if subject is not None:
            written_at = self._written_at.get(subject)
            if written_at is not None and 0 <= event.received_at - written_at < _SPACING:
                return
            self._written_at[subject] = event.received_at
        clock, kind = figures.clock(event.received_at), wording.kind(event.type)
        self.write(f"{clock}  {kind:16}  {wording.describe(event, self._catalogue)}".rstrip())

    def watch(self, stream: EventStream, scenario: Scenario) -> None:
        """Write what comes, until the scenario is over. On the calling thread; blocks.

        :raises OneTradeError: why the client ended before
        """
        while scenario.proceed():
            # It pauses when nothing comes for a moment, so that the scenario goes on all the same.
            for event in stream:
                self.add(event)
                if not scenario.proceed():
                    return


def _subject(event: Event) -> Optional[Hashable]:
    if event.type is EventMessageType.MARKET_FEED:
        return event.type, event.data.symbol_id
    if event.type is EventMessageType.PROFIT_UPDATE:
        return event.type, event.data.position_id
    return None
