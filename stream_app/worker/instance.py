"""The name under which a worker is a member of its group, held by one worker at a time.

Kafka gives a static member that comes back under its name its partitions at once, so a name must
outlive restarts, kill -9 included; and two workers under one name throw each other out for as long
as both live. So a name belongs to a data directory, where a lock of the kernel tells whether its
holder lives, and Kafka is asked whether somebody else in the world has it.

Without FUNDING_WORKER_INSTANCE the first worker of a data directory takes `<name>-1`, the second
`<name>-2`, and so on; <name> is made once for the directory and kept there.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import socket
import time
from collections import deque
from pathlib import Path

from schemas.errors import ConfigurationError, UnavailableError
from schemas.kafka.admin import static_members
from schemas.process.files import write_atomically
from schemas.process.locks import FileLock, LockedError
from stream_app.settings import INSTANCE_PATTERN, WorkerSettings

log = logging.getLogger(__name__)

SESSION_S = 10.0
"""The group forgets a member that has been silent for this long."""
SESSION_SLACK_S = 2.0
MAX_SLOTS = 64
_ASK_EVERY_S = 1.0
_BASE_FILE = "name"
_MAX_BASE_CHARS = 60


class Instance:
    """A name that this process holds until it ends."""

    def __init__(self, name: str, lock: FileLock) -> None:
        self.name = name
        self._lock = lock
        self._path = lock.path.with_suffix(".member")
        self._remembered = ""

    def predecessor(self) -> str:
        """Return the member id that the last holder of the lock had in the group; empty: unknown.

        That process has ended, whatever Kafka still believes.
        """
        try:
            return self._path.read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            return ""

    def remember(self, member_id: str) -> None:
        """Note our own member id, for a successor after kill -9."""
        if member_id == self._remembered:
            return
        self._remembered = member_id
        try:
            write_atomically(self._path, member_id)
        except OSError as error:
            # A successor waits for the end of our session then; nothing is lost.
            log.warning("cannot write %s: %s", self._path, error)

    def close(self) -> None:
        """Give the name back."""
        self._lock.close()


def claim_instance(settings: WorkerSettings) -> Instance:
    """Take the configured name, or the first free one of the data directory. Blocks on Kafka.

    Raises:
        UnavailableError: another worker has the name, or Kafka does not answer.
        ConfigurationError: the data directory cannot be used.
    """
    directory = Path(settings.worker_data_dir)
    if settings.worker_instance:
        return _claim_named(settings, directory, settings.worker_instance)
    base = _base_name(directory)
    for slot in range(1, MAX_SLOTS + 1):
        try:
            lock = FileLock(directory / f"slot-{slot}.lock")
        except LockedError:
            continue
        instance = Instance(f"{base}-{slot}", lock)
        if not _in_use(settings, instance):
            return instance
        instance.close()
        log.warning("%s is another worker's name: taking the next one", instance.name)
    raise UnavailableError(
        f"{MAX_SLOTS} workers use {directory} already: give this one a FUNDING_WORKER_DATA_DIR of "
        "its own"
    )


def _claim_named(settings: WorkerSettings, directory: Path, name: str) -> Instance:
    try:
        instance = Instance(name, FileLock(directory / f"instance-{name}.lock"))
    except LockedError as error:
        raise UnavailableError(
            f"the worker FUNDING_WORKER_INSTANCE={name} runs already, it is {error.holder}: give "
            "this one another name, or leave the variable out"
        ) from error
    if _in_use(settings, instance):
        instance.close()
        raise UnavailableError(
            f"another worker with FUNDING_WORKER_INSTANCE={name} is alive in the group "
            f"{settings.worker_id}, on another machine or with another data directory: give this "
            "one another name, or leave the variable out"
        )
    return instance


def _in_use(settings: WorkerSettings, instance: Instance) -> bool:
    """Tell whether a member of our name lives that is not our own dead predecessor.

    A member that does not outlast its session is dead.
    """
    members = static_members(settings, settings.worker_id) or {}
    if members.get(instance.name) in {None, instance.predecessor()}:
        return False
    log.info("%s is a member already: waiting whether it is alive", instance.name)
    until_s = time.monotonic() + SESSION_S + SESSION_SLACK_S
    while time.monotonic() < until_s:
        time.sleep(_ASK_EVERY_S)
        now = static_members(settings, settings.worker_id)
        if now is not None and instance.name not in now:
            return False
    return True


def _base_name(directory: Path) -> str:
    """Return the directory's own name for workers, made at the first time.

    Raises:
        ConfigurationError: it can be neither read nor made.
    """
    path = directory / _BASE_FILE
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _create(path, _new_base_name())
        base = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"the worker cannot use {directory} ({error}): set FUNDING_WORKER_DATA_DIR"
        ) from error
    if not re.fullmatch(INSTANCE_PATTERN, base) or len(base) > _MAX_BASE_CHARS:
        raise ConfigurationError(f"{path} is damaged: remove it, and the worker makes it anew")
    return base


def _create(path: Path, text: str) -> None:
    """Write a file that nobody has made yet: of several workers that start at once, one wins."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def _new_base_name() -> str:
    host = re.sub(r"[^a-z0-9]+", "-", socket.gethostname().lower()).strip("-")
    return f"{host[:40] or 'worker'}-{secrets.token_hex(2)}"


class Expulsions:
    """Tells from a member's ids whether another worker uses its name. Pure.

    Kafka hands a static name to whoever joins last; the one before finds itself unknown and joins
    again under a new id, which throws out the other. A single change happens to any worker that
    was cut off for a session.
    """

    WINDOW_S = 60.0
    YOUNG_LIMIT = 2
    """A worker that has just come gives way at this many changes within the window …"""
    LIMIT = 6
    """… and one that was there before, at this many."""

    def __init__(self, started_s: float) -> None:
        """`started_s`: when this worker started; all times are monotonic seconds."""
        self._started_s = started_s
        self._member_id = ""
        self._changes_s: deque[float] = deque(maxlen=self.LIMIT)

    def expelled(self, now_s: float, member_id: str) -> bool:
        """Take a look at the member id, empty while there is none; True: give way."""
        if member_id and member_id != self._member_id:
            if self._member_id:
                self._changes_s.append(now_s)
            self._member_id = member_id
        recent = sum(now_s - at_s <= self.WINDOW_S for at_s in self._changes_s)
        is_young = now_s - self._started_s <= self.WINDOW_S
        return recent >= (self.YOUNG_LIMIT if is_young else self.LIMIT)
