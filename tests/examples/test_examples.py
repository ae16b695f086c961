"""Every example runs: against the embedded server, and with credentials from the environment."""

from __future__ import annotations

import io
import re
import threading
import unittest
from typing import Any, Dict, Optional

import pytest

from onetrade_ws import (
    ClientEventType,
    ConnectionState,
    Event,
    EventMessageType,
    OneTradeClient,
    OrderType,
    SideType,
)
from onetrade_ws.examples import account, quotes, without_callbacks, your_own_tests
from onetrade_ws.examples.command import Example, run
from onetrade_ws.simulator import Simulator

EXAMPLES: Dict[str, Example] = {
    "quotes": quotes.print_quotes,
    "account": account.print_account_events,
    "without_callbacks": without_callbacks.read_events,
}


@pytest.fixture
def server(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """A server that stands still, and its credentials in the environment."""
    for name in ("ONETRADE_HTTP_URL", "ONETRADE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ONETRADE_WS_URL", simulator.ws_url)
    monkeypatch.setenv("ONETRADE_SESSION_ID", simulator.session_id)
    monkeypatch.setenv("ONETRADE_ACCESS_TOKEN", simulator.access_token)
    return simulator


class Client(OneTradeClient):
    """One that callbacks may end, once ``connect()`` has returned, which would fail otherwise."""

    def __init__(self, url: str, **settings: Any) -> None:
        super().__init__(url, **settings)
        self._connected = threading.Event()

    def connect(self, timeout: Optional[float] = None) -> None:
        super().connect(timeout)
        self._connected.set()

    def end(self, event: Event) -> None:
        self._connected.wait(20)
        self.disconnect()


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_it_runs_with_the_embedded_server(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    def example(client: OneTradeClient, seconds: Optional[float]) -> None:
        assert seconds == 0.3
        EXAMPLES[name](client, seconds)
        assert client.state is ConnectionState.CLOSED

    assert run(example, "what it does", ["--simulator", "--seconds", "0.3"]) == 0
    assert capsys.readouterr().err == ""


def test_quotes(server: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    server.quote(1, 1.25, 1.5)

    def example(_: OneTradeClient, seconds: Optional[float]) -> None:
        client = Client(server.ws_url, api_key=server.api_key)

        def drop_once(event: Event) -> None:
            client.unsubscribe(EventMessageType.MARKET_FEED, drop_once)
            server.drop()

        client.subscribe(EventMessageType.MARKET_FEED, drop_once)
        client.subscribe(ClientEventType.GAP, client.end)
        quotes.print_quotes(client, seconds)

    assert run(example, None, []) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("1: 1.25 / 1.5\n")
    assert re.search(r"^no quotes for \d\.\d s: the connection was lost: ", printed, re.MULTILINE)


def test_account(server: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    def act(event: Event) -> None:
        if event.data.new is ConnectionState.OPEN:
            server.wait_for(lambda server: any("start_account_all" in m.text for m in server.messages))
            server.place_order(1, SideType.BUY, 0.5)
            server.place_order(1, SideType.BUY, 0.1, type=OrderType.BUY_LIMIT, price=0.9)
            rejected = server.place_order(1, SideType.SELL, 0.5, fill=False)
            server.reject_order(rejected["id"])
            server.info("that is all")

    def example(_: OneTradeClient, seconds: Optional[float]) -> None:
        client = Client(server.ws_url, api_key=server.api_key)
        client.subscribe(ClientEventType.STATE_CHANGED, act)
        client.subscribe(EventMessageType.INFO, client.end)
        account.print_account_events(client, seconds)

    assert run(example, None, []) == 0
    printed = capsys.readouterr().out
    assert "ORDERS_REJECTED: order 3000000003 SELL 0.5 at " in printed
    assert "POSITIONS_OPEN: position 70001 BUY profit " in printed
    assert "open: EURUSD BUY 0.5 profit " in printed
    assert "waiting: order 3000000002 BUY_LIMIT 0.1 at 0.9" in printed
    assert "1 deals, " in printed


def test_without_callbacks(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(without_callbacks.read_events, None, ["--simulator", "--seconds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("first quote: 1.")
    assert lines[1].startswith("moved to: 1.")
    assert lines[0].split(": ")[1] != lines[1].split(": ")[1]
    assert lines[2].startswith(("EventMessageType.ORDERS_PLACE: ", "EventMessageType.DEALS_CREATE: "))


def test_your_own_tests() -> None:
    suite = unittest.defaultTestLoader.loadTestsFromModule(your_own_tests)
    result = unittest.TextTestRunner(stream=io.StringIO()).run(suite)
    assert result.testsRun == 3
    assert result.errors == []
    assert result.failures == []


def test_credentials_that_are_refused(server: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    server.refuse_validation(401, "go away")
    assert run(quotes.print_quotes, None, []) == 1
    assert (
        capsys.readouterr().err
        == "session validation was answered with HTTP 401: go away; check the credentials: sessions and tokens expire\n"
    )


def test_an_environment_without_credentials(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ONETRADE_WS_URL", raising=False)
    assert run(quotes.print_quotes, None, []) == 1
    assert capsys.readouterr().err.startswith("the environment variable ONETRADE_WS_URL is not set")


def test_ctrl_c(server: Simulator) -> None:
    def interrupted(client: OneTradeClient, seconds: Optional[float]) -> None:
        assert seconds is None
        raise KeyboardInterrupt

    assert run(interrupted, None, []) == 0
