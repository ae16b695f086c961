"""Every message that the client may send, as it arrives at a server over a real socket."""

from __future__ import annotations

import json
import queue
from typing import Any, Dict, List

import pytest

from onetrade_ws import (
    ClientEventType,
    ConfigurationError,
    ConnectionState,
    EncodeError,
    Event,
    EventMessageType,
    MessageStatus,
    OneTradeClient,
    OneTradeError,
    QueueFullError,
)
from onetrade_ws.simulator import Simulator
from tests.client.background import Background
from tests.client.conftest import MakeClient
from tests.client.conversation import (
    HEARTBEAT,
    TIMEOUT,
    connect,
    everything_sent,
    texts,
)


def messages(client: OneTradeClient, simulator: Simulator, connection: int = 1) -> List[Any]:
    """Everything that the client has sent so far, heartbeats left out, decoded."""
    return [json.loads(text) for text in everything_sent(client, simulator, connection)]


START: Dict[str, Any] = {"type": "start_account_all", "data": None}
STOP: Dict[str, Any] = {"type": "stop_account_all", "data": None}


def subscribe(symbol_id: int) -> Dict[str, Any]:
    return {"type": "market_subscribe_symbol", "data": symbol_id}


def unsubscribe(symbol_id: int) -> Dict[str, Any]:
    return {"type": "market_unsubscribe_symbol", "data": symbol_id}


# -- the messages of the specification ----------------------------------------------------------------------


def test_the_messages_are_those_of_the_specification(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(account_updates=False)
    client.connect()
    client.subscribe_market(1)
    client.unsubscribe_market(1)
    client.start_account_all()
    client.stop_account_all()
    assert messages(client, simulator) == [subscribe(1), unsubscribe(1), START, STOP]


def test_the_heartbeat_is_the_raw_text_9(client: OneTradeClient, simulator: Simulator) -> None:
    first = simulator.messages[0]
    assert (first.opcode, first.payload) == (1, b"9")


def test_the_methods_and_send_say_the_same(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(account_updates=False)
    client.connect()
    client.send(EventMessageType.MARKET_SUBSCRIBE_SYMBOL, 1)
    client.send("market_subscribe_symbol", 1)
    client.subscribe_market(1)
    client.send("start_account_all")
    client.start_account_all()
    client.send(EventMessageType.STOP_ACCOUNT_ALL)
    client.stop_account_all()
    client.unsubscribe_market(1)
    client.send("market_unsubscribe_symbol", 1)
    assert messages(client, simulator) == [subscribe(1), START, STOP, unsubscribe(1)]


@pytest.mark.parametrize(
    "data",
    [
        None,
        True,
        0,
        -1.5,
        9007199254740993,
        "",
        "ünïcode 漢字 😀 \x00\u2028",
        [],
        {},
        {"a": [1, {"b": None}], "": "empty key"},
        (1, 2),
    ],
    ids=repr,
)
def test_a_type_that_is_not_in_the_specification_can_be_sent(
    client: OneTradeClient, simulator: Simulator, data: Any
) -> None:
    client.send("orders_place_now", data)
    sent = messages(client, simulator)[-1]
    expected = list(data) if isinstance(data, tuple) else data
    assert sent == {"type": "orders_place_now", "data": expected}
    assert type(sent["data"]) is type(expected)


SUBSCRIPTIONS = {
    "market_subscribe_symbol",
    "market_unsubscribe_symbol",
    "start_account_all",
    "stop_account_all",
}
BINARY = {"market_feed", "profit_update"}


def test_every_other_type_can_be_sent_under_its_name(client: OneTradeClient, simulator: Simulator) -> None:
    others = [each for each in EventMessageType if each.value not in SUBSCRIPTIONS | BINARY]
    for event_type in others:
        client.send(event_type, {"n": 1})
    assert messages(client, simulator)[1:] == [{"type": each.value, "data": {"n": 1}} for each in others]


@pytest.mark.parametrize("name", sorted(BINARY))
def test_the_names_of_binary_frames_never_travel(
    client: OneTradeClient, simulator: Simulator, name: str
) -> None:
    for event_type in (name, EventMessageType(name)):
        with pytest.raises(EncodeError, match="never travels"):
            client.send(event_type, 1)
    assert messages(client, simulator) == [START]


# -- the documented flow ------------------------------------------------------------------------------------

SESSION_ID = "s&e=s+s/i o%n#?ü漢"
ACCESS_TOKEN = "t&o=k+e/n %2F#?é漢"


def test_the_flow_is_the_documented_one_in_its_order(make_client: MakeClient) -> None:
    with Simulator(live=False, session_id=SESSION_ID, access_token=ACCESS_TOKEN) as simulator:
        client = make_client(simulator)
        client.subscribe_market(3)
        client.send("first", 1)
        client.send("second", 2)
        client.connect()
        try:
            assert messages(client, simulator) == [
                START,
                subscribe(3),
                {"type": "first", "data": 1},
                {"type": "second", "data": 2},
            ]
            assert simulator.messages[0].text == HEARTBEAT
            validation, upgrade = simulator.requests
            assert (validation.method, validation.body) == ("POST", b"")
            assert validation.path == "/ws/v1/s%26e%3Ds%2Bs%2Fi%20o%25n%23%3F%C3%BC%E6%BC%A2"
            assert (upgrade.method, upgrade.path) == ("GET", "/ws/v1")
            assert upgrade.headers["upgrade"] == "websocket"
            assert upgrade.query == {"session_id": SESSION_ID, "access_token": ACCESS_TOKEN}
        finally:
            client.disconnect()


def test_address_and_credentials_can_come_from_the_environment(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONETRADE_WS_URL", simulator.ws_url)
    monkeypatch.setenv("ONETRADE_SESSION_ID", simulator.session_id)
    monkeypatch.setenv("ONETRADE_ACCESS_TOKEN", simulator.access_token)
    with OneTradeClient.from_env(account_updates=False) as client:
        assert messages(client, simulator) == []
    environ = {
        "ONETRADE_WS_URL": "ws://127.0.0.1:1",
        "ONETRADE_HTTP_URL": simulator.http_url,
        "ONETRADE_API_KEY": simulator.api_key,
    }
    with OneTradeClient.from_env(environ, url=simulator.ws_url) as client:
        assert messages(client, simulator, connection=2) == [START]
    with pytest.raises(ConfigurationError, match="ONETRADE_WS_URL"):
        OneTradeClient.from_env({"ONETRADE_API_KEY": "key"})


def test_credentials_that_are_given_rule_out_those_of_the_other_kind_in_the_environment(
    simulator: Simulator,
) -> None:
    wrong = {
        "ONETRADE_WS_URL": simulator.ws_url,
        "ONETRADE_SESSION_ID": "wrong",
        "ONETRADE_ACCESS_TOKEN": "wrong",
    }
    with OneTradeClient.from_env(wrong, api_key=simulator.api_key) as client:
        assert messages(client, simulator) == [START]
    wrong = {"ONETRADE_WS_URL": simulator.ws_url, "ONETRADE_API_KEY": "wrong"}
    with OneTradeClient.from_env(
        wrong, session_id=simulator.session_id, access_token=simulator.access_token
    ) as client:
        assert messages(client, simulator, connection=2) == [START]


def test_account_updates_are_not_started_when_they_are_not_wanted(
    make_client: MakeClient, simulator: Simulator
) -> None:
    client = make_client(account_updates=False)
    client.connect()
    assert messages(client, simulator) == []


# -- idempotent subscriptions -------------------------------------------------------------------------------


def test_what_is_subscribed_already_is_not_subscribed_again(
    client: OneTradeClient, simulator: Simulator
) -> None:
    for _ in range(3):
        client.subscribe_market(1)
        client.start_account_all()
        client.unsubscribe_market(2)
    assert messages(client, simulator) == [START, subscribe(1)]


def test_what_was_unsubscribed_can_be_subscribed_again(client: OneTradeClient, simulator: Simulator) -> None:
    for _ in range(2):
        client.subscribe_market(1)
        client.unsubscribe_market(1)
        client.stop_account_all()
        client.start_account_all()
    assert messages(client, simulator) == [START] + 2 * [subscribe(1), unsubscribe(1), STOP, START]


def test_subscriptions_made_before_connect_are_sent_once_in_their_order(
    make_client: MakeClient, simulator: Simulator
) -> None:
    client = make_client()
    for symbol_id in (5, 1, 3, 5):
        client.subscribe_market(symbol_id)
    client.unsubscribe_market(1)
    client.connect()
    assert messages(client, simulator) == [START, subscribe(5), subscribe(3)]


def test_account_updates_stopped_before_connect_are_not_started(
    make_client: MakeClient, simulator: Simulator
) -> None:
    client = make_client()
    client.stop_account_all()
    client.subscribe_market(1)
    client.connect()
    assert messages(client, simulator) == [subscribe(1)]


def test_subscriptions_outlive_disconnect(client: OneTradeClient, simulator: Simulator) -> None:
    client.subscribe_market(1)
    client.subscribe_market(2)
    everything_sent(client, simulator)
    client.disconnect()
    client.unsubscribe_market(1)
    client.connect()
    assert messages(client, simulator, connection=2) == [START, subscribe(2)]


def test_subscriptions_are_restored_after_a_loss_and_say_what_is_wanted_by_then(
    client: OneTradeClient, simulator: Simulator
) -> None:
    client.subscribe_market(1)
    client.subscribe_market(2)
    everything_sent(client, simulator)
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
        simulator.refuse_validation(500, "busy", times=None)
        with client.expect(ClientEventType.RECONNECTING, timeout=TIMEOUT):
            simulator.drop()
        client.unsubscribe_market(2)
        client.subscribe_market(3)
        client.stop_account_all()
        simulator.allow()
    assert messages(client, simulator, connection=2) == [subscribe(1), subscribe(3)]


# -- queueing -----------------------------------------------------------------------------------------------


def test_messages_wait_for_the_connection_and_go_out_once(
    make_client: MakeClient, simulator: Simulator
) -> None:
    client = make_client(account_updates=False)
    for number in range(50):
        client.send("numbered", number)
    assert client.stats().messages_waiting == 50
    client.connect()
    assert [message["data"] for message in messages(client, simulator)] == list(range(50))
    assert client.stats().messages_waiting == 0
    client.disconnect()
    client.connect()
    assert messages(client, simulator, connection=2) == []


def test_messages_wait_while_reconnecting_and_go_out_behind_the_subscriptions(
    client: OneTradeClient, simulator: Simulator
) -> None:
    client.send("before", 0)
    everything_sent(client, simulator)
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
        simulator.refuse_validation(500, "busy", times=None)
        with client.expect(ClientEventType.RECONNECTING, timeout=TIMEOUT):
            simulator.drop()
        for number in range(20):
            client.send("meanwhile", number)
        client.subscribe_market(1)
        assert client.stats().messages_waiting == 20
        simulator.allow()
    client.send("after", 0)
    assert messages(client, simulator, connection=2) == [
        START,
        subscribe(1),
        *({"type": "meanwhile", "data": number} for number in range(20)),
        {"type": "after", "data": 0},
    ]


def test_messages_sent_after_disconnect_wait_for_the_next_connect(
    client: OneTradeClient, simulator: Simulator
) -> None:
    client.disconnect()
    client.send("later", 1)
    assert client.stats().messages_waiting == 1
    client.connect()
    assert messages(client, simulator, connection=2) == [START, {"type": "later", "data": 1}]


def test_messages_sent_while_closing_wait_for_the_next_connect(
    client: OneTradeClient, simulator: Simulator
) -> None:
    # A server that does not answer the close frame keeps the client CLOSING for a moment.
    simulator.stall_mid_frame()
    closing = Background(client.disconnect)
    simulator.wait_for(lambda sim: any(message.opcode == 8 for message in sim.messages))
    client.send("too late for this connection", 1)
    closing.result()
    assert client.stats().messages_waiting == 1
    simulator.drop()
    client.connect()
    assert messages(client, simulator, connection=2) == [
        START,
        {"type": "too late for this connection", "data": 1},
    ]


def test_a_message_that_could_not_be_written_whole_goes_out_on_the_next_connection(
    make_client: MakeClient, simulator: Simulator
) -> None:
    client = make_client(account_updates=False, heartbeat_timeout=0.2)
    client.connect()
    everything_sent(client, simulator)
    written = client.stats().messages_written
    simulator.freeze()
    number = 0
    while client.stats().messages_waiting == 0:
        number += 1
        client.send("numbered", [number, "x" * 1_000_000])
    # Each one is accounted for: written, or waiting.
    assert client.stats().messages_written == written + number - 1
    last = client.send("numbered", [number + 1, ""])
    simulator.thaw()
    simulator.wait_for(lambda sim: sim.connections_total == 2 and len(texts(sim, 2)) == 2)
    assert [json.loads(text)["data"][0] for text in texts(simulator, 2)] == [number, number + 1]
    assert last.wait(TIMEOUT) is MessageStatus.WRITTEN
    assert client.stats().messages_waiting == 0
    # What the server had taken of the first try was never completed.
    whole = [json.loads(text) for text in texts(simulator, 1)]
    assert number not in [message["data"][0] for message in whole if message["type"] == "numbered"]


def test_messages_of_many_threads_are_all_sent_each_thread_s_in_order(
    client: OneTradeClient, simulator: Simulator
) -> None:
    def send(sender: int) -> None:
        for number in range(100):
            client.send("numbered", [sender, number])

    for sending in [Background(lambda sender=sender: send(sender)) for sender in range(4)]:  # type: ignore[misc]
        sending.result()
    received = [message["data"] for message in messages(client, simulator) if message["type"] == "numbered"]
    assert len(received) == 400
    for sender in range(4):
        assert [number for who, number in received if who == sender] == list(range(100))


def test_a_full_queue_refuses_and_keeps_what_it_has(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(outgoing_limit=2)
    client.send("first")
    client.send("second")
    with pytest.raises(QueueFullError) as refused:
        client.send("third")
    assert refused.value.limit == 2
    assert "2 messages" in str(refused.value)
    assert client.stats().messages_waiting == 2
    # Subscriptions are remembered, not queued.
    client.subscribe_market(1)
    client.connect()
    client.send("fourth")
    assert messages(client, simulator) == [
        START,
        subscribe(1),
        {"type": "first", "data": None},
        {"type": "second", "data": None},
        {"type": "fourth", "data": None},
    ]


def test_the_limit_does_not_bind_an_open_connection(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(outgoing_limit=1)
    client.connect()
    for number in range(100):
        client.send("numbered", number)
    assert [message["data"] for message in messages(client, simulator)[1:]] == list(range(100))


# -- what cannot be sent ------------------------------------------------------------------------------------

INSIDE_ITSELF: List[Any] = []
INSIDE_ITSELF.append(INSIDE_ITSELF)


NOT_JSON: Dict[str, Any] = {
    "NaN": float("nan"),
    "Infinity": float("inf"),
    "-Infinity": -float("inf"),
    "NaN deep inside": {"a": [float("nan")]},
    "a number as a key": {1: "x"},
    "None as a key deep inside": {"a": [{None: 1}]},
    "an object": object(),
    "bytes": b"bytes",
    "a set": {1, 2},
    "half a surrogate pair": "\ud800",
    "half a surrogate pair as a key": {"\udfff": 1},
    "inside itself": INSIDE_ITSELF,
}


@pytest.mark.parametrize("when", ["open", "not connected"])
@pytest.mark.parametrize("data", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_not_json_is_refused_and_nothing_is_sent(
    make_client: MakeClient, simulator: Simulator, data: Any, when: str
) -> None:
    client = make_client()
    if when == "open":
        client.connect()
    with pytest.raises(EncodeError) as refused:
        client.send("anything", data)
    assert refused.value.event_type == "anything"
    assert isinstance(refused.value, (OneTradeError, ValueError))
    assert client.stats().messages_waiting == 0
    client.connect()
    assert messages(client, simulator) == [START]


@pytest.mark.parametrize("event_type", ["", None, 1, b"info", ClientEventType.GAP, "half: \ud800"], ids=ascii)
def test_what_is_no_type_is_refused_and_nothing_is_sent(
    client: OneTradeClient, simulator: Simulator, event_type: Any
) -> None:
    with pytest.raises(EncodeError):
        client.send(event_type, 1)
    assert messages(client, simulator) == [START]


@pytest.mark.parametrize("symbol_id", [1.0, None, True, [1]], ids=repr)
def test_what_is_no_symbol_id_is_refused_and_nothing_is_sent(
    client: OneTradeClient, simulator: Simulator, symbol_id: Any
) -> None:
    for call in (client.subscribe_market, client.unsubscribe_market):
        with pytest.raises(EncodeError, match="symbol id"):
            call(symbol_id)
    for event_type in (EventMessageType.MARKET_SUBSCRIBE_SYMBOL, "market_unsubscribe_symbol"):
        with pytest.raises(EncodeError, match="symbol id"):
            client.send(event_type, symbol_id)
    client.disconnect()
    client.connect()
    assert messages(client, simulator, connection=2) == [START]


# -- prices come for what was asked for, and for nothing else -----------------------------------------------


def test_prices_come_for_subscribed_symbols_only(client: OneTradeClient, simulator: Simulator) -> None:
    received: queue.Queue[Event] = queue.Queue()
    client.subscribe(EventMessageType.MARKET_FEED, received.put)
    client.subscribe_market(1)
    client.subscribe_market(2)
    everything_sent(client, simulator)
    simulator.step_market()
    client.unsubscribe_market(1)
    everything_sent(client, simulator)
    simulator.step_market()
    with client.expect(EventMessageType.MARKET_FEED, lambda event: event.data.bid == 2.5, TIMEOUT):
        simulator.quote(2, 2.5)
    symbol_ids = [received.get_nowait().data.symbol_id for _ in range(received.qsize())]
    assert symbol_ids == [1, 2, 1, 2, 2, 2]


def test_a_callback_can_send_as_soon_as_the_state_is_open(
    make_client: MakeClient, simulator: Simulator
) -> None:
    client = make_client()

    def send_when_open(event: Event) -> None:
        if event.data.new is ConnectionState.OPEN:
            client.send("open now")

    client.subscribe(ClientEventType.STATE_CHANGED, send_when_open)
    connect(client, simulator)
    simulator.wait_for(lambda sim: '{"type":"open now","data":null}' in texts(sim))
    assert client.stats().callback_errors == 0
