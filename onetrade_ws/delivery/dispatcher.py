"""The dispatcher: decodes, updates the mirror, then calls the observers, in the order in which the frames arrived."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Literal, Optional, Sequence, Tuple, Union

from ..deadline import Condition, Deadline
from ..errors import CallbackThreadError
from ..protocol.codec import Codec, Undecoded
from ..protocol.enums import EventMessageType
from ..protocol.events import (
    CallbackError,
    ClientEventType,
    ConnectionState,
    Event,
    EventType,
    StateChange,
)
from .lags import Lags
from .observers import Callback, ObserverRegistry, same
from .queue import EventQueue, Item

logger = logging.getLogger("onetrade_ws.delivery")

#: Under what name events of types that this library does not know are counted, all together: a server could make
#: up any number of names.
UNKNOWN = "unknown"

# Seconds between two looks at the deadline, while wait() delivers on the host's thread.
_SLICE = 0.1
# Seconds that the dispatcher gets to end, when the time is over already.
_MOMENT = 0.1

# What is taken from the queue is out of reach of newer quotes. So it is as much as can be delivered in this time, in
# seconds, and at most so many messages: enough to decode them together.
_TAKEN_FOR = 0.004
_TAKEN_AT_MOST = 256
_TAKEN_AT_FIRST = 16

#: Takes an event before any observer does; of one of the client's own it may say what observers get in its place, or
#: False: nothing.
Consumer = Callable[[Event], Union[Event, Literal[False], None]]

# Who takes an event, what counts it, and whom to call: each with what it is subscribed for.
_Route = Tuple[Optional[Consumer], List[int], List[Tuple[Optional[EventType], Callback]]]


class Dispatcher:
    """Delivers events on a thread of its own, or on the thread that calls :meth:`pump`.

    A callback runs without any lock held. It may subscribe, unsubscribe, send, disconnect, and in manual mode pump
    again (a dialog that it opens may run the host's timers): a nested pump goes on with what comes next.

    :param mirror: says for a type of events who takes them before the observers do, or None
    :param threaded: whether it has a thread of its own
    """

    def __init__(
        self,
        queue: EventQueue,
        codec: Codec,
        observers: ObserverRegistry,
        *,
        mirror: Callable[[EventType], Optional[Consumer]],
        threaded: bool,
    ) -> None:
        #: From the receipt of a message to its first callback: of the first of each that are decoded together.
        self.lags = Lags()
        #: How many of the delivered events were only counted.
        self.undecoded = 0
        #: How many callbacks raised.
        self.callback_errors = 0
        self._queue = queue
        self._codec = codec
        self._observers = observers
        self._mirror = mirror
        #: Called when the end of a life has been delivered.
        self.on_end: Callable[[StateChange], None] = lambda change: None
        #: Whether it has a thread of its own.
        self.threaded = threaded
        # How many events were delivered, by type: each in a list of its own, which costs less to add to than a dict.
        self._delivered: Dict[EventType, List[int]] = {}
        # As of a version of the registry.
        self._routes: Dict[EventType, _Route] = {}
        self._routes_version = -1
        # How many messages to take from the queue together.
        self._quantum = _TAKEN_AT_FIRST
        # When that was done last, on the monotonic clock; None when not all of the time since went into delivering.
        self._got_at: Optional[float] = None
        # What has been taken from the queue: items not decoded yet; events not begun yet, with what stays undecoded
        # among them; calls of the present event not made yet. Only the thread that delivers touches them. They outlive
        # a callback that ends a pump with KeyboardInterrupt.
        self._items: Deque[Item] = deque()
        self._events: Deque[Any] = deque()
        self._calls: Deque[Tuple[Optional[EventType], Callback, Event]] = deque()
        # What is to be said of callbacks that raised, before the next event.
        self._reports: Deque[Event] = deque()
        self._ending: Optional[StateChange] = None
        # Guards which thread delivers, and the start and end of ours. Waited on for its end.
        self._condition = Condition()
        self._lives = 0
        self._thread: Optional[threading.Thread] = None
        self._deliverer: Optional[threading.Thread] = None
        self._discarding = False

    @property
    def delivered(self) -> Dict[EventType, int]:
        """How many events were delivered, by type. On any thread."""
        return {event_type: count for event_type, (count,) in list(self._delivered.items())}

    # -- a life ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """A life begins: open the queue, and start the thread, when there is to be one and it does not run."""
        with self._condition:
            if self.threaded and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="onetrade-ws dispatcher", daemon=True)
                try:
                    self._thread.start()
                except Exception:
                    # There is no memory for it, and no life without it.
                    self._thread = None
                    raise
            self._lives += 1
            self._discarding = False
            self._queue.open()
            self._condition.notify_all()

    @property
    def life(self) -> int:
        """The number of the present life, or of the last one."""
        return self._lives

    def finish(self, life: int, deadline: Deadline) -> bool:
        """A life is over and the queue closed: let the thread deliver what has arrived, and wait for its end.

        Blocks until ``deadline`` at most, and not at all inside a callback: the thread then ends after it. What the
        server sent and cannot be delivered in time still reaches the mirror, after the callback that takes so
        long, but no observer. In manual mode what has arrived stays for :meth:`pump`.

        :returns: False when a callback did not return in time
        """
        # However late it is, who has nothing to do is not taken for one that is stuck.
        deadline = Deadline(_MOMENT) if deadline.expired else deadline
        with self._condition:
            thread = self._thread
            if thread is None or self.is_delivering_here():
                return True
            # connect(), on another thread or in a callback, may have begun a new life, which keeps the thread.
            if not deadline.wait_for(
                self._condition, lambda: self._thread is not thread or self._lives != life
            ):
                self._discarding = True
                self._condition.notify_all()
            elif self._thread is thread:
                return True
            stuck = self._discarding
        if stuck:
            # Logged when the callback has returned, and not on this thread: a log handler of the program's may wait for
            # it, or for one that waits for it.
            return False
        return deadline.join(thread)

    def wait_until_delivered(self, deadline: Deadline) -> bool:
        """Block until a life is over and everything has been delivered, or never will be because a callback does not
        return; in manual mode, deliver meanwhile.

        :returns: False when the time was over before
        """
        if self.threaded:
            with self._condition:
                thread = self._thread
                over = deadline.wait_for(
                    self._condition, lambda: self._thread is not thread or thread is None or self._discarding
                )
                stuck = self._discarding
            # It says first that it ends.
            return over and (thread is None or stuck or deadline.join(thread))
        while not self._queue.is_exhausted or self._has_taken:
            if deadline.expired:
                return False
            self.pump(_SLICE, deadline.remaining())
        return True

    def is_delivering_here(self) -> bool:
        """Whether this is the thread that delivers, inside a callback."""
        return self._deliverer is threading.current_thread()

    def _run(self) -> None:
        self._enter("the dispatcher")
        while True:
            items = self._get(Deadline(None))
            if items is not None:
                self._items.extend(items)
                while self._step(None):
                    pass
                continue
            with self._condition:
                # connect() may have been called since: then this thread goes on.
                if self._queue.is_exhausted:
                    self._thread = self._deliverer = None
                    self._condition.notify_all()
                    break
        if self._discarding:
            # A log handler of the program's may raise.
            with contextlib.suppress(BaseException):
                logger.warning(
                    "a callback has not returned in time; what waited behind it reached the mirror alone"
                )

    # -- the host's thread ----------------------------------------------------------------------------------

    def pump(self, max_seconds: float, timeout: Optional[float]) -> int:
        """Deliver on this thread.

        :param max_seconds: seconds after which no further event is begun
        :param timeout: seconds to wait for the first event; None: until there is one, or the client has ended
        :returns: how many events were begun
        :raises CallbackThreadError: when another thread delivers
        """
        if self.threaded:
            raise CallbackThreadError(
                "pump()", 'it goes with dispatch="manual"; this client has a thread for it'
            )
        # Inside a callback the outer one goes on.
        nested = self.is_delivering_here()
        # Not in a "finally": it may be the end itself that Ctrl-C interrupts, and would not be made up for.
        try:
            self._enter("pump()")
            before = sum(self.delivered.values())
            self._take(Deadline(timeout))
            budget = Deadline(max_seconds)
            while self._step(budget) or (not budget.expired and self._take(Deadline(0))):
                pass
            begun = sum(self.delivered.values()) - before
            self._leave(nested)
        except BaseException:
            self._leave(nested)
            raise
        return begun

    @property
    def _has_taken(self) -> bool:
        return bool(self._items or self._events or self._calls or self._reports or self._ending)

    def _take(self, deadline: Deadline) -> bool:
        if self._has_taken:
            return True
        items = self._get(deadline)
        if not items:
            return False
        self._items.extend(items)
        return True

    def _get(self, deadline: Deadline) -> Optional[Sequence[Item]]:
        """Take as much as seems right, after how long it took to deliver what was taken before."""
        if self._got_at is not None:
            took = time.monotonic() - self._got_at
            if took > _TAKEN_FOR:
                self._quantum = max(1, self._quantum // 2)
            elif took < _TAKEN_FOR / 2:
                self._quantum = min(_TAKEN_AT_MOST, self._quantum * 2)
        items = self._queue.get(deadline, self._quantum)
        self._got_at = time.monotonic() if items else None
        return items

    def _enter(self, call: str) -> None:
        with self._condition:
            current = threading.current_thread()
            if self._deliverer not in (None, current):
                raise CallbackThreadError(
                    call, "another thread delivers events now, and callbacks belong to one"
                )
            self._deliverer = current

    def _leave(self, nested: bool) -> None:
        # Any number of times, also where it was not entered.
        with self._condition:
            if not self.is_delivering_here():
                return
            # What the host does until it pumps again says nothing about callbacks.
            self._got_at = None
            if not nested:
                self._deliverer = None

    # -- delivering: on the thread that entered -------------------------------------------------------------

    def _step(self, budget: Optional[Deadline]) -> bool:
        """Begin events, and make their calls, for a while.

        :param budget: after which no further event is begun; but one is in any case
        :returns: False when there is nothing left to do, or the budget is over
        """
        try:
            return self._advance(budget)
        except BaseException as error:  # noqa: BLE001 - judged
            self._judge_failure(error)
            return True

    def _advance(self, budget: Optional[Deadline]) -> bool:
        if not self._calls:
            if self._ending is not None:
                ending, self._ending = self._ending, None
                self.on_end(ending)
            if self._reports:
                self._begin(self._reports.popleft())
            elif self._events or self._decode():
                self._begin_events(budget)
            else:
                return False
        # An event that was begun is delivered to everybody.
        while self._calls:
            wanted, callback, event = self._calls.popleft()
            # An observer before it may have cancelled it.
            if self._observers.contains(wanted, callback):
                self._call(callback, event)
        return budget is None or not budget.expired

    def _begin_events(self, budget: Optional[Deadline]) -> None:
        """Begin events, and make their calls, up to one that takes more than that. This is where each event costs time:
        who wants events of a type is looked up when it changes."""
        events, observers = self._events, self._observers
        event_type: Optional[EventType] = None
        version = -1
        while events:
            event = events[0]
            if event.type is not event_type or observers.version != version:
                event_type, version = event.type, observers.version
                take, delivered, calls = self._route(event_type, version)
                if isinstance(event, Undecoded):
                    if calls:
                        events[0] = self._codec.decode_after_all(event)
                    else:
                        events.popleft()
                        delivered[0] += 1
                        self.undecoded += 1
                    # The next one of this type is to be looked at, too.
                    event_type = None
                    continue
                # A callback that pumps goes on with the calls that are left, so these must be known.
                if type(event_type) is ClientEventType or (len(calls) > 1 and not self.threaded):
                    self._begin(events.popleft())
                    return
            events.popleft()
            delivered[0] += 1
            if take is not None:
                take(event)
            if self._discarding:
                continue
            if not calls and isinstance(event, Undecoded):
                self.undecoded += 1
            for wanted, callback in calls:
                # An observer before it may have cancelled it.
                if observers.version != version and not observers.contains(wanted, callback):
                    continue
                # As _call() does, without the call.
                try:
                    callback(event)
                except BaseException as error:  # noqa: BLE001 - judged
                    self._judge(callback, event, error)
            if self._reports or (budget is not None and budget.expired):
                return

    def _route(self, event_type: EventType, version: int) -> _Route:
        """Where events of a type go."""
        if version != self._routes_version:
            self._routes, self._routes_version = {}, version
        route = self._routes.get(event_type)
        if route is None:
            matching = self._observers.matching(event_type)
            route = self._mirror(event_type), self._count_of(event_type), matching
            # A server could make up any number of others.
            if isinstance(event_type, EventMessageType):
                self._routes[event_type] = route
        return route

    def _begin(self, event: Event) -> None:
        """Count an event, let the mirror take it, and note the calls to be made."""
        take = self._mirror(event.type)
        if take is not None:
            instead = take(event)
            if instead is False:
                return
            event = instead or event
        self._count_of(event.type)[0] += 1
        if self._discarding and isinstance(event.type, str):
            return
        self._calls.extend(
            (wanted, callback, event)
            for wanted, callback in self._observers.matching(event.type)
            # Who raised and takes everything would only raise again; who asks for these by name, gets them.
            if wanted is not None
            or event.type is not ClientEventType.CALLBACK_ERROR
            or not same(callback, event.data.callback)
        )
        if event.type is ClientEventType.STATE_CHANGED and event.data.new is ConnectionState.CLOSED:
            self._ending = event.data

    def _count_of(self, event_type: EventType) -> List[int]:
        known = isinstance(event_type, (EventMessageType, ClientEventType))
        return self._delivered.setdefault(event_type if known else UNKNOWN, [0])

    def _decode(self) -> bool:
        """Decode what was taken, as far as it is of one kind.

        :returns: False when there is nothing
        """
        if not self._items:
            return False
        item = self._items[0]
        events: Sequence[Union[Event, Undecoded]] = []
        try:
            if isinstance(item, Event):
                events = [item]
            else:
                events = self._codec.decode_wanted(item, self._observers.wanted())
                self.lags.note(item.received_at)
        except Exception as error:  # noqa: BLE001 - judged; a bug of ours, which must not come again for ever
            self._judge_failure(error)
        # Not before: Ctrl-C may end a pump in the middle of decoding.
        self._items.popleft()
        self._events.extend(events)
        return True

    def _call(self, callback: Callback, event: Event) -> None:
        try:
            callback(event)
        except BaseException as error:  # noqa: BLE001 - judged
            self._judge(callback, event, error)

    def _judge(self, callback: Callback, event: Event, error: BaseException) -> None:
        """Report what a callback raised, or let it go on its way. Called where it is handled."""
        if self._is_the_hosts(error):
            raise error
        self._report(callback, event, error)

    def _is_the_hosts(self, error: BaseException) -> bool:
        # SystemExit and KeyboardInterrupt end the host's loop, but cannot end a program from another thread.
        return not (self.threaded or isinstance(error, Exception))

    def _report(self, callback: Callback, event: Event, error: BaseException) -> None:
        self.callback_errors += 1
        # From the callback on: what our frames know, the event above all, need not be in every log of tracebacks.
        traceback = error.__traceback__
        error = error.with_traceback(None if traceback is None else traceback.tb_next)
        try:
            logger.error("callback %r raised for %s", callback, self._codec.shown(event.type), exc_info=error)
        except BaseException as failure:  # noqa: BLE001 - judged
            self._judge_failure(failure)
        # Not for its own: an observer of errors that raises would go on for ever.
        if event.type is not ClientEventType.CALLBACK_ERROR:
            data = CallbackError(event=event, callback=callback, error=error)
            self._reports.append(Event(ClientEventType.CALLBACK_ERROR, data, event.received_at))

    def _judge_failure(self, error: BaseException) -> None:
        """Log what was raised, though not by a callback: by a log handler of the program's, or a bug of ours. It must
        not make the client deaf."""
        if self._is_the_hosts(error):
            raise error
        with contextlib.suppress(BaseException if self.threaded else Exception):
            logger.error("delivering an event failed", exc_info=error)
