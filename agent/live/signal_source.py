"""What is traded: a pool or factors, the rules they are traded under, and the gate before them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from agent.knowledge.factor_records import FactorRecord
from agent.knowledge.knowledge_base import KnowledgeBase
from agent.pools.fitting import combine_expressions, weights_of
from agent.study.blocks import all_blocks
from agent.study.opening import CurrentRules, OpenData, RecordedRules, Rules, open_data
from agent.study.own_rule import allowed, rule_on_train
from agent.study.rule_differences import scored_otherwise
from agent.study.settings import Settings
from agent.study.study import group_values, make_spec, narrowed
from agent.study.workspace import Workspace
from backtest.asset_facts import asset_facts
from backtest.combine import Members, combine, equal_weights
from backtest.market_rows import MarketRows, market_rows
from backtest.rule_grid import TradingRule
from backtest.rule_words import chosen_rule
from backtest.run import sized_weights, small_universe
from backtest.trading_rules import BacktestSpec
from backtest.weights import target_weights
from factors.engine import evaluate
from factors.parse import parse
from factors.tree import Expression
from market.errors import InputError, Rejection
from market.panel import BoolArray, FloatArray, Panel
from market.ranking import rank_panel
from market.split import TooFewBars

_ID = re.compile(r"(factor:)?[0-9a-f]{4,16}")

if TYPE_CHECKING:
    from flows.gate import RegimeGate


@dataclass(frozen=True, eq=False)
class TradedSignal:
    """What is traded.

    Attributes
    ----------
    id
        ``portfolio:`` and a hash of all that decides its weights: members, rules, gate, assets and bar.
    expressions, weights
        Members of a combined signal, (K,); a single factor trades its own values, and its weight is 1.
    labels
        What reasons call the members.
    notes
        What weakens it, each in a sentence.
    opened
        The data set that it was read on: its train is what confidence is counted on.
    """

    id: str
    name: str
    expressions: tuple[Expression, ...]
    weights: FloatArray
    labels: tuple[str, ...]
    settings: Settings
    spec: BacktestSpec
    gate: RegimeGate | None
    gate_file: Path | None
    notes: tuple[str, ...] = ()
    opened: OpenData | None = None

    @property
    def combined(self) -> bool:
        """Whether ranks of several factors are added up."""
        return self.name.startswith("pool ") or len(self.expressions) > 1

    def signal(self, values: FloatArray, inside: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Return the signal (N,) of members' values (K, N) at a bar, and what each member adds to it, (K, N)."""
        values = np.where(inside, values, np.nan)
        if not self.combined:
            return values[0], values
        members = Members.empty(len(values), (1, values.shape[1]))
        for number, row in enumerate(values):
            members.put(number, rank_panel(row[None]))
        parts = [weight * members.normalised(k)[0] for k, weight in enumerate(self.weights)]
        return combine(members, self.weights)[0], np.stack(parts)


@dataclass(frozen=True, eq=False)
class _Asked:
    """What was asked for, before it is read on a data set; `weights` are (K,), `rule` is the one that was recorded."""

    name: str
    texts: tuple[str, ...]
    weights: FloatArray
    labels: tuple[str, ...]
    notes: tuple[str, ...]
    rules: Rules
    rule: TradingRule | None = None


def open_signal(
    workspace: Workspace,
    knowledge: KnowledgeBase,
    data_name: str,
    panel: Panel,
    *,
    pool: str | None = None,
    factors: Sequence[str] = (),
    use_gate: bool = True,
) -> TradedSignal:
    """Return a pool by name or id, or factors by id or text, as a portfolio on a data set.

    A pool trades under the rules that it was fitted under, factors under those of alphaglow.toml; several have equal
    weights. A data set that has grown since the fit is welcome: what is frozen is the pool.

    Raises
    ------
    InputError
        When neither or both are given, or a member cannot be read on this data.
    """
    if (pool is None) == (not factors):
        raise InputError("say what to trade: a pool or factors", "alphaglow signal --pool NAME, or alphaglow signal ID")
    read = _reader(knowledge, panel, pooled=pool is not None)
    asked = (
        _asked_factors(knowledge, factors, workspace.settings, read) if pool is None else _asked_pool(knowledge, pool)
    )
    said: list[str] = []
    # Of a part of a data set only what it is called is needed: its gate is found by it.
    whole = data_name in workspace.data_names()
    place = workspace.stored_path(data_name) if whole else workspace.root / "data" / f"{data_name}.parquet"
    opened = open_data(workspace, place, asked.rules, gate=use_gate, learned=False, note=said.append)
    settings, file, notes = opened.settings, opened.gate_file, (*asked.notes, *said)
    expressions = tuple(read(text) for text in asked.texts)
    rule = asked.rule
    if pool is None and rule is None and settings.backtest.rule == "auto":
        rule, more = _rule_now(expressions, asked, opened)
        notes = (*notes, more)
    spec = make_spec(settings) if rule is None else rule.applied(make_spec(settings))
    _require_known_funding(spec, panel)
    gate = None if file is None else _open_gate(file, settings if pool is None else None)
    return TradedSignal(
        _portfolio_id(expressions, asked.weights, settings, file, panel, rule),
        asked.name,
        expressions,
        asked.weights,
        asked.labels,
        settings,
        spec,
        gate,
        file,
        notes if gate is None else (*notes, *_gate_notes(gate, panel)),
        opened,
    )


def _reader(knowledge: KnowledgeBase, panel: Panel, *, pooled: bool) -> Callable[[str], Expression]:
    """Return what reads texts on a panel: they may name accepted factors, but those of a pool are spelled out."""
    fields = tuple(sorted({*panel.fields, "vwap", "amount", "returns"}))
    blocks = None if pooled else all_blocks(knowledge, panel.id, fields)

    def read(text: str) -> Expression:
        return _readable(text, parse(text, fields=fields, bar=panel.bar, blocks=blocks, session=panel.session_bars))

    return read


def _readable(text: str, found: Expression | Rejection) -> Expression:
    if isinstance(found, Rejection):
        raise InputError(f"{text} cannot be read on this data: {found.message}", found.hint)
    return found


def _require_known_funding(spec: BacktestSpec, panel: Panel) -> None:
    if spec.kelly > 0 and spec.fill == "close" and "funding" in panel.fields:
        raise InputError(
            "Kelly's size at a close needs the funding settled at that very moment, which no bar shows by then",
            'set fill = "open" or kelly = 0.0 in alphaglow.toml [backtest]',
        )


def _asked_pool(knowledge: KnowledgeBase, pool: str) -> _Asked:
    record = knowledge.get_pool(pool)
    weights = weights_of(record)
    kept = [k for k in range(len(weights)) if weights[k] != 0.0]
    verdict = record.evidence.verdict
    return _Asked(
        f"pool {record.name}",
        tuple(record.members[k].text for k in kept),
        weights[kept],
        tuple(record.members[k].name or record.members[k].text for k in kept),
        () if verdict == "accepted" else (f"the pool {record.name} is {verdict}: on paper it may be traded",),
        # Its data may have grown since.
        replace(RecordedRules.of_pool(record, strict=False), panel_id=""),
        chosen_rule(record.scorecard),
    )


def _asked_factors(
    knowledge: KnowledgeBase, factors: Sequence[str], current: Settings, read: Callable[[str], Expression]
) -> _Asked:
    texts: list[str] = []
    labels: list[str] = []
    notes: list[str] = []
    rule: TradingRule | None = None
    for what in factors:
        record = _recorded_factor(knowledge, what.strip(), read)
        if record is None:
            text, label, verdict = what.strip(), what.strip(), "not of the knowledge base"
        else:
            attempt = record.attempt
            text, label, verdict = record.canonical, attempt.name or record.canonical, "not scored"
            differs = scored_otherwise(knowledge.get_run(attempt.run_id), label, current)
            notes += [differs] if differs else []
            if attempt.evaluation is not None:
                verdict = attempt.evaluation.evidence.verdict
                rule = allowed(chosen_rule(attempt.evaluation.scorecard), current) if len(factors) == 1 else None
        if verdict != "accepted":
            notes.append(f"{label} is {verdict}: on paper it may be traded")
        texts.append(text)
        labels.append(label)
    if len(set(texts)) < len(texts):
        raise InputError("a factor is named twice", "name each factor once")
    name, weights = " + ".join(labels), equal_weights(len(texts))
    return _Asked(name, tuple(texts), weights, tuple(labels), tuple(notes), CurrentRules(), rule)


def _recorded_factor(knowledge: KnowledgeBase, what: str, read: Callable[[str], Expression]) -> FactorRecord | None:
    """Return what the base has of a factor, named by its id or by any text that reads as it; None: nothing."""
    if _ID.fullmatch(what):
        return knowledge.get_factor(what, panel_id=None)
    identity = read(what).id
    try:
        return knowledge.get_factor(identity, panel_id=None)
    except InputError:
        return None


def _rule_now(expressions: Sequence[Expression], asked: _Asked, opened: OpenData) -> tuple[TradingRule | None, str]:
    """Choose a rule on train for what has none recorded: a text, or several factors together."""
    try:
        study = opened.ungated
    except TooFewBars as error:
        return None, f"no trading rule is chosen, and the settings' rule is used: {error}"
    if len(expressions) > 1:
        values = combine_expressions(expressions, asked.weights, study.panel)
    else:
        values = evaluate(expressions[0], study.panel).values
    return rule_on_train(values, study)


def _open_gate(file: Path, settings: Settings | None) -> RegimeGate:
    """Load a gate; without `settings`, it may read other features than they name."""
    from flows.checkpoint import load_gate
    from flows.gate import check_features

    gate = load_gate(file)
    if settings is not None:
        check_features(gate, settings.gate.asked())
    return gate


def _gate_notes(gate: RegimeGate, panel: Panel) -> tuple[str, ...]:
    unseen = gate.density.unseen(panel)
    return (f"never seen by the gate, judged by the states of others: {', '.join(unseen)}",) if unseen else ()


def _asked(rules: Mapping[str, object]) -> dict[str, object]:
    """Return rules without those that earlier versions had not, where they ask for nothing: ids stay as they were."""
    return {name: value for name, value in rules.items() if value or name not in ("market_neutral", "liquid_half")}


def _portfolio_id(
    expressions: Sequence[Expression],
    weights: FloatArray,
    settings: Settings,
    gate: Path | None,
    panel: Panel,
    rule: TradingRule | None,
) -> str:
    rules = {name: _asked(section) for name, section in settings.rules().items()}
    if rule is None and settings.backtest.rate == 1.0:
        # Portfolios of before there was a choice keep their ids, and their ledgers.
        rules["backtest"] = {k: v for k, v in rules["backtest"].items() if k not in ("rule", "rate")}
    content: dict[str, object] = {} if rule is None else {"rule": _asked(rule.to_dict())}
    content |= {
        "members": [[e.text, w] for e, w in zip(expressions, weights.tolist(), strict=True)],
        "rules": {name: rules[name] for name in ("backtest", "universe")},
        "gate": None if gate is None else hashlib.sha256(gate.read_bytes()).hexdigest(),
        "assets": list(panel.assets),
        "bar": int(panel.bar.astype(np.int64)),
    }
    return f"portfolio:{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]}"


@dataclass(frozen=True, eq=False)
class Batch:
    """A portfolio on a whole panel at once, (T, N) each: what live figures are compared with.

    Attributes
    ----------
    targets
        Before gate, size and caps.
    exposures
        Of the gate, or None.
    decided
        What is decided at each close.
    """

    panel: Panel
    ledger_rows: MarketRows
    targets: FloatArray
    exposures: FloatArray | None
    decided: FloatArray


def batch_of(portfolio: TradedSignal, whole: Panel) -> Batch:
    """Return what the backtest of a portfolio decides on a whole panel, by the functions that score a factor."""
    panel = narrowed(whole, portfolio.settings)
    if portfolio.combined:
        values = combine_expressions(portfolio.expressions, portfolio.weights, panel)
    else:
        values = evaluate(portfolio.expressions[0], panel).values
    signal = np.where(panel.universe, values, np.nan)
    refused = small_universe(signal, panel, portfolio.spec)
    if refused is not None:
        raise InputError(refused.message, refused.hint)
    ledger_rows = market_rows(panel, portfolio.spec)
    neutral = portfolio.settings.backtest.group_neutral
    groups = group_values(neutral, panel) if neutral else None
    facts = asset_facts(panel, portfolio.spec) if portfolio.spec.reads_facts else None
    targets = target_weights(signal, portfolio.spec, ledger_rows.volatility, groups, facts=facts)
    exposures = None
    if portfolio.gate is not None:
        from flows.train import torch_threads

        with torch_threads(portfolio.settings.gate.threads):
            exposures = portfolio.gate.exposures(panel)
    decided = sized_weights(targets, ledger_rows, portfolio.spec, exposures, bars_per_year=panel.bars_per_year)
    return Batch(panel, ledger_rows, targets, exposures, decided)
