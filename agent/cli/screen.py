"""`alphaglow screen`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.attempt_tables import best_table, print_failed, screening_summary
from agent.cli.cluster_option import HERE, cluster_of, cluster_option
from agent.cli.common import (
    graceful_stop,
    json_option,
    panel_option,
    print_json,
    progress_bar,
    stderr,
    stdout,
    workspace_of,
)
from agent.cli.option_record import recorded
from agent.cli.running import say
from market.errors import InputError

if TYPE_CHECKING:
    from agent.cluster.cluster_scorer import ClusterScorer
    from agent.cluster.ray_cluster import RayCluster
    from agent.cluster.stretch_scorer import StretchScorer
    from agent.knowledge.knowledge_base import KnowledgeBase
    from agent.knowledge.records import RunRecord
    from agent.study.opening import OpenData
    from agent.study.study import Study
    from agent.study.workspace import Workspace

COMMANDS = {"screen": ("screen", 70, "Quick-score many factors, score the best in full.")}


@dataclass(frozen=True, slots=True)
class ScreenOptions:
    """What `screen` was asked for."""

    file: Path | None
    data_name: str | None
    drawn: int | None
    seed: int
    keep: int
    threads: int
    device: str
    cluster: str | None
    resume: str | None
    rules: str | None
    as_json: bool


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, allow_dash=True))
@panel_option
@click.option("--random", "drawn", type=click.IntRange(min=1), help="Draw this many expressions instead of FILE.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of --random.")
@click.option("--keep", type=click.IntRange(min=0), default=20, show_default=True, help="How many to score in full.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True, help="Expressions at once.")
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Where quick scores are computed; cuda: a graphics card.",
)
@cluster_option
@click.option("--resume", metavar="RUN", help="Go on with this screening.")
@click.option(
    "--rules",
    type=click.Choice(["current"]),
    help="With --resume, for a screening of an earlier version that recorded no rules: go on under those of "
    "alphaglow.toml.",
)
@json_option
@click.pass_context
@recorded(ScreenOptions)
def screen(ctx: click.Context, asked: ScreenOptions) -> None:
    """Quick-score many factors on train, and score the best in full.

    FILE has one expression a line (- is stdin; lines that begin with # are remarks). Every expression is recorded and
    counts as a trial. Ctrl-C stops; `alphaglow screen --resume RUN` goes on.
    """
    from agent.mining.screening import Screening, require_cross_section, run_screening
    from agent.study.opening import RecordedRules, open_data

    workspace = workspace_of(ctx)
    if asked.device != "cpu":
        if asked.cluster not in (None, HERE):
            raise InputError("--device and --cluster exclude one another", "choose one of them")
        from agent.device.tensor_engine import torch_device

        # Before anything is recorded.
        torch_device(asked.device)
    if asked.cluster not in (None, HERE) and asked.data_name and workspace.is_by_field(asked.data_name):
        # Before a cluster is started for it.
        _refuse_elsewhere(asked)
    elsewhere = HERE if asked.device != "cpu" else asked.cluster
    with cluster_of(workspace, elsewhere, say) as cluster, workspace.knowledge() as knowledge:
        earlier = _earlier_run(asked, knowledge)
        rules = None if earlier is None else RecordedRules.of_run(earlier)
        opened = open_data(workspace, asked.data_name, rules, note=say)
        on_disk = _is_on_disk(opened, asked)
        study = replace(opened.study, max_gigabytes=math.inf) if on_disk else opened.study
        require_cross_section(study)
        run, texts = _started(asked, opened, study, knowledge, earlier)
        if not asked.as_json:
            stderr().print(f"run {run.id}: {len(texts)} expressions")
        scorer: ClusterScorer | StretchScorer | None = None
        if on_disk:
            scorer = _in_passes(workspace, run.id, asked.threads)
            _say_passes(opened.name, study, run.config.keep, scorer.memory_gb)
        elif cluster is not None:
            scorer = _spread(cluster, workspace, run.id, len(texts))
        with progress_bar() as bar, graceful_stop("stopping; Ctrl-C again to stop at once") as stop:
            task = bar.add_task("reading", total=len(texts))
            keep = run.config.keep
            outcome = run_screening(
                Screening(
                    study, knowledge, run, texts, keep, asked.threads, stop,
                    lambda what, done, of: bar.update(task, description=what, completed=done, total=of),
                    None if asked.device == "cpu" else asked.device, say, scorer,
                )
            )  # fmt: skip
        if scorer is not None and outcome == "finished":
            scorer.recorded()
        summary = screening_summary(knowledge, run.id, outcome)
        if asked.as_json:
            print_json(summary)
            return
        _print_screening(knowledge, run.id, outcome, summary, len(texts))


def _is_on_disk(opened: OpenData, asked: ScreenOptions) -> bool:
    """Whether the data are stored by field, and so are scored in passes: on this machine's processors."""
    from market.panel_on_disk import PanelOnDisk

    if not isinstance(opened.whole, PanelOnDisk):
        return False
    _refuse_elsewhere(asked)
    return True


def _say_passes(name: str, study: Study, keep: int, memory_gb: float) -> None:
    """Say how data that are stored by field are scored, before that is begun."""
    from agent.study.large_scorecards import refused_scorecards

    say(f"{name} is stored by field: quick scores in passes over it (docs/large-panels.md)")
    refused = refused_scorecards(study.panel, memory_gb) if keep else ""
    if refused:
        say(f"nothing will be scored in full: {refused}")


def _refuse_elsewhere(asked: ScreenOptions) -> None:
    """Refuse a device or a cluster for data that are stored by field."""
    if asked.device != "cpu" or asked.cluster not in (None, HERE):
        raise InputError(
            "data that are stored by field are scored on this machine's processors", "leave out --device and --cluster"
        )


def _in_passes(workspace: Workspace, run_id: str, threads: int) -> StretchScorer:
    """Return who scores a screening on data that are stored by field."""
    from agent.cluster.stretch_scorer import StretchScorer

    return StretchScorer(threads, workspace.settings.data.memory_gb, workspace.folder("runs"), run_id, say=say)


def _spread(cluster: RayCluster, workspace: Workspace, run_id: str, count: int) -> ClusterScorer:
    """Return who scores a screening of `count` expressions on a cluster."""
    from agent.cluster.cluster_scorer import ClusterScorer, shard_size

    size = shard_size(count, cluster.processors(), workspace.settings.cluster.shard)
    return ClusterScorer(cluster, workspace.folder("runs"), run_id, size, say)


def _earlier_run(asked: ScreenOptions, knowledge: KnowledgeBase) -> RunRecord | None:
    """Return the screening to go on with; None where a new one is asked for.

    Its factors are not scored under two sets of rules unless that is asked.
    """
    from agent.study.opening import RecordedRules

    if asked.resume is None:
        if asked.rules is not None:
            raise InputError("--rules belongs to --resume", "a new screening goes by the rules of alphaglow.toml")
        if (asked.file is None) == (asked.drawn is None):
            raise InputError("what to screen? name a FILE of expressions, or say --random N")
        return None
    if asked.file is not None or asked.drawn is not None or asked.data_name is not None:
        raise InputError("FILE, --random and --data cannot change on --resume", "start a new screening instead")
    run = knowledge.get_run(asked.resume)
    if run.config.kind != "screen":
        raise InputError(f"{run.id} is not a screening", f"go on with: alphaglow mine --resume {run.id}")
    unknown = RecordedRules.of_run(run).unrecorded()
    if not unknown and asked.rules is not None:
        raise InputError(f"run {run.id} recorded its rules, and goes on under them", "leave out --rules")
    if unknown and asked.rules is None and run.status != "finished":
        raise InputError(
            f"run {run.id} recorded no rules of {', '.join(unknown)}: what it has scored may have gone by others than "
            "those of alphaglow.toml, and the figures could not be compared",
            f"start a new screening, or accept that: alphaglow screen --resume {run.id} --rules current",
        )
    return run


def _started(
    asked: ScreenOptions, opened: OpenData, study: Study, knowledge: KnowledgeBase, run: RunRecord | None
) -> tuple[RunRecord, Sequence[str]]:
    """Return the run, recorded where it is new, and the expressions that it was begun with."""
    from agent.knowledge.run_config import RunConfig
    from agent.mining.screening import draw_texts, listed
    from agent.study.lineage_notes import meet_data, say_left_out

    texts: list[str] = []
    if run is None:
        opened.say_dates()
        texts = _lines(asked.file) if asked.file is not None else draw_texts(study, asked.drawn or 0, asked.seed)
        meet_data(knowledge, opened.whole, say)
        say_left_out(knowledge, opened, say)
        config = RunConfig(kind="screen", data=opened.name, llm="none", keep=asked.keep, rules=opened.recorded())
        run = knowledge.create_run(study.dataset, config, asked.seed)
    return run, listed(knowledge, run.id, lambda: texts)


def _print_screening(
    knowledge: KnowledgeBase, run_id: str, outcome: str, summary: dict[str, object], count: int
) -> None:
    """Print the factors that were scored in full, and what became of the rest."""
    attempts, out = knowledge.attempts(run_id=run_id), stdout()
    out.print(best_table(attempts, run_id))
    print_failed(attempts)
    out.print(
        f"run {run_id} {outcome}: {summary['attempts']} of {count} recorded, {summary['refused']} not scored,"
        f" {summary['screened_out']} left at their quick score, {summary['in_full']} scored in full, "
        f"{summary['accepted']} accepted",
        soft_wrap=not out.is_terminal,
    )
    if outcome != "finished":
        out.print(f"Go on with: alphaglow screen --resume {run_id}")


def _lines(file: Path) -> list[str]:
    try:
        with click.open_file(str(file), encoding="utf-8") as stream:
            lines = [line.strip() for line in stream]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {file}: {error}", "it has one expression a line, as UTF-8 text") from error
    texts = [line for line in lines if line and not line.startswith("#")]
    if not texts:
        raise InputError(f"{file} has no expressions", "write one a line")
    return texts
