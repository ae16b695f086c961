"""``stats()``: what was counted, over a real socket."""

from __future__ import annotations

import threading
from typing import List

import attrs
import pytest

from onetrade_ws import ClientEventType, Event, EventMessageType, OneTradeClient, Stats
from onetrade_ws.simulator import Simulator
from tests.client.background import Background
from tests.client.conftest import MakeClient
from tests.client.conversation import TIMEOUT, catch_up, connect, everything_sent


def test_a_client_that_was_never_connected_has_counted_nothing(make_client: MakeClient) -> None:
    assert make_client().stats() == Stats(
        connections=0,
        frames_received=0,
        bytes_received=0,
        messages_written=0,
        messages_waiting=0,
        messages_unknown=0,
        events={},
        merged_events=0,
        decoded_events=0,
        decode_errors=0,
        callback_errors=0,
        queued_bytes=0,
        queued_bytes_high_water=0,
        lag_median=None,
        lag_p99=None,
        reconnects={},
        heartbeat_round_trip=None,
    )


def test_a_snapshot_is_frozen_and_the_caller_s(client: OneTradeClient, simulator: Simulator) -> None:
    before = client.stats()
    simulator.info("hello")
    catch_up(client, simulator)
    assert EventMessageType.INFO not in before.events
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        before.connections = 7  # type: ignore[misc]


def test_connections_are_counted(client: OneTradeClient, simulator: Simulator) -> None:
    assert client.stats().connections == 1
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
        simulator.reset()
    assert client.stats().connections == 2
    client.disconnect()
    client.connect()
    assert client.stats().connections == 3


def test_frames_and_events_are_counted_by_type(client: OneTradeClient, simulator: Simulator) -> None:
    for _ in range(3):
        simulator.info("hello")
    for _ in range(2):
        simulator.emit("brand_new")
    simulator.emit("newer_still")
    simulator.emit_binary(b"1,1.1,1.2\n2,1.1,1.2\ns,5,1,2")
    simulator.emit_text("garbage")
    simulator.emit_binary(b"1\n2")
    catch_up(client, simulator)
    stats = client.stats()
    assert stats.frames_received == 3 + 2 + 1 + 1 + 1 + 1 + 1
    assert stats.events == {
        ClientEventType.STATE_CHANGED: 2,
        EventMessageType.INFO: 3,
        "unknown": 3,
        EventMessageType.MARKET_FEED: 2,
        EventMessageType.PROFIT_UPDATE: 1,
        ClientEventType.DECODE_ERROR: 3,
        EventMessageType.PONG: 1,
    }
    assert stats.decode_errors == 3


def test_the_lag_is_measured(client: OneTradeClient, simulator: Simulator) -> None:
    for _ in range(20):
        simulator.info("hello")
    catch_up(client, simulator)
    stats = client.stats()
    assert stats.lag_median is not None
    assert stats.lag_p99 is not None
    assert 0 <= stats.lag_median <= stats.lag_p99 < TIMEOUT


def test_reconnects_are_counted_by_reason(client: OneTradeClient, simulator: Simulator) -> None:
    reasons: List[str] = []
    client.subscribe(
        ClientEventType.RECONNECTING, lambda event: reasons.append(type(event.data.reason).__name__)
    )
    for cut in (simulator.reset, simulator.close, simulator.drop):
        with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
            cut()
    catch_up(client, simulator)
    assert len(set(reasons)) > 1
    assert client.stats().reconnects == {reason: reasons.count(reason) for reason in reasons}


def test_callback_errors_are_counted(client: OneTradeClient, simulator: Simulator) -> None:
    def fail(event: Event) -> None:
        raise ValueError

    client.subscribe(EventMessageType.INFO, fail)
    client.subscribe(None, fail)
    simulator.info("hello")
    catch_up(client, simulator)
    client.disconnect()
    # For the message both. Each is reported, but not to the one that raised: it would only raise again.
    stats = client.stats()
    assert stats.callback_errors >= 2
    assert stats.events[ClientEventType.CALLBACK_ERROR] == stats.callback_errors


def test_messages_are_counted_heartbeats_are_not(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(heartbeat_interval=0.02)
    client.subscribe_market(1)
    client.send("first")
    client.send("second")
    assert (client.stats().messages_written, client.stats().messages_waiting) == (0, 2)
    connect(client, simulator)
    sent = everything_sent(client, simulator)
    assert len(sent) == 4
    simulator.wait_for(lambda sim: sum(message.payload == b"9" for message in sim.messages) >= 3)
    stats = client.stats()
    assert (stats.messages_written, stats.messages_waiting) == (5, 0)


def test_bytes_are_counted(client: OneTradeClient, simulator: Simulator) -> None:
    for _ in range(10):
        simulator.info("x" * 1000)
    catch_up(client, simulator)
    client.disconnect()
    first = client.stats().bytes_received
    assert 10_000 < first < 20_000
    client.connect()
    simulator.info("x" * 1000)
    catch_up(client, simulator)
    client.disconnect()
    assert first + 1000 < client.stats().bytes_received < first + 10_000


def test_what_waits_for_a_callback_is_measured(client: OneTradeClient, simulator: Simulator) -> None:
    entered, release = threading.Event(), threading.Event()

    def stick(event: Event) -> None:
        entered.set()
        release.wait(TIMEOUT)

    client.subscribe("stick", stick)
    simulator.emit("stick")
    assert entered.wait(TIMEOUT)
    last: List[Event] = []
    client.subscribe(EventMessageType.INFO, last.append)
    try:
        for _ in range(100):
            simulator.info("x" * 1000)
        while client.stats().queued_bytes < 100_000:
            threading.Event().wait(0.001)
        client.disconnect(timeout=0.1)
        waiting = client.stats().queued_bytes
    finally:
        release.set()
    assert client.wait(TIMEOUT)
    stats = client.stats()
    assert waiting >= 100_000
    assert stats.queued_bytes_high_water >= waiting


def test_the_heartbeat_s_round_trip_is_measured(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(heartbeat_interval=0.02)
    assert client.stats().heartbeat_round_trip is None
    connect(client, simulator)
    simulator.wait_for(lambda sim: sum(message.payload == b"9" for message in sim.messages) >= 2)
    catch_up(client, simulator)
    round_trip = client.stats().heartbeat_round_trip
    assert round_trip is not None
    assert round_trip >= 0


def test_there_is_no_round_trip_without_an_answer(make_client: MakeClient) -> None:
    with Simulator(live=False, heartbeat_reply=False) as simulator:
        client = make_client(simulator, heartbeat_interval=0.02)
        connect(client, simulator)
        simulator.wait_for(lambda sim: sum(message.payload == b"9" for message in sim.messages) >= 2)
        catch_up(client, simulator)
        assert client.stats().heartbeat_round_trip is None
        client.disconnect()


def test_statistics_can_be_read_while_everything_moves(client: OneTradeClient, simulator: Simulator) -> None:
    stop = threading.Event()

    def read() -> int:
        count = 0
        while not stop.is_set():
            stats = client.stats()
            assert sum(stats.events.values()) >= stats.decode_errors
            count += 1
        return count

    reading = Background(read)
    for number in range(200):
        simulator.info("hello")
        simulator.emit(f"made up {number}")
        simulator.emit_text("garbage")
    catch_up(client, simulator)
    stop.set()
    assert reading.result() > 0
    assert client.stats().events["unknown"] == 200


def test_what_nobody_asks_for_is_counted(client: OneTradeClient, simulator: Simulator) -> None:
    simulator.emit("brand_new", {"a": 1})
    simulator.emit("pong", {"a": 1})
    simulator.emit_text('{"type":"brand_new","data":}')
    catch_up(client, simulator)
    before = client.stats()
    assert before.events["unknown"] == 1
    assert before.decode_errors == 1
    received: List[Event] = []
    client.subscribe("brand_new", received.append)
    simulator.emit("brand_new", {"a": 2})
    simulator.emit("newer_still", {"a": 2})
    catch_up(client, simulator)
    after = client.stats()
    assert after.events["unknown"] == 3
    assert [event.data for event in received] == [{"a": 2}]
    # Everything that was asked for, and without msgspec everything that is JSON.
    assert after.decoded_events - before.decoded_events >= 2
    assert after.decoded_events <= sum(after.events[each] for each in after.events if isinstance(each, str))


def test_who_asks_in_the_meantime_gets_what_has_come(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(dispatch="manual")
    connect(client, simulator)
    received: List[Event] = []
    client.subscribe(EventMessageType.INFO, lambda _: client.subscribe("brand_new", received.append))
    # In one write, so that both are decoded before the callback runs.
    texts = [b'{"type":"info","data":{"message":"now"}}', *5 * [b'{"type":"brand_new","data":{"a":1}}']]
    simulator.emit_raw(b"".join(bytes([0x81, len(text)]) + text for text in texts))
    catch_up(client, simulator)
    assert [event.data for event in received] == 5 * [{"a": 1}]
    assert [event.raw for event in received] == texts[1:]
