"""The schema registry's log: one JSON record a line, on the disk before it is acknowledged.

What a record means is defined in store.py.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from infra.embedded.registry.store import Record, RegistryStore, dump_record
from schemas.errors import StateError


class RegistryLog:
    """Appends records to a file. Opening it replays the file into a store."""

    def __init__(self, path: Path, store: RegistryStore) -> None:
        """Open the log and replay it into `store`.

        A last line without an end, from a kill -9 while writing, was never acknowledged and is cut
        off.
        """
        self._store = store
        self._file = path.open("ab+", buffering=0)
        try:
            _sync_directory(path.parent)
            whole_bytes = self._replay(path)
            self._file.truncate(whole_bytes)
        except BaseException:
            self._file.close()
            raise
        self._bytes = whole_bytes

    def commit(self, record: Record) -> None:
        """Write the record through to the disk, then apply it. Raises OSError: nothing has changed.

        Synchronous on purpose: registrations are rare and the order of records is the state.
        """
        line = dump_record(record).encode()
        try:
            # A full disk may take a part of the line: the second write then says why.
            written = self._file.write(line)
            while written < len(line):
                written += self._file.write(line[written:])
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(self._bytes)
            raise
        self._bytes += len(line)
        self._store.apply(record)

    def close(self) -> None:
        """Closes the file; every acknowledged record is on the disk already."""
        self._file.close()

    def _replay(self, path: Path) -> int:
        """Applies all whole lines and returns their length."""
        self._file.seek(0)
        content = self._file.read()
        whole = content[: content.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                self._store.apply(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise StateError(
                    f"line {number} of {path} is damaged ({error!r}): restore the file, or move it"
                    " away and register the schemas again (ids may change)"
                ) from error
        return len(whole)


def _sync_directory(directory: Path) -> None:
    """Makes a new file's name as durable as its records."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
