"""`alphaglow kb calibration`: how many that were called promising or accepted earned later."""

from __future__ import annotations

import click

from agent.cli.common import format_number, json_option, print_json, stdout, text_table, workspace_of


@click.command()
@json_option
@click.pass_context
def calibration(ctx: click.Context, as_json: bool) -> None:
    """Show how many of the accepted and promising ones earned later, by month and kind, and how many should have.

    It reads what `alphaglow watch` found last, and computes nothing again.
    """
    from agent.evidence.earned_later import verdict_calibration

    with workspace_of(ctx).knowledge() as knowledge:
        found = verdict_calibration(knowledge.watches())
    if as_json:
        print_json(found.to_dict())
        return
    out = stdout()
    if found.groups:
        rows = [
            [
                one.month,
                one.kind,
                one.verdict,
                *(str(count) for count in (one.admitted, one.watched, one.earned)),
                format_number(one.should, 1),
                str(one.aging),
                str(one.failing),
                format_number(one.expected),
                format_number(one.came),
            ]
            for one in found.groups
        ]
        columns = ["month", "kind", "verdict", "admitted", "with new bars", "earned", "should", "aging", "failing"]
        out.print(text_table("What verdicts were worth", [*columns, "expected", "came"], rows, left=3))
    out.print(found.sentence(), soft_wrap=True)
    out.print(
        "Factors of one market earn and lose together: a month of them is less evidence than its number.",
        soft_wrap=True,
    )
