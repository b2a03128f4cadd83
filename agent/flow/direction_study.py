"""The documents' own strategy: long or short along a latent direction, by how usual the state is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agent.drawing.axes import format_number
from agent.flow.opened import OpenFlow
from agent.flow.signal_history import SignalHistory, kept_history
from agent.review.findings import Findings, Grid, grid
from backtest import metrics
from backtest.ic import forward_returns
from backtest.run import trade
from flows.direction import DEAD_ZONE, Direction, Kind, confidence, fit_direction, positions
from flows.regime_store import load_regimes, regimes_path
from flows.regimes import market_states
from flows.scenarios import Library
from market.errors import InputError
from market.panel import BoolArray, FloatArray, Panel

# A return is known two bars after its decision; none that reaches beyond train is learned from.
_LABEL = 2
# States of calibration that an asset's own likelihood is ranked among; past states that a newest one is compared with,
# and those of them whose next bar is its scenario.
_RANKED, _PAST, _NEAREST = 20_000, 20_000, 200


@dataclass(frozen=True, eq=False)
class Directed:
    """A direction with its projections, confidence and positions on a panel, (T, N) each."""

    direction: Direction
    along: FloatArray
    confidence: FloatArray
    positions: FloatArray


def find_direction(opened: OpenFlow, kind: Kind) -> Direction:
    """Fit a direction on the rows that the flow was trained on."""
    rows = opened.trained_rows
    paid = slice(rows.start, rows.stop - _LABEL)
    forward = forward_returns(opened.panel, 1, opened.study.spec.fill)
    return fit_direction(opened.latents[paid], forward[paid], kind)


def direct(opened: OpenFlow, kind: Kind, direction: Direction | None = None) -> Directed:
    """Read train and validation along a direction, fitted here unless it is given."""
    along = find_direction(opened, kind) if direction is None else direction
    likelihood = opened.study.log_likelihood
    assert likelihood is not None
    return _directed(opened, along, opened.latents, likelihood, opened.panel.universe)


def _directed(
    opened: OpenFlow, direction: Direction, latents: FloatArray, likelihood: FloatArray, inside: BoolArray
) -> Directed:
    judged = opened.study.log_likelihood
    usual = float(np.nanmedian((likelihood if judged is None else judged)[opened.calibration_rows]))
    sure = confidence(likelihood, opened.gate.latest.thresholds, usual)
    along = np.where(inside, direction.project(latents), np.nan)
    return Directed(direction, along, sure, positions(along, sure))


@dataclass(frozen=True, eq=False)
class _Now:
    """The newest bars: what is judged (T, N), states (T, N, D), and the last bar (1, N) along a direction."""

    panel: Panel
    judged: FloatArray
    states: FloatArray
    directed: Directed
    history: SignalHistory


def _read_now(opened: OpenFlow, kind: Kind, newest: Panel) -> _Now:
    states = opened.density.states(newest)
    judged = opened.gate.log_likelihood(newest, states)
    last = opened.density.latents(states[-1:])
    history = history_of(opened, kind)
    directed = _directed(opened, history.direction, last, judged[-1:], newest.universe[-1:])
    return _Now(newest, judged, states, directed, history)


def history_of(opened: OpenFlow, kind: Kind) -> SignalHistory:
    """Return what the past says of a direction, kept beside the gate; `flow fit` asks for it before anyone waits."""
    return kept_history(opened, kind, lambda: _past(opened, kind))


def _past(opened: OpenFlow, kind: Kind) -> SignalHistory:
    """Fit a direction, trade it on the calibration bars, and look up what the newest states are compared with."""
    direction = find_direction(opened, kind)
    usual = np.sort(opened.density.likelihood(opened.sample_rows(opened.calibration_rows, _RANKED, 5)))
    return SignalHistory(direction, *_earned(opened, direction), usual, *_past_states(opened))


def directed_targets(directed: Directed, panel: Panel) -> FloatArray:
    """Return target weights: positions shared over the universe, so that all of one sign are one capital."""
    count = np.maximum(panel.universe.sum(axis=1, keepdims=True), 1)
    weights: FloatArray = np.where(panel.universe, directed.positions, 0.0) / count
    return weights


def signals_now(opened: OpenFlow, kind: Kind, bars: int = 240, only: Sequence[str] = ()) -> Findings:
    """Say for each asset, or for `only` some, at the newest bar how usual its state is and which way it points.

    Only states of the newest bars are read, and no return of theirs: this opens no holdout.
    """
    newest = opened.whole.rows(max(0, len(opened.whole.times) - bars), len(opened.whole.times))
    now = _read_now(opened, kind, newest)
    directed = now.directed
    rows = _only(_signal_rows(opened, now), only, newest)
    at = str(newest.times[-1])[:16]
    earned = {"gross": now.history.gross, "net": now.history.net}
    flat = sum(row["signal"] == "no trade" for row in rows)
    regime = _regime_now(opened, now.states)
    return Findings(
        title=f"Signals of {opened.name} at {at}",
        lead=f"{len(rows) - flat} of {len(rows)} assets have a signal. Out of sample, on the calibration bars, the "
        f"direction earned a net Sharpe ratio of {format_number(earned['net'])} a year (before costs "
        f"{format_number(earned['gross'])}); on train it went with the next return by a correlation of "
        f"{directed.direction.correlation:.4f}.",
        grids=[_now_grid(rows, kind)],
        charts=[],
        sentences=[
            *_gate_sentences(opened, rows),
            f"the market's regime is {regime}" if regime else _NO_REGIMES,
            *opened.warnings(),
        ],
        document={
            "data": opened.study.dataset,
            "time": at,
            "direction": kind,
            "regime": regime,
            "train_correlation": directed.direction.correlation,
            "out_of_sample_sharpe": earned,
            "vector": directed.direction.vector.tolist(),
            "gate": _gate_now(opened, rows),
            "signals": rows,
        },
        simulated=opened.panel.simulated,
    )


def _only(rows: list[dict[str, object]], only: Sequence[str], panel: Panel) -> list[dict[str, object]]:
    """Return the rows of the assets that are asked for (BTC/USDT and BTCUSDT are one); all where none is."""
    if not only:
        return rows

    def plain(name: str) -> str:
        return name.upper().replace("/", "")

    known = {plain(asset) for asset in panel.assets}
    unknown = [name for name in only if plain(name) not in known]
    if unknown:
        raise InputError(f"there is no asset {unknown[0]!r} in these data", f"there is {', '.join(panel.assets[:8])}")
    found = [row for row in rows if plain(str(row["asset"])) in {plain(name) for name in only}]
    if not found:
        raise InputError(f"{', '.join(only)} has no state at the newest bar", "it needs more bars, or prices now")
    return found


def _signal_rows(opened: OpenFlow, now: _Now) -> list[dict[str, object]]:
    """Return a row for each asset of the universe with a state at the newest bar, the longest position first."""
    newest, directed, every = now.panel, now.directed, now.judged
    likelihood, exposure = every[-1], opened.gate.exposures_of(every, newest)[-1]
    calibration = opened.study.log_likelihood
    assert calibration is not None
    ordered = np.sort(calibration[opened.calibration_rows][np.isfinite(calibration[opened.calibration_rows])])
    states = now.states[-1]
    own = opened.density.likelihood(states)
    usual = now.history.usual
    latents = opened.density.latents(states)
    mean, deviation = _what_followed(now.history, latents)
    rows: list[dict[str, object]] = []
    for k, asset in enumerate(newest.assets):
        if not newest.universe[-1, k] or not np.isfinite(likelihood[k]):
            continue
        position = float(directed.positions[-1, k])
        rows.append(
            {
                "asset": asset,
                "signal": "long" if position > 0 else "short" if position < 0 else "no trade",
                "position": position,
                "confidence": float(directed.confidence[-1, k]),
                "along": float(directed.along[-1, k]),
                "log_likelihood_nats": float(likelihood[k]),
                "percentile": float(100 * np.searchsorted(ordered, likelihood[k]) / len(ordered)),
                "gate_exposure": float(exposure[k]),
                "own_log_likelihood_nats": float(own[k]),
                "own_percentile": (percentile := float(100 * np.searchsorted(usual, own[k]) / len(usual))),
                "in_distribution": percentile >= opened.gate.rules.percentile,
                "latents": latents[k].tolist(),
                "scenario_mean": float(mean[k]),
                "scenario_deviation": float(deviation[k]),
            }
        )
    rows.sort(key=lambda row: -float(str(row["position"])))
    return rows


def _now_grid(rows: Sequence[Mapping[str, object]], kind: Kind) -> Grid:
    """Return the table of the newest bar, a line an asset."""
    columns = ["asset", "signal", "position", "confidence", "along", "log-likelihood", "percentile", "next bar", "±"]
    keys = ["position", "confidence", "along", "own_log_likelihood_nats", "own_percentile"]
    drawn = [
        [
            str(r["asset"]),
            str(r["signal"]),
            *(format_number(r[key]) for key in keys),
            *(format_number(r[key], "fine_percent") for key in ("scenario_mean", "scenario_deviation")),
        ]
        for r in rows
    ]
    note = (
        f"Long or short where the state lies beyond {DEAD_ZONE:g} deviations along the {kind} direction, times "
        "confidence: 0 at the gate's threshold, 1 at the median of calibration. Log-likelihood and percentile are of "
        f"the asset's own newest bar; the next bar is the mean of what followed the {_NEAREST} past states nearest to "
        "it, with their deviation."
    )
    return grid("Now", columns, drawn, left=2, note=note)


def _earned(opened: OpenFlow, direction: Direction) -> tuple[float, float]:
    """Return Sharpe ratios a year of the direction, traded on the calibration bars, before and after costs."""
    part, target = opened.calibration_rows, opened.study.target
    spec = replace(target.spec, weighting="timeseries", market_neutral=False)
    year = opened.panel.bars_per_year
    weights = directed_targets(direct(opened, direction.kind, direction), opened.panel)[part]
    made = trade(weights, target.market.rows(part), spec, None, bars_per_year=year)
    # The last two bars' returns are not known.
    return metrics.sharpe(made.gross[:-2], year), metrics.sharpe(made.net[:-2], year)


def _past_states(opened: OpenFlow) -> tuple[FloatArray, FloatArray]:
    """Return (K, D) latents of past states, and (K,) the return of the bar after each."""
    rows = opened.trained_rows
    latents = opened.latents[rows][:-1].reshape(-1, opened.latents.shape[-1])
    close = opened.panel["close"][rows]
    with np.errstate(all="ignore"):
        after = (close[1:] / close[:-1] - 1.0).ravel()
    known = np.flatnonzero(np.isfinite(latents).all(axis=1) & np.isfinite(after))
    if len(known) > _PAST:
        known = np.sort(opened.rng(6).choice(known, _PAST, replace=False))
    return latents[known], after[known]


def _what_followed(history: SignalHistory, asked: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return (N,) mean and deviation of the returns after the past latents nearest to (N, D); NaN if unknown."""
    there = np.isfinite(asked).all(axis=1)
    mean, deviation = np.full(len(asked), np.nan), np.full(len(asked), np.nan)
    if there.any() and len(history.after) > 1:
        found = history.after[Library(history.latents).nearest(asked[there], _NEAREST)]
        mean[there], deviation[there] = found.mean(axis=1), found.std(axis=1, ddof=1)
    return mean, deviation


def _gate_sentences(opened: OpenFlow, rows: Sequence[Mapping[str, object]]) -> list[str]:
    """Say the market's state once where the gate judges the market, else how many assets it shuts."""
    if not rows:
        return []
    if opened.gate.rules.scope == "market":
        first = rows[0]
        if opened.gate.rules.measure == "drawdown":
            expected = format_number(math.exp(-float(str(first["log_likelihood_nats"]))), "fine_percent")
            aimed = format_number(math.exp(-opened.gate.latest.thresholds.full), "fine_percent")
            return [
                f"the market's state lets expect a drawdown of {expected} within a day, the gate aims at {aimed}: "
                f"its exposure is {format_number(first['gate_exposure'], 'share')} for all assets"
            ]
        return [
            f"the market's state over {opened.gate.rules.window} bars has a log-likelihood of "
            f"{format_number(first['log_likelihood_nats'])} nats, percentile {format_number(first['percentile'])} of "
            f"calibration: the gate's exposure is {format_number(first['gate_exposure'], 'share')} for all assets"
        ]
    shut = sum(float(str(row["gate_exposure"])) < 1.0 for row in rows)
    return [f"the gate judges each asset by itself, and is (partly) shut for {shut} of {len(rows)}"]


def _gate_now(opened: OpenFlow, rows: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """Return what the gate judges by, and where it judges the market as a whole, the market's state once."""
    measure = opened.gate.rules.measure
    if not rows or opened.gate.rules.scope != "market":
        return {"measure": measure}
    judged = float(str(rows[0]["log_likelihood_nats"]))
    found = {"measure": measure, "judged_nats": judged, "exposure": rows[0]["gate_exposure"]}
    return found | ({"expected_drawdown": math.exp(-judged)} if measure == "drawdown" else {})


_NO_REGIMES = "no regimes are known: find them by alphaglow flow regimes"


def _regime_now(opened: OpenFlow, states: FloatArray) -> str | None:
    """Return the name of the newest bar's regime, or None where none were found."""
    path = regimes_path(opened.gate_file)
    if not path.is_file():
        return None
    model, _, _ = load_regimes(path)
    labels = model.labels(market_states(states, opened.gate.rules.window))
    name: str = model.names[int(labels[-1])]
    return name
