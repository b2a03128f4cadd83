"""Column types that SQLAlchemy lacks: compressed text, and large documents that are read when first looked at."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import JSON, Dialect, LargeBinary, TypeDecorator
from sqlalchemy.types import TypeEngine

from agent.knowledge.packed_json import StoredDocument, pack_json


class Squeezed(TypeDecorator[str]):
    """Text that is stored compressed."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:
        """Compress."""
        return None if value is None else zlib.compress(value.encode())

    def process_result_value(self, value: bytes | str | None, dialect: Dialect) -> str | None:
        """Decompress; what was tampered with is a `zlib.error`."""
        if value is None:
            return None
        if isinstance(value, str):
            raise zlib.error("plain text where compressed text should be")
        return zlib.decompress(value).decode()


class PackedDocument(TypeDecorator[Mapping[str, object]]):
    """A large JSON document: compressed in a file; a server has its own ways to compress what is large."""

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the type of this kind of database."""
        return dialect.type_descriptor(LargeBinary() if dialect.name == "sqlite" else JSON())

    def process_bind_param(self, value: Mapping[str, object] | None, dialect: Dialect) -> object:
        """Compress."""
        return pack_json(value) if dialect.name == "sqlite" and value is not None else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Mapping[str, object] | None:  # noqa: ANN401
        """Return what is read when it is first looked at; a server's driver has read it already."""
        return StoredDocument(value) if isinstance(value, bytes) else value
