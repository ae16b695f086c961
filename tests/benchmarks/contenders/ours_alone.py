"""What is measured of onetrade_ws alone: at rest, and against a callback that is too slow."""

from __future__ import annotations

import mmap
import os
import threading
import time
from array import array
from pathlib import Path
from typing import Any, Dict, List

from onetrade_ws import Event, EventMessageType
from tests.benchmarks.contenders.ours import connected, make_client
from tests.benchmarks.messages import FIRST_SYMBOL
from tests.benchmarks.streams import BEATS, END, Stream

# Seconds that a callback takes that is too slow.
_CALLBACK = 0.001
# Seconds for what waits at the end, as a safety net.
_DRAIN = 60.0
# Seconds between two looks at the memory.
_LOOK = 0.5


def idle(address: str, stream: Stream, seconds: float) -> Dict[str, Any]:
    """Connected, while nothing is sent: how often each thread gave the processor up of its own accord.

    The main thread is in ``wait()``, as a program's is. A heartbeat wakes two threads, the one that beats and the one
    that reads its answer; how many there were is asked of the server.
    """
    client = make_client(address, stream)
    client.subscribe(EventMessageType.MARKET_FEED, lambda event: None)

    def beats() -> int:
        with client.expect(BEATS, timeout=30) as answer:
            client.send(BEATS)
        count = answer.event.data
        assert isinstance(count, int)
        return count

    with client:
        before = beats()
        # What connecting began is over by then.
        client.wait(timeout=min(2.0, seconds))
        started, switches = time.monotonic(), _voluntary_switches()
        client.wait(timeout=seconds)
        elapsed, later = time.monotonic() - started, _voluntary_switches()
        beaten = beats() - before
    return {
        "messages": 0,
        "seconds": elapsed,
        "beats": beaten,
        "switches": {name: later[name] - count for name, count in switches.items() if name in later},
    }


def _voluntary_switches() -> Dict[str, int]:
    """Of each thread of this process, by name."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    found = {}
    for task in Path("/proc/self/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                found[names.get(int(task.name), f"thread {task.name}")] = int(line.split()[1])
    return found


def slow_consumer(address: str, stream: Stream, newest: str) -> Dict[str, Any]:
    """Quotes come faster than their callback takes them, with order events among them, which must all come.

    :param newest: the file in which the server notes when it sent the newest price of each symbol
    """
    client = make_client(address, stream)
    with open(newest, "rb") as file:
        sent_last = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)).cast("q")
    expected = stream.messages // stream.per_second
    # Made now, so that what is measured does not grow while it is measured.
    room = 2 + int((expected + _DRAIN) / _CALLBACK)
    ages, rounds = array("f", bytes(4 * room)), array("f", bytes(4 * room))
    latest = array("d", bytes(8 * stream.breadth))
    turns = array("q", bytes(8 * stream.breadth))
    longest_turn = 0
    in_a_round = 0.0
    quotes = wrong_orders = 0
    orders = 0
    sent: Dict[str, Any] = {}

    def on_quote(event: Event) -> None:
        nonlocal quotes, in_a_round, longest_turn
        began = time.perf_counter()
        quote = event.data
        index = quote.symbol_id - FIRST_SYMBOL
        age = max(0, sent_last[index] - int(quote.volume)) / 1e9
        longest_turn = max(longest_turn, quotes - turns[index])
        turns[index] = quotes
        time.sleep(_CALLBACK)
        took = time.perf_counter() - began
        at = quotes % stream.breadth
        in_a_round += took - latest[at]
        latest[at] = took
        # The first round is not over yet: it is as long as those so far say.
        whole = in_a_round if quotes >= stream.breadth else in_a_round / (quotes + 1) * stream.breadth
        ages[quotes], rounds[quotes] = age, age / whole
        quotes += 1

    def on_order(event: Event) -> None:
        nonlocal orders, wrong_orders
        wrong_orders += event.data.external_id != str(orders)
        orders += 1

    client.subscribe(EventMessageType.MARKET_FEED, on_quote)
    client.subscribe(EventMessageType.ORDERS_UPDATE, on_order)
    client.subscribe(END, lambda event: sent.update(event.data))
    memory: List[int] = []
    with connected(client) as ended:
        while not ended.wait(_LOOK):
            memory.append(_resident())
            if len(memory) * _LOOK > 2 * expected + _DRAIN:
                raise RuntimeError(f"what had been sent was not delivered within {_DRAIN:.0f} s")
        stats = client.stats()
    taken = quotes
    # Whose turn never came again has waited until the end.
    longest_turn = max(longest_turn, taken - min(turns))
    return {
        "messages": taken,
        "merged": stats.merged_events,
        "undecodable": stats.decode_errors,
        "sent": sent,
        "orders": orders,
        "orders_out_of_place": wrong_orders,
        "queued_bytes_high_water": stats.queued_bytes_high_water,
        "callback": sum(latest) / min(taken, stream.breadth),
        "ages": _distribution(ages[:taken]),
        "rounds": _distribution(rounds[:taken]),
        "longest_turn": longest_turn / stream.breadth,
        "memory": memory,
        "seconds": sent.get("seconds", 0.0),
    }


def _distribution(values: array[float]) -> Dict[str, float]:
    ordered = sorted(values)
    return {
        "median": ordered[len(ordered) // 2],
        "p99": ordered[len(ordered) * 99 // 100],
        "max": ordered[-1],
    }


def _resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
