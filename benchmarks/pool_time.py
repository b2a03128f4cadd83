"""How long does a pool take? Drawn factors on hourly coins, by every method, beside scikit-learn on stacked rows.

    python -m benchmarks.pool_time [--quick] [--members 50 200]

Weights of ridge and non-negative least squares are compared with those of the peer, which holds every row in memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.console import Console
from sklearn.linear_model import Ridge

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.run_config import ScoringRules
from agent.mining.screening import draw_texts
from agent.pools.fitting import Setting, fit_pools
from agent.pools.members import MeasuredFactors, choose_members, label_of, measure_members
from agent.pools.weighting import METHODS
from agent.study.settings import Settings
from agent.study.study import Study, open_study
from backtest.combine import Members, ridge_weights
from market.errors import InputError, Rejection
from market.files import import_files
from market.panel import FloatArray, Panel
from market.synthetic.demo_market import SynthSpec, make_market

COINS = Path(__file__).resolve().parents[2] / "shared" / "data" / "crypto_spot_1h.parquet"
Result = TypeVar("Result")


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """Return what work returns, and the seconds it took."""
    begun = time.perf_counter()
    found = work()
    return found, time.perf_counter() - begun


def peer_ridge(measured: MeasuredFactors, share: float) -> FloatArray:
    """Return scikit-learn's ridge on all asset-bars of train, stacked; the penalty as a share like ours."""
    forward = label_of(measured.study, measured.horizon)[measured.rows]
    x = np.stack([measured.members.normalised(k)[measured.rows] for k in range(len(measured.candidates))])
    use = np.isfinite(x).any(axis=0) & np.isfinite(forward)
    use &= (use.sum(axis=1) >= 2)[:, None]
    count = np.maximum(use.sum(axis=1, keepdims=True), 1)

    def demeaned(values: FloatArray) -> FloatArray:
        filled = np.where(use & np.isfinite(values), values, 0.0)
        return (filled - filled.sum(axis=1, keepdims=True) / count)[use]

    rows = np.stack([demeaned(one) for one in x], axis=1)
    level = float((rows**2).sum()) / rows.shape[1]
    found: FloatArray = Ridge(alpha=share * level, fit_intercept=False).fit(rows, demeaned(forward)).coef_
    return found


def usable(study: Study, knowledge: KnowledgeBase, count: int) -> list[str]:
    """Return this many drawn factors that can be evaluated and take positions."""
    kept: list[str] = []
    for text in draw_texts(study, 3 * count, seed=11):
        try:
            measured = measure_members(choose_members(study, knowledge, factors=[text]), study)
        except InputError:
            continue
        if np.nansum(np.abs(measured.traded[0].gross)) > 0:
            kept.append(text)
        if len(kept) == count:
            break
    return kept


def one(panel: Panel, study: Study, texts: list[str], *, peer: bool) -> dict[str, float]:
    """Fit every method once on a fresh knowledge base; return seconds."""
    with tempfile.TemporaryDirectory() as folder, KnowledgeBase.open(Path(folder) / "knowledge.db") as knowledge:
        knowledge.register_dataset(panel)
        chosen = choose_members(study, knowledge, factors=texts)
        measured, members = timed(lambda: measure_members(chosen, study))
        folds, moments = timed(lambda: measured.folds)
        figures = {"members": float(len(texts)), "evaluate, rank, trade": members, "moments": moments}
        for method in METHODS:
            setting = Setting("benchmark", ScoringRules(Settings().rules()))
            found, seconds = timed(lambda m=method, s=setting: list(fit_pools(measured, [m], knowledge, s)))  # type: ignore[misc]
            figures[f"{method}: weights, scorecard, record"] = seconds
            if isinstance(found[0][1], Rejection):
                figures[f"{method}: weights, scorecard, record"] = float("nan")
        figures["ranks kept, MB"] = measured.members.ranks.nbytes / 1e6
        figures["as 64-bit values, MB"] = measured.members.ranks.size * 8 / 1e6
        if peer:
            ours, seconds = timed(lambda: ridge_weights(folds.whole, 0.1))
            theirs, figures["scikit-learn ridge on stacked rows, one penalty"] = timed(
                lambda: peer_ridge(measured, 0.1)
            )
            figures["ours after the moments, one penalty"] = seconds
            figures["largest difference of weights, share"] = float(
                np.max(np.abs(ours - theirs)) / np.max(np.abs(theirs))
            )
        assert isinstance(measured.members, Members)
    figures["peak memory so far, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--members", type=int, nargs="+")
    options = parser.parse_args()
    console = Console(stderr=True)
    counts = options.members or ([5] if options.quick else [50, 200])
    if options.quick or not COINS.is_file():
        panel = make_market(SynthSpec(bars=2500)).panel
    else:
        panel = import_files([COINS], name="coins")
    study = open_study(panel, Settings())
    with tempfile.TemporaryDirectory() as folder, KnowledgeBase.open(Path(folder) / "knowledge.db") as knowledge:
        knowledge.register_dataset(panel)
        # The first use compiles.
        with console.status("warming up and drawing factors"):
            texts = usable(study, knowledge, max(counts))
            one(panel, study, texts[:3], peer=False)
    results = []
    for count in sorted(counts):
        with console.status(f"{count} members"):
            results.append(one(panel, study, texts[:count], peer=count <= 50))
    for figures in results:
        for name, value in figures.items():
            console.print(f"{name:50s} {value:12.4g}")
    print(json.dumps({"bars": panel.shape[0], "assets": panel.shape[1], "runs": results}))


if __name__ == "__main__":
    main()
