"""The shortest way from a text message to a model, with msgspec (extra ``speed``).

Each model has a twin: a msgspec structure of the same fields, into which a message is read in one go, without an object
in between for each field and each number. From there the values move into the model.

Real messages carry more fields than are documented, and those must survive. So the twins learn: what a message holds
beyond the known is read the longer way once, and is a field of the twin from then on.
"""

from __future__ import annotations

import re
import sys
from datetime import datetime
from functools import lru_cache
from typing import Any, Callable, Dict, List, Literal, Mapping, Optional, Tuple

import attrs
import msgspec

from .drafts import draft_of
from .enums import EventMessageType
from .filler import Fillers, inner_type
from .models import Symbol
from .parsers import MsgspecParser, Refused

if sys.version_info >= (3, 9):
    from typing import Annotated
else:
    from typing_extensions import Annotated  # there because of cattrs

# How many unknown fields of a model are learned, and in how many steps: a server could make up any number, of any
# length, and each costs a little with every message from then on.
_LEARNED_AT_MOST = 100
_LESSONS_AT_MOST = 20
_LONGEST_NAME = 64

# Symbols come again and again, within each order of an account. So many bytes of JSON are remembered, each of which
# may become twenty in memory.
_SYMBOLS_SIZE = 512 * 1024
_SYMBOL_SIZE = 8 * 1024
_SYMBOL_NAME = b'"symbol"'
# An escape that the name may be written with. Go escapes "<", ">" and "&".
_HIDDEN_LETTER = re.compile(rb"\\u00[67]")

_PREFIX = b'{"type":"'
_AFTER_PREFIX = len(_PREFIX)

# Beyond it an integer may not be a float exactly.
_EXACT = 2.0**53 - 1


#: Moves the values of a twin into a model; with the message that they are from.
_Move = Callable[[Any, bytes], Any]


class _Envelope(msgspec.Struct, gc=False):
    type: str


class Twins:
    """Reads messages of the types whose data is a model. Not thread-safe.

    :param models: by event type
    :param fillers: the longer way, for the objects inside of objects
    """

    def __init__(
        self, models: Mapping[EventMessageType, type], parser: MsgspecParser, fillers: Fillers
    ) -> None:
        self._parser = parser
        self._fillers = fillers
        self._models = models
        self._learned: Dict[type, List[str]] = {}
        self._lessons: Dict[type, int] = {}
        # By their JSON.
        self._symbols: Dict[bytes, Symbol] = {}
        self._symbols_size = 0
        # By how a message begins, up to the end of its type's name.
        self._ways: Dict[bytes, Tuple[EventMessageType, Callable[[bytes], Any], _Move]] = {}
        self._read_envelope = msgspec.json.Decoder(_Envelope).decode
        # Ways are made when they are first asked for: not every program sees each of them.
        self._beginnings = {_PREFIX + event_type.value.encode(): event_type for event_type in models}

    def decode(self, raw: bytes) -> Tuple[EventMessageType, Any]:
        """The type and the data of a message.

        :raises ValueError: when it is none of these, or in any way unusual
        """
        beginning = raw[: raw.find(b'"', _AFTER_PREFIX)]
        way = self._ways.get(beginning)
        if way is None:
            event_type = self._beginnings.get(beginning)
            if event_type is None:
                raise Refused
            way = self._ways[beginning] = self._make_way(event_type)
        event_type, read, move = way
        try:
            message = read(raw)
        except self._parser.refusals:
            raise Refused from None
        return event_type, move(message.data, raw)

    def name_of_other(self, raw: bytes) -> Optional[str]:
        """The name of a message's type, if it is none of these: what else is in the message is not looked at, but for
        being JSON and UTF-8. None where it takes more to know it."""
        if raw[:_AFTER_PREFIX] != _PREFIX or raw[: raw.find(b'"', _AFTER_PREFIX)] in self._beginnings:
            return None
        try:
            name: str = self._read_envelope(raw).type
            # What is skipped is not asked for that.
            raw.isascii() or raw.decode("utf-8")
        except self._parser.refusals:
            return None
        return None if _PREFIX + name.encode() in self._beginnings else name

    def learn(self, data: Any) -> None:
        """Look at a model that came the longer way: what is unknown in it is known the next time."""
        model = type(data)
        learned = self._learned.setdefault(model, [])
        lessons = self._lessons.get(model, 0)
        names = [name for name in data.extra if name not in learned and _is_learnable(name)]
        if not names or lessons >= _LESSONS_AT_MOST or len(learned) + len(names) > _LEARNED_AT_MOST:
            return
        self._lessons[model] = lessons + 1
        learned += names
        self._ways = {
            beginning: way for beginning, way in self._ways.items() if self._models[way[0]] is not model
        }

    def _make_way(
        self, event_type: EventMessageType
    ) -> Tuple[EventMessageType, Callable[[bytes], Any], _Move]:
        model = self._models[event_type]
        learned = tuple(self._learned.get(model, ()))
        twin = _twin_of(model, learned)
        message = msgspec.defstruct(
            "Message",
            [("type", _literal(event_type.value)), ("data", twin)],
            forbid_unknown_fields=True,
            gc=False,
        )
        return event_type, msgspec.json.Decoder(message).decode, self._generate(model, learned)

    def _generate(self, model: Any, learned: Tuple[str, ...]) -> _Move:
        """A function that moves the values of a twin into a model."""
        names: Dict[str, Any] = {
            "astuple": msgspec.structs.astuple,
            "Draft": draft_of(model),
            "Model": model,
            "UNSET": msgspec.UNSET,
            "moment": self._parser.parse_time,
            # The time of an order's placement comes again with each of its updates.
            "known_moment": lru_cache(maxsize=4096)(self._parser.parse_time),
            "symbols": self._symbols,
            "read_symbol": self._read_symbol,
            "stands_alone": _stands_alone,
            "Refused": Refused,
        }
        targets = []
        lines = []
        for name, kind in _fields(model):
            if _is_time(kind):
                targets.append(f"time_{name}")
                find = "known_moment" if name == "created_at" else "moment"
                lines.append(f"model.{name} = {find}(time_{name}) if time_{name} else None")
            elif attrs.has(inner_type(kind) or kind):
                targets.append(f"raw_{name}")
                lines += [
                    f"text = bytes(raw_{name})",
                    f"model.{name} = symbols[text] if text in symbols else read_symbol(text)",
                    "if not stands_alone(text, raw): raise Refused",
                ]
            else:
                targets.append(f"model.{name}")
        for number, unknown in enumerate(learned):
            targets.append(f"value_{number}")
            names[f"name_{number}"] = unknown
            lines.append(f"if value_{number} is not UNSET: extra[name_{number}] = value_{number}")
        source = [
            "def move(twin, raw):",
            "    model = Draft()",
            "    model.extra = extra = {}",
            f"    {', '.join(targets)}, = astuple(twin)",
            *[f"    {line}" for line in lines],
            "    model.__class__ = Model",
            "    return model",
        ]
        exec("\n".join(source), names)  # noqa: S102 - of names from our own models, and of numbers
        move: _Move = names["move"]
        return move

    def _read_symbol(self, text: bytes) -> Optional[Symbol]:
        if not text or text == b"null":
            return None
        symbol: Symbol = self._fillers.get(Symbol)(self._parser.parse(text))
        if len(text) <= _SYMBOL_SIZE:
            self._symbols_size += len(text)
            if self._symbols_size > _SYMBOLS_SIZE:
                self._symbols.clear()
                self._symbols_size = len(text)
            self._symbols[text] = symbol
        return symbol


def _stands_alone(symbol: bytes, message: bytes) -> bool:
    """Whether a symbol is the only one in its message, and an absent one absent.

    Of a name that comes twice the last one counts, but the first may be wrong, and msgspec has not looked into it.
    """
    if message.find(b"\\") >= 0 and _HIDDEN_LETTER.search(message):
        return False
    at = message.find(_SYMBOL_NAME)
    if at < 0 or not symbol:
        return at < 0
    # After a colon.
    at += len(_SYMBOL_NAME) + 1
    return message.startswith(symbol, at) and message.find(_SYMBOL_NAME, at + len(symbol)) < 0


def _is_learnable(name: str) -> bool:
    """Whether msgspec can have a field of that name."""
    return len(name) <= _LONGEST_NAME and name.isprintable() and '"' not in name and "\\" not in name


def _twin_of(model: Any, learned: Tuple[str, ...]) -> Any:
    fields: List[Any] = []
    for name, kind in _fields(model):
        default = getattr(attrs.fields(model), name).default
        fields.append((name, *_twin_field(kind, default)))
    for number, unknown in enumerate(learned):
        field = msgspec.field(default=msgspec.UNSET, name=unknown)
        fields.append((f"unknown_{number}", Any, field))
    return msgspec.defstruct(
        f"{model.__name__}Twin",
        fields,
        kw_only=True,
        forbid_unknown_fields=True,
        gc=False,
    )


def _twin_field(kind: Any, default: Any) -> Tuple[Any, ...]:
    inner = inner_type(kind)
    plain = inner or kind
    twin: Any = plain
    if _is_time(kind):
        # msgspec would take more than RFC 3339, and not the empty text.
        twin = str
    elif attrs.has(plain):
        return msgspec.Raw, msgspec.Raw(b"")
    elif plain is float:
        twin = Annotated[float, msgspec.Meta(ge=-_EXACT, le=_EXACT)]
    if inner is not None:
        twin = Optional[twin]
    return (twin,) if default is attrs.NOTHING else (twin, default)


def _fields(model: Any) -> List[Tuple[str, Any]]:
    attrs.resolve_types(model)
    return [(field.name, field.type) for field in attrs.fields(model) if field.name != "extra"]


def _is_time(kind: Any) -> bool:
    return bool(kind == Optional[datetime])


def _literal(value: str) -> Any:
    return Literal[value]
