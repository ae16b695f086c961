"""What there is to see on a terminal: collected as events come, read as often as the screen is drawn."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Callable, Deque, Dict, Optional, Sequence, Set, Tuple

import attrs

from .. import (
    ClientEventType,
    ConnectionState,
    Deal,
    Event,
    EventMessageType,
    OneTradeClient,
    Order,
    Position,
    ProfitUpdate,
    Quote,
    Reconnecting,
    SideType,
)

_EVENTS_KEPT = 200
_RATE_WINDOW = 2.0  # seconds over which the rate is averaged


@attrs.frozen(kw_only=True)
class Sight:
    """Something in the account or the market as it is shown.

    :ivar in_doubt: whether the connection was lost since it was last heard of, so that it may be out of date
    """

    in_doubt: bool


@attrs.frozen(kw_only=True)
class QuoteSight(Sight):
    """A symbol's newest quote.

    :ivar quote: None before the first
    :ivar direction: 1 when the bid went up last, -1 when it went down, 0 before it moved
    :ivar received_at: seconds since the epoch
    """

    symbol_id: int
    quote: Optional[Quote]
    direction: int
    received_at: float


@attrs.frozen(kw_only=True)
class PositionSight(Sight):
    """An open position. ``price`` is what it could be closed at now."""

    position: Position
    price: float


@attrs.frozen(kw_only=True)
class OrderSight(Sight):
    """A working order. ``price`` is what the market offers now for its side, None when that is not known."""

    order: Order
    price: Optional[float]


@attrs.frozen(kw_only=True)
class View:
    """All that one drawing of the screen shows.

    :ivar reconnecting: the last attempt announced, while the connection is being restored
    :ivar round_trip: of the heartbeat, in seconds
    :ivar rate: events a second
    :ivar reconnects: how many times the connection was restored
    :ivar profit: of all open positions, floating
    :ivar quotes: in the order chosen
    :ivar positions: the oldest first
    :ivar orders: the oldest first
    :ivar deals: the newest first
    :ivar events: the newest first, without quotes and profits
    :ivar now: seconds since the epoch
    """

    state: ConnectionState
    reconnecting: Optional[Reconnecting]
    round_trip: Optional[float]
    rate: float
    reconnects: int
    profit: float
    quotes: Sequence[QuoteSight]
    positions: Sequence[PositionSight]
    orders: Sequence[OrderSight]
    deals: Sequence[Deal]
    events: Sequence[Event]
    now: float


class Board:
    """Remembers what the client's mirror does not: which way a quote moved, the latest events, and what has not been
    heard of since the connection was lost.

    :param symbols: ids of the symbols whose quotes are shown
    :param now: seconds since the epoch
    """

    def __init__(
        self, client: OneTradeClient, symbols: Sequence[int], now: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._symbols = symbols
        self._now = now
        # Guards the four below: written on the thread that runs callbacks, read on the one that draws.
        self._lock = threading.Lock()
        self._quotes: Dict[int, Tuple[Quote, int, float]] = {}  # with direction and time
        self._events: Deque[Event] = deque(maxlen=_EVENTS_KEPT)
        self._reconnecting: Optional[Reconnecting] = None
        self._in_doubt: Set[Tuple[type, int]] = set()  # of what kind, and its id
        # When how many events had come, as of earlier drawings. Only the thread that draws touches it.
        self._counted: Deque[Tuple[float, int]] = deque()

    def add(self, event: Event) -> None:
        """The callback."""
        data = event.data
        with self._lock:
            if event.type not in (EventMessageType.MARKET_FEED, EventMessageType.PROFIT_UPDATE):
                self._events.appendleft(event)
            if isinstance(data, Quote):
                self._put_quote(data, event.received_at)
            elif isinstance(data, ProfitUpdate):
                self._in_doubt.discard((Position, data.position_id))
            elif isinstance(data, (Order, Position)):
                self._in_doubt.discard((type(data), data.id))
            elif event.type is ClientEventType.RECONNECTING:
                self._reconnecting = data
                account = self._client.account
                self._in_doubt.update((Position, identity) for identity in account.open_positions)
                self._in_doubt.update((Order, identity) for identity in account.active_orders)
                self._in_doubt.update((Quote, identity) for identity in account.quotes)
            elif event.type is ClientEventType.STATE_CHANGED and data.new is not ConnectionState.CONNECTING:
                self._reconnecting = None

    def _put_quote(self, quote: Quote, received_at: float) -> None:
        # Requires holding _lock.
        before, direction, _ = self._quotes.get(quote.symbol_id, (quote, 0, 0.0))
        if quote.bid != before.bid:
            direction = 1 if quote.bid > before.bid else -1
        self._quotes[quote.symbol_id] = (quote, direction, received_at)
        self._in_doubt.discard((Quote, quote.symbol_id))

    def view(self) -> View:
        """What is to be seen now. On the thread that draws."""
        account, stats, now = self._client.account, self._client.stats(), self._now()
        open_positions, active_orders = account.open_positions, account.active_orders
        with self._lock:
            quotes, events = dict(self._quotes), list(self._events)
            reconnecting, in_doubt = self._reconnecting, set(self._in_doubt)
        prices = {symbol_id: quote for symbol_id, (quote, _, _) in quotes.items()}
        positions = [
            PositionSight(
                position=position, price=_closing(position, prices), in_doubt=(Position, identity) in in_doubt
            )
            for identity, position in open_positions.items()
        ]
        orders = [
            OrderSight(order=order, price=_offered(order, prices), in_doubt=(Order, identity) in in_doubt)
            for identity, order in active_orders.items()
        ]
        return View(
            state=self._client.state,
            reconnecting=reconnecting,
            round_trip=stats.heartbeat_round_trip,
            rate=self._rate(sum(stats.events.values()), now),
            reconnects=max(0, stats.connections - 1),
            profit=sum(position.profit for position in open_positions.values()),
            quotes=[self._quote_sight(symbol_id, quotes, in_doubt) for symbol_id in self._symbols],
            positions=sorted(positions, key=lambda sight: sight.position.id),
            orders=sorted(orders, key=lambda sight: sight.order.id),
            deals=list(reversed(list(account.deals.values()))),
            events=events,
            now=now,
        )

    @staticmethod
    def _quote_sight(
        symbol_id: int, quotes: Dict[int, Tuple[Quote, int, float]], in_doubt: Set[Tuple[type, int]]
    ) -> QuoteSight:
        quote, direction, received_at = quotes.get(symbol_id, (None, 0, 0.0))
        return QuoteSight(
            symbol_id=symbol_id,
            quote=quote,
            direction=direction,
            received_at=received_at,
            in_doubt=(Quote, symbol_id) in in_doubt,
        )

    def _rate(self, events: int, now: float) -> float:
        self._counted.append((now, events))
        while len(self._counted) > 2 and self._counted[1][0] <= now - _RATE_WINDOW:
            self._counted.popleft()
        since, before = self._counted[0]
        return (events - before) / (now - since) if now > since else 0.0


def _closing(position: Position, prices: Dict[int, Quote]) -> float:
    quote = prices.get(position.symbol_id)
    if quote is None:
        return position.price_current
    return quote.bid if position.side == SideType.BUY else quote.ask


def _offered(order: Order, prices: Dict[int, Quote]) -> Optional[float]:
    quote = prices.get(order.symbol_id)
    if quote is None:
        return None
    return quote.ask if order.side == SideType.BUY else quote.bid
