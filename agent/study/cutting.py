"""Where a data set is cut into train, validation and holdout: by shares at first, by date once a run has begun."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.knowledge.run_config import Cut
from agent.study.settings import Settings
from market.errors import InputError
from market.panel import Panel, TimeArray
from market.panel_on_disk import PanelOnDisk
from market.split import MIN_BARS, Split, SplitDates, dates_of, loop_panel, make_split, split_at

_DEFAULT_LOOKBACK = 240
# Until it was the label, the embargo was the longest look-back and this number of bars.
_FORMER_LABEL = 24
# Shares that settings which name none meant to earlier versions; see docs/decisions/0020-sized-for-power.md.
_FORMER_SHARES = {"train": 0.70, "validation": 0.15}


@dataclass(frozen=True)
class FrozenSplit:
    """Dates at which a data set is cut, whatever its shares have become since.

    Attributes
    ----------
    owner
        Name of the data set whose first run froze them, as messages say it.
    embargo, max_lookback
        As a run recorded them; None: as the settings have it.
    every_asset
        Whether assets without a bar in train and validation are kept there, as earlier versions did.
    """

    dates: SplitDates
    owner: str = ""
    embargo: int | None = None
    max_lookback: int | None = None
    every_asset: bool = False


def split_of(panel: Panel, settings: Settings, frozen: FrozenSplit | None = None) -> tuple[Split, int]:
    """Return the split of a whole panel and the longest look-back it allows.

    The embargo is what a label needs: formulas are not fitted, and what they read before a border was known there.
    Bars after the frozen dates are the holdout, however many. Where the dates leave train or validation too few bars,
    the bars before the holdout are shared out between the two.

    Raises
    ------
    InputError
        When a segment would keep fewer than 50 bars; of frozen dates, train or validation.
    """
    if frozen is None:
        split = make_split(len(panel.times), fractions=_shares(settings), embargo=label_bars(settings))
        return split, default_lookback(split, settings)
    embargo = label_bars(settings) if frozen.embargo is None else frozen.embargo
    split = split_at(panel.times, frozen.dates, embargo=embargo)
    if not _enough(split):
        split = _before_holdout(panel.times, split, settings, frozen)
    return split, default_lookback(split, settings) if frozen.max_lookback is None else frozen.max_lookback


def label_bars(settings: Settings) -> int:
    """Return the bars after a decision by which all that it earns is known; see `BacktestSpec.label_bars`."""
    return settings.backtest.holding + settings.backtest.rebalance


def default_lookback(split: Split, settings: Settings) -> int:
    """Return the longest allowed look-back in bars: 240, or 40 % of validation and its embargo where that is less."""
    if settings.split.max_lookback is not None:
        return settings.split.max_lookback
    # With the embargo: other trading rules leave it as it is.
    return _bounded(0.4 * (split.validation.stop - split.train.stop))


def _bounded(lookback: float) -> int:
    return max(20, min(_DEFAULT_LOOKBACK, int(lookback)))


def with_former_shares(settings: Settings) -> Settings:
    """Return settings as earlier versions read them: a share that is not written down is their default."""
    shares = {name: share for name, share in _FORMER_SHARES.items() if name not in settings.split.model_fields_set}
    return settings.model_copy(update={"split": settings.split.model_copy(update=shares)})


def former_split(panel: Panel, settings: Settings) -> FrozenSplit:
    """Return where earlier versions cut a whole panel: by their shares, with an embargo of the longest look-back."""
    then = with_former_shares(settings)
    shares, bars = then.split, len(panel.times)
    longest = _bounded(0.4 * shares.validation * bars) if shares.max_lookback is None else shares.max_lookback
    split = make_split(bars, fractions=_shares(then), embargo=longest + _FORMER_LABEL)
    return FrozenSplit(dates_of(panel, split), "", split.embargo, longest, every_asset=True)


def recorded_split(cut: Cut) -> FrozenSplit:
    """Return where a run cut its data."""
    return FrozenSplit(read_dates(cut.train_until, cut.validation_until), "", cut.embargo, cut.max_lookback)


def read_dates(train_until: str, validation_until: str) -> SplitDates:
    """Return dates as they are stored: ISO 8601, UTC."""
    return SplitDates(*(np.datetime64(text.rstrip("Z"), "ns") for text in (train_until, validation_until)))


def as_text(time: np.datetime64) -> str:
    """Return a time as it is stored: ``2026-01-31T12:00:00Z``."""
    return f"{str(time)[:19]}Z"


def cut_of(panel: Panel, split: Split, longest: int) -> Cut:
    """Return what a run records of the panel of train and validation, and of how it was cut."""
    dates = dates_of(panel, split)
    until = (as_text(dates.train_until), as_text(dates.validation_until))
    return Cut(panel.id, tuple(sorted(panel.fields)), *until, split.embargo, longest)


def loop_part(narrowed: Panel, split: Split, frozen: FrozenSplit | None) -> Panel:
    """Return train and validation of a whole panel whose universe is as the settings have it.

    Assets that have no bar there are left out: what is listed later makes no other panel of the same bars.
    """
    panel = loop_panel(narrowed, split)
    if isinstance(panel, PanelOnDisk):
        # Taken out of it, the other assets would have to fit into memory.
        return panel
    there = np.flatnonzero(np.isfinite(panel["close"]).any(axis=0))
    if len(there) == len(panel.assets) or (frozen is not None and frozen.every_asset):
        return panel
    return panel.select([panel.assets[k] for k in there])


def _shares(settings: Settings) -> tuple[float, float, float]:
    shares = settings.split
    rest = 1.0 - shares.train - shares.validation
    if rest <= 0:
        raise InputError(
            f"train {shares.train} and validation {shares.validation} leave no holdout",
            "lower one of them in alphaglow.toml [split]",
        )
    return shares.train, shares.validation, rest


def _enough(split: Split) -> bool:
    return all(part.stop - part.start >= MIN_BARS for part in (split.train, split.validation))


def _before_holdout(times: TimeArray, split: Split, settings: Settings, frozen: FrozenSplit) -> Split:
    """Share the bars before the frozen holdout out between train and validation; too few are an `InputError`."""
    train, validation, _ = _shares(settings)
    before = split.validation.stop
    first = min(round(before * train / (train + validation)), before - split.embargo - MIN_BARS)
    own = Split(slice(0, first), slice(first + split.embargo, before), split.holdout, split.embargo)
    if not _enough(own):
        name, until = frozen.owner or "these data", str(frozen.dates.validation_until)[:16]
        raise InputError(
            f"{len(times) - before} of {len(times)} bars are the holdout of {name}, which begins at {until}; the "
            f"{before} before it are too few for train and validation",
            "use data that begin earlier, or move the dates on purpose: alphaglow data split NAME",
        )
    return own
