"""Which of two reports of the same object is the newer one: pure decisions."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Callable, Container, Dict, Iterable, Mapping, NamedTuple, Optional, Sequence, TypeVar

import attrs

from ..protocol.events import Changes

T = TypeVar("T")

_LONG_AGO = datetime(1, 1, 1, tzinfo=timezone.utc)

# What moves without anything having happened to the object.
_FLOATING = frozenset({"price_current", "profit", "total_profit", "symbol", "extra"})


class Merged(NamedTuple):
    """What to put, what to remove, and what is different by that."""

    put: Mapping[int, Any] = {}
    gone: Sequence[int] = ()
    changes: Changes = Changes()


def moment_of(record: Any) -> datetime:
    """When an object became what it is: what a server says nothing of happened long ago."""
    moment: datetime = record.updated_at or record.created_at or _LONG_AGO
    return moment


def made_at(record: Any) -> datetime:
    """When an object came to be, whatever was corrected in it later."""
    moment: datetime = record.created_at or record.updated_at or _LONG_AGO
    return moment


def newest(
    told: Iterable[T], limit: int, is_over: Callable[[T], bool], moment: Callable[[T], datetime]
) -> Sequence[T]:
    """Those that are live, and of those that are over the newest ``limit``, the oldest first."""
    ordered = sorted(told, key=moment)
    surplus = sum(map(is_over, ordered)) - limit
    kept = []
    for one in ordered:
        if surplus > 0 and is_over(one):
            surplus -= 1
        else:
            kept.append(one)
    return kept


def merge(
    known: Mapping[int, T],
    told: Iterable[T],
    touched: Container[int],
    is_over: Callable[[T], bool],
) -> Merged:
    """What a snapshot says that is news.

    An event is never undone by an older snapshot: of an object that an event told of while the snapshot was taken, the
    snapshot's word counts only where both say when it was updated, and the snapshot later. Of any other it counts,
    unless both say that and the snapshot's is older; what is over it brings back to life only if it is newer. What
    the snapshot does not mention has gone, unless an event told of it meanwhile, or it is over: servers forget that.

    :param known: the objects by id
    :param told: those of the snapshot
    :param touched: the ids that events told of since the snapshot was asked for
    :param is_over: whether an object is not live any more
    """
    put: Dict[int, T] = {}
    mentioned = set()
    appeared, changed = [], []
    for one in told:
        identity: int = one.id  # type: ignore[attr-defined]  # each has an id
        mentioned.add(identity)
        before = known.get(identity)
        if before is None:
            put[identity] = one
            appeared.append(one)
        elif _is_news(one, before, identity in touched, is_over(before) and not is_over(one)):
            put[identity] = one
            if _differ(before, one):
                changed.append((before, one))
    vanished = {
        identity: one
        for identity, one in known.items()
        if identity not in mentioned and identity not in touched and not is_over(one)
    }
    changes = Changes(appeared=tuple(appeared), changed=tuple(changed), vanished=tuple(vanished.values()))
    return Merged(put, list(vanished), changes)


def is_older(one: Any, other: Any) -> Optional[bool]:
    """Whether one report of an object was made before another one; None: they do not both say when."""
    if one.updated_at is None or other.updated_at is None:
        return None
    older: bool = one.updated_at < other.updated_at
    return older


def _is_news(told: Any, known: Any, is_touched: bool, revives: bool) -> bool:
    if is_touched:
        return is_older(known, told) is True
    if revives:
        return moment_of(told) > moment_of(known)
    return is_older(told, known) is not True


def _differ(one: Any, other: Any) -> bool:
    return any(
        getattr(one, field.name) != getattr(other, field.name)
        for field in attrs.fields(type(one))
        if field.name not in _FLOATING
    )
