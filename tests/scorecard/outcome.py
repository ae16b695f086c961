"""What a row of the scorecard comes to."""

from __future__ import annotations

from typing import Sequence

import attrs


@attrs.frozen
class Outcome:
    """A row was measured.

    :ivar figure: what was measured, in the form of the target
    :ivar met: whether it is as good as the target, or as the same share of it in a small run
    :ivar details: what fell short, a line each
    """

    figure: str
    met: bool
    details: Sequence[str] = ()


class NotRun(Exception):
    """A row could not be measured, because the machine lacks something. The text says what."""
