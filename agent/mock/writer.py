"""The mock writer: composes or changes factors by the facts it is given, and sometimes errs as models do.

It does what its task says, does not repeat what it is shown, writes with what the lessons say helps, and does not
repeat the mistakes that they name. It reads no prompt: rewording one changes nothing here.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import numpy as np

from agent.llm.facts import FactorShown, LessonFacts, TaskFacts, TurnFacts, Wanted, WriterFacts
from agent.mock.grammar import Rng, compose, cross, mutate, part_of, pick, refine
from agent.mock.judge import SMOOTHER
from agent.mock.proposer import compose_within, smoothed_within
from agent.untrusted.quoting import as_shown
from factors.parse import parse
from factors.printing import to_text
from factors.tree import Expression, Number
from factors.variants import replaced, windows

ERROR_RATE = 0.15
# How often it tries again to write what it was not shown, and what the lessons speak for.
_DRAFTS = 4
# Which mistake a refusal tells of.
_MISTAKES = {"unknown_operator": "operator", "arity": "arity", "look_ahead": "future"}
_Idea = tuple[str, str, list[str]]


@dataclass(frozen=True)
class Taught:
    """What the lessons teach: words that help and that do not, whether costs were the trouble, mistakes to avoid."""

    helps: frozenset[str] = frozenset()
    useless: frozenset[str] = frozenset()
    costly: bool = False
    mistakes: frozenset[str] = frozenset()


def taught_by(lessons: tuple[LessonFacts, ...]) -> Taught:
    """Return what lessons teach; of a lesson that is a sentence alone, nothing is known."""
    words = [lesson.figures for lesson in lessons if lesson.kind == "ingredient"]
    refused = [str(lesson.figures["code"]) for lesson in lessons if lesson.kind == "refusal"]
    return Taught(
        # An ingredient may be several words that go together.
        frozenset(word for one in words if one["helps"] for word in str(one["word"]).split()),
        frozenset(word for one in words if not one["helps"] for word in str(one["word"]).split()),
        any(lesson.kind == "costs" for lesson in lessons),
        frozenset(_MISTAKES[code] for code in refused if code in _MISTAKES),
    )


def writer_reply(facts: WriterFacts, rng: Rng, *, repairing: bool) -> str:
    """Return the reply's text: usually JSON that fits, sometimes one of the mistakes that models make."""
    taught = taught_by(facts.lessons)
    if len(facts.wanted) > 1:
        drafts = [_drafted(facts, wanted, taught, rng) for wanted in facts.wanted]
        return json.dumps({"proposals": [_proposal(*_slipped(draft, taught, rng)) for draft in drafts]})
    name, expression, parents = _drafted(facts, facts.wanted[0], taught, rng)
    good = json.dumps(_proposal(name, expression, parents))
    if repairing or rng.random() >= ERROR_RATE:
        return good
    mistake = pick(rng, ["cut", "fenced", "operator", "arity", "future", "chatty"])
    match mistake:
        case "cut":
            return good[:-12]
        case "fenced":
            return f"```json\n{good}\n```"
        case "chatty":
            return f"Here is my factor:\n{good}\nI hope it helps."
    return json.dumps(_proposal(name, _mistaken(expression, mistake, taught), parents))


def _slipped(draft: _Idea, taught: Taught, rng: Rng) -> _Idea:
    """Return an idea, now and then with a mistake in it."""
    if rng.random() >= ERROR_RATE:
        return draft
    name, expression, parents = draft
    return name, _mistaken(expression, pick(rng, ["operator", "arity", "future"]), taught), parents


def _mistaken(expression: str, mistake: str, taught: Taught) -> str:
    if mistake in taught.mistakes:
        return expression
    wrong = {"operator": f"ts_smooth({expression}, 5)", "arity": f"ts_mean({expression})"}
    return wrong.get(mistake, f"ts_delay({expression}, -1)")


def _proposal(name: str, expression: str, parents: list[str]) -> dict[str, object]:
    rationale = (
        f"Simulated model: the idea is {name}. Assets that stand out by it are expected to go on earning differently."
    )
    windows = [int(found) for found in re.findall(r", (\d+)\)", expression)]
    longest = max(windows, default=1)
    claims = {
        "mechanism": "Simulated model: it knows of none.",
        "horizon": longest,
        "fails_when": "Simulated model: it cannot say.",
        # By rule of thumb, and without a draw: what it writes stays the same.
        "expected_ic": round(0.04 / (1.0 + longest / 24.0), 4),
        "expected_turnover": round(1.2 / (longest + 1.0), 4),
        "expected_holding": float(longest),
    }
    return {"name": name, "expression": expression, "rationale": rationale, **claims, "parents": parents}


def _drafted(facts: WriterFacts, wanted: Wanted, taught: Taught, rng: Rng) -> _Idea:
    """Return the best of a few drafts: not shown before, then what lessons speak for."""
    seen = _lines_shown(facts)
    if facts.asked is not None and not (wanted.task is not None and wanted.task.parents):
        slower = bool(facts.turns) and facts.turns[-1].suggestion in SMOOTHER
        kind, text = (smoothed_within if slower or taught.costly else compose_within)(facts.asked, rng)
        return kind.replace("_", " "), text, []
    drafts = []
    for _ in range(_DRAFTS):
        idea = _idea(facts, taught, rng) if wanted.task is None else _asked(facts, wanted.task, taught, rng)
        words = set(re.findall(r"[a-z_]\w*", idea[1]))
        speaks = len(words & taught.helps) - len(words & taught.useless)
        drafts.append((any(line.endswith(f"- {idea[1]}") for line in seen), -speaks, idea))
        if not drafts[-1][0] and speaks > 0:
            break
        if not taught.helps and not taught.useless and not drafts[-1][0]:
            break
    return min(drafts, key=lambda draft: draft[:2])[2]


def _lines_shown(facts: WriterFacts) -> list[str]:
    """Return what is not to be repeated: a factor that is shown, after a dash, and what is subtracted last in one."""
    tasks = [wanted.task for wanted in facts.wanted if wanted.task is not None]
    related = [one for wanted in facts.wanted for one in wanted.related]
    shown = [f"- {as_shown(one.text)}" for one in (*facts.successes, *facts.failures, *related)]
    others = [parent for task in tasks for parent in task.parents] + [turn.expression for turn in facts.turns]
    return shown + [as_shown(text) for text in others]


def _idea(facts: WriterFacts, taught: Taught, rng: Rng) -> _Idea:
    """Choose for itself what to do: blend, change or turn around what is known, or think of something new."""
    longest = _longest(facts)
    slower = _slowed(facts.turns, rng, longest)
    if slower is not None:
        return *slower, []
    known = [(s, e) for s in facts.successes if (e := _read(s.text)) is not None]
    wrong = [e for s in facts.failures if _payoff(s) < -2.0 and (e := _read(s.text)) is not None]
    draw = rng.random()
    if known and draw < 0.12 and len(known) > 1:
        first, second = rng.choice(len(known), size=2, replace=False)
        return _blend(known[int(first)][1], known[int(second)][1], rng)
    if known and draw < 0.60:
        # The better a factor did, the likelier it is the one to build on.
        weights = np.array([1.0 / (1 + place) for place in range(len(known))])
        shown, base = known[int(rng.choice(len(known), p=weights / weights.sum()))]
        what, text = mutate(base.root, rng, longest, negate=_payoff(shown) < 0)
        return f"known factor, {what}", text, [base.text]
    if wrong and draw < 0.70:
        return _turned(wrong[int(rng.integers(len(wrong)))], rng, longest)
    return (*compose(rng, longest, smooth=_smoothing(taught)), [])


def _asked(facts: WriterFacts, task: TaskFacts, taught: Taught, rng: Rng) -> _Idea:
    """Do what the judge asks for, else what the task says."""
    longest = _longest(facts)
    slower = _slowed(facts.turns, rng, longest)
    if slower is not None:
        return *slower, [as_shown(text) for text in task.parents]
    parents = [e for text in task.parents if (e := _read(text)) is not None]
    match task.operation:
        case "cross" if len(parents) > 1:
            return _blend(parents[0], parents[1], rng)
        case "simplify" if parents:
            return "known factor, a part of it", part_of(parents[0].root, rng), [parents[0].text]
        case "refine" if parents and task.theme:
            return f"known factor, {task.theme}", refine(parents[0].root, task.theme, rng, longest), [parents[0].text]
        case "mutate" if parents:
            what, text = mutate(parents[0].root, rng, longest, negate=False)
            return f"known factor, {what}", text, [parents[0].text]
    return (*compose(rng, longest, task.theme, _smoothing(taught)), [])


def _slowed(turns: tuple[TurnFacts, ...], rng: Rng, longest: int) -> tuple[str, str] | None:
    """Return what was proposed last, smoothed if the judge asked for that; None where it asked for nothing."""
    last = _read(turns[-1].expression) if turns else None
    if last is None or turns[-1].suggestion not in SMOOTHER:
        return None
    slow = last.root
    for path, node in windows(slow):
        assert isinstance(node, Number)
        slow = replaced(slow, path, Number(float(min(longest, round(node.value * 2)))))
    text = to_text(slow)
    return "the last one, slower", text if rng.random() < 0.5 else refine(slow, "smooth", rng, longest)


def _blend(one: Expression, other: Expression, rng: Rng) -> _Idea:
    return "a blend of two known factors", cross(one.root, other.root, rng), [one.text, other.text]


def _turned(base: Expression, rng: Rng, longest: int) -> _Idea:
    what, text = mutate(base.root, rng, longest, negate=True)
    return f"failed factor turned around, {what}", text, [base.text]


def _smoothing(taught: Taught) -> float:
    return 0.7 if taught.costly else 0.35


def _longest(facts: WriterFacts) -> int:
    return max(6, facts.longest * 7 // 10) if facts.longest else 48


def _payoff(shown: FactorShown) -> float:
    return shown.metrics.get("payoff_z", float("nan"))


def _read(text: str) -> Expression | None:
    # What a prompt would quote, such as a factor that uses another by name, is no factor to work on.
    read = parse(as_shown(text), dialect="native")
    return read if isinstance(read, Expression) else None
