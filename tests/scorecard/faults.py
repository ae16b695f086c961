"""Clients on busy streams, and seeded faults between them and their simulators: the run behind rows 4 and 5.

Each client has a simulator, a fault proxy and a process of its own. The simulator numbers its journal entries, so that
what is missing shows. A fault is over when the client is settled: open, with its account events and the prices of all
its symbols coming in.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import random
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Callable, Dict, List, Optional, Sequence, Set

import attrs

from onetrade_ws import (
    ClientEventType,
    ConnectionState,
    Event,
    EventMessageType,
    Gap,
    OneTradeClient,
    ReconnectPolicy,
    SessionInUseError,
)
from onetrade_ws.simulator import Simulator
from onetrade_ws.simulator.live import Pacemaker
from tests.connection.fault_proxy import CHOPPED, HEALTHY, STALLED, FaultProxy, Then, Treatment

_CLIENTS = 4
_SYMBOLS = (1, 3, 5)
# Numbered events a second, and quotes.
_RATE = 100.0
# Seconds, all of them. Nobody who is there needs as long as the safety net.
_HEARTBEAT_INTERVAL = _HEARTBEAT_TIMEOUT = 0.2
_CONNECT_TIMEOUT = 0.3
_SAFETY_NET = 15.0
_AFTERWARDS = "after the last fault"
# How far apart may be what happens at one moment in the client.
_MOMENT = 0.25
# How long a message may be on its way between the two, on a machine that is busy.
_TRANSIT = 0.5


@attrs.frozen
class FaultResult:
    """What became of the client after a fault.

    :ivar name: which fault, and where it stands in the seeded plan
    :ivar recovered: whether it came back, or was never away
    :ivar away: seconds from the loss being announced to OPEN, one for each loss
    :ivar needless: how many of those losses were of the client's own making: the connection was there
    :ivar gaps: how many gaps were announced
    :ivar problems: what was wrong with the subscriptions and the gaps
    """

    name: str
    recovered: bool
    away: Sequence[float] = ()
    needless: int = 0
    gaps: int = 0
    problems: Sequence[str] = ()


@attrs.define
class Loss:
    """The client's account of one loss, from its events."""

    #: When it was delivered that the connection is lost, on the monotonic clock.
    seen: float
    #: When that happened, seconds since the epoch, like all that follows.
    at: float
    reason: str
    #: When the last event before it was received, and the number of the last one that has one.
    last_at: float
    last: int
    away: float = 0.0
    opened_at: float = 0.0
    gaps: List[Gap] = attrs.field(factory=list)
    #: The number of the first event after it that has one.
    first: Optional[int] = None

    def wrong(self, said_at: Sequence[float]) -> List[str]:
        """What is wrong with how the loss was announced."""
        if len(self.gaps) != 1:
            return [f"{len(self.gaps)} gaps announced for one loss ({self.reason})"]
        (gap,) = self.gaps
        problems = []
        if not self.last_at <= gap.started_at <= self.last_at + _MOMENT:
            problems.append(f"the gap begins {gap.started_at - self.last_at:+.3f} s from the last event")
        if gap.started_at > self.at:
            problems.append("the gap begins after the loss")
        if not self.opened_at - _MOMENT <= gap.ended_at <= self.opened_at + _MOMENT:
            problems.append(f"the gap ends {gap.ended_at - self.opened_at:+.3f} s from the opening")
        if str(gap.reason) != self.reason:
            problems.append(f"the gap's reason is {gap.reason}, the loss's {self.reason}")
        missing = said_at[self.last + 1 : self.first]
        if missing and not gap.started_at - _TRANSIT <= missing[0] <= missing[-1] <= gap.ended_at + _TRANSIT:
            problems.append("events are missing that were sent outside of the gap")
        return problems


class Witness:
    """Sees all events of one client, and keeps account of what is lost and what is missing."""

    def __init__(self) -> None:
        self.losses: List[Loss] = []
        self.problems: List[str] = []
        #: The number of the newest event that has one.
        self.last = -1
        #: How many times the connection was opened.
        self.openings = 0
        #: Why the attempts failed since the last opening.
        self.failures: List[object] = []
        #: What has come since the last opening.
        self.numbered = 0
        self.priced: Set[int] = set()
        self.state = ConnectionState.CLOSED
        self._last_at = 0.0
        self._gap_announced = True
        # Guards all of the above; waited on for more of it.
        self._changed = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._changed:
            if event.type is ClientEventType.STATE_CHANGED:
                self._change(event)
            elif event.type is ClientEventType.RECONNECTING:
                self.failures.append(event.data.reason)
            elif event.type is ClientEventType.GAP:
                self._gap_announced = True
                self.losses[-1].gaps.append(event.data)
            elif isinstance(event.type, EventMessageType):
                self._last_at = event.received_at
                if event.type is EventMessageType.MARKET_FEED:
                    self.priced.add(event.data.symbol_id)
                elif event.type is EventMessageType.JOURNAL_CREATE and event.data.desc.isdigit():
                    self._number(int(event.data.desc))
            self._changed.notify_all()

    def _change(self, event: Event) -> None:
        self.state = event.data.new
        if event.data.old is ConnectionState.OPEN and self.state is ConnectionState.CONNECTING:
            reason = str(event.data.reason)
            loss = Loss(time.monotonic(), event.received_at, reason, self._last_at, self.last)
            self.losses.append(loss)
            self.failures = []
        elif self.state is ConnectionState.OPEN:
            self.openings += 1
            self.numbered = 0
            self.priced = set()
            if self.losses:
                self.losses[-1].away = time.monotonic() - self.losses[-1].seen
                self.losses[-1].opened_at = event.received_at
                self._gap_announced = False

    def _number(self, number: int) -> None:
        if number <= self.last:
            self.problems.append(f"event {number} came after {self.last}: twice, or out of order")
        elif number != self.last + 1 and self.last >= 0 and not self._may_miss():
            self.problems.append(f"a silent gap: event {number} came after {self.last}")
        self.last = number
        self.numbered += 1
        if self.losses and self.losses[-1].first is None:
            self.losses[-1].first = number

    def _may_miss(self) -> bool:
        if self.state is ConnectionState.CONNECTING:
            # From a connection that broke before it was open: the gap that is announced next covers it.
            return True
        return self._gap_announced and not self.numbered

    def wait_for(self, predicate: Callable[[], object]) -> bool:
        """Block until it is true of what was seen."""
        with self._changed:
            return bool(self._changed.wait_for(predicate, _SAFETY_NET))

    def is_settled(self) -> bool:
        """Whether everything that is wanted is coming in."""
        return self.state is ConnectionState.OPEN and self.numbered > 0 and self.priced.issuperset(_SYMBOLS)


class Course:
    """One client, its simulator, and the fault proxy between the two."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.witness = Witness()
        self.simulator = Simulator(live=True, quotes_per_second=_RATE, trading_interval=0.05, seed=seed)
        # When each numbered event was sent, seconds since the epoch.
        self.said_at: List[float] = []
        self._voice = Pacemaker("scorecard voice", _RATE, self._say)

    def __enter__(self) -> Course:
        self.simulator.start()
        self.proxy = FaultProxy(("127.0.0.1", self.simulator.port))
        self._voice.start()
        self.client = OneTradeClient(
            self.proxy.ws_url,
            session_id=self.simulator.session_id,
            access_token=self.simulator.access_token,
            heartbeat_interval=_HEARTBEAT_INTERVAL,
            heartbeat_timeout=_HEARTBEAT_TIMEOUT,
            connect_timeout=_CONNECT_TIMEOUT,
            reconnect=ReconnectPolicy(
                initial_delay=0.01, max_delay=0.1, stable_after=0.0, session_in_use_attempts=1000
            ),
        )
        self.client.subscribe(None, self.witness)
        for symbol_id in _SYMBOLS:
            self.client.subscribe_market(symbol_id)
        self.client.connect(_SAFETY_NET)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.client.disconnect()
        self._voice.stop()
        self.proxy.stop()
        self.simulator.stop()

    def _say(self) -> None:
        self.said_at.append(time.time())
        self.simulator.add_journal(str(len(self.said_at) - 1))

    def wait_for(self, predicate: Callable[[], object]) -> None:
        """Block until it is true of what the client has seen.

        :raises TimeoutError: when it does not become true
        """
        if not self.witness.wait_for(predicate):
            raise TimeoutError

    def hear(self, count: int) -> None:
        """Let the client receive so many more numbered events."""
        until = self.witness.last + count
        self.wait_for(lambda: self.witness.last >= until)

    def miss(self, count: int) -> None:
        """Let the simulator send so many more numbered events, whoever receives them."""
        until = len(self.said_at) + count
        self.simulator.wait_for(lambda _: len(self.said_at) >= until, _SAFETY_NET)

    def bytes_below(self, limit: int) -> int:
        """A random number of bytes."""
        return self.random.randrange(limit)

    def cut(self, limit: int) -> Treatment:
        """Ends the connection after a random number of bytes, one way or the other."""
        return Treatment(self.bytes_below(limit), self.random.choice((Then.CLOSE, Then.RESET)))


Strike = Callable[[Course], None]


@attrs.frozen
class Fault:
    """One kind of fault.

    :ivar breaks: whether it costs the connection; otherwise nothing may be lost
    :ivar strike: brings it about, and ends it where it does not end by itself
    """

    name: str
    breaks: bool
    strike: Strike


def _goodbye(course: Course) -> None:
    course.simulator.close(course.random.choice((1000, 1001, 1011, 1012)))


def _refused(course: Course) -> None:
    course.proxy.refuse()
    course.proxy.end(reset=False)
    attempts = course.random.randrange(2, 6)
    course.wait_for(lambda: len(course.witness.failures) >= attempts)
    course.proxy.listen()


def _blackholed(healthy_before: int) -> Strike:
    def strike(course: Course) -> None:
        for _ in range(healthy_before):
            course.proxy.treat_next()
        course.proxy.blackhole_next()
        course.proxy.end(reset=True)

    return strike


def _cut_while_connecting(healthy_before: int, up: int = 0, down: int = 0) -> Strike:
    def strike(course: Course) -> None:
        for _ in range(healthy_before):
            course.proxy.treat_next()
        course.proxy.treat_next(
            up=course.cut(up) if up else HEALTHY, down=course.cut(down) if down else HEALTHY
        )
        course.proxy.end(reset=False)

    return strike


def _chopped_way_back(course: Course) -> None:
    for _ in range(2):
        course.proxy.treat_next(up=CHOPPED, down=CHOPPED)
    course.proxy.end(reset=True)


def _still_in_use(course: Course) -> None:
    course.proxy.orphan()
    try:
        course.wait_for(lambda: any(isinstance(why, SessionInUseError) for why in course.witness.failures))
    finally:
        course.proxy.release()


def _for_a_while(up: Treatment, down: Treatment) -> Strike:
    """Something that passes, and through which the client hears on."""

    def strike(course: Course) -> None:
        course.proxy.treat(up=up, down=down)
        course.hear(course.random.randrange(5, 20))
        course.proxy.treat()

    return strike


def _short_stall(course: Course) -> None:
    course.proxy.treat(up=STALLED, down=STALLED)
    # At 100 a second: less than half of what the client is patient for.
    course.miss(course.random.randrange(3, 12))
    course.proxy.treat()


FAULTS = (
    Fault("reset", True, lambda course: course.proxy.end(reset=True)),
    Fault("closed without a word", True, lambda course: course.proxy.end(reset=False)),
    Fault("closed by the server with a close frame", True, _goodbye),
    Fault("cut on the way to the client", True, lambda course: course.proxy.treat(down=course.cut(2000))),
    Fault("cut on the way to the server", True, lambda course: course.proxy.treat(up=course.cut(8))),
    Fault("stalled both ways", True, lambda course: course.proxy.treat(up=STALLED, down=STALLED)),
    Fault("stalled on the way to the client", True, lambda course: course.proxy.treat(down=STALLED)),
    Fault(
        "stalled in the middle of a frame",
        True,
        lambda course: course.proxy.treat(down=Treatment(course.bytes_below(500), Then.STALL)),
    ),
    Fault("refused for a while", True, _refused),
    Fault("blackholed at the validation", True, _blackholed(0)),
    Fault("blackholed at the handshake", True, _blackholed(1)),
    Fault("cut in the validation's request", True, _cut_while_connecting(0, up=150)),
    Fault("cut in the validation's answer", True, _cut_while_connecting(0, down=150)),
    Fault("cut in the handshake's request", True, _cut_while_connecting(1, up=250)),
    # The answer has 129 bytes: some of these are cut just behind it, when the client is open already.
    Fault("cut in the handshake's answer", True, _cut_while_connecting(1, down=160)),
    Fault("chopped while it connects", True, _chopped_way_back),
    Fault("session held for a lost connection", True, _still_in_use),
    Fault("chopped to single bytes", False, _for_a_while(CHOPPED, CHOPPED)),
    Fault("late", False, _for_a_while(Treatment(delay=0.03), Treatment(delay=0.03))),
    Fault("stalled on the way to the server, which passes", False, _for_a_while(STALLED, HEALTHY)),
    Fault("stalled both ways, which passes", False, _short_stall),
)


def plan(count: int, seed: int) -> List[Fault]:
    """So many faults of all kinds in a random order."""
    rounds = -(-count // len(FAULTS))
    draw = random.Random(seed)
    return [fault for _ in range(rounds) for fault in draw.sample(FAULTS, len(FAULTS))][:count]


def run(count: int, seed: int) -> List[FaultResult]:
    """Let so many faults happen, to several clients side by side."""
    with ProcessPoolExecutor(_CLIENTS, multiprocessing.get_context("spawn")) as pool:
        shares = [pool.submit(run_course, count, seed, client) for client in range(_CLIENTS)]
        return [result for share in shares for result in share.result()]


def run_course(count: int, seed: int, client: int) -> List[FaultResult]:
    """One client's share of the faults."""
    logging.getLogger("onetrade_ws").addHandler(logging.NullHandler())
    faults = plan(count, seed)
    results = []
    with Course(seed + client) as course:
        settled: Dict[int, str] = {}
        for number in range(client, count, _CLIENTS):
            name = f"{number} ({faults[number].name})"
            results.append(_run_fault(course, faults[number], name, settled))
            if not results[-1].recovered:
                # What comes after it would only say the same again.
                break
        problems = _restored(course, settled)
    last = results[-1].name
    return [
        attrs.evolve(
            result,
            problems=[
                *result.problems,
                *problems.get(result.name, []),
                *(problems.get(_AFTERWARDS, []) if result.name == last else []),
            ],
        )
        for result in results
    ]


def _run_fault(course: Course, fault: Fault, name: str, settled: Dict[int, str]) -> FaultResult:
    witness = course.witness
    try:
        course.wait_for(witness.is_settled)
        course.hear(course.random.randrange(1, 10))
        losses, openings = len(witness.losses), witness.openings
        fault.strike(course)
        if fault.breaks:
            course.wait_for(lambda: len(witness.losses) > losses)
            course.wait_for(lambda: course.proxy.coming == 0 and witness.is_settled())
        # Two, so that what was said in between has been heard.
        course.hear(2)
    except TimeoutError:
        return FaultResult(name, False, problems=["nothing could be seen of it"])
    finally:
        course.proxy.treat()
    lost = witness.losses[losses:]
    problems, witness.problems = witness.problems, []
    for loss in lost:
        problems += loss.wrong(course.said_at)
    if witness.openings - openings != len(lost):
        problems.append(f"{len(lost)} losses, {witness.openings - openings} openings")
    settled[course.simulator.connections_total] = name
    away = [loss.away for loss in lost]
    needless = 0 if fault.breaks else len(lost)
    return FaultResult(name, True, away, needless, sum(len(loss.gaps) for loss in lost), problems)


def _restored(course: Course, settled: Dict[int, str]) -> Dict[str, List[str]]:
    """What was wrong with the messages that each connection of a course began with, by the fault before it.

    :param settled: for the connections that the client was settled in, by their numbers: the fault before it
    """
    wanted: List[Any] = [("start_account_all", None)]
    wanted += [("market_subscribe_symbol", symbol_id) for symbol_id in _SYMBOLS]
    arrived: Dict[int, List[Any]] = {number: [] for number in settled}
    for message in course.simulator.messages:
        if message.opcode == 1 and message.payload != b"9":
            content = json.loads(message.payload)
            arrived.setdefault(message.connection, []).append((content["type"], content.get("data")))
    problems: Dict[str, List[str]] = {}
    for number, messages in arrived.items():
        # One that was cut at its beginning may have got less.
        complete = messages == wanted if number in settled else messages == wanted[: len(messages)]
        if not complete:
            later = [connection for connection in settled if connection >= number]
            name = settled[min(later)] if later else _AFTERWARDS
            problems.setdefault(name, []).append(f"connection {number} began with {messages}")
    return problems
