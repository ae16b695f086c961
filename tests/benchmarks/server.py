"""The server that the clients are measured against: a process of its own that sends prebuilt frames.

    python -m tests.benchmarks.server --seed 1 --newest FILE

Prints its port, and ends when its standard input does. What a client gets is said by its session id, see
:mod:`.streams`; it comes when the client sends :data:`.GO`.
"""

from __future__ import annotations

import argparse
import contextlib
import mmap
import socket
import sys
import threading
import time
from itertools import cycle
from typing import Callable, Dict, Iterator, List, Tuple

from onetrade_ws.simulator import websocket
from onetrade_ws.simulator.http1 import ParsedRequest, RequestReader, Response, envelope
from tests.benchmarks import messages
from tests.benchmarks.streams import BEATS, END, GO, Stream

# So many different messages, then the same again.
_DISTINCT = {"prices": 50_000, "positions": 10_000, "orders": 100_000}
# Bytes in one call of sendall, about.
_CHUNK = 512 * 1024
_ORDERS_PER_SECOND = 20
#: How many orders the order events of a flood are about.
FLOOD_ORDERS = 100
#: The most symbols of a stamped stream.
STAMPS = 10_000
# Seconds between two pieces of a flood.
_TICK = 0.002


class Library:
    """The frames that were built, and are sent to whoever asks. On one thread at a time.

    :param seed: what is drawn at random begins here
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._built: Dict[Tuple[str, int, int], List[bytes]] = {}

    def frames(self, kind: str, breadth: int, wanted: int) -> List[bytes]:
        """The messages of a stream, before they begin again."""
        count = min(wanted, _DISTINCT[kind])
        return self._once(
            (kind, breadth, count),
            lambda: {
                "prices": messages.prices,
                "positions": messages.positions,
                "orders": messages.order_updates,
            }[kind](breadth, count, self.seed),
        )

    def placed_orders(self, breadth: int) -> List[bytes]:
        """The orders that are updated later."""
        return self._once(("placed", breadth, breadth), lambda: messages.placed_orders(breadth, self.seed))

    def _once(self, key: Tuple[str, int, int], build: Callable[[], List[bytes]]) -> List[bytes]:
        if key not in self._built:
            self._built[key] = build()
        return self._built[key]


class Conversation(threading.Thread):
    """One TCP connection: a session validation, or a WebSocket and its stream.

    :param newest: nanoseconds of the monotonic clock: when the newest price of each symbol was sent
    """

    def __init__(self, sock: socket.socket, library: Library, newest: memoryview) -> None:
        super().__init__(name="benchmark conversation", daemon=True)
        self._sock = sock
        self._library = library
        self._newest = newest
        # Guards that two threads do not write into each other's frames.
        self._writing = threading.Lock()
        self._go = threading.Semaphore(0)
        self._over = False
        self._beats = 0

    def run(self) -> None:
        """Serve, until the client has gone."""
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A client that has gone is no failure of a benchmark: it says itself what it missed.
        with contextlib.suppress(OSError), self._sock:
            requests = RequestReader()
            request = None
            while request is None:
                requests.feed(self._receive())
                request = requests.next_request()
            if request.method == "POST":
                self._sock.sendall(envelope(200).encode(keep_alive=False))
            else:
                self._upgrade(request)

    def _receive(self) -> bytes:
        data = self._sock.recv(64 * 1024)
        if not data:
            raise ConnectionError("the client has gone")
        return data

    def _upgrade(self, request: ParsedRequest) -> None:
        stream = Stream.named(request.query["session_id"])
        headers = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Accept": websocket.accept_value(request.headers["sec-websocket-key"]),
        }
        self._sock.sendall(Response(101, headers=headers).encode(keep_alive=True))
        sender = threading.Thread(
            target=self._send_stream, args=(stream,), name="benchmark sender", daemon=True
        )
        sender.start()
        try:
            self._listen()
        finally:
            self._over = True
            self._go.release()
            # Wakes a sender that the client has left with a full buffer.
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
            sender.join()

    def _listen(self) -> None:
        reader = websocket.FrameReader(max_message=1024 * 1024)
        while True:
            for opcode, payload in reader.feed(self._receive()):
                if opcode == websocket.CLOSE:
                    self._write(websocket.frame(websocket.CLOSE, payload[:2]))
                    return
                if opcode == websocket.TEXT and payload == b"9":
                    self._beats += 1
                    self._write(websocket.frame(websocket.TEXT, b"10"))
                elif opcode == websocket.TEXT and GO.encode() in payload:
                    self._go.release()
                elif opcode == websocket.TEXT and BEATS.encode() in payload:
                    self._write(messages.event(BEATS, self._beats))

    def _write(self, data: bytes) -> None:
        with self._writing:
            self._sock.sendall(data)

    def _wait_for_go(self) -> None:
        self._go.acquire()
        if self._over:
            raise ConnectionError("the client has gone")

    def _send_stream(self, stream: Stream) -> None:
        if stream.kind == "silence":
            return
        send = {
            "prices": self._send_all,
            "positions": self._send_all,
            "orders": self._send_orders,
            "stamped": self._send_stamped,
            "flood": self._send_flood,
        }[stream.kind]
        with contextlib.suppress(OSError):
            send(stream)

    # -- streams --------------------------------------------------------------------------------------------

    def _send_all(self, stream: Stream) -> None:
        frames = self._library.frames(stream.kind, stream.breadth, stream.messages)
        pieces = list(_pieces(frames, stream.messages))
        self._wait_for_go()
        for piece in pieces:
            self._write(piece)
        self._write(messages.event(END, {"messages": stream.messages}))

    def _send_orders(self, stream: Stream) -> None:
        placed = self._library.placed_orders(stream.breadth)
        self._library.frames("orders", stream.breadth, stream.messages)
        self._wait_for_go()
        for piece in _pieces(placed, stream.breadth):
            self._write(piece)
        self._send_all(stream)

    def _send_stamped(self, stream: Stream) -> None:
        parts = messages.stampable_prices(stream.breadth, stream.messages, self._library.seed)
        self._wait_for_go()
        due = time.monotonic()
        for _, head, tail in parts:
            due += 1 / stream.per_second
            time.sleep(max(0.0, due - time.monotonic()))
            self._write(messages.stamped(head, time.monotonic_ns(), tail))
        self._write(messages.event(END, {"messages": stream.messages}))

    def _send_flood(self, stream: Stream) -> None:
        """Every tick a piece. A client that does not read holds it up; what was missed then is not made up for."""
        each = round(stream.per_second * _TICK)
        parts = messages.stampable_prices(stream.breadth, 100 * stream.breadth, self._library.seed)
        batches = cycle([parts[start : start + each] for start in range(0, len(parts), each)])
        orders = messages.order_updates(
            FLOOD_ORDERS, stream.messages * _ORDERS_PER_SECOND // stream.per_second + 1, self._library.seed
        )
        self._wait_for_go()
        began = due = time.monotonic()
        quotes = sent_orders = 0
        while quotes < stream.messages:
            due += _TICK
            now = time.monotonic()
            if now < due:
                time.sleep(due - now)
            elif now > due + 1:
                due = now
            stamp = time.monotonic_ns()
            piece = []
            for index, head, tail in next(batches):
                self._newest[index] = stamp
                piece.append(messages.stamped(head, stamp, tail))
            quotes += len(piece)
            if quotes * _ORDERS_PER_SECOND // stream.per_second > sent_orders:
                piece.append(orders[sent_orders])
                sent_orders += 1
            self._write(b"".join(piece))
        sent = {"quotes": quotes, "orders": sent_orders, "seconds": time.monotonic() - began}
        self._write(messages.event(END, sent))


def _pieces(frames: List[bytes], count: int) -> Iterator[bytes]:
    """So many frames, from the beginning again as often as needed, in pieces for sendall."""
    average = sum(map(len, frames)) // len(frames)
    each = max(1, _CHUNK // average)
    joined = [b"".join(frames[start : start + each]) for start in range(0, len(frames), each)]
    counts = [len(frames[start : start + each]) for start in range(0, len(frames), each)]
    left = count
    for piece, inside in cycle(zip(joined, counts)):
        if left < inside:
            break
        yield piece
        left -= inside
    if left:
        start = (count - left) % len(frames)
        yield b"".join(frames[start : start + left])


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--newest", help="a file of 8 bytes for each symbol: when its newest price was sent")
    options = parser.parse_args()
    library = Library(options.seed)
    with open(options.newest, "r+b") as file:
        newest = memoryview(mmap.mmap(file.fileno(), 8 * STAMPS)).cast("q")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(50)

        def accept() -> None:
            while True:
                Conversation(listener.accept()[0], library, newest).start()

        threading.Thread(target=accept, name="benchmark accept", daemon=True).start()
        print(listener.getsockname()[1], flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
