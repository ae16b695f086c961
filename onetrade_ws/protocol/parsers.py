"""JSON text to Python objects: by msgspec where it is installed (extra ``speed``), or else by the standard library.

Both refuse more than the protocol does, and say nothing of why: what is refused gets a second opinion.
"""

from __future__ import annotations

import json
import math
import sys
from datetime import datetime
from functools import lru_cache
from typing import Any, Dict, List, NoReturn, Optional, Sequence, Tuple, Union

from .times import parse_time

if sys.version_info >= (3, 9):
    from typing import Annotated
else:
    from typing_extensions import Annotated  # there because of cattrs

try:
    import msgspec
except ImportError:
    msgspec = None  # type: ignore[assignment]  # an extra


class Refused(ValueError):
    """It may be wrong, or only unusual."""


# The largest first column of a row that both take.
_LARGEST_ID = 2**63 - 1


class StandardParser:
    """What the standard library can do, without the guesses that it makes."""

    name = "json"

    def __init__(self) -> None:
        self._decode = json.JSONDecoder(parse_constant=_refuse).decode

    def parse(self, raw: bytes) -> Any:
        """What the text says; a number that is too large for a float may be infinite: see :meth:`check`.

        :raises Refused: when it is not JSON, or unusual
        """
        # Half of a surrogate pair, which json lets through, can only come from an escape.
        if b"\\u" in raw:
            raise Refused
        try:
            return self._decode(raw.decode("utf-8"))
        except (ValueError, RecursionError):
            raise Refused from None

    def check(self, value: Any) -> None:
        """Look at what no model looks at.

        :raises Refused: when there is a number that is too large for a float in it
        """
        kind = type(value)
        if kind is float:
            if not math.isfinite(value):
                raise Refused
        elif kind is dict:
            for content in value.values():
                self.check(content)
        elif kind is list:
            for content in value:
                self.check(content)

    def parse_rows(self, text: bytes, width: int) -> Sequence[Tuple[Any, ...]]:
        """A list of rows: an integer and then floats, or null.

        :param width: how many columns each row has
        :raises Refused: when it is anything else
        """
        rows: List[Tuple[Any, ...]] = []
        for row in self.parse(text):
            if (
                type(row) is not list
                or len(row) != width
                or not all(type(value) in _IN_ROWS for value in row)
            ):
                raise Refused
            identity = row[0]
            if type(identity) is not int or not -_LARGEST_ID <= identity <= _LARGEST_ID:
                raise Refused
            numbers = [value if value is None else float(value) for value in row[1:]]
            if not all(number is None or math.isfinite(number) for number in numbers):
                raise Refused
            rows.append((identity, *numbers))
        return rows

    #: An account's times come again: with each update of an order that of its placement.
    parse_time = staticmethod(lru_cache(maxsize=4096)(parse_time))


# What json makes of a row's numbers.
_IN_ROWS = frozenset({int, float, type(None)})


def _refuse(_: str) -> NoReturn:
    raise Refused


class MsgspecParser:
    """The same, several times as fast."""

    name = "msgspec"

    def __init__(self) -> None:
        self._decode = msgspec.json.Decoder().decode
        self._row_decoders: Dict[int, Any] = {}
        self._refusals = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

    def parse(self, raw: bytes) -> Any:
        """What the text says.

        :raises Refused: when it is not JSON, or unusual
        """
        try:
            return self._decode(raw)
        except self._refusals:
            raise Refused from None

    #: Nothing needs another look: a number that is too large for a float is refused.
    check = None

    def parse_rows(self, text: bytes, width: int) -> Sequence[Tuple[Any, ...]]:
        """A list of rows: an integer and then floats, or null.

        :param width: how many columns each row has
        :raises Refused: when it is anything else
        """
        decoder = self._row_decoders.get(width)
        if decoder is None:
            decoder = self._row_decoders[width] = _row_decoder(width)
        try:
            rows: Sequence[Tuple[Any, ...]] = decoder.decode(text)
        except self._refusals:
            raise Refused from None
        return rows

    @staticmethod
    def parse_time(text: str) -> Optional[datetime]:
        """As :func:`.parse_time`.

        :raises ValueError: likewise
        """
        # msgspec takes more than RFC 3339: a blank in place of the T, offsets without a colon, more than nine digits.
        # And the unset time is one to it.
        if text.endswith("Z", 19, 30) and text[10] == "T":
            try:
                moment = msgspec.convert(text, datetime)
            except msgspec.MsgspecError:
                pass
            else:
                if moment.year > 1:
                    return moment
        return parse_time(text)


def _row_decoder(width: int) -> Any:
    identity = Annotated[int, msgspec.Meta(ge=-_LARGEST_ID, le=_LARGEST_ID)]
    columns = (identity, *[Optional[float]] * (width - 1))
    row: Any = Tuple[columns]
    return msgspec.json.Decoder(List[row])


Parser = Union[StandardParser, MsgspecParser]


def fastest_parser() -> Parser:
    """The parser that this installation allows."""
    return StandardParser() if msgspec is None else MsgspecParser()
