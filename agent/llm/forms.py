"""How a typed reply is asked for, from strict to loose, and how it is read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from agent.knowledge.records import CallRecord
from agent.untrusted.quoting import one_line
from market.errors import Rejection

Reply = TypeVar("Reply", bound=BaseModel)
MODES = ("json_schema", "json_object", "text")
_THINKING = re.compile(r"\s*(?:<think(?:ing)?>|\[THINK\])")
_THOUGHT = re.compile(r"</think(?:ing)?>|\[/THINK\]")
# Of one reply; who sends more is not asked to be understood.
_MOST_CANDIDATES = 20


def schema_of(reply: type[BaseModel]) -> dict[str, Any]:
    """Return what a request says of the form of its reply, in strict mode."""
    return {"name": reply.__name__, "schema": _form(reply), "strict": True}


@lru_cache(maxsize=64)
def _form(reply: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of a reply, made once: every call states it, and making it costs more than sending it."""
    return _strict(reply.model_json_schema())


def _strict(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Drop the bounds that strict mode does not know; pydantic checks them afterwards. No field is optional."""
    dropped = {"maxLength", "minLength", "minimum", "maximum", "title", "default"}
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            kept[key] = {name: _strict(inner) for name, inner in value.items()}
        elif key not in dropped:
            kept[key] = _stripped(value)
    if "properties" in kept:
        # Strict mode wants each field said; who answers without it may leave out what has a default.
        kept["required"] = list(kept["properties"])
    return kept


def _stripped(value: Any) -> Any:  # noqa: ANN401 - any part of a schema
    if isinstance(value, dict):
        return _strict(value)
    return [_stripped(item) for item in value] if isinstance(value, list) else value


def prompted(messages: list[dict[str, str]], reply: type[BaseModel]) -> list[dict[str, str]]:
    """Return messages that ask for the form in words."""
    form = json.dumps(_form(reply)["properties"])
    asked = f"\n\nAnswer with one JSON object and nothing else. Its fields: {form}"
    return [*messages[:-1], {**messages[-1], "content": messages[-1]["content"] + asked}]


def repair_prompt(fault: Rejection, reply: type[BaseModel]) -> str:
    """Return the turn that asks for the reply again."""
    fields = ", ".join(reply.model_fields)
    wrong = one_line(fault.message)
    return f"That could not be read: {wrong} Answer again with one JSON object of exactly these fields: {fields}."


def read_reply(call: CallRecord, reply: type[Reply]) -> Reply | Rejection:
    """Read a journalled reply: plain, fenced or with chatter around it; else say what is wrong."""
    if call.status == "refused":
        return Rejection("reply", "refused", f"the model refused: {call.response[:300]}", "rephrase the goal")
    text = spoken(call.response)
    for candidate in _candidates(text):
        try:
            return reply.model_validate_json(candidate)
        except ValidationError as error:
            problem = error
    if call.status == "truncated":
        return Rejection("reply", "truncated", "the reply was cut off before its end.", "answer more briefly")
    if "{" not in text:
        return Rejection("reply", "bad_json", "the reply holds no JSON object.", "answer with JSON alone")
    first = problem.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the object"
    code = "bad_json" if first["type"] == "json_invalid" else "bad_reply"
    return Rejection("reply", code, f"{where}: {first['msg']}.", "answer with the asked fields alone")


def spoken(text: str) -> str:
    """Return a reply without the thinking that some servers leave before it; all of it, if that does not end.

    What opens the thinking may stand at the prompt's end already, so that only its closing tag is seen.
    """
    opening = _THINKING.match(text)
    if opening is None and text.lstrip()[:1] in ("{", "`"):
        return text
    closing = _THOUGHT.search(text)
    if closing is not None:
        return text[closing.end() :]
    return "" if opening else text


def _candidates(text: str) -> list[str]:
    """Return what may be the JSON in a reply, likeliest first; there is always at least one."""
    fenced = [part.removeprefix("json").strip() for part in text.split("```")[1::2]]
    start, end = text.find("{"), text.rfind("}")
    embedded = [text[start : end + 1]] if 0 <= start < end else []
    return [text.strip(), *(part for part in fenced if part.startswith("{"))][:_MOST_CANDIDATES] + embedded
