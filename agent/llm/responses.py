"""OpenAI's Responses API. Each request stands alone, and the server is asked to keep nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.llm.answer import Answer, Ask, Lost, at, body_of, count_at, text_at

if TYPE_CHECKING:
    import openai

BOUNDS = ("max_output_tokens", None)


async def send_response(client: openai.AsyncOpenAI, ask: Ask) -> Answer:
    """Send one request and read the reply; raises the client's errors, and `Lost` for what is no response."""
    options: dict[str, Any] = {}
    if ask.mode == "json_schema":
        options["text"] = {"format": {"type": "json_schema", **ask.schema}}
    elif ask.mode == "json_object":
        options["text"] = {"format": {"type": "json_object"}}
    if ask.bound is not None:
        options[ask.bound] = ask.reply_tokens
    messages: Any = list(ask.messages)
    raw = await client.responses.with_raw_response.create(model=ask.model, input=messages, store=False, **options)
    return read_response(body_of(raw, "output"))


def read_response(body: dict[str, Any]) -> Answer:
    """Read a response: the text parts of its messages; reasoning and tools are passed over."""
    status, usage = body.get("status"), body.get("usage")
    if status in ("failed", "cancelled", "queued", "in_progress"):
        raise Lost(f"a response that is {status}: {text_at(body, 'error', 'message')[:200] or 'no reason given'}")
    messages = [item for item in body["output"] if at(item, "type") == "message"]
    parts = [part for item in messages for part in _listed(at(item, "content"))]
    text = "".join(text_at(part, "text") for part in parts if at(part, "type") == "output_text")
    refusal = "".join(text_at(part, "refusal") for part in parts if at(part, "type") == "refusal")
    why = at(body, "incomplete_details", "reason")
    if not refusal and why == "content_filter":
        refusal = text or "the server's filter withheld the reply"
    return Answer(
        text,
        refusal or None,
        status == "incomplete" and why != "content_filter",
        count_at(usage, "input_tokens"),
        count_at(usage, "output_tokens"),
        count_at(usage, "input_tokens_details", "cached_tokens"),
    )


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
