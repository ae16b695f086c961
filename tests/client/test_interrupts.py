"""A signal at any step of a call on the main thread: Ctrl-C ends the call and leaves nothing locked, and a handler may
disconnect."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import random
import signal
import threading
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Dict, Iterable, Iterator, Set, Tuple

import pytest

from onetrade_ws import (
    ConnectionState,
    EventMessageType,
    MessageStatus,
    OneTradeClient,
)
from onetrade_ws.deadline import Deadline
from onetrade_ws.simulator import Simulator
from tests.client.background import Background
from tests.client.conftest import MakeClient
from tests.client.conversation import TIMEOUT, catch_up, connect, texts
from tests.interrupted import Interrupted

SYMBOL = 1
_FROM = datetime(2026, 7, 1, tzinfo=timezone.utc)
_TO = _FROM + timedelta(hours=1)
_numbers = itertools.count()
_SUBSCRIBE = f'{{"type":"{EventMessageType.MARKET_SUBSCRIBE_SYMBOL.value}","data":{SYMBOL}}}'
_UNSUBSCRIBE = f'{{"type":"{EventMessageType.MARKET_UNSUBSCRIBE_SYMBOL.value}","data":{SYMBOL}}}'


def to_try(whole: Interrupted) -> Iterable[int]:
    """The steps of a call that are tried: some, others in another run."""
    assert whole.steps
    return random.sample(range(whole.steps), min(whole.steps, 8))


def make_calls(client: OneTradeClient) -> Dict[str, Callable[[], Any]]:
    return {
        "wait": lambda: client.wait(0.001),
        "wait_for": lambda: client.wait_for(EventMessageType.ORDERS_PLACE, timeout=0.001),
        "events": lambda: list(client.events(timeout=0.001)),
        "wait_until_current": lambda: client.wait_until_current(0),
        "account": lambda: (client.account.orders, client.account.figures, client.account.status),
        "health": lambda: (client.health(), client.stats(), client.state),
        "resync": client.resync,
        "send": lambda: client.send("note", next(_numbers)).cancel(),
        "subscribe_market": lambda: client.subscribe_market(SYMBOL),
        "unsubscribe_market": lambda: client.unsubscribe_market(SYMBOL),
        "start_account_all": client.start_account_all,
        "stop_account_all": client.stop_account_all,
    }


def is_unsubscribed(simulator: Simulator) -> bool:
    sent = texts(simulator, simulator.connections_total)
    return sent.count(_SUBSCRIBE) == sent.count(_UNSUBSCRIBE)


def prepare(client: OneTradeClient, name: str) -> None:
    """Let the call have something to do."""
    if name == "unsubscribe_market":
        client.subscribe_market(SYMBOL)
    if name == "start_account_all":
        client.stop_account_all()


def use(client: OneTradeClient, simulator: Simulator) -> None:
    """What a program does with a client that works, and what must come of it though the connection was lost."""
    client.subscribe_market(SYMBOL)
    client.start_account_all()
    # What is said twice is sent once: it must have been sent, whatever was interrupted before.
    simulator.wait_until_subscribed(SYMBOL, timeout=TIMEOUT)
    client.unsubscribe_market(SYMBOL)
    simulator.wait_for(is_unsubscribed, TIMEOUT)
    client.wait_until_current(TIMEOUT)
    assert client.send("note", next(_numbers)).wait(TIMEOUT) is MessageStatus.WRITTEN
    catch_up(client, simulator)
    client.wait(0)
    client.stats()


_NAMES = list(make_calls(OneTradeClient("ws://127.0.0.1:1", api_key="key")))


@pytest.mark.parametrize("name", _NAMES)
def test_ctrl_c_at_any_step_leaves_nothing_locked(
    make_client: MakeClient, simulator: Simulator, name: str
) -> None:
    client = make_client(snapshot=True)
    connect(client, simulator)
    client.wait_until_current(TIMEOUT)
    call = make_calls(client)[name]
    prepare(client, name)
    whole = Interrupted()
    whole.call(call)
    reached = set()
    for number in to_try(whole):
        prepare(client, name)
        interrupted = Interrupted(number)
        interrupted.call(call)
        reached.add(interrupted.where)
        # On another thread, for whoever holds a lock may take it again.
        answer = Background(lambda: use(client, simulator))
        try:
            answer.result()
        except Exception as error:  # noqa: BLE001 - said where it came from
            pytest.fail(f"stuck after Ctrl-C at the {interrupted.where}: {error!r}")
    assert any(reached)
    notes = [message.payload for message in simulator.messages if b"note" in message.payload]
    assert len(set(notes)) == len(notes), "something was sent twice"
    Background(lambda: client.disconnect(TIMEOUT)).result()
    assert not threads_of_clients()


def connect_and_use(client: OneTradeClient, simulator: Simulator) -> None:
    client.connect()
    use(client, simulator)


@pytest.mark.parametrize("name", ["connect", "disconnect"])
def test_after_ctrl_c_at_any_step_it_connects_again(
    make_client: MakeClient, simulator: Simulator, name: str
) -> None:
    def make_call() -> Tuple[OneTradeClient, Callable[[], Any]]:
        client = make_client(snapshot=True)
        if name == "connect":
            return client, client.connect
        client.connect()
        return client, client.disconnect

    client, call = make_call()
    whole = Interrupted()
    whole.call(call)
    client.disconnect(TIMEOUT)
    reached = set()
    for number in to_try(whole):
        client, call = make_call()
        interrupted = Interrupted(number)
        interrupted.call(call)
        reached.add(interrupted.where)
        Background(functools.partial(client.disconnect, TIMEOUT)).result()
        wait_until_no_threads(interrupted)
        works = Background(functools.partial(connect_and_use, client, simulator))
        try:
            works.result()
        except Exception as error:  # noqa: BLE001 - said where it came from
            pytest.fail(f"stuck after Ctrl-C at the {interrupted.where}: {error!r}")
        Background(functools.partial(client.disconnect, TIMEOUT)).result()
        wait_until_no_threads(interrupted)
    assert any(reached)


@pytest.mark.skipif(os.name == "nt", reason="a lock that is waited for cannot be interrupted there")
@pytest.mark.parametrize("name", [*_NAMES, "candles", "pump", "subscribe", "connect", "disconnect"])
def test_a_signal_handler_may_disconnect_at_any_step(
    make_client: MakeClient, simulator: Simulator, name: str
) -> None:
    def make_call() -> Tuple[OneTradeClient, Callable[[], Any]]:
        client = make_client(snapshot=True, dispatch="manual" if name == "pump" else "thread")
        if name != "connect":
            client.connect()
            client.wait_until_current(TIMEOUT)
            prepare(client, name)
        more: Dict[str, Callable[[], Any]] = {
            "connect": client.connect,
            "candles": lambda: client.candles(SYMBOL, _FROM, _TO),
            "pump": lambda: client.pump(timeout=0.001),
            "subscribe": lambda: client.subscribe(None, print).cancel(),
            "disconnect": lambda: client.disconnect(0.05),
        }
        return client, {**make_calls(client), **more}[name]

    client, call = make_call()
    whole = Interrupted()
    whole.call(call)
    client.disconnect(TIMEOUT)
    reached = set()
    for number in to_try(whole):
        client, call = make_call()
        # Where the interrupted call holds a lock, a thread cannot end before it goes on.
        interrupted = Interrupted(number, functools.partial(client.disconnect, 0.05))
        with rescued(interrupted):
            interrupted.call(call)
            client.disconnect(TIMEOUT)
        reached.add(interrupted.where)
        assert client.state is ConnectionState.CLOSED, interrupted.where
        wait_until_no_threads(interrupted)
    assert any(reached)


@contextlib.contextmanager
def rescued(interrupted: Interrupted) -> Iterator[None]:
    """Ends what hangs on the main thread, and fails."""
    late = threading.Timer(
        TIMEOUT, lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    )
    late.daemon = True
    late.start()
    try:
        yield
    except KeyboardInterrupt as error:
        pytest.fail(f"hung when a handler disconnected at the {interrupted.where}: {error!r}")
    finally:
        late.cancel()
        late.join()


def threads_of_clients() -> Set[str]:
    return {each.name for each in threading.enumerate() if each.name.startswith("onetrade-ws ")}


def wait_until_no_threads(interrupted: Interrupted) -> None:
    deadline = Deadline(TIMEOUT)
    while threads_of_clients():
        if deadline.expired:
            left = threads_of_clients()
            pytest.fail(f"left after a signal at the {interrupted.where}: {left}")
        threading.Event().wait(0.001)
