"""The command line as tests call it: in this process, with its exit code and what it printed."""

from __future__ import annotations

import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout
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


def prepare(*argv: str) -> None:
    """Run the command line for a fixture that serves several tests: it must end well, and says nothing."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        # Such a fixture is made before the one that hides the developer's settings from each test.
        for name in [key for key in os.environ if key.startswith(("OPENAI_", "ALPHAGLOW_"))]:
            patch.delenv(name)
        with pytest.raises(SystemExit) as stop:
            main(list(argv))
    assert not stop.value.code, err.getvalue()


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
