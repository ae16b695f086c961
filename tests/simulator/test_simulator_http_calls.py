"""The vendor's HTTP calls, each of them."""

from __future__ import annotations

import time
from contextlib import closing
from decimal import Decimal
from typing import Any, Dict, List

import pytest
import requests
import websocket

from onetrade_ws.protocol.enums import ChannelType, OrderStatus, OrderType, PositionStatus, SideType
from onetrade_ws.simulator import Simulator
from tests.simulator.plain_client import TIMEOUT, Http, PlainClient, refusal_of, validate

BUY, SELL = SideType.BUY, SideType.SELL


def order_body(sim: Simulator, **changes: Any) -> Dict[str, Any]:
    account = sim.account
    body = {
        "account_id": account["id"],
        "user_id": account["user_id"],
        "symbol_id": 1,
        "volume": 0.1,
        "order_price": 0,
        "side": 0,
        "type": 0,
    }
    body.update(changes)
    return body


def types(client: PlainClient) -> List[str]:
    return [event.type for event in client.sync() if event.type != "journal_create"]


# --- snapshots


def test_snapshots_are_the_books(sim: Simulator, http: Http) -> None:
    sim.place_order(1, BUY, 1)
    sim.place_order(2, SELL, 1)
    sim.place_order(1, BUY, 1, type=OrderType.BUY_LIMIT, price=1)
    sim.place_order(1, BUY, 1, fill=False)
    sim.close_position(sim.positions[0]["id"])
    assert http.get("/account") == sim.account
    assert http.get("/symbols") == list(sim.symbols)
    assert http.get("/deals") == list(sim.deals)
    assert http.get("/orders") == [order for order in sim.orders if order["status"] == OrderStatus.PLACED]
    assert http.get("/orders/history") == [o for o in sim.orders if o["status"] == OrderStatus.FILLED]
    assert http.get("/positions") == [sim.positions[1]]
    assert http.get("/positions/history") == [sim.positions[0]]
    for shelf, path in (
        (sim.orders, "orders"),
        (sim.positions, "positions"),
        (sim.deals, "deals"),
        (sim.symbols, "symbols"),
    ):
        for item in shelf:
            assert http.get(f"/{path}/{item['id']}") == item


@pytest.mark.parametrize(
    "path", ["/orders/1", "/positions/1", "/deals/1", "/symbols/99", "/symbols/ticks/history/99"]
)
def test_unknown_ids_are_404(http: Http, path: str) -> None:
    answer = http.call("GET", path)
    assert answer.status_code == 404
    assert "no " in refusal_of(answer)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", path) for path in ("/", "/nothing", "/orders/x", "/orders/-1", "/orders/1/2", "/account/")),
        ("POST", "/symbols/ticks"),
    ],
)
def test_unknown_paths_are_404(http: Http, method: str, path: str) -> None:
    assert http.call(method, path).status_code == 404


def test_a_known_path_with_another_method_is_405(http: Http, sim: Simulator) -> None:
    answer = http.call("DELETE", "/orders")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, POST")
    assert requests.get(f"{sim.http_url}/ws/v1/{sim.session_id}", timeout=TIMEOUT).status_code == 405


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer wrong", "Basic {token}", "{token}", "Bearer \xff"]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/account"),
        ("GET", "/orders"),
        ("POST", "/orders"),
        ("DELETE", "/orders/1"),
        ("POST", "/positions/1"),
    ],
)
def test_every_call_needs_the_access_token(
    http: Http, sim: Simulator, authorization: str, method: str, path: str
) -> None:
    header = authorization.format(token=sim.access_token).encode("latin-1")
    answer = http.call(method, path, headers={"Authorization": header})  # type: ignore[dict-item]
    assert answer.status_code == 401
    assert sim.access_token not in refusal_of(answer)


def test_the_scheme_of_the_token_is_case_insensitive(http: Http, sim: Simulator) -> None:
    assert http.call("GET", "/account", headers={"Authorization": f"bearer {sim.access_token}"}).ok


# --- faults


def test_calls_are_refused_on_demand(sim: Simulator, http: Http) -> None:
    sim.refuse_calls()
    answer = http.call("GET", "/account")
    assert (answer.status_code, refusal_of(answer)) == (503, "try again later")
    assert http.call("GET", "/account").ok


def test_calls_are_refused_by_what_their_path_begins_with(sim: Simulator, http: Http) -> None:
    sim.refuse_calls(500, "down", path="orders", times=2)
    sim.refuse_calls(429, path="deals", headers={"Retry-After": "5"})
    sim.refuse_calls(200, path="symbols", body="no JSON", times=None)
    for path in ("/account", "/positions"):
        assert http.call("GET", path).ok
    assert [http.call("GET", path).status_code for path in ("/orders/history", "/orders/1", "/orders")] == [
        500, 500, 200,
    ]  # fmt: skip
    assert http.call("GET", "/deals").headers["Retry-After"] == "5"
    assert http.call("GET", "/symbols/1").text == http.call("GET", "/symbols").text == "no JSON"
    sim.allow()
    assert http.get("/symbols") == list(sim.symbols)


def test_a_call_that_is_refused_does_nothing(sim: Simulator, http: Http) -> None:
    sim.refuse_calls(401)
    assert http.call("POST", "/orders", order_body(sim)).status_code == 401
    assert sim.orders == ()
    assert http.call("POST", "/orders", order_body(sim)).ok


def test_other_doors_are_not_closed_with_the_calls(sim: Simulator) -> None:
    sim.refuse_calls(times=None)
    with closing(PlainClient(sim)) as client:
        assert client.sync() == []


def test_a_token_expires_and_its_session_goes_on(sim: Simulator, http: Http, watcher: PlainClient) -> None:
    session_id, token = sim.session_id, sim.access_token
    sim.expire_token()
    assert http.call("GET", "/account").status_code == 401
    sim.place_order(1, BUY, 1)
    assert "orders_place" in types(watcher)
    login = f"{sim.http_url}/api/v1/oauth2/login?grant_type=api_key"
    for _ in range(2):
        data = requests.post(login, headers={"API-Key": sim.api_key}, timeout=TIMEOUT).json()["data"]
        assert data == {"session_id": session_id, "access_token": sim.access_token}
    assert (sim.session_id, sim.access_token != token) == (session_id, True)
    for known, status in ((token, 401), (sim.access_token, 200)):
        answer = http.call("GET", "/account", headers={"Authorization": f"Bearer {known}"})
        assert answer.status_code == status


def test_a_handshake_with_an_expired_token_is_refused(sim: Simulator) -> None:
    sim.expire_token()
    assert validate(sim).ok
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        PlainClient(sim)
    assert refused.value.status_code == 401
    assert sim.connections == 0


# --- orders


def test_a_market_order_is_answered_as_placed_and_filled_over_the_websocket(
    sim: Simulator, http: Http, watcher: PlainClient
) -> None:
    answer = http.post("/orders", order_body(sim, price_sl=1.0, price_tp=1.2, comment="from http"))
    assert (answer["status"], answer["comment"]) == (OrderStatus.PLACED, "from http")
    assert types(watcher) == ["orders_place", "orders_update", "deals_create", "positions_open"]
    assert sim.orders[-1]["id"] == answer["id"]
    assert sim.orders[-1]["status"] == OrderStatus.FILLED
    assert sim.positions[-1]["price_sl"] == 1.0
    assert sim.deals[-1]["channel"] == ChannelType.API


@pytest.mark.parametrize(
    ("dealing", "events"),
    [
        ("fill", ["orders_place", "orders_update", "deals_create", "positions_open"]),
        ("leave", ["orders_place"]),
        ("requote", ["orders_place", "dealing_order_requote"]),
        ("reject", ["orders_place", "orders_rejected"]),
    ],
)
def test_the_test_decides_what_becomes_of_market_orders(
    sim: Simulator, http: Http, watcher: PlainClient, dealing: str, events: List[str]
) -> None:
    sim.dealing = dealing
    assert sim.dealing == dealing
    http.post("/orders", order_body(sim))
    assert types(watcher) == events
    with pytest.raises(ValueError, match="fill, leave, requote, reject"):
        sim.dealing = "maybe"


@pytest.mark.parametrize(
    ("order_type", "side", "price"),
    [(1, 0, 1.05), (2, 0, 1.15), (3, 1, 1.15), (4, 1, 1.05)],
)
def test_a_waiting_order_waits(
    sim: Simulator, http: Http, watcher: PlainClient, order_type: int, side: int, price: float
) -> None:
    body = order_body(
        sim, type=order_type, side=side, order_price=price, time_expiration="2999-01-01T00:00:00Z"
    )
    answer = http.post("/orders", body)
    assert types(watcher) == ["orders_place"]
    assert (answer["price_order"], answer["time_expiration"]) == (price, "2999-01-01T00:00:00Z")


def test_a_stop_limit_order_has_a_trigger_price(sim: Simulator, http: Http) -> None:
    answer = http.post("/orders", order_body(sim, type=5, order_price=1.1, price_trigger=1.15))
    assert (answer["type"], answer["price_order"], answer["price_trigger"]) == (5, 1.1, 1.15)


def test_an_order_that_costs_too_much_is_taken_and_rejected(
    sim: Simulator, http: Http, watcher: PlainClient
) -> None:
    http.post("/orders", order_body(sim, volume=95))
    assert types(watcher) == ["orders_place", "orders_rejected"]
    assert sim.orders[-1]["comment"] == "not enough money"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"volume": 0}, "0.01 to 100"),
        ({"volume": 101}, "0.01 to 100"),
        ({"volume": 0.011}, "multiple of 0.01"),
        ({"volume": "0.1"}, "volume must be a number"),
        ({"volume": None}, "volume must be a number"),
        ({"symbol_id": 99}, "no symbol with id 99"),
        ({"symbol_id": "1"}, "symbol_id must be an integer"),
        ({"symbol_id": True}, "symbol_id must be an integer"),
        ({"side": 2}, "buys or sells"),
        ({"side": "buy"}, "side must be an integer"),
        ({"type": 99}, "known types"),
        ({"type": 1.0}, "type must be an integer"),
        ({"account_id": 1}, "account_id is not the right one"),
        ({"user_id": "x"}, "user_id must be an integer"),
        ({"order_price": "1"}, "order_price must be a number"),
        ({"price_sl": -1}, "price_sl must not be below zero"),
        ({"price_sl": 1.09}, "price_sl must be below the price"),
        ({"price_tp": 1.08}, "price_tp must be above the price"),
        ({"side": 1, "price_sl": 1.08}, "price_sl must be above the price"),
        ({"side": 1, "price_tp": 1.09}, "price_tp must be below the price"),
        ({"type": 1}, "needs a price"),
        ({"type": 1, "order_price": 1.1}, "the price must be below the market's"),
        ({"type": 2, "order_price": 1.05}, "the price must be above the market's"),
        ({"type": 3, "side": 1, "order_price": 1.05}, "the price must be above the market's"),
        ({"type": 4, "side": 1, "order_price": 1.1}, "the price must be below the market's"),
        ({"type": 3, "order_price": 1.1}, "other side"),
        ({"type": 1, "order_price": 1.05, "price_sl": 1.06}, "price_sl must be below the price"),
        ({"comment": 5}, "comment must be text"),
        ({"time_expiration": "soon"}, "RFC 3339"),
        ({"price_trigger": 1.1}, "trigger"),
    ],
)
def test_a_wrong_order_is_400_and_nothing_happens(
    sim: Simulator, http: Http, changes: Dict[str, Any], message: str
) -> None:
    answer = http.call("POST", "/orders", order_body(sim, **changes))
    assert answer.status_code == 400
    assert message in refusal_of(answer)
    assert sim.orders == sim.journal == ()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"volume":' + b"9" * 5000 + b"}"]
)
def test_a_body_that_is_no_json_object_is_400(sim: Simulator, body: bytes) -> None:
    answer = requests.post(
        f"{sim.http_url}/api/v1/trader/orders",
        data=body,
        headers={"Authorization": f"Bearer {sim.access_token}"},
        timeout=TIMEOUT,
    )
    assert answer.status_code == 400
    assert sim.orders == ()


def test_half_a_character_harms_nobody(sim: Simulator, http: Http, watcher: PlainClient) -> None:
    http.post("/orders", order_body(sim, comment="\ud800"))
    assert next(event.data["comment"] for event in watcher.sync()) == "?"
    assert http.get("/orders/history")[0]["comment"] == "?"


def test_ids_of_account_and_user_may_be_left_out(sim: Simulator, http: Http) -> None:
    body = order_body(sim)
    del body["account_id"], body["user_id"]
    http.post("/orders", body)
    assert len(sim.deals) == 1


def test_an_order_is_updated_and_cancelled(sim: Simulator, http: Http, watcher: PlainClient) -> None:
    order_id = http.post("/orders", order_body(sim, type=1, order_price=1.0, price_sl=0.9))["id"]
    changes = {
        "id": order_id,
        "volume": 0.2,
        "order_price": 1.01,
        "price_sl": 0,
        "price_tp": 1.1,
        "comment": "c",
    }
    order = http.put(f"/orders/{order_id}", changes)
    assert (order["volume_initial"], order["price_order"], order["price_sl"]) == (0.2, 1.01, None)
    assert (order["price_tp"], order["comment"]) == (1.1, "c")
    assert http.delete(f"/orders/{order_id}")["status"] == OrderStatus.CANCELED
    assert types(watcher) == ["orders_place", "orders_update", "orders_cancel"]
    for method in ("PUT", "DELETE"):
        answer = http.call(method, f"/orders/{order_id}", {})
        assert (answer.status_code, refusal_of(answer)) == (400, f"order {order_id} is finished")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": 1}, "id is not the right one"),
        ({"order_price": 1.2}, "below the market's"),
        ({"order_price": 0.8}, "price_sl must be below"),
        ({"order_price": None}, "order_price"),
        ({"volume": 1000}, "lots"),
        ({"price_tp": 0.5}, "price_tp must be above"),
        ({"comment": []}, "text"),
    ],
)
def test_a_wrong_update_is_400_and_nothing_happens(
    sim: Simulator, http: Http, changes: Dict[str, Any], message: str
) -> None:
    order = sim.place_order(1, BUY, 1, type=OrderType.BUY_LIMIT, price=1.0, price_sl=0.9)
    answer = http.call("PUT", f"/orders/{order['id']}", changes)
    assert answer.status_code == 400
    assert message.replace("order_price", "price_order") in refusal_of(answer)
    assert sim.orders == (order,)


@pytest.mark.parametrize(("approved", "status"), [(True, OrderStatus.FILLED), (False, OrderStatus.CANCELED)])
def test_a_requote_is_answered(sim: Simulator, http: Http, approved: bool, status: OrderStatus) -> None:
    sim.dealing = "requote"
    order_id = http.post("/orders", order_body(sim))["id"]
    path = f"/orders/{order_id}/approval"
    for wrong in (None, 1, "true"):
        answer = http.call("POST", path, {"id": order_id, "approved": wrong})
        assert (answer.status_code, refusal_of(answer)) == (400, "approved must be true or false")
    assert http.post(path, {"id": order_id, "approved": approved})["status"] == status
    assert http.call("POST", path, {"approved": True}).status_code == 400
    assert http.call("POST", "/orders/1/approval", {"approved": True}).status_code == 404


# --- positions


def test_a_position_is_modified_and_closed(sim: Simulator, http: Http, watcher: PlainClient) -> None:
    sim.place_order(1, BUY, 1)
    position_id = sim.positions[0]["id"]
    path = f"/positions/{position_id}"
    watcher.sync()
    position = http.put(path, {"id": position_id, "price_sl": 1.0, "price_tp": 1.2, "comment": "c"})
    assert (position["price_sl"], position["price_tp"], position["comment"]) == (1.0, 1.2, "c")
    assert http.put(path, {"price_sl": None})["price_sl"] is None
    assert sim.positions[0]["price_tp"] == 1.2
    assert http.post(path, {"id": position_id, "volume": 0.4})["volume_current"] == 0.6
    assert http.post(path, {"id": position_id, "volume": 0.6})["status"] == PositionStatus.CLOSED
    closing = ["orders_place", "orders_update", "deals_create"]
    assert types(watcher) == [
        *["positions_update", "positions_update"],
        *[*closing, "positions_update"],
        *[*closing, "positions_close"],
    ]
    assert http.call("PUT", path, {"price_sl": 1}).status_code == 400
    assert http.call("POST", path, {"volume": 0.1}).status_code == 400


@pytest.mark.parametrize(
    ("method", "body", "message"),
    [
        ("PUT", {"price_sl": 1.09}, "price_sl must be below"),
        ("PUT", {"price_tp": 1.0}, "price_tp must be above"),
        ("PUT", {"price_tp": "1.2"}, "price_tp must be a number"),
        ("PUT", {"id": 5}, "id is not the right one"),
        ("POST", {}, "volume must be a number"),
        ("POST", {"volume": 2}, "1 lots only"),
        ("POST", {"volume": 0}, "multiple"),
    ],
)
def test_a_wrong_act_on_a_position_is_400_and_nothing_happens(
    sim: Simulator, http: Http, method: str, body: Dict[str, Any], message: str
) -> None:
    sim.place_order(1, BUY, 1)
    before = sim.positions
    answer = http.call(method, f"/positions/{before[0]['id']}", body)
    assert answer.status_code == 400
    assert message in refusal_of(answer)
    assert sim.positions == before


# --- price history and reports


def history(http: Http, **query: Any) -> List[Dict[str, Any]]:
    text = "&".join(f"{name}={value}" for name, value in query.items())
    bars = http.get(f"/symbols/ticks/history/1?symbol_id=1&{text}".replace("from_", "from"))
    assert isinstance(bars, list)
    return bars


def test_history_is_bars_that_hold_together(http: Http) -> None:
    bars = history(http, from_=1_700_000_000, to=1_700_036_000, resolution=60)
    assert [bar["time"] for bar in bars] == [1_700_002_800 + 3600 * hour for hour in range(-0, 10)]
    for bar in bars:
        assert set(bar) == {"time", "open", "high", "low", "close", "volume"}
        assert 0 < bar["low"] <= min(bar["open"], bar["close"])
        assert bar["high"] >= max(bar["open"], bar["close"])
        assert round(bar["close"], 5) == bar["close"]
        assert abs(Decimal(str(bar["open"])) - Decimal("1.085")) < Decimal("0.05")
    assert [bar["open"] for bar in bars[1:]] == [bar["close"] for bar in bars[:-1]]
    assert history(http, from_=1_700_000_000, to=1_700_036_000, resolution=60) == bars


def test_history_counts_back_from_its_end(http: Http) -> None:
    bars = history(http, to=1_700_036_000, resolution="D", count_back=3)
    assert [bar["time"] for bar in bars] == [1_699_833_600, 1_699_920_000, 1_700_006_400]
    assert history(http, from_=1_700_036_000, to=1_700_000_000, resolution=1) == []
    assert len(history(http)) == 5000


def test_history_ends_at_the_current_price(sim: Simulator, http: Http) -> None:
    sim.quote(1, 1.2)
    bars = history(http, resolution="1W", count_back=2, to=int(time.time()) + 10**6)
    assert bars[-1]["close"] == 1.2
    assert bars[-1]["high"] >= 1.2


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("symbol_id=2", "symbol_id"),
        ("resolution=x", "resolution"),
        ("resolution=0", "resolution"),
        ("resolution=99999", "resolution"),
        ("from=-1", "from"),
        ("to=1e9", "to must"),
        ("to=" + "9" * 13, "to must"),
        ("count_back=x", "count_back"),
    ],
)
def test_a_wrong_question_for_history_is_400(http: Http, query: str, message: str) -> None:
    answer = http.call("GET", f"/symbols/ticks/history/1?{query}")
    assert answer.status_code == 400
    assert message in refusal_of(answer)


def test_a_reports_link_works(sim: Simulator) -> None:
    sim.place_order(1, BUY, 1)
    sim.close_position(sim.positions[0]["id"])
    sim.deposit(5)
    report = sim.create_report("deals")
    answer = requests.get(report["url"], timeout=TIMEOUT)
    assert answer.headers["Content-Type"].startswith("text/csv")
    head, *lines = answer.text.splitlines()
    assert head.startswith("id,order_id")
    assert [line.split(",")[0] for line in lines] == [str(deal["id"]) for deal in sim.deals]
    assert lines[1].endswith(",EURUSD,1,1,1,1.08512,-11.50")
    assert requests.get(report["url"].replace("1.csv", "2.csv"), timeout=TIMEOUT).status_code == 404
