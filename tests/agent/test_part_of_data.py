"""`--since`, `--until` and `--assets`: work on a part of a data set, recorded so that it is opened again."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.study.opening import RecordedRules, open_data
from agent.study.workspace import Workspace
from tests.agent.commands import as_json, prepare, run

FACTOR = "-ts_delta(close, 5) / close"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("part") / "w"
    prepare("init", str(root))
    prepare("-w", str(root), "data", "synth", "--bars", "1500", "--name", "toy")
    return root


def test_a_run_on_a_part_goes_on_with_it(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = Workspace(made)
    whole = open_data(work, "toy").whole
    since = str(whole.times[300].astype("datetime64[h]"))
    chosen = whole.assets[:11]
    words = ("-w", str(made))
    shown = as_json(capsys, *words, "data", "show", "--since", since, "--assets", ",".join(chosen))
    assert (shown["bars"], shown["assets"]) == (len(whole.times) - 300, 11)
    seen = as_json(capsys, *words, "eval", FACTOR, "--since", since, "--assets", ",".join(chosen))
    assert seen["data"] == shown["id"]
    with work.knowledge() as knowledge:
        recorded = knowledge.get_run(seen["run"])
    assert recorded.config.data == shown["name"]
    assert recorded.panel_id == shown["id"]
    # What the run recorded, and its data set named alone, both mean the part.
    for data in (None, "toy", shown["name"]):
        again = open_data(work, data, RecordedRules.of_run(recorded))
        assert (again.whole.id, again.name) == (shown["id"], shown["name"])
    # Trials on the part count for the whole, of which it is most bars.
    code, _, err = run(capsys, *words, "eval", "ts_std(returns, 30)")
    assert code == 0
    assert f"shares 73 % of its bars with simulated market{shown['name'].removeprefix('toy')} (1 trial)" in err
    code, out, _ = run(capsys, *words, "screen", "--random", "3", "--keep", "0", "--since", since, "--json")
    assert code == 0, out
    with work.knowledge() as knowledge:
        assert {one.config.data for one in knowledge.runs() if one.config.kind == "screen"} == {f"toy@{since}.."}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("eval", FACTOR, "--data", "toy@2024-01-02..", "--assets", "A"), "says dates or assets already"),
        (("eval", FACTOR, "--data", "toy@yesterday.."), "is no date"),
        (("eval", FACTOR, "--data", "toy@2024..2025@A@B"), "is no part of a data set; write NAME@2022-01-01.."),
        (("eval", FACTOR, "--since", "soon"), "--since 'soon' is no date"),
        (("data", "resample", "--data", "toy@2024..", "--to", "4h"), "no data set 'toy@2024..'"),
    ],
)
def test_what_is_no_part_is_one_line(
    made: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    code, _, err = run(capsys, "-w", str(made), *words)
    assert code == 2
    assert says in err
    assert len(err.strip().splitlines()) == 1
