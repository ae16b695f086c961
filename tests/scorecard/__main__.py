"""Runs the rows of the scorecard, each in a process of its own, and prints figure beside target.

``python -m tests.scorecard``: small figures; ``--full``: those of the targets; ``--row 4 --row 7``: only these.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import random
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import traceback
from queue import Empty, Queue
from typing import Any, Dict, List, Optional, Sequence

import attrs

import tests.scorecard
from tests.scorecard.outcome import NotRun, Outcome

ROWS = 17
# Set in the environment of a row's own process: where it writes its result, as JSON.
_RESULT = "ONETRADE_SCORECARD_RESULT"
# Seconds for a row's small figures, before it counts as hung.
_SMALL_LIMIT = 150.0
_WIDTH = 118


@attrs.frozen
class Row:
    """One line of the table."""

    number: int
    module: str
    promise: str
    target: str
    exclusive: bool
    full_minutes: float


@attrs.frozen
class Result:
    """What became of a row."""

    row: Row
    verdict: str
    figure: str
    details: Sequence[str]
    seconds: float


def rows() -> List[Row]:
    """All rows, by their modules' names."""
    found = []
    for module in pkgutil.iter_modules(tests.scorecard.__path__):
        if module.name.startswith("row_"):
            name = f"tests.scorecard.{module.name}"
            row = importlib.import_module(name)
            found.append(
                Row(
                    int(module.name.split("_")[1]),
                    name,
                    row.PROMISE,
                    row.TARGET,
                    row.EXCLUSIVE,
                    row.FULL_MINUTES,
                )
            )
    return sorted(found, key=lambda row: row.number)


def measure(row: Row, full: bool, seed: int) -> Dict[str, Any]:
    """Run a row in this process."""
    try:
        outcome: Outcome = importlib.import_module(row.module).measure(full, seed)
    except NotRun as reason:
        return {"verdict": "not run", "figure": str(reason), "details": []}
    except Exception:  # noqa: BLE001 - a row that breaks falls short, and says where
        return {"verdict": "FELL SHORT", "figure": "it broke", "details": traceback.format_exc().splitlines()}
    verdict = "met" if outcome.met else "FELL SHORT"
    return {"verdict": verdict, "figure": outcome.figure, "details": list(outcome.details)}


def run(row: Row, full: bool, seed: int) -> Result:
    """Run a row in a process of its own, with an end."""
    started = time.monotonic()
    limit = row.full_minutes * 180 if full else _SMALL_LIMIT
    command = [sys.executable, "-m", "tests.scorecard", "--row", str(row.number), "--seed", str(seed)]
    # Not a pipe, which holds 64 KiB until somebody reads.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as answer:
        environment = {**os.environ, _RESULT: str(answer.fileno())}
        child = subprocess.Popen(
            command + ["--full"] * full,
            env=environment,
            pass_fds=[answer.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output = child.communicate(timeout=limit)[0].decode("utf-8", "replace")
        except subprocess.TimeoutExpired:
            output = f"it did not end within {limit:.0f} s"
        finally:
            # Its children, too.
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            child.wait()
        answer.seek(0)
        text = answer.read()
    seconds = time.monotonic() - started
    if not text or child.returncode:
        # Also when it had its result and then could not end.
        lines = output.splitlines()[-30:]
        return Result(row, "FELL SHORT", f"it ended with {child.returncode}", lines, seconds)
    found = json.loads(text)
    return Result(row, found["verdict"], found["figure"], found["details"], seconds)


def run_all(chosen: Sequence[Row], full: bool, seed: int, jobs: int) -> List[Result]:
    """Run the rows: those that measure times one after the other, the others side by side."""
    results: List[Result] = []

    def work(todo: Queue[Row]) -> None:
        while True:
            try:
                row = todo.get_nowait()
            except Empty:
                return
            result = run(row, full, seed)
            results.append(result)
            print(
                f"  {len(results):2} of {len(chosen)}: row {row.number}, {result.seconds:.0f} s", flush=True
            )

    for exclusive in (False, True):
        todo: Queue[Row] = Queue()
        # The longest first, so that none is left alone at the end.
        for row in sorted(chosen, key=lambda row: -row.full_minutes):
            if row.exclusive is exclusive:
                todo.put(row)
        workers = [
            threading.Thread(target=work, args=(todo,), name="scorecard worker")
            for _ in range(1 if exclusive else jobs)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    return sorted(results, key=lambda result: result.row.number)


def table(results: Sequence[Result], full: bool) -> str:
    """Row by row, figure beside target."""
    lines = []
    for result in results:
        lines.append(f"{result.row.number:>3}  {result.verdict:<11}{result.row.promise}")
        for label, words in (("target", result.row.target), ("figure", result.figure)):
            if label == "target" and not full:
                label = "in full"
            lines += textwrap.wrap(
                words,
                _WIDTH,
                initial_indent=f"{label:>15}  ",
                subsequent_indent=" " * 17,
                break_long_words=False,
            )
    for result in results:
        if result.details and result.verdict != "met":
            lines.append(f"\nrow {result.row.number}:")
            lines += [f"    {line}" for line in result.details]
    return "\n".join(lines)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run, print, and say by the exit status whether every row is met."""
    parser = argparse.ArgumentParser(prog="python -m tests.scorecard", description=__doc__)
    parser.add_argument("--full", action="store_true", help="the figures of the targets: takes long")
    parser.add_argument("--row", type=int, action="append", help="only this row; may be repeated")
    parser.add_argument("--seed", type=int, help="what is drawn at random begins here")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="rows side by side")
    options = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(10**9) if options.seed is None else options.seed
    chosen = [row for row in rows() if options.row is None or row.number in options.row]
    if options.row is not None and len(chosen) != len(set(options.row)):
        parser.error(f"there are rows 1 to {ROWS}")

    result_to = os.environ.pop(_RESULT, None)
    if result_to is not None:
        # Not inherited by what the row itself starts, which might outlive it.
        os.set_inheritable(int(result_to), False)
        with os.fdopen(int(result_to), "w", encoding="utf-8") as answer:
            json.dump(measure(chosen[0], options.full, seed), answer)
        return 0

    started = time.monotonic()
    kind = "full figures" if options.full else "small figures"
    print(f"Scorecard, {kind}, seed {seed}, Python {sys.version.split()[0]}", flush=True)
    results = run_all(chosen, options.full, seed, options.jobs)
    print(f"\n{table(results, options.full)}\n")
    counts = {
        verdict: sum(result.verdict == verdict for result in results)
        for verdict in ("met", "FELL SHORT", "not run")
    }
    summary = ", ".join(
        f"{count} {verdict}" for verdict, count in counts.items() if count or verdict == "met"
    )
    count = "1 row" if len(results) == 1 else f"{len(results)} rows"
    print(f"{count}: {summary}; {kind}, seed {seed}, {time.monotonic() - started:.0f} s")
    missing = options.row is None and {result.row.number for result in results} != set(range(1, ROWS + 1))
    if missing:
        print(f"There should be {ROWS} rows.")
    # Autobahn needs a Python that few machines still have. Everything else can be had.
    unproven = options.full and any(row.verdict == "not run" and row.row.number != 1 for row in results)
    return 1 if counts["FELL SHORT"] or missing or unproven else 0


if __name__ == "__main__":
    sys.exit(main())
