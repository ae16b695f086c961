"""Records as the server writes them: JSON with the habits of a server in Go, and numbers read from clients.

The habits (vendor SDK), each where a client meets it every time:

* enumerations are integers; ids exceed 2^31 (orders) and 2^53 (deals);
* a whole float is written as an integer in records with an odd id, as a float in those with an even one;
* an unset time is the zero time (`time_expiration`), null (`time_done`), or ``""`` (`updated_at`);
* an unset `external_id` is absent, an unset `comment` null; an unset `price_sl` or `price_tp` is null;
* times are RFC 3339 with as many fractional digits as needed, up to nine; the journal's carry an offset,
  the others ``Z``.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Callable, Dict, Mapping, Optional, Union

from ..protocol.enums import SymbolStatus
from .market import ACCOUNT_CURRENCY, Instrument, Market
from .records import Account, Deal, JournalEntry, Order, Position, Record, Refused, Report

ZERO_TIME = "0001-01-01T00:00:00Z"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))"
)

ACCOUNT_ID = 100_482
USER_ID = 5_017

Wire = Dict[str, Any]


def time_text(nanoseconds: int, offset_hours: int = 0) -> str:
    """A time as RFC 3339 text, without trailing zeros in the fraction, as Go writes it."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    moment = _EPOCH + timedelta(seconds=seconds, hours=offset_hours)
    text = moment.replace(tzinfo=None).isoformat()
    if fraction:
        text += f".{fraction:09d}".rstrip("0")
    return text + (f"+{offset_hours:02d}:00" if offset_hours else "Z")


def read_time(value: Union[datetime, str, None]) -> Optional[int]:
    """Nanoseconds since the epoch. A datetime without a zone counts as UTC; the zero time and "" are None.

    Raises:
        Refused: It is no time.
    """
    if value is None or value == "" or value == ZERO_TIME:
        return None
    if isinstance(value, datetime):
        moment = value if value.tzinfo is not None else value.replace(tzinfo=timezone.utc)
        return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise Refused("a time is RFC 3339 text")
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    fraction, sign, hours, minutes = found.groups()[6:]
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
        moment += offset if sign == "-" else -offset
    except (ValueError, OverflowError):
        raise Refused("a time is RFC 3339 text") from None
    return (moment - _EPOCH) // timedelta(seconds=1) * 1_000_000_000 + int((fraction or "0").ljust(9, "0"))


def read_number(value: Any, name: str) -> Decimal:
    """A number from a caller or a client, exactly as its decimal notation says.

    Raises:
        Refused: It is no number, or not a finite one.
    """
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        number = Decimal(str(value)) if isinstance(value, float) else Decimal(value)
        if number.is_finite() and abs(number) < Decimal("1e15"):
            return number
    raise Refused(f"{name} must be a number")


def read_price(value: Any, name: str) -> Optional[Decimal]:
    """A price that may be unset: None and 0 are None.

    Raises:
        Refused: It is no number, or below zero.
    """
    if value is None:
        return None
    number = read_number(value, name)
    if number < 0:
        raise Refused(f"{name} must not be below zero")
    return number or None


def read_text(value: Any, name: str) -> Optional[str]:
    """Text that may be unset.

    Raises:
        Refused: It is no text.
    """
    if value is not None and not isinstance(value, str):
        raise Refused(f"{name} must be text")
    return value


def _time(value: Any, name: str) -> Optional[int]:
    return read_time(value)


Readers = Mapping[str, Callable[[Any, str], Any]]

# What can be changed by hand, by the wire's names. Everything else follows from prices and deals.
ORDER_CHANGES: Readers = {
    "volume_initial": read_number,
    "price_order": read_number,
    "price_trigger": read_number,
    "price_sl": read_price,
    "price_tp": read_price,
    "comment": read_text,
    "external_id": read_text,
    "time_expiration": _time,
}
POSITION_CHANGES: Readers = {
    "price_sl": read_price,
    "price_tp": read_price,
    "swaps": read_number,
    "comment": read_text,
    "external_id": read_text,
}
DEAL_CHANGES: Readers = {
    "commission": read_number,
    "swap": read_number,
    "fee": read_number,
    "comment": read_text,
    "external_id": read_text,
}


def read_changes(readers: Readers, changes: Mapping[str, Any]) -> Dict[str, Any]:
    """Changes as the books take them.

    Raises:
        Refused: A name is not among those that can be changed, or a value has the wrong type.
    """
    for name in changes:
        if name not in readers:
            raise Refused(f"{name} cannot be set; what can be: {', '.join(readers)}")
    return {name: readers[name](value, name) for name, value in changes.items()}


class Writer:
    """Turns records into the objects that go over the wire.

    Args:
        rich: Whether the vendor's fields beyond the specification are written, too.
        http_url: Gives the address that a report's link begins with.
    """

    def __init__(self, market: Market, rich: bool, http_url: Callable[[], str]) -> None:
        self._market = market
        self._rich = rich
        self._http_url = http_url

    def write(self, record: Record) -> Wire:
        """Any record as the wire's object."""
        if isinstance(record, Order):
            return self.order(record)
        if isinstance(record, Position):
            return self.position(record)
        if isinstance(record, Deal):
            return self.deal(record)
        if isinstance(record, JournalEntry):
            return self.journal_entry(record)
        return self.report(record)

    def symbol(self, item: Instrument) -> Wire:
        """A symbol (vendor SDK; the specification does not define it)."""
        price = self._market.price(item.id)
        tick_value = item.point * item.contract_size * self._market.rate(item.quote)
        whole = item.id
        wire: Wire = {
            "id": item.id,
            "symbol": item.name,
            "desc": item.desc,
            "base_currency": item.base,
            "quote_currency": item.quote,
            "digits": item.digits,
            "contract_size": _number(item.contract_size, whole),
            "tick_size": _number(item.point, whole),
            "tick_value": _number(round(tick_value, 6), whole),
            "min_value": _number(item.min_volume, whole),
            "max_value": _number(item.max_volume, whole),
            "step": _number(item.step, whole),
            "spread": int((price.ask - price.bid) / item.point),
            "stop_level": 0,
            "swap_long": 0,
            "swap_short": 0,
            "status": int(SymbolStatus.ENABLED),
            "trade_level": 0,
            "enabled": True,
            "isin": "",
        }
        if self._rich:
            wire.update(
                currency_margin=item.base,
                digits_currency=2,
                margin_initial=0,
                margin_maintenance=0,
                commission=_number(item.commission, whole),
                sessions_quotes=None,
                sessions_trades=None,
                group_id=1 if item.contract_size == 100_000 else 2,
            )
        return wire

    def order(self, order: Order) -> Wire:
        """An order (specification; with `rich` also vendor SDK)."""
        item, whole = order.instrument, order.id
        price = self._market.price(item.id)
        wire: Wire = {
            "id": order.id,
            "account_id": ACCOUNT_ID,
            "symbol_id": item.id,
            "symbol": self.symbol(item),
            "type": int(order.type),
            "side": int(order.side),
            "volume_initial": _number(order.volume_initial, whole),
            "volume_current": _number(order.volume_current, whole),
            "price_order": _number(order.price_order, whole),
            "price_current": _number(price.bid if order.side else price.ask, whole),
            "price_sl": _optional(order.price_sl, whole),
            "price_tp": _optional(order.price_tp, whole),
            "status": int(order.status),
            "reason": int(order.reason),
            "comment": order.comment,
            "created_at": time_text(order.created_at),
            "updated_at": "" if order.updated_at is None else time_text(order.updated_at),
            "time_setup": time_text(order.created_at),
            "time_expiration": ZERO_TIME
            if order.time_expiration is None
            else time_text(order.time_expiration),
            "time_done": None if order.time_done is None else time_text(order.time_done),
        }
        _add_external_id(wire, order.external_id)
        if self._rich:
            wire.update(
                account=None,
                position=None,
                position_id=order.position_id or 0,
                position_by_id=0,
                price_trigger=_number(order.price_trigger or Decimal(0), whole),
                contract_size=_number(item.contract_size, whole),
                digits=item.digits,
                digits_currency=2,
                type_fill=0,
                type_time=0 if order.time_expiration is None else 1,
                expiration_policy=0,
                rate_margin=_number(self._market.rate(item.quote), whole),
                dealer_id=0,
                volume_initial_ext=_units(order.volume_initial, item),
                volume_current_ext=_units(order.volume_current, item),
                channel=int(order.channel),
                created_by=USER_ID,
                updated_by=0 if order.updated_at is None else USER_ID,
            )
        return wire

    def position(self, position: Position) -> Wire:
        """A position (specification; with `rich` also vendor SDK)."""
        item, whole = position.instrument, position.id
        wire: Wire = {
            "id": position.id,
            "account_id": ACCOUNT_ID,
            "symbol_id": item.id,
            "symbol": self.symbol(item),
            "side": int(position.side),
            "volume_initial": _number(position.volume_initial, whole),
            "volume_current": _number(position.volume_current, whole),
            "price_open": _number(position.price_open, whole),
            "price_current": _number(position.price_current, whole),
            "price_sl": _optional(position.price_sl, whole),
            "price_tp": _optional(position.price_tp, whole),
            "profit": _number(position.profit, whole),
            "total_profit": _number(position.total_profit, whole),
            "swaps": _number(position.swaps, whole),
            "storage": 0,
            "status": int(position.status),
            "reason": int(position.reason),
            "comment": position.comment,
            "created_at": time_text(position.created_at),
            "updated_at": "" if position.updated_at is None else time_text(position.updated_at),
        }
        _add_external_id(wire, position.external_id)
        if self._rich:
            wire.update(
                account=None,
                action=int(position.side),
                commission=_number(position.commission, whole),
                contract_size=_number(item.contract_size, whole),
                digits=item.digits,
                digits_currency=2,
                rate_margin=_number(position.rate_margin, whole),
                rate_profit=_number(position.rate_profit, whole),
                dealer_id=0,
                volume_initial_ext=_units(position.volume_initial, item),
                volume_current_ext=_units(position.volume_current, item),
            )
        return wire

    def deal(self, deal: Deal) -> Wire:
        """A deal (specification; with `rich` also vendor SDK). One on the balance has symbol 0 and null."""
        item, whole = deal.instrument, deal.id
        bid, ask, last = deal.market
        wire: Wire = {
            "id": deal.id,
            "account_id": ACCOUNT_ID,
            "order_id": deal.order_id,
            "position_id": deal.position_id,
            "symbol_id": 0 if item is None else item.id,
            "symbol": None if item is None else self.symbol(item),
            "side": int(deal.side),
            "direction": int(deal.direction),
            "volume": _number(deal.volume, whole),
            "price": _number(deal.price, whole),
            "entry": _number(deal.entry, whole),
            "profit": _number(deal.profit, whole),
            "profit_raw": _number(deal.profit_raw, whole),
            "commission": _number(deal.commission, whole),
            "swap": _number(deal.swap, whole),
            "fee": _number(deal.fee, whole),
            "storage": 0,
            "market_bid": _number(bid, whole),
            "market_ask": _number(ask, whole),
            "market_last": _number(last, whole),
            "reason": int(deal.reason),
            "channel": int(deal.channel),
            "comment": deal.comment,
            "created_at": time_text(deal.created_at),
            "updated_at": "" if deal.updated_at is None else time_text(deal.updated_at),
        }
        _add_external_id(wire, deal.external_id)
        if self._rich:
            leaves = deal.direction == 1
            wire.update(
                account=None,
                action=int(deal.side),
                closed_volume=_number(deal.volume if leaves else Decimal(0), whole),
                contract_size=0 if item is None else _number(item.contract_size, whole),
                digits=0 if item is None else item.digits,
                price_position=_number(deal.entry, whole),
                price_sl=_optional(deal.price_sl, whole),
                price_tp=_optional(deal.price_tp, whole),
                rate_profit=_number(deal.rate_profit, whole),
                tick_size=0 if item is None else _number(item.point, whole),
                external_volume=0,
            )
        return wire

    def journal_entry(self, entry: JournalEntry) -> Wire:
        """A line of the journal (specification)."""
        return {
            "id": entry.id,
            "user_id": USER_ID,
            "desc": entry.desc,
            "ip": "127.0.0.1",
            "device": "simulator",
            "os": "",
            "channel": int(entry.channel),
            "created_at": time_text(entry.created_at, 2),
        }

    def report(self, report: Report) -> Wire:
        """A report (specification). What the numbers in `type` and `status` mean is documented nowhere."""
        wire = {
            "id": report.id,
            "user_id": USER_ID,
            "type": 1,
            "status": 2,
            "kind": report.kind,
            "desc": f"Report on {report.kind}",
            "query": f"account_id={ACCOUNT_ID}",
            "url": f"{self._http_url()}/reports/{report.id}.csv",
        }
        if self._rich:
            wire["created_at"] = time_text(report.created_at)
        return wire

    def account(self, account: Account) -> Wire:
        """The account (vendor SDK names the call, not its fields)."""
        return {
            "id": ACCOUNT_ID,
            "user_id": USER_ID,
            "currency": ACCOUNT_CURRENCY,
            "digits_currency": 2,
            "leverage": account.leverage,
            "balance": _number(account.balance, 1),
            "credit": _number(account.credit, 1),
            "profit": _number(account.profit, 1),
            "equity": _number(account.equity, 1),
            "margin": _number(account.margin, 1),
            "margin_free": _number(account.margin_free, 1),
            "margin_level": _number(account.margin_level, 1),
        }


def profit_frame(position: Position) -> bytes:
    """The payload of a profit frame (vendor SDK's layout)."""
    return f"s,{position.id},{position.profit:.2f},{position.total_profit:.2f}".encode("ascii")


def _number(value: Decimal, record_id: int) -> Union[int, float]:
    if record_id % 2 and value == value.to_integral_value():
        return int(value)
    return float(value)


def _optional(value: Optional[Decimal], record_id: int) -> Union[int, float, None]:
    return None if value is None else _number(value, record_id)


def _units(volume: Decimal, item: Instrument) -> int:
    return int(volume * item.contract_size)


def _add_external_id(wire: Wire, external_id: Optional[str]) -> None:
    if external_id is not None:
        wire["external_id"] = external_id
