"""The six questions that a reviewer asks first, each answered by one figure and one sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass

from agent.drawing.axes import format_number
from agent.review.review_records import Review
from backtest.metrics import LEAST_BARS
from backtest.result_types import SegmentScore, SliceScore

# Above this correlation of returns a factor is hardly a new one.
_ALIKE = 0.7


@dataclass(frozen=True, slots=True)
class Answer:
    """A question, its figure, what stands under it, and a CSS class for its tone (``good``, ``fair``, ``bad``)."""

    question: str
    value: str
    note: str
    tone: str = ""


def answers(review: Review) -> list[Answer]:
    """Return the questions with their answers, in the order in which they decide."""
    return [_earns(review), _sure(review), _costs(review), _new(review), _decays(review), _breaks(review)]


def shown_segment(review: Review) -> tuple[str, SegmentScore]:
    """Return the segment that headlines are of: validation, and train where there is no other."""
    return ("validation", review.validation) if review.validation.n_bars else ("train", review.train)


def _earns(review: Review) -> Answer:
    part, segment = shown_segment(review)
    other = (
        f" Train: {format_number(review.train.annual_return_net, 'percent', signed=True)}." if part != "train" else ""
    )
    gain = segment.annual_return_net
    return Answer(
        "What does it earn?",
        f"{format_number(gain, 'percent', signed=True)} a year",
        f"Net of costs, {part}; largest drawdown {format_number(segment.max_drawdown, 'percent')}.{other}",
        "good" if gain > 0 else "bad",
    )


def _sure(review: Review) -> Answer:
    part, segment = shown_segment(review)
    error = f" ± {format_number(segment.sharpe_error)}" if math.isfinite(segment.sharpe_error) else ""
    earns = review.tests.get("earns")
    note = f"Net Sharpe ratio, {part}"
    note += f"; train {format_number(review.train.sharpe_net)}." if part != "train" else "."
    tone = ""
    if earns is not None and math.isfinite(earns.z):
        note += (
            f" Score of net returns {format_number(earns.z, 'score')}, {format_number(earns.hurdle, 'score')} needed."
        )
        tone = "good" if earns.z >= earns.hurdle else "fair" if earns.z >= 2 else "bad"
    return Answer("How sure is that?", f"{format_number(segment.sharpe_net)}{error}", note, tone)


def _costs(review: Review) -> Answer:
    part, segment = shown_segment(review)
    note = f"{part.capitalize()}; turnover {format_number(segment.turnover, 'percent')} a bar"
    paid = review.cost_bp
    if math.isfinite(paid):
        note += f" at {paid:g} bp"
    known = math.isfinite(segment.break_even_bp)
    if known and segment.break_even_bp <= 0:
        note += "; it loses before costs"
    elif known:
        note += f"; nothing is left at {format_number(segment.break_even_bp, 'score')} bp"
    tone = (
        ("good" if segment.break_even_bp > 2 * paid else "fair" if segment.break_even_bp > paid else "bad")
        if known
        else ""
    )
    return Answer("What does it cost?", f"{format_number(segment.cost_year, 'percent')} a year", f"{note}.", tone)


def _new(review: Review) -> Answer:
    explained = review.train.r_squared
    known = math.isfinite(explained)
    beside = f" Known factors explain {format_number(explained, 'share')} of its returns on train." if known else ""
    # A pool is like its members, of course: what counts is what known factors leave of it.
    if review.kind == "Pool":
        own = f"{format_number(1.0 - explained, 'share')} its own" if known else "not known"
        return Answer("Is it new?", own, beside.strip() or "Known factors were not compared.")
    if not review.correlated:
        own = f"{format_number(1.0 - explained, 'share')} its own" if known else "not known"
        return Answer("Is it new?", own, f"There is no other accepted factor of these data.{beside}")
    near = max(review.correlated, key=lambda one: one.correlation)
    tone = "bad" if near.correlation > _ALIKE else "fair" if near.correlation > 0.4 else "good"
    value = f"{format_number(near.correlation)} to the nearest"
    return Answer("Is it new?", value, f"Correlation of returns on train with {_short(near.text)}.{beside}", tone)


def _decays(review: Review) -> Answer:
    profile = review.profiles.get("train")
    life = math.nan if profile is None else profile.half_life
    if profile is None or math.isnan(life):
        return Answer("Does it decay?", "not known", "The signal's order of assets has no half-life here.")
    words = f"over {profile.decay[-1].lag:,} bars" if math.isinf(life) and profile.decay else f"{life:.1f} bars"
    years = [one for one in profile.years if math.isfinite(one.sharpe_net) and one.bars >= LEAST_BARS]
    note = "Half-life of the signal."
    if len(years) > 1:
        first, last = years[0], years[-1]
        note += (
            f" Net Sharpe by year: {format_number(first.sharpe_net)} in {first.name}, "
            f"{format_number(last.sharpe_net)} in {last.name}, train."
        )
    return Answer("Does it decay?", words, note)


def _breaks(review: Review) -> Answer:
    worst: SliceScore | None = None
    for profile in review.profiles.values():
        for one in profile.regimes:
            if (
                math.isfinite(one.sharpe_net)
                and one.bars >= LEAST_BARS
                and (worst is None or one.sharpe_net < worst.sharpe_net)
            ):
                worst = one
    said = review.claims.get("Should fail when", "")
    beside = f" Its writer: {_short(said, 90)}." if said else ""
    if worst is None:
        fall = min(
            review.train.max_drawdown, review.validation.max_drawdown, key=lambda x: x if math.isfinite(x) else 0.0
        )
        return Answer("What breaks it?", format_number(fall, "percent"), f"Largest drawdown.{beside}")
    note = f"Net Sharpe ratio of its worst regime, over {format_number(worst.bars, 'count')} bars.{beside}"
    return Answer(
        "What breaks it?",
        f"{worst.name}: {format_number(worst.sharpe_net)}",
        note,
        "bad" if worst.sharpe_net < 0 else "",
    )


def _short(text: str, most: int = 60) -> str:
    flat = " ".join(text.split()).rstrip(".")
    return flat if len(flat) <= most else flat[: most - 1].rsplit(" ", 1)[0] + "…"
