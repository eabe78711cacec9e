"""The ClickHouse server as its clients see it: the real process, the real drivers."""

from __future__ import annotations

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor

import clickhouse_connect
import fastavro
import pytest
import requests

from tests.support.clickhouse_process import WRITER, Server
from tests.support.waiting import until

pytestmark = pytest.mark.integration
AVRO_SCHEMA = fastavro.parse_schema(
    {
        "type": "record",
        "name": "Rate",
        "fields": [
            {"name": "a", "type": "long"},
            {"name": "b", "type": "string"},
            {"name": "t", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        ],
    }
)


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", "none"])
def test_rows_come_back_as_they_went_in(server: Server, table: str, compress: str) -> None:
    """Large inserts and results in Native format, in each compression."""
    client = server.client(compress=False if compress == "none" else compress)
    client.command(f"CREATE TABLE {table} (a UInt32, b String) ENGINE MergeTree ORDER BY a")
    rows = [[number, f"row {number}"] for number in range(60_000)]
    assert client.insert(table, rows, column_names=["a", "b"]).written_rows == 60_000
    result = client.query(f"SELECT a, b FROM {table} ORDER BY a").result_rows
    assert result == [tuple(row) for row in rows]
    client.close()


def test_an_avro_file_is_inserted(server: Server, table: str) -> None:
    """INSERT … FORMAT Avro with a binary body, as the sink sends it; names match, not positions."""
    client = server.client()
    client.command(
        f"CREATE TABLE {table} (b String, a Int64, t DateTime64(6, 'UTC'))"
        " ENGINE MergeTree ORDER BY a"
    )
    rows = [
        {"a": n, "b": f"FORMAT; VALUES ('{n}')\n", "t": 1_700_000_000_000_000 + n}
        for n in range(5_000)
    ]
    file = io.BytesIO()
    fastavro.writer(file, AVRO_SCHEMA, rows, codec="deflate")
    client.raw_insert(table, insert_block=file.getvalue(), fmt="Avro")
    assert client.command(f"SELECT count() FROM {table}") == 5_000
    assert client.query(
        f"SELECT b, toUnixTimestamp64Micro(t) FROM {table} WHERE a = 7"
    ).result_rows == [("FORMAT; VALUES ('7')\n", 1_700_000_000_000_007)]
    answer = requests.post(
        server.url,
        params={"query": f"INSERT INTO {table} FORMAT Avro"},
        data=file.getvalue()[:-40],
        auth=WRITER,
        timeout=20,
    )
    assert answer.status_code >= 400, "a cut file must not be accepted"


def test_a_token_makes_a_repeated_insert_harmless(server: Server, table: str) -> None:
    """insert_deduplication_token with non_replicated_deduplication_window, as the sink uses it."""
    client = server.client()
    client.command(
        f"CREATE TABLE {table} (a Int64) ENGINE MergeTree ORDER BY a"
        " SETTINGS non_replicated_deduplication_window = 100"
    )
    schema = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "long"}]}
    for token, value in (("t:0:0-1", 1), ("t:0:0-1", 1), ("t:0:2-3", 1), ("t:0:0-1", 5)):
        file = io.BytesIO()
        fastavro.writer(file, schema, [{"a": value}])
        client.raw_insert(
            table, insert_block=file.getvalue(), fmt="Avro",
            settings={"insert_deduplication_token": token},
        )  # fmt: skip
    assert client.query(f"SELECT a FROM {table}").result_rows == [(1,), (1,)]


def test_expired_rows_disappear(server: Server, table: str) -> None:
    """TTL acts when parts are merged."""
    server.sql(
        f"CREATE TABLE {table} (t DateTime, a Int8) ENGINE MergeTree ORDER BY t"
        " TTL t + INTERVAL 1 DAY"
    ).raise_for_status()
    insert = f"INSERT INTO {table} VALUES (now() - INTERVAL 2 DAY, 1), (now(), 2)"
    server.sql(insert).raise_for_status()
    server.sql(f"OPTIMIZE TABLE {table} FINAL").raise_for_status()
    until(lambda: server.sql(f"SELECT a FROM {table}").text == "2\n", "the TTL", 10)


def test_views_follow_their_table(server: Server, table: str) -> None:
    """A materialised view is fed by inserts, an ordinary one reads on demand."""
    client = server.client()
    try:
        for statement in (
            f"CREATE TABLE {table} (k String, v Float64) ENGINE MergeTree ORDER BY k",
            f"""CREATE TABLE {table}_sums (k String, s SimpleAggregateFunction(sum, Float64))
                ENGINE AggregatingMergeTree ORDER BY k""",
            f"""CREATE MATERIALIZED VIEW {table}_mv TO {table}_sums AS
                SELECT k, sum(v) AS s FROM {table} GROUP BY k""",
            f"CREATE VIEW {table}_view AS SELECT k, sum(s) AS total FROM {table}_sums GROUP BY k",
        ):
            client.command(statement)
        for _ in range(2):
            client.insert(table, [["a", 1.0], ["b", 2.0]], column_names=["k", "v"])
        rows = client.query(f"SELECT k, total FROM {table}_view ORDER BY k").result_rows
        assert rows == [("a", 2.0), ("b", 4.0)]
    finally:
        for name in ("view", "mv", "sums"):
            client.command(f"DROP TABLE IF EXISTS {table}_{name}")


def test_an_insert_is_not_blamed_for_another_that_fails(server: Server, table: str) -> None:
    """Two writers at once, one with rows that the table refuses: the other's are stored."""
    server.sql(
        f"CREATE TABLE {table} (a Int32, CONSTRAINT positive CHECK a >= 0)"
        " ENGINE MergeTree ORDER BY a"
    ).raise_for_status()

    def codes(value: int) -> set[str]:
        answers = [server.sql(f"INSERT INTO {table} FORMAT TSV\n{value}\n") for _ in range(60)]
        return {a.headers.get("X-ClickHouse-Exception-Code", "stored") for a in answers}

    with ThreadPoolExecutor() as threads:
        refused, stored = threads.submit(codes, -1), threads.submit(codes, 1)
    assert refused.result() == {"469"}
    # 319: the other failed meanwhile, and nobody can tell which of them it was.
    assert stored.result() <= {"stored", "319"}
    assert server.sql(f"SELECT count() FROM {table}").text == "60\n"


def test_parameters_are_bound_not_pasted(server: Server) -> None:
    """{name:Type} with quotes, arrays, times; over the URL too."""
    client = server.client()
    hostile = "it's\n\t'); DROP TABLE x --\\"
    result = client.query(
        "SELECT {s:String}, {l:Array(String)}, {n:UInt8}",
        parameters={"s": hostile, "l": ["x", "y'"], "n": 3},
    )
    assert result.result_rows == [(hostile, ["x", "y'"], 3)]
    answer = server.sql("SELECT {s:String} AS s FORMAT JSONEachRow", params={"param_s": "a'b"})
    assert answer.json() == {"s": "a'b"}


def test_a_session_keeps_temporary_tables_and_only_those(server: Server) -> None:
    """A setting of one request does not stay in the session; a GET does not make it read-only."""
    session = {"session_id": "s1"}
    server.sql("CREATE TEMPORARY TABLE kept (a Int8)", params=session).raise_for_status()
    once = {**session, "max_threads": "1"}
    assert server.sql("SELECT getSetting('max_threads')", params=once).text == "1\n"
    read = {**session, "query": "SELECT count() FROM kept"}
    assert requests.get(server.url, params=read, auth=WRITER, timeout=20).text == "0\n"
    server.sql("INSERT INTO kept VALUES (1), (2)", params=session).raise_for_status()
    assert server.sql("SELECT sum(a) FROM kept", params=session).text == "3\n"
    assert server.sql("SELECT getSetting('max_threads')", params=session).text != "1\n"
    assert server.sql("SELECT * FROM kept").status_code == 404


def test_errors_carry_their_code(server: Server) -> None:
    """Status, header and body as ClickHouse's clients expect them."""
    answer = server.sql("SELECT * FROM no_such_table")
    assert answer.status_code == 404
    assert answer.headers["X-ClickHouse-Exception-Code"] == "60"
    assert answer.text.startswith("Code: 60. DB::Exception: ")
    assert server.sql("SELEC 1").headers["X-ClickHouse-Exception-Code"] == "62"
    assert server.sql("SELECT 1", params={"no_such_setting": "1"}).status_code in {400, 404}


def test_an_insert_that_fails_behind_the_parser_is_not_acknowledged(
    server: Server, table: str
) -> None:
    """A constraint, a view, too many parts: nothing is stored, and the client is told why."""
    columns = "(a UInt8, b String, CONSTRAINT small CHECK a < 7)"
    assert server.sql(f"CREATE TABLE {table} {columns} ENGINE = MergeTree ORDER BY a").ok
    refused = server.sql(f"INSERT INTO {table} (a, b) FORMAT TSV\n1\tone\n7\tseven\n")
    assert refused.headers["X-ClickHouse-Exception-Code"] == "469"
    assert "small" in refused.text
    assert server.sql(f"SELECT count() FROM {table}").text == "0\n"
    assert server.sql(f"INSERT INTO {table} (a, b) FORMAT TSV\n1\tone\n").ok
    limits = "parts_to_delay_insert = 1, parts_to_throw_insert = 1"
    server.sql(f"ALTER TABLE {table} MODIFY SETTING {limits}")
    too_many = server.sql(f"INSERT INTO {table} (a, b) FORMAT TSV\n2\ttwo\n")
    assert too_many.headers["X-ClickHouse-Exception-Code"] == "252"
    assert server.sql(f"SELECT count() FROM {table}").text == "1\n"


def test_a_late_error_reaches_the_client(server: Server) -> None:
    """An error after megabytes of result is raised, not read as rows."""
    client = server.client()
    statement = (
        "SELECT throwIf(number = 3000000, 'late'), number FROM numbers(5000000)"
        " SETTINGS max_block_size = 65536, max_threads = 1"
    )
    with (
        pytest.raises(Exception, match="late"),
        client.query_row_block_stream(statement) as stream,
    ):
        for _ in stream:
            pass


def test_statements_are_bounded_in_memory(server: Server) -> None:
    """The default max_memory_usage acts, and the server lives on."""
    server_limit = int(server.sql("SELECT getSetting('max_memory_usage')").text)
    assert 256 * 2**20 <= server_limit <= 2**30
    answer = server.sql(
        "SELECT length(groupArray(toString(number))) FROM numbers(50000000)",
        params={"max_memory_usage": "50000000"},
    )
    assert answer.headers["X-ClickHouse-Exception-Code"] == "241"
    buffered = server.sql("SELECT repeat(toString(number), 100) FROM numbers(700000) FORMAT JSON")
    assert buffered.headers.get("X-ClickHouse-Exception-Code") == "396"
    assert server.sql("SELECT 1").text == "1\n"


async def test_parallel_requests_of_the_async_client(server: Server) -> None:
    """Twenty at once on six slots, all answered, none mixed up."""
    client = await clickhouse_connect.get_async_client(
        host="127.0.0.1", port=server.port, autogenerate_session_id=False
    )
    results = await asyncio.gather(*(client.query(f"SELECT {n}, sleep(0.05)") for n in range(20)))
    assert [result.result_rows[0][0] for result in results] == list(range(20))
    await client.close()
