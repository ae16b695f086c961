"""Messages from the client to the server (specification): ``{"type": …, "data": …}`` as text."""

from __future__ import annotations

import json
from typing import Any

from ..errors import EncodeError
from .enums import EventMessageType


def type_name(event_type: str) -> str:
    """The name that travels on the wire: an :class:`.EventMessageType`'s value, or the string itself."""
    return event_type.value if isinstance(event_type, EventMessageType) else event_type


def encode(event_type: str, data: Any = None) -> str:
    """The text of a message.

    :param event_type: an :class:`.EventMessageType`, or a string for a type that this library does not know
    :param data: anything that JSON can hold; None is written as ``null``, as the specification's examples do
    :raises EncodeError: when it is not JSON: NaN, infinities, keys that are not strings, other objects
    """
    if not isinstance(event_type, str) or not event_type:
        raise EncodeError(repr(event_type), "the type must be a string that is not empty")
    name = type_name(event_type)
    if name in (EventMessageType.MARKET_FEED, EventMessageType.PROFIT_UPDATE):
        raise EncodeError(name, "the name stands for binary frames, and never travels")
    try:
        _check_keys(data)
        text = json.dumps(
            {"type": name, "data": data}, allow_nan=False, ensure_ascii=False, separators=(",", ":")
        )
        text.encode("utf-8")
    except RecursionError:
        raise EncodeError(name, "nested too deeply, or inside itself") from None
    except UnicodeEncodeError:
        raise EncodeError(name, "a string holds half of a surrogate pair") from None
    except (TypeError, ValueError) as error:
        raise EncodeError(name, str(error)) from None
    return text


def _check_keys(value: Any) -> None:
    # json.dumps would turn other keys into strings without a word.
    if isinstance(value, dict):
        for key, content in value.items():
            if not isinstance(key, str):
                raise TypeError(f"keys must be strings, not {type(key).__name__}")
            _check_keys(content)
    elif isinstance(value, (list, tuple)):
        for content in value:
            _check_keys(content)


def check_symbol_id(event_type: EventMessageType, symbol_id: object) -> int:
    """``symbol_id``, when it can be one.

    :raises EncodeError: when it is not a whole number
    """
    if type(symbol_id) is not int:
        raise EncodeError(event_type.value, f"a symbol id is a whole number, not {type(symbol_id).__name__}")
    return symbol_id
