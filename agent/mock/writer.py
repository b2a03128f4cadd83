"""The mock writer: reads the prompt it is given, composes or changes factors, and sometimes errs as models do.

Its skill is to read: it does what its task says, does not repeat what it is shown, writes with what the lessons say
helps, and does not make again the mistakes that they tell of.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

import numpy as np

from agent.mock.grammar import Rng, compose, cross, mutate, part_of, pick, refine
from factors.parse import parse
from factors.printing import to_text
from factors.tree import Expression, Number
from factors.variants import replaced, windows

ERROR_RATE = 0.15
_BLOCK = re.compile(r"^- (?P<text>.+)\n  (?P<rest>.+)$", re.MULTILINE)
# How often it tries again to write what it was not shown, and what the lessons speak for.
_DRAFTS = 4
# Which mistake a refusal tells of.
_MISTAKES = {"unknown_operator": "operator", "arity": "arity", "look_ahead": "future"}
_Idea = tuple[str, str, list[str]]


@dataclass(frozen=True)
class Shown:
    """A factor as the prompt showed it; NaN where no figure was shown."""

    text: str
    rank_ic: float
    sharpe: float


@dataclass(frozen=True)
class Told:
    """What the lessons say."""

    helps: frozenset[str] = frozenset()
    useless: frozenset[str] = frozenset()
    costly: bool = False
    mistakes: frozenset[str] = field(default_factory=frozenset)


def read_examples(user: str, title: str) -> list[Shown]:
    """Return the factors listed under a title of the prompt."""
    return [
        Shown(block["text"], _figure(block["rest"], "rank_ic"), _figure(block["rest"], "sharpe_net"))
        for block in _BLOCK.finditer(_section(user, title))
    ]


def read_lessons(user: str) -> Told:
    """Return what the prompt's lessons say."""
    text = _section(user, "Lessons")
    refused = [_MISTAKES[code] for code in re.findall(r"attempts ended at \w+ \((\w+)\)", text) if code in _MISTAKES]
    return Told(
        frozenset(re.findall(r"`(\w+)` helps", text)),
        frozenset(re.findall(r"`(\w+)` adds little", text)),
        "use longer windows" in text,
        frozenset(refused),
    )


def _section(user: str, title: str) -> str:
    part = re.search(rf"^# {re.escape(title)}.*?\n(.*?)(?=^# |\Z)", user, re.MULTILINE | re.DOTALL)
    return "" if part is None else part[1]


def _figure(text: str, name: str) -> float:
    found = re.search(rf"\b{name} (-?[\d.eE+-]+)", text)
    return float(found[1]) if found else float("nan")


def writer_reply(system: str, user: str, rng: Rng, *, repairing: bool) -> str:
    """Return the reply's text: usually JSON that fits, sometimes one of the mistakes that models make."""
    told = read_lessons(user)
    tasks = re.split(r"^## Candidate \d+$", _section(user, "Your task"), flags=re.MULTILINE)
    several = re.search(r"^Propose (\d+) factors", user, re.MULTILINE)
    if several is not None:
        wanted = tasks[1:] if len(tasks) > 1 else [""] * int(several[1])
        drafts = [_drafted(user, task, told, rng) for task in wanted]
        return json.dumps({"proposals": [_proposal(*_slipped(draft, told, rng)) for draft in drafts]})
    name, expression, parents = _drafted(user, tasks[0], told, rng)
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
    return json.dumps(_proposal(name, _mistaken(expression, mistake, told), parents))


def _slipped(draft: _Idea, told: Told, rng: Rng) -> _Idea:
    """Return an idea, now and then with a mistake in it."""
    if rng.random() >= ERROR_RATE:
        return draft
    name, expression, parents = draft
    return name, _mistaken(expression, pick(rng, ["operator", "arity", "future"]), told), parents


def _mistaken(expression: str, mistake: str, told: Told) -> str:
    if mistake in told.mistakes:
        return expression
    wrong = {"operator": f"ts_smooth({expression}, 5)", "arity": f"ts_mean({expression})"}
    return wrong.get(mistake, f"ts_delay({expression}, -1)")


def _proposal(name: str, expression: str, parents: list[str]) -> dict[str, object]:
    rationale = (
        f"Simulated model: the idea is {name}. Assets that stand out by it are expected to go on earning differently."
    )
    windows = [int(found) for found in re.findall(r", (\d+)\)", expression)]
    claims = {
        "mechanism": "Simulated model: it knows of none.",
        "horizon": max(windows, default=1),
        "fails_when": "Simulated model: it cannot say.",
    }
    return {"name": name, "expression": expression, "rationale": rationale, **claims, "parents": parents}


def _drafted(user: str, task: str, told: Told, rng: Rng) -> _Idea:
    """Return the best of a few drafts: not shown before, then what lessons speak for."""
    drafts = []
    for _ in range(_DRAFTS):
        idea = _told(user, task, told, rng) if task.strip() else _idea(user, told, rng)
        words = set(re.findall(r"[a-z_]\w*", idea[1]))
        speaks = len(words & told.helps) - len(words & told.useless)
        drafts.append((f"- {idea[1]}\n" in user, -speaks, idea))
        if not drafts[-1][0] and speaks > 0:
            break
        if not told.helps and not told.useless and not drafts[-1][0]:
            break
    return min(drafts, key=lambda draft: draft[:2])[2]


def _idea(user: str, told: Told, rng: Rng) -> _Idea:
    """Choose for itself what to do: blend, change or turn around what is known, or think of something new."""
    longest = _longest(user)
    asked = _mended(user, rng, longest)
    if asked is not None:
        return *asked, []
    known = [(s, e) for s in read_examples(user, "What worked") if (e := _read(s.text)) is not None]
    wrong = [e for s in read_examples(user, "What failed") if s.rank_ic < -0.005 and (e := _read(s.text)) is not None]
    draw = rng.random()
    if known and draw < 0.12 and len(known) > 1:
        first, second = rng.choice(len(known), size=2, replace=False)
        return _blend(known[int(first)][1], known[int(second)][1], rng)
    if known and draw < 0.60:
        # The better a factor did, the likelier it is the one to build on.
        weights = np.array([1.0 / (1 + place) for place in range(len(known))])
        shown, base = known[int(rng.choice(len(known), p=weights / weights.sum()))]
        what, text = mutate(base.root, rng, longest, negate=shown.rank_ic < 0)
        return f"known factor, {what}", text, [base.text]
    if wrong and draw < 0.70:
        return _turned(wrong[int(rng.integers(len(wrong)))], rng, longest)
    return (*compose(rng, longest, smooth=_smoothing(told)), [])


def _told(user: str, task: str, told: Told, rng: Rng) -> _Idea:
    """Do what the judge asks for, else what the task says."""
    longest = _longest(user)
    asked = _mended(user, rng, longest)
    if asked is not None:
        return *asked, re.findall(r"^Parent: (.+)$", task, re.MULTILINE)
    operation = re.search(r"^Operation: (\w+)", task, re.MULTILINE)
    theme = re.search(r"^Theme: ([\w -]+?) \(", task, re.MULTILINE)
    parents = [e for text in re.findall(r"^Parent: (.+)$", task, re.MULTILINE) if (e := _read(text)) is not None]
    match operation[1] if operation else "":
        case "cross" if len(parents) > 1:
            return _blend(parents[0], parents[1], rng)
        case "invert" if parents:
            return _turned(parents[0], rng, longest)
        case "simplify" if parents:
            return "known factor, a part of it", part_of(parents[0].root, rng), [parents[0].text]
        case "refine" if parents and theme is not None:
            return f"known factor, {theme[1]}", refine(parents[0].root, theme[1], rng, longest), [parents[0].text]
        case "mutate" if parents:
            what, text = mutate(parents[0].root, rng, longest, negate=False)
            return f"known factor, {what}", text, [parents[0].text]
    return (*compose(rng, longest, theme[1] if theme else "", _smoothing(told)), [])


def _mended(user: str, rng: Rng, longest: int) -> tuple[str, str] | None:
    """Return what was proposed last, smoothed if the judge asked for that; None where it asked for nothing."""
    said = re.findall(r"^You proposed: (.+)\nAnswer:\n    (.+)$", user, re.MULTILINE)
    last = _read(said[-1][0]) if said else None
    if last is None or "Smooth it" not in said[-1][1]:
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


def _smoothing(told: Told) -> float:
    return 0.7 if told.costly else 0.35


def _longest(user: str) -> int:
    found = re.search(r"Look-back of a factor: at most (\d+) bars", user)
    return max(6, int(found[1]) * 7 // 10) if found else 48


def _read(text: str) -> Expression | None:
    read = parse(text, dialect="native")
    return read if isinstance(read, Expression) else None
