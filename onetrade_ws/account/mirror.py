"""The local mirror of the account: what the specification's Redux table does for the web client, for Python."""

from __future__ import annotations

import logging
import threading
import time
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Literal, Mapping, Optional, Sequence, Union

import attrs

from ..errors import ConnectionLostError, DecodeError, NotFoundError, OneTradeError
from ..protocol.drafts import copier_of
from ..protocol.enums import EventMessageType, OrderStatus, PositionStatus
from ..protocol.events import (
    ClientEventType,
    CollectionStatus,
    ConnectionState,
    Event,
    EventType,
    Resynced,
)
from ..protocol.models import (
    Deal,
    Journal,
    Notification,
    Order,
    Position,
    ProfitUpdate,
    Quote,
    Report,
    TradingAccount,
)
from ..protocol.snapshot import PARTS
from .figures import Figures, Valuation
from .frames import COLLECTIONS, to_frame
from .history import BYTES_EACH, LIVE_LIMIT, Log, Records
from .merge import Merged, made_at, merge, moment_of, newest
from .standing import Standing
from .symbols import Directory, Symbols
from .synchronizer import Load

if TYPE_CHECKING:
    from .frames import DataFrame

logger = logging.getLogger("onetrade_ws.account")

_FINISHED = frozenset({OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED})
_CLOSED = PositionStatus.CLOSED

# About what an object takes in a message.
_SIZE_IN_SNAPSHOT = BYTES_EACH // 4

# What attrs.evolve() does, which costs more than all the rest of a profit update.
_with_profit = copier_of(Position, "profit", "total_profit")

# How many symbols have a quote: more than any broker offers, so that a server that makes them up does not fill the
# memory.
_SYMBOL_LIMIT = 20_000


# What observers get in the place of an event; None: the event itself; False: nothing.
Instead = Union[Event, Literal[False], None]


def _order_is_over(order: Order) -> bool:
    return order.status in _FINISHED


def _position_is_over(position: Position) -> bool:
    return position.status == _CLOSED


def _told_of_by(event_type: Optional[str]) -> Sequence[str]:
    """The collections that events of a type tell of; None: of any type."""
    if event_type is None:
        return ("orders", "positions", "deals")
    if event_type == EventMessageType.ORDERS_REQUOTED.value:
        return ("orders",)
    return [name for name in ("orders", "positions", "deals") if event_type.startswith(f"{name}_")]


def _always(_: object) -> bool:
    return True


class Account:
    """What the events so far add up to. Updated on the thread that delivers, before any observer is called, so that
    a callback finds its own event already in it.

    Every property can be read on any thread; each read is a snapshot that the caller owns. The objects in it are
    frozen: a later event replaces them and changes none.

    It is kept over reconnects and ``connect()`` calls. Each time that a connection has been made it is compared with
    the server over HTTP, unless ``snapshot=False`` was said or the server does not offer that; :attr:`status` says how
    far it can be relied on. If it is not compared, it knows what it was told since the client was made, and what
    happened while the client was deaf (a ``GAP`` event) is not in it. Journal, reports and notifications come by
    events alone.

    :param history_limit: how many finished orders, closed positions, deals, reports, journal entries and
        notifications are kept, of each. Live orders and positions are all kept, up to 250,000 of each, and quotes of
        20,000 symbols: more than an honest server tells of
    :param directory: what is known of the symbols; None: nothing
    """

    def __init__(self, history_limit: int, directory: Optional[Directory] = None) -> None:
        self._directory = Directory(lambda _: ()) if directory is None else directory
        self._account: Optional[TradingAccount] = None
        # Guards everything below but the quotes: written on the thread that delivers, read on any.
        self._lock = threading.Lock()
        # What is to be logged when the lock is free.
        self._forgotten: List[str] = []
        self._orders: Records[Order] = Records(
            history_limit, _order_is_over, lambda: self._forgotten.append("orders")
        )  # by Order.id
        self._positions: Records[Position] = Records(
            history_limit, _position_is_over, lambda: self._forgotten.append("positions")
        )  # by Position.id
        self._deals: Records[Deal] = Records(history_limit, _always)  # by Deal.id
        self._reports: Records[Report] = Records(history_limit, _always)  # by Report.id
        self._quotes: Dict[int, Quote] = {}  # by Quote.symbol_id; not guarded
        self._valuation = Valuation(self._quotes, self._lock)
        self._moved_by = self._valuation.moved_by
        self._journal: Log[Journal] = Log(history_limit)
        self._notifications: Log[Notification] = Log(history_limit)
        self._session_logged_out = False
        self._two_tabs_detected = False
        self._reconnecting = False
        self._connection_state = ConnectionState.CLOSED
        self._standing = Standing(time.time())
        self._was_loaded = False
        # The number of the load whose snapshot is waited for.
        self._loading = 0
        #: The number of the load of which all is in here that there is.
        self.load_taken = 0
        #: Called when events are known to be missing, on the thread that delivers: loading anew would help.
        self.on_doubt: Callable[[], None] = lambda: None
        # The newest profits that were told of while a snapshot is being taken, by position: also of positions that are
        # not known yet.
        self._floated: Dict[int, ProfitUpdate] = {}
        order, notification = partial(self._put, self._orders), partial(self._append, self._notifications)
        self._consumers: Mapping[EventType, Callable[[Event], Instead]] = {
            EventMessageType.ORDERS_PLACE: order,
            EventMessageType.ORDERS_UPDATE: order,
            EventMessageType.ORDERS_CANCEL: partial(self._put_order_as, OrderStatus.CANCELED),
            EventMessageType.ORDERS_EXPIRED: partial(self._put_order_as, OrderStatus.EXPIRED),
            EventMessageType.ORDERS_REJECTED: partial(self._put_order_as, OrderStatus.REJECTED),
            EventMessageType.ORDERS_REQUOTED: partial(self._put_order_as, OrderStatus.REQUOTED),
            EventMessageType.POSITIONS_OPEN: self._put_position,
            EventMessageType.POSITIONS_UPDATE: self._put_position,
            EventMessageType.POSITIONS_CLOSE: self._put_position_as_closed,
            EventMessageType.PROFIT_UPDATE: self._put_profit,
            EventMessageType.DEALS_CREATE: self._put_deal,
            EventMessageType.DEALS_UPDATE: self._put_deal,
            EventMessageType.JOURNAL_CREATE: partial(self._append, self._journal),
            EventMessageType.REPORT_CREATE: partial(self._put, self._reports),
            EventMessageType.MARKET_FEED: self._put_quote,
            EventMessageType.INFO: notification,
            EventMessageType.ERROR: notification,
            ClientEventType.STATE_CHANGED: self._put_state,
            ClientEventType.GAP: self._note_gap,
            ClientEventType.RESYNCING: self._begin_loading,
            ClientEventType.RESYNCED: self._load,
            ClientEventType.RESYNC_FAILED: self._give_up_loading,
            ClientEventType.SESSION_IN_USE: self._detect_two_tabs,
            ClientEventType.SESSION_LOGGED_OUT: self._log_out,
            ClientEventType.DECODE_ERROR: self._note_missed,
        }

    # -- reading: on any thread -----------------------------------------------------------------------------

    @property
    def account(self) -> Optional[TradingAccount]:
        """Balance, equity, margin and so on as the server said last; None before the first snapshot."""
        return self._account

    @property
    def figures(self) -> Optional[Figures]:
        """Balance, floating profit, equity, margin and so on as of now; None before the first snapshot.

        Directly after a snapshot they are the server's own (:attr:`account`); what comes then changes them: quotes,
        profit updates, positions and deals (:class:`.Figures` says how). While the account is stale
        (:attr:`status`), they stay as they were.

        To ask costs a moment for each position that something has happened to since it was asked last; what is
        delivered does not wait for that. The figures are those of one moment, not earlier than when they were asked
        for: what comes while they are calculated may be left to the next ones.
        """
        return self._valuation.figures()

    @property
    def symbols(self) -> Symbols:
        """The symbols that the server offers, by id and by name; none before the first snapshot."""
        return self._directory.symbols

    @property
    def orders(self) -> Dict[int, Order]:
        """Orders by id, finished ones among them; :attr:`active_orders` leaves those out."""
        with self._lock:
            return self._orders.snapshot()

    @property
    def active_orders(self) -> Dict[int, Order]:
        """Orders by id that are neither filled, cancelled, rejected nor expired."""
        return {identity: order for identity, order in self.orders.items() if not _order_is_over(order)}

    @property
    def positions(self) -> Dict[int, Position]:
        """Positions by id, closed ones among them; :attr:`open_positions` leaves those out."""
        with self._lock:
            return self._positions.snapshot()

    @property
    def open_positions(self) -> Dict[int, Position]:
        """Positions by id that are not closed."""
        return {
            identity: position
            for identity, position in self.positions.items()
            if not _position_is_over(position)
        }

    @property
    def deals(self) -> Dict[int, Deal]:
        """Deals by id, oldest first."""
        with self._lock:
            return self._deals.snapshot()

    @property
    def reports(self) -> Dict[int, Report]:
        """Reports by id, oldest first."""
        with self._lock:
            return self._reports.snapshot()

    @property
    def quotes(self) -> Dict[int, Quote]:
        """The newest quote of each symbol, by symbol id."""
        return dict(self._quotes)

    @property
    def journal(self) -> List[Journal]:
        """Journal entries, oldest first."""
        with self._lock:
            return self._journal.snapshot()

    @property
    def notifications(self) -> List[Notification]:
        """Information and error messages from the server, oldest first."""
        with self._lock:
            return self._notifications.snapshot()

    @property
    def status(self) -> Dict[str, CollectionStatus]:
        """How far ``"account"``, ``"orders"``, ``"positions"``, ``"deals"`` and ``"symbols"`` can be relied on."""
        return dict(self._standing.by_part)

    @property
    def session_logged_out(self) -> bool:
        """Whether our session was logged out from another place (``setSessionLoggedOut`` in the web client)."""
        return self._session_logged_out

    @property
    def two_tabs_detected(self) -> bool:
        """Whether another program or browser tab holds our session (``setTwoTabsDetected`` in the web client)."""
        return self._two_tabs_detected

    @property
    def reconnecting(self) -> bool:
        """Whether the connection was lost and is being restored (``setWSReconnect`` in the web client)."""
        return self._reconnecting

    @property
    def connection_state(self) -> ConnectionState:
        """The connection's state as of the last event delivered (``setWSStatus`` in the web client). ``client.state``
        may be ahead."""
        return self._connection_state

    def to_frame(self, name: str, *, extra: bool = False) -> DataFrame:
        """A collection as a pandas DataFrame, as :func:`.to_frame` makes it: ``to_frame("orders")``. Of the caller's
        own; on any thread. The first call imports pandas (extra ``pandas``), which takes a moment.

        :param name: ``"orders"``, ``"active_orders"``, ``"positions"``, ``"open_positions"``, ``"deals"``,
            ``"reports"``, ``"quotes"``, ``"journal"``, ``"notifications"``, ``"symbols"``; or ``"account"``: one row,
            none before the first snapshot
        :param extra: whether what is documented nowhere becomes columns, too
        :raises ValueError: when there is no such collection; it lists them
        :raises MissingPackageError: when pandas is not installed; an :exc:`ImportError`
        """
        model = COLLECTIONS.get(name)
        if model is None:
            raise ValueError(f"no collection {name!r}: one of {', '.join(COLLECTIONS)}")
        found = getattr(self, name)
        if name == "account":
            found = [] if found is None else [found]
        return to_frame(found, model, extra=extra)

    def __repr__(self) -> str:
        states = {status.state.name for status in self.status.values()}
        how = states.pop() if len(states) == 1 else "partly CURRENT"
        return f"<Account {len(self.active_orders)} orders, {len(self.open_positions)} positions, {how}>"

    # -- updating: on the thread that delivers --------------------------------------------------------------

    def consumer(self, event_type: EventType) -> Optional[Callable[[Event], Instead]]:
        """What takes in events of a type, and gives what observers get in their place, if it is something else (False:
        nothing); None where they concern nothing here."""
        consume = self._consumers.get(event_type)
        # Brokers add types before clients know them. What one of these has done to the account is not known.
        if consume is None and not isinstance(event_type, (EventMessageType, ClientEventType)):
            return self._note_unknown if _told_of_by(event_type) else None
        return consume

    def _put_quote(self, event: Event) -> None:
        # Without the lock: adding to a dict is one step, and so is copying one whose keys are integers.
        quotes, quote = self._quotes, event.data
        symbol_id = quote.symbol_id
        is_new = symbol_id not in quotes
        quotes[symbol_id] = quote
        if symbol_id in self._moved_by:
            self._valuation.quoted_at = event.received_at
        if is_new and len(quotes) > _SYMBOL_LIMIT:
            # Many at once: each time, what was deleted before is passed on the way to the first that is there.
            for symbol_id in list(islice(quotes, _SYMBOL_LIMIT // 20)):
                del quotes[symbol_id]

    def _put(self, records: Records[Any], event: Event, record: Any = None) -> None:
        record = record or event.data
        with self._lock:
            records.put(record.id, record, len(event.raw))
            touched = records.touched
            if touched is not None and len(touched) < LIVE_LIMIT:
                touched.add(record.id)
                touched = None
        if touched is not None:
            self._lose_track(event)
        if self._forgotten:
            self._log_forgotten()

    def _lose_track(self, event: Event) -> None:
        # No honest server tells of so many: which of them the snapshot that is being taken must not undo is not known.
        reason = DecodeError(
            "$.data.id", f"{LIVE_LIMIT} others came while the account was loaded", event.raw, str(event.type)
        )
        self._stop_valuing()
        self._stop_watching()
        self.on_doubt()
        self._standing.give_up(event.received_at, reason)

    def _log_forgotten(self) -> None:
        while self._forgotten:
            logger.error(
                "more than %d live %s: the oldest are no longer in the mirror",
                LIVE_LIMIT,
                self._forgotten.pop(),
            )

    def _append(self, log: Log[Any], event: Event) -> None:
        with self._lock:
            log.append(event.data, len(event.raw))

    # The specification: "Update order status", "Update position status". Whether the object already carries the new
    # status it leaves open; where it does not, the event's name says what it is.

    def _put_order_as(self, status: OrderStatus, event: Event) -> None:
        order = event.data
        self._put(self._orders, event, order if _order_is_over(order) else attrs.evolve(order, status=status))

    def _put_position_as_closed(self, event: Event) -> None:
        position = event.data
        closed = position if _position_is_over(position) else attrs.evolve(position, status=_CLOSED)
        self._put_position(event, closed)

    def _put_position(self, event: Event, position: Optional[Position] = None) -> None:
        position = position or event.data
        self._put(self._positions, event, position)
        # It says what the profit is.
        self._floated.pop(position.id, None)
        with self._lock:
            self._valuation.put_position(position, event.received_at)

    def _put_deal(self, event: Event) -> None:
        self._put(self._deals, event)
        with self._lock:
            is_new = event.type is EventMessageType.DEALS_CREATE
            self._valuation.put_deal(event.data, is_new, event.received_at)

    def _note_missed(self, event: Event) -> None:
        event_type: Optional[str] = event.data.event_type
        # A record, of prices or of a profit, which the next one makes up for.
        if event_type is not None or event.raw.lstrip().startswith(b"{"):
            self._miss(_told_of_by(event_type), event.received_at, event.data)

    def _note_unknown(self, event: Event) -> None:
        event_type = str(event.type)
        reason = DecodeError("$.type", "unknown", event.raw, event_type)
        self._miss(_told_of_by(event_type), event.received_at, reason)

    def _miss(self, names: Sequence[str], now: float, reason: OneTradeError) -> None:
        """An event was not understood that tells of these."""
        with self._lock:
            self._valuation.miss(names, now)
        self._doubt(names, now, reason)

    def _doubt(self, names: Sequence[str], now: float, reason: OneTradeError) -> None:
        if names:
            # In this order: who sees it in doubt sees that more is to come.
            self.on_doubt()
            self._standing.doubt(names, now, reason)

    def _put_profit(self, event: Event) -> None:
        update = event.data
        if self._positions.touched is not None and len(self._floated) < LIVE_LIMIT:
            self._floated[update.position_id] = update
        # Without the lock: no other thread writes.
        position = self._positions.get(update.position_id)
        # A position that was never seen cannot be made up from its profit, and a closed one has no floating profit.
        if position is not None and not _position_is_over(position):
            position = _with_profit(position, update.profit, update.total_profit)
            with self._lock:
                self._positions.put(position.id, position, len(event.raw))
                self._valuation.put_profit(position, event.received_at)

    def _put_state(self, event: Event) -> None:
        change = event.data
        self._connection_state = change.new
        if change.new is ConnectionState.CONNECTING:
            self._reconnecting = change.old is ConnectionState.OPEN
            if change.old is ConnectionState.CLOSED:
                self._session_logged_out = self._two_tabs_detected = False
        else:
            self._reconnecting = False
        # Between OPEN and CLOSED, more may have been said of a load.
        if change.old is ConnectionState.OPEN or change.new is ConnectionState.CLOSED:
            self._stop_valuing()
            self._stop_watching()
            self._standing.give_up(event.received_at)

    def _note_gap(self, event: Event) -> None:
        self._standing.note_gap(event.data.started_at)

    # -- snapshots ------------------------------------------------------------------------------------------

    def _begin_loading(self, event: Event) -> Event:
        load: Load = event.data
        if self._connection_state is ConnectionState.OPEN:
            with self._lock:
                self._valuation.begin()
            # From here on events may be newer than what the snapshot will say.
            for records in (self._orders, self._positions, self._deals):
                records.touched = set()
            self._floated.clear()
            self._loading = load.number
            self._standing.begin(event.received_at)
        return attrs.evolve(event, data=None)

    def _load(self, event: Event) -> Instead:
        instead = self._take_in(event.data, event)
        # Last: who waits for it sees what has come of it.
        self.load_taken = event.data.number
        return instead

    def _take_in(self, load: Load, event: Event) -> Instead:
        snapshot, load.snapshot = load.snapshot, None
        if snapshot is None:
            # Another one has begun since, and what comes of that is said.
            return False
        if self._loading != load.number or self._orders.touched is None:
            # What events have said since it began is not known.
            reason = self._standing.by_part["orders"].reason
            lost = reason or ConnectionLostError("it was lost while the account was loaded")
            return attrs.evolve(event, type=ClientEventType.RESYNC_FAILED, data=lost)
        orders = self._merge(self._orders, snapshot.orders, _order_is_over, moment_of)
        positions = self._merge(self._positions, snapshot.positions, _position_is_over, moment_of)
        positions = positions._replace(put={each: self._floating(one) for each, one in positions.put.items()})
        deals = self._merge(self._deals, snapshot.deals, _always, made_at)
        missing: Dict[str, OneTradeError] = {
            name: NotFoundError(name, 404, "the server does not offer it")
            for name in PARTS
            if getattr(snapshot, name) is None
        }
        started_at = self._standing.missed_since if self._was_loaded else None
        with self._lock:
            # All or nothing, for who reads meanwhile.
            self._take(self._orders, orders, moment_of)
            self._take(self._positions, positions, moment_of)
            self._take(self._deals, deals, made_at)
            self._account = snapshot.account or self._account
            if snapshot.symbols is not None:
                self._directory.put(snapshot.symbols)
            self._standing.settle(missing, event.received_at)
            self._was_loaded = True
            try:
                self._valuation.load(
                    snapshot,
                    positions=[
                        one for one in self._positions.snapshot().values() if not _position_is_over(one)
                    ],
                    deals=[self._deals.get(identity) for identity in self._deals.touched or ()],
                    symbols=self._directory.symbols,
                    has_floated=bool(self._floated),
                    at=event.received_at,
                )
            finally:
                self._stop_watching()
        self._log_forgotten()
        resynced = Resynced(
            started_at=started_at, orders=orders.changes, positions=positions.changes, deals=deals.changes
        )
        return attrs.evolve(event, data=resynced)

    def _merge(
        self,
        records: Records[Any],
        told: Optional[Sequence[Any]],
        is_over: Callable[[Any], bool],
        moment: Callable[[Any], datetime],
    ) -> Merged:
        if told is None:
            return Merged()
        kept = newest(told, records.limit, is_over, moment)
        return merge(records.snapshot(), kept, records.touched or (), is_over)

    def _take(self, records: Records[Any], merged: Merged, moment: Callable[[Any], datetime]) -> None:
        # Requires holding _lock. What an event has told is newer than what a snapshot adds, which must not push it out.
        told_of = sorted(filter(None, map(records.get, records.touched or ())), key=moment)
        for identity, record in merged.put.items():
            records.put(identity, record, _SIZE_IN_SNAPSHOT)
        for one in told_of:
            records.put(one.id, merged.put.get(one.id, one), _SIZE_IN_SNAPSHOT)
        for identity in merged.gone:
            records.remove(identity)
        # Nor is it older for having come first.
        records.sort(moment)

    def _floating(self, told: Position) -> Position:
        """A position of a snapshot, with the profit that was told of since the snapshot was asked for. Of whatever
        happened to either after that, an event tells, and comes later."""
        update = self._floated.get(told.id)
        if update is None or _position_is_over(told):
            return told
        floating: Position = _with_profit(told, update.profit, update.total_profit)
        return floating

    def _give_up_loading(self, event: Event) -> Event:
        load: Load = event.data
        self._stop_valuing()
        self._stop_watching()
        self._standing.give_up(event.received_at, load.error)
        # Last: who waits for it sees why it failed.
        self.load_taken = load.number or self.load_taken
        return attrs.evolve(event, data=load.error)

    def _stop_valuing(self) -> None:
        # What takes long, before the lock is taken: on this thread, nothing new comes in between.
        self._valuation.figures()
        with self._lock:
            self._valuation.stop()

    def _stop_watching(self) -> None:
        for records in (self._orders, self._positions, self._deals):
            records.touched = None
        self._floated.clear()

    def _detect_two_tabs(self, _: Event) -> None:
        self._two_tabs_detected = True

    def _log_out(self, _: Event) -> None:
        self._session_logged_out = True
