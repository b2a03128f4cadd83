"""The headings of an answer, in the languages that requests are answered in.

What a program writes of an expression (its plain reading, its code, its verdict) stays in English, as everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class AnswerWords:
    """Headings of one language; `lookback` has ``{bars}`` and `simulated` has ``{model}`` in it."""

    lookback: str
    rationale: str
    mechanism: str
    risk: str
    note: str
    expects: str
    expected: str
    came: str
    rank_ic: str
    turnover: str
    holding: str
    simulated: str


# In the order of the fields above.
_WORDS: Mapping[str, AnswerWords] = {
    code: AnswerWords(*words)
    for code, words in {
        "en": (
            "look-back {bars} bars", "rationale", "mechanism", "risk", "note", "What the model expects", "expected",
            "came, on train", "rank IC", "turnover a bar", "holding, bars",
            "The language model was simulated ({model}).",
        ),
        "ru": (
            "глубина {bars} баров", "обоснование", "механизм", "риск", "примечание", "Чего ожидает модель",
            "ожидалось",
            "вышло на обучении", "ранговый IC", "оборот за бар", "удержание, баров",
            "Языковая модель имитировалась ({model}).",
        ),
        "zh": (
            "回看 {bars} 根K线", "理由", "机制", "风险", "说明", "模型的预期", "预期", "训练集结果", "秩IC",
            "每根K线换手率",
            "持有K线数", "语言模型是模拟的（{model}）。",
        ),
        "ja": (
            "参照期間 {bars} 本", "根拠", "仕組み", "リスク", "注記", "モデルの予想", "予想", "学習期間の結果",
            "順位IC",
            "1本あたりの回転率", "保有本数", "言語モデルは模擬です（{model}）。",
        ),
        "ko": (
            "참조 기간 {bars}봉", "근거", "메커니즘", "위험", "참고", "모델의 예상", "예상", "학습 구간 결과",
            "순위 IC",
            "봉당 회전율", "보유 봉 수", "언어 모델은 모의 모델입니다({model}).",
        ),
        "es": (
            "ventana de {bars} barras", "fundamento", "mecanismo", "riesgo", "nota", "Lo que espera el modelo",
            "esperado",
            "obtenido en entrenamiento", "IC de rangos", "rotación por barra", "tenencia, barras",
            "El modelo de lenguaje fue simulado ({model}).",
        ),
        "de": (
            "Rückblick {bars} Bars", "Begründung", "Mechanismus", "Risiko", "Hinweis", "Was das Modell erwartet",
            "erwartet", "im Training erreicht", "Rang-IC", "Umschlag je Bar", "Haltedauer, Bars",
            "Das Sprachmodell war simuliert ({model}).",
        ),
        "fr": (
            "recul de {bars} barres", "justification", "mécanisme", "risque", "note", "Ce que le modèle attend",
            "attendu",
            "obtenu à l'entraînement", "IC de rang", "rotation par barre", "détention, barres",
            "Le modèle de langage était simulé ({model}).",
        ),
        "pt": (
            "janela de {bars} barras", "fundamento", "mecanismo", "risco", "nota", "O que o modelo espera",
            "esperado",
            "obtido no treino", "IC de postos", "giro por barra", "permanência, barras",
            "O modelo de linguagem foi simulado ({model}).",
        ),
        "it": (
            "finestra di {bars} barre", "motivazione", "meccanismo", "rischio", "nota",
            "Che cosa si aspetta il modello",
            "atteso", "ottenuto in addestramento", "IC di rango", "rotazione per barra", "detenzione, barre",
            "Il modello linguistico era simulato ({model}).",
        ),
        "ar": (
            "نافذة {bars} شمعة", "المبرر", "الآلية", "المخاطرة", "ملاحظة", "ما يتوقعه النموذج", "المتوقع",
            "الناتج في التدريب", "معامل IC للرتب", "الدوران لكل شمعة", "مدة الاحتفاظ بالشموع",
            "نموذج اللغة كان محاكاة ({model}).",
        ),
        "hi": (
            "पिछले {bars} बार", "तर्क", "प्रक्रिया", "जोखिम", "टिप्पणी", "मॉडल की अपेक्षा", "अपेक्षित",
            "प्रशिक्षण में मिला",
            "रैंक IC", "प्रति बार टर्नओवर", "धारण, बार", "भाषा मॉडल कृत्रिम था ({model})।",
        ),
        "el": (
            "παράθυρο {bars} ράβδων", "αιτιολογία", "μηχανισμός", "κίνδυνος", "σημείωση", "Τι αναμένει το μοντέλο",
            "αναμενόμενο", "αποτέλεσμα εκπαίδευσης", "IC κατάταξης", "κύκλος εργασιών ανά ράβδο",
            "διακράτηση, ράβδοι",
            "Το γλωσσικό μοντέλο ήταν προσομοίωση ({model}).",
        ),
    }.items()
}  # fmt: skip


def answer_words(language: str) -> AnswerWords:
    """Return the headings of a language (``es``, ``de`` ...); English for one that is not known."""
    return _WORDS.get(language, _WORDS["en"])
