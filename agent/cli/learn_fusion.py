"""`alphaglow learn fusion`: numbers and texts in one network, and what each of them adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import click

from agent.cli.common import format_number, print_json, progress_bar, stderr, stdout, text_table, workspace_of
from agent.cli.learn import document_of, learn, learn_options, lesson_of, net_options
from agent.cli.plain_progress import plain_progress
from market.errors import InputError

if TYPE_CHECKING:
    from agent.learned.learning import Learned, LearningTask
    from agent.learned.texts_before import TextMemory

COMMANDS = {"learn": ("learn", 90, "Train models that walk forward; their predictions become factors.")}


@dataclass(frozen=True, slots=True)
class FusionOptions:
    """What `learn fusion` was asked for, beside the options of every kind of model."""

    texts: str
    by: str | None
    reads: str
    count: int
    reach: int
    epochs: int
    lr: float
    smoothing: float
    patience: int
    threads: int
    device: str


@learn.command()
@learn_options
@click.option("--texts", required=True, metavar="DOCS", help="Scored texts: see `alphaglow text score`.")
@click.option("--by", type=click.Choice(["lexicon", "llm"]), help="Whose scores (default: those that there are).")
@click.option(
    "--reads",
    type=click.Choice(["both", "numbers", "text", "each"]),
    default="both",
    show_default=True,
    help="What the network is given; each: all three, one after another, side by side.",
)
@click.option("--count", default=8, show_default=True, type=click.IntRange(1, 100), help="Texts read at a bar at most.")
@click.option("--reach", default=72, show_default=True, type=click.IntRange(1, 10_000), help="Their age in bars.")
@click.option("--epochs", default=20, show_default=True, type=click.IntRange(1, 10_000), help="At most.")
@net_options
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1, 256), help="Of torch.")
@click.option("--device", type=click.Choice(["cpu", "cuda", "auto"]), default="cpu", show_default=True)
@click.pass_context
def fusion(ctx: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - of `learn_options`, and `FusionOptions`
    """Train a network in which windows of numbers ask the newest texts by cross-attention.

    A text is read from the first bar that closes after it was known; a bar without texts is read as such.
    """
    from agent.cli.learn_print import show_learned

    if options["last_fold"]:
        raise InputError("fusion reads the texts of its study's bars alone", "leave out --last-fold")
    asked = FusionOptions(**{field.name: options[field.name] for field in fields(FusionOptions)})
    found = _trained(ctx, asked, options)
    if options["as_json"]:
        each = [document_of(made, part) for made, part in found]
        print_json({"each": each} if asked.reads == "each" else each[0])
        return
    if asked.reads == "each":
        _beside(found)
    else:
        show_learned(found[0][0], confidence=options["confidence"], cap=options["cap"])


def _trained(
    ctx: click.Context, asked: FusionOptions, options: Mapping[str, Any]
) -> list[tuple[Learned, LearningTask]]:
    """Train a network for each kind of input that was asked for, one after another."""
    from agent.learned.fusion import READS, FusionLearner, Reads
    from agent.learned.learning import learn_factor
    from agent.learned.training import NetTraining

    workspace = workspace_of(ctx)
    lesson, memory = _with_texts(ctx, asked, options)
    if not len(memory.keys):
        stderr().print("no text is about an asset of these bars: the network reads numbers alone", soft_wrap=True)
    training = NetTraining(
        epochs=asked.epochs,
        lr=asked.lr,
        smoothing=asked.smoothing,
        patience=asked.patience,
        threads=asked.threads,
        device=asked.device,
    )
    kinds: tuple[Reads, ...] = READS if asked.reads == "each" else tuple(one for one in READS if one == asked.reads)
    found: list[tuple[Learned, LearningTask]] = []
    tell = plain_progress("learning fusion: reading channels, then training fold by fold")
    with workspace.knowledge() as knowledge, progress_bar() as bar:
        task = bar.add_task("reading channels", total=None)
        for kind in kinds:

            def tick(what: str, done: int, of: int, kind: str = kind) -> None:
                bar.update(task, description=f"{kind}: {what}", completed=done, total=of)
                tell(f"{kind}: {what}", done, of)

            part = replace(lesson, learner=FusionLearner(memory, kind, training=training))
            try:
                found.append((learn_factor(part, knowledge, tick), part))
            except KeyboardInterrupt:
                stderr().print("stopped; the same command goes on from the last epoch")
                raise
    return found


def _with_texts(
    ctx: click.Context, asked: FusionOptions, options: Mapping[str, Any]
) -> tuple[LearningTask, TextMemory]:
    """Open the study and the texts that its bars may read; the lesson's learner is set later."""
    from agent.cli.text_sources import scored_by, texts_path
    from agent.learned.network import ConvNextLearner
    from agent.learned.texts_before import remember
    from agent.texts.scores import load_scores, scores_path
    from market.documents import load_documents

    workspace = workspace_of(ctx)
    documents = load_documents(texts_path(workspace, asked.texts))
    scorer = asked.by or scored_by(workspace, asked.texts)
    scores = load_scores(scores_path(workspace.folder("texts"), asked.texts, scorer), documents)
    # Texts are remembered by the rows of the study's panel, which the lesson opens.
    lesson = lesson_of(ctx, ConvNextLearner(), options)
    return lesson, remember(lesson.study.panel, documents, scores, count=asked.count, reach=asked.reach)


def _beside(found: list[tuple[Learned, LearningTask]]) -> None:
    """Print the ablations side by side."""
    rows = []
    for made, _ in found:
        evaluation = made.attempt.evaluation
        card = None if evaluation is None else evaluation.scorecard
        figures = [
            format_number(None if card is None else getattr(getattr(card, segment), name), digits)
            for segment in ("train", "validation")
            for name, digits in (("rank_ic", 4), ("ic_tstat", 1), ("sharpe_gross", 2), ("sharpe_net", 2))
        ]
        rows.append([made.field, *figures])
    # gross and net: Sharpe ratios a year, before and after costs.
    columns = [f"{name}{when}" for when in (" train", " valid.") for name in ("rank IC", "t", "gross", "net")]
    stdout().print(
        text_table("Out of fold, side by side; Sharpe ratios a year gross and net of costs", ["factor", *columns], rows)
    )
