"""`alphaglow kb show|lineage|lessons|judge|luck`; its other commands are in the files `kb_*` beside this one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from agent.cli import kb_calibration, kb_files, kb_list, kb_reassess, kb_roles, kb_search
from agent.cli.common import (
    format_number,
    headed,
    json_option,
    print_json,
    progress_bar,
    stdout,
    text_table,
    workspace_of,
)
from agent.cli.groups import Group
from agent.cli.running import say

if TYPE_CHECKING:
    from rich.tree import Tree

    from agent.evidence.run_luck import RunLuck
    from agent.knowledge.looking_up import LookingUp
    from agent.knowledge.records import AttemptRecord, JudgeVerdict

# Older lessons have been replaced by newer ones of the same subject, or by what was learned since.
_NEWEST_LESSONS = 5_000
COMMANDS = {"kb": ("kb", 160, "Look into the knowledge base.")}


@click.group(cls=Group)
def kb() -> None:
    """Look into the knowledge base."""


def _judged(verdict: JudgeVerdict) -> str:
    word = "accepts" if verdict.accept else "objects"
    return f"judge, turn {verdict.turn}: {word} ({format_number(verdict.score, 1)}/10) {verdict.critique}"


@kb.command()
@click.argument("factor")
@click.option("--children-from", "first_child", type=click.IntRange(min=0), default=0, help="Children to skip.")
@json_option
@click.pass_context
def show(ctx: click.Context, factor: str, first_child: int, as_json: bool) -> None:
    """Show FACTOR (an id or its first characters): text, verdicts, scores, lineage."""
    from dataclasses import asdict

    from agent.cli.scorecard_print import print_gates, print_profile, print_scorecard
    from agent.knowledge.attempt_figures import reasons_of, verdict_of
    from agent.study.expectations import expected_sharpe, forward_sentence
    from backtest.verdict_words import verdict_sentence
    from factors.parse import parse
    from factors.plain_words import read_aloud
    from factors.tree import Expression

    with workspace_of(ctx).listing() as knowledge:
        record = knowledge.get_factor(factor, first_child=first_child)
        attempt, forward = record.attempt, None
        if attempt.evaluation is not None:
            card = attempt.evaluation.scorecard
            forward = expected_sharpe(card, record.factor_id, attempt.panel_id, knowledge)
        if as_json:
            document = {**record.to_dict(), "forward": None if forward is None else asdict(forward)}
            history = knowledge.watch_history(record.factor_id)
            print_json({**document, "watched": [one.to_dict() for one in history]})
            return
        out = stdout()
        out.print(headed(record.factor_id, f"  {attempt.name}\n{record.canonical}"), soft_wrap=True)
        expression = parse(record.canonical, fields=None)
        if isinstance(expression, Expression):
            out.print(read_aloud(expression), soft_wrap=True)
        out.print(f"why: {attempt.rationale or '–'}", soft_wrap=True)
        for claim, said in attempt.claims.to_dict().items():
            out.print(f"{claim.replace('_', ' ')}: {said}", soft_wrap=True, markup=False)
        for verdict in attempt.verdicts:
            out.print(_judged(verdict), soft_wrap=True)
        for relation, related in [("parent", k) for k in record.parents] + [("child", k) for k in record.children]:
            out.print(f"{relation}: {related.factor_id} {related.canonical} ({verdict_of(related)})", soft_wrap=True)
        if record.further_children:
            next_child = record.all_children - record.further_children
            out.print(f"and {record.further_children} further children: --children-from {next_child}")
        if attempt.evaluation is None:
            out.print(f"not scored: {attempt.stage} {attempt.code}: {attempt.message}", soft_wrap=True)
            return
        said = verdict_sentence(attempt.evaluation.evidence, attempt.evaluation.scorecard)
        out.print(headed(verdict_of(attempt), f": {said}" if said else ""), soft_wrap=True)
        out.print("" if forward is None else forward_sentence(forward), soft_wrap=True)
        print_scorecard(attempt.evaluation.scorecard)
        print_profile(attempt.evaluation.scorecard)
        print_gates(attempt.evaluation.evidence)
        out.print(f"{verdict_of(attempt)}: {reasons_of(attempt)}", soft_wrap=True)
        _print_since(knowledge, record.factor_id, attempt)


def _print_since(knowledge: LookingUp, factor_id: str, attempt: AttemptRecord) -> None:
    """Print what became of a factor after its verdict: later verdicts, the holdout, how it did when it was watched."""
    later = knowledge.later_verdicts().get(attempt.id)
    if later is not None:
        stdout().print(later.sentence(), soft_wrap=True)
    for opening in knowledge.holdout_openings(factor_id, attempt.panel_id):
        stdout().print(opening.sentence(), soft_wrap=True)
    for watched in knowledge.watch_history(factor_id):
        stdout().print(watched.sentence(), soft_wrap=True, markup=False)


@kb.command()
@click.argument("run_id", metavar="RUN", required=False)
@json_option
@click.pass_context
def judge(ctx: click.Context, run_id: str | None, as_json: bool) -> None:
    """Compare the judge's scores and forecasts with what the backtests found, over RUN or over all runs.

    What models expected of the factors of `mine`, `optimise` and `propose` (rank IC, turnover, holding) stands beside
    what came.
    """
    from agent.cli.expectations_print import print_expectations
    from agent.knowledge.paging import attempt_pages
    from agent.mining.expectation_skill import expectation_pairs, skill_of_pairs
    from agent.mining.judge_skill import JudgedAttempt, judged_attempts, skill_of

    judged: list[JudgedAttempt] = []
    pairs: dict[str, list[tuple[float, float]]] = {}
    with workspace_of(ctx).listing() as knowledge, progress_bar() as bar:
        run = knowledge.get_run(run_id).id if run_id else None
        task = bar.add_task("reading", total=None)
        with knowledge.asking() as ask:
            for page in attempt_pages(ask, run, scored=True):
                judged += judged_attempts(page)
                for name, found in expectation_pairs(page).items():
                    pairs.setdefault(name, []).extend(found)
                bar.advance(task, len(page))
    skill, expected = skill_of(judged), skill_of_pairs(pairs)
    if as_json:
        print_json({**skill.to_dict(), "expectations": expected.to_dict()})
        return
    rows = [
        ["score", format_number(skill.correlation)],
        *([name, format_number(value)] for name, value in skill.by_axis.items()),
    ]
    stdout().print(text_table("Rank correlation with the net score on train", ["of its", "correlation"], rows))
    if skill.forecasts:
        stdout().print(
            f"{skill.forecasts} forecasts, {skill.passed:.0%} passed: Brier score {skill.brier:.3f}, of saying that "
            f"share each time {skill.brier_base:.3f}",
            soft_wrap=True,
        )
    stdout().print(skill.sentence(), soft_wrap=True, markup=False)
    stdout().print("Only what it let through was scored: how well it refuses cannot be seen.", soft_wrap=True)
    print_expectations(expected)


@kb.command()
@click.argument("run_id", metavar="RUN")
@click.option("--top", default=20, show_default=True, type=click.IntRange(min=0), help="Factors to list.")
@json_option
@click.pass_context
def luck(ctx: click.Context, run_id: str, top: int, as_json: bool) -> None:
    """Evaluate the factors of RUN together: false discoveries, and overfitting by choosing the best.

    Figures are of the train split, net of costs and without the gate, under the rules that RUN recorded.
    """
    from agent.evidence.run_luck import evaluate_run, open_for_luck

    workspace = workspace_of(ctx)
    with workspace.knowledge() as knowledge:
        run = knowledge.get_run(run_id)
        study = open_for_luck(workspace, run, say)
        attempts = knowledge.attempts(run_id=run.id)
    with progress_bar() as bar:
        task = bar.add_task("evaluating", total=None)
        found = evaluate_run(attempts, study, show=lambda done, of: bar.update(task, completed=done, total=of))
    if as_json:
        print_json(found.to_dict())
        return
    _print_luck(found, run.id, top)


def _print_luck(found: RunLuck, run_id: str, top: int) -> None:
    """Print the best factors of a run with their q-values, and what choosing the best is worth."""
    from agent.evidence.run_luck import DISCOVERY

    out = stdout()
    rows = [
        [
            f.factor_id[7:17],
            f.text,
            format_number(f.sharpe_net),
            format_number(f.predicts_z),
            format_number(f.earns_z),
            format_number(f.p_value, 4),
            format_number(f.q_value, 4),
        ]
        for f in found.factors[:top]
    ]
    columns = ["factor", "expression", "Sharpe net", "predicts z", "earns z", "p", "q"]
    out.print(text_table(f"Factors of run {run_id} on train", columns, rows, left=2))
    for test in found.tests:
        out.print(test.sentence(), soft_wrap=True)
    out.print(
        f"{found.tried} scored factors over {found.bars:,} bars; {found.discoveries} have a q-value below "
        f"{DISCOVERY:g}. For description: by the spread of Sharpe ratios before costs, which holds the skill that was "
        f"found, the best of {found.tried} without skill is expected at {format_number(found.expected_best)}",
        soft_wrap=True,
    )
    if found.chosen is not None:
        out.print(
            f"the best on one half of train is below the median of the other half in {found.chosen.probability:.0%} of "
            f"{found.chosen.splits:,} splits (PBO), and loses there in {found.chosen.loss:.0%}",
            soft_wrap=True,
        )
    if found.forward is not None and found.paths:
        lowest, middle, highest = (format_number(found.paths[k]) for k in (0, len(found.paths) // 2, -1))
        out.print(
            f"choosing the best on the past, eight times over the second half of train, earned a net Sharpe ratio of "
            f"{format_number(found.forward)}; on {len(found.paths)} paths of a combinatorial purged cross-validation, "
            f"the choice earned {lowest} to {highest}, in the middle {middle}",
            soft_wrap=True,
        )
    if found.superior is not None:
        names = [found.ids[k][7:17] for k in found.superior.superior]
        out.print(
            f"superior ability (Hansen's SPA) of {found.tested} factors against earning nothing: p = "
            f"{format_number(found.superior.p_value, 3)}; Romano-Wolf's StepM names {', '.join(names) or 'none'}",
            soft_wrap=True,
        )
    elif found.tested:
        out.print("superior ability (SPA, StepM) was not tested: pip install 'alphaglow[stats]'")


@kb.command()
@click.option("--run", "run_id", help="Only this run.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1))
@json_option
@click.pass_context
def lessons(ctx: click.Context, run_id: str | None, limit: int, as_json: bool) -> None:
    """Show the lessons, newest first, with the attempts they rest on.

    A lesson that a newer one of the same kind and subject replaces is left out; --json shows all.
    """
    from agent.mining.lesson_subjects import latest

    with workspace_of(ctx).listing() as knowledge:
        run = knowledge.get_run(run_id).id if run_id else None
        if as_json:
            print_json([lesson.to_dict() for lesson in knowledge.newest_lessons(run, limit)])
            return
        panels = {one.id: one.panel_id for one in knowledge.runs()}
        found = latest(knowledge.newest_lessons(run, max(_NEWEST_LESSONS, limit)), panels)[:limit]
        rows = [[f"{x.run_id[:8]}/{x.round}", x.kind, x.text, ", ".join(map(str, x.evidence[:6]))] for x in found]
        stdout().print(text_table("Lessons", ["run/round", "about", "lesson", "attempts"], rows, left=4))


@kb.command()
@click.argument("factor")
@json_option
@click.pass_context
def lineage(ctx: click.Context, factor: str, as_json: bool) -> None:
    """Show what FACTOR was built on, back to the first ideas, and what was built on it."""
    with workspace_of(ctx).listing() as knowledge:
        root = knowledge.get_factor(factor)
        above = _relatives(knowledge, root.factor_id, "parents")
        below = _relatives(knowledge, root.factor_id, "children")
    if as_json:
        print_json({"factor": root.factor_id, "built_on": above, "led_to": below})
        return
    from rich.text import Text
    from rich.tree import Tree

    from agent.knowledge.attempt_figures import verdict_of

    tree = Tree(Text(f"{root.canonical} ({verdict_of(root.attempt)})"))
    for title, relatives in (("built on", above), ("led to", below)):
        if relatives:
            _grow(tree.add(title), relatives)
    stdout().print(tree)


def _relatives(knowledge: LookingUp, factor_id: str, side: str, seen: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Return the parents (or children) of a factor with theirs; a circle is cut where it closes."""
    from agent.knowledge.attempt_figures import verdict_of

    seen = (*seen, factor_id)
    record = knowledge.get_factor(factor_id)
    related = record.parents if side == "parents" else record.children
    found: list[dict[str, Any]] = [
        {
            "factor": relative.factor_id,
            "text": relative.canonical,
            "verdict": verdict_of(relative),
            side: _relatives(knowledge, relative.factor_id, side, seen),
        }
        for relative in related
        if relative.factor_id is not None and relative.factor_id not in seen
    ]
    if side == "children" and record.further_children:
        found.append({"further": record.further_children})
    return found


def _grow(tree: Tree, relatives: list[dict[str, Any]]) -> None:
    from rich.text import Text

    for relative in relatives:
        if "further" in relative:
            tree.add(Text(f"and {relative['further']} further ones"))
            continue
        branch = tree.add(Text(f"{relative['text']} ({relative['verdict']})"))
        _grow(branch, relative.get("parents") or relative.get("children") or [])


for _command in (
    kb_list.list_,
    kb_search.search,
    kb_search.calls,
    kb_reassess.reassess,
    kb_calibration.calibration,
    kb_files.sql,
    kb_files.verify,
    kb_files.backup,
    kb_files.repair,
    kb_files.export,
    kb_files.import_,
    kb_files.merge,
    kb_roles.roles,
):
    kb.add_command(_command)
