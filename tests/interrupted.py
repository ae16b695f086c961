"""Calls in the middle of which a signal's handler runs, at any step of Python."""

from __future__ import annotations

import gc
import inspect
import sys
from types import FrameType
from typing import Any, Callable, Iterator, Optional

from onetrade_ws import OneTradeError

# Where a signal's handler may run: at the beginning of each Python function, and after each call.
_STEPS = ("call", "return", "c_return")


def ctrl_c() -> None:
    raise KeyboardInterrupt


class Interrupted:
    """Makes a call on this thread, and lets a signal's handler run at a step of it.

    :param number: of the step, from 0; None: at none
    :param handler: what runs there
    """

    def __init__(self, number: Optional[int] = None, handler: Callable[[], None] = ctrl_c) -> None:
        self._number = number
        self._handler = handler
        #: How many steps there were.
        self.steps = 0
        #: Where it came; empty when it did not.
        self.where = ""

    def call(self, what: Callable[[], Any]) -> None:
        # What it calls when it collects, no error gets out of either.
        gc.disable()
        sys.setprofile(self._profile)
        try:
            what()
        except KeyboardInterrupt:
            if self._handler is not ctrl_c:
                raise
        except OneTradeError:
            pass
        finally:
            sys.setprofile(None)
            gc.enable()

    def _profile(self, frame: FrameType, event: str, function: Any) -> None:
        # A generator that is given up in its middle is called and "returns" when it dies.
        in_generator = event != "c_return" and frame.f_code.co_flags & inspect.CO_GENERATOR
        if event in _STEPS and not in_generator and not is_dying(frame):
            self.steps += 1
            if self.steps - 1 == self._number:
                code = frame.f_code
                name = code.co_name if function is None or event != "c_return" else function.__qualname__
                self.where = f"{event} of {name} ({code.co_filename}:{frame.f_lineno})"
                sys.setprofile(None)
                self._handler()


def is_dying(frame: Optional[FrameType]) -> bool:
    """Whether an object's end has called this: Python itself lets no error out of it."""
    while frame is not None:
        code = frame.f_code
        if code.co_name == "__del__" or (
            code.co_name in ("remove", "_remove", "__call__") and "weakref" in code.co_filename
        ):
            return True
        frame = frame.f_back
    return False


def at_each_step(prepare: Callable[[], Callable[[], Any]]) -> Iterator[Interrupted]:
    """Interrupt a call at each of its steps, one after the other, until there are no more.

    :param prepare: makes everything anew, and gives the call
    """
    number = 0
    while True:
        interrupted = Interrupted(number)
        interrupted.call(prepare())
        if not interrupted.where:
            # All of it was done.
            assert number
            return
        yield interrupted
        number += 1
