"""API keys as a folder has them: names, hashes, and the feature services that each is for.

The folder is a mounted Secret. A file is a key: its name the key's, each line the SHA-256 of a key
as 64 hex digits, then the feature services it is for; none are all. Several lines are several
keys of one name, the old and the new one while a caller changes over.
"""

import re
from pathlib import Path
from typing import NamedTuple

from streamflow.errors import ConfigurationError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""A name that may stand in a log line and in a metric as it is."""
DIGEST = re.compile(r"[0-9A-Fa-f]{64}")
SERVICE = re.compile(r"\w[\w.-]*", re.ASCII)
MOUNTED_VERSION = "..data"
"""The link that the kubelet sets anew when the Secret has changed, all files at once."""


class Key(NamedTuple):
    """An API key as the folder has it: its hash, not the key itself."""

    name: str
    digest: bytes
    services: frozenset[str]
    """Feature services that it may ask for; empty for all."""


def read(folder: Path, variable: str) -> tuple[Key, ...]:
    """The keys of `folder`, in the order of their names.

    Args:
        variable: names the folder, for errors.

    Raises:
        ConfigurationError: there is no key, or a file cannot be read; names the file and the
            line, and repeats nothing that is in it.
    """
    found: dict[bytes, Key] = {}
    for name, text in read_texts(folder, variable):
        where = f"{variable}: {folder / name}"
        if not NAME.fullmatch(name):
            raise ConfigurationError(
                f"{where}: is no key's name: up to 63 of a-z, A-Z, 0-9, '.', '_', '-'"
            )
        keys = [key_of(name, line, where, at) for at, line in enumerate(text.split("\n"), 1)]
        some = [key for key in keys if key is not None]
        if not some:
            raise ConfigurationError(f"{where}: has no key")
        for key in some:
            other = found.setdefault(key.digest, key)
            if other is not key:
                raise ConfigurationError(f"{where}: has a key of {other.name} again")
    if not found:
        raise ConfigurationError(f"{variable}: {folder} has no key")
    return tuple(found.values())


def read_texts(folder: Path, variable: str) -> list[tuple[str, str]]:
    """Names and texts of the files whose names do not begin with a dot.

    Raises:
        ConfigurationError: one cannot be read.
    """
    here, name = folder, ""
    try:
        if (folder / MOUNTED_VERSION).exists():
            # All files of one version, also while the kubelet exchanges it.
            here = (folder / MOUNTED_VERSION).resolve()
        names = sorted(one.name for one in here.iterdir() if not one.name.startswith("."))
        found = []
        for name in names:
            found.append((name, (here / name).read_text("ascii")))
        return found
    except UnicodeDecodeError:
        raise ConfigurationError(f"{variable}: {folder / name}: is not plain text") from None
    except OSError as error:
        raise ConfigurationError(f"{variable}: {folder / name}: {error.strerror}") from None


def key_of(name: str, line: str, where: str, at: int) -> Key | None:
    """The key of a line, None for an empty one; raises ConfigurationError."""
    digest, *services = line.split() or [""]
    if not digest:
        return None
    if not DIGEST.fullmatch(digest):
        raise ConfigurationError(
            f"{where}: line {at} does not begin with a SHA-256, 64 hex digits as "
            "`streamflow api-key` prints them"
        )
    if not all(SERVICE.fullmatch(one) for one in services):
        raise ConfigurationError(
            f"{where}: line {at} goes on with something else than names of feature services"
        )
    return Key(name, bytes.fromhex(digest), frozenset(services))
