"""What measurements come to."""

from __future__ import annotations

import statistics
from typing import Any, Dict, List, Optional, Sequence

import attrs

MET, NOT_MET, NOT_RUN, BROKE = "met", "NOT MET", "not run", "BROKE"


@attrs.frozen
class Series:
    """One thing, measured in several rounds.

    :ivar values: one of each round; none when it could not be run
    :ivar note: why it was not run, or what else there is to say
    """

    name: str
    values: Sequence[float] = ()
    note: str = ""

    @property
    def median(self) -> float:
        """The middle of the values."""
        return statistics.median(self.values)


@attrs.frozen
class Row:
    """A target, and what was measured.

    :ivar verdict: :data:`MET`, :data:`NOT_MET`, :data:`NOT_RUN` or :data:`BROKE`
    :ivar note: why it was not run, or what else there is to say
    """

    what: str
    target: str
    figure: str
    verdict: str
    note: str = ""


@attrs.define
class Section:
    """One measurement, with all that was measured beside each other.

    :ivar key: its name on the command line and in JSON
    :ivar unit: of the series
    :ivar baseline: the name of the series that the others are compared with
    :ivar details: whatever else was found out, for JSON
    """

    key: str
    title: str
    unit: str = ""
    baseline: Optional[str] = None
    series: Sequence[Series] = ()
    rows: Sequence[Row] = ()
    details: Dict[str, Any] = attrs.field(factory=dict)

    def find(self, name: str) -> Series:
        """The series of that name."""
        return next(series for series in self.series if series.name == name)


def judged(what: str, target: str, figure: str, met: bool, note: str = "") -> Row:
    """A row that was measured."""
    return Row(what, target, figure, MET if met else NOT_MET, note)


def at_least(what: str, series: Series, other: Series, factor: float) -> Row:
    """A row: the median of a series is so many times that of another one."""
    target = f"≥ {factor:g} ×"
    missing = missing_of([series, other])
    if missing is not None:
        return Row(what, target, "–", NOT_RUN, missing)
    ratio = series.median / other.median
    return judged(what, target, f"{ratio:.3g} ×", ratio >= factor, series.note)


def missing_of(series: List[Series]) -> Optional[str]:
    """Why a comparison cannot be made; None when it can."""
    return next((f"{one.name}: {one.note}" for one in series if not one.values), None)
