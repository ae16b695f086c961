"""Whichever way a message takes through the decoder, the events are the same."""

from __future__ import annotations

import gc
import json
import sys
import tracemalloc
import uuid
from typing import Any, Dict, Iterable, List, Sequence, Set, Tuple

import pytest
from hypothesis import example as hypothesis_example
from hypothesis import given
from hypothesis import strategies as st

from onetrade_ws import PRICE_COLUMNS, ClientEventType, Deal, Journal, Order, Position, Report
from onetrade_ws.protocol.codec import Undecoded, known_type
from onetrade_ws.protocol.events import EventType
from onetrade_ws.protocol.frames import Batch, Opcode
from tests.protocol.server_json import (
    RECEIVED_AT,
    TYPES_OF,
    example,
    json_values,
    message,
    messages,
    smallest,
    texts,
)
from tests.protocol.ways import WAYS, codec, same
from tests.scorecard.mutated_messages import (
    COLUMNS,
    ODD_COLUMNS,
    ODD_NAMES,
    ODD_SYMBOLS,
    ODD_TIMES,
    ODD_VALUES,
)

pytestmark = pytest.mark.skipif(len(WAYS) < 2, reason="there is but one way")


def check(opcode: int, batches: Sequence[Sequence[bytes]], columns: Sequence[str] = PRICE_COLUMNS) -> None:
    """Send the batches, one after the other, each of the ways, through one codec each."""
    codecs = [codec(way, columns) for way in WAYS]
    for payloads in batches:
        batch = Batch(opcode, payloads, RECEIVED_AT)
        *others, expected = [codec.decode(batch) for codec in codecs]
        for way, events in zip(WAYS, others):
            assert len(events) == len(expected), way
            for event, right in zip(events, expected):
                assert same(event, right), (
                    f"{way}: {event!r} ({event.raw!r}) instead of {right!r} ({right.raw!r})"
                )


# -- text messages ---------------------------------------------------------------------------------------------------

MODELS: Sequence[Any] = [Order, Position, Deal, Journal, Report]
TYPES = [event_type.value for event_types in TYPES_OF.values() for event_type in event_types]
OTHER_TYPES = [
    "info",
    "error",
    "session_logout",
    "ping",
    "market_feed",
    "new",
    "",
    "Orders_Place",
    "type",
    "orders_place ",
]

Members = List[Tuple[bytes, bytes]]


def _members(value: Dict[str, Any]) -> Members:
    return [
        (json.dumps(name).encode(), json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode())
        for name, content in value.items()
    ]


def _object(members: Members, blank: bytes = b"") -> bytes:
    return b"{" + (b"," + blank).join(name + blank + b":" + blank + value for name, value in members) + b"}"


_SMALL = {model: _members(smallest(model)) for model in MODELS}
_WHOLE = {model: _members(example(model)) for model in MODELS}
_OTHER = [_members(data) for data in ({"message": "m"}, {"session_id": "s"}, {"a": 1.5, "b": [None]})]
_NAMES = st.sampled_from(ODD_NAMES) | texts.map(lambda name: json.dumps(name, ensure_ascii=False).encode())
_CONTENTS = st.sampled_from(ODD_VALUES) | json_values.map(lambda value: json.dumps(value).encode())


def _change(draw: st.DrawFn, members: Members) -> None:
    """One thing about an object becomes odd."""
    what = draw(st.integers(0, 6))
    at = draw(st.integers(0, max(len(members) - 1, 0)))
    if what == 0 or not members:
        members.insert(at, (draw(_NAMES), draw(_CONTENTS)))
        return
    name, value = members[at]
    if what == 1:
        members[at] = name, draw(_CONTENTS)
    elif what == 2:
        members.insert(draw(st.integers(0, len(members))), (name, draw(_CONTENTS)))
    elif what == 3:
        del members[at]
    elif what == 4:
        members[at] = draw(_NAMES), value
    elif what == 5:
        members.insert(at, (b'"symbol"', draw(st.sampled_from(ODD_SYMBOLS))))
    else:
        time = st.sampled_from(ODD_TIMES).map(lambda text: json.dumps(text, ensure_ascii=False).encode())
        members.append((draw(st.sampled_from([b'"created_at"', b'"updated_at"', b'"new_at"'])), draw(time)))


@st.composite
def odd_messages(draw: st.DrawFn, models: Sequence[Any] = MODELS) -> bytes:
    """A message of any type, with anything from nothing to several things odd about it."""
    model = draw(st.sampled_from([*models, None]))
    if model is None:
        event_type, members = draw(st.sampled_from(OTHER_TYPES)), list(draw(st.sampled_from(_OTHER)))
    else:
        event_type = draw(st.sampled_from(TYPES_OF[model])).value
        members = list((_WHOLE if draw(st.booleans()) else _SMALL)[model])
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2, 3]))):
        _change(draw, members)
    blank = draw(st.sampled_from([b"", b"", b"", b" ", b"\n", b"\t\r\n "]))
    data = _object(members, blank)
    envelope = [(b'"type"', json.dumps(event_type).encode()), (b'"data"', data)]
    odd = draw(st.integers(0, 11))
    if odd == 0:
        envelope.reverse()
    elif odd == 1:
        envelope.insert(draw(st.integers(0, 2)), (draw(_NAMES), draw(_CONTENTS)))
    elif odd == 2:
        envelope.insert(draw(st.integers(0, 2)), (b'"data"', draw(_CONTENTS | st.just(data))))
    elif odd == 3:
        envelope.insert(
            draw(st.integers(0, 2)),
            (b'"type"', draw(st.sampled_from([b'"new"', b'"ping"', b"1", b"null", b'"info"']))),
        )
    elif odd == 4:
        del envelope[draw(st.integers(0, 1))]
    payload = _object(envelope, blank)
    odd = draw(st.integers(0, 11))
    if odd == 0:
        payload = draw(st.sampled_from([b"\xef\xbb\xbf", b" ", b"\n", b"\x0c", b"[", b"\0"])) + payload
    elif odd == 1:
        payload += draw(st.sampled_from([b" ", b"\n", b"\0", b"}", b",", b"\xff", b"x", payload]))
    elif odd <= 3:
        at = draw(st.integers(0, len(payload)))
        payload = payload[:at] + draw(st.binary(max_size=3)) + payload[at + draw(st.integers(0, 3)) :]
    return payload


@given(odd_messages())
def test_a_message_means_the_same_each_way(payload: bytes) -> None:
    check(Opcode.TEXT, [[payload]])


@given(st.lists(st.lists(odd_messages([Order, Position]), min_size=1, max_size=4), min_size=1, max_size=4))
def test_messages_mean_the_same_each_way_whatever_came_before(batches: List[List[bytes]]) -> None:
    check(Opcode.TEXT, batches)


@given(st.data())
def test_what_the_server_writes_means_what_it_says_each_way(data: st.DataObject) -> None:
    payloads, meanings = [], []
    for model in data.draw(st.lists(st.sampled_from(MODELS), min_size=1, max_size=3)):
        payload, event_type, meaning = data.draw(messages(model))
        payloads.append(payload)
        meanings.append((event_type, meaning))
    for way in WAYS:
        events = codec(way, PRICE_COLUMNS).decode(Batch(Opcode.TEXT, payloads, RECEIVED_AT))
        assert [(event.type, event.data) for event in events] == meanings


@given(st.lists(odd_messages([Order]), min_size=1, max_size=4), st.sets(st.sampled_from(OTHER_TYPES)))
def test_what_stays_undecoded_could_have_been_decoded(payloads: List[bytes], wanted: Set[EventType]) -> None:
    wanted = set(map(known_type, wanted))
    batch = Batch(Opcode.TEXT, payloads, RECEIVED_AT)
    for way in WAYS:
        decoder = codec(way, PRICE_COLUMNS)
        for one, right in zip(decoder.decode_wanted(batch, wanted), codec(way, PRICE_COLUMNS).decode(batch)):
            if isinstance(one, Undecoded):
                assert one.type not in wanted
                assert one.raw.decode("utf-8")
                # A number that no float can hold is JSON all the same, and so is half of a surrogate pair.
                assert one.type == right.type or right.type is ClientEventType.DECODE_ERROR
                one = decoder.decode_after_all(one)
            assert same(one, right)


@pytest.mark.parametrize("event_type", [b"new", b"ping"])
def test_what_is_not_utf_8_is_told_even_if_nobody_asks(event_type: bytes) -> None:
    batch = Batch(Opcode.TEXT, [b'{"type":"' + event_type + b'","data":"\xff"}'], RECEIVED_AT)
    for way in WAYS:
        (event,) = codec(way, PRICE_COLUMNS).decode_wanted(batch, set())
        assert event.type is ClientEventType.DECODE_ERROR


# -- binary frames ---------------------------------------------------------------------------------------------------

_COLUMNS = [
    *COLUMNS,
    ("bid", "symbol_id", "ask"),
    ("symbol_id", "ask", "bid", "extra", "last"),
    ("symbol_id", "bid", "ask", "class", "__class__"),
    ("symbol_id", "last", "bid", "high", "ask"),
]
_RECORDS = [
    b"1,1.08,1.0802,1.0801,12,1.09,1.07", b"2,1,2,3,4,5,6", b"3,1,2", b"4,1,2,,,,", b"5,1,2,,4", b"s,1,2,3",
    b"s,2,-0.5,1e2", b"s,3,1,2,USD", b"s,4,1", b"6,1,2,3,4,5,6,7", b"7,1", b"8", b"", b" ", b"s", b"s,", b",",
    b"1,2,3", b"1,2,3,4",
]  # fmt: skip
_INJECTED = [
    b"[", b"]", b"],[", b"]],[[", b"[s,", b"s,", b'"', b'"",', b"null", b"true", b"false", b"{}", b"[]", b"[1]",
    b"\\", b"\t", b"\r", b"\n", b" ", b"\r\n", b",", b",,", b"//", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xc2\xa0",
    b"1],[2", b"1,2],[3,4", b"s,1],[s,2", b"n", b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-", b"+", b".", b"e",
    b"0", b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808", b"18446744073709551616", b"9" * 20,
    b"9" * 21, b"9" * 310, b"9" * 5000,
]  # fmt: skip


@st.composite
def odd_frames(draw: st.DrawFn) -> bytes:
    """A binary frame of a record or several, with anything from nothing to several things odd about it."""
    lines = []
    for _ in range(draw(st.sampled_from([1, 1, 1, 1, 2, 3]))):
        columns = draw(st.sampled_from(_RECORDS)).split(b",")
        for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2]))):
            at = draw(st.integers(0, len(columns) - 1))
            what = draw(st.integers(0, 4))
            if what == 0:
                columns[at] = draw(st.sampled_from(ODD_COLUMNS))
            elif what == 1:
                columns.insert(at, draw(st.sampled_from(ODD_COLUMNS)))
            elif what == 2 and len(columns) > 1:
                del columns[at]
            elif what == 3:
                columns[at] = draw(st.sampled_from(_INJECTED))
            else:
                columns[at] += draw(st.sampled_from(_INJECTED))
        lines.append(b",".join(columns))
    return draw(st.sampled_from([b"\n", b"\n", b"\r\n", b"\r", b"\n\n", b" \n "])).join(lines) + draw(
        st.sampled_from([b"", b"", b"", b"\n", b"\r\n", b" ", b"\r", b","])
    )


@given(
    st.lists(st.lists(odd_frames(), min_size=1, max_size=8), min_size=1, max_size=2),
    st.sampled_from(_COLUMNS),
)
@hypothesis_example([[b"1,2,3,4,5,6," + b"1" * 400]], PRICE_COLUMNS)
def test_records_mean_the_same_each_way(batches: List[List[bytes]], columns: Sequence[str]) -> None:
    check(Opcode.BINARY, batches, columns)


# -- each odd thing in each place ------------------------------------------------------------------------------------


def test_each_odd_value_in_each_kind_of_field_means_the_same_each_way() -> None:
    """Once each; the property tests put several into one message."""
    places = [
        (
            Position,
            ["id", "symbol", "side", "price_open", "price_sl", "status", "comment", "updated_at", "new"],
        ),
        (Report, ["type"]),
    ]
    for model, names in places:
        for name in names:
            quoted = b'"%s"' % name.encode()
            values = [*ODD_VALUES, *(ODD_SYMBOLS if name == "symbol" else ())]
            for members in (_SMALL[model], _WHOLE[model]):
                data = [
                    _object([(one, other) for one, other in members if one != quoted] + [(quoted, value)])
                    for value in values
                ]
                beginning = b'{"type":"' + TYPES_OF[model][0].value.encode() + b'","data":'
                check(Opcode.TEXT, [[beginning + one + b"}" for one in data]])


def test_each_odd_name_means_the_same_each_way() -> None:
    for name in ODD_NAMES:
        for value in (b"1", b'{"id":1,"symbol":"E"}'):
            check(Opcode.TEXT, [[_position(b"," + name + b":" + value)] * 3])
            check(Opcode.TEXT, [[_position(b"", b"," + name + b":" + value)] * 2])


@pytest.mark.parametrize(
    "event_type", [b"new", b"ping", b"info", b"positions_open", b"orders_place", b"market_feed"]
)
def test_a_type_that_comes_twice_means_the_same_each_way(event_type: bytes) -> None:
    check(Opcode.TEXT, [[_position(b"", b',"type":"' + event_type + b'"')]])


def test_each_odd_column_means_the_same_each_way() -> None:
    batches = []
    for usual in (b"1,1.5,2.5,3", b"s,1,1.5,2.5"):
        columns = usual.split(b",")
        for odd in (*_INJECTED, *ODD_COLUMNS):
            for at in range(len(columns)):
                for column in (odd, columns[at] + odd, odd + columns[at]):
                    record = b",".join([*columns[:at], column, *columns[at + 1 :]])
                    batches += [[usual, record], [record, usual]]
    check(Opcode.BINARY, batches)


# -- what is easily overlooked ---------------------------------------------------------------------------------------

_POSITION = _object(_SMALL[Position])[1:-1]


def _position(data: bytes, envelope: bytes = b"") -> bytes:
    return b'{"type":"positions_update","data":{' + _POSITION + data + b"}" + envelope + b"}"


# Each of these makes the whole message wrong, even where nothing is made of it; but the last two not there.
_HIDDEN = [
    b"1e999",
    b'"\xff"',
    b'{"x":"\xff"}',
    b'{"\xff":1}',
    b"9" * 5000,
    b'"\\ud800"',
    b'"\\udc00"',
    b"[1e999]",
]

_SYMBOL = b',"symbol":{"id":1,"symbol":"EURUSD"}'

OVERLOOKED = [
    message
    for hidden in _HIDDEN
    for message in (
        _position(b',"symbol":' + hidden + _SYMBOL),
        _position(b',"symbol":' + hidden + b',"symbol":null'),
        _position(b',"symbol" :' + hidden + _SYMBOL),
        _position(b',"\\u0073ymbol":' + hidden + _SYMBOL),
        _position(b',"s\\u0079mbol":' + hidden + b',"symbol":null'),
        _position(_SYMBOL + b',"symbol":' + hidden + _SYMBOL),
        _position(b',"new":{"symbol":{"id":1,"symbol":"EURUSD"}},"symbol":' + hidden + _SYMBOL),
        _position(b',"new":["symbol",{"id":1,"symbol":"EURUSD"}],"symbol":' + hidden + _SYMBOL),
        _position(b',"new":"symbol","symbol":' + hidden + _SYMBOL),
        _position(b',"symbol":' + hidden, b',"data":{' + _POSITION + b"}"),
        _position(b',"symbol" :' + hidden, b',"data":{' + _POSITION + _SYMBOL + b"}"),
        _position(_SYMBOL, b',"new":' + hidden),
        _position(b',"new":' + hidden + b',"new":1'),
        _position(b"", b',"data":' + hidden),
        b'{"type":"new","data":' + hidden + b',"data":1}',
        b'{"type":"new","new":' + hidden + b"}",
        b'{"type":' + hidden + b',"type":"new"}',
        b'{"type":"info","data":{"message":' + hidden + b',"message":"m"}}',
    )
]


def test_what_is_overlooked_is_wrong_each_way() -> None:
    # What is unknown in it is known from then on.
    known = _position(_SYMBOL + b',"new":1')
    for payload in OVERLOOKED:
        check(Opcode.TEXT, [[payload], [known, known], [payload]])
        (event,) = codec(WAYS[-1], PRICE_COLUMNS).decode(Batch(Opcode.TEXT, [payload], RECEIVED_AT))
        assert event.type is ClientEventType.DECODE_ERROR or b"\\ud" in payload, payload


@pytest.mark.parametrize("depth", [300, 5_000, 200_000])
@pytest.mark.parametrize("where", [b'"type":"new","data":%s', b'"type":"new","new":%s', b'"data":%s'])
def test_deep_nesting_means_the_same_each_way(depth: int, where: bytes) -> None:
    """But for the last few levels of what Python's own stack can hold."""
    check(Opcode.TEXT, [[b"{" + where % (b"[" * depth + b"]" * depth) + b"}"]])
    check(Opcode.TEXT, [[_position(b',"new":' + b'{"a":' * depth + b"1" + b"}" * depth)]])


ODD_RECORDS = [
    b"1,2,3,4,5,6," + b"9" * 400,
    b"1,-0,3",
    b"s,1,-0,-0",
    b"s,1,-0.0,-0.5",
    b"1,2,3],[4,5,6",
    b"s,1,2],[s,3",
    b"1,2,[3]",
    b"1,2,3,null",
    b"1,2,3,NaN",
    b'1,2,"3"',
    b"1,2,3,\t4",
    b"1,2,3,4,5,6,7,8",
]


@pytest.mark.parametrize("record", ODD_RECORDS)
@pytest.mark.parametrize("place", [0, 7, 8, 99])
def test_one_odd_record_changes_nothing_for_the_others(record: bytes, place: int) -> None:
    usual = [b"%d,1.5,2.5" % number if number % 3 else b"s,%d,1.5,2.5" % number for number in range(100)]
    payloads = [*usual[:place], record, *usual[place:]]
    check(Opcode.BINARY, [payloads])
    events = codec(WAYS[0], PRICE_COLUMNS).decode(Batch(Opcode.BINARY, payloads, RECEIVED_AT))
    assert [event.raw for event in events] == payloads


# -- what a server can make it remember ------------------------------------------------------------------------------


def _growth(payloads: Iterable[bytes]) -> int:
    """How many bytes more a codec holds when it has decoded them."""
    decoder = codec(WAYS[0], PRICE_COLUMNS)
    decoder.decode(Batch(Opcode.TEXT, [_position(_SYMBOL + b',"new":1')], RECEIVED_AT))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for payload in payloads:
            decoder.decode(Batch(Opcode.TEXT, [payload], RECEIVED_AT))
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def test_names_that_never_come_again_are_not_remembered_without_end() -> None:
    names = (b',"%d%s":1' % (number, b"x" * 300_000) for number in range(50))
    assert _growth(map(_position, names)) < 4_000_000


@pytest.mark.parametrize("name", ["%d", 'a\\"%d', "\\n%d", "x" * 1000 + "%d", "\u00e9%d"])
def test_names_that_never_come_again_are_not_learned_without_end(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    msgspec = pytest.importorskip("msgspec", reason="it learns with msgspec alone")
    made: List[str] = []

    def defstruct(name: str, *arguments: Any, **options: Any) -> Any:
        made.append(name)
        return original(name, *arguments, **options)

    decoder = codec("msgspec", PRICE_COLUMNS)
    original = msgspec.defstruct
    monkeypatch.setattr(msgspec, "defstruct", defstruct)
    for number in range(300):
        payload = _position(b',"' + (name % number).encode() + b'":1')
        (event,) = decoder.decode(Batch(Opcode.TEXT, [payload], RECEIVED_AT))
        assert list(event.data.extra.values()) == [1]
    # Three a lesson: the message, the position and the symbol in it.
    assert len(made) < 100


def test_symbols_that_never_come_again_are_not_remembered_without_end() -> None:
    empty = b",".join([b"[]"] * 2_000)
    symbols = (b',"symbol":{"id":%d,"symbol":"E","new":[%s]}' % (number, empty) for number in range(500))
    assert _growth(map(_position, symbols)) < 16_000_000


@pytest.mark.parametrize("way", WAYS)
def test_the_session_of_a_logout_is_not_remembered(way: str) -> None:
    decoder = codec(way, PRICE_COLUMNS)
    payload = b'{"type":"session_logout","data":{"session_id":"%s"}}' % uuid.uuid4().hex.encode()
    for _ in range(3):
        (event,) = decoder.decode(Batch(Opcode.TEXT, [payload], RECEIVED_AT))
        session_id = event.data.session_id
        del event
        nobodys = uuid.uuid4().hex
        assert sys.getrefcount(session_id) == sys.getrefcount(nobodys)


# -- what the short ways are for -------------------------------------------------------------------------------------

USUAL = [
    message(event_types[0], {**data, **unknown})
    for model, event_types in TYPES_OF.items()
    for data in (smallest(model), example(model))
    for unknown in (
        {},
        {"new": [1]},
        {"created_at": "", "updated_at": "2024-05-06T07:08:09+02:00", "comment": "<é>"},
    )
]
USUAL += [
    message("info", {"message": "m"}),
    message("session_logout", {"session_id": "s"}),
    message("new", [1.5]),
]
USUAL_RECORDS = [b"1,1.5,2.5,3,4,5,6", b"1,1.5,2.5", b"1,1.5,2.5,,,,", b"s,1,-1.5,2", b" 1 , 1.5 ,2"]


@pytest.mark.parametrize("way", WAYS[:-1])
def test_what_a_server_writes_does_not_take_the_long_way(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_far(*_: Any) -> Any:
        pytest.fail("the long way was taken")

    monkeypatch.setattr("onetrade_ws.protocol.codec.decode_message", too_far)
    monkeypatch.setattr("onetrade_ws.protocol.codec.parse_record", too_far)
    decoder = codec(way, PRICE_COLUMNS)
    decoder.decode(Batch(Opcode.TEXT, USUAL, RECEIVED_AT))
    for record in USUAL_RECORDS:
        decoder.decode(Batch(Opcode.BINARY, [record] * 3, RECEIVED_AT))
    decoder.decode(Batch(Opcode.BINARY, USUAL_RECORDS * 3, RECEIVED_AT))


def test_what_comes_again_is_read_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("msgspec", reason="with msgspec alone")
    decoder = codec("msgspec", PRICE_COLUMNS)
    batch = Batch(Opcode.TEXT, USUAL[:-3], RECEIVED_AT)
    # What is unknown; and then the symbol, which is met when everything is known.
    expected = [decoder.decode(batch) for _ in range(3)][-1]

    def too_far(*_: Any) -> Any:
        pytest.fail("it was read as a dictionary first")

    monkeypatch.setattr("onetrade_ws.protocol.parsers.MsgspecParser.parse", too_far)
    assert decoder.decode(batch) == expected
