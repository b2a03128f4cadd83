"""The mock reader of news: scores the texts it is given by a list of words, and sometimes errs as models do."""

from __future__ import annotations

import json

import numpy as np

from agent.llm.facts import ReaderFacts
from agent.texts.lexicon import event_of, sentiment_of

ERROR_RATE = 0.05


def reader_reply(facts: ReaderFacts, rng: np.random.Generator, *, repairing: bool) -> str:
    """Return readings as JSON; now and then one is left out, or the reply is cut short."""
    readings = [
        {
            "text": one.number,
            "sentiment": round(float(np.clip(sentiment_of(one.title, one.body) + rng.normal(0, 0.05), -1, 1)), 2),
            "relevance": 0.9 if sentiment_of(one.title, one.body) else 0.4,
            "event": event_of(one.title, one.body),
        }
        for one in facts.texts
    ]
    said = json.dumps({"readings": readings})
    if repairing or rng.random() >= ERROR_RATE:
        return said
    return said[: len(said) // 2] if rng.random() < 0.5 else json.dumps({"readings": readings[:-1]})
