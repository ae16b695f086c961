"""Looking names up: the one wait that the system neither times nor aborts."""

from __future__ import annotations

import socket
import threading
from typing import Any, Iterator, List

import pytest

from onetrade_ws import ConnectionState, ConnectTimeoutError, NetworkError
from tests.connection.conftest import Background, MakeClient, MakeHostile, client_threads
from tests.connection.hostile import TIMEOUT, HostileServer, free_port
from tests.connection.proxies import ProxyServer, socks4


class BlockedNames:
    """A resolver that answers nobody before ``release()``, but knows what an address is."""

    def __init__(self, resolve: Any) -> None:
        self.asked: List[str] = []
        self._resolve = resolve
        self._released = threading.Event()
        # Guards ``asked``. Waited on for more of it.
        self._changed = threading.Condition()

    def getaddrinfo(
        self, host: str, port: int, family: int = 0, kind: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        if not flags & socket.AI_NUMERICHOST:
            with self._changed:
                self.asked.append(host)
                self._changed.notify_all()
            self._released.wait(TIMEOUT)
        return self._resolve(host, port, family, kind, proto, flags)

    def wait_until_asked(self, times: int = 1) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.asked) >= times, TIMEOUT)

    def release(self) -> None:
        self._released.set()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[BlockedNames]:
    """Nobody learns the address of a name before the test says so."""
    blocked = BlockedNames(socket.getaddrinfo)
    monkeypatch.setattr(socket, "getaddrinfo", blocked.getaddrinfo)
    yield blocked
    blocked.release()
    for thread in resolvers():
        thread.join(TIMEOUT)


def resolvers() -> List[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "onetrade-ws resolver"]


def assert_ended() -> None:
    """Each such thread ends right after its answer."""
    for thread in resolvers():
        thread.join(TIMEOUT)
    assert resolvers() == []


def by_name(server: HostileServer) -> str:
    return server.ws_url.replace("127.0.0.1", "localhost")


def test_a_name_is_looked_up_on_a_thread_that_ends(
    hostile: MakeHostile, make_client: MakeClient, names: BlockedNames
) -> None:
    names.release()
    server = hostile()
    client = make_client(server, url=by_name(server))
    client.connect()
    assert names.asked == ["localhost", "localhost"]
    client.disconnect()
    assert_ended()


def test_an_address_needs_no_thread(
    hostile: MakeHostile, make_client: MakeClient, names: BlockedNames
) -> None:
    client = make_client(hostile())
    client.connect()
    assert names.asked == []
    assert resolvers() == []


@pytest.mark.parametrize("host", ["::1", "fe80::1%1"])
def test_nor_does_an_ipv6_address(make_client: MakeClient, names: BlockedNames, host: str) -> None:
    sock, port = free_port()
    with sock:
        client = make_client(
            HostileServer,
            url=f"ws://[{host}]:{port}",
            http_url=f"http://[{host}]:{port}",
            reconnect=None,
            allow_plaintext=True,
        )
        with pytest.raises(NetworkError):
            client.connect()
    assert names.asked == []


@pytest.mark.parametrize("step", ["validation", "WebSocket"])
def test_the_look_up_is_given_up_in_time(
    hostile: MakeHostile, make_client: MakeClient, names: BlockedNames, step: str
) -> None:
    server: HostileServer = hostile()
    http_url = by_name(server) if step == "validation" else server.ws_url
    client = make_client(server, url=by_name(server), http_url=http_url.replace("ws", "http"))
    with pytest.raises(ConnectTimeoutError) as caught:
        # Enough for the validation, where the look-up comes after it.
        client.connect(timeout=2.0 if step == "WebSocket" else 0.3)
    error = caught.value.last_error
    assert isinstance(error, NetworkError)
    assert "in time" in error.reason
    if step == "WebSocket":
        assert (error.step, error.host) == ("DNS", f"localhost:{server.address.split(':')[1]}")
    # The thread that nobody can stop is left alone; it holds nothing of the client.
    assert client_threads() == []
    assert resolvers() != []


@pytest.mark.parametrize("step", ["validation", "WebSocket"])
def test_a_disconnect_does_not_wait_for_the_look_up(
    hostile: MakeHostile, make_client: MakeClient, names: BlockedNames, step: str
) -> None:
    server: HostileServer = hostile()
    http_url = by_name(server) if step == "validation" else server.ws_url
    client = make_client(server, url=by_name(server), http_url=http_url.replace("ws", "http"))
    connecting = Background(client.connect)
    names.wait_until_asked()
    client.disconnect(timeout=TIMEOUT)
    connecting.error()
    # Not even the reader had to be left behind: the resolver is the only one that still waits.
    assert client.state is ConnectionState.CLOSED
    assert client_threads() == []
    assert len(resolvers()) == 1
    # What it learns afterwards leads to nothing.
    accepted = server.accepted
    names.release()
    assert_ended()
    assert server.accepted == accepted


def test_the_client_can_connect_again_while_the_old_look_up_still_hangs(
    hostile: MakeHostile, make_client: MakeClient, names: BlockedNames
) -> None:
    server = hostile()
    client = make_client(server, url=by_name(server))
    with pytest.raises(ConnectTimeoutError):
        client.connect(timeout=0.2)
    connecting = Background(client.connect)
    names.wait_until_asked(2)
    names.release()
    connecting.result()
    assert client.state is ConnectionState.OPEN


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 64 + ".example"])
def test_a_name_that_nobody_knows(make_client: MakeClient, hostile: MakeHostile, host: str) -> None:
    server: HostileServer = hostile()
    client = make_client(
        server, url=f"ws://{host}", http_url=f"http://{server.address}", reconnect=None, allow_plaintext=True
    )
    with pytest.raises(NetworkError) as caught:
        client.connect()
    assert (caught.value.step, caught.value.host) == ("DNS", f"{host}:80")
    assert_ended()


@pytest.mark.parametrize("whose", ["the proxy's", "the server's"])
def test_names_on_the_way_to_a_proxy(
    hostile: MakeHostile, make_client: MakeClient, names: BlockedNames, whose: str
) -> None:
    server: HostileServer = hostile()
    proxy = ProxyServer(socks4)
    try:
        address = proxy.address.replace("127.0.0.1", "localhost") if whose == "the proxy's" else proxy.address
        url = by_name(server) if whose == "the server's" else server.ws_url
        client = make_client(server, url=url, proxy=f"socks4://{address}")
        with pytest.raises(ConnectTimeoutError) as caught:
            client.connect(timeout=0.3)
        assert "in time" in str(caught.value.last_error)
        assert client_threads() == []
        assert proxy.accepted == 0
    finally:
        proxy.stop()
