"""A synthetic market has what its spec states: rank ICs by regime, tails, volatility, jumps, lives, anomalies."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy.stats import kurtosis, spearmanr

from agent.cli.main import cli
from market.checks.all_checks import check_panel
from market.errors import InputError
from market.panel import Panel
from market.panel_store import load_panel
from market.synthetic.example import EXAMPLE
from market.synthetic.make import make_synthetic
from market.synthetic.market_spec import ANOMALIES, CALM, CRASH, WILD, Anomaly, MarketSpec, PlantedSignal, read_spec
from market.synthetic.planting import normal_scores, pearson_of, plant_signals

ONE = (replace(CALM, stay=1e9),)


def rank_ics(signal: np.ndarray, panel: Panel) -> np.ndarray:
    """(T - 2,) Spearman correlations of the signal at t with the return from open t+1 to open t+2, by pandas."""
    opens = np.log(panel["open"])
    known = pd.DataFrame(signal[:-2]).where(np.isfinite(opens[2:] - opens[1:-1]))
    paid = pd.DataFrame(opens[2:] - opens[1:-1]).where(known.notna())
    return known.rank(axis=1).corrwith(paid.rank(axis=1), axis=1).to_numpy()


def holds(ics: np.ndarray, stated: float) -> None:
    ics = ics[np.isfinite(ics)]
    error = ics.std() / np.sqrt(len(ics))
    assert abs(ics.mean() - stated) < 3 * error
    # A test that anything passes is none: the error is small against what is stated.
    assert error < max(0.4 * abs(stated), 0.012)


@pytest.mark.parametrize("stated", [0.0, 0.01, 0.03, -0.08, 0.3])
@pytest.mark.parametrize("driver", ["wave", "volume", "funding"])
def test_a_planted_signal_has_its_rank_ic_with_the_next_bars_return(stated: float, driver: str) -> None:
    spec = MarketSpec(seed=3, assets=60, bars=4000, regimes=ONE, signals=(PlantedSignal("s", stated, driver),))
    market = make_synthetic(spec)
    holds(rank_ics(market.truth.signals["s"], market.panel)[170:], stated)


@pytest.mark.parametrize("assets", [5, 12, 200])
def test_the_rank_ic_is_right_for_few_and_many_assets(assets: int) -> None:
    market = make_synthetic(
        MarketSpec(seed=5, assets=assets, bars=60_000 // assets + 2000, regimes=ONE, signals=(PlantedSignal("s", 0.1),))
    )
    holds(rank_ics(market.truth.signals["s"], market.panel), 0.1)


def test_rank_ics_differ_by_regime_and_several_signals_share_one_market() -> None:
    by_regime = {"calm": 0.05, "wild": -0.04, "crash": 0.12}
    spec = MarketSpec(
        seed=1,
        assets=80,
        bars=9000,
        signals=(PlantedSignal("a", by_regime), PlantedSignal("b", -0.06), PlantedSignal("v", 0.04, "volume")),
    )
    market = make_synthetic(spec)
    chain = market.truth.regimes[1:-1]
    for signal in spec.signals:
        ics = rank_ics(market.truth.signals[signal.name], market.panel)
        for number, regime in enumerate(spec.regimes):
            rows = (chain == number) & (np.arange(len(chain)) > 170)
            holds(ics[rows], signal.ic_in(regime.name))


def test_values_of_ones_own_can_be_planted() -> None:
    values = np.random.default_rng(0).normal(size=(3000, 40)) ** 3
    market = make_synthetic(
        MarketSpec(assets=40, bars=3000, regimes=ONE, signals=(PlantedSignal("mine", 0.08, values),))
    )
    assert "mine" not in market.panel.fields
    holds(rank_ics(values, market.panel), 0.08)


def test_the_signal_says_nothing_of_its_own_bar_or_of_the_one_after_the_next() -> None:
    values = np.random.default_rng(0).normal(size=(4000, 60))
    market = make_synthetic(
        MarketSpec(assets=60, bars=4000, regimes=ONE, signals=(PlantedSignal("mine", 0.2, values),))
    )
    for shift in (-1, 1):
        holds(rank_ics(np.roll(values, shift, axis=0), market.panel)[2:-2], 0.0)


def test_planting_keeps_every_bars_moves_and_each_assets_volatility() -> None:
    rng = np.random.default_rng(0)
    sizes = np.linspace(0.5, 2.0, 40)
    moves = rng.standard_t(4, (3000, 40)) * sizes
    planted = plant_signals(moves, [rng.normal(size=(3000, 40))], np.full((3000, 1), 0.05), rng)
    np.testing.assert_array_equal(np.sort(planted, axis=1), np.sort(moves, axis=1))
    assert spearmanr(planted.std(axis=0), sizes).statistic > 0.95


def test_normal_scores_and_morans_formula() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 9))
    values[3, 4] = np.nan
    scores = normal_scores(values, rng)
    np.testing.assert_array_equal(np.isnan(scores), np.isnan(values))
    np.testing.assert_array_equal(np.argsort(scores, axis=1), np.argsort(values, axis=1))
    # By simulation: pairs of normals of that correlation have that mean Spearman correlation.
    r = pearson_of(0.4, 6)
    x = rng.normal(size=(40_000, 6))
    y = r * x + np.sqrt(1 - r * r) * rng.normal(size=x.shape)
    ics = pd.DataFrame(x).rank(axis=1).corrwith(pd.DataFrame(y).rank(axis=1), axis=1)
    assert abs(ics.mean() - 0.4) < 3 * ics.std() / np.sqrt(len(ics))


def test_same_spec_same_market_other_seed_other() -> None:
    spec = MarketSpec(assets=6, bars=500, signals=(PlantedSignal("s"),), anomalies=(Anomaly("burst"),), deaths=0.2)
    assert make_synthetic(spec).panel.id == make_synthetic(spec).panel.id
    assert make_synthetic(replace(spec, seed=8)).panel.id != make_synthetic(spec).panel.id


def test_tails_volatility_and_volume_are_those_of_a_market() -> None:
    market = make_synthetic(MarketSpec(assets=40, bars=8000))
    opens = np.log(market.panel["open"])
    moves = np.diff(opens, axis=0)
    chain = market.truth.regimes[:-1]
    calm, wild, crash = (moves[chain == n].std() for n in range(3))
    assert 1.7 < wild / calm < 2.8
    assert 3.0 < crash / calm < 6.0
    assert kurtosis(moves[chain == 0], axis=None) > 3
    # Volatility clusters, and volume follows it.
    size = np.abs(moves).mean(axis=1)
    assert np.corrcoef(size[1:], size[:-1])[0, 1] > 0.25
    money = np.log(market.panel["volume"][:-1]).mean(axis=1)
    assert np.corrcoef(size, money)[0, 1] > 0.5
    assert spearmanr(np.abs(moves[:, 0]), market.panel["volume"][:-1, 0]).statistic > 0.2
    # The market moves everything, the more the worse the times; nothing trends in calm.
    tied = [np.corrcoef(moves[chain == n].T)[np.triu_indices(40, 1)].mean() for n in range(3)]
    assert 0.2 < tied[0] < tied[1] < tied[2] < 0.95
    assert moves[chain == 2].mean() < -0.001


def test_jumps_are_shared() -> None:
    spec = MarketSpec(assets=60, bars=6000, regimes=ONE, jumps=200.0, jump_size=30.0)
    with_jumps, without = (make_synthetic(one).panel for one in (spec, replace(spec, jumps=0.0)))
    market = [np.abs(np.median(np.diff(np.log(p["open"]), axis=0), axis=1)) for p in (with_jumps, without)]
    far = [int((one > 8 * 0.006).sum()) for one in market]
    assert far[0] > 40 > 5 * far[1]


def test_funding_reverts_and_is_paid_every_eight_hours() -> None:
    panel = make_synthetic(MarketSpec(assets=20, bars=4000)).panel
    rates = panel["funding_rate"][::8]
    keep = np.corrcoef(rates[1:].ravel(), rates[:-1].ravel())[0, 1]
    assert 0.85 < keep < 0.97
    assert abs(np.nanmean(rates) - 1e-4) < 3e-5
    paid = panel["funding"]
    np.testing.assert_array_equal(np.flatnonzero(paid.any(axis=1)) % 8, 0)
    np.testing.assert_array_equal(paid[::8], rates)


def test_assets_are_listed_and_die_when_the_truth_says() -> None:
    market = make_synthetic(MarketSpec(assets=40, bars=3000, listings=0.5, deaths=0.25))
    close = market.panel["close"]
    for column, (born, died) in enumerate(zip(market.truth.born, market.truth.died, strict=True)):
        np.testing.assert_array_equal(np.flatnonzero(np.isfinite(close[:, column])), np.arange(born, died))
    assert int((market.truth.born > 0).sum()) == 20
    ended = market.truth.died < 3000
    assert int(ended.sum()) == 10
    last = np.array([close[died - 1, n] / close[max(died - 301, born), n] for n, (born, died) in
                     enumerate(zip(market.truth.born, market.truth.died, strict=True))])  # fmt: skip
    assert np.median(last[ended]) < 0.3 < np.median(last[~ended])
    np.testing.assert_array_equal(market.panel.universe, np.isfinite(close))


@pytest.fixture(scope="module")
def odd() -> dict[str, tuple[Panel, Panel, slice, list[int]]]:
    """For each kind of anomaly: the market with one window over half the assets, the same without, and the place."""
    out = {}
    for kind in ANOMALIES:
        spec = MarketSpec(seed=2, assets=30, bars=1500, regimes=ONE, anomalies=(Anomaly(kind, 1, 60, 0.5),))
        market, plain = make_synthetic(spec), make_synthetic(replace(spec, anomalies=()))
        (window,) = market.truth.windows
        assert window.kind == kind
        out[kind] = (market.panel, plain.panel, slice(window.start, window.stop), list(window.columns))
    return out


def moves_in(panel: Panel, rows: slice, columns: list[int]) -> np.ndarray:
    return np.diff(np.log(panel["open"]), axis=0)[rows, columns]


def test_every_anomaly_is_what_it_is_called(odd: dict[str, tuple[Panel, Panel, slice, list[int]]]) -> None:
    usual = 0.006
    panel, _, rows, columns = odd["flash_crash"]
    path = moves_in(panel, rows, columns).cumsum(axis=0).mean(axis=1)
    assert path.min() < -0.2
    assert path[-1] > path.min() / 2
    panel, _, rows, columns = odd["burst"]
    assert moves_in(panel, rows, columns).std() > 3 * usual
    panel, _, rows, columns = odd["dead"]
    assert moves_in(panel, rows, columns).std() < 0.2 * usual
    assert np.median(panel["volume"][rows, columns]) < 0.2 * np.median(panel["volume"][:, columns])
    for kind, low, high in (("decoupling", -0.1, 0.1), ("herding", 0.7, 1.0)):
        panel, _, rows, columns = odd[kind]
        tied = np.corrcoef(moves_in(panel, rows, columns).T)[np.triu_indices(len(columns), 1)].mean()
        assert low < tied < high
    panel, _, rows, columns = odd["volume_surge"]
    assert np.median(panel["volume"][rows, columns]) > 4 * np.median(panel["volume"][:, columns])
    assert moves_in(panel, rows, columns).std() < 2 * usual
    panel, _, rows, columns = odd["stuck_volume"]
    assert (np.diff(panel["volume"][rows, columns], axis=0) == 0).all()
    panel, _, rows, columns = odd["stale"]
    assert (np.diff(panel["close"][rows, columns], axis=0) == 0).all()
    panel, _, rows, columns = odd["halt"]
    assert not np.isfinite(panel["close"][rows, columns]).any()


def test_an_anomaly_touches_only_its_assets(odd: dict[str, tuple[Panel, Panel, slice, list[int]]]) -> None:
    for kind in ("stuck_volume", "stale", "halt", "volume_surge"):
        panel, _, rows, columns = odd[kind]
        rest = [n for n in range(30) if n not in columns]
        assert (np.diff(panel["volume"][rows, rest], axis=0) != 0).all()
        assert np.isfinite(panel["close"][rows, rest]).all()


def test_the_quality_checks_find_what_is_broken_and_nothing_else() -> None:
    spec = MarketSpec(assets=25, bars=4000, listings=0.2, deaths=0.2, signals=(PlantedSignal("s", 0.05),))
    assert [f for f in check_panel(make_synthetic(spec).panel).findings if f.severity == "defect"] == []
    broken = tuple(Anomaly(kind, 1, 20, 0.04) for kind in ("halt", "stale", "stuck_volume"))
    market = make_synthetic(replace(spec, listings=0.0, deaths=0.0, anomalies=broken))
    found = {f.kind: f for f in check_panel(market.panel).findings if f.severity == "defect"}
    assert set(found) == {"gap", "stale", "stuck_volume"}
    names = {"halt": "gap", "stale": "stale", "stuck_volume": "stuck_volume"}
    for window in market.truth.windows:
        finding = found[names[window.kind]]
        assert finding.asset == market.panel.assets[window.columns[0]]
        assert abs(int((finding.start - market.panel.times[window.start]) / market.panel.bar)) <= 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"assets": 0}, "needs at least 1 asset"),
        ({"bars": 10}, "200 bars"),
        ({"tail": 2.0}, "tail must be above 2"),
        ({"regimes": ()}, "regimes need names"),
        ({"deaths": 1.0}, "not in"),
        ({"signals": (PlantedSignal("s", driver="moon"),)}, "no driver 'moon'"),
        ({"signals": (PlantedSignal("s", {"boom": 0.1}),)}, "no regime boom"),
        ({"signals": (PlantedSignal("s", 0.95),)}, "must lie in"),
        ({"signals": (PlantedSignal("s"), PlantedSignal("s"))}, "names of their own"),
        ({"signals": (PlantedSignal("s", driver="funding"),), "funding": False}, "there is none"),
        ({"anomalies": (Anomaly("party"),)}, "no anomaly 'party'"),
        ({"anomalies": (Anomaly("dead", 50, 24),)}, "do not fit"),
    ],
)
def test_what_cannot_be_simulated_is_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        MarketSpec(**{"bars": 500, **change})  # type: ignore[arg-type]


def test_signals_too_strong_together_are_refused() -> None:
    spec = MarketSpec(assets=20, bars=300, signals=(PlantedSignal("a", 0.8), PlantedSignal("b", 0.8)))
    with pytest.raises(InputError, match="no returns can have these rank ICs"):
        make_synthetic(spec)


def test_the_printed_spec_is_read_and_simulated_by_the_command(tmp_path: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(cli, ["init", str(tmp_path / "w")]).exit_code == 0
    printed = runner.invoke(cli, ["data", "synth", "--print-spec"])
    assert printed.stdout == EXAMPLE
    (tmp_path / "s.toml").write_text(printed.stdout)
    spec = read_spec(tmp_path / "s.toml")
    assert spec.regimes == (CALM, WILD, CRASH)
    options = ["--spec", str(tmp_path / "s.toml"), "--bars", "2000", "--assets", "10", "--name", "m", "--json"]
    done = runner.invoke(cli, ["-w", str(tmp_path / "w"), "data", "synth", *options])
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert (facts["bars"], facts["assets"], facts["source"]) == (2000, 10, "simulated")
    assert facts["query"]["spec"]["signals"][0]["name"] == "wave_a"
    panel = load_panel(tmp_path / "w" / "data" / "m.parquet")
    assert "wave_a" in panel.fields
    with np.load(tmp_path / "w" / "data" / "m.truth.npz") as truth:
        assert truth["signal.busy"].shape == (2000, 10)
        assert {w["kind"] for w in json.loads(str(truth["windows"]))} == {"flash_crash", "dead"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("assets = [", "cannot read"),
        ("asets = 5", "no setting asets"),
        ("assets = 5.5", "whole number"),
        ('volatility = "high"', "is a number"),
        ("[[signals]]\nic = 0.1", "has no name"),
        ("[[anomalies]]\ncount = 2", "has no kind"),
    ],
)
def test_a_bad_spec_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(InputError, match=says):
        read_spec(tmp_path / "s.toml")
