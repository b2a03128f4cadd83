"""The one way to open a data set of a workspace: under the rules of now, or under those that a run recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

from agent.knowledge.pool_records import PoolRecord
from agent.knowledge.records import RunRecord
from agent.knowledge.run_config import SECTIONS, Inputs, ScoringRules
from agent.study.cutting import FrozenSplit, cut_of, split_of
from agent.study.frozen_dates import frozen_split, is_related, say_dates, stored_dataset
from agent.study.gates import gate_path
from agent.study.learned_fields import stored_fields
from agent.study.recorded_data import Lineage, OpenPanel, open_recorded
from agent.study.rule_differences import differences
from agent.study.settings import BacktestSettings, LoopSettings, Settings
from agent.study.study import Study, cut_study, with_gate, with_learned
from agent.study.workspace import Workspace
from market.errors import InputError
from market.panel import FloatArray, Panel
from market.panel_part import WHOLE, PanelPart, read_part
from market.panel_store import load_panel, stored_id
from market.split import Split

Note = Callable[[str], None]
# Why a gate that is fitted is not used.
LEFT_OUT = (
    "the gate of {name} is left out: portfolios are neutral and have no fall to be kept out of; on real markets its "
    "timing cost some of them what it gave to others; to use it, set [gate] neutral = true"
)


def no_note(_text: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class CurrentRules:
    """The rules of alphaglow.toml as it stands now; `loop` and `backtest` take the places of its sections."""

    loop: LoopSettings | None = None
    backtest: BacktestSettings | None = None


@dataclass(frozen=True)
class RecordedRules:
    """The rules that a run or a pool recorded.

    Attributes
    ----------
    recorded
        What it recorded of them.
    data
        Name of its data set.
    owner
        What messages call it.
    panel_id
        Content id of the whole data set that it worked on; empty: it is not checked.
    strict
        Whether inputs that were replaced since are refused. Otherwise it is said that they were.
    done
        What was done to it on its data, as messages say it.
    any_past
        Whether data of the same lineage are worked on, even under strict rules, when bars that it saw have changed.
    any_gate
        Whether a gate that was not recorded was used where there was one.
    """

    recorded: ScoringRules
    data: str
    owner: str
    panel_id: str = ""
    strict: bool = True
    done: str = "started"
    any_gate: bool = False
    any_past: bool = False

    @classmethod
    def of_run(cls, run: RunRecord, *, strict: bool = True) -> RecordedRules:
        """Return the rules of a run."""
        config = run.config
        # Screenings of earlier versions used the gate without recording it.
        any_gate = config.kind == "screen"
        return cls(config.rules, config.data, f"run {run.id}", run.panel_id, strict, any_gate=any_gate)

    @classmethod
    def of_pool(cls, pool: PoolRecord, *, strict: bool = True) -> RecordedRules:
        """Return the rules that a pool was fitted under."""
        spec = pool.spec
        return cls(spec.rules, spec.data, f"the pool {pool.name}", pool.panel_id, strict, "fitted")

    def settings(self, current: Settings) -> Settings:
        """Return the settings with the recorded sections in the place of those of now."""
        return current.under(self.recorded)

    def unrecorded(self) -> list[str]:
        """Return the sections that decide how a factor fares and that were not recorded, by an earlier version."""
        return [name for name in SECTIONS if name not in self.recorded.sections and name != "loop"]

    def says(self, current: Settings) -> list[str]:
        """Say, in at most one sentence each, where the rules of now differ, and which rules were never recorded."""
        said, missing = [], self.unrecorded()
        found = differences(self.settings(current), current)
        if found:
            said.append(f"{self.owner} goes by its recorded rules; alphaglow.toml differs: {', '.join(found)}")
        if self.recorded.earlier_policy:
            said.append(
                f"{self.owner} admitted factors by an earlier policy: its verdicts stand as recorded, "
                "and new ones go by the gates of alphaglow.toml"
            )
        if missing:
            said.append(f"{self.owner} recorded no rules of {', '.join(missing)}: those of alphaglow.toml are used")
        return said


Rules = CurrentRules | RecordedRules


@dataclass(frozen=True, eq=False)
class OpenData:
    """A data set of a workspace under one set of rules; nothing is read before it is asked for.

    Attributes
    ----------
    settings
        The workspace's, under the rules.
    gate_file
        The gate that is used, or None.
    regimes, learned
        Whether the regimes found beside the gate, and learned factors, are used.
    note
        Is given each sentence that a user should read, such as where the rules of now differ.
    part
        The dates and assets that are worked on: a data set of its own, related to the whole.
    shown_gate
        A gate that portfolios are not put behind: what it judges, and the regimes found beside it, are shown alone.
    """

    workspace: Workspace
    path: Path
    rules: Rules
    settings: Settings
    gate_file: Path | None = None
    regimes: bool = True
    learned: bool = True
    note: Note = field(default=no_note)
    part: PanelPart = WHOLE
    shown_gate: Path | None = None

    @property
    def name(self) -> str:
        """Of the data set, and of the part of it that is worked on: what runs record and `open_data` reads."""
        return self.part.label(self.path.stem)

    @cached_property
    def _open(self) -> OpenPanel:
        """The whole panel, and the dates at which it is cut."""
        panel, rules = self.part.of(load_panel(self.path)), self.rules
        if self.part:
            panel = replace(panel, name=self.part.label(panel.name))
        if isinstance(rules, CurrentRules):
            return OpenPanel(panel, None)
        lineage = Lineage(partial(stored_dataset, self.workspace), partial(is_related, self.workspace))
        return open_recorded(panel, self.name, rules, self.settings, lineage, self.note)

    @property
    def whole(self) -> Panel:
        """The whole panel, the holdout included; of a run, without fields that were joined since.

        Raises
        ------
        InputError
            When the rules are recorded, and the data are others, or what the loop sees of them changed since.
        """
        return self._open.panel

    @cached_property
    def frozen(self) -> FrozenSplit | None:
        """The dates at which the data are cut; None: by shares."""
        if isinstance(self.rules, RecordedRules):
            return self._open.frozen
        return frozen_split(self.workspace, self.whole)

    def say_dates(self) -> None:
        """Note where the settings would cut the data elsewhere: for a run that begins on them."""
        said = say_dates(self.workspace, self.whole, self.settings) if isinstance(self.rules, CurrentRules) else ""
        if said:
            self.note(said)

    @cached_property
    def split(self) -> Split:
        """Rows of train, validation and holdout in the whole panel."""
        return split_of(self.whole, self.settings, self.frozen)[0]

    @cached_property
    def _cut(self) -> Study:
        study = cut_study(self.whole, self.settings, self.frozen)
        recorded = self.rules.panel_id if isinstance(self.rules, RecordedRules) else ""
        # Trials of a run go on under the data that it was started on.
        return replace(study, dataset=recorded) if recorded else study

    @cached_property
    def _fields(self) -> Mapping[str, FloatArray]:
        if not self.learned:
            return {}
        found = stored_fields(self.workspace.learned, self._cut.panel)
        inputs = self.rules.recorded.inputs if isinstance(self.rules, RecordedRules) else None
        recorded = None if inputs is None else inputs.learned
        if not isinstance(self.rules, RecordedRules) or recorded is None:
            return found
        for name, digest in recorded.items():
            if name not in found:
                _say_changed(self.rules, f"the learned factor {name} is gone", self.note)
            elif _digest(found[name].tobytes()) != digest:
                _say_changed(self.rules, f"the learned factor {name} was replaced", self.note)
        # What was learned later was not there for the run to use.
        return {name: values for name, values in found.items() if name in recorded}

    @cached_property
    def ungated(self) -> Study:
        """The study without its gate, which is quick to make: what is needed to read an expression."""
        return with_learned(self._cut, self._fields)

    @cached_property
    def study(self) -> Study:
        """The study: the data set cut for the loop, its gate, and what was learned on it."""
        file = self.gate_file or self.shown_gate
        if file is None:
            return self.ungated
        recorded = isinstance(self.rules, RecordedRules)
        gated = with_gate(
            self._cut,
            self.settings,
            file,
            regimes=self.regimes,
            any_features=recorded,
            bars=len(self.whole.times),
            note=self.note,
        )
        return with_learned(gated if self.gate_file else replace(gated, exposures=None), self._fields)

    def inputs(self) -> Inputs:
        """Return the content of what is used beside the data; learned factors are named only where they are used."""
        gate, regimes = self.gate_file, None if self.gate_file is None else regimes_file(self.gate_file)
        learned = {name: _digest(values.tobytes()) for name, values in sorted(self._fields.items())}
        return Inputs(
            gate=None if gate is None else _file_digest(gate),
            regimes=_file_digest(regimes) if regimes is not None and self.regimes else None,
            learned=learned if self.learned else None,
        )

    def recorded(self) -> ScoringRules:
        """Return what a run records of its rules: read again by `RecordedRules`."""
        study = self._cut
        cut = cut_of(study.panel, study.split, study.max_lookback)
        return ScoringRules(self.settings.rules(), self.gate_file is not None, self.inputs(), cut)


def open_data(
    workspace: Workspace,
    data: str | Path | None = None,
    rules: Rules | None = None,
    *,
    gate: bool = True,
    neutral: bool = False,
    learned: bool = True,
    note: Note = no_note,
) -> OpenData:
    """Open a data set of a workspace for work: the one way in, for every command and for Python.

    Parameters
    ----------
    data
        As `--data` says it, which may be a part (`market.panel_part`), or None: the one that the rules recorded, or the
        only one there is. A `Path` is taken as it is, whether or not there is a file yet.
    rules
        `RecordedRules` for what belongs to a run or a pool; without any, `CurrentRules`.
    gate, learned
        False leaves out the gate, or learned factors, whatever the rules say.
    neutral
        Whether the gate is used even where the settings leave it out because portfolios are neutral: for what is about
        the gate itself.
    note
        Is given what a user should read: on stderr for a command.

    Raises
    ------
    InputError
        For unknown data, or where the gate, regimes or learned factors of a run were replaced since it recorded them.
    """
    rules = CurrentRules() if rules is None else rules
    current = workspace.settings
    if isinstance(rules, RecordedRules):
        path, part = (data, WHOLE) if isinstance(data, Path) else _recorded_place(workspace, data, rules)
        for sentence in rules.says(current):
            note(sentence)
        place = gate_path(workspace, part.label(path.stem))
        file, regimes = _recorded_gate(place, rules, note) if gate else (None, False)
        return OpenData(workspace, path, rules, rules.settings(current), file, regimes, learned, note, part)
    path, part = (data, WHOLE) if isinstance(data, Path) else workspace.resolve_part(data)
    given = {"loop": rules.loop, "backtest": rules.backtest}
    settings = current.model_copy(update={name: section for name, section in given.items() if section is not None})
    file = gate_path(workspace, part.label(path.stem))
    used, shown = (file if gate and file.is_file() else None), None
    if used is not None and not (neutral or settings.gates_portfolios):
        used, shown = None, used
        note(LEFT_OUT.format(name=part.label(path.stem)))
    return OpenData(workspace, path, rules, settings, used, True, learned, note, part, shown)


def _recorded_place(workspace: Workspace, data: str | None, rules: RecordedRules) -> tuple[Path, PanelPart]:
    """Return the data set that is meant, or else that of the rules; one that was renamed is found by its content.

    Of a data set that is named without dates and assets, the part that the rules recorded is meant.
    """
    names = workspace.data_names()
    if data is None and rules.panel_id and rules.data not in names and not Path(rules.data).exists():
        for path in map(workspace.stored_path, names):
            if stored_id(path) == rules.panel_id:
                return path, WHOLE
    if data is None or "@" in data:
        return workspace.resolve_part(data or rules.data)
    recorded = WHOLE if rules.data in names or "@" not in rules.data else read_part(rules.data)[1]
    return workspace.resolve_data(data), recorded


def regimes_file(gate: Path) -> Path | None:
    """Return the regimes found beside a gate, or None where there are none."""
    from flows.regime_store import regimes_path

    path = regimes_path(gate)
    return path if path.is_file() else None


def _recorded_gate(file: Path, rules: RecordedRules, note: Note) -> tuple[Path | None, bool]:
    """Return the gate that the rules recorded, and whether its regimes were there; what was replaced is refused."""
    gate, inputs = rules.recorded.gate, rules.recorded.inputs
    wanted = rules.any_gate and file.is_file() if gate is None else gate
    if inputs is None and (rules.strict or wanted):
        note(f"{rules.owner} did not record which gate, regimes and learned factors it used: those of now are used")
    if not wanted:
        return None, False
    if not file.is_file():
        _say_changed(rules, f"the gate {file} is gone", note, "fit it again: alphaglow flow fit")
        return None, False
    if inputs is None:
        return file, True
    _compare("gate", file, inputs.gate, rules, note)
    regimes = regimes_file(file)
    if inputs.regimes is not None and regimes is None:
        _say_changed(rules, f"the regimes of {file.name} are gone", note)
    elif regimes is not None:
        _compare("regimes", regimes, inputs.regimes, rules, note)
    return file, inputs.regimes is not None


def _compare(what: str, file: Path, recorded: str | None, rules: RecordedRules, note: Note) -> None:
    if recorded is not None and recorded != _file_digest(file):
        _say_changed(rules, f"the {what} {file} was replaced", note)


def _say_changed(rules: RecordedRules, what: str, note: Note, remedy: str = "") -> None:
    if rules.strict:
        raise InputError(
            f"{what} since {rules.owner} recorded it", remedy or "put the old file back, or start a new run"
        )
    note(f"{what} since {rules.owner} recorded it: figures that depend on it are not those of then")


def _file_digest(path: Path) -> str:
    return _digest(path.read_bytes())


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()[:16]
