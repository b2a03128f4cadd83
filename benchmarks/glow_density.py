"""GLOW's density on real market states beside a Gaussian and a Gaussian mixture, on the same rows.

Run with ``python -m benchmarks.glow_density [--quick]``. Lower NLL is better. The test rows are the holdout's:
nothing was tuned on them, and no factor is scored here.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from flows.state import build_features, fit_standardiser, known_rows, prepared
from flows.train import TrainConfig, bits_per_dim, log_likelihood, subsample, train
from market.files import import_files
from market.panel import FloatArray, Panel
from market.split import make_split

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "crypto_spot_1h.parquet"
COMPONENTS = 16


def market_states(panel: Panel) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return train, validation and test states (M, 16), standardised on train."""
    split = make_split(len(panel.times), embargo=264)
    features = build_features(panel)
    standardiser = fit_standardiser(features[split.train])
    states = prepared(features, standardiser, panel)
    parts = (split.train, split.validation, split.holdout)
    return tuple(known_rows(states[part]) for part in parts)  # type: ignore[return-value]  # three parts


def degeneracy(rows: FloatArray) -> tuple[float, float]:
    """Return the smallest eigenvalue of the correlations, and the largest R squared of a feature on the others."""
    correlation = np.corrcoef(rows.T)
    inverse = np.linalg.inv(correlation)
    return float(np.linalg.eigvalsh(correlation)[0]), float(np.max(1.0 - 1.0 / np.diag(inverse)))


def round_trip(model: torch.nn.Module, rows: FloatArray) -> float:
    """Return the largest |x - f^-1(f(x))| in float32."""
    x = torch.from_numpy(rows.astype(np.float32))
    with torch.no_grad():
        z, _ = model.encode(x)  # type: ignore[operator]  # a Glow
        return float((model.decode(z) - x).abs().max())  # type: ignore[operator]  # a Glow


def main() -> None:
    """Fit the three densities on the same train rows and print their NLL on validation and test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows and epochs, under a minute")
    quick = parser.parse_args().quick
    if not DATA.is_file():
        raise SystemExit(f"needs the recorded data: {DATA.name} in shared/data beside the checkout")
    panel = import_files([DATA], name="crypto spot 1h")
    x_train, x_validation, x_test = market_states(panel)
    rng = np.random.default_rng(7)
    config = TrainConfig(epochs=8 if quick else 30, max_rows=20_000 if quick else 100_000)
    fit = subsample(x_train, config.max_rows, rng)
    held = {"validation": subsample(x_validation, 40_000, rng), "test": subsample(x_test, 40_000, rng)}
    figures: dict[str, dict[str, float]] = {}

    started = time.perf_counter()
    gaussian = multivariate_normal(fit.mean(axis=0), np.cov(fit.T))
    figures["gaussian"] = {name: float(-gaussian.logpdf(rows).mean()) for name, rows in held.items()}
    figures["gaussian"]["seconds"] = time.perf_counter() - started
    started = time.perf_counter()
    mixture = GaussianMixture(COMPONENTS, random_state=7, max_iter=200, n_init=1).fit(fit)
    figures["gmm16"] = {name: float(-mixture.score(rows)) for name, rows in held.items()}
    figures["gmm16"]["seconds"] = time.perf_counter() - started
    started = time.perf_counter()
    flow = train(fit, held["validation"], config)
    figures["glow"] = {
        name: float(-log_likelihood(flow.model, torch.from_numpy(rows.astype(np.float32))).mean())
        for name, rows in held.items()
    }
    figures["glow"]["seconds"] = time.perf_counter() - started
    smallest, r_squared = degeneracy(fit)
    error = round_trip(flow.model, held["test"])
    print(
        f"{'density':<10} {'validation':>11} {'test':>9} {'bits/dim':>9} {'seconds':>8}   ({len(fit)} train rows, nats)"
    )
    for name, row in figures.items():
        bits = bits_per_dim(row["test"], 16)
        print(f"{name:<10} {row['validation']:>11.3f} {row['test']:>9.3f} {bits:>9.3f} {row['seconds']:>8.1f}")
    print(f"max |x - f^-1(f(x))| in float32: {error:.2e}")
    print(f"features: smallest eigenvalue of the correlation {smallest:.4f}, largest R^2 on the others {r_squared:.4f}")
    document = {
        "rows": len(fit),
        "nll_nats": figures,
        "round_trip_float32": error,
        "eigenvalue_min": smallest,
        "r2_max": r_squared,
    }
    print(json.dumps(document))


if __name__ == "__main__":
    main()
