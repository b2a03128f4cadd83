"""The work of `alphaglow data fetch` and `data update`: one fetch from any source, stored, recorded and shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.cli.common import headed, progress_bar, stderr, stdout, text_table
from agent.cli.data_fetch import FACTS, RECORD
from agent.study.workspace import Workspace
from market.bar_source import BarRequest, FetchedBars, is_exchange
from market.manifest import Origin
from market.sources import source_of

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from market.bar_source import Progress
    from market.panel import Panel


@dataclass(frozen=True)
class StoredFetch:
    """A fetch whose data set is stored: what came, and the data set described, with the facts under ``fetch``."""

    bars: FetchedBars
    described: dict[str, Any]


def fetch_bars(workspace: Workspace, request: BarRequest, name: str) -> StoredFetch:
    """Fetch what is asked for, write the data set and its record, and return what there is to show."""
    from market.panel_facts import describe_panel

    source = source_of(request.source)
    with progress_bar() as bar:
        # Of an exchange it is known only later how many bars are missing.
        task = bar.add_task(f"bars from {request.source}", total=None if is_exchange(source) else len(request.symbols))
        found = source.fetch(replace(request, progress=shown_in(bar, task), say=stderr().print))
        found = _plausible(found, request.source)
    path = workspace.data_path(name)
    asked = {"symbols": list(request.symbols), "timeframe": request.timeframe}
    origin = Origin(request.source, found.query or asked)
    if found.record is not None:
        keep_fetched(path, found.panel, RECORD, found.record, origin)
        return StoredFetch(found, {**describe_panel(found.panel, name), "fetch": dict(found.facts)})
    facts: dict[str, object] = {
        **found.facts,
        "source": request.source,
        **asked,
        "since": request.since.isoformat(),
        "until": None if request.until is None else request.until.isoformat(),
        "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
        "panel": found.panel.id,
        "notes": list(found.notes),
    }
    keep_fetched(path, found.panel, FACTS, facts, origin)
    return StoredFetch(found, {**describe_panel(found.panel, name), "fetch": facts})


def _plausible(found: FetchedBars, source: str) -> FetchedBars:
    """Return a fetch whose bars can be, with a note of what was found out."""
    from market.fetched_bars import plausible_panel

    notes = list(found.notes)
    panel = plausible_panel(found.panel, source, notes.append)
    record = None if found.record is None else {**found.record, "panel": panel.id}
    return replace(found, panel=panel, notes=tuple(dict.fromkeys(notes)), record=record)


def shown_in(bar: Bar, task: TaskID) -> Progress:
    """Return what shows the progress of a fetch as a task of a progress bar."""

    def show(done: float, total: float, what: str = "") -> None:
        bar.update(task, completed=round(done), total=round(total), description=what or None)

    return show


def keep_fetched(path: Path, panel: Panel, suffix: str, facts: Mapping[str, object], origin: Origin) -> None:
    """Write the record of a fetch beside its data set, and then the data set.

    The record goes first: a data set without one could not be brought up to date.
    """
    from market.atomic_files import write_atomically
    from market.panel_store import save_panel

    text = json.dumps(facts, indent=1)
    write_atomically(path.with_suffix(suffix), lambda target: target.write_text(text, encoding="utf-8"))
    save_panel(panel, path, origin)


def recorded_rows(record: Path) -> dict[str, int]:
    """Return how many bars of each symbol the record of a fetch names; nothing where it names none."""
    facts = json.loads(record.read_text(encoding="utf-8"))
    return {str(one["symbol"]): int(one["rows"]["ohlcv"]) for one in facts.get("symbols", ())}


def added_bars(before: Mapping[str, int], found: StoredFetch) -> dict[str, int]:
    """Return how many bars a fetch added to what there was, by symbol."""
    now = {str(one["symbol"]): int(one["rows"]["ohlcv"]) for one in found.described["fetch"]["symbols"]}
    return {symbol: rows - before.get(symbol, 0) for symbol, rows in now.items()}


def added_sentence(added: Mapping[str, int], found: StoredFetch) -> str:
    """Say in a sentence what an update added."""
    newest = f"{str(found.bars.panel.times[-1])[:16]} UTC"
    grown = {symbol: rows for symbol, rows in added.items() if rows > 0}
    if not grown:
        return f"nothing new; the last closed bar is that of {newest}"
    low, high = min(grown.values()), max(grown.values())
    each = f"{high:,} bars" if low == high else f"{low:,} to {high:,} bars"
    return f"{each} added for {len(grown)} of {len(added)} symbols, up to {newest}"


def show_bars(found: StoredFetch) -> None:
    """Print what was fetched."""
    described, facts = found.described, found.described["fetch"]
    for line in found.bars.notes:
        stderr().print(line, markup=False)
    if found.bars.record is not None:
        _show_pages(found.bars.panel, str(described["name"]), facts)
        return
    about = f"  {described['start']} to {described['end']}, {len(facts['symbols'])} assets from {facts['source']}"
    stdout().print(headed(str(described["name"]), f"{about}\n{facts['panel']}"))


def _show_pages(panel: Panel, name: str, facts: dict[str, Any]) -> None:
    out, symbols = stdout(), facts["symbols"]
    out.print(
        headed(
            name,
            f"  {str(panel.times[0])[:16]} to {str(panel.times[-1])[:16]} UTC, {panel.shape[0]} bars, "
            f"{panel.shape[1]} assets, {facts['requests']} requests ({facts['asked_again']} made again)\n"
            f"{panel.id}  fields: {', '.join(sorted(panel.fields))}",
        )
    )
    more = f" (30 of {len(symbols)})" if len(symbols) > 30 else ""
    columns = ["symbol", "bars", "first", "last", "ended", "holes"]
    out.print(text_table(f"Symbols{more}", columns, [_cells(one) for one in symbols[:30]]))
    for note in sorted({str(one["note"]) for one in symbols if one.get("note")}):
        out.print(f"note: {note}")


def _cells(symbol: dict[str, Any]) -> list[str]:
    """Return a row of the table of symbols."""
    holes, counts = symbol.get("holes"), symbol["rows"]
    assert isinstance(holes, list)
    days = [_day(symbol.get(key)) for key in ("first_bar", "last_bar", "delisted")]
    return [str(symbol["symbol"]), str(counts["ohlcv"]), *days, str(len(holes))]


def _day(stamp: object) -> str:
    return f"{datetime.fromtimestamp(stamp / 1000, UTC):%Y-%m-%d %H:%M}" if isinstance(stamp, int) else "–"
