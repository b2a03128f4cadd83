"""A verdict in one plain sentence for people: what was found, its number and its error, then what it means.

It rests on validation too, so it never goes into a prompt.
"""

from __future__ import annotations

import math

from backtest.policy import SEEN, counted
from backtest.result_types import Evidence, Scorecard, Tested

# A rank IC with a larger t statistic than this ranks assets beyond doubt.
_RANKS = 3.0


def verdict_sentence(evidence: Evidence, card: Scorecard, level: float = 0.05) -> str:
    """Return both tests in words; empty where neither was made, as under earlier policies."""
    predicts, earns = evidence.predicts, evidence.earns
    if not predicts.bars and not earns.bars:
        return ""
    in_series = card.weighting == "timeseries"
    pays = f"{_basis_points(predicts)} a bar" if in_series else _share(predicts)
    first = _tested("predicts", predicts, f"pays {pays} before costs", evidence, level)
    second = _tested("earns", earns, f"nets {_basis_points(earns)} a bar", evidence, level)
    ranks = "" if in_series or not ranks_only(evidence, card) else "; ranks, not money"
    return f"{first}; {second}{ranks}"


def ranks_only(evidence: Evidence, card: Scorecard) -> bool:
    """Whether a factor ranks assets on train and cannot be seen to pay."""
    return card.train.ic_tstat > _RANKS and evidence.predicts.z < SEEN


def _tested(verdict: str, tested: Tested, found: str, evidence: Evidence, level: float) -> str:
    infinitive = verdict[:-1]
    if not math.isfinite(tested.z):
        return f"cannot be seen to {infinitive}: {tested.bars} bars are too few, or do not vary"
    says = verdict if tested.adjusted_p <= level else f"does not {infinitive}"
    if tested.z < -SEEN and verdict == "predicts":
        says = "predicts the other way"
    chance = "< 0.001" if tested.adjusted_p < 0.001 else f"{tested.adjusted_p:.2g}"
    among = counted(tested.among or evidence.trials)
    if tested.rules:
        among += f", the rule chosen among {tested.rules}"
    if tested.decided_on == "train":
        return f"{says}: on train it {found} (score {tested.z:.1f}, p {chance} among {among})"
    if tested.decided_on == "validation":
        among = f"{among} that passed on train"
        return f"{says}: on validation it {found} (score {tested.z:.1f}, p {chance} among {among})"
    return f"{says}: {found} (score {tested.z:.1f}, p {chance} among {among})"


def _share(tested: Tested) -> str:
    """Write a payoff in units of risk, as a share of what an asset moves."""
    return f"{100 * tested.mean:.2f} ± {100 * tested.error:.2f} % of an asset's deviation a bar"


def _basis_points(tested: Tested) -> str:
    return f"{1e4 * tested.mean:.1f} ± {1e4 * tested.error:.1f} bp"
