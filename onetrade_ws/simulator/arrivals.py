"""What clients sent, kept for a test to look at, and waiting for it without polling."""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Callable, Deque, Dict, Generic, Literal, Optional, Tuple, TypeVar, Union

from ..deadline import Condition

KEEP_COUNT = 100_000
KEEP_BYTES = 64 * 1024 * 1024

_OPCODES = {1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}

T = TypeVar("T")
Item = TypeVar("Item", "Request", "Message")


@dataclass(frozen=True)
class Request:
    """An HTTP request that arrived, the WebSocket handshake among them.

    Attributes:
        method: ``"GET"``, ``"POST"``, …
        path: As it came, still percent-encoded, without the query.
        query: Decoded.
        headers: Names in lower case.
        body: As it came.
        at: Seconds since the epoch.
    """

    method: str
    path: str
    query: Dict[str, str]
    headers: Dict[str, str]
    body: bytes
    at: float

    @property
    def size(self) -> int:
        """Bytes in the body."""
        return len(self.body)

    @property
    def json(self) -> Any:
        """The body, decoded as JSON."""
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"<Request {self.method} {_without_session(self.path)}, {len(self.body)} bytes>"


@dataclass(frozen=True)
class Message:
    """A WebSocket message or control frame that arrived, unmasked and with its fragments joined.

    Attributes:
        connection: The number of the WebSocket connection, counted from 1.
        opcode: 1 text, 2 binary, 8 close, 9 ping, 10 pong.
        payload: Its bytes.
        at: Seconds since the epoch.
    """

    connection: int
    opcode: int
    payload: bytes
    at: float

    @property
    def size(self) -> int:
        """Bytes in the payload."""
        return len(self.payload)

    @property
    def text(self) -> str:
        """The payload as text."""
        return self.payload.decode("utf-8")

    @property
    def json(self) -> Any:
        """The payload, decoded as JSON."""
        return json.loads(self.payload)


def _without_session(path: str) -> str:
    """A path fit to be shown: the validation call carries the session id in it."""
    prefix = "/ws/v1/"
    return prefix + "…" if path.startswith(prefix) else path


class _Log(Generic[Item]):
    """The newest items, bounded in number and in bytes."""

    def __init__(self) -> None:
        self._items: Deque[Item] = deque()
        self._bytes = 0
        self._seen: Optional[Tuple[Item, ...]] = ()
        self.total = 0

    def add(self, item: Item) -> None:
        self._items.append(item)
        self._bytes += item.size
        self.total += 1
        while len(self._items) > KEEP_COUNT or self._bytes > KEEP_BYTES:
            self._bytes -= self._items.popleft().size
        self._seen = None

    def items(self) -> Tuple[Item, ...]:
        if self._seen is None:
            self._seen = tuple(self._items)
        return self._seen


class Arrivals:
    """The log of requests and messages, and the place where waiting threads wait."""

    def __init__(self) -> None:
        # Guards the two logs and the version; waiting threads are notified through it.
        self._changed = Condition()
        self._version = 0
        self._requests: _Log[Request] = _Log()
        self._messages: _Log[Message] = _Log()

    @property
    def requests(self) -> Tuple[Request, ...]:
        with self._changed:
            return self._requests.items()

    @property
    def messages(self) -> Tuple[Message, ...]:
        with self._changed:
            return self._messages.items()

    def add_request(self, request: Request) -> None:
        with self._changed:
            self._requests.add(request)
            self._notify()

    def add_message(self, message: Message) -> None:
        with self._changed:
            self._messages.add(message)
            self._notify()

    def changed(self) -> None:
        """Something changed that a predicate may look at."""
        with self._changed:
            self._notify()

    def _notify(self) -> None:
        self._version += 1
        self._changed.notify_all()

    def wait_for(self, predicate: Callable[[], Union[T, Literal[False], None]], timeout: float) -> T:
        """Evaluates the predicate, on this thread and under no lock, after every change until it is true."""
        deadline = time.monotonic() + timeout
        while True:
            with self._changed:
                version = self._version
            value = predicate()
            if value:
                return value
            with self._changed:
                while self._version == version:
                    left = deadline - time.monotonic()
                    if left <= 0:
                        raise TimeoutError(f"not within {timeout:g} s; {self._describe()}")
                    self._changed.wait(left)

    def _describe(self) -> str:
        requests = [f"{r.method} {_without_session(r.path)}" for r in self._requests.items()[-10:]]
        messages = [f"#{m.connection} {_kind(m)}" for m in self._messages.items()[-10:]]
        return (
            f"{self._requests.total} requests arrived (the last: {', '.join(requests) or 'none'}) "
            f"and {self._messages.total} messages (the last: {', '.join(messages) or 'none'})"
        )


def _kind(message: Message) -> str:
    """What a message is, without showing what is in it."""
    if message.payload == b"9":
        return "heartbeat"
    try:
        content = message.json
    except ValueError:
        content = None
    if isinstance(content, dict) and isinstance(content.get("type"), str):
        return f"{content['type'][:40]}"
    return f"{_OPCODES.get(message.opcode, message.opcode)} of {len(message.payload)} bytes"
