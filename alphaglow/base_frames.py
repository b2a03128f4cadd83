"""The knowledge base as frames: runs, attempts, factors, pools, lessons, published factors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from agent.knowledge.attempt_figures import factor_order, net_score, reasons_of, train_of, verdict_of
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.listing import Listing
from agent.knowledge.records import AttemptRecord


def runs_frame(knowledge: Listing) -> pd.DataFrame:
    """Return runs, oldest first."""
    rows = [
        {
            "run": run.id,
            "kind": run.config.kind,
            "data": run.config.data,
            "model": run.config.model,
            "status": run.status,
            "seed": run.seed,
            "created": run.created,
            "finished": run.finished,
        }
        for run in knowledge.runs()
    ]
    columns = ["run", "kind", "data", "model", "status", "seed", "created", "finished"]
    return _dated(pd.DataFrame(rows, columns=columns), "created", "finished").set_index("run")


def attempts_frame(attempts: Sequence[AttemptRecord]) -> pd.DataFrame:
    """Return every attempt with what became of it; figures are of train."""
    rows = [_row(one) for one in attempts]
    columns = list(_row_names())
    return _dated(pd.DataFrame(rows, columns=columns), "created").set_index("attempt")


def factors_frame(attempts: Sequence[AttemptRecord]) -> pd.DataFrame:
    """Return the scored factors, each once by its newest score, best first: accepted ones lead."""
    newest = {one.factor_id: one for one in attempts if one.evaluation is not None}
    return attempts_frame(sorted(newest.values(), key=factor_order)).reset_index().set_index("factor")


def pools_frame(knowledge: KnowledgeBase) -> pd.DataFrame:
    """Return pools, oldest first; figures are of train."""
    rows = [
        {
            "pool": pool.name,
            "method": pool.method,
            "members": len(pool.members),
            "verdict": pool.evidence.verdict,
            "sharpe_net": pool.scorecard.train.sharpe_net,
            "turnover": pool.scorecard.train.turnover,
            "created": pool.created,
        }
        for pool in knowledge.pools()
    ]
    columns = ["pool", "method", "members", "verdict", "sharpe_net", "turnover", "created"]
    return _dated(pd.DataFrame(rows, columns=columns), "created").set_index("pool")


def lessons_frame(knowledge: KnowledgeBase, run_id: str | None) -> pd.DataFrame:
    """Return lessons, newest first."""
    found = sorted(knowledge.lessons(run_id=run_id, limit=10_000), key=lambda one: -one.id)
    rows = [one.to_dict() for one in found]
    columns = ["id", "run_id", "round", "kind", "text", "evidence", "created"]
    return _dated(pd.DataFrame(rows, columns=columns), "created").set_index("id")


def library_frame(knowledge: Listing) -> pd.DataFrame:
    """Return the published factors; `canonical` is missing where one cannot be said in our language."""
    rows = [
        {"name": one.name, "source": one.source, "canonical": one.canonical, "text": one.text, "message": one.message}
        for one in knowledge.library()
    ]
    return pd.DataFrame(rows, columns=["name", "source", "canonical", "text", "message"]).set_index("name")


def _row(one: AttemptRecord) -> dict[str, Any]:
    train = train_of(one)
    figures = (train.payoff_z, net_score(train), train.sharpe_gross, train.sharpe_net, train.sharpe_gated)
    said = (one.factor_id, one.canonical or one.text, verdict_of(one))
    rest = (train.turnover, train.rank_ic, reasons_of(one) or (one.message or ""), one.name, one.rationale)
    return dict(zip(_row_names(), (one.id, one.run_id, one.round, *said, *figures, *rest, one.created), strict=True))


def _row_names() -> tuple[str, ...]:
    return (
        "attempt", "run", "round", "factor", "text", "verdict", "payoff_z", "net_z", "sharpe_gross", "sharpe_net",
        "sharpe_gated", "turnover", "rank_ic", "reason", "name", "rationale", "created",
    )  # fmt: skip


def _dated(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    return frame.assign(**{name: pd.to_datetime(frame[name], utc=True, format="ISO8601") for name in columns})
