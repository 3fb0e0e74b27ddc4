"""Files of the lake, at a path or at any fsspec URL."""

import hashlib
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from pyiceberg.io.fsspec import FsspecFileIO

from streamflow.errors import ConfigurationError, StreamflowError
from streamflow.visible_text import without_secrets

BLOCK = 2**20
LOCAL = "file://"
"""Before the path of a file on this machine, which fsspec takes as it is: nothing is quoted."""
PATTERN = set("*?[]")


class AnyFiles(FsspecFileIO):
    """Iceberg's files, by whatever fsspec has for their URL: it knows a dozen kinds itself."""

    def _get_fs_from_uri(self, uri: Any, location: str = "") -> fsspec.AbstractFileSystem:
        found = fsspec.core.url_to_fs(location)[0]
        return LocalFileSystem(auto_mkdir=True) if isinstance(found, LocalFileSystem) else found


def warehouse(url: str) -> str:
    """The folder of the lake as Iceberg writes it down: a URL, without a slash at its end.

    Raises:
        ConfigurationError: no such kind of URL, or one that DuckDB would take for a pattern.
    """
    if wrong := sorted(PATTERN & set(url)):
        raise ConfigurationError(
            without_secrets(f"STREAMFLOW_LAKE_URL {url}: no name of a folder of the lake may have")
            + f" {' or '.join(wrong)}"
        )
    try:
        files, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError, OSError) as error:
        said = f"STREAMFLOW_LAKE_URL {url}: {error}"
        raise ConfigurationError(without_secrets(said)) from None
    if isinstance(files, LocalFileSystem):
        return f"{LOCAL}{Path(path).resolve()}"
    return url.rstrip("/")


def local_path(location: str) -> str:
    """The path of a file of the lake that is on this machine, the URL of any other."""
    return location.removeprefix(LOCAL)


def put(source: Path, location: str) -> None:
    """Copies a file to its place in the lake, under another name until it is whole.

    Raises:
        StreamflowError: it cannot be written.
    """
    try:
        files, path = fsspec.core.url_to_fs(location)
        files.makedirs(files._parent(path), exist_ok=True)
        if not isinstance(files, LocalFileSystem):
            files.put_file(str(source), path)  # an object is there whole, or not at all
            return
        files.put_file(str(source), f"{path}.part")
        files.mv(f"{path}.part", path)
    except Exception as error:  # each kind of file system has errors of its own
        raise unwritable(location, error) from None


def unwritable(location: str, error: Exception) -> StreamflowError:
    """The error of a lake that cannot be written; without its cause, which may show secrets."""
    said = f"the lake: {location} cannot be written: {error}"
    return StreamflowError(without_secrets(said))


def size(location: str) -> int | None:
    """The number of bytes of a file; None where there is none.

    Raises:
        StreamflowError: nobody says.
    """
    try:
        files, path = fsspec.core.url_to_fs(location)
        files.invalidate_cache()
        return int(files.info(path)["size"])
    except FileNotFoundError:
        return None
    except Exception as error:  # each kind of file system has errors of its own
        said = f"the lake: {location} cannot be read: {error}"
        raise StreamflowError(without_secrets(said)) from None


def sha256(location: str) -> str:
    """The hash of a file's bytes.

    Raises:
        StreamflowError: it cannot be read.
    """
    found = hashlib.sha256()
    try:
        with fsspec.open(location, "rb") as file:
            while block := file.read(BLOCK):
                found.update(block)
    except Exception as error:  # each kind of file system has errors of its own
        said = f"the lake: {location} cannot be read: {error}"
        raise StreamflowError(without_secrets(said)) from None
    return found.hexdigest()
