"""What has been received and not been read yet."""

from __future__ import annotations

import time
from typing import Callable


class ReceiveBuffer:
    """The bytes of a connection, in the chunks in which they came: on the reader thread.

    Frames are cut out of :attr:`chunk` where they lie whole in it; everything else is read by :meth:`recv`, the call
    that websocket-client makes of a socket. Both go on where the other one stopped.

    :param receive: gives the next chunk, never an empty one; blocks until there is one
    """

    def __init__(self, receive: Callable[[], bytes]) -> None:
        #: What came last. What lies before :attr:`position` has been read.
        self.chunk = b""
        self.position = 0
        #: When it came, seconds since the epoch.
        self.received_at = time.time()
        #: How many bytes came in all.
        self.bytes_received = 0
        self._receive = receive

    @property
    def available(self) -> int:
        """Bytes that can be had without receiving more."""
        return len(self.chunk) - self.position

    def more(self) -> None:
        """Receive the next chunk, and put it behind what has not been read yet."""
        self.feed(self._receive())

    def feed(self, chunk: bytes) -> None:
        """Put ``chunk``, which has just been received, behind what has not been read yet."""
        self.received_at = time.time()
        self.bytes_received += len(chunk)
        self.chunk = self.chunk[self.position :] + chunk if self.available else chunk
        self.position = 0

    def recv(self, size: int) -> bytes:
        """Up to ``size`` bytes; blocks until there is one."""
        if not self.available:
            self.more()
        data = self.chunk[self.position : self.position + size]
        self.position += len(data)
        return data
