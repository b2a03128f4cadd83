"""`alphaglow translate`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from agent.cli.common import FactorCommand, data_option, json_option, print_json, stderr, stdout, workspace_of
from agent.cli.factor import FROM_HELP, as_input_error
from factors.parse import DialectName
from market.errors import InputError, Rejection

if TYPE_CHECKING:
    import numpy as np

    from factors.tree import Expression

COMMANDS = {"translate": ("translate", 50, "Translate a factor from and to other languages.")}

TARGETS = ("alphaglow", "text", "pandas", "qlib", "polars", "latex")
# Without a data set, what panels often carry may be named.
_OFTEN_CARRIED = ("cap", "funding", "open_interest", "sentiment")
_LARGEST_FILE = 100_000


@click.command(cls=FactorCommand)
@click.argument("text", required=False)
@click.option(
    "--from", "source", type=click.Choice(get_args(DialectName)), default="auto", metavar="LANGUAGE", help=FROM_HELP
)
@click.option("--to", "target", type=click.Choice(TARGETS), default="alphaglow", help="Language to write.")
@click.option("--file", "path", type=click.Path(path_type=Path), help="Read the text from a file, such as Python code.")
@click.option("--strict", is_flag=True, help="Refuse quantities that do not fit, added or compared.")
@data_option
@json_option
@click.pass_context
def translate(
    ctx: click.Context,
    text: str | None,
    source: DialectName,
    target: str,
    path: Path | None,
    strict: bool,
    data_name: str | None,
    as_json: bool,
) -> None:
    """Translate a factor, and name every place where meanings differ.

    TEXT is an expression of any dialect, or pandas code; code is read, never run. With --data, fields and bar size are
    those of the data set.
    """
    from factors.parse import parse

    given = _given(text, path)
    fields, bar, session = _known(ctx, data_name)
    expression = parse(given, fields=fields, bar=bar, dialect=source, strict=strict, session=session)
    if isinstance(expression, Rejection):
        raise as_input_error(expression)
    written = _write(expression, target)
    if as_json:
        print_json(_document(expression, target, written))
        return
    if target == "alphaglow":
        _explain(expression)
        return
    for remark in (*expression.notes, *(f"warning: {warning}" for warning in expression.warnings)):
        stderr().print(remark, soft_wrap=True, markup=False)
    click.echo(written)


def _given(text: str | None, path: Path | None) -> str:
    if (text is None) == (path is None):
        raise InputError("what should be translated?", 'write it in quotes, "mean(close, 20)", or name it with --file')
    if path is None:
        return text or ""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise InputError(f"{path} is too large for a factor", f"at most {_LARGEST_FILE} bytes are read")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from error


def _known(ctx: click.Context, data_name: str | None) -> tuple[tuple[str, ...], np.timedelta64 | None, int | None]:
    """Return the fields of a data set, the length of its bars, and the bars of a session; without one, the usual."""
    from factors.table import GROUP_FIELDS, STANDARD_FIELDS

    if data_name is None:
        return (*STANDARD_FIELDS, *GROUP_FIELDS, *_OFTEN_CARRIED), None, None
    panel = workspace_of(ctx).load_panel(data_name)
    return tuple({*STANDARD_FIELDS, *panel.fields}), panel.bar, panel.session_bars


def _write(expression: Expression, target: str) -> str:
    from factors.plain_words import read_aloud
    from factors.writers.latex import to_latex
    from factors.writers.pandas_code import to_pandas
    from factors.writers.polars_code import to_polars
    from factors.writers.to_qlib import to_qlib

    writers: dict[str, Callable[[Expression], str]] = {
        "alphaglow": lambda e: e.text,
        "text": read_aloud,
        "pandas": lambda e: to_pandas(e, reading=read_aloud(e)),
        "qlib": to_qlib,
        "polars": to_polars,
        "latex": to_latex,
    }
    return writers[target](expression)


def _document(expression: Expression, target: str, written: str) -> dict[str, object]:
    from factors.plain_words import read_aloud

    return {
        "factor": expression.id,
        "text": expression.text,
        "reading": read_aloud(expression),
        "lookback": expression.lookback if expression.is_bounded else None,
        "dimension": expression.dimension,
        "size": expression.size,
        "depth": expression.depth,
        "notes": list(expression.notes),
        "warnings": list(expression.warnings),
        "target": target,
        "written": written,
    }


def _explain(expression: Expression) -> None:
    from factors.plain_words import read_aloud

    out = stdout()
    out.print(expression.text, soft_wrap=True, markup=False, style="bold")
    out.print(read_aloud(expression), soft_wrap=True, markup=False)
    back = f"looks back {expression.lookback} bars" if expression.is_bounded else "looks back to the first bar"
    out.print(f"{expression.id}, {back}, measured in: {expression.dimension}, {expression.size} nodes", soft_wrap=True)
    for note in expression.notes:
        out.print(f"differs: {note}", soft_wrap=True, markup=False)
    for warning in expression.warnings:
        out.print(f"warning: {warning}", soft_wrap=True, markup=False)
