"""The command ``onetrade-ws``."""

from __future__ import annotations

import argparse
import math
import os
import sys
import threading
from typing import Optional, Sequence, TextIO, Tuple

from . import OneTradeError, __version__

_LONGEST = 86_400.0  # seconds

_DEMO = """\
A simulated market and the real client in one process, talking over a real socket. On a terminal you watch a
live table of quotes, positions, orders and the latest events; elsewhere, or with --plain, one line for each
event (of quotes and profits not all). At the end, or at Ctrl-C, comes a summary.

Within the first third everything happens that can happen: orders are placed, filled in parts, requoted,
rejected, cancelled and expire; positions open, float, hit their stops and close; deals, journal entries,
reports and messages follow. Then the connection is cut, and refused twice more: watch RECONNECTING and the
GAP, and which rows are in doubt after it (?) until they are heard of again.
"""


_SIMULATOR = """\
A server to try programs against, until Ctrl-C: its address and credentials are printed as the commands that put
them where OneTradeClient.from_env() looks for them. Paste them into the terminal that the program runs in.
"""


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command.

    :param argv: the arguments; None: those of the process
    :returns: the exit code: 0, or 1 when the command failed, 2 for wrong arguments, 130 when interrupted early
    :raises SystemExit: as argparse does, after ``--help``, ``--version`` and wrong arguments
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        return _simulator(arguments) if arguments.command == "simulator" else _demo(arguments)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read this has seen enough. What is still buffered must not fail again when Python exits.
        _discard(sys.stdout)
        return 0
    except (OneTradeError, OSError) as error:
        print(f"onetrade-ws: {error}", file=sys.stderr)
        return 1


def _demo(arguments: argparse.Namespace) -> int:
    from .demo.show import run

    run(
        sys.stdout,
        duration=arguments.duration,
        symbols=arguments.symbols,
        plain=arguments.plain,
        steady=arguments.steady,
    )
    return 0


def _simulator(arguments: argparse.Namespace) -> int:
    from .simulator import Simulator

    verb = "set" if os.name == "nt" else "export"
    with Simulator(port=arguments.port) as server:
        print(f"{verb} ONETRADE_WS_URL={server.ws_url}")
        print(f"{verb} ONETRADE_SESSION_ID={server.session_id}")
        print(f"{verb} ONETRADE_ACCESS_TOKEN={server.access_token}", flush=True)
        # What is never set can be waited for with a limit, on Windows too.
        threading.Event().wait(arguments.duration)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="onetrade-ws",
        description="A client for the OneTrade WebTrader WebSocket API.",
    )
    parser.add_argument("--version", action="version", version=f"onetrade-ws {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="watch a simulated market through the real client",
        description=_DEMO,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    demo.add_argument(
        "--duration",
        type=_seconds,
        default=30.0,
        metavar="S",
        help="seconds until the summary (default: %(default)g); Ctrl-C brings it at any time",
    )
    demo.add_argument(
        "--symbols",
        type=_symbols,
        metavar="LIST",
        help="whose quotes to show, by name or id: EURUSD,XAUUSD (default: all)",
    )
    demo.add_argument("--plain", action="store_true", help="lines instead of the table, on a terminal too")
    demo.add_argument("--steady", action="store_true", help="do not cut the connection")
    simulator = commands.add_parser(
        "simulator",
        help="run a simulated server to try programs against",
        description=_SIMULATOR,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    simulator.add_argument(
        "--port", type=int, default=0, metavar="N", help="port to listen on (default: a free one)"
    )
    simulator.add_argument(
        "--duration",
        type=_seconds,
        default=_LONGEST,
        metavar="S",
        help="seconds until it ends (default: a day)",
    )
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= _LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, above 0 and at most a day")
    return seconds


def _symbols(text: str) -> Tuple[int, ...]:
    from .demo.catalogue import simulated

    try:
        return simulated().choose(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _discard(stream: TextIO) -> None:
    """Let what is written to ``stream`` from now on, and what is still in its buffer, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
