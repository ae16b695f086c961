"""websocket-client's ``WebSocketApp`` without its check of UTF-8, a loop in Python over every byte of a text."""

from __future__ import annotations

from functools import partial

from tests.benchmarks.contenders import websocket_app

throughput = partial(websocket_app.throughput, skip_utf8_validation=True)
