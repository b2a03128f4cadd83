"""`alphaglow propose`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.asking_options import AskingOptions, choice_of, model_options, request_of, request_options
from agent.cli.common import (
    data_option,
    format_number,
    graceful_stop,
    headed,
    json_option,
    print_json,
    stderr,
    stdout,
    text_table,
    workspace_of,
)
from agent.cli.option_record import recorded
from agent.cli.running import say
from market.errors import InputError

if TYPE_CHECKING:
    from agent.asking.answer_words import AnswerWords
    from agent.asking.proposing import Answer, Answered
    from agent.asking.scored_answers import Came, Expected

COMMANDS = {"propose": ("propose", 95, "Ask a model for a factor, in your own words.")}


@dataclass(frozen=True)
class ProposeOptions(AskingOptions):
    """What `alphaglow propose` was asked for."""

    words: str | None
    asset: str | None
    kind: str | None
    lookback: str | None
    context: str | None
    only_fields: str | None
    complexity: int | None
    bar: str | None
    save: Path | None


@click.command()
@click.argument("words", metavar="[REQUEST]", required=False)
@click.option("--asset", metavar="CLASS", help="Class of assets: crypto, stock, forex, ... (said to the model).")
@request_options
@click.option("--complexity", type=click.IntRange(min=1), metavar="N", help="Most nodes of the expression (checked).")
@click.option("--bar", metavar="SPAN", help="Without data: size of a bar (default: what the request says, else 1d).")
@data_option
@click.option("--count", type=click.IntRange(1, 50), default=1, show_default=True, help="How many factors.")
@click.option(
    "--save", type=click.Path(file_okay=False, path_type=Path), help="Write each factor's code to this folder."
)
@model_options
@json_option
@click.pass_context
@recorded(ProposeOptions)
def propose(ctx: click.Context, asked: ProposeOptions) -> None:
    """Ask a model for a factor: REQUEST in your own words and language, options for what is to be checked.

    The answer has the expression, what it means, Python code (written by machine from the expression), the reason, the
    risks, and what the model expects of it. An expression that breaks the request goes back to the model once, and is
    then refused with the reason. With --data each factor is scored at once, as `alphaglow eval` does it, which counts
    as a trial; what was expected stands beside what came, and `alphaglow kb judge` adds that up.

    The same request to the same model is paid for once; --seed asks again.
    """
    workspace = workspace_of(ctx)
    request = request_of(asked.kind, asked.lookback, asked.context, asked.only_fields, asked.words or "")
    request = replace(request, asset=asked.asset or "", complexity=asked.complexity or 0)
    choice = choice_of(asked)
    from agent.asking.answer_words import answer_words
    from agent.asking.proposing import propose_factors

    with graceful_stop() as stop:
        answer = propose_factors(
            workspace,
            request,
            choice,
            data=asked.data_name,
            count=asked.count,
            bar=asked.bar or "",
            note=say,
            stop=stop,
        )
    if not answer.factors and answer.refused:
        raise _nothing(answer)
    if asked.save is not None:
        _save(answer, asked.save)
    if asked.as_json:
        print_json(answer.to_dict())
        return
    for one in answer.factors:
        _print(one, answer_words(answer.language), code=len(answer.factors) == 1 and asked.save is None)
    for refused in answer.refused:
        stdout().print(f"refused: {refused.text}\n{refused.reason.with_hint()}", soft_wrap=True, markup=False)
    _print_end(answer)


def _nothing(answer: Answer) -> InputError:
    """Return why a request was not answered at all."""
    last = answer.refused[-1]
    wrote = f"\nits last answer: {last.text}" if last.text else ""
    return InputError(
        f"{answer.model} proposed nothing that keeps to the request\n{last.reason.message}{wrote}",
        "ask again with another --seed or --model, or loosen the request",
    )


def _print(one: Answered, words: AnswerWords, *, code: bool) -> None:
    out = stdout()
    said = words.lookback.format(bars=one.lookback)
    out.print(headed(one.name, f"   {one.factor}, {said}"), soft_wrap=True)
    out.print(one.canonical, soft_wrap=True, markup=False)
    out.print(one.reading, soft_wrap=True, markup=False)
    for label, text in (
        (words.rationale, one.rationale),
        (words.mechanism, one.mechanism),
        *((words.risk, risk) for risk in one.risk_factors),
        *((words.note, text) for text in one.notes),
    ):
        out.print(f"{label}: {text}", soft_wrap=True, markup=False)
    out.print(_expectations(one.expected, one.came, words))
    if one.came is not None:
        out.print(headed(one.came.verdict, f": {one.came.says}"), soft_wrap=True)
        if one.came.note:
            out.print(one.came.note, soft_wrap=True, markup=False)
    if one.refused:
        out.print(f"not scored: {one.refused}", soft_wrap=True, markup=False)
    if code:
        click.echo(f"\n{one.code}")
    out.print()


def _expectations(expected: Expected, came: Came | None, words: AnswerWords) -> object:
    pairs = (
        (words.rank_ic, expected.ic, None if came is None else came.ic, 4),
        (words.turnover, expected.turnover, None if came is None else came.turnover, 3),
        (words.holding, expected.holding, None if came is None else came.holding, 1),
    )
    rows = [
        [label, format_number(said, digits), *([] if came is None else [format_number(found, digits)])]
        for label, said, found, digits in pairs
    ]
    columns = ["", words.expected, *([] if came is None else [words.came])]
    return text_table(words.expects, columns, rows)


def _print_end(answer: Answer) -> None:
    from agent.asking.answer_words import answer_words

    if answer.simulated:
        said = answer_words(answer.language).simulated.format(model=answer.model)
        stdout().print(said, markup=False)
    if answer.outcome != "finished":
        stdout().print(f"Ended early ({answer.outcome}): the same command goes on.")


def _save(answer: Answer, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for one in answer.factors:
            path = folder / f"{one.factor.replace(':', '_')}.py"
            path.write_text(one.code, encoding="utf-8")
            stderr().print(f"code written to {path}", soft_wrap=True, markup=False)
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}", "choose another folder") from error
