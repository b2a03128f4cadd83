"""From a signal that was scored without a record to a review: train alone, without a knowledge base."""

from __future__ import annotations

from dataclasses import replace

from agent.knowledge.failed_tests import failed_in, words_of_failed
from agent.review.collect import ReviewSubject, equity_of, mean_exposure, panel_note, rules_sentence
from agent.review.review_records import Review
from agent.review.series_details import quantile_returns
from agent.study.study import Study
from agent.study.trade_frame import table_of_trades
from backtest.result_types import Evidence, Scorecard
from backtest.rule_words import rule_of
from backtest.scorecard import Scored
from backtest.verdict_words import verdict_sentence
from market.panel import FloatArray


def review_on_train(
    study: Study, subject: ReviewSubject, scored: Scored, card: Scorecard, evidence: Evidence, values: FloatArray
) -> Review:
    """Return the review of a signal (T, N) that ends with train; `card` holds nothing of validation."""
    stop = study.split.train.stop
    gate = mean_exposure(study)
    profiles = scored.scorecard.profiles or {}
    bands = quantile_returns(study, values)
    return Review(
        factor_id=subject.content_id,
        name=subject.name,
        text=subject.text,
        reading=subject.reading,
        rationale="",
        verdict=evidence.verdict,
        train=card.train,
        validation=card.validation,
        times=study.panel.times[:stop],
        equity={name: curve[:stop] for name, curve in equity_of(scored, values, subject.content_id, study).items()},
        ic=scored.ic[:stop],
        turnover=scored.backtest.turnover[:stop],
        train_end=stop,
        validation_start=stop,
        validation_stop=stop,
        simulated_market=study.panel.simulated,
        simulated_llm=subject.simulated_llm,
        panel=replace(panel_note(study), bars=stop, end=str(study.panel.times[stop - 1])[:16]),
        sentence=verdict_sentence(evidence, card, study.policy.level),
        reasons=evidence.reasons,
        trials=evidence.trials,
        gate_exposure=None if gate is None else gate[:stop],
        profiles={"train": profiles["train"]} if "train" in profiles else {},
        gates=evidence.gates,
        failed=words_of_failed(failed_in(evidence, card.train)),
        rules=rules_sentence(study, scored.scorecard),
        payoffs=scored.payoffs[:stop],
        quantile_returns=None if bands is None else bands[:stop],
        tests={"predicts": evidence.predicts, "earns": evidence.earns},
        rule=str(rule_of(scored.scorecard)),
        tried_rules=scored.scorecard.rules,
        cost_bp=scored.scorecard.cost_bp,
        trades=table_of_trades(scored.backtest, study, validation=False),
        kind="Factor" if subject.reading else "Signal",
    )
