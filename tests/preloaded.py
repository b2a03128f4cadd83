"""Imported once by the process that `tests.forked` forks programs from: what commands import, and kernels loaded."""

from __future__ import annotations

import ccxt.async_support  # noqa: F401
import torch  # noqa: F401

import agent.cli.demo
import agent.cli.mine
import agent.cli.signal
import agent.cli.text
import agent.mining.session  # noqa: F401
from backtest.warm_backtest import warm_backtest
from factors.warm_engine import warm_up

warm_backtest()
warm_up()
