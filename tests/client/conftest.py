"""Clients of the simulator, disconnected at the end of the test."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Callable, Iterator, Optional

import pytest

from onetrade_ws import OneTradeClient, ReconnectPolicy
from onetrade_ws.simulator import Simulator
from tests.client.conversation import connect

MakeClient = Callable[..., OneTradeClient]


@pytest.fixture
def make_client(simulator: Simulator) -> Iterator[MakeClient]:
    """Makes a client of ``simulator``, or of another one, that comes back quickly after a loss. It does not connect."""
    with ExitStack() as stack:

        def make(server: Optional[Simulator] = None, **settings: Any) -> OneTradeClient:
            server = simulator if server is None else server
            defaults = {
                "session_id": server.session_id,
                "access_token": server.access_token,
                "reconnect": ReconnectPolicy(initial_delay=0.01, max_delay=0.05),
                # Whose tests are about other things look at each event, request and thread.
                "snapshot": False,
            }
            client = OneTradeClient(server.ws_url, **{**defaults, **settings})
            stack.callback(client.disconnect)
            return client

        yield make


@pytest.fixture
def client(make_client: MakeClient, simulator: Simulator) -> OneTradeClient:
    """A connected client with its dispatcher thread; the simulator has seen it start account updates."""
    client = make_client()
    connect(client, simulator)
    return client


@pytest.fixture
def manual_client(make_client: MakeClient, simulator: Simulator) -> OneTradeClient:
    """As ``client``, with ``dispatch="manual"``."""
    client = make_client(dispatch="manual")
    connect(client, simulator)
    return client
