"""What steers a run: not one bit of validation, unless it is asked for; then validation admits nothing any more."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import AttemptRecord
from agent.knowledge.steering import validation_steered
from agent.knowledge.stored_returns import StoredReturns
from agent.mining.search.added import ADDS, MEMBERS, added_scores
from agent.study.study import open_study
from agent.study.workspace import Workspace
from backtest.luck import fingerprint_of
from backtest.mean_test import mean_test
from market.panel_store import load_panel, save_panel
from tests.agent.commands import as_json, run
from tests.helpers import scored_attempt

MINE = ("mine", "--llm", "mock", "--rounds", "3", "--candidates", "6", "--no-gate", "--seed", "4")
# So that some of a few attempts pass, and pass by validation alone.
FREE = (
    '[backtest]\nrule = "as set"\nfee_bp = 0.0\nslippage_bp = 0.0\n[admission]\nlevel = 0.49\n'
    "gates = ['novelty', 'sanity', 'predicts']\n"
)


@dataclass(frozen=True)
class Mined:
    """All that a run asked and planned, and what people see of it."""

    asked: list[tuple[str, str]]
    briefs: list[str]
    lessons: list[tuple[str, str]]
    refused: list[tuple[str, str, str]]
    train: list[Mapping[str, object]]
    validation: list[Mapping[str, object]]
    verdicts: list[str]


def mined(
    folder: Path, capsys: pytest.CaptureFixture[str], settings: str, monkeypatch: pytest.MonkeyPatch, *more: str
) -> Mined:
    monkeypatch.chdir(folder)
    (folder / "alphaglow.toml").write_text(settings)
    found = as_json(capsys, *MINE, *more)
    with KnowledgeBase.open(folder / "knowledge.db") as kb:
        calls, attempts = kb.calls(found["run"]), kb.attempts(run_id=found["run"])
        lessons = kb.lessons(run_id=found["run"], limit=None)
    with sqlite3.connect(folder / "knowledge.db") as connection:
        briefs = [row[0] for row in connection.execute("SELECT brief FROM rounds ORDER BY number")]
    scored = [a.evaluation for a in attempts if a.evaluation is not None]
    return Mined(
        sorted((call.key, call.request) for call in calls),
        briefs,
        [(one.kind, one.text) for one in lessons],
        [(a.stage, str(a.code), str(a.message)) for a in attempts if a.evaluation is None],
        [e.scorecard.train.to_dict() for e in scored],
        [e.scorecard.validation.to_dict() for e in scored],
        [e.verdict for e in scored],
    )


@pytest.fixture
def twins(prepared: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two workspaces whose data are the same until train ends, and have nothing in common after it."""
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        shutil.copytree(prepared, folder)
    workspace = Workspace(other)
    panel = load_panel(workspace.data_path("toy"))
    stop = open_study(panel, workspace.settings).split.train.stop
    rng = np.random.default_rng(5)
    noise = np.ones(panel.shape)
    noise[stop:] = np.exp(rng.normal(0, 0.2, noise[stop:].shape))
    changed = {name: panel[name] * noise for name in ("open", "high", "low", "close")}
    volume = panel["volume"] * noise**9
    # Whole days without volume, and half of the assets without prices: what is refused must not say so either.
    volume[stop + 20 :] = np.nan
    for values in changed.values():
        values[stop:, ::2] = np.nan
    save_panel(panel.with_fields({**changed, "volume": volume}), workspace.data_path("toy"))
    return one, other


@pytest.mark.parametrize("rule", ["as set", "auto"])
def test_not_one_bit_of_validation_steers_a_run(
    twins: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    settings = FREE.replace("as set", rule)
    one, other = (mined(folder, capsys, settings, monkeypatch) for folder in twins)
    if rule == "auto":
        # With costs of nothing the quickest rule wins often; each is named where the factor is shown.
        assert any("of the way" in request or "all the way" in request for _, request in one.asked)
    # The runs differ in what validation says.
    assert all(a != b for a, b in zip(one.validation, other.validation, strict=True))
    if rule == "as set":
        assert one.verdicts != other.verdicts
        assert json.loads(one.briefs[-1])["blocks"]
        assert one.lessons
    # And in nothing else: train figures, all that was asked of writer and judge, plans, briefs, lessons, refusals.
    assert one.train == other.train
    assert len(one.asked) > 30
    assert one.asked == other.asked
    assert one.briefs == other.briefs
    assert len(one.briefs) == 3
    assert "related" in one.briefs[-1]
    assert json.loads(one.briefs[-1])["tasks"]
    assert one.lessons == other.lessons
    assert one.refused == other.refused


def test_with_feedback_validation_steers_and_admits_nothing(
    twins: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = f'{FREE}[loop]\nfeedback = "validation"\n'
    # Processors differ in the last bits of a simulated market, and the mock in what it draws then: in eight rounds some
    # verdict of an early one differs, whatever is drawn.
    one, other = (mined(folder, capsys, settings, monkeypatch, "--rounds", "8") for folder in twins)
    assert one.asked != other.asked
    assert any("passes every gate" in request for _, request in one.asked)
    assert "accepted" not in (*one.verdicts, *other.verdicts)
    assert "promising" in one.verdicts
    monkeypatch.chdir(twins[0])
    _, out, _ = run(capsys, *MINE, "--rounds", "1", "--seed", "9")
    assert "nothing on these data is accepted on validation" in " ".join(out.split())
    with KnowledgeBase.open(twins[0] / "knowledge.db") as kb:
        dataset = kb.runs()[-1].panel_id
        assert kb.runs()[-1].config.rules.sections["loop"]["feedback"] == "validation"
        assert validation_steered(kb, dataset)
        assert not validation_steered(kb, "other data")
    # A later run that asks for none is built on the same attempts, so it admits nothing either.
    (twins[0] / "alphaglow.toml").write_text(FREE)
    again = as_json(capsys, *MINE, "--rounds", "1", "--seed", "4")
    assert again["accepted"] == 0


def climbed(rng: np.random.Generator, bars: int, rounds: int, tries: int) -> np.ndarray:
    """Return the returns, on validation and on later bars, of what a search by validation's verdict ends with.

    A candidate mixes the best so far with something new; nothing has any skill.
    """
    best, best_z = rng.normal(size=(2, bars)), -np.inf
    for _ in range(rounds):
        for _ in range(tries):
            mixed = best + rng.normal(size=(2, bars)) if np.isfinite(best_z) else rng.normal(size=(2, bars))
            z = mean_test(mixed[0]).z
            if z > best_z:
                best, best_z = mixed / mixed.std(), z
    return best


def test_a_search_by_validation_spoils_the_test_on_it_and_not_the_one_on_later_bars() -> None:
    rng, runs, rounds, tries, level = np.random.default_rng(2), 200, 6, 4, 0.05
    ends = [climbed(rng, 250, rounds, tries) for _ in range(runs)]
    spoiled = np.mean([mean_test(end[0]).p <= level / (rounds * tries) for end in ends])
    later = np.mean([mean_test(end[1]).p <= level for end in ends])
    # Even a level divided by all that was tried is far too wide: candidates were chosen by what it said.
    assert spoiled > 0.25
    assert later <= level + 2 * np.sqrt(level * (1 - level) / runs)


def returns_of(number: int, series: np.ndarray) -> tuple[AttemptRecord, np.ndarray]:
    z = float(series.mean() / series.std() * np.sqrt(len(series)))
    card = {"train": {"net_z": z, "payoff_z": z, "sharpe_net": z}}
    return scored_attempt(number, f"ts_mean(close, {number + 2})", card), fingerprint_of(series)


def test_what_is_added_is_the_score_of_what_the_pool_does_not_explain() -> None:
    rng, bars = np.random.default_rng(4), 1000
    idea = 0.15 + rng.normal(size=bars)
    other = 0.15 + rng.normal(size=bars)
    clone, blend = idea + 0.1 * rng.normal(size=bars), idea + other
    better = idea + 0.2 + 0.4 * rng.normal(size=bars)
    known = [returns_of(k, series) for k, series in enumerate((idea, clone, other, blend, better))]
    stored = StoredReturns({}, {a.id: print_ for a, print_ in known})
    added = added_scores([a for a, _ in known], stored)
    # The intercept's t statistic of a regression on the pool, which idea and other are.
    pool = np.column_stack([np.ones(bars), idea, other])
    loadings, residual, *_ = np.linalg.lstsq(pool, better, rcond=None)
    error = np.sqrt(residual[0] / (bars - 3) * np.linalg.inv(pool.T @ pool)[0, 0])
    assert added[0] == pytest.approx(known[0][0].evaluation.train.net_z)  # type: ignore[union-attr]
    assert added[1] < ADDS < added[2]
    assert added[3] < ADDS
    assert added[4] == pytest.approx(loadings[0] / error, rel=0.15)
    # What came later changes nothing of what came before.
    assert added_scores([a for a, _ in known[:3]], stored) == {k: added[k] for k in range(3)}
    # Nothing of the pool is chosen by what is not on train: a verdict changes nothing.
    accepted = [replace(a, evaluation=replace(a.evaluation, accepted=True)) for a, _ in known if a.evaluation]
    assert added_scores(accepted, stored) == added


def test_a_full_pool_lets_its_weakest_go() -> None:
    rng = np.random.default_rng(6)
    known = [returns_of(k, 0.2 + 0.01 * k + rng.normal(size=600)) for k in range(2 * MEMBERS)]
    stored = StoredReturns({}, {a.id: print_ for a, print_ in known})
    added = added_scores([a for a, _ in known], stored)
    assert all(value > ADDS for value in added.values())
