"""Nobody can tell an object that the decoder has made from one that its class has made."""

from __future__ import annotations

import copy
import pickle
import weakref
from typing import Any, List

import attrs
import pytest

from onetrade_ws import (
    PRICE_COLUMNS,
    Event,
    EventMessageType,
    Notification,
    ProfitUpdate,
    Quote,
    SessionLogout,
    Symbol,
)
from onetrade_ws.protocol.frames import Batch, Opcode
from tests.protocol.server_json import RECEIVED_AT, TYPES_OF, example, message, smallest
from tests.protocol.ways import WAYS, codec, same

# Each model as small as it can be and with something in each field, and with what nobody documented.
PAYLOADS = [
    message(event_types[0], {**data, **unknown})
    for model, event_types in TYPES_OF.items()
    for data in (smallest(model), example(model))
    for unknown in ({}, {"new": [1]}, {"new": 2, "extra": {}})
]
PAYLOADS += [
    message(EventMessageType.SESSION_LOGOUT, {"session_id": "s"}),
    message(EventMessageType.INFO, {"message": "m"}),
    message("new", {"a": 1}),
]
RECORDS = [b"1,1.5,2.5,3,4,5,6", b"1,1.5,2.5", b"1,1.5,2.5,,,,", b"s,1,1.5,2.5", b"s,1,1.5,2.5,USD", b"x"]


def decoded(way: str) -> List[Event]:
    """Each twice: the second time what was unknown the first time is known."""
    one = codec(way, PRICE_COLUMNS)
    return [
        event
        for batch in (
            Batch(Opcode.TEXT, PAYLOADS * 2, RECEIVED_AT),
            Batch(Opcode.BINARY, RECORDS * 2, RECEIVED_AT),
        )
        for event in one.decode(batch)
    ]


def made_by_its_class(value: Any) -> Any:
    fields = {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}
    return type(value)(
        **{name: made_by_its_class(one) if attrs.has(type(one)) else one for name, one in fields.items()}
    )


def objects(way: str) -> List[Any]:
    events = decoded(way)
    data = [event.data for event in events if attrs.has(type(event.data))]
    symbols = [one.symbol for one in data if getattr(one, "symbol", None) is not None]
    models = {*TYPES_OF, SessionLogout, Notification, Quote, ProfitUpdate, Symbol}
    assert {type(one) for one in [*data, *symbols]} == models
    return [*events, *data, *symbols]


@pytest.mark.parametrize("way", WAYS)
def test_it_is_what_its_class_makes_of_the_same_fields(way: str) -> None:
    for one in objects(way):
        twin = made_by_its_class(one)
        assert type(one) is type(twin)
        assert type(one).__module__.startswith("onetrade_ws.protocol.")
        assert same(one, twin)
        assert one == twin
        assert twin == one
        assert repr(one) == repr(twin)
        assert attrs.asdict(one) == attrs.asdict(twin)
        if not isinstance(one, Event):
            assert hash(one) == hash(twin)


@pytest.mark.parametrize("way", WAYS)
def test_it_is_frozen_and_holds_its_fields_alone(way: str) -> None:
    for one in objects(way):
        before = repr(one)
        for field in attrs.fields(type(one)):
            with pytest.raises(attrs.exceptions.FrozenInstanceError):
                setattr(one, field.name, None)
            with pytest.raises(attrs.exceptions.FrozenInstanceError):
                delattr(one, field.name)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            one.anything = None
        assert repr(one) == before
        assert not hasattr(one, "__dict__")
        assert weakref.ref(one)() is one


@pytest.mark.parametrize("way", WAYS)
def test_it_can_be_pickled_copied_and_evolved(way: str) -> None:
    for one in objects(way):
        copies = [
            pickle.loads(pickle.dumps(one, protocol))  # noqa: S301 - our own
            for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
        ]
        copies += [copy.copy(one), copy.deepcopy(one), attrs.evolve(one)]
        for other in copies:
            assert same(other, one)
            with pytest.raises(attrs.exceptions.FrozenInstanceError):
                setattr(other, attrs.fields(type(other))[0].name, None)
        first = attrs.fields(type(one))[0].name
        assert getattr(attrs.evolve(one, **{first: 0}), first) == 0


@pytest.mark.parametrize("way", WAYS)
def test_no_two_objects_share_what_nobody_documented(way: str) -> None:
    extras = [one.extra for one in objects(way) if not isinstance(one, Event)]
    assert len({id(extra) for extra in extras}) == len(extras)
    assert all(type(extra) is dict for extra in extras)


def test_a_logout_does_not_show_its_session() -> None:
    for way in WAYS:
        for event in decoded(way):
            if isinstance(event.data, SessionLogout):
                assert "session_id" not in repr(event)
