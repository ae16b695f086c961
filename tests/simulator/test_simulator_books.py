"""The account driven by hand: the events that each act sends, and numbers that agree with each other."""

from __future__ import annotations

import random
from contextlib import closing
from datetime import datetime, timedelta, timezone
from decimal import Decimal, localcontext
from typing import Any, Callable, Dict, List, Set, Tuple

import pytest

from onetrade_ws.protocol.enums import (
    ChannelType,
    DirectionType,
    OrderStatus,
    OrderType,
    PositionStatus,
    ReasonType,
    SideType,
)
from onetrade_ws.simulator import Simulator
from tests.simulator.plain_client import Event, PlainClient

BUY, SELL = SideType.BUY, SideType.SELL
Wire = Dict[str, Any]

# The interfaces of the specification, field by field.
SYMBOL = {
    "id",
    "symbol",
    "desc",
    "base_currency",
    "quote_currency",
    "digits",
    "contract_size",
    "tick_size",
    "tick_value",
    "min_value",
    "max_value",
    "step",
    "spread",
    "stop_level",
    "swap_long",
    "swap_short",
    "status",
    "trade_level",
    "enabled",
    "isin",
}
ORDER = {
    "id",
    "account_id",
    "symbol_id",
    "symbol",
    "type",
    "side",
    "volume_initial",
    "volume_current",
    "price_order",
    "price_current",
    "price_sl",
    "price_tp",
    "status",
    "reason",
    "comment",
    "external_id",
    "created_at",
    "updated_at",
    "time_setup",
    "time_expiration",
    "time_done",
}
POSITION = {
    "id",
    "account_id",
    "symbol_id",
    "symbol",
    "side",
    "volume_initial",
    "volume_current",
    "price_open",
    "price_current",
    "price_sl",
    "price_tp",
    "profit",
    "total_profit",
    "swaps",
    "storage",
    "status",
    "reason",
    "comment",
    "external_id",
    "created_at",
    "updated_at",
}
DEAL = {
    "id",
    "account_id",
    "order_id",
    "position_id",
    "symbol_id",
    "symbol",
    "side",
    "direction",
    "volume",
    "price",
    "entry",
    "profit",
    "profit_raw",
    "commission",
    "swap",
    "fee",
    "storage",
    "market_bid",
    "market_ask",
    "market_last",
    "reason",
    "channel",
    "comment",
    "external_id",
    "created_at",
    "updated_at",
}
JOURNAL = {"id", "user_id", "desc", "ip", "device", "os", "channel", "created_at"}
REPORT = {"id", "user_id", "type", "status", "kind", "desc", "query", "url"}


def types(client: PlainClient) -> List[str]:
    """The types of what has come, without the journal and the prices."""
    return [event.type for event in client.sync() if event.type not in ("journal_create", "price")]


def last(client: PlainClient, event_type: str) -> Wire:
    found: List[Event] = [event for event in client.sync() if event.type == event_type]
    data = found[-1].data
    assert isinstance(data, dict)
    return data


def working(sim: Simulator, **settings: Any) -> Wire:
    """A buy limit order far below the market."""
    return sim.place_order(1, BUY, 1, type=OrderType.BUY_LIMIT, price=1.0, **settings)


# --- orders


def test_a_market_order_is_filled_and_opens_a_position(sim: Simulator, watcher: PlainClient) -> None:
    order = sim.place_order(1, BUY, 0.5, price_sl=1.05, price_tp=1.2, comment="why not")
    placed, placed_note, updated, deal, position, filled_note = (event.data for event in watcher.sync())
    assert (placed["status"], placed["volume_current"], placed["time_done"]) == (
        OrderStatus.PLACED,
        0.5,
        None,
    )
    assert placed_note["desc"].startswith(f"order #{order['id']} buy 0.5 EURUSD placed")
    assert updated == order == sim.orders[-1]
    assert (order["type"], order["side"], order["status"]) == (0, 0, OrderStatus.FILLED)
    assert (order["volume_initial"], order["volume_current"]) == (0.5, 0)
    assert order["price_order"] == 1.0852
    assert (order["price_sl"], order["price_tp"], order["comment"]) == (1.05, 1.2, "why not")
    assert order["time_done"] == order["updated_at"]
    assert deal == sim.deals[-1]
    assert (deal["order_id"], deal["position_id"]) == (order["id"], position["id"])
    assert (deal["side"], deal["direction"], deal["volume"]) == (BUY, DirectionType.IN, 0.5)
    assert (deal["price"], deal["entry"], deal["profit"], deal["profit_raw"]) == (1.0852, 1.0852, 0, 0)
    assert (deal["market_bid"], deal["market_ask"], deal["market_last"]) == (1.08512, 1.0852, 1.08512)
    assert (deal["reason"], deal["channel"]) == (ReasonType.CLIENT, ChannelType.WEB)
    assert position == sim.positions[-1]
    assert (position["side"], position["status"]) == (BUY, PositionStatus.OPEN)
    assert (position["volume_initial"], position["volume_current"]) == (0.5, 0.5)
    assert (position["price_open"], position["price_current"]) == (1.0852, 1.08512)
    assert (position["price_sl"], position["price_tp"], position["comment"]) == (1.05, 1.2, "why not")
    assert (position["profit"], position["total_profit"]) == (-4, -5.75)
    assert order["position_id"] == position["id"]
    assert "filled at 1.0852" in filled_note["desc"]
    assert [entry["desc"] for entry in sim.journal] == [placed_note["desc"], filled_note["desc"]]


def test_objects_have_the_fields_of_the_specification_and_with_rich_objects_more(
    sim: Simulator, watcher: PlainClient
) -> None:
    def fields(sim: Simulator) -> List[Tuple[Set[str], Set[str]]]:
        order = sim.place_order(1, BUY, 1)
        sim.update_order(working(sim)["id"], external_id="o")
        position = sim.update_position(sim.positions[-1]["id"], external_id="p")
        deal = sim.update_deal(sim.deals[-1]["id"], external_id="d")
        journal, report = sim.add_journal("line"), sim.create_report("deals")
        return [
            (set(sim.orders[-1]), ORDER),
            (set(position), POSITION),
            (set(deal), DEAL),
            (set(journal), JOURNAL),
            (set(report), REPORT),
            (set(order["symbol"]), SYMBOL),
        ]

    for rich, (actual, wanted) in zip((True, True, True, False, True, True), fields(sim)):
        assert actual > wanted if rich else actual == wanted
    for actual, wanted in fields(Simulator(live=False, rich_objects=False)):
        assert actual == wanted


def test_an_order_can_wait_to_be_filled_by_hand(sim: Simulator, watcher: PlainClient) -> None:
    order = sim.place_order(1, SELL, 1, fill=False)
    assert (order["status"], order["price_order"]) == (OrderStatus.PLACED, 1.08512)
    sim.quote(1, 1.09)
    assert types(watcher) == ["orders_place"]
    order = sim.fill_order(order["id"])
    assert types(watcher) == ["orders_update", "deals_create", "positions_open"]
    assert sim.deals[-1]["price"] == 1.09  # a market order gets the market's price
    assert order["status"] == OrderStatus.FILLED


def test_partial_fills_add_up(sim: Simulator, watcher: PlainClient) -> None:
    order_id = sim.place_order(1, BUY, 1, fill=False)["id"]
    first = sim.fill_order(order_id, 0.4)
    assert (first["status"], first["volume_current"]) == (OrderStatus.PARTIALLY_FILLED, 0.6)
    assert first["time_done"] is None
    assert types(watcher) == ["orders_place", "orders_update", "deals_create", "positions_open"]
    second = sim.fill_order(order_id, Decimal("0.5"), price=1.0862)
    assert types(watcher) == ["orders_update", "deals_create", "positions_update"]
    third = sim.fill_order(order_id)
    assert (third["status"], third["volume_current"], third["volume_initial"]) == (OrderStatus.FILLED, 0, 1)
    assert second["position_id"] == third["position_id"]
    (position,) = sim.positions
    assert (position["volume_initial"], position["volume_current"]) == (1, 1)
    assert position["price_open"] == 1.0857  # 0.4 and 0.1 at 1.0852, 0.5 at 1.0862
    assert [deal["volume"] for deal in sim.deals] == [0.4, 0.5, 0.1]
    assert {deal["direction"] for deal in sim.deals} == {DirectionType.IN}
    assert position["commission"] == 3.5


def test_a_later_part_opens_a_new_position_when_the_first_has_been_closed(sim: Simulator) -> None:
    order_id = sim.place_order(1, BUY, 1, fill=False)["id"]
    sim.fill_order(order_id, 0.4)
    sim.close_position(sim.positions[0]["id"])
    sim.fill_order(order_id)
    closed, opened = sim.positions
    assert closed["status"] == PositionStatus.CLOSED
    assert (opened["status"], opened["volume_current"]) == (PositionStatus.OPEN, 0.6)


def test_an_order_is_updated(sim: Simulator, watcher: PlainClient) -> None:
    order_id = working(sim, price_sl=0.9)["id"]
    expires = datetime(2999, 1, 2, 3, 4, 5, 120_000, timezone(timedelta(hours=-1)))
    changes: Dict[str, Any] = {"comment": "c", "external_id": "e", "time_expiration": expires}
    order = sim.update_order(order_id, price=1.01, volume=2, price_sl=None, price_tp=1.3, **changes)
    assert last(watcher, "orders_update") == order
    assert (order["price_order"], order["price_sl"], order["price_tp"]) == (1.01, None, 1.3)
    assert (order["volume_initial"], order["volume_current"]) == (2, 2)
    assert (order["comment"], order["external_id"]) == ("c", "e")
    assert order["time_expiration"] == "2999-01-02T04:04:05.12Z"
    sim.fill_order(order_id, 0.5)
    order = sim.update_order(order_id, volume_initial=1)
    assert (order["volume_initial"], order["volume_current"]) == (1, 0.5)
    assert order["status"] == OrderStatus.PARTIALLY_FILLED
    with pytest.raises(ValueError, match="filled already"):
        sim.update_order(order_id, volume_initial=0.5, comment="not taken either")
    assert sim.orders[-1]["comment"] == "c"


@pytest.mark.parametrize(
    ("act", "event_type", "status"),
    [
        (lambda sim, order_id: sim.cancel_order(order_id), "orders_cancel", OrderStatus.CANCELED),
        (lambda sim, order_id: sim.expire_order(order_id), "orders_expired", OrderStatus.EXPIRED),
        (lambda sim, order_id: sim.reject_order(order_id), "orders_rejected", OrderStatus.REJECTED),
    ],
)
def test_an_order_ends_without_a_deal(
    sim: Simulator,
    watcher: PlainClient,
    act: Callable[[Simulator, int], Wire],
    event_type: str,
    status: OrderStatus,
) -> None:
    order_id = working(sim)["id"]
    watcher.sync()
    order = act(sim, order_id)
    assert [event.type for event in watcher.sync()] == [event_type, "journal_create"]
    assert order == sim.orders[-1]
    assert order["status"] == status
    assert order["time_done"] is not None
    assert sim.deals == sim.positions == ()
    for again in (sim.cancel_order, sim.expire_order, sim.reject_order, sim.fill_order, sim.update_order):
        with pytest.raises(ValueError, match="finished"):
            again(order_id)
    with pytest.raises(ValueError, match="finished"):
        sim.requote_order(order_id, 1.1)


def test_a_rejection_says_why(sim: Simulator) -> None:
    assert sim.reject_order(working(sim)["id"], comment="no money")["comment"] == "no money"
    assert "no money" in sim.journal[-1]["desc"]


@pytest.mark.parametrize("accept", [True, False])
def test_a_requote_is_answered(sim: Simulator, watcher: PlainClient, accept: bool) -> None:
    order_id = sim.place_order(1, BUY, 1, fill=False)["id"]
    watcher.sync()
    requoted = sim.requote_order(order_id, 1.0899)
    assert last(watcher, "dealing_order_requote") == requoted
    assert (requoted["status"], requoted["price_order"]) == (OrderStatus.REQUOTED, 1.0899)
    order = sim.answer_requote(order_id, accept)
    if accept:
        assert types(watcher) == ["orders_update", "deals_create", "positions_open"]
        assert (order["status"], sim.deals[-1]["price"]) == (OrderStatus.FILLED, 1.0899)
    else:
        assert types(watcher) == ["orders_cancel"]
        assert (order["status"], sim.deals) == (OrderStatus.CANCELED, ())
    with pytest.raises(ValueError, match=f"is {'filled' if accept else 'canceled'}, not requoted"):
        sim.answer_requote(order_id, True)


@pytest.mark.parametrize(
    ("order_type", "price", "below", "at"),
    [
        (OrderType.BUY_LIMIT, 1.08, 1.07999, 1.07992),  # the ask is 8 points above the bid
        (OrderType.BUY_STOP, 1.09, 1.08991, 1.08992),
        (OrderType.SELL_LIMIT, 1.09, 1.08999, 1.09),
        (OrderType.SELL_STOP, 1.08, 1.08001, 1.08),
    ],
)
def test_a_waiting_order_is_filled_when_the_market_reaches_it(
    sim: Simulator, watcher: PlainClient, order_type: OrderType, price: float, below: float, at: float
) -> None:
    side = BUY if order_type in (OrderType.BUY_LIMIT, OrderType.BUY_STOP) else SELL
    order = sim.place_order(1, side, 1, type=order_type, price=price)
    sim.quote(1, below)
    assert types(watcher) == ["orders_place"]
    sim.quote(2, at)  # another symbol
    assert types(watcher) == []
    sim.quote(1, at)
    assert types(watcher) == ["orders_update", "deals_create", "positions_open"]
    assert sim.deals[-1]["price"] == price
    assert sim.orders[-1]["id"] == order["id"]
    assert sim.orders[-1]["status"] == OrderStatus.FILLED


def test_a_gap_fills_at_the_markets_price(sim: Simulator) -> None:
    sim.place_order(1, BUY, 1, type=OrderType.BUY_STOP, price=1.09)
    sim.quote(1, 1.1)
    assert sim.deals[-1]["price"] == 1.10008


@pytest.mark.parametrize(
    ("order_type", "trigger", "limit", "quotes"),
    [
        (OrderType.BUY_STOP_LIMIT, 1.09, 1.088, (1.0899, 1.0901, 1.08792)),
        (OrderType.SELL_STOP_LIMIT, 1.08, 1.082, (1.0801, 1.0799, 1.082)),
    ],
)
def test_a_stop_limit_order_becomes_a_limit_order(
    sim: Simulator,
    watcher: PlainClient,
    order_type: OrderType,
    trigger: float,
    limit: float,
    quotes: List[float],
) -> None:
    side = BUY if order_type == OrderType.BUY_STOP_LIMIT else SELL
    sim.place_order(1, side, 1, type=order_type, price=limit, price_trigger=trigger)
    sim.quote(1, quotes[0])
    assert types(watcher) == ["orders_place"]
    sim.quote(1, quotes[1])
    assert types(watcher) == ["orders_update"]
    assert sim.orders[-1]["status"] == OrderStatus.STARTED
    sim.quote(1, quotes[2])
    assert types(watcher) == ["orders_update", "deals_create", "positions_open"]
    assert sim.deals[-1]["price"] == limit


def test_an_order_expires_at_its_time(sim: Simulator, watcher: PlainClient) -> None:
    past = datetime.now(timezone.utc) - timedelta(seconds=1)
    expired = working(sim, time_expiration=past)
    kept = working(sim, time_expiration=(past + timedelta(days=1)).replace(tzinfo=None))
    zero = working(sim, time_expiration="0001-01-01T00:00:00Z")
    watcher.sync()
    sim.quote(5, 0.9)
    assert last(watcher, "orders_expired")["id"] == expired["id"]
    assert [order["status"] for order in sim.orders] == [
        OrderStatus.EXPIRED,
        OrderStatus.PLACED,
        OrderStatus.PLACED,
    ]
    assert kept["time_expiration"].endswith("Z")
    assert zero["time_expiration"] == "0001-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2999-01-01T02:30:00.5+02:30", "2999-01-01T00:00:00.5Z"),
        ("2999-01-01t00:00:00.123456789z", "2999-01-01T00:00:00.123456789Z"),
        ("2998-12-31T23:00:00-01:00", "2999-01-01T00:00:00Z"),
        ("0999-01-01T00:00:00Z", "0999-01-01T00:00:00Z"),
        ("", "0001-01-01T00:00:00Z"),
    ],
)
def test_times_are_read_and_written_to_the_nanosecond(sim: Simulator, text: str, written: str) -> None:
    assert working(sim, time_expiration=text)["time_expiration"] == written


# --- positions


@pytest.mark.parametrize(
    ("side", "setting", "price", "quote", "reason"),
    [
        (BUY, "price_sl", 1.08, 1.08, ReasonType.STOP_LOSS),
        (BUY, "price_tp", 1.09, 1.09, ReasonType.TAKE_PROFIT),
        (SELL, "price_sl", 1.09, 1.08992, ReasonType.STOP_LOSS),
        (SELL, "price_tp", 1.08, 1.07992, ReasonType.TAKE_PROFIT),
    ],
)
def test_a_position_hits_its_stops(
    sim: Simulator,
    watcher: PlainClient,
    side: SideType,
    setting: str,
    price: float,
    quote: float,
    reason: ReasonType,
) -> None:
    stops: Dict[str, Any] = {setting: price}
    sim.place_order(1, side, 1, **stops)
    sim.quote(1, 1.085)
    watcher.sync()
    sim.quote(1, quote)
    assert types(watcher) == ["profit", "orders_place", "orders_update", "deals_create", "positions_close"]
    (position,), order, deal = sim.positions, sim.orders[-1], sim.deals[-1]
    assert (position["status"], position["volume_current"]) == (PositionStatus.CLOSED, 0)
    assert position["reason"] == order["reason"] == deal["reason"] == reason
    assert (deal["direction"], deal["side"], deal["price"], deal["channel"]) == (
        DirectionType.OUT,
        1 - side,
        price,
        ChannelType.SYSTEM,
    )
    assert deal["order_id"] == order["id"]
    assert deal["profit"] == sim.account["balance"] - 100_000 == position["total_profit"]


def test_a_position_is_modified_and_its_stops_can_be_removed(sim: Simulator, watcher: PlainClient) -> None:
    sim.place_order(1, BUY, 1, price_sl=1.0)
    position_id = sim.positions[0]["id"]
    position = sim.update_position(position_id, price_sl=0, price_tp=1.2, comment="c", swaps=-1.5)
    assert last(watcher, "positions_update") == position == sim.positions[0]
    assert (position["price_sl"], position["price_tp"], position["comment"]) == (None, 1.2, "c")
    assert (position["swaps"], position["total_profit"]) == (-1.5, -8 - 1.5 - 3.5)
    sim.quote(1, 0.9)
    assert sim.positions[0]["status"] == PositionStatus.OPEN


def test_a_position_is_closed_in_parts(sim: Simulator, watcher: PlainClient) -> None:
    sim.place_order(1, BUY, 1)
    position_id = sim.positions[0]["id"]
    sim.update_position(position_id, swaps=-1)
    watcher.sync()
    sim.quote(1, 1.0952)
    part = sim.close_position(position_id, 0.25)
    assert types(watcher) == ["profit", "orders_place", "orders_update", "deals_create", "positions_update"]
    assert (part["volume_initial"], part["volume_current"], part["status"]) == (1, 0.75, PositionStatus.OPEN)
    assert (part["profit"], part["swaps"], part["commission"]) == (750, -0.75, 2.62)
    deal = sim.deals[-1]
    assert (deal["profit_raw"], deal["swap"], deal["commission"], deal["profit"]) == (
        250,
        -0.25,
        0.88,
        248.87,
    )
    assert (deal["volume"], deal["closed_volume"], deal["entry"], deal["price"]) == (
        0.25,
        0.25,
        1.0852,
        1.0952,
    )
    sim.quote(1, 1.0852)
    whole = sim.close_position(position_id, reason=ReasonType.DEALER)
    assert types(watcher)[-1] == "positions_close"
    assert (whole["status"], whole["reason"]) == (PositionStatus.CLOSED, ReasonType.DEALER)
    assert (whole["profit"], whole["swaps"], whole["commission"]) == (250, -1, 3.5)  # of its deals together
    assert whole["total_profit"] == 245.5 == sim.account["balance"] - 100_000
    for act in (sim.close_position, sim.update_position):
        with pytest.raises(ValueError, match="closed"):
            act(position_id)


# --- deals, journal, reports


def test_a_deal_is_corrected_and_the_balance_follows(sim: Simulator, watcher: PlainClient) -> None:
    sim.place_order(1, BUY, 1)
    deal = sim.update_deal(sim.deals[0]["id"], commission=1, swap=-2, fee=0.5, comment="c", external_id="e")
    assert last(watcher, "deals_update") == deal == sim.deals[0]
    assert (deal["profit"], deal["comment"], deal["external_id"]) == (-3.5, "c", "e")
    assert sim.account["balance"] == 99_996.5


def test_a_deposit_is_a_deal_without_a_symbol(sim: Simulator, watcher: PlainClient) -> None:
    deal = sim.deposit(-1000.5, "withdrawal")
    assert last(watcher, "deals_create") == deal
    assert (deal["side"], deal["symbol"], deal["symbol_id"]) == (SideType.BALANCE, None, 0)
    assert (deal["order_id"], deal["position_id"], deal["profit"]) == (0, 0, -1000.5)
    assert sim.account["balance"] == 98_999.5
    assert Simulator(live=False, rich_objects=False).deposit(1)["comment"] is None


def test_journal_and_reports_are_written(sim: Simulator, watcher: PlainClient) -> None:
    entry, report = sim.add_journal("logged in"), sim.create_report("orders")
    assert watcher.sync() == [("journal_create", entry), ("report_create", report)]
    assert sim.journal == (entry,)
    assert sim.reports == (report,)
    assert entry["desc"] == "logged in"
    assert entry["created_at"].endswith("+02:00")
    assert report["kind"] == "orders"
    assert report["url"].startswith(sim.http_url)


# --- what is refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"volume": 0}, "0.01 to 100 lots"),
        ({"volume": 100.01}, "0.01 to 100 lots"),
        ({"volume": 0.015}, "multiple of 0.01"),
        ({"volume": float("nan")}, "volume must be a number"),
        ({"volume": "1"}, "volume must be a number"),
        ({"volume": True}, "volume must be a number"),
        ({"volume": 10**20}, "volume must be a number"),
        ({"side": SideType.CREDIT}, "buys or sells"),
        ({"type": OrderType(77)}, "known types"),
        ({"type": OrderType.SELL_LIMIT, "price": 1}, "other side"),
        ({"type": OrderType.BUY_LIMIT}, "needs a price"),
        ({"type": OrderType.BUY_LIMIT, "price": 0}, "needs a price"),
        ({"type": OrderType.BUY_LIMIT, "price": 0.000001}, "above zero"),
        ({"type": OrderType.BUY_LIMIT, "price": -1}, "below zero"),
        ({"type": OrderType.BUY_LIMIT, "price": 1, "price_trigger": 1}, "trigger"),
        ({"type": OrderType.BUY_STOP_LIMIT, "price": 1}, "trigger"),
        ({"comment": 1}, "comment must be text"),
        ({"time_expiration": "tomorrow"}, "RFC 3339"),
        ({"time_expiration": 5}, "RFC 3339"),
        ({"time_expiration": "9999-12-31T23:59:59-01:00"}, "RFC 3339"),
        ({"time_expiration": "2024-13-01T00:00:00Z"}, "RFC 3339"),
    ],
)
def test_an_impossible_order_is_a_value_error_and_nothing_happens(
    sim: Simulator, settings: Dict[str, Any], message: str
) -> None:
    order: Dict[str, Any] = {"symbol_id": 1, "side": BUY, "volume": 1, **settings}
    with pytest.raises(ValueError, match=message):
        sim.place_order(**order)
    assert sim.orders == sim.journal == ()


def test_what_does_not_exist_is_a_lookup_error(sim: Simulator) -> None:
    acts: List[Callable[[], Any]] = [
        lambda: sim.place_order(99, BUY, 1),
        lambda: sim.quote(99, 1),
        lambda: sim.fill_order(1),
        lambda: sim.update_position(1),
        lambda: sim.update_deal(1),
        lambda: sim.cancel_order([]),  # type: ignore[arg-type]
        lambda: sim.place_order({}, BUY, 1),  # type: ignore[arg-type]
    ]
    for act in acts:
        with pytest.raises(LookupError, match=r"no .* with id"):
            act()


def test_wrong_volumes_and_changes_are_value_errors(sim: Simulator) -> None:
    order_id = working(sim)["id"]
    sim.place_order(1, BUY, 1)
    position_id, deal_id = sim.positions[0]["id"], sim.deals[0]["id"]
    acts: List[Tuple[Callable[[], Any], str]] = [
        (lambda: sim.fill_order(order_id, 2), "only 1 lots are left"),
        (lambda: sim.fill_order(order_id, -1), "multiple"),
        (lambda: sim.fill_order(order_id, price=0.000001), "above zero"),
        (lambda: sim.close_position(position_id, 2), "1 lots only"),
        (lambda: sim.close_position(position_id, 0.001), "multiple"),
        (lambda: sim.update_order(order_id, status=3), "status cannot be set; what can be: volume_initial"),
        (lambda: sim.update_order(order_id, price_order=-1), "above zero"),
        (lambda: sim.update_position(position_id, profit=5), "profit cannot be set"),
        (lambda: sim.update_deal(deal_id, volume=5), "volume cannot be set"),
        (lambda: sim.requote_order(order_id, 0), "above zero"),
    ]
    before = (sim.orders, sim.positions, sim.deals, sim.account)
    for act, message in acts:
        with pytest.raises(ValueError, match=message):
            act()
    assert (sim.orders, sim.positions, sim.deals, sim.account) == before


# --- the numbers


def test_profits_are_converted_with_the_current_rates(sim: Simulator, watcher: PlainClient) -> None:
    """EURUSD, USDJPY, EURJPY (by USDJPY), EURGBP (by GBPUSD), USDCHF, and gold, each by hand."""
    for symbol_id, bid, ask in ((1, 1.1, 1.1), (2, 1.25, 1.25), (3, 150, 150), (5, 0.9, 0.9), (7, 160, 160)):
        sim.quote(symbol_id, bid, ask)
    sim.quote(8, 0.85, 0.85)
    sim.quote(9, 2000, 2000)
    for symbol_id, side, volume in (
        *((1, BUY, 1), (3, SELL, 1), (7, BUY, 2), (8, SELL, 0.5), (5, BUY, 1)),
        *((9, BUY, 0.1),),
    ):
        sim.place_order(symbol_id, side, volume)
    assert [position["profit"] for position in sim.positions] == [0] * 6
    assert sim.account["margin"] == 1100 + 1000 + 2133.33 + 531.25 + 1000 + 200
    for symbol_id, bid in ((1, 1.11), (3, 151), (7, 161.5), (8, 0.84), (5, 0.91), (9, 2010)):
        sim.quote(symbol_id, bid, bid)
    # 100,000 × 0.01; −100,000 ÷ 151; 200,000 × 1.5 ÷ 151; 50,000 × 0.01 × 1.25; 100,000 × 0.01 ÷ 0.91; 10 × 10
    profits = [1000, -662.25, 1986.75, 625, 1098.9, 100]
    assert [position["profit"] for position in sim.positions] == profits
    commissions = [3.5, 3.5, 7, 1.75, 3.5, 0.5]
    assert [position["total_profit"] for position in sim.positions] == [
        round(profit - commission, 2) for profit, commission in zip(profits, commissions)
    ]
    watcher.sync()
    sim.quote(3, 152, 152)  # a rate moves: what it converts moves with it
    frames = [event.data for event in watcher.sync() if event.type == "profit"]
    ids = [str(position["id"]) for position in sim.positions]
    assert frames == [["s", ids[1], "-1315.79", "-1319.29"], ["s", ids[2], "1973.68", "1966.68"]]
    account = sim.account
    assert account["profit"] == round(sum(position["total_profit"] for position in sim.positions), 2)
    assert account["equity"] == round(account["balance"] + account["profit"], 2)
    assert account["margin"] == 5964.58  # of the moment of opening
    assert account["margin_free"] == round(account["equity"] - account["margin"], 2)
    assert account["margin_level"] == round(account["equity"] / account["margin"] * 100, 2)


def check_agreement(sim: Simulator) -> None:
    """What must hold for the books at any moment, computed from the wire alone."""
    prices = {}
    with closing(PlainClient(sim, sim.add_session())) as client:
        for symbol in sim.symbols:
            client.send("market_subscribe_symbol", symbol["id"])
        for event in client.sync():
            prices[int(event.data[0])] = (Decimal(event.data[1]), Decimal(event.data[2]))
    ids = {symbol["symbol"]: symbol["id"] for symbol in sim.symbols}
    exact = Decimal("0.01")

    def dec(value: Any) -> Decimal:
        return Decimal(str(value))

    def rate(currency: str) -> Decimal:
        if currency == "USD":
            return Decimal(1)
        if currency + "USD" in ids:
            return prices[ids[currency + "USD"]][0]
        return 1 / prices[ids["USD" + currency]][0]

    deals: Dict[int, List[Wire]] = {}
    for deal in sim.deals:
        deals.setdefault(deal["position_id"], []).append(deal)
        assert dec(deal["profit"]) == (
            dec(deal["profit_raw"]) + dec(deal["swap"]) - dec(deal["commission"]) - dec(deal["fee"])
        )
    for position in sim.positions:
        symbol, sign = position["symbol"], 1 if position["side"] == BUY else -1
        entered = [deal for deal in deals[position["id"]] if deal["direction"] == DirectionType.IN]
        left = [deal for deal in deals[position["id"]] if deal["direction"] == DirectionType.OUT]
        volume = sum(dec(deal["volume"]) for deal in entered)
        out = sum(dec(deal["volume"]) for deal in left)
        assert dec(position["volume_initial"]) == volume
        assert dec(position["volume_current"]) == volume - out
        total = dec(position["profit"]) + dec(position["swaps"]) - dec(position["commission"])
        assert dec(position["total_profit"]) == total
        if position["status"] == PositionStatus.CLOSED:
            assert position["volume_current"] == 0
            assert total == sum(dec(deal["profit"]) for deal in left)
            continue
        bid, ask = prices[position["symbol_id"]]
        assert dec(position["price_current"]) == (bid if sign == 1 else ask)
        move = (dec(position["price_current"]) - dec(position["price_open"])) * sign
        profit = move * dec(position["volume_current"]) * dec(symbol["contract_size"])
        assert abs(dec(position["profit"]) - profit * rate(symbol["quote_currency"])) <= exact
    for order in sim.orders:
        filled = sum(
            (dec(deal["volume"]) for deal in sim.deals if deal["order_id"] == order["id"]), Decimal(0)
        )
        assert dec(order["volume_initial"]) - dec(order["volume_current"]) == filled
        assert (order["status"] == OrderStatus.FILLED) == (order["volume_current"] == 0)
        assert (order["time_done"] is None) == (order["status"] in (0, 1, 2, 7))
    account = sim.account
    assert dec(account["balance"]) == 100_000 + sum(dec(deal["profit"]) for deal in sim.deals)
    floating = sum(dec(p["total_profit"]) for p in sim.positions if p["status"] != PositionStatus.CLOSED)
    assert dec(account["equity"]) == dec(account["balance"]) + floating


@pytest.mark.parametrize("seed", range(4))
def test_the_numbers_agree_whatever_happens(seed: int) -> None:
    draw = random.Random(seed)
    with Simulator(live=False, seed=seed) as sim:

        def order(filled: bool) -> Wire:
            symbol = draw.choice(sim.symbols)
            volume = Decimal(str(symbol["step"])) * draw.randint(1, 300)
            volume = max(volume, Decimal(str(symbol["min_value"])))
            return sim.place_order(symbol["id"], draw.choice((BUY, SELL)), volume, fill=filled)

        for _ in range(120):
            waiting = [o["id"] for o in sim.orders if o["status"] in (0, 2, 7)]
            opened = [p for p in sim.positions if p["status"] == 0]
            act = draw.randrange(9)
            if act == 0:
                order(True)
            elif act == 1:
                order(False)
            elif act == 2 and waiting:
                sim.fill_order(draw.choice(waiting))
            elif act == 3 and waiting:
                left = next(o for o in sim.orders if o["id"] == waiting[-1])
                step = Decimal(str(left["symbol"]["step"]))
                steps = int(Decimal(str(left["volume_current"])) / step)
                sim.fill_order(waiting[-1], step * draw.randint(1, steps))
            elif act == 4 and waiting:
                sim.cancel_order(draw.choice(waiting))
            elif act == 5 and opened:
                sim.close_position(draw.choice(opened)["id"])
            elif act == 6 and opened:
                position = draw.choice(opened)
                step = Decimal(str(position["symbol"]["step"]))
                steps = int(Decimal(str(position["volume_current"])) / step)
                sim.close_position(position["id"], step * draw.randint(1, steps))
            elif act == 7 and opened:
                sim.update_position(draw.choice(opened)["id"], swaps=draw.randint(-999, 999) / 100)
            else:
                sim.step_market(draw.randint(1, 5))
        check_agreement(sim)


def test_histories_are_bounded_and_what_is_open_stays(sim: Simulator) -> None:
    sim = Simulator(live=False, history=3)
    kept = working(sim)
    partly = sim.place_order(1, BUY, 1, fill=False)
    sim.fill_order(partly["id"], 0.5)
    sim.close_position(sim.positions[0]["id"])
    for _ in range(4):
        sim.place_order(1, BUY, 1)
        sim.close_position(sim.positions[-1]["id"])
        sim.create_report("deals")
    assert [order["id"] for order in sim.orders][:2] == [kept["id"], partly["id"]]
    assert len(sim.orders) == 2 + 3
    assert [len(shelf) for shelf in (sim.positions, sim.deals, sim.journal, sim.reports)] == [3, 3, 3, 3]
    order = sim.fill_order(partly["id"])  # the position of its first part has been forgotten
    assert order["position_id"] == sim.positions[-1]["id"]


def test_the_numbers_do_not_depend_on_the_callers_arithmetic(sim: Simulator) -> None:
    with localcontext() as context:
        context.prec = 3
        sim.quote(3, 151.237)
        sim.place_order(3, BUY, 12.34)
        sim.close_position(sim.positions[0]["id"])
        account = sim.account
    assert sim.deals[-1]["profit_raw"] == -81.59  # 1,234,000 × 0.010 ÷ 151.237
    assert account == sim.account


# --- habits of the wire


def test_the_books_hand_out_copies(sim: Simulator) -> None:
    sim.place_order(1, BUY, 1)
    for shelf in (sim.orders, sim.positions, sim.deals, sim.journal, sim.symbols):
        shelf[0].clear()
    sim.account.clear()
    assert all((sim.orders[0], sim.positions[0], sim.deals[0], sim.journal[0], sim.symbols[0], sim.account))


def test_ids_exceed_what_careless_clients_keep(sim: Simulator) -> None:
    sim.place_order(1, BUY, 1)
    assert sim.orders[0]["id"] > 2**31
    assert sim.deals[0]["id"] > 2**53


def test_unset_values_and_whole_numbers_are_written_in_several_ways(
    sim: Simulator, watcher: PlainClient
) -> None:
    odd, even = working(sim), working(sim)
    sim.info("end")
    texts = []
    while True:
        text = watcher.receive()
        if "orders_place" in text:
            texts.append(text)
        if '"info"' in text:
            break
    assert '"volume_initial":1,' in texts[0]
    assert '"volume_initial":1.0,' in texts[1]
    assert odd["id"] % 2 == 1
    assert even["id"] % 2 == 0
    assert odd["time_expiration"] == "0001-01-01T00:00:00Z"
    assert odd["time_done"] is None
    assert odd["updated_at"] == ""
    assert "external_id" not in odd
    assert odd["price_sl"] is None
    assert odd["created_at"].endswith("Z")
