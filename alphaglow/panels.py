"""Panels from whatever holds bars: frames of pandas, Polars or Arrow, dicts of frames, files, stored data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from market.errors import InputError
from market.panel import Calendar, Panel

Given = Any


def panel(
    data: Given,
    *,
    columns: Mapping[str, str] | None = None,
    calendar: Calendar | None = None,
    repair: bool = False,
    name: str | None = None,
    workspace: str | PathLike[str] | None = None,
) -> Panel:
    """Return a panel: bars by assets, read-only, on one UTC time index.

    Parameters
    ----------
    data
        A frame of pandas, Polars or Arrow: long (a time, a symbol, open to volume), wide (times by assets: closes),
        with an index of (time, asset), or with columns of (field, asset). A dict of frames: one an asset with its
        bars, or one a field with times by assets. A path, or several, to files that `alphaglow data import` reads, or
        to a stored data set. Else the name of a data set in a workspace.
    columns
        Our name to yours, such as ``{"close": "last_price"}``; usual names are found without.
    calendar
        ``continuous`` or ``exchange``; by default found out.
    repair
        Whether bad rows are repaired; else they are refused, by name.
    workspace
        Where a name is looked up; by default the workspace at or above the current folder.

    Raises
    ------
    InputError
        For what cannot be read: what is wrong, where, and what to do.

    Examples
    --------
    >>> import numpy as np, pandas as pd, alphaglow as ag
    >>> days = pd.date_range("2024-01-01", periods=4, name="time")
    >>> closes = pd.DataFrame({"BTC": [1.0, 2.0, 3.0, 4.0], "ETH": [2.0, 2.5, 2.0, 2.5]}, index=days)
    >>> ag.panel(closes, name="two")
    Panel('two': 4 bars of 1 d, 2 assets, 2024-01-01T00:00 .. 2024-01-04T00:00; close, open, high, low, volume)
    """
    if isinstance(data, Panel):
        return data
    if isinstance(data, (str, PathLike)):
        return _of_text(data, columns, calendar, repair=repair, name=name, workspace=workspace)
    if isinstance(data, Mapping):
        return _of_mapping(data, columns, calendar, repair=repair, name=name)
    if isinstance(data, Sequence):
        return _of_files([Path(one) for one in data], columns, calendar, repair=repair, name=name)
    return _of_frame(data, columns, calendar, repair=repair, name=name)


def _of_text(
    data: str | PathLike[str],
    columns: Mapping[str, str] | None,
    calendar: Calendar | None,
    *,
    repair: bool,
    name: str | None,
    workspace: str | PathLike[str] | None,
) -> Panel:
    """Return what a path or a name stands for: a path that exists comes first."""
    path = Path(data)
    if workspace is None and path.exists():
        return _of_files([path], columns, calendar, repair=repair, name=name)
    if workspace is None and (path.suffix or len(path.parts) > 1):
        raise InputError(f"there is no file {path}", "correct the path")
    from agent.study.workspace import find_workspace

    found = find_workspace(None if workspace is None else str(workspace), Path.cwd())
    return found.load_panel(str(data))


def _of_files(
    paths: list[Path], columns: Mapping[str, str] | None, calendar: Calendar | None, *, repair: bool, name: str | None
) -> Panel:
    from market.files import import_files
    from market.panel_store import is_stored_panel, load_panel

    if len(paths) == 1 and is_stored_panel(paths[0]):
        return load_panel(paths[0])
    if len(paths) == 1 and paths[0].is_dir():
        paths = sorted(one for one in paths[0].iterdir() if one.is_file() and not one.name.startswith("."))
    called = name or (paths[0].stem if len(paths) == 1 else "panel")
    return import_files(paths, columns=columns, calendar=calendar, repair=repair, name=called)


def _of_frame(
    frame: Given, columns: Mapping[str, str] | None, calendar: Calendar | None, *, repair: bool, name: str | None
) -> Panel:
    """Return a panel of one frame that holds all assets."""
    from market.files import from_frame

    return from_frame(frame, columns=columns, calendar=calendar, repair=repair, name=name or "panel")


def _of_mapping(
    frames: Mapping[object, Given],
    columns: Mapping[str, str] | None,
    calendar: Calendar | None,
    *,
    repair: bool,
    name: str | None,
) -> Panel:
    """Return a panel of frames by field (each times by assets), or by asset (each its bars)."""
    import pandas as pd

    from market.files import pandas_frame

    if not frames:
        raise InputError("the dict has no frames", "give one frame an asset, or one a field")
    words = {str(key).lower(): frame for key, frame in frames.items()}
    closes = words.get("close")
    if isinstance(closes, pd.DataFrame) and "close" not in {str(column).lower() for column in closes.columns}:
        whole = pd.concat(words.values(), axis=1, keys=words)
        return _of_frame(whole, columns, calendar, repair=repair, name=name)
    rows = []
    for key, frame in frames.items():
        one = pandas_frame(frame)
        if one.columns.nlevels > 1:
            raise InputError(f"the frame of {key!r} has two header rows", "give one frame an asset, or one a field")
        rows.append(one.assign(symbol=str(key)))
    long = pd.concat(rows, ignore_index=True)
    return _of_frame(long, columns, calendar, repair=repair, name=name)


def demo_panel(*, bars: int = 3_000, assets: int = 12, seed: int = 7) -> Panel:
    """Return a simulated market of hourly bars with one planted signal, to try things on; it says that it is simulated.

    What rises in volume earns more: ``cs_rank(ts_mean(volume, 24) / ts_mean(volume, 168))`` is the truth. It says
    nothing about any real market.

    Examples
    --------
    >>> import alphaglow as ag
    >>> ag.demo_panel(bars=500).shape
    (500, 12)
    """
    from market.synthetic.demo_market import SynthSpec, make_market

    return make_market(SynthSpec(seed=seed, assets=assets, bars=bars)).panel
