"""disconnect() in every state that a client can be in: it returns in time, nothing connects after it, and nothing
is left of the client."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from typing import Dict, List, Set, Tuple

import attrs

from onetrade_ws import (
    ConnectionState,
    NotConnectedError,
)
from tests.connection.conftest import program_environment
from tests.connection.hostile import TIMEOUT, HostileServer, Peer
from tests.scorecard.cases import FellShort, run_cases
from tests.scorecard.outcome import Outcome
from tests.scorecard.states import SCENES, Play

PROMISE = "disconnect() is bounded and final"
TARGET = "12 of 12 within 1 s; 0 connections after; 0 threads, 0 descriptors left"
EXCLUSIVE = True
FULL_MINUTES = 5

_LIMIT = 1.0
# -- what is left ----------------------------------------------------------------------------------------------


def _descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def _threads(before: Set[threading.Thread]) -> List[threading.Thread]:
    return [
        thread
        for thread in threading.enumerate()
        if thread not in before and thread.name.startswith("onetrade-ws")
    ]


@attrs.frozen
class Aftermath:
    """What came of a disconnect(): seconds that it took, and how many connections were made after it, how many threads
    and descriptors it left."""

    seconds: float
    connections: int
    threads: int = 0
    descriptors: int = 0


def _leave(play: Play) -> Aftermath:
    before, descriptors = set(threading.enumerate()), _descriptors()
    with play() as scene:
        server = scene.server
        accepted = 0 if server is None else server.accepted
        seconds = scene.leave(scene.client)
        state = scene.client.state
        threads = [thread for thread in _threads(before) if thread.name not in scene.excused]
        scene.release()
        for call in scene.calls:
            if not isinstance(call.error(), NotConnectedError):
                raise FellShort(f"connect() came to {call.error()!r}")
        for thread in _threads(before):
            thread.join(TIMEOUT)
        if server is not None:
            _watch(server, accepted, scene.watch)
    if state is not ConnectionState.CLOSED:
        raise FellShort(f"{state.name} after it")
    # The server has stopped, and counted those that were never looked at.
    return Aftermath(
        seconds,
        0 if server is None else server.accepted - accepted,
        len({*threads, *_threads(before)}),
        _descriptors() - descriptors,
    )


def _watch(server: HostileServer, accepted: int, seconds: float) -> None:
    """Wait, in vain, for another connection."""
    with contextlib.suppress(AssertionError):
        server.wait_for(lambda server: server.accepted > accepted, seconds)


# -- the end of the program ------------------------------------------------------------------------------------

_PROGRAM = """
import os, signal, sys, threading, time
from onetrade_ws import OneTradeClient

# A shell may have it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
client = OneTradeClient(sys.argv[1], session_id="s", access_token="t", connect_timeout=60, snapshot=False)
descriptors = len(os.listdir("/proc/self/fd"))
def say(*words):
    print(*words, flush=True)
def leave():
    started = time.monotonic()
    client.disconnect()
    say("left in", time.monotonic() - started)
    say("threads", [thread.name for thread in threading.enumerate()])
    say("descriptors", len(os.listdir("/proc/self/fd")) - descriptors)
"""

_ENDINGS: Dict[str, str] = {
    "the interpreter exits without disconnect()": """
client.connect()
say("leaving")
""",
    "sys.exit() without disconnect()": """
client.connect()
say("leaving")
sys.exit()
""",
    "Ctrl-C in wait()": """
client.connect()
try:
    say("waiting")
    client.wait()
except KeyboardInterrupt:
    leave()
""",
    "Ctrl-C in a with block": """
try:
    with client:
        say("waiting")
        client.wait()
except KeyboardInterrupt:
    leave()
""",
    "Ctrl-C in connect()": """
try:
    client.connect()
except KeyboardInterrupt:
    leave()
""",
}


def _end(name: str) -> Aftermath:
    """The same for a program, from when it is told to end, or says that it does, until it has ended."""

    def silent_at_first(peer: Peer) -> None:
        if name == "Ctrl-C in connect()":
            peer.read_until_end()
        peer.upgrade()
        peer.serve()

    with HostileServer(silent_at_first) as server:
        with subprocess.Popen(
            [sys.executable, "-W", "error", "-c", _PROGRAM + _ENDINGS[name], server.ws_url],
            env=program_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as program:
            assert program.stdout is not None
            server.wait_for(lambda server: server.handshakes)
            first = "" if name == "Ctrl-C in connect()" else program.stdout.readline()
            accepted = server.accepted
            started = time.monotonic()
            if "Ctrl-C" in name:
                program.send_signal(signal.SIGINT)
            output, errors = program.communicate(timeout=TIMEOUT)
            took = time.monotonic() - started
        _watch(server, accepted, 0.1)
    if program.returncode or errors:
        raise FellShort(f"status {program.returncode} after {first + output!r}: {errors}")
    if "Ctrl-C" in name and ("threads ['MainThread']" not in output or "descriptors 0" not in output):
        raise FellShort(f"something is left: {output}")
    return Aftermath(took, server.accepted - accepted)


def measure(full: bool, seed: int) -> Outcome:
    """Leave in each state; in full many times."""
    # What is opened once for the whole process is open before anything is counted.
    _leave(SCENES["open and quiet"])
    _leave(SCENES["TLS of the WebSocket is not answered"])
    scenes = {name: partial(_leave, play) for name, play in SCENES.items()}
    endings = {name: partial(_end, name) for name in _ENDINGS}
    seen: List[Tuple[str, Aftermath]] = []
    failures: List[str] = []
    for _ in range(10 if full else 1):
        for cases, at_once in ((scenes, 1), (endings, 2)):
            aftermaths, broken = run_cases(cases, at_once)
            seen += aftermaths.items()
            failures += broken
    failures += [
        f"{name}: {aftermath}"
        for name, aftermath in seen
        if aftermath.seconds > _LIMIT or aftermath.connections or aftermath.threads or aftermath.descriptors
    ]
    names = [*scenes, *endings]
    good = [name for name in names if not any(line.startswith(f"{name}: ") for line in failures)]
    slowest, last = max(seen, key=lambda each: each[1].seconds)
    figure = (
        f"{len(good)} of {len(names)} within 1 s, the slowest {last.seconds:.2f} s ({slowest}); "
        f"{sum(each.connections for _, each in seen)} connections after; "
        f"{sum(each.threads for _, each in seen)} threads, "
        f"{sum(each.descriptors for _, each in seen)} descriptors left"
    )
    return Outcome(figure, not failures, failures)
