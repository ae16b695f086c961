"""The live figures are the simulator's own, to the cent, whenever everything has been told."""

from __future__ import annotations

import os
import random
import threading
from typing import Any, Callable, List

import attrs
import pytest

from onetrade_ws import (
    ClientEventType,
    Event,
    EventMessageType,
    Figures,
    OneTradeClient,
    SideType,
)
from onetrade_ws.simulator import Simulator
from onetrade_ws.simulator import websocket as framing
from tests.client.background import Background
from tests.client.conftest import MakeClient
from tests.client.conversation import TIMEOUT, catch_up, connect
from tests.client.desk import Desk
from tests.client.stuck import StuckCallback

BUY, SELL = SideType.BUY, SideType.SELL
EURUSD, USDJPY, EURJPY, EURGBP, XAUUSD, US500 = 1, 3, 7, 8, 9, 11
SYMBOLS = (EURUSD, USDJPY, EURJPY, EURGBP, XAUUSD, US500)

# So many random steps for each seed; ``make soak`` makes more.
STEPS = int(os.environ.get("ONETRADE_TEST_STEPS", "120"))

MONEY = [field.name for field in attrs.fields(Figures) if field.name not in ("is_computed", "updated_at")]


def figures(client: OneTradeClient) -> Figures:
    """The figures, which are known."""
    found = client.account.figures
    assert found is not None
    return found


def agree(client: OneTradeClient, simulator: Simulator) -> Figures:
    """Everything that was said has been delivered, and the figures are what the simulator's are."""
    catch_up(client, simulator)
    found = figures(client)
    assert {name: getattr(found, name) for name in MONEY} == {name: simulator.account[name] for name in MONEY}
    return found


def know(client: OneTradeClient, simulator: Simulator) -> None:
    """Connect, and wait for the snapshot."""
    connect(client, simulator)
    client.wait_until_current(TIMEOUT)


def watch(client: OneTradeClient, simulator: Simulator, *symbol_ids: int) -> None:
    """Subscribe to symbols, and wait until the simulator has been asked."""
    for symbol_id in symbol_ids:
        client.subscribe_market(symbol_id)
    simulator.wait_until_subscribed(*symbol_ids)


@pytest.fixture
def client(make_client: MakeClient, simulator: Simulator) -> OneTradeClient:
    """A client that has its first snapshot, of an account with a position in each symbol."""
    for symbol_id in SYMBOLS:
        simulator.place_order(symbol_id, BUY, 1)
    client = make_client(snapshot=True)
    know(client, simulator)
    return client


def bid_of(simulator: Simulator, symbol_id: int) -> float:
    """A symbol's bid, as it would be sent."""
    payload = simulator._market.frame(symbol_id)
    assert payload is not None
    return float(payload.split(b",")[1])


def test_there_are_none_before_a_snapshot(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(snapshot=False)
    connect(client, simulator)
    simulator.place_order(EURUSD, BUY, 1)
    simulator.deposit(100)
    catch_up(client, simulator)
    assert client.account.figures is None


def test_after_a_snapshot_they_are_the_server_s_own(client: OneTradeClient, simulator: Simulator) -> None:
    found = agree(client, simulator)
    assert not found.is_computed
    assert found.profit != 0
    assert found.margin


def test_they_are_as_of_the_newest_quote(client: OneTradeClient, simulator: Simulator) -> None:
    watch(client, simulator, EURUSD)
    simulator.quote(EURUSD, 1.2)
    before = agree(client, simulator)
    simulator.quote(EURUSD, 1.3)
    simulator.quote(EURUSD, 1.2)
    found = agree(client, simulator)
    assert attrs.evolve(found, updated_at=before.updated_at) == before
    assert found.updated_at == client.account.figures.updated_at > before.updated_at  # type: ignore[union-attr]


STEPS_BY_HAND = {
    "a price": lambda sim: sim.quote(EURUSD, 1.09),
    "a price that converts": lambda sim: sim.quote(USDJPY, 155.5),
    "a deposit": lambda sim: sim.deposit(250.25),
    "a withdrawal": lambda sim: sim.deposit(-99.99),
    "an opened position": lambda sim: sim.place_order(EURJPY, SELL, 0.37),
    "a closed position": lambda sim: sim.close_position(sim.positions[1]["id"]),
    "a part of a position": lambda sim: sim.close_position(sim.positions[2]["id"], 0.33),
    "a swap": lambda sim: sim.update_position(sim.positions[3]["id"], swaps=-4.56),
    "a corrected deal": lambda sim: sim.update_deal(sim.deals[0]["id"], fee=1.23),
}


@pytest.mark.parametrize("step", STEPS_BY_HAND.values(), ids=STEPS_BY_HAND)
def test_they_follow(client: OneTradeClient, simulator: Simulator, step: Callable[[Simulator], Any]) -> None:
    before = agree(client, simulator)
    step(simulator)
    found = agree(client, simulator)
    assert found.is_computed
    assert found.updated_at > before.updated_at


def test_an_account_that_begins_and_ends_without_positions(
    make_client: MakeClient, simulator: Simulator
) -> None:
    client = make_client(snapshot=True)
    know(client, simulator)
    assert agree(client, simulator).margin == 0
    for symbol_id in SYMBOLS:
        simulator.place_order(symbol_id, SELL, 0.5)
        agree(client, simulator)
    for position in simulator.positions:
        simulator.close_position(position["id"])
        agree(client, simulator)
    assert figures(client).margin_level == 0


def test_quotes_alone_move_them_between_profit_frames(client: OneTradeClient, simulator: Simulator) -> None:
    watch(client, simulator, *SYMBOLS, 2)
    for symbol_id in (*SYMBOLS, 2):
        simulator.quote(symbol_id, bid_of(simulator, symbol_id) * 1.01)
    agree(client, simulator)
    seen: List[Figures] = []
    client.subscribe(EventMessageType.MARKET_FEED, lambda event: seen.append(figures(client)))
    for symbol_id in (EURUSD, XAUUSD, US500):
        # One position is in each of these, which converts nothing: after the quote nothing is left to be told.
        simulator.quote(symbol_id, bid_of(simulator, symbol_id) * 0.97)
        found = agree(client, simulator)
        assert seen[-1].profit == found.profit
        assert seen[-1].is_computed


def test_a_quote_that_converts_moves_them_before_the_profit_frame(
    client: OneTradeClient, simulator: Simulator
) -> None:
    watch(client, simulator, *SYMBOLS, 2)
    for symbol_id in (*SYMBOLS, 2):
        simulator.quote(symbol_id, bid_of(simulator, symbol_id) * 1.01)
    agree(client, simulator)
    seen: List[Figures] = []
    client.subscribe(EventMessageType.MARKET_FEED, lambda event: seen.append(figures(client)))
    for symbol_id in (USDJPY, 2):
        simulator.quote(symbol_id, bid_of(simulator, symbol_id) * 0.97)
        found = agree(client, simulator)
        assert seen[-1].profit == found.profit


def test_between_a_deal_and_its_position_nothing_is_counted_twice(
    client: OneTradeClient, simulator: Simulator
) -> None:
    simulator.quote(EURUSD, 1.2)
    agree(client, simulator)
    equities: List[Any] = []

    def note(event: Event) -> None:
        equities.append(figures(client).equity)

    before = simulator.account["equity"]
    client.subscribe(None, note)
    simulator.close_position(simulator.positions[0]["id"])
    agree(client, simulator)
    assert {*equities} == {before, None}
    assert equities[-1] == before


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("watched", [(), SYMBOLS, (*SYMBOLS, 2), (EURJPY, EURGBP)], ids=str)
def test_whatever_happens_they_are_the_simulator_s(
    make_client: MakeClient, simulator: Simulator, seed: int, watched: List[int]
) -> None:
    draw = random.Random(seed)
    desk = Desk(simulator, seed)
    desk.act(5)
    client = make_client(snapshot=True)
    know(client, simulator)
    watch(client, simulator, *watched)
    for _ in range(STEPS):
        if draw.random() < 0.5:
            desk.act()
        else:
            act(simulator, draw)
        agree(client, simulator)


def act(simulator: Simulator, draw: random.Random) -> None:
    """Something that moves the figures."""
    opened = [position for position in simulator.positions if position["status"] != 2]
    symbol_id = draw.choice((*SYMBOLS, 2))
    choice = draw.randrange(6)
    if choice <= 1:
        bid = bid_of(simulator, symbol_id) * draw.uniform(0.95, 1.05)
        simulator.quote(symbol_id, bid, bid * 1.0005 if choice else None)
    elif choice == 2:
        simulator.deposit(round(draw.uniform(-500, 500), 2))
    elif choice == 3 and len(opened) < 10:
        simulator.place_order(draw.choice(SYMBOLS), draw.choice((BUY, SELL)), draw.randint(1, 300) / 10)
    elif choice == 4 and opened:
        position = draw.choice(opened)
        parts = round(position["volume_current"] * 10)
        simulator.close_position(position["id"], draw.randint(1, parts) / 10)
    elif choice == 5 and simulator.deals:
        deal = draw.choice(simulator.deals)
        simulator.update_deal(deal["id"], swap=round(draw.uniform(-9, 9), 2))


def fall_behind(client: OneTradeClient, simulator: Simulator) -> None:
    """Send quotes that concern nobody, until newer ones take the place of older ones."""
    before = client.stats().merged_events
    simulator.emit_raw(framing.frame(framing.BINARY, b"1000,1,1") * 2000)
    simulator.wait_for(lambda sim: client.stats().queued_bytes > 200_000)
    simulator.emit_binary(b"1000,1,1")
    simulator.wait_for(lambda sim: client.stats().merged_events > before)


@pytest.mark.parametrize("seed", range(3))
def test_however_far_behind_callbacks_are(make_client: MakeClient, simulator: Simulator, seed: int) -> None:
    desk = Desk(simulator, seed)
    desk.act(10)
    # Its heartbeat is quick for who waits for its counters.
    client = make_client(
        snapshot=True, queue_limit=400_000, heartbeat_interval=0.03, heartbeat_timeout=TIMEOUT
    )
    know(client, simulator)
    watch(client, simulator, *SYMBOLS, 2)
    draw = random.Random(seed)
    for _ in range(2):
        stuck = StuckCallback(client, simulator)
        fall_behind(client, simulator)
        for _ in range(STEPS):
            act(simulator, draw)
        stuck.release()
        agree(client, simulator)


def test_they_can_be_read_on_any_thread(client: OneTradeClient, simulator: Simulator) -> None:
    watch(client, simulator, *SYMBOLS, 2)
    over = threading.Event()

    def read() -> int:
        seen = 0
        while not over.is_set():
            found = figures(client)
            assert found.balance is not None
            if found.equity is not None:
                assert found.profit is not None
                assert round(found.balance + found.profit, 2) == found.equity
            seen += 1
        return seen

    readers = [Background(read) for _ in range(2)]
    draw = random.Random(5)
    for _ in range(STEPS):
        act(simulator, draw)
    agree(client, simulator)
    over.set()
    assert all(reader.result() for reader in readers)


def test_a_cut_gives_the_server_s_again(client: OneTradeClient, simulator: Simulator) -> None:
    simulator.deposit(100)
    before = agree(client, simulator)
    assert before.is_computed
    with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT):
        with client.expect(ClientEventType.RECONNECTING, timeout=TIMEOUT):
            simulator.refuse_validation(503, times=None)
            simulator.drop()
        simulator.deposit(200)
        simulator.quote(EURUSD, 1.2)
        assert client.account.figures == before
        simulator.allow()
    found = agree(client, simulator)
    assert not found.is_computed
    assert found.balance == simulator.account["balance"]


def test_what_comes_back_before_the_snapshot_does_not_move_them(
    client: OneTradeClient, simulator: Simulator
) -> None:
    before = agree(client, simulator)
    seen: List[Any] = []
    client.subscribe(EventMessageType.DEALS_CREATE, lambda event: seen.append(client.account.figures))
    simulator.refuse_validation(503, times=None)
    with client.expect(ClientEventType.RECONNECTING, timeout=TIMEOUT):
        simulator.drop()
    simulator.deposit(1000)
    with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT):
        with client.expect(ClientEventType.RESYNCING, timeout=TIMEOUT):
            simulator.allow()
        simulator.deposit(10)
    found = agree(client, simulator)
    assert found.balance is not None
    assert before.balance is not None
    # The one of the time before is not counted, and neither is without the other.
    assert all(each.balance in (before.balance, found.balance) for each in seen)


def test_random_cuts(make_client: MakeClient, simulator: Simulator) -> None:
    draw = random.Random(11)
    desk = Desk(simulator, 11)
    client = make_client(snapshot=True)
    know(client, simulator)
    for _ in range(STEPS // 6):
        desk.act(draw.randint(0, 4))
        with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT):
            draw.choice((simulator.drop, simulator.reset, simulator.close))()
            desk.act(draw.randint(0, 6))
        desk.act(draw.randint(0, 2))
        agree(client, simulator)
