"""Rounds of several cases, so that what disturbs the machine for a while disturbs all of them."""

from __future__ import annotations

from typing import Callable, Dict, List, Mapping, TypeVar

from tests.benchmarks.bench import NotRun

T = TypeVar("T")


def interleaved(
    cases: Mapping[str, Callable[[], T]], rounds: int, reasons: Dict[str, str]
) -> Dict[str, List[T]]:
    """What each case comes to in each round. Every round begins with another one.

    :param reasons: takes why a case cannot be run; it is not tried again
    """
    found: Dict[str, List[T]] = {name: [] for name in cases}
    names = list(cases)
    for turn in range(rounds):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            if name in reasons:
                continue
            try:
                found[name].append(cases[name]())
            except NotRun as reason:
                reasons[name] = str(reason)
    return found
