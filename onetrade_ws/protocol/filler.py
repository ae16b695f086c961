"""From JSON objects to models without detours: one generated function a model.

They do what the cattrs converter of :mod:`.structure` does, under the same rules, in a tenth of the time: no call a
field, no look at a type twice. They only say that something is wrong, not what; the converter says that.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Callable, Dict, List, Optional, Union

import attrs

from .drafts import draft_of
from .enums import OpenIntEnum
from .parsers import Parser, Refused

#: Makes a model of a JSON object. Raises ValueError (:exc:`.Refused`), KeyError or OverflowError when it cannot.
Filler = Callable[[Any], Any]


class Fillers:
    """The generated functions, by model; each is generated when it is first asked for.

    :param parser: whose objects they take: its floats are finite
    """

    def __init__(self, parser: Parser) -> None:
        self._parser = parser
        self._fillers: Dict[type, Filler] = {}

    def get(self, model: Any) -> Filler:
        """The function that makes objects of ``model``."""
        filler = self._fillers.get(model)
        if filler is None:
            filler = self._fillers[model] = self._generate(model)
        return filler

    def _generate(self, model: Any) -> Filler:
        attrs.resolve_types(model)
        fields = [field for field in attrs.fields(model) if field.name != "extra"]
        known = frozenset(field.name for field in fields)
        names: Dict[str, Any] = {
            "Draft": draft_of(model),
            "Model": model,
            "known": known,
            "Refused": Refused,
            "exactly": _exactly,
            "parse_time": self._parser.parse_time,
        }
        lines = [
            "def fill(data):",
            "    if type(data) is not dict: raise Refused",
            "    get = data.get",
            "    model = Draft()",
        ]
        for field in fields:
            lines += [f"    {line}" for line in self._field(field, names)]
        lines += [
            "    if data.keys() <= known: model.extra = {}",
            "    else:",
            "        model.extra = {name: data[name] for name in data if name not in known}",
            "    model.__class__ = Model",
            "    return model",
        ]
        exec("\n".join(lines), names)  # noqa: S102 - of names from our own models alone
        filler: Filler = names["fill"]
        return filler

    def _field(self, field: Any, names: Dict[str, Any]) -> List[str]:
        name, kind, target = field.name, field.type, f"model.{field.name}"
        optional = inner_type(kind)
        value = f"data[{name!r}]" if field.default is attrs.NOTHING else f"get({name!r})"
        if kind is Any:
            return [f"{target} = {value}"]
        lines = [f"value = {value}"]
        check = self._check(optional or kind, name, target, names)
        if optional is not None:
            return [*lines, f"if value is None: {target} = None", "else:", *[f"    {line}" for line in check]]
        if field.default is attrs.NOTHING:
            return lines + check
        # Not what get() may return instead: of an enumeration it is a member, which JSON has none of.
        names[f"default_{name}"] = field.default
        absent = f"if value is None and {name!r} not in data: {target} = default_{name}"
        return [*lines, absent, "else:", *[f"    {line}" for line in check]]

    def _check(self, kind: Any, name: str, target: str, names: Dict[str, Any]) -> List[str]:
        store = f"{target} = value"
        if kind is int or kind is str:
            return [f"if type(value) is not {kind.__name__}: raise Refused", store]
        if kind is float:
            return ["if type(value) is not float: value = exactly(value)", store]
        if kind is datetime:
            return [
                "if type(value) is not str: raise Refused",
                f"{target} = parse_time(value) if value else None",
            ]
        if kind == Union[int, str]:
            return ["if type(value) is not int and type(value) is not str: raise Refused", store]
        if isinstance(kind, type) and issubclass(kind, OpenIntEnum):
            names[f"enum_{name}"] = kind
            names[f"members_{name}"] = {member.value: member for member in kind}
            return [
                "if type(value) is not int: raise Refused",
                f"{target} = members_{name}[value] if value in members_{name} else enum_{name}(value)",
            ]
        if attrs.has(kind):
            names[f"fill_{name}"] = self.get(kind)
            return [f"{target} = fill_{name}(value)"]
        raise TypeError(f"no rule for {kind!r}")


def inner_type(kind: Any) -> Optional[Any]:
    """What is optional, or None."""
    arguments = getattr(kind, "__args__", ())
    if getattr(kind, "__origin__", None) is Union and type(None) in arguments:
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return inner
    return None


def _exactly(value: object) -> float:
    """An integer as a float."""
    if type(value) is not int:
        raise Refused
    number = float(value)
    if number != value:
        raise Refused
    return number
