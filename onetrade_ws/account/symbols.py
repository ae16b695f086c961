"""The symbols that the server offers, by id and by name."""

from __future__ import annotations

import copy
import difflib
import time
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Union

import attrs

from ..deadline import Condition, Deadline
from ..errors import NetworkError, OneTradeError, UnknownSymbolError
from ..protocol.models import Symbol

# Seconds for which the symbols that were told are taken for all there are.
_FRESH = 60.0


class Symbols(Mapping[Union[int, str], Symbol]):
    """The symbols by id, in the server's order: ``symbols[1]``; and each by its name, too: ``symbols["EURUSD"]``.

    Iterating gives the ids. A name is found in any case where that says which one is meant.
    """

    def __init__(self, symbols: Sequence[Symbol] = ()) -> None:
        self._by_id: Dict[int, Symbol] = {symbol.id: symbol for symbol in symbols}
        self._by_name: Dict[str, List[Symbol]] = {}
        self._by_folded: Dict[str, List[Symbol]] = {}
        for symbol in symbols:
            self._by_name.setdefault(symbol.symbol, []).append(symbol)
            self._by_folded.setdefault(symbol.symbol.casefold(), []).append(symbol)

    def __getitem__(self, key: Union[int, str]) -> Symbol:
        """The symbol.

        :raises UnknownSymbolError: when there is none; a :exc:`KeyError`
        """
        candidates = self._find(key)
        if len(candidates) == 1:
            return candidates[0]
        raise UnknownSymbolError(key, self._near(key, candidates) if isinstance(key, str) else ())

    def __contains__(self, key: object) -> bool:
        return len(self._find(key)) == 1

    def get(self, key: Union[int, str], default: Any = None) -> Any:
        """The symbol, or ``default`` when there is none."""
        candidates = self._find(key)
        return candidates[0] if len(candidates) == 1 else default

    def _find(self, key: object) -> Sequence[Symbol]:
        if isinstance(key, str):
            return self._by_name.get(key) or self._by_folded.get(key.casefold(), [])
        found = self._by_id.get(key) if isinstance(key, int) else None
        return [] if found is None else [found]

    def _near(self, name: str, candidates: Sequence[Symbol]) -> List[str]:
        if candidates:
            # Which one is meant, only an id can say where they have the very same name.
            names = [symbol.symbol for symbol in candidates]
            return names if len(set(names)) == len(names) else [str(symbol.id) for symbol in candidates]
        near = difflib.get_close_matches(name.casefold(), self._by_folded, n=5, cutoff=0.7)
        return [symbol.symbol for folded in near for symbol in self._by_folded[folded]][:5]

    def __iter__(self) -> Iterator[Union[int, str]]:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)

    def __repr__(self) -> str:
        names = ", ".join(symbol.symbol for symbol in self.values())
        return f"<Symbols {names}>" if 0 < len(self) <= 10 else f"<{len(self)} Symbols>"


@attrs.define(eq=False)
class _Request:
    """That somebody asks the server, for all who wait for the answer meanwhile.

    :ivar is_over: whether nobody asks any more
    :ivar is_told: whether the symbols were told
    :ivar error: why not, where that is known
    """

    is_over: bool = False
    is_told: bool = False
    error: Optional[OneTradeError] = None


class Directory:
    """What is known of the symbols. Every method on any thread.

    :param load: asks the server; blocks until the deadline
    :param clock: seconds, which nobody sets back
    """

    def __init__(
        self, load: Callable[[Deadline], Sequence[Symbol]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._load = load
        self._clock = clock
        self._told_at: Optional[float] = None
        # Guards the next one and what it says. Waited on for its end.
        self._changed = Condition()
        self._request: Optional[_Request] = None
        #: The symbols as they were told last; none before the first time.
        self.symbols = Symbols()

    def put(self, symbols: Sequence[Symbol]) -> None:
        """These there are now."""
        self.symbols = Symbols(symbols)
        self._told_at = self._clock()

    def id_of(self, symbol: Union[int, str], deadline: Deadline) -> int:
        """The id of a symbol that is given by its id, as it is, or by its name.

        For a name the server is asked, and this blocks until ``deadline``, before the symbols have been told; and when
        none of them has this name, for the broker may have added it since, but not within a minute after they were
        told: names that do not exist must not become requests without end. Threads that need an answer at once wait
        for the same one.

        :raises UnknownSymbolError: when no symbol has this name
        :raises OneTradeError: when the server cannot be asked
        """
        if not isinstance(symbol, str):
            return symbol
        if symbol not in self.symbols and (self._told_at is None or self._clock() - self._told_at >= _FRESH):
            self._ask(deadline)
        return self.symbols[symbol].id

    def _ask(self, deadline: Deadline) -> None:
        mine = _Request()
        # Not in a "finally": it may be the end itself that Ctrl-C interrupts, and would not be made up for.
        try:
            if not self._is_told_to_another(mine, deadline):
                self.put(self._load(deadline))
                mine.is_told = True
            self._end(mine)
        except BaseException as error:
            mine.error = copy.copy(error) if isinstance(error, OneTradeError) else None
            self._end(mine)
            raise

    def _is_told_to_another(self, mine: _Request, deadline: Deadline) -> bool:
        """Wait for the request that is under way; where there is none, it is ``mine`` from now on."""
        with self._changed:
            while self._request is not None:
                theirs = self._request
                if not self._wait_for(theirs, deadline):
                    # There is no time to ask either; what asks knows how to say so.
                    break
                if theirs.is_told:
                    return True
                # Theirs may have been a shorter time.
                if theirs.error is not None and not isinstance(theirs.error, NetworkError):
                    raise copy.copy(theirs.error)
            self._request = self._request or mine
        return False

    def _end(self, mine: _Request) -> None:
        # Any number of times.
        with self._changed:
            mine.is_over = True
            if self._request is mine:
                self._request = None
            self._changed.notify_all()

    def _wait_for(self, request: _Request, deadline: Deadline) -> bool:
        # Requires holding _changed.
        return deadline.wait_for(self._changed, lambda: request.is_over)
