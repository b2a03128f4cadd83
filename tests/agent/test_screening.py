"""Screening: many factors quick-scored, each recorded and counted, the best scored in full; stopped and resumed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from agent.knowledge.failed_tests import first_failed
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.run_config import RunConfig
from agent.mining.screening import Screening, draw_texts, run_screening
from agent.study.settings import Settings
from agent.study.study import Study, backtest_expression, open_study, read_expression
from factors.tree import Expression
from market.errors import Rejection
from market.synthetic.demo_market import SynthSpec, make_market
from tests.agent.commands import as_json, refused, run


@pytest.fixture(scope="module")
def study() -> Study:
    return open_study(make_market(SynthSpec(bars=2000)).panel, Settings())


def start(study: Study, folder: Path, texts: list[str], **options: Any) -> Screening:
    folder.mkdir(exist_ok=True)
    knowledge = KnowledgeBase.open(folder / "knowledge.db")
    knowledge.register_dataset(make_market(SynthSpec(bars=2000)).panel)
    record = knowledge.create_run(study.dataset, RunConfig(kind="screen"), 0)
    return Screening(study, knowledge, record, texts, **options)


def test_every_expression_is_recorded_and_counted(study: Study, tmp_path: Path) -> None:
    texts = [*draw_texts(study, 60, 1), "close +", "ts_mean(close, 5000)", "cs_rank(close)", "cs_rank(close)"]
    screening = start(study, tmp_path, texts, keep=3, threads=2)
    assert run_screening(screening) == "finished"
    attempts = screening.knowledge.attempts(run_id=screening.run.id)
    assert sorted(a.slot for a in attempts) == list(range(len(texts)))
    by_slot = {a.slot: a for a in attempts}
    assert by_slot[60].code is not None
    assert by_slot[61].code == "lookback"
    # The drawn ones may hold an expression that ranks assets alike.
    assert by_slot[63].code in ("duplicate", "same_factor")
    assert screening.knowledge.trials(study.dataset).count == len(texts)
    full = [a for a in attempts if a.evaluation is not None and a.stage != "screen"]
    assert len(full) <= 3
    again = start(study, tmp_path, ["cs_rank(close)"])
    run_screening(again)
    assert again.knowledge.attempts(run_id=again.run.id)[0].code in ("duplicate", "same_factor")


def test_what_to_expect_of_a_factor_is_drawn_towards_what_was_screened(study: Study, tmp_path: Path) -> None:
    from agent.study.expectations import expected_sharpe, forward_sentence

    screening = start(study, tmp_path, draw_texts(study, 40, 3), keep=0)
    run_screening(screening)
    attempts = [a for a in screening.knowledge.attempts(run_id=screening.run.id) if a.evaluation is not None]
    cards = {a.id: a.evaluation.scorecard for a in attempts if a.evaluation is not None}
    best = max(attempts, key=lambda a: cards[a.id].train.per_bar_sharpe_net)
    card = cards[best.id]
    found = expected_sharpe(card, best.factor_id or "", study.dataset, screening.knowledge)
    assert 10 <= found.factors < len(attempts)
    assert found.low < found.mean < found.high
    # The others trade at a loss: the best is drawn down towards them.
    assert found.mean < found.raw
    assert f"{found.mean:.2f}" in forward_sentence(found)
    # Asked for as another factor, its own attempt is one more of those known.
    assert expected_sharpe(card, "factor:other", study.dataset, screening.knowledge).factors > found.factors - 1
    nowhere = expected_sharpe(card, "factor:other", "panel:none", screening.knowledge)
    assert "not known" in forward_sentence(nowhere)


def test_a_list_with_copies_of_one_factor_counts_it_once(study: Study, tmp_path: Path) -> None:
    texts = ["ts_mean(volume, 20)", "3 * ts_mean(volume, 20) + 1", "sqrt(ts_mean(volume, 20))", "ts_mean(close, 20)"]
    screening = start(study, tmp_path, texts, keep=0)
    run_screening(screening)
    codes = {a.slot: a.code for a in screening.knowledge.attempts(run_id=screening.run.id)}
    assert codes == {0: None, 1: "same_factor", 2: "same_factor", 3: None}
    assert screening.knowledge.trials(study.dataset).evaluated == 2


def test_quick_figures_are_the_scorecards(study: Study, tmp_path: Path) -> None:
    texts = draw_texts(study, 12, 2)
    screening = start(study, tmp_path, texts, keep=0)
    run_screening(screening)
    checked = 0
    # A quick score comes before a factor has a rule of its own.
    as_set = replace(study, grid=None)
    for attempt in screening.knowledge.attempts(run_id=screening.run.id):
        if attempt.evaluation is None:
            continue
        expression = read_expression(attempt.text, study)
        assert isinstance(expression, Expression)
        whole = backtest_expression(expression, as_set)
        if isinstance(whole, Rejection):
            continue
        train, quick = whole[1].scorecard.train, attempt.evaluation.scorecard.train
        assert (quick.start, quick.end) == (train.start, train.end)
        for name in ("n_bars", "rank_ic", "ic_ir", "ic_tstat", "sharpe_gross", "sharpe_net", "turnover"):
            assert getattr(quick, name) == pytest.approx(getattr(train, name), rel=1e-9, abs=1e-12), name
        # Nothing of validation was looked at.
        unseen = attempt.evaluation.scorecard.validation.to_dict()
        assert {value for key, value in unseen.items() if key not in ("n_bars", "start", "end")} == {None}
        checked += 1
    assert checked > 5


def test_a_stopped_screening_goes_on_and_ends_like_one_that_was_not(study: Study, tmp_path: Path) -> None:
    texts = draw_texts(study, 40, 3)
    whole = start(study, tmp_path / "a", texts, keep=2)
    run_screening(whole)
    asked = iter(range(10_000))
    cut = start(study, tmp_path / "b", texts, keep=2, stop=lambda: next(asked) > 15)
    assert run_screening(cut) == "interrupted"
    recorded = len(cut.knowledge.attempts(run_id=cut.run.id))
    assert 0 < recorded < len(texts)
    rest = Screening(study, cut.knowledge, cut.run, texts, keep=2)
    assert run_screening(rest) == "finished"

    def recorded_facts(screening: Screening) -> list[tuple[object, ...]]:
        attempts = screening.knowledge.attempts(run_id=screening.run.id)
        return sorted((a.slot, a.canonical, a.stage, a.code, json.dumps(_train(a))) for a in attempts)

    assert recorded_facts(whole) == recorded_facts(rest)


def _train(attempt: Any) -> object:
    return None if attempt.evaluation is None else attempt.evaluation.scorecard_document["train"]


def test_screening_from_the_command_line(
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = as_json(capsys, "screen", "--random", "20", "--keep", "1", "--data", "toy")
    assert found["attempts"] == 20
    assert found["in_full"] <= 1
    (home / "list.txt").write_text("# ideas\n-ts_delta(close, 5)\n\nvolume *\n", encoding="utf-8")
    code, out, err = run(capsys, "screen", "list.txt", "--data", "toy")
    assert code == 0, err
    assert "2 of 2 recorded, 1 not scored" in out
    assert "FILE" in refused(capsys, "screen", "--data", "toy")
    if not torch.cuda.is_available():
        assert "no GPU" in refused(capsys, "screen", "--random", "3", "--data", "toy", "--device", "cuda")
    assert "cannot read" in refused(capsys, "screen", "nothing.txt", "--data", "toy")
    (home / "empty.txt").write_text("# nothing\n", encoding="utf-8")
    assert "no expressions" in refused(capsys, "screen", "empty.txt", "--data", "toy")
    assert "cannot change" in refused(capsys, "screen", "--random", "3", "--resume", found["run"])
    assert as_json(capsys, "screen", "--resume", found["run"])["attempts"] == 20


def test_a_screening_by_way_of_a_device_records_the_same(study: Study, tmp_path: Path) -> None:
    texts = [*draw_texts(study, 12, 5), "close +", "ts_kama(close, 10) / close", "cs_rank(close)"]
    said: list[str] = []
    figures = []
    for folder, options in (("processor", {}), ("device", {"device": "cpu", "say": said.append})):
        screening = start(study, tmp_path / folder, texts, keep=1, **options)
        assert run_screening(screening) == "finished"
        attempts = sorted(screening.knowledge.attempts(run_id=screening.run.id), key=lambda a: a.slot)
        figures.append(
            [
                (a.slot, a.stage, a.code, a.evaluation and f"{a.evaluation.scorecard.train.sharpe_gross:.6f}")
                for a in attempts
            ]
        )
    assert figures[0] == figures[1]
    # The adaptive average is not one of the device's operators.
    assert "on the processor" in said[0] and " 0 on" not in said[0] and "0 of" not in said[0][:4]


@pytest.mark.parametrize("device", [None, "cpu"])
def test_a_factor_with_values_for_too_few_assets_is_refused_as_eval_refuses_it(
    study: Study, tmp_path: Path, device: str | None
) -> None:
    text = "where(cs_rank(ts_mean(returns, 5)) > 0.4, ts_mean(returns, 5), nan)"
    expression = read_expression(text, study)
    assert isinstance(expression, Expression)
    in_full = backtest_expression(expression, study)
    assert isinstance(in_full, Rejection)
    screening = start(study, tmp_path, [text, "ts_mean(returns, 5)"], device=device, keep=0)
    run_screening(screening)
    few, wide = screening.knowledge.attempts(run_id=screening.run.id)
    assert (few.stage, few.code, few.message) == ("backtest", "small_universe", in_full.with_hint())
    assert "at most 8 of 12 assets" in in_full.message
    assert wide.evaluation is not None
    # What cannot be ranked could not have been lucky.
    assert screening.knowledge.trials(study.dataset).evaluated == 1
    assert first_failed(few) == "values"
