"""The layout is part of the design: who may import whom, what may be called what, and what lies on top."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Dict, FrozenSet, Iterator, List, NamedTuple, Tuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "onetrade_ws"

# "onetrade_ws" itself, which is what ``from onetrade_ws import OneTradeClient`` imports.
PUBLIC = "onetrade_ws"
CORE = frozenset(
    {"connection", "delivery", "account", "protocol", "errors", "config", "deadline", "health", "stats"}
)
TOOLS = frozenset({"integrations", "recording", "simulator"})
PROGRAMS = frozenset({"cli", "demo", "examples"})

# Each package or module, and which others of ours it may import. Whatever is not a key does not belong.
MAY_IMPORT: Dict[str, FrozenSet[str]] = {
    "errors": frozenset(),
    "deadline": frozenset(),
    "config": frozenset({"errors"}),
    "protocol": frozenset({"errors", "deadline"}),
    "connection": frozenset({"protocol", "errors", "config", "deadline"}),
    "delivery": frozenset({"protocol", "errors", "deadline"}),
    "account": frozenset({"protocol", "errors", "deadline"}),
    "health": frozenset(),
    "stats": frozenset({"protocol"}),
    "client": CORE,
    PUBLIC: CORE | {"client"},
    "integrations": frozenset({"client", PUBLIC, "deadline"}),
    "recording": frozenset({"client", "connection", "protocol", "deadline"}),
    "simulator": frozenset({"protocol", "deadline"}),
    "demo": CORE | TOOLS | {"client", PUBLIC},
    "cli": CORE | TOOLS | {"client", PUBLIC, "demo"},
    "__main__": CORE | TOOLS | {"client", PUBLIC, "cli"},
    "examples": CORE | TOOLS | {"client", PUBLIC},
}

# The one place that knows each of these.
ONLY_IN = {
    "pandas": "account/frames.py",
    "python_socks": "connection/proxy.py",
    "requests": "connection/exchange.py",
    "urllib3": "connection/exchange.py",
    "websocket": "connection/transport.py",
}

# No I/O, no threads, no clock.
IMPURE = frozenset(
    {
        *(
            "concurrent",
            "http",
            "io",
            "multiprocessing",
            "os",
            "queue",
            "select",
            "selectors",
            "socket",
            "ssl",
        ),
        *("subprocess", "threading", "time", "urllib"),
    }
)

FORBIDDEN_NAMES = frozenset({"util", "utils", "helper", "helpers", "common", "base"})
TOP_LEVEL = {"setup.cfg", "setup.py", "onetrade_ws", "tests", "README.rst", "Makefile", "LICENSE"}


class Import(NamedTuple):
    line: int
    name: str
    """Absolute and dotted; of ``from a import b`` it is ``a.b``."""


def imports(path: PurePosixPath, source: str) -> Iterator[Import]:
    """Every import in ``source``, wherever it stands; ``path`` is relative to the package."""
    package = ("onetrade_ws", *path.parent.parts)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            origin = [*package[: len(package) - node.level + 1]] if node.level else []
            origin += node.module.split(".") if node.module else []
            for alias in node.names:
                yield Import(node.lineno, ".".join([*origin, alias.name]))
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", None))
            if called in ("import_module", "__import__"):
                yield Import(node.lineno, ".".join(resolve(package, str(node.args[0].value))))


def resolve(package: Tuple[str, ...], name: str) -> List[str]:
    """What ``importlib.import_module(name, __package__)`` means inside ``package``."""
    bare = name.lstrip(".")
    level = len(name) - len(bare)
    return [*(package[: len(package) - level + 1] if level else ()), bare]


def room(parts: Tuple[str, ...]) -> str:
    """The key of MAY_IMPORT for the parts of a module's path or name inside the package."""
    return parts[0] if parts and parts[0] != "__init__" else PUBLIC


def complaints(path: str, source: str) -> List[str]:
    """What is wrong with the module at ``path``, relative to the package, as one line for each thing."""
    where = PurePosixPath(path)
    here = room(where.with_suffix("").parts)
    found = []
    stems = [*where.parent.parts, where.stem]
    if any(stem in FORBIDDEN_NAMES or "manager" in stem for stem in stems):
        found.append(f"{path}: the name says nothing")
    if here not in MAY_IMPORT:
        return [*found, f"{path}: {here} is not part of the design"]

    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and "manager" in node.name.lower():
            found.append(f"{path}:{node.lineno}: class {node.name}: the name says nothing")

    for line, name in imports(where, source):
        parts = tuple(name.split("."))
        if parts[0] != "onetrade_ws":
            if ONLY_IN.get(parts[0], path) != path:
                found.append(f"{path}:{line}: only {ONLY_IN[parts[0]]} may import {parts[0]}")
            if parts[0] == "asyncio" or (here == "protocol" and parts[0] in IMPURE):
                found.append(f"{path}:{line}: {here} may not import {parts[0]}")
            continue
        # "from onetrade_ws import OneTradeClient" names no module: it is the package itself that is imported.
        there = parts[1] if len(parts) > 1 and parts[1] in MAY_IMPORT else PUBLIC
        if there == "integrations" == here:
            if parts[1:3] != ("integrations", where.stem):
                found.append(f"{path}:{line}: one integration may not import another")
        elif there != here and there not in MAY_IMPORT[here]:
            found.append(f"{path}:{line}: {here} may not import {there}")
    return found


def modules() -> List[str]:
    return sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", modules())
def test_every_module_keeps_to_the_layout(path: str) -> None:
    assert complaints(path, (PACKAGE / path).read_text(encoding="utf-8")) == []


ALLOWED = [
    ("protocol/codec.py", "from .models import Order\nfrom ..errors import DecodeError"),
    ("protocol/__init__.py", "from .models import Order"),
    ("connection/exchange.py", "import requests\nfrom requests.adapters import HTTPAdapter"),
    ("connection/transport.py", "import websocket\nfrom ..config import Settings"),
    ("delivery/queue.py", "from onetrade_ws.deadline import Deadline\nimport threading, time"),
    ("config.py", "from .errors import ConfigurationError"),
    ("client.py", "from .account import Account\nfrom .connection.session import Session"),
    ("__init__.py", "from .client import OneTradeClient\nfrom . import errors"),
    ("integrations/qt.py", "from onetrade_ws import OneTradeClient\nfrom ..client import OneTradeClient"),
    ("recording/replay.py", "from onetrade_ws.connection import transport"),
    ("simulator/server.py", "from ..protocol.enums import EventMessageType\nimport socket"),
    ("cli.py", "import rich.table\nfrom .simulator import Simulator"),
    ("__main__.py", "from .cli import main"),
    (
        "examples/quotes.py",
        "from onetrade_ws import OneTradeClient\nfrom onetrade_ws.simulator import Simulator",
    ),
]

REFUSED = [
    ("protocol/codec.py", "from ..connection import transport", "protocol may not import connection"),
    ("protocol/codec.py", "from .. import config", "protocol may not import config"),
    ("protocol/codec.py", "import threading", "protocol may not import threading"),
    ("protocol/codec.py", "from time import monotonic", "protocol may not import time"),
    ("connection/transport.py", "import onetrade_ws.delivery.queue", "connection may not import delivery"),
    (
        "connection/transport.py",
        "from onetrade_ws import OneTradeClient",
        "connection may not import onetrade_ws",
    ),
    ("connection/transport.py", "from .. import OneTradeClient", "connection may not import onetrade_ws"),
    ("connection/transport.py", "import requests", "only connection/exchange.py may import requests"),
    (
        "connection/exchange.py",
        "from websocket import WebSocketApp",
        "only connection/transport.py may import websocket",
    ),
    (
        "connection/stream.py",
        "def f():\n    from python_socks import ProxyType",
        "only connection/proxy.py may import python_socks",
    ),
    ("account/mirror.py", "import requests.adapters", "only connection/exchange.py may import requests"),
    ("simulator/server.py", "import websocket", "only connection/transport.py may import websocket"),
    ("delivery/queue.py", "def f():\n    from ..account import Account", "delivery may not import account"),
    (
        "delivery/queue.py",
        "if TYPE_CHECKING:\n    from ..config import Settings",
        "delivery may not import config",
    ),
    (
        "delivery/queue.py",
        "importlib.import_module('..client', __package__)",
        "delivery may not import client",
    ),
    ("delivery/queue.py", "__import__('onetrade_ws.client')", "delivery may not import client"),
    ("delivery/queue.py", "import asyncio", "delivery may not import asyncio"),
    ("account/mirror.py", "from ..delivery import registry as r", "account may not import delivery"),
    ("errors.py", "from .deadline import Deadline", "errors may not import deadline"),
    ("config.py", "from .deadline import Deadline", "config may not import deadline"),
    ("deadline.py", "from .errors import OneTradeError", "deadline may not import errors"),
    ("client.py", "from .simulator import Simulator", "client may not import simulator"),
    ("client.py", "from .integrations import qt", "client may not import integrations"),
    ("client.py", "from . import OneTradeClient", "client may not import onetrade_ws"),
    ("__init__.py", "from .simulator import Simulator", "onetrade_ws may not import simulator"),
    ("__init__.py", "from .cli import main", "onetrade_ws may not import cli"),
    ("integrations/qt.py", "from ..delivery import registry", "integrations may not import delivery"),
    ("integrations/qt.py", "from .tk import mainloop", "one integration may not import another"),
    ("integrations/qt.py", "from . import tk", "one integration may not import another"),
    ("integrations/__init__.py", "from .tk import mainloop", "one integration may not import another"),
    ("recording/replay.py", "from ..delivery import registry", "recording may not import delivery"),
    ("simulator/server.py", "from ..client import OneTradeClient", "simulator may not import client"),
    ("cli.py", "from .examples import quotes", "cli may not import examples"),
    ("transport.py", "", "transport is not part of the design"),
    ("utils.py", "", "the name says nothing"),
    ("connection/base.py", "", "the name says nothing"),
    ("connection/connection_manager.py", "", "the name says nothing"),
    ("helpers/queue.py", "", "the name says nothing"),
    ("client.py", "class ConnectionManager: pass", "class ConnectionManager: the name says nothing"),
]


@pytest.mark.parametrize(("path", "source"), ALLOWED)
def test_the_rules_allow(path: str, source: str) -> None:
    assert complaints(path, source) == []


@pytest.mark.parametrize(("path", "source", "complaint"), REFUSED)
def test_the_rules_refuse(path: str, source: str, complaint: str) -> None:
    assert any(line.endswith(complaint) for line in complaints(path, source)), complaints(path, source)


def test_every_violation_of_a_module_is_reported_with_its_line() -> None:
    source = "import requests\n\nfrom ..client import OneTradeClient\n"
    assert complaints("delivery/queue.py", source) == [
        "delivery/queue.py:1: only connection/exchange.py may import requests",
        "delivery/queue.py:3: delivery may not import client",
    ]


def top_level() -> List[str]:
    """What lies on top: of the files git knows or would take, or of all where there is no git."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return os.listdir(ROOT)
    return [name.split("/")[0] for name in os.fsdecode(listing).split("\0") if name]


def test_the_top_level_is_exactly_what_the_design_says() -> None:
    assert {name for name in top_level() if not name.startswith(".")} == TOP_LEVEL


def test_importing_the_library_imports_nothing_optional() -> None:
    script = "import json, sys, onetrade_ws; print(json.dumps(sorted(sys.modules)))"
    output = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    loaded = json.loads(output)
    assert "onetrade_ws.client" in loaded
    foreign = {"rich", "xlwings", "pandas", "numpy", "tkinter"}
    ours = {f"onetrade_ws.{name}" for name in TOOLS | PROGRAMS}
    assert [name for name in loaded if name.split(".")[0] in foreign] == []
    assert [name for name in loaded if ".".join(name.split(".")[:2]) in ours] == []
