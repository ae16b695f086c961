"""The command line that the examples share. What they are about is in the others."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from typing import Callable, Optional, Sequence

from onetrade_ws import OneTradeClient, OneTradeError
from onetrade_ws.simulator import Simulator

#: Takes a client that is not connected yet, and how many seconds to run (None: until Ctrl-C).
Example = Callable[[OneTradeClient, Optional[float]], None]


def run(example: Example, description: Optional[str], argv: Optional[Sequence[str]] = None) -> int:
    """Run an example with a client made from the arguments.

    :returns: the exit code: 0, or 1 when the client could not connect or ended for a reason
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--simulator", action="store_true", help="use an embedded server, and no credentials")
    parser.add_argument("--seconds", type=float, metavar="S", help="end after that long (default: at Ctrl-C)")
    arguments = parser.parse_args(argv)
    with ExitStack() as stack:
        try:
            if arguments.simulator:
                server = stack.enter_context(Simulator(trading_interval=0.2))
                client = OneTradeClient(server.ws_url, api_key=server.api_key, proxy="direct")
            else:
                client = OneTradeClient.from_env()
            example(client, arguments.seconds)
        except OneTradeError as error:
            print(error, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            pass
    return 0
