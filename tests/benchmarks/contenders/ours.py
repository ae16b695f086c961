"""onetrade_ws, through its public names alone: typed events in a callback, the mirror up to date."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator

from onetrade_ws import Event, EventMessageType, OneTradeClient
from tests.benchmarks.contenders.reception import Pace
from tests.benchmarks.streams import END, GO, Stream

# Seconds for anything to come, as a safety net.
_TIMEOUT = 90.0

_MEASURED = {
    "prices": EventMessageType.MARKET_FEED,
    "positions": EventMessageType.POSITIONS_UPDATE,
    "orders": EventMessageType.ORDERS_UPDATE,
}


@contextmanager
def connected(client: OneTradeClient) -> Iterator[threading.Event]:
    """Connect, have the stream begin, and give what is set at its end."""
    ended = threading.Event()
    client.subscribe(END, lambda event: ended.set())
    with client:
        client.send(GO)
        yield ended


def make_client(address: str, stream: Stream) -> OneTradeClient:
    """A client with the stream's name as its session."""
    return OneTradeClient(
        f"ws://{address}", session_id=stream.name, access_token="token-of-nobody", snapshot=False
    )


def wait(ended: threading.Event, what: str) -> None:
    """Block until it is set."""
    if not ended.wait(_TIMEOUT):
        raise RuntimeError(f"{what} did not come within {_TIMEOUT:.0f} s")


def throughput(address: str, stream: Stream, observers: int = 1) -> Dict[str, Any]:
    """Read a field of each event in a callback.

    :param observers: how many callbacks, each reading a field
    """
    client = make_client(address, stream)
    counter = _Counter(stream)
    measured = _MEASURED[stream.kind]
    client.subscribe(measured, counter.on_quote if stream.kind == "prices" else counter.on_record)
    client.subscribe(EventMessageType.ORDERS_PLACE, counter.on_placed)
    for _ in range(observers - 1):
        client.subscribe(measured, _another(stream.kind))
    with connected(client) as ended:
        if stream.kind == "orders":
            wait(counter.all_placed, "the orders")
            client.send(GO)
        wait(ended, "the end of the stream")
        end = time.monotonic()
        stats = client.stats()
        account = client.account
        mirrored = {
            "prices": lambda: len(account.quotes),
            "positions": lambda: len(account.open_positions),
            "orders": lambda: len(account.orders),
        }[stream.kind]()
    expected = stream.breadth if stream.kind == "orders" else min(stream.breadth, stream.messages)
    if mirrored != expected:
        raise RuntimeError(f"the mirror holds {mirrored}, not {expected}")
    return {
        "messages": counter.count,
        "merged": stats.merged_events,
        "undecodable": stats.decode_errors,
        "queued_bytes_high_water": stats.queued_bytes_high_water,
        # Merged ones have no call of their own to count.
        "cpu": counter.cpu if counter.last else None,
        "seconds": (counter.last or end) - counter.first,
    }


class _Counter:
    """Callbacks that read a field and count."""

    def __init__(self, stream: Stream) -> None:
        self.count = 0
        self.first = self.last = self.cpu = 0.0
        self.all_placed = threading.Event()
        self._stream = stream
        self._messages = stream.messages
        self._placed = 0

    def on_quote(self, event: Event) -> None:
        event.data.bid  # noqa: B018 - what a callback does first
        if not self.count:
            self.first, self.cpu = time.monotonic(), -time.process_time()
        self.count += 1
        if self.count == self._messages:
            self.last = time.monotonic()
            self.cpu += time.process_time()

    def on_record(self, event: Event) -> None:
        event.data.price_current  # noqa: B018 - what a callback does first
        if not self.count:
            self.first, self.cpu = time.monotonic(), -time.process_time()
        self.count += 1
        if self.count == self._messages:
            self.last = time.monotonic()
            self.cpu += time.process_time()

    def on_placed(self, event: Event) -> None:
        self._placed += 1
        if self._placed == self._stream.breadth:
            self.all_placed.set()


def _another(kind: str) -> Callable[[Event], None]:
    if kind == "prices":
        return lambda event: event.data.ask
    return lambda event: event.data.side


def paced(address: str, stream: Stream) -> Dict[str, Any]:
    """Compare clocks in a callback."""
    client = make_client(address, stream)
    pace = Pace(stream.messages)

    def on_quote(event: Event) -> None:
        now = time.monotonic_ns()
        pace.note(now, int(event.data.volume))

    client.subscribe(EventMessageType.MARKET_FEED, on_quote)
    with connected(client) as ended:
        wait(ended, "the end of the stream")
        merged = client.stats().merged_events
    return {**pace.result, "merged": merged}
