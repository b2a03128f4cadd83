"""A large knowledge base, made without the search that would fill it: rows as the program itself writes them.

What costs the program time an attempt (which cluster of returns it joins, who its parents are) is known here before:
each attempt is a variant of one of some ideas. A test holds the rows equal to what the program's own door writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from agent.knowledge.attempt_figures import or_none
from agent.knowledge.claims import Claims
from agent.knowledge.database.connection import for_writing, make_engine
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.records import JudgeVerdict, NewAttempt, NewEvaluation
from agent.knowledge.run_config import RunConfig
from agent.knowledge.score_documents import read_evidence, read_scorecard
from agent.knowledge.tables.attempts import AttemptOrigin, write_attempt
from agent.knowledge.tables.convert import utc_now
from agent.knowledge.tables.effective_trials import pack
from agent.knowledge.tables.row_cache import Memory
from agent.knowledge.tables.runs import add_round
from agent.knowledge.tables.tallies import Spread
from agent.knowledge.tables.versions import scoring_code
from agent.mining.search.themes import THEMES
from backtest.result_types import Scorecard, SegmentScore
from factors.drawing import Drawer
from factors.overlap import Fingerprint, fingerprint
from factors.parse import parse
from factors.tree import Expression
from market.panel import FloatArray, Panel

# Attempts of a run, and of a round of it.
RUN, ROUND = 800, 8
# Of attempts: scored in full, and refused; the rest are left at their quick score.
FULL, REFUSED = 0.1, 0.1
_BLOCKS = 512
_CARDS = 200
_AT_ONCE = 2000
_TALLY = text(
    "INSERT INTO tallies (panel_id, attempts, scored, mean, spread, effective_trials, epoch) "
    "VALUES (:panel, :attempts, :scored, :mean, :spread, :effective, 0)"
)
_RETURNS = text(
    "INSERT INTO trial_returns (attempt_id, panel_id, seq, cluster, fingerprint) "
    "VALUES (:attempt_id, :panel_id, :attempt_id, :cluster, :fingerprint)"
)


@dataclass(frozen=True)
class Variant:
    """An attempt, the number of the idea that it varies (None: it was refused), and its factor's fingerprint."""

    attempt: NewAttempt
    idea: int | None
    print_: Fingerprint | None


class Variants:
    """Draws attempts: variants of ideas, whose returns correlate by some 0.8 with their idea's."""

    def __init__(self, seed: int, ideas: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._drawer = Drawer(self._rng, longest=60)
        self._ideas = self._rng.normal(size=(ideas, _BLOCKS)).astype(np.float32)
        self._worth = self._rng.normal(0.3, 0.8, size=ideas)
        # Few ideas are varied often, and many seldom.
        odds = 1.0 / (1.0 + np.arange(ideas))
        self._odds = np.cumsum(odds / odds.sum())
        self._cards = [scorecard_of(self._rng) for _ in range(_CARDS)]
        self._seen: set[str] = set()
        self._parent: Expression | None = None

    def draw(self, run_id: str, number: int) -> Variant:
        """Return the attempt at a place of a run, all of it drawn."""
        place = (run_id, number // ROUND, number % ROUND)
        share = self._rng.random()
        if share < REFUSED:
            words = f"ts_mean(close, {int(self._rng.integers(10**6))}"
            refused = {"code": "syntax", "message": "a bracket is not closed\nclose it"}
            return Variant(NewAttempt(*place, words, "parse", name=f"idea {number}", **refused), None, None)
        expression = self._expression()
        idea = int(np.searchsorted(self._odds, self._rng.random(), side="right"))
        fingerprint_ = self._returns(min(idea, len(self._ideas) - 1))
        scored = self._evaluation(idea, fingerprint_, in_full=share < REFUSED + FULL)
        attempt = NewAttempt(*place, expression.text, "evidence", expression.text, expression.id, evaluation=scored)
        if share >= REFUSED + FULL:
            return Variant(replace(attempt, stage="screen"), idea, fingerprint(expression.root))
        parent, self._parent = self._parent, expression
        themes = list(THEMES)
        claims = Claims(
            operation="new" if parent is None else "mutate",
            theme=themes[idea % 8],
            parents=() if parent is None else (parent.text,),
            mechanism="crowds are slow to notice what volume tells, and pay for it later",
        )
        attempt = replace(
            attempt,
            parent_ids=() if parent is None else (parent.id,),
            name=f"idea {number}",
            rationale="crowds are slow to notice what volume tells " * 4,
            verdicts=(JudgeVerdict(1, True, float(idea % 10), "plausible, cheap to trade, easy to test " * 3),),
            claims=claims,
        )
        return Variant(attempt, idea, fingerprint(expression.root))

    def _expression(self) -> Expression:
        while True:
            found = parse(self._drawer.expression_text(int(self._rng.integers(3, 6))), dialect="native")
            if isinstance(found, Expression) and found.id not in self._seen:
                self._seen.add(found.id)
                return found

    def _returns(self, idea: int) -> FloatArray:
        series = self._ideas[idea] + 0.6 * self._rng.normal(size=_BLOCKS)
        series = series - series.mean()
        unit: FloatArray = series / np.sqrt(series @ series)
        return unit

    def _evaluation(self, idea: int, fingerprint_: FloatArray, *, in_full: bool) -> NewEvaluation:
        payoff = float(self._worth[min(idea, len(self._worth) - 1)] + self._rng.normal())
        net = payoff - float(self._rng.exponential(1.5))
        card = self._cards[int(self._rng.integers(_CARDS))]
        train = replace(card.train, payoff_z=payoff, net_z=net, sharpe_net=net / 2, sharpe_gated=float("nan"))
        card = replace(card, train=train) if in_full else quick_card(train)
        words = {"verdict": "rejected", "reasons": ["nothing is seen on train"], "accepted": False}
        if in_full:
            tested = {"z": float(self._rng.normal()), "level": 0.05, "hurdle": 4.0}
            words |= {"predicts": tested, "earns": tested, "dsr": 0.1}
            if payoff > 3.5 and net > 0:
                words |= {"verdict": "accepted", "accepted": True, "reasons": []}
        return NewEvaluation(card, read_evidence(words), net / 40, fingerprint_)


def scorecard_of(rng: np.random.Generator) -> Scorecard:
    """Return as much as a real scorecard holds: about sixty figures a split, and profiles."""
    names = [one.name for one in fields(SegmentScore)]
    splits = {part: {name: float(rng.normal()) for name in names} for part in ("train", "validation")}
    for part in splits.values():
        part |= {"n_bars": 5000, "start": "2021-01-01", "end": "2023-01-01", "turnover": abs(part["turnover"]) / 5}
    months = [{"name": f"2023-{k % 12 + 1:02d}", "rank_ic": float(rng.normal()), "bars": 700} for k in range(12)]
    profiles = {part: {"years": months, "quantiles": rng.normal(size=5).tolist()} for part in splits}
    return read_scorecard({**splits, "profiles": profiles, "bars_per_year": 8760, "weighting": "rank", "holding": 1})


def quick_card(train: SegmentScore) -> Scorecard:
    """Return a scorecard with what a quick score knows."""
    names = ("n_bars", "rank_ic", "ic", "ic_ir", "ic_tstat", "sharpe_gross", "sharpe_net", "turnover", "payoff")
    known = {name: getattr(train, name) for name in (*names, "payoff_error", "payoff_z", "net_z", "start", "end")}
    return read_scorecard({"train": known, "bars_per_year": 8760, "weighting": "rank", "holding": 1})


def ideas_of(size: int) -> int:
    """Return how many ideas a base of this size holds: the more is tried, the less of it is new."""
    return max(8, round(8 * size**0.5))


def fill(
    knowledge: KnowledgeBase, panel: Panel, size: int, *, seed: int = 0, show: Callable[[int], None] = lambda _: None
) -> None:
    """Write `size` attempts on a panel into a new knowledge base, in runs of `RUN` attempts."""
    knowledge.register_dataset(panel)
    variants = Variants(seed, ideas_of(size))
    engine = make_engine(knowledge.place)
    spread, first, memory, done = Spread(), dict[int, int](), Memory(), 0
    runs = 0
    while done < size:
        count = min(RUN, size - done)
        run = knowledge.create_run(panel.id, RunConfig(data=panel.name or "toy"), runs)
        runs += 1
        with Session(for_writing(engine, relaxed=True)) as session, session.begin():
            for number in range((count - 1) // ROUND + 1):
                add_round(session, run.id, number, {}, dict)
            rules = memory.run(session, run.id).rules
            _write(session, panel.id, rules, (variants.draw(run.id, k) for k in range(count)), first, spread)
        knowledge.set_run_status(run.id, "finished")
        done += count
        show(done)
    with Session(for_writing(engine)) as session, session.begin():
        tally = {"attempts": size, "scored": spread.count, "mean": spread.mean, "spread": spread.squares}
        session.execute(_TALLY, {"panel": panel.id, **tally, "effective": len(first)})
    engine.dispose()


def _write(
    session: Session, panel_id: str, rules: str, variants: Iterator[Variant], first: dict[int, int], spread: Spread
) -> None:
    """Write attempts, and note the first of each idea: its cluster."""
    returns = []
    for one in variants:
        new, scored = one.attempt, one.attempt.evaluation
        code = "" if scored is None else scoring_code()
        origin = AttemptOrigin(panel_id, rules, code, utc_now(), new.parent_ids)
        number = write_attempt(session, new, origin, one.print_)
        if scored is None or scored.returns_fingerprint is None or one.idea is None:
            continue
        sharpe = or_none(scored.sharpe_per_bar)
        if sharpe is not None:
            spread.add(sharpe)
        cluster = first.setdefault(one.idea, number)
        packed = pack(scored.returns_fingerprint)
        returns.append({"attempt_id": number, "panel_id": panel_id, "cluster": cluster, "fingerprint": packed})
    if returns:
        session.execute(_RETURNS, returns)
