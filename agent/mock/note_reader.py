"""The mock reader of notes: finds sentences that speak of returns, quotes them, and writes expressions for each.

A sentence that gives orders is text like any other, of which it makes nothing. Now and then it quotes what is not
there, as models do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from agent.llm.facts import AskedFacts, NoteFacts
from agent.mock.grammar import Rng
from agent.mock.proposer import compose_within

ERROR_RATE = 0.1
_SENTENCE = re.compile(r"[^.!?。！？\n]{25,400}[.!?。！？]?")
_ABOUT: Mapping[str, re.Pattern[str]] = {
    "mean_reversion": re.compile(r"revers|overreact|oversold|возврат|разворот|反转|回归|umkehr|réversion", re.I),
    "momentum": re.compile(r"momentum|trend|continu|моментум|тренд|动量|趋势|tendance|tendencia", re.I),
    "volatility": re.compile(r"volatil|wild|risk|волатильн|波动", re.I),
    "funding": re.compile(r"funding|фандинг|资金费率", re.I),
    "sentiment": re.compile(r"sentiment|news|новост|情绪", re.I),
    "volume": re.compile(r"volume|turnover|liquid|объ[её]м|成交量|volumen", re.I),
}
_SAYS_RETURNS = re.compile(
    r"return|price|predict|perform|earn|pay|доходн|цен|收益|价格|preis|rendite|prix|rendement|precio",
    re.I,
)


def note_reply(facts: NoteFacts, rng: Rng, *, repairing: bool) -> str:
    """Return hypotheses as JSON."""
    found: list[dict[str, object]] = []
    # A sentence may go over a line's end.
    for match in _SENTENCE.finditer(re.sub(r"(?<!\n)\n(?!\n)", " ", facts.text)):
        sentence = match[0].strip()
        kinds = [name for name, words in _ABOUT.items() if words.search(sentence) and _can(name, facts.fields)]
        if kinds and _SAYS_RETURNS.search(sentence) and len(found) < facts.most:
            found.append(_hypothesis(sentence, kinds[0], rng))
    if found and not repairing and not facts.faults and rng.random() < ERROR_RATE:
        found[0]["quote"] = "Assets that everybody knows go on as everybody expects them to go on."
    return json.dumps({"hypotheses": found}, ensure_ascii=False)


def _can(kind: str, fields: tuple[str, ...]) -> bool:
    return kind not in ("funding", "sentiment") or kind in fields


def _hypothesis(sentence: str, kind: str, rng: Rng) -> dict[str, object]:
    asked = AskedFacts(kind, 60)
    texts = dict.fromkeys(compose_within(asked, rng)[1] for _ in range(2))
    return {
        "quote": sentence,
        "hypothesis": f"Simulated model: the sentence speaks of {kind.replace('_', ' ')}, which may show in returns.",
        "expressions": list(texts),
    }
