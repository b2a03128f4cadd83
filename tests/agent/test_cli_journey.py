"""The program as its user meets it: every command, good input and bad."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agent.cli import demo_stages
from agent.flow import evaluation
from agent.study.settings import Settings
from tests.agent.commands import as_json, refused, run


def test_help_loads_no_heavy_library() -> None:
    script = (
        "import sys\n"
        "from agent.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'ccxt', 'numba', 'sqlalchemy', 'openai'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_eval_scores_the_loose_form_and_says_what_it_means(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = as_json(capsys, "eval", "zscore(close, 20) * rank(volume)", "--data", "toy")
    assert card["text"].count("ts_zscore(close, 20)") == 1
    assert "cs_rank(volume)" in card["text"]
    assert card["scorecard"]["train"]["n_bars"] > card["scorecard"]["validation"]["n_bars"] > 0
    assert "holdout" not in card["scorecard"]


def test_eval_knows_published_factors_by_name_and_says_what_is_new(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = as_json(capsys, "eval", "ts_mean(alpha101_012, 5)", "--data", "toy")
    assert "sign(ts_delta(volume, 1))" in card["text"]
    assert "shares" in card["novelty"][0]
    assert "Alpha#12" in card["novelty"][0]
    known = as_json(capsys, "eval", "-1 * ts_corr(open, volume, 10)")
    assert as_json(capsys, "eval", "-ts_corr(open, volume, 10)")["factor"] == known["factor"]
    assert known["novelty"] == ["identical to a known factor: Alpha139 of GTJA 191 (2017)"]
    mixed = as_json(capsys, "eval", "close + volume")
    assert mixed["warnings"] == ["close + volume: close is a price, volume a volume"]
    assert "price" in refused(capsys, "eval", "close + volume", "--strict")
    assert "first bar" in refused(capsys, "eval", "close / cum_max(close)")
    spoken = as_json(capsys, "eval", "df['close'].rolling(5).mean() / df['close']")
    assert spoken["text"] == "ts_mean(close, 5) / close"


def test_translate_names_every_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys, "translate", "--from", "qlib", "IdxMax($high, 5) + WMA($close, 10) / $close")
    assert found["text"] == "5 + ts_decay_linear(close, 10) / (10 * close) - ts_argmax(high, 5)"
    assert (found["lookback"], found["dimension"]) == (9, "ratio")
    assert len(found["notes"]) == 3
    code, out, err = run(capsys, "translate", "--to", "qlib", "rsi(14) > 50 ? ts_zscore(close, 5) : 0")
    assert code == 2
    assert "rsi" in err
    for target, piece in {"pandas": "def factor(", "polars": "pl.col", "latex": r"\frac", "text": "divided by"}.items():
        code, out, err = run(capsys, "translate", "--to", target, "mean(close, 5) / close")
        assert (code, err) == (0, "")
        assert piece in out
    path = tmp_path / "factor.py"
    path.write_text("def f(df):\n    return df['close'].shift(-1)\n")
    assert "line 2" in refused(capsys, "translate", "--file", str(path))
    assert "--file" in refused(capsys, "translate")
    assert "cannot read" in refused(capsys, "translate", "--file", str(tmp_path / "none.py"))
    assert "divide each" in refused(capsys, "translate", "--strict", "close + volume")


def test_every_operator_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "operators", "macd")
    assert code == 0
    assert "Short for: ts_ema(x, fast) - ts_ema(x, slow)" in out
    assert "ts_hma" in refused(capsys, "operators", "ts_hm")


def test_same_question_same_answer(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = as_json(capsys, "eval", "cs_rank(ts_mean(volume, 12) / ts_mean(volume, 96))")
    second = as_json(capsys, "eval", "cs_rank(ts_mean(volume, 12) / ts_mean(volume, 96))")
    # It is known by then.
    assert first.pop("novelty") != second.pop("novelty")
    assert first.pop("detectable") == second.pop("detectable")
    assert first == second


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ts_meen(close, 20)", "ts_mean"),
        ("ts_mean(clse, 20)", "close"),
        ("ts_mean(close)", "ts_mean"),
        ("ts_delay(close, -1)", "future"),
        ("ts_mean(close, 99999)", "window"),
        ("", "empty"),
        ("close +", "end"),
        ("close - close", "is 0 for every asset"),
        ("log(0 - close)", "NaN"),
    ],
)
def test_a_bad_factor_is_refused_in_words(home: Path, capsys: pytest.CaptureFixture[str], text: str, says: str) -> None:
    assert says.lower() in refused(capsys, "eval", text, "--data", "toy").lower()


def test_import_wide_and_long_and_refuse_bad_rows(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    times = pd.date_range("2024-01-01", periods=50, freq="h", tz="UTC")
    rng = np.random.default_rng(3)
    frames = []
    for symbol in ("AAA", "BBB"):
        close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, 50)))
        frames.append(
            pd.DataFrame(
                {
                    "time": times,
                    "ticker": symbol,
                    "o": close,
                    "h": close * 1.01,
                    "l": close * 0.99,
                    "last": close,
                    "v": 5.0,
                }
            )
        )
    long = pd.concat(frames)
    path = home.parent / "long.csv"
    long.to_csv(path, index=False)
    shown = as_json(capsys, "data", "import", str(path), "--name", "ok", "--column", "close=last")
    assert (shown["bars"], shown["assets"], shown["bar_minutes"]) == (50, 2, 60.0)
    bad = long.copy()
    bad.loc[bad.index[3], "h"] = 1.0
    bad.to_csv(home.parent / "bad.csv", index=False)
    message = refused(capsys, "data", "import", str(home.parent / "bad.csv"), "--name", "bad", "--column", "close=last")
    assert "high" in message
    assert not (home / "data" / "bad.parquet").exists()


def test_one_asset_cross_section_is_refused_with_the_way_out(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "data", "synth", "--assets", "3", "--bars", "2500", "--name", "three")
    assert code == 0, err
    assert "timeseries" in refused(capsys, "eval", "cs_rank(close)", "--data", "three")


def test_no_workspace_no_data_no_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "alphaglow init" in refused(capsys, "data", "show")
    run(capsys, "init", "w")
    assert "already" in refused(capsys, "init", "w")
    monkeypatch.chdir(tmp_path / "w")
    assert "import" in refused(capsys, "eval", "close")
    run(capsys, "data", "synth", "--bars", "2500", "--name", "toy")
    assert "OPENAI_API_KEY" in refused(capsys, "mine", "--llm", "openai", "--model", "x")
    local = ("mine", "--llm", "openai", "--model", "x", "--base-url", "http://127.0.0.1:9/v1")
    assert "--budget-tokens" in refused(capsys, *local)
    assert "--budget-usd needs a price" in refused(capsys, *local, "--budget-usd", "5")
    Path("alphaglow.toml").write_text("[llm]\ntries = 1\n")
    unreachable = refused(capsys, *local, "--budget-tokens", "100000")
    assert "127.0.0.1:9" in unreachable
    assert "price" in refused(
        capsys, "mine", "--llm", "openai", "--model", "x", "--base-url", "http://127.0.0.1:9/v1", "--budget-usd", "1"
    )
    assert "nope" in refused(capsys, "mine", "--resume", "nope")
    assert "nope" in refused(capsys, "report", "nope")


def test_wrong_setting_names_the_key(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "alphaglow.toml").write_text("[backtest]\nhodling = 3\n")
    assert "backtest.hodling" in refused(capsys, "eval", "close")


def test_gate_mine_report_kb(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    # All that `flow eval` does, on fewer states: a mixture of 20 000, and 800 places of each anomaly, take a minute.
    monkeypatch.setattr(evaluation, "_ROWS", 1500)
    monkeypatch.setattr(evaluation, "evaluate_flow", partial(evaluation.evaluate_flow, places=60))
    (home / "alphaglow.toml").write_text("[gate]\nepochs = 2\nmax_rows = 2000\nsteps = 1\nhidden = 16\n")
    refused(capsys, "flow", "eval")
    trained = as_json(capsys, "flow", "fit")
    assert Path(trained["checkpoint"]).is_file()
    shown = as_json(capsys, "flow", "eval", "--periods", "6")
    assert all(row["exposure"] is None or 0 <= row["exposure"] <= 1 for row in shown["periods"])
    mined = as_json(capsys, "mine", "--llm", "mock", "--rounds", "2", "--candidates", "4")
    assert (mined["status"], mined["attempts"]) == ("finished", 8)
    made = as_json(capsys, "report", mined["run"])
    html = Path(made["report"]).read_text(encoding="utf-8")
    assert "simulated" in html.lower()
    assert "<svg" in html
    listed = as_json(capsys, "kb", "list", "--all")
    assert len(listed["attempts"]) == 8
    factor = mined["factors"][0]["factor"]
    assert as_json(capsys, "kb", "show", factor)["factor_id"] == factor
    assert Path(as_json(capsys, "report", factor)["report"]).is_file()
    assert isinstance(as_json(capsys, "kb", "lessons"), list)
    code, out, _ = run(capsys, "kb", "export", "--format", "csv")
    assert code == 0
    assert len(out.strip().splitlines()) >= 9
    opened = as_json(capsys, "holdout", factor, "--yes")
    assert opened["n_bars"] > 0
    assert "opened" in refused(capsys, "holdout", factor, "--yes")


def test_budget_stops_and_resume_finishes(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = as_json(capsys, "mine", "--llm", "mock", "--rounds", "2", "--candidates", "3", "--budget-calls", "5")
    assert first["status"] == "budget"
    assert first["calls"] <= 5
    rest = as_json(capsys, "mine", "--resume", first["run"], "--budget-calls", "500")
    assert (rest["status"], rest["attempts"]) == ("finished", 6)


def test_three_coins_are_mined_as_time_series(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "data", "synth", "--assets", "3", "--bars", "2500", "--name", "three")[0] == 0
    (home / "alphaglow.toml").write_text('[backtest]\nweighting = "timeseries"\n')
    mined = as_json(capsys, "mine", "--data", "three", "--llm", "mock", "--rounds", "2", "--candidates", "4")
    assert mined["evaluated"] > 0
    card = as_json(capsys, "eval", "ts_returns(close, 24)", "--data", "three")["scorecard"]
    # No cross-section of three: each coin's own time series, pooled with a panel error.
    assets = card["profiles"]["train"]["assets"]
    assert [one["asset"] for one in assets] == ["AUR", "BOR", "CAD"]
    assert card["train"]["rank_ic"] == pytest.approx(sum(one["ic"] for one in assets) / 3)
    assert card["profiles"]["train"]["horizons"] == []
    assert card["train"]["sharpe_net"] is not None
    report = as_json(capsys, "report", mined["run"])
    assert Path(report["report"]).is_file()


def test_a_read_only_workspace_is_one_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "data" / "toy2.parquet").mkdir()
    assert "toy2" in refused(capsys, "data", "synth", "--name", "toy2", "--bars", "500", "--replace")
    (home / "knowledge.db").write_bytes(b"this is not a database, whatever its name says" * 50)
    assert "knowledge.db" in refused(capsys, "kb", "list")


def test_the_demo_sets_what_it_needs_and_leaves_every_other_default(tmp_path: Path) -> None:
    stage = demo_stages.prepare(tmp_path / "demo", seed=3, rounds=1, candidates=1)
    ours, theirs = stage.workspace.settings.model_dump(), Settings().model_dump()
    apart = {
        (section, name): value
        for section, values in ours.items()
        for name, value in values.items()
        if value != theirs[section][name]
    }
    assert apart == {
        ("gate", "epochs"): 12,
        ("gate", "max_rows"): 30000,
        ("gate", "measure"): "likelihood",
        ("gate", "neutral"): True,
    }
