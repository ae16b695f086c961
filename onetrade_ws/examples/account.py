"""Print what happens in the account, and at the end what it adds up to.

python -m onetrade_ws.examples.account --simulator --seconds 5
"""

from __future__ import annotations

import sys
from typing import Optional

from onetrade_ws import Event, EventMessageType, OneTradeClient
from onetrade_ws.examples.command import run


def print_order(event: Event) -> None:
    order = event.data
    print(f"{event.type}: order {order.id} {order.side.name} {order.volume_initial} at {order.price_order}")


def print_position(event: Event) -> None:
    position = event.data
    print(f"{event.type}: position {position.id} {position.side.name} profit {position.profit:.2f}")


def print_account_events(client: OneTradeClient, seconds: Optional[float]) -> None:
    for event_type in (
        EventMessageType.ORDERS_PLACE,
        EventMessageType.ORDERS_REQUOTED,
        EventMessageType.ORDERS_REJECTED,
        EventMessageType.ORDERS_CANCEL,
        EventMessageType.ORDERS_EXPIRED,
    ):
        client.subscribe(event_type, print_order)
    for event_type in (EventMessageType.POSITIONS_OPEN, EventMessageType.POSITIONS_CLOSE):
        client.subscribe(event_type, print_position)
    try:
        with client:  # connecting asks for account updates
            client.wait(seconds)
    finally:
        print_mirror(client)


def print_mirror(client: OneTradeClient) -> None:
    account = client.account  # still there after the connection
    for position in account.open_positions.values():
        name = position.symbol.symbol if position.symbol else position.symbol_id
        print(f"open: {name} {position.side.name} {position.volume_current} profit {position.profit:.2f}")
    for order in account.active_orders.values():
        print(f"waiting: order {order.id} {order.type.name} {order.volume_current} at {order.price_order}")
    print(f"{len(account.deals)} deals, {len(account.journal)} journal entries")


if __name__ == "__main__":
    sys.exit(run(print_account_events, __doc__))
