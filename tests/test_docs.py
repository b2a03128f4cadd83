"""Documentation runs: Python on the pages does what it says, commands are commands, expressions are expressions."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import click
import pytest

from agent.cli.main import cli
from factors.parse import parse
from factors.tree import Expression
from tests.pages import PAGES, ROOT, blocks, command_lines, inline, parse_command, prose


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


CODE = [
    pytest.param(code, id=f"{named(page)}-{number}")
    for page in PAGES
    for number, code in enumerate(blocks(page, "python"))
]
COMMANDS = sorted(
    {line for page in PAGES for kind in ("sh", "") for block in blocks(page, kind) for line in command_lines(block)}
)
INLINE = sorted({text for page in PAGES for text in inline(page) if re.match(r"alphaglow [a-z]", text)})
OPTIONS = sorted({text for page in PAGES for text in inline(page) if re.fullmatch(r"--[a-z][a-z-]*(?: [^`]*)?", text)})
# Values that an option takes are written `--to pandas|polars`: each is tried.
_ALTERNATIVES = re.compile(r"(?<= )[\w-]+(?:\|[\w-]+)+")


@pytest.mark.parametrize("code", CODE)
def test_python_on_the_pages_runs(
    code: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "page", "exec"), {"__name__": "page"})
    # Every page's code prints what it found.
    assert capsys.readouterr().out.strip()


@pytest.fixture
def any_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that a page names need not be there."""
    monkeypatch.setattr(click.Path, "convert", lambda _self, value, _param, _ctx: value)


@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.usefixtures("any_file")
def test_commands_on_the_pages_are_commands(line: str) -> None:
    parse_command(line)


@pytest.mark.parametrize("line", INLINE)
@pytest.mark.usefixtures("any_file")
def test_commands_in_the_text_are_commands(line: str) -> None:
    # In running text a command may be named without its arguments, or with an option's value left open.
    choices = _ALTERNATIVES.findall(line) or [""]
    for choice in choices[0].split("|"):
        tried = line.replace(choices[0], choice) if choice else line
        try:
            parse_command(command_lines(tried)[0])
        except click.MissingParameter:
            pass
        except click.NoArgsIsHelpError:
            pass


def options_of(command: click.Command) -> set[str]:
    """Return the options of a command and of all below it."""
    own = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            own |= options_of(found) if found else set()
    return own


def test_options_in_the_text_are_options() -> None:
    benchmarks = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "benchmarks").glob("*.py"))
    known = options_of(cli) | {"--help", "--version"} | set(re.findall(r'"(--[a-z-]+)"', benchmarks))
    assert [text for text in OPTIONS if text.split()[0] not in known] == []


EXPRESSIONS = sorted(
    {text for page in PAGES for text in inline(page) if re.match(r"-?(?:ts|cs|group|cum)_[a-z_]*\(.*\)", text)}
)
LETTERS = {"d": "5", "n": "6", "m": "2"}


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_expressions_in_the_text_are_read(text: str) -> None:
    full = re.sub(r"\b[dnm]\b", lambda found: LETTERS[found[0]], text)
    # Pages name fields of data sets that they speak of: whatever is no operator is one.
    fields = {"open", "high", "low", "close", "volume", *re.findall(r"\b[a-z_]\w*\b(?!\()", full)}
    assert isinstance(parse(full, fields=fields, session=7), Expression)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_paths_in_the_text_exist(page: Path) -> None:
    roots = "market|factors|flows|backtest|agent|tests|benchmarks|examples"
    paths = [text for text in inline(page) if re.fullmatch(rf"(?:{roots})/[\w./-]+", text)]
    assert [path for path in paths if not (ROOT / path).exists()] == []
    modules = [m[1] for text in inline(page) if (m := re.match(rf"(?:python -m )?((?:{roots})(?:\.\w+)+)", text))]
    assert [name for name in modules if not _resolves(name)] == []


def _resolves(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    path = ROOT.joinpath(*name.split("."))
    if path.is_dir() or path.with_suffix(".py").exists():
        return True
    module = path.parent.with_suffix(".py")
    return (
        module.exists()
        and re.search(rf"^(?:def|class) {path.name}\b|^{path.name}\b", module.read_text(), re.M) is not None
    )


# Words that meant something in this project alone; docs/glossary.md has the field's terms instead.
PRIVATE = re.compile(
    r"\b(?:told|kin|bets?|sketch(?:es)?|standing|weigh(?:s|ed|ing)?|books?|bench|desk|office|tape|shelf|lookout|outlook|held"
    r"|mend(?:s|ed|ing)?|so many|anew|put to the question)\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize("page", [*PAGES, *sorted((ROOT / "agent" / "review").glob("*.html"))], ids=named)
def test_pages_use_no_private_words(page: Path) -> None:
    # Code may have a name that is not a word of ours: `weigh` in a block, `{{ row.held }}` in a template.
    text = re.sub(r"`[^`\n]+`|\{[{%].*?[%}]\}", "", prose(page))
    assert sorted({found[0] for found in PRIVATE.finditer(text)}) == []


# What earlier versions wrote is read by its names of then; `told` is a name in the frozen wording; `bench` is an extra.
FORMER = {
    "agent/knowledge/pool_records.py": {"told"},
    "agent/knowledge/transfer/table_rows.py": {"sketch"},
    "agent/live/journal_schema.py": {"book", "books"},
    "agent/live/service.py": {"book"},
    "agent/mining/brief.py": {"kin"},
    "agent/untrusted/prompt_files.py": {"told"},
}
_NOT_READ = ("agent/mock/", "agent/knowledge/migrations/")


def test_code_uses_no_private_words_either() -> None:
    found = {}
    for room in ("agent", "alphaglow", "backtest", "factors", "flows", "market"):
        for path in (ROOT / room).rglob("*.py"):
            place = path.relative_to(ROOT).as_posix()
            words = {hit[0].lower() for hit in PRIVATE.finditer(path.read_text(encoding="utf-8"))}
            # What a position is between two trades has no other word.
            more = words - FORMER.get(place, set()) - {"held"}
            if more and not place.startswith(_NOT_READ):
                found[place] = sorted(more)
    assert found == {}


GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
TERMS = re.findall(r"^\| \*\*(.+?)\*\* \| (.+?) \| (.+?) \|$", GLOSSARY, re.MULTILINE)


def test_the_glossary_is_in_order_and_says_where_each_term_is_from() -> None:
    names = [name.lower() for name, _, _ in TERMS]
    assert len(names) > 40
    assert names == sorted(set(names))
    assert all(meaning.endswith(".") and source for _, meaning, source in TERMS)
    assert len(TERMS) == GLOSSARY.count("\n| **")


@cache
def all_but_the_glossary() -> str:
    """Return the other pages and the code of `agent`, in lower case."""
    others = [prose(page) for page in PAGES if page.stem != "glossary"]
    code = [path.read_text(encoding="utf-8") for path in (ROOT / "agent").rglob("*.py")]
    return re.sub(r"\s+", " ", " ".join([*others, *code]).lower())


@pytest.mark.parametrize("name", [name for name, _, _ in TERMS])
def test_a_term_of_the_glossary_is_used(name: str) -> None:
    assert name.lower() in all_but_the_glossary()
