"""The backtest beside vectorbt, alphalens and pandas on the same factor: times as ratios, and figures that agree.

    python -m benchmarks.backtest [--quick]

Times are medians of interleaved turns, on one core unless the line says otherwise. alphalens comes with the extra
`bench`. vectorbt carries the Commons Clause, so no extra installs it: it is measured where the user has it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from backtest import metrics
from backtest.costs import Costs
from backtest.ic import quantile_series, rank_ic_of
from backtest.quick import QuickScorer
from backtest.run import Backtest, trade
from backtest.scorecard import score_signal
from backtest.target import Target, prepare_target
from backtest.trading_rules import BacktestSpec
from backtest.weights import target_weights
from benchmarks.engine_setup import draw_batch, make_market
from factors.batch import Engine
from factors.measure import piece_rows
from market.panel import FloatArray, Panel
from market.ranking import rank_panel
from market.split import Split

QUANTILES = 5
SPEC = BacktestSpec(costs=Costs(5.0, 5.0))


def timed(turns: int, **work: Callable[[], object]) -> dict[str, float]:
    """Return median milliseconds of each, taken in turns after one that does not count."""
    for task in work.values():
        task()
    found: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(turns):
        for name, task in work.items():
            started = time.perf_counter()
            task()
            found[name].append(1e3 * (time.perf_counter() - started))
    return {name: statistics.median(values) for name, values in found.items()}


def split_all(bars: int) -> Split:
    """Cut so that train and validation are the whole panel, as a loop's panel is."""
    first = int(0.8 * bars)
    return Split(slice(0, first), slice(first + 100, bars), slice(bars, bars), 100)


def our_scores(panel: Panel, values: FloatArray, turns: int) -> dict[str, float]:
    """Time the full and the quick scorecard of one factor."""
    target, split = prepare_target(panel, SPEC), split_all(len(panel.times))

    def full() -> object:
        return score_signal(values, target, split, rng=np.random.default_rng(0))

    gate = np.where(np.random.default_rng(1).random(panel.shape) < 0.05, 0.0, 1.0)

    def gated() -> object:
        return score_signal(values, target, split, gate=gate, rng=np.random.default_rng(0))

    return timed(turns, full=full, quick=lambda: quick(target, values), gated=gated)


def quick(target: Target, values: FloatArray) -> object:
    """Quick-score one factor, fed in the engine's pieces."""
    rows = piece_rows(values.shape[1])
    scorer = QuickScorer(target, rows)
    for first in range(0, len(values), rows):
        scorer.feed(first, values[first : first + rows])
    return scorer.result(slice(0, len(values)))


def batch(panel: Panel, count: int) -> dict[str, float]:
    """Return milliseconds a factor, evaluated and quick-scored, with one thread and with two."""
    target, expressions = prepare_target(panel, SPEC), draw_batch(count, seed=5)

    def run(threads: int) -> float:
        engine = Engine(panel, threads=threads)
        started = time.perf_counter()
        for outcome in engine.run(expressions, lambda _: QuickScorer(target, engine.rows)):
            assert isinstance(outcome.result, QuickScorer), outcome.result
        return 1e3 * (time.perf_counter() - started) / count

    run(2)
    return {"one thread": run(1), "two threads": run(2)}


# alphalens


def alphalens_frame(panel: Panel, values: FloatArray) -> Any:  # noqa: ANN401 - a frame
    """Return what alphalens makes of a factor and prices, its own preparation included."""
    import alphalens

    index = pd.DatetimeIndex(panel.times)
    prices = pd.DataFrame(panel["open"], index=index, columns=list(panel.assets))
    # It pays a factor from its own bar's price: moved a bar on, it trades where we do.
    factor = pd.DataFrame(values, index=index, columns=list(panel.assets)).shift(1).stack()
    return alphalens.utils.get_clean_factor_and_forward_returns(
        factor, prices, quantiles=QUANTILES, periods=(1,), max_loss=1.0
    )


def alphalens_figures(frame: Any) -> tuple[Any, Any, Any]:  # noqa: ANN401
    """Return its IC, mean returns by quantile and date, and turnover of every quantile."""
    import alphalens

    performance = alphalens.performance
    ic = performance.factor_information_coefficient(frame)
    means = performance.mean_return_by_quantile(frame, by_date=True, demeaned=False)[0]
    turnover = [performance.quantile_turnover(frame["factor_quantile"], q, 1) for q in range(1, QUANTILES + 1)]
    performance.factor_rank_autocorrelation(frame, 1)
    return ic, means, turnover


def our_alphalens_figures(target: Target, values: FloatArray) -> tuple[FloatArray, FloatArray, Backtest]:
    """Return IC, quantile returns and the turnover of what would be traded."""
    ranked = rank_panel(values)
    targets = target_weights(values, SPEC, ranks=ranked.ranks)
    result = trade(targets, target.market, SPEC, None, bars_per_year=target.panel.bars_per_year)
    return rank_ic_of(ranked, target.ranked), quantile_series(ranked, target.forward, QUANTILES), result


def beside_alphalens(panel: Panel, values: FloatArray) -> dict[str, float] | None:
    """Time alphalens, with and without the making of its frame, beside the same figures here."""
    if find_spec("alphalens") is None:
        return None
    target = prepare_target(panel, SPEC)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = time.perf_counter()
        frame = alphalens_frame(panel, values)
        prepared = 1e3 * (time.perf_counter() - started)
        started = time.perf_counter()
        ic, means, _ = alphalens_figures(frame)
        figures = 1e3 * (time.perf_counter() - started)
    ours = timed(7, figures=lambda: our_alphalens_figures(target, values))["figures"]
    mine = our_alphalens_figures(target, values)
    times = pd.DatetimeIndex(panel.times)
    theirs = ic.iloc[:, 0].reindex(times).to_numpy()
    by_quantile = means.iloc[:, 0].unstack(0).reindex(times).to_numpy()
    return {
        "preparation": prepared,
        "figures": figures,
        "ours": ours,
        "ratio": figures / ours,
        "ratio with preparation": (prepared + figures) / ours,
        # Theirs are indexed by the bar of the fill, ours by that of the decision.
        "ic differs by": float(np.nanmax(np.abs(theirs[1:] - mine[0][:-1]))),
        "quantiles differ by": float(np.nanmax(np.abs(by_quantile[1:] - mine[1][:-1]))),
    }


# pandas


def pandas_score(panel: Panel, values: FloatArray) -> dict[str, float]:
    """Score a factor as one writes it in pandas: rank IC, a neutral portfolio that drifts, turnover, net Sharpe."""
    signal, opens = pd.DataFrame(values), pd.DataFrame(panel["open"])
    forward = (opens.shift(-2) / opens.shift(-1) - 1).where(signal.notna())
    ic = signal.rank(axis=1).corrwith(forward.rank(axis=1), axis=1)
    ranks = signal.rank(axis=1)
    centred = ranks.sub(ranks.mean(axis=1), axis=0)
    weights = centred.div(centred.abs().sum(axis=1), axis=0).fillna(0.0)
    gross = (weights * forward.fillna(0.0)).sum(axis=1)
    # The drift needs the capital's growth, which needs the costs: one pass without them is what is usually done.
    drifted = (weights * (1 + forward.fillna(0.0))).div(1 + gross, axis=0).shift(1).fillna(0.0)
    turnover = (weights - drifted).abs().sum(axis=1)
    net = (gross - turnover * 10e-4).iloc[:-2]
    quantile = signal.rank(axis=1, pct=True).mul(QUANTILES).apply(np.ceil)
    means = [float(forward.where(quantile == q).mean(axis=1).mean()) for q in range(1, QUANTILES + 1)]
    return {
        "rank_ic": float(ic.iloc[:-2].mean()),
        "turnover": float(turnover.iloc[:-2].mean()),
        "sharpe_net": float(net.mean() / net.std() * np.sqrt(panel.bars_per_year)),
        "top": means[-1],
    }


def beside_pandas(panel: Panel, values: FloatArray, turns: int) -> dict[str, float]:
    """Time pandas beside the quick and the full scorecard."""
    target, split = prepare_target(panel, SPEC), split_all(len(panel.times))
    times = timed(
        turns,
        pandas=lambda: pandas_score(panel, values),
        quick=lambda: quick(target, values),
        full=lambda: score_signal(values, target, split, rng=np.random.default_rng(0)),
    )
    theirs, ours = pandas_score(panel, values), quick(target, values)
    return {
        **times,
        "ratio quick": times["pandas"] / times["quick"],
        "ratio full": times["pandas"] / times["full"],
        "rank ic differs by": abs(theirs["rank_ic"] - ours.rank_ic),  # type: ignore[attr-defined]
    }


# vectorbt


def beside_vectorbt(panel: Panel, values: FloatArray, turns: int) -> dict[str, float] | None:
    """Time vectorbt's simulation of the same target weights beside the ledger, and compare what is left at the end."""
    if find_spec("vectorbt") is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import vectorbt
    # Noise traded in full every hour at 10 bp would leave nothing to compare after two years.
    fee = 1e-5
    spec = BacktestSpec(costs=Costs(1e4 * fee, 0.0, impact=0.0))
    target = prepare_target(panel, spec)
    targets = target_weights(values, spec)
    opens = pd.DataFrame(panel["open"])
    # A decision is filled at the next bar's open.
    size = pd.DataFrame(np.vstack([np.full((1, targets.shape[1]), np.nan), targets[:-1]]))

    def theirs() -> Any:  # noqa: ANN401
        return vectorbt.Portfolio.from_orders(
            opens, size, size_type="targetpercent", fees=fee, cash_sharing=True, group_by=True,
            call_seq="auto", init_cash=1e6, freq="1h",
        )  # fmt: skip

    def ours() -> Backtest:
        return trade(targets, target.market, spec, None, bars_per_year=panel.bars_per_year)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        times = timed(turns, vectorbt=theirs, ledger=ours)
        value = theirs().value().to_numpy().ravel() / 1e6
    wealth = metrics.wealth(ours().net[:-2])
    # Their value at a bar is after that bar's fees, ours before the next fill: fees of one bar lie between.
    paid = ours().turnover[1:-1] * fee
    gap = np.abs(value[2:] / (wealth * (1 - paid)) - 1)
    return {**times, "ratio": times["vectorbt"] / times["ledger"], "equity differs by": float(gap.max())}


def main() -> None:
    """Measure, print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    turns = 5 if options.quick else 15
    hourly = make_market(17_520, 50, "h")
    daily = make_market(504 if options.quick else 2520, 500, "D")
    factors = {panel: np.random.default_rng(3).normal(size=panel.shape) for panel in (hourly, daily)}
    found: dict[str, dict[str, float] | None] = {
        "one factor, 50 x 17 520 (ms)": our_scores(hourly, factors[hourly], turns),
        "batch, evaluated and quick-scored (ms a factor)": batch(hourly, 100 if options.quick else 1000),
        f"alphalens, 500 x {len(daily.times)} (ms)": beside_alphalens(daily, factors[daily]),
        "pandas, 50 x 17 520 (ms)": beside_pandas(hourly, factors[hourly], min(turns, 5)),
        "vectorbt, 50 x 17 520 (ms)": beside_vectorbt(hourly, factors[hourly], min(turns, 5)),
    }
    shown = Table(title="The backtest beside its peers")
    for column in ("what", "figure", "value"):
        shown.add_column(column, justify="right" if column == "value" else "left")
    for section, figures in found.items():
        for name, value in (figures or {"not installed": float("nan")}).items():
            shown.add_row(section, name, f"{value:.3g}" if value < 1e-3 else f"{value:,.2f}")
            section = ""
    Console().print(shown)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
