"""The command line. Heavy libraries load only inside the commands that need them."""

from __future__ import annotations

from agent.cli.main import main

__all__ = ["main"]
