"""The issue's bad input: what the server should not send, and what becomes of it."""

from __future__ import annotations

import json
import logging
from typing import Any, Callable, List, Tuple

import pytest

from onetrade_ws import ClientEventType, DecodeError, Event, EventMessageType, OneTradeClient
from onetrade_ws.simulator import Simulator
from tests.client.conversation import TIMEOUT, catch_up

ORDER = {
    "id": 1,
    "account_id": 2,
    "symbol_id": 3,
    "symbol": {"id": 3, "symbol": "EURUSD", "digits": 5},
    "type": 0,
    "side": 0,
    "volume_initial": 1,
    "volume_current": 1,
    "price_order": 1.1,
    "price_current": 1.1,
}


def order_with(**changes: Any) -> bytes:
    """A placed order with some fields changed; ``...`` leaves one out."""
    order = {name: value for name, value in {**ORDER, **changes}.items() if value is not ...}
    return json.dumps({"type": "orders_place", "data": order}).encode("utf-8")


TEXT, BINARY = "text", "binary"

# name: kind of frame, payload, path of the error
MALFORMED: List[Tuple[str, str, bytes, str]] = [
    ("malformed JSON", TEXT, b'{"type": "info", "data": {"message": "x"}', "$"),
    ("two values", TEXT, b'{"type":"pong"}{"type":"pong"}', "$"),
    ("a JSON array", TEXT, b'[{"type":"info","data":{"message":"x"}}]', "$"),
    ("a number", TEXT, b"11", "$"),
    ("a client's heartbeat", TEXT, b"9", "$"),
    ("null", TEXT, b"null", "$"),
    ("missing type", TEXT, b'{"data":{"message":"x"}}', "$.type"),
    ("a type that is no string", TEXT, b'{"type":7,"data":null}', "$.type"),
    ("a type that is null", TEXT, b'{"type":null}', "$.type"),
    ("a name of the library's own", TEXT, b'{"type":"market_feed","data":null}', "$.type"),
    ("missing data", TEXT, b'{"type":"info"}', "$.data"),
    ("data of the wrong type", TEXT, b'{"type":"info","data":"x"}', "$.data"),
    ("a wrong type of field", TEXT, order_with(volume_initial="1"), "$.data.volume_initial"),
    ("a fraction for an id", TEXT, order_with(id=3.9), "$.data.id"),
    ("a boolean for money", TEXT, order_with(price_order=True), "$.data.price_order"),
    (
        "a wrong type deep inside",
        TEXT,
        order_with(symbol={"id": 3, "symbol": "E", "digits": "5"}),
        "$.data.symbol.digits",
    ),
    ("a missing field", TEXT, order_with(side=...), "$.data.side"),
    ("a time that is none", TEXT, order_with(created_at="yesterday"), "$.data.created_at"),
    ("a number that is none", TEXT, order_with(price_order=float("nan")), "$"),
    ("invalid UTF-8", TEXT, b'{"type":"info","data":{"message":"\xff"}}', "$"),
    ("a truncated character", TEXT, b'{"type":"info","data":{"message":"x"}}\xc2', "$"),
    ("a byte order mark", TEXT, b'\xef\xbb\xbf{"type":"pong"}', "$"),
    ("nested too deeply", TEXT, b"[" * 100_000 + b"]" * 100_000, "$"),
    ("an empty text frame", TEXT, b"", "$"),
    ("a short price frame", BINARY, b"1,1.1", "$.ask"),
    ("a shorter price frame", BINARY, b"1", "$.bid"),
    ("a price that is none", BINARY, b"1,1.1,cheap", "$.ask"),
    ("a symbol that is none", BINARY, b"EURUSD,1.1,1.2", "$.symbol_id"),
    ("an infinite price", BINARY, b"1,1e999,1.2", "$.bid"),
    ("a short profit frame", BINARY, b"s,5,1.5", "$.total_profit"),
    ("a profit that is none", BINARY, b"s,5,,1.5", "$.profit"),
    ("JSON in a binary frame", BINARY, b'{"type":"pong"}', "$.symbol_id"),
    ("invalid UTF-8 in a binary frame", BINARY, b"1,1.1,\xff", "$"),
    ("an empty binary frame", BINARY, b"", "$"),
    ("a binary frame of empty lines", BINARY, b"\n\r\n", "$"),
]


def emitter(simulator: Simulator, kind: str) -> Callable[[bytes], None]:
    return simulator.emit_text if kind == TEXT else simulator.emit_binary


@pytest.mark.parametrize(("name", "kind", "payload", "path"), MALFORMED, ids=[case[0] for case in MALFORMED])
def test_what_cannot_be_decoded_is_reported_and_the_stream_goes_on(
    client: OneTradeClient,
    simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    name: str,
    kind: str,
    payload: bytes,
    path: str,
) -> None:
    received: List[Event] = []
    client.subscribe(None, received.append)

    for _ in range(3):
        emitter(simulator, kind)(payload)
    last = catch_up(client, simulator)

    assert received[-1] == last
    assert [event.type for event in received[:-1]] == 3 * [ClientEventType.DECODE_ERROR]
    for event in received[:-1]:
        assert event.raw == payload
        assert isinstance(event.data, DecodeError)
        assert event.data.path == path
        assert event.data.raw == payload
        assert event.received_at > 0
    (record,) = [record for record in caplog.records if record.name.startswith("onetrade_ws")]
    assert record.levelno == logging.WARNING
    assert str(received[0].data) in record.getMessage()
    assert capfd.readouterr() == ("", "")
    stats = client.stats()
    assert (stats.decode_errors, stats.frames_received, stats.connections) == (3, 4, 1)


def test_a_record_that_cannot_be_read_spares_the_others_of_its_frame(
    client: OneTradeClient, simulator: Simulator
) -> None:
    received: List[Event] = []
    client.subscribe(None, received.append)
    simulator.emit_binary(b"1,1.1,1.2\n2,1.1\ns,5,1,2")
    catch_up(client, simulator)
    assert [event.type for event in received[:-1]] == [
        EventMessageType.MARKET_FEED,
        ClientEventType.DECODE_ERROR,
        EventMessageType.PROFIT_UPDATE,
    ]
    assert received[1].raw == b"2,1.1"


def test_what_is_wrong_in_another_place_is_logged_too(
    client: OneTradeClient, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    for changes in ({"id": "1"}, {"side": "buy"}, {"id": "2"}):
        simulator.emit_text(order_with(**changes))
    catch_up(client, simulator)
    lines = [record.getMessage() for record in caplog.records if record.name == "onetrade_ws.protocol"]
    assert len(lines) == 2
    assert "$.data.id" in lines[0]
    assert "$.data.side" in lines[1]


@pytest.mark.parametrize("data", [None, 1, "text", [1, 2], {"id": 1}], ids=repr)
def test_an_unknown_type_is_delivered_under_its_name(
    client: OneTradeClient, simulator: Simulator, data: Any
) -> None:
    with client.expect("margin_call", timeout=TIMEOUT) as expected:
        simulator.emit("margin_call", data)
    event = expected.event
    assert (event.type, event.data) == ("margin_call", data)
    assert json.loads(event.raw) == {"type": "margin_call", "data": data}


def test_an_unknown_type_without_data_has_none(client: OneTradeClient, simulator: Simulator) -> None:
    with client.expect("margin_call", timeout=TIMEOUT) as expected:
        simulator.emit_text('{"type":"margin_call"}')
    assert expected.event.data is None


def test_an_unknown_type_is_logged_once_per_type(
    client: OneTradeClient,
    simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    received: List[Event] = []
    client.subscribe(None, received.append)
    for _ in range(3):
        for name in ("margin_call", "stop_out", ""):
            simulator.emit(name)
    catch_up(client, simulator)
    assert [event.type for event in received[:-1]] == 3 * ["margin_call", "stop_out", ""]
    lines = [record.getMessage() for record in caplog.records if record.name == "onetrade_ws.protocol"]
    assert len(lines) == 3
    assert "'margin_call'" in lines[0]
    assert "'stop_out'" in lines[1]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("event_type", ClientEventType, ids=lambda event_type: event_type.value)
def test_the_server_cannot_forge_an_event_of_the_client_s_own(
    client: OneTradeClient, simulator: Simulator, event_type: ClientEventType
) -> None:
    forged: List[Event] = []
    client.subscribe(event_type, forged.append)
    named: List[Event] = []
    client.subscribe(event_type.value, named.append)
    simulator.emit(event_type.value, {"old": "open", "new": "closed"})
    catch_up(client, simulator)
    assert forged == []
    assert [event.type for event in named] == [event_type.value]
    assert type(named[0].type) is str


def test_a_server_that_makes_up_names_fills_neither_log_nor_counters(
    client: OneTradeClient, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1500):
        simulator.emit(f"made up {number}")
    catch_up(client, simulator)
    lines = [record for record in caplog.records if record.name == "onetrade_ws.protocol"]
    assert 1 <= len(lines) <= 1000
    assert client.stats().events["unknown"] == 1500
    assert len(client.stats().events) < 10


def test_an_object_with_wrong_fields_does_not_reach_the_mirror(
    client: OneTradeClient, simulator: Simulator
) -> None:
    simulator.emit_text(order_with())
    simulator.emit_text(order_with(volume_current="0"))
    catch_up(client, simulator)
    assert client.account.orders[1].volume_current == 1.0


def test_random_frames_do_not_stop_the_stream(client: OneTradeClient, simulator: Simulator) -> None:
    received: List[Event] = []
    client.subscribe(None, received.append)
    for number in range(256):
        simulator.emit_text(bytes([number]))
        simulator.emit_binary(bytes([number]) * 3)
    last = catch_up(client, simulator)
    assert received[-1] == last
    assert {event.type for event in received[:-1]} == {ClientEventType.DECODE_ERROR}
    assert client.stats().frames_received == 2 * 256 + 1
    assert client.stats().connections == 1
