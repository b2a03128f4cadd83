"""What the commands print of expectations: what models expected of their factors beside what came."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.cli.common import format_number, stdout, text_table

if TYPE_CHECKING:
    from agent.mining.expectation_skill import ExpectationSkill


def print_expectations(skill: ExpectationSkill) -> None:
    """Print the record of expectations, if there are any."""
    if not skill.scored:
        return
    figures = (("rank IC", skill.ic), ("turnover a bar", skill.turnover), ("holding, bars", skill.holding))
    rows = [
        [
            label,
            str(one.count),
            format_number(one.correlation),
            format_number(one.expected, 3),
            format_number(one.came, 3),
        ]
        for label, one in figures
    ]
    columns = ["", "said", "rank correlation", "median expected", "median found"]
    stdout().print(text_table("What models expected of their factors, on train", columns, rows))
    stdout().print(skill.sentence(), soft_wrap=True, markup=False)
