"""Gates on daily markets, walk-forward: the flow's likelihood and a drawdown forecast beside plain volatility.

    python -m benchmarks.gate [--quick] [--fits FOLDER] [--json FILE]

Every figure is out of sample: fits are dated, a gate sees no bar after its own, and all gates are brought to the same
mean exposure over the span by their own setting, which is the one number set with hindsight, alike for all. Printed
are drawdown and CVaR 95 % of the market and of neutral portfolios, with the share of 40 circular shifts of the gate
that do as well; what of named falls had come when exposure first was half; and what forecasts of the next day's and
the next five days' drawdown are worth, with an error by block bootstrap. `--quick` reads the S&P alone, with short
fits. `--fits` keeps the fits, which take most of the time, for the next call.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from agent.flow.gate_purpose import judge_falls, share_suffered, share_taken
from backtest import metrics
from backtest.market_rows import market_rows
from backtest.placebo import shifted_gates
from backtest.run import trade
from backtest.trading_rules import BacktestSpec
from backtest.weights import target_weights
from factors.engine import evaluate_all
from factors.parse import parse
from factors.table import STANDARD_FIELDS
from factors.tree import Expression
from flows.checkpoint import load_gate, save_gate
from flows.drawdown import fit_level, market_mean, market_moves, next_drawdown, next_mean
from flows.exposure import judged, ramp, steadied, thresholds_at
from flows.fit_rules import GateRules, TrainConfig
from flows.gate import GatePlan, RegimeGate, fit_gate, reference_of, rows_of
from flows.reference import measured
from market.files import import_files
from market.panel import FloatArray, Panel
from market.split import Split

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
# File, bars before the first fit, and bars between fits.
MARKETS = {
    "coins": ("crypto_spot_1d.parquet", 180, 180),
    "S&P 500": ("equity_sp500_1d_2013_2018.parquet", 250, 168),
    "perpetuals": ("crypto_perp_1d.parquet", 250, 270),
}
FUNDING = "crypto_funding_binance.parquet"
# First day of each fall, and the days in which it came.
EVENTS = {
    "August 2015": ("2015-08-17", 7),
    "February 2018": ("2018-01-26", 9),
    "March 2020": ("2020-03-06", 8),
    "LUNA": ("2022-05-05", 8),
    "June 2022": ("2022-06-07", 12),
    "FTX": ("2022-11-05", 5),
    "SVB": ("2023-03-07", 4),
}
FACTORS = {"momentum": "ts_returns(close, 20)", "reversal": "-ts_returns(close, 3)"}
POOL = (*FACTORS.values(), "-ts_std(returns, 20)", "ts_mean(abs(returns) / (volume * close), 20)")
EXPOSURE, SHIFTS, LEVEL = 0.8, 40, 0.05
# The walk-forward forecasts of the last table: bars before the first, bars between fits, days of a bootstrap's block.
_FIRST, _EVERY, _BLOCK, _DRAWS = 90, 22, 40, 500


@dataclass(frozen=True)
class Scores:
    """What each gate judges, (fits, T) for the whole market; the rows of each fit, and those it was calibrated on."""

    rules: dict[str, GateRules]
    values: dict[str, FloatArray]
    turns: tuple[slice, ...]
    calibrated: tuple[slice, ...]


def fitted(name: str, panel: Panel, folder: Path | None, quick: bool) -> RegimeGate:
    """Return the dated fits of a market, read from `folder` where they are kept."""
    _, first, every = MARKETS[name]
    path = None if folder is None else folder / f"{name.split()[0].lower()}.gate.npz"
    if path is not None and path.is_file():
        return load_gate(path)
    length = len(panel.times)
    split = Split(slice(0, 2 * first), slice(2 * first, length), slice(length, length), 0)
    config = TrainConfig(max_rows=15_000, epochs=2 if quick else 15)
    gate = fit_gate(panel, split, GatePlan(config=config, refit_bars=every))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_gate(gate, path)
    return gate


def scores_of(gate: RegimeGate, panel: Panel) -> Scores:
    """Return what is judged by each gate, each fit on its own bars and on those that it was calibrated on."""
    base = GateRules(scope="market")
    rules = {
        "drawdown forecast": replace(base, measure="drawdown"),
        "volatility, continuous": replace(base, measure="drawdown"),
        "volatility": replace(base, measure="volatility"),
        "likelihood": replace(base, measure="likelihood"),
    }
    returns, _ = market_moves(panel)
    plain = -np.log(pd.Series(returns).rolling(20, min_periods=10).std().to_numpy() + 1e-9)
    turns = tuple(gate.turns(panel))
    values = {name: np.full((len(turns), len(panel.times)), np.nan) for name in rules}
    for k, (fit, rows) in enumerate(turns):
        states = fit.density.states(panel.rows(0, rows.stop))
        train, calibration = rows_of(panel, fit.trained), rows_of(panel, fit.calibrated)
        places = (train, calibration, slice(train.start, calibration.stop))
        begin = max(0, calibration.start - base.window)
        for name, rule in rules.items():
            if name == "volatility, continuous":
                values[name][k, : rows.stop] = plain[: rows.stop]
                continue
            reference = reference_of(rule.measure, fit.density, states, panel, places)
            wide = judged(measured(fit.density, reference, states[begin:]), rule)
            values[name][k, begin : rows.stop] = np.nanmean(np.where(np.isfinite(wide), wide, np.nan), axis=1)
    return Scores(
        rules, values, tuple(rows for _, rows in turns), tuple(rows_of(panel, f.calibrated) for f, _ in turns)
    )


def exposures_at(scores: Scores, name: str, mean: float, part: slice) -> FloatArray:
    """Return (T,) exposures of a gate, its own setting chosen so that their mean over a span is `mean`."""
    rule, found = scores.rules[name], scores.values[name]
    setting = "exposure" if rule.measure == "drawdown" else "percentile"
    low, high = (0.02, 0.98) if setting == "exposure" else (0.5, 49.0)
    out = np.ones(found.shape[1])
    for _ in range(25):
        middle = 0.5 * (low + high)
        chosen = replace(rule, **{setting: middle})
        for k, rows in enumerate(scores.turns):
            known = found[k, scores.calibrated[k]]
            out[rows] = ramp(found[k, rows], thresholds_at(known[np.isfinite(known)], chosen))
        out = steadied(out[:, None], chosen.band)[:, 0]
        more = out[part].mean() > mean
        # A larger share shut is less exposure.
        low, high = (low, middle) if more == (setting == "exposure") else (middle, high)
    return out


def portfolios_of(panel: Panel) -> dict[str, tuple[FloatArray, BacktestSpec]]:
    """Return (T, N) target weights of the market, two neutral portfolios and a pool, and what they trade under."""
    count = np.maximum(panel.universe.sum(axis=1, keepdims=True), 1)
    found = {"the market": (panel.universe / count, BacktestSpec(weighting="timeseries"))}
    expressions = []
    for text in (*FACTORS.values(), *POOL[len(FACTORS) :]):
        read = parse(text, fields=(*STANDARD_FIELDS, *panel.fields), bar=panel.bar)
        assert isinstance(read, Expression), read
        expressions.append(read)
    signals = [np.where(panel.universe, one.values, np.nan) for one in evaluate_all(expressions, panel)]
    for name, values in zip(FACTORS, signals, strict=False):
        found[name] = (target_weights(values, BacktestSpec()), BacktestSpec())
    ranks = [pd.DataFrame(values).rank(axis=1, pct=True).to_numpy() for values in signals]
    found["a pool of four"] = (target_weights(np.mean(ranks, axis=0), BacktestSpec()), BacktestSpec())
    return found


def traded(panel: Panel, gates: dict[str, FloatArray], part: slice) -> list[dict[str, Any]]:
    """Return a row for each portfolio and gate: exposure, Sharpe ratio, drawdown, CVaR and what shifted gates give."""
    year, found = panel.bars_per_year, []
    for portfolio, (targets, spec) in portfolios_of(panel).items():
        market = market_rows(panel, spec).rows(part)

        def run(gate: FloatArray | None, own: FloatArray = targets, spec: BacktestSpec = spec) -> dict[str, float]:
            wide = None if gate is None else np.broadcast_to(gate[:, None], (len(gate), panel.shape[1])).copy()
            net = trade(own[part], market, spec, wide, bars_per_year=year).net[:-2]  # noqa: B023 - called at once
            tail = abs(metrics.expected_shortfall(net, LEVEL))
            return {"sharpe": metrics.sharpe(net, year), "drawdown": metrics.max_drawdown(net), "cvar": tail}

        found.append({"portfolio": portfolio, "gate": "none", "exposure": 1.0, **run(None)})
        for name, gate in gates.items():
            row: dict[str, Any] = {
                "portfolio": portfolio,
                "gate": name,
                "exposure": float(gate[part].mean()),
                **run(gate[part]),
            }
            moved = [run(other) for other in shifted_gates(gate[part], SHIFTS, np.random.default_rng(3))]
            for key, sign in (("sharpe", -1), ("drawdown", 1), ("cvar", 1)):
                others = np.array([one[key] for one in moved])
                row[f"{key}_shifted"] = float(others.mean())
                row[f"{key}_p"] = float((1 + (sign * others <= sign * row[key]).sum()) / (1 + len(others)))
            found.append(row)
    return found


def falls(panel: Panel, gates: dict[str, FloatArray], part: slice) -> list[dict[str, Any]]:
    """Return of each gate and named fall the share taken before exposure was half, and the share of it suffered."""
    returns = np.nan_to_num(market_moves(panel)[0])
    total = np.concatenate([[0.0], np.cumsum(np.log1p(returns))])
    wide = {name: np.repeat(gate[:, None], panel.shape[1], axis=1) for name, gate in gates.items()}
    vain = {row["gate"]: row["false_shut"] for row in judge_falls(panel, wide, part)}
    found = []
    for name, gate in gates.items():
        for event, (day, bars) in EVENTS.items():
            begin = int(np.searchsorted(panel.times, np.datetime64(day)))
            if not part.start < begin < part.stop - 2:
                continue
            suffered = share_suffered(total, gate, begin, bars)
            taken = share_taken(total, gate, begin, bars)
            found.append({"gate": name, "event": event, "taken": taken, "suffered": suffered, "false_shut": vain[name]})
    return found


def inputs_of(gate: RegimeGate, panel: Panel) -> dict[str, FloatArray]:
    """Return (T, K) market series that a drawdown may be forecast from, by group; HAR is of log ranges and returns."""
    returns, ranges = market_moves(panel)
    frame = pd.DataFrame({"returns": returns, "ranges": ranges})
    har = np.stack([np.log(frame["ranges"].rolling(k, min_periods=k).mean() + 1e-6) for k in (1, 5, 22)], axis=1)
    likelihood = np.full((len(panel.times), 2), np.nan)
    for fit, rows in gate.turns(panel):
        states = fit.density.states(panel.rows(0, rows.stop))
        places = (rows_of(panel, fit.trained), rows_of(panel, fit.calibrated), slice(0, 0))
        given = reference_of("given_volatility", fit.density, states, panel, places)
        both = [measured(fit.density, one, states[rows]) for one in (None, given)]
        likelihood[rows] = market_mean(np.stack(both, axis=-1))
    first = gate.turns(panel).__next__()[1].start
    likelihood[:first] = np.nan
    # A single state that is all but impossible would move the mean of a market.
    likelihood = np.maximum(likelihood, np.nanquantile(likelihood[: first + _FIRST], 0.01, axis=0))
    close = pd.DataFrame(panel["close"])
    spread = close.pct_change(fill_method=None).where(pd.DataFrame(panel.universe)).clip(-0.5, 0.5).std(axis=1)
    vol = np.log(frame["returns"].rolling(20, min_periods=10).std() + 1e-9)
    groups = {
        "HAR": har,
        "volatility over 20 days": vol.to_numpy()[:, None],
        "trend": (har[:, 1] - pd.Series(har[:, 1]).shift(5).to_numpy())[:, None],
        "returns": np.stack([returns, frame["returns"].rolling(5).mean()], axis=1),
        "likelihood": likelihood[:, :1],
        "likelihood given volatility": likelihood[:, 1:],
        "dispersion": np.log(spread.to_numpy() + 1e-9)[:, None],
    }
    if "perp" in panel.name:
        rates = pd.read_parquet(DATA / FUNDING).set_index("ts")["funding_rate"].resample("1D").mean().shift(1)
        stamps = pd.DatetimeIndex(panel.times).tz_localize("UTC")
        groups["funding"] = rates.reindex(stamps).rolling(5, min_periods=1).mean().to_numpy()[:, None]
    # Nothing is fitted on bars before there is a likelihood, so that all have the same bars.
    there = np.isfinite(likelihood).all(axis=1)[:, None]
    return {name: np.where(there, values, np.nan) for name, values in groups.items()}


def walk(inputs: FloatArray, later: FloatArray, fall: FloatArray, first: int, days: int) -> FloatArray:
    """Return (T,) forecasts of falls within `days`, fitted again and again on what was known by then."""
    out = np.full(len(fall), np.nan)
    for start in range(first, len(fall), _EVERY):
        weights, offset = fit_level(inputs[: start - days], later[: start - days], fall[: start - days])
        rows = slice(start, start + _EVERY)
        out[rows] = np.exp(offset + inputs[rows] @ weights)
    return out


def rescaled(level: FloatArray, fall: FloatArray, days: int) -> FloatArray:
    """Return a level (T,) in units of a fall within `days`, by the ratio of their means over what was known by then."""
    there = np.isfinite(level) & np.isfinite(fall)
    sums = [pd.Series(np.where(there, x, 0.0)).shift(days, fill_value=0.0).cumsum().to_numpy() for x in (fall, level)]
    with np.errstate(all="ignore"):
        out: FloatArray = level * sums[0] / sums[1]
    return out


def forecasts(gate: RegimeGate, panel: Panel, scores: Scores) -> list[dict[str, Any]]:
    """Return a row for each group of inputs: R2 of its forecast, and what it gains over HAR, with an error."""
    groups = inputs_of(gate, panel)
    returns, ranges = market_moves(panel)
    har = groups.pop("HAR")
    sets = {"HAR": har, "volatility over 20 days, alone": groups.pop("volatility over 20 days")}
    sets |= {f"HAR + {name}": np.hstack([har, extra]) for name, extra in groups.items()}
    sets["HAR + all"] = np.hstack([har, *groups.values()])
    own = np.full(len(returns), np.nan)
    for k, rows in enumerate(scores.turns):
        own[rows] = np.exp(-scores.values["drawdown forecast"][k, rows])
    first = int(np.flatnonzero(np.isfinite(sets["HAR + all"]).all(axis=1))[0]) + _FIRST
    found = []
    for days in (1, 5):
        later, fall = next_mean(ranges, days), next_drawdown(returns, days)
        made = {name: walk(inputs, later, fall, first, days) for name, inputs in sets.items()}
        made["the gate's own, dated fits"] = rescaled(own, fall, days)
        known = np.isfinite(np.stack([fall, *made.values()])).all(axis=0)
        typical = pd.Series(fall).shift(days).expanding().mean().to_numpy()
        spread = (fall - typical)[known] ** 2
        errors = {name: (fall - forecast)[known] ** 2 for name, forecast in made.items()}
        rng = np.random.default_rng(5)
        starts = rng.integers(len(spread), size=(_DRAWS, -(-len(spread) // _BLOCK)))
        drawn = ((starts[:, :, None] + np.arange(_BLOCK)) % len(spread)).reshape(_DRAWS, -1)[:, : len(spread)]
        for name, squared in errors.items():
            better = errors["HAR"] - squared
            gains = better[drawn].sum(axis=1) / spread[drawn].sum(axis=1)
            found.append(
                {
                    "inputs": name,
                    "days": days,
                    "bars": len(spread),
                    "r2": float(1 - squared.sum() / spread.sum()),
                    "gain": float(better.sum() / spread.sum()),
                    "error": float(gains.std()),
                }
            )
    return found


def measure(name: str, folder: Path | None, quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Return all rows of one market."""
    file = MARKETS[name][0]
    panel = import_files([DATA / file], name=name, repair=file.startswith("equity"))
    say(f"{name}: fits")
    gate = fitted(name, panel, folder, quick)
    say(f"{name}: gates")
    scores = scores_of(gate, panel)
    part = slice(scores.turns[0].start + 1, len(panel.times))
    gates = {gate: exposures_at(scores, gate, EXPOSURE, part) for gate in scores.rules}
    say(f"{name}: portfolios, falls, forecasts")
    return {
        "from": str(panel.times[part.start])[:10],
        "to": str(panel.times[-1])[:10],
        "traded": traded(panel, gates, part),
        "falls": falls(panel, gates, part),
        "forecasts": forecasts(gate, panel, scores),
    }


def show(console: Console, name: str, found: dict[str, Any]) -> None:
    """Print the tables of one market."""
    columns = (
        "portfolio",
        "gate",
        "exposure",
        "Sharpe",
        "shifted",
        "p",
        "drawdown",
        "shifted",
        "p",
        "CVaR 95 %",
        "shifted",
    )
    table = Table(*columns, "p", title=f"{name}, {found['from']} to {found['to']}")
    for row in found["traded"]:
        cells = [f"{row['exposure']:.2f}"]
        for key, form in (("sharpe", ".2f"), ("drawdown", ".1%"), ("cvar", ".2%")):
            others = (row.get(f"{key}_shifted", np.nan), row.get(f"{key}_p", np.nan))
            cells += [f"{row[key]:{form}}", f"{others[0]:{form}}", f"{others[1]:.2f}"]
        table.add_row(row["portfolio"], row["gate"], *cells)
    console.print(table)
    table = Table("gate", "fall", "taken at half exposure", "suffered in all", "half shut in vain")
    for row in found["falls"]:
        table.add_row(
            row["gate"], row["event"], f"{row['taken']:.2f}", f"{row['suffered']:.2f}", f"{row['false_shut']:.0%}"
        )
    console.print(table)
    table = Table("forecast of drawdown", "days", "bars", "R2", "gain over HAR", "its error")
    for row in found["forecasts"]:
        cells = [f"{row[key]:.4f}" for key in ("r2", "gain", "error")]
        table.add_row(row["inputs"], str(row["days"]), str(row["bars"]), *cells)
    console.print(table)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the S&P alone, with short fits")
    parser.add_argument("--market", choices=[*MARKETS], action="append", help="only this one; may be repeated")
    parser.add_argument("--fits", type=Path, help="folder in which fits are kept")
    parser.add_argument("--json", type=Path, help="write all figures")
    options = parser.parse_args()
    console = Console(width=180)
    found = {}
    for name in options.market or (["S&P 500"] if options.quick else [*MARKETS]):
        found[name] = measure(name, options.fits, options.quick, lambda text: Console(stderr=True).print(text))
        show(console, name, found[name])
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1, default=float), encoding="utf-8")


if __name__ == "__main__":
    main()
