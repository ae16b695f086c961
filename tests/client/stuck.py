"""A callback that does not return until it is told to."""

from __future__ import annotations

import threading

from onetrade_ws import Event, OneTradeClient
from onetrade_ws.simulator import Simulator
from tests.client.conversation import TIMEOUT


class StuckCallback:
    """Stops the dispatcher at an event of the type "stick" until it is released."""

    def __init__(self, client: OneTradeClient, simulator: Simulator) -> None:
        self._entered = threading.Event()
        self._release = threading.Event()
        client.subscribe("stick", self._stick)
        simulator.emit("stick")
        assert self._entered.wait(TIMEOUT)

    def _stick(self, event: Event) -> None:
        self._entered.set()
        self._release.wait(3 * TIMEOUT)

    def release(self) -> None:
        self._release.set()
