"""Run the suite on every supported Python this machine has; the oldest of them on the oldest requirements.

    python .ci/matrix.py [pytest argument ...]

The supported versions are the classifiers of setup.cfg. A version that cannot be run is shown as "not run"
with the reason; it does not count as a failure, and is never passed over in silence.
"""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

from requirements import SETUP_CFG

ROOT = SETUP_CFG.parent
ENVIRONMENTS = ROOT / ".venv-all"
CLASSIFIER = "Programming Language :: Python :: 3."
PROBE = "import sys, ensurepip, venv; print('%d.%d' % sys.version_info[:2])"


class Row(NamedTuple):
    version: str
    requirements: str
    result: str
    detail: str


def supported_versions() -> List[str]:
    declared = configparser.RawConfigParser()
    declared.read_string(SETUP_CFG.read_text(encoding="utf-8"))
    classifiers = declared["metadata"]["classifiers"].split("\n")
    return ["3." + line[len(CLASSIFIER) :] for line in classifiers if line.startswith(CLASSIFIER)]


def pyenv_directories() -> List[Path]:
    pyenv = shutil.which("pyenv")
    if pyenv is None:
        return []
    root = subprocess.run([pyenv, "root"], stdout=subprocess.PIPE, text=True, check=False)
    return sorted(Path(root.stdout.strip(), "versions").glob("*/bin"), reverse=True) if root.stdout else []


def candidates(version: str) -> List[Path]:
    """Where an interpreter of this version may be: this one, then PATH, then pyenv."""
    name = f"python{version}"
    on_path = [Path(entry) for entry in os.environ.get("PATH", os.defpath).split(os.pathsep) if entry]
    found = [directory / name for directory in [*on_path, *pyenv_directories()]]
    if "{}.{}".format(*sys.version_info) == version:
        found.insert(0, Path(sys.executable))
    return [path for path in found if os.access(path, os.X_OK)]


def find(version: str) -> Tuple[Optional[Path], str]:
    """The first interpreter that really runs, or why there is none.

    Running it is the only proof: pyenv leaves a shim for a version that is not switched on, and Debian ships
    a Python that cannot make a virtual environment.
    """
    reason = "not found"
    for path in candidates(version):
        try:
            probe = subprocess.run(
                [str(path), "-I", "-c", PROBE],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            reason = f"{path}: {error}"
            continue
        if probe.returncode == 0 and probe.stdout.strip() == version:
            return path, ""
        complaint = (probe.stderr.strip() or f"is Python {probe.stdout.strip()}").splitlines()
        reason = f"{path}: {complaint[-1]}"
    return None, reason


def run(version: str, python: Path, oldest: bool, pytest_arguments: List[str]) -> Row:
    requirements = "oldest" if oldest else "newest"
    environment = ENVIRONMENTS / f"{version}-{requirements}"
    print(f"\n=== Python {version}, {requirements} requirements: {python}", flush=True)
    setup = [
        str(python),
        str(ROOT / ".ci" / "environment.py"),
        str(environment),
        "cli",
        "pandas",
        "proxy",
        "speed",
        "test",
    ]
    if subprocess.run(setup + ["--oldest"] * oldest, cwd=ROOT, check=False).returncode:
        return Row(version, requirements, "failed", "its environment could not be set up")
    started = time.monotonic()
    suite = [str(environment / "bin" / "python"), "-m", "pytest", *pytest_arguments]
    status = subprocess.run(suite, cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode
    took = f"{time.monotonic() - started:.0f} s"
    if status:
        return Row(version, requirements, "failed", f"{took}, pytest ended with {status}")
    return Row(version, requirements, "passed", took)


def main(pytest_arguments: List[str]) -> int:
    pythons: Dict[str, Path] = {}
    rows: List[Row] = []
    for version in supported_versions():
        python, reason = find(version)
        if python is None:
            rows.append(Row(version, "-", "not run", reason))
        else:
            oldest = not pythons
            pythons[version] = python
            rows.append(run(version, python, oldest, pytest_arguments))

    table = [Row("Python", "requirements", "result", ""), *rows]
    print()
    for row in table:
        print(f"{row.version:<8}{row.requirements:<14}{row.result:<9}{row.detail}".rstrip())
    if not pythons:
        print("\nNo supported Python was found.")
    return 1 if not pythons or any(row.result == "failed" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
