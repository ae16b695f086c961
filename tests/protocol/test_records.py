"""Binary frames: price records, profit records, several in one frame, and everything that is neither."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onetrade_ws import (
    PRICE_COLUMNS,
    ClientEventType,
    DecodeError,
    Event,
    EventMessageType,
    ProfitUpdate,
    Quote,
)
from onetrade_ws.protocol.codec import Codec
from tests.protocol.server_json import RECEIVED_AT, binary_frame, finite_floats


def decode(payload: bytes, columns: Sequence[str] = PRICE_COLUMNS) -> List[Event]:
    return Codec(columns).decode(binary_frame(payload))


def decode_one(payload: bytes, columns: Sequence[str] = PRICE_COLUMNS) -> Any:
    (event,) = decode(payload, columns)
    return event.data


def test_a_price_frame_is_a_quote() -> None:
    (event,) = decode(b"1,1.08,1.0802,1.0801,12,1.09,1.07")
    assert event == Event(
        EventMessageType.MARKET_FEED,
        Quote(symbol_id=1, bid=1.08, ask=1.0802, last=1.0801, volume=12.0, high=1.09, low=1.07),
        RECEIVED_AT,
        b"1,1.08,1.0802,1.0801,12,1.09,1.07",
    )


def test_a_profit_frame_is_a_profit_update() -> None:
    (event,) = decode(b"s,9007199254740993,-12.5,3")
    assert event == Event(
        EventMessageType.PROFIT_UPDATE,
        ProfitUpdate(position_id=2**53 + 1, profit=-12.5, total_profit=3.0),
        RECEIVED_AT,
        b"s,9007199254740993,-12.5,3",
    )
    assert type(event.data.total_profit) is float


OPTIONAL = PRICE_COLUMNS[3:]


@pytest.mark.parametrize("count", range(3, 8))
def test_missing_trailing_columns_are_none(count: int) -> None:
    quote = decode_one(b",".join([b"1", b"2", b"3", b"4", b"5", b"6", b"7"][:count]))
    values = [getattr(quote, name) for name in PRICE_COLUMNS]
    assert values == [1, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0][:count] + [None] * (7 - count)


@pytest.mark.parametrize("column", OPTIONAL)
def test_an_empty_optional_column_is_none_and_the_others_keep_their_places(column: str) -> None:
    values = dict(zip(PRICE_COLUMNS, ["1", "2", "3", "4", "5", "6", "7"]))
    quote = decode_one(",".join({**values, column: ""}.values()).encode())
    for name, value in values.items():
        assert getattr(quote, name) == (None if name == column else float(value))


def test_further_columns_are_kept_as_text_by_their_position() -> None:
    assert decode_one(b"1,2,3,4,5,6,7,0.1,,high").extra == {"7": "0.1", "8": "", "9": "high"}
    assert decode_one(b"s,1,2,3,USD,").extra == {"4": "USD", "5": ""}
    assert decode_one("1,2,3,4,5,6,7,Zürich".encode()).extra == {"7": "Zürich"}


def test_the_columns_may_come_in_another_order_and_with_other_names() -> None:
    columns = ("ask", "time", "symbol_id", "bid", "spread")
    quote = decode_one(b"1.2,1704164645,7,1.1,0.1,x", columns)
    assert quote == Quote(
        symbol_id=7, bid=1.1, ask=1.2, extra={"time": "1704164645", "spread": "0.1", "5": "x"}
    )


@given(
    st.permutations(PRICE_COLUMNS),
    st.dictionaries(st.sampled_from(PRICE_COLUMNS[1:]), finite_floats, min_size=6, max_size=6),
    st.integers(-(2**63), 2**63 - 1),
    st.lists(st.sampled_from(["", "x", "-1", "1.5e3", "s"]), max_size=3),
)
def test_whatever_the_order_of_the_columns_each_value_finds_its_place(
    columns: List[str], prices: Dict[str, float], symbol_id: int, further: List[str]
) -> None:
    values: Dict[str, Any] = {**prices, "symbol_id": symbol_id}
    record = ",".join([*(repr(values[name]) for name in columns), *further]).encode()
    extra = {str(7 + index): value for index, value in enumerate(further)}
    assert decode_one(record, columns) == Quote(**values, extra=extra)


@given(st.integers(-(2**63), 2**63 - 1), finite_floats, finite_floats)
def test_profits_are_read_as_they_are_written(position_id: int, profit: float, total: float) -> None:
    update = ProfitUpdate(position_id=position_id, profit=profit, total_profit=total)
    assert decode_one(f"s,{position_id},{profit!r},{total!r}".encode()) == update


def test_several_records_in_one_frame_are_events_in_their_order() -> None:
    events = decode(b"1,2,3\ns,4,5,6\r\n\n7,8,9\n")
    assert [event.data for event in events] == [
        Quote(symbol_id=1, bid=2.0, ask=3.0),
        ProfitUpdate(position_id=4, profit=5.0, total_profit=6.0),
        Quote(symbol_id=7, bid=8.0, ask=9.0),
    ]
    assert [event.raw for event in events] == [b"1,2,3", b"s,4,5,6", b"7,8,9"]
    assert {event.received_at for event in events} == {RECEIVED_AT}


def test_a_bad_record_costs_its_neighbours_nothing() -> None:
    events = decode(b"1,2,3\n1,2\nx,2,3\n4,5,6")
    assert [event.type for event in events] == [
        EventMessageType.MARKET_FEED,
        ClientEventType.DECODE_ERROR,
        ClientEventType.DECODE_ERROR,
        EventMessageType.MARKET_FEED,
    ]
    assert [event.raw for event in events] == [b"1,2,3", b"1,2", b"x,2,3", b"4,5,6"]


@pytest.mark.parametrize("payload", [b" 1 , 2 , 3 ", b"1,2,3\r", b"\n1,2,3\n\n", b"  \n1,2,3\r\n"])
def test_blanks_and_empty_lines_do_not_matter(payload: bytes) -> None:
    assert decode_one(payload) == Quote(symbol_id=1, bid=2.0, ask=3.0)


@pytest.mark.parametrize("payload", [b"", b"\n", b" ", b"\r\n \r\n"])
def test_an_empty_frame_is_an_error_with_its_bytes(payload: bytes) -> None:
    (event,) = decode(payload)
    assert event.type is ClientEventType.DECODE_ERROR
    assert (event.data.path, event.data.reason, event.raw) == ("$", "an empty frame", payload)
    assert event.data.raw == payload


WRONG: List[Tuple[bytes, str, Optional[str]]] = [
    # record, path, reason where it is worth fixing
    (b"1", "$.bid", "a short price frame: column missing"),
    (b"1,2", "$.ask", "a short price frame: column missing"),
    (b",2,3", "$.symbol_id", "expected an integer"),
    (b"1,,3", "$.bid", "expected a number"),
    (b"1,2,", "$.ask", "expected a number"),
    (b"1.0,2,3", "$.symbol_id", "expected an integer"),
    (b"1e3,2,3", "$.symbol_id", None),
    (b"+1,2,3", "$.symbol_id", None),
    (b"01,2,3", "$.symbol_id", None),
    (b"1_0,2,3", "$.symbol_id", None),
    (b"0x1,2,3", "$.symbol_id", None),
    (b"EURUSD,2,3", "$.symbol_id", None),
    (b"S,2,3,4", "$.symbol_id", None),
    (b"1" * 5000 + b",2,3", "$.symbol_id", None),
    ("١,2,3".encode(), "$.symbol_id", None),
    ("1١,2,3".encode(), "$.symbol_id", None),
    ("1,1١,3".encode(), "$.bid", None),
    ("1,1.١,3".encode(), "$.bid", None),
    ("1,1e１,3".encode(), "$.bid", None),
    (b"1\0,2,3", "$.symbol_id", None),
    (b"\xef\xbb\xbf1,2,3", "$.symbol_id", None),
    (b"1,nan,3", "$.bid", "expected a number"),
    (b"1,NaN,3", "$.bid", None),
    (b"1,inf,3", "$.bid", None),
    (b"1,Infinity,3", "$.bid", None),
    (b"1,2,-Infinity", "$.ask", None),
    (b"1,1e999,3", "$.bid", "a number too large for a float"),
    (b"1,-1e999,3", "$.bid", "a number too large for a float"),
    (b"1," + b"9" * 400 + b",3", "$.bid", "a number too large for a float"),
    (b"1,.5,3", "$.bid", None),
    (b"1,5.,3", "$.bid", None),
    (b"1,01.5,3", "$.bid", None),
    (b"1,+1.5,3", "$.bid", None),
    (b"1,1_000,3", "$.bid", None),
    (b"1,0x10,3", "$.bid", None),
    (b"1,1 5,3", "$.bid", None),
    (b"1,\t1.5,3", "$.bid", None),
    (b"1,1d5,3", "$.bid", None),
    (b"1,true,3", "$.bid", None),
    (b"1,null,3", "$.bid", None),
    (b'1,"2",3', "$.bid", None),
    (b"1;2;3", "$.symbol_id", None),
    # Only a line feed ends a record.
    (b"1,2,3\r4,5,6", "$.ask", None),
    (b"1,2,3\x0b4,5,6", "$.ask", None),
    (b"1,2,3,x", "$.last", "expected a number"),
    (b"1,2,3,4,x", "$.volume", "expected a number"),
    (b"1,2,3,4,5,x", "$.high", "expected a number"),
    (b"1,2,3,4,5,6,x", "$.low", "expected a number"),
    (b"s", "$.position_id", "a short profit frame: column missing"),
    (b"s,", "$.profit", "a short profit frame: column missing"),
    (b"s,1", "$.profit", "a short profit frame: column missing"),
    (b"s,1,2", "$.total_profit", "a short profit frame: column missing"),
    (b"s,,2,3", "$.position_id", "expected an integer"),
    (b"s,1.5,2,3", "$.position_id", "expected an integer"),
    (b"s,1,,3", "$.profit", "expected a number"),
    (b"s,1,2,", "$.total_profit", "expected a number"),
    (b"s,1,nan,3", "$.profit", "expected a number"),
    (b"s,1,2,1e999", "$.total_profit", "a number too large for a float"),
    (b"\xff,2,3", "$", "not UTF-8"),
    (b"1,2,3,4,5,6,7,\xc3", "$", "not UTF-8"),
    ("1,2,3".encode("utf-16"), "$", "not UTF-8"),
    ("1,2,3".encode("utf-16-le"), "$.symbol_id", None),
    (b'{"type":"info","data":{"message":"binary"}}', "$.symbol_id", None),
]


@pytest.mark.parametrize(
    ("record", "path", "reason"), WRONG, ids=[str(number) for number in range(len(WRONG))]
)
def test_a_wrong_record_is_refused_with_its_column_and_its_bytes(
    record: bytes, path: str, reason: Optional[str]
) -> None:
    (event,) = decode(record)
    assert event.type is ClientEventType.DECODE_ERROR, event
    assert isinstance(event.data, DecodeError)
    assert event.data.path == path
    assert event.raw == event.data.raw == record
    if reason is not None:
        assert event.data.reason == reason


def test_a_required_column_that_the_frame_does_not_reach_is_named() -> None:
    error = decode_one(b"1.1,1.2", ("bid", "ask", "last", "symbol_id"))
    assert error.path == "$.symbol_id"


@pytest.mark.parametrize("number", ["0", "-0", "-0.0", "1E5", "1e+5", "1.5e-3", "123456789.123456789"])
def test_numbers_as_json_writes_them(number: str) -> None:
    assert decode_one(f"1,{number},3".encode()).bid == float(number)


@pytest.mark.parametrize("identity", [2**31, 2**53 + 1, 2**63 - 1, 2**64 - 1])
def test_an_id_as_large_as_a_go_integer_is_exact(identity: int) -> None:
    assert decode_one(f"{identity},1,2".encode()).symbol_id == identity
    assert decode_one(f"s,{identity},1,2".encode()).position_id == identity
