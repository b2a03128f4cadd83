"""Texts of BRAIN, AlphaAgent, FactorMiner and Qlib: read, with the meanings that their descriptions give.

The shapes and texts are ours. What a shape means is said in operators of ours beside it, by hand.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from factors.engine import evaluate
from factors.parse import DialectName, parse
from factors.tree import Expression
from market.errors import Rejection
from market.panel import Panel
from tests.helpers import random_panel

FIELDS = ("open", "high", "low", "close", "volume", "vwap", "amount", "returns", "sector", "industry", "cap")
SERIES = ("close", "volume", "returns")
WINDOWS = (5, 12, 20)
# A shape of the language, and of ours; {x} is a field, {n} a window.
BRAIN = [
    ("rank(ts_delta({x}, {n}))", "cs_rank(ts_delta({x}, {n}))"),
    ("-rank(ts_std_dev({x}, {n}), rate=0)", "-cs_rank(ts_std({x}, {n}))"),
    ("group_neutralize(ts_zscore({x}, {n}), sector)", "group_neutralize(ts_zscore({x}, {n}), sector)"),
    ("group_rank(ts_av_diff({x}, {n}), densify(industry))", "group_rank({x} - ts_mean({x}, {n}), industry)"),
    ("group_zscore(-ts_rank({x}, {n}), market)", "cs_zscore(-ts_rank({x}, {n}))"),
    ("trade_when(volume > adv20, ts_mean({x}, {n}), -1)",
     "trade_when(volume > ts_mean(volume, 20), ts_mean({x}, {n}), 0, 250)"),
    ("trade_when(ts_arg_max({x}, {n}) < 3, -returns, abs(returns) > 0.02)",
     "trade_when(ts_argmax({x}, {n}) < 3, -returns, abs(returns) > 0.02, 250)"),
    ("ts_regression({x}, open, {n}, rettype=2)", "ts_beta({x}, open, {n})"),
    ("ts_regression({x}, open, {n}, lag=1, rettype=3)", "ts_regression_pred({x}, ts_delay(open, 1), {n})"),
    ("ts_regression({x}, open, {n})", "ts_regression_resid({x}, open, {n})"),
    ("ts_regression({x}, open, {n}, 0, 6)", "ts_corr({x}, open, {n})^2"),
    ("ts_regression({x}, ts_step(1), {n}, rettype=2)", "ts_slope({x}, {n})"),
    ("ts_min_max_diff({x}, {n}, f=0.3)", "{x} - 0.3 * (ts_min({x}, {n}) + ts_max({x}, {n}))"),
    ("ts_min_max_cps({x}, {n})", "ts_min({x}, {n}) + ts_max({x}, {n}) - 2 * {x}"),
    ("ts_scale({x}, {n}, constant=1)", "1 + ts_scale({x}, {n})"),
    ("winsorize(ts_backfill({x}, {n}), std=3)", "cs_winsorize(ts_backfill({x}, {n}), 3)"),
    ("normalize({x}, useStd=true) + ts_decay_linear({x}, {n}, dense=false)",
     "cs_zscore({x}) + ts_decay_linear({x}, {n})"),
    ("normalize(ts_covariance({x}, open, {n}))", "cs_demean(ts_cov({x}, open, {n}))"),
    ("scale({x}, longscale=2, shortscale=3) * {n}",
     "if_else(is_nan({x}), {x}, 2 * fill_nan(cs_scale(max({x}, 0)), 0) + 3 * fill_nan(cs_scale(min({x}, 0)), 0))"
     " * {n}"),
    ("add(ts_kurtosis({x}, {n}), close, open, filter=true)",
     "fill_nan(ts_kurt({x}, {n}), 0) + fill_nan(close, 0) + fill_nan(open, 0)"),
    ("multiply(subtract({x}, ts_delay({x}, {n})), reverse(open))", "({x} - ts_delay({x}, {n})) * -open"),
    ("if_else(greater({x}, ts_median({x}, {n})), close, nan)", "close / ({x} > ts_median({x}, {n}))"),
    ("if_else(is_nan(ts_skewness({x}, {n})), 0, 1) + close",
     "if_else(is_nan(ts_skew({x}, {n})), 0, 1) + close"),
    ("and({x} > ts_mean({x}, {n}), not(close < open)) * 1", "({x} > ts_mean({x}, {n})) & !(close < open)"),
    ("keep(close, {x}, period={n})", "keep(close, {x}, {n})"),
    ("hump(ts_sum({x}, {n}), hump=0.01)", "hump(ts_sum({x}, {n}), 0.01)"),
    ("group_mean({x}, 1, sector) * ts_product(1 + returns, {n})",
     "group_mean({x}, sector) * ts_product(1 + returns, {n})"),
    ("group_neutralize({x}, bucket(rank(cap), range=\"0, 1, 0.2\")) + {n} * 0.1",
     "group_neutralize({x}, bucket(cap, 5)) + {n} * 0.1"),
    ("a = ts_corr(rank({x}), rank(open), {n}); /* reversal */ b = -a;\nvector_neut(b, close)",
     "-ts_corr(cs_rank({x}), cs_rank(open), {n}) + ts_corr(cs_rank({x}), cs_rank(open), {n}) * 0"
     " - close * cs_mean(-ts_corr(cs_rank({x}), cs_rank(open), {n}) * close) / cs_mean(close * close)"),
    ("ts_decay_exp_window({x}, {n}, factor=0.5)", "ts_decay_exp({x}, {n}, 0.5)"),
    ("ts_count_nans({x}, {n}) + ts_percentage({x}, {n}, percentage=0.7)",
     "ts_count_nan({x}, {n}) + ts_quantile({x}, {n}, 0.7)"),
    ("signed_power(s_log_1p({x}), 0.5) - round_down({x}, 5) / {n}",
     "signed_power(sign({x}) * log1p(abs({x})), 0.5) - 5 * floor({x} / 5) / {n}"),
]  # fmt: skip
ALPHAAGENT = [
    ("RANK(TS_PCTCHANGE(${x}, {n}))", "cs_rank(ts_returns({x}, {n}))"),
    ("ZSCORE(DELTA(${x}, {n})) * INV($open)", "cs_zscore(ts_delta({x}, {n})) / open"),
    ("(${x} - TS_MEAN(${x}, {n})) / (TS_STD(${x}, {n}) + 1e-8)",
     "({x} - ts_mean({x}, {n})) / (ts_std({x}, {n}) + 1e-8)"),
    ("PERCENTILE(${x}, 0.8, {n})", "ts_quantile({x}, {n}, 0.8)"),
    ("TS_QUANTILE(${x}, {n}, 0.2)", "ts_quantile({x}, {n}, 0.2)"),
    ("BB_UPPER(${x}, {n}) - BB_LOWER(${x}, {n})", "2 * ts_std({x}, {n})"),
    ("REGBETA(${x}, SEQUENCE({n}), {n})", "ts_slope({x}, {n})"),
    ("REGRESI(${x}, $open, {n})", "ts_regression_resid({x}, open, {n})"),
    ("COUNT(${x} > DELAY(${x}, 1), {n}) / {n}", "ts_count({x} > ts_delay({x}, 1), {n}) / {n}"),
    ("SUMIF($volume, {n}, ${x} > DELAY(${x}, 1))", "ts_sumif(volume, {n}, {x} > ts_delay({x}, 1))"),
    ("(${x} > TS_MEDIAN(${x}, {n})) && ($close > $open) ? 1 : -1",
     "if_else(({x} > ts_median({x}, {n})) & (close > open), 1, -1)"),
    ("WMA(${x}, {n}) - DECAYLINEAR(${x}, {n})", "ts_decay_exp({x}, {n}, 0.9) - ts_decay_linear({x}, {n})"),
    ("HIGHDAY(${x}, {n}) - TS_ARGMIN(${x}, {n})", "1 + ts_argmax({x}, {n}) - ts_argmin({x}, {n})"),
    ("MAX(${x}, $open) - MIN(${x}, $open) + SUMAC(${x}, {n})", "max({x}, open) - min({x}, open) + ts_sum({x}, {n})"),
    ("TS_CORR(RANK(${x}), RANK($open), {n})", "ts_corr(cs_rank({x}), cs_rank(open), {n})"),
    ("SIGN(DELTA(${x}, {n})) * LOG($close)", "sign(ts_delta({x}, {n})) * log(1 + close)"),
    ("SMA(${x}, {n}, 2) - MEAN(${x})", "ts_sma({x}, {n}, 2) - cs_mean({x})"),
    ("STD(TS_SUM(${x}, {n})) + MEDIAN($open)",
     "group_std(ts_sum({x}, {n}), bucket(ts_sum({x}, {n}), 1)) + cs_quantile(open, 0.5)"),
    ("SCALE(TS_ZSCORE(${x}, {n}))", "cs_scale(ts_zscore({x}, {n}))"),
    ("INDUSTRY_NEUTRALIZE(TS_RANK(${x}, {n}))", "group_neutralize(ts_rank({x}, {n}), industry)"),
    ("FILTER(${x}, $close > $open) + TS_VAR(${x}, {n})", "{x} * (close > open) + ts_var({x}, {n})"),
    ("POW(TS_MAX(${x}, {n}) / TS_MIN($low, {n}), 2)", "(ts_max({x}, {n}) / ts_min(low, {n}))^2"),
]  # fmt: skip
MINER = [
    ("Neg(CsRank(Delta(${x}, {n})))", "-cs_rank(ts_delta({x}, {n}))"),
    ("IfElse(Greater(${x}, Mean(${x}, {n})), CsZScore($close), Neg($open))",
     "if_else({x} > ts_mean({x}, {n}), cs_zscore(close), -open)"),
    ("Mul(Sqrt(Sub(${x}, Delay(${x}, {n}))), Log($amt))",
     "signed_power({x} - ts_delay({x}, {n}), 0.5) * sign(amount) * log1p(abs(amount))"),
    ("Div(Cov(${x}, $open, {n}), Add(Var($open, {n}), 1e-8))",
     "(1 - 1 / {n}) * ts_cov({x}, open, {n}) / (ts_var(open, {n}) + 1e-8)"),
    ("TsLinRegSlope(${x}, {n})", "ts_slope({x}, {n})"),
    ("TsArgMax(${x}, {n})", "{n} - 1 - ts_argmax({x}, {n})"),
]  # fmt: skip
QLIB = [
    ("Ref(${x}, {n}) / ${x} - 1", "ts_delay({x}, {n}) / {x} - 1"),
    ("Mean(${x}, {n}) / ${x}", "ts_mean({x}, {n}) / {x}"),
    ("Std(${x}, {n}) / (Mean(${x}, {n}) + 1e-12)", "ts_std({x}, {n}) / (ts_mean({x}, {n}) + 1e-12)"),
    ("(${x} - Min($low, {n})) / (Max($high, {n}) - Min($low, {n}) + 1e-12)",
     "({x} - ts_min(low, {n})) / (ts_max(high, {n}) - ts_min(low, {n}) + 1e-12)"),
    ("Corr(${x} / Ref(${x}, 1), Log($volume / Ref($volume, 1) + 1), {n})",
     "ts_corr({x} / ts_delay({x}, 1), log(volume / ts_delay(volume, 1) + 1), {n})"),
    ("Sum(Greater(${x} - Ref(${x}, 1), 0), {n}) / (Sum(Abs(${x} - Ref(${x}, 1)), {n}) + 1e-12)",
     "ts_sum(max({x} - ts_delay({x}, 1), 0), {n}) / (ts_sum(abs({x} - ts_delay({x}, 1)), {n}) + 1e-12)"),
    ("If(Gt(${x}, Mean(${x}, {n})), $close, $open)", "if_else({x} > ts_mean({x}, {n}), close, open)"),
    ("Slope(${x}, {n}) / Resi(${x}, {n})", "ts_slope({x}, {n}) / ts_resid({x}, {n})"),
    ("Rsquare(${x}, {n}) + Rank(${x}, {n})", "ts_rsquare({x}, {n}) + ts_rank({x}, {n})"),
    ("Quantile(${x}, {n}, 0.8) - Med(${x}, {n})", "ts_quantile({x}, {n}, 0.8) - ts_median({x}, {n})"),
    ("IdxMax(${x}, {n}) / {n}", "({n} - ts_argmax({x}, {n})) / {n}"),
    ("Less(${x}, $open) * Sign(Delta(${x}, {n}))", "min({x}, open) * sign(ts_delta({x}, {n}))"),
    ("Skew(${x}, {n}) + Kurt(${x}, {n}) - Var(${x}, {n})", "ts_skew({x}, {n}) + ts_kurt({x}, {n}) - ts_var({x}, {n})"),
    ("Mad(${x}, {n}) * Power($close, 2)", "ts_mad({x}, {n}) * close^2"),
]  # fmt: skip
ALL: dict[DialectName, list[tuple[str, str]]] = {
    "brain": BRAIN, "alphaagent": ALPHAAGENT, "factorminer": MINER, "qlib": QLIB,
}  # fmt: skip


def pairs(shapes: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for (theirs, ours), x, n in itertools.product(shapes, SERIES, WINDOWS):
        yield tuple(text.replace("{x}", x).replace("{n}", str(n)) for text in (theirs, ours))  # type: ignore[misc]


@pytest.fixture(scope="module")
def panel() -> Panel:
    made = random_panel(80, 12)
    group = np.tile(np.arange(12.0) % 3, (80, 1))
    rng = np.random.default_rng(4)
    return made.with_fields({"sector": group, "industry": group, "cap": rng.uniform(1, 9, (80, 12))})


def test_there_are_a_hundred_of_each() -> None:
    assert all(len(list(pairs(ALL[name]))) >= 100 for name in ("brain", "alphaagent", "qlib"))


@pytest.mark.parametrize("dialect", ALL)
def test_each_shape_means_what_it_should(dialect: DialectName, panel: Panel) -> None:
    for theirs, ours in pairs(ALL[dialect]):
        one, other = parse(theirs, fields=FIELDS, dialect=dialect), parse(ours, fields=FIELDS)
        assert isinstance(one, Expression), f"{theirs}\n{one}"
        assert isinstance(other, Expression), f"{ours}\n{other}"
        if one.id != other.id:
            found, wanted = evaluate(one, panel).values, evaluate(other, panel).values
            np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-9, err_msg=theirs)


@pytest.mark.parametrize("dialect", ALL)
def test_without_a_dialect_nothing_is_read_with_another_meaning_unsaid(dialect: DialectName) -> None:
    """What is read alike in `auto` may be quiet; else the language is named, or the text is refused."""
    shares = []
    for theirs, _ in pairs(ALL[dialect]):
        known, found = parse(theirs, fields=FIELDS, dialect=dialect), parse(theirs, fields=FIELDS)
        assert isinstance(known, Expression)
        shares.append(isinstance(found, Expression))
        if isinstance(found, Expression) and found.id != known.id:
            assert found.notes or theirs.startswith(SAID_ALIKE), theirs
    assert np.mean(shares) > {"qlib": 0.95, "alphaagent": 0.9, "brain": 0.85, "factorminer": 0.7}[dialect]


def test_signs_between_calls_are_not_of_a_language_of_calls_alone() -> None:
    found = parse("Less($close, $open) * Sign(Delta($close, 5))", fields=FIELDS)
    assert isinstance(found, Expression)
    assert found.id == parse("min(close, open) * sign(ts_delta(close, 5))", fields=FIELDS).id  # type: ignore[union-attr]
    assert any("Qlib" in note for note in found.notes)
    for text in ("If(Gt(Less($close, $open), 0), 1, -1)", "Mul(Less($close, $open), Sign(Delta($close, 5)))"):
        other = parse(text, fields=FIELDS)
        assert isinstance(other, Rejection) or other.id == parse(text, fields=FIELDS, dialect="qlib").id  # type: ignore[union-attr]


# Words that mean one thing in most languages and another in these: in `auto` they keep the common meaning.
SAID_ALIKE = ("SIGN(DELTA(", "Div(Cov(", "Mul(Sqrt(")


@pytest.mark.parametrize(
    ("text", "dialect", "says"),
    [
        ("Greater($close, $open)", "auto", "two languages"),
        ("Clip(Less($close, $open), -3, 1e-8)", "auto", "two languages"),
        ("If(Greater($close, $open), 1, -1)", "qlib", "Gt"),
        ("Mask($close, 'SH000300')", "qlib", "Mask reads another instrument"),
        ("ChangeInstrument('SH000300', $close)", "qlib", "market_close"),
        ("ts_entropy(close, 20)", "brain", "not in the language"),
        ("bucket(rank(close), range='0.2, 1, 0.1')", "brain", "range"),
        ("ts_regression(close, open, 20, rettype=12)", "brain", "rettype"),
        ("ts_backfill(close, 20, k=2)", "brain", "only 1"),
        ("scale(close, nonsense=3)", "brain", "nonsense"),
        ("TS_MAD($close, 20)", "alphaagent", "median"),
        ("SKEW($close)", "alphaagent", "TS_SKEW"),
        ("SEQUENCE(20) * $close", "alphaagent", "SEQUENCE"),
    ],
)
def test_what_cannot_be_said_is_named(text: str, dialect: DialectName, says: str) -> None:
    found = parse(text, fields=FIELDS, dialect=dialect)
    assert isinstance(found, Rejection), found
    assert says in f"{found.message} {found.hint}"


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("multiply(close, subtract(open, volume))", "close * (open - volume)"),
        ("rank(divide(close, open))", "cs_rank(close / open)"),
        ("reverse(ts_std_dev(close, 20))", "-ts_std(close, 20)"),
    ],
)
def test_worldquant_knows_the_short_names_of_brain(text: str, same: str) -> None:
    one, other = parse(text, dialect="worldquant"), parse(same)
    assert isinstance(one, Expression), one
    assert isinstance(other, Expression)
    assert one.id == other.id
