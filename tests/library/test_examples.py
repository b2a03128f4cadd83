"""The examples run, print what they found, and leave nothing behind."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

QUICK = ("quick_start", "multi_source", "full_backtest")
LONG = ("factor_generation", "two_loops", "glow_gate", "realnvp_scenarios")


def _prints(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    importlib.import_module(f"examples.{name}").main()
    return capsys.readouterr().out


@pytest.mark.parametrize("name", QUICK)
def test_the_quick_examples_run(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "on train" in _prints(name, capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_the_longer_examples_run(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _prints(name, capsys)


def test_every_example_is_run() -> None:
    files = {path.stem for path in (Path(__file__).resolve().parents[2] / "examples").glob("[a-z]*.py")}
    assert files == {*QUICK, *LONG}
