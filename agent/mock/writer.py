"""The mock writer: reads the prompt it is given, composes or mutates, and sometimes errs as models do."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import numpy as np

from agent.mock.grammar import Rng, compose, cross, mutate, part_of, pick
from factors.parse import parse
from factors.tree import Expression

ERROR_RATE = 0.15
_BLOCK = re.compile(r"^- (?P<text>.+)\n  (?P<rest>.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Shown:
    """A factor as the prompt showed it; NaN where no figure was shown."""

    text: str
    rank_ic: float
    sharpe: float


def read_examples(user: str, title: str) -> list[Shown]:
    """Return the factors listed under a title of the prompt."""
    part = re.search(rf"^# {re.escape(title)}.*?\n(.*?)(?=^# |\Z)", user, re.MULTILINE | re.DOTALL)
    if part is None:
        return []
    return [
        Shown(block["text"], _figure(block["rest"], "rank_ic"), _figure(block["rest"], "sharpe_net"))
        for block in _BLOCK.finditer(part[1])
    ]


def _figure(text: str, name: str) -> float:
    found = re.search(rf"\b{name} (-?[\d.eE+-]+)", text)
    return float(found[1]) if found else float("nan")


def writer_reply(system: str, user: str, rng: Rng, *, repairing: bool) -> str:
    """Return the reply's text: usually JSON that fits, sometimes one of the mistakes that models make."""
    name, expression, parents = _idea(user, rng)
    if repairing or rng.random() >= ERROR_RATE:
        return _json(name, expression, parents)
    mistake = pick(rng, ["cut", "fenced", "operator", "arity", "future", "chatty"])
    match mistake:
        case "cut":
            return _json(name, expression, parents)[:-12]
        case "fenced":
            return f"```json\n{_json(name, expression, parents)}\n```"
        case "chatty":
            return f"Here is my factor:\n{_json(name, expression, parents)}\nI hope it helps."
        case "operator":
            return _json(name, f"ts_smooth({expression}, 5)", parents)
        case "arity":
            return _json(name, f"ts_mean({expression})", parents)
    return _json(name, f"ts_delay({expression}, -1)", parents)


def _json(name: str, expression: str, parents: list[str]) -> str:
    rationale = (
        f"Simulated model: the idea is {name}. Assets that stand out by it are expected to go on earning differently."
    )
    windows = [int(found) for found in re.findall(r", (\d+)\)", expression)]
    claims = {
        "mechanism": "Simulated model: it knows of none.",
        "horizon": max(windows, default=1),
        "fails_when": "Simulated model: it cannot say.",
    }
    return json.dumps({"name": name, "expression": expression, "rationale": rationale, **claims, "parents": parents})


def _idea(user: str, rng: Rng) -> tuple[str, str, list[str]]:
    longest = _longest(user)
    told = _told(user, rng, longest)
    if told is not None:
        return told
    known = [
        (shown, e) for shown in read_examples(user, "What worked") if isinstance(e := _read(shown.text), Expression)
    ]
    wrong = [
        (shown, e)
        for shown in read_examples(user, "What failed")
        if shown.rank_ic < -0.005 and isinstance(e := _read(shown.text), Expression)
    ]
    draw = rng.random()
    if known and draw < 0.12 and len(known) > 1:
        first, second = rng.choice(len(known), size=2, replace=False)
        one, other = known[int(first)][1], known[int(second)][1]
        return "a blend of two known factors", cross(one.root, other.root, rng), [one.text, other.text]
    if known and draw < 0.60:
        # The better a factor did, the likelier it is the one to build on.
        weights = np.array([1.0 / (1 + place) for place in range(len(known))])
        shown, base = known[int(rng.choice(len(known), p=weights / weights.sum()))]
        what, text = mutate(base.root, rng, longest, negate=shown.rank_ic < 0)
        return f"known factor, {what}", text, [base.text]
    if wrong and draw < 0.70:
        _, base = wrong[int(rng.integers(len(wrong)))]
        what, text = mutate(base.root, rng, longest, negate=True)
        return f"failed factor turned around, {what}", text, [base.text]
    name, text = compose(rng, longest)
    return name, text, []


def _told(user: str, rng: Rng, longest: int) -> tuple[str, str, list[str]] | None:
    """Do what the prompt's task says; None where there is none."""
    part = re.search(r"^# Your task\n(.*?)(?=^# |\Z)", user, re.MULTILINE | re.DOTALL)
    if part is None:
        return None
    operation = re.search(r"^Operation: (\w+)", part[1], re.MULTILINE)
    theme = re.search(r"^Theme: ([\w -]+?) \(", part[1], re.MULTILINE)
    parents = [e for text in re.findall(r"^Parent: (.+)$", part[1], re.MULTILINE) if (e := _read(text)) is not None]
    match operation[1] if operation else "":
        case "cross" if len(parents) > 1:
            text = cross(parents[0].root, parents[1].root, rng)
            return "a blend of two known factors", text, [p.text for p in parents]
        case "invert" if parents:
            what, text = mutate(parents[0].root, rng, longest, negate=True)
            return f"failed factor turned around, {what}", text, [parents[0].text]
        case "simplify" if parents:
            return "known factor, a part of it", part_of(parents[0].root, rng), [parents[0].text]
        case "mutate" if parents:
            what, text = mutate(parents[0].root, rng, longest, negate=False)
            return f"known factor, {what}", text, [parents[0].text]
    name, text = compose(rng, longest, theme[1] if theme else "")
    return name, text, []


def _longest(user: str) -> int:
    found = re.search(r"Look-back of a factor: at most (\d+) bars", user)
    return max(6, int(found[1]) * 7 // 10) if found else 48


def _read(text: str) -> Expression | None:
    read = parse(text, dialect="native")
    return read if isinstance(read, Expression) else None
