"""How the time for an event grows: with the symbols, with the orders in the mirror, with the observers."""

from __future__ import annotations

from functools import partial
from typing import Any, Dict, List, Mapping

from tests.benchmarks.bench import Bench
from tests.benchmarks.measurements.rounds import interleaved
from tests.benchmarks.measurements.throughput import merged, rate
from tests.benchmarks.outcome import Row, Section, Series, judged
from tests.benchmarks.streams import Stream

_SYMBOLS = (10, 1_000, 10_000)
_ORDERS = (10, 1_000, 100_000)
_OBSERVERS = (1, 2, 4, 8)
_PRICES = 400_000
_UPDATES = 100_000
# How much longer an event may take, in parts.
_ALLOWED = 0.10


def measure(bench: Bench) -> List[Section]:
    """All three."""
    return [symbols(bench), orders(bench), observers(bench)]


def symbols(bench: Bench) -> Section:
    """With the number of symbols."""
    cases = {f"{n:,} symbols": {"stream": _stream(bench, "prices", n, _PRICES)} for n in _SYMBOLS}
    section = _section(bench, "growth symbols", "time for a quote", cases)
    section.rows = [_steady("a quote, from 10 to 10,000 symbols", section)]
    return section


def orders(bench: Bench) -> Section:
    """With the number of orders in the mirror: updates of any of them, in a random order."""
    numbers = [min(n, bench.options.messages(n * 100)) for n in _ORDERS]
    cases = {f"{n:,} orders": {"stream": _stream(bench, "orders", n, _UPDATES)} for n in numbers}
    section = _section(bench, "growth orders", "time for an order update", cases)
    section.rows = [_steady(f"an order, from {numbers[0]:,} to {numbers[-1]:,} in the mirror", section)]
    return section


def observers(bench: Bench) -> Section:
    """With the number of observers, each of which reads a field."""
    stream = _stream(bench, "prices", 500, _PRICES)
    cases = {f"{n} observers": {"stream": stream, "observers": n} for n in _OBSERVERS}
    section = _section(bench, "growth observers", "time for a quote", cases)
    times = [series.median for series in section.series]
    each, off = _line(_OBSERVERS, times)
    note = f"{each:.2f} µs for each"
    section.rows = [
        judged("1 to 8 observers, off a straight line", "≤ 10 %", f"{off:.1%}", off <= _ALLOWED, note)
    ]
    return section


def _stream(bench: Bench, kind: str, breadth: int, usual: int) -> Stream:
    return Stream(kind, breadth, max(breadth if kind == "prices" else 1, bench.options.messages(usual)))


def _section(bench: Bench, key: str, title: str, cases: Mapping[str, Dict[str, Any]]) -> Section:
    found = interleaved(
        {name: partial(bench.run, bench.best, "throughput", **case) for name, case in cases.items()},
        bench.options.rounds,
        {},
    )
    series = [
        Series(name, [1e6 / rate(result) for result in results], merged(results))
        for name, results in found.items()
    ]
    title = f"{title} ({bench.best})"
    return Section(key, title, "µs", next(iter(cases)), series, details={"results": found})


def _steady(what: str, section: Section) -> Row:
    """No more than so much slower than with the fewest."""
    least = section.series[0].median
    growth = max(series.median for series in section.series[1:]) / least - 1
    return judged(what, "≤ 10 %", f"{growth:+.1%}", growth <= _ALLOWED)


def _line(xs: Any, ys: List[float]) -> Any:
    """The slope of the line through points by least squares, and how far the farthest is off, in parts."""
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys)) / sum((x - mean_x) ** 2 for x in xs)
    expected = [mean_y + slope * (x - mean_x) for x in xs]
    return slope, max(abs(y - line) / line for y, line in zip(ys, expected))
