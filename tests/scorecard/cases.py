"""Named cases of a row: each runs to its end, whatever becomes of the others."""

from __future__ import annotations

import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Dict, List, Mapping, Tuple, TypeVar

T = TypeVar("T")


class FellShort(Exception):
    """A case found the promise broken. The text says how."""


def run_cases(cases: Mapping[str, Callable[[], T]], at_once: int = 1) -> Tuple[Dict[str, T], List[str]]:
    """Run all cases.

    :param at_once: how many may run side by side
    :returns: what the cases returned, by their names; and a line for each that fell short, or broke
    """
    returned: Dict[str, T] = {}
    failures: List[str] = []

    def run(name: str) -> None:
        try:
            returned[name] = cases[name]()
        except FellShort as reason:
            failures.append(f"{name}: {reason}")
        except Exception as error:  # noqa: BLE001 - a case that breaks falls short, and says where
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{where.filename.rpartition('/')[2]}:{where.lineno}"
            failures.append(f"{name}: it broke: {type(error).__name__} at {place}: {error}")

    with ThreadPoolExecutor(at_once, thread_name_prefix="case") as pool:
        list(pool.map(run, cases))
    return returned, sorted(failures)
