"""The WebSocket's side of the vendor's protocol: who has subscribed to what, and what each is sent."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterable, Optional, Set, Tuple, Union

from ..protocol.enums import EventMessageType
from . import websocket
from .http1 import json_bytes
from .server import Connection


@dataclass
class Subscriber:
    """One open WebSocket and what it asked for."""

    connection: Connection
    session_id: str
    symbols: Set[int] = field(default_factory=set)
    account: bool = False


def event_text(event_type: Union[EventMessageType, str], data: Any) -> bytes:
    """An event as the text of a frame."""
    name = event_type.value if isinstance(event_type, EventMessageType) else event_type
    return json_bytes({"type": name, "data": data})


class Feed:
    """Answers messages and hands out events. The caller holds the simulator's lock for all of it.

    Args:
        price_frame: Gives the current price of a symbol as a frame's payload, None for an unknown symbol.
        heartbeat_reply: Whether a heartbeat is answered.
    """

    def __init__(self, price_frame: Callable[[int], Optional[bytes]], heartbeat_reply: bool) -> None:
        self._price_frame = price_frame
        self.heartbeat_reply = heartbeat_reply
        self._subscribers: Dict[Connection, Subscriber] = {}
        self.total = 0

    @property
    def connections(self) -> Tuple[Connection, ...]:
        """The open WebSockets, the oldest first."""
        return tuple(self._subscribers)

    def add(self, connection: Connection, session_id: str) -> None:
        """A WebSocket has opened."""
        self.total += 1
        connection.number = self.total
        self._subscribers[connection] = Subscriber(connection, session_id)

    def find(self, connection: Connection) -> Optional[Subscriber]:
        """The subscriber behind a connection, None when it has left."""
        return self._subscribers.get(connection)

    def remove(self, connection: Connection) -> Subscriber:
        """A WebSocket is open no longer."""
        return self._subscribers.pop(connection)

    def is_subscribed(self, symbol_ids: Iterable[int], account: bool) -> bool:
        """Whether one WebSocket asked for all of this."""
        return any(
            subscriber.symbols.issuperset(symbol_ids) and (subscriber.account or not account)
            for subscriber in self._subscribers.values()
        )

    # --- to the clients

    def account_event(self, event_type: EventMessageType, data: Any) -> None:
        """An event to those who started account updates."""
        receivers = [s.connection for s in self._subscribers.values() if s.account]
        if receivers:
            frame = websocket.frame(websocket.TEXT, event_text(event_type, data))
            for connection in receivers:
                connection.send(frame)

    def profit(self, payload: bytes) -> None:
        """A profit frame to those who started account updates."""
        frame = websocket.frame(websocket.BINARY, payload)
        for subscriber in self._subscribers.values():
            if subscriber.account:
                subscriber.connection.send(frame)

    def price(self, symbol_id: int, payload: bytes) -> None:
        """A price frame to those who subscribed to the symbol."""
        frame = websocket.frame(websocket.BINARY, payload)
        for subscriber in self._subscribers.values():
            if symbol_id in subscriber.symbols:
                subscriber.connection.send(frame)

    # --- from a client

    def answer(self, subscriber: Subscriber, opcode: int, payload: bytes) -> None:
        """Does what a client's message asks."""
        if opcode == websocket.TEXT and payload == b"9":
            if self.heartbeat_reply:
                subscriber.connection.send(websocket.frame(websocket.TEXT, b"10"))
        elif opcode == websocket.TEXT:
            self._answer_event(subscriber, payload)
        elif opcode == websocket.BINARY:
            self._error(subscriber, "binary messages are not understood")

    def _answer_event(self, subscriber: Subscriber, payload: bytes) -> None:
        try:
            message = json.loads(payload)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            self._error(subscriber, "a message is a JSON object with a type")
            return
        event_type, data = message["type"], message.get("data")
        if event_type == EventMessageType.MARKET_SUBSCRIBE_SYMBOL.value:
            self._subscribe(subscriber, data, True)
        elif event_type == EventMessageType.MARKET_UNSUBSCRIBE_SYMBOL.value:
            self._subscribe(subscriber, data, False)
        elif event_type == EventMessageType.START_ACCOUNT_ALL.value:
            subscriber.account = True
        elif event_type == EventMessageType.STOP_ACCOUNT_ALL.value:
            subscriber.account = False
        elif event_type == EventMessageType.PING.value:
            if self.heartbeat_reply:
                self._send(subscriber, EventMessageType.PONG, None)
        else:
            self._error(subscriber, f"unknown message type: {event_type[:100]}")

    def _subscribe(self, subscriber: Subscriber, symbol_id: Any, wanted: bool) -> None:
        if type(symbol_id) is not int:
            self._error(subscriber, "a symbol id is an integer")
            return
        price = self._price_frame(symbol_id)
        if price is None:
            self._error(subscriber, f"unknown symbol: {symbol_id}")
        elif wanted:
            subscriber.symbols.add(symbol_id)
            subscriber.connection.send(websocket.frame(websocket.BINARY, price))
        else:
            subscriber.symbols.discard(symbol_id)

    def _error(self, subscriber: Subscriber, text: str) -> None:
        self._send(subscriber, EventMessageType.ERROR, {"message": text})

    def _send(self, subscriber: Subscriber, event_type: EventMessageType, data: Any) -> None:
        subscriber.connection.send(websocket.frame(websocket.TEXT, event_text(event_type, data)))
