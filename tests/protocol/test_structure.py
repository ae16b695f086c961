"""A field of a wrong type is refused with its path, and nothing is guessed."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any, Dict, List, Mapping, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onetrade_ws import (
    PRICE_COLUMNS,
    Candle,
    ClientEventType,
    Deal,
    DecodeError,
    EventMessageType,
    Journal,
    Order,
    Position,
    Report,
    Symbol,
    TradingAccount,
)
from onetrade_ws.protocol.codec import Codec
from onetrade_ws.protocol.structure import StructureError, structure, structure_each
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


# -- what is answered over HTTP ----------------------------------------------------------------------------------------

A_CANDLE: Dict[str, Any] = {
    "time": 1709640000,
    "open": 1.1,
    "high": 1.3,
    "low": 1.0,
    "close": 1.2,
    "volume": 7,
}
AN_ACCOUNT: Dict[str, Any] = {
    "id": 2**60, "user_id": 5, "currency": "USD", "digits_currency": 2, "leverage": 100, "balance": 1.5, "credit": 0,
    "profit": -2.5, "equity": 1, "margin": 0.0, "margin_free": 1, "margin_level": None,
}  # fmt: skip
KINDS_OF_AN_ACCOUNT = {"id": "int", "user_id": "int", "currency": "str", "digits_currency": "int"}


def test_an_account_and_what_it_has_beside() -> None:
    account = structure({**AN_ACCOUNT, "group": "demo"}, TradingAccount)
    assert {name: getattr(account, name) for name in AN_ACCOUNT} == AN_ACCOUNT
    assert account.extra == {"group": "demo"}
    assert type(account.credit) is type(account.leverage) is float


def test_an_account_may_leave_out_anything() -> None:
    assert structure({}, TradingAccount) == TradingAccount()
    assert structure(dict.fromkeys(AN_ACCOUNT), TradingAccount) == TradingAccount()


@pytest.mark.parametrize("name", AN_ACCOUNT)
def test_a_wrong_field_of_an_account(name: str) -> None:
    for value in WRONG[KINDS_OF_AN_ACCOUNT.get(name, "float")]:
        with pytest.raises(StructureError) as caught:
            structure({**AN_ACCOUNT, name: value}, TradingAccount)
        assert caught.value.path == f".{name}", value


@pytest.mark.parametrize("name", ["open", "high", "low", "close"])
def test_a_wrong_price_of_a_candle(name: str) -> None:
    for value in [*WRONG["float"], None]:
        with pytest.raises(StructureError) as caught:
            structure({**A_CANDLE, name: value}, Candle)
        assert caught.value.path == f".{name}", value


NOON = datetime(2024, 3, 5, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (1709640000, NOON),
        (1709640000.0, NOON),
        (1709640000.25, NOON.replace(microsecond=250_000)),
        (1709640000000, NOON),
        (1709640000250, NOON.replace(microsecond=250_000)),
        (1709640000000.0, NOON),
        ("2024-03-05T12:00:00Z", NOON),
        ("2024-03-05T14:00:00+02:00", NOON),
        (0, datetime(1970, 1, 1, tzinfo=timezone.utc)),
        (-86_400, datetime(1969, 12, 31, tzinfo=timezone.utc)),
        # The last that are taken for seconds, and the first for milliseconds.
        (10**11 - 1, datetime(5138, 11, 16, 9, 46, 39, tzinfo=timezone.utc)),
        (10**11, datetime(1973, 3, 3, 9, 46, 40, tzinfo=timezone.utc)),
    ],
)
def test_the_time_of_a_candle(value: object, moment: datetime) -> None:
    candle = structure({**A_CANDLE, "time": value}, Candle)
    assert candle.time == moment
    assert candle.time.utcoffset() is not None


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "0001-01-01T00:00:00Z",
        "1709640000",
        "noon",
        True,
        [],
        {},
        10**20,
        -(10**20),
        10**400,
        1e300,
        -1e300,
    ],
)
def test_what_is_no_time_of_a_candle(value: object) -> None:
    with pytest.raises(StructureError) as caught:
        structure({**A_CANDLE, "time": value}, Candle)
    assert caught.value.path == ".time"
    assert any(words in caught.value.reason for words in ("expected a time", "not an RFC 3339", "beyond"))


@given(json_values)
def test_any_json_is_the_time_of_a_candle_or_is_refused(value: Any) -> None:
    moment = None
    try:
        moment = structure({**A_CANDLE, "time": value}, Candle).time.utcoffset()
    except StructureError as error:
        refused = error.path
    assert moment is not None or refused == ".time"


def test_each_of_a_list() -> None:
    assert structure_each([A_CANDLE, {**A_CANDLE, "time": 0}], Candle) == [
        structure(A_CANDLE, Candle),
        structure({**A_CANDLE, "time": 0}, Candle),
    ]


@pytest.mark.parametrize("nothing", [[], None])
def test_an_empty_list_as_a_server_in_go_writes_it(nothing: object) -> None:
    assert structure_each(nothing, Order) == []


@pytest.mark.parametrize(
    ("value", "path", "reason"),
    [
        ({}, "", "expected an array, got an object"),
        ("[]", "", "expected an array, got a string"),
        (0, "", "expected an array, got an integer"),
        (False, "", "expected an array, got a boolean"),
        ([A_CANDLE, None], "[1]", "expected an object, got null"),
        ([A_CANDLE, [A_CANDLE]], "[1]", "expected an object, got an array"),
        ([A_CANDLE, A_CANDLE, {}], "[2].time", "required field missing"),
    ],
)
def test_a_list_of_which_one_is_wrong(value: object, path: str, reason: str) -> None:
    with pytest.raises(StructureError) as caught:
        structure_each(value, Candle)
    assert (caught.value.path, caught.value.reason) == (path, reason)


@pytest.mark.parametrize(("model", "field"), fields_of(Symbol))
def test_a_wrong_field_of_a_symbol_in_a_list(model: type, field: Field) -> None:
    for value in wrong_values(field):
        with pytest.raises(StructureError) as caught:
            structure_each([example(model), {**example(model), field.name: value}], model)
        assert caught.value.path == f"[1].{field.name}", value
