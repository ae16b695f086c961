"""Secrets that would be recognised anywhere, and a search for them in whatever a failure can be made to say."""

from __future__ import annotations

import base64
import contextlib
import html
import http.client
import io
import json
import logging
import os
import pickle
import re
import sys
import threading
import traceback
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Dict, Iterator, List, Optional, Set
from urllib.parse import quote, quote_plus

import attrs
import websocket

from onetrade_ws import DecodeError

# Each with characters that look different in an address, as base64 has them, and a core that looks the same everywhere.
SESSION = "s/5kVwQ8zR2yLm+%7e=="
TOKEN = "t/9hXbN4cJ7dFp+%2F=="
KEY = "k/3gTqU6vM8wSn+&%41=="
PASSWORD = "p/7rYfC2xH5aDj+:@=="

_NAMES = {"session id": SESSION, "access token": TOKEN, "API key": KEY, "proxy password": PASSWORD}
_LONG = 50_000
_TESTS = os.fspath(Path(__file__).resolve().parents[1])


def spellings(secret: str) -> Dict[str, str]:
    """How a server may write a secret, by the name of the way."""
    data = secret.encode("ascii")
    quoted = quote(secret, safe="")
    return {
        "as it is": secret,
        "quoted": quote(secret),
        "quoted whole": quoted,
        "quoted plus": quote_plus(secret),
        "quoted in lower case": re.sub("%..", lambda found: found.group().lower(), quoted),
        "quoted twice": quote(quoted, safe=""),
        "in JSON": json.dumps(secret).replace("/", "\\/"),
        "in JSON, escaped": "".join(f"\\u{ord(character):04x}" for character in secret),
        "in HTML": html.escape(secret),
        "in HTML, by numbers": "".join(f"&#{ord(character)};" for character in secret),
        "as bytes": repr(data),
        "hexadecimal": data.hex(),
        "hexadecimal in capitals": data.hex().upper(),
        "base64": base64.b64encode(data).decode("ascii"),
        "base64 for addresses": base64.urlsafe_b64encode(data).decode("ascii"),
        "base64 of more": base64.b64encode(b"x" + data + b"y").decode("ascii"),
        "base64 of even more": base64.b64encode(b"xy" + data + b"z").decode("ascii"),
    }


def quoted_in_every_way(*secrets: str) -> str:
    """What a server might say that quotes them in every spelling."""
    return " | ".join(spelling for secret in secrets for spelling in spellings(secret).values())


def _traces(secret: str) -> Dict[str, str]:
    """What gives a secret away: the spellings, and such parts of them as are in nothing else."""
    data = secret.encode("ascii")
    traces = {
        **spellings(secret),
        "its core": secret[2:14],
        "half of its core": secret[2:8],
        "the other half of its core": secret[8:14],
    }
    for before, start in ((0, 0), (1, 2), (2, 3)):
        code = base64.b64encode(b"x" * before + data).decode("ascii")
        traces[f"base64 behind {before}"] = code[start : (before + len(data)) * 8 // 6]
    return traces


@attrs.frozen
class Hit:
    """A secret that shows."""

    where: str
    what: str


class Search:
    """Looks for some secrets in everything that it is given; each hit is noted once."""

    def __init__(self, *secrets: str) -> None:
        self.hits: List[Hit] = []
        #: How many texts were searched.
        self.texts = 0
        self._traces = [
            (f"{name}, {way}", trace)
            for name, secret in _NAMES.items()
            if secret in secrets
            for way, trace in _traces(secret).items()
        ]
        self._seen: Set[int] = set()
        # Kept, so that no two have the same identity.
        self._errors: List[BaseException] = []

    def text(self, where: str, text: str) -> None:
        """A text."""
        self.texts += 1
        if len(text) > 2 * _LONG:
            # Of something huge, both ends.
            text = f"{text[:_LONG]} {text[-_LONG:]}"
        for what, trace in self._traces:
            if trace in text and Hit(where, what) not in self.hits:
                self.hits.append(Hit(where, what))

    def value(self, where: str, value: object) -> None:
        """What a value's repr says. One that has none is a hit, too: it would break the tool that asks for it."""
        try:
            text = repr(value)
        except Exception as error:  # noqa: BLE001 - whatever it is
            self.hits.append(Hit(where, f"a repr that raises {type(error).__name__}"))
            return
        self.text(where, text)

    def error(self, where: str, error: Optional[BaseException]) -> None:
        """All that an error and everything behind it can be made to say."""
        if error is None or id(error) in self._seen:
            return
        self._seen.add(id(error))
        self._errors.append(error)
        where = f"{where}: {type(error).__name__}"
        self.text(f"{where}, str", str(error))
        self.text(f"{where}, repr", repr(error))
        # The raw bytes of what cannot be decoded are the server's message: data of the event, which no text shows.
        shown: List[object] = [value for value in error.args if value is not getattr(error, "raw", None)]
        facts = {name: value for name, value in vars(error).items() if name != "raw"}
        self.value(f"{where}, args", shown)
        self.value(f"{where}, attributes", facts)
        self.text(f"{where}, pickled", self._pickled(error))
        for line in traceback.format_exception(type(error), error, error.__traceback__):
            self.text(f"{where}, traceback", line)
        self._frames(where, error.__traceback__)
        self._captured(where, error)
        for name in ("__cause__", "__context__"):
            self.error(f"{where}, {name}", getattr(error, name))
        for value in [*error.args, *vars(error).values()]:
            if isinstance(value, BaseException):
                self.error(f"{where}, inside", value)

    @staticmethod
    def _pickled(error: BaseException) -> str:
        if isinstance(error, DecodeError):
            error = DecodeError(error.path, error.reason, b"", error.event_type)
        try:
            return pickle.dumps(error).decode("latin-1")
        except Exception:  # noqa: BLE001 - what is not ours need not be fit for it
            return ""

    def _frames(self, where: str, trace: Optional[TracebackType]) -> None:
        frames: List[FrameType] = []
        while trace is not None:
            frames.append(trace.tb_frame)
            trace = trace.tb_next
        for frame in frames:
            code = frame.f_code
            if not _is_of_the_tests(code.co_filename):
                for name, value in frame.f_locals.items():
                    place = f"{os.path.basename(code.co_filename)}, {code.co_name}()"
                    self.value(f"{where}, local {name} of {place}", value)

    def _captured(self, where: str, error: BaseException) -> None:
        """What a tool prints that asks Python for tracebacks with locals."""
        # Where it can be had: the tests' own frames hold what has no repr yet.
        with contextlib.suppress(AttributeError):
            captured: Optional[traceback.TracebackException] = traceback.TracebackException(
                type(error), error, error.__traceback__, capture_locals=True
            )
            while captured is not None:
                for frame in captured.stack:
                    if not _is_of_the_tests(frame.filename):
                        self.value(f"{where}, captured locals of {frame.name}()", frame.locals)
                self.text(f"{where}, captured", "".join(captured.format_exception_only()))
                captured = captured.__cause__ or captured.__context__

    def record(self, record: logging.LogRecord) -> None:
        """A line of a log, with everything that a handler could make of it."""
        where = f"log of {record.name}"
        self.text(where, logging.Formatter("%(name)s %(threadName)s %(message)s").format(record))
        # Formatting leaves the message in the record.
        self.value(where, {name: value for name, value in vars(record).items() if name != "exc_info"})
        if record.exc_info:
            self.error(where, record.exc_info[1])
        arguments = record.args if isinstance(record.args, tuple) else ()
        for argument in arguments:
            if isinstance(argument, BaseException):
                self.error(where, argument)


def _is_of_the_tests(path: str) -> bool:
    return os.path.abspath(path).startswith(_TESTS)


class _Records(logging.Handler):
    """Keeps every record."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: List[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


_LOUD = ("", "onetrade_ws", "onetrade_ws.connection", "websocket", "urllib3", "requests", "http", "asyncio")


@contextlib.contextmanager
def everything_said(search: Search) -> Iterator[None]:
    """With every log at DEBUG, the traces of websocket-client and http.client on, and the output caught: all of it is
    searched at the end."""
    handler, output = _Records(), io.StringIO()
    levels = {name: logging.getLogger(name).level for name in _LOUD}
    uncaught: List[Any] = []
    previous_hook = threading.excepthook
    threading.excepthook = uncaught.append
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.DEBUG)
    logging.getLogger().addHandler(handler)
    trace = logging.StreamHandler(output)
    websocket.enableTrace(True, handler=trace)
    http.client.HTTPConnection.debuglevel = 1
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            yield
    finally:
        http.client.HTTPConnection.debuglevel = 0
        websocket.enableTrace(False)
        logging.getLogger("websocket").removeHandler(trace)
        logging.getLogger().removeHandler(handler)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        threading.excepthook = previous_hook
    for record in handler.records:
        search.record(record)
    for line in output.getvalue().splitlines():
        search.text("output and traces", line)
    for arguments in uncaught:
        search.error("uncaught in a thread", arguments.exc_value)


def instrument_fails() -> List[str]:
    """Ways of showing a secret that the search does not see: there should be none."""
    library = compile(
        "def leak(secret):\n    holds = [secret]\n    raise ValueError('a plain text')\n",
        "/usr/lib/x.py",
        "exec",
    )
    names: Dict[str, Any] = {}
    exec(library, names)  # noqa: S102 - a frame that is not the tests'

    def raised(call: Any, *arguments: Any) -> BaseException:
        try:
            call(*arguments)
        except Exception as error:  # noqa: BLE001 - to be searched
            return error
        raise AssertionError("it did not raise")

    def chained(cause: bool) -> None:
        try:
            raise KeyError(SESSION)
        except KeyError as error:
            if cause:
                raise ValueError("plain") from error
            raise ValueError("plain") from None

    def log(*arguments: Any, **settings: Any) -> None:
        logging.getLogger("urllib3.planted").debug(*arguments, **settings)

    plants: Dict[str, Any] = {
        "text": lambda s: s.error("", ValueError(f"a {TOKEN}")),
        "bytes in args": lambda s: s.error("", ValueError(1, KEY.encode())),
        "quoted": lambda s: s.error("", ValueError(quote(KEY, safe=""))),
        "base64": lambda s: s.error("", ValueError(base64.b64encode(b"ab" + KEY.encode() + b"cd"))),
        "hexadecimal": lambda s: s.error("", ValueError(TOKEN.encode().hex())),
        "attribute": lambda s: s.error("", _with_attribute()),
        "local": lambda s: s.error("", raised(names["leak"], SESSION)),
        "cause": lambda s: s.error("", raised(chained, True)),
        "context": lambda s: s.error("", raised(chained, False)),
        "log text": lambda s: log("a " + SESSION),
        "log argument": lambda s: log("a %r", {"x": TOKEN}),
        "log with traceback": lambda s: log("a", exc_info=raised(names["leak"], SESSION)),
        "standard output": lambda s: sys.stdout.write(KEY),
        "standard error": lambda s: sys.stderr.write(KEY),
        "thread": lambda s: _run_in_thread(names["leak"]),
        "repr": lambda s: s.value("", [SESSION]),
        "websocket trace": lambda s: logging.getLogger("websocket").debug(TOKEN),
    }
    blind = []
    for name, plant in plants.items():
        search = Search(*_NAMES.values())
        with everything_said(search):
            plant(search)
        if not search.hits:
            blind.append(name)
    return blind


def _with_attribute() -> BaseException:
    error = ValueError("plain")
    error.request = SESSION  # type: ignore[attr-defined]
    return error


def _run_in_thread(leak: Any) -> None:
    thread = threading.Thread(target=leak, args=(SESSION,), name="leaking")
    thread.start()
    thread.join()
