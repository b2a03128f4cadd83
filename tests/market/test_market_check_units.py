"""A volume that is in lots from some bar on is found, and news is not taken for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from market.checks.all_checks import check_panel
from market.checks.finding import Finding
from market.panel import Panel
from tests.helpers import random_panel


def bursty() -> Panel:
    panel = random_panel(600, 6, seed=4)
    volume = 1000 * np.exp(np.random.default_rng(2).normal(0, 0.5, panel.shape))
    return panel.with_fields({"volume": volume, "amount": volume * panel["close"]})


def units(panel: Panel) -> list[Finding]:
    return [one for one in check_panel(panel).findings if one.kind == "unit"]


@pytest.mark.parametrize("factor", [100.0, 0.01, 1000.0])
def test_another_unit_is_found_where_it_begins(factor: float) -> None:
    panel = bursty()
    volume = panel["volume"].copy()
    volume[300:, 2] *= factor
    found = units(panel.with_fields({"volume": volume}))
    assert [(one.asset, one.start, one.severity) for one in found] == [(panel.assets[2], panel.times[300], "defect")]
    assert found[0].figure == pytest.approx(factor, rel=0.5)
    alone = {name: values for name, values in panel.fields.items() if name != "amount"} | {"volume": volume}
    assert [one.severity for one in units(replace(panel, fields=alone))] == ["doubtful"]


def test_news_and_silence_are_no_units() -> None:
    panel = bursty()
    volume = panel["volume"].copy()
    volume[300:320, 1] *= 100
    volume[100:400, 3] = np.nan
    volume[250:, 4] *= np.exp(np.linspace(0, 5, 350))
    volume[:, 5] = 0.0
    assert units(panel.with_fields({"volume": volume, "amount": volume * panel["close"]})) == []
    assert units(panel) == []
