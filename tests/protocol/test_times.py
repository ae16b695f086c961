"""Times: RFC 3339 in the habits of a server written in Go."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onetrade_ws.protocol.times import parse_time
from tests.protocol.server_json import UNSET_TIMES, times

UTC = timezone.utc


@given(times())
def test_a_time_of_any_precision_and_offset_is_read(case: Tuple[str, datetime]) -> None:
    text, expected = case
    parsed = parse_time(text)
    assert parsed == expected
    assert parsed is not None
    assert parsed.utcoffset() == expected.utcoffset()


@given(st.datetimes(datetime(1, 1, 2), timezones=st.just(UTC)))  # noqa: DTZ001 - a bound; the zone is given
def test_what_python_writes_is_read_back(moment: datetime) -> None:
    assert parse_time(moment.isoformat()) == moment


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-02-29T23:59:59Z", datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)),
        ("2024-02-29t23:59:59z", datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)),
        ("2024-01-02T03:04:05.1Z", datetime(2024, 1, 2, 3, 4, 5, 100_000, tzinfo=UTC)),
        ("2024-01-02T03:04:05.000001Z", datetime(2024, 1, 2, 3, 4, 5, 1, tzinfo=UTC)),
        # Beyond the microsecond: rounded half up, across the second if need be.
        ("2024-01-02T03:04:05.123456499Z", datetime(2024, 1, 2, 3, 4, 5, 123_456, tzinfo=UTC)),
        ("2024-01-02T03:04:05.1234565Z", datetime(2024, 1, 2, 3, 4, 5, 123_457, tzinfo=UTC)),
        ("2023-12-31T23:59:59.999999999Z", datetime(2024, 1, 1, tzinfo=UTC)),
        ("2024-01-02T03:04:05+05:30", datetime(2024, 1, 1, 21, 34, 5, tzinfo=UTC)),
        ("2024-01-02T03:04:05-23:59", datetime(2024, 1, 3, 3, 3, 5, tzinfo=UTC)),
        ("2024-01-02T03:04:05-00:00", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        # The ends of the calendar.
        ("0001-01-01T00:00:01Z", datetime(1, 1, 1, 0, 0, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00.5Z", datetime(1, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ],
)
def test_examples(text: str, expected: datetime) -> None:
    assert parse_time(text) == expected


def test_the_offset_that_was_written_is_kept() -> None:
    parsed = parse_time("2024-01-02T03:04:05-03:30")
    assert parsed is not None
    assert parsed.utcoffset() == -timedelta(hours=3, minutes=30)
    assert parsed.hour == 3


@pytest.mark.parametrize(
    "text",
    [
        *(text for text in UNSET_TIMES if text is not None),
        "0001-01-01T00:00:00.000Z",
        "0001-01-01T00:00:00.000000000Z",
        "0001-01-01T00:00:00+00:00",
        "0001-01-01T02:00:00+02:00",
    ],
)
def test_a_time_that_was_never_set_is_none(text: str) -> None:
    assert parse_time(text) is None


@pytest.mark.parametrize(
    "text",
    [
        " ",
        "2024-01-02",
        "2024-01-02T03:04:05",
        "2024-01-02 03:04:05Z",
        "2024-01-02T03:04Z",
        "2024-01-02T03:04:05.Z",
        "2024-01-02T03:04:05,1Z",
        "2024-01-02T03:04:05.1234567890Z",
        "2024-01-02T03:04:05+0530",
        "2024-01-02T03:04:05+05",
        "2024-01-02T03:04:05+24:00",
        "2024-01-02T03:04:05+05:60",
        "2024-01-02T03:04:05 Z",
        "2024-01-02T03:04:05Z\n",
        "2024-13-02T03:04:05Z",
        "2024-00-02T03:04:05Z",
        "2023-02-29T03:04:05Z",
        "2024-01-02T24:00:00Z",
        "2024-01-02T03:60:00Z",
        "2024-01-02T03:04:61Z",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59.9999999Z",
        "12024-01-02T03:04:05Z",
        "-2024-01-02T03:04:05Z",
        "٢٠٢٤-01-02T03:04:05Z",
        "2024-01-02T03:04:05.١Z",
        "2024-01-02T03:04:05+05:٣٠",
        "1704164645",
        "null",
        "now",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the words are Python's own for some of them
        parse_time(text)


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_unset_or_refused(text: str) -> None:
    try:
        parsed = parse_time(text)
    except ValueError:
        return
    assert parsed is None or parsed.tzinfo is not None
