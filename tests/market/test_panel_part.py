"""A part of a data set is written in one text, and read again as what was written."""

from __future__ import annotations

import numpy as np
import pytest

from agent.study.workspace import is_name
from market.errors import InputError
from market.panel_part import WHOLE, PanelPart, part_of, read_part
from tests.helpers import random_panel


@pytest.mark.parametrize(
    "part",
    [
        PanelPart("2022-01-01"), PanelPart("", "2023-06-01T12:30"),
        PanelPart("2022-01-01", "2023-01-01", ("A", "B")),
        PanelPart(assets=("BTC/USDT:USDT", "ETH,PERP", "X@Y", "Ünïon 7%")),
    ],
)  # fmt: skip
def test_what_is_written_is_read_again(part: PanelPart) -> None:
    label = part.label("spot")
    assert read_part(label) == ("spot", part)
    # Gates and reports of the part are called after it.
    assert is_name(f"{label}-flow-eval.html")


def test_options_of_one_meaning_have_one_name() -> None:
    one = part_of("2022", "2023-06-01T00:00", " B,A,B ")
    assert one == part_of("2022-01-01", "2023-06-01", "A,B")
    assert one.label("spot") == "spot@2022-01-01..2023-06-01@A,B"
    assert not part_of(None, None, None)
    assert WHOLE.label("spot") == "spot"


def test_a_part_is_those_bars_of_those_assets() -> None:
    panel = random_panel(50, 4)
    since, until = (str(panel.times[row].astype("datetime64[s]")) for row in (10, 30))
    part = PanelPart(since, until, panel.assets[1:3]).of(panel)
    assert part.assets == panel.assets[1:3]
    np.testing.assert_array_equal(part.times, panel.times[10:30])
    np.testing.assert_array_equal(part["close"], panel["close"][10:30, 1:3])
    assert WHOLE.of(panel) is panel


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("3.2.2022", None, None), "--since '3.2.2022' is no date; write 2024-01-31"),
        ((None, "2022-13-01", None), "--until '2022-13-01' is no date"),
        (("1999", "2000", None), "fewer than two bars are left; the data are of"),
        ((None, None, "NOPE"), "no such asset: NOPE"),
    ],
)
def test_what_is_no_part_is_refused(options: tuple[str | None, str | None, str | None], says: str) -> None:
    with pytest.raises(InputError) as caught:
        part_of(*options).of(random_panel(50, 4))
    assert says in str(caught.value)


def test_many_assets_are_a_data_set_of_their_own() -> None:
    with pytest.raises(InputError, match="alphaglow data resample --assets"):
        PanelPart(assets=tuple(f"COIN{n}USDT" for n in range(40))).label("spot")
