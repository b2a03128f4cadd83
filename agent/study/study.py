"""A study: one data set cut for the loop, with its gate and its trading rules.

`cut_study` takes the holdout away: all that writes prompts, scores or reports works on the panel that it returns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from agent.study.cutting import FrozenSplit, loop_part, split_of
from agent.study.gate_age import changed_since, grown_since
from agent.study.kept_likelihood import cached_likelihood
from agent.study.learned_fields import stored_fields
from agent.study.settings import Settings
from backtest.costs import Costs
from backtest.policy import NearestKnown, Policy
from backtest.result_types import Evidence, SignalShape
from backtest.rule_grid import RuleGrid
from backtest.run import small_universe
from backtest.scorecard import Scored, score_signal
from backtest.target import Target, prepare_target
from backtest.trading_rules import BacktestSpec
from factors.batch import evaluate_within
from factors.checks import check_cost, check_signal
from factors.engine import compute
from factors.limits import GIGABYTES, SECONDS
from factors.lowering import Lowering
from factors.parse import DialectName, parse
from factors.tree import Call, Expression, Signal
from market.errors import InputError, Rejection
from market.panel import BoolArray, FloatArray, Panel
from market.panel_on_disk import PanelOnDisk
from market.split import MIN_BARS, Split
from market.universe import liquid_universe

# Fewer bars than this say little.
FEW_BARS = 200
# Bars, and the look-back before them, on which turnover is estimated.
_RECENT = 250
_STANDARD = ("open", "high", "low", "close", "volume", "vwap", "amount", "returns")


@dataclass(frozen=True, eq=False)
class Study:
    """What one data set offers the loop.

    Attributes
    ----------
    panel
        Bars up to the end of validation; the holdout is not in it.
    dataset
        Content id of the whole panel: the key under which trials are counted, whatever the split.
    split
        Row ranges of train and validation in `panel` (the holdout range lies beyond its end).
    max_lookback
        Longest look-back, in bars, that a mined factor may have.
    exposures
        (T, N) in [0, 1] from the trained gate, or None when there is none.
    log_likelihood
        (T, N) nats, NaN in warm-up, or None.
    threshold
        (T,) nats below which the gate is shut, NaN before the first of several dated fits; or None.
    max_seconds, max_gigabytes
        What evaluating one factor may take, by its estimate before and by the clock while it is done.
    group_neutral
        The group of the language within which positions are neutral, or nothing.
    cutoff
        The model's knowledge cutoff: bars after it are scored apart, too.
    outcomes
        What signals of `panel` are scored against instead of it: for controls, such as null markets.
    clusters
        (T,) bars of each regime that `alphaglow flow regimes` found, by name.
    blind
        Whether prompts name no asset and no date.
    learned
        The panel's fields that models predicted out of fold, and the first row that each has.
    grid
        The rules from which each factor's own is chosen on train; None: all are traded as `spec` says.
    """

    panel: Panel
    dataset: str
    split: Split
    spec: BacktestSpec
    max_lookback: int
    seed: int
    policy: Policy = field(default_factory=Policy)
    exposures: FloatArray | None = None
    log_likelihood: FloatArray | None = None
    threshold: FloatArray | None = None
    max_seconds: float = SECONDS
    max_gigabytes: float = GIGABYTES
    group_neutral: str = ""
    cutoff: np.datetime64 | None = None
    outcomes: Panel | None = None
    clusters: Mapping[str, BoolArray] = field(default_factory=dict)
    blind: bool = True
    learned: Mapping[str, int] = field(default_factory=dict)
    grid: RuleGrid | None = None

    @cached_property
    def recent(self) -> Panel:
        """The last bars of train, as many as tell how often a factor changes its mind."""
        stop = self.split.train.stop
        return self.panel.rows(max(0, stop - self.max_lookback - _RECENT), stop)

    @cached_property
    def bare_panel(self) -> Panel:
        """The panel without learned factors: what gates, regimes and learned factors are keyed by."""
        if not self.learned:
            return self.panel
        kept = {name: values for name, values in self.panel.fields.items() if name not in self.learned}
        return replace(self.panel, fields=kept)

    @cached_property
    def target(self) -> Target:
        """What signals are scored against; prepared when first asked for."""
        groups = group_values(self.group_neutral, self.panel) if self.group_neutral else None
        return prepare_target(
            self.panel if self.outcomes is None else self.outcomes, self.spec, groups=groups, regimes=self._regimes()
        )

    def _regimes(self) -> dict[str, BoolArray]:
        """Clusters, and bars usual and unusual to the flow, by the share of the universe below its threshold."""
        if self.log_likelihood is None or self.threshold is None:
            return dict(self.clusters)
        known = np.isfinite(self.log_likelihood) & self.panel.universe
        below = (np.where(known, self.log_likelihood, np.inf) < self.threshold[:, None]).sum(axis=1)
        count = known.sum(axis=1)
        share = below / np.maximum(count, 1)
        usual = {
            "usual to the flow": (count > 0) & (share < 0.25),
            "unusual to the flow": (count > 0) & (share >= 0.25),
        }
        return usual | dict(self.clusters)

    def split_of(self, expression: Expression) -> Split:
        """Return the split by which a factor is scored: what it reads of models has no bars before its first fold."""
        first = max((self.learned.get(name, 0) for name in expression.fields), default=0)
        train = self.split.train
        return replace(self.split, train=slice(min(max(first, train.start), train.stop - MIN_BARS), train.stop))

    def yearly_cost(self, turnover: float) -> float:
        """Return what trading a share of the portfolio at every bar costs a year, as a fraction of capital."""
        return turnover * self.spec.costs.per_trade * self.panel.bars_per_year

    @property
    def fields(self) -> tuple[str, ...]:
        """Names an expression may use: the standard ones and what the panel carries."""
        carried = tuple(sorted(name for name in self.panel.fields if name not in _STANDARD))
        return _STANDARD + carried


@dataclass(frozen=True, eq=False)
class Scoring:
    """A scored candidate.

    The fingerprint is of its gross returns on train, `copy` says why it is no trial of its own, `nearest` how it stands
    to accepted factors, and `shape` how its values are spread on train.
    """

    expression: Expression
    signal: Signal
    scored: Scored
    evidence: Evidence
    returns_fingerprint: FloatArray
    copy: Rejection | None = None
    nearest: NearestKnown = field(default_factory=NearestKnown)
    shape: SignalShape = field(default_factory=SignalShape)


def make_spec(settings: Settings) -> BacktestSpec:
    """Return the trading rules that the settings describe."""
    rules = settings.backtest
    costs = Costs(**{f.name: getattr(rules, f.name) for f in fields(Costs)})
    same = {f.name: getattr(rules, f.name) for f in fields(BacktestSpec) if f.name not in ("costs", "max_risk")}
    return BacktestSpec(**same, max_risk=math.inf if rules.max_risk is None else rules.max_risk, costs=costs)


def make_policy(settings: Settings) -> Policy:
    """Return the admission policy that the settings describe."""
    return Policy(**settings.admission.model_dump())


def group_expression(name: str, panel: Panel) -> Expression:
    """Return a group of the language, such as ``sector`` or ``bucket(volume, 3)``, as an expression of its numbers."""
    expression = parse(f"group_mean(close, {name})", fields=(*_STANDARD, *panel.fields), bar=panel.bar)
    if isinstance(expression, Rejection) or not isinstance(expression.root, Call):
        why = expression.message if isinstance(expression, Rejection) else "it is no group"
        raise InputError(f"group_neutral = {name!r}: {why}", "repair it in alphaglow.toml [backtest]")
    return replace(expression, root=expression.root.args[1])


def group_values(name: str, panel: Panel) -> FloatArray:
    """Return (T, N) group numbers of a group of the language; see `group_expression`."""
    root = Lowering(panel.fields)(group_expression(name, panel).root)
    return compute([root], panel)[root]


def narrowed(whole: Panel, settings: Settings) -> Panel:
    """Return a whole panel with its universe as the settings have it."""
    chosen = settings.universe
    if isinstance(whole, PanelOnDisk) and (chosen.top > 0 or chosen.least_money > 0):
        raise InputError(
            "data that are stored by field keep all their assets in the universe",
            "set top = 0 and least_money = 0 in alphaglow.toml [universe], or import data that fit into memory",
        )
    return liquid_universe(
        whole, top=chosen.top, least_money=chosen.least_money, days=chosen.days, refresh_days=chosen.refresh_days
    )


def remarks(study: Study) -> tuple[str, ...]:
    """Say what of this data weakens what is found on it."""
    found = []
    for name, part in (("train", study.split.train), ("validation", study.split.validation)):
        if part.stop - part.start < FEW_BARS:
            found.append(f"{name} keeps only {part.stop - part.start} bars: what it says is rough")
    if not np.any(study.panel["volume"] > 0):
        found.append("the data have no volume: impact and capacity are unknown, and no bar counts as untraded")
    alive = np.isfinite(study.panel["close"]).sum(axis=0)
    short = [asset for asset, bars in zip(study.panel.assets, alive, strict=True) if bars < FEW_BARS]
    if short:
        named = ", ".join(short[:5]) + (", ..." if len(short) > 5 else "")
        found.append(f"{len(short)} assets have fewer than {FEW_BARS} bars: {named}")
    return tuple(found)


def open_study(
    whole: Panel, settings: Settings, *, gate_path: Path | None = None, learned: Path | None = None
) -> Study:
    """Return the study of a panel in memory, with a gate and the learned factors of a folder where they are there.

    A data set of a workspace is opened by `agent.study.opening.open_data`, which knows whose rules are to be used.
    """
    study = cut = cut_study(whole, settings)
    if gate_path is not None and gate_path.is_file():
        study = with_gate(study, settings, gate_path)
    return study if learned is None else with_learned(study, stored_fields(learned, cut.panel))


def cut_study(whole: Panel, settings: Settings, frozen: FrozenSplit | None = None) -> Study:
    """Cut `whole` for the loop: train and validation under the settings, without a gate and learned factors."""
    split, longest = split_of(whole, settings, frozen)
    panel = loop_part(narrowed(whole, settings), split, frozen)
    loop, cutoff = settings.loop, settings.llm.knowledge_cutoff
    return Study(
        panel,
        whole.id,
        split,
        make_spec(settings),
        longest,
        loop.seed,
        make_policy(settings),
        max_seconds=loop.max_seconds,
        max_gigabytes=loop.max_gigabytes,
        group_neutral=settings.backtest.group_neutral,
        # What happened on the day itself may have been read about.
        cutoff=None if cutoff is None else np.datetime64(cutoff) + np.timedelta64(1, "D"),
        blind=loop.blind,
        grid=RuleGrid.around(make_spec(settings), panel.bars_per_year) if settings.backtest.rule == "auto" else None,
    )


def with_gate(
    study: Study,
    settings: Settings,
    gate_path: Path,
    *,
    regimes: bool = True,
    any_features: bool = False,
    bars: int = 0,
    note: Callable[[str], None] = lambda _said: None,
) -> Study:
    """Return a study without learned factors with its gate's exposures, and with the regimes found beside the gate.

    Without `regimes`, stored ones are left out. With `any_features`, the gate may read other features than the
    settings name: a run goes by its own gate. `note` is called when the gate is due: where it was fitted on these data
    before they were changed, or before they grew to `bars`. A gate of other data, or of other features, is an
    `InputError`.
    """
    from flows.checkpoint import load_gate
    from flows.gate import check_features
    from flows.regime_store import regime_masks, regimes_path
    from flows.train import torch_threads

    panel, gate = study.panel, load_gate(gate_path)
    own = gate.panel_id == panel.id
    said = grown_since(gate, gate_path, bars) if own else changed_since(gate, gate_path, panel)
    if said:
        note(said)
    if regimes and not own and regimes_path(gate_path).is_file():
        note("the regimes found beside the gate are of the data before, and left out: alphaglow flow regimes")
    if not any_features:
        check_features(gate, settings.gate.asked())
    with torch_threads(settings.gate.threads):
        # What is kept beside the gate is of the bars that it was fitted on.
        computed = gate.log_likelihood
        likelihood = cached_likelihood(gate_path, lambda: computed(panel), panel) if own else computed(panel)
    return replace(
        study,
        exposures=gate.exposures_of(likelihood, panel),
        log_likelihood=likelihood,
        threshold=gate.thresholds(panel),
        clusters=regime_masks(regimes_path(gate_path), panel.id) if regimes else {},
    )


def with_learned(study: Study, found: Mapping[str, FloatArray]) -> Study:
    """Return a study whose panel carries learned factors (T, N), by name."""
    if not found:
        return study
    known = {name: np.isfinite(values).any(axis=1) for name, values in found.items()}
    first = {name: int(rows.argmax()) for name, rows in known.items()}
    return replace(study, panel=study.panel.with_fields(found), learned={**study.learned, **first})


def attach(study: Study, folder: Path) -> Study:
    """Return a study whose panel carries the learned factors of a folder that were made on it."""
    return with_learned(study, stored_fields(folder, study.panel))


def read_expression(
    text: str,
    study: Study,
    *,
    dialect: DialectName = "auto",
    blocks: Mapping[str, str] | None = None,
    strict: bool = False,
) -> Expression | Rejection:
    """Parse `text` for this study: its fields, its bar size, its longest look-back and what a factor may cost."""
    panel = study.panel
    expression = parse(
        text,
        fields=study.fields,
        bar=panel.bar,
        dialect=dialect,
        blocks=blocks,
        strict=strict,
        session=panel.session_bars,
    )
    return expression if isinstance(expression, Rejection) else check_fit(expression, study)


def check_fit(expression: Expression, study: Study) -> Expression | Rejection:
    """Return an expression that was read for this study's data, or why its split or its limits do not allow it."""
    if not expression.is_bounded:
        return Rejection(
            stage="check",
            code="lookback",
            message="the factor looks back to the panel's first bar: its values depend on where the data begin",
            hint="use ts_sum, ts_mean, ts_max or ts_min over a window in the place of cum_",
        )
    if expression.lookback > study.max_lookback:
        return Rejection(
            stage="check",
            code="lookback",
            message=f"the factor looks back {expression.lookback} bars, this split allows {study.max_lookback}",
            hint="shorten the windows, or raise max_lookback in alphaglow.toml [split]",
        )
    return check_cost(expression, study.panel, seconds=study.max_seconds, gigabytes=study.max_gigabytes) or expression


def backtest_expression(expression: Expression, study: Study) -> tuple[Signal, Scored] | Rejection:
    """Evaluate and backtest one factor on train and validation."""
    signal = evaluate_within(expression, study.panel, seconds=study.max_seconds, gigabytes=study.max_gigabytes)
    if isinstance(signal, Rejection):
        return signal
    # What is refused is said to the writer: by train alone, since validation steers nothing.
    stop = study.split.train.stop
    fault = check_signal(signal, study.panel, stop=stop)
    fault = fault or small_universe(signal.values, study.panel, study.spec, stop)
    if fault is not None:
        return fault
    rng = np.random.default_rng([study.seed, int(expression.id[-8:], 16)])
    split = study.split_of(expression)
    scored = score_signal(
        signal.values, study.target, split, gate=study.exposures, rng=rng, cutoff=study.cutoff, grid=study.grid
    )
    return scored if isinstance(scored, Rejection) else (signal, scored)
