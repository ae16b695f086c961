"""A name server that takes its time."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any, Iterator
from unittest import mock

# How long a look-up may hang when nobody answers it, in seconds.
_LONGEST = 60.0


class SlowLookUp:
    """Look-ups of a name hang until they are answered.

    :ivar began: set when one hangs
    :ivar answered: to be set
    """

    def __init__(self) -> None:
        self.began = threading.Event()
        self.answered = threading.Event()

    @classmethod
    @contextlib.contextmanager
    def of(cls, name: str, skip: int = 0) -> Iterator[SlowLookUp]:
        """Inside of it the look-ups of ``name`` hang, but for the first ``skip``; at its end they are answered."""
        look_up, slow, left = socket.getaddrinfo, cls(), [None] * skip

        def hang(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
            # With this flag, in the place where it is given, nobody else is asked.
            asked = len(arguments) < 4 or not arguments[3] & socket.AI_NUMERICHOST
            if host == name and asked:
                if left:
                    left.pop()
                else:
                    slow.began.set()
                    slow.answered.wait(_LONGEST)
            return look_up(host, port, *arguments, **options)

        with mock.patch.object(socket, "getaddrinfo", hang):
            try:
                yield slow
            finally:
                slow.answered.set()
