"""The watchdog: notices when the other side gives no sign of life."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Callable

from ..deadline import Deadline, Flag
from ..errors import ConnectionStalledError, OneTradeError

logger = logging.getLogger("onetrade_ws.connection")


class Watchdog:
    """A daemon thread of one connection that neither reads nor writes, so that no peer can hold it up: it looks at
    the clock.

    What can is the program, or the machine: foreign code that keeps Python's other threads from running, or a stop
    signal. That is no silence of the server's, who was neither asked nor listened to: what it takes is given back.

    :param interval: seconds between two heartbeats
    :param timeout: seconds that the answer to one may take; after a silence of both together the connection is given
        up
    :param silence: seconds since the last sign of life, whatever it was, less those that a beat came late
    :param quotes: looks whether quotes have stopped coming, and says in how many seconds to look again
    :param stalled: called when the silence has lasted too long; the thread then ends. Must tear the connection down so
        that whoever reads or writes returns
    """

    def __init__(
        self,
        *,
        interval: float,
        timeout: float,
        silence: Callable[[], float],
        quotes: Callable[[], float],
        stalled: Callable[[OneTradeError], None],
    ) -> None:
        self._patience = interval + timeout
        self._timeout = timeout
        self._silence = silence
        self._quotes = quotes
        self._stalled = stalled
        self._stop = Flag()
        self._thread = threading.Thread(target=self._run, name="onetrade-ws watchdog", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end. Does not block."""
        self._stop.set()

    def join(self) -> None:
        """Wait for the thread's end, when it was started."""
        if self._thread.ident is not None:
            Deadline(None).join(self._thread)

    def _run(self) -> None:
        try:
            not_before = 0.0
            while True:
                now = time.monotonic()
                left = max(self._patience - self._silence(), not_before - now)
                if left <= 0:
                    self._stalled(ConnectionStalledError("the server gave no sign of life", self._patience))
                    return
                # Twice in a silence, and not more often, for an idle program is not to be woken: a hold-up from which
                # nobody has had the time to read the answer yet shows as coming late.
                last_stretch = self._timeout / 2
                pause = min(left - last_stretch if left > last_stretch else left, self._quotes())
                if self._stop.wait(pause):
                    return
                woken = time.monotonic()
                late = woken - now - pause
                # Every thread is woken a little late.
                if late > self._timeout / 10:
                    not_before = woken + min(late, self._timeout)
        except BaseException as error:
            # A bug of ours. A connection that nobody watches must not go on.
            self._stalled(ConnectionStalledError(f"the watchdog failed ({type(error).__name__})", 0.0))
            with contextlib.suppress(BaseException):
                logger.exception("the watchdog thread failed for a reason of its own")
