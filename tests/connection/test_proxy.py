"""Through proxies: the good ones of each kind, and those that mean no good."""

from __future__ import annotations

import datetime as dt
import logging
import ssl
import sys
import traceback
import warnings
from contextlib import ExitStack, closing
from typing import Any, Callable, Dict, Iterator, List, Optional
from urllib.parse import urlsplit

import pytest

from onetrade_ws import (
    CertificateError,
    ConfigurationError,
    ConnectionLostError,
    ConnectionState,
    ConnectTimeoutError,
    NetworkError,
)
from onetrade_ws.config import Proxy, read_proxy
from onetrade_ws.connection.proxy import Tunnel
from onetrade_ws.connection.stream import Stream
from onetrade_ws.deadline import Deadline
from tests.connection import certificates, proxies
from tests.connection.conftest import Background, MakeClient, MakeHostile, client_threads, run_python
from tests.connection.hostile import TIMEOUT, HostileServer, Peer, event_frame, free_port
from tests.connection.proxies import RELAYS, Asked, ProxyServer, Script, Visitor

with warnings.catch_warnings():
    # What trustme stands on warns of the oldest Python that we support.
    warnings.filterwarnings("ignore", message="Python 3.8 is no longer supported")
    import trustme

USER, PASSWORD = "us er", "canary:p@ss/w%rd"
CREDENTIALS = "us%20er:canary%3Ap%40ss%2Fw%25rd@"
#: A name that the proxy alone knows: who comes in under it came through the proxy.
NAME = "onetrade.test"

MakeProxy = Callable[..., ProxyServer]


@pytest.fixture(autouse=True)
def no_proxy_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine says of proxies is not for these tests."""
    for name in ("http", "https", "ws", "wss", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)


@pytest.fixture
def make_proxy() -> Iterator[MakeProxy]:
    """Starts a :class:`.ProxyServer`."""
    with ExitStack() as stack:

        def start(*scripts: Script, **settings: Any) -> ProxyServer:
            proxy = ProxyServer(*scripts, **settings)
            stack.callback(proxy.stop)
            return proxy

        yield start


@pytest.fixture
def tls(authority: certificates.Authority) -> ssl.SSLContext:
    """A server's context with a certificate for the loopback and for :data:`NAME`."""
    return certificates.serving(authority.issue_cert("127.0.0.1", "localhost", NAME))


def answering(peer: Peer) -> None:
    """A server that answers one question."""
    peer.upgrade()
    while "question" not in peer.read_frame().text:
        pass
    peer.send(event_frame("answer"))
    peer.serve()


def converse(client: Any) -> None:
    """Connect, ask, be answered, leave."""
    client.connect()
    with client.expect("answer", timeout=TIMEOUT):
        client.send("question")
    client.disconnect()
    assert client_threads() == []


def port_of(server: HostileServer) -> int:
    return int(server.address.rpartition(":")[2])


def under_its_name(server: HostileServer) -> str:
    return server.ws_url.replace("127.0.0.1", NAME)


# -- those that do what they are for ------------------------------------------------------------------------------


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h", "socks4", "socks4a"])
@pytest.mark.parametrize("with_credentials", [False, True])
def test_both_steps_go_through_the_proxy(
    hostile: MakeHostile,
    make_proxy: MakeProxy,
    make_client: MakeClient,
    tls: ssl.SSLContext,
    trusting: ssl.SSLContext,
    scheme: str,
    with_credentials: bool,
    encrypted: bool,
) -> None:
    server: HostileServer = hostile(answering, tls=tls if encrypted else None)
    proxy = make_proxy(RELAYS[scheme], hosts={NAME: "127.0.0.1"})
    knows_names = scheme != "socks4"
    credentials = ""
    wanted: List[str] = []
    if with_credentials:
        credentials, wanted = ("me@", ["me"]) if "socks4" in scheme else (CREDENTIALS, [USER, PASSWORD])
    client = make_client(
        server,
        url=under_its_name(server) if knows_names else server.ws_url,
        proxy=f"{scheme}://{credentials}{proxy.address}",
        ssl_context=trusting,
        allow_plaintext=True,
    )
    converse(client)
    assert proxy.asked == [Asked(NAME if knows_names else "127.0.0.1", port_of(server), *wanted)] * 2
    # Not a byte came another way.
    assert server.accepted == 2
    assert [request.method for request in server.requests] == ["POST", "GET"]
    # In the clear the proxy reads along; inside of TLS it does not.
    assert (server.access_token.encode() in proxy.received) is not encrypted
    assert (server.session_id.encode() in proxy.received) is not encrypted


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_an_ipv6_address(
    hostile: MakeHostile, make_proxy: MakeProxy, make_client: MakeClient, scheme: str
) -> None:
    server: HostileServer = hostile(answering)
    proxy = make_proxy(RELAYS[scheme], hosts={"2001:db8::1": "127.0.0.1"})
    url = f"ws://[2001:db8::1]:{port_of(server)}"
    converse(make_client(server, url=url, proxy=f"{scheme}://{proxy.address}", allow_plaintext=True))
    assert proxy.asked == [Asked("2001:db8::1", port_of(server))] * 2


def test_plain_socks4_is_given_an_address(
    hostile: MakeHostile, make_proxy: MakeProxy, make_client: MakeClient
) -> None:
    server: HostileServer = hostile(answering)
    proxy = make_proxy(proxies.socks4)
    url = server.ws_url.replace("127.0.0.1", "localhost")
    converse(make_client(server, url=url, proxy=f"socks4://{proxy.address}"))
    assert proxy.asked == [Asked("127.0.0.1", port_of(server))] * 2


def test_plain_socks4_and_a_server_without_such_an_address(
    hostile: MakeHostile, make_proxy: MakeProxy, make_client: MakeClient
) -> None:
    proxy = make_proxy(proxies.socks4)
    client = make_client(hostile(), url="ws://[::1]:9", proxy=f"socks4://{proxy.address}", reconnect=None)
    with pytest.raises(NetworkError, match="IPv4"):
        client.connect()
    assert proxy.accepted == 0


def test_the_login_goes_through_it_too(
    make_proxy: MakeProxy, make_client: MakeClient, simulator: Any
) -> None:
    proxy = make_proxy(proxies.socks5)
    client = make_client(simulator, api_key=simulator.api_key, proxy=f"socks5://{proxy.address}")
    client.connect()
    assert client.state is ConnectionState.OPEN
    assert len(proxy.asked) == 3


def test_each_new_connection_goes_through_it(
    hostile: MakeHostile, make_proxy: MakeProxy, make_client: MakeClient
) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        if peer.number < 3:
            peer.reset()
        else:
            peer.serve()

    server: HostileServer = hostile(script)
    proxy = make_proxy(proxies.http)
    client = make_client(server, proxy=f"http://{proxy.address}")
    client.connect()
    server.wait_for(lambda server: server.handshakes == 3)
    client.disconnect()
    assert len(proxy.asked) == server.accepted == 6


@pytest.mark.parametrize("pause", [0.0, 0.001])
@pytest.mark.parametrize("scheme", ["http", "socks5", "socks4"])
def test_answers_may_come_byte_by_byte(
    hostile: MakeHostile, make_proxy: MakeProxy, make_client: MakeClient, scheme: str, pause: float
) -> None:
    class Chopping(Visitor):
        def send(self, data: bytes) -> None:
            for byte in data:
                super().send(bytes([byte]))
                self.pause(pause)

    def script(visitor: Visitor) -> None:
        RELAYS[scheme](Chopping(visitor.proxy, visitor._sock))

    server: HostileServer = hostile(answering)
    proxy = make_proxy(script)
    converse(make_client(server, proxy=f"{scheme}://{credentials_for(scheme)}{proxy.address}"))


# -- whether there is one -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encrypted", "variables"),
    [
        (True, {"https_proxy": "http://{}"}),
        (True, {"HTTPS_PROXY": "{}"}),
        (True, {"all_proxy": "http://{}"}),
        (True, {"wss_proxy": "http://{}", "https_proxy": "http://{}"}),
        (False, {"http_proxy": "http://{}/"}),
        (False, {"all_proxy": "http://{}", "https_proxy": "http://127.0.0.1:1"}),
        (False, {"http_proxy": "http://{}", "no_proxy": "example.org,10.0.0.0/8,127.0.0.1:1"}),
    ],
)
def test_the_environment_names_it(
    hostile: MakeHostile,
    make_proxy: MakeProxy,
    make_client: MakeClient,
    monkeypatch: pytest.MonkeyPatch,
    tls: ssl.SSLContext,
    trusting: ssl.SSLContext,
    encrypted: bool,
    variables: Dict[str, str],
) -> None:
    server: HostileServer = hostile(answering, tls=tls if encrypted else None)
    proxy = make_proxy(proxies.http)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(proxy.address))
    converse(make_client(server, ssl_context=trusting))
    assert proxy.asked == [Asked("127.0.0.1", port_of(server))] * 2


def test_a_variable_of_the_websockets_own_wins(
    hostile: MakeHostile, make_proxy: MakeProxy, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    server: HostileServer = hostile(answering)
    for_http, for_ws = make_proxy(proxies.http), make_proxy(proxies.socks5)
    monkeypatch.setenv("http_proxy", f"http://{for_http.address}")
    monkeypatch.setenv("ws_proxy", f"socks5://{for_ws.address}")
    converse(make_client(server))
    assert (len(for_http.asked), len(for_ws.asked)) == (1, 1)


@pytest.mark.parametrize("no_proxy", ["127.0.0.1", "*", "example.org, 127.0.0.1:{port}", "127.0.0.0/8"])
def test_the_environment_makes_exceptions(
    hostile: MakeHostile,
    make_proxy: MakeProxy,
    make_client: MakeClient,
    monkeypatch: pytest.MonkeyPatch,
    no_proxy: str,
) -> None:
    server: HostileServer = hostile(answering)
    proxy = make_proxy(proxies.http)
    monkeypatch.setenv("http_proxy", f"http://{proxy.address}")
    monkeypatch.setenv("no_proxy", no_proxy.format(port=port_of(server)))
    converse(make_client(server))
    assert proxy.accepted == 0


def test_an_exception_for_one_step_alone(
    hostile: MakeHostile, make_proxy: MakeProxy, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, validation = hostile(answering), hostile()
    proxy = make_proxy(proxies.http)
    monkeypatch.setenv("http_proxy", f"http://{proxy.address}")
    monkeypatch.setenv("no_proxy", validation.address)
    converse(make_client(server, http_url=validation.ws_url.replace("ws", "http")))
    assert proxy.asked == [Asked("127.0.0.1", port_of(server))]
    assert (validation.accepted, server.accepted) == (1, 1)


def test_the_setting_wins_over_the_environment(
    hostile: MakeHostile, make_proxy: MakeProxy, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    server: HostileServer = hostile(answering)
    unused, proxy = make_proxy(proxies.http), make_proxy(proxies.http)
    monkeypatch.setenv("http_proxy", f"http://{unused.address}")
    monkeypatch.setenv("no_proxy", "*")
    converse(make_client(server, proxy=f"http://{proxy.address}"))
    assert (unused.accepted, proxy.accepted) == (0, 2)


def test_direct_is_direct(
    hostile: MakeHostile, make_proxy: MakeProxy, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    server: HostileServer = hostile(answering)
    proxy = make_proxy(proxies.http)
    monkeypatch.setenv("http_proxy", f"http://{proxy.address}")
    converse(make_client(server, proxy="direct"))
    assert proxy.accepted == 0


@pytest.mark.parametrize(
    "value",
    ["https://u:{}@h:1", "ftp://{}", "http://{}:70000", "http://u:{}", "http://", "http://u:{}@h:x", "u:{}@"],
)
def test_an_environment_that_makes_no_sense(
    hostile: MakeHostile, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    server: HostileServer = hostile()
    monkeypatch.setenv("http_proxy", value.format("canary"))
    client = make_client(server)
    with pytest.raises(ConfigurationError) as caught:
        client.connect()
    assert caught.value.setting == "http_proxy"
    assert shown_secrets(caught.value) == []
    assert client.state is ConnectionState.CLOSED
    assert client_threads() == []
    assert server.accepted == 0


def test_without_the_extra(
    hostile: MakeHostile, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "onetrade_ws.connection.proxy", raising=False)
    monkeypatch.setitem(sys.modules, "python_socks", None)
    server: HostileServer = hostile()
    client = make_client(server, proxy=f"http://{CREDENTIALS}127.0.0.1:1")
    with pytest.raises(ConfigurationError) as caught:
        client.connect()
    assert str(caught.value) == (
        "proxy='http://127.0.0.1:1' is not allowed: it needs python-socks, this library's extra \"proxy\": "
        "pip install python-socks"
    )
    assert shown_secrets(caught.value) == []
    assert client_threads() == []
    assert server.accepted == 0
    # Who needs none does without.
    make_client(server, proxy="direct").connect()


def test_nothing_of_it_is_loaded_for_nothing() -> None:
    # python-socks itself may be loaded: websocket-client does that where it is installed.
    finished = run_python(
        "import sys\n"
        "from onetrade_ws import OneTradeClient\n"
        "from onetrade_ws.simulator import Simulator\n"
        "with Simulator(live=False) as server:\n"
        "    with OneTradeClient(server.ws_url, session_id=server.session_id,\n"
        "                        access_token=server.access_token, proxy='direct'):\n"
        "        pass\n"
        "assert 'onetrade_ws.connection.proxy' not in sys.modules\n"
    )
    assert finished.returncode == 0, finished.stderr


# -- those that refuse ---------------------------------------------------------------------------------------------


def refuse_http(status: int) -> Script:
    def script(visitor: Visitor) -> None:
        head = visitor.read_until(b"\r\n\r\n")
        # As talkative proxies do, and with the credentials in every place.
        visitor.send(
            b"HTTP/1.1 %d No %s %s\r\nContent-Length: 6\r\n\r\n"
            % (status, head.replace(b"\r\n", b" "), PASSWORD.encode())
        )
        visitor.send(b"Sorry.")

    return script


def refuse_socks5(code: int) -> Script:
    def script(visitor: Visitor) -> None:
        proxies.read_socks5(visitor, proxies.greet_socks5(visitor))
        visitor.send(bytes([5, code]) + b"\0\1\0\0\0\0\0\0")

    return script


def refuse_to_greet(visitor: Visitor) -> None:
    visitor.read(visitor.read(2)[1])
    visitor.send(b"\5\xff")


def refuse_password(visitor: Visitor) -> None:
    visitor.read(visitor.read(2)[1])
    visitor.send(b"\5\2")
    visitor.read(1)
    for _ in range(2):
        visitor.read(visitor.read(1)[0])
    visitor.send(b"\1\1")


def refuse_socks4(code: int) -> Script:
    def script(visitor: Visitor) -> None:
        proxies.read_socks4(visitor)
        visitor.send(bytes([0, code]) + b"\0" * 6)

    return script


REFUSALS: Dict[str, Any] = {
    "http 400": ("http", refuse_http(400), "HTTP 400"),
    "http 403": ("http", refuse_http(403), "HTTP 403"),
    "http 407": ("http", refuse_http(407), "HTTP 407.*password"),
    "http 502": ("http", refuse_http(502), "HTTP 502"),
    "http 302": ("http", refuse_http(302), "HTTP 302"),
    "socks5 1": ("socks5", refuse_socks5(1), "General"),
    "socks5 2": ("socks5", refuse_socks5(2), "not allowed"),
    "socks5 3": ("socks5", refuse_socks5(3), "unreachable"),
    "socks5 4": ("socks5", refuse_socks5(4), "unreachable"),
    "socks5 5": ("socks5", refuse_socks5(5), "refused"),
    "socks5 6": ("socks5", refuse_socks5(6), "TTL"),
    "socks5 7": ("socks5", refuse_socks5(7), "not supported"),
    "socks5 8": ("socks5", refuse_socks5(8), "not supported"),
    "socks5 99": ("socks5", refuse_socks5(99), "reply code"),
    "socks5 without a method": ("socks5", refuse_to_greet, "authentication methods"),
    "socks5 wrong password": ("socks5", refuse_password, "(?i)authentication"),
    "socks4 91": ("socks4", refuse_socks4(91), "rejected"),
    "socks4 92": ("socks4", refuse_socks4(92), "identd"),
    "socks4 93": ("socks4", refuse_socks4(93), "identd"),
    "socks4 0": ("socks4", refuse_socks4(0), "reply code"),
}


def credentials_for(scheme: str) -> str:
    return "me@" if scheme == "socks4" else CREDENTIALS


@pytest.mark.parametrize("step", ["validation", "WebSocket"])
@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_is_a_network_error_of_the_proxy(
    hostile: MakeHostile, make_proxy: MakeProxy, make_client: MakeClient, refusal: str, step: str
) -> None:
    scheme, script, words = REFUSALS[refusal]
    server: HostileServer = hostile()
    proxy = make_proxy(*([script] if step == "validation" else [RELAYS[scheme], script]))
    url = f"{scheme}://{credentials_for(scheme)}{proxy.address}"
    error = failure(make_client(server, proxy=url, reconnect=None), words)
    assert (error.step, error.host) == ("proxy", proxy.address)
    assert str(error) == f"proxy with {proxy.address} failed: {error.reason}"
    assert len(error.reason) < 200
    assert server.accepted == (0 if step == "validation" else 1)


def failure(client: Any, words: str) -> NetworkError:
    """Why it cannot connect; without a word of the credentials anywhere."""
    with pytest.raises(NetworkError, match=words) as caught:
        client.connect()
    assert client_threads() == []
    assert shown_secrets(caught.value) == []
    return caught.value


def shown_secrets(error: BaseException) -> List[str]:
    """Where the credentials show in an error: in its texts, or in the locals of the library's frames."""
    found = []
    todo: List[Optional[BaseException]] = [error]
    seen: List[BaseException] = []
    while todo:
        current = todo.pop()
        if current is None or current in seen:
            continue
        seen.append(current)
        todo += [current.__cause__, current.__context__]
        places = [("texts", f"{current} {current!r} {current.args}")]
        for frame, _ in traceback.walk_tb(current.__traceback__):
            if "/tests/" not in frame.f_code.co_filename:
                places += [
                    (f"{frame.f_code.co_filename}: {name}", repr(value))
                    for name, value in frame.f_locals.items()
                ]
        found += [place for place, text in places if "canary" in text or "Y2FuYXJ5" in text]
    return found


def test_a_password_that_is_wanted_and_not_there(
    hostile: MakeHostile, make_proxy: MakeProxy, make_client: MakeClient
) -> None:
    def script(visitor: Visitor) -> None:
        assert visitor.read(visitor.read(2)[1]) == b"\0"
        visitor.send(b"\5\2")
        visitor.read_until_gone()

    proxy = make_proxy(script)
    error = failure(
        make_client(hostile(), proxy=f"socks5://{proxy.address}", reconnect=None), "authentication"
    )
    assert error.step == "proxy"


def test_no_log_shows_the_credentials(
    hostile: MakeHostile, make_proxy: MakeProxy, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    proxy = make_proxy(refuse_http(407), proxies.http)
    client = make_client(hostile(answering), proxy=f"http://{CREDENTIALS}{proxy.address}")
    converse(client)
    assert "HTTP 407" in caplog.text
    assert "canary" not in caplog.text
    assert "canary" not in repr(client)


# -- those that mean no good ----------------------------------------------------------------------------------------

HOSTILE: Dict[str, Any] = {
    "closes": ("http", proxies.asked_nothing, "clos|[Rr]eset"),
    "closes socks5": ("socks5", proxies.asked_nothing, "clos|[Rr]eset"),
    "resets": ("http", proxies.reset, "[Rr]eset|closed"),
    "resets socks5": ("socks5", proxies.reset, "[Rr]eset|closed"),
    "resets socks4": ("socks4", proxies.reset, "[Rr]eset|closed"),
    "garbage": ("http", proxies.say(b"\xff\x00\r\n\r\n"), "not HTTP"),
    "garbage with a code": ("http", proxies.say(b"HTTP/1.1 canary\r\n\r\n"), "not HTTP"),
    "code out of range": ("http", proxies.say(b"HTTP/1.1 99999 No\r\n\r\n"), "not HTTP"),
    "code with thousands of digits": (
        "http",
        proxies.say(b"HTTP/1.1 " + b"9" * 5000 + b"\r\n\r\n"),
        "not HTTP",
    ),
    "empty head": ("http", proxies.say(b"\r\n\r\n"), "not HTTP"),
    "garbage to socks5": ("socks5", proxies.say(b"HTTP/1.1 400 Bad\r\n\r\n"), "version"),
    "garbage to socks4": ("socks4", proxies.say(b"HTTP/1.1 400 Bad\r\n\r\n"), "version"),
    "socks5 with an unknown kind of address": (
        "socks5",
        proxies.say(b"\5\0\5\0\0\x09" + b"x" * 20),
        "address type",
    ),
    "socks5 with a name that is none": ("socks5", proxies.say(b"\5\0\5\0\0\x03\x02\xff\xfe\0\0"), "breaks"),
    "endless header": ("http", proxies.repeat(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 10_000), "no end"),
    "endless headers": ("http", proxies.repeat(b"HTTP/1.1 200 OK\r\n", b"X: x\r\n" * 100), "no end"),
    "endless status": ("http", proxies.repeat(b"", b"x" * 10_000), "no end"),
}


@pytest.mark.parametrize("step", ["validation", "WebSocket"])
@pytest.mark.parametrize("evil", HOSTILE)
def test_a_hostile_proxy_gets_a_typed_error(
    hostile: MakeHostile, make_proxy: MakeProxy, make_client: MakeClient, evil: str, step: str
) -> None:
    scheme, script, words = HOSTILE[evil]
    server: HostileServer = hostile()
    proxy = make_proxy(*([script] if step == "validation" else [RELAYS[scheme], script]))
    error = failure(make_client(server, proxy=f"{scheme}://{proxy.address}", reconnect=None), words)
    assert (error.step, error.host) == ("proxy", proxy.address)
    assert server.accepted == (0 if step == "validation" else 1)


SLOW: Dict[str, Any] = {
    "hangs": ("http", proxies.hang),
    "hangs socks5": ("socks5", proxies.hang),
    "hangs socks4": ("socks4", proxies.hang),
    "hangs after the greeting": ("socks5", proxies.say(b"\5\2")),
    "drips": ("http", proxies.drip(b"HTTP/1.1 200 OK\r\nX: ")),
    "drips socks5": ("socks5", proxies.drip(b"\5\2\1\0\5\0\0\3\xff")),
    "drips socks4": ("socks4", proxies.drip(b"")),
    "hangs once there is a tunnel": ("http", proxies.say(b"HTTP/1.1 200 OK\r\n\r\n")),
}


@pytest.mark.parametrize("step", ["validation", "WebSocket"])
@pytest.mark.parametrize("evil", SLOW)
def test_a_slow_proxy_is_given_up_in_time(
    hostile: MakeHostile, make_proxy: MakeProxy, make_client: MakeClient, evil: str, step: str
) -> None:
    scheme, script = SLOW[evil]
    if evil == "drips socks4":
        # Eight bytes are all that it may say.
        script = proxies.drip(b"\0")
    proxy = make_proxy(*([script] if step == "validation" else [RELAYS[scheme], script]))
    client = make_client(hostile(), proxy=f"{scheme}://{credentials_for(scheme)}{proxy.address}")
    with pytest.raises(ConnectTimeoutError) as caught:
        # Enough for the validation, where the WebSocket comes after it.
        client.connect(timeout=1.0 if step == "WebSocket" else 0.5)
    assert client_threads() == []
    assert shown_secrets(caught.value) == []
    assert isinstance(caught.value.last_error, NetworkError)


@pytest.mark.parametrize("step", ["validation", "WebSocket"])
@pytest.mark.parametrize("scheme", ["http", "socks5", "socks4"])
def test_a_disconnect_does_not_wait_for_the_proxy(
    hostile: MakeHostile, make_proxy: MakeProxy, make_client: MakeClient, scheme: str, step: str
) -> None:
    proxy = make_proxy(*([proxies.hang] if step == "validation" else [RELAYS[scheme], proxies.hang]))
    client = make_client(hostile(), proxy=f"{scheme}://{credentials_for(scheme)}{proxy.address}")
    connecting = Background(client.connect)
    number = 1 if step == "validation" else 2
    proxy.wait_for(lambda proxy: proxy.accepted == number)
    client.disconnect(timeout=TIMEOUT)
    assert client.state is ConnectionState.CLOSED
    assert client_threads() == []
    connecting.error()


def test_a_proxy_that_is_not_there(hostile: MakeHostile, make_client: MakeClient) -> None:
    sock, port = free_port()
    with sock:
        client = make_client(hostile(), proxy=f"http://{CREDENTIALS}127.0.0.1:{port}", reconnect=None)
        error = failure(client, "refused")
    assert (error.step, error.host) == ("proxy", f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("host", "words"), [("no-such-host.invalid", "[Nn]ame|resol"), ("x" * 64 + ".example", "not a host name")]
)
def test_a_proxy_whose_name_nobody_knows(
    hostile: MakeHostile, make_client: MakeClient, host: str, words: str
) -> None:
    client = make_client(hostile(), proxy=f"http://{CREDENTIALS}{host}:3128", reconnect=None)
    error = failure(client, words)
    assert (error.step, error.host) == ("proxy", f"{host}:3128")


@pytest.mark.parametrize("scheme", ["socks5", "socks4a"])
def test_a_server_name_that_the_proxy_cannot_be_told(
    hostile: MakeHostile, make_proxy: MakeProxy, make_client: MakeClient, scheme: str
) -> None:
    proxy = make_proxy(proxies.say(b"\5\0"))
    url = "wss://" + "x" * 64 + ".example"
    client = make_client(hostile(), url=url, proxy=f"{scheme}://{proxy.address}", reconnect=None)
    error = failure(client, "breaks the proxy protocol")
    assert (error.step, error.host) == ("proxy", proxy.address)


@pytest.mark.parametrize("ending", ["in time", "aborted"])
@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_no_frame_of_python_socks_comes_along(make_proxy: MakeProxy, scheme: str, ending: str) -> None:
    """Their locals hold the password. Seen from near: further up every error loses its traceback anyway."""

    def script(visitor: Visitor) -> None:
        if scheme == "socks5":
            visitor.read(visitor.read(2)[1])
            visitor.send(b"\5\2")
        visitor.read_until_gone()

    proxy = make_proxy(script)
    described = read_proxy(f"{scheme}://{CREDENTIALS}{proxy.address}")
    assert isinstance(described, Proxy)
    stream = Stream("server.example:443", 1.0, Tunnel(described))
    secret = PASSWORD if scheme == "socks5" else "Proxy-Authorization"
    with closing(stream):
        timeout = 0.3 if ending == "in time" else TIMEOUT
        connecting = Background(lambda: stream.connect("server.example", 443, Deadline(timeout)))
        proxy.wait_for(lambda proxy: secret.encode() in proxy.received)
        if ending == "aborted":
            stream.abort(ConnectionLostError("aborted"))
        error = connecting.error()
    assert ending in str(error)
    assert shown_secrets(error) == []


# -- TLS through it -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["validation", "WebSocket"])
@pytest.mark.parametrize("fault", ["another name", "expired", "unknown authority"])
@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_the_servers_certificate_is_checked_through_the_tunnel(
    hostile: MakeHostile,
    make_proxy: MakeProxy,
    make_client: MakeClient,
    authority: trustme.CA,
    tls: ssl.SSLContext,
    trusting: ssl.SSLContext,
    scheme: str,
    fault: str,
    step: str,
) -> None:
    certificate = {
        # Good for the proxy's address, and for what it connects with; not for what was asked for.
        "another name": lambda: authority.issue_cert("127.0.0.1", "localhost"),
        "expired": lambda: authority.issue_cert(
            NAME, not_after=dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)
        ),
        "unknown authority": lambda: trustme.CA().issue_cert(NAME),
    }[fault]()
    bad: HostileServer = hostile(tls=certificates.serving(certificate))
    good: HostileServer = hostile(tls=tls)
    proxy = make_proxy(RELAYS[scheme], hosts={NAME: "127.0.0.1"})
    http_server = bad if step == "validation" else good
    client = make_client(
        bad,
        url=under_its_name(bad),
        http_url=under_its_name(http_server).replace("wss", "https"),
        proxy=f"{scheme}://{proxy.address}",
        ssl_context=trusting,
    )
    with pytest.raises(CertificateError) as caught:
        client.connect()
    assert caught.value.host == f"{NAME}:{port_of(bad)}"
    assert bad.requests == []
    assert urlsplit(under_its_name(bad)).hostname == proxy.asked[-1].host


def test_a_proxy_that_pretends_to_be_the_server_learns_nothing(
    hostile: MakeHostile,
    make_proxy: MakeProxy,
    make_client: MakeClient,
    tls: ssl.SSLContext,
    trusting: ssl.SSLContext,
) -> None:
    def pretend(visitor: Visitor) -> None:
        visitor.read_until(b"\r\n\r\n")
        visitor.send(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        visitor.read_until_gone()

    proxy = make_proxy(pretend)
    server: HostileServer = hostile(tls=tls)
    client = make_client(server, proxy=f"http://{proxy.address}", ssl_context=trusting, reconnect=None)
    with pytest.raises(NetworkError) as caught:
        client.connect()
    assert caught.value.host == server.address
    assert server.session_id.encode() not in proxy.received
