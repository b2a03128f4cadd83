"""What a request in somebody's own words says that can be checked: type, look-back, topics, bar size, asset class.

Words of ten languages are known. What is not recognised bounds nothing: it reaches the model as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


def _any(*words: str) -> re.Pattern[str]:
    """Return a pattern of these words: one line a language or two."""
    return re.compile("|".join(words))


_TYPES: Mapping[str, re.Pattern[str]] = {
    "momentum": _any(
        r"momentum\w*|\btrend[- ]?follow\w*|\btrends?\b|моментум\w*|импульс\w*|\bтренд\w*",
        r"动量|趋势|モメンタム|トレンド|順張り|모멘텀|추세",
        r"\btendances?\b|\btendencias?\b|\btendências?\b|\bimpulso\b|\btrendfolge\w*",
    ),
    "mean_reversion": _any(
        r"mean[ _-]?revers\w*|\breversals?\b|\bcontrarian\b|возврат\w* к средн\w*|\bразворот\w*|\bконтртренд\w*",
        r"均值回归|均值回歸|均值回复|反转|平均回帰|逆張り|평균 ?회귀",
        r"\breversi[oó]n\w*|\breversão\b|\bréversion\w*|retour à la moyenne|ritorno alla media",
        r"\bmittelwert\w*|rückkehr zum mittel\w*|\bumkehr\w*",
    ),
    "volatility": _any(r"volatil\w*|волатильн\w*|波动|ボラティリティ|변동성"),
}
# What turns a type round when it stands before it: "fade the trend", "against momentum".
_AGAINST = re.compile(
    r"(?:\bfad(?:e|ing)|\bagainst|\bcounter|\bno\b|\bnot\b|\bwithout|\bgegen|\bcontra|\bcontre|против|без|逆|不)"
    r"\W*(?:\w+\W+)?$"
)
_TOPICS: Mapping[str, re.Pattern[str]] = {
    "volume": _any(r"\bvolum\w*|объем\w*|成交量|成交额|交易量|出来高|거래량"),
    "funding": _any(r"\bfunding\b|фандинг\w*|ставк\w+ финансирования|资金费率|資金調達率|펀딩"),
    "open_interest": _any(r"\bopen[ _-]interest\b|открыт\w+ интерес\w*|未平仓|持仓量|建玉|미결제"),
    "sentiment": _any(r"\bsentiment\w*|сентимент\w*|тональност\w*|情绪|センチメント"),
}
# What takes a topic out when it stands right before it.
_WITHOUT = re.compile(
    r"(?:\bwithout|\bno|\bnot|\bignor\w+|\bexclud\w+|\bбез|\bне использу\w+|\bohne|\bsin|\bsans|\bsem|\bsenza"
    r"|不用|不使用|不要|无)\s*(?:\w+\s+)?$"
)
# Japanese and Korean put it behind.
_WITHOUT_BEHIND = re.compile(r"^(?:を使わ|なし|は使わ| 없이|을 쓰지| 제외)")
_UNITS: Mapping[str, str] = {
    "h": r"h|hrs?|hours?|hourly|час\w*|小时|小時|時間|시간|horas?|heures?|stunden?|ore",
    "d": r"d|days?|дн\w*|день|сут\w*|天|日|일|días?|dias?|jours?|tage?n?|giorni",
    "w": r"w|weeks?|недел\w*|周|週|주|semanas?|semaines?|wochen?|settimane",
    "m": r"min|minutes?|минут\w*|分钟|分|분|minutos?|minuten",
    "b": r"bars?|periods?|бар\w*|период\w*|根|本|봉|barras?|périodes?|kerzen|perioden|períodos?",
}
_SPAN = re.compile(
    r"(?<![a-z0-9_.])(\d{1,5})[\s-]*(?:"
    + "|".join(f"(?P<{unit}>{words})" for unit, words in _UNITS.items())
    + r")(?![a-zа-я])"
)
# A span that says how long positions last or how often they change is no look-back.
_TRADING = _any(
    r"hold|rebalanc|удерж|ребаланс|持有|调仓|保有|보유|halte|umschicht|manten|détention|conserv",
)
_BARS: Mapping[str, re.Pattern[str]] = {
    "1h": _any(
        r"\bhourly\b|\bчасов\w*|\bежечасн\w*|每小时|小时级|毎時", r"\bstündlich\w*|\bhorari[oa]s?\b|\bhoraires?\b"
    ),
    "1d": _any(
        r"\bdaily\b|\bдневн\w*|\bежедневн\w*|每日|日线|日足",
        r"\btäglich\w*|\bdiari[oa]s?\b|\bquotidien\w*|\bdiári[oa]s?\b",
    ),
}
_ASSETS: Mapping[str, re.Pattern[str]] = {
    "crypto": _any(
        r"\bcrypto\w*|\bbtc\b|\beth\b|\bbitcoin\w*|\bcoins?\b|\bcripto\w*|\bkrypto\w*",
        r"крипто\w*|биткоин\w*|加密|比特币|仮想通貨|비트코인",
    ),
    "stock": _any(
        r"\bstocks?\b|\bequit(?:y|ies)\b|\bакци[йяи]\w*|股票|株式|주식", r"\bacciones\b|\bações\b|\baktien\b"
    ),
    "forex": _any(r"\bforex\b|\bfx\b|валютн\w+ пар\w*|外汇|為替|외환|\bdivisas\b|\bdevisen\b"),
}


@dataclass(frozen=True)
class Words:
    """What a text says; each empty where it says nothing, or nothing that is sure.

    Attributes
    ----------
    types
        Types that it names, in its order: more than one cannot be had at once.
    spans
        Times that may be look-backs, such as ``5d`` or ``20b``.
    uses, avoids
        Topics that it names, and those that it wants left out.
    bar, asset
        Bar size and class of assets.
    """

    types: tuple[str, ...] = ()
    spans: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    avoids: tuple[str, ...] = ()
    bar: str = ""
    asset: str = ""


def read_words(text: str) -> Words:
    """Read a request in somebody's own words."""
    plain = text.casefold().replace("ё", "е")
    wanted, avoided = _topics(plain)
    price = _types(plain, ("momentum", "mean_reversion"))
    spans = [_span(found) for found in _SPAN.finditer(plain) if not _of_trading(plain, found)]
    return Words(
        # Volatility is a type of its own only where nothing else is asked for: most divide by it.
        types=price or _types(plain, ("volatility",)),
        spans=tuple(dict.fromkeys(spans)),
        uses=wanted,
        avoids=avoided,
        bar=next((bar for bar, words in _BARS.items() if words.search(plain)), ""),
        asset=next((name for name, words in _ASSETS.items() if words.search(plain)), ""),
    )


def _types(plain: str, names: tuple[str, ...]) -> tuple[str, ...]:
    first = {}
    for name in names:
        places = [m.start() for m in _TYPES[name].finditer(plain) if not _AGAINST.search(plain[: m.start()][-30:])]
        if places:
            first[name] = places[0]
    return tuple(sorted(first, key=lambda name: first[name]))


def _topics(plain: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    uses: list[str] = []
    avoids: list[str] = []
    for name, words in _TOPICS.items():
        found = list(words.finditer(plain))
        out = [
            bool(_WITHOUT.search(plain[: m.start()][-30:]) or _WITHOUT_BEHIND.search(plain[m.end() :])) for m in found
        ]
        if found:
            (avoids if all(out) else uses).append(name)
    return tuple(uses), tuple(avoids)


def _span(found: re.Match[str]) -> str:
    return f"{int(found[1])}{found.lastgroup}"


def _of_trading(plain: str, found: re.Match[str]) -> bool:
    """Whether a span belongs to holding or rebalancing: a word of that stands near, with no comma between."""
    before = re.split(r"[,.;，。；、]", plain[: found.start()])[-1]
    after = re.split(r"[,.;，。；、]", plain[found.end() :])[0]
    return bool(_TRADING.search(before[-25:]) or _TRADING.search(after[:20]))
