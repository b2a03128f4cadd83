"""`alphaglow operators`, `alphaglow eval` and `alphaglow holdout`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, get_args

import click

from agent.cli.common import (
    FactorCommand,
    data_option,
    json_option,
    number,
    print_json,
    stderr,
    stdout,
    table,
    workspace_of,
)
from factors.parse import DialectName
from market.errors import InputError, Rejection

if TYPE_CHECKING:
    from backtest.evidence import Evidence


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
        stdout().print(table(family, ["operator", "meaning"], rows, left=2))


def _near(name: str, known: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"did you mean {', '.join(close)}?" if close else "list them: alphaglow operators"


def refuse(rejection: Rejection) -> InputError:
    """Turn a rejection of the user's own text into bad input, caret and all."""
    return InputError(rejection.message, rejection.hint)


@click.command("eval", cls=FactorCommand)
@click.argument("text")
@data_option
@click.option("--from", "dialect", type=click.Choice(get_args(DialectName)), default="auto", help="Language of TEXT.")
@click.option("--strict", is_flag=True, help="Refuse quantities that do not fit, added or compared.")
@click.option("--no-gate", is_flag=True, help="Leave the gate out even when one is trained.")
@json_option
@click.pass_context
def evaluate_factor(
    ctx: click.Context,
    text: str,
    data_name: str | None,
    dialect: DialectName,
    strict: bool,
    no_gate: bool,
    as_json: bool,
) -> None:
    """Parse, evaluate and backtest one factor, and print its scorecard.

    Known factors may be used by name: accepted ones by their names, published ones as alpha101_042, alpha191_007 and
    alpha158_kmid. Only train and validation are used. It is your own look, not the loop's: it is not recorded as a
    trial, so the verdict counts the trials that are recorded plus this one.
    """
    from agent.blocks import all_blocks
    from agent.gating import gate_path
    from agent.study import open_study, read_expression, score_expression
    from backtest.evidence import Trials
    from factors.reading import read_aloud

    workspace = workspace_of(ctx)
    path = workspace.resolve_data(data_name)
    whole = workspace.load_panel(data_name)
    study = open_study(whole, workspace.settings, gate_path=None if no_gate else gate_path(workspace, path.stem))
    with workspace.knowledge() as knowledge:
        blocks = all_blocks(knowledge, study.dataset, study.fields)
        expression = read_expression(text, study, dialect=dialect, blocks=blocks, strict=strict)
        if isinstance(expression, Rejection):
            raise refuse(expression)
        counted = knowledge.trials(study.dataset)
        novelty = knowledge.novelty(expression)
    trials = Trials(count=counted.count + 1, sharpe_variance=counted.sharpe_variance)
    with stderr().status("evaluating (the first time, operators are compiled)"):
        scoring = score_expression(expression, study, trials)
    if isinstance(scoring, Rejection):
        raise refuse(scoring)
    card, evidence = scoring.scored.scorecard, scoring.evidence
    if as_json:
        print_json(
            {
                "factor": expression.id,
                "text": expression.text,
                "reading": read_aloud(expression),
                "notes": list(expression.notes),
                "warnings": list(expression.warnings),
                "dimension": expression.dimension,
                "novelty": list(novelty.sentences()),
                "lookback": expression.lookback,
                "data": study.dataset,
                "gated": study.exposures is not None,
                "trials": trials.count,
                "scorecard": card.to_dict(),
                "evidence": evidence.to_dict(),
            }
        )
        return
    out = stdout()
    out.print(f"[bold]{expression.text}[/bold]   {expression.id}, look-back {expression.lookback} bars", soft_wrap=True)
    out.print(read_aloud(expression), soft_wrap=True)
    for label, remarks in (
        ("novelty", novelty.sentences()),
        ("warning", expression.warnings),
        ("note", expression.notes),
    ):
        for remark in remarks:
            out.print(f"{label}: {remark}", soft_wrap=True, markup=False)
    print_scorecard(card.to_dict(), gated=study.exposures is not None)
    if study.exposures is None:
        out.print("No gate: train one with `alphaglow gate train`.")
    out.print(record_sentence(evidence, card.bars_per_year), soft_wrap=True)
    out.print(
        f"[bold]{evidence.verdict}[/bold] over {trials.count} trials: {'; '.join(evidence.reasons)}", soft_wrap=True
    )


def record_sentence(evidence: Evidence, bars_per_year: float) -> str:
    """Say how exact the Sharpe ratio is, and how long a record would make it believable."""
    error = number(evidence.sharpe_error * math.sqrt(bars_per_year))
    if math.isfinite(evidence.min_bars):
        enough = f"{evidence.min_bars:,.0f} bars like these would make it believable"
    else:
        enough = "no number of such bars would make it believable"
    return f"Sharpe ratio a year +- {error} (one standard error); {evidence.bars:,} bars were weighed, {enough}"


_ROWS: tuple[tuple[str, str, int, bool], ...] = (
    ("rank IC", "rank_ic", 4, False),
    ("ICIR (per bar)", "ic_ir", 3, False),
    ("IC t-stat (Newey-West)", "ic_tstat", 2, False),
    ("Sharpe gross", "sharpe_gross", 2, False),
    ("Sharpe net, ungated", "sharpe_net", 2, False),
    ("Sharpe net, gated", "sharpe_gated", 2, False),
    ("Sharpe net, volatility gate", "sharpe_vol_gated", 2, False),
    ("Sharpe net, random gate", "sharpe_random_gated", 2, False),
    ("shifted gates beaten", "shift_percentile", 0, True),
    ("Sortino", "sortino", 2, False),
    ("Calmar", "calmar", 2, False),
    ("max drawdown", "max_drawdown", 1, True),
    ("return a year, net", "annual_return_net", 1, True),
    ("return a year, gated", "annual_return_gated", 1, True),
    ("turnover a bar", "turnover", 2, True),
    ("hit rate", "hit_rate", 1, True),
    ("profit factor", "profit_factor", 2, False),
    ("mean exposure", "mean_exposure", 1, True),
    ("bars", "n_bars", 0, False),
)
_GATED = {"sharpe_gated", "sharpe_vol_gated", "sharpe_random_gated", "shift_percentile", "annual_return_gated"}


def print_scorecard(card: dict[str, object], *, gated: bool) -> None:
    """Print train beside validation; a row of the gate only where there is one."""
    train, validation = card["train"], card["validation"]
    assert isinstance(train, dict)
    assert isinstance(validation, dict)
    rows = [
        [label, *(number(part.get(key), digits, percent=percent) for part in (train, validation))]
        for label, key, digits, percent in _ROWS
        if gated or key not in _GATED
    ]
    stdout().print(table("Scorecard", ["", "train", "validation"], rows))


@click.command()
@click.argument("factor")
@data_option
@click.option("--yes", is_flag=True, help="Do not ask; the opening is recorded and cannot be repeated.")
@json_option
@click.pass_context
def holdout(ctx: click.Context, factor: str, data_name: str | None, yes: bool, as_json: bool) -> None:
    """Open the holdout for FACTOR (an id of the knowledge base), once."""
    from agent.holdout import open_holdout

    workspace = workspace_of(ctx)
    if not yes:
        click.confirm("The holdout opens once per factor and the opening is recorded. Go on?", abort=True, err=True)
    path = workspace.resolve_data(data_name)
    with workspace.knowledge() as knowledge:
        result = open_holdout(workspace.load_panel(data_name), workspace, path.stem, knowledge, factor)
    if as_json:
        print_json(result)
        return
    rows = [[label, number(_float(result.get(key)), digits, percent=percent)] for label, key, digits, percent in _ROWS]
    stdout().print(table("Holdout, opened once and recorded", ["", "holdout"], rows))


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
