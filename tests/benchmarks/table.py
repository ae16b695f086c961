"""What was measured, as text for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from typing import List, Mapping, Sequence

from tests.benchmarks.outcome import Section, Series

_WIDTH = 80
_NAME = 21


def machine_lines(machine: Mapping[str, str]) -> List[str]:
    """On what it was measured."""
    versions = ", ".join(f"{name} {version}" for name, version in machine.items() if name != "machine")
    return textwrap.wrap(f"{machine['machine']}; {versions}", _WIDTH, break_on_hyphens=False)


def section_lines(section: Section) -> List[str]:
    """A measurement's series: medians, the smallest and largest value, ratios."""
    if not section.series:
        return []
    unit = "a second" if section.unit == "/s" else section.unit
    lines = [
        "",
        f"{section.title}, {unit}",
        f"{'median':>34}   {'smallest – largest':^23}{'to ' + str(section.baseline):>18}",
    ]
    lines += [_series_line(series, section) for series in section.series]
    return lines


def _series_line(series: Series, section: Section) -> str:
    if not series.values:
        return f"  {series.name:<{_NAME}}not run: {series.note}"[:_WIDTH]
    spread = f"{number(min(series.values))} – {number(max(series.values))}"
    line = f"  {series.name:<{_NAME}}{number(series.median):>11}   {spread:^23}"
    baseline = next((one for one in section.series if one.name == section.baseline), None)
    if baseline is not None and baseline.values:
        line += f"{series.median / baseline.median:>9.2f} ×"
    return line + (f"\n    {series.note}" if series.note else "")


def number(value: float) -> str:
    """With three or four figures that count."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def rows_lines(sections: Sequence[Section]) -> List[str]:
    """The targets: figure beside target, met or not."""
    lines = ["", f"{'':<48}{'target':>11}{'figure':>12}", "─" * _WIDTH]
    for section in sections:
        for row in section.rows:
            lines.append(f"{row.what:<48}{row.target:>11}{row.figure:>12} {row.verdict:>8}")
            if row.note:
                lines += textwrap.wrap(
                    row.note, _WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False
                )
    return lines
