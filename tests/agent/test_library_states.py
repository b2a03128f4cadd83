"""`alphaglow library`: factors that are alive, turned and dead, where it is known which are."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.study.workspace import Workspace, init_workspace
from market.panel_store import save_panel
from market.synthetic.demo_market import TRUTH, SynthSpec, make_market
from tests.agent.commands import as_json, refused, run

TURNED = f"-({TRUTH})"
# Of past returns alone nothing is planted.
COINS = ("ts_mean(returns, 30)", "ts_skew(returns, 40)", "-ts_std(returns, 24)")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a market in which volume pays, and a file of factors."""
    home = tmp_path / "w"
    init_workspace(home)
    save_panel(make_market(SynthSpec(bars=3000, assets=14)).panel, Workspace(home).data_path("toy"))
    (home / "factors.txt").write_text("\n".join((*COINS, TRUTH, "nonsense(close)")), encoding="utf-8")
    (home / "turned.txt").write_text(f"{TURNED}\n{COINS[0]}\n", encoding="utf-8")
    monkeypatch.chdir(home)
    return home


def test_what_pays_is_alive_what_pays_turned_round_is_turned_and_the_rest_is_dead(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = as_json(capsys, "library", "factors.txt", "--data", "toy")
    states = {one["text"] or one["name"]: one["state"] for one in found["factors"]}
    assert [states[text] for text in (TRUTH, *COINS)] == ["alive", "dead", "dead", "dead"]
    assert states["nonsense(close)"] == "not scored"
    assert (found["alive"], found["turned"], found["dead"], found["not_scored"]) == (1, 0, 3, 1)
    # Both directions of each factor, under every rule.
    assert found["tests"] % (2 * 4) == 0
    page = Path(found["page"]).read_text(encoding="utf-8")
    # The page leads with the first of its sentences.
    assert all(part in page for part in found["sentence"].split("; after costs, ")[1].split(". ")) and "1 alive" in page
    assert page.index(">alive<") < page.index(">dead<")
    (one,) = (one for one in found["factors"] if one["state"] == "alive")
    assert one["p"] <= 0.05 < min(other["p"] for other in found["factors"] if other["state"] == "dead")
    # A factor and the same turned round are two trials each; the one that cannot be read is none.
    with Workspace(place).knowledge() as knowledge:
        assert len(knowledge.attempts(run_id=found["run_id"])) == 2 * 4
        assert knowledge.trials(knowledge.get_run(found["run_id"]).panel_id).evaluated == 8
    again = as_json(capsys, "library", "turned.txt", "--data", "toy")
    assert (again["alive"], again["turned"], again["dead"]) == (0, 1, 1)
    assert [one["turned"] for one in again["factors"] if one["state"] == "turned"] == [True]
    with Workspace(place).knowledge() as knowledge:
        # The same factors again are no further trials.
        assert knowledge.trials(knowledge.get_run(again["run_id"]).panel_id).evaluated == 8


def test_bad_input_is_a_sentence(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "alpha101, alpha158, gtja191" in refused(capsys, "library", "alpha99", "--data", "toy")
    (place / "none.txt").write_text("nonsense(close)\n", encoding="utf-8")
    assert "no factor that can be read" in refused(capsys, "library", "none.txt", "--data", "toy")
    assert run(capsys, "library", "--help")[0] == 0
