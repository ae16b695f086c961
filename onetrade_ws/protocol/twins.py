"""The shortest way from a text message to a model, with msgspec (extra ``speed``).

Each model has a twin: a msgspec structure of the same fields, into which a message is read in one go, without an object
in between for each field and each number. From there the values move into the model.

Real messages carry more fields than are documented, and those must survive. So the twins learn: what a message holds
beyond the known is read the longer way once, and is a field of the twin from then on.
"""

from __future__ import annotations

import sys
from datetime import datetime
from functools import lru_cache
from typing import Any, Callable, Dict, List, Literal, Mapping, Optional, Sequence, Tuple

import attrs
import msgspec

from .drafts import draft_of
from .enums import EventMessageType
from .events import Event
from .filler import inner_type
from .parsers import MsgspecParser

if sys.version_info >= (3, 9):
    from typing import Annotated
else:
    from typing_extensions import Annotated  # there because of cattrs

# How many unknown fields of a model are learned, and in how many steps: a server could make up any number, of any
# length, and each costs a little with every message from then on.
_LEARNED_AT_MOST = 100
_LESSONS_AT_MOST = 20
_LONGEST_NAME = 64

_PREFIX = b'{"type":"'
_AFTER_PREFIX = len(_PREFIX)

# Beyond it an integer may not be a float exactly.
_EXACT = 2.0**53 - 1


#: Moves the values of a twin into a model.
_Move = Callable[[Any], Any]


_EventDraft = draft_of(Event)


class _Envelope(msgspec.Struct, gc=False):
    type: str


class Twins:
    """Reads messages of the types whose data is a model. Not thread-safe.

    :param models: by event type
    """

    def __init__(self, models: Mapping[EventMessageType, type], parser: MsgspecParser) -> None:
        self._parser = parser
        self._models = models
        self._learned: Dict[type, List[str]] = {}
        self._lessons: Dict[type, int] = {}
        # By how a message begins, up to the end of its type's name.
        self._ways: Dict[bytes, Tuple[EventMessageType, Callable[[bytes], Any], _Move]] = {}
        self._read_envelope = msgspec.json.Decoder(_Envelope).decode
        # Nothing is known of a message with another beginning.
        self._refusals = (KeyError, *parser.refusals)
        self._beginnings = {_PREFIX + event_type.value.encode(): event_type for event_type in models}

    def decode(
        self, payloads: Sequence[bytes], received_at: float
    ) -> Tuple[List[Optional[Event]], List[Tuple[int, bytes]]]:
        """The events of text messages.

        :returns: the events in their order; and where None stands among them, with the message that is left to others
        """
        ways, refusals = self._ways, self._refusals
        events: List[Optional[Event]] = []
        refused: List[Tuple[int, bytes]] = []
        for raw in payloads:
            try:
                event_type, read, move = ways[raw[: raw.find(b'"', _AFTER_PREFIX)]]
                data = move(read(raw).data)
            except refusals:
                refused.append((len(events), raw))
                events.append(None)
                continue
            event = _EventDraft()
            event.type = event_type
            event.data = data
            event.received_at = received_at
            event.raw = raw
            event.__class__ = Event
            events.append(event)
        return events, refused

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

    def learn(self, raw: bytes, data: Any) -> None:
        """Look at a message that was read the longer way: what is unknown in it is known the next time, as far as it
        is of a type whose data is a model.

        :param data: what was made of it
        """
        beginning = raw[: raw.find(b'"', _AFTER_PREFIX)]
        event_type = self._beginnings.get(beginning)
        if event_type is None:
            return
        if self._learn_fields(data):
            # It may be part of any other.
            self._ways.clear()
        if beginning not in self._ways:
            self._ways[beginning] = self._make_way(event_type)

    def _learn_fields(self, data: Any) -> bool:
        """Remember what is unknown in a model, and in those inside it.

        :returns: whether anything is
        """
        model: Any = type(data)
        is_new = False
        for name in _models_in(model):
            inside = getattr(data, name)
            if inside is not None:
                is_new = self._learn_fields(inside) or is_new
        learned = self._learned.setdefault(model, [])
        lessons = self._lessons.get(model, 0)
        if lessons >= _LESSONS_AT_MOST:
            return is_new
        names = [name for name in data.extra if name not in learned and _is_learnable(name)]
        if not names or len(learned) + len(names) > _LEARNED_AT_MOST:
            return is_new
        self._lessons[model] = lessons + 1
        learned += names
        return True

    def _make_way(
        self, event_type: EventMessageType
    ) -> Tuple[EventMessageType, Callable[[bytes], Any], _Move]:
        model = self._models[event_type]
        message = msgspec.defstruct(
            "Message",
            [("type", _literal(event_type.value)), ("data", self._twin_of(model))],
            forbid_unknown_fields=True,
            gc=False,
        )
        return event_type, msgspec.json.Decoder(message).decode, self._generate(model)

    def _generate(self, model: Any) -> _Move:
        """A function that moves the values of a twin into a model."""
        names: Dict[str, Any] = {
            "astuple": msgspec.structs.astuple,
            "Draft": draft_of(model),
            "Model": model,
            "UNSET": msgspec.UNSET,
            "moment": self._parser.parse_time,
            # The time of an order's placement comes again with each of its updates.
            "known_moment": lru_cache(maxsize=4096)(self._parser.parse_time),
        }
        targets = []
        lines = []
        for name, kind in _fields(model):
            if _is_time(kind):
                targets.append(f"time_{name}")
                find = "known_moment" if name == "created_at" else "moment"
                lines.append(f"model.{name} = {find}(time_{name}) if time_{name} else None")
            elif _is_model(kind):
                targets.append(f"twin_{name}")
                names[f"move_{name}"] = self._generate(inner_type(kind))
                lines.append(f"model.{name} = None if twin_{name} is None else move_{name}(twin_{name})")
            else:
                targets.append(f"model.{name}")
        for number, unknown in enumerate(self._learned.get(model, ())):
            targets.append(f"value_{number}")
            names[f"name_{number}"] = unknown
            lines.append(f"if value_{number} is not UNSET: extra[name_{number}] = value_{number}")
        source = [
            "def move(twin):",
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

    def _twin_of(self, model: Any) -> Any:
        fields: List[Any] = []
        for name, kind in _fields(model):
            default = getattr(attrs.fields(model), name).default
            fields.append((name, *self._twin_field(kind, default)))
        for number, unknown in enumerate(self._learned.get(model, ())):
            field = msgspec.field(default=msgspec.UNSET, name=unknown)
            fields.append((f"unknown_{number}", Any, field))
        return msgspec.defstruct(
            f"{model.__name__}Twin", fields, kw_only=True, forbid_unknown_fields=True, gc=False
        )

    def _twin_field(self, kind: Any, default: Any) -> Tuple[Any, ...]:
        inner = inner_type(kind)
        twin: Any = inner or kind
        if _is_time(kind):
            # msgspec would take more than RFC 3339, and not the empty text.
            twin = str
        elif _is_model(kind):
            twin = self._twin_of(inner)
        elif twin is float:
            twin = Annotated[float, msgspec.Meta(ge=-_EXACT, le=_EXACT)]
        if inner is not None:
            twin = Optional[twin]
        return (twin,) if default is attrs.NOTHING else (twin, default)


def _is_learnable(name: str) -> bool:
    """Whether msgspec can have a field of that name."""
    return len(name) <= _LONGEST_NAME and name.isprintable() and '"' not in name and "\\" not in name


def _fields(model: Any) -> List[Tuple[str, Any]]:
    attrs.resolve_types(model)
    return [(field.name, field.type) for field in attrs.fields(model) if field.name != "extra"]


@lru_cache(maxsize=None)
def _models_in(model: Any) -> Sequence[str]:
    """The fields of a model that are models, too."""
    return tuple(name for name, kind in _fields(model) if _is_model(kind))


def _is_model(kind: Any) -> bool:
    """Whether it is a model, or nothing: none is inside another for certain."""
    inner = inner_type(kind)
    return inner is not None and attrs.has(inner)


def _is_time(kind: Any) -> bool:
    return bool(kind == Optional[datetime])


def _literal(value: str) -> Any:
    return Literal[value]
