"""A run's factors evaluated together: every scored one counts, and the figures are those of their returns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import false_discovery_control

from agent.evidence.run_luck import evaluate_run
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.run_config import RunConfig
from agent.mining.screening import Screening, draw_texts, run_screening
from agent.study.settings import Settings
from agent.study.study import Study, open_study, read_expression
from backtest import metrics
from backtest.mean_test import mean_test, one_sided_p
from backtest.run import run_backtest
from backtest.selection import choose_forward
from factors.engine import evaluate
from factors.tree import Expression
from market.errors import InputError, Rejection
from market.split import walk_forward
from market.synthetic.demo_market import SynthSpec, make_market
from tests.agent.commands import as_json, refused, run
from tests.helpers import overfitting_of


def test_luck_is_computed_from_the_returns_of_all_scored_factors(tmp_path: Path) -> None:
    market = make_market(SynthSpec(bars=2000)).panel
    # These shares draw no factor that a backtest refuses for ranking too few assets, which a quick score lets pass.
    study: Study = open_study(market, Settings.model_validate({"split": {"train": 0.7, "validation": 0.15}}))
    with KnowledgeBase.open(tmp_path / "knowledge.db") as knowledge:
        knowledge.register_dataset(market)
        record = knowledge.create_run(study.dataset, RunConfig(kind="screen"), 0)
        texts = [*draw_texts(study, 25, 4), "close +"]
        run_screening(Screening(study, knowledge, record, texts, keep=2))
        attempts = knowledge.attempts(run_id=record.id)
        with pytest.raises(InputError, match="no scored factors"):
            evaluate_run([], study)
    found = evaluate_run(attempts, study)
    train = study.split.train
    series = []
    for factor in found.factors:
        expression = read_expression(factor.text, study, dialect="native")
        assert isinstance(expression, Expression)
        plain = run_backtest(evaluate(expression, study.panel).values, study.panel, study.spec)
        if isinstance(plain, Rejection):
            # It ranks nothing, holds nothing and earns nothing.
            series.append(np.zeros(found.bars))
            assert np.isnan(factor.sharpe_net)
            continue
        series.append(plain.net[train.start : train.stop - 2])
        assert factor.sharpe_net == pytest.approx(metrics.sharpe(series[-1], study.panel.bars_per_year), nan_ok=True)
    assert found.tried == len(found.factors) == sum(a.evaluation is not None for a in attempts)
    p_values = np.array([factor.p_value for factor in found.factors])
    known = np.isfinite(p_values)
    q = np.array([factor.q_value for factor in found.factors])
    # What a factor earns is tested as admission tests it, on train alone.
    for factor, column in zip(found.factors, series, strict=True):
        assert factor.earns_z == pytest.approx(mean_test(column).z, nan_ok=True, abs=1e-6)
        assert factor.p_value == pytest.approx(one_sided_p(factor.earns_z), nan_ok=True)
    predicts, earns = found.tests
    assert (predicts.test, earns.test) == ("predicts", "earns")
    scores = np.array([factor.earns_z for factor in found.factors])
    assert earns.largest == np.nanmax(scores)
    assert earns.alone == (scores >= ndtri(0.95)).sum() >= earns.passed
    assert earns.by_luck == pytest.approx(0.05 * np.isfinite(scores).sum())
    assert ndtri(0.95) < earns.hurdle < ndtri(1 - 0.05 / len(scores)) + 0.2
    np.testing.assert_allclose(q[known], false_discovery_control(p_values[known]))
    assert found.chosen is not None
    whole = overfitting_of(np.stack(series, axis=1))
    assert found.chosen.probability == pytest.approx(whole.probability)
    assert found.chosen.loss == pytest.approx(whole.loss)
    # Choosing among them, and testing them together, is of the same returns in the same order.
    of = {factor.factor_id: column for factor, column in zip(found.factors, series, strict=True)}
    nets = np.stack([of[name] for name in found.ids], axis=1)
    year = np.sqrt(study.panel.bars_per_year)
    forward = choose_forward(nets, walk_forward(len(nets), folds=8, embargo=3)).returns
    assert found.forward == pytest.approx(metrics.sharpe(forward, 1.0) * year, rel=1e-4)
    assert len(found.paths) == 9
    assert found.superior is not None
    assert 0 <= found.superior.p_value <= 1
    assert found.tested == sum(column.std() > 0 for column in series)


def test_luck_from_the_command_line(
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    screened = as_json(capsys, "screen", "--random", "12", "--keep", "1", "--data", "toy")
    found = as_json(capsys, "kb", "luck", screened["run"])
    assert found["tried"] == len(found["factors"])
    assert found["chosen"]["splits"] == 12_870
    code, out, err = run(capsys, "kb", "luck", screened["run"], "--top", "3")
    assert code == 0, err
    assert "PBO" in out
    assert "no run" in refused(capsys, "kb", "luck", "nothing")
