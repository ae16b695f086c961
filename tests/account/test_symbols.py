"""Symbols by id and by name, and what is meant by a name that is not quite right."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, List, Optional, Sequence

import pytest

from onetrade_ws import NetworkError, NotFoundError, OneTradeError, Symbol, Symbols, UnknownSymbolError
from onetrade_ws.account import Directory
from onetrade_ws.deadline import Deadline

NAMES = ["EURUSD", "GBPUSD", "USDJPY", "Apple", "APPLE", "apple.x", "Größe", "US500"]
SOON = Deadline(3600)


def symbols(names: Sequence[str] = NAMES) -> List[Symbol]:
    return [Symbol(id=number, symbol=name) for number, name in enumerate(names, 1)]


def test_by_id_and_by_name() -> None:
    found = Symbols(symbols())
    assert found[1] is found["EURUSD"]
    assert found[8].symbol == "US500"
    assert list(found) == list(range(1, 9))
    assert [symbol.symbol for symbol in found.values()] == NAMES
    assert len(found) == 8
    assert 1 in found
    assert "EURUSD" in found
    assert 9 not in found
    assert "EURUS" not in found
    assert found.get("nothing") is None
    assert found.get(99, "none") == "none"


@pytest.mark.parametrize(
    ("name", "symbol_id"),
    [
        ("eurusd", 1),
        ("EurUsd", 1),
        ("Apple", 4),
        ("APPLE", 5),
        ("APPLE.X", 6),
        ("GRÖSSE", 7),
        ("us500", 8),
    ],
)
def test_a_name_in_any_case_where_that_says_which(name: str, symbol_id: int) -> None:
    assert Symbols(symbols())[name].id == symbol_id


@pytest.mark.parametrize(
    ("name", "near"),
    [
        # Two differ in case alone: no other spelling says which.
        ("apple", ("Apple", "APPLE")),
        ("EURUDS", ("EURUSD",)),
        ("gbpusd.", ("GBPUSD",)),
        ("EUR/USD", ("EURUSD",)),
        ("appl", ("Apple", "APPLE", "apple.x")),
        ("", ()),
        ("something else", ()),
        (" EURUSD", ("EURUSD",)),
    ],
)
def test_an_unknown_name_with_those_that_are_near(name: str, near: Sequence[str]) -> None:
    with pytest.raises(UnknownSymbolError) as caught:
        Symbols(symbols())[name]
    assert caught.value.symbol == name
    assert caught.value.near[: len(near)] == tuple(near)
    assert len(caught.value.near) <= 5


def test_what_is_far_is_not_near() -> None:
    with pytest.raises(UnknownSymbolError) as caught:
        Symbols(symbols(["EURUSD", "XAUUSD", "USDCAD", "AUDUSD"]))["EURUSDD"]
    assert caught.value.near == ("EURUSD",)


def test_at_most_five_are_near() -> None:
    with pytest.raises(UnknownSymbolError) as caught:
        Symbols(symbols([f"EURUSD.{letter}" for letter in "abcdefghij"]))["EURUSD"]
    assert len(caught.value.near) == 5


def test_two_of_one_name_are_not_guessed_between() -> None:
    found = Symbols(symbols(["EURUSD", "GBPUSD", "EURUSD"]))
    assert (found[1].symbol, found[3].symbol) == ("EURUSD", "EURUSD")
    for name in ("EURUSD", "eurusd"):
        with pytest.raises(UnknownSymbolError, match="did you mean 1, 3") as caught:
            found[name]
        assert caught.value.near == ("1", "3")
    assert found["gbpusd"].id == 2


@pytest.mark.parametrize("key", [0, 99, -1, None, 1.5, b"EURUSD"])
def test_what_is_neither(key: Any) -> None:
    with pytest.raises(UnknownSymbolError) as caught:
        Symbols(symbols())[key]
    assert (caught.value.symbol, caught.value.near) == (key, ())
    assert isinstance(caught.value, KeyError)


def test_a_name_that_is_a_number_is_a_name() -> None:
    found = Symbols([Symbol(id=7, symbol="1"), Symbol(id=1, symbol="7")])
    assert (found["1"].id, found[1].id) == (7, 1)


def test_they_are_shown_while_they_are_few() -> None:
    assert repr(Symbols()) == "<0 Symbols>"
    assert repr(Symbols(symbols(["EURUSD", "US500"]))) == "<Symbols EURUSD, US500>"
    assert repr(Symbols(symbols([f"S{number}" for number in range(11)]))) == "<11 Symbols>"


# -- what is known of them ---------------------------------------------------------------------------------------------


class Server:
    """Says what symbols there are, and notes who asks."""

    def __init__(self, names: Sequence[str] = NAMES) -> None:
        self.asked: List[Deadline] = []
        self.names = names
        self.error: Optional[OneTradeError] = None

    def __call__(self, deadline: Deadline) -> List[Symbol]:
        self.asked.append(deadline)
        if self.error is not None:
            raise self.error
        return symbols(self.names)


def test_the_server_is_asked_for_a_name_once() -> None:
    server = Server()
    directory = Directory(server)
    assert directory.symbols == Symbols()
    assert directory.id_of("GBPUSD", SOON) == 2
    assert directory.id_of("us500", SOON) == 8
    assert server.asked == [SOON]
    assert directory.symbols == Symbols(symbols())


def test_an_id_is_what_it_is() -> None:
    server = Server()
    assert Directory(server).id_of(12345, SOON) == 12345
    assert server.asked == []


def test_what_is_known_is_not_asked_for() -> None:
    server = Server()
    directory = Directory(server)
    directory.put(symbols(["XAUUSD"]))
    assert directory.id_of("XAUUSD", SOON) == 1
    with pytest.raises(UnknownSymbolError):
        directory.id_of("EURUSD", SOON)
    assert server.asked == []


class Clock:
    """Stands still until it is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_symbol_that_the_broker_adds_is_found_a_minute_later() -> None:
    server, clock = Server(["EURUSD"]), Clock()
    directory = Directory(server, clock)
    assert directory.id_of("EURUSD", SOON) == 1
    server.names = ["EURUSD", "XAUUSD"]
    clock.now += 59.5
    with pytest.raises(UnknownSymbolError):
        directory.id_of("XAUUSD", SOON)
    assert len(server.asked) == 1
    clock.now += 0.5
    later = Deadline(20)
    assert directory.id_of("XAUUSD", later) == 2
    assert server.asked == [SOON, later]
    assert directory.symbols["XAUUSD"].id == 2


def test_a_symbol_that_is_new_since_the_snapshot_is_found() -> None:
    server, clock = Server(), Clock()
    directory = Directory(server, clock)
    directory.put(symbols(["XAUUSD"]))
    clock.now += 3600
    # What is known is not asked for, however old.
    assert directory.id_of("XAUUSD", SOON) == 1
    assert server.asked == []
    assert directory.id_of("EURUSD", SOON) == 1
    assert server.asked == [SOON]


def test_names_that_do_not_exist_do_not_storm_the_server() -> None:
    server, clock = Server(), Clock()
    directory = Directory(server, clock)
    for second in range(600):
        clock.now = 1000.0 + second
        for name in ("nothing", "of the kind"):
            with pytest.raises(UnknownSymbolError):
                directory.id_of(name, SOON)
    # Ten minutes.
    assert len(server.asked) == 10


def test_a_snapshot_counts_as_an_answer() -> None:
    server, clock = Server(), Clock()
    directory = Directory(server, clock)
    for _ in range(5):
        clock.now += 59
        directory.put(symbols())
        clock.now += 59
        with pytest.raises(UnknownSymbolError):
            directory.id_of("nothing", SOON)
    assert server.asked == []


def test_two_of_one_name_may_become_one() -> None:
    server, clock = Server(["EURUSD", "EURUSD"]), Clock()
    directory = Directory(server, clock)
    with pytest.raises(UnknownSymbolError):
        directory.id_of("EURUSD", SOON)
    server.names = ["GBPUSD", "EURUSD"]
    clock.now += 60
    assert directory.id_of("EURUSD", SOON) == 2


def test_a_server_that_cannot_be_asked_again_says_nothing_of_a_name() -> None:
    server, clock = Server(["EURUSD"]), Clock()
    directory = Directory(server, clock)
    directory.id_of("EURUSD", SOON)
    clock.now += 60
    server.error = NetworkError("symbols", "host", "refused")
    for _ in range(2):
        with pytest.raises(NetworkError):
            directory.id_of("XAUUSD", SOON)
    # What was known still is.
    assert directory.id_of("EURUSD", SOON) == 1
    server.error, server.names = None, ["EURUSD", "XAUUSD"]
    assert directory.id_of("XAUUSD", SOON) == 2


def test_a_server_without_symbols_is_asked_again_after_a_while() -> None:
    server, clock = Server([]), Clock()
    directory = Directory(server, clock)
    for _ in range(2):
        with pytest.raises(UnknownSymbolError):
            directory.id_of("EURUSD", SOON)
    assert len(server.asked) == 1
    server.names = ["EURUSD"]
    clock.now += 60
    assert directory.id_of("EURUSD", SOON) == 1


class Together:
    """A server that answers when so many wait for it, on whatever threads: who asks, and who waits for the answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, others: int, *answers: object) -> None:
        self.asked = 0
        self.is_asked = threading.Event()
        self._others = others
        self._answers = list(answers)
        self._waiting = threading.Semaphore(0)
        wait_for = Deadline.wait_for

        def noted(deadline: Deadline, condition: threading.Condition, predicate: Callable[[], bool]) -> bool:
            self._waiting.release()
            return wait_for(deadline, condition, predicate)

        monkeypatch.setattr(Deadline, "wait_for", noted)

    def __call__(self, deadline: Deadline) -> List[Symbol]:
        self.asked += 1
        self.is_asked.set()
        if deadline.expired:
            raise NetworkError("symbols", "host", "no answer in time")
        if self.asked == 1:
            for _ in range(self._others):
                assert self._waiting.acquire(timeout=10)
        answer = self._answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        assert isinstance(answer, list)
        return answer


def ids(directory: Directory, names: Sequence[str]) -> List[object]:
    """What as many threads at once get: an id, or an error."""

    def look_up(name: str) -> object:
        try:
            return directory.id_of(name, Deadline(10))
        except OneTradeError as error:
            return error

    with ThreadPoolExecutor(len(names)) as threads:
        return list(threads.map(look_up, names))


def test_threads_that_look_up_names_at_once_ask_once(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Together(monkeypatch, 3, symbols())
    assert ids(Directory(server), ["EURUSD", "GBPUSD", "USDJPY", "US500"]) == [1, 2, 3, 8]
    assert server.asked == 1


def test_threads_that_look_up_names_at_once_share_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Together(monkeypatch, 2, NotFoundError("symbols", 404, "no"), symbols())
    directory = Directory(server)
    errors = ids(directory, ["EURUSD"] * 3)
    assert [str(error) for error in errors] == ["symbols was answered with HTTP 404: no"] * 3
    assert len({id(error) for error in errors}) == 3
    assert server.asked == 1
    # Who comes later asks again.
    assert directory.id_of("EURUSD", SOON) == 1


@pytest.mark.parametrize(
    "failure", [NetworkError("symbols", "host", "no answer in time"), KeyboardInterrupt()]
)
def test_what_ended_somebody_elses_request_alone_is_not_shared(
    monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    server = Together(monkeypatch, 1, failure, symbols())
    directory = Directory(server)
    ended: List[BaseException] = []

    def look_up_in_vain() -> None:
        with pytest.raises(type(failure)) as caught:
            directory.id_of("EURUSD", Deadline(10))
        ended.append(caught.value)

    first = threading.Thread(target=look_up_in_vain)
    first.start()
    assert server.is_asked.wait(10)
    assert directory.id_of("EURUSD", Deadline(10)) == 1
    first.join(10)
    assert ended == [failure]
    assert server.asked == 2


def test_who_waits_for_somebody_elses_answer_does_so_no_longer_than_it_may(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Together(monkeypatch, 2, symbols())
    directory = Directory(server)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(lambda: directory.id_of("EURUSD", Deadline(10)))
        assert server.is_asked.wait(10)
        for _ in range(2):
            with pytest.raises(NetworkError, match="in time"):
                directory.id_of("EURUSD", Deadline(0))
        assert first.result(10) == 1
    assert server.asked == 3
