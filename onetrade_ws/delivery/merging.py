"""What gives way to what is newer while callbacks are behind: quotes per symbol, profit updates per position."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Deque, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from ..protocol.frames import Batch, Opcode
from ..protocol.keys import RecordKeys
from ..protocol.records import split_records

#: What a message costs in memory besides its payload, roughly.
OVERHEAD = 128
# The same for a record that may be merged: its key, and a place in a dictionary that keeps its order.
_MERGED_OVERHEAD = 320
#: The same for text messages among records, and for a round.
TEXT_OVERHEAD = 350
ROUND_OVERHEAD = 1000

_PROFIT = ord("s")


def cost_of(payloads: Sequence[bytes]) -> int:
    """What messages cost in memory while they wait, in bytes."""
    return sum(map(len, payloads)) + len(payloads) * OVERHEAD


class Records(NamedTuple):
    """Records one behind the other that may be merged.

    :ivar newest: by key, each at the place of the oldest with that key
    :ivar total: how many there were
    """

    newest: Mapping[bytes, bytes]
    total: int


#: Of a run of binary messages, those whose records may be merged, and those that have to stay as they are.
Pieces = List[Union[Records, List[bytes]]]


def sort_out(payloads: Sequence[bytes], keys: RecordKeys, room: int) -> Pieces:
    """Which of binary messages may be merged.

    Messages of several records are split, when each of these has a key. Others stay whole, as do those that would not
    fit: a large message of small records is many times as large when it has been split.

    :param room: bytes that there is room for
    """
    text = b"\n".join(payloads)
    lines = text.count(b"\n") + 1
    if lines == len(payloads) or lines * _MERGED_OVERHEAD <= room:
        found = keys.find(text)
        if len(found) == lines:
            records = payloads if lines == len(payloads) else text.split(b"\n")
            return [Records(dict(zip(found, records)), lines)]
    pieces: Pieces = []
    for payload in payloads:
        several = list(split_records(payload))
        found = keys.find(b"\n".join(several))
        needed = len(several) * _MERGED_OVERHEAD if len(several) > 1 else 0
        if several and len(found) == len(several) and needed <= room:
            room -= needed
            pieces.append(Records(dict(zip(found, several)), len(several)))
        elif pieces and isinstance(pieces[-1], list):
            pieces[-1].append(payload)
        else:
            pieces.append([payload])
    return pieces


class Round:
    """What waits while callbacks are behind, in the order in which it goes out: records that are merged, and text
    messages among them, which are not. Not thread-safe.

    A newer quote takes the place of the older one, so that each symbol gets its turn once a round, however fast
    another one changes. So does a profit update, unless a text message came in between: that may be about the
    position, and must not be overtaken. The newer one then goes to the end.
    """

    def __init__(self) -> None:
        #: What is in it costs in memory, in bytes.
        self.size = 0
        # A record by its key, with its time and the number of the text before it. A text batch stands there as its
        # number alone.
        self._entries: OrderedDict[Union[bytes, int], Tuple[bytes, float, int]] = OrderedDict()
        self._texts: Deque[Batch] = deque()
        self._text_number = 0

    def __bool__(self) -> bool:
        return bool(self._entries)

    def add_text(self, batch: Batch) -> None:
        """Add text messages at the end."""
        self._text_number += 1
        self._entries[self._text_number] = b"", 0.0, self._text_number
        self._texts.append(batch)
        self.size += cost_of(batch.payloads) + TEXT_OVERHEAD

    def merge(self, newest: Mapping[bytes, bytes], received_at: float) -> int:
        """Add records, each at the end or in the place of an older one.

        :returns: how many older ones gave way
        """
        entries, text_number = self._entries, self._text_number
        before = len(entries)
        grown = 0
        for key, record in newest.items():
            old = entries.get(key)
            if old is None:
                grown += len(key)
            else:
                grown -= len(old[0])
                if old[2] != text_number and key[0] == _PROFIT:
                    del entries[key]
            entries[key] = record, received_at, text_number
            grown += len(record)
        added = len(entries) - before
        self.size += grown + added * _MERGED_OVERHEAD
        return len(newest) - added

    def take_text(self) -> Optional[Batch]:
        """Take the text messages that come next; None when those are records."""
        if not isinstance(next(iter(self._entries), None), int):
            return None
        self._entries.popitem(last=False)
        batch = self._texts.popleft()
        self.size -= cost_of(batch.payloads) + TEXT_OVERHEAD
        return batch

    def take_records(self, limit: int, size: int) -> List[Batch]:
        """Take records that come next, up to the next text messages; each with the time at which it came.

        :param limit: how many at most
        :param size: how many bytes they may cost; the first one may cost more
        """
        end = self.size - size
        batches: List[Batch] = []
        records: List[bytes] = []
        for _ in range(min(limit, len(self._entries))):
            key = next(iter(self._entries))
            if isinstance(key, int) or self.size <= end:
                break
            record, received_at, _ = self._entries.pop(key)
            self.size -= len(key) + len(record) + _MERGED_OVERHEAD
            if not batches or batches[-1].received_at != received_at:
                records = []
                batches.append(Batch(Opcode.BINARY, records, received_at))
            records.append(record)
        return batches
