"""Settings: checked when they are given, each complaint with name, value and what is allowed, and never a secret."""

from __future__ import annotations

import inspect
import math
import ssl
import threading
import traceback
from decimal import Decimal
from fractions import Fraction
from typing import Any, Callable, Dict, List, Optional, Tuple, Type

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onetrade_ws import (
    PRICE_COLUMNS,
    ConfigurationError,
    ConnectionLostError,
    ConnectionState,
    NetworkError,
    OneTradeClient,
    OneTradeError,
    RateLimitedError,
    ReconnectPolicy,
    ServerError,
)
from onetrade_ws.config import Proxy, Settings, host_and_port, make_settings, read_proxy
from onetrade_ws.protocol.codec import Codec
from onetrade_ws.protocol.frames import Batch, Opcode

CANARY = "canary-7c1f"
CREDENTIALS: Dict[str, Any] = {"session_id": "s-1", "access_token": "t-1"}
NAN, INFINITY = float("nan"), float("inf")


def settings(url: str = "wss://host.example", **given_settings: Any) -> Settings:
    return make_settings(url, **{**CREDENTIALS, **given_settings})


def refused(url: Any = "wss://host.example", **given_settings: Any) -> ConfigurationError:
    """The complaint of a client that is made with these."""
    with pytest.raises(ConfigurationError) as caught:
        OneTradeClient(url, **{**CREDENTIALS, **given_settings})
    assert isinstance(caught.value, ValueError)
    return caught.value


def all_that_shows(error: BaseException) -> str:
    """Its texts, and the traceback with what caused it."""
    shown = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return f"{error} {error!r} {error.args} {shown}"


# -- the defaults ---------------------------------------------------------------------------------------------------


def test_the_defaults_are_the_documented_ones() -> None:
    made = settings()
    assert (made.url, made.http_url) == ("wss://host.example", "https://host.example")
    assert (made.heartbeat_interval, made.heartbeat_timeout, made.connect_timeout) == (30.0, 10.0, 10.0)
    assert made.reconnect == ReconnectPolicy(initial_delay=1.0, max_delay=60.0, max_attempts=None)
    assert (made.dispatch, made.account_updates, made.snapshot) == ("thread", True, True)
    assert made.allow_plaintext is False
    assert made.price_columns == ("symbol_id", "bid", "ask", "last", "volume", "high", "low")
    assert made.ssl_context is None
    assert made.api_key is None


def test_the_client_takes_what_settings_hold_with_the_same_defaults() -> None:
    signature = inspect.signature(OneTradeClient.__init__)
    parameters = {name: each for name, each in signature.parameters.items() if name != "self"}
    fields = {field.name: field for field in attrs.fields(Settings)}
    assert set(parameters) == set(fields)
    assert parameters.pop("url").kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert {each.kind for each in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    # It follows from url, which Settings leaves to make_settings().
    assert parameters.pop("http_url").default is None
    for name, parameter in parameters.items():
        default: Any = fields[name].default
        if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
            default = default.factory()
        assert parameter.default == default, name


def test_the_client_documents_each_setting() -> None:
    described = inspect.getdoc(OneTradeClient) or ""
    for field in attrs.fields(Settings):
        assert f":param {field.name}:" in described


def test_the_clients_parameters_reach_its_settings() -> None:
    context = ssl.create_default_context()
    values: Dict[str, Any] = {
        "http_url": "https://other.example",
        "account_updates": False,
        "snapshot": False,
        "dispatch": "manual",
        "heartbeat_interval": 1.5,
        "heartbeat_timeout": 2.5,
        "connect_timeout": 3.5,
        "reconnect": None,
        "stale_after": 4.5,
        "max_message_size": 125,
        "strict_utf8": True,
        "queue_limit": 4,
        "outgoing_limit": 5,
        "events_limit": 6,
        "history_limit": 7,
        "price_columns": ["ask", "bid", "symbol_id"],
        "ssl_context": context,
        "proxy": "socks5://us%20er:p%40ss@proxy.example:1080",
        "allow_plaintext": True,
        **CREDENTIALS,
    }
    assert set(values) | {"url", "api_key"} == {field.name for field in attrs.fields(Settings)}
    made = make_settings("wss://host.example", **values)
    for name, value in values.items():
        converters: Dict[str, Any] = {"price_columns": tuple, "proxy": read_proxy}
        expected = converters[name](value) if name in converters else value
        assert getattr(made, name) == expected, name
    assert make_settings("wss://host.example", api_key="k-1").api_key == "k-1"
    assert OneTradeClient("wss://host.example", **values).state is ConnectionState.CLOSED


def test_settings_are_frozen() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        settings().dispatch = "manual"  # type: ignore[misc]


def test_a_setting_that_does_not_exist_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        OneTradeClient("wss://host.example", **{**CREDENTIALS, "heart_beat": 1})


# -- wrong values ---------------------------------------------------------------------------------------------------

NOT_NUMBERS: List[Any] = ["30", b"30", None, True, False, [30], {}, object(), 1j, Decimal(30), Fraction(30)]
SECONDS = ["heartbeat_interval", "heartbeat_timeout", "connect_timeout"]
LIMITS = ["queue_limit", "outgoing_limit", "events_limit", "history_limit"]

WRONG: Dict[str, Tuple[List[Any], str]] = {
    **{
        name: (
            [*NOT_NUMBERS, 0, 0.0, -0.0, -1, NAN, INFINITY, -INFINITY, 1_000_001, 10**400],
            "a number above 0",
        )
        for name in SECONDS
    },
    **{
        name: ([*NOT_NUMBERS, 0, -1, 1.0, 1000.5, INFINITY, NAN], "a whole number of at least 1")
        for name in LIMITS
    },
    "stale_after": (
        [*(value for value in NOT_NUMBERS if value is not None), 0, 0.0, -1, NAN, INFINITY, 1_000_001],
        "a number above 0 to 1e+06, or None",
    ),
    "max_message_size": ([*NOT_NUMBERS, 0, -1, 124, 1000.5, INFINITY, NAN], "a whole number of at least 125"),
    "strict_utf8": ([0, 1, None, "yes", "false", [], object()], "True or False"),
    "account_updates": ([0, 1, None, "yes", "false", [], object()], "True or False"),
    "snapshot": ([0, 1, None, "yes", "false", [], object()], "True or False"),
    "allow_plaintext": ([0, 1, None, "yes", "false", [], object()], "True or False"),
    "dispatch": (["threads", "Thread", "", None, True, 1, b"thread", ["thread"], {}], '"thread" or "manual"'),
    "reconnect": (
        [True, False, 0, 5, "never", {}, {"max_attempts": 1}, ReconnectPolicy],
        "a ReconnectPolicy, or None for never",
    ),
    "ssl_context": ([True, False, "ca.pem", ssl, ssl.SSLContext], "an ssl.SSLContext, or None"),
    "price_columns": (
        [
            None,
            5,
            True,
            (),
            [],
            "symbol_id,bid,ask",
            "symbol_id",
            b"symbol_id",
            ["symbol_id", "bid"],
            ["symbol_id", "ask"],
            ["bid", "ask"],
            ["symbol_id", "bid", "ask", "bid"],
            ["symbol_id", "bid", "ask", "x", "x"],
            ["symbol_id", "bid", "ask", ""],
            ["symbol_id", "bid", "ask", None],
            ["symbol_id", "bid", "ask", 7],
            ["symbol_id", "bid", "ask", ["last"]],
            # These have no order, or give it once.
            {"symbol_id", "bid", "ask"},
            frozenset(PRICE_COLUMNS),
            {"symbol_id": 0, "bid": 1, "ask": 2},
            iter(PRICE_COLUMNS),
        ],
        "different names, among them symbol_id, bid and ask",
    ),
}

WRONG_CASES = [
    pytest.param(name, value, allowed, id=f"{name}-{number}")
    for name, (values, allowed) in WRONG.items()
    for number, value in enumerate(values)
]


@pytest.mark.parametrize(("name", "value", "allowed"), WRONG_CASES)
def test_a_wrong_value_is_refused_with_its_name_and_what_is_allowed(
    name: str, value: Any, allowed: str
) -> None:
    error = refused(**{name: value})
    assert error.setting == name
    assert error.value is value or error.value == (tuple(value) if isinstance(value, list) else value)
    assert allowed in error.allowed
    assert str(error) == f"{name}={error.value!r} is not allowed: {error.allowed}"


def test_every_setting_but_the_addresses_and_secrets_has_wrong_values() -> None:
    others = {"url", "http_url", "session_id", "access_token", "api_key", "proxy"}
    assert set(WRONG) | others == {field.name for field in attrs.fields(Settings)}


NUMBERS = st.integers() | st.floats() | st.booleans() | st.none() | st.just(10**400) | st.text(max_size=3)


@pytest.mark.parametrize("name", [*SECONDS, *LIMITS])
@given(value=NUMBERS)
def test_any_value_is_taken_as_it_is_or_refused(name: str, value: Any) -> None:
    complaint = None
    try:
        made = settings(**{name: value})
    except ConfigurationError as error:
        complaint = error
    if complaint is None:
        assert getattr(made, name) == value
        assert value > 0
    else:
        assert complaint.setting == name


@pytest.mark.parametrize("name", SECONDS)
def test_more_seconds_than_a_lock_can_wait_are_refused(name: str) -> None:
    assert refused(**{name: threading.TIMEOUT_MAX * 2}).setting == name
    assert refused(**{name: 1e300}).setting == name


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("value", [1, 0.001, 86400, 1e6])
def test_any_reasonable_number_of_seconds_is_taken(name: str, value: Any) -> None:
    assert getattr(settings(**{name: value}), name) == value


def test_the_columns_may_be_a_list_or_a_tuple() -> None:
    for columns in (["ask", "x", "bid", "symbol_id"], ("ask", "x", "bid", "symbol_id")):
        assert settings(price_columns=columns).price_columns == ("ask", "x", "bid", "symbol_id")


def test_no_name_of_a_column_costs_a_column() -> None:
    """Columns without a name are kept under their position, which a name must not take."""
    columns = ("symbol_id", "bid", "ask", "4")
    try:
        settings(price_columns=columns)
    except ConfigurationError:
        return
    (event,) = Codec(columns).decode(Batch(Opcode.BINARY, [b"1,2,3,x,y"], 0.0))
    assert sorted(event.data.extra.values()) == ["x", "y"]


# -- credentials ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_settings", "setting"),
    [
        ({}, "session_id"),
        ({"session_id": "s-1"}, "access_token"),
        ({"access_token": "t-1"}, "session_id"),
        ({"api_key": "k-1", "session_id": "s-1"}, "api_key"),
        ({"api_key": "k-1", "access_token": "t-1"}, "api_key"),
        ({"api_key": "k-1", "session_id": "s-1", "access_token": "t-1"}, "api_key"),
    ],
)
def test_either_session_and_token_or_key(given_settings: Dict[str, str], setting: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        OneTradeClient("wss://host.example", **given_settings)  # type: ignore[arg-type]
    assert caught.value.setting == setting


SECRETS = ["session_id", "access_token", "api_key"]


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        f" {CANARY}",
        f"{CANARY}\n",
        f"{CANARY}\r\nX-Header: 1",
        f"a\t{CANARY}",
        f"{CANARY}\0",
        f"{CANARY}\x7f",
        f"{CANARY}\ud800",
        CANARY.encode(),
        [CANARY],
        {CANARY: CANARY},
        7,
        True,
    ],
)
def test_a_wrong_secret_is_refused_without_being_shown(name: str, value: Any) -> None:
    given_settings = {**CREDENTIALS, name: value} if name != "api_key" else {name: value}
    with pytest.raises(ConfigurationError) as caught:
        OneTradeClient("wss://host.example", **given_settings)
    assert caught.value.setting == name
    assert CANARY not in all_that_shows(caught.value)


@pytest.mark.parametrize("value", ["s", "a b", "ключ", "a/b?c=d&e#f%20", "x" * 5000])
def test_a_session_id_may_be_any_printable_text(value: str) -> None:
    assert settings(session_id=value).session_id == value


@pytest.mark.parametrize("value", [f"€{CANARY}", f"ключ {CANARY}"])
def test_a_key_travels_in_a_header_and_holds_only_what_fits_there(value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        OneTradeClient("wss://host.example", api_key=value)
    assert caught.value.setting == "api_key"
    assert CANARY not in f"{caught.value} {caught.value!r}"


PROXIES_WRONG: List[Any] = [
    True,
    0,
    CANARY.encode(),
    [f"http://user:{CANARY}@proxy.example"],
    "",
    "Direct",
    "proxy.example:3128",
    f"user:{CANARY}@proxy.example:3128",
    f"https://user:{CANARY}@proxy.example:3128",
    f"socks://user:{CANARY}@proxy.example",
    f"http:/user:{CANARY}@proxy.example",
    f"http://user:{CANARY}@",
    f"http://user:{CANARY}@proxy.example:0",
    f"http://user:{CANARY}@proxy.example:70000",
    f"http://user:{CANARY}@proxy.example:{CANARY}",
    f"http://user:{CANARY}@[::1",
    f"http://user:{CANARY}@proxy.example/path",
    f"http://user:{CANARY}@proxy.example?query",
    f"http://user:{CANARY}@proxy.example#fragment",
    f"http://user:{CANARY}#@proxy.example",
    f"http://user:{CANARY}@proxy .example",
    f"http://user:{CANARY}%0d%0aX:y@proxy.example",
    f"http://user:{CANARY}\n@proxy.example",
    f"http://{CANARY}@proxy.example",
    f"http://:{CANARY}@proxy.example",
    f"http://{CANARY}:@proxy.example",
    f"http://user%3A:{CANARY}@proxy.example",
    f"http://user:{CANARY}%E2%82%AC@proxy.example",
    f"socks5://user:{CANARY}%C3%A9@proxy.example",
    f"socks5://user:{CANARY}{'x' * 256}@proxy.example",
    f"socks5://{CANARY}{'x' * 256}:p@proxy.example",
    f"socks4://user:{CANARY}@proxy.example",
    f"socks4a://{CANARY}%C3%A9@proxy.example",
    f"socks4://{CANARY}%00@proxy.example",
]


@pytest.mark.parametrize("value", PROXIES_WRONG)
def test_a_wrong_proxy_is_refused_without_being_shown(value: Any) -> None:
    error = refused(proxy=value)
    assert error.setting == "proxy"
    assert "http://[user:password@]host:port" in error.allowed
    assert CANARY not in f"{error} {error!r} {error.args}"
    assert error.__cause__ is error.__context__ is None


@pytest.mark.parametrize(
    ("value", "proxy"),
    [
        ("http://proxy.example", Proxy("http", "proxy.example", 80)),
        ("http://proxy.example:3128/", Proxy("http", "proxy.example", 3128)),
        ("HTTP://Proxy.Example:3128", Proxy("http", "proxy.example", 3128)),
        ("http://[::1]:3128", Proxy("http", "::1", 3128)),
        ("http://u%20ser:p%3A%40%2F%C3%A9@h:1", Proxy("http", "h", 1, "u ser", "p:@/é")),
        ("socks5://u:p@h", Proxy("socks5", "h", 1080, "u", "p")),
        ("socks5h://h:9", Proxy("socks5h", "h", 9)),
        ("socks4://u@h", Proxy("socks4", "h", 1080, "u")),
        ("socks4a://h", Proxy("socks4a", "h", 1080)),
    ],
)
def test_a_proxy_is_read(value: str, proxy: Proxy) -> None:
    assert settings(proxy=value).proxy == read_proxy(value) == proxy


def test_no_repr_shows_the_credentials_for_a_proxy() -> None:
    value = f"http://{CANARY}:{CANARY}@proxy.example:3128"
    client = OneTradeClient("wss://host.example", proxy=value, **CREDENTIALS)
    assert CANARY not in f"{settings(proxy=value)!r} {client!r} {read_proxy(value)!r}"
    assert "proxy.example" in repr(read_proxy(value))


@pytest.mark.parametrize(
    "wrong", [{}, {"proxy": f"http://{CANARY}@h"}, {"dispatch": "x"}, {"http_url": "x"}, {"url": "x"}]
)
def test_no_traceback_shows_the_credentials_for_a_proxy(wrong: Dict[str, Any]) -> None:
    given_settings = {"url": "wss://h", "proxy": f"http://user:{CANARY}@h", **wrong}
    with pytest.raises(ConfigurationError) as caught:
        OneTradeClient(**given_settings)
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)][1:]
    assert frames
    assert CANARY not in repr([frame.f_locals for frame in frames])


def test_no_proxy_is_a_setting_too() -> None:
    assert settings().proxy is None
    assert settings(proxy="direct").proxy == "direct"


def test_no_repr_shows_a_secret() -> None:
    with_session = make_settings("wss://host.example", session_id=CANARY, access_token=CANARY)
    with_key = make_settings("wss://host.example", api_key=CANARY)
    client = OneTradeClient("wss://host.example", api_key=CANARY)
    assert CANARY not in f"{with_session!r} {with_key!r} {client!r} {client}"
    assert "host.example:443" in repr(client)
    assert "CLOSED" in repr(client)


def test_no_complaint_about_something_else_shows_a_secret() -> None:
    for name, (values, _) in WRONG.items():
        with pytest.raises(ConfigurationError) as caught:
            OneTradeClient(
                "wss://host.example",
                session_id=CANARY,
                access_token=CANARY,
                **{name: values[0]},
            )
        assert CANARY not in f"{caught.value} {caught.value!r}"
    with pytest.raises(ConfigurationError) as caught:
        OneTradeClient("wss://host.example", api_key=CANARY, session_id=CANARY)
    assert CANARY not in f"{caught.value} {caught.value!r}"


# -- addresses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "ws", "http"),
    [
        ("wss://host.example", "wss://host.example", "https://host.example"),
        ("wss://host.example/", "wss://host.example", "https://host.example"),
        ("wss://host.example:8443", "wss://host.example:8443", "https://host.example:8443"),
        ("wss://host.example:8443/", "wss://host.example:8443", "https://host.example:8443"),
        ("wss://host.example/a/b", "wss://host.example/a/b", "https://host.example/a/b"),
        ("wss://host.example/a/b//", "wss://host.example/a/b", "https://host.example/a/b"),
        ("WSS://host.example", "wss://host.example", "https://host.example"),
        ("wss://192.0.2.7:1", "wss://192.0.2.7:1", "https://192.0.2.7:1"),
        ("wss://[2001:db8::1]", "wss://[2001:db8::1]", "https://[2001:db8::1]"),
        ("wss://[2001:db8::1]:8443/x/", "wss://[2001:db8::1]:8443/x", "https://[2001:db8::1]:8443/x"),
        ("ws://localhost:8080", "ws://localhost:8080", "http://localhost:8080"),
    ],
)
def test_an_address_is_completed(url: str, ws: str, http: str) -> None:
    made = settings(url)
    assert (made.url, made.http_url) == (ws, http)


@pytest.mark.parametrize(
    ("http_url", "expected"),
    [
        ("https://api.example/", "https://api.example"),
        ("https://api.example:8443/base/", "https://api.example:8443/base"),
        ("http://localhost:8080", "http://localhost:8080"),
        (None, "https://host.example"),
    ],
)
def test_the_http_calls_may_have_another_address(http_url: Any, expected: str) -> None:
    assert settings(http_url=http_url).http_url == expected


NO_ADDRESSES: List[Any] = [
    "",
    " ",
    "host.example",
    "host.example:443",
    "//host.example",
    "/ws/v1",
    "wss:",
    "wss:host.example",
    "wss:/host.example",
    "wss://",
    "wss:///path",
    "wss://:443",
    "ftp://host.example",
    "wss ://host.example",
    "wss://host.example:0",
    "wss://host.example:65536",
    "wss://host.example:-1",
    "wss://host.example:port",
    "wss://[::1",
    "wss://host example",
    " wss://host.example",
    "wss://host.example ",
    "wss://host.example\n",
    "wss://host\t.example",
    "wss://host.example/a b",
    "wss://host.example/\x00",
    None,
    5,
    ["wss://host.example"],
    object(),
]


@pytest.mark.parametrize("url", [*NO_ADDRESSES, "https://host.example", "http://localhost"])
def test_what_is_no_websocket_address_is_refused(url: Any) -> None:
    error = refused(url)
    assert error.setting == "url"
    assert "wss://host" in error.allowed


@pytest.mark.parametrize(
    "url", [str(url).replace("wss", "https") for url in NO_ADDRESSES if isinstance(url, str)] + ["wss://h", 5]
)
def test_what_is_no_http_address_is_refused(url: Any) -> None:
    error = refused(http_url=url)
    assert error.setting == "http_url"
    assert "https://host" in error.allowed


WITH_CREDENTIALS: List[Any] = [
    f"wss://{CANARY}@host.example",
    f"wss://user:{CANARY}@host.example",
    f"wss://:{CANARY}@host.example",
    f"wss://user:{CANARY}@[::1]:99999",
    f"wss://user:{CANARY}",
    f"wss://host.example/ws/v1?session_id=1&access_token={CANARY}",
    f"wss://host.example?{CANARY}",
    f"wss://host.example#{CANARY}",
    f"wss://host.example/#access_token={CANARY}",
    f"wss://[{CANARY}/?access_token={CANARY}",
    f"user:{CANARY}@host.example",
    f"https://user:{CANARY}@host.example",
    f"wss://host.example:443/{CANARY}?a ",
    f"wss://user:{CANARY}@host.example".encode(),
    [f"wss://host.example?access_token={CANARY}"],
]


@pytest.mark.parametrize("url", WITH_CREDENTIALS)
@pytest.mark.parametrize("setting", ["url", "http_url"])
def test_an_address_with_credentials_is_refused_without_showing_them(setting: str, url: Any) -> None:
    if setting == "http_url" and isinstance(url, str):
        url = url.replace("wss:", "https:")
    with pytest.raises(ConfigurationError) as caught:
        OneTradeClient(**{"url": "wss://host.example", **CREDENTIALS, setting: url})
    assert caught.value.setting == setting
    assert CANARY not in all_that_shows(caught.value)


@pytest.mark.parametrize("url", ["wss://host.example?", "wss://host.example#", "wss://@host.example"])
def test_even_an_empty_query_fragment_or_user_is_refused(url: str) -> None:
    assert refused(url).setting == "url"


# -- in the clear only to this machine ------------------------------------------------------------------------------

LOOPBACK = [
    "localhost",
    "LOCALHOST",
    "127.0.0.1",
    "127.0.0.2",
    "127.255.255.254",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
]
ELSEWHERE = [
    "host.example",
    "localhost.host.example",
    "127.0.0.1.host.example",
    "127.1",
    "2130706433",
    "0.0.0.0",  # noqa: S104 - nothing is bound to it
    "192.0.2.7",
    "10.0.0.1",
    "128.0.0.1",
    "[::]",
    "[2001:db8::1]",
]


@pytest.mark.parametrize("host", LOOPBACK)
def test_plaintext_to_this_machine_is_allowed(host: str) -> None:
    made = settings(f"ws://{host}:8080")
    assert made.http_url == f"http://{host}:8080"
    assert settings(http_url=f"http://{host}").url == "wss://host.example"


@pytest.mark.parametrize("host", ELSEWHERE)
def test_plaintext_to_another_machine_must_be_asked_for(host: str) -> None:
    error = refused(f"ws://{host}:8080")
    assert (error.setting, error.value) == ("url", f"ws://{host}:8080")
    assert "allow_plaintext=True" in error.allowed
    assert settings(f"ws://{host}:8080", allow_plaintext=True).http_url == f"http://{host}:8080"


@pytest.mark.parametrize("host", ELSEWHERE)
def test_plaintext_http_to_another_machine_must_be_asked_for(host: str) -> None:
    assert refused(http_url=f"http://{host}").setting == "http_url"
    assert refused("ws://localhost", http_url=f"http://{host}").setting == "http_url"
    assert settings(http_url=f"http://{host}", allow_plaintext=True).http_url == f"http://{host}"


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("wss://host.example", "host.example:443"),
        ("https://host.example/path/canary", "host.example:443"),
        ("ws://localhost", "localhost:80"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("wss://[::1]", "[::1]:443"),
        ("wss://[::1]:8443", "[::1]:8443"),
        ("wss://HOST.example", "host.example:443"),
    ],
)
def test_host_and_port(url: str, host: str) -> None:
    assert host_and_port(url) == host


def test_the_host_of_settings_is_that_of_the_websocket() -> None:
    assert (
        settings("wss://host.example:8443/base", http_url="https://api.example").host == "host.example:8443"
    )


# -- from the environment -------------------------------------------------------------------------------------------


def built(client: OneTradeClient) -> Settings:
    made: Settings = client._settings
    return made


def test_the_environment_gives_address_and_credentials() -> None:
    made = built(
        OneTradeClient.from_env(
            {
                "ONETRADE_WS_URL": "wss://host.example",
                "ONETRADE_HTTP_URL": "https://api.example",
                "ONETRADE_SESSION_ID": "s-1",
                "ONETRADE_ACCESS_TOKEN": "t-1",
                "ONETRADE_OTHER": "ignored",
            }
        )
    )
    assert made == make_settings(
        "wss://host.example", http_url="https://api.example", session_id="s-1", access_token="t-1"
    )
    made = built(
        OneTradeClient.from_env({"ONETRADE_WS_URL": "wss://host.example", "ONETRADE_API_KEY": "k-1"})
    )
    assert made == make_settings("wss://host.example", api_key="k-1")


def test_without_a_mapping_it_is_the_process_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_URL", "SESSION_ID", "ACCESS_TOKEN"):
        monkeypatch.delenv(f"ONETRADE_{name}", raising=False)
    monkeypatch.setenv("ONETRADE_WS_URL", "wss://host.example")
    monkeypatch.setenv("ONETRADE_API_KEY", "k-1")
    assert built(OneTradeClient.from_env()) == make_settings("wss://host.example", api_key="k-1")
    monkeypatch.delenv("ONETRADE_WS_URL")
    with pytest.raises(ConfigurationError):
        OneTradeClient.from_env()


def test_settings_win_over_the_environment() -> None:
    environment = {
        "ONETRADE_WS_URL": "wss://host.example",
        "ONETRADE_HTTP_URL": "https://api.example",
        "ONETRADE_SESSION_ID": "s-1",
        "ONETRADE_ACCESS_TOKEN": "t-1",
    }
    made = built(
        OneTradeClient.from_env(
            environment,
            url="wss://other.example",
            http_url=None,
            session_id="s-2",
            access_token="t-2",
            dispatch="manual",
        )
    )
    assert made == make_settings(
        "wss://other.example", session_id="s-2", access_token="t-2", dispatch="manual"
    )


def test_a_session_that_is_given_wins_over_a_key_in_the_environment() -> None:
    environment = {"ONETRADE_WS_URL": "wss://host.example", "ONETRADE_API_KEY": "k-1"}
    made = built(OneTradeClient.from_env(environment, session_id="s-1", access_token="t-1"))
    assert made == make_settings("wss://host.example", session_id="s-1", access_token="t-1")


def test_a_key_that_is_given_wins_over_a_session_in_the_environment() -> None:
    environment = {
        "ONETRADE_WS_URL": "wss://host.example",
        "ONETRADE_SESSION_ID": "s-1",
        "ONETRADE_ACCESS_TOKEN": "t-1",
    }
    made = built(OneTradeClient.from_env(environment, api_key="k-1"))
    assert made == make_settings("wss://host.example", api_key="k-1")


@pytest.mark.parametrize(
    "given_settings",
    [
        {"session_id": "s-2"},
        {"access_token": "t-2"},
        {"api_key": None},
        {"session_id": "s-2", "api_key": None},
    ],
)
def test_the_environment_completes_what_is_given(given_settings: Dict[str, Any]) -> None:
    environment = {
        "ONETRADE_WS_URL": "wss://host.example",
        "ONETRADE_SESSION_ID": "s-1",
        "ONETRADE_ACCESS_TOKEN": "t-1",
    }
    made = built(OneTradeClient.from_env(environment, **given_settings))
    expected = {"session_id": "s-1", "access_token": "t-1", **given_settings}
    assert made == make_settings("wss://host.example", **expected)


def test_an_empty_variable_is_not_set() -> None:
    environment = {
        "ONETRADE_WS_URL": "wss://host.example",
        "ONETRADE_HTTP_URL": "",
        "ONETRADE_SESSION_ID": "",
        "ONETRADE_ACCESS_TOKEN": "",
        "ONETRADE_API_KEY": "k-1",
    }
    made = built(OneTradeClient.from_env(environment))
    assert made == make_settings("wss://host.example", api_key="k-1")


@pytest.mark.parametrize("environment", [{}, {"ONETRADE_WS_URL": ""}, {"ONETRADE_API_KEY": "k-1"}])
def test_an_address_is_needed(environment: Dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        OneTradeClient.from_env(environment, **CREDENTIALS)
    assert caught.value.setting == "ONETRADE_WS_URL"


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, "SESSION_ID"),
        ({"ONETRADE_SESSION_ID": "s-1"}, "ACCESS_TOKEN"),
        ({"ONETRADE_ACCESS_TOKEN": "t-1"}, "SESSION_ID"),
    ],
)
def test_what_the_environment_lacks_is_named(given: Dict[str, str], missing: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        OneTradeClient.from_env({"ONETRADE_WS_URL": "wss://host.example", **given})
    assert caught.value.setting == missing.lower()
    assert str(caught.value).startswith(f"the environment variable ONETRADE_{missing} is not set: ")


def test_both_kinds_of_credentials_at_once() -> None:
    error = refused(api_key="k-1", **CREDENTIALS)
    assert str(error) == "api_key together with session_id and access_token: give one or the other"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("host.example", "…"),
        ("https://host.example", "https://host.example"),
        ("https://h/secret", "https://h…"),
    ],
)
def test_of_a_wrong_address_no_more_is_shown_than_can_be_no_secret(url: str, shown: str) -> None:
    assert refused(url).value == shown


def test_a_wrong_variable_is_refused_without_showing_a_secret() -> None:
    with pytest.raises(ConfigurationError) as caught:
        OneTradeClient.from_env({"ONETRADE_WS_URL": "wss://host.example", "ONETRADE_API_KEY": f"{CANARY}\n"})
    assert caught.value.setting == "api_key"
    assert CANARY not in str(caught.value)


# -- the reconnect policy -------------------------------------------------------------------------------------------

POLICY_WRONG: Dict[str, List[Any]] = {
    "initial_delay": [*NOT_NUMBERS, 0, -1, NAN, INFINITY, 1_000_001, 10**400],
    "max_delay": [*NOT_NUMBERS, 0, -1, NAN, INFINITY, 1_000_001, 10**400],
    "multiplier": [*NOT_NUMBERS, 0, 0.99, -2, NAN, INFINITY, 1001, 10**400],
    "max_attempts": [value for value in NOT_NUMBERS if value is not None] + [0, -1, 1.0, INFINITY],
    "session_in_use_attempts": [*NOT_NUMBERS, -1, 1.0, INFINITY],
    "stable_after": [*NOT_NUMBERS, -1, -0.001, NAN, INFINITY, 1_000_001, 10**400],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(name, value, id=f"{name}-{number}")
        for name, values in POLICY_WRONG.items()
        for number, value in enumerate(values)
    ],
)
def test_a_wrong_value_of_the_policy_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ReconnectPolicy(**{name: value})
    assert caught.value.setting == name
    assert caught.value.value is value
    assert "number" in caught.value.allowed


def test_every_value_of_the_policy_has_wrong_ones() -> None:
    assert set(POLICY_WRONG) == {field.name for field in attrs.fields(ReconnectPolicy)}


def test_the_largest_delay_is_not_below_the_first() -> None:
    with pytest.raises(ConfigurationError) as caught:
        ReconnectPolicy(initial_delay=2.0, max_delay=1.0)
    assert (caught.value.setting, caught.value.value) == ("max_delay", 1.0)
    assert ReconnectPolicy(initial_delay=2.0, max_delay=2.0).delay(5, draw=lambda: 1.0) == 2.0


@pytest.mark.parametrize("name", ["initial_delay", "max_delay"])
def test_a_delay_longer_than_a_lock_can_wait_is_refused(name: str) -> None:
    values: Dict[str, Any] = {"max_delay": 1e300, name: 1e300}
    with pytest.raises(ConfigurationError) as caught:
        ReconnectPolicy(**values)
    assert caught.value.setting in ("initial_delay", "max_delay")


def test_the_limits_of_what_is_allowed() -> None:
    policy = ReconnectPolicy(
        initial_delay=1, max_delay=1, multiplier=1, max_attempts=1, session_in_use_attempts=0, stable_after=0
    )
    assert policy.delay(10**6, draw=lambda: 1.0) == 1.0
    assert policy.gives_up_after(1)


def test_the_bound_of_the_delay_doubles_up_to_the_largest() -> None:
    policy = ReconnectPolicy(initial_delay=1.0, max_delay=10.0)
    assert [policy.delay(attempt, draw=lambda: 1.0) for attempt in range(1, 7)] == [1, 2, 4, 8, 10, 10]
    assert [policy.delay(attempt, draw=lambda: 0.5) for attempt in range(1, 7)] == [0.5, 1, 2, 4, 5, 5]
    assert policy.delay(3, draw=lambda: 0.0) == 0.0


@attrs.frozen(kw_only=True)
class Drawn(ReconnectPolicy):
    """A policy of a user's own, which leaves nothing to chance."""

    drawn: float

    def delay(self, attempt: int, draw: Callable[[], float] = float) -> float:
        return super().delay(attempt, lambda: self.drawn)


@pytest.mark.parametrize("cls", [ServerError, RateLimitedError])
@pytest.mark.parametrize(
    ("asked", "drawn", "delay"),
    [
        (None, 0.5, 4.0),
        (0.0, 0.5, 4.0),
        (3.0, 0.5, 4.0),
        (30.0, 0.5, 30.0),
        (30.0, 0.0, 30.0),
        (3600.0, 1.0, 3600.0),
        # However long: a typing error of the server's must not end it all.
        (3601.0, 1.0, 3600.0),
        (math.inf, 1.0, 3600.0),
    ],
)
def test_the_delay_is_not_shorter_than_the_server_asks(
    cls: Type[ServerError], asked: Optional[float], drawn: float, delay: float
) -> None:
    policy = Drawn(initial_delay=8.0, max_delay=8.0, drawn=drawn)
    assert policy.delay_after(cls("login", 503, "busy", asked), 1) == delay


def test_the_policy_may_wait_longer_than_a_server_may_ask() -> None:
    policy = Drawn(initial_delay=7200.0, max_delay=7200.0, drawn=1.0)
    assert policy.delay_after(ServerError("login", 503, "", math.inf), 1) == 7200.0


@pytest.mark.parametrize(
    "error", [None, ConnectionLostError("reset"), NetworkError("TCP", "host", "refused")]
)
def test_what_says_nothing_of_waiting(error: Optional[OneTradeError]) -> None:
    policy = Drawn(initial_delay=1.0, max_delay=8.0, drawn=0.5)
    assert [policy.delay_after(error, attempt) for attempt in (1, 2, 3, 4, 5)] == [0.5, 1.0, 2.0, 4.0, 4.0]


delays = st.floats(1e-6, 5e5)


@given(
    initial=delays,
    more=delays,
    multiplier=st.floats(1, 1000) | st.integers(1, 1000),
    attempt=st.integers(1, 5000),
    drawn=st.floats(0, 1, exclude_max=True),
)
def test_a_delay_lies_between_zero_and_the_largest(
    initial: float, more: float, multiplier: float, attempt: int, drawn: float
) -> None:
    policy = ReconnectPolicy(initial_delay=initial, max_delay=initial + more, multiplier=multiplier)
    delay = policy.delay(attempt, draw=lambda: drawn)
    assert 0.0 <= delay <= policy.max_delay
    assert delay <= policy.delay(attempt, draw=lambda: 1.0) <= policy.delay(attempt + 1, draw=lambda: 1.0)
    if attempt == 1:
        assert delay <= initial
    assert 0.0 <= policy.delay(attempt) <= policy.max_delay


def test_without_a_draw_the_delays_are_spread_over_the_whole_range() -> None:
    policy = ReconnectPolicy(initial_delay=8.0, max_delay=8.0)
    eighths = {int(policy.delay(1)) for _ in range(2000)}
    assert eighths == set(range(8))


def test_an_attempt_that_no_float_can_count_is_no_problem() -> None:
    for multiplier in (2, 2.0, 1000, 1000.0):
        assert ReconnectPolicy(multiplier=multiplier).delay(100_000, draw=lambda: 1.0) == 60.0


@pytest.mark.parametrize(
    ("limit", "attempts", "gives_up"),
    [(None, 10**9, False), (1, 0, False), (1, 1, True), (3, 2, False), (3, 3, True), (3, 4, True)],
)
def test_it_gives_up_at_its_limit(limit: Any, attempts: int, gives_up: bool) -> None:
    assert ReconnectPolicy(max_attempts=limit).gives_up_after(attempts) is gives_up


def test_a_policy_is_frozen_and_compares_by_its_values() -> None:
    policy = ReconnectPolicy()
    assert policy == ReconnectPolicy(initial_delay=1.0)
    assert policy != ReconnectPolicy(initial_delay=2.0)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        policy.max_delay = 1.0  # type: ignore[misc]
