"""The picture of a result, by matplotlib: equity, drawdown, rank IC, quantiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from market.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from alphaglow.results import Result


def draw(result: Result) -> Figure:
    """Return a figure with four panes; without matplotlib it is an `InputError` that says how to install it."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("plot needs matplotlib", "pip install 'alphaglow[plot]'") from error
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    equity, ranks, drawn, bars = figure.subplots(2, 2).ravel()
    for kind, colour in (("net", "C0"), ("gross", "0.6")):
        curve = (1.0 + result.returns(kind)).cumprod() - 1.0  # type: ignore[arg-type]
        equity.plot(curve.index, 100.0 * curve, color=colour, label=kind, linewidth=1.2)
    equity.set_title("equity, %")
    equity.legend(frameon=False)
    whole = (1.0 + result.returns()).cumprod()
    drawn.fill_between(whole.index, 100.0 * (whole / whole.cummax() - 1.0), 0.0, color="C3", alpha=0.5, linewidth=0)
    drawn.set_title("drawdown, net, %")
    smooth = result.ic().rolling(max(20, len(whole) // 20), min_periods=10).mean()
    ranks.plot(smooth.index, smooth, color="C2", linewidth=1.2)
    ranks.axhline(0.0, color="0.5", linewidth=0.8)
    ranks.set_title("rank IC, rolling mean")
    table = result.quantiles()
    bars.bar(table.index.astype(str), 1e4 * table["mean"], yerr=1e4 * table["error"], color="C0", ecolor="0.4")
    bars.axhline(0.0, color="0.5", linewidth=0.8)
    bars.set_title("mean return a bar by quantile, before costs, bp")
    if result.recorded:
        border = result.panel.times[result.study.split.validation.start]
        for pane in (equity, drawn, ranks):
            pane.axvline(np.datetime64(border, "us"), color="0.4", linestyle=":", linewidth=1.0)
    for pane in (equity, drawn, ranks):
        pane.tick_params(axis="x", rotation=30)
    figure.suptitle(f"{result.name[:90]}\n{result.word}, {' and '.join(result.parts)}", fontsize=10)
    return figure
