"""Starts a command that cannot outlive the process that asked for it.

Run as a script, `child.py PARENT_PID COMMAND…`, by `argv_of_child`. It exists because the
alternative, a preexec function, runs Python code between fork and exec and may deadlock in a
program with threads. On Linux it asks the kernel for SIGKILL at the parent's death and then becomes
the command: one process, one pid. Elsewhere it stays in between and watches the parent.
It imports next to nothing, because every start runs it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

_PR_SET_PDEATHSIG = 1
_WATCH_INTERVAL_S = 0.5
_EXIT_NOT_FOUND = 127


def argv_of_child(argv: list[str]) -> list[str]:
    """Return the command line that runs `argv` as a child that dies with this process.

    On Linux "this process" means the thread that starts it: start children from a thread that
    lives as long as the program, such as the main one.
    """
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *argv]


def _die_with_parent(parent: int) -> None:
    import ctypes  # noqa: PLC0415 - only on Linux, only here

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        # The parent died before the kernel was asked. (Both are in one pid namespace.)
        os._exit(128 + signal.SIGKILL)


def _watch_parent(parent: int, argv: list[str]) -> int:
    """Run the command and kill it once the parent is gone, where PR_SET_PDEATHSIG is missing."""
    with subprocess.Popen(argv) as command:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda received, _frame: command.send_signal(received))
        while True:
            try:
                return command.wait(_WATCH_INTERVAL_S)
            except subprocess.TimeoutExpired:
                if os.getppid() != parent:
                    command.kill()


def main(arguments: list[str]) -> int:
    """Become the command, or watch over it and return its exit code."""
    parent, argv = int(arguments[0]), arguments[1:]
    try:
        if sys.platform != "linux":
            return _watch_parent(parent, argv)
        _die_with_parent(parent)
        # Python ignores these two signals, and the command would inherit that.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        os.execvp(argv[0], argv)  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.stderr.write(f"cannot start {argv[0]}: {error.strerror}\n")
        return _EXIT_NOT_FOUND


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
