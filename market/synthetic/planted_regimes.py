"""A simulated market with planted regimes: what finds regimes can be compared with the truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from market.panel import Panel

# Drift and deviation of the market a bar, volume, and bars of a stay: calm up, calm down, wild, crash.
REGIMES = {
    "calm, up": (0.0007, 0.003, 1.0, 220),
    "calm, down": (-0.0007, 0.004, 0.8, 180),
    "wild": (0.0, 0.012, 2.0, 120),
    "crash": (-0.006, 0.025, 4.0, 60),
}


def planted_market(bars: int = 6000, assets: int = 12, seed: int = 0) -> tuple[Panel, NDArray[np.int64]]:
    """Return hourly bars whose drift, volatility and volume follow a Markov chain, and the chain (T,).

    Numbers of the chain are places in `REGIMES`; the same seed gives the same market.
    """
    rng = np.random.default_rng(seed)
    settings = np.array(list(REGIMES.values()))
    chain = np.empty(bars, dtype=np.int64)
    now = 0
    for t in range(bars):
        if rng.random() < 1.0 / settings[now, 3]:
            now = int(rng.choice([k for k in range(len(settings)) if k != now]))
        chain[t] = now
    drift, deviation, activity = settings[chain, 0], settings[chain, 1], settings[chain, 2]
    common, own = rng.standard_t(5, (bars, 1)), rng.standard_t(5, (bars, assets))
    moves = drift[:, None] + deviation[:, None] * (0.6 * common + 0.5 * own)
    close = 100.0 * np.exp(np.cumsum(moves, axis=0))
    opened = np.vstack([close[:1], close[:-1]])
    reach = deviation[:, None] * np.abs(rng.normal(size=(2, bars, assets))) * 0.5
    fields = {
        "open": opened,
        "high": np.maximum(opened, close) * np.exp(reach[0]),
        "low": np.minimum(opened, close) * np.exp(-reach[1]),
        "close": close,
        "volume": 1e4 * activity[:, None] * np.exp(0.4 * rng.normal(size=(bars, assets))),
    }
    hour = np.timedelta64(1, "h").astype("timedelta64[ns]")
    return (
        Panel(
            times=np.datetime64("2023-01-01", "ns") + hour * np.arange(bars),
            assets=tuple(f"A{k:02d}" for k in range(assets)),
            fields=fields,
            universe=np.ones((bars, assets), dtype=bool),
            bar=hour,
            calendar="continuous",
            name="planted regimes",
            simulated=True,
        ),
        chain,
    )
