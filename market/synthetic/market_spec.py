"""What to simulate, and the truth that comes with it."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.errors import InputError
from market.panel import FloatArray, Panel

DRIVERS = {
    "volume": "ts_mean(volume, 24) / ts_mean(volume, 168)",
    "funding": "-funding_rate",
    "wave": "the panel's field of the signal's own name",
}
ANOMALIES = {
    "flash_crash": "a fall of `size` in a few bars, mostly taken back, on ten times the volume",
    "burst": "volatility times `size`, volume with it",
    "dead": "hardly any move or volume",
    "decoupling": "the assets concerned no longer follow the market",
    "herding": "everything moves with the market",
    "volume_surge": "volume times `size` without a move",
    "stuck_volume": "the same volume in every bar",
    "stale": "the same price in every bar",
    "halt": "no bars",
}
_SIZES = {"flash_crash": 0.25, "burst": 5.0, "volume_surge": 10.0}


@dataclass(frozen=True)
class Regime:
    """One state of the market.

    Attributes
    ----------
    drift
        Mean log return of the market a bar.
    volatility, volume
        Multiples of the calm ones.
    correlation
        Share of an average asset's variance that is the market's, in [0, 1).
    stay
        Mean number of bars of a visit.
    """

    name: str
    drift: float = 0.0
    volatility: float = 1.0
    volume: float = 1.0
    correlation: float = 0.35
    stay: float = 300.0


@dataclass(frozen=True, eq=False)
class PlantedSignal:
    """A signal planted into returns.

    Attributes
    ----------
    name
        For the truth, and for the panel's field of a ``wave``.
    ic
        Rank IC: mean Spearman correlation, over the assets of a bar, between the signal at the bar's close and the
        return of the next bar. One figure, or one for each regime of the bar in which the return is earned.
    driver
        A name of `DRIVERS`, or (T, N) values of your own.
    """

    name: str
    ic: float | Mapping[str, float] = 0.03
    driver: str | FloatArray = "wave"

    def ic_in(self, regime: str) -> float:
        """Return the rank IC in a regime; 0 in one that is not named."""
        return float(self.ic.get(regime, 0.0)) if isinstance(self.ic, Mapping) else float(self.ic)


@dataclass(frozen=True)
class Anomaly:
    """Windows of one kind of anomaly (see `ANOMALIES`): how many, how long, for what share of assets, how large."""

    kind: str
    count: int = 1
    bars: int = 24
    share: float = 1.0
    size: float = 0.0


@dataclass(frozen=True)
class Window:
    """One planted anomaly: rows [start, stop) and the columns concerned."""

    kind: str
    start: int
    stop: int
    columns: tuple[int, ...]


CALM = Regime("calm")
WILD = Regime("wild", volatility=2.2, volume=1.8, correlation=0.5, stay=120.0)
CRASH = Regime("crash", drift=-0.002, volatility=4.5, volume=4.0, correlation=0.75, stay=40.0)


@dataclass(frozen=True, eq=False)
class MarketSpec:
    """A market to simulate; the same spec gives the same panel.

    Attributes
    ----------
    bar_hours
        Length of a bar in hours; days are 24.
    volatility
        Standard deviation of an average asset's log return per calm bar.
    tail
        Degrees of freedom of the Student-t that draws returns, above 2: 4 is hourly crypto.
    jumps, jump_size
        Market jumps a year, each taken by four assets in five in proportion to beta; standard deviation of one, in
        deviations of a calm bar. Every asset has as many of its own.
    listings
        Share of assets that are listed after the panel's start, at even odds of any bar of its first three quarters.
    deaths
        Share of assets that end before the panel does, after a long fall.
    funding
        Whether to simulate funding of perpetuals, settled every eight hours.
    """

    seed: int = 7
    assets: int = 50
    bars: int = 8760
    bar_hours: float = 1.0
    start: str = "2022-01-01"
    volatility: float = 0.006
    tail: float = 4.0
    jumps: float = 20.0
    jump_size: float = 8.0
    listings: float = 0.0
    deaths: float = 0.0
    funding: bool = True
    regimes: tuple[Regime, ...] = (CALM, WILD, CRASH)
    signals: tuple[PlantedSignal, ...] = ()
    anomalies: tuple[Anomaly, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be simulated."""
        if self.assets < 1 or self.bars < 200:
            raise InputError(
                f"a synthetic market needs at least 1 asset and 200 bars; asked for: {self.assets} and {self.bars}"
            )
        if not (self.tail > 2 and self.volatility > 0 and self.bar_hours > 0):
            raise InputError("tail must be above 2, volatility and bar_hours above 0")
        if not self.regimes or len({regime.name for regime in self.regimes}) < len(self.regimes):
            raise InputError("regimes need names of their own, and there must be one")
        for share in (self.listings, self.deaths, *(regime.correlation for regime in self.regimes)):
            if not 0 <= share < 1:
                raise InputError(f"a share or correlation of {share} is not in [0, 1)")
        names = [signal.name for signal in self.signals]
        if len(set(names)) < len(names) or set(names) & {"open", "high", "low", "close", "volume", "funding"}:
            raise InputError(f"signals need names of their own, not {', '.join(names)}")
        for signal in self.signals:
            if isinstance(signal.driver, str) and signal.driver not in DRIVERS:
                raise InputError(f"no driver {signal.driver!r}", f"there is {', '.join(DRIVERS)}")
            if isinstance(signal.driver, str) and signal.driver == "funding" and not self.funding:
                raise InputError(f"{signal.name} is driven by funding, and there is none", "say funding = true")
            known = {regime.name for regime in self.regimes}
            if isinstance(signal.ic, Mapping) and (strange := set(signal.ic) - known):
                raise InputError(f"{signal.name}: no regime {', '.join(strange)}", f"there is {', '.join(known)}")
            if not all(abs(signal.ic_in(name)) < 0.9 for name in known):
                raise InputError(f"{signal.name}: a rank IC must lie in (-0.9, 0.9)")
        for anomaly in self.anomalies:
            if anomaly.kind not in ANOMALIES:
                raise InputError(f"no anomaly {anomaly.kind!r}", f"there is {', '.join(ANOMALIES)}")
            if anomaly.count < 1 or anomaly.bars < 1 or not 0 < anomaly.share <= 1 or anomaly.size < 0:
                raise InputError(f"{anomaly.kind}: count and bars must be 1 or more, the share in (0, 1]")
            if 3 * anomaly.count * (anomaly.bars + 2) > self.bars:
                raise InputError(f"{anomaly.count} windows of {anomaly.bars} bars do not fit into {self.bars}")

    def size_of(self, anomaly: Anomaly) -> float:
        """Return an anomaly's size, its kind's own by default."""
        return anomaly.size or _SIZES.get(anomaly.kind, 1.0)


@dataclass(frozen=True, eq=False)
class Truth:
    """What was planted.

    Attributes
    ----------
    regimes
        (T,) places in the spec's regimes.
    signals
        Name to (T, N) values of each planted signal; NaN where an asset does not live.
    windows
        The anomalies.
    born, died
        (N,) first row of each asset, and row after its last.
    beta
        (N,) each asset's share in the market's moves.
    """

    regimes: NDArray[np.int64]
    signals: Mapping[str, FloatArray]
    windows: tuple[Window, ...]
    born: NDArray[np.int64]
    died: NDArray[np.int64]
    beta: FloatArray


@dataclass(frozen=True, eq=False)
class SyntheticMarket:
    """A simulated panel, its truth, and the spec that made it."""

    panel: Panel
    truth: Truth
    spec: MarketSpec = field(repr=False)


def read_spec(path: Path) -> MarketSpec:
    """Read a spec from a TOML file: the fields of `MarketSpec`, and tables regimes, signals and anomalies.

    Raises
    ------
    InputError
        For a file that cannot be read, an unknown name, or a value of the wrong type.
    """
    try:
        facts = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"no such file: {path}") from error
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}", "is it TOML?") from error
    kinds: dict[str, type[Any]] = {"regimes": Regime, "signals": PlantedSignal, "anomalies": Anomaly}
    parts = {
        name: tuple(_built(kind, row, f"{path} [{name}]") for row in facts.pop(name))
        for name, kind in kinds.items()
        if name in facts
    }
    spec: MarketSpec = _built(MarketSpec, {**facts, **parts}, str(path))
    return spec


def _built(kind: type[Any], facts: Mapping[str, Any], where: str) -> Any:  # noqa: ANN401 - one of the specs
    known = {item.name: item for item in dataclasses.fields(kind)}
    if strange := set(facts) - set(known):
        raise InputError(f"{where}: no setting {', '.join(sorted(strange))}", f"there is {', '.join(known)}")
    for name, value in facts.items():
        usual = known[name].default
        number = isinstance(usual, (int, float)) and not isinstance(usual, bool)
        if number and name != "ic" and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise InputError(f"{where}: {name} is a number, not {value!r}")
        if isinstance(usual, int) and not isinstance(value, int):
            raise InputError(f"{where}: {name} is a whole number, not {value!r}")
    if "name" in known and "name" not in facts:
        raise InputError(f"{where}: one has no name")
    if kind is Anomaly and "kind" not in facts:
        raise InputError(f"{where}: one has no kind", f"there is {', '.join(ANOMALIES)}")
    return kind(**facts)
