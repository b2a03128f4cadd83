"""How much room is left beside what was found: themes taken and open, dead ends, and what a turned sign would do."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from agent.knowledge.records import AttemptRecord
from agent.knowledge.stored_returns import StoredReturns
from agent.llm.facts import RoomFacts
from agent.mining.brief import Brief
from agent.mining.search.added import marginal_payoff
from agent.mining.search.bandit import rewards
from agent.mining.search.elites import archive
from agent.mining.search.room import room_left, room_sentence
from backtest.luck import fingerprint_of
from tests.helpers import scored_attempt

BARS = 2000


def tried(number: int, theme: str, series: np.ndarray, **figures: float) -> tuple[AttemptRecord, np.ndarray]:
    z = float(series.mean() / series.std() * np.sqrt(BARS))
    card = {"train": {"net_z": z, "payoff_z": z, "sharpe_net": z, **figures}}
    return scored_attempt(number, f"ts_mean(close, {number + 2})", card, theme=theme), fingerprint_of(series)


def test_what_is_left_is_paid_out_of_sample_and_has_an_error() -> None:
    rng = np.random.default_rng(1)
    ideas = 0.1 + rng.normal(size=(3, BARS))
    prints = np.stack([fingerprint_of(one) for one in ideas])
    scores = ideas.mean(axis=1) / ideas.std(axis=1) * np.sqrt(BARS)
    new = marginal_payoff(scores[2], prints[2], scores[:2], prints[:2])
    assert new.score == pytest.approx(scores[2], rel=0.2)
    assert new.explained < 0.05
    clone = ideas[0] + 0.3 * rng.normal(size=BARS)
    z = float(clone.mean() / clone.std() * np.sqrt(BARS))
    copied = marginal_payoff(z, fingerprint_of(clone), scores[:1], prints[:1])
    assert copied.score < 1.5 < z
    assert copied.explained > 0.8
    assert copied.payoff == pytest.approx(copied.score * copied.error)
    # Many members without skill explain nothing out of sample, and take nothing away.
    noise = np.stack([fingerprint_of(rng.normal(size=BARS)) for _ in range(12)])
    alone = marginal_payoff(scores[2], prints[2], np.zeros(12), noise)
    assert alone.explained < 0.02
    assert alone.score == pytest.approx(scores[2], rel=0.1)


def test_room_is_told_by_theme_with_dead_ends_and_turned_signs() -> None:
    rng = np.random.default_rng(2)
    idea = 0.15 + rng.normal(size=BARS)
    member = tried(0, "momentum", idea)
    taken = [tried(k, "momentum", idea + 0.3 * rng.normal(size=BARS)) for k in (1, 2)]
    free = [tried(3, "volume", 0.1 + rng.normal(size=BARS))]
    dead = [tried(k, "candle", rng.normal(size=BARS) * 1.0 - 0.001, payoff_z=0.5) for k in range(4, 12)]
    other_way = tried(12, "volume", rng.normal(size=BARS) - 0.1, sharpe_gross=-2.0, sharpe_net=-2.5)
    known = [member, *taken, *free, *dead, other_way]
    stored = StoredReturns({}, {a.id: print_ for a, print_ in known})
    rooms = {one.theme: one for one in room_left([a for a, _ in known], stored, [member[0]])}
    assert rooms["momentum"].explained > 0.8
    assert rooms["volume"].explained < 0.1
    assert (rooms["candle"].dead, rooms["momentum"].dead) == (True, False)
    # Gross 2 instead of -2, and half of a point of costs either way.
    assert rooms["volume"].turned_sharpe == pytest.approx(1.5)
    said = {theme: room_sentence(one) for theme, one in rooms.items()}
    assert "(taken)" in said["momentum"]
    assert "(open)" in said["volume"]
    assert "turned around it earns a net Sharpe ratio of +1.50" in said["volume"]
    assert "dead end" in said["candle"]


def test_a_brief_keeps_its_room() -> None:
    room = (RoomFacts("volume", 3, math.nan, 1.0), RoomFacts("candle", 9, 0.5, 0.1, dead=True))
    brief = Brief(1, "", (), "", (), (), (), "", room=room)
    stored = json.loads(json.dumps(brief.to_dict(), allow_nan=False))
    again = Brief.from_dict(stored).room
    assert again[1] == room[1]
    assert math.isnan(again[0].explained)


def test_reward_and_archive_go_by_what_is_added() -> None:
    card = {"train": {"net_z": 5.0, "payoff_z": 5.0, "sharpe_net": 2.0}}
    lesser = {"train": {"net_z": 4.0, "payoff_z": 4.0, "sharpe_net": 1.5}}
    clone, new = scored_attempt(1, "ts_mean(close, 5)", card), scored_attempt(2, "ts_mean(close, 6)", lesser)
    added = {1: 0.2, 2: 3.0}
    worth = rewards([clone, new], added)
    assert worth[1] <= 0.1
    assert worth[2] == 1.0
    assert [a.id for a in archive([clone, new])] == [1]
    assert [a.id for a in archive([clone, new], added)] == [2]
