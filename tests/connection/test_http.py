"""Login and session validation over HTTP, and the answer to the handshake, from servers that mean no good."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any, Callable, List

import pytest

from onetrade_ws import (
    AuthenticationError,
    ConnectionState,
    ConnectTimeoutError,
    HandshakeError,
    NetworkError,
    ServerError,
    SessionInUseError,
)
from onetrade_ws.simulator import Simulator
from tests.connection.conftest import MakeClient, MakeHostile, client_threads
from tests.connection.hostile import HostileServer, Peer


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("door", ["login", "validation", "handshake"])
def test_redirects_are_not_followed(
    simulator: Simulator, hostile: MakeHostile, make_client: MakeClient, status: int, door: str
) -> None:
    target: HostileServer = hostile()
    scheme = "ws" if door == "handshake" else "http"
    location = f"{scheme}://{target.address}/ws/v1/?session_id=a&access_token=b"
    getattr(simulator, f"refuse_{door}")(status, "moved", headers={"Location": location}, times=None)
    settings = {"api_key": simulator.api_key} if door == "login" else {}
    client = make_client(simulator, reconnect=None, **settings)
    with pytest.raises((ServerError, HandshakeError), match=str(status)) as caught:
        client.connect()
    if isinstance(caught.value, HandshakeError):
        assert "not followed" in str(caught.value)
    assert target.accepted == 0
    assert location not in str(caught.value)


def big(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
    while True:
        peer.send(b"x" * 100_000)


def big_and_chunked(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        peer.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")


def a_bomb(peer: Peer) -> None:
    body = gzip.compress(b"x" * 50_000_000)
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    peer.read_until_end()


@pytest.mark.parametrize("script", [big, big_and_chunked, a_bomb])
def test_an_endless_body_is_not_read_to_its_end(
    hostile: MakeHostile, make_client: MakeClient, script: Any
) -> None:
    client = make_client(hostile(http=script))
    # So much of it as is read says nothing against the session.
    client.connect()
    assert client.state is ConnectionState.OPEN


def endless_head(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        peer.send(b"X-Filler: " + b"x" * 1000 + b"\r\n")


def endless_line(peer: Peer) -> None:
    while True:
        peer.send(b"HTTP/1.1 200 " + b"x" * 100_000)


def not_http(peer: Peer) -> None:
    peer.send(b"SSH-2.0-OpenSSH_9.6\r\n")
    peer.read_until_end()


def bad_gzip(peer: Peer) -> None:
    peer.answer(200, b"this is no gzip", headers="Content-Encoding: gzip\r\n")


def half_a_gzip(peer: Peer) -> None:
    peer.answer(200, gzip.compress(bytes(range(256)))[:-20], headers="Content-Encoding: gzip\r\n")


def packed_twice(peer: Peer) -> None:
    peer.answer(200, gzip.compress(gzip.compress(b"{}")), headers="Content-Encoding: gzip, gzip\r\n")


def endless_chunk_head(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;")
    while True:
        peer.send(b"x" * 100_000)


def bad_chunks(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    peer.finish()


def half_a_body(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    peer.finish()


@pytest.mark.parametrize(
    "script",
    [
        Peer.close,
        Peer.reset,
        Peer.finish,
        endless_head,
        endless_line,
        not_http,
        bad_gzip,
        half_a_gzip,
        packed_twice,
        endless_chunk_head,
        bad_chunks,
        half_a_body,
    ],
)
@pytest.mark.parametrize("door", ["login", "validation"])
def test_an_answer_that_is_none(
    simulator: Simulator, hostile: MakeHostile, make_client: MakeClient, script: Any, door: str
) -> None:
    server: HostileServer = hostile(http=script)
    settings = {"api_key": "key"} if door == "login" else {}
    client = make_client(server, reconnect=None, **settings)
    with pytest.raises(NetworkError) as caught:
        client.connect()
    assert caught.value.step == ("login" if door == "login" else "session validation")
    assert caught.value.host == server.address
    assert caught.value.reason
    assert client_threads() == []


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("X-GZip", gzip.compress), ("deflate", zlib.compress)]
)
def test_an_answer_that_is_packed_without_being_asked_for(
    hostile: MakeHostile, make_client: MakeClient, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    body = pack(b'{"success": false, "message": "session is already used"}')
    server = hostile(http=lambda peer: peer.answer(400, body, headers=f"Content-Encoding: {encoding}\r\n"))
    with pytest.raises(SessionInUseError):
        make_client(server).connect()
    assert server.requests[0].headers["accept-encoding"] == "identity"


def drip_a_body(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
    drip(peer)


def drip_a_head(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nX-Filler: ")
    drip(peer)


def drip_a_handshake(peer: Peer) -> None:
    if peer.request.method == "POST":
        peer.answer(200)
    peer.send(b"HTTP/1.1 101 Switching Protocols\r\nX-Filler: ")
    drip(peer)


def drip_a_refusal(peer: Peer) -> None:
    if peer.request.method == "POST":
        peer.answer(200)
    peer.send(b"HTTP/1.1 401 No\r\nContent-Length: 10000\r\n\r\n")
    drip(peer)


def drip(peer: Peer) -> None:
    # One byte at a time, slowly: no single wait for one ever takes long.
    while True:
        peer.send(b" ")
        peer.pause(0.02)


@pytest.mark.parametrize("script", [drip_a_body, drip_a_head, drip_a_handshake])
def test_a_dripped_answer_is_given_up_in_time(
    hostile: MakeHostile, make_client: MakeClient, script: Any
) -> None:
    server: HostileServer = hostile(script, http=script)
    client = make_client(server)
    with pytest.raises(ConnectTimeoutError) as caught:
        client.connect(timeout=0.3)
    assert client_threads() == []
    assert isinstance(caught.value.last_error, NetworkError)
    assert "in time" in caught.value.last_error.reason


def test_a_dripped_refusal_is_understood_as_far_as_it_came(
    hostile: MakeHostile, make_client: MakeClient
) -> None:
    # As far as it came when there was no more time: so long this test takes.
    client = make_client(hostile(drip_a_refusal, http=drip_a_refusal))
    with pytest.raises(AuthenticationError):
        client.connect(timeout=3.0)
    assert client_threads() == []


def test_netrc_is_not_sent_along(
    simulator: Simulator, make_client: MakeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    make_client(simulator, api_key=simulator.api_key).connect()
    assert len(simulator.requests) == 3
    assert all("authorization" not in request.headers for request in simulator.requests)


def test_cookies_are_neither_kept_nor_sent(simulator: Simulator, make_client: MakeClient) -> None:
    cookie = {"Set-Cookie": "tracking=1; Path=/"}
    simulator.refuse_validation(503, "later", headers=cookie)
    simulator.refuse_handshake(503, "later", headers=cookie)
    make_client(simulator).connect()
    assert len(simulator.requests) == 5
    assert all("cookie" not in request.headers for request in simulator.requests)


def test_an_envelope_may_be_split_and_padded(hostile: MakeHostile, make_client: MakeClient) -> None:
    def script(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        for piece in (b'  {"success": false, "mess', b'age": "Session IS ALREADY', b' used"}\n'):
            peer.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        peer.send(b"0\r\n\r\n")
        peer.finish()

    with pytest.raises(SessionInUseError):
        make_client(hostile(http=script)).connect()


def test_nothing_but_what_is_needed_is_said_about_us(simulator: Simulator, make_client: MakeClient) -> None:
    make_client(simulator).connect()
    validation = simulator.requests[0]
    assert validation.body == b""
    allowed: List[str] = [
        "host", "user-agent", "accept-encoding", "accept", "connection", "content-length",
    ]  # fmt: skip
    assert set(validation.headers) <= set(allowed)
