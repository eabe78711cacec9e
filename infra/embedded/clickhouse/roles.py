"""Who may do what in the engine: its own users.xml, with a role for each kind of caller. Pure.

The engine runs in this process and knows one user, `default`, which can be switched to a role: from
then on its own access control judges every statement, however it is written. Nobody has a grant for
sources outside (files, URLs, other servers, programs), so table functions, engines and dictionaries
of that kind are refused to all.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from xml.sax.saxutils import escape


class Role(StrEnum):
    """The engine's names of the roles."""

    READER = "reader"
    WRITER = "writer"
    OWNER = "owner"
    """The server itself: ends statements."""


# Without a grant for an engine those that reach nothing outside are allowed, and no others. A
# dictionary may have a source outside that nothing checks: nobody makes one. A reader's temporary
# tables are the external data of its request, made by this server alone.
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
    """Writes the engine's configuration and returns its path."""
    directory.mkdir(exist_ok=True)
    users, config = directory / "users.xml", directory / "config.xml"
    users.write_text(users_xml(), encoding="utf-8")
    config.write_text(
        f"<clickhouse><users_config>{escape(str(users))}</users_config></clickhouse>\n",
        encoding="utf-8",
    )
    return config


def users_xml() -> str:
    """The engine's users file: one user that has nothing but its roles."""
    roles = "".join(
        f"<{role}><grants>{''.join(f'<query>GRANT {g}</query>' for g in grants)}</grants></{role}>"
        for role, grants in _GRANTS.items()
    )
    return (
        "<clickhouse><profiles><default/></profiles><quotas><default/></quotas>"
        f"<roles>{roles}</roles>"
        "<users><default><password></password><networks><ip>::/0</ip></networks>"
        "<profile>default</profile><quota>default</quota>"
        f"<grants><query>GRANT {', '.join(_GRANTS)}</query></grants></default></users>"
        "</clickhouse>\n"
    )
