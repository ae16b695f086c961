"""The lock that is had in the order in which it was asked for."""

from __future__ import annotations

import os
import signal
import threading
from typing import List

import pytest

from onetrade_ws.connection.turns import FairLock
from tests.connection.conftest import Background
from tests.connection.hostile import TIMEOUT


def waiting(lock: FairLock) -> int:
    return len(lock._turns)


def wait_until_waiting(lock: FairLock, count: int) -> None:
    while waiting(lock) < count:
        threading.Event().wait(0.001)


def queue_up(lock: FairLock, name: int, order: List[int]) -> Background:
    """A thread that waits for the lock, once it does."""
    before = waiting(lock)

    def take() -> None:
        with lock:
            order.append(name)

    thread = Background(take)
    wait_until_waiting(lock, before + 1)
    return thread


def test_who_waited_longest_has_it_next() -> None:
    lock = FairLock()
    order: List[int] = []
    lock.acquire()
    threads = [queue_up(lock, name, order) for name in range(20)]
    lock.release()
    # Not before those who wait already.
    with lock:
        order.append(-1)
    for thread in threads:
        thread.result()
    assert order == [*range(20), -1]


def test_who_waits_no_more_gets_nothing() -> None:
    lock = FairLock()
    lock.acquire()
    assert not lock.acquire(timeout=0.01)
    assert not lock.acquire(timeout=0)
    lock.release()
    assert lock.acquire(timeout=0)
    lock.release()


def test_one_thread_at_a_time() -> None:
    lock = FairLock()
    inside: List[int] = []
    most: List[int] = []

    def work() -> None:
        for _ in range(300):
            if lock.acquire(timeout=TIMEOUT):
                inside.append(1)
                most.append(len(inside))
                inside.pop()
                lock.release()

    for thread in [Background(work) for _ in range(6)]:
        thread.result()
    assert len(most) == 1800
    assert max(most) == 1


@pytest.mark.skipif(os.name == "nt", reason="locks cannot be interrupted there")
def test_ctrl_c_while_waiting_leaves_the_turn_to_the_next() -> None:
    lock = FairLock()
    lock.acquire()
    order: List[int] = []

    def interrupt() -> None:
        wait_until_waiting(lock, 1)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    interrupting = Background(interrupt)
    with pytest.raises(KeyboardInterrupt):
        lock.acquire(timeout=TIMEOUT)
    interrupting.result()
    thread = queue_up(lock, 1, order)
    lock.release()
    thread.result()
    assert order == [1]
