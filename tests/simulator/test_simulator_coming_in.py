"""Login, validation and handshake, their rules and their refusals."""

from __future__ import annotations

from contextlib import closing
from typing import Any, Callable, Dict, Optional

import pytest
import requests
import websocket

from onetrade_ws.simulator import Simulator
from tests.simulator.conftest import Connect
from tests.simulator.plain_client import (
    TIMEOUT,
    Http,
    PlainClient,
    RawSocket,
    data_of,
    handshake,
    handshake_path,
    refusal_of,
    validate,
)

OpenSocket = Callable[..., RawSocket]


def log_in(sim: Simulator, api_key: Optional[str] = None, grant_type: str = "api_key") -> requests.Response:
    return requests.post(
        f"{sim.http_url}/api/v1/oauth2/login",
        params={"remember_me": "false", "grant_type": grant_type},
        headers={"API-Key": sim.api_key if api_key is None else api_key},
        timeout=TIMEOUT,
    )


def refused_status(sim: Simulator, path: Optional[str] = None) -> int:
    """The status with which a handshake is refused."""
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(sim.ws_url + (path or handshake_path(sim)), timeout=TIMEOUT).close()
    status = refused.value.status_code
    assert isinstance(status, int)
    return status


def test_login_gives_the_credentials_with_which_everything_else_works(sim: Simulator) -> None:
    assert data_of(log_in(sim)) == {"access_token": sim.access_token, "session_id": sim.session_id}


def test_login_refuses_another_key_and_another_grant(sim: Simulator) -> None:
    assert log_in(sim, api_key="wrong").status_code == 401
    assert log_in(sim, grant_type="password").status_code == 400
    assert (
        requests.post(f"{sim.http_url}/api/v1/oauth2/login?grant_type=api_key", timeout=TIMEOUT).status_code
        == 401
    )


def test_validation_knows_its_sessions(sim: Simulator) -> None:
    assert data_of(validate(sim)) is None
    assert validate(sim, "somebody else").status_code == 401


def test_each_validation_admits_one_connection(sim: Simulator) -> None:
    assert refused_status(sim) == 401
    with closing(PlainClient(sim)):
        assert sim.connections == 1
    sim.wait_for(lambda sim: sim.connections == 0)
    assert refused_status(sim) == 401


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?session_id={s}",
        "?access_token={t}",
        "?session_id={s}&access_token=x",
        "?session_id=x&access_token={t}",
    ],
)
def test_handshake_needs_both_credentials(sim: Simulator, query: str) -> None:
    validate(sim)
    path = "/ws/v1" + query.format(s=sim.session_id, t=sim.access_token)
    assert refused_status(sim, path) == 401
    assert sim.connections_total == 0


def test_an_open_websocket_holds_its_session_until_it_is_gone(sim: Simulator, connect: Connect) -> None:
    client = connect()
    answer = validate(sim)
    assert answer.status_code == 400
    assert refusal_of(answer) == "session is already used"
    client.vanish()  # no close frame: the next request finds it gone all the same
    assert validate(sim).status_code == 200


def test_a_held_session_is_refused_until_it_is_released(sim: Simulator) -> None:
    sim.hold_session()
    assert refusal_of(validate(sim)) == "session is already used"
    assert validate(sim).status_code == 400
    sim.release_session()
    assert validate(sim).status_code == 200


def test_sessions_of_their_own_come_in_side_by_side(sim: Simulator, connect: Connect) -> None:
    first, second = connect(), connect(sim.add_session("another"))
    sim.info("to all")
    assert first.sync() == second.sync() == [("info", {"message": "to all"})]
    assert sim.connections == 2


def test_a_logged_out_session_is_told_and_refused(sim: Simulator, client: PlainClient, http: Http) -> None:
    session_id = sim.session_id
    sim.log_out()
    assert client.sync() == [("session_logout", {"session_id": session_id})]
    assert validate(sim).status_code == 401
    assert http.call("GET", "/account").status_code == 401
    assert refused_status(sim) == 401
    fresh = data_of(log_in(sim))
    assert fresh["session_id"] != session_id
    assert fresh == {"access_token": sim.access_token, "session_id": sim.session_id}
    assert validate(sim).status_code == 200
    assert http.get("/account") == sim.account


def test_a_logout_can_concern_another_session_or_revoke_nothing(sim: Simulator, client: PlainClient) -> None:
    other = sim.add_session()
    sim.log_out(other.session_id)
    sim.log_out("nobody's")
    sim.log_out(revoke=False)
    ids = [event.data["session_id"] for event in client.sync()]
    assert ids == [other.session_id, "nobody's", sim.session_id]
    assert validate(sim, other.session_id).status_code == 401
    sim.drop()
    assert validate(sim).status_code == 200


def test_refusals_come_in_turn_and_run_out(sim: Simulator) -> None:
    sim.refuse_validation(times=0)
    sim.refuse_validation()
    sim.refuse_validation(503, "busy", times=2, headers={"Retry-After": "3"})
    answers = [validate(sim) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [400, 503, 503, 200]
    assert refusal_of(answers[0]) == "session is already used"
    assert refusal_of(answers[1]) == "busy"
    assert answers[1].headers["Retry-After"] == "3"


def test_refusals_without_end_end_with_allow(sim: Simulator) -> None:
    sim.refuse_login(403, times=None)
    sim.refuse_validation(times=None)
    sim.refuse_handshake(times=None)
    for _ in range(3):
        assert log_in(sim).status_code == 403
        assert validate(sim).status_code == 400
        assert refused_status(sim) == 401
    sim.allow()
    assert log_in(sim).status_code == 200
    with closing(PlainClient(sim)) as client:
        assert client.sync() == []


def test_refusing_a_handshake_does_not_use_up_the_validation(sim: Simulator) -> None:
    validate(sim)
    sim.refuse_handshake(503, "not now")
    assert refused_status(sim) == 503
    websocket.create_connection(sim.ws_url + handshake_path(sim), timeout=TIMEOUT).close()
    assert sim.connections_total == 1


@pytest.mark.parametrize(
    ("body", "received"),
    [
        (b"\xff\x00", b"\xff\x00"),
        ("<p>no</p>", b"<p>no</p>"),
        ({"message": "no"}, b'{"message":"no"}'),
        (b"", b""),
    ],
)
def test_a_refusal_can_have_any_body(sim: Simulator, body: Any, received: bytes) -> None:
    sim.refuse_validation(599, body=body, headers={"Content-Type": "text/html"})
    answer = validate(sim)
    assert (answer.status_code, answer.content) == (599, received)
    assert answer.headers["Content-Type"] == "text/html"


def test_the_handshake_is_answered_as_rfc_6455_says(sim: Simulator, raw: OpenSocket) -> None:
    validate(sim)
    connection = raw()
    connection.send(handshake(handshake_path(sim), Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ=="))
    status, *headers = connection.read_head().split("\r\n")
    assert status == "HTTP/1.1 101 Switching Protocols"
    assert "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in headers  # the example of RFC 6455
    assert "Upgrade: websocket" in headers
    assert "Connection: Upgrade" in headers


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Host": None}, 400),
        ({"Upgrade": None}, 426),
        ({"Upgrade": "h2c"}, 426),
        ({"Connection": "keep-alive"}, 426),
        ({"Sec_WebSocket_Version": "8"}, 426),
        ({"Sec_WebSocket_Key": None}, 400),
        ({"Sec_WebSocket_Key": "c2hvcnQ="}, 400),
        ({"Sec_WebSocket_Key": "no base64!"}, 400),
    ],
)
def test_a_wrong_handshake_is_refused(
    sim: Simulator, raw: OpenSocket, changes: Dict[str, Optional[str]], status: int
) -> None:
    validate(sim)
    connection = raw()
    connection.send(handshake(handshake_path(sim), **changes))
    head = connection.read_head()
    assert head.startswith(f"HTTP/1.1 {status} ")
    assert ("Sec-WebSocket-Version: 13" in head) == (status == 426)
    assert sim.connections_total == 0


def test_a_handshake_is_a_get_of_http_1_1(sim: Simulator, raw: OpenSocket) -> None:
    assert requests.post(f"{sim.http_url}/ws/v1", timeout=TIMEOUT).status_code == 400
    validate(sim)
    connection = raw()
    connection.send(handshake(handshake_path(sim)).replace("HTTP/1.1", "HTTP/1.0"))
    assert connection.read_head().startswith("HTTP/1.1 400 ")


def test_credentials_are_url_decoded() -> None:
    with Simulator(live=False, session_id="a b/ü+", access_token="c&d=é%") as sim, closing(PlainClient(sim)):
        assert sim.requests[0].path == "/ws/v1/a%20b%2F%C3%BC%2B"
        assert sim.requests[1].query == {"session_id": "a b/ü+", "access_token": "c&d=é%"}


# --- HTTP itself


def test_requests_share_a_connection_and_may_come_in_pieces_or_at_once(
    sim: Simulator, raw: OpenSocket
) -> None:
    connection = raw()
    request = f"POST /ws/v1/{sim.session_id} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}"
    for piece in (request[:9], request[9:-1], request[-1:] + request + request):
        connection.send(piece)
    for _ in range(3):
        head = connection.read_head()
        assert head.startswith("HTTP/1.1 200 OK")
        assert "Connection: keep-alive" in head
        length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
        assert b"session validated" in connection.read(length)
    assert [request.body for request in sim.requests] == [b"{}"] * 3


@pytest.mark.parametrize(("version", "header"), [("1.1", "Connection: close"), ("1.0", "Accept: */*")])
def test_a_connection_is_closed_when_the_client_wants_that(
    sim: Simulator, raw: OpenSocket, version: str, header: str
) -> None:
    connection = raw()
    connection.send(f"POST /ws/v1/{sim.session_id} HTTP/{version}\r\nHost: x\r\n{header}\r\n\r\n")
    answer = connection.read_to_end()
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"Connection: close" in answer


def test_http_1_0_can_keep_a_connection(sim: Simulator, raw: OpenSocket) -> None:
    connection = raw()
    for _ in range(2):
        connection.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        head = connection.read_head()
        connection.read(int(head.split("Content-Length: ")[1].split("\r\n")[0]))
    assert len(sim.requests) == 2


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        ("nonsense\r\n\r\n", 400),
        ("GET / HTTP/2\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nspace : x\r\n\r\n", 400),
        ("GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        ("POST / HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n", 413),
        ("POST / HTTP/1.1\r\nContent-Length: " + "9" * 5000 + "\r\n\r\n", 413),
        ("GET / HTTP/1.1\r\nX: " + "x" * 65_536, 431),
        ("GET / HTTP/1.1\r\nX: " + "x" * 65_536 + "\r\n\r\n", 431),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_no_request_is_refused_and_the_connection_closed(
    sim: Simulator, raw: OpenSocket, request_text: str, status: int
) -> None:
    connection = raw()
    connection.send(request_text)
    answer = connection.read_to_end()
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b'"success":false' in answer
    assert sim.requests == ()
