"""A log says at once what began, and then how far it is; not more often than asked."""

from __future__ import annotations

import pytest

from agent.cli.plain_progress import plain_progress


def test_what_begins_is_said_at_once_and_steps_not_too_often(capsys: pytest.CaptureFixture[str]) -> None:
    tell = plain_progress("reading", every=3600.0)
    assert capsys.readouterr().err == "reading\n"
    tell("epoch", 1, 5)
    assert capsys.readouterr().err == ""
    tell = plain_progress("reading", every=0.0)
    tell("epoch", 2, 5)
    assert capsys.readouterr().err.splitlines() == ["reading", "epoch: 2 of 5"]
