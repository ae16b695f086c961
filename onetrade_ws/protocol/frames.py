"""Data messages as they came from the wire, not decoded yet."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, Sequence


class Opcode(IntEnum):
    """The opcodes of RFC 6455."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class CloseCode(IntEnum):
    """The status codes of RFC 6455, 7.4.1, that the client sends."""

    NORMAL_CLOSURE = 1000
    PROTOCOL_ERROR = 1002
    INVALID_PAYLOAD = 1007
    MESSAGE_TOO_BIG = 1009


class Batch(NamedTuple):
    """Whole data messages of one kind that came one behind the other: fragments are put together before.

    :ivar opcode: ``TEXT`` or ``BINARY``
    :ivar payloads: the bytes of each, in their order; at least one
    :ivar received_at: when they were read from the socket, in seconds since the epoch
    """

    opcode: int
    payloads: Sequence[bytes]
    received_at: float


#: The heartbeat is raw text, not JSON (specification): the client's beat and the server's answer.
HEARTBEAT = "9"
HEARTBEAT_REPLY = b"10"
