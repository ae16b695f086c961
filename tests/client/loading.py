"""How tests load the mirror, hold a load back, and say how it stands."""

from __future__ import annotations

import threading
from typing import Tuple

from onetrade_ws import OneTradeClient, SyncState
from onetrade_ws.simulator import Simulator
from tests.client.books import differences
from tests.client.conversation import TIMEOUT, catch_up


class Gate:
    """Holds back the last call of a snapshot, when all others have been answered, and the answers made. See
    :class:`.Relay`."""

    def __init__(self, *, closed: bool = False) -> None:
        self.waiting = threading.Event()
        self.opened = threading.Event()
        self.closed = closed

    def __call__(self, path: str, status: int, body: bytes) -> Tuple[int, bytes]:
        if self.closed and path.endswith("/symbols"):
            self.waiting.set()
            self.opened.wait(TIMEOUT)
        return status, body


def state_of(client: OneTradeClient) -> SyncState:
    """How far the orders can be relied on."""
    return client.account.status["orders"].state


def current(client: OneTradeClient) -> None:
    """Wait until the mirror is up to date."""
    client.wait_until_current(TIMEOUT)


def agree(client: OneTradeClient, simulator: Simulator) -> None:
    """Everything that was said has been delivered, and the mirror is what the books are."""
    catch_up(client, simulator)
    assert differences(client.account, simulator) == []
