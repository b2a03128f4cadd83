"""The text that the mock's random draws are seeded by: the facts in a wording that never changes.

The templates in `wording/` and the sentences here are what prompts said when the mock was made. Nobody reads them: they
are hashed. As they stay, a run of the mock stays the same when the prompts that real models get are reworded.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agent.llm.facts import Facts, JudgeFacts, LessonFacts, ReaderFacts, RepairFacts, WriterFacts
from agent.untrusted.prompt_files import render_prompt
from agent.untrusted.quoting import one_line, quoted

_WORDING = Path(__file__).resolve().parent / "wording"
_LONGEST_MESSAGE = 240
_INGREDIENT = "mean |train rank IC| {mean:.4f} over {factors:.0f} factors, {rest:.4f} without it"
_SENTENCES: Mapping[str, str] = {
    "regime": (
        "the best {factors:.0f} predictors do best in the regime '{best}' (mean train rank IC {best_ic:.4f}) and "
        "{verb} in '{worst}' ({worst_ic:.4f})"
    ),
    "sign": "{factor} predicts the wrong way (train rank IC {rank_ic:.4f}): negate it",
    "costs": (
        "{factors:.0f} factors earned before costs and lost after them (mean turnover {turnover:.0%} a bar): "
        "use longer windows, or smooth with ts_decay_linear or ts_mean"
    ),
    "gate": (
        "the gate raised net Sharpe on train for {helped:.0f} of {factors:.0f} factors (mean change {change:+.2f})"
    ),
}

_OPERATIONS: Mapping[str, str] = {
    "new": "Propose a new idea of this theme.",
    "mutate": "Change the parent in one respect that should make it better: how it is smoothed or normalised, a "
    "condition, another measure of the same thing.",
    "cross": "Join the ideas of the two parents in one factor that has a reason of its own.",
    "simplify": "Say the parent's idea more simply: fewer parts, fewer windows.",
    "invert": "The parent predicts the wrong way: turn it around, and give the reason for the opposite.",
    "windows": "Other windows for the parent.",
    "refine": "Improve the parent in this one respect, and leave the rest of it as it is.",
    "given": "The factor that is to be improved, as it stands.",
}


def seed_messages(facts: Facts, repair: RepairFacts | None) -> list[dict[str, str]]:
    """Return what is hashed for a request: a function of its facts alone."""
    match facts:
        case WriterFacts():
            system, user = _writer(facts)
        case JudgeFacts():
            system, user = _judge(facts)
        case ReaderFacts():
            system, user = _reader(facts)
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    if repair is None:
        return messages
    again = (
        f"That could not be read: {one_line(repair.fault)} Answer again with one JSON object of exactly these fields: "
        f"{', '.join(repair.fields)}."
    )
    return [*messages, {"role": "assistant", "content": repair.reply}, {"role": "user", "content": again}]


def _writer(facts: WriterFacts) -> tuple[str, str]:
    lessons = [sentence_of(lesson) for lesson in facts.lessons]
    system = render_prompt(_WORDING, "seed_writer_system.md", brief=facts, several=len(facts.wanted) > 1)
    user = render_prompt(
        _WORDING,
        "seed_writer.md",
        brief=facts,
        lessons=lessons,
        operations=_OPERATIONS,
        wanted=facts.wanted,
        turns=facts.turns,
    )
    return system, user


def _judge(facts: JudgeFacts) -> tuple[str, str]:
    user = render_prompt(
        _WORDING,
        "seed_judge.md",
        brief=facts,
        factor=facts.factor,
        reading=facts.reading,
        proposal=facts.proposal,
        forecast=facts,
        novelty=facts.novelty,
    )
    return render_prompt(_WORDING, "seed_judge_system.md"), user


def _reader(facts: ReaderFacts) -> tuple[str, str]:
    system = (
        (_WORDING / "seed_reader_system.md")
        .read_text(encoding="utf-8")
        .replace("{{ events }}", ", ".join(facts.events))
    )
    lines = [f"There are {len(facts.texts)} texts."]
    for one in facts.texts:
        body = f"«{one.body}»" if one.body else "(nothing more)"
        lines.append(f"{one.number}. about {one.about}: «{one.title}» {body}")
    return system, "\n".join(lines)


def sentence_of(lesson: LessonFacts) -> str:
    """Return a lesson in the wording that stays; of one whose figures are not known, its own sentence."""
    figures = lesson.figures
    if lesson.kind == "ingredient":
        how = "helps" if figures["helps"] else "adds little"
        said = _INGREDIENT.format(**figures)
        return f"`{figures['word']}` {how}: {said} (confidence {figures['confidence']:.2f})"
    if lesson.kind == "refusal":
        message = str(figures["message"])
        said = f": {quoted(message, _LONGEST_MESSAGE)}" if message else ""
        return f"{figures['attempts']:.0f} attempts ended at {figures['stage']} ({figures['code']}){said}"
    if lesson.kind == "regime":
        verb = "fail" if float(figures["worst_ic"]) < 0 else "predict least"
        return _SENTENCES["regime"].format(**figures, verb=verb)
    sentence = _SENTENCES.get(lesson.kind)
    return lesson.text if sentence is None else sentence.format(**figures)
