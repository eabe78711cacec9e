"""The documentation names files, functions and sections that exist, and nothing outside."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT, SHARED_FIXTURES

PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")],
)
LINK = re.compile(r"\]\((?!https?://|#)([^)\s#]+)(?:#[^)\s]*)?\)")
NAMED = re.compile(r"\]\(((?:\.\./)?[\w./]+\.py)\)((?:(?:,| and)? `[A-Za-z_][\w.]*`)+)")
CITED = re.compile(r"docs/(?:exchanges|decisions)/[\w-]+\.md(?:\s+§(\d+(?:\.\d+)*|[AB]))?")
PATH = re.compile(
    r"`((?:benchmarks|docs|infra|producers|schemas|stream_app|tests)/(?![^`]*[<*N])[\w./-]*)`"
)
OUTSIDE = re.compile(rf"\b{SHARED_FIXTURES.parent.name}/|\b(design|faust|outside|embedded)\.md\b")
FOLDERS = ("benchmarks", "infra", "producers", "schemas", "stream_app", "tests")


def page_id(page: Path) -> str:
    """Name a page as a test's parameter."""
    return str(page.relative_to(ROOT))


def sources() -> Iterator[Path]:
    """Yield every source file whose comments may cite a page."""
    for folder in FOLDERS:
        for suffix in ("*.py", "*.sql", "*.avsc"):
            yield from (ROOT / folder).rglob(suffix)


def names_in(path: Path) -> set[str]:
    """Return the functions, classes and `Class.method`s that a module defines."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{member.name}"
                for member in node.body
                if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return found


def sections_of(page: Path) -> set[str]:
    """Return the numbers of a page's headings: `## 9. REST` is 9, `### 8.1 Polling` is 8.1."""
    text = page.read_text(encoding="utf-8")
    return set(re.findall(r"^##+ (\d+(?:\.\d+)*|[AB])\b", text, re.MULTILINE))


def is_there(page: Path, section: str | None) -> bool:
    """Tell whether a page exists and has a section; 8.3.4 is an item of 8.3."""
    if not page.is_file():
        return False
    return section is None or not sections_of(page).isdisjoint(
        {section, section.rpartition(".")[0]}
    )


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    """A link that is no URL names a file or folder of the repository."""
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    missing = [t for t in targets if not (page.parent / t).exists()]
    outside = [t for t in targets if not (page.parent / t).resolve().is_relative_to(ROOT)]
    assert (missing, outside) == ([], [])


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_path_in_the_text_exists(page: Path) -> None:
    """A path of the repository between backticks is there; `NNNN` and `<feed>` are placeholders."""
    paths = PATH.findall(page.read_text(encoding="utf-8"))
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_function_on_the_way_of_a_byte_exists() -> None:
    """In architecture.md the names behind a link to a module are defined in that module."""
    page = ROOT / "docs" / "architecture.md"
    named = NAMED.findall(page.read_text(encoding="utf-8"))
    missing = [
        f"{path}: {name}"
        for path, names in named
        for name in re.findall(r"`([\w.]+)`", names)
        if name not in names_in((page.parent / path).resolve())
    ]
    assert missing == []
    assert len(named) > 20, "the form of the links has changed, and nothing was checked"


def test_every_page_and_section_that_code_cites_exists() -> None:
    """`docs/exchanges/kucoin.md §5b` in a docstring is section 5 of that page."""
    missing = [
        f"{page_id(path)}: {match[0]}"
        for path in sources()
        for match in CITED.finditer(path.read_text(encoding="utf-8"))
        if not is_there(ROOT / match[0].split()[0], match[1])
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_no_page_refers_to_files_outside_of_the_repository(page: Path) -> None:
    """Whoever has a clone has everything that the pages speak of."""
    assert OUTSIDE.search(page.read_text(encoding="utf-8")) is None


def test_every_page_of_a_folder_is_in_its_index() -> None:
    """A page that no index names is not found."""
    for folder in ("decisions", "exchanges"):
        index = (ROOT / "docs" / folder / "README.md").read_text(encoding="utf-8")
        pages = [page.name for page in (ROOT / "docs" / folder).glob("*.md")]
        assert [name for name in pages if name != "README.md" and f"({name})" not in index] == []
