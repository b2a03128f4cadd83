"""A market moved by two fields, the study of it, and an empty knowledge base."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.knowledge.knowledge_base import KnowledgeBase
from agent.study.study import Study, open_study
from market.panel import Panel
from tests.agent.pools.planted_pools import FREE, planted


@pytest.fixture(scope="module")
def panel() -> Panel:
    """Fields A and B pay, C does not."""
    return planted({"idea_a": 4.0, "idea_b": 4.0, "idea_c": 0.0})


@pytest.fixture(scope="module")
def study(panel: Panel) -> Study:
    """Costs nothing to trade."""
    return open_study(panel, FREE)


@pytest.fixture
def kb(tmp_path: Path, panel: Panel) -> Iterator[KnowledgeBase]:
    """An empty base that knows the market."""
    with KnowledgeBase.open(tmp_path / "knowledge.db") as knowledge:
        knowledge.register_dataset(panel)
        yield knowledge
