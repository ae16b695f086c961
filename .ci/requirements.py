"""What has to be installed, as setup.cfg declares it.

    python .ci/requirements.py [--oldest] [extra ...]

Prints the library's own requirements and those of the extras named, in the form pip reads. With ``--oldest``
the lower bounds of what users install become pins; the development tools stay free.
"""

from __future__ import annotations

import argparse
import configparser
from pathlib import Path
from typing import Iterable, List

SETUP_CFG = Path(__file__).resolve().parent.parent / "setup.cfg"
DEVELOPMENT_TOOLS = ("bench", "test", "lint")


def requirements(extras: Iterable[str], oldest: bool = False) -> List[str]:
    """The requirements of the library and of ``extras``, in the order of setup.cfg.

    Raises :exc:`KeyError` for an extra that is not declared.
    """
    declared = configparser.RawConfigParser()
    declared.read_string(SETUP_CFG.read_text(encoding="utf-8"))

    def lines(section: str, option: str, pinned: bool) -> List[str]:
        found = [line.strip() for line in declared[section][option].splitlines() if line.strip()]
        return [line.replace(">=", "==", 1) for line in found] if pinned else found

    wanted = lines("options", "install_requires", oldest)
    for extra in extras:
        wanted += lines("options.extras_require", extra, oldest and extra not in DEVELOPMENT_TOOLS)
    return wanted


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Print the requirements that setup.cfg declares.")
    parser.add_argument("--oldest", action="store_true", help="pin to the lower bounds")
    parser.add_argument("extras", nargs="*", metavar="extra")
    arguments = parser.parse_args()
    print("\n".join(requirements(arguments.extras, arguments.oldest)))
