"""The mirror, as a program sees it: through the client, fed by a real socket."""

from __future__ import annotations

from typing import Any, Callable, List

import pytest

from onetrade_ws import (
    ClientEventType,
    ConnectionState,
    Event,
    EventMessageType,
    OneTradeClient,
    Order,
    OrderStatus,
    OrderType,
    PositionStatus,
    Quote,
    ReasonType,
    SessionInUseError,
    SessionLoggedOutError,
    SideType,
)
from onetrade_ws.simulator import Simulator
from tests.client.conftest import MakeClient
from tests.client.conversation import TIMEOUT, catch_up, connect, everything_sent

BUY = SideType.BUY


def waiting_order(simulator: Simulator) -> int:
    order = simulator.place_order(1, BUY, 0.5, type=OrderType.BUY_LIMIT, price=1.05)
    return int(order["id"])


# -- orders -------------------------------------------------------------------------------------------------


def test_an_order_that_is_placed_is_there(client: OneTradeClient, simulator: Simulator) -> None:
    order_id = waiting_order(simulator)
    catch_up(client, simulator)
    order = client.account.orders[order_id]
    assert isinstance(order, Order)
    assert (order.symbol_id, order.side, order.volume_initial) == (1, BUY, 0.5)
    assert order.price_order == 1.05
    assert order.symbol is not None
    assert order.symbol.symbol == "EURUSD"
    assert client.account.active_orders == {order_id: order}


def test_an_order_that_is_changed_is_replaced(client: OneTradeClient, simulator: Simulator) -> None:
    order_id = waiting_order(simulator)
    catch_up(client, simulator)
    before = client.account.orders[order_id]
    simulator.update_order(order_id, price_order=1.04)
    catch_up(client, simulator)
    assert client.account.orders[order_id].price_order == 1.04
    assert before.price_order == 1.05


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (lambda simulator, order_id: simulator.cancel_order(order_id), OrderStatus.CANCELED),
        (lambda simulator, order_id: simulator.expire_order(order_id), OrderStatus.EXPIRED),
        (lambda simulator, order_id: simulator.reject_order(order_id, "no"), OrderStatus.REJECTED),
        (lambda simulator, order_id: simulator.fill_order(order_id), OrderStatus.FILLED),
    ],
    ids=["cancelled", "expired", "rejected", "filled"],
)
def test_an_order_that_is_over_is_kept_and_not_active(
    client: OneTradeClient,
    simulator: Simulator,
    end: Callable[[Simulator, int], Any],
    status: OrderStatus,
) -> None:
    order_id = waiting_order(simulator)
    end(simulator, order_id)
    catch_up(client, simulator)
    assert client.account.orders[order_id].status == status
    assert client.account.active_orders == {}


@pytest.mark.parametrize(
    ("event_type", "status"),
    [
        (EventMessageType.ORDERS_CANCEL, OrderStatus.CANCELED),
        (EventMessageType.ORDERS_EXPIRED, OrderStatus.EXPIRED),
        (EventMessageType.ORDERS_REJECTED, OrderStatus.REJECTED),
    ],
    ids=str,
)
def test_the_event_s_name_says_that_an_order_is_over_where_its_status_does_not(
    client: OneTradeClient, simulator: Simulator, event_type: EventMessageType, status: OrderStatus
) -> None:
    order = simulator.place_order(1, BUY, 1, fill=False)
    simulator.emit(event_type, order)
    catch_up(client, simulator)
    assert client.account.orders[order["id"]].status is status
    assert client.account.active_orders == {}


def test_an_order_that_is_requoted_offers_the_new_price(client: OneTradeClient, simulator: Simulator) -> None:
    order = simulator.place_order(1, BUY, 1, fill=False)
    simulator.requote_order(order["id"], 1.2345)
    catch_up(client, simulator)
    requoted = client.account.active_orders[order["id"]]
    assert requoted.status is OrderStatus.REQUOTED
    assert 1.2345 in (requoted.price_order, requoted.price_current)


def test_an_order_that_is_partly_filled_is_still_active(client: OneTradeClient, simulator: Simulator) -> None:
    order = simulator.place_order(1, BUY, 1, fill=False)
    simulator.fill_order(order["id"], 0.25)
    catch_up(client, simulator)
    partly = client.account.active_orders[order["id"]]
    assert (partly.status, partly.volume_current) == (OrderStatus.PARTIALLY_FILLED, 0.75)


# -- positions ----------------------------------------------------------------------------------------------


def opened(simulator: Simulator) -> int:
    return int(simulator.place_order(1, BUY, 1)["position_id"])


def test_a_position_is_opened_changed_and_closed(client: OneTradeClient, simulator: Simulator) -> None:
    position_id = opened(simulator)
    catch_up(client, simulator)
    assert client.account.open_positions[position_id].volume_current == 1.0
    simulator.update_position(position_id, price_sl=1.01)
    catch_up(client, simulator)
    assert client.account.open_positions[position_id].price_sl == 1.01
    simulator.close_position(position_id)
    catch_up(client, simulator)
    assert client.account.open_positions == {}
    closed = client.account.positions[position_id]
    assert (closed.status, closed.reason) == (PositionStatus.CLOSED, ReasonType.CLIENT)


def test_the_event_s_name_says_that_a_position_is_closed_where_its_status_does_not(
    client: OneTradeClient, simulator: Simulator
) -> None:
    position_id = opened(simulator)
    simulator.emit(EventMessageType.POSITIONS_CLOSE, simulator.positions[-1])
    catch_up(client, simulator)
    assert client.account.positions[position_id].status is PositionStatus.CLOSED
    assert client.account.open_positions == {}


def test_profit_frames_are_applied_to_the_position(client: OneTradeClient, simulator: Simulator) -> None:
    position_id = opened(simulator)
    for bid in (1.1, 1.2, 1.15):
        simulator.quote(1, bid)
        catch_up(client, simulator)
        (wire,) = simulator.positions
        position = client.account.positions[position_id]
        assert (position.profit, position.total_profit) == (wire["profit"], wire["total_profit"])
        assert position.profit != position.total_profit


def test_a_profit_of_a_position_that_is_unknown_or_closed_changes_nothing(
    client: OneTradeClient, simulator: Simulator
) -> None:
    position_id = opened(simulator)
    simulator.close_position(position_id)
    catch_up(client, simulator)
    before = client.account.positions
    simulator.emit_binary(b"s,%d,777,777\ns,123,777,777" % position_id)
    catch_up(client, simulator)
    assert client.account.positions == before
    assert 123 not in before


# -- deals, journal, reports, notifications, quotes ---------------------------------------------------------


def test_deals_are_added_and_corrected_oldest_first(client: OneTradeClient, simulator: Simulator) -> None:
    ids = [simulator.deposit(amount)["id"] for amount in (10, 20, 30)]
    simulator.update_deal(ids[0], comment="corrected")
    catch_up(client, simulator)
    deals = client.account.deals
    assert list(deals) == ids
    assert [deal.comment for deal in deals.values()] == ["corrected", None, None]
    assert [deal.profit for deal in deals.values()] == [10.0, 20.0, 30.0]


def test_journal_and_reports_are_kept_oldest_first(client: OneTradeClient, simulator: Simulator) -> None:
    for desc in ("first", "second"):
        simulator.add_journal(desc)
    report_ids = [simulator.create_report(kind)["id"] for kind in ("deals", "orders")]
    catch_up(client, simulator)
    assert [entry.desc for entry in client.account.journal][:2] == ["first", "second"]
    assert list(client.account.reports) == report_ids
    assert [report.kind for report in client.account.reports.values()] == ["deals", "orders"]


def test_notifications_are_kept_oldest_first(client: OneTradeClient, simulator: Simulator) -> None:
    simulator.info("one")
    simulator.error("two")
    simulator.info("three")
    catch_up(client, simulator)
    assert [(each.type, each.message) for each in client.account.notifications] == [
        (EventMessageType.INFO, "one"),
        (EventMessageType.ERROR, "two"),
        (EventMessageType.INFO, "three"),
    ]


def test_the_newest_quote_of_each_symbol_is_kept(client: OneTradeClient, simulator: Simulator) -> None:
    client.subscribe_market(1)
    client.subscribe_market(2)
    everything_sent(client, simulator)
    simulator.quote(1, 1.1, 1.2)
    simulator.quote(2, 1.3, 1.4)
    simulator.quote(1, 1.11, 1.21)
    catch_up(client, simulator)
    quotes = client.account.quotes
    assert {symbol_id: (quote.bid, quote.ask) for symbol_id, quote in quotes.items()} == {
        1: (1.11, 1.21),
        2: (1.3, 1.4),
    }
    assert all(isinstance(quote, Quote) for quote in quotes.values())


def test_histories_are_bounded_and_what_lives_is_kept(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(history_limit=3)
    connect(client, simulator)
    alive = [waiting_order(simulator) for _ in range(5)]
    over = [simulator.cancel_order(waiting_order(simulator))["id"] for _ in range(5)]
    positions = [opened(simulator) for _ in range(5)]
    for number in range(5):
        simulator.info(str(number))
        simulator.add_journal(str(number))
    reports = [simulator.create_report("deals")["id"] for _ in range(5)]
    catch_up(client, simulator)
    account = client.account
    assert list(account.active_orders) == alive
    assert set(over) & set(account.orders) <= set(over[-3:])
    assert len(account.orders) == 5 + 3
    assert list(account.open_positions) == positions
    assert len(account.deals) == 3
    assert list(account.reports) == reports[-3:]
    assert [each.message for each in account.notifications] == ["2", "3", "4"]
    assert [entry.desc for entry in account.journal] == ["2", "3", "4"]
    for position_id in positions:
        simulator.close_position(position_id)
    catch_up(client, simulator)
    assert list(account.positions) == positions[-3:]


# -- the user's state ---------------------------------------------------------------------------------------


def test_the_connection_s_state_is_mirrored(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client()
    seen: List[Any] = []

    def look(event: Event) -> None:
        seen.append((client.account.connection_state, client.account.reconnecting))

    client.subscribe(ClientEventType.STATE_CHANGED, look)
    assert client.account.connection_state is ConnectionState.CLOSED
    connect(client, simulator)
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
        simulator.drop()
    client.disconnect()
    assert seen == [
        (ConnectionState.CONNECTING, False),
        (ConnectionState.OPEN, False),
        (ConnectionState.CONNECTING, True),
        (ConnectionState.OPEN, False),
        (ConnectionState.CLOSING, False),
        (ConnectionState.CLOSED, False),
    ]


def test_two_tabs_are_mirrored_until_the_next_connect(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client()
    simulator.hold_session()
    with pytest.raises(SessionInUseError):
        client.connect()
    assert client.account.two_tabs_detected
    assert not client.account.session_logged_out
    simulator.release_session()
    connect(client, simulator)
    assert not client.account.two_tabs_detected


def test_a_logout_is_mirrored_until_the_next_connect(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(session_id=None, access_token=None, api_key=simulator.api_key)
    connect(client, simulator)
    simulator.log_out("somebody else's")
    catch_up(client, simulator)
    assert not client.account.session_logged_out
    simulator.log_out()
    with pytest.raises(SessionLoggedOutError):
        client.wait(TIMEOUT)
    assert client.account.session_logged_out
    assert not client.account.two_tabs_detected
    connect(client, simulator)
    assert not client.account.session_logged_out


# -- who reads it -------------------------------------------------------------------------------------------


def test_a_callback_finds_its_own_event_in_the_mirror(client: OneTradeClient, simulator: Simulator) -> None:
    found: List[bool] = []
    client.subscribe(
        EventMessageType.ORDERS_PLACE,
        lambda event: found.append(client.account.orders[event.data.id] is event.data),
    )
    client.subscribe(
        EventMessageType.MARKET_FEED,
        lambda event: found.append(client.account.quotes[event.data.symbol_id] is event.data),
    )
    client.subscribe(
        EventMessageType.INFO, lambda event: found.append(client.account.notifications[-1] is event.data)
    )
    waiting_order(simulator)
    simulator.emit_binary(b"1,1.1,1.2")
    simulator.info("hello")
    catch_up(client, simulator)
    assert found == [True, True, True]


def test_each_read_is_a_snapshot_that_the_caller_owns(client: OneTradeClient, simulator: Simulator) -> None:
    opened(simulator)
    simulator.create_report("deals")
    simulator.info("hello")
    simulator.emit_binary(b"1,1.1,1.2")
    catch_up(client, simulator)
    account = client.account
    for name in ("orders", "positions", "deals", "reports", "quotes", "journal", "notifications"):
        snapshot = getattr(account, name)
        assert snapshot
        snapshot.clear()
        assert getattr(account, name), name
    before = account.notifications
    simulator.info("more")
    catch_up(client, simulator)
    assert len(before) == 1


def test_the_mirror_is_kept_over_a_loss_and_a_disconnect(
    client: OneTradeClient, simulator: Simulator
) -> None:
    order_id = waiting_order(simulator)
    catch_up(client, simulator)
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
        simulator.drop()
    assert order_id in client.account.orders
    client.disconnect()
    client.connect()
    assert order_id in client.account.orders
