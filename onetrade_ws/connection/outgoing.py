"""The outgoing queue: first in, first out, across connections."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, Callable, Deque, Optional

from ..errors import OneTradeError, QueueFullError
from ..protocol.enums import EventMessageType
from ..protocol.outgoing import encode
from .subscriptions import SUBSCRIPTION_TYPES, Subscriptions

Write = Callable[[str], None]


class OutgoingQueue:
    """What is to be sent, in order, and what is wanted again on each new connection.

    While attached to a connection, a message goes out on the thread that sends it, after everything that was
    queued before it. While detached, it waits. A message leaves the queue when it has been written whole; one
    that could not be written whole cannot have been acted upon, and goes out first on the next connection.

    :param limit: how many messages may wait
    """

    def __init__(self, subscriptions: Subscriptions, limit: int) -> None:
        self.written = 0
        # Serialises everything below, writing included, so that the order on the wire is the order of the
        # queue. Held while a message is written, which ends within the stream's write timeout.
        self._lock = threading.Lock()
        self._subscriptions = subscriptions
        self._limit = limit
        self._queue: Deque[str] = deque()
        self._write: Optional[Write] = None

    def __len__(self) -> int:
        return len(self._queue)

    def send(self, event_type: str, data: Any = None) -> None:
        """Send a message, or queue it while detached. On any thread.

        One that changes what is wanted is remembered instead of queued: attaching restores it. One that changes
        nothing is not sent.

        :raises EncodeError: when it is not JSON, or no symbol id; nothing is queued
        :raises QueueFullError: when too many wait already; nothing is queued
        """
        text = encode(event_type, data)
        if event_type in SUBSCRIPTION_TYPES:
            self._send_subscription(EventMessageType(event_type), data, text)
            return
        with self._lock:
            if len(self._queue) >= self._limit:
                raise QueueFullError(self._limit)
            self._queue.append(text)
            self._flush()

    def _send_subscription(self, event_type: EventMessageType, data: Any, text: str) -> None:
        with self._lock:
            if self._subscriptions.change(event_type, data) and self._write is not None:
                self._flush()
                self._write_or_detach(text)

    def attach(self, write: Write) -> None:
        """Restore what is wanted over a new connection, and from now on send over it.

        :param write: writes a message whole, or raises an :exc:`.OneTradeError`
        :raises OneTradeError: when the connection is lost meanwhile; the queue is then detached
        """
        with self._lock:
            for event_type, data in self._subscriptions.messages():
                write(encode(event_type, data))
                self.written += 1
            self._write = write

    def flush(self) -> None:
        """Send what waits. Blocks while the server takes nothing."""
        with self._lock:
            self._flush()

    def detach(self, write: Write) -> None:
        """A connection is gone: what is sent from now on waits, unless another one is attached already.

        :param write: what that connection was attached with
        """
        with self._lock:
            if self._write == write:
                self._write = None

    def _flush(self) -> None:
        # Requires holding _lock.
        while self._queue and self._write is not None:
            if self._write_or_detach(self._queue[0]):
                self._queue.popleft()

    def _write_or_detach(self, text: str) -> bool:
        # Requires holding _lock.
        if self._write is None:
            return False
        try:
            self._write(text)
        except OneTradeError:
            # The reader sees the same loss and says why. A subscription needs no second try: it is remembered.
            self._write = None
            return False
        self.written += 1
        return True
