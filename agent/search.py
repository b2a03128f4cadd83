"""What each candidate of a round is to be: explore and exploit, by what earned its keep so far.

An operation (a new idea of some theme, or a change of known factors) and a theme are drawn by Thompson sampling
(Thompson 1933): each has won and lost so often, and is drawn as often as it may be the best. Parents come from an
archive that keeps the best factor of each kind (theme by turnover by horizon; Mouret & Clune 2015, arXiv 1504.04909),
so that one good family does not crowd out the rest. A plan is a function of the knowledge base and the seed, and is
stored with the round.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar

import numpy as np

from agent.knowledge.records import AttemptRecord
from agent.lessons import PREDICTS_T, passed, train_figure
from factors.parse import parse
from factors.tree import Expression

Operation = Literal["new", "mutate", "cross", "simplify", "invert", "windows"]
OPERATIONS: tuple[Operation, ...] = ("new", "mutate", "cross", "simplify", "invert", "windows")
Choice = TypeVar("Choice", bound=str)
# What a theme is about, and the fields without which there is none of it.
THEMES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "momentum": ("what rose goes on rising", ()),
    "reversal": ("what moved too far comes back", ()),
    "volatility": ("how wild prices are, and how that changes", ()),
    "volume": ("how much is traded, against its own past", ()),
    "liquidity": ("what it takes to move a price", ()),
    "seasonality": ("what recurs by hour or day", ()),
    "cross-asset": ("what others of the market or a group do", ()),
    "candle": ("where a bar closes within its range", ()),
    "funding": ("what holders of perpetuals pay", ("funding",)),
    "open interest": ("how many contracts are open", ("open_interest",)),
    "sentiment": ("what is written about an asset", ("sentiment",)),
}
_WORDS: Mapping[Operation, str] = {
    "new": "Propose a new idea of this theme.",
    "mutate": "Change the parent in one respect that should make it better: how it is smoothed or normalised, a "
    "condition, another measure of the same thing.",
    "cross": "Join the ideas of the two parents in one factor that has a reason of its own.",
    "simplify": "Say the parent's idea more simply: fewer parts, fewer windows.",
    "invert": "The parent predicts the wrong way: turn it around, and give the reason for the opposite.",
    "windows": "Other windows for the parent.",
}
# An operation or theme that was never tried is as good as one that won once and lost once.
_PRIOR = 1.0
# What an attempt counts for, of what the one after it does: what worked long ago is worked out.
_DECAY = 0.99
# A factor that predicts on train, but is not let through, is a part of a win.
_PARTIAL = 0.3
# Of the candidates with a parent, so many take the best; the others any of the archive.
_GREEDY = 0.5
_SIMPLE = 8


@dataclass(frozen=True)
class Task:
    """What one candidate is to be: an operation, a theme, and texts of the factors to work on."""

    operation: Operation
    theme: str = ""
    parents: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """What the writer is told to do."""
        return _WORDS[self.operation]

    @property
    def about(self) -> str:
        """What the theme is about."""
        return THEMES[self.theme][0] if self.theme in THEMES else ""

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Task:
        """Read what `to_dict` wrote."""
        return cls(raw["operation"], raw["theme"], tuple(raw["parents"]))

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types."""
        return asdict(self)


def plan_tasks(
    attempts: Sequence[AttemptRecord], fields: Iterable[str], count: int, rng: np.random.Generator
) -> tuple[Task, ...]:
    """Return the tasks of a round from all attempts on its data, oldest first."""
    themes = [name for name, (_, needs) in THEMES.items() if set(needs) <= set(fields)]
    elites, wrong = archive(attempts), _wrong(attempts)
    long = [a for a in elites if _size(a) > _SIMPLE]
    worth = rewards(attempts)
    operations, ideas = (_odds(attempts, worth, what) for what in ("operation", "theme"))
    tasks = []
    for _ in range(count):
        enough = {"mutate": elites, "windows": elites, "cross": elites[1:], "simplify": long, "invert": wrong}
        operation = _drawn(operations, [name for name in OPERATIONS if name == "new" or enough[name]], rng)
        if operation == "new":
            tasks.append(Task("new", _drawn(ideas, themes, rng)))
        elif operation == "invert":
            tasks.append(Task("invert", parents=(wrong.pop(int(rng.integers(len(wrong)))),)))
        else:
            chosen = _parents(long if operation == "simplify" else elites, 2 if operation == "cross" else 1, rng)
            tasks.append(Task(operation, theme_of(chosen[0]), tuple(a.canonical or "" for a in chosen)))
    return tuple(tasks)


def archive(attempts: Sequence[AttemptRecord]) -> list[AttemptRecord]:
    """Return the best predictor of each kind (theme, turnover, horizon), the best of all first."""
    cells: dict[tuple[str, int, int], AttemptRecord] = {}
    for attempt in attempts:
        if attempt.canonical is None or (_merit(attempt) or 0.0) <= 0:
            continue
        kind = _kind(attempt)
        best = cells.get(kind)
        if best is None or (_merit(attempt) or 0.0) > (_merit(best) or 0.0):
            cells[kind] = attempt
    return sorted(cells.values(), key=lambda a: (-(_merit(a) or 0.0), a.id))


def _kind(attempt: AttemptRecord) -> tuple[str, int, int]:
    """Return theme, bucket of turnover and bucket of horizon."""
    turnover = train_figure(attempt, "turnover") or 0.0
    return theme_of(attempt), int(np.searchsorted((0.02, 0.08, 0.25), turnover)), _horizon(attempt.canonical or "")


def _wrong(attempts: Sequence[AttemptRecord]) -> list[str]:
    """Return factors that predict the wrong way and were not turned around yet; of those that rank alike, one."""
    turned = {text for a in attempts if a.claims.get("operation") == "invert" for text in _told_parents(a)}
    found: dict[object, str] = {}
    for attempt in attempts:
        if attempt.canonical and (train_figure(attempt, "ic_tstat") or 0.0) <= -PREDICTS_T:
            found.setdefault((train_figure(attempt, "rank_ic"), train_figure(attempt, "turnover")), attempt.canonical)
    return [text for text in found.values() if text not in turned]


def _told_parents(attempt: AttemptRecord) -> list[str]:
    told = attempt.claims.get("parents")
    return [str(text) for text in told] if isinstance(told, list) else []


def theme_of(attempt: AttemptRecord) -> str:
    """Return the theme that an attempt was written to, or the one that its fields and operators tell."""
    said = attempt.claims.get("theme")
    if isinstance(said, str) and said in THEMES:
        return said
    words = set(re.findall(r"[a-z_]+", attempt.canonical or ""))
    for name, (_, needs) in THEMES.items():
        if needs and set(needs) <= words:
            return name
    if words & {"amount"} and words & {"abs", "returns"}:
        return "liquidity"
    if words & {"volume", "amount", "adv"}:
        return "volume"
    if words & {"ts_std", "ts_var", "atr", "ts_mad"}:
        return "volatility"
    if {"open", "high", "low"} & words:
        return "candle"
    return "reversal" if (attempt.canonical or "").startswith("-") else "momentum"


def reward(attempt: AttemptRecord) -> float:
    """Return what an attempt was worth, in [0, 1]: a pass, a prediction on train, or nothing."""
    if passed(attempt):
        return 1.0
    return _PARTIAL if (train_figure(attempt, "ic_tstat") or 0.0) >= PREDICTS_T else 0.0


def rewards(attempts: Sequence[AttemptRecord]) -> dict[int, float]:
    """Return what each attempt was worth when it came, by id: its reward, in full if it was the best of its kind.

    A tenth variant of one idea passes as well as the first, and tells nothing.
    """
    best: dict[tuple[str, int, int], float] = {}
    found = {}
    for attempt in attempts:
        worth, merit = reward(attempt), _merit(attempt)
        if worth > 0 and merit is not None:
            kind = _kind(attempt)
            if merit <= best.get(kind, 0.0):
                worth *= _PARTIAL
            best[kind] = max(merit, best.get(kind, 0.0))
        found[attempt.id] = worth
    return found


def _merit(attempt: AttemptRecord) -> float | None:
    t = train_figure(attempt, "ic_tstat")
    return t if t is not None else train_figure(attempt, "sharpe_gross")


def _horizon(text: str) -> int:
    """Return the bucket of the shortest window of a factor: under 12, 48, 168 bars, or more."""
    found = [int(n) for n in re.findall(r", (\d+)\)", text)]
    return int(np.searchsorted((12, 48, 168), min(found, default=1)))


def _size(attempt: AttemptRecord) -> int:
    read = parse(attempt.canonical or "", fields=None)
    return read.size if isinstance(read, Expression) else 0


def _odds(attempts: Sequence[AttemptRecord], worth: Mapping[int, float], what: str) -> dict[str, tuple[float, float]]:
    """Return how often each of what attempts were told has won and lost; what is newer counts for more."""
    odds: dict[str, tuple[float, float]] = {}
    for age, attempt in enumerate(reversed(attempts)):
        told = attempt.claims.get(what)
        if isinstance(told, str):
            won, lost = odds.get(told, (0.0, 0.0))
            weight = _DECAY**age
            odds[told] = won + weight * worth[attempt.id], lost + weight * (1.0 - worth[attempt.id])
    return odds


def _drawn(odds: Mapping[str, tuple[float, float]], choices: Sequence[Choice], rng: np.random.Generator) -> Choice:
    """Draw one of `choices` by Thompson sampling on what each has won and lost."""
    samples = []
    for choice in choices:
        won, lost = odds.get(choice, (0.0, 0.0))
        samples.append(rng.beta(_PRIOR + won, _PRIOR + lost))
    return choices[int(np.argmax(samples))]


def _parents(pool: Sequence[AttemptRecord], count: int, rng: np.random.Generator) -> list[AttemptRecord]:
    chosen: list[AttemptRecord] = []
    while len(chosen) < min(count, len(pool)):
        left = [a for a in pool if a not in chosen]
        if rng.random() < _GREEDY:
            # The better a factor did, the likelier it is the one to build on.
            weights = 1.0 / (1.0 + np.arange(len(left)))
            chosen.append(left[int(rng.choice(len(left), p=weights / weights.sum()))])
        else:
            chosen.append(left[int(rng.integers(len(left)))])
    return chosen
