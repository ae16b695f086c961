"""What happens by itself."""

from __future__ import annotations

import threading
from contextlib import ExitStack, closing
from functools import partial
from typing import Any, Set, Tuple

import pytest

from onetrade_ws.protocol.enums import ChannelType, OrderStatus, OrderType, SideType
from onetrade_ws.simulator import Simulator
from onetrade_ws.simulator.trader import MAX_ORDERS, MAX_POSITIONS
from tests.simulator.plain_client import PlainClient, read

EVERYTHING = {
    "orders_place",
    "orders_update",
    "orders_cancel",
    "orders_expired",
    "orders_rejected",
    "dealing_order_requote",
    "positions_open",
    "positions_update",
    "positions_close",
    "deals_create",
    "deals_update",
    "journal_create",
    "report_create",
    "info",
    "error",
    "price",
    "profit",
}


def test_a_watcher_sees_every_kind_of_event() -> None:
    with ExitStack() as stack:
        sim = stack.enter_context(Simulator(quotes_per_second=500, trading_interval=0.002))
        client = stack.enter_context(closing(PlainClient(sim)))
        client.send("start_account_all")
        for symbol in sim.symbols:
            client.send("market_subscribe_symbol", symbol["id"])
        seen: Set[str] = set()
        statuses: Set[int] = set()
        reasons: Set[int] = set()
        while not (seen >= EVERYTHING and statuses >= {2, 3} and reasons >= {3, 4}):
            event = read(client.receive())
            seen.add(event.type)
            if event.type.startswith("orders_"):
                statuses.add(event.data["status"])
            if event.type == "positions_close":
                reasons.add(event.data["reason"])


def test_one_round_of_the_trader_shows_everything_once_at_least() -> None:
    """At the defaults a round takes 20 seconds: here it is taken without the clock."""
    with Simulator(live=False) as sim, closing(PlainClient(sim)) as client:
        client.send("start_account_all")
        client.sync()
        seen: Set[str] = set()
        for _ in range(20):
            sim._trade()
            seen.update(event.type for event in client.sync())
        assert seen >= EVERYTHING - {"price"}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_trader_stays_within_bounds_and_leaves_others_alone(seed: int) -> None:
    sim = Simulator(live=False, seed=seed, history=50)
    sim.place_order(1, SideType.BUY, 0.01)
    mine = sim.positions[0]["id"]
    waiting = sim.place_order(1, SideType.BUY, 1, type=OrderType.BUY_LIMIT, price=0.5)["id"]
    for _ in range(400):
        sim._trade()
        sim.step_market()
    positions = [position for position in sim.positions if position["status"] == 0]
    orders = [order for order in sim.orders if order["status"] in (0, 1, 2, 7)]
    assert len(positions) <= MAX_POSITIONS + 3
    assert len(orders) <= MAX_ORDERS + 3
    assert mine in [position["id"] for position in positions]
    assert waiting in [order["id"] for order in orders]
    assert sim.account["balance"] > 0


def test_the_same_seed_gives_the_same_trades() -> None:
    def trades() -> Any:
        sim = Simulator(live=False, seed=9)
        for _ in range(60):
            sim._trade()
            sim.step_market()
        return [
            (deal["symbol_id"], deal["side"], deal["volume"], deal["price"], deal["profit"])
            for deal in sim.deals
        ]

    assert trades() == trades()


def test_the_trader_copes_with_others_acting_on_what_is_his() -> None:
    sim = Simulator(live=False)
    for _ in range(200):
        sim._trade()
        for order in sim.orders:
            if order["status"] in (0, 1, 2, 7):
                sim.cancel_order(order["id"])
        for position in sim.positions:
            if position["status"] == 0:
                sim.close_position(position["id"])
    assert {order["status"] for order in sim.orders} >= {OrderStatus.FILLED, OrderStatus.CANCELED}


def test_the_trader_pays_in_when_money_runs_out() -> None:
    sim = Simulator(live=False)
    sim.deposit(-80_000)
    sim._trade()
    deposits = [deal for deal in sim.deals if deal["side"] == SideType.BALANCE]
    assert [deal["profit"] for deal in deposits] == [-80_000, 50_000]
    assert deposits[1]["channel"] == ChannelType.SYSTEM


def test_a_live_simulator_goes_on_without_clients() -> None:
    with Simulator(quotes_per_second=1000, trading_interval=0.001) as sim:
        sim.wait_for(lambda sim: len(sim.deals) > 20)


@pytest.mark.parametrize(
    ("quotes_per_second", "trading_interval", "threads"),
    [(0, None, 1), (1000, None, 2), (0, 0.001, 2), (20, 1, 3)],
)
def test_quotes_and_trading_can_be_switched_off(
    quotes_per_second: float, trading_interval: float, threads: int
) -> None:
    before = threading.active_count()
    with Simulator(quotes_per_second=quotes_per_second, trading_interval=trading_interval) as sim:
        assert threading.active_count() - before == threads
        if quotes_per_second == 1000:
            spread = sim.symbols
            sim.wait_for(lambda sim: sim.symbols != spread)
            assert sim.orders == ()
        elif trading_interval == 0.001:
            sim.wait_for(lambda sim: sim.orders)


def test_an_action_that_fails_is_logged_and_the_next_one_comes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sim = Simulator(quotes_per_second=0, trading_interval=0.001)
    act, failures = sim._trader.act, iter([True, True, False])

    def fail_twice() -> None:
        if next(failures, False):
            raise RuntimeError("planted")
        act()

    monkeypatch.setattr(sim._trader, "act", fail_twice)
    with sim:
        sim.wait_for(lambda sim: sim.orders)
    assert caplog.text.count("RuntimeError: planted") == 2


def journal_differs(before: Tuple[Any, ...], sim: Simulator) -> bool:
    return sim.journal != before


def test_start_after_stop_is_live_again() -> None:
    sim = Simulator(quotes_per_second=1000, trading_interval=0.001)
    for _ in range(2):
        with sim:
            before = sim.journal
            sim.wait_for(partial(journal_differs, before))
