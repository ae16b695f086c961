"""Callbacks that do not keep up: quotes and profit updates give way to newer ones, and nothing else does."""

from __future__ import annotations

import json
import logging
import random
from typing import Any, Dict, Iterator, List, Sequence

import pytest

from onetrade_ws import ClientEventType, ConnectionState, Event, EventMessageType, OneTradeClient
from onetrade_ws.delivery import queue as queue_module
from onetrade_ws.simulator import Simulator
from onetrade_ws.simulator import websocket as framing
from tests.client.conftest import MakeClient
from tests.client.conversation import TIMEOUT, catch_up, connect
from tests.client.stuck import StuckCallback

QUOTE, PROFIT, GAP = EventMessageType.MARKET_FEED, EventMessageType.PROFIT_UPDATE, ClientEventType.GAP
LIMIT = 400_000
# Enough for a consumer that takes nothing to be behind.
MANY = 2000


def binary(*payloads: str) -> bytes:
    return b"".join(framing.frame(framing.BINARY, payload.encode()) for payload in payloads)


def text(event_type: str, data: Any) -> bytes:
    return framing.frame(framing.TEXT, json.dumps({"type": event_type, "data": data}).encode())


def position(identity: int, profit: float) -> Dict[str, Any]:
    prices = {"price_open": 1.0, "price_current": 1.0}
    volumes = {"volume_initial": 1.0, "volume_current": 1.0}
    profits = {"profit": profit, "total_profit": profit}
    return {"id": identity, "account_id": 1, "symbol_id": 1, "side": 0, **prices, **volumes, **profits}


@pytest.fixture
def behind_client(make_client: MakeClient, simulator: Simulator) -> OneTradeClient:
    """A client whose consumer is behind with little. Its heartbeat is quick, for a test that waits for its counters."""
    client = make_client(queue_limit=LIMIT, heartbeat_interval=0.03, heartbeat_timeout=5.0)
    connect(client, simulator)
    return client


@pytest.fixture
def stuck(behind_client: OneTradeClient, simulator: Simulator) -> Iterator[StuckCallback]:
    """A callback of ``behind_client`` that sticks until the end of the test."""
    stuck = StuckCallback(behind_client, simulator)
    yield stuck
    stuck.release()


def fill(client: OneTradeClient, simulator: Simulator, symbol_id: int = 1000) -> None:
    """Send :data:`MANY` quotes of one symbol, and wait until the queue is above its mark with them."""
    simulator.emit_raw(binary(*[f"{symbol_id},1,1"] * MANY))
    simulator.wait_for(lambda sim: client.stats().queued_bytes > LIMIT // 2)


def await_merged(client: OneTradeClient, simulator: Simulator, count: int) -> None:
    """Wait until the client has merged so many in all."""
    simulator.wait_for(lambda sim: client.stats().merged_events >= count)


def fall_behind(client: OneTradeClient, simulator: Simulator) -> None:
    """Send quotes until the client merges them: :data:`MANY` + 1."""
    fill(client, simulator)
    before = client.stats().merged_events
    simulator.emit_binary(b"1000,1,1")
    await_merged(client, simulator, before + 1)


def collect(client: OneTradeClient, *event_types: Any) -> List[Event]:
    """The events of these types, as they are delivered."""
    events: List[Event] = []
    for event_type in event_types:
        client.subscribe(event_type, events.append)
    return events


def records(events: Sequence[Event]) -> List[bytes]:
    return [event.raw for event in events]


def test_a_flood_that_is_kept_up_with_is_delivered_whole(
    make_client: MakeClient, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However long this machine makes the dispatcher wait.
    monkeypatch.setattr(queue_module, "_PATIENCE", TIMEOUT)
    client = make_client(queue_limit=LIMIT)
    connect(client, simulator)
    quotes = collect(client, QUOTE)
    sent = [f"{number % 7},{number},1" for number in range(30_000)]
    for start in range(0, len(sent), 3000):
        simulator.emit_raw(binary(*sent[start : start + 3000]))
    catch_up(client, simulator)
    assert [raw.decode() for raw in records(quotes)] == sent
    assert client.stats().merged_events == 0


def test_of_each_symbol_the_newest_is_delivered_and_json_is_complete(
    behind_client: OneTradeClient, simulator: Simulator, stuck: StuckCallback
) -> None:
    fall_behind(behind_client, simulator)
    events = collect(behind_client, QUOTE, "numbered")
    draw = random.Random(5)
    newest: Dict[int, float] = {}
    frames: List[bytes] = []
    for number in range(5000):
        symbol_id = draw.randrange(1, 50)
        newest[symbol_id] = number
        frames.append(binary(f"{symbol_id},{number},1"))
        if number % 100 == 0:
            frames.append(text("numbered", number))
    simulator.emit_raw(b"".join(frames))
    await_merged(behind_client, simulator, MANY + 1000)
    stuck.release()
    catch_up(behind_client, simulator)
    assert [event.data for event in events if event.type == "numbered"] == list(range(0, 5000, 100))
    delivered: Dict[int, List[float]] = {}
    for event in events:
        if event.type is QUOTE and event.data.symbol_id != 1000:
            delivered.setdefault(event.data.symbol_id, []).append(event.data.bid)
    assert {symbol_id: bids[-1] for symbol_id, bids in delivered.items()} == newest
    assert all(bids == sorted(bids) for bids in delivered.values())
    stats = behind_client.stats()
    assert stats.merged_events > MANY
    assert stats.events[QUOTE] + stats.merged_events == MANY + 1 + 5000
    assert stats.queued_bytes == 0
    quotes = behind_client.account.quotes
    assert {symbol_id: quotes[symbol_id].bid for symbol_id in newest} == newest


def test_profits_do_not_overtake_their_positions(
    behind_client: OneTradeClient, simulator: Simulator, stuck: StuckCallback
) -> None:
    fall_behind(behind_client, simulator)
    draw = random.Random(6)
    last: Dict[int, float] = {}
    frames = []
    for identity in range(1, 9):
        frames.append(text("positions_open", position(identity, 0.0)))
    for profit in range(1, 3000):
        identity = draw.randrange(1, 9)
        last[identity] = profit
        if draw.random() < 0.05:
            frames.append(text("positions_update", position(identity, profit)))
        else:
            frames.append(binary(f"s,{identity},{profit},{profit}"))
    before = behind_client.stats().frames_received
    simulator.emit_raw(b"".join(frames))
    simulator.wait_for(lambda sim: behind_client.stats().frames_received == before + len(frames))
    stuck.release()
    catch_up(behind_client, simulator)
    mirrored = behind_client.account.positions
    assert {identity: mirrored[identity].profit for identity in last} == last
    stats = behind_client.stats()
    count = sum(frame[:1] == binary("")[:1] for frame in frames)
    assert stats.events[QUOTE] + stats.events[PROFIT] + stats.merged_events == MANY + 1 + count


def test_records_of_one_frame_are_merged_each(
    behind_client: OneTradeClient, simulator: Simulator, stuck: StuckCallback
) -> None:
    fall_behind(behind_client, simulator)
    events = collect(behind_client, QUOTE, PROFIT)
    merged = behind_client.stats().merged_events
    for number in range(1, 101):
        simulator.emit_binary(f"1,{number},1\n2,{number},1\ns,3,{number},1\n1,{number},2".encode())
    await_merged(behind_client, simulator, merged + 397)
    stuck.release()
    catch_up(behind_client, simulator)
    assert records(events)[-3:] == [b"1,100,2", b"2,100,1", b"s,3,100,1"]


def test_what_is_malformed_is_reported_each_time(
    behind_client: OneTradeClient, simulator: Simulator, stuck: StuckCallback
) -> None:
    fall_behind(behind_client, simulator)
    errors = collect(behind_client, ClientEventType.DECODE_ERROR)
    quotes = collect(behind_client, QUOTE)
    bad = ["1,oops,1", "1,oops,1", "x,1,1", ",", "1,1", "2,2,2\n1,", ""] * 10
    simulator.emit_raw(b"".join(binary(f"1,{number},1", each) for number, each in enumerate(bad)))
    stuck.release()
    catch_up(behind_client, simulator)
    expected = ["1,oops,1", "1,oops,1", "x,1,1", ",", "1,1", "1,", ""] * 10
    assert records(errors) == [each.encode() for each in expected]
    assert behind_client.stats().decode_errors == len(bad)
    assert quotes[-1].data.bid == len(bad) - 1


def test_made_up_symbols_are_bounded_and_reading_stops(
    behind_client: OneTradeClient,
    simulator: Simulator,
    stuck: StuckCallback,
    caplog: pytest.LogCaptureFixture,
) -> None:
    slow = collect(behind_client, ClientEventType.SLOW_CONSUMER)
    quotes = collect(behind_client, QUOTE)
    count = 200_000
    for start in range(0, count, 20_000):
        simulator.emit_raw(binary(*[f"{number},1,1" for number in range(start, start + 20_000)]))
    simulator.wait_for(lambda sim: behind_client.stats().queued_bytes >= LIMIT)
    simulator.wait_for(lambda sim: any("too slow" in line.getMessage() for line in caplog.records))
    # One call of the system more than the limit: each record costs many times what it has.
    assert behind_client.stats().queued_bytes_high_water < LIMIT + 256 * 1024 // 9 * 450
    assert behind_client.stats().frames_received < count
    stuck.release()
    catch_up(behind_client, simulator)
    assert slow
    assert slow[0].data.queued_bytes >= LIMIT
    assert [event.data.symbol_id for event in quotes] == list(range(count))
    assert behind_client.stats().merged_events == 0
    assert behind_client.stats().queued_bytes == 0


def test_what_came_before_a_gap_stays_before_it(
    behind_client: OneTradeClient, simulator: Simulator, stuck: StuckCallback
) -> None:
    fall_behind(behind_client, simulator)
    events = collect(behind_client, QUOTE, GAP)
    simulator.emit_raw(binary("1,1,1", "1,2,1", "2,1,1"))
    simulator.wait_for(lambda sim: behind_client.stats().frames_received >= MANY + 1 + 3)
    simulator.drop()
    simulator.wait_for(lambda sim: sim.connections_total == 2)
    simulator.wait_until_subscribed()
    simulator.emit_raw(binary("2,2,1", "1,3,1", "1,4,1"))
    stuck.release()
    catch_up(behind_client, simulator)
    place = [event.type for event in events].index(GAP)
    assert records(events[:place])[-2:] == [b"1,2,1", b"2,1,1"]
    after = records(events[place + 1 :])
    assert after[0] == b"2,2,1"
    assert after[-1] == b"1,4,1"
    assert behind_client.stats().connections == 2


def test_disconnect_while_behind(
    behind_client: OneTradeClient, simulator: Simulator, stuck: StuckCallback
) -> None:
    fall_behind(behind_client, simulator)
    quotes = collect(behind_client, QUOTE)
    behind_client.disconnect(timeout=0.2)
    assert behind_client.state is ConnectionState.CLOSED
    simulator.wait_for(lambda sim: sim.connections == 0)
    # The next life takes over what waits, and merges no more when that is done.
    connect_again(behind_client, simulator, stuck)
    merged = behind_client.stats().merged_events
    quotes.clear()
    simulator.emit_raw(binary("1,1,1", "1,2,1", "1,3,1"))
    catch_up(behind_client, simulator)
    assert records(quotes) == [b"1,1,1", b"1,2,1", b"1,3,1"]
    assert behind_client.stats().merged_events == merged


def connect_again(client: OneTradeClient, simulator: Simulator, stuck: StuckCallback) -> None:
    client.connect()
    simulator.wait_until_subscribed()
    stuck.release()
    catch_up(client, simulator)


@pytest.mark.parametrize("end", ["disconnect", "reset"])
def test_nobody_waits_for_a_consumer_when_the_connection_is_gone(
    make_client: MakeClient, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(queue_module, "_PATIENCE", None)
    client = make_client(queue_limit=LIMIT, heartbeat_interval=0.03, heartbeat_timeout=5.0)
    connect(client, simulator)
    stuck = StuckCallback(client, simulator)
    try:
        fill(client, simulator)
        queued = client.stats().queued_bytes
        simulator.emit_binary(b"1000,1,1")
        simulator.wait_for(lambda sim: client.stats().queued_bytes > queued)
        if end == "reset":
            simulator.reset()
            simulator.wait_for(lambda sim: sim.connections_total == 2)
        else:
            client.disconnect(timeout=0.2)
            simulator.wait_for(lambda sim: sim.connections == 0)
    finally:
        stuck.release()
    assert client.stats().merged_events == 0


def test_a_host_that_pumps_too_rarely_gets_the_newest(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(dispatch="manual", queue_limit=LIMIT, heartbeat_interval=0.03, heartbeat_timeout=5.0)
    connect(client, simulator)
    quotes = collect(client, QUOTE)
    fall_behind(client, simulator)
    assert quotes == []
    frames = client.stats().frames_received
    simulator.emit_raw(binary(*[f"{number % 3},{number},1" for number in range(3000)]))
    simulator.wait_for(lambda sim: client.stats().frames_received == frames + 3000)
    catch_up(client, simulator)
    assert sorted(records(quotes[-3:])) == [b"0,2997,1", b"1,2998,1", b"2,2999,1"]
    assert len(quotes) + client.stats().merged_events == MANY + 1 + 3000


def test_being_behind_is_logged_once_an_episode(
    behind_client: OneTradeClient,
    simulator: Simulator,
    stuck: StuckCallback,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "onetrade_ws.delivery"):
        fall_behind(behind_client, simulator)
        for _ in range(3):
            merged = behind_client.stats().merged_events
            simulator.emit_raw(binary(*["1000,2,2"] * MANY))
            await_merged(behind_client, simulator, merged + MANY)
        stuck.release()
        catch_up(behind_client, simulator)
    lines = [record for record in caplog.records if record.name == "onetrade_ws.delivery"]
    assert [record.levelno for record in lines] == [logging.INFO]
    assert "give way to newer ones" in lines[0].getMessage()


def test_the_symbol_is_found_in_its_column(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(
        queue_limit=LIMIT,
        heartbeat_interval=0.03,
        heartbeat_timeout=5.0,
        price_columns=("bid", "ask", "symbol_id"),
    )
    connect(client, simulator)
    stuck = StuckCallback(client, simulator)
    try:
        simulator.emit_raw(binary(*[f"1,2,{symbol_id}" for symbol_id in range(1, 5)] * (MANY // 4)))
        simulator.wait_for(lambda sim: client.stats().queued_bytes > LIMIT // 2)
        simulator.emit_binary(b"1,2,1")
        await_merged(client, simulator, 1)
        simulator.emit_raw(binary(*[f"1,3,{symbol_id}" for symbol_id in range(1, 5)]))
    finally:
        stuck.release()
    catch_up(client, simulator)
    asks = {symbol_id: quote.ask for symbol_id, quote in client.account.quotes.items()}
    assert asks == dict.fromkeys(range(1, 5), 3.0)
