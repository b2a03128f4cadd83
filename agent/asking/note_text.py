"""The text of a note: Markdown, plain text or PDF, read as data; what reads like an order to a model is pointed out."""

from __future__ import annotations

import io
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from market.errors import InputError
from market.reading.encodings import encoding_of

# Of a note or a paper; what is longer is to be cut by the person who knows which part matters.
_MOST_BYTES = 20_000_000
MOST_CHARS = 200_000
_LEAST_CHARS = 40
_TEXTS = (".md", ".markdown", ".txt", ".text", ".rst", ".tex", ".html", ".htm", "")
# What tells a model what to do, in the languages that people try it in.
_ORDER = re.compile(
    r"\b(?:ignore|disregard|override|forget)\s+(?:(?:all|any|of|the|these|those|your|my|previous|prior|above|earlier|system)\s+)*"
    r"(?:instructions?|rules?|prompts?|orders?|guidelines?)\b"
    r"|ignore (?:all |any |the )?(?:previous|prior|above|earlier)|disregard (?:all|any|the|previous)|system prompt"
    r"|\b(?:accept|admit|approve)\s+(?:all|every|each|any)\s+(?:[\w-]+\s+){0,2}"
    r"(?:factors?|hypothes[ei]s|expressions?|alphas?|proposals?|candidates?|ideas?)\b"
    r"|you (?:must|are now|should) (?:answer|accept|output|reply|respond|now)|as an ai\b|</?(?:system|assistant|user)>"
    r"|\bjailbreak|forget (?:all|your|the) (?:previous|instructions|rules)"
    r"|игнорируй|забудь (?:все|предыдущ|свои|инструк)"
    r"|忽略(?:之前|以上|所有|你的|您的|上述)|指示を無視|지시를 무시|ignoriere alle|ignorez (?:toutes|les)"
    r"|ignora (?:todas|las|tutte)|\bignor(?:iere?|en sie|e[zr]?|a)(?: sie)?\s+(?:[^\W\d_]+\s+){0,2}"
    r"(?:anweisungen|regeln|instructions|consignes|règles|instrucciones|reglas|instruções|regras|istruzioni|regole)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class NoteText:
    """A note's name and text, and the numbers of its lines that read like orders to a model."""

    name: str
    text: str
    orders: tuple[int, ...] = ()


def read_note(path: str) -> NoteText:
    """Read a note from a file.

    Raises
    ------
    InputError
        For an address, a file that is not there, no text, empty or too long, a PDF of pictures or with a password, and
        a PDF where pypdf is not installed.
    """
    if re.match(r"https?://", path, re.IGNORECASE):
        raise InputError(f"{path} is an address", "save the page or the paper, and name the file: nothing is fetched")
    file = Path(path)
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise InputError(f"{file} has {file.stat().st_size / 1e6:.0f} MB", "cut out the part that matters")
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}", "name a file of text, Markdown or PDF") from error
    text = _pdf_text(content, file) if content.startswith(b"%PDF") else _plain_text(content, file)
    text = re.sub(r"\r\n?", "\n", text).strip()
    if len(text) < _LEAST_CHARS:
        raise InputError(f"{file} holds no text that a hypothesis could rest on", "name a note of a sentence or more")
    if len(text) > MOST_CHARS:
        raise InputError(f"{file} has {len(text):,} characters, at most {MOST_CHARS:,} are read",
                         "cut out the part that matters")  # fmt: skip
    return NoteText(file.name, text, order_lines(text))


def order_lines(text: str) -> tuple[int, ...]:
    """Return the numbers of lines, from 1, on which something begins that reads like an order to a model."""
    # An order may go over a line's end.
    plain = _seen(text)
    return tuple(sorted({plain.count("\n", 0, found.start()) + 1 for found in _ORDER.finditer(plain)}))


def _seen(text: str) -> str:
    """Return a text as a reader sees it: wide letters as plain ones, signs without width left out."""
    folded = unicodedata.normalize("NFKC", text)
    return "".join(c for c in folded if unicodedata.category(c) != "Cf")


def is_order(sentence: str) -> bool:
    """Whether a sentence reads like an order to a model: nothing rests on it."""
    return bool(_ORDER.search(_seen(sentence)))


def _plain_text(content: bytes, file: Path) -> str:
    if not content.strip():
        raise InputError(f"{file} is empty", "name a note of a sentence or more")
    if file.suffix.lower() not in _TEXTS:
        raise InputError(
            f"{file}: {file.suffix} is no kind of note", "name a file of text, Markdown or PDF (.txt, .md, .pdf)"
        )
    text = content.decode(encoding_of(content, (), file), errors="replace")
    if text.count("\ufffd") + text.count("\x00") > len(text) // 20:
        raise InputError(f"{file} is no text", "name a file of text, Markdown or PDF")
    return text.removeprefix("\ufeff")


def _pdf_text(content: bytes, file: Path) -> str:
    try:
        from pypdf import PdfReader
        from pypdf.errors import PyPdfError
    except ModuleNotFoundError as error:
        raise InputError("reading PDF needs pypdf", "install it: pip install 'alphaglow[pdf]'") from error
    try:
        reader = PdfReader(io.BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):
            raise InputError(f"{file} is locked by a password", "save it without one")
        pages = [page.extract_text() or "" for page in reader.pages]
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        # What pypdf raises on damaged files is of all these kinds.
        raise InputError(f"{file} cannot be read as PDF: {error}", "save it again, or as text") from error
    text = "\n\n".join(pages)
    if len(re.sub(r"\s", "", text)) < _LEAST_CHARS:
        count = f"{len(pages)} page{'s' if len(pages) != 1 else ''}"
        raise InputError(f"{file} holds no text: its {count} are pictures",
                         "recognise the text first (ocrmypdf in.pdf out.pdf), or give it as text")  # fmt: skip
    # A hyphen at a line's end is the typesetter's.
    return re.sub(r"(\w)-\n(\w)", r"\1\2", text)
