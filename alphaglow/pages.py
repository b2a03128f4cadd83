"""The page of a result: that of the recorded trial, or one that ends with train where nothing was recorded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agent.review.render import render_factor, write_report
from market.errors import InputError

if TYPE_CHECKING:
    from alphaglow.results import Result


def write_page(result: Result, path: Path) -> Path:
    """Write the review of a result as one offline HTML file, and return its path."""
    if result.recorded and result.workspace is not None and result.factor is not None:
        from agent.review.collect import report_on

        with result.workspace.knowledge() as knowledge:
            return report_on(result.workspace, knowledge, result.factor.id, data=None, output=path)
    if result.recorded:
        raise InputError("a recorded trial needs its workspace for the page", "write it with workspace.report(factor)")
    from agent.review.collect import ReviewSubject
    from agent.review.collect_signal import review_on_train
    from agent.study.given_signal import values_id

    values, scored = result.made
    factor = result.factor
    subject = ReviewSubject(
        content_id=values_id(values) if factor is None else factor.id,
        name=result.name,
        text=result.name if factor is None else factor.text,
        reading="" if factor is None else factor.words,
        simulated_llm=False,
        stored=None,
    )
    review = review_on_train(result.study, subject, scored, result.scorecard, result.evidence, values)
    write_report(render_factor(review), path)
    return path
