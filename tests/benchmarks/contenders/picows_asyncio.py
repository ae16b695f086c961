"""``picows``: Cython, on asyncio's own event loop, with its defaults."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Dict, Type

import picows

from tests.benchmarks.contenders.reception import Pace, record_stamp
from tests.benchmarks.streams import GO, Stream


def throughput(address: str, stream: Stream) -> Dict[str, Any]:
    """Count the frames in ``on_ws_frame``."""
    messages = stream.messages

    class Listener(picows.WSListener):
        def __init__(self) -> None:
            self.count = 0
            self.first = self.last = 0.0

        def on_ws_connected(self, transport: Any) -> None:
            transport.send(picows.WSMsgType.TEXT, GO.encode())

        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            if not self.count:
                self.first = time.monotonic()
            self.count += 1
            if self.count == messages:
                self.last = time.monotonic()
                transport.disconnect()

    listener = asyncio.run(_receive(stream.url(address), Listener))
    # After the last, some more may have been in the same receive.
    return {"messages": min(listener.count, messages), "seconds": listener.last - listener.first}


def paced(address: str, stream: Stream) -> Dict[str, Any]:
    """Compare clocks in ``on_ws_frame``."""
    pace = Pace(stream.messages)

    class Listener(picows.WSListener):
        def on_ws_connected(self, transport: Any) -> None:
            transport.send(picows.WSMsgType.TEXT, GO.encode())

        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            now = time.monotonic_ns()
            # The end of the stream is text.
            is_price = frame.msg_type == picows.WSMsgType.BINARY
            if is_price and pace.note(now, record_stamp(frame.get_payload_as_bytes())):
                transport.disconnect()

    asyncio.run(_receive(stream.url(address), Listener))
    return pace.result


async def _receive(url: str, listener_type: Type[Any]) -> Any:
    transport, listener = await picows.ws_connect(listener_type, url)
    await transport.wait_disconnected()
    return listener
