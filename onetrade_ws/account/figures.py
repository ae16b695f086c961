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
from typing import Any, Dict, Iterable, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

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


class _Said(NamedTuple):
    """An open position as the server described it last, and the quotes that were known then."""

    position: Position
    quote: Optional[Quote]
    conversion: Optional[Quote]


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


class Valuation:
    """Calculates :class:`Figures`. Not thread-safe.

    What events tell is only noted; :meth:`figures` calculates, and of the positions only those that something has
    happened to. Before the first snapshot, and from a loss of the connection to the next snapshot, nothing is even
    noted.

    :param quotes: the newest quote of each symbol, by symbol id; only looked at
    """

    def __init__(self, quotes: Mapping[int, Quote]) -> None:
        self._quotes = quotes
        #: The ids of the positions whose profit a symbol's price moves, by symbol id.
        self.moved_by: Dict[int, Dict[int, None]] = {}
        #: When the newest quote of one of these symbols came.
        self.quoted_at = 0.0
        self._is_current = False
        self._figures: Optional[Figures] = None
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
        self._said: Dict[int, _Said] = {}
        # The ids of those to be valued, and the rest by these ids, as of when they were valued last.
        self._unvalued: Dict[int, None] = {}
        self._values: Dict[int, Optional[Decimal]] = {}
        self._terms: Dict[int, Optional[_Terms]] = {}
        self._profit = _ZERO
        self._values_unknown = 0
        # The quotes that they were valued by.
        self._seen: Dict[int, Quote] = {}
        # Those of which a deal has told, and not yet what came of it; and changes of volume that no deal has told of.
        self._awaited: Set[int] = set()
        self._unexplained: Dict[int, Decimal] = {}

        self._margins: Dict[int, Tuple[Tuple[Any, ...], Optional[Decimal]]] = {}
        self._margin = _ZERO
        self._margins_unknown = 0
        self._margin_has_moved = False

        self._symbols = Symbols()
        self._routes: Dict[int, Optional[_Route]] = {}
        # By base and quote currency; None: by several.
        self._pairs: Dict[Tuple[str, str], Optional[int]] = {}

        # Which rules give what the server said.
        self._sums_profit = self._sums_equity = self._sums_margin = False
        self._gives_margin_free = self._gives_margin_level = False
        self._profit_at_first = _ZERO
        self._level_without_margin: Optional[Decimal] = _ZERO

    # -- what the server says -------------------------------------------------------------------------------

    def load(
        self,
        snapshot: Snapshot,
        *,
        positions: Iterable[Position],
        deals: Iterable[Optional[Deal]],
        symbols: Symbols,
        is_disturbed: bool,
        at: float,
    ) -> None:
        """Begin anew with a snapshot. Without an account in it, nothing changes.

        :param positions: the open ones, with what events have made of them since the snapshot was asked for
        :param deals: those that events have told of since; None: one that is not known any more
        :param symbols: all there are
        :param is_disturbed: whether events have told of positions or profits since
        :param at: when it came, seconds since the epoch
        """
        account = snapshot.account
        if account is None:
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
            self._symbols = symbols
            for symbol in symbols.values():
                pair = (symbol.base_currency or "", symbol.quote_currency or "")
                self._pairs[pair] = None if pair in self._pairs else symbol.id
            self._begin_deals(snapshot.deals, deals)
            self._begin_positions(snapshot.positions, positions)
            self._try_rules()
            self._has_moved = self._has_moved or is_disturbed

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

    def _begin_positions(self, told: Optional[Sequence[Position]], known: Iterable[Position]) -> None:
        self._knows_positions = told is not None
        if told is None:
            return
        for position in known:
            self._put(position)
        self._unexplained.clear()
        opened = [one for one in told if one.status != PositionStatus.CLOSED]
        # An event may have changed something before or after the account's own figures were taken.
        self._sums_margin = self._gives_margin_told() or self._is_margin_told(map(self._margin_of, opened))
        self._margin_has_moved = {one.id: _margin_key(one) for one in opened} != {
            identity: key for identity, (key, _) in self._margins.items()
        }

    def _try_rules(self) -> None:
        told = self._told
        assert told is not None
        self._value()
        self._profit_at_first = self._profit
        # A price may have moved between the positions and the account: then neither is the server's profit. But a
        # server whose profit is that of the prices alone counts otherwise.
        of_prices = [_exact(said.position.profit) for said in self._said.values()]
        self._sums_profit = told.profit in (None, self._profit) or (
            None in of_prices or sum(filter(None, of_prices), _ZERO) != told.profit
        )
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
        if self._is_current:
            self.figures()
            self._is_current = False
            self._forget()

    # -- what events tell -----------------------------------------------------------------------------------

    def put_position(self, position: Position, at: float) -> None:
        """A position is now like this."""
        if self._is_current:
            self._has_moved, self._updated_at = True, at
            with localcontext(_ARITHMETIC):
                self._put(position)
            # What happened while the snapshot was taken may have been told of only now.
            if self._margin and not self._sums_margin:
                self._sums_margin = self._gives_margin_told()

    def put_profit(self, position: Position, at: float) -> None:
        """An open position has this profit now, and is otherwise as it was."""
        if position.id in self._said:
            self._has_moved, self._updated_at = True, at
            self._say(position)

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
        if not self._is_current:
            return
        if event_type is None or event_type.startswith("deals_"):
            self._has_moved, self._updated_at = True, at
            self._balance = self._credit = None
        if event_type is None or event_type.startswith("positions_"):
            self._has_moved, self._updated_at = True, at
            self._lose_positions()

    def _book(self, deal: Deal, is_new: bool) -> None:
        profit = _exact(deal.profit)
        if self._booked is None or profit is None or not _is_net(deal, profit):
            self._balance = None
            return
        before = self._booked.get(deal.id)
        if before is not None and moment_of(deal) < moment_of(before.deal):
            # What the snapshot says of it is newer.
            return
        if before is None and not is_new:
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
        if before is None and profit and deal.position_id in self._said:
            explained = self._unexplained.pop(deal.position_id, None)
            if explained != _exact(deal.volume):
                self._awaited.add(deal.position_id)

    # -- positions ------------------------------------------------------------------------------------------

    def _put(self, position: Position) -> None:
        if not self._knows_positions:
            return
        identity, before = position.id, self._said.get(position.id)
        is_over = position.status == PositionStatus.CLOSED
        if identity in self._awaited:
            self._awaited.discard(identity)
        elif not is_over:
            self._note_volume(position, before)
        key = None if is_over else _margin_key(position)
        if key != (self._margins[identity][0] if identity in self._margins else None):
            self._put_margin(position, key)
        if not is_over:
            self._say(position)
        elif before is not None:
            del self._said[identity]
            self._unexplained.pop(identity, None)
            self._unlink(before.position)
            self._terms.pop(identity, None)
            if identity in self._values:
                self._unvalued[identity] = None
            else:
                self._unvalued.pop(identity, None)
        if len(self._said) > LIVE_LIMIT:
            self._lose_positions()

    def _note_volume(self, position: Position, before: Optional[_Said]) -> None:
        was, now = before and before.position.volume_current, position.volume_current
        if was == now:
            return
        was_exactly, now_exactly = _exact(was or 0), _exact(now)
        if was_exactly is not None and now_exactly is not None:
            self._unexplained[position.id] = abs(now_exactly - was_exactly)

    def _say(self, position: Position) -> None:
        identity, symbol_id = position.id, position.symbol_id
        route = self._route(position)
        converter = None if route is None else route.converter
        if identity not in self._said:
            self.moved_by.setdefault(symbol_id, {})[identity] = None
            if converter is not None:
                self.moved_by.setdefault(converter, {})[identity] = None
        quotes = self._quotes
        conversion = None if converter is None else quotes.get(converter)
        self._said[identity] = _Said(position, quotes.get(symbol_id), conversion)
        self._unvalued[identity] = None
        self._terms.pop(identity, None)

    def _unlink(self, position: Position) -> None:
        route = self._route(position)
        for symbol_id in (position.symbol_id, None if route is None else route.converter):
            moved = None if symbol_id is None else self.moved_by.get(symbol_id)
            if moved is not None and symbol_id is not None:
                moved.pop(position.id, None)
                if not moved:
                    del self.moved_by[symbol_id]
                    self._seen.pop(symbol_id, None)

    def _lose_positions(self) -> None:
        self._knows_positions = False
        for kept in (self._said, self._unvalued, self._values, self._terms, self._margins, self.moved_by):
            kept.clear()
        self._awaited.clear()
        self._unexplained.clear()

    # -- margin ---------------------------------------------------------------------------------------------

    def _put_margin(self, position: Position, key: Optional[Tuple[Any, ...]]) -> None:
        self._margin_has_moved = True
        identity = position.id
        if identity in self._margins:
            _, before = self._margins.pop(identity)
            if before is None:
                self._margins_unknown -= 1
            else:
                self._margin -= before
        if key is not None:
            margin = self._margin_of(position)
            self._margins[identity] = key, margin
            if margin is None:
                self._margins_unknown += 1
            else:
                self._margin += margin

    def _gives_margin_told(self) -> bool:
        return self._told is not None and not self._margins_unknown and self._margin == self._told.margin

    def _is_margin_told(self, margins: Iterable[Optional[Decimal]]) -> bool:
        known = list(margins)
        return (
            self._told is not None
            and None not in known
            and sum(filter(None, known), _ZERO) == self._told.margin
        )

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

    def _route(self, position: Position) -> Optional[_Route]:
        try:
            return self._routes[position.symbol_id]
        except KeyError:
            pass
        symbol = self._symbols.get(position.symbol_id)
        route = None
        if symbol is not None and symbol.quote_currency and self._currency:
            there, here = symbol.quote_currency, self._currency
            if there == here:
                route = _Route(None, True)
            else:
                is_direct = (there, here) in self._pairs
                converter = self._pairs.get((there, here) if is_direct else (here, there))
                route = None if converter is None else _Route(converter, is_direct)
            self._routes[position.symbol_id] = route
        return route

    def _value(self) -> bool:
        """Value the positions that something has happened to.

        :returns: whether a quote was among that
        """
        quotes, seen = self._quotes, self._seen
        was_quoted = False
        for symbol_id, identities in self.moved_by.items():
            quote = quotes.get(symbol_id)
            if quote is not None and quote is not seen.get(symbol_id):
                seen[symbol_id] = quote
                self._unvalued.update(identities)
                was_quoted = True
        for identity in self._unvalued:
            if identity in self._values:
                before = self._values.pop(identity)
                if before is None:
                    self._values_unknown -= 1
                else:
                    self._profit -= before
            said = self._said.get(identity)
            if said is not None:
                value = self._values[identity] = self._value_of(said)
                if value is None:
                    self._values_unknown += 1
                else:
                    self._profit += value
        self._unvalued.clear()
        return was_quoted

    def _value_of(self, said: _Said) -> Optional[Decimal]:
        position = said.position
        route = self._route(position)
        if route is not None:
            quote = self._seen.get(position.symbol_id)
            conversion = None if route.converter is None else self._seen.get(route.converter)
            if quote is not said.quote or conversion is not said.conversion:
                terms = self._terms_of(said, route)
                if terms is not None:
                    profit = self._profit_of(position, route, terms, quote, conversion)
                    return None if profit is None else profit + terms.charges
        return _exact(position.total_profit)

    def _terms_of(self, said: _Said, route: _Route) -> Optional[_Terms]:
        """None: the calculation does not give the profit that the server said last."""
        position = said.position
        if position.id in self._terms:
            return self._terms[position.id]
        terms = self._terms[position.id] = self._make_terms(said, route)
        return terms

    def _make_terms(self, said: _Said, route: _Route) -> Optional[_Terms]:
        position = said.position
        profit, total = _exact(position.profit), _exact(position.total_profit)
        size, price = self._size_of(position), _exact(position.price_open)
        # That nothing is nothing, whatever it is multiplied by, would prove nothing.
        if not profit or total is None or size is None or price is None:
            return None
        if position.side not in (SideType.BUY, SideType.SELL):
            return None
        factor = size if position.side == SideType.BUY else -size
        terms = _Terms(price, factor, total - profit)
        then = self._profit_of(position, route, terms, said.quote, said.conversion)
        return terms if then == profit else None

    def _profit_of(
        self,
        position: Position,
        route: _Route,
        terms: _Terms,
        quote: Optional[Quote],
        conversion: Optional[Quote],
    ) -> Optional[Decimal]:
        """What the prices make of a position: it is closed at the bid when it was bought, else at the ask."""
        if quote is None:
            return None
        price = _exact(quote.bid if position.side == SideType.BUY else quote.ask)
        rate: Optional[Decimal] = _ONE
        if route.converter is not None:
            rate = None if conversion is None else _exact(conversion.bid)
            if rate is not None and not route.is_direct:
                rate = _ONE / rate if rate > 0 else None
            rate = None if rate is None else rate.quantize(_RATE_STEP)
        if price is None or rate is None:
            return None
        return ((price - terms.price_open) * terms.factor * rate).quantize(self._cent)

    # -- the figures ----------------------------------------------------------------------------------------

    def figures(self) -> Optional[Figures]:
        """The figures as of now; None before the first snapshot."""
        if not self._is_current:
            return self._figures
        with localcontext(_ARITHMETIC):
            if self._value():
                self._has_moved = True
                self._updated_at = max(self._updated_at, self.quoted_at)
            if self._has_moved:
                self._has_moved = False
                numbers = self._calculate()
                assert self._figures is not None
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
            if balance is not None and profit is not None and (credit is not None or told.credit is None):
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
