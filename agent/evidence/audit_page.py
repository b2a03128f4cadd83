"""The page of an audit: whether the loop admits luck and finds what is there, as a sentence, a picture and tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent.drawing import plots
from agent.drawing.axes import format_number
from agent.evidence.control_audit import Audit
from agent.evidence.control_runs import Control
from agent.review.findings import Findings, Grid, grid
from backtest.binomial import Share
from backtest.nulls import NULLS

# What is asked of runs with a planted signal, in words.
_QUESTIONS: dict[str, Callable[[Control], object]] = {
    "proposed": lambda c: c.proposed,
    "found to predict": lambda c: c.nearly,
    "found": lambda c: c.found,
    "predicts when given": lambda c: c.gates and c.gates.get("predicts"),
    "admitted when given": lambda c: c.passes_when_given,
}


def findings_of_audit(audit: Audit, name: str) -> Findings:
    """Return an audit as tables, sentences and a picture; `name` is of the data set."""
    shares = _shares(audit)
    drawn = plots.dot_plot(
        "How often, with the interval of 95 %",
        "Share of runs in which something was admitted, or a planted signal found, with its exact interval.",
        [(label, [100.0 * one.value, 100.0 * one.interval[0], 100.0 * one.interval[1]]) for label, one in shares],
        [("share of runs", "c1"), ("at least", "c6"), ("at most", "c5")],
        axis="% of runs",
    )
    caption = "On null markets the dots belong on the left; planted signals belong on the right, strong ones first."
    return Findings(
        title=f"Audit of the loop on {name}",
        lead=_lead(audit),
        grids=[made for made in (_null_grid(audit), _planted_grid(audit), _factor_grid(audit)) if made is not None],
        charts=[("What is admitted, and what is found", drawn, caption)] if shares else [],
        sentences=_sentences(audit),
        document=audit.summary(),
        eyebrow="Audit",
    )


def _lead(audit: Audit) -> str:
    nulls = audit.on_nulls()
    if not nulls:
        return "No run was made on null markets."
    return f"On markets without anything to find, something is admitted in {Share.of(c.admitted > 0 for c in nulls)}."


def _sentences(audit: Audit) -> list[str]:
    each = audit.plan.rounds * audit.plan.candidates
    said = [f"each run has {each} attempts by the mock model, without a gate, in a knowledge base of its own"]
    late = [one for one in audit.factors if not one.causal]
    if late:
        said.insert(0, f"NOT causal: {', '.join(one.text for one in late)}")
    elif audit.factors:
        said.append(f"all {len(audit.factors)} factors that were checked are causal")
    else:
        said.append("no factor was scored on this data: there is none to check")
    return said


def _shares(audit: Audit) -> list[tuple[str, Share]]:
    found = [
        (f"nulls made of {kind}: admitted", Share.of(c.admitted > 0 for c in runs))
        for kind in NULLS
        if (runs := audit.on_nulls(kind))
    ]
    for strength, runs in _by_strength(audit):
        found.append((f"planted, score {strength:g}: found", Share.of(bool(c.found) for c in runs)))
    return found


def _by_strength(audit: Audit) -> Iterable[tuple[float, list[Control]]]:
    for strength in audit.plan.strengths:
        runs = [c for c in audit.controls if c.strength == strength]
        if runs:
            yield strength, runs


def _null_grid(audit: Audit) -> Grid | None:
    rows = [
        [
            kind,
            str(len(runs)),
            str(Share.of(c.admitted > 0 for c in runs)),
            str(Share.of(c.admitted + c.promising > 0 for c in runs)),
        ]
        for kind in NULLS
        if (runs := audit.on_nulls(kind))
    ]
    return grid("Null markets", ["made of", "runs", "admit anything", "see anything predict"], rows) if rows else None


def _planted_grid(audit: Audit) -> Grid | None:
    strengths = list(_by_strength(audit))
    rows = [
        [said, *(str(Share.of(bool(ask(c)) for c in runs)) for _, runs in strengths)]
        for said, ask in _QUESTIONS.items()
    ]
    columns = ["the signal is", *(f"score {strength:g}" for strength, _ in strengths)]
    return grid("Planted signals", columns, rows) if strengths else None


def _factor_grid(audit: Audit) -> Grid | None:
    if not audit.factors:
        return None
    rows = [
        [
            one.text,
            "yes" if one.causal else "NO",
            format_number(one.rank_ic, "ic"),
            format_number(one.rank_ic_late, "ic"),
            format_number(one.sharpe_net),
            format_number(one.sharpe_net_late),
            format_number(one.gate_beats, "share"),
        ]
        for one in audit.factors
    ]
    columns = [
        "factor",
        "causal",
        "rank IC",
        "IC, a bar late",
        "Sharpe net",
        "Sharpe, a bar late",
        "gate beats shifted",
    ]
    title = "Admitted factors, train" if audit.factors[0].admitted else "The best factors, train (none is admitted)"
    return grid(title, columns, rows)
