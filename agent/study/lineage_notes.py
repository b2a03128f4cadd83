"""What a user should read about data that share their bars with others: trials on those count here too."""

from __future__ import annotations

import math
from collections.abc import Callable

from agent.knowledge.dataset_records import RelatedData
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.study.opening import CurrentRules, OpenData
from agent.study.workspace import LEARNED_PREFIX
from market.lineage import RELATED_SHARE
from market.panel import Panel

# Related data sets that are named one by one.
_SAID = 3


def meet_data(knowledge: KnowledgeBase, whole: Panel, note: Callable[[str], None]) -> tuple[RelatedData, ...]:
    """Record a data set, say which related ones have trials that count for it, and return those.

    It is recorded even by what only looks: which data it grew out of cannot be known otherwise.
    """
    knowledge.register_dataset(whole)
    own, *others = knowledge.related(whole.id)
    tried = tuple(one for one in others if one.trials)
    for one in tried[:_SAID]:
        note(related_sentence(own, one))
    if len(tried) > _SAID:
        more = sum(one.trials for one in tried[_SAID:])
        note(
            f"and {len(tried) - _SAID} more data sets that share bars with {own.name} ({more:,} trials) count here too"
        )
    return tried


def say_left_out(knowledge: KnowledgeBase, opened: OpenData, note: Callable[[str], None]) -> None:
    """Name the learned factors that were learned on these data before they changed, and so are no fields of them now.

    Nothing is said under recorded rules: what a run had is compared with what there is when its data are opened.
    """
    files = opened.workspace.learned.glob(f"{LEARNED_PREFIX}*.npz")
    waiting = {path.stem for path in files} - set(opened.ungated.learned) if opened.learned else set()
    if not waiting or not isinstance(opened.rules, CurrentRules):
        return
    knowledge.register_dataset(opened.whole)
    runs = [run for one in knowledge.related(opened.whole.id) for run in knowledge.runs(one.panel_id)]
    lost = {run.config.learned_field: run.config.model for run in runs if run.config.learned_field in waiting}
    if lost:
        are = "is" if len(lost) == 1 else "are"
        again = ", ".join(f"alphaglow learn {kind} --data {opened.name}" for kind in sorted(set(lost.values())))
        note(
            f"{', '.join(sorted(lost))} {are} left out: learned on {opened.name} before its bars changed "
            f"(an update, a repair or a joined field); learn again: {again}"
        )


def related_sentence(own: RelatedData, other: RelatedData) -> str:
    """Say what two data sets have in common, and that trials on the one count for the other."""
    name = other.name if other.name != own.name else f"the {other.name} that ended at {other.end[:10]}"
    trials = f"({other.trials:,} trial{'' if other.trials == 1 else 's'}): they count here too"
    if math.isnan(other.share):
        return f"by its name and its first bar, {own.name} grew out of {name} {trials}"
    if other.covers < RELATED_SHARE:
        return f"{own.name} has {_percent(other.share)} of the bars of {name} {trials}"
    return f"{own.name} shares {_percent(other.covers)} of its bars with {name} {trials}"


def related_rows(tried: tuple[RelatedData, ...]) -> list[dict[str, object]]:
    """Return the same for JSON; a share that no signature tells is None."""
    return [
        {
            "data": one.name,
            "panel_id": one.panel_id,
            "share": None if math.isnan(one.share) else round(one.share, 4),
            "start": one.start,
            "end": one.end,
            "trials": one.trials,
        }
        for one in tried
    ]


def bar_time(panel: Panel, row: int) -> str:
    """Return the time of a bar as the knowledge base writes it."""
    return f"{str(panel.times[row])[:19]}Z"


def _percent(share: float) -> str:
    """Write a share; one that is not the whole never reads as 100 %."""
    return f"{100 if share == 1.0 else min(100 * share, 99):.0f} %"
