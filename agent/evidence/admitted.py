"""What was admitted and is to be watched: every accepted or promising factor and pool, once a data set."""

from __future__ import annotations

from dataclasses import dataclass

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.listing import list_numbered
from agent.knowledge.pool_records import PoolRecord
from agent.knowledge.records import AttemptRecord
from agent.study.opening import RecordedRules
from backtest.result_types import Scorecard
from backtest.rule_grid import TradingRule
from backtest.rule_words import chosen_rule

ADMITTED = ("accepted", "promising")
_FACTORS = """
SELECT e.attempt_id, a.factor_id, a.run_id, coalesce(r.verdict, e.verdict)
FROM evaluations e JOIN attempts a ON a.id = e.attempt_id LEFT JOIN reassessments r ON r.attempt_id = e.attempt_id
WHERE a.stage <> 'screen' AND a.factor_id IS NOT NULL AND a.canonical IS NOT NULL
AND coalesce(r.verdict, e.verdict) IN ('accepted', 'promising')
ORDER BY e.attempt_id
"""


@dataclass(frozen=True, eq=False)
class Admitted:
    """A factor or pool that was admitted: under which rules, by which scorecard, and on which bars.

    Attributes
    ----------
    rules
        The rules that its run, or it itself, recorded, and the data that they are of.
    until
        Time of the last bar that there was when it was admitted, as the knowledge base writes it; empty: not known.
    text
        Of a factor, its canonical text.
    """

    subject: str
    kind: str
    name: str
    verdict: str
    admitted: str
    rules: RecordedRules
    card: Scorecard
    until: str
    text: str = ""
    pool: PoolRecord | None = None

    @property
    def data(self) -> str:
        """Name of the data set that it was admitted on."""
        return self.rules.data

    @property
    def panel_id(self) -> str:
        """Content id of the data that it was admitted on."""
        return self.rules.panel_id

    @property
    def rule(self) -> TradingRule | None:
        """Its own trading rule, where it has one beside that of the settings."""
        return chosen_rule(self.card)


def admitted_subjects(knowledge: KnowledgeBase) -> list[Admitted]:
    """Return what is watched: by data set and rules, so that each is opened once.

    A factor that was admitted several times on a data set counts from its first time under its best verdict. One that
    a later reassessment refused, or that a person retired, is left out.
    """
    with knowledge.asking() as ask:
        ends = {str(row[0]): str(row[1]) for row in ask('SELECT panel_id, "end" FROM datasets', {})}
    found = [*_factors(knowledge, ends), *_pools(knowledge, ends)]
    return sorted(found, key=lambda one: (one.data, one.panel_id, one.rules.owner, one.subject))


def _factors(knowledge: KnowledgeBase, ends: dict[str, str]) -> list[Admitted]:
    with knowledge.asking() as ask:
        rows = [(int(row[0]), str(row[1]), str(row[2]), str(row[3])) for row in ask(_FACTORS, {})]
    runs = {run.id: run for run in knowledge.runs()} if rows else {}
    chosen: dict[tuple[str, str], tuple[int, str]] = {}
    for number, factor, run, verdict in rows:
        key = (factor, runs[run].config.data)
        if key not in chosen or (verdict, chosen[key][1]) == ADMITTED:
            chosen[key] = (number, verdict)
    retired = knowledge.decisions(sorted({factor for factor, _ in chosen}))
    kept = {number: verdict for (factor, _), (number, verdict) in chosen.items() if retired.get(factor) != "retire"}
    with knowledge.asking() as ask:
        attempts = list_numbered(ask, kept)
    rules = {run_id: RecordedRules.of_run(run) for run_id, run in runs.items()}
    return [_factor(one, kept[one.id], rules[one.run_id], ends) for one in attempts]


def _factor(one: AttemptRecord, verdict: str, rules: RecordedRules, ends: dict[str, str]) -> Admitted:
    assert one.factor_id is not None
    assert one.canonical is not None
    assert one.evaluation is not None
    until = ends.get(one.panel_id, "")
    card = one.evaluation.scorecard
    return Admitted(one.factor_id, "factor", one.name, verdict, one.created, rules, card, until, one.canonical)


def _pools(knowledge: KnowledgeBase, ends: dict[str, str]) -> list[Admitted]:
    return [
        Admitted(
            pool.id,
            "pool",
            pool.name,
            pool.evidence.verdict,
            pool.created,
            RecordedRules.of_pool(pool),
            pool.scorecard,
            ends.get(pool.panel_id, ""),
            pool=pool,
        )
        for pool in knowledge.pools()
        if pool.evidence.verdict in ADMITTED
    ]
