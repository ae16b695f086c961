"""Clients that share no code with the package: websocket-client, requests, and a bare socket."""

from __future__ import annotations

import json
import socket
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Union
from urllib.parse import quote

import requests
import websocket

from onetrade_ws.simulator import Session, Simulator

TIMEOUT = 20.0
KEY = "MDEyMzQ1Njc4OWFiY2RlZg=="


class Event(NamedTuple):
    """A frame from the server: a JSON event by its type, a binary frame as "price" or "profit"."""

    type: str
    data: Any


def handshake_path(sim: Simulator, session: Optional[Session] = None) -> str:
    session_id = sim.session_id if session is None else session.session_id
    token = sim.access_token if session is None else session.access_token
    return f"/ws/v1?session_id={quote(session_id, safe='')}&access_token={quote(token, safe='')}"


def validate(sim: Simulator, session_id: Optional[str] = None) -> requests.Response:
    wanted = sim.session_id if session_id is None else session_id
    return requests.post(f"{sim.http_url}/ws/v1/{quote(wanted, safe='')}", timeout=TIMEOUT)


class PlainClient:
    """A WebSocket that has gone through validation and handshake."""

    def __init__(self, sim: Simulator, session: Optional[Session] = None) -> None:
        answer = validate(sim, None if session is None else session.session_id)
        assert answer.status_code == 200, answer.text
        self.socket = websocket.create_connection(sim.ws_url + handshake_path(sim, session), timeout=TIMEOUT)

    def send(self, event_type: str, data: Any = None) -> None:
        self.socket.send(json.dumps({"type": event_type, "data": data}))

    def receive(self) -> Any:
        """The next message, text or bytes."""
        return self.socket.recv()

    def sync(self) -> List[Event]:
        """Everything that the server sent before it answered the heartbeat that this sends."""
        self.socket.send("9")
        events: List[Event] = []
        while True:
            message = self.socket.recv()
            if message == "10":
                return events
            events.append(read(message))

    def vanish(self) -> None:
        """Closes the TCP connection without a word."""
        self.socket.shutdown()  # type: ignore[no-untyped-call]

    def tcp(self) -> socket.socket:
        """The socket itself."""
        assert self.socket.sock is not None
        return self.socket.sock

    def close(self) -> None:
        self.socket.close(timeout=1)
        self.vanish()  # close() forgets the socket when a close frame has been received


def read(message: Union[str, bytes]) -> Event:
    if isinstance(message, bytes):
        text = message.decode("ascii")
        return Event("profit" if text.startswith("s,") else "price", text.split(","))
    event = json.loads(message)
    assert set(event) == {"type", "data"}
    return Event(event["type"], event["data"])


class Http:
    """The vendor's HTTP calls."""

    def __init__(self, sim: Simulator) -> None:
        self._sim = sim
        self._session = requests.Session()

    def call(
        self, method: str, path: str, body: Any = None, headers: Optional[Mapping[str, str]] = None
    ) -> requests.Response:
        sent: Dict[str, str] = {"Authorization": f"Bearer {self._sim.access_token}"}
        sent.update(headers or {})
        url = f"{self._sim.http_url}/api/v1/trader{path}"
        return self._session.request(method, url, json=body, headers=sent, timeout=TIMEOUT)

    def get(self, path: str) -> Any:
        return data_of(self.call("GET", path))

    def post(self, path: str, body: Any) -> Any:
        return data_of(self.call("POST", path, body))

    def put(self, path: str, body: Any) -> Any:
        return data_of(self.call("PUT", path, body))

    def delete(self, path: str) -> Any:
        return data_of(self.call("DELETE", path))

    def close(self) -> None:
        self._session.close()


def data_of(answer: requests.Response) -> Any:
    envelope = answer.json()
    assert set(envelope) == {"success", "code", "data", "error", "message"}
    assert (answer.status_code, envelope["code"], envelope["success"]) == (200, 200, True), envelope
    return envelope["data"]


def refusal_of(answer: requests.Response) -> str:
    """The message of an answer that says no."""
    envelope = answer.json()
    assert envelope["success"] is False
    assert envelope["code"] == answer.status_code
    assert envelope["data"] is None
    assert envelope["error"] == envelope["message"]
    message = envelope["message"]
    assert isinstance(message, str)
    return message


class RawSocket:
    """A bare TCP connection."""

    def __init__(self, sim: Simulator, receive_buffer: Optional[int] = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(TIMEOUT)
        self.socket.connect(("127.0.0.1", sim.port))
        self._data = b""

    def send(self, data: Union[str, bytes]) -> None:
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def read(self, length: int) -> bytes:
        """Exactly so many bytes, fewer when the stream ends before."""
        while len(self._data) < length:
            data = self.socket.recv(65536)
            if not data:
                break
            self._data += data
        taken, self._data = self._data[:length], self._data[length:]
        return taken

    def read_to_end(self) -> bytes:
        """All bytes until FIN."""
        while True:
            data = self.socket.recv(65536)
            if not data:
                taken, self._data = self._data, b""
                return taken
            self._data += data

    def read_head(self) -> str:
        """The head of an HTTP answer."""
        while b"\r\n\r\n" not in self._data:
            data = self.socket.recv(65536)
            assert data, "the stream ended within the head"
            self._data += data
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        return head.decode("latin-1")

    def upgrade(self, sim: Simulator, session: Optional[Session] = None) -> None:
        """Validates and shakes hands."""
        assert validate(sim, None if session is None else session.session_id).status_code == 200
        self.send(handshake(handshake_path(sim, session)))
        assert self.read_head().startswith("HTTP/1.1 101 ")

    def close(self) -> None:
        self.socket.close()


def handshake(path: str, **changes: Optional[str]) -> str:
    """An opening handshake; keyword arguments replace a header, or leave it out."""
    headers: Dict[str, Optional[str]] = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "keep-alive, Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY,
    }
    headers.update({name.replace("_", "-"): value for name, value in changes.items()})
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""])


def masked(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """A client's frame, as the specification of the protocol draws it."""
    mask = b"\x01\x02\x03\x04"
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    length = len(payload)
    if length < 126:
        header = bytes([first, 0x80 | length])
    elif length < 65536:
        header = bytes([first, 0x80 | 126]) + length.to_bytes(2, "big")
    else:
        header = bytes([first, 0x80 | 127]) + length.to_bytes(8, "big")
    body = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return header + mask + body
