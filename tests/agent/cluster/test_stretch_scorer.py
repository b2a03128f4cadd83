"""Quick scores on data stored by field are those of data in memory, to the last bit; what is stopped goes on."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import astuple
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.cluster import stretch_scorer
from agent.cluster.local_scorers import ThreadScorer
from agent.cluster.quick_work import QuickOutcome, QuickWork, Scored
from agent.cluster.stretch_scorer import StretchScorer, StretchWork
from backtest.costs import Costs
from backtest.target import prepare_target
from backtest.trading_rules import BacktestSpec
from factors.drawing import Drawer
from factors.parse import parse
from factors.stretch_pass import PassLimits
from factors.tree import Expression
from market.errors import InputError
from market.panel import Panel
from market.panel_folder import save_on_disk
from market.panel_on_disk import PanelOnDisk, open_on_disk

_BARS, _ASSETS, _TRAIN = 700, 14, 560
_LIMITS = PassLimits(60.0, 4.0)


def _never() -> bool:
    return False


@lru_cache(maxsize=1)
def _made_panel() -> Panel:
    """Return hourly bars with holes, late listings, a halt, funding and volumes of nil."""
    rng = np.random.default_rng(5)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, (_BARS, _ASSETS)), axis=0))
    opened = np.vstack([close[:1], close[:-1]]) * (1 + rng.normal(0, 1e-3, close.shape))
    volume = rng.gamma(2.0, 100.0, close.shape)
    volume[rng.random(close.shape) < 0.01] = 0.0
    fields = {"open": opened, "high": np.maximum(opened, close), "low": np.minimum(opened, close), "close": close}
    fields |= {"volume": volume, "funding": np.where(np.arange(_BARS)[:, None] % 8 == 0, 1e-4, 0.0) * np.ones(_ASSETS)}
    gone = rng.random(close.shape) < 0.01
    gone[:90, 0] = gone[200:330, 1] = True
    fields = {name: np.where(gone, np.nan, values) for name, values in fields.items()}
    times = np.datetime64("2022-12-20", "ns") + np.arange(_BARS) * np.timedelta64(1, "h")
    names = tuple(f"A{k:02d}" for k in range(_ASSETS))
    return Panel(times, names, fields, ~gone, np.timedelta64(1, "h"))


@pytest.fixture(scope="module")
def panel() -> Panel:
    """Return the panel in memory."""
    return _made_panel()


@pytest.fixture(scope="module")
def on_disk(panel: Panel, tmp_path_factory: pytest.TempPathFactory) -> PanelOnDisk:
    """Return the same panel, stored by field."""
    path = tmp_path_factory.mktemp("data") / "x.panel"
    save_on_disk(panel, path)
    return open_on_disk(path)


def _read(text: str, panel: Panel) -> Expression:
    found = parse(text, fields=tuple(panel.fields), bar=panel.bar)
    assert isinstance(found, Expression), found
    return found


def _drawn(panel: Panel, seed: int, count: int) -> list[Expression]:
    drawer = Drawer(np.random.default_rng(seed), fields=tuple(panel.fields), longest=60)
    texts = [drawer.expression_text(4) for _ in range(count)]
    found = [parse(text, fields=tuple(panel.fields), bar=panel.bar) for text in texts]
    return list({one.id: one for one in found if isinstance(one, Expression)}.values())


def _same(one: Scored, other: Scored) -> bool:
    a, b = one[1], other[1]
    if not isinstance(a, QuickOutcome) or not isinstance(b, QuickOutcome):
        return a == b
    figures = np.array_equal(np.array(astuple(a.quick)), np.array(astuple(b.quick)), equal_nan=True)
    return one[0].id == other[0].id and figures and np.array_equal(a.fingerprint, b.fingerprint)


def _in_memory(expressions: list[Expression], panel: Panel, spec: BacktestSpec) -> list[Scored]:
    work = QuickWork(panel, prepare_target(panel, spec), slice(0, _TRAIN), 60.0, 4.0)
    return list(ThreadScorer(1).run(expressions, work, _never))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return what sets how many bars a stretch has."""
    return lambda rows: monkeypatch.setattr(StretchScorer, "rows", lambda _self, _panel: rows)


_SPECS = (
    BacktestSpec(),
    BacktestSpec(fill="close", holding=4, rebalance=3, volatility_scaled=True),
    BacktestSpec(costs=Costs(capital=1e6, impact=0.5)),
)


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.sampled_from([23, 64, 257, 1000]), spec=st.sampled_from(_SPECS))
def test_scores_in_passes_are_those_in_memory_to_the_last_bit(seed: int, rows: int, spec: BacktestSpec) -> None:
    panel = _made_panel()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setattr(StretchScorer, "rows", lambda _self, _panel: rows)
        save_on_disk(panel, Path(folder) / "x.panel")
        work = StretchWork(open_on_disk(Path(folder) / "x.panel"), spec, slice(0, _TRAIN), _LIMITS)
        expressions = _drawn(panel, seed, 6)
        streamed = list(StretchScorer(1, 0.5, Path(folder), "r1").run(expressions, work, _never))
        expected = _in_memory(expressions, panel, spec)
    assert len(streamed) == len(expected) == len(expressions)
    assert all(map(_same, streamed, expected))


class _StopAt:
    """Says stop once it was asked a number of times."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_a_stopped_pass_goes_on_at_its_bar_and_gives_the_same_bits(
    panel: Panel, on_disk: PanelOnDisk, tmp_path: Path, short: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    short(100)
    expressions = _drawn(panel, 11, 10) + [_read("ts_ema(close, 20) / ts_rank(volume, 40)", panel)]
    work = StretchWork(on_disk, BacktestSpec(), slice(0, _TRAIN), _LIMITS)
    assert list(StretchScorer(2, 0.5, tmp_path, "r1").run(expressions, work, _StopAt(2))) == []
    begun: list[int] = []
    true_stretches = stretch_scorer.stretches

    def watched(bars: int, size: int, begin: int = 0) -> Iterator[tuple[int, int]]:
        begun.append(begin)
        return true_stretches(bars, size, begin)

    monkeypatch.setattr(stretch_scorer, "stretches", watched)
    resumed = list(StretchScorer(2, 0.5, tmp_path, "r1").run(expressions, work, _never))
    assert begun == [300], "three stretches were done"
    assert all(map(_same, resumed, _in_memory(expressions, panel, BacktestSpec())))
    assert list(StretchScorer(2, 0.5, tmp_path, "r1").run(expressions, work, _never)), "finished passes are kept"
    assert begun == [300], "nothing is evaluated again"


def test_a_killed_pass_goes_on_from_what_was_written_last(
    panel: Panel, on_disk: PanelOnDisk, tmp_path: Path, short: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    short(100)
    expressions = _drawn(panel, 12, 6)
    work = StretchWork(on_disk, BacktestSpec(), slice(0, _TRAIN), _LIMITS)

    def killed(_self: PanelOnDisk) -> None:
        killed.left -= 1  # type: ignore[attr-defined]
        if killed.left < 0:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    killed.left = 3  # type: ignore[attr-defined]
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(PanelOnDisk, "refuse_changes", killed)
        list(StretchScorer(1, 0.5, tmp_path, "r1", keep_every=-1.0).run(expressions, work, _never))
    resumed = list(StretchScorer(1, 0.5, tmp_path, "r1").run(expressions, work, _never))
    assert all(map(_same, resumed, _in_memory(expressions, panel, BacktestSpec())))


def test_batches_are_as_large_as_the_memory_allows(
    panel: Panel, on_disk: PanelOnDisk, tmp_path: Path, short: Callable[[int], None]
) -> None:
    short(1000)
    expressions, said = _drawn(panel, 13, 9), list[str]()
    work = StretchWork(on_disk, BacktestSpec(), slice(0, _TRAIN), _LIMITS)
    scorer = StretchScorer(1, 0.001, tmp_path, "r1", say=said.append)
    assert all(map(_same, scorer.run(expressions, work, _never), _in_memory(expressions, panel, BacktestSpec())))
    assert len(said) > 3, "little memory: many passes"
    scorer.recorded()
    assert not list(tmp_path.iterdir()), "what is recorded is not kept twice"


def test_rules_that_need_the_whole_signal_are_refused_plainly(on_disk: PanelOnDisk, tmp_path: Path) -> None:
    work = StretchWork(on_disk, BacktestSpec(weighting="timeseries"), slice(0, _TRAIN), _LIMITS)
    with pytest.raises(InputError, match="scored bar by bar: a time series"):
        list(StretchScorer(1, 0.5, tmp_path, "r1").run([], work, _never))
