"""What docs/consumers.md shows is what docs/snippets holds, and the tests of consumers run."""

from __future__ import annotations

import ast
import json
import re
from xml.etree import ElementTree as ET

import pytest

from infra.embedded.kafka.jars import KAFKA_VERSION
from schemas.topics import OUTPUT_TOPICS
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "consumers.md").read_text(encoding="utf-8")
SNIPPETS = ROOT / "docs" / "snippets"
FILES = sorted(
    str(path.relative_to(SNIPPETS))
    for path in SNIPPETS.rglob("*")
    if path.suffix and path.is_file()
)
# A fence belongs to the link in the paragraph above it.
SHOWN = dict(
    re.findall(
        r"\]\(snippets/([\w./]+)\)(?:(?!\n\n).)*\n\n```\w+\n(.*?)^```$",
        PAGE,
        re.MULTILINE | re.DOTALL,
    )
)


@pytest.mark.parametrize("name", FILES)
def test_the_page_shows_the_file_as_it_is(name: str) -> None:
    """Behind the link to it."""
    assert SHOWN.get(name) == (SNIPPETS / name).read_text(encoding="utf-8")


def test_every_file_that_the_page_shows_exists() -> None:
    """And none is left over."""
    assert sorted(SHOWN) == FILES


def test_python_needs_nothing_of_ours() -> None:
    """A stranger has only what pip installs by the page's line."""
    tree = ast.parse((SNIPPETS / "high_z.py").read_text())
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    ours = {"schemas", "infra", "producers", "stream_app"}
    assert {module.split(".")[0] for module in modules}.isdisjoint(ours)


def test_java_takes_the_clients_of_the_broker_that_tests_run() -> None:
    """So that what the page shows is what was tried."""
    root = ET.parse(SNIPPETS / "java" / "pom.xml").getroot()
    space = {"m": "http://maven.apache.org/POM/4.0.0"}
    found = {
        d.findtext("m:artifactId", None, space): d.findtext("m:version", None, space)
        for d in root.iterfind(".//m:dependency", space)
    }
    assert found["kafka-clients"] == KAFKA_VERSION


def test_the_connector_reads_a_topic_that_exists() -> None:
    """Its password is not in the file."""
    config = json.loads((SNIPPETS / "connect_sink.json").read_text())["config"]
    assert config["topics"] in {topic.name for topic in OUTPUT_TOPICS}
    assert config["topic2TableMap"].startswith(config["topics"] + "=")
    assert config["password"].startswith("${env:")
