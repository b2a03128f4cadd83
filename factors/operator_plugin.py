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
