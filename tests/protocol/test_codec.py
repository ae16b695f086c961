"""From frames to events: nothing crashes the codec, nothing is guessed, and nothing that arrived is lost."""

from __future__ import annotations

import json
import logging
from typing import Any, Dict, List, NamedTuple, Optional, Union

import pytest
from hypothesis import example as hypothesis_example
from hypothesis import given
from hypothesis import strategies as st

from onetrade_ws import (
    PRICE_COLUMNS,
    ClientEventType,
    Deal,
    DecodeError,
    Event,
    EventMessageType,
    Journal,
    Notification,
    Order,
    Position,
    ProfitUpdate,
    Quote,
    Report,
    SessionLogout,
)
from onetrade_ws.delivery.observers import ObserverRegistry
from onetrade_ws.protocol.codec import Codec, decode_message, holds_logout_of, known_type
from onetrade_ws.protocol.frames import Batch, Opcode
from tests.protocol.server_json import (
    RECEIVED_AT,
    TYPES_OF,
    binary_frame,
    example,
    json_values,
    message,
    messages,
    text_frame,
    texts,
)

LOGGER = "onetrade_ws.protocol"
WIRE_NAMES = {member.value for member in EventMessageType}


def decode(payload: bytes) -> Event:
    (event,) = Codec(PRICE_COLUMNS).decode(text_frame(payload))
    return event


def with_field(name: str, value_as_json: str, model: type = Order) -> bytes:
    """An order with one field written by hand."""
    fields = {key: json.dumps(value) for key, value in example(model).items()}
    fields[name] = value_as_json
    data = ",".join(f'"{key}":{value}' for key, value in fields.items())
    return f'{{"type":"{TYPES_OF[model][0].value}","data":{{{data}}}}}'.encode("utf-8", "surrogatepass")


# -- whatever comes in, only events come out ------------------------------------------------------------------------


def check_events(events: List[Event], payload: bytes) -> None:
    assert events
    for event in events:
        assert isinstance(event, Event)
        assert event.received_at == RECEIVED_AT
        assert event.raw in payload
        if event.type is ClientEventType.DECODE_ERROR:
            assert isinstance(event.data, DecodeError)
            assert event.data.raw == event.raw
            assert event.data.path.startswith("$")
            assert str(event.data)
            assert repr(event)


@given(st.binary(max_size=200))
def test_any_bytes_as_a_text_frame_are_one_event(payload: bytes) -> None:
    events = Codec(PRICE_COLUMNS).decode(text_frame(payload))
    assert [event.raw for event in events] == [payload]
    check_events(events, payload)


@given(st.binary(max_size=200))
def test_any_bytes_as_a_binary_frame_are_events(payload: bytes) -> None:
    check_events(Codec(PRICE_COLUMNS).decode(binary_frame(payload)), payload)


@given(st.text("0123456789s,.-+eE \r\nn\xe9", max_size=60), st.permutations(PRICE_COLUMNS))
def test_any_text_that_looks_like_prices_is_events(text: str, columns: List[str]) -> None:
    payload = text.encode("latin-1")
    check_events(Codec(columns).decode(binary_frame(payload)), payload)


@given(st.sampled_from(sorted(WIRE_NAMES)) | texts, json_values)
def test_any_json_under_any_type_is_one_event(name: str, data: Any) -> None:
    payload = json.dumps({"type": name, "data": data}).encode()
    events = Codec(PRICE_COLUMNS).decode(text_frame(payload))
    check_events(events, payload)
    assert len(events) == 1
    if name not in WIRE_NAMES:
        assert (events[0].type, events[0].data) == (name, data)


@given(json_values)
def test_any_json_at_the_root_is_one_event(value: Any) -> None:
    check_events(
        Codec(PRICE_COLUMNS).decode(text_frame(json.dumps(value).encode())), json.dumps(value).encode()
    )


@st.composite
def damaged_messages(draw: st.DrawFn) -> bytes:
    """A whole message with some bytes changed, cut out or put in."""
    payload, _, _ = draw(messages(draw(st.sampled_from(list(TYPES_OF)))))
    damaged = bytearray(payload)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(damaged)))
        damaged[start : start + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(damaged)


@given(damaged_messages())
def test_a_damaged_message_is_one_event(payload: bytes) -> None:
    events = Codec(PRICE_COLUMNS).decode(text_frame(payload))
    assert [event.raw for event in events] == [payload]
    check_events(events, payload)


@pytest.mark.parametrize("opcode", [Opcode.CONTINUATION, Opcode.PING, 0x3, 0xF])
def test_a_frame_of_another_kind_is_read_as_records(opcode: int) -> None:
    (event,) = Codec(PRICE_COLUMNS).decode(Batch(opcode, [b"1,2,3"], RECEIVED_AT))
    assert event.type is EventMessageType.MARKET_FEED


# -- semantic traps -------------------------------------------------------------------------------------------------


class Trap(NamedTuple):
    """What a careless decoder would take for something: ``path`` where it is refused."""

    payload: Union[bytes, str]
    path: str
    reason: Optional[str] = None


DEEP = 200_000

TRAPS: Dict[str, Trap] = {
    "3.9 for an integer": Trap(with_field("id", "3.9"), "$.data.id"),
    "1.0 for an integer": Trap(with_field("id", "1.0"), "$.data.id"),
    "1e3 for an integer": Trap(with_field("symbol_id", "1e3"), "$.data.symbol_id"),
    "true for an integer": Trap(with_field("account_id", "true"), "$.data.account_id"),
    "a digit string for an integer": Trap(with_field("id", '"17"'), "$.data.id"),
    "null for an integer": Trap(with_field("id", "null"), "$.data.id"),
    "true for an enumeration": Trap(with_field("side", "true"), "$.data.side"),
    "a name for an enumeration": Trap(with_field("side", '"SELL"'), "$.data.side"),
    "1.0 for an enumeration": Trap(with_field("type", "1.0"), "$.data.type"),
    "null for a string": Trap(with_field("desc", "null", Journal), "$.data.desc"),
    "a number for a string": Trap(with_field("ip", "127.0", Journal), "$.data.ip"),
    "an array for a string": Trap(with_field("comment", '["a"]'), "$.data.comment"),
    "'false' for a number": Trap(with_field("price_current", '"false"'), "$.data.price_current"),
    "false for a number": Trap(with_field("price_current", "false"), "$.data.price_current"),
    "'nan' for a number": Trap(with_field("price_current", '"nan"'), "$.data.price_current"),
    "'1.5' for a number": Trap(with_field("price_current", '"1.5"'), "$.data.price_current"),
    "an empty string for a number": Trap(with_field("price_current", '""'), "$.data.price_current"),
    "null for money": Trap(with_field("profit", "null", Position), "$.data.profit"),
    "[1] for an object": Trap(with_field("symbol", "[1]"), "$.data.symbol"),
    "[[]] for an object": Trap(with_field("symbol", '[["id",1]]'), "$.data.symbol"),
    "a string for an object": Trap(with_field("symbol", '"EURUSD"'), "$.data.symbol"),
    "an empty object for an object": Trap(with_field("symbol", "{}"), "$.data.symbol.id"),
    "a number for a time": Trap(with_field("created_at", "1704164645"), "$.data.created_at"),
    "a date for a time": Trap(with_field("created_at", '"2024-01-02"'), "$.data.created_at"),
    "a time without a zone": Trap(with_field("created_at", '"2024-01-02T03:04:05"'), "$.data.created_at"),
    "NaN": Trap(with_field("price_current", "NaN"), "$", "NaN is not a number that JSON knows"),
    "Infinity": Trap(
        with_field("price_current", "Infinity"), "$", "Infinity is not a number that JSON knows"
    ),
    "-Infinity": Trap(
        with_field("price_current", "-Infinity"), "$", "-Infinity is not a number that JSON knows"
    ),
    "1e999": Trap(with_field("price_current", "1e999"), "$", "a number too large for a float"),
    "-1e999": Trap(with_field("price_current", "-1e999"), "$", "a number too large for a float"),
    "1e999 in a field that nobody knows": Trap('{"type":"new","data":1e999}', "$"),
    "NaN in a field that nobody knows": Trap(with_field("exit_level", "NaN"), "$"),
    "400 digits for a float": Trap(with_field("price_current", "9" * 400), "$.data.price_current"),
    "5000 digits for an integer": Trap(with_field("id", "9" * 5000), "$", "an integer of too many digits"),
    "5000 digits that nobody knows": Trap(f'{{"type":"new","data":{"9" * 5000}}}', "$"),
    "a leading zero": Trap(with_field("id", "017"), "$"),
    "a plus sign": Trap(with_field("id", "+17"), "$"),
    "hexadecimal": Trap(with_field("id", "0x11"), "$"),
    "a number without its fraction": Trap(with_field("price_current", "1."), "$"),
    "half of a surrogate pair": Trap(with_field("comment", r'"\ud800"'), "$", "half of a surrogate pair"),
    "the other half": Trap(with_field("comment", r'"a\udfffb"'), "$", "half of a surrogate pair"),
    "half a pair as a field's name": Trap(
        r'{"type":"new","data":{"\ud800":1}}', "$", "half of a surrogate pair"
    ),
    "half a pair as the type": Trap(r'{"type":"\ud800"}', "$", "half of a surrogate pair"),
    "half a pair as three bytes": Trap(with_field("comment", '"\ud800"'), "$"),
    "a byte order mark": Trap(b"\xef\xbb\xbf" + message("info", {"message": "a"}), "$"),
    "UTF-16": Trap(message("info", {"message": "a"}).decode().encode("utf-16"), "$"),
    "UTF-16 without a mark": Trap(message("info", {"message": "a"}).decode().encode("utf-16-le"), "$"),
    "UTF-32": Trap(message("info", {"message": "a"}).decode().encode("utf-32"), "$"),
    "Latin-1": Trap('{"type":"info","data":{"message":"Zürich"}}'.encode("latin-1"), "$"),
    "an overlong encoding": Trap(b'{"type":"inf\xc1\xaf"}', "$"),
    "cut off within a character": Trap('{"type":"é'.encode()[:-1], "$"),
    "a raw line break in a string": Trap('{"type":"info","data":{"message":"a\nb"}}', "$"),
    "a NUL in a string": Trap('{"type":"info","data":{"message":"a\0b"}}', "$"),
    "a comment": Trap('{"type":"info" /* a */}', "$"),
    "a comma too many": Trap('{"type":"info",}', "$"),
    "single quotes": Trap("{'type':'info'}", "$"),
    "a name without quotes": Trap('{type:"info"}', "$"),
    "two messages": Trap('{"type":"new"}{"type":"new"}', "$"),
    "two lines": Trap('{"type":"new"}\n{"type":"new"}', "$"),
    "a message cut off": Trap('{"type":"new"', "$"),
    "arrays nested deeply": Trap("[" * DEEP + "]" * DEEP, "$", "nested too deeply"),
    "objects nested deeply": Trap('{"type":"new","data":' + '{"a":' * DEEP + "1" + "}" * (DEEP + 1), "$"),
    "arrays opened and never closed": Trap("[" * DEEP, "$", "nested too deeply"),
    "nothing": Trap("", "$", "an empty frame"),
    "blanks": Trap("  \n ", "$"),
    "an array": Trap('[{"type":"new"}]', "$", "expected an object, got an array"),
    "a string": Trap('"info"', "$", "expected an object, got a string"),
    "a number": Trap("10.5", "$", "expected an object, got a float"),
    "a price in a text frame": Trap("1,1.08,1.0802", "$"),
    "an integer": Trap("11", "$", "expected an object, got an integer"),
    "null": Trap("null", "$", "expected an object, got null"),
    "true": Trap("true", "$", "expected an object, got a boolean"),
    "an empty object": Trap("{}", "$.type", "required field missing"),
    "no type": Trap('{"data":{}}', "$.type", "required field missing"),
    "Type": Trap('{"Type":"info","data":{"message":"a"}}', "$.type", "required field missing"),
    "null for the type": Trap('{"type":null}', "$.type", "expected a string, got null"),
    "a number for the type": Trap('{"type":1}', "$.type", "expected a string, got an integer"),
    "an array for the type": Trap('{"type":["info"]}', "$.type", "expected a string, got an array"),
    "an object for the type": Trap('{"type":{"a":1}}', "$.type", "expected a string, got an object"),
    "market_feed as JSON": Trap('{"type":"market_feed","data":[1,2,3]}', "$.type"),
    "profit_update as JSON": Trap('{"type":"profit_update","data":{"position_id":1}}', "$.type"),
    "no data where there must be": Trap('{"type":"orders_place"}', "$.data", "required field missing"),
    "null for the data": Trap(
        '{"type":"orders_place","data":null}', "$.data", "expected an object, got null"
    ),
    "a list of orders": Trap(
        '{"type":"orders_place","data":[]}', "$.data", "expected an object, got an array"
    ),
    "an order as a string": Trap('{"type":"orders_place","data":"{}"}', "$.data"),
    "an empty order": Trap('{"type":"orders_place","data":{}}', "$.data.id", "required field missing"),
    "the last of two types counts": Trap(
        '{"type":"new","data":{},"type":"orders_place"}', "$.data.id", "required field missing"
    ),
}


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_is_refused_with_its_path_and_its_bytes(name: str) -> None:
    payload = TRAPS[name].payload
    payload = payload.encode("utf-8", "surrogatepass") if isinstance(payload, str) else payload
    event = decode(payload)
    assert event.type is ClientEventType.DECODE_ERROR, event
    assert isinstance(event.data, DecodeError)
    assert event.data.path == TRAPS[name].path
    assert event.raw == event.data.raw == payload
    assert event.received_at == RECEIVED_AT
    if TRAPS[name].reason is not None:
        assert event.data.reason == TRAPS[name].reason


ACCEPTED: Dict[str, Any] = {
    "-0": (with_field("price_current", "-0"), "price_current", 0.0),
    "-0.0": (with_field("price_current", "-0.0"), "price_current", 0.0),
    "1E2": (with_field("price_current", "1E2"), "price_current", 100.0),
    "an underflow": (with_field("price_current", "1e-999"), "price_current", 0.0),
    "the largest float": (
        with_field("price_current", "1.7976931348623157e308"),
        "price_current",
        1.7976931348623157e308,
    ),
    "-0 for an id": (with_field("id", "-0"), "id", 0),
    "an id beyond 64 bits": (with_field("id", str(2**80)), "id", 2**80),
    "a negative enumeration": (with_field("side", "-7"), "side", -7),
    "a whole surrogate pair": (with_field("comment", r'"\ud83d\ude00"'), "comment", "😀"),
    "an escaped backslash before a u": (with_field("comment", r'"\\ud800"'), "comment", r"\ud800"),
    "an escaped NUL": (with_field("comment", r'"\u0000"'), "comment", "\0"),
    "an escaped name": (
        with_field("comment", '"x"').replace(b'"comment"', rb'"\u0063omment"'),
        "comment",
        "x",
    ),
    "a field sent twice: the last counts": (with_field("comment", '"a","comment":"b"'), "comment", "b"),
    "blanks around": (b" \r\n\t" + with_field("comment", '"x"') + b"\n", "comment", "x"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_odd_but_legal_json_is_read(name: str) -> None:
    payload, field, expected = ACCEPTED[name]
    event = decode(payload)
    assert event.type is EventMessageType.ORDERS_PLACE, event.data
    assert getattr(event.data, field) == expected
    assert event.raw == payload


# -- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("member", ClientEventType)
def test_a_server_cannot_forge_what_the_client_says(member: ClientEventType) -> None:
    event = decode(message(member.value, {"message": "forged"}))
    assert event.type == member.value
    assert type(event.type) is str
    observers = ObserverRegistry()
    called: List[str] = []
    observers.add(member, lambda event: called.append("the client's"))
    observers.add(member.value, lambda event: called.append("the server's"))
    for _, callback in observers.matching(event.type):
        callback(event)
    for _, callback in observers.matching(member):
        callback(event)
    assert called == ["the server's", "the client's"]


@pytest.mark.parametrize(
    "name", ["Orders_Place", "orders_place ", "ordersPlace", "ORDERS_PLACE", "info\0", ""]
)
def test_a_name_that_is_almost_known_is_unknown(name: str) -> None:
    event = decode(message(name, {"any": ["thing"]}))
    assert (event.type, event.data) == (name, {"any": ["thing"]})


def test_an_unknown_type_without_data_has_none() -> None:
    assert decode(b'{"type":"new"}').data is None
    assert decode(b'{"type":"new","data":null}').data is None


WITHOUT_MODEL = [
    EventMessageType.PING,
    EventMessageType.PONG,
    EventMessageType.MARKET_SUBSCRIBE_SYMBOL,
    EventMessageType.MARKET_UNSUBSCRIBE_SYMBOL,
    EventMessageType.START_ACCOUNT_ALL,
    EventMessageType.STOP_ACCOUNT_ALL,
]

MODELS: Dict[EventMessageType, type] = {
    EventMessageType.INFO: Notification,
    EventMessageType.ERROR: Notification,
    EventMessageType.SESSION_LOGOUT: SessionLogout,
    EventMessageType.MARKET_FEED: Quote,
    EventMessageType.PROFIT_UPDATE: ProfitUpdate,
    **{event_type: model for model, event_types in TYPES_OF.items() for event_type in event_types},
}


def test_every_type_has_a_model_or_is_known_to_have_none() -> None:
    assert set(MODELS) | set(WITHOUT_MODEL) == set(EventMessageType)


@pytest.mark.parametrize("event_type", WITHOUT_MODEL)
@pytest.mark.parametrize("data", [None, 1, {"a": 1}])
def test_a_type_without_a_model_is_delivered_with_what_came(event_type: EventMessageType, data: Any) -> None:
    event = decode(message(event_type, data))
    assert event.type is event_type
    assert event.data == data
    assert decode(json.dumps({"type": event_type.value}).encode()).data is None


@pytest.mark.parametrize("event_type", MODELS)
def test_a_type_with_a_model_is_delivered_with_it(event_type: EventMessageType) -> None:
    payloads = {
        EventMessageType.SESSION_LOGOUT: message(event_type, {"session_id": "s"}),
        EventMessageType.INFO: message(event_type, {"message": "m"}),
        EventMessageType.ERROR: message(event_type, {"message": "m"}),
        EventMessageType.MARKET_FEED: b"1,2,3",
        EventMessageType.PROFIT_UPDATE: b"s,1,2,3",
    }
    binary = event_type in (EventMessageType.MARKET_FEED, EventMessageType.PROFIT_UPDATE)
    payload = payloads.get(event_type) or message(event_type, example(MODELS[event_type]))
    (event,) = Codec(PRICE_COLUMNS).decode((binary_frame if binary else text_frame)(payload))
    assert event.type is event_type
    assert type(event.data) is MODELS[event_type]
    assert event.raw == payload


def test_a_message_may_carry_more_than_type_and_data() -> None:
    payload = json.dumps({"id": 1, "data": {"message": "m"}, "type": "info", "ts": None}).encode()
    assert decode(payload).data == Notification(type=EventMessageType.INFO, message="m")


def test_known_type() -> None:
    assert known_type("orders_place") is EventMessageType.ORDERS_PLACE
    assert known_type(EventMessageType.INFO) is EventMessageType.INFO
    assert known_type(ClientEventType.GAP) is ClientEventType.GAP
    assert known_type("gap") == "gap"


def test_decode_message_raises_what_the_codec_delivers() -> None:
    assert decode_message(message("new", 1)) == ("new", 1)
    with pytest.raises(DecodeError) as caught:
        decode_message(b"{")
    assert (caught.value.path, caught.value.raw) == ("$", b"{")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


# -- the log --------------------------------------------------------------------------------------------------------


def test_an_unknown_type_is_logged_once_for_each_codec(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, LOGGER)
    codec = Codec(PRICE_COLUMNS)
    for name in ["new", "new", "other", "new", "other"]:
        codec.decode(text_frame(message(name, {"secret": "canary-7c1f"})))
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "unknown message type 'new'",
        "unknown message type 'other'",
    ]
    assert "canary-7c1f" not in caplog.text


def test_the_same_error_is_logged_once_and_without_what_arrived(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, LOGGER)
    codec = Codec(PRICE_COLUMNS)
    for payload in [
        with_field("comment", '["canary-7c1f"]'),
        with_field("comment", '["canary-7c1f", 2]'),
        with_field("external_id", '{"canary-7c1f": 1}'),
        with_field("created_at", '"canary-7c1f"'),
        message("session_logout", "canary-7c1f"),
        b'"canary-7c1f',
    ]:
        codec.decode(text_frame(payload))
        codec.decode(text_frame(payload))
    codec.decode(binary_frame(b"canary-7c1f,2,3"))
    assert len(caplog.records) == 6
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert "canary-7c1f" not in caplog.text


def test_a_server_that_makes_up_names_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    codec = Codec(PRICE_COLUMNS)
    for number in range(1500):
        (event,) = codec.decode(text_frame(message(f"new_{number}", None)))
        assert event.type == f"new_{number}"
    assert len(caplog.records) <= 1000


def test_an_endless_name_is_delivered_but_not_logged_whole(caplog: pytest.LogCaptureFixture) -> None:
    name = "n" * 20_000
    assert decode(message(name, None)).type == name
    assert [len(record.getMessage()) < 1000 for record in caplog.records] == [True]


# -- the one message that concerns the connection -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (message("session_logout", {"session_id": "mine"}), True),
        (message("session_logout", {"session_id": "mine", "by": "admin"}), True),
        (b'{"data": {"session_id": "mine"}, "type": "session_logout"}', True),
        (rb'{"type":"session_logout","data":{"session_id":"\u006dine"}}', True),
        (rb'{"type":"session\u005flogout","data":{"session_id":"mine"}}', True),
        (message("session_logout", {"session_id": "other"}), False),
        (message("session_logout", {"session_id": "min"}), False),
        (message("session_logout", {"session_id": "MINE"}), False),
        (message("session_logout", {"session_id": 1}), False),
        (message("session_logout", None), False),
        (message("info", {"message": "session_logout mine"}), False),
        (message("session_logout_soon", {"session_id": "mine"}), False),
        (b'{"type":"session_logout","data":{"session_id":"mine"}', False),
        (b"session_logout", False),
        (b"10", False),
        (b"", False),
    ],
)
def test_only_a_logout_of_this_session_is_one(payload: bytes, expected: bool) -> None:
    assert holds_logout_of("mine", text_frame(payload)) is expected


@pytest.mark.parametrize("index", range(len("session_logout")))
@pytest.mark.parametrize("escape", ["\\u00{:02x}", "\\u00{:02X}"])
def test_a_logout_of_which_any_letter_is_escaped_is_one(index: int, escape: str) -> None:
    name = "session_logout"
    hidden = name[:index] + escape.format(ord(name[index])) + name[index + 1 :]
    payload = f'{{"type":"{hidden}","data":{{"session_id":"mine"}}}}'.encode()
    assert holds_logout_of("mine", text_frame(payload))


def test_a_logout_travels_as_text() -> None:
    assert not holds_logout_of("mine", binary_frame(message("session_logout", {"session_id": "mine"})))


@given(st.binary(max_size=100))
@hypothesis_example(b'session_logout {"type":')
def test_any_bytes_are_no_logout(payload: bytes) -> None:
    assert not holds_logout_of("mine", text_frame(payload + b"session_logout"))


def test_deal_and_report_are_read_through_their_own_types() -> None:
    assert isinstance(decode(message("deals_create", example(Deal))).data, Deal)
    assert isinstance(decode(message("report_create", example(Report))).data, Report)
