"""`alphaglow data fetch SOURCE` for a source that returns its bars at once: Yahoo, or one that a plugin adds."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.cli.common import headed, progress_bar, stderr, stdout
from agent.study.workspace import Workspace
from market.manifest import Origin
from market.sources import SOURCES, BarRequest

if TYPE_CHECKING:
    from market.panel import Panel


def fetch_at_once(
    workspace: Workspace,
    source: str,
    symbols: tuple[str, ...],
    timeframe: str,
    period: tuple[datetime, datetime | None],
    name: str,
    *,
    overwrite: bool,
) -> dict[str, object]:
    """Fetch the bars of a period, write the data set and its record, and return what there is to print."""
    from agent.cli.data_show import describe_panel, free_path

    path = free_path(workspace, name, overwrite=overwrite)
    cache = workspace.folder("data") / "raw" / source
    with progress_bar() as bar:
        task = bar.add_task(f"bars from {source}", total=len(symbols))
        request = BarRequest(
            symbols,
            timeframe,
            *period,
            cache,
            lambda symbol: bar.update(task, advance=1, description=symbol),
        )
        found = SOURCES[source].fetch(request)
    facts: dict[str, object] = {
        **found.facts,
        "source": source,
        "symbols": list(symbols),
        "timeframe": timeframe,
        "since": period[0].isoformat(),
        "until": None if period[1] is None else period[1].isoformat(),
        "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
        "panel": found.panel.id,
        "notes": list(found.notes),
    }
    origin = Origin(source, {"symbols": list(symbols), "timeframe": timeframe})
    keep_fetched(path, found.panel, ".source.json", facts, origin)
    return {**describe_panel(found.panel, name), "fetch": facts}


def keep_fetched(path: Path, panel: Panel, suffix: str, facts: dict[str, Any], origin: Origin) -> None:
    """Write the record of a fetch beside its data set, and then the data set."""
    from market.panel_store import save_panel, write_atomically

    text = json.dumps(facts, indent=1)
    write_atomically(path.with_suffix(suffix), lambda target: target.write_text(text, encoding="utf-8"))
    save_panel(panel, path, origin)


def show_at_once(fetched: dict[str, object]) -> None:
    """Print what was fetched."""
    facts = fetched["fetch"]
    assert isinstance(facts, dict)
    for line in facts["notes"]:
        stderr().print(line, markup=False)
    about = f"  {fetched['start']} to {fetched['end']}, {len(facts['symbols'])} assets from {facts['source']}"
    stdout().print(headed(str(fetched["name"]), f"{about}\n{facts['panel']}"))
