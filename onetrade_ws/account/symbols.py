"""The symbols that the server offers, by id and by name."""

from __future__ import annotations

import difflib
import threading
from typing import Callable, Dict, Iterator, List, Mapping, Sequence, Union

from ..errors import UnknownSymbolError
from ..protocol.models import Symbol


class Symbols(Mapping[Union[int, str], Symbol]):
    """The symbols by id, in the server's order: ``symbols[1]``; and each by its name, too: ``symbols["EURUSD"]``.

    Iterating gives the ids. A name is found in any case where that says which one is meant.
    """

    def __init__(self, symbols: Sequence[Symbol] = ()) -> None:
        self._by_id: Dict[int, Symbol] = {symbol.id: symbol for symbol in symbols}
        self._by_name: Dict[str, Symbol] = {symbol.symbol: symbol for symbol in symbols}
        self._by_folded: Dict[str, List[Symbol]] = {}
        for symbol in symbols:
            self._by_folded.setdefault(symbol.symbol.casefold(), []).append(symbol)

    def __getitem__(self, key: Union[int, str]) -> Symbol:
        """The symbol.

        :raises UnknownSymbolError: when there is none; a :exc:`KeyError`
        """
        found = self._by_id.get(key) if isinstance(key, int) else self._by_name.get(key)
        if found is None and isinstance(key, str):
            candidates = self._by_folded.get(key.casefold(), [])
            found = candidates[0] if len(candidates) == 1 else None
        if found is None:
            raise UnknownSymbolError(key, self._near(key))
        return found

    def _near(self, key: object) -> List[str]:
        if not isinstance(key, str):
            return []
        folded = {name.casefold(): name for name in self._by_name}
        return [folded[name] for name in difflib.get_close_matches(key.casefold(), folded, n=5)]

    def __iter__(self) -> Iterator[Union[int, str]]:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)

    def __repr__(self) -> str:
        return f"<Symbols {', '.join(self._by_name)}>" if len(self) <= 10 else f"<{len(self)} Symbols>"


class Directory:
    """What is known of the symbols. Every method on any thread.

    :param load: asks the server; blocks
    """

    def __init__(self, load: Callable[[], Sequence[Symbol]]) -> None:
        self._load = load
        #: The symbols as they were told last; none before the first time.
        self.symbols = Symbols()
        # Guards that one thread asks, which the others wait for. Held while the server is asked.
        self._loading = threading.Lock()

    def put(self, symbols: Sequence[Symbol]) -> None:
        """These there are now."""
        self.symbols = Symbols(symbols)

    def id_of(self, symbol: Union[int, str]) -> int:
        """The id of a symbol that is given by its id, as it is, or by its name. Blocks, for a name, while the symbols
        are not known yet.

        :raises UnknownSymbolError: when no symbol has this name
        :raises OneTradeError: when the server cannot be asked
        """
        if not isinstance(symbol, str):
            return symbol
        if not self.symbols:
            with self._loading:
                if not self.symbols:
                    self.put(self._load())
        return self.symbols[symbol].id
