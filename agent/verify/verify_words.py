"""A verification in one plain sentence: whether it is shown, by which figures, and what stands against it."""

from __future__ import annotations

import math

from agent.verify.verification import Verification
from backtest.policy import counted
from backtest.result_types import NOT_TESTED, Tested


def sentence_of(found: Verification) -> str:
    """Return the sentence that stands first everywhere."""
    head = "Shown" if found.shown else "Not shown"
    against = "; ".join(flaw.text for flaw in found.fatal)
    if against and not found.among[-1].shown:
        return f"{head}: it {_both(found)}{_among(found)}. Against it: {against}."
    if against:
        return f"{head}: {against}. Apart from that, it {_both(found)}."
    return f"{head}: it {_both(found)}{_among(found)}."


def _both(found: Verification) -> str:
    if found.predicts is NOT_TESTED:
        return _earns(found)
    return f"{_predicts(found)} and {_earns(found)}"


def _passes(test: Tested, found: Verification) -> bool:
    return test.adjusted_p <= found.level


def _predicts(found: Verification) -> str:
    test = found.predicts
    if not math.isfinite(test.z):
        return "cannot be tested for predicting: its payoffs are too few, or do not vary"
    if found.kind == "returns":
        pays = f"{_bp(test)} a bar that the market does not explain"
    elif found.kind == "signals" and found.assets > 10:
        pays = f"{100 * test.mean:.2f} ± {100 * test.error:.2f} % of an asset's deviation a bar before costs"
    else:
        pays = f"{_bp(test)} a bar before costs, less the market"
    does = "predicts" if _passes(test, found) else "does not predict"
    if test.z < -2.0:
        does = "predicts the other way"
    return f"{does} ({pays}, score {test.z:.1f})"


def _earns(found: Verification) -> str:
    test = found.earns
    if not math.isfinite(test.z):
        return "cannot be tested for earning: its returns are too few, or do not vary"
    does = "earns" if _passes(test, found) else "does not earn"
    costs = "as its returns stand" if found.kind == "returns" else "after costs"
    return f"{does} ({_bp(test)} a bar {costs}, score {test.z:.1f})"


def _among(found: Verification) -> str:
    if found.trials is not None:
        return ", as the only trial" if found.trials == 1 else f", as the best of {counted(found.trials)}"
    many = "trial" if found.most_trials == 1 else "independent trials"
    least = f"as the best of at most {found.most_trials:,} {many}" if found.most_trials else ""
    if found.shown:
        return f"; how many trials were made is unknown, and it stands {least}"
    if least:
        return f" if nothing else was tried; how many trials were made is unknown, and it would be shown {least}"
    return ", even if it is the only one that was tried"


def _bp(test: Tested) -> str:
    return f"{1e4 * test.mean:.1f} ± {1e4 * test.error:.1f} bp"
