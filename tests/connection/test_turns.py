"""Work that is done by one thread at a time, in the order in which they came."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import List

import pytest

from onetrade_ws.connection.turns import Turns
from onetrade_ws.deadline import Deadline
from tests.connection.conftest import Background
from tests.connection.hostile import TIMEOUT


def nothing() -> None:
    pass


def wait_until_queued(turns: Turns, count: int) -> None:
    deadline = Deadline(TIMEOUT)
    while len(turns._queue) < count:
        assert not deadline.expired
        threading.Event().wait(0.001)


def queue_up(turns: Turns, name: int, order: List[int]) -> Background:
    """A thread that waits for its turn, once it does."""
    before = len(turns._queue)
    thread = Background(lambda: turns.take(lambda: order.append(name)))
    wait_until_queued(turns, before + 1)
    return thread


class Taken:
    """A turn that another thread has, until it is let go of."""

    def __init__(self, turns: Turns) -> None:
        self._let_go = threading.Event()
        self._thread = Background(lambda: turns.take(self._hold))
        wait_until_queued(turns, 1)

    def _hold(self) -> None:
        self._let_go.wait(TIMEOUT)

    def let_go(self) -> None:
        self._let_go.set()
        self._thread.result()


def test_who_waited_longest_is_next() -> None:
    turns = Turns()
    order: List[int] = []
    taken = Taken(turns)
    threads = [queue_up(turns, name, order) for name in range(20)]
    taken.let_go()
    # Not before those who wait already.
    assert turns.take(lambda: order.append(-1))
    for thread in threads:
        thread.result()
    assert order == [*range(20), -1]


def test_who_waits_no_more_gets_nothing() -> None:
    turns = Turns()
    taken = Taken(turns)
    done: List[int] = []
    assert not turns.take(lambda: done.append(1), timeout=0.01)
    assert not turns.take(lambda: done.append(1), timeout=0)
    taken.let_go()
    assert not done
    assert turns.take(nothing, timeout=0)


def test_what_the_work_raises_is_raised_and_ends_the_turn() -> None:
    turns = Turns()
    taken = Taken(turns)

    def fail() -> None:
        raise LookupError

    failing = Background(lambda: turns.take(fail))
    wait_until_queued(turns, 2)
    waiting = queue_up(turns, 1, [])
    taken.let_go()
    with pytest.raises(LookupError):
        failing.result()
    assert waiting.result()
    assert turns.take(nothing, timeout=0)


def test_one_thread_at_a_time() -> None:
    turns = Turns()
    inside: List[int] = []
    most: List[int] = []

    def work() -> None:
        inside.append(1)
        # The others get a chance to come in.
        time.sleep(0.0001)
        most.append(len(inside))
        inside.pop()

    def take_many() -> None:
        for _ in range(100):
            assert turns.take(work, timeout=TIMEOUT)

    for thread in [Background(take_many) for _ in range(6)]:
        thread.result()
    assert len(most) == 600
    assert max(most) == 1


@pytest.mark.skipif(os.name == "nt", reason="locks cannot be interrupted there")
def test_ctrl_c_while_waiting_leaves_the_turn_to_the_next() -> None:
    turns = Turns()
    taken = Taken(turns)
    order: List[int] = []

    def interrupt() -> None:
        wait_until_queued(turns, 2)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    interrupting = Background(interrupt)
    with pytest.raises(KeyboardInterrupt):
        turns.take(lambda: order.append(0), timeout=TIMEOUT)
    interrupting.result()
    thread = queue_up(turns, 1, order)
    taken.let_go()
    thread.result()
    assert order == [1]
