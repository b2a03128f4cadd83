"""`alphaglow learn convnext|boosting|ridge`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.common import (
    Command,
    format_number,
    headed,
    json_option,
    panel_option,
    print_json,
    progress_bar,
    stderr,
    stdout,
    text_table,
    workspace_of,
)
from agent.cli.groups import Group
from agent.cli.running import say
from market.errors import InputError

if TYPE_CHECKING:
    from agent.learned.convnext import Size
    from agent.learned.learning import Learned, LearningTask
    from agent.learned.protocol import Learner
    from agent.learned.skill import Skill
    from agent.learned.training import Loss

_OPTIONS = (
    panel_option,
    click.option("--name", default="", help="What to call the factor, instead of its model's kind."),
    click.option("--feature", "features", multiple=True, metavar="EXPR", help="Read this channel; may be repeated."),
    click.option("--window", default=128, show_default=True, type=click.IntRange(1, 10_000), help="Bars of a window."),
    click.option(
        "--target",
        type=click.Choice(["barrier", "threshold", "return"]),
        default="barrier",
        show_default=True,
        help="Long, short or hold by the first barrier that is touched, or by the return's size; or the return.",
    ),
    click.option(
        "--horizon", default=12, show_default=True, type=click.IntRange(1, 10_000), help="Bars that a label reaches."
    ),
    click.option(
        "--width", default=0.7, show_default=True, type=float, help="Of barriers and threshold, in deviations."
    ),
    click.option("--folds", default=4, show_default=True, type=click.IntRange(1, 100), help="Models, one a stretch."),
    click.option(
        "--first",
        default=0.4,
        show_default=True,
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        help="Share of the bars before the first stretch.",
    ),
    click.option(
        "--max-windows", default=12_000, show_default=True, type=click.IntRange(min=200), help="Examples of a fold."
    ),
    click.option("--seed", type=click.IntRange(min=0), help="Instead of [loop] seed."),
    click.option("--no-gate", is_flag=True, help="Score without the regime gate."),
    json_option,
)


def learn_options(command: Command) -> Command:
    """Add the options that every kind of model has; the command gets them as keywords, for `learn_and_show`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.group(cls=Group)
def learn() -> None:
    """Train a model walking forward; its out-of-fold prediction becomes a factor, scored and counted like any other.

    Each stretch of time is predicted by a model whose labels had all ended before it. The factor's name may be used in
    expressions on the same data. A training that is stopped goes on when the same command is given again.
    """


@learn.command()
@learn_options
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw what its probabilities said beside what came true, out of fold (SVG).",
)
@click.option(
    "--size",
    type=click.Choice(["nano", "tiny", "small", "base"]),
    default="nano",
    show_default=True,
    help="Of the net.",
)
@click.option("--epochs", default=20, show_default=True, type=click.IntRange(1, 10_000), help="At most.")
@click.option("--loss", type=click.Choice(["huber", "mse"]), default="huber", show_default=True, help="Of returns.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1, 256), help="Of torch.")
@click.option("--device", type=click.Choice(["cpu", "cuda", "auto"]), default="cpu", show_default=True)
@click.pass_context
def convnext(
    ctx: click.Context,
    /,
    size: Size,
    epochs: int,
    loss: Loss,
    threads: int,
    device: str,
    **options: Any,  # noqa: ANN401
) -> None:
    """Train a ConvNeXt on windows of channels."""
    from agent.learned.network import ConvNextLearner
    from agent.learned.training import NetTraining

    if options["picture"] is not None and options["target"] == "return":
        raise InputError("returns have no probabilities to draw", "--picture is for --target barrier or threshold")
    training = NetTraining(epochs=epochs, loss=loss, threads=threads, device=device)
    learn_and_show(ctx, ConvNextLearner(size, training), options)


@learn.command()
@learn_options
@click.pass_context
def boosting(ctx: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - options of `learn_options`
    """Train scikit-learn's gradient boosting on the channels of the newest bar."""
    from agent.learned.rivals import Boosting

    learn_and_show(ctx, Boosting(), options)


@learn.command()
@learn_options
@click.pass_context
def ridge(ctx: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - options of `learn_options`
    """Fit scikit-learn's ridge regression on the channels of the newest bar."""
    from agent.learned.rivals import Ridge

    learn_and_show(ctx, Ridge(), options)


def learn_and_show(ctx: click.Context, learner: Learner, options: Mapping[str, Any]) -> None:
    """Train a kind of model as the options of `learn_options` say, record the factor, and print what became of it."""
    from agent.learned.learning import learn_factor

    workspace = workspace_of(ctx)
    lesson = lesson_of(ctx, learner, options)
    with workspace.knowledge() as knowledge, progress_bar() as bar:
        task = bar.add_task("reading channels", total=None)

        def tick(what: str, done: int, of: int) -> None:
            bar.update(task, description=what, completed=done, total=of)

        try:
            found = learn_factor(lesson, knowledge, tick)
        except KeyboardInterrupt:
            stderr().print("stopped; the same command goes on from the last epoch")
            raise
    if options.get("picture") is not None:
        _draw(found, options["picture"])
    if options["as_json"]:
        print_json(document_of(found, lesson))
        return
    show_learned(found)


def _draw(found: Learned, path: Path) -> None:
    from agent.learned.reliability_picture import reliability_picture
    from market.panel_store import write_atomically

    drawn = reliability_picture(found.facts, f"{found.field}: said and came true, out of fold")
    if drawn is None:
        raise InputError("no fold had bars to judge its probabilities by", "see the folds")
    write_atomically(path, lambda target: target.write_text(drawn, encoding="utf-8"))


def lesson_of(ctx: click.Context, learner: Learner, options: Mapping[str, Any]) -> LearningTask:
    """Return what the options of `learn_options` ask a learner to learn."""
    from agent.learned.channels import given_channels
    from agent.learned.learning import LearningTask
    from agent.learned.rivals import require_sklearn
    from agent.learned.targets import TargetSpec
    from agent.learned.walk import WalkPlan
    from agent.mining.screening import require_cross_section
    from agent.study.blocks import slug
    from agent.study.opening import open_data

    if learner.kind in ("ridge", "boosting"):
        require_sklearn()
    workspace = workspace_of(ctx)
    settings = workspace.settings
    # A learned factor is keyed by the panel without those that were learned before it.
    opened = open_data(workspace, options["data_name"], gate=not options["no_gate"], learned=False, note=say)
    study = opened.study
    require_cross_section(study)
    plan = WalkPlan(
        features=given_channels(options["features"]),
        window=options["window"],
        target=TargetSpec(options["target"], options["horizon"], options["width"]),
        folds=options["folds"],
        first=options["first"],
        max_windows=options["max_windows"],
        seed=settings.loop.seed if options["seed"] is None else options["seed"],
        relative=study.spec.is_cross_sectional,
        fill=study.spec.fill,
    )
    name = slug(options["name"]) if options["name"] else ""
    return LearningTask(study, opened.whole, learner, plan, workspace.learned, opened.name, opened.recorded(), name)


def document_of(found: Learned, lesson: LearningTask) -> dict[str, object]:
    """Return what became of a lesson, as JSON types."""
    from agent.learned.skill import skill_of

    attempt, skill = found.attempt, skill_of(found.facts)
    evaluation = attempt.evaluation
    return {
        "factor": attempt.factor_id,
        "text": attempt.canonical,
        "run": attempt.run_id,
        "known": found.known,
        "recipe": lesson.recipe.to_dict(),
        "folds": [dict(fact) for fact in found.facts],
        "skill": None if skill is None else {**asdict(skill), "better_than_guessing": skill.better},
        "scorecard": None if evaluation is None else dict(evaluation.scorecard_document),
        "evidence": None if evaluation is None else dict(evaluation.evidence_document),
        "refused": attempt.message,
    }


def show_learned(found: Learned) -> None:
    """Print the folds, the scorecard and the verdict of a learned factor."""
    from agent.cli.scorecard_print import print_gates, print_profile, print_scorecard
    from agent.knowledge.attempt_figures import reasons_of, verdict_of
    from agent.learned.skill import skill_of

    out, attempt = stdout(), found.attempt
    out.print(headed(found.field, f"   {attempt.factor_id}, run {attempt.run_id}"), soft_wrap=True)
    skill = skill_of(found.facts)
    if skill is not None:
        out.print(skill.sentence(), soft_wrap=True, markup=False)
    if found.known:
        out.print("Learned before: nothing was trained, and no trial was added.")
    shown = [name for name in found.facts[0] if name not in ("trained", "predicted", "reliability", "skill")]
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
    sides = "" if skill.direction is None else f"; of long and short, {format_number(skill.direction, 3)}"
    stdout().print(f"The likeliest class came in {format_number(skill.accuracy, 3)} of places{sides}.")


def _dates(span: object) -> list[str]:
    return [str(time)[:10] for time in span] if isinstance(span, (list, tuple)) else []


def _cell(value: object) -> str:
    if isinstance(value, float):
        return format_number(value, 4)
    return "–" if value is None else str(value)
