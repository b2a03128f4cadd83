"""Export a factor or a pool as a module or a strategy file that runs without alphaglow. It sends no orders.

What is written has the values that the backtest has, and target weights by the study's rules as far as these are a
function of the values. What is not (a gate, a size that follows the portfolio's own record, when to trade) is said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from typing import Literal

import numpy as np

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.knowledge.pool_records import PoolRecord
from agent.pools.fitting import NORMALISE, weights_of
from agent.study.blocks import all_blocks
from agent.study.opening import Note, RecordedRules, no_note, open_data
from agent.study.own_rule import allowed, rule_on_train
from agent.study.rule_differences import scored_otherwise
from agent.study.settings import Settings
from agent.study.study import make_spec
from agent.study.workspace import Workspace
from backtest.combine import DECIMALS, LEAST_SHARE
from backtest.kernel_rules import ledger_rules
from backtest.ledger import DELISTED_AFTER, DUST, RUIN
from backtest.rule_grid import TradingRule
from backtest.rule_words import chosen_rule
from backtest.trading_rules import BacktestSpec
from factors.engine import evaluate
from factors.parse import parse
from factors.plain_words import read_aloud
from factors.tree import Call, Expression, Node
from factors.writers.freqtrade import CANDLE, require_candles, timeframe_of, to_freqtrade
from factors.writers.module import Exported, Rules, how, to_module
from factors.writers.trading_text import Trading
from market.errors import InputError, Rejection
from market.panel import Panel

Target = Literal["pandas", "freqtrade"]
TARGETS: tuple[Target, ...] = ("pandas", "freqtrade")
_ID = re.compile(r"(factor:)?[0-9a-f]{4,16}")
_DAY = np.timedelta64(1, "D")
_ALWAYS = ("vwap", "amount", "returns")
# Candles that most exchanges hand over at once; freqtrade asks up to five times.
_CANDLES_LIVE = 1000


@dataclass(frozen=True)
class Written:
    """An exported file: its source, what `--strategy` names (nothing for a module), and what is not in it."""

    subject: str
    title: str
    source: str
    strategy: str
    remarks: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Subject:
    """What is exported, before its target is known."""

    content_id: str
    exported: Exported
    settings: Settings
    spec: BacktestSpec
    panel: Panel
    gated: bool


@dataclass(frozen=True)
class _AskedFactor:
    """A factor that is to be exported: the rule that it was scored under and what is known of it, where it was."""

    expression: Expression
    rule: TradingRule | None = None
    about: Mapping[str, object] = field(default_factory=dict)


def export_factor(
    text: str, target: Target, workspace: Workspace, knowledge: KnowledgeBase, data: str | None, note: Note = no_note
) -> Written:
    """Write a factor, by an id of the knowledge base or as an expression, under the workspace's current rules.

    `note` is given where its run scored it under other rules.

    Raises
    ------
    InputError
        When it cannot be read on this data, or the target cannot have it.
    """
    opened = open_data(workspace, data, learned=False)
    panel, settings = opened.whole, workspace.settings
    if _ID.fullmatch(text.strip()):
        asked = _recorded_factor(text.strip(), panel, settings, knowledge, note)
    else:
        asked = _AskedFactor(_read_text(text, panel, knowledge))
    expression, rule = asked.expression, asked.rule
    spec = make_spec(settings)
    if settings.backtest.rule == "auto":
        if rule is None:
            rule, said = rule_on_train(evaluate(expression, opened.ungated.panel).values, opened.ungated)
            note(said)
        spec = spec if rule is None else rule.applied(spec)
    exported = Exported(
        f"The factor {expression.id}: {expression.text}",
        (expression,),
        export_rules(settings, panel, spec),
        trading=traded_by(spec, panel),
        about={
            "factor": expression.id,
            "text": expression.text,
            **asked.about,
            "reading": read_aloud(expression),
            "lookback": expression.lookback if expression.is_bounded else None,
            "fitted_on": "nothing: a factor has no weights",
            "data": _data(opened.name, panel),
        },
    )
    gated = opened.gate_file is not None
    return _write(_Subject(expression.id, exported, settings, spec, panel, gated), target)


def _recorded_factor(
    factor_id: str, panel: Panel, settings: Settings, knowledge: KnowledgeBase, note: Note
) -> _AskedFactor:
    """Return a factor of the knowledge base; `note` is called where its run scored it under other rules."""
    record = knowledge.get_factor(factor_id)
    expression = _read(record.canonical, panel, record.factor_id)
    about: dict[str, object] = {"name": record.attempt.name}
    differs = scored_otherwise(knowledge.get_run(record.attempt.run_id), record.factor_id, settings)
    if differs:
        note(differs)
    evaluation = record.attempt.evaluation
    if evaluation is None:
        return _AskedFactor(expression, None, about)
    if record.attempt.panel_id == panel.id:
        about["verdict"] = evaluation.evidence.verdict
    return _AskedFactor(expression, allowed(chosen_rule(evaluation.scorecard), settings), about)


def _read_text(text: str, panel: Panel, knowledge: KnowledgeBase) -> Expression:
    """Read an expression that may name accepted and published factors."""
    blocks = all_blocks(knowledge, panel.id, panel.fields)
    found = parse(text, fields=_fields(panel), bar=panel.bar, blocks=blocks, session=panel.session_bars)
    if isinstance(found, Rejection):
        raise InputError(found.message, found.hint)
    return found


def export_pool(
    name: str, target: Target, workspace: Workspace, knowledge: KnowledgeBase, data: str | None, note: Note = no_note
) -> Written:
    """Write a pool under the rules that it was fitted under; `note` is called where the current ones differ."""
    pool = knowledge.get_pool(name)
    opened = open_data(workspace, data, RecordedRules.of_pool(pool, strict=False), learned=False, note=note)
    panel, settings = opened.whole, opened.settings
    weights = weights_of(pool)
    kept = [k for k in range(len(weights)) if weights[k] != 0.0]
    expressions = tuple(_read(pool.members[k].text, panel, pool.members[k].factor_id) for k in kept)
    rule = chosen_rule(pool.scorecard)
    spec = make_spec(settings) if rule is None else rule.applied(make_spec(settings))
    exported = Exported(
        f"The pool {pool.name} ({pool.id}): {len(kept)} factors by {pool.method} weights",
        expressions,
        export_rules(settings, panel, spec),
        tuple(float(weights[k]) for k in kept),
        LEAST_SHARE,
        DECIMALS,
        _about_pool(pool, _data(opened.name, panel)),
        traded_by(spec, panel),
    )
    return _write(_Subject(pool.id, exported, settings, spec, panel, bool(pool.spec.rules.gate)), target)


def traded_by(spec: BacktestSpec, panel: Panel) -> Trading:
    """Return how targets are traded under rules, as a module has it."""
    rules = ledger_rules(spec, panel.bars_per_year)
    return Trading(
        fill=spec.fill,
        rate=rules.rate,
        band=rules.band,
        rebalance=rules.rebalance,
        cost=rules.per_trade,
        borrow=rules.borrow,
        delisting_return=rules.delisting_return,
        dust=DUST,
        ruin=RUIN,
        dead_after=DELISTED_AFTER,
    )


def export_rules(settings: Settings, panel: Panel, spec: BacktestSpec) -> Rules:
    """Return the part of the rules that is a function of values alone, in bars of a panel.

    `spec` is the settings', under the trading rule of what is exported, where it has one of its own.
    """
    chosen = settings.universe
    a_day = float(_DAY / panel.bar)
    name = settings.backtest.group_neutral
    group, reach = _group(name, panel) if name else (None, 0)
    return Rules(
        weighting=spec.weighting,
        holding=spec.holding,
        max_weight=spec.max_weight,
        quantiles=spec.quantiles,
        group=group,
        volatility_scaled=spec.volatility_scaled,
        market_neutral=spec.market_neutral,
        liquid_half=spec.liquid_half,
        max_risk=spec.max_risk,
        rebalance=spec.rebalance,
        rate=spec.rate,
        band=spec.band,
        top=max(chosen.top, 0),
        least_money=max(chosen.least_money, 0.0),
        liquid_bars=max(1, round(chosen.days * a_day)),
        bars_a_day=a_day,
        refresh_bars=max(1, round(chosen.refresh_days * a_day)),
        group_lookback=reach,
    )


def _group(name: str, panel: Panel) -> tuple[Node, int]:
    """Return the tree of a group, and how many bars it looks back."""
    found = parse(f"group_mean(close, {name})", fields=_fields(panel), bar=panel.bar)
    if isinstance(found, Rejection) or not isinstance(found.root, Call):
        why = found.message if isinstance(found, Rejection) else "it is no group"
        raise InputError(f"group_neutral = {name!r}: {why}", "correct it in alphaglow.toml [backtest]")
    return found.root.args[1], found.lookback


def _read(text: str, panel: Panel, called: str) -> Expression:
    found = parse(text, fields=_fields(panel), bar=panel.bar, dialect="native")
    if isinstance(found, Rejection):
        raise InputError(f"{called} cannot be read on this data: {found.one_line()}")
    return found


def _fields(panel: Panel) -> tuple[str, ...]:
    return tuple(sorted({*panel.fields, *_ALWAYS}))


def _data(name: str, panel: Panel) -> dict[str, object]:
    bars, assets = panel.shape
    minutes = float(panel.bar / np.timedelta64(1, "m"))
    return {"name": name, "id": panel.id, "bars": bars, "assets": assets, "minutes_a_bar": minutes,
            "simulated": panel.simulated}  # fmt: skip


def _about_pool(pool: PoolRecord, data: Mapping[str, object]) -> dict[str, object]:
    return {
        "pool": pool.id,
        "name": pool.name,
        "method": pool.method,
        "hyperparameters": dict(pool.spec.hyperparameters),
        "verdict": pool.evidence.verdict,
        "normalise": NORMALISE,
        "members": [
            {"factor": m.factor_id, "weight": m.weight, "text": m.text, "name": m.name, "verdict": m.verdict}
            for m in pool.members
        ],
        "fitted_on": asdict(pool.spec.fitted_on),
        "notes": list(pool.spec.notes),
        "data": data,
    }  # fmt: skip


def _write(subject: _Subject, target: Target) -> Written:
    exported, panel = subject.exported, subject.panel
    remarks = list(_left_out(subject, target))
    if target == "freqtrade":
        # freqtrade has pair lists for it: its whitelist is the universe.
        exported = replace(exported, rules=replace(exported.rules, top=0, least_money=0.0))
    strategy = ""
    about = {
        **exported.about,
        "rules": {
            "weights": how(exported.rules),
            "rebalance": exported.rules.rebalance,
            "rate": exported.rules.rate,
            "band": exported.rules.band,
        },
        "not_in_this_file": remarks,
        "alphaglow": version("alphaglow"),
    }
    exported = replace(exported, about=about)
    if target == "pandas":
        source = to_module(exported)
    else:
        require_candles(exported, frozenset(panel.fields) - set(CANDLE))
        if panel.calendar != "continuous":
            raise InputError(
                "freqtrade trades crypto around the clock, and these data follow an exchange's sessions",
                "export --to pandas",
            )
        kind, _, digits = subject.content_id.partition(":")
        strategy = f"Alphaglow{kind.title()}{digits}"
        source = to_freqtrade(
            exported,
            class_name=strategy,
            timeframe=timeframe_of(panel.bar),
            minutes=int(panel.bar / np.timedelta64(1, "m")),
            filled_are_gaps=fills_are_gaps(panel),
        )
    return Written(subject.content_id, exported.title, source, strategy, tuple(remarks))


def fills_are_gaps(panel: Panel) -> bool:
    """Whether a candle of volume 0 that stands at the last close is more often a gap that freqtrade filled.

    Some exchanges write such candles themselves, and the data then hold them; others leave them out, and the data have
    gaps.
    """
    close, before = panel["close"][1:], panel["close"][:-1]
    still = (panel["volume"][1:] == 0) & (close == before)
    for name in ("open", "high", "low"):
        still &= panel[name][1:] == before
    known = np.isfinite(panel["close"])
    lives = [panel.times[rows][[0, -1]] for rows in known.T if rows.any()]
    whole = sum(round(float((last - first) / panel.bar)) + 1 for first, last in lives)
    return bool(still.sum() <= whole - known.sum())


def _left_out(subject: _Subject, target: Target) -> list[str]:
    """Return what of the study is not in the file, each in a sentence."""
    rules, spec = subject.exported.rules, subject.spec
    found = []
    if subject.gated:
        found.append("the gate: weights are those before it, so the portfolio is larger than the gated one was")
    if spec.kelly > 0:
        found.append("the size by Kelly's rule, which follows the portfolio's own record: weights are of full size")
    if rules.weighting == "timeseries" and rules.group is not None:
        found.append("group_neutral, which positions of single assets do not have")
    in_full = rules.rebalance == 1 and rules.band == 0 and rules.rate >= 1
    if target == "pandas" and not in_full:
        found.append(
            f"trading in newest and weights: those are targets, and the study traded {100 * rules.rate:g}% of the way "
            f"to them every {rules.rebalance} bars, what was more than {rules.band:g} of capital off: call positions"
        )
    if target == "pandas" and not in_full and (spec.costs.capital > 0 or "funding" in subject.panel.fields):
        found.append("impact and funding in positions, which change the capital that they are fractions of a little")
    if target == "freqtrade" and rules.rate < 1:
        found.append("a slow way out: a position whose target turns, or is 0, is closed at once")
    if target == "pandas":
        return found
    if rules.narrows:
        said = [f"the {rules.top} most traded"] if rules.top else []
        said += [f"those with {rules.least_money:g} of money a day"] if rules.least_money else []
        days = subject.settings.universe.days
        found.append(f"the universe: it was {', '.join(said)} over {days:g} days; let the whitelist hold such pairs")
    if spec.fill == "close":
        found.append("fills at the close: the study filled at the next bar's close, freqtrade fills at its open")
    reach = subject.exported.lookback + rules.memory
    if reach > _CANDLES_LIVE:
        found.append(f"a long history: it needs {reach} candles, and many exchanges hand over {_CANDLES_LIVE} at once")
    return found
