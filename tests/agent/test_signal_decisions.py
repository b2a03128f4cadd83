"""A bar at a time, the decision maker decides what the backtest decides of the whole panel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agent.live.decisions import DecisionMaker
from agent.live.feed import bar_at
from agent.live.gate_state import calibration_likelihood
from agent.live.signal_source import TradedSignal, batch_of, open_signal
from agent.pools.fitting import pool_values
from agent.study.gates import gate_path
from agent.study.study import open_study
from agent.study.workspace import Workspace
from flows.gate import rows_of
from flows.regime_store import load_regimes, regimes_path
from flows.regimes import market_states
from market.errors import InputError
from market.files import import_files
from market.funding import join_funding
from market.panel import FloatArray, Panel
from tests.agent.commands import run
from tests.agent.signal_helpers import FACTORS, signal_on
from tests.helpers import random_panel

FREE = "fee_bp = 0.0\nslippage_bp = 0.0\n"
RULES = {
    "plain": "",
    "kept and capped": "[backtest]\nholding = 7\nmax_weight = 0.08\n",
    "sparse": "[backtest]\nrebalance = 5\nband = 0.01\n",
    "slow": "[backtest]\nrate = 0.1\nband = 0.001\nvolatility_scaled = true\n",
    "quantile": '[backtest]\nweighting = "quantile"\nquantiles = 4\n',
    "long only": '[backtest]\nweighting = "long_only"\n',
    "z-score": '[backtest]\nweighting = "zscore"\nvolatility_scaled = true\n',
    "in groups": '[backtest]\ngroup_neutral = "bucket(volume, 3)"\n',
    "free of the market": '[backtest]\nmarket_neutral = true\nweighting = "zscore"\nholding = 3\n',
    "the half, one by one": '[backtest]\nliquid_half = true\nweighting = "timeseries"\n',
    "Kelly": f"[backtest]\nkelly = 0.5\nmax_leverage = 2.0\n{FREE}",
    "Kelly at the close": f'[backtest]\nkelly = 0.5\nfill = "close"\nholding = 3\n{FREE}',
    "risk capped": "[backtest]\nmax_risk = 0.0004\n",
    "impact": f"[backtest]\nkelly = 0.3\ncapital = 10.0\n{FREE}",
    "liquid": "[universe]\ntop = 14\ndays = 5.0\nrefresh_days = 2.0\n",
    "one by one": '[backtest]\nweighting = "timeseries"\n',
    "one by one, scaled": '[backtest]\nweighting = "timeseries"\nvolatility_scaled = true\nholding = 4\n',
}


@pytest.fixture(scope="module")
def gappy() -> Panel:
    """Listings, deaths, holes, and an hour in which nobody traded."""
    panel = random_panel(1500, 20, seed=5, gaps=0.002)
    fields = {name: np.array(values) for name, values in panel.fields.items()}
    for values in fields.values():
        values[:700, 3] = values[900:, 4] = values[1100:1190, 5] = np.nan
    fields["volume"][1000:1010, 6] = 0.0
    # The last hole ends at 1190: forty bars after it say what the whole rest would.
    keep = np.delete(np.arange(1230), [1153, 1154])
    fields = {name: values[keep] for name, values in fields.items()}
    return replace(panel, times=panel.times[keep], fields=fields, universe=np.isfinite(fields["close"]))


def largest_gap(portfolio: TradedSignal, panel: Panel, first: int) -> float:
    decider = DecisionMaker(portfolio, panel.rows(0, first))
    live = np.stack([decider.take(bar_at(panel, row)).weights for row in range(first, len(panel.times))])
    whole = batch_of(portfolio, panel).decided[first:]
    assert np.abs(whole).sum(axis=1).max() > 0.01
    return float(np.abs(live - whole).max())


@pytest.mark.parametrize("name", RULES)
def test_a_bar_at_a_time_is_the_batch(name: str, gappy: Panel, tmp_path: Path) -> None:
    # Kelly gives nothing to what loses: on this market the opposite earns.
    signs = "-" if name in ("Kelly", "impact") else ""
    portfolio = signal_on(gappy, tmp_path, RULES[name], [f"{signs}({text})" for text in FACTORS])
    assert largest_gap(portfolio, gappy, 1090) <= 1e-12


@pytest.mark.parametrize("universe", ["", "[universe]\ntop = 24\ndays = 5.0\nrefresh_days = 2.0\n"])
def test_the_liquid_half_without_the_market_is_the_batch_one(universe: str, tmp_path: Path) -> None:
    panel = random_panel(760, 28, seed=6, gaps=0.01)
    rules = "[backtest]\nmarket_neutral = true\nliquid_half = true\nrate = 0.1\n"
    portfolio = signal_on(panel, tmp_path, rules + universe)
    assert largest_gap(portfolio, panel, 700) <= 1e-12
    # From the first bars on, when no fact is known yet.
    assert largest_gap(portfolio, panel.rows(0, 150), 10) <= 1e-12
    few = signal_on(panel, tmp_path, rules + universe)
    with pytest.raises(InputError, match="a cross-section over 10 assets"):
        DecisionMaker(few, random_panel(300, 20))


def test_a_single_factor_and_a_short_history(gappy: Panel, tmp_path: Path) -> None:
    short, early = gappy.rows(0, 150), gappy.rows(0, 920)
    alone = signal_on(early, tmp_path, "[backtest]\nholding = 3\n", factors=FACTORS[:1])
    assert largest_gap(alone, short, 30) <= 1e-12
    # Past the listing at bar 700, to the death at 900.
    assert largest_gap(alone, early, 690) <= 1e-12
    series = signal_on(short, tmp_path, RULES["one by one"], factors=["close"])
    assert largest_gap(series, short, 3) <= 1e-12


def test_contributions_add_up_to_the_signal(gappy: Panel, tmp_path: Path) -> None:
    portfolio = signal_on(gappy, tmp_path)
    decider = DecisionMaker(portfolio, gappy.rows(0, 1220))
    decision = decider.take(bar_at(gappy, 1220))
    known = np.isfinite(decision.signal)
    assert known.sum() > 12
    np.testing.assert_allclose(np.nansum(decision.parts, axis=0)[known], decision.signal[known], atol=1e-9)


def test_small_universes_and_funding_at_the_close_are_refused(tmp_path: Path) -> None:
    few = random_panel(300, 5)
    with pytest.raises(InputError, match="timeseries"):
        DecisionMaker(signal_on(few, tmp_path), few)
    paying = random_panel(300, 12).with_fields({"funding": np.zeros((300, 12))})
    with pytest.raises(InputError, match="funding"):
        signal_on(paying, tmp_path, '[backtest]\nkelly = 0.5\nfill = "close"\n')


@pytest.mark.parametrize("settings", ["", '[backtest]\nfill = "close"\n', f"[backtest]\nkelly = 0.5\n{FREE}"])
def test_real_perpetuals_that_pay_funding(shared_data: Path, tmp_path: Path, settings: str) -> None:
    """Decisions of 120 hours of 22 real contracts, twelve of which pay funding that is recorded."""
    frame = pd.read_parquet(shared_data / "crypto_perp_1h.parquet")
    part = frame[frame.ts < pd.Timestamp("2023-04-15", tz="UTC")]
    part.to_parquet(tmp_path / "perp.parquet")
    panel = join_funding(import_files([tmp_path / "perp.parquet"]), shared_data / "crypto_funding_binance.parquet")
    portfolio = signal_on(panel, tmp_path / "w", settings, ["-ts_mean(funding_rate, 24)", "-ts_returns(close, 12)"])
    assert largest_gap(portfolio, panel, len(panel.times) - 120) <= 1e-12


GATE = """
[gate]
epochs = 2
max_rows = 3000
steps = 2
hidden = 8
hysteresis = {hysteresis}
scope = "{scope}"
measure = "{measure}"
refit_days = {refit}
neutral = true
"""


@pytest.mark.parametrize(
    ("scope", "hysteresis", "measure", "refit"),
    [("market", 0.25, "drawdown", 0.0), ("asset", 0.0, "over_gaussian", 0.0), ("asset", 0.4, "likelihood", 25.0)],
)
def test_the_gate_is_the_batch_one(
    scope: str,
    hysteresis: float,
    measure: str,
    refit: float,
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With a window, hysteresis and dated fits that change while bars are taken."""
    text = GATE.format(scope=scope, hysteresis=hysteresis, measure=measure, refit=refit)
    (home / "alphaglow.toml").write_text(text)
    assert run(capsys, "flow", "fit")[0] == 0
    workspace = Workspace(home)
    panel = workspace.load_panel("toy")
    with workspace.knowledge() as knowledge:
        portfolio = open_signal(workspace, knowledge, "toy", panel, factors=FACTORS)
    assert portfolio.gate is not None
    turns = [rows.start for _, rows in portfolio.gate.turns(panel)]
    # About the change from one fit to the next, where there are several.
    first = turns[-1] - 60 if refit else 2300
    panel = panel.rows(0, first + 120)
    decider = DecisionMaker(portfolio, panel.rows(0, first))
    took = [decider.take(bar_at(panel, row)) for row in range(first, first + 120)]
    batch = batch_of(portfolio, panel)
    assert batch.exposures is not None
    exposures: FloatArray = np.stack([one.exposure for one in took])
    assert 0 < exposures.mean() < 1
    np.testing.assert_allclose(exposures, batch.exposures[first:], rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.stack([one.weights for one in took]), batch.decided[first:], rtol=0, atol=1e-12)
    if refit:
        assert len(turns) > 1
        assert first < turns[-1] < first + 120


def test_percentile_regime_and_risk_are_those_of_the_flow(
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (home / "alphaglow.toml").write_text(GATE.format(scope="market", hysteresis=0.1, measure="likelihood", refit=0.0))
    assert run(capsys, "flow", "fit")[0] == 0
    assert run(capsys, "flow", "regimes", "--method", "features", "--count", "3")[0] == 0
    workspace = Workspace(home)
    panel, file = workspace.load_panel("toy"), gate_path(workspace, "toy")
    with workspace.knowledge() as knowledge:
        portfolio = open_signal(workspace, knowledge, "toy", panel, factors=FACTORS)
    assert portfolio.gate is not None
    study = open_study(panel, workspace.settings, gate_path=file)
    assert study.log_likelihood is not None
    calibrated = study.log_likelihood[rows_of(panel, portfolio.gate.latest.calibrated)]
    calibration = calibration_likelihood(portfolio.gate, file, panel)
    np.testing.assert_allclose(calibration, np.sort(calibrated[np.isfinite(calibrated)]), rtol=0, atol=1e-10)
    first = 2350
    decider = DecisionMaker(portfolio, panel.rows(0, first), calibration=calibration)
    took = [decider.take(bar_at(panel, row)) for row in range(first, 2500)]
    model, _, _ = load_regimes(regimes_path(file))
    labels = model.labels(market_states(portfolio.gate.density.states(panel), portfolio.gate.rules.window))
    assert [one.regime for one in took] == [model.names[k] for k in labels[first:]]
    assert len({one.regime for one in took}) > 1
    likelihood = portfolio.gate.log_likelihood(panel)[first:]
    shares = np.array([np.mean(calibration < row[0]) for row in likelihood])
    np.testing.assert_allclose([one.percentile[0] for one in took], 100 * shares, atol=0.1)
    # Five of a hundred past bars, scaled to today's volatility, would have lost more.
    assert decider.risk is not None
    weights = took[-1].weights
    close = panel["close"]
    returns = close[1:] / close[:-1] - 1.0
    deviations = pd.DataFrame(np.vstack([np.full(close.shape[1], np.nan), returns])).rolling(20).std().to_numpy()
    came = ((returns[20:] / deviations[20:-1]) * deviations[-1]) @ weights
    assert decider.risk.value_at_risk(weights) == pytest.approx(-np.quantile(came, 0.05), rel=0.02)


def test_a_pool_is_taken_as_it_was_fitted(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its members, weights and rules; today's settings change nothing."""
    (home / "alphaglow.toml").write_text("[backtest]\nholding = 4\n")
    chosen = [word for text in FACTORS for word in ("-f", text)]
    assert run(capsys, "pool", "fit", "--name", "trio", "--method", "ic", *chosen)[0] in (0, 2)
    code, _, err = run(capsys, "pool", "fit", "--name", "even", "--method", "equal", *chosen)
    assert code == 0, err
    (home / "alphaglow.toml").write_text("[backtest]\nholding = 1\n")
    workspace = Workspace(home)
    panel = workspace.load_panel("toy")
    with workspace.knowledge() as knowledge:
        portfolio = open_signal(workspace, knowledge, "toy", panel, pool="even")
        record = knowledge.get_pool("even")
    assert portfolio.spec.holding == 4
    assert "rejected" in " ".join(portfolio.notes) or record.evidence.verdict == "accepted"
    decider = DecisionMaker(portfolio, panel.rows(0, 2450))
    took = [decider.take(bar_at(panel, row)) for row in range(2450, 2500)]
    np.testing.assert_array_equal(np.stack([one.signal for one in took]), pool_values(record, panel)[2450:])
