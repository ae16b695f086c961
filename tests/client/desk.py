"""Somebody who trades: a seeded source of everything that can happen to an account."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any, Callable, List

from onetrade_ws import OrderType, SideType
from onetrade_ws.simulator import Simulator

_SYMBOLS = (1, 3, 7, 8, 9, 11)


class Desk:
    """Acts on a simulator's account, by hand of its owner. On one thread.

    :param seed: the same one does the same
    """

    def __init__(self, simulator: Simulator, seed: int) -> None:
        self._simulator = simulator
        self._random = random.Random(seed)

    def act(self, times: int = 1) -> None:
        """Do something, so many times."""
        for _ in range(times):
            self._random.choice(self._possible())()

    def _possible(self) -> List[Callable[[], Any]]:
        sim, draw = self._simulator, self._random
        orders = sim.orders
        working = [order["id"] for order in orders if order["status"] in (0, 1, 2, 7)]
        requoted = [order["id"] for order in orders if order["status"] == 7]
        opened = [position for position in sim.positions if position["status"] == 0]
        deals = [deal["id"] for deal in sim.deals]
        actions: List[Callable[[], Any]] = [self._buy_or_sell, self._wait_for_price, self._move]
        if working:
            order_id = draw.choice(working)
            actions += [
                lambda: sim.cancel_order(order_id),
                lambda: sim.expire_order(order_id),
                lambda: sim.reject_order(order_id),
                lambda: sim.fill_order(order_id),
                lambda: sim.requote_order(order_id, 1.5),
                lambda: sim.update_order(order_id, comment=f"noted {draw.random()}"),
            ]
        if requoted:
            actions.append(lambda: sim.answer_requote(draw.choice(requoted), draw.random() < 0.5))
        if opened:
            position = draw.choice(opened)
            actions += [
                lambda: sim.close_position(position["id"]),
                lambda: sim.update_position(position["id"], swaps=draw.randint(-5, 5)),
            ]
            if Decimal(str(position["volume_current"])) > 1:
                actions.append(lambda: sim.close_position(position["id"], 1))
        if len(opened) > 8:
            actions = actions[-2:]
        if deals and draw.random() < 0.3:
            actions.append(lambda: sim.update_deal(draw.choice(deals), fee=draw.randint(0, 3)))
            actions.append(lambda: sim.deposit(draw.randint(-50, 500)))
        return actions

    def _buy_or_sell(self) -> None:
        self._simulator.place_order(
            self._random.choice(_SYMBOLS),
            self._random.choice((SideType.BUY, SideType.SELL)),
            self._random.randint(1, 3),
            fill=self._random.random() < 0.8,
        )

    def _wait_for_price(self) -> None:
        self._simulator.place_order(1, SideType.BUY, 1, type=OrderType.BUY_LIMIT, price=0.5)

    def _move(self) -> None:
        self._simulator.step_market(5)
