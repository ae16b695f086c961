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
    clock, messages = time.monotonic, stream.messages
    count = 0
    first = last = 0.0

    class Listener(picows.WSListener):
        def on_ws_connected(self, transport: Any) -> None:
            transport.send(picows.WSMsgType.TEXT, GO.encode())

        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            nonlocal count, first, last
            if not count:
                first = clock()
            count += 1
            if count == messages:
                last = clock()
                transport.disconnect()

    asyncio.run(_receive(stream.url(address), Listener))
    # After the last, some more may have been in the same receive.
    return {"messages": min(count, messages), "seconds": last - first}


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


async def _receive(url: str, listener: Type[Any]) -> None:
    transport, _ = await picows.ws_connect(listener, url)
    await transport.wait_disconnected()
