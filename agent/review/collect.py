"""From the knowledge base to a review: re-evaluate a factor on train and validation, and draw it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from agent.knowledge.attempt_figures import factor_order, or_none, verdict_of
from agent.knowledge.factor_records import FactorRecord
from agent.knowledge.failed_tests import ended_why, failed_in, first_failed, words_of_failed
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import AttemptRecord, RunRecord
from agent.review.render import render_factor, render_run, write_report
from agent.review.review_records import (
    Critique,
    FactorRow,
    FunnelStep,
    LedgerRow,
    LessonRow,
    PanelNote,
    RelatedFactor,
    Review,
    RunReview,
    Stop,
    compound,
    likelihood_histogram,
    whole_sum,
)
from agent.review.series_details import correlated_factors, expectations_of, quantile_returns
from agent.study.expectations import expected_sharpe, forward_sentence
from agent.study.opening import Note, RecordedRules, no_note, open_data
from agent.study.scoring import evaluate_expression, was_aimed
from agent.study.study import Study, read_expression
from agent.study.trade_frame import table_of_trades
from agent.study.workspace import Workspace
from backtest.placebo import calmest_first, random_gate, volatility_gate
from backtest.result_types import Evidence, Scorecard
from backtest.rule_words import decay_sentence, rule_of, rule_sentence
from backtest.run import trade
from backtest.scorecard import Scored
from backtest.verdict_words import verdict_sentence
from factors.plain_words import read_aloud
from market.errors import InputError, Rejection
from market.panel import FloatArray

# What the report calls what a writer claims, in this order; other claims are not shown.
_HEADINGS = {
    "mechanism": "Who loses it",
    "horizon": "Pays over, bars",
    "fails_when": "Should fail when",
    "operation": "Was to be",
    "theme": "Theme",
}


def report_on(
    workspace: Workspace,
    knowledge: KnowledgeBase,
    what: str,
    *,
    data: str | None,
    output: Path | None,
    conclusion: str = "",
    note: Note = no_note,
) -> Path:
    """Write the report of a run or a factor, by id or its first characters; return the file's path.

    Figures are by the rules that the run recorded; `note` is given where those of now differ.
    """
    run = knowledge.find_run(what)
    if run is not None:
        name = run.id
        html = render_run(review_run(study_of_run(workspace, run, data, note), knowledge, run, conclusion))
    else:
        record = knowledge.get_factor(what)
        name = record.factor_id.replace(":", "-")
        study = study_of_run(workspace, knowledge.get_run(record.attempt.run_id), data, note)
        html = render_factor(review_factor(study, knowledge, record))
    path = output if output is not None else workspace.folder("reports") / f"{name}.html"
    write_report(html, path)
    return path


def study_of_run(workspace: Workspace, run: RunRecord, data: str | None, note: Note = no_note) -> Study:
    """Open the study that `run` worked on, under the rules it recorded."""
    return open_data(workspace, data, RecordedRules.of_run(run, strict=False), note=note).study


def panel_note(study: Study) -> PanelNote:
    """Describe the data as the loop saw it."""
    panel = study.panel
    minutes = float(panel.bar / np.timedelta64(1, "m"))
    return PanelNote(
        name=panel.name,
        panel_id=study.dataset,
        assets=panel.shape[1],
        bars=panel.shape[0],
        start=str(panel.times[0])[:16],
        end=str(panel.times[-1])[:16],
        bar=f"{minutes:g} min" if minutes < 1440 else f"{minutes / 1440:g} d",
        calendar=panel.calendar,
    )


def review_factor(study: Study, knowledge: KnowledgeBase, record: FactorRecord) -> Review:
    """Return everything the report of one factor draws, computed afresh from its text."""
    attempt = record.attempt
    expression = read_expression(record.canonical, study)
    if isinstance(expression, Rejection):
        raise InputError(f"{record.factor_id} cannot be read on this data: {expression.one_line()}")
    aimed = attempt.evaluation is not None and was_aimed(attempt.evaluation.evidence)
    scoring = evaluate_expression(expression, study, knowledge, recorded=True, aimed=aimed)
    if isinstance(scoring, Rejection):
        raise InputError(f"{record.factor_id} cannot be scored: {scoring.one_line()}")
    run, stored = knowledge.get_run(attempt.run_id), attempt.evaluation
    subject = ReviewSubject(
        content_id=record.factor_id,
        name=attempt.name or record.factor_id,
        text=expression.text,
        reading=read_aloud(expression),
        simulated_llm=run.config.simulated,
        stored=None if stored is None else stored.evidence,
    )
    review = review_of(study, knowledge, subject, scoring.scored, scoring.evidence, scoring.signal.values)
    later = knowledge.later_verdicts().get(attempt.id)
    return replace(
        review,
        reasons=review.reasons if later is None else (*review.reasons, later.sentence()),
        rationale=attempt.rationale,
        expected=expectations_of(attempt, review.train),
        claims={_HEADINGS[name]: str(said) for name, said in attempt.claims.to_dict().items() if name in _HEADINGS},
        critiques=[Critique(v.turn, v.accept, v.score, v.critique) for v in attempt.verdicts],
        lineage=[
            RelatedFactor(relation, related.factor_id or "", related.canonical or related.text, verdict_of(related))
            for relation, family in (("parent", record.parents), ("child", record.children))
            for related in family
        ],
        further_children=record.further_children,
    )


@dataclass(frozen=True)
class ReviewSubject:
    """What a page is about: a factor or a pool, in words, with the evidence that is stored of it, if there is any."""

    content_id: str
    name: str
    text: str
    reading: str
    simulated_llm: bool
    stored: Evidence | None


def review_of(
    study: Study, knowledge: KnowledgeBase, subject: ReviewSubject, scored: Scored, now: Evidence, values: FloatArray
) -> Review:
    """Return what the pages of factors and of pools have in common.

    `scored` and `now` are the score and the evidence of today, `values` (T, N) the signal. The verdict is the stored
    one, where there is one.
    """
    panel, split, card = study.panel, study.split, scored.scorecard
    shown = now if subject.stored is None else subject.stored
    assert card.profiles is not None
    threshold = float("nan") if study.threshold is None else float(study.threshold[-1])
    return Review(
        factor_id=subject.content_id,
        name=subject.name,
        text=subject.text,
        reading=subject.reading,
        rationale="",
        verdict=shown.verdict,
        train=card.train,
        validation=card.validation,
        times=panel.times,
        equity=equity_of(scored, values, subject.content_id, study),
        ic=scored.ic,
        turnover=scored.backtest.turnover,
        train_end=split.train.stop,
        validation_start=split.validation.start,
        validation_stop=split.validation.stop,
        simulated_market=panel.simulated,
        simulated_llm=subject.simulated_llm,
        panel=panel_note(study),
        sentence=verdict_sentence(shown, card, study.policy.level),
        forward=forward_sentence(expected_sharpe(card, subject.content_id, study.dataset, knowledge)),
        reasons=shown.reasons,
        audits=shown.audits,
        dsr=None if subject.stored is None else or_none(subject.stored.dsr),
        psr=None if subject.stored is None else or_none(subject.stored.psr),
        trials=None if subject.stored is None else subject.stored.trials,
        dsr_now=or_none(now.dsr),
        trials_now=now.trials,
        effective_trials=now.effective_trials,
        gate_exposure=mean_exposure(study),
        profiles=card.profiles,
        gates=shown.gates or now.gates,
        failed=words_of_failed(failed_in(shown, card.train)),
        openings=tuple(x.sentence() for x in knowledge.holdout_openings(subject.content_id, study.dataset)),
        rules=rules_sentence(study, card),
        likelihood=None if study.log_likelihood is None else likelihood_histogram(study.log_likelihood, threshold),
        payoffs=scored.payoffs,
        quantile_returns=quantile_returns(study, values),
        tests={"predicts": shown.predicts, "earns": shown.earns},
        correlated=correlated_factors(study, knowledge, scored, subject.content_id),
        rule=str(rule_of(card)),
        tried_rules=card.rules,
        cost_bp=card.cost_bp,
        trades=table_of_trades(scored.backtest, study),
    )


def mean_exposure(study: Study) -> FloatArray | None:
    """Return (T,) the gate's mean exposure over the assets of the universe; 0 where there are none."""
    if study.exposures is None:
        return None
    traded = study.panel.universe
    total: FloatArray = np.where(traded, study.exposures, 0.0).sum(axis=1) / np.maximum(traded.sum(axis=1), 1)
    return total


def rules_sentence(study: Study, card: Scorecard) -> str:
    """Say how positions were taken, filled and paid; and of a factor, which rule was chosen and how long it lasts."""
    spec = rule_of(card).applied(study.spec) if card.rules else study.spec
    words = [
        f"{spec.weighting} weights",
        f"filled at the next {spec.fill}",
        "rebalanced every bar" if spec.rebalance == 1 else f"rebalanced every {spec.rebalance} bars",
        f"{spec.costs.per_trade * 1e4:g} bp of traded notional",
    ]
    if spec.holding > 1:
        words.append(f"targets averaged over {spec.holding} bars")
    if spec.rate < 1:
        words.append(f"{100 * spec.rate:g}% of the way to the target each time")
    if spec.band > 0:
        words.append(f"outside a band of {spec.band:.2%}")
    if spec.volatility_scaled:
        words.append("scaled by volatility")
    if spec.market_neutral:
        words.append("neutral to the market")
    if spec.liquid_half:
        words.append("the liquid half of the universe alone")
    if spec.styles:
        words.append(f"payoffs residual to {', '.join(spec.residual_to)}")
    if spec.costs.capital > 0:
        words.append(f"impact on a capital of {spec.costs.capital:,.0f}")
    train = None if card.profiles is None else card.profiles.get("train")
    said = [", ".join(words), rule_sentence(card), "" if train is None else decay_sentence(train)]
    return ". ".join(part for part in said if part)


def equity_of(scored: Scored, values: FloatArray, content_id: str, study: Study) -> dict[str, FloatArray]:
    """Return the curves of a signal (T, N), by `EQUITY_LABELS`; with a gate, those of placebo gates as well."""
    plain, gated = scored.backtest, scored.gated
    series = {"gross": compound(plain.gross), "net": compound(plain.net)}
    if gated is None or study.exposures is None:
        return series
    series["gated"] = compound(gated.net)
    rng = np.random.default_rng([study.seed, int(content_id[-8:], 16)])
    placebos = {
        "vol_gate": volatility_gate(calmest_first(study.panel), study.exposures),
        "random_gate": random_gate(study.exposures, rng),
    }
    target = study.target
    signal = np.where(study.panel.universe, values, np.nan)
    spec = plain.spec
    targets = target.weights(signal, spec=spec)
    for name, gate in placebos.items():
        result = trade(targets, target.market, spec, gate, bars_per_year=study.panel.bars_per_year)
        series[name] = compound(result.net)
    return series


def review_run(study: Study, knowledge: KnowledgeBase, run: RunRecord, conclusion: str) -> RunReview:
    """Return everything the report of a run draws, with its best factor's review inside."""
    attempts = knowledge.attempts(run_id=run.id)
    scored = sorted((a for a in attempts if a.evaluation is not None), key=factor_order)
    best = None
    if scored and scored[0].factor_id is not None:
        best = review_factor(study, knowledge, knowledge.get_factor(scored[0].factor_id, run_id=run.id))
    return RunReview(
        run_id=run.id,
        title=f"Mining run on {run.config.data}",
        status=run.status,
        created=run.created,
        finished=run.finished or "",
        seed=run.seed,
        rounds=len({a.round for a in attempts}),
        panel=panel_note(study),
        simulated_market=study.panel.simulated,
        simulated_llm=run.simulated,
        factors=[_row(a) for a in scored],
        funnel=_funnel(attempts),
        stops=[
            Stop(stage, code, count)
            for (stage, code), count in Counter((a.stage, a.code) for a in attempts if a.code).most_common()
        ],
        ledger=_ledger(knowledge, run.id),
        lessons=[
            LessonRow(x.round, x.kind, x.text, [str(i) for i in x.evidence])
            for x in knowledge.lessons(run_id=run.id, limit=200)
        ],
        settings={
            key: ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            for key, value in _flat(run.config_document)
        },
        seconds=_seconds(run),
        conclusion=conclusion,
        best=best,
    )


def _seconds(run: RunRecord) -> dict[str, float]:
    """Return how long the run took, pauses before a resumption included; nothing while it is running."""
    if run.finished is None:
        return {}
    start, end = (datetime.fromisoformat(moment) for moment in (run.created, run.finished))
    return {"from start to last stop": (end - start).total_seconds()}


def _row(attempt: AttemptRecord) -> FactorRow:
    assert attempt.evaluation is not None
    card, evidence = attempt.evaluation.scorecard, attempt.evaluation.evidence
    return FactorRow(
        factor_id=attempt.factor_id or "",
        name=attempt.name,
        text=attempt.canonical or attempt.text,
        round=attempt.round,
        verdict=verdict_of(attempt),
        train=card.train,
        validation=card.validation,
        dsr=or_none(evidence.dsr),
        failed=words_of_failed(first_failed(attempt)),
        reason=ended_why(attempt),
        theme=attempt.claims.theme,
    )


def _funnel(attempts: Sequence[AttemptRecord]) -> list[FunnelStep]:
    past_parse = [a for a in attempts if a.factor_id is not None]
    scored = [a for a in attempts if a.evaluation is not None]
    liked = [a for a in scored if verdict_of(a) in ("accepted", "promising")]
    accepted = [a for a in scored if verdict_of(a) == "accepted"]
    steps = (
        ("proposed", attempts),
        ("readable", past_parse),
        ("scored", scored),
        ("promising", liked),
        ("accepted", accepted),
    )
    return [FunnelStep(label, len(group)) for label, group in steps]


def _ledger(knowledge: KnowledgeBase, run_id: str) -> list[LedgerRow]:
    groups: dict[tuple[str, str], list[tuple[int | None, int | None, float | None, float]]] = {}
    for call in knowledge.calls(run_id):
        row = (call.prompt_tokens, call.completion_tokens, call.cost_usd, call.latency_s)
        groups.setdefault((call.role, call.model), []).append(row)
    return [
        LedgerRow(
            role=role,
            model=model,
            calls=len(rows),
            prompt_tokens=whole_sum([row[0] for row in rows]),
            completion_tokens=whole_sum([row[1] for row in rows]),
            cost_usd=whole_sum([row[2] for row in rows]),
            latency_s=sum(row[3] for row in rows),
        )
        for (role, model), rows in sorted(groups.items())
    ]


def _flat(config: Mapping[str, object], prefix: str = "") -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for key, value in config.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", value))
    return rows
