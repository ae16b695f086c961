"""One connection with its heartbeat and its watchdog."""

from __future__ import annotations

import contextlib
import logging
import ssl
import threading
import time
from typing import TYPE_CHECKING, Callable, List, NamedTuple, Optional, Sequence

import attrs

from ..config import Settings
from ..deadline import Condition, Deadline, Flag
from ..errors import (
    ConnectionLostError,
    ConnectionStalledError,
    NetworkError,
    OneTradeError,
    SessionLoggedOutError,
)
from ..protocol.codec import holds_logout_of
from ..protocol.frames import HEARTBEAT, Batch, CloseCode, Opcode
from ..protocol.records import holds_quotes
from ..protocol.snapshot import Snapshot
from .credentials import Credentials
from .freshness import Freshness
from .heartbeat import Heartbeat
from .outgoing import OutgoingQueue
from .stream import Stream
from .trader import Trader
from .transport import Transport
from .watchdog import Watchdog

if TYPE_CHECKING:
    from .proxy import Tunnel

logger = logging.getLogger("onetrade_ws.connection")

#: Takes batches of messages. It may block until the second argument, a question that is asked again after a wake-up, is
#: answered with yes; without a question it may not block.
Deliver = Callable[[Sequence[Batch], Optional[Callable[[], bool]]], None]


# Seconds that loading the account may take.
_LOADING = 120.0


class Loading(NamedTuple):
    """How the account is loaded over HTTP beside a connection: ``run`` on a thread of its own, given what fetches and
    what says that the connection is over; ``wake`` lets it look; ``again`` has it loaded once more, and does not block.
    See :class:`.Synchronizer`."""

    run: Callable[[Callable[[], Snapshot], Flag], None]
    wake: Callable[[], None]
    again: Callable[[], None]
    trader: Trader


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

    What is wanted is restored, and what waits is sent, on a thread that ends after it: the reader must be free to read
    meanwhile, for a server that waits for its reader takes nothing, and the heartbeat to beat.

    :param on_open: called on that thread when what is wanted has been restored; messages are delivered after it has
        returned
    :param deliver: takes batches of messages, on the reader thread but for the first ones
    :param wake: wakes a ``deliver`` that blocks
    :param loading: what loads the account, once what is wanted has been restored; None: nothing does
    """

    def __init__(
        self,
        settings: Settings,
        credentials: Credentials,
        outgoing: OutgoingQueue,
        freshness: Freshness,
        tunnel: Optional[Tunnel],
        *,
        on_open: Callable[[], None],
        deliver: Deliver,
        wake: Callable[[], None],
        loading: Optional[Loading] = None,
    ) -> None:
        self._credentials = credentials
        self._outgoing = outgoing
        self._freshness = freshness
        self._on_open = on_open
        self._deliver = deliver
        self._delivering = False
        # Guards the next three, and that batches are delivered in their order, by whichever thread. Held while the
        # consumer makes the reader wait, which only happens when no other thread has anything to deliver any more.
        self._delivery_lock = threading.Lock()
        self._restored = False
        self._held: List[Batch] = []
        self._held_bytes = 0
        self._held_limit = settings.queue_limit
        self._logged_out = False
        # Whether close() was called, and how much has come since then.
        self._leaving = False
        self._bytes_after = 0
        self._opened_at: Optional[float] = None
        self._restored_or_lost = Flag()
        self._ended = Flag()
        patience = settings.heartbeat_interval + settings.heartbeat_timeout
        self._stream = Stream(settings.host, settings.heartbeat_timeout, tunnel, patience=patience)
        # Who is held up by a slow consumer learns at once that there is nothing more to read.
        self._stream.on_failure = wake
        self._heartbeat = Heartbeat(
            interval=settings.heartbeat_interval,
            beat=lambda: self._transport.send(HEARTBEAT),
            mark=lambda: outgoing.mark(self._transport.send),
            read_up_to=self._server_has_read,
            failed=self._stream.abort,
        )
        self._transport = Transport(
            settings,
            self._stream,
            on_open=self._start,
            on_batches=self._received,
            on_heartbeat_reply=self._answered,
        )
        self._watchdog = Watchdog(
            interval=settings.heartbeat_interval,
            timeout=settings.heartbeat_timeout,
            silence=self._silence,
            quotes=freshness.look,
            stalled=self._stream.abort,
        )
        self._opening = threading.Thread(target=self._open, name="onetrade-ws opening", daemon=True)
        self._loading = loading
        # The beat whose answer shows that the server has read what is wanted, and how often that had changed before.
        self._asked = 0
        self._asked_after = -1
        self._confirmation = settings.heartbeat_timeout
        self._host = settings.host
        self._over = Flag()
        # Guards the next one. Waited on for answers, and for the end.
        self._news = Condition()
        # Whether loading has begun without that answer.
        self._unconfirmed = False
        self._loader = threading.Thread(target=self._load, name="onetrade-ws loading", daemon=True)

    @property
    def accepted(self) -> bool:
        """Whether the server accepted the handshake: from then on it holds the session for this connection."""
        return self._transport.opened

    @property
    def bytes_received(self) -> int:
        """Bytes that came over this connection, TLS taken off."""
        return self._stream.buffer.bytes_received

    @property
    def heartbeat_round_trip(self) -> Optional[float]:
        """Seconds from the last answered beat to its answer."""
        return self._heartbeat.round_trip

    def run(self, context: Optional[ssl.SSLContext], deadline: Deadline) -> Ending:
        """Connect, and stay connected: blocks until the end.

        :param deadline: for TCP, TLS and handshake together
        """
        error: OneTradeError = ConnectionLostError("reading it failed")
        try:
            error = self._transport.run(self._credentials, context, deadline)
            if self._logged_out:
                error = SessionLoggedOutError()
        finally:
            self._watchdog.stop()
            self._heartbeat.stop()
            if self._opening.ident is not None:
                # It starts the heartbeat, and attaches the queue.
                Deadline(None).join(self._opening)
            self._end_loading(error)
            if self._loader.ident is not None:
                Deadline(None).join(self._loader)
            self._heartbeat.join()
            self._watchdog.join()
            self._outgoing.detach(self._transport.send)
            self._deliver_held()
            self._ended.set()
        lasted = None if self._opened_at is None else time.monotonic() - self._opened_at
        return Ending(error, lasted, self._stream.buffer.received_at)

    def close(self, deadline: Deadline) -> None:
        """End it: with a closing handshake as far as the server plays along until ``deadline``, then without."""
        remaining = deadline.remaining() or 0.0
        self._leaving = True
        self._end_loading(ConnectionLostError("disconnect() was called"))
        self._heartbeat.stop()
        last = ""
        if self._outgoing.is_in_doubt:
            # Its answer shows that the server has read everything before. A close frame shows nothing: the server's own
            # may be on its way already, and looks like an answer.
            self._heartbeat.note_beat()
            last = HEARTBEAT
        if self._transport.opened and self._transport.close(CloseCode.NORMAL_CLOSURE, remaining, last=last):
            self._ended.wait(deadline.remaining())
        self._stream.abort(ConnectionLostError("disconnect() was called"))

    # -- on the reader thread -------------------------------------------------------------------------------

    def _start(self) -> None:
        self._watchdog.start()
        self._opening.start()

    def _answered(self) -> None:
        self._heartbeat.answered()
        with self._news:
            late = self._unconfirmed and self._heartbeat.answers >= self._asked
            if late:
                self._unconfirmed = False
            self._news.notify_all()
        if late and self._loading is not None:
            # It was slow, and not silent: what happened before it had read what is wanted may not have been loaded.
            self._loading.again()

    def _server_has_read(self, mark: int) -> None:
        self._outgoing.read_up_to(mark, self._transport.send)

    def _received(self, batches: List[Batch]) -> None:
        for batch in batches:
            if holds_logout_of(self._credentials.session_id, batch):
                # At once, however long the consumer takes: nothing more is sent in this session's name.
                self._logged_out = True
                self._transport.close(CloseCode.NORMAL_CLOSURE, timeout=0.1)
                self._stream.abort(SessionLoggedOutError())
                break
        if self._leaving:
            # Nothing holds the server back any more; one that floods us is not waited for.
            self._bytes_after += _bytes_in(batches)
            if self._bytes_after > self._held_limit:
                self._stream.abort(ConnectionLostError("disconnect() was called"))
        self._delivering = True
        self._deliver_or_hold(batches)
        # While it was held up nothing was read, so that silence proves nothing.
        self._stream.touch()
        self._delivering = False

    def _deliver_or_hold(self, batches: List[Batch]) -> None:
        # What comes before the restoring is done is read, or a server that answers each message before it reads the
        # next would be stuck. It is delivered after what is said of the opening.
        with self._delivery_lock:
            if self._restored:
                self._hand_over(batches, lambda: self._stream.failed)
                return
            self._held += batches
            self._held_bytes += _bytes_in(batches)
            full = self._held_bytes > self._held_limit
        if full:
            self._restored_or_lost.wait()

    def _deliver_held(self) -> None:
        # On the opening thread, or on the reader thread when it never came to that.
        with self._delivery_lock:
            held, self._held = self._held, []
            self._restored = True
            if held:
                # Without waiting for the consumer: there is more to do.
                self._hand_over(held, None)

    def _hand_over(self, batches: Sequence[Batch], give_up: Optional[Callable[[], bool]]) -> None:
        if _hold_quotes(batches):
            self._freshness.quotes_came()
        self._deliver(batches, give_up)

    # -- on the opening thread ------------------------------------------------------------------------------

    def _open(self) -> None:
        try:
            try:
                # The documented flow: the heartbeat, and then what is wanted.
                self._heartbeat.start()
                self._outgoing.attach(self._transport.send, self._stream.abort)
                self._opened_at = time.monotonic()
                self._on_open()
                self._deliver_held()
            finally:
                self._restored_or_lost.set()
            self._outgoing.flush()
            if self._loading is not None and not self._over.is_set():
                self._loader.start()
        except OneTradeError:
            # The connection is gone; the reader sees the same and says why.
            return
        except BaseException as error:
            # There is no memory for another thread, or a bug of ours.
            self._stream.abort(ConnectionStalledError(f"opening it failed ({type(error).__name__})", 0.0))
            with contextlib.suppress(BaseException):
                logger.exception("opening the connection failed for a reason of its own")

    # -- loading the account --------------------------------------------------------------------------------

    def _load(self) -> None:
        assert self._loading is not None
        self._loading.run(self._fetch, self._over)

    def _fetch(self) -> Snapshot:
        assert self._loading is not None
        # What happens before the server tells of changes must be in the snapshot. So it must have read that it is asked
        # to, which its answer to a later heartbeat shows. No answer to an earlier one will do. But one to any later one
        # will: answers have no numbers, and a server that has left a beat unanswered never seems to answer the newest.
        changes, heartbeat = self._outgoing.account_changes, self._heartbeat
        if self._asked_after != changes or heartbeat.answers < self._asked:
            number = heartbeat.beat()
            if self._asked_after != changes:
                self._asked, self._asked_after = number, changes
            deadline = Deadline(self._confirmation)
            with self._news:
                in_time = deadline.wait_for(
                    self._news, lambda: self._over.is_set() or heartbeat.answers >= self._asked
                )
                # One that answers no heartbeat at all shows nothing, and must do, until it answers one after all.
                self._unconfirmed = not in_time and not heartbeat.answers
            if not in_time and not self._unconfirmed:
                raise NetworkError("snapshot", self._host, "the server has not answered a heartbeat in time")
        return self._loading.trader.snapshot(Deadline(_LOADING))

    def _end_loading(self, error: OneTradeError) -> None:
        # On any thread, any number of times. Does not block.
        self._over.set()
        with self._news:
            self._news.notify_all()
        if self._loading is not None:
            self._loading.trader.abort(error)
            self._loading.wake()

    # -- on the watchdog thread -----------------------------------------------------------------------------

    def _silence(self) -> float:
        if self._delivering:
            self._freshness.held_up()
            return 0.0
        return time.monotonic() - self._stream.last_received - self._heartbeat.late


def _hold_quotes(batches: Sequence[Batch]) -> bool:
    for batch in batches:
        if batch.opcode == Opcode.BINARY:
            for payload in batch.payloads:
                if holds_quotes(payload):
                    return True
    return False


def _bytes_in(batches: Sequence[Batch]) -> int:
    return sum(sum(map(len, batch.payloads)) for batch in batches)
