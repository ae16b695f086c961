"""The enumerations hold the documented values, and a number that is in no table stays a number."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any, List, Mapping, Type

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onetrade_ws import (
    ClientEventType,
    ConnectionState,
    EventMessageType,
    OrderStatus,
    OrderType,
    PositionStatus,
    SideType,
)
from onetrade_ws.protocol.enums import OpenIntEnum
from tests.protocol.server_json import ENUMERATIONS

# The vendor SDK's words, in the order of their numbers.
WORDS: Mapping[str, str] = {
    "OrderType": "market, buy limit, buy stop, sell limit, sell stop, buy stop limit, sell stop limit",
    "SideType": "buy, sell, balance, credit",
    "OrderStatus": "placed, started, partially filled, filled, canceled, rejected, expired, requoted",
    "PositionStatus": "open, closing, closed",
    "ReasonType": "client, script, dealer, stop loss, take profit, take profit/stop loss, stop out, rollover, "
    "external client, variation margin, gateway, signal, settlement, transfer, synchronization, external service, "
    "mobile, web, split, migration",
    "DirectionType": "in, out",
    "ChannelType": "mobile, web, desktop, api, script, system, sdk",
    "SymbolStatus": "enabled, disabled, trade closed quote closed, trade closed quote open, trade open quote closed, "
    "timed out, time limit expired",
}

# The specification's own enumeration, the four that its text describes besides, and our two names for binary frames.
WIRE_TYPES = {
    "INFO": "info",
    "ERROR": "error",
    "PING": "ping",
    "PONG": "pong",
    "SESSION_LOGOUT": "session_logout",
    "MARKET_SUBSCRIBE_SYMBOL": "market_subscribe_symbol",
    "MARKET_UNSUBSCRIBE_SYMBOL": "market_unsubscribe_symbol",
    "START_ACCOUNT_ALL": "start_account_all",
    "STOP_ACCOUNT_ALL": "stop_account_all",
    "ORDERS_PLACE": "orders_place",
    "ORDERS_UPDATE": "orders_update",
    "ORDERS_CANCEL": "orders_cancel",
    "ORDERS_EXPIRED": "orders_expired",
    "ORDERS_REJECTED": "orders_rejected",
    "ORDERS_REQUOTED": "dealing_order_requote",
    "POSITIONS_OPEN": "positions_open",
    "POSITIONS_UPDATE": "positions_update",
    "POSITIONS_CLOSE": "positions_close",
    "DEALS_CREATE": "deals_create",
    "DEALS_UPDATE": "deals_update",
    "JOURNAL_CREATE": "journal_create",
    "REPORT_CREATE": "report_create",
    "MARKET_FEED": "market_feed",
    "PROFIT_UPDATE": "profit_update",
}

INTEGER_ENUMERATIONS = list(ENUMERATIONS.values())


def test_the_event_types_are_the_documented_ones() -> None:
    assert {member.name: member.value for member in EventMessageType} == WIRE_TYPES


@pytest.mark.parametrize("name", sorted(ENUMERATIONS))
def test_an_enumeration_holds_the_documented_values(name: str) -> None:
    words = [word.strip().replace(" ", "_").replace("/", "_").upper() for word in WORDS[name].split(",")]
    assert [(member.name, member.value) for member in ENUMERATIONS[name]] == list(
        zip(words, range(len(words)))
    )


@pytest.mark.parametrize("enumeration", INTEGER_ENUMERATIONS)
@given(number=st.integers(-(2**80), 2**80))
def test_any_number_makes_a_member_that_keeps_it(enumeration: Type[OpenIntEnum], number: int) -> None:
    member = enumeration(number)
    known = number in {each.value for each in enumeration}
    assert isinstance(member, enumeration)
    assert member == number == int(member) == member.value
    assert hash(member) == hash(number)
    assert {number: "found"}[member] == "found"
    assert member.known is known
    assert (member.name == f"UNKNOWN_{number}") is not known
    assert json.dumps([member]) == f"[{number}]"
    assert str(member) == f"{member}" == f"{enumeration.__name__}.{member.name}"
    assert str(number) in repr(member)
    assert enumeration.__name__ in repr(member)


@pytest.mark.parametrize("enumeration", INTEGER_ENUMERATIONS)
@pytest.mark.parametrize("number", [0, 99, -1])
def test_a_member_can_be_copied_and_pickled(enumeration: Type[OpenIntEnum], number: int) -> None:
    member = enumeration(number)
    twins: List[Any] = [copy.copy(member), copy.deepcopy(member)]
    twins += [pickle.loads(pickle.dumps(member, protocol)) for protocol in range(2, 6)]  # noqa: S301
    for twin in twins:
        assert twin == member
        assert type(twin) is enumeration
        assert (twin.name, twin.known) == (member.name, member.known)


def test_unknown_numbers_are_not_collected() -> None:
    before = list(OrderType)
    for number in range(1000, 3000):
        assert not OrderType(number).known
    assert list(OrderType) == before
    assert len(OrderType._value2member_map_) == len(before)


def test_unknown_members_compare_by_their_number() -> None:
    assert SideType(9) == SideType(9)
    assert SideType(9) != SideType(8)
    assert SideType(9) > SideType.CREDIT
    assert len({SideType(9), SideType(9), SideType(8)}) == 2


@pytest.mark.parametrize("value", ["0", "BUY", 0.5, None, (0,), "UNKNOWN_9"])
def test_what_is_no_number_makes_no_member(value: Any) -> None:
    with pytest.raises(ValueError, match="is not a valid SideType"):
        SideType(value)


@pytest.mark.parametrize(
    ("member", "spec", "text"),
    [
        (SideType.SELL, "", "SideType.SELL"),
        (SideType.SELL, "d", "1"),
        (SideType.SELL, "03d", "001"),
        (SideType.SELL, "x", "1"),
        (SideType.SELL, ">14", " SideType.SELL"),
        (SideType.SELL, "<14s", "SideType.SELL "),
        (SideType(99), "", "SideType.UNKNOWN_99"),
        (SideType(99), "x", "63"),
        (SideType(99), "n", "99"),
        (EventMessageType.ORDERS_REQUOTED, "", "EventMessageType.ORDERS_REQUOTED"),
        (EventMessageType.INFO, ">22", " EventMessageType.INFO"),
    ],
)
def test_format_is_the_same_on_every_python(member: Any, spec: str, text: str) -> None:
    assert format(member, spec) == text


@pytest.mark.parametrize("member", EventMessageType)
def test_an_event_type_is_its_wire_name(member: EventMessageType) -> None:
    assert member == member.value
    assert hash(member) == hash(member.value)
    assert EventMessageType(member.value) is member
    assert json.dumps(member) == f'"{member.value}"'
    assert str(member) == f"EventMessageType.{member.name}"
    assert pickle.loads(pickle.dumps(member)) is member  # noqa: S301


def test_the_clients_own_types_are_no_strings_so_that_no_server_can_forge_them() -> None:
    for member in ClientEventType:
        forged: Any = member.value
        assert member != forged
        assert not isinstance(member, str)
    assert not {member.value for member in ClientEventType} & {member.value for member in EventMessageType}


def test_the_states_are_those_of_the_specification() -> None:
    assert [member.name for member in ConnectionState] == ["CONNECTING", "OPEN", "CLOSING", "CLOSED"]


def test_pending_and_open_of_the_specification_are_zero() -> None:
    assert (OrderStatus.PLACED, PositionStatus.OPEN) == (0, 0)
