"""A text table: its head tells its layout, then pandas reads it; plain numbers quickly, all others in one style."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pandas as pd

from market.columns import ALIASES, plain_name
from market.errors import InputError
from market.panel import OHLCV
from market.reading.conventions import FileConventions
from market.reading.encodings import encoding_of
from market.reading.files_on_disk import opened_for_reading
from market.reading.headerless import guess_names
from market.reading.json_tables import json_lines, json_table
from market.reading.layout import TableLayout, cell_kind, clock_place, layout_of, unquoted_tail
from market.reading.numbers import (
    NumberStyle,
    are_thirty_seconds,
    figures_of,
    reads_as_number,
    style_of,
    to_numbers,
)
from market.reading.odd_lines import names_with_assets, with_plain_digits, without_rules, without_units
from market.reading.recipe import Recipe, by_rows, recipe_named
from market.reading.sections import in_one_part, parts_beside, stacked

_HEAD = 1 << 17
_FIRST = 100


@dataclass(frozen=True)
class ReadTable:
    """A file's table: its rows, what was found out on the way, and the recipe that it fits."""

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()
    recipe: Recipe | None = None


def read_text(path: Path, kind: str, reading: FileConventions) -> ReadTable:
    """Read a text file, packed or not, as `market.table_files.read_file` has it."""
    source = opened_for_reading(path, kind)
    head = _ends(source)[0]
    start = head.lstrip(b"\xef\xbb\xbf \r\n\t")[:1]
    form = reading.text
    words = [word for names in ALIASES.values() for word in names]
    encoding = form.encoding or encoding_of(head, words, path)
    if start in (b"{", b"["):
        return _read_json(path, source, encoding, form.names)
    text = head.decode(encoding, errors="strict" if len(head) < _HEAD else "ignore")
    if len(head) >= _HEAD:
        text = text[: text.rfind("\n") + 1] or text
    source, text, encoding = with_plain_digits(*without_rules(source, text, encoding))
    layout = layout_of(text.lstrip("\ufeff"), len(head) < _HEAD, form, path)
    notes = _layout_notes(layout, encoding, reading)
    source, layout = without_units(source, layout, encoding, notes)
    two_headers = bool(layout.header) and _two_headers([layout.header, *layout.rows])
    if not two_headers:
        source, layout = in_one_part(source, layout, encoding, notes)
    beside = parts_beside(text, layout)
    recipe = recipe_named(reading.recipe) if reading.recipe else None
    names, recipe = _names(layout, recipe, reading, path)
    if layout.header and not reading.text.names and not beside:
        names = names_with_assets(text, layout) or names
    if not layout.header:
        notes.append(f"no header: columns are taken for {', '.join(names)}")
    if two_headers:
        return ReadTable(_read_two_headers(source, layout.skip, encoding, layout.sep, path), tuple(notes))
    tail = _ends(source)[1]
    below, first = unquoted_tail(tail.decode(encoding, errors="ignore"), layout)
    if below:
        source = _without_last(source, below)
        notes.append(f"left out {below} lines below the table: {first[:60]!r}")
    # Blanks behind separators are looked for only where some are: that takes a fifth of all the time.
    blanks = layout.sep + " " in text
    how = _How(source, encoding, layout, names, _text_columns(names, layout, reading), path, blanks)
    frame = _read_cells(how, reading, notes)
    if beside:
        return ReadTable(stacked(frame, layout, beside), tuple(notes))
    ends = tail.decode(encoding, errors="ignore")
    if not below and len(frame) > 2 and _is_cut(ends, layout):
        frame = frame.iloc[:-1]
        notes.append("the last row is cut: left out")
    return ReadTable(_without_empty(frame), tuple(notes), recipe)


def _ends(source: IO[bytes] | Path) -> tuple[bytes, bytes]:
    if isinstance(source, Path):
        with source.open("rb") as stream:
            head = stream.read(_HEAD)
            size = stream.seek(0, io.SEEK_END)
            stream.seek(max(0, size - 4096))
            return head, stream.read()
    head = source.read(_HEAD)
    size = source.seek(0, io.SEEK_END)
    source.seek(max(0, size - 4096))
    tail = source.read()
    source.seek(0)
    return head, tail


def _without_last(source: IO[bytes] | Path, count: int) -> IO[bytes]:
    data = source.read_bytes() if isinstance(source, Path) else source.read()
    return io.BytesIO(b"".join(data.splitlines(keepends=True)[:-count]))


def _is_cut(tail: str, layout: TableLayout) -> bool:
    """Whether the file ends within a row: no end of line, and fewer cells than a row has."""
    if tail.endswith(("\n", "\r")) or '"' in tail:
        return False
    last = tail.splitlines()[-1] if tail.splitlines() else ""
    return 0 < last.count(layout.sep) < layout.width - 1


def _read_json(path: Path, source: IO[bytes] | Path, encoding: str, names: tuple[str, ...]) -> ReadTable:
    data = source.read_bytes() if isinstance(source, Path) else source.read()
    try:
        text = data.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not {encoding} throughout", "say --encoding") from error
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return ReadTable(json_lines(text.splitlines(), path, names))
    frame = json_table(text, path, names)
    if "symbol" in frame and '"symbol"' not in text:
        said = f"the names of tables are taken for symbols: {', '.join(map(str, frame['symbol'].unique()[:4]))}"
        return ReadTable(frame, (said,))
    first = str(frame.columns[0])
    unnamed = first in ("ts", "open_time") and f'"{first}"' not in text[:100_000] and text.lstrip()[:1] in "[{"
    listed = unnamed and "[[" in text[:100_000].replace(" ", "").replace("\n", "")
    return ReadTable(frame, (f"lists: taken for {', '.join(map(str, frame.columns))}",) if listed else ())


def _layout_notes(layout: TableLayout, encoding: str, reading: FileConventions) -> list[str]:
    notes = []
    if layout.skip and layout.above and not layout.above.lower().startswith(("http", "www.", "sep=")):
        notes.append(f"left out {layout.skip} lines above the table: {layout.above[:60]!r}")
    if layout.sep != "," and reading.text.sep is None:
        notes.append(f"cells are separated by {'a tab' if layout.sep == chr(9) else layout.sep}")
    if encoding.lower() not in ("utf-8", "utf-8-sig") and reading.text.encoding is None:
        notes.append(f"the text is in {encoding}")
    return notes


def _names(
    layout: TableLayout, recipe: Recipe | None, reading: FileConventions, path: Path
) -> tuple[tuple[str, ...], Recipe | None]:
    """Return the columns' names, and the recipe that they came from."""
    if reading.text.names:
        if len(reading.text.names) != layout.width:
            raise InputError(
                f"{path} has {layout.width} columns, --names has {len(reading.text.names)}",
                "give one name a column with --names",
            )
        return reading.text.names, recipe
    if not layout.header:
        recipe = recipe if recipe is not None and recipe.names else by_rows(layout.rows, path)
        if recipe is not None and len(recipe.names) == layout.width:
            return recipe.names, recipe
        return guess_names(layout.rows, path), None
    if not layout.shifted:
        return _distinct(layout.header), recipe
    if layout.width == len(layout.header) + 1 and all(not row[-1].strip() for row in layout.rows):
        return _distinct((*layout.header, "")), recipe
    return _distinct(_names_of_longer_rows(layout)), recipe


def _names_of_longer_rows(layout: TableLayout) -> tuple[str, ...]:
    """Return names of rows that have a cell or two more than the header: a row's name, or a time of day cut off."""
    header, more, place = layout.header, layout.width - len(layout.header), clock_place(layout.rows[0])
    if place < 0 or (more == 1 and place > 0 and plain_name(header[place]) in ("time", "hour", "clock")):
        return ("", *header)
    # R's write.table: a row's name without one, and date and time of day apart though one column.
    names = header if more == 1 else ("", *header)
    return (*names[:place], "date", "Time", *names[place + 1 :])


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return names as pandas has them: none is "Unnamed: n", a repeated one has a number."""
    out: list[str] = []
    for place, name in enumerate(names):
        plain = name.strip() or f"Unnamed: {place}"
        count = 0
        while (f"{plain}.{count}" if count else plain) in out:
            count += 1
        out.append(f"{plain}.{count}" if count else plain)
    return tuple(out)


def _text_columns(names: tuple[str, ...], layout: TableLayout, reading: FileConventions) -> frozenset[str]:
    """Return columns that stay text: symbols, and codes that begin with a zero."""
    codes = {
        name for n, name in enumerate(names)
        if any(len(row) > n and len(row[n]) > 1 and row[n].isdigit() and row[n][0] == "0" for row in layout.rows)
        and all(len(row) > n and row[n].strip().isdigit() for row in layout.rows)
        and plain_name(name) not in ("time", "hour")
    }  # fmt: skip
    mapped = reading.columns.get("symbol")
    return frozenset(codes | {name for name in names if plain_name(name) in ALIASES["symbol"] or name == mapped})


@dataclass(frozen=True)
class _How:
    """How pandas is to read a text table."""

    source: IO[bytes] | Path
    encoding: str
    layout: TableLayout
    names: tuple[str, ...]
    texts: frozenset[str]
    path: Path
    blanks: bool

    def read(self, *, as_text: bool, decimal: str = ".", texts: frozenset[str] = frozenset()) -> pd.DataFrame:
        if not isinstance(self.source, Path):
            self.source.seek(0)
        kinds: Any = str if as_text else dict.fromkeys(self.texts | texts, str)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame: pd.DataFrame = pd.read_csv(
                self.source, sep=self.layout.sep, skiprows=self.layout.skip, header=0 if self.layout.header else None,
                names=list(self.names), index_col=False, dtype=kinds, encoding=self.encoding,
                skipinitialspace=self.blanks,
                keep_default_na=not as_text, na_filter=not as_text, low_memory=False, decimal=decimal,
            )  # fmt: skip
        return frame


def _read_cells(how: _How, reading: FileConventions, notes: list[str]) -> pd.DataFrame:
    """Read plain numbers quickly; any others as texts, which are then understood in one style for the whole file."""
    form = reading.text
    given = (
        NumberStyle(form.decimal or ("," if form.thousands == "." else "."), form.thousands or "")
        if form.decimal or form.thousands
        else None
    )
    numeric = [n for n, name in enumerate(how.names) if name not in how.texts and _is_numeric(how.layout, n)]
    plain = all(_floats(row[n]) for row in how.layout.rows for n in numeric if len(row) > n)
    try:
        if plain and given is None:
            frame = how.read(as_text=False)
            if _all_numbers(frame, how, numeric):
                return _whole_symbols(frame, how)
        elif _comma_alone(how, numeric, given):
            # pandas reads a decimal comma as quickly; a cell with a point makes a column text, and is read below.
            others = frozenset(how.names) - {how.names[n] for n in numeric}
            frame = how.read(as_text=False, decimal=",", texts=others)
            if _all_numbers(frame, how, numeric):
                notes.append("numbers are written with ',' before a fraction")
                return _whole_symbols(frame, how)
        frame = _without_headers(how.read(as_text=True), how, notes)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{how.path} is not {how.encoding} throughout", "say --encoding, such as --encoding latin-1"
        ) from error
    columns = [how.names[n] for n in numeric]
    cells = (cell for name in columns for cell in frame[name].drop_duplicates().head(4_000))
    style = style_of(cells, how.path, given)
    if not style.plain and given is None:
        grouped = f", {style.thousands!r} between thousands" if style.thousands else ""
        notes.append(f"numbers are written with {style.decimal!r} before a fraction{grouped}")
    signs = {cell.strip()[-1] for row in how.layout.rows for n, cell in enumerate(row) if n in numeric and cell.strip()}
    if signs & set("%KkMmBbTt万亿"):
        notes.append("per cent are read as fractions, and K, M, B as thousands, millions, billions")
    for name in frame.columns:
        # A first cell that is no number makes the column text: dates are not tried one by one.
        if name in how.texts or to_numbers(frame[name].head(_FIRST), style)[1].any():
            continue
        values, bad = to_numbers(frame[name], style)
        if not bad.any() and values.notna().any():
            whole = frame[name].str.strip().str.fullmatch(r"-?\d{1,18}").all()
            frame[name] = frame[name].astype("int64") if whole else values
        elif values.isna().all() and not bad.any():
            frame[name] = values
    return _empty_to_missing(frame)


def _empty_to_missing(frame: pd.DataFrame) -> pd.DataFrame:
    texts = [name for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
    return frame.assign(**{name: frame[name].mask(frame[name].str.strip() == "") for name in texts})


def _all_numbers(frame: pd.DataFrame, how: _How, numeric: list[int]) -> bool:
    return all(pd.api.types.is_numeric_dtype(frame[how.names[n]]) for n in numeric)


def _comma_alone(how: _How, numeric: list[int], given: NumberStyle | None) -> bool:
    """Whether numbers have a decimal comma and nothing else that a program would stumble over."""
    cells = [row[n].strip() for row in how.layout.rows for n in numeric if len(row) > n and row[n].strip()]
    bare = all(
        (not cell.strip("+-0123456789,eE") and cell.count(",") < 2) or cell_kind(cell) == "blank" for cell in cells
    )
    return bare and style_of(cells, how.path, given) == NumberStyle(",", "")


def _without_headers(frame: pd.DataFrame, how: _How, notes: list[str]) -> pd.DataFrame:
    """Leave out rows that are the header once more, as where files were put one behind the other."""
    if not how.layout.header or frame.empty:
        return frame
    again = pd.Series(True, index=frame.index)
    for name, cell in zip(how.names, how.layout.header, strict=False):
        again &= frame[name].str.strip() == cell.strip()
    if not again.any() or len(how.layout.header) != len(how.names):
        return frame
    notes.append(f"the header comes {int(again.sum())} times more: left out")
    return frame[~again].reset_index(drop=True)


def _whole_symbols(frame: pd.DataFrame, how: _How) -> pd.DataFrame:
    """Read symbols such as NA and NULL, which pandas takes for missing, as they are written."""
    for name in how.texts:
        if frame[name].isna().any():
            read = how.read(as_text=True)[name]
            frame[name] = read.mask(read.str.strip() == "")
    return frame


def _is_numeric(layout: TableLayout, place: int) -> bool:
    cells = [row[place].strip() for row in layout.rows if len(row) > place]
    kinds = [cell_kind(cell) for cell in cells if cell]
    kinds = [kind for kind in kinds if kind != "blank"]
    if are_thirty_seconds(cells):
        return False
    return bool(kinds) and kinds.count("number") >= 0.8 * len(kinds)


def _floats(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell_kind(cell) == "blank" or not reads_as_number(cell)
    return "_" not in cell


def _without_empty(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave out columns without a name that count rows or hold nothing; one that holds times or names stays."""
    drop = []
    for name in frame.columns:
        if not str(name).startswith("Unnamed:"):
            continue
        column = frame[name]
        counts = (
            pd.api.types.is_integer_dtype(column)
            and len(column) > 0
            and ((column.diff().dropna() == 1).all() or (column.is_unique and int(column.max()) <= len(column)))
            and not column.between(19_000_101, 21_001_231).all()
        )
        if column.isna().all() or counts:
            drop.append(name)
    frame = frame.drop(columns=drop)
    if len(frame.columns) and frame.iloc[:, 0].isna().any():
        # ",,,,," of spreadsheets.
        frame = frame[frame.notna().any(axis=1)].reset_index(drop=True)
    return frame


def _two_headers(rows: list[tuple[str, ...]]) -> bool:
    """Whether the first two rows name fields and assets: the one repeats open to volume, the other holds no number."""
    if len(rows) < 3 or len(rows[0]) < 5 or len(rows[0]) != len(rows[1]):
        return False
    known = {alias for ours in OHLCV for alias in ALIASES[ours]}
    recognised = [sum(plain_name(cell) in known for cell in row[1:]) for row in rows[:2]]
    words = all(not reads_as_number(cell) for row in rows[:2] for cell in row[1:])
    # A header that comes twice names no assets.
    return (
        words
        and max(recognised) >= 4
        and min(recognised) < 4
        and all(any(cell.strip() for cell in row[1:]) for row in rows[:2])
    )


def _read_two_headers(source: IO[bytes] | Path, skip: int, encoding: str, sep: str, path: Path) -> pd.DataFrame:
    if not isinstance(source, Path):
        source.seek(0)
    frame = pd.read_csv(source, header=[0, 1], index_col=0, skiprows=skip, encoding=encoding, sep=sep)
    # yfinance names the index in a row of its own, of which nothing else is left.
    frame = frame[frame.index.notna()]
    first = str(frame.index[0]).strip().lower() if len(frame) else ""
    if first in ("date", "datetime", "ticker") and frame.iloc[0].isna().all():
        frame = frame.iloc[1:]
    frame.index.name = "ts"
    for column in frame.columns:
        frame[column] = figures_of(frame[column], path)
    return frame
