"""The embedded ClickHouse server: which requests it refuses, and what remains after it has
ended.
"""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest
import requests

from infra.embedded.clickhouse.sandbox import can_confine
from infra.embedded.ports import free_port
from tests.support.clickhouse_process import WRITER, Server, command, refusal
from tests.support.waiting import until

pytestmark = pytest.mark.integration


def test_get_requests_cannot_write(server: Server, table: str) -> None:
    """A link or an image tag reads at most."""
    server.sql(f"CREATE TABLE {table} (a Int8) ENGINE Memory").raise_for_status()
    for statement in (
        f"INSERT INTO {table} VALUES (1)",
        f"DROP TABLE {table}",
        "SET max_threads=1",
    ):
        answer = requests.get(server.url, params={"query": statement}, auth=WRITER, timeout=20)
        assert answer.headers["X-ClickHouse-Exception-Code"] == "164", statement
    assert server.sql(f"SELECT count() FROM {table}").text == "0\n"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8123"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:6066"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_pages_cannot_drive_it(server: Server, headers: dict[str, str]) -> None:
    """Foreign Host or Origin: refused before anything runs."""
    assert server.sql("SELECT 1", headers=headers).status_code == 403
    assert requests.get(f"{server.url}/ping", headers=headers, timeout=20).status_code == 403


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM `file` /* */ ('/etc/passwd', 'LineAsString')",
        "INSERT INTO FUNCTION file('x.tsv') SELECT 1",
        "SELECT 1 INTO OUTFILE 'x'",
        "CREATE TABLE f (a Int8) ENGINE = File(CSV, '/etc/passwd')",
    ],
)
def test_files_of_the_machine_are_out_of_reach(server: Server, statement: str) -> None:
    """The engine reads any file of its user; a server must not."""
    assert server.sql(statement).headers["X-ClickHouse-Exception-Code"] == "497"


@pytest.mark.skipif(not can_confine(), reason="no Landlock")
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM '{secret}'",
        "SELECT * FROM `{secret}`",
        "SELECT * FROM `\\x66ile`('{secret}', 'LineAsString')",
        "SELECT * FROM url('file://{secret}', 'LineAsString', 'a String')",
        "INSERT INTO {table} VALUES (file('{secret}'))",
        "INSERT INTO {table} FORMAT Values (file('{secret}'))",
    ],
)
def test_ways_around_the_refusal_meet_the_sandbox(
    server: Server, table: str, tmp_path: Path, statement: str
) -> None:
    """What a look at the text does not see, the kernel does not let through."""
    secret = tmp_path / "secret.tsv"
    secret.write_text("secret\n")
    server.sql(f"CREATE TABLE {table} (a String) ENGINE Memory").raise_for_status()
    answer = server.sql(statement.format(secret=secret, table=table))
    assert answer.status_code >= 400, answer.text
    assert "secret\n" not in answer.text
    assert server.sql(f"SELECT count() FROM {table}").text == "0\n"


def test_a_password_is_asked_for(tmp_path: Path) -> None:
    """Header, basic authentication and the driver; a wrong or missing one is refused."""
    server = Server(tmp_path, FUNDING_CLICKHOUSE_READER_PASSWORD="r34d")
    try:
        assert server.read("SELECT 1").status_code == 403
        assert server.read("SELECT 1", auth=("default", "wrong")).status_code == 403
        assert server.read("SELECT 1", auth=("default", WRITER[1])).status_code == 403
        assert server.read("SELECT 1", auth=(WRITER[0], "r34d")).status_code == 403
        assert server.read("SELECT 1", auth=("default", "r34d")).text == "1\n"
        assert server.client(username="default", password="r34d").command("SELECT 2") == 2
        assert server.sql("SELECT 3").text == "3\n"
    finally:
        assert server.stop() == 0


def test_no_acknowledged_row_is_lost_by_kill_9(tmp_path: Path) -> None:
    """Answered inserts are there after the restart; an unanswered one is whole or absent."""
    server = Server(tmp_path)
    server.sql("CREATE TABLE kept (a UInt64) ENGINE MergeTree ORDER BY a").raise_for_status()
    acknowledged: list[int] = []

    def insert_on_and_on() -> None:
        for batch in range(100_000):
            rows = "\n".join(str(batch * 100 + n) for n in range(100))
            try:
                answer = server.sql(f"INSERT INTO kept FORMAT TSV\n{rows}\n")
            except requests.RequestException:
                return
            assert answer.status_code == 200, answer.text
            acknowledged.append(batch)

    writer = threading.Thread(target=insert_on_and_on)
    writer.start()
    until(lambda: len(acknowledged) >= 20, "20 inserts", 20)
    server.process.kill()
    server.process.wait(10)
    writer.join(10)
    again = Server(tmp_path)
    try:
        text = again.sql(
            "SELECT intDiv(a, 100) AS b, uniqExact(a), count() FROM kept GROUP BY b"
        ).text
        stored = {int(b): (u, c) for b, u, c in (line.split("\t") for line in text.splitlines())}
        assert set(acknowledged) <= set(stored)
        assert len(stored) <= len(acknowledged) + 1
        assert set(stored.values()) == {("100", "100")}
    finally:
        assert again.stop() == 0


def test_sigterm_ends_running_statements_and_exits_0(tmp_path: Path) -> None:
    """An insert in progress is finished and answered before the end."""
    server = Server(tmp_path)
    server.sql("CREATE TABLE kept (a UInt64) ENGINE MergeTree ORDER BY a").raise_for_status()
    answers: list[int] = []
    statement = "INSERT INTO kept SELECT number + sleepEachRow(0.01) FROM numbers(150)"
    writer = threading.Thread(target=lambda: answers.append(server.sql(statement).status_code))
    writer.start()
    running = "SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO kept%'"
    until(lambda: server.sql(running).text == "1\n", "the insert's start", 10)
    assert server.stop() == 0
    writer.join(10)
    assert answers == [200]
    again = Server(tmp_path)
    assert again.sql("SELECT count() FROM kept").text == "150\n"
    assert again.stop() == 0


def test_what_prevents_a_start_is_one_line(server: Server, tmp_path: Path) -> None:
    """Busy port, used directory, unusable directory, open network: what, where, what to do."""
    code, text = refusal(*command(server.port, tmp_path))
    assert (code, text.count("\n")) == (3, 1)
    assert f"port {server.port}" in text
    assert f"pid {server.process.pid}" in text
    assert "--port" in text
    other = Server(tmp_path)
    try:
        code, text = refusal(*command(free_port(), tmp_path))
        assert (code, text.count("\n")) == (3, 1)
        assert f"pid {other.process.pid}" in text
        assert "--data-dir" in text
    finally:
        other.process.send_signal(signal.SIGINT)
        assert other.process.wait(30) == 0
    (tmp_path / "file").write_text("")
    code, text = refusal(*command(free_port(), tmp_path / "file"))
    assert (code, text.count("\n")) == (2, 1)
    open_network = [*command(free_port(), tmp_path), "--host", "0.0.0.0"]
    code, text = refusal(*open_network)
    assert (code, text.count("\n")) == (2, 1)
    assert "FUNDING_CLICKHOUSE_PASSWORD" in text


def test_other_methods_run_nothing(server: Server, table: str) -> None:
    """OPTIONS tells what there is; PUT, DELETE and PATCH are refused."""
    answer = requests.options(server.url, timeout=20)
    assert (answer.status_code, answer.headers["Allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    for method in ("PUT", "DELETE", "PATCH"):
        create = f"CREATE TABLE {table} (a Int8) ENGINE Memory"
        answer = requests.request(method, server.url, data=create, auth=WRITER, timeout=20)
        assert answer.status_code == 405, method
    assert server.sql(f"EXISTS {table}").text == "0\n"


def test_the_overlay_of_files_is_no_database(server: Server) -> None:
    """Neither a person nor a tool that lists databases sees it."""
    for asked in ("SHOW DATABASES", "SELECT name FROM system.databases"):
        for ask in (server.read, server.sql):
            assert "_files" not in ask(asked).text.split(), asked
