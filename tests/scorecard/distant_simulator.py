"""A simulator in a process of its own, so that what holds this one's interpreter up does not hold up its clock."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.connection import Connection
from typing import Any, List, NamedTuple, Optional

from onetrade_ws.simulator import Simulator

TIMEOUT = 10.0


class Beats(NamedTuple):
    """When the heartbeats of one connection arrived, when anything did last, and what the time is: the server's."""

    arrived: List[float]
    last: float
    now: float


class _Far:
    """What the other process does. One simulator at a time."""

    def __init__(self) -> None:
        self._simulator: Optional[Simulator] = None

    def begin(self) -> List[str]:
        self.end()
        self._simulator = Simulator(live=False).start()
        return [self._simulator.ws_url, self._simulator.session_id, self._simulator.access_token]

    def end(self) -> None:
        if self._simulator is not None:
            self._simulator.stop()
            self._simulator = None

    @property
    def _running(self) -> Simulator:
        assert self._simulator is not None
        return self._simulator

    def emit(self, first: int, count: int) -> None:
        for number in range(first, first + count):
            self._running.info(str(number))

    def wait_for_beats(self, connection: int, more: int) -> None:
        wanted = len(self.beats(connection).arrived) + more
        self._running.wait_for(lambda _: len(self.beats(connection).arrived) >= wanted, TIMEOUT)

    def wait_for_connections(self, total: int, now: int) -> None:
        self._running.wait_for(
            lambda simulator: (simulator.connections_total, simulator.connections) == (total, now), TIMEOUT
        )

    def connections_total(self) -> int:
        return self._running.connections_total

    def beats(self, connection: int) -> Beats:
        messages = [message for message in self._running.messages if message.connection == connection]
        arrived = [message.at for message in messages if message.payload == b"9"]
        return Beats(arrived, max((message.at for message in messages), default=0.0), time.time())

    def heard(self, words: bytes) -> int:
        return sum(words in message.payload for message in self._running.messages)


def _serve(pipe: Connection) -> None:
    far = _Far()
    while True:
        try:
            name, arguments = pipe.recv()
        except EOFError:
            far.end()
            return
        try:
            pipe.send((getattr(far, name)(*arguments), None))
        except Exception as error:  # noqa: BLE001 - raised again on the other side
            pipe.send((None, f"{type(error).__name__}: {error}"))


class DistantSimulator:
    """Stands for the other process. Every method blocks until it has answered; on one thread at a time."""

    def __init__(self) -> None:
        # A new interpreter: a fork would copy locks that threads hold.
        context = multiprocessing.get_context("spawn")
        self._pipe, far_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(far_end,), daemon=True)
        self._process.start()
        far_end.close()

    def __enter__(self) -> DistantSimulator:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._pipe.close()
        self._process.join()

    def _ask(self, name: str, *arguments: Any) -> Any:
        self._pipe.send((name, arguments))
        result, error = self._pipe.recv()
        if error is not None:
            raise RuntimeError(error)
        return result

    def begin(self) -> List[str]:
        """Start a new simulator: its address, session id and access token."""
        result: List[str] = self._ask("begin")
        return result

    def end(self) -> None:
        """Stop it."""
        self._ask("end")

    def emit(self, first: int, count: int) -> None:
        """Send so many numbered messages to every client."""
        self._ask("emit", first, count)

    def wait_for_beats(self, connection: int, more: int) -> None:
        """Until so many more heartbeats have arrived."""
        self._ask("wait_for_beats", connection, more)

    def wait_for_connections(self, total: int, now: int) -> None:
        """Until so many WebSockets have been opened, and so many are open."""
        self._ask("wait_for_connections", total, now)

    def connections_total(self) -> int:
        """The number of the newest connection."""
        total: int = self._ask("connections_total")
        return total

    def beats(self, connection: int) -> Beats:
        """The heartbeats of a connection."""
        beats: Beats = self._ask("beats", connection)
        return beats

    def heard(self, words: bytes) -> int:
        """How many messages with these words in them have arrived."""
        count: int = self._ask("heard", words)
        return count
