"""`alphaglow operators`, `alphaglow eval` and `alphaglow holdout`."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, get_args

import click

from agent.cli.common import (
    FactorCommand,
    data_option,
    format_number,
    json_option,
    panel_option,
    print_json,
    stderr,
    stdout,
    text_table,
    workspace_of,
)
from agent.cli.option_record import recorded
from agent.cli.quick_data import QuickData, fetch_quick, quick_data, quick_options, traded_alone
from agent.cli.running import say
from agent.cli.scorecard_print import (
    SCORECARD_ROWS,
)
from factors.parse import DialectName
from market.errors import InputError, Rejection

if TYPE_CHECKING:
    from agent.knowledge.knowledge_base import KnowledgeBase
    from agent.study.looking import Look
    from agent.study.opening import OpenData
    from agent.study.study import Study
    from agent.study.trade_frame import TradeTable
    from agent.study.workspace import Workspace
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
    trades: bool
    trades_file: Path | None
    full: bool
    no_record: bool
    symbols: str | None
    days: int | None
    exchange: str | None
    timeframe: str | None
    base_url: str | None
    as_json: bool

    @property
    def needs_trades(self) -> bool:
        """Whether the backtest itself is asked for, and not only its figures."""
        return self.trades or self.ledger is not None or self.trades_file is not None


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
    help="Trading rule: auto chooses it on train; FILE (TOML) has rate, band, holding, volatility_scaled, "
    "market_neutral or liquid_half.",
)
@click.option(
    "--ledger",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write positions, prices and profit bar by bar (.csv or .parquet).",
)
@click.option("--trades", is_flag=True, help="Show the trades: entry, exit, costs, profit, win rate.")
@click.option(
    "--trades-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write all trades (.csv or .parquet).",
)
@quick_options
@click.option("--full", is_flag=True, help="Show all figures, tables and tests.")
@click.option("--no-record", is_flag=True, help="Show train alone, without a verdict: it is no trial then.")
@json_option
@click.pass_context
@recorded(EvalOptions)
def evaluate_factor(ctx: click.Context, asked: EvalOptions) -> None:
    """Parse, evaluate and backtest one factor, and print its verdict and what it rests on.

    Known factors may be used by name: accepted ones by their names, published ones as alpha101_042, alpha191_007 and
    alpha158_kmid. Only train and validation are used. Each factor that is scored is recorded and counts as a trial, as
    those of a run do; the same factor on the same data under the same rules is counted once. With --no-record nothing
    is counted, and so nothing of validation is shown and no verdict given.
    """
    if asked.no_record and asked.ledger is not None:
        raise InputError("--ledger writes what was traded on validation too", "leave out --no-record")
    workspace = workspace_of(ctx)
    expression, opened = _opened(workspace, asked)
    from agent.study.lineage_notes import meet_data, related_rows, say_left_out

    with workspace.knowledge() as knowledge:
        say_left_out(knowledge, opened, say)
        # What is refused is refused before the gate and the targets are prepared.
        expression = _checked(expression, asked, opened, knowledge)
        from agent.study.expectations import expected_sharpe
        from agent.study.looking import look_at_factor, look_at_train

        study = opened.study
        related = meet_data(knowledge, opened.whole, say)
        novelty = knowledge.novelty(expression)
        with stderr().status("evaluating (the first time, operators are compiled)"):
            if asked.no_record:
                seen = look_at_train(expression, study)
            else:
                seen = look_at_factor(expression, asked.text, opened, knowledge, trades=asked.needs_trades)
        seen = _unless_refused(seen)
        forward = None
        if seen.evidence is not None:
            forward = expected_sharpe(seen.scorecard, expression.id, study.dataset, knowledge)
    table = _traded(asked, seen, study)
    if asked.as_json:
        listed = {} if table is None else {"trades": _trades_json(table)}
        found = _evaluation(expression, seen, study, novelty, forward)
        print_json({**found, **listed, "related": related_rows(related)})
        return
    from agent.cli.eval_print import print_full, print_short, print_trades

    if asked.full:
        print_full(expression, seen, study, novelty, forward)
    else:
        print_short(expression, seen, study, novelty)
    if table is not None and asked.trades:
        print_trades(table)


def _checked(
    expression: Expression | None, asked: EvalOptions, opened: OpenData, knowledge: KnowledgeBase
) -> Expression:
    """Return a factor that these data can score; one that was not read yet may name accepted factors."""
    from agent.study.early_check import holds
    from agent.study.study import check_fit

    if expression is None or not holds(expression, opened.ungated.fields):
        # Names of factors that were accepted on what these data grew out of may be used.
        knowledge.register_dataset(opened.whole)
        return _unless_refused(_read_late(asked, opened.ungated, knowledge))
    return _unless_refused(check_fit(expression, opened.ungated))


def _opened(workspace: Workspace, asked: EvalOptions) -> tuple[Expression | None, OpenData]:
    """Return the factor, where the manifest of its data suffices to read it, and the data opened under the rules."""
    from agent.study.early_check import read_early

    data_name = asked.data_name
    wanted = quick_data(asked.symbols, asked.days, asked.exchange, asked.timeframe, asked.base_url)
    if wanted is not None:
        data_name = _fetched(workspace, wanted, data_name)
    path, part = workspace.resolve_part(data_name)
    # The manifest speaks of the whole: names of factors are those of the data that are worked on.
    early = None if part else read_early(asked.text, workspace, path, dialect=asked.dialect, strict=asked.strict)
    expression = None if early is None else _unless_refused(early)
    from agent.study.opening import CurrentRules, open_data

    traded = workspace.settings.backtest
    if asked.rule is not None:
        from agent.study.rule_file import traded_under

        traded = traded_under(traded, asked.rule)
    if wanted is not None:
        traded = traded_alone(traded, len(wanted.symbols))
    rules = CurrentRules(backtest=None if traded is workspace.settings.backtest else traded)
    return expression, open_data(workspace, data_name, rules, gate=not asked.no_gate, note=say)


def _fetched(workspace: Workspace, wanted: QuickData, data_name: str | None) -> str:
    """Fetch what `--symbol` names, which stands in the place of `--data`."""
    if data_name is not None and not data_name.startswith("@"):
        raise InputError("--symbol stands in the place of --data", "say one of them")
    return fetch_quick(workspace, wanted) + (data_name or "")


def _traded(asked: EvalOptions, seen: Look, study: Study) -> TradeTable | None:
    """Write the files of what was traded that were asked for, and return the trades where they are to be shown."""
    if seen.backtest is None or not asked.needs_trades:
        return None
    from agent.study.ledger_file import write_ledger
    from agent.study.trade_frame import table_of_trades, write_trades

    if asked.ledger is not None:
        write_ledger(seen.backtest, study, asked.ledger, None if seen.signal is None else seen.signal.values)
        stderr().print(f"ledger written to {asked.ledger}")
    table = table_of_trades(seen.backtest, study, validation=seen.evidence is not None)
    if asked.trades_file is not None:
        write_trades(table, asked.trades_file)
        stderr().print(f"{len(table.frame):,} trades written to {asked.trades_file}")
    return table if asked.trades else None


def _trades_json(table: TradeTable) -> dict[str, object]:
    figures = {name: asdict(one) for name, one in table.figures.items()}
    rows = table.frame.astype(object).to_dict("records")
    listed = [{**row, "entry": str(row["entry"]), "exit": str(row["exit"]).replace("NaT", "")} for row in rows]
    return {"capital": table.capital, "figures": figures, "list": listed}


def _unless_refused(result: Result | Rejection) -> Result:
    """Return what is no refusal; a refusal is raised as an `InputError`."""
    if isinstance(result, Rejection):
        raise as_input_error(result)
    return result


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
    from backtest.trade_figures import total_return
    from backtest.verdict_words import verdict_sentence
    from factors.plain_words import read_aloud

    evidence, scored = seen.evidence, seen.scorecard
    card = scored.to_dict()
    shown = {"train": scored.train, **({} if evidence is None else {"validation": scored.validation})}
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
        "total_return": {name: total_return(part, scored.bars_per_year) for name, part in shown.items()},
        "recorded": evidence is not None,
        "attempt": None if seen.attempt is None else seen.attempt.id,
        "run": None if seen.attempt is None else seen.attempt.run_id,
        "trials": None if evidence is None else evidence.trials,
        "detectable": None if seen.could is None else asdict(seen.could),
        "scorecard": card if evidence is not None else {k: v for k, v in card.items() if k != "validation"},
        "evidence": None if evidence is None else evidence.to_dict(),
    }


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
        opened = open_holdout(workspace, data_name, knowledge, factor, again=again, note=say)
    opening = opened.record
    totals = {"net": opened.total_return, "gated": opened.total_return_gated}
    if as_json:
        shown = {name: getattr(opening, name) for name in ("number", "opened_by", "start", "end", "forward")}
        earned = {"total_return": totals["net"], "total_return_gated": totals["gated"]}
        print_json({**opening.score.to_dict(), **shown, **earned})
        return
    rows = [
        [label, format_number(getattr(opening.score, key), digits, percent=percent)]
        for label, key, digits, percent in SCORECARD_ROWS
    ]
    place = next(i for i, row in enumerate(rows) if row[0] == "return a year, net")
    for kind, total in totals.items():
        if kind == "net" or math.isfinite(total):
            rows.insert(place, [f"total return, {kind}", format_number(total, 1, percent=True)])
    which = f"Holdout, opening {opening.number}{', forward' if opening.forward else ''}, recorded"
    stdout().print(text_table(which, ["", "holdout"], rows))
    if opening.start and opening.end:
        stdout().print(f"Bars from {opening.start} to {opening.end}.", soft_wrap=True)
