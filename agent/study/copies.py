"""How a scored factor stands to those of the knowledge base: copies of one, and those whose values it repeats.

A copy earns the same before costs at every bar of train, so it takes the same positions: a scaled, a winsorised or a
ranked form of a factor under rank weights. It could not have been lucky by itself, so it is no trial.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.study.study import Study
from backtest.policy import NearestKnown
from backtest.signal_shape import sample_rows, value_correlation
from factors.batch import evaluate_within
from factors.parse import parse
from factors.tree import Expression, Signal
from market.errors import Rejection
from market.panel import FloatArray

# Accepted factors whose values are compared, those whose returns are nearest.
_COMPARED = 3


def refused_copy(whose: str) -> Rejection:
    """Return why a copy is not scored again."""
    return Rejection(
        "novelty",
        "same_factor",
        f"the same factor as {whose}: it takes the same positions at every bar",
        "propose another idea: a scaled or winsorised form of a factor is the factor",
    )


def nearest_known(signal: Signal, fingerprint: FloatArray, study: Study, knowledge: KnowledgeBase) -> NearestKnown:
    """Return how a factor stands to what is known: its tree to every known factor, returns and values to accepted ones.

    Values are compared with those of the few accepted factors whose returns are nearest, on a sample of train's bars.
    """
    expression = signal.expression
    part = knowledge.novelty(expression).overlap
    near = knowledge.accepted_nearby(study.dataset, fingerprint, but=expression.id, most=_COMPARED)
    values, closest = _nearest_values(signal, (one.text for one in near), study)
    return NearestKnown(
        0.0 if part is None else part.share,
        "" if part is None else part.factor.text,
        near[0].correlation if near else float("nan"),
        near[0].text if near else "",
        values,
        closest,
    )


def _nearest_values(signal: Signal, texts: Iterable[str], study: Study) -> tuple[float, str]:
    """Return the largest rank correlation of values, by size, and whose it is; NaN where there is none."""
    mine, best = _sampled(signal.values, study), (float("nan"), "")
    for text in texts:
        theirs = _values_of(text, study)
        if theirs is None:
            continue
        found = value_correlation(mine, theirs)
        if np.isfinite(found) and not abs(found) <= abs(best[0]):
            best = (found, text)
    return best


def _sampled(values: FloatArray, study: Study) -> FloatArray:
    rows = sample_rows(study.split.train)
    return np.where(study.panel.universe[rows], values[rows], np.nan)


def _values_of(text: str, study: Study) -> FloatArray | None:
    """Return the sampled values of an accepted factor, computed once a study; None where it cannot be computed now."""
    known = study.target.sampled_values
    if text not in known:
        expression = parse(text, fields=study.fields, bar=study.panel.bar, dialect="native")
        found = expression if isinstance(expression, Rejection) else _evaluated(expression, study)
        known[text] = None if isinstance(found, Rejection) else _sampled(found.values, study)
    return known[text]


def _evaluated(expression: Expression, study: Study) -> Signal | Rejection:
    return evaluate_within(expression, study.panel, seconds=study.max_seconds, gigabytes=study.max_gigabytes)
