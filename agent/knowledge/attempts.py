"""Queries about attempts, factors and trials; each works inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from agent.knowledge import bets, novelty, pools, schema
from agent.knowledge.convert import attempt_record, figure, now, plain_dict
from agent.knowledge.records import AttemptRecord, FactorRecord, NewAttempt, TrialCount
from factors.novelty import Fingerprint
from market.errors import InputError

TAG = "factor:"
_Attempt = schema.Attempt


def _select(*, run_id: str | None = None, panel_id: str | None = None) -> Select[schema.Attempt, str]:
    query = select(_Attempt, schema.Run.panel_id).join(schema.Run, schema.Run.id == _Attempt.run_id)
    if run_id is not None:
        query = query.where(_Attempt.run_id == run_id)
    if panel_id is not None:
        query = query.where(schema.Run.panel_id == panel_id)
    return query


def _records(session: Session, query: Select[schema.Attempt, str]) -> list[AttemptRecord]:
    return [attempt_record(row, panel_id) for row, panel_id in session.execute(query)]


def add_attempt(session: Session, new: NewAttempt, leaders: dict[str, bets.Leaders] | None = None) -> int:
    """Record an attempt with its verdicts and evaluation; return its id.

    `leaders`, by panel, is what several attempts of one transaction share.

    A second attempt at the same run, round and slot is not written: the first one's id comes back. What the
    writer named as parents (an id with or without its tag, a text, a name) is stored as factor ids where it
    can be told which factor is meant, and as it stands where not.
    """
    place = (_Attempt.run_id == new.run_id, _Attempt.round == new.round, _Attempt.slot == new.slot)
    known = session.scalar(select(_Attempt.id).where(*place))
    if known is not None:
        return known
    panel_id = session.scalar(select(schema.Run.panel_id).where(schema.Run.id == new.run_id))
    parents = dict.fromkeys(_resolve(session, name, panel_id) for name in new.parent_ids)
    row = schema.Attempt(
        run_id=new.run_id,
        round=new.round,
        slot=new.slot,
        text=new.text,
        canonical=new.canonical,
        factor_id=new.factor_id,
        parent_ids=list(parents),
        stage=new.stage,
        code=new.code,
        message=new.message,
        rationale=new.rationale,
        name=new.name,
        created=now(),
        claims=plain_dict(new.claims),
        verdicts=[
            schema.Verdict(
                turn=v.turn, accept=v.accept, score=float(v.score), critique=v.critique, scores=plain_dict(v.scores)
            )
            for v in new.verdicts
        ],
    )
    if new.evaluation is not None:
        row.evaluation = schema.Evaluation(
            scorecard=plain_dict(new.evaluation.scorecard),
            evidence=plain_dict(new.evaluation.evidence),
            sharpe_per_bar=figure(new.evaluation.sharpe_per_bar),
            accepted=bool(new.evaluation.accepted),
        )
    session.add(row)
    session.flush()
    if row.factor_id is not None and row.canonical is not None:
        novelty.add(session, row.factor_id, row.canonical, f"attempt {row.id}")
    if new.evaluation is not None and new.evaluation.sketch is not None and panel_id is not None:
        leaders = {} if leaders is None else leaders
        if panel_id not in leaders:
            leaders[panel_id] = bets.load_leaders(session, panel_id)
        bets.add_bet(session, row.id, new.evaluation.sketch, leaders[panel_id])
    return row.id


def _resolve(session: Session, parent: str, panel_id: str | None) -> str:
    """Return the factor id that a writer means by `parent`, or `parent` itself; a name means the newest."""
    tagged = parent if parent.startswith(TAG) else TAG + parent
    newest = select(_Attempt.factor_id).where(_Attempt.factor_id.is_not(None)).order_by(_Attempt.id.desc())
    for meant in (
        _Attempt.factor_id == tagged,
        or_(_Attempt.canonical == parent, _Attempt.text == parent),
        (_Attempt.name == parent) & _Attempt.run_id.in_(select(schema.Run.id).where(schema.Run.panel_id == panel_id)),
    ):
        found = session.scalar(newest.where(meant).limit(1))
        if found is not None:
            return found
    return parent


def list_attempts(
    session: Session, run_id: str | None, round_: int | None, panel_id: str | None, after: int = 0
) -> list[AttemptRecord]:
    """Return attempts in the order in which they were recorded; of those `after` an id."""
    query = _select(run_id=run_id, panel_id=panel_id).where(_Attempt.id > after).order_by(_Attempt.id)
    if round_ is not None:
        query = query.where(_Attempt.round == round_)
    return _records(session, query)


def scored_twin(
    session: Session, factor_id: str, alike: Fingerprint | None, panel_id: str, until: int | None
) -> AttemptRecord | None:
    """Return the first scored attempt on a panel of this factor or, with `alike`, of one with its ranking core."""
    known = schema.KnownFactor
    meant = _Attempt.factor_id == factor_id
    if alike is not None:
        kin = select(known.factor_id).where(known.ranking == alike.ranking, known.sign == alike.sign)
        meant = or_(meant, _Attempt.factor_id.in_(kin))
    query = _select(panel_id=panel_id).join(schema.Evaluation, schema.Evaluation.attempt_id == _Attempt.id).where(meant)
    if until is not None:
        query = query.where(_Attempt.id <= until)
    return next(iter(_records(session, query.order_by(_Attempt.id).limit(1))), None)


def best(session: Session, panel_id: str, limit: int) -> list[AttemptRecord]:
    """Return scored factors with a positive Sharpe ratio on train: accepted first, then the highest."""
    scored = schema.Evaluation
    query = _select(panel_id=panel_id).join(scored, scored.attempt_id == _Attempt.id)
    query = query.where(scored.sharpe_per_bar > 0)
    return _records(
        session,
        query.order_by(scored.accepted.desc(), scored.sharpe_per_bar.desc(), _Attempt.id).limit(limit),
    )


def worst(session: Session, panel_id: str, limit: int) -> list[AttemptRecord]:
    """Return what was refused, and what was scored and did not earn on train, newest first."""
    scored = schema.Evaluation
    query = _select(panel_id=panel_id).outerjoin(scored, scored.attempt_id == _Attempt.id)
    query = query.where(or_(scored.attempt_id.is_(None), func.coalesce(scored.sharpe_per_bar, 0.0) <= 0))
    # What a screening sorted out by the thousand teaches a writer nothing.
    query = query.where(_Attempt.stage != "screen")
    return _records(session, query.order_by(_Attempt.id.desc()).limit(limit))


def get_factor(session: Session, what: str, run_id: str | None, panel_id: str | None) -> FactorRecord:
    """Return the factor meant by `what`: its id, with or without ``factor:``, or the beginning of one.

    Raises
    ------
    InputError
        When nothing begins with `what`, or more than one factor does.
    """
    factor_id = _which(session, what, run_id, panel_id)
    own = _records(session, _select().where(_Attempt.factor_id == factor_id).order_by(_Attempt.id))
    here = [a for a in own if (run_id is None or a.run_id == run_id) and (panel_id is None or a.panel_id == panel_id)]
    chosen = max(here, key=lambda a: (a.evaluation is not None, a.id))
    named = {parent for attempt in own for parent in attempt.parent_ids} - {factor_id}
    parents = _records(session, _select().where(_Attempt.factor_id.in_(named)).order_by(_Attempt.id))
    heirs = func.json_each(_Attempt.parent_ids).table_valued("value")
    query = _select().join(heirs, heirs.c.value == factor_id).where(_Attempt.factor_id.is_not(None))
    children = _records(session, query.order_by(_Attempt.id))
    return FactorRecord(
        factor_id=factor_id,
        canonical=chosen.canonical or "",
        attempt=chosen,
        attempts=tuple(a.id for a in own),
        parents=_one_each(parents),
        children=_one_each(a for a in children if a.factor_id != factor_id),
    )


def _one_each(attempts: Iterable[AttemptRecord]) -> tuple[AttemptRecord, ...]:
    """Keep one attempt a factor, in order of first appearance: the newest scored, else the newest."""
    chosen: dict[str, AttemptRecord] = {}
    for attempt in attempts:
        known = chosen.get(attempt.factor_id or "")
        if known is None or attempt.evaluation is not None or known.evaluation is None:
            chosen[attempt.factor_id or ""] = attempt
    return tuple(chosen.values())


def _which(session: Session, what: str, run_id: str | None, panel_id: str | None) -> str:
    bare = what.strip().removeprefix(TAG)
    begins = func.substr(_Attempt.factor_id, 1, len(TAG + bare)) == TAG + bare
    query = _select(run_id=run_id, panel_id=panel_id).where(begins)
    ids = query.with_only_columns(_Attempt.factor_id).distinct().order_by(_Attempt.factor_id).limit(6)
    found = [str(value) for value in session.scalars(ids)] if bare else []
    if len(found) == 1 or TAG + bare in found:
        return found[0]
    if found:
        raise InputError(f"{what!r} begins several factors", f"say more of the id: {', '.join(found[:5])}")
    published = func.substr(schema.LibraryEntry.factor_id, 1, len(TAG + bare)) == TAG + bare
    entry = session.scalars(select(schema.LibraryEntry).where(published).limit(1)).first() if bare else None
    if entry is not None:
        raise InputError(
            f"{entry.factor_id} is {entry.name} of {entry.source}, which no run has tried",
            "see it with `alphaglow kb list --library`, score it with `alphaglow eval`",
        )
    raise InputError(f"no factor {what!r}", "list them with `alphaglow kb list`")


def count_trials(session: Session, panel_id: str) -> TrialCount:
    """Count every attempt and pool on a panel and estimate the variance of their per-bar Sharpe ratios.

    While fewer than two were scored, the variance is 1 / bars: that of the estimated Sharpe ratio of a factor
    without skill over the panel's bars (Lo 2002, with a true ratio of 0). Of an unknown panel it is 0.0.
    """
    count = session.scalar(
        select(func.count())
        .select_from(_Attempt)
        .join(schema.Run, schema.Run.id == _Attempt.run_id)
        .where(schema.Run.panel_id == panel_id)
    )
    ratios = [*_sharpes(session, panel_id), *pools.pool_sharpes(session, panel_id)]
    if len(ratios) >= 2:
        mean = sum(ratios) / len(ratios)
        variance = sum((ratio - mean) ** 2 for ratio in ratios) / (len(ratios) - 1)
    else:
        dataset = session.get(schema.Dataset, panel_id)
        variance = 1.0 / dataset.bars if dataset is not None and dataset.bars else 0.0
    tried = (count or 0) + pools.count_pools(session, panel_id)
    return TrialCount(tried, variance, len(ratios), bets.count_bets(session, panel_id))


def _sharpes(session: Session, panel_id: str) -> Sequence[float]:
    scored = schema.Evaluation
    query = (
        select(scored.sharpe_per_bar)
        .join(_Attempt, _Attempt.id == scored.attempt_id)
        .join(schema.Run, schema.Run.id == _Attempt.run_id)
        .where(schema.Run.panel_id == panel_id, scored.sharpe_per_bar.is_not(None))
        .order_by(scored.attempt_id)
    )
    return [value for value in session.scalars(query) if value is not None]
