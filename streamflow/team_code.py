"""Loads a team's Python files within bounds of time and memory, and tells where one fails.

A definition that never ends, or takes all memory, would hold a lock of the database until the Job
is stopped, with nothing said. A signal or a thread of this process could not end it: code in C
gives way to neither. So files are tried first in a fork, which can be killed; if they load there,
or fail as Python code fails, they are loaded here as ever.
"""

import faulthandler
import os
import re
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import TextIO

from streamflow import settings
from streamflow.errors import ConfigurationError, reason

LOADED, TOO_LARGE = 76, 77
"""The exit codes of the process that tries a file, which no team's code has by itself."""
FRAME = re.compile(r'File "(.*)", line (\d+)')
"""A line of a traceback."""
POLL_S = 0.005
_is_trial = False
"""True in the process that tries a file, where another one inside needs none of its own."""


def require_bounded(load: Callable[[], object], folder: Path) -> None:
    """Returns when `load` ends within its bounds in a fork, with or without an ordinary error.

    Args:
        load: runs code of `folder`; what it prints in the fork is not shown.
        folder: a feature repository; messages name the file and line of it that was running.

    Raises:
        ConfigurationError: it takes longer than STREAMFLOW_LOAD_TIMEOUT_S or more memory than
            STREAMFLOW_LOAD_MEMORY_MIB beyond this process's own, or ends the process.
    """
    if _is_trial:
        return
    bounds = settings.streamflow()
    with tempfile.TemporaryFile("w+") as report:
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside other threads
            child = os.fork()
        if not child:
            try_alone(load, report, bounds.load_timeout_s, bounds.load_memory_mib)
        status = wait(child, bounds.load_timeout_s)
        report.seek(0)
        where = place(report.read(), folder)
    if status is None:
        raise ConfigurationError(
            f"{where} does not load within {bounds.load_timeout_s} s; definitions describe features"
            " and neither wait nor compute (STREAMFLOW_LOAD_TIMEOUT_S sets the time)"
        )
    code = os.waitstatus_to_exitcode(status)
    if code == TOO_LARGE:
        raise ConfigurationError(
            f"{where} takes more than {bounds.load_memory_mib} MiB of memory to load; definitions"
            " describe features and hold no data (STREAMFLOW_LOAD_MEMORY_MIB sets the limit)"
        )
    if code != LOADED:
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        how = how if code else "without an error"
        raise ConfigurationError(f"{where} ends the process that loads it, {how}")


def try_alone(load: Callable[[], object], report: TextIO, seconds: int, mebibytes: int) -> None:
    """Runs `load` in this process, which a fork made, and ends it; never returns.

    Args:
        report: gets the traceback where it takes too long or too much memory, or crashes.
    """
    global _is_trial
    _is_trial = True
    code = LOADED
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.alarm(seconds + 10)  # where nobody is left to kill it
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        limit_memory(mebibytes)
        faulthandler.enable(file=report)
        faulthandler.dump_traceback_later(seconds, file=report)
        load()
    except MemoryError as error:
        traceback.print_tb(error.__traceback__, file=report)
        report.flush()
        code = TOO_LARGE
    except BaseException:  # which this process's parent meets itself  # noqa: S110
        pass
    finally:
        os._exit(code)


def limit_memory(mebibytes: int) -> None:
    """Limits this process to so much memory beyond what it has, where the system can."""
    with suppress(OSError, ValueError):
        used = re.search(r"VmData:\s+(\d+) kB", Path("/proc/self/status").read_text())
        if used is not None:
            most = int(used[1]) * 1024 + mebibytes * 2**20
            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def wait(child: int, seconds: float) -> int | None:
    """Waits for a process to end, and kills it when its time is up.

    Returns:
        Its status; None where it was killed.
    """
    give_up = monotonic() + seconds + 1  # its traceback comes first
    try:
        while monotonic() < give_up:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return status
            sleep(POLL_S)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def place(report: str, folder: Path) -> str:
    """The file and line of `folder` that a report tells of; the folder where it tells of none."""
    found = [(name, line) for name, line in FRAME.findall(report) if is_inside(name, folder)]
    if not found:
        return str(folder)
    # faulthandler begins with the innermost call, a traceback ends with it.
    name, line = found[0] if "most recent call first" in report else found[-1]
    return f"{folder / Path(name).resolve().relative_to(folder.resolve())}:{line}"


def is_inside(file: str, folder: Path) -> bool:
    """Tells if `file` is in `folder`, or in a folder of it."""
    return Path(file).resolve().is_relative_to(folder.resolve())


def where_it_failed(folder: Path, error: BaseException) -> str:
    """Describes an error of code in a feature repository, with the file and line of it."""
    if isinstance(error, SyntaxError):
        said, at = f"{type(error).__name__}: {error.msg}", (error.filename, error.lineno)
    else:
        frames = traceback.extract_tb(error.__traceback__)
        inside = [(one.filename, one.lineno) for one in frames if is_inside(one.filename, folder)]
        said, at = reason(error), inside[-1] if inside else (None, None)
    file, line = at
    if file is None or not is_inside(file, folder):
        return said
    name = Path(file).resolve().relative_to(folder.resolve())
    return f"{said} ({name}:{line})" if line else f"{said} ({name})"
