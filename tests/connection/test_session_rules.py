"""What the server says about the session, and what the client makes of it: the rules, and what only looks like one."""

from __future__ import annotations

import json
from typing import Any, Callable, List

import pytest

from onetrade_ws import ConnectionState, SessionLoggedOutError
from onetrade_ws.simulator import Simulator
from tests.connection.conftest import MakeClient
from tests.connection.hostile import TIMEOUT
from tests.connection.session_rules import RULES, Stage


@pytest.mark.parametrize(
    "play",
    [pytest.param(play, id=f"{rule.name}: {name}") for rule in RULES for name, play in rule.plays()],
)
def test_rule(play: Callable[[Stage], None]) -> None:
    with Stage() as stage:
        play(stage)


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
