"""How a gate is fitted, as plain records: the flow's shape, its training, and how likelihood becomes exposure.

This module imports no torch, so that settings take their defaults from it and stay quick to import.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from market.errors import InputError
from market.plugins import Registry

KINDS = ("glow", "realnvp", "nsf", "autoregressive")
Base = Literal["normal", "student", "mixture"]
Measure = Literal["drawdown", "likelihood", "given_volatility", "over_gaussian", "volatility"]
Side = Literal["low", "both"]
Scope = Literal["asset", "market"]
Device = Literal["cpu", "cuda", "auto"]
Precision = Literal["float32", "bfloat16"]
# Flows of an ensemble, and days between dated refits (0: fitted once, on train).
MEMBERS = 1
REFIT_DAYS = 0.0
# Widest band in which an exposure by expected drawdown stays: what follows the market in larger steps comes late.
_BAND = 0.1


@dataclass(frozen=True)
class FlowConfig:
    """The shape of a flow.

    Attributes
    ----------
    kind
        ``glow``: ActNorm, LU-invertible linear map, affine coupling (Kingma & Dhariwal 2018). ``realnvp``: affine
        couplings of alternating halves (Dinh et al. 2016). ``nsf``: as glow, with rational-quadratic spline couplings
        (Durkan et al. 2019), from the package zuko. ``autoregressive``: masked affine layers and mixtures of Gaussians
        (`flows.autoregressive`), one level; three steps, 64 wide, are enough. Or the name of a plugin; see
        `ADDED_MODELS`.
    steps
        Steps in each level. After each level but the last, half of the channels leave as latents: levels of 16, 8 and 4
        channels leave 8, 4 and 4. Half of the dimensions leave the first, so it needs most of the steps: (12, 2, 2).
        One level says a tenth of a nat more on 16 features, in less time.
    actnorm
        Whether steps begin with one; only ``realnvp`` may do without.
    conditional_prior
        Whether what leaves a level is standardised by a linear function of what stays (Kingma & Dhariwal 2018, sec.
        3.6, eq. 12 of Dinh et al.).
    base
        Of the latents: standard normal, Student's t with learned degrees of freedom, or a mixture of Gaussians
        (`flows.bases`).
    components
        Of a mixture.
    bins
        Of a spline.
    """

    dim: int = 16
    kind: str = "glow"
    steps: tuple[int, ...] = (14,)
    hidden: int = 48
    actnorm: bool = True
    conditional_prior: bool = False
    base: Base = "normal"
    components: int = 4
    bins: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be split."""
        halvings = len(self.steps) - 1
        if not self.steps or min(self.steps) < 1:
            raise InputError(f"steps {self.steps}: each level needs one or more")
        if self.dim % 2**halvings or self.dim // 2**halvings < 2:
            raise InputError(
                f"{self.dim} dimensions cannot be halved {halvings} times", "use fewer levels, or pad the features"
            )
        if not self.actnorm and self.kind != "realnvp":
            raise InputError(f"{self.kind} begins its steps with ActNorm", "leave actnorm on")

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types."""
        return {**asdict(self), "steps": list(self.steps)}


@dataclass(frozen=True)
class TrainConfig:
    """How a flow is trained: AdamW, warm-up and cosine, clipped gradients, early stop on validation.

    Attributes
    ----------
    noise
        Width of the uniform noise that is drawn for each batch, in standard deviations of a feature: it spreads
        values that come often (no volume, no shadow), on which a density could pile up without bound.
    warmup
        Share of training over which the learning rate rises.
    ema
        Decay of an average of the weights, which is then what is kept; 0 is none.
    seconds
        Stop after this time, the schedule running to its end by then; the outcome then depends on the machine.
    threads
        Of torch. Two gain a fifth on a quiet machine and lose manifold on a busy one.
    device
        ``cpu``, ``cuda``, or ``auto``: a GPU where there is one.
    precision
        Of the couplings' networks in training: ``float32``, or ``bfloat16`` for their products; all else, and every
        likelihood that is reported, stays in 32 bits.
    """

    lr: float = 1e-2
    weight_decay: float = 1e-5
    batch: int = 1024
    epochs: int = 30
    warmup: float = 0.05
    patience: int = 8
    clip: float = 1.0
    noise: float = 0.05
    ema: float = 0.0
    seed: int = 7
    max_rows: int = 40_000
    seconds: float | None = None
    threads: int = 1
    device: str = "cpu"
    precision: Precision = "float32"


@dataclass(frozen=True)
class GateRules:
    """How likelihood becomes exposure.

    Attributes
    ----------
    percentile
        Share of the states on the calibration rows, in percent, that find the gate shut.
    side
        ``low``: the unlikely ones. ``both``: half of the percentile each for the unlikely and the most likely, since
        the typical set of a density leaves out its mode, too (Nalisnick et al. 2019, arXiv 1906.02994).
    hysteresis
        Exposure stays as it is until it would change by more than this, or reaches 0 or 1: what flickers is traded.
        Under ``drawdown``, whose exposure is between the two for most of the time, a tenth at most.
    window
        Bars over which likelihood is averaged before it gates. A regime lasts; a single odd bar does not make one. A
        forecast of drawdown has windows of its own.
    scope
        ``asset``: each asset has its own exposure. ``market``: all have one, by the mean over the universe: a
        cross-sectional portfolio then stays neutral.
    measure
        What is judged; see `flows.reference`. All but ``drawdown`` shut at a percentile.
    exposure
        Under ``drawdown``: mean exposure on the calibration rows, which sets the drawdown that is aimed at.
    """

    percentile: float = 5.0
    side: Side = "low"
    hysteresis: float = 0.25
    window: int = 12
    scope: Scope = "market"
    measure: Measure = "drawdown"
    exposure: float = 0.8

    @property
    def averaged(self) -> int:
        """Bars over which what is judged is averaged."""
        return 1 if self.measure == "drawdown" else self.window

    @property
    def band(self) -> float:
        """The change up to which exposure stays as it is."""
        return min(self.hysteresis, _BAND) if self.measure == "drawdown" else self.hysteresis


def _model_added(value: object) -> Callable[[FlowConfig], Any]:
    if not callable(value):
        raise TypeError(f"it is a {type(value).__name__}, and not a function from a FlowConfig to a MarketFlow")
    return value


# Densities that installed distributions add in the group alphaglow.models: each is a subclass of
# `flows.flow_model.MarketFlow`, or a function from a `FlowConfig` to one. Those built in are `KINDS`.
ADDED_MODELS: Registry[Callable[[FlowConfig], Any]] = Registry("models", {}, _model_added)


def model_fault(kind: str) -> str:
    """Return what is wrong with the name of a density, in words; empty if nothing is."""
    if kind in KINDS or kind in ADDED_MODELS:
        return ""
    return f"no such model: {kind}; there are {', '.join((*KINDS, *ADDED_MODELS))}"
