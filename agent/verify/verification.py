"""What was found out about somebody's signal, as frozen types with a JSON form."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from agent.verify.claim import Kind
from backtest.result_types import NAN, NOT_TESTED, DecayPoint, Tested, to_json_types
from market.panel import FloatArray, TimeArray

# What a number of trials would mean, where none was declared.
IF_TRIALS = (1, 10, 100, 1_000)


@dataclass(frozen=True, slots=True)
class AmongTrials:
    """Both tests if the signal were the best of a number of trials: p-values of the best, and whether both pass.

    `predicts_p` is NaN where nothing but returns is known.
    """

    trials: int
    predicts_p: float
    earns_p: float
    hurdle: float
    shown: bool


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong, or cannot be excluded; a `fatal` one means that nothing is shown, whatever the tests say."""

    code: str
    fatal: bool
    text: str


@dataclass(frozen=True, slots=True)
class Worlds:
    """Scores of the same positions in worlds without skill: `reached` is the share that scored as high as this one.

    `mean_z` and `deviation_z` say whether the test has its size here: without skill they are about 0 and 1.
    """

    kind: str
    count: int
    mean_z: float
    deviation_z: float
    reached: float


@dataclass(frozen=True, slots=True)
class LookAheadTest:
    """Whether values come out the same when later bars are not there yet; `how` says what was made again."""

    how: str
    passed: bool
    text: str


@dataclass(frozen=True, slots=True)
class Concentration:
    """On how little the result rests: shares of the whole gross gain, NaN where nothing was gained."""

    best_bar: float = NAN
    best_percent: float = NAN
    best_asset: float = NAN
    best_bar_time: str = ""
    best_asset_name: str = ""


@dataclass(frozen=True, slots=True)
class Traded:
    """What the positions did over the judged bars; returns are fractions a year, costs in basis points."""

    sharpe_gross: float = NAN
    sharpe_net: float = NAN
    sharpe_error: float = NAN
    return_gross: float = NAN
    return_net: float = NAN
    cost_year: float = NAN
    turnover: float = NAN
    max_drawdown: float = NAN
    break_even_bp: float = NAN
    capacity: float = NAN
    mean_exposure: float = NAN
    rank_ic: float = NAN
    rank_ic_t: float = NAN


@dataclass(frozen=True, slots=True)
class UnderRules:
    """What is left under other costs or fills, or a bar later."""

    label: str
    sharpe_net: float
    return_net: float
    net_z: float


@dataclass(frozen=True, slots=True)
class YearFigures:
    """One calendar year: bars, gross and net return of the year, and the score of what it pays."""

    year: str
    bars: int
    gross: float
    net: float
    z: float


@dataclass(frozen=True, eq=False)
class Series:
    """What the page draws: bars, and their gross and net returns (T,)."""

    times: TimeArray
    gross: FloatArray
    net: FloatArray


@dataclass(frozen=True)
class Verification:
    """A judgement of somebody's signal.

    Attributes
    ----------
    shown
        Whether it predicts and earns beyond luck among the trials, and nothing fatal is wrong with it.
    sentence
        The same in words.
    trials
        As declared; None is unknown, and then `shown` asks that it holds among the most of `IF_TRIALS`.
    predicts, earns
        The two tests (see `backtest.evidence`), among the declared trials or those of a single one. Of returns,
        `predicts` is of what the market does not explain, and not made without a panel.
    most_trials
        The largest number of independent trials of which, as the best, it would still be shown; 0: none.
    late
        Score before costs when each row comes a bar later.
    """

    shown: bool
    sentence: str
    kind: Kind
    data: str
    start: str
    end: str
    bars: int
    assets: int
    level: float
    trials: int | None
    predicts: Tested
    earns: Tested
    among: tuple[AmongTrials, ...]
    most_trials: int
    flaws: tuple[Flaw, ...]
    traded: Traded
    rule: str = ""
    late: Tested = NOT_TESTED
    worlds: tuple[Worlds, ...] = ()
    decay: tuple[DecayPoint, ...] = ()
    concentration: Concentration = field(default_factory=Concentration)
    under: tuple[UnderRules, ...] = ()
    years: tuple[YearFigures, ...] = ()
    look_ahead: LookAheadTest | None = None
    notes: tuple[str, ...] = ()
    series: Series | None = field(default=None, repr=False, compare=False)
    simulated: bool = False

    @property
    def fatal(self) -> tuple[Flaw, ...]:
        """What makes the figures worthless."""
        return tuple(flaw for flaw in self.flaws if flaw.fatal)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, NaN as None, without the series."""
        found = to_json_types({k: v for k, v in asdict(self).items() if k != "series"})
        assert isinstance(found, dict)
        return found
