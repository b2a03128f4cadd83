"""A part of a data set, by dates and assets, and how it is written: ``spot@2022-01-01..2023-01-01@BTCUSDT,ETHUSDT``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from market.errors import InputError

if TYPE_CHECKING:
    from market.panel import Panel

_WRITTEN = re.compile(r"(?P<name>[^@]*)(?:@(?P<since>[^@,]*?)\.\.(?P<until>[^@,]*?))?(?:@(?P<assets>[^@]+))?")
_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2})(?:[T ](\d{2})(?::(\d{2})(?::(\d{2}))?)?)?)?)?")
# A gate, a report and others are called after the part: names of files end at 255 bytes.
_LONGEST = 180


@dataclass(frozen=True, slots=True)
class PanelPart:
    """Bars in [since, until), UTC, of some assets; empty is all.

    Attributes
    ----------
    since, until
        Times as ``2022-01-01``, ``2022-01-01T12`` or ``2022-01-01T12:30``.
    assets
        In alphabetical order.
    """

    since: str = ""
    until: str = ""
    assets: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Return whether anything is left out."""
        return bool(self.since or self.until or self.assets)

    def label(self, name: str) -> str:
        """Return the part of the data set `name` as it is written: a text that can name a file, read by `read_part`."""
        dates = f"@{quote(self.since)}..{quote(self.until)}" if self.since or self.until else ""
        assets = "@" + ",".join(quote(asset, safe="") for asset in self.assets) if self.assets else ""
        written = f"{name}{dates}{assets}"
        if len(written) > _LONGEST and self.assets:
            raise InputError(
                f"{len(self.assets)} assets are too many to be named each time",
                "make a data set of them: alphaglow data resample --assets A,B --name NAME",
            )
        return written

    def of(self, panel: Panel) -> Panel:
        """Return the part of a panel.

        Raises
        ------
        InputError
            For an asset that the panel has not, and where fewer than two bars are left.
        """
        if not self:
            return panel
        # A name is read by commands that refuse before numpy is needed.
        import numpy as np

        first = int(np.searchsorted(panel.times, np.datetime64(self.since, "ns"))) if self.since else 0
        stop = int(np.searchsorted(panel.times, np.datetime64(self.until, "ns"))) if self.until else len(panel.times)
        if stop - first < 2:
            span = f"{str(panel.times[0])[:16]} to {str(panel.times[-1])[:16]}"
            raise InputError("fewer than two bars are left", f"the data are of {span}")
        chosen = panel.select(self.assets) if self.assets else panel
        return chosen.rows(first, stop)


WHOLE = PanelPart()


def part_of(since: str | None, until: str | None, assets: str | None) -> PanelPart:
    """Return what `--since`, `--until` and `--assets` say; what is no date is an `InputError`."""
    named = [one.strip() for one in (assets or "").split(",") if one.strip()]
    return PanelPart(_moment(since, "--since"), _moment(until, "--until"), tuple(sorted(set(named))))


def _moment(text: str | None, option: str) -> str:
    if not text:
        return ""
    try:
        found = _DATE.fullmatch(text.strip())
        if found is None:
            raise ValueError(text)
        year, month, day, hour, minute, second = (int(one) if one else None for one in found.groups())
        assert year is not None
        moment = datetime(year, month or 1, day or 1, hour or 0, minute or 0, second or 0)
        whole = moment.isoformat()
        return whole.removesuffix("T00:00:00").removesuffix(":00").removesuffix(":00")
    except ValueError as error:
        raise InputError(f"{option} {text!r} is no date", "write 2024-01-31, or 2024-01-31T12:00 (UTC)") from error


def read_part(written: str) -> tuple[str, PanelPart]:
    """Return the name of a data set and the part of it that a text of `PanelPart.label` means."""
    found = _WRITTEN.fullmatch(written)
    if found is None:
        raise InputError(f"{written!r} is no part of a data set", "write NAME@2022-01-01..2023-01-01@ASSET,ASSET")
    assets = [unquote(one) for one in (found["assets"] or "").split(",") if one]
    since, until = (_moment(unquote(found[side] or ""), f"{written!r}:") for side in ("since", "until"))
    return found["name"], PanelPart(since, until, tuple(sorted(set(assets))))
