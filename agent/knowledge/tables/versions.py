"""What an evaluation is known by beside its factor and data: the rules it was made under, and the code that made it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import backtest
import factors
import market
from agent.knowledge.run_config import ScoringRules

# The loop decides what is proposed, not what it scores.
_DECIDE = ("backtest", "universe", "admission", "split")
# What rules that were recorded before there was a choice meant: left out, so that their hashes stay.
_BEFORE_A_CHOICE: Mapping[str, object] = MappingProxyType({"rule": "as set", "rate": 1.0})
_OF_MARKET = ("panel.py", "split.py")


def rules_id(rules: ScoringRules) -> str:
    """Return a hash of what decides a factor's score; what was not recorded counts as None."""
    known = rules.to_dict()
    decided = {name: known.get(name) for name in (*_DECIDE, "gate")}
    admission = rules.sections.get("admission", {})
    # Rules that were recorded before there was a choice are those of its default.
    if admission.get("control") == "fwer":
        decided["admission"] = {name: value for name, value in admission.items() if name != "control"}
    if "backtest" in rules.sections:
        traded = rules.sections["backtest"]
        decided["backtest"] = {k: v for k, v in traded.items() if _BEFORE_A_CHOICE.get(k, ...) != v}
    # Runs of earlier versions did not record it, and their hashes stay.
    if rules.cut is not None:
        decided["cut"] = dict(rules.cut.decides)
    return "rules:" + hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:16]


@cache
def scoring_code() -> str:
    """Return a hash of the source that scores: the language, its engine, the backtest. It is read once."""
    files = [*_sources(backtest.__file__), *_sources(factors.__file__)]
    files += [path for path in _sources(market.__file__) if path.name in _OF_MARKET]
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.parent.name}/{path.name}\n".encode())
        digest.update(path.read_bytes())
    return "code:" + digest.hexdigest()[:16]


def _sources(init: str | None) -> list[Path]:
    assert init is not None
    return sorted(Path(init).parent.rglob("*.py"))
