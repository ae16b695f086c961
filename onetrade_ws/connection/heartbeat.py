"""The heartbeat: keeps the connection alive, and notices when the other side is not."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Callable, Optional

from ..deadline import Deadline
from ..errors import ConnectionStalledError, OneTradeError

logger = logging.getLogger("onetrade_ws.connection")


class Heartbeat:
    """A daemon thread for one connection. Beats at once and then at every interval (specification), and says so
    when there was no sign of life for an interval and a timeout.

    Between the first beat and the second it does what the documented flow asks for next. That is writing, and the
    reader thread must be free to read meanwhile: a server that waits for its reader takes nothing.

    :param interval: seconds between two beats
    :param timeout: seconds that the answer to a beat may take
    :param beat: writes "9"; may block and raise an :exc:`.OneTradeError`
    :param restore: called once, after the first beat: asks again for what is wanted
    :param flush: called once, after that: sends what was queued
    :param silence: seconds since the last sign of life, whatever it was
    :param stalled: called when the silence has lasted too long; the thread then ends
    """

    def __init__(
        self,
        *,
        interval: float,
        timeout: float,
        beat: Callable[[], None],
        restore: Callable[[], None],
        flush: Callable[[], None],
        silence: Callable[[], float],
        stalled: Callable[[ConnectionStalledError], None],
    ) -> None:
        #: Set when what is wanted has been restored, or could not be.
        self.restored = threading.Event()
        #: Seconds from a beat to the answer, of the last beat that was answered.
        self.round_trip: Optional[float] = None
        self._interval = interval
        self._patience = interval + timeout
        self._beat = beat
        self._restore = restore
        self._flush = flush
        self._silence = silence
        self._stalled = stalled
        self._stop = threading.Event()
        # When the last beat went out that was not answered yet, on the monotonic clock.
        self._unanswered_since: Optional[float] = None
        self._thread = threading.Thread(target=self._run, name="onetrade-ws heartbeat", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end. Does not block."""
        self._stop.set()

    def join(self, deadline: Deadline) -> bool:
        """Wait for the thread's end.

        :returns: whether it has ended
        """
        return deadline.join(self._thread)

    def answered(self) -> None:
        """The answer to a beat arrived. On the reader thread."""
        since = self._unanswered_since
        if since is not None:
            self._unanswered_since = None
            self.round_trip = time.monotonic() - since

    def _run(self) -> None:
        try:
            next_beat = time.monotonic() + self._interval
            try:
                self._send_beat()
                self._restore()
            finally:
                self.restored.set()
            self._flush()
            while True:
                patience = self._patience - self._silence()
                if patience <= 0:
                    self._stalled(ConnectionStalledError("the server gave no sign of life", self._patience))
                    return
                if self._stop.wait(max(0.0, min(patience, next_beat - time.monotonic()))):
                    return
                if time.monotonic() >= next_beat:
                    # From now, not from when it was due: a machine that slept does not beat in a burst.
                    next_beat = time.monotonic() + self._interval
                    self._send_beat()
        except OneTradeError:
            # The connection is gone; the reader sees the same and says why.
            return
        except Exception as error:
            # A log handler of the program's, or a bug of ours. A connection without a heartbeat must not go on.
            self._stalled(ConnectionStalledError(f"the heartbeat failed ({type(error).__name__})", 0.0))
            with contextlib.suppress(Exception):
                logger.exception("the heartbeat thread failed for a reason of its own")

    def _send_beat(self) -> None:
        if self._unanswered_since is None:
            self._unanswered_since = time.monotonic()
        self._beat()
