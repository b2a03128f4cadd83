"""The sentences of `alphaglow signal`: the bar, today's risk, what to trade and why, and what changed."""

from __future__ import annotations

from typing import Any

from agent.cli.common import format_number

# Assets with the largest and the smallest weights of which reasons are said; `--json` has all.
_ENDS = 3
_NAMED = 5


def signed(value: float, digits: int) -> str:
    """Return a figure with its sign; what rounds to 0 has none."""
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}" if rounded else f"{0:.{digits}f}"


def bar_line(document: Any) -> str:  # noqa: ANN401 - JSON
    """Return when the bar closed, and how large the portfolio is."""
    from agent.live.feed import age_in_words

    closed, age = document["closed"][:16].replace("T", " "), age_in_words(document["data_age_s"])
    idle = ", nothing to trade" if nothing_to_trade(document) else ""
    return (
        f"bar closed {closed} UTC, {age} ago, gross {document['gross']:.3f}, net {signed(document['net'], 3)}, "
        f"turnover {document['turnover']:.3f}{idle}"
    )


def nothing_to_trade(document: Any) -> bool:  # noqa: ANN401 - JSON
    """Return whether every asset is to be kept as it is."""
    return all(row.get("action") == "HOLD" for row in document["weights"])


def risk_line(document: Any) -> str:  # noqa: ANN401 - JSON
    """Return the risk of the next bar, and where a flow is fitted what its gate and its regime say."""
    found = f"risk now: VaR 95 % {format_number(document['var_95'], 2, percent=True)} a bar"
    if document["gate_exposure"] is not None and document["likelihood_percentile"] is not None:
        found += (
            f"; gate {document['gate_exposure']:.2f}, what it judges at the {document['likelihood_percentile']:.0f}th "
            f"percentile, regime {document['regime'] or 'unknown (alphaglow flow regimes)'}"
        )
    return found


def advice_lines(document: Any) -> list[str]:  # noqa: ANN401 - JSON
    """Return what to do with the assets of the largest and the smallest weights, and why."""
    rows = [row for row in document["weights"] if "action" in row]
    if not rows:
        return []
    band = (document.get("rule") or {}).get("band", 0.0)
    kept = "where the rule trades nothing" + (f": within {band:.2%} of capital of the target" if band else "")
    counts = ", ".join(f"{action} {sum(row['action'] == action for row in rows)}" for action in ("BUY", "SELL", "HOLD"))
    ends = rows if len(rows) <= 2 * _ENDS else [*rows[:_ENDS], *rows[-_ENDS:]]
    meaning = "confidence: how often signals of its rank decile had the side of the next bar's payoff on train"
    return [f"{counts} (HOLD {kept}; {meaning})", *(_advice(row) for row in ends)]


def _advice(row: Any) -> str:  # noqa: ANN401 - JSON
    return (
        f"  {row['action']} {row['asset']}: weight {signed(row['weight'], 4)}, trade {signed(row['trade'], 4)}; "
        f"{_sureness(row['confidence'])}; because {', '.join(row['reasons'])}; changes side when {row['changes_when']}"
    )


def _sureness(confidence: Any) -> str:  # noqa: ANN401 - JSON
    if confidence is None:
        return "confidence unknown"
    said = f"confidence {confidence['share']:.1%} ± {confidence['error']:.1%}"
    return said if confidence["better_than_a_coin"] else f"{said}, no better than a coin"


def change_lines(document: Any) -> list[str]:  # noqa: ANN401 - JSON
    """Return what differs from the signal before, and why."""
    changes = document.get("changes")
    if changes is None:
        return []
    found = []
    turned = changes["turned"]
    if turned:
        more = f" and {len(turned) - _NAMED} more" if len(turned) > _NAMED else ""
        found.append(f"changed side: {', '.join(turned[:_NAMED])}{more}")
    before, now = changes["gate_before"], changes["gate_now"]
    if before is not None and now is not None and abs(now - before) >= 0.005:
        found.append(f"gate {before:.2f} to {now:.2f}")
    if changes.get("largest") is not None:
        why = f", as {changes['because']}" if changes.get("because") else ""
        found.append(f"largest change {changes['largest']} {signed(changes['largest_change'], 4)}{why}")
    since = changes["since"][:16].replace("T", " ")
    return [f"since the signal of {since} UTC: {'; '.join(found) or 'nothing changed'}"]
