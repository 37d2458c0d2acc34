"""The peak resident memory of a program by itself, exactly, whatever it is and however it ends.

``ru_maxrss`` would not do: it counts the memory of whoever started the program (a child begins as a copy of its
parent) and that of the processes which the program started and waited for. So the program is traced (ptrace(2)) and
stopped once, as it exits, while its memory is still there; /proc tells its high-water mark (VmHWM), which begins anew
with each program. What it starts is not traced. Two stops and one for each signal: it costs the program nothing that
can be measured.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_TRACEME, _CONT, _SETOPTIONS = 0, 7, 0x4200
_TRACE_EXIT, _EXIT_STOP = 0x40, 6
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def run(words: Sequence[str | Path], **how: Any) -> tuple[int, int]:
    """Runs a program to its end; its exit status (minus the signal that ended it) and its peak in bytes.

    Args:
        how: as for ``subprocess.Popen``. Output goes to files or nowhere: nobody reads pipes meanwhile.

    Raises:
        OSError: it cannot be started, or this process may not trace it.
    """
    process = subprocess.Popen(words, preexec_fn=_trace_me, **how)
    try:
        return _followed(process.pid)
    except BaseException:
        os.kill(process.pid, signal.SIGKILL)
        raise
    finally:
        process.returncode = 0  # it is waited for; subprocess has nothing left to do


def _followed(pid: int) -> tuple[int, int]:
    peak = 0
    told = False
    while True:
        _, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            return os.waitstatus_to_exitcode(status), peak
        stopped_by = os.WSTOPSIG(status)
        if not told:  # the stop right after it became the program
            _ptrace(_SETOPTIONS, pid, _TRACE_EXIT)
            told = True
            stopped_by = 0
        elif status >> 16 == _EXIT_STOP:
            peak = high_water(pid)
            stopped_by = 0
        elif stopped_by == signal.SIGTRAP:  # it became another program
            stopped_by = 0
        _ptrace(_CONT, pid, stopped_by)


def high_water(pid: int | str = "self") -> int:
    """The peak resident memory, in bytes, of the program that the process runs now."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/{pid}/status does not tell VmHWM")


def _trace_me() -> None:
    _ptrace(_TRACEME, 0, 0)


def _ptrace(request: int, pid: int, data: int) -> None:
    if _libc.ptrace(request, pid, 0, data) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"this process may not trace another (ptrace): {os.strerror(number)}")


def main() -> None:
    """``python -m benchmarks.peak FILE PROGRAM [ARGUMENT ...]`` adds a line to FILE, the peak, and ends as PROGRAM."""
    status, peak = run(sys.argv[2:])
    with open(sys.argv[1], "a") as file:
        file.write(f"{peak}\n")
    sys.exit(status if status >= 0 else 1)


if __name__ == "__main__":
    main()
