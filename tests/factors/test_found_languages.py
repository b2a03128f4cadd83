"""Texts of BRAIN, AlphaAgent and Qlib as many hands write them: the shares read, and values as pandas gives them.

The texts are ours, a line each in `found/*.txt`; `found_oracle` computes them without our readers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from factors.engine import evaluate
from factors.parse import DialectName, parse
from factors.tree import Expression
from market.panel import Panel
from tests.factors.found_oracle import oracle
from tests.helpers import random_panel

FOUND = Path(__file__).parent / "found"
BARS, LATE, ASSETS = 420, 340, 12
# By language: the least share of texts that is read, and the largest number that the oracle cannot compute.
LANGUAGES: dict[DialectName, tuple[float, int]] = {"brain": (0.9, 22), "alphaagent": (0.98, 6), "qlib": (0.95, 2)}


def texts_of(language: str) -> list[str]:
    return [line.replace("\\n", "\n") for line in (FOUND / f"{language}.txt").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def panel() -> Panel:
    rng = np.random.default_rng(3)
    shape = (BARS, ASSETS)
    close = 50.0 + rng.normal(size=shape).cumsum(axis=0)
    opened = close + rng.normal(size=shape)
    spread, volume = rng.uniform(0.5, 2.0, shape), rng.uniform(1e3, 2e3, shape)
    high, low = np.maximum(close, opened) + spread, np.minimum(close, opened) - spread
    vwap = (high + low + 2 * close) / 4
    returns = np.full(shape, np.nan)
    returns[1:] = close[1:] / close[:-1] - 1
    numbers = np.arange(ASSETS, dtype=float)
    labels = {"sector": numbers % 3, "industry": numbers // 3, "subindustry": numbers // 2}
    return random_panel(*shape).with_fields({
        "close": close, "open": opened, "high": high, "low": low, "volume": volume, "vwap": vwap,
        "amount": vwap * volume, "returns": returns, "cap": rng.uniform(1e6, 1e7, shape),
        **{name: np.broadcast_to(values, shape).copy() for name, values in labels.items()},
    })  # fmt: skip


def fields_for_oracle(panel: Panel) -> dict[str, object]:
    tables: dict[str, object] = {name: pd.DataFrame(values) for name, values in panel.fields.items()}
    groups: dict[str, object] = {name: panel[name][0] for name in ("sector", "industry", "subindustry")}
    shares = pd.DataFrame(panel["volume"]).rolling(20).mean()
    return {**tables, **groups, "market": np.zeros(ASSETS), "adv20": shares}


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_read_has_the_values_that_its_words_mean(language: DialectName, panel: Panel) -> None:
    least, most_unknown = LANGUAGES[language]
    texts, fields = texts_of(language), fields_for_oracle(panel)
    assert len(set(texts)) >= 300
    read, unknown = 0, []
    for text in texts:
        found = parse(text, fields=panel.fields, dialect=language)
        if not isinstance(found, Expression):
            continue
        read += 1
        try:
            with np.errstate(all="ignore"):
                wanted = oracle(text, language, fields)
        except (NameError, TypeError, KeyError, SyntaxError):
            unknown.append(text)
            continue
        mine = evaluate(found, panel).values
        at = np.isfinite(wanted) & np.isfinite(mine)
        at[:LATE] = False
        if not at.any():
            unknown.append(text)
            continue
        near = np.isclose(mine, wanted, rtol=1e-6, atol=1e-9)[at]
        # Ranks of what is made of ranks are tied here where they differ by rounding alone.
        assert near.mean() > (0.85 if text.lower().count("rank(") > 1 else 1 - 1e-9), f"{text}\n{found.text}"
    assert read >= least * len(texts), f"{read} of {len(texts)}"
    assert len(unknown) <= most_unknown, unknown


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_a_language_nothing_is_read_otherwise_unsaid(language: DialectName, panel: Panel) -> None:
    read = 0
    for text in texts_of(language):
        known, found = (parse(text, fields=panel.fields, dialect=name) for name in (language, "auto"))
        if isinstance(found, Expression):
            read += 1
            same = isinstance(known, Expression) and known.id == found.id
            assert same or found.notes or found.warnings or "adv" in text, text
    assert read >= 0.85 * len(texts_of(language))
