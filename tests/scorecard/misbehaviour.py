"""What a hostile server may do at each step, and the error that it must come to."""

from __future__ import annotations

import gzip
import struct
from functools import partial
from typing import Any, Callable, Dict, Mapping, Optional, Type

import attrs

from onetrade_ws import (
    AuthenticationError,
    ConnectionClosedError,
    ConnectionLostError,
    ConnectionStalledError,
    ConnectTimeoutError,
    HandshakeError,
    NetworkError,
    NotFoundError,
    OneTradeClient,
    OneTradeError,
    ProtocolError,
    RateLimitedError,
    ReconnectPolicy,
    ServerError,
    SessionInUseError,
    SessionLoggedOutError,
)
from onetrade_ws.simulator import websocket as framing
from tests.connection.hostile import HostileServer, Peer, Script, close_frame, event_frame, text_frame

#: Bytes that a message may have where a case is about that.
MESSAGE_LIMIT = 100_000


@attrs.frozen
class Misbehaviour:
    """What a server does, and what is expected of the client.

    :ivar script: what it does at its step
    :ivar error: the class of the error, exactly
    :ivar facts: attributes of the error
    :ivar close: the code of the close frame that must arrive at the server
    :ivar settings: of the client
    :ivar prepare: called with the client before it connects
    :ivar timed: whether it is known when its deadline begins
    """

    script: Script
    error: Type[OneTradeError]
    facts: Mapping[str, Any] = attrs.field(factory=dict)
    close: Optional[int] = None
    settings: Mapping[str, Any] = attrs.field(factory=dict)
    prepare: Callable[[OneTradeClient], None] = attrs.field(default=lambda client: None)
    timed: bool = True


# -- steps that are answered by HTTP: login, validation, handshake ----------------------------------------------------


def says(data: bytes) -> Script:
    """Sends something, and then nothing."""

    def script(peer: Peer) -> None:
        peer.send(data)
        peer.read_until_end()

    return script


def says_and_closes(data: bytes) -> Script:
    def script(peer: Peer) -> None:
        peer.send(data)
        peer.finish()

    return script


def says_and_resets(data: bytes) -> Script:
    def script(peer: Peer) -> None:
        peer.send(data)
        peer.reset()

    return script


def says_without_end(first: bytes, again: bytes) -> Script:
    def script(peer: Peer) -> None:
        peer.send(first)
        while True:
            peer.send(again)

    return script


def drips(first: bytes, rest: bytes) -> Script:
    def script(peer: Peer) -> None:
        peer.send(first)
        peer.drip(rest, 0.02)

    return script


def answers(status: int, body: Any = b"", headers: str = "") -> Script:
    return lambda peer: peer.answer(status, body, headers=headers)


def redirects_to_itself(status: int) -> Script:
    def script(peer: Peer) -> None:
        host = peer.request.headers["host"]
        peer.answer(status, headers=f"Location: http://{host}{peer.request.target}\r\n")

    return script


_DRIPPED = b"x" * 10_000
_HEAD = b"HTTP/1.1 503 Service Unavailable\r\n"
_IN_USE = {"success": False, "code": 400, "data": None, "error": "session is already used", "message": ""}

# Script, what the login and the validation come to, and what the handshake comes to.
_HTTP: Dict[str, Any] = {
    "is silent": (Peer.read_until_end, NetworkError, NetworkError),
    "takes nothing and is silent": (Peer.hold, NetworkError, NetworkError),
    "sends half a status line": (says(b"HTTP/1.1 20"), NetworkError, NetworkError),
    "sends half a head": (says(_HEAD + b"Content-"), NetworkError, NetworkError),
    "drips a status line": (drips(b"", b"HTTP/1.1 " + _DRIPPED), NetworkError, NetworkError),
    "drips a header": (drips(_HEAD + b"X-Filler: ", _DRIPPED), NetworkError, NetworkError),
    "drips a body": (drips(_HEAD + b"Content-Length: 10000\r\n\r\n", _DRIPPED), NetworkError, ServerError),
    "sends half a body": (says(_HEAD + b"Content-Length: 9\r\n\r\nhalf"), NetworkError, ServerError),
    "hangs up": (says_and_closes(b""), NetworkError, NetworkError),
    "hangs up in the status line": (says_and_closes(b"HTTP/1.1 2"), NetworkError, NetworkError),
    "hangs up in the body": (
        says_and_closes(_HEAD + b"Content-Length: 9\r\n\r\nhalf"),
        NetworkError,
        ServerError,
    ),
    "resets": (says_and_resets(b""), NetworkError, NetworkError),
    "resets in the head": (says_and_resets(_HEAD), NetworkError, NetworkError),
    "sends garbage": (says_and_closes(bytes(range(256)) * 10 + b"\r\n\r\n"), NetworkError, HandshakeError),
    "speaks SSH": (says(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), NetworkError, HandshakeError),
    "speaks HTTP/3": (says(b"HTTP/3.0 200 OK\r\n\r\n"), NetworkError, HandshakeError),
    "has no status": (says(b"HTTP/1.1 fine\r\n\r\n"), NetworkError, HandshakeError),
    "announces without end": (
        says_without_end(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        NetworkError,
        ServerError,
    ),
    "sends headers without end": (
        says_without_end(_HEAD, b"X-Filler: " + b"x" * 1000 + b"\r\n"),
        NetworkError,
        HandshakeError,
    ),
    "sends a header without end": (
        says_without_end(_HEAD + b"X: ", b"x" * 4096),
        NetworkError,
        HandshakeError,
    ),
    "sends a body without end": (says_without_end(_HEAD + b"\r\n", b"x" * 4096), ServerError, ServerError),
    "refuses by a body without end": (
        says_without_end(b"HTTP/1.1 401 No\r\n\r\n", b"x" * 4096),
        AuthenticationError,
        AuthenticationError,
    ),
    "answers 401": (answers(401), AuthenticationError, AuthenticationError),
    "answers 403": (answers(403, "<html>"), AuthenticationError, AuthenticationError),
    "answers that the session is in use": (answers(400, _IN_USE), SessionInUseError, SessionInUseError),
    "answers 404": (answers(404), NotFoundError, NotFoundError),
    "answers 429": (answers(429, headers="Retry-After: 86400\r\n"), RateLimitedError, RateLimitedError),
    "answers 500": (answers(500, "[" * 50_000), ServerError, ServerError),
    "redirects to itself by 302": (redirects_to_itself(302), ServerError, HandshakeError),
    "redirects to itself by 308": (redirects_to_itself(308), ServerError, HandshakeError),
}

_PAGE = bytes(range(256))
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

_HTTP_CALL: Dict[str, Any] = {
    "refuses under status 200": (
        answers(200, {"success": False, "code": 500, "message": "oops"}),
        ServerError,
        {"status": 500},
    ),
    "refuses credentials under status 200": (
        answers(200, {"success": False, "code": 401, "message": "expired"}),
        AuthenticationError,
        {"status": 401},
    ),
    "has two lengths": (says(b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n{}"), NetworkError, {}),
    "sends a chunk of no size": (says(_CHUNKED + b"zz\r\n"), NetworkError, {}),
    "hangs up in a chunk": (says_and_closes(_CHUNKED + b"ff\r\nhalf"), NetworkError, {}),
    "sends what is no gzip": (answers(200, "no gzip", "Content-Encoding: gzip\r\n"), NetworkError, {}),
    "sends half a gzip": (
        answers(200, gzip.compress(_PAGE)[:-20], "Content-Encoding: gzip\r\n"),
        NetworkError,
        {},
    ),
    "packs its answer twice": (answers(200, "", "Content-Encoding: gzip, gzip\r\n"), NetworkError, {}),
}


def validation_cases() -> Dict[str, Misbehaviour]:
    """At the session validation."""
    facts = {"step": "session validation"}
    cases = {name: Misbehaviour(script, error, facts) for name, (script, error, _) in _HTTP.items()}
    for name, (script, error, more) in _HTTP_CALL.items():
        cases[name] = Misbehaviour(script, error, {**facts, **more})
    return cases


def login_cases() -> Dict[str, Misbehaviour]:
    """At the login."""
    facts = {"step": "login"}
    wanted = ("is silent", "drips a body", "resets", "answers 401", "sends a body without end")
    cases = {name: Misbehaviour(_HTTP[name][0], _HTTP[name][1], facts) for name in wanted}
    for name, body in {
        "gives no session": '{"success": true, "data": {}}',
        "sends a page": "<html>Welcome!</html>",
        "sends deep nesting": "[" * 60_000,
        "sends a token of another type": '{"data": {"session_id": "s", "access_token": ["t"]}}',
    }.items():
        cases[name] = Misbehaviour(answers(200, body), ServerError, {**facts, "status": 200})
    return cases


def _upgrade(head: str) -> Script:
    """Completes the handshake in a way of its own; ``{accept}`` is the right value."""

    def script(peer: Peer) -> None:
        text = head.replace("{accept}", peer.accept_value())
        peer.send(f"HTTP/1.1 101 Switching Protocols\r\n{text}\r\n".encode())
        peer.serve()

    return script


_UPGRADE = "Upgrade: websocket\r\n"
_CONNECTION = "Connection: Upgrade\r\n"
_ACCEPT = "Sec-WebSocket-Accept: {accept}\r\n"

_HANDSHAKES: Dict[str, Script] = {
    "answers 200": answers(200, "<html>Welcome!</html>"),
    "accepts another key": _upgrade(
        _UPGRADE + _CONNECTION + "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n"
    ),
    "accepts no key": _upgrade(_UPGRADE + _CONNECTION),
    "accepts an empty key": _upgrade(_UPGRADE + _CONNECTION + "Sec-WebSocket-Accept:\r\n"),
    "upgrades to nothing": _upgrade(_CONNECTION + _ACCEPT),
    "upgrades to something else": _upgrade("Upgrade: h2c\r\n" + _CONNECTION + _ACCEPT),
    "does not upgrade the connection": _upgrade(_UPGRADE + _ACCEPT),
    "closes the connection that it upgrades": _upgrade(_UPGRADE + "Connection: close\r\n" + _ACCEPT),
    "sends a header that is none": _upgrade("no colon here\r\n" + _UPGRADE + _CONNECTION + _ACCEPT),
    "chooses an extension that nobody offered": _upgrade(
        _UPGRADE + _CONNECTION + _ACCEPT + "Sec-WebSocket-Extensions: permessage-deflate\r\n"
    ),
    "chooses a subprotocol that nobody offered": _upgrade(
        _UPGRADE + _CONNECTION + _ACCEPT + "Sec-WebSocket-Protocol: chat\r\n"
    ),
}


def handshake_cases() -> Dict[str, Misbehaviour]:
    """At the WebSocket handshake."""
    cases = {}
    for name, (script, _, error) in _HTTP.items():
        facts = {} if error is HandshakeError else {"step": "handshake"}
        cases[name] = Misbehaviour(script, error, facts)
    cases.update({name: Misbehaviour(script, HandshakeError) for name, script in _HANDSHAKES.items()})
    return cases


# -- below HTTP ------------------------------------------------------------------------------------------------


def _hello_and(script: Script) -> Script:
    """Reads the hello of TLS first, so that what follows is an answer."""

    def whole(peer: Peer) -> None:
        peer.receive()
        script(peer)

    return whole


_TLS: Dict[str, Script] = {
    "is silent": Peer.read_until_end,
    "hangs up": says_and_closes(b""),
    "resets": says_and_resets(b""),
    "speaks plain text": says_and_closes(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "sends garbage": says_and_closes(bytes(range(256))),
    "refuses by an alert": says_and_closes(b"\x15\x03\x03\x00\x02\x02\x28"),
    "sends half a hello": says(b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03"),
    "drips a hello": drips(b"\x16\x03\x03\x3f\xff\x02\x00\x3f\xfb\x03\x03", _DRIPPED),
}


def tls_cases(step: str) -> Dict[str, Misbehaviour]:
    """In the TLS handshake of a step."""
    return {
        name: Misbehaviour(_hello_and(script), NetworkError, {"step": step}) for name, script in _TLS.items()
    }


# -- the stream ------------------------------------------------------------------------------------------------


def _masked(data: bytes) -> bytes:
    """A short frame with a mask of zeros."""
    return bytes([data[0], data[1] | 0x80]) + b"\0\0\0\0" + data[2:]


_CONTINUATION, _TEXT, _BINARY, _PING, _PONG = 0, 1, 2, 9, 10
_begun = framing.frame(_TEXT, b'{"type":', fin=False)

_AGAINST_THE_PROTOCOL: Dict[str, bytes] = {
    "reserved bit 1": framing.frame(_TEXT, b"{}", rsv=4),
    "reserved bit 2": framing.frame(_BINARY, b"1", rsv=2),
    "reserved bit 3": framing.frame(_PING, b"", rsv=1),
    "opcode 3": framing.frame(3, b""),
    "opcode 7": framing.frame(7, b"x"),
    "opcode 11": framing.frame(11, b"x"),
    "opcode 15": framing.frame(15, b""),
    "a masked message": _masked(event_frame("masked")),
    "a masked ping": _masked(framing.frame(_PING, b"p")),
    "a continuation of nothing": framing.frame(_CONTINUATION, b"x"),
    "a new text inside of a message": _begun + text_frame("{}"),
    "a new binary inside of a message": _begun + framing.frame(_BINARY, b"1"),
    "a fragmented ping": framing.frame(_PING, b"x", fin=False),
    "a fragmented close frame": framing.frame(framing.CLOSE, b"\x03\xe8", fin=False),
    "a ping of 126 bytes": framing.frame(_PING, b"x" * 126),
    "a pong of 70,000 bytes": framing.frame(_PONG, b"x" * 70_000),
    "a close frame of 126 bytes": framing.frame(framing.CLOSE, b"\x03\xe8" + b"x" * 124),
    "a close frame of one byte": framing.frame(framing.CLOSE, b"\x03"),
    "HTTP in the stream": b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
    "zeros": b"\0" * 100,
    "ones": b"\xff" * 100,
    **{
        f"close code {code}": close_frame(code)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535)
    },
}

_TOO_LARGE: Dict[str, bytes] = {
    "a frame above the limit": framing.frame(_TEXT, b"x" * (MESSAGE_LIMIT + 1)),
    "a frame that announces too much": b"\x82\x7f" + struct.pack("!Q", (1 << 63) - 1),
    "fragments above the limit": _begun + framing.frame(_CONTINUATION, b"x" * MESSAGE_LIMIT),
    "many fragments above the limit": _begun + framing.frame(_CONTINUATION, b"x" * 999, fin=False) * 101,
}

_NOT_UTF8: Dict[str, bytes] = {
    "a text that is not UTF-8": framing.frame(_TEXT, b'{"type":"\xff"}'),
    "a text that ends in half a character": framing.frame(_TEXT, b"\xc2"),
    "fragments that are not UTF-8": _begun + framing.frame(_CONTINUATION, b'"\xed\xa0\x80"}'),
}


def _stream(data: bytes) -> Script:
    """A good server but for this, in one piece with its handshake."""

    def script(peer: Peer) -> None:
        peer.upgrade(data)
        peer.serve()

    return script


def _stream_then(data: bytes, then: Script) -> Script:
    def script(peer: Peer) -> None:
        peer.upgrade(data)
        # It was healthy before.
        peer.read_frame()
        then(peer)

    return script


def _floods_pings(peer: Peer) -> None:
    flood = framing.frame(_PING, b"x" * 125) * 1000
    while True:
        peer.send(flood)


def _talks_and_takes_nothing(peer: Peer) -> None:
    while True:
        peer.send(event_frame("chatter"))
        peer.pause(0.02)


def _wants_much(client: OneTradeClient) -> None:
    for number in range(2_000):
        client.subscribe_market(10**4000 + number)


def stream_cases() -> Dict[str, Misbehaviour]:
    """Once it is connected."""
    cases: Dict[str, Misbehaviour] = {}
    limit = {"max_message_size": MESSAGE_LIMIT}
    strict = {"strict_utf8": True}
    for name, data in _AGAINST_THE_PROTOCOL.items():
        cases[name] = Misbehaviour(_stream(data), ProtocolError, {"code": 1002}, close=1002)
    for name, data in _TOO_LARGE.items():
        cases[name] = Misbehaviour(_stream(data), ProtocolError, {"code": 1009}, close=1009, settings=limit)
    for name, data in _NOT_UTF8.items():
        cases[name] = Misbehaviour(_stream(data), ProtocolError, {"code": 1007}, close=1007, settings=strict)
    reason = framing.frame(framing.CLOSE, b"\x03\xe8\xff\xff")
    cases["a close reason that is not UTF-8"] = Misbehaviour(
        _stream(reason), ProtocolError, {"code": 1007}, close=1007
    )
    for code in (None, 1000, 1001, 1011, 3000, 4999):
        cases[f"a goodbye with code {code}"] = Misbehaviour(
            _stream(close_frame(code)), ConnectionClosedError, {"code": code}
        )
    for name, half in {
        "": b"",
        " in a frame header": b"\x81\x7e",
        " in a payload": event_frame("half")[:9],
        " between two fragments": _begun,
    }.items():
        cases[f"stalls{name}"] = Misbehaviour(_stream_then(half, Peer.read_until_end), ConnectionStalledError)
        cases[f"hangs up{name}"] = Misbehaviour(_stream_then(half, Peer.finish), ConnectionLostError)
        cases[f"resets{name}"] = Misbehaviour(_stream_then(half, Peer.reset), ConnectionLostError)
    cases["floods pings and takes nothing"] = Misbehaviour(
        _stream_then(b"", _floods_pings),
        ConnectionStalledError,
        # It is noticed when the buffers on the way are full of pongs: nobody here knows when that is.
        timed=False,
    )
    cases["talks and takes nothing"] = Misbehaviour(
        _stream_then(b"", _talks_and_takes_nothing), ConnectionStalledError, prepare=_wants_much
    )
    logout = event_frame("session_logout", {"session_id": HostileServer.session_id})
    cases["logs the session out"] = Misbehaviour(_stream(logout), SessionLoggedOutError)
    return cases


# -- with a policy ---------------------------------------------------------------------------------------------


def retried_cases() -> Dict[str, Misbehaviour]:
    """What is tried again until the time is over, as it is by default."""
    policy = {"reconnect": ReconnectPolicy(initial_delay=0.05, max_delay=0.1)}
    tried = partial(Misbehaviour, error=ConnectTimeoutError, settings=policy)
    return {
        "is silent": tried(Peer.read_until_end),
        "hangs up": tried(says_and_closes(b"")),
        "answers 500": tried(answers(500)),
        "answers 503": tried(answers(503, "<html>Come back later</html>")),
        "redirects to itself": tried(redirects_to_itself(302)),
    }


# -- where there is no server ------------------------------------------------------------------------------------


def network_case(step: str) -> Misbehaviour:
    """Nobody is there."""
    return Misbehaviour(Peer.hold, NetworkError, {"step": step})
