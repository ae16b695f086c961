"""Start and stop: nothing is left behind, and everything comes back."""

from __future__ import annotations

import gc
import os
import socket
import threading
from contextlib import ExitStack, closing
from typing import Any, Callable, Dict

import pytest
import websocket

from onetrade_ws.simulator import Simulator
from tests.simulator.plain_client import TIMEOUT, PlainClient, RawSocket, handshake_path, validate


def our_threads() -> int:
    return sum(thread.name.startswith("onetrade-ws-simulator") for thread in threading.enumerate())


def test_stop_leaves_no_thread_and_no_descriptor() -> None:
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("descriptors cannot be counted here")

    def live_once() -> None:
        with ExitStack() as stack:
            sim = stack.enter_context(Simulator(quotes_per_second=1000, trading_interval=0.01))
            client = stack.enter_context(closing(PlainClient(sim)))
            idle = stack.enter_context(closing(RawSocket(sim)))
            client.send("start_account_all")
            client.sync()
            idle.send("GET / HTTP/1.1\r\n")
            sim.stop()
            idle.read_to_end()

    def descriptors() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    live_once()
    before, threads = descriptors(), our_threads()
    for _ in range(5):
        live_once()
    assert descriptors() == before
    assert our_threads() == threads


def test_stop_says_goodbye_to_websockets_and_is_idempotent() -> None:
    sim = Simulator(live=False).start()
    with closing(PlainClient(sim)) as client:
        sim.stop()
        opcode, payload = client.socket.recv_data()
        assert (opcode, payload[:2]) == (websocket.ABNF.OPCODE_CLOSE, (1001).to_bytes(2, "big"))
        assert sim.connections == 0
        sim.stop()
        assert "stopped" in repr(sim)


def test_start_twice_changes_nothing(sim: Simulator) -> None:
    url, threads = sim.ws_url, our_threads()
    assert sim.start() is sim
    assert sim.ws_url == url
    assert our_threads() == threads


def test_start_after_stop_goes_on_with_the_same_port_books_and_credentials() -> None:
    sim = Simulator(live=False)
    with sim:
        port, session_id = sim.port, sim.session_id
        sim.add_journal("before")
        with closing(PlainClient(sim)):
            pass
    with sim:
        assert (sim.port, sim.session_id) == (port, session_id)
        assert [entry["desc"] for entry in sim.journal] == ["before"]
        assert sim.connections == 0
        refused = websocket.WebSocketBadStatusException
        with pytest.raises(refused, match="401"):  # the validation before the stop is forgotten, or was used
            websocket.create_connection(sim.ws_url + handshake_path(sim), timeout=TIMEOUT)
        with closing(PlainClient(sim)):
            assert (sim.connections, sim.connections_total) == (1, 2)


def test_a_taken_port_is_an_os_error_and_leaves_nothing(sim: Simulator) -> None:
    second = Simulator(port=sim.port)
    threads = our_threads()
    with pytest.raises(OSError, match="in use"):
        second.start()
    assert our_threads() == threads
    second.stop()


def test_everything_may_be_called_on_a_simulator_that_never_started() -> None:
    sim = Simulator(live=False)
    sim.place_order(1, 0, 1)  # type: ignore[arg-type]  # the number of the side does, too
    sim.info("nobody hears this")
    sim.drop()
    sim.freeze()
    sim.stop()
    assert sim.port == 0
    assert len(sim.deals) == 1


def test_listens_on_ipv6() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6")
    sim = Simulator("::1", live=False)
    try:
        sim.start()
    except OSError:
        pytest.skip("no IPv6 loopback")
    with sim:
        assert sim.ws_url == f"ws://[::1]:{sim.port}"
        with closing(PlainClient(sim)) as client:
            assert client.sync() == []


def test_given_credentials_are_used_and_random_ones_differ() -> None:
    given: Dict[str, Any] = {"session_id": "s/1 +", "access_token": "t&=%", "api_key": "k"}
    with Simulator(live=False, **given) as sim, closing(PlainClient(sim)) as client:
        assert (sim.session_id, sim.access_token, sim.api_key) == ("s/1 +", "t&=%", "k")
        assert client.sync() == []
    one, other = Simulator(), Simulator()
    assert one.session_id != other.session_id
    assert one.access_token != other.access_token
    assert one.api_key != other.api_key


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("quotes_per_second", -1),
        ("trading_interval", 0),
        ("leverage", 0),
        ("history", 0),
        ("max_unsent", 0),
        ("balance", float("nan")),
    ],
)
def test_a_wrong_setting_is_a_value_error_that_names_it(setting: str, value: object) -> None:
    settings: Dict[str, Any] = {setting: value}
    with pytest.raises(ValueError, match=setting):
        Simulator(**settings)


def test_no_secret_is_shown(sim: Simulator) -> None:
    with closing(PlainClient(sim)):
        pass
    session = sim.add_session()
    with pytest.raises(TimeoutError) as timeout:
        sim.wait_for(lambda sim: sim.connections == 99, timeout=0)
    shown = f"{sim!r} {sim.requests!r} {sim.messages!r} {session!r} {timeout.value}"
    assert "POST /ws/v1/" in shown
    for secret in (sim.session_id, sim.access_token, sim.api_key, session.session_id, session.access_token):
        assert secret not in shown


def test_each_method_may_be_called_from_any_thread(sim: Simulator, watcher: PlainClient) -> None:
    def place() -> None:
        for _ in range(20):
            sim.place_order(1, 0, 0.1)  # type: ignore[arg-type]

    def quote() -> None:
        for pip in range(20):
            sim.quote(1, 1.08 + pip / 10_000)

    def run(*jobs: Callable[[], None]) -> None:
        threads = [threading.Thread(target=job) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)

    run(place, quote, place, quote)
    events = watcher.sync()
    opened = [event.data["id"] for event in events if event.type == "positions_open"]
    assert opened == [position["id"] for position in sim.positions]
    assert len(opened) == 40
    assert sum(event.type == "price" for event in events) == 40
    assert validate(sim).status_code == 400
