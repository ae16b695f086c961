"""Draws the README's chart from what was measured: ``python -m tests.benchmarks.chart [figures.json]``.

The same figures give the same bytes. It stands on a page that may be light or dark: its ground is transparent and its
words have a grey that both let read.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from tests.benchmarks.bench import BASELINE, OURS, OURS_WITHOUT, ROOT, UNCHECKED
from tests.benchmarks.outcome import Section, Series

CHART = Path(__file__).with_name("speed.svg")
FIGURES = ROOT / ".bench" / "latest.json"

_GREY = "#7d8590"
_COLOURS = {OURS: "#2f81f7", OURS_WITHOUT: "#79b8ff"}
_OTHERS = "#a8b1bb"
_PANELS = (("prices", "Price frames a second"), ("positions", "Position events a second"))
_NAMES = {
    OURS: "onetrade_ws[speed]",
    OURS_WITHOUT: "onetrade_ws",
    BASELINE: "WebSocketApp *",
    UNCHECKED: "… unchecked *",
    "websockets": "websockets *",
    "picows": "picows *",
}


def load(path: Path) -> Tuple[Dict[str, Any], Dict[str, Section]]:
    """What was measured: everything as it was written, and the sections by their keys."""
    written: Dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    sections = {}
    for section in written["sections"]:
        series = [Series(**one) for one in section["series"]]
        sections[section["key"]] = Section(section["key"], section["title"], section["unit"], series=series)
    return written, sections


def not_for_show(written: Dict[str, Any], sections: Dict[str, Section]) -> Optional[str]:
    """Why figures are not for the README; None when they are."""
    if written["options"]["scale"] < 1:
        return "figures of a quick run mean nothing: make bench, then again"
    if not {key for key, _ in _PANELS} <= set(sections):
        return "figures of a part: make bench without --row, then again"
    return None


def draw(sections: Dict[str, Section], target: Path) -> None:
    """Draw the throughput of all that were run, as horizontal bars from zero."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    mpl.rcParams.update({"svg.hashsalt": "onetrade_ws", "svg.fonttype": "path", "font.size": 10.5})
    figure = Figure(figsize=(8.4, 4.8), layout=ConstrainedLayoutEngine(h_pad=0.1, w_pad=0.08))
    figure.patch.set_alpha(0)
    for axes, (key, title) in zip(figure.subplots(2, 1), _PANELS):
        _panel(axes, sections[key].series, title)
    figure.supxlabel(
        "* counted, nothing decoded. onetrade_ws: typed events in a callback, its mirror of the account up to date.",
        fontsize=8.5,
        color=_GREY,
    )
    figure.savefig(target, transparent=True, metadata={"Date": None} if target.suffix == ".svg" else None)


def _panel(axes: Any, series: Sequence[Series], title: str) -> None:
    shown: List[Series] = [one for one in series if one.values]
    colours = [_COLOURS.get(one.name, _OTHERS) for one in shown]
    bars = axes.barh([_NAMES[one.name] for one in shown], [one.median for one in shown], 0.68, color=colours)
    axes.bar_label(bars, [_short(one.median) for one in shown], padding=5, color=_GREY)
    axes.invert_yaxis()
    axes.set_facecolor("none")
    axes.set_title(title, loc="left", fontsize=11.5, fontweight="bold", color=_GREY)
    axes.set_xlim(0, 1.14 * max(one.median for one in shown))
    axes.xaxis.set_visible(False)
    axes.tick_params(axis="y", length=0, colors=_GREY)
    for label in axes.get_yticklabels():
        if not label.get_text().endswith("*"):
            label.set_fontweight("bold")
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
    axes.spines["left"].set_color(_GREY)


def _short(value: float) -> str:
    """Three figures: nobody reads more off a bar."""
    rounded = float(f"{value:.3g}")
    return f"{rounded / 1e6:.2f} million" if rounded >= 1e6 else f"{rounded:,.0f}"


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Draw."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.chart", description=__doc__)
    parser.add_argument("figures", nargs="?", type=Path, default=FIGURES, help="what make bench wrote")
    parser.add_argument("--to", type=Path, default=CHART, help="an SVG, or a PNG to look at")
    options = parser.parse_args(arguments)
    written, sections = load(options.figures)
    problem = not_for_show(written, sections)
    if problem is not None:
        parser.error(problem)
    draw(sections, options.to)
    print(f"drawn: {options.to}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
