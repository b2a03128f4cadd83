"""`ag.factor`: read once, evaluated anywhere; what cannot be read points at the place."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import alphaglow as ag


def test_a_factor_is_a_frame_on_a_panel(days: ag.Panel) -> None:
    values = ag.factor("ts_mean(close, 5) / close")(days)
    closes = days.to_frame("close")
    expected = closes.rolling(5).mean() / closes
    np.testing.assert_allclose(values, expected)
    assert values.index.equals(closes.index)
    assert values.columns.equals(closes.columns)


def test_what_a_factor_says_of_itself() -> None:
    one = ag.factor("SMA(close, 20) / close")
    assert (str(one), one.lookback, one.fields) == ("ts_mean(close, 20) / close", 19, ("close",))
    assert one == ag.factor("ts_mean(close, 20) / close") or one.id == ag.factor(str(one)).id
    assert one.words == "The 20-bar mean of the close divided by the close."
    assert one.to_qlib() == "(Mean($close, 20)/$close)"
    assert "import numpy" in one.to_pandas()
    assert "frac" in one.to_latex()
    assert "polars" in one.to_polars()
    shown = ag.factor("close < open")._repr_html_()
    assert "close &lt; open" in shown
    assert "<code>" in shown


def test_a_fault_points_at_its_place_and_travels_between_processes() -> None:
    with pytest.raises(ag.FactorError) as caught:
        ag.factor("rank(ts_meen(close, 5))")
    error = pickle.loads(pickle.dumps(caught.value))
    assert error.code == "unknown_operator"
    lines = str(error).splitlines()
    assert lines[1].index("ts_meen") == lines[2].index("^")
    assert "did you mean ts_mean" in str(error)


def test_fields_and_durations_of_a_panel(days: ag.Panel) -> None:
    with pytest.raises(ag.FactorError, match="panel=panel"):
        ag.factor("ts_mean(funding, 5)")
    with pytest.raises(ag.FactorError, match='bar="1h"'):
        ag.factor("ts_mean(close, 5d)")
    assert ag.factor("ts_mean(funding, 5)", fields=["funding"]).fields == ("funding",)
    assert ag.factor("ts_mean(close, 2d)", bar="1h").lookback == 47
    assert ag.factor("ts_mean(close, 5d)", panel=days).lookback == 4
    with pytest.raises(ag.InputError, match="no length of a bar"):
        ag.factor("close", bar="soon")
    with pytest.raises(ag.InputError, match="funding"):
        ag.factor("ts_mean(funding, 5)", fields=["funding"])(days)
