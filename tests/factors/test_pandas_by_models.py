"""Factors as language models write them in pandas: read, and with the values that pandas itself gives.

Each shape is written with several columns and windows. The texts are ours and fixed; Python runs them as the oracle.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from factors.engine import evaluate
from factors.parse import parse
from factors.tree import Expression
from market.panel import FloatArray, Panel
from tests.helpers import random_panel

BARS, LATE = 90, 60
COLUMNS = ("close", "volume", "open")
WINDOWS = (3, 5, 10, 14)
FIELDS = ("open", "high", "low", "close", "volume", "returns", "amount", "vwap")

# Of one asset: {c} is a column, {n} a window, {m} twice that.
ONE: dict[str, str] = {
    "ratio to mean": "df['{c}'] / df['{c}'].rolling({n}).mean() - 1",
    "z-score": "(df['{c}'] - df['{c}'].rolling({n}).mean()) / df['{c}'].rolling({n}).std()",
    "fill": "df['{c}'].pct_change({n}).fillna(0)",
    "fill by another": "df['{c}'].shift({n}).fillna(df['open'])",
    "position": "m = df['{c}'].rolling({n}).min()\nx = df['{c}'].rolling({n}).max()\n(df['{c}'] - m) / (x - m)",
    "window in a lambda": "df['{c}'].rolling({n}).apply(lambda x: (x[-1] - x.mean()) / x.std(), raw=True)",
    "window of a series": "df['{c}'].rolling({n}).apply(lambda x: x.iloc[-1] / x.iloc[0] - x.std())",
    "share of rises": "df['{c}'].diff().rolling({n}).apply(lambda x: (x > 0).mean())",
    "numpy of a window": "df['{c}'].rolling({n}).apply(np.std, raw=True)",
    "numpy in a lambda": "df['{c}'].rolling({n}).apply(lambda w: np.max(w) - np.percentile(w, 25), raw=True)",
    "rank by hand": "df['{c}'].rolling({n}).apply(lambda x: pd.Series(x).rank(pct=True).iloc[-1])",
    "slope": "df['{c}'].rolling({n}).apply(lambda y: np.polyfit(np.arange(len(y)), y, 1)[0], raw=True)",
    "mean deviation": "df['{c}'].rolling({n}).apply(lambda x: np.abs(x - x.mean()).mean(), raw=True)",
    "age of the high": "df['{c}'].rolling({n}).apply(np.argmax, raw=True)",
    "where": "df['{c}'].diff().where(df['close'] > df['open'], 0).rolling({n}).sum()",
    "mask": "df['{c}'].mask(df['close'] > df['open'], -1.0).rolling({n}).mean()",
    "gains and losses": (
        "d = df['{c}'].diff()\nup = d.clip(lower=0).rolling({n}).mean()\n"
        "down = (-d.clip(upper=0)).rolling({n}).mean()\n100 - 100 / (1 + up / (down + 1e-9))"
    ),
    "conditions counted": (
        "((df['{c}'] > df['{c}'].shift(1)) & (df['close'] > "
        "df['open'])).astype(int).rolling({n}).sum()"
    ),
    "select": "np.select([df['{c}'].diff({n}) > 0, df['{c}'].diff({n}) < 0], [1, -1], default=0) * df['close']",
    "where and sum": (
        "pd.Series(np.where(df['close'] > df['open'], df['{c}'], -df['{c}']), "
        "index=df.index).rolling({n}).sum()"
    ),
    "mask assigned": "s = df['{c}'].copy()\ns[df['close'] > df['open']] = 0.0\ns.rolling({n}).mean()",
    "column assigned": (
        "df['signal'] = 0\ndf.loc[df['{c}'] > df['{c}'].shift({n}), 'signal'] = "
        "1\ndf['signal'] * df['close']"
    ),
    "between": "df['{c}'].between(df['{c}'].shift({n}), df['{c}'].shift({n}) * 1.1).astype(float) + 0 * df['{c}']",
    "remainder": "(df['{c}'] // 3) + (df['{c}'] % 3) * df['close'].rolling({n}).mean()",
    "rounded": "df['{c}'].pct_change({n}).round(2) + np.round(df['close'], 1)",
    "true range": (
        "a = df['high'] - df['low']\nb = (df['high'] - df['close'].shift(1)).abs()\n"
        "c = (df['low'] - df['close'].shift(1)).abs()\n"
        "pd.concat([a, b, c], axis=1).max(axis=1).rolling({n}).mean() / df['{c}']"
    ),
    "bands": (
        "m = df['{c}'].rolling({n}).mean()\ns = df['{c}'].rolling({n}).std(ddof=0)\n"
        "(df['{c}'] - (m - 2 * s)) / ((m + 2 * s) - (m - 2 * s))"
    ),
    "averages crossed": "df['{c}'].rolling({n}).mean().gt(df['{c}'].rolling({m}).mean()).mul(2).sub(1) * df['close']",
    "correlation": "df['{c}'].pct_change().rolling({m}).corr(df['high'].pct_change())",
    "log and power": "np.log(df['{c}']).diff({n}).pow(2).rolling({n}).sum() ** 0.5",
    "agg by name": "df['{c}'].rolling({n}).agg('median') - df['{c}'].rolling({m}).quantile(0.25)",
    "capped": "np.clip(df['{c}'].pct_change({n}), -0.01, 0.01) + np.nan_to_num(df['{c}'].diff({n}))",
    "functions beside": (
        "def scored(x, n):\n    return (x - x.rolling(n).mean()) / x.rolling(n).std()\n\n"
        "def factor(df, n={n}):\n    if df.empty:\n        return None\n"
        "    return scored(df['{c}'], n) - scored(df['high'], n=n)"
    ),
    "tried": (
        "def factor(df):\n    try:\n        return df['{c}'].diff({n})\n    except "
        "Exception:\n        return None"
    ),
    "class": (
        "class Factor:\n    def calculate(self, df):\n        r = df['{c}'].pct_change({n})\n "
        "       return r.rename('f')"
    ),
    "lambda": "lambda df: df['{c}'].pct_change({n}) * -1",
    "assigned": "df = df.assign(r=df['{c}'].diff({n}))\ndf['r'] / df['close']",
}  # fmt: skip
# Of a long table of several assets.
LONG: dict[str, str] = {
    "scored by date": "df.groupby('date')['{c}'].transform(lambda x: (x - x.mean()) / (x.std() + 1e-8))",
    "from the best": "df.groupby('date')['{c}'].transform(lambda x: x / x.max() - x.median())",
    "winsorised": "df.groupby('date')['{c}'].transform(lambda x: x.clip(x.quantile(0.2), x.quantile(0.8)))",
    "named statistic": "df['{c}'] - df.groupby('date')['{c}'].transform('std') * {n}",
    "count and sum": (
        "df['{c}'] / df.groupby('date')['{c}'].transform('sum') * df.groupby('date')['{c}'].transform('count')"
    ),
    "by asset, then by date": (
        "df['m'] = df.groupby('symbol')['{c}'].transform(lambda x: x.rolling({n}).mean())\n"
        "df['f'] = df['{c}'] / df['m']\ndf.groupby('date')['f'].rank(pct=True)"
    ),
    "grouped windows": "df['{c}'] - df.groupby('symbol')['{c}'].rolling({n}).mean().reset_index(level=0, drop=True)",
    "both statistics": "g = df.groupby('date')['{c}']\n(df['{c}'] - g.transform('mean')) / g.transform('std')",
}
# Of tables of dates by assets.
WIDE: dict[str, str] = {
    "across": "{c}.sub({c}.mean(axis=1), axis=0).div({c}.std(axis=1), axis=0)",
    "ranked changes": "{c}.pct_change({n}).rank(axis=1, pct=True)",
    "market": "r = {c}.pct_change()\nr.sub(r.median(axis=1), axis=0).rolling({n}).mean()",
    "range across": "{c}.sub({c}.min(axis=1), axis=0).div({c}.max(axis=1) - {c}.min(axis=1), axis=0)",
}


def texts(shapes: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Each shape with every column and window, once where it names no window."""
    for name, shape in shapes.items():
        windows = WINDOWS if "{n}" in shape or "{m}" in shape else WINDOWS[:1]
        for column, n in itertools.product(COLUMNS, windows):
            yield name, shape.replace("{c}", column).replace("{n}", str(n)).replace("{m}", str(2 * n))


def run(code: str, space: dict[str, object]) -> object:
    """What Python makes of a text: of its function or lambda on df, else of its last line."""
    space = {"np": np, "pd": pd, **space}
    *before, last = code.split("\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if code.startswith("lambda"):
            return eval(code, space)(space["df"])
        if code.startswith("class"):
            exec(code, space)
            return space["Factor"]().calculate(space["df"])  # type: ignore[operator]
        if code.startswith("def"):
            exec(code, space)
            return space["factor"](space["df"])  # type: ignore[operator]
        exec("\n".join(before), space)
        return eval(last, space)


@pytest.fixture(scope="module")
def panel() -> Panel:
    """Six assets without a gap, whose prices and volumes have no ties."""
    rng = np.random.default_rng(3)
    made = random_panel(BARS, 6)
    close = 50.0 + rng.normal(size=(BARS, 6)).cumsum(axis=0)
    opened = close + rng.normal(size=(BARS, 6))
    spread = rng.uniform(0.5, 2.0, (BARS, 6))
    fields = {"close": close, "open": opened, "high": np.maximum(close, opened) + spread,
              "low": np.minimum(close, opened) - spread, "volume": rng.uniform(1e3, 2e3, (BARS, 6))}  # fmt: skip
    return made.with_fields(fields)


def ours(code: str, panel: Panel) -> FloatArray:
    found = parse(code, fields=FIELDS)
    assert isinstance(found, Expression), f"{code}\n{found}"
    return evaluate(found, panel).values


def agree(code: str, mine: FloatArray, theirs: object) -> None:
    wanted = np.asarray(theirs, dtype=float)[LATE:]
    np.testing.assert_allclose(mine[LATE:], wanted, rtol=1e-6, atol=1e-9, err_msg=code)
    assert np.isfinite(wanted).mean() > 0.9, code


def test_there_are_three_hundred_of_them() -> None:
    assert sum(len(list(texts(shapes))) for shapes in (ONE, LONG, WIDE)) >= 300


@pytest.mark.parametrize("name", ONE)
def test_code_on_one_asset_has_the_values_of_pandas(name: str, panel: Panel) -> None:
    for _, code in texts({name: ONE[name]}):
        frame = pd.DataFrame({field: panel[field][:, 2] for field in ("open", "high", "low", "close", "volume")})
        agree(code, ours(code, panel)[:, 2], run(code, {"df": frame}))


@pytest.mark.parametrize("name", LONG)
def test_code_on_a_long_table_has_the_values_of_pandas(name: str, panel: Panel) -> None:
    shape = panel["close"].shape
    columns = {"symbol": np.repeat(np.arange(shape[1]), BARS), "date": np.tile(np.arange(BARS), shape[1])}
    for _, code in texts({name: LONG[name]}):
        frame = pd.DataFrame({**columns, **{f: panel[f].T.ravel() for f in ("open", "close", "volume")}})
        theirs = np.asarray(run(code, {"df": frame}), dtype=float).reshape(shape[1], BARS).T
        agree(code, ours(code, panel), theirs)


@pytest.mark.parametrize("name", WIDE)
def test_code_on_wide_tables_has_the_values_of_pandas(name: str, panel: Panel) -> None:
    frames: dict[str, object] = {field: pd.DataFrame(panel[field]) for field in COLUMNS}
    for _, code in texts({name: WIDE[name]}):
        agree(code, ours(code, panel), run(code, frames))


@pytest.mark.parametrize(
    ("code", "code_of_fault", "says"),
    [
        ("df['close'].fillna(method='bfill')", "look_ahead", "later bars"),
        ("df['close'].rolling(5).apply(lambda x: x[9])", "python", "no value 9"),
        ("df.groupby('date')['close'].transform(lambda x: x.shift(1))", "python", "another axis"),
        ("df['close'].rolling(5).apply(lambda x: x.diff().sum())", "python", "another axis"),
        ("def a(x):\n    return a(x)\na(df['close'])", "python", None),
        (
            "def a(x):\n    return b(x) + b(x)\ndef b(x):\n    return a(x)\ndef f(df):\n"
            "    return a(df['close'])",
            None,
            None,
        ),
        ("s = df['close']\ns[0] = 1\ns", "python", None),
        ("if len(df) > 5:\n    x = df['close']\ndf['open']", "python", "if statements"),
        ("df['close'].std()", "look_ahead", "future"),
        ("len(df) * df['close']", "python", "length"),
        ("df['close'].rolling(5).apply(lambda x: x.rank().mean())", "python", "another axis"),
        ("df['close'].rolling(5).apply(lambda x: x.mean() / df['volume'].mean())", "python", "beside its argument"),
        ("df.groupby('date')['close'].transform(lambda x: x / volume.mean())", "python", "beside its argument"),
    ],
)  # fmt: skip
def test_what_would_mean_something_else_is_refused(code: str, code_of_fault: str | None, says: str | None) -> None:
    found = parse(code)
    assert not isinstance(found, Expression), found
    assert code_of_fault is None or found.code == code_of_fault
    assert says is None or says in found.message
