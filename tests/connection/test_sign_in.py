"""Who logs in, when, and how often: with an API key, and never without."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Dict, List, Optional

import pytest

from onetrade_ws import (
    AuthenticationError,
    Candle,
    ClientEventType,
    ConnectionLostError,
    ConnectionState,
    Event,
    NetworkError,
    NotConnectedError,
    OneTradeClient,
    RateLimitedError,
    ServerError,
)
from onetrade_ws.config import make_settings
from onetrade_ws.connection.exchange import Exchange
from onetrade_ws.connection.sign_in import SignIn
from onetrade_ws.deadline import Deadline
from onetrade_ws.simulator import Simulator
from tests.connection.conftest import (
    Background,
    MakeClient,
    MakeHostile,
    became,
    client_threads,
    connected,
    join_client_threads,
    read_until,
)
from tests.connection.hostile import TIMEOUT, HostileServer, Peer, passing_on

NOON = datetime(2024, 3, 5, 12, tzinfo=timezone.utc)


def some_candles(client: OneTradeClient, **settings: Any) -> List[Candle]:
    return client.candles(1, NOON, NOON + timedelta(hours=5), 60, **settings)


def steps(simulator: Simulator, since: int = 0) -> List[str]:
    """What was asked for, in short."""
    return [_step(request.path, request.method) for request in simulator.requests[since:]]


def _step(path: str, method: str) -> str:
    if path.startswith("/ws/v1/"):
        return "validation"
    if path == "/ws/v1":
        return "handshake"
    return "login" if path.endswith("login") else "call"


@pytest.fixture
def keyed(simulator: Simulator, make_client: MakeClient) -> OneTradeClient:
    """A client with an API key, that loads nothing by itself."""
    return make_client(simulator, api_key=simulator.api_key)


# -- an API key logs in ------------------------------------------------------------------------------------------------


def test_a_call_before_connect_logs_in(simulator: Simulator, keyed: OneTradeClient) -> None:
    assert len(some_candles(keyed)) == 6
    assert steps(simulator) == ["login", "call"]
    assert len(some_candles(keyed)) == 6
    assert steps(simulator, 2) == ["call"]
    login, call = simulator.requests[:2]
    assert login.headers["api-key"] == simulator.api_key
    assert "api-key" not in call.headers
    assert call.headers["authorization"] == f"Bearer {simulator.access_token}"


def test_a_call_goes_by_the_session_of_the_connection(simulator: Simulator, keyed: OneTradeClient) -> None:
    keyed.connect()
    some_candles(keyed)
    keyed.disconnect()
    some_candles(keyed)
    assert steps(simulator) == ["login", "validation", "handshake", "call", "call"]


def test_a_name_before_connect_logs_in_for_both(simulator: Simulator, keyed: OneTradeClient) -> None:
    keyed.subscribe_market("EURUSD")
    keyed.connect()
    assert steps(simulator) == ["login", "call", "validation", "handshake"]
    # Of the next life, it is an earlier one's.
    keyed.disconnect()
    some_candles(keyed)
    keyed.connect()
    assert steps(simulator, 4) == ["call", "login", "validation", "handshake"]


def test_what_a_call_has_had_anew_is_good_for_the_next_life(
    simulator: Simulator, keyed: OneTradeClient
) -> None:
    keyed.connect()
    keyed.disconnect()
    simulator.expire_token()
    some_candles(keyed)
    keyed.connect()
    assert steps(simulator, 3) == ["call", "login", "call", "validation", "handshake"]


def test_a_life_that_never_opened_has_used_its_login(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator, api_key=simulator.api_key, reconnect=None)
    simulator.refuse_validation(503, "busy")
    with pytest.raises(ServerError):
        client.connect()
    client.connect()
    assert steps(simulator) == ["login", "validation", "login", "validation", "handshake"]


def test_a_token_that_expired_before_connect_is_had_anew(simulator: Simulator, keyed: OneTradeClient) -> None:
    some_candles(keyed)
    simulator.expire_token()
    keyed.connect()
    again = ["login", "validation", "handshake"]
    assert steps(simulator, 2) == ["validation", "handshake", *again]
    assert simulator.requests[-1].query["access_token"] == simulator.access_token


def test_a_session_that_ended_before_connect_is_had_anew(simulator: Simulator, keyed: OneTradeClient) -> None:
    some_candles(keyed)
    with simulator._lock:
        simulator._sessions.revoke(simulator.session_id)
    keyed.connect()
    assert steps(simulator, 2) == ["validation", "login", "validation", "handshake"]


@pytest.mark.parametrize("door", ["validation", "handshake"])
@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_login_of_before_is_worth_one_attempt(
    simulator: Simulator, keyed: OneTradeClient, door: str, status: int
) -> None:
    """Nobody says what a server answers to a session that is over."""
    some_candles(keyed)
    getattr(simulator, f"refuse_{door}")(status, "no such session", times=2)
    keyed.connect()
    once = ["validation"] if door == "validation" else ["validation", "handshake"]
    # It is had anew once: the second answer shows that it was not to blame.
    assert steps(simulator, 2) == [*once, "login", *once, "validation", "handshake"]


def test_a_login_that_a_call_was_refused_with_is_not_tried(
    simulator: Simulator, keyed: OneTradeClient
) -> None:
    simulator.refuse_calls(401, "no", times=None)
    with pytest.raises(AuthenticationError):
        some_candles(keyed)
    keyed.connect()
    assert steps(simulator) == ["login", "call", "login", "validation", "handshake"]


@pytest.mark.parametrize("token", ["a+b/c==", "a%20b", "to ken", '"quoted"', "~session-id~"])
def test_a_token_goes_into_a_header_as_it_is(make_client: MakeClient, token: str) -> None:
    with Simulator(live=False, access_token=token) as simulator:
        given = make_client(simulator, snapshot=True)
        keyed = make_client(simulator, api_key=simulator.api_key)
        for client in (given, keyed):
            assert len(some_candles(client)) == 6
        with given.expect(ClientEventType.RESYNCED, timeout=TIMEOUT):
            given.connect()


def test_two_threads_log_in_once(simulator: Simulator, keyed: OneTradeClient) -> None:
    together = threading.Barrier(4)

    def call() -> int:
        together.wait(TIMEOUT)
        return len(some_candles(keyed))

    assert [one.result() for one in [Background(call) for _ in range(4)]] == [6] * 4
    assert sorted(steps(simulator)) == ["call"] * 4 + ["login"]


def test_two_threads_whose_token_expired_log_in_once(simulator: Simulator, keyed: OneTradeClient) -> None:
    some_candles(keyed)
    simulator.expire_token()
    together = threading.Barrier(4)

    def call() -> int:
        together.wait(TIMEOUT)
        return len(some_candles(keyed))

    assert [one.result() for one in [Background(call) for _ in range(4)]] == [6] * 4
    assert steps(simulator, 2).count("login") == 1


# -- a token expires ---------------------------------------------------------------------------------------------------


def test_a_token_that_expired_is_had_anew_for_a_call(simulator: Simulator, keyed: OneTradeClient) -> None:
    stream = connected(keyed, "still there")
    simulator.expire_token()
    assert len(some_candles(keyed)) == 6
    assert steps(simulator, 3) == ["call", "login", "call"]
    assert simulator.requests[-1].headers["authorization"] == f"Bearer {simulator.access_token}"
    # The WebSocket has gone on.
    simulator.emit("still there")
    assert next(stream).type == "still there"
    assert simulator.connections_total == 1


def test_a_token_that_expired_is_had_anew_for_the_snapshot(
    simulator: Simulator, make_client: MakeClient
) -> None:
    client = make_client(simulator, api_key=simulator.api_key, snapshot=True)
    stream = client.events(ClientEventType.RESYNCED, ClientEventType.RESYNC_FAILED, timeout=TIMEOUT)
    simulator.refuse_calls(401, "expired", path="deals")
    client.connect()
    assert next(stream).type is ClientEventType.RESYNCED
    assert steps(simulator).count("login") == 2


def test_a_token_that_expired_is_had_anew_for_the_handshake(
    simulator: Simulator, keyed: OneTradeClient
) -> None:
    keyed.connect()
    with keyed.expect(ClientEventType.GAP, timeout=TIMEOUT):
        simulator.expire_token()
        simulator.drop()
    assert steps(simulator, 3) == ["validation", "handshake", "login", "validation", "handshake"]
    assert simulator.requests[-1].query["access_token"] == simulator.access_token


def test_a_session_that_is_refused_is_had_anew(simulator: Simulator, keyed: OneTradeClient) -> None:
    keyed.connect()
    with keyed.expect(ClientEventType.GAP, timeout=TIMEOUT):
        simulator.refuse_validation(401, "expired")
        simulator.drop()
    assert steps(simulator, 3) == ["validation", "login", "validation", "handshake"]


@pytest.mark.parametrize("door", ["validation", "handshake"])
@pytest.mark.parametrize("status", [400, 404])
def test_a_session_that_is_over_is_had_anew_whatever_the_server_calls_it(
    simulator: Simulator, keyed: OneTradeClient, door: str, status: int
) -> None:
    keyed.connect()
    with keyed.expect(ClientEventType.GAP, timeout=TIMEOUT):
        getattr(simulator, f"refuse_{door}")(status, "session not found", times=2)
        simulator.drop()
    once = ["validation"] if door == "validation" else ["validation", "handshake"]
    assert steps(simulator, 3) == [*once, "login", *once, "login", "validation", "handshake"]


@pytest.mark.parametrize(("status", "headers"), [(503, {}), (429, {"Retry-After": "0"})])
def test_what_has_nothing_to_do_with_the_session_does_not_cost_it(
    simulator: Simulator, keyed: OneTradeClient, status: int, headers: Dict[str, str]
) -> None:
    keyed.connect()
    with keyed.expect(ClientEventType.GAP, timeout=TIMEOUT):
        simulator.refuse_validation(status, "busy", headers=headers)
        simulator.drop()
    assert steps(simulator, 3) == ["validation", "validation", "handshake"]


def test_each_attempt_may_log_in_once(simulator: Simulator, keyed: OneTradeClient) -> None:
    keyed.connect()
    with keyed.expect(ClientEventType.GAP, timeout=TIMEOUT):
        simulator.refuse_validation(401, "expired")
        simulator.refuse_handshake(503, "busy")
        simulator.drop()
    with keyed.expect(ClientEventType.GAP, timeout=TIMEOUT):
        simulator.refuse_validation(401, "expired again")
        simulator.drop()
    again = ["validation", "login", "validation", "handshake"]
    assert steps(simulator, 3) == [*again, "validation", "handshake", *again]


def test_a_token_that_expires_while_reconnecting_is_had_anew_once_an_attempt(
    simulator: Simulator, keyed: OneTradeClient
) -> None:
    keyed.connect()
    with keyed.expect(ClientEventType.GAP, timeout=TIMEOUT):
        simulator.refuse_handshake(401, "expired")
        simulator.refuse_handshake(503, "busy")
        simulator.refuse_handshake(401, "expired again")
        simulator.drop()
    again = ["validation", "handshake", "login", "validation", "handshake"]
    assert steps(simulator, 3) == [*again, *again]


def test_in_each_life_a_token_may_expire_while_reconnecting(
    simulator: Simulator, keyed: OneTradeClient
) -> None:
    for _ in range(2):
        before = len(simulator.requests)
        stream = connected(keyed, ClientEventType.RECONNECTING, ClientEventType.GAP)
        simulator.refuse_validation(503, "busy", times=None)
        simulator.drop()
        read_until(stream, lambda event: event.type is ClientEventType.RECONNECTING)
        simulator.expire_token()
        simulator.allow()
        read_until(stream, lambda event: event.type is ClientEventType.GAP)
        seen = steps(simulator, before)
        assert seen[:3] == ["login", "validation", "handshake"]
        assert set(seen[3:-4]) == {"validation"}
        assert seen[-4:] == ["handshake", "login", "validation", "handshake"]
        keyed.disconnect()


# -- and is refused again ----------------------------------------------------------------------------------------------


def test_a_second_401_is_final_for_a_call(simulator: Simulator, keyed: OneTradeClient) -> None:
    some_candles(keyed)
    simulator.refuse_calls(401, "no", times=None)
    with pytest.raises(AuthenticationError) as caught:
        some_candles(keyed)
    assert (caught.value.step, caught.value.status) == ("candles", 401)
    assert steps(simulator, 2) == ["call", "login", "call"]
    simulator.allow()
    assert len(some_candles(keyed)) == 6


def test_a_token_of_a_moment_ago_is_not_had_anew(simulator: Simulator, keyed: OneTradeClient) -> None:
    simulator.refuse_calls(401, "no", times=None)
    with pytest.raises(AuthenticationError):
        some_candles(keyed)
    assert steps(simulator) == ["login", "call"]


@pytest.mark.parametrize("door", ["validation", "handshake"])
def test_a_second_401_is_final_for_the_connection(
    simulator: Simulator, keyed: OneTradeClient, door: str
) -> None:
    stream = connected(keyed)
    getattr(simulator, f"refuse_{door}")(401, "no", times=None)
    simulator.drop()
    read_until(stream, became(ConnectionState.CLOSED))
    with pytest.raises(AuthenticationError) as caught:
        keyed.wait(TIMEOUT)
    assert caught.value.status == 401
    once = ["validation"] if door == "validation" else ["validation", "handshake"]
    assert steps(simulator, 3) == [*once, "login", *once]
    join_client_threads()
    assert client_threads() == []


@pytest.mark.parametrize("door", ["validation", "handshake"])
def test_a_401_to_what_was_had_a_moment_ago_is_final(
    simulator: Simulator, keyed: OneTradeClient, door: str
) -> None:
    getattr(simulator, f"refuse_{door}")(401, "no", times=None)
    with pytest.raises(AuthenticationError):
        keyed.connect()
    once = ["validation"] if door == "validation" else ["validation", "handshake"]
    assert steps(simulator) == ["login", *once]


@pytest.mark.parametrize("status", [401, 403])
def test_a_login_that_is_refused_is_final(simulator: Simulator, keyed: OneTradeClient, status: int) -> None:
    simulator.refuse_login(status, "no", times=None)
    for call in (keyed.connect, lambda: some_candles(keyed)):
        before = len(simulator.requests)
        with pytest.raises(AuthenticationError) as caught:
            call()
        assert (caught.value.step, caught.value.status) == ("login", status)
        assert steps(simulator, before) == ["login"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_second_login_that_is_refused_is_final(
    simulator: Simulator, keyed: OneTradeClient, status: int
) -> None:
    stream = connected(keyed)
    simulator.expire_token()
    simulator.refuse_login(status, "no more", times=None)
    with pytest.raises(AuthenticationError) as caught:
        some_candles(keyed)
    assert (caught.value.step, caught.value.status) == ("login", status)
    assert steps(simulator, 3) == ["call", "login"]
    simulator.drop()
    read_until(stream, became(ConnectionState.CLOSED))
    with pytest.raises(AuthenticationError, match="login"):
        keyed.wait(TIMEOUT)
    assert steps(simulator, 5) == ["validation", "handshake", "login"]


def test_403_is_final_without_a_login(simulator: Simulator, keyed: OneTradeClient) -> None:
    stream = connected(keyed)
    simulator.refuse_calls(403, "not yours", times=None)
    with pytest.raises(AuthenticationError) as caught:
        some_candles(keyed)
    assert caught.value.status == 403
    assert steps(simulator, 3) == ["call"]
    simulator.refuse_handshake(403, "not yours", times=None)
    simulator.drop()
    read_until(stream, became(ConnectionState.CLOSED))
    assert steps(simulator, 4) == ["validation", "handshake"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_snapshot_is_not_asked_for_again(
    simulator: Simulator, make_client: MakeClient, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client(simulator, snapshot=True)
    simulator.refuse_calls(status, "no", times=None)
    stream = connected(client, ClientEventType.RESYNC_FAILED, "still there")
    error = read_until(stream, lambda event: event.type is ClientEventType.RESYNC_FAILED)[-1].data
    assert isinstance(error, AuthenticationError)
    assert client.account.status["orders"].reason is error
    simulator.emit("still there")
    assert next(stream).type == "still there"
    calls = len(simulator.requests)
    client.resync()
    assert next(stream).type is ClientEventType.RESYNC_FAILED
    assert len(simulator.requests) == calls + 1
    client.disconnect()
    # By now it has said of both what would come of them.
    lines = [record.getMessage() for record in caplog.records if record.name == "onetrade_ws.account"]
    assert lines == [f"the account could not be loaded: {error}"] * 2


# -- what may pass -----------------------------------------------------------------------------------------------------


def test_a_login_for_a_call_that_fails_may_pass(simulator: Simulator, keyed: OneTradeClient) -> None:
    simulator.refuse_login(503, "busy", times=2)
    simulator.refuse_login(429, "too fast", headers={"Retry-After": "0"})
    assert len(some_candles(keyed)) == 6
    assert steps(simulator) == ["login"] * 4 + ["call"]


def test_a_login_says_when_to_come_again(simulator: Simulator, keyed: OneTradeClient) -> None:
    simulator.refuse_login(429, "too fast", headers={"Retry-After": "3600"})
    with pytest.raises(RateLimitedError) as caught:
        some_candles(keyed)
    assert (caught.value.step, caught.value.retry_after) == ("login", 3600)
    assert steps(simulator) == ["login"]


@pytest.mark.parametrize("body", ["", "hello", '{"data": {"session_id": "s"}}'])
def test_a_login_for_a_call_without_credentials(
    simulator: Simulator, make_client: MakeClient, body: str
) -> None:
    simulator.refuse_login(200, body=body, times=None)
    client = make_client(simulator, api_key=simulator.api_key)
    with pytest.raises(ServerError, match="no session_id and access_token"):
        some_candles(client)
    assert steps(simulator) == ["login"]


# -- a session that was given ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["calls", "validation", "handshake"])
def test_with_a_session_nothing_logs_in(simulator: Simulator, make_client: MakeClient, door: str) -> None:
    client = make_client(simulator)
    stream = connected(client)
    getattr(simulator, f"refuse_{door}")(401, "expired", times=None)
    if door == "calls":
        with pytest.raises(AuthenticationError):
            some_candles(client)
        assert steps(simulator, 2) == ["call"]
    else:
        simulator.drop()
        read_until(stream, became(ConnectionState.CLOSED))
        with pytest.raises(AuthenticationError):
            client.wait(TIMEOUT)
    simulator.allow()
    client.disconnect()
    client.connect()
    some_candles(client)
    assert "login" not in steps(simulator)


# -- what is shown -----------------------------------------------------------------------------------------------------


def test_what_was_in_force_before_is_kept_out_of_sight(
    simulator: Simulator, keyed: OneTradeClient, caplog: pytest.LogCaptureFixture
) -> None:
    stream = connected(keyed, None)
    old = (simulator.session_id, simulator.access_token)
    # The session itself is another one now, and the WebSocket goes on with the old one.
    with simulator._lock:
        simulator._sessions.revoke(simulator.session_id)
    some_candles(keyed)
    assert old[0] != simulator.session_id
    for number, secret in enumerate((*old, simulator.session_id, simulator.access_token, simulator.api_key)):
        simulator.emit(f"number {number} is {secret}")
        # Whatever its name is shown as, the event has it.
        read_until(stream, named(f"number {number} is {secret}"))
        assert f"number {number} is" in caplog.text
        assert secret not in caplog.text


def named(name: str) -> Callable[[Event], bool]:
    return lambda event: event.type == name


# -- threads -----------------------------------------------------------------------------------------------------------


class SlowLogin:
    """A server between client and simulator, whose login waits until it is let go on."""

    def __init__(self, simulator: Simulator, hostile: MakeHostile) -> None:
        self.go_on = threading.Event()
        self._pass_on = passing_on(f"127.0.0.1:{simulator.port}", {})
        self.server: HostileServer = hostile(
            http=passing_on(f"127.0.0.1:{simulator.port}", {"login": self._wait})
        )

    def _wait(self, peer: Peer) -> None:
        self.go_on.wait(TIMEOUT)
        self._pass_on(peer)

    def settings(self, simulator: Simulator) -> Dict[str, Any]:
        return {"http_url": self.server.http_url, "api_key": simulator.api_key}


@pytest.fixture
def slow_login(simulator: Simulator, hostile: MakeHostile) -> SlowLogin:
    return SlowLogin(simulator, hostile)


def test_disconnect_does_not_wait_for_a_login_of_somebody_else(
    simulator: Simulator, make_client: MakeClient, slow_login: SlowLogin
) -> None:
    client = make_client(simulator, connect_timeout=TIMEOUT, **slow_login.settings(simulator))
    calling = Background(lambda: some_candles(client, timeout=TIMEOUT))
    slow_login.server.wait_for(lambda server: server.requests)
    connecting = Background(client.connect)
    client_is(client, ConnectionState.CONNECTING)
    client.disconnect(TIMEOUT)
    assert isinstance(connecting.error(), NotConnectedError)
    # Nor does who had begun it.
    with pytest.raises(ConnectionLostError):
        calling.result()
    assert client_threads() == []
    slow_login.go_on.set()
    assert len(some_candles(client)) == 6


def client_is(client: OneTradeClient, state: ConnectionState) -> None:
    """Wait for a state."""
    stream = client.events(ClientEventType.STATE_CHANGED, timeout=TIMEOUT)
    if client.state is not state:
        read_until(stream, became(state))


def test_a_call_waits_for_the_login_of_another_no_longer_than_it_may(
    simulator: Simulator, make_client: MakeClient, slow_login: SlowLogin
) -> None:
    client = make_client(simulator, **slow_login.settings(simulator))
    calling = Background(lambda: some_candles(client, timeout=TIMEOUT))
    slow_login.server.wait_for(lambda server: server.requests)
    with pytest.raises(NetworkError) as caught:
        some_candles(client, timeout=0.05)
    assert (caught.value.step, caught.value.host) == ("login", slow_login.server.address)
    slow_login.go_on.set()
    assert len(calling.result()) == 6
    assert steps(simulator) == ["login", "call"]


def test_a_login_under_way_is_good_for_connect(
    simulator: Simulator, make_client: MakeClient, slow_login: SlowLogin
) -> None:
    client = make_client(simulator, **slow_login.settings(simulator))
    calling = Background(lambda: some_candles(client, timeout=TIMEOUT))
    slow_login.server.wait_for(lambda server: server.requests)
    connecting = Background(client.connect)
    client_is(client, ConnectionState.CONNECTING)
    slow_login.go_on.set()
    connecting.result()
    assert len(calling.result()) == 6
    assert sorted(steps(simulator)) == ["call", "handshake", "login", "validation"]


def test_what_is_refused_late_does_not_count_against_the_next_login(simulator: Simulator) -> None:
    sign_in = SignIn(make_settings(simulator.ws_url, api_key=simulator.api_key))
    soon = Deadline(TIMEOUT)
    old = sign_in.obtain(Exchange(None), soon)
    refused = AuthenticationError("candles", 401, "expired")
    fresh = sign_in.renew(refused, old, Exchange(None), soon)
    # Another thread's call, which had begun with the old ones.
    sign_in.spend(old)
    sign_in.begin()
    assert sign_in.renew(refused, old, Exchange(None), soon) is fresh
    assert sign_in.obtain(Exchange(None), soon) is fresh
    sign_in.spend(fresh)
    assert sign_in.obtain(Exchange(None), soon) is fresh
    sign_in.begin()
    assert sign_in.obtain(Exchange(None), soon) is not fresh
    assert steps(simulator) == ["login"] * 3


def test_a_login_that_fails_is_tried_by_the_next_who_waits(
    simulator: Simulator, make_client: MakeClient, slow_login: SlowLogin
) -> None:
    simulator.refuse_login(503, "busy")
    client = make_client(simulator, reconnect=None, **slow_login.settings(simulator))
    calls: List[Background] = [Background(lambda: outcome(client)) for _ in range(2)]
    slow_login.go_on.set()
    assert sorted(str(call.result()) for call in calls) == ["503", "None"]
    assert steps(simulator).count("login") == 2


@pytest.mark.parametrize("status", [401, 403])
def test_a_login_that_is_refused_is_refused_to_all_who_wait(
    simulator: Simulator,
    make_client: MakeClient,
    slow_login: SlowLogin,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulator.refuse_login(status, "no", times=None)
    client = make_client(simulator, **slow_login.settings(simulator))
    waiting = threading.Semaphore(0)
    wait_for = Deadline.wait_for

    def noted(deadline: Deadline, condition: threading.Condition, predicate: Callable[[], bool]) -> bool:
        if not predicate():
            waiting.release()
        return wait_for(deadline, condition, predicate)

    monkeypatch.setattr(Deadline, "wait_for", noted)
    calls = [Background(lambda: outcome(client)) for _ in range(3)]
    # For the one that logs in.
    for _ in range(2):
        assert waiting.acquire(timeout=TIMEOUT)
    slow_login.go_on.set()
    assert [call.result() for call in calls] == [status] * 3
    assert steps(simulator) == ["login"]
    # Who comes later asks again.
    assert outcome(client) == status
    assert steps(simulator) == ["login"] * 2


def outcome(client: OneTradeClient) -> Optional[int]:
    try:
        some_candles(client)
    except ServerError as error:
        return error.status
    return None
