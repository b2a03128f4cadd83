"""What is known that bears on a task or a proposal: related factors by theme, by descent and by shared parts.

Figures and verdicts are of train alone, unless the run asks for validation's verdicts (``[loop] feedback``). Nothing of
the holdout is kept where this module could find it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from agent.knowledge.attempt_figures import (
    or_none,
    passed_on_train,
    reasons_of,
    train_of,
    train_reason,
    train_verdict,
)
from agent.knowledge.records import AttemptRecord
from agent.mining.brief import Example
from agent.mining.feedback import word_of_all
from agent.mining.search.elites import by_merit
from agent.mining.search.tasks import Task
from agent.mining.search.themes import theme_of
from backtest.rule_words import chosen_rule
from factors.overlap import fingerprint
from factors.parse import parse
from factors.tree import Expression

# What it nets comes first; how it ranks is description.
_FIGURES = (
    "net_z",
    "payoff_z",
    "sharpe_net",
    "sharpe_gated",
    "turnover",
    "max_drawdown",
    "annual_return_net",
    "rank_ic",
)
_WORD = re.compile(r"[A-Za-z_]\w*")
RELATED = 4
_REASON = 400


def example_of(attempt: AttemptRecord, added: float | None = None, *, validated: bool = False) -> Example:
    """Return an attempt as prompts show it, with what it `added` to the pool where that is known.

    With `validated`, its verdict is that of all gates, validation's among them; else that of train alone.
    """
    train = train_of(attempt)
    known = {name: or_none(getattr(train, name)) for name in _FIGURES} | {"adds_z": added}
    metrics = {name: float(f"{value:.3g}") for name, value in known.items() if value is not None}
    if attempt.evaluation is None:
        verdict, reason = attempt.stage, (attempt.message or "").strip()
    elif validated:
        verdict, reason = word_of_all(attempt), reasons_of(attempt)
    else:
        verdict, reason = train_verdict(attempt), train_reason(attempt)
    own = None if attempt.evaluation is None else chosen_rule(attempt.evaluation.scorecard)
    return Example(
        text=attempt.canonical or attempt.text,
        name=attempt.name,
        metrics=metrics,
        verdict=verdict,
        reason=reason[:_REASON],
        rule="" if own is None else str(own),
    )


# More than a round recalls; without a bound that counts, a long search would grow by all that it tried.
@lru_cache(maxsize=4_096)
def _parts(text: str) -> tuple[str, ...]:
    """Return the texts of the parts of a factor, the largest first; of what cannot be read, none."""
    read = parse(text, dialect="native", fields=set(_WORD.findall(text)))
    if not isinstance(read, Expression):
        return ()
    return tuple(part.text for part in fingerprint(read.root).subtrees)


class AttemptIndex:
    """Scored attempts on one data set, to be found by what they are made of; as they were when it was made.

    `show` makes of an attempt what a prompt shows.
    """

    def __init__(
        self, attempts: Iterable[AttemptRecord], show: Callable[[AttemptRecord], Example] = example_of
    ) -> None:
        self.show = show
        unique = {a.canonical: a for a in attempts if a.evaluation is not None and a.canonical}
        self.attempts = sorted(unique.values(), key=lambda a: a.id)
        self._shortest_first = sorted(self.attempts, key=lambda a: (len(a.canonical or ""), a.id))

    def near(self, text: str, limit: int = RELATED) -> list[AttemptRecord]:
        """Return factors that share the largest parts with a factor, itself left out; the smallest such first."""
        found: dict[int, AttemptRecord] = {}
        for part in _parts(text):
            for attempt in self._shortest_first:
                said = attempt.canonical or ""
                # A part stands in the text as it is printed alone: few of many need be taken apart, which takes long.
                if part in said and said != text and part in _parts(said):
                    found.setdefault(attempt.id, attempt)
                    if len(found) == limit:
                        return list(found.values())
        return list(found.values())

    def children(self, text: str, limit: int = RELATED) -> list[AttemptRecord]:
        """Return what was made of a factor, the newest first."""
        made = [a for a in reversed(self.attempts) if text in a.claims.parents]
        return made[:limit]

    def of_theme(self, theme: str, limit: int = RELATED) -> list[AttemptRecord]:
        """Return the factors of a theme that net most and least, half and half."""
        own = [a for a in self.attempts if theme_of(a) == theme]
        ranked = by_merit(own)
        half = -(-limit // 2)
        worst = [a for a in ranked[::-1] if a not in ranked[:half]]
        return ranked[:half] + worst[: limit - half]

    def for_task(self, task: Task, limit: int = RELATED) -> list[AttemptRecord]:
        """Return what bears on a task: what was made of its parents and what is like them, or the best of its theme."""
        if not task.parents:
            return self.of_theme(task.theme, limit) if task.theme else []
        made = [a for text in task.parents for a in self.children(text, limit // len(task.parents))]
        like = [a for text in task.parents for a in self.near(text, limit)]
        unique = {a.id: a for a in [*made, *like] if a.canonical not in task.parents}
        return list(unique.values())[:limit]


def crowded(
    attempts: Sequence[AttemptRecord], limit: int = 6, passes: Callable[[AttemptRecord], bool] = passed_on_train
) -> tuple[str, ...]:
    """Say how much of each theme was tried, and how much of that passed, the most tried first."""
    tried: dict[str, list[AttemptRecord]] = defaultdict(list)
    for attempt in attempts:
        if attempt.evaluation is not None:
            tried[theme_of(attempt)].append(attempt)
    ranked = sorted(tried.items(), key=lambda item: (-len(item[1]), item[0]))
    passed = {name: sum(map(passes, group)) for name, group in ranked}
    return tuple(f"{name}: {len(group)} scored, {passed[name]} passed" for name, group in ranked[:limit])
