"""The tables, as SQLAlchemy 2 typed models.

The migrations, not these models, make the tables in a file; a test holds the two equal. JSON columns keep
the order of keys, so that a brief read back renders to the same prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    Table,
    UniqueConstraint,
)
from sqlalchemy import text as sql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from agent.knowledge.database.column_types import PackedDocument, Squeezed, rows_where

# The newest revision under migrations/versions: a file that has it is opened without loading alembic.
HEAD = "0015"


class Base(DeclarativeBase):
    """Base of all models; every constraint is named, so that a migration can find it."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {float: Double}
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Dataset(Base):
    """A panel that runs work on.

    `bar` is in seconds. `signature` (see `market.lineage`) and it are not known of a data set that an earlier version
    registered. `train_until` and `validation_until` are the first times that are not in train, or validation, once the
    run `frozen_by` has fixed them.
    """

    __tablename__ = "datasets"

    panel_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    bars: Mapped[int]
    assets: Mapped[int]
    start: Mapped[str]
    end: Mapped[str]
    signature: Mapped[bytes | None] = mapped_column(deferred=True)
    bar: Mapped[int | None] = mapped_column(BigInteger)
    train_until: Mapped[str | None]
    validation_until: Mapped[str | None]
    frozen_by: Mapped[str | None]


class RelatedDataset(Base):
    """That two data sets have most of their bars in common; each pair is there in both directions.

    `share` is the share of the smaller one's cells, `covered` that of the cells of `panel_id` itself. Both are NULL
    where no signature tells: then name, first bar and length say that one grew out of the other.
    """

    __tablename__ = "related_datasets"

    panel_id: Mapped[str] = mapped_column(ForeignKey("datasets.panel_id"), primary_key=True)
    other_id: Mapped[str] = mapped_column(ForeignKey("datasets.panel_id"), primary_key=True)
    share: Mapped[float | None]
    covered: Mapped[float | None]


class Run(Base):
    """One mining run; `process` is what works on it, or worked on it last (see `agent.knowledge.processes`)."""

    __tablename__ = "runs"
    __table_args__ = (CheckConstraint("status IN ('running', 'interrupted', 'finished', 'budget')", "status"),)

    seq: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    panel_id: Mapped[str] = mapped_column(ForeignKey("datasets.panel_id"), index=True)
    config: Mapped[dict[str, object]] = mapped_column(JSON)
    seed: Mapped[int]
    status: Mapped[str]
    created: Mapped[str]
    finished: Mapped[str | None]
    process: Mapped[str | None]


class Round(Base):
    """One outer round of a run, with the brief it was started with."""

    __tablename__ = "rounds"
    __table_args__ = (CheckConstraint("status IN ('open', 'finished')", "status"),)

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    brief: Mapped[dict[str, object]] = mapped_column(JSON)
    status: Mapped[str]
    created: Mapped[str]


class Verdict(Base):
    """What the judge said at one turn."""

    __tablename__ = "verdicts"

    id: Mapped[int] = mapped_column(primary_key=True)
    attempt_id: Mapped[int] = mapped_column(ForeignKey("attempts.id"), index=True)
    turn: Mapped[int]
    accept: Mapped[bool]
    score: Mapped[float]
    critique: Mapped[str]
    scores: Mapped[dict[str, object]] = mapped_column(JSON, server_default=sql("'{}'"))


class Evaluation(Base):
    """What the backtest said, known by its factor, its data, the rules and the code that scored it.

    The figures that attempts are chosen and listed by stand beside the documents that hold them all: the verdict's word
    and, of train alone, the score of the payoff, the net score and the net Sharpe ratio that it would be traded with.
    """

    __tablename__ = "evaluations"
    __table_args__ = (
        Index("ix_evaluations_factor_id", "factor_id"),
        Index("ix_evaluations_accepted", "panel_id", **rows_where("accepted")),
        Index("ix_evaluations_confirmed", "panel_id", **rows_where("confirmed")),
        Index("ix_evaluations_scores", "panel_id", "attempt_id", "predicts_z", "earns_z", "factor_id", "rules"),
        Index("ix_evaluations_net", "panel_id", "train_net_z"),
        Index("ix_evaluations_payoff", "panel_id", "train_payoff_z"),
        Index("ix_evaluations_verdict", "verdict", "train_sharpe"),
    )

    attempt_id: Mapped[int] = mapped_column(ForeignKey("attempts.id"), primary_key=True)
    factor_id: Mapped[str | None]
    panel_id: Mapped[str]
    rules: Mapped[str]
    code: Mapped[str]
    sharpe_per_bar: Mapped[float | None]
    accepted: Mapped[bool]
    predicts_z: Mapped[float | None]
    earns_z: Mapped[float | None]
    confirmed: Mapped[bool] = mapped_column(server_default=sql("false"))
    verdict: Mapped[str] = mapped_column(server_default="")
    train_payoff_z: Mapped[float | None]
    train_net_z: Mapped[float | None]
    train_sharpe: Mapped[float | None]
    scorecard: Mapped[Mapping[str, object]] = mapped_column(PackedDocument)
    evidence: Mapped[Mapping[str, object]] = mapped_column(PackedDocument)


class Reassessment(Base):
    """The newest verdict that an attempt was given later, among all trials of then; the first one stands as it is."""

    __tablename__ = "reassessments"

    attempt_id: Mapped[int] = mapped_column(ForeignKey("attempts.id"), primary_key=True)
    created: Mapped[str]
    policy: Mapped[dict[str, object]] = mapped_column(JSON)
    trials: Mapped[int]
    verdict: Mapped[str]
    predicts: Mapped[dict[str, object]] = mapped_column(JSON)
    earns: Mapped[dict[str, object]] = mapped_column(JSON)


class Attempt(Base):
    """One candidate, whatever became of it."""

    __tablename__ = "attempts"
    __table_args__ = (
        UniqueConstraint("run_id", "round", "slot"),
        ForeignKeyConstraint(["run_id", "round"], ["rounds.run_id", "rounds.number"]),
        Index("ix_attempts_stage", "stage", "code"),
        Index("ix_attempts_name", "name"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str]
    round: Mapped[int]
    slot: Mapped[int]
    text: Mapped[str]
    canonical: Mapped[str | None]
    factor_id: Mapped[str | None] = mapped_column(index=True)
    parent_ids: Mapped[list[str]] = mapped_column(JSON)
    stage: Mapped[str]
    code: Mapped[str | None]
    message: Mapped[str | None]
    rationale: Mapped[str]
    name: Mapped[str]
    created: Mapped[str]
    claims: Mapped[dict[str, object]] = mapped_column(JSON, server_default=sql("'{}'"))
    verdicts: Mapped[list[Verdict]] = relationship(order_by=Verdict.id, lazy="selectin")
    evaluation: Mapped[Evaluation | None] = relationship(lazy="selectin")


class AttemptParent(Base):
    """That an attempt names a factor among its parents: `Attempt.parent_ids`, to be found by the parent."""

    __tablename__ = "attempt_parents"
    __table_args__ = ({"sqlite_with_rowid": False},)

    parent: Mapped[str] = mapped_column(primary_key=True)
    attempt_id: Mapped[int] = mapped_column(ForeignKey("attempts.id"), primary_key=True, autoincrement=False)


class Lesson(Base):
    """What the attempts of a run taught, as of a round; `position` 0 is the most useful of the round."""

    __tablename__ = "lessons"
    __table_args__ = (ForeignKeyConstraint(["run_id", "round"], ["rounds.run_id", "rounds.number"]),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(index=True)
    round: Mapped[int]
    position: Mapped[int]
    kind: Mapped[str]
    text: Mapped[str]
    evidence: Mapped[list[int]] = mapped_column(JSON)
    created: Mapped[str]


class LLMCall(Base):
    """One exchange with a language model."""

    __tablename__ = "llm_calls"
    __table_args__ = (UniqueConstraint("run_id", "key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"))
    key: Mapped[str]
    role: Mapped[str]
    model: Mapped[str]
    mode: Mapped[str]
    request_hash: Mapped[str]
    request: Mapped[str] = mapped_column(Squeezed)
    response: Mapped[str] = mapped_column(Squeezed)
    status: Mapped[str]
    prompt_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    cost_usd: Mapped[float | None]
    latency_s: Mapped[float]
    created: Mapped[str]


class LibraryEntry(Base):
    """A published factor."""

    __tablename__ = "library"
    __table_args__ = (
        UniqueConstraint("source", "name"),
        CheckConstraint("status IN ('translated', 'refused')", "status"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    source: Mapped[str]
    dialect: Mapped[str]
    text: Mapped[str]
    canonical: Mapped[str | None]
    factor_id: Mapped[str | None] = mapped_column(index=True)
    status: Mapped[str]
    message: Mapped[str | None]
    notes: Mapped[list[str]] = mapped_column(JSON)


class TrialReturns(Base):
    """A fingerprint of a scored attempt's returns, and the first attempt of those that it correlates with.

    `seq` is the order in which a panel's attempts were compared: that of their ids, but where bases were merged.
    `likeness` is the number under which equal fingerprints are found (see `agent.knowledge.tables.packed_returns`).
    """

    __tablename__ = "trial_returns"
    __table_args__ = (
        Index("ix_trial_returns_panel_id", "panel_id", "seq"),
        Index("ix_trial_returns_leaders", "panel_id", "seq", **rows_where("cluster = attempt_id")),
    )

    attempt_id: Mapped[int] = mapped_column(ForeignKey("attempts.id"), primary_key=True)
    panel_id: Mapped[str]
    seq: Mapped[int]
    cluster: Mapped[int]
    fingerprint: Mapped[bytes]
    likeness: Mapped[int | None] = mapped_column(BigInteger, index=True)


class TrialTally(Base):
    """What a panel's attempts add up to, kept as they are written; `epoch` rises when merging counts them again.

    `mean` and `spread` (the sum of squared deviations) are of the per-bar Sharpe ratios of `scored` attempts.
    """

    __tablename__ = "tallies"

    panel_id: Mapped[str] = mapped_column(ForeignKey("datasets.panel_id"), primary_key=True)
    attempts: Mapped[int]
    scored: Mapped[int]
    mean: Mapped[float]
    spread: Mapped[float]
    effective_trials: Mapped[int]
    epoch: Mapped[int]


class HoldoutOpening(Base):
    """One time that a factor saw the holdout of a panel, from the bar at `start` to the bar at `end`, both included.

    Earlier versions did not record which bars those were.
    """

    __tablename__ = "holdout_openings"

    factor_id: Mapped[str] = mapped_column(primary_key=True)
    panel_id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    opened_at: Mapped[str]
    opened_by: Mapped[str]
    rules: Mapped[dict[str, object]] = mapped_column(JSON)
    result: Mapped[dict[str, object]] = mapped_column(JSON)
    start: Mapped[str | None]
    end: Mapped[str | None]


class KnownFactor(Base):
    """A factor that was tried or published, once; `seq` is the order in which it became known."""

    __tablename__ = "known_factors"

    seq: Mapped[int] = mapped_column(primary_key=True)
    factor_id: Mapped[str] = mapped_column(unique=True)
    canonical: Mapped[str]
    label: Mapped[str]
    size: Mapped[int]
    ranking: Mapped[int] = mapped_column(BigInteger, index=True)
    sign: Mapped[int]
    shape: Mapped[int] = mapped_column(BigInteger, index=True)


class KnownPart(Base):
    """A subtree of a known factor, by its hash; the smallest factor that holds it comes first."""

    __tablename__ = "known_parts"
    __table_args__ = ({"sqlite_with_rowid": False},)

    hash: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    factor_size: Mapped[int] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(ForeignKey("known_factors.seq"), primary_key=True)


class Pool(Base):
    """Accepted factors of a panel combined into one signal; fitting one is a trial like any other."""

    __tablename__ = "pools"

    seq: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    panel_id: Mapped[str] = mapped_column(ForeignKey("datasets.panel_id"), index=True)
    name: Mapped[str]
    method: Mapped[str]
    spec: Mapped[dict[str, object]] = mapped_column(JSON)
    members: Mapped[list[dict[str, object]]] = mapped_column(JSON)
    scorecard: Mapped[dict[str, object]] = mapped_column(JSON)
    evidence: Mapped[dict[str, object]] = mapped_column(JSON)
    sharpe_per_bar: Mapped[float | None]
    created: Mapped[str]


class Remark(Base):
    """What a person said of a factor: a note, a tag, or that it is accepted or retired by hand, and why."""

    __tablename__ = "remarks"
    __table_args__ = (CheckConstraint("kind IN ('note', 'tag', 'accept', 'retire')", "kind"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    factor_id: Mapped[str] = mapped_column(index=True)
    kind: Mapped[str]
    text: Mapped[str]
    author: Mapped[str]
    created: Mapped[str]


def core_table(model: type[Base]) -> Table:
    """Return a model's table, for statements that need no objects."""
    found = model.__table__
    assert isinstance(found, Table)
    return found
