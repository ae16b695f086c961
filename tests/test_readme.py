"""README.rst is the front door: every code block in it runs, and what it lists is what there is."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

import attrs
import docutils.core
import pytest

import onetrade_ws
from onetrade_ws import ClientEventType, EventMessageType, OneTradeClient, ReconnectPolicy
from onetrade_ws.config import Settings
from onetrade_ws.simulator import Simulator

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.rst").read_text(encoding="utf-8")


def code_blocks(language: str) -> List[str]:
    """The contents of the blocks in ``language``, with their indentation taken off."""
    pattern = rf"^\.\. code-block:: {language}\n\n((?:(?: {{4}}.*)?\n)+)"
    return [re.sub(r"(?m)^ {4}", "", block) for block in re.findall(pattern, README, re.MULTILINE)]


PYTHON_BLOCKS = code_blocks("python")

# What the client logs of a loss, and of each attempt that is refused after it.
LOST = re.compile(r".+; reconnecting (?:at once|in \d+\.\d s) \(attempt \d+\)")


@pytest.fixture
def environment() -> Iterator[Dict[str, str]]:
    """Credentials of a simulator with a lively market, for a program that knows them from the environment only."""
    with Simulator(quotes_per_second=200, trading_interval=0.05) as server:
        yield {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "PYTHONIOENCODING": "utf-8",
            "ONETRADE_WS_URL": server.ws_url,
            "ONETRADE_SESSION_ID": server.session_id,
            "ONETRADE_ACCESS_TOKEN": server.access_token,
        }


def test_it_renders_without_a_complaint() -> None:
    docutils.core.publish_doctree(README, settings_overrides={"halt_level": 2, "report_level": 5})


def test_every_block_is_one_of_the_languages_that_are_tested() -> None:
    assert README.count(".. code-block::") == len(PYTHON_BLOCKS) + len(code_blocks("sh"))
    assert len(PYTHON_BLOCKS) >= 6


@pytest.mark.parametrize("number", range(len(PYTHON_BLOCKS)))
def test_python_block(number: int, environment: Dict[str, str]) -> None:
    """Each prints something and ends well; one that waits for Ctrl-C gets it after a few lines."""
    block = PYTHON_BLOCKS[number]
    if "to_frame" in block:
        pytest.importorskip("pandas", reason="not run: pandas is not installed")
    # A program started in the background of a script has Ctrl-C ignored, and so have its children.
    program_text = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n{block}"
    program = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program_text],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert program.stdout is not None
    guard = threading.Timer(40, program.kill)
    guard.start()
    try:
        waits_for_ctrl_c = "client.wait()" in block
        lines = []
        for line in program.stdout:
            lines.append(line)
            if waits_for_ctrl_c and len(lines) == 3:
                program.send_signal(signal.SIGINT)
        _, errors = program.communicate()
    finally:
        guard.cancel()
        program.kill()
        program.communicate()
    assert bool(lines) == ("print(" in block)
    # Where no logging is set up Python shows what is logged. Only what the block cuts is lost.
    losses = [line for line in errors.splitlines() if line.startswith("the connection was lost: ")]
    others = [line for line in errors.splitlines() if not LOST.fullmatch(line)]
    assert (program.returncode, others, len(losses)) == (0, [], block.count("server.drop()"))


def test_the_first_quote_takes_six_lines() -> None:
    (first_quote,) = (block for block in PYTHON_BLOCKS if "first.event.data.bid" in block)
    assert len([line for line in first_quote.splitlines() if line.strip()]) <= 6


def test_what_was_missed_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = (block for block in PYTHON_BLOCKS if "handle_resynced" in block)
    exec(block, {})  # noqa: S102 - it is our own
    loaded, canceled, opened = capsys.readouterr().out.splitlines()
    assert loaded == "loaded: 1 orders"
    assert canceled.endswith("was PLACED and is CANCELED")
    assert opened.endswith("was opened meanwhile")


COMMANDS = [line.split("#")[0].split() for block in code_blocks("sh") for line in block.splitlines() if line]


def test_shell_blocks_name_targets_that_exist() -> None:
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))
    named = [target for program, target, *_ in COMMANDS if program == "make"]
    assert named == ["demo", "test"]
    assert set(named) <= targets


@pytest.mark.parametrize(
    "command", [command for command in COMMANDS if command[0] != "make"], ids=lambda command: command[-1]
)
def test_other_shell_commands(command: List[str]) -> None:
    """They run with the interpreter that the make targets install; here it is the one that runs the tests."""
    assert command[0] == ".venv/bin/python"
    # Some run until Ctrl-C.
    endless = {"--simulator": ["--seconds", "0.5"], "simulator": ["--duration", "0.5"]}
    seconds = endless.get(command[-1], [])
    finished = subprocess.run(
        [sys.executable, "-W", "error", *command[1:], *seconds],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=50,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
    assert finished.stdout


def documented_defaults() -> List[Tuple[str, str]]:
    table = README[README.index("**Settings**") : README.index("**Event**")]
    return re.findall(r"(?m)^``(\w+)``  +(\S.*?)  ", table)


def test_the_settings_table_lists_every_setting_with_its_default() -> None:
    settings = Settings(url="wss://h", http_url="https://h", api_key="k")
    listed = dict(documented_defaults())
    fields = {field.name for field in attrs.fields(Settings)}
    assert set(listed) == fields - {"url"}
    for name in ("heartbeat_interval", "heartbeat_timeout", "connect_timeout"):
        assert listed[name] == f"{getattr(settings, name)} s"
    for name in ("outgoing_limit", "events_limit", "history_limit"):
        assert listed[name] == f"{getattr(settings, name):,}"
    assert listed["queue_limit"] == f"{settings.queue_limit // 2**20} MiB"
    for name in ("account_updates", "allow_plaintext"):
        assert listed[name] == f"``{getattr(settings, name)}``"
    assert f"``{ReconnectPolicy()!r}``" in " ".join(README.split())


def test_every_public_name_is_in_it() -> None:
    missing = [
        name
        for name in onetrade_ws.__all__
        if name not in README and not (isinstance(getattr(onetrade_ws, name), type) and is_error(name))
    ]
    assert missing == []
    for event_type in [*EventMessageType, *ClientEventType]:
        assert f"``{event_type.name}``" in README
    members = [name for name in vars(OneTradeClient) if not name.startswith("_")]
    assert [name for name in members if name not in README] == []


def is_error(name: str) -> bool:
    # The tree is in errors.py; the README names the ones to know.
    return issubclass(getattr(onetrade_ws, name), Exception)


def test_every_error_that_it_names_exists() -> None:
    for name in re.findall(r"``(\w+Error)``", README):
        assert name in onetrade_ws.__all__
