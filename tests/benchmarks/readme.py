"""Writes what was measured into the README: ``python -m tests.benchmarks.readme [figures.json]``.

Between two comments of the section "Speed"; everything outside stays as it is.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from tests.benchmarks.bench import BASELINE, ROOT
from tests.benchmarks.chart import FIGURES, load, not_for_show
from tests.benchmarks.outcome import Section, Series

README = ROOT / "README.rst"
_WIDTH = 118
BEGIN, END = ".. figures of make bench begin here", ".. figures of make bench end here"


def figures(written: Dict[str, Any], sections: Dict[str, Section]) -> str:
    """The tables, as reStructuredText."""
    machine = dict(written["machine"])
    where = machine.pop("machine")
    versions = ", ".join(f"{name} {version}" for name, version in machine.items() if name != "onetrade_ws")
    rounds = written["options"]["rounds"]
    lines = [*textwrap.wrap(f"Medians of {rounds} rounds, interleaved; {where}; {versions}.", _WIDTH), ""]
    lines += _throughput(sections["prices"], sections["positions"])
    lines += ["", *_targets(written)]
    return "\n".join(lines)


def _throughput(prices: Section, positions: Section) -> List[str]:
    rows: List[Tuple[str, ...]] = [("client", "price frames /s", "ratio", "position events /s", "ratio")]
    for one in prices.series:
        other = positions.find(one.name)
        cells = [*_cells(one, prices), *_cells(other, positions)]
        rows.append((f"``{one.name}``" + ("" if "onetrade" in one.name else ", nothing decoded"), *cells))
    return _table(rows)


def _cells(series: Series, section: Section) -> Tuple[str, str]:
    if not series.values:
        return "not run", ""
    baseline = section.find(BASELINE)
    ratio = f"{series.median / baseline.median:.3g} ×" if baseline.values else ""
    return f"{float(f'{series.median:.3g}'):,.0f}", ratio


def _targets(written: Dict[str, Any]) -> List[str]:
    rows: List[Tuple[str, ...]] = [("what", "target", "figure", "verdict")]
    for section in written["sections"]:
        for row in section["rows"]:
            rows.append((row["what"], row["target"], row["figure"], row["verdict"].lower()))
    return _table(rows)


def _table(rows: Sequence[Tuple[str, ...]]) -> List[str]:
    """A simple table. An empty cell of its first column would continue the row above; there is none."""
    widths = [max(len(row[column]) for row in rows) or 1 for column in range(len(rows[0]))]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return [rule, lines[0], rule, *lines[1:], rule]


def paste(text: str, into: str) -> str:
    """``into`` with the figures exchanged."""
    head, begin, rest = into.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no {BEGIN!r} and {END!r} to write between")
    return f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}"


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Write."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.readme", description=__doc__)
    parser.add_argument("figures", nargs="?", type=Path, default=FIGURES, help="what make bench wrote")
    options = parser.parse_args(arguments)
    written, sections = load(options.figures)
    problem = not_for_show(written, sections)
    if problem is not None:
        parser.error(problem)
    text = figures(written, sections)
    README.write_text(paste(text, README.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"written: {README}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
