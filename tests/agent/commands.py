"""The command line as tests call it: in this process, with its exit code and what it printed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.cli.main import main


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Run the command line in this process; return exit code, stdout, stderr."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(list(argv))
    out, err = capsys.readouterr()
    code = stop.value.code
    return (code if isinstance(code, int) else 1), out, err


def as_json(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    """Return the last line: of `mine`, which prints an event a line, the summary; else the one document."""
    code, out, err = run(capsys, *argv, "--json")
    assert code == 0, err
    return json.loads(out.splitlines()[-1])


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Return what stderr says of bad input: exit code 2, no traceback, nothing on stdout."""
    code, out, err = run(capsys, *argv)
    assert code == 2, (out, err)
    assert "Traceback" not in err
    assert out == ""
    return err
