"""Files in an object store (s3://, gs://, az://): what is listed and read there, with errors in plain sentences.

Credentials are those that the store's own libraries find: environment variables, profiles, roles of a machine. They are
never printed, and of what a store answers only its code is: an answer may quote a key.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from market.errors import InputError

Result = TypeVar("Result")
_URL = re.compile(r"^(s3|gs|az)://", re.IGNORECASE)
_CODE = re.compile(r"AWS Error ([A-Z][A-Z_0-9]+)|HTTP status (\d{3})")
# Seconds between tries, where a store throttles or does not answer.
WAITS = (1.0, 2.0, 4.0, 8.0)
_THROTTLED = (
    "SLOW_DOWN",
    "THROTTL",
    "REQUEST_LIMIT",
    "TOO_MANY",
    "SERVICE_UNAVAILABLE",
    "HTTP status 503",
    "HTTP status 429",
)
_REFUSED = (
    "ACCESS_DENIED", "INVALID_ACCESS_KEY", "SIGNATURE", "CREDENTIAL", "TOKEN", "UNAUTHORIZED", "FORBIDDEN",
    "HTTP status 403", "HTTP status 401",
)  # fmt: skip
_ABSENT = ("NO_SUCH", "NOT_FOUND", "does not exist", "HTTP status 404")
_KEYS = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
    "gs": ("GOOGLE_APPLICATION_CREDENTIALS",),
    "az": ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_CLIENT_ID"),
}
_HINTS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS to a key file",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
_AGAIN = "say the same again later: what has arrived is kept"


def is_in_store(text: str) -> bool:
    """Whether a text names something in an object store."""
    return bool(_URL.match(text))


@dataclass(frozen=True, eq=False)
class ObjectStore:
    """A place in an object store.

    Attributes
    ----------
    url
        As messages show it; it holds no key.
    files
        What is there, by its name below the place, with its bytes; a place that is a file has the name "".
    """

    url: str
    files: Mapping[str, int]
    _system: Any
    _root: str

    def read(self, name: str, start: int, stop: int) -> bytes:
        """Return bytes [start, stop) of a file; tried again where the store throttles or does not answer.

        Raises
        ------
        InputError
            When it still does, when the file is gone, is shorter than it was, or may not be read.
        """
        place, shown = f"{self._root}/{name}".rstrip("/"), f"{self.url}/{name}".rstrip("/")

        def ranged() -> bytes:
            with self._system.open_input_file(place) as stream:
                found: bytes = stream.read_at(stop - start, start)
                return found

        found = _patiently(ranged, shown)
        if len(found) != stop - start:
            raise InputError(
                f"the store lost a part of {shown}: bytes {start + len(found):,} to {stop:,} are not there",
                "store the data there again",
            )
        return found


def open_store(url: str) -> ObjectStore:
    """Look at a place in an object store, such as ``s3://bucket/minutes.panel``; nothing is read of its files.

    The endpoint of a store that speaks S3 is that of AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL.

    Raises
    ------
    InputError
        For an address that holds a key, a place that is not there, credentials that are missing or refused, and a store
        that does not answer.
    """
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query:
        raise InputError(
            f"the address of the {parts.scheme}:// store holds more than a bucket and a path",
            f"leave keys and options out of it; {_HINTS[parts.scheme.lower()]}",
        )
    scheme, root = parts.scheme.lower(), f"{parts.netloc}{parts.path}".rstrip("/")
    if not parts.netloc:
        raise InputError(f"{url} names no bucket", f"write {scheme}://BUCKET/PATH")
    shown = f"{scheme}://{root}"
    system = _patiently(lambda: _system(scheme), shown)
    return ObjectStore(shown, _patiently(lambda: _listed(system, root, shown), shown), system, root)


def _system(scheme: str) -> Any:  # noqa: ANN401 - a file system of pyarrow
    from pyarrow import fs

    if scheme == "gs":
        return fs.GcsFileSystem()
    if scheme == "az":
        named = ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY")
        account, key = (os.environ.get(name) for name in named)
        if not account:
            raise InputError("no account of the az:// store is known", _HINTS["az"])
        return fs.AzureFileSystem(account, account_key=key)
    given: dict[str, Any] = {"retry_strategy": fs.AwsStandardS3RetryStrategy(max_attempts=2)}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        parts = urlsplit(endpoint)
        given |= {"scheme": parts.scheme or "https", "endpoint_override": parts.netloc or parts.path}
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return fs.S3FileSystem(**given, **({"region": region} if region else {}))


def _listed(system: Any, root: str, shown: str) -> dict[str, int]:  # noqa: ANN401
    from pyarrow import fs

    about = system.get_file_info(root)
    if about.type == fs.FileType.File:
        return {"": about.size}
    found = system.get_file_info(fs.FileSelector(root, allow_not_found=True)) if about.type != 0 else []
    files = {one.base_name: one.size for one in found if one.type == fs.FileType.File}
    if not files:
        raise InputError(f"there is nothing at {shown}", "see what is there with the tools of the store")
    return files


def _patiently(work: Callable[[], Result], shown: str) -> Result:
    """Do what asks a store, again where it throttles or does not answer; what it says at last is an `InputError`."""
    for seconds in (*WAITS, None):
        try:
            return work()
        except OSError as error:
            said = _in_words(error, shown)
            if seconds is None or not said[1]:
                raise said[0] from None
            time.sleep(seconds)
    raise AssertionError("it returns or raises")


def _in_words(error: OSError, shown: str) -> tuple[InputError, bool]:
    """Return what a store said, without a word of its answer but the code, and whether to try again."""
    text, scheme = str(error), shown.partition(":")[0]
    found = _CODE.search(text)
    code = next((one for one in found.groups() if one), "no code") if found else "no code"
    if isinstance(error, FileNotFoundError) or any(one in text for one in _ABSENT):
        return InputError(f"{shown} is not there", "see what is there with the tools of the store"), False
    if any(one in text for one in _THROTTLED):
        return InputError(f"the store of {shown} still throttles after {len(WAITS) + 1} tries ({code})", _AGAIN), True
    if isinstance(error, PermissionError) or any(one in text for one in _REFUSED):
        why = "the credentials that were found are refused" if _has_keys(scheme) else "no credentials were found"
        return InputError(
            f"{shown} may not be read: {why} ({code})", f"{_HINTS[scheme]}; they are never printed"
        ), False
    return InputError(f"the store of {shown} does not answer ({code})", f"is its address right? {_AGAIN}"), True


def _has_keys(scheme: str) -> bool:
    files = {"s3": ("~/.aws/credentials", "~/.aws/config"), "gs": ("~/.config/gcloud",), "az": ()}
    return any(map(os.environ.get, _KEYS[scheme])) or any(Path(one).expanduser().exists() for one in files[scheme])
