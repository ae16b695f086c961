"""Seeded faults of all kinds strike busy streams; the client must come back from each one, and soon."""

from __future__ import annotations

from tests.scorecard import faults
from tests.scorecard.outcome import Outcome

PROMISE = "Survives faults"
TARGET = "1,000 of 1,000, p99 recovery under 1 s on a test backoff"
EXCLUSIVE = True
FULL_MINUTES = 5

_LIMIT = 1.0


def measure(full: bool, seed: int) -> Outcome:
    """Count the faults that the client came back from, and measure how long each loss lasted."""
    count = 1000 if full else 63
    results = faults.run(count, seed)
    recovered = sum(result.recovered for result in results)
    away = sorted(seconds for result in results for seconds in result.away)
    # The smallest that 99 % of the losses do not exceed.
    p99 = away[-(-len(away) * 99 // 100) - 1] if away else float("inf")
    needless = sum(result.needless for result in results)
    figure = (
        f"{recovered:,} of {count:,}, p99 recovery {p99:.2f} s ({len(away):,} losses, {needless} needless)"
    )
    details = [f"not recovered: {result.name}" for result in results if not result.recovered]
    details += [
        f"the connection was given up needlessly: {result.name}" for result in results if result.needless
    ]
    details += [
        f"{max(result.away):.2f} s: {result.name}"
        for result in results
        if max(result.away, default=0.0) >= _LIMIT
    ]
    met = recovered == count == len(results) and p99 < _LIMIT and not needless
    return Outcome(figure, met, details)
