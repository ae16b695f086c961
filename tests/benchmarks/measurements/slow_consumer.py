"""50,000 quotes a second, and a callback that takes a millisecond."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import List

from tests.benchmarks.bench import Bench
from tests.benchmarks.outcome import BROKE, MET, NOT_RUN, Row, Section, judged
from tests.benchmarks.streams import Stream

_SYMBOLS = 500
_PER_SECOND = 50_000
_MINUTES, _FULL_MINUTES = 1.0, 10.0
# Bytes that memory may grow by and still be flat: an allocator's pages, not one message in a thousand kept.
_FLAT = 1024 * 1024


def measure(bench: Bench) -> List[Section]:
    """Memory, order events and the age of quotes."""
    names = ("memory, last fifth to first", "order events lost", "oldest quote delivered, in rounds")
    targets = ("≤ +1 MB", "0", "≤ 1")
    title = f"{_PER_SECOND:,} quotes/s, {_SYMBOLS} symbols, a callback of 1 ms"
    if not Path("/proc/self/statm").exists():
        reason = "no /proc/self/statm to read the memory from"
        rows = [Row(name, target, "–", NOT_RUN, reason) for name, target in zip(names, targets)]
        return [Section("slow", title, rows=rows)]

    minutes = _FULL_MINUTES if bench.options.full else max(1 / 60, _MINUTES * bench.options.scale)
    stream = Stream("flood", _SYMBOLS, int(minutes * 60) * _PER_SECOND, _PER_SECOND)
    result = bench.run(bench.best, "slow_consumer", stream, newest=bench.newest)
    sent, memory = result["sent"], result["memory"]
    fifth = max(1, len(memory) // 5)
    first, last = statistics.median(memory[:fifth]), statistics.median(memory[-fifth:])
    lost = sent["orders"] - result["orders"]
    unaccounted = sent["quotes"] - result["messages"] - result["merged"]
    rounds, ages = result["rounds"], result["ages"]
    in_order = not lost and not unaccounted and not result["orders_out_of_place"]
    memory_note = f"{first / 2**20:.0f} MB → {last / 2**20:.0f} MB"
    orders_note = (
        f"{sent['orders']:,} sent, {result['orders_out_of_place']:,} out of place; {sent['quotes']:,} quotes sent "
        f"at {sent['quotes'] / sent['seconds']:,.0f}/s: {result['messages']:,} delivered, {result['merged']:,} "
        f"merged, {unaccounted:,} lost"
    )
    age_note = (
        f"median {rounds['median']:.2f}, p99 {rounds['p99']:.2f}; at most {ages['max']:.2f} s; a round is "
        f"{_SYMBOLS} × {result['callback'] * 1000:.2f} ms; each symbol again after at most "
        f"{result['longest_turn']:.2f} rounds"
    )
    grown = last - first
    rows = [
        judged(names[0], targets[0], f"{grown / 2**20:+.1f} MB", grown <= _FLAT, memory_note),
        # What is lost is no matter of speed.
        Row(names[1], targets[1], f"{lost}", MET if in_order else BROKE, orders_note),
        judged(names[2], targets[2], f"{rounds['max']:.2f}", rounds["max"] <= 1, age_note),
    ]
    return [Section("slow", f"{title}, {minutes:g} min", rows=rows, details={"results": result})]
