"""The account's figures between two snapshots: balance, floating profit, equity and margin, kept up to date by
arithmetic. No thread, no I/O, no clock.

Money is never guessed. Each rule is tried at the snapshot, and applied from then on only where it gives what the server
itself says there; a figure that no rule gives stays the server's while nothing that it depends on has changed, and is
None after that. It is calculated in decimals, and rounded nowhere but where the account's rules round.
"""

from __future__ import annotations

from decimal import (
    ROUND_HALF_UP,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
    localcontext,
)
from itertools import islice
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

import attrs

from ..protocol.enums import PositionStatus, SideType
from ..protocol.models import Deal, Position, Quote, Symbol, TradingAccount
from ..protocol.snapshot import Snapshot
from .history import LIVE_LIMIT
from .merge import moment_of
from .symbols import Symbols

# Wide enough for a sum of as many positions as are kept to be exact, whatever the caller's context.
_ARITHMETIC = Context(
    prec=100,
    rounding=ROUND_HALF_UP,
    Emin=-999_999,
    Emax=999_999,
    traps=[InvalidOperation, DivisionByZero, Overflow],
)
_ZERO, _ONE, _HUNDRED = Decimal(0), Decimal(1), Decimal(100)
_RATE_STEP = Decimal("1e-10")
_LEVEL_STEP = Decimal("0.01")

# So many events of positions are remembered while a snapshot is taken.
_SINCE_LIMIT = 1000
# Of so many deals it is known what they did to the balance: as many as a server tells of at once, and more.
_BOOKED_LIMIT = 250_000


@attrs.frozen(kw_only=True)
class Figures:
    """The account's figures at one moment; money in ``currency``. A figure that is not known is None.

    :ivar currency: the deposit currency
    :ivar balance: as the server said, and from then on changed by the ``profit`` of each deal, and by what a correction
        changes of it. Not known after a deal whose effect is not: one of an unknown side or of credit; one whose
        ``profit`` is not ``profit_raw`` with swap and charges; a correction of a deal that was not known; any deal
        where the server does not tell of its deals over HTTP
    :ivar credit: as the server said; not known after a deal of credit
    :ivar profit: the sum of the open positions' ``total_profit``. Of each: as the server said last; or, when quotes are
        newer than that, by them, where the same calculation with the quotes of then gives what the server said then,
        to the cent. Not known where the positions are not; and between a deal and what it makes of its position, which
        come one after the other
    :ivar equity: ``balance + credit + profit``
    :ivar margin: the sum of ``volume_current * contract_size * price_open * rate_margin / leverage`` of each open
        position, rounded. Where that is not the server's own margin: the server's, until a position is opened, closed
        or changes its volume
    :ivar margin_free: ``equity - margin``
    :ivar margin_level: ``equity`` in percent of ``margin``, rounded to two decimals; without any margin what the server
        said when there was none, or else 0
    :ivar is_computed: False: all of it is the server's own word. True: it was calculated from what came since
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


class _Numbers(NamedTuple):
    """The figures, exactly."""

    balance: Optional[Decimal]
    credit: Optional[Decimal]
    profit: Optional[Decimal]
    equity: Optional[Decimal]
    margin: Optional[Decimal]
    margin_free: Optional[Decimal]
    margin_level: Optional[Decimal]


class _Booked(NamedTuple):
    """What a deal has done to the balance."""

    profit: Decimal
    deal: Deal


class _Route(NamedTuple):
    """How a symbol's prices become the account's money.

    :ivar converter: the id of the symbol that converts; None: nothing to convert
    :ivar is_direct: whether its price is that of the symbol's currency, or of the account's
    """

    converter: Optional[int]
    is_direct: bool


class _Terms(NamedTuple):
    """What is the same for each price of a position.

    :ivar factor: money in the symbol's currency for a move of the price by 1
    :ivar charges: what is in its total profit besides the profit
    """

    price_open: Decimal
    factor: Decimal
    charges: Decimal


class _Prices(NamedTuple):
    """A quote's prices, exactly; None for one that cannot be."""

    quote: Quote
    bid: Optional[Decimal]
    ask: Optional[Decimal]

    @classmethod
    def of(cls, quote: Optional[Quote]) -> Optional[_Prices]:
        return None if quote is None else cls(quote, _exact(quote.bid), _exact(quote.ask))


@attrs.define(eq=False)
class _Held:
    """An open position.

    :ivar position: as the server described it last
    :ivar route: None: not known
    :ivar quote: its symbol's newest one then
    :ivar conversion: the newest one then of what converts
    :ivar terms: None: the calculation does not give the profit that the server said last; or it was not tried
    :ivar is_counted: whether ``value`` is in the sum
    :ivar unexplained: the last change of its volume, when no deal has told of it yet
    """

    position: Position
    route: Optional[_Route]
    quote: Optional[Quote] = None
    conversion: Optional[Quote] = None
    terms: Optional[_Terms] = None
    is_tried: bool = False
    value: Optional[Decimal] = None
    is_counted: bool = False
    margin: Optional[Decimal] = None
    unexplained: Optional[Decimal] = None


class Valuation:
    """Calculates :class:`Figures`. Not thread-safe.

    What events tell is only noted; :meth:`figures` calculates, and of the positions only those that something has
    happened to. Before the first snapshot, and while the account is stale, nothing is even noted.

    :param quotes: the newest quote of each symbol, by symbol id; only looked at
    """

    def __init__(self, quotes: Mapping[int, Quote]) -> None:
        self._quotes = quotes
        #: The positions whose profit a symbol's price moves, by symbol id, and by their own.
        self.moved_by: Dict[int, Dict[int, _Held]] = {}
        #: When the newest quote of one of these symbols came.
        self.quoted_at = 0.0
        self._is_current = False
        self._figures: Optional[Figures] = None
        # The positions that events have told of since a snapshot was asked for; None: none is asked for.
        self._since: Optional[List[Position]] = None
        # Whether something of deals or of positions could not be read since the snapshot was asked for.
        self._misses_deals = self._misses_positions = False
        self._forget()

    def _forget(self) -> None:
        # One object, which the mirror looks into.
        self.moved_by.clear()
        self._has_moved = False
        self._updated_at = 0.0
        self._currency: Optional[str] = None
        self._leverage: Optional[Decimal] = None
        self._cent = _LEVEL_STEP
        self._told: Optional[_Numbers] = None
        self._balance: Optional[Decimal] = None
        self._credit: Optional[Decimal] = None
        # By deal id; None: the server does not tell of them.
        self._booked: Optional[Dict[int, _Booked]] = None

        self._knows_positions = False
        self._held: Dict[int, _Held] = {}
        # Those of which a deal has told, and not yet what came of it.
        self._awaited: Set[int] = set()
        # Those to which something has happened since they were valued.
        self._unvalued: Dict[int, _Held] = {}
        self._profit = _ZERO
        self._values_unknown = 0
        # What they were valued by, by symbol id.
        self._seen: Dict[int, _Prices] = {}
        self._margin = _ZERO
        self._margins_unknown = 0
        self._margin_has_moved = False

        self._symbols = Symbols()
        # By base and quote currency; None: by several.
        self._pairs: Dict[Tuple[str, str], Optional[int]] = {}

        # Which rules give what the server said.
        self._sums_profit = self._sums_equity = self._sums_margin = False
        self._gives_margin_free = self._gives_margin_level = False
        self._profit_at_first = _ZERO
        self._level_without_margin: Optional[Decimal] = _ZERO

    # -- what the server says -------------------------------------------------------------------------------

    def begin(self) -> None:
        """A snapshot is asked for."""
        self._since = []
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
        account = snapshot.account
        if account is None:
            self.stop()
            return
        self._forget()
        with localcontext(_ARITHMETIC):
            self._is_current = True
            self._updated_at = at
            self._currency, self._leverage = account.currency, _exact(account.leverage)
            digits = account.digits_currency
            if digits is not None and 0 <= digits <= 8:
                self._cent = _ONE.scaleb(-digits)
            self._told = _numbers_of(account)
            self._figures = _as_told(account, at)
            self._balance, self._credit = self._told.balance, self._told.credit
            if not snapshot.is_settled and snapshot.deals is not None:
                # Which of the deals are in it is not known, and so not what the next one makes of it.
                self._balance, self._has_moved = None, True
            self._symbols = symbols
            for symbol in symbols.values():
                pair = (symbol.base_currency or "", symbol.quote_currency or "")
                self._pairs[pair] = None if pair in self._pairs else symbol.id
            self._begin_deals(snapshot.deals, deals)
            self._begin_positions(snapshot.positions, positions, since)
            self._try_rules(is_quiet=not (has_floated or since))
            self._has_moved = bool(self._has_moved or has_floated or since)
        self._leave_out_what_is_missed()

    def _begin_deals(self, told: Optional[Sequence[Deal]], newer: Iterable[Optional[Deal]]) -> None:
        if told is not None:
            self._booked = {}
            for deal in told:
                profit = _exact(deal.profit)
                if profit is not None:
                    self._booked[deal.id] = _Booked(profit, deal)
        for one in newer:
            self._has_moved = True
            if one is None:
                self._balance = None
            else:
                self._book(one, is_new=True)

    def _begin_positions(
        self, told: Optional[Sequence[Position]], known: Iterable[Position], since: Sequence[Position]
    ) -> None:
        self._knows_positions = told is not None
        if told is None:
            return
        for position in known:
            self._put(position)
        for held in self._held.values():
            held.unexplained = None
        opened = [one for one in told if one.status != PositionStatus.CLOSED]
        self._sums_margin = self._gives_margin_told() or self._gave_margin_told(opened, since)
        # One that came and went since is in none of them.
        self._margin_has_moved = bool(since) or {one.id: _margin_key(one) for one in opened} != {
            identity: _margin_key(held.position) for identity, held in self._held.items()
        }

    def _try_rules(self, is_quiet: bool) -> None:
        told = self._told
        assert told is not None
        self._note_quotes()
        self._value()
        self._profit_at_first = self._profit
        # Something may have happened between the positions and the account: then neither sum is the server's profit.
        # But a server whose profit is that of the prices alone counts otherwise.
        of_prices = [_exact(held.position.profit) for held in self._held.values()]
        is_of_prices = None not in of_prices and sum(filter(None, of_prices), _ZERO) == told.profit
        self._sums_profit = told.profit == self._profit or not (is_quiet and is_of_prices)
        if told.balance is not None and told.profit is not None:
            self._sums_equity = told.equity == told.balance + (told.credit or _ZERO) + told.profit
        if told.equity is None or told.margin is None:
            return
        self._gives_margin_free = told.margin_free == told.equity - told.margin
        if told.margin:
            self._gives_margin_level = told.margin_level == _level(told.equity, told.margin)
        else:
            self._gives_margin_level = True
            self._level_without_margin = told.margin_level

    def stop(self) -> None:
        """What comes from here on is not all there is: stay as it is until the next snapshot."""
        self._since = None
        if self._is_current:
            self.figures()
            self._is_current = False
            self._forget()

    # -- what events tell -----------------------------------------------------------------------------------

    def put_position(self, position: Position, at: float) -> None:
        """A position is now like this."""
        if self._since is not None and len(self._since) < _SINCE_LIMIT:
            self._since.append(position)
        if self._is_current:
            self._has_moved, self._updated_at = True, at
            self._put(position)
            # What happened while the snapshot was taken may have been told of only now.
            if self._margin and not self._sums_margin:
                self._sums_margin = self._gives_margin_told()

    def put_profit(self, position: Position, at: float) -> None:
        """An open position has this profit now, and is otherwise as it was."""
        held = self._held.get(position.id)
        if held is not None:
            self._has_moved, self._updated_at = True, at
            self._describe(held, position)

    def put_deal(self, deal: Deal, is_new: bool, at: float) -> None:
        """A deal was made, or corrected."""
        if self._is_current:
            self._has_moved, self._updated_at = True, at
            with localcontext(_ARITHMETIC):
                self._book(deal, is_new)

    def miss(self, event_type: Optional[str], at: float) -> None:
        """An event could not be read.

        :param event_type: None: it is not known which
        """
        misses_deals = event_type is None or event_type.startswith("deals_")
        misses_positions = event_type is None or event_type.startswith("positions_")
        self._misses_deals = self._misses_deals or misses_deals
        self._misses_positions = self._misses_positions or misses_positions
        if self._is_current and (misses_deals or misses_positions):
            self._updated_at = at
            self._leave_out_what_is_missed()

    def _leave_out_what_is_missed(self) -> None:
        if self._misses_deals:
            self._has_moved = True
            self._balance = self._credit = None
        if self._misses_positions:
            self._has_moved = True
            self._lose_positions()

    def _book(self, deal: Deal, is_new: bool) -> None:
        profit = _exact(deal.profit)
        if self._booked is None or profit is None:
            self._balance = None
            return
        before = self._booked.get(deal.id)
        if before is not None and (profit == before.profit or moment_of(deal) < moment_of(before.deal)):
            # It is in the balance; or what the snapshot says of it is newer.
            return
        if (before is None and not is_new) or not _is_net(deal, profit):
            self._balance = None
            return
        if deal.side not in (SideType.BUY, SideType.SELL, SideType.BALANCE):
            self._balance = self._credit = None
            return
        self._booked[deal.id] = _Booked(profit, deal)
        if len(self._booked) > _BOOKED_LIMIT:
            # Many at once: each time, what was deleted before is passed on the way to the first that is there.
            for identity in list(islice(self._booked, _BOOKED_LIMIT // 20)):
                del self._booked[identity]
        if self._balance is not None:
            self._balance += profit - (_ZERO if before is None else before.profit)
        held = self._held.get(deal.position_id)
        if before is None and profit and held is not None:
            if held.unexplained is None or held.unexplained != _exact(deal.volume):
                self._awaited.add(deal.position_id)
            held.unexplained = None

    # -- positions ------------------------------------------------------------------------------------------

    def _put(self, position: Position) -> None:
        if not self._knows_positions:
            return
        identity = position.id
        held = self._held.get(identity)
        if position.status == PositionStatus.CLOSED:
            if held is not None:
                self._drop(held)
            self._awaited.discard(identity)
            return
        if held is not None and held.position.symbol_id != position.symbol_id:
            self._drop(held)
            held = None
        if held is None:
            held = self._held[identity] = _Held(position, self._route_of(position))
            for symbol_id in _moves(held):
                self.moved_by.setdefault(symbol_id, {})[identity] = held
            held.unexplained = _exact(position.volume_current)
            self._describe(held, position)
            self._count_margin(held)
            if len(self._held) > LIVE_LIMIT:
                self._lose_positions()
        else:
            before = held.position
            if position.volume_current != before.volume_current:
                was, now = _exact(before.volume_current), _exact(position.volume_current)
                if was is not None and now is not None and identity not in self._awaited:
                    held.unexplained = abs(now - was)
            has_other_margin = _margin_key(position) != _margin_key(before)
            if has_other_margin:
                self._discount_margin(held)
            self._describe(held, position)
            if has_other_margin:
                self._count_margin(held)
        self._awaited.discard(identity)

    def _describe(self, held: _Held, position: Position) -> None:
        held.position = position
        held.quote = self._quotes.get(position.symbol_id)
        if held.route is not None and held.route.converter is not None:
            held.conversion = self._quotes.get(held.route.converter)
        held.is_tried = False
        self._unvalued[position.id] = held

    def _drop(self, held: _Held) -> None:
        identity = held.position.id
        del self._held[identity]
        self._unvalued.pop(identity, None)
        self._discount(held)
        self._discount_margin(held)
        for symbol_id in _moves(held):
            moved = self.moved_by[symbol_id]
            del moved[identity]
            if not moved:
                del self.moved_by[symbol_id]
                self._seen.pop(symbol_id, None)

    def _lose_positions(self) -> None:
        self._knows_positions = False
        self._held.clear()
        self._unvalued.clear()
        self._awaited.clear()
        self.moved_by.clear()

    # -- margin ---------------------------------------------------------------------------------------------

    def _count_margin(self, held: _Held) -> None:
        self._margin_has_moved = True
        with localcontext(_ARITHMETIC):
            held.margin = self._margin_of(held.position)
        if held.margin is None:
            self._margins_unknown += 1
        else:
            self._margin = _ARITHMETIC.add(self._margin, held.margin)

    def _discount_margin(self, held: _Held) -> None:
        self._margin_has_moved = True
        if held.margin is None:
            self._margins_unknown -= 1
        else:
            self._margin = _ARITHMETIC.subtract(self._margin, held.margin)

    def _gives_margin_told(self) -> bool:
        return self._told is not None and not self._margins_unknown and self._margin == self._told.margin

    def _gave_margin_told(self, told: Iterable[Position], since: Iterable[Position]) -> bool:
        """Whether the rule gives the server's margin for what was open at some moment while the snapshot was taken: the
        account's own figures are as of any."""
        margins = {one.id: self._margin_of(one) for one in told}
        unknown = list(margins.values()).count(None)
        total = sum(filter(None, margins.values()), _ZERO)
        for position in (None, *since):
            if position is not None:
                is_over = position.status == PositionStatus.CLOSED
                before = margins.get(position.id, _ZERO)
                now = margins[position.id] = _ZERO if is_over else self._margin_of(position)
                unknown += (now is None) - (before is None)
                total += (now or _ZERO) - (before or _ZERO)
            if self._told is not None and not unknown and total == self._told.margin:
                return True
        return False

    def _margin_of(self, position: Position) -> Optional[Decimal]:
        rate, leverage = _exact(position.extra.get("rate_margin")), self._leverage
        size, price = self._size_of(position), _exact(position.price_open)
        if size is None or price is None or rate is None or leverage is None or leverage <= 0:
            return None
        return (size * price * rate / leverage).quantize(self._cent)

    def _size_of(self, position: Position) -> Optional[Decimal]:
        """What is open of a position, in units."""
        told = position.extra.get("contract_size")
        if told is None:
            symbol = self._symbol_of(position)
            told = None if symbol is None else symbol.contract_size
        size, volume = _exact(told), _exact(position.volume_current)
        return None if size is None or volume is None or size <= 0 or volume < 0 else size * volume

    # -- profit ---------------------------------------------------------------------------------------------

    def _symbol_of(self, position: Position) -> Optional[Symbol]:
        return self._symbols.get(position.symbol_id) or position.symbol

    def _route_of(self, position: Position) -> Optional[_Route]:
        symbol = self._symbol_of(position)
        if symbol is None or not symbol.quote_currency or not self._currency:
            return None
        there, here = symbol.quote_currency, self._currency
        if there == here:
            return _Route(None, True)
        is_direct = (there, here) in self._pairs
        converter = self._pairs.get((there, here) if is_direct else (here, there))
        return None if converter is None else _Route(converter, is_direct)

    def _note_quotes(self) -> bool:
        """Note which positions are to be valued for newer quotes.

        :returns: whether there are any
        """
        quotes, seen = self._quotes, self._seen
        has_moved = False
        for symbol_id, moved in self.moved_by.items():
            quote, before = quotes.get(symbol_id), seen.get(symbol_id)
            if quote is not None and (before is None or quote is not before.quote):
                seen[symbol_id] = _Prices(quote, _exact(quote.bid), _exact(quote.ask))
                self._unvalued.update(moved)
                has_moved = True
        return has_moved

    def _value(self) -> None:
        """Value the positions that something has happened to."""
        for held in self._unvalued.values():
            self._discount(held)
            held.value, held.is_counted = self._value_of(held), True
            if held.value is None:
                self._values_unknown += 1
            else:
                self._profit += held.value
        self._unvalued.clear()

    def _discount(self, held: _Held) -> None:
        if held.is_counted:
            held.is_counted = False
            if held.value is None:
                self._values_unknown -= 1
            else:
                self._profit = _ARITHMETIC.subtract(self._profit, held.value)

    def _value_of(self, held: _Held) -> Optional[Decimal]:
        position, route = held.position, held.route
        if route is not None:
            prices = self._seen.get(position.symbol_id)
            conversion = None if route.converter is None else self._seen.get(route.converter)
            is_newer = (prices and prices.quote) is not held.quote
            if is_newer or (conversion and conversion.quote) is not held.conversion:
                if not held.is_tried:
                    held.terms, held.is_tried = self._make_terms(held, route), True
                if held.terms is not None:
                    profit = self._profit_of(held.terms, position.side, route, prices, conversion)
                    return None if profit is None else profit + held.terms.charges
        return _exact(position.total_profit)

    def _make_terms(self, held: _Held, route: _Route) -> Optional[_Terms]:
        position = held.position
        profit, total = _exact(position.profit), _exact(position.total_profit)
        size, price = self._size_of(position), _exact(position.price_open)
        # That nothing is nothing, whatever it is multiplied by, would prove nothing.
        if not profit or total is None or size is None or price is None:
            return None
        if position.side not in (SideType.BUY, SideType.SELL):
            return None
        terms = _Terms(price, size if position.side == SideType.BUY else -size, total - profit)
        prices, conversion = _Prices.of(held.quote), _Prices.of(held.conversion)
        then = self._profit_of(terms, position.side, route, prices, conversion)
        return terms if then == profit else None

    def _profit_of(
        self,
        terms: _Terms,
        side: SideType,
        route: _Route,
        prices: Optional[_Prices],
        conversion: Optional[_Prices],
    ) -> Optional[Decimal]:
        """What prices make of a position: it is closed at the bid when it was bought, else at the ask."""
        price = prices and (prices.bid if side == SideType.BUY else prices.ask)
        rate = _ONE if route.converter is None else (conversion and conversion.bid)
        if price is None or rate is None or rate <= 0:
            return None
        if route.converter is not None:
            rate = (rate if route.is_direct else _ONE / rate).quantize(_RATE_STEP)
        return ((price - terms.price_open) * terms.factor * rate).quantize(self._cent)

    # -- the figures ----------------------------------------------------------------------------------------

    def figures(self) -> Optional[Figures]:
        """The figures as of now; None before the first snapshot."""
        if not self._is_current:
            return self._figures
        if self._note_quotes():
            self._has_moved = True
            self._updated_at = max(self._updated_at, self.quoted_at)
        if self._has_moved:
            self._has_moved = False
            with localcontext(_ARITHMETIC):
                self._value()
                numbers = self._calculate()
            # Without the minus of a zero.
            values = [None if number is None else float(number) + 0.0 for number in numbers]
            if values != [getattr(self._figures, name) for name in _Numbers._fields]:
                self._figures = Figures(
                    currency=self._currency,
                    **dict(zip(_Numbers._fields, values)),
                    is_computed=True,
                    updated_at=self._updated_at,
                )
        return self._figures

    def _calculate(self) -> _Numbers:
        told = self._told
        assert told is not None
        balance, credit = self._balance, self._credit
        profit: Optional[Decimal] = None
        margin: Optional[Decimal] = None
        if self._knows_positions and not self._awaited:
            if not self._values_unknown:
                profit = self._profit
                if not self._sums_profit:
                    profit = told.profit if profit == self._profit_at_first else None
            if self._sums_margin:
                margin = None if self._margins_unknown else self._margin
            elif not self._margin_has_moved:
                margin = told.margin
        equity = free = level = None
        if self._sums_equity:
            if balance is not None and profit is not None:
                equity = balance + (credit or _ZERO) + profit
        elif None not in (balance, profit):
            is_as_told = (balance, credit, profit) == (told.balance, told.credit, told.profit)
            equity = told.equity if is_as_told else None
        now = (balance, profit, margin)
        if None not in now and (*now, credit) == (told.balance, told.profit, told.margin, told.credit):
            equity, free, level = told.equity, told.margin_free, told.margin_level
        elif equity is not None and margin is not None:
            free = equity - margin if self._gives_margin_free else None
            if not margin:
                level = self._level_without_margin
            elif self._gives_margin_level:
                level = _level(equity, margin)
        return _Numbers(balance, credit, profit, equity, margin, free, level)


def _exact(value: Any) -> Optional[Decimal]:
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


def _level(equity: Decimal, margin: Decimal) -> Decimal:
    return (equity / margin * _HUNDRED).quantize(_LEVEL_STEP)


def _is_net(deal: Deal, profit: Decimal) -> bool:
    """Whether a deal's profit is what is left of the raw one, whichever sign the charges have."""
    raw, swap, commission, fee = map(_exact, (deal.profit_raw, deal.swap, deal.commission, deal.fee))
    if raw is None or swap is None or commission is None or fee is None:
        return False
    charges = commission + fee
    return profit - raw - swap in (charges, -charges)


def _moves(held: _Held) -> Set[int]:
    """The ids of the symbols whose price moves a position's profit."""
    route = held.route
    converter = None if route is None else route.converter
    return {held.position.symbol_id, *(() if converter is None else (converter,))}


def _margin_key(position: Position) -> Tuple[Any, ...]:
    """What a position's margin depends on."""
    extra = position.extra
    return (
        position.price_open,
        position.volume_current,
        extra.get("contract_size"),
        extra.get("rate_margin"),
    )


def _numbers_of(account: TradingAccount) -> _Numbers:
    return _Numbers(*(_exact(getattr(account, name)) for name in _Numbers._fields))


def _as_told(account: TradingAccount, at: float) -> Figures:
    numbers = {name: getattr(account, name) for name in ("currency", *_Numbers._fields)}
    return Figures(**numbers, is_computed=False, updated_at=at)
