"""What the demo does to the account and the connection, and when it is over."""

from __future__ import annotations

import time
from typing import Callable, Sequence

from .. import OrderType, SideType
from ..simulator import Simulator

_POSITIONS = 3
_LOTS = 0.5
_AWAY = 25  # spreads from the price to the stops; a waiting order lies half as far
_PATIENCE = 10.0  # seconds that coming back may take, beyond the end


class Scenario:
    """Opens a few positions and leaves orders waiting, for there to be something to watch beside what the simulated
    trader does. After a third of the time it cuts the connection once, and refuses the next two attempts to restore it.

    It is not over before the connection is back, so that even the shortest demo shows it; unless that takes long.

    :param symbols: ids of the symbols that are watched
    :param duration: seconds
    :param steady: leaves the connection alone
    :param recovered: whether the client has come back from a loss
    :param now: seconds on a monotonic clock
    """

    def __init__(
        self,
        simulator: Simulator,
        symbols: Sequence[int],
        *,
        duration: float,
        steady: bool,
        recovered: Callable[[], bool],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        #: Seconds that it is to last.
        self.duration = duration
        self._simulator = simulator
        self._cut_is_due = not steady
        self._recovered = recovered
        self._now = now
        self._was_cut = False
        self._started = now()
        # What happens before the server has been asked to tell is not told.
        simulator.wait_for(
            lambda server: any("start_account_all" in message.text for message in server.messages)
        )
        for number, symbol_id in enumerate(symbols[:_POSITIONS]):
            self._trade(symbol_id, SideType.SELL if number % 2 else SideType.BUY)

    def _trade(self, symbol_id: int, side: SideType) -> None:
        buys = side == SideType.BUY
        order = self._simulator.place_order(symbol_id, side, _LOTS)
        symbol, price = order["symbol"], order["price_order"]
        away = _AWAY * symbol["spread"] * symbol["tick_size"] * (1 if buys else -1)
        self._simulator.update_position(order["position_id"], price_sl=price - away, price_tp=price + away)
        order_type = OrderType.BUY_LIMIT if buys else OrderType.SELL_LIMIT
        self._simulator.place_order(symbol_id, side, _LOTS, type=order_type, price=price - away / 2)

    @property
    def elapsed(self) -> float:
        """Seconds since it was made."""
        return self._now() - self._started

    def proceed(self) -> bool:
        """Do what is due.

        :returns: False when it is over
        """
        elapsed = self.elapsed
        if self._cut_is_due and elapsed >= self.duration / 3:
            self._cut_is_due, self._was_cut = False, True
            self._simulator.refuse_validation(503, "down for maintenance", times=2)
            self._simulator.drop()
        if elapsed < self.duration:
            return True
        return self._was_cut and not self._recovered() and elapsed < self.duration + _PATIENCE
