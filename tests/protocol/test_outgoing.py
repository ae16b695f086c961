"""Messages to the server: JSON that reads back as what was given, or an error."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, Dict, List

import pytest
from hypothesis import given

from onetrade_ws import ClientEventType, EncodeError, EventMessageType, OneTradeClient, SideType
from onetrade_ws.protocol.outgoing import check_symbol_id, encode, type_name
from tests.protocol.server_json import json_values, texts


@given(texts.filter(bool), json_values)
def test_what_is_sent_reads_back_as_what_was_given(event_type: str, data: Any) -> None:
    assert json.loads(encode(event_type, data)) == {"type": event_type, "data": data}


@pytest.mark.parametrize(
    ("event_type", "data", "text"),
    [
        # The examples of the specification.
        (EventMessageType.MARKET_SUBSCRIBE_SYMBOL, 1, '{"type":"market_subscribe_symbol","data":1}'),
        (EventMessageType.MARKET_UNSUBSCRIBE_SYMBOL, 1, '{"type":"market_unsubscribe_symbol","data":1}'),
        (EventMessageType.START_ACCOUNT_ALL, None, '{"type":"start_account_all","data":null}'),
        (EventMessageType.STOP_ACCOUNT_ALL, None, '{"type":"stop_account_all","data":null}'),
        ("their_own", {"name": "Zürich"}, '{"type":"their_own","data":{"name":"Zürich"}}'),
        ("their_own", (1, [2.5]), '{"type":"their_own","data":[1,[2.5]]}'),
        ("their_own", SideType.SELL, '{"type":"their_own","data":1}'),
        ("their_own", EventMessageType.INFO, '{"type":"their_own","data":"info"}'),
        ("their_own", {EventMessageType.INFO: 1}, '{"type":"their_own","data":{"info":1}}'),
    ],
)
def test_examples(event_type: str, data: Any, text: str) -> None:
    assert encode(event_type, data) == text


def test_data_is_null_when_there_is_none() -> None:
    assert encode("their_own") == '{"type":"their_own","data":null}'


def inside_itself() -> List[Any]:
    data: List[Any] = []
    data.append({"again": data})
    return data


def nested(levels: int) -> List[Any]:
    data: List[Any] = []
    for _ in range(levels):
        data = [data]
    return data


REFUSED = {
    "nan": (float("nan"), "Out of range float"),
    "infinity": ({"a": [float("inf")]}, "Out of range float"),
    "a key that is a number": ({1: "one"}, "keys must be strings, not int"),
    "a key that is None": ({None: 1}, "keys must be strings, not NoneType"),
    "a key deep down": ([({"a": ({1.5: 1},)},)], "keys must be strings, not float"),
    "a decimal": (Decimal("1.1"), "Decimal"),
    "a time": ({"at": datetime(2024, 1, 1, tzinfo=timezone.utc)}, "datetime"),
    "bytes": (b"1", "bytes"),
    "a set": ({1, 2}, "set"),
    "an object": (object(), "object"),
    "half a surrogate pair": ("\ud800", "surrogate"),
    "half a surrogate pair in a key": ({"\udfff": 1}, "surrogate"),
    "inside itself": (inside_itself(), "inside itself"),
    "nested too deeply": (nested(200_000), "nested too deeply"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_json_is_refused(case: str) -> None:
    data, words = REFUSED[case]
    with pytest.raises(EncodeError) as caught:
        encode("their_own", data)
    assert caught.value.event_type == "their_own"
    assert words in caught.value.reason
    assert str(caught.value).startswith("cannot send 'their_own': ")
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("event_type", ["", None, 1, b"info", ["info"], *ClientEventType])
def test_a_type_that_is_no_name_is_refused(event_type: Any) -> None:
    with pytest.raises(EncodeError) as caught:
        encode(event_type)
    assert caught.value.event_type == repr(event_type)


def test_a_type_with_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(EncodeError) as caught:
        encode("\ud800")
    assert str(caught.value).encode("utf-8")


@pytest.mark.parametrize("event_type", [EventMessageType.MARKET_FEED, EventMessageType.PROFIT_UPDATE])
def test_the_two_names_that_never_travel_are_refused(event_type: EventMessageType) -> None:
    with pytest.raises(EncodeError):
        encode(event_type, 1)


@pytest.mark.parametrize("symbol_id", [0, 1, -1, 2**53 + 1, 2**64])
def test_a_symbol_id_is_a_whole_number(symbol_id: int) -> None:
    assert check_symbol_id(EventMessageType.MARKET_SUBSCRIBE_SYMBOL, symbol_id) == symbol_id


@pytest.mark.parametrize("symbol_id", [None, "1", 1.0, True, [1], SideType.SELL, Decimal(1)])
def test_anything_else_is_no_symbol_id(symbol_id: object) -> None:
    with pytest.raises(EncodeError) as caught:
        check_symbol_id(EventMessageType.MARKET_SUBSCRIBE_SYMBOL, symbol_id)
    assert caught.value.event_type == "market_subscribe_symbol"
    assert type(symbol_id).__name__ in caught.value.reason


def test_the_name_of_a_type() -> None:
    assert type_name(EventMessageType.ORDERS_REQUOTED) == "dealing_order_requote"
    assert type(type_name(EventMessageType.ORDERS_REQUOTED)) is str
    assert type_name("their_own") == "their_own"


# -- through the client: refused at the caller, and nothing is queued ---------------------------------------------


@pytest.fixture
def client() -> OneTradeClient:
    return OneTradeClient("wss://host.example", session_id="s-1", access_token="t-1")


@pytest.mark.parametrize("case", REFUSED)
def test_the_client_queues_nothing_that_is_not_json(client: OneTradeClient, case: str) -> None:
    with pytest.raises(EncodeError):
        client.send("their_own", REFUSED[case][0])
    assert client.stats().messages_waiting == 0


def test_the_client_queues_what_is_json(client: OneTradeClient) -> None:
    client.send("their_own", {"a": 1})
    assert client.stats().messages_waiting == 1


@pytest.mark.parametrize("symbol_id", [1.0, None, True])
def test_the_client_refuses_what_is_no_symbol_id(client: OneTradeClient, symbol_id: Any) -> None:
    calls: Dict[str, Any] = {
        "subscribe": client.subscribe_market,
        "unsubscribe": client.unsubscribe_market,
        "send": lambda wrong: client.send("market_subscribe_symbol", wrong),
    }
    for call in calls.values():
        with pytest.raises(EncodeError):
            call(symbol_id)
