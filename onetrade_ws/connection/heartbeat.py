"""The heartbeat: keeps the connection alive."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Callable, Optional, Tuple

from ..deadline import Deadline
from ..errors import ConnectionStalledError, OneTradeError

logger = logging.getLogger("onetrade_ws.connection")


class Heartbeat:
    """Beats at once and then at every interval (specification), on a daemon thread of one connection.

    :param interval: seconds between two beats
    :param beat: writes "9"; may block and raise an :exc:`.OneTradeError`
    :param mark: says, before a beat is written, how far writing has come
    :param read_up_to: called with what ``mark`` said, when the answer to that beat arrived: the server has read
        everything that was written before it
    :param failed: called when there will be no more beats, for another reason than a lost connection
    """

    def __init__(
        self,
        *,
        interval: float,
        beat: Callable[[], None],
        mark: Callable[[], int],
        read_up_to: Callable[[int], None],
        failed: Callable[[OneTradeError], None],
    ) -> None:
        #: Seconds from a beat to the answer, of the last beat whose answer was waited for.
        self.round_trip: Optional[float] = None
        self._interval = interval
        self._beat = beat
        self._mark = mark
        self._read_up_to = read_up_to
        self._failed = failed
        self._stop = threading.Event()
        self._beats = 0
        self._answers = 0
        # The beat whose answer is waited for: its number, when it went out on the monotonic clock, and its mark.
        # Answers come in the order of the beats, so that one is enough; the next is chosen when its answer has come.
        self._awaited: Optional[Tuple[int, float, int]] = None
        self._thread = threading.Thread(target=self._run, name="onetrade-ws heartbeat", daemon=True)

    def start(self) -> None:
        """Beat, and start the thread that goes on with it. Blocks while the server takes nothing.

        :raises OneTradeError: when the beat could not be written
        """
        self._send_beat()
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end. Does not block."""
        self._stop.set()

    def join(self) -> None:
        """Wait for the thread's end, when it was started."""
        if self._thread.ident is not None:
            Deadline(None).join(self._thread)

    def answered(self) -> None:
        """The answer to a beat arrived. On the reader thread."""
        self._answers += 1
        if self._awaited is not None:
            number, since, mark = self._awaited
            if number <= self._answers:
                self._awaited = None
                self.round_trip = time.monotonic() - since
                self._read_up_to(mark)

    def _run(self) -> None:
        try:
            # From each beat, not from when it was due: a machine that slept does not beat in a burst.
            while not self._stop.wait(self._interval):
                self._send_beat()
        except OneTradeError:
            # The connection is gone; the reader sees the same and says why.
            return
        except Exception as error:
            # A bug of ours. A connection without a heartbeat must not go on.
            self._failed(ConnectionStalledError(f"the heartbeat failed ({type(error).__name__})", 0.0))
            with contextlib.suppress(Exception):
                logger.exception("the heartbeat thread failed for a reason of its own")

    def _send_beat(self) -> None:
        self._beats += 1
        if self._awaited is None:
            self._awaited = self._beats, time.monotonic(), self._mark()
        self._beat()
