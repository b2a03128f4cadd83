"""Excel's workbooks and HDF5 files: read where the extra is installed, else the extra is named."""

from __future__ import annotations

import importlib.util
import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from market.errors import InputError
from market.files import import_as
from market.reading.conventions import FileConventions
from tests.market.own_shapes import FIELDS, TRUTHS

AUTO = FileConventions()
DAY = TRUTHS["daily"]


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"{package} is not installed")


def check(path: Path) -> None:
    panel = import_as([path], AUTO).panel
    assert (panel.times == DAY["ts"].to_numpy().astype("datetime64[ns]")).all()
    assert all(np.allclose(panel[name][:, 0], DAY[name]) for name in FIELDS)


@needs("openpyxl")
def test_a_workbook_is_read_by_its_only_table(tmp_path: Path) -> None:
    path = tmp_path / "XYZ.xlsx"
    DAY.to_excel(path, index=False)
    check(path)
    with pd.ExcelWriter(path) as book:
        DAY.rename(columns={"ts": "Date"}).to_excel(book, sheet_name="bars", index=False)
        pd.DataFrame().to_excel(book, sheet_name="empty")
    check(path)
    with pd.ExcelWriter(path) as book:
        DAY.to_excel(book, sheet_name="one", index=False)
        DAY.to_excel(book, sheet_name="two", index=False)
    with pytest.raises(InputError, match="holds 2 sheets with a table; save the one that is meant as CSV"):
        import_as([path], AUTO)


@needs("tables")
def test_a_frame_of_hdf5_is_read(tmp_path: Path) -> None:
    path = tmp_path / "XYZ.h5"
    DAY.set_index("ts").to_hdf(path, key="bars")
    check(path)
    DAY.to_hdf(path, key="more")
    with pytest.raises(InputError):
        import_as([path], AUTO)


def packed() -> bytes:
    """What a workbook is: an archive with this file in it."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return whole.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "package", "extra"),
    [("x.xlsx", packed(), "openpyxl", "excel"), ("x.h5", b"\x89HDF\r\n\x1a\nrest", "tables", "hdf5")],
)
def test_a_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, data: bytes, package: str, extra: str
) -> None:
    (tmp_path / name).write_bytes(data)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"needs the package {package}; pip install 'alphaglow\[{extra}\]'"):
        import_as([tmp_path / name], AUTO)
