"""The picture of a learned factor's probabilities: well-formed, of all folds together, and nothing without any."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np

from agent.learned.reliability_picture import reliability_picture
from agent.learned.temperature import reliability


def test_a_picture_has_a_pair_of_bars_a_bin_over_all_folds() -> None:
    rng = np.random.default_rng(0)
    said = rng.dirichlet(np.ones(3), size=4000)
    labels = np.array([rng.choice(3, p=row) for row in said])
    folds = [{"reliability": reliability(said[half], labels[half])} for half in (slice(0, 1000), slice(1000, 4000))]
    drawn = reliability_picture(folds, "a & b")
    assert drawn is not None
    root = ElementTree.fromstring(drawn)
    bars = [rect for rect in root.iter("{http://www.w3.org/2000/svg}rect") if "bar" in rect.get("class", "")]
    heights = {
        kind: [float(b.get("height", "0")) for b in bars if kind in b.get("class", "")] for kind in ("said", "came")
    }
    assert len(heights["said"]) >= 10
    # What was said came true as often, so the bars of a pair are of about one height.
    tall = max(heights["said"])
    pairs = list(zip(heights["said"][:10], heights["came"][:10], strict=True))
    assert all(abs(one - other) < 0.12 * tall for one, other in pairs)
    assert heights["said"][:10] == sorted(heights["said"][:10])


def test_without_probabilities_there_is_no_picture() -> None:
    assert reliability_picture([{"trained": 1}], "x") is None
