"""The two layouts of binary frames (vendor SDK): comma-separated text, one record a line.

A price record is ``symbol_id,bid,ask,last,volume,high,low``, a profit record ``s,position_id,profit,total_profit``.
The specification only says "comma-separated values", so what it leaves open is taken both ways: blanks around a
value, an empty optional column (None) and empty lines between records do not matter. Numbers are read as JSON writes
them, and nothing else is taken for one.
"""

from __future__ import annotations

import math
import re
from typing import Dict, Iterator, List, Sequence, Union

from .models import ProfitUpdate, Quote

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,19})")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")

_OPTIONAL_COLUMNS = frozenset({"last", "volume", "high", "low"})
PROFIT_COLUMNS = ("s", "position_id", "profit", "total_profit")


class RecordError(ValueError):
    """A record cannot be read.

    :ivar column: the name of the column, or "" for the record as a whole
    :ivar reason: what is wrong
    """

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(column, reason)
        self.column = column
        self.reason = reason


def _integer(column: str, text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise RecordError(column, "expected an integer")
    return int(text)


def _number(column: str, text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise RecordError(column, "expected a number")
    number = float(text)
    if not math.isfinite(number):
        raise RecordError(column, "a number too large for a float")
    return number


def split_records(payload: bytes) -> Iterator[bytes]:
    """The lines of a frame that hold something."""
    for line in payload.split(b"\n"):
        record = line.strip(b"\r ")
        if record:
            yield record


def holds_quotes(payload: bytes) -> bool:
    """Whether a binary frame looks as if it holds prices: a record that is not marked as a profit."""
    first = payload[:1]
    if first == b"s" and b"\n" not in payload:
        return False
    return first.isdigit() or any(record[:1] != b"s" for record in split_records(payload))


def _values(record: bytes) -> List[str]:
    try:
        return [value.strip(" ") for value in record.decode("utf-8").split(",")]
    except UnicodeDecodeError:
        raise RecordError("", "not UTF-8") from None


def parse_record(record: bytes, price_columns: Sequence[str]) -> Union[Quote, ProfitUpdate]:
    """The quote or the profit update that a line of a binary frame holds.

    :param price_columns: the names of a price record's columns, in their order
    :raises RecordError: when it holds neither
    """
    values = _values(record)
    if values[0] == "s":
        return _profit(values)
    return _quote(values, price_columns)


def _profit(values: List[str]) -> ProfitUpdate:
    if len(values) < len(PROFIT_COLUMNS):
        raise RecordError(PROFIT_COLUMNS[len(values)], "a short profit frame: column missing")
    return ProfitUpdate(
        position_id=_integer("position_id", values[1]),
        profit=_number("profit", values[2]),
        total_profit=_number("total_profit", values[3]),
        extra={str(index): value for index, value in enumerate(values) if index >= len(PROFIT_COLUMNS)},
    )


def _quote(values: List[str], columns: Sequence[str]) -> Quote:
    known: Dict[str, Union[int, float]] = {}
    extra: Dict[str, str] = {}
    for index, value in enumerate(values):
        column = columns[index] if index < len(columns) else str(index)
        if column == "symbol_id":
            known[column] = _integer(column, value)
        elif column in ("bid", "ask"):
            known[column] = _number(column, value)
        elif column in _OPTIONAL_COLUMNS:
            if value:
                known[column] = _number(column, value)
        else:
            extra[column] = value
    for column in ("symbol_id", "bid", "ask"):
        if column not in known:
            raise RecordError(column, "a short price frame: column missing")
    return Quote(extra=extra, **known)  # type: ignore[arg-type]  # symbol_id alone is an int
