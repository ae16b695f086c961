"""Thirty things that a careless decoder takes for something else, each with the only right answer.

``source`` says where the answer is from: the specification, the vendor SDK (the wire facts), the RFC of the notation;
or, where they are silent, which reading the library documents.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, List, Optional, Sequence, Tuple

import attrs

from onetrade_ws import (
    PRICE_COLUMNS,
    ClientEventType,
    Deal,
    Event,
    EventMessageType,
    Journal,
    Order,
    OrderStatus,
    Position,
    ReasonType,
    SideType,
)
from onetrade_ws.protocol.frames import Batch, Opcode
from tests.protocol.server_json import TYPES_OF, example
from tests.protocol.ways import codec

_UTC = timezone.utc


@attrs.frozen
class Refused:
    """The answer is a DECODE_ERROR that names this place."""

    path: str


#: What is expected of one event: a refusal, or the values of some of its data's attributes, or the data as a whole.
Answer = Any


@attrs.frozen
class Case:
    """A frame, and an answer for each of its events."""

    opcode: Opcode
    payload: bytes
    answers: Sequence[Answer]


@attrs.frozen
class Trap:
    """One idea, in one case or several."""

    name: str
    source: str
    cases: Sequence[Case]

    def fallen_into(self, way: str) -> Optional[str]:
        """What was answered wrongly, in words; None when nothing was.

        :param way: which way the decoder goes first, one of :data:`tests.protocol.ways.WAYS`
        """
        decoder = codec(way, PRICE_COLUMNS)
        for case in self.cases:
            # Twice: it learns.
            batch = Batch(case.opcode, [case.payload] * 2, 0.0)
            answers = [*case.answers] * 2
            try:
                events = decoder.decode(batch)
            except Exception as error:  # noqa: BLE001 - nothing may be raised, whatever it is
                return f"{case.payload[:200]!r} raised {error!r}"
            right = len(events) == len(answers) and all(map(_is_right, events, answers))
            if not right:
                shown = [(event.type, event.data) for event in events]
                return f"{case.payload[:200]!r} was read as {shown!r:.500} instead of {answers!r}"
        return None


def _is_right(event: Event, answer: Answer) -> bool:
    refused = event.type is ClientEventType.DECODE_ERROR
    if isinstance(answer, Refused):
        return refused and event.data.path == answer.path
    if refused:
        return False
    if isinstance(answer, _Whole):
        return _is_same(event.data, answer.data) and _is_same(event.type, answer.event_type)
    return all(_is_same(getattr(event.data, name), value) for name, value in answer.items())


def _is_same(read: object, right: object) -> bool:
    # Equality takes 1 for 1.0, for True and for SideType.SELL, and 0.0 for -0.0.
    return type(read) is type(right) and read == right and repr(read) == repr(right)


@attrs.frozen
class _Whole:
    event_type: Any
    data: Any


def _text(payload: str, answer: Answer) -> Case:
    return Case(Opcode.TEXT, payload.encode("utf-8"), [answer])


def _binary(payload: str, *answers: Answer) -> Case:
    return Case(Opcode.BINARY, payload.encode("utf-8"), answers)


def _object_with(model: type, json_fields: Dict[str, Optional[str]]) -> str:
    """A message with a whole object in which some fields are written by hand; None: left out."""
    fields: Dict[str, Optional[str]] = {name: json.dumps(value) for name, value in example(model).items()}
    fields.update(json_fields)
    data = ",".join(f'"{name}":{value}' for name, value in fields.items() if value is not None)
    return f'{{"type":"{TYPES_OF[model][0].value}","data":{{{data}}}}}'


def _field(name: str, values: Sequence[Tuple[str, Answer]], model: type = Order) -> List[Case]:
    """For each JSON text of a field: what the field then holds, or where it is refused."""
    return [
        _text(
            _object_with(model, {name: value}),
            answer if isinstance(answer, Refused) else {name: answer},
        )
        for value, answer in values
    ]


def _refused(name: str, *values: str, model: type = Order, path: Optional[str] = None) -> List[Case]:
    return _field(name, [(value, Refused(path or f"$.data.{name}")) for value in values], model)


def _bids(*values: str) -> List[Case]:
    return [_binary(f"1,{value},1.5", Refused("$.bid")) for value in values]


_HALF_PAST = timezone(timedelta(hours=5, minutes=30))
_MOMENT = datetime(2024, 1, 2, 3, 4, 5, tzinfo=_UTC)
_QUOTE: Dict[str, Any] = {
    "symbol_id": 1,
    "bid": 1.5,
    "ask": 2.0,
    "last": None,
    "volume": None,
    "high": None,
    "low": None,
    "extra": {},
}

TRAPS: Sequence[Trap] = (
    Trap("a fraction for an id", "spec: id: int", _refused("id", "3.9", "3.0", "-0.5")),
    Trap(
        "an exponent for an id",
        "spec: id: int; no server in Go writes one so",
        _refused("id", "1e3", "1E0", "5e-1"),
    ),
    Trap(
        "a boolean for a number",
        "spec: int, float",
        [*_refused("id", "true"), *_refused("price_order", "true", "false"), *_refused("side", "false")],
    ),
    Trap(
        "a number in quotes",
        "spec: int, float",
        [*_refused("id", '"17"'), *_refused("price_order", '"1.5"', '"nan"', '""'), *_refused("side", '"1"')],
    ),
    Trap(
        "a number for a text",
        "spec: str",
        _refused("ip", "127.0", "0", "true", '["::1"]', "null", model=Journal),
    ),
    Trap(
        "null for money and volume",
        "spec: float, without Optional",
        [
            *_refused("volume_initial", "null"),
            *_refused("profit", "null", model=Position),
            *_refused("fee", "null", model=Deal),
        ],
    ),
    Trap(
        "null where it may be",
        "spec: Optional; vendor SDK: nested objects may be null",
        [
            *_field("price_sl", [("null", None)]),
            *_field("symbol", [("null", None)]),
            *_field("reason", [("null", None)]),
        ],
    ),
    Trap(
        "an integer for a price",
        "vendor SDK: a float field may arrive as an integer",
        _field("price_order", [("5", 5.0), ("0", 0.0), ("-3", -3.0), (str(2**53), 9007199254740992.0)]),
    ),
    Trap(
        "an integer that no float holds",
        "silent; structure.py: refused rather than rounded",
        _refused("price_order", str(2**53 + 1), "9" * 30, "9" * 400),
    ),
    Trap(
        "an id beyond 2^31, 2^53 and 2^63",
        "vendor SDK: an integer id may exceed 2^31, and 2^53",
        _field("id", [(str(number), number) for number in (2**31, 2**53 + 1, 2**63, 2**64 - 1)]),
    ),
    Trap(
        "negative zero",
        "IEEE 754, RFC 8259: a float keeps its sign, an integer has none",
        [*_field("price_order", [("-0.0", -0.0), ("-0", 0.0)]), *_field("id", [("-0", 0)])],
    ),
    Trap(
        "a number beyond a float",
        "silent; codec.py: refused, not infinity, wherever it stands",
        [
            *_refused("price_order", "1e400", "-1e999", path="$"),
            _text('{"type":"new","data":{"x":[1e400]}}', Refused("$")),
            *_bids("1e400", "-1e400"),
        ],
    ),
    Trap(
        "NaN and Infinity",
        "RFC 8259: no such numbers",
        [
            *_refused("price_order", "NaN", "Infinity", "-Infinity", path="$"),
            *_refused("exit_level", "NaN", path="$"),
            *_bids("nan", "NaN", "inf", "-Infinity"),
        ],
    ),
    Trap(
        "numbers that Python reads and JSON does not",
        "RFC 8259",
        _refused("price_order", "+1", "01", "1.", ".5", "1_000", "0x10", "١", "1.١", "1,5", path="$"),
    ),
    Trap(
        "a time that was never set",
        'vendor SDK: null, absent, "" and the zero time all mean None',
        [
            *_field("created_at", [("null", None), ('""', None), ('"0001-01-01T00:00:00Z"', None)]),
            _text(_object_with(Order, {"created_at": None}), {"created_at": None}),
        ],
    ),
    Trap(
        "a time almost like the zero time",
        "vendor SDK: only the zero time itself means None",
        _field("created_at", [('"0001-01-01T00:00:01Z"', datetime(1, 1, 1, 0, 0, 1, tzinfo=_UTC))]),
    ),
    Trap(
        "nanoseconds",
        "vendor SDK: up to nine digits; times.py: rounded half up to the microsecond",
        _field(
            "created_at",
            [
                ('"2024-01-02T03:04:05.123456499Z"', _MOMENT.replace(microsecond=123456)),
                ('"2024-01-02T03:04:05.123456500Z"', _MOMENT.replace(microsecond=123457)),
                ('"2024-01-02T03:04:05.9999996Z"', _MOMENT + timedelta(seconds=1)),
                ('"2024-01-02T03:04:05.5Z"', _MOMENT.replace(microsecond=500000)),
            ],
        ),
    ),
    Trap(
        "a time with an offset",
        "vendor SDK: RFC 3339; times.py: in the offset that it was written in",
        _field("created_at", [('"2024-01-02T03:04:05+05:30"', _MOMENT.replace(tzinfo=_HALF_PAST))]),
    ),
    Trap(
        "a time that is none",
        "RFC 3339: with a zone, and with days and hours that there are",
        _refused(
            "created_at",
            '"2024-01-02T03:04:05"',
            '"2024-01-02"',
            '"2023-02-29T00:00:00Z"',
            '"2024-01-02T24:00:00Z"',
            '"2024-01-02T03:04:05+24:00"',
            '"٢٠٢٤-01-02T03:04:05Z"',
            '"2024-01-02T03:04:05Z\\n"',
            "1704164645",
        ),
    ),
    Trap(
        "an enumeration number that no table holds",
        "vendor SDK: must keep the number and compare by it",
        _field("side", [("99", SideType(99)), ("-1", SideType(-1)), (str(2**63), SideType(2**63))])
        + _field("reason", [("20", ReasonType(20))]),
    ),
    Trap(
        "an enumeration as something else",
        "vendor SDK: integers on the wire",
        _refused("side", '"SELL"', "1.0", "[1]", "null", "{}"),
    ),
    Trap(
        "a default for what is absent, and for nothing else",
        "spec: status: OrderStatus = PENDING, profit: float = 0.0",
        [
            _text(_object_with(Order, {"status": None}), {"status": OrderStatus.PLACED}),
            _text(_object_with(Position, {"profit": None}), {"profit": 0.0}),
            *_refused("status", "null"),
            *_refused("swaps", "null", model=Position),
        ],
    ),
    Trap(
        "a required field missing",
        "spec: fields without a default",
        [
            *[
                _text(_object_with(Order, {name: None}), Refused(f"$.data.{name}"))
                for name in ("id", "volume_current")
            ],
            *_refused("symbol", '{"id":1}', path="$.data.symbol.symbol"),
            *_refused("symbol", "{}", "[1]", path="$.data.symbol.id")[:1],
        ],
    ),
    Trap(
        "fields that nobody documented",
        "vendor SDK: unknown fields must survive",
        [
            _text(
                _object_with(
                    Order, {"dealer_id": str(2**60 + 1), "Id": "1.0", "": "[null]", "extra": '{"a":"1"}'}
                ),
                {"extra": {"dealer_id": 2**60 + 1, "Id": 1.0, "": [None], "extra": {"a": "1"}}},
            )
        ],
    ),
    Trap(
        "a name twice",
        "RFC 8259 leaves it open; the last one counts, as in Go, JavaScript and Python",
        [
            *_field("comment", [('"a","comment":"b"', "b")]),
            *_refused("id", '1,"id":true'),
            _text('{"type":"info","type":"new","data":1}', _Whole("new", 1)),
        ],
    ),
    Trap(
        "a type that nobody documented",
        "design: the decoded JSON for an unknown type; a name is what it is, letter for letter",
        [
            _text('{"type":"Orders_Place","data":{"a":[1,2.0]}}', _Whole("Orders_Place", {"a": [1, 2.0]})),
            _text('{"type":"info ","data":null}', _Whole("info ", None)),
            _text('{"type":"ping"}', _Whole(EventMessageType.PING, None)),
            _text('{"type":"market_feed","data":[1,2,3]}', Refused("$.type")),
        ],
    ),
    Trap(
        "text that is none",
        "RFC 3629, RFC 8259: no half pairs, no bytes beyond UTF-8",
        [
            *_refused("comment", r'"\ud800"', r'"\udc00\ud800"', path="$"),
            *_field(
                "comment", [(r'"\ud83d\ude00"', "\U0001f600"), (r'"\\ud800"', r"\ud800"), (r'"\u0000"', "\0")]
            ),
            Case(Opcode.TEXT, b'{"type":"new","data":"\xed\xa0\x80"}', [Refused("$")]),
            Case(Opcode.TEXT, b'{"type":"new","data":"\xc2"}', [Refused("$")]),
            Case(Opcode.TEXT, b'\xef\xbb\xbf{"type":"new"}', [Refused("$")]),
            Case(Opcode.BINARY, b"1,1.5,2\xff", [Refused("$")]),
        ],
    ),
    Trap(
        "a column that is no number",
        "records.py: numbers are read as JSON writes them",
        [
            *_bids(
                "+1", "01", "1.", ".5", "1_000", "0x10", "١", "１", "1e", "-", "1 5", "\t1", "true", '"1"'
            ),
            _binary("1.0,1.5,2", Refused("$.symbol_id")),
            _binary("1e0,1.5,2", Refused("$.symbol_id")),
            _binary("1,1.5,2,x", Refused("$.last")),
            _binary("1,1e3,-2.5E-1", {"bid": 1000.0, "ask": -0.25}),
            _binary("9007199254740993,-0,0", {"symbol_id": 2**53 + 1, "bid": -0.0, "ask": 0.0}),
        ],
    ),
    Trap(
        "blank, missing and further columns",
        "vendor SDK: missing ones are None, further ones are kept; records.py: blanks do not matter",
        [
            _binary("1,1.5,2", _QUOTE),
            _binary(" 1 , 1.5 ,2 ", _QUOTE),
            _binary("1,1.5,2,,,,", _QUOTE),
            _binary("1,1.5,2,,7", {**_QUOTE, "volume": 7.0}),
            _binary("1,1.5,2,,,,,0.1,", {**_QUOTE, "extra": {"7": "0.1", "8": ""}}),
            _binary("1,,2", Refused("$.bid")),
            _binary("1,1.5", Refused("$.ask")),
            _binary(",1.5,2", Refused("$.symbol_id")),
            _binary(
                "s,7,1.5,-2,USD",
                {"position_id": 7, "profit": 1.5, "total_profit": -2.0, "extra": {"4": "USD"}},
            ),
            _binary("s,7,1.5", Refused("$.total_profit")),
            _binary("s,7,,2", Refused("$.profit")),
            _binary("S,7,1.5,2", Refused("$.symbol_id")),
        ],
    ),
    Trap(
        "several records, and lines that hold none",
        "vendor SDK: several records in one frame, separated by newlines",
        [
            _binary("1,1.5,2\n", _QUOTE),
            _binary("1,1.5,2\r\n\r\n \ns,7,1,2\n", _QUOTE, {"position_id": 7}),
            _binary("1,1.5\n1,1.5,2", Refused("$.ask"), _QUOTE),
            _binary("1,1.5,2\r1,1.5,2", Refused("$.ask")),
            _binary("\r\n", Refused("$")),
            _binary("", Refused("$")),
        ],
    ),
)
