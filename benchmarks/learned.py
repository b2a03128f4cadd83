"""Learned factors: what they find where there is something, and on coins; and how long it takes.

python -m benchmarks.learned [--quick] [--only planted|coins|time]

Planted: returns of a random market moved by a product of two channels, which no linear model sees. Coins: hourly
perpetuals, out of fold and after costs, every model by the same plan, beside the published factor that does best on
the same bars of train. All on one thread.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from agent.knowledge.transfer.read_only import borrowed
from agent.learned.channels import CHANNELS, channel_values, given_channels, read_channels
from agent.learned.convnext import SIZES, build, count_parameters
from agent.learned.network import ConvNextLearner
from agent.learned.protocol import Examples, Learner
from agent.learned.rivals import Boosting, Ridge
from agent.learned.sample_windows import Scaling, Windows, seen_places
from agent.learned.targets import TargetSpec
from agent.learned.training import NetTraining, outputs, train_net
from agent.learned.walk import WalkPlan, walk_folds, walk_panel
from agent.study.blocks import library_blocks
from agent.study.progress import no_progress
from agent.study.settings import Settings
from agent.study.study import Study, open_study, read_expression
from agent.study.workspace import starter_path
from backtest.ic import forward_returns, rank_ic
from backtest.planted_payoffs import plant_payoff
from backtest.scorecard import Scored, score_signal
from factors.batch import evaluate_within
from factors.tree import Expression
from market.errors import Rejection
from market.files import import_files
from market.panel import FloatArray, Panel

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def random_market(bars: int, assets: int, seed: int) -> Panel:
    """Return a market of random walks."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, (bars, assets)), axis=0))
    opened = close * np.exp(rng.normal(0, 0.001, close.shape))
    volume = np.exp(rng.normal(8, 1, close.shape))
    fields = {"open": opened, "high": np.maximum(opened, close), "low": np.minimum(opened, close)}
    hour = np.timedelta64(1, "h").astype("timedelta64[ns]")
    return Panel(
        times=np.datetime64("2024-01-01", "ns") + hour * np.arange(bars),
        assets=tuple(f"A{number:02d}" for number in range(assets)),
        fields={**fields, "close": close, "volume": volume},
        universe=np.ones(close.shape, dtype=bool),
        bar=hour,
    )


def planted(quick: bool) -> None:
    """Out-of-fold rank IC on a planted product, beside the planted one."""
    panel = random_market(1500 if quick else 2500, 20, 3)
    panel = panel.with_fields({"mood": np.random.default_rng(3).normal(size=panel.shape)})
    grown = np.vstack([np.zeros((1, 20)), np.diff(np.log(panel["volume"]), axis=0)])
    truth = np.tanh(panel["mood"]) * np.tanh(grown)
    made = plant_payoff(panel, truth, 80.0, slice(0, len(truth) - 2)).panel
    plan = WalkPlan(
        given_channels(["mood", "ts_delta(log(volume), 1)"]),
        window=16,
        target=TargetSpec("return", horizon=1, volatility=20),
        folds=1 if quick else 2,
        first=0.6,
    )
    paid = forward_returns(made, 1)
    models: list[Learner] = [Ridge(), Boosting(), ConvNextLearner("nano", NetTraining(epochs=16, lr=5e-3))]
    for learner in models:
        begun = time.perf_counter()
        walked = walk_panel(panel, plan, learner, outcomes=made)
        rows = slice(walked.folds[0].test.start, None)
        found, there = (float(np.nanmean(rank_ic(x[rows], paid[rows]))) for x in (walked.values, truth))
        print(
            f"planted, {learner.kind}: rank IC out of fold {found:.3f}, of the planted signal {there:.3f} "
            f"({found / there:.0%}), {time.perf_counter() - begun:.0f} s"
        )


def coins_study() -> Study:
    """Return hourly perpetuals under a venue's costs, positions averaged over a day."""
    panel = import_files([DATA / "crypto_perp_1h.parquet"], name="hourly perpetuals")
    return open_study(panel, Settings.model_validate({"backtest": {"holding": 24, "preset": "binance_perp"}}))


def scored_from(values: FloatArray, study: Study, first: int) -> Scored | Rejection:
    """Score a signal from a row on."""
    split = replace(study.split, train=slice(first, study.split.train.stop))
    return score_signal(values, study.target, split, rng=np.random.default_rng(0))


def described(name: str, made: Scored | Rejection, seconds: float) -> str:
    """Return a line of the table."""
    if isinstance(made, Rejection):
        return f"| {name} | {made.message} |"
    card = made.scorecard
    cells = [
        f"{part.rank_ic:.4f} | {part.ic_tstat:.1f} | {part.sharpe_gross:.2f} | {part.sharpe_net:.2f}"
        for part in (card.train, card.validation)
    ]
    return f"| {name} | {' | '.join(cells)} | {card.validation.turnover:.1%} | {seconds:.0f} |"


def best_published(study: Study, first: int, most: int) -> tuple[str, Scored, int]:
    """Return the published factor with the highest net Sharpe ratio on train from a row on, and how many there were."""
    with borrowed(starter_path()) as knowledge:
        blocks = library_blocks(knowledge.library())
    found: list[tuple[float, str, Scored]] = []
    for name, text in list(blocks.items())[:most]:
        expression = read_expression(text, study, dialect="native")
        if not isinstance(expression, Expression):
            continue
        signal = evaluate_within(expression, study.panel, seconds=10.0, gigabytes=4.0)
        made = signal if isinstance(signal, Rejection) else scored_from(signal.values, study, first)
        if not isinstance(made, Rejection) and np.isfinite(made.scorecard.train.sharpe_net):
            found.append((made.scorecard.train.sharpe_net, name, made))
    _, name, made = max(found, key=lambda one: one[0])
    return name, made, len(found)


def coins(quick: bool) -> None:
    """Every model on hourly perpetuals by one plan, and the published factor that is best on the same bars of train."""
    study = coins_study()
    base = WalkPlan(
        window=64,
        target=TargetSpec("barrier", horizon=24),
        folds=2 if quick else 3,
        max_windows=2_000 if quick else 8_000,
        fill=study.spec.fill,
    )
    first = walk_folds(len(study.panel.times), base)[0].test.start
    print(f"coins: {study.panel.shape[1]} perpetuals, out of fold from {str(study.panel.times[first])[:10]}")
    print("| | rank IC train | t | gross | net | rank IC validation | t | gross | net | turnover | s |")
    for kind in ("barrier", "return"):
        plan = replace(base, target=TargetSpec(kind, horizon=24))
        net = ConvNextLearner("nano", NetTraining(epochs=2 if quick else 8))
        models: list[Learner] = [Ridge(), Boosting(), net]
        for learner in models:
            begun = time.perf_counter()
            walked = walk_panel(study.panel, plan, learner)
            spent = time.perf_counter() - begun
            print(described(f"{learner.kind}, {kind}", scored_from(walked.values, study, first), spent), flush=True)
            errors = [fact["reliability"]["error"] for fact in walked.facts if "reliability" in fact]  # type: ignore[index]
            if errors:
                print(f"  calibration error by fold, out of fold: {', '.join(f'{error:.3f}' for error in errors)}")
    begun = time.perf_counter()
    name, made, of = best_published(study, first, 20 if quick else 400)
    print(described(f"{name}, best on train of {of} published", made, time.perf_counter() - begun))


def timed(quick: bool) -> None:
    """Seconds of an epoch of 12 000 windows of 128 bars, and of asking for 50 assets."""
    panel = random_market(800, 50, 1)
    values = channel_values(read_channels(CHANNELS, panel), panel)
    grid = Scaling.of(values, panel.universe.T).applied(values)
    bars, assets = np.nonzero(seen_places(values, panel.universe))
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(bars), 2_000 if quick else 12_000, replace=False)
    windows = Windows(grid, assets[chosen], bars[chosen], 128)
    labels = rng.integers(0, 3, len(chosen)).astype(np.float64)
    train = Examples(windows, labels, np.ones(len(chosen)), True)
    calibration = Examples(windows.take(slice(0, 100)), labels[:100], np.ones(100), True)
    newest = Windows(grid, np.arange(50), np.full(50, len(panel.times) - 1), 128)
    for threads in (1, 2):
        config = NetTraining(epochs=2, warmup=1, threads=threads)
        model = build(windows.channels, 3, SIZES["nano"], 1)
        begun, used = time.perf_counter(), time.process_time()
        train_net(model, train, calibration, config, 1, no_progress)
        epoch, used = (time.perf_counter() - begun) / 2, (time.process_time() - used) / 2
        asked = []
        for _ in range(20):
            begun = time.perf_counter()
            outputs(model, newest, config)
            asked.append(time.perf_counter() - begun)
        print(
            f"nano, {count_parameters(model):,} parameters, {len(windows):,} x 128, {threads} threads: an epoch "
            f"{epoch:.1f} s ({used:.1f} s of processors); 50 assets {1e3 * float(np.median(asked)):.0f} ms; "
            f"load {os.getloadavg()[0]:.1f}",
            flush=True,
        )


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=["planted", "coins", "time"])
    asked = parser.parse_args()
    for name, part in (("planted", planted), ("time", timed), ("coins", coins)):
        if asked.only in (None, name):
            part(asked.quick)


if __name__ == "__main__":
    main()
