"""The symbols of the simulated market: names and decimals for what arrives with an id alone."""

from __future__ import annotations

import difflib
from typing import Iterable, List, Optional, Tuple

from .. import Symbol
from ..simulator import Simulator
from . import figures


class Catalogue:
    """Symbols by id and by name."""

    def __init__(self, symbols: Iterable[Symbol]) -> None:
        self._by_id = {symbol.id: symbol for symbol in symbols}
        self._by_name = {symbol.symbol.upper(): symbol.id for symbol in self._by_id.values()}

    @property
    def ids(self) -> Tuple[int, ...]:
        """All ids, in the market's order."""
        return tuple(self._by_id)

    def name(self, symbol_id: int) -> str:
        """A symbol's name; of one that is not known, the id as "#7"."""
        symbol = self._by_id.get(symbol_id)
        return f"#{symbol_id}" if symbol is None else symbol.symbol

    def digits(self, symbol_id: int) -> Optional[int]:
        """How many decimals its prices have; None when that is not known."""
        symbol = self._by_id.get(symbol_id)
        return None if symbol is None else symbol.digits

    def price(self, symbol_id: int, value: Optional[float]) -> str:
        """A price of a symbol as text, "" for None."""
        return "" if value is None else figures.price(value, self.digits(symbol_id))

    def choose(self, text: str) -> Tuple[int, ...]:
        """The ids for names or ids between commas, each once, in the order given.

        :raises ValueError: one is not there (says which ones are like it), or there is none at all
        """
        chosen: List[int] = []
        for wanted in filter(None, map(str.strip, text.split(","))):
            symbol_id = self._by_name.get(wanted.upper())
            if symbol_id is None and wanted.isdecimal() and int(wanted) in self._by_id:
                symbol_id = int(wanted)
            if symbol_id is None:
                raise ValueError(f"unknown symbol {wanted!r}: {self._advice(wanted)}")
            if symbol_id not in chosen:
                chosen.append(symbol_id)
        if not chosen:
            raise ValueError(f"no symbol given: {self._all()}")
        return tuple(chosen)

    def _advice(self, wanted: str) -> str:
        near = difflib.get_close_matches(wanted.upper(), list(self._by_name), n=3, cutoff=0.6)
        return f"did you mean {' or '.join(near)}?" if near else self._all()

    def _all(self) -> str:
        return f"there are {', '.join(self._by_name)}"


def simulated() -> Catalogue:
    """The symbols of the simulator's market. It need not be started for that."""
    return Catalogue(
        Symbol(id=wire["id"], symbol=wire["symbol"], digits=wire["digits"])
        for wire in Simulator(live=False).symbols
    )
