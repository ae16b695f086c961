"""The process that a bomb is thrown at.

``python -m tests.scorecard.bomb_victim NAME LIMIT HARMLESS_URL URL SECONDS``
"""

from __future__ import annotations

import gc
import json
import re
import resource
import sys
from pathlib import Path
from typing import Any, Dict

from onetrade_ws import OneTradeClient, OneTradeError, ReconnectPolicy
from tests.scorecard.bombs import Bomb, bombs

# Seconds within which a bomb that ends the client must have ended it.
_LONGEST = 40.0
_AT_MOST = 2 << 30
_STATUS = Path("/proc/self/status")


def _memory(field: str) -> int:
    """What the system says of this process's memory, in bytes: ``VmRSS``, or ``VmHWM`` for the most there was."""
    found = re.search(rf"^{field}:\s*(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    assert found is not None
    return int(found.group(1)) * 1024


def _settings(bomb: Bomb, limit: int) -> Dict[str, Any]:
    policy = ReconnectPolicy(initial_delay=0.01, max_delay=0.02, stable_after=0.0)
    return {
        "session_id": "s",
        "access_token": "t",
        "max_message_size": limit,
        "queue_limit": 1024 * 1024,
        "heartbeat_interval": 0.5,
        "heartbeat_timeout": 0.5,
        "connect_timeout": 3.0,
        # Without a policy the first error is the answer.
        "reconnect": policy if bomb.error is None else None,
        **bomb.settings,
    }


def main() -> None:
    """Warm up, be thrown at, and print what it came to, as JSON."""
    # So that a bomb that works harms nobody else.
    resource.setrlimit(resource.RLIMIT_AS, (_AT_MOST, _AT_MOST))
    name, limit, harmless, url, seconds = sys.argv[1:]
    bomb = bombs(int(limit))[name]
    settings = _settings(bomb, int(limit))
    # What is loaded and made once is there before anything is measured.
    with OneTradeClient(harmless, **settings) as client:
        client.send("warm up")
    gc.collect()
    before = _memory("VmRSS")
    # The most there was starts anew (proc(5)).
    Path("/proc/self/clear_refs").write_text("5")
    came_to = None
    client = OneTradeClient(url, **settings)
    try:
        bomb.attack(client, float(seconds) if bomb.error is None else _LONGEST)
    except OneTradeError as error:
        came_to = type(error).__name__
    growth = _memory("VmHWM") - before
    client.disconnect(timeout=1.0)
    sys.stdout.write(
        json.dumps({"growth": growth, "came_to": came_to, "received": client.stats().bytes_received})
    )


if __name__ == "__main__":
    main()
