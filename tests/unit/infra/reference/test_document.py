"""The page of reference: what it says of topics and types, and that nothing is left out."""

from __future__ import annotations

import subprocess
import sys

import pytest

from infra.reference.document import Relation, avro_type, kept, page_of
from infra.reference.meanings import COLUMNS
from schemas import topics
from schemas.errors import ConfigurationError
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "reference.md"


@pytest.fixture(scope="module")
def printed() -> str:
    """What the command prints, over a database that it has just migrated."""
    done = subprocess.run(
        [sys.executable, "-m", "infra.reference"],
        capture_output=True, text=True, check=False, timeout=60, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_is_up_to_date(printed: str) -> None:
    """`make reference` was run after the last change of what it shows."""
    assert PAGE.read_text(encoding="utf-8") == printed, "run `make reference`"


def test_the_page_has_every_topic_and_record(printed: str) -> None:
    """A raw topic stands for those of all feeds."""
    for topic in topics.all_topics(("&lt;feed>",)):
        assert f"| `{topic.name}` |" in printed
        if topic.record_type:
            assert f"\n### {topic.record_type.name}\n" in printed


@pytest.mark.parametrize(
    ("topic", "words"),
    [
        (topics.RATES, "7 days"),
        (topics.STATUS, "compacted: the newest of each key"),
        (topics.NOTIFICATIONS, "compacted: the newest of each key, 90 days"),
    ],
)
def test_retention_is_told_in_words(topic: topics.TopicSpec, words: str) -> None:
    """As the broker is told it in the topic's configuration."""
    assert kept(topic) == words


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (["null", "double"], "double, or null"),
        ({"type": "long", "logicalType": "timestamp-micros"}, "timestamp-micros"),
        ({"type": "enum", "name": "T", "symbols": ["ws", "rest"]}, "enum: `ws`, `rest`"),
        ({"type": "array", "items": "string"}, "array of string"),
    ],
)
def test_avro_types_are_told_in_words(node: object, words: str) -> None:
    """Null, logical types, enumerations and arrays included."""
    assert avro_type(node) == words


def test_a_column_without_meaning_or_unit_is_refused() -> None:
    """Whoever adds one is told what to write, and where."""
    stranger = Relation("rates_once", "Some", "", "View", (("unheard_of", "Float64"),))
    with pytest.raises(ConfigurationError) as told:
        page_of(topics.all_topics(), [stranger])
    assert "rates_once.unheard_of has no meaning" in str(told.value)
    assert "rates_once.unheard_of has no unit" in str(told.value)


def test_a_meaning_of_a_column_that_is_gone_is_refused() -> None:
    """Without the views nothing has the columns that meanings.py names."""
    with pytest.raises(ConfigurationError) as told:
        page_of(topics.all_topics(), [])
    relation, meanings = next(iter(COLUMNS.items()))
    column = next(iter(meanings))
    assert f"{relation}.{column} has a meaning and does not exist" in str(told.value)
