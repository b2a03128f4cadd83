"""In which language a text is written, so that it is answered in it: by its script, then by its small words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

LANGUAGES: Mapping[str, str] = {
    "en": "English",
    "ru": "Russian",
    "zh": "Chinese",
    "ja": "Japanese",
    "ko": "Korean",
    "es": "Spanish",
    "de": "German",
    "fr": "French",
    "pt": "Portuguese",
    "it": "Italian",
    "ar": "Arabic",
    "hi": "Hindi",
    "el": "Greek",
}
# Characters that only one of these languages uses; Japanese writes Chinese characters too, with kana among them.
_KANA = "\u3040-\u30ff"
_SCRIPTS = {
    "ko": re.compile("[\uac00-\ud7af]"),
    "zh": re.compile(f"[\u4e00-\u9fff{_KANA}]"),
    "ru": re.compile("[\u0400-\u04ff]"),
    "ar": re.compile("[\u0600-\u06ff]"),
    "hi": re.compile("[\u0900-\u097f]"),
    "el": re.compile("[\u0370-\u03ff]"),
}
_SMALL: Mapping[str, str] = {
    "en": "the a of for and with by to in on is from over that where not",
    "de": "der die das ein eine einen und mit ohne für über von auf aus nicht bei den ich im nach",
    "fr": "le la les un une des du et avec sans pour sur par de dans qui au aux en facteur jours",
    "es": "el la los las un una y con sin para sobre por de en que del al factor días acciones",
    "pt": "o a os as um uma e com sem para sobre por de em que do da no na fator dias ações",
    "it": "il lo la gli un una e con senza per su di in che del della fattore giorni azioni",
}
# Half a sentence of one script among English names and tickers is enough.
_LEAST_SHARE = 0.15


def language_of(text: str) -> str:
    """Return the code of the language that a text seems to be in; English where nothing decides."""
    letters = [c for c in text if c.isalpha()]
    for code, script in _SCRIPTS.items():
        if letters and len(script.findall(text)) >= _LEAST_SHARE * len(letters):
            return "ja" if code == "zh" and re.search(f"[{_KANA}]", text) else code
    words = Counter(re.findall(r"[^\W\d_]+", text.casefold()))
    scores = {code: sum(words[word] for word in small.split()) for code, small in _SMALL.items()}
    best = max(scores, key=lambda code: scores[code])
    return best if scores[best] > scores["en"] else "en"


def other_script(text: str, code: str) -> bool:
    """Whether a text lacks the script of a language that has one of its own: then it is not in that language."""
    script = _SCRIPTS.get("zh" if code == "ja" else code)
    return script is not None and bool(text.strip()) and not script.search(text)
