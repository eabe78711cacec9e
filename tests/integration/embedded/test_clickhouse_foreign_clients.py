"""Clients of ClickHouse that are not ours, each as its users have it: `make test-clients`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.embedded.clickhouse.server import DEFAULT_PORT
from tests.support.clickhouse_process import WRITER, Server
from tests.support.paths import ROOT

pytest.importorskip("clickhouse_sqlalchemy", reason="make test-clients")
pytest.importorskip("polars", reason="make test-clients")

pytestmark = pytest.mark.integration
HERE = Path(__file__).parent
BUILD_TIMEOUT_S = 120
PAGE = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
CLICKHOUSE_CONNECT = "clickhousedb://default@127.0.0.1:{port}/funding"
CLICKHOUSE_SQLALCHEMY = "clickhouse+http://default:@127.0.0.1:{port}/funding"
# What the clients of all languages print: they ask the same.
ANSWERS = ["tables 1", "sum 44999850000", "refused 60", "refused 497"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with our tables."""
    running = Server(tmp_path_factory.mktemp("clickhouse"))
    environment = {
        "FUNDING_CLICKHOUSE_URL": running.url,
        "FUNDING_CLICKHOUSE_USERNAME": WRITER[0],
        "FUNDING_CLICKHOUSE_PASSWORD": WRITER[1],
    }
    migrate = [sys.executable, "-m", "infra.cli", "migrate"]
    subprocess.run(migrate, env=os.environ | environment, check=True, timeout=60)
    yield running
    assert running.stop() == 0


def run(*argv: str | Path, cwd: Path | None = None, **environment: str) -> str:
    """Run a program to its end and return what it prints; skip where it cannot be prepared."""
    done = subprocess.run(
        argv,
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout[-1_000:] + done.stderr[-1_000:]
    return done.stdout


def prepare(what: str, *argv: str | Path, cwd: Path | None = None, **environment: str) -> None:
    """Bring a driver by its package manager; skip the test where that cannot be."""
    try:
        run(*argv, cwd=cwd, **environment)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"{what} cannot be brought here: {str(error)[:300]}")


def test_go(server: Server, tmp_path: Path) -> None:
    """clickhouse-go over HTTP, with its compression, parameters, types and errors."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("needs Go")
    here = HERE / "go"
    prepare("clickhouse-go", go, "mod", "download", cwd=here, GOTOOLCHAIN="local")
    client = tmp_path / "client"
    run(go, "build", "-mod=readonly", "-o", client, ".", cwd=here, GOTOOLCHAIN="local")
    printed = run(client, f"127.0.0.1:{server.port}").replace("Code: ", "").splitlines()
    typed = "typed 2026-01-02T03:04:05.678901Z true it's true"
    assert printed == [ANSWERS[0], typed, *ANSWERS[1:]]


def test_node(server: Server, tmp_path: Path) -> None:
    """@clickhouse/client with compressed answers, parameters, types, a stream and errors."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("needs Node and npm")
    for name in ("package.json", "client.mjs"):
        shutil.copy(HERE / "node" / name, tmp_path)
    install = (npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts")
    prepare("@clickhouse/client", *install, cwd=tmp_path)
    printed = run(node, tmp_path / "client.mjs", server.url, cwd=tmp_path).splitlines()
    typed = "typed 2026-01-02 03:04:05.678901 null it's true"
    assert printed == ["ping true", ANSWERS[0], typed, *ANSWERS[1:]]


@pytest.mark.parametrize("url", [CLICKHOUSE_CONNECT, CLICKHOUSE_SQLALCHEMY])
def test_sqlalchemy(server: Server, url: str) -> None:
    """Both dialects: what there is, bound values, an error, a refused write."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(url.format(port=server.port))
    inspector = sqlalchemy.inspect(engine)
    assert "rates" in inspector.get_table_names()
    assert "contract_id" in {column["name"] for column in inspector.get_columns("rates")}
    with engine.connect() as connection:
        bound = sqlalchemy.text("SELECT :number, :word")
        assert connection.execute(bound, {"number": 1, "word": "it's"}).all() == [(1, "it's")]
        for statement, code in (("SELECT * FROM nothing", "60"), ("DROP TABLE rates", "497")):
            with pytest.raises(Exception, match=rf"\b{code}\b"):
                connection.execute(sqlalchemy.text(statement)).all()
    engine.dispose()


def test_frames(server: Server) -> None:
    """Pandas, arrow and polars through clickhouse-connect keep each type and every bit."""
    import clickhouse_connect
    import polars as pl

    client = clickhouse_connect.get_client(host="127.0.0.1", port=server.port)
    statement = (
        "SELECT toDateTime64('2026-01-02 03:04:05.678901', 6, 'UTC') AS at,"
        " CAST(NULL, 'Nullable(Float64)') AS missing, toLowCardinality('it''s') AS word,"
        " reinterpretAsFloat64(toUInt64(4599075939470750516)) AS exact FROM numbers(3)"
    )
    frame = pl.from_arrow(client.query_arrow(statement))
    assert isinstance(frame, pl.DataFrame)
    assert frame.height == 3
    at, missing, word, exact = frame.row(0)
    assert (at.isoformat(), missing, word) == ("2026-01-02T03:04:05.678901+00:00", None, "it's")
    assert exact == 0.1 + 0.2
    pandas = client.query_df(statement)
    assert pandas["exact"].tolist() == [0.1 + 0.2] * 3
    assert pandas["at"][0].microsecond == 678901
    client.close()


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_of_the_page_runs(server: Server, snippet: str) -> None:
    """As it stands in docs/clients.md, at the test's port."""
    assert f"{DEFAULT_PORT}" in snippet
    run(sys.executable, "-c", snippet.replace(f"{DEFAULT_PORT}", f"{server.port}"))


def test_the_page_names_the_versions_that_are_tested() -> None:
    """Of the drivers that are pinned."""
    for file, pattern in (
        ("go/go.mod", r"clickhouse-go/v2 v([\d.]+)"),
        ("node/package.json", r'client": "([\d.]+)"'),
        ("jdbc/pom.xml", r"clickhouse-jdbc</artifactId>\s*<version>([\d.]+)"),
    ):
        found = re.search(pattern, (HERE / file).read_text(encoding="utf-8"))
        assert found is not None, file
        assert found.group(1) in PAGE, file
