"""Frames hold what the models hold: each value, exactly, with dtypes that do not depend on what there is."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any, Dict, List, Mapping, Optional, Tuple

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onetrade_ws import (
    Candle,
    Deal,
    EventMessageType,
    Journal,
    Notification,
    Order,
    OrderStatus,
    OrderType,
    Position,
    ProfitUpdate,
    Quote,
    Report,
    SessionLogout,
    SideType,
    Symbol,
    TradingAccount,
    to_frame,
)
from tests.protocol.server_json import finite_floats, integers, json_values, objects, texts

pd = pytest.importorskip("pandas", reason="not run: pandas is not installed")

UTC = timezone.utc
INT, FLOAT, TEXT, TIME, ANY = "Int64", "float64", "string", "datetime64[ns, UTC]", "object"

# Written down here a second time on purpose. The first is the index; "-": rows are numbered.
COLUMNS: Mapping[type, str] = {
    Order: """
        id:Int account_id:Int symbol_id:Int symbol:Text type:Text side:Text volume_initial:Float volume_current:Float
        price_order:Float price_current:Float price_sl:Float price_tp:Float status:Text reason:Text comment:Text
        external_id:Text created_at:Time updated_at:Time time_setup:Time time_expiration:Time time_done:Time
    """,
    Position: """
        id:Int account_id:Int symbol_id:Int symbol:Text side:Text volume_initial:Float volume_current:Float
        price_open:Float price_current:Float price_sl:Float price_tp:Float profit:Float total_profit:Float
        swaps:Float storage:Float status:Text reason:Text comment:Text external_id:Text created_at:Time
        updated_at:Time
    """,
    Deal: """
        id:Int account_id:Int order_id:Int position_id:Int symbol_id:Int symbol:Text side:Text direction:Text
        volume:Float price:Float entry:Float profit:Float profit_raw:Float commission:Float swap:Float fee:Float
        storage:Float market_bid:Float market_ask:Float market_last:Float reason:Text channel:Text comment:Text
        external_id:Text created_at:Time updated_at:Time
    """,
    Journal: """
        id:Int user_id:Int desc:Text ip:Text device:Text os:Text channel:Text created_at:Time
    """,
    Report: """
        id:Int user_id:Int type:Any status:Any kind:Text desc:Text query:Text url:Text
    """,
    Symbol: """
        id:Int symbol:Text desc:Text base_currency:Text quote_currency:Text digits:Int contract_size:Float
        tick_size:Float tick_value:Float min_value:Float max_value:Float step:Float spread:Float stop_level:Float
        swap_long:Float swap_short:Float status:Text trade_level:Any enabled:Any isin:Text
    """,
    TradingAccount: """
        id:Int user_id:Int currency:Text digits_currency:Int leverage:Float balance:Float credit:Float profit:Float
        equity:Float margin:Float margin_free:Float margin_level:Float
    """,
    Quote: """
        symbol_id:Int bid:Float ask:Float last:Float volume:Float high:Float low:Float
    """,
    Candle: """
        time:Time open:Float high:Float low:Float close:Float volume:Float
    """,
    Notification: """
        - type:Text message:Text
    """,
}
DTYPES = {"Int": INT, "Float": FLOAT, "Text": TEXT, "Time": TIME, "Any": ANY}

MODELS = list(COLUMNS)
# Of each model, and each a frame of twenty columns.
FEW = settings(max_examples=25)
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)


def expected_columns(model: type) -> List[Tuple[str, str]]:
    """Names and dtypes of the columns behind the index."""
    return [
        (name, DTYPES[kind]) for name, _, kind in (word.partition(":") for word in COLUMNS[model].split()[1:])
    ]


def key_of(model: type) -> Optional[str]:
    first = COLUMNS[model].split()[0]
    return None if first == "-" else first.partition(":")[0]


# -- what goes in -------------------------------------------------------------------------------------------------

# What datetime64[ns] holds, and a little less.
ordinary_times = st.datetimes(datetime(1677, 9, 23), datetime(2262, 4, 10)).map(  # noqa: DTZ001 - its zone follows
    lambda moment: moment.replace(tzinfo=UTC)
)
any_times = st.datetimes().flatmap(
    lambda moment: st.integers(-(24 * 60 - 1), 24 * 60 - 1).map(
        lambda minutes: moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    )
)
ordinary_integers = st.integers(-(2**63), 2**63 - 1)

_FLAT: Mapping[type, Dict[str, Any]] = {
    Candle: {"time": any_times, **dict.fromkeys(("open", "high", "low", "close"), finite_floats)},
    Quote: {"symbol_id": integers, "bid": finite_floats, "ask": finite_floats},
    Notification: {
        "type": st.sampled_from([EventMessageType.INFO, EventMessageType.ERROR]),
        "message": texts,
    },
    TradingAccount: {},
}
_OPTIONAL: Mapping[type, Dict[str, Any]] = {
    Candle: {"volume": finite_floats},
    Quote: dict.fromkeys(("last", "volume", "high", "low"), finite_floats),
    Notification: {},
    TradingAccount: {
        **dict.fromkeys(("id", "user_id", "digits_currency"), integers),
        "currency": texts,
        **dict.fromkeys(
            ("leverage", "balance", "credit", "profit", "equity", "margin", "margin_free", "margin_level"),
            finite_floats,
        ),
    },
}


def instances(model: Any) -> st.SearchStrategy[Any]:
    """Any object of the model that the server can make."""
    if model not in _FLAT:
        return objects(model).map(lambda pair: pair[1])
    fields = {name: st.none() | strategy for name, strategy in _OPTIONAL[model].items()}
    extra = st.dictionaries(texts, texts if model is Quote else json_values, max_size=2)
    return st.builds(model, **_FLAT[model], **fields, extra=extra)


def in_range(value: object) -> bool:
    """Whether the dtype of such a field holds it."""
    if isinstance(value, datetime):
        nanoseconds = (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
        return -(2**63) < nanoseconds < 2**63
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def in_words(value: object) -> object:
    """What a frame says of a field's value that its dtype holds."""
    if isinstance(value, Symbol):
        return value.symbol
    return value.name if isinstance(value, Enum) else value


def column(frame: Any, name: str) -> Any:
    return frame.index if name == frame.index.name else frame[name]


def assert_holds(frame: Any, name: str, dtype: str, values: List[Any]) -> None:
    """A column holds exactly these, in their order."""
    found = column(frame, name)
    if dtype == TEXT:
        values = [in_words(value) for value in values]
    elif not all(in_range(value) for value in values):
        dtype = ANY
    assert str(found.dtype) == dtype
    assert len(found) == len(values)
    for there, value in zip(found, values):
        if dtype == ANY:
            # Itself, not something that is equal to it: 1 is not True.
            assert there is value or (type(there), there) == (type(value), value)
        elif value is None:
            assert pd.isna(there)
        elif dtype == TIME:
            assert there == pd.Timestamp(value)
            assert (there.to_pydatetime(), there.nanosecond) == (value, 0)
            assert there.utcoffset() == timedelta(0)
        else:
            assert there == value


# -- any objects --------------------------------------------------------------------------------------------------


@each_model
@FEW
@given(data=st.data())
def test_whatever_goes_in_comes_out(model: Any, data: st.DataObject) -> None:
    given_objects = data.draw(st.lists(instances(model), max_size=4))
    frame = to_frame(given_objects, model)
    assert len(frame) == len(given_objects)
    assert list(frame.columns) == [name for name, _ in expected_columns(model)]
    key = key_of(model)
    if key is None:
        assert frame.index.name is None
        assert list(frame.index) == list(range(len(given_objects)))
    else:
        assert_holds(frame, key, TIME if key == "time" else INT, [getattr(row, key) for row in given_objects])
    for name, dtype in expected_columns(model):
        assert_holds(frame, name, dtype, [getattr(row, name) for row in given_objects])


@each_model
def test_every_field_has_its_column(model: Any) -> None:
    names = [name for name, _ in expected_columns(model)]
    key = key_of(model)
    fields = [field.name for field in attrs.fields(model)]
    assert {*names, "extra"} | ({key} - {None}) == set(fields)
    assert names == [field for field in fields if field in names]


@each_model
def test_an_empty_one_has_the_same_dtypes(model: Any) -> None:
    frame = to_frame([], model)
    assert len(frame) == 0
    assert [(name, str(dtype)) for name, dtype in frame.dtypes.items()] == expected_columns(model)
    key = key_of(model)
    assert frame.index.name == key
    assert str(frame.index.dtype) == {None: "int64", "time": TIME}.get(key, INT)


@each_model
@FEW
@given(data=st.data())
def test_an_empty_one_and_others_can_be_concatenated(model: Any, data: st.DataObject) -> None:
    first, second = (to_frame(data.draw(st.lists(instances(model), max_size=3)), model) for _ in range(2))
    together = pd.concat([to_frame([], model), first, second])
    assert len(together) == len(first) + len(second)
    for name, dtype in expected_columns(model):
        # Of objects pandas may find another one.
        if ANY not in (str(frame[name].dtype) for frame in (first, second)):
            assert str(together[name].dtype) == dtype


# -- numbers, times, names ----------------------------------------------------------------------------------------


def order(identity: int = 1, **changes: Any) -> Order:
    values = {
        "account_id": 7,
        "symbol_id": 1,
        "type": OrderType.BUY_LIMIT,
        "side": SideType.BUY,
        "volume_initial": 1.0,
        "volume_current": 1.0,
        "price_order": 1.1,
        "price_current": 1.2,
    }
    return Order(id=identity, **{**values, **changes})


def candle(moment: datetime) -> Candle:
    return Candle(time=moment, open=1.0, high=2.0, low=0.5, close=1.5)


def test_ids_that_a_float_would_round() -> None:
    numbers = [2**53, 2**53 + 1, 2**63 - 1, -(2**63), 2**62 + 1]
    frame = to_frame([order(number, symbol_id=number) for number in numbers], Order)
    assert (str(frame.index.dtype), list(frame.index)) == (INT, numbers)
    assert (str(frame["symbol_id"].dtype), list(frame["symbol_id"])) == (INT, numbers)
    assert frame.loc[2**53 + 1, "symbol_id"] == 2**53 + 1
    # With one that is missing among them.
    digits = [2**53 + 1, None, 2**53 + 3]
    found = to_frame([Symbol(id=1, symbol="A", digits=each) for each in digits], Symbol)["digits"]
    assert (str(found.dtype), found.isna().tolist()) == (INT, [False, True, False])
    assert (found.iloc[0], found.iloc[2]) == (digits[0], digits[2])


@pytest.mark.parametrize("number", [2**63, 2**64 - 1, -(2**63) - 1, 2**70])
def test_an_integer_that_has_no_room(number: int) -> None:
    frame = to_frame([order(1, symbol_id=3), order(number, symbol_id=number)], Order)
    for found, first in ((frame.index, 1), (frame["symbol_id"], 3)):
        assert found.dtype == object
        assert list(found) == [first, number]
        assert [type(each) for each in found] == [int, int]
    assert str(frame["account_id"].dtype) == INT


MICROSECOND = timedelta(microseconds=1)
FIRST = datetime(1677, 9, 21, 0, 12, 43, 145225, tzinfo=UTC)
LAST = datetime(2262, 4, 11, 23, 47, 16, 854775, tzinfo=UTC)


def test_the_first_and_the_last_time_that_have_room() -> None:
    frame = to_frame([candle(FIRST), candle(LAST)])
    assert str(frame.index.dtype) == TIME
    assert [each.to_pydatetime() for each in frame.index] == [FIRST, LAST]


@pytest.mark.parametrize(
    "moment",
    [
        FIRST - MICROSECOND,
        LAST + MICROSECOND,
        datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
        # In UTC they are in a year that Python does not know.
        datetime.min.replace(tzinfo=timezone(timedelta(hours=5))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))),
    ],
    ids=str,
)
def test_a_time_that_has_no_room_is_neither_lost_nor_another_one(moment: datetime) -> None:
    frame = to_frame([order(1), order(2, time_expiration=moment), order(3, time_expiration=LAST)], Order)
    assert frame["time_expiration"].dtype == object
    assert list(frame["time_expiration"]) == [None, moment, LAST]
    assert str(frame["created_at"].dtype) == TIME
    assert list(to_frame([candle(moment)]).index) == [moment]


def test_times_are_in_utc_whatever_their_offset() -> None:
    offset = timezone(timedelta(hours=5, minutes=30))
    moment = datetime(2024, 5, 6, 7, 8, 9, 123457, tzinfo=offset)
    (found,) = to_frame([order(created_at=moment)], Order)["created_at"]
    assert found == moment
    assert str(found) == "2024-05-06 01:38:09.123457+00:00"


@given(moment=ordinary_times)
def test_a_time_to_the_microsecond(moment: datetime) -> None:
    (found,) = to_frame([candle(moment)]).index
    assert (found.to_pydatetime(), found.nanosecond) == (moment, 0)


def test_enumerations_are_names() -> None:
    unknown = OrderStatus(42)
    frame = to_frame([order(1, status=OrderStatus.FILLED), order(2, status=unknown), order(3)], Order)
    assert list(frame["status"]) == ["FILLED", "UNKNOWN_42", "PLACED"]
    assert list(frame[frame["side"] == "BUY"].index) == [1, 2, 3]
    assert list(frame["reason"].isna()) == [True, True, True]


def test_a_symbol_is_its_name_and_may_be_absent() -> None:
    frame = to_frame([order(1, symbol=Symbol(id=1, symbol="EURUSD", digits=5)), order(2)], Order)
    assert frame.loc[1, "symbol"] == "EURUSD"
    assert frame.loc[2, "symbol"] is pd.NA


def test_orders_join_their_symbols() -> None:
    first, second = 2**53 + 1, 2**53
    symbols = to_frame([Symbol(id=first, symbol="A", digits=5), Symbol(id=second, symbol="B")], Symbol)
    orders = to_frame([order(1, symbol_id=second), order(2, symbol_id=first)], Order)
    joined = orders.join(symbols[["digits"]], on="symbol_id")
    assert (joined.loc[2, "digits"], joined.loc[1, "digits"]) == (5, pd.NA)


def test_candles_can_be_resampled() -> None:
    start = datetime(2024, 5, 6, tzinfo=UTC)
    frame = to_frame([candle(start + timedelta(minutes=number)) for number in range(120)])
    assert list(frame.resample("60min")["high"].count()) == [60, 60]


# -- what is documented nowhere -----------------------------------------------------------------------------------


def test_what_is_documented_nowhere_is_no_column_unless_asked_for() -> None:
    given_orders = [order(extra={"magic": 1})]
    assert list(to_frame(given_orders, Order).columns) == [name for name, _ in expected_columns(Order)]
    frame = to_frame(given_orders, Order, extra=True)
    assert list(frame.columns) == [*(name for name, _ in expected_columns(Order)), "magic"]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([2**53 + 1, None, -1], "Int64"),
        ([1.5, None, -1.0], "float64"),
        ([1, 2.5, 2**53], "float64"),
        ([True, None, False], "boolean"),
        (["a", None, ""], "string"),
        ([2**53 + 1, 2.5], ANY),
        ([2**64, 1], ANY),
        ([True, 1], ANY),
        (["a", 1], ANY),
        ([[1, 2], [3, 4]], ANY),
        ([{"a": 1}, {}], ANY),
        ([None, None], ANY),
    ],
    ids=str,
)
def test_such_a_column_has_the_dtype_that_holds_its_values(values: List[Any], dtype: str) -> None:
    frame = to_frame(
        [order(number, extra={"x": each}) for number, each in enumerate(values)], Order, extra=True
    )
    found = frame["x"]
    assert str(found.dtype) == dtype
    for there, value in zip(found, values):
        if value is None:
            assert pd.isna(there)
        else:
            assert there == value
            assert dtype != ANY or type(there) is type(value)


def test_such_columns_are_in_the_order_of_their_names_and_may_have_gaps() -> None:
    given_orders = [order(1, extra={"z": 1, "b": "x"}), order(2), order(3, extra={"a": True, "z": 3})]
    frame = to_frame(given_orders, Order, extra=True)
    assert list(frame.columns)[-3:] == ["a", "b", "z"]
    assert frame["z"].tolist() == [1, pd.NA, 3]
    assert frame["a"].tolist() == [pd.NA, pd.NA, True]


def test_a_name_that_is_taken_gets_a_prefix() -> None:
    extra = {"bid": "x", "symbol_id": "y", "extra.bid": "z", "extra": "v", "7": "w"}
    quote = Quote(symbol_id=1, bid=1.0, ask=2.0, extra=extra)
    frame = to_frame([quote], Quote, extra=True)
    taken = [name for name, _ in expected_columns(Quote)]
    assert list(frame.columns) == [*taken, "7", "extra.bid", "extra", "extra.extra.bid", "extra.symbol_id"]
    assert frame.iloc[0, len(taken) :].tolist() == ["w", "x", "v", "z", "y"]
    assert (frame.index.tolist(), frame["bid"].tolist()) == ([1], [1.0])


@each_model
@FEW
@given(data=st.data())
def test_nothing_of_it_is_lost(model: Any, data: st.DataObject) -> None:
    given_objects = data.draw(st.lists(instances(model), max_size=4))
    plain, frame = (to_frame(given_objects, model, extra=extra) for extra in (False, True))
    names = sorted({name for each in given_objects for name in each.extra})
    assert len(frame.columns) == len(plain.columns) + len(names)
    assert len(set(frame.columns)) == len(frame.columns)
    pd.testing.assert_frame_equal(frame[list(plain.columns)], plain)
    for position, name in enumerate(names, len(plain.columns)):
        for there, row in zip(frame.iloc[:, position], given_objects):
            value = row.extra.get(name)
            if value is None:
                assert there is None or pd.isna(there)
            else:
                assert there == value


# -- what is asked for --------------------------------------------------------------------------------------------


def test_a_mapping_gives_its_values() -> None:
    frame = to_frame({5: order(5), 3: order(3)}, Order)
    assert list(frame.index) == [5, 3]


def test_an_iterator_will_do() -> None:
    assert list(to_frame((order(number) for number in (2, 1)), Order).index) == [2, 1]


def test_without_a_model_they_are_candles() -> None:
    pd.testing.assert_frame_equal(to_frame([]), to_frame([], Candle))
    with pytest.raises(
        TypeError, match=r"^Order is not Candle, of which the frame is to be: say to_frame\(…, Order\)$"
    ):
        to_frame([order()])
    with pytest.raises(TypeError, match=r"^int is not Candle, of which the frame is to be$"):
        to_frame([5])


@pytest.mark.parametrize("model", [ProfitUpdate, SessionLogout, dict, "Order", None])
def test_of_some_there_are_no_frames(model: Any) -> None:
    with pytest.raises(TypeError, match=r"no frame of .*: TradingAccount, Order, Position, .*Candle"):
        to_frame([], model)


def test_what_is_in_it_can_be_changed_and_nothing_else_changes() -> None:
    given_orders = [order(1), order(2)]
    frame = to_frame(given_orders, Order)
    frame.loc[1, "price_order"] = 9.0
    assert given_orders[0].price_order == 1.1
    assert to_frame(given_orders, Order).loc[1, "price_order"] == 1.1
