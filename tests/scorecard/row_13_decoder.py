"""Mutated messages and price frames through ``Codec.decode``, each compared with what the specification says it means.

A message that has one right reading must come out as that, in exactly the declared types; one that has none must come
out as a DECODE_ERROR that names the first wrong place. Refusing too much falls short just as guessing does.

The decoder has a short way with msgspec, one with the standard library, and a long way: the campaigns are shared among
those that the installation has, and the traps are set on each of them.
"""

from __future__ import annotations

import logging
import random
from functools import partial
from typing import Any, Callable, List, Optional, Sequence, Tuple

from onetrade_ws import ClientEventType, DecodeError, Event
from onetrade_ws.protocol.frames import Batch, Opcode
from tests.protocol.ways import WAYS, codec
from tests.scorecard import decoder_reference as reference
from tests.scorecard.campaign import Tally, run
from tests.scorecard.mutated_messages import COLUMNS, messages, mutated_frame, mutated_message, records
from tests.scorecard.outcome import Outcome
from tests.scorecard.semantic_traps import TRAPS

PROMISE = "The decoder neither crashes nor guesses"
TARGET = "5,000,000 messages and 2,000,000 price frames, 0 crashed, 0 guessed; 30 of 30 semantic traps"
EXCLUSIVE = False
FULL_MINUTES = 8

_MESSAGES = 5_000_000
_FRAMES = 2_000_000
_SMALL_SHARE = 100
_RECEIVED_AT = 1_700_000_000.25
# Of what is found, so much of the payload is shown.
_SHOWN = 1500


# Percent of the cases. Half of them go the way that a program goes where everything is installed.
_SHARES = {3: (50, 25, 25), 2: (50, 50)}[len(WAYS)]
# How many frames come together.
_TOGETHER = (1, 1, 1, 2, 3, 8)


def measure(full: bool, seed: int) -> Outcome:
    """Both campaigns and the traps, each of the ways."""
    _be_quiet()
    share = 1 if full else _SMALL_SHARE
    texts, frames = Tally(), Tally()
    campaigns: Sequence[Tuple[str, Callable[..., Tally], int, Tally]] = [
        ("messages", _try_messages, _MESSAGES, texts),
        ("records of price frames", _try_frames, _FRAMES, frames),
    ]
    details: List[str] = []
    parts = [] if "msgspec" in WAYS else ["msgspec not run: it is not installed"]
    balanced = True
    for way, percent in zip(WAYS, _SHARES):
        counts = []
        for what, try_cases, cases, total in campaigns:
            tally = run(partial(try_cases, way), cases * percent // 100 // share, seed)
            total.add(tally)
            read, refused = tally.counts["read"], tally.counts["refused"]
            details += [f"{way}, seed {seed}: {finding}" for finding in tally.findings]
            details.append(f"{way}, {what}: {read:,} read, {refused:,} refused")
            counts.append(f"{tally.cases:,}")
            balanced = balanced and min(read, refused) > tally.cases / 4
        parts.append(f"{way} {' and '.join(counts)}")
    fallen = {trap.name: [(way, trap.fallen_into(way)) for way in WAYS] for trap in TRAPS}
    trapped = [
        f"trap {name!r}, {way}: {answer}" for name, tries in fallen.items() for way, answer in tries if answer
    ]
    avoided = sum(not any(answer for _, answer in tries) for tries in fallen.values())
    crashed = texts.counts["crashed"] + frames.counts["crashed"]
    wrong = texts.wrong + frames.wrong
    figure = (
        f"{texts.cases:,} messages and {frames.cases:,} price frames, {crashed:,} crashed, {wrong - crashed:,} guessed;"
        f" {avoided} of {len(TRAPS)} semantic traps, each way ({'; '.join(parts)})"
    )
    details += trapped
    # A campaign that damages everything beyond reading would prove nothing about what is read, nor the other way round.
    if not balanced:
        details.append("too few were read, or too few refused, to prove anything")
    return Outcome(figure, not wrong and not trapped and balanced, details)


def _try_messages(way: str, draw: random.Random, cases: int) -> Tally:
    _be_quiet()
    tally = Tally(cases)
    decoder = codec(way, COLUMNS[0])
    whole = messages(draw, 12)
    for _ in range(cases):
        payload = mutated_message(whole, draw)
        try:
            events = decoder.decode(Batch(Opcode.TEXT, [payload], _RECEIVED_AT))
        except Exception as error:  # noqa: BLE001 - nothing may be raised, whatever it is
            _crashed(tally, _shown(payload), error)
            continue
        meaning, depth = reference.message(payload)
        if depth > reference.DEEP and _too_deep(events):
            tally.counts["refused"] += 1
            continue
        wrong = _differs(events, [(payload, meaning)], tally)
        if wrong is not None:
            tally.found(f"{wrong}: {_shown(payload)}")
    return tally


def _try_frames(way: str, draw: random.Random, cases: int) -> Tally:
    _be_quiet()
    tally = Tally(cases)
    decoders = [(columns, codec(way, columns)) for columns in COLUMNS]
    whole = records(draw, 100)
    left = cases
    while left:
        payloads = [mutated_frame(whole, draw) for _ in range(min(left, draw.choice(_TOGETHER)))]
        left -= len(payloads)
        columns, decoder = draw.choice(decoders)
        shown = f"{' | '.join(map(_shown, payloads))} as {','.join(columns)}"
        try:
            events = decoder.decode(Batch(Opcode.BINARY, payloads, _RECEIVED_AT))
        except Exception as error:  # noqa: BLE001 - nothing may be raised, whatever it is
            _crashed(tally, shown, error)
            continue
        expected = [meaning for payload in payloads for meaning in reference.records(payload, columns)]
        wrong = _differs(events, expected, tally)
        if wrong is not None:
            tally.found(f"{wrong}: {shown}")
    return tally


def _be_quiet() -> None:
    # The codec's warnings are made, with all their formatting, and go nowhere.
    logger = logging.getLogger("onetrade_ws")
    logger.handlers = [logging.NullHandler()]
    logger.propagate = False


def _crashed(tally: Tally, shown: str, error: Exception) -> None:
    tally.counts["crashed"] += 1
    tally.found(f"raised {error!r:.300}: {shown}")


def _shown(payload: bytes) -> str:
    return repr(payload[:_SHOWN]) + (
        f" and {len(payload) - _SHOWN} bytes more" if len(payload) > _SHOWN else ""
    )


def _too_deep(events: Sequence[Event]) -> bool:
    return all(
        isinstance(event.data, DecodeError) and event.data.reason == "nested too deeply" for event in events
    )


def _differs(events: Sequence[Event], expected: Sequence[Any], tally: Tally) -> Optional[str]:
    """What is wrong with ``events``, in words; None when they are what was expected."""
    if len(events) != len(expected):
        return f"{len(events)} events instead of {len(expected)}"
    for event, (raw, meaning) in zip(events, expected):
        if type(event) is not Event or event.raw != raw or event.received_at != _RECEIVED_AT:
            return f"the event around it, {event!r:.300}"
        if type(meaning) is reference.Refusal:
            tally.counts["refused"] += 1
            error = event.data
            if event.type is not ClientEventType.DECODE_ERROR or type(error) is not DecodeError:
                return f"read as {event.type!r} {event.data!r:.300} instead of refused at {meaning.path}"
            if (error.path, error.event_type, error.raw) != (meaning.path, meaning.event_type, raw):
                return f"refused at {error.path} ({error.event_type}) instead of {meaning.path} ({meaning.event_type})"
            if not error.reason or not str(error):
                return "refused without a reason"
        else:
            tally.counts["read"] += 1
            if event.type is ClientEventType.DECODE_ERROR:
                return f"refused ({event.data!r:.300}) instead of read as {meaning!r:.600}"
            if type(event.type) is not type(meaning.event_type) or event.type != meaning.event_type:
                return f"the type {event.type!r} instead of {meaning.event_type!r}"
            if not reference.same(event.data, meaning if meaning.model else meaning.fields):
                return f"guessed {event.data!r:.600} instead of {meaning!r:.600}"
    return None
