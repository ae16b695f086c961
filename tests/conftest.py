"""What holds for every test: nothing is left running, and slowness is not a failure."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Iterator, List

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from onetrade_ws.simulator import Simulator

# How long a thread that was told to stop may take, in seconds. Only a failing test ever waits so long.
STOP_TIMEOUT = 20.0

settings.register_profile(
    "local", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("CI", settings.get_profile("local"), derandomize=False, print_blob=True)
# Named each time: hypothesis would otherwise choose a profile of its own when it notices CI.
settings.load_profile("CI" if os.environ.get("CI") else "local")


def still_running(before: List[threading.Thread], timeout: float) -> List[threading.Thread]:
    """The threads started since ``before`` that should have ended and do not within ``timeout`` seconds each.

    Ours must always end; a thread that is not a daemon must too, whosever it is.
    """
    started = [thread for thread in threading.enumerate() if thread not in before]
    expected_to_end = [
        thread for thread in started if thread.name.startswith("onetrade-ws") or not thread.daemon
    ]
    for thread in expected_to_end:
        thread.join(timeout)
    return [thread for thread in expected_to_end if thread.is_alive()]


@pytest.fixture(autouse=True, scope="session")
def ctrl_c_interrupts() -> None:
    """A shell that runs the tests in the background has them ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """Fails a test that leaves a thread running. First in, last out: it looks when all fixtures are done."""
    before = threading.enumerate()
    yield
    leaked = still_running(before, STOP_TIMEOUT)
    if leaked:
        pytest.fail(f"the test left threads running: {', '.join(map(repr, leaked))}")


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A server of the test's own on a free port, whose market stands still until the test moves it."""
    # Only the tests that ask for it need the simulator to be importable.
    from onetrade_ws.simulator import Simulator

    with Simulator(live=False) as running:
        yield running
