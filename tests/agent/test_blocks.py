"""Known factors by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.knowledge.library_records import LibraryRecord
from agent.knowledge.records import AttemptRecord, EvaluationRecord
from agent.study.blocks import blocks_of, library_blocks, slug
from factors.parse import parse
from factors.tree import Expression


def attempt(number: int, name: str, text: str, *, accepted: bool = True) -> AttemptRecord:
    expression = parse(text)
    assert isinstance(expression, Expression)
    return AttemptRecord(
        id=number,
        run_id="r",
        panel_id="panel:1",
        round=1,
        slot=number,
        text=text,
        canonical=expression.text,
        factor_id=expression.id,
        parent_ids=(),
        stage="evidence",
        code=None,
        message=None,
        rationale="",
        name=name,
        created="",
        verdicts=(),
        evaluation=EvaluationRecord({}, {}, 0.1, accepted),
    )


def test_accepted_factors_are_named_once_and_never_shadow() -> None:
    attempts = [
        attempt(1, "Quiet volume!", "ts_std(volume, 20)"),
        attempt(2, "quiet volume", "ts_std(amount, 20)"),
        attempt(3, "close", "ts_mean(close, 5)"),
        attempt(4, "refused", "ts_mean(close, 6)", accepted=False),
        attempt(5, "again", "ts_std(volume, 20)"),
        attempt(6, "ts_mean", "ts_mean(close, 7)"),
    ]
    blocks = blocks_of(attempts, ["close"])
    named = {name: text for name, text in blocks.items() if not name.startswith("f_")}
    assert named == {
        "quiet_volume": "ts_std(volume, 20)",
        "quiet_volume_2": "ts_std(amount, 20)",
        "close_2": "ts_mean(close, 5)",
        "ts_mean_2": "ts_mean(close, 7)",
    }
    assert blocks[f"f_{attempts[0].factor_id.removeprefix('factor:')[:8]}"] == "ts_std(volume, 20)"  # type: ignore[union-attr]
    for name in blocks:
        assert isinstance(parse(f"cs_rank({name})", blocks=blocks), Expression), name


@pytest.mark.parametrize(
    ("name", "slugged"), [("Vol/Price", "vol_price"), ("3 bars", "factor_3_bars"), ("¿?", "factor")]
)
def test_slugs_are_names_of_the_language(name: str, slugged: str) -> None:
    assert slug(name) == slugged


def test_published_factors_have_short_names() -> None:
    entry = LibraryRecord("Alpha#42", "Kakushadze", "worldquant", "", "translated", canonical="close")
    entries = [
        entry,
        replace(entry, name="Alpha7", dialect="gtja"),
        replace(entry, name="KMID2", dialect="qlib"),
        replace(entry, name="Alpha1 (2)", dialect="gtja"),
        replace(entry, name="Alpha9", canonical=None),
    ]
    assert list(library_blocks(entries)) == ["alpha101_042", "alpha191_007", "alpha158_kmid2", "alpha191_001_2"]
