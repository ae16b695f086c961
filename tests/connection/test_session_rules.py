"""What the server says about the session, and what the client makes of it: one test a rule."""

from __future__ import annotations

import json
from typing import Any, List, Type

import pytest

from onetrade_ws import (
    AuthenticationError,
    ClientEventType,
    ConnectionClosedError,
    ConnectionState,
    Event,
    EventMessageType,
    ReconnectPolicy,
    ServerError,
    SessionInUseError,
    SessionLoggedOutError,
)
from onetrade_ws.simulator import Simulator
from tests.connection.conftest import (
    MakeClient,
    MakeHostile,
    client_threads,
    connect_and_wait,
    connected,
    read_until,
)
from tests.connection.hostile import TIMEOUT, HostileServer, Peer, close_frame, event_frame


def policy(**settings: Any) -> ReconnectPolicy:
    return ReconnectPolicy(**{"initial_delay": 0.01, "max_delay": 0.05, "stable_after": 0.0, **settings})


def validations(simulator: Simulator) -> int:
    """How many session validations arrived."""
    return sum(request.method == "POST" for request in simulator.requests)


# -- while reconnecting ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["validation", "handshake"])
@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_end_a_reconnecting_client_at_once(
    simulator: Simulator, make_client: MakeClient, door: str, status: int
) -> None:
    client = make_client(simulator)
    stream = connected(client, ClientEventType.RECONNECTING)
    getattr(simulator, f"refuse_{door}")(status, "expired", times=None)
    requests = len(simulator.requests)
    simulator.drop()
    with pytest.raises(AuthenticationError) as caught:
        client.wait(TIMEOUT)
    assert caught.value.status == status
    assert len(simulator.requests) - requests == (1 if door == "validation" else 2)
    seen: List[Event] = []
    with pytest.raises(AuthenticationError):
        seen.extend(stream)
    assert client.state is ConnectionState.CLOSED
    assert client_threads() == []


@pytest.mark.parametrize("door", ["validation", "handshake"])
def test_session_in_use_after_a_loss_may_be_our_own_dead_connection(
    simulator: Simulator, make_client: MakeClient, door: str
) -> None:
    client = make_client(simulator, reconnect=policy(session_in_use_attempts=3))
    told: List[Event] = []
    client.subscribe(ClientEventType.SESSION_IN_USE, told.append)
    client.connect()
    getattr(simulator, f"refuse_{door}")(400, "session is already used", times=3)
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
        simulator.drop()
    assert validations(simulator) == 1 + 3 + 1
    assert told == []
    assert not client.account.two_tabs_detected


@pytest.mark.parametrize("attempts", [0, 1, 3])
def test_session_in_use_for_too_long_is_taken_for_what_it_says(
    simulator: Simulator, make_client: MakeClient, attempts: int
) -> None:
    client = make_client(simulator, reconnect=policy(session_in_use_attempts=attempts))
    told: List[Any] = []
    client.subscribe(ClientEventType.SESSION_IN_USE, lambda event: told.append(event.data))
    client.connect()
    simulator.hold_session()
    simulator.drop()
    with pytest.raises(SessionInUseError) as caught:
        client.wait(TIMEOUT)
    assert told == [caught.value]
    assert client.account.two_tabs_detected
    assert validations(simulator) == 1 + attempts + 1
    assert client.state is ConnectionState.CLOSED


def test_answers_of_in_use_are_counted_anew_after_each_connection(
    simulator: Simulator, make_client: MakeClient
) -> None:
    client = make_client(simulator, reconnect=policy(session_in_use_attempts=2))
    client.connect()
    for _ in range(3):
        simulator.refuse_validation(times=2)
        with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
            simulator.drop()
    assert client.state is ConnectionState.OPEN


def test_the_policys_limit_holds_for_session_in_use_too(
    simulator: Simulator, make_client: MakeClient
) -> None:
    client = make_client(simulator, reconnect=policy(session_in_use_attempts=8, max_attempts=2))
    client.connect()
    simulator.hold_session()
    simulator.drop()
    with pytest.raises(Exception, match="gave up after 2 attempts") as caught:
        client.wait(TIMEOUT)
    assert isinstance(caught.value.last_error, SessionInUseError)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"success": False, "code": 401, "message": "expired"}, AuthenticationError),
        ({"success": False, "code": 403, "error": "forbidden"}, AuthenticationError),
    ],
)
def test_a_refusal_under_status_200_counts_while_reconnecting_too(
    simulator: Simulator, make_client: MakeClient, answer: Any, kind: Type[ServerError]
) -> None:
    client = make_client(simulator)
    client.connect()
    simulator.refuse_validation(200, body=answer, times=None)
    simulator.drop()
    with pytest.raises(kind):
        client.wait(TIMEOUT)
    assert validations(simulator) == 2


# -- session_logout --------------------------------------------------------------------------------------------


def test_a_logout_of_ours_ends_the_client(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    order: List[Any] = []
    client.subscribe(None, lambda event: order.append(event.type))
    client.connect()
    simulator.log_out()
    with pytest.raises(SessionLoggedOutError) as caught:
        client.wait(TIMEOUT)
    assert client.state is ConnectionState.CLOSED
    assert client_threads() == []
    assert client.account.session_logged_out
    # First the server's words, then what the client makes of them.
    assert order[-4:] == [
        EventMessageType.SESSION_LOGOUT,
        ClientEventType.SESSION_LOGGED_OUT,
        ClientEventType.STATE_CHANGED,
        ClientEventType.STATE_CHANGED,
    ]
    assert ClientEventType.RECONNECTING not in order
    assert "logged out" in str(caught.value)
    # It said goodbye, and did not come back.
    simulator.wait_for(lambda simulator: simulator.connections == 0)
    assert simulator.messages[-1].opcode == 8
    assert validations(simulator) == 1


def test_the_event_carries_the_reason(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    client.connect()
    with client.expect(ClientEventType.SESSION_LOGGED_OUT, timeout=TIMEOUT) as expected:
        simulator.log_out()
    assert isinstance(expected.event.data, SessionLoggedOutError)
    with pytest.raises(SessionLoggedOutError) as caught:
        client.wait(TIMEOUT)
    assert caught.value is expected.event.data


def logout_of(server: HostileServer) -> bytes:
    return event_frame("session_logout", {"session_id": server.session_id})


@pytest.mark.parametrize("end", [Peer.reset, Peer.close, Peer.finish, None])
@pytest.mark.parametrize("behind", [b"", close_frame(1000), event_frame("more"), b"\x81"])
def test_a_server_that_hangs_up_right_behind_the_logout_is_not_asked_again(
    hostile: MakeHostile, make_client: MakeClient, end: Any, behind: bytes
) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        while "start_account_all" not in peer.read_frame().text:
            pass
        peer.send(logout_of(server) + behind)
        if end is None:
            peer.serve()
        # A reset could overtake what was sent before it.
        elif end is Peer.reset and not behind:
            peer.read_frame()
        if end is not None:
            end(peer)

    server: HostileServer = hostile(script)
    client = make_client(server)
    with pytest.raises(SessionLoggedOutError):
        connect_and_wait(client)
    assert server.validations == 1


def test_a_logout_that_comes_with_the_handshake(hostile: MakeHostile, make_client: MakeClient) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade(logout_of(server))
        peer.serve()

    server: HostileServer = hostile(script)
    client = make_client(server)
    with pytest.raises(SessionLoggedOutError):
        connect_and_wait(client)
    assert server.validations == 1


def test_a_logout_of_another_session_is_only_delivered(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    client.connect()
    with client.expect(EventMessageType.SESSION_LOGOUT, timeout=TIMEOUT) as expected:
        simulator.log_out("somebody-else")
    assert expected.event.data.session_id == "somebody-else"
    with client.expect("still there", timeout=TIMEOUT):
        simulator.emit("still there")
    assert client.state is ConnectionState.OPEN
    assert not client.account.session_logged_out


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"session_logout"}',
        '{"type":"session_logout","data":null}',
        '{"type":"session_logout","data":{"session_id":5}}',
        '{"type":"session_logout","data":[]}',
        '{"type":"session_logout","data":{"session_id":"',
        '{"type":"info","data":{"message":"session_logout SESSION"}}',
        '{"type":"gossip","data":{"type":"session_logout","data":{"session_id":"SESSION"}}}',
    ],
)
def test_what_only_looks_like_a_logout_ends_nothing(
    simulator: Simulator, make_client: MakeClient, text: str
) -> None:
    client = make_client(simulator)
    client.connect()
    with client.expect("still there", timeout=TIMEOUT):
        simulator.emit_text(text.replace("SESSION", simulator.session_id))
        simulator.emit("still there")
    assert client.state is ConnectionState.OPEN


def test_a_logout_in_a_binary_frame_ends_nothing(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    client.connect()
    logout = json.dumps({"type": "session_logout", "data": {"session_id": simulator.session_id}})
    with client.expect("still there", timeout=TIMEOUT):
        simulator.emit_binary(logout.encode())
        simulator.emit("still there")
    assert client.state is ConnectionState.OPEN


def test_what_came_before_the_logout_is_delivered(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    seen: List[Any] = []
    client.subscribe("numbered", lambda event: seen.append(event.data))
    client.connect()
    for number in range(100):
        simulator.emit("numbered", number)
    simulator.log_out()
    with pytest.raises(SessionLoggedOutError):
        client.wait(TIMEOUT)
    assert seen == list(range(100))


def test_logged_out_by_api_key_and_logged_in_anew(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator, api_key=simulator.api_key)
    client.connect()
    old = simulator.session_id
    simulator.log_out()
    with pytest.raises(SessionLoggedOutError):
        client.wait(TIMEOUT)
    client.connect()
    assert client.state is ConnectionState.OPEN
    assert simulator.session_id != old
    with client.expect("settled", timeout=TIMEOUT):
        simulator.emit("settled")
    assert not client.account.session_logged_out


def test_logged_out_while_down_is_refused_at_the_door(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    client.connect()
    simulator.refuse_validation(503, "down")
    simulator.reset()
    simulator.log_out()
    with pytest.raises(AuthenticationError):
        client.wait(TIMEOUT)


# -- close codes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code", [1000, 1001, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 3000, 4000, 4001, 4999]
)
def test_a_close_by_the_server_is_a_loss(simulator: Simulator, make_client: MakeClient, code: int) -> None:
    client = make_client(simulator)
    stream = connected(client, ClientEventType.GAP)
    simulator.close(code, "words of the server")
    events = read_until(stream, lambda event: event.type is ClientEventType.GAP)
    reason = events[-1].data.reason
    assert type(reason) is ConnectionClosedError
    assert (reason.code, reason.reason) == (code, "words of the server")
    assert str(reason) == f"the server closed the connection (code {code}): words of the server"
    assert events[0].data.reason is reason
    # Its close frame was answered, with nothing behind the answer.
    closing = [message for message in simulator.messages if message.connection == 1]
    assert closing[-1].opcode == 8
    assert client.state is ConnectionState.OPEN
