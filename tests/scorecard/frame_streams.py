"""Streams of WebSocket frames as a server sends them, damaged, and cut into receives at random places."""

from __future__ import annotations

import random
import struct
from typing import List, Sequence, Tuple

from onetrade_ws.protocol.frames import HEARTBEAT_REPLY, Opcode

# Payloads are cut out of these: text with characters of one to four bytes, and bytes that are not UTF-8.
_TEXT = ('{"type":"orders_place","data":{"comment":"Zürich → 東京 😀"}},' * 1200).encode()
_BYTES = random.Random(0).getrandbits(8 * 80_000).to_bytes(80_000, "big")

_SHORT = (0, 1, 2, 3, 7, 20, 60, 123, 124, 125)
_MEDIUM = (126, 127, 128, 129, 200, 255, 256, 1000, 4000)
_LONG = (65_534, 65_535, 65_536, 65_537, 70_000)
# Of close frames: allowed ones, such as may not be sent, and such as nobody has defined.
_CLOSE_CODES = (
    1000,
    1001,
    1002,
    1007,
    1011,
    3000,
    4000,
    4999,
    1004,
    1005,
    1006,
    1015,
    1016,
    2999,
    5000,
    0,
    65_535,
)

#: What a message may have, in bytes: the default more often.
LIMITS = (125, 300, 65_535, 65_536, 70_000, *(16 * 1024 * 1024,) * 5)


def _length(draw: random.Random) -> int:
    way = draw.random()
    return draw.choice(_SHORT if way < 0.75 else _MEDIUM if way < 0.985 else _LONG)


def _payload(opcode: int, length: int, draw: random.Random) -> bytes:
    start = draw.randrange(1000)
    # A slice may begin or end within a character: then the text is none.
    source = _TEXT if opcode == Opcode.TEXT and draw.random() < 0.8 else _BYTES
    return source[start : start + length]


def _frame(first: int, payload: bytes, draw: random.Random) -> bytes:
    length = len(payload)
    way = draw.random()
    if length < 126 and way < 0.98:
        return bytes((first, length)) + payload
    # Now and then a length takes more bytes than it needs.
    if length < 65_536 and way < 0.99:
        return bytes((first, 126)) + struct.pack("!H", length) + payload
    return bytes((first, 127)) + struct.pack("!Q", length) + payload


def _frames(draw: random.Random) -> List[bytes]:
    """The frames of a message, or a control frame."""
    way = draw.random()
    if way < 0.55:
        opcode = Opcode.TEXT if way < 0.35 else Opcode.BINARY
        return [_frame(0x80 | opcode, _payload(opcode, _length(draw), draw), draw)]
    if way < 0.6:
        return [_frame(0x80 | Opcode.TEXT, HEARTBEAT_REPLY, draw)]
    if way < 0.68:
        return [_frame(0x80 | Opcode.PING, _payload(Opcode.PING, min(_length(draw), 125), draw), draw)]
    if way < 0.73:
        return [_frame(0x80 | Opcode.PONG, _payload(Opcode.PONG, min(_length(draw), 125), draw), draw)]
    if way < 0.78:
        data = b""
        if draw.random() < 0.8:
            data = struct.pack("!H", draw.choice(_CLOSE_CODES)) + _payload(
                Opcode.TEXT, draw.choice((0, 9, 99)), draw
            )
        return [_frame(0x80 | Opcode.CLOSE, data, draw)]
    opcode = draw.choice((Opcode.TEXT, Opcode.BINARY))
    payload = HEARTBEAT_REPLY if draw.random() < 0.1 else _payload(opcode, _length(draw), draw)
    fragments = draw.choice((2, 2, 3, 5))
    marks = [0, *sorted(draw.randrange(len(payload) + 1) for _ in range(fragments - 1)), len(payload)]
    frames = []
    for index in range(fragments):
        first = (0 if index else opcode) | (0x80 if index == fragments - 1 else 0)
        frames.append(_frame(first, payload[marks[index] : marks[index + 1]], draw))
        if draw.random() < 0.2:
            # Control frames may come in between.
            control = draw.choice((Opcode.PING, Opcode.PONG))
            frames.append(_frame(0x80 | control, _payload(control, draw.choice(_SHORT), draw), draw))
    return frames


def _whole_stream(draw: random.Random) -> List[bytes]:
    frames: List[bytes] = []
    for _ in range(draw.choice((1, 2, 3, 4, 6, 8))):
        frames += _frames(draw)
    return frames


def mutated_stream(draw: random.Random) -> bytes:
    """A stream of some messages and control frames, mostly damaged in one to three places, more often in a header."""
    frames = _whole_stream(draw)
    way = draw.random()
    if way > 0.9:
        # A frame twice, lost, or out of its place; or the frames of another connection.
        at = draw.randrange(len(frames))
        other = draw.choice((frames[at : at + 1], [], frames[:at], _whole_stream(draw)))
        frames[at : at + draw.randrange(2)] = other
    stream = b"".join(frames)
    if way < 0.25 or not stream:
        return stream
    starts = [0]
    for frame in frames:
        starts.append(starts[-1] + len(frame))
    stream = _damage(stream, starts, draw)
    while draw.random() < 0.3:
        stream = _damage(stream, starts, draw)
    return stream


def _damage(stream: bytes, starts: Sequence[int], draw: random.Random) -> bytes:
    if not stream:
        return stream
    at = draw.randrange(len(stream))
    if draw.random() < 0.7:
        at = min(draw.choice(starts) + draw.choice((0, 0, 1, 1, 2, 3, 9)), len(stream) - 1)
    way = draw.random()
    if way < 0.4:
        return stream[:at] + bytes((stream[at] ^ (1 << draw.randrange(8)),)) + stream[at + 1 :]
    if way < 0.55:
        return stream[:at] + bytes((draw.randrange(256),)) + stream[at + 1 :]
    if way < 0.65:
        return stream[:at] + stream[at + 1 + draw.randrange(4) :]
    if way < 0.75:
        return stream[:at] + bytes(draw.randrange(256) for _ in range(draw.randrange(1, 5))) + stream[at:]
    if way < 0.85:
        return stream[:at] + stream[draw.randrange(len(stream)) :]
    return stream[:at]


def cuts(length: int, draw: random.Random) -> Tuple[int, ...]:
    """Where a stream of this length is cut into receives: nowhere, at each byte, or at random places."""
    way = draw.random()
    if way < 0.2 or length < 2:
        return ()
    if way < 0.3 and length < 500:
        return tuple(range(1, length))
    return tuple(sorted({draw.randrange(1, length) for _ in range(draw.choice((1, 1, 2, 3, 6, 12)))}))
