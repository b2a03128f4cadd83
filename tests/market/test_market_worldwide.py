"""Files of brokers, exchanges, central banks and spreadsheets of many countries are read right, or asked about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from market.errors import InputError
from market.files import import_as
from market.panel import Panel
from market.panel_store import load_panel
from market.reading.conventions import FileConventions
from tests.market.case_truths import invoke, options_of
from tests.market.foreign_texts import DAY, HOUR
from tests.market.own_shapes import FIELDS, lines, text
from tests.market.worldwide_files import files

AUTO = FileConventions()
# A question of the file's: the option that the refusal names reads it.
ASKED = {
    "shfe.csv", "bundesbank.csv", "ecb.csv", "snb.csv", "oecd.csv", "bcb.csv", "ddmmyyyy.csv", "yymmdd.csv", "mtu.csv",
}  # fmt: skip
# Rightly refused, but for what only names or another form of the file can say.
NO_HEADER = {"kabu_all.csv", "poloniex.json"}


def wrong_with(panel: Panel, truth: dict[str, pd.DataFrame]) -> str:
    """Return what of a panel is not as the bars of each asset, where assets need not have the same times."""
    if "" in truth or (len(truth) == len(panel.assets) == 1):
        truth = {panel.assets[0]: next(iter(truth.values()))}
    if set(panel.assets) != set(truth):
        return f"assets {panel.assets[:5]}"
    for asset, frame in truth.items():
        column = panel.assets.index(asset)
        there = np.isfinite(panel["close"][:, column])
        known = frame[frame["close"].notna()]
        if not np.array_equal(panel.times[there], known["ts"].to_numpy().astype("datetime64[ns]")):
            return f"times {panel.times[:2]}"
        for name in known.columns.drop("ts"):
            if name not in panel.fields or not np.allclose(panel[name][there, column], known[name], rtol=1e-9):
                return f"{name} of {asset}"
    return ""


def judged(workspace: Path, path: Path, truth: dict[str, pd.DataFrame] | None) -> str:
    """Import a file, then with what its refusal names: read, asked, refused or misread."""
    base = ["data", "import", str(path), "--name", "x", "--replace"]
    code, said = invoke(workspace, *base)
    if code == 0:
        wrong = "not refused" if truth is None else wrong_with(load_panel(workspace / "data" / "x.parquet"), truth)
        return f"misread: {wrong}" if wrong else "read"
    assert code == 2
    named = options_of(said)
    for chosen in ([one for one in named if one[0] == "--column"], named[:1]):
        code = invoke(workspace, *base, *(word for option in chosen for word in option))[0] if chosen else 2
        if code == 0 and truth is not None and not wrong_with(load_panel(workspace / "data" / "x.parquet"), truth):
            return "asked"
    return f"refused: {said}"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    workspace = tmp_path_factory.mktemp("worldwide") / "w"
    assert invoke(workspace.parent, "init", str(workspace))[0] == 0
    out = {}
    for name, data, truth in files():
        (workspace / name).write_bytes(data)
        out[name] = judged(workspace, workspace / name, truth)
    return out


def test_none_is_misread(outcomes: dict[str, str]) -> None:
    assert len(outcomes) >= 80
    assert {name: said for name, said in outcomes.items() if said.startswith("misread")} == {}


def test_each_is_read_or_asked_about(outcomes: dict[str, str]) -> None:
    truths = {name: truth for name, _, truth in files()}
    refused = {name for name, said in outcomes.items() if said.startswith("refused")}
    assert {name: outcomes[name] for name in refused if truths[name] is not None}.keys() == NO_HEADER
    assert {name for name, said in outcomes.items() if said == "asked"} <= ASKED
    assert all("--names" in outcomes[name] for name in NO_HEADER)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("Date,Open,High,Low,Close,Volume,,Date,Open,High,Low,Close,Volume\n" + "".join(
            f"{row},,{row}\n" for row in lines(DAY, "%Y-%m-%d")), "stand side by side, and nothing names their assets"),
        ("Date;Hour;Open;High;Low;Close;Volume\n" + "".join(
            f"20.01.2020;{n};1;1;1;1;1\n" for n in range(1, 26)), "counts 25 hours in a day"),
        ("date,open,high,low,close,volume\n" + "".join(
            row.replace("2020-0", "1398/0").replace("-", "/") + "\n" for row in lines(DAY, "%Y-%m-%d")),
            "Iran's calendar"),
    ],
)  # fmt: skip
def test_what_is_not_read_says_why(tmp_path: Path, data: str, says: str) -> None:
    (tmp_path / "x.csv").write_text(data)
    with pytest.raises(InputError, match=says) as caught:
        import_as([tmp_path / "x.csv"], AUTO)
    assert caught.value.hint


def test_pages_of_a_printed_table_are_no_assets_and_codes_are(tmp_path: Path) -> None:
    head, rows = "date,open,high,low,close,volume", lines(DAY, "%Y-%m-%d")
    for titles, assets in ((("Page 1", "Page 2"), ("x",)), (("AAPL", "MSFT"), ("AAPL", "MSFT"))):
        whole = f"{titles[0]}\n{head}\n" + "\n".join(rows[:20]) + f"\n{titles[1]}\n{head}\n" + "\n".join(rows[20:])
        (tmp_path / "x.csv").write_text(whole + "\n")
        panel = import_as([tmp_path / "x.csv"], AUTO).panel
        assert panel.assets == assets
        assert np.isfinite(panel["close"]).sum() == len(DAY)


def test_a_missing_symbol_is_not_filled_down(tmp_path: Path) -> None:
    rows = [f"{row},{'' if n in (4, 7) else 'A' if n % 2 else 'B'}" for n, row in enumerate(lines(DAY, "%Y-%m-%d"))]
    (tmp_path / "x.csv").write_bytes(text("date,open,high,low,close,volume,symbol", rows))
    with pytest.raises(InputError, match="row 5 has no symbol"):
        import_as([tmp_path / "x.csv"], AUTO)


def test_nanoseconds_of_1990_are_no_ticks(tmp_path: Path) -> None:
    old = HOUR.assign(ts=HOUR["ts"] - HOUR["ts"].iloc[0] + pd.Timestamp("1990-02-01"))
    rows = lines(old, lambda t: f"{t.value}")
    (tmp_path / "x.csv").write_bytes(text("date,open,high,low,close,volume", rows))
    assert wrong_with(import_as([tmp_path / "x.csv"], AUTO).panel, {"x": old}) == ""


def test_days_that_two_programs_could_count_are_asked_about(tmp_path: Path) -> None:
    daily = pd.DataFrame({"ts": pd.date_range("2020-01-01", periods=40)}).assign(**{n: DAY[n] for n in FIELDS})
    rows = lines(daily, lambda t: f"{(t - pd.Timestamp('1970-01-01')).days}")
    (tmp_path / "x.csv").write_bytes(text("date,open,high,low,close,volume", rows))
    with pytest.raises(InputError, match="is a time of day"):
        import_as([tmp_path / "x.csv"], AUTO)


def test_codes_that_begin_with_a_currency_stay_text(tmp_path: Path) -> None:
    rows = [f"{row},{code}" for row in lines(DAY, "%Y-%m-%d") for code in ("EUR1", "USD1")]
    (tmp_path / "x.csv").write_bytes(text("date,open,high,low,close,volume,symbol", rows))
    assert import_as([tmp_path / "x.csv"], AUTO).panel.assets == ("EUR1", "USD1")
