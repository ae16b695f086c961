"""Exact decimals of the numbers that a server sends: no binary fraction, and none that is rounded on the way."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from typing import Any, Optional

#: Wide enough for a sum of as many positions as are kept to be exact, whatever the caller's context.
ARITHMETIC = Context(
    prec=100,
    rounding=ROUND_HALF_UP,
    Emin=-999_999,
    Emax=999_999,
    traps=[InvalidOperation, DivisionByZero, Overflow],
)
ZERO, ONE = Decimal(0), Decimal(1)
#: The smallest part of most currencies.
CENT = Decimal("0.01")


def exact(value: Any) -> Optional[Decimal]:
    """A number as its decimal notation says; None for what is none, or beyond all money."""
    if type(value) is float:
        number = Decimal(repr(value))
    elif type(value) is int:
        number = Decimal(value)
    else:
        return None
    if not number.is_finite() or (number and not -20 <= number.adjusted() < 15):
        return None
    return number


def cent_of(digits: Optional[int]) -> Decimal:
    """The smallest part of a currency of so many decimals; :data:`CENT` where that is not known."""
    return CENT if digits is None or not 0 <= digits <= 8 else ARITHMETIC.scaleb(ONE, -digits)
