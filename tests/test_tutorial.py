"""The tutorial: every command is run in the order of the page, and prints what the page quotes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.agent.commands import run
from tests.pages import ROOT

PAGE = ROOT / "docs" / "tutorial.md"
_FENCED = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def plain(text: str) -> str:
    """Return printed text without the way it is broken into lines."""
    return " ".join(text.split())


@pytest.mark.slow
def test_the_tutorial_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    printed, names, last = "", {}, ""
    for kind, code in _FENCED.findall(PAGE.read_text(encoding="utf-8")):
        if kind == "python":
            exec(compile(code, "tutorial", "exec"), {})
            continue
        if kind == "text":
            for line in code.splitlines():
                assert plain(line) in plain(printed), f"after `{last}`"
            continue
        assert kind == "sh"
        for line in code.splitlines():
            last = line
            words = [names.get(word, word) for word in shlex.split(line)]
            if words[0] == "cd":
                monkeypatch.chdir(words[1])
                continue
            assert words[0] == "alphaglow"
            status, out, err = run(capsys, *words[1:])
            assert status == 0, (line, err)
            printed = out + err
            # Later commands name what earlier ones printed: the run of the loop, and the factor that was accepted.
            if found := re.search(r"run (r\w{12}) finished: \d+ attempts", plain(printed)):
                names["RUN"] = found[1]
            if words[1] == "eval" and (found := re.search(r"accepted after.*factor:(\w{10})", plain(printed))):
                names["FACTOR"] = found[1]
    assert set(names) == {"RUN", "FACTOR"}
    assert list(tmp_path.glob("study/reports/*.html"))
