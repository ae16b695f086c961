"""The frames that are sent, built before any clock starts: prices, positions and orders as the real server's.

None is like another: symbols, prices, times, ids and lengths vary. Positions carry what real ones carry: the
specification's fields, some of the vendor's, a nested symbol or none, the habits of Go's ``encoding/json``.
"""

from __future__ import annotations

import json
import random
from typing import Any, Dict, List, Tuple, Union

from onetrade_ws.simulator.websocket import BINARY, TEXT, frame
from onetrade_ws.simulator.wire import ZERO_TIME, time_text

#: Ids have one length, whatever their number, so that the growth with their number is not one of bytes.
FIRST_SYMBOL = 10_000
FIRST_POSITION = 3_000_000_000
FIRST_ORDER = 5_000_000_000

_ACCOUNT = 100_482
_START = 1_767_600_000_000_000_000  # nanoseconds since the epoch
# Currency pairs have no last price and no volume; shares and metals have.
_MARKETS: Tuple[Tuple[float, int, bool], ...] = (
    (1.08512, 5, False),
    (0.87344, 5, False),
    (157.123, 3, False),
    (1.35127, 5, False),
    (182.34, 2, True),
    (2345.67, 2, True),
    (0.65419, 5, False),
    (5123.5, 1, False),
)
_NAMES = ("EURUSD", "EURGBP", "USDJPY", "GBPUSD", "AAPL", "XAUUSD", "AUDUSD", "US500")
_COMMENTS = ("", "", "", "", "grid 14", "Zürich", "sl < tp", "from web")


def prices(symbols: int, count: int, seed: int) -> List[bytes]:
    """Price frames, the symbols in a random order in which each comes equally often."""
    rng = random.Random(seed)
    mids = [_MARKETS[index % len(_MARKETS)][0] for index in range(symbols)]
    order: List[int] = []
    frames = []
    for _ in range(count):
        if not order:
            order = list(range(symbols))
            rng.shuffle(order)
        index = order.pop()
        mids[index] *= 1 + rng.gauss(0, 0.0001)
        head, tail = _price(index, mids[index], rng)
        volume = rng.randrange(1, 500) if _MARKETS[index % len(_MARKETS)][2] else 0
        frames.append(frame(BINARY, b"%b%d%b" % (head, volume, tail)))
    return frames


def stampable_prices(symbols: int, count: int, seed: int) -> List[Tuple[int, bytes, bytes]]:
    """Prices without their volume: which symbol, counted from 0, and what stands before and behind the volume."""
    rng = random.Random(seed)
    order: List[int] = []
    parts = []
    for _ in range(count):
        if not order:
            order = list(range(symbols))
            rng.shuffle(order)
        index = order.pop()
        mid = _MARKETS[index % len(_MARKETS)][0] * (1 + rng.gauss(0, 0.01))
        parts.append((index, *_price(index, mid, rng)))
    return parts


def stamped(head: bytes, stamp: int, tail: bytes) -> bytes:
    """A price frame that carries nanoseconds of the monotonic clock where the volume stands."""
    return frame(BINARY, b"%b%d%b" % (head, stamp, tail))


def positions(breadth: int, count: int, seed: int) -> List[bytes]:
    """``positions_update`` frames of so many open positions."""
    rng = random.Random(seed)
    return [
        _event("positions_update", _position(FIRST_POSITION + number % breadth, number, rng))
        for number in _shuffled(breadth, count, rng)
    ]


def placed_orders(breadth: int, seed: int) -> List[bytes]:
    """``orders_place`` frames, one for each of so many orders."""
    rng = random.Random(seed)
    return [_event("orders_place", _order(FIRST_ORDER + number, number, rng)) for number in range(breadth)]


def order_updates(breadth: int, count: int, seed: int) -> List[bytes]:
    """``orders_update`` frames of so many working orders, in a random order; numbered in ``external_id``."""
    rng = random.Random(seed)
    return [
        _event("orders_update", {**_order(FIRST_ORDER + number, number, rng), "external_id": str(index)})
        for index, number in enumerate(_shuffled(breadth, count, rng))
    ]


def event(event_type: str, data: Any) -> bytes:
    """A frame with a message of the benchmark's own."""
    return _event(event_type, data)


def _shuffled(breadth: int, count: int, rng: random.Random) -> List[int]:
    """Numbers below ``breadth``, each equally often, as far as ``count`` allows."""
    numbers: List[int] = []
    while len(numbers) < count:
        once = list(range(breadth))
        rng.shuffle(once)
        numbers += once
    return numbers[:count]


def _price(index: int, mid: float, rng: random.Random) -> Tuple[bytes, bytes]:
    _, digits, traded = _MARKETS[index % len(_MARKETS)]
    point = 10.0**-digits
    bid, ask = mid, mid + point * rng.randrange(1, 20)
    last = _text(mid, digits) if traded else "0"
    high, low = mid * (1 + rng.random() * 0.01), mid * (1 - rng.random() * 0.01)
    head = f"{FIRST_SYMBOL + index},{_text(bid, digits)},{_text(ask, digits)},{last},"
    return head.encode(), f",{_text(high, digits)},{_text(low, digits)}".encode()


def _text(value: float, digits: int) -> str:
    return str(_number(value, digits))


def _number(value: float, digits: int) -> Union[int, float]:
    """As Go writes it: a whole number without a point."""
    rounded = round(value, digits)
    return int(rounded) if rounded == int(rounded) else rounded


def _event(event_type: str, data: Any) -> bytes:
    text = json.dumps({"type": event_type, "data": data}, ensure_ascii=False, separators=(",", ":"))
    # Go writes JSON that may stand in HTML.
    text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return frame(TEXT, text.encode("utf-8"))


def _symbol(index: int) -> Dict[str, Any]:
    kind = index % len(_MARKETS)
    digits = _MARKETS[kind][1]
    name = _NAMES[kind]
    return {
        "id": FIRST_SYMBOL + index,
        "symbol": name,
        "desc": "",
        "base_currency": name[:3],
        "quote_currency": "USD",
        "digits": digits,
        "contract_size": 100_000,
        "tick_size": 10.0**-digits,
        "tick_value": 1,
        "spread": 12,
        "stop_level": 0,
        "swap_long": -6.2,
        "swap_short": 1.1,
        "status": 0,
        "trade_level": 4,
        "enabled": True,
        "group_id": 3,
    }


def _created(rng: random.Random) -> int:
    """Databases keep microseconds; what is told at once, as when it was updated, has nanoseconds."""
    return _START + rng.randrange(10**12) * 1000


def _position(identifier: int, number: int, rng: random.Random) -> Dict[str, Any]:
    index = number % 500
    price, digits, _ = _MARKETS[index % len(_MARKETS)]
    opened = price * (1 + rng.gauss(0, 0.01))
    volume = rng.randrange(1, 300) / 100
    profit = rng.gauss(0, 400)
    created = _created(rng)
    return {
        "id": identifier,
        "account_id": _ACCOUNT,
        "symbol_id": FIRST_SYMBOL + index,
        # Most updates of a position come with the id alone.
        "symbol": _symbol(index) if rng.random() < 0.175 else None,
        "side": rng.randrange(2),
        "volume_initial": _number(volume, 2),
        "volume_current": _number(volume, 2),
        "price_open": _number(opened, digits),
        "price_current": _number(opened * (1 + rng.gauss(0, 0.001)), digits),
        "price_sl": _number(opened * 0.99, digits) if rng.random() < 0.5 else None,
        "price_tp": _number(opened * 1.02, digits) if rng.random() < 0.5 else None,
        "profit": _number(profit, 2),
        "total_profit": _number(profit - 1.35, 2),
        "swaps": _number(-rng.random(), 2),
        "storage": 0,
        "status": 0,
        "reason": rng.choice((0, 0, 2, 16, 17)),
        "comment": rng.choice(_COMMENTS),
        "external_id": "",
        "created_at": time_text(created),
        "updated_at": time_text(created + rng.randrange(10**14)),
        "commission": 0.7,
        "contract_size": 100_000,
        "digits": digits,
        "rate_margin": _number(rng.uniform(0.9, 1.4), 5),
    }


def _order(identifier: int, number: int, rng: random.Random) -> Dict[str, Any]:
    index = number % 500
    price, digits, _ = _MARKETS[index % len(_MARKETS)]
    volume = rng.randrange(1, 300) / 100
    created = _created(rng)
    asked = price * (1 + rng.gauss(0, 0.01))
    return {
        "id": identifier,
        "account_id": _ACCOUNT,
        "symbol_id": FIRST_SYMBOL + index,
        "symbol": None,
        "type": rng.randrange(1, 5),
        "side": rng.randrange(2),
        "volume_initial": _number(volume, 2),
        "volume_current": _number(volume, 2),
        "price_order": _number(asked, digits),
        "price_current": _number(price, digits),
        "price_sl": None,
        "price_tp": _number(asked * 1.02, digits) if rng.random() < 0.5 else None,
        "status": 0,
        "reason": 17,
        "comment": rng.choice(_COMMENTS),
        "created_at": time_text(created),
        "updated_at": time_text(created + rng.randrange(10**14)),
        "time_setup": time_text(created),
        "time_expiration": ZERO_TIME,
        "time_done": None,
        "position_id": 0,
        "digits": digits,
        "type_fill": 0,
        "type_time": 0,
    }
