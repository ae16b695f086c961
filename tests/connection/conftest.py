"""Clients that are disconnected at the end, hostile servers that are stopped at the end."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Protocol, Tuple

import pytest

from onetrade_ws import ClientEventType, ConnectionState, Event, EventStream, OneTradeClient, ReconnectPolicy
from onetrade_ws.protocol.events import EventType
from onetrade_ws.simulator import Simulator
from tests.connection import certificates
from tests.connection.hostile import TIMEOUT, HostileServer

#: Comes back at once, and counts each connection that was open as a success.
FAST = ReconnectPolicy(initial_delay=0.01, max_delay=0.05, stable_after=0.0)

_REPOSITORY = Path(__file__).resolve().parents[2]


class Server(Protocol):
    """What a client needs to know of a server."""

    @property
    def ws_url(self) -> str: ...

    @property
    def session_id(self) -> str: ...

    @property
    def access_token(self) -> str: ...


MakeClient = Callable[..., OneTradeClient]
MakeHostile = Callable[..., HostileServer]


@pytest.fixture
def hostile() -> Iterator[MakeHostile]:
    """Starts a :class:`.HostileServer`."""
    with ExitStack() as stack:

        def start(*arguments: Any, **settings: Any) -> HostileServer:
            server = HostileServer(*arguments, **settings)
            stack.callback(server.stop)
            return server

        yield start


@pytest.fixture(scope="module")
def authority() -> certificates.Authority:
    """A private certificate authority."""
    return certificates.Authority()


@pytest.fixture
def trusting(authority: certificates.Authority) -> ssl.SSLContext:
    """A client's context that knows the authority, and nobody else."""
    return certificates.trusting(authority)


@pytest.fixture
def tls(authority: certificates.Authority) -> ssl.SSLContext:
    """A server's context with a good certificate."""
    return certificates.good(authority)


@pytest.fixture
def make_client() -> Iterator[MakeClient]:
    """Makes a client for a server: ``make_client(server, **settings)``."""
    clients: List[OneTradeClient] = []

    def make(server: Server, **settings: Any) -> OneTradeClient:
        # Whose tests are about other things look at each request, message and thread.
        settings = {"reconnect": FAST, "connect_timeout": TIMEOUT, "snapshot": False, **settings}
        if "api_key" not in settings:
            settings.setdefault("session_id", server.session_id)
            settings.setdefault("access_token", server.access_token)
        client = OneTradeClient(settings.pop("url", server.ws_url), **settings)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.disconnect()


def read_until(stream: EventStream, is_last: Callable[[Event], object]) -> List[Event]:
    """Events of a stream up to the one wanted; its timeout is the safety net."""
    events: List[Event] = []
    for event in stream:
        events.append(event)
        if is_last(event):
            return events
    raise AssertionError(f"the wanted event did not come; what came: {events[-20:]}")


def became(state: ConnectionState) -> Callable[[Event], bool]:
    """Whether a STATE_CHANGED event says that the state is ``state`` now."""

    def check(event: Event) -> bool:
        return getattr(event.data, "new", None) is state

    return check


def connected(client: OneTradeClient, *event_types: Optional[EventType]) -> EventStream:
    """Connect; a stream of these events and of STATE_CHANGED, from after the one that says OPEN."""
    stream = client.events(ClientEventType.STATE_CHANGED, *event_types, timeout=TIMEOUT)
    client.connect()
    read_until(stream, became(ConnectionState.OPEN))
    return stream


def connect_and_wait(client: OneTradeClient) -> None:
    """Connect, and wait for the end. Either may raise why, when the end follows at once."""
    client.connect()
    client.wait(TIMEOUT)


def messages(simulator: Simulator, connection: int) -> List[Tuple[str, Any]]:
    """Type and data of the messages of one connection, heartbeats and control frames left out."""
    return [
        (message.json["type"], message.json["data"])
        for message in simulator.messages
        if message.connection == connection and message.opcode == 1 and message.payload != b"9"
    ]


def client_threads() -> List[str]:
    """The names of the threads of all clients in this process."""
    return sorted(
        thread.name
        for thread in threading.enumerate()
        if thread.name in ("onetrade-ws reader", "onetrade-ws heartbeat", "onetrade-ws dispatcher")
    )


def join_client_threads() -> None:
    """Wait for the end of all clients' threads: for those that a callback has held up."""
    for thread in threading.enumerate():
        if thread.name in client_threads():
            thread.join(TIMEOUT)


class Background:
    """A call on a thread of its own; its result, or what it raised, by :meth:`result`."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._outcome: Dict[str, Any] = {}
        self._thread = threading.Thread(target=self._run, name="background call")
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome["result"] = self._call()
        except BaseException as error:  # noqa: BLE001 - raised again by result()
            self._outcome["error"] = error

    def result(self) -> Any:
        """Wait for its end."""
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive(), "the call did not return"
        if "error" in self._outcome:
            raise self._outcome["error"]
        return self._outcome["result"]

    def error(self) -> BaseException:
        """Wait for its end, which must be an exception."""
        with pytest.raises(BaseException) as caught:  # noqa: PT011 - the caller says which
            self.result()
        return caught.value


def program_environment() -> Dict[str, str]:
    """The environment for a program that imports the package."""
    return {**os.environ, "PYTHONPATH": str(_REPOSITORY)}


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    """Run a program in an interpreter of its own; every warning is an error there."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=program_environment(),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
