"""The heartbeat: keeps the connection alive."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from typing import Callable, Deque, Optional, Tuple

from ..deadline import Deadline, Flag
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
        #: Seconds that the last beat came late: the program, or the machine, was held up.
        self.late = 0.0
        #: Seconds from a beat to the answer, of the last beat whose answer was waited for.
        self.round_trip: Optional[float] = None
        self._interval = interval
        self._beat = beat
        self._mark = mark
        self._read_up_to = read_up_to
        self._failed = failed
        self._stop = Flag()
        # Guards that no two beats have one number.
        self._lock = threading.Lock()
        self._beats = 0
        #: The number of the last beat that was answered.
        self.answers = 0
        # The beats whose answers are waited for: their numbers, when they went out on the monotonic clock, and their
        # marks. Answers come in the order of the beats. Bounded, as a server may never answer.
        self._awaited: Deque[Tuple[int, float, int]] = deque(maxlen=100)
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
        # One that nobody asked for must not count for a beat to come.
        self.answers = min(self.answers + 1, self._beats)
        while self._awaited and self._awaited[0][0] <= self.answers:
            number, since, mark = self._awaited.popleft()
            if number == self.answers:
                self.round_trip = time.monotonic() - since
                self._read_up_to(mark)

    def _run(self) -> None:
        try:
            # From each beat, not from when it was due: a machine that slept does not beat in a burst.
            while True:
                due = time.monotonic() + self._interval
                if self._stop.wait(self._interval):
                    return
                self.late = max(0.0, time.monotonic() - due)
                self._send_beat()
        except OneTradeError:
            # The connection is gone; the reader sees the same and says why.
            return
        except BaseException as error:
            # A bug of ours. A connection without a heartbeat must not go on.
            self._failed(ConnectionStalledError(f"the heartbeat failed ({type(error).__name__})", 0.0))
            with contextlib.suppress(BaseException):
                logger.exception("the heartbeat thread failed for a reason of its own")

    def note_beat(self) -> None:
        """A beat is about to be written, by whomever."""
        with self._lock:
            self._beats += 1
            self._awaited.append((self._beats, time.monotonic(), self._mark()))

    def beat(self) -> int:
        """Beat out of turn, to see by the answer that the server has read what was written before. Blocks while the
        server takes nothing.

        :returns: the number of this beat, or of one since then
        :raises OneTradeError: when it could not be written
        """
        self._send_beat()
        return self._beats

    def _send_beat(self) -> None:
        self.note_beat()
        self._beat()
