"""Imported once by the process that `tests.forked` forks programs from: what commands import, and kernels loaded."""

from __future__ import annotations

import gc
from importlib import import_module

from backtest.warm_backtest import warm_backtest
from factors.warm_engine import warm_up

# What a process would else import itself, some of it in a second; `tests.forked` brings pytest, too.
_MODULES = (
    "agent.cli.data",
    "agent.cli.demo",
    "agent.cli.events",
    "agent.cli.live_table",
    "agent.cli.mine",
    "agent.cli.plain_console",
    "agent.cli.signal",
    "agent.cli.text",
    "agent.knowledge.file_listing",
    "agent.live.alerts",
    "agent.mining.session",
    "agent.mock.provider",
    "agent.mock.transport",
    "agent.texts.text_novelty",
    "alembic.command",
    "alembic.context",
    "ccxt.async_support",
    "openai.resources.chat.completions",
    "pyarrow.parquet",
    "rich.live",
    "rich.table",
    "tests.forked",
    "torch",
)
for _name in _MODULES:
    import_module(_name)
warm_backtest()
warm_up()
# A collection in a process would walk through all of this, and so copy its pages.
gc.freeze()
