"""The whole suite, again and again, in random order and in parallel, must not fail once; and it must fail for each
of the bugs that are planted in a copy of the package.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Dict, List, Sequence

import attrs

from tests.scorecard.outcome import Outcome
from tests.scorecard.planted_bugs import BUGS, Bug

PROMISE = "The suite can be trusted"
TARGET = "0 flakes in 20 runs; 15 of 15 caught"
# The runs take all cores.
EXCLUSIVE = True
FULL_MINUTES = 40

_ROOT = Path(__file__).resolve().parents[2]
# What the suite needs of the tree.
_COPIED = (
    "onetrade_ws",
    "tests",
    ".ci",
    "setup.cfg",
    "setup.py",
    "README.rst",
    "Makefile",
    "LICENSE",
    ".gitignore",
)
# Seconds for one run of pytest.
_LIMIT = 600.0
# What is run once in the small figures: short, and full of threads.
_RACY = (
    "tests/connection/test_session_rules.py",
    "tests/connection/test_outgoing.py",
    "tests/client/test_observers.py",
)
_SUMMARY = re.compile(r"(\d+) (failed|passed|error|errors)\b")


@attrs.frozen
class Run:
    """One run of pytest.

    :ivar status: its exit status: 0 all passed, 1 some failed (pytest)
    :ivar counts: how many tests failed, passed, or could not be set up or cleaned up after
    """

    status: int
    counts: Dict[str, int]
    output: str

    def last_lines(self) -> List[str]:
        """What pytest said in the end."""
        return [line for line in self.output.splitlines() if line.startswith(("FAILED", "ERROR", "E  "))][
            -12:
        ]


def copy_tree(into: Path) -> None:
    """What the suite needs, without what its runs have left there."""
    for name in _COPIED:
        source = _ROOT / name
        if source.is_dir():
            shutil.copytree(source, into / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, into / name)


def run_suite(root: Path, seed: int, *arguments: str) -> Run:
    """Run pytest in a copy of the tree."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--randomly-seed={seed}"]
    try:
        child = subprocess.run(
            [*command, *arguments],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Run(-1, {}, f"FAILED to end within {_LIMIT:.0f} s")
    output = child.stdout.decode("utf-8", "replace")
    last = next((line for line in reversed(output.splitlines()) if _SUMMARY.search(line)), "")
    return Run(child.returncode, {word: int(count) for count, word in _SUMMARY.findall(last)}, output)


def flakes(root: Path, runs: int, seed: int, arguments: Sequence[str]) -> List[str]:
    """Run the suite so many times: a line for each that failed, and what failed in it."""
    found: List[str] = []
    for number in range(runs):
        run = run_suite(root, seed + number, "-n", "4", *arguments)
        if run.status or not run.counts.get("passed"):
            found.append(f"run {number + 1} of {runs}, --randomly-seed={seed + number}: {run.counts}")
            found += run.last_lines()
    return found


def escaped(bug: Bug, seed: int) -> str:
    """Plant a bug in a copy and run the tests that should notice it; why it was not caught, or nothing."""
    with tempfile.TemporaryDirectory(prefix="planted-bug-") as directory:
        root = Path(directory)
        copy_tree(root)
        try:
            bug.plant(root)
        except LookupError as error:
            return str(error)
        run = run_suite(root, seed, "-x", *bug.tests)
    # An error in collecting or setting up is no test that failed.
    if run.status == 1 and run.counts.get("failed"):
        return ""
    return f"pytest ended with {run.status}: {run.counts} {' '.join(run.last_lines())}"


def out_of_date(bug: Bug) -> str:
    """Why a bug cannot be planted any more, or nothing: also of those that a small run leaves out."""
    try:
        bug.check(_ROOT)
    except LookupError as error:
        return f"cannot be planted: {bug.name}: {error}"
    return ""


def measure(full: bool, seed: int) -> Outcome:
    """Count flakes, and bugs that escape."""
    runs = 20 if full else 1
    bugs = BUGS if full else random.Random(seed).sample(BUGS, 5)
    with tempfile.TemporaryDirectory(prefix="suite-") as directory:
        copy_tree(Path(directory))
        details = flakes(Path(directory), runs, seed, () if full else _RACY)
    failed_runs = sum(line.startswith("run ") for line in details)
    with ThreadPoolExecutor(3) as pool:
        reasons = list(pool.map(lambda bug: escaped(bug, seed), bugs))
    details += [f"not caught: {bug.name}: {reason}" for bug, reason in zip(bugs, reasons) if reason]
    caught = sum(not reason for reason in reasons)
    outdated = [reason for reason in map(out_of_date, BUGS) if reason]
    return Outcome(
        f"{failed_runs} flakes in {runs} run{'s' * full}; {caught} of {len(bugs)} caught",
        not failed_runs and caught == len(bugs) and len(BUGS) == 15 and not outdated,
        details + outdated,
    )
