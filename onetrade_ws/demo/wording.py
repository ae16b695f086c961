"""Events in words: what kind of event it is, and what it says, in the broker's terms."""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, Mapping, Type, Union

from .. import (
    CallbackError,
    Changes,
    ClientEventType,
    Deal,
    DirectionType,
    Event,
    EventMessageType,
    Gap,
    Journal,
    Notification,
    OneTradeError,
    Order,
    OrderStatus,
    OrderType,
    Position,
    PositionStatus,
    ProfitUpdate,
    Quote,
    Reconnecting,
    Report,
    Resynced,
    SessionLogout,
    SideType,
    SlowConsumer,
    StateChange,
)
from . import figures
from .catalogue import Catalogue

#: What an event is called.
KINDS: Mapping[Union[EventMessageType, ClientEventType], str] = {
    EventMessageType.MARKET_FEED: "quote",
    EventMessageType.PROFIT_UPDATE: "profit",
    EventMessageType.ORDERS_PLACE: "order placed",
    EventMessageType.ORDERS_UPDATE: "order updated",
    EventMessageType.ORDERS_REQUOTED: "order requoted",
    EventMessageType.ORDERS_REJECTED: "order rejected",
    EventMessageType.ORDERS_CANCEL: "order cancelled",
    EventMessageType.ORDERS_EXPIRED: "order expired",
    EventMessageType.POSITIONS_OPEN: "position opened",
    EventMessageType.POSITIONS_UPDATE: "position updated",
    EventMessageType.POSITIONS_CLOSE: "position closed",
    EventMessageType.DEALS_CREATE: "deal",
    EventMessageType.DEALS_UPDATE: "deal updated",
    EventMessageType.JOURNAL_CREATE: "journal",
    EventMessageType.REPORT_CREATE: "report",
    EventMessageType.INFO: "info",
    EventMessageType.ERROR: "error",
    EventMessageType.SESSION_LOGOUT: "session logout",
    ClientEventType.STATE_CHANGED: "connection",
    ClientEventType.RECONNECTING: "RECONNECTING",
    ClientEventType.GAP: "GAP",
    ClientEventType.RESYNCING: "loading",
    ClientEventType.RESYNCED: "RESYNCED",
    ClientEventType.RESYNC_FAILED: "not loaded",
    ClientEventType.STALE: "quotes stale",
    ClientEventType.RECOVERED: "quotes back",
    ClientEventType.SESSION_IN_USE: "session in use",
    ClientEventType.SESSION_LOGGED_OUT: "logged out",
    ClientEventType.DECODE_ERROR: "decode error",
    ClientEventType.CALLBACK_ERROR: "callback error",
    ClientEventType.SLOW_CONSUMER: "slow consumer",
}

_LONGEST = 200  # characters of what a server made up


def kind(event_type: object) -> str:
    """What an event is called: "order placed". Of a type without a name of its own here, the wire's."""
    name = KINDS.get(event_type)  # type: ignore[call-overload]  # strings are looked for, too
    if name is None:
        wire = event_type.value if isinstance(event_type, EventMessageType) else str(event_type)
        name = printable(wire.replace("_", " "))
    return str(name)


def describe(event: Event, catalogue: Catalogue) -> str:
    """What an event says, in one line that is safe to print on a terminal."""
    data = event.data
    say = _SAY.get(type(data))
    if say is not None:
        text = say(data, catalogue)
    elif data is None:
        text = ""
    elif isinstance(data, OneTradeError):
        text = str(data)
    else:
        text = json.dumps(data, ensure_ascii=False, default=str)[:_LONGEST]
    return printable(text)


def printable(text: str) -> str:
    """``text`` without line breaks and without anything that a terminal would obey."""
    return "".join(character if character.isprintable() else " " for character in text)


def words(member: Any) -> str:
    """A member of an enumeration in words: "partially filled"."""
    return str(member.name).lower().replace("_", " ")


def order_type(order: Order) -> str:
    """What an order does: "buy", "sell limit"."""
    return words(order.side if order.type == OrderType.MARKET else order.type)


def _what(
    record: Union[Order, Position, Deal], side: str, lots: float, at: float, catalogue: Catalogue
) -> str:
    price = catalogue.price(record.symbol_id, at)
    return f"#{record.id} {side} {figures.volume(lots)} {catalogue.name(record.symbol_id)} at {price}"


# What the kind of the event has said already.
_SAID = frozenset(
    {
        OrderStatus.PLACED,
        OrderStatus.REQUOTED,
        OrderStatus.REJECTED,
        OrderStatus.CANCELED,
        OrderStatus.EXPIRED,
    }
)


def _order(order: Order, catalogue: Catalogue) -> str:
    text = _what(order, order_type(order), order.volume_initial, order.price_order, catalogue)
    if order.status not in _SAID:
        text += f", {words(order.status)}"
    if order.status == OrderStatus.PARTIALLY_FILLED:
        text += f", {figures.volume(order.volume_current)} left"
    if order.status == OrderStatus.REJECTED and order.comment:
        text += f": {order.comment}"
    return text


def _position(position: Position, catalogue: Catalogue) -> str:
    closed = position.status == PositionStatus.CLOSED
    lots = position.volume_initial if closed else position.volume_current
    text = _what(position, words(position.side), lots, position.price_open, catalogue)
    for name, stop in (("stop loss", position.price_sl), ("take profit", position.price_tp)):
        if stop and not closed:
            text += f", {name} {catalogue.price(position.symbol_id, stop)}"
    if closed and position.reason is not None:
        text += f", closed: {words(position.reason)}"
    return f"{text}, profit {figures.money(position.profit)}"


def _deal(deal: Deal, catalogue: Catalogue) -> str:
    if deal.side not in (SideType.BUY, SideType.SELL):
        return f"#{deal.id} {words(deal.side)} {figures.money(deal.profit)} {deal.comment or ''}".rstrip()
    text = _what(deal, words(deal.side), deal.volume, deal.price, catalogue)
    if deal.direction == DirectionType.OUT:
        return f"{text}, out of position #{deal.position_id}, profit {figures.money(deal.profit)}"
    return f"{text}, {words(deal.direction)} position #{deal.position_id}"


def _quote(quote: Quote, catalogue: Catalogue) -> str:
    bid, ask = (catalogue.price(quote.symbol_id, value) for value in (quote.bid, quote.ask))
    spread = figures.points(quote.bid, quote.ask, catalogue.digits(quote.symbol_id))
    return f"{catalogue.name(quote.symbol_id)} bid {bid} ask {ask}" + (f" spread {spread}" if spread else "")


def _profit(update: ProfitUpdate, catalogue: Catalogue) -> str:
    profit, total = figures.money(update.profit), figures.money(update.total_profit)
    return f"#{update.position_id} {profit}, total {total}"


def _state(change: StateChange, catalogue: Catalogue) -> str:
    return f"{change.new.name}, was {change.old.name}" + (f": {change.reason}" if change.reason else "")


def _reconnecting(reconnecting: Reconnecting, catalogue: Catalogue) -> str:
    return f"attempt {reconnecting.attempt} in {reconnecting.delay:.2f} s: {reconnecting.reason}"


def _gap(gap: Gap, catalogue: Catalogue) -> str:
    started, ended = figures.clock(gap.started_at), figures.clock(gap.ended_at)
    return f"deaf for {gap.ended_at - gap.started_at:.2f} s, {started} to {ended}: {gap.reason}"


def _resynced(resynced: Resynced, catalogue: Catalogue) -> str:
    parts = [
        f"{name}: {_changes(changes)}"
        for name, changes in (
            ("orders", resynced.orders),
            ("positions", resynced.positions),
            ("deals", resynced.deals),
        )
        if changes
    ]
    if resynced.started_at is None:
        return "; ".join(parts) or "nothing there yet"
    return f"missed {'; '.join(parts) or 'nothing'}"


def _changes(changes: Changes) -> str:
    counts = (
        (len(changes.appeared), "new"),
        (len(changes.changed), "changed"),
        (len(changes.vanished), "gone"),
    )
    return ", ".join(f"{count} {what}" for count, what in counts if count)


def _session_logout(logout: SessionLogout, catalogue: Catalogue) -> str:
    # Its id is a credential.
    return "a session was logged out from another place"


def _journal(entry: Journal, catalogue: Catalogue) -> str:
    return entry.desc


def _report(report: Report, catalogue: Catalogue) -> str:
    return f"#{report.id} {report.kind}: {report.desc}"


def _notification(notification: Notification, catalogue: Catalogue) -> str:
    return notification.message


def _callback_error(failure: CallbackError, catalogue: Catalogue) -> str:
    return f"{failure.callback!r} raised {failure.error!r}"


def _slow_consumer(slow: SlowConsumer, catalogue: Catalogue) -> str:
    return f"{slow.queued_bytes:,} bytes wait, reading has stopped"


_SAY: Dict[Type[Any], Callable[[Any, Catalogue], str]] = {
    Order: _order,
    Position: _position,
    Deal: _deal,
    Quote: _quote,
    ProfitUpdate: _profit,
    Journal: _journal,
    Report: _report,
    Notification: _notification,
    SessionLogout: _session_logout,
    StateChange: _state,
    Reconnecting: _reconnecting,
    Gap: _gap,
    Resynced: _resynced,
    CallbackError: _callback_error,
    SlowConsumer: _slow_consumer,
}
