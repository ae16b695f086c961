"""websocket-client's ``WebSocketApp``, with its defaults."""

from __future__ import annotations

import time
from typing import Any, Dict

import websocket

from tests.benchmarks.contenders.reception import Pace, record_stamp
from tests.benchmarks.streams import GO, Stream


def throughput(address: str, stream: Stream, *, skip_utf8_validation: bool = False) -> Dict[str, Any]:
    """Count the messages in ``on_message``."""
    counter = _Counter(stream.messages)
    app = websocket.WebSocketApp(
        stream.url(address), on_open=lambda app: app.send(GO), on_message=counter.on_message
    )
    app.run_forever(skip_utf8_validation=skip_utf8_validation)
    return {"messages": counter.count, "seconds": counter.last - counter.first}


class _Counter:
    def __init__(self, messages: int) -> None:
        self.count = 0
        self.first = self.last = 0.0
        self._messages = messages

    def on_message(self, app: websocket.WebSocketApp, message: Any) -> None:
        if not self.count:
            self.first = time.monotonic()
        self.count += 1
        if self.count == self._messages:
            self.last = time.monotonic()
            app.close()


def paced(address: str, stream: Stream) -> Dict[str, Any]:
    """Compare clocks in ``on_message``."""
    pace = Pace(stream.messages)

    def on_message(app: websocket.WebSocketApp, message: Any) -> None:
        if note_in(pace, message):
            app.close()

    app = websocket.WebSocketApp(stream.url(address), on_open=lambda app: app.send(GO), on_message=on_message)
    app.run_forever()
    return pace.result


def note_in(pace: Pace, message: Any) -> bool:
    """Note a message that is in the callback now.

    :returns: whether it was the last
    """
    now = time.monotonic_ns()
    # The end of the stream is text.
    return isinstance(message, bytes) and pace.note(now, record_stamp(message))
