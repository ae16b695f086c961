"""What the server may say about the session, and what the client must make of it: one script a rule.

The rules are played by ``test_session_rules.py`` and counted by the scorecard.
"""

from __future__ import annotations

import http.client
import threading
from contextlib import ExitStack
from typing import Any, Callable, Dict, List, Sequence, Tuple, Type, Union

import attrs

from onetrade_ws import (
    AuthenticationError,
    ClientEventType,
    ConnectionClosedError,
    ConnectionLostError,
    ConnectionState,
    Event,
    EventMessageType,
    OneTradeClient,
    OneTradeError,
    ReconnectFailedError,
    ReconnectPolicy,
    SessionInUseError,
    SessionLoggedOutError,
)
from onetrade_ws.simulator import Simulator
from tests.connection.conftest import FAST, Server, connected, messages, read_until
from tests.connection.hostile import TIMEOUT, HostileServer, Peer, Script, close_frame, event_frame

#: The doors of the server, as the simulator's methods call them, and as errors call the step.
DOORS = {"login": "login", "validation": "session validation", "handshake": "handshake"}

# The requests that arrive when a client is refused at a door.
_REQUESTS = {"login": ["login"], "validation": ["validation"], "handshake": ["validation", "handshake"]}

ACCOUNT = ("start_account_all", None)


class BrokenRule(AssertionError):
    """The client made something else of it."""


def check(what: str, found: object, wanted: object) -> None:
    """Two things must be equal."""
    if found != wanted:
        raise BrokenRule(f"{what}: {found!r}, not {wanted!r}")


class Stage:
    """A simulator, and whatever else a script asks for; all of it is gone at the end."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.simulator = self._stack.enter_context(Simulator(live=False))

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def hostile(self, script: Script) -> HostileServer:
        """A server that does to each WebSocket what the script says."""
        server = HostileServer(script)
        self._stack.callback(server.stop)
        return server

    def client(self, server: Union[Simulator, HostileServer, None] = None, **settings: Any) -> OneTradeClient:
        """A client of the simulator, or of another server; it does not connect."""
        known: Server = self.simulator if server is None else server
        if "api_key" not in settings:
            settings = {"session_id": known.session_id, "access_token": known.access_token, **settings}
        # The rules are about who asks for what, and when: nothing else is asked for.
        defaults: Dict[str, Any] = {"reconnect": FAST, "connect_timeout": TIMEOUT, "snapshot": False}
        client = OneTradeClient(known.ws_url, **{**defaults, **settings})
        self._stack.callback(client.disconnect)
        return client

    def lose(self, client: OneTradeClient, how: Callable[[], object]) -> Any:
        """End the client's connection, and wait until it has another one and said so; its ``Gap``."""
        with client.expect(ClientEventType.GAP, timeout=TIMEOUT) as expected:
            how()
        return expected.event.data

    def requests(self) -> List[str]:
        """The requests that arrived at the simulator, each by the name of its door."""
        doors = []
        for request in self.simulator.requests:
            if request.method == "POST":
                doors.append("login" if request.path.endswith("/login") else "validation")
            else:
                doors.append("handshake" if request.path == "/ws/v1" else request.path)
        return doors


def policy(**settings: Any) -> ReconnectPolicy:
    """Comes back at once, in the way asked for."""
    return ReconnectPolicy(**{"initial_delay": 0.01, "max_delay": 0.05, "stable_after": 0.0, **settings})


def refused(call: Callable[[], object], kind: Type[OneTradeError]) -> Any:
    """The error with which a call must end: this very class."""
    try:
        call()
    except OneTradeError as error:
        check("the error", type(error), kind)
        return error
    raise BrokenRule(f"no {kind.__name__}")


def check_final(client: OneTradeClient, server: Union[Simulator, HostileServer]) -> None:
    """The client is closed, its threads end, and the server saw no request after that but one of our own."""
    check("the state", client.state, ConnectionState.CLOSED)
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("onetrade-ws ")]
    for thread in threads:
        thread.join(TIMEOUT)
    check("threads", [thread.name for thread in threads if thread.is_alive()], [])
    before = len(server.requests)
    host, _, port = server.ws_url.partition("://")[2].partition(":")
    marker = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT)
    try:
        marker.request("GET", "/marker")
        marker.getresponse().read()
    finally:
        marker.close()
    check("requests after the end", len(server.requests) - before, 1)


# -- at the door ---------------------------------------------------------------------------------------------


def refused_credentials(stage: Stage, case: Tuple[str, int]) -> None:
    """401 and 403 are final, at each door, for a client that connects."""
    door, status = case
    getattr(stage.simulator, f"refuse_{door}")(status, "no", times=None)
    settings: Dict[str, Any] = {"api_key": stage.simulator.api_key} if door == "login" else {}
    client = stage.client(**settings)
    error = refused(client.connect, AuthenticationError)
    check("status and step", (error.status, error.step), (status, DOORS[door]))
    check("requests", stage.requests(), _REQUESTS[door])
    check_final(client, stage.simulator)
    check("what wait() says", refused(lambda: client.wait(TIMEOUT), AuthenticationError), error)


def refused_credentials_while_reconnecting(stage: Stage, case: Tuple[str, int]) -> None:
    """401 and 403 are final for a client that reconnects, too."""
    door, status = case
    client = stage.client()
    stream = connected(client, ClientEventType.RECONNECTING)
    getattr(stage.simulator, f"refuse_{door}")(status, "expired", times=None)
    stage.simulator.drop()
    error = refused(lambda: client.wait(TIMEOUT), AuthenticationError)
    check("status and step", (error.status, error.step), (status, DOORS[door]))
    check("requests", stage.requests(), _REQUESTS["handshake"] + _REQUESTS[door])
    seen: List[Event] = []
    refused(lambda: seen.extend(stream), AuthenticationError)
    check("attempts", sum(event.type is ClientEventType.RECONNECTING for event in seen), 1)
    check_final(client, stage.simulator)


def tried_again(stage: Stage, case: Tuple[str, int]) -> None:
    """What may pass is tried again until it has passed."""
    door, status = case
    getattr(stage.simulator, f"refuse_{door}")(status, "later", times=2)
    settings: Dict[str, Any] = {"api_key": stage.simulator.api_key} if door == "login" else {}
    client = stage.client(**settings)
    client.connect()
    check("the state", client.state, ConnectionState.OPEN)
    check(f"requests at {door}", stage.requests().count(door), 3)


def tried_again_while_reconnecting(stage: Stage, case: Tuple[str, int]) -> None:
    """What may pass is tried again after a loss, too."""
    door, status = case
    client = stage.client()
    client.connect()
    getattr(stage.simulator, f"refuse_{door}")(status, "later", times=2)
    stage.lose(client, stage.simulator.drop)
    check(f"requests at {door}", stage.requests().count(door), 4)


def refusal_under_200(stage: Stage, case: Tuple[Dict[str, Any], Type[OneTradeError]]) -> None:
    """``"success": false`` under status 200 is a refusal, and the envelope's code says which."""
    answer, kind = case
    stage.simulator.refuse_validation(200, body=answer, times=None)
    client = stage.client()
    error = refused(client.connect, kind)
    check("status", error.status, answer["code"])
    check("requests", stage.requests(), ["validation"])
    check_final(client, stage.simulator)


def refusal_under_200_while_reconnecting(
    stage: Stage, case: Tuple[Dict[str, Any], Type[OneTradeError]]
) -> None:
    """A refusal under status 200 counts while reconnecting, too."""
    answer, kind = case
    client = stage.client(reconnect=policy(session_in_use_attempts=0))
    client.connect()
    stage.simulator.refuse_validation(200, body=answer, times=None)
    stage.simulator.drop()
    error = refused(lambda: client.wait(TIMEOUT), kind)
    check("status", error.status, answer["code"])
    check("requests", stage.requests(), ["validation", "handshake", "validation"])
    check_final(client, stage.simulator)


def trouble_under_200(stage: Stage, code: int) -> None:
    """An envelope that says ``"success": false`` with the code of a passing trouble is one."""
    stage.simulator.refuse_validation(200, body={"success": False, "code": code, "message": "later"}, times=2)
    client = stage.client()
    client.connect()
    check("requests", stage.requests(), ["validation"] * 3 + ["handshake"])


# -- session in use ------------------------------------------------------------------------------------------


def in_use_at_connect(stage: Stage, door: str) -> None:
    """Another program or tab holds the session: final, and told."""
    getattr(stage.simulator, f"refuse_{door}")(400, "session is already used", times=None)
    client = stage.client()
    told: List[Any] = []
    client.subscribe(ClientEventType.SESSION_IN_USE, lambda event: told.append(event.data))
    error = refused(client.connect, SessionInUseError)
    check("step", error.step, DOORS[door])
    check("requests", stage.requests(), _REQUESTS[door])
    check("told", told, [error])
    check("two tabs", client.account.two_tabs_detected, True)
    check_final(client, stage.simulator)


def in_use_after_our_own_loss(stage: Stage, door: str) -> None:
    """The server may still hold the connection that we have lost: tried again for a while, and not told."""
    client = stage.client(reconnect=policy(session_in_use_attempts=3))
    told: List[Event] = []
    client.subscribe(ClientEventType.SESSION_IN_USE, told.append)
    client.connect()
    getattr(stage.simulator, f"refuse_{door}")(400, "session is already used", times=3)
    stage.lose(client, stage.simulator.drop)
    check("validations", stage.requests().count("validation"), 1 + 3 + 1)
    check("told", told, [])
    check("two tabs", client.account.two_tabs_detected, False)


def in_use_counted_anew(stage: Stage, case: None) -> None:
    """Each connection that was open begins a new count of these answers."""
    client = stage.client(reconnect=policy(session_in_use_attempts=2))
    client.connect()
    for _ in range(3):
        stage.simulator.refuse_validation(times=2)
        stage.lose(client, stage.simulator.drop)
    check("the state", client.state, ConnectionState.OPEN)


def in_use_for_too_long(stage: Stage, attempts: int) -> None:
    """After so many answers it is taken for what it says: final, and told."""
    client = stage.client(reconnect=policy(session_in_use_attempts=attempts))
    told: List[Any] = []
    client.subscribe(ClientEventType.SESSION_IN_USE, lambda event: told.append(event.data))
    client.connect()
    stage.simulator.hold_session()
    stage.simulator.drop()
    error = refused(lambda: client.wait(TIMEOUT), SessionInUseError)
    check("told", told, [error])
    check("two tabs", client.account.two_tabs_detected, True)
    check("validations", stage.requests().count("validation"), 1 + attempts + 1)
    check_final(client, stage.simulator)


# -- logout --------------------------------------------------------------------------------------------------


def logout_of_our_session(stage: Stage, case: None) -> None:
    """Final: told in its order, a flag in the mirror, goodbye said, and no reconnect."""
    simulator = stage.simulator
    client = stage.client()
    order: List[Any] = []
    client.subscribe(None, lambda event: order.append(event.type))
    client.connect()
    with client.expect(ClientEventType.SESSION_LOGGED_OUT, timeout=TIMEOUT) as expected:
        simulator.log_out()
    error = refused(lambda: client.wait(TIMEOUT), SessionLoggedOutError)
    check("the event's reason", expected.event.data, error)
    check("its text", "logged out" in str(error), True)
    check("logged out", client.account.session_logged_out, True)
    # First the server's words, then what the client makes of them.
    check(
        "the last events",
        order[-4:],
        [
            EventMessageType.SESSION_LOGOUT,
            ClientEventType.SESSION_LOGGED_OUT,
            ClientEventType.STATE_CHANGED,
            ClientEventType.STATE_CHANGED,
        ],
    )
    check("RECONNECTING events", order.count(ClientEventType.RECONNECTING), 0)
    simulator.wait_for(lambda simulator: simulator.connections == 0)
    check("the opcode of the last message", simulator.messages[-1].opcode, 8)
    check("requests", stage.requests(), ["validation", "handshake"])
    check_final(client, simulator)


def logged_out_while_down(stage: Stage, case: None) -> None:
    """Nobody could tell the client: it is refused at the door, which is final."""
    client = stage.client()
    client.connect()
    stage.simulator.refuse_validation(503, "down", times=None)
    stage.simulator.reset()
    stage.simulator.log_out()
    stage.simulator.allow()
    refused(lambda: client.wait(TIMEOUT), AuthenticationError)
    check_final(client, stage.simulator)


def logout_of_another_session(stage: Stage, case: None) -> None:
    """Delivered, and nothing else."""
    client = stage.client()
    client.connect()
    with client.expect(EventMessageType.SESSION_LOGOUT, timeout=TIMEOUT) as expected:
        stage.simulator.log_out("somebody-else")
    check("whose", expected.event.data.session_id, "somebody-else")
    with client.expect("still there", timeout=TIMEOUT):
        stage.simulator.emit("still there")
    check("the state", client.state, ConnectionState.OPEN)
    check("logged out", client.account.session_logged_out, False)


def logout_with_the_end(stage: Stage, case: Tuple[str, bytes]) -> None:
    """A server that hangs up right behind the logout is not asked again."""
    end, behind = case

    def script(peer: Peer) -> None:
        logout = event_frame("session_logout", {"session_id": server.session_id})
        if end == "with the handshake":
            peer.upgrade(logout)
            peer.serve()
            return
        peer.upgrade()
        while "start_account_all" not in peer.read_frame().text:
            pass
        peer.send(logout + behind)
        if end == "serves on":
            peer.serve()
        # A reset could overtake what was sent before it.
        elif end == "reset" and not behind:
            peer.read_frame()
        if end in ("reset", "close", "finish"):
            getattr(peer, end)()

    server = stage.hostile(script)
    client = stage.client(server)

    def connect_and_wait() -> None:
        # Either may raise why, when the end follows at once.
        client.connect()
        client.wait(TIMEOUT)

    refused(connect_and_wait, SessionLoggedOutError)
    check("validations", server.validations, 1)
    check_final(client, server)


# -- the connection ends -------------------------------------------------------------------------------------


def closed_with(stage: Stage, code: int) -> None:
    """A close frame is a loss, whatever its code (specification: the close event triggers the reconnection):
    answered, told with its code and words, mended.
    """
    simulator = stage.simulator
    client = stage.client()
    stream = connected(client, ClientEventType.GAP)
    simulator.close(code, "words of the server")
    events = read_until(stream, lambda event: event.type is ClientEventType.GAP)
    reason = events[-1].data.reason
    check("the reason", type(reason), ConnectionClosedError)
    check("code and words", (reason.code, reason.reason), (code, "words of the server"))
    check("its text", str(reason), f"the server closed the connection (code {code}): words of the server")
    check("the reason told first", events[0].data.reason, reason)
    # Its close frame was answered, with nothing behind the answer.
    last = [message for message in simulator.messages if message.connection == 1][-1]
    check("the opcode of the last message", last.opcode, 8)
    check("the state", client.state, ConnectionState.OPEN)
    check("requests", stage.requests(), ["validation", "handshake"] * 2)


def gone_without_a_close_frame(stage: Stage, how: str) -> None:
    """What browsers call 1006: a loss, mended."""
    client = stage.client()
    client.connect()
    gap = stage.lose(client, getattr(stage.simulator, how))
    check("the reason", type(gap.reason), ConnectionLostError)
    check("the state", client.state, ConnectionState.OPEN)
    check("requests", stage.requests(), ["validation", "handshake"] * 2)


def without_a_policy(stage: Stage, how: str) -> None:
    """``reconnect=None``: the first loss is the end."""
    client = stage.client(reconnect=None)
    client.connect()
    getattr(stage.simulator, how)()
    refused(lambda: client.wait(TIMEOUT), ConnectionClosedError if how == "close" else ConnectionLostError)
    check("requests", stage.requests(), ["validation", "handshake"])
    check_final(client, stage.simulator)


def the_policys_limit(stage: Stage, case: Tuple[str, int]) -> None:
    """After so many attempts in vain it gives up, for good."""
    trouble, attempts = case
    client = stage.client(reconnect=policy(max_attempts=attempts, session_in_use_attempts=8))
    client.connect()
    status, words = (503, "down") if trouble == "down" else (400, "session is already used")
    stage.simulator.refuse_validation(status, words, times=None)
    stage.simulator.drop()
    error = refused(lambda: client.wait(TIMEOUT), ReconnectFailedError)
    check("attempts", error.attempts, attempts)
    check("its text", f"gave up after {attempts} attempt" in str(error), True)
    check("in use", isinstance(error.last_error, SessionInUseError), trouble == "in use")
    check("validations", stage.requests().count("validation"), 1 + attempts)
    check_final(client, stage.simulator)


# -- what is said on each connection -------------------------------------------------------------------------


def validated_afresh(stage: Stage, case: None) -> None:
    """The session is validated before each connection, not only before the first."""
    client = stage.client()
    client.connect()
    for how in (stage.simulator.drop, stage.simulator.reset, stage.simulator.close):
        stage.lose(client, how)
    check("requests", stage.requests(), ["validation", "handshake"] * 4)


def logged_in_once(stage: Stage, case: None) -> None:
    """An API key logs in once for each connect(), and not for a reconnect."""
    client = stage.client(api_key=stage.simulator.api_key)
    client.connect()
    stage.lose(client, stage.simulator.drop)
    check("requests", stage.requests(), ["login", *["validation", "handshake"] * 2])
    client.disconnect()
    client.connect()
    check("requests of the second", stage.requests()[5:], ["login", "validation", "handshake"])


def _texts(simulator: Simulator, connection: int) -> List[str]:
    return [
        message.text
        for message in simulator.messages
        if message.connection == connection and message.opcode == 1
    ]


def heartbeat_first(stage: Stage, case: None) -> None:
    """The documented flow, on each connection: "9", then the account updates."""
    started = '{"type":"start_account_all","data":null}'
    client = stage.client()
    client.connect()
    for connection in (1, 2):
        stage.simulator.wait_for(lambda simulator: started in _texts(simulator, connection))  # noqa: B023
        texts = _texts(stage.simulator, connection)
        check(f"the beginning of connection {connection}", texts, ["9", started])
        stage.lose(client, stage.simulator.drop)


def _said(stage: Stage, client: OneTradeClient, connection: int) -> List[Tuple[str, Any]]:
    """Everything that was said on a connection so far; the client says one thing more to know it."""
    client.send("that is all", connection)
    last = ("that is all", connection)
    stage.simulator.wait_for(lambda simulator: last in messages(simulator, connection))
    said = messages(stage.simulator, connection)
    return said[: said.index(last)]


def subscriptions_then_messages(stage: Stage, case: None) -> None:
    """Account updates, then the symbols in their order, then what waited in the queue, in its order: each once."""
    client = stage.client()
    symbols = [("market_subscribe_symbol", symbol) for symbol in (3, 1, 2)]
    queued = [("note", number) for number in range(5)]
    for event_type, number in queued:
        client.send(event_type, number)
    for event_type, symbol in symbols:
        client.send(event_type, symbol)
    client.connect()
    check("said first", _said(stage, client, 1), [ACCOUNT, *symbols, *queued])
    stage.simulator.refuse_validation(503, "later", times=2)
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
        with client.expect(ClientEventType.RECONNECTING, timeout=TIMEOUT):
            stage.simulator.drop()
        client.send("note", "while down")
    check("said next", _said(stage, client, 2), [ACCOUNT, *symbols, ("note", "while down")])


def ten_is_swallowed(stage: Stage, case: None) -> None:
    """The answer to a heartbeat is no event (specification: "Ignore")."""
    client = stage.client(heartbeat_interval=0.02)
    seen: List[Any] = []
    client.subscribe(None, lambda event: seen.append(event.type))
    client.connect()
    stage.simulator.wait_for(lambda simulator: _texts(simulator, 1).count("9") >= 5)
    with client.expect("settled", timeout=TIMEOUT):
        stage.simulator.emit("settled")
    client.disconnect()
    check(
        "events",
        seen,
        [ClientEventType.STATE_CHANGED] * 2 + ["settled"] + [ClientEventType.STATE_CHANGED] * 2,
    )


def unsubscribed_stays_unsubscribed(stage: Stage, when: str) -> None:
    """What was unsubscribed is not restored."""
    client = stage.client()
    for symbol in (1, 2, 3):
        client.subscribe_market(symbol)
    client.connect()
    if when == "open":
        client.unsubscribe_market(2)
        stage.lose(client, stage.simulator.drop)
    else:
        stage.simulator.refuse_validation(503, "later", times=2)
        with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
            with client.expect(ClientEventType.RECONNECTING, timeout=TIMEOUT):
                stage.simulator.drop()
            client.unsubscribe_market(2)
    kept = [("market_subscribe_symbol", symbol) for symbol in (1, 3)]
    check("said", _said(stage, client, 2), [ACCOUNT, *kept])


def account_updates_not_wanted(stage: Stage, how: str) -> None:
    """``account_updates=False``, or stop_account_all: never started again by the client itself."""
    client = stage.client(account_updates=how != "setting")
    if how == "stopped before":
        client.stop_account_all()
    client.connect()
    first: List[Tuple[str, Any]] = []
    if how == "stopped while open":
        client.stop_account_all()
        first = [ACCOUNT, ("stop_account_all", None)]
    check("said first", _said(stage, client, 1), first)
    stage.lose(client, stage.simulator.drop)
    check("said next", _said(stage, client, 2), [])


# -- the table -----------------------------------------------------------------------------------------------

Scene = Tuple[Callable[[Stage, Any], None], Sequence[Any]]


@attrs.frozen
class Rule:
    """A rule, and the scripts that play it, each with its cases."""

    name: str
    scenes: Sequence[Scene]

    def plays(self) -> List[Tuple[str, Callable[[Stage], None]]]:
        """Each case of each script: its name, and what plays it."""

        def bind(script: Callable[[Stage, Any], None], case: Any) -> Callable[[Stage], None]:
            return lambda stage: script(stage, case)

        return [
            (f"{script.__name__} {case}" if case is not None else script.__name__, bind(script, case))
            for script, cases in self.scenes
            for case in cases
        ]


def _at(door: str, *statuses: int) -> List[Tuple[str, int]]:
    return [(door, status) for status in statuses]


def _at_each_door(*statuses: int) -> List[Tuple[str, int]]:
    return [case for door in DOORS for case in _at(door, *statuses)]


def _after_a_loss(*statuses: int) -> List[Tuple[str, int]]:
    return [case for door in ("validation", "handshake") for case in _at(door, *statuses)]


_UNDER_200: List[Tuple[Dict[str, Any], Type[OneTradeError]]] = [
    ({"success": False, "code": 401, "message": "expired"}, AuthenticationError),
    ({"success": False, "code": 403, "error": "forbidden"}, AuthenticationError),
    ({"success": False, "code": 400, "error": "session is already used"}, SessionInUseError),
]
_HANG_UPS = ["reset", "close", "finish", "serves on"]
_BEHIND_A_LOGOUT = [b"", close_frame(1000), event_frame("more"), b"\x81"]

RULES: List[Rule] = [
    Rule("401, 403 at the login", [(refused_credentials, _at("login", 401, 403))]),
    Rule(
        "401, 403 at the validation",
        [
            (refused_credentials, _at("validation", 401, 403)),
            (refused_credentials_while_reconnecting, _at("validation", 401, 403)),
        ],
    ),
    Rule(
        "401, 403 at the handshake",
        [
            (refused_credentials, _at("handshake", 401, 403)),
            (refused_credentials_while_reconnecting, _at("handshake", 401, 403)),
        ],
    ),
    Rule(
        "404 is tried again",
        [(tried_again, _at_each_door(404)), (tried_again_while_reconnecting, _after_a_loss(404))],
    ),
    Rule(
        "429 is tried again",
        [(tried_again, _at_each_door(429)), (tried_again_while_reconnecting, _after_a_loss(429))],
    ),
    Rule(
        "5xx is tried again",
        [
            (tried_again, _at_each_door(500, 502, 503)),
            (tried_again_while_reconnecting, _after_a_loss(500, 502, 503)),
        ],
    ),
    Rule(
        "success: false under 200",
        [(refusal_under_200, _UNDER_200), (refusal_under_200_while_reconnecting, _UNDER_200)],
    ),
    Rule("the envelope's code", [(trouble_under_200, [404, 429, 500, 503])]),
    Rule("in use at connect", [(in_use_at_connect, ["validation", "handshake"])]),
    Rule(
        "in use after our own loss",
        [(in_use_after_our_own_loss, ["validation", "handshake"]), (in_use_counted_anew, [None])],
    ),
    Rule("in use for too long", [(in_use_for_too_long, [0, 1, 3])]),
    Rule("logout of our session", [(logout_of_our_session, [None]), (logged_out_while_down, [None])]),
    Rule("logout of another session", [(logout_of_another_session, [None])]),
    Rule(
        "logout, then the end",
        [
            (
                logout_with_the_end,
                [(end, behind) for end in _HANG_UPS for behind in _BEHIND_A_LOGOUT]
                + [("with the handshake", b"")],
            )
        ],
    ),
    Rule("closed with 1000", [(closed_with, [1000])]),
    Rule("closed with 1001", [(closed_with, [1001])]),
    Rule("closed with 1002", [(closed_with, [1002])]),
    Rule("gone without a close frame (1006)", [(gone_without_a_close_frame, ["drop", "reset"])]),
    Rule("closed with 1008", [(closed_with, [1008])]),
    Rule("closed with 1011", [(closed_with, [1011])]),
    Rule(
        "closed with 1012, or another code of the protocol", [(closed_with, [1012, 1003, 1007, 1009, 1013])]
    ),
    Rule("closed with 4xxx", [(closed_with, [3000, 4000, 4001, 4401, 4403, 4999])]),
    Rule("login once for each connect()", [(logged_in_once, [None])]),
    Rule("validated afresh for each connection", [(validated_afresh, [None])]),
    Rule('"9", then start_account_all', [(heartbeat_first, [None])]),
    Rule("subscriptions, then queued messages", [(subscriptions_then_messages, [None])]),
    Rule('"10" is swallowed', [(ten_is_swallowed, [None])]),
    Rule("unsubscribed stays so", [(unsubscribed_stays_unsubscribed, ["open", "down"])]),
    Rule(
        "account updates only where wanted",
        [(account_updates_not_wanted, ["setting", "stopped before", "stopped while open"])],
    ),
    Rule(
        "the end of the policy",
        [
            (without_a_policy, ["drop", "reset", "close"]),
            (the_policys_limit, [("down", 1), ("down", 3), ("in use", 2)]),
        ],
    ),
]
