"""How many tokens a model of a server holds, by what servers say of their models without a paid call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2

from agent.llm.answer import at, count_at

if TYPE_CHECKING:
    import openai

# Where servers say it: llama.cpp, vLLM, OpenRouter, Together, LM Studio, Mistral, Groq.
_NAMES = (
    ("meta", "n_ctx"), ("max_model_len",), ("loaded_context_length",), ("context_length",), ("max_context_length",),
    ("context_window",), ("meta", "n_ctx_train"),
)  # fmt: skip
_PATIENCE_S = 5.0
# Fewer tokens than this hold no prompt of ours: the figure means something else.
_LEAST = 512


async def asked_context(client: openai.AsyncOpenAI, model: str) -> int | None:
    """Return the tokens of prompt and reply that a model holds; None where its server does not say.

    Whatever goes wrong here goes wrong again, and is said, when the first prompt is sent.
    """
    base = str(client.base_url).rstrip("/")
    listed = await _asked(client, f"{base}/models")
    models = at(listed, "data")
    for one in models if isinstance(models, list) else []:
        if at(one, "id") == model or (isinstance(models, list) and len(models) == 1):
            for path in _NAMES:
                found = count_at(one, *path)
                if found is not None and found >= _LEAST:
                    return found
    return None


async def _asked(client: openai.AsyncOpenAI, url: str) -> object:
    """Return a JSON document; None where there is none."""
    headers = {name: value for name, value in client.auth_headers.items() if isinstance(value, str)}
    try:
        response = await client._client.get(url, headers=headers, timeout=_PATIENCE_S)
        return response.json() if response.status_code == 200 else None
    except (httpx2.RequestError, httpx2.InvalidURL, OSError, ValueError, RecursionError):
        return None
