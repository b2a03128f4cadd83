"""Pandas code as many models and people write it: most is read, and what is read has the values that pandas gives.

The texts are ours, in `found/pandas_*.txt`: of one asset's table, of a long table of several, and of
tables of dates by assets. Python runs them as they stand on a panel without gaps, and is the oracle.
"""

from __future__ import annotations

import ast
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from factors.engine import evaluate
from factors.parse import parse
from factors.tree import Expression
from market.panel import FloatArray, Panel
from tests.helpers import random_panel

FOUND = Path(__file__).parent / "found"
# Recursive averages have forgotten how they began.
BARS, LATE, ASSETS = 420, 330, 6
COLUMNS = ("open", "high", "low", "close", "volume")
FIELDS = (*COLUMNS, "returns", "amount", "vwap")


def texts_of(name: str) -> list[str]:
    return [part.strip("\n") for part in (FOUND / f"{name}.txt").read_text(encoding="utf-8").split("\n---\n")]


@pytest.fixture(scope="module")
def panel() -> Panel:
    """Six assets whose prices and volumes have no ties."""
    rng = np.random.default_rng(3)
    shape = (BARS, ASSETS)
    close = 50.0 + rng.normal(size=shape).cumsum(axis=0)
    opened = close + rng.normal(size=shape)
    spread = rng.uniform(0.5, 2.0, shape)
    return random_panel(*shape).with_fields({
        "close": close, "open": opened, "high": np.maximum(close, opened) + spread,
        "low": np.minimum(close, opened) - spread, "volume": rng.uniform(1e3, 2e3, shape),
    })  # fmt: skip


def given_to(kind: str, panel: Panel) -> dict[str, object]:
    """What a text finds: the frame `df`, and columns or tables by their names."""
    if kind == "long":
        labels = {"symbol": np.repeat(np.arange(ASSETS), BARS), "date": np.tile(np.arange(BARS), ASSETS)}
        frame = pd.DataFrame({**labels, **{name: panel[name].T.ravel() for name in COLUMNS}})
        return {"df": frame, "data": frame}
    if kind in ("dates_first", "assets_first"):
        rows = pd.MultiIndex.from_product([range(BARS), range(ASSETS)], names=["date", "symbol"])
        frame = pd.DataFrame({name: panel[name].ravel() for name in COLUMNS}, index=rows)
        frame = frame if kind == "dates_first" else frame.swaplevel().sort_index()
        return {"df": frame, "data": frame}
    if kind == "asset":
        frame = pd.DataFrame({name: panel[name][:, 2] for name in COLUMNS})
        return {"df": frame, "data": frame, **{name: frame[name] for name in COLUMNS}}
    tables: dict[str, object] = {name: pd.DataFrame(panel[name].copy()) for name in COLUMNS}
    return {**tables, "df": tables, "data": tables}


def of_object(made: type, space: dict[str, object]) -> object:
    """The value of a class: of its last public method, with the frame where it takes one."""
    takes_data = "__init__" in vars(made) and "df" in made.__init__.__code__.co_varnames  # type: ignore[misc]
    one = made(space["df"]) if takes_data else made()
    names = [name for name, value in vars(made).items() if callable(value) and not name.startswith("_")]
    method = getattr(one, names[-1]) if names else one
    return method() if takes_data else method(space["df"])


def run(code: str, given: dict[str, object]) -> object:
    """What Python makes of a text: of its last class, function or lambda, else of its last statement."""
    space: dict[str, object] = {"np": np, "pd": pd, **given}
    tree = ast.parse(code)
    last = tree.body[-1]
    exec(compile(tree, "a text", "exec"), space)
    if isinstance(last, ast.ClassDef):
        return of_object(space[last.name], space)  # type: ignore[arg-type]
    if isinstance(last, ast.FunctionDef):
        arguments = last.args.args[: len(last.args.args) - len(last.args.defaults)]
        return space[last.name](*(space[one.arg] for one in arguments))  # type: ignore[operator]
    if isinstance(last, ast.Assign):
        value = space[last.targets[0].id]  # type: ignore[attr-defined]
    else:
        value = eval(compile(ast.Expression(last.value), "a text", "eval"), space)  # type: ignore[attr-defined]
    return value(space["df"]) if callable(value) else value


def values_of(code: str, kind: str, panel: Panel) -> FloatArray:
    """The values that pandas gives, as bars by assets, or of the one asset."""
    given = given_to(kind, panel)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = run(code, given)
    by_rows = isinstance(found, pd.Series) and isinstance(found.index, pd.MultiIndex)
    by_names = by_rows and set(found.index.names) == {"date", "symbol"}  # type: ignore[attr-defined]
    if by_names:
        found = found.unstack("symbol").reindex(range(BARS))  # type: ignore[attr-defined]
    if kind == "long" and isinstance(found, pd.Series) and not by_rows:
        found = found.reindex(given["df"].index)  # type: ignore[attr-defined]
    values = np.asarray(found, dtype=float)
    if kind == "asset":
        return values[:, -1] if values.ndim == 2 else values
    if kind == "long":
        # Rows labelled by date and symbol come date by date.
        return values.reshape(BARS, ASSETS) if by_rows or by_names else values.reshape(ASSETS, BARS).T
    return values


@pytest.mark.parametrize("kind", ["asset", "long", "wide", "dates_first", "assets_first"])
def test_most_is_read_and_nothing_with_another_meaning(kind: str, panel: Panel) -> None:
    refused, texts = [], texts_of(f"pandas_{kind}")
    for code in texts:
        found = parse(code, fields=FIELDS)
        if not isinstance(found, Expression):
            refused.append(code)
            continue
        mine = evaluate(found, panel).values[:, 2] if kind == "asset" else evaluate(found, panel).values
        wanted = values_of(code, kind, panel)[LATE:]
        np.testing.assert_allclose(mine[LATE:], wanted, rtol=1e-6, atol=1e-9, err_msg=code)
        assert np.isfinite(wanted).mean() > 0.5, code
    assert len(refused) <= 0.06 * len(texts), refused


def test_there_are_three_hundred_of_them() -> None:
    assert sum(len(set(texts_of(f"pandas_{kind}"))) for kind in ("asset", "long", "wide")) >= 300


def test_what_cannot_be_said_is_refused_and_not_read_otherwise() -> None:
    read = {code: found.text for code in texts_of("pandas_refused") if isinstance(found := parse(code), Expression)}
    assert read == {}


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("df['close'].rolling(9).apply(lambda w: np.median(np.abs(w - np.median(w))), raw=True)", "another statistic"),
        ("df['close'].rolling(9).apply(lambda w: w - w.mean())", "no number of its window"),
        ("def f(df, other):\n    return df['close'] - other['close']", "second table"),
        ("df.groupby('symbol')['close'].transform(lambda x: x.rank(pct=True))", "future"),
        ("df['close'].groupby(level=0).diff() + df['open'].groupby(level=1).diff()", "does not say"),
        ("df['close'].groupby(level=1).diff().groupby(level=1).rank()", "whole history sees its future"),
        ("np.cos(df['close'])", "waves"),
        ("for i in range(1000):\n    x = df['close']\nx", "at most 60"),
        ("x = df['close']\nfor i in range(50):\n    for j in range(50):\n        x = x + 1\nx", "too many steps"),
    ],
)
def test_refusals_say_why(code: str, says: str) -> None:
    found = parse(code)
    assert not isinstance(found, Expression), found.text
    assert says in found.message
