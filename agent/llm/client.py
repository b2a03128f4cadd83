"""Asking models for typed replies, whoever provides them.

How a server is asked is found out by trying, from strict to loose, and remembered for each model (`agent.llm.manners`).
A prompt that is more than the model holds is sent again with less in it. Whatever comes back is journalled before it is
read. Every wait is said as it begins. Who carries a request is a provider's business (`agent.llm.providers`).
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from pydantic import BaseModel

from agent.knowledge.records import CallRecord, NewCall, request_hash
from agent.llm.answer import Answer, Ask, without_key
from agent.llm.budget import Worst
from agent.llm.facts import AskFacts, Facts, RepairFacts
from agent.llm.faults import CallFault
from agent.llm.forms import MODES, prompted, read_reply, repair_prompt, schema_of, spoken
from agent.llm.manners import Manner
from agent.llm.patience import Circuit, wait
from agent.llm.prompt_room import PromptMeter
from agent.llm.providers import Connection
from agent.llm.speaking import CallStore, Halt, ModelName, Speaking
from market.errors import InputError, Rejection

__all__ = ["ApiName", "CallStore", "Halt", "LanguageModel", "ModelName", "Shorter", "Speaking"]

Reply = TypeVar("Reply", bound=BaseModel)
ApiName = Literal["chat", "responses"]
# Returns system and user prompt with less in them, by step (1, 2, ...); None: there is nothing more to leave out.
Shorter = Callable[[int], tuple[str, str] | None]
# A reply longer than this was not asked for; what is kept of it ends here.
_LONGEST_REPLY = 200_000
# What of an unreadable reply is sent back with the wish for another.
_LONGEST_REPEATED = 8_000


# Key, role and request of the call that a task is making.
_ASKED: ContextVar[tuple[str, str, str]] = ContextVar("asked")


@dataclass(frozen=True, slots=True)
class _Answered:
    model: ModelName
    manner: str
    answer: Answer
    worst: Worst
    request: str


@dataclass(frozen=True)
class _Question:
    """A call: its prompts, how they are shortened, what was said after them, and the same as data."""

    key: str
    role: str
    prompts: tuple[str, str]
    reply: type[BaseModel]
    facts: Facts | AskFacts | None
    shorter: Shorter | None = None
    after: tuple[Mapping[str, str], ...] = ()
    repair: RepairFacts | None = None

    def messages(self, step: int) -> list[dict[str, str]] | None:
        """Return the messages with less in them by this many steps; None where there is no such step."""
        prompts = self.prompts
        if step:
            found = None if self.shorter is None else self.shorter(step)
            if found is None:
                return None
            prompts = found
        said = [{"role": "system", "content": prompts[0]}, {"role": "user", "content": prompts[1]}]
        return [*said, *(dict(one) for one in self.after)]

    def requests(self) -> Iterator[str]:
        """Yield the texts that the journal may hold of this call, the fullest first."""
        step = 0
        while (messages := self.messages(step)) is not None:
            yield json.dumps(messages, ensure_ascii=False)
            step += 1


class LanguageModel:
    """A chain of models behind one connection: the next is asked when one can no longer answer.

    Parameters
    ----------
    connection
        A way to a server that makes no retries of its own; they are made here, so that each is counted.
    speaking
        Which models are asked, and how.
    """

    def __init__(self, connection: Connection, speaking: Speaking) -> None:
        self.connection = connection
        self.speaking = speaking
        self.models = tuple(speaking.models)
        self.budget = speaking.budget
        self.journal = speaking.journal
        self.circuit = Circuit(speaking.patience)
        self.current = 0
        known = speaking.modes
        self.manners = {m.name: Manner.known(known.get(m.name), connection.bounds) for m in self.models}
        self.meters = {m.name: PromptMeter(speaking.prompt_tokens) for m in self.models}
        # Of pauses alone: no result depends on it.
        self._jitter = random.Random(speaking.seed)

    async def ask(
        self,
        key: str,
        role: str,
        system: str,
        user: str,
        reply: type[Reply],
        facts: Facts | AskFacts | None = None,
        shorter: Shorter | None = None,
    ) -> Reply | Rejection:
        """Ask for a `reply`; one repair turn with the validation error follows an unreadable one.

        Parameters
        ----------
        key, role
            Under which the calls are journalled: ``key/1``, and ``key/2`` for the repair.
        system, user
            The prompts.
        facts
            What the prompts say, as data: they reach a model in this process, and never a server.
        shorter
            Gives the prompts with less in them, for a model that holds no more; None: they stay as they are.

        Returns a `Rejection` (stage ``reply``) when the model refuses, is cut short twice, or stays unreadable.

        Raises
        ------
        InputError
            When no server can be reached, the key is rejected, or no model is known.
        BudgetReached
            Before a call that could go past the budget.
        """
        question = _Question(f"{key}/1", role, (system, user), reply, facts, shorter)
        first = await self._call(question)
        read = read_reply(first, reply)
        if not isinstance(read, Rejection) or read.code == "refused":
            return read
        repeated = spoken(first.response)[:_LONGEST_REPEATED] or "(nothing)"
        after = (
            {"role": "assistant", "content": repeated},
            {"role": "user", "content": repair_prompt(read, reply)},
        )
        fields = getattr(reply, "SEEDED_ORDER", tuple(reply.model_fields))
        repair = RepairFacts(repeated, read.message, tuple(fields))
        second = await self._call(replace(question, key=f"{key}/2", after=after, repair=repair))
        return read_reply(second, reply)

    async def _call(self, question: _Question) -> CallRecord:
        known = self.journal.find(question.key)
        if known is not None:
            if not any(known.request_hash == request_hash(known.model, text) for text in question.requests()):
                raise InputError(
                    f"the reply journalled under {question.key} answers another prompt, so the run cannot be replayed",
                    "alphaglow or its prompts changed since the run started: start a new run",
                )
            if known.status != "error":
                return known
        if self.speaking.replay is not None:
            recorded = self.speaking.replay.request_of(question.key)
            asked = next((text for text in question.requests() if text == recorded), next(question.requests()))
            call = self.speaking.replay.find(question.key, asked)
        else:
            started = time.perf_counter()
            answered = await self._chain(question)
            call = self._settled(question, answered, time.perf_counter() - started)
        kept = self.journal.record(call)
        if self.speaking.record is not None:
            self.speaking.record.write(call)
        self.speaking.on_call(call)
        return kept

    async def _chain(self, question: _Question) -> _Answered:
        """Ask the current model; when it can no longer answer, go on with the next one, for good."""
        while True:
            place = self.current
            try:
                return await self._fitted(self.models[place], question)
            except InputError as error:
                if place + 1 >= len(self.models):
                    # Whoever else would ask now would get the same answer.
                    self.speaking.halt.error = error
                    raise
                if self.current == place:
                    self.current += 1
                    self.circuit.succeeded()
                    self.speaking.note(f"{error}; going on with {self.models[self.current].name}")

    async def _fitted(self, model: ModelName, question: _Question) -> _Answered:
        """Ask with as much in the prompt as the model is known to hold; with less, where it says that it holds less."""
        meter = self.meters[model.name]
        step, messages = meter.choose(question.messages)
        while True:
            request = json.dumps(messages, ensure_ascii=False)
            _ASKED.set((question.key, question.role, request))
            try:
                return await self._negotiated(model, question, messages)
            except CallFault as fault:
                less = question.messages(step + 1)
                if less is None:
                    raise fault.words(self.speaking.patience) from None
                meter.refused(_size(messages))
                step, messages = step + 1, less
                self.speaking.note(
                    f"{model.name} cannot hold prompt and reply: asked again with less of what is known "
                    f"({_size(messages):,} bytes, before {len(request.encode()):,})"
                )

    async def _negotiated(self, model: ModelName, question: _Question, messages: list[dict[str, str]]) -> _Answered:
        """Send in the strictest manner that the server is not known to refuse."""
        manner = self.manners[model.name]
        if not manner.proven:
            async with manner.first:
                if not manner.proven:
                    return await self._found_out(model, question, messages)
        return await self._found_out(model, question, messages)

    async def _found_out(self, model: ModelName, question: _Question, messages: list[dict[str, str]]) -> _Answered:
        """Ask from strict to loose; raises `CallFault` for a prompt that is too long, else `InputError`."""
        bounds = self.connection.bounds
        attempt = self.manners[model.name].attempt()
        while True:
            ask = self._put(model, question, messages, MODES[attempt.mode], bounds[attempt.bound])
            try:
                answer, worst = await self._patient(model, ask)
            except CallFault as fault:
                if fault.kind == "long":
                    raise
                if not attempt.refused(fault, bounds):
                    raise fault.words(self.speaking.patience) from None
                continue
            said = attempt.said(bounds)
            overlong = (answer.completion_tokens or 0) > self.speaking.reply_tokens
            attempt.answered(overlong=overlong, bounds=bounds)
            return _Answered(model, said, answer, worst, json.dumps(messages, ensure_ascii=False))

    def _put(
        self, model: ModelName, question: _Question, messages: list[dict[str, str]], mode: str, bound: str | None
    ) -> Ask:
        return Ask(
            model=model.name,
            messages=prompted(messages, question.reply) if mode == "text" else messages,
            mode=mode,
            schema=schema_of(question.reply, bounded=mode == "json_schema"),
            bound=bound,
            reply_tokens=self.speaking.reply_tokens,
            facts=question.facts,
            repair=question.repair,
        )

    def _interrupted(self) -> None:
        """Raise a wish to stop, or what ended the run's calls."""
        self.speaking.before_call()
        self.speaking.halt.check()

    async def _patient(self, model: ModelName, ask: Ask) -> tuple[Answer, Worst]:
        """Try until there is an answer; raises `CallFault` for a refused form or length, else `InputError`."""
        failures, patience = 0, self.speaking.patience
        while True:
            started = time.monotonic()
            try:
                async with self.circuit.passage(self._interrupted):
                    started = time.monotonic()
                    found = await self._send(model, ask)
                self.circuit.succeeded()
                self.speaking.halt.reached = True
                return found
            except CallFault as fault:
                if fault.kind in ("form", "long"):
                    raise
                if fault.kind == "final" or (fault.address and not self.speaking.halt.reached):
                    raise fault.words(patience) from None
                failures += 1
                opened = self.circuit.failed()
                asked = fault.wait_s or 0.0
                if failures >= patience.tries or asked > patience.asked:
                    raise fault.words(patience) from None
                pause = max(asked, patience.pause(failures, self._jitter))
                self._say_wait(fault, model, ask, (failures, time.monotonic() - started, pause))
                if opened:
                    self.speaking.note(
                        f"{patience.threshold} calls in a row got no answer: none is made for {patience.cool_down:g} s"
                    )
                await wait(pause, self._interrupted)

    def _say_wait(self, fault: CallFault, model: ModelName, ask: Ask, course: tuple[int, float, float]) -> None:
        """Say what failed, at which try, how long it took, what it may have cost, and when it is tried again."""
        failures, took, pause = course
        cost = "not billed"
        if fault.billed:
            worst = self.budget.worst_of(_size(ask.messages), ask.reply_tokens, model.prices)
            dollars = f", ${worst.usd:.4f}" if model.prices else ""
            cost = f"it may have been billed, at most {worst.prompt + worst.reply:,} tokens{dollars}"
        self.speaking.note(
            f"{fault.words(self.speaking.patience).message} (try {failures} of {self.speaking.patience.tries}, "
            f"after {took:.1f} s; {cost}); tried again in {pause:.1f} s"
        )

    async def _send(self, model: ModelName, ask: Ask) -> tuple[Answer, Worst]:
        self._interrupted()
        worst = self.budget.worst_of(_size(ask.messages), ask.reply_tokens, model.prices)
        self.budget.reserve(worst)
        deadline = self.speaking.deadline_s
        try:
            async with asyncio.timeout(deadline):
                return await self.connection.send(ask), worst
        except CallFault as fault:
            # What a server refused, or never got, costs nothing; what broke or fell silent may have been billed.
            self._lose(model, worst) if fault.billed else self.budget.release(worst)
            raise
        except TimeoutError:
            self._lose(model, worst)
            raise CallFault(
                InputError(
                    f"{self.connection.url} sent no whole reply within {deadline:g} s",
                    "is it the right --base-url? then go on with mine --resume",
                ),
                "passing",
            ) from None
        except BaseException:
            self._lose(model, worst)
            raise

    def _lose(self, model: ModelName, worst: Worst) -> None:
        """Count a call that was sent and got no answer, and keep that it was, for a session that resumes this one."""
        self.budget.lose(worst)
        key, role, request = _ASKED.get()
        self.journal.lose(key, role, model.name, request)

    def _settled(self, question: _Question, answered: _Answered, latency: float) -> NewCall:
        model, answer, request = answered.model, answered.answer, answered.request
        tokens = (answer.prompt_tokens, answer.completion_tokens)
        cost = model.prices.cost(*tokens, answer.cached_tokens) if model.prices else None
        self.budget.settle(answered.worst, len(request.encode()), tokens[0], tokens[1], cost)
        self.budget.count_cached(tokens[0], answer.cached_tokens)
        for said in self.meters[model.name].counted(len(request.encode()), tokens[0], answer.cached_tokens):
            self.speaking.note(f"{model.name}: {said}")
        # A server may repeat the key that it was sent, and what it says is kept and shown.
        text = without_key(answer.refusal or answer.text, self.connection.secret)
        cut = answer.cut or len(text) > _LONGEST_REPLY
        return NewCall(
            run_id="",
            key=question.key,
            role=question.role,
            model=model.name,
            mode=answered.manner,
            request_hash=request_hash(model.name, request),
            request=request,
            # A lone surrogate is no text that a file could hold.
            response=text[:_LONGEST_REPLY].encode("utf-8", "replace").decode(),
            status="refused" if answer.refusal else "truncated" if cut else "ok",
            prompt_tokens=tokens[0],
            completion_tokens=tokens[1],
            cost_usd=cost,
            latency_s=round(latency, 3),
        )


def _size(messages: Sequence[Any]) -> int:
    return sum(len(message["content"].encode()) + 16 for message in messages)
