"""What a record of a binary frame is about, without decoding it."""

from __future__ import annotations

import re
from typing import List, Sequence

# No more than every decoder is certain to take: see :mod:`.records`. To choose nothing (``|``) costs less than to
# repeat something no times (``?``).
_IDENTITY = r"(?:0|[1-9][0-9]{0,18})"
_NUMBER = r"-?(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{1,30}|)(?:[eE][+-]?[0-9]{1,2}|)"
_MORE = rf"(?:,(?:{_NUMBER}|))*"


class RecordKeys:
    """Finds the key of a record: the symbol of a quote, the position of a profit update.

    Only a record that is a quote or a profit update beyond doubt has one: plain numbers without blanks, none missing.
    Whatever else there is has none, also where the decoder might make something of it.

    :param price_columns: the names of a price record's columns, in their order
    """

    def __init__(self, price_columns: Sequence[str]) -> None:
        last = max(price_columns.index(column) for column in ("symbol_id", "bid", "ask"))
        values = {"symbol_id": f"({_IDENTITY})", "bid": _NUMBER, "ask": _NUMBER}
        quote = ",".join(values.get(column, f"(?:{_NUMBER}|)") for column in price_columns[: last + 1])
        profit = f"(s,{_IDENTITY}),{_NUMBER},{_NUMBER}"
        self._line = re.compile(f"^(?:{quote}|{profit}){_MORE}$".encode(), re.MULTILINE)

    def find(self, lines: bytes) -> List[bytes]:
        """The keys of those records that have one, in their order: the text that names symbol or position.

        :param lines: one record a line
        """
        return [symbol or position for symbol, position in self._line.findall(lines)]
