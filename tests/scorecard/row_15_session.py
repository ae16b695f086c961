"""Each rule of the session is played against a scripted server, in all its cases, and one that breaks is named.

After each final refusal the client must be closed, without a thread left, and the server must have seen no further
request when one of the test's own arrives.
"""

from __future__ import annotations

import random
from typing import Dict

from tests.connection.session_rules import RULES, Stage
from tests.scorecard.outcome import Outcome

PROMISE = "Session rules"
TARGET = "30 of 30; a final refusal is never retried"
EXCLUSIVE = False
FULL_MINUTES = 5

# How often everything is played in full, each time in another order.
_ROUNDS = 10


def measure(full: bool, seed: int) -> Outcome:
    """Play the rules."""
    draw = random.Random(seed)
    plays = [(rule, name, play) for rule in RULES for name, play in rule.plays()]
    broken: Dict[str, str] = {}
    for _ in range(_ROUNDS if full else 1):
        draw.shuffle(plays)
        for rule, name, play in plays:
            # One case is enough, and each may take its whole timeout.
            if rule.name in broken:
                continue
            try:
                with Stage() as stage:
                    play(stage)
            except Exception as error:  # noqa: BLE001 - whatever it is, the rule does not hold
                broken[rule.name] = f"{rule.name}: {name}: {type(error).__name__}: {error}"
    held = len(RULES) - len(broken)
    rounds = f", each {_ROUNDS} times" if full else ""
    return Outcome(
        f"{held} of {len(RULES)} in {len(plays)} cases{rounds}",
        not broken and held == 30,
        list(broken.values()),
    )
