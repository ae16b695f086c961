"""How session id, access token, API key are kept out of sight. That nothing shows them is row 11 of the scorecard."""

from __future__ import annotations

import base64
import gzip
import html
import json
import logging
import re
import time
import tracemalloc
from typing import Any, Callable, Dict, List
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from onetrade_ws import (
    ClientEventType,
    ConfigurationError,
    ConnectionClosedError,
    ConnectionLostError,
    ConnectionState,
    NetworkError,
    OneTradeClient,
    OneTradeError,
    ServerError,
)
from onetrade_ws.connection.credentials import ACCESS_TOKEN, API_KEY, SESSION_ID, Credentials
from onetrade_ws.connection.stream import Stream
from onetrade_ws.deadline import Deadline
from onetrade_ws.simulator import Simulator
from tests.connection.conftest import MakeClient, MakeHostile, became, connected, read_until
from tests.connection.hostile import TIMEOUT, HostileServer, Peer, close_frame, event_frame

SESSION = "canary/session+id=="
TOKEN = "canary/access+token=="
KEY = "canary/api+key=="

# What a session id, a token or a key may be made of: ASCII, but for control characters.
SECRETS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=8, max_size=40)


def test_the_repr_shows_none() -> None:
    assert repr(Credentials(SESSION, TOKEN, KEY)) == "Credentials()"


# -- what is written ---------------------------------------------------------------------------------------------------


@given(SECRETS, SECRETS, SECRETS)
def test_each_placeholder_becomes_its_secret(session: str, token: str, key: str) -> None:
    credentials = Credentials(session, token, key)
    request = f"GET /ws/v1/{SESSION_ID}?t={ACCESS_TOKEN} HTTP/1.1\r\nAPI-Key: {API_KEY}\r\n\r\n".encode()
    written = (
        f"GET /ws/v1/{quote(session, safe='')}?t={quote(token, safe='')} HTTP/1.1\r\nAPI-Key: {key}\r\n\r\n"
    )
    assert credentials.fill_in(request) == written.encode()


def test_a_secret_may_look_like_a_placeholder(hostile: MakeHostile, make_client: MakeClient) -> None:
    server: HostileServer = hostile()
    make_client(server, session_id=ACCESS_TOKEN, access_token=SESSION_ID).connect()
    assert [request.target for request in server.requests] == [
        f"/ws/v1/{ACCESS_TOKEN}",
        f"/ws/v1?session_id={ACCESS_TOKEN}&access_token={SESSION_ID}",
    ]


def test_logs_of_the_libraries_below_show_placeholders(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Simulator(live=False, session_id=SESSION, access_token=TOKEN, api_key=KEY) as server:
        client = OneTradeClient(server.ws_url, api_key=KEY)
        client.connect()
        client.disconnect()
    assert f"/ws/v1/{SESSION_ID} " in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.parametrize("door", ["http", "websocket"])
def test_secrets_that_are_part_of_every_answer(
    hostile: MakeHostile, make_client: MakeClient, door: str
) -> None:
    server: HostileServer = hostile()
    client = make_client(server, session_id="1", access_token="web")
    client.connect()
    assert client.state is ConnectionState.OPEN


# -- what a server quotes ----------------------------------------------------------------------------------------------

WRAPPINGS: List[Callable[[str], str]] = [
    str,
    quote,
    lambda text: quote(text, safe=""),
    quote_plus,
    lambda text: re.sub("%..", lambda found: found.group().lower(), quote(text, safe="")),
    json.dumps,
    lambda text: json.dumps(text).replace("/", "\\/"),
    html.escape,
    repr,
    lambda text: repr(text.encode()),
    lambda text: "".join(f"\\u{ord(character):04X}" for character in text),
    lambda text: "".join(f"&#x{ord(character):x};" for character in text),
]


@given(SECRETS, st.lists(st.sampled_from(WRAPPINGS), max_size=3), st.sampled_from(["", "see: ", "{"]))
# Its backslash looks like an escape before it is unpacked.
@example('000000"\\', [html.escape, html.escape], "")
def test_a_quoted_secret_is_found_however_it_is_escaped(
    secret: str, wrappings: List[Callable[[str], str]], before: str
) -> None:
    text = secret
    for wrap in wrappings:
        text = wrap(text)
    hidden = Credentials(session_id=secret).hide_in(f"{before}{text} was not found")
    assert "…" in hidden
    assert secret not in hidden
    assert text not in hidden
    assert hidden.endswith("was not found")


@given(SECRETS, st.binary(max_size=5), st.binary(max_size=5))
def test_a_secret_inside_of_base64_or_hexadecimal_is_found(secret: str, before: bytes, after: bytes) -> None:
    data = before + secret.encode() + after
    credentials = Credentials(access_token=secret)
    for code in (base64.b64encode(data), base64.urlsafe_b64encode(data), data.hex().encode()):
        hidden = credentials.hide_in(code.decode())
        assert "…" in hidden
        # Two characters at each end hold bits of the secret, and of what is around it.
        assert len(hidden) <= (len(before) + len(after)) * 2 + 10


@given(st.text(max_size=200), SECRETS)
def test_hiding_never_fails(text: str, secret: str) -> None:
    assert secret not in Credentials(secret, "%25" * 5, "\\\\u0041&amp;").hide_in(text)


@given(st.binary(max_size=200))
def test_a_head_that_quotes_nothing_stays_as_it_is(head: bytes) -> None:
    assert Credentials(SESSION, TOKEN, KEY).hide_in_head(head) == head


@pytest.mark.parametrize(
    "text", ["\\" * 65536, "%25" * 20000, "&amp;" * 13000, "&#" + "9" * 65000, "k" * 65536]
)
def test_a_server_cannot_make_the_search_long(text: str) -> None:
    credentials = Credentials("k" * 500, "\\" * 500, "%25" * 100)
    started = time.process_time()
    credentials.hide_in(text)
    assert time.process_time() - started < 2


# -- what an error remembers -------------------------------------------------------------------------------------------


def frames_of(error: BaseException) -> List[str]:
    """The names of the functions that the traceback goes through."""
    names = []
    trace = error.__traceback__
    while trace is not None:
        names.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    return names


def test_an_error_does_not_grow_with_each_wait(hostile: MakeHostile, make_client: MakeClient) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        while "now" not in peer.read_frame().text:
            pass
        peer.send(event_frame("session_logout", {"session_id": HostileServer.session_id}))
        peer.serve()

    client = make_client(hostile(script))
    stream = connected(client)
    client.send("now")
    read_until(stream, became(ConnectionState.CLOSED))
    seen = []
    for call in (client.wait, client.wait, client.wait, lambda: next(stream), lambda: next(stream)):
        with pytest.raises(OneTradeError) as caught:
            call()
        seen.append(frames_of(caught.value))
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert seen[0] == seen[1] == seen[2]
    assert seen[3] == seen[4]
    assert "_run" not in {name for names in seen for name in names}


@pytest.mark.parametrize("door", ["http", "websocket"])
def test_what_connect_raises_brings_no_other_thread_along(
    hostile: MakeHostile, make_client: MakeClient, door: str
) -> None:
    server: HostileServer = hostile(**{door: Peer.reset})
    client = make_client(server, reconnect=None)
    with pytest.raises(NetworkError) as caught:
        client.connect()
    assert frames_of(caught.value)[1:] == ["connect", "connect"]
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_the_reason_of_an_event_has_no_past(hostile: MakeHostile, make_client: MakeClient) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.read_frame()
        peer.send(close_frame(4001, "bye"))
        peer.finish()

    client = make_client(hostile(script))
    with client.events(ClientEventType.RECONNECTING, timeout=TIMEOUT) as events:
        try:
            client.connect()
            reason = next(events).data.reason
        finally:
            client.disconnect()
    assert isinstance(reason, ConnectionClosedError)
    assert frames_of(reason) == []
    assert (reason.__cause__, reason.__context__) == (None, None)


def test_a_refused_setting_leaves_one_frame_without_arguments() -> None:
    wrong: List[Dict[str, Any]] = [
        {"url": "wss://h", "session_id": SESSION},
        {"url": f"wss://user:{TOKEN}@h", "session_id": SESSION, "access_token": TOKEN},
        {"url": "wss://h", "api_key": KEY, "dispatch": "sometimes"},
    ]
    for settings in wrong:
        for make in (OneTradeClient, OneTradeClient.from_env):
            with pytest.raises(ConfigurationError) as caught:
                make(**settings)
            trace = caught.value.__traceback__
            assert trace is not None
            (frame,) = [trace.tb_next.tb_frame] if trace.tb_next and not trace.tb_next.tb_next else []
            assert "canary" not in repr(frame.f_locals)
            assert caught.value.__context__ is None


def test_a_request_that_cannot_be_written_is_in_no_frame(hostile: MakeHostile) -> None:
    host, port = hostile(tcp=Peer.hold).address.split(":")
    stream = Stream(host, TIMEOUT)
    try:
        stream.connect(host, int(port), Deadline(TIMEOUT))
        stream.on_first_send = lambda request: request + TOKEN.encode()
        stream.abort(ConnectionLostError("it was aborted"))
        with pytest.raises(ConnectionLostError) as caught:
            stream.send(b"GET /")
    finally:
        stream.close()
    assert frames_of(caught.value)[1:] == ["send"]


# -- redirects ---------------------------------------------------------------------------------------------------------


def test_the_body_of_a_redirect_is_not_unpacked(hostile: MakeHostile, make_client: MakeClient) -> None:
    bomb = gzip.compress(b"x" * 50_000_000)
    head = "Location: http://localhost:1/\r\nContent-Encoding: gzip\r\n"
    client = make_client(hostile(http=lambda peer: peer.answer(302, bomb, headers=head)), reconnect=None)
    tracemalloc.start()
    try:
        with pytest.raises(ServerError) as caught:
            client.connect()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.status == 302
    assert most < 10_000_000
