"""Training that is stopped and resumed, and ensembles: each member is what its seed alone gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flows.ensemble import train_ensemble
from flows.fit_rules import FlowConfig, TrainConfig
from flows.train import train_flow
from market.errors import InputError
from market.panel import FloatArray

CONFIG = TrainConfig(epochs=5, batch=256, ema=0.9, max_rows=2000)
FLOW = FlowConfig(dim=6, steps=(3,), hidden=12)


class Stopped(Exception):
    """What a user's Ctrl-C is here."""


@pytest.fixture(scope="module")
def rows() -> FloatArray:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2400, 6))
    x[:, 1] = 0.7 * x[:, 0] ** 2 + 0.3 * x[:, 1]
    return x


def stop_at(epoch: int):  # noqa: ANN201
    def tick(number: int, *_: float) -> None:
        if number == epoch:
            raise Stopped

    return tick


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_training_that_was_stopped_ends_as_if_it_had_not_been(tmp_path: Path, rows: FloatArray, ema: float) -> None:
    config = replace(CONFIG, ema=ema)
    whole = train_flow(rows[:2000], rows[2000:], config, FLOW)
    file = tmp_path / "training.npz"
    for epoch in (2, 4):
        with pytest.raises(Stopped):
            train_flow(rows[:2000], rows[2000:], config, FLOW, stop_at(epoch), resume=file)
        assert file.is_file()
    again = train_flow(rows[:2000], rows[2000:], config, FLOW, resume=file)
    assert again.history == whole.history
    assert (again.nll_train, again.nll_validation) == (whole.nll_train, whole.nll_validation)
    for one, other in zip(again.model.state_dict().values(), whole.model.state_dict().values(), strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert not file.exists()


def test_a_stored_training_of_something_else_is_left_alone(tmp_path: Path, rows: FloatArray) -> None:
    file = tmp_path / "training.npz"
    with pytest.raises(Stopped):
        train_flow(rows[:2000], rows[2000:], CONFIG, FLOW, stop_at(4), resume=file)
    other = train_flow(rows[:2000] + 1, rows[2000:] + 1, CONFIG, FLOW, resume=file)
    assert other.history == train_flow(rows[:2000] + 1, rows[2000:] + 1, CONFIG, FLOW).history


def test_a_damaged_stored_training_is_refused_and_named(tmp_path: Path, rows: FloatArray) -> None:
    file = tmp_path / "training.npz"
    file.write_bytes(b"PK cut")
    with pytest.raises(InputError, match=r"training.npz is not a training to go on with.*remove"):
        train_flow(rows[:2000], rows[2000:], CONFIG, FLOW, resume=file)


@pytest.mark.parametrize("workers", [1, 2])
def test_members_of_an_ensemble_are_what_their_seeds_give_alone(
    rows: FloatArray, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(workers)))
    shown: list[tuple[int, int]] = []
    made = train_ensemble(rows[:2000], rows[2000:], CONFIG, FLOW, 3, lambda n, of, *_: shown.append((n, of)))
    for number, member in enumerate(made):
        alone = train_flow(
            rows[:2000], rows[2000:], replace(CONFIG, seed=CONFIG.seed + number), replace(FLOW, seed=number)
        )
        assert member.nll_validation == alone.nll_validation
    assert len({member.nll_validation for member in made}) == 3
    assert shown[-1] == (15, 15)


def test_a_refit_begins_from_the_last_one(rows: FloatArray) -> None:
    first = train_flow(rows[:2000], rows[2000:], CONFIG, FLOW)
    short = replace(CONFIG, epochs=1, lr=1e-3)
    warm = train_flow(rows[:2000], rows[2000:], short, FLOW, start=first.model)
    cold = train_flow(rows[:2000], rows[2000:], short, FLOW)
    assert warm.nll_validation < cold.nll_validation - 0.2
    assert warm.nll_validation < first.nll_validation + 0.1
