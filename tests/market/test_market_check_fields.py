"""Fields beside prices: unsettled funding, splits beside adjusted prices, sight of the future, one asset twice."""

from __future__ import annotations

import numpy as np
import pytest

from market.checks.all_checks import check_panel
from market.panel import Panel
from market.synthetic.demo_market import SynthSpec, make_market


@pytest.fixture(scope="module")
def clean() -> Panel:
    return make_market(SynthSpec(bars=600, assets=4, crashes=0)).panel


def found(panel: Panel) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for finding in check_panel(panel).findings:
        out.setdefault(f"{finding.kind} {finding.severity}", []).append(f"{finding.asset}: {finding.sentence}")
    return out


def test_each_is_found_and_nothing_else(clean: Panel) -> None:
    before = found(clean)
    close = clean["close"]
    coming = np.vstack([close[1:] / close[:-1] - 1, np.full((1, 4), np.nan)])
    assert set(found(clean.with_fields({"oracle": 3 * coming}))) - set(before) == {"foresight defect"}
    past = np.vstack([np.full((1, 4), np.nan), close[1:] / close[:-1] - 1])
    assert found(clean.with_fields({"momentum": past})) == before
    funding = np.zeros(close.shape)
    funding[::8, :3] = 0.0001
    unsettled = found(clean.with_fields({"funding": funding}))["missing doubtful"]
    assert unsettled == [
        f"{clean.assets[3]}: every settlement is 0: its funding is unknown, and a backtest charges none"
    ]


def test_a_split_that_only_the_adjusted_close_knows(clean: Panel) -> None:
    adjusted = clean["close"].copy()
    raw = {name: clean[name].copy() for name in ("open", "high", "low", "close")}
    for values in raw.values():
        values[:300, 1] *= 4.0
    lines = found(clean.with_fields({**raw, "adj_close": adjusted}))["adjustment defect"]
    assert [line for line in lines if "divided by 4 " in line and line.startswith(clean.assets[1])]


def test_one_asset_under_two_names(clean: Panel) -> None:
    twice = {name: np.column_stack([values[:, :3], values[:, 0]]) for name, values in clean.fields.items()}
    universe = np.isfinite(twice["close"])
    panel = Panel(clean.times, clean.assets, twice, universe, clean.bar, simulated=True)
    assert any("one asset under two names" in line for line in found(panel)["copied defect"])


def test_closes_alone_are_no_defects(clean: Panel) -> None:
    nothing = np.full(clean.shape, np.nan)
    opened = np.vstack([nothing[:1], clean["close"][:-1]])
    bare = clean.with_fields({"open": opened, "high": nothing, "low": nothing, "volume": nothing})
    assert not [kind for kind in found(bare) if kind.endswith("defect")]
