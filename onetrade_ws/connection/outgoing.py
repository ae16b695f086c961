"""The outgoing queue: first in, first out, across connections, and what became of each message."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from enum import Enum, unique
from typing import Any, Callable, Deque, Optional, Sequence
from weakref import WeakValueDictionary

from ..deadline import Condition, Deadline
from ..errors import ConnectionLostError, OneTradeError, QueueFullError
from ..protocol.enums import EventMessageType
from ..protocol.outgoing import encode
from .stream import TornFrameError
from .subscriptions import ACCOUNT_TYPES, SUBSCRIPTION_TYPES, Subscriptions

logger = logging.getLogger("onetrade_ws.connection")

Write = Callable[[str], None]

# So many connections may break in the middle of one message.
_TORN_AT_MOST = 5


@unique
class MessageStatus(Enum):
    """What is known of a message that was given to ``send()``."""

    #: It was not written whole: the server cannot have acted on it. It waits for a connection, unless it was cancelled,
    #: or given up because five connections broke in the middle of it.
    NOT_SENT = "not sent"
    #: It was written whole.
    WRITTEN = "written"
    #: It was written whole, and the connection was lost before the server showed that it had read so far: it may have
    #: the message or not. The same when Ctrl-C interrupted the writing. It is not sent again.
    UNKNOWN = "unknown"


class OutgoingMessage:
    """A message that was given to ``send()``, and what becomes of it. Its attributes can be read on any thread.

    The protocol has no receipts. But the server reads in order, so that its answer to a heartbeat shows that it has
    read what was written before that: from then on ``WRITTEN`` is the last word, and :attr:`confirmed` is true. After a
    loss before that it is ``UNKNOWN``.
    """

    __slots__ = (
        "__weakref__",
        "_cancelled",
        "_confirmed",
        "_queue",
        "_status",
        "_text",
        "_torn",
        "_waits",
        "event_type",
    )

    def __init__(self, event_type: str, text: str, queue: OutgoingQueue) -> None:
        #: The message's type, as given to ``send()``.
        self.event_type = event_type
        self._text = text
        self._queue = queue
        self._status = MessageStatus.NOT_SENT
        self._waits = False
        self._cancelled = False
        self._confirmed = False
        # How many connections broke in the middle of it.
        self._torn = 0

    @property
    def status(self) -> MessageStatus:
        """What is known of it now."""
        return self._status

    @property
    def confirmed(self) -> bool:
        """Whether the server has shown, by the answer to a later heartbeat, that it has read the message. It says
        nothing of what the server made of it."""
        return self._confirmed

    def wait(self, timeout: Optional[float] = None, *, confirmed: bool = False) -> MessageStatus:
        """Block until it was written, or never will be as things stand: it was cancelled, the client is closed, or it
        is one of the four subscription messages, which do not wait: what they want is remembered, and restored.

        :param timeout: seconds; None: as long as it takes
        :param confirmed: wait until the status is final: ``WRITTEN`` and :attr:`confirmed`, or ``UNKNOWN``; by default
            that takes up to ``heartbeat_interval`` seconds
        :returns: the status then
        """
        return self._queue.wait(self, confirmed, Deadline(timeout))

    def cancel(self) -> bool:
        """Take it out of the queue. Blocks while a message is being written, at most ``heartbeat_timeout`` seconds.

        :returns: True: it will never be sent. False: it waits no more, or never did: it was written, is in doubt, was
            given up, or is one of the four subscription messages
        """
        return self._queue.cancel(self)

    def __repr__(self) -> str:
        return f"<OutgoingMessage {str(self.event_type)!r} {self._status.value}>"


class OutgoingQueue:
    """What is to be sent, in order, and what is wanted again on each new connection.

    While attached to a connection, a message goes out on the thread that sends it, after everything that was
    queued before it. While detached, it waits. A message leaves the queue when it has been written whole; one
    that could not be written whole cannot have been acted upon, and goes out first on the next connection; but not
    for ever, as a server may hang up over just this message.

    :param limit: how many messages may wait
    :param on_symbols: called with the symbols that are subscribed to, when they have changed; must not block
    :param on_account: called with whether account updates are wanted, when that has changed and the message is on its
        way; must not block
    """

    def __init__(
        self,
        subscriptions: Subscriptions,
        limit: int,
        on_symbols: Callable[[Sequence[int]], None],
        on_account: Callable[[bool], None],
    ) -> None:
        self.written = 0
        #: Messages that a loss has left in doubt.
        self.unknown = 0
        #: How often account updates were started or stopped: counted when the message is on its way.
        self.account_changes = 0
        # Serialises what follows, writing included, so that the order on the wire is the order of the queue. Held while
        # a message is written, which ends within the stream's write timeout.
        self._lock = threading.Lock()
        self._subscriptions = subscriptions
        self._limit = limit
        self._on_symbols = on_symbols
        self._on_account = on_account
        self._queue: Deque[OutgoingMessage] = deque()
        self._write: Optional[Write] = None
        self._given_up: Deque[OutgoingMessage] = deque()
        # Guards the statuses and what follows; taken inside the other lock, never around it. Waited on for statuses.
        self._changed = Condition()
        # The connection that the next four are of: until it is detached, though writing may have failed before.
        self._attached: Optional[Write] = None
        self._abort: Optional[Callable[[OneTradeError], None]] = None
        # How many messages were written over this connection, and how many of them the server has read for sure.
        self._written_here = 0
        self._read_here = 0
        # Those whose fate somebody may ask for, by their number on this connection.
        self._in_doubt: WeakValueDictionary[int, OutgoingMessage] = WeakValueDictionary()
        # Whether there is a connection, or one is being made.
        self._alive = False
        # Whether Ctrl-C has interrupted send(), and nothing has been restored since then. Guarded by the first lock.
        self._interrupted = False

    def __len__(self) -> int:
        return len(self._queue)

    def send(self, event_type: str, data: Any = None) -> OutgoingMessage:
        """Send a message, or queue it while detached. On any thread.

        One that changes what is wanted is remembered instead of queued: attaching restores it. One that changes
        nothing is not sent.

        :raises EncodeError: when it is not JSON, or no symbol id; nothing is queued
        :raises QueueFullError: when too many wait already; nothing is queued
        """
        message = OutgoingMessage(event_type, encode(event_type, data), self)
        with self._lock:
            try:
                self._send(message, data)
            except OneTradeError:
                raise
            except BaseException:
                # Ctrl-C. Nobody knows how far it came, so the connection goes; the next one restores what is wanted.
                self._interrupted = True
                if message in self._queue:
                    # Who sends it again must not send it twice.
                    self._queue.remove(message)
                if self._abort is not None:
                    self._abort(ConnectionLostError("a write was interrupted"))
                raise
        self._log_given_up()
        return message

    def _send(self, message: OutgoingMessage, data: Any) -> None:
        # Requires holding _lock.
        if message.event_type in SUBSCRIPTION_TYPES:
            self._send_subscription(message, EventMessageType(message.event_type), data)
        else:
            if len(self._queue) >= self._limit:
                # The connection may have been open for a moment, with its opening thread about to do this.
                self._flush()
            if len(self._queue) >= self._limit:
                raise QueueFullError(self._limit)
            message._waits = True
            self._queue.append(message)
            self._flush()

    def _send_subscription(self, message: OutgoingMessage, event_type: EventMessageType, data: Any) -> None:
        # Requires holding _lock.
        if self._subscriptions.change(event_type, data):
            self._on_symbols(self._subscriptions.symbol_ids)
            self._flush()
            if self._write_or_detach(message):
                self._note_written(message)
            if event_type in ACCOUNT_TYPES:
                self._note_account_change()

    def _note_account_change(self) -> None:
        # Requires holding _lock.
        self.account_changes += 1
        self._on_account(self.wants_account)

    def cancel(self, message: OutgoingMessage) -> bool:
        """Take a message out of the queue.

        :returns: whether it was in it
        """
        with self._lock:
            if message in self._queue:
                # In this order: where Ctrl-C comes between, nobody waits in vain, and it is not sent.
                with self._changed:
                    self._changed.notify_all()
                    message._cancelled, message._waits = True, False
                self._queue.remove(message)
            return message._cancelled

    def wait(self, message: OutgoingMessage, confirmed: bool, deadline: Deadline) -> MessageStatus:
        """Block until a message was written, or its status is final, or there is nothing to wait for."""

        def is_over() -> bool:
            if confirmed and message._status is MessageStatus.WRITTEN and self._alive:
                return message._confirmed
            return not (message._waits and self._alive)

        with self._changed:
            deadline.wait_for(self._changed, is_over)
            return message._status

    # -- the connection's side ------------------------------------------------------------------------------

    def begin(self) -> None:
        """A life begins: what waits may be sent."""
        with self._changed:
            self._alive = True

    def end(self) -> None:
        """A life has ended: nobody needs to wait any more."""
        with self._changed:
            self._alive = False
            self._changed.notify_all()

    def attach(self, write: Write, abort: Callable[[OneTradeError], None]) -> None:
        """Restore what is wanted over a new connection, and from now on send over it.

        :param write: writes a message whole, or raises an :exc:`.OneTradeError`
        :param abort: ends that connection; must not block
        :raises OneTradeError: when the connection is lost meanwhile; the queue is then detached
        """
        with self._lock:
            # Of a connection whose thread could not be waited for.
            self._settle()
            self._attached, self._abort = write, abort
            for event_type, data in self._subscriptions.messages():
                write(encode(event_type, data))
                self.written += 1
            if self._interrupted:
                # Of what had been changed then, somebody may not have been told.
                self._interrupted = False
                self._on_symbols(self._subscriptions.symbol_ids)
                self._note_account_change()
            self._write = write

    def flush(self) -> None:
        """Send what waits. Blocks while the server takes nothing."""
        with self._lock:
            self._flush()
        self._log_given_up()

    @property
    def wants_account(self) -> bool:
        """Whether account updates are wanted."""
        return self._subscriptions.account_updates

    @property
    def is_in_doubt(self) -> bool:
        """Whether something was written that the server has not read for sure."""
        return self._written_here > self._read_here

    def mark(self, write: Write) -> int:
        """How far writing has come on a connection: for :meth:`read_up_to`.

        :param write: what that connection is attached with, or is going to be
        """
        return self._written_here if self._attached == write else 0

    def read_up_to(self, mark: int, write: Write) -> None:
        """The server has read everything that was written before ``mark`` was taken. On any thread; does not block.

        :param write: what that connection was attached with
        """
        with self._changed:
            if self._attached != write:
                return
            for number in range(self._read_here + 1, mark + 1):
                message = self._in_doubt.pop(number, None)
                if message is not None:
                    message._confirmed = True
            self._changed.notify_all()
            self._read_here = max(self._read_here, min(mark, self._written_here))

    def detach(self, write: Write) -> None:
        """A connection is gone: what is sent from now on waits, unless another one is attached already. What was
        written and not read for sure is unknown.

        :param write: what that connection was attached with
        """
        with self._lock:
            if self._attached != write:
                return
            self._write = self._attached = self._abort = None
            doubtful = self._settle()
        if doubtful:
            # A log handler of the program's that raises must not cost the thread.
            with contextlib.suppress(BaseException):
                logger.warning(
                    "the connection ended with messages on their way (%d): the server may have them or not",
                    doubtful,
                )

    def _settle(self) -> int:
        """What was written and not read for sure is unknown.

        :returns: how many messages that are
        """
        with self._changed:
            doubtful = self._written_here - self._read_here
            self.unknown += doubtful
            for message in list(self._in_doubt.values()):
                message._status = MessageStatus.UNKNOWN
            self._in_doubt.clear()
            self._changed.notify_all()
            self._written_here = self._read_here = 0
        return doubtful

    def _flush(self) -> None:
        # Requires holding _lock.
        while self._queue and self._write is not None:
            message, written_before = self._queue[0], self._written_here
            try:
                self._queue.popleft()
                if not message._cancelled:
                    self._send_first(message)
            except BaseException:
                # Ctrl-C: nobody knows how much of it has gone.
                if message not in self._queue and message._waits:
                    if self._written_here == written_before:
                        self.unknown += 1
                    self._settle_as(message, MessageStatus.UNKNOWN)
                raise

    def _send_first(self, message: OutgoingMessage) -> None:
        # Requires holding _lock.
        if self._write_or_detach(message):
            self._note_written(message)
        elif message._torn < _TORN_AT_MOST:
            self._queue.appendleft(message)
        else:
            # Most likely the server hangs up over it: those behind it would never get through.
            self._settle_as(message, MessageStatus.NOT_SENT)
            self._given_up.append(message)

    def _write_or_detach(self, message: OutgoingMessage) -> bool:
        # Requires holding _lock.
        if self._write is None:
            return False
        try:
            self._write(message._text)
        except OneTradeError as error:
            # The reader sees the same loss and says why. A subscription needs no second try: it is remembered.
            self._write = None
            message._torn += isinstance(error, TornFrameError)
            return False
        return True

    def _note_written(self, message: OutgoingMessage) -> None:
        # Requires holding _lock.
        self.written += 1
        with self._changed:
            self._written_here += 1
            self._in_doubt[self._written_here] = message
        self._settle_as(message, MessageStatus.WRITTEN)

    def _settle_as(self, message: OutgoingMessage, status: MessageStatus) -> None:
        with self._changed:
            # In this order: where Ctrl-C comes between, nobody waits in vain.
            self._changed.notify_all()
            message._status, message._waits = status, False

    def _log_given_up(self) -> None:
        # Not under _lock: a log handler of the program's may send.
        while self._given_up:
            message = self._given_up.popleft()
            with contextlib.suppress(Exception):
                logger.error(
                    "%d connections broke in the middle of a message of type %r: given up, it was not sent",
                    _TORN_AT_MOST,
                    str(message.event_type),
                )
