"""The mock judge: scores by rules of thumb on the proposal, and by what became of factors like it.

It goes by facts: the figures of similar factors, turnover and what it costs, novelty and warnings. It reads no prompt.
"""

from __future__ import annotations

import json
import math
from statistics import fmean

from agent.llm.facts import JudgeFacts
from agent.untrusted.quoting import as_shown
from factors.parse import parse
from factors.tree import Call, Expression, Node

_FAST = 5
# Costs a year, as a fraction of capital, that a usual edge hardly earns, and that none does.
_DEAR, _RUINOUS = 0.8, 2.0
_SMOOTH = "Smooth it, or lengthen its windows."
# What it suggests where a factor trades too much; the mock writer acts on it.
SMOOTHER = (_SMOOTH,)


def judge_reply(facts: JudgeFacts) -> str:
    """Return a verdict as JSON: it objects to complexity, to dear factors, to copies and to a bad family."""
    expression = parse(facts.factor.text, dialect="native")
    if not isinstance(expression, Expression):
        return _json("refuse", 1.0, 0.0, "The factor cannot be read.", "Write it in the language described.")
    hope = _hope(facts)
    score = 5.0 + 3.0 * hope
    copied = _copied(expression, facts)
    if copied:
        return _json("refuse", 1.0, 0.02, copied, "Change the idea, not its dress.")
    faults = _faults(expression, facts)
    if hope < -0.5:
        faults.append(("What is like it did not predict.", "Leave this family."))
    score = min(10.0, max(0.0, score - 2.0 * len(faults)))
    passes = 1.0 / (1.0 + math.exp(1.2 - 2.5 * hope + 1.0 * len(faults)))
    if not faults:
        return _json("accept", score, passes, "Comparable across assets, not known yet, and of no bad family.", "")
    critique, suggestion = faults[0]
    return _json("accept" if len(faults) < 2 and hope >= -0.5 else "revise", score, passes, critique, suggestion)


def _json(decision: str, score: float, passes: float, critique: str, suggestion: str) -> str:
    axes = dict.fromkeys(("novelty", "mechanism", "testability", "cost", "overfitting"), round(score, 2))
    said = {"decision": decision, "score": round(score, 2), **axes, "passes": round(passes, 3), "critique": critique}
    return json.dumps({**said, "suggestion": suggestion})


def _hope(facts: JudgeFacts) -> float:
    """Return how well similar factors paid on train, in (-1, 1); 0 where none is known."""
    found = [z for one in facts.related if math.isfinite(z := one.metrics.get("payoff_z", math.nan))]
    # As if one more were known, of no worth.
    return math.tanh(fmean([*found, 0.0]) / 3.0)


def _copied(expression: Expression, facts: JudgeFacts) -> str:
    if any(f"- {as_shown(one.text)}".endswith(f"- {expression.text}") for one in facts.successes):
        return "It is a copy of a known factor."
    return "It is known already, as the novelty line says." if facts.copied else ""


def _faults(expression: Expression, facts: JudgeFacts) -> list[tuple[str, str]]:
    faults = []
    if facts.factor.warnings:
        faults.append(("It adds or compares quantities that do not fit.", "Divide each by its own mean first."))
    if expression.size > 24:
        faults.append(("It is too complicated for its idea.", "Drop a part."))
    # As many digits as a prompt shows.
    cost = float(f"{facts.yearly_cost:.3f}") if math.isfinite(facts.turnover) else math.nan
    if cost > _DEAR:
        faults += [("Costs will eat it.", _SMOOTH)] * (1 + (cost > _RUINOUS))
    elif math.isnan(cost) and expression.lookback < _FAST:
        faults.append(("It changes its mind at every bar; costs will eat it.", _SMOOTH))
    if _is_level(expression.root):
        faults += [("Raw prices and volumes cannot be compared across assets.", "Divide by the asset's own past.")] * 2
    return faults


def _is_level(node: Node) -> bool:
    """Whether the value carries the asset's own scale: a price or volume that is only smoothed or ranked by size."""
    if not isinstance(node, Call):
        return True
    smoothing = (
        "ts_mean",
        "ts_ema",
        "ts_median",
        "ts_decay_linear",
        "ts_sum",
        "ts_max",
        "ts_min",
        "cs_rank",
        "cs_zscore",
        "neg",
    )
    return node.op in smoothing and _is_level(node.args[0])
