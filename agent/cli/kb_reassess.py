"""`alphaglow kb reassess`: the verdicts of all factors of a data set, given again among all trials up to now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from agent.cli.common import (
    data_option,
    format_number,
    json_option,
    print_json,
    progress_bar,
    stdout,
    text_table,
    workspace_of,
)
from agent.cli.running import say

if TYPE_CHECKING:
    from agent.evidence.reassessing import DataReassessment


@click.command()
@data_option
@click.option("--top", default=30, show_default=True, type=click.IntRange(min=0), help="Factors to list.")
@json_option
@click.pass_context
def reassess(ctx: click.Context, data_name: str | None, top: int, as_json: bool) -> None:
    """Give all factors of a data set their verdicts of now: under the policy of alphaglow.toml, among all trials.

    It spends no trial. What was recorded stands, and both are shown. Factors that an earlier policy judged are scored
    again under the rules that their runs recorded; stopped by Ctrl-C, it goes on from there.
    """
    from agent.evidence.reassessing import reassess as give_again

    workspace = workspace_of(ctx)
    with workspace.knowledge() as knowledge:
        knowledge.require_writable()
    with workspace.knowledge() as knowledge, progress_bar() as bar:
        task = bar.add_task("testing all trials", total=None)
        found = give_again(
            workspace,
            knowledge,
            data_name,
            note=say,
            progress=lambda what, done, of: bar.update(task, description=what, completed=done, total=of),
        )
    if as_json:
        print_json(found.to_dict())
    else:
        _print(found, top)


def _print(found: DataReassessment, top: int) -> None:
    rows = []
    for one in found.factors[:top]:
        now, a = one.now, one.attempt
        figures = [] if now is None else [figure for t in (now.predicts, now.earns) for figure in (t.z, t.adjusted_p)]
        rows.append(
            [
                (a.factor_id or "")[7:17],
                a.canonical or a.text,
                one.then,
                now.verdict if now is not None else f"unknown: {one.why}",
                *(format_number(figure, digits) for figure, digits in zip(figures, (2, 3, 2, 3), strict=False)),
            ]
        )
    what = "p" if found.policy.control == "fwer" else "q"
    columns = ["factor", "expression", "then", "now", "predicts z", what, "earns z", what]
    more = f" (first {top} of {len(found.factors)})" if len(found.factors) > top else ""
    out = stdout()
    out.print(text_table(f"Verdicts, then and now{more}", columns, rows, left=4))
    level = f"{found.policy.level:.0%}"
    promise = (
        f"in at most {level} of such knowledge bases does any factor pass a test by luck"
        if found.policy.control == "fwer"
        else f"of the factors that pass a test, at most {level} are luck on average"
    )
    out.print(f"Among all {found.trials} trials up to now: {promise}.", soft_wrap=True)
    if found.others:
        out.print(f"Trials on related data count: {', '.join(found.others)}.", soft_wrap=True, markup=False)
    changed = [one for one in found.factors if one.now is not None and one.now.verdict != one.then]
    lost = sum(one.then == "accepted" for one in changed)
    won = sum(one.now is not None and one.now.verdict == "accepted" for one in changed)
    out.print(f"{lost} accepted then and not now, {won} accepted now and not then. No trial was spent.", soft_wrap=True)
