"""``client.account.to_frame()`` and candles, with what came over a real socket."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, List, Mapping

import pytest

from onetrade_ws import (
    Account,
    EventMessageType,
    OneTradeClient,
    OrderType,
    Position,
    SideType,
    to_frame,
)
from onetrade_ws.simulator import Simulator
from tests.client.conftest import MakeClient
from tests.client.conversation import TIMEOUT, catch_up, connect

pd = pytest.importorskip("pandas", reason="not run: pandas is not installed")

BY_ID = [
    "orders",
    "active_orders",
    "positions",
    "open_positions",
    "deals",
    "reports",
    "journal",
    "symbols",
]
NAMES = ["account", *BY_ID, "quotes", "notifications"]


@pytest.fixture
def account(make_client: MakeClient, simulator: Simulator) -> Account:
    """A mirror with something in each of its collections."""
    simulator.place_order(1, SideType.BUY, 0.5)
    client = make_client(snapshot=True)
    connect(client, simulator)
    client.wait_until_current(TIMEOUT)
    client.subscribe_market(1)
    simulator.wait_until_subscribed(1)
    simulator.place_order(1, SideType.SELL, 0.2, type=OrderType.SELL_LIMIT, price=2.0)
    over = simulator.place_order(2, SideType.BUY, 0.1, type=OrderType.BUY_LIMIT, price=0.5)
    simulator.cancel_order(over["id"])
    simulator.place_order(2, SideType.SELL, 0.3)
    simulator.close_position(next(each["id"] for each in simulator.positions if each["symbol_id"] == 2))
    simulator.quote(1, 1.25, 1.5)
    simulator.add_journal("looked")
    simulator.create_report("pdf")
    simulator.info("hello")
    simulator.error("no money")
    catch_up(client, simulator)
    return client.account


def rows(collection: Any) -> List[Any]:
    return list(collection.values() if isinstance(collection, Mapping) else collection)


@pytest.mark.parametrize("name", BY_ID)
def test_a_collection_by_id(account: Account, name: str) -> None:
    there = rows(getattr(account, name))
    frame = account.to_frame(name)
    assert (frame.index.name, str(frame.index.dtype)) == ("id", "Int64")
    assert list(frame.index) == [each.id for each in there]
    assert len(there) > 0
    pd.testing.assert_frame_equal(frame, to_frame(there, type(there[0])))
    pd.testing.assert_frame_equal(
        account.to_frame(name, extra=True), to_frame(there, type(there[0]), extra=True)
    )


def test_what_is_over_is_in_one_of_them_alone(account: Account) -> None:
    orders, active = account.to_frame("orders"), account.to_frame("active_orders")
    assert list(orders[orders["status"] == "PLACED"].index) == list(active.index) != []
    assert set(orders["status"]) == {"FILLED", "PLACED", "CANCELED"}
    positions, still_open = account.to_frame("positions"), account.to_frame("open_positions")
    assert list(positions[positions["status"] == "OPEN"].index) == list(still_open.index) != []
    assert set(positions["status"]) == {"OPEN", "CLOSED"}


def test_the_account_is_one_row(account: Account) -> None:
    figures = account.account
    assert figures is not None
    (row,) = account.to_frame("account").itertuples()
    assert (row.Index, row.currency, row.balance) == (figures.id, figures.currency, figures.balance)


def test_quotes_are_found_by_symbol(account: Account) -> None:
    frame = account.to_frame("quotes")
    assert (frame.index.name, list(frame.index)) == ("symbol_id", [1])
    assert (frame.loc[1, "bid"], frame.loc[1, "ask"]) == (1.25, 1.5)
    joined = account.to_frame("open_positions").join(frame, on="symbol_id")
    assert list(joined["bid"]) == [1.25]


def test_notifications_are_numbered(account: Account) -> None:
    frame = account.to_frame("notifications")
    assert list(frame.index) == list(range(len(account.notifications)))
    assert list(zip(frame["type"], frame["message"])) == [
        (each.type.name, each.message) for each in account.notifications
    ]
    assert {("INFO", "hello"), ("ERROR", "no money")} <= set(zip(frame["type"], frame["message"]))


def test_times_are_the_servers(account: Account) -> None:
    for name in ("orders", "deals", "journal"):
        found = account.to_frame(name)["created_at"]
        assert str(found.dtype) == "datetime64[ns, UTC]"
        assert [each.to_pydatetime() for each in found] == [
            each.created_at for each in rows(getattr(account, name))
        ]


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_one_looks_the_same(make_client: MakeClient, account: Account, name: str) -> None:
    empty = make_client().account.to_frame(name)
    full = account.to_frame(name)
    assert (len(empty), len(full) > 0) == (0, True)
    assert list(empty.dtypes.items()) == list(full.dtypes.items())
    assert (empty.index.name, empty.index.dtype) == (full.index.name, full.index.dtype)
    # All warnings are errors.
    pd.testing.assert_frame_equal(pd.concat([empty, full]), full)


@pytest.mark.parametrize("name", ["order", "status", "_orders", "to_frame", "", None])
def test_another_name_is_refused_and_the_names_are_told(make_client: MakeClient, name: Any) -> None:
    with pytest.raises(ValueError, match=rf"^no collection {name!r}: one of ") as caught:
        make_client().account.to_frame(name)
    assert sorted(str(caught.value).partition(": one of ")[2].split(", ")) == sorted(NAMES)


def test_every_collection_of_the_mirror_has_a_frame(account: Account) -> None:
    """A new one cannot be forgotten."""
    members = [name for name, value in vars(Account).items() if isinstance(value, property)]
    # It maps names to how far they can be relied on.
    collections = [
        name
        for name in members
        if isinstance(getattr(account, name), (Mapping, list)) and name not in ("status",)
    ]
    assert sorted([*collections, "account"]) == sorted(NAMES)


def test_a_frame_is_of_the_callers_own(account: Account) -> None:
    (position_id,) = account.open_positions
    before = account.positions[position_id]
    frame = account.to_frame("positions")
    frame.loc[position_id, "profit"] = 1e9
    assert account.positions[position_id] == before
    assert account.to_frame("positions").loc[position_id, "profit"] == before.profit


def test_candles(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client()
    end = datetime(2024, 5, 6, 12, tzinfo=timezone.utc)
    candles = client.candles("EURUSD", end - timedelta(hours=5), end, 60)
    frame = to_frame(candles)
    assert (frame.index.name, str(frame.index.dtype)) == ("time", "datetime64[ns, UTC]")
    assert [each.to_pydatetime() for each in frame.index] == [each.time for each in candles]
    assert len(candles) == 6
    for name in ("open", "high", "low", "close"):
        assert list(frame[name]) == [getattr(each, name) for each in candles]
    hours = frame["close"].resample("2h").last()
    assert list(hours.index.strftime("%H:%M")) == ["06:00", "08:00", "10:00", "12:00"]


def test_a_frame_inside_a_callback_has_its_own_event_in_it(
    client: OneTradeClient, simulator: Simulator
) -> None:
    seen: List[Any] = []
    client.subscribe(
        EventMessageType.POSITIONS_OPEN,
        lambda event: seen.append((event.data, client.account.to_frame("open_positions"))),
    )
    simulator.place_order(1, SideType.BUY, 0.5)
    catch_up(client, simulator)
    ((position, frame),) = seen
    assert isinstance(position, Position)
    assert frame.loc[position.id, "volume_current"] == position.volume_current
