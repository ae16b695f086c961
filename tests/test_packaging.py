"""What users get when they install the library."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import List

import pytest

ROOT = Path(__file__).resolve().parent.parent
BUILD = "import sys; from setuptools import build_meta; build_meta.__legacy__.build_wheel(sys.argv[1])"
REQUIREMENT = re.compile(r"[a-z][a-z0-9-]*>=\d+(\.\d+)*( *;.+)?")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from a copy of the tree, so that the tree stays as it is."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("setup.cfg", "setup.py", "README.rst", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    shutil.copytree(ROOT / "onetrade_ws", tree / "onetrade_ws", ignore=shutil.ignore_patterns("__pycache__"))
    target = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-c", BUILD, str(target)],
        cwd=tree,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout
    (path,) = target.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    return Parser().parsestr(content(wheel, "METADATA"))


@pytest.fixture
def declared() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.read_string((ROOT / "setup.cfg").read_text(encoding="utf-8"))
    return parser


def content(wheel: Path, name: str) -> str:
    """The one file called ``name`` in the wheel's own directory."""
    with zipfile.ZipFile(wheel) as archive:
        (member,) = [path for path in archive.namelist() if re.search(rf"\.dist-info/(.+/)?{name}$", path)]
        return archive.read(member).decode("utf-8")


def test_the_wheel_holds_every_module_and_the_type_marker(wheel: Path) -> None:
    in_tree = {path.relative_to(ROOT).as_posix() for path in (ROOT / "onetrade_ws").rglob("*.py")}
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert in_wheel == in_tree | {"onetrade_ws/py.typed"}
    assert "onetrade_ws/simulator/__init__.py" in in_wheel
    assert any(name.startswith("onetrade_ws/examples/") for name in in_wheel)


def test_the_wheel_holds_the_licence(wheel: Path, metadata: Message) -> None:
    assert content(wheel, "LICENSE") == (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert metadata["License-File"] == "LICENSE"
    assert "MIT" in (metadata["License"] or metadata["License-Expression"])


def test_the_wheel_describes_itself(metadata: Message) -> None:
    assert metadata["Name"] == "onetrade-ws"
    assert metadata["Requires-Python"] == ">=3.8"
    assert metadata["Description-Content-Type"] == "text/x-rst"
    assert str(metadata.get_payload()).strip() == (ROOT / "README.rst").read_text(encoding="utf-8").strip()
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert {"cli", "pandas", "proxy", "speed", "bench", "test", "lint"} <= set(
        metadata.get_all("Provides-Extra", [])
    )


def test_the_wheel_brings_the_command(wheel: Path) -> None:
    entry_points = configparser.ConfigParser()
    entry_points.read_string(content(wheel, "entry_points.txt"))
    assert dict(entry_points["console_scripts"]) == {"onetrade-ws": "onetrade_ws.cli:main"}


def test_the_command_runs_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    script = "import sys; from onetrade_ws import cli; print(cli.__file__); sys.exit(cli.main())"
    result = subprocess.run(
        [sys.executable, "-c", script, "--help"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(str(tmp_path / "onetrade_ws" / "cli.py"))
    assert "demo" in result.stdout


def test_setup_py_is_three_lines() -> None:
    assert (ROOT / "setup.py").read_text(encoding="utf-8") == "from setuptools import setup\n\nsetup()\n"


def required(declared: configparser.RawConfigParser) -> List[str]:
    """What users install: the requirements of the library and its extras, without the development tools."""
    options = [declared["options"]["install_requires"]]
    for extra, value in declared["options.extras_require"].items():
        if extra not in ("bench", "test", "lint"):
            options.append(value)
    return [line.strip() for option in options for line in option.splitlines() if line.strip()]


def test_each_requirement_is_a_plain_lower_bound(declared: configparser.RawConfigParser) -> None:
    lines = required(declared)
    assert len(lines) >= 5
    assert [line for line in lines if not REQUIREMENT.fullmatch(line)] == []


def test_the_oldest_requirements_are_those_bounds(declared: configparser.RawConfigParser) -> None:
    script = ROOT / ".ci" / "requirements.py"
    extras = [name for name in declared["options.extras_require"] if name not in ("bench", "test", "lint")]
    command = [sys.executable, str(script), "--oldest", *extras]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert printed.splitlines() == [line.replace(">=", "==") for line in required(declared)]


def test_the_oldest_supported_python_is_stated_once(declared: configparser.RawConfigParser) -> None:
    classifiers = declared["metadata"]["classifiers"]
    versions = [int(minor) for minor in re.findall(r"Python :: 3\.(\d+)$", classifiers, re.MULTILINE)]
    assert declared["options"]["python_requires"] == f">=3.{min(versions)}"
    assert versions == list(range(min(versions), max(versions) + 1))
