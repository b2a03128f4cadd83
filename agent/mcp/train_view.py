"""What another agent may see of a scored factor: train, and nothing that rests on validation or the holdout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from agent.knowledge.attempt_figures import train_of
from agent.knowledge.factor_records import FactorRecord
from agent.knowledge.records import AttemptRecord
from backtest.policy import train_words
from backtest.result_types import SegmentScore, to_json_types

# Of the document of `alphaglow eval`: each name stands for something that no bar after train has touched.
_OF_EVAL = (
    "factor", "text", "reading", "notes", "warnings", "remarks", "dimension", "novelty", "copy", "lookback", "data",
    "gated", "rule", "rule_says", "recorded", "attempt", "run", "trials",
)  # fmt: skip
_OF_SCORECARD = (
    "weighting", "holding", "cost_bp", "fill", "rate", "band", "volatility_scaled", "market_neutral", "liquid_half",
    "bars_per_year",
)  # fmt: skip
_FIGURES = (
    "n_bars", "start", "end", "rank_ic", "ic_tstat", "payoff", "payoff_error", "payoff_z", "net_z", "sharpe_gross",
    "sharpe_net", "sharpe_gated", "turnover", "annual_return_net", "max_drawdown", "break_even_bp", "capacity",
)  # fmt: skip
HIDDEN = "figures of validation and of the holdout, and verdicts that rest on them, are for people"


def view_of_evaluation(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may be seen of the document of `alphaglow eval --json`."""
    card = document["scorecard"]
    train = {name: card["train"].get(name) for name in _FIGURES}
    return {
        **{name: document.get(name) for name in _OF_EVAL},
        "train": train,
        "train_says": _says(train["payoff_z"]),
        "traded": {name: card.get(name) for name in _OF_SCORECARD},
        "hidden": HIDDEN,
    }


def _says(payoff_z: float | None) -> str:
    return train_words(float("nan") if payoff_z is None else payoff_z)


def view_of_attempt(attempt: AttemptRecord) -> dict[str, Any]:
    """Return what may be seen of an attempt: who it is, what was said of it, and its figures of train."""
    scored = attempt.evaluation is not None
    return {
        "attempt": attempt.id,
        "run": attempt.run_id,
        "factor": attempt.factor_id,
        "name": attempt.name,
        "text": attempt.canonical or attempt.text,
        "rationale": attempt.rationale,
        "claims": attempt.claims.to_dict(),
        "judged": [asdict(verdict) for verdict in attempt.verdicts],
        "stage": attempt.stage,
        "refused": None if scored else attempt.message,
        "train": figures_of_train(train_of(attempt)) if scored else None,
        "train_says": _says(train_of(attempt).payoff_z) if scored else None,
    }


def figures_of_train(train: SegmentScore) -> dict[str, Any]:
    """Return the figures of train as plain JSON types."""
    found = to_json_types({name: getattr(train, name) for name in _FIGURES})
    assert isinstance(found, dict)
    return found


def view_of_factor(record: FactorRecord) -> dict[str, Any]:
    """Return what may be seen of a factor with its relatives."""
    relatives = {"parents": record.parents, "children": record.children}
    return {
        **view_of_attempt(record.attempt),
        "attempts": list(record.attempts),
        **{
            relation: [{"factor": one.factor_id, "text": one.canonical} for one in some]
            for relation, some in relatives.items()
        },
        "all_children": record.all_children,
        "hidden": HIDDEN,
    }
