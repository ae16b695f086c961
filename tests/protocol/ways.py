"""The ways that a message can take through the decoder, and when two events are the same."""

from __future__ import annotations

import importlib.util
from datetime import datetime
from typing import Any, Callable, Mapping, Sequence

import attrs

from onetrade_ws.errors import DecodeError
from onetrade_ws.protocol.codec import Codec
from onetrade_ws.protocol.frames import Batch, Opcode
from onetrade_ws.protocol.parsers import MsgspecParser, Parser, Refused, StandardParser
from tests.protocol.server_json import RECEIVED_AT, TYPES_OF, message, smallest

HAS_MSGSPEC = importlib.util.find_spec("msgspec") is not None


class LongWay(StandardParser):
    """Refuses everything: what is left is the way that has the last word."""

    def parse(self, raw: bytes) -> Any:
        raise Refused


_PARSERS: Mapping[str, Callable[[], Parser]] = {
    "msgspec": MsgspecParser,
    "json": StandardParser,
    "the long way": LongWay,
}

#: Those that this installation knows, the one that has the last word at the end.
WAYS: Sequence[str] = [way for way in _PARSERS if way != "msgspec" or HAS_MSGSPEC]


_ONE_OF_EACH = [
    message(event_type, smallest(model)) for model, types in TYPES_OF.items() for event_type in types
]
_ONE_OF_EACH.append(message("session_logout", {"session_id": "s"}))


def codec(way: str, price_columns: Sequence[str]) -> Codec:
    """A codec that goes this way first, and has seen each type of message before: it learns."""
    one = Codec(price_columns, parser=_PARSERS[way]())
    one.decode(Batch(Opcode.TEXT, _ONE_OF_EACH, RECEIVED_AT))
    return one


def same(one: Any, other: Any) -> bool:
    """Whether nobody could tell one from the other: equal, and of the same types through and through.

    The order of an object's names is none of its properties (RFC 8259).
    """
    todo = [(one, other)]
    while todo:
        one, other = todo.pop()
        if type(one) is not type(other):
            return False
        if isinstance(one, DecodeError):
            todo += [
                (getattr(one, fact), getattr(other, fact)) for fact in ("path", "reason", "event_type", "raw")
            ]
        elif attrs.has(type(one)):
            names = [field.name for field in attrs.fields(type(one))]
            todo += [(getattr(one, name), getattr(other, name)) for name in names]
        elif isinstance(one, dict):
            if one.keys() != other.keys():
                return False
            todo += [(value, other[name]) for name, value in one.items()]
        elif isinstance(one, list):
            if len(one) != len(other):
                return False
            todo += zip(one, other)
        # 0.0 is equal to -0.0, and a time to another one elsewhere.
        elif one != other or (isinstance(one, (float, datetime)) and repr(one) != repr(other)):
            return False
    return True
