"""Sentiment, relevance and event of a text by a list of words: offline, free, and as blunt as that."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache

import numpy as np

from agent.texts.scores import Scores, text_hashes
from agent.texts.text_novelty import measure_novelty
from agent.texts.word_list import EVENT_WORDS, NEGATIONS, PHRASES, STRONGER, WEAKER, WEIGHTS
from market.documents import Documents
from market.matching import Matcher, matcher_for

# With what changes a score, this rises, and stored scores say that they are older.
VERSION = 1
BY = f"lexicon/{VERSION}"
# A headline says more of a text than its teaser; a word is turned round by one of the few before it.
_TITLE = 2.0
_REACH = 3
# Sum of weights at which a sentiment is 0.7: one strong word in a headline.
_HALF = 4.0
_WORD = re.compile(r"[a-z0-9][a-z0-9-]*")
_BODY_ALONE = 0.5


def sentiment_of(title: str, body: str) -> float:
    """Return -1 to 1; 0 where no word of the list is found."""
    total = _TITLE * _evaluate(words_of(title)) + _evaluate(words_of(body))
    return total / math.sqrt(total * total + _HALF * _HALF)


def event_of(title: str, body: str) -> str:
    """Return the event with most words in the text, a headline's twice; ``other`` without any."""
    hits = dict.fromkeys(EVENT_WORDS, 0.0)
    for weight, text in ((_TITLE, title), (1.0, body)):
        for word in words_of(text):
            for event in _events_of(word):
                hits[event] += weight
    best = max(hits, key=lambda event: hits[event])
    return best if hits[best] > 0 else "other"


def score_by_lexicon(documents: Documents) -> Scores:
    """Score every text."""
    places = range(len(documents))
    named = sorted({asset for assets in documents.assets for asset in assets})
    matcher = matcher_for(named) if named else None
    return Scores(
        texts=text_hashes(documents),
        sentiment=np.array([sentiment_of(documents.title[k], documents.body[k]) for k in places]),
        relevance=np.array([_relevance(documents, k, matcher) for k in places]),
        novelty=measure_novelty(documents),
        event=tuple(event_of(documents.title[k], documents.body[k]) for k in places),
        by=BY,
    )


def _relevance(documents: Documents, place: int, matcher: Matcher | None) -> float:
    """Return 1 where the headline names an asset, else 1/2, shared among many assets; 0 without an asset."""
    assets = documents.assets[place]
    if not assets or matcher is None:
        return 0.0
    in_title = bool(set(assets) & set(matcher.assets_in(documents.title[place])))
    found = in_title or bool(set(assets) & set(matcher.assets_in(documents.body[place])))
    # A file that says itself what its texts are about need not name it in them.
    return (1.0 if in_title or not found else _BODY_ALONE) / math.sqrt(len(assets))


def words_of(text: str) -> list[str]:
    """Return a text's words in lower case, phrases of the lexicon joined by hyphens, apostrophes dropped."""
    lowered = re.sub(r"['’‘]", "", text.lower())
    for spaced, joined in _joined().items():
        if spaced in lowered:
            lowered = lowered.replace(spaced, joined)
    return _WORD.findall(lowered)


@cache
def _joined() -> Mapping[str, str]:
    return {phrase.replace("-", " "): phrase for phrase in PHRASES}


def _evaluate(words: list[str]) -> float:
    total = 0.0
    for place, word in enumerate(words):
        weight = _weight(word)
        if not weight:
            continue
        before = words[max(0, place - _REACH) : place]
        if any(w in NEGATIONS for w in before):
            weight *= -0.5
        if any(w in STRONGER for w in before):
            weight *= 1.5
        if any(w in WEAKER for w in before):
            weight *= 0.5
        total += weight
    return total


@cache
def _weight(word: str) -> float:
    if word in WEIGHTS:
        return WEIGHTS[word]
    return next((WEIGHTS[f"{word[:n]}*"] for n in range(len(word), 2, -1) if f"{word[:n]}*" in WEIGHTS), 0.0)


@cache
def _events_of(word: str) -> tuple[str, ...]:
    stems = {f"{word[:n]}*" for n in range(2, len(word) + 1)} | {word}
    return tuple(event for event, said in EVENT_WORDS.items() if stems & set(said.split()))
