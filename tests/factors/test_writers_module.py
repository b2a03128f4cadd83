"""An exported module runs alone, with our values and our weights."""

from __future__ import annotations

import ast
import itertools
import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agent.pools.fitting import combine_expressions
from backtest.asset_facts import asset_facts
from backtest.market_rows import trailing_volatility
from backtest.trading_rules import BacktestSpec
from backtest.weights import cap_risk, target_weights
from factors.engine import compute, evaluate
from factors.lowering import Lowering
from factors.table import NAMED_GROUPS, OPERATORS
from factors.tree import Call, Expression, Node
from factors.writers.module import Exported, Rules, comment, to_module
from market.panel import FloatArray, Panel
from market.universe import liquid_universe
from tests.alone import call_alone, difference, long_table, run_alone
from tests.factors.test_engine_oracles import FIELDS, call_of, messy_panel, read
from tests.factors.test_writers import shrunk
from tests.helpers import random_panel

NEAR = 1e-9
DERIVED = ("returns", "vwap", "amount", "adv5", "market_open", "market_close")
REAL = [
    "ts_corr(cs_rank(open), cs_rank(volume), 10)",
    "-ts_corr(cs_rank(ts_delta(log(volume), 2)), cs_rank((close - open) / open), 6)",
    "ts_decay_linear(ts_rank(ts_corr(vwap, volume, 24), 12), 6) - cs_zscore(ts_std(returns, 48))",
    "group_neutralize(ts_zscore(close, 72), liquidity_group)",
    "ts_ema(returns, 24) / ts_std(returns, 24) * (volume > adv20 ? 1 : -1)",
    "cs_resid(ts_mean(returns, 24), ts_beta(returns, market_close / ts_delay(market_close, 1) - 1, 72))",
    "signed_power(cs_demean(ts_skew(returns, 48)), 0.5) + ts_argmax(high, 30) / 30",
    "rsi(close, 14) - ts_median(rsi(close, 14), 24) + atr(high, low, close, 14) / close",
]


def named(expression: Expression, rules: Rules | None = None) -> Exported:
    return Exported(f"The factor {expression.text}", (expression,), rules or Rules())


@pytest.fixture(scope="module")
def by_operator(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Every operator and derived field, each in a module of its own, run in one bare interpreter."""
    texts = {name: call_of(name) for name in OPERATORS} | {name: name for name in DERIVED}
    texts |= {name: f"group_mean(close, {name})" for name in NAMED_GROUPS}
    sources = {name: to_module(named(read(text, fields=FIELDS))) for name, text in texts.items()}
    return run_alone(tmp_path_factory.mktemp("alone"), sources, shrunk(messy_panel(3)))


@pytest.mark.parametrize("name", [*OPERATORS, *DERIVED, *NAMED_GROUPS])
def test_every_operator_runs_alone_with_our_values(
    name: str, by_operator: dict[str, tuple[FloatArray, FloatArray]]
) -> None:
    panel = shrunk(messy_panel(3))
    text = call_of(name) if name in OPERATORS else f"group_mean(close, {name})" if name in NAMED_GROUPS else name
    wanted = evaluate(read(text, fields=FIELDS), panel).values
    values, weights = by_operator[name]
    assert difference(values, wanted) <= NEAR
    # By its own values: about zero, what rounding leaves of two equal ones ranks as it falls.
    inside = np.where(panel.universe, values, np.nan)
    np.testing.assert_allclose(weights, target_weights(inside, BacktestSpec()), atol=NEAR)


METHODS = {
    "equal": (0.25, 0.25, 0.25, 0.25),
    "ic": (0.612, -0.0881, 0.3, -0.0000001),
    "ridge": (-0.4, 0.3, 0.2, 0.1),
    "nonneg": (0.5, 1 / 3, 1 / 6, 0.0),
}


MEMBERS = ["ts_mean(returns, 20)", "cs_rank(volume) * ts_std(returns, 9)", "ts_argmax(high, 8)", "open / close"]


def panel_of_pools() -> Panel:
    return shrunk(random_panel(400, 14, gaps=0.03))


@pytest.fixture(scope="module")
def by_method(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[FloatArray, FloatArray]]:
    """A pool of each method in a module of its own, run in one bare interpreter."""
    sources = {}
    for method, weights in METHODS.items():
        kept = [k for k in range(4) if weights[k] != 0.0]
        members = tuple(read(MEMBERS[k]) for k in kept)
        sources[method] = to_module(Exported("A pool", members, Rules(), tuple(weights[k] for k in kept)))
    return run_alone(tmp_path_factory.mktemp("alone"), sources, panel_of_pools())


@pytest.mark.parametrize("method", METHODS)
def test_a_pool_of_each_method_runs_alone_with_our_values(
    method: str, by_method: dict[str, tuple[FloatArray, FloatArray]]
) -> None:
    panel = panel_of_pools()
    expressions, weights = [read(text) for text in MEMBERS], np.array(METHODS[method])
    values, target = by_method[method]
    wanted = combine_expressions(expressions, weights, panel)
    assert np.isfinite(wanted).mean() > 0.4
    assert difference(values, wanted) <= NEAR
    inside = np.where(panel.universe, wanted, np.nan)
    np.testing.assert_allclose(target, target_weights(inside, BacktestSpec()), atol=NEAR)


def odd_signal(panel: Panel) -> FloatArray:
    """Gaps, ties, bars with one value or the same one for all, and an asset that stops moving."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=panel.shape)
    signal[rng.random(panel.shape) < 0.1] = np.nan
    signal[100:110] = np.round(signal[100:110])
    signal[50], signal[60], signal[70, 2:], signal[300:, 5] = 1.0, np.nan, np.nan, 0.1
    return np.where(panel.universe, signal, np.nan)


def weights_of(rules: Rules, panel: Panel) -> FloatArray:
    """Return the weights (T, N) that an exported module gives the odd signal of a panel."""
    space: dict[str, object] = {"__name__": "exported"}
    exec(compile(to_module(named(read("close"), rules)), "exported", "exec"), space)
    frames = {name: pd.DataFrame(values, columns=panel.assets) for name, values in panel.fields.items()}
    weights = space["weights"]
    assert callable(weights)
    found: FloatArray = weights(pd.DataFrame(odd_signal(panel), columns=panel.assets), frames).to_numpy()
    return found


GRID = list(
    itertools.product(
        ["rank", "zscore", "quantile", "long_only", "timeseries"],
        [(1, 1.0), (7, 0.12)],
        [False, True],
        [False, True],
        [math.inf, 0.0008],
    )
)


@cache
def grid_market() -> tuple[Panel, Node, FloatArray, FloatArray]:
    """Return a panel, the expression of its groups, the groups and each asset's volatility (T, N)."""
    panel = random_panel(500, 14, gaps=0.02)
    group = read("group_mean(close, bucket(ts_mean(amount, 20), 3))").root
    assert isinstance(group, Call)
    node = Lowering(panel.fields)(group.args[1])
    return panel, group.args[1], compute([node], panel)[node], trailing_volatility(panel["close"], 60, 0)


@pytest.mark.parametrize(("weighting", "size", "grouped", "scaled", "risk"), GRID)
def test_weights_are_those_of_the_backtest(
    weighting: str, size: tuple[int, float], grouped: bool, scaled: bool, risk: float
) -> None:
    panel, group, groups, volatility = grid_market()
    same = {"weighting": weighting, "holding": size[0], "max_weight": size[1], "volatility_scaled": scaled}
    spec = BacktestSpec(**same, max_risk=risk)  # type: ignore[arg-type]
    wanted = target_weights(odd_signal(panel), spec, volatility, groups if grouped else None)
    wanted = cap_risk(wanted, volatility, risk, neutral=spec.is_neutral)
    rules = Rules(**same, group=group if grouped else None, max_risk=risk)  # type: ignore[arg-type]
    found = weights_of(rules, panel)
    assert np.abs(wanted).sum() > 1
    np.testing.assert_allclose(found, wanted, rtol=NEAR, atol=1e-12)


@pytest.mark.parametrize(
    ("weighting", "grouped", "scaled", "half"),
    [
        ("rank", False, False, True), ("rank", True, True, False), ("zscore", True, False, True),
        ("zscore", False, True, False), ("quantile", False, True, True), ("quantile", True, False, False),
    ],
)  # fmt: skip
def test_weights_without_the_market_and_of_the_liquid_half_are_those_of_the_backtest(
    weighting: str, grouped: bool, scaled: bool, half: bool
) -> None:
    panel, group, groups, volatility = grid_market()
    same = {"weighting": weighting, "volatility_scaled": scaled, "market_neutral": True, "liquid_half": half}
    same["quantiles"] = 2
    spec = BacktestSpec(**same)  # type: ignore[arg-type]
    facts = asset_facts(panel, spec)
    wanted = target_weights(odd_signal(panel), spec, volatility, groups if grouped else None, facts=facts)
    rules = Rules(**same, group=group if grouped else None)  # type: ignore[arg-type]
    found = weights_of(rules, panel)
    assert np.abs(wanted).sum() > 1
    np.testing.assert_allclose(found, wanted, rtol=NEAR, atol=1e-12)


@pytest.mark.parametrize("weighting", ["long_only", "timeseries"])
def test_weights_of_one_side_and_of_single_assets_keep_to_the_liquid_half(weighting: str) -> None:
    panel, _, _, volatility = grid_market()
    spec = BacktestSpec(weighting, liquid_half=True)  # type: ignore[arg-type]
    wanted = target_weights(odd_signal(panel), spec, volatility, facts=asset_facts(panel, spec))
    found = weights_of(Rules(weighting, liquid_half=True), panel)
    assert np.abs(wanted).sum() > 1
    np.testing.assert_allclose(found, wanted, rtol=NEAR, atol=1e-12)


def test_the_universe_is_narrowed_as_the_study_narrows_it(tmp_path: Path) -> None:
    panel, expression = random_panel(500, 12, gaps=0.02), read("cs_rank(returns)")
    wanted, sources = {}, {}
    for top, money in ((4, 0.0), (0, 4e6), (6, 3e6)):
        rules = Rules(top=top, least_money=money, liquid_bars=120, bars_a_day=24.0, refresh_bars=48)
        name = f"top_{top}"
        sources[name] = to_module(named(expression, rules))
        wanted[name] = evaluate(
            expression, liquid_universe(panel, top=top, least_money=money, days=5, refresh_days=2)
        ).values
    for name, (values, _) in run_alone(tmp_path, sources, panel).items():
        assert 0 < np.isfinite(wanted[name]).sum() < np.isfinite(evaluate(expression, panel).values).sum()
        assert difference(values, wanted[name]) <= NEAR, name


def test_real_coins_alone_equal_ours(coins_by_hour: Panel, tmp_path: Path) -> None:
    panel = coins_by_hour.rows(9000, 10_200)
    expressions = [read(text) for text in REAL]
    sources = {str(k): to_module(named(expression)) for k, expression in enumerate(expressions)}
    weights = np.array([0.3, -0.2, 0.1, 0.1, 0.1, 0.1, 0.05, -0.05])
    pool = Exported("A pool", tuple(expressions), Rules(holding=8), tuple(weights))
    found = run_alone(tmp_path, {**sources, "pool": to_module(pool)}, panel)
    for number, expression in enumerate(expressions):
        wanted = evaluate(expression, panel).values
        assert np.isfinite(wanted).mean() > 0.1
        assert difference(found[str(number)][0], wanted) <= NEAR, expression.text
    wanted = combine_expressions(expressions, weights, panel)
    assert difference(found["pool"][0], wanted) <= NEAR
    inside = np.where(panel.universe, wanted, np.nan)
    target = target_weights(inside, BacktestSpec(holding=8))
    np.testing.assert_allclose(found["pool"][1], target, atol=NEAR)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_run_as_a_program_it_prints_the_newest_weights(suffix: str, tmp_path: Path) -> None:
    panel = random_panel(80, 12, gaps=0.02)
    expression = read("-ts_mean(returns, 5)")
    (tmp_path / "factor.py").write_text(to_module(named(expression, Rules(holding=3))), encoding="utf-8")
    table, path = long_table(panel), tmp_path / f"bars{suffix}"
    table.to_csv(path, index=False) if suffix == ".csv" else table.to_parquet(path)
    lines = call_alone(["factor.py", path.name], tmp_path).splitlines()
    assert lines[:2] == [f"# {pd.Timestamp(panel.times[-1])}", "asset,signal,weight"]
    values = np.where(panel.universe, evaluate(expression, panel).values, np.nan)
    target = target_weights(values, BacktestSpec(holding=3))[-1]
    found = {line.split(",")[0]: float(line.split(",")[2]) for line in lines[2:]}
    wanted = {asset: weight for asset, weight in zip(panel.assets, target, strict=True) if asset in found}
    assert found == pytest.approx(wanted, abs=1e-12)
    assert sum(found.values()) == pytest.approx(0.0, abs=1e-12)


HOSTILE = [
    '"""\nimport os\nos.system("touch stolen")\n"""',
    "x'; raise SystemExit('broken')  # '''",
    "coding: utf-7\n+AAo-raise SystemExit",
    "line\u2028raise SystemExit(1)\r\nraise SystemExit(2)\x0craise SystemExit(3)\x85raise SystemExit(4)",
    "<<steps>> <<book>> {0} %s \\",
    "\\",
    "nul \x00 and a lone \udcff surrogate",
    "na\u00efve \u56e0\u5b50 \u202e",
]


def _with_hostile_text(text: str) -> str:
    """Return a module about a factor whose every text is this; nothing but the literal ABOUT differs by it."""
    about = {"name": text, text: text, "members": [{"name": text, text: 1.0}], "deep": {text: [text]}}
    exported = replace(named(read("close - open")), title=text, about=about)
    source = to_module(exported)
    assert source.isascii()
    clean = ast.parse(to_module(replace(exported, title="x", about={})))
    tree = ast.parse(source)
    kinds = [type(node).__name__ for node in tree.body]
    assert kinds == [type(node).__name__ for node in clean.body]
    assign = next(node for node in tree.body if isinstance(node, ast.Assign))
    assert ast.literal_eval(assign.value)["name"] == text
    assert ast.literal_eval(assign.value)["deep"] == {text: [text]}
    return source


def test_what_a_model_wrote_stays_text(tmp_path: Path) -> None:
    names = [f"m{number}.py" for number in range(len(HOSTILE))]
    for name, text in zip(names, HOSTILE, strict=True):
        (tmp_path / name).write_text(_with_hostile_text(text), encoding="utf-8")
    read_all = f"import runpy\nfor name in {names}:\n    print(name, runpy.run_path(name, run_name='m')['FIELDS'])"
    printed = call_alone([], tmp_path, script=read_all)
    assert [line.split()[0] for line in printed.splitlines()] == names
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_comments_stay_behind_their_mark() -> None:
    for text in HOSTILE:
        assert all(line.startswith("#") for line in comment([text, "", text * 40]).splitlines())


def test_frames_that_do_not_fit_are_refused_by_name() -> None:
    space: dict[str, object] = {"__name__": "exported"}
    exec(compile(to_module(named(read("open / close"))), "exported", "exec"), space)
    close = pd.DataFrame(np.ones((3, 2)))
    values = space["values"]
    assert callable(values)
    with pytest.raises(ValueError, match="lacks open"):
        values({"close": close})
    with pytest.raises(ValueError, match="open has not the bars"):
        values({"close": close, "open": close.iloc[1:]})


def test_the_same_factor_is_the_same_file() -> None:
    made = [to_module(named(read("cs_rank(ts_mean(close, 5)) + volume"))) for _ in range(2)]
    assert made[0] == made[1]
