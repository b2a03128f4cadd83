"""The mock judge: scores by rules of thumb on the proposal it reads."""

from __future__ import annotations

import json
import re

from factors.parse import parse
from factors.tree import Call, Expression, Node

_FAST = 5


def judge_reply(user: str) -> str:
    """Return a verdict as JSON: it objects to complexity, to nervous factors and to copies."""
    found = re.search(r"^Factor: (.+)$", user, re.MULTILINE)
    text = found[1] if found else ""
    expression = parse(text, dialect="native")
    if not isinstance(expression, Expression):
        return _json(False, 1.0, "The factor cannot be read.", "Write it in the language described.")
    faults = _faults(expression, user)
    score = max(0.0, 8.0 - 2.5 * len(faults))
    if not faults:
        return _json(True, score, "Short, comparable across assets, and not known yet.", "")
    critique, suggestion = faults[0]
    return _json(len(faults) < 2, score, critique, suggestion)


def _json(accept: bool, score: float, critique: str, suggestion: str) -> str:
    axes = dict.fromkeys(("novelty", "mechanism", "testability", "cost", "overfitting"), score)
    said = {"accept": accept, "score": score, **axes, "passes": score / 20, "critique": critique}
    return json.dumps({**said, "suggestion": suggestion})


def _faults(expression: Expression, user: str) -> list[tuple[str, str]]:
    faults = []
    if f"- {expression.text} (" in user:
        faults += [("It is a copy of a known factor.", "Change the idea, not a constant.")] * 2
    elif re.search(r"^Novelty: (identical|puts assets in the same order)", user, re.MULTILINE):
        faults += [("It is known already, as the novelty line says.", "Change the idea, not its dress.")] * 2
    if re.search(r"^Warning: ", user, re.MULTILINE):
        faults.append(("It adds or compares quantities that do not fit.", "Divide each by its own mean first."))
    if expression.size > 24:
        faults.append(("It is too complicated for its idea.", "Drop a part."))
    if expression.lookback < _FAST:
        faults.append(("It changes its mind at every bar; costs will eat it.", "Smooth it, or lengthen its windows."))
    if _is_level(expression.root):
        faults.append(("Raw prices and volumes cannot be compared across assets.", "Divide by the asset's own past."))
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
