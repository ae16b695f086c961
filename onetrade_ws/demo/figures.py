"""Numbers and times as people read them."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Optional


def price(value: float, digits: Optional[int]) -> str:
    """A price with its symbol's decimals; without knowing those, as short as it can be."""
    return f"{value:.10g}" if digits is None else f"{value:.{digits}f}"


def points(bid: float, ask: float, digits: Optional[int]) -> str:
    """The distance of two prices in points, the last decimal of the symbol's price; "" without knowing it."""
    return "" if digits is None else str(round((ask - bid) * 10**digits))


def money(amount: float) -> str:
    """An amount with its sign, thousands separators and two decimals."""
    text = f"{amount:+,.2f}"
    return "0.00" if text[1:] == "0.00" else text


def volume(lots: float) -> str:
    """A volume in lots."""
    return f"{lots:,.2f}"


def clock(seconds: float) -> str:
    """A time, given in seconds since the epoch, as local HH:MM:SS.mmm."""
    local = datetime.fromtimestamp(seconds, tz=timezone.utc).astimezone()
    return local.strftime("%H:%M:%S.") + f"{local.microsecond // 1000:03d}"


def milliseconds(seconds: Optional[float]) -> str:
    """A short time span; "-" for one that is not known."""
    return "-" if seconds is None else f"{seconds * 1000:.2f} ms"


def count(number: int, noun: str) -> str:
    """ "1 event", "2,000 events"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
