"""Observers that misbehave between two that note what they get: the stream goes on, and no heartbeat is late.

The client's clock is scaled: a heartbeat each tenth of a second. The server, in a process of its own, notes when each
one arrived; one that comes more than two tenths of a second late counts as missed. Before, during and after the
trouble the server sends numbered messages: both observers, and the mirror, must have all of them, in order, once.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import Any, Callable, List, Sequence

import attrs

from onetrade_ws import (
    ConnectionState,
    Event,
    EventMessageType,
    OneTradeClient,
    OneTradeError,
    ReconnectPolicy,
)
from tests.scorecard.distant_simulator import DistantSimulator
from tests.scorecard.outcome import Outcome

PROMISE = "User code cannot hurt the reader"
TARGET = "12 of 12, 0 heartbeats missed"
# A machine that is busy with something else delays heartbeats, too.
EXCLUSIVE = True
FULL_MINUTES = 6

INTERVAL = 0.25
# Seconds by which a heartbeat may be late, for the system to schedule its threads: less than one that is missing.
TOLERANCE = 0.2
# Seconds: only what falls short waits so long.
TIMEOUT = 10.0

INFO = EventMessageType.INFO
_POLICY = ReconnectPolicy(initial_delay=0.01, max_delay=0.05)


class Hurt(Exception):
    """What user code has broken."""


class Stage:
    """A client of a simulator, with an observer before and one after the one that misbehaves."""

    def __init__(self, simulator: DistantSimulator, beats: int, **settings: Any) -> None:
        #: How many heartbeats the trouble lasts.
        self.beats = beats
        self.before: List[str] = []
        self.after: List[str] = []
        #: Set when the trouble is over: whoever blocks goes on.
        self.released = threading.Event()
        self.emitted = 0
        #: Heartbeats that were looked at, and those that came late or not at all.
        self.beaten = self.missed = 0
        #: Seconds by which the latest one was late.
        self.latest = 0.0
        self._noted = threading.Condition()
        self.simulator = simulator
        url, session_id, access_token = simulator.begin()
        self.client = OneTradeClient(
            url,
            session_id=session_id,
            access_token=access_token,
            reconnect=_POLICY,
            heartbeat_interval=INTERVAL,
            heartbeat_timeout=TIMEOUT,
            **settings,
        )

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.released.set()
        self.client.disconnect()
        self.simulator.end()

    def begin(self, misbehave: Callable[[Event], None]) -> None:
        """Connect, with the three observers."""
        self.client.subscribe(INFO, lambda event: self._note(self.before, event))
        self.client.subscribe(INFO, misbehave)
        self.client.subscribe(INFO, lambda event: self._note(self.after, event))
        self.client.connect()
        self.simulator.wait_for_connections(1, 1)

    def _note(self, notes: List[str], event: Event) -> None:
        with self._noted:
            # The bytes as they came: nobody before could have changed them.
            notes.append(event.raw.decode())
            self._noted.notify_all()

    def emit(self, count: int = 20) -> None:
        """Send the next numbered messages."""
        self.simulator.emit(self.emitted, count)
        self.emitted += count

    def wait_until_noted(self) -> None:
        """Until the last observer has everything that was sent."""
        with self._noted:
            if not self._noted.wait_for(lambda: len(self.after) >= self.emitted, TIMEOUT):
                raise Hurt(f"{len(self.after)} of {self.emitted} messages came")

    def check_notes(self) -> None:
        """Everything was delivered, in order, once: to both observers, and to the mirror."""
        wanted = [str(number) for number in range(self.emitted)]
        raw = [f'{{"type":"info","data":{{"message":"{number}"}}}}' for number in wanted]
        for who, notes, all_of_it in (
            ("the observer before", self.before, raw),
            ("the observer after", self.after, raw),
            ("the mirror", self.mirrored(), wanted),
        ):
            if notes != all_of_it:
                raise Hurt(f"{who} has {len(notes)} of {self.emitted} messages, or another order")

    def mirrored(self) -> List[str]:
        """The numbers in the mirror, without what the server said about messages that it does not know."""
        notes = self.client.account.notifications
        return [notification.message for notification in notes if notification.message.isdigit()]

    def check_beats(self, connection: int, *, ended: bool = False) -> None:
        """No heartbeat of a connection is missing, until now or until its end."""
        beats = self.simulator.beats(connection)
        times = [*beats.arrived, beats.last if ended else beats.now]
        for before, after in zip(times, times[1:]):
            self.beaten += 1
            late = after - before - INTERVAL
            self.latest = max(self.latest, late)
            if late > TOLERANCE:
                # How many should have come in that time, and did not.
                self.missed += int(late / INTERVAL)
        if not beats.arrived:
            self.missed += 1

    def goes_on(self) -> None:
        """Messages and heartbeats go their way while somebody misbehaves, and after it."""
        for _ in range(self.beats):
            self.emit()
            self.simulator.wait_for_beats(1, 1)
        self.released.set()
        self.emit()
        self.wait_until_noted()
        self.check_notes()
        self.check_beats(1)
        if self.simulator.connections_total() != 1:
            raise Hurt("it took another connection")
        if self.client.state is not ConnectionState.OPEN:
            raise Hurt(f"the client is {self.client.state}")


def raising(stage: Stage, errors: Sequence[BaseException]) -> None:
    """Each call raises; each is counted."""
    calls: List[Event] = []

    def misbehave(event: Event) -> None:
        calls.append(event)
        raise errors[len(calls) % len(errors)]

    stage.begin(misbehave)
    stage.goes_on()
    counted = stage.client.stats().callback_errors
    if counted != stage.emitted:
        raise Hurt(f"{counted} errors were counted, not {stage.emitted}")


class Unprintable:
    """An observer that raises, and cannot even be shown in the log."""

    def __call__(self, event: Event) -> None:
        raise AttributeError("no such widget")

    def __repr__(self) -> str:
        raise AttributeError("no widget to show")

    def __eq__(self, other: object) -> bool:
        raise AttributeError("no widget to compare")

    __hash__ = None  # type: ignore[assignment]


def unprintable(stage: Stage) -> None:
    """The report of the error raises, too."""
    # Logging itself prints such a thing for developers; this is the program's to set.
    logging.raiseExceptions, before = False, logging.raiseExceptions
    try:
        stage.begin(Unprintable())
        stage.goes_on()
    finally:
        logging.raiseExceptions = before


def waiting(stage: Stage) -> None:
    """The first call blocks while more than three heartbeats come."""

    def misbehave(event: Event) -> None:
        if len(stage.before) == 1:
            stage.released.wait(TIMEOUT)

    stage.begin(misbehave)
    stage.goes_on()


def computing(stage: Stage) -> None:
    """The first call computes all the time."""

    def misbehave(event: Event) -> None:
        while len(stage.before) == 1 and not stage.released.is_set():
            pass

    stage.begin(misbehave)
    stage.goes_on()


def call_everything(client: OneTradeClient) -> None:
    """What a client can be asked on any thread, callbacks included."""

    def nobody(event: Event) -> None:
        pass

    subscription = client.subscribe(None, nobody)
    client.subscribe(INFO, nobody)
    client.unsubscribe(INFO, nobody)
    subscription.cancel()
    client.subscribe_market(1)
    client.unsubscribe_market(1)
    client.send("anything", {"of": "mine"})
    client.connect()
    client.stats()
    client.events(timeout=0).close()
    client.expect(INFO, timeout=0)
    str(client.state)
    str((client.account.orders, client.account.quotes, len(client.account.notifications)))


def refused_calls(client: OneTradeClient) -> None:
    """What would wait for itself inside a callback: refused."""
    for call in (client.wait, client.pump, lambda: client.wait_for(INFO), lambda: next(client.events())):
        try:
            call()
        except OneTradeError:
            continue
        raise Hurt("a callback could wait for itself")


def re_entering(stage: Stage) -> None:
    """Each call calls everything else."""

    def misbehave(event: Event) -> None:
        call_everything(stage.client)
        refused_calls(stage.client)

    stage.begin(misbehave)
    stage.goes_on()
    if stage.client.stats().callback_errors:
        raise Hurt("a call raised inside a callback")


def disconnecting(stage: Stage) -> None:
    """A call disconnects and connects, and another one disconnects for good."""
    leave = threading.Event()

    def misbehave(event: Event) -> None:
        number = len(stage.before) - 1
        if number == 19:
            stage.client.disconnect()
            stage.client.connect()
        elif leave.is_set():
            stage.client.disconnect()
            stage.client.disconnect()

    stage.begin(misbehave)
    stage.simulator.wait_for_beats(1, 2)
    stage.emit()
    stage.wait_until_noted()
    stage.simulator.wait_for_connections(2, 1)
    for _ in range(stage.beats):
        stage.emit()
        stage.simulator.wait_for_beats(2, 1)
    stage.wait_until_noted()
    leave.set()
    stage.emit(1)
    if not stage.client.wait(TIMEOUT):
        raise Hurt("the client did not end")
    stage.check_notes()
    stage.simulator.wait_for_connections(2, 0)
    for connection in (1, 2):
        stage.check_beats(connection, ended=True)


def recursing(stage: Stage) -> None:
    """Each call goes down until the interpreter stops it."""

    def deeper(depth: int) -> int:
        return deeper(depth + 1) + 1

    def misbehave(event: Event) -> None:
        deeper(0)

    stage.begin(misbehave)
    stage.goes_on()
    if stage.client.stats().callback_errors != stage.emitted:
        raise Hurt("an error was not counted")


def starting_threads(stage: Stage) -> None:
    """A call starts threads that call everything, all the time."""
    errors: List[BaseException] = []
    threads: List[threading.Thread] = []

    def work() -> None:
        try:
            while not stage.released.wait(0.01):
                call_everything(stage.client)
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    def misbehave(event: Event) -> None:
        if len(threads) < 4:
            threads.append(threading.Thread(target=work, name="of a callback"))
            threads[-1].start()

    stage.begin(misbehave)
    try:
        stage.goes_on()
    finally:
        stage.released.set()
        for thread in threads:
            thread.join(TIMEOUT)
    if errors:
        raise Hurt(f"a call raised {errors[0]!r}") from errors[0]


class FailingHandler(logging.Handler):
    """A program's log handler that raises for every record, as one does whose window has been closed."""

    def emit(self, record: logging.LogRecord) -> None:
        raise AttributeError("no window to write to")


def failing_log_handler(stage: Stage) -> None:
    """Each call raises, and so does what should log it; and everything else that is logged."""
    logger = logging.getLogger("onetrade_ws")
    handler, level = FailingHandler(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        raising(stage, [ValueError("it broke")])
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


def mutating(stage: Stage) -> None:
    """Each call changes, or tries to change, all that it can reach."""

    def misbehave(event: Event) -> None:
        for owner, name in ((event, "data"), (event, "raw"), (event.data, "message")):
            try:
                setattr(owner, name, None)
            except AttributeError:
                continue
            raise Hurt(f"{name} can be changed")
        owned: List[Any] = [stage.client.account.notifications, stage.client.account.quotes]
        for snapshot in owned:
            snapshot.clear()

    stage.begin(misbehave)
    stage.goes_on()
    if stage.client.stats().callback_errors:
        raise Hurt("something can be changed that others see")


def never_returning(stage: Stage) -> None:
    """The first call stays. disconnect() leaves it behind; what waited behind it reaches the mirror all the same."""
    entered = threading.Event()

    def misbehave(event: Event) -> None:
        entered.set()
        stage.released.wait(TIMEOUT)

    stage.begin(misbehave)
    stage.emit(1)
    if not entered.wait(TIMEOUT):
        raise Hurt("nothing was delivered")
    for _ in range(stage.beats):
        stage.emit()
        stage.client.send("still here")
        stage.simulator.wait_for_beats(1, 1)
    # All of it has been read when the answer to the last heartbeat has.
    stage.simulator.wait_for_beats(1, 2)
    started = time.monotonic()
    stage.client.disconnect(timeout=0.5)
    if time.monotonic() - started > 1.0:
        raise Hurt("disconnect() waited for it")
    if stage.client.state is not ConnectionState.CLOSED:
        raise Hurt(f"the client is {stage.client.state}")
    stage.check_beats(1, ended=True)
    heard = stage.simulator.heard(b"still here")
    if heard != stage.beats:
        raise Hurt(f"{heard} of {stage.beats} messages were sent meanwhile")
    stage.released.set()
    for thread in threading.enumerate():
        if thread.name == "onetrade-ws dispatcher":
            thread.join(TIMEOUT)
            if thread.is_alive():
                raise Hurt("the dispatcher did not end after it")
    # Those behind it are told nothing any more; the observers that share its event still are.
    if (len(stage.before), len(stage.after)) != (1, 1):
        raise Hurt(f"the others were called {len(stage.before)} and {len(stage.after)} times")
    mirrored = stage.mirrored()
    if mirrored != [str(number) for number in range(stage.emitted)]:
        raise Hurt(f"the mirror has {len(mirrored)} of {stage.emitted} messages")


def not_pumped(stage: Stage) -> None:
    """Nobody pumps until the end."""
    stage.begin(lambda event: None)
    for _ in range(stage.beats):
        stage.emit()
        stage.simulator.wait_for_beats(1, 1)
    if stage.before:
        raise Hurt("something was delivered without pump()")
    while len(stage.after) < stage.emitted and stage.client.pump(max_seconds=1.0, timeout=TIMEOUT):
        pass
    stage.check_notes()
    stage.check_beats(1)


@attrs.frozen
class Case:
    """A way to misbehave, in one or more variants."""

    name: str
    plays: Sequence[Callable[[Stage], None]]
    settings: Sequence[Any] = ({},)


# A queue that a few messages fill, so that the reader is held up.
_SMALL = {"queue_limit": 2000}


def _raises(*errors: BaseException) -> Callable[[Stage], None]:
    return lambda stage: raising(stage, errors)


CASES = [
    Case("raises", [_raises(ValueError("it broke"), BaseException("really"), GeneratorExit()), unprintable]),
    Case("raises SystemExit", [_raises(SystemExit(3), SystemExit())]),
    Case("raises KeyboardInterrupt", [_raises(KeyboardInterrupt())]),
    Case("blocks for three heartbeats", [waiting, computing], [{}, _SMALL]),
    Case("re-enters everything", [re_entering]),
    Case("disconnects", [disconnecting]),
    Case("recurses without end", [recursing]),
    Case("starts threads that call everything", [starting_threads]),
    Case("has a log handler that raises", [failing_log_handler]),
    Case("changes what it was given", [mutating]),
    Case("never returns", [never_returning]),
    Case("nobody pumps", [not_pumped], [{"dispatch": "manual"}]),
]


def measure(full: bool, seed: int) -> Outcome:
    """Let user code misbehave."""
    # What the library logs about the trouble is not what is looked at here.
    logging.getLogger("onetrade_ws").addHandler(logging.NullHandler())
    rounds, beats = (3, 10) if full else (1, 4)
    draw = random.Random(seed)
    beaten = missed = 0
    latest = 0.0
    hurt = {}
    plays = [(case, play, settings) for case in CASES for play in case.plays for settings in case.settings]
    with DistantSimulator() as simulator:
        for _ in range(rounds):
            for case, play, settings in draw.sample(plays, len(plays)):
                with Stage(simulator, beats, **settings) as stage:
                    try:
                        play(stage)
                    except Exception as error:  # noqa: BLE001 - whatever it is, the case falls short
                        hurt[case.name] = f"{case.name}: {type(error).__name__}: {error}"
                    beaten, missed = beaten + stage.beaten, missed + stage.missed
                    latest = max(latest, stage.latest)
                    if stage.missed:
                        hurt.setdefault(case.name, f"{case.name}: {stage.missed} heartbeats missed")
    held = len(CASES) - len(hurt)
    times = f", each {rounds} times" if full else ""
    return Outcome(
        f"{held} of {len(CASES)}{times}, {missed} heartbeats missed of {beaten + missed} "
        f"(the latest {latest:.2f} s late)",
        held == 12 and not missed,
        list(hurt.values()),
    )
