"""Whether a mirror holds what the simulator's books say."""

from __future__ import annotations

from typing import Any, Dict, List

import attrs

from onetrade_ws import Account, Deal, Order, Position
from onetrade_ws.protocol.structure import structure
from onetrade_ws.simulator import Simulator

# An order's and a position's event is sent once, while prices go on: these are as of then. Of a position, profit frames
# tell the rest.
_AS_OF_THEN = ("symbol", "price_current")
_EXTRA_AS_OF_THEN = ("rate_margin", "rate_profit")


def differences(account: Account, simulator: Simulator) -> List[str]:
    """What is not in the mirror as it is in the books, in words; nothing when all is."""
    found: List[str] = []
    for name, model, wires, mirrored in (
        ("order", Order, simulator.orders, account.orders),
        ("position", Position, simulator.positions, account.positions),
        ("deal", Deal, simulator.deals, account.deals),
    ):
        books: Dict[int, Any] = {wire["id"]: structure(wire, model) for wire in wires}
        found += [f"{name} {each} is missing" for each in books if each not in mirrored]
        found += [f"{name} {each} is made up" for each in mirrored if each not in books]
        for each, booked in books.items():
            if each in mirrored:
                ours, theirs = comparable(mirrored[each]), comparable(booked)
                found += [
                    f"{name} {each}: {field} is {ours[field]!r}, not {theirs[field]!r}"
                    for field in theirs
                    if ours[field] != theirs[field]
                ]
    return found


def comparable(record: Any) -> Dict[str, Any]:
    """An object's fields, without prices as of when it was sent."""
    fields = attrs.asdict(record, recurse=False)
    for name in _AS_OF_THEN:
        fields.pop(name, None)
    fields["extra"] = {name: value for name, value in record.extra.items() if name not in _EXTRA_AS_OF_THEN}
    return fields
