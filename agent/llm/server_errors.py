"""What servers' errors mean: which will pass, which say that they do not know a form, and all of them in words."""

from __future__ import annotations

import openai

from agent.llm.answer import Lost
from agent.llm.patience import Patience
from agent.untrusted.showing import clean
from market.errors import InputError

# What the client's own retries would take for passing: a request that timed out, or met another.
_PASSING_STATUS = (408, 409)
_BOUND_NAMES = ("max_tokens", "max_completion_tokens", "max_output_tokens")
# How llama.cpp says, with status 500, that it does not know a form or cannot make a grammar of it.
_FORM_WORDS = ("response_format", "json_schema", "json_object", "grammar", "initialize samplers")
_CONTEXT_WORDS = ("context length", "context size", "context window", "context_length_exceeded", "exceed_context_size")
# What is shorter is no secret, such as the "ollama" that stands in for a key.
_SHORTEST_KEY = 8


def passes(error: Exception) -> bool:
    """Whether trying again may help."""
    if isinstance(error, openai.APIStatusError) and error.status_code in _PASSING_STATUS:
        return True
    transient = (openai.RateLimitError, openai.InternalServerError, openai.APIConnectionError, Lost)
    return isinstance(error, transient) and not refuses_form(error)


def hopeless(error: Exception) -> bool:
    """Whether trying again cannot help although it looks so: an exhausted quota is reported like a rate limit."""
    return isinstance(error, openai.RateLimitError) and error.code == "insufficient_quota"


def refuses_form(error: Exception) -> bool:
    """Whether a server refuses the request as it is put, and may accept it put otherwise."""
    if isinstance(error, openai.InternalServerError):
        return any(word in str(error) for word in _FORM_WORDS)
    return isinstance(error, (openai.BadRequestError, openai.UnprocessableEntityError))


def names_bound(error: Exception) -> bool:
    """Whether an error is about the name of the bound on a reply's tokens."""
    return any(name in str(error) for name in _BOUND_NAMES)


def too_long(error: Exception) -> bool:
    """Whether prompt and reply are more than the model can hold; no other form would help."""
    return any(word in str(error).lower() for word in _CONTEXT_WORDS)


def never_sent(error: openai.APIConnectionError) -> bool:
    """Whether a connection could not even be made."""
    import httpx2

    return isinstance(error.__cause__, (httpx2.ConnectError, httpx2.ConnectTimeout))


def without_key(text: str, key: str) -> str:
    """Return `text` with the key, which a server may repeat, taken out."""
    return text.replace(key, "***") if len(key) >= _SHORTEST_KEY else text


def told_by(error: openai.APIError | Lost, key: str) -> str:
    """Return what a server says of an error in one line, without the key and without what commands a terminal."""
    body = error.body if isinstance(error, openai.APIError) else None
    said = body.get("message") if isinstance(body, dict) else body
    text = said if isinstance(said, str) and said.strip() else str(error)
    # The key goes first: a text that is cut could end in a part of it.
    lines = clean(without_key(text, key)).strip().splitlines()
    return lines[0][:200] if lines else "no reason given"


def in_words(
    error: openai.APIError | Lost, *, url: str, model: str, key: str, patience: Patience, asked: float | None = None
) -> InputError:
    """Return an error as what a person can do about it; `asked` are the seconds that the server asks to wait."""
    said = told_by(error, key)
    match error:
        case Lost():
            return InputError(f"{url} sent {said}", "is it the right --base-url? then go on with mine --resume")
        case openai.AuthenticationError():
            return InputError(f"{url} rejected the key: {said}", "check OPENAI_API_KEY")
        case openai.PermissionDeniedError():
            return InputError(f"{url} does not permit this: {said}", "check the key's rights")
        case openai.NotFoundError():
            return InputError(
                f"{url} does not know model {model!r} or this path: {said}", "check --model, --base-url and --api"
            )
        case openai.RateLimitError():
            long = f" and asks to wait {asked:.0f} s" if asked is not None and asked > patience.asked else ""
            return InputError(
                f"{url} limits the rate or the quota{long}: {said}", "wait, then go on with mine --resume"
            )
        case openai.APITimeoutError():
            return InputError(f"{url} did not answer in time", "is the server up? then go on with mine --resume")
        case openai.APIConnectionError() if never_sent(error):
            return InputError(f"{url} cannot be reached", "is the server up and --base-url right?")
        case openai.APIConnectionError():
            return InputError(f"{url} breaks off its replies: {said}", "go on later with mine --resume")
        case _ if too_long(error):
            return InputError(
                f"prompt and reply are more than {model!r} can hold: {said}",
                "lower [llm] reply_tokens, or give the model a longer context",
            )
        case openai.BadRequestError() | openai.UnprocessableEntityError():
            return InputError(f"the server refused the request: {said}", "is --model right?")
        case openai.APIStatusError() if error.status_code < 500:
            return InputError(f"{url} refused with status {error.status_code}: {said}", "is the account in order?")
    return InputError(f"{url} failed: {said}", "go on later with mine --resume")
