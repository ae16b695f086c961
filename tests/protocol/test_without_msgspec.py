"""Without msgspec, which has no wheel for each platform, everything works: slower."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# In a fresh interpreter: here it may have been imported long ago.
PROGRAM = """
import sys

sys.modules["msgspec"] = None  # what is None there cannot be imported
from onetrade_ws import EventMessageType, OneTradeClient, SideType
from onetrade_ws.protocol.parsers import fastest_parser
from onetrade_ws.simulator import Simulator

with Simulator(live=False) as server, OneTradeClient(server.ws_url, api_key=server.api_key) as client:
    server.wait_for(lambda server: any("start_account_all" in message.text for message in server.messages), 20.0)
    client.subscribe_market(1)
    server.wait_for(lambda server: any("market_subscribe" in message.text for message in server.messages), 20.0)
    with client.expect("market_feed", where=lambda event: event.data.bid == 1.25, timeout=20.0) as quoted:
        server.quote(1, 1.25, 1.5)
    with client.expect(EventMessageType.ORDERS_PLACE, timeout=20.0) as placed:
        server.place_order(1, SideType.BUY, 0.5)
print(type(fastest_parser()).__name__)
quote, order = quoted.event.data, placed.event.data
print(type(quote).__name__, quote.symbol_id, quote.bid, quote.ask)
print(type(order).__name__, order.side, order.volume_initial, order.symbol.symbol, order.created_at.tzinfo)
"""


def test_everything_works() -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=50,
        check=False,
    )
    assert ended.stdout.decode().splitlines() == [
        "StandardParser",
        "Quote 1 1.25 1.5",
        "Order SideType.BUY 0.5 EURUSD UTC",
    ]
    assert ended.returncode == 0
