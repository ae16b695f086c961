"""The ways that a message can take through the decoder, and when two events are the same."""

from __future__ import annotations

import importlib.util
from datetime import datetime
from typing import Any, Callable, Mapping, Sequence

import attrs

from onetrade_ws.errors import DecodeError
from onetrade_ws.protocol.codec import Codec
from onetrade_ws.protocol.parsers import MsgspecParser, Parser, Refused, StandardParser

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


def codec(way: str, price_columns: Sequence[str]) -> Codec:
    """A codec that goes this way first."""
    return Codec(price_columns, parser=_PARSERS[way]())


def same(one: Any, other: Any) -> bool:
    """Whether nobody could tell one from the other: equal, and of the same types through and through.

    The order of an object's names is none of its properties (RFC 8259).
    """
    if type(one) is not type(other):
        return False
    if isinstance(one, DecodeError):
        facts = [
            (error.path, error.reason, error.event_type, error.raw, str(error)) for error in (one, other)
        ]
        return facts[0] == facts[1]
    if attrs.has(type(one)):
        return all(
            same(getattr(one, name), getattr(other, name))
            for name in type(one).__slots__
            if name != "__weakref__"
        )
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, datetime):
        return one == other and one.utcoffset() == other.utcoffset() and repr(one) == repr(other)
    # 0.0 is equal to -0.0.
    return bool(one == other) and (type(one) is not float or repr(one) == repr(other))
