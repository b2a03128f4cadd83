"""Whether an operator from outside means one thing: its batch, its live bars and its oracle agree."""

from __future__ import annotations

import numpy as np

from factors.engine import evaluate
from factors.live_factors import LiveFactors
from factors.operator_plugin import NewOperator
from factors.parse import parse
from factors.tree import Call, Expression, Field, Number
from market.panel import Panel


def operator_faults(new: NewOperator, text: str, panel: Panel) -> list[str]:
    """Return where an installed operator's stream, batch and oracle differ on a panel; none is good.

    Parameters
    ----------
    text
        A call of the operator on fields and numbers, such as ``ts_range(close, 5)``.
    """
    expression = parse(text, fields=tuple({*panel.fields, "returns"}), bar=panel.bar)
    if not (isinstance(expression, Expression) and isinstance(expression.root, Call)):
        return [f"{text} cannot be read: {expression}"]
    values = evaluate(expression, panel).values
    given = [panel[arg.name] for arg in expression.root.args if isinstance(arg, Field)]
    numbers = [arg.value for arg in expression.root.args[new.arrays :] if isinstance(arg, Number)]
    cut = len(panel.times) // 2
    live = LiveFactors([expression], panel.rows(0, cut))
    later = [
        live.append({name: panel[name][t] for name in panel.fields}, panel.universe[t])[0]
        for t in range(cut, len(panel.times))
    ]
    compared = {
        "the oracle": (new.oracle(*given, *numbers), values),
        "live bars": (np.array(later), values[cut:]),
    }
    return [
        f"{what} and the engine differ on {text}"
        for what, (left, right) in compared.items()
        if not np.allclose(left, right, rtol=1e-9, atol=1e-12, equal_nan=True)
    ]
