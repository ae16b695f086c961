"""What ``account.status`` says, and since when; what ``wait_until_current()`` and ``resync()`` promise."""

from __future__ import annotations

import json
import threading
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

import pytest

from onetrade_ws import (
    AccountUpdatesStoppedError,
    ClientEventType,
    CollectionStatus,
    ConnectionState,
    DecodeError,
    Event,
    NotFoundError,
    OneTradeClient,
    OneTradeError,
    OrderType,
    RateLimitedError,
    ReconnectPolicy,
    ServerError,
    SideType,
    SyncState,
    WaitTimeoutError,
)
from onetrade_ws.account import mirror
from onetrade_ws.account.standing import Standing
from onetrade_ws.connection import supervisor
from onetrade_ws.simulator import Simulator
from tests.client.background import Background
from tests.client.conftest import MakeClient
from tests.client.conversation import TIMEOUT, account_updates_started, catch_up, connect, everything_sent
from tests.client.loading import Gate, agree, current, state_of
from tests.client.relay import Relay
from tests.connection.hostile import HostileServer, Peer, text_frame

PARTS = ("account", "orders", "positions", "deals", "symbols")

#: What is said of a load.
LOADS = (ClientEventType.RESYNCING, ClientEventType.RESYNCED, ClientEventType.RESYNC_FAILED)


class Said(NamedTuple):
    """An event, and the statuses that a callback found with it."""

    event: Event
    status: Dict[str, CollectionStatus]


def listen(client: OneTradeClient, *event_types: ClientEventType) -> List[Said]:
    """What will be said, and how things stood then."""
    said: List[Said] = []
    for event_type in event_types:
        client.subscribe(event_type, lambda event: said.append(Said(event, client.account.status)))
    return said


def refuse_until_asked(simulator: Simulator) -> None:
    """No load succeeds, and the one after a refusal is an hour away."""
    simulator.refuse_calls(429, "later", headers={"Retry-After": "3600"}, times=None)


def states(status: Dict[str, CollectionStatus]) -> Set[SyncState]:
    return {each.state for each in status.values()}


# -- since when --------------------------------------------------------------------------------------------------------


def test_the_first_loss_counts_when_another_comes_while_loading(
    make_client: MakeClient, simulator: Simulator
) -> None:
    first, second = Gate(closed=True), Gate()
    with Relay(simulator, Gate()) as relay:
        client = make_client(snapshot=True, http_url=relay.url)
        said = listen(client, ClientEventType.GAP)
        connect(client, simulator)
        current(client)
        relay.change = first
        simulator.drop()
        assert first.waiting.wait(TIMEOUT)
        # So that the second gap begins later.
        catch_up(client, simulator)
        assert states(client.account.status) == {SyncState.LOADING}
        relay.change = second
        with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT) as resynced:
            simulator.reset()
        first.opened.set()
        one, other = said
        assert one.event.data.started_at < other.event.data.started_at
        for each in one.status, other.status:
            assert states(each) == {SyncState.STALE}
            assert {status.since for status in each.values()} == {one.event.data.started_at}
        assert resynced.event.data.started_at == one.event.data.started_at
        # That one is made good: the next gap is a gap of its own.
        with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT) as resynced:
            simulator.drop()
        assert resynced.event.data.started_at == said[2].event.data.started_at > other.event.data.started_at
        client.disconnect()


def test_the_first_loss_counts_when_another_comes_between_two_tries(
    make_client: MakeClient, simulator: Simulator
) -> None:
    client = make_client(snapshot=True)
    said = listen(client, ClientEventType.GAP)
    connect(client, simulator)
    current(client)
    refuse_until_asked(simulator)
    for _ in range(2):
        with client.expect(ClientEventType.RESYNC_FAILED, timeout=TIMEOUT) as failed:
            simulator.drop()
        catch_up(client, simulator)
        assert isinstance(failed.event.data, RateLimitedError)
        assert client.account.status["deals"] == CollectionStatus(
            SyncState.STALE, said[0].event.data.started_at, failed.event.data
        )
    simulator.allow()
    with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT) as resynced:
        simulator.drop()
    starts = [each.event.data.started_at for each in said]
    assert starts[0] < starts[1] < starts[2]
    assert resynced.event.data.started_at == starts[0]


def test_what_was_current_until_a_resync_that_fails(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(snapshot=True)
    said = listen(client, *LOADS)
    connect(client, simulator)
    current(client)
    became_current = client.account.status["orders"].since
    catch_up(client, simulator)
    refuse_until_asked(simulator)
    for _ in range(2):
        with client.expect(ClientEventType.RESYNC_FAILED, timeout=TIMEOUT):
            client.resync()
    simulator.allow()
    with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT):
        client.resync()
    _, _, asked, failed, asked_again, failed_again, _, loaded = said
    until = asked.event.received_at
    assert until > became_current
    for name in PARTS:
        assert asked.status[name] == CollectionStatus(SyncState.LOADING, until)
        assert failed.status[name] == CollectionStatus(SyncState.STALE, until, failed.event.data)
        assert asked_again.status[name].since == asked_again.event.received_at
        assert failed_again.status[name] == CollectionStatus(SyncState.STALE, until, failed_again.event.data)
        assert loaded.status[name] == CollectionStatus(SyncState.CURRENT, loaded.event.received_at)
    assert loaded.event.data.started_at == until


def test_what_was_current_until_account_updates_were_stopped(
    make_client: MakeClient, simulator: Simulator
) -> None:
    client = make_client(snapshot=True)
    said = listen(client, ClientEventType.RESYNC_FAILED, ClientEventType.GAP)
    connect(client, simulator)
    current(client)
    catch_up(client, simulator)
    with client.expect(ClientEventType.RESYNC_FAILED, timeout=TIMEOUT):
        client.stop_account_all()
    catch_up(client, simulator)
    # A loss, and nothing is loaded after it.
    with client.expect(ClientEventType.GAP, timeout=TIMEOUT):
        simulator.drop()
    with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT) as resynced:
        client.start_account_all()
    stopped, lost = said
    until = stopped.event.received_at
    assert lost.event.data.started_at > until
    for name in PARTS:
        assert stopped.status[name] == CollectionStatus(SyncState.STALE, until, stopped.event.data)
        assert lost.status[name] == CollectionStatus(SyncState.STALE, until)
    assert resynced.event.data.started_at == until


def test_until_it_has_been_loaded_it_is_stale_since_the_client_was_made(
    make_client: MakeClient, simulator: Simulator
) -> None:
    client = make_client(snapshot=True)
    made = client.account.status["orders"].since
    said = listen(client, *LOADS, ClientEventType.GAP)
    refuse_until_asked(simulator)
    with client.expect(ClientEventType.RESYNC_FAILED, timeout=TIMEOUT):
        client.connect()
    with client.expect(ClientEventType.RESYNC_FAILED, timeout=TIMEOUT):
        simulator.drop()
    stale = [each for each in said if each.event.type is not ClientEventType.RESYNCING]
    assert [each.event.type for each in stale] == [
        ClientEventType.RESYNC_FAILED,
        ClientEventType.GAP,
        ClientEventType.RESYNC_FAILED,
    ]
    assert {status.since for each in stale for status in each.status.values()} == {made}
    simulator.allow()
    with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT) as resynced:
        client.resync()
    # Nothing can be missed by who has known nothing.
    assert resynced.event.data.started_at is None


def test_of_what_is_in_doubt_the_others_know_nothing(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(snapshot=True)
    said = listen(client, ClientEventType.DECODE_ERROR)
    connect(client, simulator)
    current(client)
    became_current = client.account.status["orders"].since
    with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT) as resynced:
        simulator.emit("positions_update", {"id": "five"})
    (doubtful,) = said
    since, error = doubtful.event.received_at, doubtful.event.data
    for name in PARTS:
        if name == "positions":
            assert doubtful.status[name] == CollectionStatus(SyncState.STALE, since, error)
        else:
            assert doubtful.status[name] == CollectionStatus(SyncState.CURRENT, became_current)
    assert isinstance(error, DecodeError)
    assert resynced.event.data.started_at == since
    current(client)
    assert states(client.account.status) == {SyncState.CURRENT}


# -- what the server does not offer ------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", PARTS)
def test_a_part_that_is_not_offered(
    make_client: MakeClient, simulator: Simulator, missing: str, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.refuse_calls(404, path=missing, times=None)
    simulator.place_order(1, SideType.BUY, 1)
    client = make_client(snapshot=True)
    connect(client, simulator)
    for _ in range(2):
        with pytest.raises(NotFoundError, match=missing):
            client.wait_until_current(TIMEOUT)
        for name, status in client.account.status.items():
            if name == missing:
                assert status.state is SyncState.STALE
                assert isinstance(status.reason, NotFoundError)
            else:
                assert (status.state, status.reason) == (SyncState.CURRENT, None)
        with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT):
            simulator.drop()
    said = [record.getMessage() for record in caplog.records if "does not offer" in record.getMessage()]
    assert len(said) == 1
    assert missing in said[0]
    # It knows what events tell.
    account_updates_started(simulator, simulator.connections_total)
    simulator.place_order(3, SideType.BUY, 1)
    catch_up(client, simulator)
    assert 3 in {order.symbol_id for order in client.account.orders.values()}


def test_what_is_not_offered_is_not_what_was_missed(make_client: MakeClient, simulator: Simulator) -> None:
    simulator.refuse_calls(404, path="deals", times=None)
    client = make_client(snapshot=True)
    said = listen(client, ClientEventType.GAP)
    with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT):
        connect(client, simulator)
    for number in range(2):
        with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT) as resynced:
            simulator.drop()
        assert resynced.event.data.started_at == said[number].event.data.started_at


# -- waiting -----------------------------------------------------------------------------------------------------------


class Forgetful:
    """What the server says of orders, until it has forgotten them."""

    def __init__(self) -> None:
        self.has_forgotten = False

    def __call__(self, path: str, status: int, body: bytes) -> Tuple[int, bytes]:
        if self.has_forgotten and path.rpartition("/")[2] == "orders":
            return status, json.dumps({**json.loads(body), "data": []}).encode()
        return status, body


@pytest.mark.parametrize("dispatch", ["thread", "manual"])
def test_who_asks_again_and_waits_gets_what_is_there_by_then(
    make_client: MakeClient, simulator: Simulator, dispatch: str
) -> None:
    simulator.place_order(1, SideType.BUY, 1, type=OrderType.BUY_LIMIT, price=0.5)
    forgetful = Forgetful()
    with Relay(simulator, forgetful) as relay:
        client = make_client(snapshot=True, http_url=relay.url, dispatch=dispatch)
        client.connect()
        current(client)
        assert client.account.orders
        forgetful.has_forgotten = True
        client.resync()
        current(client)
        assert not client.account.orders
        client.disconnect()


def test_a_loss_that_nobody_was_told_of_yet(make_client: MakeClient, simulator: Simulator) -> None:
    simulator.place_order(1, SideType.BUY, 1, type=OrderType.BUY_LIMIT, price=0.5)
    forgetful = Forgetful()
    with Relay(simulator, forgetful) as relay:
        client = make_client(snapshot=True, http_url=relay.url, dispatch="manual")
        client.connect()
        current(client)
        forgetful.has_forgotten = True
        simulator.drop()
        account_updates_started(simulator, 2)
        # Nothing has been pumped: that it was lost is not delivered.
        assert client.account.connection_state is ConnectionState.OPEN
        assert states(client.account.status) == {SyncState.CURRENT}
        current(client)
        assert not client.account.orders
        assert states(client.account.status) == {SyncState.CURRENT}
        client.disconnect()


def test_an_answer_that_nobody_was_told_of_yet(
    make_client: MakeClient, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator.place_order(1, SideType.BUY, 1, type=OrderType.BUY_LIMIT, price=0.5)
    forgetful, announced = Forgetful(), threading.Event()
    with Relay(simulator, forgetful) as relay:
        client = make_client(snapshot=True, http_url=relay.url, dispatch="manual")
        client.connect()
        current(client)
        announce = client._synchronizer._announce

        def announce_and_tell(event: Event) -> None:
            announce(event)
            if event.type is ClientEventType.RESYNCED:
                announced.set()

        monkeypatch.setattr(client._synchronizer, "_announce", announce_and_tell)
        forgetful.has_forgotten = True
        client.resync()
        assert announced.wait(TIMEOUT)
        # It has been loaded, and the mirror has not heard of it.
        assert client.account.orders
        current(client)
        assert not client.account.orders
        client.disconnect()


def test_who_waits_while_it_is_in_doubt_gets_what_is_loaded_then(
    make_client: MakeClient, simulator: Simulator
) -> None:
    # Long enough to find it in doubt.
    client = make_client(snapshot=True, reconnect=ReconnectPolicy(initial_delay=1.0, max_delay=1.0))
    connect(client, simulator)
    current(client)
    with client.expect(ClientEventType.DECODE_ERROR, timeout=TIMEOUT):
        simulator.emit("orders_update", {"id": "five"})
    current(client)
    assert states(client.account.status) == {SyncState.CURRENT}


def test_who_waits_is_not_ahead_of_the_mirror(
    make_client: MakeClient, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(snapshot=True)
    simulator.place_order(1, SideType.BUY, 1)
    merging, go_on = threading.Event(), threading.Event()
    merge = client.account._merge

    def merge_when_told(*arguments: Any) -> Any:
        merging.set()
        assert go_on.wait(TIMEOUT)
        return merge(*arguments)

    # It takes its time, for a large account.
    monkeypatch.setattr(client.account, "_merge", merge_when_told)
    client.connect()
    assert merging.wait(TIMEOUT)
    with pytest.raises(WaitTimeoutError):
        client.wait_until_current(0)
    go_on.set()
    current(client)
    assert client.account.orders
    assert states(client.account.status) == {SyncState.CURRENT}


def test_who_waits_is_not_ahead_of_what_the_mirror_says_of_a_failure(
    make_client: MakeClient, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator.refuse_calls(404, "no such thing", times=None)
    client = make_client(snapshot=True)
    giving_up, go_on = threading.Event(), threading.Event()
    give_up = client.account._standing.give_up

    def give_up_when_told(now: float, reason: Optional[OneTradeError] = None) -> None:
        if reason is not None:
            giving_up.set()
            assert go_on.wait(TIMEOUT)
        give_up(now, reason)

    monkeypatch.setattr(client.account._standing, "give_up", give_up_when_told)
    client.connect()
    assert giving_up.wait(TIMEOUT)
    with pytest.raises(WaitTimeoutError):
        client.wait_until_current(0)
    go_on.set()
    with pytest.raises(NotFoundError):
        current(client)


def test_who_waits_in_vain_is_told_why(make_client: MakeClient, simulator: Simulator) -> None:
    simulator.refuse_calls(503, "down", times=None)
    client = make_client(snapshot=True, reconnect=ReconnectPolicy(initial_delay=3600, max_delay=3600))
    with client.expect(ClientEventType.RESYNC_FAILED, timeout=TIMEOUT) as failed:
        client.connect()
    with pytest.raises(WaitTimeoutError, match=r"; the last trouble: .*HTTP 503: down") as caught:
        client.wait_until_current(0)
    assert caught.value.last_error is failed.event.data
    for status in client.account.status.values():
        assert status.reason is failed.event.data
    assert isinstance(failed.event.data, ServerError)


def test_without_a_policy_the_first_failure_is_the_answer(
    make_client: MakeClient, simulator: Simulator
) -> None:
    simulator.refuse_calls(503, "down")
    client = make_client(snapshot=True, reconnect=None)
    client.connect()
    with pytest.raises(ServerError) as caught:
        current(client)
    assert caught.value.status == 503
    # Who asks again gets another answer.
    client.resync()
    current(client)


def test_without_a_policy_what_is_in_doubt_stays_so_until_somebody_asks(
    make_client: MakeClient, simulator: Simulator
) -> None:
    client = make_client(snapshot=True, reconnect=None)
    said = listen(client, *LOADS)
    connect(client, simulator)
    current(client)
    with client.expect(ClientEventType.DECODE_ERROR, timeout=TIMEOUT):
        simulator.emit("orders_update", {"id": "five"})
    with pytest.raises(DecodeError):
        current(client)
    assert len(said) == 2
    client.resync()
    current(client)
    assert states(client.account.status) == {SyncState.CURRENT}


def test_who_waits_is_told_that_account_updates_are_stopped(
    make_client: MakeClient, simulator: Simulator
) -> None:
    gate = Gate(closed=True)
    with Relay(simulator, gate) as relay:
        client = make_client(snapshot=True, http_url=relay.url)
        client.connect()
        assert gate.waiting.wait(TIMEOUT)
        waiting = Background(client.wait_until_current)
        client.stop_account_all()
        with pytest.raises(AccountUpdatesStoppedError):
            waiting.result()
        gate.opened.set()
        client.disconnect()


def test_who_waits_is_told_that_account_updates_were_stopped_while_there_was_no_connection(
    make_client: MakeClient, simulator: Simulator
) -> None:
    client = make_client(snapshot=True)
    connect(client, simulator)
    with client.expect(ClientEventType.RECONNECTING, timeout=TIMEOUT):
        simulator.refuse_validation(503, times=None)
        simulator.drop()
    waiting = Background(client.wait_until_current)
    client.stop_account_all()
    simulator.allow()
    with pytest.raises(AccountUpdatesStoppedError):
        waiting.result()


# -- where nothing is loaded -------------------------------------------------------------------------------------------


def test_without_snapshot_nothing_is_said_of_loads(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(snapshot=False)
    said = listen(client, *LOADS)
    client.stop_account_all()
    client.start_account_all()
    connect(client, simulator)
    client.stop_account_all()
    client.resync()
    client.start_account_all()
    client.resync()
    everything_sent(client, simulator)
    catch_up(client, simulator)
    client.disconnect()
    assert said == []
    assert {status.reason for status in client.account.status.values()} == {None}
    assert not [request for request in simulator.requests if "/trader/" in request.path]


def test_without_a_connection_nothing_is_said_of_loads(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(snapshot=True)
    said = listen(client, *LOADS)
    client.stop_account_all()
    client.resync()
    client.connect()
    catch_up(client, simulator)
    client.disconnect()
    client.start_account_all()
    client.stop_account_all()
    assert said == []
    assert {status.reason for status in client.account.status.values()} == {None}


# -- closing -----------------------------------------------------------------------------------------------------------


def test_a_load_ends_when_the_client_begins_to_close(
    make_client: MakeClient, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Until it is over, the server does not answer the close frame.
    monkeypatch.setattr(supervisor, "_CLOSING_HANDSHAKE", TIMEOUT)
    over = threading.Event()

    def hold_the_close_frame(peer: Peer) -> None:
        peer.upgrade()
        while True:
            frame = peer.read_frame()
            if frame.payload == b"9":
                peer.send(text_frame("10"))
            elif frame.opcode == 8:
                assert over.wait(TIMEOUT)
                peer.close()
                return

    gate = Gate()
    with HostileServer(hold_the_close_frame) as server, Relay(simulator, gate) as relay:
        client = make_client(
            server,
            snapshot=True,
            http_url=relay.url,
            session_id=simulator.session_id,
            access_token=simulator.access_token,
        )
        said = listen(client, ClientEventType.STATE_CHANGED, *LOADS)
        client.connect()
        current(client)
        gate.closed = True
        client.resync()
        assert gate.waiting.wait(TIMEOUT)
        count = len(said)
        with client.events(*LOADS, ClientEventType.STATE_CHANGED, timeout=TIMEOUT) as events:
            closing = Background(lambda: client.disconnect(4 * TIMEOUT))
            assert next(events).data.new is ConnectionState.CLOSING
            client.resync()
            failed = next(events)
        # Nothing is answered before: neither the load nor the close frame.
        gate.opened.set()
        over.set()
        closing.result()
        assert failed.type is ClientEventType.RESYNC_FAILED
        assert str(failed.data) == "the connection was lost: disconnect() was called"
        assert said[-1].event.data.new is ConnectionState.CLOSED
        about_loads = [each.event.type for each in said[count:] if each.event.type in LOADS]
        assert about_loads == [ClientEventType.RESYNC_FAILED]
        for each in said[count:]:
            assert states(each.status) == {SyncState.STALE}
        assert states(client.account.status) == {SyncState.STALE}


# -- all at once -------------------------------------------------------------------------------------------------------


class Watched:
    """A lock that looks how things are each time that it is let go of: what a reader may see."""

    def __init__(self, look: Any) -> None:
        self._lock = threading.Lock()
        self._look = look

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._look()
        self._lock.release()


def test_all_of_it_becomes_visible_at_once(
    make_client: MakeClient, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(snapshot=True)
    account = client.account
    seen: Set[Tuple[Tuple[int, ...], SyncState]] = set()

    def look() -> None:
        rows = (len(account._orders._by_id), len(account._positions._by_id), len(account._deals._by_id))
        seen.add((rows, state_of(client)))

    monkeypatch.setattr(account, "_lock", Watched(look))
    simulator.place_order(1, SideType.BUY, 1)
    connect(client, simulator)
    current(client)
    agree(client, simulator)
    assert account.figures is not None
    assert ((1, 1, 1), SyncState.CURRENT) in seen
    assert {state for rows, state in seen if rows != (0, 0, 0)} == {SyncState.CURRENT}
    assert {rows for rows, state in seen if state is SyncState.CURRENT} == {(1, 1, 1)}


def test_the_statuses_of_a_load_change_together(
    make_client: MakeClient, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: List[Set[SyncState]] = []

    class Recorded(Standing):
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            if name == "by_part":
                seen.append(states(value))

    monkeypatch.setattr(mirror, "Standing", Recorded)
    client = make_client(snapshot=True)
    connect(client, simulator)
    current(client)
    assert seen == [{SyncState.STALE}, {SyncState.LOADING}, {SyncState.CURRENT}]
