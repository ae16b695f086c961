"""Runs the server, and each client and measurement in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Dict, List, Optional, Type

import attrs

from tests.benchmarks.server import STAMPS
from tests.benchmarks.streams import Stream

#: The library with the extra that makes it fast, and without. Contenders are named as tables show them.
OURS, OURS_WITHOUT = "onetrade_ws[speed]", "onetrade_ws"
#: What others are compared with.
BASELINE = "WebSocketApp"
#: The same with what ours cannot do without, and without what ours leaves to the decoder.
THREADED, UNCHECKED = "WebSocketApp + thread", "WebSocketApp, unchecked"

ROOT = Path(__file__).resolve().parents[2]
#: What each contender needs besides the library's own requirements.
_NEEDS = {OURS: "msgspec", "websockets": "websockets", "picows": "picows"}
# Seconds for a process to end, as a safety net, besides those of its measurement.
_PATIENCE = 100.0


class NotRun(Exception):
    """Something cannot be measured here. The text says why."""


class Broke(Exception):
    """A measurement failed, or an event was lost. The text says how."""


@attrs.frozen
class Options:
    """How to measure.

    :ivar rounds: how many times each measurement is made; figures are medians
    :ivar scale: how many messages, in parts of the usual number
    :ivar seed: what is drawn at random begins here
    :ivar full: whether the slow consumer is measured for ten minutes
    """

    rounds: int = 5
    scale: float = 1.0
    seed: int = 1
    full: bool = False

    @property
    def quick(self) -> bool:
        """Whether figures mean nothing: only whether it works."""
        return self.scale < 1

    def messages(self, usual: int) -> int:
        """So many messages instead of the usual number."""
        return max(1, int(usual * self.scale))


class Bench:
    """The server's process, and whoever is measured against it. Use as a context manager."""

    def __init__(self, options: Options) -> None:
        self.options = options
        #: What is going on, for who watches.
        self.progress: Callable[[str], None] = lambda what: None
        self._best: Optional[str] = None
        self._directory = tempfile.TemporaryDirectory(prefix="onetrade-benchmark-")
        self.newest = str(Path(self._directory.name, "newest"))
        Path(self.newest).write_bytes(bytes(8 * STAMPS))
        # A proxy is for elsewhere.
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
            "PYTHONPATH": str(ROOT),
            "PYTHONIOENCODING": "utf-8",
            # An import that compiles is not what users see; and the tree stays as it is.
            "PYTHONPYCACHEPREFIX": str(Path(self._directory.name, "bytecode")),
        }
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._server = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.benchmarks.server"),
                *("--seed", str(options.seed), "--newest", self.newest),
            ],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._server.stdout is not None
        port = self._server.stdout.readline().decode().strip()
        if not port:
            self.close()
            raise Broke("the server did not start")
        self._address = f"127.0.0.1:{port}"

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the server."""
        self._server.kill()
        self._server.communicate()
        self._directory.cleanup()

    def command(self, contender: str, task: str, stream: Stream, **options: Any) -> List[str]:
        """What runs a task in a process of its own."""
        what = {"contender": contender, "task": task, "address": self._address, "stream": stream.name}
        return [sys.executable, "-m", "tests.benchmarks.child", json.dumps({**what, "options": options})]

    @property
    def environment(self) -> Dict[str, str]:
        """In which to run it."""
        return self._environment

    def run(self, contender: str, task: str, stream: Stream, **options: Any) -> Dict[str, Any]:
        """Run a task of a contender.

        :raises NotRun: when this machine or interpreter lacks what it needs
        :raises Broke: when it failed, or events were lost
        """
        need = _NEEDS.get(contender)
        if need is not None and importlib.util.find_spec(need) is None:
            raise NotRun(f"{need} is not installed")
        self.progress(f"{contender}: {task} {stream.kind}")
        expected = stream.messages / stream.per_second if stream.per_second else 0.0
        patience = _PATIENCE + 2 * expected + float(options.get("seconds", 0))
        result = run_child(
            f"{contender}, {task} of {stream.name}",
            self.command(contender, task, stream, **options),
            self._environment,
            patience,
        )
        if contender == OURS and not result["msgspec"]:
            raise NotRun("onetrade_ws does not use msgspec")
        accounted = result["messages"] + result.get("merged", 0)
        if task in ("throughput", "paced") and accounted != stream.messages:
            raise Broke(f"{contender}: {stream.messages - accounted} of {stream.messages} events were lost")
        if result.get("undecodable"):
            raise Broke(f"{contender}: {result['undecodable']} events could not be decoded")
        return result

    @property
    def best(self) -> str:
        """The library as fast as it is here: with msgspec, where there is one."""
        if self._best is None:
            try:
                self.run(OURS, "throughput", Stream("prices", 10, 100))
                self._best = OURS
            except NotRun:
                self._best = OURS_WITHOUT
        return self._best

    def import_seconds(self, contender: str, modules: str) -> float:
        """How long a fresh interpreter imports modules, named with blanks between them."""
        self.progress(f"import {modules}")
        what = json.dumps({"contender": contender, "task": "import", "modules": modules})
        command = [sys.executable, "-m", "tests.benchmarks.child", what]
        return float(run_child(f"import {modules}", command, self._environment, _PATIENCE)["seconds"])


def run_child(what: str, command: List[str], environment: Dict[str, str], patience: float) -> Dict[str, Any]:
    """Run a process that prints its result as JSON.

    :raises Broke: when it does not
    """
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=patience,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Broke(f"{what}: it did not end within {patience:.0f} s") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise Broke(f"{what}: it ended with {done.returncode}: {said.splitlines()[-1] if said else ''}")
    result: Dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
