"""The synchronous client of ``websockets``, with its defaults."""

from __future__ import annotations

import time
from typing import Any, Dict

from websockets.sync.client import connect

from tests.benchmarks.contenders.reception import Pace, record_stamp
from tests.benchmarks.streams import GO, Stream


def throughput(address: str, stream: Stream) -> Dict[str, Any]:
    """Count the messages of its iterator."""
    messages = stream.messages
    count = 0
    first = last = 0.0
    with connect(stream.url(address)) as connection:
        connection.send(GO)
        for _ in connection:
            if not count:
                first = time.monotonic()
            count += 1
            if count == messages:
                last = time.monotonic()
                break
    return {"messages": count, "seconds": last - first}


def paced(address: str, stream: Stream) -> Dict[str, Any]:
    """Compare clocks at each message."""
    pace = Pace(stream.messages)
    with connect(stream.url(address)) as connection:
        connection.send(GO)
        for message in connection:
            now = time.monotonic_ns()
            if isinstance(message, bytes) and pace.note(now, record_stamp(message)):
                break
    return pace.result
