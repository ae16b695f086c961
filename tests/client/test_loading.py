"""What comes while a snapshot is loaded, and when it can be loaded at all."""

from __future__ import annotations

import gc
import json
import logging
import random
import threading
from typing import Any, Callable, Dict, List, Tuple

import pytest

from onetrade_ws import (
    AccountUpdatesStoppedError,
    ClientEventType,
    CollectionStatus,
    ConnectionLostError,
    ConnectionState,
    DecodeError,
    Event,
    NetworkError,
    OneTradeClient,
    OrderStatus,
    OrderType,
    RateLimitedError,
    ReconnectPolicy,
    ServerError,
    SideType,
    SyncState,
)
from onetrade_ws.account import mirror, synchronizer
from onetrade_ws.connection.heartbeat import Heartbeat
from onetrade_ws.connection.link import Link
from onetrade_ws.protocol.snapshot import Snapshot
from onetrade_ws.simulator import Simulator
from tests.client.conftest import MakeClient
from tests.client.conversation import (
    TIMEOUT,
    account_updates_started,
    catch_up,
    connect,
    everything_sent,
)
from tests.client.loading import Gate, agree, current, state_of
from tests.client.relay import Relay
from tests.connection.hostile import HostileServer, Peer, event_frame, text_frame

#: What is said of a load.
LOADS = (ClientEventType.RESYNCING, ClientEventType.RESYNCED, ClientEventType.RESYNC_FAILED)


def listen(client: OneTradeClient, *event_types: ClientEventType) -> List[Event]:
    """What will be said."""
    said: List[Event] = []
    for event_type in event_types:
        client.subscribe(event_type, said.append)
    return said


def calls(simulator: Simulator, path: str = "") -> int:
    """How many of these calls below the trader's API have arrived."""
    paths = [request.path.partition("/trader/")[2] for request in simulator.requests]
    return sum(each == path if path else each != "" for each in paths)


# -- events that could not be read -------------------------------------------------------------------------------------


class Untold(Gate):
    """A gate, behind which orders are cancelled without an event that could be read."""

    cancelled = False

    def __call__(self, path: str, status: int, body: bytes) -> Tuple[int, bytes]:
        if self.cancelled and path.endswith("/orders"):
            content = json.loads(body)
            for order in content["data"]:
                order["status"] = OrderStatus.CANCELED.value
            body = json.dumps(content).encode()
        return super().__call__(path, status, body)


@pytest.mark.parametrize("while_loading", [False, True])
def test_what_an_event_could_not_tell_is_loaded(
    make_client: MakeClient, simulator: Simulator, while_loading: bool
) -> None:
    order_id = simulator.place_order(1, SideType.BUY, 1, type=OrderType.BUY_LIMIT, price=0.5)["id"]
    server = Untold()
    with Relay(simulator, server) as relay:
        client = make_client(snapshot=True, http_url=relay.url)
        connect(client, simulator)
        current(client)
        statuses: List[CollectionStatus] = []
        for event_type in (ClientEventType.DECODE_ERROR, ClientEventType.RESYNCED):
            client.subscribe(event_type, lambda _: statuses.append(client.account.status["orders"]))
        if while_loading:
            server.closed = True
            client.resync()
            assert server.waiting.wait(TIMEOUT)
            catch_up(client, simulator)
        with client.events(ClientEventType.RESYNCED, timeout=TIMEOUT) as resynced:
            with client.expect(ClientEventType.DECODE_ERROR, timeout=TIMEOUT) as malformed:
                server.cancelled = True
                simulator.emit("orders_cancel", {"id": order_id, "volume_initial": "none"})
            server.opened.set()
            # What was being loaded may be told of, or give way to what is loaded because of it.
            changed = next(event.data.orders.changed for event in resynced if event.data.orders.changed)
        assert [(before.status, after.status) for before, after in changed] == [
            (OrderStatus.PLACED, OrderStatus.CANCELED)
        ]
        assert isinstance(malformed.event.data, DecodeError)
        first, *between, last = statuses
        assert first.state is (SyncState.LOADING if while_loading else SyncState.STALE)
        for each in between if while_loading else statuses[:1]:
            assert (each.state, each.reason) == (SyncState.STALE, malformed.event.data)
        assert len(between) <= while_loading
        assert (last.state, last.reason) == (SyncState.CURRENT, None)
        client.disconnect()


@pytest.mark.parametrize(
    ("event_type", "name"),
    [("orders_fill", "orders"), ("positions_delete", "positions"), ("deals_delete", "deals")],
)
def test_what_an_event_of_an_unknown_type_has_done_is_loaded(
    make_client: MakeClient, simulator: Simulator, event_type: str, name: str
) -> None:
    order = simulator.place_order(1, SideType.BUY, 1, type=OrderType.BUY_LIMIT, price=0.5)
    client = make_client(snapshot=True)
    found: List[CollectionStatus] = []
    client.subscribe(event_type, lambda _: found.append(client.account.status[name]))
    connect(client, simulator)
    current(client)
    catch_up(client, simulator)
    with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT) as resynced:
        simulator.emit(event_type, {**order, "status": OrderStatus.FILLED.value})
    (doubtful,) = found
    assert doubtful.state is SyncState.STALE
    assert isinstance(doubtful.reason, DecodeError)
    assert doubtful.reason.event_type == event_type
    assert resynced.event.data.started_at == doubtful.since
    current(client)
    assert state_of(client) is SyncState.CURRENT


def test_an_event_of_an_unknown_type_that_is_about_something_else(
    make_client: MakeClient, simulator: Simulator
) -> None:
    client = make_client(snapshot=True)
    connect(client, simulator)
    current(client)
    said = listen(client, *LOADS)
    with client.expect("ordersmith_greets", timeout=TIMEOUT):
        simulator.emit("ordersmith_greets", {"id": 1})
    catch_up(client, simulator)
    assert {status.state for status in client.account.status.values()} == {SyncState.CURRENT}
    assert said == []


# -- how it shows itself -----------------------------------------------------------------------------------------------


def test_the_account_in_a_few_words(make_client: MakeClient, simulator: Simulator) -> None:
    simulator.place_order(1, SideType.BUY, 1)
    simulator.place_order(1, SideType.BUY, 1, type=OrderType.BUY_LIMIT, price=0.5)
    client = make_client(snapshot=True)
    assert repr(client.account) == "<Account 0 orders, 0 positions, STALE>"
    connect(client, simulator)
    current(client)
    assert repr(client.account) == "<Account 1 orders, 1 positions, CURRENT>"
    client.disconnect()


def test_an_account_that_is_not_offered_in_full(make_client: MakeClient, simulator: Simulator) -> None:
    simulator.refuse_calls(404, path="deals", times=None)
    client = make_client(snapshot=True)
    with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT):
        connect(client, simulator)
    assert repr(client.account) == "<Account 0 orders, 0 positions, partly CURRENT>"


# -- events that do not say when ---------------------------------------------------------------------------------------


def test_an_event_that_does_not_say_when_is_not_undone(make_client: MakeClient, simulator: Simulator) -> None:
    gate = Gate()
    with Relay(simulator, gate) as relay:
        client = make_client(snapshot=True, http_url=relay.url)
        connect(client, simulator)
        order = simulator.place_order(1, SideType.BUY, 1, type=OrderType.BUY_LIMIT, price=0.5)
        current(client)
        order = simulator.update_order(order["id"], comment="changed")
        catch_up(client, simulator)
        gate.closed = True
        client.resync()
        assert gate.waiting.wait(TIMEOUT)
        canceled = {**order, "status": OrderStatus.CANCELED.value, "updated_at": None}
        simulator.emit("orders_cancel", canceled)
        catch_up(client, simulator)
        with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT):
            gate.opened.set()
        current(client)
        assert client.account.orders[order["id"]].status is OrderStatus.CANCELED
        client.disconnect()


def test_a_list_that_does_not_say_when_is_taken_all_the_same(
    make_client: MakeClient, simulator: Simulator
) -> None:
    def leave_out(path: str, status: int, body: bytes) -> Tuple[int, bytes]:
        if path.endswith("/orders"):
            content = json.loads(body)
            for order in content["data"]:
                order["updated_at"] = None
                order["comment"] = "of the list"
            body = json.dumps(content).encode()
        return status, body

    with Relay(simulator, leave_out) as relay:
        client = make_client(snapshot=True, http_url=relay.url)
        connect(client, simulator)
        current(client)
        order = simulator.place_order(1, SideType.BUY, 1, type=OrderType.BUY_LIMIT, price=0.5)
        simulator.update_order(order["id"], comment="of the event")
        catch_up(client, simulator)
        assert client.account.orders[order["id"]].comment == "of the event"
        client.resync()
        current(client)
        assert client.account.orders[order["id"]].comment == "of the list"
        client.disconnect()


# -- more history than is kept -----------------------------------------------------------------------------------------


def test_history_does_not_push_out_what_an_event_has_told(
    make_client: MakeClient, simulator: Simulator
) -> None:
    for _ in range(10):
        simulator.place_order(1, SideType.BUY, 1)
    for position in simulator.positions[:8]:
        simulator.close_position(position["id"])
    gate = Gate(closed=True)
    with Relay(simulator, gate) as relay:
        client = make_client(snapshot=True, http_url=relay.url, history_limit=5)
        client.connect()
        assert gate.waiting.wait(TIMEOUT)
        catch_up(client, simulator)
        # It ends two orders and a position, and makes two deals.
        simulator.place_order(1, SideType.BUY, 1)
        simulator.close_position(simulator.positions[0 if simulator.positions[0]["status"] == 0 else 8]["id"])
        catch_up(client, simulator)
        told = {name: set(getattr(client.account, name)) for name in ("orders", "positions", "deals")}
        assert [len(told[name]) for name in told] == [2, 2, 2]
        with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT):
            gate.opened.set()
        account = client.account
        for name, ids in told.items():
            assert ids <= set(getattr(account, name)), name
        newest = sorted(deal["id"] for deal in simulator.deals)[-5:]
        assert sorted(account.deals) == newest
        assert len(account.orders) == 5
        assert sorted(account.open_positions) == sorted(
            position["id"] for position in simulator.positions if position["status"] == 0
        )
        assert len(account.positions) - len(account.open_positions) == 5
        assert account.figures is not None
        assert account.figures.balance == simulator.account["balance"]
        # Nothing has happened: there is nothing to tell, of what is too old to be kept neither.
        gate.closed = False
        with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT) as idle:
            client.resync()
        assert not any((idle.event.data.orders, idle.event.data.positions, idle.event.data.deals))
        client.disconnect()


def test_the_newest_are_kept_in_whatever_order_they_are_listed(
    make_client: MakeClient, simulator: Simulator
) -> None:
    def newest_first(path: str, status: int, body: bytes) -> Tuple[int, bytes]:
        if path.endswith(("/deals", "/history")):
            content = json.loads(body)
            content["data"].reverse()
            return status, json.dumps(content).encode()
        return status, body

    for _ in range(8):
        simulator.place_order(1, SideType.BUY, 1)
    with Relay(simulator, newest_first) as relay:
        client = make_client(snapshot=True, http_url=relay.url, history_limit=3)
        connect(client, simulator)
        current(client)
        ids = [deal["id"] for deal in simulator.deals]
        assert list(client.account.deals) == ids[-3:]
        assert sorted(client.account.orders) == [order["id"] for order in simulator.orders][-3:]
        # The next one takes the place of the oldest.
        simulator.place_order(1, SideType.BUY, 1)
        catch_up(client, simulator)
        assert list(client.account.deals) == [*ids[-2:], simulator.deals[-1]["id"]]
        client.disconnect()


def test_what_came_while_it_was_loaded_is_the_newest(make_client: MakeClient, simulator: Simulator) -> None:
    for _ in range(3):
        simulator.place_order(1, SideType.BUY, 1)
    gate = Gate(closed=True)
    with Relay(simulator, gate) as relay:
        client = make_client(snapshot=True, http_url=relay.url, history_limit=4)
        client.connect()
        assert gate.waiting.wait(TIMEOUT)
        catch_up(client, simulator)
        simulator.place_order(1, SideType.BUY, 1)
        # A correction makes nothing younger.
        simulator.update_deal(simulator.deals[1]["id"], fee=1)
        catch_up(client, simulator)
        gate.opened.set()
        current(client)
        for _ in range(5):
            ids = [deal["id"] for deal in simulator.deals]
            assert list(client.account.deals) == ids[-4:]
            simulator.place_order(1, SideType.BUY, 1)
            catch_up(client, simulator)
        client.disconnect()


# -- more than anybody can remember ------------------------------------------------------------------------------------


def test_more_objects_than_can_be_remembered_while_it_is_loaded(
    make_client: MakeClient, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "LIVE_LIMIT", 3)
    gate = Gate()
    with Relay(simulator, gate) as relay:
        client = make_client(snapshot=True, http_url=relay.url)
        connect(client, simulator)
        current(client)
        said = listen(client, *LOADS)
        until: List[float] = []
        client.subscribe(ClientEventType.RESYNCING, lambda event: until.append(event.received_at))
        gate.closed = True
        client.resync()
        assert gate.waiting.wait(TIMEOUT)
        catch_up(client, simulator)
        for _ in range(4):
            assert {status.state for status in client.account.status.values()} == {SyncState.LOADING}
            simulator.place_order(1, SideType.BUY, 1, type=OrderType.BUY_LIMIT, price=0.5)
            catch_up(client, simulator)
        for status in client.account.status.values():
            assert (status.state, status.since) == (SyncState.STALE, until[0])
            assert isinstance(status.reason, DecodeError)
        gate.closed = False
        with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT) as resynced:
            gate.opened.set()
        # Where the next load begins before the end of the first is delivered, that is not said.
        failed = [event for event in said if event.type is ClientEventType.RESYNC_FAILED]
        assert [event.type for event in said if event not in failed] == [
            ClientEventType.RESYNCING,
            ClientEventType.RESYNCING,
            ClientEventType.RESYNCED,
        ]
        assert failed in ([], [said[1]])
        assert all(isinstance(event.data, DecodeError) for event in failed)
        assert resynced.event.data.started_at == until[0]
        current(client)
        agree(client, simulator)
        client.disconnect()


def test_who_waits_meanwhile_waits_for_the_next_load(
    make_client: MakeClient, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "LIVE_LIMIT", 1)
    gate = Gate(closed=True)
    with Relay(simulator, gate) as relay:
        client = make_client(snapshot=True, http_url=relay.url)
        client.connect()
        assert gate.waiting.wait(TIMEOUT)
        catch_up(client, simulator)
        for _ in range(2):
            simulator.place_order(1, SideType.BUY, 1, type=OrderType.BUY_LIMIT, price=0.5)
        catch_up(client, simulator)
        gate.closed = False
        gate.opened.set()
        current(client)
        assert {status.state for status in client.account.status.values()} == {SyncState.CURRENT}
        agree(client, simulator)
        client.disconnect()


# -- loads that nobody waits for any more ------------------------------------------------------------------------------


def test_stopped_and_started_again_while_loading(make_client: MakeClient, simulator: Simulator) -> None:
    gate = Gate()
    with Relay(simulator, gate) as relay:
        client = make_client(snapshot=True, http_url=relay.url)
        connect(client, simulator)
        current(client)
        said = listen(client, *LOADS)
        gate.closed = True
        client.resync()
        assert gate.waiting.wait(TIMEOUT)
        client.stop_account_all()
        everything_sent(client, simulator)
        # Nobody tells of this one.
        simulator.place_order(1, SideType.BUY, 1)
        client.start_account_all()
        gate.closed = False
        gate.opened.set()
        current(client)
        assert [event.type for event in said] == [
            ClientEventType.RESYNCING,
            ClientEventType.RESYNC_FAILED,
            ClientEventType.RESYNCING,
            ClientEventType.RESYNCED,
        ]
        assert isinstance(said[1].data, AccountUpdatesStoppedError)
        assert len(said[3].data.orders.appeared) == 1
        assert said[3].data.started_at == said[0].received_at
        agree(client, simulator)
        client.disconnect()


def test_a_loss_and_a_stop_while_loading(make_client: MakeClient, simulator: Simulator) -> None:
    gate = Gate()
    with Relay(simulator, gate) as relay:
        client = make_client(snapshot=True, http_url=relay.url)
        connect(client, simulator)
        current(client)
        for end in (simulator.drop, client.stop_account_all):
            gate.closed = True
            gate.waiting.clear()
            gate.opened.clear()
            client.resync()
            assert gate.waiting.wait(TIMEOUT)
            simulator.place_order(1, SideType.BUY, 1)
            gate.closed = False
            with client.expect(ClientEventType.RESYNC_FAILED, timeout=TIMEOUT):
                end()
            gate.opened.set()
            client.start_account_all()
            current(client)
            account_updates_started(simulator, simulator.connections_total)
            agree(client, simulator)
        client.disconnect()


def snapshots() -> int:
    """How many are in memory."""
    gc.collect()
    return sum(isinstance(each, Snapshot) for each in gc.get_objects())


@pytest.mark.parametrize("again", ["losses", "resyncs", "stops"])
def test_a_queue_that_nobody_empties_holds_one_snapshot(
    make_client: MakeClient, simulator: Simulator, again: str
) -> None:
    # Its heartbeat is quick for who waits for its counters.
    client = make_client(snapshot=True, dispatch="manual", heartbeat_interval=0.05, heartbeat_timeout=TIMEOUT)
    client.connect()
    current(client)
    before = snapshots()
    failures = listen(client, ClientEventType.RESYNC_FAILED)
    for _ in range(30):
        count = calls(simulator, "symbols")
        if again == "losses":
            simulator.drop()
        elif again == "resyncs":
            client.resync()
        else:
            client.stop_account_all()
            client.start_account_all()
        simulator.wait_for(lambda sim, count=count: calls(sim, "symbols") > count)  # type: ignore[misc]
    # The last one of them may still be on its way into the queue.
    assert snapshots() <= before + 2
    simulator.place_order(1, SideType.BUY, 1)
    current(client)
    agree(client, simulator)
    assert snapshots() <= before
    # What another load has taken the place of has not failed. What a loss interrupts has.
    reasons: Dict[str, Any] = {
        "losses": ConnectionLostError,
        "stops": AccountUpdatesStoppedError,
        "resyncs": (),
    }
    assert all(isinstance(event.data, reasons[again]) for event in failures)
    assert again != "stops" or len(failures) == 30


# -- what fails --------------------------------------------------------------------------------------------------------


def test_each_load_that_fails_says_so_once(
    make_client: MakeClient, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.refuse_calls(503, "down", path="positions", times=4)
    # So many attempts end what connects; a connection that is there is not given up because of what it has no part in.
    policy = ReconnectPolicy(initial_delay=0.01, max_delay=0.02, max_attempts=2)
    client = make_client(snapshot=True, reconnect=policy)
    said = listen(client, *LOADS, ClientEventType.STATE_CHANGED)
    reasons: List[Any] = []
    client.subscribe(
        ClientEventType.RESYNC_FAILED,
        lambda event: reasons.append({status.reason for status in client.account.status.values()}),
    )
    connect(client, simulator)
    current(client)
    about_loads = [event for event in said if event.type is not ClientEventType.STATE_CHANGED]
    assert [event.type for event in about_loads] == [
        *[ClientEventType.RESYNCING, ClientEventType.RESYNC_FAILED] * 4,
        ClientEventType.RESYNCING,
        ClientEventType.RESYNCED,
    ]
    failures = [event.data for event in about_loads if event.type is ClientEventType.RESYNC_FAILED]
    assert [(type(error), error.status) for error in failures] == [(ServerError, 503)] * 4
    assert reasons == [{error} for error in failures]
    lines = [record.getMessage() for record in caplog.records if record.name == "onetrade_ws.account"]
    assert len(lines) == 4
    assert all("HTTP 503: down; trying again " in line for line in lines)
    assert client.state is ConnectionState.OPEN
    # Nothing was asked for twice in one load.
    assert calls(simulator, "positions") == 5
    assert calls(simulator, "orders") == 5
    assert calls(simulator, "symbols") == 1


def test_a_server_that_asks_for_patience_gets_it(
    make_client: MakeClient, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.refuse_calls(429, "later", headers={"Retry-After": "999999999"})
    client = make_client(snapshot=True)
    with client.expect(ClientEventType.RESYNC_FAILED, timeout=TIMEOUT) as failed:
        connect(client, simulator)
    assert isinstance(failed.event.data, RateLimitedError)
    client.resync()
    current(client)
    lines = [record.getMessage() for record in caplog.records if record.name == "onetrade_ws.account"]
    # An hour at most.
    assert len(lines) == 1
    assert lines[0].endswith("trying again in 3600.0 s")


def test_a_server_that_allows_few_calls_at_once(
    make_client: MakeClient, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    for path in ("positions", "deals", "symbols"):
        simulator.refuse_calls(429, "slowly", path=path, headers={"Retry-After": "0"})
    client = make_client(snapshot=True)
    said = listen(client, *LOADS)
    connect(client, simulator)
    current(client)
    assert [event.type for event in said] == [ClientEventType.RESYNCING, ClientEventType.RESYNCED]
    # It goes on where it was stopped.
    asked_for = [
        calls(simulator, path) for path in ("orders", "orders/history", "positions", "deals", "symbols")
    ]
    assert asked_for == [1, 1, 2, 2, 2]
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    assert all("HTTP 429: slowly; it asks to wait for 0 s; trying again " in line for line in lines)


def test_a_server_that_does_not_say_how_long_is_not_asked_again_at_once(
    make_client: MakeClient, simulator: Simulator
) -> None:
    simulator.refuse_calls(429, "slowly", path="symbols")
    client = make_client(snapshot=True)
    said = listen(client, *LOADS)
    connect(client, simulator)
    current(client)
    assert [event.type for event in said][:2] == [ClientEventType.RESYNCING, ClientEventType.RESYNC_FAILED]
    assert calls(simulator, "orders") == 2


class Broken(ReconnectPolicy):
    """A policy of the program's own making, with a bug in it."""

    def delay(self, attempt: int, draw: Callable[[], float] = random.random) -> float:
        raise ValueError("a bug of the program's")


@pytest.mark.parametrize("is_doubted", [False, True])
def test_a_policy_that_raises_ends_no_loading(
    make_client: MakeClient,
    simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    is_doubted: bool,
) -> None:
    monkeypatch.setattr(synchronizer, "_PATIENCE", 0.01)
    if not is_doubted:
        simulator.refuse_calls(500, "busy")
    client = make_client(snapshot=True, reconnect=Broken())
    connect(client, simulator)
    current(client)
    if is_doubted:
        with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT):
            simulator.emit("orders_update", {"id": "five"})
        current(client)
    (line,) = [record for record in caplog.records if "policy failed" in record.getMessage()]
    assert line.exc_info is not None
    assert isinstance(line.exc_info[1], ValueError)


def test_it_is_logged_that_it_was_loaded_after_all(
    make_client: MakeClient, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "onetrade_ws.account")
    simulator.refuse_calls(503, "down", times=2)
    client = make_client(snapshot=True)
    connect(client, simulator)
    current(client)
    for _ in range(2):
        with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT):
            client.resync()
    client.disconnect()
    lines = [record.getMessage() for record in caplog.records if record.name == "onetrade_ws.account"]
    assert [line.partition(":")[0] for line in lines] == [
        "the account could not be loaded",
        "the account could not be loaded",
        "the account has been loaded",
    ]


# -- the server has read that account updates are wanted ---------------------------------------------------------------

# So many beats are waited for in which somebody who is not patient would have loaded it.
_BEATS = 8


def read_beat(peer: Peer) -> None:
    while peer.read_frame().text != "9":
        pass


def read_beats_up_to(peer: Peer, text: str) -> int:
    """Read up to a message, and say how many beats came before it. None of them is answered."""
    beats = 0
    while True:
        frame = peer.read_frame()
        if text in frame.text:
            return beats
        beats += frame.text == "9"


def answer_late(peer: Peer, simulator: Simulator, beats: int, early: int) -> None:
    """Something happens that is told to nobody, before beats are answered.

    :param beats: how many have not been answered yet, but for the next one, which is sent with knowledge of what was
        wanted
    :param early: how many of them are answered all the same
    """
    read_beat(peer)
    before = calls(simulator)
    peer.send(early * text_frame("10"))
    for _ in range(_BEATS):
        read_beat(peer)
    assert calls(simulator) == before
    simulator.place_order(1, SideType.BUY, 1, type=OrderType.BUY_LIMIT, price=0.5)
    peer.send((beats + 1 + _BEATS - early) * text_frame("10"))


def client_of(server: HostileServer, make_client: MakeClient, simulator: Simulator) -> OneTradeClient:
    """Everything but the WebSocket is the simulator's. Its heartbeat is what the server's script goes by."""
    return make_client(
        server,
        snapshot=True,
        http_url=simulator.http_url,
        session_id=simulator.session_id,
        access_token=simulator.access_token,
        heartbeat_interval=0.05,
        heartbeat_timeout=TIMEOUT,
    )


@pytest.mark.parametrize("early", [0, 1], ids=["no answer", "the answer to an earlier beat"])
def test_nothing_is_asked_for_before_the_server_has_read_what_is_wanted(
    make_client: MakeClient, simulator: Simulator, early: int
) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        answer_late(peer, simulator, read_beats_up_to(peer, "start_account_all"), early)
        peer.serve()

    with HostileServer(script) as server:
        client = client_of(server, make_client, simulator)
        client.connect()
        current(client)
        assert list(client.account.orders) == [order["id"] for order in simulator.orders] != []
        client.disconnect()


def test_an_earlier_beat_is_answered_in_the_moment_of_asking(
    make_client: MakeClient, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped, answered = threading.Event(), threading.Event()
    take_answer, beat = Link._answered, Heartbeat.beat

    def answered_now(link: Link) -> None:
        take_answer(link)
        if stopped.is_set():
            answered.set()

    def beat_and_wait(heartbeat: Heartbeat) -> int:
        number = beat(heartbeat)
        if stopped.is_set():
            assert answered.wait(TIMEOUT)
        return number

    monkeypatch.setattr(Link, "_answered", answered_now)
    monkeypatch.setattr(Heartbeat, "beat", beat_and_wait)

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.serve(until="stop_account_all")
        read_beat(peer)
        stopped.set()
        answer_late(peer, simulator, 1 + read_beats_up_to(peer, "start_account_all"), 1)
        peer.serve()

    with HostileServer(script) as server:
        client = client_of(server, make_client, simulator)
        client.connect()
        current(client)
        client.stop_account_all()
        assert stopped.wait(TIMEOUT)
        client.start_account_all()
        current(client)
        assert list(client.account.orders) == [order["id"] for order in simulator.orders] != []
        client.disconnect()


def test_a_server_that_never_answers_a_beat_shows_nothing_and_must_do(
    make_client: MakeClient, simulator: Simulator
) -> None:
    simulator.heartbeat_reply = False
    simulator.place_order(1, SideType.BUY, 1)
    client = make_client(snapshot=True, heartbeat_timeout=0.2)
    connect(client, simulator)
    current(client)
    agree(client, simulator)


def test_a_server_that_answers_its_first_beats_late(make_client: MakeClient, simulator: Simulator) -> None:
    happened, wanted = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade()
        beats = read_beats_up_to(peer, "start_account_all")
        read_beat(peer)
        assert happened.wait(TIMEOUT)
        # Those of before show nothing.
        peer.send(beats * text_frame("10") + event_frame("early"))
        assert wanted.wait(TIMEOUT)
        peer.send(text_frame("10"))
        peer.serve()

    with HostileServer(script) as server:
        client = make_client(
            server,
            snapshot=True,
            http_url=simulator.http_url,
            session_id=simulator.session_id,
            access_token=simulator.access_token,
            heartbeat_interval=3600,
            heartbeat_timeout=0.2,
        )
        client.connect()
        current(client)
        # Nobody tells of it: the server has not read that somebody wants to know.
        simulator.place_order(1, SideType.BUY, 1, type=OrderType.BUY_LIMIT, price=0.5)
        with client.expect("early", timeout=TIMEOUT):
            happened.set()
        assert not client.account.orders
        said = listen(client, *LOADS)
        with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT):
            wanted.set()
        assert list(client.account.orders) == [order["id"] for order in simulator.orders] != []
        # From now on it answers in time.
        with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT):
            client.resync()
        assert [event.type for event in said] == [ClientEventType.RESYNCING, ClientEventType.RESYNCED] * 2
        assert calls(simulator, "deals") == 2 + 1
        client.disconnect()


def test_a_server_that_has_left_beats_unanswered(make_client: MakeClient, simulator: Simulator) -> None:
    """It never seems to answer the newest one."""
    client = make_client(snapshot=True, heartbeat_timeout=0.3)
    connect(client, simulator)
    current(client)
    client.stop_account_all()
    everything_sent(client, simulator)
    simulator.heartbeat_reply = False
    count = calls(simulator)
    # It answers some, so that no answer shows something.
    with client.expect(
        ClientEventType.RESYNC_FAILED,
        where=lambda event: isinstance(event.data, NetworkError),
        timeout=TIMEOUT,
    ):
        client.start_account_all()
    assert calls(simulator) == count
    assert state_of(client) is not SyncState.CURRENT
    simulator.heartbeat_reply = True
    # It is tried again by itself.
    current(client)
    agree(client, simulator)
    # What has been shown need not be shown again.
    simulator.heartbeat_reply = False
    with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT):
        client.resync()
