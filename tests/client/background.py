"""Calls on threads of their own."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Callable, Generic, TypeVar

from tests.client.conversation import TIMEOUT

T = TypeVar("T")


class Background(Generic[T]):
    """A call that a test makes on another thread. A daemon: one that hangs fails the test, and not the whole run."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._outcome: Future[T] = Future()
        self._thread = threading.Thread(target=self._run, name="in the background", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome.set_result(self._call())
        except BaseException as error:  # noqa: BLE001 - raised again where the result is asked for
            self._outcome.set_exception(error)

    def result(self) -> T:
        """What the call returned; raises what it raised, or a TimeoutError when it hangs."""
        outcome = self._outcome.result(TIMEOUT)
        self._thread.join()
        return outcome

    @property
    def done(self) -> bool:
        """Whether the call has returned or raised."""
        return self._outcome.done()
