"""Pools of planted fields: a market that two of them move, and the fits that tests ask for."""

from __future__ import annotations

from typing import Any

import numpy as np

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.pool_records import PoolRecord
from agent.knowledge.run_config import ScoringRules
from agent.pools.fitting import Setting, fit_pools, weights_of
from agent.pools.members import (
    MeasuredFactors,
    choose_members,
    measure_members,
)
from agent.pools.weighting import Method
from agent.study.settings import BacktestSettings, Settings, SplitSettings
from agent.study.study import Study
from market.panel import Panel
from market.synthetic.demo_market import SynthSpec, make_market

BARS = 3000
FREE = Settings(
    backtest=BacktestSettings(fee_bp=0.0, slippage_bp=0.0),
    split=SplitSettings(train=0.7, validation=0.15, max_lookback=60),
)


def planted(effects: dict[str, float], seed: int = 1) -> Panel:
    """A simulated market whose returns are moved, in bp a unit, by independent fields ``idea_...`` two bars before."""
    panel = make_market(SynthSpec(seed=seed, bars=BARS, effect_bp=0.0, crashes=0)).panel
    rng = np.random.default_rng(seed)
    fields = {name: rng.normal(size=panel.shape) for name in effects}
    push = np.zeros(panel.shape)
    push[2:] = 1e-4 * sum(effects[name] * values[:-2] for name, values in fields.items())
    growth = np.exp(np.cumsum(push, axis=0))
    moved = {name: panel[name] * growth for name in ("open", "high", "low", "close")}
    return panel.with_fields({**moved, **fields})


def measured_of(study: Study, kb: KnowledgeBase, *texts: str) -> MeasuredFactors:
    return measure_members(choose_members(study, kb, factors=texts), study)


def fit(measured: MeasuredFactors, kb: KnowledgeBase, *methods: Method, **options: Any) -> list[PoolRecord]:
    setting = Setting("toy", ScoringRules(FREE.rules()))
    found = [pool for _, pool in fit_pools(measured, methods, kb, setting, **options)]
    assert all(isinstance(pool, PoolRecord) for pool in found), found
    return [pool for pool in found if isinstance(pool, PoolRecord)]


def weights_by_text(pool: PoolRecord) -> dict[str, float]:
    return {m.text: float(w) for m, w in zip(pool.members, weights_of(pool), strict=True)}
