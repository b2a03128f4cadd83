"""A factor's own trading rule, from `eval --rule` to its record, its later uses and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.knowledge.score_documents import read_evidence, read_scorecard
from agent.live.signal_source import open_signal
from agent.study.workspace import Workspace
from backtest.rule_grid import RuleGrid, TradingRule
from backtest.rule_words import chosen_rule, rule_of, rule_sentence
from backtest.trading_rules import BacktestSpec
from tests.agent.commands import as_json, refused, run

FACTOR = "ts_mean(returns, 48)"
_LATER = ("rate", "band", "volatility_scaled", "rules", "market_neutral", "liquid_half")
_FIRST = ("rate", "band", "holding", "volatility_scaled", "net_z", "sharpe_net", "turnover")
# What is chosen from on bars of an hour.
HOURLY = RuleGrid.around(BacktestSpec(), 8766.0).rules()


def test_a_rule_is_chosen_recorded_and_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = as_json(capsys, "eval", FACTOR, "--rule", "as set")
    own = as_json(capsys, "eval", FACTOR, "--rule", "auto")
    # Other rules are a further trial; the choice costs the score of earns, and nothing of predicts.
    assert (plain["trials"], own["trials"]) == (1, 2)
    evidence, card = read_evidence(own["evidence"]), read_scorecard(own["scorecard"])
    assert evidence.earns.rules == len(card.rules) == len(HOURLY)
    assert evidence.earns.z < evidence.earns.plain_z
    assert (evidence.predicts.rules, evidence.predicts.z) == (0, read_evidence(plain["evidence"]).predicts.z)
    rule = chosen_rule(card)
    assert rule is not None
    assert own["rule"] == rule.to_dict()
    scores = [one.net_z for one in card.rules]
    assert rule == rule_of(card.rules[int(np.argmax(scores))])
    # The rule of the settings comes first: what is read of it is what the plain look saw.
    assert card.rules[0].net_z == pytest.approx(plain["scorecard"]["train"]["net_z"], abs=1e-9)
    best = max(card.rules, key=lambda one: one.net_z)
    assert card.train.net_z == pytest.approx(best.net_z, abs=1e-9)
    assert card.train.sharpe_net == pytest.approx(best.sharpe_net, abs=1e-9)
    assert card.train.turnover == pytest.approx(best.turnover, abs=1e-9)
    code, out, _ = run(capsys, "eval", FACTOR, "--rule", "auto", "--full")
    assert code == 0
    assert "no further trial" in out
    assert "Trading rules, on train" in out
    assert rule_sentence(card) in out.replace("\n", " ")
    assert f"break-even cost {card.train.break_even_bp:.1f} bp" in rule_sentence(card)
    assert "half-life of the signal" in out


def test_the_recorded_rule_is_traded_later(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "alphaglow.toml").write_text('[backtest]\nrule = "auto"\n')
    own = as_json(capsys, "eval", FACTOR)
    workspace = Workspace(home)
    panel = workspace.load_panel("toy")
    with workspace.knowledge() as knowledge:
        recorded = open_signal(workspace, knowledge, "toy", panel, factors=[own["factor"]])
        by_text = open_signal(workspace, knowledge, "toy", panel, factors=[FACTOR])
        # The same ranks, and no record of it.
        chosen_now = open_signal(workspace, knowledge, "toy", panel, factors=[f"3 * {FACTOR}"])
    assert TradingRule.of(recorded.spec).to_dict() == own["rule"]
    assert by_text.id == recorded.id
    assert not any("chosen on train as it is now" in note for note in by_text.notes)
    assert TradingRule.of(chosen_now.spec) == TradingRule.of(recorded.spec)
    assert any("chosen on train as it is now" in note for note in chosen_now.notes)
    written = as_json(capsys, "export", own["factor"], "--to", "pandas")
    assert f"'rate': {own['rule']['rate']}" in written["source"]
    opened = as_json(capsys, "holdout", own["factor"], "--yes")
    code, _, err = run(capsys, "report", own["factor"], "-o", "page.html")
    assert code == 0, err
    assert f"the best of {len(HOURLY)} rules on train" in (home / "page.html").read_text()
    (home / "alphaglow.toml").write_text('[backtest]\nrule = "as set"\n')
    assert opened["turnover"] < as_json(capsys, "eval", FACTOR)["scorecard"]["train"]["turnover"]


def test_a_rule_of_a_file_and_what_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("slow.toml").write_text("rate = 0.1\nvolatility_scaled = true\n")
    slow = as_json(capsys, "eval", FACTOR, "--rule", "slow.toml")
    assert slow["rule"] == TradingRule(0.1, volatility_scaled=True).to_dict()
    assert slow["scorecard"]["rules"] == []
    assert slow["evidence"]["earns"]["rules"] == 0
    free = "market_neutral = true\n"
    Path("free.toml").write_text(free)
    neutral = as_json(capsys, "eval", FACTOR, "--rule", "free.toml")
    assert neutral["rule"] == TradingRule(market_neutral=True).to_dict()
    assert rule_of(read_scorecard(neutral["scorecard"])) == TradingRule(market_neutral=True)
    (home / "alphaglow.toml").write_text(f"[backtest]\n{free}")
    chosen = as_json(capsys, "eval", FACTOR)
    assert chosen["rule"]["market_neutral"] is True
    assert "neutral to the market" in chosen["rule_says"]
    assert "free_of_market" in as_json(capsys, "export", chosen["factor"], "--to", "pandas")["source"]
    Path("old.toml").write_text("[rule]\nspeed = 3\n")
    assert "old.toml: a trading rule has no speed" in refused(capsys, "eval", FACTOR, "--rule", "old.toml")
    assert "cannot read the rule gone.toml" in refused(capsys, "eval", FACTOR, "--rule", "gone.toml")
    Path("odd.toml").write_text("rate = \n")
    assert "not valid TOML" in refused(capsys, "eval", FACTOR, "--rule", "odd.toml")
    # A grid in which no rule trades: it is said, and nothing can be traded live.
    (home / "alphaglow.toml").write_text("[backtest]\nband = 0.9\n")
    idle = as_json(capsys, "eval", FACTOR)
    assert "none of 10 rules trades on train" in idle["rule_says"]
    assert idle["verdict"] == "rejected"
    code, _, err = run(capsys, "export", FACTOR, "--to", "pandas")
    assert code == 0
    assert "none of the 10 rules of the grid trades it on train" in err
    (home / "alphaglow.toml").write_text("[backtest]\nfee_bp = -1.0\n")
    assert "fee_bp" in refused(capsys, "eval", FACTOR, "--rule", "auto")


def test_what_is_unknown_of_a_rule_is_left_out_of_its_sentence(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = read_scorecard(as_json(capsys, "eval", FACTOR)["scorecard"])
    unknown = replace(card, train=replace(card.train, break_even_bp=np.nan, capacity=np.nan))
    assert "break-even" not in rule_sentence(unknown)
    assert "nan" not in rule_sentence(unknown)
    losing = replace(card, train=replace(card.train, break_even_bp=-3.0, capacity=2_500_000.0))
    assert "it loses before costs" in rule_sentence(losing)
    assert rule_sentence(losing).endswith("impact halves its net Sharpe at a capital of 2,500,000")


def test_scorecards_of_before_there_was_a_choice_are_read(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = as_json(capsys, "eval", FACTOR)["scorecard"]
    old = {k: v for k, v in card.items() if k not in _LATER}
    found = read_scorecard(old)
    assert (found.rate, found.band, found.rules, chosen_rule(found)) == (1.0, 0.0, (), None)
    assert rule_sentence(found) == ""
    # A chosen rule of before rules knew the market and the liquid half.
    bare = {k: v for k, v in card.items() if k not in ("market_neutral", "liquid_half")}
    bare["rules"] = [{k: v for k, v in row.items() if k in _FIRST} for row in card["rules"]]
    assert chosen_rule(read_scorecard(bare)) == chosen_rule(read_scorecard(card))
    assert read_scorecard(bare) == read_scorecard(card)
