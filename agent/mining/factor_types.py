"""Types of factors that one can ask for, and how it is checked that a factor is of one."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from factors.behaviour import Behaviour, behaviour_of
from factors.tree import Call, Expression, Node
from market.errors import InputError

# A rank correlation from which on a factor is said to follow something; on the made-up market, chance is below 0.1.
_FOLLOWS = 0.2
# Where volume is high: what multiplies a past return by a sign of volume has its whole effect there.
_CONFIRMED = 0.5


@dataclass(frozen=True, slots=True)
class FactorType:
    """A type: its name, what it is about, the theme of the loop that it is, and fields of which it has to use one."""

    name: str
    about: str
    theme: str
    fields: tuple[str, ...] = ()


TYPES: Mapping[str, FactorType] = {
    one.name: one
    for one in (
        FactorType("momentum", "higher where prices rose", "momentum"),
        FactorType("mean_reversion", "lower where prices rose", "reversal"),
        FactorType("volatility", "goes by how wild prices were", "volatility"),
        FactorType("volume", "goes by how much is traded", "volume", ("volume", "amount", "adv")),
        FactorType("liquidity", "goes by what it takes to move a price", "liquidity", ("volume", "amount", "adv")),
        FactorType("candle", "goes by where a bar closes in its range", "candle", ("open", "high", "low")),
        FactorType("cross_asset", "goes by what the market or a group of assets does", "cross-asset"),
        FactorType("funding", "goes by what holders of perpetuals pay", "funding", ("funding",)),
        FactorType("open_interest", "goes by how many contracts are open", "open interest", ("open_interest",)),
        FactorType("sentiment", "goes by what is written about an asset", "sentiment", ("sentiment",)),
    )
}
_ALIASES: Mapping[str, str] = {
    "trend": "momentum",
    "trend_following": "momentum",
    "reversal": "mean_reversion",
    "reversion": "mean_reversion",
    "meanreversion": "mean_reversion",
    "contrarian": "mean_reversion",
    "low_volatility": "volatility",
    "carry": "funding",
    "oi": "open_interest",
    "news": "sentiment",
}


def type_named(said: str) -> str:
    """Return the name of a type as people write it (``mean reversion``, ``Trend``); empty: any.

    Raises
    ------
    InputError
        For an unknown one, with what it may be.
    """
    name = re.sub(r"[\s-]+", "_", said.strip().casefold())
    name = _ALIASES.get(name, name)
    if name in ("", "any"):
        return ""
    if name not in TYPES:
        near = difflib.get_close_matches(name, [*TYPES, *_ALIASES], n=1, cutoff=0.6)
        guess = f"did you mean {_ALIASES.get(near[0], near[0])}? " if near else ""
        raise InputError(f"--type {said!r} is no type that can be checked", f"{guess}there are: {', '.join(TYPES)}")
    return name


def type_fault(name: str, expression: Expression) -> str:
    """Return why a factor is not of a type; empty where it is.

    Momentum, mean reversion and volatility are measured: what a factor responds to on a made-up market decides, not how
    it is written. The others are read from its fields and operators.
    """
    kind = TYPES[name]
    if kind.fields:
        stems = {re.sub(r"\d+$", "", used) for used in expression.fields}
        wanted = " or ".join(kind.fields)
        return "" if stems & set(kind.fields) else f"it does not use {wanted}, so it is no {_words(name)} factor"
    if name == "cross_asset":
        return "" if _compares(expression.root, top=True) else "it compares no assets beyond ranking its own result"
    return _measured_fault(name, behaviour_of(expression))


def _measured_fault(name: str, found: Behaviour) -> str:
    if name == "volatility":
        wild = _known(found.wildness)
        if abs(wild) >= _FOLLOWS:
            return ""
        return f"its values do not go with how wild prices were (rank correlation {wild:+.2f} on a made-up market)"
    sign = 1.0 if name == "momentum" else -1.0
    trend, confirmed = sign * _known(found.trend), sign * _known(found.confirmed)
    if trend >= _FOLLOWS or confirmed >= _CONFIRMED:
        return ""
    bars = f"{found.horizon} bar{'s' if found.horizon > 1 else ''}"
    measured = f"rank correlation {sign * trend:+.2f} with the return of the past {bars} on a made-up market"
    if trend <= -_FOLLOWS:
        return f"it is {_words('mean_reversion' if sign > 0 else 'momentum')}, not {_words(name)}: {measured}"
    return f"it is no {_words(name)} factor: its values do not follow past returns ({measured})"


def _known(figure: float) -> float:
    return figure if math.isfinite(figure) else 0.0


def _words(name: str) -> str:
    return name.replace("_", " ")


def _compares(node: Node, *, top: bool) -> bool:
    """Whether a tree compares assets: within groups, with the market, or across assets below its own last step."""
    if not isinstance(node, Call):
        return getattr(node, "name", "").startswith("market_")
    across = node.op.startswith(("group_", "cs_"))
    if node.op.startswith("group_") or (across and not top) or node.op in ("cs_demean", "cs_resid"):
        return True
    return any(_compares(arg, top=top and node.op in ("neg", "mul")) for arg in node.args)
