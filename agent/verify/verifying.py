"""Judging a claim: both tests among its trials, worlds without skill, look-ahead, and what the result rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from agent.verify.aligning import Aligned, Known, align, is_matrix_of
from agent.verify.claim import Claim
from agent.verify.claim_reading import ReadingAs, read_claim
from agent.verify.look_ahead import Recompute, against_shortened, by_expression, by_program, too_good
from agent.verify.positions import Positions, take_positions
from agent.verify.questions import (
    concentration_of,
    decay_points,
    figures_of,
    flaws_of_data,
    under_other_rules,
    worlds_of,
    years_of,
)
from agent.verify.return_series import verify_returns
from agent.verify.significance import among_trials, most_trials, tested
from agent.verify.verification import Concentration, Flaw, LookAheadTest, Series, Verification
from agent.verify.verify_words import sentence_of
from backtest.mean_test import mean_test
from backtest.trading_rules import BacktestSpec
from market.errors import InputError
from market.files import from_frame, pandas_frame
from market.panel import Panel

# One bar, or one asset among many, that gave more than this share of all gains.
_TOO_MUCH = 0.5
_MANY_ASSETS = 10
# A share of positions outside of the universe that is worth a sentence.
_OUTSIDE = 0.01


@dataclass(frozen=True)
class Terms:
    """Under which terms a claim is judged.

    Attributes
    ----------
    trials
        How many signals were tried until this one was found; None is unknown.
    spec
        Trading rules and costs.
    known
        See `agent.verify.aligning.align`.
    level
        The size of each test.
    worlds
        How many worlds without skill of each kind; 0 leaves them out.
    expression
        The expression of the factor language that the signal is said to be; empty: none.
    shortened
        What the same program wrote from data that ended earlier.
    recompute
        A function of a panel that makes the claim's frame again, for Python alone; nothing else is ever run.
    """

    trials: int | None = None
    spec: BacktestSpec = field(default_factory=BacktestSpec)
    known: Known = "close"
    level: float = 0.05
    worlds: int = 100
    seed: int = 0
    expression: str = ""
    shortened: Claim | None = None
    recompute: Recompute | None = None
    reading: ReadingAs = field(default_factory=ReadingAs)

    def __post_init__(self) -> None:
        """Refuse terms that mean nothing."""
        if self.trials is not None and self.trials < 1:
            raise InputError(f"trials are 1 or more, not {self.trials}", "the signal itself is one")
        if not 0.0 < self.level < 0.5:
            raise InputError(f"the level is between 0 and 0.5, not {self.level:g}")


def verify(
    frame: Any,  # noqa: ANN401 - any frame of pandas, Polars or Arrow
    panel: Any = None,  # noqa: ANN401 - a panel, or such a frame of bars or closes
    terms: Terms | None = None,
) -> Verification:
    """Judge signals, weights, trades or returns in a frame; see `judge`."""
    terms = terms or Terms()
    claim = read_claim(frame, terms.reading)
    bars = panel if panel is None or isinstance(panel, Panel) else _bars_of(pandas_frame(panel), claim.assets)
    return judge(claim, bars, terms)


def _bars_of(table: pd.DataFrame, assets: Sequence[str]) -> Panel:
    """Return the panel of a frame; where the claim's assets are its columns, they hold closes."""
    names = [str(name) for name in table.columns]
    if not is_matrix_of(names, assets):
        return from_frame(table)
    named = table.set_axis(["ts", *names[1:]], axis=1)
    return from_frame(named.melt(id_vars="ts", var_name="symbol", value_name="close").dropna(subset=["close"]))


def judge(claim: Claim, panel: Panel | None, terms: Terms) -> Verification:
    """Judge a claim on a panel; returns may come without one.

    Raises
    ------
    InputError
        Where it cannot be judged: no panel, too few bars, or times and assets that are not the panel's.
    """
    if claim.kind == "returns":
        found = verify_returns(
            claim, panel, trials=terms.trials, level=terms.level, worlds=terms.worlds, seed=terms.seed
        )
        return replace(found, sentence=sentence_of(found))
    if panel is None:
        raise InputError(f"{claim.kind} need prices to be judged", "say --data NAME, or --data FILE of closes")
    aligned = align(claim, panel, known=terms.known, leverage=terms.reading.leverage)
    spec = _filled_as(terms.spec, aligned, panel)
    one = take_positions(aligned, panel, spec)
    found = _judged(claim, aligned, one, panel, terms)
    return replace(found, sentence=sentence_of(found))


def _filled_as(spec: BacktestSpec, aligned: Aligned, panel: Panel) -> BacktestSpec:
    """Return the rules with the fill that trades show; on closes alone it is never the close that a row was made of."""
    if aligned.fill is not None:
        return replace(spec, fill="open" if aligned.fill == "open" else spec.fill)
    if closes_alone(panel):
        return replace(spec, fill="close")
    return spec


def closes_alone(panel: Panel) -> bool:
    """Whether a panel's opens are the closes before, as those of closes alone are made."""
    opened, before = panel["open"][1:], panel["close"][:-1]
    known = np.isfinite(opened) & np.isfinite(before)
    return bool(known.any()) and bool((opened[known] == before[known]).all())


def _judged(claim: Claim, aligned: Aligned, one: Positions, whole: Panel, terms: Terms) -> Verification:
    paid, count = one.paid, terms.trials or 1
    rows: Any = np.arange(len(one.panel.times))[paid]
    rules = None if one.choice is None else one.choice.correlation(rows)
    predicts = tested(one.payoffs[paid], count, terms.level)
    earns = tested(one.backtest.net[paid], count, terms.level, rules)
    traded, rests = figures_of(one), concentration_of(one)
    looked = _looked_ahead(claim, one, whole, terms)
    flaws = [
        *(Flaw("prices", True, text) for text in aligned.flaws),
        *([] if looked is None or looked.passed else [Flaw("look_ahead", True, looked.text)]),
        *too_good(one, traded, looked),
        *flaws_of_data(one),
        *rests_on_little(rests, len(one.panel.assets)),
    ]
    among = among_trials(predicts, earns, terms.trials, terms.level)
    fatal = any(flaw.fatal for flaw in flaws)
    return Verification(
        shown=among[-1].shown and not fatal,
        sentence="",
        kind=claim.kind,
        data=one.panel.name,
        start=str(one.panel.times[one.part.start])[:16],
        end=str(one.panel.times[one.part.stop - 1])[:16],
        bars=len(rows),
        assets=int(np.isfinite(one.values).any(axis=0).sum()),
        level=terms.level,
        trials=terms.trials,
        predicts=predicts,
        earns=earns,
        among=among,
        most_trials=0 if fatal else most_trials(predicts, earns, terms.level),
        flaws=tuple(flaws),
        traded=traded,
        rule="" if one.choice is None else str(one.choice.rule),
        late=tested(one.later(1).payoffs[paid], 1, terms.level),
        worlds=worlds_of(one, terms.worlds, terms.seed, mean_test(one.payoffs[paid]).z),
        decay=decay_points(one),
        concentration=rests,
        under=under_other_rules(one),
        years=years_of(one),
        look_ahead=looked,
        notes=(*claim.notes, *aligned.notes, *_terms_said(one)),
        series=Series(one.panel.times[paid], one.backtest.gross[paid], one.backtest.net[paid]),
        simulated=one.panel.simulated,
    )


def _looked_ahead(claim: Claim, one: Positions, whole: Panel, terms: Terms) -> LookAheadTest | None:
    """Make the look-ahead tests that the terms allow; the first that fails is the answer."""
    found = None
    for test in _tests(claim, one, whole, terms):
        found = test()
        if not found.passed:
            break
    return found


def _tests(claim: Claim, one: Positions, whole: Panel, terms: Terms) -> Iterator[Callable[[], LookAheadTest]]:
    shorter, again, text = terms.shortened, terms.recompute, terms.expression
    if text:
        yield lambda: by_expression(text, one, whole)
    if shorter is not None:
        yield lambda: against_shortened(claim, shorter, whole)
    if again is not None:
        yield lambda: by_program(claim, again, whole, replace(terms.reading, kind=claim.kind))


def rests_on_little(rests: Concentration, assets: int) -> list[Flaw]:
    """Say where one bar, or one of many assets, gave more than half of all gains."""
    found = []
    if rests.best_bar > _TOO_MUCH:
        found.append(Flaw("one_bar", True, f"{rests.best_bar:.0%} of all it gained came at {rests.best_bar_time}"))
    if rests.best_asset > _TOO_MUCH and assets > _MANY_ASSETS:
        text = f"{rests.best_asset:.0%} of all it gained came from {rests.best_asset_name} alone"
        found.append(Flaw("one_asset", True, text))
    return found


def _terms_said(one: Positions) -> tuple[str, ...]:
    costs, spec = one.spec.costs, one.spec
    said = [
        f"filled at the {spec.fill} of the next bar; {costs.per_trade * 1e4:g} bp of each trade are paid"
        + (f", and {costs.borrow_bp_year:g} bp a year on shorts" if costs.borrow_bp_year else "")
    ]
    if one.choice is not None:
        said.append(
            f"signals are traded {one.choice.rule}: the best of {len(one.choice.figures)} rules, "
            "which the test of earning allows for"
        )
    sizes = np.abs(np.nan_to_num(one.targets))
    outside = float(sizes[~one.panel.universe].sum() / max(float(sizes.sum()), 1e-12))
    if outside > _OUTSIDE:
        said.append(f"{outside:.0%} of the positions lie outside of the data's universe: predicts leaves them out")
    if not np.any(one.panel["volume"] > 0):
        said.append("the data have no volume: impact and capacity are unknown")
    return tuple(said)
