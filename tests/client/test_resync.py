"""The mirror is what the server has: for who comes late, after each loss, and however events and snapshots race."""

from __future__ import annotations

import json
import os
import random
import threading
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Type

import pytest

from onetrade_ws import (
    AccountUpdatesStoppedError,
    AnswerError,
    ClientEventType,
    ConfigurationError,
    Event,
    NotFoundError,
    OneTradeClient,
    OneTradeError,
    OrderStatus,
    OrderType,
    PositionStatus,
    Resynced,
    SideType,
    SyncState,
)
from onetrade_ws.simulator import Simulator
from tests.client.books import comparable, differences
from tests.client.conftest import MakeClient
from tests.client.conversation import TIMEOUT, catch_up, connect, everything_sent
from tests.client.desk import Desk
from tests.client.loading import Gate, agree, current, state_of
from tests.client.relay import Relay

# So many random cuts, in rounds of so many, each with an account of its own; ``make soak`` makes a thousand.
CUTS = int(os.environ.get("ONETRADE_TEST_CUTS", "60"))
CUTS_IN_A_ROUND = 20

rounds = pytest.mark.parametrize("number", range(CUTS // CUTS_IN_A_ROUND))


def test_who_comes_late_sees_what_was_there(make_client: MakeClient, simulator: Simulator) -> None:
    early = make_client(snapshot=True)
    connect(early, simulator)
    current(early)
    Desk(simulator, 1).act(150)
    agree(early, simulator)
    session = simulator.add_session()
    late = make_client(snapshot=True, session_id=session.session_id, access_token=session.access_token)
    late.connect()
    current(late)
    agree(late, simulator)
    for name in ("orders", "positions", "deals"):
        of_early, of_late = getattr(early.account, name), getattr(late.account, name)
        assert {each: comparable(of_early[each]) for each in of_early} == {
            each: comparable(of_late[each]) for each in of_late
        }
    assert late.account.account is not None
    assert late.account.account.balance == simulator.account["balance"]
    assert {symbol.symbol for symbol in late.account.symbols.values()} == {
        symbol["symbol"] for symbol in simulator.symbols
    }


class Trading:
    """Somebody trades, on a thread of his own, but while he is held: as much as is waited for, and a while beyond that,
    so that the books do not grow as fast as the machine allows."""

    _BEYOND = 5

    def __init__(self, simulator: Simulator, seed: int) -> None:
        self._desk = Desk(simulator, seed)
        # Guards what follows, and that nothing happens while it is held. Waited on for what has happened.
        self._acted = threading.Condition()
        self._count = self._allowed = 0
        self._over = False
        self._error: Optional[Exception] = None
        self._thread = threading.Thread(target=self._run, name="trading")

    def _run(self) -> None:
        try:
            while True:
                with self._acted:
                    self._acted.wait_for(lambda: self._count < self._allowed or self._over)
                    if self._over:
                        return
                    self._desk.act()
                    self._count += 1
                    self._acted.notify_all()
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            with self._acted:
                self._error = error
                self._acted.notify_all()

    def wait_for(self, actions: int) -> None:
        """Block until so much more has happened."""
        with self._acted:
            enough = self._count + actions
            self._allowed = enough + self._BEYOND
            self._acted.notify_all()
            assert self._acted.wait_for(lambda: self._count >= enough or self._error is not None, TIMEOUT)
            if self._error is not None:
                raise self._error

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing happens in the block."""
        with self._acted:
            yield

    def __enter__(self) -> Trading:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._acted:
            self._over = True
            self._acted.notify_all()
        self._thread.join()


@rounds
def test_cuts_at_any_moment_while_somebody_trades(
    make_client: MakeClient, simulator: Simulator, number: int
) -> None:
    draw = random.Random()
    seed = draw.randrange(10**6)
    draw.seed(seed)
    client = make_client(snapshot=True)
    said: List[Event] = []
    for event_type in (ClientEventType.GAP, ClientEventType.RESYNCED):
        client.subscribe(event_type, said.append)
    connect(client, simulator)
    current(client)
    with Trading(simulator, seed) as trading:
        for cut in range(CUTS_IN_A_ROUND):
            # Somewhere between the loss of the last connection and well after it has been made good.
            trading.wait_for(draw.choice((0, 1, 3, 10, 30)))
            if cut % 4 < 3:
                draw.choice((simulator.drop, simulator.reset, simulator.close))()
                continue
            with trading.held():
                simulator.wait_for(lambda sim: sim.connections == 1)
                earlier = simulator.connections_total
                # Not close(), of which the connection only learns.
                draw.choice((simulator.drop, simulator.reset))()
                # Whoever makes another connection has noticed the loss.
                simulator.wait_for(
                    lambda sim: sim.connections == 1 and sim.connections_total > earlier  # noqa: B023
                )
                current(client)
                catch_up(client, simulator)
                assert differences(client.account, simulator) == [], f"seed {seed}, cut {cut}"
    open_gap: Optional[float] = None
    for event in said[1:]:
        if event.type is ClientEventType.GAP:
            open_gap = event.data.started_at if open_gap is None else min(open_gap, event.data.started_at)
        else:
            assert open_gap is not None, f"seed {seed}"
            # Since then something was missed; nothing before it.
            assert event.data.started_at == open_gap, f"seed {seed}"
            open_gap = None


@rounds
def test_random_cuts_in_a_busy_account(make_client: MakeClient, simulator: Simulator, number: int) -> None:
    draw = random.Random(number)
    desk = Desk(simulator, number)
    client = make_client(snapshot=True)
    resynced: List[Resynced] = []
    client.subscribe(ClientEventType.RESYNCED, lambda event: resynced.append(event.data))
    connect(client, simulator)
    current(client)
    for cut in range(CUTS_IN_A_ROUND):
        desk.act(draw.randint(0, 4))
        with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT):
            draw.choice((simulator.drop, simulator.reset, simulator.close))()
            desk.act(draw.randint(0, 6))
        desk.act(draw.randint(0, 2))
        assert state_of(client) is SyncState.CURRENT, cut
        agree(client, simulator)
    assert len(resynced) == CUTS_IN_A_ROUND + 1
    assert resynced[0].started_at is None
    assert all(each.started_at is not None for each in resynced[1:])


@contextmanager
def deaf(client: OneTradeClient, simulator: Simulator) -> Iterator[List[Event]]:
    """Without a connection for as long as the block lasts. Gives, after it, the ``GAP`` and the ``RESYNCED``."""
    said: List[Event] = []
    with client.events(ClientEventType.GAP, ClientEventType.RESYNCED, timeout=TIMEOUT) as events:
        with client.expect(ClientEventType.RECONNECTING, timeout=TIMEOUT):
            simulator.refuse_validation(503, times=None)
            simulator.drop()
        yield said
        simulator.allow()
        said += [next(events), next(events)]


def test_what_happened_while_deaf_is_told(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(snapshot=True)
    connect(client, simulator)
    current(client)
    waiting = simulator.place_order(1, SideType.BUY, 1, type=OrderType.BUY_LIMIT, price=0.5)["id"]
    untouched = simulator.place_order(1, SideType.BUY, 1, type=OrderType.BUY_LIMIT, price=0.6)["id"]
    simulator.place_order(1, SideType.SELL, 1)
    position = simulator.positions[-1]["id"]
    catch_up(client, simulator)
    with deaf(client, simulator) as said:
        assert state_of(client) is SyncState.STALE
        simulator.cancel_order(waiting)
        simulator.close_position(position)
        simulator.place_order(3, SideType.BUY, 2)
    gap, resynced = said
    data: Resynced = resynced.data
    assert data.started_at == gap.data.started_at
    assert [(before.id, after.status) for before, after in data.orders.changed] == [
        (waiting, OrderStatus.CANCELED)
    ]
    # The one that opened the new position, and the one that closed the old one.
    assert sorted(one.symbol_id for one in data.orders.appeared) == [1, 3]
    assert [(before.status, after.status) for before, after in data.positions.changed] == [
        (PositionStatus.OPEN, PositionStatus.CLOSED)
    ]
    assert [one.symbol_id for one in data.positions.appeared] == [3]
    assert len(data.deals.appeared) == 2
    assert not data.orders.vanished
    assert client.account.orders[untouched].status == OrderStatus.PLACED
    assert state_of(client) is SyncState.CURRENT
    agree(client, simulator)


def cancel(simulator: Simulator) -> None:
    simulator.cancel_order(simulator.orders[0]["id"])


def place(simulator: Simulator) -> None:
    simulator.place_order(1, SideType.BUY, 1, type=OrderType.BUY_LIMIT, price=0.4)


def place_and_cancel(simulator: Simulator) -> None:
    place(simulator)
    simulator.cancel_order(simulator.orders[-1]["id"])


def close_position(simulator: Simulator) -> None:
    simulator.close_position(simulator.positions[0]["id"])


def close_partly(simulator: Simulator) -> None:
    simulator.close_position(simulator.positions[0]["id"], 1)


def open_position(simulator: Simulator) -> None:
    simulator.place_order(3, SideType.SELL, 1)


def correct_deal(simulator: Simulator) -> None:
    simulator.update_deal(simulator.deals[0]["id"], fee=2)


def move_price(simulator: Simulator) -> None:
    simulator.quote(1, 1.2)


@pytest.mark.parametrize(
    "happening",
    [cancel, place, place_and_cancel, close_position, close_partly, open_position, correct_deal, move_price],
)
@pytest.mark.parametrize("known_before", [True, False])
def test_an_older_snapshot_undoes_no_event(
    make_client: MakeClient, simulator: Simulator, happening: Callable[[Simulator], None], known_before: bool
) -> None:
    gate = Gate()
    simulator.place_order(1, SideType.BUY, 1, type=OrderType.BUY_LIMIT, price=0.5)
    simulator.place_order(1, SideType.BUY, 3)
    with Relay(simulator, gate) as relay:
        client = make_client(snapshot=True, http_url=relay.url)
        if known_before:
            client.connect()
            current(client)
        gate.closed = True
        if known_before:
            simulator.drop()
        else:
            client.connect()
        assert gate.waiting.wait(TIMEOUT)
        catch_up(client, simulator)
        assert state_of(client) is SyncState.LOADING
        happening(simulator)
        catch_up(client, simulator)
        with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT):
            gate.opened.set()
        agree(client, simulator)
        client.disconnect()


def test_a_snapshot_that_contradicts_itself_changes_nothing(
    make_client: MakeClient, simulator: Simulator
) -> None:
    broken = False

    def twice(path: str, status: int, body: bytes) -> Tuple[int, bytes]:
        if broken and path.endswith("/orders"):
            content = json.loads(body)
            first = content["data"][0]
            content["data"].append({**first, "comment": "another"})
            return status, json.dumps(content).encode()
        return status, body

    simulator.place_order(1, SideType.BUY, 1, type=OrderType.BUY_LIMIT, price=0.5)
    with Relay(simulator, twice) as relay:
        client = make_client(snapshot=True, http_url=relay.url)
        client.connect()
        current(client)
        before = client.account.orders
        broken = True
        with client.expect(ClientEventType.RESYNC_FAILED, timeout=TIMEOUT) as failed:
            client.resync()
        assert isinstance(failed.event.data, AnswerError)
        assert failed.event.data.path == "$.data[1]"
        status = client.account.status["orders"]
        assert client.account.orders == before
        assert status.state in (SyncState.STALE, SyncState.LOADING)
        broken = False
        current(client)
        agree(client, simulator)
        client.disconnect()


def test_what_the_server_tells_of_no_more_is_gone(make_client: MakeClient, simulator: Simulator) -> None:
    hidden = False

    def forget(path: str, status: int, body: bytes) -> Tuple[int, bytes]:
        if hidden and path.rpartition("/")[2] in ("orders", "positions", "history"):
            return status, json.dumps({**json.loads(body), "data": None}).encode()
        return status, body

    order = simulator.place_order(1, SideType.BUY, 1, type=OrderType.BUY_LIMIT, price=0.5)["id"]
    done = simulator.place_order(1, SideType.BUY, 1)["id"]
    with Relay(simulator, forget) as relay:
        client = make_client(snapshot=True, http_url=relay.url)
        client.connect()
        current(client)
        hidden = True
        with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT) as resynced:
            client.resync()
        assert [one.id for one in resynced.event.data.orders.vanished] == [order]
        assert len(resynced.event.data.positions.vanished) == 1
        # One that is over may have been forgotten by the server; it is history here.
        assert list(client.account.orders) == [done]
        assert not client.account.positions
        client.disconnect()


def test_a_server_without_these_calls(
    make_client: MakeClient, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: str, status: int, body: bytes) -> Tuple[int, bytes]:
        return (404, b"no such page") if "/trader/" in path else (status, body)

    with Relay(simulator, refuse) as relay:
        client = make_client(snapshot=True, http_url=relay.url)
        connect(client, simulator)
        with pytest.raises(NotFoundError):
            current(client)
        simulator.place_order(1, SideType.BUY, 1)
        catch_up(client, simulator)
        assert len(client.account.positions) == 1
        with client.expect(ClientEventType.RESYNC_FAILED, timeout=TIMEOUT):
            simulator.drop()
        said = [record for record in caplog.records if "does not offer" in record.getMessage()]
        assert len(said) == 1
        assert state_of(client) is SyncState.STALE
        client.disconnect()


def test_without_snapshot_nothing_is_asked_for(make_client: MakeClient, simulator: Simulator) -> None:
    simulator.place_order(1, SideType.BUY, 1)
    refusals: Dict[Type[OneTradeError], Dict[str, Any]] = {
        ConfigurationError: {"snapshot": False},
        AccountUpdatesStoppedError: {"snapshot": True, "account_updates": False},
    }
    for refusal, settings in refusals.items():
        client = make_client(**settings)
        client.connect()
        catch_up(client, simulator)
        with pytest.raises(refusal):
            client.wait_until_current(TIMEOUT)
        assert not client.account.orders
        assert state_of(client) is SyncState.STALE
        client.disconnect()
    assert not [request for request in simulator.requests if "/trader/" in request.path]


def test_in_manual_mode_waiting_delivers(make_client: MakeClient, simulator: Simulator) -> None:
    simulator.place_order(1, SideType.BUY, 1)
    client = make_client(snapshot=True, dispatch="manual")
    client.connect()
    assert not client.account.orders
    current(client)
    assert differences(client.account, simulator) == []


def test_disconnect_while_loading(make_client: MakeClient, simulator: Simulator) -> None:
    gate = Gate()
    gate.closed = True
    with Relay(simulator, gate) as relay:
        client = make_client(snapshot=True, http_url=relay.url)
        client.connect()
        assert gate.waiting.wait(TIMEOUT)
        client.disconnect()
        assert state_of(client) is SyncState.STALE
        assert not [
            thread for thread in threading.enumerate() if thread.name.startswith("onetrade-ws loading")
        ]
        gate.opened.set()


def test_a_loss_while_loading(make_client: MakeClient, simulator: Simulator) -> None:
    gate = Gate()
    gate.closed = True
    simulator.place_order(1, SideType.BUY, 1)
    with Relay(simulator, gate) as relay:
        client = make_client(snapshot=True, http_url=relay.url)
        client.connect()
        assert gate.waiting.wait(TIMEOUT)
        with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT):
            gate.closed = False
            simulator.reset()
        gate.opened.set()
        agree(client, simulator)
        client.disconnect()


def test_what_is_current_is_stale_once_the_client_is_closed(
    make_client: MakeClient, simulator: Simulator
) -> None:
    client = make_client(snapshot=True)
    client.connect()
    current(client)
    client.disconnect()
    assert {status.state for status in client.account.status.values()} == {SyncState.STALE}
    client.connect()
    current(client)
    assert {status.state for status in client.account.status.values()} == {SyncState.CURRENT}


def test_account_updates_stopped_and_started_again(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client(snapshot=True)
    connect(client, simulator)
    current(client)
    with client.expect(ClientEventType.RESYNC_FAILED, timeout=TIMEOUT) as stopped:
        client.stop_account_all()
    assert isinstance(stopped.event.data, AccountUpdatesStoppedError)
    assert state_of(client) is SyncState.STALE
    everything_sent(client, simulator)
    simulator.place_order(1, SideType.BUY, 1)
    with client.expect(ClientEventType.RESYNCED, timeout=TIMEOUT) as resynced:
        client.start_account_all()
    assert len(resynced.event.data.orders.appeared) == 1
    current(client)
    agree(client, simulator)


def test_account_updates_started_late(make_client: MakeClient, simulator: Simulator) -> None:
    simulator.place_order(1, SideType.BUY, 1)
    client = make_client(snapshot=True, account_updates=False)
    client.connect()
    client.start_account_all()
    current(client)
    agree(client, simulator)
