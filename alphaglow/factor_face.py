"""Factors as people write them: read once, checked, evaluated on panels; what cannot be read is an exception."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from factors.parse import DialectName, parse
from factors.table import STANDARD_FIELDS
from factors.tree import Expression
from market.errors import InputError, Rejection
from market.panel import Panel

if TYPE_CHECKING:
    import pandas as pd

Found = TypeVar("Found")
# What a panel would have said, by the fault.
_WITH_A_PANEL = {
    "unknown_field": "a field of your own data: ag.factor(text, panel=panel)",
    "window": 'or say how long a bar is: bar="1h", or panel=panel',
}


class FactorError(InputError):
    """A factor, or a signal, that cannot be read, evaluated or traded.

    The text of the exception points into the factor and says what was probably meant.

    Attributes
    ----------
    rejection
        The refusal as data: stage, code, message, hint, position.
    """

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(rejection.message, rejection.hint)
        self.rejection = rejection

    def __reduce__(self) -> tuple[type[FactorError], tuple[Rejection]]:
        """Return what is pickled: an exception of another process is shown as it was."""
        return FactorError, (self.rejection,)

    @property
    def code(self) -> str:
        """A stable name of the fault, such as ``unknown_operator``."""
        return self.rejection.code


def unless_refused(found: Found | Rejection) -> Found:
    """Return what is no refusal; a refusal is raised as a `FactorError`."""
    if isinstance(found, Rejection):
        raise FactorError(found)
    return found


@dataclass(frozen=True)
class Factor:
    """A factor that was read and checked; call it on a panel for its values.

    Attributes
    ----------
    expression
        The typed, immutable tree with what was found out about it.
    """

    expression: Expression

    @property
    def text(self) -> str:
        """The factor in canonical form: one text for everything that means the same."""
        return self.expression.text

    @property
    def id(self) -> str:
        """``factor:`` and 16 hex digits: the same for every way to write the factor."""
        return self.expression.id

    @property
    def lookback(self) -> int:
        """Bars before the current one that a value needs."""
        return self.expression.lookback

    @property
    def fields(self) -> tuple[str, ...]:
        """What it reads of a panel, in alphabetical order."""
        return tuple(sorted(self.expression.fields))

    @property
    def words(self) -> str:
        """What it says, in a sentence."""
        from factors.plain_words import read_aloud

        return read_aloud(self.expression)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a translation changed, and where quantities do not fit."""
        return (*self.expression.notes, *self.expression.warnings)

    def __call__(self, panel: Panel) -> pd.DataFrame:
        """Return the values on a panel: times by assets, each known at its bar's close; NaN in the warm-up."""
        from factors.engine import evaluate
        from market.panel_frames import framed

        return framed(evaluate(self.expression, panel).values, panel)

    def to_pandas(self) -> str:
        """Return Python code that computes the factor with numpy and pandas alone."""
        from factors.writers.pandas_code import to_pandas

        return to_pandas(self.expression)

    def to_polars(self) -> str:
        """Return Python code that computes the factor with Polars."""
        from factors.writers.polars_code import to_polars

        return to_polars(self.expression)

    def to_qlib(self) -> str:
        """Return the factor as an expression of Qlib; what Qlib has no form for is an `InputError`."""
        from factors.writers.to_qlib import to_qlib

        return to_qlib(self.expression)

    def to_latex(self) -> str:
        """Return the factor as a formula for a paper."""
        from factors.writers.latex import to_latex

        return to_latex(self.expression)

    def __str__(self) -> str:
        """Return the text."""
        return self.text

    def __repr__(self) -> str:
        """Return the text and the look-back."""
        return f"Factor({self.text!r}, look-back {self.lookback})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        notes = "".join(f"<br><small>{escape(note)}</small>" for note in self.notes)
        return (
            f"<div><code>{escape(self.text)}</code><br>{escape(self.words)}"
            f"<br><small>{escape(self.id)}, look-back {self.lookback} bars</small>{notes}</div>"
        )


def factor(
    text: str,
    *,
    panel: Panel | None = None,
    fields: Collection[str] = (),
    bar: str | np.timedelta64 | None = None,
    dialect: DialectName = "auto",
    strict: bool = False,
) -> Factor:
    """Read a factor; the text is never run.

    Parameters
    ----------
    text
        The expression, in the language of alphaglow or, by `dialect`, in another that it reads.
    panel
        Whose fields may be used, and by whose bar durations such as ``20d`` are counted.
    fields
        Without a panel: names beside the standard ones, such as ``funding``.
    bar
        Without a panel: the length of a bar, such as ``1h``, ``5min`` or ``1d``.
    strict
        Whether quantities that do not fit are refused; else they are noted.

    Raises
    ------
    FactorError
        With a caret into the text, and what was probably meant.

    Examples
    --------
    >>> import alphaglow as ag
    >>> ag.factor("SMA(close, 20) / close")
    Factor('ts_mean(close, 20) / close', look-back 19)
    >>> try:
    ...     ag.factor("ts_meen(close, 20)")
    ... except ag.FactorError as error:
    ...     print(error.code)
    unknown_operator
    """
    if panel is not None:
        bar, fields = panel.bar, (*panel.fields, *fields)
    known, length = {*STANDARD_FIELDS, *fields}, None if bar is None else _length(bar)
    found = parse(text, fields=known, bar=length, dialect=dialect, strict=strict)
    if isinstance(found, Rejection) and panel is None and found.code in _WITH_A_PANEL:
        found = replace(found, hint=f"{found.hint}; {_WITH_A_PANEL[found.code]}".removeprefix("; "))
    return Factor(unless_refused(found))


def _length(bar: str | np.timedelta64) -> np.timedelta64:
    if isinstance(bar, np.timedelta64):
        return bar
    import pandas as pd

    try:
        return np.timedelta64(pd.Timedelta(bar if bar[:1].isdigit() else f"1{bar}").value, "ns")
    except ValueError as error:
        raise InputError(f"{bar!r} is no length of a bar", "write 1h, 5min or 1d") from error
