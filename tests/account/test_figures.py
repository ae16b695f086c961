"""The arithmetic of the live figures, and when there is none."""

from __future__ import annotations

import decimal
import math
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

import attrs
import pytest
from hypothesis import event as note
from hypothesis import given
from hypothesis import strategies as st

from onetrade_ws import (
    AccountUpdatesStoppedError,
    ChannelType,
    ClientEventType,
    ConnectionState,
    Deal,
    DecodeError,
    DirectionType,
    Event,
    EventMessageType,
    Figures,
    Position,
    PositionStatus,
    ProfitUpdate,
    Quote,
    ReasonType,
    SideType,
    StateChange,
    Symbol,
    SyncState,
    TradingAccount,
)
from onetrade_ws.account import Account, Directory, holdings, ledger
from onetrade_ws.account.synchronizer import Load
from onetrade_ws.protocol.records import parse_record
from onetrade_ws.protocol.snapshot import Snapshot
from onetrade_ws.protocol.structure import structure
from onetrade_ws.simulator.books import Books
from onetrade_ws.simulator.market import Market
from onetrade_ws.simulator.wire import Writer, profit_frame

BUY, SELL = SideType.BUY, SideType.SELL
COLUMNS = ("symbol_id", "bid", "ask", "last", "volume", "high", "low")
MONEY = ("balance", "credit", "profit", "equity", "margin", "margin_free", "margin_level")
EARLY = datetime(2024, 5, 1, 12, tzinfo=timezone.utc)

EURUSD = Symbol(id=1, symbol="EURUSD", base_currency="EUR", quote_currency="USD", contract_size=100_000.0)
USDJPY = Symbol(id=3, symbol="USDJPY", base_currency="USD", quote_currency="JPY", contract_size=100_000.0)
EURJPY = Symbol(id=7, symbol="EURJPY", base_currency="EUR", quote_currency="JPY", contract_size=100_000.0)
EURGBP = Symbol(id=8, symbol="EURGBP", base_currency="EUR", quote_currency="GBP", contract_size=100_000.0)
GBPUSD = Symbol(id=2, symbol="GBPUSD", base_currency="GBP", quote_currency="USD", contract_size=100_000.0)
SYMBOLS = (EURUSD, USDJPY, EURJPY, EURGBP, GBPUSD)


def position(identity: int = 1, **changes: Any) -> Position:
    """A lot of EURUSD, bought at 1.1, and 1000.00 in the plus at 1.11; its margin is 1100.00 at a leverage of 100."""
    values: Dict[str, Any] = {
        "account_id": 7,
        "symbol_id": 1,
        "side": BUY,
        "volume_initial": 1.0,
        "volume_current": 1.0,
        "price_open": 1.1,
        "price_current": 1.11,
        "profit": 1000.0,
        "total_profit": 996.5,
        "extra": {"contract_size": 100_000, "rate_margin": 1, "rate_profit": 1, "commission": 3.5},
    }
    return Position(id=identity, **{**values, **changes})


def deal(identity: int = 100, **changes: Any) -> Deal:
    """A deposit of 50.00."""
    numbers = "volume price entry commission swap fee storage market_bid market_ask market_last"
    values: Dict[str, Any] = {
        "account_id": 7,
        "order_id": 0,
        "position_id": 0,
        "symbol_id": 0,
        "side": SideType.BALANCE,
        "direction": DirectionType.IN,
        "profit": 50.0,
        "profit_raw": 50.0,
        "reason": ReasonType.TRANSFER,
        "channel": ChannelType.SYSTEM,
        "created_at": EARLY,
        **dict.fromkeys(numbers.split(), 0.0),
    }
    return Deal(id=identity, **{**values, **changes})


def quote(symbol_id: int, bid: float, ask: float) -> Quote:
    return Quote(symbol_id=symbol_id, bid=bid, ask=ask)


def told(**changes: Any) -> TradingAccount:
    """What the server says with one :func:`position`."""
    values: Dict[str, Any] = {
        "id": 7,
        "currency": "USD",
        "digits_currency": 2,
        "leverage": 100,
        "balance": 10_000.0,
        "credit": 0.0,
        "profit": 996.5,
        "equity": 10_996.5,
        "margin": 1100.0,
        "margin_free": 9896.5,
        "margin_level": 999.68,
    }
    return TradingAccount(**{**values, **changes})


NO_POSITION = {"profit": 0.0, "equity": 10_000.0, "margin": 0.0, "margin_free": 10_000.0, "margin_level": 0.0}


class Mirror:
    """An account to which a test tells things, one after the other."""

    def __init__(self) -> None:
        self.account = Account(1000, Directory(lambda deadline: ()))
        self.moment = 0.0
        self.loads = 0

    def tell(self, event_type: Any, data: Any = None, raw: bytes = b"") -> None:
        self.moment += 1
        consume = self.account.consumer(event_type)
        assert consume is not None
        consume(Event(event_type, data, self.moment, raw))

    def load(
        self,
        account: Optional[TradingAccount] = None,
        positions: Optional[Tuple[Position, ...]] = (),
        deals: Optional[Tuple[Deal, ...]] = (),
        symbols: Tuple[Symbol, ...] = SYMBOLS,
    ) -> None:
        self.begin()
        snapshot = Snapshot(
            account=account,
            orders=(),
            positions=positions,
            deals=deals,
            symbols=symbols,
        )
        self.end(snapshot)

    def begin(self) -> None:
        """A snapshot is asked for, over a new connection if there is none."""
        if self.account.connection_state is not ConnectionState.OPEN:
            change = StateChange(old=ConnectionState.CONNECTING, new=ConnectionState.OPEN)
            self.tell(ClientEventType.STATE_CHANGED, change)
        self.loads += 1
        self.tell(ClientEventType.RESYNCING, Load(self.loads))

    def end(self, snapshot: Snapshot) -> None:
        """It has come."""
        self.tell(ClientEventType.RESYNCED, Load(self.loads, snapshot=snapshot))

    def lose(self) -> None:
        change = StateChange(old=ConnectionState.OPEN, new=ConnectionState.CONNECTING)
        self.tell(ClientEventType.STATE_CHANGED, change)

    def quote(self, symbol_id: int, bid: float, ask: Optional[float] = None) -> None:
        self.tell(EventMessageType.MARKET_FEED, quote(symbol_id, bid, bid if ask is None else ask))

    def tell_profit(self, profit: float, total_profit: float, position_id: int = 1) -> None:
        update = ProfitUpdate(position_id=position_id, profit=profit, total_profit=total_profit)
        self.tell(EventMessageType.PROFIT_UPDATE, update)

    @property
    def figures(self) -> Figures:
        found = self.account.figures
        assert found is not None
        return found

    def money(self) -> Dict[str, Optional[float]]:
        found = self.figures
        return {name: getattr(found, name) for name in MONEY}


@pytest.fixture
def mirror() -> Mirror:
    """With one position, as the server told of it."""
    made = Mirror()
    made.load(told(), (position(),))
    return made


# -- whose they are -----------------------------------------------------------------------------------------


def test_they_are_the_server_s_after_a_snapshot(mirror: Mirror) -> None:
    assert mirror.figures == Figures(
        currency="USD",
        balance=10_000.0,
        credit=0.0,
        profit=996.5,
        equity=10_996.5,
        margin=1100.0,
        margin_free=9896.5,
        margin_level=999.68,
        is_computed=False,
        updated_at=mirror.moment,
    )


def test_they_are_computed_from_the_first_change(mirror: Mirror) -> None:
    mirror.tell_profit(1100.0, 1096.5)
    assert mirror.figures == Figures(
        currency="USD",
        balance=10_000.0,
        credit=0.0,
        profit=1096.5,
        equity=11_096.5,
        margin=1100.0,
        margin_free=9996.5,
        margin_level=1008.77,
        is_computed=True,
        updated_at=mirror.moment,
    )


def test_what_changes_nothing_leaves_them_the_server_s(mirror: Mirror) -> None:
    before = mirror.figures
    mirror.tell_profit(1000.0, 996.5)
    mirror.tell(EventMessageType.POSITIONS_UPDATE, position(comment="noted"))
    mirror.quote(2, 1.26)
    mirror.quote(1, 1.5)
    assert mirror.figures == attrs.evolve(before, updated_at=mirror.moment)
    assert not mirror.figures.is_computed


def test_a_snapshot_makes_them_the_server_s_again(mirror: Mirror) -> None:
    mirror.tell_profit(1100.0, 1096.5)
    mirror.load(told(), (position(),))
    assert not mirror.figures.is_computed
    assert mirror.figures.profit == 996.5


STALE: Dict[str, Callable[[Mirror], None]] = {
    "the connection is lost": Mirror.lose,
    "the server does not tell of the account": lambda mirror: mirror.load(None, (position(),)),
    "the account could not be loaded": lambda mirror: mirror.tell(
        ClientEventType.RESYNC_FAILED, Load(0, error=AccountUpdatesStoppedError())
    ),
}


@pytest.mark.parametrize("make_stale", STALE.values(), ids=STALE)
def test_while_the_account_is_stale_they_stay_as_they_were(
    mirror: Mirror, make_stale: Callable[[Mirror], None]
) -> None:
    mirror.tell_profit(1100.0, 1096.5)
    make_stale(mirror)
    before = mirror.figures
    assert mirror.account.status["account"].state is SyncState.STALE
    mirror.tell_profit(1200.0, 1196.5)
    mirror.tell(EventMessageType.DEALS_CREATE, deal())
    mirror.tell(EventMessageType.POSITIONS_OPEN, position(2))
    mirror.quote(1, 1.3)
    assert before.profit == 1096.5
    assert mirror.figures is before
    mirror.load(told(), (position(),))
    assert not mirror.figures.is_computed
    mirror.tell_profit(1300.0, 1296.5)
    assert mirror.figures.profit == 1296.5


# -- balance ------------------------------------------------------------------------------------------------


def test_a_deal_changes_the_balance_by_its_profit(mirror: Mirror) -> None:
    mirror.tell(EventMessageType.DEALS_CREATE, deal())
    assert (mirror.figures.balance, mirror.figures.equity) == (10_050.0, 11_046.5)


def test_a_correction_changes_it_by_the_difference(mirror: Mirror) -> None:
    mirror.tell(EventMessageType.DEALS_CREATE, deal())
    mirror.tell(EventMessageType.DEALS_UPDATE, deal(profit=48.75, fee=1.25))
    assert mirror.figures.balance == 10_048.75
    mirror.tell(EventMessageType.DEALS_UPDATE, deal(profit=49.75, fee=0.25))
    assert mirror.figures.balance == 10_049.75


def test_what_the_snapshot_holds_is_in_its_balance() -> None:
    mirror = Mirror()
    mirror.load(told(**NO_POSITION), deals=(deal(),))
    mirror.tell(EventMessageType.DEALS_CREATE, deal())
    assert not mirror.figures.is_computed
    mirror.tell(EventMessageType.DEALS_UPDATE, deal(profit=48.0, fee=2.0, updated_at=EARLY))
    assert mirror.figures.balance == 9998.0


def test_what_the_snapshot_says_of_a_deal_is_not_undone_by_an_event_that_is_older() -> None:
    mirror = Mirror()
    corrected = deal(profit=48.0, fee=2.0, updated_at=EARLY + timedelta(seconds=1))
    mirror.load(told(**NO_POSITION), deals=(corrected,))
    mirror.tell(EventMessageType.DEALS_CREATE, deal())
    mirror.tell(EventMessageType.DEALS_UPDATE, deal(profit=49.0, fee=1.0, updated_at=EARLY))
    assert mirror.figures.balance == 10_000.0
    mirror.tell(EventMessageType.DEALS_UPDATE, corrected)
    assert mirror.figures.balance == 10_000.0


def test_a_correction_that_does_not_say_when_is_an_event_all_the_same() -> None:
    mirror = Mirror()
    mirror.load(told(**NO_POSITION), deals=(deal(profit=48.0, fee=2.0, updated_at=EARLY),))
    mirror.tell(EventMessageType.DEALS_UPDATE, deal(profit=49.0, fee=1.0))
    assert mirror.figures.balance == 10_001.0


@pytest.mark.parametrize(
    ("corrected_at", "told_at", "balance"),
    [
        (None, None, None),
        (None, EARLY, None),
        # The snapshot's was never corrected.
        (EARLY, None, 9999.0),
        (EARLY + timedelta(seconds=1), EARLY, 9999.0),
        (EARLY, EARLY + timedelta(seconds=1), 10_000.0),
    ],
)
def test_a_correction_of_while_the_snapshot_was_taken_may_be_in_it(
    corrected_at: Optional[datetime], told_at: Optional[datetime], balance: Optional[float]
) -> None:
    mirror = Mirror()
    mirror.begin()
    mirror.tell(EventMessageType.DEALS_UPDATE, deal(profit=49.0, fee=1.0, updated_at=corrected_at))
    account = told(**NO_POSITION)
    deals = (deal(updated_at=told_at),)
    mirror.end(Snapshot(account=account, orders=(), positions=(), deals=deals))
    assert mirror.figures.balance == balance
    mirror.load(account, deals=deals)
    assert mirror.figures.balance == 10_000.0


def test_the_same_correction_in_both_is_in_the_balance() -> None:
    mirror = Mirror()
    mirror.begin()
    corrected = deal(profit=49.0, fee=1.0)
    mirror.tell(EventMessageType.DEALS_UPDATE, corrected)
    mirror.end(Snapshot(account=told(**NO_POSITION), orders=(), positions=(), deals=(corrected,)))
    assert mirror.figures.balance == 10_000.0


def test_deals_of_while_the_snapshot_was_taken_count_once() -> None:
    mirror = Mirror()
    mirror.begin()
    mirror.tell(EventMessageType.DEALS_CREATE, deal(1))
    mirror.tell(EventMessageType.DEALS_CREATE, deal(2))
    account = told(**NO_POSITION)
    snapshot = Snapshot(account=account, orders=(), positions=(), deals=(deal(1),))
    mirror.end(snapshot)
    assert mirror.figures.balance == 10_050.0
    assert mirror.figures.is_computed


# -- a deal, and what it makes of its position --------------------------------------------------------------

OUT = deal(
    5,
    side=SELL,
    direction=DirectionType.OUT,
    position_id=1,
    symbol_id=1,
    volume=0.4,
    profit=400.0,
    profit_raw=400.0,
)
REST = position(volume_current=0.6, profit=600.0, total_profit=597.9)


def test_between_a_deal_and_its_position_the_profit_is_not_known(mirror: Mirror) -> None:
    mirror.tell(EventMessageType.DEALS_CREATE, OUT)
    assert mirror.money() == {**dict.fromkeys(MONEY), "balance": 10_400.0, "credit": 0.0}
    mirror.tell_profit(1000.0, 996.5)
    assert mirror.money()["profit"] is None
    mirror.tell(EventMessageType.POSITIONS_UPDATE, REST)
    assert (mirror.figures.balance, mirror.figures.profit) == (10_400.0, 597.9)
    assert mirror.figures.margin == 660.0


def test_a_position_that_is_told_of_before_its_deal_is_known_all_the_same(mirror: Mirror) -> None:
    mirror.tell(EventMessageType.POSITIONS_UPDATE, REST)
    mirror.tell(EventMessageType.DEALS_CREATE, OUT)
    assert (mirror.figures.balance, mirror.figures.profit) == (10_400.0, 597.9)


@pytest.mark.parametrize("is_deal_first", [True, False], ids=["the deal first", "the position first"])
def test_each_deal_is_waited_out(mirror: Mirror, is_deal_first: bool) -> None:
    told_of: List[Tuple[Any, Any]] = [
        (EventMessageType.DEALS_CREATE, OUT),
        (EventMessageType.POSITIONS_UPDATE, REST),
    ]
    for event_type, data in told_of if is_deal_first else reversed(told_of):
        mirror.tell(event_type, data)
    assert mirror.money()["profit"] == 597.9
    mirror.tell(EventMessageType.DEALS_CREATE, attrs.evolve(OUT, id=6))
    assert mirror.money()["profit"] is None


def test_a_closed_position_needs_no_more_words(mirror: Mirror) -> None:
    mirror.tell(EventMessageType.POSITIONS_CLOSE, position(volume_current=0.0))
    mirror.tell(EventMessageType.DEALS_CREATE, attrs.evolve(OUT, volume=1.0))
    assert mirror.money() == {**NO_POSITION, "balance": 10_400.0, "credit": 0.0, **_only(10_400.0)}


def _only(equity: float) -> Dict[str, float]:
    return {"equity": equity, "margin_free": equity}


# -- what is not known --------------------------------------------------------------------------------------

UNKNOWN_DEALS = {
    "credit": deal(side=SideType.CREDIT),
    "a side that nobody knows": deal(side=SideType(9)),
    "a profit that charges are not taken from": deal(commission=3.5),
    "a number beyond all money": deal(profit=1e300, profit_raw=1e300),
}


@pytest.mark.parametrize("unknown", UNKNOWN_DEALS.values(), ids=UNKNOWN_DEALS)
def test_after_a_deal_whose_effect_is_not_known_the_balance_is_not(mirror: Mirror, unknown: Deal) -> None:
    mirror.tell(EventMessageType.DEALS_CREATE, unknown)
    assert (mirror.figures.balance, mirror.figures.equity, mirror.figures.margin_level) == (None, None, None)
    assert (mirror.figures.profit, mirror.figures.margin) == (996.5, 1100.0)
    mirror.tell(EventMessageType.DEALS_CREATE, deal(101))
    assert mirror.figures.balance is None
    mirror.load(told(), (position(),))
    assert mirror.figures.balance == 10_000.0


@pytest.mark.parametrize("sign", [1, -1], ids=["a charge is above zero", "a charge is below zero"])
def test_charges_may_have_either_sign(mirror: Mirror, sign: int) -> None:
    charged = deal(profit=44.0, swap=-1.0, commission=sign * 3.5, fee=sign * 1.5)
    mirror.tell(EventMessageType.DEALS_CREATE, charged)
    assert mirror.figures.balance == 10_044.0


def test_after_a_correction_of_an_unknown_deal_the_balance_is_not_known(mirror: Mirror) -> None:
    mirror.tell(EventMessageType.DEALS_UPDATE, deal())
    assert mirror.figures.balance is None


def test_where_the_server_tells_of_no_deals_none_can_be_counted() -> None:
    mirror = Mirror()
    mirror.load(told(**NO_POSITION), deals=None)
    assert mirror.figures.balance == 10_000.0
    mirror.tell(EventMessageType.DEALS_CREATE, deal())
    assert mirror.figures.balance is None


def test_where_the_server_tells_of_no_positions_their_profit_is_not_known() -> None:
    mirror = Mirror()
    mirror.load(told(), None)
    assert mirror.figures.profit == 996.5
    mirror.tell(EventMessageType.DEALS_CREATE, deal())
    assert mirror.money() == {**dict.fromkeys(MONEY), "balance": 10_050.0, "credit": 0.0}


@pytest.mark.parametrize(
    ("event_type", "raw", "lost"),
    [
        ("deals_create", b"{", {"balance", "credit", "equity", "margin_free", "margin_level"}),
        ("positions_close", b"{", {"profit", "equity", "margin", "margin_free", "margin_level"}),
        (None, b'{"type":"dea', set(MONEY)),
        (None, b"1,1.2,x", set()),
        ("journal_create", b"{", set()),
    ],
)
def test_what_could_not_be_read_may_have_been_anything(
    mirror: Mirror, event_type: Optional[str], raw: bytes, lost: Set[str]
) -> None:
    before = mirror.money()
    error = DecodeError("$.data", "no object", raw, event_type)
    mirror.tell(ClientEventType.DECODE_ERROR, error, raw)
    assert mirror.money() == {name: None if name in lost else before[name] for name in MONEY}


@pytest.mark.parametrize(
    ("event_type", "lost"), [("deals_create", "balance"), ("positions_close", "margin")], ids=str
)
def test_what_could_not_be_read_while_the_snapshot_was_taken_may_be_in_it_or_not(
    event_type: str, lost: str
) -> None:
    mirror = Mirror()
    mirror.begin()
    error = DecodeError("$.data", "no object", b"{", event_type)
    mirror.tell(ClientEventType.DECODE_ERROR, error, b"{")
    snapshot = Snapshot(account=told(), orders=(), positions=(position(),), deals=())
    mirror.end(snapshot)
    assert getattr(mirror.figures, lost) is None
    mirror.load(told(), (position(),))
    assert getattr(mirror.figures, lost) is not None


@pytest.mark.parametrize("known", UNKNOWN_DEALS.values(), ids=UNKNOWN_DEALS)
def test_what_the_snapshot_holds_need_not_be_understood(known: Deal) -> None:
    mirror = Mirror()
    mirror.load(told(**NO_POSITION), deals=(known,))
    if abs(known.profit) < 1e15:
        mirror.tell(EventMessageType.DEALS_CREATE, known)
        assert mirror.figures.balance == 10_000.0
        mirror.tell(EventMessageType.DEALS_UPDATE, attrs.evolve(known, profit=1.0, updated_at=EARLY))
    else:
        mirror.tell(EventMessageType.DEALS_UPDATE, deal(updated_at=EARLY))
    assert mirror.figures.balance is None


# -- rules that do not hold ---------------------------------------------------------------------------------


def test_a_margin_of_another_rule_stays_the_server_s_until_a_position_changes() -> None:
    mirror = Mirror()
    mirror.load(told(margin=550.0, margin_free=10_446.5, margin_level=1999.36), (position(),))
    mirror.tell_profit(1100.0, 1096.5)
    assert (mirror.figures.margin, mirror.figures.margin_free) == (550.0, 10_546.5)
    mirror.tell(EventMessageType.POSITIONS_UPDATE, position(price_sl=1.05))
    assert mirror.figures.margin == 550.0
    mirror.tell(EventMessageType.POSITIONS_OPEN, position(2))
    assert mirror.money() == {
        **dict.fromkeys(MONEY),
        "balance": 10_000.0,
        "credit": 0.0,
        "profit": 1993.0,
        "equity": 11_993.0,
    }


def test_that_there_is_no_margin_without_positions_proves_nothing_later() -> None:
    mirror = Mirror()
    mirror.load(told(margin=0.0, margin_free=10_996.5, margin_level=0.0), (position(),))
    mirror.tell(EventMessageType.POSITIONS_CLOSE, position())
    mirror.tell(EventMessageType.POSITIONS_OPEN, position(2))
    assert mirror.figures.margin is None


@pytest.mark.parametrize(
    ("changed", "margin"), [({"rate_margin": 1.1}, 1210.0), ({"contract_size": 10_000}, 110.0)], ids=str
)
def test_a_margin_follows_what_it_depends_on(
    mirror: Mirror, changed: Dict[str, float], margin: float
) -> None:
    extra = {**position().extra, **changed}
    mirror.tell(EventMessageType.POSITIONS_UPDATE, position(extra=extra))
    assert mirror.figures.margin == margin


@pytest.mark.parametrize("lacking", ["rate_margin", "contract_size"])
def test_a_position_whose_margin_cannot_be_calculated_makes_it_unknown(mirror: Mirror, lacking: str) -> None:
    extra = {name: value for name, value in position().extra.items() if name != lacking}
    mirror.tell(EventMessageType.POSITIONS_OPEN, position(2, symbol_id=99, extra=extra))
    assert mirror.figures.margin is None
    mirror.tell(EventMessageType.POSITIONS_CLOSE, position(2, symbol_id=99, extra=extra))
    assert mirror.figures.margin == 1100.0


def test_the_contract_size_may_be_the_symbol_s(mirror: Mirror) -> None:
    mirror.tell(EventMessageType.POSITIONS_OPEN, position(2, extra={"rate_margin": 1.0}))
    assert mirror.figures.margin == 2200.0


def test_a_margin_that_a_late_event_explains_is_understood_from_then_on() -> None:
    mirror = Mirror()
    # It was opened after the positions were read, and before the account was.
    mirror.load(told(margin=2200.0, margin_free=8796.5, margin_level=499.84), (position(),))
    mirror.tell(EventMessageType.POSITIONS_OPEN, position(2))
    assert mirror.figures.margin == 2200.0
    mirror.tell(EventMessageType.POSITIONS_OPEN, position(3))
    assert mirror.figures.margin == 3300.0


def test_a_margin_of_before_an_event_is_understood_too() -> None:
    mirror = Mirror()
    mirror.begin()
    mirror.tell(EventMessageType.POSITIONS_OPEN, position(2))
    positions = (position(), position(3, status=PositionStatus.CLOSED))
    snapshot = Snapshot(account=told(), orders=(), positions=positions, deals=())
    mirror.end(snapshot)
    assert mirror.figures.margin == 2200.0


def test_a_margin_of_between_two_events_is_understood_too() -> None:
    mirror = Mirror()
    mirror.begin()
    mirror.tell(EventMessageType.POSITIONS_UPDATE, position(volume_current=0.5))
    mirror.tell(EventMessageType.POSITIONS_OPEN, position(2))
    mirror.tell(EventMessageType.POSITIONS_CLOSE, position(2))
    account = told(margin=1650.0)
    snapshot = Snapshot(account=account, orders=(), positions=(position(),), deals=())
    mirror.end(snapshot)
    assert mirror.figures.margin == 550.0


def test_a_margin_without_a_rate_is_not_taken_for_none() -> None:
    mirror = Mirror()
    mirror.begin()
    mirror.tell(EventMessageType.POSITIONS_OPEN, position(2, extra={}))
    mirror.tell(EventMessageType.POSITIONS_OPEN, position(3))
    account = told(margin=1650.0)
    snapshot = Snapshot(account=account, orders=(), positions=(position(),), deals=())
    mirror.end(snapshot)
    mirror.tell(EventMessageType.POSITIONS_CLOSE, position(2, extra={}))
    assert mirror.figures.margin is None


def test_a_position_that_came_and_went_while_the_snapshot_was_taken_may_be_in_its_margin() -> None:
    for margin, known in ((1100.0, 0.0), (1200.0, None)):
        mirror = Mirror()
        mirror.begin()
        mirror.tell(EventMessageType.POSITIONS_OPEN, position())
        mirror.tell(EventMessageType.POSITIONS_CLOSE, position())
        account = told(margin=margin)
        snapshot = Snapshot(account=account, orders=(), positions=(), deals=())
        mirror.end(snapshot)
        assert (mirror.figures.profit, mirror.figures.margin) == (0.0, known)


def test_an_equity_of_another_rule_stays_the_server_s_until_something_changes() -> None:
    mirror = Mirror()
    mirror.load(told(equity=10_000.0, margin_free=8900.0, margin_level=909.09), (position(),))
    mirror.tell(EventMessageType.POSITIONS_UPDATE, position(comment="noted"))
    assert mirror.figures.equity == 10_000.0
    mirror.tell_profit(1100.0, 1096.5)
    assert mirror.money() == {
        **dict.fromkeys(MONEY),
        "balance": 10_000.0,
        "credit": 0.0,
        "profit": 1096.5,
        "margin": 1100.0,
    }


def test_a_profit_that_leaves_out_charges_is_not_computed_on() -> None:
    mirror = Mirror()
    mirror.load(told(profit=1000.0, equity=11_000.0, margin_free=9900.0, margin_level=1000.0), (position(),))
    mirror.tell(EventMessageType.DEALS_CREATE, deal())
    assert (mirror.figures.profit, mirror.figures.equity) == (1000.0, 11_050.0)
    mirror.tell_profit(1100.0, 1096.5)
    assert (mirror.figures.profit, mirror.figures.equity) == (None, None)


def test_a_price_that_moved_while_the_snapshot_was_taken_does_not_spoil_the_rule() -> None:
    mirror = Mirror()
    mirror.load(told(profit=1006.5, equity=11_006.5, margin_free=9906.5, margin_level=1000.59), (position(),))
    assert mirror.figures.profit == 1006.5
    mirror.tell_profit(1020.0, 1016.5)
    assert mirror.figures.profit == 1016.5


@pytest.mark.parametrize("of_prices", [1010.0, 1000.0], ids=["before the account", "after it"])
def test_where_prices_moved_between_the_calls_the_profit_is_taken_for_the_sum_with_charges(
    of_prices: float,
) -> None:
    """This server's profit leaves charges out, which a sum of other prices does not show."""
    mirror = Mirror()
    mirror.begin()
    mirror.tell_profit(1010.0, 1006.5)
    account = told(profit=of_prices, equity=10_000 + of_prices, margin_free=8900 + of_prices)
    snapshot = Snapshot(account=account, orders=(), positions=(position(),), deals=())
    mirror.end(snapshot)
    assert (mirror.figures.profit, mirror.figures.equity) == (1006.5, 11_006.5)
    # The next snapshot, in peace, shows it.
    account = told(profit=1010.0, equity=11_010.0, margin_free=9910.0, margin_level=1000.91)
    mirror.load(account, (position(profit=1010.0, total_profit=1006.5),))
    mirror.tell_profit(1100.0, 1096.5)
    assert (mirror.money()["profit"], mirror.money()["equity"]) == (None, None)


def test_where_prices_moved_between_the_calls_without_a_word_the_profit_is_taken_for_the_sum_with_charges() -> (
    None
):
    mirror = Mirror()
    mirror.load(told(profit=1010.0, equity=11_010.0, margin_free=9910.0, margin_level=1000.91), (position(),))
    assert (mirror.figures.profit, mirror.figures.is_computed) == (1010.0, False)
    mirror.tell_profit(1010.0, 1006.5)
    assert (mirror.figures.profit, mirror.figures.equity) == (1006.5, 11_006.5)


def test_a_price_that_moved_after_the_account_was_read_is_counted(mirror: Mirror) -> None:
    mirror.begin()
    mirror.tell_profit(1100.0, 1096.5)
    snapshot = Snapshot(account=told(), orders=(), positions=(position(),), deals=())
    mirror.end(snapshot)
    assert (mirror.figures.profit, mirror.figures.is_computed) == (1096.5, True)


def test_a_price_that_moved_after_a_position_that_was_changed_while_deaf_was_read_is_counted(
    mirror: Mirror,
) -> None:
    mirror.lose()
    changed = position(swaps=-1.0, total_profit=995.5, updated_at=EARLY)
    mirror.begin()
    mirror.tell_profit(1100.0, 1095.5)
    account = told(profit=1095.5, equity=11_095.5, margin_free=9995.5, margin_level=1008.68)
    snapshot = Snapshot(account=account, orders=(), positions=(changed,), deals=())
    mirror.end(snapshot)
    assert mirror.account.positions[1].total_profit == 1095.5
    assert mirror.figures.profit == 1095.5


def test_a_profit_of_before_an_event_does_not_outlive_it(mirror: Mirror) -> None:
    mirror.begin()
    mirror.tell_profit(1100.0, 1096.5)
    mirror.tell(EventMessageType.POSITIONS_UPDATE, position(total_profit=995.5, updated_at=EARLY))
    later = position(total_profit=990.0, updated_at=EARLY + timedelta(seconds=1))
    snapshot = Snapshot(account=told(), orders=(), positions=(later,), deals=())
    mirror.end(snapshot)
    assert mirror.figures.profit == 990.0


def test_a_free_margin_of_another_rule_is_not_computed() -> None:
    mirror = Mirror()
    mirror.load(told(margin_free=8900.0), (position(),))
    mirror.tell_profit(1100.0, 1096.5)
    assert mirror.figures.margin_free is None
    assert mirror.figures.margin_level == 1008.77


def test_a_margin_level_of_another_rule_is_not_computed() -> None:
    mirror = Mirror()
    mirror.load(told(margin_level=9.9968), (position(),))
    mirror.tell_profit(1100.0, 1096.5)
    assert mirror.figures.margin_level is None
    assert mirror.figures.margin_free == 9996.5


@pytest.mark.parametrize("level", [None, 0.0, 99_999.0])
def test_without_margin_the_level_is_what_the_server_says_it_is(level: Optional[float]) -> None:
    mirror = Mirror()
    mirror.load(told(**{**NO_POSITION, "margin_level": level}))
    mirror.tell(EventMessageType.POSITIONS_OPEN, position())
    assert mirror.figures.margin_level == 999.68
    mirror.tell(EventMessageType.POSITIONS_CLOSE, position())
    mirror.tell(EventMessageType.DEALS_CREATE, deal())
    assert (mirror.figures.margin, mirror.figures.margin_level) == (0.0, level)


def test_what_the_server_leaves_out_is_not_made_up() -> None:
    mirror = Mirror()
    mirror.load(TradingAccount(balance=10_000.0, margin_free=9896.5), (position(),))
    mirror.tell(EventMessageType.DEALS_CREATE, deal())
    found = mirror.figures
    assert (found.currency, found.balance, found.profit) == (None, 10_050.0, 996.5)
    assert (found.equity, found.margin, found.margin_free, found.margin_level) == (None,) * 4


@pytest.mark.parametrize("untold", [{"profit": None}, {"profit": None, "margin": None}], ids=str)
def test_what_the_server_left_out_and_is_not_known_now_is_not_the_same(untold: Dict[str, None]) -> None:
    mirror = Mirror()
    mirror.load(told(**untold), (position(),))
    error = DecodeError("$.data", "no object", b"{", "positions_close")
    mirror.tell(ClientEventType.DECODE_ERROR, error, b"{")
    assert mirror.money() == {**dict.fromkeys(MONEY), "balance": 10_000.0, "credit": 0.0}


# -- quotes -------------------------------------------------------------------------------------------------


def proven(mirror: Mirror) -> None:
    """The profit that the server says is that of a quote."""
    mirror.quote(1, 1.11)
    mirror.tell_profit(1000.0, 996.5)


def test_a_quote_moves_the_profit(mirror: Mirror) -> None:
    proven(mirror)
    mirror.quote(1, 1.1234, 1.2)
    assert (mirror.figures.profit, mirror.figures.is_computed) == (2336.5, True)
    assert mirror.figures.updated_at == mirror.moment
    # The object in the mirror is what the server said.
    assert mirror.account.positions[1].total_profit == 996.5


def test_a_position_that_was_sold_is_valued_at_the_ask() -> None:
    mirror = Mirror()
    mirror.load(told(), (position(side=SELL, profit=1000.0, price_current=1.09),))
    mirror.quote(1, 1.08, 1.09)
    mirror.tell_profit(1000.0, 996.5)
    mirror.quote(1, 1.07, 1.085)
    assert mirror.figures.profit == 1496.5


WRONG = {
    "another price": lambda mirror: mirror.quote(1, 1.1101),
    "another contract size": lambda mirror: mirror.tell(
        EventMessageType.POSITIONS_UPDATE, position(extra={"contract_size": 1000, "rate_margin": 1})
    ),
    "another side": lambda mirror: mirror.tell(EventMessageType.POSITIONS_UPDATE, position(side=SELL)),
    "a side that is none": lambda mirror: mirror.tell(
        EventMessageType.POSITIONS_UPDATE, position(side=SideType.BALANCE)
    ),
}


@pytest.mark.parametrize("make_wrong", WRONG.values(), ids=WRONG)
def test_a_calculation_that_does_not_give_the_server_s_profit_is_not_used(
    mirror: Mirror, make_wrong: Callable[[Mirror], None]
) -> None:
    proven(mirror)
    mirror.quote(1, 1.11)
    assert mirror.figures.profit == 996.5
    make_wrong(mirror)
    mirror.tell_profit(1000.0, 996.5)
    mirror.quote(1, 1.2)
    assert mirror.figures.profit == 996.5
    mirror.tell_profit(10_000.0, 9996.5)
    assert mirror.figures.profit == 9996.5


def test_no_profit_at_all_proves_nothing(mirror: Mirror) -> None:
    mirror.quote(1, 1.1)
    mirror.tell_profit(0.0, -3.5)
    mirror.quote(1, 1.2)
    assert mirror.figures.profit == -3.5


def test_without_a_quote_of_then_nothing_is_proven(mirror: Mirror) -> None:
    mirror.quote(1, 1.2)
    assert mirror.figures.profit == 996.5


def test_what_the_server_says_counts_until_a_quote_is_newer(mirror: Mirror) -> None:
    proven(mirror)
    mirror.quote(1, 1.12)
    mirror.tell_profit(1999.0, 1990.0)
    assert mirror.figures.profit == 1990.0


def in_yen() -> Position:
    """A lot of EURJPY, bought at 164.0, at 164.1 with the dollar at 151.243: 10,000 yen."""
    return position(
        symbol_id=7,
        price_open=164.0,
        price_current=164.1,
        profit=66.12,
        total_profit=66.12,
        extra={},
    )


def test_a_currency_is_converted_by_the_symbol_of_both() -> None:
    mirror = Mirror()
    mirror.load(told(margin=None), (in_yen(),))
    mirror.quote(3, 151.243)
    mirror.quote(7, 164.1)
    mirror.tell_profit(66.12, 66.12)
    mirror.quote(7, 165.0)
    assert mirror.figures.profit == 661.19
    mirror.quote(3, 150.0)
    assert mirror.figures.profit == 666.67


def test_a_currency_is_converted_by_the_symbol_whose_base_it_is() -> None:
    mirror = Mirror()
    pounds = position(symbol_id=8, price_open=0.85, price_current=0.86, profit=1264.8, total_profit=1264.8)
    mirror.load(told(), (pounds,))
    mirror.quote(2, 1.2648)
    mirror.quote(8, 0.86)
    mirror.tell_profit(1264.8, 1264.8)
    mirror.quote(2, 1.3)
    assert mirror.figures.profit == 1300.0


def test_a_currency_that_no_symbol_or_more_than_one_converts_is_not_converted() -> None:
    other = attrs.evolve(USDJPY, id=33, symbol="USDJPY.m")
    for symbols in ((EURJPY,), (EURJPY, USDJPY, other)):
        mirror = Mirror()
        mirror.load(told(margin=None), (in_yen(),), symbols=symbols)
        mirror.quote(3, 151.243)
        mirror.quote(33, 151.243)
        mirror.quote(7, 164.1)
        mirror.tell_profit(66.12, 66.12)
        mirror.quote(7, 165.0)
        assert mirror.figures.profit == 66.12


def test_a_quote_that_could_not_be_one_is_not_used() -> None:
    mirror = Mirror()
    mirror.load(told(margin=None), (in_yen(),))
    mirror.quote(3, 151.243)
    mirror.quote(7, 164.1)
    mirror.tell_profit(66.12, 66.12)
    for bid in (0.0, -1.0, 1e300):
        mirror.quote(3, bid)
        assert mirror.figures.profit is None
    mirror.quote(3, 151.243)
    assert mirror.figures.profit == 66.12


# -- odd values ---------------------------------------------------------------------------------------------

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=3),
    st.floats(allow_nan=True, allow_infinity=True),
    st.integers(),
    st.integers(min_value=10**300, max_value=10**301),
    st.lists(st.integers(), max_size=2),
)


@given(
    extra=st.fixed_dictionaries({"contract_size": ODD, "rate_margin": ODD}),
    numbers=st.fixed_dictionaries(
        {name: st.floats() for name in ("price_open", "volume_current", "profit", "total_profit")}
    ),
    prices=st.tuples(st.floats(), st.floats()),
    leverage=st.one_of(st.none(), st.floats()),
    digits=st.one_of(st.none(), st.integers()),
)
def test_no_value_is_too_odd(
    extra: Dict[str, Any],
    numbers: Dict[str, Any],
    prices: Tuple[float, float],
    leverage: Optional[float],
    digits: Optional[int],
) -> None:
    odd = attrs.evolve(position(extra=extra), **numbers)
    mirror = Mirror()
    mirror.load(told(leverage=leverage, digits_currency=digits), (odd,))
    mirror.quote(1, prices[0])
    mirror.tell_profit(numbers["profit"], numbers["total_profit"])
    mirror.quote(1, *prices)
    mirror.tell(EventMessageType.POSITIONS_OPEN, attrs.evolve(odd, id=2))
    mirror.tell(EventMessageType.DEALS_CREATE, deal(profit=prices[0], profit_raw=prices[0]))
    assert all(value is None or math.isfinite(value) for value in mirror.money().values())


def test_the_caller_s_decimal_context_does_not_matter(mirror: Mirror) -> None:
    proven(mirror)
    mirror.quote(1, 1.1234)
    with decimal.localcontext(decimal.Context(prec=2, traps=[decimal.Inexact, decimal.Rounded])):
        assert mirror.figures.profit == 2336.5
        mirror.tell(EventMessageType.DEALS_CREATE, deal(profit=0.07, profit_raw=0.07))
        assert mirror.figures.balance == 10_000.07


def test_what_nobody_asks_for_does_not_pile_up(mirror: Mirror) -> None:
    valuation = mirror.account._valuation
    for identity in range(2, 500):
        mirror.tell(EventMessageType.POSITIONS_OPEN, position(identity))
        mirror.tell_profit(1.0, 1.0, identity)
        assert identity % 2 or mirror.figures
        mirror.tell(EventMessageType.POSITIONS_CLOSE, position(identity))
    mirror.quote(1, 1.2)
    assert mirror.figures
    mirror.tell(EventMessageType.POSITIONS_CLOSE, position())
    books = valuation._books
    assert books is not None
    parts = (valuation, books.ledger, books.holdings, books.margins, books.pairing)
    kept = [
        (name, len(value))
        for part in parts
        for name, value in vars(part).items()
        if hasattr(value, "__len__")
    ]
    assert {name for name, length in kept if length} == {"_quotes"}


def test_of_more_positions_than_are_kept_the_profit_is_not_known(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holdings, "LIVE_LIMIT", 3)
    for identity in (2, 3):
        mirror.tell(EventMessageType.POSITIONS_OPEN, position(identity))
    assert mirror.money()["profit"] == 2989.5
    mirror.tell(EventMessageType.POSITIONS_OPEN, position(4))
    assert (mirror.money()["profit"], mirror.money()["margin"]) == (None, None)


def test_of_deals_long_past_a_correction_is_not_understood(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "_BOOKED_LIMIT", 40)
    for identity in range(100, 150):
        mirror.tell(EventMessageType.DEALS_CREATE, deal(identity))
    mirror.tell(EventMessageType.DEALS_UPDATE, deal(149, profit=49.0, fee=1.0))
    assert mirror.figures.balance == 12_499.0
    mirror.tell(EventMessageType.DEALS_UPDATE, deal(100, profit=49.0, fee=1.0))
    assert mirror.money()["balance"] is None


def test_a_position_of_another_symbol_than_before_is_another_one(mirror: Mirror) -> None:
    mirror.tell(EventMessageType.POSITIONS_UPDATE, position(symbol_id=3))
    assert (mirror.figures.profit, mirror.figures.margin) == (996.5, 1100.0)
    mirror.tell(EventMessageType.POSITIONS_CLOSE, position())
    assert (mirror.money()["profit"], mirror.money()["margin"]) == (0.0, 0.0)


# -- the arithmetic -----------------------------------------------------------------------------------------

prices = st.decimals(min_value=Decimal("0.5"), max_value=Decimal(250), places=5)
lots = st.decimals(min_value=Decimal("0.01"), max_value=Decimal(50), places=2)
money = st.decimals(min_value=-10_000, max_value=10_000, places=2)
sizes = st.sampled_from([1, 10, 100, 5000, 100_000])


def half_up(amount: Fraction, digits: int = 2) -> Fraction:
    """Rounded to so many decimals, a half away from zero."""
    scaled = abs(amount) * 10**digits
    rounded = math.floor(scaled + Fraction(1, 2))
    return Fraction(rounded if amount > 0 else -rounded, 10**digits)


@given(
    side=st.sampled_from([BUY, SELL]),
    price_open=prices,
    first=prices,
    second=prices,
    volume=lots,
    size=sizes,
    charges=money,
    digits=st.integers(min_value=0, max_value=4),
    yen=st.none() | st.decimals(min_value=50, max_value=250, places=3),
)
def test_the_profit_of_a_quote(
    side: SideType,
    price_open: Decimal,
    first: Decimal,
    second: Decimal,
    volume: Decimal,
    size: int,
    charges: Decimal,
    digits: int,
    yen: Optional[Decimal],
) -> None:
    rate = Fraction(1) if yen is None else half_up(1 / Fraction(yen), 10)
    sign = 1 if side is BUY else -1

    def profit_at(price: Decimal) -> Fraction:
        move = Fraction(price) - Fraction(price_open)
        return half_up(sign * move * Fraction(volume) * size * rate, digits)

    then, now = profit_at(first), profit_at(second)
    symbol = EURUSD if yen is None else EURJPY
    held = position(
        symbol_id=symbol.id,
        side=side,
        price_open=float(price_open),
        volume_current=float(volume),
        profit=float(then),
        total_profit=float(then + Fraction(charges)),
        extra={"contract_size": size},
    )
    mirror = Mirror()
    mirror.load(told(digits_currency=digits, margin=None), (held,))
    if yen is not None:
        mirror.quote(3, float(yen))
    mirror.quote(symbol.id, float(first))
    mirror.tell_profit(held.profit, held.total_profit)
    mirror.quote(symbol.id, float(second))
    note("nothing to prove" if then == 0 else "proven")
    assert mirror.figures.profit == (float((now if then else then) + Fraction(charges)))


@given(
    st.lists(st.tuples(prices, lots, sizes, prices), min_size=1, max_size=8),
    st.sampled_from([1, 30, 100, 500]),
    st.integers(min_value=0, max_value=8),
)
def test_the_margin(opened: List[Tuple[Decimal, Decimal, int, Decimal]], leverage: int, known: int) -> None:
    margins = [
        half_up(Fraction(price) * Fraction(volume) * size * Fraction(rate) / leverage)
        for price, volume, size, rate in opened
    ]
    positions = [
        position(
            identity,
            price_open=float(price),
            volume_current=float(volume),
            extra={"contract_size": size, "rate_margin": float(rate)},
        )
        for identity, (price, volume, size, rate) in enumerate(opened)
    ]
    mirror = Mirror()
    mirror.load(told(margin=float(sum(margins[:known])), leverage=leverage), tuple(positions[:known]))
    for one in positions[known:]:
        mirror.tell(EventMessageType.POSITIONS_OPEN, one)
    assert mirror.figures.margin == float(sum(margins))
    for one in positions[:-1]:
        mirror.tell(EventMessageType.POSITIONS_CLOSE, one)
    assert mirror.figures.margin == float(margins[-1])


# -- races --------------------------------------------------------------------------------------------------


class Server:
    """The simulator's books, whose every word waits until it is delivered."""

    def __init__(self, mirror: Mirror) -> None:
        self.market = Market(1)
        self.clock = 0
        self.waiting: List[Tuple[Any, Any]] = []
        self.subscribed = {1, 3, 7}
        self._mirror = mirror
        self._writer = Writer(self.market, True, lambda: "")
        self.books = Books(
            self.market,
            self._publish,
            lambda one: self._say(EventMessageType.PROFIT_UPDATE, parse_record(profit_frame(one), COLUMNS)),
            balance=Decimal(10_000),
            leverage=100,
            history=1000,
            now=self._now,
        )

    def _now(self) -> int:
        self.clock += 1_000
        return 1_700_000_000_000_000_000 + self.clock

    def _say(self, event_type: Any, data: Any) -> None:
        self.waiting.append((event_type, data))

    def _publish(self, event_type: EventMessageType, record: Any) -> None:
        models: Dict[str, Any] = {"Position": Position, "Deal": Deal}
        model = models.get(type(record).__name__)
        if model is not None:
            self._say(event_type, structure(self._writer.write(record), model))

    def deliver(self, count: int) -> None:
        """Let the mirror have the next so many."""
        for event_type, data in self.waiting[:count]:
            self._mirror.tell(event_type, data)
        del self.waiting[:count]

    def act(self, choice: int, number: int) -> None:
        """Something happens to the account."""
        opened = self.books.open_positions()
        if choice == 0:
            symbol_id = (1, 2, 3, 7, 8)[number % 5]
            price = self.market.price(symbol_id)
            self.market.set(symbol_id, price.bid * (1 + Decimal(number % 41 - 20) / 1000))
            payload = self.market.frame(symbol_id)
            assert payload is not None
            if symbol_id in self.subscribed:
                self._say(EventMessageType.MARKET_FEED, parse_record(payload, COLUMNS))
            self.books.price_changed(symbol_id)
        elif choice == 1:
            side, symbol_id = (BUY, SELL)[number % 2], (1, 7, 8)[number % 3]
            self.books.fill(self.books.place(symbol_id, side, Decimal(1 + number % 4)))
        elif choice == 2 and opened:
            one = opened[number % len(opened)]
            self.books.close(one, Decimal(1) if number % 3 else None)
        elif choice == 3:
            self.books.deposit(Decimal(number - 500) / 100, None)
        elif choice == 4 and opened:
            self.books.update_position(opened[number % len(opened)], {"swaps": Decimal(number) / 9})
        elif choice == 5 and self.books.deals.all():
            deals = self.books.deals.all()
            self.books.update_deal(deals[number % len(deals)], {"fee": Decimal(number) / 9})

    # The parts of a snapshot, as of now.

    def account(self) -> TradingAccount:
        return structure(self._writer.account(self.books.account()), TradingAccount)

    def positions(self) -> Tuple[Position, ...]:
        return tuple(structure(self._writer.position(one), Position) for one in self.books.positions.all())

    def deals(self) -> Tuple[Deal, ...]:
        return tuple(structure(self._writer.deal(one), Deal) for one in self.books.deals.all())

    def symbols(self) -> Tuple[Symbol, ...]:
        return tuple(
            structure(self._writer.symbol(item), Symbol) for item in self.market.instruments.values()
        )


happenings = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 1000), st.integers(0, 4)),
    max_size=5,
)


@given(st.lists(happenings, min_size=7, max_size=7), st.sampled_from(["first", "again", "deaf"]))
def test_however_a_snapshot_is_raced_they_end_as_the_server_s(
    stretches: List[List[Tuple[int, int, int]]], kind: str
) -> None:
    mirror = Mirror()
    server = Server(mirror)

    def happen(stretch: List[Tuple[int, int, int]]) -> None:
        for choice, number, delivered in stretch:
            server.act(choice, number)
            server.deliver(delivered)
            # To ask or not makes no difference.
            assert number % 2 or mirror.account.figures is None or mirror.figures

    first, before, before_positions, before_account, before_symbols, before_loaded, after = stretches
    for choice, number, _ in first:
        server.act(choice, number)
    server.waiting.clear()
    if kind != "first":
        mirror.load(server.account(), server.positions(), server.deals(), server.symbols())
    happen(before)
    if kind == "deaf":
        mirror.lose()
        server.waiting.clear()
    mirror.begin()
    happen(before_positions)
    positions = server.positions()
    happen(before_account)
    account, deals = server.account(), server.deals()
    happen(before_symbols)
    symbols = server.symbols()
    happen(before_loaded)
    snapshot = Snapshot(account=account, orders=(), positions=positions, deals=deals, symbols=symbols)
    mirror.end(snapshot)
    happen(after)
    server.deliver(len(server.waiting))
    expected = server.account()
    found = mirror.figures
    assert (found.balance, found.profit, found.equity) == (expected.balance, expected.profit, expected.equity)
    note("margin " + ("is not known" if found.margin is None else "is known"))
    if found.margin is not None:
        assert mirror.money() == {name: getattr(expected, name) for name in MONEY}
    # The next one settles it in any case, and in peace.
    mirror.load(expected, server.positions(), server.deals(), server.symbols())
    for choice, number, _ in before + after:
        server.act(choice, number)
        server.deliver(len(server.waiting))
        expected = server.account()
        assert mirror.money() == {name: getattr(expected, name) for name in MONEY}


def test_a_closed_position_of_the_snapshot_counts_for_nothing() -> None:
    mirror = Mirror()
    closed = position(2, status=PositionStatus.CLOSED, total_profit=5.0)
    mirror.load(told(), (position(), closed))
    mirror.tell_profit(1100.0, 1096.5)
    assert (mirror.figures.profit, mirror.figures.margin) == (1096.5, 1100.0)
