"""After each fault the server has got the subscriptions once per connection, and no event is missing unannounced."""

from __future__ import annotations

from tests.scorecard import faults
from tests.scorecard.outcome import Outcome

PROMISE = "Subscriptions restored, gaps announced"
TARGET = "1,000 of 1,000 restored exactly once, 0 silent gaps"
EXCLUSIVE = False
FULL_MINUTES = 5


def measure(full: bool, seed: int) -> Outcome:
    """Count the faults after which everything was as before, and said so."""
    count = 1000 if full else 63
    results = faults.run(count, seed)
    restored = sum(result.recovered and not result.problems for result in results)
    silent = sum("silent gap" in problem for result in results for problem in result.problems)
    losses = sum(len(result.away) for result in results)
    gaps = sum(result.gaps for result in results)
    figure = (
        f"{restored:,} of {count:,} restored exactly once, {gaps:,} gaps announced for {losses:,} losses, "
        f"{silent} silent gaps"
    )
    details = [f"{result.name}: {problem}" for result in results for problem in result.problems]
    return Outcome(figure, restored == count == len(results) and not silent, details)
