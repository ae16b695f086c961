"""Autobahn's fuzzing server against what a client reads with: :class:`.Transport`, ``Stream`` and ``FrameReader``.

The testee sends back each message that it is given, as the suite asks. It runs twice: with ``strict_utf8``, as RFC 6455
wants it, which is the figure; and as the library is by default, where text that is not UTF-8 is no reason to end the
connection but a DECODE_ERROR event. Cases in which the two differ must be cases of text that is not UTF-8.
"""

from __future__ import annotations

import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Dict, List, Sequence, Set

import attrs
from websocket import ABNF

from onetrade_ws.config import Settings
from onetrade_ws.connection.credentials import Credentials
from onetrade_ws.connection.stream import Stream
from onetrade_ws.connection.transport import Transport
from onetrade_ws.deadline import Deadline
from onetrade_ws.errors import ConnectionLostError, OneTradeError
from onetrade_ws.protocol.frames import Batch, Opcode
from tests.scorecard.autobahn import FuzzingServer, Result
from tests.scorecard.outcome import Outcome

PROMISE = "RFC 6455, through the fast reader"
TARGET = "301 cases, 0 failed, 0 wrong close codes, at most 4 non-strict"
EXCLUSIVE = False
FULL_MINUTES = 4

_CASES = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"]
# Limits and performance: messages of up to 16 MiB.
_LARGE_CASES = ["9.*"]
_NON_STRICT_AT_MOST = 4
# Seconds after which a case counts as hung.
_CASE_LIMIT = 60.0


class _RequestingStream(Stream):
    """A stream whose handshake asks for a path of Autobahn's instead of the product's."""

    def __init__(self, host: str, path: str) -> None:
        super().__init__(host, _CASE_LIMIT)
        self._path = path.encode()

    def send(self, data: bytes) -> int:
        if data.startswith(b"GET "):
            method, _, rest = data.split(b" ", 2)
            super().send(b" ".join((method, self._path, rest)))
            return len(data)
        return super().send(data)


class _Visit:
    """One connection to the fuzzing server, which gets back what it sends."""

    def __init__(self, port: int, path: str, strict_utf8: bool) -> None:
        host = f"127.0.0.1:{port}"
        settings = Settings(
            url=f"ws://{host}",
            http_url=f"http://{host}",
            session_id="s",
            access_token="t",
            strict_utf8=strict_utf8,
        )
        self.text_that_is_none = False
        self._stream = _RequestingStream(settings.host, path)
        self._transport = Transport(
            settings,
            self._stream,
            on_open=lambda: None,
            on_batches=self._echo,
            on_heartbeat_reply=lambda: None,
        )

    def run(self) -> OneTradeError:
        too_long = ConnectionLostError("the case did not end")
        limit = threading.Timer(_CASE_LIMIT, self._stream.abort, [too_long])
        limit.start()
        try:
            return self._transport.run(Credentials("s", "t"), None, Deadline(_CASE_LIMIT))
        finally:
            limit.cancel()
            limit.join()

    def _echo(self, batches: Sequence[Batch]) -> None:
        for opcode, payload in ((batch.opcode, payload) for batch in batches for payload in batch.payloads):
            if opcode == Opcode.TEXT:
                try:
                    payload.decode("utf-8")
                except UnicodeDecodeError:
                    self.text_that_is_none = True
            try:
                self._stream.write(ABNF.create_frame(payload, opcode).format())
            except ConnectionLostError:
                # What the server sent before it closed may be read after it has.
                return


class _Tour:
    """The cases of a server, by one agent."""

    def __init__(self, server: FuzzingServer, strict_utf8: bool) -> None:
        self._server = server
        self._strict_utf8 = strict_utf8
        self._agent = "strict" if strict_utf8 else "default"
        #: The cases in which text came that is not UTF-8.
        self.text_that_is_none: Set[str] = set()
        self.results: Dict[str, Result] = {}

    def run(self, cases: Sequence[str]) -> None:
        """Run ``cases`` one after the other."""
        for case in cases:
            number = self._server.cases.index(case) + 1
            visit = self._visit(f"/runCase?case={number}&agent={self._agent}")
            if visit.text_that_is_none:
                self.text_that_is_none.add(case)

    def read_results(self) -> None:
        """Read what became of all cases that were ever run: not while another tour does, which writes them anew."""
        self._visit(f"/updateReports?agent={self._agent}")
        self.results = self._server.results(self._agent)

    def _visit(self, path: str) -> _Visit:
        visit = _Visit(self._server.port, path, self._strict_utf8)
        visit.run()
        return visit


@attrs.frozen
class _Comparison:
    """What became of each case, strictly and by default."""

    strict: _Tour
    default: _Tour

    def run_both(self, cases: Sequence[str]) -> None:
        """Run ``cases``, and read the results."""
        # Side by side: most of the time is Autobahn's, which waits for what a testee should not do.
        tours = (self.strict, self.default)
        with ThreadPoolExecutor(2) as pool:
            for run in [pool.submit(tour.run, cases) for tour in tours]:
                run.result()
        for tour in tours:
            tour.read_results()

    def differ(self) -> List[str]:
        """The cases of which something else became by default."""
        strict, default = self.strict.results, self.default.results
        return [
            case
            for case in strict
            if case in default
            and (strict[case].behavior, strict[case].wrongly_closed)
            != (default[case].behavior, default[case].wrongly_closed)
        ]

    def unexplained(self) -> List[str]:
        """Those of them in which all text was UTF-8."""
        return [case for case in self.differ() if case not in self.default.text_that_is_none]

    def short(self) -> List[str]:
        """The cases that fall short."""
        results = self.strict.results
        bad = [case for case, result in results.items() if result.failed or result.wrongly_closed]
        return sorted({*bad, *self.unexplained()})

    def out_of_patience(self) -> List[str]:
        """Those of them that may do so because this machine was busy."""
        tours = (self.strict.results, self.default.results)
        return [
            case
            for case in self.short()
            if any(case in results and results[case].out_of_patience for results in tours)
        ]


def measure(full: bool, seed: int) -> Outcome:
    """Both tours; in the small figures without the large messages."""
    cases = _CASES + (_LARGE_CASES if full else [])
    with tempfile.TemporaryDirectory() as directory, FuzzingServer(cases, Path(directory)) as server:
        compared = _Comparison(_Tour(server, strict_utf8=True), _Tour(server, strict_utf8=False))
        compared.run_both(server.cases)
        again = compared.out_of_patience()
        if again:
            compared.run_both(again)
    results, by_default = compared.strict.results, compared.default.results
    failed = [case for case, result in results.items() if result.failed]
    wrongly_closed = [case for case, result in results.items() if result.wrongly_closed]
    non_strict = [case for case, result in results.items() if result.behavior == "NON-STRICT"]
    lost = [case for case in server.cases if case not in results or case not in by_default]
    differ, unexplained = compared.differ(), compared.unexplained()
    figure = (
        f"{len(results)} cases, {len(failed)} failed, {len(wrongly_closed)} wrong close codes,"
        f" {len(non_strict)} non-strict; by default {len(differ)} differ,"
        f" {len(differ) - len(unexplained)} of them with text that is not UTF-8"
    )
    details = [f"{case}: {results[case]}, by default {by_default.get(case)}" for case in compared.short()]
    details += [f"{case}: no result" for case in lost]
    details.append(f"non-strict: {', '.join(non_strict) or 'none'}; run again: {', '.join(again) or 'none'}")
    expected = 301 if full else 247
    met = (
        not (compared.short() or lost) and len(non_strict) <= _NON_STRICT_AT_MOST and len(results) == expected
    )
    return Outcome(figure, met, details)
