"""Numbered messages from several threads, while the server ends one connection after the other at any byte.

What each message is said to be at the end is held against what the server has read: WRITTEN has arrived, NOT_SENT has
not, UNKNOWN either way; nothing arrives twice; of two messages of which one was sent after the other, the earlier one
comes first. Each connection must begin with a whole frame, and each message must be as it was sent: the rest of
a torn frame would show as neither. Some messages are cancelled while the client is down, and a full queue is tried.
"""

from __future__ import annotations

import itertools
import json
import random
import threading
from contextlib import ExitStack
from typing import Dict, List, Optional, Tuple

import attrs

from onetrade_ws import (
    ClientEventType,
    ConnectionState,
    MessageStatus,
    OneTradeClient,
    OutgoingMessage,
    QueueFullError,
    ReconnectPolicy,
)
from tests.scorecard.ledger import CUTS, DEAF, FINISH, STALL, Conversation, Cut, Ledger
from tests.scorecard.outcome import Outcome

PROMISE = "The outgoing queue is accountable"
TARGET = (
    "10,000 sends across 200 cuts: each one accounted for, 0 reordered, 0 torn frames continued; full raises"
)
EXCLUSIVE = False
FULL_MINUTES = 5

# Seconds: only what falls short waits so long.
TIMEOUT = 20.0
THREADS = 5
# Messages that each thread sends in each round, and there is one cut a round.
PER_ROUND = 10
# Bytes in a message, at most: some fill the server's buffer several times over.
_SIZES = (1, 100, 1_000, 20_000, 200_000)
_RECEIVE_BUFFER = 4096
# Bytes in a message, and how many of them are more than the system takes while the server reads nothing.
_HEAVY = 50_000
_MANY = 300
_POLICY = ReconnectPolicy(initial_delay=0.005, max_delay=0.02, stable_after=0.0)

Name = Tuple[int, int]


@attrs.define
class Sent:
    """A message as its sender knows it: its name, what it held, and when the call began and ended.

    :ivar began: a moment, and :attr:`ended` another one, counted by all threads together
    """

    name: Name
    size: int
    message: OutgoingMessage
    began: int
    ended: int
    cancelled: bool = False


class Senders:
    """Several threads that send numbered messages, a few in each round."""

    def __init__(self, client: OneTradeClient, seed: int) -> None:
        self.sent: List[Sent] = []
        self.trouble: List[str] = []
        self._client = client
        self._seed = seed
        self._moments = itertools.count()
        self._rounds = itertools.count()
        self._heavy = itertools.count()

    def play(self, cancelling: bool) -> None:
        """One round: returns when all threads have sent what they had to."""
        start = next(self._rounds) * PER_ROUND
        threads = [
            threading.Thread(target=self._send, args=(number, start, cancelling), name=f"sender {number}")
            for number in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def send_until_blocked(self, cancelling: bool) -> None:
        """Send to a server that reads nothing, until a message is torn; and one behind it, which would end the torn
        frame. Give the torn one up, or have it sent again.
        """
        torn = self._send_one(THREADS, next(self._heavy), _HEAVY)
        for _ in range(_MANY):
            if torn.message.status is MessageStatus.NOT_SENT:
                break
            torn = self._send_one(THREADS, next(self._heavy), _HEAVY)
        self._send_one(THREADS, next(self._heavy), _HEAVY)
        torn.cancelled = cancelling and torn.message.cancel()

    def _send_one(self, thread: int, number: int, size: int) -> Sent:
        began = next(self._moments)
        message = self._client.send("note", [thread, number, "x" * size])
        sent = Sent((thread, number), size, message, began, next(self._moments))
        self.sent.append(sent)
        return sent

    def _send(self, thread: int, start: int, cancelling: bool) -> None:
        draw = random.Random(f"{self._seed} {thread} {start}")
        try:
            for number in range(start, start + PER_ROUND):
                size = draw.randrange(draw.choice(_SIZES)) if draw.random() < 0.3 else draw.randrange(200)
                sent = self._send_one(thread, number, size)
                if cancelling and draw.random() < 0.2:
                    sent.cancelled = sent.message.cancel()
        except Exception as error:  # noqa: BLE001 - whatever it is, the row falls short
            self.trouble.append(f"sender {thread} got {error!r}")


def audit(sent: List[Sent], ledger: Ledger) -> List[str]:
    """What contradicts what, a line each."""
    wrong: List[str] = []
    by_name = {one.name: one for one in sent}
    arrived: Dict[Name, int] = {}
    newest = -1
    previous: Optional[Name] = None
    for conversation in ledger.conversations:
        where = f"connection {conversation.number}"
        if conversation.violation is not None:
            wrong.append(f"{where}: {conversation.violation}")
        for payload in conversation.messages:
            try:
                thread, number, filling = json.loads(payload)["data"]
                one = by_name[thread, number]
            except (ValueError, KeyError, TypeError):
                wrong.append(f"{where}: nobody sent {payload[:60]!r} ({len(payload)} bytes)")
                continue
            if filling != "x" * one.size:
                wrong.append(f"{where}: {one.name} has {len(filling)} bytes, not {one.size}")
            if one.name in arrived:
                wrong.append(f"{where}: {one.name} arrived twice, first on connection {arrived[one.name]}")
            arrived[one.name] = conversation.number
            if one.ended < newest:
                wrong.append(f"{where}: {one.name} came after {previous}, which was sent later")
            if one.began > newest:
                newest, previous = one.began, one.name
    for one in sent:
        status = one.message.status
        if status is MessageStatus.WRITTEN and one.name not in arrived:
            wrong.append(f"{one.name} is written, and never arrived")
        elif status is MessageStatus.NOT_SENT and one.name in arrived:
            wrong.append(f"{one.name} is not sent, and arrived on connection {arrived[one.name]}")
        elif not isinstance(status, MessageStatus):
            wrong.append(f"{one.name} is {status!r}")
        if one.cancelled and status is not MessageStatus.NOT_SENT:
            wrong.append(f"{one.name} was cancelled, and is {status.value}")
    return wrong


def overfill(stack: ExitStack) -> List[str]:
    """Fill a queue from several threads: what is over the limit raises and is not sent, the rest is."""
    limit = 100
    ledger = Ledger(lambda number: None, 64 * 1024)
    stack.callback(ledger.stop)
    client = make_client(ledger, outgoing_limit=limit)
    stack.callback(client.disconnect)
    accepted: Dict[int, OutgoingMessage] = {}
    refused: List[int] = []

    def send(numbers: List[int]) -> None:
        for number in numbers:
            try:
                accepted[number] = client.send("note", number)
            except QueueFullError as error:
                refused.append(error.limit)

    threads = [
        threading.Thread(target=send, args=(list(range(start, 4 * limit, 4)),), name="filling")
        for start in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.connect()
    last = b'{"type":"that is all","data":null}'
    client.send("that is all").wait(TIMEOUT)
    client.disconnect()
    messages = [payload for one in ledger.conversations for payload in one.messages]
    numbers = [json.loads(payload)["data"] for payload in messages[:-1]]
    wrong = []
    if (len(accepted), refused) != (limit, [limit] * 3 * limit):
        wrong.append(f"a queue for {limit} took {len(accepted)} and refused {len(refused)}")
    # The server has answered the closing handshake, and so has read all of it.
    if any(message.status is not MessageStatus.WRITTEN for message in accepted.values()):
        wrong.append("a message is in doubt after a closing handshake")
    if messages[-1:] != [last] or sorted(numbers) != sorted(accepted):
        wrong.append(f"of {len(accepted)} accepted messages {len(numbers)} arrived")
    for start in range(4):
        mine = [number for number in numbers if number % 4 == start]
        if mine != sorted(mine):
            wrong.append("a queue that was full has lost its order")
    return wrong


def make_client(ledger: Ledger, **settings: object) -> OneTradeClient:
    """A client that comes back at once, and soon gives up a server that takes nothing."""
    return OneTradeClient(
        ledger.ws_url,
        session_id=ledger.session_id,
        access_token=ledger.access_token,
        reconnect=_POLICY,
        account_updates=False,
        **{"heartbeat_interval": 0.05, "heartbeat_timeout": 0.3, "connect_timeout": TIMEOUT, **settings},  # type: ignore[arg-type]
    )


def measure(full: bool, seed: int) -> Outcome:
    """Send, cut, and hold the books against each other."""
    cuts = 200 if full else 20
    draw = random.Random(seed)
    # What a round sends, about.
    budget = THREADS * PER_ROUND * 3_500

    settled = {number for number in range(1, cuts + 1) if draw.random() < 0.4}

    def plan(number: int) -> Optional[Cut]:
        # The last connection is left alone, and some until the server has shown how far it has read.
        return (
            None if number > cuts or number in settled else Cut(draw.randrange(1, budget), draw.choice(CUTS))
        )

    with ExitStack() as stack:
        ledger = Ledger(plan, _RECEIVE_BUFFER)
        stack.callback(ledger.stop)
        client = make_client(ledger)
        stack.callback(client.disconnect)
        senders = Senders(client, seed)
        wrong: List[str] = []
        # Before there is a connection, too.
        senders.play(cancelling=True)
        client.connect()
        for number in range(1, cuts + 1):
            senders.play(cancelling=draw.random() < 0.3)
            if not ledger.wait_for(lambda: ledger.newest >= number, TIMEOUT):  # noqa: B023
                wrong.append(f"no connection {number} within {TIMEOUT:.0f} s")
                break
            end(ledger, ledger.conversations[number - 1], senders, number in settled, draw.choice(CUTS))
            # Some rounds begin while the client is down.
            if draw.random() < 0.7:
                ledger.wait_for(lambda: ledger.newest > number, TIMEOUT)  # noqa: B023
        if not ledger.wait_for(lambda: ledger.newest > cuts, TIMEOUT):
            wrong.append("no connection after the last cut")
        wrong += finish(client, ledger, senders)
        wrong += senders.trouble + audit(senders.sent, ledger) + overfill(stack)
    torn = sum(one.torn > 0 for one in ledger.conversations)
    # Every connection was lost; the last one only for the leaving.
    return report(senders.sent, ledger.newest - 1, cuts, torn, wrong, seed)


def end(ledger: Ledger, conversation: Conversation, senders: Senders, settled: bool, how: str) -> None:
    """End a connection, unless its plan has.

    :param settled: whether the server first shows how far it has read
    """
    if settled:
        wait_for_beats(ledger, conversation)
    conversation.cut(how)
    ledger.wait_for(lambda: conversation.was_cut or conversation.over, TIMEOUT)
    if conversation.how in (STALL, DEAF):
        senders.send_until_blocked(cancelling=conversation.number % 2 == 0)


def wait_for_beats(ledger: Ledger, conversation: Conversation) -> None:
    """Until heartbeats that were sent after the messages have been answered, or it is over."""
    wanted = conversation.beats + 3
    ledger.wait_for(
        lambda: conversation.beats >= wanted or conversation.was_cut or conversation.over, TIMEOUT
    )


def finish(client: OneTradeClient, ledger: Ledger, senders: Senders) -> List[str]:
    """Let the queue run empty; then leave with messages in it that will never be sent."""
    last = client.send("note", [0, -1, ""])
    wrong: List[str] = []
    if last.wait(TIMEOUT) is MessageStatus.NOT_SENT:
        wrong.append("the queue did not run empty")
    if last.cancel():
        wrong.append("a message that was written could be cancelled")
    senders.sent.append(Sent((0, -1), 0, last, 1 << 62, 1 << 62))
    ledger.refusing = True
    with client.expect(ClientEventType.RECONNECTING, timeout=TIMEOUT):
        ledger.conversations[-1].cut(FINISH)
    ledger.wait_for(lambda: ledger.refused > 0, TIMEOUT)
    senders.play(cancelling=True)
    client.disconnect()
    if client.state is not ConnectionState.CLOSED:
        wrong.append(f"the client is {client.state}")
    ledger.stop()
    return wrong


def report(sent: List[Sent], cut: int, cuts: int, torn: int, wrong: List[str], seed: int) -> Outcome:
    """The figures."""
    statuses = [one.message.status for one in sent]
    counts = {status: statuses.count(status) for status in MessageStatus}
    if not torn or not all(counts.values()):
        wrong.append(f"nothing is proven: {torn} frames torn, {counts}")
    if cut < cuts:
        wrong.append(f"{cut} cuts, not {cuts}")
    known = ", ".join(f"{count:,} {status.value}" for status, count in counts.items())
    wanted = THREADS * PER_ROUND * cuts
    met = not wrong and len(sent) >= wanted and sum(counts.values()) == len(sent)
    return Outcome(
        f"{sum(counts.values()):,} of {len(sent):,} sends across {cut} cuts accounted for ({known}); "
        f"{len(wrong)} contradictions, {torn} frames torn, none continued"
        if not wrong
        else f"{len(wrong)} contradictions in {len(sent):,} sends across {cut} cuts ({known}), {torn} frames torn",
        met,
        [f"seed {seed}", *wrong[:30]],
    )
