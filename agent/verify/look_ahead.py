"""Whether a signal knows the future: its values made again without the later bars, or what its results give away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from agent.verify.aligning import Aligned, align
from agent.verify.claim import Claim
from agent.verify.claim_reading import ReadingAs, read_claim
from agent.verify.positions import Positions
from agent.verify.verification import Flaw, LookAheadTest, Traded
from backtest.evidence import SUSPICIOUS_IC, SUSPICIOUS_SHARPE
from backtest.ic import rank_ic
from backtest.mean_test import mean_test
from factors.checks import check_truncation
from factors.engine import evaluate
from factors.parse import parse
from market.errors import InputError, Rejection
from market.panel import FloatArray, Panel

# Of what pays by knowing the next bar, less than this share is left a bar later.
_COLLAPSED = 0.25
# A share of cells may differ by rounding of what wrote them.
_MAY_DIFFER = 1e-3
_CLOSE = 1e-6
# An expression whose ranks go with those of the file as little as this is another signal.
_SAME = 0.95
_LEAST_ROWS = 10
_FIELDS = ("open", "high", "low", "close", "volume", "vwap", "amount", "returns")

Recompute = Callable[[Panel], Any]


def against_shortened(claim: Claim, shorter: Claim, panel: Panel) -> LookAheadTest:
    """Compare a claim with what the same program wrote from data that ended earlier: common rows have to be equal.

    Raises
    ------
    InputError
        For trades and returns, of which rows are not comparable, and where the two have no rows in common.
    """
    if claim.kind not in ("signals", "weights") or shorter.kind != claim.kind:
        raise InputError(
            f"look-ahead is tested on signals and weights, not on {claim.kind}", "leave the shortened file out"
        )
    ours, theirs = align(claim, panel), align(shorter, panel)
    return _compared(ours, theirs, panel, f"made again from data up to {str(shorter.times[-1])[:10]}")


def _compared(ours: Aligned, theirs: Aligned, panel: Panel, how: str) -> LookAheadTest:
    stop = min(ours.part.stop, theirs.part.stop)
    start = max(ours.part.start, theirs.part.start)
    if stop - start < _LEAST_ROWS:
        raise InputError("the shortened signal has too few rows in common with the whole one", "shorten it by less")
    if ours.part.stop <= theirs.part.stop:
        raise InputError("the shortened signal is not shorter", "make it from data that end earlier")
    a, b = ours.values[start:stop], theirs.values[start:stop]
    with np.errstate(all="ignore"):
        same = (np.isnan(a) & np.isnan(b)) | (np.abs(a - b) <= _CLOSE * np.maximum(np.abs(a), np.abs(b)) + 1e-12)
    known = np.isfinite(a) | np.isfinite(b)
    differ = ~same & known
    share = float(differ.sum()) / max(int(known.sum()), 1)
    if share <= _MAY_DIFFER:
        return LookAheadTest(how, True, f"{how}: {int(known.sum()):,} values are equal")
    row, column = np.argwhere(differ)[0]
    text = (
        f"{how}: {share:.1%} of its values are others, the first of {panel.assets[column]} at "
        f"{str(panel.times[start + row])[:16]}; past values change when later bars come"
    )
    return LookAheadTest(how, False, text)


def by_program(claim: Claim, recompute: Recompute, panel: Panel, reading: ReadingAs) -> LookAheadTest:
    """Call the program that made a claim on shortened panels, and compare; the first difference ends it."""
    found: LookAheadTest | None = None
    rows = np.flatnonzero(np.isin(panel.times, claim.times))
    for share in (0.5, 0.75, 0.95):
        stop = int(rows[int(share * (len(rows) - 1))]) + 1
        shorter = read_claim(recompute(panel.rows(0, stop)), reading)
        found = against_shortened(claim, shorter, panel)
        if not found.passed:
            return found
    assert found is not None
    return found


def by_expression(text: str, one: Positions, whole: Panel) -> LookAheadTest:
    """Evaluate the expression that a signal is said to be: it has to be that one, and its past may not change.

    Raises
    ------
    InputError
        For an expression that cannot be read on the panel.
    """
    extra = tuple(name for name in whole.fields if name not in _FIELDS)
    expression = parse(text, fields=(*_FIELDS, *extra), bar=whole.bar)
    if isinstance(expression, Rejection):
        raise InputError(expression.message, expression.hint)
    leak = check_truncation(expression, whole, [len(whole.times) // 2, len(whole.times) - 1])
    if leak is not None:
        return LookAheadTest(f"the expression {expression.text}", False, leak.message)
    first = int(np.searchsorted(whole.times, one.panel.times[0]))
    values: FloatArray = evaluate(expression, whole).values[first : first + len(one.panel.times)]
    part = one.part
    if one.wide:
        alike = rank_ic(one.values[part], values[part])
        like = float(np.nanmean(alike)) if np.isfinite(alike).any() else 0.0
    else:
        both = np.isfinite(values[part]) & np.isfinite(one.values[part])
        like = float(np.corrcoef(values[part][both], one.values[part][both])[0, 1]) if both.sum() > 2 else 0.0
    how = f"computed again from {expression.text}"
    if abs(like) < _SAME:
        return LookAheadTest(how, False, f"{how}: that is another signal than the file's (rank correlation {like:.2f})")
    return LookAheadTest(how, True, f"{how}: the same signal, and its past does not change when later bars come")


def too_good(one: Positions, traded: Traded, tested: LookAheadTest | None) -> list[Flaw]:
    """Say where a result is too good to be true; fatal where it also collapses a bar later and no test clears it."""
    good = []
    if abs(traded.rank_ic) > SUSPICIOUS_IC:
        good.append(f"a mean rank IC of {traded.rank_ic:.2f}")
    if max(traded.sharpe_gross, traded.sharpe_net) > SUSPICIOUS_SHARPE:
        good.append(f"a Sharpe ratio of {max(traded.sharpe_gross, traded.sharpe_net):.1f} before costs")
    if not good or (tested is not None and tested.passed):
        return []
    now, late = (mean_test(series[one.paid]) for series in (one.payoffs, one.later(1).payoffs))
    left = late.mean / now.mean if now.mean > 0 else np.nan
    said = f"{' and '.join(good)} {'is' if len(good) == 1 else 'are'} too good to be true"
    if np.isfinite(left) and left < _COLLAPSED:
        text = f"{said}, and a bar later {max(left, 0.0):.0%} of it is left: so pays what knows the next bar"
        return [Flaw("look_ahead_suspected", True, text)]
    return [Flaw("too_good", False, f"{said}: test it for look-ahead (--shortened, --expression)")]
