"""How the mock writer composes and changes expressions: a grammar of common ideas, and mutations of the known."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from factors.printing import to_text
from factors.resolve import kind_of
from factors.tree import Call, Field, Node, Number
from factors.variants import Path, nodes_below, replaced, windows

WINDOWS = (3, 5, 8, 12, 20, 24, 36, 48, 72, 96, 120, 168)
PRICES = ("close", "open", "high", "low", "vwap")
SERIES = ("close", "volume", "amount", "returns", "high", "low")
_SMOOTHERS = ("ts_mean", "ts_decay_linear", "ts_ema", "ts_median")
# Operators that take the place of each other.
_SWAPS = (
    ("ts_mean", "ts_median", "ts_ema", "ts_decay_linear", "ts_sum"),
    ("ts_max", "ts_min"),
    ("ts_std", "ts_mad"),
    ("cs_rank", "cs_zscore"),
    ("ts_rank", "ts_zscore", "ts_scale"),
    ("ts_returns", "ts_delta"),
    ("ts_corr", "ts_beta"),
)
Rng = np.random.Generator


def pick(rng: Rng, choices: tuple[str, ...] | list[str]) -> str:
    """Choose one."""
    return choices[int(rng.integers(len(choices)))]


def draw_window(rng: Rng, least: int = 3, most: int = 168) -> int:
    """Choose a usual window within bounds."""
    fitting = [w for w in WINDOWS if least <= w <= most]
    return int(fitting[int(rng.integers(len(fitting)))]) if fitting else least


def compose(rng: Rng, longest: int, theme: str = "", smooth: float = 0.35) -> tuple[str, str]:
    """Return an idea's name, of a theme if it knows one of it, and an expression for it, smoothed that often."""
    idea = pick(rng, list(_OF_THEME.get(theme, tuple(_IDEAS))))
    body = {**_IDEAS, **_OF_FIELDS}[idea](rng, longest)
    if rng.random() < smooth:
        body = f"{pick(rng, list(_SMOOTHERS))}({body}, {draw_window(rng, 5, min(48, longest // 2))})"
    if rng.random() < 0.6:
        body = f"{pick(rng, ['cs_rank', 'cs_zscore'])}({body})"
    return idea, f"-1 * {body}" if rng.random() < 0.4 else body


def _pair(rng: Rng, longest: int) -> tuple[int, int]:
    fast = draw_window(rng, 3, max(3, min(48, longest // 3)))
    return fast, draw_window(rng, min(2 * fast, longest), longest)


def _gap(rng: Rng, longest: int) -> str:
    fast, slow = _pair(rng, longest)
    field, smooth = pick(rng, list(SERIES[:3])), pick(rng, ["ts_mean", "ts_ema", "ts_median"])
    return f"{smooth}({field}, {fast}) / {smooth}({field}, {slow})"


def _surprise(rng: Rng, longest: int) -> str:
    field = pick(rng, ["volume", "amount", "close"])
    return f"{field} / ts_mean({field}, {draw_window(rng, 5, longest)})"


_IDEAS: Mapping[str, Callable[[Rng, int], str]] = {
    "momentum": lambda r, m: f"ts_returns({pick(r, ['close', 'vwap'])}, {draw_window(r, 3, m)})",
    "reversal": lambda r, m: f"-ts_zscore({pick(r, list(PRICES))}, {draw_window(r, 5, m)})",
    "fast against slow": _gap,
    "surprise": _surprise,
    "volatility": lambda r, m: f"ts_std(returns, {draw_window(r, 5, m)})",
    "volatility change": lambda r, m: "ts_std(returns, {}) / ts_std(returns, {})".format(*_pair(r, m)),
    "price and volume": lambda r, m: (
        f"ts_corr({pick(r, ['close', 'returns', 'high'])}, {pick(r, ['volume', 'amount'])}, {draw_window(r, 8, m)})"
    ),
    "place in the range": lambda r, m: f"ts_scale({pick(r, list(SERIES[:3]))}, {draw_window(r, 5, m)})",
    "trend": lambda r, m: (
        f"ts_slope({pick(r, ['close', 'volume'])}, {draw_window(r, 5, m)}) / {pick(r, ['close', 'open'])}"
    ),
    "risk-adjusted return": lambda r, m: f"ts_ir(returns, {draw_window(r, 8, m)})",
    "candle": lambda r, _m: "(close - open) / (high - low + 0.0001 * close)",
    "relative rank": lambda r, m: f"ts_rank({pick(r, list(SERIES))}, {draw_window(r, 5, m)})",
    "skewness": lambda r, m: f"ts_skew(returns, {draw_window(r, 12, m)})",
}

# Ideas that need a field which not every panel has: written to their theme alone.
_OF_FIELDS: Mapping[str, Callable[[Rng, int], str]] = {
    "what holders pay": lambda r, m: f"-ts_mean(funding, {draw_window(r, 8, m)})",
    "contracts opened": lambda r, m: f"ts_returns(open_interest, {draw_window(r, 5, m)})",
    "what is written": lambda r, m: f"ts_mean(sentiment, {draw_window(r, 5, m)})",
    "a change of tone": lambda r, m: f"ts_delta(sentiment, {draw_window(r, 5, m)})",
}


_OF_THEME: Mapping[str, tuple[str, ...]] = {
    "funding": ("what holders pay",),
    "open interest": ("contracts opened",),
    "sentiment": ("what is written", "a change of tone"),
    "momentum": ("momentum", "risk-adjusted return", "trend"),
    "reversal": ("reversal", "relative rank"),
    "volatility": ("volatility", "volatility change", "skewness"),
    "volume": ("fast against slow", "surprise", "price and volume"),
    "liquidity": ("surprise", "price and volume"),
    "candle": ("candle", "place in the range"),
}


def mutate(root: Node, rng: Rng, longest: int, *, negate: bool) -> tuple[str, str]:
    """Return what was changed, and the text of a changed factor."""
    changes: list[tuple[str, Callable[[], Node]]] = [
        ("another window", lambda: _change(root, windows(root), rng, lambda n: _new_window(n, rng, longest))),
        ("another window", lambda: _change(root, windows(root), rng, lambda n: _new_window(n, rng, longest))),
        ("another field", lambda: _change(root, _fields(root), rng, lambda _n: Field(pick(rng, list(SERIES))))),
        ("a kindred operator", lambda: _change(root, _swappable(root), rng, lambda n: _swapped(n, rng))),
        ("smoothed", lambda: Call(pick(rng, list(_SMOOTHERS)), (root, Number(float(draw_window(rng, 5, 24)))))),
        ("ranked", lambda: Call("cs_rank", (root,))),
    ]
    what, change = changes[int(rng.integers(len(changes)))]
    changed = change()
    if negate:
        changed = Call("neg", (changed,))
    return what, to_text(changed)


def refine(root: Node, respect: str, rng: Rng, longest: int) -> str:
    """Return the text of a factor that is better in one respect, if that is what it lacks."""
    text, bars = to_text(root), draw_window(rng, 12, min(72, longest))
    ranked = text if _is_rank(root) else f"cs_rank({text})"
    match respect:
        case "confirm":
            return f"{ranked} * cs_rank(volume / ts_mean(volume, {bars}))"
        case "scale":
            return f"({text}) / ts_std(returns, {bars})"
        case "smooth":
            return f"{pick(rng, list(_SMOOTHERS))}({text}, {draw_window(rng, 5, 48)})"
        case "normalise":
            return f"{pick(rng, ['ts_zscore', 'ts_rank'])}({text}, {draw_window(rng, 24, longest)})"
        case "neutralise":
            return f"group_neutralize({text}, {pick(rng, ['volatility_group', 'liquidity_group', 'beta_group'])})"
        case "condition":
            short, long = _pair(rng, longest)
            return f"ts_std(returns, {short}) < ts_std(returns, {long}) ? ({text}) : 0 * ({text})"
    return f"cs_winsorize({text}, 2)"


def part_of(root: Node, rng: Rng) -> str:
    """Return one of the larger parts of a factor, ranked: a simpler factor."""
    parts = [node for _, node, kind in nodes_below(root) if isinstance(node, Call) and kind not in ("window", "group")]
    return to_text(Call("cs_rank", (parts[int(rng.integers(min(2, len(parts))))],))) if parts else to_text(root)


def cross(one: Node, other: Node, rng: Rng) -> str:
    """Return the sum or product of two factors' ranks."""
    sides = [node if _is_rank(node) else Call("cs_rank", (node,)) for node in (one, other)]
    return to_text(Call("add" if rng.random() < 0.7 else "mul", (sides[0], sides[1])))


def _is_rank(node: Node) -> bool:
    return isinstance(node, Call) and node.op == "cs_rank"


def _fields(root: Node) -> list[tuple[Path, Node]]:
    return [(p, n) for p, n, _ in nodes_below(root) if isinstance(n, Field) and kind_of(n) == "panel"]


def _swappable(root: Node) -> list[tuple[Path, Node]]:
    nodes: list[tuple[Path, Node]] = [((), root), *((p, n) for p, n, _ in nodes_below(root))]
    return [(p, n) for p, n in nodes if isinstance(n, Call) and any(n.op in group for group in _SWAPS)]


def _swapped(node: Node, rng: Rng) -> Node:
    assert isinstance(node, Call)
    group = next(group for group in _SWAPS if node.op in group)
    return Call(pick(rng, [op for op in group if op != node.op]), node.args)


def _new_window(node: Node, rng: Rng, longest: int) -> Node:
    assert isinstance(node, Number)
    near = float(np.clip(round(node.value * float(np.exp(rng.normal(0.0, 0.5)))), 3, longest))
    return Number(float(draw_window(rng, 3, longest)) if rng.random() < 0.3 else near)


def _change(root: Node, places: list[tuple[Path, Node]], rng: Rng, new: Callable[[Node], Node]) -> Node:
    if not places:
        return Call("cs_rank", (root,))
    path, node = places[int(rng.integers(len(places)))]
    return replaced(root, path, new(node))
