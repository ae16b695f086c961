"""What is sent: in order, once, accounted for; and what is wanted: remembered, not queued."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import threading
from functools import partial
from typing import Any, Dict, List

import attrs
import pytest

from onetrade_ws import (
    ClientEventType,
    ConnectionLostError,
    ConnectionState,
    EncodeError,
    Event,
    EventMessageType,
    MessageStatus,
    OneTradeClient,
    OneTradeError,
    OutgoingMessage,
    QueueFullError,
)
from onetrade_ws.simulator import Simulator
from onetrade_ws.simulator import websocket as framing
from tests.connection.conftest import Background, MakeClient, MakeHostile, messages
from tests.connection.hostile import TIMEOUT, Peer, close_frame, event_frame, text_frame

ACCOUNT = ("start_account_all", None)


@attrs.frozen
class Scheme:
    """What server and client are given for a connection."""

    server: Dict[str, Any]
    client: Dict[str, Any]


@pytest.fixture(params=["ws", "wss"])
def scheme(request: pytest.FixtureRequest) -> Scheme:
    """Over TCP, and over TLS."""
    if request.param == "ws":
        return Scheme({}, {})
    return Scheme(
        {"tls": request.getfixturevalue("tls")}, {"ssl_context": request.getfixturevalue("trusting")}
    )


def arrived(simulator: Simulator, count: int, connection: int = 1) -> List[Any]:
    """The first ``count`` messages of a connection, once they are there."""
    simulator.wait_for(lambda simulator: len(messages(simulator, connection)) >= count)
    return messages(simulator, connection)


def test_what_is_sent_before_connect_goes_out_in_order(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    for number in range(100):
        client.send("note", number)
    assert client.stats().messages_waiting == 100
    client.connect()
    assert arrived(simulator, 101) == [ACCOUNT] + [("note", number) for number in range(100)]
    client.send("end")
    assert client.stats().messages_waiting == 0
    assert client.stats().messages_written == 102


def test_the_queue_is_cleared_as_it_is_sent(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    client.send("note", 1)
    client.connect()
    arrived(simulator, 2)
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
        simulator.drop()
    client.send("note", 2)
    assert arrived(simulator, 2, connection=2) == [ACCOUNT, ("note", 2)]


def test_whole_messages_of_any_size(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    client.connect()
    sizes = [0, 1, 125 - 27, 126, 65_535, 65_536, 900_000]
    for size in sizes:
        client.send("note", "é" * (size // 2))
    sent = [data for name, data in arrived(simulator, len(sizes) + 1) if name == "note"]
    assert [len(data) for data in sent] == [size // 2 for size in sizes]


def test_a_limit_and_what_is_over_it(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator, outgoing_limit=3)
    for number in range(3):
        client.send("note", number)
    with pytest.raises(QueueFullError) as caught:
        client.send("note", 3)
    assert caught.value.limit == 3
    assert "3 messages" in str(caught.value)
    # Subscriptions are not queued, so that they always fit.
    client.subscribe_market(1)
    assert client.stats().messages_waiting == 3
    client.connect()
    client.send("note", 4)
    assert arrived(simulator, 6)[2:] == [("note", number) for number in (0, 1, 2, 4)]


@pytest.mark.parametrize(
    ("event_type", "data"),
    [
        ("note", float("nan")),
        ("note", float("inf")),
        ("note", {1: "x"}),
        ("note", {"x": {None: 1}}),
        ("note", object()),
        ("note", b"bytes"),
        ("note", "\ud800"),
        ("note", {1, 2}),
        ("", None),
        (None, None),
        (5, None),
    ],
)
def test_what_is_not_json_is_refused_at_the_caller(
    simulator: Simulator, make_client: MakeClient, event_type: Any, data: Any
) -> None:
    client = make_client(simulator)
    with pytest.raises(EncodeError):
        client.send(event_type, data)
    assert client.stats().messages_waiting == 0
    client.connect()
    with pytest.raises(EncodeError):
        client.send(event_type, data)
    client.send("end")
    assert arrived(simulator, 2) == [ACCOUNT, ("end", None)]


@pytest.mark.parametrize("symbol_id", [True, 1.0, None, [1]])
def test_what_is_no_symbol_id_is_refused_and_forgotten(
    simulator: Simulator, make_client: MakeClient, symbol_id: Any
) -> None:
    client = make_client(simulator)
    for call in (client.subscribe_market, client.unsubscribe_market):
        with pytest.raises(EncodeError):
            call(symbol_id)
    client.connect()
    client.send("end")
    assert arrived(simulator, 2) == [ACCOUNT, ("end", None)]


def test_every_outgoing_message_of_the_document(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator, account_updates=False)
    client.connect()
    client.subscribe_market(1)
    client.unsubscribe_market(1)
    client.start_account_all()
    client.stop_account_all()
    client.send(EventMessageType.PING)
    texts = ['{"type":"market_subscribe_symbol","data":1}', '{"type":"market_unsubscribe_symbol","data":1}',
             '{"type":"start_account_all","data":null}', '{"type":"stop_account_all","data":null}',
             '{"type":"ping","data":null}']  # fmt: skip
    arrived(simulator, 5)
    assert [message.text for message in simulator.messages if message.payload != b"9"] == texts


def test_asking_twice_sends_once(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    client.subscribe_market(1)
    client.connect()
    for _ in range(2):
        client.subscribe_market(1)
        client.unsubscribe_market(5)
        client.start_account_all()
        client.subscribe_market(2)
    for _ in range(2):
        client.unsubscribe_market(1)
        client.stop_account_all()
    client.send("end")
    assert arrived(simulator, 6) == [
        ACCOUNT,
        ("market_subscribe_symbol", 1),
        ("market_subscribe_symbol", 2),
        ("market_unsubscribe_symbol", 1),
        ("stop_account_all", None),
        ("end", None),
    ]


@pytest.mark.parametrize("spelled", [EventMessageType.MARKET_SUBSCRIBE_SYMBOL, "market_subscribe_symbol"])
def test_a_subscription_by_send_is_remembered_too(
    simulator: Simulator, make_client: MakeClient, spelled: str
) -> None:
    client = make_client(simulator)
    client.send(spelled, 3)
    client.send("stop_account_all")
    assert client.stats().messages_waiting == 0
    client.connect()
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
        simulator.drop()
    client.send("end")
    assert arrived(simulator, 2, connection=2) == [("market_subscribe_symbol", 3), ("end", None)]


def test_what_waits_in_the_queue_goes_out_before_a_later_subscription(
    simulator: Simulator, make_client: MakeClient
) -> None:
    client = make_client(simulator)
    for number in range(1000):
        client.send("note", number)
    client.connect()
    client.subscribe_market(1)
    client.send("end")
    assert arrived(simulator, 1003)[-2:] == [("market_subscribe_symbol", 1), ("end", None)]


def test_many_threads_send_at_once(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    client.connect()

    def talk(speaker: int) -> None:
        for number in range(200):
            client.send("note", [speaker, number])

    for talking in [Background(partial(talk, speaker)) for speaker in range(4)]:
        talking.result()
    notes = [data for name, data in arrived(simulator, 801) if name == "note"]
    assert len(notes) == 800
    for speaker in range(4):
        assert [number for who, number in notes if who == speaker] == list(range(200))


def test_sending_inside_a_callback(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    client.subscribe("question", lambda event: client.send("answer", event.data))
    client.connect()
    for number in range(20):
        simulator.emit("question", number)
    assert arrived(simulator, 21)[1:] == [("answer", number) for number in range(20)]


def test_a_message_that_is_cut_off_goes_out_again_first(
    hostile: MakeHostile, make_client: MakeClient
) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        if peer.number == 1:
            # The beat, and a part of the message, which does not fit into the buffers as a whole.
            for _ in range(3):
                peer.receive()
            peer.reset()
        else:
            peer.serve()

    server = hostile(script, receive_buffer=4096)
    client = make_client(server, account_updates=False, heartbeat_interval=3600, heartbeat_timeout=60)
    client.connect()
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT) as expected:
        client.send("large", "x" * 12_000_000)
        client.send("small")
    assert isinstance(expected.event.data.reason, ConnectionLostError)
    server.wait_for(lambda server: len(server.messages(2)) == 2)
    large, small = (json.loads(text) for text in server.messages(2))
    assert (large["type"], len(large["data"])) == ("large", 12_000_000)
    assert small == {"type": "small", "data": None}
    client.send("end")
    assert client.stats().messages_written == 3
    assert client.state is ConnectionState.OPEN


def test_a_subscription_that_is_cut_off_is_restored_once(
    hostile: MakeHostile, make_client: MakeClient
) -> None:
    huge = 10**4000

    def script(peer: Peer) -> None:
        peer.upgrade()
        if peer.number == 1:
            peer.receive()
            assert cut.wait(TIMEOUT)
            peer.reset()
        else:
            peer.serve()

    cut = threading.Event()
    server = hostile(script, receive_buffer=4096)
    client = make_client(server, account_updates=False, heartbeat_interval=3600, heartbeat_timeout=60)
    client.connect()
    cutting = Background(cut.set)
    for number in range(1_500):
        client.subscribe_market(huge + number)
    cutting.result()
    client.send("end")
    server.wait_for(lambda server: any('"end"' in text for text in server.messages()))
    last = max(frame.connection for frame in server.frames)
    wanted = [json.loads(text)["data"] for text in server.messages(last)]
    assert wanted == [huge + number for number in range(1_500)] + [None]


# -- what became of each message -------------------------------------------------------------------------------------

NOT_SENT, WRITTEN, UNKNOWN = MessageStatus.NOT_SENT, MessageStatus.WRITTEN, MessageStatus.UNKNOWN


def beats(simulator: Simulator) -> int:
    return sum(message.payload == b"9" for message in simulator.messages)


def confirmed(client: OneTradeClient, simulator: Simulator) -> None:
    """Wait until a heartbeat that was sent after this call has been answered, and the answer been read."""
    before = beats(simulator)
    simulator.wait_for(lambda simulator: beats(simulator) >= before + 2)
    with client.expect("confirmed", timeout=TIMEOUT):
        simulator.emit("confirmed")


def test_a_message_waits_and_is_written(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    message = client.send("note", 1)
    assert isinstance(message, OutgoingMessage)
    assert (message.event_type, message.status) == ("note", NOT_SENT)
    assert repr(message) == "<OutgoingMessage 'note' not sent>"
    # There is nothing to wait for while nobody connects.
    assert message.wait() is NOT_SENT
    client.connect()
    assert message.wait() is WRITTEN
    assert client.send("note", 2).status is WRITTEN
    assert not message.cancel()


def test_waiting_has_a_timeout_and_ends_with_the_client(
    hostile: MakeHostile, make_client: MakeClient
) -> None:
    client = make_client(hostile(tcp=Peer.hold), connect_timeout=60)
    connecting = Background(client.connect)
    message = client.send("note")
    while client.state is not ConnectionState.CONNECTING:
        threading.Event().wait(0.001)
    assert message.wait(timeout=0.01) is NOT_SENT
    waiting = Background(message.wait)
    client.disconnect()
    assert waiting.result() is NOT_SENT
    connecting.error()
    assert client.stats().messages_waiting == 1


def test_what_is_cancelled_is_never_sent(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    first, second, third = (client.send("note", number) for number in range(3))
    assert second.cancel()
    assert second.cancel()
    assert client.stats().messages_waiting == 2
    client.connect()
    assert arrived(simulator, 3) == [ACCOUNT, ("note", 0), ("note", 2)]
    assert (first.wait(TIMEOUT), second.wait(), third.wait(TIMEOUT)) == (WRITTEN, NOT_SENT, WRITTEN)


def test_what_was_on_its_way_when_the_connection_died_is_unknown(
    simulator: Simulator, make_client: MakeClient
) -> None:
    client = make_client(simulator, heartbeat_interval=30)
    client.connect()
    message = client.send("note", 1)
    arrived(simulator, 2)
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
        simulator.drop()
    assert message.status is UNKNOWN
    assert message.wait() is UNKNOWN
    # The start of account updates, too: but that is repeated.
    assert client.stats().messages_unknown == 1
    assert arrived(simulator, 1, connection=2) == [ACCOUNT]
    client.send("note", 2)
    assert arrived(simulator, 2, connection=2) == [ACCOUNT, ("note", 2)]


def test_what_the_server_has_read_stays_written(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator, heartbeat_interval=0.02)
    client.connect()
    before = client.send("note", 1)
    confirmed(client, simulator)
    simulator.heartbeat_reply = False
    # An answer may be on its way still, to a beat that was sent before.
    confirmed(client, simulator)
    after = client.send("note", 2)
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
        simulator.drop()
    assert before.status is WRITTEN
    assert after.status is UNKNOWN


def test_an_answer_says_nothing_of_what_was_written_after_its_beat(
    hostile: MakeHostile, make_client: MakeClient
) -> None:
    sent = threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade()
        if peer.number == 1:
            peer.read_frame()
            # The beat is answered only after a message that it does not stand for.
            sent.wait(TIMEOUT)
            peer.send(text_frame("10") + event_frame("answered"))
            return
        peer.serve()

    server = hostile(script)
    client = make_client(server, heartbeat_interval=30)
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
        client.connect()
        message = client.send("note", 1)
        sent.set()
    assert message.status is UNKNOWN


def test_a_closing_handshake_shows_that_everything_was_read(
    simulator: Simulator, make_client: MakeClient
) -> None:
    client = make_client(simulator, heartbeat_interval=30)
    client.connect()
    message = client.send("note", 1)
    client.disconnect()
    assert message.status is WRITTEN
    assert client.stats().messages_unknown == 0
    assert ("note", 1) in messages(simulator, 1)


def test_a_closing_handshake_that_is_not_answered_shows_nothing(
    hostile: MakeHostile, make_client: MakeClient
) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.read_until_end()

    client = make_client(hostile(script), heartbeat_interval=30)
    client.connect()
    message = client.send("note", 1)
    client.disconnect(timeout=1)
    assert message.status is UNKNOWN


def test_a_subscription_that_is_sent_waits_in_no_queue(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    message = client.send(EventMessageType.MARKET_SUBSCRIBE_SYMBOL, 1)
    assert message.status is NOT_SENT
    assert not message.cancel()
    assert client.stats().messages_waiting == 0
    client.connect()
    assert arrived(simulator, 2) == [ACCOUNT, ("market_subscribe_symbol", 1)]
    assert client.send(EventMessageType.MARKET_SUBSCRIBE_SYMBOL, 2).wait(TIMEOUT) is WRITTEN


def test_what_nobody_asks_for_is_not_kept(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator, heartbeat_interval=30)
    client.connect()
    kept = [client.send("note", number) for number in range(50)]
    for number in range(50, 100):
        client.send("note", number)
    arrived(simulator, 101)
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
        simulator.drop()
    assert {message.status for message in kept} == {UNKNOWN}
    # They are counted all the same.
    assert client.stats().messages_unknown == 100


@pytest.mark.parametrize("end", ["disconnect", "logout", "close"])
def test_a_server_that_closes_without_having_read_leaves_doubt(
    hostile: MakeHostile, make_client: MakeClient, end: str
) -> None:
    ready, sent = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade()
        while "start_account_all" not in peer.read_frame().text:
            pass
        ready.set()
        assert sent.wait(TIMEOUT)
        logout = event_frame("session_logout", {"session_id": server.session_id})
        # Nothing more is read: this answers no close frame of the client's.
        peer.send(logout + close_frame(1000) if end == "logout" else close_frame(1001))
        peer.hold()

    server = hostile(script)
    client = make_client(server, reconnect=None)
    client.connect()
    assert ready.wait(TIMEOUT)
    message = client.send("note", 1)
    if end == "disconnect":
        leaving = Background(client.disconnect)
        sent.set()
        leaving.result()
    else:
        sent.set()
        with pytest.raises(OneTradeError):
            client.wait(TIMEOUT)
    assert message.wait(TIMEOUT) is MessageStatus.UNKNOWN


@pytest.mark.skipif(os.name == "nt", reason="a blocked call cannot be interrupted there")
def test_ctrl_c_in_a_blocked_send_continues_no_torn_frame(
    hostile: MakeHostile, make_client: MakeClient
) -> None:
    thaw = threading.Event()
    received = bytearray()

    def script(peer: Peer) -> None:
        peer.upgrade()
        if peer.number == 1:
            peer.read_frame()
            thaw.wait(TIMEOUT)
            with contextlib.suppress(BaseException):
                while True:
                    received.extend(peer.receive())
        peer.serve()

    server = hostile(script, receive_buffer=4096)
    client = make_client(server, account_updates=False)
    client.connect()
    written = client.stats().messages_written

    def interrupt() -> None:
        # Until a send is blocked: nothing more is written for a while.
        count = -1
        while client.stats().messages_written != count or count == written:
            count = client.stats().messages_written
            threading.Event().wait(0.5)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    interrupting = Background(interrupt)
    sent = []
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - the one that is interrupted is not known before
        # Far more than the system takes.
        for _ in range(200):
            sent.append(client.send("order", "x" * 500_000))
    interrupting.result()
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
        thaw.set()
    after = client.send("after")
    assert after.wait(TIMEOUT) is WRITTEN
    # The interrupted one is in doubt, and not sent again; those before it are, too, and nothing follows the torn frame.
    assert client.stats().messages_unknown == len(sent) + 1
    assert server.wait_for(lambda server: server.messages(2)) == ['{"type":"after","data":null}']
    # With the length's first bytes, which are zero: what is masked looks like the first two now and then.
    assert 1 <= received.count(b"\x81\xff\x00\x00\x00\x00\x00\x07") <= len(sent) + 1


@pytest.mark.parametrize("slow", [False, True], ids=["it is being closed", "it lies unread"])
def test_a_close_frame_of_the_server_s_own_is_no_answer_to_ours(
    hostile: MakeHostile, make_client: MakeClient, slow: bool
) -> None:
    go, entered, release = threading.Event(), threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade(event_frame("stick") if slow else b"")
        while b'"ready"' not in peer.read_frame().payload:
            pass
        if slow:
            peer.send(event_frame("stick") * 20)
        # It reads no more, and closes with the code that we close with.
        go.wait(TIMEOUT)
        peer.send(close_frame(1000))
        entered.set()
        peer.hold()

    client = make_client(hostile(script), account_updates=False, heartbeat_interval=30, queue_limit=100)
    if slow:
        client.subscribe("stick", lambda event: release.wait(TIMEOUT))
    client.connect()
    client.send("ready").wait(TIMEOUT)
    message = client.send("order")
    assert message.wait(TIMEOUT) is WRITTEN
    go.set()
    assert entered.wait(TIMEOUT)
    leaving = Background(client.disconnect)
    release.set()
    leaving.result()
    assert message.status is UNKNOWN


def test_what_had_come_is_delivered_though_writing_fails(
    hostile: MakeHostile, make_client: MakeClient, scheme: Scheme
) -> None:
    stuck, waiting, held_up, gone, release = (threading.Event() for _ in range(5))

    def script(peer: Peer) -> None:
        peer.upgrade()
        if peer.number == 1:
            while b'"go"' not in peer.read_frame().payload:
                pass
            fills = [event_frame("fill", [number, "x" * 300]) for number in range(100)]
            peer.send(fills[0])
            # Behind a callback that does not return the queue is full with two batches more.
            stuck.wait(TIMEOUT)
            peer.send(b"".join(fills[1:15]))
            waiting.wait(TIMEOUT)
            peer.send(b"".join(fills[15:30]))
            held_up.wait(TIMEOUT)
            # In one piece, and no more than the system takes in: the end would take the rest from the server.
            peer.send(b"".join(fills[30:]) + close_frame(1012, "restart"))
            peer.close()
            gone.set()
            return
        peer.serve()

    server = hostile(script, **scheme.server)
    client = make_client(server, account_updates=False, queue_limit=8_000, **scheme.client)
    fills: List[int] = []

    def note(event: Event) -> None:
        fills.append(event.data[0])
        stuck.set()
        release.wait(TIMEOUT)

    client.subscribe("fill", note)
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT) as expected:
        client.connect()
        client.send("go")
        for enough, event in ((1, waiting), (8_000, held_up)):
            while client.stats().queued_bytes < enough:
                threading.Event().wait(0.001)
            event.set()
        assert gone.wait(TIMEOUT)
        # Until one cannot be written any more.
        while client.send("order").status is WRITTEN:
            pass
        release.set()
    assert fills == list(range(100))
    assert "1012" in str(expected.event.data.reason)


@pytest.mark.parametrize("open_first", [False, True])
def test_waiting_for_a_subscription_message_never_blocks(
    simulator: Simulator, make_client: MakeClient, open_first: bool
) -> None:
    client = make_client(simulator)
    if open_first:
        client.connect()
        client.send(EventMessageType.START_ACCOUNT_ALL)
    message = client.send(EventMessageType.START_ACCOUNT_ALL)
    client.connect()
    # It changes nothing, and is not sent; or connecting does it.
    assert message.wait() is NOT_SENT


def test_waiting_for_a_message_to_be_confirmed(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator, heartbeat_interval=0.02)
    client.connect()
    message = client.send("note", 1)
    assert message.wait(TIMEOUT, confirmed=True) is WRITTEN
    assert message.confirmed
    simulator.heartbeat_reply = False
    confirmed(client, simulator)
    unanswered = client.send("note", 2)
    assert unanswered.wait(0.05, confirmed=True) is WRITTEN
    assert not unanswered.confirmed
    waiting = Background(lambda: unanswered.wait(TIMEOUT, confirmed=True))
    simulator.drop()
    assert waiting.result() is UNKNOWN
    assert not unanswered.confirmed


def test_an_answer_that_nobody_asked_for_confirms_nothing(
    hostile: MakeHostile, make_client: MakeClient
) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade(text_frame("10") * 5 + event_frame("sent"))
        while b'"note"' not in peer.read_frame().payload:
            pass
        peer.hold()

    client = make_client(hostile(script), account_updates=False, heartbeat_interval=0.02)
    with client.expect("sent", timeout=TIMEOUT):
        client.connect()
    message = client.send("note")
    assert message.wait(0.1, confirmed=True) is WRITTEN
    assert not message.confirmed


def refuse_large(peer: Peer) -> None:
    """A server that takes no message of more than 64 KiB, and looks at its length alone."""
    peer.upgrade()
    # The message comes behind the heartbeat, a frame of seven bytes.
    data = b""
    while len(data) < 9:
        data += peer.receive()
    if data[8] & 0x7F == 127:
        peer.send(close_frame(1009, "too big"))
        peer.reset()
        return
    peer.read_until_end()


def test_a_message_that_the_server_hangs_up_over_does_not_block_the_others(
    hostile: MakeHostile, make_client: MakeClient, scheme: Scheme
) -> None:
    server = hostile(refuse_large, receive_buffer=4096, **scheme.server)
    client = make_client(server, account_updates=False, **scheme.client)
    large = client.send("large", "x" * 20_000_000)
    small = client.send("small")
    client.connect()
    assert small.wait(3 * TIMEOUT) is WRITTEN
    assert large.wait() is NOT_SENT
    assert client.stats().messages_waiting == 0


def test_a_pong_that_cannot_be_written_loses_nothing(
    hostile: MakeHostile, make_client: MakeClient, scheme: Scheme
) -> None:
    """The first one to a server that has gone brings the reset, and the second fails: what lies behind is read."""

    def script(peer: Peer) -> None:
        peer.upgrade()
        if peer.number == 1:
            while b'"go"' not in peer.read_frame().payload:
                pass
            peer.send(
                b"".join(
                    event_frame("fill", number) + framing.frame(framing.PING, b"p") for number in range(200)
                )
                + close_frame(1012, "restart")
            )
            return
        peer.serve()

    client = make_client(hostile(script, **scheme.server), account_updates=False, **scheme.client)
    fills: List[int] = []
    client.subscribe("fill", lambda event: fills.append(event.data))
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT) as expected:
        client.connect()
        client.send("go")
    assert fills == list(range(200))
    assert "1012" in str(expected.event.data.reason)


def test_a_log_handler_may_send_when_a_message_is_given_up(
    hostile: MakeHostile, make_client: MakeClient
) -> None:
    class Sender(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "given up" in record.getMessage():
                sent.append(client.send("given up"))
                given_up.set()

    sent: List[OutgoingMessage] = []
    given_up = threading.Event()
    client = make_client(hostile(refuse_large, receive_buffer=4096), account_updates=False)
    client.send("large", "x" * 20_000_000)
    handler = Sender()
    logging.getLogger("onetrade_ws").addHandler(handler)
    try:
        client.connect()
        assert given_up.wait(3 * TIMEOUT)
    finally:
        logging.getLogger("onetrade_ws").removeHandler(handler)
    assert sent[0].wait(TIMEOUT) is WRITTEN
