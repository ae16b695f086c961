"""The command line: what it takes, what it refuses, and how it ends."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest

import onetrade_ws
from onetrade_ws import ConnectionState, NetworkError, OneTradeClient
from onetrade_ws.cli import main
from onetrade_ws.simulator import Simulator

ROOT = Path(__file__).resolve().parent.parent.parent


def test_without_a_command_it_prints_its_help_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "watch a simulated market" in capsys.readouterr().err


def test_it_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"onetrade-ws {onetrade_ws.__version__}\n"


def test_it_is_a_module_to_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["onetrade-ws", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("onetrade_ws", run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("onetrade-ws ")


def test_the_simulator_says_how_to_reach_it() -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "onetrade_ws", "simulator", "--duration", "60"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as server:
        try:
            assert server.stdout is not None
            lines = [server.stdout.readline().strip().split(" ", 1) for _ in range(3)]
            assert [verb for verb, _ in lines] == ["set" if os.name == "nt" else "export"] * 3
            with OneTradeClient.from_env(dict(line.split("=", 1) for _, line in lines)) as client:
                assert client.state is ConnectionState.OPEN
        finally:
            server.kill()


def test_the_simulator_ends_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulator", "--duration", "0.01"]) == 0
    assert "ONETRADE_WS_URL=ws://127.0.0.1:" in capsys.readouterr().out


def test_the_simulator_on_a_port_that_is_taken(
    simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulator", "--port", str(simulator.port)]) == 1
    assert "onetrade-ws: " in capsys.readouterr().err


def test_the_help_of_the_demo_states_its_duration(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--help"])
    assert ended.value.code == 0
    assert "default: 30" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--symbols", "EURUDS"], "argument --symbols: unknown symbol 'EURUDS': did you mean EURUSD?"),
        (
            ["--symbols", "EURUSD,nothing-like-it"],
            "unknown symbol 'nothing-like-it': there are EURUSD, GBPUSD",
        ),
        (["--symbols", "99"], "unknown symbol '99'"),
        (["--symbols", " , "], "no symbol given: there are EURUSD"),
        (["--duration", "0"], "argument --duration: '0' is not a number of seconds"),
        (["--duration", "inf"], "'inf' is not a number of seconds"),
        (["--duration", "nan"], "'nan' is not a number of seconds"),
        (["--duration", "soon"], "'soon' is not a number of seconds"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: List[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["demo", *arguments])
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


def test_a_reader_that_has_gone_ends_it_quietly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(["demo", "--plain", "--duration", "3600"]) == 0
    assert capsys.readouterr().err == ""


def test_a_failure_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise NetworkError("TCP", "127.0.0.1:1", "refused")

    monkeypatch.setattr("onetrade_ws.demo.show.run", fail)
    assert main(["demo"]) == 1
    assert capsys.readouterr().err == "onetrade-ws: TCP with 127.0.0.1:1 failed: refused\n"


def test_ctrl_c_before_there_is_anything_to_sum_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("onetrade_ws.demo.show.run", interrupt)
    assert main(["demo"]) == 130


def test_it_runs_as_a_module_and_without_rich() -> None:
    script = (
        "import runpy, sys; sys.modules['rich'] = None; runpy.run_module('onetrade_ws', run_name='__main__')"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, "demo", "--duration", "0.2", "--steady"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert b"Summary: " in result.stdout
    assert result.stderr == b""
