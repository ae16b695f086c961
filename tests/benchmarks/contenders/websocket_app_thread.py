"""websocket-client's ``WebSocketApp``, and a thread of its own for the callback: the least that a client costs in which
a slow callback does not hold up the reading."""

from __future__ import annotations

import queue
import threading
from typing import Any, Dict, Optional

import websocket

from tests.benchmarks.contenders.reception import Pace
from tests.benchmarks.contenders.websocket_app import note_in
from tests.benchmarks.streams import GO, Stream


def paced(address: str, stream: Stream) -> Dict[str, Any]:
    """Compare clocks in the callback."""
    pace = Pace(stream.messages)
    messages: queue.SimpleQueue[Optional[bytes]] = queue.SimpleQueue()

    def deliver() -> None:
        for message in iter(messages.get, None):
            if note_in(pace, message):
                app.close()

    thread = threading.Thread(target=deliver, name="benchmark callbacks")
    thread.start()
    app = websocket.WebSocketApp(
        stream.url(address),
        on_open=lambda app: app.send(GO),
        on_message=lambda app, message: messages.put(message),
    )
    app.run_forever()
    messages.put(None)
    thread.join()
    return pace.result
