"""A factor or a pool as a Python module that runs alone on numpy and pandas: its values, and target weights."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from factors.printing import number_text
from factors.table import GROUP_FIELDS
from factors.tree import Call, Expression, Field, Node
from factors.writers.pandas_code import Steps

_NEUTRAL = ("rank", "zscore", "quantile")
_WIDTH = 116


@dataclass(frozen=True)
class Rules:
    """How values become target weights: what of `backtest.trading_rules` is a function of the values alone.

    Attributes
    ----------
    group
        Group of the language within which positions are neutral, or None.
    top, least_money, liquid_bars, bars_a_day, refresh_bars
        The rule of `market.universe`, in bars; nothing of it where both `top` and `least_money` are 0.
    group_lookback
        Bars before the current one that the group needs.
    """

    weighting: str = "rank"
    holding: int = 1
    max_weight: float = 1.0
    quantiles: int = 5
    group: Node | None = None
    volatility_scaled: bool = False
    max_risk: float = math.inf
    rebalance: int = 1
    band: float = 0.0
    top: int = 0
    least_money: float = 0.0
    liquid_bars: int = 1
    bars_a_day: float = 1.0
    refresh_bars: int = 1
    group_lookback: int = 0

    @property
    def is_neutral(self) -> bool:
        """Whether longs and shorts weigh the same."""
        return self.weighting in _NEUTRAL

    @property
    def narrows(self) -> bool:
        """Whether the universe is narrowed to what was traded most."""
        return self.top > 0 or self.least_money > 0

    @property
    def memory(self) -> int:
        """Bars before the current one that the weights need, those before the values' own not counted."""
        longest = 60 if self.volatility_scaled or not math.isinf(self.max_risk) else 0
        own_past = 240 if self.weighting == "timeseries" else 0
        return max(longest, own_past, self.group_lookback) + self.holding - 1


@dataclass(frozen=True)
class Exported:
    """What is written: a factor, or a pool of several.

    Attributes
    ----------
    title
        One line that says what it is.
    expressions
        The factor, or the members of a pool that carry weight.
    weights
        Of the members; nothing for a factor.
    least_share, decimals
        Of a pool: the share of the absolute weight that must know an asset, and what its values are rounded to.
    about
        What should be known of it, from plain types; it may hold what a model wrote.
    """

    title: str
    expressions: tuple[Expression, ...]
    rules: Rules
    weights: tuple[float, ...] = ()
    least_share: float = 0.5
    decimals: int = 12
    about: Mapping[str, object] = field(default_factory=dict)

    @property
    def lookback(self) -> int:
        """Bars before the current one that the values need."""
        return max(expression.lookback for expression in self.expressions)


@dataclass(frozen=True)
class Core:
    """What every exported file holds: parts and functions as source, and the fields that it reads."""

    source: str
    fields: tuple[str, ...]


def to_module(exported: Exported) -> str:
    """Return Python source with ``values(frames)``, ``weights(signal, frames)`` and ``newest(frames)``.

    The values are those of `factors.engine.evaluate`, and of a pool those of `pool_values`, to rounding.
    Run as a program it reads a long CSV or Parquet file and prints the newest weights.
    """
    core = core_of(exported)
    head = comment([*HEAD, exported.title, "", *_NOTES])
    return "\n".join([head, _IMPORTS, about_text(exported), "", "", f"{core.source}{_PROGRAM}"])


def core_of(exported: Exported) -> Core:
    """Return the functions ``membership``, ``values`` and ``weights``, and the parts that they call."""
    steps = Steps()
    members = [steps.step(expression.root) for expression in exported.expressions]
    if exported.weights:
        steps.use("combine")
        weights = ", ".join(repr(weight) for weight in exported.weights)
        found = ", ".join(f"np.broadcast_to({name}, shape)" for name in members)
        share, decimals = number_text(exported.least_share), exported.decimals
        result = f"combine([{found}], np.array([{weights}]), {share}, {decimals}, inside)"
    else:
        result = members[0]
    book = steps.fresh()
    book_lines = _book(exported.rules, book)
    liquid = _liquid(exported.rules, steps)
    fields = tuple(sorted({*steps.fields, "close"}))
    functions = _FUNCTIONS
    for token, text in {
        "fields": ascii(fields),
        "needs": ", ".join(fields),
        "liquid": liquid,
        "steps": textwrap.indent("\n".join([*steps.lines, f"result = {result}"]), " " * 8),
        "book": textwrap.indent("\n".join(book_lines), " " * 8),
        "how": how(exported.rules),
    }.items():
        functions = functions.replace(f"<<{token}>>", text)
    parts = "\n\n".join(part.strip("\n") + "\n" for part in steps.sources())
    return Core(f"{parts}\n{functions}", fields)


def how(rules: Rules) -> str:
    """Say in a line how values become weights."""
    words = {
        "rank": "by rank across assets, dollar-neutral, gross 1",
        "zscore": "by z-score across assets, dollar-neutral, gross 1",
        "quantile": f"the top of {rules.quantiles} quantiles against the bottom one, gross 1",
        "long_only": f"the top of {rules.quantiles} quantiles, long only, gross 1",
        "timeseries": "each asset on its own z-score over time, a share of 1 / assets each",
    }
    said = [words[rules.weighting]]
    if rules.group is not None:
        said.append("neutral within groups")
    if rules.volatility_scaled:
        said.append("over volatility")
    if rules.max_weight < 1 and rules.weighting != "timeseries":
        said.append(f"none above {number_text(rules.max_weight)}")
    if rules.holding > 1:
        said.append(f"averaged over {rules.holding} bars")
    if not math.isinf(rules.max_risk):
        said.append(f"none of more than {number_text(rules.max_risk)} volatility a bar")
    return ", ".join(said)


def _book(rules: Rules, steps: Steps) -> list[str]:
    """Return the lines that make `out`, the weights, of `x`, the values within the universe."""
    scaled = rules.volatility_scaled or not math.isinf(rules.max_risk)
    groups = None if rules.group is None or rules.weighting == "timeseries" else steps.step(rules.group)
    lines = list(steps.lines)
    if scaled:
        lines.append(f"spread = {_call(steps, 'volatility', 'frames')}")
    if rules.weighting == "timeseries":
        lines.append(f"out = {_call(steps, 'by_own_past', 'x')}")
        if rules.volatility_scaled:
            lines.append("share = np.where(spread > 0, 1.0 / np.where(spread > 0, spread, 1.0), 0.0)")
            lines.append("total = share.sum(axis=1, keepdims=True)")
            lines.append("out = out * np.where(total > 0, share / np.where(total > 0, total, 1.0), 0.0)")
        else:
            lines.append("out = out / x.shape[1]")
    else:
        long_only = rules.weighting == "long_only"
        if rules.weighting in ("rank", "zscore"):
            lines.append(f"out = {_call(steps, f'by_{rules.weighting}', 'x')}")
        else:
            lines.append(f"out = {_call(steps, 'by_ends', f'x, {rules.quantiles}, {long_only}')}")
        if groups is not None:
            lines.append(f"out = {_call(steps, 'within_groups', f'out, x, {groups}')}")
        if rules.volatility_scaled:
            lines.append("out = np.where(spread > 0, out / np.where(spread > 0, spread, 1.0), 0.0)")
        each = rules.volatility_scaled or rules.weighting == "quantile"
        sides = "long" if long_only else "each" if each else "both"
        lines.append(f"out = {_call(steps, 'to_size', f'out, x, {sides!r}')}")
        if rules.max_weight < 1:
            lines.append(f"out = {_call(steps, 'capped', f'out, {number_text(rules.max_weight)}, {rules.is_neutral}')}")
    if rules.holding > 1:
        lines.append(f"out = {_call(steps, 'averaged', f'out, {rules.holding}')}")
    if not math.isinf(rules.max_risk):
        largest = number_text(rules.max_risk)
        lines.append(f"out = {_call(steps, 'risk_capped', f'out, spread, {largest}, {rules.is_neutral}')}")
    return lines


def _call(steps: Steps, part: str, arguments: str) -> str:
    steps.use(part)
    return f"{part}({arguments})"


def _liquid(rules: Rules, steps: Steps) -> str:
    if not rules.narrows:
        return "inside"
    steps.fields |= {"close", "volume"}
    money, day = number_text(rules.least_money), number_text(rules.bars_a_day)
    return _call(steps, "liquid", f"frames, inside, {rules.top}, {money}, {rules.liquid_bars}, {day}, "
                                  f"{rules.refresh_bars}")  # fmt: skip


def carried_fields(nodes: Sequence[Node]) -> frozenset[str]:
    """Return every field that trees name, as they name it."""
    found: set[str] = set()
    rest = list(nodes)
    while rest:
        node = rest.pop()
        if isinstance(node, Field):
            found.add(node.name)
        elif isinstance(node, Call):
            rest.extend(node.args)
    return frozenset(found)


def is_group_field(name: str) -> bool:
    """Whether a field holds group numbers that a panel carries."""
    return name in GROUP_FIELDS


def comment(lines: Sequence[str]) -> str:
    """Return lines as comments of plain ASCII: whatever stands in them, it stays behind its ``#``."""
    out: list[str] = []
    for line in lines:
        out.extend(f"# {part}".rstrip() for part in textwrap.wrap(plain(line), _WIDTH) or [""])
    return "\n".join(out)


def plain(text: str) -> str:
    """Return text in printable ASCII on one line, everything else escaped."""
    return ascii(text)[1:-1].replace("\\'", "'").replace('\\"', '"')


def about_text(exported: Exported) -> str:
    """Return the assignment of ``ABOUT``: literals only."""
    lines = ["ABOUT = {"]
    for key, value in exported.about.items():
        lines.extend(_entry(key, value))
    return "\n".join([*lines, "}"])


def _entry(key: str, value: object) -> list[str]:
    if isinstance(value, Mapping):
        inner = [line for name, item in value.items() for line in _entry(str(name), item)]
        return [f"    {key!a}: {{", *(f"    {line}" for line in inner), "    },"]
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], Mapping):
        rows = [f"        {{{', '.join(f'{str(k)!a}: {_literal(v)}' for k, v in item.items())}}}," for item in value]
        return [f"    {key!a}: [", *rows, "    ],"]
    return [f"    {key!a}: {_literal(value)},"]


def _literal(value: object) -> str:
    """Return a literal that reads back as the value; what is no plain value becomes text."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return "None"
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_literal(item) for item in value)}]"
    return ascii(str(value))


# Python reads an encoding from the first two lines: nothing that a model wrote may stand there.
HEAD = ("Written by alphaglow: values and target weights of a factor, or of a pool of factors.", "")
_NOTES = (
    "Needs numpy and pandas only. This file is yours, to use and change as you like. It sends no orders, and nothing "
    "here says that it will earn: ABOUT says what it is and what it was fitted on.",
)
_IMPORTS = """
import argparse
import pathlib
import warnings

import numpy as np
import pandas as pd
"""
_FUNCTIONS = '''
FIELDS = <<fields>>


def membership(frames, universe=None):
    """Return which assets take part at a bar, as an array of bool.

    universe: DataFrame of bool like the others, the assets that may be traded at a bar; those with a close if None.
    """
    close = frames["close"]
    if universe is None:
        inside = np.isfinite(close.to_numpy(float))
    else:
        inside = universe.reindex(index=close.index, columns=close.columns, fill_value=False).to_numpy(bool)
    return <<liquid>>


def check(frames):
    missing = [name for name in FIELDS if name not in frames]
    if missing:
        raise ValueError("frames lacks " + ", ".join(missing))
    close = frames["close"]
    for name in frames:
        if not (frames[name].index.equals(close.index) and frames[name].columns.equals(close.columns)):
            raise ValueError(name + " has not the bars and assets of close")


def values(frames, universe=None):
    """Return the signal, a DataFrame of bars by assets: higher is better, NaN is no opinion.

    frames: dict of DataFrames (bars by assets, one index in order of time and one set of columns), missing is NaN:
    <<needs>>. A value is known at the close of its bar, and needs that bar and earlier ones only.
    universe: see `membership`.
    """
    check(frames)
    panel, close = frames, frames["close"]
    shape = close.shape
    inside = membership(frames, universe)

    def field(name):
        return finite(panel[name].to_numpy())

    def among(x):
        return np.where(inside, x, np.nan)

    # A row or window without a value is missing in the result; numpy need not warn of it.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
<<steps>>
    return pd.DataFrame(np.broadcast_to(result, shape).copy(), close.index, close.columns)


def weights(signal, frames, universe=None):
    """Return target weights of a signal of `values`, as fractions of capital: <<how>>.

    A weight is known at the close of its bar and is to be traded at the next one. 0 is no position.
    """
    panel, close = frames, frames["close"]
    inside = membership(frames, universe)

    def field(name):
        return finite(panel[name].to_numpy())

    def among(x):
        return np.where(inside, x, np.nan)

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        x = np.where(inside, signal.to_numpy(float), np.nan)
<<book>>
    return pd.DataFrame(out, close.index, close.columns)
'''
_PROGRAM = '''

def newest(frames, universe=None):
    """Return signal and target weight of each asset at the newest bar."""
    signal = values(frames, universe)
    found = weights(signal, frames, universe)
    return pd.DataFrame({"signal": signal.iloc[-1], "weight": found.iloc[-1]})


def read(path):
    """Return frames and universe of a long table: a column of times, one of assets, and the fields."""
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    time = next((name for name in ("ts", "time", "date", "timestamp") if name in table), None)
    asset = next((name for name in ("symbol", "asset", "pair", "ticker") if name in table), None)
    if time is None or asset is None:
        raise SystemExit("the table needs a column ts, time, date or timestamp, and one symbol, asset, pair or ticker")
    missing = [name for name in FIELDS if name not in table]
    if missing:
        raise SystemExit("the table lacks " + ", ".join(missing))
    table[asset] = table[asset].astype(str)
    wide = table.set_index([time, asset]).sort_index()
    numbers = [name for name in wide.columns if name != "in_universe" and pd.api.types.is_numeric_dtype(wide[name])]
    frames = {name: wide[name].unstack().astype(float) for name in numbers}
    universe = wide["in_universe"].unstack().eq(True) if "in_universe" in wide else None
    return frames, universe


def main():
    parser = argparse.ArgumentParser(description="Print signal and target weight of each asset at the newest bar.")
    parser.add_argument("table", type=pathlib.Path, help="long CSV or Parquet file")
    frames, universe = read(parser.parse_args().table)
    found = newest(frames, universe).dropna(how="all")
    found = found.sort_values("weight", ascending=False, kind="stable")
    found.index.name = "asset"
    print("# " + str(frames["close"].index[-1]))
    print(found.to_csv(lineterminator="\\n"), end="")


if __name__ == "__main__":
    main()
'''
