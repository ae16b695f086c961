"""What clients say and are told: heartbeat, subscriptions, framing, and what the test sees of it."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, List, Tuple

import pytest
import requests
import websocket

from onetrade_ws.protocol.enums import SideType
from onetrade_ws.simulator import Message, Simulator
from tests.simulator.conftest import Connect
from tests.simulator.plain_client import (
    TIMEOUT,
    PlainClient,
    RawSocket,
    handshake,
    handshake_path,
    masked,
    read,
    validate,
)

OpenSocket = Callable[..., RawSocket]


def types(client: PlainClient) -> List[str]:
    return [event.type for event in client.sync()]


def errors(client: PlainClient) -> List[str]:
    events = client.sync()
    assert {event.type for event in events} <= {"error"}
    return [event.data["message"] for event in events]


def test_heartbeat_and_json_ping_are_answered(client: PlainClient) -> None:
    client.socket.send("9")
    assert client.receive() == "10"
    client.send("ping")
    assert read(client.receive()) == ("pong", None)


def test_heartbeats_can_stay_unanswered(sim: Simulator, client: PlainClient) -> None:
    sim.heartbeat_reply = False
    client.socket.send("9")
    client.send("ping")
    client.send("unknown")
    assert read(client.receive()).type == "error"  # the first answer is to the last message
    sim.heartbeat_reply = True
    assert client.sync() == []


def test_a_subscriber_gets_the_current_price_and_each_new_one(sim: Simulator, client: PlainClient) -> None:
    sim.quote(1, 1.1, 1.1002, last=1.1001, volume=7)
    client.send("market_subscribe_symbol", 1)
    sim.wait_for(lambda sim: sim.messages)
    sim.quote(2, 1.3)
    sim.quote(1, 1.05)
    assert client.sync() == [
        ("price", ["1", "1.10000", "1.10020", "1.10010", "7", "1.10000", "1.08512"]),
        ("price", ["1", "1.05000", "1.05008", "1.05000", "8", "1.10000", "1.05000"]),
    ]


def test_nothing_comes_after_unsubscribing(sim: Simulator, watcher: PlainClient) -> None:
    watcher.send("market_unsubscribe_symbol", 1)
    watcher.send("market_unsubscribe_symbol", 2)  # was not subscribed: nothing happens
    watcher.send("stop_account_all")
    assert watcher.sync() == []
    sim.quote(1, 1.2)
    sim.place_order(1, SideType.BUY, 1)
    sim.quote(1, 1.3)
    assert watcher.sync() == []


def test_account_events_come_from_start_to_stop_and_prices_do_not_with_them(
    sim: Simulator, client: PlainClient
) -> None:
    sim.add_journal("before")
    client.send("start_account_all")
    assert client.sync() == []  # changes only, no snapshot
    sim.place_order(1, SideType.BUY, 1)
    assert types(client) == [
        "orders_place",
        "journal_create",
        "orders_update",
        "deals_create",
        "positions_open",
        "journal_create",
    ]
    sim.quote(1, 1.09)
    assert types(client) == ["profit"]
    client.send("stop_account_all")
    client.sync()
    sim.quote(1, 1.1)
    assert client.sync() == []


def test_each_client_has_its_own_subscriptions(sim: Simulator, connect: Connect) -> None:
    prices, account, none = connect(), connect(sim.add_session()), connect(sim.add_session())
    prices.send("market_subscribe_symbol", 1)
    account.send("start_account_all")
    prices.sync()
    account.sync()
    sim.quote(1, 1.09)
    sim.add_journal("line")
    assert types(prices) == ["price"]
    assert types(account) == ["journal_create"]
    assert none.sync() == []


@pytest.mark.parametrize("event_type", ["market_subscribe_symbol", "market_unsubscribe_symbol"])
@pytest.mark.parametrize(
    ("symbol_id", "message"),
    [
        (99, "unknown symbol: 99"),
        ("1", "a symbol id is an integer"),
        (1.0, "a symbol id is an integer"),
        (True, "a symbol id is an integer"),
        (None, "a symbol id is an integer"),
        ([1], "a symbol id is an integer"),
    ],
)
def test_a_wrong_symbol_is_an_error_message(
    client: PlainClient, event_type: str, symbol_id: Any, message: str
) -> None:
    client.send(event_type, symbol_id)
    assert errors(client) == [message]


@pytest.mark.parametrize(
    "text", ["", "hello", "[]", "{}", '{"type": 1}', '"9"', '{"type":"x"', "[" * 100_000]
)
def test_what_is_no_message_is_an_error_message(client: PlainClient, text: str) -> None:
    client.socket.send(text)
    assert errors(client) == ["a message is a JSON object with a type"]


def test_unknown_types_and_binary_messages_are_error_messages(client: PlainClient) -> None:
    client.send("orders_place", {})
    client.socket.send_binary(b"9")
    assert errors(client) == ["unknown message type: orders_place", "binary messages are not understood"]


def test_what_arrives_is_seen_in_order(sim: Simulator, client: PlainClient) -> None:
    before = time.time()
    client.socket.send("9")
    client.socket.send_binary(b"\x00\xff")
    client.socket.ping(b"are you there")
    client.send("market_subscribe_symbol", 1)
    client.socket.pong(b"unasked")
    messages = sim.wait_for(lambda sim: len(sim.messages) == 5 and sim.messages)
    assert [(message.connection, message.opcode, message.payload) for message in messages[:3]] == [
        (1, 1, b"9"),
        (1, 2, b"\x00\xff"),
        (1, 9, b"are you there"),
    ]
    assert messages[0].text == "9"
    assert messages[3].json == {"type": "market_subscribe_symbol", "data": 1}
    assert messages[4].opcode == 10
    assert before - 1 < messages[0].at <= messages[4].at < time.time() + 1


def test_requests_are_seen_in_order(sim: Simulator, client: PlainClient) -> None:
    validation, upgrade = sim.requests
    assert (validation.method, validation.path) == ("POST", f"/ws/v1/{sim.session_id}")
    assert (upgrade.method, upgrade.path) == ("GET", "/ws/v1")
    assert upgrade.query == {"session_id": sim.session_id, "access_token": sim.access_token}
    assert upgrade.headers["upgrade"] == "websocket"
    assert upgrade.body == b""
    assert validation.at <= upgrade.at


def test_connections_are_numbered(sim: Simulator) -> None:
    for number in (1, 2, 3):
        client = PlainClient(sim)
        client.sync()
        assert (sim.connections, sim.connections_total) == (1, number)
        assert sim.messages[-1].connection == number
        client.close()
        sim.wait_for(lambda sim: sim.connections == 0)
    assert sim.messages[-1].opcode == 8


def test_control_pings_are_answered(client: PlainClient) -> None:
    client.socket.ping(b"payload")
    assert client.socket.recv_data(control_frame=True) == (websocket.ABNF.OPCODE_PONG, b"payload")


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65_535, 65_536, 300_000])
def test_messages_of_any_length_in_both_directions(sim: Simulator, client: PlainClient, length: int) -> None:
    payload = bytes(index % 251 for index in range(length))
    client.socket.send_binary(payload)
    assert [event.type for event in client.sync()] == ["error"]
    assert sim.messages[0].payload == payload
    sim.emit_binary(payload)
    assert client.receive() == payload


def test_fragments_are_joined_and_control_frames_may_come_between(sim: Simulator, raw: OpenSocket) -> None:
    connection = raw()
    connection.upgrade(sim)
    frames = [
        masked(1, b'{"type":', fin=False),
        masked(9, b"!"),
        masked(0, b'"pi', fin=False),
        masked(0, b"", fin=False),
        masked(0, b'ng"}'),
        masked(1, "ä".encode()[:1], fin=False),  # a character cut in two is no invalid UTF-8
        masked(0, "ä".encode()[1:]),
        masked(10, b""),
        masked(1, b"x" * 200),
    ]
    for byte in b"".join(frames):
        connection.send(bytes([byte]))
    assert connection.read(3) == b"\x8a\x01!"
    pong = b'{"type":"pong","data":null}'
    assert connection.read(2 + len(pong)) == bytes([0x81, len(pong)]) + pong
    sim.wait_for(lambda sim: len(sim.messages) == 5)
    payloads = [message.payload for message in sim.messages]
    assert payloads == [b"!", b'{"type":"ping"}', "ä".encode(), b"", b"x" * 200]


def test_messages_right_behind_the_handshake_are_read(sim: Simulator, raw: OpenSocket) -> None:
    validate(sim)
    connection = raw()
    connection.send(handshake(handshake_path(sim)).encode() + masked(1, b"9") + masked(1, b"9"))
    assert connection.read_head().startswith("HTTP/1.1 101 ")
    assert connection.read(8) == b"\x81\x0210" * 2


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (b"\x81\x019", 1002),  # not masked
        (masked(1, b"x", rsv=4), 1002),
        (masked(3, b"x"), 1002),
        (masked(11, b"x"), 1002),
        (masked(9, b"x", fin=False), 1002),
        (masked(9, b"x" * 126), 1002),
        (masked(0, b"x"), 1002),
        (masked(1, b"x", fin=False) + masked(1, b"x"), 1002),
        (masked(8, b"x"), 1002),
        (masked(8, b"\x03\xed"), 1002),  # 1005 must not be sent
        (masked(8, b"\x03\xe8\xff"), 1007),
        (masked(1, b"\xff"), 1007),
        (b"\x82\xff" + (1 << 21).to_bytes(8, "big"), 1009),
        (masked(2, b"x" * 600_000, fin=False) + masked(0, b"x" * 600_000), 1009),
    ],
)
def test_a_client_that_breaks_the_protocol_is_closed(
    sim: Simulator, raw: OpenSocket, frames: bytes, code: int
) -> None:
    connection = raw()
    connection.upgrade(sim)
    connection.send(frames)
    assert connection.read(4)[2:] == code.to_bytes(2, "big")
    assert sim.connections == 0
    connection.socket.shutdown(1)
    connection.read_to_end()


@pytest.mark.parametrize(
    ("payload", "answer"),
    [(b"", b"\x88\x00"), (b"\x03\xe8bye", b"\x88\x02\x03\xe8"), (b"\x0f\xa0", b"\x88\x02\x0f\xa0")],
)
def test_a_clients_close_is_answered_and_frees_the_session(
    sim: Simulator, raw: OpenSocket, payload: bytes, answer: bytes
) -> None:
    connection = raw()
    connection.upgrade(sim)
    connection.send(masked(8, payload) + masked(1, b"9"))  # nothing after a close frame counts
    assert connection.read_to_end() == answer
    assert sim.connections == 0
    assert [message.opcode for message in sim.messages] == [8]


# --- waiting


def test_wait_for_returns_what_the_predicate_returned(sim: Simulator, client: PlainClient) -> None:
    def first_text(sim: Simulator) -> Tuple[Message, ...]:
        return tuple(message for message in sim.messages if message.opcode == 1)

    later = threading.Thread(target=lambda: client.socket.send("9"))
    later.start()
    (message,) = sim.wait_for(first_text)
    later.join(TIMEOUT)
    assert message.text == "9"


def test_wait_for_notices_each_kind_of_change(sim: Simulator, connect: Connect) -> None:
    def opened() -> None:
        connect().close()

    changes: List[Tuple[Callable[[], Any], Callable[[Simulator], Any]]] = [
        (lambda: sim.quote(1, 1.5), lambda sim: sim.symbols[0]["spread"] == 8),
        (lambda: sim.place_order(1, SideType.BUY, 1), lambda sim: sim.positions),
        (opened, lambda sim: sim.connections_total == 1),
        (sim.stop, lambda sim: "stopped" in repr(sim)),
    ]
    for change, predicate in changes:
        waiting = threading.Event()
        seen: List[Any] = []

        def look(sim: Simulator, predicate: Any = predicate, waiting: threading.Event = waiting) -> Any:
            waiting.set()
            return predicate(sim)

        waiter = threading.Thread(
            target=lambda look=look, seen=seen: seen.append(sim.wait_for(look, TIMEOUT))
        )
        waiter.start()
        waiting.wait(TIMEOUT)
        change()
        waiter.join(TIMEOUT)
        assert seen


def test_wait_for_says_what_did_arrive_when_it_gives_up(sim: Simulator, client: PlainClient) -> None:
    client.send("market_subscribe_symbol", 1)
    client.socket.send_binary(b"secret?")
    client.socket.send("plain text")
    client.sync()
    with pytest.raises(TimeoutError) as raised:
        sim.wait_for(lambda sim: False, timeout=0.01)
    assert str(raised.value) == (
        "not within 0.01 s; 2 requests arrived (the last: POST /ws/v1/…, GET /ws/v1) and 4 messages (the last: "
        "#1 market_subscribe_symbol, #1 binary of 7 bytes, #1 text of 10 bytes, #1 heartbeat)"
    )


def test_wait_for_passes_on_what_the_predicate_raises(sim: Simulator) -> None:
    with pytest.raises(ZeroDivisionError):
        sim.wait_for(lambda sim: 1 // 0)


def test_a_request_body_can_be_read_as_json(sim: Simulator) -> None:
    requests.post(f"{sim.http_url}/nowhere", json={"a": 1}, timeout=TIMEOUT)
    assert sim.requests[0].json == {"a": 1}


def test_what_arrived_is_kept_within_bounds(
    monkeypatch: pytest.MonkeyPatch, client: PlainClient, sim: Simulator
) -> None:
    monkeypatch.setattr("onetrade_ws.simulator.arrivals.KEEP_COUNT", 3)
    for _ in range(5):
        client.sync()
    assert len(sim.messages) == 3
    monkeypatch.setattr("onetrade_ws.simulator.arrivals.KEEP_BYTES", 10)
    client.socket.send("x" * 9)
    client.sync()
    assert [message.size for message in sim.messages] == [9, 1]
