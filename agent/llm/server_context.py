"""How many tokens a model of a server holds, by what servers say of their models without a paid call."""

from __future__ import annotations

from collections.abc import Mapping

import httpx2

from agent.llm.answer import at, count_at

# Where servers say it: llama.cpp, vLLM, OpenRouter and Together, Mistral, Groq.
_NAMES = (
    ("meta", "n_ctx"), ("max_model_len",), ("context_length",), ("max_context_length",),
    ("context_window",), ("meta", "n_ctx_train"),
)  # fmt: skip
_PATIENCE_S = 5.0
# Fewer tokens than this hold no prompt of ours: the figure means something else.
_LEAST = 512


async def asked_context(client: httpx2.AsyncClient, address: str, headers: Mapping[str, str], model: str) -> int | None:
    """Return the tokens of prompt and reply that a model holds; None where its server does not say.

    Parameters
    ----------
    address
        Where the server lists its models.

    Whatever goes wrong here goes wrong again, and is said, when the first prompt is sent.
    """
    models = at(await _asked(client, address, headers), "data")
    if not isinstance(models, list):
        return None
    for one in models:
        if at(one, "id") == model or len(models) == 1:
            for path in _NAMES:
                found = count_at(one, *path)
                if found is not None and found >= _LEAST:
                    return found
    return None


async def _asked(client: httpx2.AsyncClient, address: str, headers: Mapping[str, str]) -> object:
    """Return a JSON document; None where there is none."""
    try:
        response = await client.get(address, headers=dict(headers), timeout=_PATIENCE_S)
        return response.json() if response.status_code == 200 else None
    except (httpx2.RequestError, httpx2.InvalidURL, OSError, ValueError, RecursionError):
        return None
