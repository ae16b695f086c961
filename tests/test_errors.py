"""The exceptions: the tree is the one that is drawn, each says what it knows, and none shows what it must not."""

from __future__ import annotations

import copy
import errno
import inspect
import pickle
import re
import traceback
from typing import Any, Dict, Iterator, List, Tuple, Type

import pytest

import onetrade_ws
from onetrade_ws import errors
from onetrade_ws.errors import (
    AccountUpdatesStoppedError,
    AnswerError,
    AuthenticationError,
    CallbackThreadError,
    CertificateError,
    ConfigurationError,
    ConnectError,
    ConnectionClosedError,
    ConnectionEndedError,
    ConnectionLostError,
    ConnectionStalledError,
    ConnectTimeoutError,
    DecodeError,
    EncodeError,
    HandshakeError,
    MissingPackageError,
    NetworkError,
    NotConnectedError,
    NotFoundError,
    OneTradeError,
    OutcomeUnknownError,
    ProtocolError,
    QueueFullError,
    RateLimitedError,
    ReconnectFailedError,
    RequoteError,
    RequoteOverError,
    RequoteRefusedError,
    ServerError,
    SessionInUseError,
    SessionLoggedOutError,
    SlowConsumerError,
    UnknownOrderError,
    UnknownSymbolError,
    WaitTimeoutError,
)

LOSS = ConnectionLostError("reset by peer")

# Each exception with its facts, in the order of its attributes, and its text.
CASES: List[Tuple[Type[OneTradeError], Dict[str, Any], str]] = [
    (
        ConfigurationError,
        {"setting": "queue_limit", "value": 0, "allowed": "a whole number of at least 1", "problem": ""},
        "queue_limit=0 is not allowed: a whole number of at least 1",
    ),
    (
        ConfigurationError,
        {"setting": "api_key", "value": str, "allowed": "give one or the other", "problem": "both of them"},
        "both of them: give one or the other",
    ),
    (
        EncodeError,
        {"event_type": "their_own", "reason": "keys must be strings, not int"},
        "cannot send 'their_own': keys must be strings, not int",
    ),
    (
        DecodeError,
        {"path": "$.data.id", "reason": "expected an integer", "raw": b"{}", "event_type": "orders_place"},
        "expected an integer at $.data.id in 'orders_place' (2 bytes)",
    ),
    (
        DecodeError,
        {"path": "$", "reason": "not UTF-8", "raw": b"\xff", "event_type": None},
        "not UTF-8 at $ (1 bytes)",
    ),
    (QueueFullError, {"limit": 5}, "5 messages already wait to be sent: this one was not queued"),
    (
        SlowConsumerError,
        {"limit": 5},
        "5 events waited unread: this iterator has ended, read faster or use callbacks",
    ),
    (
        WaitTimeoutError,
        {"what": "EventMessageType.ORDERS_PLACE", "timeout": 2.5, "last_error": None},
        "no EventMessageType.ORDERS_PLACE within 2.5 s",
    ),
    (
        WaitTimeoutError,
        {"what": "up-to-date account", "timeout": 2.5, "last_error": LOSS},
        "no up-to-date account within 2.5 s; the last trouble: the connection was lost: reset by peer",
    ),
    (
        CallbackThreadError,
        {"call": "wait()", "advice": "let it return"},
        "wait() cannot be called here: let it return",
    ),
    (
        ConnectTimeoutError,
        {"timeout": 10.0, "attempts": 1, "last_error": None},
        "not connected within 10 s (1 attempt)",
    ),
    (
        ConnectTimeoutError,
        {"timeout": 0.5, "attempts": 3, "last_error": LOSS},
        "not connected within 0.5 s (3 attempts); the last trouble: the connection was lost: reset by peer",
    ),
    (
        NetworkError,
        {"step": "TCP", "host": "host.example:443", "reason": "connection refused"},
        "TCP with host.example:443 failed: connection refused",
    ),
    (
        CertificateError,
        {"host": "host.example:443", "reason": "self-signed certificate"},
        "the certificate of host.example:443 was not accepted: self-signed certificate",
    ),
    (
        ServerError,
        {"step": "login", "status": 503, "message": "try later", "retry_after": 30.0},
        "login was answered with HTTP 503: try later; it asks to wait for 30 s",
    ),
    (
        ServerError,
        {"step": "handshake", "status": 502, "message": "", "retry_after": None},
        "handshake was answered with HTTP 502",
    ),
    (
        AuthenticationError,
        {"step": "login", "status": 401, "message": "no such key", "retry_after": None},
        "login was answered with HTTP 401: no such key; check the API key",
    ),
    (
        AuthenticationError,
        {"step": "handshake", "status": 401, "message": "expired", "retry_after": None},
        "handshake was answered with HTTP 401: expired; check the credentials: sessions and tokens expire",
    ),
    (
        SessionInUseError,
        {
            "step": "session validation",
            "status": 400,
            "message": "session is already used",
            "retry_after": 5.0,
        },
        "the session is already used by another program or browser tab: close it there, or log in anew",
    ),
    (
        HandshakeError,
        {"host": "host.example:443", "reason": "no Upgrade header"},
        "no WebSocket at host.example:443: no Upgrade header",
    ),
    (
        MissingPackageError,
        {"call": "to_frame()", "package": "pandas", "extra": "pandas"},
        'to_frame() needs pandas, this library\'s extra "pandas": pip install pandas',
    ),
    (
        NotFoundError,
        {"step": "candles", "status": 404, "message": "no symbol 99", "retry_after": None},
        "candles was answered with HTTP 404: no symbol 99",
    ),
    (
        RateLimitedError,
        {"step": "orders", "status": 429, "message": "slowly", "retry_after": 2.5},
        "orders was answered with HTTP 429: slowly; it asks to wait for 2.5 s",
    ),
    (
        RateLimitedError,
        {"step": "orders", "status": 429, "message": "", "retry_after": None},
        "orders was answered with HTTP 429",
    ),
    (
        AnswerError,
        {"step": "orders", "path": "$.data[3].symbol.digits", "reason": "expected an integer, got a string"},
        "the answer to orders makes no sense: expected an integer, got a string at $.data[3].symbol.digits",
    ),
    (
        AccountUpdatesStoppedError,
        {},
        "account updates are stopped: start_account_all() has the account loaded again",
    ),
    (
        UnknownSymbolError,
        {"symbol": "EURUDS", "near": ("EURUSD", "EURAUD")},
        "there is no symbol 'EURUDS'; did you mean EURUSD, EURAUD?",
    ),
    (UnknownSymbolError, {"symbol": 99, "near": ()}, "there is no symbol 99"),
    (UnknownSymbolError, {"symbol": "1", "near": ()}, "there is no symbol '1': an id is a number, 1"),
    (
        OutcomeUnknownError,
        {"step": "approval", "reason": LOSS},
        "approval: the server may have acted or not, and was not asked again: the connection was lost: reset by peer",
    ),
    (
        RequoteError,
        {"order_id": 7, "message": ""},
        "the answer to a requote was not taken (order 7)",
    ),
    (
        RequoteOverError,
        {"order_id": 7, "message": "it is filled"},
        "the order does not wait for an answer to a requote (order 7): it is filled",
    ),
    (
        RequoteRefusedError,
        {"order_id": 7, "message": "not you"},
        "the server refuses the answer to a requote (order 7): not you",
    ),
    (
        UnknownOrderError,
        {"order_id": 7, "message": ""},
        "the server knows no such order (order 7)",
    ),
    (NotConnectedError, {"call": "connect()"}, "connect(): the client is not connected"),
    (ConnectionLostError, {"reason": "broken pipe"}, "the connection was lost: broken pipe"),
    (
        ConnectionStalledError,
        {"reason": "the server gave no sign of life", "silence": 40.0},
        "the connection stalled: the server gave no sign of life for 40 s",
    ),
    (
        ProtocolError,
        {"code": 1009, "reason": "a message of more than 125 bytes"},
        "the server broke the WebSocket protocol (close code 1009): a message of more than 125 bytes",
    ),
    (
        ConnectionClosedError,
        {"code": 1001, "reason": "going away"},
        "the server closed the connection (code 1001): going away",
    ),
    (
        ConnectionClosedError,
        {"code": None, "reason": ""},
        "the server closed the connection (code None)",
    ),
    (SessionLoggedOutError, {}, "the session was logged out from another place: log in anew"),
    (
        ReconnectFailedError,
        {"attempts": 3, "last_error": LOSS},
        "gave up after 3 attempts to reconnect; the last trouble: the connection was lost: reset by peer",
    ),
]

ABSTRACT = {OneTradeError, ConnectError, ConnectionEndedError}

each_case = pytest.mark.parametrize(
    ("cls", "facts", "text"), CASES, ids=[f"{case[0].__name__}-{number}" for number, case in enumerate(CASES)]
)


def tree_drawn() -> Dict[str, Tuple[str, List[str]]]:
    """Name: parent and built-in bases, as the docstring of the module draws it."""
    drawn: Dict[str, Tuple[str, List[str]]] = {}
    levels: List[Tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ([ |]*(?:\+-- )?)(\w+Error)(?: \((\w+)\))?(?:\s|$)", line)
        if match is None:
            continue
        indent, name, builtin = len(match.group(1)), match.group(2), match.group(3)
        while levels and levels[-1][0] >= indent:
            levels.pop()
        parent = levels[-1][1] if levels else "Exception"
        drawn[name] = (parent, [builtin] if builtin else [])
        levels.append((indent, name))
    return drawn


def our_exceptions() -> Iterator[Type[BaseException]]:
    for _, value in inspect.getmembers(errors, inspect.isclass):
        if issubclass(value, BaseException) and value.__module__ == errors.__name__:
            yield value


def test_the_tree_is_as_it_is_drawn() -> None:
    real = {
        cls.__name__: (cls.__bases__[0].__name__, [base.__name__ for base in cls.__bases__[1:]])
        for cls in our_exceptions()
    }
    assert tree_drawn() == real


def test_all_of_them_are_exported() -> None:
    names = {cls.__name__ for cls in our_exceptions()}
    assert set(errors.__all__) == names
    for name in names:
        assert getattr(onetrade_ws, name) is getattr(errors, name)
        assert name in onetrade_ws.__all__


def test_every_exception_has_a_case() -> None:
    assert {case[0] for case in CASES} | ABSTRACT == set(our_exceptions())


@pytest.mark.parametrize("cls", sorted(our_exceptions(), key=str))
def test_each_one_is_described(cls: Type[BaseException]) -> None:
    assert cls.__doc__


@each_case
def test_the_facts_are_attributes_and_the_text_is_made_of_them(
    cls: Type[OneTradeError], facts: Dict[str, Any], text: str
) -> None:
    error = cls(*facts.values())
    assert {name: getattr(error, name) for name in facts} == facts
    assert str(error) == text


@each_case
def test_the_positional_arguments_are_the_facts_in_the_order_of_the_attributes(
    cls: Type[OneTradeError], facts: Dict[str, Any], text: str
) -> None:
    assert cls(*facts.values()).args == tuple(facts.values())


@each_case
def test_each_one_can_be_pickled_copied_and_raised_again(
    cls: Type[OneTradeError], facts: Dict[str, Any], text: str
) -> None:
    error = cls(*facts.values())
    twins = [copy.copy(error), copy.deepcopy(error)]
    twins += [pickle.loads(pickle.dumps(error, protocol)) for protocol in range(2, 6)]  # noqa: S301
    twins.append(pickle.loads(pickle.dumps(twins[-1])))  # noqa: S301
    for twin in twins:
        assert type(twin) is cls
        assert str(twin) == text
        # An error in a fact is another object after pickling, and exceptions are equal to themselves alone.
        assert {name: str(getattr(twin, name)) for name in facts} == {
            name: str(value) for name, value in facts.items()
        }
        with pytest.raises(cls):
            raise twin


@each_case
def test_each_one_is_caught_as_ours(cls: Type[OneTradeError], facts: Dict[str, Any], text: str) -> None:
    with pytest.raises(OneTradeError, match=re.escape(text)):
        raise cls(*facts.values())


@pytest.mark.parametrize(
    ("cls", "builtin"),
    [
        (ConfigurationError, ValueError),
        (EncodeError, ValueError),
        (DecodeError, ValueError),
        (WaitTimeoutError, TimeoutError),
        (ConnectTimeoutError, TimeoutError),
        (CallbackThreadError, RuntimeError),
        (AnswerError, ValueError),
        (UnknownSymbolError, LookupError),
        (UnknownSymbolError, KeyError),
        (UnknownOrderError, LookupError),
        (NotFoundError, LookupError),
        (MissingPackageError, ImportError),
    ],
)
def test_some_are_caught_as_python_would(cls: Type[OneTradeError], builtin: Type[BaseException]) -> None:
    assert issubclass(cls, builtin)


@pytest.mark.parametrize(
    "error",
    [
        WaitTimeoutError("event", float(errno.ECONNREFUSED)),
        ConnectTimeoutError(float(errno.ECONNREFUSED), 2),
        ConnectTimeoutError(float(errno.ECONNREFUSED), 2, LOSS),
    ],
)
def test_a_timeout_is_no_error_number(error: OSError) -> None:
    """TimeoutError is an OSError, which makes of its first arguments what they are not here."""
    assert (error.errno, error.strerror, error.filename) == (None, None, None)


def test_the_bytes_of_a_decode_error_are_in_none_of_its_texts() -> None:
    error = DecodeError("$.data.id", "expected an integer", b"canary-7c1f", "orders_place")
    assert error.raw == b"canary-7c1f"
    try:
        raise error
    except DecodeError:
        shown = traceback.format_exc()
    assert "canary-7c1f" not in shown + str(error) + repr(error) + f"{error}" + repr([error])


@pytest.mark.parametrize("cls", [ServerError, RateLimitedError, AuthenticationError, NotFoundError])
def test_a_server_need_not_say_how_long_to_wait(cls: Type[ServerError]) -> None:
    error = cls("orders", 503, "busy")
    assert error.retry_after is None
    assert error.args == ("orders", 503, "busy", None)


def test_a_decode_error_needs_only_a_path_and_a_reason() -> None:
    error = DecodeError("$", "an empty frame")
    assert (error.raw, error.event_type) == (b"", None)


def test_an_error_of_the_parents_can_be_made() -> None:
    for cls in ABSTRACT:
        assert str(cls("what happened")) == "what happened"


def test_the_text_holds_no_line_break_and_no_percent_error() -> None:
    for cls, facts, text in CASES:
        assert "\n" not in str(cls(*facts.values()))
        assert str(cls(*facts.values())) == text.strip()


def test_timeouts_are_written_as_a_person_would() -> None:
    assert "within 0.25 s" in str(WaitTimeoutError("event", 0.25))
    assert "within 30 s" in str(WaitTimeoutError("event", 30.0))
    assert "for 1.5 s" in str(ConnectionStalledError("silence", 1.5))
