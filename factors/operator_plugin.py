"""An operator in one object: its row, its stream, what the writers print, and its oracle.

The built-in operators keep these in tables of their own; a plugin of the group ``alphaglow.operators`` gives one
`NewOperator` under the operator's name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from factors.operators.row import Operator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from factors.streams import Maker
    from market.panel import Panel


@dataclass(frozen=True)
class NewOperator:
    """A primitive operator from outside the packages.

    Attributes
    ----------
    row
        Its row of the operator table; see `factors.operators.row.row`.
    arrays
        How many arguments, the first ones, are arrays; the others are numbers.
    stream
        From a layout and the numbers to its `factors.streams.Stream`, which serves batches and live bars.
    oracle
        The plain meaning: from arrays (T, N) and numbers to values (T, N), NaN where there is none.
    pandas
        Lines of the body of a function of the row's parameters, which the pandas writer prints; arrays are numpy's.
    needs
        Names of the parts in `factors.writers.pandas_parts` that these lines call.
    polars, along_time
        A template with the arguments in braces, by place, and whether it looks back in time; empty: no such form.
    qlib, latex
        Templates of the same kind; empty: no such form (LaTeX then prints the name).
    """

    row: Operator
    arrays: int
    stream: Maker
    oracle: Callable[..., NDArray[np.float64]]
    pandas: str
    needs: tuple[str, ...] = ()
    polars: str = ""
    along_time: bool = False
    qlib: str = ""
    latex: str = ""


def as_operator(value: object) -> NewOperator:
    """Return a plugin's object if it is an operator."""
    if not isinstance(value, NewOperator):
        raise TypeError(f"it is a {type(value).__name__}, and not a factors.operator_plugin.NewOperator")
    return value


def operator_faults(new: NewOperator, text: str, panel: Panel) -> list[str]:
    """Return where an installed operator's stream, batch and oracle differ on a panel; none is good.

    Parameters
    ----------
    text
        A call of the operator on fields and numbers, such as ``ts_range(close, 5)``.
    """
    import numpy as np

    from factors.engine import evaluate
    from factors.live_factors import Live
    from factors.parse import parse
    from factors.tree import Call, Expression, Field, Number

    expression = parse(text, fields=tuple({*panel.fields, "returns"}), bar=panel.bar)
    if not (isinstance(expression, Expression) and isinstance(expression.root, Call)):
        return [f"{text} cannot be read: {expression}"]
    values = evaluate(expression, panel).values
    given = [panel[arg.name] for arg in expression.root.args if isinstance(arg, Field)]
    numbers = [arg.value for arg in expression.root.args[new.arrays :] if isinstance(arg, Number)]
    cut = len(panel.times) // 2
    live = Live([expression], panel.rows(0, cut))
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
