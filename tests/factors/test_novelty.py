"""What a factor shares with those known, seen from its tree."""

from __future__ import annotations

import numpy as np
import pytest

from backtest.trading_rules import BacktestSpec
from backtest.weights import target_weights
from factors.drawing import Drawer
from factors.engine import evaluate
from factors.measure import measure
from factors.overlap import SMALLEST, fingerprint, ranking_core
from factors.parse import parse
from factors.printing import to_text
from factors.tree import Call, Expression, Node
from tests.helpers import draw_expressions, random_panel


def read(text: str) -> Expression:
    expression = parse(text)
    assert isinstance(expression, Expression), expression
    return expression


@pytest.mark.parametrize(
    ("text", "sign", "core"),
    [
        ("cs_rank(close)", 1, "close"),
        ("-2 * cs_zscore(ts_mean(close, 5)) + 3", -1, "ts_mean(close, 5)"),
        ("cs_scale(cs_demean(ts_sum(volume, 5)))", 1, "ts_mean(volume, 5)"),
        ("1 - cs_rank(close / open)", -1, "close / open"),
        ("ts_rank(close, 5)", 1, "ts_rank(close, 5)"),
        ("cs_rank(close) + cs_rank(open)", 1, "cs_rank(close) + cs_rank(open)"),
        ("(open - close) / open", -1, "(close - open) / open"),
        ("2 * cs_winsorize(cs_zscore(volume), 3) + 1", 1, "volume"),
        ("cs_winsorize(volume, 0.5)", 1, "cs_winsorize(volume, 0.5)"),
        ("-tanh(cs_zscore(volume))", -1, "volume"),
        ("tanh(volume)", 1, "tanh(volume)"),
        ("signed_power(close - open, 0.5)", 1, "close - open"),
    ],
)
def test_the_ranking_core_drops_what_keeps_order(text: str, sign: int, core: str) -> None:
    found_sign, found = ranking_core(read(text).root)
    assert (found_sign, to_text(found)) in {(sign, core), (-sign, to_text(read(f"-({core})").root))}


def test_equal_cores_put_assets_in_one_order() -> None:
    panel = random_panel(80, 14)
    rng = np.random.default_rng(4)
    wrapped = 0
    for expression in draw_expressions(rng, 120, 3):
        sign, core = ranking_core(expression.root)
        if core == expression.root:
            continue
        values = evaluate(expression, panel).values
        bare = sign * evaluate(Expression(core, to_text(core), "", 0, 1, 1, frozenset()), panel).values
        known = np.isfinite(values) & np.isfinite(bare)
        # What a winsorised factor cuts to one value is tied there, and ordered in the bare one: such bars say nothing.
        kept = [len(np.unique(v[k])) for v, k in zip(values, known, strict=True)]
        had = [len(np.unique(v[k])) for v, k in zip(bare, known, strict=True)]
        known &= (np.array(kept) == np.array(had))[:, None]
        weights = [target_weights(np.where(known, v, np.nan), BacktestSpec()) for v in (values, bare)]
        np.testing.assert_allclose(weights[0], weights[1], atol=1e-9, err_msg=expression.text)
        wrapped += 1
    assert wrapped > 10


def test_subtrees_are_all_there_largest_first() -> None:
    expression = read("cs_rank(ts_mean(close, 20) / ts_std(close, 20)) * ts_corr(close, volume, 10)")
    parts = fingerprint(expression.root).subtrees
    assert parts[0].text == expression.text
    assert [part.size for part in parts] == sorted((part.size for part in parts), reverse=True)
    assert {part.text for part in parts} >= {"ts_corr(close, volume, 10)", "ts_ir(close, 20)"}
    assert all(part.size >= SMALLEST for part in parts)


def subtrees(node: Node) -> dict[str, int]:
    found = {to_text(node): measure(node).size} if isinstance(node, Call) and measure(node).size >= SMALLEST else {}
    if isinstance(node, Call):
        for arg in node.args:
            found |= subtrees(arg)
    return found


def test_hashes_find_the_largest_common_subtree() -> None:
    """Against a search pair by pair."""
    drawer = Drawer(np.random.default_rng(7), operators=["ts_mean", "add", "cs_rank", "mul"], longest=3)
    roots = [read(drawer.expression_text(4)).root for _ in range(60)]
    for one, other in zip(roots[::2], roots[1::2], strict=True):
        common = subtrees(one).keys() & subtrees(other).keys()
        wanted = max((subtrees(one)[text] for text in common), default=0)
        hashes = {part.hash for part in fingerprint(other).subtrees}
        found = next((part.size for part in fingerprint(one).subtrees if part.hash in hashes), 0)
        assert found == wanted


def test_shapes_ignore_numbers_only() -> None:
    texts = ("ts_mean(close, 5)", "ts_mean(close, 9)", "ts_mean(open, 5)")
    one, other, third = (fingerprint(read(text).root).shape for text in texts)
    assert one == other != third
