"""What client and simulator say to each other, and how a test knows that it was said."""

from __future__ import annotations

import itertools
from typing import List

from onetrade_ws import ClientEventType, ConnectionState, Event, EventMessageType, OneTradeClient
from onetrade_ws.simulator import Simulator

# Seconds: only a failing test waits so long.
TIMEOUT = 10.0

HEARTBEAT = "9"

_numbers = itertools.count(1)


def texts(simulator: Simulator, connection: int = 1) -> List[str]:
    """The text messages that arrived over a connection, heartbeats left out."""
    return [
        message.text
        for message in simulator.messages
        if message.opcode == 1 and message.connection == connection and message.text != HEARTBEAT
    ]


def account_updates_started(simulator: Simulator, connection: int = 1) -> None:
    """Wait until the simulator has been asked for account updates: from here on it sends them."""
    started = '{"type":"start_account_all","data":null}'
    simulator.wait_for(lambda sim: started in texts(sim, connection))


def connect(client: OneTradeClient, simulator: Simulator) -> None:
    """Connect, and wait until that has been delivered, and the simulator has been asked for account updates."""
    with client.events(ClientEventType.STATE_CHANGED, timeout=TIMEOUT) as changes:
        client.connect()
        states = (change.data.new for change in changes)
        assert (
            next(state for state in states if state is not ConnectionState.CONNECTING) is ConnectionState.OPEN
        )
    account_updates_started(simulator, simulator.connections_total)


def catch_up(client: OneTradeClient, simulator: Simulator) -> Event:
    """Wait until everything that the simulator has said so far has been delivered, to observers, too."""
    number = next(_numbers)
    with client.expect(
        EventMessageType.PONG, where=lambda event: event.data == number, timeout=TIMEOUT
    ) as expected:
        simulator.emit(EventMessageType.PONG, number)
    return expected.event


def everything_sent(client: OneTradeClient, simulator: Simulator, connection: int = 1) -> List[str]:
    """Wait until the simulator has received everything that the client has sent so far, and say what it was."""
    number = next(_numbers)
    last = f'{{"type":"ping","data":{number}}}'
    client.send(EventMessageType.PING, number)
    simulator.wait_for(lambda sim: last in texts(sim, connection))
    sent = texts(simulator, connection)
    return sent[: sent.index(last)]
