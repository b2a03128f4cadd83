"""`alphaglow verify`: claims of known truth, files as other programs write them, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agent.verify.claim_reading import ReadingAs, read_claim, read_claim_file
from agent.verify.verifying import Terms, judge, verify
from market.errors import InputError
from market.panel import Panel
from tests.agent.commands import run
from tests.agent.known_truths import BARS, NAMES, START, Case, all_cases, framed, panel_of, returns_of, slow


@cache
def _cases() -> dict[str, Case]:
    return {case.name: case for case in all_cases(1)}


@pytest.fixture(scope="module")
def real() -> Case:
    return _cases()["a real signal"]


@pytest.mark.parametrize("name", NAMES)
def test_a_claim_of_known_truth_is_judged_as_it_is(name: str) -> None:
    assert tuple(_cases()) == NAMES
    case = _cases()[name]
    found = verify(case.frame, case.panel, case.terms)
    assert found.shown == case.shown, found.sentence
    assert case.says in found.sentence
    assert found.sentence.startswith("Shown" if case.shown else "Not shown")


def test_without_a_number_of_trials_each_number_is_shown_and_the_strictest_decides() -> None:
    case = _cases()["the best of 60 noises"]
    found = verify(case.frame, case.panel, replace(case.terms, trials=None))
    ps = [one.predicts_p for one in found.among]
    assert [one.trials for one in found.among] == [1, 10, 100, 1_000]
    assert ps == sorted(ps)
    # Alone it would pass: that it is the best of many is what its owner has to say.
    assert found.among[0].predicts_p < 0.05
    assert not found.shown
    assert found.most_trials < 60


def test_worlds_without_skill_score_about_nothing(real: Case) -> None:
    found = verify(real.frame, real.panel, replace(real.terms, worlds=20))
    assert {one.kind for one in found.worlds} == {"signs", "blocks"}
    for one in found.worlds:
        assert abs(one.mean_z) < 1.2
        assert 0.4 < one.deviation_z < 1.8
        assert one.reached < 0.1


def test_a_bar_late_costs_a_slow_signal_little_and_costs_cost_more(real: Case) -> None:
    found = verify(real.frame, real.panel, real.terms)
    by_label = {one.label: one.net_z for one in found.under}
    assert by_label["no costs"] > by_label["the costs"] > by_label["4 times"]
    assert found.late.z > 0.5 * found.predicts.z


def test_a_program_that_looks_ahead_is_caught_however_little_it_pays() -> None:
    panel = panel_of(returns_of(np.random.default_rng(3)))

    def normalised_by_all(part: Panel) -> pd.DataFrame:
        values = np.nan_to_num(pd.DataFrame(part["close"]).pct_change(5).to_numpy())
        return framed(values / values.std(axis=0), part)

    def trailing(part: Panel) -> pd.DataFrame:
        return framed(pd.DataFrame(part["close"]).pct_change(5).to_numpy(), part)

    signals = ReadingAs("signals")
    leaking = verify(normalised_by_all(panel), panel, Terms(1, worlds=0, recompute=normalised_by_all, reading=signals))
    clean = verify(trailing(panel), panel, Terms(1, worlds=0, recompute=trailing, reading=signals))
    assert [flaw.code for flaw in leaking.fatal] == ["look_ahead"]
    assert not leaking.shown
    assert clean.look_ahead is not None
    assert clean.look_ahead.passed


def test_an_expression_has_to_be_the_one_of_the_file() -> None:
    panel = panel_of(returns_of(np.random.default_rng(4)))
    frame = framed(pd.DataFrame(panel["close"]).pct_change(5, fill_method=None).to_numpy(), panel)
    terms = Terms(1, worlds=0, reading=ReadingAs("signals"))
    same = verify(frame, panel, replace(terms, expression="close / ts_delay(close, 5) - 1"))
    other = verify(frame, panel, replace(terms, expression="-ts_std(returns, 20)"))
    assert same.look_ahead is not None
    assert same.look_ahead.passed
    assert "look_ahead" in [flaw.code for flaw in other.fatal]


def test_returns_need_no_prices_and_their_costs_stay_unknown() -> None:
    rng = np.random.default_rng(5)
    days = pd.date_range("2022-01-01", periods=700)
    good = pd.Series(0.002 + 0.01 * rng.standard_normal(700), index=days, name="returns")
    lucky = pd.Series(0.01 * rng.standard_normal(700), index=days, name="returns")
    lucky.iloc[300] = 0.9
    assert verify(good, terms=Terms(20, worlds=30)).shown
    found = verify(lucky, terms=Terms(1, worlds=0))
    assert [flaw.code for flaw in found.fatal] == ["one_bar"]
    assert any("cannot be seen" in note for note in found.notes)


# What the libraries wrote, cut short: columns and forms are theirs.
_WRITTEN = {
    "backtesting.py trades": (
        "Size,EntryBar,ExitBar,EntryPrice,ExitPrice,SL,TP,PnL,Commission,ReturnPct,EntryTime,ExitTime,Duration,Tag\n"
        "8,29,33,101.5,99.0,,,-20.0,0.8,-0.02,2021-05-01,2021-05-05,4 days,\n"
        "-8,34,41,98.0,95.0,,,24.0,0.8,0.03,2021-05-06,2021-05-13,7 days,\n",
        "trades",
        [("2021-05-01", 8.0), ("2021-05-05", -8.0), ("2021-05-06", -8.0), ("2021-05-13", 8.0)],
    ),
    "backtrader transactions": (
        "date,amount,price,sid,symbol,value\n"
        "2021-05-01 00:00:00+00:00,5,101.5,0,A00,-507.5\n2021-05-05 00:00:00+00:00,-5,99.0,0,A00,495.0\n",
        "trades",
        [("2021-05-01", 5.0), ("2021-05-05", -5.0)],
    ),
    "vectorbt orders": (
        "Order Id,Column,Timestamp,Size,Price,Fees,Side\n"
        "0,A00,2021-07-29,0.5,101.5,0.1,Buy\n1,A00,2021-09-20,0.5,99.0,0.1,Sell\n",
        "trades",
        [("2021-07-29", 0.5), ("2021-09-20", -0.5)],
    ),
    "vectorbt trades, one open": (
        "Exit Trade Id,Column,Size,Entry Timestamp,Avg Entry Price,Entry Fees,Exit Timestamp,Avg Exit Price,Exit Fees,"
        "PnL,Return,Direction,Status,Position Id\n"
        "0,A00,0.5,2021-07-29,101.5,0.1,2021-09-20,99.0,0.1,-1.2,-0.02,Short,Closed,0\n",
        "trades",
        [("2021-07-29", -0.5), ("2021-09-20", 0.5)],
    ),
    "backtrader TimeReturn": (
        ",0\n2021-04-02,0.01\n2021-04-03,-0.02\n2021-04-04,0.003\n", "returns", [0.01, -0.02, 0.003]
    ),
    "backtesting.py equity": (
        "ts,Equity,DrawdownPct,DrawdownDuration\n2021-04-02,100.0,0.0,\n2021-04-03,110.0,0.0,\n2021-04-04,99.0,0.1,\n",
        "returns",
        [0.0, 0.1, -0.1],
    ),
    "vectorbt value": ("ts,group\n2021-04-02,100.0\n2021-04-03,110.0\n2021-04-04,99.0\n", "returns", [0.0, 0.1, -0.1]),
    "qlib report": (
        "datetime,account,return,total_turnover,turnover,total_cost,cost,value,cash,bench\n"
        "2021-04-02,1e8,0.01,1,0.5,1,0.001,9e7,1e7,0.002\n2021-04-05,1e8,-0.02,2,0.5,2,0.001,9e7,1e7,0.001\n",
        "returns",
        [0.009, -0.021],
    ),
    "backtrader positions": (
        "Datetime,A00,A01,cash\n2021-04-02,0.0,50.0,50.0\n2021-04-03,25.0,-25.0,100.0\n",
        "weights",
        [[0.0, 0.5], [0.25, -0.25]],
    ),
    "qlib predictions": (
        "datetime,instrument,score\n2021-04-02,A00,0.1\n2021-04-02,A01,-0.3\n2021-04-05,A01,0.2\n",
        "signals",
        [[0.1, -0.3], [np.nan, 0.2]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", _WRITTEN)
def test_files_of_other_programs_are_read_as_what_they_are(name: str, tmp_path: Path) -> None:
    text, kind, expected = _WRITTEN[name]
    path = tmp_path / "theirs.csv"
    path.write_text(text)
    claim = read_claim_file(path, ReadingAs())
    assert claim.kind == kind
    if claim.trades is not None:
        assert [
            (str(ts)[:10], size) for ts, size in zip(claim.trades["ts"], claim.trades["size"], strict=True)
        ] == expected
    else:
        np.testing.assert_allclose(claim.values.squeeze(), np.array(expected), atol=1e-12)


def test_trades_earn_what_their_prices_say(tmp_path: Path) -> None:
    """Bought at one open and sold at another: the gross gain is that of the prices, over the capital it bound."""
    panel = panel_of(returns_of(np.random.default_rng(6)))
    buys, column = np.arange(320, 900, 40), 4
    opened = panel["open"][:, column]
    rows = [
        (str(panel.times[row + late])[:10], panel.assets[column], side, 1.0, opened[row + late])
        for row in buys
        for late, side in ((0, "buy"), (20, "sell"))
    ]
    frame = pd.DataFrame(rows, columns=["date", "symbol", "side", "qty", "price"])
    found = verify(frame, panel, Terms(1, worlds=0))
    assert found.kind == "trades"
    assert found.series is not None
    moves = np.concatenate([opened[row + 1 : row + 21] / opened[row : row + 20] - 1.0 for row in buys])
    mine = found.series.gross[found.series.gross != 0.0]
    assert np.corrcoef(mine, moves[: len(mine)])[0, 1] > 0.95


_GOOD = "date,A00,A01\n" + "\n".join(f"2021-{1 + k // 28:02d}-{1 + k % 28:02d},0.{k % 7},0.1" for k in range(200))
_REFUSED = {
    "future": (_GOOD + "\n2199-01-01,0.1,0.2\n", ["--kind", "weights"], "after now"),
    "all missing": ("date,A00,A01\n2021-01-01,,\n2021-01-02,,\n", ["--kind", "signals"], "every value is missing"),
    "over one": ("date,A00,A01\n2021-01-01,0.9,0.4\n2021-01-02,0.5,0.5\n", ["--kind", "weights"], "--leverage 1.3"),
    "twice": (_GOOD + "\n2021-01-01,0.1,0.2\n", ["--kind", "weights"], "repeat a time"),
    "other names": (_GOOD.replace("A00", "XYZ").replace("A01", "QQQ"), ["--kind", "signals"], "are not in"),
    "which": (_GOOD, [], "signals or weights?"),
    "few": ("date,A00,A01\n2021-01-01,0.9,0.4\n2021-01-02,0.5,0.3\n", ["--kind", "signals"], "bars are judged"),
    "text": ("date,A00,A01\n2021-01-01,0.9,up\n2021-01-02,0.5,0.3\n", ["--kind", "signals"], "holds text"),
}  # fmt: skip


@pytest.mark.parametrize("name", _REFUSED)
def test_what_cannot_be_judged_is_refused_in_a_sentence(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text, options, says = _REFUSED[name]
    _write_closes(tmp_path)
    (tmp_path / "claim.csv").write_text(text)
    code, out, err = run(capsys, "verify", "claim.csv", "--data", "closes.csv", "--worlds", "0", *options)
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


def _write_closes(folder: Path) -> None:
    panel = panel_of(returns_of(np.random.default_rng(7), 12))
    frame = pd.DataFrame(panel["close"], index=pd.DatetimeIndex(panel.times, name="date"), columns=panel.assets)
    frame.to_csv(folder / "closes.csv")


def test_the_command_gives_pipelines_an_exit_code_json_and_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _write_closes(tmp_path)
    rng = np.random.default_rng(8)
    panel = panel_of(returns_of(rng, 12))
    framed(slow(rng, panel.shape), panel).to_csv("signals.csv")
    common = ["verify", "signals.csv", "--kind", "signals", "--data", "closes.csv", "--trials", "5", "--worlds", "2"]
    code, out, _ = run(capsys, *common, "--json", "--out", "page.html")
    document = json.loads(out)
    assert code == 3
    assert document["shown"] is False
    assert document["trials"] == 5
    page = Path("page.html").read_text()
    assert document["sentence"].split("(")[0] in page
    # The page has its own script, and nobody else's.
    assert page.count("<script") == 1
    code, out, _ = run(capsys, *common)
    assert code == 3
    assert out.startswith("Not shown: it ")
    # A certain gain is shown.
    days = pd.date_range("2022-01-01", periods=400, name="date")
    pd.DataFrame({"returns": 0.0018 + 0.01 * rng.standard_normal(400)}, index=days).to_csv("returns.csv")
    assert run(capsys, "verify", "returns.csv", "--trials", "2", "--worlds", "0")[0] == 0


def test_the_holdout_of_a_workspace_stays_shut(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from market.panel_store import load_panel

    panel = load_panel(home / "data" / "toy.parquet")
    values = slow(np.random.default_rng(9), panel.shape)
    frame = pd.DataFrame(values, index=pd.DatetimeIndex(panel.times, name="ts"), columns=panel.assets)
    frame.to_csv(home / "signals.csv")
    code, out, _ = run(capsys, "verify", "signals.csv", "--kind", "signals", "--worlds", "0", "--json")
    document = json.loads(out)
    assert code == 3
    assert pd.Timestamp(document["end"]) < pd.Timestamp(panel.times[int(0.86 * len(panel.times))])
    assert any("holdout stays shut" in note for note in document["notes"])


def test_rows_further_apart_than_bars_are_kept_until_the_next() -> None:
    case = _cases()["a real signal"]
    weekly = case.frame.iloc[::5]
    found = verify(weekly, case.panel, case.terms)
    assert any("about 5 bars" in note for note in found.notes)
    assert found.bars > BARS - START - 20


def test_names_are_found_whatever_signs_they_have() -> None:
    panel = panel_of(returns_of(np.random.default_rng(10), 12))
    panel = replace(panel, assets=tuple(f"A{k:02d}USDT" for k in range(12)))
    frame = framed(slow(np.random.default_rng(11), panel.shape), panel)
    frame.columns = [name.replace("USDT", "/USDT") for name in panel.assets]
    claim = read_claim(frame, ReadingAs("signals"))
    found = judge(claim, panel, Terms(1, worlds=0))
    assert found.assets == 12
    with pytest.raises(InputError, match="two columns are the asset"):
        judge(read_claim(frame.assign(**{"A00-USDT": 1.0}), ReadingAs("signals")), panel, Terms(1, worlds=0))


def test_the_action_passes_the_verdict_on_to_a_pipeline(tmp_path: Path) -> None:
    """Its script, with the command as a pipeline has it, and inputs that a shell would read as its own."""
    rng = np.random.default_rng(12)
    days = pd.date_range("2022-01-01", periods=300, name="date")
    pd.DataFrame({"returns": 0.01 * rng.standard_normal(300)}, index=days).to_csv(tmp_path / "a $(touch x).csv")
    command = tmp_path / "bin" / "alphaglow"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m agent "$@"\n')
    command.chmod(0o755)
    (command.parent / "python").symlink_to(sys.executable)
    inputs = {"CLAIM": "a $(touch x).csv", "TRIALS": "4", "OPTIONS": "--worlds\n0\n", "PAGE": "page.html"}
    outside = {"GITHUB_OUTPUT": "outputs", "GITHUB_STEP_SUMMARY": "summary"}
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    script = Path(__file__).resolve().parents[2] / "action" / "verify.sh"
    ended = subprocess.run(
        ["bash", str(script)], cwd=tmp_path, env={**os.environ, **inputs, **outside, "PATH": path}, check=False
    )
    assert ended.returncode == 3
    assert "shown=false\nsentence=Not shown: it does not earn" in (tmp_path / "outputs").read_text()
    assert "as the best of 4 trials" in (tmp_path / "summary").read_text()
    assert (tmp_path / "page.html").is_file()
    assert not (tmp_path / "x").exists()


def test_a_ticker_that_is_called_like_a_column_of_times_is_a_ticker() -> None:
    frame = pd.DataFrame(
        {"": pd.date_range("2021-01-04", periods=3).astype(str), "T": [0.1, 0.2, 0.3], "F": [1.0, 2.0, 3.0]}
    )
    claim = read_claim(frame, ReadingAs("signals"))
    assert claim.assets == ("T", "F")
    assert str(claim.times[0])[:10] == "2021-01-04"


def test_closes_may_have_tickers_that_are_names_of_prices(tmp_path: Path) -> None:
    from agent.verify.judged_data import judged_data

    rng = np.random.default_rng(13)
    panel = replace(
        panel_of(returns_of(rng, 12)), assets=("A", "C", "L", "O", "T", "H", "V", "F", "K", "D", "GE", "MS")
    )
    closes = pd.DataFrame(panel["close"], index=pd.DatetimeIndex(panel.times, name="date"), columns=panel.assets)
    closes.to_csv(tmp_path / "closes.csv")
    frame = framed(slow(rng, panel.shape), panel)
    terms = Terms(1, worlds=0, reading=ReadingAs("signals"))
    claim = read_claim(frame, terms.reading)
    read = judged_data(None, str(tmp_path / "closes.csv"), needed=True, assets=claim.assets)
    assert read.panel is not None
    assert set(read.panel.assets) == set(panel.assets)
    assert judge(claim, read.panel, terms).predicts == verify(frame, closes, terms).predicts


def test_positions_outside_of_the_universe_are_traded_and_named() -> None:
    case = _cases()["the market itself"]
    narrow = replace(case.panel, universe=case.panel.universe & (np.arange(case.panel.shape[1]) < 24))
    wide, found = (verify(case.frame, panel, case.terms) for panel in (case.panel, narrow))
    assert found.traded.sharpe_gross == wide.traded.sharpe_gross
    assert any("33% of the positions lie outside" in note for note in found.notes)


def test_claims_that_fit_no_bar_or_no_asset_are_refused_in_words_people_use() -> None:
    panel = panel_of(returns_of(np.random.default_rng(10), 12))
    frame = framed(slow(np.random.default_rng(11), panel.shape), panel)
    shifted = frame.set_index(frame.index + pd.Timedelta("12h"))
    with pytest.raises(InputError, match=r"lie on no bar of .*, the first at \d{4}-\d\d-\d\d 12:00; times are those"):
        judge(read_claim(shifted, ReadingAs("signals")), panel, Terms(1, worlds=0))
    strange = frame.set_axis([f"?{k}" for k in range(frame.shape[1])], axis=1)
    with pytest.raises(InputError, match=r"it has .*: rename those of the file"):
        judge(read_claim(strange, ReadingAs("signals")), panel, Terms(1, worlds=0))
    with pytest.raises(InputError, match=f"two columns are named {panel.assets[0]}; keep one"):
        read_claim(pd.concat([frame, frame.iloc[:, :1]], axis=1), ReadingAs("signals"))
