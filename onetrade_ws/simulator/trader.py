"""The trader of a live simulator: a round of actions in which everything happens that can happen."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Callable, List, Optional

from ..protocol.enums import ChannelType, OrderType, SideType
from .books import Books
from .market import Instrument, Market
from .records import Order, Position

MAX_POSITIONS = 10
MAX_ORDERS = 10

_OWN = ChannelType.SCRIPT
_LOTS = (1, 2, 5, 10)  # times ten of the symbol's smallest volume
_FAR = 300  # points that a waiting order lies away from the market
_NEAR = 40  # points that a tightened stop lies away


class Trader:
    """Takes one action after the other, in an order that is always the same, with seeded choices.

    One round has 20 actions and produces every event of the account; so a watcher sees each kind within a
    round. The trader touches nothing but what it placed itself (its channel is `ChannelType.SCRIPT`), and
    keeps to about `MAX_POSITIONS` open positions and `MAX_ORDERS` working orders. The caller holds the
    simulator's lock.

    Args:
        quote: Sets a symbol's bid, as the market does.
        inform, warn: Send an ``info`` or an ``error`` message to every client.
    """

    def __init__(
        self,
        books: Books,
        market: Market,
        seed: int,
        quote: Callable[[int, Decimal], None],
        inform: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        self._books = books
        self._market = market
        self._random = random.Random(seed)
        self._quote = quote
        self._inform = inform
        self._warn = warn
        self._own: Optional[Order] = None  # the order that the next action goes on with
        self._hunted: Optional[Position] = None  # the position whose stop is about to be hit
        self._round = (
            self._buy,
            self._place_waiting,
            self._place_partly,
            self._fill_rest,
            self._update_waiting,
            self._place_requoted,
            self._accept_requote,
            self._tighten_stop,
            self._hit_stop,
            self._reject,
            self._place_waiting,
            self._cancel_waiting,
            self._place_waiting,
            self._expire_waiting,
            self._correct_deal,
            self._close_partly,
            self._report,
            self._say_info,
            self._close_one,
            self._say_error,
        )
        self._step = 0
        self._enough = books.account().balance / 2

    def act(self) -> None:
        """Takes the next action."""
        self._books.expire_due()
        if self._books.account().equity < self._enough:
            self._books.deposit(self._enough, "deposit")  # trading costs money, day after day
        for position in self._positions()[:-MAX_POSITIONS]:
            self._close(position)
        for order in self._orders()[:-MAX_ORDERS]:
            self._books.cancel(order)
        action = self._round[self._step % len(self._round)]
        self._step += 1
        action()

    # --- what is its own

    def _orders(self) -> List[Order]:
        return [order for order in self._books.working_orders() if order.channel == _OWN]

    def _positions(self) -> List[Position]:
        return [position for position in self._books.open_positions() if position.channel == _OWN]

    # --- choices

    def _symbol(self) -> Instrument:
        return self._random.choice(list(self._market.instruments.values()))

    def _volume(self, item: Instrument) -> Decimal:
        return item.min_volume * 10 * self._random.choice(_LOTS)

    def _side(self) -> SideType:
        return self._random.choice((SideType.BUY, SideType.SELL))

    def _place(self, comment: str) -> Order:
        item = self._symbol()
        return self._books.place(item.id, self._side(), self._volume(item), comment=comment, channel=_OWN)

    def _waiting(self) -> Order:
        """A pending order, placed now if there is none."""
        waiting = [order for order in self._orders() if order.type != OrderType.MARKET]
        return self._random.choice(waiting) if waiting else self._place_waiting()

    def _going_on(self) -> Order:
        """The order of the action before, or a new one when somebody else has finished it."""
        order, self._own = self._own, None
        return order if order is not None and order.working else self._place("again")

    def _position(self) -> Position:
        """An open position, opened now if there is none."""
        positions = self._positions()
        return self._random.choice(positions) if positions else self._buy()

    # --- actions

    def _buy(self) -> Position:
        order = self._place("market order")
        self._books.fill(order)
        return self._positions()[-1]

    def _place_waiting(self) -> Order:
        item, side = self._symbol(), self._side()
        price = self._market.price(item.id)
        buys, limit = side == SideType.BUY, self._random.random() < 0.5
        away = self._random.randint(_FAR, 2 * _FAR) * item.spread * item.point / 10
        if limit:
            order_type = OrderType.BUY_LIMIT if buys else OrderType.SELL_LIMIT
        else:
            order_type = OrderType.BUY_STOP if buys else OrderType.SELL_STOP
        target = price.bid - away if buys == limit else price.ask + away
        return self._books.place(
            item.id,
            side,
            self._volume(item),
            order_type=order_type,
            price=target,
            comment="waiting order",
            channel=_OWN,
        )

    def _update_waiting(self) -> None:
        order = self._waiting()
        away = order.instrument.spread * order.instrument.point
        below = order.price_order < self._market.price(order.instrument.id).bid
        self._books.update_order(order, {"price_order": order.price_order + (-away if below else away)})

    def _cancel_waiting(self) -> None:
        self._books.cancel(self._waiting())

    def _expire_waiting(self) -> None:
        self._books.expire(self._waiting())

    def _place_partly(self) -> None:
        self._own = self._place("in two parts")
        step = self._own.instrument.step
        self._books.fill(self._own, (self._own.volume_initial * 2 / 5 // step) * step)

    def _fill_rest(self) -> None:
        self._books.fill(self._going_on())

    def _place_requoted(self) -> None:
        self._own = self._place("at a new price")
        worse = self._own.instrument.spread * self._own.instrument.point
        price = self._own.price_order + (worse if self._own.side == SideType.BUY else -worse)
        self._books.requote(self._own, price)

    def _accept_requote(self) -> None:
        self._books.fill(self._going_on())

    def _reject(self) -> None:
        self._books.reject(self._place("too late"), "off quotes")

    def _tighten_stop(self) -> None:
        self._hunted = position = self._position()
        away = _NEAR * position.instrument.spread * position.instrument.point / 10
        buys = position.side == SideType.BUY
        self._books.update_position(
            position,
            {
                "price_sl": position.price_current - away if buys else position.price_current + away,
                "price_tp": position.price_current + away if buys else position.price_current - away,
            },
        )

    def _hit_stop(self) -> None:
        """Moves the market to the stop loss, or to the take profit, unless it has been there by itself."""
        position, self._hunted = self._hunted, None
        if position is None or not position.open:
            return
        target = self._random.choice((position.price_sl, position.price_tp))
        if target is not None:
            item = position.instrument
            usual = item.spread * item.point
            self._quote(item.id, target if position.side == SideType.BUY else target - usual)

    def _correct_deal(self) -> None:
        deals = [deal for deal in self._books.deals.all() if deal.channel == _OWN]
        self._books.update_deal(deals[-1], {"comment": "checked"})

    def _close_partly(self) -> None:
        position = self._position()
        step = position.instrument.step
        self._close(position, (position.volume_current / 2 // step) * step or None)

    def _close_one(self) -> None:
        self._close(self._position())

    def _close(self, position: Position, volume: Optional[Decimal] = None) -> None:
        self._books.close(position, volume, channel=_OWN)

    def _report(self) -> None:
        self._books.create_report("deals")
        self._books.note("report on deals created", ChannelType.SYSTEM)

    def _say_info(self) -> None:
        self._inform("The market is open.")

    def _say_error(self) -> None:
        self._warn("A simulated error: nothing is wrong.")
