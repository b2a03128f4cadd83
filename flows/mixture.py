"""Clusters as components of a flow whose base is a mixture: FlowGMM (Izmailov et al. 2020), without labels."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np

from flows.bases import MixtureBase
from flows.density import map_states
from flows.fit_rules import FlowConfig, TrainConfig
from flows.regimes import Labels, market_states
from flows.state import known_rows
from flows.train import train_flow
from market.panel import FloatArray


def mixture_labels(states: FloatArray, components: int, window: int, config: TrainConfig, shape: FlowConfig) -> Labels:
    """Return (T,) which component the assets of each bar favour together, over the last `window` bars; -1 unknown.

    A flow of the given shape is trained on prepared states (T, N, D), which have their noise already, and stopped early
    by their last tenth. Components that no bar favours are left out: labels count those that are left.
    """
    known = known_rows(states)
    cut = int(0.9 * len(known))
    flow = replace(shape, base="mixture", components=components)
    patient = replace(config, noise=0.0, batch=min(config.batch, max(64, cut // 8)))
    model = train_flow(known[:cut], known[cut:], patient, flow).model.eval()
    base = cast(MixtureBase, model.base)
    shares = map_states(states, lambda part: base.posterior(model.encode(part.float())[0]))
    mean = market_states(shares, window)
    labels: Labels = np.where(np.isfinite(mean).all(axis=1), np.nan_to_num(mean).argmax(axis=1), -1)
    seen = np.unique(labels[labels >= 0])
    return np.where(labels >= 0, np.searchsorted(seen, labels), -1)
