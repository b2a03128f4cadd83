"""Indicators by their authors' definitions, and operators on gaps, holding and groups."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from factors.engine import evaluate
from factors.parse import parse
from factors.table import OPERATORS, describe
from factors.tree import Expression
from market.panel import FloatArray, Panel
from tests.helpers import random_panel

BARS = 600
FIELDS = ("open", "high", "low", "close", "volume", "x", "y", "c", "q", "sector")
# What TA-Lib 0.8.2 gives on the bars of `walk`, 90 bars before the end and at the end.
TALIB: dict[str, tuple[float, float]] = {
    "rsi_wilder(close, 14)": (51.165375540998525, 54.55518352324259),
    "atr_wilder(high, low, close, 14)": (1.6497638945685758, 1.6874986604402304),
    "adx(high, low, close, 14)": (24.253180770515307, 13.061126181751932),
    "true_range(high, low, close)": (2.086421085822238, 1.3654227834115034),
    "bbands_upper(close, 20, 2)": (104.85493463337015, 113.8213630564882),
    "bbands_lower(close, 20, 2)": (100.3739798696568, 107.27396087459081),
    "bbands_position(close, 20, 2)": (0.3947076830798842, 0.6137136490833034),
    "bbands_width(close, 20, 2)": (0.043667869847328615, 0.05922696206762268),
    "cci(high, low, close, 20)": (-17.95815396770154, 33.47821167331334),
    "williams_r(high, low, close, 14)": (-71.01730032870302, -55.009953481183324),
    "mfi(high, low, close, volume, 14)": (47.809412438941976, 48.874047870977286),
    "ts_tema(close, 20)": (103.64673060997765, 111.83303737925222),
    "ts_std_pop(close, 20)": (1.1202386909283357, 1.636850545474347),
    "aroon_up(high, 25)": (84.0, 88.0),
    "aroon_down(low, 25)": (4.0, 24.0),
    "aroon_osc(high, low, 25)": (80.0, 64.0),
}


def values(text: str, panel: Panel) -> FloatArray:
    found = parse(text, fields=FIELDS)
    assert isinstance(found, Expression), found
    return evaluate(found, panel).values


@pytest.fixture(scope="module")
def walk() -> Panel:
    """Six hundred bars of one random walk."""
    rng = np.random.default_rng(21)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.01, BARS)))
    opened = close * (1 + rng.normal(0, 0.004, BARS))
    high = np.maximum(close, opened) * (1 + rng.uniform(0, 0.01, BARS))
    low = np.minimum(close, opened) * (1 - rng.uniform(0, 0.01, BARS))
    volume = rng.uniform(1e5, 2e5, BARS)
    named = {"open": opened, "high": high, "low": low, "close": close, "volume": volume}
    return random_panel(BARS, 1).with_fields({name: value[:, None] for name, value in named.items()})


@pytest.mark.parametrize("text", TALIB)
def test_indicators_are_those_of_ta_lib_after_warm_up(text: str, walk: Panel) -> None:
    found = values(text, walk)[:, 0]
    np.testing.assert_allclose((found[-90], found[-1]), TALIB[text], rtol=1e-6)


@pytest.mark.parametrize("name", ["rsi_wilder", "atr_wilder", "cci", "mfi", "bbands_upper", "trade_when", "hump"])
def test_what_differs_elsewhere_is_said(name: str) -> None:
    assert OPERATORS[name].differs
    assert OPERATORS[name].differs in describe(name)


def small(**fields: list[list[float]]) -> Panel:
    shape = np.shape(next(iter(fields.values())))
    return random_panel(*shape).with_fields({name: np.array(value, dtype=float) for name, value in fields.items()})


NAN = np.nan


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("is_nan(x)", [0, 1, 0, 1, 1, 0]),
        ("fill_nan(x, 7)", [1, 7, 3, 7, 7, -2.5]),
        ("ts_count_nan(x, 3)", [NAN, NAN, 1, 2, 2, 2]),
        ("round(x)", [1, NAN, 3, NAN, NAN, -2]),
        ("ceil(x)", [1, NAN, 3, NAN, NAN, -2]),
        ("mod(x, 2)", [1, NAN, 1, NAN, NAN, 1.5]),
        ("mod(x, 0)", [NAN] * 6),
        # Taken on bars 1 and 4, left on bar 3; held for three bars.
        ("trade_when(c > 0, y, q > 0, 3)", [NAN, 11, 11, NAN, 14, 14]),
        ("trade_when(c > 0, y, 0, 2)", [NAN, 11, 11, NAN, 14, 14]),
        ("bars_since_change(c, 3)", [NAN, NAN, NAN, 1, 0, 0]),
        ("keep(y, q, 2)", [NAN, NAN, NAN, 13, 14, 15]),
    ],
)
def test_gaps_and_holding(text: str, wanted: list[float]) -> None:
    panel = small(
        x=[[1], [NAN], [3], [NAN], [NAN], [-2.5]],
        y=[[10], [11], [12], [13], [14], [15]],
        c=[[0], [1], [0], [0], [1], [0]],
        q=[[0], [0], [0], [1], [0], [0]],
    )
    np.testing.assert_allclose(values(text, panel)[:, 0], wanted)


def test_hump_moves_in_steps_of_a_share_of_all_sizes() -> None:
    panel = small(x=[[1.0, -3.0], [1.1, -3.0], [2.0, -6.0], [2.5, NAN]])
    # Limits are 0.1 times 4, 4.1, 8 and 2.5.
    wanted = [[1.0, -3.0], [1.0, -3.0], [1.8, -3.8], [2.05, NAN]]
    np.testing.assert_allclose(values("hump(x, 0.1)", panel), wanted)


def test_groups_are_those_of_pandas() -> None:
    rng = np.random.default_rng(8)
    x = rng.normal(size=(5, 9))
    x[2, 3] = x[4, 0] = NAN
    sector = np.tile(np.arange(9) % 3, (5, 1)).astype(float)
    panel = small(x=x.tolist(), sector=sector.tolist())
    for name in ("sum", "count", "std", "max", "min"):
        found = values(f"group_{name}(x, sector)", panel)
        for t in range(5):
            row = pd.Series(x[t])
            wanted = row.groupby(sector[t]).transform(name).where(row.notna())
            np.testing.assert_allclose(found[t], wanted, rtol=1e-12, err_msg=name)
    scaled = values("group_scale(x, sector)", panel)
    assert np.nanmin(scaled) == 0.0
    assert np.nanmax(scaled) == 1.0


def test_group_backfill_takes_the_group_where_an_asset_has_nothing() -> None:
    panel = small(x=[[1.0, 3.0, 5.0], [NAN, NAN, 7.0], [2.0, 8.0, NAN]], sector=[[1, 1, 2]] * 3)
    wanted = [[1.0, 3.0, 5.0], [2.0, 2.0, 7.0], [2.0, 8.0, 7.0]]
    np.testing.assert_allclose(values("group_backfill(x, sector, 2)", panel), wanted)
