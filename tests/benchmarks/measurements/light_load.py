"""What the library costs when little happens: processor time at 1,000 quotes a second, wake-ups at rest."""

from __future__ import annotations

import sys
from functools import partial
from typing import Dict, List

from tests.benchmarks.bench import BASELINE, OURS, OURS_WITHOUT, THREADED, Bench
from tests.benchmarks.measurements.rounds import interleaved
from tests.benchmarks.outcome import NOT_RUN, Row, Section, Series, judged
from tests.benchmarks.streams import Stream

_PER_SECOND = 1000
_MESSAGES = 5000
# Percent of a core.
_ALLOWED = 4.0
# At rest: more than two heartbeats of 30 s.
_SECONDS = 65.0
# A wake-up in twenty seconds shows as none: the system has some of its own.
_NONE = 0.05


def measure(bench: Bench) -> List[Section]:
    """Both."""
    return [light(bench), rest(bench)]


def light(bench: Bench) -> Section:
    """Processor time, one quote every millisecond."""
    reasons: Dict[str, str] = {}
    stream = Stream("stamped", 500, bench.options.messages(_MESSAGES), _PER_SECOND)
    names = (OURS, OURS_WITHOUT, BASELINE, THREADED)
    cases = {name: partial(bench.run, name, "paced", stream) for name in names}
    found = interleaved(cases, min(3, bench.options.rounds), reasons)
    series = [
        Series(
            name, [100 * result["cpu"] / result["seconds"] for result in found[name]], reasons.get(name, "")
        )
        for name in names
    ]
    rows = []
    for one, words in ((series[0], ""), (series[1], " (no msgspec)")):
        what = f"processor at 1,000 quotes/s{words}"
        if one.values:
            rows.append(judged(what, "< 4 %", f"{one.median:.1f} %", one.median < _ALLOWED))
        else:
            rows.append(Row(what, "< 4 %", "–", NOT_RUN, one.note))
    return Section("cpu", "one core, at 1,000 quotes/s", "%", BASELINE, series, rows)


def rest(bench: Bench) -> Section:
    """Wake-ups: the voluntary context switches of the client's threads and of the main one, which is in ``wait()``.

    Taken off is what the heartbeat costs: for each beat up to three of its own thread (its pause, and handing the
    interpreter's lock to the reader and back), and one of the reader, for the answer; and one of the main thread, for
    beginning to wait.
    """
    what, target = "wake-ups a second at rest", "0"
    if not sys.platform.startswith("linux"):
        return Section(
            "idle", what, rows=[Row(what, target, "–", NOT_RUN, "only Linux counts a thread's wake-ups")]
        )
    seconds = max(1.0, _SECONDS * bench.options.scale)
    result = bench.run(bench.best, "idle", Stream("silence"), seconds=seconds)
    switches = sum(result["switches"].values())
    beating = min(result["switches"].get("onetrade-ws heartbeat", 0), 3 * result["beats"])
    left = max(0, switches - beating - result["beats"] - 1) / result["seconds"]
    note = (
        f"{switches} in {result['seconds']:.0f} s, with {beating} + {result['beats']} of {result['beats']} "
        "heartbeats and their answers, and 1 of wait(); by thread: "
        + ", ".join(f"{name.replace('onetrade-ws ', '')} {n}" for name, n in result["switches"].items())
    )
    row = judged(what, target, f"{left:.2f}", left < _NONE, note)
    return Section("idle", "wake-ups at rest", rows=[row], details={"results": result})
