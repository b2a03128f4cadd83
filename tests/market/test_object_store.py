"""Data in an object store: copied and compared, gone on with, and what a store does wrong in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from market import object_store, panel_download
from market.errors import InputError
from market.object_store import open_store
from market.panel_download import copy_panel
from market.panel_folder import save_on_disk
from market.panel_on_disk import open_on_disk
from market.panel_store import load_panel
from market.synthetic.demo_market import SynthSpec, make_market
from tests.agent.commands import as_json, prepare, refused, run
from tests.market.object_server import BUCKET, KEY, SECRET, ObjectServer, object_server

_URL = f"s3://{BUCKET}/data/minutes.panel"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a panel's folder."""
    path = tmp_path_factory.mktemp("made") / "minutes.panel"
    save_on_disk(make_market(SynthSpec(bars=400)).panel, path)
    return path


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    """Return a store that has the folder; nothing is waited for."""
    monkeypatch.setattr(object_store, "WAITS", (0.0, 0.0))
    with object_server(monkeypatch) as found:
        found.put(folder, "data/minutes.panel")
        yield found


def _no_secret(text: str) -> None:
    assert KEY not in text
    assert SECRET not in text


def test_a_panel_is_copied_and_is_the_same(server: ObjectServer, folder: Path, tmp_path: Path) -> None:
    path, sizes = tmp_path / "copy.panel", list[int]()
    manifest = copy_panel(open_store(_URL), path, sizes.append)
    assert manifest.panel == open_on_disk(path).id == open_on_disk(folder).id
    assert sum(sizes) == sum(file.stat().st_size for file in folder.glob("*.arrow"))
    assert load_panel(path)["close"].tobytes() == load_panel(folder)["close"].tobytes()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["copy.json", "copy.panel"]


def test_a_store_that_throttles_is_asked_again_and_then_given_up(
    server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = ("503 Slow Down", "SlowDown")
    server.faults["volume.arrow"] = [slow] * 2
    copy_panel(open_store(_URL), tmp_path / "first.panel")
    assert server.faults["volume.arrow"] == []
    server.faults["volume.arrow"] = [slow] * 1000
    with pytest.raises(InputError, match=r"still throttles after 3 tries") as caught:
        copy_panel(open_store(_URL), tmp_path / "second.panel")
    _no_secret(str(caught.value) + caught.value.hint)
    server.faults.clear()
    # What had arrived is not asked for again.
    server.asked.clear()
    copy_panel(open_store(_URL), tmp_path / "second.panel")
    read = {path for method, path in server.asked if method == "GET" and path.endswith(".arrow")}
    assert len(read) < 7
    assert any("volume.arrow" in path for path in read)


def test_a_copy_that_was_broken_off_goes_on_in_the_middle_of_a_file(
    server: ObjectServer, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panel_download, "PIECE", 5_000)
    left = [8]

    def stop(_done: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_panel(open_store(_URL), tmp_path / "x.panel", stop)
    kept = sum(file.stat().st_size for file in (tmp_path / ".x.panel.partial").glob("*.arrow"))
    assert 0 < kept < sum(file.stat().st_size for file in folder.glob("*.arrow"))
    assert copy_panel(open_store(_URL), tmp_path / "x.panel").panel == open_on_disk(folder).id


def test_parts_that_are_lost_cut_or_changed_are_named(server: ObjectServer, folder: Path, tmp_path: Path) -> None:
    key = "data/minutes.panel/high.arrow"
    whole = (folder / "high.arrow").read_bytes()
    del server.objects[key]
    with pytest.raises(InputError, match=r"lost a part of s3://prices/data/minutes.panel: high.arrow is not there"):
        copy_panel(open_store(_URL), tmp_path / "x.panel")
    server.objects[key] = whole[: len(whole) // 2]
    with pytest.raises(InputError, match=r"minutes.panel/high.arrow is damaged"):
        copy_panel(open_store(_URL), tmp_path / "x.panel")
    middle = len(whole) // 2
    server.objects[key] = whole[:middle] + b"12345678" + whole[middle + 8 :]
    with pytest.raises(InputError, match=r"high.arrow is damaged: its values of \d{4} are not what was stored"):
        copy_panel(open_store(_URL), tmp_path / "x.panel")
    # Between listing and reading.
    store = open_store(_URL)
    server.objects[key] = whole[: len(whole) // 2]
    with pytest.raises(InputError, match=r"lost a part of .*high.arrow: bytes [\d,]+ to [\d,]+ are not there"):
        copy_panel(store, tmp_path / "x.panel")
    server.objects[key] = whole
    assert copy_panel(open_store(_URL), tmp_path / "x.panel").panel == open_on_disk(folder).id
    with pytest.raises(InputError, match=r"there is nothing at s3://prices/other\.panel"):
        open_store(f"s3://{BUCKET}/other.panel")
    with pytest.raises(InputError, match="is no panel's folder"):
        copy_panel(open_store(f"s3://{BUCKET}/data/minutes.panel/close.arrow"), tmp_path / "y.panel")


def test_credentials_that_are_refused_or_missing_are_said_and_never_printed(
    server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.faults[BUCKET] = [("403 Forbidden", "AccessDenied")] * 100
    with pytest.raises(InputError, match="may not be read: the credentials that were found are refused") as caught:
        open_store(_URL)
    _no_secret(str(caught.value) + caught.value.hint)
    assert "AWS_ACCESS_KEY_ID" in caught.value.hint
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    server.faults[BUCKET] = [("403 Forbidden", "AccessDenied")] * 100
    with pytest.raises(InputError, match="may not be read: no credentials were found"):
        open_store(_URL)
    with pytest.raises(InputError, match="holds more than a bucket and a path") as caught:
        open_store(f"s3://{KEY}:{SECRET}@{BUCKET}/x.panel")
    _no_secret(str(caught.value) + caught.value.hint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="does not answer"):
        open_store(_URL)


def test_files_and_panels_of_a_store_are_imported(
    server: ObjectServer,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepare("init", str(tmp_path / "ws"))
    monkeypatch.chdir(tmp_path / "ws")
    shown = as_json(capsys, "data", "import", _URL)
    assert shown["id"] == open_on_disk(folder).id
    assert "there is already a data set 'minutes'" in refused(capsys, "data", "import", _URL)
    assert run(capsys, "data", "import", _URL, "--replace")[0] == 0
    text = load_panel(folder).to_frame().reset_index().to_csv(index=False)
    server.objects["bars.csv"] = text.encode()
    bars = as_json(capsys, "data", "import", f"s3://{BUCKET}/bars.csv")
    assert bars["bars"] == 400
    assert f"s3://{BUCKET}/bars.csv" in (tmp_path / "ws" / "data" / "bars.json").read_text()
    monkeypatch.setenv("ALPHAGLOW_DATA__WHOLE_GB", "0.0001")
    assert as_json(capsys, "data", "import", f"s3://{BUCKET}/bars.csv", "--name", "pieces")["id"] == bars["id"]
    server.put(folder, "data/other")
    assert "name its files" in refused(capsys, "data", "import", f"s3://{BUCKET}/data/other")
    assert "is imported alone" in refused(capsys, "data", "import", _URL, f"s3://{BUCKET}/bars.csv")
