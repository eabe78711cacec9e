"""What the ClickHouse server's statements may take: slots, time, memory, rows."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import psutil
import pytest
import requests

from infra.embedded.clickhouse.server import MAX_READER_ROWS
from tests.support.clickhouse_process import Server, code_of, server_with_a_table
from tests.support.waiting import until

pytestmark = pytest.mark.integration
ENDLESS = "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))"
READERS = 6


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with a small memory and a table."""
    with server_with_a_table(tmp_path_factory.mktemp("clickhouse")) as running:
        yield running


def abandoned(server: Server, statement: str, auth: str = "") -> socket.socket:
    """A request that is sent and never waited for."""
    connection = socket.create_connection(("127.0.0.1", server.port), 10)
    body = statement.encode()
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n{auth}Content-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def running(server: Server) -> int:
    """How many endless statements run, asked by the writer."""
    pattern = "SELECT count() FROM system.processes WHERE query LIKE '%sipHash64(number)%'"
    return int(server.sql(f"{pattern} AND query NOT LIKE '%processes%'").text)


def test_who_leaves_frees_the_slot(server: Server) -> None:
    """As many endless statements as there are slots, and more waiting: gone with their clients."""
    clients = [abandoned(server, ENDLESS) for _ in range(READERS + 3)]
    until(lambda: running(server) == READERS, "the statements' start", 20)
    # The writer has slots of its own meanwhile.
    assert server.sql("INSERT INTO d.t VALUES (9)").status_code == 200
    assert server.sql("ALTER TABLE d.t DELETE WHERE a = 9 SETTINGS mutations_sync = 1").ok
    for client in clients:
        client.close()
    assert server.read("SELECT 1").text == "1\n"
    until(lambda: running(server) == 0, "the statements' end", 10)


def test_a_stream_that_nobody_reads_is_ended(server: Server) -> None:
    """In the middle of a result."""
    with requests.post(
        server.url, data="SELECT number FROM numbers(100000000000)", stream=True, timeout=20
    ) as answer:
        assert next(answer.iter_content(1000))
    asked = "SELECT count() FROM system.processes WHERE query LIKE '%100000000000)'"
    until(lambda: server.sql(asked).text == "0\n", "the stream's end", 10)


def test_time_is_limited(server: Server) -> None:
    """Less than the limit may be asked for, and the statement ends with ClickHouse's error."""
    answer = server.read(ENDLESS, params={"max_execution_time": "1"})
    assert code_of(answer) == "159"


def test_all_statements_share_one_memory(server: Server) -> None:
    """Twice what one may take, even for a writer that lifts its own limit; the server lives on."""
    process = psutil.Process(server.process.pid)
    hungry = "SELECT length(groupArray(toString(number))) FROM numbers(40000000)"
    peak = [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    codes: list[str | None] = []
    unlimited = f"{hungry} SETTINGS max_memory_usage = 0"
    askers = [
        threading.Thread(target=lambda: codes.append(code_of(server.sql(unlimited))))
        for _ in range(3)
    ] + [threading.Thread(target=lambda: codes.append(code_of(server.read(hungry))))]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    done.set()
    watcher.join()
    assert codes == ["241"] * 4
    # Without the limit four answers would take some 5 GB; the allocator keeps some of it.
    assert peak[0] < 2_000 * 2**20, f"{peak[0] / 2**20:.0f} MB"
    assert server.read("SELECT 1").text == "1\n"


def test_rows_of_a_result_are_limited(server: Server) -> None:
    """For a reader alone; what is read to come to a small result does not count."""
    more = f"SELECT number FROM numbers({MAX_READER_ROWS + 1})"
    answer = server.read(f"{more} FORMAT RowBinary")
    assert "Code: 396" in answer.content[-1_000:].decode(errors="replace")
    assert server.read(f"SELECT count() FROM ({more})").text == f"{MAX_READER_ROWS + 1}\n"
    for name, value in (("max_result_rows", "0"), ("max_result_rows", str(MAX_READER_ROWS + 1))):
        assert code_of(server.read("SELECT 1", params={name: value})) == "452", value
    ten = {"max_result_rows": "10"}
    assert code_of(server.read("SELECT number FROM numbers(11)", params=ten)) == "396"
    ten["result_overflow_mode"] = "break"
    assert server.read("SELECT number FROM numbers(100)", params=ten).status_code == 200
