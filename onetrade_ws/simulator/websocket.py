"""RFC 6455 framing for the server's side, without I/O: bytes in, messages out.

Independent of the client's framing on purpose, so that a mistake there cannot cancel itself out here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from typing import Iterator, List, Mapping, NamedTuple, Optional, Tuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CLOSE_CODES = frozenset((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014))


class ProtocolViolation(Exception):
    """The peer broke RFC 6455; `code` is the close code that answers it."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Received(NamedTuple):
    """A whole message (fragments joined, unmasked) or a control frame."""

    opcode: int
    payload: bytes


def handshake_error(method: str, version: str, headers: Mapping[str, str]) -> Optional[Tuple[int, str]]:
    """What is wrong with an opening handshake (RFC 6455, 4.2.1): a status and a message, or None."""
    if method != "GET" or version != "HTTP/1.1":
        return 400, "a WebSocket handshake is a GET of HTTP/1.1"
    if "host" not in headers:
        return 400, "the Host header is missing"
    if not _has_token(headers, "upgrade", "websocket") or not _has_token(headers, "connection", "upgrade"):
        return 426, "a WebSocket handshake is expected here"
    if headers.get("sec-websocket-version") != "13":
        return 426, "Sec-WebSocket-Version must be 13"
    try:
        key = base64.b64decode(headers.get("sec-websocket-key", ""), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 16:
        return 400, "Sec-WebSocket-Key must be 16 bytes in base64"
    return None


def _has_token(headers: Mapping[str, str], name: str, token: str) -> bool:
    return token in (part.strip().lower() for part in headers.get(name, "").split(","))


def accept_value(key: str) -> str:
    """The `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key`."""
    return base64.b64encode(hashlib.sha1(key.strip().encode("ascii") + _GUID).digest()).decode("ascii")


def frame_header(opcode: int, length: int, *, fin: bool = True, rsv: int = 0) -> bytes:
    """The header of an unmasked frame. Nothing is checked: an illegal frame is somebody's test."""
    first = (0x80 if fin else 0) | (rsv & 0x7) << 4 | (opcode & 0xF)
    if length < 126:
        return bytes((first, length))
    if length < 1 << 16:
        return struct.pack("!BBH", first, 126, length)
    return struct.pack("!BBQ", first, 127, length)


def frame(opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0) -> bytes:
    """A whole unmasked frame."""
    return frame_header(opcode, len(payload), fin=fin, rsv=rsv) + payload


def close_payload(code: Optional[int], reason: str = "") -> bytes:
    """The payload of a close frame; without a code it is empty. Raises ValueError for a code of over 16 bits."""
    if code is not None and not 0 <= code < 1 << 16:
        raise ValueError(f"a close code has 16 bits, not {code!r}")
    return b"" if code is None else struct.pack("!H", code) + reason.encode("utf-8")


def close_code(payload: bytes) -> Optional[int]:
    """The code in a received close frame, None when it carries none; checks the frame.

    Raises:
        ProtocolViolation: The payload is one byte long, the code is reserved, or the reason is not UTF-8.
    """
    if not payload:
        return None
    code: int = struct.unpack("!H", payload[:2])[0] if len(payload) > 1 else 0
    if code not in _CLOSE_CODES and not 3000 <= code <= 4999:
        raise ProtocolViolation(1002, "bad close code")
    _check_utf8(payload[2:])
    return code


class FrameReader:
    """Turns the bytes of one client into messages; checks what RFC 6455 asks a server to check."""

    def __init__(self, max_message: int) -> None:
        self._max_message = max_message
        self._data = bytearray()
        self._opcode = CONTINUATION  # of the fragmented message under way; CONTINUATION: none
        self._fragments: List[bytes] = []
        self._length = 0

    def feed(self, data: bytes) -> Iterator[Received]:
        """Takes bytes, yields what they complete.

        Raises:
            ProtocolViolation: At the first frame that is against the rules; nothing can follow it.
        """
        self._data += data
        while True:
            taken = self._take_frame()
            if taken is None:
                return
            received = self._assemble(*taken)
            if received is not None:
                yield received

    def _take_frame(self) -> Optional[Tuple[bool, int, bytes]]:
        data = self._data
        if len(data) < 2:
            return None
        fin, opcode, masked, length = bool(data[0] & 0x80), data[0] & 0xF, data[1] & 0x80, data[1] & 0x7F
        if data[0] & 0x70:
            raise ProtocolViolation(1002, "reserved bits are set")
        if not masked:
            raise ProtocolViolation(1002, "a client's frames must be masked")
        if opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            raise ProtocolViolation(1002, "unknown opcode")
        if opcode >= CLOSE and (not fin or length > 125):
            raise ProtocolViolation(1002, "a control frame is fragmented or too long")
        start = 2
        if length >= 126:
            start += 2 if length == 126 else 8
            if len(data) < start:
                return None
            length = int.from_bytes(data[2:start], "big")
        if self._length + length > self._max_message:
            raise ProtocolViolation(1009, "message too big")
        end = start + 4 + length
        if len(data) < end:
            return None
        payload = _unmask(bytes(data[start + 4 : end]), bytes(data[start : start + 4]))
        del data[:end]
        return fin, opcode, payload

    def _assemble(self, fin: bool, opcode: int, payload: bytes) -> Optional[Received]:
        if opcode >= CLOSE:
            return Received(opcode, payload)
        if (opcode == CONTINUATION) != (self._opcode != CONTINUATION):
            raise ProtocolViolation(1002, "fragments out of order")
        if opcode != CONTINUATION:
            self._opcode = opcode
        self._fragments.append(payload)
        self._length += len(payload)
        if not fin:
            return None
        received = Received(self._opcode, b"".join(self._fragments))
        self._opcode, self._fragments, self._length = CONTINUATION, [], 0
        if received.opcode == TEXT:
            _check_utf8(received.payload)
        return received


def _unmask(payload: bytes, mask: bytes) -> bytes:
    length = len(payload)
    key = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(length, "little")


def _check_utf8(payload: bytes) -> None:
    try:
        payload.decode("utf-8")
    except UnicodeDecodeError:
        raise ProtocolViolation(1007, "invalid UTF-8") from None
