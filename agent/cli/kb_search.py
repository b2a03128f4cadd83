"""`alphaglow kb search|calls`: what was tried and said, found again."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from agent.cli.common import format_number, json_option, print_json, stdout, text_table, workspace_of
from market.errors import InputError

if TYPE_CHECKING:
    from agent.knowledge.factor_records import Found
    from agent.knowledge.knowledge_base import KnowledgeBase
    from agent.knowledge.looking_up import LookingUp
    from agent.knowledge.records import CallRecord

_REPLY_SHOWN = 100


@click.command()
@click.argument("words", nargs=-1)
@click.option(
    "--like", metavar="FACTOR", help="An id or an expression: what shares parts with it, the most alike first."
)
@click.option("--theme", metavar="NAME", help="Only of this theme: momentum, reversal, volatility ...")
@click.option("--limit", default=30, show_default=True, type=click.IntRange(min=1))
@json_option
@click.pass_context
def search(
    ctx: click.Context, words: tuple[str, ...], like: str | None, theme: str | None, limit: int, as_json: bool
) -> None:
    """Find attempts by WORDS in their name, reason, claims, text or refusal, the best match first.

    A word stands for every word that it begins; all must occur.
    """
    said = " ".join(words)
    if not (said or like or theme):
        raise InputError("what is to be found?", "say WORDS, --like FACTOR or --theme NAME")
    workspace = workspace_of(ctx)
    if like is not None:
        with workspace.knowledge() as knowledge:
            found = _found(knowledge, said, _alike(knowledge, like, 1000 if said or theme else limit), theme, limit)
    else:
        with workspace.listing() as listing:
            found = _found(listing, said, None, theme, limit)
    if as_json:
        print_json([{**one.attempt.to_dict(), "match": one.score, "shared": one.shared} for one in found])
        return
    from agent.knowledge.attempt_figures import verdict_of

    rows = [
        [
            str(a.id),
            (a.factor_id or "")[7:17],
            a.name,
            a.canonical or a.text,
            verdict_of(a),
            format_number(one.score),
            one.shared,
        ]
        for one in found
        for a in (one.attempt,)
    ]
    asked = [f"with {said!r}"] * bool(said) + [f"like {like}"] * bool(like) + [f"of {theme}"] * bool(theme)
    columns = ["attempt", "factor", "name", "expression", "verdict", "match", "shares"]
    stdout().print(
        text_table(
            f"{len(rows)} attempts {', '.join(asked)}",
            columns if like else columns[:-1],
            [row if like else row[:-1] for row in rows],
            left=5,
        )
    )


def _found(knowledge: LookingUp, said: str, alike: list[Found] | None, theme: str | None, limit: int) -> list[Found]:
    """Return what has the words and the theme, of what is `alike` where that was asked for."""
    from agent.knowledge.factor_records import Found
    from agent.knowledge.paging import newest_with_theme
    from agent.mining.search.themes import THEMES, is_theme, theme_of

    if theme is not None and theme not in THEMES:
        raise InputError(f"no theme {theme!r}", f"there are {', '.join(THEMES)}")
    if alike is not None:
        found = alike
        if said:
            named = {one.attempt.id for one in knowledge.search_text(said, limit=None)}
            found = [one for one in found if one.attempt.id in named]
    elif said:
        # Where a theme is asked for too, it is looked for among all that match.
        found = knowledge.search_text(said, limit=limit if theme is None else None)
    else:
        with knowledge.asking() as ask:
            newest = newest_with_theme(ask, partial(is_theme, str(theme)), limit)
        found = [Found(attempt, 1.0) for attempt in newest]
    if theme is not None:
        found = [one for one in found if theme_of(one.attempt) == theme]
    return found[:limit]


def _alike(knowledge: KnowledgeBase, like: str, limit: int) -> list[Found]:
    from factors.parse import parse
    from factors.tree import Expression

    expression = parse(like, fields=None)
    if not isinstance(expression, Expression) or like.isalnum():
        expression = parse(knowledge.get_factor(like).canonical, fields=None)
    if not isinstance(expression, Expression):
        raise InputError(f"{like!r} cannot be read: {expression.one_line()}")
    return knowledge.alike(expression, limit=limit)


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--key", help="The whole prompt and reply of one call, such as r1/s0/t1/writer/1.")
@json_option
@click.pass_context
def calls(ctx: click.Context, run_id: str, key: str | None, as_json: bool) -> None:
    """Show what models were asked in RUN, and what they answered."""
    with workspace_of(ctx).knowledge() as knowledge:
        run = knowledge.get_run(run_id)
        found = [call for call in knowledge.calls(run.id) if key is None or call.key == key]
    if key is not None and not found:
        raise InputError(f"run {run.id} holds no call {key!r}", f"list them: alphaglow kb calls {run.id}")
    if as_json:
        print_json([call.to_dict() for call in found])
    elif key is not None:
        _print_call(found[0])
    else:
        rows = [
            [
                c.key,
                c.model,
                c.status,
                c.response[:_REPLY_SHOWN],
                _tokens(c.prompt_tokens),
                _tokens(c.completion_tokens),
            ]
            for c in found
        ]
        columns = ["call", "model", "status", "reply begins", "prompt tokens", "reply tokens"]
        stdout().print(text_table(f"{len(rows)} calls of run {run.id}", columns, rows, left=4))


def _tokens(count: int | None) -> str:
    return "unknown" if count is None else str(count)


def _print_call(call: CallRecord) -> None:
    import json

    from rich.text import Text

    out = stdout()
    out.print(f"{call.key}: {call.model}, {call.mode or 'no reply'}, {call.status}, {call.created}", markup=False)
    for message in json.loads(call.request):
        out.print(Text(f"\n[{message['role']}]", style="bold"))
        out.print(Text(str(message["content"])), soft_wrap=True)
    out.print(Text("\n[reply]", style="bold"))
    out.print(Text(call.response), soft_wrap=True)
