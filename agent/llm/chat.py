"""The Chat Completions API: what OpenAI and every compatible server understands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.llm.answer import Answer, Ask, at, body_of, text_at, usage_at

if TYPE_CHECKING:
    import openai

# Names that servers know the bound on a reply's tokens by; None: by none. Ollama passes over the first in silence.
BOUNDS = ("max_completion_tokens", "max_tokens", None)


async def send_chat(client: openai.AsyncOpenAI, ask: Ask) -> Answer:
    """Send one request and read the reply; raises the client's errors, and `Lost` for what is no completion."""
    options: dict[str, Any] = {}
    if ask.mode.startswith("json_schema"):
        options["response_format"] = {"type": "json_schema", "json_schema": dict(ask.schema)}
    elif ask.mode == "json_object":
        options["response_format"] = {"type": "json_object"}
    if ask.bound is not None:
        options[ask.bound] = ask.reply_tokens
    messages: Any = list(ask.messages)
    raw = await client.chat.completions.with_raw_response.create(model=ask.model, messages=messages, **options)
    return read_chat(body_of(raw, "choices"))


def read_chat(body: dict[str, Any]) -> Answer:
    """Read a completion; a server may leave out everything but the list of choices."""
    choice, usage = at(body, "choices", 0), body.get("usage")
    text, refusal, finish = (
        _text(at(choice, "message")),
        text_at(choice, "message", "refusal"),
        at(choice, "finish_reason"),
    )
    if not refusal and finish == "content_filter":
        refusal = text or "the server's filter withheld the reply"
    return Answer(
        text,
        refusal or None,
        finish == "length",
        *usage_at(usage, "prompt_tokens", "completion_tokens"),
    )


def _text(message: object) -> str:
    """Return a message's text: a string, or parts of one, or the arguments of a call of a tool.

    Where a schema is enforced from the first token, some servers take the reply itself for reasoning (vLLM's
    `reasoning_content`, later `reasoning`): an object there, from end to end or in a fence, is the reply.
    """
    content = at(message, "content")
    if isinstance(content, list):
        content = "".join(text_at(part, "text") for part in content)
    if isinstance(content, str) and content.strip():
        return content
    called = text_at(message, "tool_calls", 0, "function", "arguments") or text_at(
        message, "function_call", "arguments"
    )
    if called:
        return called
    for name in ("reasoning_content", "reasoning"):
        thought = text_at(message, name).strip()
        if thought.startswith("{") and thought.endswith("}"):
            return thought
        fenced = [part.removeprefix("json").strip() for part in thought.split("```")[1::2]]
        found = [part for part in fenced if part.startswith("{")]
        if found:
            return found[-1]
    return ""
