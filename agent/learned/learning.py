"""From a kind of model to a factor in the knowledge base: walked forward, stored, scored and counted like any other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from agent.knowledge.claims import Claims
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import AttemptRecord, RunRecord
from agent.knowledge.run_config import RunConfig, ScoringRules
from agent.learned.protocol import Learner
from agent.learned.walk import Walked, WalkPlan, check_walk, predict_after, walk_panel
from agent.study.learned_fields import (
    LearnedRecipe,
    clear_work,
    factor_path,
    read_field,
    store_field,
    store_unseen,
    work_folder,
)
from agent.study.progress import Progress, no_progress
from agent.study.scoring import attempt_of, evaluate_expression
from agent.study.study import Scoring, Study, attach, read_expression
from agent.study.trade_frame import TradeTable, table_of_trades
from market.errors import InputError, Rejection
from market.panel import Panel

ROUND = 1


@dataclass(frozen=True, eq=False)
class LearningTask:
    """What is to be learned, and where it is kept.

    Attributes
    ----------
    study
        Of the data, without learned fields: its panel is what models see.
    whole
        The data as they are in the workspace; they are only named in the knowledge base.
    folder
        Of learned factors.
    data
        Name of the data set.
    rules
        What it is scored under, as runs record it.
    name
        What the factor is called, instead of its model's kind.
    unseen
        The data up to the newest bar, with the study's universe rules: where a last model is to predict the bars after
        the study.
    """

    study: Study
    whole: Panel
    learner: Learner
    plan: WalkPlan
    folder: Path
    data: str
    rules: ScoringRules
    name: str = ""
    unseen: Panel | None = None

    @property
    def recipe(self) -> LearnedRecipe:
        """All that the factor's values depend on."""
        return LearnedRecipe(self.learner.kind, self.study.panel.id, self.plan.recipe(), self.learner.recipe())

    @property
    def field(self) -> str:
        """The factor's name in the language, and its canonical text."""
        return self.recipe.field(self.name)


@dataclass(frozen=True, eq=False)
class Learned:
    """A learned factor: its record, the facts of each fold, and its score where it was scored just now."""

    field: str
    attempt: AttemptRecord
    facts: tuple[Mapping[str, object], ...]
    study: Study
    scoring: Scoring | None
    known: bool = False


def learn_factor(lesson: LearningTask, knowledge: KnowledgeBase, progress: Progress = no_progress) -> Learned:
    """Walk forward, store the predictions, and record the factor as one trial.

    A lesson that was learned before is not walked or counted again; one that was stopped goes on where it was.

    Raises
    ------
    InputError
        For too few bars or examples, features that cannot be read, or that look ahead.
    """
    before = _recorded(lesson, knowledge)
    if before is not None and factor_path(lesson.folder, lesson.field).is_file():
        document, _ = read_field(lesson.folder, lesson.field)
        return Learned(lesson.field, before, _facts(document), attach(lesson.study, lesson.folder), None, known=True)
    knowledge.register_dataset(lesson.whole)
    run = _run(lesson, knowledge)
    knowledge.set_run_status(run.id, "running")
    try:
        progress("checking that no feature looks ahead", 0, 1)
        check_walk(lesson.study.panel, lesson.plan, outcomes=lesson.study.outcomes)
        work = work_folder(lesson.folder, lesson.field)
        walked = walk_panel(
            lesson.study.panel,
            lesson.plan,
            lesson.learner,
            outcomes=lesson.study.outcomes,
            progress=progress,
            resume=work,
        )
        document = {"recipe": lesson.recipe.to_dict(), "folds": list(walked.facts)}
        store_field(lesson.folder, lesson.field, lesson.study.panel, walked.values, document)
        clear_work(lesson.folder, lesson.field)
        made = _score(lesson, walked, run, knowledge)
    except BaseException:
        knowledge.set_run_status(run.id, "interrupted")
        raise
    knowledge.finish_round(run.id, ROUND, [])
    knowledge.set_run_status(run.id, "finished")
    return made


def predict_unseen(lesson: LearningTask, progress: Progress = no_progress) -> dict[str, object]:
    """Fit a last model on all bars of the study, and store what it predicts of those after it; return its facts.

    The predictions are read where the holdout is opened, and nowhere else. No return after the study is read here, and
    the model is not judged on it.
    """
    assert lesson.unseen is not None
    work = work_folder(lesson.folder, lesson.field)
    seen, panel = lesson.study.panel, lesson.unseen

    def report(what: str, done: int, of: int) -> None:
        progress(f"last fold, {what}", done, of)

    report("reading channels", 0, 1)
    values, facts = predict_after(panel, lesson.plan, lesson.learner, len(seen.times), report, work)
    store_unseen(lesson.folder, lesson.field, panel, seen, values, facts)
    clear_work(lesson.folder, lesson.field)
    return facts


def trades_of_learned(found: Learned) -> TradeTable | None:
    """Return the trades of a learned factor, behind its gate where there is one; None where it was not scored now."""
    if found.scoring is None:
        return None
    scored = found.scoring.scored
    return table_of_trades(scored.backtest if scored.gated is None else scored.gated, found.study)


def _score(lesson: LearningTask, walked: Walked, run: RunRecord, knowledge: KnowledgeBase) -> Learned:
    """Score the field as an expression, and record it."""
    study = attach(lesson.study, lesson.folder)
    expression = read_expression(lesson.field, study, dialect="native")
    if isinstance(expression, Rejection):
        raise InputError(f"{lesson.field} cannot be read: {expression.one_line()}")
    before = _recorded(lesson, knowledge)
    result = evaluate_expression(expression, study, knowledge, recorded=before is not None)
    plan = lesson.plan
    attempt = replace(
        attempt_of((run.id, ROUND, 0), lesson.field, expression, result),
        rationale=f"out-of-fold predictions of {lesson.learner.kind} from {len(plan.features)} channels",
        name=lesson.name or lesson.learner.kind,
        claims=Claims(
            horizon=plan.target.horizon,
            other={
                "model": dict(lesson.learner.recipe()),
                "target": f"{plan.target.kind}, {plan.target.horizon} bars",
                "folds": [fact["predicted"] for fact in walked.facts],
                "data": lesson.study.dataset,
            },
        ),
    )
    knowledge.record_attempt(attempt)
    record = knowledge.get_factor(expression.id, run_id=run.id).attempt
    scoring = None if isinstance(result, Rejection) else result
    return Learned(lesson.field, record, walked.facts, study, scoring, known=before is not None)


def _recorded(lesson: LearningTask, knowledge: KnowledgeBase) -> AttemptRecord | None:
    """Return the first attempt at this very factor on this data."""
    return next(iter(knowledge.attempts_at(lesson.field, lesson.study.dataset)), None)


def _run(lesson: LearningTask, knowledge: KnowledgeBase) -> RunRecord:
    """Return the run of this lesson that was stopped under these very rules, or a new one."""
    asked = ("learn", lesson.field, lesson.rules.with_loop({}))
    for run in knowledge.runs(lesson.study.dataset):
        known = run.config
        if run.status != "finished" and (known.kind, known.learned_field, known.rules.with_loop({})) == asked:
            return run
    config = RunConfig(
        kind="learn",
        data=lesson.data,
        learned_field=lesson.field,
        llm="none",
        model=lesson.learner.kind,
        rules=replace(lesson.rules, gate=lesson.study.exposures is not None),
        recipe=lesson.recipe.to_dict(),
    )
    run = knowledge.create_run(lesson.study.dataset, config, lesson.plan.seed)
    knowledge.start_round(run.id, ROUND, {"recipe": lesson.recipe.to_dict()})
    return run


def _facts(document: Mapping[str, object]) -> tuple[Mapping[str, object], ...]:
    folds = document.get("folds")
    return tuple(fold for fold in folds if isinstance(fold, dict)) if isinstance(folds, list) else ()
