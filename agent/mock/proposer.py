"""The mock proposer: writes factors within the bounds of a request, says what it expects, and sometimes errs.

It answers in the language of the request where it has words of it, as `agent.mock.proposer_texts` does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from agent.llm.facts import AskedFacts, RequestFacts
from agent.mock.grammar import Rng, draw_window, pick
from agent.mock.proposer_texts import texts_in

ERROR_RATE = 0.15
_PRICES = ("close", "vwap", "open", "high", "low")
_NEEDS: Mapping[str, tuple[str, ...]] = {
    "volume": ("volume", "amount"),
    "funding": ("funding",),
    "open_interest": ("open_interest",),
    "sentiment": ("sentiment",),
}
_DRAFTS = 6


def proposer_reply(facts: RequestFacts, rng: Rng, *, repairing: bool) -> str:
    """Return a proposal as JSON; now and then one that breaks a bound, calls what does not exist, or is cut short."""
    for _ in range(_DRAFTS):
        kind, expression = compose_within(facts.asked, rng, cross_section=facts.cross_section)
        if expression not in facts.before:
            break
    mistake = "" if repairing or facts.turns or rng.random() >= ERROR_RATE else pick(rng, ["long", "operator", "cut"])
    if mistake == "long" and facts.asked.longest:
        expression = f"ts_mean({expression}, {facts.asked.longest + 2})"
    elif mistake == "operator":
        expression = f"ts_smooth({expression}, 5)"
    window = max(2, facts.asked.longest or 20)
    said = texts_in(facts.language, kind, expression)
    reply = {
        "rationale": said.rationale,
        "mechanism": said.mechanism,
        "risk_factors": said.risks,
        "name": said.name,
        "expression": expression,
        "expected_ic": round(0.01 + 0.03 * float(rng.random()), 3),
        "expected_turnover": round(min(1.0, 1.2 / window + 0.1 * float(rng.random())), 3),
        "expected_holding": max(1, window // 2),
    }
    text = json.dumps(reply, ensure_ascii=False)
    return text[: len(text) // 2] if mistake == "cut" else text


def compose_within(asked: AskedFacts, rng: Rng, *, cross_section: bool = True) -> tuple[str, str]:
    """Return a type and an expression of it that keeps to the bounds of a request, as far as it knows how."""
    kind = asked.kind or _kind_for(asked, rng)
    body = _OF_TYPE[kind](asked, rng)
    uses = [topic for topic in asked.uses if topic != kind and not _mentions(body, topic)]
    for topic in uses:
        body = _confirmed(body, topic, asked, rng)
    roomy = not asked.size or asked.size >= 14
    if cross_section and roomy and not uses and rng.random() < 0.5:
        body = f"cs_rank({body})"
    return kind, body


def smoothed_within(asked: AskedFacts, rng: Rng) -> tuple[str, str]:
    """Return a type and an expression of it that changes its mind less often: half of the look-back smooths it."""
    longest = asked.longest or 60
    if longest < 6:
        return compose_within(asked, rng)
    kind, body = compose_within(replace(asked, longest=longest // 2), rng)
    return kind, f"ts_mean({body}, {longest - longest // 2})"


def _kind_for(asked: AskedFacts, rng: Rng) -> str:
    """Choose a type where none is asked for: a topic of the request, else of prices where they may be used."""
    topics = [topic for topic in asked.uses if topic in _OF_TYPE]
    if topics and rng.random() < 0.5:
        return topics[0]
    if asked.fields and not set(asked.fields) & set(_PRICES):
        return "volume" if "volume" in asked.fields else next((f for f in asked.fields if f in _OF_TYPE), "volume")
    return pick(rng, ["momentum", "mean_reversion"])


def _window(asked: AskedFacts, rng: Rng, least: int = 2, own: int = 0) -> int:
    """Choose a window of at most the longest look-back, less `own` bars that its argument needs."""
    most = (asked.longest or 60) - own
    return draw_window(rng, min(max(least, 3), most), most) if most >= 3 else max(1, most)


def _price(asked: AskedFacts, rng: Rng) -> str:
    fitting = [name for name in _PRICES[:2] if not asked.fields or name in asked.fields]
    others = [name for name in _PRICES if name in asked.fields]
    return pick(rng, fitting or others or ["close"])


def _money(asked: AskedFacts) -> str:
    return next((name for name in ("volume", "amount") if not asked.fields or name in asked.fields), "volume")


def _reverting(asked: AskedFacts, rng: Rng) -> str:
    price, bars = _price(asked, rng), _window(asked, rng)
    short = [f"-ts_returns({price}, {bars})", f"-ts_delta({price}, {bars}) / {price}"]
    if bars < 3:
        return short[0]
    distance = f"({price} - ts_mean({price}, {bars}))"
    return pick(rng, [*short, f"-ts_zscore({price}, {bars})", f"-{distance} / ts_std({price}, {bars})"])


def _trending(asked: AskedFacts, rng: Rng) -> str:
    price, bars = _price(asked, rng), _window(asked, rng)
    if bars < 3:
        return f"ts_returns({price}, {bars})"
    return pick(
        rng, [f"ts_returns({price}, {bars})", f"ts_rank({price}, {bars})", f"ts_slope({price}, {bars}) / {price}"]
    )


def _wild(asked: AskedFacts, rng: Rng) -> str:
    price, bars = _price(asked, rng), max(2, _window(asked, rng, own=1))
    return f"-ts_std(ts_returns({price}, 1), {bars})"


def _traded(asked: AskedFacts, rng: Rng) -> str:
    field = _money(asked)
    return f"{field} / ts_mean({field}, {max(2, _window(asked, rng))})"


def _illiquid(asked: AskedFacts, rng: Rng) -> str:
    price = _price(asked, rng)
    return f"ts_mean(abs(ts_returns({price}, 1)) / {_money(asked)}, {max(1, _window(asked, rng, own=1))})"


def _candle(asked: AskedFacts, rng: Rng) -> str:
    whole = not asked.fields or {"high", "low", "close"} <= set(asked.fields)
    bars = max(1, _window(asked, rng))
    return f"-ts_mean((close - low) / (high - low), {bars})" if whole else f"-ts_mean(close / open - 1, {bars})"


def _across(asked: AskedFacts, rng: Rng) -> str:
    price = _price(asked, rng)
    return f"-ts_mean(cs_demean(ts_returns({price}, 1)), {max(1, _window(asked, rng, own=1))})"


def _mean_of(field: str, asked: AskedFacts, rng: Rng) -> str:
    return f"ts_mean({field}, {max(1, _window(asked, rng))})"


_OF_TYPE: Mapping[str, Callable[[AskedFacts, Rng], str]] = {
    "mean_reversion": _reverting,
    "momentum": _trending,
    "volatility": _wild,
    "volume": _traded,
    "liquidity": _illiquid,
    "candle": _candle,
    "cross_asset": _across,
    "funding": lambda asked, rng: f"-{_mean_of('funding', asked, rng)}",
    "open_interest": lambda asked, rng: f"ts_returns(open_interest, {max(1, _window(asked, rng))})",
    "sentiment": lambda asked, rng: _mean_of("sentiment", asked, rng),
}


def _mentions(expression: str, topic: str) -> bool:
    return any(field in expression for field in _NEEDS.get(topic, (topic,)))


def _confirmed(body: str, topic: str, asked: AskedFacts, rng: Rng) -> str:
    """Let a factor count more where another field is high; that turns no sign."""
    fitting = [f for f in _NEEDS.get(topic, (topic,)) if not asked.fields or f in asked.fields]
    field = fitting[0] if fitting else topic
    if asked.longest and asked.longest < 2:
        return f"({body}) * {field}"
    return f"({body}) * ({field} / ts_mean({field}, {max(2, _window(asked, rng))}))"
