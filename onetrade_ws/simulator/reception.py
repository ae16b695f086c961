"""Where requests and messages come in: each is noted, and passed to whom it concerns."""

from __future__ import annotations

import threading
import time
from typing import Optional

from . import websocket
from .arrivals import Arrivals, Message, Request
from .feed import Feed
from .http1 import ParsedRequest, Response, envelope
from .http_api import Api
from .server import Connection
from .sessions import Sessions

WEBSOCKET_PATH = "/ws/v1"  # specification


class Reception:
    """What the server calls. All of it runs on the selector thread, and takes the simulator's lock."""

    def __init__(
        self, lock: threading.RLock, arrivals: Arrivals, sessions: Sessions, feed: Feed, api: Api
    ) -> None:
        self._lock = lock
        self._arrivals = arrivals
        self._sessions = sessions
        self._feed = feed
        self._api = api

    def respond(self, request: ParsedRequest, connection: Connection) -> Optional[Response]:
        """Answers a request; None when it was a handshake, which has been answered."""
        noted = Request(
            request.method, request.path, request.query, request.headers, request.body, time.time()
        )
        with self._lock:
            self._arrivals.add_request(noted)
            if request.path == WEBSOCKET_PATH:
                response = self._shake_hands(request, connection)
            else:
                response = self._api.respond(request)
        self._arrivals.changed()
        return response

    def _shake_hands(self, request: ParsedRequest, connection: Connection) -> Optional[Response]:
        wrong = websocket.handshake_error(request.method, request.version, request.headers)
        if wrong is not None:
            status, message = wrong
            headers = {"Sec-WebSocket-Version": "13", "Upgrade": "websocket"} if status == 426 else {}
            return envelope(status, message=message, headers=headers)
        session_id = request.query.get("session_id", "")
        refusal = self._sessions.refuse_handshake(session_id, request.query.get("access_token", ""))
        if refusal is not None:
            return refusal
        self._sessions.entered(session_id)
        accept = websocket.accept_value(request.headers["sec-websocket-key"])
        headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept}
        # Under the lock: nothing can be said to the client before this, and it counts when it reads this.
        connection.send(Response(101, None, headers).encode(keep_alive=True))
        self._feed.add(connection, session_id)
        return None

    def received(self, connection: Connection, opcode: int, payload: bytes) -> None:
        """Notes a message, and does what it asks."""
        with self._lock:
            self._arrivals.add_message(Message(connection.number, opcode, payload, time.time()))
            subscriber = self._feed.find(connection)
            if subscriber is not None:
                self._feed.answer(subscriber, opcode, payload)
        self._arrivals.changed()

    def closed(self, connection: Connection) -> None:
        """Frees the session."""
        with self._lock:
            self._sessions.left(self._feed.remove(connection).session_id)
        self._arrivals.changed()
