"""The trader's API (vendor SDK): calls with typed answers."""

from __future__ import annotations

import math
import re
from datetime import datetime, timezone
from typing import Any, Callable, Dict, List, Optional, Tuple, Type, TypeVar, Union

from ..deadline import Deadline
from ..errors import (
    AnswerError,
    AuthenticationError,
    NotFoundError,
    OneTradeError,
    OutcomeUnknownError,
    RateLimitedError,
    RequoteOverError,
    RequoteRefusedError,
    ServerError,
    UnknownOrderError,
)
from ..protocol.enums import OrderStatus
from ..protocol.models import Candle, Deal, Order, Position, Symbol, TradingAccount
from ..protocol.snapshot import Snapshot
from ..protocol.structure import StructureError, structure, structure_each
from .calls import Calls

T = TypeVar("T")
R = TypeVar("R", Order, Position, Deal, Symbol)
B = TypeVar("B", Order, Position)

# The account is read again when it changed while the deals were read, at most so often.
_READINGS = 3


class Trader:
    """Typed calls, one after the other on one thread; blocking, each until its deadline.

    Every method raises what :meth:`.Calls.get` raises, and :exc:`.AnswerError` when the answer makes no sense.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def abort(self, error: OneTradeError) -> None:
        """End the call under way with ``error``, and every later one. On any thread; does not block."""
        self._calls.abort(error)

    def account(self, deadline: Deadline) -> TradingAccount:
        """``GET account``."""
        data = self._calls.get("account", "account", deadline)
        return _made("account", lambda: structure(data, TradingAccount))

    def symbols(self, deadline: Deadline) -> Tuple[Symbol, ...]:
        """``GET symbols``."""
        return self._list("symbols", "symbols", Symbol, deadline)

    def order(self, order_id: int, deadline: Deadline) -> Order:
        """``GET orders/{id}``."""
        data = self._calls.get("order", f"orders/{order_id}", deadline)
        return _made("order", lambda: structure(data, Order))

    def snapshot(self, deadline: Deadline) -> Snapshot:
        """How things are. What the server does not offer (404) is left out.

        Finished orders and closed positions are read after the others, so that one which ends meanwhile is in one of
        them at least; and the deals between two readings of the account that show the same balance.
        """
        orders = self._both("orders", Order, deadline)
        positions = self._both("positions", Position, deadline)
        account, deals, is_settled = self._account_and_deals(deadline)
        symbols = _offered(lambda: self.symbols(deadline))
        if orders is None and positions is None and deals is None and account is None:
            raise NotFoundError("snapshot", 404, "none of the calls is offered")
        return Snapshot(
            is_settled=is_settled,
            account=account,
            orders=orders,
            positions=positions,
            deals=deals,
            symbols=symbols,
        )

    def _account_and_deals(
        self, deadline: Deadline
    ) -> Tuple[Optional[TradingAccount], Optional[Tuple[Deal, ...]], bool]:
        before = _offered(lambda: self.account(deadline))
        for _ in range(_READINGS):
            deals = _offered(lambda: self._list("deals", "deals", Deal, deadline))
            after = _offered(lambda: self.account(deadline))
            if before is None or after is None or deals is None:
                break
            if (before.balance, before.credit) == (after.balance, after.credit):
                return after, deals, True
            before = after
        return after, deals, False

    def _both(self, name: str, model: Type[B], deadline: Deadline) -> Optional[Tuple[B, ...]]:
        """Those that live, and those that are over where the server tells of them."""
        live: Optional[Tuple[B, ...]] = _offered(lambda: self._list(name, name, model, deadline))
        if live is None:
            return None
        over: Optional[Tuple[B, ...]] = _offered(
            lambda: self._list(f"{name} history", f"{name}/history", model, deadline)
        )
        newest: Dict[int, B] = {}
        # Of one that has ended between the two calls, the end counts.
        for found in (live, over or ()):
            newest.update((one.id, one) for one in found)
        return tuple(newest.values())

    def _list(self, step: str, path: str, model: Type[R], deadline: Deadline) -> Tuple[R, ...]:
        data = self._calls.get(step, path, deadline)
        found = _made(step, lambda: structure_each(data, model))
        by_id: Dict[int, R] = {}
        for number, one in enumerate(found):
            # The same twice is odd; two that differ contradict each other, and neither can be believed.
            if by_id.setdefault(one.id, one) != one:
                raise AnswerError(step, f"$.data[{number}]", "the same id twice, and not the same twice")
        return tuple(by_id.values())

    def candles(
        self,
        symbol_id: int,
        from_: datetime,
        to: Optional[datetime],
        resolution: Union[int, str],
        deadline: Deadline,
    ) -> List[Candle]:
        """``GET symbols/ticks/history/{id}``: those that begin from ``from_`` to ``to``, the oldest first, however
        many the server gives at a time, from whichever end.

        :raises ValueError: when a time has no time zone, or the resolution is none
        """
        end = datetime.now(timezone.utc) if to is None else to
        for name, moment in (("from_", from_), ("to", end)):
            if moment.utcoffset() is None:
                raise ValueError(f"{name} has no time zone: whose {moment.isoformat()} is meant?")
        name = str(resolution)
        if _RESOLUTION.fullmatch(name) is None:
            raise ValueError(f"resolution={resolution!r}: minutes of a candle, or a name like D")
        length = 60 * (_MINUTES.get(name.upper()) or (int(name) if name.isdigit() else 0))
        # Seconds from the beginning of a candle to that of the next one, at least: a day in spring has 23 hours.
        apart = max(1, length if length < _DAY else length - 3600)
        at_most = int((end - from_).total_seconds()) // apart + 2
        found: Dict[datetime, Candle] = {}
        # What remains to be asked for. Before the epoch there is nothing.
        spans = [(max(0, math.ceil(from_.timestamp())), int(end.timestamp()))]
        quiet = 0
        while spans:
            first, last = spans.pop()
            if first > last:
                continue
            # Whichever of "from" and this one the server goes by: it says the same.
            count = min((last - first) // length + 2, _AT_A_TIME) if length else 0
            piece = self._piece(symbol_id, first, last, name, count, deadline)
            # One that was still growing when another piece was made is in that.
            fresh = [moment for moment in piece if from_ <= moment <= end and moment not in found]
            found.update((moment, piece[moment]) for moment in fresh)
            if len(found) > at_most:
                raise AnswerError("candles", "$.data", "more candles than there is time for")
            if fresh:
                quiet = 0
                oldest, newest = int(min(fresh).timestamp()), int(max(fresh).timestamp())
                # What a server that gives so many at a time has left out, before these or after them.
                spans += [(first, oldest - apart), (newest + apart, last)]
            elif first + count * length <= last and length:
                # It may have looked no further back than so many periods, and the market was closed.
                quiet += count * length
                if quiet < _LONGEST_PAUSE:
                    spans.append((first, last - count * length))
        return [found[moment] for moment in sorted(found)]

    def _piece(
        self, symbol_id: int, first: int, last: int, resolution: str, count: int, deadline: Deadline
    ) -> Dict[datetime, Candle]:
        query: Dict[str, Any] = {
            "symbol_id": symbol_id,
            "from": first,
            # Nobody says whether one that begins then is meant; one too many is left out afterwards.
            "to": last + 1,
            "resolution": resolution,
        }
        if count:
            query["count_back"] = count
        data = self._calls.get("candles", f"symbols/ticks/history/{symbol_id}", deadline, query)
        found: Dict[datetime, Candle] = {}
        for number, one in enumerate(_made("candles", lambda: structure_each(data, Candle))):
            if found.setdefault(one.time, one) != one:
                raise AnswerError(
                    "candles", f"$.data[{number}]", "the same time twice, and not the same twice"
                )
        return found

    def answer_requote(
        self, order_id: int, account_id: int, user_id: Optional[int], accept: bool, deadline: Deadline
    ) -> None:
        """``POST orders/{id}/approval``. What comes of it, events say.

        :param user_id: None: the server is asked for it first; one that does not say has to do without
        :raises RequoteOverError: too late
        :raises RequoteRefusedError: the server refuses it all the same
        :raises UnknownOrderError: the server knows no such order
        :raises OutcomeUnknownError: when it may have acted or not
        """
        if user_id is None:
            user_id = self._user_id(deadline)
        content = {"id": order_id, "account_id": account_id, "user_id": user_id, "approved": accept}
        if user_id is None:
            del content["user_id"]
        step = "requote answer"
        problem: OneTradeError
        try:
            self._calls.post(step, f"orders/{order_id}/approval", content, deadline)
        except (AuthenticationError, RateLimitedError):
            raise
        except OutcomeUnknownError as error:
            problem = OutcomeUnknownError(f"{step} for order {order_id}", error.reason)
        except ServerError as error:
            if error.step != step:
                # The login, without which it was not asked.
                raise
            if isinstance(error, NotFoundError):
                problem = UnknownOrderError(order_id, error.message)
            else:
                waits = self._waits_for_answer(order_id, deadline)
                if waits is None:
                    raise
                problem = (RequoteRefusedError if waits else RequoteOverError)(order_id, error.message)
        else:
            return
        raise problem

    def _user_id(self, deadline: Deadline) -> Optional[int]:
        """Whose account it is; None when the server does not say."""
        try:
            return self.account(deadline).user_id
        except (NotFoundError, AnswerError):
            return None

    def _waits_for_answer(self, order_id: int, deadline: Deadline) -> Optional[bool]:
        """Whether an order is requoted; None when the server does not say."""
        try:
            return self.order(order_id, deadline).status == OrderStatus.REQUOTED
        except OneTradeError:
            return None


_DAY = 86_400
_RESOLUTION = re.compile("0*[1-9][0-9]*[A-Za-z]*|[A-Za-z]+")
# Of names of resolutions; others are minutes.
_MINUTES = {"D": 1440, "1D": 1440, "W": 10_080, "1W": 10_080}
# Candles that are asked for together.
_AT_A_TIME = 5000
# Seconds that a market may be closed, or without a price, and have older candles.
_LONGEST_PAUSE = 31 * _DAY


def _offered(call: Callable[[], T]) -> Optional[T]:
    try:
        return call()
    except NotFoundError:
        return None


def _made(step: str, make: Callable[[], T]) -> T:
    try:
        return make()
    except StructureError as error:
        problem = AnswerError(step, f"$.data{error.path}", error.reason)
    raise problem
