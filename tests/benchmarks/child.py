"""The process of one client and one measurement: reads what to do from its argument, prints what came of it.

python -m tests.benchmarks.child '{"contender": "onetrade_ws", "task": "throughput", ...}'
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any, Dict

#: The modules of the contenders, by their names.
CONTENDERS = {
    "onetrade_ws[speed]": "ours",
    "onetrade_ws": "ours",
    "WebSocketApp": "websocket_app",
    "WebSocketApp + thread": "websocket_app_thread",
    "WebSocketApp, unchecked": "websocket_app_unchecked",
    "websockets": "websockets_sync",
    "picows": "picows_asyncio",
}
#: The tasks of one contender, in a module of their own.
_ALONE = ("idle", "slow_consumer")


def run(what: Dict[str, Any]) -> Dict[str, Any]:
    """Do what is asked for."""
    if what["contender"] == "onetrade_ws":
        # Importing it then fails, as where it is not installed.
        sys.modules["msgspec"] = None  # type: ignore[assignment]
    if what["task"] == "import":
        return _import(what["modules"])
    from tests.benchmarks.streams import Stream

    module = "ours_alone" if what["task"] in _ALONE else CONTENDERS[what["contender"]]
    contender = importlib.import_module(f"tests.benchmarks.contenders.{module}")
    task = getattr(contender, what["task"])
    result: Dict[str, Any] = task(what["address"], Stream.named(what["stream"]), **what["options"])
    result["msgspec"] = sys.modules.get("msgspec") is not None
    return result


def _import(modules: str) -> Dict[str, Any]:
    began = time.perf_counter()
    for module in modules.split():
        importlib.import_module(module)
    return {"messages": 0, "seconds": time.perf_counter() - began}


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))))
