"""The mock judge: scores by rules of thumb on the proposal, and by what became of factors like it.

Its skill is to read: the figures of kindred factors, the turnover and what it costs, the novelty and warning lines.
"""

from __future__ import annotations

import json
import math
import re
from statistics import fmean

from factors.parse import parse
from factors.tree import Call, Expression, Node

_FAST = 5
# Costs a year, as a fraction of capital, that a usual edge hardly earns, and that none does.
_DEAR, _RUINOUS = 0.8, 2.0
_KIN = "What is known of its kind"


def judge_reply(user: str) -> str:
    """Return a verdict as JSON: it objects to complexity, to dear factors, to copies and to a bad family."""
    found = re.search(r"^Factor: (.+)$", user, re.MULTILINE)
    text = found[1] if found else ""
    expression = parse(text, dialect="native")
    if not isinstance(expression, Expression):
        return _json("refuse", 1.0, 0.0, "The factor cannot be read.", "Write it in the language described.")
    hope = _hope(user)
    score = 5.0 + 3.0 * hope
    copied = _copied(expression, user)
    if copied:
        return _json("refuse", 1.0, 0.02, copied, "Change the idea, not its dress.")
    faults = _faults(expression, user)
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


def _hope(user: str) -> float:
    """Return how well kindred factors predicted on train, in (-1, 1); 0 where none is known."""
    part = re.search(rf"^# {re.escape(_KIN)}.*?\n(.*?)(?=^# |\Z)", user, re.MULTILINE | re.DOTALL)
    found = [float(t) for t in re.findall(r"\bic_tstat (-?[\d.eE+-]+)", part[1] if part else "")]
    # As if one more were known, of no worth.
    return math.tanh(fmean([*found, 0.0]) / 6.0)


def _copied(expression: Expression, user: str) -> str:
    if f"- {expression.text} (" in user:
        return "It is a copy of a known factor."
    if re.search(r"^Novelty: (identical|puts assets in the same order)", user, re.MULTILINE):
        return "It is known already, as the novelty line says."
    return ""


def _faults(expression: Expression, user: str) -> list[tuple[str, str]]:
    faults = []
    if re.search(r"^Warning: ", user, re.MULTILINE):
        faults.append(("It adds or compares quantities that do not fit.", "Divide each by its own mean first."))
    if expression.size > 24:
        faults.append(("It is too complicated for its idea.", "Drop a part."))
    cost = re.search(r"^Turnover: .* costs ([\d.]+) of capital a year", user, re.MULTILINE)
    if cost is not None and float(cost[1]) > _DEAR:
        ruinous = float(cost[1]) > _RUINOUS
        faults += [("Costs will eat it.", "Smooth it, or lengthen its windows.")] * (1 + ruinous)
    elif cost is None and expression.lookback < _FAST:
        faults.append(("It changes its mind at every bar; costs will eat it.", "Smooth it, or lengthen its windows."))
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
