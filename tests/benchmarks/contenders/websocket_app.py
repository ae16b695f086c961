"""websocket-client's ``WebSocketApp``, with its defaults."""

from __future__ import annotations

import time
from typing import Any, Dict

import websocket

from tests.benchmarks.contenders.reception import Pace, record_stamp
from tests.benchmarks.streams import GO, Stream


def throughput(address: str, stream: Stream) -> Dict[str, Any]:
    """Count the messages in ``on_message``."""
    clock, messages = time.monotonic, stream.messages
    count = 0
    first = last = 0.0

    def on_message(app: websocket.WebSocketApp, message: Any) -> None:
        nonlocal count, first, last
        if not count:
            first = clock()
        count += 1
        if count == messages:
            last = clock()
            app.close()

    app = websocket.WebSocketApp(stream.url(address), on_open=lambda app: app.send(GO), on_message=on_message)
    app.run_forever()
    return {"messages": count, "seconds": last - first}


def paced(address: str, stream: Stream) -> Dict[str, Any]:
    """Compare clocks in ``on_message``."""
    pace = Pace(stream.messages)

    def on_message(app: websocket.WebSocketApp, message: Any) -> None:
        now = time.monotonic_ns()
        # The end of the stream is text.
        if isinstance(message, bytes) and pace.note(now, record_stamp(message)):
            app.close()

    app = websocket.WebSocketApp(stream.url(address), on_open=lambda app: app.send(GO), on_message=on_message)
    app.run_forever()
    return pace.result
