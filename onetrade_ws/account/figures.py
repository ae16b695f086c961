"""The account's figures between two snapshots: balance, floating profit, equity and margin, kept up to date by
arithmetic. No thread, no I/O, no clock.

Each figure has a rule, and each rule is applied only where it gives what the server itself says at the snapshot, to the
cent; a figure that no rule gives stays the server's while nothing that it depends on has changed, and is None after
that. Rules are taken for granted where the snapshot can neither prove nor disprove them: that the account's profit is
the sum of the positions'; and, where nothing is open, those of the margin and its level.
:mod:`~onetrade_ws.account.rules` has all of it. It is calculated in decimals, and rounded nowhere but where the
account's rules round.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import (
    Container,
    ContextManager,
    Dict,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
)

import attrs

from ..protocol.drafts import copier_of
from ..protocol.enums import PositionStatus
from ..protocol.models import Deal, Position, Quote, TradingAccount
from ..protocol.snapshot import Snapshot
from .holdings import Held, Holdings, Taken, Valued
from .ledger import Ledger
from .margin import Margins
from .money import ARITHMETIC, cent_of, exact
from .pairing import Pairing
from .pricing import Pricing
from .rules import Numbers, Rules
from .symbols import Symbols

# So many events of positions are remembered while a snapshot is taken.
_SINCE_LIMIT = 1000

# So many values are put back for each time that the lock is taken.
_PIECE = 500


@attrs.frozen(kw_only=True)
class Figures:
    """The account's figures at one moment; money in ``currency``. A figure that is not known is None.

    :ivar currency: the deposit currency
    :ivar balance: as the server said, and from then on changed by the ``profit`` of each deal, and by what a correction
        changes of it. Not known after a deal whose effect is not: one of an unknown side or of credit; one whose
        ``profit`` is not ``profit_raw`` with swap and charges; a correction of a deal that was not known; one that came
        while the snapshot was taken, differs from it and does not say when it was made; any deal where the server does
        not tell of its deals over HTTP. In one rare case it may be wrong until the next snapshot: when of two deals
        that cancel each other out the snapshot's list of deals was made in between
    :ivar credit: as the server said; not known after a deal of credit
    :ivar profit: the sum of the open positions' ``total_profit``. Of each: as the server said last; or, when quotes are
        newer than that, by them, where the same calculation with the quotes of then gives what the server said then,
        to the cent. Not known where the positions are not; and between a deal and what it makes of its position, which
        come one after the other. That the sum is what the server means by the account's profit is taken for
        granted: prices may move between the calls of the snapshot, and a sum that differs then proves
        nothing. It is not where the snapshot shows otherwise: nothing was told of profits or positions while it was
        taken, and the account's profit is the sum of the ``profit`` of each, without charges. Then it is the
        server's until the sum changes
    :ivar equity: ``balance + credit + profit``
    :ivar margin: the sum of ``volume_current * contract_size * price_open * rate_margin / leverage`` of each open
        position, rounded. Where that is not the server's own margin: the server's, until a position is opened, closed
        or changes its volume. Where nothing was open at the snapshot the rule could not be tried, and is taken for
        granted
    :ivar margin_free: ``equity - margin``
    :ivar margin_level: ``equity`` in percent of ``margin``, rounded to two decimals; without any margin what the server
        said when there was none, or else 0. Where there was no margin at the snapshot, this rule is taken for granted,
        too
    :ivar is_computed: False: all of it is the server's own word, and what came since has changed nothing. True: it was
        calculated from that
    :ivar updated_at: when the newest of what it was made of came, seconds since the epoch
    """

    currency: Optional[str] = None
    balance: Optional[float] = None
    credit: Optional[float] = None
    profit: Optional[float] = None
    equity: Optional[float] = None
    margin: Optional[float] = None
    margin_free: Optional[float] = None
    margin_level: Optional[float] = None
    is_computed: bool
    updated_at: float


# In a still market, what comes changes nothing but this.
_with_moment = copier_of(Figures, "updated_at")


class _Asked(NamedTuple):
    """What the figures of one moment are made of. Nothing in it changes but the holdings.

    :ivar version: how much had happened by then
    :ivar knows_profit: whether it is known which positions are open, and what deals have made of them
    """

    version: int
    updated_at: float
    currency: Optional[str]
    rules: Rules
    balance: Optional[Decimal]
    credit: Optional[Decimal]
    margin: Optional[Decimal]
    knows_profit: bool
    holdings: Holdings
    taken: Taken

    def calculate(self) -> Tuple[List[Optional[float]], Valued]:
        """The figures of then, in the order of :class:`~onetrade_ws.account.rules.Numbers`, and what each position that
        was taken is worth. On any thread, without a lock: takes a moment for each of them."""
        with localcontext(ARITHMETIC):
            valued = self.taken.value()
            profit = valued.total if self.knows_profit else None
            numbers = self.rules.applied(self.balance, self.credit, profit, self.margin)
        # Without the minus of a zero.
        return [None if number is None else float(number) + 0.0 for number in numbers], valued


@attrs.frozen(eq=False)
class _Books:
    """What is kept from a snapshot on. Requires holding the mirror's lock."""

    currency: Optional[str]
    rules: Rules
    ledger: Ledger
    holdings: Holdings
    margins: Margins
    pairing: Pairing = attrs.field(factory=Pairing)

    def put_position(self, position: Position) -> None:
        """A position is now like this."""
        if not self.holdings.is_known:
            return
        identity = position.id
        before = self.holdings.get(identity)
        is_over = position.status == PositionStatus.CLOSED
        if is_over or (before is not None and before.symbol_id != position.symbol_id):
            before = None
            self.holdings.remove(identity)
            self.margins.remove(identity)
            self.pairing.close(identity)
        if is_over:
            return
        self.margins.put(position)
        if before is not None:
            self.pairing.change(before, position)
            self.holdings.put(position)
        else:
            self.pairing.open(position)
            self.holdings.add(position)
            if not self.holdings.is_known:
                self.lose_positions()

    def put_deal(self, deal: Deal, is_new: bool) -> None:
        """A deal was made, or corrected."""
        if self.ledger.book(deal, is_new) and self.holdings.get(deal.position_id) is not None:
            self.pairing.deal(deal)

    def lose_positions(self) -> None:
        """Which positions are open is not known any more."""
        self.holdings.lose()
        self.margins.clear()
        self.pairing.clear()


class Valuation:
    """Calculates :class:`Figures`. Requires holding the mirror's lock, but for :meth:`figures`.

    What events tell is only noted; :meth:`figures` calculates, and of the positions only those that something has
    happened to. Before the first snapshot, and while the account is stale, nothing is even noted.

    :param quotes: the newest quote of each symbol, by symbol id; only looked at
    :param lock: the mirror's
    """

    def __init__(self, quotes: Mapping[int, Quote], lock: ContextManager[object]) -> None:
        self._quotes = quotes
        self._lock = lock
        #: The positions whose profit a symbol's price moves, by symbol id, and by their own. One object, which the
        #: mirror looks into.
        self.moved_by: Dict[int, Dict[int, Held]] = {}
        #: When the newest quote of one of these symbols came.
        self.quoted_at = 0.0
        # None: before the first snapshot, and while the account is stale.
        self._books: Optional[_Books] = None
        # How much has happened, and how much of that is in the figures.
        self._version = self._version_of_figures = 0
        self._updated_at = 0.0
        self._figures: Optional[Figures] = None
        # The positions that events have told of since a snapshot was asked for; None: none is asked for.
        self._since: Optional[List[Position]] = None
        # The deals of which they have told a correction since then.
        self._corrected: Set[int] = set()
        # Whether something of deals or of positions could not be read since the snapshot was asked for.
        self._misses_deals = self._misses_positions = False

    # -- what the server says -------------------------------------------------------------------------------

    def begin(self) -> None:
        """A snapshot is asked for."""
        self._since = []
        self._corrected.clear()
        self._misses_deals = self._misses_positions = False

    def load(
        self,
        snapshot: Snapshot,
        *,
        positions: Iterable[Position],
        deals: Iterable[Optional[Deal]],
        symbols: Symbols,
        has_floated: bool,
        at: float,
    ) -> None:
        """Begin anew with a snapshot; without an account in it, :meth:`stop`.

        :param positions: the open ones, with what events have made of them since the snapshot was asked for
        :param deals: those that events have told of since; None: one that is not known any more
        :param symbols: all there are
        :param has_floated: whether events have told of profits since
        :param at: when it came, seconds since the epoch
        """
        since, self._since = self._since or [], None
        corrected, self._corrected = self._corrected, set()
        account = snapshot.account
        if account is None:
            self.stop()
            return
        self._books = None
        told, deals = Numbers.of(account), list(deals)
        pricing = Pricing(account.currency, cent_of(account.digits_currency), symbols)
        ledger = Ledger(told.balance, told.credit, snapshot.deals)
        # Which of the deals are in it may not be known, and so not what the next one makes of it.
        is_settled = snapshot.is_settled or snapshot.deals is None
        if not is_settled or None in deals:
            ledger.balance = None
        for deal in deals:
            if deal is not None:
                ledger.book_since(deal, deal.id in corrected)
        margins = Margins(pricing, exact(account.leverage), told.margin)
        has_moved = bool(has_floated or since)
        with localcontext(ARITHMETIC):
            holdings = self._hold(pricing, margins, snapshot.positions, positions, since)
            rules = Rules.tried(told, holdings.total, holdings, is_quiet=not has_moved)
        self._books = _Books(account.currency, rules, ledger, holdings, margins)
        self._figures, self._updated_at = _as_told(account, at), at
        # What was asked for before, and is still being calculated, is obsolete.
        self._version_of_figures = self._version
        if has_moved or deals or not is_settled:
            self._version += 1
        self._leave_out_what_is_missed()

    def _hold(
        self,
        pricing: Pricing,
        margins: Margins,
        told: Optional[Sequence[Position]],
        known: Iterable[Position],
        since: Sequence[Position],
    ) -> Holdings:
        self.moved_by.clear()
        holdings = Holdings(self._quotes, self.moved_by, pricing, is_known=told is not None)
        if told is not None:
            for position in known:
                if holdings.is_known:
                    holdings.add(position)
                    margins.put(position)
            margins.begin([one for one in told if one.status != PositionStatus.CLOSED], since)
        holdings.note_quotes()
        taken = holdings.take()
        holdings.put_back(taken, taken.value(), 0, len(taken.held))
        return holdings

    def stop(self) -> None:
        """What comes from here on is not all there is: stay as it is until the next snapshot."""
        self._since = None
        self._corrected.clear()
        asked = self._ask()
        if asked is not None:
            self._settle(asked, asked.calculate()[0])
        if self._books is not None:
            self._books = None
            self.moved_by.clear()

    # -- what events tell -----------------------------------------------------------------------------------

    def put_position(self, position: Position, at: float) -> None:
        """A position is now like this."""
        if self._since is not None and len(self._since) < _SINCE_LIMIT:
            self._since.append(position)
        books = self._books
        if books is not None:
            self._version += 1
            self._updated_at = at
            books.put_position(position)
            books.margins.try_again()

    def put_profit(self, position: Position, at: float) -> None:
        """An open position has this profit now, and is otherwise as it was."""
        books = self._books
        if books is not None and books.holdings.put(position):
            self._version += 1
            self._updated_at = at

    def put_deal(self, deal: Deal, is_new: bool, at: float) -> None:
        """A deal was made, or corrected."""
        if self._since is not None and not is_new:
            self._corrected.add(deal.id)
        books = self._books
        if books is not None:
            self._version += 1
            self._updated_at = at
            books.put_deal(deal, is_new)

    def miss(self, names: Container[str], at: float) -> None:
        """An event was not understood.

        :param names: the collections that it tells of
        """
        misses_deals, misses_positions = "deals" in names, "positions" in names
        self._misses_deals = self._misses_deals or misses_deals
        self._misses_positions = self._misses_positions or misses_positions
        if self._books is not None and (misses_deals or misses_positions):
            self._updated_at = at
            self._leave_out_what_is_missed()

    def _leave_out_what_is_missed(self) -> None:
        books = self._books
        if books is not None and self._misses_deals:
            self._version += 1
            books.ledger.lose()
        if books is not None and self._misses_positions:
            self._version += 1
            books.lose_positions()

    # -- the figures ----------------------------------------------------------------------------------------

    def figures(self) -> Optional[Figures]:
        """The figures as of when they are asked for, or newer; None before the first snapshot. On any thread, not
        holding the lock.

        What they are made of is taken with the lock, all at once; what takes long, to value the positions, is done
        without it; what came of that is put back with it. If something has happened meanwhile it is in the next
        figures. Threads that ask at once do so for themselves: the newest figures stay, and all of them get these or
        their own, whichever are newer.
        """
        with self._lock:
            asked = self._ask()
            if asked is None:
                return self._figures
        money, valued = asked.calculate()
        for start in range(0, len(asked.taken.held), _PIECE):
            with self._lock:
                asked.holdings.put_back(asked.taken, valued, start, start + _PIECE)
        with self._lock:
            return self._settle(asked, money)

    def _ask(self) -> Optional[_Asked]:
        """What the figures of now are made of; None: they are there."""
        books = self._books
        if books is None:
            return None
        if books.holdings.note_quotes():
            self._version += 1
            self._updated_at = max(self._updated_at, self.quoted_at)
        if self._version == self._version_of_figures:
            return None
        knows_profit = books.holdings.is_known and books.pairing.is_complete
        return _Asked(
            self._version,
            self._updated_at,
            books.currency,
            books.rules,
            books.ledger.balance,
            books.ledger.credit,
            books.margins.total if knows_profit else None,
            knows_profit,
            books.holdings,
            books.holdings.take(),
        )

    def _settle(self, asked: _Asked, money: List[Optional[float]]) -> Optional[Figures]:
        """These are the figures, if there are no newer ones."""
        if asked.version > self._version_of_figures:
            self._version_of_figures = asked.version
            if money != [getattr(self._figures, name) for name in Numbers._fields]:
                self._figures = Figures(
                    currency=asked.currency,
                    **dict(zip(Numbers._fields, money)),
                    is_computed=True,
                    updated_at=asked.updated_at,
                )
            elif self._figures is not None:
                self._figures = _with_moment(self._figures, asked.updated_at)
        return self._figures


def _as_told(account: TradingAccount, at: float) -> Figures:
    money = {name: getattr(account, name) for name in Numbers._fields}
    return Figures(currency=account.currency, **money, is_computed=False, updated_at=at)
