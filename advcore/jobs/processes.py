"""Other processes: whether one is still the one that was started, and one at a time through a door."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

if sys.platform == "win32":
    import ctypes
    import msvcrt
    from ctypes import wintypes
else:
    import fcntl


def birth(pid: int) -> str | None:
    """When the living process `pid` started, as a text that no later process of that number shares; None if it is dead.

    A process that ended but that nobody has asked about yet counts as dead.
    """
    if pid <= 0:
        return None
    if sys.platform == "win32":
        return _birth_windows(pid)
    stat = Path("/proc") / str(pid) / "stat"
    if not stat.parent.parent.joinpath("self").exists():
        return _birth_ps(pid)
    try:
        # The name, in parentheses, may hold blanks; what follows it has fixed places.
        fields = stat.read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return None if fields[0] in "ZX" else f"{boot}:{fields[19]}"


def _birth_ps(pid: int) -> str | None:
    """Where there is no /proc."""
    shown = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, started = shown.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else started.strip()


if sys.platform == "win32":

    def _birth_windows(pid: int) -> str | None:
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.OpenProcess.restype = wintypes.HANDLE
        kernel.GetExitCodeProcess.argtypes = [wintypes.HANDLE, ctypes.c_void_p]
        kernel.GetProcessTimes.argtypes = [wintypes.HANDLE, *[ctypes.c_void_p] * 4]
        kernel.CloseHandle.argtypes = [wintypes.HANDLE]
        handle = kernel.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
        if not handle:
            return None
        try:
            code, times = wintypes.DWORD(), [wintypes.FILETIME() for _ in range(4)]
            kernel.GetExitCodeProcess(handle, ctypes.byref(code))
            kernel.GetProcessTimes(handle, *(ctypes.byref(item) for item in times))
        finally:
            kernel.CloseHandle(handle)
        if code.value != 259:  # STILL_ACTIVE
            return None
        return f"{times[0].dwHighDateTime}:{times[0].dwLowDateTime}"


def end(pid: int, born: str, *, gently: bool = True) -> bool:
    """Ask the process to end, or, not `gently`, end it; False when it is no longer the one that was born then."""
    if birth(pid) != born:
        return False
    if sys.platform == "win32" and gently:
        return True  # it has no gentle signal
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM if gently else getattr(signal, "SIGKILL", signal.SIGTERM))
    return True


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the lock file `path`: of all processes and threads that ask, one at a time gets in. A dead one lets go of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        _lock(file.fileno())
        yield  # closing the file lets go


def _lock(handle: int) -> None:
    if sys.platform != "win32":
        fcntl.flock(handle, fcntl.LOCK_EX)
        return
    while True:
        try:
            os.lseek(handle, 0, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_LOCK, 1)
        except OSError:  # it gives up after ten seconds
            time.sleep(0.1)
        else:
            return
