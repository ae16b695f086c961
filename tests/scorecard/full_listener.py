"""A machine that answers no TCP connection, on the loopback."""

from __future__ import annotations

import select
import socket
import threading
import time
from typing import List

from tests.connection.hostile import TIMEOUT
from tests.scorecard.cases import FellShort


class FullListener:
    """Listens, and has no room for another connection: who connects hears nothing."""

    def __init__(self) -> None:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        self.port: int = self._listener.getsockname()[1]
        self._fillers: List[socket.socket] = []
        full = False
        while not full:
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            full = not select.select([], [filler], [], 0.1)[1]
            self._fillers.append(filler)
        # It would go on knocking.
        self._fillers.pop().close()

    def wait_until_knocked(self) -> None:
        """Until somebody else's connection waits for its answer. There is no event for that: the system is asked."""
        pause, waited = threading.Event(), time.monotonic() + TIMEOUT
        wanted = f"0100007F:{self.port:04X} 02"
        while True:
            with open("/proc/net/tcp") as table:
                if any(wanted in line for line in table):
                    return
            if time.monotonic() > waited:
                raise FellShort("it never came to connecting")
            pause.wait(0.005)

    def accepted(self) -> int:
        """How many connections but its own have come through."""
        own = [filler.getsockname() for filler in self._fillers]
        count = 0
        while select.select([self._listener], [], [], 0)[0]:
            sock, address = self._listener.accept()
            sock.close()
            count += address not in own
        return count

    def close(self) -> None:
        for sock in [self._listener, *self._fillers]:
            sock.close()
