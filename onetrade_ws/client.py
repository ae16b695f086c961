"""The client: connection, delivery and mirror put together."""

from __future__ import annotations

import copy
import functools
import os
import ssl
from datetime import datetime
from types import TracebackType
from typing import Any, Callable, List, Mapping, Optional, Sequence, Type, TypeVar, Union, cast

from .account import Account, Directory, Synchronizer
from .config import PRICE_COLUMNS, ReconnectPolicy, make_settings
from .connection import Connection, OutgoingMessage
from .deadline import Deadline
from .delivery.dispatcher import Dispatcher
from .delivery.observers import Callback, ObserverRegistry, Subscription
from .delivery.queue import EventQueue
from .delivery.waiting import EventStream, EventStreams, Expectation, Where
from .errors import (
    AccountUpdatesStoppedError,
    CallbackThreadError,
    ConfigurationError,
    NotConnectedError,
    WaitTimeoutError,
    detached,
)
from .health import Health, HealthStatus
from .protocol.codec import Codec
from .protocol.enums import EventMessageType
from .protocol.events import ClientEventType, ConnectionState, Event, EventType, StateChange
from .protocol.models import Candle, Order, Symbol
from .stats import Stats

_DEFAULT_POLICY = ReconnectPolicy()


C = TypeVar("C", bound="OneTradeClient")
F = TypeVar("F", bound=Callable[..., Any])


def _forgets_its_arguments(call: F) -> F:
    """``call``, of whose arguments nothing is left where a setting is refused: some are secrets, others may hold one by
    mistake, and there are tools that print the locals of every frame of a traceback."""

    @functools.wraps(call)
    def checked(*arguments: Any, **named: Any) -> Any:
        try:
            return call(*arguments, **named)
        except (ConfigurationError, TypeError) as error:
            if not _is_about_arguments(error):
                raise
            problem = detached(error)
        del arguments, named
        raise problem

    return cast(F, checked)


def _is_about_arguments(error: Exception) -> bool:
    """Whether a setting is wrong, or there is none of that name: not where the program's own class goes wrong."""
    here = _is_about_arguments.__code__.co_filename
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == here:
        trace = trace.tb_next
    return trace is None or isinstance(error, ConfigurationError)


class OneTradeClient:
    """A connection to OneTrade's WebSocket API that keeps itself alive.

    Making a client connects nothing; every method may be called before :meth:`connect`, and what it asks for is
    remembered. As a context manager it connects, and disconnects at the end. All methods may be called on any
    thread, and inside callbacks where their description does not say otherwise.

    Either ``session_id`` and ``access_token`` or ``api_key`` are needed. All settings are checked here.

    :param url: the WebSocket address, ``wss://host[:port]``
    :param session_id: the session that the WebSocket is opened for
    :param access_token: the token that belongs to it
    :param api_key: instead of those two: logs in first, for each :meth:`connect` (vendor SDK), or for an HTTP call
        before it, which does for both
    :param http_url: the address of the HTTP calls; None: that of ``url``, with ``https`` for ``wss``
    :param account_updates: whether connecting starts account updates (specification, connection flow, step 4)
    :param snapshot: whether the account is loaded over HTTP, each time that a connection with account updates has been
        made (vendor SDK): :attr:`account` then knows what was there before. Not offered by the server, it does not harm
    :param dispatch: ``"thread"``: callbacks run on a thread of the client's own; ``"manual"``: on the thread that
        calls :meth:`pump`
    :param heartbeat_interval: seconds between two heartbeats (specification: 30)
    :param heartbeat_timeout: seconds that the answer to a heartbeat may take, and a message to be written; a peer
        that gives no sign of life for interval and timeout together is given up, and the connection made anew
    :param connect_timeout: seconds for making a connection
    :param reconnect: when to try again after a loss, and when to give up; None: never try again
    :param stale_after: seconds without any quote, while symbols are subscribed to, after which ``STALE`` is said; None:
        never
    :param max_message_size: bytes that a message of the server may have; a larger one is not received: the connection
        is failed with code 1009 (RFC 6455) and made anew
    :param strict_utf8: fail the connection with code 1007 over a text message that is not UTF-8, as RFC 6455 has it;
        otherwise it is a ``DECODE_ERROR`` event, and the stream goes on
    :param queue_limit: bytes that may wait for the callbacks. Long before, while callbacks do not keep up, quotes give
        way to newer ones of their symbol and profit updates to newer ones of their position; when they are full all the
        same, reading stops
    :param outgoing_limit: messages that may wait while the connection is not open
    :param events_limit: events that may wait unread in one :meth:`events` iterator
    :param history_limit: how many finished orders, closed positions, deals, reports, journal entries and
        notifications the mirror keeps, of each
    :param price_columns: the columns of a price frame in their order, should the vendor change them
    :param ssl_context: for servers whose certificates the system does not know; None: Python's default context
    :param proxy: for the WebSocket and the HTTP calls: ``http://``, ``socks5://``, ``socks5h://``, ``socks4://`` or
        ``socks4a://``, then ``[user:password@]host[:port]``; ``"direct"``: none; None: what the environment says
        (``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY``, ``NO_PROXY``, the system's settings on Windows and macOS). A
        proxy needs the extra ``proxy``: ``pip install "onetrade-ws[proxy]"``
    :param allow_plaintext: allow ``ws://`` and ``http://`` to other machines than this one, where anybody on the way
        can read the credentials
    :raises ConfigurationError: for the first setting that is wrong
    """

    @_forgets_its_arguments
    def __init__(
        self,
        url: str,
        *,
        session_id: Optional[str] = None,
        access_token: Optional[str] = None,
        api_key: Optional[str] = None,
        http_url: Optional[str] = None,
        account_updates: bool = True,
        snapshot: bool = True,
        dispatch: str = "thread",
        heartbeat_interval: float = 30.0,
        heartbeat_timeout: float = 10.0,
        connect_timeout: float = 10.0,
        reconnect: Optional[ReconnectPolicy] = _DEFAULT_POLICY,
        stale_after: Optional[float] = 60.0,
        max_message_size: int = 16 * 1024 * 1024,
        strict_utf8: bool = False,
        queue_limit: int = 64 * 1024 * 1024,
        outgoing_limit: int = 10_000,
        events_limit: int = 100_000,
        history_limit: int = 10_000,
        price_columns: Sequence[str] = PRICE_COLUMNS,
        ssl_context: Optional[ssl.SSLContext] = None,
        proxy: Optional[str] = None,
        allow_plaintext: bool = False,
    ) -> None:
        settings = make_settings(
            url,
            session_id=session_id,
            access_token=access_token,
            api_key=api_key,
            http_url=http_url,
            account_updates=account_updates,
            snapshot=snapshot,
            dispatch=dispatch,
            heartbeat_interval=heartbeat_interval,
            heartbeat_timeout=heartbeat_timeout,
            connect_timeout=connect_timeout,
            reconnect=reconnect,
            stale_after=stale_after,
            max_message_size=max_message_size,
            strict_utf8=strict_utf8,
            queue_limit=queue_limit,
            outgoing_limit=outgoing_limit,
            events_limit=events_limit,
            history_limit=history_limit,
            price_columns=price_columns,
            ssl_context=ssl_context,
            proxy=proxy,
            allow_plaintext=allow_plaintext,
        )
        self._settings = settings
        self._directory = Directory(self._ask_for_symbols)
        self._account = Account(settings.history_limit, self._directory)
        self._observers = ObserverRegistry()
        self._queue = EventQueue(settings.queue_limit, settings.price_columns)
        policy = settings.reconnect
        self._synchronizer = Synchronizer(
            self._queue.announce,
            None if policy is None else policy.delay_after,
            stable_after=0.0 if policy is None else policy.stable_after,
            enabled=settings.snapshot,
            wanted=settings.account_updates,
        )
        self._account.on_doubt = self._synchronizer.doubt
        self._connection = Connection(
            settings,
            deliver=self._queue.put,
            wake=self._queue.wake,
            announce=self._announce,
            load=self._synchronizer.run,
            wake_loading=self._synchronizer.wake,
            load_again=self._synchronizer.request,
            want_account=self._synchronizer.want,
        )
        self._dispatcher = Dispatcher(
            self._queue,
            Codec(settings.price_columns, self._connection.hide_in),
            self._observers,
            mirror=self._account.consumer,
            threaded=settings.dispatch == "thread",
        )
        self._streams = EventStreams(self._dispatcher, self._observers, settings.events_limit)

    @classmethod
    @_forgets_its_arguments
    def from_env(cls: Type[C], environ: Optional[Mapping[str, str]] = None, **settings: Any) -> C:
        """A client whose address and credentials come from environment variables: ``ONETRADE_WS_URL`` and, as far as
        they are set, ``ONETRADE_HTTP_URL``, ``ONETRADE_SESSION_ID``, ``ONETRADE_ACCESS_TOKEN``, ``ONETRADE_API_KEY``.

        :param environ: instead of ``os.environ``
        :param settings: as for the class; they win over the environment
        :raises ConfigurationError: when ``ONETRADE_WS_URL`` is not set, or a setting is wrong
        """
        environ = os.environ if environ is None else environ
        names = ["http_url", "session_id", "access_token", "api_key"]
        # Credentials of one kind that are given rule out those of the other kind in the environment.
        if settings.get("api_key") is not None:
            names = ["http_url"]
        elif settings.get("session_id") is not None or settings.get("access_token") is not None:
            names.remove("api_key")
        for name in names:
            value = environ.get(f"ONETRADE_{name.upper()}")
            if value:
                settings.setdefault(name, value)
        url = settings.pop("url", None) or environ.get("ONETRADE_WS_URL")
        if not url:
            raise ConfigurationError(
                "ONETRADE_WS_URL",
                None,
                "it holds the address, like wss://host",
                "the environment variable ONETRADE_WS_URL is not set",
            )
        wanted = ["api_key"] if settings.get("api_key") is not None else ["session_id", "access_token"]
        for name in wanted:
            if settings.get(name) is None:
                raise ConfigurationError(
                    name,
                    None,
                    "it takes ONETRADE_SESSION_ID and ONETRADE_ACCESS_TOKEN together, or ONETRADE_API_KEY",
                    f"the environment variable ONETRADE_{name.upper()} is not set",
                )
        return cls(url, **settings)

    # -- the connection -------------------------------------------------------------------------------------

    def connect(self, timeout: Optional[float] = None) -> None:
        """Validate the session, open the WebSocket, start what is wanted; return when OPEN.

        Blocks. What may pass (the network, a server error) is tried again until the time is over, not before the server
        would have it (``Retry-After``), each time with a log line; a final answer raises at once, and so does one after
        which the next attempt would come too late. A client that is open already returns at once; one that is
        reconnecting is waited for. When it raises, it leaves no thread behind.

        :param timeout: seconds; None: the ``connect_timeout`` setting
        :raises SessionInUseError: another program or browser tab holds the session
        :raises AuthenticationError: the server refuses the credentials (401, 403)
        :raises CertificateError: the server's certificate is not accepted
        :raises ConfigurationError: what the environment says of proxies or certificates is wrong, or an extra is
            missing
        :raises ConnectTimeoutError: no connection in time, or none possible any more; ``last_error`` says what the
            trouble was
        :raises OneTradeError: without a reconnect policy, what went wrong the first time
        """
        try:
            self._connection.connect(timeout)
        except BaseException:
            # Ctrl-C, too: whatever it is, no thread stays behind.
            if self.state is ConnectionState.CLOSED:
                self._finish_delivery(self._dispatcher.life, Deadline(self._settings.connect_timeout))
            raise

    def disconnect(self, timeout: float = 5.0) -> None:
        """Close the connection for good, deliver what has arrived, end all threads.

        Idempotent, and legal inside a callback: it then does not wait for the callbacks, which end after it. HTTP calls
        under way on other threads (:meth:`candles`, :meth:`answer_requote`) end, too, and raise. :meth:`connect` works
        again afterwards. Messages that wait stay queued. What has begun goes on by itself when Ctrl-C ends the call.
        In a signal's handler that has interrupted another call it may take its timeout and a second, and the rest
        happens when that call goes on.

        :param timeout: seconds after which it returns all the same; a callback that takes longer is left behind, and
            what the server sent after its event then reaches :attr:`account`, but no callback (unless
            :meth:`connect` is called before it returns)
        """
        deadline = Deadline(timeout)
        life = self._dispatcher.life
        self._connection.disconnect(deadline)
        # Else a signal's handler has interrupted what this needs: the life ends, and delivers, when that goes on.
        if self.state is ConnectionState.CLOSED:
            self._finish_delivery(life, deadline)

    def _finish_delivery(self, life: int, deadline: Deadline) -> None:
        if not self._dispatcher.finish(life, deadline):
            self._streams.release(life, StateChange(old=ConnectionState.CLOSING, new=ConnectionState.CLOSED))

    def _announce(self, event: Event) -> None:
        # Changes of state come one after the other, whatever thread they come from: so do these beginnings and ends.
        change = event.data if event.type is ClientEventType.STATE_CHANGED else None
        if change is not None and change.old is ConnectionState.CLOSED:
            # In this order: a thread may not be had, and then nothing has begun.
            self._dispatcher.start()
            self._streams.begin()
        if change is not None:
            self._synchronizer.state_changed(change.new)
        self._queue.announce(event)
        if change is not None and change.new is ConnectionState.CLOSING:
            self._queue.lift_limit()
        if change is not None and change.new is ConnectionState.CLOSED:
            self._queue.close()

    @property
    def state(self) -> ConnectionState:
        """The connection's state now. Callbacks learn of a change later, in order: ``STATE_CHANGED``."""
        return self._connection.state

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Block until the client is CLOSED and everything has been delivered; Ctrl-C gets through, on Windows too.

        With ``dispatch="manual"`` callbacks run meanwhile, on this thread.

        :param timeout: seconds; None: as long as it takes
        :returns: True after ``disconnect()``; False when the time was over before
        :raises OneTradeError: why the client ended, when nobody disconnected it: logged out, session in use,
            refused, or the reconnect policy's limit
        :raises NotConnectedError: when ``connect()`` was never called
        :raises CallbackThreadError: inside a callback, which would wait for itself
        """
        if self._streams.never_connected:
            raise NotConnectedError("wait() before connect()")
        if self._dispatcher.is_delivering_here():
            raise CallbackThreadError("wait()", "a callback would wait for itself; let it return")
        deadline = Deadline(timeout)
        if not self._dispatcher.wait_until_delivered(deadline):
            return False
        reason = self._connection.reason
        if reason is not None:
            raise detached(reason)
        return True

    # -- sending --------------------------------------------------------------------------------------------

    def subscribe_market(self, symbol: Union[int, str]) -> None:
        """Receive the prices of a symbol: ``market_subscribe_symbol`` (specification).

        Remembered, and restored once on each new connection. Asking twice sends once. Blocks only while the server
        takes nothing; and, for a name, while the server is asked for its symbols: when they are not known yet, or none
        of them has this name and they were told more than a minute ago.

        :param symbol: a symbol's id, or its name: ``"EURUSD"``
        :raises EncodeError: when it is neither
        :raises UnknownSymbolError: when no symbol has this name; it lists those that look like it
        :raises OneTradeError: when the server cannot be asked for its symbols; use the id then
        """
        symbol_id = self._directory.id_of(symbol, self._http_deadline(None))
        self.send(EventMessageType.MARKET_SUBSCRIBE_SYMBOL, symbol_id)

    def unsubscribe_market(self, symbol: Union[int, str]) -> None:
        """Receive the prices of a symbol no more: ``market_unsubscribe_symbol`` (specification).

        :param symbol: as for :meth:`subscribe_market`, and so are the errors raised
        """
        symbol_id = self._directory.id_of(symbol, self._http_deadline(None))
        self.send(EventMessageType.MARKET_UNSUBSCRIBE_SYMBOL, symbol_id)

    def start_account_all(self) -> None:
        """Receive orders, positions, deals and so on: ``start_account_all`` (specification).

        Connecting does it, unless ``account_updates=False``. Remembered, and restored once on each new connection.
        """
        self.send(EventMessageType.START_ACCOUNT_ALL)

    def stop_account_all(self) -> None:
        """Receive account updates no more: ``stop_account_all`` (specification). Remembered.

        :attr:`account` stays as it is, and is ``STALE`` from then on.
        """
        self.send(EventMessageType.STOP_ACCOUNT_ALL)

    def send(self, event_type: str, data: Any = None) -> OutgoingMessage:
        """Send ``{"type": event_type, "data": data}``, or queue it while the connection is not open.

        What waits goes out in order on the next connection, after the subscriptions. Blocks only while the server
        takes nothing: at most ``heartbeat_timeout`` seconds for a message, and it goes after those that wait. The
        four subscription messages are not queued but remembered, as by the methods for them.

        Where Ctrl-C ends this call, nobody knows whether the message was sent, or is going to be. The connection is
        then mostly lost too, for nobody knows how far the writing came; the next one restores what is remembered.

        :param event_type: an :class:`.EventMessageType`, or a string for a type that this library does not know
        :param data: anything that JSON can hold
        :returns: by which to know afterwards what became of the message: written, not sent, or unknown
        :raises EncodeError: when it is not JSON; nothing is queued
        :raises QueueFullError: when ``outgoing_limit`` messages wait already; nothing is queued
        """
        return self._connection.send(event_type, data)

    # -- over HTTP ------------------------------------------------------------------------------------------

    def candles(
        self,
        symbol: Union[int, str],
        from_: datetime,
        to: Optional[datetime] = None,
        resolution: Union[int, str] = 1,
        *,
        timeout: Optional[float] = None,
    ) -> List[Candle]:
        """The prices of the past: ``GET symbols/ticks/history/{id}`` (vendor SDK). Blocks; needs no connection.

        What may pass (the network, 5xx, too many requests) is tried again until the time is over, unless the server
        asks to wait for longer (``Retry-After``). A server gives so many candles at a time; this asks until it has them
        all.

        :param symbol: its id, or its name, for which the server may be asked first, as by :meth:`subscribe_market`
        :param from_: the first moment at which a candle may begin, with a time zone
        :param to: the last; None: now. The candle of now is still growing
        :param resolution: minutes of a candle: 1, 5, 60, …; or what else the server knows: ``"D"``, ``"W"``
        :param timeout: seconds; None: the ``connect_timeout`` setting
        :returns: the oldest first, each once; none where there were no prices. A pause of more than a month, for a
            server that looks no further back at a time, is the beginning
        :raises TypeError: when a time is no datetime
        :raises ValueError: when a time has no time zone, or the resolution is neither
        :raises UnknownSymbolError: when no symbol has this name; it lists those that look like it
        :raises ServerError: when the server refuses: a symbol or a resolution that it does not know, for example
        :raises AnswerError: when the answer makes no sense
        :raises NetworkError: when no answer comes in time
        :raises ConnectionLostError: when :meth:`disconnect` is called meanwhile
        """
        for name, moment in (("from_", from_), ("to", to)):
            if not isinstance(moment, datetime) and (moment is not None or name == "from_"):
                raise TypeError(f"{name}={moment!r}: a datetime with a time zone")
        deadline = self._http_deadline(timeout)
        symbol_id = self._directory.id_of(symbol, deadline)
        return self._connection.ask(lambda trader: trader.candles(symbol_id, from_, to, resolution, deadline))

    def answer_requote(self, order: Order, accept: bool, *, timeout: Optional[float] = None) -> None:
        """Say yes or no to the price that the server offers for an order instead of the one asked for: what the
        specification asks of the user after ``dealing_order_requote``; ``POST orders/{id}/approval`` (vendor SDK).

        Blocks; needs no connection. It is asked for once, never again by itself. When it returns, the server has taken
        the answer; what comes of it, the order's events say.

        :param order: the requoted order, as the event or :attr:`account` has it
        :param accept: whether to trade at ``order.price_order``
        :param timeout: seconds; None: the ``connect_timeout`` setting
        :raises TypeError: when it is no order but its id, say
        :raises RequoteOverError: the order does not wait for an answer any more: too late
        :raises RequoteRefusedError: the server refuses the answer
        :raises UnknownOrderError: the server knows no such order
        :raises OutcomeUnknownError: no answer came, or HTTP 5xx, or :meth:`disconnect` was called before it did: the
            server may have acted or not
        :raises ServerError: the server is asked too often (:exc:`.RateLimitedError`), or refuses the credentials
            (:exc:`.AuthenticationError`)
        :raises NetworkError: the server could not be asked
        """
        if not isinstance(order, Order):
            raise TypeError(f"order={order!r}: an Order, as the event or client.account.orders has it")
        account, deadline = self._account.account, self._http_deadline(timeout)
        user_id = None if account is None else account.user_id
        self._connection.ask(
            lambda trader: trader.answer_requote(order.id, order.account_id, user_id, accept, deadline)
        )

    def _ask_for_symbols(self, deadline: Deadline) -> Sequence[Symbol]:
        return self._connection.ask(lambda trader: trader.symbols(deadline))

    def _http_deadline(self, timeout: Optional[float]) -> Deadline:
        return Deadline(self._settings.connect_timeout if timeout is None else timeout)

    # -- receiving ------------------------------------------------------------------------------------------

    def subscribe(self, event_type: Optional[EventType], callback: Callback) -> Subscription:
        """Have ``callback(event)`` called for each event of a type.

        Callbacks run one after the other, on the client's dispatcher thread or inside :meth:`pump`. One that raises
        is logged with its traceback and reported as ``CALLBACK_ERROR``; the next one runs. Subscribing the same
        callback for the same type twice calls it once.

        :param event_type: an :class:`.EventMessageType`, a :class:`.ClientEventType`, a string for a type that
            this library does not know, or None for everything
        :returns: a :class:`.Subscription`; its ``cancel()`` is :meth:`unsubscribe`
        :raises TypeError: when either argument is of a wrong kind
        """
        return self._observers.add(event_type, callback)

    def unsubscribe(self, event_type: Optional[EventType], callback: Callback) -> bool:
        """Do not call ``callback`` for this type any more, not even for an event that is being delivered now.

        :returns: whether it was subscribed
        """
        return self._observers.remove(event_type, callback)

    def pump(self, max_seconds: float = 0.01, timeout: Optional[float] = 0.0) -> int:
        """Run callbacks on this thread: with ``dispatch="manual"``, from the host's timer or loop.

        Legal inside a callback, as a dialog that it opens may run the host's timers: what comes next is delivered.
        Where Ctrl-C ends it, the event that was being delivered may not have reached every callback.

        :param max_seconds: seconds after which no further event is begun
        :param timeout: seconds to wait for the first event; None: until there is one, or the client has ended
        :returns: how many events were begun
        :raises CallbackThreadError: without ``dispatch="manual"``, or while another thread pumps
        """
        return self._dispatcher.pump(max_seconds, timeout)

    def events(self, *event_types: Optional[EventType], timeout: Optional[float] = None) -> EventStream:
        """An iterator over events, for code without callbacks.

        It receives from this call on. It ends after ``disconnect()``, or when no event came within ``timeout``;
        when the client ended for a reason, it raises that, after the events that came before. Usable in a
        ``with`` block, whose end unsubscribes; letting go of it does, too. With ``dispatch="manual"`` reading it
        runs callbacks on this thread.

        :param event_types: as for :meth:`subscribe`; none: everything
        :param timeout: seconds to wait for each event; None: as long as it takes
        :raises NotConnectedError: (while iterating) when ``connect()`` was never called
        :raises SlowConsumerError: (while iterating) when ``events_limit`` events waited unread; of quotes and
            profit updates only the newest of each symbol and position are kept before it comes to that
        :raises CallbackThreadError: (while iterating) inside a callback, which would wait for itself; with
            ``dispatch="manual"`` it is legal there
        """
        return self._streams.open(event_types, timeout)

    def expect(
        self, event_type: Optional[EventType], where: Optional[Where] = None, timeout: Optional[float] = None
    ) -> Expectation:
        """Wait for an event that something inside a ``with`` block sets off, without missing it::

            with client.expect(EventMessageType.ORDERS_PLACE, timeout=5) as expected:
                place_the_order()
            order = expected.event.data

        It receives from this call on; the end of the block waits.

        :param event_type: as for :meth:`subscribe`
        :param where: called with each event of the type, on the waiting thread; the first one for which it is true
            is it
        :param timeout: seconds from the end of the block; None: as long as it takes
        :raises WaitTimeoutError: (at the end of the block) when it did not come in time
        :raises NotConnectedError: (at the end of the block) when the client is not connected
        :raises OneTradeError: (at the end of the block) why the client ended before
        :raises CallbackThreadError: (at the end of the block) inside a callback, which would wait for itself; with
            ``dispatch="manual"`` it is legal there
        """
        what = "event" if event_type is None else str(event_type)
        return Expectation(self._streams.open([event_type], None), what, where, timeout)

    def wait_for(
        self, event_type: Optional[EventType], where: Optional[Where] = None, timeout: Optional[float] = None
    ) -> Event:
        """Block until an event comes: :meth:`expect` with nothing in the block. An event that came before this call
        does not count.

        :returns: the event
        """
        return self.expect(event_type, where, timeout).wait()

    def resync(self) -> None:
        """Compare :attr:`account` with the server again, as after each loss: ``RESYNCED`` follows.

        Does not block; without a connection, the next one does it anyway. Not with ``snapshot=False``, nor without
        account updates.
        """
        self._synchronizer.request()

    def wait_until_current(self, timeout: Optional[float] = None) -> None:
        """Block until :attr:`account` is what the server has: loaded over HTTP since the connection was made, and since
        :meth:`resync` was called last. As far as the client knows: a loss counts from when it has been noticed, which
        ``STATE_CHANGED`` says.

        With ``dispatch="manual"`` callbacks run meanwhile, on this thread.

        :param timeout: seconds; None: as long as it takes
        :raises WaitTimeoutError: when it was not in time; its ``last_error`` says why the last attempt failed, where
            one did
        :raises NotFoundError: when the server does not offer the account, or a part of it, over HTTP
        :raises AuthenticationError: when the server refuses the credentials
        :raises NotConnectedError: when the client is not connected
        :raises ConfigurationError: with ``snapshot=False``: it would never be
        :raises AccountUpdatesStoppedError: without account updates: nor would it then
        :raises OneTradeError: why the client ended, or without a reconnect policy why the account could not be loaded
        :raises CallbackThreadError: inside a callback, which would wait for itself
        """
        if not self._settings.snapshot:
            raise ConfigurationError(
                "snapshot", False, "with snapshot=False the account is never loaded", "wait_until_current()"
            )
        if not self._connection.outgoing.wants_account:
            raise AccountUpdatesStoppedError
        # Account updates may be stopped while there is no connection: then its opening is all that comes.
        said = (ClientEventType.RESYNCED, ClientEventType.RESYNC_FAILED, ClientEventType.STATE_CHANGED)
        stream = self._streams.open(said, None)
        expectation = Expectation(stream, "up-to-date account", self._is_settled, timeout)
        if self._is_settled():
            stream.close()
        else:
            self._wait_until_settled(expectation)
        if not self._connection.outgoing.wants_account:
            raise AccountUpdatesStoppedError
        for status in self._account.status.values():
            if status.reason is not None:
                # A copy: what it is raised through would stay with the one that the status keeps.
                raise copy.copy(status.reason)

    def _wait_until_settled(self, expectation: Expectation) -> None:
        try:
            expectation.wait()
        except WaitTimeoutError as error:
            problem = WaitTimeoutError(error.what, error.timeout, self._synchronizer.trouble)
        else:
            return
        raise problem

    def _is_settled(self, _: object = None) -> bool:
        return self._synchronizer.is_settled(self._account.load_taken)

    @property
    def account(self) -> Account:
        """The mirror: what the events so far add up to. See :class:`.Account`."""
        return self._account

    def stats(self) -> Stats:
        """A snapshot of counters and gauges. On any thread; does not block."""
        # In this order: each is counted as delivered first.
        undecoded = self._dispatcher.undecoded
        delivered = self._dispatcher.delivered
        connection = self._connection
        lag_median, lag_p99 = self._dispatcher.lags.quantiles(0.5, 0.99)
        return Stats(
            connections=connection.counters.connections,
            frames_received=connection.counters.frames,
            bytes_received=connection.counters.bytes,
            messages_written=connection.outgoing.written,
            messages_waiting=len(connection.outgoing),
            messages_unknown=connection.outgoing.unknown,
            events=delivered,
            merged_events=self._queue.merged + self._streams.merged,
            decoded_events=sum(delivered[each] for each in delivered if isinstance(each, str)) - undecoded,
            decode_errors=delivered.get(ClientEventType.DECODE_ERROR, 0),
            callback_errors=self._dispatcher.callback_errors,
            queued_bytes=self._queue.bytes,
            queued_bytes_high_water=self._queue.high_water,
            lag_median=lag_median,
            lag_p99=lag_p99,
            reconnects=dict(connection.counters.reconnects),
            heartbeat_round_trip=connection.heartbeat_round_trip,
        )

    def health(self) -> Health:
        """How the connection is at this moment. On any thread; does not block."""
        connection = self._connection
        connected = connection.state is ConnectionState.OPEN
        status = HealthStatus.LIVE
        if not connected:
            status = HealthStatus.DOWN
        elif connection.freshness.is_stale:
            status = HealthStatus.STALE
        return Health(
            status=status,
            connected=connected,
            session_valid=connection.session_valid,
            last_message_age=connection.last_message_age,
            last_quote_age=connection.freshness.last_quote_age,
            heartbeat_round_trip=connection.heartbeat_round_trip,
        )

    def __enter__(self) -> OneTradeClient:
        self.connect()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.disconnect()

    def __repr__(self) -> str:
        if not hasattr(self, "_connection"):
            # A traceback with locals shows one that could not be made.
            return "<OneTradeClient, not made>"
        return f"<OneTradeClient {self._settings.host} {self.state.name}>"
