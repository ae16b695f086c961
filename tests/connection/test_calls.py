"""HTTP calls beside the WebSocket, answered badly, late, or not at all: a typed error or a stale mark, never half a
mirror; and the stream goes on."""

from __future__ import annotations

import gzip
import json
import logging
import random
import threading
import time
import traceback
import tracemalloc
from collections import deque
from datetime import datetime, timedelta, timezone
from email.utils import formatdate
from typing import Any, Callable, Deque, Dict, Iterator, List, Tuple, Type, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onetrade_ws import (
    AnswerError,
    Candle,
    ClientEventType,
    CollectionStatus,
    ConnectionLostError,
    ConnectTimeoutError,
    Event,
    EventStream,
    NetworkError,
    NotFoundError,
    OneTradeClient,
    OneTradeError,
    Order,
    OrderType,
    RateLimitedError,
    ReconnectPolicy,
    ServerError,
    SideType,
    SyncState,
)
from onetrade_ws.connection import link
from onetrade_ws.connection.answers import refusal
from onetrade_ws.connection.credentials import ACCESS_TOKEN, API_KEY, BEARER_TOKEN, SESSION_ID, Credentials
from onetrade_ws.connection.exchange import Exchange
from onetrade_ws.deadline import Deadline
from onetrade_ws.protocol.structure import structure
from onetrade_ws.simulator import Simulator
from tests.connection.conftest import (
    Background,
    MakeClient,
    MakeHostile,
    client_threads,
    connected,
    read_until,
    run_python,
)
from tests.connection.hostile import TIMEOUT, HostileServer, Peer, Script, free_port, passing_on

NOON = datetime(2024, 3, 5, 12, tzinfo=timezone.utc)
ALL = {"account", "orders", "positions", "deals", "symbols"}

#: Comes back at once, and gives a call up after three times.
THRICE = ReconnectPolicy(initial_delay=0.01, max_delay=0.02, max_attempts=3, stable_after=0.0)


def some_candles(client: OneTradeClient, **settings: Any) -> List[Candle]:
    return client.candles(1, NOON, NOON + timedelta(hours=5), 60, **settings)


def calls(simulator: Simulator) -> List[str]:
    """The calls below the trader's API that arrived."""
    return [
        request.path.partition("/trader/")[2] for request in simulator.requests if "/trader/" in request.path
    ]


def is_about_loading(event: Event) -> bool:
    return event.type in (ClientEventType.RESYNCED, ClientEventType.RESYNC_FAILED)


class Loaded:
    """A client whose mirror has been loaded from the simulator's books, which hold a little of everything."""

    def __init__(self, simulator: Simulator, make_client: MakeClient, **settings: Any) -> None:
        self.simulator = simulator
        simulator.place_order(1, SideType.BUY, 0.5)
        simulator.place_order(2, SideType.SELL, 0.5)
        simulator.place_order(1, SideType.BUY, 0.5, type=OrderType.BUY_LIMIT, price=1.05)
        simulator.close_position(simulator.positions[0]["id"])
        self.client = make_client(simulator, **{"snapshot": True, "reconnect": THRICE, **settings})
        # What the mirror holds and says of it when it could not be loaded: a moment later it is tried again.
        self._failures: Deque[Tuple[Dict[str, Any], Dict[str, CollectionStatus]]] = deque()
        self.client.subscribe(
            ClientEventType.RESYNC_FAILED,
            lambda _: self._failures.append((self.content(), self.client.account.status)),
        )
        self._events = self.client.events(
            ClientEventType.RESYNCED, ClientEventType.RESYNC_FAILED, "caught up", timeout=TIMEOUT
        )
        self.client.connect()
        assert self.outcome().type is ClientEventType.RESYNCED

    def load(self) -> Event:
        """Load again, and say what came of it."""
        self.client.resync()
        return self.outcome()

    def outcome(self) -> Event:
        """What came of loading, the next time."""
        return read_until(self._events, is_about_loading)[-1]

    def forget_failures(self) -> None:
        """The next one is what matters."""
        self.catch_up()
        self._failures.clear()

    def catch_up_with_a_snapshot(self) -> None:
        """Wait for the next one that can be loaded."""
        read_until(self._events, lambda event: event.type is ClientEventType.RESYNCED)

    def catch_up(self) -> None:
        """Wait until everything that the simulator has said has been delivered."""
        self.simulator.emit("caught up")
        read_until(self._events, lambda event: event.type == "caught up")

    def content(self) -> Dict[str, Any]:
        """What the mirror holds."""
        mirror = self.client.account
        return {name: getattr(mirror, name) for name in ALL}

    def check_stale(self, event: Event, content: Dict[str, Any]) -> OneTradeError:
        """It could not be loaded, and the mirror says so, and still is as it was."""
        assert event.type is ClientEventType.RESYNC_FAILED
        held, status = self._failures.popleft()
        assert held == content
        assert set(status) == ALL
        assert {each.state for each in status.values()} == {SyncState.STALE}
        assert {each.reason for each in status.values()} == {event.data}
        error: OneTradeError = event.data
        assert (error.__traceback__, error.__context__) == (None, None)
        return error

    def check_current(self) -> None:
        """It is as the simulator has it."""
        assert {each.state for each in self.client.account.status.values()} == {SyncState.CURRENT}
        assert {each.reason for each in self.client.account.status.values()} == {None}
        assert sorted(self.client.account.orders) == sorted(order["id"] for order in self.simulator.orders)


@pytest.fixture
def loaded(simulator: Simulator, make_client: MakeClient) -> Loaded:
    return Loaded(simulator, make_client)


# -- answers that make no sense ----------------------------------------------------------------------------------------

Body = Union[str, bytes]

NO_ENVELOPE: List[Tuple[Body, str]] = [
    (b"", "nothing at $"),
    ("<html>Please log in</html>", "malformed JSON"),
    (b"\xff", "not UTF-8"),
    ('{"data": [', "malformed JSON"),
    ("[" * 100_000, "nested too deeply"),
    ('{"data": NaN}', "NaN is not a number"),
    ('{"data": [1e999]}', "too large for a float"),
    ('{"data": "\\ud800"}', "half of a surrogate pair"),
    ("[]", "expected an envelope, got an array"),
    ("null", "expected an envelope, got null"),
    ('"data"', "expected an envelope, got a string"),
    ("{}", "required field missing at $.data"),
    ('{"success": true, "code": 200}', "required field missing at $.data"),
    ('{"success": "false", "data": null}', "expected a boolean, got a string at $.success"),
    ('{"success": null, "data": null}', "expected a boolean, got null at $.success"),
]


@pytest.mark.parametrize(("body", "words"), NO_ENVELOPE)
def test_no_envelope(simulator: Simulator, make_client: MakeClient, body: Body, words: str) -> None:
    simulator.refuse_calls(200, body=body, times=None)
    client = make_client(simulator)
    for step, call in (
        ("candles", lambda: some_candles(client)),
        ("symbols", lambda: client.subscribe_market("X")),
    ):
        with pytest.raises(AnswerError) as caught:
            call()
        assert caught.value.step == step
        assert words in str(caught.value)
    # Nothing that would be otherwise the next time.
    assert len(simulator.requests) == 2


PATHS = ["account", "orders", "orders/history", "positions", "positions/history", "deals", "symbols"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", ["nonsense", "{}", '{"data": 5}', '{"data": ["text"]}', '{"data": [{}]}'])
def test_a_snapshot_of_which_a_part_makes_no_sense(loaded: Loaded, path: str, body: str) -> None:
    before = loaded.content()
    loaded.simulator.refuse_calls(200, path=path, body=body)
    error = loaded.check_stale(loaded.load(), before)
    assert isinstance(error, AnswerError)
    assert error.step == path.replace("/", " ")
    # It is tried again by itself.
    assert loaded.outcome().type is ClientEventType.RESYNCED
    loaded.check_current()


def test_nothing_of_a_snapshot_counts_but_all_of_it(loaded: Loaded) -> None:
    """All but the last part of it are news, and right."""
    simulator = loaded.simulator
    simulator.refuse_calls(200, path="symbols", body='{"data": "none"}', times=None)
    before = loaded.content()
    error = loaded.check_stale(loaded.load(), before)
    assert isinstance(error, AnswerError)
    with loaded.client.expect(ClientEventType.GAP, timeout=TIMEOUT):
        simulator.freeze()
        simulator.drop()
        simulator.place_order(3, SideType.BUY, 1)
        simulator.deposit(5)
        simulator.thaw()
    loaded.forget_failures()
    loaded.check_stale(loaded.outcome(), before)
    # Events count all the while.
    simulator.wait_until_subscribed()
    order = simulator.place_order(4, SideType.SELL, 1)
    loaded.catch_up()
    assert order["id"] in loaded.client.account.orders
    simulator.allow()
    loaded.catch_up_with_a_snapshot()
    loaded.check_current()


def wrong(path: str, simulator: Simulator) -> Iterator[Tuple[Any, str]]:
    """Data for a list that are wrong in one place, and that place."""
    good = [dict(one) for one in getattr(simulator, path)]
    first, second = good[:2]
    yield {"0": first}, "$.data"
    yield [first, None], "$.data[1]"
    yield [first, [second]], "$.data[1]"
    yield [{**first, "id": str(first["id"])}], "$.data[0].id"
    yield [{**first, "id": None}], "$.data[0].id"
    yield [{**first, "id": 1.5}], "$.data[0].id"
    yield [second, {name: value for name, value in first.items() if name != "id"}], "$.data[1].id"
    yield [first, second, {**first, "extra field": 1}], "$.data[2]"
    if path == "symbols":
        yield [first, {**second, "symbol": 5}], "$.data[1].symbol"
        yield [first, {**second, "digits": "5"}], "$.data[1].digits"
        yield [first, second, {**first, "symbol": second["symbol"]}], "$.data[2]"
    else:
        yield [{**first, "symbol_id": True}], "$.data[0].symbol_id"
        yield [first, {**second, "symbol": {"id": 5}}], "$.data[1].symbol.symbol"
        yield [first, {**second, "symbol": {**first["symbol"], "digits": [5]}}], "$.data[1].symbol.digits"
        yield [first, {**second, "created_at": "yesterday"}], "$.data[1].created_at"
        yield [first, {**second, "side": "BUY"}], "$.data[1].side"
        yield [first, second, {**first, "comment": "another one"}], "$.data[2]"


@pytest.mark.parametrize("path", ["orders", "positions", "deals", "symbols"])
def test_wrong_types_inside(loaded: Loaded, path: str) -> None:
    before = loaded.content()
    for data, place in wrong(path, loaded.simulator):
        body = json.dumps({"success": True, "code": 200, "data": data})
        # Of orders and positions, the history would otherwise be the first that begins so.
        loaded.simulator.refuse_calls(200, path=path, body=body)
        error = loaded.check_stale(loaded.load(), before)
        assert isinstance(error, AnswerError)
        assert (error.step, error.path) == (path, place), data
        assert loaded.outcome().type is ClientEventType.RESYNCED
    loaded.check_current()


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (None, "$.data"),
        ([], "$.data"),
        ({"balance": "1000"}, "$.data.balance"),
        ({"id": 1.5}, "$.data.id"),
        ({"id": 1, "currency": 5}, "$.data.currency"),
    ],
)
def test_an_account_that_is_none(loaded: Loaded, data: Any, place: str) -> None:
    before = loaded.content()
    loaded.simulator.refuse_calls(200, path="account", body=json.dumps({"data": data}))
    error = loaded.check_stale(loaded.load(), before)
    assert isinstance(error, AnswerError)
    assert (error.step, error.path) == ("account", place)


def test_the_same_object_twice_is_there_once(loaded: Loaded) -> None:
    simulator = loaded.simulator
    for path in ("orders", "positions", "deals", "symbols"):
        found = [dict(one) for one in getattr(simulator, path)]
        simulator.refuse_calls(200, path=path, body=json.dumps({"data": [*found, *found]}))
    assert loaded.load().type is ClientEventType.RESYNCED
    loaded.check_current()
    assert len(loaded.client.account.symbols) == len(simulator.symbols)


def test_a_first_snapshot_that_makes_no_sense(simulator: Simulator, make_client: MakeClient) -> None:
    simulator.place_order(1, SideType.BUY, 0.5)
    simulator.refuse_calls(200, path="deals", body="nonsense")
    client = make_client(simulator, snapshot=True)
    stream = client.events(ClientEventType.RESYNCED, ClientEventType.RESYNC_FAILED, timeout=TIMEOUT)
    seen: List[Any] = []
    client.subscribe(
        ClientEventType.RESYNC_FAILED,
        lambda event: seen.append((client.account.orders, client.account.account)),
    )
    client.connect()
    assert [next(stream).type, next(stream).type] == [ClientEventType.RESYNC_FAILED, ClientEventType.RESYNCED]
    assert seen == [({}, None)]
    assert len(client.account.orders) == 1


# -- answers that do not come, or not whole ----------------------------------------------------------------------------


def half_a_body(peer: Peer) -> None:
    peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"success": true, "data": []}')
    peer.finish()


def half_a_body_and_a_reset(peer: Peer) -> None:
    peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"success": true, "data": []}')
    peer.reset()


def half_of_the_chunks(peer: Peer) -> None:
    peer.send(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1d\r\n{"success": true, "data": []}\r\n')
    peer.finish()


def half_a_gzip(peer: Peer) -> None:
    packed = gzip.compress(json.dumps({"success": True, "data": list(range(1000))}).encode())
    peer.answer(200, packed[:-10], headers="Content-Encoding: gzip\r\n")


def endless_head(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        peer.send(b"X-Filler: " + b"x" * 1000 + b"\r\n")


def not_http(peer: Peer) -> None:
    peer.send(b"SSH-2.0-OpenSSH_9.6\r\n")
    peer.read_until_end()


NO_ANSWERS = [
    half_a_body, half_a_body_and_a_reset, half_of_the_chunks, half_a_gzip, endless_head, not_http,
    Peer.close, Peer.reset, Peer.finish,
]  # fmt: skip


@pytest.mark.parametrize("script", NO_ANSWERS)
def test_an_answer_that_is_none(hostile: MakeHostile, make_client: MakeClient, script: Script) -> None:
    server: HostileServer = hostile(http=script)
    with pytest.raises(NetworkError) as caught:
        some_candles(make_client(server, reconnect=None))
    assert (caught.value.step, caught.value.host) == ("candles", server.address)
    assert len(server.requests) == 1
    # It may pass.
    with pytest.raises(NetworkError):
        some_candles(make_client(server, reconnect=THRICE))
    assert len(server.requests) == 4


@pytest.mark.parametrize("script", [half_a_body, Peer.reset])
@pytest.mark.parametrize("path", ["orders/history", "symbols"])
def test_a_snapshot_of_which_a_part_does_not_come(
    simulator: Simulator, hostile: MakeHostile, make_client: MakeClient, script: Script, path: str
) -> None:
    broken: Dict[str, Script] = {}
    server: HostileServer = hostile(http=passing_on(f"127.0.0.1:{simulator.port}", broken))
    loaded = Loaded(simulator, make_client, http_url=server.http_url)
    broken[f"trader/{path}"] = script
    before, requests = loaded.content(), len(server.requests)
    error = loaded.check_stale(loaded.load(), before)
    assert isinstance(error, NetworkError)
    assert error.step == path.replace("/", " ")
    loaded.catch_up()
    asked = [request.target.partition("/trader/")[2] for request in tuple(server.requests)[requests:]]
    # Whatever is tried again is begun anew, for one moment's answer says nothing beside another's.
    again = asked.index("orders", 1) if "orders" in asked[1:] else len(asked)
    assert asked[:again].count(path) == 1
    broken.clear()
    loaded.catch_up_with_a_snapshot()
    loaded.check_current()


def test_a_snapshot_that_never_ends(
    simulator: Simulator, hostile: MakeHostile, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: Dict[str, Script] = {}
    server: HostileServer = hostile(http=passing_on(f"127.0.0.1:{simulator.port}", broken))
    loaded = Loaded(simulator, make_client, http_url=server.http_url)
    broken["trader/deals"] = drip_a_body
    monkeypatch.setattr(link, "_LOADING", 0.3)
    before = loaded.content()
    error = loaded.check_stale(loaded.load(), before)
    assert isinstance(error, NetworkError)
    assert "in time" in error.reason
    loaded.catch_up()


def test_disconnect_does_not_wait_for_a_snapshot(
    simulator: Simulator, hostile: MakeHostile, make_client: MakeClient
) -> None:
    scripts: Dict[str, Script] = {"trader/deals": Peer.hold}
    server: HostileServer = hostile(http=passing_on(f"127.0.0.1:{simulator.port}", scripts))
    client = make_client(simulator, http_url=server.http_url, snapshot=True)
    client.connect()
    server.wait_for(lambda server: "deals" in server.requests[-1].target)
    client.disconnect(TIMEOUT)
    assert client_threads() == []
    assert [thread.name for thread in threading.enumerate() if "onetrade-ws HTTP" in thread.name] == []


def drip_a_body(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        peer.send(b" ")
        peer.pause(0.01)


def drip_a_head(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nX-Filler: ")
    while True:
        peer.send(b" ")
        peer.pause(0.01)


def send_after_all(peer: Peer) -> None:
    """An answer that is whole, and a connection that does not end."""
    body = b'{"data": []}'
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    peer.hold()


@pytest.mark.parametrize("script", [drip_a_body, drip_a_head, Peer.hold])
def test_an_answer_that_does_not_come_in_time(
    hostile: MakeHostile, make_client: MakeClient, script: Script
) -> None:
    server: HostileServer = hostile(http=script)
    with pytest.raises(NetworkError, match="no answer in time"):
        some_candles(make_client(server), timeout=0.2)


def test_an_answer_that_is_whole_is_enough(hostile: MakeHostile, make_client: MakeClient) -> None:
    assert some_candles(make_client(hostile(http=send_after_all))) == []


def too_large(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
    while True:
        peer.send(b" " * 1_000_000)


def too_large_in_chunks(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        peer.send(b"100000\r\n" + b" " * 0x100000 + b"\r\n")


def a_bomb(peer: Peer) -> None:
    body = gzip.compress(b" " * 100_000_000)
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    peer.read_until_end()


@pytest.mark.parametrize("script", [too_large, too_large_in_chunks, a_bomb])
def test_an_answer_that_is_too_large(hostile: MakeHostile, make_client: MakeClient, script: Script) -> None:
    server: HostileServer = hostile(http=script)
    client = make_client(server)
    tracemalloc.start()
    try:
        with pytest.raises(AnswerError, match="more than 67108864 bytes") as caught:
            some_candles(client, timeout=TIMEOUT)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.step == "candles"
    assert most < 3 * 67_108_864
    # It would be as large again.
    assert len(server.requests) == 1


def test_of_a_refusal_the_beginning_will_do(hostile: MakeHostile, make_client: MakeClient) -> None:
    def script(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 404 No\r\nContent-Length: 1000000000000\r\n\r\nno such thing ")
        while True:
            peer.send(b"x" * 100_000)

    with pytest.raises(NotFoundError, match="no such thing") as caught:
        some_candles(make_client(hostile(http=script)))
    assert len(caught.value.message) < 300


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(
    simulator: Simulator, hostile: MakeHostile, make_client: MakeClient, status: int
) -> None:
    target: HostileServer = hostile()
    simulator.refuse_calls(status, "moved", headers={"Location": f"{target.http_url}/x"}, times=None)
    with pytest.raises(ServerError) as caught:
        some_candles(make_client(simulator))
    assert caught.value.status == status
    assert len(simulator.requests) == 1
    assert target.accepted == 0


@pytest.mark.parametrize("status", [400, 404, 405, 409, 410, 422])
def test_what_will_not_pass_is_asked_for_once(
    simulator: Simulator, make_client: MakeClient, status: int
) -> None:
    simulator.refuse_calls(status, "no", times=None)
    with pytest.raises(ServerError, match="no") as caught:
        some_candles(make_client(simulator))
    assert (caught.value.step, caught.value.status) == ("candles", status)
    assert isinstance(caught.value, NotFoundError) == (status == 404)
    assert len(simulator.requests) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599, 429])
def test_what_may_pass_is_asked_for_again(
    simulator: Simulator, make_client: MakeClient, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.refuse_calls(status, "busy", times=2)
    assert len(some_candles(make_client(simulator))) == 6
    assert len(simulator.requests) == 3
    said = [
        record.getMessage() for record in caplog.records if record.name.startswith("onetrade_ws.connection")
    ]
    assert len(said) == 2
    assert all(f"HTTP {status}: busy; trying again " in line for line in said)


@pytest.mark.parametrize("status", [500, 429])
@pytest.mark.parametrize(("policy", "attempts"), [(None, 1), (THRICE, 3)])
def test_the_policy_says_how_often(
    simulator: Simulator, make_client: MakeClient, status: int, policy: Any, attempts: int
) -> None:
    simulator.refuse_calls(status, "busy", times=None)
    with pytest.raises(ServerError) as caught:
        some_candles(make_client(simulator, reconnect=policy))
    assert caught.value.status == status
    assert len(simulator.requests) == attempts


class Slow(ReconnectPolicy):
    """Comes back long after everybody has gone."""

    def delay(self, attempt: int, draw: Callable[[], float] = random.random) -> float:
        return 3600.0


def test_what_does_not_pass_in_time(simulator: Simulator, make_client: MakeClient) -> None:
    simulator.refuse_calls(500, "busy", times=None)
    with pytest.raises(ServerError, match="busy"):
        some_candles(make_client(simulator, reconnect=Slow()), timeout=TIMEOUT)
    assert len(simulator.requests) == 1
    with pytest.raises((ServerError, NetworkError)):
        some_candles(make_client(simulator), timeout=0.1)


def test_a_snapshot_that_is_refused(loaded: Loaded) -> None:
    before = loaded.content()
    loaded.simulator.refuse_calls(500, "down", path="positions")
    error = loaded.check_stale(loaded.load(), before)
    assert isinstance(error, ServerError)
    assert (error.step, error.status) == ("positions", 500)
    assert loaded.outcome().type is ClientEventType.RESYNCED
    loaded.check_current()


def test_a_snapshot_without_a_policy_is_not_tried_again(
    simulator: Simulator, make_client: MakeClient
) -> None:
    loaded = Loaded(simulator, make_client, reconnect=None)
    simulator.refuse_calls(500, "down", path="deals")
    loaded.check_stale(loaded.load(), loaded.content())
    count = len(simulator.requests)
    loaded.catch_up()
    assert len(simulator.requests) == count
    assert loaded.load().type is ClientEventType.RESYNCED


# -- Retry-After -------------------------------------------------------------------------------------------------------


def waited(simulator: Simulator) -> float:
    """Seconds between the last two requests."""
    before, after = simulator.requests[-2:]
    return after.at - before.at


@pytest.mark.parametrize("status", [429, 503])
def test_seconds_to_wait_are_waited(simulator: Simulator, make_client: MakeClient, status: int) -> None:
    simulator.refuse_calls(status, "slowly", headers={"Retry-After": "1"})
    assert len(some_candles(make_client(simulator))) == 6
    assert waited(simulator) >= 0.99


def test_a_date_is_waited_for(simulator: Simulator, make_client: MakeClient) -> None:
    # In whole seconds.
    date = int(time.time()) + 2
    simulator.refuse_calls(429, "slowly", headers={"Retry-After": formatdate(date, usegmt=True)})
    assert len(some_candles(make_client(simulator))) == 6
    assert simulator.requests[-1].at >= date - 0.01


@pytest.mark.parametrize(("status", "kind"), [(429, RateLimitedError), (503, ServerError)])
@pytest.mark.parametrize("wait", ["3600", "9" * 30, "9" * 5000, "Thu, 31 Dec 2099 00:00:00 GMT"])
def test_what_would_take_too_long_is_not_waited_for(
    simulator: Simulator, make_client: MakeClient, status: int, kind: Type[ServerError], wait: str
) -> None:
    simulator.refuse_calls(status, "much later", headers={"Retry-After": wait}, times=None)
    with pytest.raises(kind, match="much later") as caught:
        some_candles(make_client(simulator), timeout=TIMEOUT)
    assert caught.value.retry_after is not None
    assert caught.value.retry_after >= 3600
    assert len(simulator.requests) == 1


@pytest.mark.parametrize(
    "wait", ["", "soon", "-5", "1.5", "0", "Mon, 01 Jan 2001 00:00:00 GMT", "1 Jan , 10:00 GMT"]
)
def test_nothing_to_wait_for(simulator: Simulator, make_client: MakeClient, wait: str) -> None:
    simulator.refuse_calls(429, headers={"Retry-After": wait} if wait else None)
    assert len(some_candles(make_client(simulator))) == 6


DATES = ["Mon,", "1", "Jan", ",", "31", "99999", "0", "10:00", ":", "1:0:0:0", "GMT", "+9999", "-", "("]


@given(
    st.one_of(
        st.text(max_size=50),
        st.text("0123456789", max_size=400),
        st.lists(
            st.sampled_from(
                [
                    "Mon,",
                    "1",
                    "Jan",
                    ",",
                    "31",
                    "99999",
                    "0",
                    "10:00",
                    ":",
                    "10:00:00:00",
                    "GMT",
                    "+9999",
                    "-",
                    "(",
                    ".",
                ]
            ),
            max_size=7,
        ).map(" ".join),
    )
)
def test_any_retry_after_is_read_or_is_none(text: str) -> None:
    error = refusal("candles", 429, b"", Credentials(), text)
    assert isinstance(error, RateLimitedError)
    assert error.retry_after is None or error.retry_after >= 0
    assert str(error)


@pytest.mark.parametrize("status", [200, 307, 400, 401, 403, 404, 429, 500, 503])
@pytest.mark.parametrize("words", ["no", "session is already used"])
def test_any_refusal_may_say_how_long_to_wait(status: int, words: str) -> None:
    body = json.dumps({"success": False, "message": words}).encode()
    error = refusal("candles", status, body, Credentials(), "5")
    assert error is not None
    assert error.retry_after == 5


@pytest.mark.parametrize(("status", "kind"), [(429, RateLimitedError), (503, ServerError)])
def test_a_snapshot_is_asked_for_again_when_the_server_says(
    simulator: Simulator,
    make_client: MakeClient,
    status: int,
    kind: Type[ServerError],
    caplog: pytest.LogCaptureFixture,
) -> None:
    loaded = Loaded(simulator, make_client)
    # Longer than a snapshot may take: it is the next one that has to wait.
    simulator.refuse_calls(status, "slowly", path="deals", headers={"Retry-After": "3600"}, times=None)
    error = loaded.check_stale(loaded.load(), loaded.content())
    assert isinstance(error, kind)
    simulator.allow()
    assert loaded.load().type is ClientEventType.RESYNCED
    # By now it has said how long it would have waited.
    (line,) = [record.getMessage() for record in caplog.records if record.name == "onetrade_ws.account"]
    assert line.endswith("trying again in 3600.0 s")


DOORS = ["login", "validation", "handshake"]

each_door = pytest.mark.parametrize("door", DOORS)


def refuse_at(simulator: Simulator, door: str, status: int, retry_after: str) -> None:
    """Refuse all who come to one door, and say for how long."""
    refuse = getattr(simulator, f"refuse_{door}")
    refuse(status, "slowly", headers={"Retry-After": retry_after}, times=None)


def steps(simulator: Simulator) -> List[str]:
    """At which doors somebody was."""
    doors = {"login": "login", simulator.session_id: "validation", "v1": "handshake"}
    return [doors[request.path.rpartition("/")[2]] for request in simulator.requests]


@each_door
def test_connect_waits_as_long_as_the_server_asks(
    simulator: Simulator, make_client: MakeClient, door: str
) -> None:
    client = make_client(simulator, api_key=simulator.api_key)
    refuse = getattr(simulator, f"refuse_{door}")
    refuse(503, "slowly", headers={"retry-AFTER": " 1 "})
    client.connect()
    refused = DOORS.index(door)
    before, after = simulator.requests[refused : refused + 2]
    assert after.at - before.at >= 0.99
    assert len(simulator.requests) <= 5


@each_door
@pytest.mark.parametrize(("status", "kind"), [(429, RateLimitedError), (503, ServerError)])
def test_connect_does_not_wait_for_what_would_come_too_late(
    simulator: Simulator, make_client: MakeClient, door: str, status: int, kind: Type[ServerError]
) -> None:
    refuse_at(simulator, door, status, "3600")
    client = make_client(simulator, api_key=simulator.api_key)
    # So long nobody waits for the result.
    error = Background(lambda: client.connect(timeout=3600)).error()
    assert isinstance(error, ConnectTimeoutError)
    assert error.attempts == 1
    assert isinstance(error.last_error, kind)
    assert error.last_error.retry_after == 3600
    assert steps(simulator) == DOORS[: DOORS.index(door) + 1]
    assert client_threads() == []


@each_door
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("asked", "waited_for"), [("120", 120.0), ("86400", 3600.0), ("9" * 400, 3600.0)])
def test_reconnecting_waits_as_long_as_the_server_asks(
    simulator: Simulator,
    make_client: MakeClient,
    door: str,
    status: int,
    asked: str,
    waited_for: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = make_client(simulator, api_key=simulator.api_key)
    stream = connected(client, ClientEventType.RECONNECTING)
    if door == "login":
        simulator.refuse_validation(401, "expired")
    refuse_at(simulator, door, status, asked)
    simulator.drop()
    refused = read_until(stream, lambda event: isinstance(getattr(event.data, "reason", None), ServerError))
    told = refused[-1].data
    assert (told.reason.status, told.reason.message) == (status, "slowly")
    assert told.reason.retry_after == float(asked)
    # As long as it says.
    assert told.delay == waited_for
    assert f"reconnecting in {waited_for:.1f} s" in caplog.text
    # Whatever it waits for, it can be ended.
    client.disconnect()
    assert client_threads() == []


# -- the stream goes on ------------------------------------------------------------------------------------------------


def test_events_come_while_a_call_waits(
    simulator: Simulator, hostile: MakeHostile, make_client: MakeClient
) -> None:
    go_on = threading.Event()
    answer = passing_on(f"127.0.0.1:{simulator.port}", {})

    def wait(peer: Peer) -> None:
        go_on.wait(TIMEOUT)
        answer(peer)

    server: HostileServer = hostile(http=passing_on(f"127.0.0.1:{simulator.port}", {"ticks": wait}))
    client = make_client(simulator, http_url=server.http_url)
    stream: EventStream = connected(client, "news")
    calling = Background(lambda: some_candles(client))
    server.wait_for(lambda server: "ticks" in server.requests[-1].target)
    for number in range(100):
        simulator.emit("news", number)
    assert [next(stream).data for _ in range(100)] == list(range(100))
    go_on.set()
    assert len(calling.result()) == 6


def test_disconnect_ends_a_call(simulator: Simulator, hostile: MakeHostile, make_client: MakeClient) -> None:
    held: Dict[str, Script] = {"ticks": Peer.read_until_end}
    server: HostileServer = hostile(http=passing_on(f"127.0.0.1:{simulator.port}", held))
    client = make_client(simulator, http_url=server.http_url)
    begins: List[Callable[[], None]] = [client.connect, lambda: None]
    for count, begin in enumerate(begins, 1):
        begin()
        calling = Background(lambda: some_candles(client, timeout=TIMEOUT))
        server.wait_for(
            lambda server: sum("ticks" in request.target for request in tuple(server.requests)) == count  # noqa: B023
        )
        client.disconnect()
        with pytest.raises(ConnectionLostError, match="disconnect"):
            calling.result()
    held.clear()
    # None of them is part of a connection.
    assert len(some_candles(client)) == 6


def test_a_load_that_a_loss_interrupts_says_what_was_lost(
    simulator: Simulator, hostile: MakeHostile, make_client: MakeClient
) -> None:
    held: Dict[str, Script] = {"trader/deals": Peer.read_until_end}
    api: HostileServer = hostile(http=passing_on(f"127.0.0.1:{simulator.port}", held))
    client = make_client(simulator, snapshot=True, http_url=api.http_url)
    stream = client.events(ClientEventType.RESYNC_FAILED, ClientEventType.RECONNECTING, timeout=TIMEOUT)
    client.connect()
    api.wait_for(lambda server: "trader/deals" in server.requests[-1].target)
    simulator.drop()
    failed, reconnecting = next(stream), next(stream)
    assert (failed.type, reconnecting.type) == (ClientEventType.RESYNC_FAILED, ClientEventType.RECONNECTING)
    assert isinstance(failed.data, ConnectionLostError)
    assert str(failed.data) == str(reconnecting.data.reason)


def test_calls_on_many_threads(simulator: Simulator, make_client: MakeClient) -> None:
    client = make_client(simulator)
    client.connect()
    together = threading.Barrier(8)

    def call(symbol_id: int) -> List[Candle]:
        together.wait(TIMEOUT)
        return client.candles(symbol_id, NOON, NOON + timedelta(hours=5), 60)

    at_once = [Background(lambda symbol_id=number: call(symbol_id)) for number in range(1, 9)]  # type: ignore[misc]
    found = [one.result() for one in at_once]
    assert found == [client.candles(number, NOON, NOON + timedelta(hours=5), 60) for number in range(1, 9)]


def test_a_server_that_is_not_there(make_client: MakeClient, simulator: Simulator) -> None:
    sock, port = free_port()
    try:
        for policy in (None, THRICE):
            client = make_client(simulator, http_url=f"http://127.0.0.1:{port}", reconnect=policy)
            with pytest.raises(NetworkError) as caught:
                some_candles(client)
            assert (caught.value.step, caught.value.host) == ("candles", f"127.0.0.1:{port}")
    finally:
        sock.close()


INTERRUPTED = """
import signal, socket, threading
from datetime import datetime, timezone
from onetrade_ws import OneTradeClient

# A shell may have it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
silent = socket.create_server(("127.0.0.1", 0))
conversations = []

def listen():
    conversation, _ = silent.accept()
    conversations.append(conversation)
    conversation.recv(65536)
    conversation.sendall(HEAD)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

listener = threading.Thread(target=listen)
listener.start()
client = OneTradeClient("ws://127.0.0.1:%d" % silent.getsockname()[1], CREDENTIALS, connect_timeout=40)
try:
    client.candles(1, datetime(2024, 1, 1, tzinfo=timezone.utc))
except KeyboardInterrupt:
    listener.join()
    print("interrupted", [thread.name for thread in threading.enumerate()])
    # Nobody waits for a login that was interrupted.
    try:
        client.candles(1, datetime(2024, 1, 1, tzinfo=timezone.utc), timeout=0)
    except Exception as error:
        print(error.reason)
for sock in [silent, *conversations]:
    sock.close()
"""


@pytest.mark.parametrize(
    "head", [b"", b"HTTP/1.1 200 OK\r\nX-", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"]
)
@pytest.mark.parametrize("credentials", ['session_id="s", access_token="t"', 'api_key="k"'])
def test_ctrl_c_leaves_nothing(head: bytes, credentials: str) -> None:
    finished = run_python(INTERRUPTED.replace("HEAD", repr(head)).replace("CREDENTIALS", credentials))
    assert finished.stderr == ""
    assert finished.stdout == "interrupted ['MainThread']\nno answer in time\n"
    assert finished.returncode == 0


# -- secrets -----------------------------------------------------------------------------------------------------------

SESSION = "canary/session+id=="
TOKEN = "canary/access+token=="
KEY = "canary/api+key=="
QUOTED = f"GET with Bearer {TOKEN} for {SESSION}"

FAULTS: List[Tuple[Dict[str, Any], Type[OneTradeError]]] = [
    *(({"status": status, "message": QUOTED}, ServerError) for status in (302, 400, 401, 403, 404, 429, 500)),
    ({"status": 500, "body": QUOTED}, ServerError),
    (
        {"status": 500, "body": gzip.compress(QUOTED.encode()), "headers": {"Content-Encoding": "gzip"}},
        ServerError,
    ),
    *(
        ({"status": status, "message": QUOTED, "headers": {"Retry-After": wait}}, ServerError)
        for status in (429, 503)
        for wait in (QUOTED, "3600")
    ),
    ({"status": 200, "body": {"success": False, "code": 500, "message": QUOTED}}, ServerError),
    ({"status": 200, "body": {"success": False, "error": QUOTED}}, ServerError),
    ({"status": 200, "body": QUOTED}, AnswerError),
    ({"status": 200, "body": {"success": QUOTED}}, AnswerError),
    ({"status": 200, "body": {QUOTED: QUOTED}}, AnswerError),
    ({"status": 200, "body": {"data": QUOTED}}, AnswerError),
    ({"status": 200, "body": {"data": [{"id": QUOTED, "time": QUOTED, QUOTED: 1}]}}, AnswerError),
    ({"status": 200, "body": {"data": [{QUOTED: {"id": 1}}]}}, AnswerError),
    ({"status": 200, "body": '{"data": "\\ud800 ' + QUOTED + '"}'}, AnswerError),
    ({"status": 200, "body": QUOTED.encode() + b"\xff"}, AnswerError),
    ({"status": 200, "body": QUOTED, "headers": {"Content-Encoding": QUOTED}}, NetworkError),
    ({"status": 200, "body": f"{QUOTED}\r\n", "headers": {"Transfer-Encoding": "chunked"}}, NetworkError),
]


def shown(error: BaseException) -> str:
    """Everything that a program, a log or a tool for crashes could show of an error."""
    parts = [str(error), repr(error), repr(error.args), repr(vars(error))]
    parts += traceback.format_exception(type(error), error, error.__traceback__)
    frames = traceback.walk_tb(error.__traceback__)
    parts += [repr(frame.f_locals) for frame, _ in frames if "onetrade_ws" in frame.f_code.co_filename]
    parts += [shown(one) for one in (error.__cause__, error.__context__) if one is not None]
    return "\n".join(parts)


@pytest.mark.parametrize(("fault", "kind"), FAULTS)
@pytest.mark.parametrize("with_key", [False, True])
def test_no_error_and_no_log_shows_a_secret(
    make_client: MakeClient,
    fault: Dict[str, Any],
    kind: Type[OneTradeError],
    with_key: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with Simulator(live=False, session_id=SESSION, access_token=TOKEN, api_key=KEY) as server:
        settings = {"api_key": KEY} if with_key else {}
        client = make_client(server, reconnect=THRICE, snapshot=True, **settings)
        order = structure(server.place_order(1, SideType.BUY, 1, fill=False), Order)
        server.refuse_calls(times=None, **fault)
        problems: List[BaseException] = []
        asking: List[Callable[[], object]] = [
            lambda: some_candles(client, timeout=TIMEOUT),
            lambda: client.subscribe_market("EURUSD"),
            lambda: client.answer_requote(order, accept=True, timeout=TIMEOUT),
        ]
        for call in asking:
            try:
                call()
            except OneTradeError as error:
                problems.append(error)
        # Of an answer to a requote, no data are wanted.
        assert len(problems) >= 2
        assert isinstance(problems[0], kind)
        stream = client.events(ClientEventType.RESYNC_FAILED, timeout=TIMEOUT)
        client.connect()
        problems.append(next(stream).data)
        status = repr(client.account.status)
        client.disconnect()
    for problem in problems:
        assert "canary" not in shown(problem)
    assert "canary" not in status + caplog.text


@pytest.mark.parametrize("text", ["&amp;", "%25\\"])
def test_a_long_message_is_not_searched_to_its_end(
    simulator: Simulator, make_client: MakeClient, text: str
) -> None:
    message = text * (40_000_000 // len(text))
    simulator.refuse_calls(200, body={"success": False, "code": 400, "message": message})
    client = make_client(simulator, access_token="&amp;" * 100)
    started = time.thread_time()
    with pytest.raises(ServerError) as caught:
        some_candles(client, timeout=TIMEOUT)
    took = time.thread_time() - started
    assert len(str(caught.value)) < 300
    # What it takes to read it, twice.
    started = time.thread_time()
    for _ in range(2):
        json.loads(json.dumps(message))
    assert took < 3 * (time.thread_time() - started) + 1


def test_placeholders_in_a_body_stay(hostile: MakeHostile) -> None:
    bodies: List[bytes] = []

    def script(peer: Peer) -> None:
        bodies.append(peer.read_body())
        peer.answer(200, "fine")

    server: HostileServer = hostile(http=script)
    content = f"{ACCESS_TOKEN} {BEARER_TOKEN} {SESSION_ID} {API_KEY}".encode()
    credentials = Credentials(SESSION, TOKEN, KEY)
    for body in (content, content * 10_000):
        answer = Exchange(None).request(
            "test",
            "POST",
            f"{server.http_url}/?{SESSION_ID}",
            {"Authorization": f"Bearer {BEARER_TOKEN}"},
            credentials,
            Deadline(TIMEOUT),
            content=body,
            limit=4,
        )
        assert (answer.status, answer.body) == (200, b"fine")
    assert bodies == [content, content * 10_000]
    assert "canary" in server.requests[0].target
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
