"""`eval --rule`: a trading rule from a file, or whether one is chosen by machine, in the place of the settings."""

from __future__ import annotations

import tomllib
from pathlib import Path

from agent.study.sections import BacktestSettings
from backtest.rule_grid import TradingRule, read_rule
from market.errors import InputError

NAMES = ("auto", "as set")


def read_rule_file(path: Path) -> TradingRule:
    """Return the rule of a TOML file: fields of `TradingRule` at its top, or in a table ``[rule]``.

    Raises
    ------
    InputError
        When it cannot be read, or a field of it means nothing.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot read the rule {path}: {error}", "give auto, as set, or a TOML file with a rule"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not valid TOML: {error}", "correct the line it names") from error
    table = raw.get("rule", raw)
    if not isinstance(table, dict) or (table is not raw and len(raw) > 1):
        raise InputError(f"{path}: a rule is one table of fields", "write rate = 0.1 and the like, one a line")
    return read_rule(table, str(path))


def traded_under(traded: BacktestSettings, asked: str) -> BacktestSettings:
    """Return the section ``backtest`` under what was asked for: ``auto``, ``as set``, or the path of a file."""
    if asked in NAMES:
        return traded.model_copy(update={"rule": asked})
    return traded.model_copy(update={"rule": "as set", **read_rule_file(Path(asked)).to_dict()})
