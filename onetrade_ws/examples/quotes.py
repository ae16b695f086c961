"""Print the quotes of a symbol as they come.

python -m onetrade_ws.examples.quotes --simulator
"""

from __future__ import annotations

import sys
from typing import Optional

from onetrade_ws import ClientEventType, Event, EventMessageType, OneTradeClient
from onetrade_ws.examples.command import run

SYMBOL_ID = 1


def print_quote(event: Event) -> None:
    quote = event.data
    print(f"{quote.symbol_id}: {quote.bid} / {quote.ask}")


def print_gap(event: Event) -> None:
    gap = event.data
    print(f"no quotes for {gap.ended_at - gap.started_at:.1f} s: {gap.reason}")


def print_quotes(client: OneTradeClient, seconds: Optional[float]) -> None:
    client.subscribe(EventMessageType.MARKET_FEED, print_quote)
    client.subscribe(ClientEventType.GAP, print_gap)
    client.subscribe_market(SYMBOL_ID)  # remembered: restored whenever the client has to connect again
    with client:
        client.wait(seconds)


if __name__ == "__main__":
    sys.exit(run(print_quotes, __doc__))
