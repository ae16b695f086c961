"""TLS: the certificate is checked, before anything is said."""

from __future__ import annotations

import ssl
import threading
from pathlib import Path
from typing import Any, Callable, List

import pytest

from onetrade_ws import (
    CertificateError,
    ClientEventType,
    ConnectionLostError,
    ConnectionState,
    ConnectTimeoutError,
    NetworkError,
)
from tests.connection import certificates
from tests.connection.conftest import (
    Background,
    MakeClient,
    MakeHostile,
    client_threads,
    connect_and_wait,
)
from tests.connection.hostile import TIMEOUT, HostileServer, Peer, event_frame


def test_both_steps_trust_the_private_authority(
    hostile: MakeHostile, make_client: MakeClient, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        while "question" not in peer.read_frame().text:
            pass
        peer.send(event_frame("answer"))
        peer.serve()

    server: HostileServer = hostile(script, tls=tls)
    client = make_client(server, ssl_context=trusting)
    client.connect()
    with client.expect("answer", timeout=TIMEOUT):
        client.send("question")
    assert [request.method for request in server.requests] == ["POST", "GET"]
    assert server.requests[1].headers["host"] == server.address
    client.disconnect()
    assert client_threads() == []
    assert server.frames[-1].payload == b"\x03\xe8"


def test_by_name(
    hostile: MakeHostile, make_client: MakeClient, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    server = hostile(tls=tls)
    client = make_client(server, url=server.ws_url.replace("127.0.0.1", "localhost"), ssl_context=trusting)
    client.connect()
    assert client.state is ConnectionState.OPEN


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("as_directory", [False, True])
def test_the_bundle_that_the_environment_names(
    hostile: MakeHostile,
    make_client: MakeClient,
    authority: certificates.Authority,
    tls: ssl.SSLContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    as_directory: bool,
) -> None:
    bundle = tmp_path / "bundle.pem"
    authority.cert_pem.write_to_path(str(bundle))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path if as_directory else bundle))
    client = make_client(hostile(tls=tls))
    if as_directory:
        # Without the names that OpenSSL looks for there is nothing in it; it must not be taken for a file.
        with pytest.raises(CertificateError):
            client.connect()
    else:
        client.connect()
        assert client.state is ConnectionState.OPEN


@pytest.mark.parametrize("step", ["validation", "WebSocket"])
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (certificates.of_an_unknown_authority, "certificate"),
        (certificates.of_another_address, "mismatch|match"),
        (certificates.expired, "expired"),
    ],
)
def test_a_bad_certificate_is_final(
    hostile: MakeHostile,
    make_client: MakeClient,
    authority: certificates.Authority,
    trusting: ssl.SSLContext,
    bad: Callable[[certificates.Authority], ssl.SSLContext],
    words: str,
    step: str,
) -> None:
    server: HostileServer = hostile(tls=bad(authority))
    good: HostileServer = hostile()
    http_url = server.http_url if step == "validation" else good.http_url
    client = make_client(server, http_url=http_url, ssl_context=trusting)
    with pytest.raises(CertificateError, match=words) as caught:
        client.connect()
    assert caught.value.host == server.address
    # Not asked again, and not a byte of a request before the certificate was accepted.
    assert server.accepted == 1
    assert server.requests == []
    assert client_threads() == []
    with pytest.raises(CertificateError):
        client.wait(TIMEOUT)


def test_a_name_in_the_subject_alone_is_none(
    hostile: MakeHostile,
    make_client: MakeClient,
    authority: certificates.Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the library's own context, on the Python versions whose default one still looks there, too."""
    bundle = tmp_path / "bundle.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    server: HostileServer = hostile(tls=certificates.named_in_its_subject_alone(authority))
    client = make_client(server, url=server.ws_url.replace("127.0.0.1", "localhost"))
    with pytest.raises(CertificateError):
        client.connect()
    assert server.requests == []


def test_a_private_authority_is_not_trusted_by_itself(
    hostile: MakeHostile, make_client: MakeClient, tls: ssl.SSLContext
) -> None:
    server: HostileServer = hostile(tls=tls)
    with pytest.raises(CertificateError):
        make_client(server).connect()
    assert server.requests == []


def test_a_certificate_that_turns_bad_ends_a_reconnecting_client(
    hostile: MakeHostile,
    make_client: MakeClient,
    authority: certificates.Authority,
    tls: ssl.SSLContext,
    trusting: ssl.SSLContext,
) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.read_frame()
        authority.issue_cert("example.org").configure_cert(tls)

    server: HostileServer = hostile(script, tls=tls)
    client = make_client(server, ssl_context=trusting, account_updates=False)
    with pytest.raises(CertificateError):
        connect_and_wait(client)
    assert [request.method for request in server.requests] == ["POST", "GET"]


@pytest.mark.parametrize("step", ["validation", "WebSocket"])
def test_a_server_that_never_answers_the_hello(
    hostile: MakeHostile, make_client: MakeClient, trusting: ssl.SSLContext, step: str
) -> None:
    silent: HostileServer = hostile(tcp=Peer.read_until_end)
    good: HostileServer = hostile()
    url = silent.ws_url.replace("ws", "wss")
    http_url = (
        silent.ws_url.replace("ws", "https") if step == "validation" else good.ws_url.replace("ws", "http")
    )
    client = make_client(silent, url=url, http_url=http_url, ssl_context=trusting)
    with pytest.raises(ConnectTimeoutError) as caught:
        # Enough for the validation, where the hello comes after it.
        client.connect(timeout=1.0 if step == "WebSocket" else 0.3)
    error = caught.value.last_error
    assert isinstance(error, NetworkError)
    assert error.step == ("session validation" if step == "validation" else "TLS")
    assert client_threads() == []


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x03\x00\x02\x02\x28", b""]
)
@pytest.mark.parametrize("step", ["validation", "WebSocket"])
def test_a_server_that_does_not_speak_tls(
    hostile: MakeHostile, make_client: MakeClient, trusting: ssl.SSLContext, answer: bytes, step: str
) -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(answer)
        peer.finish()

    plain: HostileServer = hostile(tcp=script)
    good: HostileServer = hostile()
    http_url = (
        plain.ws_url.replace("ws", "https") if step == "validation" else good.ws_url.replace("ws", "http")
    )
    client = make_client(
        plain, url=plain.ws_url.replace("ws", "wss"), http_url=http_url, ssl_context=trusting, reconnect=None
    )
    with pytest.raises(NetworkError) as caught:
        client.connect()
    assert caught.value.step == ("session validation" if step == "validation" else "TLS")
    assert caught.value.reason
    assert client_threads() == []


def test_a_protocol_that_the_client_refuses(
    hostile: MakeHostile, make_client: MakeClient, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    trusting.minimum_version = ssl.TLSVersion.TLSv1_3
    server: HostileServer = hostile(tls=tls)
    client = make_client(server, ssl_context=trusting, reconnect=None)
    with pytest.raises(NetworkError):
        client.connect()
    assert server.requests == []


def test_large_messages_both_ways_at_once(
    hostile: MakeHostile, make_client: MakeClient, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    count, size = 20, 500_000

    def script(peer: Peer) -> None:
        # All of it is sent before any of it is read: the client must read while its own writing is stuck.
        peer.upgrade()
        go_on.wait(TIMEOUT)
        for number in range(count):
            peer.send(event_frame("down", [number, "x" * size]))
        peer.serve()

    go_on = threading.Event()
    server: HostileServer = hostile(script, tls=tls, receive_buffer=4096)
    client = make_client(server, ssl_context=trusting)
    stream = client.events("down", timeout=TIMEOUT)
    client.connect()

    def send_much() -> None:
        for number in range(count):
            client.send("up", [number, "y" * size])

    sending = Background(send_much)
    go_on.set()
    received = [next(stream).data for _ in range(count)]
    sending.result()
    server.wait_for(lambda server: len(server.messages()) == count + 1)
    assert [number for number, _ in received] == list(range(count))
    assert all(text == "x" * size for _, text in received)
    sent = server.messages()[1:]
    assert all(text.startswith(f'{{"type":"up","data":[{number},') for number, text in enumerate(sent))
    assert client.stats().connections == 1


@pytest.mark.parametrize("end", [Peer.close, Peer.finish], ids=["close", "finish"])
def test_each_record_before_the_end_is_read(
    hostile: MakeHostile,
    make_client: MakeClient,
    tls: ssl.SSLContext,
    trusting: ssl.SSLContext,
    end: Callable[[Peer], None],
) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        while "begin" not in peer.read_frame().text:
            pass
        if peer.number == 1:
            # A record each, of all sizes.
            for number in range(500):
                peer.send(event_frame("numbered", [number, "x" * (number * 37)]))
            end(peer)
        else:
            peer.serve()

    client = make_client(hostile(script, tls=tls), ssl_context=trusting)
    numbers: List[int] = []
    client.subscribe("numbered", lambda event: numbers.append(event.data[0]))
    client.connect()
    with client.expect(ClientEventType.RECONNECTING, timeout=TIMEOUT) as lost:
        client.send("begin")
    assert numbers == list(range(500))
    assert isinstance(lost.event.data.reason, ConnectionLostError)


def test_a_loss_over_tls_is_mended(
    hostile: MakeHostile, make_client: MakeClient, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    ends: Any = {1: Peer.reset, 2: Peer.close, 3: Peer.finish}

    def script(peer: Peer) -> None:
        peer.upgrade()
        while "leave" not in peer.read_frame().text:
            pass
        ends.get(peer.number, Peer.serve)(peer)

    client = make_client(hostile(script, tls=tls), ssl_context=trusting)
    client.connect()
    for _ in ends:
        with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
            client.send("leave")
    assert client.state is ConnectionState.OPEN
    assert client.stats().connections == 4


@pytest.mark.parametrize("stuck", ["reading", "writing"])
def test_disconnect_over_tls(
    hostile: MakeHostile, make_client: MakeClient, tls: ssl.SSLContext, trusting: ssl.SSLContext, stuck: str
) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.hold()

    server: HostileServer = hostile(script, tls=tls, receive_buffer=4096)
    client = make_client(server, ssl_context=trusting, heartbeat_timeout=60)
    client.connect()
    begun = threading.Semaphore(0)

    def send_much() -> None:
        for _ in range(20 if stuck == "writing" else 0):
            begun.release()
            client.send("much", "x" * 1_000_000)

    sending = Background(send_much)
    if stuck == "writing":
        for _ in range(2):
            assert begun.acquire(timeout=TIMEOUT)
    client.disconnect()
    sending.result()
    assert client.state is ConnectionState.CLOSED
    assert client_threads() == []
