"""Where the library's reader is stricter than websocket-client: the whole list, and what each rule refuses."""

from __future__ import annotations

from typing import NamedTuple, Optional

from onetrade_ws.protocol.frames import Opcode

#: RFC 6455, 5.1: a client must close a connection when it detects a masked frame.
MASKED = "masked frame"
#: RFC 6455, 5.5: websocket-client looks at pings alone.
FRAGMENTED_CONTROL = "fragmented control frame"
LONG_CONTROL = "control frame of more than 125 bytes"
#: The setting ``max_message_size``.
TOO_LARGE = "more than max_message_size"
#: RFC 6455, 5.5.1: websocket-client looks only where it validates text, too.
CLOSE_REASON = "close reason not UTF-8"
#: RFC 6455, 8.1, with the setting ``strict_utf8``.
TEXT = "text not UTF-8, with strict_utf8"
#: websocket-client refuses these as well, but not before their payload has come, which may be never.
EARLIER = "condemned by its header, payload never came"

_LARGEST_CONTROL = 125


class Refused(NamedTuple):
    """What the rules refuse first in a stream.

    :ivar at: where the frame begins
    :ivar code: the close code
    """

    at: int
    code: int
    rule: str


def first_refused(stream: bytes, limit: int, strict_utf8: bool) -> Optional[Refused]:
    """The first frame of ``stream`` that the rules refuse, read up to its first close frame; None: there is none."""
    at = 0
    # The message whose fragments are coming: its opcode, or 0, and what it has so far.
    fragmented, message = 0, b""
    while len(stream) - at >= 2:
        opcode, fin = stream[at] & 0x0F, stream[at] >= 0x80
        length, size = stream[at + 1] & 0x7F, 2
        control = opcode >= 0x8
        if stream[at] & 0x70 or opcode not in tuple(Opcode):
            return Refused(at, 1002, EARLIER)
        if stream[at + 1] >= 0x80:
            return Refused(at, 1002, MASKED)
        if control and not fin:
            return Refused(at, 1002, FRAGMENTED_CONTROL)
        if control and length > _LARGEST_CONTROL:
            return Refused(at, 1002, LONG_CONTROL)
        if not control and (opcode == Opcode.CONTINUATION) != (fragmented != 0):
            return Refused(at, 1002, EARLIER)
        if length >= 126:
            size += 2 if length == 126 else 8
            if len(stream) - at < size:
                return None
            length = int.from_bytes(stream[at + 2 : at + size], "big")
        if not control and len(message) + length > limit:
            return Refused(at, 1009, TOO_LARGE)
        payload = stream[at + size : at + size + length]
        if len(payload) < length:
            return None
        if opcode == Opcode.CLOSE:
            return None if _is_utf8(payload[2:]) else Refused(at, 1007, CLOSE_REASON)
        if not control:
            fragmented = fragmented or opcode
            if strict_utf8 and fragmented == Opcode.TEXT and fin and not _is_utf8(message + payload):
                return Refused(at, 1007, TEXT)
            fragmented, message = (0, b"") if fin else (fragmented, message + payload)
        at += size + length
    return None


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
