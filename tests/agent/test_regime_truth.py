"""Regimes beside those that a simulated market truly has: how many bars are right, and what is no truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.flow.regime_truth import regime_truth, truth_sentence
from flows.direction import against_the_unusual
from market.errors import InputError
from market.synthetic.truth import truth_path


def test_names_do_not_matter_and_errors_do(tmp_path: Path) -> None:
    data = tmp_path / "m.npz"
    labels = np.repeat([0, 1, 2, 1], 25)
    assert regime_truth(data, labels, slice(0, 100)) is None
    true = np.repeat([2, 0, 1, 0], 25)
    np.savez_compressed(truth_path(data), regimes=np.append(true, [1] * 20))
    found = regime_truth(data, labels, slice(0, 100))
    assert found is not None
    assert (found["accuracy"], found["ari"], found["commonest"]) == (1.0, 1.0, 0.5)
    wrong = labels.copy()
    wrong[:5], wrong[5:10] = 1, -1
    worse = regime_truth(data, wrong, slice(0, 50))
    assert worse is not None
    # Of 45 bars with a label, 5 have the wrong one.
    assert worse["accuracy"] == pytest.approx(40 / 45)
    assert "89%" in truth_sentence(worse)


def test_a_file_that_is_no_truth_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "m.npz"
    truth_path(data).write_bytes(b"PK no archive")
    with pytest.raises(InputError, match="not the truth"):
        regime_truth(data, np.zeros(5, dtype=np.int64), slice(0, 5))


def test_only_the_unusual_is_traded_against() -> None:
    likelihood = np.tile(np.arange(100.0)[:, None], (1, 2))
    likelihood[3, 1] = np.nan
    returns = np.full((100, 2), 0.01)
    returns[1, 0] = -0.02
    made = against_the_unusual(likelihood, returns, slice(0, 100), 5.0)
    assert made[:5].tolist() == [[-1, -1], [1, -1], [-1, -1], [-1, 0], [-1, -1]]
    assert not made[5:].any()
