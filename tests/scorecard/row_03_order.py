"""Numbered events over connections that are cut at every byte of a window, and receives that are split there."""

from __future__ import annotations

import logging
import multiprocessing
import random
import threading
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Callable, Dict, List, Sequence

import attrs

from onetrade_ws import (
    ClientEventType,
    ConnectionState,
    Event,
    EventMessageType,
    OneTradeClient,
    ReconnectPolicy,
)
from onetrade_ws.protocol.events import EventType
from onetrade_ws.simulator import websocket as framing
from tests.connection.hostile import HostileServer, Peer, event_frame
from tests.scorecard.outcome import Outcome

PROMISE = "In order, none lost, none twice, per connection"
TARGET = "5,000,000 events, cut at every byte of a 64 KiB window: 0 lost / 0 twice / 0 out of order"
EXCLUSIVE = False
FULL_MINUTES = 8

_WINDOW = 64 * 1024
# In the small run only every so many bytes; a prime, so that all kinds of ending come at all kinds of places.
_STRIDE = 61
_WORKERS = 3
_TARGET = 5_000_000
_PING = framing.frame(framing.PING, b"so far")
_MANY = 20
_GO, _DONE = "go", "done"

# The frames of a window, each with a number. All numbers have ten digits.
_FIRST_NUMBER = 10**9
# Numbers from one connection to the next.
_STEP = 256
_SMALL = (
    [b"1,1.08512,1.08514,1.08513,%d,1.09,1.08"] * 26
    + [b'{"type":"info","data":{"message":"%d"}}'] * 16
    + [
        b'{"type":"journal_create","data":{"id":1,"user_id":1,"desc":"%d","ip":"","device":"","os":"","channel":1}}'
    ]
    * 4
)
_PADDED = b'{"type":"numbered","data":{"number":%d,"padding":"'
_PADDING = (1, 70, 300, 1200, 2500, 5000, 9000, 15000)

_NUMBER: Dict[EventType, Callable[[Any], int]] = {
    EventMessageType.MARKET_FEED: lambda quote: int(quote.volume),
    EventMessageType.INFO: lambda notification: int(notification.message),
    EventMessageType.JOURNAL_CREATE: lambda entry: int(entry.desc),
    "numbered": lambda data: int(data["number"]),
}


class Window:
    """64 KiB of frames, JSON events and prices mixed, each with a number."""

    def __init__(self) -> None:
        payloads = [*_SMALL, *(_PADDED + b"x" * length + b'"}}' for length in _PADDING)]
        frames = [self._frame(payload) for payload in payloads]
        # The last one fills the window up; a header has four bytes at that length, a number ten for "%d".
        rest = _WINDOW - sum(len(frame) - 2 + 10 for frame in frames) - 4 - len(_PADDED) - 8 - 3
        frames.append(self._frame(_PADDED + b"x" * rest + b'"}}'))
        random.Random(3).shuffle(frames)
        self._template = b"".join(frames)
        self.count = len(frames)
        #: Where each frame ends.
        self.ends: List[int] = []
        for frame in frames:
            self.ends.append((self.ends[-1] if self.ends else 0) + len(frame) - 2 + 10)
        assert len(self.numbered(_FIRST_NUMBER)) == self.ends[-1] == _WINDOW

    @staticmethod
    def _frame(payload: bytes) -> bytes:
        opcode = framing.TEXT if payload.startswith(b"{") else framing.BINARY
        return framing.frame_header(opcode, len(payload) - 2 + 10) + payload

    def numbered(self, first: int) -> bytes:
        """The window with numbers from ``first`` on."""
        return self._template % tuple(range(first, first + self.count))

    def whole(self, length: int) -> int:
        """How many frames are whole in the first ``length`` bytes."""
        return sum(end <= length for end in self.ends)


@attrs.frozen
class Cut:
    """What one connection is sent: a whole window in two pieces, split at an offset; and the window once more, cut
    there.
    """

    window: Window
    offset: int

    @property
    def first(self) -> int:
        return _FIRST_NUMBER + self.offset * _STEP

    @property
    def most(self) -> int:
        """How many events it holds."""
        return self.window.count + self.window.whole(self.offset)

    @property
    def certain(self) -> int:
        """How many of them have been read for certain when it ends."""
        # Where the reset does not wait for the reader, the system may throw away all after the first answer.
        return self.window.whole(self.offset) if self.offset % 4 == 3 else self.most

    def run(self, peer: Peer) -> None:
        """Be the server."""
        window, offset = self.window, self.offset
        whole = window.ends[window.whole(offset) - 1] if window.whole(offset) else 0
        data = window.numbered(self.first)
        # A ping before the piece of a frame: when its answer is there, the piece has been received on its own.
        peer.send(data[:whole] + _PING + data[whole:offset])
        self._wait_for_pong(peer)
        more = window.numbered(self.first + window.count)
        # The reset comes while the client is answering many pings: its writing fails, and what it has read counts.
        pings = _PING * (_MANY if offset % 4 == 1 else 1)
        peer.send(data[offset:] + more[:whole] + pings + more[whole:offset])
        if offset % 2 == 0:
            peer.finish()
        if offset % 4 == 1:
            self._wait_for_pong(peer)
        peer.reset()

    @staticmethod
    def _wait_for_pong(peer: Peer) -> None:
        while peer.read_frame().opcode != framing.PONG:
            pass


@attrs.define
class Tally:
    """What was wrong, of how much."""

    cuts: int = 0
    events: int = 0
    lost: int = 0
    twice: int = 0
    out_of_order: int = 0
    never_sent: int = 0
    details: List[str] = attrs.field(factory=list)

    def add(self, other: Tally) -> None:
        """Add what another one has counted."""
        for name in attrs.fields_dict(Tally):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def check(self, cut: Cut, numbers: List[int]) -> None:
        """Count what was delivered of a connection."""
        self.cuts += 1
        self.events += len(numbers)
        first = cut.first
        if numbers == list(range(first, first + len(numbers))) and cut.certain <= len(numbers) <= cut.most:
            return
        delivered = set(numbers)
        found = Tally(
            lost=len(set(range(first, first + cut.certain)) - delivered),
            twice=len(numbers) - len(delivered),
            out_of_order=sum(later < earlier for earlier, later in zip(numbers, numbers[1:])),
            never_sent=len(delivered - set(range(first, first + cut.most))),
        )
        found.details.append(
            f"cut at {cut.offset}: {found.lost} lost, {found.twice} twice, {found.out_of_order} out of order, "
            f"{found.never_sent} never sent whole, of {cut.certain} to {cut.most}"
        )
        self.add(found)


class Ledger:
    """Takes all events of a client, and checks those of each connection when it is over."""

    def __init__(self, cuts: Sequence[Cut]) -> None:
        self.tally = Tally()
        self.ended = threading.Event()
        self._cuts = iter(cuts)
        self._numbers: List[int] = []

    def __call__(self, event: Event) -> None:
        read = _NUMBER.get(event.type)
        if read is not None:
            self._numbers.append(read(event.data))
        elif event.type is ClientEventType.RECONNECTING:
            numbers, self._numbers = self._numbers, []
            self.tally.check(next(self._cuts), numbers)
        elif event.type is ClientEventType.DECODE_ERROR:
            self.tally.never_sent += 1
            self.tally.details.append(f"delivered, and not what was sent: {event.data}")
        elif event.type == _DONE or (
            event.type is ClientEventType.STATE_CHANGED and event.data.new is ConnectionState.CLOSED
        ):
            self.ended.set()


def run_client(offsets: Sequence[int]) -> Tally:
    """One client, and a server that cuts it off at each of the offsets."""
    logging.getLogger("onetrade_ws").addHandler(logging.NullHandler())
    window = Window()
    cuts = [Cut(window, offset) for offset in offsets]
    ledger = Ledger(cuts)

    def converse(peer: Peer) -> None:
        # What it notes of each request and frame would grow without end.
        server.requests.clear()
        server.frames.clear()
        peer.upgrade()
        # One that breaks before connect() has returned is tried again without an event.
        while peer.number == 1 and _GO not in peer.read_frame().text:
            pass
        if peer.number <= len(cuts):
            cuts[peer.number - 1].run(peer)
        else:
            peer.send(event_frame(_DONE))
            peer.serve()

    server = HostileServer(converse)
    client = OneTradeClient(
        server.ws_url,
        session_id=server.session_id,
        access_token=server.access_token,
        account_updates=False,
        history_limit=10,
        reconnect=ReconnectPolicy(initial_delay=0.0001, max_delay=0.0001, stable_after=0.0),
    )
    client.subscribe(None, ledger)
    try:
        client.connect()
        client.send(_GO)
        if not ledger.ended.wait(60 + 0.06 * len(cuts)):
            ledger.tally.details.append("the client did not come back from a cut")
    finally:
        client.disconnect()
        server.stop()
    return ledger.tally


def measure(full: bool, seed: int) -> Outcome:
    """Cut, split, and count."""
    offsets = range(_WINDOW) if full else range(seed % _STRIDE, _WINDOW, _STRIDE)
    tally = Tally()
    with ProcessPoolExecutor(_WORKERS, multiprocessing.get_context("spawn")) as pool:
        for part in pool.map(run_client, [offsets[worker::_WORKERS] for worker in range(_WORKERS)]):
            tally.add(part)
    figure = (
        f"{tally.events:,} events, cut at {tally.cuts:,} of {len(offsets):,} places: "
        f"{tally.lost} lost / {tally.twice} twice / {tally.out_of_order} out of order"
    )
    wrong = tally.lost + tally.twice + tally.out_of_order + tally.never_sent
    complete = tally.cuts == len(offsets) and (tally.events >= _TARGET or not full)
    return Outcome(figure, complete and not wrong and not tally.details, tally.details[:50])
