"""The records of many binary frames at once: as rows of one JSON text, which a parser reads without a detour.

A record is all but a JSON array already. What is not, or holds what only :mod:`.records` can judge, is left to that.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import attrs

from .drafts import draft_of
from .enums import EventMessageType
from .events import Event
from .models import ProfitUpdate, Quote
from .parsers import Parser, Refused, Row
from .records import PROFIT_COLUMNS, split_records

#: Whether it is a profit, and how many commas it has.
_Shape = Tuple[bool, int]
_Loop = Callable[[Sequence[Row], Sequence[bytes], float], List[Event]]

_MINUS_ZERO = re.compile(rb"-0[ ,\]]")

# Of so few records that are not all for here, each is left to others.
_WORTH_IT = 4

# The mark is no column.
_PROFIT_COLUMNS = PROFIT_COLUMNS[1:]


class RowDecoder:
    """Makes events of records. Not thread-safe.

    :param price_columns: the names of a price record's columns, in their order
    """

    def __init__(self, parser: Parser, price_columns: Sequence[str]) -> None:
        self._parser = parser
        self._price_columns = tuple(price_columns)
        # By shape, of those that are for here.
        self._loops: Dict[_Shape, _Loop] = {}

    def decode(
        self, payloads: Sequence[bytes], received_at: float
    ) -> Tuple[List[Optional[Event]], List[Tuple[int, bytes]]]:
        """The events of binary frames, one a record.

        :returns: the events in their order; and where None stands among them, with the record that is left to others
        """
        records = payloads
        text = b"],[".join(payloads)
        # Outside of the usual, there may be several records in a frame, or none.
        if b"\n" in text or b"\r" in text or b" " in text:
            records = [
                record for payload in payloads for record in (list(split_records(payload)) or [payload])
            ]
            text = b"],[".join(records)
        try:
            return list(self._decode(_shape(records[0]), text, records, received_at)), []
        except Refused:
            return self._decode_by_shape(records, received_at)

    def _decode_by_shape(
        self, records: Sequence[bytes], received_at: float
    ) -> Tuple[List[Optional[Event]], List[Tuple[int, bytes]]]:
        by_shape: Dict[_Shape, List[int]] = {}
        for place, record in enumerate(records):
            by_shape.setdefault(_shape(record), []).append(place)
        events: List[Optional[Event]] = [None] * len(records)
        refused: List[int] = []
        todo = list(by_shape.items())
        while todo:
            shape, places = todo.pop()
            chosen = [records[place] for place in places]
            try:
                decoded = self._decode(shape, b"],[".join(chosen), chosen, received_at)
            except Refused:
                # Halves of it, so that one odd record does not hold up a thousand others.
                middle = len(places) // 2
                if self._loops.get(shape) is None or middle < _WORTH_IT:
                    refused += places
                else:
                    todo += (shape, places[:middle]), (shape, places[middle:])
            else:
                for place, event in zip(places, decoded):
                    events[place] = event
        return events, [(place, records[place]) for place in refused]

    def _decode(
        self, shape: _Shape, text: bytes, records: Sequence[bytes], received_at: float
    ) -> List[Event]:
        loop = self._loops.get(shape)
        if loop is None:
            loop = self._loops[shape] = self._make_loop(shape)
        # Blanks around a number are no matter, other white space is. A null is nobody's word for an empty column.
        if b"\t" in text or b"\r" in text or b"n" in text:
            raise Refused
        is_profit, commas = shape
        text = b"[[" + text + b"]]"
        # An integer has no sign when it is zero, a column has.
        if b"-" in text and _MINUS_ZERO.search(text):
            raise Refused
        if is_profit:
            # A price record of three columns would look like a profit without its mark.
            if text.count(b"[s,") != len(records):
                raise Refused
            text = text.replace(b"[s,", b"[")
        width = commas if is_profit else commas + 1
        try:
            rows = self._parser.parse_rows(text, width)
        except Refused:
            # To look for empty columns in each text would cost half as much as to read it.
            rows = self._rows_with_blanks(text, is_profit, width)
        # A record that holds a bracket may look like two.
        if len(rows) != len(records):
            raise Refused
        return loop(rows, records, received_at)

    def _rows_with_blanks(self, text: bytes, is_profit: bool, width: int) -> List[Row]:
        if b",," not in text and b",]" not in text:
            raise Refused
        # Twice: what is replaced does not overlap.
        text = text.replace(b",,", b",null,").replace(b",,", b",null,").replace(b",]", b",null]")
        rows = self._parser.parse_rows(text, width)
        if any(row[place] is None for place in self._required(is_profit) for row in rows):
            raise Refused
        return rows

    def _required(self, is_profit: bool) -> Sequence[int]:
        if is_profit:
            return 1, 2
        return [self._price_columns.index(column) for column in ("bid", "ask")]

    def _make_loop(self, shape: _Shape) -> _Loop:
        is_profit, commas = shape
        if is_profit:
            if commas != len(_PROFIT_COLUMNS):
                raise Refused
            return _generate(ProfitUpdate, _PROFIT_COLUMNS)
        columns = self._price_columns[: commas + 1]
        known = {field.name for field in attrs.fields(Quote)} - {"extra"}
        if len(columns) <= commas or columns[0] != "symbol_id" or not {"bid", "ask"} <= set(columns) <= known:
            raise Refused
        return _generate(Quote, columns)


def _shape(record: bytes) -> _Shape:
    return record[:1] == b"s", record.count(b",")


def _generate(model: Any, columns: Sequence[str]) -> _Loop:
    """A loop that makes events of rows. Generated, because a call a row would cost a quarter more."""
    missing = [field.name for field in attrs.fields(model) if field.name not in (*columns, "extra")]
    source = f"""
def loop(rows, records, received_at):
    events = []
    append = events.append
    for row, record in zip(rows, records):
        data = Draft()
        {", ".join(f"data.{column}" for column in columns)} = row
        {"".join(f"data.{name} = None; " for name in missing)}data.extra = {{}}
        data.__class__ = Model
        event = EventDraft()
        event.type = event_type
        event.data = data
        event.received_at = received_at
        event.raw = record
        event.__class__ = Event
        append(event)
    return events
"""
    names: Dict[str, Any] = {
        "Draft": draft_of(model),
        "Model": model,
        "EventDraft": draft_of(Event),
        "Event": Event,
        "event_type": EventMessageType.MARKET_FEED if model is Quote else EventMessageType.PROFIT_UPDATE,
    }
    exec(source, names)  # noqa: S102 - of names from our own models alone
    loop: _Loop = names["loop"]
    return loop
