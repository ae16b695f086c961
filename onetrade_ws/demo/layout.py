"""How a screen is shared out: which columns fit, and how many rows each part gets. Pure arithmetic."""

from __future__ import annotations

from typing import List, Sequence

import attrs


@attrs.frozen
class Column:
    """A column of a part of the screen.

    :ivar title: its heading
    :ivar width: in cells; of the last column the least, for it takes what is left when it is ``elastic``
    :ivar rank: what does not fit goes from the highest rank down
    :ivar right: whether it is flush right
    """

    title: str
    width: int
    rank: int = 0
    right: bool = False
    elastic: bool = False


def fitting(columns: Sequence[Column], width: int) -> List[int]:
    """The indexes of the columns that fit into ``width`` cells, with one cell between them.

    Of equal ranks the last goes first. One column is left, however narrow it is.
    """
    kept = list(range(len(columns)))
    while len(kept) > 1 and sum(columns[index].width + 1 for index in kept) - 1 > width:
        kept.remove(max(kept, key=lambda index: (columns[index].rank, index)))
    return kept


def shares(rows: int, wanted: Sequence[int], weights: Sequence[int]) -> List[int]:
    """Share out rows by weight; nobody gets more than wanted, but for the last, who gets what is left."""
    given = [0] * len(wanted)
    for _ in range(max(0, rows)):
        open_to = [index for index in range(len(wanted)) if given[index] < wanted[index]]
        if not open_to:
            given[-1] += 1
        else:
            given[min(open_to, key=lambda index: (given[index] + 0.5) / weights[index])] += 1
    return given
