"""The charts of a factor's review by name: those that the page lays out, and those that plugins add below them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.review import charts, prediction_charts
from agent.review.review_records import Review
from market.plugins import Registry


@dataclass(frozen=True)
class ReviewChart:
    """A chart of a review.

    Attributes
    ----------
    draw
        From a review to the text of an SVG, which it escapes itself (`agent.drawing.svg` does).
    heading, caption
        Shown above and below a chart that a plugin adds; the page has its own words for the others.
    """

    draw: Callable[[Review], str]
    heading: str = ""
    caption: str = ""


def _added(value: object) -> ReviewChart:
    if not isinstance(value, ReviewChart):
        raise TypeError(f"it is a {type(value).__name__}, and not an agent.review.chart_registry.ReviewChart")
    return value


# Those built in, and those that installed distributions add in the group alphaglow.charts.
CHARTS: Registry[ReviewChart] = Registry(
    "charts",
    {
        "equity": ReviewChart(charts.equity_chart),
        "exposure": ReviewChart(charts.exposure_chart),
        "drawdown": ReviewChart(charts.drawdown_chart),
        "ic": ReviewChart(prediction_charts.ic_chart),
        "payoff": ReviewChart(prediction_charts.payoff_chart),
        "quantile_curves": ReviewChart(prediction_charts.quantile_curves_chart),
        "decay": ReviewChart(prediction_charts.decay_chart),
        "turnover": ReviewChart(charts.turnover_chart),
        "horizon": ReviewChart(prediction_charts.horizon_chart),
        "quantiles": ReviewChart(prediction_charts.quantile_chart),
        "likelihood": ReviewChart(charts.likelihood_chart),
    },
    _added,
)
