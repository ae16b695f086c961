"""What a client asks the server to send. It travels as the session id, which any client can put into an address."""

from __future__ import annotations

import attrs

#: In a text that a client sends: begin, or go on with what comes next.
GO = "benchmark_go"
#: The type of the JSON message that ends a stream. Its data counts what was sent.
END = "benchmark_end"
#: In a text that a client sends, and the type of the answer: how many heartbeats have come.
BEATS = "benchmark_beats"


@attrs.frozen
class Stream:
    """A stream of messages.

    :ivar kind: ``"prices"``, ``"positions"``, ``"orders"`` (placed first, all of them, then updated), ``"stamped"``
        (prices, one at a time, with the server's clock), ``"flood"`` (the same in numbers, and order events) or
        ``"silence"``
    :ivar breadth: how many symbols, positions or orders the messages are about
    :ivar messages: how many; of orders: how many updates
    :ivar per_second: how many of them a second; 0: as fast as the client takes them
    """

    kind: str
    breadth: int = 1
    messages: int = 0
    per_second: int = 0

    @property
    def name(self) -> str:
        """The session id that asks for it."""
        return f"{self.kind}-{self.breadth}-{self.messages}-{self.per_second}"

    def url(self, address: str) -> str:
        """Where a client gets it, from the server at ``host:port``."""
        return f"ws://{address}/ws/v1?session_id={self.name}"

    @classmethod
    def named(cls, name: str) -> Stream:
        """The stream that a session id asks for."""
        kind, *numbers = name.split("-")
        return cls(kind, *map(int, numbers))
