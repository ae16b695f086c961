"""Events for code without callbacks: iterating over them, and waiting for one."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from types import TracebackType
from typing import Callable, Deque, Dict, Optional, Sequence, Tuple, Type

from ..deadline import Condition, Deadline
from ..errors import CallbackThreadError, NotConnectedError, SlowConsumerError, WaitTimeoutError, detached
from ..protocol.enums import EventMessageType
from ..protocol.events import ConnectionState, Event, EventType, StateChange
from .dispatcher import Dispatcher
from .observers import ObserverRegistry, checked

Where = Callable[[Event], object]


class _Buffer:
    """Where the dispatcher puts events for one iterator. It holds no reference to the iterator, so that one that is
    forgotten is collected and unsubscribed."""

    def __init__(
        self,
        observers: ObserverRegistry,
        wanted: Sequence[Optional[EventType]],
        limit: int,
        count_merged: Callable[[int], None],
    ) -> None:
        self._observers = observers
        self._wanted = wanted
        self._count_merged = count_merged
        # Guards everything below. Waited on by the iterator.
        self.condition = Condition()
        self.events: Deque[Event] = deque()
        self.end: Optional[StateChange] = None
        self.overflowed = False
        self.closed = False
        #: Set when the iterator has been let go of.
        self.forgotten = False
        self._limit = limit

    def subscribe(self) -> None:
        for event_type in self._wanted:
            self._observers.add(event_type, self.add)

    def add(self, event: Event) -> None:
        """The observer. On the thread that delivers; never blocks."""
        if self.forgotten:
            self.cancel()
            return
        with self.condition:
            if len(self.events) >= self._limit:
                self._make_room()
            if not self.overflowed:
                self.events.append(event)
            self.condition.notify_all()

    def cancel(self) -> None:
        # However far it came with subscribing.
        for event_type in self._wanted:
            self._observers.remove(event_type, self.add)
        with self.condition:
            self.closed = True
            self.condition.notify_all()

    def is_ready(self) -> bool:
        """Whether there is something to say: an event, or that there will be none."""
        return bool(self.events) or self.overflowed or self.closed or self.end is not None

    def _make_room(self) -> None:
        # Requires holding condition. Of quotes and profits the newest one counts, of everything else each one.
        newest: Dict[object, Event] = {}
        for number, event in enumerate(self.events):
            key = _merge_key(event) or number
            newest.pop(key, None)
            newest[key] = event
        self._count_merged(len(self.events) - len(newest))
        self.events = deque(newest.values())
        # Less than a quarter gained would mean doing this again and again.
        self.overflowed = self.overflowed or len(self.events) * 4 > self._limit * 3

    def finish(self, get_end: Callable[[], Optional[StateChange]]) -> None:
        """The end has changed. It is asked for here, so that the newest one stays, whoever comes last."""
        with self.condition:
            self.end = get_end()
            self.condition.notify_all()


def _merge_key(event: Event) -> Optional[Tuple[EventType, int]]:
    if event.type is EventMessageType.MARKET_FEED:
        return event.type, event.data.symbol_id
    if event.type is EventMessageType.PROFIT_UPDATE:
        return event.type, event.data.position_id
    return None


class EventStream:
    """An iterator over events as they come: what ``events()`` returns.

    It receives from the moment it is made. It ends when the client does: by ``StopIteration`` after
    ``disconnect()``, else by the error that ended the client; and by ``StopIteration`` when no event came within
    its timeout. Events that came before are still read first. ``close()``, the end of a ``with`` block or letting go
    of it unsubscribes.
    """

    def __init__(self, streams: EventStreams, buffer: _Buffer, timeout: Optional[float]) -> None:
        self._streams = streams
        self._buffer = buffer
        self._timeout = timeout

    def __iter__(self) -> EventStream:
        return self

    def __next__(self) -> Event:
        try:
            return self.take(Deadline(self._timeout))
        except WaitTimeoutError:
            raise StopIteration from None
        except NotConnectedError:
            # The end of a client is the end of its events. But a loop that never begins would hide a mistake.
            if self._buffer.end is _NEVER_CONNECTED and not self._buffer.closed:
                raise
            raise StopIteration from None

    def take(self, deadline: Deadline) -> Event:
        """The next event. Blocks until ``deadline``; in manual mode it delivers meanwhile.

        :raises WaitTimeoutError: when none came in time
        :raises NotConnectedError: when the client was disconnected
        :raises OneTradeError: why the client ended, or that too many events waited unread
        """
        in_time = True
        while in_time:
            in_time = self._streams.wait(self._buffer, deadline)
            with self._buffer.condition:
                if self._buffer.events:
                    return self._buffer.events.popleft()
                if self._buffer.overflowed:
                    raise SlowConsumerError(self._streams.limit)
                if self._buffer.closed:
                    raise NotConnectedError("reading a closed iterator")
                if self._buffer.end is not None:
                    raise detached(self._buffer.end.reason or NotConnectedError("waiting for events"))
            # Another thread that reads it, too, was faster.
        raise WaitTimeoutError("event", self._timeout or 0.0)

    def close(self) -> None:
        """Receive no more. Idempotent."""
        self._buffer.cancel()

    def __enter__(self) -> EventStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # The garbage collector calls this anywhere, also where a lock of ours is held: the next event unsubscribes.
        # There is no buffer where Ctrl-C came while this was made.
        buffer: Optional[_Buffer] = getattr(self, "_buffer", None)
        if buffer is not None:
            buffer.forgotten = True
            buffer.events = deque()


class Expectation:
    """One event that is to come: what ``expect()`` returns.

    It receives from the moment it is made; the end of the ``with`` block waits for the event.
    """

    def __init__(
        self, stream: EventStream, what: str, where: Optional[Where], timeout: Optional[float]
    ) -> None:
        self._stream = stream
        self._what = what
        self._where = where
        self._timeout = timeout
        self._event: Optional[Event] = None

    @property
    def event(self) -> Event:
        """The event; after the block.

        :raises RuntimeError: inside the block, where it has not been waited for
        """
        if self._event is None:
            raise RuntimeError("the event is there after the end of the with block")
        return self._event

    def wait(self) -> Event:
        """Block until the event comes: what the end of the block does. ``where`` is called on this thread.

        :raises WaitTimeoutError: when it did not come in time
        :raises OneTradeError: when the client ended before
        """
        deadline = Deadline(self._timeout)
        try:
            while self._event is None:
                event = self._stream.take(deadline)
                if self._where is None or self._where(event):
                    self._event = event
            return self._event
        except WaitTimeoutError:
            raise WaitTimeoutError(self._what, self._timeout or 0.0) from None
        finally:
            self._stream.close()

    def __enter__(self) -> Expectation:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        if kind is None:
            self.wait()
        else:
            self._stream.close()


# Before the first life it is as after one: whoever waits would wait for nothing.
_NEVER_CONNECTED = StateChange(old=ConnectionState.CLOSED, new=ConnectionState.CLOSED)


class EventStreams:
    """Makes iterators, and ends them with the client.

    :param limit: how many events may wait in one iterator
    """

    def __init__(self, dispatcher: Dispatcher, observers: ObserverRegistry, limit: int) -> None:
        self.limit = limit
        #: How many quotes and profit updates gave way to newer ones in iterators that were not read. Written on the
        #: thread that delivers alone.
        self.merged = 0
        self._dispatcher = dispatcher
        self._observers = observers
        # Guards everything below. Reentrant: a signal handler may disconnect in the middle of it.
        self._lock = threading.RLock()
        self._buffers: weakref.WeakSet[_Buffer] = weakref.WeakSet()
        # The end of one life may be delivered after the next has begun, and then ends nothing.
        self._lives_begun = 0
        self._lives_ended = 0
        self._end: Optional[StateChange] = _NEVER_CONNECTED
        dispatcher.on_end = self.end

    @property
    def never_connected(self) -> bool:
        """Whether no life has begun yet."""
        return self._lives_begun == 0

    def begin(self) -> None:
        """A life begins: iterators made from now on, and those that wait, last as long as it."""
        with self._lock:
            self._lives_begun += 1
            self._end = None
        self._tell()

    def end(self, change: StateChange) -> None:
        """The end of a life was delivered."""
        with self._lock:
            self._lives_ended += 1
            if self._lives_ended == self._lives_begun:
                self._end = change
        self._tell()

    def release(self, life: int, change: StateChange) -> None:
        """The end of a life will not be delivered soon: let nobody wait for it, unless the next one has begun."""
        with self._lock:
            if life == self._lives_begun:
                self._end = change
        self._tell()

    def _count_merged(self, number: int) -> None:
        self.merged += number

    def _tell(self) -> None:
        with self._lock:
            buffers = list(self._buffers)
        # Not under the lock: whoever has a buffer may be what a signal handler, which comes this way, has interrupted.
        for buffer in buffers:
            buffer.finish(self._get_end)

    def _get_end(self) -> Optional[StateChange]:
        return self._end

    def open(self, event_types: Sequence[Optional[EventType]], timeout: Optional[float]) -> EventStream:
        """An iterator over the events of these types; None among them, or none at all, for everything."""
        wanted = [None] if None in event_types or not event_types else [checked(each) for each in event_types]
        buffer = _Buffer(self._observers, wanted, self.limit, self._count_merged)
        try:
            buffer.subscribe()
            with self._lock:
                forgotten = [other for other in self._buffers if other.forgotten]
                self._buffers -= set(forgotten)
                self._buffers.add(buffer)
            buffer.finish(self._get_end)
            for other in forgotten:
                other.cancel()
            return EventStream(self, buffer, timeout)
        except BaseException:
            # Ctrl-C.
            buffer.cancel()
            raise

    def wait(self, buffer: _Buffer, deadline: Deadline) -> bool:
        """Block until there is something to say about ``buffer``, or the time is over.

        :returns: whether there was
        """
        if not self._dispatcher.threaded:
            while not buffer.is_ready() and not deadline.expired:
                self._dispatcher.pump(0.0, timeout=deadline.remaining())
            return buffer.is_ready()
        if self._dispatcher.is_delivering_here():
            raise CallbackThreadError(
                "waiting for an event", "a callback would wait for itself; subscribe instead"
            )
        with buffer.condition:
            return deadline.wait_for(buffer.condition, buffer.is_ready)
