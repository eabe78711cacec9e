"""Lock files: one holder, whom the others are told, and nothing left to clean up after kill -9."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from schemas.errors import ConfigurationError
from schemas.process.locks import FileLock, LockedError

HOLD = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from schemas.process.locks import FileLock
with FileLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_holder_is_told_the_first_ones_pid(tmp_path: Path) -> None:
    """And has the lock once the first has given it back."""
    path = tmp_path / "a" / ".lock"
    with FileLock(path), pytest.raises(LockedError, match=rf"pid {os.getpid()}\)") as locked:
        FileLock(path)
    assert locked.value.pid == os.getpid()
    FileLock(path).close()


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    """After kill -9 the file is still there, and the next process gets the lock."""
    path = tmp_path / ".lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LockedError) as locked:
            FileLock(path)
        assert locked.value.pid == holder.pid
        holder.kill()
        holder.wait()
    with FileLock(path):
        assert path.read_text() == str(os.getpid())


def test_a_lock_can_be_waited_for(tmp_path: Path) -> None:
    """Until its holder gives it back."""
    path = tmp_path / ".lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"held\n"
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(FileLock, path, wait=True)
            with pytest.raises(LockedError):
                FileLock(path)
            assert not waiting.done()
            holder.stdin.close()
            waiting.result(timeout=30).close()


def test_a_holder_that_has_not_written_its_pid_is_another_process(tmp_path: Path) -> None:
    """What stands in the file is only shown when it is a number."""
    path = tmp_path / ".lock"
    with FileLock(path):
        path.write_text("-1; rm")
        with pytest.raises(LockedError, match=r"locked by another process:") as locked:
            FileLock(path)
    assert locked.value.pid is None


@pytest.mark.parametrize(
    "path", ["/sys/kernel/x/.lock", "/proc/1/.lock", "/dev/null/.lock", "\0", "/x" * 3_000]
)
def test_a_place_without_files_is_a_configuration_error(path: str) -> None:
    """With the system's reason."""
    with pytest.raises(ConfigurationError, match=r"cannot be written \("):
        FileLock(Path(path))


def test_a_directory_in_the_files_place_is_a_configuration_error(tmp_path: Path) -> None:
    """It could be locked, but holds no process id."""
    with pytest.raises(ConfigurationError, match="directory"):
        FileLock(tmp_path)
