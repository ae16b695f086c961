"""Mutated messages and price frames through ``Codec.decode``, each compared with what the specification says it means.

A message that has one right reading must come out as that, in exactly the declared types; one that has none must come
out as a DECODE_ERROR that names the first wrong place. Refusing too much falls short just as guessing does.
"""

from __future__ import annotations

import logging
import random
from typing import Any, Optional, Sequence

from onetrade_ws import ClientEventType, DecodeError, Event
from onetrade_ws.protocol.codec import Codec
from onetrade_ws.protocol.frames import Batch, Opcode
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


def measure(full: bool, seed: int) -> Outcome:
    """Both campaigns and the traps."""
    _be_quiet()
    share = 1 if full else _SMALL_SHARE
    texts = run(_try_messages, _MESSAGES // share, seed)
    frames = run(_try_frames, _FRAMES // share, seed)
    trapped = [trap for trap in TRAPS if trap.fallen_into() is not None]
    crashed = texts.counts["crashed"] + frames.counts["crashed"]
    wrong = texts.wrong + frames.wrong
    figure = (
        f"{texts.cases:,} messages and {frames.cases:,} price frames, {crashed:,} crashed, {wrong - crashed:,} guessed;"
        f" {len(TRAPS) - len(trapped)} of {len(TRAPS)} semantic traps"
    )
    details = [f"seed {seed}: {finding}" for finding in (*texts.findings, *frames.findings)]
    details += [f"trap {trap.name!r}: {trap.fallen_into()}" for trap in trapped]
    details += [
        f"messages: {texts.counts['read']:,} read, {texts.counts['refused']:,} refused",
        f"records of price frames: {frames.counts['read']:,} read, {frames.counts['refused']:,} refused",
    ]
    # A campaign that damages everything beyond reading would prove nothing about what is read, nor the other way round.
    balanced = all(
        min(tally.counts["read"], tally.counts["refused"]) > tally.cases / 4 for tally in (texts, frames)
    )
    if not balanced:
        details.append("too few were read, or too few refused, to prove anything")
    return Outcome(figure, not wrong and not trapped and balanced, details)


def _try_messages(draw: random.Random, cases: int) -> Tally:
    _be_quiet()
    tally = Tally(cases)
    codec = Codec(COLUMNS[0])
    whole = messages(draw, 12)
    for _ in range(cases):
        payload = mutated_message(whole, draw)
        try:
            events = codec.decode(Batch(Opcode.TEXT, [payload], _RECEIVED_AT))
        except Exception as error:  # noqa: BLE001 - nothing may be raised, whatever it is
            _crashed(tally, payload, error)
            continue
        meaning, depth = reference.message(payload)
        if depth > reference.DEEP and _too_deep(events):
            tally.counts["refused"] += 1
            continue
        wrong = _differs(events, payload, [(payload, meaning)], tally)
        if wrong is not None:
            tally.found(f"{wrong}: {_shown(payload)}")
    return tally


def _try_frames(draw: random.Random, cases: int) -> Tally:
    _be_quiet()
    tally = Tally(cases)
    codecs = [(columns, Codec(columns)) for columns in COLUMNS]
    whole = records(draw, 100)
    for _ in range(cases):
        payload = mutated_frame(whole, draw)
        columns, codec = draw.choice(codecs)
        try:
            events = codec.decode(Batch(Opcode.BINARY, [payload], _RECEIVED_AT))
        except Exception as error:  # noqa: BLE001 - nothing may be raised, whatever it is
            _crashed(tally, payload, error)
            continue
        wrong = _differs(events, payload, reference.records(payload, columns), tally)
        if wrong is not None:
            tally.found(f"{wrong}: {_shown(payload)} as {','.join(columns)}")
    return tally


def _be_quiet() -> None:
    # The codec's warnings are made, with all their formatting, and go nowhere.
    logger = logging.getLogger("onetrade_ws")
    logger.handlers = [logging.NullHandler()]
    logger.propagate = False


def _crashed(tally: Tally, payload: bytes, error: Exception) -> None:
    tally.counts["crashed"] += 1
    tally.found(f"raised {error!r:.300}: {_shown(payload)}")


def _shown(payload: bytes) -> str:
    return repr(payload[:_SHOWN]) + (
        f" and {len(payload) - _SHOWN} bytes more" if len(payload) > _SHOWN else ""
    )


def _too_deep(events: Sequence[Event]) -> bool:
    return all(
        isinstance(event.data, DecodeError) and event.data.reason == "nested too deeply" for event in events
    )


def _differs(events: Sequence[Event], payload: bytes, expected: Sequence[Any], tally: Tally) -> Optional[str]:
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
