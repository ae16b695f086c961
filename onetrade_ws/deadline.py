"""A point in monotonic time, and waiting for it, or for something else, in a way that Ctrl-C gets through."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from _thread import RLock, start_new_thread
from concurrent.futures import Future
from typing import Callable, Optional, TypeVar, Union

T = TypeVar("T")

# Seconds that the main thread, which alone gets Ctrl-C, waits at a time: at first, and at most. On Windows a lock
# cannot be interrupted while it is waited for. Elsewhere it can, but not by a signal that comes in the moment before:
# that is seen after the first slices, which grow, so that a process at rest is woken no more often than by its
# heartbeat.
_FIRST_SLICE, _LONGEST_SLICE = (0.2, 0.2) if os.name == "nt" else (0.05, 30.0)


class Deadline:
    """When something must be over: ``timeout`` seconds from now, or never for None.

    Measured on the monotonic clock, so that a change of the wall clock neither hurries nor delays it.
    """

    __slots__ = ("_at",)

    def __init__(self, timeout: Optional[float]) -> None:
        # A lock refuses to wait longer, and nobody will know the difference.
        self._at = None if timeout is None else time.monotonic() + min(timeout, threading.TIMEOUT_MAX)

    def remaining(self) -> Optional[float]:
        """Seconds left, never below 0; None when there is no end."""
        if self._at is None:
            return None
        return max(0.0, self._at - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether no time is left."""
        return self._at is not None and time.monotonic() >= self._at

    def sooner(self, timeout: Optional[float]) -> Deadline:
        """The earlier of this deadline and one in ``timeout`` seconds."""
        other = Deadline(timeout)
        if other._at is None or (self._at is not None and self._at <= other._at):
            return self
        return other

    def wait_for(
        self, condition: Union[Condition, threading.Condition], predicate: Callable[[], bool]
    ) -> bool:
        """Wait on ``condition``, which the caller holds, until ``predicate()`` is true or the time is over.

        :returns: the predicate's last answer
        """
        turns = 0
        while not predicate():
            remaining = self.remaining()
            if remaining == 0.0:
                return False
            condition.wait(_turn(remaining, turns))
            turns += 1
        return True

    def acquire(self, lock: threading.Lock) -> bool:
        """Wait until ``lock`` could be acquired or the time is over.

        :returns: whether it was acquired
        """
        turns = 0
        while True:
            remaining = self.remaining()
            turn = _turn(remaining, turns)
            if lock.acquire(timeout=-1 if turn is None else turn):
                return True
            if remaining == 0.0:
                return False
            turns += 1

    def join(self, thread: threading.Thread) -> bool:
        """Wait until ``thread`` has ended or the time is over.

        :returns: whether it has ended
        """
        turns = 0
        while thread.is_alive():
            remaining = self.remaining()
            if remaining == 0.0:
                return False
            thread.join(_turn(remaining, turns))
            turns += 1
        return True


def _turn(remaining: Optional[float], turns: int) -> Optional[float]:
    """How long to wait before looking again, having looked so many times."""
    if threading.current_thread() is not threading.main_thread():
        return remaining
    # Some twenty doublings are beyond every longest.
    turn = min(_FIRST_SLICE * 2.0 ** min(turns, 20), _LONGEST_SLICE)
    return turn if remaining is None else min(turn, remaining)


class Condition(RLock):  # type: ignore[misc]  # final in typeshed alone
    """A :class:`threading.Condition` that Ctrl-C does not leave locked.

    The standard library's enters and leaves its ``with`` block by a few steps of Python. Where a signal's handler
    raises between them, the lock stays held, and whoever wants it next hangs: the threads of the connection, and then
    ``disconnect()``. This one does it in a single step, as a lock by itself does, from Python 3.10 on: before, Ctrl-C
    can come between a block and its end. It is reentrant, for a signal's handler may disconnect in the middle of
    anything.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition(self)

    def wait(self, timeout: Optional[float] = None) -> None:
        """Let go of it until it is notified, or for so many seconds. Requires holding it."""
        try:
            self._condition.wait(timeout)
        except BaseException:
            # Ctrl-C in the moment after it was let go of.
            if not self._is_owned():  # type: ignore[attr-defined]  # not in typeshed
                self.acquire()
            raise

    def notify_all(self) -> None:
        """Wake everybody who waits. Requires holding it."""
        self._condition.notify_all()


class Flag:
    """A :class:`threading.Event` of which the same is true; and on Windows, too, Ctrl-C ends :meth:`wait`."""

    def __init__(self) -> None:
        # Guards the next one. Waited on for it.
        self._changed = Condition()
        self._is_set = False

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._is_set

    def set(self) -> None:
        """Set it, and wake everybody who waits."""
        with self._changed:
            self._is_set = True
            self._changed.notify_all()

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Block until it is set, or for so many seconds.

        :returns: whether it is set
        """
        with self._changed:
            return Deadline(timeout).wait_for(self._changed, self.is_set)


def start(thread: threading.Thread) -> None:
    """Start a thread; where Ctrl-C comes meanwhile, it is started all the same.

    :raises RuntimeError: when there is no memory for it, or Python is about to end
    """
    shielded(thread.start, Deadline(None))


def shielded(work: Callable[[], T], deadline: Deadline) -> Optional[T]:
    """Have ``work()`` done wholly or not at all, even where Ctrl-C comes in the middle of it: on a thread of its own,
    as only the main thread gets Ctrl-C.

    :param deadline: until when to wait for it; it goes on by itself then, as after Ctrl-C
    :returns: what it returned; None when the time was over before
    """
    if threading.current_thread() is not threading.main_thread() or sys.is_finalizing():
        return work()
    outcome: Future[T] = Future()
    over = Flag()
    thread = threading.Thread(
        target=_run, args=(work, outcome, over), name="onetrade-ws shielded", daemon=True
    )
    started = False
    # There may be no memory for it, or Python is about to end.
    with contextlib.suppress(RuntimeError, MemoryError):
        # Where Ctrl-C comes while Thread.start() waits for the thread to begin, it never does.
        start_new_thread(_start, (thread, work, outcome, over))
        started = True
    if not started:
        return work()
    try:
        return outcome.result() if over.wait(deadline.remaining()) and deadline.join(thread) else None
    finally:
        # An error would hold the frame that holds it, here and below.
        del outcome


def _start(thread: threading.Thread, work: Callable[[], T], outcome: Future[T], over: Flag) -> None:
    started = False
    with contextlib.suppress(RuntimeError, MemoryError):
        thread.start()
        started = True
    if not started:
        _run(work, outcome, over)


def _run(work: Callable[[], T], outcome: Future[T], over: Flag) -> None:
    try:
        outcome.set_result(work())
    except BaseException as error:  # noqa: BLE001 - raised where it is waited for
        outcome.set_exception(error)
    finally:
        del outcome
        over.set()


def in_words(seconds: float) -> str:
    """When something is that happens after so many seconds: "at once", or "in 2.5 s"."""
    return "at once" if seconds < 0.05 else f"in {seconds:.1f} s"
