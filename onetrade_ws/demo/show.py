"""The demo from its start to its summary."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Callable, Iterator, List, Optional, Sequence, TextIO

from .. import OneTradeClient, ReconnectPolicy
from ..simulator import Simulator
from .board import Board
from .catalogue import Catalogue, simulated
from .lines import Lines
from .scenario import Scenario
from .tally import Tally

if TYPE_CHECKING:
    from .screen import Screen

_ROUND = 20  # actions of the simulated trader within which everything happens
_SLOWEST = 0.5  # seconds between two of them
_TICK = 0.1  # seconds after which plain lines look at the clock, when nothing comes
_HISTORY = 500  # of the mirror: what is over is not shown


def run(out: TextIO, *, duration: float, symbols: Optional[Sequence[int]], plain: bool, steady: bool) -> None:
    """Run the demo. Blocks for about ``duration`` seconds, or until Ctrl-C.

    :param out: where to
    :param duration: seconds
    :param symbols: ids of the symbols to subscribe to; None: all
    :param plain: lines, even when ``out`` is a terminal
    :param steady: do not cut the connection
    :raises OneTradeError: when the client ended before it was asked to
    :raises BrokenPipeError: when nobody reads ``out`` any more
    """
    catalogue = simulated()
    shown = catalogue.ids if symbols is None else symbols
    lines = Lines(out, catalogue)
    screen = None if plain else _screen(out, catalogue, lines)
    tally = Tally()
    with held_back_log(), Simulator(trading_interval=min(_SLOWEST, duration / 3 / _ROUND)) as simulator:
        client = _client(simulator, duration)
        client.subscribe(None, tally.add)
        for symbol_id in shown:
            client.subscribe_market(symbol_id)
        begin = partial(
            Scenario, simulator, shown, duration=duration, steady=steady, recovered=lambda: tally.gaps > 0
        )
        started = time.monotonic()
        try:
            if screen is None:
                _watch_lines(client, begin, lines)
            else:
                _watch_screen(client, begin, screen, shown)
        except KeyboardInterrupt:
            pass
        seconds = time.monotonic() - started
    for line in tally.summary(client.stats(), seconds):
        lines.write(line)
    if tally.gaps and not steady:
        lines.write("(the demo cut the connection on purpose; --steady leaves it alone)")


def _client(simulator: Simulator, duration: float) -> OneTradeClient:
    # Sooner back than by default: nobody watches a demo to see it wait. Long enough to be seen.
    first_delay = min(0.5, duration / 20)
    return OneTradeClient(
        simulator.ws_url,
        session_id=simulator.session_id,
        access_token=simulator.access_token,
        # It runs in this process, where no proxy of the network can reach it.
        proxy="direct",
        heartbeat_interval=5.0,
        history_limit=_HISTORY,
        reconnect=ReconnectPolicy(initial_delay=first_delay, max_delay=2 * first_delay),
    )


def _screen(out: TextIO, catalogue: Catalogue, lines: Lines) -> Optional[Screen]:
    """A screen on ``out``, where that is a terminal that can show one."""
    if not out.isatty():
        return None
    try:
        from .screen import open_screen
    except ImportError:
        lines.write("For a live table instead of these lines: pip install 'onetrade-ws[cli]'")
        return None
    return open_screen(out, catalogue)


def _watch_lines(client: OneTradeClient, begin: Callable[[], Scenario], lines: Lines) -> None:
    with client.events(timeout=_TICK) as stream:
        with client:
            lines.watch(stream, begin())
        for event in stream:
            lines.add(event)


def _watch_screen(
    client: OneTradeClient, begin: Callable[[], Scenario], screen: Screen, symbols: Sequence[int]
) -> None:
    board = Board(client, symbols)
    client.subscribe(None, board.add)
    with client:
        screen.watch(client, board, begin())


class _Errors(logging.Handler):
    """Keeps what went wrong for later."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: List[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.lines) < 100:
            self.lines.append(self.format(record))


@contextmanager
def held_back_log() -> Iterator[None]:
    """Nothing of the library's log may come between the lines of a table. Warnings are shown as events anyway; errors,
    which there should be none of, follow on stderr."""
    logger, errors = logging.getLogger("onetrade_ws"), _Errors()
    logger.addHandler(errors)
    try:
        yield
    finally:
        logger.removeHandler(errors)
        for line in errors.lines:
            sys.stderr.write(f"{line}\n")
