"""What copies and atoms do to a likelihood, and what an ensemble costs: the documents' own 16 features of real coins.

    python -m benchmarks.flow_treatment [--quick]

The features are taken as the documents define them, exact copies and candles without shadows included. Each treatment
trains the same flow for the same epochs; likelihoods of different treatments have different units (fewer features, more
noise), so what to look at is how they move with training: a likelihood that has no bound keeps falling.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from factors.features import Feature
from flows.ensemble import train_ensemble
from flows.fit_rules import FlowConfig, TrainConfig
from flows.inspection import inspect_features
from flows.state import DEQUANTISE, build_features, fit_standardiser, known_rows
from flows.train import subsample, train_flow
from market.files import import_files
from market.panel import FloatArray
from market.split import make_split

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "crypto_spot_1h.parquet"
LITERAL = tuple(
    Feature(name, text)
    for name, text in {
        "return_1": "returns",
        "return_5": "ts_sum(returns, 5)",
        "return_10": "ts_sum(returns, 10)",
        "return_20": "ts_sum(returns, 20)",
        "volatility_5": "ts_std(returns, 5)",
        "volatility_20": "ts_std(returns, 20)",
        "vol_ratio": "ts_std(returns, 5) / ts_std(returns, 20)",
        "momentum_10": "close / ts_delay(close, 10) - 1",
        "momentum_20": "close / ts_delay(close, 20) - 1",
        "volume_ratio": "volume / ts_mean(volume, 20)",
        "price_position": "(close - ts_min(low, 20)) / (ts_max(high, 20) - ts_min(low, 20))",
        "body_ratio": "(close - open) / (high - low)",
        "upper_shadow": "(high - max(open, close)) / (high - low)",
        "lower_shadow": "(min(open, close) - low) / (high - low)",
        "atr_norm": "atr(high, low, close, 14) / close",
        "rsi": "rsi(close, 14)",
    }.items()
)


def main() -> None:
    """Measure, print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    rows, epochs = (8_000, 4) if options.quick else (30_000, 20)
    panel = import_files([DATA], name="crypto spot 1h")
    split = make_split(len(panel.times), embargo=264)
    values = build_features(panel, LITERAL)
    found = inspect_features(values[split.train], [feature.name for feature in LITERAL])
    kept = list(found.kept)
    literal, treated = values, values[..., kept]
    cases = {
        "as they are": (literal, 0.0),
        "noise alone": (literal, DEQUANTISE),
        "copies dropped": (treated, 0.0),
        "copies dropped, noise": (treated, DEQUANTISE),
    }
    console = Console(stderr=True)
    table = Table("treatment", "features", *(f"NLL after {share:.0%}" for share in (0.25, 0.5, 1.0)), "last quarter")
    result: dict[str, list[float]] = {}
    for name, (features, noise) in cases.items():
        with console.status(name):
            history = _history(features, split.train, split.validation, noise, rows, epochs)
        thresholds = [history[max(0, round(share * epochs) - 1)] for share in (0.25, 0.5, 1.0)]
        still = history[max(0, round(0.75 * epochs) - 1)] - history[-1]
        result[name] = [*thresholds, still]
        table.add_row(name, str(features.shape[-1]), *(f"{value:.2f}" for value in thresholds), f"{-still:+.2f}")
    out = Console()
    out.print(table)
    for sentence in found.sentences():
        out.print(f"- {sentence}", soft_wrap=True)
    with console.status("ensembles"):
        ratio = ensemble_ratio(treated[split.train], 1 if options.quick else 3, rows, max(3, epochs // 4))
    out.print(f"training four seeds against one, {len(os.sched_getaffinity(0))} processors: {ratio:.2f} x")
    print(json.dumps({"nll": result, "ensemble_ratio": ratio, "found": list(found.sentences())}))


def _history(
    features: FloatArray, train_rows: slice, calibration_rows: slice, noise: float, limit: int, epochs: int
) -> list[float]:
    standardiser = fit_standardiser(features[train_rows])
    rng = np.random.default_rng(7)
    x_train = subsample(known_rows(standardiser.apply(features[train_rows])), limit, rng)
    x_calibration = subsample(known_rows(standardiser.apply(features[calibration_rows])), limit // 4, rng)
    x_calibration = x_calibration + noise * (rng.random(x_calibration.shape) - 0.5)
    config = TrainConfig(epochs=epochs, max_rows=limit, noise=noise, patience=epochs)
    trained = train_flow(x_train, x_calibration, config, FlowConfig(dim=features.shape[-1], steps=(10,), hidden=40))
    return [epoch.nll_validation for epoch in trained.history]


def ensemble_ratio(features: FloatArray, turns: int, limit: int, epochs: int) -> float:
    """Return the median over turns of the time that four seeds take over that of one, in turn."""
    rows = subsample(known_rows(fit_standardiser(features).apply(features)), limit, np.random.default_rng(7))
    config = TrainConfig(epochs=epochs, max_rows=limit, patience=epochs)
    flow = FlowConfig(dim=features.shape[-1])

    def seconds(members: int, seed: int) -> float:
        started = time.perf_counter()
        train_ensemble(rows, rows[: limit // 4], replace(config, seed=seed), flow, members)
        return time.perf_counter() - started

    return statistics.median(seconds(4, turn) / seconds(1, turn) for turn in range(turns))


if __name__ == "__main__":
    main()
