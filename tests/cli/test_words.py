"""Events in words, figures, names, counts: what both views of the demo are made of."""

from __future__ import annotations

import io
import re
from typing import Any, List

import attrs
import pytest

from onetrade_ws import (
    CallbackError,
    Changes,
    ChannelType,
    ClientEventType,
    ConnectionLostError,
    ConnectionState,
    Deal,
    DirectionType,
    Event,
    EventMessageType,
    Gap,
    Journal,
    Notification,
    OneTradeClient,
    Order,
    OrderStatus,
    OrderType,
    Position,
    PositionStatus,
    ProfitUpdate,
    Quote,
    ReasonType,
    Reconnecting,
    Report,
    Resynced,
    SessionLogout,
    SideType,
    SlowConsumer,
    StateChange,
    Stats,
)
from onetrade_ws.demo import figures, wording
from onetrade_ws.demo.catalogue import simulated
from onetrade_ws.demo.lines import Lines
from onetrade_ws.demo.scenario import Scenario
from onetrade_ws.demo.tally import Tally
from onetrade_ws.simulator import Simulator

CATALOGUE = simulated()

ORDER = Order(
    id=7,
    account_id=1,
    symbol_id=3,
    type=OrderType.SELL_LIMIT,
    side=SideType.SELL,
    volume_initial=1.5,
    volume_current=0.5,
    price_order=151.2,
    price_current=151.0,
)
POSITION = Position(
    id=8,
    account_id=1,
    symbol_id=1,
    side=SideType.BUY,
    volume_initial=1,
    volume_current=0.4,
    price_open=1.1,
    price_current=1.2,
    profit=-1234.5,
)
DEAL = Deal(
    id=9,
    account_id=1,
    order_id=7,
    position_id=8,
    symbol_id=77,
    side=SideType.BUY,
    direction=DirectionType.IN,
    volume=2,
    price=0.25,
    entry=0.25,
    profit=10,
    profit_raw=10,
    commission=0,
    swap=0,
    fee=0,
    storage=0,
    market_bid=0.25,
    market_ask=0.26,
    market_last=0.25,
    reason=ReasonType.CLIENT,
    channel=ChannelType.API,
)
LOST = ConnectionLostError("cut")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (ORDER, "#7 sell limit 1.50 USDJPY at 151.200"),
        (attrs.evolve(ORDER, type=OrderType.MARKET), "#7 sell 1.50 USDJPY at 151.200"),
        (
            attrs.evolve(ORDER, status=OrderStatus.PARTIALLY_FILLED),
            "#7 sell limit 1.50 USDJPY at 151.200, partially filled, 0.50 left",
        ),
        (
            attrs.evolve(ORDER, status=OrderStatus.REJECTED, comment="off\nquotes"),
            "#7 sell limit 1.50 USDJPY at 151.200: off quotes",
        ),
        (attrs.evolve(ORDER, status=OrderStatus.REJECTED), "#7 sell limit 1.50 USDJPY at 151.200"),
        (attrs.evolve(ORDER, status=OrderStatus(42)), "#7 sell limit 1.50 USDJPY at 151.200, unknown 42"),
        (POSITION, "#8 buy 0.40 EURUSD at 1.10000, profit -1,234.50"),
        (
            attrs.evolve(POSITION, price_sl=1.05, price_tp=1.25),
            "#8 buy 0.40 EURUSD at 1.10000, stop loss 1.05000, take profit 1.25000, profit -1,234.50",
        ),
        (
            attrs.evolve(
                POSITION, status=PositionStatus.CLOSED, reason=ReasonType.STOP_LOSS, price_sl=1, profit=0.001
            ),
            "#8 buy 1.00 EURUSD at 1.10000, closed: stop loss, profit 0.00",
        ),
        (
            attrs.evolve(POSITION, status=PositionStatus.CLOSED, profit=5),
            "#8 buy 1.00 EURUSD at 1.10000, profit +5.00",
        ),
        (DEAL, "#9 buy 2.00 #77 at 0.25, in position #8"),
        (
            attrs.evolve(DEAL, direction=DirectionType.OUT),
            "#9 buy 2.00 #77 at 0.25, out of position #8, profit +10.00",
        ),
        (attrs.evolve(DEAL, side=SideType.BALANCE, comment="gift"), "#9 balance +10.00 gift"),
        (attrs.evolve(DEAL, side=SideType.CREDIT), "#9 credit +10.00"),
        (Quote(symbol_id=3, bid=151.2, ask=151.215), "USDJPY bid 151.200 ask 151.215 spread 15"),
        (Quote(symbol_id=77, bid=0.1, ask=0.2), "#77 bid 0.1 ask 0.2"),
        (ProfitUpdate(position_id=8, profit=1, total_profit=-0.5), "#8 +1.00, total -0.50"),
        (StateChange(old=ConnectionState.OPEN, new=ConnectionState.CLOSING), "CLOSING, was OPEN"),
        (
            StateChange(old=ConnectionState.OPEN, new=ConnectionState.CONNECTING, reason=LOST),
            "CONNECTING, was OPEN: the connection was lost: cut",
        ),
        (
            Reconnecting(attempt=2, delay=0.5, reason=LOST),
            "attempt 2 in 0.50 s: the connection was lost: cut",
        ),
        (Journal(id=1, user_id=1, desc="done", ip="", device="", os="", channel=ChannelType.WEB), "done"),
        (
            Report(
                id=4, user_id=1, type=1, status=1, kind="deals", desc="all", query="", url="https://secret"
            ),
            "#4 deals: all",
        ),
        (Notification(type=EventMessageType.INFO, message="\x1b[2J hello"), " [2J hello"),
        (SessionLogout(session_id="secret"), "a session was logged out from another place"),
        (Resynced(), "nothing there yet"),
        (Resynced(orders=Changes(appeared=(ORDER, ORDER))), "orders: 2 new"),
        (Resynced(started_at=1.0), "missed nothing"),
        (
            Resynced(
                started_at=1.0,
                orders=Changes(appeared=(ORDER,), changed=((ORDER, ORDER),)),
                positions=Changes(vanished=(POSITION,)),
            ),
            "missed orders: 1 new, 1 changed; positions: 1 gone",
        ),
        (SlowConsumer(queued_bytes=2000, limit=1000), "2,000 bytes wait, reading has stopped"),
        (LOST, "the connection was lost: cut"),
        (None, ""),
        ({"a": [1]}, '{"a": [1]}'),
        ("x" * 500, '"' + "x" * 199),
    ],
)
def test_what_events_say(data: Any, words: str) -> None:
    assert wording.describe(Event(EventMessageType.INFO, data), CATALOGUE) == words


def test_what_a_gap_and_a_callback_error_say() -> None:
    gap = Gap(started_at=1000.25, ended_at=1002.75, reason=LOST)
    words = wording.describe(Event(ClientEventType.GAP, gap), CATALOGUE)
    assert re.fullmatch(
        r"deaf for 2\.50 s, \d\d:\d\d:40\.250 to \d\d:\d\d:42\.750: the connection was lost: cut", words
    )
    failure = CallbackError(event=Event("x"), callback=print, error=ValueError("no"))
    words = wording.describe(Event(ClientEventType.CALLBACK_ERROR, failure), CATALOGUE)
    assert words == "<built-in function print> raised ValueError('no')"


def test_every_type_of_event_has_a_name() -> None:
    types: List[Any] = [*EventMessageType, *ClientEventType]
    names = [wording.kind(event_type) for event_type in types]
    assert len(set(names)) == len(types)
    assert wording.kind(EventMessageType.MARKET_SUBSCRIBE_SYMBOL) == "market subscribe symbol"
    assert wording.kind("brand_new\n") == "brand new "


def test_figures() -> None:
    assert [figures.money(amount) for amount in (1234567.891, -0.004, 0, -2)] == [
        *("+1,234,567.89", "0.00", "0.00", "-2.00"),
    ]
    assert figures.price(1.1, 5) == "1.10000"
    assert figures.price(1.1, None) == "1.1"
    assert figures.points(1.1, 1.10008, 5) == "8"
    assert figures.points(1.1, 1.2, None) == ""
    assert figures.milliseconds(None) == "-"
    assert figures.milliseconds(0.0012) == "1.20 ms"
    assert figures.count(1, "event") == "1 event"
    assert figures.count(1000, "event") == "1,000 events"
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.999", figures.clock(1.9999))


def test_symbols_by_name_and_id() -> None:
    assert CATALOGUE.choose("eurusd,9, XAUUSD") == (1, 9)
    assert CATALOGUE.price(1, None) == ""
    with pytest.raises(ValueError, match="did you mean XAUUSD or XAGUSD"):
        CATALOGUE.choose("XAUSD")


class Latin(io.StringIO):
    encoding = "latin-1"


def test_quotes_and_profits_are_thinned_out_and_nothing_else() -> None:
    out = Latin()
    lines = Lines(out, CATALOGUE)
    for second in range(11):
        for symbol_id in (1, 3):
            quote = Quote(symbol_id=symbol_id, bid=1, ask=2)
            lines.add(Event(EventMessageType.MARKET_FEED, quote, 1000.0 + second))
        profit = ProfitUpdate(position_id=8, profit=1, total_profit=1)
        lines.add(Event(EventMessageType.PROFIT_UPDATE, profit, 1000.0 + second))
        notification = Notification(type=EventMessageType.INFO, message="né 日")
        lines.add(Event(EventMessageType.INFO, notification, 1000.0 + second))
    # The clock was set back.
    lines.add(Event(EventMessageType.MARKET_FEED, Quote(symbol_id=1, bid=1, ask=2), 900.0))
    written = out.getvalue().splitlines()
    assert sum(" quote " in line for line in written) == 2 * 3 + 1
    assert sum(" profit " in line for line in written) == 3
    assert [line.split("  ", 2)[2].split() for line in written if " info " in line] == [["né", "?"]] * 11


def test_lines_end_on_time_when_nothing_comes(simulator: Simulator) -> None:
    ticks = iter(range(1000))
    out = Latin()
    with OneTradeClient(simulator.ws_url, api_key=simulator.api_key) as client:
        scenario = Scenario(
            simulator, (), duration=5.0, steady=True, recovered=lambda: False, now=lambda: float(next(ticks))
        )
        with client.events("never", timeout=0.001) as stream:
            Lines(out, CATALOGUE).watch(stream, scenario)
    assert next(ticks) == 6
    assert out.getvalue() == ""


def make_stats(**changes: Any) -> Stats:
    values = dict.fromkeys((field.name for field in attrs.fields(Stats)), 0)
    return Stats(**{**values, "events": {}, "heartbeat_round_trip": None, **changes})


def test_a_summary_of_nothing() -> None:
    assert Tally().summary(make_stats(), 0.0) == [
        *("", "Summary: 0 events in 0.0 s, 0.0 a second", "", ""),
        *(
            "latency from socket to callback: nothing arrived",
            "0 reconnects",
            "0 decode errors, 0 callback errors",
        ),
    ]


def test_a_summary() -> None:
    tally = Tally(now=lambda: 100.0)
    for index in range(100):
        tally.add(Event("news", received_at=100.0 - index / 1000))
    tally.add(Event(EventMessageType.INFO, received_at=200.0))  # the clock was set back
    tally.add(Event(ClientEventType.STATE_CHANGED, received_at=0.0))
    for started in (1000.0, 2000.0):
        gap = Gap(started_at=started, ended_at=started + 1.5, reason=LOST)
        tally.add(Event(ClientEventType.GAP, gap))
    counted = {
        "unknown": 1,
        ClientEventType.GAP: 2,
        EventMessageType.MARKET_FEED: 1234,
        EventMessageType.DEALS_CREATE: 3,
    }
    lines = tally.summary(make_stats(events=counted, connections=3, decode_errors=1), 2.0)
    assert lines[1] == "Summary: 1,240 events in 2.0 s, 620.0 a second"
    assert [line.split() for line in lines[3:5]] == [
        ["1,234", "quote", "2", "GAP"],
        ["3", "deal", "1", "unknown"],
    ]
    assert lines[6] == "latency from socket to callback: median 49.00 ms, p99 98.00 ms"
    assert lines[7].startswith("2 reconnects, 2 gaps: deaf for 3.00 s, the last time ")
    assert lines[8] == "1 decode error, 0 callback errors"


def test_the_scenario_waits_for_the_way_back_but_not_for_ever(simulator: Simulator) -> None:
    clock, back = [0.0], [False]
    with OneTradeClient(simulator.ws_url, api_key=simulator.api_key, reconnect=None) as client:
        scenario = Scenario(
            simulator, (1,), duration=30.0, steady=False, recovered=lambda: back[0], now=lambda: clock[0]
        )
        assert scenario.proceed()
        assert simulator.connections == 1
        clock[0] = 10.0
        assert scenario.proceed()
        with pytest.raises(ConnectionLostError):
            client.wait(20)
        assert scenario.proceed()
        clock[0] = 31.0
        assert scenario.elapsed == 31.0
        assert scenario.proceed()
        clock[0] = 41.0
        assert not scenario.proceed()
        clock[0], back[0] = 31.0, True
        assert not scenario.proceed()
    assert simulator.connections_total == 1
