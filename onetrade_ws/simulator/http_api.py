"""The vendor's HTTP calls. All but the validation (specification) come from the vendor SDK."""

from __future__ import annotations

import json
import math
import random
import re
import time
from typing import Any, Callable, Dict, List, Mapping, Match, Optional, Pattern, Tuple
from urllib.parse import unquote

from ..protocol.enums import ChannelType, OrderType, SideType
from .books import Books, check_kind
from .http1 import ParsedRequest, Response, envelope
from .market import Instrument, Market
from .records import Deal, NotFound, Order, Refused
from .sessions import Sessions
from .wire import (
    ACCOUNT_ID,
    ORDER_CHANGES,
    POSITION_CHANGES,
    USER_ID,
    Wire,
    Writer,
    read_changes,
    read_number,
    read_price,
    read_text,
    read_time,
)

MAX_BARS = 5_000
DEALINGS = ("fill", "leave", "requote", "reject")

_RESOLUTIONS = {"D": 1440, "1D": 1440, "W": 10_080, "1W": 10_080}  # minutes


class Api:
    """Answers HTTP calls. The caller holds the simulator's lock.

    Attributes:
        dealing: What becomes of a market order that a client sends, one of `DEALINGS`: it is filled at once,
            left for the test to act on, requoted at the current price, or rejected.
    """

    def __init__(self, sessions: Sessions, market: Market, books: Books, writer: Writer, seed: int) -> None:
        self._sessions = sessions
        self._market = market
        self._books = books
        self._writer = writer
        self._seed = seed
        self.dealing = "fill"

    def respond(self, request: ParsedRequest) -> Response:
        """The answer to any request but a WebSocket handshake."""
        allowed = []
        for method, pattern, handler in _ROUTES:
            match = pattern.fullmatch(request.path)
            if match is not None:
                if method == request.method:
                    return self._handle(request, match, handler)
                allowed.append(method)
        if allowed:
            return envelope(405, message="method not allowed", headers={"Allow": ", ".join(allowed)})
        return envelope(404, message="unknown path")

    def _handle(self, request: ParsedRequest, match: Match[str], handler: _Handler) -> Response:
        if request.path.startswith(_TRADER):
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            token = token.strip() if scheme.lower() == "bearer" else ""
            refusal = self._sessions.refuse_call(request.path[len(_TRADER) :], token)
            if refusal is not None:
                return refusal
        try:
            answer = handler(self, request, match)
        except Refused as error:
            return envelope(400, message=str(error))
        except NotFound as error:
            return envelope(404, message=str(error))
        return answer if isinstance(answer, Response) else envelope(200, answer)

    # --- coming in

    def _log_in(self, request: ParsedRequest, match: Match[str]) -> Response:
        return self._sessions.log_in(request.query.get("grant_type"), request.headers.get("api-key"))

    def _validate(self, request: ParsedRequest, match: Match[str]) -> Response:
        return self._sessions.validate(unquote(match["id"]))

    # --- snapshots

    def _account(self, request: ParsedRequest, match: Match[str]) -> Wire:
        return self._writer.account(self._books.account())

    def _orders(self, request: ParsedRequest, match: Match[str]) -> List[Wire]:
        return [self._writer.order(order) for order in self._books.working_orders()]

    def _order_history(self, request: ParsedRequest, match: Match[str]) -> List[Wire]:
        return [self._writer.order(order) for order in self._books.orders.all() if not order.working]

    def _order(self, request: ParsedRequest, match: Match[str]) -> Wire:
        return self._writer.order(self._books.orders.get(int(match["id"])))

    def _positions(self, request: ParsedRequest, match: Match[str]) -> List[Wire]:
        return [self._writer.position(position) for position in self._books.open_positions()]

    def _position_history(self, request: ParsedRequest, match: Match[str]) -> List[Wire]:
        return [
            self._writer.position(position) for position in self._books.positions.all() if not position.open
        ]

    def _position(self, request: ParsedRequest, match: Match[str]) -> Wire:
        return self._writer.position(self._books.positions.get(int(match["id"])))

    def _deals(self, request: ParsedRequest, match: Match[str]) -> List[Wire]:
        return [self._writer.deal(deal) for deal in self._books.deals.all()]

    def _deal(self, request: ParsedRequest, match: Match[str]) -> Wire:
        return self._writer.deal(self._books.deals.get(int(match["id"])))

    def _symbols(self, request: ParsedRequest, match: Match[str]) -> List[Wire]:
        return [self._writer.symbol(item) for item in self._market.instruments.values()]

    def _symbol(self, request: ParsedRequest, match: Match[str]) -> Wire:
        return self._writer.symbol(self._books.instrument(int(match["id"])))

    def _report(self, request: ParsedRequest, match: Match[str]) -> Response:
        """The file behind a report's link: the deals, whatever its kind. A browser fetches it: no token."""
        self._books.reports.get(int(match["id"]))
        lines = ["id,order_id,position_id,symbol,side,direction,volume,price,profit"]
        lines += [_deal_line(deal) for deal in self._books.deals.all()]
        return Response(200, "\r\n".join([*lines, ""]), {"Content-Type": "text/csv; charset=utf-8"})

    # --- orders

    def _create_order(self, request: ParsedRequest, match: Match[str]) -> Wire:
        body = _read_body(request)
        side, order_type = SideType(_integer(body, "side")), OrderType(_integer(body, "type"))
        try:
            instrument = self._books.instrument(_integer(body, "symbol_id"))
        except NotFound as error:
            raise Refused(str(error)) from None
        volume = read_number(body.get("volume"), "volume")
        names = ("order_price", "price_trigger", "price_sl", "price_tp")
        price, price_trigger, price_sl, price_tp = (read_price(body.get(name), name) for name in names)
        check_kind(side, order_type, price, price_trigger)
        self._books.check_volume(instrument, volume)
        self._books.check_prices(instrument, side, order_type, price, price_sl, price_tp)
        order = self._books.place(
            instrument.id,
            side,
            volume,
            order_type=order_type,
            price=price,
            price_trigger=price_trigger,
            price_sl=price_sl,
            price_tp=price_tp,
            comment=read_text(body.get("comment"), "comment"),
            time_expiration=read_time(body.get("time_expiration")),
            channel=ChannelType.API,
        )
        answer = self._writer.order(order)
        self._deal_with(order)
        return answer

    def _deal_with(self, order: Order) -> None:
        needed = self._books.margin_needed(order.instrument, order.side, order.volume_initial)
        if needed > self._books.account().margin_free:
            self._books.reject(order, "not enough money")
        elif order.type != OrderType.MARKET:
            return
        elif self.dealing == "fill":
            self._books.fill(order)
        elif self.dealing == "requote":
            self._books.requote(order, order.price_order)
        elif self.dealing == "reject":
            self._books.reject(order, "rejected by the dealer")

    def _update_order(self, request: ParsedRequest, match: Match[str]) -> Wire:
        order = self._books.orders.get(int(match["id"]))
        body = _read_body(request, order.id)
        names = {"volume": "volume_initial", "order_price": "price_order"}
        changes = read_changes(
            ORDER_CHANGES,
            {
                names.get(name, name): body[name]
                for name in ("volume", "order_price", "price_sl", "price_tp", "comment", "time_expiration")
                if name in body
            },
        )
        self._books.check_prices(
            order.instrument,
            order.side,
            order.type,
            changes.get("price_order", order.price_order),
            changes.get("price_sl", order.price_sl),
            changes.get("price_tp", order.price_tp),
        )
        self._books.update_order(order, changes)
        return self._writer.order(order)

    def _cancel_order(self, request: ParsedRequest, match: Match[str]) -> Wire:
        order = self._books.orders.get(int(match["id"]))
        self._books.cancel(order)
        return self._writer.order(order)

    def _answer_requote(self, request: ParsedRequest, match: Match[str]) -> Wire:
        order = self._books.orders.get(int(match["id"]))
        approved = _read_body(request, order.id).get("approved")
        if not isinstance(approved, bool):
            raise Refused("approved must be true or false")
        self._books.answer_requote(order, approved)
        return self._writer.order(order)

    # --- positions

    def _update_position(self, request: ParsedRequest, match: Match[str]) -> Wire:
        position = self._books.positions.get(int(match["id"]))
        body = _read_body(request, position.id)
        changes = read_changes(
            POSITION_CHANGES,
            {name: body[name] for name in ("price_sl", "price_tp", "comment") if name in body},
        )
        self._books.check_prices(
            position.instrument,
            position.side,
            OrderType.MARKET,
            None,
            changes.get("price_sl"),
            changes.get("price_tp"),
        )
        self._books.update_position(position, changes)
        return self._writer.position(position)

    def _close_position(self, request: ParsedRequest, match: Match[str]) -> Wire:
        position = self._books.positions.get(int(match["id"]))
        volume = read_number(_read_body(request, position.id).get("volume"), "volume")
        self._books.close(position, volume, channel=ChannelType.API)
        return self._writer.position(position)

    # --- price history

    def _ticks_history(self, request: ParsedRequest, match: Match[str]) -> List[Wire]:
        """Bars, the oldest first; `time` in seconds since the epoch. The same question gets the same answer,
        but for the bar of now, which ends at the current price."""
        item = self._books.instrument(int(match["id"]))
        query = request.query
        if query.get("symbol_id", match["id"]) != match["id"]:
            raise Refused("symbol_id is not that of the path")
        resolution = query.get("resolution", "1").upper()
        length = 60 * _RESOLUTIONS.get(resolution, 0) or 60 * _query_integer(query, "resolution", 1)
        if not 60 <= length <= 60 * 43_200:
            raise Refused("resolution must be in minutes, D or W")
        now = int(time.time())
        last = min(_query_integer(query, "to", now), now) // length
        first = -(-_query_integer(query, "from", (last - MAX_BARS) * length) // length)
        count = min(_query_integer(query, "count_back", MAX_BARS), MAX_BARS, last - first + 1)
        return [self._bar(item, index, length, now) for index in range(last - count + 1, last + 1)]

    def _bar(self, item: Instrument, index: int, length: int, now: int) -> Wire:
        draw = random.Random(f"{self._seed}/{item.id}/{length}/{index}")
        start, end = _history_price(item, index * length), _history_price(item, (index + 1) * length)
        if index == now // length:
            end = float(self._market.price(item.id).bid)
        swing = item.swing * float(item.point) * math.sqrt(length / 60)
        return {
            "time": index * length,
            "open": round(start, item.digits),
            "high": round(max(start, end) + draw.random() * swing, item.digits),
            "low": round(max(min(start, end) - draw.random() * swing, float(item.point)), item.digits),
            "close": round(end, item.digits),
            "volume": draw.randint(10, 10 * length),
        }


def _history_price(item: Instrument, at: int) -> float:
    """A price of the past: slow waves around the price that the symbol starts with."""
    waves = sum(math.sin(at / period + item.id) for period in (5_000, 37_000, 290_000)) / 3
    return float(item.bid) * (1 + 0.01 * waves)


def _deal_line(deal: Deal) -> str:
    name = "" if deal.instrument is None else deal.instrument.name
    ids = f"{deal.id},{deal.order_id},{deal.position_id}"
    return f"{ids},{name},{int(deal.side)},{int(deal.direction)},{deal.volume},{deal.price},{deal.profit:.2f}"


def _read_body(request: ParsedRequest, expected_id: Optional[int] = None) -> Dict[str, Any]:
    """The JSON object in a request. The ids of account, user and object are checked where they are given."""
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Refused("the body must be a JSON object")
    for name, expected in (("account_id", ACCOUNT_ID), ("user_id", USER_ID), ("id", expected_id)):
        if name in body and expected is not None and _integer(body, name) != expected:
            raise Refused(f"{name} is not the right one")
    return body


def _integer(body: Mapping[str, Any], name: str) -> int:
    value = body.get(name)
    if type(value) is not int:
        raise Refused(f"{name} must be an integer")
    return value


def _query_integer(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise Refused(f"{name} must be a whole number")
    return int(text)


_TRADER = "/api/v1/trader/"
_Handler = Callable[[Api, ParsedRequest, Match[str]], Any]


def _route(method: str, path: str, handler: _Handler) -> Tuple[str, Pattern[str], _Handler]:
    return method, re.compile(path.replace("{id}", r"(?P<id>[0-9]{1,19})")), handler


_ROUTES: Tuple[Tuple[str, Pattern[str], _Handler], ...] = (
    _route("POST", "/api/v1/oauth2/login", Api._log_in),
    _route("POST", "/ws/v1/(?P<id>[^/]+)", Api._validate),
    _route("GET", "/reports/{id}.csv", Api._report),
    _route("GET", _TRADER + "account", Api._account),
    _route("GET", _TRADER + "orders", Api._orders),
    _route("POST", _TRADER + "orders", Api._create_order),
    _route("GET", _TRADER + "orders/history", Api._order_history),
    _route("GET", _TRADER + "orders/{id}", Api._order),
    _route("PUT", _TRADER + "orders/{id}", Api._update_order),
    _route("DELETE", _TRADER + "orders/{id}", Api._cancel_order),
    _route("POST", _TRADER + "orders/{id}/approval", Api._answer_requote),
    _route("GET", _TRADER + "positions", Api._positions),
    _route("GET", _TRADER + "positions/history", Api._position_history),
    _route("GET", _TRADER + "positions/{id}", Api._position),
    _route("PUT", _TRADER + "positions/{id}", Api._update_position),
    _route("POST", _TRADER + "positions/{id}", Api._close_position),
    _route("GET", _TRADER + "deals", Api._deals),
    _route("GET", _TRADER + "deals/{id}", Api._deal),
    _route("GET", _TRADER + "symbols", Api._symbols),
    _route("GET", _TRADER + "symbols/{id}", Api._symbol),
    _route("GET", _TRADER + "symbols/ticks/history/{id}", Api._ticks_history),
)
