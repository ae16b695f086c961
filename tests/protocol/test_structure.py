"""A field of a wrong type is refused with its path, and nothing is guessed."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onetrade_ws import (
    PRICE_COLUMNS,
    ClientEventType,
    Deal,
    DecodeError,
    EventMessageType,
    Journal,
    Order,
    Position,
    Report,
    Symbol,
)
from onetrade_ws.protocol.codec import Codec
from onetrade_ws.protocol.structure import StructureError, structure
from tests.protocol.server_json import (
    ENUMERATIONS,
    FIELDS,
    TYPES_OF,
    Field,
    example,
    json_values,
    message,
    smallest,
    text_frame,
)

CARRIED = tuple(TYPES_OF)

AN_OBJECT: Dict[str, Any] = {"value": 1}
AN_ARRAY = [1]

# What cattrs would have turned into something, and the rest.
WRONG: Mapping[str, List[Any]] = {
    "int": [3.9, 1.0, True, False, "1", "", AN_ARRAY, AN_OBJECT],
    "float": ["1.5", "nan", "false", "", True, False, AN_ARRAY, AN_OBJECT, 2**53 + 1, 10**400],
    "str": [0, 1.5, True, AN_ARRAY, AN_OBJECT],
    "time": ["yesterday", "2024-01-01", " ", 0, 1704164645, 1.5, True, AN_ARRAY, AN_OBJECT],
    "Symbol": ["EURUSD", 1, True, [1], [], 1.5],
    "int|str": [1.5, True, AN_ARRAY, AN_OBJECT],
    "enum": [1.0, True, False, "1", "BUY", "", AN_ARRAY, AN_OBJECT],
}


def wrong_values(field: Field) -> List[Any]:
    wrong = list(WRONG["enum" if field.kind in ENUMERATIONS else field.kind])
    # null is no value for a field that must have one; nor for one whose default is not None.
    return wrong if field.nullable else [*wrong, None]


def fields_of(*models: type) -> List[Any]:
    return [
        pytest.param(model, field, id=f"{model.__name__}.{field.name}")
        for model in models
        for field in FIELDS[model]
        if field.kind != "any"
    ]


def decode_error(payload: bytes) -> DecodeError:
    (event,) = Codec(PRICE_COLUMNS).decode(text_frame(payload))
    assert event.type is ClientEventType.DECODE_ERROR, event
    assert isinstance(event.data, DecodeError)
    assert event.raw == event.data.raw == payload
    return event.data


@pytest.mark.parametrize(("model", "field"), fields_of(*CARRIED))
def test_a_field_of_a_wrong_type_is_refused_with_its_path(model: type, field: Field) -> None:
    for event_type in TYPES_OF[model]:
        for wrong in wrong_values(field):
            error = decode_error(message(event_type, {**example(model), field.name: wrong}))
            assert error.path == f"$.data.{field.name}", wrong
            assert error.event_type == event_type.value


@pytest.mark.parametrize(("model", "field"), fields_of(Symbol))
@pytest.mark.parametrize("carrier", [Order, Position, Deal])
def test_a_wrong_field_of_the_nested_symbol_is_refused_with_its_path(
    carrier: type, model: type, field: Field
) -> None:
    for wrong in wrong_values(field):
        data = {**example(carrier), "symbol": {**example(model), field.name: wrong}}
        assert decode_error(message(TYPES_OF[carrier][0], data)).path == f"$.data.symbol.{field.name}", wrong


@pytest.mark.parametrize(("model", "field"), fields_of(*CARRIED))
def test_only_a_required_field_may_not_be_missing(model: type, field: Field) -> None:
    data = {name: value for name, value in example(model).items() if name != field.name}
    payload = message(TYPES_OF[model][0], data)
    if field.required:
        error = decode_error(payload)
        assert (error.path, error.reason) == (f"$.data.{field.name}", "required field missing")
    else:
        (event,) = Codec(PRICE_COLUMNS).decode(text_frame(payload))
        assert getattr(event.data, field.name) == field.default


@pytest.mark.parametrize("name", ["id", "symbol"])
def test_a_nested_symbol_needs_its_id_and_its_name(name: str) -> None:
    symbol = {key: value for key, value in example(Symbol).items() if key != name}
    error = decode_error(message(EventMessageType.DEALS_CREATE, {**example(Deal), "symbol": symbol}))
    assert (error.path, error.reason) == (f"$.data.symbol.{name}", "required field missing")


@pytest.mark.parametrize("model", CARRIED)
@pytest.mark.parametrize("data", [None, [], [1], 1, 1.5, True, "", "text"])
def test_data_that_is_no_object_is_refused(model: type, data: object) -> None:
    error = decode_error(message(TYPES_OF[model][0], data))
    assert error.path == "$.data"
    assert error.reason.startswith("expected an object, got ")


@pytest.mark.parametrize("event_type", [EventMessageType.INFO, EventMessageType.ERROR])
@pytest.mark.parametrize(
    ("data", "path"),
    [
        (None, "$.data"),
        ("text", "$.data"),
        ({}, "$.data.message"),
        ({"message": None}, "$.data.message"),
        ({"message": 1}, "$.data.message"),
        ({"message": ["a"]}, "$.data.message"),
    ],
)
def test_a_wrong_notification_is_refused(event_type: EventMessageType, data: object, path: str) -> None:
    error = decode_error(message(event_type, data))
    assert (error.path, error.event_type) == (path, event_type.value)


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (None, "$.data"),
        ("canary-7c1f", "$.data"),
        ({}, "$.data.session_id"),
        ({"session_id": 5}, "$.data.session_id"),
        ({"session_id": None}, "$.data.session_id"),
        ({"session_id": ["canary-7c1f"]}, "$.data.session_id"),
    ],
)
def test_a_wrong_logout_is_refused_without_a_word_of_what_it_held(data: object, path: str) -> None:
    error = decode_error(message(EventMessageType.SESSION_LOGOUT, data))
    assert error.path == path
    assert "canary-7c1f" not in str(error) + repr(error)


WORDS: List[Tuple[Dict[str, Any], str]] = [
    ({"id": 3.9}, "expected an integer, got a float"),
    ({"id": True}, "expected an integer, got a boolean"),
    ({"id": None}, "expected an integer, got null"),
    ({"price_current": "nan"}, "expected a number, got a string"),
    ({"price_current": AN_ARRAY}, "expected a number, got an array"),
    ({"price_current": 10**400}, "a number too large for a float"),
    ({"price_current": 2**53 + 1}, "an integer that a float cannot hold without rounding"),
    ({"comment": AN_OBJECT}, "expected a string, got an object"),
    ({"created_at": 1704164645}, "expected a time as a string, got an integer"),
    ({"created_at": "soon"}, "not an RFC 3339 time"),
    ({"created_at": "2024-01-01T00:00:00+24:00"}, "not a time zone offset"),
    ({"created_at": "9999-12-31T23:59:59.9999999Z"}, "a time out of range"),
    ({"side": "BUY"}, "expected an integer (SideType), got a string"),
]


@pytest.mark.parametrize(("wrong", "words"), WORDS)
def test_the_reason_says_what_was_expected_and_what_came(wrong: Dict[str, Any], words: str) -> None:
    error = decode_error(message(EventMessageType.ORDERS_PLACE, {**example(Order), **wrong}))
    assert error.reason == words


def test_the_words_for_an_integer_or_string() -> None:
    error = decode_error(message(EventMessageType.REPORT_CREATE, {**example(Report), "type": 1.5}))
    assert error.reason == "expected an integer or a string, got a float"


def test_the_first_of_several_wrong_fields_is_named() -> None:
    data = {**example(Journal), "channel": "web", "user_id": "7", "created_at": 3}
    assert decode_error(message(EventMessageType.JOURNAL_CREATE, data)).path == "$.data.user_id"


@pytest.mark.parametrize("number", [0, 1, -1, 2**53, -(2**53), 2**60, 10**15])
def test_a_float_may_arrive_as_an_integer_that_it_holds_exactly(number: int) -> None:
    data = {**example(Position), "profit": number}
    (event,) = Codec(PRICE_COLUMNS).decode(text_frame(message(EventMessageType.POSITIONS_OPEN, data)))
    assert event.data.profit == number
    assert type(event.data.profit) is float


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_a_number_that_is_not_finite_is_refused_even_past_the_json_reader(number: float) -> None:
    with pytest.raises(StructureError) as caught:
        structure({**example(Order), "symbol": {**example(Symbol), "spread": number}}, Order)
    assert (caught.value.path, caught.value.reason) == (".symbol.spread", "a number too large for a float")


@pytest.mark.parametrize("model", CARRIED)
@given(data=st.data())
def test_any_json_in_a_field_is_decoded_or_refused_with_its_path(model: type, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(FIELDS[model]))
    value = data.draw(json_values)
    payload = json.dumps(
        {"type": TYPES_OF[model][0].value, "data": {**smallest(model), field.name: value}}
    ).encode()
    (event,) = Codec(PRICE_COLUMNS).decode(text_frame(payload))
    if event.type is ClientEventType.DECODE_ERROR:
        # The value may be an object, of which something inside is wrong.
        assert event.data.path.startswith(f"$.data.{field.name}")
    else:
        assert type(event.data) is model
