"""What a file is, by its first bytes, and its bytes without what compressed them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from market.errors import InputError

_SIGNS = (
    (b"PAR1", "parquet"), (b"ARROW1", "feather"), (b"FEA1", "feather"), (b"\x1f\x8b", "gz"), (b"PK\x03\x04", "zip"),
    (b"\xfd7zXZ\x00", "xz"), (b"BZh", "bz2"), (b"\x28\xb5\x2f\xfd", "zst"), (b"\x89HDF\r\n", "hdf5"),
    (b"\xd0\xcf\x11\xe0", "xls"), (b"SQLite format 3", "sqlite"), (b"\x93NUMPY", "npy"), (b"%PDF", "pdf"),
)  # fmt: skip
_OPENERS = {"gz": gzip.open, "xz": lzma.open, "bz2": bz2.open}
_BY_NAME = {
    ".pkl": "pickle", ".pickle": "pickle", ".xlsx": "xlsx", ".xls": "xls", ".h5": "hdf5",
    ".hdf5": "hdf5", ".hdf": "hdf5",
    ".parquet": "parquet", ".pq": "parquet", ".feather": "feather", ".arrow": "feather",
}  # fmt: skip
_REFUSED = {
    "pickle": ("is a pickle: reading one runs whatever it holds, so none is read", "save the frame with to_parquet"),
    "sqlite": ("is a database", "export the table as CSV or Parquet"),
    "sql": ("is an SQL script", "export the table as CSV"),
    "npy": ("is an array without names", "save a table with times and names as CSV or Parquet"),
    "pdf": ("is a document, no table", "get the figures as CSV"),
    "html": ("is a web page, no table: the download failed, or asked for a login", "download the file again"),
    "zst": ("is compressed with Zstandard", "unpack it: unzstd FILE"),
}


def kind_of_file(path: Path) -> str:
    """Return what a file is: text, what packs it, or a format of tables; what is never read is refused."""
    if path.is_dir():
        raise InputError(f"{path} is a folder", "name its files, such as FOLDER/*.csv")
    if not path.is_file():
        raise InputError(f"no such file: {path}", "name a file that is there")
    try:
        with path.open("rb") as stream:
            head = stream.read(512)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", "see that it may be read") from error
    if not head:
        raise InputError(f"{path} is empty", "is it the right file?")
    kind = next((kind for sign, kind in _SIGNS if head.startswith(sign)), "text")
    named = _BY_NAME.get(path.suffix.lower(), "")
    if head[:1] == b"\x80" and len(head) > 1 and head[1] in b"\x02\x03\x04\x05":
        kind = "pickle"
    elif kind == "zip" and named == "xlsx":
        kind = "xlsx"
    elif kind == "text" and named:
        kind = named
    start = head.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        kind = "html"
    elif kind == "text" and start.startswith((b"insert into", b"create table", b"-- mysql dump", b"-- postgresql")):
        kind = "sql"
    if kind in _REFUSED:
        what, hint = _REFUSED[kind]
        raise InputError(f"{path} {what}", hint)
    return kind


@contextmanager
def opened(path: Path, kind: str) -> Iterator[IO[bytes]]:
    """Open a file of text for reading, unpacked; a zip must hold one file beside folders and hidden ones."""
    try:
        if kind in _OPENERS:
            unpack: Any = _OPENERS[kind]
            with unpack(path, "rb") as stream:
                yield stream
        elif kind == "zip":
            with zipfile.ZipFile(path) as archive, archive.open(_member(archive, path)) as stream:
                yield stream
        else:
            with path.open("rb") as stream:
                yield stream
    except (
        OSError,
        EOFError,
        lzma.LZMAError,
        zipfile.BadZipFile,
        RuntimeError,
        NotImplementedError,
        zlib.error,
    ) as error:
        raise InputError(f"cannot unpack {path}: {str(error).splitlines()[0]}", "get the file again") from error


def _member(archive: zipfile.ZipFile, path: Path) -> str:
    names = [
        name for name in archive.namelist()
        if not name.endswith("/") and not name.startswith("__MACOSX") and not Path(name).name.startswith(".")
    ]  # fmt: skip
    if len(names) != 1:
        raise InputError(
            f"{path} holds {len(names)} files{': ' + ', '.join(names[:4]) if names else ''}",
            "unpack it and name the files",
        )
    return names[0]


def opened_for_reading(path: Path, kind: str) -> IO[bytes] | Path:
    """Return what pandas is to read: the path of a plain file, else its unpacked bytes."""
    if kind == "text":
        return path
    with opened(path, kind) as stream:
        return io.BytesIO(stream.read())
