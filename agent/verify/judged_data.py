"""On which bars a claim is judged: a data set of the workspace without its holdout, or a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agent.study.opening import open_data
from agent.study.study import make_spec
from agent.study.workspace import Workspace
from agent.verify.aligning import is_matrix_of
from backtest.costs import PRESETS, Costs
from backtest.trading_rules import BacktestSpec, Fill
from market.errors import InputError
from market.files import import_as
from market.panel import Panel
from market.panel_part import WHOLE, PanelPart, read_part
from market.panel_store import load_panel
from market.reading.conventions import FileConventions
from market.table_files import read_table


@dataclass(frozen=True, eq=False)
class JudgedData:
    """The panel (None: none was named), the trading rules that go with it, and what a reader should know of it."""

    panel: Panel | None
    spec: BacktestSpec
    notes: tuple[str, ...] = ()


def judged_data(
    workspace: Workspace | None, given: str | None, *, needed: bool, assets: Sequence[str] = ()
) -> JudgedData:
    """Open what `--data` names.

    Parameters
    ----------
    given
        A data set of the workspace, of which train and validation are used: the holdout is opened by its own command.
        Or a file: a stored panel, or bars or closes as CSV or Parquet, all of which are used. It may name a part.
    needed
        Whether there has to be one; else None is no panel.
    assets
        Those of the claim: a file whose columns they are holds closes, one column an asset.
    """
    if given is None and not needed:
        return JudgedData(None, BacktestSpec() if workspace is None else make_spec(workspace.settings))
    name, part = _named(given)
    if name is not None and Path(name).is_file() and (workspace is None or name not in workspace.data_names()):
        return _from_file(Path(name), part, workspace, assets)
    if workspace is None:
        raise InputError(
            "no prices: there is no workspace here, and --data names no file" if name is None else f"no file {name}",
            "say --data FILE, of bars or of closes, or work in a workspace",
        )
    opened = open_data(workspace, given, gate=False)
    notes = (f"judged on train and validation of {opened.name}; the holdout stays shut",)
    return JudgedData(opened.ungated.panel, make_spec(workspace.settings), notes)


def _named(given: str | None) -> tuple[str | None, PanelPart]:
    if given is None or "@" not in given or Path(given).exists():
        return given, WHOLE
    return read_part(given)


def _from_file(path: Path, part: PanelPart, workspace: Workspace | None, assets: Sequence[str]) -> JudgedData:
    spec = BacktestSpec() if workspace is None else make_spec(workspace.settings)
    notes: tuple[str, ...] = ()
    if _is_stored(path):
        panel = load_panel(path)
    else:
        read = import_as([path], _as_closes(path, assets), name=path.stem)
        # At which price it is filled is said with the terms.
        said = [one for one in (*read.said, *read.repairs) if not one.startswith("orders are filled")]
        panel, notes = read.panel, tuple(f"{path.name}: {one}" for one in said)
    return JudgedData(part.of(panel), spec, notes)


def _as_closes(path: Path, assets: Sequence[str]) -> FileConventions:
    """Return how a file is read: as closes where its columns are the assets of the claim."""
    names = [str(name) for name in read_table(path).columns]
    matrix = is_matrix_of(names, assets)
    return FileConventions(columns={"ts": names[0]}, wide="close") if matrix else FileConventions()


def _is_stored(path: Path) -> bool:
    """Whether a file is a panel that alphaglow stored."""
    if path.suffix != ".parquet":
        return False
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"cannot read {path}: {str(error).splitlines()[0]}", "is it Parquet?") from error
    return any(key.startswith(b"alphaglow") for key in metadata)


def with_terms(
    spec: BacktestSpec, *, preset: str | None, cost_bp: float | None, fill: Fill | None, capital: float | None
) -> BacktestSpec:
    """Return trading rules under other costs or another fill, where those are said.

    Raises
    ------
    InputError
        For a preset that does not exist, costs below 0, and two kinds of costs at once.
    """
    if preset is not None and cost_bp is not None:
        raise InputError("--costs and --cost-bp are two answers to one question", "say one of them")
    costs = spec.costs
    if preset is not None:
        if preset not in PRESETS:
            raise InputError(f"no costs {preset!r}", f"there are {', '.join(PRESETS)}")
        costs = Costs(**PRESETS[preset])
    if cost_bp is not None:
        costs = replace(costs, fee_bp=cost_bp, maker_share=0.0, slippage_bp=0.0)
    if capital is not None:
        costs = replace(costs, capital=capital)
    return replace(spec, costs=costs, fill=fill or spec.fill)
