"""The demo as a whole: through the command, over a real socket, on a pipe and on a terminal."""

from __future__ import annotations

import io
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Callable, List, Optional, Set

import pytest

from onetrade_ws.cli import main
from onetrade_ws.demo.show import held_back_log

ROOT = Path(__file__).resolve().parent.parent.parent
EVERYTHING = {
    *("quote", "profit", "order placed", "order updated", "order requoted", "order rejected"),
    *("order cancelled", "order expired", "position opened", "position updated", "position closed"),
    *("deal", "deal updated", "journal", "report", "info", "error"),
}


class Watcher(io.StringIO):
    """A stdout that presses Ctrl-C once ``enough`` of the kinds of events has been seen."""

    encoding = "utf-8"

    def __init__(self, enough: Callable[[Set[str]], bool]) -> None:
        super().__init__()
        self.kinds: Set[str] = set()
        self._enough = enough
        self._interrupted = False

    def write(self, text: str) -> int:
        self.kinds.add(text[14:30].strip())
        written = super().write(text)
        if not self._interrupted and self._enough(self.kinds):
            self._interrupted = True
            raise KeyboardInterrupt
        return written


def test_lines_with_the_loss_and_the_way_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--duration", "0.5"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = printed.out.splitlines()
    kinds = [line[14:30].strip() for line in lines]
    assert "quote" in kinds
    assert kinds.index("RECONNECTING") < kinds.index("GAP")
    assert "down for maintenance" in printed.out
    assert any(line.startswith("Summary: ") and line.endswith(" a second") for line in lines)
    assert any(line.startswith("latency from socket to callback: median ") for line in lines)
    assert any(line.startswith("1 reconnect, 1 gap: deaf for ") for line in lines)
    assert "CLOSED, was CLOSING" in printed.out


def test_everything_that_can_happen_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = Watcher(lambda kinds: kinds >= EVERYTHING)
    monkeypatch.setattr(sys, "stdout", watcher)
    assert main(["demo", "--duration", "6", "--steady"]) == 0
    assert EVERYTHING - watcher.kinds == set()
    assert "\n0 reconnects\n" in watcher.getvalue()


def test_ctrl_c_brings_the_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = Watcher(lambda kinds: "quote" in kinds)
    monkeypatch.setattr(sys, "stdout", watcher)
    assert main(["demo", "--duration", "3600"]) == 0
    assert "Summary: " in watcher.getvalue()


def test_only_the_quotes_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--duration", "0.5", "--symbols", "xauusd, 1,EURUSD"]) == 0
    quotes = [line.split() for line in capsys.readouterr().out.splitlines() if line[14:19] == "quote"]
    assert {words[2] for words in quotes} == {"EURUSD", "XAUUSD"}


def test_a_stream_that_lacks_the_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert main(["demo", "--duration", "0.2", "--steady"]) == 0
    assert b"Summary: " in written.getvalue()


def test_what_went_wrong_meanwhile_comes_afterwards(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("onetrade_ws.connection")
    with held_back_log():
        logger.warning("shown as an event anyway")
        for number in range(200):
            logger.error("broken %d", number)
        assert capsys.readouterr().err == ""
    assert capsys.readouterr().err.splitlines() == [f"broken {number}" for number in range(100)]


# -- on a terminal ----------------------------------------------------------------------------------------------


class Terminal:
    """A pseudo-terminal as stdout, and what was written to it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, term: str = "xterm-256color") -> None:
        for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
            monkeypatch.delenv(name, raising=False)
        for name, value in (("TERM", term), ("COLUMNS", "100"), ("LINES", "30")):
            monkeypatch.setenv(name, value)
        pty = pytest.importorskip("pty")
        self._master, slave = pty.openpty()
        self._written: List[bytes] = []
        self._stream = os.fdopen(slave, "w", encoding="utf-8")
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        monkeypatch.setattr(sys, "stdout", self._stream)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # how Linux says that the other end has been closed
                return
            if not data:
                return
            self._written.append(data)

    def close(self) -> str:
        """What was written."""
        self._stream.close()
        self._reader.join()
        os.close(self._master)
        return b"".join(self._written).decode("utf-8")


def test_the_table_and_the_summary_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(monkeypatch)
    assert main(["demo", "--duration", "0.5"]) == 0
    table, summary = terminal.close().split("\x1b[?1049l")
    assert "\x1b[?1049h" in table
    for title in ("Quotes", "Positions", "Orders", "Latest events", "EURUSD"):
        assert title in table
    assert "Summary: " in summary
    assert "1 reconnect, 1 gap" in summary


def test_lines_on_a_terminal_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(monkeypatch)
    assert main(["demo", "--duration", "0.2", "--steady", "--plain"]) == 0
    written = terminal.close()
    assert "\x1b" not in written
    assert "pip install" not in written
    assert "OPEN, was CONNECTING" in written


def test_lines_on_a_terminal_that_cannot_move_its_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(monkeypatch, term="dumb")
    assert main(["demo", "--duration", "0.2", "--steady"]) == 0
    written = terminal.close()
    assert "\x1b" not in written
    assert "OPEN, was CONNECTING" in written


def test_without_rich_it_says_how_to_get_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "onetrade_ws.demo.screen", raising=False)
    monkeypatch.setitem(sys.modules, "rich.cells", None)
    terminal = Terminal(monkeypatch)
    assert main(["demo", "--duration", "0.2", "--steady"]) == 0
    lines = terminal.close().splitlines()
    assert lines[0] == "For a live table instead of these lines: pip install 'onetrade-ws[cli]'"
    assert "OPEN, was CONNECTING" in "\n".join(lines)


def test_ctrl_c_on_a_terminal_gives_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    pty = pytest.importorskip("pty")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
    master, slave = pty.openpty()
    # A program started in the background of a script has Ctrl-C ignored, and so have its children.
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from onetrade_ws.cli import main; sys.exit(main(['demo', '--duration', '3600']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
    )
    os.close(slave)
    written = b""
    interrupted: Optional[int] = None
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:
            break
        if not data:
            break
        written += data
        if interrupted is None and b"Latest events" in written:
            interrupted = len(written)
            process.send_signal(signal.SIGINT)
    os.close(master)
    assert process.wait(30) == 0
    assert interrupted is not None
    after = written.split(b"\x1b[?1049l")[1]
    assert b"Summary: " in after
    assert b"Traceback" not in written
