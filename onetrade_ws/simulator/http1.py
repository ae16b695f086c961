"""HTTP/1.1 for the server's side, without I/O: bytes in, requests out; and answers as bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Dict, Mapping, Optional, Tuple, Union
from urllib.parse import parse_qsl, urlsplit

MAX_HEAD = 64 * 1024
MAX_BODY = 1024 * 1024

Body = Union[bytes, str, Mapping[str, Any], None]


class BadRequest(Exception):
    """The bytes are no request that this server reads; it answers `status` and closes."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


@dataclass(frozen=True)
class ParsedRequest:
    """A request as it came: the path still percent-encoded, the query decoded, header names in lower case."""

    method: str
    path: str
    query: Dict[str, str]
    version: str
    headers: Dict[str, str]
    body: bytes

    @property
    def keep_alive(self) -> bool:
        """Whether the client wants to use the connection again."""
        wish = self.headers.get("connection", "").lower()
        return wish != "close" if self.version == "HTTP/1.1" else wish == "keep-alive"


def json_bytes(value: Any) -> bytes:
    """JSON in UTF-8. What a client sent as half of a character becomes a question mark."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


@dataclass(frozen=True)
class Response:
    """An answer. `body` is what is sent: bytes, text, or an object that becomes JSON."""

    status: int
    body: Body = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self, *, keep_alive: bool) -> bytes:
        """The answer as bytes."""
        headers = {"Content-Type": "application/json"}
        body = self.body
        if body is None:
            body = b""
        elif isinstance(body, Mapping):
            body = json_bytes(body)
        elif isinstance(body, str):
            body = body.encode("utf-8")
        if self.status != 101:
            headers["Content-Length"] = str(len(body))
            headers["Connection"] = "keep-alive" if keep_alive else "close"
        lower = {name.lower() for name in self.headers}
        lines = [f"{name}: {value}" for name, value in headers.items() if name.lower() not in lower]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        try:
            phrase = HTTPStatus(self.status).phrase
        except ValueError:
            phrase = "Unknown"
        head = "\r\n".join([f"HTTP/1.1 {self.status} {phrase}", *lines, "", ""])
        return head.encode("latin-1") + body


def envelope(
    status: int, data: Any = None, message: str = "", headers: Optional[Mapping[str, str]] = None
) -> Response:
    """The vendor's envelope around every answer (vendor SDK)."""
    success = 200 <= status < 300
    body = {
        "success": success,
        "code": status,
        "data": data,
        "error": "" if success else message,
        "message": message,
    }
    return Response(status, body, headers or {})


class RequestReader:
    """Cuts the bytes of one connection into requests, within limits."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        """Takes bytes; `next_request` gives what they complete."""
        self._data += data

    def take_rest(self) -> bytes:
        """What came after the last request: the first bytes of an upgraded connection."""
        rest = bytes(self._data)
        self._data.clear()
        return rest

    def next_request(self) -> Optional[ParsedRequest]:
        """The next whole request, or None when more bytes are needed.

        Raises:
            BadRequest: What came is no request, or one beyond the limits.
        """
        end = self._data.find(b"\r\n\r\n")
        if end < 0 or end > MAX_HEAD:
            if len(self._data) > MAX_HEAD:
                raise BadRequest(431, "the head of the request is too long")
            return None
        method, target, version, headers = _parse_head(bytes(self._data[:end]))
        if "transfer-encoding" in headers:
            raise BadRequest(411, "a Content-Length is required")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise BadRequest(400, "bad Content-Length")
        if len(length) > 9 or int(length) > MAX_BODY:
            raise BadRequest(413, "the body is too long")
        start, stop = end + 4, end + 4 + int(length)
        if len(self._data) < stop:
            return None
        body = bytes(self._data[start:stop])
        del self._data[:stop]
        try:
            parts = urlsplit(target)
        except ValueError:
            raise BadRequest(400, "bad request target") from None
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        return ParsedRequest(method, parts.path, query, version, headers, body)


def _parse_head(head: bytes) -> Tuple[str, str, str, Dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or words[2] not in ("HTTP/1.0", "HTTP/1.1"):
        raise BadRequest(400, "bad request line")
    headers: Dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequest(400, "bad header line")
        name = name.lower()
        if name == "content-length" and headers.get(name, value.strip()) != value.strip():
            raise BadRequest(400, "bad Content-Length")
        headers[name] = value.strip()
    return words[0], words[1], words[2], headers
