"""The event queue alone: order, what gives way to what, and how much waits."""

from __future__ import annotations

import itertools
import random
import threading
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onetrade_ws.config import PRICE_COLUMNS
from onetrade_ws.deadline import Deadline
from onetrade_ws.delivery import queue as queue_module
from onetrade_ws.delivery.queue import EventQueue
from onetrade_ws.protocol.events import ClientEventType, Event
from onetrade_ws.protocol.frames import Batch, Opcode
from onetrade_ws.protocol.records import RecordError, parse_record, split_records
from tests.client.background import Background

PLENTY = 10**9
NOW = Deadline(0)


def never() -> bool:
    return False


def binary(*payloads: bytes, at: float = 0.0) -> Batch:
    return Batch(Opcode.BINARY, list(payloads), at)


def text(*payloads: bytes, at: float = 0.0) -> Batch:
    return Batch(Opcode.TEXT, list(payloads), at)


def make_queue(limit: int = PLENTY) -> EventQueue:
    queue = EventQueue(limit, PRICE_COLUMNS)
    queue.open()
    return queue


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer is behind as soon as anything waits."""
    monkeypatch.setattr(queue_module, "_PATIENCE", 0.0)
    monkeypatch.setattr(queue_module, "_HIGH_WATER", 0)


@pytest.fixture
def behind(impatient: None) -> EventQueue:
    """A queue whose consumer is behind, with one text message in it."""
    queue = make_queue()
    queue.put([text(b"first")], never)
    queue.put([text(b"second")], never)
    assert payloads(queue.get(NOW, 1)) == [b"first"]
    return queue


def payloads(items: Optional[Sequence[Union[Batch, Event]]]) -> List[object]:
    """What the batches hold, and the types of events."""
    assert items is not None
    return [each for item in items for each in ([item.type] if isinstance(item, Event) else item.payloads)]


def rest(queue: EventQueue) -> List[object]:
    """Everything that waits, a few at a time."""
    taken: List[object] = []
    while True:
        items = queue.get(NOW, 3)
        if not items:
            assert queue.bytes == 0
            return taken
        assert len(payloads(items)) <= 3
        taken += payloads(items)


# -- what gives way, and where the newer one stands ---------------------------------------------------------


def test_a_newer_quote_stands_where_the_older_one_stood(behind: EventQueue) -> None:
    behind.put([binary(b"1,1,1", b"2,1,1", b"3,1,1", at=1.0)], never)
    behind.put([binary(b"2,2,2", b"4,2,2", b"2,3,3", at=2.0)], never)
    behind.put([binary(b"1,4,4", at=3.0)], never)
    assert rest(behind) == [b"second", b"1,4,4", b"2,3,3", b"3,1,1", b"4,2,2"]
    assert behind.merged == 3


def test_each_keeps_the_time_at_which_it_came(behind: EventQueue) -> None:
    behind.put([binary(b"1,1,1", b"2,1,1", b"3,1,1", at=1.0)], never)
    behind.put([binary(b"2,2,2", at=2.0)], never)
    assert behind.get(NOW, 10) == [
        text(b"second"),
        binary(b"1,1,1", at=1.0),
        binary(b"2,2,2", at=2.0),
        binary(b"3,1,1", at=1.0),
    ]


def test_text_among_quotes_stays_in_order_and_quotes_go_before_it(behind: EventQueue) -> None:
    behind.put(
        [binary(b"1,1,1"), text(b"third", b"fourth"), binary(b"1,2,2", b"2,2,2"), text(b"fifth")], never
    )
    assert rest(behind) == [b"second", b"1,2,2", b"third", b"fourth", b"2,2,2", b"fifth"]


def test_a_profit_does_not_overtake_text_that_came_before_it(behind: EventQueue) -> None:
    behind.put([binary(b"s,1,1,1", b"s,2,1,1"), text(b"position 1"), binary(b"s,1,2,2", b"s,1,3,3")], never)
    assert rest(behind) == [b"second", b"s,2,1,1", b"position 1", b"s,1,3,3"]
    assert behind.merged == 2


def test_without_text_in_between_a_profit_stands_where_the_older_one_stood(behind: EventQueue) -> None:
    behind.put([binary(b"s,1,1,1", b"s,2,1,1")], never)
    behind.put([binary(b"1,1,1", b"s,1,2,2")], never)
    assert rest(behind) == [b"second", b"s,1,2,2", b"s,2,1,1", b"1,1,1"]


def test_a_position_is_not_taken_for_a_symbol(behind: EventQueue) -> None:
    behind.put([binary(b"1,1,1", b"s,1,2,2", b"1,3,3")], never)
    assert rest(behind) == [b"second", b"1,3,3", b"s,1,2,2"]


def test_nothing_goes_across_an_event_of_the_client_s_own(behind: EventQueue) -> None:
    behind.put([binary(b"1,1,1", b"s,1,1,1")], never)
    behind.announce(Event(ClientEventType.GAP))
    behind.put([binary(b"1,2,2", b"s,1,2,2", b"1,3,3")], never)
    assert rest(behind) == [
        b"second",
        b"1,1,1",
        b"s,1,1,1",
        ClientEventType.GAP,
        b"1,3,3",
        b"s,1,2,2",
    ]


def test_records_of_one_message_are_merged_each(behind: EventQueue) -> None:
    behind.put([binary(b"1,1,1\n2,1,1\n1,2,2", b"s,1,1,1\r\n 2,2,2 \n")], never)
    assert rest(behind) == [b"second", b"1,2,2", b"2,2,2", b"s,1,1,1"]
    assert behind.merged == 2


ODD = [
    b"",
    b"\n",
    b",",
    b"1",
    b"1,2",
    b"1,2,",
    b"1, 2,2",
    b"1 ,2,2",
    b"1,2,2\n1,2",
    b"-1,2,2",
    b"+1,2,2",
    b"01,2,2",
    b"1.0,2,2",
    b"1e0,2,2",
    b"1,x,2",
    b"1,2,02",
    b"1,.5,2",
    b"1,2,2,x",
    b"1,2,NaN",
    b"1,1e999,2",
    b"1,2,2\x00",
    b"\xff,2,2",
    b"9" * 20 + b",2,2",
    b"s",
    b"s,1",
    b"s,1,2",
    b"s,,2,2",
    b"s,x,2,2",
    b"s, 1,2,2",
    b"t,1,2,2",
]


@pytest.mark.parametrize("payload", ODD)
def test_what_is_no_plain_record_is_kept_as_it_came_and_nothing_goes_across_it(
    behind: EventQueue, payload: bytes
) -> None:
    behind.put([binary(b"1,1,1", payload, payload, b"1,2,2", b"1,3,3")], never)
    assert rest(behind) == [b"second", b"1,1,1", payload, payload, b"1,3,3"]
    assert behind.merged == 1


@pytest.mark.parametrize(
    "payload",
    [b"1,1.25,2", b"1,-1,2e-05", b"1,1,2,,,3,", b"1,1,2,3,4,5,6,7", b"9223372036854775807,0,0", b"0,1,2"],
)
def test_a_plain_record_can_be_read_and_gives_way(behind: EventQueue, payload: bytes) -> None:
    parse_record(payload, PRICE_COLUMNS)
    newer = payload.split(b",")[0] + b",7,7"
    behind.put([binary(payload, newer)], never)
    assert rest(behind) == [b"second", newer]


@pytest.mark.parametrize(
    ("columns", "records", "left"),
    [
        (("bid", "ask", "symbol_id"), [b"1,1,5", b"1,1,6", b"2,2,5", b"3,3"], [b"2,2,5", b"1,1,6", b"3,3"]),
        (
            ("venue", "symbol_id", "ask", "last", "bid"),
            [b"7,1,2,,2", b"7,2,2,,2", b"8,1,3,3,3", b"x,1,2,2,2"],
            [b"8,1,3,3,3", b"7,2,2,,2", b"x,1,2,2,2"],
        ),
    ],
)
def test_the_symbol_is_found_in_its_column(
    impatient: None, columns: Sequence[str], records: List[bytes], left: List[bytes]
) -> None:
    queue = EventQueue(PLENTY, columns)
    queue.open()
    for first in (b"first", b"second"):
        queue.put([text(first)], never)
    queue.put([binary(*records, b"s,1,2,3", b"s,1,3,3")], never)
    assert rest(queue) == [b"first", b"second", *left, b"s,1,3,3"]


def test_what_waited_before_is_merged_when_the_consumer_turns_out_to_be_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queue_module, "_PATIENCE", 0.0)
    monkeypatch.setattr(queue_module, "_HIGH_WATER", 1000)
    queue = make_queue()
    queue.put([binary(b"1,1,1", b"2,1,1", b"1,2,2", b"1,3,3"), text(b"text"), binary(b"s,1,1,1")], never)
    assert queue.merged == 0
    # A batch of which a part has been taken already.
    assert payloads(queue.get(NOW, 2)) == [b"1,1,1", b"2,1,1"]
    queue.put([binary(b"2,2,2", b"s,1,2,2", *[b"3,1,1"] * 10)], never)
    assert rest(queue) == [b"1,3,3", b"text", b"s,1,2,2", b"2,2,2", b"3,1,1"]
    assert queue.merged == 1 + 1 + 9


def test_what_has_been_taken_gives_way_to_nothing(behind: EventQueue) -> None:
    behind.put([binary(b"1,1,1", b"2,1,1")], never)
    assert payloads(behind.get(NOW, 2)) == [b"second", b"1,1,1"]
    behind.put([binary(b"1,2,2", b"2,2,2")], never)
    assert rest(behind) == [b"2,2,2", b"1,2,2"]


def test_who_finds_the_queue_empty_has_caught_up(behind: EventQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "_HIGH_WATER", 1)
    assert rest(behind) == [b"second"]
    behind.put([binary(b"1,1,1", b"1,2,2")], never)
    assert rest(behind) == [b"1,1,1", b"1,2,2"]


def test_who_takes_the_last_one_has_not_caught_up_yet(behind: EventQueue) -> None:
    assert payloads(behind.get(NOW, 1)) == [b"second"]
    behind.put([binary(b"1,1,1", b"1,2,2")], never)
    assert rest(behind) == [b"1,2,2"]


@pytest.mark.parametrize("symbols", [3, 500])
def test_each_symbol_gets_its_turn_once_a_round(behind: EventQueue, symbols: int) -> None:
    draw = random.Random(symbols)
    behind.get(NOW, 1)
    newest: Dict[int, int] = {}
    for now in range(8 * symbols):
        # Some symbols change much faster than others. The clock is the number of callbacks made so far.
        chosen = [min(draw.randrange(symbols), draw.randrange(symbols)) for _ in range(50)]
        newest.update(dict.fromkeys(chosen, now))
        quotes = [binary(*[b"%d,%d,1" % (symbol, now) for symbol in chosen], at=float(now))]
        behind.put([*quotes, text(b"order", at=float(now))] if now % 50 == 0 else quotes, never)
        (taken,) = behind.get(NOW, 1) or ()
        assert isinstance(taken, Batch)
        assert now - taken.received_at <= symbols + symbols // 50 + 1
        if taken.opcode == Opcode.BINARY:
            symbol, came, _ = map(int, taken.payloads[0].split(b","))
            assert came == newest[symbol]


# -- waiting ------------------------------------------------------------------------------------------------


def until(true: Callable[[], bool]) -> None:
    """Let other threads run until something is true."""
    for _ in range(10_000):
        if true():
            return
        threading.Event().wait(0.001)
    raise AssertionError("it did not come true")


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no end to the patience with a consumer."""
    monkeypatch.setattr(queue_module, "_PATIENCE", None)
    monkeypatch.setattr(queue_module, "_HIGH_WATER", 1000)


@pytest.fixture
def held_back(patient: None) -> Iterator[Tuple[EventQueue, Background[None]]]:
    """A queue above its mark, and a reader that waits for room in it."""
    queue = make_queue()
    queue.put([binary(*[b"1,1,1"] * 8)], never)
    gone = threading.Event()
    reader = Background(lambda: queue.put([binary(*[b"1,2,2"] * 4)], gone.is_set))
    until(lambda: queue._room_at >= 0)
    yield queue, reader
    gone.set()
    queue.wake()
    reader.result()


def test_who_keeps_up_loses_nothing_however_full_it_is(
    held_back: Tuple[EventQueue, Background[None]],
) -> None:
    queue, reader = held_back
    assert payloads(queue.get(NOW, 4)) == [b"1,1,1"] * 4
    assert not reader.done
    assert payloads(queue.get(NOW, 6)) == [b"1,1,1"] * 4 + [b"1,2,2"] * 2
    reader.result()
    assert rest(queue) == [b"1,2,2"] * 2
    assert queue.merged == 0


@pytest.mark.parametrize("end", [EventQueue.lift_limit, EventQueue.close])
def test_the_end_of_a_life_ends_the_waiting(
    held_back: Tuple[EventQueue, Background[None]], end: Callable[[EventQueue], None]
) -> None:
    queue, reader = held_back
    end(queue)
    reader.result()
    assert queue.merged == 0


def test_the_end_of_a_connection_ends_the_waiting(patient: None) -> None:
    queue = make_queue()
    queue.put([binary(*[b"1,1,1"] * 8)], never)
    gone = threading.Event()
    reader = Background(lambda: queue.put([binary(b"1,2,2")], gone.is_set))
    until(lambda: queue._room_at >= 0)
    queue.wake()
    gone.set()
    queue.wake()
    reader.result()
    assert rest(queue) == [b"1,1,1"] * 8 + [b"1,2,2"]


def test_one_large_batch_in_an_empty_queue_is_not_waited_for(patient: None) -> None:
    queue = make_queue(limit=2000)
    queue.put([binary(*[b"1,1,1"] * 1000)], never)
    assert rest(queue) == [b"1,1,1"] * 1000


ARRIVALS: Sequence[Tuple[Callable[[EventQueue], None], object]] = (
    (lambda queue: queue.put([text(b"hello")], never), [text(b"hello")]),
    (lambda queue: queue.announce(Event(ClientEventType.GAP)), [Event(ClientEventType.GAP)]),
    (EventQueue.close, None),
)


def test_who_waits_is_woken_by_what_comes() -> None:
    queue = make_queue()
    for arrive, arrived in ARRIVALS:
        getting = Background(lambda: queue.get(Deadline(None), 10))
        until(lambda: queue._awaited)
        arrive(queue)
        assert getting.result() == arrived
    assert queue.is_exhausted


class Interrupted(Deadline):
    """Ctrl-C while it is waited."""

    def acquire(self, lock: threading.Lock) -> bool:
        raise KeyboardInterrupt


class Overtaken(Deadline):
    """Something comes just before it is waited."""

    def __init__(self, arrive: Callable[[], None]) -> None:
        super().__init__(None)
        self._arrive = arrive

    def acquire(self, lock: threading.Lock) -> bool:
        self._arrive()
        return super().acquire(lock)


def test_a_wait_that_was_interrupted_hinders_nothing_afterwards() -> None:
    queue = make_queue()
    for number in range(3):
        with pytest.raises(KeyboardInterrupt):
            queue.get(Interrupted(None), 1)
        queue.put([text(b"first %d" % number)], never)
        assert payloads(queue.get(NOW, 1)) == [b"first %d" % number]
        arriving = Overtaken(lambda: queue.put([text(b"second")], never))
        assert payloads(queue.get(arriving, 1)) == [b"second"]


def test_who_waits_gets_nothing_when_the_time_is_over() -> None:
    queue = make_queue()
    for timeout in (-1.0, 0.0, 0.01):
        assert queue.get(Deadline(timeout), 1) == ()
    queue.put([text(b"hello")], never)
    assert queue.get(Deadline(0.01), 1) == [text(b"hello")]
    assert queue.get(Deadline(0.01), 1) == ()


def test_a_closed_queue_gives_the_rest_first() -> None:
    queue = make_queue()
    queue.put([text(b"1", b"2")], never)
    queue.close()
    assert payloads(queue.get(Deadline(None), 1)) == [b"1"]
    assert not queue.is_exhausted
    assert payloads(queue.get(Deadline(None), 1)) == [b"2"]
    assert queue.is_exhausted
    assert queue.get(Deadline(None), 1) is None


def test_many_arrivals_and_many_waits_lose_nothing() -> None:
    queue = make_queue()
    numbers: List[int] = []

    def consume() -> None:
        for limit in itertools.cycle([1, 2, 7]):
            items = queue.get(Deadline(None) if limit > 1 else Deadline(0.0001), limit)
            if items is None:
                return
            numbers.extend(int(payload) for item in items for payload in item.payloads)  # type: ignore[union-attr]

    consumer = Background(consume)
    draw = random.Random(1)
    sent = itertools.count()
    for _ in range(3000):
        queue.put([text(*[b"%d" % next(sent) for _ in range(draw.randrange(1, 4))])], never)
    queue.close()
    consumer.result()
    assert numbers == list(range(next(sent)))


# -- bounds -------------------------------------------------------------------------------------------------


def reading_stopped(queue: EventQueue, batch: Batch, limit: int) -> int:
    """Put ``batch`` again and again, changed, until that is not taken any more; how often it was."""
    for number in itertools.count(1):
        gone = threading.Event()
        changed = binary(*[payload % number for payload in batch.payloads])
        reader = Background(lambda changed=changed, gone=gone: queue.put([changed], gone.is_set))  # type: ignore[misc]
        until(lambda reader=reader: reader.done or queue._room_at == limit - 1)  # type: ignore[misc]
        if not reader.done:
            gone.set()
            queue.wake()
            reader.result()
            return number
    raise AssertionError


@pytest.mark.parametrize(
    "payload",
    [b"%d,1,1", b"s,%d,1,1", b"%d,oops,1", b"%d", b"%d0,1,1\n%d1,1,1".replace(b"%d", b"%%d", 1)],
    ids=["symbols", "positions", "malformed", "blank", "several"],
)
def test_made_up_ids_fill_it_up_to_the_limit(impatient: None, payload: bytes) -> None:
    limit = 20_000
    queue = make_queue(limit)
    payload = payload.replace(b"%%d", b"7")
    reading_stopped(queue, binary(*[payload] * 4), limit)
    assert limit <= queue.bytes < limit + 4000
    assert queue.high_water == queue.bytes
    (slow,) = queue.get(NOW, 1) or ()
    assert isinstance(slow, Event)
    assert slow.type is ClientEventType.SLOW_CONSUMER
    assert slow.data.queued_bytes == queue.high_water
    rest(queue)


def test_a_large_message_of_small_records_is_not_split_beyond_the_limit(impatient: None) -> None:
    limit = 100_000
    queue = make_queue(limit)
    for first in (b"first", b"second"):
        queue.put([text(first)], never)
    large = b"\n".join(b"%d,1,1" % number for number in range(10_000))
    queue.put([binary(large)], never)
    assert len(large) < queue.bytes < limit
    small = b"1,1,1\n2,2,2\n1,3,3"
    queue.put([binary(small)], never)
    assert rest(queue) == [b"first", b"second", large, b"1,3,3", b"2,2,2"]


def test_that_reading_stops_is_said_once_until_it_is_half_empty(impatient: None) -> None:
    queue = make_queue(10_000)
    batch = text(b"x" * 800)
    for _ in range(12):
        queue.put([batch], lambda: True)
    for _ in range(3):
        queue.get(NOW, 1)
    for _ in range(3):
        queue.put([batch], lambda: True)
    taken = rest(queue)
    assert taken.count(ClientEventType.SLOW_CONSUMER) == 0
    assert taken.count(b"x" * 800) == 13
    for _ in range(12):
        queue.put([batch], lambda: True)
    assert payloads(queue.get(NOW, 1)) == [ClientEventType.SLOW_CONSUMER]
    rest(queue)


def test_large_messages_are_taken_few_at_a_time() -> None:
    queue = make_queue()
    batches = [text(*[b"x" * 100_000] * 5), text(b"y" * 1_000_000), text(b"z")]
    queue.put(batches, None)
    queue.announce(Event(ClientEventType.GAP))
    sizes = []
    while queue.bytes:
        items = queue.get(NOW, 1000)
        sizes.append(sum(len(payload) for payload in payloads(items) if isinstance(payload, bytes)))
    assert sizes == [200_000, 200_000, 100_000, 1_000_000, 1]


# -- any sequence of calls ----------------------------------------------------------------------------------

_RECORDS = st.sampled_from(
    [
        b"1,%d,1",
        b"2,%d,1",
        b"3,%d,1",
        b"1,%d,1",
        b"s,1,%d,1",
        b"s,2,%d,1",
        b" 1,%d,1",
        b"1,%d",
        b"x%d",
        b"s,1,%d",
    ]
)
_BINARY = st.lists(_RECORDS, min_size=1, max_size=3).map(b"\n".join)
_MESSAGE = st.one_of(st.just(b"text %d"), _BINARY, _BINARY)
_PUT = st.lists(_MESSAGE, min_size=1, max_size=12)
_STEPS = st.lists(st.one_of(_PUT, _PUT, st.integers(1, 9), st.just("event")), max_size=40)


class Arrival(NamedTuple):
    """What went into a queue, one record, text or event of it."""

    texts: int
    events: int
    received_at: float


class Model:
    """What a queue was given, each with a number that is written into it, and whether it gives that back."""

    def __init__(self, queue: EventQueue) -> None:
        self.queue = queue
        self.put_records: Dict[bytes, Arrival] = {}
        self.put_rest: List[object] = []
        self.texts: List[bytes] = []
        self.events: List[Event] = []
        self.taken: List[Tuple[object, float]] = []
        self._numbers = itertools.count(1)
        self._clock = itertools.count(1)

    def put(self, messages: Sequence[bytes]) -> None:
        now = float(next(self._clock))
        batches: List[Batch] = []
        for message in messages:
            is_text = message.startswith(b"text")
            while b"%d" in message:
                message = message.replace(b"%d", b"%d" % next(self._numbers), 1)
            if is_text:
                self.texts.append(message)
            else:
                for record in split_records(message):
                    self.put_records[record] = Arrival(len(self.texts), len(self.events), now)
            opcode = Opcode.TEXT if is_text else Opcode.BINARY
            if batches and batches[-1].opcode == opcode:
                batches[-1].payloads.append(message)  # type: ignore[attr-defined]
            else:
                batches.append(Batch(opcode, [message], now))
        self.queue.put(batches, never)

    def announce(self) -> None:
        event = Event(ClientEventType.GAP, len(self.events))
        self.events.append(event)
        self.queue.announce(event)

    def get(self, limit: int) -> bool:
        items = self.queue.get(NOW, limit)
        assert items is not None
        assert len(payloads(items)) <= limit
        for item in items:
            if isinstance(item, Event):
                self.taken.append((item, item.received_at))
            else:
                for payload in item.payloads:
                    several = [payload] if item.opcode == Opcode.TEXT else split_records(payload)
                    self.taken += ((each, item.received_at) for each in several)
        return bool(items)

    def check(self) -> None:
        while self.get(5):
            pass
        assert self.queue.bytes == 0
        things = [thing for thing, _ in self.taken]
        assert [thing for thing in things if isinstance(thing, Event)] == self.events
        assert [thing for thing in things if thing in self.texts] == self.texts
        texts = events = 0
        left: Dict[object, List[bytes]] = {}
        for thing, received_at in self.taken:
            if isinstance(thing, Event):
                events += 1
            elif thing in self.texts:
                texts += 1
            else:
                assert isinstance(thing, bytes)
                arrival = self.put_records[thing]
                # Nothing goes across an event, no profit before a text, and each has its own time.
                assert events == arrival.events
                assert received_at == arrival.received_at
                if thing.startswith(b"s"):
                    assert texts >= arrival.texts
                left.setdefault(about(thing), []).append(thing)
        count = sum(map(len, left.values()))
        assert count + self.queue.merged == len(self.put_records)
        put: Dict[object, List[bytes]] = {}
        for record in self.put_records:
            put.setdefault(about(record), []).append(record)
        for key, records in put.items():
            # The newest is the last one, whatever form it has, and none goes before an older one of its own.
            assert left[key][-1] == records[-1]
            assert left[key] == [record for record in records if record in left[key]]
            if key is None:
                assert left[key] == records


def about(record: bytes) -> object:
    try:
        data = parse_record(record, PRICE_COLUMNS)
    except RecordError:
        return None
    return getattr(data, "symbol_id", None) or ("position", getattr(data, "position_id", 0))


@given(_STEPS, st.sampled_from([0, 500, 2000]))
def test_any_sequence_of_calls_keeps_what_has_to_be_kept(
    steps: List[Union[List[bytes], int, str]], high_water: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue_module, "_PATIENCE", 0.0)
        patch.setattr(queue_module, "_HIGH_WATER", high_water)
        model = Model(make_queue())
        for step in steps:
            if isinstance(step, list):
                model.put(step)
            elif isinstance(step, int):
                model.get(step)
            else:
                model.announce()
        model.check()


@given(_STEPS)
def test_any_sequence_of_calls_changes_nothing_for_who_keeps_up(
    steps: List[Union[List[bytes], int, str]],
) -> None:
    model = Model(make_queue())
    put: List[object] = []
    for step in steps:
        if isinstance(step, list):
            before = list(model.put_records), len(model.texts)
            model.put(step)
            put += [record for record in model.put_records if record not in before[0]]
            put += model.texts[before[1] :]
        elif isinstance(step, int):
            model.get(step)
        else:
            model.announce()
            put.append(model.events[-1])
    model.check()
    assert model.queue.merged == 0
    assert len(model.taken) == len(put)
