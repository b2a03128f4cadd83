"""Panels as Qlib's own data folders, written and read without Qlib: calendars, instruments, and features as float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from market.errors import InputError
from market.panel import OHLCV, Calendar, FloatArray, Panel, TimeArray

_MINUTE, _DAY = np.timedelta64(1, "m"), np.timedelta64(1, "D")
_PLAIN = '/\\:*?"<>|'


def write_qlib(panel: Panel, folder: Path) -> Path:
    """Write a panel as a data folder that ``qlib.init(provider_uri=folder)`` opens, and return it.

    Prices, volume and further fields become `$close` and so on; `$factor`, by which Qlib adjusts prices, is 1. Values
    are float32, as Qlib stores them: about seven digits. The universe becomes the instruments' span of time.

    Raises
    ------
    InputError
        For a folder that is not empty, and for assets whose names cannot name a folder or differ in case alone.
    """
    names = [asset.lower() for asset in panel.assets]
    odd = [asset for asset in panel.assets if any(sign in asset for sign in _PLAIN) or asset.startswith(".")]
    if odd or len(set(names)) < len(names):
        said = f"{odd[0]!r} cannot name a folder" if odd else "names of assets differ in case alone"
        raise InputError(said, "rename them: panel.to_frame(), then ag.panel(frame)")
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty", "name a new folder")
    freq = freq_of(panel.bar)
    form = "D" if freq == "day" else "s"
    moments = [str(time).replace("T", " ") for time in panel.times.astype(f"datetime64[{form}]")]
    try:
        for name in ("calendars", "instruments", "features"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        _lines(folder / "calendars" / f"{freq}.txt", moments)
        spans = [_write_asset(panel, column, folder / "features" / names[column], freq) for column in range(len(names))]
        rows = [
            f"{asset}\t{moments[span[0]]}\t{moments[span[1]]}"
            for asset, span in zip(panel.assets, spans, strict=True)
            if span is not None
        ]
        _lines(folder / "instruments" / "all.txt", rows)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror}", "choose a place you may write") from error
    return folder


def read_qlib(folder: Path, *, freq: str = "day", calendar: Calendar | None = None, name: str = "qlib") -> Panel:
    """Return the panel of a Qlib data folder: every instrument, every field that any of them has.

    Raises
    ------
    InputError
        For a folder that is none of Qlib's, or without bars of this `freq`.
    """
    times_file = folder / "calendars" / f"{freq}.txt"
    if not times_file.is_file():
        known = ", ".join(sorted(path.stem for path in (folder / "calendars").glob("*.txt"))) or "none"
        raise InputError(f"{folder} has no calendar of {freq!r}", f"bars that it has: {known}")
    try:
        stamps = times_file.read_text(encoding="utf-8").split("\n")
        times = np.array([line.strip() for line in stamps if line.strip()], dtype="datetime64[ns]")
        listed = (folder / "instruments" / "all.txt").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {folder}: {error}", "is it a data folder of Qlib?") from error
    assets = tuple(dict.fromkeys(line.split("\t")[0] for line in listed if line.strip()))
    fields: dict[str, FloatArray] = {}
    for column, asset in enumerate(assets):
        for path in sorted((folder / "features" / asset.lower()).glob(f"*.{freq}.bin")):
            field = path.name.removesuffix(f".{freq}.bin")
            if field != "factor":
                whole = fields.setdefault(field, np.full((len(times), len(assets)), np.nan))
                _fill(whole[:, column], path)
    if "close" not in fields:
        raise InputError(f"{folder} has no closes of {freq!r}", "is it a data folder of Qlib?")
    for field in OHLCV:
        fields.setdefault(field, np.full((len(times), len(assets)), np.nan))
    bar = _DAY if freq == "day" else int(freq.removesuffix("min") or 1) * _MINUTE
    there = np.isfinite(fields["close"])
    return Panel(times, assets, fields, there, bar, calendar or _calendar(times), name=name)


def freq_of(bar: np.timedelta64) -> str:
    """Return Qlib's word for a length of bars: ``day``, or minutes such as ``60min``."""
    if bar == _DAY:
        return "day"
    minutes = float(bar / _MINUTE)
    if bar > _DAY or minutes < 1 or minutes % 1:
        raise InputError(f"Qlib has no bars of {minutes:g} minutes", "use bars of a day, or of whole minutes")
    return f"{minutes:g}min"


def _write_asset(panel: Panel, column: int, folder: Path, freq: str) -> tuple[int, int] | None:
    """Write an asset's fields from its first bar to its last, and return their rows; None where it has no bar."""
    rows = np.flatnonzero(np.isfinite(panel["close"][:, column]))
    if not len(rows):
        return None
    folder.mkdir()
    first, last = int(rows[0]), int(rows[-1])
    whole = {**panel.fields, "factor": np.where(np.isfinite(panel["close"]), 1.0, np.nan)}
    for name, values in whole.items():
        # The first number says at which row of the calendar the values begin.
        content = np.concatenate([[first], values[first : last + 1, column]]).astype("<f4")
        content.tofile(folder / f"{name.lower()}.{freq}.bin")
    return first, last


def _fill(column: FloatArray, path: Path) -> None:
    content = np.fromfile(path, dtype="<f4")
    first = int(content[0]) if len(content) else 0
    if not 0 <= first <= len(column) or first + len(content) - 1 > len(column):
        raise InputError(f"{path} has more bars than the calendar", "was the folder written whole?")
    column[first : first + len(content) - 1] = content[1:]


def _calendar(times: TimeArray) -> Calendar:
    days = times.astype("datetime64[D]").astype(np.int64)
    # 1970-01-01 was a Thursday.
    weekend = ((days + 3) % 7 >= 5).mean() if len(days) else 0.0
    return "continuous" if weekend > 0.1 else "exchange"


def _lines(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
