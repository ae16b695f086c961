"""Every message that the server may send, over a real socket to an observer: typed data, raw bytes, time."""

from __future__ import annotations

import json
import queue
import time
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

import attrs
import pytest

from onetrade_ws import (
    ChannelType,
    ClientEventType,
    Deal,
    DirectionType,
    Event,
    EventMessageType,
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
    Report,
    SessionLogout,
    SideType,
    Symbol,
    SymbolStatus,
)
from onetrade_ws.simulator import Simulator
from tests.client.conftest import MakeClient
from tests.client.conversation import TIMEOUT, account_updates_started, catch_up, everything_sent

# -- what the specification shows, as the server would write it ---------------------------------------------

SYMBOL_TEXT = (
    '{"id":1,"symbol":"EURUSD","desc":"Euro","base_currency":"EUR","quote_currency":"USD","digits":5,'
    '"contract_size":100000,"tick_size":0.00001,"status":0,"margin_mode":2}'
)
SYMBOL = Symbol(
    id=1,
    symbol="EURUSD",
    desc="Euro",
    base_currency="EUR",
    quote_currency="USD",
    digits=5,
    contract_size=100_000.0,
    tick_size=0.00001,
    status=SymbolStatus.ENABLED,
    extra={"margin_mode": 2},
)

ORDER_TEXT = (
    '{"id":9007199254740993,"account_id":7,"symbol_id":1,"symbol":' + SYMBOL_TEXT + ',"type":1,"side":0,'
    '"volume_initial":1,"volume_current":0.5,"price_order":1.08,"price_current":1.085,"price_sl":null,'
    '"price_tp":1.1,"status":2,"reason":0,"comment":"grün","external_id":"x-1",'
    '"created_at":"2024-05-06T07:08:09.123456Z","updated_at":"","time_setup":"2024-05-06T09:08:09+02:00",'
    '"time_expiration":"0001-01-01T00:00:00Z","time_done":null,"position_id":5}'
)
ORDER = Order(
    id=9007199254740993,
    account_id=7,
    symbol_id=1,
    symbol=SYMBOL,
    type=OrderType.BUY_LIMIT,
    side=SideType.BUY,
    volume_initial=1.0,
    volume_current=0.5,
    price_order=1.08,
    price_current=1.085,
    price_tp=1.1,
    status=OrderStatus.PARTIALLY_FILLED,
    reason=ReasonType.CLIENT,
    comment="grün",
    external_id="x-1",
    created_at=datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=timezone.utc),
    time_setup=datetime(2024, 5, 6, 9, 8, 9, tzinfo=timezone(timedelta(hours=2))),
    extra={"position_id": 5},
)

POSITION_TEXT = (
    '{"id":5,"account_id":7,"symbol_id":1,"symbol":null,"side":1,"volume_initial":2,"volume_current":2,'
    '"price_open":1.09,"price_current":1.085,"price_sl":1.2,"price_tp":null,"profit":1000,'
    '"total_profit":992.5,"swaps":-0.5,"storage":0,"status":0,"reason":99,"comment":null,'
    '"created_at":"2024-05-06T07:08:09Z","action":1}'
)
POSITION = Position(
    id=5,
    account_id=7,
    symbol_id=1,
    side=SideType.SELL,
    volume_initial=2.0,
    volume_current=2.0,
    price_open=1.09,
    price_current=1.085,
    price_sl=1.2,
    profit=1000.0,
    total_profit=992.5,
    swaps=-0.5,
    status=PositionStatus.OPEN,
    reason=ReasonType(99),
    created_at=datetime(2024, 5, 6, 7, 8, 9, tzinfo=timezone.utc),
    extra={"action": 1},
)

DEAL_TEXT = (
    '{"id":11,"account_id":7,"order_id":3,"position_id":5,"symbol_id":1,"side":1,"direction":0,"volume":2,'
    '"price":1.09,"entry":1.09,"profit":-7,"profit_raw":0,"commission":7,"swap":0,"fee":0,"storage":0,'
    '"market_bid":1.09,"market_ask":1.0901,"market_last":1.09,"reason":17,"channel":1}'
)
DEAL = Deal(
    id=11,
    account_id=7,
    order_id=3,
    position_id=5,
    symbol_id=1,
    side=SideType.SELL,
    direction=DirectionType.IN,
    volume=2.0,
    price=1.09,
    entry=1.09,
    profit=-7.0,
    profit_raw=0.0,
    commission=7.0,
    swap=0.0,
    fee=0.0,
    storage=0.0,
    market_bid=1.09,
    market_ask=1.0901,
    market_last=1.09,
    reason=ReasonType.WEB,
    channel=ChannelType.WEB,
)

JOURNAL_TEXT = (
    '{"id":1,"user_id":2,"desc":"login","ip":"10.0.0.1","device":"PC","os":"Linux","channel":3,'
    '"created_at":"2024-05-06T07:08:09Z"}'
)
JOURNAL = Journal(
    id=1,
    user_id=2,
    desc="login",
    ip="10.0.0.1",
    device="PC",
    os="Linux",
    channel=ChannelType.API,
    created_at=datetime(2024, 5, 6, 7, 8, 9, tzinfo=timezone.utc),
)

REPORT_TEXT = '{"id":1,"user_id":2,"type":3,"status":"ready","kind":"deals","desc":"May","query":"a=1","url":"https://h/r.csv"}'
REPORT = Report(
    id=1, user_id=2, type=3, status="ready", kind="deals", desc="May", query="a=1", url="https://h/r.csv"
)

# -- what the simulator's account does: each returns the object that it says it sent -------------------------

Wire = Mapping[str, Any]


def placed(simulator: Simulator) -> Wire:
    return simulator.place_order(1, SideType.BUY, 0.5, comment="läuft", fill=False)


def opened(simulator: Simulator) -> Wire:
    simulator.place_order(2, SideType.SELL, 1, price_sl=1.9)
    return simulator.positions[-1]


def profit_moved(simulator: Simulator) -> Wire:
    position = simulator.place_order(1, SideType.BUY, 1)
    simulator.quote(1, 1.2)
    moved = next(each for each in simulator.positions if each["id"] == position["position_id"])
    return {name: moved[name] for name in ("profit", "total_profit")}


def quoted(simulator: Simulator) -> Wire:
    simulator.quote(1, 1.1, 1.1002, last=1.1001, volume=12.5)
    return {"symbol_id": 1, "bid": 1.1, "ask": 1.1002, "last": 1.1001, "volume": 12.5}


def informed(simulator: Simulator) -> Wire:
    simulator.info("The market is open.")
    return {"message": "The market is open."}


def warned(simulator: Simulator) -> Wire:
    simulator.error("Not enough money.")
    return {"message": "Not enough money."}


def logged_out_elsewhere(simulator: Simulator) -> Wire:
    simulator.log_out("the session of somebody else")
    return {"session_id": "the session of somebody else"}


def pinged(simulator: Simulator) -> Wire:
    simulator.emit("ping", {"n": 1})
    return {"n": 1}


def ponged(simulator: Simulator) -> Wire:
    simulator.emit("pong", {"n": 2})
    return {"n": 2}


@attrs.frozen
class Incoming:
    """A type of message: the data that the specification shows, what it decodes to, and how it comes about."""

    text: str
    data: Any
    happen: Callable[[Simulator], Wire]


def _order(happen: Callable[[Simulator], Wire]) -> Incoming:
    return Incoming(ORDER_TEXT, ORDER, happen)


def _position(happen: Callable[[Simulator], Wire]) -> Incoming:
    return Incoming(POSITION_TEXT, POSITION, happen)


JSON_MESSAGES: Dict[EventMessageType, Incoming] = {
    EventMessageType.INFO: Incoming(
        '{"message":"hello"}', Notification(type=EventMessageType.INFO, message="hello"), informed
    ),
    EventMessageType.ERROR: Incoming(
        '{"message":"no","code":7}',
        Notification(type=EventMessageType.ERROR, message="no", extra={"code": 7}),
        warned,
    ),
    EventMessageType.PING: Incoming("null", None, pinged),
    EventMessageType.PONG: Incoming('[1,"two"]', [1, "two"], ponged),
    EventMessageType.SESSION_LOGOUT: Incoming(
        '{"session_id":"another"}', SessionLogout(session_id="another"), logged_out_elsewhere
    ),
    EventMessageType.ORDERS_PLACE: _order(placed),
    EventMessageType.ORDERS_UPDATE: _order(
        lambda simulator: simulator.update_order(placed(simulator)["id"], price_tp=1.5)
    ),
    EventMessageType.ORDERS_CANCEL: _order(lambda simulator: simulator.cancel_order(placed(simulator)["id"])),
    EventMessageType.ORDERS_EXPIRED: _order(
        lambda simulator: simulator.expire_order(placed(simulator)["id"])
    ),
    EventMessageType.ORDERS_REJECTED: _order(
        lambda simulator: simulator.reject_order(placed(simulator)["id"], "off quotes")
    ),
    EventMessageType.ORDERS_REQUOTED: _order(
        lambda simulator: simulator.requote_order(placed(simulator)["id"], 1.0999)
    ),
    EventMessageType.POSITIONS_OPEN: _position(opened),
    EventMessageType.POSITIONS_UPDATE: _position(
        lambda simulator: simulator.update_position(opened(simulator)["id"], price_sl=1.8)
    ),
    EventMessageType.POSITIONS_CLOSE: _position(
        lambda simulator: simulator.close_position(opened(simulator)["id"])
    ),
    EventMessageType.DEALS_CREATE: Incoming(
        DEAL_TEXT, DEAL, lambda simulator: simulator.deposit(250, "a gift")
    ),
    EventMessageType.DEALS_UPDATE: Incoming(
        DEAL_TEXT,
        DEAL,
        lambda simulator: simulator.update_deal(simulator.deposit(10)["id"], comment="corrected"),
    ),
    EventMessageType.JOURNAL_CREATE: Incoming(
        JOURNAL_TEXT, JOURNAL, lambda simulator: simulator.add_journal("password changed")
    ),
    EventMessageType.REPORT_CREATE: Incoming(
        REPORT_TEXT, REPORT, lambda simulator: simulator.create_report("deals")
    ),
}

BINARY_FRAMES: Dict[EventMessageType, Tuple[bytes, Any, Callable[[Simulator], Wire]]] = {
    EventMessageType.MARKET_FEED: (
        b"1,1.08512,1.0852,1.08515,12.5,1.09,1.08",
        Quote(symbol_id=1, bid=1.08512, ask=1.0852, last=1.08515, volume=12.5, high=1.09, low=1.08),
        quoted,
    ),
    EventMessageType.PROFIT_UPDATE: (
        b"s,5,-12.5,-13",
        ProfitUpdate(position_id=5, profit=-12.5, total_profit=-13.0),
        profit_moved,
    ),
}

OUTGOING = {
    EventMessageType.MARKET_SUBSCRIBE_SYMBOL,
    EventMessageType.MARKET_UNSUBSCRIBE_SYMBOL,
    EventMessageType.START_ACCOUNT_ALL,
    EventMessageType.STOP_ACCOUNT_ALL,
}

by_type = pytest.mark.parametrize("event_type", JSON_MESSAGES, ids=lambda event_type: event_type.value)
by_frame = pytest.mark.parametrize("event_type", BINARY_FRAMES, ids=lambda event_type: event_type.value)


class Watch:
    """Notes the events of one type that come while it looks on, and when."""

    def __init__(self, client: OneTradeClient, event_type: EventMessageType) -> None:
        self._events: queue.Queue[Event] = queue.Queue()
        client.subscribe(event_type, self._events.put)
        self._began = time.time()

    def event(self) -> Event:
        """The next one; it came since the watch began."""
        event = self._events.get(timeout=TIMEOUT)
        assert self._began <= event.received_at <= time.time()
        return event

    def latest(self) -> Event:
        """The last one so far; waits for the first."""
        event = self.event()
        while not self._events.empty():
            event = self.event()
        return event


def assert_says(model: Any, wire: Wire) -> None:
    """That every field of a model says what the wire said, and nothing of the wire is missing."""
    names = {attribute.name for attribute in attrs.fields(type(model))} - {"extra"}
    for name in names:
        assert_same(getattr(model, name), wire.get(name))
    assert set(wire) - names <= set(model.extra)
    for name, value in model.extra.items():
        assert wire.get(name, value) == value


def assert_same(value: Any, wire: Any) -> None:
    if attrs.has(type(value)):
        assert_says(value, wire)
    elif isinstance(value, datetime):
        assert value.isoformat()[:19] == wire[:19]
        assert value.utcoffset() == (timedelta() if wire.endswith("Z") else timedelta(hours=2))
    elif value is None:
        assert wire in (None, "", "0001-01-01T00:00:00Z")
    else:
        assert value == wire
        assert isinstance(value, (str, bool)) == isinstance(wire, (str, bool))


def test_the_tables_hold_every_message_type() -> None:
    assert JSON_MESSAGES.keys() | BINARY_FRAMES.keys() | OUTGOING == set(EventMessageType)


@by_type
def test_a_message_as_the_specification_shows_it(
    client: OneTradeClient, simulator: Simulator, event_type: EventMessageType
) -> None:
    message = JSON_MESSAGES[event_type]
    watch = Watch(client, event_type)
    text = f'{{"type": "{event_type.value}", "data": {message.text}}}'

    simulator.emit_text(text)

    event = watch.event()
    assert event.type is event_type
    assert event.data == message.data
    assert type(event.data) is type(message.data)
    assert event.raw == text.encode("utf-8")


@by_type
def test_a_message_that_the_account_gives_rise_to(
    client: OneTradeClient, simulator: Simulator, event_type: EventMessageType
) -> None:
    message = JSON_MESSAGES[event_type]
    watch = Watch(client, event_type)

    wire = message.happen(simulator)

    event = watch.event()
    assert json.loads(event.raw) == {"type": event_type.value, "data": wire}
    if attrs.has(type(event.data)):
        assert type(event.data) is type(message.data)
        if isinstance(event.data, Notification):
            wire = {"type": event_type.value, **wire}
        assert_says(event.data, wire)
    else:
        assert event.data == wire


@by_frame
def test_a_binary_frame_as_the_vendor_lays_it_out(
    client: OneTradeClient, simulator: Simulator, event_type: EventMessageType
) -> None:
    payload, data, _ = BINARY_FRAMES[event_type]
    watch = Watch(client, event_type)

    simulator.emit_binary(payload)

    event = watch.event()
    assert event.type is event_type
    assert event.data == data
    assert event.raw == payload


@by_frame
def test_a_binary_frame_that_a_price_gives_rise_to(
    client: OneTradeClient, simulator: Simulator, event_type: EventMessageType
) -> None:
    _, data, happen = BINARY_FRAMES[event_type]
    client.subscribe_market(1)
    everything_sent(client, simulator)
    # The first price comes with the subscription.
    catch_up(client, simulator)
    watch = Watch(client, event_type)

    wire = happen(simulator)
    catch_up(client, simulator)

    event = watch.latest()
    assert type(event.data) is type(data)
    for name, value in wire.items():
        assert getattr(event.data, name) == value


def test_several_records_in_one_frame_are_several_events(
    client: OneTradeClient, simulator: Simulator
) -> None:
    received: queue.Queue[Event] = queue.Queue()
    client.subscribe(EventMessageType.MARKET_FEED, received.put)
    client.subscribe(EventMessageType.PROFIT_UPDATE, received.put)

    simulator.emit_binary(b"1,1.1,1.2\ns,5,1,2\r\n2,0.5,0.6,,7\n")

    events = [received.get(timeout=TIMEOUT) for _ in range(3)]
    assert [event.data for event in events] == [
        Quote(symbol_id=1, bid=1.1, ask=1.2),
        ProfitUpdate(position_id=5, profit=1.0, total_profit=2.0),
        Quote(symbol_id=2, bid=0.5, ask=0.6, volume=7.0),
    ]
    assert [event.raw for event in events] == [b"1,1.1,1.2", b"s,5,1,2", b"2,0.5,0.6,,7"]
    assert len({event.received_at for event in events}) == 1


def test_the_columns_of_a_price_frame_are_a_setting(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(price_columns=("bid", "ask", "symbol_id", "mood"))
    client.connect()

    with client.expect(EventMessageType.MARKET_FEED, timeout=TIMEOUT) as expected:
        simulator.emit_binary(b"1.1,1.2,7,calm,8")

    assert expected.event.data == Quote(symbol_id=7, bid=1.1, ask=1.2, extra={"mood": "calm", "4": "8"})


@pytest.mark.parametrize("event_type", sorted(OUTGOING), ids=lambda event_type: event_type.value)
def test_a_message_type_of_the_client_can_come_back(
    client: OneTradeClient, simulator: Simulator, event_type: EventMessageType
) -> None:
    with client.expect(event_type, timeout=TIMEOUT) as expected:
        simulator.emit(event_type, 1)
    assert (expected.event.type, expected.event.data) == (event_type, 1)


def test_a_message_of_another_case_is_another_type(client: OneTradeClient, simulator: Simulator) -> None:
    with client.expect("ORDERS_PLACE", timeout=TIMEOUT) as expected:
        simulator.emit("ORDERS_PLACE", {"id": 1})
    assert (expected.event.type, expected.event.data) == ("ORDERS_PLACE", {"id": 1})


def test_the_heartbeat_s_answer_is_not_delivered(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(heartbeat_interval=0.02)
    received: queue.Queue[Event] = queue.Queue()
    client.subscribe(None, received.put)
    client.connect()
    simulator.wait_for(lambda sim: sum(message.payload == b"9" for message in sim.messages) >= 3)
    last = catch_up(client, simulator)

    events = []
    while last not in events:
        events.append(received.get(timeout=TIMEOUT))
    assert [event.type for event in events] == [
        ClientEventType.STATE_CHANGED,
        ClientEventType.STATE_CHANGED,
        EventMessageType.PONG,
    ]


def test_a_json_ping_is_answered_by_a_json_pong(client: OneTradeClient, simulator: Simulator) -> None:
    with client.expect(EventMessageType.PONG, timeout=TIMEOUT) as expected:
        client.send(EventMessageType.PING)
    assert expected.event.raw == b'{"type":"pong","data":null}'
    assert expected.event.data is None


def test_the_logout_of_our_own_session_is_delivered_before_the_client_ends(
    client: OneTradeClient, simulator: Simulator
) -> None:
    session_id = simulator.session_id
    types = (EventMessageType.SESSION_LOGOUT, ClientEventType.SESSION_LOGGED_OUT)
    stream = client.events(*types, timeout=TIMEOUT)

    simulator.log_out()

    told, ended = next(stream), next(stream)
    assert (told.type, told.data) == (EventMessageType.SESSION_LOGOUT, SessionLogout(session_id=session_id))
    assert ended.type is ClientEventType.SESSION_LOGGED_OUT


def test_messages_arrive_in_the_order_in_which_they_were_sent(
    client: OneTradeClient, simulator: Simulator
) -> None:
    received: queue.Queue[Event] = queue.Queue()
    client.subscribe(None, received.put)
    order = simulator.place_order(1, SideType.BUY, 1)
    simulator.close_position(order["position_id"])
    last = catch_up(client, simulator)

    types = []
    event: Optional[Event] = None
    while event != last:
        event = received.get(timeout=TIMEOUT)
        types.append(event.type)
    assert [event_type for event_type in types if event_type is not EventMessageType.JOURNAL_CREATE] == [
        EventMessageType.ORDERS_PLACE,
        EventMessageType.ORDERS_UPDATE,
        EventMessageType.DEALS_CREATE,
        EventMessageType.POSITIONS_OPEN,
        EventMessageType.ORDERS_PLACE,
        EventMessageType.ORDERS_UPDATE,
        EventMessageType.DEALS_CREATE,
        EventMessageType.POSITIONS_CLOSE,
        EventMessageType.PONG,
    ]


def test_nothing_of_the_account_comes_without_account_updates(
    make_client: MakeClient, simulator: Simulator
) -> None:
    client = make_client(account_updates=False)
    client.connect()
    received: List[Event] = []
    client.subscribe(EventMessageType.ORDERS_PLACE, received.append)

    placed(simulator)
    client.start_account_all()
    account_updates_started(simulator)
    order = placed(simulator)
    client.stop_account_all()
    everything_sent(client, simulator)
    placed(simulator)
    catch_up(client, simulator)

    assert [event.data.id for event in received] == [order["id"]]
