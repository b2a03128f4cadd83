"""How a typed reply is asked for, from strict to loose, and how it is read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeVar, get_origin

from pydantic import BaseModel, ValidationError

from agent.knowledge.records import CallRecord
from agent.llm.loose_json import objects_in
from agent.untrusted.quoting import one_line
from market.errors import Rejection

Reply = TypeVar("Reply", bound=BaseModel)
# A schema with bounds on its parts, without them (which some servers refuse), any object, or words alone.
MODES = ("json_schema", "json_schema_plain", "json_object", "text")
_BOUNDS = {"maxLength", "minLength", "maxItems", "minItems", "minimum", "maximum"}
_THINKING = re.compile(r"\s*(?:<think(?:ing)?>|\[THINK\])")
_THOUGHT = re.compile(r"</think(?:ing)?>|\[/THINK\]")
# Of one reply; who sends more is not asked to be understood.
_MOST_CANDIDATES = 20


def schema_of(reply: type[BaseModel], *, bounded: bool = True) -> dict[str, Any]:
    """Return what a request says of the form of its reply, in strict mode; `bounded`: with the bounds of its parts."""
    return {"name": reply.__name__, "schema": _form(reply, bounded), "strict": True}


@lru_cache(maxsize=64)
def _form(reply: type[BaseModel], bounded: bool) -> dict[str, Any]:
    """Return the schema of a reply, made once: every call states it, and making it costs more than sending it."""
    return _strict(reply.model_json_schema(), bounded=bounded)


def _strict(schema: Mapping[str, Any], *, bounded: bool = True) -> dict[str, Any]:
    """Return a schema in which no field is optional; without `bounded`, less what older strict modes do not know."""
    dropped = {"title", "default", *(() if bounded else _BOUNDS)}
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs"):
            kept[key] = {name: _strict(inner, bounded=bounded) for name, inner in value.items()}
        elif key not in dropped:
            kept[key] = _stripped(value, bounded=bounded)
    if "properties" in kept:
        # Strict mode wants each field said; who answers without it may leave out what has a default.
        kept["required"] = list(kept["properties"])
    return kept


def _stripped(value: Any, *, bounded: bool) -> Any:  # noqa: ANN401 - any part of a schema
    if isinstance(value, dict):
        return _strict(value, bounded=bounded)
    return [_stripped(item, bounded=bounded) for item in value] if isinstance(value, list) else value


def prompted(messages: list[dict[str, str]], reply: type[BaseModel]) -> list[dict[str, str]]:
    """Return messages that ask for the form in words."""
    form = json.dumps(_form(reply, bounded=True)["properties"])
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
    problem: ValidationError | None = None
    for candidate in _candidates(text, reply):
        try:
            return reply.model_validate(candidate)
        except ValidationError as error:
            problem = problem or error
    if call.status == "truncated":
        return Rejection("reply", "truncated", "the reply was cut off before its end.", "answer more briefly")
    if "{" not in text:
        return Rejection("reply", "bad_json", "the reply holds no JSON object.", "answer with JSON alone")
    if problem is None:
        return Rejection(
            "reply", "bad_json", f"the object: Invalid JSON: {_json_fault(text)}.", "answer with JSON alone"
        )
    first = problem.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the object"
    return Rejection("reply", "bad_reply", f"{where}: {first['msg']}.", "answer with the asked fields alone")


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


def _candidates(text: str, reply: type[BaseModel]) -> Iterator[dict[str, Any]]:
    """Yield the objects that may be the reply, likeliest first; what one wraps in a field of its own comes after it."""
    wrapped: list[dict[str, Any]] = []
    listed = [name for name, field in reply.model_fields.items() if get_origin(field.annotation) is list]
    required = {name for name, field in reply.model_fields.items() if field.is_required()}
    for found in objects_in(text):
        yield found
        if required <= set(found):
            continue
        if len(reply.model_fields) == 1 and listed:
            # One of several was asked for, and stands alone.
            wrapped.append({listed[0]: [found]})
        wrapped += [inner for inner in found.values() if isinstance(inner, dict)]
        # A call of a tool holds its arguments as a text.
        wrapped += [one for inner in found.values() if isinstance(inner, str) for one in objects_in(inner)]
        for inner in found.values():
            if isinstance(inner, list) and len(inner) == 1 and isinstance(inner[0], dict):
                wrapped.append(inner[0])
    for inner in wrapped[:_MOST_CANDIDATES]:
        yield inner
        yield from (deeper for deeper in inner.values() if isinstance(deeper, dict))


def _json_fault(text: str) -> str:
    """Say what is wrong with the JSON that begins at the first brace."""
    try:
        json.loads(text[text.index("{") :])
    except (ValueError, RecursionError) as error:
        return str(error)[:120]
    return "it holds no object"
