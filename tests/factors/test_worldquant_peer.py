"""The WorldQuant alphas against an independent implementation, KunQuant's compiled ones.

KunQuant departs from the paper in places; each departure is written here, applied to OUR reading of the paper's text,
and then the values must agree: what is left unexplained is nothing. The alphas that rank a tied correlation (the
correlation of few ranks takes few values) are compared by the correlation of rows: there rounding decides the peer's
order, and ours takes values within 1e-12 for equal.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from factors.canonical import canonical
from factors.corpora import read_corpus
from factors.engine import evaluate
from factors.parse import parse
from factors.tree import Call, Expression, Node
from market.panel import FloatArray, Panel
from tests.helpers import make_panel

FIELDS = ("open", "high", "low", "close", "volume", "vwap", "amount", "returns")
BARS, ASSETS, WARM_UP = 640, 64, 420
# Where the peer has another formula than the paper.
PEERS_OWN = {
    1: "rank(Ts_ArgMax(SignedPower(((returns < 0) ? stddev(returns, 20) : close), 2.), 5))",
    10: "((0 < ts_min(delta(close, 1), 4)) ? delta(close, 1) : ((ts_max(delta(close, 1), 4) < 0) ? delta(close, 1) : "
        "(-1 * delta(close, 1))))",
    29: "(min(rank(rank(scale(log(sum(rank(rank((-1 * rank(delta((close - 1), 5))))), 2))))), 5) + "
        "ts_rank(delay((-1 * returns), 6), 5))",
    32: "(scale((sum(close, 7) / 49 - close)) + (20 * scale(correlation(vwap, delay(close, 5), 230))))",
    36: "(((((2.21 * rank(correlation((close - open), delay(volume, 1), 15))) + (0.7 * rank((open - close)))) + (0.73"
        " * rank(Ts_Rank(delay((-1 * returns), 6), 5)))) + rank(abs(correlation(vwap, adv20, 6)))) + (0.6 * rank((((sum"
        "(close, 200) / 40000) - open) * (close - open)))))",
    38: "((-1 * rank(Ts_Rank(open, 10))) * rank((close / open)))",
    47: "((((rank((1 / close)) * volume) / adv20) * ((high * rank((high - close))) / (sum(high, 5) / 25))) - rank((vwap"
        " - delay(vwap, 5))))",
    72: "((rank(decay_linear(correlation(((high + low) / 2), adv40, 8.93345), 10.1519)) + 0.0001) / (rank(decay_linear("
        "correlation(Ts_Rank(vwap, 3.72469), Ts_Rank(volume, 18.5188), 6.86671), 2.95011)) + 0.0001))",
}  # fmt: skip
TIED = {13, 15, 16, 27, 29, 31, 45, 50, 74, 75, 78, 81, 85, 88, 92, 94, 98}
# The correlation of two bars is 1 or -1: half of the assets tie, and the peer puts them in the order of its rounding.
LEAST_AGREEMENT = {45: 0.95}
# Where a window stands still its correlation is missing here and 0 there (SetInfOrNanToValue), and goes on from there.
STANDS_STILL = {26, 68, 96}


def noise_panel() -> Panel:
    """Bars without memory: no rank stands still, so no correlation is of a constant."""
    rng = np.random.default_rng(8)
    shape = (BARS, ASSETS)
    close = 50 * np.exp(rng.normal(0, 0.1, shape))
    opened = close * np.exp(rng.normal(0, 0.05, shape))
    high = np.maximum(opened, close) * np.exp(np.abs(rng.normal(0, 0.02, shape)))
    low = np.minimum(opened, close) * np.exp(-np.abs(rng.normal(0, 0.02, shape)))
    volume = np.exp(rng.normal(8, 1, shape))
    vwap = (high + low + close + 0.3 * opened) / 3.3
    fields = {"open": opened, "high": high, "low": low, "close": close, "volume": volume, "vwap": vwap}
    return make_panel({**fields, "amount": volume * vwap})


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> dict[int, FloatArray]:
    """KunQuant's values of all its alphas on the noise panel."""
    pytest.importorskip("KunQuant", reason="KunQuant has no wheel for this machine")
    from KunQuant.Driver import KunCompilerConfig
    from KunQuant.jit import cfake
    from KunQuant.Op import Builder, Input, Output
    from KunQuant.predefined import Alpha101
    from KunQuant.runner import KunRunner
    from KunQuant.Stage import Function

    names = ("open", "high", "low", "close", "volume", "amount", "vwap")
    builder = Builder()
    with builder:
        data = Alpha101.AllData(**{name: Input(name) for name in names})
        for alpha in Alpha101.all_alpha:
            Output(alpha(data), alpha.__name__)
    config = KunCompilerConfig(dtype="double", input_layout="TS", output_layout="TS", options={"no_fast_stat": True})
    folder = str(tmp_path_factory.mktemp("peer"))
    # It runs once: compiling well would cost more than running fast saves.
    compiler = cfake.CppCompilerConfig(opt_level=1)
    library = cfake.compileit(
        [("alphas", Function(builder.ops), config)], "peer", compiler, tempdir=folder, keep_files=False
    )
    panel = noise_panel()
    inputs = {name: np.ascontiguousarray(panel[name]) for name in names}
    found = KunRunner.runGraph(KunRunner.createSingleThreadExecutor(), library.getModule("alphas"), inputs, 0, BARS)
    return {int(name.removeprefix("alpha")): np.array(values) for name, values in found.items()}


def as_the_peer_reads(text: str) -> Expression:
    """Our reading of a text with the peer's conventions: windows rounded, adv in shares, ts_rank from 1 to d."""
    text = re.sub(r"adv(\d+)", r"(sum(volume, \1) / \1)", text)
    text = re.sub(r", (\d+\.\d+)\)", lambda match: f", {int(float(match[1]) + 0.5)})", text)
    expression = parse(text, fields=FIELDS, dialect="worldquant")
    assert isinstance(expression, Expression), expression
    return replace(expression, root=canonical(_scaled_ranks(expression.root)))


def _scaled_ranks(node: Node) -> Node:
    if not isinstance(node, Call):
        return node
    call = Call(node.op, tuple(_scaled_ranks(arg) for arg in node.args))
    return Call("mul", (call.args[1], call)) if call.op == "ts_rank" else call


def published(shared_corpora: Path) -> dict[int, str]:
    factors = read_corpus(shared_corpora / "worldquant_alpha101.txt")
    return {int(factor.name.split("#")[1]): factor.text for factor in factors}


def test_every_alpha_equals_the_peers_but_for_its_known_departures(
    shared_corpora: Path, peer: dict[int, FloatArray]
) -> None:
    panel = noise_panel()
    texts = published(shared_corpora)
    assert len(peer) >= 82
    wrong = {}
    for number in sorted(peer.keys() - TIED - STANDS_STILL):
        ours = evaluate(as_the_peer_reads(PEERS_OWN.get(number, texts[number])), panel).values[WARM_UP:]
        raw = peer[number][WARM_UP:]
        # Division by 0 is infinite there and missing here; and the peer's powers end where float32 does.
        theirs = np.where(np.isfinite(raw), raw, np.nan)
        beyond = np.isinf(raw) & (np.abs(ours) > np.finfo(np.float32).max)
        spread = np.nan_to_num(np.where(np.abs(theirs) < 1e100, theirs, 0.0)).std(axis=1, keepdims=True)
        same = np.abs(ours - theirs) <= 1e-6 * np.maximum(np.abs(theirs), spread)
        off = ~(same | beyond | (np.isnan(ours) & np.isnan(theirs)))
        if off.any():
            wrong[number] = float(off.mean())
    assert wrong == {}


def test_alphas_of_tied_ranks_agree_row_by_row(shared_corpora: Path, peer: dict[int, FloatArray]) -> None:
    panel = noise_panel()
    texts = published(shared_corpora)
    poor = {}
    for number in sorted(peer.keys() & TIED):
        ours = evaluate(as_the_peer_reads(PEERS_OWN.get(number, texts[number])), panel).values[WARM_UP:]
        theirs = peer[number][WARM_UP:]
        rows = [_correlation(a, b) for a, b in zip(ours, theirs, strict=True)]
        known = [row for row in rows if np.isfinite(row)]
        if not known or not np.median(known) > LEAST_AGREEMENT.get(number, 0.99):
            poor[number] = float(np.median(known)) if known else np.nan
    assert poor == {}


def _correlation(a: FloatArray, b: FloatArray) -> float:
    known = np.isfinite(a) & np.isfinite(b)
    if known.sum() < ASSETS // 2 or np.ptp(a[known]) == 0 or np.ptp(b[known]) == 0:
        return float("nan")
    return float(np.corrcoef(a[known], b[known])[0, 1])
