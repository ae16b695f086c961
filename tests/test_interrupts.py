"""Ctrl-C at each step of what needs no server: whoever comes next finds nothing held, half done or left behind."""

from __future__ import annotations

import threading
from typing import Any, Callable, List, Type

import pytest

from onetrade_ws import Event, OneTradeClient, Symbol, deadline
from onetrade_ws.account import Directory
from onetrade_ws.config import make_settings
from onetrade_ws.connection import sign_in
from onetrade_ws.connection.credentials import Credentials
from onetrade_ws.connection.exchange import Exchange
from onetrade_ws.connection.sign_in import SignIn
from onetrade_ws.connection.turns import Turns
from onetrade_ws.deadline import Deadline, shielded
from tests.client.background import Background
from tests.client.conversation import TIMEOUT
from tests.interrupted import at_each_step

URL = "ws://127.0.0.1:1"


def test_a_turn_goes_to_the_next() -> None:
    turns = Turns()

    def work() -> None:
        pass

    for interrupted in at_each_step(lambda: lambda: turns.take(work)):
        assert Background(lambda: turns.take(work, timeout=0)).result(), interrupted.where


def test_shielded_work_is_done_wholly_or_not_at_all() -> None:
    done: List[str] = []

    def prepare() -> Callable[[], Any]:
        nonlocal done
        mine = done = []

        def work() -> None:
            mine.append("begun")
            mine.append("ended")

        return lambda: shielded(work, Deadline(TIMEOUT))

    for interrupted in at_each_step(prepare):
        soon = Deadline(TIMEOUT)
        while done == ["begun"]:
            assert not soon.expired, interrupted.where
    assert done == ["begun", "ended"]


@pytest.mark.parametrize("error", [RuntimeError, MemoryError])
def test_shielded_work_is_done_without_another_thread(
    monkeypatch: pytest.MonkeyPatch, error: Type[Exception]
) -> None:
    def fail(*_: object) -> None:
        raise error("can't start new thread")

    def work() -> None:
        raise LookupError

    monkeypatch.setattr(threading.Thread, "start", fail)
    for _ in range(2):
        with pytest.raises(LookupError) as caught:
            shielded(work, Deadline(TIMEOUT))
        assert caught.value.__context__ is None
        monkeypatch.setattr(deadline, "start_new_thread", fail)


def test_symbols_are_asked_for_again() -> None:
    asked: List[Deadline] = []

    def load(deadline: Deadline) -> List[Symbol]:
        asked.append(deadline)
        return [Symbol(id=1, symbol="EURUSD")]

    directory = Directory(load)

    def prepare() -> Callable[[], Any]:
        nonlocal directory
        directory = Directory(load)
        return lambda: directory.id_of("EURUSD", Deadline(TIMEOUT))

    for interrupted in at_each_step(prepare):
        before = len(asked)
        assert Background(lambda: directory.id_of("EURUSD", Deadline(0))).result() == 1
        assert directory._request is None, interrupted.where
        assert len(asked) - before <= 1


def test_a_login_can_be_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = Credentials("session", "token")
    monkeypatch.setattr(sign_in, "log_in", lambda *_: fresh)
    login = SignIn(make_settings(URL, api_key="key"))

    def obtain() -> Credentials:
        return login.obtain(Exchange(None), Deadline(TIMEOUT))

    def prepare() -> Callable[[], Any]:
        nonlocal login
        login = SignIn(make_settings(URL, api_key="key"))
        return obtain

    for interrupted in at_each_step(prepare):
        # Not from another thread alone: that of a connection.
        assert Background(lambda: login.obtain(Exchange(None), Deadline(0.05))).result() is fresh, (
            interrupted.where
        )


def test_another_thread_may_pump() -> None:
    client = OneTradeClient(URL, api_key="key", dispatch="manual")
    for interrupted in at_each_step(lambda: client.pump):
        assert Background(client.pump).result() == 0, interrupted.where
        assert not client._dispatcher.is_delivering_here(), interrupted.where


def test_nobody_goes_on_collecting_events() -> None:
    client = OneTradeClient(URL, api_key="key")
    event = Event("more", None, 0.0, b"")
    for interrupted in at_each_step(lambda: lambda: client.events("info", "more", timeout=0).close()):
        # An iterator that was made, and that nobody got, unsubscribes at the next event.
        for _, callback in client._observers.matching("more"):
            callback(event)
        assert not client._observers.wanted(), interrupted.where
