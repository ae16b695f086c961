"""How long ``import onetrade_ws`` takes, beside what it requires."""

from __future__ import annotations

import importlib.util
from functools import partial
from typing import List

from tests.benchmarks.bench import OURS, OURS_WITHOUT, Bench
from tests.benchmarks.measurements.rounds import interleaved
from tests.benchmarks.outcome import NOT_RUN, Row, Section, Series, judged

_REQUIRED = "websocket requests attr attrs cattrs"
_ALLOWED = 1.25
# Imports are short: so many for each round.
_EACH = 4


def measure(bench: Bench) -> List[Section]:
    """Fresh interpreters, one after the other; the first import only compiles."""
    reference = "what it requires"
    cases = {
        OURS: partial(bench.import_seconds, OURS, "onetrade_ws"),
        OURS_WITHOUT: partial(bench.import_seconds, OURS_WITHOUT, "onetrade_ws"),
        reference: partial(bench.import_seconds, OURS_WITHOUT, _REQUIRED),
    }
    missing = "msgspec is not installed" if importlib.util.find_spec("msgspec") is None else ""
    if missing:
        del cases[OURS]
    for case in cases.values():
        case()
    found = interleaved(cases, max(1, _EACH * bench.options.rounds if not bench.options.quick else 1), {})
    series = [Series(name, [1000 * seconds for seconds in values]) for name, values in found.items()]
    baseline = series[-1].median
    rows = []
    for name, words in ((OURS, ""), (OURS_WITHOUT, " (no msgspec)")):
        what, target = f"import{words} / import of what it requires", f"≤ {_ALLOWED} ×"
        one = next((one for one in series if one.name == name), None)
        if one is None:
            rows.append(Row(what, target, "–", NOT_RUN, missing))
        else:
            ratio = one.median / baseline
            rows.append(judged(what, target, f"{ratio:.2f} ×", ratio <= _ALLOWED))
    return [Section("import", "import, in a fresh interpreter", "ms", reference, series, rows)]
