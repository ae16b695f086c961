"""The state of the connection, and who may change it."""

from __future__ import annotations

import time
from typing import Callable, FrozenSet, Generic, Mapping, Optional, TypeVar

from ..deadline import Condition, Deadline
from ..errors import OneTradeError
from ..protocol.events import ClientEventType, ConnectionState, Event, StateChange

Life = TypeVar("Life")

CONNECTING, OPEN, CLOSING, CLOSED = (
    ConnectionState.CONNECTING,
    ConnectionState.OPEN,
    ConnectionState.CLOSING,
    ConnectionState.CLOSED,
)

_TRANSITIONS: Mapping[ConnectionState, FrozenSet[ConnectionState]] = {
    CLOSED: frozenset({CONNECTING}),
    CONNECTING: frozenset({OPEN, CLOSING}),
    OPEN: frozenset({CONNECTING, CLOSING}),
    CLOSING: frozenset({CLOSED}),
}


class Lifecycle(Generic[Life]):
    """Where the connection is, for everybody who asks or waits.

    A change belongs to a *life*, from ``connect()`` to its end: a thread of an earlier life that could not be
    waited for can change nothing any more.

    :param announce: takes each change as an event; must not block
    """

    def __init__(self, announce: Callable[[Event], None]) -> None:
        self._announce = announce
        # Guards everything below, and that changes are announced in their order. Waited on for every change.
        self._condition = Condition()
        self._state = CLOSED
        self._reason: Optional[OneTradeError] = None
        self._life: Optional[Life] = None

    @property
    def state(self) -> ConnectionState:
        """The state now."""
        return self._state

    @property
    def reason(self) -> Optional[OneTradeError]:
        """Why the last life ended, when it was not asked to."""
        return self._reason

    @property
    def life(self) -> Optional[Life]:
        """The present life; None while CLOSED."""
        return self._life

    def begin(self, life: Life) -> bool:
        """Go from CLOSED to CONNECTING, for ``life``.

        :returns: False when another life has not ended
        """
        with self._condition:
            if self._state is not CLOSED:
                return False
            self._life = life
            self._reason = None
            try:
                self._change(CONNECTING, None)
            except BaseException:
                # There is no memory for the dispatcher's thread.
                self._state, self._life = CLOSED, None
                raise
            return True

    def move(self, life: Life, state: ConnectionState, reason: Optional[OneTradeError] = None) -> bool:
        """Go to ``state``, when that is ``life``'s to say and possible from the present one.

        :returns: whether the state has changed
        """
        with self._condition:
            if life is not self._life or state not in _TRANSITIONS[self._state]:
                return False
            self._change(state, reason)
            return True

    def _change(self, state: ConnectionState, reason: Optional[OneTradeError]) -> None:
        # Requires holding _condition.
        change = StateChange(old=self._state, new=state, reason=reason)
        self._state = state
        if state is CLOSED:
            self._reason = reason
            self._life = None
        self._announce(Event(ClientEventType.STATE_CHANGED, change, time.time()))
        self._condition.notify_all()

    def wait_until(self, *states: ConnectionState, deadline: Deadline) -> bool:
        """Block until the state is one of ``states``.

        :returns: False when the time was over before
        """
        with self._condition:
            return deadline.wait_for(self._condition, lambda: self._state in states)

    def wait_until_over(self, life: Life, deadline: Deadline) -> bool:
        """Block until ``life`` is over: the next one may have begun by the time that the waiting thread runs.

        :returns: False when the time was over before
        """
        with self._condition:
            return deadline.wait_for(self._condition, lambda: self._life is not life)
