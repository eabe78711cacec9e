"""Lays out the engine's directory so that `default` is a database like a real server's.

By itself the embedded engine makes `default` a view of the whole file system over its tables: the
name of a missing table is looked up as a file, so each look needs the right to read all files,
which nobody has here. The overlay gets another name, and `default` is an Atomic database.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from schemas.process.files import write_atomically

OVERLAY_NAME = "_files"


def prepare_default_database(engine_path: Path) -> None:
    """Prepare the directory; must run before each start of the engine. Existing tables are kept."""
    metadata = engine_path / "metadata"
    metadata.mkdir(parents=True, exist_ok=True)
    statement, link = metadata / "default.sql", metadata / "default"
    if not statement.exists():
        identity = link.readlink().name if link.is_symlink() else str(uuid.uuid4())
        attach = f"ATTACH DATABASE _ UUID '{identity}'\nENGINE = Atomic\n"
        write_atomically(statement, attach, durable=True)
    # The overlay takes its identity from this link, whatever its name; the engine makes it anew.
    link.unlink(missing_ok=True)
