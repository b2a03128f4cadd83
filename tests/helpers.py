"""Small panels for tests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import FrameType

import numpy as np

from agent.knowledge.claims import Claims
from agent.knowledge.records import AttemptRecord, EvaluationRecord, JudgeVerdict
from backtest.luck import Overfitting, block_edges, block_sums, overfitting
from factors.drawing import Drawer
from factors.parse import parse
from factors.tree import Expression
from market.panel import FloatArray, Panel


def calls_of(function: Callable[[], object]) -> int:
    """Call a function; return how many calls it made in all: its work, however fast the machine."""
    count = 0

    def tick(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(tick)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


def random_panel(bars: int = 120, assets: int = 12, seed: int = 0, *, gaps: float = 0.0) -> Panel:
    """A random-walk panel; with `gaps`, that share of bars is missing for an asset."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, (bars, assets)), axis=0))
    opened = close * np.exp(rng.normal(0, 0.004, close.shape))
    high = np.maximum(opened, close) * np.exp(np.abs(rng.normal(0, 0.004, close.shape)))
    low = np.minimum(opened, close) * np.exp(-np.abs(rng.normal(0, 0.004, close.shape)))
    fields = {"open": opened, "high": high, "low": low, "close": close, "volume": np.exp(rng.normal(8, 1, close.shape))}
    missing = rng.random(close.shape) < gaps
    fields = {name: np.where(missing, np.nan, values) for name, values in fields.items()}
    return make_panel(fields)


def make_panel(fields: dict[str, FloatArray], bar: str = "h", **options: object) -> Panel:
    """A panel from (T, N) fields, hourly from 2024-01-01."""
    bars, assets = fields["close"].shape
    step = np.timedelta64(1, bar).astype("timedelta64[ns]")
    return Panel(
        times=np.datetime64("2024-01-01", "ns") + step * np.arange(bars),
        assets=tuple(f"A{i:02d}" for i in range(assets)),
        fields=fields,
        universe=np.isfinite(fields["close"]),
        bar=step,
        **options,  # type: ignore[arg-type]  # the panel's own keywords
    )


def scored_attempt(
    number: int,
    text: str,
    card: Mapping[str, object],
    verdict: str = "rejected",
    *,
    verdicts: tuple[JudgeVerdict, ...] = (),
    **claims: object,
) -> AttemptRecord:
    """A stored attempt with a scorecard, such as ``{"train": {"rank_ic": 0.01}}``."""
    return AttemptRecord(
        id=number,
        run_id="r",
        panel_id="p",
        round=1,
        slot=number,
        text=text,
        canonical=text,
        factor_id=f"factor:{number}",
        parent_ids=(),
        stage="evidence",
        code=None,
        message=None,
        rationale="",
        name="",
        created="",
        verdicts=verdicts,
        evaluation=EvaluationRecord(dict(card), {"verdict": verdict}, 0.1, verdict == "accepted"),
        claims=Claims.from_dict(claims),
    )


def overfitting_of(returns: FloatArray, blocks: int = 16) -> Overfitting:
    """The probability of overfitting of (T, factors) net returns; bars where any is NaN are left out."""
    known = returns[np.isfinite(returns).all(axis=1)]
    edges = block_edges(len(known), blocks)
    return overfitting([block_sums(column, edges) for column in known.T], edges)


def draw_expressions(rng: np.random.Generator, count: int, depth: int) -> list[Expression]:
    """Return `count` distinct expressions."""
    drawer = Drawer(rng)
    found: dict[str, Expression] = {}
    while len(found) < count:
        expression = parse(drawer.expression_text(depth), dialect="native")
        if isinstance(expression, Expression):
            found[expression.text] = expression
    return list(found.values())
