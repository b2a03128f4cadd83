"""The mock reader of news: scores what stands in its prompt by a list of words, and sometimes errs as models do."""

from __future__ import annotations

import json
import re

import numpy as np

from agent.texts.lexicon import event_of, sentiment_of

ERROR_RATE = 0.05
_LINE = re.compile(r"^(\d+)\. about .*?: «(.*?)» (?:«(.*?)»|\(nothing more\))$", re.MULTILINE)


def reader_reply(user: str, rng: np.random.Generator, *, repairing: bool) -> str:
    """Return readings as JSON; now and then one is left out, or the reply is cut short."""
    readings = [
        {
            "text": int(number),
            "sentiment": round(float(np.clip(sentiment_of(title, body or "") + rng.normal(0, 0.05), -1, 1)), 2),
            "relevance": 0.9 if sentiment_of(title, body or "") else 0.4,
            "event": event_of(title, body or ""),
        }
        for number, title, body in _LINE.findall(user)
    ]
    said = json.dumps({"readings": readings})
    if repairing or rng.random() >= ERROR_RATE:
        return said
    return said[: len(said) // 2] if rng.random() < 0.5 else json.dumps({"readings": readings[:-1]})
