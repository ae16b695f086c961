"""The objects of the specification and of the vendor SDK as tables, and the JSON that the server makes of them.

The tables are written down here a second time on purpose: what the library knows is compared with them.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, List, Mapping, NamedTuple, Tuple, Type

from hypothesis import strategies as st

from onetrade_ws import (
    ChannelType,
    Deal,
    DirectionType,
    EventMessageType,
    Journal,
    Order,
    OrderStatus,
    OrderType,
    Position,
    PositionStatus,
    ReasonType,
    Report,
    SideType,
    Symbol,
    SymbolStatus,
)
from onetrade_ws.protocol.enums import OpenIntEnum
from onetrade_ws.protocol.frames import Batch, Opcode

RECEIVED_AT = 1_700_000_000.25

ENUMERATIONS: Mapping[str, Type[OpenIntEnum]] = {
    enumeration.__name__: enumeration
    for enumeration in (
        OrderType,
        SideType,
        OrderStatus,
        PositionStatus,
        ReasonType,
        DirectionType,
        ChannelType,
        SymbolStatus,
    )
}

# "?" after a kind: null or absent is None. "=": absent is that value. The kinds "time" and "Symbol" always have the
# "?", because the server leaves times unset and nested objects out (vendor SDK). "any": documented nowhere.
_TABLES: Mapping[type, str] = {
    Symbol: """
        id: int
        symbol: str
        desc: str?
        base_currency: str?
        quote_currency: str?
        digits: int?
        contract_size: float?
        tick_size: float?
        tick_value: float?
        min_value: float?
        max_value: float?
        step: float?
        spread: float?
        stop_level: float?
        swap_long: float?
        swap_short: float?
        status: SymbolStatus?
        trade_level: any
        enabled: any
        isin: str?
    """,
    Order: """
        id: int
        account_id: int
        symbol_id: int
        symbol: Symbol?
        type: OrderType
        side: SideType
        volume_initial: float
        volume_current: float
        price_order: float
        price_current: float
        price_sl: float?
        price_tp: float?
        status: OrderStatus = 0
        reason: ReasonType?
        comment: str?
        external_id: str?
        created_at: time?
        updated_at: time?
        time_setup: time?
        time_expiration: time?
        time_done: time?
    """,
    Position: """
        id: int
        account_id: int
        symbol_id: int
        symbol: Symbol?
        side: SideType
        volume_initial: float
        volume_current: float
        price_open: float
        price_current: float
        price_sl: float?
        price_tp: float?
        profit: float = 0
        total_profit: float = 0
        swaps: float = 0
        storage: float = 0
        status: PositionStatus = 0
        reason: ReasonType?
        comment: str?
        external_id: str?
        created_at: time?
        updated_at: time?
    """,
    Deal: """
        id: int
        account_id: int
        order_id: int
        position_id: int
        symbol_id: int
        symbol: Symbol?
        side: SideType
        direction: DirectionType
        volume: float
        price: float
        entry: float
        profit: float
        profit_raw: float
        commission: float
        swap: float
        fee: float
        storage: float
        market_bid: float
        market_ask: float
        market_last: float
        reason: ReasonType
        channel: ChannelType
        comment: str?
        external_id: str?
        created_at: time?
        updated_at: time?
    """,
    Journal: """
        id: int
        user_id: int
        desc: str
        ip: str
        device: str
        os: str
        channel: ChannelType
        created_at: time?
    """,
    Report: """
        id: int
        user_id: int
        type: int|str
        status: int|str
        kind: str
        desc: str
        query: str
        url: str
    """,
}


class Field(NamedTuple):
    """A field of a table: ``required``: it may be neither absent nor null; ``nullable``: null is None."""

    name: str
    kind: str
    required: bool
    nullable: bool
    default: Any


def _field(line: str) -> Field:
    declaration, _, default = line.partition("=")
    name, _, kind = (part.strip() for part in declaration.partition(":"))
    nullable = kind.endswith("?") or kind == "any"
    kind = kind.rstrip("?")
    value: Any = None
    if default:
        value = float(default) if kind == "float" else ENUMERATIONS[kind](int(default))
    return Field(name, kind, not nullable and not default, nullable, value)


FIELDS: Mapping[type, List[Field]] = {
    model: [_field(line) for line in table.strip().splitlines()] for model, table in _TABLES.items()
}

#: One message type for each model that travels on its own, and every message type with its model.
TYPES_OF: Mapping[type, Tuple[EventMessageType, ...]] = {
    Order: (
        EventMessageType.ORDERS_PLACE,
        EventMessageType.ORDERS_UPDATE,
        EventMessageType.ORDERS_CANCEL,
        EventMessageType.ORDERS_EXPIRED,
        EventMessageType.ORDERS_REJECTED,
        EventMessageType.ORDERS_REQUOTED,
    ),
    Position: (
        EventMessageType.POSITIONS_OPEN,
        EventMessageType.POSITIONS_UPDATE,
        EventMessageType.POSITIONS_CLOSE,
    ),
    Deal: (EventMessageType.DEALS_CREATE, EventMessageType.DEALS_UPDATE),
    Journal: (EventMessageType.JOURNAL_CREATE,),
    Report: (EventMessageType.REPORT_CREATE,),
}


def text_frame(payload: bytes) -> Batch:
    return Batch(Opcode.TEXT, [payload], RECEIVED_AT)


def binary_frame(payload: bytes) -> Batch:
    return Batch(Opcode.BINARY, [payload], RECEIVED_AT)


def message(event_type: str, data: Any) -> bytes:
    """A message as Go writes it: compact, UTF-8."""
    name = event_type.value if isinstance(event_type, EventMessageType) else event_type
    return json.dumps({"type": name, "data": data}, ensure_ascii=False, separators=(",", ":")).encode()


_VALUES: Mapping[str, Any] = {
    "int": 9_007_199_254_740_993,
    "float": 1.25,
    "str": "Zürich",
    "time": "2024-05-06T07:08:09.123456Z",
    "int|str": 3,
    "any": True,
    **dict.fromkeys(ENUMERATIONS, 1),
}


def example(model: type) -> Dict[str, Any]:
    """A whole object with a value in each of its fields, as decoded JSON."""
    return {
        field.name: example(Symbol) if field.kind == "Symbol" else _VALUES[field.kind]
        for field in FIELDS[model]
    }


def smallest(model: type) -> Dict[str, Any]:
    """An object of the fields that it must have, as decoded JSON."""
    whole = example(model)
    return {field.name: whole[field.name] for field in FIELDS[model] if field.required}


# -- strategies: what the server writes, with what it means ------------------------------------------------------

UNSET_TIMES = (None, "", "0001-01-01T00:00:00Z")

texts = st.text(st.characters(blacklist_categories=["Cs"]), max_size=12)
integers = st.integers(-(2**70), 2**70) | st.sampled_from([2**31, 2**53 + 1, 2**63 - 1, 2**64 - 1])
finite_floats = st.floats(allow_nan=False, allow_infinity=False)

#: Any JSON value.
json_values = st.recursive(
    st.none() | st.booleans() | integers | finite_floats | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def times(draw: st.DrawFn) -> Tuple[str, datetime]:
    """An RFC 3339 time with zero to nine fractional digits and any offset, and the datetime that it means."""
    moment = draw(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 30)))  # noqa: DTZ001 - its zone follows
    digits = draw(st.text("0123456789", max_size=9))
    offset = draw(st.integers(-(24 * 60 - 1), 24 * 60 - 1))
    whole = moment.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=offset)))
    text = whole.strftime("%m-%dT%H:%M:%S")
    text = f"{whole.year:04}-{text}" + (f".{digits}" if digits else "")
    sign, (hours, minutes) = "-" if offset < 0 else "+", divmod(abs(offset), 60)
    text += draw(st.sampled_from("Zz")) if not offset else f"{sign}{hours:02}:{minutes:02}"
    nanoseconds = int(digits.ljust(9, "0"))
    microseconds, rest = divmod(nanoseconds, 1000)
    return text, whole + timedelta(microseconds=microseconds + (rest >= 500))


def _pairs(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Tuple[Any, Any]]:
    return strategy.map(lambda value: (value, value))


def _enumeration_values(enumeration: Type[OpenIntEnum]) -> st.SearchStrategy[Tuple[int, OpenIntEnum]]:
    numbers = st.sampled_from([member.value for member in enumeration]) | integers
    return numbers.map(lambda number: (number, enumeration(number)))


def _of_kind(kind: str) -> st.SearchStrategy[Tuple[Any, Any]]:
    """Pairs: what travels, and what it means."""
    if kind == "int":
        return _pairs(integers)
    if kind == "float":
        # Go writes 1.0 as 1.
        whole = st.integers(-(2**53), 2**53).map(lambda number: (number, float(number)))
        return _pairs(finite_floats) | whole
    if kind == "str":
        return _pairs(texts)
    if kind == "int|str":
        return _pairs(integers | texts)
    if kind == "any":
        return _pairs(json_values)
    if kind == "time":
        return times() | st.sampled_from([(unset, None) for unset in UNSET_TIMES])
    if kind == "Symbol":
        return objects(Symbol)
    return _enumeration_values(ENUMERATIONS[kind])


@st.composite
def objects(draw: st.DrawFn, model: type) -> Tuple[Dict[str, Any], Any]:
    """An object in the server's habits as decoded JSON, and the model that it means."""
    wire: Dict[str, Any] = {}
    expected: Dict[str, Any] = {}
    for field in FIELDS[model]:
        expected[field.name] = field.default
        if not field.required and draw(st.booleans()):
            continue
        if field.nullable and draw(st.integers(0, 4)) == 0:
            wire[field.name] = None
            continue
        wire[field.name], expected[field.name] = draw(_of_kind(field.kind))
    names = {field.name for field in FIELDS[model]}
    unknown = draw(st.dictionaries(texts.filter(lambda name: name not in names), json_values, max_size=2))
    expected["extra"] = unknown
    wire.update(unknown)
    names_in_order = draw(st.permutations(list(wire)))
    return {name: wire[name] for name in names_in_order}, model(**expected)


@st.composite
def messages(draw: st.DrawFn, model: type) -> Tuple[bytes, EventMessageType, Any]:
    """A message of any type that carries a ``model``, and what it means."""
    event_type = draw(st.sampled_from(TYPES_OF[model]))
    wire, expected = draw(objects(model))
    payload = json.dumps(
        {"type": event_type.value, "data": wire},
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.sampled_from([None, 2])),
    )
    return payload.encode("utf-8"), event_type, expected
