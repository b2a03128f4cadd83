"""`alphaglow operators`, `alphaglow eval` and `alphaglow holdout`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, get_args

import click

from agent.cli.common import (
    FactorCommand,
    data_option,
    format_number,
    headed,
    json_option,
    panel_option,
    print_json,
    stderr,
    stdout,
    text_table,
    workspace_of,
)
from agent.cli.option_record import recorded
from agent.cli.running import say
from agent.cli.scorecard_print import (
    SCORECARD_ROWS,
    print_gates,
    print_profile,
    print_rule,
    print_scorecard,
    record_sentence,
)
from factors.parse import DialectName
from market.errors import InputError, Rejection

if TYPE_CHECKING:
    from agent.knowledge.knowledge_base import KnowledgeBase
    from agent.study.looking import Look
    from agent.study.study import Study
    from backtest.run import Backtest
    from backtest.shrunk_sharpe import ShrunkSharpe
    from factors.overlap import Novelty
    from factors.tree import Expression

Result = TypeVar("Result")
COMMANDS = {
    "operators": ("operators", 40, "Explain the factor language, or one operator."),
    "eval": ("evaluate_factor", 60, "Parse, evaluate and backtest one factor."),
    "holdout": ("holdout", 170, "Open the holdout for one factor or pool, once."),
}
FROM_HELP = f"Language of TEXT: {', '.join(get_args(DialectName))}."


@click.command()
@click.argument("name", required=False)
def operators(name: str | None) -> None:
    """Explain the factor language, or the operator NAME."""
    from factors.table import OPERATORS, describe

    if name is not None:
        if name not in OPERATORS:
            raise InputError(f"no operator {name!r}", _near(name, list(OPERATORS)))
        click.echo(describe(name))
        return
    families: dict[str, list[list[str]]] = {}
    for operator in OPERATORS.values():
        signature = f"{operator.name}({', '.join(param.name for param in operator.params)})"
        families.setdefault(operator.family, []).append([signature, operator.summary])
    for family, rows in families.items():
        stdout().print(text_table(family, ["operator", "meaning"], rows, left=2))


def _near(name: str, known: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"did you mean {', '.join(close)}?" if close else "list them: alphaglow operators"


def as_input_error(rejection: Rejection) -> InputError:
    """Turn a rejection of the user's own text into bad input, caret and all."""
    return InputError(rejection.message, rejection.hint)


@dataclass(frozen=True)
class EvalOptions:
    """What `alphaglow eval` was asked for."""

    text: str
    data_name: str | None
    dialect: DialectName
    strict: bool
    no_gate: bool
    rule: str | None
    ledger: Path | None
    no_record: bool
    as_json: bool


@click.command("eval", cls=FactorCommand)
@click.argument("text")
@panel_option
@click.option(
    "--from", "dialect", type=click.Choice(get_args(DialectName)), default="auto", metavar="LANGUAGE", help=FROM_HELP
)
@click.option("--strict", is_flag=True, help="Refuse quantities that do not fit, added or compared.")
@click.option("--no-gate", is_flag=True, help="Leave the gate out even when one is trained.")
@click.option(
    "--rule",
    metavar="auto|as set|FILE",
    help="Trading rule: auto chooses it on train; FILE (TOML) has rate, band, holding or volatility_scaled.",
)
@click.option(
    "--ledger",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the positions bar by bar (.csv or .parquet).",
)
@click.option("--no-record", is_flag=True, help="Show train alone, without a verdict: it is no trial then.")
@json_option
@click.pass_context
@recorded(EvalOptions)
def evaluate_factor(ctx: click.Context, asked: EvalOptions) -> None:
    """Parse, evaluate and backtest one factor, and print its scorecard and its verdict.

    Known factors may be used by name: accepted ones by their names, published ones as alpha101_042, alpha191_007 and
    alpha158_kmid. Only train and validation are used. Each factor that is scored is recorded and counts as a trial, as
    those of a run do; the same factor on the same data under the same rules is counted once. With --no-record nothing
    is counted, and so nothing of validation is shown and no verdict given.
    """
    if asked.no_record and asked.ledger is not None:
        raise InputError("--ledger writes what was traded on validation too", "leave out --no-record")
    from agent.study.early_check import holds, read_early

    workspace = workspace_of(ctx)
    path, part = workspace.resolve_part(asked.data_name)
    # The manifest speaks of the whole: names of factors are those of the data that are worked on.
    early = None if part else read_early(asked.text, workspace, path, dialect=asked.dialect, strict=asked.strict)
    expression = None if early is None else _unless_refused(early)
    from agent.study.opening import CurrentRules, open_data
    from agent.study.study import check_fit

    rules = CurrentRules()
    if asked.rule is not None:
        from agent.study.rule_file import traded_under

        rules = CurrentRules(backtest=traded_under(workspace.settings.backtest, asked.rule))
    opened = open_data(workspace, asked.data_name, rules, gate=not asked.no_gate, note=say)
    from agent.study.lineage_notes import meet_data, related_rows, say_left_out

    with workspace.knowledge() as knowledge:
        say_left_out(knowledge, opened, say)
        # What is refused is refused before the gate and the targets are prepared.
        if expression is None or not holds(expression, opened.ungated.fields):
            # Names of factors that were accepted on what these data grew out of may be used.
            knowledge.register_dataset(opened.whole)
            read = _read_late(asked, opened.ungated, knowledge)
        else:
            read = check_fit(expression, opened.ungated)
        expression = _unless_refused(read)
        from agent.study.expectations import expected_sharpe
        from agent.study.looking import look_at_factor, look_at_train

        study = opened.study
        related = meet_data(knowledge, opened.whole, say)
        novelty = knowledge.novelty(expression)
        with stderr().status("evaluating (the first time, operators are compiled)"):
            if asked.no_record:
                seen = look_at_train(expression, study)
            else:
                seen = look_at_factor(expression, asked.text, opened, knowledge, trades=asked.ledger is not None)
        seen = _unless_refused(seen)
        forward = None
        if seen.evidence is not None:
            forward = expected_sharpe(seen.scorecard, expression.id, study.dataset, knowledge)
    if asked.ledger is not None and seen.backtest is not None:
        _write_positions(seen.backtest, study, asked.ledger)
    if asked.as_json:
        print_json({**_evaluation(expression, seen, study, novelty, forward), "related": related_rows(related)})
    else:
        _print_evaluation(expression, seen, study, novelty, forward)


def _unless_refused(result: Result | Rejection) -> Result:
    """Return what is no refusal; a refusal is raised as an `InputError`."""
    if isinstance(result, Rejection):
        raise as_input_error(result)
    return result


def _write_positions(traded: Backtest, study: Study, ledger: Path) -> None:
    from agent.study.ledger_file import write_ledger

    write_ledger(traded, study.panel, ledger)
    stderr().print(f"ledger written to {ledger}")


def _read_late(asked: EvalOptions, study: Study, knowledge: KnowledgeBase) -> Expression | Rejection:
    """Read a text by the loaded data, where their manifest does not say all."""
    from agent.study.blocks import all_blocks
    from agent.study.study import read_expression

    blocks = all_blocks(knowledge, study.dataset, study.fields)
    return read_expression(asked.text, study, dialect=asked.dialect, blocks=blocks, strict=asked.strict)


def _evaluation(
    expression: Expression, seen: Look, study: Study, novelty: Novelty, forward: ShrunkSharpe | None
) -> dict[str, object]:
    """Return all that was found out about a factor, for JSON."""
    from agent.study.study import remarks
    from backtest.rule_words import rule_of, rule_sentence
    from backtest.verdict_words import verdict_sentence
    from factors.plain_words import read_aloud

    evidence = seen.evidence
    card = seen.scorecard.to_dict()
    return {
        "forward": None if forward is None else asdict(forward),
        "verdict": None if evidence is None else evidence.verdict,
        "says": None if evidence is None else verdict_sentence(evidence, seen.scorecard, study.policy.level),
        "factor": expression.id,
        "text": expression.text,
        "reading": read_aloud(expression),
        "notes": list(expression.notes),
        "warnings": list(expression.warnings),
        "remarks": list(remarks(study)),
        "dimension": expression.dimension,
        "novelty": list(novelty.sentences()),
        "copy": None if seen.copy is None else seen.copy.message,
        "lookback": expression.lookback,
        "data": study.dataset,
        "gated": study.exposures is not None,
        "rule": rule_of(seen.scorecard).to_dict(),
        "rule_says": rule_sentence(seen.scorecard),
        "recorded": evidence is not None,
        "attempt": None if seen.attempt is None else seen.attempt.id,
        "run": None if seen.attempt is None else seen.attempt.run_id,
        "trials": None if evidence is None else evidence.trials,
        "detectable": None if seen.could is None else asdict(seen.could),
        "scorecard": card if evidence is not None else {k: v for k, v in card.items() if k != "validation"},
        "evidence": None if evidence is None else evidence.to_dict(),
    }


def _print_evaluation(
    expression: Expression, seen: Look, study: Study, novelty: Novelty, forward: ShrunkSharpe | None
) -> None:
    """Print all that was found out about a factor, for people."""
    from agent.study.expectations import forward_sentence
    from agent.study.study import remarks
    from backtest.policy import counted, train_words
    from backtest.verdict_words import verdict_sentence
    from factors.plain_words import read_aloud

    card, evidence = seen.scorecard, seen.evidence
    out = stdout()
    about = f"   {expression.id}, look-back {expression.lookback} bars"
    out.print(headed(expression.text, about), soft_wrap=True)
    out.print(read_aloud(expression), soft_wrap=True)
    if evidence is not None:
        said = verdict_sentence(evidence, card, study.policy.level)
        out.print(headed(evidence.verdict, f": {said}"), soft_wrap=True)
    if forward is not None:
        out.print(forward_sentence(forward), soft_wrap=True)
    for label, sentences in (
        ("novelty", (*novelty.sentences(), *(() if seen.copy is None else (seen.copy.message,)))),
        ("warning", expression.warnings),
        ("note", expression.notes),
        ("data", remarks(study)),
    ):
        for sentence in sentences:
            out.print(f"{label}: {sentence}", soft_wrap=True, markup=False)
    print_scorecard(card, gated=study.exposures is not None, validation=evidence is not None)
    print_rule(card)
    if evidence is None:
        out.print(train_words(card.train.payoff_z), soft_wrap=True)
        out.print(f"{seen.note}; without --no-record it is a trial, and gets one", soft_wrap=True)
        return
    print_profile(card)
    print_gates(evidence)
    if study.exposures is None:
        out.print("No gate is used: see [gate] neutral, or fit one with `alphaglow flow fit`.")
    out.print(record_sentence(evidence, card.bars_per_year), soft_wrap=True)
    if seen.could is not None:
        out.print(seen.could.sentence(), soft_wrap=True)
    why = f" after {counted(evidence.trials)} on these data: {'; '.join(evidence.reasons)}"
    out.print(headed(evidence.verdict, why), soft_wrap=True)
    if seen.note:
        out.print(seen.note, soft_wrap=True)


@click.command()
@click.argument("factor")
@data_option
@click.option("--yes", is_flag=True, help="Do not ask; the opening is recorded.")
@click.option("--again", is_flag=True, help="Open it although it was opened before; every report then says so.")
@json_option
@click.pass_context
def holdout(ctx: click.Context, factor: str, data_name: str | None, yes: bool, again: bool, as_json: bool) -> None:
    """Open the holdout for FACTOR (an id of the knowledge base, or the name of a pool), once.

    It is scored under the rules that its run or its pool recorded: their split says which bars were never looked at.
    Who opened it, when, under which rules and with what result goes into the knowledge base.
    """
    from agent.evidence.holdout import open_holdout

    workspace = workspace_of(ctx)
    if not yes:
        click.confirm("The holdout opens once per factor and the opening is recorded. Go on?", abort=True, err=True)
    with workspace.knowledge() as knowledge:
        opening = open_holdout(workspace, data_name, knowledge, factor, again=again, note=say)
    if as_json:
        shown = {name: getattr(opening, name) for name in ("number", "opened_by", "start", "end", "forward")}
        print_json({**opening.score.to_dict(), **shown})
        return
    rows = [
        [label, format_number(getattr(opening.score, key), digits, percent=percent)]
        for label, key, digits, percent in SCORECARD_ROWS
    ]
    which = f"Holdout, opening {opening.number}{', forward' if opening.forward else ''}, recorded"
    stdout().print(text_table(which, ["", "holdout"], rows))
    if opening.start and opening.end:
        stdout().print(f"Bars from {opening.start} to {opening.end}.", soft_wrap=True)
