"""Programs that end in the ways in which programs end, each in an interpreter of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Callable, List, Sequence, Tuple

import attrs

from onetrade_ws.simulator import Simulator
from tests.connection.hostile import HostileServer, Peer

_REPOSITORY = Path(__file__).resolve().parents[2]
# Seconds. No program needs as many; one that does not end by itself is what is looked for.
_SAFETY_NET = 10.0
_SIDE_BY_SIDE = 3

# Of a program that has not set up logging Python shows the warnings; those are not what is looked for.
_BEGINNING = """
import logging, signal, sys, threading, time
from onetrade_ws import ClientEventType, ConnectionState, OneTradeClient, ReconnectPolicy

logging.getLogger("onetrade_ws").addHandler(logging.NullHandler())
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
url, session_id, access_token, dispatch = sys.argv[1:]
client = OneTradeClient(
    url, session_id=session_id, access_token=access_token, dispatch=dispatch, connect_timeout=1000,
    reconnect=ReconnectPolicy(initial_delay=1000, max_delay=1000),
)

def ready(event=None):
    print("ready", flush=True)

def stuck(event):
    ready()
    while True:  # Python sees a signal that comes in the moment before a wait only when that is over
        time.sleep(0.01)

def leave(event):
    sys.exit(5)

def stay():
    client.connect()
    ready()
    client.wait()

def interrupted(what):
    try:
        what()
    except KeyboardInterrupt:
        client.disconnect(timeout=0.3)
        sys.exit(7)
"""
_CAUGHT = 7


@attrs.frozen
class Stage:
    """What a program runs against."""

    simulator: Simulator
    silent: HostileServer
    program: subprocess.Popen[str]

    # What may happen to it: each is one step of a case.

    def ready(self) -> None:
        """Wait until it says that it is ready."""
        assert self.program.stdout is not None
        self.program.stdout.readline()

    def asked(self) -> None:
        """Wait until a request has come to the silent server."""
        self.silent.wait_for(lambda server: server.requests)

    def refused(self) -> None:
        """Wait until a request has come to the simulator."""
        self.simulator.wait_for(lambda simulator: simulator.requests)

    def emit(self) -> None:
        """Send an event."""
        self.simulator.emit("go")

    def flood(self) -> None:
        """Send events without end."""
        while self.program.poll() is None:
            for number in range(100):
                self.simulator.emit("number", number)
            try:
                self.simulator.wait_for(lambda simulator: simulator.unsent == 0, 0.1)
            except TimeoutError:
                pass

    def go_away(self) -> None:
        """End the server."""
        self.simulator.stop()

    def let_end(self) -> None:
        """Let the program read to the end of its input."""
        assert self.program.stdin is not None
        self.program.stdin.close()
        # communicate() would flush it.
        self.program.stdin = None

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.program.send_signal(signal.SIGINT)

    def terminate(self) -> None:
        """End it as a service manager does."""
        self.program.send_signal(signal.SIGTERM)


@attrs.frozen
class Exit:
    """A program, and how it must end.

    :ivar steps: what happens while it runs
    :ivar status: its exit status; negative: the signal that ended it
    :ivar complaint: the last line on stderr, after a traceback of the program's own; empty: nothing is there
    :ivar silent: whether its server accepts and never answers
    :ivar refusing: whether its server answers 503
    """

    name: str
    code: str
    steps: Sequence[Callable[[Stage], None]] = ()
    status: int = 0
    complaint: str = ""
    dispatch: str = "thread"
    silent: bool = False
    refusing: bool = False

    def run(self) -> List[str]:
        """Run it.

        :returns: what was wrong
        """
        with ExitStack() as stack:
            silent = HostileServer(http=Peer.read_until_end)
            stack.callback(silent.stop)
            simulator = stack.enter_context(Simulator(live=False))
            if self.refusing:
                simulator.refuse_validation(503, "not now", times=None)
            url = silent.ws_url if self.silent else simulator.ws_url
            arguments = [url, simulator.session_id, simulator.access_token, self.dispatch]
            program = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-W", "error", "-c", _BEGINNING + self.code, *arguments],
                    env={**os.environ, "PYTHONPATH": str(_REPOSITORY)},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(program.kill)
            stage = Stage(simulator, silent, program)
            try:
                for step in self.steps:
                    step(stage)
                _, complaints = program.communicate(timeout=_SAFETY_NET)
            except subprocess.TimeoutExpired:
                return ["it did not end"]
            except (AssertionError, TimeoutError) as error:
                return [f"it did not come so far: {error}"]
        return self._wrong(program.returncode, complaints)

    def _wrong(self, status: int, complaints: str) -> List[str]:
        problems = []
        if status != self.status:
            problems.append(f"exit status {status}, not {self.status}")
        last = complaints.rstrip().rpartition("\n")[2]
        threads = any(
            words in complaints
            for words in ("Exception in thread", "Exception ignored", "Fatal Python error", "Warning:")
        )
        if last != self.complaint or threads:
            problems.append(f"on stderr: {complaints[-1000:]!r}")
        return problems


EXITS: Tuple[Exit, ...] = (
    Exit("main ends, connected", "client.connect()"),
    Exit("main ends in a with block", "with client: sys.exit(3)", status=3),
    Exit("main ends after disconnect()", "with client: pass"),
    Exit("atexit disconnects", "import atexit; atexit.register(client.disconnect); client.connect()"),
    Exit(
        "main raises",
        "client.connect()\nraise RuntimeError('of the program')",
        status=1,
        complaint="RuntimeError: of the program",
    ),
    Exit(
        "main ends in backoff",
        "lost = client.events(ClientEventType.RECONNECTING)\nclient.connect()\nready()\nnext(lost)",
        [Stage.ready, Stage.go_away],
    ),
    Exit(
        "main ends while a callback never returns",
        "client.subscribe('go', stuck)\nclient.connect()\nready()\nsys.stdin.read()",
        [Stage.ready, Stage.emit, Stage.ready, Stage.let_end],
    ),
    *(
        Exit(
            f"main ends in a flood of events ({number})",
            "client.subscribe(None, lambda event: None)\nclient.connect()\nready()\nclient.wait_for('number')",
            [Stage.ready, Stage.flood],
        )
        for number in (1, 2, 3)
    ),
    Exit(
        "main ends, the client runs on a daemon thread",
        "threading.Thread(target=stay, daemon=True).start()\nsys.stdin.read()",
        [Stage.ready, Stage.let_end],
    ),
    Exit(
        "main ends, a daemon thread is connecting",
        "threading.Thread(target=client.connect, daemon=True).start()\nsys.stdin.read()",
        [Stage.asked, Stage.let_end],
        silent=True,
    ),
    Exit(
        "Ctrl-C in connect()",
        "interrupted(client.connect)",
        [Stage.asked, Stage.interrupt],
        status=_CAUGHT,
        silent=True,
    ),
    Exit(
        "Ctrl-C in connect(), which waits to try again",
        "interrupted(client.connect)",
        [Stage.refused, Stage.interrupt],
        status=_CAUGHT,
        refusing=True,
    ),
    Exit(
        "Ctrl-C in wait()",
        "client.subscribe('go', ready)\ninterrupted(stay)",
        [Stage.ready, Stage.emit, Stage.ready, Stage.interrupt],
        status=_CAUGHT,
    ),
    Exit(
        "Ctrl-C in wait(), not caught",
        "client.subscribe('go', ready)\nstay()",
        [Stage.ready, Stage.emit, Stage.ready, Stage.interrupt],
        status=-signal.SIGINT,
        complaint="KeyboardInterrupt",
    ),
    Exit(
        "Ctrl-C in wait(), while a callback never returns",
        "client.subscribe('go', stuck)\ninterrupted(stay)",
        [Stage.ready, Stage.emit, Stage.ready, Stage.interrupt],
        status=_CAUGHT,
    ),
    Exit(
        "Ctrl-C in a callback",
        "client.subscribe('go', stuck)\ninterrupted(stay)",
        [Stage.ready, Stage.emit, Stage.ready, Stage.interrupt],
        status=_CAUGHT,
        dispatch="manual",
    ),
    Exit(
        "Ctrl-C in backoff",
        "client.subscribe(ClientEventType.RECONNECTING, ready)\ninterrupted(stay)",
        [Stage.ready, Stage.go_away, Stage.ready, Stage.interrupt],
        status=_CAUGHT,
    ),
    Exit("SIGTERM", "stay()", [Stage.ready, Stage.terminate], status=-signal.SIGTERM),
    Exit(
        "sys.exit() in a callback on the client's thread is no end",
        "client.subscribe('go', leave)\nreported = client.events(ClientEventType.CALLBACK_ERROR)\n"
        "client.connect()\nready()\nnext(reported)\nsys.exit(6 if client.state is ConnectionState.OPEN else 0)",
        [Stage.ready, Stage.emit],
        status=6,
    ),
    Exit(
        "sys.exit() in a callback on main",
        "client.subscribe('go', leave)\nstay()",
        [Stage.ready, Stage.emit],
        status=5,
        dispatch="manual",
    ),
)


def run_exits() -> List[str]:
    """Run all of them.

    :returns: a line for each that did not end as it must
    """
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        problems = pool.map(Exit.run, EXITS)
        return [f"{case.name}: {'; '.join(wrong)}" for case, wrong in zip(EXITS, problems) if wrong]
