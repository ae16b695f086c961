"""One connection with its heartbeat."""

from __future__ import annotations

import ssl
import threading
import time
from typing import TYPE_CHECKING, Callable, List, Optional, Sequence

import attrs

from ..config import Settings
from ..deadline import Deadline
from ..errors import ConnectionLostError, OneTradeError, SessionLoggedOutError
from ..protocol.codec import is_logout_of
from ..protocol.frames import HEARTBEAT, Frame
from .credentials import Credentials
from .heartbeat import Heartbeat
from .outgoing import OutgoingQueue
from .stream import Stream
from .transport import NORMAL_CLOSURE, Transport

if TYPE_CHECKING:
    from .proxy import Tunnel

#: Takes a batch of frames. It may block until the second argument, a question that is asked again after a wake-up, is
#: answered with yes; without a question it may not block.
Deliver = Callable[[Sequence[Frame], Optional[Callable[[], bool]]], None]


@attrs.frozen
class Ending:
    """How a connection ended, or why it could not be made.

    :ivar lasted: seconds from when what is wanted had been restored; None when it never was
    :ivar last_received_at: when the last bytes came, seconds since the epoch
    """

    error: OneTradeError
    lasted: Optional[float] = None
    last_received_at: float = 0.0


class Link:
    """One connection, used once: ``run()`` on the reader thread, ``close()`` on any other.

    :param on_open: called on the heartbeat thread when what is wanted has been restored; frames are delivered after
        it has returned
    :param deliver: takes each batch of frames, on the reader thread but for the first ones
    :param wake: wakes a ``deliver`` that blocks
    """

    def __init__(
        self,
        settings: Settings,
        credentials: Credentials,
        outgoing: OutgoingQueue,
        tunnel: Optional[Tunnel],
        *,
        on_open: Callable[[], None],
        deliver: Deliver,
        wake: Callable[[], None],
    ) -> None:
        self._credentials = credentials
        self._outgoing = outgoing
        self._on_open = on_open
        self._deliver = deliver
        self._delivering = False
        # Guards the next three, and that frames are delivered in their order, by whichever thread. Held while the
        # consumer makes the reader wait, which only happens when no other thread has anything to deliver any more.
        self._delivery_lock = threading.Lock()
        self._restored = False
        self._held: List[Frame] = []
        self._held_bytes = 0
        self._held_limit = settings.queue_limit
        self._logged_out = False
        self._opened_at: Optional[float] = None
        self._ended = threading.Event()
        self._stream = Stream(settings.host, settings.heartbeat_timeout, tunnel)
        # Who is held up by a slow consumer learns at once that there is nothing more to read.
        self._stream.on_failure = wake
        self._heartbeat = Heartbeat(
            interval=settings.heartbeat_interval,
            timeout=settings.heartbeat_timeout,
            beat=lambda: self._transport.send(HEARTBEAT),
            restore=self._restore,
            flush=outgoing.flush,
            silence=self._silence,
            stalled=self._stream.abort,
        )
        self._transport = Transport(
            settings.url,
            settings.host,
            self._stream,
            on_open=self._heartbeat.start,
            on_frames=self._received,
            on_heartbeat_reply=self._heartbeat.answered,
        )

    @property
    def accepted(self) -> bool:
        """Whether the server accepted the handshake: from then on it holds the session for this connection."""
        return self._transport.opened

    @property
    def bytes_received(self) -> int:
        """Bytes that came over this connection, TLS taken off."""
        return self._stream.bytes_received

    @property
    def heartbeat_round_trip(self) -> Optional[float]:
        """Seconds from the last answered beat to its answer."""
        return self._heartbeat.round_trip

    def run(self, context: Optional[ssl.SSLContext], deadline: Deadline) -> Ending:
        """Connect, and stay connected: blocks until the end.

        :param deadline: for TCP, TLS and handshake together
        """
        try:
            error = self._transport.run(self._credentials, context, deadline)
        finally:
            if self._transport.opened:
                self._heartbeat.stop()
                self._heartbeat.join(Deadline(None))
            # After the heartbeat, which attaches it.
            self._outgoing.detach(self._transport.send)
            self._deliver_held()
            self._ended.set()
        if self._logged_out:
            error = SessionLoggedOutError()
        lasted = None if self._opened_at is None else time.monotonic() - self._opened_at
        return Ending(error, lasted, self._stream.received_at)

    def close(self, deadline: Deadline) -> None:
        """End it: with a closing handshake as far as the server plays along until ``deadline``, then without."""
        remaining = deadline.remaining() or 0.0
        if self._transport.opened and self._transport.close(NORMAL_CLOSURE, remaining):
            self._ended.wait(deadline.remaining())
        self._stream.abort(ConnectionLostError("disconnect() was called"))

    # -- on the reader thread -------------------------------------------------------------------------------

    def _received(self, frames: List[Frame]) -> None:
        if any(is_logout_of(self._credentials.session_id, frame) for frame in frames):
            # At once, however long the consumer takes: nothing more is sent in this session's name.
            self._logged_out = True
            self._transport.close(NORMAL_CLOSURE, timeout=0.1)
            self._stream.abort(SessionLoggedOutError())
        self._delivering = True
        self._deliver_or_hold(frames)
        # While it was held up nothing was read, so that silence proves nothing.
        self._stream.touch()
        self._delivering = False

    def _deliver_or_hold(self, frames: List[Frame]) -> None:
        # What comes before the restoring is done is read, or a server that answers each message before it reads the
        # next would be stuck. It is delivered after what is said of the opening.
        with self._delivery_lock:
            if self._restored:
                self._deliver(frames, lambda: self._stream.failed)
                return
            self._held += frames
            self._held_bytes += sum(len(frame.payload) for frame in frames)
            full = self._held_bytes > self._held_limit
        if full:
            self._heartbeat.restored.wait()

    def _deliver_held(self) -> None:
        # On the heartbeat thread after the opening, or on the reader thread when it never came to that.
        with self._delivery_lock:
            held, self._held = self._held, []
            self._restored = True
            if held:
                # Without waiting for the consumer: the heartbeat has more to do.
                self._deliver(held, None)

    # -- on the heartbeat thread ----------------------------------------------------------------------------

    def _restore(self) -> None:
        self._outgoing.attach(self._transport.send)
        self._opened_at = time.monotonic()
        self._on_open()
        self._deliver_held()

    def _silence(self) -> float:
        return 0.0 if self._delivering else time.monotonic() - self._stream.last_received
