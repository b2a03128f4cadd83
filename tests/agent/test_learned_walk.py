"""Walk-forward training: what a model may see, what its labels say, and how its predictions become a factor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.run_config import ScoringRules
from agent.learned.channels import CHANNELS, channel_values, given_channels, read_channels
from agent.learned.learning import LearningTask, learn_factor
from agent.learned.protocol import Examples
from agent.learned.rivals import Boosting, LightGbm, Ridge
from agent.learned.sample_windows import Scaling, Windows
from agent.learned.targets import TargetKind, TargetSpec, make_labels, uniqueness
from agent.learned.walk import WalkPlan, check_walk, gather_material, predict_after, walk_folds, walk_panel
from agent.study.learned_fields import factor_path
from agent.study.progress import Progress
from agent.study.scoring import evaluate_expression
from agent.study.settings import Settings
from agent.study.study import attach, backtest_expression, open_study, read_expression
from factors.tree import Expression
from market.errors import InputError, Rejection
from market.panel import FloatArray, Panel
from market.synthetic.demo_market import SynthSpec, make_market
from tests.helpers import make_panel, random_panel

FEW = given_channels(["returns", "log(volume / ts_mean(volume, 20))", "rsi(close, 14)"])
PLAN = WalkPlan(FEW, window=16, target=TargetSpec("return", horizon=3), folds=3, max_windows=1500)


class Spy:
    """A model that remembers what it was shown."""

    kind = "spy"

    def __init__(self) -> None:
        self.seen: list[tuple[Examples, Examples]] = []
        self.asked: list[Windows] = []

    def recipe(self) -> dict[str, object]:
        return {}

    def fit(
        self, train: Examples, calibration: Examples, rng: np.random.Generator, progress: Progress, resume: Path | None
    ) -> Spy:
        self.seen.append((train, calibration))
        return self

    def predict(self, windows: Windows) -> FloatArray:
        self.asked.append(windows)
        return windows.newest()[:, 0].astype(np.float64)

    def facts(self) -> dict[str, object]:
        return {}


# Windows


def test_a_window_ends_at_its_bar_whatever_its_length() -> None:
    rng = np.random.default_rng(0)
    grid = rng.normal(size=(3, 40, 2)).astype(np.float32)
    for length in (1, 2, 5, 39, 40, 41, 100):
        places = Windows(grid, np.array([0, 2, 1]), np.array([0, 39, 7]), length)
        values = places.values()
        assert values.shape == (3, 2, length)
        for row, (asset, bar) in enumerate([(0, 0), (2, 39), (1, 7)]):
            assert np.array_equal(values[row, :, -1], grid[asset, bar])
            known = min(length, bar + 1)
            assert np.array_equal(values[row, :, length - known :], grid[asset, bar + 1 - known : bar + 1].T)
            assert not values[row, :, : length - known].any()


def test_channels_are_normalised_by_training_rows_alone() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(3.0, 2.0, size=(4, 200, 2)).astype(np.float32)
    values[1, 30, 0] = np.nan
    rows = np.zeros((4, 200), dtype=bool)
    rows[:, :100] = True
    later = values.copy()
    later[:, 100:] += 1000.0
    mine, other = Scaling.of(values, rows), Scaling.of(later, rows)
    assert np.array_equal(mine.centre, other.centre)
    assert np.array_equal(mine.width, other.width)
    out = mine.applied(values)
    assert out.shape == (4, 200, 3)
    assert np.isfinite(out).all()
    assert out[1, 30, 0] == 0.0
    assert out[1, 30, 2] == 0.5
    assert abs(float(np.median(out[:, :100, 1]))) < 0.01


def test_a_channel_that_cannot_be_read_is_refused() -> None:
    panel = random_panel(100)
    for text in ("nonsense(close)", "close +", "ts_delay(close, -1)"):
        with pytest.raises(InputError, match="feature"):
            read_channels(given_channels([text]), panel)
    with pytest.raises(InputError, match="twice"):
        read_channels(given_channels(["close / open", "close/open"]), panel)


def test_the_usual_channels_are_free_of_units() -> None:
    panel = random_panel(400, 3)
    scaled = replace(panel, fields={n: v * (7.0 if n != "volume" else 9.0) for n, v in panel.fields.items()})
    mine, theirs = (channel_values(read_channels(CHANNELS, p), p) for p in (panel, scaled))
    assert mine.shape == (3, 400, len(CHANNELS))
    assert np.isfinite(mine[:, 300:]).all()
    np.testing.assert_allclose(mine, theirs, rtol=2e-3, atol=2e-5)


# Labels


def paths(*closes: list[float]) -> Panel:
    close = np.array(closes, dtype=float).T
    opened = np.vstack([close[:1], close[:-1]])
    fields = {"open": opened, "high": np.maximum(opened, close), "low": np.minimum(opened, close), "close": close}
    return make_panel({**fields, "volume": np.ones_like(close)})


def test_barriers_by_hand() -> None:
    wiggle = [100.0 * 1.01 ** (k % 2) for k in range(20)]
    # After row 19: up by a tenth in two steps; down by a tenth at once; nowhere.
    up, down, flat = [*wiggle, 101, 112, 112, 112], [*wiggle, 90, 90, 130, 130], [*wiggle, 101, 101, 101, 101]
    labels = make_labels(paths(up, down, flat), TargetSpec("barrier", horizon=3, width=1.0, volatility=10))
    # A decision at row 19 is filled at the open of 20 (the close of 19), and followed on closes of 20, 21, 22.
    assert labels.values[19].tolist() == [2.0, 0.0, 1.0]
    assert labels.ends[19].tolist() == [21, 20, 22]
    # Rows without three closes ahead, unless they were decided before.
    assert np.isnan(labels.values[-1]).all()


def test_thresholds_and_returns_are_the_backtests_returns_in_deviations() -> None:
    panel = random_panel(300, 12, seed=3)
    spec = TargetSpec("return", horizon=4, volatility=20)
    relative = make_labels(panel, spec, relative=True).values
    known = np.isfinite(relative).all(axis=1) & (np.abs(relative) < 5).all(axis=1)
    returns = panel["close"][1:] / panel["close"][:-1] - 1.0
    centred = returns - returns.mean(axis=1, keepdims=True)
    row = int(np.flatnonzero(known)[50])
    paid = panel["open"][row + 5] / panel["open"][row + 1] - 1.0
    expected = (paid - paid.mean()) / (centred[row - 20 : row].std(axis=0, ddof=1) * 2.0)
    np.testing.assert_allclose(relative[row], expected, rtol=1e-9)
    classes = make_labels(panel, replace(spec, kind="threshold", width=0.5), relative=True).values
    assert np.array_equal(classes[row], 1.0 + (expected > 0.5) - (expected < -0.5))


def test_uniqueness_by_hand() -> None:
    # Labels on bars 1-3, 2-4 and 9-9 of one asset, and 1-3 of another.
    assets, begins, ends = np.array([0, 0, 0, 1]), np.array([0, 1, 8, 0]), np.array([3, 4, 9, 3])
    found = uniqueness(assets, begins, ends)
    np.testing.assert_allclose(found, [(1 + 0.5 + 0.5) / 3, (0.5 + 0.5 + 1) / 3, 1.0, 1.0])


# Folds


@pytest.mark.parametrize("kind", ["return", "barrier"])
def test_no_model_sees_a_label_that_ends_in_its_stretch(kind: TargetKind) -> None:
    plan = replace(PLAN, target=replace(PLAN.target, kind=kind))
    panel = random_panel(900, 12, seed=5)
    spy = Spy()
    found = walk_panel(panel, plan, spy)
    labels = make_labels(panel, plan.target, relative=True)
    assert len(found.folds) == len(spy.seen) == 3
    for fold, (train, calibration), asked in zip(found.folds, spy.seen, spy.asked, strict=True):
        for part in (train, calibration):
            ends = labels.ends[part.windows.bars, part.windows.assets]
            assert ends.max() + plan.window < fold.test.start
        # The calibration examples begin later than any label of those fitted on, by a window.
        ends = labels.ends[train.windows.bars, train.windows.assets]
        assert ends.max() + plan.window <= calibration.windows.bars.min()
        assert asked.bars.min() >= fold.test.start
        assert asked.bars.max() < fold.test.stop
    first = found.folds[0].test.start
    assert np.isnan(found.values[:first]).all()
    assert np.isfinite(found.values[first:]).mean() > 0.95
    # The stretches lie end to end, up to the last bar.
    assert [f.test.stop for f in found.folds] == [*(f.test.start for f in found.folds[1:]), 900]


def test_a_model_refitted_on_a_panel_cut_short_says_the_same() -> None:
    panel = random_panel(700, 12, seed=6, gaps=0.02)
    whole = walk_panel(panel, PLAN, Ridge())
    check_walk(panel, PLAN)
    for number, fold in enumerate(whole.folds):
        cut = walk_panel(panel.rows(0, fold.test.stop), PLAN, Ridge(), folds=whole.folds[: number + 1])
        assert np.array_equal(cut.values, whole.values[: fold.test.stop], equal_nan=True)


def test_what_comes_later_cannot_move_a_prediction() -> None:
    panel = random_panel(700, 12, seed=7)
    whole = walk_panel(panel, PLAN, Ridge())
    middle = whole.folds[1].test.start + 40
    rng = np.random.default_rng(0)
    noise = np.ones(panel.shape)
    noise[middle:] = np.exp(rng.normal(0, 0.2, noise[middle:].shape))
    other = walk_panel(replace(panel, fields={n: v * noise for n, v in panel.fields.items()}), PLAN, Ridge())
    assert np.array_equal(whole.values[:middle], other.values[:middle], equal_nan=True)
    assert not np.array_equal(whole.values[middle:], other.values[middle:], equal_nan=True)


def test_an_asset_without_history_and_nan_windows_differ_from_the_rest() -> None:
    panel = random_panel(700, 13, seed=8)
    late = np.ones(panel.shape, dtype=bool)
    late[:500, 0] = False
    late[:, 1] = False
    fields = {name: np.where(late, values, np.nan) for name, values in panel.fields.items()}
    panel = replace(panel, fields=fields, universe=panel.universe & late)
    values = walk_panel(panel, PLAN, Ridge()).values
    assert np.isnan(values[:500, 0]).all()
    # Half of its channels are known soon after it is listed; its windows are padded.
    assert np.isfinite(values[530:, 0]).all()
    assert np.isnan(values[:, 1]).all()


def test_too_little_data_and_one_class_only_are_refused() -> None:
    with pytest.raises(InputError, match="too few"):
        walk_panel(random_panel(40), PLAN, Ridge())
    with pytest.raises(InputError, match="examples"):
        walk_panel(random_panel(150, 1), PLAN, Ridge())
    lame = replace(PLAN, target=TargetSpec("threshold", horizon=3, width=1e6))
    with pytest.raises(InputError, match="one class only"):
        walk_panel(random_panel(700), lame, Ridge())


# The factor


@pytest.fixture(scope="module")
def market() -> Panel:
    return make_market(SynthSpec(bars=2500)).panel


def lesson(market: Panel, folder: Path, **options: Any) -> LearningTask:
    settings = Settings()
    return LearningTask(
        open_study(market, settings), market, Ridge(), PLAN, folder, "toy", ScoringRules(settings.rules()), **options
    )


def test_a_learned_factor_is_scored_counted_and_used_by_name(market: Panel, tmp_path: Path) -> None:
    with KnowledgeBase.open(str(tmp_path / "k.db")) as knowledge:
        mine = lesson(market, tmp_path, name="toy")
        assert mine.field.startswith("learned_toy_")
        found = learn_factor(mine, knowledge)
        assert knowledge.trials(market.id).count == 1
        assert found.attempt.canonical == mine.field
        assert found.attempt.evaluation is not None
        run = knowledge.get_run(found.attempt.run_id)
        assert (run.status, run.config.kind) == ("finished", "learn")
        assert run.config.recipe == mine.recipe.to_dict()
        # Learned again it is the same trial.
        again = learn_factor(lesson(market, tmp_path, name="toy"), knowledge)
        assert again.known
        assert knowledge.trials(market.id).count == 1
        # In expressions, by name; scored from its first fold on.
        study = open_study(market, Settings(), learned=tmp_path)
        assert study.learned == {mine.field: walk_folds(len(study.panel.times), PLAN)[0].test.start}
        expression = read_expression(f"ts_mean({mine.field}, 5) - cs_rank(volume)", study)
        assert isinstance(expression, Expression)
        scored = evaluate_expression(expression, study, knowledge)
        assert not isinstance(scored, Rejection)
        assert scored.scored.split.train.start == study.learned[mine.field]
        plain = read_expression("cs_rank(volume)", study)
        assert isinstance(plain, Expression)
        assert study.split_of(plain) == study.split


def test_a_learned_factor_belongs_to_its_panel(market: Panel, tmp_path: Path) -> None:
    with KnowledgeBase.open(str(tmp_path / "k.db")) as knowledge:
        field = learn_factor(lesson(market, tmp_path), knowledge).field
    other = open_study(make_market(SynthSpec(bars=2500, seed=8)).panel, Settings(), learned=tmp_path)
    assert not other.learned
    refused = read_expression(field, other)
    assert isinstance(refused, Rejection)
    assert refused.code == "unknown_field"
    study = open_study(market, Settings())
    assert attach(study, tmp_path / "nowhere") is study
    factor_path(tmp_path, field).write_bytes(b"not an archive")
    with pytest.raises(InputError, match="learn it again"):
        open_study(market, Settings(), learned=tmp_path)


def test_its_score_is_that_of_its_values(market: Panel, tmp_path: Path) -> None:
    with KnowledgeBase.open(str(tmp_path / "k.db")) as knowledge:
        field = learn_factor(lesson(market, tmp_path), knowledge).field
    study = open_study(market, Settings(), learned=tmp_path)
    expression = read_expression(field, study)
    assert isinstance(expression, Expression)
    found = backtest_expression(expression, study)
    assert not isinstance(found, Rejection)
    walked = walk_panel(open_study(market, Settings()).panel, PLAN, Ridge())
    assert np.array_equal(found[0].values, walked.values, equal_nan=True)
    card = found[1].scorecard
    assert card.train.start == str(study.panel.times[study.learned[field]])[:16]


def test_channels_stay_apart_from_what_is_learned_from_them(market: Panel) -> None:
    study = open_study(market, Settings())
    other = replace(study, outcomes=random_panel(*study.panel.shape, seed=9))
    mine, theirs = gather_material(study.panel, PLAN), gather_material(study.panel, PLAN, outcomes=other.outcomes)
    assert np.array_equal(mine.channels, theirs.channels, equal_nan=True)
    assert not np.array_equal(mine.labels.values, theirs.labels.values, equal_nan=True)


def test_a_last_model_reads_no_return_after_its_study() -> None:
    pytest.importorskip("sklearn")
    panel = make_market(SynthSpec(bars=900, assets=6)).panel
    plan = replace(PLAN, target=TargetSpec("barrier", horizon=3))
    start = 800
    said, facts = predict_after(panel, plan, Ridge(), start, lambda *_: None)
    assert said.shape == (100, 6)
    assert np.isfinite(said[0]).all()
    assert "skill" not in facts
    # Other prices from the next bar on: what is said at the first bar stays.
    fields = {name: panel[name].copy() for name in panel.fields}
    for name in ("open", "high", "low", "close"):
        fields[name][start + 1 :] *= 1.5
    other, _ = predict_after(panel.with_fields(fields), plan, Ridge(), start, lambda *_: None)
    np.testing.assert_array_equal(other[0], said[0])
    assert not np.array_equal(other[1:], said[1:])


def test_lightgbm_finds_what_boosting_finds() -> None:
    pytest.importorskip("lightgbm")
    panel = make_market(SynthSpec(bars=900, assets=6)).panel
    plan = replace(PLAN, target=TargetSpec("barrier", horizon=3), folds=2)
    walked = walk_panel(panel, plan, LightGbm(rounds=20))
    again = walk_panel(panel, plan, LightGbm(rounds=20, threads=2))
    np.testing.assert_array_equal(walked.values, again.values)
    assert walked.facts[0]["temperature"] > 0
    plain = walk_panel(panel, plan, Boosting(rounds=20))
    both = np.isfinite(walked.values) & np.isfinite(plain.values)
    assert np.corrcoef(walked.values[both], plain.values[both])[0, 1] > 0.3
