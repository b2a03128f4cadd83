"""The mock server: an HTTP transport that answers by either API, so that the real client is on the path."""

from __future__ import annotations

import hashlib
import json

import httpx2
import numpy as np
import openai

from agent.mock.judge import judge_reply
from agent.mock.news_reader import reader_reply
from agent.mock.writer import writer_reply


def answer(request: httpx2.Request, seed: int) -> httpx2.Response:
    """Answer one request. The reply is a function of `seed` and the request's messages alone."""
    body = json.loads(request.content)
    messages = body["messages"] if "messages" in body else body["input"]
    digest = hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).digest()
    rng = np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])
    system, user = messages[0]["content"], messages[1]["content"]
    repairing = len(messages) > 2
    if system.startswith("You judge"):
        text = judge_reply(user)
    elif system.startswith("You read news"):
        text = reader_reply(user, rng, repairing=repairing)
    else:
        text = writer_reply(system, user, rng, repairing=repairing)
    prompt = sum(len(message["content"]) for message in messages) // 4
    if "input" in body:
        return httpx2.Response(200, json=_response(body["model"], text, prompt))
    return httpx2.Response(
        200,
        json={
            "id": f"mock-{digest.hex()[:12]}",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": len(text) // 4,
                "total_tokens": prompt + len(text) // 4,
            },
        },
    )


def _response(model: str, text: str, prompt: int) -> dict[str, object]:
    """Return what the Responses API answers."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {
        "object": "response",
        "status": "completed",
        "model": model,
        "output": [{"type": "message", "role": "assistant", "status": "completed", "content": content}],
        "usage": {
            "input_tokens": prompt,
            "output_tokens": len(text) // 4,
            "total_tokens": prompt + len(text) // 4,
        },
    }


def connect_mock(seed: int) -> openai.AsyncOpenAI:
    """Return a client whose every request is answered by the mock, in this process."""
    transport = httpx2.MockTransport(lambda request: answer(request, seed))
    return openai.AsyncOpenAI(
        base_url="http://mock.invalid/v1",
        api_key="mock",
        max_retries=0,
        http_client=httpx2.AsyncClient(transport=transport),
    )
