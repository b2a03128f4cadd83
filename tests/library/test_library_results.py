"""`ag.evaluate` and `ag.sweep`: any signal, figures that agree with one another, trials that are counted."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import alphaglow as ag


def _reversal(panel: ag.Panel) -> pd.DataFrame:
    return -panel.to_frame("close").pct_change().rolling(3).mean()


def _upper(panel: ag.Panel) -> pl.DataFrame:
    return pl.from_pandas(_reversal(panel).reset_index())


GIVEN: dict[str, Callable[[ag.Panel], Any]] = {
    "a factor": lambda _panel: ag.factor("-ts_mean(returns, 3)"),
    "a function": lambda _panel: _reversal,
    "a frame": _reversal,
    "a frame with a zone, cut and shuffled": lambda panel: _reversal(panel).tz_localize("UTC").iloc[::-1],
    "a series": lambda panel: _reversal(panel).stack(),
    "a series the other way": lambda panel: _reversal(panel).stack().swaplevel(),
    "an array": lambda panel: _reversal(panel["2022":"2022-12-06"]).to_numpy(),  # type: ignore[misc]
    "polars": _upper,
}


@pytest.mark.parametrize("form", GIVEN)
def test_one_signal_in_many_forms(days: ag.Panel, result: ag.Result, form: str) -> None:
    if form == "an array":
        values = np.full(result.panel.shape, np.nan)
        values[:] = _reversal(days).reindex(result.panel.times).to_numpy()
        other = ag.evaluate(days, values)
    else:
        other = ag.evaluate(days, GIVEN[form](days))
    assert other.scorecard.train.sharpe_net == pytest.approx(result.scorecard.train.sharpe_net, abs=1e-9)
    pd.testing.assert_series_equal(other.returns(), result.returns())


def test_a_function_that_knows_the_future_is_refused(days: ag.Panel) -> None:
    with pytest.raises(ag.FactorError, match="knows the future") as caught:
        ag.evaluate(days, lambda panel: panel.to_frame("close").pct_change().shift(-1))
    assert caught.value.code == "look_ahead"
    with pytest.raises(ag.FactorError, match="knows the future"):
        ag.evaluate(days, lambda panel: -_reversal(panel).sub(_reversal(panel).mean()))


def test_nothing_of_validation_is_shown_without_a_record(days: ag.Panel, result: ag.Result) -> None:
    last = result.panel.times[result.study.split.train.stop - 1]
    for series in (result.ic(), result.returns(), result.positions(), result.ledger(), result.signal()):
        assert series.index[-1] <= last
    assert result.trades()["exit"].max() <= last
    assert result.summary().columns.tolist() == ["train"]
    assert np.isnan(result.scorecard.validation.sharpe_net)
    with pytest.raises(ag.InputError, match="'validation' is not shown"):
        result.by("years", "validation")
    shown = days.rows(0, result.study.split.train.stop).with_fields({})
    later = {
        name: np.vstack([shown[name], 3.0 + 0 * days[name][result.study.split.train.stop :]]) for name in days.fields
    }
    other = ag.evaluate(days.with_fields(later), "-ts_mean(returns, 3)")
    pd.testing.assert_series_equal(other.returns()[:-3], result.returns()[:-3])


def test_the_frames_agree_with_one_another(result: ag.Result) -> None:
    ledger, trades = result.ledger(), result.trades()
    np.testing.assert_allclose(ledger["net"], ledger["gross"] - ledger[["cost", "impact", "funding"]].sum(axis=1))
    assert trades["net"].sum() == pytest.approx(result.returns().sum())
    assert trades["gross"].sum() == pytest.approx(result.returns("gross").sum())
    weights = result.positions()
    np.testing.assert_allclose(weights.abs().sum(axis=1), ledger["exposure"])
    opens = result.panel.to_frame("open")
    earned = (weights * (opens.shift(-1) / opens - 1.0).loc[weights.index]).sum(axis=1)
    np.testing.assert_allclose(earned, ledger["gross"], atol=1e-12)
    assert result.ic().mean() == pytest.approx(result.summary().loc["rank_ic", "train"])
    steps = result.quantiles()["mean"]
    assert steps[5] > steps[3] > steps[1]
    assert (trades["bars"] > 0).all()
    assert set(trades["side"]) == {"long", "short"}
    assert result.by("years")["name"].tolist() == ["2022"]
    assert result.by("decay")["lag"].iloc[0] == 0


def test_the_verdict_counts_what_was_tried(days: ag.Panel, result: ag.Result) -> None:
    assert result.verdict.startswith("passes on train: predicts: on train it pays")
    assert "among 1 trial" in result.verdict
    among = ag.evaluate(days, "-ts_mean(returns, 3)", trials=10**9)
    assert among.evidence.predicts.z == result.evidence.predicts.z
    assert among.evidence.predicts.adjusted_p > 100 * result.evidence.predicts.adjusted_p
    assert "among 1000000000 trials" in among.verdict
    noise = np.random.default_rng(0).normal(size=result.panel.shape)
    rejected = ag.evaluate(days, noise)
    assert rejected.word == "rejected on train"
    # What surely loses is said to lose, not to be too short to test.
    dear = ag.evaluate(days, noise, rules={"fee_bp": 1_000})
    assert "does not earn: on train it nets" in dear.verdict


def test_every_point_of_a_sweep_is_a_trial(days: ag.Panel) -> None:
    found = ag.sweep(days, "-ts_mean(returns, {w}) * {k}", w=[3, 5, 5_000], k=[1, 2])
    frame = found.frame
    assert frame[["w", "k"]].to_numpy().tolist() == [[3, 1], [3, 2], [5, 1], [5, 2], [5_000, 1], [5_000, 2]]
    assert frame["refused"].str.contains("looks back 5000").tolist() == [False] * 4 + [True] * 2
    assert {one.evidence.trials for one in found.results} == {6}
    alone = ag.evaluate(days, "-ts_mean(returns, 5)")
    five = found.results[2]
    assert five.evidence.predicts.z == alone.evidence.predicts.z
    assert five.evidence.predicts.adjusted_p > alone.evidence.predicts.adjusted_p
    assert found.best.evidence.predicts.z == max(frame["payoff_z"].dropna())
    assert "<table" in found._repr_html_()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda p: ag.evaluate(p, "close", rules={"fee": 3}), "did you mean fee_bp"),
        (lambda p: ag.evaluate(p, "close", rules={"fee_bp": -3}), "rules: fee_bp"),
        (lambda p: ag.evaluate(p, "closes"), "unknown field"),
        (lambda p: ag.evaluate(p, np.zeros((3, 3))), "has shape"),
        (lambda p: ag.evaluate(p, _reversal(p).rename(columns=str.lower)), "no asset of the signal"),
        (lambda p: ag.evaluate(p, _reversal(p).shift(freq="7h")), "named by their open"),
        (lambda p: ag.evaluate(p, pd.concat([_reversal(p)] * 2)), "a time twice"),
        (lambda p: ag.evaluate(p, _reversal(p).astype(object).fillna("x")), "no number"),
        (lambda p: ag.evaluate(p, 0.0 * _reversal(p)), "constant"),
        (lambda p: ag.evaluate(p, 7), "is no frame"),
        (lambda p: ag.evaluate(p.select(p.assets[:5]), "close"), "cross-section over 5 assets"),
        (lambda p: ag.sweep(p, "ts_mean(close, w)", w=[1]), "has no {w}"),
        (lambda p: ag.sweep(p, "close"), "no parameters"),
        (lambda p: ag.sweep(p, "ts_mean(close, {w})", w=[]), "0 points"),
    ],
)
def test_what_means_nothing_is_refused(days: ag.Panel, call: Callable[[ag.Panel], object], says: str) -> None:
    with pytest.raises(ag.InputError, match=says):
        call(days)


def test_rules_are_those_of_the_settings(days: ag.Panel, result: ag.Result) -> None:
    free = ag.evaluate(days, "-ts_mean(returns, 3)", rules={"fee_bp": 0, "slippage_bp": 0, "rule": "as set"})
    pd.testing.assert_series_equal(free.returns(), free.returns("gross"), check_names=False)
    assert free.spec.rate == 1.0
    from agent.study.sections import BacktestSettings

    slow = ag.evaluate(days, "-ts_mean(returns, 3)", rules={"rate": 0.1, "rule": "as set"})
    assert slow.spec.rate == 0.1
    assert slow.ledger()["turnover"].mean() < 0.3 * free.ledger()["turnover"].mean()
    assert "weighting" in BacktestSettings.model_fields


def test_a_result_travels_between_processes(result: ag.Result) -> None:
    other = pickle.loads(pickle.dumps(result))
    assert other.verdict == result.verdict
    pd.testing.assert_frame_equal(other.ledger(), result.ledger())
    pd.testing.assert_frame_equal(other.trades(), result.trades())


def test_what_is_shown(result: ag.Result, days: ag.Panel, tmp_path: Path) -> None:
    assert repr(result).startswith("Result('-ts_mean(returns, 3)': passes on train")
    page = result._repr_html_()
    assert "figures of train alone" in page
    figure = result.plot()
    assert figure.axes[0].get_title() == "equity, %"
    equity = figure.axes[0].lines[0].get_ydata()[-1]
    assert equity == pytest.approx(100 * ((1 + result.returns()).prod() - 1))
    named = ag.evaluate(days, _reversal, name="<script>alert(1)</script>")
    assert "<script>" not in named._repr_html_()
    written = named.report(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script>alert" not in written
    assert "validation was not asked" in written
    assert "http://" not in written.replace("http://www.w3.org", "")


def test_anyones_weights_are_judged_as_the_command_judges_them() -> None:
    """A signal that knows the next return is not shown: it is called what it is."""
    panel = ag.demo_panel(bars=1500)
    closes = panel.to_frame("close")
    honest = -closes.pct_change(24)
    seen = closes.pct_change().shift(-1)
    for frame, trials in ((honest, 10), (seen, 1)):
        found = ag.verify(frame, panel, kind="signals", trials=trials, worlds=0)
        assert found.kind == "signals"
        assert found.trials == trials
        assert found.sentence
        assert found.to_dict()["shown"] == found.shown
    assert not found.shown
    with pytest.raises(ag.InputError, match="prices"):
        ag.verify(honest, kind="signals")
