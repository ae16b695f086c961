"""JSON text to Python objects: by msgspec where it is installed (extra ``speed``), or else by the standard library.

Both refuse more than the protocol does, and say nothing of why: what is refused gets a second opinion. Neither lets
anything pass that this would refuse, not even in what is read and then left aside, as a value whose name comes twice.
(What is not read at all, because nobody asks for it, is another matter: see :class:`.Undecoded`.)
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from functools import lru_cache
from typing import Any, Dict, List, NoReturn, Optional, Sequence, Tuple, Union

from .times import parse_time

if sys.version_info >= (3, 9):
    from typing import Annotated
else:
    from typing_extensions import Annotated  # there because of cattrs


class Refused(ValueError):
    """It may be wrong, or only unusual."""


#: A row of numbers: an integer, and then floats, or None where there is none.
Row = Sequence[Any]

# The largest integer of a row that both take.
_LARGEST_ID = 2**63 - 1


class StandardParser:
    """What the standard library can do, without the guesses that it makes."""

    def __init__(self) -> None:
        self._decode = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite).decode
        #: As :func:`.parse_time`. An account's times come again: with each update of an order that of its placement.
        self.parse_time = lru_cache(maxsize=4096)(parse_time)

    def parse(self, raw: bytes) -> Any:
        """What the text says.

        :raises Refused: when it is not JSON, or unusual
        """
        # Half of a surrogate pair, which json lets through, can only come from an escape.
        if raw.find(b"\\") >= 0 and (b"\\ud" in raw or b"\\uD" in raw):
            raise Refused
        try:
            return self._decode(raw.decode("utf-8"))
        except (ValueError, RecursionError):
            raise Refused from None

    def parse_rows(self, text: bytes, width: int) -> List[Row]:
        """A list of rows.

        :param width: how many columns each row has
        :raises Refused: when it is anything else
        """
        rows: List[Row] = self.parse(text)
        for place, row in enumerate(rows):
            if type(row) is not list or len(row) != width:
                raise Refused
            identity, *numbers = row
            if type(identity) is not int or not -_LARGEST_ID <= identity <= _LARGEST_ID:
                raise Refused
            kinds = set(map(type, numbers))
            if kinds != _FLOATS:
                if not kinds <= _IN_ROWS:
                    raise Refused
                try:
                    rows[place] = [
                        identity,
                        *[None if number is None else float(number) for number in numbers],
                    ]
                except OverflowError:
                    raise Refused from None
        return rows


_FLOATS = frozenset({float})
# What json makes of the other columns' numbers.
_IN_ROWS = frozenset({int, float, type(None)})


def _refuse(_: str) -> NoReturn:
    raise Refused


def _finite(text: str) -> float:
    number = float(text)
    # What is taken from itself is not zero when it is infinite.
    if number - number:
        raise Refused
    return number


class MsgspecParser:
    """The same, several times as fast.

    :raises ImportError: where msgspec is not installed
    """

    def __init__(self) -> None:
        # Imported by who wants to decode, not by who imports the library.
        import msgspec

        self._decode = msgspec.json.Decoder().decode
        self._decode_time = msgspec.json.Decoder(datetime).decode
        self._row_decoders: Dict[int, Any] = {}
        #: What msgspec raises when it refuses: bad UTF-8 and deep nesting are none of its own errors.
        self.refusals = (msgspec.MsgspecError, ValueError, RecursionError)

    def parse(self, raw: bytes) -> Any:
        """What the text says.

        :raises Refused: when it is not JSON, or unusual
        """
        try:
            return self._decode(raw)
        except self.refusals:
            raise Refused from None

    def parse_rows(self, text: bytes, width: int) -> List[Row]:
        """A list of rows.

        :param width: how many columns each row has
        :raises Refused: when it is anything else
        """
        decoder = self._row_decoders.get(width)
        if decoder is None:
            decoder = self._row_decoders[width] = _row_decoder(width)
        try:
            rows: List[Row] = decoder.decode(text)
        except self.refusals:
            raise Refused from None
        return rows

    def parse_time(self, text: str) -> Optional[datetime]:
        """As :func:`.parse_time`.

        :raises ValueError: likewise
        """
        # msgspec takes more than RFC 3339: a blank in place of the T, offsets without a colon, more than nine digits.
        # And the unset time is one to it.
        if (text.endswith("Z", 19, 30) or _ends_with_offset(text)) and text[10] == "T" and "\\" not in text:
            try:
                # As JSON, because it knows the type already; asked to convert, it would look at it each time.
                moment: datetime = self._decode_time(f'"{text}"')
            except self.refusals:
                pass
            else:
                if moment.year > 1:
                    return moment
        return parse_time(text)


def _ends_with_offset(text: str) -> bool:
    return 25 <= len(text) <= 35 and text[-6] in "+-" and text[-3] == ":"


def _row_decoder(width: int) -> Any:
    import msgspec

    identity = Annotated[int, msgspec.Meta(ge=-_LARGEST_ID, le=_LARGEST_ID)]
    columns = (identity, *[Optional[float]] * (width - 1))
    row: Any = Tuple[columns]
    return msgspec.json.Decoder(List[row])


Parser = Union[StandardParser, MsgspecParser]


def fastest_parser() -> Parser:
    """The parser that this installation allows."""
    try:
        return MsgspecParser()
    except ImportError:
        return StandardParser()
