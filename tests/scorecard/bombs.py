"""What a server may send, or a user do, to fill the client's memory; each in a process of its own that measures it."""

from __future__ import annotations

import contextlib
import gzip
import struct
import threading
from typing import Any, Callable, Dict, Mapping, Optional, Type

import attrs

from onetrade_ws import (
    AuthenticationError,
    ConnectionStalledError,
    HandshakeError,
    NetworkError,
    OneTradeClient,
    OneTradeError,
    ProtocolError,
    QueueFullError,
    SlowConsumerError,
)
from onetrade_ws.simulator import websocket as framing
from tests.connection.hostile import Peer, Script, event_frame, validated, well_behaved

Attack = Callable[[OneTradeClient, float], None]


def endure(client: OneTradeClient, seconds: float) -> None:
    """Connect, and stay for a while, or until the end."""
    client.connect()
    client.wait(seconds)


@attrs.frozen
class Bomb:
    """What fills the memory, unless something is done about it.

    :ivar websocket: what the server does with a handshake
    :ivar http: what it does with a session validation
    :ivar attack: what the victim does; ends with the error that ends the client
    :ivar error: the class of that error; None: the client holds out
    :ivar settings: of the client
    """

    websocket: Script = well_behaved
    http: Script = validated
    attack: Attack = endure
    error: Optional[Type[OneTradeError]] = None
    settings: Mapping[str, Any] = attrs.field(factory=dict)


def without_end(first: bytes, again: bytes) -> Script:
    """Sends something, and then something else for ever."""

    def script(peer: Peer) -> None:
        peer.send(first)
        while again:
            peer.send(again)
        peer.read_until_end()

    return script


def in_the_stream(first: bytes, again: bytes) -> Script:
    """The same behind the handshake."""
    flood = without_end(first, again)

    def script(peer: Peer) -> None:
        peer.upgrade()
        # It is open, and beats.
        peer.read_frame()
        flood(peer)

    return script


def announced(opcode: int, length: int) -> bytes:
    """The header of a frame, in its longest form."""
    return bytes([opcode | 0x80, 127]) + struct.pack("!Q", length)


def packed(encoding: str) -> Script:
    """An answer of 640 KB that is unpacked to 640 MB; or one of 20 KB, packed twice, that is unpacked to 6 GB."""

    def script(peer: Peer) -> None:
        # Members of a gzip file may follow each other.
        member = gzip.compress(b" " * (16 << 20))
        body = gzip.compress(member * 400) if "," in encoding else member * 40
        peer.answer(200, body, headers=f"Content-Encoding: {encoding}\r\n")

    return script


def _pings_and_reads(peer: Peer) -> None:
    """A flood of pings whose answers are taken."""
    peer.upgrade()
    pings = framing.frame(framing.PING, b"x" * 125) * 100
    while True:
        peer.send(pings)
        peer.receive()


def _other_types(peer: Peer) -> None:
    """Messages of types that nobody knows, each of another one."""
    peer.upgrade()
    number = 0
    while True:
        peer.send(b"".join(event_frame(f"type {number + index} {'x' * 100}") for index in range(1000)))
        number += 1000


def _other_symbols(peer: Peer) -> None:
    """Quotes of symbols that nobody asked for, each of another one."""
    peer.upgrade()
    number = 0
    while True:
        lines = (
            framing.frame(framing.BINARY, b"%d,1.5,1.6,1.55,10,1.7,1.4" % (number + index))
            for index in range(1000)
        )
        peer.send(b"".join(lines))
        number += 1000


def _long_texts(peer: Peer) -> None:
    """Notifications, of which the mirror keeps the newest, each as long as a message may be nearly."""
    peer.upgrade()
    notification = event_frame("info", {"message": "x" * 900_000})
    while True:
        peer.send(notification)


def _floods_and_resets(peer: Peer) -> None:
    """A flood on each of many connections, which are lost in the middle of it."""
    peer.upgrade(event_frame("stick"))
    for _ in range(30):
        peer.send(event_frame("more", "x" * 100_000))
    peer.reset()


def _takes_all_and_answers_nothing(peer: Peer) -> None:
    """Messages are taken and never confirmed."""
    peer.upgrade()
    while True:
        peer.receive()
        peer.send(event_frame("chatter"))


def _get_stuck(client: OneTradeClient, seconds: float) -> None:
    release = threading.Event()
    client.subscribe("stick", lambda event: release.wait(60))
    try:
        endure(client, seconds)
    finally:
        release.set()


def _do_not_pump(client: OneTradeClient, seconds: float) -> None:
    client.connect()
    threading.Event().wait(seconds)


def _read_nothing(client: OneTradeClient, seconds: float) -> None:
    stream = client.events("more")
    # It is the iterator that ends, not the client.
    endure(client, 1.0)
    for _ in stream:
        pass


def _send_before_connecting(client: OneTradeClient, seconds: float) -> None:
    for number in range(100_000):
        with contextlib.suppress(QueueFullError):
            client.send("much", [number, "x" * 100])
    client.send("one too many")


def _send_on_and_on(client: OneTradeClient, seconds: float) -> None:
    client.connect()
    for number in range(int(seconds * 50_000)):
        client.send("much", [number, "x" * 100])


_TEXT, _CONTINUATION = framing.TEXT, framing.CONTINUATION
_MEGABYTE = b"x" * (1 << 20)
_OK = b"HTTP/1.1 200 OK\r\n"
_SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"
_fragment = framing.frame(_CONTINUATION, b"x" * 65_536, fin=False)
_small_fragments = framing.frame(_CONTINUATION, b"x", fin=False) * 10_000
_empty_fragments = framing.frame(_CONTINUATION, b"", fin=False) * 10_000
_begun = framing.frame(_TEXT, b'{"type":', fin=False)
_pings = framing.frame(framing.PING, b"x" * 125) * 1000
_pongs = framing.frame(framing.PONG, b"x" * 125) * 1000


def bombs(limit: int) -> Dict[str, Bomb]:
    """All of them.

    :param limit: bytes that a message may have
    """
    return {
        "a frame that announces 2^63-1 bytes": Bomb(
            in_the_stream(announced(_TEXT, (1 << 63) - 1), _MEGABYTE), error=ProtocolError
        ),
        "a frame of 1 GB": Bomb(in_the_stream(announced(_TEXT, 1 << 30), _MEGABYTE), error=ProtocolError),
        "a frame of the limit, never finished": Bomb(
            in_the_stream(announced(_TEXT, limit) + b"x" * (limit - 1), b""),
            error=ConnectionStalledError,
        ),
        "fragments of one message without end": Bomb(in_the_stream(_begun, _fragment), error=ProtocolError),
        "a fragment of the limit, and no other": Bomb(
            in_the_stream(framing.frame(_TEXT, b"x" * limit, fin=False), b""),
            error=ConnectionStalledError,
        ),
        "fragments of a byte without end": Bomb(in_the_stream(_begun, _small_fragments)),
        "empty fragments without end": Bomb(in_the_stream(_begun, _empty_fragments)),
        "a close frame of 1 GB": Bomb(
            in_the_stream(announced(framing.CLOSE, 1 << 30), _MEGABYTE), error=ProtocolError
        ),
        "pings without end, and our answers are not taken": Bomb(
            in_the_stream(b"", _pings), error=ConnectionStalledError
        ),
        "pings without end, and our answers are taken": Bomb(_pings_and_reads),
        "pongs without end": Bomb(in_the_stream(b"", _pongs)),
        "messages of ever other types": Bomb(_other_types),
        "quotes of ever other symbols": Bomb(_other_symbols),
        "notifications of a megabyte": Bomb(_long_texts, settings={"history_limit": 1000}),
        "handshake headers without end": Bomb(
            without_end(_SWITCHING, b"X-Filler: " + b"x" * 1000 + b"\r\n"), error=HandshakeError
        ),
        "a handshake header without end": Bomb(
            without_end(_SWITCHING + b"X: ", _MEGABYTE), error=HandshakeError
        ),
        "the body of a refused handshake without end": Bomb(
            without_end(b"HTTP/1.1 401 No\r\n\r\n", _MEGABYTE), error=AuthenticationError
        ),
        "HTTP headers without end": Bomb(
            http=without_end(_OK, b"X-Filler: " + b"x" * 1000 + b"\r\n"), error=NetworkError
        ),
        "an HTTP header without end": Bomb(http=without_end(_OK + b"X: ", _MEGABYTE), error=NetworkError),
        "an HTTP body without end": Bomb(http=without_end(_OK + b"\r\n", _MEGABYTE)),
        "an HTTP chunk of 2^60 bytes": Bomb(http=without_end(_CHUNKED + b"%x\r\n" % (1 << 60), _MEGABYTE)),
        "HTTP chunks of a byte without end": Bomb(http=without_end(_CHUNKED, b"1\r\nx\r\n" * 10_000)),
        "an HTTP chunk with an extension without end": Bomb(
            http=without_end(_CHUNKED + b"5;", _MEGABYTE), error=NetworkError
        ),
        "the body of an HTTP refusal without end": Bomb(
            http=without_end(b"HTTP/1.1 401 No\r\n\r\n", _MEGABYTE), error=AuthenticationError
        ),
        "an HTTP body that is unpacked to 640 MB": Bomb(http=packed("gzip")),
        "an HTTP body that is packed twice": Bomb(http=packed("gzip, gzip"), error=NetworkError),
        "a callback that is stuck": Bomb(
            in_the_stream(event_frame("stick"), event_frame("more") * 1000), attack=_get_stuck
        ),
        "a callback that is stuck over many connections": Bomb(_floods_and_resets, attack=_get_stuck),
        "a host that does not pump": Bomb(
            in_the_stream(b"", event_frame("more") * 1000),
            attack=_do_not_pump,
            settings={"dispatch": "manual"},
        ),
        "an iterator that is not read": Bomb(
            in_the_stream(b"", event_frame("more", "x" * 1000) * 100),
            attack=_read_nothing,
            error=SlowConsumerError,
            settings={"events_limit": 1000},
        ),
        "messages that wait to be sent": Bomb(attack=_send_before_connecting, error=QueueFullError),
        "messages that are never confirmed": Bomb(_takes_all_and_answers_nothing, attack=_send_on_and_on),
    }
