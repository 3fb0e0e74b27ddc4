"""Provides temporary names for files until they are whole, and removes those of killed runs.

In a folder of this machine the first of a run's scratch files is locked while the run lives, so
that the next run knows which were abandoned and removes them. Where files cannot be locked (some
network file systems) they stay. Behind a URL an object appears only when it is whole; what a run
leaves that is killed between that and its renaming is for the bucket's lifecycle rule.
"""

import contextlib
import fcntl
import glob
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem

ANY_ENDING = "." + "[0-9a-f]" * 32 + ".tmp"


@contextlib.contextmanager
def scratch(files: Any, finals: Sequence[str], folder: bool = False) -> Iterator[list[str]]:
    """Yields a temporary name beside each of `finals`; removes files left under these at the end.

    Removes first what killed runs left. All but the first may be written inside `alone` only,
    since nothing else tells them from abandoned ones.

    Args:
        files: an fsspec file system.
        finals: paths on it, all in one folder, which exists.
        folder: the first is a folder, which is made.
    """
    ending = f".{uuid.uuid4().hex}.tmp"
    names = [final + ending for final in finals]
    with contextlib.ExitStack() as held:
        held.callback(remove, files, names)
        with alone(files, finals[0]) as can_lock:
            if can_lock:
                for final in finals:
                    remove_abandoned(Path(final))
                if folder:
                    os.mkdir(names[0])
                flags = os.O_RDONLY if folder else os.O_RDWR | os.O_CREAT
                held.callback(os.close, locked(names[0], flags))
            elif folder:
                files.makedirs(names[0], exist_ok=True)
        yield names


@contextlib.contextmanager
def alone(files: Any, path: str) -> Iterator[bool]:
    """Keeps other runs from renaming or removing files in `path`'s folder; False if it cannot."""
    handle = None
    if isinstance(files, LocalFileSystem):
        with contextlib.suppress(OSError):
            handle = locked(os.path.dirname(path), os.O_RDONLY, wait=True)
    try:
        yield handle is not None
    finally:
        if handle is not None:
            os.close(handle)


def locked(path: str, flags: int, wait: bool = False) -> int:
    """Opens a file or folder and holds its lock.

    Raises:
        BlockingIOError: somebody else holds it, and `wait` is False.
        OSError: it cannot be opened or locked.
    """
    handle = os.open(path, flags, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle


def remove_abandoned(final: Path) -> None:
    """Removes the scratch files and folders of `final` that nobody holds."""
    for path in final.parent.glob(glob.escape(final.name) + ANY_ENDING):
        with contextlib.suppress(OSError):  # held by a living run, or another user's
            os.close(locked(str(path), os.O_RDONLY if path.is_dir() else os.O_RDWR))
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def remove(files: Any, names: Sequence[str]) -> None:
    """Removes those of the files and folders that are there."""
    for name in names:
        if files.exists(name):
            files.rm(name, recursive=files.isdir(name))
