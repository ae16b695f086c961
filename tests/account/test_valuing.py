"""The figures are calculated without the mirror's lock: what happens to what is being valued meanwhile."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, Optional

import pytest

from onetrade_ws import EventMessageType, Figures, PositionStatus, SyncState
from onetrade_ws.account.figures import Valuation
from onetrade_ws.account.symbols import Symbols
from onetrade_ws.protocol.snapshot import Snapshot
from tests.account.test_figures import EURUSD, Mirror, deal, position, quote, told
from tests.client.background import Background
from tests.client.conversation import TIMEOUT


class Gate(Dict[str, Any]):
    """What a position carries besides; the first thread that reads it once it is shut waits there."""

    def __init__(self) -> None:
        super().__init__(position().extra)
        self._lock = threading.Lock()
        self._is_shut = False
        self.reached = threading.Event()
        self.opened = threading.Event()

    def shut(self) -> None:
        self._is_shut = True

    def get(self, key: str, default: Any = None) -> Any:
        with self._lock:
            waits, self._is_shut = self._is_shut, False
        if waits:
            self.reached.set()
            assert self.opened.wait(TIMEOUT), "nothing went on while the position was valued"
        return super().get(key, default)


class Asked:
    """A position that is being valued by a quote, for a thread that asks."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.mirror = Mirror()
        self.mirror.load(told(), (position(extra=self.gate),))
        self.mirror.quote(1, 1.11)
        self.describe(1000.0)
        self.mirror.quote(1, 1.12)
        self.gate.shut()
        self._asker: Background[Optional[Figures]] = Background(lambda: self.mirror.account.figures)
        assert self.gate.reached.wait(TIMEOUT)

    def describe(self, profit: float, **changes: Any) -> None:
        """The server says this of the position."""
        changes = {"extra": self.gate, "profit": profit, "total_profit": profit - 3.5, **changes}
        self.mirror.tell(EventMessageType.POSITIONS_UPDATE, position(**changes))

    def reopen(self, profit: float) -> None:
        """It is closed, and there again."""
        self.describe(profit, status=PositionStatus.CLOSED)
        self.describe(profit)

    def answer(self) -> Figures:
        """Let the position be valued."""
        self.gate.opened.set()
        found = self._asker.result()
        assert found is not None
        return found


@pytest.fixture
def asked() -> Iterator[Asked]:
    made = Asked()
    yield made
    made.answer()


def test_what_is_delivered_does_not_wait_for_who_asks(asked: Asked) -> None:
    mirror = asked.mirror
    mirror.quote(1, 1.13)
    mirror.tell(EventMessageType.DEALS_CREATE, deal())
    mirror.tell(EventMessageType.POSITIONS_OPEN, position(2))
    mirror.tell_profit(0.0, -3.5, 2)
    assert len(mirror.account.positions) == 2
    assert not asked.gate.opened.is_set()
    found = asked.answer()
    # As of when they were asked for, all of it.
    assert (found.balance, found.profit, found.equity, found.margin) == (10_000.0, 1996.5, 11_996.5, 1100.0)
    now = mirror.figures
    assert (now.balance, now.profit, now.equity, now.margin) == (10_050.0, 2993.0, 13_043.0, 2200.0)


def test_a_callback_finds_its_own_event_in_them_whoever_is_asking(asked: Asked) -> None:
    asked.mirror.tell(EventMessageType.DEALS_CREATE, deal())
    assert asked.mirror.figures.balance == 10_050.0


def test_who_asked_first_does_not_undo_what_a_second_one_found(asked: Asked) -> None:
    asked.mirror.quote(1, 1.13)
    second = Background(lambda: asked.mirror.figures).result()
    assert second.profit == 2996.5
    # What is newer is as good for who asked before.
    assert asked.answer() is second
    assert asked.mirror.figures is second
    asked.mirror.quote(1, 1.14)
    assert asked.mirror.figures.profit == 3996.5


def test_two_that_ask_for_the_same_get_the_same(asked: Asked) -> None:
    second = Background(lambda: asked.mirror.figures).result()
    assert second.profit == 1996.5
    assert asked.answer() is second
    asked.mirror.tell(EventMessageType.POSITIONS_CLOSE, position())
    assert asked.mirror.figures.profit == 0.0


HAPPENINGS: Dict[str, Callable[[Asked], object]] = {
    "a profit is told": lambda asked: asked.describe(1500.0),
    "a quote comes": lambda asked: asked.mirror.quote(1, 1.115),
    "it gets another symbol": lambda asked: asked.describe(1500.0, symbol_id=2),
    "it is closed": lambda asked: asked.describe(1500.0, status=PositionStatus.CLOSED),
    "it is closed and opened again": lambda asked: asked.reopen(1500.0),
}
PROFITS = [1496.5, 1496.5, 1496.5, 0.0, 1496.5]


@pytest.mark.parametrize(("happen", "profit"), list(zip(HAPPENINGS.values(), PROFITS)), ids=HAPPENINGS)
@pytest.mark.parametrize("is_asked_between", [False, True], ids=["asked after", "asked between"])
def test_what_happens_to_a_position_while_it_is_valued_counts(
    asked: Asked, happen: Callable[[Asked], object], profit: float, is_asked_between: bool
) -> None:
    happen(asked)
    if is_asked_between:
        assert asked.mirror.figures.profit == profit
    assert asked.answer().profit == (profit if is_asked_between else 1996.5)
    assert asked.mirror.figures.profit == profit
    # Nothing of what was valued is left in the sum.
    asked.mirror.tell(EventMessageType.POSITIONS_CLOSE, position())
    assert asked.mirror.figures.profit == 0.0


def test_a_snapshot_that_comes_meanwhile_is_not_undone(asked: Asked) -> None:
    asked.mirror.load(told(balance=20_000.0, equity=20_996.5), (position(),))
    assert not asked.answer().is_computed
    assert asked.mirror.figures.balance == 20_000.0
    asked.mirror.tell_profit(1100.0, 1096.5)
    assert (asked.mirror.figures.profit, asked.mirror.figures.equity) == (1096.5, 21_096.5)


def test_a_loss_that_comes_meanwhile_leaves_them_as_they_were_then(asked: Asked) -> None:
    asked.mirror.tell(EventMessageType.DEALS_CREATE, deal())
    asked.mirror.lose()
    assert asked.mirror.account.status["account"].state is SyncState.STALE
    before = asked.mirror.figures
    assert (before.balance, before.profit) == (10_050.0, 1996.5)
    assert asked.answer() is before
    assert asked.mirror.figures is before


def test_a_loss_lets_others_read_while_it_values_what_nobody_has_asked_for() -> None:
    gate, mirror = Gate(), Mirror()
    mirror.load(told(), (position(extra=gate),))
    mirror.quote(1, 1.11)
    mirror.tell_profit(1000.0, 996.5)
    mirror.quote(1, 1.12)
    gate.shut()
    loss = Background(mirror.lose)
    assert gate.reached.wait(TIMEOUT)
    assert 1 in mirror.account.positions
    gate.opened.set()
    loss.result()
    assert mirror.figures.profit == 1996.5


# -- very many ----------------------------------------------------------------------------------------------


class Turns:
    """A lock after each holding of which something is done: what another thread would do that waits for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.between: Optional[Callable[[], None]] = None
        self.count = 0

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        self.count += 1
        if self.between is not None:
            self.between()

    @contextmanager
    def doing(self, action: Callable[[], None]) -> Iterator[None]:
        self.between = action
        yield
        self.between = None


def test_however_many_positions_there_are_others_have_their_turns() -> None:
    count = 5000
    turns, quotes = Turns(), {1: quote(1, 1.11, 1.11)}
    valuation = Valuation(quotes, turns)
    positions = [position(identity) for identity in range(count)]
    snapshot = Snapshot(account=told(), orders=(), positions=tuple(positions), deals=())
    with turns:
        valuation.load(
            snapshot, positions=positions, deals=(), symbols=Symbols([EURUSD]), has_floated=False, at=1.0
        )
    quotes[1] = quote(1, 1.12, 1.12)
    profits = iter(range(count))

    def tell() -> None:
        # A quote comes all the time, and so does a word of one position or another.
        quotes[1] = quote(1, quotes[1].bid + 0.01, 1.2)
        valuation.put_profit(position(next(profits), profit=5.0, total_profit=5.0), 2.0)

    before = turns.count
    with turns.doing(tell):
        found = valuation.figures()
    taken = turns.count - before
    # Often, and not for ever.
    assert 5 < taken < count // 100
    # As of when they were asked for.
    assert found is not None
    assert found.profit == count * 1996.5
    quotes[1] = quote(1, 1.11, 1.11)
    for one in positions:
        valuation.put_profit(one, 3.0)
    found = valuation.figures()
    assert found is not None
    assert found.profit == count * 996.5
