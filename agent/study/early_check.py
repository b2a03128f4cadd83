"""Reading a factor's text by what a data set's manifest says, before the data are loaded, which takes seconds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from agent.study.workspace import LEARNED_PREFIX, Workspace
from factors.parse import DialectName, parse
from factors.table import STANDARD_FIELDS
from market.manifest import read_manifest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import numpy as np

    from factors.tree import Expression
    from market.errors import Rejection

_LEARNED = f"{LEARNED_PREFIX}*.npz"
# The mean of traded money, which any panel has.
_MEAN_MONEY = re.compile(r"adv\d+")


def read_early(
    text: str, workspace: Workspace, data: Path, *, dialect: DialectName = "auto", strict: bool = False
) -> Expression | Rejection | None:
    """Return what a text means on a data set, or the reason for which it is refused whatever the data's values are.

    What the manifest does not say is looked up when it is met: the bar size in the data's header, and the names of
    known factors in the knowledge base.

    Parameters
    ----------
    data
        The stored panel (NAME.parquet), whose manifest lies beside it.

    Returns
    -------
    Expression or Rejection or None
        None: there is no manifest, so the data themselves must say.
    """
    manifest = read_manifest(data)
    if manifest is None:
        return None
    from agent.study.blocks import LateBlocks, all_blocks

    fields = {*STANDARD_FIELDS, *manifest.fields, *(path.stem for path in workspace.learned.glob(_LEARNED))}

    def bar() -> np.timedelta64:
        from market.panel_store import stored_bar

        return stored_bar(data)

    def session() -> int | None:
        # Where sessions end, only the times of the bars say.
        from market.panel_store import load_panel

        return load_panel(data).session_bars

    def known() -> Mapping[str, str]:
        with workspace.listing() as knowledge:
            return all_blocks(knowledge, manifest.panel, fields)

    blocks = LateBlocks(known)
    return parse(text, fields=fields, bar=bar, dialect=dialect, blocks=blocks, strict=strict, session=session)


def holds(expression: Expression, fields: Collection[str]) -> bool:
    """Whether the data have every field that an expression reads: a manifest may be older than its data."""
    return all(name in fields or _MEAN_MONEY.fullmatch(name) for name in expression.fields)
