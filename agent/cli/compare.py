"""`alphaglow compare`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.common import data_option, json_option, print_json, stderr, stdout, text_table, workspace_of
from agent.cli.option_record import recorded
from agent.cli.running import say

if TYPE_CHECKING:
    from agent.review.comparison import Comparison

COMMANDS = {"compare": ("compare", 62, "Compare factors side by side.")}


@dataclass(frozen=True)
class CompareOptions:
    """What `alphaglow compare` was asked for."""

    factors: tuple[str, ...]
    data_name: str | None
    page: bool
    output: Path | None
    as_json: bool


@click.command()
@click.argument("factors", nargs=-1, required=True, metavar="FACTOR FACTOR...")
@data_option
@click.option("--page", is_flag=True, help="Write an offline page with their curves, too.")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Where the page is written.")
@json_option
@click.pass_context
@recorded(CompareOptions)
def compare(ctx: click.Context, asked: CompareOptions) -> None:
    """Compare factors of the same data: verdicts, figures by split, rule, cost, and how alike they are.

    FACTOR is an id, as `kb list` and `eval` show it, or its first characters. Nothing is scored again and no trial is
    counted.
    """
    from agent.review.comparison import compare_factors, write_comparison

    workspace = workspace_of(ctx)
    with workspace.knowledge() as knowledge, stderr().status("computing their returns"):
        found = compare_factors(workspace, knowledge, asked.factors, data=asked.data_name, note=say)
    path = None
    if asked.page or asked.output is not None:
        path = write_comparison(found, workspace, asked.output)
    if asked.as_json:
        print_json(_document(found, path))
        return
    _print(found)
    if path is not None:
        stdout().print(f"Page: {path}", soft_wrap=True)


def _document(found: Comparison, path: Path | None) -> dict[str, object]:
    """Return the comparison for JSON: figures by split, correlations of gross returns on train."""
    return {
        "factors": [
            {
                "factor": one.factor_id,
                "text": one.text,
                "verdict": one.verdict,
                "rule": one.rule,
                "train": one.train.to_dict(),
                "validation": one.validation.to_dict(),
            }
            for one in found.reviews
        ],
        "correlations": found.correlations.tolist(),
        "page": None if path is None else str(path),
    }


def _print(found: Comparison) -> None:
    """Print who is who, the figures, and the correlations of returns."""
    out = stdout()
    for name, one in zip(found.names, found.reviews, strict=True):
        out.print(f"{name[0]}: {one.text} ({one.factor_id})", soft_wrap=not out.is_terminal)
    letters = [name[0] for name in found.names]
    rows = [[row.label, *row.cells] for row in found.rows()]
    drawn = text_table("Where there are two figures: train / validation", ["", *letters], rows)
    for column in drawn.columns[1:]:
        column.ratio = 1
    drawn.columns[0].max_width = 24
    out.print(drawn)
    alike = [
        [letters[i], *(f"{value:.2f}" if value == value else "–" for value in found.correlations[i])]
        for i in range(len(letters))
    ]
    out.print("Correlation of returns before costs, train:")
    out.print(text_table("", ["", *letters], alike))
