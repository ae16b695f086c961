"""The simulator's public face. What it does is in the modules around it; this one holds them together."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from datetime import datetime
from decimal import Context, Decimal, localcontext
from typing import Any, Callable, Iterator, Literal, Mapping, Optional, Tuple, TypeVar, Union

from ..protocol.enums import ChannelType, EventMessageType, OrderType, ReasonType, SideType
from . import websocket
from .arrivals import Arrivals, Message, Request
from .books import Books
from .feed import Feed, event_text
from .http1 import Body
from .http_api import DEALINGS, Api
from .live import Pacemaker
from .market import Market
from .reception import Reception
from .records import Position, Record
from .server import Connection, Server
from .sessions import IN_USE, Session, Sessions
from .trader import Trader
from .wire import (
    DEAL_CHANGES,
    ORDER_CHANGES,
    POSITION_CHANGES,
    Wire,
    Writer,
    profit_frame,
    read_changes,
    read_number,
    read_price,
    read_text,
    read_time,
)

T = TypeVar("T")
NumberLike = Union[int, float, Decimal]
_ARITHMETIC = Context(prec=28)
HALF = b'{"type":"info","data":{"message":"the second half of this never comes"}}'


class Simulator:
    """An embedded OneTrade server: HTTP calls and WebSocket on one port, a market, an account, and faults.

    It speaks the whole protocol and shares no decoding with the client, so it is fit to test the client, and
    your own program, against::

        with Simulator(live=False) as sim:
            program.connect(sim.ws_url, sim.session_id, sim.access_token)
            sim.wait_until_subscribed()
            order = sim.place_order(1, SideType.BUY, 0.5)

    Every method may be called from any thread; none waits for a client, but for `wait_for`. What acts on the
    account may be called whether the simulator is running, or anybody is connected, or not.

    All clients see one account. Account events and profit frames go to those who sent ``start_account_all``,
    price frames to those who subscribed to the symbol, everything said by `emit`, `info`, `error` and
    `log_out` to all. A session is validated before each WebSocket connection (the rule is this simulator's:
    the specification gives the order of the two, and not what happens otherwise): a handshake without a
    validation since the session's last connection gets 401.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0: a free one, which is kept for the next `start`.
        seed: For prices and the live trader: the same seed gives the same market.
        live: Whether prices move and a trader trades, on threads. False: nothing moves by itself.
        quotes_per_second: Price changes in a live market, over all symbols; 0: none.
        trading_interval: Seconds between two actions of the live trader; within 20 of them everything happens
            that can happen. None: nobody trades.
        session_id, access_token, api_key: Credentials; None: random ones.
        rich_objects: Whether objects carry the vendor's fields beyond the specification.
        heartbeat_reply: Whether heartbeats are answered; can be changed at any time.
        balance: What the account starts with, in USD.
        leverage: Of the account.
        history: How many finished orders, closed positions, deals, journal entries and reports are kept, of
            each. Of what arrived, the newest 100,000 requests and messages are kept, and 64 MiB of each.
        max_unsent: Bytes that may wait for one client; whoever does not read and has more waiting is cut.

    Raises:
        ValueError: A setting is out of its range.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        seed: int = 1,
        live: bool = True,
        quotes_per_second: float = 20.0,
        trading_interval: Optional[float] = 1.0,
        session_id: Optional[str] = None,
        access_token: Optional[str] = None,
        api_key: Optional[str] = None,
        rich_objects: bool = True,
        heartbeat_reply: bool = True,
        balance: NumberLike = 100_000,
        leverage: int = 100,
        history: int = 2_000,
        max_unsent: int = 64 * 1024 * 1024,
    ) -> None:
        if not quotes_per_second >= 0:
            raise ValueError(f"quotes_per_second must not be below 0, not {quotes_per_second!r}")
        if trading_interval is not None and not trading_interval > 0:
            raise ValueError(f"trading_interval must be above 0 or None, not {trading_interval!r}")
        for name, value in (("leverage", leverage), ("history", history), ("max_unsent", max_unsent)):
            if value < 1:
                raise ValueError(f"{name} must be 1 or more, not {value!r}")
        self._host = host
        self._port = port
        self._live = live
        self._quotes_per_second = quotes_per_second
        self._trading_interval = trading_interval
        # Serialises start and stop, so that the threads of one run end before those of the next begin.
        self._lifecycle = threading.RLock()
        # Guards market, books, sessions and feed, so that events leave in the order in which things happened.
        # Whoever holds it never waits: sending only fills buffers.
        self._lock = threading.RLock()
        self._arrivals = Arrivals()
        self._sessions = Sessions(session_id, access_token, api_key)
        self._market = Market(seed)
        self._feed = Feed(self._market.frame, heartbeat_reply)
        self._writer = Writer(self._market, rich_objects, lambda: self.http_url)
        self._books = Books(
            self._market,
            self._publish,
            self._floated,
            balance=read_number(balance, "balance").quantize(Decimal("0.01")),
            leverage=leverage,
            history=history,
            now=time.time_ns,
        )
        self._api = Api(self._sessions, self._market, self._books, self._writer, seed)
        self._trader = Trader(self._books, self._market, seed, self._set_bid, self.info, self.error)
        reception = Reception(self._lock, self._arrivals, self._sessions, self._feed, self._api)
        self._server = Server(
            reception.respond, reception.received, reception.closed, self._arrivals.changed, max_unsent
        )
        self._pacemakers: Tuple[Pacemaker, ...] = ()
        self._running = False

    # --- life

    def start(self) -> Simulator:
        """Starts to listen, and a live market with its trader. Does nothing when it is running already.

        After `stop` it listens on the same port again, with the same books and credentials; what clients had
        subscribed to is forgotten.

        Raises:
            OSError: The port is taken.
        """
        with self._lifecycle:
            if self._running:
                return self
            self._host, self._port = self._server.start(self._host, self._port)
            pacemakers = []
            if self._live and self._quotes_per_second:
                pacemakers.append(
                    Pacemaker("onetrade-ws-simulator-market", self._quotes_per_second, self._move_one)
                )
            if self._live and self._trading_interval is not None:
                pacemakers.append(
                    Pacemaker("onetrade-ws-simulator-trader", 1 / self._trading_interval, self._trade)
                )
            self._pacemakers = tuple(pacemakers)
            for pacemaker in pacemakers:
                pacemaker.start()
            self._running = True
        return self

    def stop(self) -> None:
        """Closes every connection, WebSockets with 1001, and ends every thread.

        Idempotent, and waits for no client.
        """
        with self._lifecycle:
            for pacemaker in self._pacemakers:
                pacemaker.stop()
            self._pacemakers = ()
            self._server.stop()
            self._running = False
        self._arrivals.changed()

    def __enter__(self) -> Simulator:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        where = self.ws_url if self._running else "stopped"
        return f"<Simulator {where}, {self.connections} connections>"

    # --- where and who

    @property
    def port(self) -> int:
        """The port; 0 before the first `start` when it is to be a free one: there is no address until then."""
        return self._port

    @property
    def ws_url(self) -> str:
        """``ws://HOST:PORT``."""
        # Nobody can connect to port 0, and the message of who tries would say something else.
        if not self._port:
            raise RuntimeError("the simulator has no port yet: start() it, or use it in a with block")
        return f"ws://{self._address()}"

    @property
    def http_url(self) -> str:
        """``http://HOST:PORT``, the same port."""
        return f"http://{self._address()}"

    def _address(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self._port}"

    @property
    def session_id(self) -> str:
        """The current session; a login after it was logged out begins a new one."""
        with self._lock:
            return self._sessions.current.session_id

    @property
    def access_token(self) -> str:
        """The access token of the current session."""
        with self._lock:
            return self._sessions.current.access_token

    @property
    def api_key(self) -> str:
        """The key that the login call takes."""
        return self._sessions.api_key

    def add_session(self, session_id: Optional[str] = None, access_token: Optional[str] = None) -> Session:
        """Another session on the same account, as a second program has one. None: random credentials."""
        with self._lock:
            return self._sessions.add(session_id, access_token)

    @property
    def heartbeat_reply(self) -> bool:
        """Whether ``9`` and the JSON ping are answered. Can be set."""
        return self._feed.heartbeat_reply

    @heartbeat_reply.setter
    def heartbeat_reply(self, value: bool) -> None:
        self._feed.heartbeat_reply = value

    @property
    def dealing(self) -> str:
        """What becomes of a market order that a client sends over HTTP. Can be set.

        ``"fill"``, the default: filled at once; ``"leave"``: waits for you to act on it; ``"requote"``:
        requoted at the current price; ``"reject"``: rejected.
        """
        return self._api.dealing

    @dealing.setter
    def dealing(self, value: str) -> None:
        if value not in DEALINGS:
            raise ValueError(f"dealing must be one of {', '.join(DEALINGS)}, not {value!r}")
        self._api.dealing = value

    # --- the market

    @property
    def symbols(self) -> Tuple[Wire, ...]:
        """The symbols as the wire's objects. The ids begin with 1, which is EURUSD."""
        with self._reading():
            return tuple(self._writer.symbol(item) for item in self._market.instruments.values())

    def quote(
        self,
        symbol_id: int,
        bid: NumberLike,
        ask: Optional[NumberLike] = None,
        *,
        last: Optional[NumberLike] = None,
        volume: Optional[NumberLike] = None,
    ) -> None:
        """Sets a symbol's price: price frame, profit frames, and whatever it triggers.

        Args:
            symbol_id: Which symbol.
            bid, ask: Rounded to the symbol's digits. Without an ask: the symbol's usual spread above the bid.
            last: Price of the last trade; None: the bid.
            volume: Traded since the start, in lots; None: one more than before.

        Raises:
            LookupError: There is no such symbol.
            ValueError: A price is not above zero, or the ask is below the bid.
        """
        with self._acting():
            self._books.instrument(symbol_id)
            self._market.set(
                symbol_id,
                read_number(bid, "bid"),
                None if ask is None else read_number(ask, "ask"),
                None if last is None else read_number(last, "last"),
                None if volume is None else read_number(volume, "volume"),
            )
            self._price_changed(symbol_id)

    def step_market(self, n: int = 1) -> None:
        """Moves every symbol `n` times, with all that follows. The same seed gives the same moves."""
        for _ in range(n):
            with self._acting():
                for symbol_id in self._market.instruments:
                    self._market.move(symbol_id)
                    self._price_changed(symbol_id)

    def _move_one(self) -> None:
        with self._acting():
            symbol_id = self._market.pick()
            self._market.move(symbol_id)
            self._price_changed(symbol_id)

    def _trade(self) -> None:
        with self._acting():
            self._trader.act()

    def _set_bid(self, symbol_id: int, bid: Decimal) -> None:
        self._market.set(symbol_id, bid)
        self._price_changed(symbol_id)

    def _price_changed(self, symbol_id: int) -> None:
        payload = self._market.frame(symbol_id)
        assert payload is not None
        self._feed.price(symbol_id, payload)
        self._books.price_changed(symbol_id)

    def _floated(self, position: Position) -> None:
        self._feed.profit(profit_frame(position))

    def _publish(self, event_type: EventMessageType, record: Record) -> None:
        self._feed.account_event(event_type, self._writer.write(record))

    @contextmanager
    def _acting(self) -> Iterator[Books]:
        """Something is about to change: alone, and those who wait are told afterwards."""
        try:
            with self._reading() as books:
                yield books
        finally:
            self._arrivals.changed()

    @contextmanager
    def _reading(self) -> Iterator[Books]:
        """The books while nothing changes; whatever the calling thread's decimal context, they calculate alike."""
        with self._lock, localcontext(_ARITHMETIC):
            yield self._books

    # --- the account

    @property
    def account(self) -> Wire:
        """The account's figures now."""
        with self._reading() as books:
            return self._writer.account(books.account())

    @property
    def orders(self) -> Tuple[Wire, ...]:
        """All orders, finished ones among them, the oldest first."""
        with self._reading() as books:
            return tuple(self._writer.order(order) for order in books.orders.all())

    @property
    def positions(self) -> Tuple[Wire, ...]:
        """All positions, closed ones among them, the oldest first."""
        with self._reading() as books:
            return tuple(self._writer.position(position) for position in books.positions.all())

    @property
    def deals(self) -> Tuple[Wire, ...]:
        """All deals, the oldest first."""
        with self._reading() as books:
            return tuple(self._writer.deal(deal) for deal in books.deals.all())

    @property
    def journal(self) -> Tuple[Wire, ...]:
        """The activity log, the oldest entry first."""
        with self._reading() as books:
            return tuple(self._writer.journal_entry(entry) for entry in books.journal.all())

    @property
    def reports(self) -> Tuple[Wire, ...]:
        """All reports, the oldest first."""
        with self._reading() as books:
            return tuple(self._writer.report(report) for report in books.reports.all())

    def place_order(
        self,
        symbol_id: int,
        side: SideType,
        volume: NumberLike,
        *,
        type: OrderType = OrderType.MARKET,  # noqa: A002 - the wire's name
        price: Optional[NumberLike] = None,
        price_trigger: Optional[NumberLike] = None,
        price_sl: Optional[NumberLike] = None,
        price_tp: Optional[NumberLike] = None,
        comment: Optional[str] = None,
        time_expiration: Union[datetime, str, None] = None,
        fill: bool = True,
    ) -> Wire:
        """Places an order, and fills it if it is a market order: ``orders_place``, then as `fill_order`.

        Nothing but the volume is checked against the market: an order on the wrong side of it triggers at the
        next price.

        Args:
            symbol_id: Which symbol.
            side: Buy or sell.
            volume: In lots.
            type: Market, limit, stop or stop limit.
            price: Of a waiting order; of a market order what the client asked for (None: the current price).
            price_trigger: Of a stop limit order: where it becomes a limit order.
            price_sl, price_tp: Stop loss and take profit; None or 0: none.
            comment: Any text.
            time_expiration: When a waiting order expires: a datetime (UTC without a zone) or RFC 3339 text.
            fill: False: a market order waits, too, for what you do with it.

        Returns:
            The order as last sent. With `rich_objects` its ``position_id`` is the position that it opened.

        Raises:
            LookupError: There is no such symbol.
            ValueError: The volume is out of bounds, or type, side and prices do not fit together.
        """
        with self._acting() as books:
            order = books.place(
                symbol_id,
                side,
                read_number(volume, "volume"),
                order_type=type,
                price=read_price(price, "price"),
                price_trigger=read_price(price_trigger, "price_trigger"),
                price_sl=read_price(price_sl, "price_sl"),
                price_tp=read_price(price_tp, "price_tp"),
                comment=read_text(comment, "comment"),
                time_expiration=read_time(time_expiration),
            )
            if fill and order.type == OrderType.MARKET:
                books.fill(order)
            return self._writer.order(order)

    def fill_order(
        self, order_id: int, volume: Optional[NumberLike] = None, *, price: Optional[NumberLike] = None
    ) -> Wire:
        """Fills an order: ``orders_update``, ``deals_create``, ``positions_open`` (later: ``…_update``).

        Args:
            order_id: A working order.
            volume: In lots; None: all that is left.
            price: None: a market order's is the market's, any other's its own.

        Returns:
            The order as sent. Its deal is ``sim.deals[-1]``.

        Raises:
            LookupError: There is no such order.
            ValueError: It is finished, or the volume is more than is left.
        """
        with self._acting() as books:
            order = books.orders.get(order_id)
            lots = None if volume is None else read_number(volume, "volume")
            books.fill(order, lots, read_price(price, "price"))
            return self._writer.order(order)

    def update_order(self, order_id: int, **changes: Any) -> Wire:
        """Changes a working order: ``orders_update``. Returns it as sent.

        Args:
            order_id: A working order.
            changes: By the wire's names: ``volume_initial``, ``price_order`` (or ``volume``, ``price``),
                ``price_trigger``, ``price_sl``, ``price_tp``, ``time_expiration``, ``comment``,
                ``external_id``.

        Raises:
            LookupError: There is no such order.
            ValueError: It is finished, or this cannot be changed.
        """
        names = {"volume": "volume_initial", "price": "price_order"}
        with self._acting() as books:
            order = books.orders.get(order_id)
            wanted = {names.get(name, name): value for name, value in changes.items()}
            books.update_order(order, read_changes(ORDER_CHANGES, wanted))
            return self._writer.order(order)

    def cancel_order(self, order_id: int) -> Wire:
        """Cancels a working order: ``orders_cancel``. Returns and raises as `update_order` does."""
        with self._acting() as books:
            order = books.orders.get(order_id)
            books.cancel(order)
            return self._writer.order(order)

    def expire_order(self, order_id: int) -> Wire:
        """Lets a working order expire: ``orders_expired``. Returns and raises as `update_order` does."""
        with self._acting() as books:
            order = books.orders.get(order_id)
            books.expire(order)
            return self._writer.order(order)

    def reject_order(self, order_id: int, comment: str = "rejected by the dealer") -> Wire:
        """Rejects a working order: ``orders_rejected``. Returns and raises as `update_order` does."""
        with self._acting() as books:
            order = books.orders.get(order_id)
            books.reject(order, comment)
            return self._writer.order(order)

    def requote_order(self, order_id: int, price: NumberLike) -> Wire:
        """Offers another price: ``dealing_order_requote``. Returns and raises as `update_order` does."""
        with self._acting() as books:
            order = books.orders.get(order_id)
            books.requote(order, read_number(price, "price"))
            return self._writer.order(order)

    def answer_requote(self, order_id: int, accept: bool) -> Wire:
        """Answers a requote as a client would: fills at the offered price, or cancels.

        Returns and raises as `update_order` does.
        """
        with self._acting() as books:
            order = books.orders.get(order_id)
            books.answer_requote(order, accept)
            return self._writer.order(order)

    def update_position(self, position_id: int, **changes: Any) -> Wire:
        """Changes an open position: ``positions_update``. Returns it as sent.

        Args:
            position_id: An open position.
            changes: By the wire's names: ``price_sl``, ``price_tp``, ``swaps``, ``comment``, ``external_id``.
                Profits follow from prices: see `quote`.

        Raises:
            LookupError: There is no such position.
            ValueError: It is closed, or this cannot be changed.
        """
        with self._acting() as books:
            position = books.positions.get(position_id)
            books.update_position(position, read_changes(POSITION_CHANGES, changes))
            return self._writer.position(position)

    def close_position(
        self,
        position_id: int,
        volume: Optional[NumberLike] = None,
        reason: ReasonType = ReasonType.CLIENT,
    ) -> Wire:
        """Closes a position at the market's price.

        A market order of the other side does it: ``orders_place``, ``orders_update``, ``deals_create``, then
        ``positions_close``, or ``positions_update`` when a part remains.

        Args:
            position_id: An open position.
            volume: In lots; None: all of it.
            reason: Why: the reason of the order, of the deal, and of a position that is closed.

        Returns:
            The position as sent.

        Raises:
            LookupError: There is no such position.
            ValueError: It is closed, or not as large.
        """
        with self._acting() as books:
            position = books.positions.get(position_id)
            books.close(position, None if volume is None else read_number(volume, "volume"), reason)
            return self._writer.position(position)

    def update_deal(self, deal_id: int, **changes: Any) -> Wire:
        """Corrects a deal: ``deals_update``. The balance follows. Returns it as sent.

        Args:
            deal_id: A deal.
            changes: By the wire's names: ``commission``, ``swap``, ``fee``, ``comment``, ``external_id``.

        Raises:
            LookupError: There is no such deal.
            ValueError: This cannot be changed.
        """
        with self._acting() as books:
            deal = books.deals.get(deal_id)
            books.update_deal(deal, read_changes(DEAL_CHANGES, changes))
            return self._writer.deal(deal)

    def deposit(self, amount: NumberLike, comment: Optional[str] = None) -> Wire:
        """Changes the balance, by a deal without a symbol: ``deals_create``. Returns it as sent.

        Args:
            amount: In account currency; below zero: a withdrawal.
            comment: Any text.
        """
        with self._acting() as books:
            cents = read_number(amount, "amount").quantize(Decimal("0.01"))
            return self._writer.deal(books.deposit(cents, read_text(comment, "comment")))

    def add_journal(self, desc: str) -> Wire:
        """Writes a line into the activity log: ``journal_create``. Returns it as sent."""
        with self._acting() as books:
            return self._writer.journal_entry(books.note(desc, ChannelType.WEB))

    def create_report(self, kind: str) -> Wire:
        """Makes a report, whose link works: ``report_create``. Returns it as sent."""
        with self._acting() as books:
            return self._writer.report(books.create_report(kind))

    # --- say anything

    def emit(self, event_type: Union[EventMessageType, str], data: Any = None) -> None:
        """Sends ``{"type": …, "data": …}`` as a text frame to every client.

        Raises:
            TypeError, ValueError: The data is not JSON.
        """
        self._say(websocket.frame(websocket.TEXT, event_text(event_type, data)))

    def emit_text(self, text: Union[str, bytes]) -> None:
        """Sends a text frame to every client; bytes need not be UTF-8."""
        payload = text.encode("utf-8") if isinstance(text, str) else bytes(text)
        self._say(websocket.frame(websocket.TEXT, payload))

    def emit_binary(self, payload: bytes) -> None:
        """Sends a binary frame to every client."""
        self._say(websocket.frame(websocket.BINARY, bytes(payload)))

    def emit_frame(self, opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0) -> None:
        """Sends one WebSocket frame to every client, as asked, even an illegal one.

        Args:
            opcode: 0 to 15.
            payload: Of any length.
            fin: Whether it is the last fragment.
            rsv: The three reserved bits, as a number from 0 to 7.
        """
        self._say(websocket.frame(opcode, bytes(payload), fin=fin, rsv=rsv))

    def emit_raw(self, data: bytes) -> None:
        """Writes bytes on every WebSocket's TCP stream, without framing. Large ones are not copied.

        What a client has not read yet waits, up to `max_unsent`; `unsent` says how much that is.
        """
        self._say(bytes(data))

    def info(self, message: str) -> None:
        """Sends an ``info`` message to every client."""
        self.emit(EventMessageType.INFO, {"message": message})

    def error(self, message: str) -> None:
        """Sends an ``error`` message to every client."""
        self.emit(EventMessageType.ERROR, {"message": message})

    def _say(self, frames: bytes) -> None:
        with self._lock:
            connections = self._feed.connections
        for connection in connections:
            connection.send(frames)

    # --- faults

    def drop(self) -> None:
        """Ends every WebSocket's TCP connection with FIN, without a close frame. What waits is not sent."""
        self._each(self._server.drop)

    def reset(self) -> None:
        """Ends every WebSocket's TCP connection with RST."""
        self._each(self._server.reset)

    def close(self, code: Optional[int] = 1000, reason: str = "") -> None:
        """Sends every client a close frame, then goes through the closing handshake.

        Args:
            code: Any, even one that must not be sent; None: an empty close frame.
            reason: At most 123 bytes of UTF-8 are legal.

        Raises:
            ValueError: The code does not fit into a close frame.
        """
        payload = websocket.close_payload(code, reason)
        self._each(lambda connection: self._server.close_websocket(connection, payload))

    def stall_mid_frame(self, opcode: int = 1, payload: bytes = HALF) -> None:
        """Sends every client a frame's header and half of its payload, then nothing more on that connection.

        Of what the client sends, messages are still seen and not answered.
        """
        header = websocket.frame_header(opcode, len(payload))
        self._each(lambda connection: connection.mute(header + bytes(payload[: len(payload) // 2])))

    def _each(self, fault: Callable[[Connection], None]) -> None:
        def strike() -> None:
            with self._lock:
                connections = self._feed.connections
            for connection in connections:
                fault(connection)

        self._server.call(strike)
        self._arrivals.changed()

    def freeze(self) -> None:
        """Stops reading and writing on all connections; new ones are accepted, and get no byte either.

        What is to be sent waits, up to `max_unsent`.
        """
        self._server.call(lambda: self._server.freeze(True))

    def thaw(self) -> None:
        """Reads and writes again, what has been waiting first."""
        self._server.call(lambda: self._server.freeze(False))

    def log_out(self, session_id: Optional[str] = None, *, revoke: bool = True) -> None:
        """Tells every client that a session was logged out. Connections stay open: the client has to leave.

        Args:
            session_id: None: the current session.
            revoke: Whether the session, and its access token, are refused with 401 from now on.
        """
        with self._acting():
            logged_out = self._sessions.current.session_id if session_id is None else session_id
            if revoke:
                self._sessions.revoke(logged_out)
            self.emit(EventMessageType.SESSION_LOGOUT, {"session_id": logged_out})

    def refuse_validation(
        self,
        status: int = 400,
        message: str = IN_USE,
        *,
        times: Optional[int] = 1,
        body: Body = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> None:
        """Refuses the next validations, after those that are refused already.

        Args:
            status: HTTP status.
            message: In the envelope.
            times: How many; None: all, until `allow`.
            body: Instead of the envelope: bytes, text, or an object that becomes JSON.
            headers: In addition.
        """
        with self._lock:
            self._sessions.validation_refusals.add(status, message, times, body, headers)

    def refuse_handshake(
        self,
        status: int = 401,
        message: str = "unknown session or access token",
        *,
        times: Optional[int] = 1,
        body: Body = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> None:
        """Refuses the next WebSocket handshakes. Arguments as of `refuse_validation`."""
        with self._lock:
            self._sessions.handshake_refusals.add(status, message, times, body, headers)

    def refuse_login(
        self,
        status: int = 401,
        message: str = "unknown API key",
        *,
        times: Optional[int] = 1,
        body: Body = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> None:
        """Refuses the next logins. Arguments as of `refuse_validation`."""
        with self._lock:
            self._sessions.login_refusals.add(status, message, times, body, headers)

    def refuse_calls(
        self,
        status: int = 503,
        message: str = "try again later",
        *,
        path: str = "",
        times: Optional[int] = 1,
        body: Body = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> None:
        """Refuses the next calls below ``/api/v1/trader/``, whatever their token.

        Args:
            path: What the calls meant begin with: ``"orders"`` are ``orders``, ``orders/history``, ``orders/5``;
                empty: all of them.
            status, message, times, body, headers: As of `refuse_validation`.
        """
        with self._lock:
            self._sessions.call_refusals.add(status, message, times, body, headers, path)

    def expire_token(self) -> None:
        """Lets the access token of the current session expire: calls and handshakes with it are refused with 401.

        The session goes on, and so does its WebSocket. The next login gives another token, then in `access_token`.
        """
        with self._lock:
            self._sessions.expire_token()

    def allow(self) -> None:
        """Forgets all refusals."""
        with self._lock:
            for refusals in (
                self._sessions.call_refusals,
                self._sessions.login_refusals,
                self._sessions.validation_refusals,
                self._sessions.handshake_refusals,
            ):
                refusals.clear()

    def hold_session(self) -> None:
        """Behaves as if another tab held the session: validations get "session is already used"."""
        with self._lock:
            self._sessions.held = True

    def release_session(self) -> None:
        """The other tab has been closed."""
        with self._lock:
            self._sessions.held = False

    # --- what arrived

    @property
    def requests(self) -> Tuple[Request, ...]:
        """The HTTP requests that arrived, WebSocket handshakes among them, the oldest first."""
        return self._arrivals.requests

    @property
    def messages(self) -> Tuple[Message, ...]:
        """The WebSocket messages and control frames that arrived, the oldest first."""
        return self._arrivals.messages

    @property
    def connections(self) -> int:
        """How many WebSockets are open now."""
        with self._lock:
            return len(self._feed.connections)

    @property
    def connections_total(self) -> int:
        """How many WebSockets have ever been opened; the number of the newest one."""
        with self._lock:
            return self._feed.total

    @property
    def unsent(self) -> int:
        """Bytes that wait for the slowest client, because the operating system does not take more."""
        with self._lock:
            return max((connection.unsent for connection in self._feed.connections), default=0)

    def wait_until_subscribed(self, *symbol_ids: int, account: bool = True, timeout: float = 10.0) -> None:
        """Blocks until a client receives what is about to happen.

        A client is connected before the simulator has read what it asks for: an order placed in that moment is
        seen by nobody.

        Args:
            symbol_ids: Symbols whose prices it receives.
            account: Whether it receives account events.
            timeout: In seconds.

        Raises:
            TimeoutError: No client asked for all of it in time.
        """

        def subscribed(sim: Simulator) -> bool:
            with sim._lock:
                return sim._feed.is_subscribed(symbol_ids, account)

        self.wait_for(subscribed, timeout)

    def wait_for(
        self, predicate: Callable[[Simulator], Union[T, Literal[False], None]], timeout: float = 10.0
    ) -> T:
        """Blocks until something is true; looks again whenever something arrived or changed.

        Args:
            predicate: Called with the simulator, on this thread and under no lock.
            timeout: In seconds.

        Returns:
            What the predicate returned, when that was true.

        Raises:
            TimeoutError: It did not become true in time; says what did arrive.
        """
        return self._arrivals.wait_for(lambda: predicate(self), timeout)
