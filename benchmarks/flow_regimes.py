"""Regimes that were planted, found again: adjusted Rand index on bars held out, by method, over some markets.

    python -m benchmarks.flow_regimes [--quick]

Four regimes (calm up, calm down, wild, crash) drive drift, volatility and volume of twelve assets. k-means alone stands
beside the same clusters filtered as Gaussians with transitions, and a Gaussian mixture of scikit-learn.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.mixture import GaussianMixture

from flows.density import DensityPlan, fit_density
from flows.fit_rules import FlowConfig, TrainConfig
from flows.mixture import mixture_labels
from flows.regimes import Labels, adjusted_rand, cluster, fit_hmm, fit_projection, from_labels, market_states
from market.synthetic.planted_regimes import planted_market

WINDOW, COUNT = 12, 4


def scores(seed: int, bars: int, epochs: int) -> dict[str, float]:
    """Return the ARI of each method on the last third of one market."""
    panel, chain = planted_market(bars=bars, seed=seed)
    fit_rows, test_rows = slice(0, int(0.6 * bars)), slice(int(0.67 * bars), bars)
    config = TrainConfig(epochs=epochs, max_rows=20_000, seed=seed)
    shape = FlowConfig(steps=(8,), hidden=32, seed=seed)
    density = fit_density(panel, fit_rows, test_rows, DensityPlan(config, shape))
    states = density.states(panel)
    features, latents = market_states(states, WINDOW), market_states(density.latents(states), WINDOW)
    projection, truth = fit_projection(features[fit_rows]), chain[test_rows]
    found: dict[str, float] = {}

    def add(name: str, labels: Labels) -> None:
        model = from_labels("features", features[fit_rows], labels, projection)
        found[name] = float("nan") if model is None else adjusted_rand(model.labels(features)[test_rows], truth)

    rng = np.random.default_rng(seed)
    whole = cluster(projection.apply(features), COUNT, rng)
    found["k-means of features, unfiltered"] = adjusted_rand(whole[test_rows], truth)
    raw = density.latents(states)
    each = cluster(raw[fit_rows].reshape(-1, raw.shape[-1])[::7], COUNT, rng)
    single = chain[fit_rows].repeat(raw.shape[1])[::7]
    found["k-means of single latents (the usual recipe)"] = adjusted_rand(each, single)
    add("features", cluster(projection.apply(features[fit_rows]), COUNT, rng))
    add(
        "latents, averaged over assets and bars",
        cluster(fit_projection(latents[fit_rows]).apply(latents[fit_rows]), COUNT, rng),
    )
    add("flow with a mixture base", mixture_labels(states[fit_rows], COUNT, WINDOW, config, shape))
    hmm = fit_hmm(features[fit_rows], COUNT, projection, seed)
    found["hidden Markov model"] = (
        float("nan") if hmm is None else adjusted_rand(hmm.labels(features)[test_rows], truth)
    )
    known = np.isfinite(features).all(axis=1)
    gmm = GaussianMixture(COUNT, random_state=seed, n_init=3).fit(projection.apply(features[fit_rows][known[fit_rows]]))
    found["Gaussian mixture of scikit-learn"] = adjusted_rand(gmm.predict(projection.apply(features[test_rows])), truth)
    return found


def main() -> None:
    """Measure, print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    turns, bars, epochs = (1, 4000, 4) if options.quick else (5, 8000, 12)
    console = Console(stderr=True)
    rows: list[dict[str, float]] = []
    for seed in range(turns):
        with console.status(f"market {seed + 1} of {turns}"):
            rows.append(scores(seed, bars, epochs))
    table = Table("method", "ARI, mean", "least", "most", title=f"{turns} markets of {bars} bars, four planted regimes")
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        table.add_row(name, *(f"{x:.2f}" for x in (np.nanmean(values), np.nanmin(values), np.nanmax(values))))
    Console().print(table)
    print(json.dumps({name: [row[name] for row in rows] for name in rows[0]}))


if __name__ == "__main__":
    main()
