"""From decoded JSON to models: one cattrs converter whose hooks check instead of guessing.

The built-in hooks of cattrs coerce (3.9 → 3, None → 'None', 'false' → True), which is wrong where money is
concerned. These are forgiving in exactly the places where the vendor's server is known to be: an integer where a
float belongs, an unset time written in four ways, an enumeration number that is not in the table.
"""

from __future__ import annotations

import functools
import math
import operator
from datetime import datetime, timezone
from typing import Any, Callable, Dict, List, Mapping, Optional, Type, TypeVar, Union

import attrs
from cattrs import ClassValidationError, Converter
from cattrs.gen import make_dict_structure_fn

from .enums import OpenIntEnum
from .models import (
    Candle,
    Deal,
    Journal,
    NotificationText,
    Order,
    Position,
    Report,
    SessionLogout,
    Symbol,
    TradingAccount,
)
from .times import parse_time

T = TypeVar("T")

_MODELS = (
    *(Symbol, Order, Position, Deal, Journal, Report, NotificationText, SessionLogout),
    *(TradingAccount, Candle),
)

# Seconds since the epoch reach this in the year 5138; what is larger are milliseconds.
_LATEST_IN_SECONDS = 10**11

_JSON_NAMES: Mapping[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    int: "an integer",
    float: "a float",
    bool: "a boolean",
    type(None): "null",
}


class StructureError(ValueError):
    """A model cannot be made of the JSON.

    :ivar path: where, below the model's own root: ``.symbol.digits``
    :ivar reason: what is wrong there
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason


def describe(value: object) -> str:
    """The JSON type of ``value``, in words."""
    return _JSON_NAMES.get(type(value), type(value).__name__)


def _expected(what: str, value: object) -> ValueError:
    return ValueError(f"expected {what}, got {describe(value)}")


def _integer(value: object, _: object) -> int:
    if type(value) is not int:
        raise _expected("an integer", value)
    return value


def _float(value: object, _: object) -> float:
    if type(value) is float:
        if not math.isfinite(value):
            raise ValueError("a number too large for a float")
        return value
    if type(value) is int:
        try:
            number = float(value)
        except OverflowError:
            raise ValueError("a number too large for a float") from None
        if number != value:
            raise ValueError("an integer that a float cannot hold without rounding")
        return number
    raise _expected("a number", value)


def _string(value: object, _: object) -> str:
    if type(value) is not str:
        raise _expected("a string", value)
    return value


def _time(value: object, _: object) -> Optional[datetime]:
    if value is None:
        return None
    if type(value) is not str:
        raise _expected("a time as a string", value)
    return parse_time(value)


def _moment(value: object, _: object) -> datetime:
    """A time that must be set: seconds or milliseconds since the epoch, or text."""
    if type(value) is int or type(value) is float:
        try:
            seconds = value / 1000 if abs(value) >= _LATEST_IN_SECONDS else value
            return datetime.fromtimestamp(seconds, timezone.utc)
        except (ValueError, OverflowError, OSError):
            raise ValueError("a time beyond what Python knows") from None
    moment = parse_time(value) if type(value) is str else None
    if moment is None:
        raise _expected("a time", value)
    return moment


def _integer_or_string(value: object, _: object) -> Union[int, str]:
    if type(value) is int or type(value) is str:
        return value
    raise _expected("an integer or a string", value)


def _open_enum(value: object, enumeration: Type[OpenIntEnum]) -> OpenIntEnum:
    if type(value) is not int:
        raise _expected(f"an integer ({enumeration.__name__})", value)
    return enumeration(value)


def _as_it_came(value: Any, _: object) -> Any:
    return value


def _optional(converter: Converter) -> Callable[[Any], Callable[[Any, Any], Any]]:
    def factory(optional_type: Any) -> Callable[[Any, Any], Any]:
        (inner,) = (argument for argument in optional_type.__args__ if argument is not type(None))

        def structure(value: Any, _: object) -> Any:
            return None if value is None else converter.structure(value, inner)

        return structure

    return factory


def _is_optional(candidate: Any) -> bool:
    return getattr(candidate, "__origin__", None) is Union and type(None) in candidate.__args__


def _keeping_unknown_fields(model: Type[T], structure: Callable[[Any, Any], T]) -> Callable[[Any, Any], T]:
    known = frozenset(attribute.name for attribute in attrs.fields(model)) - {"extra"}  # type: ignore[arg-type]  # T is an attrs class

    def structure_model(value: Any, cls: Any) -> T:
        if type(value) is not dict:
            raise _expected("an object", value)
        fields: Dict[str, Any] = {}
        extra: Dict[str, Any] = {}
        for name, content in value.items():
            (fields if name in known else extra)[name] = content
        fields["extra"] = extra
        return structure(fields, cls)

    return structure_model


def _make_converter() -> Converter:
    converter = Converter(detailed_validation=True)
    for kind, hook in ((int, _integer), (float, _float), (str, _string)):
        converter.register_structure_hook(kind, hook)
    # One by one: each is an int to cattrs, and would get the hook for int.
    for enumeration in OpenIntEnum.__subclasses__():
        converter.register_structure_hook(enumeration, _open_enum)
    for other in (Any, Mapping[str, Any]):
        converter.register_structure_hook_func(functools.partial(operator.eq, other), _as_it_came)
    converter.register_structure_hook_func(
        functools.partial(operator.eq, Union[int, str]), _integer_or_string
    )
    converter.register_structure_hook_factory(_is_optional, _optional(converter))
    # After the general hook for Optional: the one registered last is asked first. All our times are optional.
    converter.register_structure_hook_func(functools.partial(operator.eq, Optional[datetime]), _time)
    converter.register_structure_hook(datetime, _moment)
    for model in _MODELS:
        attrs.resolve_types(model)
        structure = make_dict_structure_fn(model, converter)
        converter.register_structure_hook(model, _keeping_unknown_fields(model, structure))
    return converter


# Made when it is first needed: it takes longer than all other modules of ours to import.
_converter = functools.lru_cache(maxsize=None)(_make_converter)


def structure(value: object, model: Type[T]) -> T:
    """A ``model`` made of decoded JSON.

    :raises StructureError: with the path of the first thing that is wrong
    """
    try:
        return _converter().structure(value, model)
    except (ClassValidationError, ValueError) as error:
        raise _explain(error) from None


def structure_each(value: object, model: Type[T]) -> List[T]:
    """Models made of a decoded JSON array. A server in Go writes an empty one as null.

    :raises StructureError: with the path of the first thing that is wrong
    """
    if value is None:
        return []
    if type(value) is not list:
        raise StructureError("", f"expected an array, got {describe(value)}")
    models: List[T] = []
    for number, one in enumerate(value):
        try:
            models.append(structure(one, model))
        except StructureError as error:
            problem = StructureError(f"[{number}]{error.path}", error.reason)
        else:
            continue
        raise problem
    return models


def _explain(error: BaseException) -> StructureError:
    path = ""
    while isinstance(error, ClassValidationError):
        # Each failure inside a model is that of a field, and noted as such.
        with_notes, _ = error.group_exceptions()
        error, note = with_notes[0]
        path += f".{note.name}"
    reason = "required field missing" if isinstance(error, KeyError) else str(error)
    return StructureError(path, reason)
