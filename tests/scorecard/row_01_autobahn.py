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
from typing import List, Sequence, Set, Tuple

from websocket import ABNF

from onetrade_ws.config import Settings
from onetrade_ws.connection.credentials import Credentials
from onetrade_ws.connection.stream import Stream
from onetrade_ws.connection.transport import Transport
from onetrade_ws.deadline import Deadline
from onetrade_ws.errors import ConnectionLostError, OneTradeError
from onetrade_ws.protocol.frames import Frame, Opcode
from tests.scorecard.autobahn import FuzzingServer
from tests.scorecard.outcome import Outcome

PROMISE = "RFC 6455, through the fast reader"
TARGET = "301 cases, 0 failed, 0 wrong close codes, at most 4 non-strict"
EXCLUSIVE = False
FULL_MINUTES = 4

_CASES = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"]
# Limits and performance: messages of up to 16 MiB.
_LARGE_CASES = ["9.*"]
_NON_STRICT_AT_MOST = 4
_GOOD = ("OK", "INFORMATIONAL", "NON-STRICT")
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
            on_frames=self._echo,
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

    def _echo(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            if frame.opcode == Opcode.TEXT:
                try:
                    frame.payload.decode("utf-8")
                except UnicodeDecodeError:
                    self.text_that_is_none = True
            try:
                self._stream.write(ABNF.create_frame(frame.payload, frame.opcode).format())
            except ConnectionLostError:
                # What the server sent before it closed may be read after it has.
                return


class _Run:
    """All cases of a server, by one agent."""

    def __init__(self, server: FuzzingServer, strict_utf8: bool) -> None:
        agent = "strict" if strict_utf8 else "default"
        self.cases = server.cases
        #: The cases in which text came that is not UTF-8.
        self.text_that_is_none: Set[str] = set()
        for number, case in enumerate(server.cases, 1):
            visit = _Visit(server.port, f"/runCase?case={number}&agent={agent}", strict_utf8)
            visit.run()
            if visit.text_that_is_none:
                self.text_that_is_none.add(case)
        _Visit(server.port, f"/updateReports?agent={agent}", strict_utf8).run()
        self._results = server.results(agent)

    def of(self, aspect: str) -> List[str]:
        """The cases in which an aspect of the result is bad, or that have none."""
        return [case for case in self.cases if self._results.get(case, {}).get(aspect) not in _GOOD]

    def non_strict(self) -> List[str]:
        """The cases that the RFC allows, though it would rather have them otherwise."""
        return [case for case, result in self._results.items() if result["behavior"] == "NON-STRICT"]

    def verdict(self, case: str) -> str:
        """What became of a case, in Autobahn's words."""
        result = self._results.get(case)
        if result is None:
            return "no result"
        return f"{result['behavior']}, closing {result['behaviorClose']} with {result['remoteCloseCode']}"


def _run_both(server: FuzzingServer) -> Tuple[_Run, _Run]:
    # Side by side: most of the time is Autobahn's, which waits for what a testee should not do. Each goes through its
    # cases one after the other.
    with ThreadPoolExecutor(2) as pool:
        strict = pool.submit(_Run, server, strict_utf8=True)
        default = pool.submit(_Run, server, strict_utf8=False)
        return strict.result(), default.result()


def measure(full: bool, seed: int) -> Outcome:
    """Both runs; in the small figures without the large messages."""
    cases = _CASES + (_LARGE_CASES if full else [])
    with tempfile.TemporaryDirectory() as directory, FuzzingServer(cases, Path(directory)) as server:
        strict, default = _run_both(server)
    failed, wrong_codes, non_strict = strict.of("behavior"), strict.of("behaviorClose"), strict.non_strict()
    differ = {case for case in strict.cases if strict.verdict(case) != default.verdict(case)}
    unexplained = sorted(differ - default.text_that_is_none)
    figure = (
        f"{len(strict.cases)} cases, {len(failed)} failed, {len(wrong_codes)} wrong close codes,"
        f" {len(non_strict)} non-strict; by default {len(differ)} differ,"
        f" {len(differ) - len(unexplained)} of them with text that is not UTF-8"
    )
    details = [
        f"{case}: {strict.verdict(case)}" for case in strict.cases if case in failed or case in wrong_codes
    ]
    details += [
        f"{case}: {strict.verdict(case)}, by default {default.verdict(case)}, though all text was UTF-8"
        for case in unexplained
    ]
    details.append(f"non-strict: {', '.join(non_strict) or 'none'}")
    met = not (failed or wrong_codes or unexplained) and len(non_strict) <= _NON_STRICT_AT_MOST
    return Outcome(figure, met, details)
