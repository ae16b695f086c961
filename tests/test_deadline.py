"""Deadlines, on a clock of the test's own."""

from __future__ import annotations

import threading
from typing import Callable, List, Optional

import pytest

from onetrade_ws import deadline as deadline_module
from onetrade_ws.deadline import Deadline, in_words

# Seconds; only a failing test ever waits so long.
LONG = 10.0


class Clock:
    """Stands in for the module ``time``."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(deadline_module, "time", clock)
    return clock


def set_slices(monkeypatch: pytest.MonkeyPatch, first: float, longest: float) -> None:
    monkeypatch.setattr(deadline_module, "_FIRST_SLICE", first)
    monkeypatch.setattr(deadline_module, "_LONGEST_SLICE", longest)


@pytest.fixture(params=[LONG, 0.005], ids=["whole", "sliced"])
def sliced(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a stretch, and in slices."""
    set_slices(monkeypatch, request.param, request.param)


def test_what_remains_shrinks_with_the_clock_and_never_below_zero(clock: Clock) -> None:
    deadline = Deadline(2.0)
    assert deadline.remaining() == 2.0
    clock.now += 1.5
    assert (deadline.remaining(), deadline.expired) == (0.5, False)
    clock.now += 0.5
    assert (deadline.remaining(), deadline.expired) == (0.0, True)
    clock.now += 100
    assert (deadline.remaining(), deadline.expired) == (0.0, True)


@pytest.mark.parametrize("timeout", [0, 0.0, -1, -1e9])
def test_no_time_at_all_is_over_at_once(clock: Clock, timeout: float) -> None:
    assert Deadline(timeout).expired
    assert Deadline(timeout).remaining() == 0.0


def test_none_never_ends(clock: Clock) -> None:
    deadline = Deadline(None)
    clock.now += 1e12
    assert deadline.remaining() is None
    assert not deadline.expired


@pytest.mark.parametrize(
    ("one", "other", "earlier"),
    [
        (5.0, 3.0, 3.0),
        (3.0, 5.0, 3.0),
        (3.0, 3.0, 3.0),
        (None, 3.0, 3.0),
        (3.0, None, 3.0),
        (None, None, None),
    ],
)
def test_the_sooner_of_two(
    clock: Clock, one: Optional[float], other: Optional[float], earlier: Optional[float]
) -> None:
    deadline = Deadline(one)
    sooner = deadline.sooner(other)
    assert sooner.remaining() == earlier
    assert deadline.remaining() == one


def test_sooner_counts_from_now(clock: Clock) -> None:
    deadline = Deadline(5.0)
    clock.now += 4.0
    assert deadline.sooner(3.0).remaining() == 1.0
    assert deadline.sooner(0.5).remaining() == 0.5


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.usefixtures("sliced")
@pytest.mark.parametrize("timeout", [None, LONG])
def test_waiting_ends_when_it_comes_true(timeout: Optional[float]) -> None:
    condition = threading.Condition()
    done: List[int] = []
    asked = threading.Event()

    def predicate() -> bool:
        asked.set()
        return bool(done)

    def make_it_true() -> None:
        asked.wait(LONG)
        with condition:
            # A wake-up that changes nothing ends nothing.
            condition.notify_all()
        with condition:
            done.append(1)
            condition.notify_all()

    thread = in_thread(make_it_true)
    with condition:
        assert Deadline(timeout).wait_for(condition, predicate) is True
    thread.join()


@pytest.mark.usefixtures("sliced")
def test_what_is_true_needs_no_waiting() -> None:
    condition = threading.Condition()
    with condition:
        assert Deadline(0).wait_for(condition, lambda: True) is True
        assert Deadline(None).wait_for(condition, lambda: True) is True


@pytest.mark.usefixtures("sliced")
@pytest.mark.parametrize("timeout", [-1.0, 0.0, 0.02])
def test_waiting_ends_when_the_time_is_over(timeout: float) -> None:
    condition = threading.Condition()
    with condition:
        assert Deadline(timeout).wait_for(condition, lambda: False) is False


def test_the_time_that_is_left_is_what_is_waited(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    set_slices(monkeypatch, LONG, LONG)
    waits: List[Optional[float]] = []

    class Recording(threading.Condition):
        def wait(self, timeout: Optional[float] = None) -> bool:
            waits.append(timeout)
            clock.now += 0.75
            return False

    assert Deadline(2.0).wait_for(Recording(), lambda: False) is False
    assert waits == [2.0, 1.25, 0.5]


def test_in_slices_no_wait_is_longer_than_a_slice(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    set_slices(monkeypatch, 0.5, 0.5)
    waits: List[Optional[float]] = []

    class Recording(threading.Condition):
        def wait(self, timeout: Optional[float] = None) -> bool:
            waits.append(timeout)
            clock.now += timeout or 0.0
            return False

    assert Deadline(1.25).wait_for(Recording(), lambda: False) is False
    assert waits == [0.5, 0.5, 0.25]
    waits.clear()
    assert Deadline(None).wait_for(Recording(), lambda: len(waits) == 2) is True
    assert waits == [0.5, 0.5]


def test_slices_grow(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    set_slices(monkeypatch, 0.05, 30.0)
    waits: List[Optional[float]] = []

    class Recording(threading.Condition):
        def wait(self, timeout: Optional[float] = None) -> bool:
            waits.append(timeout)
            clock.now += timeout or 0.0
            return False

    assert Deadline(None).wait_for(Recording(), lambda: len(waits) == 100) is True
    assert waits[:4] == [0.05, 0.1, 0.2, 0.4]
    assert waits[10:] == [30.0] * 90


@pytest.mark.usefixtures("sliced")
@pytest.mark.parametrize("timeout", [None, LONG])
def test_joining_waits_for_the_end(timeout: Optional[float]) -> None:
    release = threading.Event()
    thread = in_thread(lambda: release.wait(LONG))
    threading.Timer(0, release.set).start()
    assert Deadline(timeout).join(thread) is True
    assert not thread.is_alive()
    assert Deadline(0).join(thread) is True


@pytest.mark.usefixtures("sliced")
@pytest.mark.parametrize("timeout", [0.0, 0.02])
def test_joining_ends_when_the_time_is_over(timeout: float) -> None:
    release = threading.Event()
    thread = in_thread(lambda: release.wait(LONG))
    try:
        assert Deadline(timeout).join(thread) is False
    finally:
        release.set()
        thread.join()


@pytest.mark.usefixtures("sliced")
@pytest.mark.parametrize("timeout", [threading.TIMEOUT_MAX, 1e10, 1e300, float("inf")])
def test_any_number_of_seconds_can_be_waited_for(timeout: float) -> None:
    condition = threading.Condition()
    done: List[int] = []
    release = threading.Event()
    sleeper = in_thread(lambda: release.wait(LONG))

    def make_it_true() -> None:
        with condition:
            done.append(1)
            condition.notify_all()
        release.set()

    with condition:
        thread = in_thread(make_it_true)
        try:
            assert Deadline(timeout).wait_for(condition, lambda: bool(done)) is True
        finally:
            release.set()
    try:
        assert Deadline(timeout).join(sleeper) is True
    finally:
        thread.join()
        sleeper.join()


@pytest.mark.usefixtures("sliced")
@pytest.mark.parametrize("timeout", [None, LONG, float("inf")])
def test_a_lock_is_acquired_when_it_is_released(timeout: Optional[float]) -> None:
    lock = threading.Lock()
    lock.acquire()
    threading.Timer(0.02, lock.release).start()
    assert Deadline(timeout).acquire(lock) is True
    assert lock.locked()


@pytest.mark.usefixtures("sliced")
@pytest.mark.parametrize("timeout", [-1.0, 0.0, 0.02])
def test_a_lock_that_is_held_is_waited_for_until_the_time_is_over(timeout: float) -> None:
    lock = threading.Lock()
    lock.acquire()
    assert Deadline(timeout).acquire(lock) is False
    lock.release()
    assert Deadline(timeout).acquire(lock) is True


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0, "at once"), (0.049, "at once"), (0.05, "in 0.1 s"), (2.46, "in 2.5 s"), (3600, "in 3600.0 s")],
)
def test_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
