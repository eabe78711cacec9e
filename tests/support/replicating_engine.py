"""ClickHouse's engine with a Keeper in its memory, which runs statements of a cluster's servers.

The engine in one process can make replicated tables and check that they agree with what Keeper
knows. It cannot start them: it has no port for other servers. So nothing is inserted or altered,
and `ON CLUSTER` is parsed only.

A file `users.xml` in the directory has users and roles. Without it there is one user, who may do
anything.

Usage: python -m tests.support.replicating_engine DIRECTORY < statements.json
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_CONFIGURATION = """<clickhouse>
  <zookeeper>
    <implementation>testkeeper</implementation><node><host>none</host><port>1</port></node>
  </zookeeper>
  <macros><replica>one</replica></macros>
  USERS
</clickhouse>
"""


def run(directory: Path, statements: Sequence[str]) -> list[str]:
    """Run statements one after the other; return the answer or the error of each."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.replicating_engine", str(directory)],
        input=json.dumps(list(statements)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout, done.stderr
    answers: list[str] = json.loads(done.stdout)
    return answers


def main() -> None:
    """Answer the statements on standard input; the engine would end in the caller's process."""
    import os

    import chdb

    directory = Path(sys.argv[1])
    configuration = directory / "config.xml"
    users = directory / "users.xml"
    named = f"<users_config>{users}</users_config>" if users.exists() else ""
    configuration.write_text(_CONFIGURATION.replace("USERS", named), encoding="utf-8")
    connection = chdb.connect(f"{directory / 'data'}?config-file={configuration}")
    answers = []
    for statement in json.load(sys.stdin):
        try:
            answers.append(str(connection.query(statement, "TSV")))
        except Exception as error:  # noqa: BLE001 - chdb raises nothing more precise
            answers.append(f"error: {error}")
    print(json.dumps(answers), flush=True)  # noqa: T201
    # The threads of tables that cannot start would keep the process from ending.
    os._exit(0)


if __name__ == "__main__":
    main()
