"""A large knowledge base, made without the search that would fill it: rows as the program itself writes them.

What costs the program time an attempt (which cluster of returns it joins, who its parents are, how its factor is read)
is known here before: each attempt is a variant of one of some ideas, and its factor one of some with another window
around it. A test holds the rows equal to what the program's own door writes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace

import numpy as np
from sqlalchemy import Connection, column, insert, table, text
from sqlalchemy.orm import Session

from agent.knowledge.attempt_figures import or_none
from agent.knowledge.claims import Claims
from agent.knowledge.database import schema
from agent.knowledge.database.connection import for_writing, make_engine
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.listing import TAG
from agent.knowledge.packed_json import pack_json
from agent.knowledge.records import JudgeVerdict, NewAttempt, NewEvaluation
from agent.knowledge.run_config import RunConfig
from agent.knowledge.score_documents import read_evidence, read_scorecard
from agent.knowledge.tables import full_text, novelty_index
from agent.knowledge.tables.attempts import AttemptOrigin, attempt_row, evaluation_row, parent_rows, verdict_row
from agent.knowledge.tables.convert import utc_now
from agent.knowledge.tables.effective_trials import returns_row
from agent.knowledge.tables.packed_returns import recorded
from agent.knowledge.tables.row_cache import Memory
from agent.knowledge.tables.tallies import Spread
from agent.knowledge.tables.versions import scoring_code
from agent.mining.search.themes import THEMES
from backtest.result_types import Scorecard, SegmentScore
from factors.drawing import Drawer
from factors.overlap import Fingerprint, Subtree, fingerprint
from factors.parse import parse
from factors.tree import Expression
from market.panel import FloatArray, Panel

# Attempts of a run, and of a round of it.
RUN, ROUND = 800, 8
# Of attempts: scored in full, and refused; the rest are left at their quick score.
FULL, REFUSED = 0.1, 0.1
_BLOCKS = 512
# Scorecards that differ; kinds of ideas by what they are worth, and scores of each kind.
_CARDS, _KINDS, _SCORES = 200, 100, 8
_MOST_TEMPLATES = 1000
_SHORTEST, _LONGEST = 2, 9_999
_TALLY = text(
    "INSERT INTO tallies (panel_id, attempts, scored, mean, spread, effective_trials, epoch) "
    "VALUES (:panel, :attempts, :scored, :mean, :spread, :effective, 0)"
)
# In the order in which they may be written; the words of attempts are no model.
_TABLES = (
    schema.Attempt, schema.AttemptParent, schema.Verdict, schema.Evaluation, schema.TrialReturns,
    schema.KnownFactor, schema.KnownPart,
)  # fmt: skip


@dataclass(frozen=True)
class Template:
    """A factor whose outermost window may be any: what is looked up of it, with ``#`` where the window stands."""

    before: str
    print_: Fingerprint
    shape: int

    def text(self, window: int) -> str:
        """Return the factor's text."""
        return f"{self.before}{window})"

    def fingerprint(self, window: int) -> Fingerprint:
        """Return what is looked up of it."""
        said = self.text(window)
        whole = Subtree(hash_of(said), self.print_.size + 2, said)
        return Fingerprint(whole.size, (whole, *self.print_.subtrees), hash_of(f"ranking {said}"), 1, self.shape)


def hash_of(said: str) -> int:
    """Return the hash by which a part of a factor is known."""
    return int.from_bytes(hashlib.blake2b(said.encode(), digest_size=8).digest(), "big") >> 1


@dataclass(frozen=True)
class Variant:
    """An attempt, its factor's fingerprint, and which idea it varies (both None: it was refused).

    `scores` tells evaluations apart: those of one number differ in their returns alone.
    """

    attempt: NewAttempt
    idea: int | None = None
    print_: Fingerprint | None = None
    scores: tuple[int, bool] = (0, False)


class Variants:
    """Draws attempts: variants of ideas, whose returns correlate by some 0.8 with their idea's."""

    def __init__(self, seed: int, ideas: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._templates = _templates(self._rng, min(ideas, _MOST_TEMPLATES))
        self._uses = [_SHORTEST - 1] * len(self._templates)
        self._ideas = self._rng.standard_normal((ideas, _BLOCKS), dtype=np.float32)
        self._worth = self._rng.normal(0.3, 0.8, size=_KINDS)
        # Few ideas are varied often, and many seldom.
        odds = 1.0 / (1.0 + np.arange(ideas))
        self._odds = np.cumsum(odds / odds.sum())
        self._cards = [scorecard_of(self._rng) for _ in range(_CARDS)]
        self._scored: dict[tuple[int, bool], NewEvaluation] = {}
        self._parent: tuple[str, str] | None = None

    def draw(self, run_id: str, number: int) -> Variant:
        """Return the attempt at a place of a run, all of it drawn."""
        place = (run_id, number // ROUND, number % ROUND)
        share = self._rng.random()
        if share < REFUSED:
            words = f"ts_mean(close, {int(self._rng.integers(10**6))}"
            refused = {"code": "syntax", "message": "a bracket is not closed\nclose it"}
            return Variant(NewAttempt(*place, words, "parse", name=f"idea {number}", **refused))
        said, print_ = self._factor()
        factor_id = f"{TAG}{hashlib.sha256(said.encode()).hexdigest()[:16]}"
        idea = min(int(np.searchsorted(self._odds, self._rng.random(), side="right")), len(self._ideas) - 1)
        scores = (idea % _KINDS * _SCORES + int(self._rng.integers(_SCORES)), share < REFUSED + FULL)
        if scores not in self._scored:
            self._scored[scores] = self._evaluation(self._worth[idea % _KINDS], in_full=scores[1])
        scored = replace(self._scored[scores], returns_fingerprint=self._returns(idea))
        attempt = NewAttempt(*place, said, "evidence", said, factor_id, evaluation=scored)
        if not scores[1]:
            return Variant(replace(attempt, stage="screen"), idea, print_, scores)
        return Variant(self._proposed(attempt, idea, number), idea, print_, scores)

    def _proposed(self, attempt: NewAttempt, idea: int, number: int) -> NewAttempt:
        """Return an attempt with what writer and judge say of it."""
        parent, self._parent = self._parent, (attempt.text, attempt.factor_id or "")
        claims = Claims(
            operation="new" if parent is None else "mutate",
            theme=list(THEMES)[idea % 8],
            parents=() if parent is None else parent[:1],
            mechanism="crowds are slow to notice what volume tells, and pay for it later",
        )
        return replace(
            attempt,
            parent_ids=() if parent is None else parent[1:],
            name=f"idea {number}",
            rationale="crowds are slow to notice what volume tells " * 4,
            verdicts=(JudgeVerdict(1, True, float(idea % 10), "plausible, cheap to trade, easy to test " * 3),),
            claims=claims,
        )

    def _factor(self) -> tuple[str, Fingerprint]:
        while True:
            chosen = int(self._rng.integers(len(self._templates)))
            self._uses[chosen] += 1
            if self._uses[chosen] <= _LONGEST:
                template, window = self._templates[chosen], self._uses[chosen]
                return template.text(window), template.fingerprint(window)

    def _returns(self, idea: int) -> FloatArray:
        series = self._ideas[idea] + np.float32(0.6) * self._rng.standard_normal(_BLOCKS, dtype=np.float32)
        series -= series.mean()
        unit: FloatArray = series / np.sqrt(series @ series)
        return unit

    def _evaluation(self, worth: float, *, in_full: bool) -> NewEvaluation:
        payoff = float(worth + self._rng.normal())
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
        return NewEvaluation(card, read_evidence(words), net / 40)


def _templates(rng: np.random.Generator, count: int) -> list[Template]:
    """Return drawn factors in a window, of those that the language leaves as they are written."""
    drawer, found = Drawer(rng, longest=60), dict[str, Template]()
    while len(found) < count:
        inner = parse(drawer.expression_text(int(rng.integers(3, 6))), dialect="native")
        if not isinstance(inner, Expression):
            continue
        before = f"ts_rank({inner.text}, "
        read = [parse(f"{before}{window})", dialect="native") for window in (7, 1234)]
        if all(isinstance(one, Expression) for one in read):
            prints = [fingerprint(one.root) for one in read if isinstance(one, Expression)]
            made = Template(before, fingerprint(inner.root), prints[0].shape)
            if [made.fingerprint(7), made.fingerprint(1234)] == prints:
                found[before] = made
    return list(found.values())


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
    engine, memory = make_engine(knowledge.place), Memory()
    # Published factors may be known already.
    rows = Rows(panel.id, knowledge.place.on_server, factors=knowledge.index_factors())
    for number in range(-(-size // RUN)):
        count = min(RUN, size - number * RUN)
        run = knowledge.create_run(panel.id, RunConfig(data=panel.name or "toy"), number)
        with Session(for_writing(engine, relaxed=True)) as session, session.begin():
            opened = {"run_id": run.id, "brief": {}, "status": "open", "created": utc_now()}
            rounds = [{**opened, "number": one} for one in range((count - 1) // ROUND + 1)]
            session.execute(insert(schema.core_table(schema.Round)), rounds)
            rules = memory.run(session, run.id).rules
            for k in range(count):
                rows.add(variants.draw(run.id, k), rules)
            rows.write(session.connection())
        knowledge.set_run_status(run.id, "finished")
        show(number * RUN + count)
    with Session(for_writing(engine)) as session, session.begin():
        spread = rows.spread
        tally = {"attempts": size, "scored": spread.count, "mean": spread.mean, "spread": spread.squares}
        session.execute(_TALLY, {"panel": panel.id, **tally, "effective": len(rows.first)})
        if knowledge.place.on_server:
            # Numbers were given here: the server goes on after them.
            for name, key, last in (("attempts", "id", rows.numbers), ("known_factors", "seq", rows.factors)):
                session.execute(text(f"SELECT setval(pg_get_serial_sequence('{name}', '{key}'), {last})"))
    engine.dispose()


@dataclass
class Rows:
    """Rows of attempts as the tables hold them, gathered to be written together; `first` is each idea's cluster."""

    panel_id: str
    on_server: bool = False
    numbers: int = 0
    factors: int = 0
    first: dict[int, int] = field(default_factory=dict)
    spread: Spread = field(default_factory=Spread)
    _tables: dict[type[schema.Base], list[dict[str, object]]] = field(default_factory=lambda: {t: [] for t in _TABLES})
    _words: list[tuple[int, dict[str, list[str]]]] = field(default_factory=list)
    _evaluations: dict[tuple[tuple[int, bool], str], dict[str, object]] = field(default_factory=dict)

    def add(self, one: Variant, rules: str) -> None:
        """Take in one more attempt."""
        new = one.attempt
        self.numbers += 1
        number = self.numbers
        row = attempt_row(new, AttemptOrigin(self.panel_id, rules, "", utc_now(), new.parent_ids))
        self._tables[schema.Attempt].append({"id": number, **row})
        self._tables[schema.AttemptParent] += parent_rows(number, new.parent_ids)
        self._tables[schema.Verdict] += [{"attempt_id": number, **verdict_row(said)} for said in new.verdicts]
        self._words.append((number, full_text.words_of(row)))
        if one.print_ is not None and new.factor_id is not None and new.canonical is not None:
            self.factors += 1
            known = novelty_index.factor_row(new.factor_id, new.canonical, f"attempt {number}", one.print_)
            self._tables[schema.KnownFactor].append({"seq": self.factors, **known})
            self._tables[schema.KnownPart] += novelty_index.part_rows(self.factors, one.print_)
        if new.evaluation is None or new.evaluation.returns_fingerprint is None or one.idea is None:
            return
        sharpe = or_none(new.evaluation.sharpe_per_bar)
        if sharpe is not None:
            self.spread.add(sharpe)
        cluster = self.first.setdefault(one.idea, number)
        packed = recorded(new.evaluation.returns_fingerprint)
        self._tables[schema.TrialReturns].append(returns_row(number, self.panel_id, cluster, packed))
        known_row = self._evaluations.get((one.scores, rules))
        if known_row is None:
            origin = AttemptOrigin(self.panel_id, rules, scoring_code(), "", ())
            known_row = evaluation_row(new.evaluation, origin)
            if not self.on_server:
                # Packed once for all that have the same scores.
                known_row |= {name: pack_json(known_row[name]) for name in ("scorecard", "evidence")}
            self._evaluations[one.scores, rules] = known_row
        self._tables[schema.Evaluation].append({**known_row, "attempt_id": number, "factor_id": new.factor_id})

    def write(self, connection: Connection) -> None:
        """Write what was gathered."""
        for model, rows in self._tables.items():
            if rows:
                whole = schema.core_table(model)
                plain = model is schema.Evaluation and not self.on_server
                # A column without a type is written as it is handed in.
                into = table(whole.name, *(column(one) for one in rows[0])) if plain else whole
                connection.execute(insert(into), rows)
            rows.clear()
        if not self.on_server:
            connection.execute(full_text.INTO_FILE, [full_text.file_row(*row) for row in self._words])
        else:
            vectors = [{"id": number, "words": full_text.vector_of(said)} for number, said in self._words]
            connection.execute(full_text.INTO_SERVER, vectors)
        self._words.clear()
