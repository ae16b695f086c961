"""How late an event is in its callback, when it comes alone."""

from __future__ import annotations

from functools import partial
from typing import Any, Dict, List

from tests.benchmarks.bench import BASELINE, OURS, OURS_WITHOUT, THREADED, Bench
from tests.benchmarks.measurements.rounds import interleaved
from tests.benchmarks.outcome import NOT_RUN, Row, Section, Series, judged, missing_of
from tests.benchmarks.streams import Stream

_CONTENDERS = (OURS, OURS_WITHOUT, BASELINE, THREADED, "websockets", "picows")
_EVENTS = 500
# One every 4 ms: each has been dealt with long before the next.
_PER_SECOND = 250
# Allowed beyond the bare client, in microseconds.
_MEDIAN, _P99 = 60, 1000


def measure(bench: Bench) -> List[Section]:
    """Medians and 99th percentiles, of each round."""
    reasons: Dict[str, str] = {}
    stream = Stream("stamped", 500, bench.options.messages(_EVENTS), _PER_SECOND)
    cases = {name: partial(bench.run, name, "paced", stream) for name in _CONTENDERS}
    found = interleaved(cases, bench.options.rounds, reasons)
    sections = []
    for key, share, allowed in (("median", 0.5, _MEDIAN), ("p99", 0.99, _P99)):
        series = [
            Series(name, [_quantile(result, share) for result in found[name]], reasons.get(name, ""))
            for name in _CONTENDERS
        ]
        title = f"latency, from the server's send to the callback: {key}"
        rows = [
            _row(f"latency {key}{words} − WebSocketApp's", one, series[2], allowed)
            for one, words in ((series[0], ""), (series[1], " (no msgspec)"))
        ]
        sections.append(Section(f"latency {key}", title, "µs", BASELINE, series, rows))
    return sections


def _quantile(result: Dict[str, Any], share: float) -> float:
    ordered = sorted(result["latencies"])
    return float(ordered[int(len(ordered) * share)] / 1000)


def _row(what: str, series: Series, baseline: Series, allowed: int) -> Row:
    target = f"≤ {allowed} µs"
    missing = missing_of([series, baseline])
    if missing is not None:
        return Row(what, target, "–", NOT_RUN, missing)
    above = series.median - baseline.median
    return judged(what, target, f"{above:+.0f} µs", above <= allowed)
