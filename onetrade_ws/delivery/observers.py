"""The observer registry: who is called for what."""

from __future__ import annotations

import threading
from types import BuiltinMethodType, MethodType
from typing import Callable, Collection, Dict, List, Optional, Tuple, cast

from ..protocol.codec import known_type
from ..protocol.events import ClientEventType, Event, EventType

Callback = Callable[[Event], object]

_METHODS = (MethodType, BuiltinMethodType)


class Subscription:
    """What ``subscribe()`` returns: ``cancel()`` ends it. As a context manager it ends with the block."""

    def __init__(
        self, registry: ObserverRegistry, event_type: Optional[EventType], callback: Callback
    ) -> None:
        self.event_type = event_type
        self.callback = callback
        self._registry = registry
        self._cancelled = False

    def cancel(self) -> None:
        """The callback is not called any more, not even for an event that is being delivered now. Idempotent."""
        # Once: a later subscription of the same callback is not this one's to end.
        if not self._cancelled:
            self._cancelled = True
            self._registry.remove(self.event_type, self.callback)

    @property
    def active(self) -> bool:
        """Whether the callback is still called."""
        return not self._cancelled and self._registry.contains(self.event_type, self.callback)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def __repr__(self) -> str:
        wanted = "everything" if self.event_type is None else str(self.event_type)
        return f"<Subscription to {wanted}{'' if self.active else ', cancelled'}>"


class ObserverRegistry:
    """Callbacks by event type, in the order in which they were subscribed. Every method on any thread.

    One callback is called once for an event type, however often it is subscribed for it: a notebook cell that is
    run twice must not act twice.
    """

    def __init__(self) -> None:
        # Guards the mapping; its tuples are replaced, never changed, so that a reader needs no lock.
        self._lock = threading.Lock()
        self._callbacks: Dict[Optional[EventType], Tuple[Callback, ...]] = {}
        #: Changes with each change: as long as it is the same, what was looked up holds.
        self.version = 0

    def add(self, event_type: Optional[EventType], callback: Callback) -> Subscription:
        """Have ``callback`` called for ``event_type``, or for every event when that is None.

        :raises TypeError: when either is of a wrong kind
        """
        event_type = checked(event_type)
        if not callable(callback):
            raise TypeError(f"a callback must be callable, not {type(callback).__name__}")
        with self._lock:
            callbacks = self._callbacks.get(event_type, ())
            if not _contains(callbacks, callback):
                self._callbacks[event_type] = (*callbacks, callback)
                self.version += 1
        return Subscription(self, event_type, callback)

    def remove(self, event_type: Optional[EventType], callback: Callback) -> bool:
        """Do not call ``callback`` for ``event_type`` any more.

        :returns: whether it was called so far
        :raises TypeError: when the event type is of a wrong kind
        """
        event_type = checked(event_type)
        with self._lock:
            callbacks = self._callbacks.get(event_type, ())
            if not _contains(callbacks, callback):
                return False
            remaining = tuple(other for other in callbacks if not same(other, callback))
            if remaining:
                self._callbacks[event_type] = remaining
            else:
                del self._callbacks[event_type]
            self.version += 1
            return True

    def contains(self, event_type: Optional[EventType], callback: Callback) -> bool:
        """Whether ``callback`` is subscribed for ``event_type``."""
        return _contains(self._callbacks.get(event_type, ()), callback)

    def wanted(self) -> Optional[Collection[EventType]]:
        """The types that are subscribed to; None for everything."""
        callbacks = self._callbacks
        return None if None in callbacks else cast("Collection[EventType]", callbacks.keys())

    def matching(self, event_type: EventType) -> List[Tuple[Optional[EventType], Callback]]:
        """Who is to be called for an event, those for its type first: each with what it is subscribed for."""
        matching: List[Tuple[Optional[EventType], Callback]] = []
        for wanted in (event_type, None):
            matching += [(wanted, callback) for callback in self._callbacks.get(wanted, ())]
        return matching


def same(one: Callback, other: Callback) -> bool:
    """Whether two callbacks are one."""
    # A bound method is a new object each time it is named. Anything else is itself alone: its own __eq__ would be the
    # user's code, and runs under no lock of ours.
    return one is other or (isinstance(one, _METHODS) and isinstance(other, _METHODS) and one == other)


def _contains(callbacks: Tuple[Callback, ...], callback: Callback) -> bool:
    return any(same(other, callback) for other in callbacks)


def checked(event_type: Optional[EventType]) -> Optional[EventType]:
    """A type of events as it is known here.

    :raises TypeError: when it is none
    """
    if event_type is None or isinstance(event_type, ClientEventType):
        return event_type
    if isinstance(event_type, str) and event_type:
        return known_type(event_type)
    raise TypeError(
        "an event type is an EventMessageType, a ClientEventType, the name of another type as a string, or None for "
        f"everything, not {event_type!r}"
    )
