"""How to test your own program: against the simulator, over a real socket, without waiting for the market.

python -m onetrade_ws.examples.your_own_tests

The program here rings an alarm when the open positions together have lost too much.
"""

from __future__ import annotations

import threading
import unittest
from typing import Callable, List

from onetrade_ws import ClientEventType, Event, EventMessageType, OneTradeClient, ReconnectPolicy, SideType
from onetrade_ws.simulator import Simulator

# -- your program ---------------------------------------------------------------------------------------------


class LossAlarm:
    """Calls ``ring(loss)``, once, when the floating loss is larger than ``limit``."""

    def __init__(self, client: OneTradeClient, limit: float, ring: Callable[[float], None]) -> None:
        self._client = client
        self._limit = limit
        self._ring = ring
        self._rung = False
        client.subscribe(EventMessageType.PROFIT_UPDATE, self._check)

    def _check(self, event: Event) -> None:
        positions = self._client.account.open_positions.values()
        loss = -sum(position.profit for position in positions)
        if loss > self._limit and not self._rung:
            self._rung = True
            self._ring(loss)


# -- your tests -----------------------------------------------------------------------------------------------

EURUSD = 1
TIMEOUT = 20.0  # seconds; a safety net only


class LossAlarmTest(unittest.TestCase):
    def setUp(self) -> None:
        # Nothing moves by itself: each test says what happens.
        self.server = Simulator(live=False).start()
        self.addCleanup(self.server.stop)
        self.client = OneTradeClient(
            self.server.ws_url,
            api_key=self.server.api_key,
            reconnect=ReconnectPolicy(initial_delay=0.01, max_delay=0.01),
        )
        self.losses: List[float] = []
        self.rung = threading.Event()
        LossAlarm(self.client, 100.0, self.ring)
        self.client.connect()
        self.addCleanup(self.client.disconnect)
        self.wait_for_account_updates(1)

    def ring(self, loss: float) -> None:
        self.losses.append(loss)
        self.rung.set()

    def wait_for_account_updates(self, times: int) -> None:
        self.server.wait_for(
            lambda server: sum("start_account_all" in message.text for message in server.messages) == times,
            TIMEOUT,
        )

    def lose(self, points: int) -> None:
        """Buy half a lot of EURUSD at 1.10000, and let the market fall. A point is 50 cents."""
        self.server.quote(EURUSD, 1.10000, 1.10000)
        self.server.place_order(EURUSD, SideType.BUY, 0.5)
        with self.client.expect(EventMessageType.PROFIT_UPDATE, timeout=TIMEOUT):
            self.server.quote(EURUSD, 1.10000 - points * 0.00001)

    def test_it_rings_once_when_the_loss_is_too_large(self) -> None:
        self.lose(300)
        assert self.rung.wait(TIMEOUT)
        with self.client.expect(EventMessageType.PROFIT_UPDATE, timeout=TIMEOUT):
            self.server.quote(EURUSD, 1.09000)
        assert self.losses == [150.0]

    def test_it_keeps_quiet_while_the_loss_is_small(self) -> None:
        self.lose(199)
        assert self.losses == []

    def test_it_works_after_the_connection_was_lost(self) -> None:
        with self.client.expect(ClientEventType.GAP, timeout=TIMEOUT):
            self.server.drop()
        self.wait_for_account_updates(2)
        self.lose(300)
        assert self.rung.wait(TIMEOUT)


if __name__ == "__main__":
    unittest.main()
