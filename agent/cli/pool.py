"""`alphaglow pool fit|list|show|add|report`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.cluster_option import cluster_of, cluster_option
from agent.cli.common import (
    FactorCommand,
    data_option,
    format_number,
    headed,
    json_option,
    panel_option,
    print_json,
    progress_bar,
    stdout,
    text_table,
    workspace_of,
)
from agent.cli.groups import Group
from agent.cli.option_record import recorded
from agent.cli.running import say
from market.errors import InputError, Rejection

if TYPE_CHECKING:
    from agent.knowledge.knowledge_base import KnowledgeBase
    from agent.knowledge.pool_records import PoolMember, PoolRecord
    from agent.pools.members import MeasuredFactors, PoolCandidate
    from agent.study.opening import OpenData
    from agent.study.study import Study
    from backtest.result_types import Scorecard

COMMANDS = {"pool": ("pool", 120, "Combine factors into one signal, and compare it with each of them.")}

METHODS = ("aim", "equal", "ic", "ridge", "nonneg")
_FIGURES = (("rank_ic", 4), ("sharpe_net", 2))


@dataclass(frozen=True)
class FitOptions:
    """The options of `alphaglow pool fit`."""

    name: str | None
    method: str
    factors: tuple[str, ...]
    file: Path | None
    verdict: str
    most: int | None
    cluster: str | None
    data_name: str | None
    as_json: bool


@click.group(cls=Group)
def pool() -> None:
    """Combine factors into one signal, with a scorecard of its own; every fit counts as a trial."""


@contextmanager
def _showing() -> Iterator[Callable[[str, int, int], None]]:
    with progress_bar() as bar:
        task = bar.add_task("reading", total=None)
        yield lambda what, done, of: bar.update(task, description=what, completed=done, total=of)


@pool.command()
@click.option("--name", help="What to call it (with several methods, the method follows).")
@click.option("--method", type=click.Choice([*METHODS, "all"]), default="aim", show_default=True)
@click.option("--factors", "-f", multiple=True, metavar="ID|TEXT", help="A member; may be given again.")
@click.option("--file", "file", type=click.Path(path_type=Path, dir_okay=False), help="Published factors as members.")
@click.option(
    "--members",
    "--verdict",
    "verdict",
    type=click.Choice(["accepted", "promising", "scored"]),
    default="accepted",
    show_default=True,
    help="Which factors are members: the accepted, the promising as well, or all that were scored in full.",
)
@click.option("--max", "most", type=click.IntRange(min=1), help="Keep those that earned most on train.")
@cluster_option
@panel_option
@json_option
@click.pass_context
@recorded(FitOptions)
def fit(ctx: click.Context, asked: FitOptions) -> None:
    """Fit weights on train, score the combined signal on train and validation, and keep it.

    aim: what members net when the pool is traded slowly, each for what it adds to the others; the rate is chosen on
    train. equal: the same weight. ic: rank IC on train, shrunk by its error. ridge: regression of returns, its penalty
    chosen by purged folds of train. nonneg: regression without negative weights.
    """
    from agent.pools.fitting import Setting, fit_pools
    from agent.pools.member_work import on_machines
    from agent.pools.members import measure_members
    from agent.pools.weighting import METHODS as ALL
    from agent.study.lineage_notes import meet_data, say_left_out
    from agent.study.opening import open_data

    workspace = workspace_of(ctx)
    opened = open_data(workspace, asked.data_name, note=say)
    study = opened.study
    opened.say_dates()
    methods = ALL if asked.method == "all" else tuple(m for m in ALL if m == asked.method)
    with cluster_of(workspace, asked.cluster, say) as machines, workspace.knowledge() as knowledge:
        meet_data(knowledge, opened.whole, say)
        say_left_out(knowledge, opened, say)
        candidates, left_out = _asked_members(asked, study, knowledge)
        with _showing() as show:
            skipped = None if asked.file is None else left_out
            elsewhere = None if machines is None else on_machines(machines)
            measured = measure_members(candidates, study, show, left_out=skipped, elsewhere=elsewhere)
            before = {one.id for one in knowledge.pools(study.dataset)}
            setting = Setting(opened.name, opened.recorded())
            found = list(fit_pools(measured, methods, knowledge, setting, name=asked.name or "", show=show))
        records = [one for _, one in found if not isinstance(one, Rejection)]
        failed: dict[str, str] = {how: one.one_line() for how, one in found if isinstance(one, Rejection)}
        if asked.as_json:
            print_json(
                {
                    "pools": [{**one.to_dict(), "new": one.id not in before} for one in records],
                    "failed": failed,
                    "left_out": left_out,
                    "trials": knowledge.trials(study.dataset).count,
                }
            )
        else:
            if left_out:
                stdout().print(
                    f"{len(left_out)} of {asked.file} are left out: {left_out[0]}", soft_wrap=True, markup=False
                )
            _print_found(records, before, failed)
    if not records:
        raise InputError("no pool could be fitted", "see the reasons above" if not asked.as_json else "see failed")


def _asked_members(
    asked: FitOptions, study: Study, knowledge: KnowledgeBase
) -> tuple[tuple[PoolCandidate, ...], list[str]]:
    """Return the members that were asked for, and which of a file cannot be read."""
    from agent.pools.members import VERDICTS, choose_members, in_order
    from agent.pools.published import published_members

    place = VERDICTS.index("rejected" if asked.verdict == "scored" else asked.verdict)
    verdicts = VERDICTS[: place + 1]
    if asked.file is None:
        return choose_members(study, knowledge, factors=asked.factors, verdicts=verdicts, most=asked.most), []
    published, left_out = published_members(asked.file, study, knowledge)
    named = choose_members(study, knowledge, factors=asked.factors) if asked.factors else ()
    own = {one.expression.id for one in named}
    return in_order((*named, *(one for one in published if one.expression.id not in own))), left_out


def _print_found(records: list[PoolRecord], before: set[str], failed: dict[str, str]) -> None:
    """Print the pools that were fitted, those that are no new trial, and the methods that failed."""
    if records:
        _print_fits(records)
    for one in records:
        if one.id in before:
            stdout().print(f"{one.name} was fitted before, and is no further trial", markup=False)
    for how, why in failed.items():
        stdout().print(f"{how} is not kept: {why}", soft_wrap=True, markup=False)


def _print_fits(records: list[PoolRecord]) -> None:
    """Print pools of the same members beside the best of these members on train."""
    out = stdout()
    for note in records[0].spec.notes:
        out.print(f"note: {note}", soft_wrap=True, markup=False)
    rows = [_pool_row(one) for one in records]
    members = records[0].members
    best = max(members, key=lambda m: m.train.sharpe_net if math.isfinite(m.train.sharpe_net) else -1e9)
    rows.append(["best member on train", "", "", *_figures(best), "", best.verdict])
    columns = ("pool", "method", "members", "rank IC", "valid.", "Sharpe", "valid.", "DSR", "verdict")
    out.print(text_table("Pools, net of costs and ungated: train, then validation", columns, rows, left=2))
    out.print(f"best member on train: {best.text}", soft_wrap=True, markup=False)
    out.print(
        "Train is scored walking forward, with weights from earlier bars; validation with those that are kept. Look "
        f"closer: alphaglow pool report {records[-1].name}",
        soft_wrap=True,
        markup=False,
    )


def _pool_row(one: PoolRecord) -> list[str]:
    evaluated = sum(m.weight != 0.0 for m in one.members)
    return [
        one.name,
        one.method,
        f"{evaluated} of {len(one.members)}",
        *_figures(one.scorecard),
        format_number(one.evidence.dsr, 3),
        one.evidence.verdict,
    ]


def _figures(card: Scorecard | PoolMember) -> list[str]:
    return [
        format_number(getattr(part, key), digits) for key, digits in _FIGURES for part in (card.train, card.validation)
    ]


@pool.command("list")
@json_option
@click.pass_context
def show_pools(ctx: click.Context, as_json: bool) -> None:
    """List the pools of this workspace, oldest first."""
    with workspace_of(ctx).knowledge() as knowledge:
        found = knowledge.pools()
    if as_json:
        print_json([one.to_dict() for one in found])
        return
    rows = [[*_pool_row(one), one.spec.data, one.created] for one in found]
    columns = ("pool", "method", "members", "rank IC", "valid.", "Sharpe", "valid.", "DSR", "verdict", "data", "fitted")
    stdout().print(text_table(f"{len(found)} pools: train, then validation", columns, rows, left=2))


@pool.command()
@click.argument("name")
@json_option
@click.pass_context
def show(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show the pool NAME (or its id): members, weights, scorecard and verdict, as recorded."""
    from agent.cli.scorecard_print import print_gates, print_profile, print_scorecard

    with workspace_of(ctx).knowledge() as knowledge:
        one = knowledge.get_pool(name)
        openings = knowledge.holdout_openings(one.id, one.panel_id)
    if as_json:
        print_json({**one.to_dict(), "holdout": [opening.sentence() for opening in openings]})
        return
    out = stdout()
    out.print(headed(one.name, f"  {one.id}, {one.method} weights, fitted {one.created}"), soft_wrap=True)
    for note in one.spec.notes:
        out.print(f"note: {note}", soft_wrap=True, markup=False)
    members = sorted(one.members, key=lambda m: -abs(m.weight))
    rows = [[m.factor_id[7:17], m.text, m.verdict, format_number(m.weight, 4), *_figures(m)] for m in members]
    columns = ("factor", "expression", "verdict", "weight", "rank IC", "valid.", "Sharpe", "valid.")
    out.print(text_table("Members, each by itself: train, then validation", columns, rows, left=3))
    out.print("Train is scored walking forward, with weights from earlier bars; validation with those that are kept.")
    if one.spec.in_sample is not None:
        earned = one.spec.in_sample.sharpe_net
        out.print(
            f"On train itself, where they were fitted, those would show a net Sharpe ratio of {format_number(earned)}."
        )
    print_scorecard(one.scorecard)
    print_profile(one.scorecard)
    print_gates(one.evidence)
    reasons = "; ".join(one.evidence.reasons)
    out.print(f"{one.evidence.verdict} over {one.evidence.trials} trials: {reasons}", soft_wrap=True)
    for opening in openings:
        out.print(opening.sentence(), soft_wrap=True)


@pool.command(cls=FactorCommand)
@click.argument("name")
@click.argument("factor", metavar="FACTOR")
@click.option("--as", "called", metavar="NAME", help="What to call the pool with it.")
@click.option("--look", is_flag=True, help="Only say what it would add; nothing is fitted, and nothing recorded.")
@data_option
@json_option
@click.pass_context
def add(
    ctx: click.Context, name: str, factor: str, called: str | None, look: bool, data_name: str | None, as_json: bool
) -> None:
    """Say what FACTOR (an id or an expression) adds to the pool NAME, and fit a new pool with it.

    The pool NAME stays as it is. The new one is a trial of its own, fitted under the rules and by the method of NAME.
    """
    from agent.pools.fitting import pool_values
    from agent.pools.marginal import added_payoff, marginal
    from agent.pools.members import in_order, measure_members, ranked_signal, read_candidate
    from agent.review.collect_pool import candidates_of, refit_of
    from agent.study.opening import RecordedRules, open_data

    workspace = workspace_of(ctx)
    with workspace.knowledge() as knowledge:
        old = knowledge.get_pool(name)
        opened = open_data(workspace, data_name, RecordedRules.of_pool(old), note=say)
        study = opened.study
        candidate = read_candidate(factor, study, knowledge)
        if candidate.expression.id in {m.factor_id for m in old.members}:
            raise InputError(f"{candidate.expression.text} is a member of {old.name} already", "name another factor")
        with _showing() as showing:
            values, _ = ranked_signal(candidate.expression, study)
            found = marginal(values, pool_values(old, study.panel), study)
            members = in_order([*candidates_of(old, study), candidate])
            measured = measure_members(members, study, showing)
            number = next(k for k, one in enumerate(members) if one is candidate)
            paid = added_payoff(measured, number, *refit_of(old, study))
            new = None if look else _fit_with(measured, old, opened, knowledge, called or "", showing)
    if as_json:
        # What is left of a factor on validation is a verdict here, and no figure.
        added = {k: getattr(found, k) for k in ("rank_ic", "ic_tstat", "correlation", "keeps")}
        payoff = {"why": paid.one_line()} if isinstance(paid, Rejection) else asdict(paid)
        changes = {} if new is None else _changes(old, new)
        record = None if new is None else new.to_dict()
        print_json({"marginal": added, "payoff": payoff, "changes": changes, "pool": record})
        return
    out = stdout()
    out.print(headed(candidate.expression.text, f"   {candidate.verdict}"), soft_wrap=True)
    said = paid.one_line() if isinstance(paid, Rejection) else paid.sentence()
    for sentence in (said, *found.sentences()):
        out.print(sentence, soft_wrap=True, markup=False)
    if new is None:
        out.print("nothing was fitted, and no trial counted")
    else:
        _print_changes(old, new)


def _fit_with(
    measured: MeasuredFactors,
    old: PoolRecord,
    opened: OpenData,
    knowledge: KnowledgeBase,
    name: str,
    showing: Callable[[str, int, int], None],
) -> PoolRecord:
    """Fit a new pool of an old one's members and a candidate, by the method and under the rules of the old one."""
    from agent.pools.fitting import Setting, fit_pools
    from agent.review.collect_pool import refit_of

    method, _ = refit_of(old, opened.study)
    setting = Setting(old.spec.data, replace(old.spec.rules, inputs=opened.inputs()))
    ((_, new),) = fit_pools(measured, (method,), knowledge, setting, name=name, show=showing)
    if isinstance(new, Rejection):
        raise InputError(new.message, new.hint)
    return new


def _print_changes(old: PoolRecord, new: PoolRecord) -> None:
    """Print train's figures before and after, and what validation says of it."""
    changes = _changes(old, new)
    rows = [
        [label, format_number(changes[f"{key}_before"], digits), format_number(changes[f"{key}_after"], digits)]
        for label, key, digits in (("rank IC", "rank_ic", 4), ("Sharpe net", "sharpe_net", 2))
    ]
    out = stdout()
    out.print(text_table("On train", ["", old.name, new.name], rows))
    word = "more" if changes["earns_more_on_validation"] else "no more"
    out.print(f"on validation it earns {word} with it; {new.name} is {new.evidence.verdict}", soft_wrap=True)


def _changes(old: PoolRecord, new: PoolRecord) -> dict[str, Any]:
    """Return train's figures before and after; of validation, whether more is earned."""
    from agent.knowledge.attempt_figures import or_none

    found: dict[str, Any] = {}
    for key, _ in _FIGURES:
        found[f"{key}_before"] = or_none(getattr(old.scorecard.train, key))
        found[f"{key}_after"] = or_none(getattr(new.scorecard.train, key))
    before, after = (one.scorecard.validation.sharpe_net for one in (old, new))
    found["earns_more_on_validation"] = after > before
    return found


@pool.command()
@click.argument("name")
@data_option
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="File (default: reports/ID.html)."
)
@json_option
@click.pass_context
def report(ctx: click.Context, name: str, data_name: str | None, output: Path | None, as_json: bool) -> None:
    """Write the page of the pool NAME: what each member adds, and the pool beside its best member and equal weights."""
    from agent.review.collect_pool import report_on_pool

    workspace = workspace_of(ctx)
    with workspace.knowledge() as knowledge:
        one = knowledge.get_pool(name)
        with _showing() as showing:
            path = report_on_pool(workspace, knowledge, one, data=data_name, output=output, show=showing, note=say)
    if as_json:
        print_json({"report": str(path)})
    else:
        click.echo(str(path))
