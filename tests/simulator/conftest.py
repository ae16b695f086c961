"""A simulator in which nothing moves by itself, and clients for it that are closed at the end."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import Callable, Iterator, Optional

import pytest

from onetrade_ws.simulator import Session, Simulator
from tests.simulator.plain_client import Http, PlainClient, RawSocket

Connect = Callable[..., PlainClient]


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(live=False) as simulator:
        yield simulator


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def connect(sim: Simulator, stack: ExitStack) -> Connect:
    """Opens a WebSocket to `sim`."""

    def connect(session: Optional[Session] = None) -> PlainClient:
        return stack.enter_context(closing(PlainClient(sim, session)))

    return connect


@pytest.fixture
def client(connect: Connect) -> PlainClient:
    """A WebSocket to `sim` without any subscription."""
    return connect()


@pytest.fixture
def watcher(client: PlainClient) -> PlainClient:
    """A WebSocket to `sim` that has started account updates and subscribed to EURUSD."""
    client.send("start_account_all")
    client.send("market_subscribe_symbol", 1)
    client.sync()
    return client


@pytest.fixture
def http(sim: Simulator, stack: ExitStack) -> Http:
    return stack.enter_context(closing(Http(sim)))


@pytest.fixture
def raw(sim: Simulator, stack: ExitStack) -> Callable[..., RawSocket]:
    """Opens a bare TCP connection to `sim`."""

    def open_socket(**settings: Optional[int]) -> RawSocket:
        return stack.enter_context(closing(RawSocket(sim, **settings)))

    return open_socket
