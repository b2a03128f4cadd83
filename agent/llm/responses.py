"""OpenAI's Responses API. Each request stands alone, and the server is asked to keep nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.llm.answer import Answer, Ask, at, body_of, lost_for, text_at, usage_at

if TYPE_CHECKING:
    import openai

BOUNDS = ("max_output_tokens", None)


async def send_response(client: openai.AsyncOpenAI, ask: Ask) -> Answer:
    """Send one request and read the reply; raises the client's errors, and `Lost` of `agent.llm.answer`."""
    options: dict[str, Any] = {}
    if ask.mode.startswith("json_schema"):
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
        raise lost_for(body.get("error") or "no reason given", f"a response that is {status}")
    messages = [item for item in body["output"] if at(item, "type") == "message"]
    parts = [part for item in messages for part in _listed(at(item, "content"))]
    text = "".join(text_at(part, "text") for part in parts if at(part, "type") == "output_text")
    # What is asked for as a form comes back from some servers as the arguments of a call.
    text = text or next((text_at(i, "arguments") for i in body["output"] if at(i, "type") == "function_call"), "")
    refusal = "".join(text_at(part, "refusal") for part in parts if at(part, "type") == "refusal")
    why = at(body, "incomplete_details", "reason")
    if not refusal and why == "content_filter":
        refusal = text or "the server's filter withheld the reply"
    return Answer(
        text,
        refusal or None,
        status == "incomplete" and why != "content_filter",
        *usage_at(usage, "input_tokens", "output_tokens"),
    )


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
