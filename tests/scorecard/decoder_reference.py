"""What a frame means by the sources alone: RFC 8259 for the text, ``tests/protocol/server_json`` for the objects.

It shares no code with the codec, not even the reader of JSON: it says of every frame either what the one right
reading of it is, or that there is none. Where the sources are silent, it follows what the library documents:

* an integer in a float field must be one that a float can hold without rounding;
* of a name that an object holds twice, the last one counts;
* a value of ``NaN``, ``Infinity`` or beyond the range of a float is refused wherever it stands;
* half a surrogate pair is refused wherever something is read that holds it;
* a time has zero to nine fractional digits, and is rounded half up to the microsecond;
* an id in a binary frame has at most twenty digits.
"""

from __future__ import annotations

import re
import sys
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Sequence, Tuple, Type, Union

from onetrade_ws import EventMessageType, Notification, ProfitUpdate, Quote, SessionLogout, Symbol
from onetrade_ws.protocol.enums import OpenIntEnum
from tests.protocol.server_json import ENUMERATIONS, FIELDS, TYPES_OF

#: What is nested deeper than this may be refused, depending on the release of Python.
DEEP = 300


class Refusal(NamedTuple):
    """There is no right reading: ``path`` is where the first thing is wrong, from the root ``$``."""

    path: str
    event_type: Any = None


class Meaning(NamedTuple):
    """The right reading: ``fields`` of a ``model``; without a model they are the data itself."""

    event_type: Union[EventMessageType, str]
    model: Any
    fields: Any


class Unreadable(Exception):
    """It is not JSON, or no JSON that has a right reading."""


class WrongField(Exception):
    """A value is not of its field's kind. The text is the path below the field."""


# -- RFC 8259 -------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r'[ \t\n\r]*(?:"([^"\\\x00-\x1f]*)"'
    r'|"((?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*)"'
    r"|(-?(?:0|[1-9][0-9]*))(?![0-9.eE])"
    r"|(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?![0-9.eE])"
    r"|(true|false|null)"
    r"|([{}\[\],:]))"
)
_PLAIN, _ESCAPED, _INTEGER, _FLOAT, _WORD, _PUNCTUATION = range(1, 7)
_BLANKS = re.compile(r"[ \t\n\r]*")
_WORDS = {"true": True, "false": False, "null": None}
_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_LONGEST_INTEGER = getattr(sys, "get_int_max_str_digits", lambda: 0)() or sys.maxsize


def _unescape(text: str) -> str:
    escaped = _ESCAPE.sub(lambda found: _ESCAPES[found[2]] if found[2] else chr(int(found[1], 16)), text)
    # Two halves of a pair that follow each other are one character.
    return escaped.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _number(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise Unreadable("beyond a float")
    return number


def _is_whole_text(value: Any) -> bool:
    """Whether no string in ``value`` holds half a surrogate pair."""
    todo = [value]
    while todo:
        value = todo.pop()
        if type(value) is str:
            if any("\ud800" <= character <= "\udfff" for character in value):
                return False
        elif type(value) is list:
            todo += value
        elif type(value) is dict:
            todo += value.keys()
            todo += value.values()
    return True


def read_json(raw: bytes) -> Tuple[Any, int]:
    """The value of a JSON text, and how deeply it is nested.

    :raises Unreadable: when there is none
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Unreadable("not UTF-8") from None
    next_token = _TOKEN.scanner(text).match  # type: ignore[attr-defined]
    # What is being read: the open containers, and the name that the next value belongs to.
    stack: List[Tuple[Any, str]] = []
    container: Any = None
    name = ""
    depth = 0
    halves = False
    # What may come now: a value; the first value of an array, or its end; the first name of an object, or its end; a
    # name; a colon; what follows a value.
    state = "value"
    while True:
        token = next_token()
        if token is None:
            raise Unreadable("no token")
        kind = token.lastindex
        if kind <= _WORD:
            value: Any = token[kind]
            if kind == _ESCAPED:
                value = _unescape(value)
                halves = halves or not _is_whole_text(value)
            if state in ("name", "first name"):
                if kind > _ESCAPED:
                    raise Unreadable("a name that is no string")
                name = value
                state = "colon"
                continue
            if kind == _INTEGER:
                if len(value.lstrip("-")) > _LONGEST_INTEGER:
                    raise Unreadable("too many digits")
                value = int(value)
            elif kind == _FLOAT:
                value = _number(value)
            elif kind == _WORD:
                value = _WORDS[value]
            if state not in ("value", "first value"):
                raise Unreadable("a value out of place")
        else:
            mark = token[kind]
            if mark == ":":
                if state != "colon":
                    raise Unreadable("a colon out of place")
                state = "value"
                continue
            if mark == ",":
                if state != "after":
                    raise Unreadable("a comma out of place")
                state = "name" if type(container) is dict else "value"
                continue
            if mark in "[{":
                if state not in ("value", "first value"):
                    raise Unreadable("a value out of place")
                stack.append((container, name))
                container, state = ([], "first value") if mark == "[" else ({}, "first name")
                depth = max(depth, len(stack))
                continue
            empty, kind_of = ("first value", list) if mark == "]" else ("first name", dict)
            if type(container) is not kind_of or state not in ("after", empty):
                raise Unreadable("an end out of place")
            value = container
            container, name = stack.pop()
        state = "after"
        if type(container) is dict:
            container[name] = value
        elif type(container) is list:
            container.append(value)
        else:
            break
    if _BLANKS.fullmatch(text, token.end()) is None:
        raise Unreadable("more than one value")
    if halves and not _is_whole_text(value):
        raise Unreadable("half a surrogate pair")
    return value, depth


# -- the kinds of the tables ----------------------------------------------------------------------------------------

_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:Z|([+-][0-9]{2}):([0-9]{2}))",
    re.IGNORECASE | re.ASCII,
)
_DAY = 86_400


def _int(value: Any) -> int:
    if type(value) is not int:
        raise WrongField
    return value


def _str(value: Any) -> str:
    if type(value) is not str:
        raise WrongField
    return value


def _float(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is not int or abs(value) >= 2**1024:
        raise WrongField
    try:
        number = float(value)
    except OverflowError:
        raise WrongField from None
    if int(number) != value:
        raise WrongField
    return number


def _int_or_str(value: Any) -> Union[int, str]:
    if type(value) not in (int, str):
        raise WrongField
    return value  # type: ignore[no-any-return]


def _any(value: Any) -> Any:
    return value


def _time(value: Any) -> Any:
    if value == "" and type(value) is str:
        return None
    parts = _TIME.fullmatch(_str(value))
    if parts is None:
        raise WrongField
    year, month, day, hour, minute, second = (int(parts[index]) for index in range(1, 7))
    nanoseconds = int((parts[7] or "0").ljust(9, "0"))
    offset = timedelta()
    if parts[8]:
        if abs(int(parts[8])) > 23 or int(parts[9]) > 59:
            raise WrongField
        offset = timedelta(hours=abs(int(parts[8])), minutes=int(parts[9])) * (
            -1 if parts[8][0] == "-" else 1
        )
    try:
        local = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - its zone follows
    except ValueError:
        raise WrongField from None
    # The zero time of Go, in whatever offset: 0001-01-01T00:00:00Z is second 0 of day 1.
    seconds = local.toordinal() * _DAY + hour * 3600 + minute * 60 + second
    if seconds - offset.total_seconds() == _DAY and not nanoseconds:
        return None
    microseconds, rest = divmod(nanoseconds, 1000)
    try:
        local += timedelta(microseconds=microseconds + (1 if rest >= 500 else 0))
    except OverflowError:
        raise WrongField from None
    return local.replace(tzinfo=timezone(offset))


def _enumeration(enumeration: Type[OpenIntEnum]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        return enumeration(_int(value))

    return read


def _symbol(value: Any) -> Meaning:
    return _object(value, Symbol)


_KINDS: Mapping[str, Callable[[Any], Any]] = {
    "int": _int,
    "float": _float,
    "str": _str,
    "int|str": _int_or_str,
    "any": _any,
    "time": _time,
    "Symbol": _symbol,
    **{name: _enumeration(enumeration) for name, enumeration in ENUMERATIONS.items()},
}


class _Field(NamedTuple):
    name: str
    read: Callable[[Any], Any]
    required: bool
    nullable: bool
    default: Any


_MODELS: Dict[Any, List[_Field]] = {
    model: [
        _Field(field.name, _KINDS[field.kind], field.required, field.nullable, field.default)
        for field in fields
    ]
    for model, fields in FIELDS.items()
}
_MODELS[Notification] = [_Field("message", _str, True, False, None)]
_MODELS[SessionLogout] = [_Field("session_id", _str, True, False, None)]
_NAMES = {model: {field.name for field in fields} for model, fields in _MODELS.items()}

_MODEL_OF: Dict[str, Any] = {
    event_type.value: model for model, event_types in TYPES_OF.items() for event_type in event_types
}
_MODEL_OF.update(info=Notification, error=Notification, session_logout=SessionLogout)
_BY_NAME = {event_type.value: event_type for event_type in EventMessageType}
_BINARY = ("market_feed", "profit_update")
_MISSING = object()


def _object(value: Any, model: Any) -> Meaning:
    if type(value) is not dict:
        raise WrongField("")
    fields: Dict[str, Any] = {}
    for name, read, required, nullable, default in _MODELS[model]:
        content = value.get(name, _MISSING)
        if content is _MISSING:
            if required:
                raise WrongField(f".{name}")
            fields[name] = default
        elif content is None and nullable:
            fields[name] = None
        else:
            try:
                fields[name] = read(content)
            except WrongField as wrong:
                raise WrongField(f".{name}{wrong}") from None
    known = _NAMES[model]
    fields["extra"] = {name: content for name, content in value.items() if name not in known}
    return Meaning("", model, fields)


def message(raw: bytes) -> Tuple[Union[Meaning, Refusal], int]:
    """What a text frame means, and how deeply it is nested."""
    try:
        value, depth = read_json(raw)
    except Unreadable:
        return Refusal("$"), 0
    return _message(value), depth


def _message(value: Any) -> Union[Meaning, Refusal]:
    if type(value) is not dict:
        return Refusal("$")
    name = value.get("type")
    if type(name) is not str:
        return Refusal("$.type")
    if name in _BINARY:
        return Refusal("$.type", name)
    model = _MODEL_OF.get(name)
    event_type = _BY_NAME.get(name, name)
    if model is None:
        return Meaning(event_type, None, value.get("data"))
    try:
        meaning = _object(value.get("data"), model)
    except WrongField as wrong:
        return Refusal(f"$.data{wrong}", name)
    if model is Notification:
        meaning.fields["type"] = event_type
    return meaning._replace(event_type=event_type)


# -- binary frames --------------------------------------------------------------------------------------------------

_ID = re.compile(r"-?(?:0|[1-9][0-9]{0,19})")
_PRICE = re.compile(r"-?(?:0|[1-9][0-9]*)(?:[.][0-9]+)?(?:[eE][-+]?[0-9]+)?")
_MUST = ("symbol_id", "bid", "ask")
_MAY = ("last", "volume", "high", "low")


def _id(text: str) -> int:
    if not _ID.fullmatch(text):
        raise WrongField
    return int(text)


def _price(text: str) -> float:
    if not _PRICE.fullmatch(text):
        raise WrongField
    try:
        return _number(text)
    except Unreadable:
        raise WrongField from None


def records(payload: bytes, columns: Sequence[str]) -> List[Tuple[bytes, Union[Meaning, Refusal]]]:
    """The records of a binary frame, as bytes and with what each one means; a frame without any is refused whole.

    :param columns: the names of a price record's columns
    """
    lines = [line.strip(b" \r") for line in payload.split(b"\n")]
    return [(line, _record(line, columns)) for line in lines if line] or [(payload, Refusal("$"))]


def _record(line: bytes, columns: Sequence[str]) -> Union[Meaning, Refusal]:
    try:
        values = [value.strip(" ") for value in line.decode("utf-8").split(",")]
    except UnicodeDecodeError:
        return Refusal("$")
    model: Any
    if values[0] == "s":
        model, event_type, names = (
            ProfitUpdate,
            EventMessageType.PROFIT_UPDATE,
            ["s", "position_id", "profit", "total_profit"],
        )
        if len(values) < len(names):
            return Refusal(f"$.{names[len(values)]}")
    else:
        model, event_type, names = Quote, EventMessageType.MARKET_FEED, list(columns)
    names += [str(index) for index in range(len(names), len(values))]
    fields: Dict[str, Any] = {} if model is ProfitUpdate else dict.fromkeys(_MAY)
    extra: Dict[str, str] = {}
    for name, value in zip(names, values):
        try:
            if name in ("symbol_id", "position_id"):
                fields[name] = _id(value)
            elif name in ("bid", "ask", "profit", "total_profit") or (name in _MAY and value):
                fields[name] = _price(value)
            elif name not in _MAY and name != "s":
                extra[name] = value
        except WrongField:
            return Refusal(f"$.{name}")
    if model is Quote:
        for name in _MUST:
            if name not in fields:
                return Refusal(f"$.{name}")
    fields["extra"] = extra
    return Meaning(event_type, model, fields)


# -- the comparison -------------------------------------------------------------------------------------------------


def same(read: Any, meant: Any) -> bool:
    """Whether what was read is what was meant: the same types all through, and equal."""
    if type(meant) is Meaning:
        return type(read) is meant.model and all(
            same(getattr(read, name), value) for name, value in meant.fields.items()
        )
    if type(read) is not type(meant):
        return False
    if type(meant) is dict:
        return read.keys() == meant.keys() and all(same(read[name], value) for name, value in meant.items())
    if type(meant) is list:
        return len(read) == len(meant) and all(map(same, read, meant))
    if type(meant) is datetime:
        return bool(read == meant) and read.utcoffset() == meant.utcoffset()
    return bool(read == meant)
