"""Wait for events, and iterate over them, without callbacks.

python -m onetrade_ws.examples.without_callbacks --simulator
"""

from __future__ import annotations

import sys
import time
from typing import Optional

from onetrade_ws import EventMessageType, OneTradeClient
from onetrade_ws.examples.command import run

SYMBOL_ID = 1
TIMEOUT = 30.0


def read_events(client: OneTradeClient, seconds: Optional[float]) -> None:
    end = None if seconds is None else time.monotonic() + seconds
    with client:
        # One event, set off by what is inside the block. It cannot be missed: the client listens before.
        with client.expect(EventMessageType.MARKET_FEED, timeout=TIMEOUT) as first:
            client.subscribe_market(SYMBOL_ID)
        print(f"first quote: {first.event.data.bid} / {first.event.data.ask}")

        # One event that satisfies a condition.
        moved = client.wait_for(
            EventMessageType.MARKET_FEED,
            where=lambda event: event.data.bid != first.event.data.bid,
            timeout=TIMEOUT,
        )
        print(f"moved to: {moved.data.bid} / {moved.data.ask}")

        # All events of some types, one after the other. It ends when none came within the timeout.
        with client.events(
            EventMessageType.ORDERS_PLACE, EventMessageType.DEALS_CREATE, timeout=TIMEOUT
        ) as events:
            for event in events:
                print(f"{event.type}: {event.data.id}")
                if end is not None and time.monotonic() >= end:
                    break


if __name__ == "__main__":
    sys.exit(run(read_events, __doc__))
