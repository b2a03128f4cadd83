"""Queries about attempts, factors and trials; each works inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import BindParameter, Connection, Select, bindparam, insert, select, text
from sqlalchemy.orm import Session

from agent.knowledge.attempt_figures import net_score, or_none, traded_sharpe
from agent.knowledge.database import schema
from agent.knowledge.database.direct_connection import direct
from agent.knowledge.factor_records import Found
from agent.knowledge.listing import TAG, Ask, factor_id_of
from agent.knowledge.looking_up import one_each
from agent.knowledge.packed_json import whole
from agent.knowledge.records import AttemptRecord, EvaluationRecord, JudgeVerdict, NewAttempt, NewEvaluation
from agent.knowledge.score_documents import Document, read_figure, read_train, read_verdict
from agent.knowledge.tables import effective_trials, tallies
from agent.knowledge.tables import full_text as words
from agent.knowledge.tables import novelty_index as novelty
from agent.knowledge.tables.convert import attempt_record, plain_dict, storable, utc_now
from agent.knowledge.tables.row_cache import Memory
from agent.knowledge.tables.versions import scoring_code
from backtest.result_types import SegmentScore

if TYPE_CHECKING:
    from factors.overlap import Fingerprint
    from factors.tree import Expression

_Attempt = schema.Attempt
_NO_END = 2**31 - 1
_WRITTEN = 5_000
# Asked and written for each attempt, so put together once.
_TAKEN = text("SELECT id FROM attempts WHERE run_id = :run AND round = :round AND slot = :slot")
# By the factor alone: of a panel there may be very many.
_SCORED = (
    "SELECT attempt_id FROM evaluations WHERE panel_id || '' IN :panels AND attempt_id + 0 <= :until AND factor_id "
)
_PANELS: BindParameter[str] = bindparam("panels", expanding=True)
_TWIN = text(f"{_SCORED} = :factor ORDER BY attempt_id + 0 LIMIT 1").bindparams(_PANELS)
_RELATED = text(
    f"{_SCORED} IN (SELECT :factor UNION ALL SELECT factor_id FROM known_factors WHERE ranking = :ranking AND "
    "sign = :sign) ORDER BY attempt_id + 0 LIMIT 1"
).bindparams(_PANELS)
_MEANT = tuple(
    text(f"SELECT factor_id FROM attempts WHERE factor_id IS NOT NULL AND {meant} ORDER BY id DESC LIMIT 1")
    for meant in (
        "factor_id = :tagged",
        "factor_id = :own",
        "text = :said AND id > (SELECT COALESCE(MAX(id), 0) FROM attempts) - :written",
        "name = :said AND run_id IN (SELECT id FROM runs WHERE panel_id = :panel)",
    )
)
_INSERT = insert(schema.core_table(_Attempt)).returning(schema.core_table(_Attempt).c.id)
_INSERT_VERDICT = insert(schema.core_table(schema.Verdict))
_INSERT_PARENT = insert(schema.core_table(schema.AttemptParent))
_INSERT_EVALUATION = insert(schema.core_table(schema.Evaluation))


def ask_of(session: Session) -> Ask:
    """Return what runs the queries of `agent.knowledge.listing` in a transaction."""
    return lambda query, given: session.execute(text(query), dict(given)).all()


def _select(*, run_id: str | None = None, panel_id: str | None = None) -> Select[schema.Attempt, str]:
    query = select(_Attempt, schema.Run.panel_id).join(schema.Run, schema.Run.id == _Attempt.run_id)
    if run_id is not None:
        query = query.where(_Attempt.run_id == run_id)
    if panel_id is not None:
        query = query.where(schema.Run.panel_id == panel_id)
    return query


def _records(session: Session, query: Select[schema.Attempt, str]) -> list[AttemptRecord]:
    return [attempt_record(row, panel_id) for row, panel_id in session.execute(query)]


def add_attempt(session: Session | Connection, new: NewAttempt, memory: Memory) -> int:
    """Record an attempt with its verdicts and evaluation, and count it as a trial; return its id.

    A second attempt at the same run, round and slot is not written: the first one's id comes back. What the
    writer named as parents (an id with or without its tag, a text, a name) is stored as factor ids where it
    it is known which factor is meant, and as it stands where not.
    """
    place = {"run": new.run_id, "round": new.round, "slot": new.slot}
    known = direct(session).execute(_TAKEN, place).first()
    if known is not None:
        return int(known[0])
    run = memory.run(session, new.run_id)
    parents = dict.fromkeys(_resolve(session, name, run.panel_id) for name in new.parent_ids)
    code = scoring_code() if new.evaluation is not None else ""
    origin = AttemptOrigin(run.panel_id, run.rules, code, utc_now(), tuple(parents))
    number = write_attempt(session, new, origin, memory.known_print(new.factor_id or ""))
    sharpe, new_trial_group = None, False
    if new.evaluation is not None:
        sharpe = or_none(new.evaluation.sharpe_per_bar)
        if new.evaluation.returns_fingerprint is not None:
            new_trial_group = effective_trials.add_trial_group(
                session, number, new.evaluation.returns_fingerprint, memory.leaders(run.panel_id)
            )
    tallies.count_one(session, run.panel_id, sharpe, new_trial_group=new_trial_group)
    if new.factor_id is None or new.canonical is not None:
        memory.wrote(number)
    return number


@dataclass(frozen=True)
class AttemptOrigin:
    """Where an attempt comes from: data, rules, code and time of its scoring, and its parents as factor ids."""

    panel_id: str
    rules: str
    code: str
    created: str
    parents: tuple[str, ...]


def write_attempt(
    session: Session | Connection,
    new: NewAttempt,
    origin: AttemptOrigin,
    found: Fingerprint | None = None,
    stored: EvaluationRecord | None = None,
) -> int:
    """Write an attempt's rows, all but its signature, and index its words and its factor; return its id.

    `stored` takes the place of its evaluation: one that another knowledge base holds is written as it is there.
    """
    row = attempt_row(new, origin)
    connection = direct(session)
    number: int = connection.execute(_INSERT, row).scalar_one()
    parents = parent_rows(number, origin.parents)
    if parents:
        connection.execute(_INSERT_PARENT, parents)
    if new.verdicts:
        connection.execute(_INSERT_VERDICT, [{"attempt_id": number, **verdict_row(v)} for v in new.verdicts])
    evaluation = stored or new.evaluation
    if evaluation is not None:
        place = {"attempt_id": number, "factor_id": new.factor_id}
        connection.execute(_INSERT_EVALUATION, {**place, **evaluation_row(evaluation, origin)})
    words.add_words(session, number, row)
    if new.factor_id is not None and new.canonical is not None:
        novelty.add_factor(session, new.factor_id, new.canonical, f"attempt {number}", found)
    return number


def attempt_row(new: NewAttempt, origin: AttemptOrigin) -> dict[str, object]:
    """Return an attempt as the columns of its table, but its id."""
    return {
        "run_id": new.run_id,
        "round": new.round,
        "slot": new.slot,
        "text": storable(new.text),
        "canonical": new.canonical,
        "factor_id": new.factor_id,
        "parent_ids": list(origin.parents),
        "stage": new.stage,
        "code": new.code,
        "message": None if new.message is None else storable(new.message),
        "rationale": storable(new.rationale),
        "name": storable(new.name),
        "created": origin.created,
        "claims": plain_dict(new.claims.to_dict()),
    }


def parent_rows(attempt_id: int, parents: Iterable[str]) -> list[dict[str, object]]:
    """Return the parents of an attempt as the columns of their table."""
    return [{"parent": parent, "attempt_id": attempt_id} for parent in dict.fromkeys(parents)]


def verdict_row(verdict: JudgeVerdict) -> dict[str, object]:
    """Return what the judge said as the columns of its table, but the ids."""
    return {
        "turn": verdict.turn,
        "accept": verdict.accept,
        "score": float(verdict.score),
        "critique": storable(verdict.critique),
        "scores": plain_dict(verdict.scores),
    }


def evaluation_row(evaluation: NewEvaluation | EvaluationRecord, origin: AttemptOrigin) -> dict[str, object]:
    """Return an evaluation as the columns of its table, but attempt and factor."""
    card, evidence = whole(evaluation.scorecard_document), whole(evaluation.evidence_document)
    return {
        "panel_id": origin.panel_id,
        "rules": origin.rules,
        "code": origin.code,
        "scorecard": plain_dict(card),
        "evidence": plain_dict(evidence),
        "sharpe_per_bar": or_none(evaluation.sharpe_per_bar),
        "accepted": bool(evaluation.accepted),
        "predicts_z": score_of(evidence, "predicts"),
        "earns_z": score_of(evidence, "earns"),
        "confirmed": reached_validation(evidence),
        **chosen_figures(card, evidence, evaluation.scorecard.train if isinstance(evaluation, NewEvaluation) else None),
    }


def chosen_figures(scorecard: Document, evidence: Document, train: SegmentScore | None = None) -> dict[str, object]:
    """Return what attempts are chosen and listed by, as columns: the verdict, and figures of train alone.

    `train` is the score on train, where it need not be read from the scorecard.
    """
    train = train or read_train(scorecard)
    return {
        "verdict": read_verdict(evidence),
        "train_payoff_z": or_none(train.payoff_z),
        "train_net_z": or_none(net_score(train)),
        "train_sharpe": or_none(traded_sharpe(train)),
    }


def score_of(evidence: Document, test: str) -> float | None:
    """Return the normal score of a stored test; None where it was not made, or train alone decided against it."""
    # Not read as a whole: each attempt is asked.
    tested = _tested(evidence, test)
    return None if tested.get("decided_on") == "train" else or_none(read_figure(tested.get("z")))


def reached_validation(evidence: Document) -> bool:
    """Return whether a factor of a search that train led was tested on validation."""
    evidence = whole(evidence)
    return any(_tested(evidence, test).get("decided_on") == "validation" for test in ("predicts", "earns"))


def _tested(evidence: Document, test: str) -> Mapping[str, object]:
    found = evidence.get(test)
    return found if isinstance(found, Mapping) else {}


def _resolve(session: Session | Connection, parent: str, panel_id: str | None) -> str:
    """Return the factor id that a writer means by `parent`, or `parent` itself; a name means the newest.

    A text as it was written, and not as it is stored, is looked for among the newest attempts alone.
    """
    tagged = parent if parent.startswith(TAG) else TAG + parent
    asked = {"tagged": tagged, "own": factor_id_of(parent), "said": parent, "panel": panel_id, "written": _WRITTEN}
    connection = direct(session)
    for question in _MEANT:
        found = connection.execute(question, asked).scalar()
        if found is not None:
            return str(found)
    return parent


def scored_twin(
    connection: Connection, factor_id: str, alike: Fingerprint | None, panels: tuple[str, ...], until: int | None
) -> int | None:
    """Return the first scored attempt on these panels of this factor or, with `alike`, of one with its ranking core."""
    asked = {"factor": factor_id, "panels": panels, "until": _NO_END if until is None else until}
    if alike is None:
        found = connection.execute(_TWIN, asked).first()
    else:
        found = connection.execute(_RELATED, {**asked, "ranking": alike.ranking, "sign": alike.sign}).first()
    return None if found is None else int(found[0])


def evaluated(
    session: Session, factor_id: str, panel_id: str, rules: str | None, code: str | None
) -> list[AttemptRecord]:
    """Return the scored attempts with this key, oldest first."""
    scored = schema.Evaluation
    query = _select().join(scored, scored.attempt_id == _Attempt.id)
    query = query.where(scored.factor_id == factor_id, scored.panel_id == panel_id)
    for part, meant in ((scored.rules, rules), (scored.code, code)):
        if meant is not None:
            query = query.where(part == meant)
    return _records(session, query.order_by(_Attempt.id))


def alike(session: Session, expression: Expression, panel_id: str | None, limit: int) -> list[Found]:
    """Return the newest scored attempt at each factor that shares parts with an expression, the most alike first.

    How alike two are is the size of their largest common subtree over that of the larger tree, in nodes. A factor that
    was never scored comes with its newest attempt.
    """
    from factors.overlap import fingerprint

    best: dict[str, tuple[float, str]] = {}
    for factor_id, share, part in novelty.sharing(session, fingerprint(expression.root), panel_id, limit):
        if factor_id != expression.id and share > best.get(factor_id, (0.0, ""))[0]:
            best[factor_id] = (share, part)
    chosen = sorted(best, key=lambda name: (-best[name][0], name))[:limit]
    query = _select(panel_id=panel_id).where(_Attempt.factor_id.in_(chosen)).order_by(_Attempt.id)
    attempts = {attempt.factor_id: attempt for attempt in one_each(_records(session, query))}
    return [Found(attempts[name], *best[name]) for name in chosen if name in attempts]
