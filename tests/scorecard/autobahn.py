"""Autobahn's fuzzing server, in an environment of its own that is made once: it needs Python 2.7."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import attrs

from tests.scorecard.outcome import NotRun

_DIRECTORY = Path(__file__).resolve().parents[2] / ".venv-autobahn"
_VIRTUALENV = "virtualenv==20.21.1"
_SUITE = "autobahntestsuite==25.10.1"
# Seconds for the installation, which takes half a minute, and for the server to listen.
_INSTALL_LIMIT = 100.0
_START_LIMIT = 30.0

_NORMAL_CLOSURE = 1000
# Milliseconds after which most cases are ended, come what may.
_PATIENCE = 1000

# Printed once, when the server listens.
_CASES = re.compile(rb"Cases = \[(.*)\]")


def _run(command: Sequence[str], end: float, **environment: str) -> str:
    """Run a step of the installation; returns what it printed.

    :param end: when it must be done, on the monotonic clock
    :raises NotRun: when it failed, with the last it said
    """
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=max(0.0, end - time.monotonic()),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotRun(f"{command[0]} did not run: {error}") from None
    output = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode:
        last = output.splitlines()[-1:] or ["it said nothing"]
        raise NotRun(f"{' '.join(command[1:4])} failed: {last[0]}")
    return output


def _python27(end: float) -> str:
    candidates: List[str] = []
    pyenv = shutil.which("pyenv")
    if pyenv:
        versions = Path(_run([pyenv, "root"], end)) / "versions"
        candidates += map(str, sorted(versions.glob("2.7*/bin/python2.7")))
    on_path = shutil.which("python2.7")
    if on_path:
        candidates.append(on_path)
    for candidate in candidates:
        try:
            # The last line: a shim of pyenv may be there without an interpreter behind it.
            return _run([candidate, "-c", "import sys; print(sys.executable)"], end).splitlines()[-1]
        except NotRun:
            continue
    raise NotRun("Autobahn's test suite needs Python 2.7, and there is none")


def _install() -> None:
    """Make the environment, unless it is there: the file ``ready`` is written last."""
    wanted = f"{_VIRTUALENV} {_SUITE} {_DIRECTORY}"
    ready = _DIRECTORY / "ready"
    end = time.monotonic() + _INSTALL_LIMIT
    _DIRECTORY.mkdir(exist_ok=True)
    with (_DIRECTORY / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if ready.exists() and ready.read_text("utf-8") == wanted:
            return
        tool, environment = str(_DIRECTORY / "tool"), str(_DIRECTORY / "python2.7")
        for old in (tool, environment):
            shutil.rmtree(old, ignore_errors=True)
        python27 = _python27(end)
        _run([sys.executable, "-m", "pip", "install", "--quiet", "--target", tool, _VIRTUALENV], end)
        _run(
            [sys.executable, "-m", "virtualenv", "--quiet", "-p", python27, environment], end, PYTHONPATH=tool
        )
        _run([f"{environment}/bin/python", "-m", "pip", "install", "--quiet", _SUITE], end)
        ready.write_text(wanted, "utf-8")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@attrs.frozen
class Result:
    """What became of a case, in Autobahn's words: ``"OK"``, ``"NON-STRICT"``, ``"FAILED"``, …

    :ivar behavior: the case itself
    :ivar closing: how the connection was closed
    :ivar code: the close code that came from the testee, None when none came
    :ivar right_codes: those that the case expects
    :ivar out_of_patience: whether Autobahn may have hung up because it had waited for long enough
    """

    behavior: str
    closing: str
    code: Optional[int]
    right_codes: Sequence[int]
    out_of_patience: bool

    @property
    def failed(self) -> bool:
        """Whether the case failed; what Autobahn only tells for information cannot."""
        return self.behavior not in ("OK", "NON-STRICT", "INFORMATIONAL")

    @property
    def wrongly_closed(self) -> bool:
        """Whether it was closed in a wrong way, or with a wrong code.

        Autobahn lets a testee pass that hangs up without any code. Here that is right only where a normal closure is.
        """
        if self.closing == "INFORMATIONAL":
            return False
        missing = self.code is None and _NORMAL_CLOSURE not in self.right_codes
        return self.closing != "OK" or missing


class FuzzingServer:
    """``wstest -m fuzzingserver`` on a free port of the loopback; a context manager.

    :param cases: patterns of case numbers: ``"1.*"``
    :param directory: where it writes its reports: a temporary one
    :raises NotRun: when it cannot be installed
    """

    def __init__(self, cases: Sequence[str], directory: Path) -> None:
        _install()
        self.port = _free_port()
        #: The numbers of the cases that it will run, in its order.
        self.cases: List[str] = []
        self._reports = directory / "reports"
        spec = directory / "spec.json"
        spec.write_text(
            json.dumps(
                {
                    "url": f"ws://127.0.0.1:{self.port}",
                    "outdir": str(self._reports),
                    "cases": list(cases),
                    "exclude-cases": [],
                    "exclude-agent-cases": {},
                }
            ),
            "utf-8",
        )
        python = _DIRECTORY / "python2.7/bin/python"
        self._process = subprocess.Popen(
            [
                str(python),
                "-u",
                str(python.with_name("wstest")),
                "-m",
                "fuzzingserver",
                "-s",
                str(spec),
                "-w",
                "0",
            ],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._listening = threading.Event()
        self._last_words: List[str] = []
        self._listener = threading.Thread(target=self._listen, name="fuzzing server's output")

    def __enter__(self) -> FuzzingServer:
        self._listener.start()
        self._listening.wait(_START_LIMIT)
        if not self.cases:
            self.__exit__()
            raise RuntimeError(f"the fuzzing server did not start: {self._last_words}")
        # It says so a moment before it listens.
        end = time.monotonic() + _START_LIMIT
        while not self._listens() and time.monotonic() < end:
            time.sleep(0.02)
        return self

    def _listens(self) -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.wait()
        self._listener.join()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            # To the end, or the server would be stuck when the pipe is full.
            for line in output:
                self._last_words = [*self._last_words[-4:], line.decode("utf-8", "replace").strip()]
                found = _CASES.match(line)
                if found:
                    self.cases = [case.strip(" '") for case in found[1].decode().split(",")]
                    self._listening.set()
        self._listening.set()

    def results(self, agent: str) -> Dict[str, Result]:
        """What became of each case of an agent, by its number: once a report has been asked for."""
        index = json.loads((self._reports / "index.json").read_text("utf-8"))
        reports = {
            case: json.loads((self._reports / entry["reportfile"]).read_text("utf-8"))
            for case, entry in index.get(agent, {}).items()
        }
        return {
            case: Result(
                report["behavior"],
                report["behaviorClose"],
                report["remoteCloseCode"],
                report["expectedClose"].get("closeCode", []),
                report["duration"] >= _PATIENCE,
            )
            for case, report in reports.items()
        }
