"""`alphaglow text score`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from agent.cli.common import (
    format_number,
    graceful_stop,
    headed,
    json_option,
    print_json,
    progress_bar,
    require_positive,
    stderr,
    stdout,
    text_table,
    workspace_of,
)
from agent.cli.option_record import recorded
from market.errors import InputError

if TYPE_CHECKING:
    from agent.knowledge.run_config import Bounds
    from agent.llm.budget import Budget
    from agent.llm.client import LanguageModel
    from agent.study.settings import LlmSettings
    from agent.study.workspace import Workspace
    from agent.texts.call_journal import TextJournal
    from agent.texts.model_scores import Read
    from agent.texts.scores import Scores
    from market.documents import Documents
    from market.panel import FloatArray

# Of an estimate: characters of the prompt around the texts, characters of a token, and tokens of one reading.
_SYSTEM, _PER_TOKEN, _REPLY = 1600, 4, 35


@dataclass(frozen=True)
class _Ask:
    llm: str
    simulated: bool
    model: str
    base_url: str
    api: str
    batch: int
    at_once: int
    seed: int
    bounds: Bounds
    record: Path | None
    replay: Path | None


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """What `text score` was asked for."""

    texts: str
    by: str
    llm: str
    model: str | None
    base_url: str | None
    api: str | None
    batch: int
    at_once: int
    seed: int
    budget_usd: float | None
    budget_tokens: int | None
    budget_calls: int | None
    budget_minutes: float | None
    record: Path | None
    replay: Path | None
    shown: int
    as_json: bool


@click.command()
@click.argument("texts", metavar="DOCS")
@click.option(
    "--by", type=click.Choice(["lexicon", "llm"]), default="lexicon", show_default=True, help="A word list, or a model."
)
@click.option("--llm", metavar="NAME", default="openai", help="Provider of models, as for mine.")
@click.option("--model", help="Model name to ask the server for.")
@click.option("--base-url", help="Server, such as http://localhost:11434/v1 (default: OpenAI's).")
@click.option("--api", type=click.Choice(["chat", "responses"]), help="How the server is asked (default: chat).")
@click.option("--batch", type=click.IntRange(1, 100), default=20, show_default=True, help="Texts of one call.")
@click.option("--at-once", type=click.IntRange(1, 64), default=4, show_default=True, help="Calls under way at a time.")
@click.option("--seed", type=click.IntRange(min=0), default=7, help="Seed of the mock model.")
@click.option("--budget-usd", type=float, help="Stop before a call could spend more than this.")
@click.option("--budget-tokens", type=click.IntRange(min=1), help="Stop before a call could take more tokens.")
@click.option("--budget-calls", type=click.IntRange(min=1), help="Stop before making more calls than this.")
@click.option("--budget-minutes", type=float, help="Stop after this long.")
@click.option("--record", type=click.Path(dir_okay=False, path_type=Path), help="Write every exchange to a cassette.")
@click.option("--replay", type=click.Path(dir_okay=False, path_type=Path), help="Answer from a cassette, ask nobody.")
@click.option("--show", "shown", default=0, metavar="N", help="Print N scored texts, evenly drawn.")
@json_option
@click.pass_context
@recorded(ScoreOptions)
def score(ctx: click.Context, asked: ScoreOptions) -> None:
    """Score the texts DOCS: sentiment, relevance, novelty and event, by a word list or a language model.

    A model is paid for a text once, whichever run or set it comes in: the same command goes on where it was stopped.
    """
    from agent.cli.text_sources import texts_path
    from agent.llm.providers import provider_named
    from agent.texts.scores import save_scores, scores_path
    from market.documents import load_documents

    workspace = workspace_of(ctx)
    require_positive("--budget-usd", asked.budget_usd)
    require_positive("--budget-minutes", asked.budget_minutes)
    documents = load_documents(texts_path(workspace, asked.texts))
    spent: dict[str, object] = {}
    outcome = "finished"
    if asked.by == "lexicon":
        from agent.texts.lexicon import score_by_lexicon

        scores = score_by_lexicon(documents)
    else:
        scores, read, budget = _read(workspace, documents, _request(asked, workspace.settings.llm))
        outcome = read.outcome
        spent = {"calls": budget.calls, "tokens": budget.tokens, "usd": budget.usd, "lost": budget.lost}
        spent |= {"read": read.bought, "read_before": read.before, "unreadable_replies": read.refused}
    path = scores_path(workspace.folder("texts"), asked.texts, asked.by)
    simulated = asked.by == "llm" and provider_named(asked.llm).simulated
    save_scores(scores, path, {"texts": asked.texts, "simulated": simulated})
    facts = {
        "name": asked.texts,
        "by": scores.by,
        "texts": len(documents),
        "outcome": outcome,
        **_summary(scores),
        **spent,
    }
    if asked.as_json:
        print_json(facts)
        return
    _show(asked.texts, facts, scores, documents, asked.shown)


def _request(asked: ScoreOptions, settings: LlmSettings) -> _Ask:
    """Return what is asked of a model: what was given, else what the settings say."""
    from agent.knowledge.run_config import Bounds
    from agent.llm.providers import model_for, provider_named

    provider = provider_named(asked.llm)
    seconds = None if asked.budget_minutes is None else 60 * asked.budget_minutes
    return _Ask(
        llm=asked.llm,
        simulated=provider.simulated,
        model=model_for(provider, asked.model, settings.model),
        base_url=provider.address(asked.base_url or settings.base_url),
        api=asked.api or settings.api,
        batch=asked.batch,
        at_once=asked.at_once,
        seed=asked.seed,
        bounds=Bounds(asked.budget_calls, asked.budget_usd, asked.budget_tokens, seconds),
        record=asked.record,
        replay=asked.replay,
    )


def _summary(scores: Scores) -> dict[str, object]:
    scored = np.isfinite(scores.sentiment)
    return {
        "unscored": scores.unscored,
        "mean_sentiment": float(scores.sentiment[scored].mean()) if scored.any() else float("nan"),
        "neutral": float((scores.sentiment[scored] == 0).mean()) if scored.any() else float("nan"),
        "mean_novelty": float(scores.novelty.mean()),
        "events": dict(Counter(event for event in scores.event if event).most_common()),
    }


def _read(workspace: Workspace, documents: Documents, ask: _Ask) -> tuple[Scores, Read, Budget]:
    import asyncio

    from agent.knowledge.run_config import Bounds
    from agent.llm.budget import Budget, StopRequested
    from agent.mining.spending import make_budget, model_chain
    from agent.texts.call_journal import open_journal
    from agent.texts.model_scores import batch_prompt, score_by_readings, score_texts, unread

    chain = model_chain(workspace.settings, ask.model, ())
    simulated = ask.simulated
    budget = Budget(Bounds()) if ask.replay else make_budget(chain, ask.bounds, simulated=simulated)
    journal = open_journal(workspace.folder("texts") / "calls.jsonl")
    left = unread(documents, journal, ask.model)
    calls = -(-len(left) // ask.batch)
    tokens = (len(batch_prompt(documents, left)) + _SYSTEM * calls) // _PER_TOKEN + _REPLY * len(left)
    price = chain[0].prices
    cost = price.cost(tokens - _REPLY * len(left), _REPLY * len(left)) if price else None
    price_text = "cost unknown (no price set)" if cost is None else f"about ${cost:.2f}"
    if not simulated and ask.replay is None:
        stderr().print(
            f"estimate: {len(left)} texts in {calls} calls, about {tokens:,} tokens; {price_text}", soft_wrap=True
        )

    async def go() -> Read:
        speaker = _speaker(workspace, ask, budget, journal, stop)
        try:
            return await score_texts(
                documents, speaker, journal, batch=ask.batch, at_once=ask.at_once, progress=progress
            )
        finally:
            await speaker.connection.close()

    with progress_bar() as bar, graceful_stop() as asked:

        def stop() -> None:
            if asked():
                raise StopRequested

        task = bar.add_task("texts read", total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        read = asyncio.run(go())
    return score_by_readings(documents, read.known, ask.model), read, budget


def _speaker(
    workspace: Workspace, ask: _Ask, budget: Budget, journal: TextJournal, stop: Callable[[], None]
) -> LanguageModel:
    from agent.llm.addresses import check_server, warnings_about
    from agent.llm.cassette import load_cassette, start_recording
    from agent.llm.client import LanguageModel, Speaking
    from agent.llm.patience import RetryRules
    from agent.llm.providers import Connection, ProviderAddress, provider_named
    from agent.llm.providers.nothing import NoConnection
    from agent.mining.spending import model_chain
    from agent.texts.model_scores import VERSION

    settings = workspace.settings.llm
    check_server(ask.base_url, (ask.model,))
    config: dict[str, object] = {"reader": VERSION, "model": ask.model, "base_url": ask.base_url, "api": ask.api}
    replay = None if ask.replay is None else load_cassette(ask.replay)
    if replay is not None:
        if replay.config.get("reader") != VERSION or replay.config.get("model") != ask.model:
            raise InputError(f"{ask.replay} is no cassette of this reading", "record one: text score --record FILE")
        client: Connection = NoConnection()
    else:
        provider = provider_named(ask.llm)
        place = ProviderAddress(ask.base_url, ask.api, settings.timeout_s, ask.seed, settings.key_env)
        provider.check(place)
        for warning in warnings_about(ask.base_url):
            stderr().print(warning, soft_wrap=True, markup=False)
        client = provider.connect(place)
    speech = Speaking(
        models=model_chain(workspace.settings, ask.model, ()),
        budget=budget,
        journal=journal,
        reply_tokens=settings.reply_tokens,
        before_call=stop,
        patience=RetryRules(tries=settings.tries),
        replay=replay,
        record=None if ask.record is None else start_recording(ask.record, config),
        deadline_s=5 * settings.timeout_s,
        note=lambda said: stderr().print(said, soft_wrap=True),
        seed=ask.seed,
    )
    return LanguageModel(client, speech)


def _show(name: str, facts: dict[str, object], scores: Scores, documents: Documents, shown: int) -> None:
    out = stdout()
    rest = f": {facts['texts']} texts by {facts['by']}"
    if "calls" in facts:
        rest += (
            f"; {facts['read']} read now in {facts['calls']} calls ({facts['tokens']} tokens), "
            f"{facts['read_before']} known from before"
        )
    out.print(headed(name, rest), soft_wrap=True)
    scored = np.isfinite(scores.sentiment)
    events = Counter(event for event in scores.event if event)
    rows = []
    for event, count in events.most_common():
        own = scored & (np.array(scores.event) == event)
        rows.append([event, str(count), format_number(float(scores.sentiment[own].mean()), 2)])
    out.print(text_table("Events", ["event", "texts", "mean sentiment"], rows))
    if scores.unscored:
        stderr().print(f"{scores.unscored} texts are not scored (a model reads only those about an asset)")
    if facts["outcome"] != "finished":
        stderr().print(f"ended early ({facts['outcome']}): the same command goes on")
    if shown:
        _show_texts(scores, documents, shown)


def _show_texts(scores: Scores, documents: Documents, shown: int) -> None:
    """Print some texts, evenly drawn, each with its scores."""
    rows = [
        [
            str(documents.known[k])[:16], *(format_number(float(one[k])) for one in _figures(scores)),
            scores.event[k] or "–", str(documents.title[k]),
        ]
        for k in np.linspace(0, len(documents) - 1, min(shown, len(documents))).astype(int)
    ]  # fmt: skip
    from rich.table import Table

    drawn = Table(title="Some of the texts", title_justify="left", header_style="bold", pad_edge=False)
    drawn.add_column("known", no_wrap=True)
    for name in ("sentiment -1 to 1", "relevance 0 to 1", "novelty 0 to 1"):
        drawn.add_column(name, justify="right", max_width=9)
    drawn.add_column("event", max_width=11)
    drawn.add_column("text", overflow="fold")
    for row in rows:
        drawn.add_row(*row)
    stdout().print(drawn)


def _figures(scores: Scores) -> tuple[FloatArray, FloatArray, FloatArray]:
    return scores.sentiment, scores.relevance, scores.novelty
