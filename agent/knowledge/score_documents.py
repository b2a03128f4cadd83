"""Scorecards and evidence as they are stored: read once into the frozen types of `backtest.result_types`.

A document keeps the form that it was written in. What a form lacked is read here, and nowhere else: an unknown figure
is NaN, an unknown count 0, an unknown text empty, and a missing table has no rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from backtest.result_types import (
    AssetIC,
    DecayPoint,
    Evidence,
    Figures,
    GateVerdict,
    HorizonIC,
    Profile,
    RuleFigures,
    Scorecard,
    SegmentScore,
    SliceScore,
    Tested,
    Verdict,
)

Document = Mapping[str, object]
NAN = float("nan")
Flat = TypeVar("Flat", SegmentScore, Figures, HorizonIC, SliceScore, AssetIC, Tested, DecayPoint, RuleFigures)
# By the type that a field is declared with.
_UNKNOWN: Mapping[str, object] = {"float": NAN, "int": 0, "str": "", "bool": False}


def _names(kind: type[Any]) -> tuple[tuple[str, object], ...]:
    return tuple((f.name, _UNKNOWN[str(f.type)]) for f in fields(kind))


_FIELDS: Mapping[type[Any], tuple[tuple[str, object], ...]] = {
    kind: _names(kind)
    for kind in (SegmentScore, Figures, HorizonIC, SliceScore, AssetIC, Tested, DecayPoint, RuleFigures)
}


def read_flat(kind: type[Flat], stored: object) -> Flat:
    """Return a stored row of figures as its type; what is no document is read as one that lacks everything."""
    known = stored if isinstance(stored, Mapping) else {}
    read: dict[str, Any] = {name: _value(known.get(name), unknown) for name, unknown in _FIELDS[kind]}
    return kind(**read)


def _value(stored: object, unknown: object) -> object:
    if isinstance(stored, (int, float)) and not isinstance(unknown, str):
        return stored
    if isinstance(stored, str):
        # An infinite capacity is stored as text.
        return stored if isinstance(unknown, str) else math.inf if stored == "inf" else unknown
    return unknown


def read_figure(stored: object) -> float:
    """Return a stored figure; NaN where there is none."""
    return float(stored) if isinstance(stored, (int, float)) else NAN


def read_strings(stored: object) -> tuple[str, ...]:
    """Return a stored list of texts; empty where there is none."""
    return tuple(str(item) for item in stored) if isinstance(stored, (list, tuple)) else ()


def read_scorecard(stored: Document) -> Scorecard:
    """Return a stored scorecard; every form of it that was ever written can be read."""
    late, profiles = stored.get("after_cutoff"), stored.get("profiles")
    return Scorecard(
        train=read_flat(SegmentScore, stored.get("train")),
        validation=read_flat(SegmentScore, stored.get("validation")),
        bars_per_year=read_figure(stored.get("bars_per_year")),
        weighting=str(stored.get("weighting") or ""),
        holding=_count(stored.get("holding")),
        cost_bp=read_figure(stored.get("cost_bp")),
        # The first scorecards knew no other.
        fill=str(stored.get("fill") or "open"),
        rebalance=_count(stored.get("rebalance")) or 1,
        profiles={str(name): _profile(part) for name, part in profiles.items()}
        if isinstance(profiles, Mapping)
        else None,
        after_cutoff=read_flat(SegmentScore, late) if isinstance(late, Mapping) else None,
        # Earlier scorecards knew no partial trading, and did not record the rest of the rule.
        rate=_rate(stored.get("rate")),
        band=_zero(stored.get("band")),
        volatility_scaled=stored.get("volatility_scaled") is True,
        market_neutral=stored.get("market_neutral") is True,
        liquid_half=stored.get("liquid_half") is True,
        rules=tuple(read_flat(RuleFigures, row) for row in _rows(stored.get("rules"))),
    )


def _rate(stored: object) -> float:
    return float(stored) if isinstance(stored, (int, float)) else 1.0


def _zero(stored: object) -> float:
    return float(stored) if isinstance(stored, (int, float)) else 0.0


def read_train(stored: Document) -> SegmentScore:
    """Return the train figures of a stored scorecard alone."""
    return read_flat(SegmentScore, stored.get("train"))


def _count(stored: object) -> int:
    return int(stored) if isinstance(stored, (int, float)) else 0


def _rows(stored: object) -> list[object]:
    return list(stored) if isinstance(stored, (list, tuple)) else []


def _figures(stored: object) -> dict[str, float]:
    return {str(name): read_figure(value) for name, value in stored.items()} if isinstance(stored, Mapping) else {}


def _profile(stored: object) -> Profile:
    known = stored if isinstance(stored, Mapping) else {}
    return Profile(
        horizons=tuple(read_flat(HorizonIC, row) for row in _rows(known.get("horizons"))),
        quantiles=tuple(read_figure(value) for value in _rows(known.get("quantiles"))),
        years=tuple(read_flat(SliceScore, row) for row in _rows(known.get("years"))),
        regimes=tuple(read_flat(SliceScore, row) for row in _rows(known.get("regimes"))),
        loadings=_figures(known.get("loadings")),
        assets=tuple(read_flat(AssetIC, row) for row in _rows(known.get("assets"))),
        decay=tuple(read_flat(DecayPoint, row) for row in _rows(known.get("decay"))),
        half_life=math.inf if known.get("half_life") == "inf" else read_figure(known.get("half_life")),
    )


def read_evidence(stored: Document) -> Evidence:
    """Return stored evidence; its gates are as they were recorded: later trials do not change them."""
    return Evidence(
        accepted=bool(stored.get("accepted")),
        verdict=read_verdict(stored),
        reasons=read_strings(stored.get("reasons")),
        dsr=read_figure(stored.get("dsr")),
        psr=read_figure(stored.get("psr")),
        trials=_count(stored.get("trials")),
        audits=read_strings(stored.get("audits")),
        sharpe_error=read_figure(stored.get("sharpe_error")),
        min_bars=read_figure(stored.get("min_bars")),
        bars=_count(stored.get("bars")),
        gates=tuple(_gate(row) for row in _rows(stored.get("gates")) if isinstance(row, Mapping)),
        effective_trials=_count(stored.get("effective_trials")),
        dsr_effective=read_figure(stored.get("dsr_effective")),
        predicts=read_flat(Tested, stored.get("predicts")),
        earns=read_flat(Tested, stored.get("earns")),
    )


def read_verdict(stored: Document) -> Verdict:
    """Return the verdict of stored evidence; where no word is recorded, what it came to."""
    match stored.get("verdict"):
        case "accepted" | "promising" | "untested" | "rejected" as word:
            return word
        case _:
            return "accepted" if stored.get("accepted") else "rejected"


def _gate(row: Document) -> GateVerdict:
    return GateVerdict(
        gate=str(row.get("gate") or ""),
        passed=bool(row.get("passed")),
        numbers=_figures(row.get("numbers")),
        bar=str(row.get("bar") or ""),
        words=read_strings(row.get("words")),
    )
