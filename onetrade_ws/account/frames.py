"""Objects of the models as a pandas DataFrame. The only module that knows ``pandas`` (extra ``pandas``), which is
imported when the first frame is made.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from enum import Enum
from functools import lru_cache
from operator import attrgetter
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Union,
    get_type_hints,
)

import attrs

from ..errors import MissingPackageError
from ..protocol.models import (
    Candle,
    Deal,
    Journal,
    Notification,
    Order,
    Position,
    Quote,
    Report,
    Symbol,
    TradingAccount,
)

if TYPE_CHECKING:
    from pandas import DataFrame as DataFrame  # noqa: PLC0414 - the mirror's, too: exported
    from pandas import Series

#: What the mirror has a frame of, and what is in it.
COLLECTIONS: Mapping[str, type] = {
    "account": TradingAccount,
    "orders": Order,
    "active_orders": Order,
    "positions": Position,
    "open_positions": Position,
    "deals": Deal,
    "reports": Report,
    "quotes": Quote,
    "journal": Journal,
    "notifications": Notification,
    "symbols": Symbol,
}

# The field by which the rows are found. What has none is numbered.
_KEYS: Mapping[type, Optional[str]] = {
    **dict.fromkeys(COLLECTIONS.values(), "id"),
    Quote: "symbol_id",
    Notification: None,
    Candle: "time",
}

_OBJECT, _INTEGER, _FLOAT, _TEXT, _BOOLEAN = "object", "Int64", "float64", "string", "boolean"
_TIME = "datetime64[ns, UTC]"
_DTYPES = {bool: _BOOLEAN, int: _INTEGER, float: _FLOAT, str: _TEXT, datetime: _TIME, Symbol: _TEXT}

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
# Of 64 bits. As a number of nanoseconds the smallest is NaT.
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
# Up to here a float holds each integer.
_EXACT = 2**53


def to_frame(objects: Iterable[Any], model: type = Candle, *, extra: bool = False) -> DataFrame:
    """Objects of one model as a pandas DataFrame: a row for each, in their order, and a column for each field, in the
    model's order. Without the argument ``model``: candles, as ``client.candles()`` gives them.

    The index is ``id``, of quotes ``symbol_id``, of candles ``time``; notifications are numbered from 0. The dtypes
    depend on the model alone, so that frames fit together, empty ones too:

    ===================================  ========================================================================
    integers, the ids among them         ``Int64``: exact, where a float would round them; None is ``NA``
    other numbers                        ``float64``; None is ``NaN``
    text                                 ``string``; None is ``NA``
    enumerations                         ``string``: the name, ``"BUY"``; ``"UNKNOWN_42"`` of a number that is in no
                                         table. (Not ``category``: the server may add values at any time)
    booleans                             ``boolean``; None is ``NA``
    times                                ``datetime64[ns, UTC]``; None is ``NaT``
    ``symbol`` of an order and the like  ``string``: the symbol's name; ``NA`` where the server sent the id alone
    what is documented nowhere           ``object``: as it came
    ===================================  ========================================================================

    A column with a value that its dtype cannot hold (a time before 1677-09-22 or after 2262-04-11, an integer of more
    than 64 bits) is of dtype ``object`` and holds the model's own values: nothing is rounded or left out.

    :param objects: or a mapping, whose values they are then
    :param model: their class: :class:`.Candle`, or that of one of the mirror's collections
    :param extra: whether each field that is documented nowhere (``extra``) becomes a column, too: behind the others,
        by name, with the dtype that fits all its values, NA or None where an object does not have it. One whose name
        is taken is called ``extra.<name>``
    :raises MissingPackageError: when pandas is not installed; an :exc:`ImportError`
    :raises TypeError: when one of the objects is not of the model, or there are no frames of it
    """
    if model not in _KEYS:
        known = ", ".join(each.__name__ for each in _KEYS)
        raise TypeError(f"no frame of {model!r}: {known}")
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingPackageError("to_frame()", "pandas", "pandas") from error

    rows = list(objects.values() if isinstance(objects, Mapping) else objects)
    for row in rows:
        if not isinstance(row, model):
            raise TypeError(_wrong(type(row), model))
    columns: Dict[str, Series] = {}
    for field in _fields_of(model):
        columns[field.name] = _series(list(map(field.read, rows)), field.dtype)
    if extra:
        columns.update(_extra_columns([row.extra for row in rows], set(columns)))
    key = _KEYS[model]
    if key is None:
        return pd.DataFrame(columns)
    index = columns.pop(key)
    frame = pd.DataFrame(columns)
    # With its dtype named: pandas would find one of its own for a column of objects.
    frame.index = pd.Index(index, dtype=index.dtype, name=key)
    return frame


def _wrong(given: type, model: type) -> str:
    wrong = f"{given.__name__} is not {model.__name__}, of which the frame is to be"
    return f"{wrong}: say to_frame(…, {given.__name__})" if given in _KEYS else wrong


class _Field(NamedTuple):
    name: str
    dtype: str
    read: Callable[[Any], Any]


@lru_cache(maxsize=None)
def _fields_of(model: Any) -> List[_Field]:
    hints = get_type_hints(model)
    return [
        _field(field.name, _kind(hints[field.name])) for field in attrs.fields(model) if field.name != "extra"
    ]


def _kind(hint: Any) -> Any:
    """The type itself of what may be None."""
    if getattr(hint, "__origin__", None) is not Union:
        return hint
    kinds = [each for each in hint.__args__ if each is not type(None)]
    return kinds[0] if len(kinds) == 1 else None


def _field(name: str, kind: Any) -> _Field:
    read = attrgetter(name)
    if kind is Symbol:
        return _Field(name, _TEXT, lambda row: None if read(row) is None else read(row).symbol)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _Field(name, _TEXT, lambda row: None if read(row) is None else read(row).name)
    return _Field(name, _DTYPES.get(kind, _OBJECT), read)


def _series(values: List[Any], dtype: str) -> Series:
    import pandas as pd

    if dtype == _TIME:
        # Whole numbers all the way: pandas has several ways to read a datetime, and not all of its releases agree.
        moments = [
            _SMALLEST if value is None else (value - _EPOCH) // _MICROSECOND * 1000 for value in values
        ]
        if _fit(moments):
            return pd.Series(moments, dtype="int64").astype(_TIME)
        dtype = _OBJECT
    elif dtype == _INTEGER and not _fit(values):
        dtype = _OBJECT
    return pd.Series(values, dtype=dtype)


def _fit(numbers: Sequence[Optional[int]]) -> bool:
    return all(number is None or _SMALLEST <= number <= _LARGEST for number in numbers)


def _extra_columns(extras: Sequence[Mapping[str, Any]], taken: Set[str]) -> Dict[str, Series]:
    columns = {}
    for name in sorted({name for extra in extras for name in extra}):
        values = [extra.get(name) for extra in extras]
        while name in taken:
            name = f"extra.{name}"
        taken.add(name)
        columns[name] = _series(values, _dtype_of(values))
    return columns


def _dtype_of(values: Iterable[Any]) -> str:
    """What holds all of them as they are."""
    present = [value for value in values if value is not None]
    kinds = {type(value) for value in present}
    # Go writes 1.0 as 1.
    if kinds == {int, float} and all(type(value) is float or abs(value) <= _EXACT for value in present):
        return _FLOAT
    return _DTYPES.get(kinds.pop(), _OBJECT) if len(kinds) == 1 else _OBJECT
