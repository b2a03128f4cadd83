"""From settings to rules: presets, universes, groups, cutoffs, blinded prompts; and data that is poor but honest."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.run_config import RunConfig, ScoringRules, read_rules
from agent.mining.briefing import describe_market
from agent.study.scoring import evaluate_expression
from agent.study.settings import Settings, load_settings, overrides, sections
from agent.study.settings_text import default_toml, settings_page
from agent.study.study import Study, backtest_expression, make_policy, make_spec, open_study, read_expression, remarks
from backtest.costs import PRESETS
from backtest.policy import Policy
from backtest.scorecard import Scored
from backtest.trading_rules import BacktestSpec
from factors.tree import Expression
from market.errors import InputError, Rejection
from market.panel import Panel
from market.synthetic.demo_market import TRUTH, SynthSpec, make_market
from tests.agent.commands import as_json, refused, run


def settings(**sections: dict[str, Any]) -> Settings:
    return Settings.model_validate(sections)


@pytest.fixture(scope="module")
def whole() -> Panel:
    return make_market(SynthSpec(bars=3000)).panel


def scored(study: Study, text: str = TRUTH) -> Scored:
    expression = read_expression(text, study)
    assert isinstance(expression, Expression)
    found = backtest_expression(expression, study)
    assert not isinstance(found, Rejection), found
    return found[1]


def test_the_defaults_are_the_rules_own() -> None:
    assert make_spec(Settings()) == BacktestSpec()
    assert make_policy(Settings()) == Policy()


def test_what_init_writes_are_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(default_toml())
    assert load_settings(tmp_path / "a.toml") == Settings()


def test_the_committed_files_are_generated_from_the_declarations() -> None:
    root = Path(__file__).resolve().parents[2]
    assert (root / "alphaglow.toml").read_text() == default_toml()
    assert (root / "docs" / "settings.md").read_text() == settings_page()


def test_every_setting_has_a_sentence_and_stands_in_the_file() -> None:
    text = default_toml()
    for section, kind in sections().items():
        for name, field in kind.model_fields.items():
            assert (field.description or "").endswith("."), (section, name)
            assert f"\n{name} = " in text or f"\n# {name} = " in text, (section, name)


def test_the_library_and_the_settings_have_the_same_defaults(whole: Panel) -> None:
    from agent.study.gates import gate_plan
    from flows.gate import GatePlan
    from market.split import make_split
    from market.universe import liquid_universe

    fitted, plan = gate_plan(Settings(), whole), GatePlan()
    assert replace(fitted, flow=replace(fitted.flow, seed=plan.flow.seed)) == plan
    now = Settings()
    study = {f.name: f.default for f in fields(Study)}
    assert (now.loop.max_seconds, now.loop.max_gigabytes) == (study["max_seconds"], study["max_gigabytes"])
    assert (now.loop.blind, now.backtest.group_neutral) == (study["blind"], study["group_neutral"])
    assert now.universe.model_dump() == _defaults(liquid_universe)
    train, validation = now.split.train, now.split.validation
    assert (train, validation) == _defaults(make_split)["fractions"][:2]


def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    found = inspect.signature(function).parameters.values()
    return {one.name: one.default for one in found if one.default is not inspect.Parameter.empty}


def test_environment_variables_replace_what_the_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.toml").write_text("[loop]\nrounds = 9\nturns = 2\n")
    for name, text in {
        "ALPHAGLOW_LOOP__ROUNDS": "3",
        "ALPHAGLOW_GATE__STEPS": "[12, 2]",
        "ALPHAGLOW_LLM__MODEL": "5",
        "ALPHAGLOW_LLM__KNOWLEDGE_CUTOFF": "2024-06-01",
        "ALPHAGLOW_GATE__SIDE": "both",
        "ALPHAGLOW_LOOP__STRICT": "true",
        "ALPHAGLOW_REQUIRE_POSTGRES": "1",
    }.items():
        monkeypatch.setenv(name, text)
    now = load_settings(tmp_path / "a.toml")
    assert (now.loop.rounds, now.loop.turns, now.gate.steps, now.llm.model) == (3, 2, (12, 2), "5")
    assert (now.llm.knowledge_cutoff, now.gate.side, now.loop.strict) == (date(2024, 6, 1), "both", True)


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("ALPHAGLOW_LOOP__ROUNDS", "many", "ALPHAGLOW_LOOP__ROUNDS: .*integer"),
        ("ALPHAGLOW_LOOP__ROUND", "3", "ALPHAGLOW_LOOP__ROUND names no setting"),
        ("ALPHAGLOW_ADMISSION__GATES", '["luck"]', "ALPHAGLOW_ADMISSION__GATES: .*there are novelty"),
    ],
)
def test_a_wrong_environment_variable_is_named(tmp_path: Path, variable: str, text: str, says: str) -> None:
    (tmp_path / "a.toml").write_text("")
    with pytest.raises(InputError, match=says):
        load_settings(tmp_path / "a.toml", {variable: text})
    assert overrides({"PATH": "/bin", "ALPHAGLOW_KNOWLEDGE": "a.db"}) == {}


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_fills_in_what_is_not_said(name: str) -> None:
    spec = make_spec(settings(backtest={"preset": name}))
    assert spec.costs.fee_bp == PRESETS[name]["fee_bp"]
    own = make_spec(settings(backtest={"preset": name, "fee_bp": 1.25}))
    assert own.costs.fee_bp == 1.25
    assert own.costs.slippage_bp == PRESETS[name]["slippage_bp"]


def test_what_a_run_recorded_comes_back(whole: Panel) -> None:
    then = settings(backtest={"preset": "bybit_perp", "rebalance": 3}, admission={"level": 0.1}, loop={"seed": 5})
    recorded = read_rules(json.loads(json.dumps(then.rules())))
    assert Settings().under(recorded).rules() == then.rules()
    # A run of an older version recorded less: today's settings stand for the rest.
    assert settings(admission={"level": 0.2}).under(ScoringRules({"loop": {"seed": 5}})).admission.level == 0.2


@pytest.mark.parametrize(
    ("section", "text", "says"),
    [
        ("backtest", 'preset = "moon"', "no preset 'moon'"),
        ("backtest", "fee_bp = -1", "backtest.fee_bp"),
        ("admission", 'gates = ["luck"]', "there are novelty"),
        ("admission", 'gates = ["earns", "earns"]', "twice"),
        ("universe", "top = -2", "universe.top"),
        ("llm", 'knowledge_cutoff = "soon"', "knowledge_cutoff"),
    ],
)
def test_wrong_settings_name_what_is_wrong(tmp_path: Path, section: str, text: str, says: str) -> None:
    (tmp_path / "a.toml").write_text(f"[{section}]\n{text}\n")
    with pytest.raises(InputError, match=says):
        load_settings(tmp_path / "a.toml")


def test_groups_of_the_language_neutralise_positions(whole: Panel) -> None:
    study = open_study(whole, settings(backtest={"group_neutral": "bucket(ts_mean(amount, 48), 3)", "rule": "as set"}))
    groups = study.target.groups
    assert groups is not None
    weights = scored(study).backtest.weights
    t = 1500
    for group in np.unique(groups[t][np.isfinite(groups[t])]):
        assert weights[t][groups[t] == group].sum() == pytest.approx(0.0, abs=1e-12)
    with pytest.raises(InputError, match="group_neutral"):
        _ = open_study(whole, settings(backtest={"group_neutral": "close"})).target


def test_the_universe_narrows_what_is_traded_and_not_the_count_of_trials(whole: Panel) -> None:
    wide, narrow = open_study(whole, Settings()), open_study(whole, settings(universe={"top": 11, "days": 5}))
    assert narrow.dataset == wide.dataset
    assert narrow.panel.universe[500:].sum(axis=1).max() == 11
    positions = scored(narrow).backtest.weights != 0
    assert not (positions & ~narrow.panel.universe)[:-1].any()


def test_bars_after_the_cutoff_are_scored_apart_and_kept_from_prompts(whole: Panel) -> None:
    day = date.fromisoformat(str(whole.times[2300])[:10])
    study = open_study(whole, settings(llm={"knowledge_cutoff": day}))
    card = scored(study).scorecard
    assert card.after_cutoff is not None
    assert card.after_cutoff.start[:10] > day.isoformat()
    plain = open_study(whole, Settings())
    assert scored(plain).scorecard.after_cutoff is None
    assert scored(plain).scorecard.train == card.train
    # A cutoff after the last bar leaves nothing to score.
    assert (
        scored(open_study(whole, settings(llm={"knowledge_cutoff": date(2100, 1, 1)}))).scorecard.after_cutoff is None
    )


def test_a_blinded_prompt_names_no_asset_and_no_date(whole: Panel) -> None:
    blind = describe_market(open_study(whole, Settings()))
    seeing = describe_market(open_study(whole, settings(loop={"blind": False})))
    year = str(whole.times[0])[:4]
    assert year not in blind
    assert not any(asset in blind for asset in whole.assets)
    assert year in seeing
    assert whole.assets[0] in seeing


def test_a_variation_of_an_accepted_factor_is_refused_by_its_returns(whole: Panel, tmp_path: Path) -> None:
    from agent.knowledge.records import NewAttempt
    from agent.study.scoring import evaluation_of

    study = open_study(whole, Settings())
    first, second = (
        read_expression(f"cs_rank(ts_mean(volume, 24) / ts_mean(volume, {slow}))", study) for slow in (168, 160)
    )
    assert isinstance(first, Expression)
    assert isinstance(second, Expression)
    with KnowledgeBase.open(tmp_path / "k.db") as knowledge:
        knowledge.register_dataset(whole)
        record = knowledge.create_run(whole.id, RunConfig(), 1)
        knowledge.start_round(record.id, 1, {})
        scoring = evaluate_expression(first, study, knowledge)
        assert not isinstance(scoring, Rejection)
        evaluation = evaluation_of(scoring)
        knowledge.record_attempt(
            NewAttempt(
                run_id=record.id, round=1, slot=0, text=first.text, canonical=first.text, factor_id=first.id,
                stage="evidence", evaluation=replace(evaluation, evidence=replace(scoring.evidence, accepted=True)),
            )
        )  # fmt: skip
        again = evaluate_expression(second, study, knowledge)
        assert not isinstance(again, Rejection)
        sanity = next(gate for gate in again.evidence.gates if gate.gate == "sanity")
        assert not sanity.passed
        assert sanity.numbers["correlation"] > 0.9
        assert first.text in " ".join(again.evidence.reasons)
        # It does not stand in its own way.
        itself = evaluate_expression(first, study, knowledge, recorded=True)
        assert not isinstance(itself, Rejection)
        assert next(gate for gate in itself.evidence.gates if gate.gate == "sanity").passed


def poor(whole: Panel) -> Panel:
    """A market with an asset of one bar, a day without any, and no volume at all."""
    fields = {name: np.array(values[:1200]) for name, values in whole.fields.items()}
    for values in fields.values():
        values[1:, 0] = np.nan
        values[600] = np.nan
    fields["volume"] = np.zeros((1200, whole.shape[1]))
    return Panel(
        whole.times[:1200], whole.assets, fields, np.isfinite(fields["close"]), whole.bar, simulated=True
    )  # fmt: skip


def test_poor_data_is_scored_and_its_effect_is_stated(whole: Panel) -> None:
    # A validation as short as was usual once: what it keeps is a remark.
    study = open_study(poor(whole), settings(split={"train": 0.7, "validation": 0.15}))
    said = " ".join(remarks(study))
    assert "no volume" in said
    assert "1 assets have fewer than 200 bars: AUR" in said
    assert "validation keeps only" in said
    card = scored(study, "-ts_returns(close, 5)").scorecard
    assert np.isfinite(card.train.sharpe_net)
    assert np.isnan(card.train.capacity)
    assert remarks(open_study(whole, Settings())) == ()


def test_too_short_a_split_is_refused_with_the_way_out(whole: Panel) -> None:
    with pytest.raises(InputError, match="too few"):
        open_study(whole.rows(0, 340), Settings())


def test_a_constant_signal_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "constant" in refused(capsys, "eval", "sign(close)", "--data", "toy")


def test_the_holdout_opens_again_only_when_insisted_and_reports_say_so(
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mined = as_json(capsys, "mine", "--llm", "mock", "--rounds", "1", "--candidates", "4", "--data", "toy")
    factor = mined["factors"][0]["factor"]
    first = as_json(capsys, "holdout", factor, "--yes", "--data", "toy")
    assert first["number"] == 1
    # Compounded over the bars of the holdout: hours, 8 760 a year.
    yearly = (1 + first["total_return"]) ** (8760 / first["n_bars"]) - 1
    assert yearly == pytest.approx(first["annual_return_net"])
    assert "--again" in refused(capsys, "holdout", factor, "--yes", "--data", "toy")
    second = as_json(capsys, "holdout", factor, "--yes", "--again", "--data", "toy")
    assert second["number"] == 2
    assert "total return, net" in run(capsys, "holdout", factor, "--yes", "--again", "--data", "toy")[1]
    assert second["sharpe_net"] == first["sharpe_net"]
    code, out, _ = run(capsys, "report", factor, "--data", "toy")
    assert code == 0
    page = Path(out.strip().splitlines()[-1].split()[-1]).read_text()
    assert "opened again (time 3)" in page
    assert second["opened_by"].split()[0] in page
    code, out, _ = run(capsys, "kb", "show", factor)
    assert "opened again (time 3)" in out


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_ledger_adds_up(home: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    path = home / f"ledger.{kind}"
    card = as_json(capsys, "eval", "-ts_returns(close, 5)", "--data", "toy", "--no-gate", "--ledger", str(path))
    ledger = pd.read_csv(path) if kind == "csv" else pd.read_parquet(path)
    net = ledger.gross - ledger.fees_slippage_borrow - ledger.impact - ledger.funding
    np.testing.assert_allclose(net, ledger.net, atol=1e-12)
    np.testing.assert_allclose(ledger.equity * (1 + ledger.net), ledger.equity_after, rtol=1e-9)
    np.testing.assert_allclose(ledger.equity[1:], ledger.equity_after[:-1], rtol=1e-9)
    weights = ledger.filter(like="w_").to_numpy()
    np.testing.assert_allclose(np.abs(weights).sum(axis=1), ledger.exposure, atol=1e-9)
    train = ledger.net[: card["scorecard"]["train"]["n_bars"]]
    wanted = card["scorecard"]["train"]["per_bar_sharpe_net"]
    assert train.mean() / train.std() == pytest.approx(wanted, rel=1e-9)
    assert "neither .csv" in refused(capsys, "eval", "close", "--data", "toy", "--ledger", str(home / "b.txt"))


def trials_of(attempts: list[dict[str, Any]], count: int) -> list[int]:
    """Return among how many trials each scored attempt of a whole run was tested."""
    assert len(attempts) == count
    return [a["evaluation"]["evidence"]["trials"] for a in attempts if a["evaluation"]]


def refused_before(attempts: list[dict[str, Any]]) -> list[int]:
    """Return, for each scored attempt, how many before it were refused: those could not be lucky."""
    return [
        sum(not before["evaluation"] for before in attempts[:place])
        for place, a in enumerate(attempts)
        if a["evaluation"]
    ]


def test_what_comes_first_is_deflated_by_all_that_is_to_come(
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    as_json(capsys, "mine", "--llm", "mock", "--rounds", "2", "--candidates", "4", "--data", "toy")
    first = as_json(capsys, "kb", "list", "--all")["attempts"]
    assert trials_of(first, 8) == [8 - refused for refused in refused_before(first)]
    # A second run on the same data comes on top.
    as_json(capsys, "mine", "--llm", "mock", "--rounds", "1", "--candidates", "3", "--seed", "9", "--data", "toy")
    both = as_json(capsys, "kb", "list", "--all")["attempts"][len(first) :]
    scored = sum(a["evaluation"] is not None for a in first)
    assert trials_of(both, 3) == [scored + 3 - refused for refused in refused_before(both)]
