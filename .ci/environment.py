"""Make a virtual environment that runs this tree, unless it is there already.

    python .ci/environment.py DIRECTORY [--oldest] [extra ...]

The environment holds what setup.cfg requires, and a ``.pth`` file that puts the tree itself on ``sys.path``:
an editable install would do the same and leave an ``.egg-info`` in the tree. It is made anew when setup.cfg,
the interpreter or the place has changed, and when it was never finished: the file ``ready`` is written last.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any, Dict, List, NoReturn

from requirements import SETUP_CFG, requirements

ROOT = SETUP_CFG.parent


def fail(message: str) -> NoReturn:
    sys.exit(f"\n{message}\n")


def fingerprint(directory: Path, oldest: bool) -> Dict[str, Any]:
    """What the environment depends on; when any of it changes, the environment is made anew."""
    sources = [SETUP_CFG, Path(__file__), Path(__file__).with_name("requirements.py")]
    return {
        "place": str(directory),
        "python": [sys.version, sys.base_exec_prefix],
        "oldest": oldest,
        "sources": hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest(),
    }


def create(directory: Path) -> None:
    """An empty environment with pip. Says what to install when this Python cannot make one."""
    try:
        import ensurepip  # noqa: F401
        import venv
    except ImportError as error:
        cannot_create(f"it comes without the module {error.name!r}")

    shutil.rmtree(directory, ignore_errors=True)
    try:
        venv.EnvBuilder(symlinks=True, with_pip=True).create(directory)
    except subprocess.CalledProcessError as error:
        cannot_create("installing pip failed\n" + (error.output or b"").decode(errors="replace").strip())


def cannot_create(reason: str) -> NoReturn:
    version = "{}.{}".format(*sys.version_info)
    fail(
        f"{sys.executable} (Python {version}) cannot make a virtual environment: {reason}.\n"
        f"On Debian and Ubuntu install it with  apt install python{version}-venv\n"
        "or choose another Python with  make PYTHON=/path/to/python3"
    )


def install(directory: Path, wanted: List[str]) -> None:
    """Let the environment's own pip install ``wanted``, and put the tree on its path."""
    command = [str(directory / "bin" / "python"), "-I", "-m", "pip", "--disable-pip-version-check", "install"]
    if subprocess.run([*command, "-qq", *wanted], stdin=subprocess.DEVNULL, check=False).returncode:
        fail(f"Setting up {directory} failed; the reason is above. The next run starts anew.")
    paths = sysconfig.get_paths("posix_prefix", vars={"base": str(directory), "platbase": str(directory)})
    (Path(paths["purelib"]) / "onetrade_ws_tree.pth").write_text(f"{ROOT}\n", encoding="utf-8")


def make_ready(directory: Path, extras: List[str], oldest: bool) -> None:
    """Make or complete the environment, so that it has at least ``extras``."""
    marker = directory / "ready"
    target = fingerprint(directory, oldest)
    try:
        state = json.loads(marker.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        state = {}
    usable = state.get("fingerprint") == target and (directory / "bin" / "python").exists()
    present = state["extras"] if usable else []
    if usable and set(extras) <= set(present):
        return

    all_extras = sorted({*extras, *present})
    print(f"Setting up {directory} ({', '.join(all_extras)}) …", file=sys.stderr, flush=True)
    marker.unlink(missing_ok=True)
    if not usable:
        create(directory)
    install(directory, requirements(all_extras, oldest))

    unfinished = marker.with_name("ready.unfinished")
    unfinished.write_text(json.dumps({"fingerprint": target, "extras": all_extras}), encoding="utf-8")
    os.replace(unfinished, marker)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make a virtual environment that runs this tree.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--oldest", action="store_true", help="the lower bounds of the requirements")
    parser.add_argument("extras", nargs="*", metavar="extra")
    arguments = parser.parse_args()
    # Two targets at once ("make -j2 demo test", two terminals) must not build the same environment.
    with open(__file__, "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            make_ready(Path(os.path.abspath(arguments.directory)), arguments.extras, arguments.oldest)
        except KeyboardInterrupt:
            fail("Interrupted; the next run starts anew.")
