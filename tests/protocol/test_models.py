"""The models are what the specification and the vendor SDK say, and what arrives in the server's habits is read."""

from __future__ import annotations

import copy
import pickle
from datetime import datetime
from typing import Any, Dict, List

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onetrade_ws import (
    PRICE_COLUMNS,
    Deal,
    EventMessageType,
    Journal,
    Notification,
    Order,
    Position,
    ProfitUpdate,
    Quote,
    Report,
    SessionLogout,
    Symbol,
)
from onetrade_ws.protocol.codec import Codec
from tests.protocol.server_json import (
    ENUMERATIONS,
    FIELDS,
    RECEIVED_AT,
    TYPES_OF,
    Field,
    example,
    message,
    messages,
    smallest,
    text_frame,
)

MODELS = (Symbol, Order, Position, Deal, Journal, Report)
FINDABLE = (*MODELS, Quote, ProfitUpdate, Notification, SessionLogout)
CARRIED = tuple(TYPES_OF)


def decode(payload: bytes) -> Any:
    (event,) = Codec(PRICE_COLUMNS).decode(text_frame(payload))
    return event


def decode_as(model: type, data: Dict[str, Any]) -> Any:
    event = decode(message(TYPES_OF[model][0], data))
    assert event.type is TYPES_OF[model][0], event.data
    return event.data


@pytest.mark.parametrize("model", MODELS)
def test_a_model_has_the_documented_fields_and_extra(model: Any) -> None:
    documented = [field.name for field in FIELDS[model]]
    assert [attribute.name for attribute in attrs.fields(model)] == [*documented, "extra"]


@pytest.mark.parametrize("model", MODELS)
def test_the_documented_fields_have_the_documented_defaults(model: Any) -> None:
    for field in FIELDS[model]:
        default = getattr(attrs.fields(model), field.name).default
        if field.required:
            assert default is attrs.NOTHING, field.name
        else:
            assert default == field.default, field.name
            assert type(default) is type(field.default), field.name


def test_the_columns_of_a_quote_are_its_fields() -> None:
    assert [attribute.name for attribute in attrs.fields(Quote)] == [*PRICE_COLUMNS, "extra"]


def test_the_columns_of_a_profit_frame_are_the_fields_of_its_update() -> None:
    names = [attribute.name for attribute in attrs.fields(ProfitUpdate)]
    assert names == ["position_id", "profit", "total_profit", "extra"]


def one_of_each() -> List[Any]:
    carried = [decode_as(model, example(model)) for model in CARRIED]
    return [
        *carried,
        carried[0].symbol,
        Quote(symbol_id=1, bid=1.1, ask=1.2),
        ProfitUpdate(position_id=1, profit=2.0, total_profit=3.0),
        Notification(type=EventMessageType.INFO, message="hello"),
        SessionLogout(session_id="canary-7c1f"),
    ]


def test_one_of_each_is_one_of_each() -> None:
    assert {type(model) for model in one_of_each()} == set(FINDABLE)


def test_models_are_frozen() -> None:
    for model in one_of_each():
        name = attrs.fields(type(model))[0].name
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(model, name, 1)


def test_models_have_slots() -> None:
    for model in one_of_each():
        assert not hasattr(model, "__dict__"), model


def test_models_can_be_copied_pickled_compared_and_hashed() -> None:
    for model in one_of_each():
        for twin in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):  # noqa: S301
            assert twin == model
            assert hash(twin) == hash(model)
            assert twin is not model


def test_models_with_unknown_fields_can_be_hashed() -> None:
    order = decode_as(Order, {**example(Order), "exit_level": {"any": ["thing"]}})
    assert hash(order) == hash(attrs.evolve(order, extra={}))


@pytest.mark.parametrize("name", ["trade_level", "enabled"])
def test_a_symbol_whose_undocumented_fields_hold_objects_can_be_hashed(name: str) -> None:
    symbol = {**example(Symbol), name: {"buy": True}}
    order = decode_as(Order, {**example(Order), "symbol": symbol})
    assert len({order, copy.deepcopy(order)}) == 1


def test_the_session_id_of_a_logout_is_in_no_repr() -> None:
    event = decode(message(EventMessageType.SESSION_LOGOUT, {"session_id": "canary-7c1f"}))
    assert event.data.session_id == "canary-7c1f"
    assert "canary-7c1f" not in repr(event)
    assert "canary-7c1f" not in repr(event.data)


@pytest.mark.parametrize("model", CARRIED)
@given(data=st.data())
def test_what_the_server_writes_is_read_as_it_is_meant(model: type, data: st.DataObject) -> None:
    payload, event_type, expected = data.draw(messages(model))
    event = decode(payload)
    assert (event.type, event.data) == (event_type, expected)
    assert event.raw == payload
    assert event.received_at == RECEIVED_AT
    check_types(model, event.data)


def check_types(model: type, decoded: Any) -> None:
    """1 == 1.0 == True: equality does not see whether a float field really is one."""
    for field in FIELDS[model]:
        value = getattr(decoded, field.name)
        if value is None:
            assert field.nullable
        elif field.kind == "Symbol":
            check_types(Symbol, value)
        elif field.kind == "time":
            assert isinstance(value, datetime)
            assert value.tzinfo is not None
        elif field.kind in ("int", "float", "str"):
            assert type(value).__name__ == field.kind, field.name
        elif field.kind in ENUMERATIONS:
            assert type(value) is ENUMERATIONS[field.kind], field.name


@pytest.mark.parametrize("model", CARRIED)
def test_the_smallest_object_gets_the_defaults(model: type) -> None:
    decoded = decode_as(model, smallest(model))
    for field in FIELDS[model]:
        if not field.required:
            assert getattr(decoded, field.name) == field.default, field.name
    assert decoded.extra == {}


@pytest.mark.parametrize("model", CARRIED)
def test_null_is_none_wherever_the_server_may_leave_something_unset(model: type) -> None:
    unset = [field.name for field in FIELDS[model] if field.nullable]
    decoded = decode_as(model, {**example(model), **dict.fromkeys(unset)})
    assert [getattr(decoded, name) for name in unset] == [None] * len(unset)


def test_a_nested_symbol_is_a_symbol_and_keeps_what_it_does_not_know() -> None:
    symbol = {**example(Symbol), "margin_initial": 3, "sessions": [{"from": 1}]}
    decoded = decode_as(Position, {**example(Position), "symbol": symbol, "action": 4})
    assert isinstance(decoded.symbol, Symbol)
    assert decoded.symbol.symbol == "Zürich"
    assert decoded.symbol.extra == {"margin_initial": 3, "sessions": [{"from": 1}]}
    assert decoded.extra == {"action": 4}


@pytest.mark.parametrize("model", CARRIED)
def test_a_field_of_the_wire_that_is_called_extra_is_an_unknown_one(model: type) -> None:
    assert decode_as(model, {**example(model), "extra": {"a": 1}}).extra == {"extra": {"a": 1}}


@pytest.mark.parametrize("identity", [2**31, 2**53 + 1, 2**63, 2**64 - 1, -1, 0])
def test_an_id_of_any_size_is_exact(identity: int) -> None:
    assert decode_as(Order, {**example(Order), "id": identity}).id == identity


@pytest.mark.parametrize("field", [field for field in FIELDS[Report] if field.kind == "int|str"])
@pytest.mark.parametrize("value", [0, 7, "", "ready", 2**70])
def test_the_undocumented_values_of_a_report_stay_as_they_came(field: Field, value: object) -> None:
    decoded = getattr(decode_as(Report, {**example(Report), field.name: value}), field.name)
    assert decoded == value
    assert type(decoded) is type(value)


@pytest.mark.parametrize("event_type", [EventMessageType.INFO, EventMessageType.ERROR])
def test_a_notification_knows_whether_it_is_an_information_or_an_error(event_type: EventMessageType) -> None:
    event = decode(message(event_type, {"message": "Margin call", "type": "other", "level": 2}))
    assert event.type is event_type
    assert event.data == Notification(
        type=event_type, message="Margin call", extra={"type": "other", "level": 2}
    )
