"""Ctrl-C at any step of a call on the main thread: the call ends with it, and nothing is left locked."""

from __future__ import annotations

import sys
import threading
from types import FrameType
from typing import Any, Callable, Dict, Optional

import pytest

from onetrade_ws import EventMessageType, OneTradeClient, WaitTimeoutError
from onetrade_ws.simulator import Simulator
from tests.client.background import Background
from tests.client.conftest import MakeClient
from tests.client.conversation import TIMEOUT, connect

# Where a signal's handler may run: at the beginning of each Python function, and after each call.
_STEPS = ("call", "return", "c_return")


class Interrupted:
    """Makes a call on this thread, and raises what Ctrl-C raises at a step of it, as a signal's handler would.

    :param number: of the step, from 0; None: at none
    """

    def __init__(self, number: Optional[int] = None) -> None:
        self._number = number
        #: How many steps there were.
        self.steps = 0
        #: Where it came; empty when it did not.
        self.where = ""

    def call(self, what: Callable[[], Any]) -> None:
        sys.setprofile(self._profile)
        try:
            what()
        except (KeyboardInterrupt, WaitTimeoutError):
            pass
        finally:
            sys.setprofile(None)

    def _profile(self, frame: FrameType, event: str, function: Any) -> None:
        if event in _STEPS:
            self.steps += 1
            if self.steps - 1 == self._number:
                code = frame.f_code
                name = code.co_name if function is None or event != "c_return" else function.__qualname__
                self.where = f"{event} of {name} ({code.co_filename}:{frame.f_lineno})"
                raise KeyboardInterrupt


def make_calls(client: OneTradeClient) -> Dict[str, Callable[[], Any]]:
    return {
        "wait": lambda: client.wait(0.001),
        "wait_for": lambda: client.wait_for(EventMessageType.ORDERS_PLACE, timeout=0.001),
        "events": lambda: list(client.events(timeout=0.001)),
        "wait_until_current": lambda: client.wait_until_current(0),
        "account": lambda: (client.account.orders, client.account.figures, client.account.status),
        "health": lambda: (client.health(), client.stats(), client.state),
        "resync": client.resync,
    }


def use(client: OneTradeClient, simulator: Simulator) -> None:
    """What a program does with a client that works."""
    with client.events(EventMessageType.PONG, timeout=TIMEOUT) as answers:
        simulator.emit(EventMessageType.PONG)
        next(answers)
    client.wait(0)
    client.wait_until_current(TIMEOUT)
    client.stats()


@pytest.mark.parametrize("name", list(make_calls(OneTradeClient("ws://127.0.0.1:1", api_key="key"))))
def test_ctrl_c_at_any_step_leaves_nothing_locked(
    make_client: MakeClient, simulator: Simulator, name: str
) -> None:
    client = make_client(snapshot=True)
    connect(client, simulator)
    client.wait_until_current(TIMEOUT)
    call = make_calls(client)[name]
    whole = Interrupted()
    whole.call(call)
    assert whole.steps
    for number in range(whole.steps):
        interrupted = Interrupted(number)
        interrupted.call(call)
        # On another thread, for whoever holds a lock may take it again.
        answer = Background(lambda: use(client, simulator))
        try:
            answer.result()
        except Exception as error:  # noqa: BLE001 - said where it came from
            pytest.fail(f"stuck after Ctrl-C at the {interrupted.where}: {error!r}")
    Background(lambda: client.disconnect(TIMEOUT)).result()
    threads = {each.name for each in threading.enumerate() if each.name.startswith("onetrade-ws ")}
    assert not threads
