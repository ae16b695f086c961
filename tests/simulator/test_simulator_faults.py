"""Saying anything, and breaking everything."""

from __future__ import annotations

import operator
import socket
from contextlib import ExitStack, closing
from typing import Callable, Optional

import pytest
import requests

from onetrade_ws.protocol.enums import EventMessageType, OrderType
from onetrade_ws.simulator import Simulator
from onetrade_ws.simulator import server as server_module
from tests.simulator.conftest import Connect
from tests.simulator.plain_client import TIMEOUT, PlainClient, RawSocket, masked, validate

OpenSocket = Callable[..., RawSocket]


@pytest.fixture
def opened(sim: Simulator, raw: OpenSocket) -> RawSocket:
    """A bare socket that is a WebSocket now."""
    connection = raw()
    connection.upgrade(sim)
    return connection


def test_emit_sends_to_every_client_whatever_it_subscribed_to(sim: Simulator, connect: Connect) -> None:
    clients = [connect(), connect(sim.add_session())]
    sim.emit(EventMessageType.ORDERS_PLACE, {"id": 2**60, "type": OrderType.BUY_STOP, "comment": "größer"})
    sim.emit("brand_new")
    sim.info("hello")
    sim.error("oh")
    for client in clients:
        assert client.sync() == [
            ("orders_place", {"id": 2**60, "type": 2, "comment": "größer"}),
            ("brand_new", None),
            ("info", {"message": "hello"}),
            ("error", {"message": "oh"}),
        ]


def test_emitting_what_is_no_json_raises_and_sends_nothing(sim: Simulator, client: PlainClient) -> None:
    with pytest.raises(TypeError):
        sim.emit("x", object())
    assert client.sync() == []


def test_emit_text_and_binary_send_the_bytes_as_they_are(sim: Simulator, opened: RawSocket) -> None:
    sim.emit_text("ä")
    sim.emit_text(b"\xff{")
    sim.emit_binary(b"s,\x00")
    assert opened.read(12) == b"\x81\x02\xc3\xa4" + b"\x81\x02\xff{" + b"\x82\x03s,"[:4]
    assert opened.read(1) == b"\x00"


@pytest.mark.parametrize(
    ("opcode", "payload", "fin", "rsv", "frame"),
    [
        (1, b"a", True, 0, b"\x81\x01a"),
        (2, b"", False, 0, b"\x02\x00"),
        (0, b"b", True, 0, b"\x80\x01b"),
        (7, b"c", False, 7, b"\x77\x01c"),
        (15, b"", True, 1, b"\x9f\x00"),
        (9, b"d" * 126, True, 0, b"\x89\x7e\x00\x7e" + b"d" * 126),
        (2, b"e" * 65_536, True, 4, b"\xc2\x7f" + (65_536).to_bytes(8, "big") + b"e" * 65_536),
    ],
)
def test_emit_frame_sends_any_frame(
    sim: Simulator, opened: RawSocket, opcode: int, payload: bytes, fin: bool, rsv: int, frame: bytes
) -> None:
    sim.emit_frame(opcode, payload, fin=fin, rsv=rsv)
    assert opened.read(len(frame)) == frame


def test_emit_raw_writes_on_the_stream(sim: Simulator, opened: RawSocket) -> None:
    sim.emit_raw(b"not a frame")
    sim.emit_raw(b"")
    assert opened.read(11) == b"not a frame"


def test_a_large_batch_arrives_whole_and_in_order(sim: Simulator, opened: RawSocket) -> None:
    batches = [bytes([number]) * 3_000_000 for number in range(5)]
    for batch in batches:
        sim.emit_raw(batch)
    assert sim.unsent > 0
    assert opened.read(15_000_000) == b"".join(batches)
    sim.wait_for(lambda sim: sim.unsent == 0)
    opened.send(masked(1, b"9"))
    assert opened.read(4) == b"\x81\x0210"


def test_a_client_that_does_not_read_is_cut_and_hinders_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with ExitStack() as stack:
        sim = stack.enter_context(Simulator(live=False, max_unsent=1_000_000))
        slow = stack.enter_context(closing(RawSocket(sim, 4096)))
        client = stack.enter_context(closing(PlainClient(sim, sim.add_session())))
        slow.upgrade(sim)
        payload = b"x" * 500_000
        for _ in range(50):
            sim.emit_binary(payload)
            assert client.receive() == payload
        sim.wait_for(lambda sim: sim.connections == 1)
        assert "does not read" in caplog.text
        assert client.sync() == []
        with pytest.raises(ConnectionResetError):
            slow.read_to_end()


def test_a_client_that_does_not_read_does_not_hinder_stop() -> None:
    with Simulator(live=False) as sim, closing(RawSocket(sim, 4096)) as slow:
        slow.upgrade(sim)
        sim.emit_raw(b"x" * 50_000_000)
        assert sim.unsent > 10_000_000
        sim.stop()
        assert sim.unsent == 0


# --- faults


def test_drop_ends_the_stream_without_a_close_frame(sim: Simulator, opened: RawSocket) -> None:
    sim.info("before")
    sim.drop()
    assert sim.connections == 0
    assert opened.read_to_end()[2:] == b'{"type":"info","data":{"message":"before"}}'
    opened.send(masked(1, b"too late"))  # is read, and ignored: no reset destroys what was sent before
    assert validate(sim).status_code == 200


def test_reset_resets(sim: Simulator, opened: RawSocket) -> None:
    sim.reset()
    assert sim.connections == 0
    with pytest.raises(ConnectionResetError):
        opened.read_to_end()


def test_faults_act_on_websockets_that_are_open_now_and_on_nothing_else(
    sim: Simulator, raw: OpenSocket
) -> None:
    idle = raw()
    for fault in (sim.drop, sim.reset, sim.close, sim.stall_mid_frame):
        fault()
    with closing(PlainClient(sim)) as client:
        assert client.sync() == []
    idle.send("GET / HTTP/1.1\r\n\r\n")
    assert idle.read_head().startswith("HTTP/1.1 404 ")


@pytest.mark.parametrize(
    ("code", "reason", "frame"),
    [
        (1000, "", b"\x88\x02\x03\xe8"),
        (4001, "tschüß", b"\x88\x0a\x0f\xa1tsch\xc3\xbc\xc3\x9f"),
        (None, "", b"\x88\x00"),
        (1005, "", b"\x88\x02\x03\xed"),
    ],
)
def test_close_goes_through_the_closing_handshake(
    sim: Simulator, opened: RawSocket, code: Optional[int], reason: str, frame: bytes
) -> None:
    sim.close(code, reason)
    sim.info("not sent any more")
    assert sim.connections == 0
    assert opened.read(len(frame)) == frame
    opened.send(masked(1, b"9") + masked(8, frame[2:4] if code != 1005 else b""))
    assert opened.read_to_end() == b""
    assert [message.opcode for message in sim.messages] == [1, 8]  # both seen, none answered


def test_a_peer_that_never_answers_a_close_is_cut(
    monkeypatch: pytest.MonkeyPatch, sim: Simulator, opened: RawSocket
) -> None:
    monkeypatch.setattr(server_module, "CLOSE_TIMEOUT", 0.01)
    sim.close()
    assert opened.read_to_end() == b"\x88\x02\x03\xe8"


@pytest.mark.parametrize(
    ("opcode", "payload", "received"),
    [(1, b"abcdef", b"\x81\x06abc"), (2, b"x" * 200, b"\x82\x7e\x00\xc8" + b"x" * 100)],
)
def test_a_stall_sends_half_a_frame_and_then_nothing(
    sim: Simulator, opened: RawSocket, opcode: int, payload: bytes, received: bytes
) -> None:
    sim.stall_mid_frame(opcode, payload)
    assert opened.read(len(received)) == received
    sim.info("not sent")
    opened.send(masked(9, b"") + masked(1, b"9"))
    sim.wait_for(lambda sim: len(sim.messages) == 2)  # seen, and not answered
    assert sim.connections == 1
    assert validate(sim).status_code == 400
    opened.socket.shutdown(socket.SHUT_WR)
    sim.wait_for(lambda sim: sim.connections == 0)
    assert opened.read_to_end() == b""  # nothing but the end followed


def test_the_default_stall_begins_like_a_message(sim: Simulator, opened: RawSocket) -> None:
    sim.stall_mid_frame()
    sim.drop()
    received = opened.read_to_end()
    assert received[2:].startswith(b'{"type":"info"')
    assert len(received) - 2 == received[1] // 2


def test_a_frozen_server_says_nothing_and_thaws(sim: Simulator, connect: Connect, raw: OpenSocket) -> None:
    client = connect()
    waiting = raw()
    sim.freeze()
    client.socket.send("9")
    sim.info("said while frozen")
    newcomer = raw()  # accepted
    newcomer.send("GET /late HTTP/1.1\r\n\r\n")
    waiting.send("GET /early HTTP/1.1\r\n\r\n")
    client.tcp().setblocking(False)
    for connection in (newcomer, waiting):
        connection.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            connection.socket.recv(1)
    with pytest.raises(BlockingIOError):
        client.tcp().recv(1)
    assert sim.messages == ()
    assert len(sim.requests) == 2
    sim.thaw()
    client.socket.settimeout(TIMEOUT)
    assert client.receive() == '{"type":"info","data":{"message":"said while frozen"}}'
    assert client.receive() == "10"
    for connection in (newcomer, waiting):
        connection.socket.settimeout(TIMEOUT)
        assert connection.read_head().startswith("HTTP/1.1 404 ")


def test_a_frozen_server_can_be_broken_and_stopped(
    sim: Simulator, opened: RawSocket, raw: OpenSocket
) -> None:
    late = raw()
    sim.freeze()
    sim.drop()
    assert opened.read_to_end() == b""
    sim.stop()
    assert late.read_to_end() == b""


def test_a_frozen_connection_that_has_too_much_to_say_is_cut() -> None:
    with Simulator(live=False, max_unsent=1000) as sim, closing(RawSocket(sim)) as opened:
        opened.upgrade(sim)
        sim.freeze()
        for _ in range(3):
            sim.emit_binary(b"x" * 1000)
        sim.wait_for(lambda sim: sim.connections == 0)


def test_a_session_that_ends_while_frozen_is_free_when_thawed(sim: Simulator, connect: Connect) -> None:
    client = connect()
    sim.freeze()
    client.vanish()
    assert sim.connections == 1  # the server does not look
    sim.thaw()
    assert validate(sim).status_code == 200


def test_a_reset_by_the_client_is_noticed(sim: Simulator, opened: RawSocket) -> None:
    opened.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    opened.close()
    sim.wait_for(lambda sim: sim.connections == 0)
    sim.info("nobody hears this")
    assert validate(sim).status_code == 200


def test_closing_a_connection_sends_what_waits_first(sim: Simulator, raw: OpenSocket) -> None:
    sim.refuse_validation(200, body=b"x" * 20_000_000)
    connection = raw()
    connection.send(f"POST /ws/v1/{sim.session_id} HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert len(connection.read_to_end().partition(b"\r\n\r\n")[2]) == 20_000_000


def test_a_fault_of_its_own_is_logged_and_cuts_that_connection_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, sim: Simulator, client: PlainClient
) -> None:
    monkeypatch.setattr(sim._sessions, "validate", lambda session_id: 1 // 0)
    with pytest.raises(requests.ConnectionError):
        validate(sim)
    assert "ZeroDivisionError" in caplog.text
    assert sim.session_id not in caplog.text
    assert client.sync() == []


def test_a_fault_that_cannot_be_done_raises_at_the_caller(sim: Simulator, client: PlainClient) -> None:
    with pytest.raises(ValueError, match="70000"):
        sim.close(70_000)
    with pytest.raises(ZeroDivisionError):
        sim._server.call(lambda: operator.floordiv(1, 0))
    assert client.sync() == []
