"""The mirror, row by row: what the specification's Redux table does with each event, ``Account.consumer`` does."""

from __future__ import annotations

import threading
from typing import Any, Callable, Dict, List, Optional, Tuple

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onetrade_ws import (
    Account,
    CallbackError,
    ChannelType,
    ClientEventType,
    ConnectionLostError,
    ConnectionState,
    Deal,
    DecodeError,
    DirectionType,
    Event,
    EventMessageType,
    Journal,
    Notification,
    OneTradeClient,
    Order,
    OrderStatus,
    OrderType,
    Position,
    PositionStatus,
    ProfitUpdate,
    Quote,
    ReasonType,
    Reconnecting,
    Recovered,
    Report,
    ServerError,
    SessionInUseError,
    SessionLoggedOutError,
    SessionLogout,
    SideType,
    SlowConsumer,
    Stale,
    StateChange,
)

CLOSED, CONNECTING, OPEN, CLOSING = (
    ConnectionState.CLOSED,
    ConnectionState.CONNECTING,
    ConnectionState.OPEN,
    ConnectionState.CLOSING,
)

LIMIT = 3


@pytest.fixture
def account() -> Account:
    return Account(LIMIT)


def order(identity: int = 1, **changes: Any) -> Order:
    values = {
        "account_id": 7,
        "symbol_id": 1,
        "type": OrderType.BUY_LIMIT,
        "side": SideType.BUY,
        "volume_initial": 1.0,
        "volume_current": 1.0,
        "price_order": 1.1,
        "price_current": 1.2,
    }
    return Order(id=identity, **{**values, **changes})


def position(identity: int = 1, **changes: Any) -> Position:
    values = {
        "account_id": 7,
        "symbol_id": 1,
        "side": SideType.BUY,
        "volume_initial": 1.0,
        "volume_current": 1.0,
        "price_open": 1.1,
        "price_current": 1.2,
    }
    return Position(id=identity, **{**values, **changes})


def deal(identity: int = 1, **changes: Any) -> Deal:
    numbers = (
        "volume price entry profit profit_raw commission swap fee storage market_bid market_ask market_last"
    )
    values = {
        "account_id": 7,
        "order_id": 1,
        "position_id": 1,
        "symbol_id": 1,
        "side": SideType.BUY,
        "direction": DirectionType.IN,
        "reason": ReasonType.CLIENT,
        "channel": ChannelType.API,
        **dict.fromkeys(numbers.split(), 1.0),
    }
    return Deal(id=identity, **{**values, **changes})


def journal(identity: int) -> Journal:
    return Journal(
        id=identity, user_id=7, desc="login", ip="192.0.2.7", device="pc", os="linux", channel=ChannelType.WEB
    )


def report(identity: int, status: int = 1) -> Report:
    return Report(
        id=identity,
        user_id=7,
        type=1,
        status=status,
        kind="pdf",
        desc="",
        query="",
        url="https://host.example/r",
    )


def notification(event_type: EventMessageType, text: str) -> Notification:
    return Notification(type=event_type, message=text)


def take(account: Account, event: Event) -> None:
    consumer = account.consumer(event.type)
    if consumer is not None:
        consumer(event)


def apply(account: Account, event_type: Any, *data: Any) -> None:
    for each in data:
        take(account, Event(event_type, each, 1_700_000_000.0, b"{}"))


def change(account: Account, *states: ConnectionState, reason: Optional[ConnectionLostError] = None) -> None:
    """Go through the states, the first of which is where the connection is."""
    for old, new in zip(states, states[1:]):
        apply(account, ClientEventType.STATE_CHANGED, StateChange(old=old, new=new, reason=reason))


# -- at first -------------------------------------------------------------------------------------------------------


def test_at_first_there_is_nothing(account: Account) -> None:
    assert (account.orders, account.active_orders, account.positions, account.open_positions) == (
        {},
        {},
        {},
        {},
    )
    assert (account.deals, account.reports, account.quotes) == ({}, {}, {})
    assert (account.journal, account.notifications) == ([], [])
    assert (account.session_logged_out, account.two_tabs_detected, account.reconnecting) == (False,) * 3
    assert account.connection_state is CLOSED


# -- orders ---------------------------------------------------------------------------------------------------------


def test_a_placed_order_is_added(account: Account) -> None:
    apply(account, EventMessageType.ORDERS_PLACE, order(1), order(2))
    assert account.orders == account.active_orders == {1: order(1), 2: order(2)}


def test_an_update_replaces_the_order(account: Account) -> None:
    apply(account, EventMessageType.ORDERS_PLACE, order(1), order(2))
    changed = order(1, volume_current=0.5, price_sl=1.0, status=OrderStatus.PARTIALLY_FILLED)
    apply(account, EventMessageType.ORDERS_UPDATE, changed)
    assert account.orders == account.active_orders == {1: changed, 2: order(2)}
    assert list(account.orders) == [1, 2]


def test_an_update_replaces_and_does_not_merge(account: Account) -> None:
    apply(account, EventMessageType.ORDERS_PLACE, order(1, comment="mine", extra={"digits": 5}))
    apply(account, EventMessageType.ORDERS_UPDATE, order(1))
    assert account.orders == {1: order(1)}


def test_a_filled_order_is_over(account: Account) -> None:
    apply(account, EventMessageType.ORDERS_PLACE, order(1))
    apply(account, EventMessageType.ORDERS_UPDATE, order(1, status=OrderStatus.FILLED))
    assert account.orders[1].status is OrderStatus.FILLED
    assert account.active_orders == {}


@pytest.mark.parametrize(
    ("event_type", "status"),
    [
        (EventMessageType.ORDERS_CANCEL, OrderStatus.CANCELED),
        (EventMessageType.ORDERS_EXPIRED, OrderStatus.EXPIRED),
        (EventMessageType.ORDERS_REJECTED, OrderStatus.REJECTED),
    ],
)
def test_an_order_that_ends_gets_its_status(
    account: Account, event_type: EventMessageType, status: OrderStatus
) -> None:
    apply(account, EventMessageType.ORDERS_PLACE, order(1))
    # Whether the object says so itself, or the event's name alone.
    for said in (status, OrderStatus.PLACED, OrderStatus.PARTIALLY_FILLED, OrderStatus(99)):
        apply(account, event_type, order(1, status=said, comment="why"))
        assert account.orders == {1: order(1, status=status, comment="why")}
        assert account.active_orders == {}


def test_an_order_that_says_itself_how_it_ended_is_believed(account: Account) -> None:
    apply(account, EventMessageType.ORDERS_CANCEL, order(1, status=OrderStatus.EXPIRED))
    assert account.orders[1].status is OrderStatus.EXPIRED


def test_a_requoted_order_is_still_active(account: Account) -> None:
    requoted = order(1, status=OrderStatus.REQUOTED, price_order=1.15)
    apply(account, EventMessageType.ORDERS_PLACE, order(1))
    apply(account, EventMessageType.ORDERS_REQUOTED, requoted)
    assert account.orders == account.active_orders == {1: requoted}


@pytest.mark.parametrize(
    ("status", "active"),
    [
        (OrderStatus.PLACED, True),
        (OrderStatus.STARTED, True),
        (OrderStatus.PARTIALLY_FILLED, True),
        (OrderStatus.FILLED, False),
        (OrderStatus.CANCELED, False),
        (OrderStatus.REJECTED, False),
        (OrderStatus.EXPIRED, False),
        (OrderStatus.REQUOTED, True),
        (OrderStatus(99), True),
    ],
)
def test_which_orders_are_active(account: Account, status: OrderStatus, active: bool) -> None:
    apply(account, EventMessageType.ORDERS_UPDATE, order(1, status=status))
    assert (1 in account.active_orders) is active
    assert 1 in account.orders


@pytest.mark.parametrize(
    "event_type",
    [
        EventMessageType.ORDERS_UPDATE,
        EventMessageType.ORDERS_CANCEL,
        EventMessageType.ORDERS_EXPIRED,
        EventMessageType.ORDERS_REJECTED,
        EventMessageType.ORDERS_REQUOTED,
    ],
)
def test_an_order_that_was_never_seen_is_added(account: Account, event_type: EventMessageType) -> None:
    apply(account, event_type, order(5))
    assert list(account.orders) == [5]


# -- positions ------------------------------------------------------------------------------------------------------


def test_an_opened_position_is_added_and_an_update_replaces_it(account: Account) -> None:
    apply(account, EventMessageType.POSITIONS_OPEN, position(1), position(2))
    apply(account, EventMessageType.POSITIONS_UPDATE, position(1, volume_current=0.4, profit=3.0))
    assert account.positions == account.open_positions
    assert account.positions == {1: position(1, volume_current=0.4, profit=3.0), 2: position(2)}


@pytest.mark.parametrize("said", [PositionStatus.CLOSED, PositionStatus.OPEN, PositionStatus.CLOSING])
def test_a_closed_position_gets_its_status(account: Account, said: PositionStatus) -> None:
    apply(account, EventMessageType.POSITIONS_OPEN, position(1), position(2))
    apply(account, EventMessageType.POSITIONS_CLOSE, position(1, status=said, profit=9.0))
    assert account.positions == {
        1: position(1, status=PositionStatus.CLOSED, profit=9.0),
        2: position(2),
    }
    assert account.open_positions == {2: position(2)}


def test_a_position_that_is_closing_is_open(account: Account) -> None:
    apply(account, EventMessageType.POSITIONS_UPDATE, position(1, status=PositionStatus.CLOSING))
    assert list(account.open_positions) == [1]


@pytest.mark.parametrize("event_type", [EventMessageType.POSITIONS_UPDATE, EventMessageType.POSITIONS_CLOSE])
def test_a_position_that_was_never_seen_is_added(account: Account, event_type: EventMessageType) -> None:
    apply(account, event_type, position(5))
    assert list(account.positions) == [5]


def profit(identity: int, amount: float) -> ProfitUpdate:
    return ProfitUpdate(position_id=identity, profit=amount, total_profit=amount - 1)


def test_a_profit_frame_changes_the_profits_of_its_position_alone(account: Account) -> None:
    before = position(1, swaps=0.5, comment="mine", extra={"action": 1})
    apply(account, EventMessageType.POSITIONS_OPEN, before, position(2))
    apply(account, EventMessageType.PROFIT_UPDATE, profit(1, 10.0), profit(1, -12.5))
    assert account.positions == {
        1: attrs.evolve(before, profit=-12.5, total_profit=-13.5),
        2: position(2),
    }


def test_a_profit_frame_applies_to_a_position_that_is_closing(account: Account) -> None:
    apply(account, EventMessageType.POSITIONS_UPDATE, position(1, status=PositionStatus.CLOSING))
    apply(account, EventMessageType.PROFIT_UPDATE, profit(1, 4.0))
    assert account.positions[1].profit == 4.0


def test_the_profit_of_an_unknown_position_makes_none(account: Account) -> None:
    apply(account, EventMessageType.PROFIT_UPDATE, profit(1, 10.0))
    assert account.positions == {}


def test_the_profit_of_a_closed_position_is_final(account: Account) -> None:
    closed = position(1, status=PositionStatus.CLOSED, profit=9.0, total_profit=8.0)
    apply(account, EventMessageType.POSITIONS_CLOSE, closed)
    apply(account, EventMessageType.PROFIT_UPDATE, profit(1, 10.0))
    assert account.positions == {1: closed}


def test_a_profit_is_of_a_position_and_never_of_an_order_with_its_id(account: Account) -> None:
    apply(account, EventMessageType.ORDERS_PLACE, order(1))
    apply(account, EventMessageType.PROFIT_UPDATE, profit(1, 10.0))
    assert account.orders == {1: order(1)}
    assert account.positions == {}


# -- deals, journal, reports, notifications, quotes -----------------------------------------------------------------


def test_deals_are_added_and_updated(account: Account) -> None:
    apply(account, EventMessageType.DEALS_CREATE, deal(2), deal(1))
    apply(account, EventMessageType.DEALS_UPDATE, deal(2, profit=5.0))
    assert account.deals == {2: deal(2, profit=5.0), 1: deal(1)}
    assert list(account.deals) == [2, 1]


def test_an_update_of_a_deal_that_was_never_seen_adds_it(account: Account) -> None:
    apply(account, EventMessageType.DEALS_UPDATE, deal(3))
    assert account.deals == {3: deal(3)}


def test_the_journal_grows_oldest_first(account: Account) -> None:
    apply(account, EventMessageType.JOURNAL_CREATE, journal(2), journal(1))
    assert account.journal == [journal(2), journal(1)]


def test_reports_are_added_and_replaced_by_their_id(account: Account) -> None:
    apply(account, EventMessageType.REPORT_CREATE, report(2), report(1), report(2, status=2))
    assert account.reports == {2: report(2, status=2), 1: report(1)}


def test_information_and_errors_are_notifications_in_their_order(account: Account) -> None:
    information = notification(EventMessageType.INFO, "hello")
    error = notification(EventMessageType.ERROR, "no money")
    apply(account, EventMessageType.INFO, information)
    apply(account, EventMessageType.ERROR, error)
    apply(account, EventMessageType.INFO, information)
    assert account.notifications == [information, error, information]


def test_the_newest_quote_of_each_symbol_is_kept(account: Account) -> None:
    apply(
        account,
        EventMessageType.MARKET_FEED,
        Quote(symbol_id=1, bid=1.0, ask=1.1, last=1.05),
        Quote(symbol_id=2, bid=2.0, ask=2.1),
        Quote(symbol_id=1, bid=1.2, ask=1.3),
    )
    assert account.quotes == {
        1: Quote(symbol_id=1, bid=1.2, ask=1.3),
        2: Quote(symbol_id=2, bid=2.0, ask=2.1),
    }


def test_ids_that_a_server_makes_up_do_not_fill_the_memory(
    account: Account, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # It takes too long with the real one.
    monkeypatch.setattr("onetrade_ws.account.history.LIVE_LIMIT", 500)
    for identity in range(1_200):
        apply(account, EventMessageType.ORDERS_PLACE, order(identity))
        apply(account, EventMessageType.POSITIONS_OPEN, position(identity))
    assert list(account.orders) == list(account.positions) == list(range(700, 1_200))
    # That is not kept to itself, nor repeated each time.
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert "orders" in caplog.text
    assert "positions" in caplog.text
    # Those that are over do not count as live.
    for identity in range(700, 1_200):
        apply(account, EventMessageType.ORDERS_CANCEL, order(identity))
    apply(account, EventMessageType.ORDERS_PLACE, order(1))
    assert list(account.orders) == [*range(1_200 - LIMIT, 1_200), 1]


def test_symbols_that_a_server_makes_up_do_not_fill_the_memory(account: Account) -> None:
    for identity in range(21_000):
        apply(account, EventMessageType.MARKET_FEED, Quote(symbol_id=identity, bid=1.0, ask=2.0))
    assert list(account.quotes) == list(range(1_000, 21_000))


@pytest.mark.parametrize("name", ["notifications", "journal", "reports", "orders"])
def test_texts_that_a_server_makes_long_do_not_fill_the_memory(name: str) -> None:
    account = Account(100)
    made: Dict[str, Tuple[EventMessageType, Callable[[int], Any]]] = {
        "notifications": (
            EventMessageType.INFO,
            lambda number: notification(EventMessageType.INFO, str(number)),
        ),
        "journal": (EventMessageType.JOURNAL_CREATE, journal),
        "reports": (EventMessageType.REPORT_CREATE, report),
        "orders": (EventMessageType.ORDERS_CANCEL, order),
    }
    event_type, make = made[name]
    for number in range(100):
        take(account, Event(event_type, make(number), 0.0, b"x" * 50_000))
    # As many as a hundred usual ones have bytes.
    assert len(getattr(account, name)) == 100 * 4096 // 50_000
    for number in range(100, 200):
        take(account, Event(event_type, make(number), 0.0, b"x"))
    assert len(getattr(account, name)) == 100


# -- user state -----------------------------------------------------------------------------------------------------


def test_the_state_of_the_connection_is_followed(account: Account) -> None:
    states = [CLOSED, CONNECTING, OPEN, CONNECTING, OPEN, CLOSING, CLOSED]
    for old, new in zip(states, states[1:]):
        change(account, old, new)
        assert account.connection_state is new


def test_reconnecting_is_what_follows_a_loss_until_it_is_over(account: Account) -> None:
    change(account, CLOSED, CONNECTING)
    assert not account.reconnecting
    change(account, CONNECTING, OPEN)
    assert not account.reconnecting
    change(account, OPEN, CONNECTING, reason=ConnectionLostError("reset"))
    assert account.reconnecting
    change(account, CONNECTING, OPEN)
    assert not account.reconnecting


def test_giving_up_ends_the_reconnecting(account: Account) -> None:
    change(account, CLOSED, CONNECTING, OPEN, CONNECTING, CLOSING)
    assert not account.reconnecting
    change(account, CLOSING, CLOSED, CONNECTING)
    assert not account.reconnecting


def test_a_logout_of_ours_is_remembered_until_the_next_connect(account: Account) -> None:
    change(account, CLOSED, CONNECTING, OPEN)
    apply(account, ClientEventType.SESSION_LOGGED_OUT, SessionLoggedOutError())
    assert account.session_logged_out
    change(account, OPEN, CLOSING, CLOSED)
    assert account.session_logged_out
    change(account, CLOSED, CONNECTING)
    assert not account.session_logged_out


def test_a_logout_that_was_only_delivered_is_none_of_ours(account: Account) -> None:
    apply(account, EventMessageType.SESSION_LOGOUT, SessionLogout(session_id="other"))
    assert not account.session_logged_out


def test_two_tabs_are_remembered_until_the_next_connect(account: Account) -> None:
    change(account, CLOSED, CONNECTING)
    error = SessionInUseError("session validation", 400, "session is already used")
    apply(account, ClientEventType.SESSION_IN_USE, error)
    assert account.two_tabs_detected
    change(account, CONNECTING, CLOSING, CLOSED)
    assert account.two_tabs_detected
    change(account, CLOSED, CONNECTING)
    assert not account.two_tabs_detected


def test_a_loss_forgets_neither(account: Account) -> None:
    change(account, CLOSED, CONNECTING, OPEN)
    apply(account, ClientEventType.SESSION_IN_USE, None)
    apply(account, ClientEventType.SESSION_LOGGED_OUT, None)
    change(account, OPEN, CONNECTING)
    assert (account.two_tabs_detected, account.session_logged_out) == (True, True)


def test_what_was_learned_is_kept_over_a_loss_and_the_next_connect(account: Account) -> None:
    apply(account, EventMessageType.ORDERS_PLACE, order(1))
    apply(account, EventMessageType.MARKET_FEED, Quote(symbol_id=1, bid=1.0, ask=1.1))
    change(account, CLOSED, CONNECTING, OPEN, CONNECTING, OPEN, CLOSING, CLOSED, CONNECTING, OPEN)
    assert list(account.orders) == list(account.quotes) == [1]


@pytest.mark.parametrize(
    ("event_type", "in_doubt"),
    [
        (None, ["orders", "positions", "deals"]),
        ("orders_place", ["orders"]),
        ("dealing_order_requote", ["orders"]),
        ("positions_close", ["positions"]),
        ("deals_create", ["deals"]),
        ("journal_create", []),
    ],
    ids=str,
)
def test_what_could_not_be_read_puts_in_doubt_what_it_may_have_told_of(
    account: Account, event_type: Optional[str], in_doubt: List[str]
) -> None:
    error = DecodeError("$.data", "no object", b"{}", event_type)
    apply(account, ClientEventType.DECODE_ERROR, error)
    assert [name for name, status in account.status.items() if status.reason is error] == in_doubt


def test_a_record_that_could_not_be_read_puts_nothing_in_doubt(account: Account) -> None:
    error = DecodeError("$.bid", "expected a number", b"1,x,2")
    take(account, Event(ClientEventType.DECODE_ERROR, error, 1.0, error.raw))
    assert all(status.reason is None for status in account.status.values())


# -- what is no row -------------------------------------------------------------------------------------------------

WITHOUT_ROW: List[Any] = [
    (EventMessageType.PING, None),
    (EventMessageType.PONG, {"a": 1}),
    (EventMessageType.SESSION_LOGOUT, SessionLogout(session_id="other")),
    (EventMessageType.MARKET_SUBSCRIBE_SYMBOL, 1),
    (EventMessageType.MARKET_UNSUBSCRIBE_SYMBOL, 1),
    (EventMessageType.START_ACCOUNT_ALL, None),
    (EventMessageType.STOP_ACCOUNT_ALL, None),
    ("unheard_of", {"id": 1}),
    # What a server could call its own types to look like ours.
    ("state_changed", {"new": "closed"}),
    ("session_in_use", None),
    ("session_logged_out", None),
    (ClientEventType.RECONNECTING, Reconnecting(attempt=1, delay=0.0, reason=ConnectionLostError("reset"))),
    (ClientEventType.STALE, Stale(started_at=1.0, symbol_ids=(1,))),
    (ClientEventType.RECOVERED, Recovered(started_at=1.0, ended_at=2.0)),
    (ClientEventType.CALLBACK_ERROR, CallbackError(event=Event("a"), callback=print, error=ValueError())),
    (ClientEventType.SLOW_CONSUMER, SlowConsumer(queued_bytes=1, limit=1)),
]


def everything(account: Account) -> List[Any]:
    names = [name for name in dir(Account) if isinstance(getattr(Account, name), property)]
    return [(name, getattr(account, name)) for name in names]


@pytest.mark.parametrize(("event_type", "data"), WITHOUT_ROW, ids=lambda value: str(value)[:40])
def test_an_event_without_a_row_changes_nothing(account: Account, event_type: Any, data: Any) -> None:
    apply(account, EventMessageType.ORDERS_PLACE, order(1))
    before = everything(account)
    apply(account, event_type, data)
    assert everything(account) == before
    assert len(before) == 17


WITH_ROW = {
    ClientEventType.GAP,
    ClientEventType.RESYNCING,
    ClientEventType.RESYNCED,
    ClientEventType.RESYNC_FAILED,
    ClientEventType.DECODE_ERROR,
    EventMessageType.INFO,
    EventMessageType.ERROR,
    EventMessageType.ORDERS_PLACE,
    EventMessageType.ORDERS_UPDATE,
    EventMessageType.ORDERS_CANCEL,
    EventMessageType.ORDERS_EXPIRED,
    EventMessageType.ORDERS_REJECTED,
    EventMessageType.ORDERS_REQUOTED,
    EventMessageType.POSITIONS_OPEN,
    EventMessageType.POSITIONS_UPDATE,
    EventMessageType.POSITIONS_CLOSE,
    EventMessageType.DEALS_CREATE,
    EventMessageType.DEALS_UPDATE,
    EventMessageType.JOURNAL_CREATE,
    EventMessageType.REPORT_CREATE,
    EventMessageType.MARKET_FEED,
    EventMessageType.PROFIT_UPDATE,
    ClientEventType.STATE_CHANGED,
    ClientEventType.SESSION_IN_USE,
    ClientEventType.SESSION_LOGGED_OUT,
}


def test_every_type_either_has_a_row_here_or_none() -> None:
    without = {event_type for event_type, _ in WITHOUT_ROW}
    assert WITH_ROW | without >= {*EventMessageType, *ClientEventType}
    assert not WITH_ROW & without


# -- bounds ---------------------------------------------------------------------------------------------------------


def test_live_orders_are_never_evicted_and_of_the_finished_the_newest_are_kept(account: Account) -> None:
    for identity in range(10):
        apply(account, EventMessageType.ORDERS_PLACE, order(identity))
    assert list(account.orders) == list(range(10))
    for identity in (3, 1, 4, 0, 5):
        apply(account, EventMessageType.ORDERS_CANCEL, order(identity))
    # The longest over went, not the lowest or the first placed.
    assert list(account.active_orders) == [2, 6, 7, 8, 9]
    assert set(account.orders) - set(account.active_orders) == {4, 0, 5}


def test_open_positions_are_never_evicted_and_of_the_closed_the_newest_are_kept(account: Account) -> None:
    for identity in range(10):
        apply(account, EventMessageType.POSITIONS_OPEN, position(identity))
    for identity in (3, 1, 4, 0, 5):
        apply(account, EventMessageType.POSITIONS_CLOSE, position(identity))
    assert list(account.open_positions) == [2, 6, 7, 8, 9]
    assert set(account.positions) - set(account.open_positions) == {4, 0, 5}


def test_histories_keep_the_newest(account: Account) -> None:
    for identity in range(5):
        apply(account, EventMessageType.DEALS_CREATE, deal(identity))
        apply(account, EventMessageType.REPORT_CREATE, report(identity))
        apply(account, EventMessageType.JOURNAL_CREATE, journal(identity))
        apply(account, EventMessageType.INFO, notification(EventMessageType.INFO, str(identity)))
    assert list(account.deals) == list(account.reports) == [2, 3, 4]
    assert [entry.id for entry in account.journal] == [2, 3, 4]
    assert [each.message for each in account.notifications] == ["2", "3", "4"]


def test_an_update_of_something_finished_takes_no_further_place(account: Account) -> None:
    for identity in range(LIMIT):
        apply(account, EventMessageType.DEALS_CREATE, deal(identity))
        apply(account, EventMessageType.ORDERS_CANCEL, order(identity))
    for _ in range(5):
        apply(account, EventMessageType.DEALS_UPDATE, deal(0, profit=5.0))
        apply(account, EventMessageType.ORDERS_CANCEL, order(0, comment="again"))
    assert set(account.deals) == set(account.orders) == {0, 1, 2}
    assert account.deals[0].profit == 5.0
    assert account.orders[0].comment == "again"


def test_what_comes_back_to_life_is_kept(account: Account) -> None:
    apply(account, EventMessageType.ORDERS_REJECTED, order(1))
    apply(account, EventMessageType.ORDERS_UPDATE, order(1, status=OrderStatus.STARTED))
    for identity in range(10, 20):
        apply(account, EventMessageType.ORDERS_CANCEL, order(identity))
    assert list(account.active_orders) == [1]
    assert set(account.orders) == {1, 17, 18, 19}


def test_the_limit_is_a_setting() -> None:
    client = OneTradeClient("wss://host.example", api_key="k-1", history_limit=2)
    for identity in range(5):
        apply(client.account, EventMessageType.DEALS_CREATE, deal(identity))
    assert list(client.account.deals) == [3, 4]


@given(
    st.integers(1, 4),
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    EventMessageType.ORDERS_PLACE,
                    EventMessageType.ORDERS_UPDATE,
                    EventMessageType.ORDERS_CANCEL,
                    EventMessageType.ORDERS_EXPIRED,
                    EventMessageType.ORDERS_REJECTED,
                    EventMessageType.ORDERS_REQUOTED,
                ]
            ),
            st.integers(0, 8),
            st.sampled_from([*OrderStatus, OrderStatus(99)]),
        ),
        max_size=40,
    ),
)
def test_whatever_happens_live_orders_stay_and_finished_ones_are_bounded(
    limit: int, steps: List[Any]
) -> None:
    account = Account(limit)
    finished = {OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED}
    ends = {EventMessageType.ORDERS_CANCEL, EventMessageType.ORDERS_EXPIRED, EventMessageType.ORDERS_REJECTED}
    live = set()
    for event_type, identity, status in steps:
        apply(account, event_type, order(identity, status=status))
        if event_type in ends or status in finished:
            live.discard(identity)
        else:
            live.add(identity)
        assert set(account.active_orders) == live
        assert identity in account.orders
        assert len(account.orders) - len(live) <= limit
        assert set(account.active_orders) == {
            key for key, value in account.orders.items() if value.status not in finished
        }


# -- reading --------------------------------------------------------------------------------------------------------

COLLECTIONS = [
    ("orders", EventMessageType.ORDERS_PLACE, order(1)),
    ("active_orders", EventMessageType.ORDERS_PLACE, order(1)),
    ("positions", EventMessageType.POSITIONS_OPEN, position(1)),
    ("open_positions", EventMessageType.POSITIONS_OPEN, position(1)),
    ("deals", EventMessageType.DEALS_CREATE, deal(1)),
    ("reports", EventMessageType.REPORT_CREATE, report(1)),
    ("quotes", EventMessageType.MARKET_FEED, Quote(symbol_id=1, bid=1.0, ask=1.1)),
    ("journal", EventMessageType.JOURNAL_CREATE, journal(1)),
    ("notifications", EventMessageType.INFO, notification(EventMessageType.INFO, "hello")),
]


@pytest.mark.parametrize(("name", "event_type", "data"), COLLECTIONS, ids=[case[0] for case in COLLECTIONS])
def test_each_read_is_a_snapshot_that_the_caller_owns(
    account: Account, name: str, event_type: EventMessageType, data: Any
) -> None:
    empty = getattr(account, name)
    apply(account, event_type, data)
    assert len(empty) == 0
    snapshot = getattr(account, name)
    assert len(snapshot) == 1
    snapshot.clear()
    assert len(getattr(account, name)) == 1


@pytest.mark.parametrize(
    "name", [name for name in dir(Account) if isinstance(getattr(Account, name), property)]
)
def test_nothing_can_be_assigned(account: Account, name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(account, name, None)


def test_the_error_of_a_server_is_no_row_of_its_own(account: Account) -> None:
    """An error that the client reports is not a notification of the server."""
    apply(account, ClientEventType.SESSION_IN_USE, ServerError("login", 503, "try later"))
    assert account.notifications == []


def test_it_is_read_on_any_thread_while_it_is_updated(account: Account) -> None:
    stop = threading.Event()
    failures: List[BaseException] = []

    def read() -> None:
        try:
            while not stop.is_set():
                assert all(key == value.id for key, value in account.orders.items())
                assert len(account.journal) <= LIMIT
                assert list(account.active_orders)[:1] in ([], [0])
        except BaseException as error:  # noqa: BLE001 - given to the test
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    apply(account, EventMessageType.ORDERS_PLACE, order(0))
    for identity in range(1, 1500):
        apply(account, EventMessageType.ORDERS_CANCEL, order(identity))
        apply(account, EventMessageType.JOURNAL_CREATE, journal(identity))
    stop.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert set(account.orders) == {0, 1497, 1498, 1499}
