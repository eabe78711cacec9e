"""The files of the page: no build step joins them, so they must fit as they are."""

from __future__ import annotations

import re
from pathlib import Path

import stream_app.web

STATIC = Path(stream_app.web.__file__).parent / "static"
_IMPORT = re.compile(r"""(?:from|import)\s*\(?\s*["']\./([\w.-]+\.js)["']""")


def imported(name: str, found: set[str]) -> set[str]:
    """A module and all that it imports."""
    if name not in found:
        found.add(name)
        for other in _IMPORT.findall((STATIC / "js" / name).read_text(encoding="utf-8")):
            imported(other, found)
    return found


def test_every_module_is_loaded_at_once() -> None:
    """The page names all modules ahead, so that the browser asks for them without reading any."""
    index = (STATIC / "index.html").read_text(encoding="utf-8")
    ahead = re.findall(r'rel="modulepreload" href="assets/js/([\w.-]+)"', index)
    assert len(ahead) == len(set(ahead))
    assert set(ahead) | {"app.js"} == imported("app.js", set())
    files = {path.name for path in (STATIC / "js").glob("*.js")}
    assert files == imported("app.js", set()) | {"early.js", "login.js"}, "a file that nothing uses"


def test_every_style_sheet_is_used() -> None:
    """By the page, or by the form that asks for the token."""
    texts = [(STATIC / "index.html").read_text(encoding="utf-8")]
    texts.append((STATIC.parent / "server" / "login.py").read_text(encoding="utf-8"))
    texts += [path.read_text(encoding="utf-8") for path in (STATIC / "css").glob("*.css")]
    for path in (STATIC / "css").glob("*.css"):
        assert any(path.name in text for text in texts), path.name


def test_nothing_breaks_the_policy_of_the_page() -> None:
    """No inline script or style, no markup made of text, no address of another server."""
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|https?://(?!www\.w3\.org)"
    )
    for path in STATIC.rglob("*.*"):
        text = path.read_text(encoding="utf-8")
        assert not forbidden.search(text), path.name
        if path.suffix == ".html":
            assert not re.search(r"\sstyle=|\son\w+=|<style|<script>", text), path.name
