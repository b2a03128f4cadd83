"""What goes into the knowledge base and what comes out: frozen dataclasses, free of SQLAlchemy.

``New…`` types are handed in, ``…Record`` types are handed back. Times are UTC, ISO 8601 with seconds
(``2026-01-31T12:00:00Z``). A figure that is undefined is None, never 0 and never NaN.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from agent.knowledge.claims import Claims
from agent.knowledge.dataset_records import DatasetRecord as DatasetRecord
from agent.knowledge.dataset_records import RelatedData as RelatedData
from agent.knowledge.packed_json import whole
from agent.knowledge.run_config import RunConfig, ScoringRules, read_rules, read_run_config
from agent.knowledge.score_documents import (
    Document,
    read_evidence,
    read_flat,
    read_scorecard,
    read_train,
    read_verdict,
)
from backtest.result_types import Evidence, Scorecard, SegmentScore, Verdict

if TYPE_CHECKING:
    from market.panel import FloatArray

# A run is `stopped` whose process has ended without a word; it is never stored.
RunStatus = Literal["running", "interrupted", "finished", "budget", "stopped", "queued"]
RoundStatus = Literal["open", "finished"]
ExportFormat = Literal["json", "csv"]
Content = TypeVar("Content")


@dataclass(frozen=True, slots=True)
class NewCall:
    """One exchange with a language model, as it returned and before anything was parsed.

    Attributes
    ----------
    run_id
        The run that pays for it; a journal files what it is given under its own run.
    key
        Unique within the run, such as ``r1/s0/t2/judge/1``: round, slot, turn, role, try.
    mode
        How the reply's form was asked for (``json_schema``, ``json_object``, ``text``), and by which name its length
        was bounded where not by the first (``json_schema max_tokens``).
    request_hash
        Hash of the request, so that a replay under the same key can tell that it was asked something else.
    request, response
        The request as JSON text, and the reply's text as it came.
    status
        ``ok``, ``refused``, ``truncated``, or ``lost``: sent, and never answered.
    prompt_tokens, completion_tokens, cost_usd
        None where the server did not say or no price is known.
    latency_s
        Wall seconds.
    created
        UTC time; stamped by the knowledge base when empty.
    """

    run_id: str
    key: str
    role: str
    model: str
    mode: str
    request_hash: str
    request: str
    response: str
    status: str
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None
    latency_s: float
    created: str = ""

    def to_dict(self) -> dict[str, object]:
        """Return the fields as plain JSON types."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class CallRecord(NewCall):
    """A journalled call; `id` is its row (0: kept in memory only)."""

    id: int = 0


@dataclass(frozen=True, slots=True)
class Totals:
    """What a run's calls add up to.

    Tokens are summed over the calls that reported them. The cost is None as soon as one call's cost is
    unknown: a sum that leaves some out would pass for the bill.
    """

    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None


def request_hash(model: str, request: str) -> str:
    """Return what a call is known by again: a hash of the model that was asked and the messages, as JSON text."""
    return hashlib.sha256(f"{model}\n{request}".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class JudgeVerdict:
    """What the judge said of a candidate at one turn of the inner loop; `score` is on a scale of 0 to 10.

    `scores` holds what it said of novelty, mechanism, testability, cost and overfitting, each 0 to 10, and ``passes``,
    the probability that it gave the candidate to pass.
    """

    turn: int
    accept: bool
    score: float
    critique: str
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewEvaluation:
    """What the backtest said.

    `sharpe_per_bar` (not annualised) feeds the trial variance of the Deflated Sharpe Ratio; None or NaN
    where it is undefined. `returns_fingerprint` (see `backtest.luck.fingerprint_of`) is of the gross returns on
    train: by it the attempt is compared with others.
    """

    scorecard: Scorecard
    evidence: Evidence
    sharpe_per_bar: float | None
    returns_fingerprint: FloatArray | None = field(default=None, compare=False)

    @property
    def accepted(self) -> bool:
        """Whether every gate was passed."""
        return self.evidence.accepted

    @property
    def scorecard_document(self) -> Document:
        """The scorecard as it is stored."""
        return self.scorecard.to_dict()

    @property
    def evidence_document(self) -> Document:
        """The evidence as it is stored."""
        return self.evidence.to_dict()


@dataclass(frozen=True, slots=True)
class NewAttempt:
    """One candidate and all that became of it; unparsable ones are attempts too.

    Attributes
    ----------
    run_id, round, slot
        Its place; a second attempt at the same place is not written.
    text
        The expression as the writer wrote it, parsable or not.
    canonical, factor_id
        Canonical text and content id; None where the text could not be read.
    parent_ids
        Factor ids that the writer says it built on.
    stage
        Where it ended; ``evidence`` for one that was scored.
    code, message
        Why it was refused; None where it was scored.
    claims
        What it was to be, and what the writer says of it.
    """

    run_id: str
    round: int
    slot: int
    text: str
    stage: str
    canonical: str | None = None
    factor_id: str | None = None
    parent_ids: tuple[str, ...] = ()
    code: str | None = None
    message: str | None = None
    rationale: str = ""
    name: str = ""
    verdicts: tuple[JudgeVerdict, ...] = ()
    evaluation: NewEvaluation | None = None
    claims: Claims = field(default_factory=Claims)


@dataclass(frozen=True, slots=True)
class NewLesson:
    """What attempts taught; `evidence` holds the row ids of the attempts it rests on."""

    kind: str
    text: str
    evidence: tuple[int, ...] = ()


@dataclass(frozen=True)
class RunRecord:
    """One run; `finished` is when it last stopped, None while it is running.

    The document is as it was stored, whatever version wrote it; `config` is what it says.
    """

    id: str
    panel_id: str
    config_document: Document
    seed: int
    status: RunStatus
    created: str
    finished: str | None

    @cached_property
    def config(self) -> RunConfig:
        """What it was started with."""
        return read_run_config(self.config_document)

    @property
    def simulated(self) -> bool:
        """Whether a program played its language model."""
        return self.config.simulated

    def to_dict(self) -> dict[str, object]:
        """Return the fields as plain JSON types, the configuration as it was stored."""
        row = {name: value for name, value in asdict(self).items() if name != "config_document"}
        return {**row, "config": dict(self.config_document)}


@dataclass(frozen=True, slots=True)
class RoundRecord(Generic[Content]):
    """One outer round with the brief it was started with, of the type that its reader makes of it."""

    run_id: str
    number: int
    brief: Content
    status: RoundStatus
    created: str = ""


@dataclass(frozen=True)
class EvaluationRecord:
    """A stored evaluation; see `NewEvaluation`. `rules` and `code` are hashes of what it was made under and by.

    The documents are as they were stored, whatever version wrote them; `scorecard` and `evidence` are what they say,
    read when they are first asked for.
    """

    scorecard_document: Document
    evidence_document: Document
    sharpe_per_bar: float | None
    accepted: bool
    rules: str = ""
    code: str = ""

    @cached_property
    def train(self) -> SegmentScore:
        """The scorecard's train figures: all that a listing or a search of thousands asks for."""
        return read_train(whole(self.scorecard_document))

    @cached_property
    def verdict(self) -> Verdict:
        """The verdict's word."""
        return read_verdict(whole(self.evidence_document))

    @cached_property
    def scorecard(self) -> Scorecard:
        """What it earned and predicted, on train and on validation."""
        return read_scorecard(whole(self.scorecard_document))

    @cached_property
    def evidence(self) -> Evidence:
        """The verdict and what it rests on."""
        return read_evidence(whole(self.evidence_document))

    def to_dict(self) -> dict[str, object]:
        """Return the fields as plain JSON types, documents as they were stored."""
        return {
            "scorecard": dict(whole(self.scorecard_document)),
            "evidence": dict(whole(self.evidence_document)),
            "sharpe_per_bar": self.sharpe_per_bar,
            "accepted": self.accepted,
            "rules": self.rules,
            "code": self.code,
        }


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """A stored attempt; see `NewAttempt`. `panel_id` is that of its run."""

    id: int
    run_id: str
    panel_id: str
    round: int
    slot: int
    text: str
    canonical: str | None
    factor_id: str | None
    parent_ids: tuple[str, ...]
    stage: str
    code: str | None
    message: str | None
    rationale: str
    name: str
    created: str
    verdicts: tuple[JudgeVerdict, ...] = ()
    evaluation: EvaluationRecord | None = None
    claims: Claims = field(default_factory=Claims)

    def to_dict(self) -> dict[str, object]:
        """Return the fields as plain JSON types."""
        row = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            **row,
            "parent_ids": list(self.parent_ids),
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
            "evaluation": None if self.evaluation is None else self.evaluation.to_dict(),
            "claims": self.claims.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class LessonRecord:
    """A stored lesson; see `NewLesson`."""

    id: int
    run_id: str
    round: int
    kind: str
    text: str
    evidence: tuple[int, ...]
    created: str

    def to_dict(self) -> dict[str, object]:
        """Return the fields as plain JSON types."""
        return asdict(self)


@dataclass(frozen=True)
class HoldoutRecord:
    """One time that a factor or pool saw the holdout of a panel: who opened it when, under which rules, the result.

    `number` counts the openings of this factor on this panel: any but the first were insisted on. The documents are as
    they were stored, whatever version wrote them; `rules` and `score` are what they say. `start` and `end` are the
    times of the first and the last bar that were seen; earlier versions did not record them. Where it is asked for,
    `forward` says that these bars all came after those that were seen before, and `data` names the data set where it is
    another one.
    """

    factor_id: str
    panel_id: str
    number: int
    opened_at: str
    opened_by: str
    rules_document: Document
    result_document: Document
    start: str | None = None
    end: str | None = None
    forward: bool = False
    data: str = ""

    @cached_property
    def rules(self) -> ScoringRules:
        """The rules that it was scored under."""
        return read_rules(self.rules_document)

    @cached_property
    def score(self) -> SegmentScore:
        """The figures of the holdout."""
        return read_flat(SegmentScore, self.result_document)

    def to_dict(self) -> dict[str, object]:
        """Return the fields as plain JSON types, documents as they were stored."""
        row = {name: value for name, value in asdict(self).items() if not name.endswith("_document")}
        return {**row, "rules": dict(self.rules_document), "result": dict(self.result_document)}

    def sentence(self) -> str:
        """Say who opened it when; the result is not shown."""
        which = "opened" if self.number == 1 else f"opened again (time {self.number})"
        if self.forward:
            which = f"opened forward (time {self.number}), on bars that came after those seen before,"
        what = "pool" if self.factor_id.startswith("pool:") else "factor"
        where = f" on the data {self.data}" if self.data else ""
        bars = f" It showed the bars from {self.start} to {self.end}." if self.start and self.end else ""
        return f"The holdout was {which} for this {what}{where} at {self.opened_at} by {self.opened_by}.{bars}"
