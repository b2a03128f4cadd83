"""What a refusal says works: the options that it names read the file, and read it right."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.market.case_truths import MISREAD, NAMED, READ, WRONG, invoke, judge_bars
from tests.market.refused_shapes import refused_shapes


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    workspace = tmp_path_factory.mktemp("hints") / "w"
    assert invoke(workspace.parent, "init", str(workspace))[0] == 0
    out = {}
    for name, data, truth in refused_shapes():
        path: Path = workspace / name
        path.write_bytes(data)
        out[name] = judge_bars(workspace, path, truth)
    return out


def test_every_refusal_names_what_reads_the_file(outcomes: dict[str, tuple[str, str]]) -> None:
    bad = {name: said for name, (kind, said) in outcomes.items() if kind in (WRONG, MISREAD)}
    assert not bad, bad


def test_most_of_these_files_are_a_question(outcomes: dict[str, tuple[str, str]]) -> None:
    kinds = [kind for kind, _ in outcomes.values()]
    assert len(kinds) >= 40
    assert kinds.count(NAMED) >= 35, {name: kind for name, (kind, _) in outcomes.items() if kind == READ}
