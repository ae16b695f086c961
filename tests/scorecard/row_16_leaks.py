"""One client reconnects thousands of times, after losses and refusals of all kinds; and programs end in all ways."""

from __future__ import annotations

import ctypes
import gc
import itertools
import logging
import multiprocessing
import os
import statistics
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection
from typing import Sequence

import attrs

from onetrade_ws import OneTradeClient, ReconnectPolicy
from onetrade_ws.simulator import websocket as framing
from tests.connection.hostile import HostileServer, Peer, close_frame, event_frame, validated
from tests.scorecard.exits import EXITS, run_exits
from tests.scorecard.outcome import Outcome

PROMISE = "Nothing leaks"
TARGET = "5,000 reconnects; exit from main, daemon, Ctrl-C: memory < 2 MB, descriptors +0, threads +0"
EXCLUSIVE = False
FULL_MINUTES = 4

_LIMIT = 2 * 1024 * 1024
# Seconds: a safety net.
_TIMEOUT = 60.0
# Threads of the client that end by themselves, a moment after the connection is open.
_SHORT_LIVED = ("onetrade-ws opening", "onetrade-ws HTTP deadline", "onetrade-ws resolver")
_REST, _GO_ON = "rest", "go_on"
_HALF_A_FRAME = event_frame("half", "x" * 1000)[:500]


@attrs.frozen
class Sample:
    """What the process holds while the client is connected and nothing happens.

    :ivar memory: bytes, resident
    """

    memory: int
    descriptors: int
    threads: Sequence[str]


def take_sample() -> Sample:
    """Measure, after what is garbage has been collected and given back to the system."""
    for thread in threading.enumerate():
        if thread.name in _SHORT_LIVED:
            thread.join(_TIMEOUT)
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except AttributeError:
        pass  # another C library than GNU's
    with open("/proc/self/statm", encoding="ascii") as statm:
        memory = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    threads = sorted(thread.name for thread in threading.enumerate())
    return Sample(memory, len(os.listdir("/proc/self/fd")), threads)


# -- the server's process -----------------------------------------------------------------------------------


def _close(peer: Peer) -> None:
    peer.send(close_frame(1001, "going away"))
    peer.finish()


def _finish(peer: Peer) -> None:
    peer.finish()


def _reset(peer: Peer) -> None:
    peer.reset()


def _finish_in_a_frame(peer: Peer) -> None:
    peer.send(_HALF_A_FRAME)
    peer.finish()


def _reset_in_a_frame(peer: Peer) -> None:
    peer.send(_HALF_A_FRAME)
    peer.reset()


def _break_the_protocol(peer: Peer) -> None:
    peer.send(framing.frame(framing.TEXT, b"", rsv=7))
    peer.read_until_end()


_ENDINGS = (_close, _finish, _reset, _finish_in_a_frame, _reset_in_a_frame, _break_the_protocol)


def serve(pipe: Connection, block: int) -> None:
    """End each connection at once, but for each one after ``block`` of them: that one when the client says so."""
    endings = itertools.cycle(_ENDINGS)
    validations = itertools.count(1)

    def validate(peer: Peer) -> None:
        number = next(validations)
        # Refused in ways that pass.
        if number % 7 == 0:
            peer.answer(503, "not now")
        elif number % 11 == 0:
            peer.reset()
        else:
            validated(peer)

    def converse(peer: Peer) -> None:
        # What it notes is not needed here, and would only grow.
        server.requests.clear()
        server.frames.clear()
        if peer.number % 13 == 0:
            peer.answer(500, "not now")
            return
        peer.upgrade()
        while "start_account_all" not in peer.read_frame().text:
            pass
        for number in range(5):
            peer.send(event_frame("number", number))
        if next(openings) % block == 0:
            peer.send(event_frame(_REST))
            while _GO_ON not in peer.read_frame().text:
                pass
        next(endings)(peer)

    openings = itertools.count(1)
    server = HostileServer(converse, http=validate)
    pipe.send(server.ws_url)
    pipe.recv()
    server.stop()


# -- the client's process -----------------------------------------------------------------------------------


@attrs.frozen
class Life:
    """What one client's life came to.

    :ivar before: the process before it
    :ivar blocks: at rest, after each block of reconnects
    :ivar after: after ``disconnect()``
    :ivar connections: how many times it was open
    """

    before: Sample
    blocks: Sequence[Sample]
    after: Sample
    connections: int


def reconnect(blocks: int, block: int) -> Life:
    """Let a client reconnect ``blocks`` × ``block`` times."""
    logging.getLogger("onetrade_ws").addHandler(logging.NullHandler())
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    server = spawn.Process(target=serve, args=(there, block), daemon=True)
    server.start()
    there.close()
    client = OneTradeClient(
        here.recv(),
        session_id=HostileServer.session_id,
        access_token=HostileServer.access_token,
        reconnect=ReconnectPolicy(initial_delay=0.001, max_delay=0.001, stable_after=0.0),
    )
    at_rest = threading.Semaphore(0)
    client.subscribe(_REST, lambda event: at_rest.release())
    client.subscribe(None, lambda event: None)
    before = take_sample()
    client.connect(_TIMEOUT)
    samples = []
    for _ in range(blocks):
        if not at_rest.acquire(timeout=_TIMEOUT):
            break
        samples.append(take_sample())
        client.send(_GO_ON)
    connections = client.stats().connections
    client.disconnect()
    after = take_sample()
    here.send("stop")
    server.join()
    return Life(before, samples, after, connections)


def measure(full: bool, seed: int) -> Outcome:
    """Compare the medians of the memory after the warm-up and at the end; and all descriptors and threads."""
    reconnects, warm_up, block = (5000, 500, 50) if full else (300, 100, 20)
    blocks = (warm_up + reconnects) // block
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        running = pool.submit(reconnect, blocks, block)
        details = run_exits()
        life = running.result()
    if len(life.blocks) != blocks:
        details.append(f"the client came back from {life.connections - 1} losses only")
        return Outcome(f"{life.connections - 1:,} reconnects", False, details)

    ended = len(EXITS) - len(details)
    warm = [sample.memory for sample in life.blocks[warm_up // block :]]
    quarter = len(warm) // 4
    growth = statistics.median(warm[-quarter:]) - statistics.median(warm[:quarter])
    first, last = life.blocks[0], life.blocks[-1]
    for name, earlier, later in (("connected", first, last), ("not connected", life.before, life.after)):
        if later.descriptors != earlier.descriptors:
            details.append(f"{name}: {earlier.descriptors} descriptors, later {later.descriptors}")
        if later.threads != earlier.threads:
            details.append(f"{name}: threads {earlier.threads}, later {later.threads}")
    descriptors = max(last.descriptors - first.descriptors, life.after.descriptors - life.before.descriptors)
    threads = max(len(last.threads) - len(first.threads), len(life.after.threads) - len(life.before.threads))
    figure = (
        f"{life.connections - 1:,} reconnects: memory {growth / 1e6:+.2f} MB, descriptors {descriptors:+}, "
        f"threads {threads:+}; {ended} of {len(EXITS)} programs end as they must"
    )
    return Outcome(figure, growth < _LIMIT and not details, details)
