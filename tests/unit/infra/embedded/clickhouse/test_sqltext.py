"""What the ClickHouse server reads from a statement's text."""

from __future__ import annotations

import pytest

from infra.embedded.clickhouse.sqltext import (
    first_word,
    insert_head,
    is_read,
    is_streamable,
    quoted,
    quoted_name,
    reaches_for_files,
    result_format,
)


@pytest.mark.parametrize(
    ("sql", "statement", "data_format", "data"),
    [
        (b"INSERT INTO t FORMAT Avro\nObj\x01", "INSERT INTO t ", "Avro", b"Obj\x01"),
        (b"INSERT INTO t FORMAT TSV\n\n1\n", "INSERT INTO t ", "TSV", b"\n1\n"),
        (b"insert into t(a) format CSV 1,2", "insert into t(a) ", "CSV", b"1,2"),
        (b"INSERT INTO t VALUES (1, 'FORMAT')", "INSERT INTO t ", "Values", b" (1, 'FORMAT')"),
        (b"/* FORMAT x */ INSERT INTO t -- y\n FORMAT Native\n\x00",
         "/* FORMAT x */ INSERT INTO t -- y\n ", "Native", b"\x00"),
        (b"INSERT INTO `values` (`format`) VALUES (1)", "INSERT INTO `values` (`format`) ",
         "Values", b" (1)"),
        (b"INSERT INTO t SETTINGS async_insert=1 FORMAT JSONEachRow\r\n{}",
         "INSERT INTO t SETTINGS async_insert=1 ", "JSONEachRow", b"{}"),
        (b"INSERT INTO t", "INSERT INTO t", "Values", b""),
    ],
)  # fmt: skip
def test_an_inserts_data_begins_behind_its_head(
    sql: bytes, statement: str, data_format: str, data: bytes
) -> None:
    """FORMAT or VALUES at the top level, not in names, strings, comments or parentheses."""
    head = insert_head(sql)
    assert head is not None
    assert (head.statement, head.format) == (statement, data_format)
    assert sql[head.data_offset :] == data


@pytest.mark.parametrize(
    "sql",
    [
        b"SELECT 'INSERT INTO t FORMAT CSV'",
        b"INSERT INTO t SELECT 1 FORMAT CSV",
        b"INSERT INTO t WITH 1 AS x SELECT x",
        b"INSERT INTO t FORMAT",
        b"",
        b"`INSERT` INTO t VALUES (1)",
    ],
)
def test_other_statements_bring_no_data(sql: bytes) -> None:
    """A SELECT inside means that the engine gets the whole text."""
    assert insert_head(sql) is None


def test_every_prefix_is_read_without_an_error() -> None:
    """Cut anywhere, the text is still split into something inside its bounds."""
    sql = b"INSERT INTO `t` (a, 'b\\'c') /* x */ -- y\n FORMAT CSV\n'\"`("
    for end in range(len(sql) + 1):
        head = insert_head(sql[:end])
        assert head is None or 0 <= head.data_offset <= end


def test_the_format_clause_at_the_end_counts() -> None:
    """With settings and a semicolon behind it; not elsewhere."""
    assert result_format("SELECT 1 FORMAT JSON") == "JSON"
    assert result_format("SELECT 1 format CSV SETTINGS max_threads = 1;\n") == "CSV"
    assert result_format("SELECT format FROM t") is None


@pytest.mark.parametrize(
    ("sql", "word", "reads"),
    [
        (b" -- c\n (SELECT 1)", b"SELECT", True),
        (b"WITH 1 AS x SELECT x", b"WITH", True),
        (b"describe t", b"DESCRIBE", True),
        (b"SET a = 1", b"SET", False),
        (b"/**/DROP TABLE t", b"DROP", False),
        (b"", b"", False),
    ],
)
def test_the_first_word_tells_reads_from_writes(sql: bytes, word: bytes, reads: bool) -> None:  # noqa: FBT001
    """Behind comments and parentheses."""
    assert first_word(sql) == word
    assert is_read(sql) is reads


def test_only_formats_without_head_and_foot_are_streamed() -> None:
    """A piece of JSON or of a CSV with names is not a result."""
    assert is_streamable(b"SELECT 1", "Native")
    assert not is_streamable(b"SELECT 1", "JSON")
    assert not is_streamable(b"SELECT 1", "CSVWithNames")
    assert not is_streamable(b"SHOW TABLES", "TSV")


@pytest.mark.parametrize(
    ("sql", "reaches"),
    [
        (b"SELECT * FROM file('x')", True),
        (b"SELECT * FROM \"FILE\"('x')", True),
        (b"SELECT * FROM FiLe -- c\n('x')", True),
        (b"CREATE TABLE t (a Int8) ENGINE=File", True),
        (b"BACKUP TABLE t TO File('x')", True),
        (b"SELECT 1 INTO OUTFILE 'x'", True),
        (b"SELECT file FROM t WHERE file IN ('a')", False),
        (b"SELECT 'file(' || 'x' AS outfile_name", False),
    ],
)
def test_ways_to_files_are_seen(sql: bytes, reaches: bool) -> None:  # noqa: FBT001
    """Functions, engines and clauses; not columns or strings."""
    assert reaches_for_files(sql) is reaches


def test_quoting_keeps_text_text() -> None:
    """Quotes and backslashes are escaped."""
    assert quoted("a'b\\") == r"'a\'b\\'"
    assert quoted_name("a`b") == r"`a\`b`"
