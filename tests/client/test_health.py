"""health(), STALE and RECOVERED: how the connection is, and whether quotes keep coming."""

from __future__ import annotations

from typing import List

import pytest

from onetrade_ws import (
    AuthenticationError,
    ClientEventType,
    Event,
    EventMessageType,
    EventStream,
    Health,
    HealthStatus,
    Recovered,
    SessionInUseError,
    SessionLoggedOutError,
    Stale,
)
from onetrade_ws.protocol.events import EventType
from onetrade_ws.simulator import Simulator
from tests.client.conftest import MakeClient
from tests.client.conversation import TIMEOUT, catch_up, connect

STALE, RECOVERED = ClientEventType.STALE, ClientEventType.RECOVERED


def until(stream: EventStream, event_type: EventType) -> List[Event]:
    """Events of a stream up to one of this type."""
    events = []
    for event in stream:
        events.append(event)
        if event.type is event_type:
            break
    return events


def outlast_beats(simulator: Simulator, count: int) -> None:
    """Wait until so many heartbeats have come since now."""
    before = len(simulator.messages)
    simulator.wait_for(
        lambda sim: [message.payload for message in sim.messages[before:]].count(b"9") >= count
    )


def test_before_anything(make_client: MakeClient) -> None:
    assert make_client().health() == Health(
        status=HealthStatus.DOWN,
        connected=False,
        session_valid=None,
        last_message_age=None,
        last_quote_age=None,
        heartbeat_round_trip=None,
    )


def test_connected(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(heartbeat_interval=0.02)
    connect(client, simulator)
    client.subscribe_market(1)
    simulator.wait_until_subscribed(1)
    with client.expect("market_feed", timeout=TIMEOUT):
        simulator.quote(1, 1.5)
    quoted = client.health()
    assert quoted.status is HealthStatus.LIVE
    assert quoted.connected
    assert quoted.session_valid is True
    assert quoted.last_message_age is not None
    assert quoted.last_quote_age is not None
    assert quoted.last_quote_age >= quoted.last_message_age >= 0
    outlast_beats(simulator, 2)
    catch_up(client, simulator)
    later = client.health()
    assert later.heartbeat_round_trip is not None
    assert later.last_message_age is not None
    assert later.last_quote_age is not None
    # A message that is no quote came since.
    assert later.last_quote_age > later.last_message_age
    client.disconnect()
    down = client.health()
    assert (down.status, down.connected, down.session_valid) == (HealthStatus.DOWN, False, True)
    assert down.heartbeat_round_trip is None
    assert down.last_message_age is not None


def test_profits_are_no_quotes(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client()
    connect(client, simulator)
    with client.expect("profit_update", timeout=TIMEOUT):
        simulator.emit_binary(b"s,1,2.5,2.5")
    health = client.health()
    assert health.last_message_age is not None
    assert health.last_quote_age is None


def test_a_session_that_is_refused(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(access_token="wrong", session_id="wrong")
    with pytest.raises(AuthenticationError):
        client.connect()
    assert client.health().session_valid is False


def test_a_session_that_is_in_use(make_client: MakeClient, simulator: Simulator) -> None:
    connect(make_client(), simulator)
    other = make_client()
    with pytest.raises(SessionInUseError):
        other.connect()
    assert other.health().session_valid is False


def test_a_session_that_is_logged_out(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client()
    connect(client, simulator)
    assert client.health().session_valid is True
    simulator.log_out()
    with pytest.raises(SessionLoggedOutError):
        client.wait(TIMEOUT)
    assert client.health().session_valid is False


def test_quotes_that_stop_and_come_again(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(stale_after=0.5)
    said = client.events(STALE, RECOVERED, "market_feed", ClientEventType.RECONNECTING, timeout=TIMEOUT)
    connect(client, simulator)
    client.subscribe_market(1)
    client.subscribe_market(2)
    # The simulator sends the present price first.
    stale = until(said, STALE)[-1]
    assert isinstance(stale.data, Stale)
    assert stale.data.symbol_ids == (1, 2)
    assert stale.data.started_at <= stale.received_at
    assert client.health().status is HealthStatus.STALE
    assert client.health().connected

    simulator.quote(1, 1.5)
    recovered = next(said)
    # Before the quote itself.
    assert recovered.type is RECOVERED
    assert isinstance(recovered.data, Recovered)
    assert recovered.data.started_at == stale.data.started_at
    assert recovered.data.ended_at >= recovered.data.started_at
    assert next(said).type == "market_feed"
    # And once more, without a reconnect for it.
    assert next(said).type is STALE
    assert simulator.connections_total == 1


def test_it_is_said_once(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(stale_after=0.05, heartbeat_interval=0.05)
    said: List[EventType] = []
    for event_type in (STALE, "market_feed"):
        client.subscribe(event_type, lambda event: said.append(event.type))
    events = client.events(STALE, "market_feed", timeout=TIMEOUT)
    connect(client, simulator)
    client.subscribe_market(1)
    # The present price comes first, but may come late.
    until(events, EventMessageType.MARKET_FEED)
    until(events, STALE)
    outlast_beats(simulator, 4)
    catch_up(client, simulator)
    assert said[said.index(EventMessageType.MARKET_FEED) + 1 :] == [STALE]


def test_nothing_is_stale_that_nobody_wants(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(stale_after=0.05, heartbeat_interval=0.05)
    said: List[Event] = []
    client.subscribe(STALE, said.append)
    connect(client, simulator)
    outlast_beats(simulator, 4)
    catch_up(client, simulator)
    assert said == []
    assert client.health().status is HealthStatus.LIVE


def test_wanting_nothing_any_more_is_a_recovery(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(stale_after=0.5)
    connect(client, simulator)
    with client.expect(STALE, timeout=TIMEOUT):
        client.subscribe_market(1)
    with client.expect(RECOVERED, timeout=TIMEOUT):
        client.unsubscribe_market(1)
    assert client.health().status is HealthStatus.LIVE


def test_none_is_never(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(stale_after=None, heartbeat_interval=0.02)
    said: List[Event] = []
    client.subscribe(STALE, said.append)
    connect(client, simulator)
    client.subscribe_market(1)
    outlast_beats(simulator, 5)
    catch_up(client, simulator)
    assert said == []


def test_a_loss_is_no_recovery(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(stale_after=0.5)
    said = client.events(STALE, RECOVERED, ClientEventType.GAP, "market_feed", timeout=TIMEOUT)
    connect(client, simulator)
    client.subscribe_market(1)
    assert until(said, STALE)[0].type is EventMessageType.MARKET_FEED
    simulator.drop()
    # What comes first again is the present price of a symbol that is restored.
    assert [event.type for event in until(said, EventMessageType.MARKET_FEED)] == [
        ClientEventType.GAP,
        RECOVERED,
        EventMessageType.MARKET_FEED,
    ]
