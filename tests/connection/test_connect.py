"""connect(): the documented flow, its passing troubles and its final answers."""

from __future__ import annotations

import json
import logging
import threading
from contextlib import closing
from typing import Any, Dict, List, Tuple, Type, Union

import pytest

from onetrade_ws import (
    AuthenticationError,
    ClientEventType,
    ConnectError,
    ConnectionClosedError,
    ConnectionState,
    ConnectTimeoutError,
    HandshakeError,
    NetworkError,
    NotConnectedError,
    OneTradeClient,
    ReconnectPolicy,
    ServerError,
    SessionInUseError,
)
from onetrade_ws.connection.lifecycle import Lifecycle
from onetrade_ws.simulator import Simulator
from tests.connection.conftest import (
    Background,
    MakeClient,
    MakeHostile,
    client_threads,
    connect_and_wait,
    messages,
    run_python,
)
from tests.connection.hostile import TIMEOUT, HostileServer, Peer, free_port, validated, well_behaved


def test_the_documented_flow_in_its_order(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    client.subscribe_market(1)
    client.send("queued", {"first": True})
    client.connect()
    assert client.state is ConnectionState.OPEN
    simulator.wait_for(lambda simulator: ("queued", {"first": True}) in messages(simulator, 1))
    validation, handshake = simulator.requests
    assert (validation.method, validation.path) == ("POST", f"/ws/v1/{simulator.session_id}")
    assert (handshake.method, handshake.path) == ("GET", "/ws/v1")
    assert handshake.query == {"session_id": simulator.session_id, "access_token": simulator.access_token}
    assert [message.text for message in simulator.messages] == [
        "9",
        '{"type":"start_account_all","data":null}',
        '{"type":"market_subscribe_symbol","data":1}',
        '{"type":"queued","data":{"first":true}}',
    ]


def test_credentials_are_encoded_in_addresses(make_client: MakeClient) -> None:
    with Simulator(live=False, session_id="a/b?c d&e=é", access_token="+/=%41&#ü") as simulator:
        client = make_client(simulator)
        client.connect()
        validation, handshake = simulator.requests
        assert validation.path == "/ws/v1/a%2Fb%3Fc%20d%26e%3D%C3%A9"
        assert handshake.query == {"session_id": "a/b?c d&e=é", "access_token": "+/=%41&#ü"}
        client.disconnect()


def test_the_two_steps_may_have_different_servers(
    simulator: Simulator, hostile: MakeHostile, make_client: MakeClient
) -> None:
    websocket_only = hostile()
    client = make_client(websocket_only, http_url=simulator.http_url, session_id=simulator.session_id)
    client.connect()
    assert [request.method for request in simulator.requests] == ["POST"]
    assert [request.method for request in websocket_only.requests] == ["GET"]


def test_addresses_with_a_path(hostile: MakeHostile, make_client: MakeClient) -> None:
    server = hostile()
    make_client(server, url=f"{server.ws_url}/gateway/").connect()
    validation, handshake = server.requests
    assert validation.target == "/gateway/ws/v1/hostile-session"
    assert handshake.target.startswith("/gateway/ws/v1?session_id=hostile-session&access_token=")


def test_a_name_with_several_addresses(simulator: Simulator, make_client: MakeClient) -> None:
    # localhost may be ::1 first, where nobody listens.
    client = make_client(simulator, url=f"ws://localhost:{simulator.port}")
    client.connect()
    assert client.state is ConnectionState.OPEN


def test_connect_when_open_returns_at_once(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    client.connect()
    client.connect()
    assert simulator.connections_total == 1
    assert len(simulator.requests) == 2


def test_connect_joins_one_that_is_under_way(simulator: Simulator, make_client: MakeClient) -> None:
    simulator.freeze()
    client = make_client(simulator)
    calls = [Background(client.connect) for _ in range(3)]
    simulator.thaw()
    for call in calls:
        call.result()
    assert client.state is ConnectionState.OPEN
    assert simulator.connections_total == 1
    assert len(simulator.requests) == 2


def test_joining_has_a_timeout_of_its_own(hostile: MakeHostile, make_client: MakeClient) -> None:
    server = hostile(tcp=Peer.hold)
    client = make_client(server, http_url=hostile().ws_url.replace("ws", "http"))
    first = Background(client.connect)
    server.wait_for(lambda server: server.accepted)
    with pytest.raises(ConnectTimeoutError):
        client.connect(timeout=0.05)
    # The one that was joined goes on.
    assert client.state is ConnectionState.CONNECTING
    client.disconnect()
    assert isinstance(first.error(), NotConnectedError)


def test_a_joined_connect_that_is_refused_is_refused_for_both(
    hostile: MakeHostile, make_client: MakeClient
) -> None:
    def script(peer: Peer) -> None:
        server.wait_for(lambda server: joined)
        peer.answer(401, {"success": False, "message": "no"})

    joined: List[bool] = []
    server = hostile(script)
    client = make_client(server)
    first = Background(client.connect)
    server.wait_for(lambda server: server.handshakes)
    second = Background(client.connect)
    server.note(lambda: joined.append(True))
    assert isinstance(first.error(), AuthenticationError)
    assert isinstance(second.error(), AuthenticationError)
    assert client.state is ConnectionState.CLOSED


# -- no connection in time ------------------------------------------------------------------------------------


def silent_at_tcp(hostile: MakeHostile) -> HostileServer:
    server: HostileServer = hostile(tcp=Peer.hold)
    return server


def silent_at_validation(hostile: MakeHostile) -> HostileServer:
    server: HostileServer = hostile(http=Peer.read_until_end)
    return server


def half_a_head_at_validation(hostile: MakeHostile) -> HostileServer:
    def script(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5")
        peer.read_until_end()

    server: HostileServer = hostile(http=script)
    return server


def half_a_body_at_validation(hostile: MakeHostile) -> HostileServer:
    def script(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{")
        peer.read_until_end()

    server: HostileServer = hostile(http=script)
    return server


def silent_at_handshake(hostile: MakeHostile) -> HostileServer:
    server: HostileServer = hostile(Peer.read_until_end)
    return server


def half_a_handshake(hostile: MakeHostile) -> HostileServer:
    def script(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: web")
        peer.read_until_end()

    server: HostileServer = hostile(script)
    return server


@pytest.mark.parametrize(
    ("start", "step"),
    [
        (silent_at_tcp, "session validation"),
        (silent_at_validation, "session validation"),
        (half_a_head_at_validation, "session validation"),
        (half_a_body_at_validation, "session validation"),
        (silent_at_handshake, "handshake"),
        (half_a_handshake, "handshake"),
    ],
)
def test_no_connection_in_time(hostile: MakeHostile, make_client: MakeClient, start: Any, step: str) -> None:
    client = make_client(start(hostile))
    # Enough for the steps before.
    timeout = 2.0 if step == "handshake" else 0.3
    with pytest.raises(ConnectTimeoutError) as caught:
        client.connect(timeout=timeout)
    assert client_threads() == []
    assert client.state is ConnectionState.CLOSED
    assert caught.value.timeout == timeout
    assert caught.value.attempts >= 1
    assert isinstance(caught.value.last_error, NetworkError)
    assert caught.value.last_error.step == step
    assert str(caught.value.last_error) in str(caught.value)
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, ConnectError)


def test_a_server_that_refuses_connections(simulator: Simulator, make_client: MakeClient) -> None:
    held, port = free_port()
    with closing(held):
        client = make_client(simulator, url=f"ws://127.0.0.1:{port}")
        with pytest.raises(ConnectTimeoutError) as caught:
            client.connect(timeout=2.0)
    assert isinstance(caught.value.last_error, NetworkError)
    assert caught.value.last_error.step == "session validation"
    assert "refused" in caught.value.last_error.reason.lower()
    assert caught.value.attempts > 1


def test_a_websocket_server_that_refuses_connections(simulator: Simulator, make_client: MakeClient) -> None:
    held, port = free_port()
    with closing(held):
        client = make_client(simulator, url=f"ws://127.0.0.1:{port}", http_url=simulator.http_url)
        with pytest.raises(ConnectTimeoutError) as caught:
            client.connect(timeout=2.0)
    assert isinstance(caught.value.last_error, NetworkError)
    assert caught.value.last_error.step == "TCP"
    assert "refused" in caught.value.last_error.reason.lower()
    assert caught.value.attempts > 1


@pytest.mark.parametrize("http_url", [None, "simulator"])
def test_a_name_that_does_not_exist(simulator: Simulator, make_client: MakeClient, http_url: str) -> None:
    client = make_client(
        simulator,
        url="wss://nosuch.invalid",
        http_url=simulator.http_url if http_url else None,
        reconnect=None,
    )
    with pytest.raises(NetworkError) as caught:
        client.connect()
    assert caught.value.host == "nosuch.invalid:443"
    assert caught.value.step == ("DNS" if http_url else "session validation")
    assert client_threads() == []


def test_no_time_at_all(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    with pytest.raises(ConnectTimeoutError):
        client.connect(timeout=0)
    assert client_threads() == []
    client.connect()
    assert client.state is ConnectionState.OPEN


def test_the_timeout_is_a_setting(hostile: MakeHostile, make_client: MakeClient) -> None:
    client = make_client(silent_at_handshake(hostile), connect_timeout=0.2)
    with pytest.raises(ConnectTimeoutError) as caught:
        client.connect()
    assert caught.value.timeout == 0.2


def test_a_frozen_server_and_the_same_client_again(simulator: Simulator, make_client: MakeClient) -> None:
    simulator.freeze()
    client = make_client(simulator)
    with pytest.raises(ConnectTimeoutError):
        client.connect(timeout=0.2)
    simulator.thaw()
    client.connect()
    assert client.state is ConnectionState.OPEN


# -- passing troubles ------------------------------------------------------------------------------------------


def test_what_may_pass_is_tried_again(
    simulator: Simulator, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "onetrade_ws")
    simulator.refuse_validation(500, "oops", times=2)
    client = make_client(simulator)
    client.connect()
    assert [request.method for request in simulator.requests] == ["POST", "POST", "POST", "GET"]
    lines = [record.message for record in caplog.records]
    assert len(lines) == 2
    assert all("HTTP 500: oops" in line and "trying again" in line for line in lines)


@pytest.mark.parametrize("status", [300, 302, 307, 400, 404, 429, 500, 502, 503])
def test_a_handshake_that_is_refused_may_pass(
    simulator: Simulator, make_client: MakeClient, status: int
) -> None:
    simulator.refuse_handshake(status, "later", headers={"Location": "http://127.0.0.1:1/"})
    client = make_client(simulator)
    client.connect()
    assert [request.method for request in simulator.requests] == ["POST", "GET"] * 2


def test_each_trouble_is_one_log_line_whatever_the_logger(
    simulator: Simulator, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    simulator.refuse_handshake(500, "oops", times=2)
    make_client(simulator).connect()
    assert [record.name for record in caplog.records] == ["onetrade_ws.connection"] * 2


def test_a_server_that_starts_late(simulator: Simulator, make_client: MakeClient) -> None:
    simulator.stop()
    client = make_client(simulator)
    connecting = Background(client.connect)
    simulator.start()
    connecting.result()
    assert client.state is ConnectionState.OPEN


def test_without_a_policy_the_first_trouble_is_the_answer(
    simulator: Simulator, make_client: MakeClient
) -> None:
    simulator.refuse_validation(503, "down")
    client = make_client(simulator, reconnect=None)
    with pytest.raises(ServerError) as caught:
        client.connect()
    assert (caught.value.step, caught.value.status, caught.value.message) == (
        "session validation",
        503,
        "down",
    )
    assert len(simulator.requests) == 1
    assert client_threads() == []
    client.connect()
    assert client.state is ConnectionState.OPEN


def test_the_policys_limit_holds_for_connecting_too(simulator: Simulator, make_client: MakeClient) -> None:
    simulator.refuse_validation(503, "down", times=None)
    client = make_client(
        simulator, reconnect=ReconnectPolicy(initial_delay=0.01, max_delay=0.05, max_attempts=2)
    )
    with pytest.raises(ServerError):
        client.connect()
    assert len(simulator.requests) == 2


def test_a_connection_lost_at_once_without_a_policy(hostile: MakeHostile, make_client: MakeClient) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade(b"\x88\x02\x03\xf5")  # a close frame: 1013
        peer.serve()

    client = make_client(hostile(script), reconnect=None)
    with pytest.raises(ConnectionClosedError) as caught:
        connect_and_wait(client)
    assert caught.value.code == 1013


# -- final answers ---------------------------------------------------------------------------------------------

ENVELOPE_401 = {"success": False, "code": 401, "data": None, "error": "", "message": "expired"}
IN_USE = {"success": False, "code": 400, "data": None, "error": "session is already used", "message": ""}

FINAL: List[Tuple[int, Union[str, Dict[str, Any]], Type[ServerError]]] = [
    (401, ENVELOPE_401, AuthenticationError),
    (401, "", AuthenticationError),
    (403, "<html>forbidden</html>", AuthenticationError),
    (400, IN_USE, SessionInUseError),
    (400, "Session is already used", SessionInUseError),
    (409, {"message": "sorry: session is already used!"}, SessionInUseError),
    (400, {"success": False, "data": {"reason": "session is already used"}}, SessionInUseError),
]


@pytest.mark.parametrize("door", ["validation", "handshake"])
@pytest.mark.parametrize(("status", "body", "kind"), FINAL)
def test_a_final_answer_raises_at_once(
    simulator: Simulator,
    make_client: MakeClient,
    door: str,
    status: int,
    body: Union[str, Dict[str, Any]],
    kind: Type[ServerError],
) -> None:
    getattr(simulator, f"refuse_{door}")(status, body=body)
    client = make_client(simulator)
    with pytest.raises(kind) as caught:
        client.connect()
    assert type(caught.value) is kind
    assert caught.value.status == status
    assert caught.value.step == ("handshake" if door == "handshake" else "session validation")
    assert len(simulator.requests) == (2 if door == "handshake" else 1)
    assert client_threads() == []
    assert client.state is ConnectionState.CLOSED
    with pytest.raises(kind):
        client.wait(TIMEOUT)
    client.connect()
    assert simulator.connections == 1


@pytest.mark.parametrize(
    ("answer", "kind", "status"),
    [
        ({"success": False, "code": 401, "message": "expired"}, AuthenticationError, 401),
        ({"success": False, "code": 400, "error": "session is already used"}, SessionInUseError, 400),
        ({"success": False, "code": 500, "message": "oops"}, ServerError, 500),
        ({"success": False, "message": "no code"}, ServerError, 200),
        ({"success": False, "code": "401", "message": "a code that is none"}, ServerError, 200),
        ({"success": False, "code": 204, "message": "a code of success"}, ServerError, 200),
    ],
)
def test_a_refusal_in_an_envelope_under_status_200(
    simulator: Simulator,
    make_client: MakeClient,
    answer: Dict[str, Any],
    kind: Type[ServerError],
    status: int,
) -> None:
    simulator.refuse_validation(200, body=answer)
    client = make_client(simulator, reconnect=None)
    with pytest.raises(ServerError) as caught:
        client.connect()
    assert type(caught.value) is kind
    assert caught.value.status == status


@pytest.mark.parametrize(
    "answer",
    [b"", b"OK", b"null", b"[]", b'{"success":"false"}', b'{"success":null}', b"\xff", b"[" * 60_000],
)
def test_any_other_answer_under_status_200_is_a_success(
    simulator: Simulator, hostile: MakeHostile, make_client: MakeClient, answer: bytes
) -> None:
    server = hostile(http=lambda peer: peer.answer(200, answer))
    client = make_client(server)
    client.connect()
    assert client.state is ConnectionState.OPEN


def test_what_the_server_says_is_shown_shortened(simulator: Simulator, make_client: MakeClient) -> None:
    simulator.refuse_validation(503, "a\r\nb " + "x" * 10_000)
    client = make_client(simulator, reconnect=None)
    with pytest.raises(ServerError) as caught:
        client.connect()
    assert caught.value.message.startswith("a b xxx")
    assert len(caught.value.message) < 300
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "shown"), [("<html>x</html>", ""), (" too  much ", "too much"), (b"\xffx", "\ufffdx")]
)
def test_what_is_no_envelope_is_shown_unless_it_is_a_page(
    simulator: Simulator, make_client: MakeClient, body: Union[str, bytes], shown: str
) -> None:
    simulator.refuse_validation(503, body=body)
    client = make_client(simulator, reconnect=None)
    with pytest.raises(ServerError) as caught:
        client.connect()
    assert caught.value.message == shown
    assert str(caught.value).endswith(f": {shown}" if shown else "HTTP 503")


def test_session_in_use_is_told_as_an_event_too(simulator: Simulator, make_client: MakeClient) -> None:
    simulator.hold_session()
    client = make_client(simulator)
    seen: List[Any] = []
    client.subscribe(ClientEventType.SESSION_IN_USE, lambda event: seen.append(event.data))
    with pytest.raises(SessionInUseError) as caught:
        client.connect()
    assert seen == [caught.value]
    assert client.account.two_tabs_detected
    simulator.release_session()
    client.connect()
    with client.expect("settled", timeout=TIMEOUT):
        simulator.emit("settled")
    assert not client.account.two_tabs_detected


def test_two_clients_with_one_session(simulator: Simulator, make_client: MakeClient) -> None:
    first, second = make_client(simulator), make_client(simulator)
    first.connect()
    with pytest.raises(SessionInUseError):
        second.connect()
    first.disconnect()
    second.connect()
    assert second.state is ConnectionState.OPEN


# -- what is no WebSocket --------------------------------------------------------------------------------------


def wrong_accept(peer: Peer) -> None:
    peer.send(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"
    )
    peer.read_until_end()


def no_upgrade(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    peer.read_until_end()


def more_than_was_offered(peer: Peer) -> None:
    peer.send(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %s\r\nsec-websocket-extensions: permessage-deflate\r\n\r\n"
        % peer.accept_value().encode()
    )
    peer.read_until_end()


def a_header_that_is_none(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 101 Switching Protocols\r\nno colon here\r\n\r\n")
    peer.read_until_end()


def not_http(peer: Peer) -> None:
    peer.send(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    peer.read_until_end()


def no_status(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 fine\r\n\r\n")
    peer.read_until_end()


def a_page(peer: Peer) -> None:
    peer.answer(200, "<html>hello</html>")


def endless_headers(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 101 Switching Protocols\r\n")
    while True:
        peer.send(b"X-Filler: " + b"x" * 1000 + b"\r\n")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (wrong_accept, "breaks the protocol"),
        (no_upgrade, "breaks the protocol"),
        (more_than_was_offered, "not offered"),
        (a_header_that_is_none, "breaks the protocol"),
        (not_http, "not HTTP"),
        (no_status, "not HTTP"),
        (a_page, "answered HTTP 200, not 101"),
        (endless_headers, "no end"),
    ],
)
def test_the_other_side_does_not_speak_websocket(
    hostile: MakeHostile, make_client: MakeClient, script: Any, words: str
) -> None:
    server = hostile(script)
    client = make_client(server, reconnect=None)
    with pytest.raises(HandshakeError, match=words) as caught:
        client.connect()
    assert caught.value.host == server.address
    assert client_threads() == []


@pytest.mark.parametrize("end", [Peer.reset, Peer.close])
@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 101 Swi"])
def test_the_server_hangs_up_during_the_handshake(
    hostile: MakeHostile, make_client: MakeClient, end: Any, begun: bytes
) -> None:
    def script(peer: Peer) -> None:
        peer.send(begun)
        end(peer)

    client = make_client(hostile(script), reconnect=None)
    with pytest.raises(NetworkError) as caught:
        client.connect()
    assert caught.value.step == "handshake"


def test_a_refusal_without_a_length_says_what_it_can(hostile: MakeHostile, make_client: MakeClient) -> None:
    def script(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nsession is already used")
        peer.finish()

    client = make_client(hostile(script))
    with pytest.raises(SessionInUseError):
        client.connect()


def test_a_refusal_whose_body_does_not_come(hostile: MakeHostile, make_client: MakeClient) -> None:
    client = make_client(hostile(lambda peer: (peer.answer(401, "x" * 100, head_only=True), peer.close())))
    with pytest.raises(AuthenticationError):
        client.connect()


def test_a_refusal_whose_body_comes_in_pieces(hostile: MakeHostile, make_client: MakeClient) -> None:
    def script(peer: Peer) -> None:
        peer.answer(400, json.dumps(IN_USE), head_only=True)
        for byte in json.dumps(IN_USE).encode():
            peer.send(bytes([byte]))
        peer.finish()

    client = make_client(hostile(script))
    with pytest.raises(SessionInUseError):
        client.connect()


# -- API key ---------------------------------------------------------------------------------------------------


def test_an_api_key_logs_in_first(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator, api_key=simulator.api_key)
    client.connect()
    login, validation, handshake = simulator.requests
    assert (login.method, login.path) == ("POST", "/api/v1/oauth2/login")
    assert login.query == {"remember_me": "false", "grant_type": "api_key"}
    assert login.headers["api-key"] == simulator.api_key
    assert validation.path == f"/ws/v1/{simulator.session_id}"
    assert "api-key" not in validation.headers
    assert "api-key" not in handshake.headers


def test_each_connect_logs_in_and_a_reconnect_does_not(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator, api_key=simulator.api_key)
    client.connect()
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
        simulator.drop()
    client.disconnect()
    client.connect()
    assert [request.path.rpartition("/")[2] == "login" for request in simulator.requests] == [
        True, False, False, False, False, True, False, False,
    ]  # fmt: skip


def test_a_wrong_api_key_is_final(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator, api_key="wrong")
    with pytest.raises(AuthenticationError) as caught:
        client.connect()
    assert caught.value.step == "login"
    assert len(simulator.requests) == 1
    assert client_threads() == []


def test_a_login_that_fails_may_pass(simulator: Simulator, make_client: MakeClient) -> None:
    simulator.refuse_login(503, "busy", times=2)
    client = make_client(simulator, api_key=simulator.api_key)
    client.connect()
    assert client.state is ConnectionState.OPEN
    assert len(simulator.requests) == 5


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "[]",
        '{"success": true}',
        '{"data": []}',
        '{"data": {"session_id": "s"}}',
        '{"data": {"access_token": "t"}}',
        '{"data": {"session_id": "", "access_token": "t"}}',
        '{"data": {"session_id": 5, "access_token": "t"}}',
        '{"data": {"session_id": "s", "access_token": null}}',
    ],
)
def test_a_login_answer_without_credentials(simulator: Simulator, make_client: MakeClient, body: str) -> None:
    simulator.refuse_login(200, body=body)
    client = make_client(simulator, api_key=simulator.api_key, reconnect=None)
    with pytest.raises(ServerError, match="no session_id and access_token") as caught:
        client.connect()
    assert (caught.value.step, caught.value.status) == ("login", 200)


# -- interrupted -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [silent_at_handshake, silent_at_validation])
def test_disconnect_on_another_thread_ends_connect(
    hostile: MakeHostile, make_client: MakeClient, start: Any
) -> None:
    server = start(hostile)
    client = make_client(server, connect_timeout=60)
    connecting = Background(client.connect)
    wanted = 2 if start is silent_at_handshake else 1
    server.wait_for(lambda server: len(server.requests) == wanted)
    client.disconnect()
    assert isinstance(connecting.error(), NotConnectedError)
    assert client.state is ConnectionState.CLOSED
    assert client_threads() == []
    assert client.wait(TIMEOUT) is True


def test_disconnect_ends_all_who_wait_for_the_connection(
    hostile: MakeHostile, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = threading.Semaphore(0)
    wait_until = Lifecycle.wait_until

    def wait_and_tell(*arguments: Any, **options: Any) -> bool:
        waiting.release()
        return wait_until(*arguments, **options)

    # Nothing outside tells that a thread has joined the one that connects.
    monkeypatch.setattr(Lifecycle, "wait_until", wait_and_tell)
    server = silent_at_handshake(hostile)
    client = make_client(server)
    calls = [Background(client.connect)]
    server.wait_for(lambda server: server.handshakes)
    calls += [Background(client.connect), Background(client.connect)]
    for _ in calls:
        assert waiting.acquire(timeout=TIMEOUT)
    client.disconnect()
    for call in calls:
        assert isinstance(call.error(), NotConnectedError)
    assert client.state is ConnectionState.CLOSED
    assert server.handshakes == 1


def test_connect_disconnect_connect(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    for number in range(1, 4):
        client.connect()
        with client.expect("hello", timeout=TIMEOUT):
            simulator.emit("hello")
        client.disconnect()
        assert client.state is ConnectionState.CLOSED
        assert simulator.connections_total == number


def test_as_a_context_manager(simulator: Simulator, make_client: MakeClient) -> None:
    with make_client(simulator) as client:
        assert simulator.connections == 1
    assert client.state is ConnectionState.CLOSED
    assert client_threads() == []
    simulator.wait_for(lambda simulator: simulator.connections == 0)


def test_connect_inside_a_callback(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    outcome: List[ConnectionState] = []

    def start_over(event: object) -> None:
        client.disconnect()
        client.connect()
        outcome.append(client.state)

    client.subscribe("start over", start_over)
    client.connect()
    simulator.emit("start over")
    simulator.wait_for(lambda simulator: simulator.connections_total == 2)
    with client.expect("settled", timeout=TIMEOUT):
        simulator.wait_for(lambda simulator: ("start_account_all", None) in messages(simulator, 2))
        simulator.emit("settled")
    assert outcome == [ConnectionState.OPEN]


INTERRUPTED = """
import signal, socket, sys, threading
from onetrade_ws import OneTradeClient, ReconnectPolicy

# A shell may have it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
silent = socket.create_server(("127.0.0.1", 0))
address = "127.0.0.1:%d" % silent.getsockname()[1]
conversations = []

def listen():
    for _ in range(SILENT_AFTER):
        conversation, _ = silent.accept()
        conversations.append(conversation)
        conversation.recv(65536)
        conversation.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
        conversation.close()
    conversation, _ = silent.accept()
    conversations.append(conversation)
    conversation.recv(65536)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

listener = threading.Thread(target=listen)
listener.start()
client = OneTradeClient("ws://" + address, session_id="s", access_token="t", connect_timeout=40)
try:
    client.connect()
except KeyboardInterrupt:
    listener.join()
    print("interrupted", client.state.name, [thread.name for thread in threading.enumerate()])
for sock in [silent, *conversations]:
    sock.close()
"""


@pytest.mark.parametrize("silent_after", [1, 0], ids=["handshake", "validation"])
def test_ctrl_c_during_connect_leaves_nothing(silent_after: int) -> None:
    finished = run_python(INTERRUPTED.replace("SILENT_AFTER", str(silent_after)))
    assert finished.stdout == "interrupted CLOSED ['MainThread']\n"
    assert finished.stderr == ""
    assert finished.returncode == 0


def test_with_default_settings() -> None:
    with Simulator(live=False) as simulator:
        client = OneTradeClient(
            simulator.ws_url, session_id=simulator.session_id, access_token=simulator.access_token
        )
        with client:
            assert client.state is ConnectionState.OPEN


def test_the_handshake_of_a_good_server_is_enough(hostile: MakeHostile, make_client: MakeClient) -> None:
    server = hostile(well_behaved, http=validated)
    client = make_client(server)
    client.connect()
    handshake = server.requests[1]
    assert handshake.headers["sec-websocket-version"] == "13"
    assert handshake.headers["host"] == server.address
    assert "cookie" not in handshake.headers
    assert "authorization" not in handshake.headers
