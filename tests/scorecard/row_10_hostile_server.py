"""Every step times every misbehaviour: each comes to the error that the documentation names, in time."""

from __future__ import annotations

import ssl
import time
from functools import partial
from typing import Any, Callable, Dict, List, Mapping, Tuple

from onetrade_ws import OneTradeError
from onetrade_ws.simulator import websocket as framing
from tests.connection.hostile import TIMEOUT, HostileServer, client_of, free_port
from tests.scorecard import misbehaviour
from tests.scorecard.cases import FellShort, run_cases
from tests.scorecard.full_listener import FullListener
from tests.scorecard.misbehaviour import Misbehaviour
from tests.scorecard.outcome import Outcome
from tests.scorecard.slow_look_up import SlowLookUp

PROMISE = "A hostile server gets a typed error in time"
TARGET = "60 of 60, none later than the deadline + 0.5 s"
EXCLUSIVE = True
FULL_MINUTES = 5

# Seconds. Each is the deadline of some cases.
_CONNECT_TIMEOUT = 0.5
_HEARTBEAT: Mapping[str, float] = {"heartbeat_interval": 0.25, "heartbeat_timeout": 0.25}
_LATE = 0.5
_SLOW_NAME = "slow.invalid"


def _meet(case: Misbehaviour, server: HostileServer, **settings: Any) -> float:
    """Seconds until a client has the right error."""
    settings = {
        "connect_timeout": _CONNECT_TIMEOUT,
        "reconnect": None,
        **_HEARTBEAT,
        **settings,
        **case.settings,
    }
    with server:
        client = client_of(server, **settings)
        case.prepare(client)
        started = time.monotonic()
        try:
            client.connect()
            client.wait(TIMEOUT)
        except OneTradeError as error:
            ended = time.monotonic()
            _check(case, error)
        else:
            raise FellShort(f"no error within {time.monotonic() - started:.1f} s")
        finally:
            client.disconnect()
        if case.close is not None:
            _check_close(case.close, server)
    took = ended - started if case.timed else 0.0
    # The two are the same here: connect_timeout, and interval and timeout of the heartbeat.
    if took > _CONNECT_TIMEOUT + _LATE:
        raise FellShort(f"only after {took:.2f} s")
    return took


def _check(case: Misbehaviour, error: OneTradeError) -> None:
    if type(error) is not case.error:
        raise FellShort(f"came to {error!r}, not to {case.error.__name__}")
    facts = {name: getattr(error, name) for name in case.facts}
    if facts != case.facts:
        raise FellShort(f"came to {error!r} with {facts}, not {dict(case.facts)}")


def _check_close(code: int, server: HostileServer) -> None:
    def codes(server: HostileServer) -> List[int]:
        frames = [frame.payload for frame in tuple(server.frames) if frame.opcode == framing.CLOSE]
        return [int.from_bytes(payload[:2], "big") for payload in frames]

    try:
        seen = server.wait_for(codes, 1.0)
    except AssertionError:
        seen = []
    if seen != [code]:
        raise FellShort(f"the close codes that arrived: {seen}, not {code}")


# -- where each kind of case is met ------------------------------------------------------------------------------


def _at_validation(case: Misbehaviour) -> float:
    return _meet(case, HostileServer(http=case.script))


def _at_login(case: Misbehaviour) -> float:
    server = HostileServer(http=case.script)
    return _meet(case, server, api_key="key", session_id=None, access_token=None)


def _at_websocket(case: Misbehaviour) -> float:
    return _meet(case, HostileServer(case.script, receive_buffer=4096))


def _in_tls_of_validation(context: ssl.SSLContext, case: Misbehaviour) -> float:
    server = HostileServer(tcp=case.script)
    return _meet(case, server, http_url=server.http_url.replace("http", "https"), ssl_context=context)


def _in_tls_of_websocket(context: ssl.SSLContext, case: Misbehaviour) -> float:
    with HostileServer() as good:
        server = HostileServer(tcp=case.script)
        url = server.ws_url.replace("ws", "wss")
        return _meet(case, server, url=url, http_url=good.http_url, ssl_context=context)


def _below(case: Misbehaviour, address: str, step: str) -> float:
    """Where there is no server: at an address instead of it."""
    with HostileServer() as good:
        http_url = good.http_url if step == "WebSocket" else f"http://{address}"
        return _meet(case, good, url=f"ws://{address}", http_url=http_url, allow_plaintext=True)


def _at_nobody(case: Misbehaviour, step: str) -> float:
    held, port = free_port()
    with held:
        return _below(case, f"127.0.0.1:{port}", step)


def _at_a_full_listener(case: Misbehaviour, step: str) -> float:
    listener = FullListener()
    try:
        return _below(case, f"127.0.0.1:{listener.port}", step)
    finally:
        listener.close()


def _cases() -> Dict[str, Callable[[], float]]:
    # Made once: it takes longer than most of the cases.
    context = ssl.create_default_context()
    tables: List[Tuple[str, Callable[[Misbehaviour], float], Dict[str, Misbehaviour]]] = [
        ("login", _at_login, misbehaviour.login_cases()),
        ("validation", _at_validation, misbehaviour.validation_cases()),
        ("handshake", _at_websocket, misbehaviour.handshake_cases()),
        ("stream", _at_websocket, misbehaviour.stream_cases()),
        (
            "TLS of the validation",
            partial(_in_tls_of_validation, context),
            misbehaviour.tls_cases("session validation"),
        ),
        ("TLS of the WebSocket", partial(_in_tls_of_websocket, context), misbehaviour.tls_cases("TLS")),
        ("validation, with a policy", _at_validation, misbehaviour.retried_cases()),
        ("handshake, with a policy", _at_websocket, misbehaviour.retried_cases()),
    ]
    cases: Dict[str, Callable[[], float]] = {}
    for where, meet, table in tables:
        cases.update({f"{where}: {name}": partial(meet, case) for name, case in table.items()})
    for step, tcp, dns in (
        ("validation", "session validation", "session validation"),
        ("WebSocket", "TCP", "DNS"),
    ):
        refused, unknown = misbehaviour.network_case(tcp), misbehaviour.network_case(dns)
        cases[f"TCP of the {step}: refused"] = partial(_at_nobody, refused, step)
        cases[f"TCP of the {step}: not answered"] = partial(_at_a_full_listener, refused, step)
        cases[f"DNS of the {step}: not a name"] = partial(_below, unknown, "a..b", step)
        cases[f"DNS of the {step}: not answered"] = partial(_below, unknown, _SLOW_NAME, step)
    return cases


def measure(full: bool, seed: int) -> Outcome:
    """Meet each case, several at once, as most of them only wait; in full several times."""
    cases = _cases()
    # These keep the machine busy, which would make others late.
    busy = {name: meet for name, meet in cases.items() if "without end" in name or "floods" in name}
    quiet = {name: meet for name, meet in cases.items() if name not in busy}
    latest = 0.0
    failures: List[str] = []
    with SlowLookUp.of(_SLOW_NAME):
        for _ in range(10 if full else 1):
            for group, at_once in ((quiet, 8), (busy, 1)):
                took, short = run_cases(group, at_once)
                latest = max([latest, *took.values()])
                failures += short
    good = [name for name in cases if not any(line.startswith(f"{name}: ") for line in failures)]
    figure = f"{len(good)} of {len(cases)}, the latest {max(0.0, latest - _CONNECT_TIMEOUT):.2f} s after its deadline"
    return Outcome(figure, not failures and len(cases) >= 60, failures)
