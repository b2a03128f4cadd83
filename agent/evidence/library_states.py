"""Which factors of a library are alive on some data, which have turned round, and which are dead: after costs, at once.

Each factor is traded both ways under every trading rule of the grid, on train and validation, and all of these are
tested together: at most 5 % of libraries without skill have any factor that is called alive or turned (StepM, Romano &
Wolf 2005; see `backtest.max_test.step_down_p`). That the best rule is looked at is therefore allowed for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.run_config import RunConfig
from agent.mining.screening import Screening, run_screening
from agent.pools.published import published_members
from agent.study.lineage_notes import meet_data
from agent.study.opening import Note, OpenData
from agent.study.progress import Progress
from agent.study.study import Study, check_fit, read_expression
from backtest import metrics
from backtest.luck import fingerprint_of
from backtest.max_test import draw_seed, step_down_p
from backtest.mean_test import mean_test
from backtest.rule_choice import rule_series
from backtest.rule_grid import RuleGrid, TradingRule
from backtest.rule_kernels import RULE_GROSS, RULE_NET
from backtest.scorecard import paid_rows
from factors.batch import evaluate_within
from factors.checks import check_signal
from factors.tree import Expression
from market.errors import InputError, Rejection
from market.panel import FloatArray
from market.ranking import rank_panel

LEVEL = 0.05
# The published libraries that every knowledge base has, by what a user types.
LIBRARIES = {
    "alpha101": "Kakushadze 2015, arXiv 1601.00991",
    "alpha158": "Qlib Alpha158",
    "gtja191": "GTJA 191 (2017)",
}
State = Literal["alive", "turned", "dead", "not scored"]


@dataclass(frozen=True)
class LibraryEntry:
    """A factor of a library: its name there, and its expression, or why it cannot be read on the data."""

    name: str
    read: Expression | str


@dataclass(frozen=True)
class LibraryState:
    """What became of one factor of a library; NaN where it was not scored.

    Attributes
    ----------
    state
        ``alive``: it earns after costs; ``turned``: what it says turned round does; ``dead``: neither is shown.
    rule, turned
        The rule and the direction that score highest, which the figures are of.
    gross, train, validation
        Sharpe ratios a year: before costs over both parts, and net on each.
    z, p
        Score of the mean net return over both, and its p-value among both directions and all rules of all factors.
    """

    name: str
    factor_id: str
    text: str
    state: State
    rule: str = ""
    turned: bool = False
    gross: float = math.nan
    train: float = math.nan
    validation: float = math.nan
    z: float = math.nan
    p: float = math.nan
    why: str = ""

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types, what is not known as None."""
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(self).items()}


@dataclass(frozen=True)
class LibraryTest:
    """A library on a data set: its factors, among how many tests, and the screening that recorded them as trials."""

    library: str
    data: str
    run_id: str
    tests: int
    bars: int
    start: str
    end: str
    factors: tuple[LibraryState, ...]

    def count(self, state: State) -> int:
        """Return how many are of a state."""
        return sum(one.state == state for one in self.factors)

    def sentence(self) -> str:
        """Say it in a line or two."""
        left = self.count("not scored")
        return (
            f"{self.library} on {self.data}, {self.start[:10]} to {self.end[:10]}: {self.count('alive')} alive, "
            f"{self.count('turned')} turned, {self.count('dead')} dead"
            + (f", {left} not scored" if left else "")
            + "; "
            f"after costs, among {self.tests:,} tests (both directions, every trading rule). In at most {LEVEL:.0%} of "
            "libraries without skill is any called alive or turned. Dead: not shown to earn either way."
        )

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types."""
        return {
            **{name: getattr(self, name) for name in ("library", "data", "run_id", "tests", "bars", "start", "end")},
            **{name: self.count(name) for name in ("alive", "turned", "dead")},
            "not_scored": self.count("not scored"),
            "sentence": self.sentence(),
            "factors": [one.to_dict() for one in self.factors],
        }


def library_entries(library: str, study: Study, knowledge: KnowledgeBase) -> list[LibraryEntry]:
    """Return the factors of a library by its name in `LIBRARIES`, or of a file of them (see `factors.corpora`).

    Raises
    ------
    InputError
        When it is neither, or none of its factors can be read on these data.
    """
    if library not in LIBRARIES:
        path = Path(library)
        if not path.is_file():
            raise InputError(f"no library and no file {library!r}", f"there is {', '.join(LIBRARIES)}, or name a FILE")
        members, left_out = published_members(path, study, knowledge)
        found = [
            LibraryEntry(one.name or one.expression.text, _said(check_fit(one.expression, study))) for one in members
        ]
        parts = (one.partition(": ") for one in left_out)
        return [*found, *(LibraryEntry(name, why) for name, _, why in parts)]
    entries = []
    for one in knowledge.library():
        if one.source != LIBRARIES[library]:
            continue
        read: Expression | Rejection | str = one.message or "it was not translated"
        if one.canonical is not None:
            read = read_expression(one.canonical, study, dialect="native")
        entries.append(LibraryEntry(one.name, _said(read)))
    if not entries:
        raise InputError(
            f"this knowledge base has no {library}", "take it in: alphaglow kb merge of a starter, or name its file"
        )
    return entries


def _said(read: Expression | Rejection | str) -> Expression | str:
    """Return an expression, or in one line why there is none."""
    if not isinstance(read, Rejection):
        return read
    first = read.message.splitlines()[0]
    return f"{first} ({read.hint})" if read.hint and "\n" not in read.hint else first


def judge_library(
    library: str, opened: OpenData, knowledge: KnowledgeBase, *, note: Note, show: Progress, stop: Callable[[], bool]
) -> LibraryTest | None:
    """Test a library on a data set; each factor, and each turned round, is recorded as a trial. None when stopped."""
    study = opened.study
    entries = library_entries(library, study, knowledge)
    readable = [one for one in entries if isinstance(one.read, Expression)]
    if not readable:
        raise InputError(
            f"none of {len(entries)} factors of {library} can be read on {opened.name}", str(entries[0].read)
        )
    run_id = _recorded(readable, opened, knowledge, note, show, stop)
    if run_id is None:
        return None
    rules = tuple(dict.fromkeys((TradingRule.of(study.spec), *(study.grid or RuleGrid()).rules())))
    traded: list[tuple[LibraryEntry, _Traded | str]] = []
    for number, one in enumerate(entries):
        show("both directions, every rule", number, len(entries))
        if stop():
            return None
        traded.append((one, _trade(one.read, study, rules) if isinstance(one.read, Expression) else one.read))
    series = [found for _, found in traded if not isinstance(found, str)]
    scores = np.concatenate([found.scores for found in series]) if series else np.zeros(0)
    prints = [row for found in series for row in found.prints]
    adjusted = step_down_p(scores, prints, level=LEVEL, seed=draw_seed(study.dataset))
    place = iter(np.split(adjusted, np.cumsum([len(found.scores) for found in series])[:-1]) if series else ())
    states = tuple(_state(one, found, place, rules) for one, found in traded)
    first, last = study.split.train.start, study.split.validation.stop - 1
    bars = len(study.panel.times)
    times = [str(study.panel.times[row])[:16] for row in (first, last)]
    title = library if library in LIBRARIES else Path(library).name
    return LibraryTest(title, opened.name, run_id, len(scores), bars, times[0], times[1], states)


def _recorded(
    entries: Sequence[LibraryEntry],
    opened: OpenData,
    knowledge: KnowledgeBase,
    note: Note,
    show: Progress,
    stop: Callable[[], bool],
) -> str | None:
    """Record each factor, and each turned round, as a trial: by a screening that scores none in full."""
    texts = [text for one in entries if isinstance(one.read, Expression) for text in _ways(one.read)]
    opened.say_dates()
    meet_data(knowledge, opened.whole, note)
    config = RunConfig(kind="screen", data=opened.name, llm="none", keep=0, rules=opened.recorded())
    run = knowledge.create_run(opened.study.dataset, config, 0)
    outcome = run_screening(Screening(opened.study, knowledge, run, texts, 0, stop=stop, show=show, say=note))
    return run.id if outcome == "finished" else None


def _ways(read: Expression) -> tuple[str, str]:
    return read.text, f"-({read.text})"


@dataclass(frozen=True, eq=False)
class _Traded:
    """A factor traded both ways under K rules: scores (2K,), fingerprints, and figures of train and validation."""

    scores: FloatArray
    prints: list[FloatArray]
    gross: FloatArray
    train: FloatArray
    validation: FloatArray


def _trade(read: Expression, study: Study, rules: tuple[TradingRule, ...]) -> _Traded | str:
    found = evaluate_within(read, study.panel, seconds=study.max_seconds, gigabytes=study.max_gigabytes)
    if isinstance(found, Rejection):
        return found.message
    fault = check_signal(found, study.panel, stop=study.split.train.stop)
    if fault is not None:
        return fault.message
    values = np.where(study.panel.universe, found.values, np.nan)
    parts = paid_rows(study.split.train), paid_rows(study.split.validation)
    rows, year = np.r_[parts[0], parts[1]], study.panel.bars_per_year
    net, gross = [], []
    for way in (values, -values):
        series, _ = rule_series(way, study.target, rules, rank_panel(way).ranks)
        net += list(series[:, RULE_NET])
        gross += list(series[:, RULE_GROSS])
    tested = [one[rows] for one in net]
    return _Traded(
        np.array([mean_test(one).z for one in tested]),
        [fingerprint_of(one) for one in tested],
        np.array([metrics.sharpe(one[rows], year) for one in gross]),
        np.array([metrics.sharpe(one[parts[0]], year) for one in net]),
        np.array([metrics.sharpe(one[parts[1]], year) for one in net]),
    )


def _state(
    one: LibraryEntry, found: _Traded | str, adjusted: Iterator[FloatArray], rules: tuple[TradingRule, ...]
) -> LibraryState:
    factor_id, text = (one.read.id, one.read.text) if isinstance(one.read, Expression) else ("", "")
    if isinstance(found, str):
        return LibraryState(one.name, factor_id, text, "not scored", why=found.splitlines()[0])
    p = next(adjusted)
    if not np.isfinite(found.scores).any():
        return LibraryState(one.name, factor_id, text, "not scored", why="it never trades")
    best = int(np.nanargmax(found.scores))
    turned = best >= len(rules)
    passes = bool(p[best] <= LEVEL)
    gross, train, validation, z = (
        float(part[best]) for part in (found.gross, found.train, found.validation, found.scores)
    )
    state: State = "dead" if not passes else "turned" if turned else "alive"
    rule = str(rules[best % len(rules)])
    return LibraryState(one.name, factor_id, text, state, rule, turned, gross, train, validation, z, float(p[best]))
