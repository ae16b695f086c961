"""Where the time goes while quotes and positions come as fast as they can; see ``make profile``.

py-spy looks at the client's process so many times a second, and this counts what it saw: which thread ran which
function. ``--gil`` counts only who held the interpreter's lock, of which there is one for all threads.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from tests.benchmarks.bench import OURS_WITHOUT, Bench, Options
from tests.benchmarks.streams import Stream

_MESSAGES = {"prices": 6_000_000, "positions": 1_000_000}
_TOP = 15
_WIDTH = 80


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Profile, and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.profiling", description=__doc__)
    parser.add_argument("--kind", choices=list(_MESSAGES), action="append", help="only these messages")
    parser.add_argument("--without-msgspec", action="store_true", help="as where it is not installed")
    parser.add_argument("--gil", action="store_true", help="count only who holds the interpreter's lock")
    parser.add_argument("--rate", type=int, default=250, help="how many looks a second")
    parser.add_argument("--scale", type=float, default=1.0, help="messages, in parts of the usual number")
    options = parser.parse_args(arguments)
    spy = shutil.which("py-spy", path=sysconfig.get_path("scripts")) or shutil.which("py-spy")
    if spy is None:
        print("py-spy is not installed: it is in the extra bench", file=sys.stderr)
        return 1
    with Bench(Options(scale=options.scale)) as bench:
        contender = OURS_WITHOUT if options.without_msgspec else bench.best
        for kind in options.kind or _MESSAGES:
            number = bench.options.messages(_MESSAGES[kind] // (5 if contender == OURS_WITHOUT else 1))
            command = bench.command(contender, "throughput", Stream(kind, 500, number))
            print(f"\n{contender}: {number:,} {kind}{', who holds the lock' if options.gil else ''}")
            stacks = _record(spy, command, bench.environment, options.rate, options.gil)
            for line in _by_thread(stacks):
                print(line)
    return 0


def _record(
    spy: str, command: List[str], environment: Dict[str, str], rate: int, gil: bool
) -> Dict[str, int]:
    """How often each stack was seen: the thread first, then its frames from the outermost, between semicolons."""
    with tempfile.TemporaryDirectory(prefix="onetrade-profile-") as directory:
        target = Path(directory, "stacks")
        # Pausing it at each look would cost more than a look that is torn now and then.
        spying = [spy, "record", "--nonblocking", "--threads", "--format", "raw", "--rate", str(rate)]
        subprocess.run(
            [*spying, *["--gil"] * gil, "--output", str(target), "--", *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=True,
        )
        stacks = {}
        for line in target.read_text(encoding="utf-8").splitlines():
            stack, _, count = line.rpartition(" ")
            stacks[stack] = int(count)
        return stacks


def _by_thread(stacks: Dict[str, int]) -> List[str]:
    """Each thread's share, and its functions: the time in themselves, and with what they called."""
    own: Dict[str, Counter[str]] = {}
    whole: Dict[str, Counter[str]] = {}
    for stack, count in stacks.items():
        thread, *frames = stack.split(";")
        frames = [_function(frame) for frame in frames]
        # Starting up is another matter.
        if not frames or any("importlib" in frame for frame in frames):
            continue
        thread = _thread(thread, frames)
        own.setdefault(thread, Counter())[frames[-1]] += count
        for frame in set(frames):
            whole.setdefault(thread, Counter())[frame] += count
    total = sum(sum(counts.values()) for counts in own.values())
    lines = []
    for thread, counts in sorted(own.items(), key=lambda item: -sum(item[1].values())):
        share = sum(counts.values()) / total
        if share < 0.01:
            continue
        lines += ["", f"{thread}: {share:.0%} of what was seen"]
        lines.append(f"{'itself':>8}{'with calls':>12}  function")
        for name, count in counts.most_common(_TOP):
            line = f"{count / total:>8.1%}{whole[thread][name] / total:>12.1%}  {name}"
            lines.append(line[:_WIDTH])
    return lines


def _thread(name: str, frames: List[str]) -> str:
    """Its name, or what it runs, where py-spy could not find out."""
    if not name.startswith("thread ("):
        return name
    work = (frame for frame in frames if not frame.endswith("threading.py"))
    return f"thread of {next(work, name)}"


def _function(frame: str) -> str:
    """``function (file)`` of ``function (path/file.py:12)``: lines of one function count together."""
    name, _, place = frame.rpartition(" (")
    path = place.rstrip(")").rpartition(":")[0]
    return f"{name}  {'/'.join(Path(path).parts[-2:])}"


if __name__ == "__main__":
    sys.exit(main())
