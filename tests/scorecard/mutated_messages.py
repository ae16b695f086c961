"""Messages and price frames as the server writes them, and what may become of them on the way.

Half of the damage is done to tokens (a value of a wrong kind, a name twice, a field left out), so that what comes out
is still JSON, or records, and only what it says is odd; the other half is done to bytes.
"""

from __future__ import annotations

import json
import random
from typing import Any, Dict, List, Sequence

from onetrade_ws import PRICE_COLUMNS, Symbol
from tests.protocol.server_json import ENUMERATIONS, FIELDS, TYPES_OF

# Parted by blanks.
_ODD_JSON = r"""
    null true false 0 1 -1 7 99 1.0 3.9 1e3 1E-3 -0 -0.0 0.1 1e-999 1e308 1e309 -1e400 1e999 NaN Infinity -Infinity
    2147483648 9007199254740992 9007199254740993 9223372036854775807 9223372036854775808 18446744073709551616
    100000000000000000000000 0.30000000000000004 1.7976931348623157e308 5e-324 123456789.123456789
    +1 01 1. .5 0x10 1_000 ١ 1.١ 1e１ − 1,5 '1' None True nan undefined
    "" "1" "1.5" "1_000" "0x10" "+1" "nan" "inf" "true" "false" "null" "BUY" "١" "😀" "é" "\t" "\x" "\u12"
    "0001-01-01T00:00:00Z" "0001-01-01T05:30:00+05:30" "0001-01-01T00:00:00.000000001Z" "2024-02-29T23:59:59Z"
    "0001-01-01T00:00:00-00:01" "0001-01-01T00:00:00+00:01" "2023-02-29T00:00:00Z" "2024-01-02T03:04:05.123456789Z"
    "2024-01-02t03:04:05.9999999z" "2024-01-02T03:04:05-00:00" "2024-01-02T03:04:05.1234567890Z" "2024-01-02T03:04:05"
    "2024-01-02" "2024-01-02T24:00:00Z" "2024-01-02T03:04:60Z" "2024-01-02T03:04:05+24:00" "2024-01-02T03:04:05.5+14:00"
    "9999-12-31T23:59:59.9999999Z" "0000-01-01T00:00:00Z" "2024-01-02T03:04:05\n" "\u0032024-01-02T03:04:05Z"
    "2024-01-02T03:04:05.١Z"
    "\ud83d\ude00" "\ud800" "\uD800" "\udc00\ud800" "\u0000" "\u00e9" "\\ud800" "\ud800x\udc00"
    [] {} [1] [[]] {"id":1} {"id":1,"symbol":"X"} {"id":1,"symbol":"X","status":99,"digits":null} {"message":"m"}
    {"":null} {"a":{"b":[1,2.5,null]}} {"a":NaN} {"a":1,"a":2} {"a":"\ud800","a":1} {"\ud800":1} [1,] {"a"} {1:1}
    {"a":1e999,"a":1} 0.1e308 179769313486231580793e289 0e999 1.0e0 000 /**/1
"""

#: What may stand where a time stood.
ODD_TIMES: Sequence[str] = (
    "", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000000Z", "0001-01-01T00:00:00+00:00",
    "0001-01-01T05:30:00+05:30", "0001-01-01T00:00:00.000000001Z", "0001-01-01T00:00:01Z", "0001-06-01T00:00:00Z",
    "0001-12-31T23:59:59.9999999Z", "0002-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "2024-01-02 03:04:05Z",
    "2024-01-02t03:04:05z", "2024-01-02T03:04:05", "2024-01-02T03:04:05+0200", "2024-01-02T03:04:05+02:00",
    "2024-01-02T03:04:05-02", "2024-01-02T03:04:05-00:00", "2024-01-02T03:04:05+24:00", "2024-01-02T03:04:05+23:60",
    "2024-01-02T03:04:0\\u0035Z", "2024-01-02T03:04:05.Z", "2024-01-02T03:04:05,5Z", "2024-01-02T03:04:05.5z",
    "2024-01-02T03:04:05.1234567891Z", "2024-01-02T03:04:05.12345678901Z", "2024-01-02T03:04:05.123456789Z",
    "2024-01-02T03:04:05.123456789Z+01:00", "2024-01-02T03:04:05.123456789ZZ", "2024-01-02T03:04:05.9999995Z",
    "2024-01-02T03:04:05.9999994999Z", "2024-01-02T03:04:05.000000500Z", "2024-01-02T03:04:05.000001500Z",
    "2024-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.9999995Z",
    "9999-12-31T23:59:59.9999994Z", "9999-12-31T23:59:59.999999-23:59", "0001-01-01T00:00:00+23:59",
    "2024-02-30T00:00:00Z", "2023-02-29T00:00:00Z", "2024-02-29T00:00:00Z", "2024-13-01T00:00:00Z",
    "2024-01-02T24:00:00Z", "2024-01-02T23:60:00Z", "2024-01-02T23:59:60Z", "2024-01-02T03:04Z", "2024-01-02",
    "20240102T030405Z", "2024-01-02T03:04:05.5 Z", " 2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z ",
    "+2024-01-02T03:04:05Z", "-024-01-02T03:04:05Z", "2024-1-02T03:04:05.55Z", "2024-W01-2T03:04:05Z",
    "202٤-01-02T03:04:05Z", "2024-01-02T03:04:05.٣Z", "１024-01-02T03:04:05Z", "x", "Z", "0", "1714980489", "Z" * 30,
)  # fmt: skip

#: What may stand where a value stood. Most of it is a right value for some kind of field and a trap for the others.
ODD_VALUES: Sequence[bytes] = tuple(
    text.encode("utf-8")
    for text in [
        *_ODD_JSON.split(),
        *['" "', '" 1"', '"1 "', '" 2024-01-02T03:04:05Z"', '"a\tb"', '"a\nb"', '"', '"x'],
        *["9" * 30, "9" * 400, "9" * 5000, "0." + "3" * 400, "1" + "0" * 308, '"' + "x" * 3000 + '"'],
        *["[" * 60 + "]" * 60, '{"a":' * 60 + "1" + "}" * 60],
        *[json.dumps(time, ensure_ascii=False) for time in ODD_TIMES],
        *map(
            str,
            [2**53 - 1, 2**53 + 2, -(2**53) - 1, 10**22, 10**23, -(2**63), -(2**63) - 1, 2**1023, 2**1024],
        ),
        *["1" + "0" * 308 + ".0", "1" + "0" * 309 + ".0", "1" + "0" * 300 + "e10", "1" + "0" * 400 + "e-300"],
        *[
            "1" + "0" * 400 + "e-3",
            '{"x":"' + "9" * 5000 + '"}',
            '{"x":' + "9" * 5000 + "}",
            "[" * 250 + "]" * 250,
        ],
        *["1 2", "\ufeff1", ""],
    ]
)
# What is no text at all.
ODD_VALUES = (
    *ODD_VALUES,
    b'"\xff"',
    b'{"x":"\xff"}',
    b'{"\xff":1}',
    b'{"x":"\xff","x":1}',
    b'"\xed\xa0\x80"',
)

#: What may stand where a name stood, or be the name of something that nobody documented.
ODD_NAMES: Sequence[bytes] = (
    b'"extra"', b'"type"', b'"data"', b'"unknown_0"', b'"unknown_1"', b'"value_0"', b'""', b'"class"', b'"self"',
    b'"Id"', b'"\\u0069d"', b'"\\u0073ymbol"', b'"a\\"b"', b'"a\\\\b"', b'"\\n"', b'"a\nb"', b'"\\u0000"',
    b'"\xc3\xa9"', b'"\xf0\x9f\x98\x80"', b'"\xff"', b'"\\ud800"', b'"__class__"', b'"__weakref__"',
    b'"' + b"x" * 300 + b'"', b"id", b'"model"', b'"twin"', b'"get"', b'"a b"', b'"1"', b'"None"', b'"id "',
    b'"symbol"', b'"dealer_id"', b'"digits"',
)  # fmt: skip

#: What may be called a symbol, right or wrong, and wrong where a hasty reader does not look.
ODD_SYMBOLS: Sequence[bytes] = (
    b"null", b"{}", b'{"id":1}', b'{"id":1,"symbol":"EURUSD"}',
    b'{"id":1,"symbol":"EURUSD","digits":5,"new":{"a":1}}', b'{ "id" : 1 , "symbol" : "EURUSD" }',
    b'{"id":1,"symbol":"EURUSD","extra":1}', b'{"id":1,"symbol":"E","symbol":"F"}',
    b'{"id":1,"symbol":"E","tick_size":1e999}', b'{"id":1,"symbol":"E","new":1e999,"new":1}',
    b'{"id":1,"symbol":"\xff"}', b'{"id":1,"symbol":"E","x":"\xff","x":1}',
    b'{"id":1,"symbol":"E","trade_level":[1e999]}', b"[]", b"1", b'""', b"false",
    b'{"id":1,"symbol":"E","status":99,"tick_value":1}', b'{"id":1,"symbol":"E","tick_size":9007199254740993}',
    b'{"id":1,"symbol":"E","x":' + b"9" * 5000 + b"}", b'{"id":1,"symbol":"\\ud83d\\ude00"}',
    b'{"id":1,"symbol":"\\"symbol\\":"}',
)  # fmt: skip

_QUOTED = tuple(value for value in ODD_VALUES if value.startswith(b'"'))
_DIGITS = tuple(value for value in ODD_VALUES if value[:1] in b"-0123456789")

# Deeper than any release of Python reads. Rare, because each costs as much as a hundred others.
_DEEP: Sequence[bytes] = (b"[" * 30_000 + b"]" * 30_000, b'{"a":' * 30_000 + b"1" + b"}" * 30_000)
_DEEP_ONCE_IN = 2000

_ODD_TYPES: Sequence[bytes] = (
    b'"new_in_the_next_release"', b'"market_feed"', b'"profit_update"', b'"ping"', b'"Info"', b'"gap"', b'""', b"1",
    b"null", b'["info"]', b'"error"', b'"orders_update"', b'"deals_update"',
)  # fmt: skip

_PIECES: Sequence[bytes] = (
    b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xe2\x82", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"\x00", b"\n", b"\r",
    b"\t", b"\x1f", b"\x7f", b"\xc2\xa0", b"\xe2\x80\xa8", b"\\", b"\\u", b"\\ud800", b'"', b"'", b",", b":", b"{",
    b"}", b"[", b"]", b"null", b"1e999", b"NaN", b"-", b"+", b".", b"e", b"0", b"9", b" ", b"s,", b"/**/", b"#",
)  # fmt: skip


# -- whole messages, as tokens --------------------------------------------------------------------------------------


def _time(draw: random.Random) -> str:
    fraction = draw.choice(["", ".5", ".123", ".123456", ".123456500", ".999999499"])
    zone = draw.choice(["Z", "Z", "+00:00", "+05:30", "-08:00"])
    year, month, day = draw.randint(1970, 2100), draw.randint(1, 12), draw.randint(1, 28)
    hour, minute, second = draw.randint(0, 23), draw.randint(0, 59), draw.randint(0, 59)
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}"


def _value(kind: str, draw: random.Random) -> Any:
    if kind == "int":
        return draw.choice([draw.randint(1, 99), draw.randint(2**31, 2**53), draw.randint(2**53, 2**64)])
    if kind == "float":
        return draw.choice([draw.randint(0, 99), round(draw.uniform(0, 2), 5), draw.uniform(-1e6, 1e6)])
    if kind in ("str", "int|str"):
        return draw.choice(["EURUSD", "", "Zürich", 'a "b"', "\\", "😀", "10.0.0.1"])
    if kind == "time":
        return draw.choice([_time(draw), _time(draw), "", "0001-01-01T00:00:00Z"])
    if kind == "any":
        return draw.choice([1, True, None, "all"])
    if kind == "Symbol":
        return _data(Symbol, draw)
    return draw.choice([draw.randint(0, 3), draw.randint(0, len(ENUMERATIONS[kind]))])


def _data(model: Any, draw: random.Random) -> Dict[str, Any]:
    data: Dict[str, Any] = {}
    # Long ones cost more time than they find: most of the fields that may be missing are.
    share = draw.choice([0.1, 0.3, 1.0])
    for field in FIELDS[model]:
        if field.required or draw.random() < share:
            null = field.nullable and draw.random() < 0.2
            data[field.name] = None if null else _value(field.kind, draw)
    if draw.random() < 0.5:
        data[draw.choice(["dealer_id", "rate_margin", "exit_level"])] = draw.choice(
            [1, 0.5, None, {"a": [1]}]
        )
    return data


Tokens = List[bytes]


def _tokens_of(value: Any, draw: random.Random) -> Tokens:
    """The JSON of ``value``: names and values stand alone, each member with its comma before it."""
    if type(value) is not dict:
        return [json.dumps(value, ensure_ascii=draw.random() < 0.3, separators=(",", ":")).encode()]
    tokens = [b"{"]
    for name, content in value.items():
        tokens += [
            b"," if len(tokens) > 1 else b"",
            b'"' + name.encode() + b'"',
            b":",
            *_tokens_of(content, draw),
        ]
    return [*tokens, b"}"]


def messages(draw: random.Random, count: int) -> List[Tokens]:
    """``count`` whole messages of each documented type."""
    whole = []
    models: Dict[str, Any] = {
        event_type.value: model for model, event_types in TYPES_OF.items() for event_type in event_types
    }
    for _ in range(count):
        for name, model in models.items():
            whole.append(_tokens_of({"type": name, "data": _data(model, draw)}, draw))
        for name in ("info", "error"):
            whole.append(_tokens_of({"type": name, "data": {"message": _value("str", draw)}}, draw))
        whole.append(_tokens_of({"type": "session_logout", "data": {"session_id": "s", "by": 1}}, draw))
        whole.append(_tokens_of({"type": draw.choice(["ping", "new"]), "data": _value("any", draw)}, draw))
    return whole


def _damage_tokens(tokens: Tokens, other: Tokens, draw: random.Random) -> None:
    """Change a message whose tokens stand as :func:`_tokens_of` puts them, if it is still so.

    :param other: another message, to take a value from
    """
    colons = [index for index, token in enumerate(tokens) if token == b":"]
    if not colons:
        return
    colon = draw.choice(colons)
    way = draw.random()
    if way < 0.25 and tokens[colon - 1] in other:
        at = other.index(tokens[colon - 1])
        if other[at + 1 : at + 2] == [b":"]:
            tokens[colon + 1] = other[at + 2]
    elif way < 0.6:
        value = draw.choice(_like(tokens[colon + 1]) if way < 0.4 else ODD_VALUES)
        if draw.randrange(_DEEP_ONCE_IN) == 0:
            value = draw.choice(_DEEP)
        # Of an object only the brace is replaced, which leaves no JSON: so mostly not that one.
        if tokens[colon + 1] == b"{" and draw.random() < 0.9:
            end = _end_of_object(tokens, colon + 1)
            tokens[colon + 1 : end] = [value]
        else:
            tokens[colon + 1] = value
    elif way < 0.7:
        # Twice: before it, so that the right value counts, or after it. Or one that nobody documented.
        name, value = tokens[colon - 1], draw.choice(ODD_VALUES)
        if way > 0.66:
            name = draw.choice(ODD_NAMES)
        if name == b'"symbol"':
            value = draw.choice(ODD_SYMBOLS)
        if draw.random() < 0.5 or tokens[colon + 1] == b"{":
            tokens[colon - 1 : colon - 1] = [name, b":", value, b","]
        else:
            tokens[colon + 2 : colon + 2] = [b",", name, b":", value]
    elif way < 0.8:
        tokens[colon - 1] = draw.choice(ODD_NAMES)
    elif way < 0.87 and tokens[colon + 1] != b"{":
        # Left out, with its comma; of the first member the next one keeps its own, which leaves no JSON.
        tokens[colon - 2 : colon + 2] = []
    elif way < 0.93:
        tokens[colon + 1] = draw.choice([b" ", b"\n\t", b"\xc2\xa0", b"\x0c"]) + tokens[colon + 1]
    else:
        tokens[3] = draw.choice(_ODD_TYPES)


def _like(token: bytes) -> Sequence[bytes]:
    """Odd values that look like the one that stands there."""
    if token.startswith(b'"'):
        return _QUOTED
    return _DIGITS if token[:1] in b"-0123456789" else ODD_VALUES


def _end_of_object(tokens: Tokens, start: int) -> int:
    depth = 0
    for index in range(start, len(tokens)):
        depth += (tokens[index] == b"{") - (tokens[index] == b"}")
        if depth == 0:
            return index + 1
    return len(tokens)


def mutated_message(whole: Sequence[Tokens], draw: random.Random) -> bytes:
    """One of ``whole``, damaged in one to four places; once in a while as it is."""
    tokens = draw.choice(whole)
    way = draw.random()
    if way < 0.75:
        tokens = tokens[:]
        _damage_tokens(tokens, draw.choice(whole), draw)
        while draw.random() < 0.2:
            _damage_tokens(tokens, draw.choice(whole), draw)
    payload = b"".join(tokens)
    if 0.68 < way < 0.9:
        payload = mutated_bytes(payload, draw)
        while draw.random() < 0.3:
            payload = mutated_bytes(payload, draw)
    return payload


# -- bytes ----------------------------------------------------------------------------------------------------------


def mutated_bytes(payload: bytes, draw: random.Random) -> bytes:
    """``payload`` with a bit flipped, a byte replaced, a piece put in, cut out, doubled or moved, or cut off."""
    size = len(payload)
    if not size:
        return draw.choice(_PIECES)
    at = draw.randrange(size)
    way = draw.randrange(8)
    if way <= 1:
        return payload[:at] + bytes((payload[at] ^ (1 << draw.randrange(8)),)) + payload[at + 1 :]
    if way == 2:
        return payload[:at] + bytes((draw.randrange(256),)) + payload[at + 1 :]
    if way == 3:
        return payload[:at] + draw.choice(_PIECES) + payload[at:]
    if way == 4:
        return payload[:at] + payload[at + 1 + draw.randrange(4) :]
    until = min(size, at + 1 + draw.randrange(24))
    if way == 5:
        return payload[:until] + payload[at:]
    if way == 6:
        to = draw.randrange(size)
        rest = payload[:at] + payload[until:]
        return rest[:to] + payload[at:until] + rest[to:]
    return payload[:at]


# -- binary frames --------------------------------------------------------------------------------------------------

# Parted by blanks.
_ODD_NUMBERS = """
    0 1 -1 -0 -0.0 1.5 1e3 1E+3 1e-999 1e308 1e309 1e400 -1e999 nan NaN inf -inf Infinity +1 01 1. .5 . - e5 0x10 1_000
    1'000 1e 1e+ -- 1-1 ١ 1.١ 1e１ − ½ null None true s S x " '1' "1" # 9007199254740993 18446744073709551616
"""

#: What may stand in a column.
ODD_COLUMNS: Sequence[bytes] = tuple(
    text.encode("utf-8")
    for text in [
        *_ODD_NUMBERS.split(),
        *[
            "",
            " ",
            "  ",
            " 1",
            "1 ",
            " 1.5 ",
            "\t1",
            "1\r",
            "1\v",
            "\u00a01",
            "1\u2028",
            "\0",
            "1 5",
            "s ",
            " s",
        ],
        *["9" * 20, "9" * 21, "9" * 400, "0." + "3" * 400, "9" * 5000],
    ]
)

#: The columns that a codec of the campaign may be set to: the vendor's, moved, fewer, and with names of one's own.
COLUMNS: Sequence[Sequence[str]] = (
    PRICE_COLUMNS,
    PRICE_COLUMNS,
    ("ask", "bid", "symbol_id", "volume", "last", "low", "high"),
    ("symbol_id", "bid", "ask"),
    ("symbol_id", "time", "bid", "ask", "last", "spread"),
)


def records(draw: random.Random, count: int) -> List[List[bytes]]:
    """``count`` whole records, as their columns."""
    whole = []
    for _ in range(count):
        numbers = [
            draw.choice(
                [f"{draw.uniform(0, 2):.5f}", repr(draw.uniform(-1e9, 1e9)), str(draw.randint(0, 99))]
            )
            for _ in range(draw.choice([2, 3, 4, 6, 6, 6, 6, 8]))
        ]
        name = str(draw.choice([draw.randint(1, 99), draw.randint(2**53, 2**64)]))
        columns = ["s", name, *numbers[:3]] if draw.random() < 0.35 else [name, *numbers]
        whole.append([column.encode() for column in columns])
    return whole


def mutated_frame(whole: Sequence[List[bytes]], draw: random.Random) -> bytes:
    """A frame of one to three of ``whole``, damaged in columns, in bytes, or in both; once in a while as it is."""
    way = draw.random()
    lines = []
    for _ in range(draw.choice((1, 1, 1, 1, 2, 3))):
        columns = draw.choice(whole)
        if way < 0.6:
            columns = columns[:]
            _damage_columns(columns, draw)
            while draw.random() < 0.3:
                _damage_columns(columns, draw)
        lines.append(b",".join(columns))
    payload = draw.choice((b"\n", b"\n", b"\r\n", b"\n\n", b"\r", b" \n ")).join(lines)
    if draw.random() < 0.2:
        payload += draw.choice((b"\n", b"\r\n", b" ", b"\r", b",", b"\n,"))
    if 0.55 < way < 0.96:
        payload = mutated_bytes(payload, draw)
        while draw.random() < 0.3:
            payload = mutated_bytes(payload, draw)
    return payload


def _damage_columns(columns: List[bytes], draw: random.Random) -> None:
    way = draw.random()
    if not columns or way < 0.08:
        columns.append(draw.choice(ODD_COLUMNS))
        return
    at = draw.randrange(len(columns))
    if way < 0.7:
        columns[at] = draw.choice(ODD_COLUMNS)
    elif way < 0.8:
        columns.insert(at, columns[at])
    elif way < 0.9:
        del columns[at]
    else:
        other = draw.randrange(len(columns))
        columns[at], columns[other] = columns[other], columns[at]
