"""Measures the library beside other clients, and prints a table; see ``make bench``.

``python -m tests.benchmarks``: everything, in about ten minutes; ``--row throughput --row latency``: only these;
``--quick``: only whether it works; ``--full``: the slow consumer for ten minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

import attrs

import onetrade_ws
from tests.benchmarks.bench import ROOT, Bench, Broke, Options
from tests.benchmarks.measurements import (
    growth,
    import_time,
    latency,
    light_load,
    slow_consumer,
    throughput,
)
from tests.benchmarks.outcome import BROKE, Row, Section
from tests.benchmarks.table import machine_lines, rows_lines, section_lines

#: The measurements, in their order, by the names that --row takes.
MEASUREMENTS: Mapping[str, Callable[[Bench], List[Section]]] = {
    "throughput": throughput.measure,
    "latency": latency.measure,
    "growth": growth.measure,
    "cpu": lambda bench: [light_load.light(bench)],
    "idle": lambda bench: [light_load.rest(bench)],
    "import": import_time.measure,
    "slow": slow_consumer.measure,
}
#: Parts of the usual number of messages.
_QUICK = 0.004
_PACKAGES = ("msgspec", "attrs", "cattrs", "websocket-client", "websockets", "picows")


def machine() -> Dict[str, str]:
    """On what and with what it is measured."""
    found = {
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        platform.python_implementation(): platform.python_version(),
        "onetrade_ws": onetrade_ws.__version__,
    }
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    found = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    found.add_argument(
        "--row", action="append", choices=list(MEASUREMENTS), help="only this; may be repeated"
    )
    found.add_argument("--rounds", type=int, help="how many times each is measured (5; with --quick 1)")
    found.add_argument("--quick", action="store_true", help="few messages: only whether it works")
    found.add_argument("--full", action="store_true", help="the slow consumer for ten minutes, not one")
    found.add_argument("--seed", type=int, default=1, help="what is drawn at random begins here")
    found.add_argument("--json", type=Path, default=ROOT / ".bench" / "latest.json", help="where figures go")
    return found


def measure(bench: Bench, names: Sequence[str]) -> List[Section]:
    """One measurement after the other; one that breaks does not keep the others from being made."""
    sections = []
    for name in names:
        try:
            sections += MEASUREMENTS[name](bench)
        except Broke as reason:
            sections.append(Section(name, name, rows=[Row(name, "–", "–", BROKE, str(reason))]))
    return sections


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Measure, print, write; the exit status says whether everything worked, not how fast it was."""
    given = parser().parse_args(arguments)
    options = Options(
        rounds=given.rounds or (1 if given.quick else 5),
        scale=_QUICK if given.quick else 1.0,
        seed=given.seed,
        full=given.full,
    )
    started = time.monotonic()
    facts = machine()
    for line in machine_lines(facts):
        print(line)
    kind = "quick: the figures mean nothing" if options.quick else "medians"
    print(f"{options.rounds} round{'s' * (options.rounds > 1)}, seed {options.seed}; {kind}", flush=True)
    with Bench(options) as bench:
        if sys.stderr.isatty():
            bench.progress = lambda what: print(f"\r\033[K{what[:78]}", end="", file=sys.stderr, flush=True)
        sections = []
        for name in given.row or MEASUREMENTS:
            found = measure(bench, [name])
            bench.progress("")
            for section in found:
                for line in section_lines(section):
                    print(line, flush=True)
            sections += found
    for line in rows_lines(sections):
        print(line)
    result: Dict[str, Any] = {
        "machine": facts,
        "options": attrs.asdict(options),
        "seconds": round(time.monotonic() - started, 1),
        "sections": [attrs.asdict(section) for section in sections],
    }
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    verdicts = [row.verdict for section in sections for row in section.rows]
    counts = ", ".join(f"{verdicts.count(one)} {one}" for one in sorted(set(verdicts)))
    print(f"\n{counts}; {result['seconds']:.0f} s; {os.path.relpath(given.json)}")
    return 1 if BROKE in verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
