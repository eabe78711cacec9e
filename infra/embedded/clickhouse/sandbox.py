"""Confines the server's process to its own files (Linux's Landlock).

chdb, made for scripts, reads and writes any file of its user: table functions, engines, even paths
in place of table names. A ClickHouse server has one directory for that. Without this, whoever
reaches the port would have the user's files. sqltext.py refuses the usual ways before with a clear
message; this is the boundary behind it.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # on every architecture
_QUERY_ABI = 1
_RULE_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38
_MIN_ABI = 2  # the first that allows renames between directories, which merges make
_ABI_WITH_TRUNCATE = 3

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = (1 << bit for bit in range(4))
_TRUNCATE = 1 << 14
_ALL_OF_ABI_2 = (1 << 14) - 1
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
# What Python, the C library and the engine read: code, time zones, sizes of the machine. Of /proc
# only what is about this process and the machine, not other processes' environments.
_SYSTEM_PATHS = (
    "/usr /lib /lib64 /etc/localtime /etc/timezone /etc/hosts /etc/resolv.conf /etc/nsswitch.conf"
    " /etc/mime.types /etc/ssl /etc/ld.so.cache /sys /proc/self /proc/meminfo /proc/cpuinfo"
    " /proc/stat /proc/loadavg /proc/uptime /proc/sys /proc/mounts /proc/version /proc/filesystems"
    " /dev"
)


def confine(writable: Path) -> bool:
    """Allow this process from now on to write below `writable` only, and to read little else.

    Must come before the process has threads: only the calling one and those that it starts are
    confined. Returns False, with nothing changed, where the kernel cannot do it.
    """
    if not can_confine():
        return False
    assert len(list(Path("/proc/self/task").iterdir())) == 1, (
        "threads from before would not be confined"
    )
    libc = ctypes.CDLL(None, use_errno=True)
    abi = _abi(libc)
    handled = _ALL_OF_ABI_2 | (_TRUNCATE if abi >= _ABI_WITH_TRUNCATE else 0)
    attributes = struct.pack("=Q", handled)
    ruleset = libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        return False
    try:
        _allow(libc, ruleset, [writable], handled)
        _allow(libc, ruleset, [Path("/dev/null")], handled & _OF_FILES)
        _allow(libc, ruleset, _readable(), _READ)
        return bool(
            libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            and libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0
        )
    finally:
        os.close(ruleset)


def can_confine() -> bool:
    """Whether this system knows Landlock well enough."""
    return sys.platform == "linux" and _abi(ctypes.CDLL(None, use_errno=True)) >= _MIN_ABI


def _abi(libc: ctypes.CDLL) -> int:
    return int(libc.syscall(_CREATE_RULESET, None, 0, _QUERY_ABI))


def _readable() -> set[Path]:
    """The system's paths and Python's own, where they exist."""
    own = {sys.prefix, sys.base_prefix, *(entry for entry in sys.path if entry)}
    # An editable installation is imported from the project's directory: only its packages are read.
    package = Path(__file__).resolve().parents[2]
    project = package.parent
    paths = {Path(entry) for entry in own} - {project, Path.cwd(), Path.home(), Path("/")}
    paths |= {Path(entry) for entry in _SYSTEM_PATHS.split()}
    paths |= {package, project / "schemas"}
    return {path for path in paths if path.exists()}


def _allow(libc: ctypes.CDLL, ruleset: int, paths: Iterable[Path], access: int) -> None:
    for path in paths:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            allowed = access if path.is_dir() else access & _OF_FILES
            rule = struct.pack("=Qi", allowed, descriptor)
            libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0)
        finally:
            os.close(descriptor)
