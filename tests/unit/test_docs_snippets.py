"""What docs/consumers.md shows is what docs/snippets holds, and the tests of consumers run."""

from __future__ import annotations

import ast
import json
import re
from xml.etree import ElementTree as ET

import pytest

from infra.clickhouse.expected import expected_of
from infra.clickhouse.migrate import own_migrations
from infra.embedded.kafka.jars import KAFKA_VERSION
from infra.reference.document import kept
from schemas.records import RawCoordinates
from schemas.topics import OUTPUT_TOPICS, all_topics
from stream_app.sink.tables import TABLES, TableSpec
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "consumers.md").read_text(encoding="utf-8")
SNIPPETS = ROOT / "docs" / "snippets"
RAW_COORDINATES = set(RawCoordinates.__annotations__)
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


def key_of(table: str) -> set[str]:
    """The columns that a table of the sink keeps one row for."""
    statements = [text for migration in own_migrations() for text in migration.statements]
    found = re.findall(
        r"^ORDER BY \((.+)\)$", expected_of(statements).tables[table].after, re.MULTILINE
    )
    return set(found[-1].split(", "))


def named_by() -> dict[str, tuple[str, set[str]]]:
    """By topic: how long the page says that a record is kept, and what names it."""
    rows = re.findall(
        r"^\| [^|]+ \| `(funding\.[^`]+)` \| ([^|]+) \| .* \| ([^|]+) \|$", PAGE, re.MULTILINE
    )
    return {
        topic: (
            kept_for,
            set(re.findall(r"`(\w+)`", name)) | (RAW_COORDINATES if "raw coord" in name else set()),
        )
        for topic, kept_for, name in rows
    }


def test_the_page_says_of_every_topic_how_long_it_is_kept() -> None:
    """In the words of the reference, without those that explain compaction."""
    expected = {
        topic.name: kept(topic).replace(": the newest of each key", "")
        for topic in all_topics(("<feed>",))
    }
    assert {topic: kept_for for topic, (kept_for, _) in named_by().items()} == expected


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_record_is_named_by_what_its_table_keeps_one_row_for(table: TableSpec) -> None:
    """The id of an alert is enough; a feed's reports are told apart by their time."""
    _, names = named_by()[table.topic.name]
    match table.name:
        case "alerts" | "feeds":
            assert names < key_of(table.name)
        case _:
            assert names == key_of(table.name)


def test_python_knows_a_record_again_by_its_name() -> None:
    """By the same fields as the table."""
    fields = re.search(
        r"IDENTITY = \((.*?)^\)", (SNIPPETS / "high_z.py").read_text(), re.MULTILINE | re.DOTALL
    )
    assert fields is not None
    assert set(re.findall(r'"(\w+)"', fields[1])) == key_of("zscores")


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
