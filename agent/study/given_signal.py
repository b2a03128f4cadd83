"""A signal that somebody brings as values, scored as an expression is: on train and validation, by a study's rules."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from agent.study.study import Study
from backtest.evidence import UNTESTED, Trials, reach_verdict
from backtest.luck import fingerprint_of
from backtest.max_test import LargestScores, draw_seed
from backtest.result_types import Evidence, Verdict
from backtest.run import small_universe
from backtest.scorecard import Scored, paid_rows, score_signal
from backtest.signal_shape import sample_rows, shape_of
from factors.checks import check_values
from market.errors import Rejection
from market.panel import FloatArray, Panel

UNASKED = "nothing is recorded, so validation was not asked"


def backtest_values(values: FloatArray, study: Study) -> Scored | Rejection:
    """Backtest (T, N) values on the study's panel, known at each bar's close; what cannot be traded is a rejection."""
    stop = study.split.train.stop
    fault = check_values(values, study.panel, stop=stop) or small_universe(values, study.panel, study.spec, stop)
    if fault is not None:
        return fault
    rng = np.random.default_rng([study.seed, int(values_id(values)[-8:], 16)])
    return score_signal(
        values, study.target, study.split, gate=study.exposures, rng=rng, cutoff=study.cutoff, grid=study.grid
    )


def sees_later_bars(values_of: Callable[[Panel], FloatArray], whole: FloatArray, panel: Panel) -> Rejection | None:
    """Return a rejection if past values of a signal (T, N), `whole`, change when later bars are cut off, or None.

    Rounding may differ: a change is one that is larger than a millionth.
    """
    bars = len(panel.times)
    for cut in (bars // 3, 2 * bars // 3, bars - 1):
        part = values_of(panel.rows(0, cut))
        same = np.isclose(part, whole[:cut], rtol=1e-6, atol=1e-12, equal_nan=True)
        if not same.all():
            bar, asset = np.argwhere(~same)[0]
            return Rejection(
                "evidence",
                "look_ahead",
                f"the signal knows the future: its value at {str(panel.times[bar])[:16]} for {panel.assets[asset]} is "
                f"another when the bars from {str(panel.times[cut])[:16]} on are cut off",
                "use windows that end with the bar: no statistic of the whole, no shift(-1), no backward fill",
            )
    return None


def values_id(values: FloatArray) -> str:
    """Return ``signal:`` and 16 hex digits of the values' hash."""
    return f"signal:{hashlib.sha256(np.nan_to_num(values, nan=-1.2345e301).tobytes()).hexdigest()[:16]}"


def judged_on_train(
    tried: Sequence[tuple[FloatArray, Scored]], study: Study, trials: int | None = None
) -> list[Evidence]:
    """Return what train says of signals that were tried together, each among all of them; nothing is recorded.

    Validation is not looked at: what passes is *untested*; what predicts there and does not earn is *promising*.

    Parameters
    ----------
    tried
        The values (T, N) of each, and its score.
    trials
        How many were tried in all, where that is more than these; None: these.
    """
    train = study.split.train
    prints = [fingerprint_of(scored.plain_gross[paid_rows(train)]) for _, scored in tried]
    largest = LargestScores(draw_seed(study.dataset))
    # One trial by itself is as the normal distribution has it.
    largest.add(prints if len(prints) > 1 else ())
    among = Trials(max(trials or 0, len(tried)), 0.0, largest=largest)
    rows = sample_rows(train)
    found = []
    for values, scored in tried:
        shape = shape_of(values[rows], study.panel.universe[rows])
        gated = study.exposures is not None
        evidence = reach_verdict(scored, among, study.policy, use_gate=gated, shape=shape, aimed=True)
        failed = [gate.gate for gate in evidence.gates if not gate.passed]
        # No search ends here: what passes on train is untested, and what does not earn there is promising at best.
        verdict: Verdict = "promising" if failed == ["earns"] else evidence.verdict
        reasons = (*(one for one in evidence.reasons if one != UNTESTED), UNASKED)
        found.append(replace(evidence, verdict=verdict, reasons=reasons))
    return found
