"""What each kind of caller may do in the engine: roles, as the engine's users.xml. Pure.

The engine runs in this process and knows one user, `default`, which can be switched to a role: from
then on its own access control judges every statement, however it is written. Nobody has a grant for
sources outside (files, URLs, other servers, programs), so table functions, engines and dictionaries
of that kind are refused to all.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from xml.sax.saxutils import escape

from infra.embedded.clickhouse.layout import OVERLAY_NAME


class Role(StrEnum):
    """The engine's names of the roles."""

    READER = "reader"
    WRITER = "writer"
    OWNER = "owner"
    """The server itself, which ends statements."""


# The overlay of files (layout.py) is nobody's business, and tools would list it as a database.
_HIDDEN = f"REVOKE ALL ON {OVERLAY_NAME}.*"
# Without a grant for a table engine only those that reach nothing outside are allowed. Nobody may
# create a dictionary, because its source outside would not be checked. A reader's temporary tables
# hold the external data of its request and are made by this server alone.
_GRANTS = {
    Role.READER: ("SELECT, SHOW, CREATE TEMPORARY TABLE ON *.*",),
    Role.WRITER: (
        "SELECT, SHOW, INSERT, ALTER, DROP, UNDROP TABLE, TRUNCATE, OPTIMIZE ON *.*",
        "CREATE DATABASE, CREATE TABLE, CREATE VIEW, CREATE TEMPORARY TABLE ON *.*",
        "CHECK, KILL QUERY, SYSTEM MERGES, SYSTEM TTL MERGES, SYSTEM FLUSH ON *.*",
        "SET DEFINER ON *",
    ),
    Role.OWNER: ("SELECT, SHOW, KILL QUERY ON *.*",),
}


def write_engine_configuration(directory: Path) -> Path:
    """Write the engine's configuration and return its path."""
    directory.mkdir(exist_ok=True)
    users, config = directory / "users.xml", directory / "config.xml"
    users.write_text(users_xml(), encoding="utf-8")
    config.write_text(
        f"<clickhouse><users_config>{escape(str(users))}</users_config></clickhouse>\n",
        encoding="utf-8",
    )
    return config


def users_xml() -> str:
    """Return the engine's users file: one user without privileges of its own, and the roles."""
    roles = "".join(
        f"<{role}><grants>{''.join(f'<query>GRANT {g}</query>' for g in grants)}"
        f"<query>{_HIDDEN}</query></grants></{role}>"
        for role, grants in _GRANTS.items()
    )
    return (
        # Whatever the machine's zone is: all that is stored is in UTC, and so is today().
        "<clickhouse><profiles><default><session_timezone>UTC</session_timezone></default></profiles>"
        "<quotas><default/></quotas>"
        f"<roles>{roles}</roles>"
        "<users><default><password></password><networks><ip>::/0</ip></networks>"
        "<profile>default</profile><quota>default</quota>"
        f"<grants><query>GRANT {', '.join(_GRANTS)}</query></grants></default></users>"
        "</clickhouse>\n"
    )
