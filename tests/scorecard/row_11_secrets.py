"""Canaries for session id, access token, API key and proxy password go through every failure that we know of, over real
sockets; what can be seen of it is searched for them in every spelling. Redirects lead to where bytes are counted."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import os
import ssl
import traceback
from contextlib import ExitStack
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Type
from unittest import mock
from urllib.parse import quote

import attrs

from onetrade_ws import (
    AuthenticationError,
    CallbackError,
    CertificateError,
    ClientEventType,
    ConfigurationError,
    ConnectionLostError,
    ConnectionState,
    ConnectTimeoutError,
    EncodeError,
    Event,
    HandshakeError,
    NetworkError,
    NotConnectedError,
    OneTradeClient,
    OneTradeError,
    QueueFullError,
    ReconnectFailedError,
    ReconnectPolicy,
    ServerError,
    SessionInUseError,
    SessionLoggedOutError,
    SlowConsumerError,
    WaitTimeoutError,
)
from onetrade_ws.simulator import Simulator
from onetrade_ws.simulator import websocket as framing
from tests.connection import certificates
from tests.connection.hostile import (
    TIMEOUT,
    HostileServer,
    Peer,
    close_frame,
    event_frame,
    free_port,
    text_frame,
    validated,
)
from tests.scorecard.canaries import (
    KEY,
    PASSWORD,
    SESSION,
    TOKEN,
    Search,
    everything_said,
    instrument_fails,
    quoted_in_every_way,
)
from tests.scorecard.outcome import Outcome

PROMISE = "No secret leaks"
TARGET = "0 hits in 40 failures; 0 bytes in 10 redirects"
EXCLUSIVE = False
FULL_MINUTES = 2

_TWICE = ReconnectPolicy(initial_delay=0.01, max_delay=0.02, max_attempts=2, stable_after=3600)
# Seconds for a step that is meant to take too long.
_SHORT = 0.3
# A session id of so many bytes makes a request that does not fit into the buffers on its way.
_HUGE = 4 * 1024 * 1024

# How many hits of one failure are named.
_NAMED_HITS = 5

Script = Callable[[Peer], None]
Errors = Tuple[Type[BaseException], ...]


class Canary(HostileServer):
    """A hostile server whose session is a canary."""

    session_id = SESSION
    access_token = TOKEN


class Trial:
    """One failure: the servers and clients that take part in it, and what was seen of it.

    :param by_key: whether the clients log in with an API key; else they know none
    """

    def __init__(self, search: Search, by_key: bool) -> None:
        self.search = search
        self.by_key = by_key
        self.stack = ExitStack()
        self.errors: List[BaseException] = []
        self.events: List[Event] = []
        self.servers: List[HostileServer] = []
        self._clients: List[OneTradeClient] = []

    def server(self, websocket: Optional[Script] = None, **settings: Any) -> Canary:
        """Start a hostile server; one that logs clients in, when they have a key."""
        if self.by_key and "http" not in settings:
            settings["http"] = logged_in(validated)
        if websocket is not None:
            settings["websocket"] = websocket
        server = Canary(**settings)
        self.servers.append(server)
        self.stack.callback(server.stop)
        return server

    def client(self, url: str, **settings: Any) -> OneTradeClient:
        """A client of which all events are kept."""
        settings = {"reconnect": _TWICE, "connect_timeout": TIMEOUT, **settings}
        secrets = {"api_key": KEY} if self.by_key else {"session_id": SESSION, "access_token": TOKEN}
        settings = {**secrets, **settings}
        client = OneTradeClient(url, **settings)
        client.subscribe(None, self.events.append)
        self._clients.append(client)
        self.stack.callback(client.disconnect)
        return client

    def fails(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> None:
        """Make a call that should raise."""
        try:
            call(*arguments, **named)
        except Exception as error:  # noqa: BLE001 - to be searched
            self.errors.append(error)

    def connect(self, url: str, **settings: Any) -> OneTradeClient:
        """Connect, and wait for the end: both ways of learning why. Later calls learn it again."""
        client = self.client(url, **settings)
        self.fails(client.connect)
        self.fails(client.wait, TIMEOUT)
        self.fails(client.wait_for, "anything", timeout=TIMEOUT)
        return client

    def look(self) -> None:
        """Search everything that this failure has left behind."""
        for client in self._clients:
            for name in ("stats", "health"):
                call = getattr(client, name, None)
                if call is not None:
                    self.search.value(name, call())
            for name in ("account", "state", "_settings"):
                self.search.value(name, getattr(client, name))
            self.search.value("client", client)
        for error in self.errors:
            self.search.error("raised", error)
        for event in self.events:
            if not isinstance(event.type, ClientEventType):
                # What the server says of its own accord is the user's business.
                continue
            name = event.type.name
            if isinstance(event.data, CallbackError):
                # Nor what it told the user's callback before.
                event = attrs.evolve(event, data=attrs.evolve(event.data, event=Event("an event")))
            self.search.value(f"event {name}", event)
            for inner in (
                event.data,
                getattr(event.data, "reason", None),
                getattr(event.data, "error", None),
            ):
                if isinstance(inner, BaseException):
                    self.search.error(f"event {name}", inner)

    def sent_wrongly(self) -> List[str]:
        """Requests that did not hold the secrets that they should: nothing could leak from those."""
        wrong = []
        session, token = quote(SESSION, safe=""), quote(TOKEN, safe="")
        for server in self.servers:
            for request in server.requests:
                if "oauth2/login" in request.target:
                    right = request.headers.get("api-key") == KEY
                elif "/api/v1/trader/" in request.target:
                    right = request.headers.get("authorization") == f"Bearer {TOKEN}"
                elif request.method == "POST":
                    right = request.target.endswith(f"/ws/v1/{session}")
                else:
                    right = request.target == f"/ws/v1?session_id={session}&access_token={token}"
                if not right and len(request.target) < 1000:
                    wrong.append(f"{request.method} {request.target}")
        return wrong


# -- what a server may do ---------------------------------------------------------------------------------------------

_EVERYTHING = quoted_in_every_way(SESSION, TOKEN, KEY)


def quoting(status: int) -> Script:
    """Refuses, and says again whatever it was asked."""

    def script(peer: Peer) -> None:
        request = peer.request
        said = f"cannot {request.method} {request.target} with {request.headers}: {_EVERYTHING}"
        peer.answer(status, {"success": False, "code": status, "message": said, "error": said})

    return script


def quoting_as_text(status: int, *secrets: str) -> Script:
    """Refuses in plain words, by and by in every spelling: each time others come before the rest is cut off."""
    ways = itertools.cycle(quoted_in_every_way(*secrets).split(" | "))

    def script(peer: Peer) -> None:
        first = " ".join(next(ways) for _ in range(9))
        peer.answer(status, f"{first} for {peer.request.target}")

    return script


def quoting_in_headers(peer: Peer) -> None:
    peer.answer(500, headers=f"X-Asked: {peer.request.target}\r\n{TOKEN} {SESSION} {KEY}\r\nX: y\r\n")


def quoting_instead_of_http(peer: Peer) -> None:
    peer.send(f"{peer.request.target} {_EVERYTHING}\r\n\r\n".encode())
    peer.finish()


def quoting_in_the_handshake(peer: Peer) -> None:
    peer.send(
        f"HTTP/1.1 101 {SESSION}\r\nUpgrade: {TOKEN}\r\nX: {peer.request.target}\r\nY: {_EVERYTHING}\r\n\r\n".encode()
    )
    peer.finish()


def quoting_in_broken_handshake_lines(peer: Peer) -> None:
    peer.send(f"HTTP/1.1 101 Yes\r\n{TOKEN}\r\n{peer.request.target}\r\n\r\n".encode())
    peer.finish()


def quoting_in_chunks(peer: Peer) -> None:
    peer.send(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{SESSION}{TOKEN}{KEY}\r\n".encode())
    peer.finish()


def quoting_half_a_body(peer: Peer) -> None:
    peer.send(f"HTTP/1.1 500 No\r\nContent-Length: 100000\r\n\r\n{_EVERYTHING}".encode())
    peer.finish()


def bad_gzip(peer: Peer) -> None:
    peer.answer(
        200, gzip.compress(TOKEN.encode())[:-9] + TOKEN.encode(), headers="Content-Encoding: gzip\r\n"
    )


def endless_head(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        peer.send(f"X-Asked: {peer.request.target} {SESSION} {TOKEN} {KEY}\r\n".encode() * 20)


def drip(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 500 OK\r\nContent-Length: 100000\r\n\r\n")
    for character in (SESSION + TOKEN + KEY) * 100:
        peer.send(character.encode())
        peer.pause(0.02)


def silent(peer: Peer) -> None:
    peer.read_until_end()


def in_use(peer: Peer) -> None:
    peer.answer(
        400, {"success": False, "message": f"session is already used: {SESSION} {peer.request.target}"}
    )


def frames(*given: bytes) -> Script:
    """Completes the handshake, and sends these."""

    def script(peer: Peer) -> None:
        peer.upgrade(b"".join(given))
        peer.serve()

    return script


def opened_and(*steps: Script) -> Script:
    """Completes the handshake, waits for the first message, and then does this and that."""

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.read_frame()
        for step in steps:
            step(peer)

    return script


def sends(data: bytes) -> Script:
    return lambda peer: peer.send(data)


def reads_a_frame(peer: Peer) -> None:
    peer.read_frame()


def logged_in(script: Script) -> Script:
    """Logs in, and then does what ``script`` does."""

    def answer(peer: Peer) -> None:
        if "oauth2/login" in peer.request.target:
            peer.answer(200, {"success": True, "data": {"session_id": SESSION, "access_token": TOKEN}})
        else:
            script(peer)

    return answer


def answered(body: Any) -> Script:
    return lambda peer: peer.answer(200, body)


# -- the failures, each with what is raised --------------------------------------------------------------------------

Run = Callable[[Trial], None]


@attrs.frozen
class Failure:
    """One of them.

    :ivar expected: the errors, one of which must have been raised
    :ivar modes: whether the clients log in with a key: runs once for each
    """

    run: Run
    expected: Errors
    modes: Tuple[bool, ...]


FAILURES: Dict[str, Failure] = {}


def failure(
    name: str, *expected: Type[BaseException], modes: Tuple[bool, ...] = (False,)
) -> Callable[[Run], Run]:
    def register(run: Run) -> Run:
        FAILURES[name] = Failure(run, expected, modes)
        return run

    return register


def scripted(name: str, *expected: Type[BaseException], **scripts: Any) -> None:
    """A failure that a hostile server's scripts bring about."""
    settings = {key: scripts.pop(key) for key in ("connect_timeout", "max_message_size") if key in scripts}
    login = scripts.pop("login", None)

    def run(trial: Trial) -> None:
        given = dict(scripts)
        if login is not None:
            given["http"] = login
        elif trial.by_key:
            given["http"] = logged_in(scripts.get("http", validated))
        trial.connect(trial.server(**given).ws_url, **settings)

    failure(name, *expected, modes=(False, True) if login is None else (True,))(run)


# ConnectTimeoutError, too: attempts that take long may be cut short by the end of the time.
_NO_ANSWER = (NetworkError, ConnectTimeoutError)
_LOST = (ConnectionLostError, ReconnectFailedError)

scripted("validation: 400, quoting the request", ServerError, http=quoting(400))
scripted("validation: 401, quoting the request", AuthenticationError, http=quoting(401))
scripted("validation: 403, quoting the request", AuthenticationError, http=quoting(403))
scripted("validation: 404, quoting it as text", ServerError, http=quoting_as_text(404, SESSION, TOKEN))
scripted("validation: 500, quoting it as text", ServerError, http=quoting_as_text(500, TOKEN, SESSION))
scripted("validation: chunks that are none", NetworkError, http=quoting_in_chunks)
scripted("validation: header lines that are none", ServerError, http=quoting_in_headers)
scripted("validation: bad gzip", NetworkError, http=bad_gzip)
scripted("validation: no HTTP", NetworkError, http=quoting_instead_of_http)
scripted("validation: endless headers", NetworkError, http=endless_head)
scripted("validation: half a body", NetworkError, ServerError, http=quoting_half_a_body)
scripted("validation: dripped", *_NO_ANSWER, http=drip, connect_timeout=_SHORT)
scripted("validation: no answer in time", *_NO_ANSWER, http=silent, connect_timeout=_SHORT)
scripted("validation: reset", NetworkError, http=Peer.reset)
scripted("validation: session in use", SessionInUseError, http=in_use)
scripted("login: 401, quoting the key", AuthenticationError, login=quoting(401))
scripted("login: 500, quoting the key as text", ServerError, login=quoting_as_text(500, KEY))
scripted("login: nonsense", ServerError, login=answered(_EVERYTHING))
scripted(
    "login: half of what is wanted",
    ServerError,
    login=answered({"success": True, "data": {"session_id": SESSION, "key": KEY}}),
)
scripted(
    "login: a session id that cannot be written",
    ServerError,
    login=answered({"success": True, "data": {"session_id": SESSION + "\ud800", "access_token": TOKEN}}),
)
scripted("login: reset", NetworkError, login=Peer.reset)
scripted("login: no answer in time", *_NO_ANSWER, login=silent, connect_timeout=_SHORT)
scripted("handshake: 401, quoting the request", AuthenticationError, websocket=quoting(401))
scripted("handshake: 404, quoting it as text", ServerError, websocket=quoting_as_text(404, SESSION, TOKEN))
scripted("handshake: 500, quoting the request", ServerError, websocket=quoting(500))
scripted("handshake: a 101 that quotes the request", HandshakeError, websocket=quoting_in_the_handshake)
scripted("handshake: header lines that are none", HandshakeError, websocket=quoting_in_broken_handshake_lines)
scripted("handshake: no HTTP", HandshakeError, websocket=quoting_instead_of_http)
scripted("handshake: endless headers", HandshakeError, websocket=endless_head)
scripted("handshake: no answer in time", *_NO_ANSWER, websocket=silent, connect_timeout=_SHORT)
scripted("handshake: reset", NetworkError, websocket=Peer.reset)
scripted(
    "a close frame that quotes the token",
    *_LOST,
    websocket=frames(close_frame(4001, f"{SESSION} {TOKEN} {KEY}")),
)
scripted(
    "a close frame that quotes it in other spellings",
    *_LOST,
    websocket=frames(close_frame(4001, f"{quote(TOKEN, safe='')} {TOKEN.encode().hex()}")),
)
scripted(
    "illegal frames that quote the token",
    *_LOST,
    websocket=frames(framing.frame(3, SESSION.encode()) + framing.frame(7, TOKEN.encode())),
)
scripted(
    "a fragmented message that quotes the token, then a reset",
    *_LOST,
    websocket=opened_and(sends(b"\x01\x05" + TOKEN.encode()[:5]), Peer.reset),
)
scripted(
    "pings that quote the token, then a reset",
    *_LOST,
    websocket=opened_and(sends(framing.frame(framing.PING, TOKEN.encode())), reads_a_frame, Peer.reset),
)
scripted(
    "unknown message types that quote the token, then a reset",
    *_LOST,
    websocket=opened_and(sends(event_frame(TOKEN) + event_frame(quote(SESSION, safe=""))), Peer.reset),
)
scripted(
    "a message that is too large, with the token in it",
    *_LOST,
    websocket=opened_and(sends(event_frame("info", TOKEN * 1000)), Peer.finish),
    max_message_size=1000,
)
scripted("reset while open", *_LOST, websocket=opened_and(Peer.reset))
scripted(
    "logged out",
    SessionLoggedOutError,
    websocket=opened_and(sends(event_frame("session_logout", {"session_id": SESSION})), Peer.serve),
)


@failure("connection refused", NetworkError, modes=(False, True))
def _refused(trial: Trial) -> None:
    sock, port = free_port()
    trial.stack.callback(sock.close)
    trial.connect(f"ws://127.0.0.1:{port}")


@failure("a host name that there is not", *_NO_ANSWER)
def _no_such_host(trial: Trial) -> None:
    trial.connect(f"wss://{'a' * 64}.invalid", connect_timeout=_SHORT)
    trial.connect("wss://onetrade.invalid", connect_timeout=_SHORT)


@failure("a certificate that is not trusted", CertificateError, modes=(False, True))
def _bad_certificate(trial: Trial) -> None:
    server = trial.server(tls=certificates.of_an_unknown_authority(certificates.Authority()))
    trial.connect(server.ws_url)
    # Behind a validation that went well.
    trial.connect(server.ws_url, http_url=f"http://{trial.server().address}")


@failure("no TLS on the other side", *_NO_ANSWER)
def _no_tls(trial: Trial) -> None:
    good = f"http://{trial.server().address}"

    def garbage(peer: Peer) -> None:
        peer.receive()
        peer.send(_EVERYTHING.encode())
        peer.finish()

    for script in (garbage, Peer.reset, silent):
        address = trial.server(tcp=script).address
        trial.connect(f"wss://{address}", connect_timeout=_SHORT)
        trial.connect(f"wss://{address}", http_url=good, connect_timeout=_SHORT)


def _taken_in_part(then: Script, tls: Optional[ssl.SSLContext] = None) -> Script:
    """Reads a little, so that the rest of the request does not fit into the buffers."""

    def script(peer: Peer) -> None:
        if tls is not None:
            peer.start_tls(tls)
        peer.receive()
        peer.pause(0.1)
        then(peer)

    return script


@failure("reset in the middle of our request", NetworkError)
def _reset_while_we_write(trial: Trial) -> None:
    authority = certificates.Authority()
    settings = {"reconnect": None, "ssl_context": certificates.trusting(authority)}
    for tls in (None, certificates.good(authority)):
        script = _taken_in_part(Peer.reset, tls)
        address = trial.server(tcp=script, receive_buffer=4096).address
        url = f"{'ws' if tls is None else 'wss'}://{address}"
        trial.connect(url, session_id=SESSION + "x" * _HUGE, **settings)
        good = f"http://{trial.server().address}"
        trial.connect(url, access_token=TOKEN + "x" * _HUGE, http_url=good, **settings)


@failure("our request is not taken in time", NetworkError, ConnectTimeoutError, ConnectionLostError)
def _stalled_while_we_write(trial: Trial) -> None:
    address = trial.server(tcp=_taken_in_part(Peer.hold), receive_buffer=4096).address
    trial.connect(f"ws://{address}", session_id=SESSION + "x" * _HUGE, connect_timeout=_SHORT, reconnect=None)
    address = trial.server(tcp=_taken_in_part(Peer.hold), receive_buffer=4096).address
    trial.connect(
        f"ws://{address}",
        access_token=TOKEN + "x" * _HUGE,
        http_url=f"http://{trial.server().address}",
        heartbeat_timeout=_SHORT,
        reconnect=None,
    )


@failure("session in use after a loss", SessionInUseError)
def _in_use_later(trial: Trial) -> None:
    def first_time_well(peer: Peer) -> None:
        (in_use if server.handshakes else validated)(peer)

    def reset_when_told(peer: Peer) -> None:
        peer.upgrade()
        while "now" not in peer.read_frame().text:
            pass
        peer.reset()

    server = trial.server(reset_when_told, http=first_time_well)
    policy = ReconnectPolicy(initial_delay=0.01, max_delay=0.02, session_in_use_attempts=1)
    client = trial.client(server.ws_url, reconnect=policy)
    client.connect()
    client.send("now")
    trial.fails(client.wait, TIMEOUT)


@failure("a server that falls silent", ReconnectFailedError)
def _stalled(trial: Trial) -> None:
    server = trial.server(opened_and(silent))
    trial.connect(server.ws_url, heartbeat_interval=0.2, heartbeat_timeout=0.1)


@failure("messages that cannot be decoded", *_LOST)
def _garbage(trial: Trial) -> None:
    texts = (
        SESSION.encode(),
        b'{"type":5,"data":"%s"}' % TOKEN.encode(),
        b'{"type":"orders_place","data":"%s"}' % TOKEN.encode(),
        b'{"type":"orders_place","data":{"id":"%s","%s":1}}' % (TOKEN.encode(), SESSION.encode()),
        b'{"type":"info","data":"\xff%s"}' % TOKEN.encode(),
        b'{"type":"info","data":{"%s":NaN}}' % TOKEN.encode(),
        b'{"type":"%s","data":"\\ud800"}' % SESSION.encode(),
        b'{"type":"profit_update","data":"%s"}' % TOKEN.encode(),
    )
    records = (TOKEN.encode(), b"s,1,%s,2" % SESSION.encode(), b"1,%s,2" % TOKEN.encode())
    binary = b"".join(framing.frame(framing.BINARY, record) for record in records)
    server = trial.server(frames(b"".join(map(text_frame, texts)) + binary + close_frame(1000)))
    trial.connect(server.ws_url)
    decoded = [event.data for event in trial.events if event.type is ClientEventType.DECODE_ERROR]
    trial.errors += decoded


@failure("callbacks that raise", WaitTimeoutError)
def _callbacks(trial: Trial) -> None:
    def first(event: Event) -> None:
        raise RuntimeError("the user's own words")

    server = trial.server(
        frames(event_frame("info", {"message": f"hello {TOKEN}"}), event_frame(SESSION, {"x": SESSION}))
    )
    client = trial.client(server.ws_url)
    client.subscribe(None, first)
    client.subscribe("info", iter([]).__next__)  # type: ignore[arg-type]
    with client.events(ClientEventType.CALLBACK_ERROR, timeout=TIMEOUT) as reports:
        client.connect()
        for _ in range(4):
            next(reports)
    trial.fails(client.wait_for, "nothing", timeout=0.01)


@failure("too many messages wait", QueueFullError, NotConnectedError)
def _queue_full(trial: Trial) -> None:
    client = trial.client("wss://127.0.0.1:1", outgoing_limit=1)
    client.send("note", 1)
    trial.fails(client.send, "note", 2)
    trial.fails(client.wait)


@failure("what is no JSON is sent", EncodeError)
def _no_json(trial: Trial) -> None:
    client = trial.client(trial.server().ws_url)
    client.connect()
    for data in (float("nan"), {1, 2}, "\ud800", object()):
        trial.fails(client.send, "note", data)
    trial.fails(client.subscribe_market, "one")


@failure("an iterator that is not read", SlowConsumerError)
def _slow(trial: Trial) -> None:
    server = trial.server(frames(event_frame("note", {"token": TOKEN}) * 20, event_frame("last")))
    client = trial.client(server.ws_url, events_limit=2)
    with client.events("note", timeout=TIMEOUT) as unread, client.expect("last", timeout=TIMEOUT):
        client.connect()
    trial.fails(list, unread)


def _refuses_settings(*wrong: Dict[str, Any]) -> Run:
    def run(trial: Trial) -> None:
        for settings in wrong:
            settings = {"url": "wss://127.0.0.1", **settings}
            trial.fails(OneTradeClient, settings.pop("url"), **settings)
            trial.fails(OneTradeClient.from_env, {"ONETRADE_WS_URL": "wss://127.0.0.1"}, **settings)

    return run


_GOOD = {"session_id": SESSION, "access_token": TOKEN}
failure("credentials that do not go together", ConfigurationError)(
    _refuses_settings(
        {"session_id": SESSION},
        {"access_token": TOKEN},
        {**_GOOD, "api_key": KEY},
    )
)
failure("credentials that cannot be sent", ConfigurationError)(
    _refuses_settings(
        {**_GOOD, "access_token": TOKEN + "\n"},
        {**_GOOD, "session_id": f" {SESSION}"},
        {**_GOOD, "session_id": SESSION.encode()},
        {**_GOOD, "access_token": [TOKEN]},
        {"api_key": KEY + "é"},
        {"api_key": KEY.encode()},
    )
)
failure("addresses with credentials in them", ConfigurationError)(
    _refuses_settings(
        {**_GOOD, "url": f"wss://user:{TOKEN}@127.0.0.1"},
        {**_GOOD, "url": f"wss://127.0.0.1/?access_token={TOKEN}"},
        {**_GOOD, "url": TOKEN},
        {**_GOOD, "url": f"wss://[{TOKEN}"},
        {**_GOOD, "http_url": f"https://user:{quote(TOKEN, safe='')}@127.0.0.1"},
        {**_GOOD, "http_url": f"https://127.0.0.1/#{TOKEN}"},
        {**_GOOD, "http_url": f"https://127.0.0.1:{TOKEN}"},
    )
)
failure("other settings that are wrong", ConfigurationError)(
    _refuses_settings(
        {**_GOOD, "url": "ws://192.0.2.1"},
        {**_GOOD, "dispatch": "sometimes"},
        {**_GOOD, "heartbeat_interval": 0},
        {**_GOOD, "reconnect": 5},
        {**_GOOD, "price_columns": "bid"},
        {"api_key": KEY, "ssl_context": "strict"},
        {"api_key": KEY, "connect_timeout": -1},
    )
)


failure("a setting that does not exist", TypeError)(
    _refuses_settings({**_GOOD, "heart_beat": 1}, {"api_key": KEY, "heart_beat": 1})
)


@failure("an environment that is wrong", ConfigurationError)
def _wrong_environment(trial: Trial) -> None:
    good = {
        "ONETRADE_WS_URL": "wss://127.0.0.1",
        "ONETRADE_SESSION_ID": SESSION,
        "ONETRADE_ACCESS_TOKEN": TOKEN,
    }
    for change in (
        {"ONETRADE_WS_URL": ""},
        {"ONETRADE_WS_URL": f"wss://u:{TOKEN}@127.0.0.1"},
        {"ONETRADE_API_KEY": KEY},
        {"ONETRADE_ACCESS_TOKEN": TOKEN + "\r\n"},
        {"ONETRADE_HTTP_URL": f"https://127.0.0.1?{TOKEN}"},
    ):
        environment = {**good, **change}
        trial.fails(OneTradeClient.from_env, environment)
        with mock.patch.dict(os.environ, environment):
            trial.fails(OneTradeClient.from_env)


@contextlib.contextmanager
def _proxy_in_environment(address: str) -> Iterator[None]:
    proxy = f"http://user:{quote(PASSWORD, safe='')}@{address}"
    names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    with mock.patch.dict(os.environ, {**dict.fromkeys(names, proxy), "no_proxy": "", "NO_PROXY": ""}):
        yield


@failure(
    "a proxy that refuses, quoting its password",
    *(NetworkError, ServerError, ConnectTimeoutError),
    modes=(False, True),
)
def _proxy(trial: Trial) -> None:
    def refuse(peer: Peer) -> None:
        peer.read_request()
        said = quoted_in_every_way(PASSWORD, SESSION, KEY)
        peer.answer(407, said, headers=f"X-Said: {PASSWORD}\r\n{PASSWORD}\r\n")

    def garbage(peer: Peer) -> None:
        peer.read_request()
        peer.send(quoted_in_every_way(PASSWORD, SESSION, KEY).encode() + b"\r\n\r\n")
        peer.finish()

    for script in (refuse, garbage, Peer.reset, silent):
        with _proxy_in_environment(trial.server(tcp=script).address):
            for url in ("wss://onetrade.invalid", "ws://onetrade.invalid"):
                settings = {"allow_plaintext": True, "connect_timeout": _SHORT, "reconnect": None}
                trial.connect(url, **settings)


def _refuse_socks5(peer: Peer) -> None:
    peer.receive()
    # Wants user and password, and does not like them.
    peer.send(b"\x05\x02")
    peer.send(b"\x01\x01" + peer.receive())
    peer.finish()


def _refuse_http(peer: Peer) -> None:
    peer.read_request()
    peer.send(f"HTTP/1.1 407 {PASSWORD}\r\nX: {quoted_in_every_way(PASSWORD)}\r\n\r\n".encode())
    peer.finish()


@failure("a proxy of the settings that refuses, quoting its password", *_NO_ANSWER, modes=(False, True))
def _set_proxy(trial: Trial) -> None:
    password = quote(PASSWORD, safe="")
    scripts = {"http": [_refuse_http], "socks5": [_refuse_socks5], "socks4": []}
    for scheme, refuse in scripts.items():
        for script in (*refuse, Peer.reset, silent):
            proxy = f"{scheme}://user:{password}@{trial.server(tcp=script).address}"
            if scheme == "socks4":
                # It knows no password.
                proxy = proxy.replace(f":{password}", "")
            settings = {"allow_plaintext": True, "connect_timeout": _SHORT / 2, "reconnect": None}
            trial.connect("ws://192.0.2.1", proxy=proxy, **settings)


failure("proxies that cannot be used", ConfigurationError)(
    _refuses_settings(
        {**_GOOD, "proxy": f"ftp://user:{PASSWORD}@127.0.0.1:1"},
        {**_GOOD, "proxy": f"http://user:{PASSWORD}@127.0.0.1:no"},
        {**_GOOD, "proxy": PASSWORD},
        {**_GOOD, "proxy": [PASSWORD]},
        {**_GOOD, "proxy": f"http://user:{quote(PASSWORD, safe='')}@127.0.0.1:1", "dispatch": "sometimes"},
    )
)


@failure("an authority's file that cannot be read", ConfigurationError)
def _no_bundle(trial: Trial) -> None:
    with mock.patch.dict(os.environ, {"REQUESTS_CA_BUNDLE": os.devnull}):
        trial.fails(trial.client("wss://127.0.0.1:1").connect)


@failure("everything goes well until disconnect()", NotConnectedError, modes=(False, True))
def _no_failure(trial: Trial) -> None:
    with Simulator(live=False, session_id=SESSION, access_token=TOKEN, api_key=KEY) as simulator:
        client = trial.client(simulator.ws_url)
        with client.events(ClientEventType.STATE_CHANGED, timeout=TIMEOUT) as changes:
            client.connect()
            while next(changes).data.new is not ConnectionState.OPEN:
                pass
            client.send("note", "something")
            client.disconnect()
        trial.fails(client.wait_for, "nothing", timeout=TIMEOUT)


# -- measuring ---------------------------------------------------------------------------------------------------------


def run_failure(name: str, by_key: bool) -> Tuple[Search, List[str]]:
    """What shows of a failure, and what was not as it should be about the failure itself."""
    case = FAILURES[name]
    # What a client does not know it cannot recognise; only a server that should not know it either could say it.
    knows = by_key or case.modes != (False, True)
    search, wrong = Search(SESSION, TOKEN, PASSWORD, *([KEY] if knows else [])), []
    with everything_said(search):
        trial = Trial(search, by_key)
        try:
            with trial.stack:
                case.run(trial)
        except Exception:  # noqa: BLE001 - the other failures are looked at all the same
            wrong += [f"it broke: {line}" for line in traceback.format_exc().splitlines()]
        # After the end, when everything has been said.
        trial.look()
    if not any(isinstance(error, case.expected) for error in trial.errors):
        wrong.append(f"it did not happen: {[type(error).__name__ for error in trial.errors]} was raised")
    wrong += [
        f"raised {type(error).__name__}"
        for error in trial.errors
        if not isinstance(error, (OneTradeError, *case.expected))
    ]
    wrong += [f"a request without the secrets: {request}" for request in trial.sent_wrongly()]
    return search, wrong


def run_redirect(status: int, door: str, by_key: bool) -> Tuple[int, List[str]]:
    """How many bytes, or connections, arrived where a redirect points to; and what else was wrong."""
    arrived: List[int] = []

    def count(peer: Peer) -> None:
        while True:
            arrived.append(len(peer.receive()))

    search = Search(SESSION, TOKEN, KEY)
    with everything_said(search):
        trial = Trial(search, by_key)
        with trial.stack:
            port = trial.server(tcp=count).address.rsplit(":", 1)[1]
            target = trial.servers[0]

            def redirect(peer: Peer) -> None:
                scheme = "ws" if door == "handshake" else "http"
                location = f"{scheme}://localhost:{port}{peer.request.target}"
                peer.answer(status, {"message": location}, headers=f"Location: {location}\r\n")

            scripts = {"handshake": {"websocket": redirect}, "HTTP call": {"http": redirect}}[door]
            trial.connect(trial.server(**scripts).ws_url, reconnect=None)
        trial.look()
    wrong = [f"{hit.where} shows {hit.what}" for hit in search.hits]
    if not any(isinstance(error, (ServerError, HandshakeError)) for error in trial.errors):
        wrong.append(f"it was not refused: {trial.errors}")
    return sum(arrived) + target.accepted, wrong


def measure(full: bool, seed: int) -> Outcome:
    details = [f"the search does not see a secret in: {name}" for name in instrument_fails()]
    hits = 0
    for name, case in FAILURES.items():
        for by_key in case.modes:
            search, wrong = run_failure(name, by_key)
            hits += len(search.hits)
            details += [f"{name}: {hit.where} shows {hit.what}" for hit in search.hits[:_NAMED_HITS]]
            if len(search.hits) > _NAMED_HITS:
                details.append(f"{name}: and {len(search.hits) - _NAMED_HITS} hits more")
            details += [f"{name}: {what}" for what in wrong]
    led_away = 0
    redirects = [
        (status, door) for door in ("HTTP call", "handshake") for status in (301, 302, 303, 307, 308)
    ]
    for status, door in redirects:
        for by_key in (False, True):
            arrived, wrong = run_redirect(status, door, by_key)
            led_away += arrived
            details += [f"redirect {status}, {door}: {what}" for what in wrong]
    return Outcome(
        f"{hits} hits in {len(FAILURES)} failures; {led_away} bytes in {len(redirects)} redirects",
        not details and not led_away,
        details,
    )
