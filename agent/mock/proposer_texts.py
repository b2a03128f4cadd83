"""What the mock proposer says of a factor, in the languages that it has words of; in English for all others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Said:
    """Name, rationale, mechanism and risks of a factor."""

    name: str
    rationale: str
    mechanism: str
    risks: list[str]


# Of each language the names of the types, in this order.
_TYPES = ("momentum", "mean_reversion", "volatility", "volume", "liquidity", "candle", "cross_asset", "funding",
          "open_interest", "sentiment")  # fmt: skip
_NAMES: Mapping[str, tuple[str, ...]] = {
    "en": ("Momentum", "Mean reversion", "Volatility", "Volume", "Liquidity", "Candle", "Cross asset", "Funding",
           "Open interest", "Sentiment"),
    "ru": ("Моментум", "Возврат к среднему", "Волатильность", "Объём", "Ликвидность", "Свеча", "Связь активов",
           "Ставка финансирования", "Открытый интерес", "Настроение"),
    "zh": ("动量", "均值回归", "波动率", "成交量", "流动性", "K线形态", "跨资产", "资金费率", "持仓量", "情绪"),
    "ja": ("モメンタム", "平均回帰", "ボラティリティ", "出来高", "流動性", "ローソク足", "資産間", "資金調達率",
           "建玉", "センチメント"),
    "ko": ("모멘텀", "평균 회귀", "변동성", "거래량", "유동성", "캔들", "자산 간", "펀딩 비율", "미결제약정", "심리"),
    "es": ("Impulso", "Reversión a la media", "Volatilidad", "Volumen", "Liquidez", "Vela", "Entre activos",
           "Financiación", "Interés abierto", "Sentimiento"),
    "de": ("Momentum", "Rückkehr zum Mittel", "Schwankung", "Volumen", "Liquidität", "Kerze", "Vergleich der Werte",
           "Finanzierung", "Offene Kontrakte", "Stimmung"),
    "fr": ("Élan", "Retour à la moyenne", "Volatilité", "Volume", "Liquidité", "Bougie", "Entre actifs",
           "Financement", "Positions ouvertes", "Sentiment"),
    "pt": ("Impulso", "Reversão à média", "Volatilidade", "Volume", "Liquidez", "Vela", "Entre ativos",
           "Financiamento", "Contratos em aberto", "Sentimento"),
}  # fmt: skip
_SENTENCES: Mapping[str, tuple[str, str, str]] = {
    "en": (
        "Simulated model: the request asks for it, and the formula says it in the fewest parts.",
        "Simulated model: it knows of nobody who loses this.",
        "Wild assets may give false signals; costs may exceed what it earns.",
    ),
    "ru": (
        "Модель имитируется: так просит запрос, и формула говорит это кратчайшим образом.",
        "Модель имитируется: она не знает, кто это теряет.",
        "Волатильные активы могут давать ложные сигналы; издержки могут превысить доход.",
    ),
    "zh": (
        "模拟模型：请求如此，公式以最少的部分表达。",
        "模拟模型：不知道谁因此亏损。",
        "高波动资产可能给出假信号；成本可能超过收益。",
    ),
    "ja": (
        "模擬モデル：依頼に従い、最小の式で表した。",
        "模擬モデル：誰が損をするかは知らない。",
        "変動の大きい資産は偽の信号を出しうる。費用が利益を上回りうる。",
    ),
    "ko": (
        "모의 모델: 요청에 따라 가장 짧은 식으로 썼다.",
        "모의 모델: 누가 잃는지 알지 못한다.",
        "변동이 큰 자산은 거짓 신호를 낼 수 있다. 비용이 수익을 넘을 수 있다.",
    ),
    "es": (
        "Modelo simulado: lo pide la solicitud, y la fórmula lo dice con las menos partes.",
        "Modelo simulado: no sabe quién lo pierde.",
        "Los activos volátiles pueden dar señales falsas; los costes pueden superar lo ganado.",
    ),
    "de": (
        "Simuliertes Modell: Die Anfrage verlangt es, und die Formel sagt es mit den wenigsten Teilen.",
        "Simuliertes Modell: Es weiß nicht, wer das verliert.",
        "Wilde Werte können falsche Signale geben; Kosten können den Ertrag übersteigen.",
    ),
    "fr": (
        "Modèle simulé : la demande le veut, et la formule le dit avec le moins de parties.",
        "Modèle simulé : il ne sait pas qui le perd.",
        "Les actifs volatils peuvent donner de faux signaux ; les coûts peuvent dépasser le gain.",
    ),
    "pt": (
        "Modelo simulado: o pedido assim quer, e a fórmula o diz com as menos partes.",
        "Modelo simulado: não sabe quem o perde.",
        "Ativos voláteis podem dar sinais falsos; os custos podem superar o ganho.",
    ),
}


def texts_in(language: str, kind: str, expression: str) -> Said:
    """Return what is said of a factor of a type, in a language (``en``, ``ru`` ...)."""
    known = language if language in _NAMES else "en"
    name = dict(zip(_TYPES, _NAMES[known], strict=True))[kind]
    windows = [part for part in "".join(c if c.isdigit() else " " for c in expression).split() if part != "1"]
    rationale, mechanism, risks = _SENTENCES[known]
    return Said(f"{name} {windows[0]}" if windows else name, rationale, mechanism, [risks])
