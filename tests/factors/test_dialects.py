"""Published dialects: what they mean there is what they mean here, or the note says otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from factors.corpora import read_corpus
from factors.engine import evaluate
from factors.parse import DialectName, parse
from factors.tree import Expression
from market.errors import Rejection
from market.files import import_files
from market.panel import FloatArray
from tests.helpers import random_panel

PLAIN = ("open", "high", "low", "close", "volume", "vwap", "amount", "returns")
WIDE = (*PLAIN, "cap", "sector", "industry", "subindustry")


def read(text: str, dialect: DialectName = "auto", **options: object) -> Expression:
    expression = parse(text, dialect=dialect, **options)  # type: ignore[arg-type]
    assert isinstance(expression, Expression), expression
    return expression


def column(text: str, dialect: DialectName, asset: int = 3, bars: int = 50) -> tuple[FloatArray, pd.DataFrame]:
    panel = random_panel(bars)
    frame = pd.DataFrame({name: values[:, asset] for name, values in panel.fields.items()})
    return evaluate(read(text, dialect), panel).values[:, asset], frame


@pytest.mark.parametrize(
    ("file", "least"), [("worldquant_alpha101.txt", 101), ("qlib_alpha158.json", 158), ("gtja_alpha191.txt", 185)]
)
def test_published_factors_translate_and_come_back(shared_corpora: Path, file: str, least: int) -> None:
    factors = read_corpus(shared_corpora / file)
    done = 0
    for factor in factors:
        result = parse(factor.text, fields=WIDE, dialect=factor.dialect)
        if isinstance(result, Rejection):
            assert result.message
            assert result.hint
            continue
        done += 1
        assert read(result.text, "native", fields=WIDE).root == result.root
    assert done == least


REFUSED = {
    "Alpha30": "regression on several series",
    "Alpha146": "ts_sma takes 3, not 2",
    "Alpha159": "HGIH",
    "Alpha165": "max takes 2, not 1",
    "Alpha181": "ts_sum takes 2, not 1",
    "Alpha183": "max takes 2, not 1",
}


def test_malformed_ones_are_refused_with_the_reason(shared_corpora: Path) -> None:
    found = {}
    for factor in read_corpus(shared_corpora / "gtja_alpha191.txt"):
        result = parse(factor.text, fields=WIDE, dialect="gtja")
        if isinstance(result, Rejection):
            found[factor.name] = result.message
    assert found.keys() == REFUSED.keys()
    assert all(REFUSED[name] in message for name, message in found.items())


def test_published_factors_have_values_on_equities_and_see_no_future(shared_corpora: Path, shared_data: Path) -> None:
    """Every one that reads is finite somewhere on a slice of real data, but for those that need what it lacks."""
    whole = import_files([shared_data / "equity_sp500_1d_2013_2018.parquet"], calendar="exchange", repair=True)
    panel, cut = whole.rows(0, 520).select(whole.assets[::5]), 311
    bad = {}
    for file in ("worldquant_alpha101.txt", "gtja_alpha191.txt", "qlib_alpha158.json"):
        for factor in read_corpus(shared_corpora / file):
            result = parse(factor.text, fields=PLAIN, dialect=factor.dialect)
            if isinstance(result, Rejection):
                bad[factor.name] = result.message
                continue
            values = evaluate(result, panel).values
            if not np.isfinite(values).any():
                bad[factor.name] = "no finite value"
            np.testing.assert_array_equal(evaluate(result, panel.rows(0, cut)).values, values[:cut], factor.name)
    # Alpha#96 correlates over four bars a rank that hardly ever moves: two values in the whole five years.
    assert bad.keys() == {*REFUSED, "Alpha#96"}, bad


# Qlib


def test_qlib_wma_is_spelled_out() -> None:
    found, frame = column("WMA($close, 6)", "qlib")

    def theirs(x: FloatArray) -> float:
        w = np.arange(len(x)) + 1  # as in release 0.9.7; earlier ones began with 0
        return float(np.nanmean(w / w.sum() * x))

    np.testing.assert_allclose(found[5:], frame["close"].rolling(6).apply(theirs, raw=True)[5:], rtol=1e-12)


def test_qlib_windows_of_zero_begin_at_the_first_bar() -> None:
    found, frame = column("Mean($close, 0)", "qlib")
    np.testing.assert_allclose(found, frame["close"].expanding().mean(), rtol=1e-12)
    assert isinstance(parse("Std($close, 0)", dialect="qlib"), Rejection)
    refused = parse("Ref($close, -1)", dialect="qlib")
    assert isinstance(refused, Rejection)
    assert refused.code == "look_ahead"


def test_qlib_ema_by_weight() -> None:
    found, frame = column("EMA($close, 0.2)", "qlib", bars=200)
    np.testing.assert_allclose(found[60:], frame["close"].ewm(alpha=0.2).mean()[60:], rtol=1e-5)


def test_qlib_idxmax_counts_from_the_oldest() -> None:
    found, frame = column("IdxMax($high, 7)", "qlib")
    wanted = frame["high"].rolling(7).apply(lambda x: x.argmax() + 1, raw=True)
    np.testing.assert_allclose(found[6:], wanted[6:])


# AlphaGen


ALPHAGEN = {
    "Rank($close,5d)": lambda w: (np.sum(w > w[-1]) + np.sum(w >= w[-1]) + 1) / (2 * len(w)),
    "Med($close,6d)": lambda w: np.sort(w)[2],
    "Skew($close,6d)": lambda w: scipy.stats.skew(w),
    "Kurt($close,6d)": lambda w: np.mean((w - w.mean()) ** 4) / np.var(w, ddof=1) ** 2 - 3,
    "WMA($close,5d)": lambda w: np.average(w, weights=np.arange(len(w))),
    "EMA($close,5d)": lambda w: np.average(w, weights=(1 - 2 / (1 + len(w))) ** np.arange(len(w), 0, -1)),
    "Mad($close,5d)": lambda w: np.mean(np.abs(w - w.mean())),
    "TsMaxDiff($close,5d)": lambda w: w[-1] - w.max(),
}


@pytest.mark.parametrize("text", ALPHAGEN)
def test_alphagen_means_what_it_means_there(text: str) -> None:
    window = int(text.split(",")[1].rstrip("d)"))
    found, frame = column(text, "alphagen")
    wanted = frame["close"].rolling(window).apply(ALPHAGEN[text], raw=True)
    np.testing.assert_allclose(found[window - 1 :], wanted[window - 1 :], rtol=1e-8)


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        (
            "Mul(Constant(-0.5),Sub(Mean($close,20d),Ref($open,10d)))",
            "-((ts_mean(close, 20) - ts_delay(open, 10)) / 2)",
        ),
        ("Div(Abs(Cov($open,$vwap,10)),Add($close,0.01))", "abs(ts_cov(open, vwap, 10)) / (0.01 + close)"),
        ("Div Mean $close 5d Greater $open $close", "ts_mean(close, 5) / max(close, open)"),
        ("Corr $close $volume 10d", "ts_corr(close, volume, 10)"),
        ("SLog1p(Delta($close,5d))", "log1p(abs(ts_delta(close, 5))) * sign(ts_delta(close, 5))"),
    ],
)
def test_alphagen_prefix_forms(text: str, ours: str) -> None:
    assert read(text, "alphagen").id == read(ours).id


@pytest.mark.parametrize("text", ["Mean $close", "Add $close 5d $open", "Mean($close)", "Div", "Mean $close 2.5d"])
def test_broken_alphagen_is_refused(text: str) -> None:
    found = parse(text, dialect="alphagen")
    assert isinstance(found, Rejection)
    assert found.hint


# GTJA


def test_gtja_filtered_regression_is_a_regression_over_those_bars() -> None:
    text = "REGBETA(FILTER(CLOSE,OPEN<CLOSE),FILTER(VOLUME,OPEN<CLOSE),15)"
    found, frame = column(text, "gtja")
    for t in range(14, 50):
        part = frame.iloc[t - 14 : t + 1]
        part = part[part["open"] < part["close"]]
        if len(part) > 2:
            wanted = np.polyfit(part["volume"], part["close"], 1)[0]
            np.testing.assert_allclose(found[t], wanted, rtol=1e-6)


def test_gtja_self_is_a_running_product() -> None:
    found, frame = column("CLOSE>OPEN?(CLOSE/OPEN)*SELF:SELF", "gtja")
    wanted = (frame["close"] / frame["open"]).where(frame["close"] > frame["open"], 1.0).cumprod()
    np.testing.assert_allclose(found, wanted, rtol=1e-9)
    refused = parse("CLOSE+SELF", dialect="gtja")
    assert isinstance(refused, Rejection)
    assert "SELF" in refused.message


def test_the_benchmark_is_the_equal_weighted_universe() -> None:
    panel = random_panel(40)
    found = evaluate(read("BANCHMARKINDEXCLOSE/DELAY(BANCHMARKINDEXCLOSE,1)-1", "gtja"), panel).values
    wanted = (panel["close"][1:] / panel["close"][:-1] - 1).mean(axis=1)
    np.testing.assert_allclose(found[1:, 5], wanted, rtol=1e-9)


# WorldQuant


def test_worldquant_argmax_counts_from_the_oldest() -> None:
    panel = random_panel(30)
    values = evaluate(read("Ts_ArgMax(close, 5.7)", "worldquant"), panel).values
    window = panel["close"][20:25, 3]
    assert values[24, 3] == np.argmax(window) + 1


def test_worldquant_industries_are_stood_in_for_where_the_data_has_none() -> None:
    text = "indneutralize(close, IndClass.industry)"
    stood = read(text, "worldquant", fields=PLAIN)
    assert any("in its place" in note for note in stood.notes)
    assert "bucket" in stood.text
    assert read(text, "worldquant", fields=WIDE).text == "group_neutralize(close, industry)"
    panel = random_panel(90, 24)
    values = evaluate(stood, panel).values[80]
    assert np.isfinite(values).all()
    assert abs(values.sum()) < 1e-9


# Everything else


def test_a_dialect_says_where_meanings_differ() -> None:
    for text, dialect, word in [
        ("IdxMax($close, 5)", "qlib", "oldest"),
        ("Mean($close, 5)", "qlib", "warm-up"),
        ("Count($close>$open, 5)", "qlib", "not missing"),
        ("WMA(CLOSE,5)", "gtja", "0.9"),
        ("SMA(CLOSE,5,1)", "gtja", "alpha"),
        ("SignedPower(close, 2)", "worldquant", "sign"),
        ("max(high, 5)", "worldquant", "ts_max"),
        ("rsi(14)", "auto", "Wilder"),
        ("vol / adv20", "auto", "volatility"),
        ("CSRank($close)", "alphagen", "ties"),
    ]:
        notes = read(text, dialect).notes  # type: ignore[arg-type]
        assert any(word in note for note in notes), (text, notes)


def test_known_factors_may_be_used_by_name() -> None:
    blocks = {"quiet": "-ts_std(returns, 20)", "alpha101_012": "-(sign(ts_delta(volume, 1)) * ts_delta(close, 1))"}
    assert read("cs_rank(quiet) * volume", blocks=blocks).id == read("cs_rank(-ts_std(returns, 20)) * volume").id
    assert read("ts_mean(alpha101_012, 5)", blocks=blocks).lookback == 5
    refused = parse("ts_mean(quite, 5)", blocks=blocks)
    assert isinstance(refused, Rejection)
    assert "quiet" in refused.hint
    foreign = parse("broken + close", blocks={"broken": "ts_mean(nothing, 5)"})
    assert isinstance(foreign, Rejection)
    assert (foreign.code, foreign.position) == ("block", 0)


def test_named_groups_are_fifths_of_what_was_known() -> None:
    panel = random_panel(90, 20)
    for name in ("beta_group", "liquidity_group", "volatility_group"):
        values = evaluate(read(f"group_rank(close, {name})"), panel).values[80]
        assert sorted(np.round(values, 6)) == sorted([0.25, 0.5, 0.75, 1.0] * 5)
