"""The answer to a requote: taken, refused, too late, or nobody knows; and never given twice."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from typing import Any, Callable, Dict, List

import attrs
import pytest

from onetrade_ws import (
    AnswerError,
    AuthenticationError,
    ConnectionLostError,
    EventMessageType,
    NetworkError,
    OneTradeClient,
    OneTradeError,
    Order,
    OrderStatus,
    OutcomeUnknownError,
    RateLimitedError,
    RequoteOverError,
    RequoteRefusedError,
    ServerError,
    SideType,
    UnknownOrderError,
)
from onetrade_ws.protocol.structure import structure
from onetrade_ws.simulator import Simulator
from tests.client.background import Background
from tests.client.conftest import MakeClient
from tests.client.conversation import TIMEOUT, catch_up, connect
from tests.connection.hostile import HostileServer, Peer, free_port, passing_on

APPROVAL = "/approval"
NOON = datetime(2024, 3, 5, 12, tzinfo=timezone.utc)


def requoted(simulator: Simulator) -> Order:
    """An order that waits for an answer, as the simulator has it."""
    order = simulator.place_order(1, SideType.BUY, 0.5, fill=False)
    return structure(simulator.requote_order(order["id"], 1.1), Order)


def answers(simulator: Simulator) -> List[Any]:
    """The answers to requotes that arrived."""
    return [request for request in simulator.requests if request.path.endswith(APPROVAL)]


def status_of(simulator: Simulator, order: Order) -> int:
    return int(next(each["status"] for each in simulator.orders if each["id"] == order.id))


# -- taken -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "event_type", "status"),
    [
        (True, EventMessageType.ORDERS_UPDATE, OrderStatus.FILLED),
        (False, EventMessageType.ORDERS_CANCEL, OrderStatus.CANCELED),
    ],
)
def test_what_comes_of_it_events_say(
    client: OneTradeClient,
    simulator: Simulator,
    accept: bool,
    event_type: EventMessageType,
    status: OrderStatus,
) -> None:
    with client.expect(EventMessageType.ORDERS_REQUOTED, timeout=TIMEOUT) as offered:
        requoted(simulator)
    order = offered.event.data
    assert order.price_order == 1.1
    with client.expect(event_type, timeout=TIMEOUT) as outcome:
        client.answer_requote(order, accept)
    assert (outcome.event.data.id, outcome.event.data.status) == (order.id, status)
    assert client.account.orders[order.id].status == status
    catch_up(client, simulator)
    assert [each.price_open for each in client.account.open_positions.values()] == ([1.1] if accept else [])


def test_in_a_callback(client: OneTradeClient, simulator: Simulator) -> None:
    client.subscribe(
        EventMessageType.ORDERS_REQUOTED, lambda event: client.answer_requote(event.data, accept=True)
    )
    with client.expect(EventMessageType.POSITIONS_OPEN, timeout=TIMEOUT) as opened:
        requoted(simulator)
    assert opened.event.data.price_open == 1.1


@pytest.mark.parametrize("accept", [True, False])
def test_what_is_sent(make_client: MakeClient, simulator: Simulator, accept: bool) -> None:
    client, order = make_client(snapshot=True), requoted(simulator)
    connect(client, simulator)
    client.wait_until_current(TIMEOUT)
    before = len(simulator.requests)
    client.answer_requote(client.account.orders[order.id], accept)
    (request,) = simulator.requests[before:]
    assert (request.method, request.path) == ("POST", f"/api/v1/trader/orders/{order.id}/approval")
    assert request.json == {
        "id": order.id,
        "account_id": order.account_id,
        "user_id": simulator.account["user_id"],
        "approved": accept,
    }
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"] == f"Bearer {simulator.access_token}"


def test_whose_account_it_is_the_server_is_asked_when_nobody_has_said(
    make_client: MakeClient, simulator: Simulator
) -> None:
    order = requoted(simulator)
    make_client().answer_requote(order, accept=True)
    account, answer = simulator.requests
    assert account.path.endswith("/account")
    assert answer.json["user_id"] == simulator.account["user_id"]
    assert status_of(simulator, order) == OrderStatus.FILLED


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 404, "message": "no such call"},
        {"status": 200, "body": '{"data": {}}'},
        {"status": 200, "body": '{"data": {"user_id": null}}'},
        {"status": 200, "body": '{"data": null}'},
        {"status": 200, "body": "nonsense"},
    ],
)
def test_a_server_that_does_not_say_has_to_do_without(
    make_client: MakeClient, simulator: Simulator, fault: Dict[str, Any]
) -> None:
    order = requoted(simulator)
    simulator.refuse_calls(path="account", **fault)
    make_client().answer_requote(order, accept=True)
    assert "user_id" not in simulator.requests[1].json
    assert status_of(simulator, order) == OrderStatus.FILLED


def test_a_server_that_cannot_be_asked_whose_account_it_is(
    make_client: MakeClient, simulator: Simulator
) -> None:
    order = requoted(simulator)
    simulator.refuse_calls(503, path="account")
    with pytest.raises(ServerError) as caught:
        make_client(reconnect=None).answer_requote(order, accept=True)
    assert (caught.value.step, answers(simulator)) == ("account", [])


def test_a_body_goes_out_as_it_is(make_client: MakeClient, simulator: Simulator) -> None:
    # No model is asked to hold this, and none refuses it.
    placeholders: Any = "~access-token~ ~bearer-token~ ~session-id~"
    order = attrs.evolve(requoted(simulator), account_id=placeholders)
    with pytest.raises(RequoteRefusedError, match="account_id"):
        make_client().answer_requote(order, accept=True)
    assert answers(simulator)[0].json["account_id"] == order.account_id


# -- refused -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accept", [True, False])
@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda sim, order: sim.answer_requote(order, True),
        lambda sim, order: sim.cancel_order(order),
        lambda sim, order: sim.expire_order(order),
        lambda sim, order: sim.reject_order(order),
    ],
    ids=["filled", "cancelled", "expired", "rejected"],
)
def test_too_late(
    make_client: MakeClient, simulator: Simulator, accept: bool, meanwhile: Callable[[Simulator, int], Any]
) -> None:
    order = requoted(simulator)
    meanwhile(simulator, order.id)
    books = simulator.orders, simulator.positions
    with pytest.raises(RequoteOverError, match=f"order {order.id}") as caught:
        make_client().answer_requote(order, accept)
    assert caught.value.order_id == order.id
    assert caught.value.message
    assert (simulator.orders, simulator.positions) == books
    assert len(answers(simulator)) == 1


def test_an_order_that_was_never_requoted(make_client: MakeClient, simulator: Simulator) -> None:
    order = structure(simulator.place_order(1, SideType.BUY, 0.5, fill=False), Order)
    with pytest.raises(RequoteOverError):
        make_client().answer_requote(order, accept=True)
    assert status_of(simulator, order) == OrderStatus.PLACED


def test_the_same_answer_twice(client: OneTradeClient, simulator: Simulator) -> None:
    order = requoted(simulator)
    client.answer_requote(order, accept=True)
    with pytest.raises(RequoteOverError):
        client.answer_requote(order, accept=True)
    assert len(simulator.positions) == 1


def test_an_unknown_order(make_client: MakeClient, simulator: Simulator) -> None:
    order = attrs.evolve(requoted(simulator), id=5)
    with pytest.raises(UnknownOrderError, match="order 5"):
        make_client().answer_requote(order, accept=True)


@pytest.mark.parametrize("fault", [{"status": 400}, {"status": 422}, {"status": 302}, {"status": 409}])
def test_the_server_refuses_and_the_order_waits(
    make_client: MakeClient, simulator: Simulator, fault: Dict[str, Any]
) -> None:
    order = requoted(simulator)
    simulator.refuse_calls(message="not like this", path=f"orders/{order.id}/approval", **fault)
    with pytest.raises(RequoteRefusedError, match="not like this") as caught:
        make_client().answer_requote(order, accept=True)
    assert (caught.value.order_id, caught.value.message) == (order.id, "not like this")
    assert status_of(simulator, order) == OrderStatus.REQUOTED


def test_a_refusal_under_status_200(make_client: MakeClient, simulator: Simulator) -> None:
    order = requoted(simulator)
    body = {"success": False, "code": 0, "message": "not like this"}
    simulator.refuse_calls(200, path=f"orders/{order.id}/approval", body=body)
    with pytest.raises(RequoteRefusedError, match="not like this"):
        make_client().answer_requote(order, accept=True)


@pytest.mark.parametrize(
    "fault", [{"status": 404}, {"status": 500}, {"status": 200, "body": "nonsense"}, {"status": 403}]
)
def test_the_server_refuses_and_does_not_say_how_it_is(
    make_client: MakeClient, simulator: Simulator, fault: Dict[str, Any]
) -> None:
    order = requoted(simulator)
    simulator.refuse_calls(400, "not like this", path=f"orders/{order.id}/approval")
    simulator.refuse_calls(path=f"orders/{order.id}", **fault)
    with pytest.raises(ServerError, match="not like this") as caught:
        make_client(reconnect=None).answer_requote(order, accept=True)
    assert (type(caught.value), caught.value.step) == (ServerError, "requote answer")


def test_too_many_requests(make_client: MakeClient, simulator: Simulator) -> None:
    order = requoted(simulator)
    simulator.refuse_calls(429, path=f"orders/{order.id}/approval", headers={"Retry-After": "0"}, times=None)
    with pytest.raises(RateLimitedError) as caught:
        make_client().answer_requote(order, accept=True)
    assert caught.value.retry_after == 0
    # It is for the user to say whether that price still is the one.
    assert len(answers(simulator)) == 1


# -- the credentials ---------------------------------------------------------------------------------------------------


def keyed(make_client: MakeClient, simulator: Simulator, **settings: Any) -> OneTradeClient:
    """A client that has logged in."""
    client = make_client(api_key=simulator.api_key, session_id=None, access_token=None, **settings)
    assert client.candles(1, NOON, NOON)
    return client


def test_a_token_that_expired_is_had_anew(make_client: MakeClient, simulator: Simulator) -> None:
    client, order = keyed(make_client, simulator), requoted(simulator)
    before = len(simulator.requests)
    # Only for the answer, not for the question whose account it is.
    simulator.refuse_calls(401, "expired", path=f"orders/{order.id}/approval")
    client.answer_requote(order, accept=True)
    paths = [request.path.rpartition("/")[2] for request in simulator.requests[before:]]
    assert paths == ["account", "approval", "login", "approval"]
    assert status_of(simulator, order) == OrderStatus.FILLED


def test_a_token_that_is_refused_again(make_client: MakeClient, simulator: Simulator) -> None:
    client, order = keyed(make_client, simulator), requoted(simulator)
    simulator.refuse_calls(401, "expired", path=f"orders/{order.id}/approval", times=None)
    with pytest.raises(AuthenticationError) as caught:
        client.answer_requote(order, accept=True)
    assert caught.value.step == "requote answer"
    assert len(answers(simulator)) == 2
    assert status_of(simulator, order) == OrderStatus.REQUOTED


@pytest.mark.parametrize("status", [401, 403])
def test_a_session_that_is_refused(make_client: MakeClient, simulator: Simulator, status: int) -> None:
    order = requoted(simulator)
    simulator.refuse_calls(status, "no", path=f"orders/{order.id}/approval", times=None)
    with pytest.raises(AuthenticationError):
        make_client().answer_requote(order, accept=True)
    assert len(answers(simulator)) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_a_login_that_fails_says_nothing_of_the_order(
    make_client: MakeClient, simulator: Simulator, status: int
) -> None:
    """Neither that it is unknown, nor that the server may have acted."""
    client, order = keyed(make_client, simulator, reconnect=None), requoted(simulator)
    simulator.refuse_calls(404, path="account", times=None)
    simulator.refuse_calls(401, "expired", path=f"orders/{order.id}/approval", times=None)
    simulator.refuse_login(status, "no", times=None)
    with pytest.raises(ServerError) as caught:
        client.answer_requote(order, accept=True)
    assert (caught.value.step, caught.value.status) == ("login", status)


# -- nobody knows ------------------------------------------------------------------------------------------------------


def half_an_answer(peer: Peer) -> None:
    peer.read_body()
    peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"success": true')
    peer.finish()


def reset_after_the_request(peer: Peer) -> None:
    peer.read_body()
    peer.reset()


def nothing(peer: Peer) -> None:
    peer.read_body()
    peer.finish()


def drip(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
    while True:
        peer.send(b" ")
        peer.pause(0.02)


def too_much(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
    while True:
        peer.send(b"x" * 1_000_000)


@pytest.mark.parametrize(
    ("script", "reason", "timeout"),
    [
        (half_an_answer, NetworkError, TIMEOUT),
        (reset_after_the_request, NetworkError, TIMEOUT),
        (nothing, NetworkError, TIMEOUT),
        (Peer.hold, NetworkError, 0.5),
        (drip, NetworkError, 0.5),
        (too_much, AnswerError, TIMEOUT),
    ],
)
def test_no_answer_came(
    make_client: MakeClient, simulator: Simulator, script: Any, reason: Any, timeout: float
) -> None:
    order = requoted(simulator)
    with HostileServer(http=passing_on(f"127.0.0.1:{simulator.port}", {APPROVAL: script})) as server:
        client = make_client(http_url=server.http_url)
        with pytest.raises(OutcomeUnknownError, match="may have acted or not") as caught:
            client.answer_requote(order, accept=True, timeout=timeout)
        assert type(caught.value.reason) is reason
        assert caught.value.step == f"requote answer for order {order.id}"
        sent = [request.target for request in server.requests if request.target.endswith(APPROVAL)]
    assert len(sent) == 1
    # Connections that came afterwards are counted by now: there is that for the account, and the one.
    assert server.accepted == 2


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"status": 500}, ServerError),
        ({"status": 502, "body": "<html>bad gateway</html>"}, ServerError),
        ({"status": 504}, ServerError),
        ({"status": 200, "body": {"success": False, "code": 503, "message": "later"}}, ServerError),
        ({"status": 200, "body": b""}, AnswerError),
        ({"status": 200, "body": "<html>Please log in to this network</html>"}, AnswerError),
        ({"status": 200, "body": "[]"}, AnswerError),
        ({"status": 200, "body": '{"success": "true"}'}, AnswerError),
        ({"status": 200, "body": '{"success": null}'}, AnswerError),
        ({"status": 200, "body": b"\xff"}, AnswerError),
        ({"status": 200, "body": "[" * 100_000}, AnswerError),
    ],
)
def test_an_answer_that_says_nothing_of_it(
    make_client: MakeClient, simulator: Simulator, fault: Dict[str, Any], reason: Any
) -> None:
    order = requoted(simulator)
    simulator.refuse_calls(path=f"orders/{order.id}/approval", times=None, **fault)
    with pytest.raises(OutcomeUnknownError) as caught:
        make_client().answer_requote(order, accept=True)
    assert type(caught.value.reason) is reason
    assert (caught.value.reason.__traceback__, caught.value.__context__) == (None, None)
    assert len(answers(simulator)) == 1


@pytest.mark.parametrize(
    "body", ['{"success": true}', '{"data": null}', '{"success": true, "data": "thanks"}']
)
def test_an_answer_that_says_little(make_client: MakeClient, simulator: Simulator, body: str) -> None:
    order = requoted(simulator)
    simulator.refuse_calls(200, path=f"orders/{order.id}/approval", body=body)
    make_client().answer_requote(order, accept=True)
    assert len(answers(simulator)) == 1


# -- nothing was sent --------------------------------------------------------------------------------------------------


def test_a_connection_that_is_refused(make_client: MakeClient, simulator: Simulator) -> None:
    sock, port = free_port()
    try:
        client = make_client(http_url=f"http://127.0.0.1:{port}", reconnect=None)
        with pytest.raises(NetworkError):
            client.answer_requote(requoted(simulator), accept=True)
    finally:
        sock.close()


def test_a_connection_that_is_refused_for_the_answer_itself(
    client_who_knows: OneTradeClient, simulator: Simulator
) -> None:
    order = requoted(simulator)
    simulator.stop()
    with pytest.raises(NetworkError) as caught:
        client_who_knows.answer_requote(order, accept=True)
    assert caught.value.step == "requote answer"


@pytest.fixture
def client_who_knows(make_client: MakeClient, simulator: Simulator) -> OneTradeClient:
    """A client that knows whose account it is, and never tries again."""
    client = make_client(snapshot=True, reconnect=None)
    connect(client, simulator)
    client.wait_until_current(TIMEOUT)
    return client


def test_no_time_is_left(client_who_knows: OneTradeClient, simulator: Simulator) -> None:
    before = len(simulator.requests)
    with pytest.raises(NetworkError, match="in time"):
        client_who_knows.answer_requote(requoted(simulator), accept=True, timeout=0)
    assert len(simulator.requests) == before


# -- beside the connection ---------------------------------------------------------------------------------------------


def test_before_connect_and_after_disconnect(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client()
    client.answer_requote(requoted(simulator), accept=True)
    connect(client, simulator)
    client.disconnect()
    client.answer_requote(requoted(simulator), accept=True)
    assert len(simulator.positions) == 2


def test_events_go_on_while_the_server_thinks_about_it(make_client: MakeClient, simulator: Simulator) -> None:
    order, go_on = requoted(simulator), threading.Event()
    answer = passing_on(f"127.0.0.1:{simulator.port}", {})

    def think(peer: Peer) -> None:
        go_on.wait(TIMEOUT)
        answer(peer)

    with HostileServer(http=passing_on(f"127.0.0.1:{simulator.port}", {APPROVAL: think})) as server:
        client = make_client(http_url=server.http_url)
        connect(client, simulator)
        calling = Background(lambda: client.answer_requote(order, accept=True))
        server.wait_for(lambda server: server.requests[-1].target.endswith(APPROVAL))
        simulator.quote(1, 1.2)
        catch_up(client, simulator)
        go_on.set()
        calling.result()
    assert status_of(simulator, order) == OrderStatus.FILLED


def test_disconnect_ends_a_call_whose_outcome_nobody_knows(
    make_client: MakeClient, simulator: Simulator
) -> None:
    with HostileServer(http=passing_on(f"127.0.0.1:{simulator.port}", {APPROVAL: Peer.hold})) as server:
        client = make_client(http_url=server.http_url)
        connect(client, simulator)
        order = requoted(simulator)
        calling = Background(lambda: client.answer_requote(order, accept=True, timeout=TIMEOUT))
        server.wait_for(lambda server: server.requests[-1].target.endswith(APPROVAL))
        client.disconnect()
        with pytest.raises(OutcomeUnknownError) as caught:
            calling.result()
    assert isinstance(caught.value.reason, ConnectionLostError)
    # The next one is a call of its own.
    client = make_client()
    client.answer_requote(order, accept=True)
    assert status_of(simulator, order) == OrderStatus.FILLED


def test_two_answers_at_once(make_client: MakeClient, simulator: Simulator) -> None:
    client, order = make_client(), requoted(simulator)
    together = threading.Barrier(2)

    def answer() -> str:
        together.wait(TIMEOUT)
        try:
            client.answer_requote(order, accept=True)
        except OneTradeError as error:
            return type(error).__name__
        return "taken"

    outcomes = sorted(each.result() for each in [Background(answer), Background(answer)])
    assert outcomes == ["RequoteOverError", "taken"]
    assert len(simulator.positions) == 1


def test_an_id_is_no_order(make_client: MakeClient, simulator: Simulator) -> None:
    not_an_order: Any = 3000000001
    with pytest.raises(TypeError, match=r"^order=3000000001: an Order"):
        make_client().answer_requote(not_an_order, True)
    assert not simulator.requests
