"""Symbols by name, as a program asks for them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import List

import pytest

from onetrade_ws import (
    AnswerError,
    EventMessageType,
    NetworkError,
    NotFoundError,
    OneTradeClient,
    ServerError,
    UnknownSymbolError,
)
from onetrade_ws.account import symbols
from onetrade_ws.simulator import Simulator
from tests.client.conftest import MakeClient
from tests.client.conversation import TIMEOUT, connect, everything_sent
from tests.connection.hostile import free_port


def asked_for_symbols(simulator: Simulator) -> int:
    return sum(request.path.endswith("/symbols") for request in simulator.requests)


def subscriptions(client: OneTradeClient, simulator: Simulator) -> List[str]:
    """What was sent for prices."""
    return [text for text in everything_sent(client, simulator) if "market" in text]


def test_prices_by_name(client: OneTradeClient, simulator: Simulator) -> None:
    client.subscribe_market("EURUSD")
    with client.expect(EventMessageType.MARKET_FEED, timeout=TIMEOUT) as quote:
        simulator.wait_until_subscribed(1)
        simulator.quote(1, 1.2)
    assert quote.event.data.symbol_id == 1
    client.subscribe_market("gbpusd")
    client.unsubscribe_market("eurusd")
    assert subscriptions(client, simulator) == [
        '{"type":"market_subscribe_symbol","data":1}',
        '{"type":"market_subscribe_symbol","data":2}',
        '{"type":"market_unsubscribe_symbol","data":1}',
    ]
    # They were not known before, and now they are.
    assert asked_for_symbols(simulator) == 1
    assert client.account.symbols["GBPUSD"].id == 2


def test_a_name_and_its_id_are_one_subscription(client: OneTradeClient, simulator: Simulator) -> None:
    client.subscribe_market(1)
    client.subscribe_market("EURUSD")
    assert subscriptions(client, simulator) == ['{"type":"market_subscribe_symbol","data":1}']


def test_an_id_is_not_looked_up(client: OneTradeClient, simulator: Simulator) -> None:
    client.subscribe_market(999)
    assert subscriptions(client, simulator) == ['{"type":"market_subscribe_symbol","data":999}']
    assert asked_for_symbols(simulator) == 0


def test_with_a_snapshot_nobody_has_to_ask(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(snapshot=True)
    connect(client, simulator)
    client.wait_until_current(TIMEOUT)
    assert asked_for_symbols(simulator) == 1
    assert [symbol.id for symbol in client.account.symbols.values()] == [
        one["id"] for one in simulator.symbols
    ]
    assert client.account.symbols["XAUUSD"].quote_currency == "USD"
    client.subscribe_market("XAUUSD")
    assert asked_for_symbols(simulator) == 1


def test_before_connect(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client()
    client.subscribe_market("USDJPY")
    connect(client, simulator)
    simulator.wait_until_subscribed(3)


def test_in_a_callback(client: OneTradeClient, simulator: Simulator) -> None:
    client.subscribe("now", lambda event: client.subscribe_market(event.data))
    simulator.emit("now", "AUDUSD")
    simulator.wait_until_subscribed(4)


@pytest.mark.parametrize("known", [False, True])
def test_an_unknown_name(client: OneTradeClient, simulator: Simulator, known: bool) -> None:
    if known:
        client.subscribe_market("EURUSD")
    before = subscriptions(client, simulator)
    for call in (client.subscribe_market, client.unsubscribe_market):
        with pytest.raises(UnknownSymbolError, match="did you mean EURUSD") as caught:
            call("EURUDS")
        assert caught.value.near[0] == "EURUSD"
    # Nothing is sent, and nothing remembered.
    assert subscriptions(client, simulator) == before


NOON = datetime(2024, 3, 5, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize("with_snapshot", [False, True])
def test_a_symbol_that_the_broker_adds_later(
    make_client: MakeClient, simulator: Simulator, with_snapshot: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator.refuse_calls(200, path="symbols", body={"data": [{"id": 1, "symbol": "EURUSD"}]})
    client = make_client(snapshot=with_snapshot)
    connect(client, simulator)
    if with_snapshot:
        client.wait_until_current(TIMEOUT)
    client.subscribe_market("EURUSD")
    # The broker has more by now. The client has just been told what there is.
    for _ in range(3):
        with pytest.raises(UnknownSymbolError):
            client.subscribe_market("GBPUSD")
    assert asked_for_symbols(simulator) == 1
    # As after a minute.
    monkeypatch.setattr(symbols, "_FRESH", 0.0)
    client.subscribe_market("GBPUSD")
    assert asked_for_symbols(simulator) == 2
    assert len(client.candles("USDJPY", NOON, NOON + timedelta(hours=5), 60)) == 6
    # The names are known now.
    assert asked_for_symbols(simulator) == 2
    assert client.account.symbols["GBPUSD"].id == 2
    assert subscriptions(client, simulator) == [
        '{"type":"market_subscribe_symbol","data":1}',
        '{"type":"market_subscribe_symbol","data":2}',
    ]


def test_a_server_that_does_not_say(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(reconnect=None)
    simulator.refuse_calls(404, "no such call", path="symbols")
    with pytest.raises(NotFoundError) as caught:
        client.subscribe_market("EURUSD")
    assert caught.value.step == "symbols"
    simulator.refuse_calls(500, "down", path="symbols")
    with pytest.raises(ServerError):
        client.subscribe_market("EURUSD")
    for data in ("5", '[{"id": 1}]', '[{"id": 1, "symbol": "A"}, {"id": 1, "symbol": "B"}]'):
        simulator.refuse_calls(200, path="symbols", body=f'{{"data": {data}}}')
        with pytest.raises(AnswerError):
            client.subscribe_market("EURUSD")
        assert len(client.account.symbols) == 0
    client.subscribe_market("EURUSD")


def test_a_server_that_is_not_there(make_client: MakeClient) -> None:
    sock, port = free_port()
    try:
        client = make_client(http_url=f"http://127.0.0.1:{port}", reconnect=None)
        with pytest.raises(NetworkError):
            client.subscribe_market("EURUSD")
    finally:
        sock.close()


def test_two_symbols_of_one_name(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client()
    body = '{"data": [{"id": 1, "symbol": "EURUSD"}, {"id": 9, "symbol": "EURUSD"}]}'
    simulator.refuse_calls(200, path="symbols", body=body)
    with pytest.raises(UnknownSymbolError, match="did you mean 1, 9"):
        client.subscribe_market("EURUSD")
