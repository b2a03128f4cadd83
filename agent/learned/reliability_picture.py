"""The picture of a learned factor's probabilities: what was said beside what came true, out of fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from agent.drawing.bars import Bars, draw_bars

_STYLE = (
    "<style>svg{background:#fff}text{font:12px system-ui,sans-serif;fill:#16202b}.tick{text-anchor:middle}"
    ".end{text-anchor:end}.grid{stroke:#cfd6de;stroke-width:.5}.said{fill:#9db4c8}.came{fill:#1f5f99}</style>"
)


def reliability_picture(facts: Sequence[Mapping[str, object]], title: str) -> str | None:
    """Return an SVG of all folds together, in bins of equal count from least to most likely; None without any.

    A model that knows how sure it may be has bars of one height in each pair.
    """
    judged = [fact["reliability"] for fact in facts if isinstance(fact.get("reliability"), dict)]
    if not judged:
        return None
    said, came, count = (_stacked(judged, name) for name in ("said", "came", "count"))
    total = np.maximum(count.sum(axis=0), 1.0)
    means = [(values * count).sum(axis=0) / total for values in (said, came)]
    chart = Bars(
        title,
        "Probabilities that were said, and how often they came true.",
        [f"{value:.2f}" for value in means[0]],
        [("said", list(means[0]), "said"), ("came true", list(means[1]), "came")],
        percent=True,
        height=300,
        axis="probability that was said, tenths of all cases",
    )
    drawn = draw_bars(chart, 640)
    head, _, rest = drawn.partition(">")
    space = "" if "xmlns" in head else ' xmlns="http://www.w3.org/2000/svg"'
    return f"{head}{space}>{_STYLE}{rest}"


def _stacked(judged: Sequence[object], name: str) -> np.ndarray:
    rows = [fold[name] for fold in judged if isinstance(fold, dict)]
    bins = min(len(row) for row in rows)
    return np.array([row[:bins] for row in rows], dtype=np.float64)
