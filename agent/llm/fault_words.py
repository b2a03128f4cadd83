"""What a server of OpenAI's API or the network reports, sorted by what helps, and said in words for a person.

Vendors say the same thing in many ways: by status, by code, or in a sentence. All of that is kept here.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import httpx2

from agent.llm.http_guard import BodyFault, proxy_for
from agent.llm.patience import RetryRules
from agent.untrusted.showing import displayable
from market.errors import InputError

# form: it may be put otherwise; long: more briefly; refused: by a filter, which is an answer; else by who can help.
Sort = Literal["key", "rights", "bill", "model", "rate", "busy", "form", "long", "refused", "redirect", "other"]
_GO_ON = "go on later with mine --resume"

# How llama.cpp says, with status 500, that it does not know a form or cannot make a grammar of it.
_FORM_WORDS = ("response_format", "json_schema", "json_object", "grammar", "initialize samplers")
# That prompt and reply are more than a model holds, as OpenAI, Azure, DeepSeek, OpenRouter, Anthropic, Google, Mistral,
# Cohere, xAI, Groq, Amazon Bedrock, Together, vLLM, TGI, llama.cpp, LM Studio and Ollama say it.
_LONG_WORDS = re.compile(
    r"context.length|context.size|context.window|maximum.context|exceeds? .{0,20}context|context .{0,20}overflow"
    r"|prompt is too long|prompt.* too (?:long|large)|input is too long|too many (?:input )?tokens"
    r"|maximum prompt length"
    r"|token count .{0,40}exceeds|exceeds the maximum number of tokens|reduce the length|maximum model length"
    r"|max_new_tokens.{0,12} must be|inputs.{0,12} must have less|string_above_max_length"
)
_BILL_WORDS = re.compile(
    r"insufficient.(?:quota|balance|credit|funds)|credit balance|billing|exceeded your current quota|payment required"
    r"|out of credits|not enough credits|spend(?:ing)? limit|account.{0,20}(?:suspended|not active|deactivated)"
)
# That a schema holds what its server does not know: OpenAI, vLLM, Google and llama.cpp.
SCHEMA_WORDS = re.compile(
    r"(?:max|min)(?:length|items|imum)|invalid.{0,12} schema|schema (?:contains|is too)|not permitted|keyword"
    r"|(?:parse|compile).{0,12} grammar|initialize samplers|repetitions"
)
# Google says of a passing rate limit, too, that a quota is exceeded, and when to come back.
_COME_BACK = re.compile(r"retry in|try again in|per.minute|retrydelay")
_KEY_WORDS = re.compile(r"api.key (?:not valid|is invalid|expired|not found)|invalid.api.key|incorrect api key")
_MODEL_WORDS = re.compile(
    r"model.not.found|unknown model|invalid model|no such model|is not a valid model"
    r"|model .{0,80}(?:not exist|not found)"
)
_FILTER_WORDS = re.compile(r"content_filter|content management policy|content_policy_violation|responsibleai")


@dataclass(frozen=True, slots=True)
class Said:
    """What a server says of a request that it does not answer: status (0: none), code, and words without the key."""

    status: int
    code: str
    words: str
    to: str = ""


def sort_of(said: Said) -> Sort:
    """Return what kind of trouble it is."""
    status, text = said.status, f"{said.code} {said.words}".lower()
    if 300 <= status < 400:
        return "redirect"
    if status in (400, 403, 422) and _FILTER_WORDS.search(text):
        return "refused"
    if status == 402 or (_BILL_WORDS.search(text) and not _COME_BACK.search(text)):
        return "bill"
    if status == 413 or "request too large" in text or (status in (0, 400, 422, 500) and _LONG_WORDS.search(text)):
        return "long"
    if status == 401 or (status in (400, 403) and _KEY_WORDS.search(text)):
        return "key"
    if status == 403:
        return "rights"
    if status == 404 or (status in (400, 422) and _MODEL_WORDS.search(text)):
        return "model"
    if status == 429:
        return "rate"
    if status in (400, 422) or (status == 500 and any(word in text for word in _FORM_WORDS)):
        return "form"
    # 0: a body that is no answer. 408, 409, 425: a request that timed out, met another, or came too early.
    return "busy" if status in (0, 408, 409, 425) or status >= 500 else "other"


def words_of(said: Said, sort: Sort, *, url: str, model: str, variable: str, wait: float | None) -> InputError:
    """Return what a person can do about it; `variable` is where the key stands (empty: none was sent)."""
    words = said.words
    match sort:
        case "key" if not variable:
            return InputError(
                f"{url} wants a key, and none is meant for it: {words}",
                'name the variable that holds it: [llm] key_env = { "ADDRESS" = "VARIABLE" } in alphaglow.toml',
            )
        case "key":
            return InputError(f"{url} rejected the key: {words}", f"check {variable}")
        case "rights":
            return InputError(f"{url} does not permit this: {words}", "check the key's rights")
        case "bill":
            return InputError(f"{url} wants to be paid: {words}", "is the account in order, its quota and its credit?")
        case "model":
            return InputError(
                f"{url} does not know model {model!r} or this path: {words}", "check --model, --base-url and --api"
            )
        case "rate":
            long = "" if wait is None else f" and asks to wait {wait:.0f} s"
            return InputError(f"{url} limits the rate{long}: {words}", "wait, then go on with mine --resume")
        case "long":
            return InputError(
                f"prompt and reply are more than {model!r} can hold: {words}",
                "lower [llm] prompt_tokens or reply_tokens, or give the model a longer context",
            )
        case "redirect":
            to = f" to {said.to}" if said.to else ""
            return InputError(
                f"{url} redirects{to}, and a prompt goes nowhere else than to --base-url",
                "if that is the server that you mean, name it there",
            )
        case "form" | "refused":
            return InputError(f"the server refused the request: {words}", "is --model right?")
        case "other":
            return InputError(f"{url} refused with status {said.status}: {words}", "is the account in order?")
        case "busy":
            return InputError(f"{url} failed: {words}", _GO_ON)


@dataclass(frozen=True, slots=True)
class Broken:
    """A connection that failed: what a person is to read, whether nothing was sent, and if the address is wrong."""

    words: InputError
    unsent: bool
    address: bool = False


def broken(error: Exception, url: str, said: str) -> Broken:
    """Sort what the network reports, by the innermost cause that says something."""
    causes = list(_causes(error))
    unsent = any(isinstance(c, (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError)) for c in causes)
    by = proxy_for(url)
    through = f" (by way of the proxy {by}, which the environment names)" if by else ""
    for cause in causes:
        match cause:
            case BodyFault():
                return Broken(InputError(f"{url} {cause}", "is it the right --base-url?"), False)
            case ssl.SSLCertVerificationError():
                why = displayable(cause.verify_message or "it cannot be checked")
                hint = "for a certificate of your own, name its file in SSL_CERT_FILE"
                return Broken(InputError(f"{url} shows a certificate that is not trusted: {why}", hint), True, True)
            case ssl.SSLError():
                hint = "is the address http:// and not https://?"
                return Broken(InputError(f"{url} does not speak TLS{through}", hint), True, True)
            case httpx2.ProxyError():
                hint = "correct or unset HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, or name the server in NO_PROXY"
                return Broken(InputError(f"the proxy {by} does not let a request to {url} through: {said}", hint), True)
            case socket.gaierror():
                hint = "is --base-url right, and is there a network?"
                what = f"the proxy {by}" if by else f"the host of {url}"
                return Broken(InputError(f"{what} cannot be found by its name (DNS)", hint), True, True)
            case ConnectionRefusedError():
                hint = "is the server up and --base-url right?"
                return Broken(InputError(f"{url} cannot be reached{through}: nothing listens there", hint), True)
            case httpx2.RemoteProtocolError() if "illegal" in str(cause).lower():
                hint = "is the address https:// and not http://?"
                return Broken(InputError(f"{url} does not speak HTTP: {said}", hint), False, True)
            case httpx2.RemoteProtocolError() if "complete message" in str(cause).lower():
                return Broken(
                    InputError(f"{url} breaks off its replies: one was shorter than it announced", _GO_ON), False
                )
            case httpx2.ReadError() if url.startswith("http://") and not str(cause):
                # So does a server of TLS that is asked without it.
                hint = "does it want https://? else go on later with mine --resume"
                return Broken(InputError(f"{url} breaks off its replies without a word", hint), False)
    if unsent:
        return Broken(InputError(f"{url} cannot be reached{through}", "is the server up and --base-url right?"), True)
    return Broken(InputError(f"{url} breaks off its replies: {said}", _GO_ON), False)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what lies behind it, the innermost first; each once."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is None or one in found:
            continue
        found.append(one)
        waiting += [one.__cause__ or one.__context__]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
    yield from reversed(found)


def waits_too_long(wait: float | None, patience: RetryRules) -> bool:
    """Whether a server asks for a longer wait than is granted."""
    return wait is not None and wait > patience.asked
