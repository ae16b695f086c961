"""Damaged streams of frames, cut at random places, through :class:`.FrameReader` and through plain websocket-client.

Both must make of a stream the same messages and the same pongs, and end in the same way: with the same close frame,
with a protocol error of the same code, or where the stream ends. Where one of the stricter rules applies, the library
must have read exactly what comes before the frame that the rule refuses, and have refused that with the rule's code.
"""

from __future__ import annotations

import random
from typing import Any, Callable, Iterator, List, Optional, Sequence, Tuple

import attrs
import websocket
from websocket import (
    WebSocket,
    WebSocketConnectionClosedException,
    WebSocketException,
    WebSocketPayloadException,
)

from onetrade_ws.connection.buffer import ReceiveBuffer
from onetrade_ws.connection.reader import FrameReader
from onetrade_ws.errors import ConnectionLostError, ProtocolError
from onetrade_ws.protocol.frames import HEARTBEAT_REPLY, Batch, Opcode
from tests.scorecard.campaign import Tally, run
from tests.scorecard.frame_streams import LIMITS, cuts, mutated_stream
from tests.scorecard.outcome import Outcome
from tests.scorecard.stricter_rules import CLOSE_REASON, first_refused

PROMISE = "The fast reader equals websocket-client, but for the listed stricter rules"
TARGET = "1,000,000 streams, 0 differences"
EXCLUSIVE = False
FULL_MINUTES = 8

_STREAMS = 1_000_000
_SMALL_SHARE = 50
# Steps of making a stream that shows a difference shorter.
_SHRINKING = 2000
# How many differences of a chunk are worth it.
_SHRUNK = 3
# Begins the names of what is counted for a rule.
_RULE = "rule: "
# Of what has been received before the stream: the answer to the handshake ends in the middle of a chunk.
_BEFORE = b"HTTP/1.1 101 \r\n\r\n"

_END_OF_STREAM = ("the stream ended",)


@attrs.frozen
class Reading:
    """What became of a stream.

    :ivar messages: opcode and payload
    :ivar heartbeats: how many messages were the heartbeat's answer, which nobody is handed
    :ivar pongs: what pings were answered with
    :ivar end: in words, with the code
    """

    messages: List[Tuple[int, bytes]]
    heartbeats: int
    pongs: List[bytes]
    end: Tuple[Any, ...]


@attrs.frozen
class Case:
    """A stream, and how it is read."""

    stream: bytes
    cuts: Tuple[int, ...]
    limit: int
    strict_utf8: bool
    behind_the_handshake: bool

    def chunks(self) -> List[bytes]:
        """The stream as it is received."""
        marks = (0, *self.cuts, len(self.stream))
        return [self.stream[start:stop] for start, stop in zip(marks, marks[1:]) if start < stop]


class _Socket:
    """What websocket-client takes for a socket: it receives from a function, and keeps the pongs that are sent."""

    def __init__(self, recv: Callable[[int], bytes]) -> None:
        self.recv = recv
        self.pongs: List[bytes] = []

    def send(self, data: bytes) -> int:
        # Masked with zeros, and never long.
        if data[0] == 0x80 | Opcode.PONG:
            self.pongs.append(data[6:])
        return len(data)

    def gettimeout(self) -> None:
        return None

    def close(self) -> None:
        """Called by websocket-client when there is nothing more to receive."""


def _websocket(sock: _Socket) -> WebSocket:
    plain = WebSocket(get_mask_key=bytes, skip_utf8_validation=True, enable_multithread=True)
    plain.sock = sock  # type: ignore[assignment]
    plain.connected = True
    return plain


def _refused(error: WebSocketException) -> Tuple[Any, ...]:
    return "refused with", 1007 if isinstance(error, WebSocketPayloadException) else 1002


def _closed(code: Optional[int], reason: str) -> Tuple[Any, ...]:
    return "closed with", code, reason


def read_by_websocket_client(stream: bytes) -> Reading:
    """What plain websocket-client makes of a stream."""
    position = 0

    def recv(size: int) -> bytes:
        nonlocal position
        data = stream[position : position + size]
        position += len(data)
        return data

    sock = _Socket(recv)
    plain = _websocket(sock)
    messages: List[Tuple[int, bytes]] = []
    heartbeats = 0
    while True:
        try:
            opcode, frame = plain.recv_data_frame(True)
        except WebSocketConnectionClosedException:
            end: Tuple[Any, ...] = _END_OF_STREAM
            break
        except WebSocketException as error:
            end = _refused(error)
            break
        data = bytes(frame.data)
        if opcode == Opcode.CLOSE:
            end = _closed(
                int.from_bytes(data[:2], "big") if data else None, data[2:].decode("utf-8", "replace")
            )
            break
        if opcode == Opcode.TEXT and data == HEARTBEAT_REPLY:
            heartbeats += 1
        elif opcode in (Opcode.TEXT, Opcode.BINARY):
            messages.append((opcode, data))
    return Reading(messages, heartbeats, sock.pongs, end)


def read_by_library(case: Case) -> Reading:
    """What the library makes of a stream, received as the case says."""
    chunks: Iterator[bytes] = iter(case.chunks())
    messages: List[Tuple[int, bytes]] = []
    heartbeats = 0

    def receive() -> bytes:
        for chunk in chunks:
            return chunk
        raise ConnectionLostError("the stream ended")

    def beat() -> None:
        nonlocal heartbeats
        heartbeats += 1
        if heartbeats > len(case.stream):
            raise RuntimeError("it reads the same bytes for ever")

    def take(batches: Sequence[Batch]) -> None:
        messages.extend((batch.opcode, payload) for batch in batches for payload in batch.payloads)

    buffer = ReceiveBuffer(receive)
    if case.behind_the_handshake:
        buffer.feed(_BEFORE + next(chunks, b""))
        buffer.recv(len(_BEFORE))
    reader = FrameReader(
        buffer,
        limit=case.limit,
        strict_utf8=case.strict_utf8,
        on_open=lambda: None,
        on_batches=take,
        on_heartbeat_reply=beat,
    )
    sock = _Socket(buffer.recv)
    plain = _websocket(sock)
    reader.websocket = lambda: plain
    reader.read(sock, None)
    error = reader.error
    if reader.close_frame is not None:
        end = _closed(*reader.close_frame)
    elif isinstance(error, ProtocolError):
        end = "refused with", error.code
    elif isinstance(error, ConnectionLostError):
        end = _END_OF_STREAM
    elif isinstance(error, WebSocketException):
        end = _refused(error)
    else:
        end = "raised", repr(error)
    return Reading(messages, heartbeats, sock.pongs, end)


def expected(case: Case) -> Tuple[Reading, Optional[str]]:
    """What the library should make of a stream, and the stricter rule that makes the difference, if one does."""
    plain = read_by_websocket_client(case.stream)
    refused = first_refused(case.stream, case.limit, case.strict_utf8)
    if refused is None:
        return plain, None
    before = read_by_websocket_client(case.stream[: refused.at])
    if before.end != _END_OF_STREAM:
        # It never came to the frame that would be refused.
        return plain, None
    if refused.rule == CLOSE_REASON and plain.end[0] != "closed with":
        # A close frame that is wrong in other ways, too.
        return plain, None
    strict = attrs.evolve(before, end=("refused with", refused.code))
    return strict, refused.rule if strict != plain else None


def measure(full: bool, seed: int) -> Outcome:
    """The campaign."""
    tally = run(_try_streams, _STREAMS // (1 if full else _SMALL_SHARE), seed, chunk=5_000)
    counts = tally.counts
    rules = [f"{counts[name]:,} {name[len(_RULE) :]}" for name in sorted(counts) if name.startswith(_RULE)]
    figure = (
        f"{tally.cases:,} streams, {tally.wrong:,} differences (websocket-client {websocket.__version__});"
        f" stricter rules: {'; '.join(rules)}"
    )
    details = [f"seed {seed}: {finding}" for finding in tally.findings]
    details += [f"{number:,}: {name}" for name, number in sorted(counts.items())]
    # Streams that all end alike, or of which nothing is read, would prove nothing.
    ends = [counts[f"end: {end}"] for end in ("closed with", "refused with", "the stream ended")]
    varied = min(ends) > tally.cases / 100 and counts["messages"] > tally.cases and counts["pongs"] > 0
    if not varied:
        details.append("the streams were not varied enough to prove anything")
    return Outcome(figure, tally.wrong == 0 and varied, details)


def _try_streams(draw: random.Random, streams: int) -> Tally:
    tally = Tally(streams)
    counts = tally.counts
    for _ in range(streams):
        stream = mutated_stream(draw)
        case = Case(
            stream, cuts(len(stream), draw), draw.choice(LIMITS), draw.random() < 0.3, draw.random() < 0.3
        )
        right, rule = expected(case)
        if rule is not None:
            counts[_RULE + rule] += 1
        counts[f"end: {right.end[0]}"] += 1
        counts["messages"] += len(right.messages)
        counts["pongs"] += len(right.pongs)
        if read_by_library(case) != right:
            # Not all, should there be thousands.
            tally.found(_described(_shrunk(case) if tally.wrong < _SHRUNK else case))
    return tally


def _shrunk(case: Case) -> Case:
    """A shorter case that shows a difference, too."""
    steps = _SHRINKING
    size = max(1, len(case.stream) // 2)
    while size:
        at = 0
        while at < len(case.stream) and steps:
            steps -= 1
            shorter = attrs.evolve(
                case,
                stream=case.stream[:at] + case.stream[at + size :],
                cuts=tuple(sorted({cut if cut <= at else max(at, cut - size) for cut in case.cuts})),
            )
            if read_by_library(shorter) != expected(shorter)[0]:
                case = shorter
            else:
                at += size
        size //= 2
    for simpler in (
        attrs.evolve(case, cuts=()),
        attrs.evolve(case, behind_the_handshake=False),
        attrs.evolve(case, cuts=(), behind_the_handshake=False),
    ):
        if read_by_library(simpler) != expected(simpler)[0]:
            case = simpler
    return case


def _described(case: Case) -> str:
    received = " ".join(chunk.hex() for chunk in case.chunks())
    right, rule = expected(case)
    return (
        f"received {received:.2000}, limit {case.limit}, strict_utf8 {case.strict_utf8},"
        f" behind the handshake {case.behind_the_handshake}:"
        f" {read_by_library(case)!r:.600} instead of {right!r:.600} ({rule or 'as websocket-client'})"
    )
