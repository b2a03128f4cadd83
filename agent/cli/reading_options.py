"""Options that say how files are read: shared by the commands that read what people bring."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from agent.cli.data_show import column_pairs, known_zone
from market.errors import InputError

if TYPE_CHECKING:
    from market.reading.conventions import FileConventions, Stamps

_NAMED = {"tab": "\t", "\\t": "\t", "semicolon": ";", "comma": ",", "space": " ", "point": ".", "dot": "."}


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """What a person said about how files are written; empty is found out."""

    columns: tuple[str, ...] = ()
    zone: str = ""
    stamps: Stamps | None = None
    sep: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    no_header: bool = False
    names: str | None = None
    skip: int | None = None
    date_format: str | None = None
    day_first: bool | None = None
    recipe: str = ""
    units: tuple[str, ...] = ()
    wide: str = ""
    symbol: str = ""

    def conventions(self) -> FileConventions:
        """Return them checked; what cannot be meant is an `InputError`."""
        from market.reading.conventions import FileConventions, TextForm, TimeForm

        if self.zone:
            known_zone(self.zone)
        text = TextForm(
            _sign(self.sep, "--sep"), _sign(self.decimal, "--decimal"), _sign(self.thousands, "--thousands"),
            _known_encoding(self.encoding), False if self.no_header else None,
            tuple(name.strip() for name in self.names.split(",")) if self.names else (), self.skip,
        )  # fmt: skip
        return FileConventions(
            columns=column_pairs(self.columns), zone=self.zone, stamps=self.stamps, text=text,
            times=TimeForm(self.date_format, self.day_first), recipe=self.recipe, units=unit_pairs(self.units),
            wide=self.wide, symbol=self.symbol,
        )  # fmt: skip


def reading_options(*, but: Collection[str] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options to a command, which gets them as one keyword, ``reading``; write it above `click.pass_context`.

    Parameters
    ----------
    but
        Fields of `ReadingOptions` that mean nothing to the command: it has no options of them.
    """
    names = [name for name in ReadingOptions.__dataclass_fields__ if name not in but]

    def add(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def callback(*args: Any, **options: Any) -> None:  # noqa: ANN401 - click's own values
            reading = ReadingOptions(**{name: options.pop(name) for name in names})
            command(*args, reading=reading, **options)

        for name in reversed(names):
            callback = _OPTIONS[name](callback)
        return callback

    return add


def unit_pairs(pairs: tuple[str, ...]) -> dict[str, float]:
    """Return what `--unit FIELD=FACTOR` says."""
    units = {}
    for pair in pairs:
        name, _, factor = pair.partition("=")
        try:
            units[name.strip()] = float(factor)
        except ValueError as error:
            raise InputError(f"--unit {pair!r} is not FIELD=FACTOR", "for example --unit amount=1000") from error
        if not 0 < units[name.strip()] < float("inf"):
            raise InputError(f"--unit {pair!r}: the factor must be above 0", "for example --unit volume=100")
    return units


def _sign(given: str | None, option: str) -> str | None:
    sign = _NAMED.get(given.lower(), given) if given else given
    if sign is not None and len(sign) != 1:
        raise InputError(f"{option} {given!r} is not one character", "write it, or tab, semicolon, comma, space, point")
    return sign


def _known_encoding(name: str | None) -> str | None:
    import codecs

    try:
        return codecs.lookup(name).name if name else None
    except LookupError as error:
        raise InputError(f"--encoding {name!r} is not known", "for example utf-8, gb18030 or latin-1") from error


_OPTIONS = {
    "columns": click.option(
        "--column", "columns", multiple=True, metavar="OURS=THEIRS", help="Map a column; repeat as needed."
    ),
    "recipe": click.option(
        "--recipe", default="", metavar="NAME", help="How a known source writes; `data recipes` lists them."
    ),
    "sep": click.option("--sep", metavar="SIGN", help="Between cells: a character, or tab."),
    "decimal": click.option("--decimal", metavar="SIGN", help="Before a fraction: . or ,"),
    "thousands": click.option("--thousands", metavar="SIGN", help="Between groups of digits."),
    "encoding": click.option("--encoding", metavar="NAME", help="Of the text, such as gb18030."),
    "no_header": click.option("--no-header", is_flag=True, help="The first row holds data, no names."),
    "names": click.option("--names", metavar="A,B,C", help="Names of all columns, in the file's order."),
    "skip": click.option("--skip", type=click.IntRange(0), metavar="N", help="Lines above the table."),
    "date_format": click.option("--date-format", metavar="FORMAT", help="Of dates, such as %d.%m.%Y."),
    "day_first": click.option("--day-first/--month-first", default=None, help="Whether 03/02 is 3 February."),
    "zone": click.option(
        "--tz", "zone", default="", metavar="ZONE", help="Time zone of times that state none (default: UTC)."
    ),
    "stamps": click.option(
        "--stamps", type=click.Choice(["open", "close"]),
        help="Whether a time is a bar's open or its close (default: what it looks like, else open).",
    ),
    "units": click.option(
        "--unit", "units", multiple=True, metavar="FIELD=FACTOR", help="A factor, such as amount=1000."
    ),
    "symbol": click.option("--symbol", default="", metavar="NAME", help="The asset of a file without symbols."),
    "wide": click.option(
        "--wide", default="", metavar="FIELD", help="The columns are assets; their values are this field."
    ),
}  # fmt: skip
