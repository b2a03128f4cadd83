"""Every kind of defect planted at a known place is found there, a clean market raises no alarm, repairs repair."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from agent.cli.main import cli
from market.checks.all_checks import check_panel
from market.checks.finding import CheckLimits, Finding
from market.checks.repairs import REPAIRS, repair_panel
from market.checks.source import check_file
from market.errors import InputError
from market.manifest import read_manifest
from market.panel import Panel
from market.panel_store import load_panel, save_panel
from market.synthetic.demo_market import SynthSpec, make_market

BARS, AT, ASSET = 3000, 1500, 3
Fields = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def clean() -> Panel:
    return make_market(SynthSpec(bars=BARS, crashes=0)).panel


def alarms(panel: Panel) -> list[Finding]:
    """Findings that ask for something, that is all but notes."""
    return [finding for finding in check_panel(panel).findings if finding.severity != "note"]


def changed(panel: Panel, change: Callable[[Fields], None], **options: object) -> Panel:
    fields = {name: values.copy() for name, values in panel.fields.items()}
    change(fields)
    universe = np.isfinite(fields["close"])
    return Panel(panel.times, panel.assets, fields, universe, panel.bar, simulated=True, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [7, 8, 9])
def test_a_clean_market_raises_no_alarm(seed: int) -> None:
    assert alarms(make_market(SynthSpec(bars=BARS, seed=seed, crashes=0)).panel) == []
    # In crashes prices fall and rebound like a wrong print; volume says that they were traded.
    assert [f for f in alarms(make_market(SynthSpec(bars=BARS, seed=seed)).panel) if f.severity == "defect"] == []


def drop(fields: Fields, rows: slice, column: int) -> None:
    for values in fields.values():
        values[rows, column] = np.nan


def hole(fields: Fields) -> None:
    drop(fields, slice(AT, AT + 7), ASSET)


def zero_volume(fields: Fields) -> None:
    fields["volume"][AT : AT + 3, ASSET] = 0.0


def flat(fields: Fields) -> None:
    for name in ("open", "high", "low", "close"):
        fields[name][AT : AT + 8, ASSET] = fields["close"][AT - 1, ASSET]


def stuck(fields: Fields) -> None:
    fields["volume"][AT : AT + 6, ASSET] = fields["volume"][AT, ASSET]


def copied(fields: Fields) -> None:
    for values in fields.values():
        values[AT : AT + 4, ASSET] = values[AT : AT + 4, ASSET + 1]


def spike(fields: Fields) -> None:
    for name in ("open", "high", "low", "close"):
        fields[name][AT, ASSET] *= 1.5


def bad_open(fields: Fields) -> None:
    fields["open"][AT, ASSET] *= 0.6
    fields["low"][AT, ASSET] = fields["open"][AT, ASSET]


def bad_order(fields: Fields) -> None:
    fields["high"][AT, ASSET] = fields["low"][AT, ASSET] * 0.99


def no_open(fields: Fields) -> None:
    fields["open"][AT, ASSET] = np.nan


def wick(fields: Fields) -> None:
    fields["low"][AT, ASSET] *= 0.3


def redenominate(factor: float) -> Callable[[Fields], None]:
    def change(fields: Fields) -> None:
        for name in ("open", "high", "low", "close"):
            fields[name][AT:, ASSET] *= factor
        fields["volume"][AT:, ASSET] /= factor

    return change


def spin_off(fields: Fields) -> None:
    for name in ("open", "high", "low", "close"):
        fields[name][AT:, ASSET] *= 0.62


def reuse(fields: Fields) -> None:
    drop(fields, slice(AT - 400, AT), ASSET)
    for name in ("open", "high", "low", "close"):
        fields[name][AT:, ASSET] *= 4000.0


PLANTED: list[tuple[Callable[[Fields], None], str, str, int, int]] = [
    (hole, "gap", "defect", AT, AT + 6),
    (zero_volume, "zero_volume", "defect", AT, AT + 2),
    (flat, "stale", "defect", AT - 1, AT + 7),
    (stuck, "stuck_volume", "defect", AT, AT + 5),
    (copied, "copied", "defect", AT, AT + 3),
    (spike, "spike", "defect", AT, AT),
    (bad_open, "spike", "defect", AT, AT),
    (bad_order, "order", "defect", AT, AT),
    (no_open, "partial", "defect", AT, AT),
    (wick, "wick", "doubtful", AT, AT),
    (redenominate(0.001), "redenomination", "defect", AT, AT),
    (redenominate(0.1), "redenomination", "defect", AT, AT),
    (redenominate(100.0), "redenomination", "defect", AT, AT),
    (redenominate(0.5), "redenomination", "defect", AT, AT),
    (spin_off, "adjustment", "defect", AT, AT),
    (reuse, "reuse", "defect", AT - 401, AT),
]


@pytest.mark.parametrize(("plant", "kind", "severity", "first", "last"), PLANTED)
def test_what_is_planted_is_found_where_it_is(
    clean: Panel, plant: Callable[[Fields], None], kind: str, severity: str, first: int, last: int
) -> None:
    panel = changed(clean, plant)
    raised = alarms(panel)
    found = [f for f in raised if f.kind == kind]
    assert [(f.severity, f.start, f.end) for f in found] == [(severity, panel.times[first], panel.times[last])]
    # A copied bar is named once, under the first of the two.
    assert {found[0].asset, found[0].other} & {panel.assets[ASSET]}
    # Nothing happened to any other asset or at any other time.
    near = (panel.times[AT - 401], panel.times[AT + 8])
    assert all(near[0] <= f.start <= near[1] and panel.assets[ASSET] in (f.asset, f.other) for f in raised)


@pytest.mark.parametrize("hours", [-8, -1, 5])
def test_an_asset_on_another_clock_is_found_with_its_hours(clean: Panel, hours: int) -> None:
    def change(fields: Fields) -> None:
        for values in fields.values():
            values[AT:, ASSET] = np.roll(values[:, ASSET], hours)[AT:]

    found = [f for f in alarms(changed(clean, change)) if f.kind == "clock"]
    assert len(found) == 1
    assert (found[0].asset, found[0].figure) == (clean.assets[ASSET], hours)
    # Segments of 500 bars: the edge is known to one of them.
    assert abs(float((found[0].start - clean.times[AT]) / clean.bar)) <= 500
    assert found[0].end >= clean.times[-10]


def test_a_month_of_the_whole_market_on_another_clock_is_doubtful() -> None:
    panel = make_market(SynthSpec(bars=24 * 200)).panel
    month = panel.times.astype("datetime64[M]") == np.datetime64("2024-04")

    def change(fields: Fields) -> None:
        rows = np.flatnonzero(month)
        fields["volume"][rows] = fields["volume"][rows - 6]

    found = [f for f in alarms(changed(panel, change)) if f.kind == "clock"]
    assert [(f.asset, f.severity, f.figure) for f in found] == [("", "doubtful", 6.0)]
    assert found[0].start == np.datetime64("2024-04-01")


def test_missing_hours_of_the_whole_market_and_stamps_off_the_grid(clean: Panel) -> None:
    keep = np.ones(BARS, dtype=bool)
    keep[AT : AT + 3] = False
    times = clean.times.copy()
    times[-1] += np.timedelta64(20, "m")
    panel = Panel(
        times[keep], clean.assets, {n: v[keep] for n, v in clean.fields.items()}, clean.universe[keep], clean.bar
    )
    found = {f.kind: f for f in alarms(panel)}
    assert set(found) == {"gap", "clock"}
    assert (found["gap"].asset, found["gap"].figure, found["gap"].start) == ("", 3.0, clean.times[AT])
    assert (found["clock"].figure, found["clock"].start) == (20.0, times[-1])


def test_survivors_are_counted_and_a_panel_without_deaths_is_doubtful(clean: Panel) -> None:
    def end(fields: Fields) -> None:
        drop(fields, slice(AT, None), ASSET)

    (found,) = [f for f in check_panel(changed(clean, end)).findings if f.kind == "survivorship" and not f.asset]
    assert (found.severity, round(found.figure * 12)) == ("note", 1)
    assert "1 of 12 assets ended" in found.sentence
    # Daily bars make eight years of the same figures.
    day = np.timedelta64(1, "D").astype("timedelta64[ns]")
    times = np.datetime64("2015-01-01", "ns") + day * np.arange(BARS)
    survivors = Panel(times, clean.assets, clean.fields, clean.universe, day)
    (found,) = [f for f in check_panel(survivors).findings if f.kind == "survivorship"]
    assert (found.severity, found.figure) == ("doubtful", 0.0)


def test_prices_adjusted_backwards_show_in_the_tick_and_in_the_second_column(clean: Panel) -> None:
    day = np.timedelta64(1, "D").astype("timedelta64[ns]")
    times = np.datetime64("2015-01-01", "ns") + day * np.arange(BARS)
    fields = {name: values if name == "volume" else np.round(values + 1, 2) for name, values in clean.fields.items()}
    quoted = Panel(times, clean.assets, fields, clean.universe, day, "exchange")
    assert not [f for f in check_panel(quoted).findings if f.kind == "adjusted"]

    def adjust(values: Fields) -> None:
        for name in ("open", "high", "low", "close"):
            values[name][:AT, ASSET] *= 0.9731

    adjusted = Panel(times, clean.assets, changed(quoted, adjust).fields, clean.universe, day, "exchange")
    (found,) = [f for f in check_panel(adjusted).findings if f.kind == "adjusted"]
    assert found.asset == clean.assets[ASSET]
    assert abs(int((found.end - times[AT - 1]) / day)) <= 60
    both = adjusted.with_fields({"adj_close": adjusted["close"], "close": quoted["close"]})
    (found,) = [f for f in check_panel(both).findings if f.kind == "adjusted"]
    assert (found.asset, found.end) == (clean.assets[ASSET], times[AT - 1])
    assert found.figure == pytest.approx(0.9731)


def test_thin_trading_is_one_doubtful_finding_not_many_defects(clean: Panel) -> None:
    def thin(fields: Fields) -> None:
        fields["volume"][::5, ASSET] = 0.0

    (found,) = alarms(changed(clean, thin))
    assert (found.kind, found.severity, found.figure) == ("zero_volume", "doubtful", pytest.approx(0.2))


def test_thresholds_are_parameters(clean: Panel) -> None:
    def small(fields: Fields) -> None:
        for name in ("open", "high", "low", "close"):
            fields[name][AT, ASSET] *= 1.04

    panel = changed(clean, small)
    assert alarms(panel) == []
    found = check_panel(panel, CheckLimits(spike=3.0, least_move=0.03, quiet=2.0)).findings
    assert ("spike", panel.times[AT]) in {(f.kind, f.start) for f in found}


@pytest.mark.parametrize("factor", [0.001, 0.1, 100.0, 0.5])
def test_a_mended_redenomination_gives_the_old_returns(clean: Panel, factor: float) -> None:
    panel = changed(clean, redenominate(factor))
    repaired, notes = repair_panel(panel, check_panel(panel).findings, ["redenomination"])
    assert len(notes) == 1
    assert alarms(repaired) == []
    np.testing.assert_allclose(repaired["close"] / factor ** (np.arange(12) == ASSET), clean["close"], rtol=1e-12)
    np.testing.assert_allclose(repaired.money, clean.money, rtol=1e-12)


REPAIRABLE = [(plant, kind) for plant, kind, *_ in PLANTED if kind in REPAIRS and kind != "redenomination"]


@pytest.mark.parametrize(("plant", "kind"), REPAIRABLE)
def test_a_repair_leaves_nothing_of_that_kind_and_changes_no_other_asset(
    clean: Panel, plant: Callable[[Fields], None], kind: str
) -> None:
    panel = changed(clean, plant)
    repaired, notes = repair_panel(panel, check_panel(panel).findings, [kind])
    assert len(notes) == 1
    assert not [f for f in alarms(repaired) if f.kind == kind]
    others = [n for n in range(12) if n not in ((ASSET, ASSET + 1) if kind == "copied" else (ASSET,))]
    for name, values in panel.fields.items():
        np.testing.assert_array_equal(repaired[name][:, others], values[:, others])
    # What is left out is missing, never made up: apart from scaling and splitting, prices are old ones or none.
    if kind not in ("adjustment", "reuse", "order"):
        kept = np.isfinite(repaired["close"])
        np.testing.assert_array_equal(repaired["close"][kept], panel["close"][kept])
    assert not (repaired.universe & ~np.isfinite(repaired["close"])).any()


def test_no_repair_for_what_cannot_be_mended(clean: Panel) -> None:
    with pytest.raises(InputError, match="no repair for clock"):
        repair_panel(clean, [], ["clock"])


def test_the_command_checks_repairs_records_and_draws(clean: Panel, tmp_path: Path) -> None:
    runner = CliRunner()
    base = ["-w", str(tmp_path / "w")]
    assert runner.invoke(cli, ["init", str(tmp_path / "w")]).exit_code == 0
    panel = changed(clean, redenominate(0.01))
    save_panel(panel, tmp_path / "w" / "data" / "m.parquet")
    drawn = tmp_path / "m.svg"
    found = runner.invoke(cli, [*base, "data", "check", "m", "--json", "--picture", str(drawn)])
    assert found.exit_code == 0
    (report,) = json.loads(found.stdout)["reports"]
    assert report["counts"]["redenomination"] == {"defect": 1, "doubtful": 0, "note": 0}
    assert "redenomination, DYS" in drawn.read_text()
    page = tmp_path / "m.html"
    assert runner.invoke(cli, [*base, "data", "check", "m", "--picture", str(page)]).exit_code == 0
    assert "Health of m" in page.read_text() and "a new unit: price by a round factor" in page.read_text()
    before = (tmp_path / "w" / "data" / "m.parquet").read_bytes()
    repaired = runner.invoke(cli, [*base, "data", "check", "m", "--repair", "redenomination", "--json"])
    assert repaired.exit_code == 0
    assert (tmp_path / "w" / "data" / "m.parquet").read_bytes() == before
    manifest = read_manifest(tmp_path / "w" / "data" / "m-repaired.parquet")
    assert manifest is not None
    assert (manifest.source, manifest.parent) == ("repair", panel.id)
    assert len(manifest.repairs) == 1
    assert manifest.repairs[0].startswith("redenomination: DYS")
    assert alarms(load_panel(tmp_path / "w" / "data" / "m-repaired.parquet")) == []


def test_rows_of_a_file_that_repeat_or_lack_a_time_are_named(clean: Panel, tmp_path: Path) -> None:
    frame = pd.DataFrame({"ts": clean.times, "symbol": "A", **{n: v[:, 0] for n, v in clean.fields.items()}})
    pd.concat([frame.head(50), frame.iloc[[20]], frame.iloc[50:200]]).to_csv(tmp_path / "x.csv", index=False)
    report, panel = check_file(tmp_path / "x.csv")
    assert panel is not None
    assert panel.shape == (200, 1)
    assert {f.kind for f in report.findings} == {"duplicate"}


def test_funding_and_open_interest_tables(tmp_path: Path) -> None:
    times = pd.date_range("2024-01-01", periods=400, freq="8h", tz="UTC")
    odd = pd.date_range("2024-02-01 02:00", "2024-02-02 22:00", freq="2h", tz="UTC")
    stamps = times.union(odd).delete([200, 201])
    level = np.full(len(stamps), 1000.0)
    level[300:] = 1500.0
    pd.DataFrame({"ts": stamps, "symbol": "X", "open_interest": level}).to_parquet(tmp_path / "oi.parquet")
    report, panel = check_file(tmp_path / "oi.parquet")
    assert panel is None
    assert report.counts["interval"]["doubtful"] == 1
    assert report.counts["gap"]["defect"] == 1
    assert next(f for f in report.findings if f.kind == "gap").figure == 2
    assert next(f for f in report.findings if f.kind == "jump").figure == pytest.approx(0.5)


# ---- the recorded files, against what their README lists


def found(report_of: list[Finding], kind: str) -> set[tuple[str, str]]:
    return {(f.asset, str(f.start)[:10]) for f in report_of if f.kind == kind}


def test_the_listed_defects_of_the_recorded_files(shared_data: Path) -> None:
    daily = list(check_file(shared_data / "crypto_spot_1d.parquet")[0].findings)
    assert found(daily, "redenomination") == {
        ("SUNUSDT", "2021-06-18"), ("VIDTUSDT", "2022-11-09"), ("BNXUSDT", "2023-02-22"), ("QUICKUSDT", "2023-07-21"),
    }  # fmt: skip
    assert next(f.figure for f in daily if f.kind == "gap" and f.asset == "CVCUSDT") == 153
    assert sum(f.kind == "survivorship" and bool(f.asset) for f in daily) == 41
    stocks = list(check_file(shared_data / "equity_sp500_1d_2013_2018.parquet")[0].findings)
    listed = {"BAX", "EBAY", "NI", "DISCA"}
    assert listed <= {asset for asset, _ in found(stocks, "adjustment")}
    assert ("LNT", "2016-05-19") in found(stocks, "spike")
    assert sum(f.kind == "order" for f in stocks) == 12
    assert sum(f.kind == "partial" for f in stocks) == 11
    assert {"DHR", "O", "ES"} <= {asset for asset, _ in found(stocks, "gap")}


def test_luna_and_luna2_under_one_ticker_are_distinguished(shared_data: Path, tmp_path: Path) -> None:
    frame = pd.read_parquet(shared_data / "crypto_spot_1h.parquet")
    coins = ["BTCUSDT", "ETHUSDT", "BNBUSDT", "ADAUSDT", "XRPUSDT", "SOLUSDT", "LUNAUSDT", "LUNA2USDT"]
    frame = frame[frame["symbol"].isin(coins) & (frame["ts"] > "2022-02-01") & (frame["ts"] < "2022-10-01")]
    frame = frame.assign(symbol=frame["symbol"].replace("LUNA2USDT", "LUNAUSDT"))
    frame.sort_values(["symbol", "ts"]).to_parquet(tmp_path / "luna.parquet", index=False)
    findings = check_file(tmp_path / "luna.parquet")[0].findings
    (reused,) = [f for f in findings if f.kind == "reuse"]
    assert (reused.asset, str(reused.end)[:10]) == ("LUNAUSDT", "2022-05-31")
    assert not [f for f in findings if f.severity == "defect" and f.kind not in ("reuse", "gap")]
