"""What came of a signal: figures, series, positions and trades as frames, its verdict in words, a picture, a page."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from agent.cli.scorecard_print import SCORECARD_ROWS
from agent.study.study import Study, remarks
from agent.study.trade_frame import framed_trades
from alphaglow.factor_face import Factor
from backtest.ic import quantile_series
from backtest.policy import counted
from backtest.result_types import Evidence, Profile, Scorecard
from backtest.rule_words import rule_sentence
from backtest.run import Backtest
from backtest.scorecard import Scored
from backtest.trade_figures import total_return
from backtest.trade_list import trades_of
from backtest.trading_rules import BacktestSpec
from backtest.verdict_words import verdict_sentence
from market.errors import InputError
from market.panel import FloatArray, Panel
from market.panel_frames import asset_index, framed
from market.ranking import rank_panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from agent.knowledge.records import AttemptRecord
    from agent.study.workspace import Workspace as Folder

Kind = Literal["net", "gross"]
Table = Literal["years", "regimes", "horizons", "decay", "assets"]


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """A signal that was backtested on a panel.

    A decision at the close of a bar is filled at the next bar's open (or close, by the rules). Positions and returns
    stand at the bar of the fill: what is held from its open on, and what that earns until the next fill.

    Attributes
    ----------
    study
        The panel as it was cut for work, and the rules.
    scorecard
        Figures of train, and of validation where the trial was recorded.
    evidence
        The tests, each among all trials: those of the workspace, or of the call.
    factor
        The factor that it is; None for given values.
    attempt
        The recorded trial; None where nothing was recorded.
    """

    name: str
    study: Study
    scorecard: Scorecard
    evidence: Evidence
    factor: Factor | None = None
    attempt: AttemptRecord | None = None
    note: str = ""
    workspace: Folder | None = None
    recorded: bool = False
    _made: Callable[[], tuple[FloatArray, Scored]] = field(default=lambda: _nothing())

    @cached_property
    def made(self) -> tuple[FloatArray, Scored]:
        """The signal's values (T, N) on the panel, and its score with all series; made when first asked for."""
        return self._made()

    @property
    def panel(self) -> Panel:
        """The bars of train and validation."""
        return self.study.panel

    @property
    def parts(self) -> tuple[str, ...]:
        """The segments that are shown."""
        return ("train", "validation") if self.recorded else ("train",)

    @property
    def _stop(self) -> int:
        """Decisions before this row are shown: the last ones of a segment are paid behind it."""
        split = self.study.split
        last: int = (split.validation if self.recorded else split.train).stop
        return last - 2

    @property
    def _traded(self) -> Backtest:
        scored = self.made[1]
        return scored.gated or scored.backtest

    @property
    def spec(self) -> BacktestSpec:
        """The trading rules that it was traded under: those of the settings, or its own as chosen on train."""
        return self._traded.spec

    @property
    def verdict(self) -> str:
        """The verdict, what was found with its error, and among how many trials, in a sentence."""
        said = verdict_sentence(self.evidence, self.scorecard, self.study.policy.level)
        return f"{self.word}: {said}"

    @property
    def word(self) -> str:
        """The verdict in a word; where validation was not asked, what train alone says."""
        if self.recorded:
            return self.evidence.verdict
        return f"{'passes' if self.evidence.verdict == 'untested' else self.evidence.verdict} on train"

    def summary(self) -> pd.DataFrame:
        """Return figures by segment; see `backtest.result_types.SegmentScore`. Of a gate only where there is one.

        `total_return` is that of a segment from its first bar to its last, after costs.
        """
        parts = {name: getattr(self.scorecard, name) for name in self.parts}
        rows = {
            key: [getattr(part, key) for part in parts.values()]
            for _, key, _, _ in (*SCORECARD_ROWS, *_SCORES)
            if self.study.exposures is not None or ("gated" not in key and key != "shift_percentile")
        }
        year = self.scorecard.bars_per_year
        rows["total_return"] = [total_return(part, year) for part in parts.values()]
        return pd.DataFrame.from_dict(rows, orient="index", columns=list(parts)).rename_axis("figure")

    def ic(self) -> pd.Series[float]:
        """Return the rank IC of each bar, at the bar at whose close the signal is known; NaN in a time series."""
        return pd.Series(self.made[1].ic[: self._stop], index=self._index(0), name="rank_ic")

    def signal(self) -> pd.DataFrame:
        """Return the signal, at the bar at whose close it is known."""
        return framed(self.made[0], self.panel).iloc[: self._stop]

    def returns(self, kind: Kind = "net") -> pd.Series[float]:
        """Return what the portfolio earns from each fill to the next, after costs or before them (``gross``)."""
        return pd.Series(getattr(self._traded, kind)[: self._stop], index=self._index(1), name=kind)

    def positions(self) -> pd.DataFrame:
        """Return the weights just after each fill, as fractions of capital."""
        return pd.DataFrame(self._traded.weights[: self._stop], index=self._index(1), columns=asset_index(self.panel))

    def ledger(self) -> pd.DataFrame:
        """Return what each bar earned, paid and traded; net is gross less cost, impact and funding."""
        traded, stop = self._traded, self._stop
        impact = traded.impact * math.sqrt(traded.spec.costs.capital)
        columns = {
            "gross": traded.gross,
            "cost": traded.cost,
            "impact": impact,
            "funding": traded.funding,
            "net": traded.net,
            "turnover": traded.turnover,
            "exposure": traded.exposure,
            "net_exposure": traded.bias,
        }
        return pd.DataFrame({name: series[:stop] for name, series in columns.items()}, index=self._index(1))

    def trades(self) -> pd.DataFrame:
        """Return each position from its opening to its close or turn; amounts are fractions of capital.

        The sums of `gross`, `cost` and `net` are those of the ledger. Where `exit` is missing the position is open.
        """
        found = trades_of(self._traded, self.study.target.market, self.panel.bars_per_year, self._stop)
        return framed_trades(found, self.study, self._stop)

    def quantiles(self, count: int = 5) -> pd.DataFrame:
        """Return what each quantile of the signal earns a bar before costs: mean, standard error, bars; 1 is lowest."""
        if count < 2:
            raise InputError(f"{count} quantiles cannot be compared", "ask for 2 or more")
        signal = np.where(self.panel.universe, self.made[0], np.nan)
        series = quantile_series(rank_panel(signal), self.study.target.forward, count)[: self._stop]
        bars = np.isfinite(series).sum(axis=0)
        frame = pd.DataFrame(series)
        rows = {"mean": frame.mean().to_numpy(), "error": frame.sem().to_numpy(), "bars": bars}
        return pd.DataFrame(rows, index=pd.RangeIndex(1, count + 1, name="quantile"))

    def by(self, table: Table, part: str = "train") -> pd.DataFrame:
        """Return a table of a segment: by year, regime, horizon, age of the positions (``decay``), or asset."""
        if part not in self.parts:
            raise InputError(f"{part!r} is not shown", f"there is {', '.join(self.parts)}")
        found = self.made[1].scorecard.profiles
        assert found is not None
        profile: Profile = found[part]
        if table not in ("years", "regimes", "horizons", "decay", "assets"):
            raise InputError(f"no table {table!r}", "there are years, regimes, horizons, decay, assets")
        return pd.DataFrame([asdict(row) for row in getattr(profile, table)])

    def plot(self) -> Figure:
        """Return a figure of matplotlib: equity, drawdown, rank IC and quantiles. Needs the extra ``plot``."""
        from alphaglow.pictures import draw

        return draw(self)

    def report(self, path: str | Path) -> Path:
        """Write the page of the factor, one offline HTML file, and return its path."""
        from alphaglow.pages import write_page

        return write_page(self, Path(path))

    def to_alphalens(self) -> dict[str, Any]:
        """Return `factor` and `prices` for alphalens' ``get_clean_factor_and_forward_returns(**...)``."""
        from alphaglow.interop import to_alphalens

        return to_alphalens(self)

    def to_vectorbt(self) -> dict[str, Any]:
        """Return the keywords of ``vbt.Portfolio.from_orders(**...)``: weights, prices of the fills, and fees."""
        from alphaglow.interop import to_vectorbt

        return to_vectorbt(self)

    def to_quantstats(self) -> pd.Series[float]:
        """Return net returns a day, as quantstats, empyrical and pyfolio read them."""
        from alphaglow.interop import to_quantstats

        return to_quantstats(self)

    def to_qlib(self) -> pd.DataFrame:
        """Return the signal as Qlib's strategies and reports read it: `score` by (datetime, instrument)."""
        from alphaglow.interop import signal_for_qlib

        return signal_for_qlib(self)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know: of the record, of the factor's text, of the data."""
        alone = (
            ""
            if self.recorded
            else f"figures of train alone, judged among {counted(self.evidence.trials)}; nothing is recorded"
        )
        said = (alone, self.note, rule_sentence(self.scorecard), *(() if self.factor is None else self.factor.notes))
        return tuple(one for one in (*said, *remarks(self.study)) if one)

    def _index(self, later: int) -> pd.DatetimeIndex:
        return pd.DatetimeIndex(self.panel.times[later : self._stop + later], name="time")

    def __repr__(self) -> str:
        """Return the verdict and the main figures."""
        train = self.scorecard.train
        figures = f"train net Sharpe {train.sharpe_net:.2f}, rank IC {train.rank_ic:.4f}, turnover {train.turnover:.1%}"
        return f"Result({self.name!r}: {self.verdict}; {figures})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the verdict, the main figures, and the notes."""
        shown = self.summary().loc[[key for key in _SHOWN if key in self.summary().index]]
        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(_LABELS[key])}</th>"
            + "".join(f"<td>{_written(key, value)}</td>" for value in values)
            + "</tr>"
            for key, values in zip(shown.index, shown.to_numpy(), strict=True)
        )
        head = "".join(f"<th>{part}</th>" for part in self.parts)
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        return (
            f"<div><code>{escape(self.name)}</code><p><b>{escape(self.verdict)}</b></p>"
            f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table>"
            f"<ul style='font-size:85%'>{notes}</ul></div>"
        )


# Scores of the two tests, beside the rows of the scorecard.
_SCORES = (("payoff score", "payoff_z", 2, False), ("net score", "net_z", 2, False))
_LABELS = {key: label for label, key, _, _ in (*SCORECARD_ROWS, *_SCORES)}
_FORMS = {key: (digits, percent) for _, key, digits, percent in (*SCORECARD_ROWS, *_SCORES)}
_SHOWN = (
    "payoff_z", "net_z", "sharpe_gross", "sharpe_net", "sharpe_gated", "annual_return_net", "max_drawdown", "cost_year",
    "turnover", "break_even_bp", "rank_ic", "n_bars",
)  # fmt: skip


def _written(key: str, value: float) -> str:
    digits, percent = _FORMS[key]
    if not math.isfinite(value):
        return "–"
    return f"{value:,.{digits}%}" if percent else f"{value:,.{digits}f}"


def _nothing() -> tuple[FloatArray, Scored]:
    raise InputError("this result has no series", "evaluate the signal again")
