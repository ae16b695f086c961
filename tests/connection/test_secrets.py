"""Session id, access token and API key never show: not in an error, a repr, an event or a log line."""

from __future__ import annotations

import logging
import traceback
from typing import Any, Callable, Dict, Iterator, List, Optional, Set
from urllib.parse import quote, quote_plus

import pytest

from onetrade_ws import (
    ClientEventType,
    ConnectionState,
    Event,
    OneTradeClient,
    OneTradeError,
    ReconnectPolicy,
)
from onetrade_ws.simulator import Simulator
from onetrade_ws.simulator import websocket as framing
from tests.connection.conftest import (
    MakeClient,
    MakeHostile,
    became,
    connect_and_wait,
    read_until,
)
from tests.connection.hostile import TIMEOUT, HostileServer, Peer, close_frame

# With characters that look different in an address, as base64 has them.
SESSION = "canary/session+id=="
TOKEN = "canary/access+token=="
KEY = "canary/api+key=="


def spellings(*secrets: str) -> List[str]:
    """Every way in which secrets could be written."""
    return [
        written
        for secret in secrets
        for written in (secret, quote(secret), quote(secret, safe=""), quote_plus(secret), secret[7:])
    ]


class Canary(HostileServer):
    """A hostile server whose session is a canary."""

    session_id = SESSION
    access_token = TOKEN


def echo(status: int) -> Callable[[Peer], None]:
    """A server that says again in its refusal whatever it was asked."""

    def script(peer: Peer) -> None:
        request = peer.request
        said = (
            f"cannot {request.method} {request.target} with {request.headers} for {SESSION}, {TOKEN}, {KEY}"
        )
        peer.answer(status, {"success": False, "code": status, "message": said, "error": said})

    return script


def echo_as_text(peer: Peer) -> None:
    peer.answer(500, f"no route for {peer.request.target} ({SESSION} {TOKEN} {KEY})")


def echo_in_headers(peer: Peer) -> None:
    peer.answer(302, headers=f"Location: http://127.0.0.1:1{peer.request.target}\r\nX-{TOKEN}: {SESSION}\r\n")


def echo_wrongly(peer: Peer) -> None:
    peer.send(f"HTTP/1.1 101 {SESSION}\r\n{TOKEN}\r\nX: {peer.request.target}\r\n\r\n".encode())
    peer.finish()


def echo_no_http(peer: Peer) -> None:
    peer.send(f"{peer.request.target} {SESSION} {TOKEN}\r\n\r\n".encode())
    peer.finish()


def echo_in_a_close_frame(peer: Peer) -> None:
    peer.upgrade(close_frame(4001, f"{SESSION} {TOKEN} {quote(TOKEN, safe='')} {KEY}"))
    peer.serve()


def echo_in_an_illegal_frame(peer: Peer) -> None:
    peer.upgrade(framing.frame(3, SESSION.encode()) + framing.frame(7, TOKEN.encode()))
    peer.serve()


def log_out(peer: Peer) -> None:
    peer.upgrade()
    peer.send(framing.frame(1, b'{"type":"session_logout","data":{"session_id":"%s"}}' % SESSION.encode()))
    peer.serve()


def garbage(peer: Peer) -> None:
    peer.upgrade()
    for payload in (SESSION, f'{{"type":5,"data":"{TOKEN}"}}', f'{{"type":"orders_place","data":"{TOKEN}"}}'):
        peer.send(framing.frame(1, payload.encode()))
    peer.send(framing.frame(2, TOKEN.encode()))
    peer.send(close_frame(1000))
    peer.serve()


def hang_up(peer: Peer) -> None:
    peer.reset()


def stay_silent(peer: Peer) -> None:
    peer.read_until_end()


FAILURES: Dict[str, Dict[str, Any]] = {
    "validation refused": {"http": echo(400)},
    "validation forbidden": {"http": echo(401)},
    "validation redirected": {"http": echo_in_headers},
    "validation as text": {"http": echo_as_text},
    "validation reset": {"http": hang_up},
    "validation silent": {"http": stay_silent},
    "validation is no HTTP": {"http": echo_no_http},
    "handshake refused": {"websocket": echo(500)},
    "handshake forbidden": {"websocket": echo(403)},
    "handshake redirected": {"websocket": echo_in_headers},
    "handshake as text": {"websocket": echo_as_text},
    "handshake wrong": {"websocket": echo_wrongly},
    "handshake is no HTTP": {"websocket": echo_no_http},
    "handshake reset": {"websocket": hang_up},
    "handshake silent": {"websocket": stay_silent},
    "closed": {"websocket": echo_in_a_close_frame},
    "illegal frames": {"websocket": echo_in_an_illegal_frame},
    "logged out": {"websocket": log_out},
}


def logged_in(script: Callable[[Peer], None]) -> Callable[[Peer], None]:
    """Logs in, and then does what ``script`` does."""

    def answer(peer: Peer) -> None:
        if "oauth2/login" in peer.request.target:
            peer.answer(200, {"success": True, "data": {"session_id": SESSION, "access_token": TOKEN}})
        else:
            script(peer)

    return answer


def validated(peer: Peer) -> None:
    peer.answer(200, {"success": True})


@pytest.fixture
def canary() -> Iterator[Callable[..., Canary]]:
    """Starts a :class:`Canary`."""
    servers: List[Canary] = []

    def start(**settings: Any) -> Canary:
        server = Canary(**settings)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


def texts_of(error: Optional[BaseException], seen: Set[int]) -> Iterator[str]:
    """Everything that an error and whatever it holds can be made to say."""
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    yield from (str(error), repr(error), repr(error.args), repr(vars(error)))
    yield "".join(traceback.format_exception(type(error), error, error.__traceback__))
    for inner in (error.__cause__, error.__context__, getattr(error, "last_error", None)):
        yield from texts_of(inner, seen)


def assert_discreet(texts: List[str], *secrets: str) -> None:
    """None of the secrets that the client knows, or of all, is in any of the texts."""
    assert texts
    for text in texts:
        for secret in spellings(*(secrets or (SESSION, TOKEN, KEY))):
            assert secret not in text


@pytest.mark.parametrize("by_key", [False, True])
@pytest.mark.parametrize("failure", FAILURES)
def test_no_failure_shows_a_secret(
    canary: Callable[..., Canary],
    make_client: MakeClient,
    caplog: pytest.LogCaptureFixture,
    failure: str,
    by_key: bool,
) -> None:
    caplog.set_level(logging.DEBUG, "onetrade_ws")
    caplog.set_level(logging.DEBUG, "websocket")
    scripts = dict(FAILURES[failure])
    if by_key:
        scripts["http"] = logged_in(scripts.get("http", validated))
    server = canary(**scripts)
    settings: Dict[str, Any] = {"api_key": KEY} if by_key else {}
    policy = ReconnectPolicy(initial_delay=0.01, max_delay=0.02, max_attempts=2, stable_after=3600)
    client = make_client(server, reconnect=policy, connect_timeout=0.3, **settings)
    events: List[Event] = []
    client.subscribe(None, events.append)
    with pytest.raises(OneTradeError) as caught:
        connect_and_wait(client)
    client.disconnect()
    said = list(texts_of(caught.value, set()))
    for event in events:
        reason = event.data if isinstance(event.data, BaseException) else getattr(event.data, "reason", None)
        said += texts_of(reason, set())
        # What the server said of its own accord is the event's data, and the user's business.
        if isinstance(event.type, ClientEventType):
            said.append(repr(event))
    said += [caplog.text, repr(client), repr(client.stats()), repr(client._settings), repr(client.account)]
    assert_discreet(said, *([SESSION, TOKEN, KEY] if by_key else [SESSION, TOKEN]))


def test_a_login_that_fails_shows_no_key(
    canary: Callable[..., Canary], make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "onetrade_ws")
    for script in (echo(401), echo(500), echo_as_text, echo_in_headers, hang_up, stay_silent):
        client = make_client(canary(http=script), api_key=KEY, reconnect=None, connect_timeout=0.3)
        with pytest.raises(OneTradeError) as caught:
            client.connect()
        assert_discreet([*texts_of(caught.value, set()), caplog.text], KEY)


def test_what_cannot_be_decoded_is_not_logged(
    canary: Callable[..., Canary], make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "onetrade_ws")
    client = make_client(canary(websocket=garbage), reconnect=None)
    stream = client.events(timeout=TIMEOUT)
    try:
        client.connect()
    except OneTradeError:
        pass  # it is closed before connect() has seen it open
    events = read_until(stream, became(ConnectionState.CLOSED))
    errors = [event for event in events if event.type is ClientEventType.DECODE_ERROR]
    assert len(errors) == 4
    assert SESSION.encode() in errors[0].raw
    assert_discreet([caplog.text, *map(repr, errors), *(str(event.data) for event in errors)])


def test_a_working_client_shows_none(simulator: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "onetrade_ws")
    caplog.set_level(logging.DEBUG, "websocket")
    with Simulator(live=False, session_id=SESSION, access_token=TOKEN, api_key=KEY) as server:
        client = OneTradeClient(server.ws_url, api_key=KEY)
        with client:
            said = [repr(client), repr(client._settings), str(client._settings), repr(client.stats())]
            client.send("note", "something")
        said += [caplog.text, repr(client)]
    assert_discreet(said)


def test_a_setting_that_is_wrong_shows_none(hostile: MakeHostile) -> None:
    wrong: List[Dict[str, Any]] = [
        {"session_id": SESSION},
        {"access_token": TOKEN},
        {"session_id": SESSION, "access_token": TOKEN + "\n"},
        {"session_id": SESSION + " ", "access_token": TOKEN},
        {"session_id": SESSION, "access_token": TOKEN, "api_key": KEY},
        {"session_id": SESSION.encode(), "access_token": TOKEN},
        {"session_id": SESSION, "access_token": TOKEN, "http_url": f"http://user:{TOKEN}@127.0.0.1"},
        {"session_id": SESSION, "access_token": TOKEN, "http_url": f"http://127.0.0.1/?x={TOKEN}"},
    ]
    for settings in wrong:
        with pytest.raises(OneTradeError) as caught:
            OneTradeClient("ws://127.0.0.1", **settings)
        assert_discreet(list(texts_of(caught.value, set())))
