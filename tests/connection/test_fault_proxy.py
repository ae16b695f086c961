"""The fault proxy does what it says: otherwise nothing that is measured through it means anything."""

from __future__ import annotations

import socket
import threading
import time
from typing import Callable, Iterator, List, Tuple

import pytest

from tests.connection.fault_proxy import CHOPPED, HEALTHY, STALLED, FaultProxy, Then, Treatment
from tests.connection.hostile import TIMEOUT

Connect = Callable[[], Tuple[socket.socket, socket.socket]]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(TIMEOUT)
        yield listening


@pytest.fixture
def proxy(listener: socket.socket) -> Iterator[FaultProxy]:
    with FaultProxy(listener.getsockname()) as proxy:
        yield proxy


@pytest.fixture
def connect(listener: socket.socket, proxy: FaultProxy) -> Iterator[Connect]:
    """Makes the two ends of a connection through the proxy: the client's and the server's."""
    ends: List[socket.socket] = []

    def make() -> Tuple[socket.socket, socket.socket]:
        client = socket.create_connection(("127.0.0.1", proxy.port), TIMEOUT)
        ends.append(client)
        server, _ = listener.accept()
        ends.append(server)
        server.settimeout(TIMEOUT)
        return client, server

    yield make
    for end in ends:
        end.close()


def receive(sock: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        more = sock.recv(length - len(data))
        assert more, f"the end after {len(data)} bytes"
        data += more
    return data


def receive_all(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(65536), b""))


def test_it_passes_everything_on_in_both_directions(connect: Connect) -> None:
    client, server = connect()
    data = bytes(range(256)) * 40_000
    writer = threading.Thread(target=client.sendall, args=(data,))
    writer.start()
    assert receive(server, len(data)) == data
    writer.join()
    server.sendall(b"answer")
    server.close()
    assert receive_all(client) == b"answer"


@pytest.mark.parametrize("length", [0, 1, 1000, 300_000])
def test_it_cuts_after_exactly_so_many_bytes_to_the_client(
    proxy: FaultProxy, connect: Connect, length: int
) -> None:
    client, server = connect()
    server.sendall(b"before")
    assert receive(client, 6) == b"before"
    proxy.treat(down=Treatment(forward=length, then=Then.CLOSE))
    server.sendall(b"x" * 400_000 if length else b"x")
    assert receive_all(client) == b"x" * length
    assert receive_all(server) == b""


@pytest.mark.parametrize("length", [1, 1000])
def test_it_cuts_after_exactly_so_many_bytes_to_the_server(
    proxy: FaultProxy, connect: Connect, length: int
) -> None:
    client, server = connect()
    proxy.treat(up=Treatment(forward=length, then=Then.CLOSE))
    client.sendall(b"y" * 5000)
    assert receive_all(server) == b"y" * length
    assert receive_all(client) == b""


def test_a_cut_can_be_a_reset(proxy: FaultProxy, connect: Connect) -> None:
    client, server = connect()
    proxy.treat(down=Treatment(forward=3, then=Then.RESET))
    server.sendall(b"abcdef")
    with pytest.raises(ConnectionResetError):
        receive_all(client)
    with pytest.raises(ConnectionResetError):
        receive_all(server)


@pytest.mark.parametrize("reset", [False, True])
def test_it_ends_what_is_there(proxy: FaultProxy, connect: Connect, reset: bool) -> None:
    client, server = connect()
    proxy.end(reset=reset)
    for end in (client, server):
        if reset:
            with pytest.raises(ConnectionResetError):
                end.recv(1)
        else:
            assert end.recv(1) == b""


def test_what_stalls_is_held_and_arrives_when_that_is_over(proxy: FaultProxy, connect: Connect) -> None:
    client, server = connect()
    proxy.treat(down=STALLED)
    server.sendall(b"held")
    client.sendall(b"not held")
    assert receive(server, 8) == b"not held"
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(1)
    client.settimeout(TIMEOUT)
    proxy.treat(down=HEALTHY)
    assert receive(client, 4) == b"held"


def test_it_stalls_after_exactly_so_many_bytes(proxy: FaultProxy, connect: Connect) -> None:
    client, server = connect()
    proxy.treat(down=Treatment(forward=3, then=Then.STALL))
    server.sendall(b"abcdef")
    assert receive(client, 3) == b"abc"
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(1)
    client.settimeout(TIMEOUT)
    proxy.treat()
    assert receive(client, 3) == b"def"


def test_a_client_that_leaves_a_stall_takes_the_connection_with_it(
    proxy: FaultProxy, connect: Connect
) -> None:
    client, server = connect()
    proxy.treat(up=STALLED, down=STALLED)
    client.sendall(b"held")
    client.close()
    with pytest.raises(ConnectionResetError):
        server.recv(1)


def test_a_blackhole_accepts_and_answers_nothing(proxy: FaultProxy, connect: Connect) -> None:
    proxy.blackhole_next()
    client, server = connect()
    server.sendall(b"lost")
    client.sendall(b"lost")
    second_client, second_server = connect()
    second_server.sendall(b"seen")
    assert receive(second_client, 4) == b"seen"
    for end in (client, server):
        end.setblocking(False)
        with pytest.raises(BlockingIOError):
            end.recv(1)


def test_chopped_bytes_all_arrive(proxy: FaultProxy, connect: Connect) -> None:
    client, server = connect()
    proxy.treat(up=CHOPPED, down=CHOPPED)
    data = bytes(range(256)) * 20
    server.sendall(data)
    assert receive(client, len(data)) == data
    client.sendall(data)
    assert receive(server, len(data)) == data


def test_a_delay_is_one(proxy: FaultProxy, connect: Connect) -> None:
    client, server = connect()
    proxy.treat(down=Treatment(delay=0.05))
    started = time.monotonic()
    server.sendall(b"late")
    assert receive(client, 4) == b"late"
    assert time.monotonic() - started >= 0.05
    proxy.treat(down=Treatment(delay=3600.0))
    server.sendall(b"later")
    proxy.treat()
    assert receive(client, 5) == b"later"


def test_a_refusal_is_one_and_ends(proxy: FaultProxy, connect: Connect) -> None:
    client, server = connect()
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port), TIMEOUT)
    client.sendall(b"still there")
    assert receive(server, 11) == b"still there"
    proxy.listen()
    connect()
    assert proxy.accepted == 2


def test_an_orphan_is_released(proxy: FaultProxy, connect: Connect) -> None:
    client, server = connect()
    proxy.orphan()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    server.setblocking(False)
    with pytest.raises(BlockingIOError):
        server.recv(1)
    server.settimeout(TIMEOUT)
    proxy.release()
    with pytest.raises(ConnectionResetError):
        server.recv(1)


def test_it_takes_less_than_it_is_given_until_it_is_read(proxy: FaultProxy, connect: Connect) -> None:
    _, server = connect()
    proxy.treat(down=STALLED)
    server.settimeout(0.2)
    with pytest.raises(socket.timeout):
        server.sendall(bytes(64 * 1024 * 1024))
