"""`alphaglow learn convnext|boosting|lightgbm|ridge`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.common import (
    Command,
    json_option,
    panel_option,
    print_json,
    progress_bar,
    stderr,
    with_options,
    workspace_of,
)
from agent.cli.groups import Group
from agent.cli.running import say
from market.errors import InputError

if TYPE_CHECKING:
    from agent.learned.learning import Learned, LearningTask
    from agent.learned.protocol import Learner

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
    click.option(
        "--sizing",
        type=click.Choice(["difference", "half-kelly"]),
        default="difference",
        show_default=True,
        help="The signal of classes: p(long) - p(short), or half of Kelly's share of capital, a size a signal.",
    ),
    click.option(
        "--cap",
        default=0.02,
        show_default=True,
        type=click.FloatRange(0, 1, min_open=True),
        help="Of a half-Kelly size, as a share of capital.",
    ),
    click.option(
        "--confidence",
        default=0.4,
        show_default=True,
        type=click.FloatRange(0, 1),
        help="Show as long or short what is called so with this probability or more, and all else as hold.",
    ),
    click.option(
        "--last-fold", is_flag=True, help="Also ask a last model for the bars after, which the holdout needs to open."
    ),
    click.option("--seed", type=click.IntRange(min=0), help="Instead of [loop] seed."),
    click.option("--no-gate", is_flag=True, help="Score without the regime gate."),
    json_option,
)


def learn_options(command: Command) -> Command:
    """Add the options that every kind of model has; the command gets them as keywords, for `learn_and_show`."""
    return with_options(command, _OPTIONS)


def net_options(command: Command) -> Command:
    """Add the options of a network's training."""
    return with_options(command, _NET_OPTIONS)


def boosting_options(command: Command) -> Command:
    """Add the options of gradient boosting."""
    return with_options(command, _BOOSTING_OPTIONS)


_RATE = click.FloatRange(0, 1, min_open=True)
_NET_OPTIONS = (
    click.option("--lr", default=4e-3, show_default=True, type=_RATE, help="Learning rate at its highest."),
    click.option(
        "--smoothing", default=0.1, show_default=True, type=click.FloatRange(0, 1, max_open=True), help="Of labels."
    ),
    click.option(
        "--patience",
        default=5,
        show_default=True,
        type=click.IntRange(1, 10_000),
        help="Epochs without a lower calibration loss after which it stops.",
    ),
)
_BOOSTING_OPTIONS = (
    click.option("--rounds", default=300, show_default=True, type=click.IntRange(1, 100_000), help="Trees at most."),
    click.option("--lr", default=0.03, show_default=True, type=_RATE, help="Learning rate."),
    click.option("--leaves", default=15, show_default=True, type=click.IntRange(2, 1000), help="Of a tree, at most."),
)


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
@net_options
@click.option("--drop-path", type=click.FloatRange(0, 1, max_open=True), help="Share of blocks, instead of the size's.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1, 256), help="Of torch.")
@click.option("--device", type=click.Choice(["cpu", "cuda", "auto"]), default="cpu", show_default=True)
@click.pass_context
def convnext(ctx: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - of `learn_options` and its own
    """Train a ConvNeXt on windows of channels."""
    from agent.learned.network import ConvNextLearner
    from agent.learned.training import NetTraining

    if options["picture"] is not None and options["target"] == "return":
        raise InputError("returns have no probabilities to draw", "--picture is for --target barrier or threshold")
    names = ("epochs", "loss", "lr", "smoothing", "patience", "threads", "device")
    training = NetTraining(**{name: options[name] for name in names})
    learn_and_show(ctx, ConvNextLearner(options["size"], training, options["drop_path"]), options)


@learn.command()
@learn_options
@boosting_options
@click.pass_context
def boosting(ctx: click.Context, /, rounds: int, lr: float, leaves: int, **options: Any) -> None:  # noqa: ANN401
    """Train scikit-learn's gradient boosting on the channels of the newest bar."""
    from agent.learned.rivals import Boosting

    learn_and_show(ctx, Boosting(rounds=rounds, lr=lr, leaves=leaves), options)


@learn.command()
@learn_options
@boosting_options
@click.pass_context
def lightgbm(ctx: click.Context, /, rounds: int, lr: float, leaves: int, **options: Any) -> None:  # noqa: ANN401
    """Train LightGBM's gradient boosting on the channels of the newest bar."""
    from agent.learned.rivals import LightGbm, require_lightgbm

    require_lightgbm()
    learn_and_show(ctx, LightGbm(rounds=rounds, lr=lr, leaves=leaves), options)


@learn.command()
@learn_options
@click.pass_context
def ridge(ctx: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - options of `learn_options`
    """Fit scikit-learn's ridge regression on the channels of the newest bar."""
    from agent.learned.rivals import Ridge

    learn_and_show(ctx, Ridge(), options)


def learn_and_show(ctx: click.Context, learner: Learner, options: Mapping[str, Any]) -> None:
    """Train a kind of model as the options of `learn_options` say, record the factor, and print what became of it."""
    from agent.cli.learn_print import show_learned
    from agent.cli.plain_progress import plain_progress
    from agent.learned.learning import learn_factor, predict_unseen

    workspace = workspace_of(ctx)
    tell = plain_progress(f"learning {learner.kind}: reading bars and channels, then training fold by fold")
    lesson = lesson_of(ctx, learner, options)
    with workspace.knowledge() as knowledge, progress_bar() as bar:
        task = bar.add_task("reading channels", total=None)

        def tick(what: str, done: int, of: int) -> None:
            bar.update(task, description=what, completed=done, total=of)
            tell(what, done, of)

        try:
            found = learn_factor(lesson, knowledge, tick)
            last = predict_unseen(lesson, tick) if lesson.unseen is not None else None
        except KeyboardInterrupt:
            stderr().print("stopped; the same command goes on from the last epoch")
            raise
    if options.get("picture") is not None:
        _draw(found, options["picture"])
    if options["as_json"]:
        print_json(document_of(found, lesson) | {"last_fold": last})
        return
    show_learned(found, last, confidence=options["confidence"], cap=lesson.plan.cap)


def _draw(found: Learned, path: Path) -> None:
    from agent.learned.reliability_picture import reliability_picture
    from market.atomic_files import write_atomically

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
    from agent.study.study import narrowed

    if learner.kind in ("ridge", "boosting"):
        require_sklearn()
    if learner.kind == "ridge" and options["sizing"] == "half-kelly":
        raise InputError("ridge tells no probabilities, which half-Kelly needs", "learn boosting, lightgbm or convnext")
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
        sizing=options["sizing"],
        cap=options["cap"],
    )
    name = slug(options["name"]) if options["name"] else ""
    task = LearningTask(study, opened.whole, learner, plan, workspace.learned, opened.name, opened.recorded(), name)
    return replace(task, unseen=narrowed(opened.whole, opened.settings)) if options["last_fold"] else task


def document_of(found: Learned, lesson: LearningTask) -> dict[str, object]:
    """Return what became of a lesson, as JSON types."""
    from agent.learned.learning import trades_of_learned
    from agent.learned.skill import skill_of

    attempt, skill = found.attempt, skill_of(found.facts)
    traded = trades_of_learned(found)
    evaluation = attempt.evaluation
    return {
        "factor": attempt.factor_id,
        "text": attempt.canonical,
        "run": attempt.run_id,
        "known": found.known,
        "recipe": lesson.recipe.to_dict(),
        "folds": [dict(fact) for fact in found.facts],
        "skill": None if skill is None else {**asdict(skill), "better_than_guessing": skill.better},
        "trades": None if traded is None else {name: asdict(one) for name, one in traded.figures.items()},
        "scorecard": None if evaluation is None else dict(evaluation.scorecard_document),
        "evidence": None if evaluation is None else dict(evaluation.evidence_document),
        "refused": attempt.message,
    }
