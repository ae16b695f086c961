"""The benchmarks work: nothing here asks how fast anything is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

import docutils.core
import pytest

from tests.benchmarks import chart, messages, readme
from tests.benchmarks.measurements import throughput
from tests.benchmarks.outcome import BROKE, MET, NOT_MET, NOT_RUN, Section, Series

_ROOT = Path(__file__).resolve().parents[2]


def quick(directory: Path, *rows: str) -> Dict[str, Any]:
    """What ``make bench`` writes, of few messages."""
    name = "figures.json"
    chosen = [word for row in rows for word in ("--row", row)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "--quick", "--json", name, *chosen],
        cwd=directory,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONPATH": str(_ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    written: Dict[str, Any] = json.loads((directory / name).read_text(encoding="utf-8"))
    for section in written["sections"]:
        for row in section["rows"]:
            assert row["what"] in done.stdout
    return written


def test_every_event_arrives_and_every_target_has_its_figure(tmp_path: Path) -> None:
    written = quick(tmp_path, "throughput", "latency")
    sections = {section["key"]: section for section in written["sections"]}
    assert list(sections) == ["prices", "positions", "latency median", "latency p99"]
    assert written["machine"]["onetrade_ws"]
    for section in sections.values():
        assert section["rows"]
        for row in section["rows"]:
            assert row["verdict"] in (MET, NOT_MET, NOT_RUN)
            assert row["verdict"] != NOT_RUN or row["note"]
        series = {one["name"]: one for one in section["series"]}
        for name in ("onetrade_ws", "WebSocketApp"):
            assert all(value > 0 for value in series[name]["values"])
            assert len(series[name]["values"]) == 1
        for one in series.values():
            assert one["values"] or "not" in one["note"]
    for key in ("prices", "positions"):
        (received,) = sections[key]["details"]["results"]["onetrade_ws"]
        assert received["messages"] > 0
        assert received["merged"] == 0
    figures = chart.load(tmp_path / "figures.json")
    assert chart.not_for_show(*figures)
    text = readme.figures(*figures)
    docutils.core.publish_doctree(text, settings_overrides={"halt_level": 2, "report_level": 5})
    for row in sections["prices"]["rows"]:
        assert row["what"] in text


def test_figures_are_written_into_the_readme_and_nothing_else_changes() -> None:
    before = readme.README.read_text(encoding="utf-8")
    after = readme.paste("new figures", before)
    head, _, rest = before.partition(readme.BEGIN)
    tail = rest.partition(readme.END)[2]
    assert after == f"{head}{readme.BEGIN}\n\nnew figures\n\n{readme.END}{tail}"
    assert readme.paste("new figures", after) == after


def test_the_chart_of_the_same_figures_is_the_same_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    sections = {
        key: Section(key, key, series=[Series(name, [1e5]) for name in numbers])
        for key, numbers in (("prices", throughput.PRICES), ("positions", throughput.POSITIONS))
    }
    pictures = [tmp_path / "one.svg", tmp_path / "another.svg"]
    for picture in pictures:
        chart.draw(sections, picture)
    assert pictures[0].read_bytes() == pictures[1].read_bytes()
    assert b"<svg" in pictures[0].read_bytes()


def test_a_client_that_loses_events_is_a_failure(tmp_path: Path) -> None:
    # One that says it received fewer than were sent.
    script = (
        "import sys; from tests.benchmarks import bench, __main__ as program\n"
        "run_child = bench.run_child\n"
        "def lose(*arguments):\n"
        "    result = run_child(*arguments)\n"
        "    return {**result, 'messages': result['messages'] - 1}\n"
        "bench.run_child = lose\n"
        f"sys.exit(program.main(['--quick', '--row', 'cpu', '--json', {str(tmp_path / 'figures.json')!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=_ROOT,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        stdout=subprocess.PIPE,
        encoding="utf-8",
        timeout=50,
        check=False,
    )
    assert done.returncode == 1
    assert BROKE in done.stdout
    assert "1 of 20 events were lost" in done.stdout


def test_messages_are_like_the_real_ones() -> None:
    frames = messages.prices(500, 5000, 1)
    assert len(set(frames)) == 5000
    assert abs(sum(map(len, frames)) / 5000 - 2 - 41) < 1
    frames = messages.positions(500, 5000, 1)
    assert len(set(frames)) == 5000
    assert abs(sum(map(len, frames)) / 5000 - 4 - 565) < 10
    data = [json.loads(frame[4:])["data"] for frame in frames]
    assert {type(one["symbol"]) for one in data} == {type(None), dict}
    assert len({one["id"] for one in data}) == 500
    assert {one["side"] for one in data} == {0, 1}


def test_the_same_seed_builds_the_same_messages() -> None:
    assert messages.prices(10, 100, 7) == messages.prices(10, 100, 7) != messages.prices(10, 100, 8)
    assert messages.order_updates(10, 100, 7) == messages.order_updates(10, 100, 7)
