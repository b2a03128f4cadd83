"""Pools at their limits: members that are all one idea, a member whose field is gone, and the aim traded live."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import lfilter

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.pool_records import PoolRecord
from agent.knowledge.run_config import ScoringRules
from agent.live.arrivals import Arrivals, WaitLimits
from agent.live.paper_check import against_backtest
from agent.live.service import SignalService
from agent.live.signal_journal import FILE, SignalJournal
from agent.live.signal_source import open_signal
from agent.pools.fitting import Setting, fit_pools, pool_values, weights_of
from agent.pools.members import choose_members, measure_members
from agent.study.settings import BacktestSettings, Settings, SplitSettings
from agent.study.study import open_study
from agent.study.workspace import Workspace
from market.errors import InputError
from market.panel import Panel
from market.panel_store import save_panel
from market.synthetic.demo_market import SynthSpec, make_market
from tests.agent.commands import as_json
from tests.agent.signal_helpers import replay_of

DEAR = Settings(backtest=BacktestSettings(fee_bp=3.0, slippage_bp=0.0), split=SplitSettings(max_lookback=60))
CLONES = ("ts_mean(idea, 6)", "ts_mean(idea, 6) * 2 + 1", "cs_rank(ts_mean(idea, 6))", "power(ts_mean(idea, 6), 3)")


@pytest.fixture(scope="module")
def panel() -> Panel:
    """Two fields move the returns that come two bars later."""
    base = make_market(SynthSpec(seed=1, bars=2000, assets=16, effect_bp=0.0, crashes=0)).panel
    rng = np.random.default_rng(1)
    # Each lasts for some ten bars, so that one may follow it slowly.
    fields = {name: lfilter([0.44], [1.0, -0.9], rng.normal(size=base.shape), axis=0) for name in ("idea", "other")}
    push = np.zeros(base.shape)
    push[2:] = 4e-4 * (fields["idea"] + fields["other"])[:-2]
    growth = np.exp(np.cumsum(push, axis=0))
    return base.with_fields({**{n: base[n] * growth for n in ("open", "high", "low", "close")}, **fields})


def aim_of(panel: Panel, kb: KnowledgeBase, *texts: str) -> PoolRecord:
    kb.register_dataset(panel)
    study = open_study(panel, DEAR)
    measured = measure_members(choose_members(study, kb, factors=texts), study)
    ((_, pool),) = fit_pools(measured, ["aim"], kb, Setting("toy", ScoringRules(DEAR.rules())))
    assert isinstance(pool, PoolRecord), pool
    return pool


def test_a_pool_of_clones_is_its_one_idea(panel: Panel, tmp_path: Path) -> None:
    with KnowledgeBase.open(tmp_path / "knowledge.db") as kb:
        many, one = aim_of(panel, kb, *CLONES), aim_of(panel, kb, CLONES[0])
    # Whatever the weights are, they are finite, add up to one, and the pool is traded as the idea alone would be.
    weights = weights_of(many)
    assert np.isfinite(weights).all()
    assert weights.sum() == pytest.approx(1.0)
    assert many.spec.hyperparameters["rate"] == one.spec.hyperparameters["rate"]
    for part in ("train", "validation"):
        alike, alone = getattr(many.scorecard, part), getattr(one.scorecard, part)
        assert alike.sharpe_net == pytest.approx(alone.sharpe_net, rel=0.05)
        assert alike.turnover == pytest.approx(alone.turnover, rel=0.05)


def test_a_member_whose_field_is_gone_is_named(panel: Panel, tmp_path: Path) -> None:
    with KnowledgeBase.open(tmp_path / "knowledge.db") as kb:
        pool = aim_of(panel, kb, "ts_mean(idea, 6)", "ts_mean(other, 6)")
        assert np.isfinite(pool_values(pool, panel)[-1]).all()
        fields = {name: values for name, values in panel.fields.items() if name != "other"}
        left = Panel(panel.times, panel.assets, fields, panel.universe, panel.bar)
        with pytest.raises(InputError) as told:
            pool_values(pool, left)
        assert "other" in told.value.message
        (tmp_path / "alphaglow.toml").write_text("")
        with pytest.raises(InputError) as refused:
            open_signal(Workspace(tmp_path), kb, "toy", left, pool=pool.id)
        assert "ts_mean(other, 6) cannot be read on this data" in refused.value.message


def test_an_aim_traded_live_is_its_backtest(
    home: Path, panel: Panel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Decisions, fills and returns, each bar to 1e-12, under the rate that was chosen on train."""
    workspace = Workspace(home)
    save_panel(panel, workspace.data_path("planted"))
    (home / "alphaglow.toml").write_text("[backtest]\nfee_bp = 10.0\nslippage_bp = 0.0\n[split]\nmax_lookback = 60\n")
    as_json(
        capsys, "pool", "fit", "--data", "planted", "--name", "goal", "--method", "aim", "-f", "idea", "-f", "other"
    )
    with workspace.knowledge() as knowledge:
        portfolio = open_signal(workspace, knowledge, "planted", panel, pool="goal", use_gate=False)
        record = knowledge.get_pool("goal")
    assert portfolio.spec.rate == record.spec.hyperparameters["rate"] < 1.0
    first, bars = 1900, 60
    feed, clock = replay_of(panel, first)
    service = SignalService(portfolio, panel.rows(0, first), SignalJournal.open(tmp_path / FILE), "replay")
    watching = Arrivals(feed, clock, service.newest, panel.bar, WaitLimits(2.0, 120.0, 5.0), owed=service.owed())
    assert len(list(itertools.islice(service.work(watching.watch()), bars))) == bars
    compared = against_backtest(portfolio, service.journal, service.id, panel.rows(0, first + bars))
    assert (compared["bars"], compared["missed"]) == (bars, 0)
    for name in ("weight", "return", "equity"):
        assert float(str(compared[f"largest_{name}_difference"])) <= 1e-12
    # What is decided is the pool's signal as it was fitted, and the portfolio moves slowly towards it.
    traded = [abs(float(str(fill["change"]))) for fill in service.journal.fills(service.id, 10_000)]
    assert traded
