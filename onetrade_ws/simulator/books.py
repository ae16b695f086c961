"""The account: orders, positions, deals, journal and reports, and the arithmetic that ties them together.

The rules, which the numbers on the wire can be checked against:

* The account hedges: each order opens a position of its own, and later fills of it add to that position
  (`price_open` is then the average by volume, rounded to the symbol's digits).
* A market order to buy is filled at the ask, to sell at the bid; a position is valued, and closed, at the
  other side (`price_current`).
* ``profit = (price_current - price_open) x volume_current x contract_size x (1 buy, -1 sell) x rate``, where
  ``rate`` is `Market.rate` of the quote currency (on the wire: `rate_profit`), rounded to cents.
* ``total_profit = profit + swaps - commission``. `storage` is always 0.
* A deal that enters changes nothing but the position. A deal that leaves takes its share, by volume, of the
  position's swaps and commission: ``deal.profit = profit_raw + swap - commission - fee``, and the balance
  changes by exactly that. So the balance is what it started with plus the `profit` of all deals.
* ``equity = balance + credit + sum of the open positions' total_profit``;
  ``margin = sum of volume_current x contract_size x price_open x rate_margin / leverage``, with the rate of
  the moment at which the position opened.
* A closed position has `volume_current` 0, and as `profit`, `swaps`, `commission` the sums over its deals.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Callable, Dict, List, Optional, Union

from ..protocol.enums import (
    ChannelType,
    DirectionType,
    EventMessageType,
    OrderStatus,
    OrderType,
    PositionStatus,
    ReasonType,
    SideType,
)
from .market import Instrument, Market
from .records import (
    ZERO,
    Account,
    Deal,
    JournalEntry,
    NotFound,
    Order,
    Position,
    Record,
    Refused,
    Report,
    Shelf,
)

CENT = Decimal("0.01")

_BUYS = (OrderType.BUY_LIMIT, OrderType.BUY_STOP, OrderType.BUY_STOP_LIMIT)
_LIMITS = (OrderType.BUY_LIMIT, OrderType.SELL_LIMIT, OrderType.BUY_STOP_LIMIT, OrderType.SELL_STOP_LIMIT)
_STOP_LIMITS = (OrderType.BUY_STOP_LIMIT, OrderType.SELL_STOP_LIMIT)


class Books:
    """The account's books. The caller serialises access.

    Args:
        market: Where prices come from.
        publish: Told of each event, with the record as it is then.
        floated: Told of each open position whose profit a price has changed.
        balance: What the account starts with.
        leverage: For the margin.
        history: How many finished records of each kind are kept.
        now: The time in nanoseconds since the epoch.
    """

    def __init__(
        self,
        market: Market,
        publish: Callable[[EventMessageType, Record], None],
        floated: Callable[[Position], None],
        *,
        balance: Decimal,
        leverage: int,
        history: int,
        now: Callable[[], int],
    ) -> None:
        self._market = market
        self._publish = publish
        self._floated = floated
        self._balance = balance
        self._leverage = leverage
        self._now = now
        self.orders: Shelf[Order] = Shelf("order", history)
        self.positions: Shelf[Position] = Shelf("position", history)
        self.deals: Shelf[Deal] = Shelf("deal", history)
        self.journal: Shelf[JournalEntry] = Shelf("journal entry", history)
        self.reports: Shelf[Report] = Shelf("report", history)
        # Ids as large as a broker's that has been at it for years: beyond 2^31 and 2^53 (vendor SDK).
        self._next_ids = {Order: 3_000_000_001, Position: 70_001, Deal: 2**53 + 1, JournalEntry: 1, Report: 1}

    # --- reading

    def open_positions(self) -> List[Position]:
        """The open positions, the oldest first."""
        return [position for position in self.positions.all() if position.open]

    def working_orders(self) -> List[Order]:
        """The orders to which something can still happen, the oldest first."""
        return [order for order in self.orders.all() if order.working]

    def account(self) -> Account:
        """The account's figures now."""
        positions = self.open_positions()
        profit = sum((position.total_profit for position in positions), ZERO)
        margin = sum((self._margin(position) for position in positions), ZERO)
        equity = self._balance + profit
        level = (equity / margin * 100).quantize(CENT, ROUND_HALF_UP) if margin else ZERO
        return Account(self._balance, ZERO, profit, equity, margin, equity - margin, level, self._leverage)

    def _margin(self, position: Position) -> Decimal:
        size = position.volume_current * position.instrument.contract_size
        return _cents(size * position.price_open * position.rate_margin / self._leverage)

    def margin_needed(self, instrument: Instrument, side: SideType, volume: Decimal) -> Decimal:
        """The margin that a position opened now would take."""
        price = self._entry_price(instrument, side)
        size = volume * instrument.contract_size
        return _cents(size * price * self._market.rate(instrument.quote) / self._leverage)

    def instrument(self, symbol_id: int) -> Instrument:
        """The symbol with that id. Raises NotFound."""
        try:
            return self._market.instruments[symbol_id]
        except (KeyError, TypeError):
            raise NotFound(f"no symbol with id {symbol_id}") from None

    # --- orders

    def place(
        self,
        symbol_id: int,
        side: SideType,
        volume: Decimal,
        *,
        order_type: OrderType = OrderType.MARKET,
        price: Optional[Decimal] = None,
        price_trigger: Optional[Decimal] = None,
        price_sl: Optional[Decimal] = None,
        price_tp: Optional[Decimal] = None,
        comment: Optional[str] = None,
        time_expiration: Optional[int] = None,
        channel: ChannelType = ChannelType.WEB,
    ) -> Order:
        """Takes an order, which is not filled yet: `orders_place`."""
        instrument = self.instrument(symbol_id)
        self.check_volume(instrument, volume)
        side, order_type = SideType(side), OrderType(order_type)
        check_kind(side, order_type, price, price_trigger)
        order = Order(
            id=self._new_id(Order),
            instrument=instrument,
            type=order_type,
            side=side,
            volume_initial=volume,
            volume_current=volume,
            price_order=_rounded_if_any(instrument, price) or self._entry_price(instrument, side),
            price_trigger=_rounded_if_any(instrument, price_trigger),
            price_sl=_rounded_if_any(instrument, price_sl),
            price_tp=_rounded_if_any(instrument, price_tp),
            created_at=self._now(),
            time_expiration=time_expiration,
            reason=ReasonType.CLIENT,
            comment=comment,
            channel=channel,
        )
        self.orders.add(order)
        self._publish(EventMessageType.ORDERS_PLACE, order)
        self.note(f"{_title(order)} placed at {order.price_order}", channel)
        return order

    def fill(self, order: Order, volume: Optional[Decimal] = None, price: Optional[Decimal] = None) -> None:
        """Fills an order, or a part of it: `orders_update`, `deals_create`, `positions_open` or `…_update`.

        Without a price: a market order at the market's, any other at its own.
        """
        _check_working(order)
        volume = order.volume_current if volume is None else volume
        self._check_steps(order.instrument, volume)
        if volume > order.volume_current:
            raise Refused(f"only {order.volume_current} lots are left to fill")
        if price is not None:
            price = _rounded(order.instrument, price)
        elif order.type == OrderType.MARKET and order.status != OrderStatus.REQUOTED:
            price = self._entry_price(order.instrument, order.side)
        else:
            price = order.price_order
        order.volume_current -= volume
        order.status = OrderStatus.PARTIALLY_FILLED if order.volume_current else OrderStatus.FILLED
        position = None if order.position_id is None else self.positions.find(order.position_id)
        event = EventMessageType.POSITIONS_UPDATE
        if position is None or not position.open:
            event = EventMessageType.POSITIONS_OPEN
            position = self._open(order, volume, price)
        else:
            self._enlarge(position, volume, price)
        self._settle(order, position, event, volume, price)

    def update_order(self, order: Order, changes: Dict[str, Any]) -> None:
        """Changes a working order: `orders_update`. The keys are names of attributes."""
        _check_working(order)
        filled = order.volume_initial - order.volume_current
        total = changes.get("volume_initial", order.volume_initial)
        self.check_volume(order.instrument, total)
        if total <= filled:
            raise Refused(f"{filled} lots have been filled already")
        _set(order, changes)
        order.volume_current = total - filled
        order.updated_at = self._now()
        self._publish(EventMessageType.ORDERS_UPDATE, order)
        self.note(f"{_title(order)} modified", order.channel)

    def cancel(self, order: Order) -> None:
        """Cancels a working order: `orders_cancel`."""
        self._finish(order, OrderStatus.CANCELED, EventMessageType.ORDERS_CANCEL, "canceled")

    def expire(self, order: Order) -> None:
        """Lets a working order expire: `orders_expired`."""
        self._finish(order, OrderStatus.EXPIRED, EventMessageType.ORDERS_EXPIRED, "expired")

    def reject(self, order: Order, comment: str) -> None:
        """Rejects a working order: `orders_rejected`, with the comment as its reason."""
        _check_working(order)
        order.comment = comment
        self._finish(order, OrderStatus.REJECTED, EventMessageType.ORDERS_REJECTED, f"rejected: {comment}")

    def _finish(self, order: Order, status: OrderStatus, event: EventMessageType, what: str) -> None:
        _check_working(order)
        order.status = status
        order.updated_at = order.time_done = self._now()
        self.orders.finish(order)
        self._publish(event, order)
        self.note(f"{_title(order)} {what}", order.channel)

    def requote(self, order: Order, price: Decimal) -> None:
        """Offers another price for a working order: `dealing_order_requote`."""
        _check_working(order)
        order.price_order = _rounded(order.instrument, price)
        order.status = OrderStatus.REQUOTED
        order.updated_at = self._now()
        self._publish(EventMessageType.ORDERS_REQUOTED, order)
        self.note(f"{_title(order)} requoted at {order.price_order}", order.channel)

    def answer_requote(self, order: Order, accept: bool) -> None:
        """The client's answer: fills at the offered price, or cancels."""
        if order.status != OrderStatus.REQUOTED:
            raise Refused(f"order {order.id} is {order.status.name.lower()}, not requoted")
        if accept:
            self.fill(order)
        else:
            self.cancel(order)

    def expire_due(self) -> None:
        """Lets every working order expire whose time has come."""
        now = self._now()
        for order in self.working_orders():
            if order.time_expiration is not None and order.time_expiration <= now:
                self.expire(order)

    # --- positions, deals, journal, reports

    def update_position(self, position: Position, changes: Dict[str, Any]) -> None:
        """Changes an open position: `positions_update`. The keys are names of attributes."""
        _check_open(position)
        _set(position, changes)
        position.updated_at = self._now()
        self._publish(EventMessageType.POSITIONS_UPDATE, position)
        self.note(f"{_title(position)} modified", ChannelType.WEB)

    def close(
        self,
        position: Position,
        volume: Optional[Decimal] = None,
        reason: ReasonType = ReasonType.CLIENT,
        channel: ChannelType = ChannelType.WEB,
    ) -> None:
        """Closes a position, or a part of it, with a market order of the other side."""
        _check_open(position)
        volume = position.volume_current if volume is None else volume
        self._check_steps(position.instrument, volume)
        if volume > position.volume_current:
            raise Refused(f"the position has {position.volume_current} lots only")
        side = _other(position.side)
        order = Order(
            id=self._new_id(Order),
            instrument=position.instrument,
            type=OrderType.MARKET,
            side=side,
            volume_initial=volume,
            volume_current=volume,
            price_order=self._entry_price(position.instrument, side),
            created_at=self._now(),
            reason=ReasonType(reason),
            channel=channel,
            position_id=position.id,
        )
        self.orders.add(order)
        self._publish(EventMessageType.ORDERS_PLACE, order)
        why = order.reason.name.lower().replace("_", " ")
        self.note(f"{_title(order)} placed to close position #{position.id} ({why})", channel)
        self._value(position)
        price, share = position.price_current, volume / position.volume_current
        profit = _profit(position, volume)
        swap, commission = _cents(position.swaps * share), _cents(position.commission * share)
        order.volume_current, order.status = ZERO, OrderStatus.FILLED
        event = self._leave(position, volume, profit, swap, commission)
        if not position.open:
            position.reason = order.reason
        self._settle(order, position, event, volume, price, DirectionType.OUT, profit, swap, commission)

    def update_deal(self, deal: Deal, changes: Dict[str, Any]) -> None:
        """Corrects a deal: `deals_update`. The balance follows."""
        before = deal.profit
        _set(deal, changes)
        self._balance += deal.profit - before
        deal.updated_at = self._now()
        self._publish(EventMessageType.DEALS_UPDATE, deal)
        self.note(f"deal #{deal.id} corrected", ChannelType.SYSTEM)

    def deposit(self, amount: Decimal, comment: Optional[str]) -> Deal:
        """Changes the balance by a deal of the side `BALANCE`, which has no symbol: `deals_create`."""
        deal = Deal(
            id=self._new_id(Deal),
            instrument=None,
            order_id=0,
            position_id=0,
            side=SideType.BALANCE,
            direction=DirectionType.IN,
            volume=ZERO,
            price=ZERO,
            entry=ZERO,
            profit_raw=amount,
            commission=ZERO,
            swap=ZERO,
            reason=ReasonType.TRANSFER,
            channel=ChannelType.SYSTEM,
            market=(ZERO, ZERO, ZERO),
            rate_profit=Decimal(1),
            created_at=self._now(),
            comment=comment,
        )
        self._enter_deal(deal)
        self.note(f"balance changed by {amount}", ChannelType.SYSTEM)
        return deal

    def note(self, desc: str, channel: ChannelType) -> JournalEntry:
        """Writes a line into the journal: `journal_create`."""
        entry = JournalEntry(self._new_id(JournalEntry), desc, channel, self._now())
        self.journal.add(entry)
        self.journal.finish(entry)
        self._publish(EventMessageType.JOURNAL_CREATE, entry)
        return entry

    def create_report(self, kind: str) -> Report:
        """Makes a report: `report_create`."""
        report = Report(self._new_id(Report), kind, self._now())
        self.reports.add(report)
        self.reports.finish(report)
        self._publish(EventMessageType.REPORT_CREATE, report)
        return report

    # --- prices

    def price_changed(self, symbol_id: int) -> None:
        """Lets positions float on a new price, then expires, triggers and stops what it concerns."""
        moved = self._market.instruments[symbol_id]
        for position in self.open_positions():
            if position.instrument is moved or self._market.conversion(position.instrument.quote) is moved:
                self._value(position)
                self._floated(position)
        self.expire_due()
        for order in self.working_orders():
            if order.instrument is moved and order.status != OrderStatus.REQUOTED:
                self._trigger(order)
        for position in self.open_positions():
            if position.instrument is moved:
                self._stop(position)

    def _trigger(self, order: Order) -> None:
        if order.type == OrderType.MARKET:
            return
        price = self._entry_price(order.instrument, order.side)
        buys = order.side == SideType.BUY
        if order.type in _STOP_LIMITS and not order.triggered:
            assert order.price_trigger is not None
            if price < order.price_trigger if buys else price > order.price_trigger:
                return
            order.triggered = True
            order.status = OrderStatus.STARTED
            order.updated_at = self._now()
            self._publish(EventMessageType.ORDERS_UPDATE, order)
        reached = (
            price <= order.price_order if buys == (order.type in _LIMITS) else price >= order.price_order
        )
        if reached:
            self.fill(order, price=price)

    def _stop(self, position: Position) -> None:
        price, buys = position.price_current, position.side == SideType.BUY
        stop, target = position.price_sl, position.price_tp
        if stop is not None and (price <= stop if buys else price >= stop):
            self.close(position, reason=ReasonType.STOP_LOSS, channel=ChannelType.SYSTEM)
        elif target is not None and (price >= target if buys else price <= target):
            self.close(position, reason=ReasonType.TAKE_PROFIT, channel=ChannelType.SYSTEM)

    def _entry_price(self, instrument: Instrument, side: SideType) -> Decimal:
        price = self._market.price(instrument.id)
        return price.ask if side == SideType.BUY else price.bid

    def _value(self, position: Position) -> None:
        position.price_current = self._entry_price(position.instrument, _other(position.side))
        position.rate_profit = self._market.rate(position.instrument.quote)
        position.profit = _profit(position, position.volume_current)

    # --- what a fill does to a position

    def _open(self, order: Order, volume: Decimal, price: Decimal) -> Position:
        rate = self._market.rate(order.instrument.quote)
        position = Position(
            id=self._new_id(Position),
            instrument=order.instrument,
            side=order.side,
            volume_initial=volume,
            volume_current=volume,
            price_open=price,
            price_current=price,
            rate_margin=rate,
            rate_profit=rate,
            created_at=self._now(),
            reason=order.reason,
            channel=order.channel,
            price_sl=order.price_sl,
            price_tp=order.price_tp,
            commission=_cents(volume * order.instrument.commission),
            comment=order.comment,
        )
        self._value(position)
        self.positions.add(position)
        return position

    def _enlarge(self, position: Position, volume: Decimal, price: Decimal) -> None:
        total = position.volume_current + volume
        cost = position.volume_current * position.price_open + volume * price
        position.price_open = position.instrument.round_price(cost / total)
        position.volume_initial += volume
        position.volume_current = total
        position.commission += _cents(volume * position.instrument.commission)
        position.updated_at = self._now()
        self._value(position)

    def _leave(
        self, position: Position, volume: Decimal, profit: Decimal, swap: Decimal, commission: Decimal
    ) -> EventMessageType:
        position.realised_profit += profit
        position.realised_swaps += swap
        position.realised_commission += commission
        position.swaps -= swap
        position.commission -= commission
        position.volume_current -= volume
        position.updated_at = self._now()
        if position.volume_current:
            self._value(position)
            return EventMessageType.POSITIONS_UPDATE
        position.status = PositionStatus.CLOSED
        position.profit = position.realised_profit
        position.swaps = position.realised_swaps
        position.commission = position.realised_commission
        self.positions.finish(position)
        return EventMessageType.POSITIONS_CLOSE

    def _settle(
        self,
        order: Order,
        position: Position,
        event: EventMessageType,
        volume: Decimal,
        price: Decimal,
        direction: DirectionType = DirectionType.IN,
        profit: Decimal = ZERO,
        swap: Decimal = ZERO,
        commission: Decimal = ZERO,
    ) -> None:
        """Finishes the order, writes the deal, and tells of both and of the position."""
        order.position_id = position.id
        order.updated_at = self._now()
        if not order.volume_current:
            order.time_done = order.updated_at
            self.orders.finish(order)
        self._publish(EventMessageType.ORDERS_UPDATE, order)
        quote = self._market.price(order.instrument.id)
        deal = Deal(
            id=self._new_id(Deal),
            instrument=order.instrument,
            order_id=order.id,
            position_id=position.id,
            side=order.side,
            direction=direction,
            volume=volume,
            price=price,
            entry=position.price_open,
            profit_raw=profit,
            commission=commission,
            swap=swap,
            reason=order.reason,
            channel=order.channel,
            market=(quote.bid, quote.ask, quote.last),
            rate_profit=position.rate_profit,
            created_at=self._now(),
            price_sl=position.price_sl,
            price_tp=position.price_tp,
            comment=order.comment,
        )
        self._enter_deal(deal)
        self._publish(event, position)
        how = "filled" if not order.volume_current else f"filled with {volume} lots"
        self.note(f"{_title(order)} {how} at {price}", order.channel)

    def _enter_deal(self, deal: Deal) -> None:
        self._balance += deal.profit
        self.deals.add(deal)
        self.deals.finish(deal)
        self._publish(EventMessageType.DEALS_CREATE, deal)

    # --- rules

    def _new_id(self, kind: type) -> int:
        new = self._next_ids[kind]
        self._next_ids[kind] = new + 1
        return new

    def check_volume(self, instrument: Instrument, volume: Decimal) -> None:
        """Whether a volume may be ordered. Raises Refused."""
        if not instrument.min_volume <= volume <= instrument.max_volume:
            raise Refused(f"the volume must be {instrument.min_volume} to {instrument.max_volume} lots")
        self._check_steps(instrument, volume)

    def _check_steps(self, instrument: Instrument, volume: Decimal) -> None:
        if volume <= 0 or volume % instrument.step:
            raise Refused(f"the volume must be a multiple of {instrument.step} lots")

    def check_prices(
        self,
        instrument: Instrument,
        side: SideType,
        order_type: OrderType,
        price: Optional[Decimal],
        price_sl: Optional[Decimal],
        price_tp: Optional[Decimal],
    ) -> None:
        """The rules for prices that come from a client. Raises Refused.

        An order that waits must have something to wait for, and stop loss and take profit lie on their sides
        of its price. What is placed by hand may break them: it triggers at the next price.
        """
        buys = side == SideType.BUY
        market = self._entry_price(instrument, side)
        if order_type == OrderType.MARKET or price is None:
            price = self._entry_price(instrument, _other(side))
        elif order_type not in _STOP_LIMITS:
            below = buys == (order_type in _LIMITS)
            if price >= market if below else price <= market:
                raise Refused(f"the price must be {'below' if below else 'above'} the market's")
        for stop, below, name in ((price_sl, buys, "price_sl"), (price_tp, not buys, "price_tp")):
            if stop is not None and (stop >= price if below else stop <= price):
                raise Refused(f"{name} must be {'below' if below else 'above'} the price")


def _title(record: Union[Order, Position]) -> str:
    kind = "order" if isinstance(record, Order) else "position"
    side = "buy" if record.side == SideType.BUY else "sell"
    return f"{kind} #{record.id} {side} {record.volume_initial} {record.instrument.name}"


def _other(side: SideType) -> SideType:
    return SideType.SELL if side == SideType.BUY else SideType.BUY


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, ROUND_HALF_UP)


def _profit(position: Position, volume: Decimal) -> Decimal:
    """What a volume of a position has won at its current price, in account currency."""
    move = position.price_current - position.price_open
    if position.side == SideType.SELL:
        move = -move
    return _cents(move * volume * position.instrument.contract_size * position.rate_profit)


def _rounded(instrument: Instrument, price: Decimal) -> Decimal:
    rounded = instrument.round_price(price)
    if rounded <= 0:
        raise Refused("a price must be above zero")
    return rounded


def _rounded_if_any(instrument: Instrument, price: Optional[Decimal]) -> Optional[Decimal]:
    return None if price is None else _rounded(instrument, price)


def _set(record: Union[Order, Position, Deal], changes: Dict[str, Any]) -> None:
    """Sets all of the attributes, or none when one of them is refused."""
    values = {}
    for name, value in changes.items():
        if isinstance(value, Decimal) and name.startswith("price_"):
            assert record.instrument is not None  # a deal's prices do not change
            value = _rounded(record.instrument, value)
        elif isinstance(value, Decimal) and not name.startswith("volume_"):
            value = _cents(value)
        values[name] = value
    for name, value in values.items():
        setattr(record, name, value)


def check_kind(
    side: SideType, order_type: OrderType, price: Optional[Decimal], price_trigger: Optional[Decimal]
) -> None:
    """Whether type, side and prices of an order fit together. Raises Refused."""
    if side not in (SideType.BUY, SideType.SELL) or not order_type.known:
        raise Refused("an order buys or sells, and has one of the known types")
    if (price_trigger is None) == (order_type in _STOP_LIMITS):
        raise Refused("a stop limit order has a trigger price, and no other order has one")
    if order_type == OrderType.MARKET:
        return
    if (side == SideType.BUY) != (order_type in _BUYS):
        raise Refused("the type of the order is of the other side")
    if price is None:
        raise Refused("an order that waits needs a price")


def _check_working(order: Order) -> None:
    if not order.working:
        raise Refused(f"order {order.id} is finished")


def _check_open(position: Position) -> None:
    if not position.open:
        raise Refused(f"position {position.id} is closed")
