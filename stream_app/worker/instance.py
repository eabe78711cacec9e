"""The name under which a worker is a static member of its group, held by one worker at a time.

Kafka gives a static member its partitions back at once when it returns under its name, so a name
must outlive restarts and kill -9. Two workers under one name throw each other out of the group for
as long as both run. So a name belongs to a data directory, where a kernel lock tells whether its
holder is alive, and Kafka is asked whether a worker elsewhere uses it.

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
from collections.abc import Callable, Mapping
from pathlib import Path

from schemas.clock import Clock
from schemas.errors import ConfigurationError, UnavailableError
from schemas.kafka.admin import static_members
from schemas.process.files import write_atomically
from schemas.process.locks import FileLock, LockedError
from stream_app.settings import INSTANCE_PATTERN, WorkerSettings

log = logging.getLogger(__name__)

SESSION_S = 6.0
"""The group forgets a member that has been silent for this long: the least that brokers allow by
default."""
SESSION_SLACK_S = 2.0
MAX_SLOTS = 64
_ASK_EVERY_S = 1.0
_TRIES = 3
_TRY_EVERY_S = 0.02
"""A peer that looks whether a lock is held (peers.py) holds it for some microseconds."""
_BASE_FILE = "name"
_SLOT = "slot-"
_NAMED = "instance-"
_MAX_BASE_CHARS = 60


class Instance:
    """A name that this process holds until it ends."""

    def __init__(self, name: str, lock: FileLock) -> None:
        self.name = name
        self._lock = lock
        self.lock_path = lock.path
        self._path = lock.path.with_suffix(".member")
        self._remembered = ""

    def predecessor(self) -> str:
        """Return the member id that the last holder of the lock had in the group; empty: unknown.

        That process has ended, although Kafka may still list it as a member.
        """
        try:
            return self._path.read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            return ""

    def remember(self, member_id: str) -> None:
        """Write our own member id to disk, for a successor after kill -9."""
        if member_id == self._remembered:
            return
        self._remembered = member_id
        try:
            write_atomically(self._path, member_id)
        except OSError as error:
            # A successor then waits until our session has ended.
            log.warning("cannot write %s: %s", self._path, error)

    def close(self) -> None:
        """Give the name back."""
        self._lock.close()


Members = Callable[[], Mapping[str, str] | None]
"""Returns the static members of the worker's group, name to member id; None: Kafka is away."""


class _Group:
    """The group that the worker is about to join."""

    def __init__(self, members: Members, clock: Clock, sleep: Callable[[float], None]) -> None:
        self._members = members
        self._clock = clock
        self._sleep = sleep

    def uses(self, instance: Instance) -> bool:
        """Tell whether a member of this name lives that is not our own dead predecessor.

        A member that does not outlast its session is dead: this waits until that has passed.
        """
        known = (self._members() or {}).get(instance.name)
        if known in {None, instance.predecessor()}:
            return False
        log.info("%s is a member already: waiting whether it is alive", instance.name)
        until_s = self._clock.monotonic_s() + SESSION_S + SESSION_SLACK_S
        while self._clock.monotonic_s() < until_s:
            self._sleep(_ASK_EVERY_S)
            members = self._members()
            if members is not None and instance.name not in members:
                return False
        return True


def claim_instance(
    settings: WorkerSettings,
    clock: Clock,
    *,
    members: Members | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Instance:
    """Take the configured name, or the first free one of the data directory. Blocks on Kafka.

    `members` is asked for the group's members (default: Kafka is).

    Raises:
        UnavailableError: another worker has the name, or Kafka does not answer.
        ConfigurationError: the data directory cannot be used.
    """
    directory = Path(settings.worker_data_dir)
    ask = members or (lambda: static_members(settings, settings.worker_id))
    group = _Group(ask, clock, sleep)
    if settings.worker_instance:
        return _claim_named(settings, directory, settings.worker_instance, group, sleep)
    base = _base_name(directory)
    for slot in range(1, MAX_SLOTS + 1):
        try:
            lock = _lock(directory / f"{_SLOT}{slot}.lock", sleep)
        except LockedError:
            continue
        instance = Instance(f"{base}-{slot}", lock)
        if not group.uses(instance):
            return instance
        instance.close()
        log.warning("%s is another worker's name: taking the next one", instance.name)
    raise UnavailableError(
        f"{MAX_SLOTS} workers use {directory} already: give this one a FUNDING_WORKER_DATA_DIR of "
        "its own"
    )


def name_of(lock_path: Path) -> str:
    """Return the name to which a lock of a data directory belongs; empty: to none.

    Raises:
        OSError, ValueError: the directory's name cannot be read.
    """
    stem = lock_path.stem
    if stem.startswith(_NAMED):
        return stem.removeprefix(_NAMED)
    if stem.startswith(_SLOT):
        base = (lock_path.parent / _BASE_FILE).read_text(encoding="utf-8").strip()
        return f"{base}-{stem.removeprefix(_SLOT)}"
    return ""


def _lock(path: Path, sleep: Callable[[float], None]) -> FileLock:
    """Take a lock, though a peer may be looking at it at that moment.

    Raises:
        LockedError: another worker holds it.
        ConfigurationError: there can be no lock file there.
    """
    for _ in range(_TRIES - 1):
        try:
            return FileLock(path)
        except LockedError:
            sleep(_TRY_EVERY_S)
    return FileLock(path)


def _claim_named(
    settings: WorkerSettings,
    directory: Path,
    name: str,
    group: _Group,
    sleep: Callable[[float], None],
) -> Instance:
    try:
        instance = Instance(name, _lock(directory / f"{_NAMED}{name}.lock", sleep))
    except LockedError as error:
        raise UnavailableError(
            f"the worker FUNDING_WORKER_INSTANCE={name} runs already, it is {error.holder}: give "
            "this one another name, or leave the variable out"
        ) from error
    if group.uses(instance):
        instance.close()
        raise UnavailableError(
            f"another worker with FUNDING_WORKER_INSTANCE={name} is alive in the group "
            f"{settings.worker_id}, on another machine or with another data directory: give this "
            "one another name, or leave the variable out"
        )
    return instance


def _base_name(directory: Path) -> str:
    """Return the name that a data directory gives to its workers, made at the first call.

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
    """Write a file unless it exists: of several workers that start at once, one writes it."""
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
    """Tells from the changes of a member's id whether another worker uses its name. Pure.

    Kafka gives a static name to the member that joined last. The one before is unknown from then on
    and joins again under a new id, which throws out the other. A single change happens to any
    worker that was cut off for a session. One after this process stood still is its own fault.
    """

    WINDOW_S = 60.0
    STOOD_STILL_S = 3.0
    """Who has not looked for so long was stopped, or its machine slept."""
    YOUNG_LIMIT = 2
    """How many changes within the window make a worker give way that started within it …"""
    LIMIT = 6
    """… and one that started before."""

    def __init__(self, started_s: float) -> None:
        """`started_s`: when this worker started; all times are monotonic seconds."""
        self._started_s = started_s
        self._looked_s = started_s
        self._excused_until_s = started_s
        self._member_id = ""
        self._changes_s: deque[float] = deque(maxlen=self.LIMIT)

    def expelled(self, now_s: float, member_id: str) -> bool:
        """Look at the member id, empty while there is none; True: this worker must give way."""
        if now_s - self._looked_s > self.STOOD_STILL_S:
            self._excused_until_s = now_s + 2 * SESSION_S
        self._looked_s = now_s
        if member_id and member_id != self._member_id:
            if self._member_id and now_s >= self._excused_until_s:
                self._changes_s.append(now_s)
            self._member_id = member_id
        recent = sum(now_s - at_s <= self.WINDOW_S for at_s in self._changes_s)
        is_young = now_s - self._started_s <= self.WINDOW_S
        return recent >= (self.YOUNG_LIMIT if is_young else self.LIMIT)
