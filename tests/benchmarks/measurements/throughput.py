"""How many messages a second: ours typed, mirrored and in a callback; the others as they come."""

from __future__ import annotations

from functools import partial
from typing import Any, Dict, List, Mapping

from tests.benchmarks.bench import BASELINE, OURS, OURS_WITHOUT, UNCHECKED, Bench
from tests.benchmarks.measurements.rounds import interleaved
from tests.benchmarks.outcome import Section, Series, at_least
from tests.benchmarks.streams import Stream

_BREADTH = 500
#: By contender, as many as take about a second; more does not tell more.
PRICES = {
    OURS: 1_000_000,
    OURS_WITHOUT: 300_000,
    BASELINE: 120_000,
    UNCHECKED: 120_000,
    "websockets": 180_000,
    "picows": 2_500_000,
}
POSITIONS = {
    OURS: 250_000,
    OURS_WITHOUT: 60_000,
    BASELINE: 10_000,
    UNCHECKED: 80_000,
    "websockets": 120_000,
    "picows": 700_000,
}


def measure(bench: Bench) -> List[Section]:
    """Both kinds of messages, every contender."""
    return [prices(bench), positions(bench)]


def prices(bench: Bench) -> Section:
    """Price frames."""
    section = _section(bench, "prices", "price frames, 41 bytes", PRICES)
    ours, baseline, picows = (section.find(name) for name in (OURS, BASELINE, "picows"))
    section.rows = [
        at_least("price frames / WebSocketApp", ours, baseline, 8),
        at_least("price frames / picows", ours, picows, 0.4),
    ]
    return section


def positions(bench: Bench) -> Section:
    """Position events."""
    section = _section(bench, "positions", "position events, 565 bytes of JSON", POSITIONS)
    ours, without, baseline = (section.find(name) for name in (OURS, OURS_WITHOUT, BASELINE))
    section.rows = [
        at_least("position events / WebSocketApp", ours, baseline, 25),
        at_least("position events (no msgspec) / WebSocketApp", without, baseline, 6),
    ]
    return section


def _section(bench: Bench, kind: str, title: str, numbers: Mapping[str, int]) -> Section:
    reasons: Dict[str, str] = {}
    cases = {
        name: partial(bench.run, name, "throughput", Stream(kind, _BREADTH, bench.options.messages(number)))
        for name, number in numbers.items()
    }
    found = interleaved(cases, bench.options.rounds, reasons)
    series = [
        Series(name, [rate(result) for result in results], reasons.get(name) or merged(results))
        for name, results in found.items()
    ]
    return Section(kind, title, "/s", BASELINE, series, details={"results": found})


def rate(result: Mapping[str, Any]) -> float:
    """Messages a second, from the first to the last."""
    return float(result["messages"] / result["seconds"])


def merged(results: List[Dict[str, Any]]) -> str:
    """What is to be said where not each message had its call; empty where each had."""
    number = sum(result.get("merged", 0) for result in results)
    return f"{number:,} merged, not counted" if number else ""
