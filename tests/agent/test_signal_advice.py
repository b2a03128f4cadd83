"""What a signal says to who trades it: what to do, how sure that is, why, and what would change it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.cli.signal_words import change_lines, risk_line, signed
from agent.live.advice import calibrated, change_of_side, changes_since, reasons_of, terms_of, trades
from agent.live.feed import age_in_words
from agent.live.reason_words import reason_in_words
from backtest.trading_rules import BacktestSpec
from factors.parse import parse
from factors.tree import Expression
from market.synthetic.demo_market import SynthSpec, make_market
from tests.agent.commands import as_json, run


def test_confidence_is_half_for_noise_and_more_for_what_knows() -> None:
    random = np.random.default_rng(5)
    signal = random.standard_normal((1500, 20))
    # Payoffs of which most are below the mean: beside it, every long would look wrong.
    noise = np.exp(random.standard_normal(signal.shape)) - 1.6
    found = calibrated(signal, noise, relative=True)
    assert (np.abs(found.share - 0.5) < 4 * found.error).all()
    assert np.sqrt(0.25 / 3000) == pytest.approx(found.error.mean(), rel=0.2)
    known = calibrated(signal, noise + 0.5 * signal, relative=True)
    top, middle = known.of(0.97), known.of(0.52)
    assert top is not None
    assert middle is not None
    assert top["better_than_a_coin"]
    assert float(str(top["share"])) > float(str(middle["share"])) + 0.1
    assert known.of(float("nan")) is None


def test_what_all_assets_do_at_once_counts_as_one_thing() -> None:
    """A thousand assets that follow one coin tell no more than the coin."""
    random = np.random.default_rng(6)
    coin = np.sign(random.standard_normal((400, 1)))
    found = calibrated(np.ones((400, 50)) + 0.001 * np.arange(50), np.repeat(coin, 50, axis=1), relative=False)
    assert found.error[0] == pytest.approx(0.5 / np.sqrt(400), rel=0.05)


def test_a_trade_is_what_the_rule_trades() -> None:
    spec = replace(BacktestSpec(), rate=0.5, band=0.05)
    targets, positions = np.array([0.2, 0.12, 0.0, -0.3]), np.array([0.1, 0.1, 0.02, 0.1])
    assert trades(targets, positions, spec, due=True) == pytest.approx([0.05, 0.0, -0.01, -0.2])
    assert not trades(targets, positions, spec, due=False).any()


def test_terms_are_those_of_the_sum() -> None:
    panel = make_market(SynthSpec(bars=400)).panel
    factor, single = parse("returns - (ts_mean(returns, 5) - ts_rank(close, 9))"), parse("-ts_mean(returns, 5)")
    assert isinstance(factor, Expression)
    assert isinstance(single, Expression)
    assert sorted(term.text for term in terms_of(factor, panel)) == sorted(
        ["returns", "-ts_mean(returns, 5)", "ts_rank(close, 9)"]
    )
    assert terms_of(single, panel) == ()


def test_reasons_are_the_largest_and_name_the_gate() -> None:
    parts = {"a": 0.1, "b": -0.4, "c": None, "d": 0.2, "e": 0.3}
    assert reasons_of(parts, 1.0, "2 of 9") == ["b -0.4", "e +0.3", "d +0.2"]
    assert reasons_of(parts, 0.25, "2 of 9") == ["b -0.4", "e +0.3", "gate lets 25% through"]
    assert reasons_of({"a": 0.1}, 1.0, "2 of 9") == ["a ranks 2 of 9"]


@pytest.mark.parametrize(
    ("text", "value", "relative", "said"),
    [
        ("cs_rank(ts_mean(sentiment, 72))", 0.2, True, "news of the last 3 days is better than that"),
        ("-2 * cs_rank(ts_mean(sentiment, 72))", 0.2, True, "news of the last 3 days is worse than that"),
        ("sentiment", -0.1, False, "the newest news is bad"),
        ("ts_mean(sentiment_surprise, 24)", 0.3, False, "news of the last day is better than usual for it"),
        ("-ts_sum(news_count, 36)", -1.0, True, "more is written about it in the last 36 hours"),
        ("ts_returns(close, 24)", -0.1, False, "its price fell over the last day"),
        ("cs_rank(volume / ts_mean(volume, 480))", 0.1, True, "higher than that of the average"),
        ("ts_rank(close, 9)", 0.1, True, None),
        ("cs_rank(ts_mean(sentiment, 72))", 0.0, True, None),
    ],
)  # fmt: skip
def test_a_reason_is_a_phrase(text: str, value: float, relative: bool, said: str | None) -> None:
    fields = ("close", "volume", "sentiment", "sentiment_surprise", "news_count")
    read = parse(text, fields=fields)
    assert isinstance(read, Expression)
    found = reason_in_words(read, value, np.timedelta64(1, "h"), relative=relative)
    assert found is None if said is None else found is not None and said in found


def test_reasons_without_a_phrase_keep_their_name() -> None:
    said = reasons_of({"a": 0.1, "b": -0.4}, 1.0, "2 of 9", {"a": "news is better"})
    assert said == ["b -0.4", "news is better (+0.1)"]
    assert reasons_of({"a": 0.1}, 1.0, "2 of 9", {"a": "news is better"}) == ["news is better (a ranks 2 of 9)"]


def test_a_side_changes_when_enough_others_pass() -> None:
    signal = np.array([5.0, 4.0, 3.0, 2.0, 1.0, np.nan])
    assert change_of_side(signal, 0, relative=True) == "3 of the 4 others come to rank above it"
    assert change_of_side(signal, 4, relative=True) == "3 of the 4 others come to rank below it"
    assert "passes 0" in change_of_side(signal, 0, relative=False)
    assert "becomes known" in change_of_side(signal, 5, relative=True)


def test_a_side_is_said_to_change_by_what_the_rules_compare() -> None:
    signal = np.array([1.0, 2.0, 3.0])
    assert "of the 2 others" in change_of_side(signal, 2, relative=True, spec=BacktestSpec())
    half, free = BacktestSpec(liquid_half=True), BacktestSpec(market_neutral=True)
    assert change_of_side(signal, 2, relative=True, spec=half) == "it passes the middle of the liquid half"
    assert "of its beta" in change_of_side(signal, 2, relative=True, spec=free)


@pytest.mark.parametrize(
    ("seconds", "said"), [(-3, "0 s"), (90, "90 s"), (2700, "45 min"), (108000, "30 h"), (77351751, "895 days")]
)
def test_an_age_is_in_one_unit(seconds: float, said: str) -> None:
    assert age_in_words(seconds) == said


def test_a_signal_says_what_to_do_and_why(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    factor = "ts_rank(close, 9) - ts_returns(close, 5)"
    code, out, err = run(capsys, "signal", factor)
    assert code == 0, err
    assert "BUY" in out
    assert "SELL" in out
    assert "because" in out
    assert "changes side when" in out
    document = as_json(capsys, "signal", factor)
    row = document["weights"][0]
    assert row["action"] == "BUY"
    assert row["trade"] > 0
    assert len(row["terms"]) == 2
    assert 0 < row["confidence"]["share"] < 1
    assert row["confidence"]["decile"] == 10
    assert document["changes"] is None


def test_a_watched_bar_without_a_trade_is_a_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rule that trades every 50th bar says one line at the others."""
    settings = home / "alphaglow.toml"
    text = settings.read_text(encoding="utf-8")
    head = "[backtest]\n"
    rule = f'{head}rule = "as set"\nrebalance = 50\n'
    kept = [x for x in text.split("\n") if not x.startswith(("rule =", "rebalance ="))]
    changed = "\n".join(kept)
    settings.write_text(changed.replace(head, rule) if head in changed else f"{changed}\n{rule}", encoding="utf-8")
    start = _bar_of(home, 57)
    code, out, err = run(capsys, "signal", "-ts_returns(close, 5)", "--replay-from", start, "--bars", "3")
    assert code == 0, err
    assert len(out.splitlines()) == 3
    assert out.count("nothing to trade") == 3


def _bar_of(home: Path, rest: int) -> str:
    """Return when a bar of the toy market opened, the given number of bars after one that is traded."""
    from agent.study.workspace import Workspace

    times = Workspace(home).load_panel("toy").times
    last = (len(times) - 1) // 50 * 50
    return str(times[last - 100 + rest])[:19]


def test_risk_regime_and_what_changed_take_a_line_each() -> None:
    rows = [
        {"asset": "A", "weight": 0.2, "change": 0.5, "action": "BUY", "contributions": {"mom": 0.4, "rev": 0.1}},
        {"asset": "B", "weight": -0.2, "change": -0.1, "action": "SELL", "contributions": {"mom": -0.4, "rev": 0.0}},
    ]
    before = {
        "closed": "2024-06-15T16:00:00Z",
        "gate_exposure": 1.0,
        "weights": [{"asset": "A", "weight": -0.3, "contributions": {"mom": -0.2, "rev": 0.2}}],
    }
    changes = changes_since(rows, before, 0.4)
    lines = change_lines({"changes": changes})
    assert lines == [
        "since the signal of 2024-06-15 16:00 UTC: changed side: A; gate 1.00 to 0.40; largest change A +0.5000, as "
        "mom +0.6"
    ]
    assert change_lines({"changes": changes_since(rows, None, 0.4)}) == []
    document = {"var_95": 0.012, "gate_exposure": 0.4, "likelihood_percentile": 7.0, "regime": "calm"}
    line = risk_line(document)
    assert "VaR 95 % 1.20% a bar" in line
    assert "gate 0.40, what it judges at the 7th percentile, regime calm" in line
    assert [signed(-0.0001, 3), signed(-0.002, 3)] == ["0.000", "-0.002"]
