"""A great number of random cases, split into numbered chunks and shared by two processes.

A chunk draws everything from a generator of its own, so that the same seed makes the same cases whichever process
takes the chunk, and a small run is the beginning of a full one.
"""

from __future__ import annotations

import multiprocessing
import random
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import Callable, List, Tuple

import attrs

_PROCESSES = 2
# What is wrong in one place is wrong in thousands of cases.
_FINDINGS_KEPT = 20


@attrs.define
class Tally:
    """What became of the cases.

    :ivar cases: how many were tried
    :ivar counts: how often each thing worth counting happened
    :ivar wrong: how many cases went wrong
    :ivar findings: the first of them, a line each
    """

    cases: int = 0
    counts: Counter[str] = attrs.Factory(Counter)
    wrong: int = 0
    findings: List[str] = attrs.Factory(list)

    def found(self, finding: str) -> None:
        """Note a case that went wrong."""
        self.wrong += 1
        if len(self.findings) < _FINDINGS_KEPT:
            self.findings.append(finding)

    def add(self, other: Tally) -> None:
        """Add what became of other cases."""
        self.cases += other.cases
        self.counts += other.counts
        self.wrong += other.wrong
        self.findings = (self.findings + other.findings)[:_FINDINGS_KEPT]


#: Tries so many cases, drawn from the generator.
Try = Callable[[random.Random, int], Tally]


def run(try_cases: Try, cases: int, seed: int, chunk: int = 10_000) -> Tally:
    """Try ``cases`` cases; blocks until all are done.

    :param try_cases: a function of a module, which the other processes can import
    :raises BrokenProcessPool: when a process died over a case
    """
    numbers = range(-(-cases // chunk))
    work = [(try_cases, f"{seed}/{number}", min(chunk, cases - number * chunk)) for number in numbers]
    total = Tally()
    with ProcessPoolExecutor(_PROCESSES, multiprocessing.get_context("spawn")) as pool:
        for tally in pool.map(_try_chunk, work):
            total.add(tally)
    return total


def _try_chunk(work: Tuple[Try, str, int]) -> Tally:
    try_cases, seed, cases = work
    return try_cases(random.Random(seed), cases)
