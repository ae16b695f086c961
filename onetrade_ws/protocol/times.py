"""Times of the wire: RFC 3339, with the habits of a server written in Go (vendor SDK)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Optional

_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)

#: What Go writes for a time that was never set.
_ZERO_TIME = datetime(1, 1, 1, tzinfo=timezone.utc)


def parse_time(text: str) -> Optional[datetime]:
    """The instant that ``text`` names, aware, in the offset that it was written in.

    ``""`` and Go's zero time ``0001-01-01T00:00:00Z`` mean "not set": None. Digits beyond the microsecond are
    rounded half up, as a :class:`~datetime.datetime` holds no more.

    :raises ValueError: when it is not RFC 3339 with zero to nine fractional digits and an offset
    """
    if not text:
        return None
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 time")
    year, month, day, hour, minute, second, fraction, sign, offset_hours, offset_minutes = match.groups()
    zone = timezone.utc
    if sign is not None:
        if int(offset_hours) > 23 or int(offset_minutes) > 59:
            raise ValueError("not a time zone offset")
        offset = timedelta(hours=int(offset_hours), minutes=int(offset_minutes))
        if offset:
            zone = timezone(-offset if sign == "-" else offset)
    try:
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=zone)
        if moment == _ZERO_TIME and not int(fraction or 0):
            return None
        nanoseconds = int((fraction or "").ljust(9, "0"))
        return moment + timedelta(microseconds=(nanoseconds + 500) // 1000)
    except OverflowError:
        raise ValueError("a time out of range") from None
