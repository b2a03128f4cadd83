"""What stored lessons are about, and which of them newer ones replace: read from their words, so it costs no import."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from agent.knowledge.records import LessonRecord


def subject_of(lesson: LessonRecord) -> str:
    """Return what a stored lesson is about, beside its kind: ingredients, a factor, a refusal; else nothing."""
    if lesson.kind == "ingredient":
        return " ".join(re.findall(r"`([^`]+)`", lesson.text))
    if lesson.kind == "sign":
        return re.split(r" (?:pays the other|predicts the wrong) way", lesson.text)[0]
    if lesson.kind == "refusal":
        return re.sub(r"^\d+ attempts? ", "", lesson.text).split(")")[0]
    return ""


def latest(lessons: Sequence[LessonRecord], panels: Mapping[str, str]) -> list[LessonRecord]:
    """Return lessons, the newest first, without those that a newer one of the same kind and subject replaces.

    `panels` has the data of each run: lessons of other data stand apart.
    """
    found: dict[tuple[str, str, str], LessonRecord] = {}
    for lesson in lessons:
        found.setdefault((panels.get(lesson.run_id, ""), lesson.kind, subject_of(lesson)), lesson)
    return list(found.values())
