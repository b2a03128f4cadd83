"""Evaluating a signal, or many of one form, on a panel in memory: train is shown, and what was tried is counted."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from pydantic import ValidationError

from agent.study.given_signal import backtest_values, judged_on_train
from agent.study.looking import train_alone
from agent.study.sections import BacktestSettings
from agent.study.settings import Settings
from agent.study.study import Study, backtest_expression, cut_study, read_expression
from alphaglow.factor_face import Factor, FactorError, unless_refused
from alphaglow.results import Result
from alphaglow.signals_in import of_function, on_panel
from backtest.scorecard import Scored
from market.errors import InputError, Rejection
from market.panel import FloatArray, Panel

if TYPE_CHECKING:
    import pandas as pd

    from alphaglow.flow_face import Flow

Signal = Any
Rules = Mapping[str, object]
MOST_POINTS = 1_000
# The study of each panel that is still in use, by its rules: what signals are scored against takes longest to prepare.
_STUDIES: WeakKeyDictionary[Panel, tuple[str, Study]] = WeakKeyDictionary()


def evaluate(
    panel: Panel,
    signal: Signal,
    *,
    rules: Rules | None = None,
    flow: Flow | None = None,
    trials: int | None = None,
    name: str = "",
) -> Result:
    """Backtest any signal on a panel, after costs, and say what train shows.

    The first 60 % of the bars are train. Validation and holdout stay unseen: what is shown is counted, and without a
    workspace there is nothing that counts. `Workspace.evaluate` records the trial, and shows validation and verdict.

    Parameters
    ----------
    signal
        A factor's text; a `Factor`; a frame of times by assets; a series by (time, asset); an array of the panel's
        shape; or a function that is given a panel and returns one of these. Values are taken as known at their bar's
        close, and are traded from the next bar on. A function is also called on shortened panels: one that knows the
        future is refused.
    rules
        Settings of ``[backtest]`` in the place of their defaults, such as ``{"fee_bp": 2, "weighting": "quantile"}``.
    flow
        A flow whose gate is between the signal and the market; see `Flow.fit`.
    trials
        How many signals were tried in all until this one was found; 1 by default.
    name
        What the result is called.

    Raises
    ------
    FactorError
        For a text that cannot be read, and a signal that cannot be traded.
    InputError
        For rules that mean nothing, too few bars, and values that do not fit the panel.
    """
    study = study_of(panel, rules)
    if flow is not None:
        from alphaglow.flow_face import gated_study

        study = gated_study(study, flow)
    one = _scored(signal, study)
    evidence = judged_on_train([(one.values, one.scored)], study, trials)[0]
    return _result(one, study, evidence, name)


@dataclass(frozen=True, eq=False)
class Sweep:
    """Signals of one form that were tried together.

    Attributes
    ----------
    frame
        A row a point: its parameters, its text, and its figures on train; `refused` says why a point has none.
    results
        The result of each point that was scored, in the order of the frame.
    """

    frame: pd.DataFrame
    results: tuple[Result, ...]

    @property
    def best(self) -> Result:
        """The result whose payoff before costs is surest on train: the best of all, and judged as such."""
        if not self.results:
            raise InputError("no point of the sweep was scored", "see why: sweep.frame")
        return max(self.results, key=lambda one: one.evidence.predicts.z)

    def __repr__(self) -> str:
        """Return the frame as text."""
        return repr(self.frame)

    def _repr_html_(self) -> str:
        return self.frame.to_html(float_format="{:.3g}".format)


def sweep(
    panel: Panel, template: str, *, rules: Rules | None = None, trials: int | None = None, **values: Sequence[object]
) -> Sweep:
    """Evaluate a factor at every point of a grid; each point is a trial, and each is judged as one of all.

    Examples
    --------
    ``ag.sweep(panel, "-ts_mean(returns, {w})", w=[5, 10, 20])``
    """
    study = study_of(panel, rules)
    points = grid(template, values)
    found: list[_One | Rejection] = []
    for _, text in points:
        try:
            found.append(_scored(text, study))
        except FactorError as error:
            found.append(error.rejection)
    scored = [one for one in found if isinstance(one, _One)]
    judged = judged_on_train([(one.values, one.scored) for one in scored], study, max(len(points), trials or 0))
    results = tuple(_result(one, study, evidence, "") for one, evidence in zip(scored, judged, strict=True))
    ready = iter(results)
    shown = [one if isinstance(one, Rejection) else next(ready) for one in found]
    return Sweep(sweep_frame(points, shown), results)


def grid(template: str, values: Mapping[str, Sequence[object]]) -> list[tuple[dict[str, object], str]]:
    """Return each point of a grid with its text; a name that the template has not is an `InputError`."""
    if not values:
        raise InputError("the sweep has no parameters", 'name them: ag.sweep(panel, "ts_mean(close, {w})", w=[5, 10])')
    for name in values:
        if "{" + name + "}" not in template:
            raise InputError(f"{template!r} has no {{{name}}}", f"write {{{name}}} where its values go")
    count = 1
    for some in values.values():
        count *= len(some)
    if not 1 <= count <= MOST_POINTS:
        raise InputError(f"the sweep has {count} points", f"give 1 to {MOST_POINTS}")
    points = []
    for chosen in itertools.product(*values.values()):
        text, point = template, dict(zip(values, chosen, strict=True))
        for name, value in point.items():
            text = text.replace("{" + name + "}", str(value))
        points.append((point, text))
    return points


def sweep_frame(
    points: Sequence[tuple[Mapping[str, object], str]], results: Sequence[Result | Rejection]
) -> pd.DataFrame:
    """Return a row a point: parameters, text and figures of train, and why a point has none."""
    import pandas as pd

    rows = []
    for (point, text), one in zip(points, results, strict=True):
        if isinstance(one, Rejection):
            rows.append({**point, "text": text, "refused": one.one_line()})
            continue
        train, tested = one.scorecard.train, one.evidence.predicts
        rows.append(
            {
                **point,
                "text": text,
                "payoff_z": train.payoff_z,
                "adjusted_p": tested.adjusted_p,
                "net_z": train.net_z,
                "sharpe_gross": train.sharpe_gross,
                "sharpe_net": train.sharpe_net,
                "turnover": train.turnover,
                "rank_ic": train.rank_ic,
                "verdict": one.word,
                "refused": "",
            }
        )
    return pd.DataFrame(rows)


def backtest_settings(rules: Rules | None, settings: Settings) -> BacktestSettings:
    """Return the section ``[backtest]`` of some settings with `rules` in it; what means nothing is an `InputError`."""
    known = BacktestSettings.model_fields
    for name in rules or {}:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=2)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
            raise InputError(f"no trading rule {name!r}", hint)
    try:
        return BacktestSettings.model_validate({**settings.backtest.model_dump(exclude_unset=True), **(rules or {})})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"rules: {where}: {first['msg']}", "see docs/settings.md, [backtest]") from error


def study_of(panel: Panel, rules: Rules | None) -> Study:
    """Return a panel cut for work, under the default settings with `rules` in them; the newest one is kept."""
    key = repr(sorted((rules or {}).items()))
    kept = _STUDIES.get(panel)
    if kept is None or kept[0] != key:
        settings = Settings()
        settings = settings.model_copy(update={"backtest": backtest_settings(rules, settings)})
        kept = (key, cut_study(panel, settings))
        _STUDIES[panel] = kept
    return kept[1]


@dataclass(frozen=True, eq=False)
class _One:
    """A signal with its values (T, N) on the study's panel, and its score."""

    values: FloatArray
    scored: Scored
    factor: Factor | None
    note: str = ""


def _scored(signal: Signal, study: Study) -> _One:
    """Return a signal's values and score; what cannot be is a `FactorError`."""
    if isinstance(signal, (str, Factor)):
        text, dialect = (signal.text, "native") if isinstance(signal, Factor) else (signal, "auto")
        expression = unless_refused(read_expression(text, study, dialect="native" if dialect == "native" else "auto"))
        made, scored = unless_refused(backtest_expression(expression, study))
        return _One(made.values, scored, Factor(expression))
    if callable(signal):
        values, note = of_function(signal, study.panel), ""
    else:
        values = on_panel(signal, study.panel)
        note = "the values were given: whether they know the future cannot be seen; give a function, and it is checked"
    return _One(values, unless_refused(backtest_values(values, study)), None, note)


def _result(one: _One, study: Study, evidence: Any, name: str) -> Result:  # noqa: ANN401
    return Result(
        name=name or ("signal" if one.factor is None else one.factor.text),
        study=study,
        scorecard=train_alone(one.scored.scorecard, study),
        evidence=evidence,
        factor=one.factor,
        note=one.note,
        _made=partial(_as_made, one.values, one.scored),
    )


def _as_made(values: FloatArray, scored: Scored) -> tuple[FloatArray, Scored]:
    """Return what was made already: as a function of the module it can be pickled with its result."""
    return values, scored
