"""Bombs are thrown at a client, each in a process of its own, whose growth at its largest is measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import List

from tests.connection.conftest import program_environment
from tests.connection.hostile import HostileServer
from tests.scorecard.bombs import bombs
from tests.scorecard.cases import FellShort, run_cases
from tests.scorecard.outcome import NotRun, Outcome

PROMISE = "Memory is bounded"
TARGET = "growth ≤ the message limit + 16 MB"
EXCLUSIVE = False
FULL_MINUTES = 5

_MB = 1024 * 1024
_ALLOWED = 16 * _MB


def _throw(name: str, limit: int, seconds: float, growths: List[int]) -> None:
    bomb = bombs(limit)[name]
    with HostileServer() as harmless, HostileServer(bomb.websocket, http=bomb.http) as server:
        module = "tests.scorecard.bomb_victim"
        command = [
            sys.executable,
            "-m",
            module,
            name,
            str(limit),
            harmless.ws_url,
            server.ws_url,
            str(seconds),
        ]
        done = subprocess.run(
            command,
            env=program_environment(),
            capture_output=True,
            text=True,
            timeout=seconds + 60,
            check=False,
        )
    if done.returncode:
        raise FellShort(f"it ended with {done.returncode}: {done.stderr[-500:]}")
    outcome = json.loads(done.stdout)
    # What the limit allows is not the bomb's.
    growths.append(outcome["growth"] - limit)
    if outcome["growth"] > limit + _ALLOWED:
        raise FellShort(f"{outcome['growth'] / _MB:.1f} MB; {outcome}")
    # What ends otherwise has perhaps not been thrown.
    expected = None if bomb.error is None else bomb.error.__name__
    if outcome["came_to"] != expected:
        raise FellShort(f"came to {outcome['came_to']}, not {expected}; {outcome}")


def measure(full: bool, seed: int) -> Outcome:
    """Throw each bomb; in full for longer."""
    if not Path("/proc/self/clear_refs").exists():
        raise NotRun("no /proc/self/clear_refs: the most that a process had cannot be measured")
    growths: List[int] = []
    failures: List[str] = []
    names = list(bombs(_MB))
    for limit in (1, 4, 16) if full else (4,):
        cases = {
            f"{name}, with a limit of {limit} MB": partial(
                _throw, name, limit * _MB, 5.0 if full else 0.7, growths
            )
            for name in names
        }
        failures += run_cases(cases, at_once=2 * min(2, os.cpu_count() or 1))[1]
    good = [name for name in names if not any(line.startswith(f"{name}, ") for line in failures)]
    figure = (
        f"{len(good)} of {len(names)} bombs, growth at most the message limit "
        f"{max(growths, default=0) / _MB:+.1f} MB"
    )
    return Outcome(figure, not failures, failures)
