"""What is too large is refused before it is there, and the server is told why."""

from __future__ import annotations

import struct
from typing import List, Optional, Sequence, Tuple

import pytest

from onetrade_ws import ClientEventType, ConnectionStalledError, OneTradeClient, ProtocolError
from onetrade_ws.simulator import websocket as framing
from tests.connection.conftest import FAST, MakeClient, MakeHostile, connect_and_wait, connected, read_until
from tests.connection.hostile import TIMEOUT, ClientFrame, Peer, event_frame, text_frame, well_behaved

LIMIT = 1000
CONTINUATION, TEXT, BINARY, PING = 0, 1, 2, 9


def header(first: int, length: int) -> bytes:
    """A frame's first bytes alone."""
    return struct.pack("!BBQ", first, 127, length)


def sized(size: int) -> bytes:
    """An event of so many bytes."""
    return b'{"type":"sized","data":"' + b"x" * (size - 26) + b'"}'


def fragments(*payloads: bytes) -> bytes:
    return b"".join(
        framing.frame(CONTINUATION if number else TEXT, payload, fin=number == len(payloads) - 1)
        for number, payload in enumerate(payloads)
    )


def wait_for_go(peer: Peer) -> None:
    """Until the client is open, and the test has said so."""
    while b'"go"' not in peer.read_frame().payload:
        pass


def connect_and_go(client: OneTradeClient) -> None:
    client.connect()
    client.send("go")


TOO_LARGE = {
    "a text frame": header(0x81, LIMIT + 1),
    "a binary frame": header(0x82, 2**63 - 1),
    "a length with its highest bit set": header(0x81, 2**64 - 1),
    "a frame that is there": text_frame(sized(LIMIT + 1)),
    "a first fragment": header(0x01, LIMIT + 1),
    "fragments together": fragments(b"x" * 600, b"y" * 401),
    "a fragment that is announced": fragments(b"x" * 600)[:1].replace(b"\x81", b"\x01")
    + fragments(b"x" * 600)[1:]
    + header(0x00, 500),
    "many small fragments": fragments(*[b"xy"] * 501),
}


@pytest.mark.parametrize("too_large", TOO_LARGE.values(), ids=TOO_LARGE.keys())
def test_too_large(hostile: MakeHostile, make_client: MakeClient, too_large: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        if peer.number == 1:
            wait_for_go(peer)
            peer.send(event_frame("before") + too_large)
        peer.serve()

    server = hostile(script)
    client = make_client(server, max_message_size=LIMIT)
    stream = client.events("before", ClientEventType.RECONNECTING, timeout=TIMEOUT)
    connect_and_go(client)
    first, second = read_until(stream, lambda event: event.type is ClientEventType.RECONNECTING)
    assert first.type == "before"
    assert isinstance(second.data.reason, ProtocolError)
    assert second.data.reason.code == 1009
    assert f"more than {LIMIT} bytes" in str(second.data.reason)
    # It arrived, though there was something left to read.
    server.wait_for(lambda server: (1, struct.pack("!H", 1009)) in closings(server.frames))


def closings(frames: Sequence[ClientFrame]) -> List[Tuple[int, bytes]]:
    return [(frame.connection, frame.payload) for frame in frames if frame.opcode == framing.CLOSE]


def test_as_large_as_allowed(hostile: MakeHostile, make_client: MakeClient) -> None:
    payload = sized(LIMIT)

    def script(peer: Peer) -> None:
        peer.upgrade(text_frame(payload) + fragments(payload[:400], b"", payload[400:]) + event_frame("end"))
        peer.serve()

    client = make_client(hostile(script), max_message_size=LIMIT)
    stream = client.events(timeout=TIMEOUT)
    client.connect()
    events = read_until(stream, lambda event: event.type == "end")
    assert [event.raw for event in events if event.type == "sized"] == [payload, payload]


def test_a_message_of_many_receives(hostile: MakeHostile, make_client: MakeClient) -> None:
    """Larger than what the reader waits for in its buffer, with others around it."""
    payload = sized(3_000_000)

    def script(peer: Peer) -> None:
        peer.upgrade(event_frame("before") + text_frame(payload) + event_frame("end"))
        peer.serve()

    client = make_client(hostile(script))
    stream = client.events("before", "sized", "end", timeout=TIMEOUT)
    client.connect()
    events = read_until(stream, lambda event: event.type == "end")
    assert [event.type for event in events] == ["before", "sized", "end"]
    assert events[1].raw == payload


@pytest.mark.parametrize(
    "begun",
    [b"\x81", b"\x81\x7e\x01", header(0x81, 500), text_frame(sized(500))[:-1], b"\x89\x05abc"],
    ids=["half a header", "half a length", "a header alone", "half a payload", "half a ping"],
)
def test_a_stall_in_the_middle_of_a_frame(
    hostile: MakeHostile, make_client: MakeClient, begun: bytes
) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        if peer.number == 1:
            wait_for_go(peer)
            peer.send(event_frame("before") + begun)
            peer.read_until_end()
        peer.serve()

    client = make_client(hostile(script), heartbeat_interval=0.3, heartbeat_timeout=0.3)
    stream = client.events("before", ClientEventType.RECONNECTING, timeout=TIMEOUT)
    connect_and_go(client)
    first, second = read_until(stream, lambda event: event.type is ClientEventType.RECONNECTING)
    # A whole message is not held back by what never comes.
    assert first.type == "before"
    assert isinstance(second.data.reason, ConnectionStalledError)


@pytest.mark.parametrize(
    "payload", [b"\xff", b'{"type":"a","data":"\xc2"}', b"\xed\xa0\x80"], ids=["ff", "cut", "surrogate"]
)
@pytest.mark.parametrize("whole", [True, False], ids=["a frame", "fragments"])
def test_text_that_is_not_utf8_under_strict_utf8(
    hostile: MakeHostile, make_client: MakeClient, payload: bytes, whole: bool
) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        if peer.number == 1:
            wait_for_go(peer)
            peer.send(text_frame(payload) if whole else fragments(payload[:1], payload[1:]))
        peer.serve()

    server = hostile(script)
    client = make_client(server, strict_utf8=True)
    with client.expect(ClientEventType.RECONNECTING, timeout=TIMEOUT) as expected:
        connect_and_go(client)
    assert isinstance(expected.event.data.reason, ProtocolError)
    assert expected.event.data.reason.code == 1007
    server.wait_for(lambda server: (1, struct.pack("!H", 1007)) in closings(server.frames))


def test_fragments_of_utf8_are_judged_together(hostile: MakeHostile, make_client: MakeClient) -> None:
    payload = '{"type":"euro","data":"€"}'.encode()
    cut = payload.index("€".encode()) + 1

    def script(peer: Peer) -> None:
        peer.upgrade(fragments(payload[:cut], payload[cut:]))
        peer.serve()

    client = make_client(hostile(script), strict_utf8=True)
    with client.expect("euro", timeout=TIMEOUT) as expected:
        client.connect()
    assert expected.event.data == "€"


@pytest.mark.parametrize("code", [1000, 1001, 1011, 4000, None])
def test_a_close_frame_is_answered_with_its_code(
    hostile: MakeHostile, make_client: MakeClient, code: Optional[int]
) -> None:
    payload = b"" if code is None else struct.pack("!H", code)

    def script(peer: Peer) -> None:
        peer.upgrade()
        if peer.number == 1:
            wait_for_go(peer)
            # What follows a close frame is nobody's.
            peer.send(framing.frame(framing.CLOSE, payload) + event_frame("behind"))
        peer.serve()

    server = hostile(script)
    client = make_client(server)
    stream = connected(client, "behind", ClientEventType.GAP)
    client.send("go")
    events = read_until(stream, lambda event: event.type is ClientEventType.GAP)
    assert "behind" not in [event.type for event in events]
    server.wait_for(lambda server: (1, payload) in closings(server.frames))


def test_a_violation_is_told_to_a_server_that_does_not_hang_up(
    hostile: MakeHostile, make_client: MakeClient
) -> None:
    """The client waits a moment for it, and then comes back."""

    def script(peer: Peer) -> None:
        peer.upgrade()
        if peer.number == 1:
            wait_for_go(peer)
            peer.send(header(0x81, LIMIT + 1))
            peer.read_until_end()
        peer.serve()

    client = make_client(hostile(script), max_message_size=LIMIT, reconnect=FAST)
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT) as expected:
        connect_and_go(client)
    assert isinstance(expected.event.data.reason, ProtocolError)


def test_without_a_policy_a_violation_ends_the_client(hostile: MakeHostile, make_client: MakeClient) -> None:
    def script(peer: Peer) -> None:
        if peer.number == 1:
            peer.upgrade(b"\x81\x80\x00\x00\x00\x00")
        well_behaved(peer)

    client = make_client(hostile(script), reconnect=None)
    with pytest.raises(ProtocolError, match="masked") as caught:
        connect_and_wait(client)
    assert caught.value.code == 1002
