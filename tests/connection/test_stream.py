"""Frames as the network brings them: in pieces, in heaps, and wrong."""

from __future__ import annotations

import json
import struct
import threading
from typing import Any, List

import pytest

from onetrade_ws import (
    ClientEventType,
    ConnectionClosedError,
    ConnectionLostError,
    ConnectionState,
    Event,
    EventMessageType,
    OneTradeError,
    ProtocolError,
    ReconnectPolicy,
)
from onetrade_ws.connection.stream import Stream
from onetrade_ws.deadline import Deadline
from onetrade_ws.simulator import Simulator
from onetrade_ws.simulator import websocket as framing
from tests.connection.conftest import MakeClient, MakeHostile, became, connected, read_until
from tests.connection.hostile import TIMEOUT, HostileServer, Peer, close_frame, event_frame, text_frame

CONTINUATION, TEXT, BINARY, PING, PONG = 0, 1, 2, 9, 10


@pytest.fixture(autouse=True)
def nothing_in_between(simulator: Simulator) -> None:
    """The answer to a heartbeat must not get into the middle of what a test writes."""
    simulator.heartbeat_reply = False


def delivered(client: Any, simulator: Simulator, emit: Any) -> List[Event]:
    """What a client delivers of what ``emit`` writes."""
    stream = connected(client, None)
    emit()
    simulator.emit("end")
    return read_until(stream, lambda event: event.type == "end")[:-1]


# -- fragments -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [2, 3, 50])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("between", [None, PING, PONG])
def test_fragments_are_put_together(
    simulator: Simulator, make_client: MakeClient, pieces: int, opcode: int, between: Any
) -> None:
    payload = (
        b'{"type":"pieces","data":"' + "é".encode() * 100 + b'"}'
        if opcode == TEXT
        else b"1," + b"2.5," * 60 + b"7"
    )
    size = -(-len(payload) // pieces)
    cut = [payload[index : index + size] for index in range(0, len(payload), size)]

    def emit() -> None:
        for number, piece in enumerate(cut):
            last = number == len(cut) - 1
            simulator.emit_frame(CONTINUATION if number else opcode, piece, fin=last)
            if between and not last:
                simulator.emit_frame(between, b"between")

    events = delivered(make_client(simulator), simulator, emit)
    assert len(events) == 1
    assert events[0].raw == payload
    assert events[0].type == ("pieces" if opcode == TEXT else EventMessageType.MARKET_FEED)


def test_empty_fragments_and_empty_messages(simulator: Simulator, make_client: MakeClient) -> None:
    def emit() -> None:
        simulator.emit_frame(TEXT, b"", fin=False)
        simulator.emit_frame(CONTINUATION, b"", fin=False)
        simulator.emit_frame(CONTINUATION, b'{"type":"x"}', fin=False)
        simulator.emit_frame(CONTINUATION, b"")
        simulator.emit_frame(TEXT, b"")
        simulator.emit_frame(BINARY, b"")

    events = delivered(make_client(simulator), simulator, emit)
    assert [event.type for event in events] == [
        "x",
        ClientEventType.DECODE_ERROR,
        ClientEventType.DECODE_ERROR,
    ]


def test_a_heartbeat_answer_in_fragments_is_one(simulator: Simulator, make_client: MakeClient) -> None:
    def emit() -> None:
        simulator.emit_frame(TEXT, b"1", fin=False)
        simulator.emit_frame(CONTINUATION, b"0")

    assert delivered(make_client(simulator), simulator, emit) == []


def test_pings_are_answered_with_their_payload(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    payloads = [b"", b"hello", b"\xff" * 125]

    def emit() -> None:
        for payload in payloads:
            simulator.emit_frame(PING, payload)

    assert delivered(client, simulator, emit) == []
    simulator.wait_for(
        lambda simulator: (
            [message.payload for message in simulator.messages if message.opcode == PONG] == payloads
        )
    )


# -- cuts ------------------------------------------------------------------------------------------------------

SEQUENCE = (
    event_frame("first", 1)
    + framing.frame(BINARY, b"1,1.5,1.6")
    + framing.frame(PING, b"p")
    + text_frame("10")
    + framing.frame(TEXT, b'{"type":"mid', fin=False)
    + framing.frame(CONTINUATION, b'dle"}')
    + event_frame("long", "x" * 200)
    + event_frame("last")
)
EXPECTED = ["first", EventMessageType.MARKET_FEED, "middle", "long", "last"]


def test_frames_cut_at_every_byte(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    stream = connected(client, None)
    for cut in range(1, len(SEQUENCE)):
        simulator.emit_raw(SEQUENCE[:cut])
        simulator.emit_raw(SEQUENCE[cut:])
    simulator.emit("end")
    events = read_until(stream, lambda event: event.type == "end")
    assert [event.type for event in events] == EXPECTED * (len(SEQUENCE) - 1) + ["end"]


def test_frames_that_come_byte_by_byte(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    stream = connected(client, None)
    for index in range(len(SEQUENCE)):
        simulator.emit_raw(SEQUENCE[index : index + 1])
    events = read_until(stream, lambda event: event.type == "last")
    assert [event.type for event in events] == EXPECTED


@pytest.mark.parametrize("cut", range(1, 17))
def test_a_whole_message_is_not_held_back_by_part_of_the_next(
    simulator: Simulator, make_client: MakeClient, cut: int
) -> None:
    client = make_client(simulator)
    stream = connected(client, None)
    second = event_frame("second", "x" * 200)
    simulator.emit_raw(event_frame("first") + second[:cut])
    assert next(stream).type == "first"
    simulator.emit_raw(second[cut:])
    assert next(stream).type == "second"


def test_many_frames_in_one_piece(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    stream = connected(client, "numbered")
    simulator.emit_raw(b"".join(event_frame("numbered", number) for number in range(20_000)))
    events = read_until(stream, lambda event: event.type == "numbered" and event.data == 19_999)
    assert [event.data for event in events] == list(range(20_000))
    stats = client.stats()
    assert stats.frames_received == 20_000
    client.disconnect()
    assert client.stats().bytes_received > 20_000 * 30


@pytest.mark.parametrize("size", [125, 126, 65_535, 65_536, 1_000_000, 3_000_000])
def test_large_messages(simulator: Simulator, make_client: MakeClient, size: int) -> None:
    client = make_client(simulator)
    stream = connected(client, None)
    empty = len(json.dumps({"type": "large", "data": ""}))
    simulator.emit_raw(event_frame("large", "x" * (size - empty)))
    event = next(stream)
    assert len(event.raw) == size
    assert event.data == "x" * (size - empty)


def test_frames_behind_the_handshake_in_one_piece(hostile: MakeHostile, make_client: MakeClient) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade(SEQUENCE)
        peer.serve()

    client = make_client(hostile(script))
    stream = client.events(timeout=TIMEOUT)
    client.connect()
    events = read_until(stream, lambda event: event.type == "last")
    assert [event.type for event in events] == [ClientEventType.STATE_CHANGED] * 2 + EXPECTED


def test_a_handshake_that_comes_byte_by_byte(hostile: MakeHostile, make_client: MakeClient) -> None:
    def script(peer: Peer) -> None:
        head = (
            "HTTP/1.1 101 Switching Protocols\r\nUPGRADE: WebSocket\r\nconnection: keep-alive, upgrade\r\n"
            f"sec-websocket-accept:   {peer.accept_value()}\r\nX-More: é\r\n\r\n"
        )
        for byte in head.encode() + SEQUENCE:
            peer.send(bytes([byte]))
        peer.serve()

    client = make_client(hostile(script))
    stream = client.events("last", timeout=TIMEOUT)
    client.connect()
    assert next(stream).type == "last"
    assert client.stats().connections == 1


# -- the end of a connection -----------------------------------------------------------------------------------


def test_what_came_before_the_end_is_delivered(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    stream = connected(client, "numbered", ClientEventType.GAP)
    # In one piece with the close frame, and with half a frame behind it.
    simulator.emit_raw(
        b"".join(event_frame("numbered", number) for number in range(100))
        + close_frame(1001)
        + b"\x81\x05hal"
    )
    events = read_until(stream, lambda event: event.type is ClientEventType.GAP)
    assert [event.data for event in events if event.type == "numbered"] == list(range(100))
    assert events[100].type is ClientEventType.STATE_CHANGED
    assert events[-1].data.reason.code == 1001


def test_what_came_is_delivered_even_when_the_connection_never_got_open(
    hostile: MakeHostile, make_client: MakeClient
) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade(event_frame("early", peer.number))
        # It takes only a part of what is asked for.
        peer.receive()
        peer.reset()

    policy = ReconnectPolicy(initial_delay=0.01, max_delay=0.02, max_attempts=2)
    client = make_client(hostile(script, receive_buffer=4096), reconnect=policy)
    for number in range(2_000):
        client.subscribe_market(10**4000 + number)
    seen: List[Event] = []
    client.subscribe(None, seen.append)
    with pytest.raises(OneTradeError):
        client.connect()
    assert not any(became(ConnectionState.OPEN)(event) for event in seen), (
        "it was open: the test proves nothing"
    )
    assert [event.data for event in seen if event.type == "early"] == [1, 2]


@pytest.mark.parametrize(
    ("payload", "code", "reason"),
    [
        (b"", None, ""),
        (b"\x03\xe8", 1000, ""),
        (b"\x03\xe8bye", 1000, "bye"),
        (b"\x0f\xa0" + "tschüß".encode(), 4000, "tschüß"),
        (b"\x03\xf3" + b"x" * 123, 1011, "x" * 123),
    ],
)
def test_close_frames(
    simulator: Simulator, make_client: MakeClient, payload: bytes, code: Any, reason: str
) -> None:
    client = make_client(simulator)
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT) as expected:
        client.connect()
        simulator.emit_raw(framing.frame(framing.CLOSE, payload))
    error = expected.event.data.reason
    assert isinstance(error, ConnectionClosedError)
    assert (error.code, error.reason) == (code, reason)


ILLEGAL = {
    "reserved bit 1": framing.frame(TEXT, b"{}", rsv=4),
    "reserved bit 2": framing.frame(TEXT, b"{}", rsv=2),
    "reserved bit 3": framing.frame(PING, b"", rsv=1),
    "opcode 3": framing.frame(3, b""),
    "opcode 11": framing.frame(11, b"x"),
    "opcode 15": framing.frame(15, b""),
    "a continuation of nothing": framing.frame(CONTINUATION, b"x"),
    "a new message inside of one": framing.frame(TEXT, b"x", fin=False) + framing.frame(TEXT, b"y"),
    "a fragmented ping": framing.frame(PING, b"x", fin=False),
    "a ping of 126 bytes": framing.frame(PING, b"x" * 126),
    "a close frame of one byte": framing.frame(framing.CLOSE, b"\x03"),
    "a close frame of 126 bytes": framing.frame(framing.CLOSE, b"\x03\xe8" + b"x" * 124),
    "close code 0": close_frame(0),
    "close code 999": close_frame(999),
    "close code 1005": close_frame(1005),
    "close code 2000": close_frame(2000),
    "close code 5000": close_frame(5000),
}


@pytest.mark.parametrize("illegal", ILLEGAL.values(), ids=ILLEGAL.keys())
def test_illegal_frames_are_a_loss_with_a_stated_reason(
    simulator: Simulator, make_client: MakeClient, illegal: bytes
) -> None:
    client = make_client(simulator)
    stream = connected(client, "before", "behind", ClientEventType.GAP, ClientEventType.DECODE_ERROR)
    simulator.emit_raw(event_frame("before") + illegal + event_frame("behind"))
    events = read_until(stream, lambda event: event.type is ClientEventType.GAP)
    assert [event.type for event in events if event.type is not ClientEventType.STATE_CHANGED] == [
        "before",
        ClientEventType.GAP,
    ]
    reason = events[-1].data.reason
    assert isinstance(reason, ProtocolError)
    assert reason.code == 1002
    assert "broke the WebSocket protocol" in str(reason)
    assert "%" not in str(reason)
    # The server is told what it did wrong (RFC 6455, 7.4.1).
    closing = [
        message
        for message in simulator.messages
        if message.connection == 1 and message.opcode == framing.CLOSE
    ]
    assert [message.payload[:2] for message in closing] == [struct.pack("!H", 1002)]
    assert client.state is ConnectionState.OPEN


def test_text_that_is_not_utf8_is_no_reason_to_leave(simulator: Simulator, make_client: MakeClient) -> None:
    events = delivered(make_client(simulator), simulator, lambda: simulator.emit_text(b'{"type":"\xff"}'))
    assert [event.type for event in events] == [ClientEventType.DECODE_ERROR]
    assert events[0].raw == b'{"type":"\xff"}'


def test_an_announced_giant_costs_nothing_by_itself(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    stream = connected(client, ClientEventType.GAP)
    simulator.emit_raw(b"\x82\x7f" + struct.pack("!Q", 1 << 40) + b"x" * 1000)
    simulator.drop()
    assert read_until(stream, lambda event: event.type is ClientEventType.GAP)


# -- the stream itself: what no server can bring about in a foreseeable order --------------------------------------


def test_whoever_waits_is_released_by_abort(hostile: MakeHostile) -> None:
    server: HostileServer = hostile(tcp=Peer.hold)
    host, _, port = server.address.partition(":")
    stream = Stream(server.address, write_timeout=60)
    stream.connect(host, int(port), Deadline(TIMEOUT))
    caught: List[BaseException] = []

    def wait() -> None:
        try:
            stream.recv(1)
        except OneTradeError as error:
            caught.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    error = ConnectionLostError("enough")
    stream.abort(error)
    stream.abort(ConnectionLostError("later ones are ignored"))
    waiting.join(TIMEOUT)
    assert caught == [error]
    with pytest.raises(ConnectionLostError, match="enough"):
        stream.send(b"x")
    assert stream.send_last(b"x", 1.0) is False
    stream.close()
    stream.close()
    stream.abort(error)
    assert stream.fileno() == -1


def test_an_abort_before_the_connection_is_made_holds(hostile: MakeHostile) -> None:
    server: HostileServer = hostile(tcp=Peer.hold)
    host, _, port = server.address.partition(":")
    stream = Stream(server.address, write_timeout=60)
    stream.abort(ConnectionLostError("enough"))
    with pytest.raises(ConnectionLostError, match="enough"):
        stream.connect(host, int(port), Deadline(TIMEOUT))
    stream.close()


def test_nothing_follows_the_last_frame(hostile: MakeHostile) -> None:
    received: List[bytes] = []
    ended = threading.Event()

    def script(peer: Peer) -> None:
        try:
            while True:
                received.append(peer.receive())
        finally:
            ended.set()

    server: HostileServer = hostile(tcp=script)
    host, _, port = server.address.partition(":")
    stream = Stream(server.address, write_timeout=60)
    stream.connect(host, int(port), Deadline(TIMEOUT))
    assert stream.send_last(b"last", 1.0) is True
    assert stream.send_last(b"more", 1.0) is True
    assert stream.send(b"more") == 4
    stream.close()
    assert ended.wait(TIMEOUT)
    assert b"".join(received) == b"last"
