"""What `alphaglow learn` prints: whether it is better than guessing, folds, calls of the last bar, trades, score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.cli.common import format_number, headed, stdout, text_table

if TYPE_CHECKING:
    from agent.learned.learning import Learned
    from agent.learned.skill import Skill

# Assets whose calls are listed, the surest first.
_LISTED = 12
# Facts of a fold that are no cells of a table.
_LONG = ("trained", "predicted", "reliability", "skill", "newest")


def show_learned(
    found: Learned, last: Mapping[str, object] | None = None, *, confidence: float = 0.0, cap: float = 1.0
) -> None:
    """Print the folds, the calls of the last bar, the trades, the scorecard and the verdict of a learned factor.

    `last` are the facts of a model that was asked for the bars after the study; calls below `confidence` are shown as
    hold, and half-Kelly sizes end at `cap`.
    """
    from agent.cli.scorecard_print import print_gates, print_profile, print_scorecard
    from agent.knowledge.attempt_figures import reasons_of, verdict_of
    from agent.learned.learning import trades_of_learned
    from agent.learned.skill import skill_of

    out, attempt = stdout(), found.attempt
    out.print(headed(found.field, f"   {attempt.factor_id}, run {attempt.run_id}"), soft_wrap=True)
    skill = skill_of(found.facts)
    if skill is not None:
        out.print(skill.sentence(), soft_wrap=True, markup=False)
        if skill.direction_sentence():
            out.print(skill.direction_sentence(), soft_wrap=True, markup=False)
    if found.known:
        out.print("Learned before: nothing was trained, and no trial was added.")
    shown = [name for name in found.facts[0] if name not in _LONG]
    rows = [
        [" to ".join(_dates(fact["predicted"])), *(_cell(fact.get(name)) for name in shown)] for fact in found.facts
    ]
    out.print(text_table("Folds", ["predicts", *(name.replace("_", " ") for name in shown)], rows))
    if skill is not None and skill.confusion:
        _print_confusion(skill)
    judged = [fact["reliability"] for fact in found.facts if isinstance(fact.get("reliability"), dict)]
    if judged:
        errors = ", ".join(format_number(fact["error"], 3) for fact in judged)  # type: ignore[index]  # a dict, see above
        out.print(f"Probabilities out of fold are off by {errors} on average (expected calibration error, by fold).")
    _print_calls(found.facts[-1] if last is None else last, confidence, cap)
    if last is not None:
        out.print("A last model predicted the bars after these: the holdout may be opened.", soft_wrap=True)
    traded = trades_of_learned(found)
    if traded is not None:
        _print_trade_figures(traded.figures)
    if attempt.evaluation is None:
        out.print(f"not scored: {attempt.stage} {attempt.code}: {attempt.message}", soft_wrap=True)
        return
    print_scorecard(attempt.evaluation.scorecard)
    print_profile(attempt.evaluation.scorecard)
    print_gates(attempt.evaluation.evidence)
    out.print(headed(verdict_of(attempt), f": {reasons_of(attempt)}"), soft_wrap=True)
    out.print(f"Use it in expressions on this data: {found.field}", soft_wrap=True)


def _print_confusion(skill: Skill) -> None:
    from agent.learned.skill import CLASSES

    rows = [[name, *map(str, row)] for name, row in zip(CLASSES, skill.confusion, strict=True)]
    rows.append(["right when called", *(format_number(share, 3) for share in skill.precision())])
    stdout().print(text_table("Out of fold: what came, by what was called", ["came", *CLASSES], rows))
    stdout().print(f"The likeliest class came in {format_number(skill.accuracy, 3)} of places.")


def _print_calls(fact: Mapping[str, Any], confidence: float, cap: float) -> None:
    """Print what is called at the last bar that a model was asked for, the surest first."""
    from agent.learned.half_kelly import half_kelly

    newest = fact.get("newest")
    if not isinstance(newest, dict) or not newest["probabilities"]:
        return
    names, said = list(newest["probabilities"]), np.array(list(newest["probabilities"].values()))
    ratio = float(fact.get("win_loss_ratio", 1.0))
    sizes = half_kelly(said, ratio, cap)
    sides = np.where(said[:, 2] > said[:, 0], 2, 0)
    sure = said[np.arange(len(said)), sides]
    called = np.where(sure >= confidence, np.where(sides == 2, "long", "short"), "hold")
    rows = []
    for k in np.argsort(-sure)[:_LISTED]:
        size = "–" if called[k] == "hold" else format_number(sizes[k], 4)
        rows.append([names[k], str(called[k]), *(format_number(p, 3) for p in (sure[k], *said[k])), size])
    columns = ["asset", "call", "confidence", "p short", "p hold", "p long", "half-Kelly"]
    counts = ", ".join(f"{int((called == one).sum())} {one}" for one in ("long", "short", "hold"))
    stdout().print(text_table(f"At {newest['time']}: {counts}", columns, rows, left=2))
    stdout().print(
        f"Long or short from a confidence of {confidence:g} on. Half-Kelly: share of capital, with wins {ratio:.2f} "
        f"times the losses, at most {cap:g}.",
        soft_wrap=True,
    )


def _print_trade_figures(figures: Mapping[str, Any]) -> None:
    rows = [
        [
            label,
            *(format_number(getattr(one, key), digits, percent=key == "win_rate") for one in figures.values()),
        ]
        for label, key, digits in (
            ("trades opened", "trades", 0),
            ("win rate", "win_rate", 1),
            ("profit factor", "profit_factor", 2),
            ("mean duration, bars", "mean_bars", 1),
        )
    ]
    stdout().print(text_table("By trade, after costs", ["", *figures], rows))


def _dates(span: object) -> list[str]:
    return [str(time)[:10] for time in span] if isinstance(span, (list, tuple)) else []


def _cell(value: object) -> str:
    if isinstance(value, float):
        return format_number(value, 4)
    return "–" if value is None else str(value)
