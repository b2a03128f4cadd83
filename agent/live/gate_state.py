"""The gate and the regimes of a market, bar by bar, by the functions that judge a whole panel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from agent.live.last_rows import LastRows
from factors.features import Feature
from factors.tree import Expression
from flows.exposure import judged, ramp, steadied
from flows.gate import GateFit, RegimeGate, rows_of
from flows.reference import measured
from flows.regime_store import load_regimes, regimes_path
from flows.regimes import market_states
from flows.state import dequantise, feature_expressions, finished
from flows.train import torch_threads
from market.atomic_files import write_atomically
from market.panel import BoolArray, FloatArray, Panel


class LiveGate:
    """Exposures of one bar after the other, as `RegimeGate.exposures` gives them for a whole panel.

    Parameters
    ----------
    features
        What states are made of; `step` takes their values in this order.
    """

    def __init__(self, gate: RegimeGate, assets: tuple[str, ...]) -> None:
        self.gate, self.assets = gate, assets
        self.features: Sequence[Feature] = gate.density.asked
        self._raw = LastRows(gate.rules.window)
        self._times = LastRows(gate.rules.window)
        self._judged = LastRows(gate.rules.window)
        self._fit: GateFit | None = None
        self._exposure: FloatArray | None = None
        # Which exposures no longer depend on what came before the first step: those that were shut or full since.
        self.settled: BoolArray = np.zeros(len(assets), dtype=bool)

    def expressions(self, panel: Panel) -> list[Expression]:
        """Return the features' expressions on a panel."""
        return feature_expressions(panel, self.features)

    def step(
        self, time: np.datetime64, values: FloatArray, flat: BoolArray, inside: BoolArray
    ) -> tuple[FloatArray, FloatArray]:
        """Take the values (D, N) of the features at the next bar.

        Returns
        -------
        likelihood, exposure
            (N,) each: what is judged, in nats, NaN where unknown, and exposures in [0, 1].
        """
        raw = np.stack([finished(f, row, flat, inside) for f, row in zip(self.features, values, strict=True)], axis=-1)
        self._raw.put(raw)
        self._times.put(np.asarray(time, dtype="datetime64[ns]"))
        fit = self._fit_at(time)
        if fit is None:
            likelihood, now = np.full(len(self.assets), np.nan), np.ones(len(self.assets))
        else:
            rows = 1 if fit is self._fit else len(self._raw)
            if fit is not self._fit:
                # A window that reaches back before a fit's own bars is judged by that fit.
                self._judged.clear()
            self._fit = fit
            for row in measured(fit.density, fit.reference, self._states(fit, rows)):
                self._judged.put(row)
            likelihood = judged(self._judged.all(), self.gate.rules)[-1]
            now = ramp(likelihood, fit.thresholds)
        before = now if self._exposure is None else self._exposure
        self._exposure = steadied(np.stack([before, now]), self.gate.rules.band)[1]
        if len(self._raw) == self.gate.rules.window:
            self.settled = self.settled | (now == 0.0) | (now == 1.0) | (self.gate.rules.band <= 0)
        return likelihood, self._exposure

    def market_state(self) -> FloatArray:
        """Return (D,) the market's state over the window, to the newest density; NaN where unknown."""
        state: FloatArray = market_states(self._states(self.gate.latest, len(self._raw)), self.gate.rules.window)[-1]
        return state

    def _fit_at(self, time: np.datetime64) -> GateFit | None:
        begun = [fit for fit in self.gate.fits if fit.since is None or fit.since <= time]
        return begun[-1] if begun else None

    def _states(self, fit: GateFit, rows: int) -> FloatArray:
        kept = [self.features.index(feature) for feature in fit.density.features]
        raw = self._raw.all()[-rows:][..., kept]
        return dequantise(fit.density.standardiser.apply(raw), self._times.all()[-rows:], self.assets)


class LiveRegime:
    """The name of the market's regime after each bar, from bars up to it; none where none were found."""

    def __init__(self, gate_file: Path) -> None:
        path = regimes_path(gate_file)
        self._model = load_regimes(path)[0] if path.is_file() else None
        self._now: FloatArray | None = None

    def step(self, gate: LiveGate) -> str | None:
        """Take the state of the newest bar."""
        if self._model is None:
            return None
        self._now = self._model.step(self._now, gate.market_state())
        name: str = self._model.names[int(self._now.argmax())]
        return name


def calibration_likelihood(gate: RegimeGate, gate_file: Path, panel: Panel) -> FloatArray:
    """Return, sorted, what the gate judged of the rows that its newest thresholds were set on.

    They are kept beside the gate, because it takes long to compute them.
    """
    path = gate_file.with_suffix(".calibrated.npy")
    if path.is_file() and path.stat().st_mtime >= gate_file.stat().st_mtime:
        stored: FloatArray = np.load(path, allow_pickle=False)
        return stored
    calibrated = rows_of(panel, gate.latest.calibrated)
    first = max(0, calibrated.start - gate.rules.window)
    density = gate.density
    with torch_threads(1):
        states = density.states(panel.rows(0, calibrated.stop))[first:]
        found = judged(measured(density, gate.latest.reference, states), gate.rules)[calibrated.start - first :]
    ordered = np.sort(found[np.isfinite(found)])

    def write(target: Path) -> None:
        with target.open("wb") as file:
            np.save(file, ordered, allow_pickle=False)

    write_atomically(path, write)
    return ordered
