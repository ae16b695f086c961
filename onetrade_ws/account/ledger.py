"""The deals, and what they did to the balance."""

from __future__ import annotations

from decimal import Decimal, localcontext
from itertools import islice
from typing import Dict, Iterable, NamedTuple, Optional

from ..protocol.enums import SideType
from ..protocol.models import Deal
from .merge import is_older
from .money import ARITHMETIC, ZERO, exact

# Of so many deals it is known what they did to the balance: as many as a server tells of at once, and more.
_BOOKED_LIMIT = 250_000


class _Booked(NamedTuple):
    """What a deal has done to the balance."""

    profit: Decimal
    deal: Deal


class Ledger:
    """Requires holding the mirror's lock.

    :ivar balance: None: not known
    :ivar credit: None: not known
    :param told: the deals that are in the balance; None: the server does not tell of them
    """

    def __init__(
        self, balance: Optional[Decimal], credit: Optional[Decimal], told: Optional[Iterable[Deal]]
    ) -> None:
        self.balance = balance
        self.credit = credit
        # By deal id.
        self._booked: Optional[Dict[int, _Booked]] = None
        if told is not None:
            self._booked = {}
            for deal in told:
                profit = exact(deal.profit)
                if profit is not None:
                    self._booked[deal.id] = _Booked(profit, deal)

    def book_since(self, deal: Deal, is_corrected: bool) -> None:
        """An event told of a deal while the snapshot was taken: it may be in there or not.

        :param is_corrected: whether an event told of a correction of it, too
        """
        before = None if self._booked is None else self._booked.get(deal.id)
        if before is None:
            self.book(deal, is_new=True)
        elif is_corrected and exact(deal.profit) != before.profit:
            # Only what was never updated says nothing of when. An event may leave it out all the same.
            if deal.updated_at is None:
                self.balance = None
            self.book(deal, is_new=False)

    def book(self, deal: Deal, is_new: bool) -> bool:
        """A deal was made, or corrected.

        :returns: whether it is a new one that made a profit or a loss, so that its position has changed, too
        """
        profit = exact(deal.profit)
        if self._booked is None or profit is None:
            self.balance = None
            return False
        before = self._booked.get(deal.id)
        if before is not None and (is_new or profit == before.profit or is_older(deal, before.deal)):
            # It is in the balance, corrected since perhaps; or what the snapshot says of it is newer.
            return False
        if (before is None and not is_new) or not _is_net(deal, profit):
            self.balance = None
            return False
        if deal.side not in (SideType.BUY, SideType.SELL, SideType.BALANCE):
            self.lose()
            return False
        self._booked[deal.id] = _Booked(profit, deal)
        if len(self._booked) > _BOOKED_LIMIT:
            # Many at once: each time, what was deleted before is passed on the way to the first that is there.
            for identity in list(islice(self._booked, _BOOKED_LIMIT // 20)):
                del self._booked[identity]
        if self.balance is not None:
            with localcontext(ARITHMETIC):
                self.balance += profit - (ZERO if before is None else before.profit)
        return before is None and bool(profit)

    def lose(self) -> None:
        """What a deal did is not known."""
        self.balance = self.credit = None


def _is_net(deal: Deal, profit: Decimal) -> bool:
    """Whether a deal's profit is what is left of the raw one, whichever sign the charges have."""
    raw, swap, commission, fee = map(exact, (deal.profit_raw, deal.swap, deal.commission, deal.fee))
    if raw is None or swap is None or commission is None or fee is None:
        return False
    with localcontext(ARITHMETIC):
        charges = commission + fee
        return profit - raw - swap in (charges, -charges)
