"""A peer that dies in one of several ways is noticed in time, and one that lives is not given up: on a scaled
clock, over real connections, while the wall clock jumps."""

from __future__ import annotations

import contextlib
import ctypes
import subprocess
import sys
import threading
import time
from functools import partial
from typing import Callable, Dict, Iterator, List
from unittest import mock

from onetrade_ws import ClientEventType, ConnectionStalledError, Event, OneTradeClient
from onetrade_ws.simulator import websocket as framing
from tests.connection.hostile import (
    HostileServer,
    Peer,
    client_of,
    event_frame,
    text_frame,
)
from tests.scorecard.cases import FellShort, run_cases
from tests.scorecard.outcome import NotRun, Outcome
from tests.scorecard.vanishing_host import VanishingHost

PROMISE = "A dead peer is noticed within interval + timeout"
TARGET = "6 of 6; 0 false alarms"
EXCLUSIVE = True
FULL_MINUTES = 4

# Seconds: the defaults of 30 and 10 on a scaled clock.
_INTERVAL, _TIMEOUT = 0.3, 0.2
# What two busy cores may add until an event of the loss reaches a callback.
_TOLERANCE = 0.25
_SAFETY = 20.0

_JUMPS = {
    "a true wall clock": 0.0,
    "the wall clock an hour on": 3600.0,
    "the wall clock an hour back": -3600.0,
}

Died = Callable[[], None]
Death = Callable[[Peer, Died], None]


class _WallClock:
    """``time.time()``, with jumps."""

    def __init__(self) -> None:
        self.offset = 0.0
        self._true = time.time

    def __call__(self) -> float:
        return self._true() + self.offset


# -- ways of dying: what the server does when it is told to ---------------------------------------------------------


def falls_silent(peer: Peer, died: Died) -> None:
    died()
    peer.read_until_end()


def stops_in_a_frame_header(peer: Peer, died: Died) -> None:
    peer.send(b"\x81\x7e")
    died()
    peer.read_until_end()


def stops_in_a_payload(peer: Peer, died: Died) -> None:
    peer.send(event_frame("half", "x" * 1000)[:500])
    died()
    peer.read_until_end()


def stops_between_two_fragments(peer: Peer, died: Died) -> None:
    peer.send(b'\x01\x08{"type":')
    died()
    peer.read_until_end()


def takes_nothing_but_talks(peer: Peer, died: Died) -> None:
    died()
    while True:
        peer.send(event_frame("chatter"))
        peer.pause(0.02)


def is_idle(client: OneTradeClient, over: threading.Event) -> None:
    over.wait(_SAFETY)


def sends_now_and_then(client: OneTradeClient, over: threading.Event) -> None:
    while not over.wait(0.05):
        client.send("question")


def sends_much(client: OneTradeClient, over: threading.Event) -> None:
    for _ in range(30):
        client.send("much", "x" * 1_000_000)
    over.wait(_SAFETY)


@contextlib.contextmanager
def _noticing(client: OneTradeClient) -> Iterator[Callable[[], float]]:
    """Gives a function that waits for the client's next loss, which must be a stall, and says when it was told."""
    told: List[float] = []
    reasons: List[object] = []
    over = threading.Event()

    def note(event: Event) -> None:
        told.append(time.monotonic())
        reasons.append(event.data.reason)
        over.set()

    def wait() -> float:
        if not over.wait(_SAFETY):
            raise FellShort(f"not noticed within {_SAFETY:g} s")
        if not isinstance(reasons[0], ConnectionStalledError):
            raise FellShort(f"taken for something else: {reasons[0]!r}")
        return told[0]

    with client.subscribe(ClientEventType.RECONNECTING, note):
        yield wait


def _delay(died_at: float, noticed_at: float) -> float:
    delay = noticed_at - died_at
    if delay > _INTERVAL + _TIMEOUT + _TOLERANCE:
        raise FellShort(f"noticed after {delay:.2f} s")
    return delay


def _dies(
    death: Death, meanwhile: Callable[[OneTradeClient, threading.Event], None], clock: _WallClock, jump: float
) -> float:
    """Seconds from a death to when the client's user is told of the loss."""
    died_at: List[float] = []

    def died() -> None:
        clock.offset = jump
        died_at.append(time.monotonic())

    def script(peer: Peer) -> None:
        peer.upgrade()
        if peer.number > 1:
            peer.serve()
        # It was alive, and beating, before.
        peer.serve(until='"die"')
        death(peer, died)

    with HostileServer(script, receive_buffer=4096) as server:
        client = client_of(server, heartbeat_interval=_INTERVAL, heartbeat_timeout=_TIMEOUT)
        over = threading.Event()
        with _noticing(client) as wait, client:
            client.send("die")
            user = threading.Thread(target=meanwhile, args=(client, over), name="user")
            user.start()
            try:
                noticed_at = wait()
            finally:
                over.set()
                client.disconnect()
                user.join()
    return _delay(died_at[0], noticed_at)


def _never_speaks(clock: _WallClock, jump: float) -> float:
    """The same for a server that says nothing from the handshake on."""
    died_at: List[float] = []

    def script(peer: Peer) -> None:
        peer.upgrade()
        if peer.number > 1:
            peer.serve()
        clock.offset = jump
        died_at.append(time.monotonic())
        peer.hold()

    with HostileServer(script) as server:
        client = client_of(server, heartbeat_interval=_INTERVAL, heartbeat_timeout=_TIMEOUT)
        with _noticing(client) as wait, client:
            noticed_at = wait()
            # Its connection is still held.
            server.stop()
    return _delay(died_at[0], noticed_at)


def _vanishes(clock: _WallClock, jump: float) -> float:
    """The same for a machine whose cable is pulled: nothing says goodbye, and nothing is acknowledged."""
    host = VanishingHost()
    try:
        with host.entered():
            server = HostileServer(host=host.address)
        with server:
            settings = {"heartbeat_interval": _INTERVAL, "heartbeat_timeout": _TIMEOUT}
            client = client_of(server, allow_plaintext=True, **settings)
            with _noticing(client) as wait, client:
                server.wait_for(lambda server: beats(server) > 1)
                clock.offset = jump
                host.vanish()
                died_at = time.monotonic()
                noticed_at = wait()
    finally:
        host.remove()
    return _delay(died_at, noticed_at)


# -- ways of living --------------------------------------------------------------------------------------------


def beats(server: HostileServer) -> int:
    """How many heartbeats have arrived."""
    return sum(frame.payload == b"9" for frame in tuple(server.frames))


def drips_and_answers_nothing(peer: Peer, beats: int) -> None:
    """A single message, and it takes as long as so many beats."""
    message = event_frame("drip", "x" * 4 * beats)
    peer.drip(message, beats * _INTERVAL / len(message))
    peer.serve()


def answers_late(peer: Peer, beats: int) -> None:
    while True:
        if peer.read_frame().payload == b"9":
            peer.pause(_TIMEOUT / 2)
            peer.send(text_frame("10"))


def only_pings(peer: Peer, beats: int) -> None:
    while True:
        if peer.read_frame().payload == b"9":
            peer.send(framing.frame(framing.PING, b""))


def answers_beats_alone(peer: Peer, beats: int) -> None:
    peer.serve()


def lets_the_consumer_get_stuck(peer: Peer, beats: int) -> None:
    """More than the client takes while its callback is stuck, and it is quiet after that."""
    peer.send(event_frame("stick"))
    for _ in range(20):
        peer.send(event_frame("more", "x" * 10_000))
    peer.serve()


def _lives(life: Callable[[Peer, int], None], wanted: int, clock: _WallClock) -> float:
    """Seconds for which a living server was borne with, for so many beats and more; the clock jumps at each."""

    def script(peer: Peer) -> None:
        peer.upgrade()
        life(peer, wanted)

    stuck_until = threading.Event()
    with HostileServer(script) as server:
        client = client_of(
            server,
            heartbeat_interval=_INTERVAL,
            heartbeat_timeout=_TIMEOUT,
            queue_limit=1,
            connect_timeout=_SAFETY,
        )
        losses: List[str] = []
        client.subscribe(ClientEventType.RECONNECTING, lambda event: losses.append(str(event.data.reason)))
        client.subscribe("stick", lambda event: stuck_until.wait(3 * wanted * _INTERVAL))
        started = time.monotonic()
        with client:
            try:
                if life is drips_and_answers_nothing:
                    client.wait_for("drip", timeout=_SAFETY + 3 * wanted * _INTERVAL)
                else:
                    for number in range(2, wanted):
                        clock.offset = 3600.0 * (number % 3 - 1)
                        server.wait_for(lambda server, number=number: beats(server) >= number)  # type: ignore[misc]
            finally:
                stuck_until.set()
            lasted = time.monotonic() - started
            if losses or client.stats().connections != 1:
                raise FellShort(f"a false alarm: {losses}")
    return lasted


_SERVER = """
import sys
from tests.connection.hostile import HostileServer, event_frame

def script(peer):
    peer.upgrade()
    while True:
        peer.serve(until='"question"')
        peer.send(event_frame("answer"))

with HostileServer(script) as server:
    print(server.address, flush=True)
    sys.stdin.read()
"""


def _interpreter_is_held(wanted: int, clock: _WallClock) -> float:
    """The same for a program that calls into foreign code, which holds all of its threads up for longer than a
    silence is borne. The server is a process of its own, or it would be held up, too."""
    # PyDLL: unlike CDLL it does not let other threads run meanwhile.
    foreign = ctypes.PyDLL(None)
    started = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        client = OneTradeClient(
            f"ws://{process.stdout.readline().strip()}",
            session_id="s",
            access_token="t",
            heartbeat_interval=_INTERVAL,
            heartbeat_timeout=_TIMEOUT,
        )
        losses: List[str] = []
        client.subscribe(ClientEventType.RECONNECTING, lambda event: losses.append(str(event.data.reason)))
        with client:
            for number in range(max(4, wanted // 3)):
                foreign.usleep(int((_INTERVAL + _TIMEOUT) * (1.1 + number % 4 / 5) * 1e6))
                with client.expect("answer", timeout=_SAFETY):
                    client.send("question")
        process.communicate()
    if losses:
        raise FellShort(f"a false alarm: {losses}")
    return time.monotonic() - started


_DEATHS: Dict[str, Callable[[_WallClock, float], float]] = {
    "falls silent": partial(_dies, falls_silent, is_idle),
    "falls silent while we send": partial(_dies, falls_silent, sends_now_and_then),
    "stops in a frame header": partial(_dies, stops_in_a_frame_header, is_idle),
    "stops in a payload": partial(_dies, stops_in_a_payload, is_idle),
    "stops between two fragments": partial(_dies, stops_between_two_fragments, is_idle),
    "takes nothing but talks": partial(_dies, takes_nothing_but_talks, sends_much),
    "never speaks": _never_speaks,
}

_LIVES: Dict[str, Callable[[int, _WallClock], float]] = {
    "a quiet server that answers heartbeats": partial(_lives, answers_beats_alone),
    "a server that drips a message and answers nothing": partial(_lives, drips_and_answers_nothing),
    "a server that answers heartbeats late": partial(_lives, answers_late),
    "a server that only pings": partial(_lives, only_pings),
    "a consumer that is stuck": partial(_lives, lets_the_consumer_get_stuck),
}


def measure(full: bool, seed: int) -> Outcome:
    """Let servers die and live, all kinds at once; in full many times and for long."""
    clock = _WallClock()
    failures: List[str] = []
    delays: List[float] = []
    with mock.patch.object(time, "time", clock):
        for _ in range(20 if full else 1):
            for when, jump in _JUMPS.items():
                cases = {f"{name}, {when}": partial(die, clock, jump) for name, die in _DEATHS.items()}
                clock.offset = 0.0
                measured, short = run_cases(cases, at_once=len(cases))
                delays += measured.values()
                failures += short
        deaths, extra = len(_DEATHS), ""
        if full:
            try:
                delays.append(_vanishes(clock, 3600.0))
                deaths, extra = deaths + 1, ", a pulled cable among them"
            except FellShort as reason:
                failures.append(f"a cable is pulled: {reason}")
            except NotRun as reason:
                extra = f" (no cable to pull: {reason})"
        missed = {line.split(",")[0] for line in failures}
        beats = 150 if full else 8
        lives = {name: partial(live, beats, clock) for name, live in _LIVES.items()}
        lasted, alarms = run_cases(lives, at_once=len(lives))
        held, more_alarms = run_cases(
            {"a program that is held up": partial(_interpreter_is_held, beats, clock)}
        )
    alarms += more_alarms
    figure = (
        f"{deaths - len(missed)} of {deaths}{extra}, the latest after {max(delays, default=0.0):.2f} s of "
        f"{_INTERVAL + _TIMEOUT:g} s; {len(alarms)} false alarms in {sum(lasted.values()) + sum(held.values()):.0f} s"
    )
    return Outcome(figure, not failures and not alarms, failures + alarms)
