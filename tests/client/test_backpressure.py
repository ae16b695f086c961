"""Callbacks that are too slow: reading stops, nothing is lost, and the connection holds."""

from __future__ import annotations

import logging
from typing import Any, Iterator, List

import pytest

from onetrade_ws import (
    ClientEventType,
    ConnectionState,
    Event,
    EventMessageType,
    OneTradeClient,
    SlowConsumer,
)
from onetrade_ws.simulator import Simulator
from tests.client.conftest import MakeClient
from tests.client.conversation import TIMEOUT, catch_up, connect
from tests.client.stuck import StuckCallback

INFO = EventMessageType.INFO
LIMIT = 100_000
# More than the sockets' buffers hold, so that a client that does not read holds the server back.
MESSAGE = "x" * 60_000
COUNT = 400


@pytest.fixture
def small_client(make_client: MakeClient, simulator: Simulator) -> OneTradeClient:
    """A client with a small queue and a quick heartbeat."""
    client = make_client(queue_limit=LIMIT, heartbeat_interval=0.03, heartbeat_timeout=0.3)
    connect(client, simulator)
    return client


@pytest.fixture
def stuck(small_client: OneTradeClient, simulator: Simulator) -> Iterator[StuckCallback]:
    """A callback of ``small_client`` that sticks until the end of the test."""
    stuck = StuckCallback(small_client, simulator)
    yield stuck
    stuck.release()


def flood(simulator: Simulator) -> None:
    """Send more than the client takes, and wait until it does not take it: numbers in front of ballast."""
    for number in range(COUNT):
        simulator.emit("numbered", [number, MESSAGE])


def beats(simulator: Simulator) -> int:
    return sum(message.payload == b"9" for message in simulator.messages)


def outlast_the_heartbeat(simulator: Simulator) -> None:
    """Wait for more heartbeats than a dead connection would live to see."""
    wanted = beats(simulator) + 20
    simulator.wait_for(lambda sim: beats(sim) >= wanted)


def test_reading_stops_nothing_is_lost_and_the_connection_holds(
    small_client: OneTradeClient,
    simulator: Simulator,
    stuck: StuckCallback,
    caplog: pytest.LogCaptureFixture,
) -> None:
    numbers: List[int] = []
    small_client.subscribe("numbered", lambda event: numbers.append(event.data[0]))
    slow: List[Event] = []
    small_client.subscribe(ClientEventType.SLOW_CONSUMER, slow.append)

    flood(simulator)
    outlast_the_heartbeat(simulator)

    assert simulator.unsent > 0
    stats = small_client.stats()
    assert stats.queued_bytes >= LIMIT
    assert stats.frames_received < COUNT
    assert small_client.state is ConnectionState.OPEN
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING][-1:]
    assert "callbacks are too slow" in line
    assert slow == []

    stuck.release()
    catch_up(small_client, simulator)
    assert numbers == list(range(COUNT))
    assert slow
    for event in slow:
        assert isinstance(event.data, SlowConsumer)
        assert event.data.limit == LIMIT
        assert event.data.queued_bytes >= LIMIT
    # A queue that is not full takes one more batch: what one call of the system gives, and a message that it begins.
    assert small_client.stats().queued_bytes_high_water < LIMIT + 400_000
    assert small_client.stats().queued_bytes == 0
    assert simulator.connections_total == 1
    assert small_client.stats().connections == 1


def test_a_client_that_stays_behind_is_told_so_once(
    make_client: MakeClient, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    limit = 10 * LIMIT
    client = make_client(dispatch="manual", queue_limit=limit, heartbeat_interval=0.03)
    connect(client, simulator)
    flood(simulator)
    for _ in range(10):
        with_full_queue(client, simulator, limit)
        # Not so many that the queue would be half empty.
        for _ in range(4):
            client.pump(max_seconds=0)
    lines = [record.getMessage() for record in caplog.records if record.name == "onetrade_ws.delivery"]
    assert len(lines) == 1
    assert "callbacks are too slow" in lines[0]
    catch_up(client, simulator)
    assert client.stats().events["unknown"] == COUNT


def test_the_client_sends_while_it_does_not_read(
    small_client: OneTradeClient, simulator: Simulator, stuck: StuckCallback
) -> None:
    flood(simulator)
    for number in range(10):
        small_client.send("sent meanwhile", number)
    text = '{"type":"sent meanwhile","data":9}'
    simulator.wait_for(lambda sim: any(message.payload == text.encode() for message in sim.messages))
    assert small_client.stats().messages_waiting == 0


def test_disconnect_returns_while_the_reader_is_held_up(
    small_client: OneTradeClient, simulator: Simulator, stuck: StuckCallback
) -> None:
    flood(simulator)
    with_full_queue(small_client, simulator)
    small_client.disconnect(timeout=0.3)
    assert small_client.state is ConnectionState.CLOSED
    simulator.wait_for(lambda sim: sim.connections == 0)
    stuck.release()
    assert small_client.wait(TIMEOUT) is True


def with_full_queue(client: OneTradeClient, simulator: Simulator, limit: int = LIMIT) -> None:
    """Wait until the client's queue is full: it beats meanwhile."""
    simulator.wait_for(lambda sim: client.stats().queued_bytes >= limit)


def test_a_stuck_client_can_connect_again(
    small_client: OneTradeClient, simulator: Simulator, stuck: StuckCallback
) -> None:
    flood(simulator)
    with_full_queue(small_client, simulator)
    small_client.disconnect(timeout=0.3)
    simulator.wait_for(lambda sim: sim.connections == 0)
    changes: List[ConnectionState] = []
    small_client.subscribe(ClientEventType.STATE_CHANGED, lambda event: changes.append(event.data.new))
    small_client.connect()
    stuck.release()
    simulator.info("second life")
    catch_up(small_client, simulator)
    assert changes[-4:] == [
        ConnectionState.CLOSING,
        ConnectionState.CLOSED,
        ConnectionState.CONNECTING,
        ConnectionState.OPEN,
    ]
    assert [each.message for each in small_client.account.notifications] == ["second life"]
    assert small_client.state is ConnectionState.OPEN


def test_a_host_that_does_not_pump_holds_the_server_back(
    make_client: MakeClient, simulator: Simulator
) -> None:
    client = make_client(dispatch="manual", queue_limit=LIMIT, heartbeat_interval=0.03, heartbeat_timeout=0.3)
    connect(client, simulator)
    numbers: List[int] = []
    client.subscribe("numbered", lambda event: numbers.append(event.data[0]))
    slow: List[Event] = []
    client.subscribe(ClientEventType.SLOW_CONSUMER, slow.append)
    flood(simulator)
    outlast_the_heartbeat(simulator)
    assert simulator.unsent > 0
    assert client.stats().frames_received < COUNT
    assert numbers == []
    catch_up(client, simulator)
    assert numbers == list(range(COUNT))
    assert slow
    assert simulator.connections_total == 1


def test_a_host_that_does_not_pump_can_disconnect_and_reads_what_had_come(
    make_client: MakeClient, simulator: Simulator
) -> None:
    client = make_client(dispatch="manual", queue_limit=LIMIT, heartbeat_interval=0.03, heartbeat_timeout=0.3)
    connect(client, simulator)
    numbers: List[int] = []
    client.subscribe("numbered", lambda event: numbers.append(event.data[0]))
    flood(simulator)
    with_full_queue(client, simulator)
    client.disconnect()
    assert client.state is ConnectionState.CLOSED
    assert client.wait(TIMEOUT) is True
    assert numbers == list(range(len(numbers)))
    assert numbers


def test_a_message_larger_than_the_queue_passes(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(queue_limit=1)
    connect(client, simulator)
    received: List[Any] = []
    client.subscribe(INFO, lambda event: received.append(event.data.message))
    simulator.info("x" * 300_000)
    simulator.info("y" * 300_000)
    catch_up(client, simulator)
    assert [(text[0], len(text)) for text in received] == [("x", 300_000), ("y", 300_000)]


def test_a_loss_while_reading_is_held_up_is_mended_afterwards(
    small_client: OneTradeClient, simulator: Simulator, stuck: StuckCallback
) -> None:
    flood(simulator)
    with_full_queue(small_client, simulator)
    numbers: List[int] = []
    small_client.subscribe("numbered", lambda event: numbers.append(event.data[0]))
    simulator.drop()
    with small_client.expect(ClientEventType.GAP, timeout=TIMEOUT):
        stuck.release()
    catch_up(small_client, simulator)
    # Each of those that had come, in order, and none of those that the server threw away.
    assert numbers == list(range(len(numbers)))
    assert small_client.stats().connections == 2
