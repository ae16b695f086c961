"""Without pandas, which is an extra, everything works but frames, and those say what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# In a fresh interpreter: here it may have been imported long ago.
PROGRAM = """
import sys

sys.modules["pandas"] = None  # what is None there cannot be imported
from onetrade_ws import MissingPackageError, OneTradeClient, to_frame
from onetrade_ws.simulator import Simulator

with Simulator(live=False) as server, OneTradeClient(server.ws_url, api_key=server.api_key) as client:
    client.wait_until_current(20.0)
    for call in (lambda: client.account.to_frame("symbols"), lambda: to_frame([])):
        try:
            call()
        except MissingPackageError as error:
            print(error)
            print(isinstance(error, ImportError), type(error.__cause__).__name__)
    try:
        client.account.to_frame("symbol")
    except ValueError as error:
        print(str(error)[:22])
    print(len(client.account.symbols) > 0, client.state.name)
"""


def test_everything_works_but_frames() -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=50,
        check=False,
    )
    said = [
        'to_frame() needs pandas, this library\'s extra "pandas": pip install pandas',
        "True ModuleNotFoundError",
    ]
    assert ended.stdout.splitlines() == [*said, *said, "no collection 'symbol'", "True OPEN"]
    assert ended.returncode == 0
