"""The prices of the past, however the server gives them."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Dict, Iterator, List, Mapping, Tuple
from urllib.parse import parse_qs, urlsplit

import pytest

from onetrade_ws import (
    AnswerError,
    Candle,
    NetworkError,
    NotFoundError,
    OneTradeClient,
    ServerError,
    UnknownSymbolError,
)
from onetrade_ws.simulator import Simulator
from tests.client.conftest import MakeClient
from tests.connection.hostile import HostileServer, Peer, client_of

UTC = timezone.utc
NOON = datetime(2024, 3, 5, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

Query = Dict[str, int]
# What a server knows of a question: the candles' times, in seconds.
Answer = Callable[[Query], Any]


def times(candles: List[Candle]) -> List[datetime]:
    return [candle.time for candle in candles]


def each(first: datetime, last: datetime, step: timedelta) -> List[datetime]:
    return [first + number * step for number in range((last - first) // step + 1)]


def candle(at: Any, **changes: Any) -> Dict[str, Any]:
    return {"time": at, "open": 1.1, "high": 1.3, "low": 1, "close": 1.2, "volume": 7, **changes}


class History:
    """A server that knows the candles of some times, and answers as a test says."""

    def __init__(self, known: List[datetime], answer: Callable[[List[int], Query], List[int]]) -> None:
        self.queries: List[Query] = []
        self._known = sorted(int(moment.timestamp()) for moment in known)
        self._answer = answer

    def __call__(self, query: Query) -> List[Dict[str, Any]]:
        return [candle(at) for at in self._answer(self._known, query)]


@pytest.fixture
def ask() -> Iterator[Callable[..., OneTradeClient]]:
    """A client of a server that answers questions for candles: ``ask(answer)``."""
    with ExitStack() as stack:

        def make(answer: Answer, queries: List[Query]) -> OneTradeClient:
            def script(peer: Peer) -> None:
                parts = urlsplit(peer.request.target)
                assert parts.path == "/api/v1/trader/symbols/ticks/history/1"
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                numbers = {name: int(value) for name, value in query.items() if value.isdigit()}
                queries.append(numbers)
                peer.answer(200, json.dumps({"success": True, "data": answer(numbers)}))

            return client_of(stack.enter_context(HostileServer(http=script)), reconnect=None)

        yield make


MakeHistory = Callable[[Answer, List[Query]], OneTradeClient]


# -- what the simulator knows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resolution", "step"),
    [
        (1, MINUTE),
        ("5", 5 * MINUTE),
        (15, 15 * MINUTE),
        (60, HOUR),
        (240, 4 * HOUR),
        ("D", DAY),
        ("1D", DAY),
        ("d", DAY),
        (1440, DAY),
        ("W", 7 * DAY),
        ("1w", 7 * DAY),
    ],
)
def test_each_resolution(make_client: MakeClient, resolution: Any, step: timedelta) -> None:
    candles = make_client().candles(1, NOON, NOON + 10 * step, resolution)
    first = times(candles)[0]
    assert times(candles) == each(first, NOON + 10 * step, step)
    assert NOON <= first < NOON + step
    assert (first - datetime(1970, 1, 1, tzinfo=UTC)) % step == timedelta()


def test_a_candle_is_typed(make_client: MakeClient, simulator: Simulator) -> None:
    (found,) = make_client().candles(1, NOON, NOON, 60)
    (told,) = simulator.requests
    assert told.query == {
        "symbol_id": "1", "from": "1709640000", "to": "1709640001", "resolution": "60", "count_back": "2",
    }  # fmt: skip
    assert found.time == NOON
    assert found.time.tzinfo is UTC
    assert all(type(getattr(found, name)) is float for name in ("open", "high", "low", "close", "volume"))
    assert found.low <= found.open <= found.high


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (NOON, NOON + 3 * MINUTE, [0, 1, 2, 3]),
        (NOON + timedelta(seconds=1), NOON + 3 * MINUTE, [1, 2, 3]),
        (NOON + timedelta(microseconds=1), NOON + 2 * MINUTE, [1, 2]),
        (NOON, NOON + timedelta(seconds=179, microseconds=999_999), [0, 1, 2]),
        (NOON + timedelta(seconds=30), NOON + timedelta(seconds=150), [1, 2]),
        (NOON, NOON, [0]),
        (NOON, NOON + timedelta(seconds=59), [0]),
        (NOON + timedelta(seconds=1), NOON + timedelta(seconds=59), []),
        (NOON + timedelta(seconds=1), NOON + timedelta(seconds=1, microseconds=5), []),
        (NOON, NOON - timedelta(microseconds=1), []),
        (NOON, NOON - MINUTE, []),
        (NOON, NOON - 400 * DAY, []),
    ],
)
def test_ends_between_candles_and_empty_ranges(
    make_client: MakeClient, start: datetime, end: datetime, expected: List[int]
) -> None:
    assert times(make_client().candles(1, start, end)) == [NOON + number * MINUTE for number in expected]


def test_other_time_zones_mean_the_same(make_client: MakeClient) -> None:
    client = make_client()
    zone = timezone(timedelta(hours=-5, minutes=-30))
    there = client.candles(1, NOON.astimezone(zone), (NOON + HOUR).astimezone(zone), 15)
    assert there == client.candles(1, NOON, NOON + HOUR, 15)


@pytest.mark.parametrize(
    ("name", "given"), [("from_", ("2024-01-01",)), ("to", (NOON, "2024-01-01")), ("from_", (None,))]
)
def test_a_text_is_no_time(
    make_client: MakeClient, simulator: Simulator, name: str, given: Tuple[Any, ...]
) -> None:
    with pytest.raises(TypeError, match=f"^{name}=.*: a datetime with a time zone$"):
        make_client().candles("EURUSD", *given)
    assert not simulator.requests


def test_no_question_is_asked_twice(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client()
    for seconds in (0, 0.5, 1, 29.999999, 59, 59.999999):
        for more in (0, 0.5, 30, 3600, 3599.5):
            before = len(simulator.requests)
            start = NOON + timedelta(seconds=seconds)
            client.candles(1, start, start + timedelta(seconds=more))
            assert len(simulator.requests) <= before + 1


def test_until_now(make_client: MakeClient) -> None:
    before = datetime.now(UTC)
    found = times(make_client().candles(1, before - HOUR))
    assert before - MINUTE < found[-1] <= datetime.now(UTC)
    assert found == each(found[0], found[-1], MINUTE)
    assert make_client().candles(1, datetime.now(UTC) + HOUR) == []


def test_more_than_a_server_gives_at_a_time(make_client: MakeClient, simulator: Simulator) -> None:
    end = NOON + 12_345 * MINUTE
    candles = make_client().candles(1, NOON, end)
    assert times(candles) == each(NOON, end, MINUTE)
    assert len(simulator.requests) == 3
    # Each is the same, whichever piece it was in.
    assert candles[4_000:4_010] == make_client().candles(1, NOON + 4_000 * MINUTE, NOON + 4_009 * MINUTE)


def test_from_the_beginning_of_time(make_client: MakeClient, simulator: Simulator) -> None:
    beginning = datetime.min.replace(tzinfo=UTC)
    found = times(make_client().candles(1, beginning, datetime(1975, 1, 1, tzinfo=UTC), "W"))
    assert found == each(datetime(1970, 1, 1, tzinfo=UTC), found[-1], 7 * DAY)
    assert make_client().candles(1, beginning, datetime(1960, 1, 1, tzinfo=UTC), "W") == []


def test_to_the_end_of_time(make_client: MakeClient) -> None:
    start = datetime.now(UTC) - 30 * DAY
    found = times(make_client().candles(1, start, datetime.max.replace(tzinfo=UTC), "D"))
    assert 29 <= len(found) <= 31


# -- by name -----------------------------------------------------------------------------------------------------------


def test_by_name_and_by_id(make_client: MakeClient, simulator: Simulator) -> None:
    client = make_client()
    by_name = [client.candles(name, NOON, NOON + HOUR, 5) for name in ("GBPUSD", "gbpusd", "GbpUsd")]
    assert by_name == [client.candles(2, NOON, NOON + HOUR, 5)] * 3
    asked = [request.path.rpartition("trader/")[2] for request in simulator.requests]
    assert asked == ["symbols"] + ["symbols/ticks/history/2"] * 4


def test_an_unknown_name(make_client: MakeClient, simulator: Simulator) -> None:
    with pytest.raises(UnknownSymbolError, match="EURUSD") as caught:
        make_client().candles("EURUDS", NOON)
    assert (caught.value.symbol, caught.value.near[0]) == ("EURUDS", "EURUSD")
    assert len(simulator.requests) == 1


def test_an_unknown_id(make_client: MakeClient) -> None:
    with pytest.raises(NotFoundError) as caught:
        make_client().candles(99, NOON)
    assert caught.value.step == "candles"


def test_the_symbols_are_waited_for_no_longer_than_the_call_may_take(make_client: MakeClient) -> None:
    with HostileServer(http=Peer.hold) as server:
        client = make_client(http_url=server.http_url, connect_timeout=3600)
        with pytest.raises(NetworkError, match="in time") as caught:
            client.candles("EURUSD", NOON, timeout=0.05)
        assert caught.value.step == "symbols"


# -- what is not asked for ---------------------------------------------------------------------------------------------

NAIVE = datetime(2024, 3, 5, 12)  # noqa: DTZ001 - that is the point


class NoZone(timezone.__base__):  # type: ignore[misc,name-defined]
    """A time zone that does not say what it is."""

    def utcoffset(self, _: object) -> None:
        return None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"from_": NAIVE, "to": NOON}, "from_ has no time zone: whose 2024-03-05T12:00:00 is meant"),
        ({"from_": NOON, "to": NAIVE}, "to has no time zone"),
        ({"from_": NAIVE}, "from_ has no time zone"),
        ({"from_": NAIVE.replace(tzinfo=NoZone())}, "from_ has no time zone"),
        *(
            ({"from_": NOON, "resolution": wrong}, "resolution=")
            for wrong in (0, "0", "00", -5, "", " ", "1.5", 1.5, "~access-token~", "5&to=0", "²", "5 ", "a/b")
        ),
    ],
)
def test_what_makes_no_sense_is_not_asked_for(
    make_client: MakeClient, simulator: Simulator, settings: Dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        make_client().candles(1, **settings)
    assert simulator.requests == ()


@pytest.mark.parametrize("resolution", [99_999, 10**30, "9" * 30, "X", "1S"])
def test_a_resolution_that_the_server_does_not_know(make_client: MakeClient, resolution: Any) -> None:
    with pytest.raises(ServerError) as caught:
        make_client().candles(1, NOON, NOON + HOUR, resolution)
    assert caught.value.status == 400


# -- other servers -----------------------------------------------------------------------------------------------------


def by_both(known: List[int], query: Query) -> List[int]:
    return [at for at in known if query["from"] <= at <= query["to"]][-query.get("count_back", 5000) :]


def without_from(known: List[int], query: Query) -> List[int]:
    return [at for at in known if at <= query["to"]][-query.get("count_back", 300) :]


def without_count_back(known: List[int], query: Query) -> List[int]:
    return [at for at in known if query["from"] <= at <= query["to"]]


def the_newest_few(known: List[int], query: Query) -> List[int]:
    return without_count_back(known, query)[-100:]


def the_oldest_few(known: List[int], query: Query) -> List[int]:
    return without_count_back(known, query)[:100]


def some_in_the_middle(known: List[int], query: Query) -> List[int]:
    found = without_count_back(known, query)
    return found[len(found) // 3 :][:100]


def before_the_end(known: List[int], query: Query) -> List[int]:
    """Takes "to" for the first that is not meant."""
    return [at for at in by_both(known, query) if at < query["to"]]


def newest_first(known: List[int], query: Query) -> List[int]:
    return the_newest_few(known, query)[::-1]


def each_twice(known: List[int], query: Query) -> List[int]:
    return [at for at in the_newest_few(known, query) for _ in range(2)]


def one_too_many(known: List[int], query: Query) -> List[int]:
    """Ends included that were not asked for."""
    return the_newest_few(known, {**query, "from": query["from"] - 7200, "to": query["to"] + 7200})


SERVERS = [
    by_both, without_from, without_count_back, the_newest_few, the_oldest_few, some_in_the_middle,
    before_the_end,
    newest_first, each_twice, one_too_many,
]  # fmt: skip

# A week of minutes that is open by day, closed by night, and closed over four days.
OPEN = [
    moment
    for moment in each(NOON, NOON + 7 * DAY, 5 * MINUTE)
    if 7 <= moment.hour < 19 and not 8 <= moment.day <= 11
]


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    ("start", "end"),
    [
        (NOON, NOON + 7 * DAY),
        (NOON - 3 * DAY, NOON + 9 * DAY),
        (NOON + timedelta(hours=3, seconds=7), NOON + timedelta(days=2, seconds=7)),
        (NOON + 3 * DAY, NOON + 4 * DAY),
        (NOON + 30 * DAY, NOON + 40 * DAY),
    ],
    ids=["all", "more than all", "between", "closed", "after"],
)
def test_a_market_that_closes(ask: MakeHistory, server: Any, start: datetime, end: datetime) -> None:
    queries: List[Query] = []
    client = ask(History(OPEN, server), queries)
    assert times(client.candles(1, start, end, 5)) == [moment for moment in OPEN if start <= moment <= end]
    assert len(queries) < 60


@pytest.mark.parametrize("server", SERVERS)
def test_a_resolution_whose_length_nobody_knows(ask: MakeHistory, server: Any) -> None:
    queries: List[Query] = []
    months = [datetime(2020 + number // 12, number % 12 + 1, 1, tzinfo=UTC) for number in range(48)]
    client = ask(History(months, server), queries)
    assert times(client.candles(1, months[3], months[40], "M")) == months[3:41]
    assert "count_back" not in queries[0]
    assert len(queries) < 10


def test_days_that_are_shorter_or_longer(ask: MakeHistory) -> None:
    """A broker's day begins at midnight in New York."""
    days, moment = [], datetime(2024, 1, 1, 5, tzinfo=UTC)
    for number in range(60):
        days.append(moment)
        moment += DAY + {20: -HOUR, 40: HOUR}.get(number, timedelta())
    few: List[Query] = []

    def answer(known: List[int], query: Query) -> List[int]:
        return without_count_back(known, query)[-1:]

    client = ask(History(days, answer), few)
    assert times(client.candles(1, days[0], days[-1], "D")) == days


def test_the_pause_may_be_a_month_for_a_server_that_looks_no_further(ask: MakeHistory) -> None:
    for pause, seen in ((29 * DAY, True), (40 * DAY, False)):
        known = each(NOON - 3 * HOUR, NOON, MINUTE) + each(NOON + pause, NOON + pause + HOUR, MINUTE)
        queries: List[Query] = []
        client = ask(History(known, by_periods), queries)
        found = times(client.candles(1, known[0], known[-1]))
        assert found == (known if seen else known[-61:])


def by_periods(known: List[int], query: Query) -> List[int]:
    """Looks no further back than so many periods, whether there was a price or not."""
    return [at for at in by_both(known, query) if at > query["to"] - min(query["count_back"], 5000) * 60]


@pytest.mark.parametrize(
    "write",
    [
        lambda at: at,
        float,
        lambda at: at * 1000,
        lambda at: at * 1000.0,
        lambda at: datetime.fromtimestamp(at, UTC).isoformat(),
        lambda at: datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        lambda at: datetime.fromtimestamp(at, timezone(2 * HOUR)).isoformat(),
    ],
    ids=["seconds", "float", "milliseconds", "float milliseconds", "offset", "Z", "elsewhere"],
)
def test_times_as_a_server_likes_to_write_them(ask: MakeHistory, write: Callable[[int], Any]) -> None:
    known = each(NOON, NOON + 3 * HOUR, MINUTE)
    history = History(known, the_newest_few)

    def answer(query: Query) -> List[Dict[str, Any]]:
        return [{**one, "time": write(one["time"])} for one in history(query)]

    found = ask(answer, []).candles(1, NOON, NOON + 2 * HOUR)
    assert times(found) == known[:121]
    assert all(one.time.utcoffset() is not None for one in found)


def test_the_candle_of_now_that_grows_is_there_once(ask: MakeHistory) -> None:
    now = int(NOON.timestamp())
    queries: List[Query] = []

    def answer(query: Query) -> List[Dict[str, Any]]:
        ends = [at for at in range(now - 600, now + 1, 60) if query["from"] <= at <= query["to"]]
        # Whatever it is asked for, it adds the one that grows.
        return [candle(at) for at in ends[-5:] if at != now] + [candle(now, close=1 + len(queries))]

    found = ask(answer, queries).candles(1, NOON - 10 * MINUTE, NOON)
    assert times(found) == each(NOON - 10 * MINUTE, NOON, MINUTE)
    assert found[-1].close == 2


# -- it always ends ----------------------------------------------------------------------------------------------------


def test_a_server_that_always_says_the_same(ask: MakeHistory) -> None:
    queries: List[Query] = []
    same = [candle(int((NOON + number * MINUTE).timestamp())) for number in range(100)]
    client = ask(lambda query: same, queries)
    assert times(client.candles(1, NOON - DAY, NOON + DAY)) == each(NOON, NOON + 99 * MINUTE, MINUTE)
    assert len(queries) < 10
    assert client.candles(1, NOON + DAY, NOON + 2 * DAY) == []


@pytest.mark.parametrize("resolution", [1, "X"])
def test_a_server_that_makes_up_candles_without_end(ask: MakeHistory, resolution: Any) -> None:
    queries: List[Query] = []
    start = int(NOON.timestamp())

    def answer(query: Query) -> List[Dict[str, Any]]:
        number = len(queries) * 1000
        return [candle(start + (number + index) / 10_000) for index in range(1000)]

    with pytest.raises(AnswerError, match="more candles than there is time for") as caught:
        ask(answer, queries).candles(1, NOON, NOON + HOUR, resolution)
    assert caught.value.step == "candles"
    assert len(queries) < 6


def test_a_server_that_gives_one_after_the_other_until_the_time_is_over(ask: MakeHistory) -> None:
    queries: List[Query] = []
    client = ask(
        History(each(NOON, NOON + 300 * DAY, MINUTE), lambda known, query: [query["to"] // 60 * 60]), queries
    )
    with pytest.raises(NetworkError, match="in time"):
        client.candles(1, NOON, NOON + 300 * DAY, timeout=0.3)


@pytest.mark.parametrize("nothing", [[], None])
def test_a_server_that_knows_nothing(ask: MakeHistory, nothing: Any) -> None:
    queries: List[Query] = []
    assert ask(lambda query: nothing, queries).candles(1, NOON - 3650 * DAY, NOON) == []
    assert len(queries) <= 9


# -- what makes no sense -----------------------------------------------------------------------------------------------

AT = int(NOON.timestamp())

NONSENSE: List[Tuple[Any, str, str]] = [
    ({}, "$.data", "expected an array, got an object"),
    ("text", "$.data", "expected an array, got a string"),
    (0, "$.data", "expected an array, got an integer"),
    ([candle(AT), None], "$.data[1]", "expected an object, got null"),
    ([candle(AT), [AT, 1, 2, 3, 4, 5]], "$.data[1]", "expected an object, got an array"),
    ([{}], "$.data[0].time", "required field missing"),
    ([{"time": AT, "open": 1, "high": 1, "low": 1}], "$.data[0].close", "required field missing"),
    ([candle(None)], "$.data[0].time", "expected a time, got null"),
    ([candle("")], "$.data[0].time", "expected a time, got a string"),
    ([candle("0001-01-01T00:00:00Z")], "$.data[0].time", "expected a time, got a string"),
    ([candle("1709640000")], "$.data[0].time", "not an RFC 3339 time"),
    ([candle(True)], "$.data[0].time", "expected a time, got a boolean"),
    ([candle(10**20)], "$.data[0].time", "a time beyond what Python knows"),
    ([candle(10**400)], "$.data[0].time", "a time beyond what Python knows"),
    ([candle(-(10**14))], "$.data[0].time", "a time beyond what Python knows"),
    ([candle(AT, open="1.1")], "$.data[0].open", "expected a number, got a string"),
    ([candle(AT, close=None)], "$.data[0].close", "expected a number, got null"),
    ([candle(AT, volume=True)], "$.data[0].volume", "expected a number, got a boolean"),
    ([candle(AT), candle(AT, close=1.0)], "$.data[1]", "the same time twice, and not the same twice"),
    ([candle(AT), candle(AT * 1000, close=1.0)], "$.data[1]", "the same time twice, and not the same twice"),
]


@pytest.mark.parametrize(("data", "path", "reason"), NONSENSE)
def test_candles_that_are_none(ask: MakeHistory, data: Any, path: str, reason: str) -> None:
    with pytest.raises(AnswerError) as caught:
        ask(lambda query: data, []).candles(1, NOON - HOUR, NOON)
    assert (caught.value.step, caught.value.path, caught.value.reason) == ("candles", path, reason)


def test_what_a_candle_has_beside_is_kept(ask: MakeHistory) -> None:
    data: Mapping[str, Any] = candle(AT, volume=None, spread=3)
    (found,) = ask(lambda query: [data], []).candles(1, NOON, NOON)
    assert (found.volume, found.extra) == (None, {"spread": 3})
