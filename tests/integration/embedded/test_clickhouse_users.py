"""The ClickHouse server's two users: what each may do, and what odd requests get."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from infra.embedded.clickhouse.access import (
    SECRET_NAME,
    WRITER_NAME,
    ensure_writer_credentials,
    writer_credentials,
)
from infra.embedded.clickhouse.blocks import BlockDecompressor, packed_block
from schemas.errors import ConfigurationError
from tests.support.clickhouse_process import WRITER, Server, code_of, server_with_a_table

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with a small memory and a table."""
    with server_with_a_table(tmp_path_factory.mktemp("clickhouse")) as running:
        yield running


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT a FROM d.v ORDER BY a",
        "WITH x AS (SELECT a FROM d.t) SELECT a FROM x ORDER BY a /* SET ROLE ALL */",
        "(SELECT a FROM d.t ORDER BY a)",
        "SELECT a FROM d.t ORDER BY a SETTINGS max_threads = 1, max_memory_usage = 100000000;",
        "-- a note\nSELECT a FROM d.t ORDER BY a",
        "SELECT a\nFROM d.t\t\nWHERE '\\t' != '\\\\'\nORDER BY a\nSETTINGS max_threads = 1\n",
    ],
)
def test_people_read(server: Server, statement: str) -> None:
    """Without credentials, through views, with settings within their limits."""
    assert server.read(statement).text == "1\n2\n"


@pytest.mark.parametrize(
    "statement", ["SHOW TABLES FROM d", "DESCRIBE d.t", "EXPLAIN SELECT a FROM d.t", "EXISTS d.t"]
)
def test_people_look_around(server: Server, statement: str) -> None:
    """What there is, and how it is read."""
    assert server.read(statement).status_code == 200


@pytest.mark.parametrize("who", ["read", "sql"])
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM url('http://127.0.0.1:{port}/ping', 'LineAsString', 'a String')",
        "SELECT * FROM (SELECT * FROM `u\\x72l`('http://127.0.0.1:{port}/', 'TSV', 'a String'))",
        (
            "WITH x AS (SELECT * FROM url('http://127.0.0.1:{port}/', 'TSV', 'a String'))"
            " SELECT * FROM x"
        ),
        "SELECT * FROM /**/ url /**/ ('http://127.0.0.1:{port}/', 'TSV', 'a String')",
        "SELECT * FROM remote('127.0.0.1:{port}', 'd.t')",
        "SELECT * FROM s3('http://127.0.0.1:{port}/bucket/key', 'TSV', 'a String')",
        "SELECT * FROM mysql('127.0.0.1:{port}', 'a', 'b', 'c', 'd')",
        "INSERT INTO FUNCTION url('http://127.0.0.1:{port}/', 'TSV', 'a Int8') SELECT 1",
        "CREATE TABLE d.u (a Int8) ENGINE = URL('http://127.0.0.1:{port}/', 'TSV')",
        "CREATE VIEW d.w AS SELECT * FROM url('http://127.0.0.1:{port}/', 'TSV', 'a Int8')",
        (
            "CREATE DICTIONARY d.x (a UInt64, b String) PRIMARY KEY a"
            " SOURCE(HTTP(URL 'http://127.0.0.1:{port}/' FORMAT TSV)) LAYOUT(FLAT()) LIFETIME(0)"
        ),
        "SELECT 1 INTO OUTFILE 'x'",
        "SYSTEM SHUTDOWN",
        "SYSTEM /* */ KILL",
        "CREATE USER u",
        "GRANT ALL ON *.* TO default",
    ],
)
def test_nobody_reaches_out_or_ends_the_server(server: Server, who: str, statement: str) -> None:
    """No user may open files, URLs or other servers, or end the server, in any spelling."""
    answer = getattr(server, who)(statement.format(port=server.port))
    assert code_of(answer) == "497", answer.text
    assert server.read("SELECT count() FROM d.t").text == "2\n"


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO d.t VALUES (3)",
        "INSERT INTO d.t SELECT 3",
        "WITH x AS (SELECT 3 AS a) INSERT INTO d.t SELECT a FROM x",
        "CREATE TABLE d.n (a Int8) ENGINE Memory",
        "CREATE TEMPORARY TABLE n (a Int8)",
        "DROP TABLE d.t",
        "ALTER TABLE d.t DELETE WHERE 1",
        "DELETE FROM d.t WHERE 1",
        "TRUNCATE TABLE d.t",
        "SELECT 1; INSERT INTO d.t VALUES (3)",
        "SET ROLE ALL; INSERT INTO d.t VALUES (3)",
        "SET ROLE writer",
        "SET ROLE DEFAULT",
        "EXECUTE AS default SELECT 1",
        "KILL QUERY WHERE 1",
        "SELECT 1 PARALLEL WITH SELECT 2",
        "EXPLAIN SELECT 1; DROP TABLE d.t",
    ],
)
def test_people_change_nothing(server: Server, statement: str) -> None:
    """Data, tables, rights, settings, others' statements; in a session as well."""
    for params in ({}, {"session_id": "people"}):
        answer = server.read(statement, params=params)
        assert code_of(answer) in {"497", "62"}, answer.text
        assert server.read("SELECT count() FROM d.t", params=params).text == "2\n"


@pytest.mark.parametrize(
    "clause",
    [
        "max_memory_usage = 0",
        "max_memory_usage = DEFAULT",
        "use_uncompressed_cache, max_memory_usage = 0",
        "use_uncompressed_cache, `max_memory_usage` = 0, max_threads",
        "max_threads = 1, use_uncompressed_cache, max_execution_time = 0",
        "max_threads = 1, profile",
        "max_memory_usage = {p:UInt64}",
        "`max_memory\\x5fusage` = 0",
        "max_threads = 1, /* SETTINGS */ max_memory_usage = 0",
        "max_execution_time = 0",
        "max_execution_time = 100000",
        "readonly = 0",
        "profile = 'default'",
        "max_untracked_memory = 100000000000",
        "log_comment = 'x'",
        "dialect = 'prql'",
    ],
)
def test_people_lift_no_limit_in_a_statement(server: Server, clause: str) -> None:
    """At the end, in a subquery, in a CTE."""
    for statement in (
        f"SELECT 1 SETTINGS {clause}",
        f"SELECT * FROM (SELECT 1 SETTINGS {clause})",
        f"WITH x AS (SELECT 1 SETTINGS {clause}) SELECT * FROM x",
        f"SELECT '\\\\' SETTINGS {clause}",
        f"SELECT 'it\\'s',\n\t'SETTINGS'\nSETTINGS\n\t{clause}\nFORMAT TSV",
    ):
        answer = server.read(statement, params={"param_p": "0"})
        assert code_of(answer) == "452", answer.text


def test_people_lift_no_limit_in_the_url(server: Server) -> None:
    """What drivers send is taken, within the limits."""
    for name, value in (("max_memory_usage", "0"), ("max_execution_time", "0"), ("readonly", "0")):
        assert code_of(server.read("SELECT 1", params={name: value})) == "452", name
    harmless = {"max_result_rows": "10", "readonly": "2", "date_time_input_format": "best_effort"}
    assert server.read("SELECT 1", params=harmless).text == "1\n"
    assert server.read("SELECT getSetting('max_execution_time')").text == "60\n"


def test_external_tables_are_data_not_statements(server: Server) -> None:
    """A structure that closes its parenthesis does not begin another statement."""
    files = {"e": ("e", b"1\n2\n")}
    query = {"query": "SELECT sum(a) FROM e", "e_structure": "a Int64"}
    assert requests.post(server.url, params=query, files=files, timeout=20).text == "3\n"
    query["e_structure"] = "a Int64); SET ROLE ALL; DROP TABLE d.t; SELECT (1"
    assert code_of(requests.post(server.url, params=query, files=files, timeout=20)) is not None
    assert server.read("SELECT count() FROM d.t").text == "2\n"
    for structure in (
        "a Int64) ENGINE = Memory AS SELECT number FROM numbers(9) SETTINGS max_memory_usage=0 -- ",
        "a Int64 DEFAULT sleep(1)",
    ):
        query["e_structure"] = structure
        answer = requests.post(server.url, params=query, files=files, timeout=20)
        assert code_of(answer) == "36", answer.text
    query |= {"e_structure": "a Int64", "e_format": "TSV SETTINGS max_memory_usage=0"}
    assert code_of(requests.post(server.url, params=query, files=files, timeout=20)) == "73"


def test_types_of_external_tables_may_have_arguments(server: Server) -> None:
    """Those that people use."""
    structure = (
        "a Enum8('x'=1, 'y' = -2), b Decimal(10,2), c Array(Tuple(a String, b UInt8)),"
        " d Nullable(Int8), e LowCardinality(String), `f g` DateTime64(3, 'UTC')"
    )
    row = "x\t1.50\t[('s',1)]\t\\N\tl\t2024-01-01 00:00:00.000\n"
    answer = requests.post(
        server.url,
        params={"query": "SELECT * FROM e", "e_structure": structure},
        files={"e": ("e", row.encode())},
        timeout=20,
    )
    assert answer.text.replace("1.5\t", "1.50\t") == row


@pytest.mark.parametrize("statement", ["SELECT 1", "SELECT", "SELECT number FROM numbers(3)"])
def test_a_query_id_may_be_any_text(server: Server, statement: str) -> None:
    """It goes into a header, as far as a header can hold it; the log stays clean (see `server`)."""
    for given in ("\0a\x7f\u00e9b", "ab\r\nX: y", "\0"):
        answer = server.read(statement, params={"query_id": given})
        assert answer.status_code in {200, 400}, answer.text
        assert answer.headers["X-ClickHouse-Query-Id"].isprintable()
        assert "X" not in answer.headers


def test_native_blocks_both_ways(server: Server) -> None:
    """compress=1 and decompress=1, small and streamed; damaged ones are refused."""
    reader = BlockDecompressor()
    asked = {"compress": "1", "query": "SELECT number FROM numbers(500000) FORMAT TSV"}
    rows = reader(requests.get(server.url, params=asked, timeout=20).content)
    reader.finish()
    assert rows == b"".join(b"%d\n" % number for number in range(500_000))
    insert = {"decompress": "1", "query": "INSERT INTO d.t FORMAT TSV"}
    for data, status in (
        (packed_block(b"7\n") + packed_block(b"8\n"), 200),
        (packed_block(b"7\n8\n")[:-1], 400),
        (bytes(16) + packed_block(b"7\n")[16:], 500),
    ):
        answer = requests.post(server.url, params=insert, data=data, auth=WRITER, timeout=20)
        assert answer.status_code == status, answer.text
    assert server.read("SELECT a FROM d.t WHERE a > 2 ORDER BY a").text == "7\n8\n"
    server.sql("ALTER TABLE d.t DELETE WHERE a > 2 SETTINGS mutations_sync = 1").raise_for_status()


def test_half_a_megabyte_of_sql_is_refused_and_holds_nobody_up(server: Server) -> None:
    """Long texts are looked at in threads, and those beyond the engine's limit not at all."""
    server.read("SELECT 1")
    long_text = "SELECT 1 -- file(url(" + "file( , " * 30_000
    longest = [0.0]
    done = threading.Event()

    def ping() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        while not done.is_set():
            begun = time.monotonic()
            connection.request("GET", "/ping")
            connection.getresponse().read()
            longest[0] = max(longest[0], time.monotonic() - begun)

    pinger = threading.Thread(target=ping)
    pinger.start()
    try:
        assert code_of(server.read(long_text)) is None
        assert code_of(server.read("INSERT INTO d.t SELECT " + "(" * 200_000)) in {"306", "497"}
        refused = server.read(f"SELECT '{'x' * 512 * 1024}'")
        assert (refused.status_code, code_of(refused)) == (400, "62")
    finally:
        done.set()
        pinger.join()
    assert server.read("SELECT 1").text == "1\n"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GARBAGE / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: x\r\n\r\n",
        b"GET /?query=%ff%fe HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-ClickHouse-User: \xff\xfe\r\n\r\n",
        b"GET /?query=SELECT+1&query_id=%ff HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /?query=SELECT+1 HTTP/1.1\r\nHost: 127.0.0.1\r\nX-ClickHouse-Query-Id: \xff\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        (
            b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data\r\n"
            b"Content-Length: 4\r\n\r\nabcd"
        ),
        (
            b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data;boundary=b"
            b"\r\nContent-Length: 9\r\n\r\n--c\r\nabcd"
        ),
        (
            b"POST /?session_id=s&session_timeout=nan HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Content-Length: 8\r\n\r\nSELECT 1"
        ),
        b"POST / HTTP/1.1\r\nHost: [::1\r\nContent-Length: 8\r\n\r\nSELECT 1",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic /////w==\r\n\r\n",
    ],
)
def test_odd_requests_are_answered_without_a_traceback(
    server: Server, request_bytes: bytes
) -> None:
    """One answer or a closed connection; the log has no traceback, and the server goes on."""
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.settimeout(10)
        connection.sendall(request_bytes)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):
            pass
    assert server.read("SELECT 1").text == "1\n"
    assert "Traceback" not in server.log.read_text()


def test_a_server_alone_keeps_the_writers_secret(tmp_path: Path) -> None:
    """Made once, for the owner only, and the same after a restart."""
    with pytest.raises(ConfigurationError, match="FUNDING_CLICKHOUSE_PASSWORD"):
        writer_credentials(tmp_path)
    for _ in range(2):
        server = Server(tmp_path, FUNDING_CLICKHOUSE_PASSWORD="")
        try:
            writer = writer_credentials(tmp_path)
            assert writer == ensure_writer_credentials(tmp_path)
            statement = "CREATE TABLE IF NOT EXISTS t (a Int8) ENGINE MergeTree ORDER BY a"
            assert server.read(statement, auth=(writer.user, writer.password)).status_code == 200
            assert code_of(server.read(statement, auth=(writer.user, ""))) == "516"
        finally:
            assert server.stop() == 0
    assert writer.user == WRITER_NAME
    assert len(writer.password) >= 32
    assert writer.password not in repr(writer)
    assert (tmp_path / SECRET_NAME).stat().st_mode & 0o777 == 0o600


def test_errors_come_as_the_client_asked_for_its_answer(server: Server) -> None:
    """With compress=1 in blocks, as from ClickHouse; clickhouse-go unpacks nothing else."""
    answer = server.read("SELECT * FROM d.nothing", params={"compress": "1"})
    assert code_of(answer) == "60"
    assert BlockDecompressor()(answer.content).startswith(b"Code: 60. DB::Exception: ")
    unknown = server.read("SELECT 1", params={"compress": "1"}, auth=("nobody", ""))
    assert unknown.text.startswith("Code: 516.")


def test_blocks_that_a_client_would_misread_are_refused(server: Server) -> None:
    """Native of a protocol newer than the engine writes; every other format is answered."""
    newer = {"client_protocol_version": "54460", "default_format": "Native"}
    assert code_of(server.read("SELECT 1", params=newer)) == "48"
    assert server.read("SELECT 1 FORMAT TSV", params=newer).text == "1\n"
    assert (
        code_of(server.read("SELECT 1", params={**newer, "client_protocol_version": "x"})) is None
    )
    endless = {**newer, "client_protocol_version": "9" * 5_000}
    assert code_of(server.read("SELECT 1", params=endless)) == "48"


def test_a_client_of_a_newer_protocol_may_write(server: Server, table: str) -> None:
    """Nothing comes back that it would misread."""
    newer = {"client_protocol_version": "54460", "default_format": "Native"}
    for statement in (
        f"CREATE TABLE {table} (a Int8) ENGINE Memory",
        f"INSERT INTO {table} FORMAT TSV\n1\n",
        f"INSERT INTO {table} SELECT 2",
    ):
        assert server.sql(statement, params=newer).text == "", statement
    assert server.sql(f"SELECT sum(a) FROM {table}").text == "3\n"


def test_set_and_use_last_as_long_as_the_session(server: Server) -> None:
    """Tools send them; without a session they change nothing, and limits stay limits."""
    session = {"session_id": "tool"}
    for params in ({}, session):
        for statement in ("SET max_threads = 3, date_time_output_format = 'iso';", "USE d"):
            answer = server.read(statement, params=params)
            assert (answer.status_code, answer.text) == (200, "")
    asked = "SELECT getSetting('max_threads'), currentDatabase()"
    for _ in range(2):
        assert server.read(asked, params=session).text == "3\td\n"
    assert server.read(asked, params={**session, "max_threads": "2"}).text == "2\td\n"
    assert server.read(asked).text.endswith("\tdefault\n")
    for statement, code in (
        ("SET max_memory_usage = 0", "452"),
        ("SET max_threads = 2, max_result_rows = 0", "452"),
        ("SET max_execution_time = DEFAULT", "452"),
        ("SET readonly = 0", "452"),
        ("SET profile = 'default'", "452"),
        ("SET log_comment = 'x'", "452"),
        ("SET param_x = 1", "497"),
        ("SET ROLE writer", "497"),
        ("SET no_such_setting = 1", "115"),
        ("USE no_such_database", "81"),
    ):
        answer = server.read(statement, params=session)
        assert code_of(answer) == code, f"{statement}: {answer.text}"
    assert server.read(asked, params=session).text == "3\td\n"
