"""Clients come and go, and nothing of them stays."""

from __future__ import annotations

import gc
import os
import threading
from contextlib import closing, contextmanager
from typing import Iterator, List, Tuple

import pytest

from onetrade_ws import (
    AuthenticationError,
    ClientEventType,
    ConnectTimeoutError,
    OneTradeClient,
    OneTradeError,
)
from onetrade_ws.simulator import Simulator
from tests.connection.conftest import FAST
from tests.connection.hostile import TIMEOUT, free_port

_DESCRIPTORS = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"


def inventory() -> Tuple[int, List[str]]:
    """How many descriptors are open in this process, and what threads run."""
    gc.collect()
    return len(os.listdir(_DESCRIPTORS)), sorted(thread.name for thread in threading.enumerate())


@contextmanager
def nothing_is_left() -> Iterator[None]:
    """The block leaves no more descriptors and threads than it found. Simulators must end inside of it."""
    before = inventory()
    yield
    assert inventory() == before


def client_of(simulator: Simulator, **settings: object) -> OneTradeClient:
    settings = {"session_id": simulator.session_id, "access_token": simulator.access_token, **settings}
    return OneTradeClient(simulator.ws_url, reconnect=FAST, **settings)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def warm() -> None:
    """What is opened once for the whole process is open before anything is counted."""
    with Simulator(live=False) as simulator, client_of(simulator):
        pass


@pytest.mark.parametrize("dispatch", ["thread", "manual"])
def test_a_hundred_clients(dispatch: str) -> None:
    with nothing_is_left(), Simulator(live=False) as simulator:
        for _ in range(100):
            client = client_of(simulator, dispatch=dispatch)
            client.connect()
            client.disconnect()
        assert simulator.connections_total == 100


def test_a_hundred_lives_of_one_client() -> None:
    with nothing_is_left(), Simulator(live=False) as simulator:
        client = client_of(simulator)
        for _ in range(100):
            with client:
                pass
        assert client.stats().connections == 100


def test_clients_that_never_connect() -> None:
    with nothing_is_left(), Simulator(live=False) as simulator:
        for _ in range(100):
            client = client_of(simulator)
            client.subscribe_market(1)
            client.disconnect()


def test_clients_that_are_refused() -> None:
    with nothing_is_left(), Simulator(live=False) as simulator:
        for number in range(30):
            if number % 2:
                simulator.refuse_validation(401, "expired")
            else:
                simulator.refuse_handshake(403)
            with pytest.raises(AuthenticationError):
                client_of(simulator).connect()


def test_clients_for_whom_nobody_is_there() -> None:
    held, port = free_port()
    client = OneTradeClient(f"ws://127.0.0.1:{port}", session_id="s", access_token="t", reconnect=FAST)
    with closing(held), nothing_is_left():
        for _ in range(20):
            with pytest.raises(ConnectTimeoutError):
                client.connect(timeout=0.06)


def test_clients_that_get_no_answer() -> None:
    with nothing_is_left(), Simulator(live=False) as simulator:
        client = client_of(simulator)
        simulator.freeze()
        for _ in range(5):
            with pytest.raises(ConnectTimeoutError):
                client.connect(timeout=0.1)
        simulator.thaw()
        client.connect()
        client.disconnect()


def test_fifty_reconnects_in_one_life() -> None:
    with nothing_is_left(), Simulator(live=False) as simulator, client_of(
        simulator, snapshot=False
    ) as client:
        faults = [simulator.drop, simulator.reset, simulator.close]
        client.subscribe_market(1)
        between = []
        for number in range(50):
            with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
                faults[number % 3]()
            names = sorted(thread.name for thread in threading.enumerate())
            # The thread that has said so may not have ended yet.
            between.append([name for name in names if name != "onetrade-ws opening"])
        assert client.stats().connections == 51
        assert all(names == between[0] for names in between)


def test_reconnects_that_fail() -> None:
    with nothing_is_left(), Simulator(live=False) as simulator, client_of(simulator) as client:
        simulator.refuse_validation(503, "down", times=10)
        simulator.refuse_handshake(500, times=10)
        with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
            simulator.drop()


def test_iterators_that_are_forgotten() -> None:
    with nothing_is_left(), Simulator(live=False) as simulator, client_of(simulator) as client:
        for _ in range(50):
            client.events("something")
        with client.expect("something", timeout=TIMEOUT):
            simulator.emit("something")


def test_sessions_that_are_logged_out() -> None:
    with nothing_is_left(), Simulator(live=False) as simulator:
        for _ in range(10):
            session = simulator.add_session()
            client = client_of(simulator, session_id=session.session_id, access_token=session.access_token)
            client.connect()
            simulator.log_out(session.session_id)
            with pytest.raises(OneTradeError, match="logged out"):
                client.wait(TIMEOUT)
