"""Fusion: numbers ask texts; none, late, unscored and one-sided ones break nothing, and a stop changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agent.learned.fusion import READS, FusionConfig, FusionLearner, FusionNet, Reads
from agent.learned.targets import TargetSpec
from agent.learned.texts_before import TextMemory, remember
from agent.learned.training import NetTraining
from agent.learned.walk import Walked, WalkPlan, walk_panel
from agent.texts.lexicon import score_by_lexicon
from factors.features import Feature
from market.documents import Documents
from market.errors import InputError
from market.panel import Panel
from tests.helpers import random_panel

QUICK = NetTraining(epochs=3, warmup=1, batch=64)
PLAN = WalkPlan(
    features=(Feature("r", "returns"), Feature("v", "log(volume / ts_mean(volume, 10))")),
    window=16, target=TargetSpec("return", 4, volatility=10), folds=2, max_windows=1500, calibration=0.2,
)  # fmt: skip


# What holds of every model holds of a hardly taught one.
BRIEF = replace(PLAN, max_windows=400)


def written(panel: Panel, seed: int = 0, share: float = 0.15, *, honest: bool = False) -> Documents:
    """Good and bad news of random bars and assets; where honest, of what the coming bars will do."""
    rng = np.random.default_rng(seed)
    coming = np.zeros(panel.shape)
    coming[:-5] = panel["close"][5:] / panel["close"][:-5] - 1
    rows, columns = np.nonzero(rng.random(panel.shape) < share)
    good = (coming[rows, columns] > 0) if honest else rng.random(len(rows)) < 0.5
    known = panel.times[rows] + np.timedelta64(20, "m")
    empty = ("",) * len(rows)
    title = tuple("Shares soar on profit" if up else "Shares crash on fraud" for up in good)
    assets = tuple((panel.assets[n],) for n in columns)
    return Documents(known, np.zeros(len(rows), dtype=bool), empty, title, empty, empty, assets)


def memory_of(panel: Panel, texts: Documents, **more: int) -> TextMemory:
    return remember(panel, texts, score_by_lexicon(texts), **more)


def walked(panel: Panel, memory: TextMemory, reads: Reads = "both", plan: WalkPlan = PLAN, **more: Any) -> Walked:
    return walk_panel(panel, plan, FusionLearner(memory, reads, FusionConfig(width=16), QUICK), **more)


def test_a_place_has_the_newest_texts_that_were_known_and_no_later_one() -> None:
    panel = random_panel(80, 4, seed=3)
    texts = written(panel, share=0.2)
    memory = memory_of(panel, texts, count=3, reach=6)
    rng = np.random.default_rng(0)
    assets, bars = rng.integers(0, 4, 200), rng.integers(0, 80, 200)
    found, there = memory.at(assets, bars)
    closes = panel.times + panel.bar
    for place in range(200):
        bar = bars[place]
        own = [
            k for k in range(len(texts))
            if texts.assets[k] == (panel.assets[assets[place]],) and texts.known[k] < closes[bar]
            and texts.known[k] >= (closes[bar - 6] if bar >= 6 else np.datetime64("1970-01-01"))
        ]  # fmt: skip
        newest = own[::-1][:3]
        assert there[place].sum() == len(newest)
        for slot, k in enumerate(newest):
            np.testing.assert_array_equal(found[place, slot, :-1], memory.vectors[k])
        assert not found[place, ~there[place]].any()


@pytest.mark.parametrize("reads", READS)
def test_what_is_masked_or_not_read_changes_nothing(reads: Reads) -> None:
    torch.manual_seed(0)
    net = FusionNet(3, 7, 2, FusionConfig(width=16), reads).eval()
    x, texts = torch.randn(5, 3, 21), torch.randn(5, 4, 7)
    there = torch.tensor([[True] * 4, [True, False, False, False], [False] * 4, [True] * 4, [False] * 4])
    with torch.no_grad():
        out = net(x, texts, there)
        assert torch.isfinite(out).all()
        other = net(x, torch.where(there[:, :, None], texts, torch.full_like(texts, 1e3)), there)
        torch.testing.assert_close(out, other)
        torch.testing.assert_close(net(x, texts * 0 + 9, there), out) if reads == "numbers" else None
        torch.testing.assert_close(net(x * 0 + 9, texts, there), out) if reads == "text" else None
        moved = net(x, texts + 1, there)
        assert torch.equal(moved[2], out[2])
        if reads != "numbers":
            assert not torch.allclose(moved[0], out[0])
        # The newest bar always counts, whatever the window's length.
        if reads != "text":
            for length in (1, 5, 8, 21):
                part = x[:, :, -length:].clone()
                before = net(part, texts, there)
                part[:, :, -1] += 1
                assert not torch.allclose(net(part, texts, there), before)


def test_it_learns_from_texts_what_numbers_do_not_tell() -> None:
    panel = random_panel(700, 12, seed=5)
    memory = memory_of(panel, written(panel, honest=True, share=0.3), reach=4)
    found = {}
    for reads in READS:
        values = walked(panel, memory, reads).values
        coming = np.full(panel.shape, np.nan)
        coming[:-5] = panel["close"][5:] / panel["close"][:-5] - 1
        both = np.isfinite(values) & np.isfinite(coming)
        found[reads] = float(np.corrcoef(values[both], coming[both])[0, 1])
    assert found["text"] > 0.25
    assert found["both"] > 0.2
    assert abs(found["numbers"]) < 0.1


def test_texts_after_a_bar_change_nothing_before_it() -> None:
    panel = random_panel(500, 6, seed=7)
    texts = written(panel)
    fold_end = 320
    cut = texts.until(panel.times[fold_end])
    whole, part = (walked(panel, memory_of(panel, known), plan=BRIEF) for known in (texts, cut))
    first = whole.folds[0].test
    stop = min(first.stop, fold_end)
    assert np.isfinite(whole.values[first.start : stop]).any()
    # The first model is fitted before, and asked of bars before: only what later texts say differs.
    np.testing.assert_array_equal(whole.values[first.start : stop], part.values[first.start : stop])


def test_no_text_at_all_and_an_asset_without_history_are_read_as_such() -> None:
    panel = random_panel(500, 6, seed=9)
    late = {name: values.copy() for name, values in panel.fields.items()}
    for values in late.values():
        values[:400, 2] = np.nan
    panel = Panel(panel.times, panel.assets, late, np.isfinite(late["close"]), panel.bar)
    nothing = memory_of(panel, written(panel).until(np.datetime64("1999-01-01")))
    values = walked(panel, nothing, plan=BRIEF).values
    assert np.isnan(values[:400, 2]).all()
    assert np.isfinite(values[450:, 2]).all()
    only = walked(panel, nothing, "text", BRIEF).values
    assert np.nanstd(only[-50:]) < 1e-6


def test_windows_with_gaps_and_texts_without_scores_leave_finite_predictions() -> None:
    panel = random_panel(700, 12, seed=11, gaps=0.02)
    texts = written(panel)
    scores = score_by_lexicon(texts)
    unscored = np.where(np.arange(len(texts)) % 2 == 0, np.nan, scores.sentiment)
    memory = remember(panel, texts, replace(scores, sentiment=unscored))
    values = walked(panel, memory, plan=BRIEF).values
    said = np.isfinite(values[300:])
    assert said.mean() > 0.3
    assert not said[~panel.universe[300:]].any()


def test_one_class_only_is_refused_in_words() -> None:
    panel = random_panel(500, 6, seed=13)
    plan = replace(PLAN, target=TargetSpec("threshold", 4, width=1e6, volatility=10))
    with pytest.raises(InputError, match="one class only"):
        walked(panel, memory_of(panel, written(panel)), plan=plan)


def test_a_training_that_is_killed_within_an_epoch_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    panel = random_panel(500, 6, seed=15)
    memory = memory_of(panel, written(panel))
    whole = walked(panel, memory)

    class Killed(BaseException):
        pass

    class Mortal(FusionLearner):
        """Dies at its n-th batch, wherever in an epoch that is."""

        left = {"batches": 0}

        def forward(self, model: Any, x: Any, windows: Any, chance: Any) -> Any:
            self.left["batches"] -= 1
            if self.left["batches"] < 0:
                raise Killed
            return super().forward(model, x, windows, chance)

    kept = []
    for batches in (7, 12, 5, 40):
        Mortal.left["batches"] = batches
        with pytest.raises(Killed):
            walk_panel(panel, PLAN, Mortal(memory, "both", FusionConfig(width=16), QUICK), resume=tmp_path)
        kept.append(sorted(path.name for path in tmp_path.iterdir()))
    # An epoch has some batches more than that: each life added something.
    assert any("fold0.training" in names for names in kept)
    again = walked(panel, memory, resume=tmp_path)
    np.testing.assert_array_equal(again.values, whole.values)


def test_recipes_name_the_texts_that_are_read() -> None:
    panel = random_panel(100, 3)
    one, two = (memory_of(panel, written(panel, seed)) for seed in (1, 2))
    assert one.digest != two.digest
    assert FusionLearner(one).recipe() != FusionLearner(two).recipe()
    # The numbers' own do not depend on texts.
    assert FusionLearner(one, "numbers").recipe() == FusionLearner(two, "numbers").recipe()
    assert [FusionLearner(one, reads).kind for reads in READS] == ["fusion", "fusion_numbers", "fusion_text"]
    with pytest.raises(InputError, match="at least 1"):
        memory_of(panel, written(panel), count=0)
