"""API keys: reads a folder of them, and finds the owner of the key that a request has.

The folder is a mounted Secret. A file is a key: its name the key's, each line the SHA-256 of a key
as 64 hex digits, then the feature services it is for; none are all. Several lines are several
keys of one name, the old and the new one while a caller changes over. A key has 256 random bits,
so that nobody finds it by trying, and a slow hash, which a password needs, would add nothing.
"""

import re
from collections.abc import Iterable, Sequence
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import NamedTuple, TypeVar

from api.errors import Unauthorized
from streamflow.errors import ConfigurationError

VARIABLE = "STREAMFLOW_API_KEYS_DIR"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""A name that may stand in a log line and in a metric as it is."""
DIGEST = re.compile(r"[0-9A-Fa-f]{64}")
SERVICE = re.compile(r"\w[\w.-]*", re.ASCII)
MOUNTED_VERSION = "..data"
"""The link that the kubelet sets anew when the Secret has changed, all files at once."""
LONGEST = 256
"""Bytes of a header with a key; ours have 54."""

T = TypeVar("T")


class Key(NamedTuple):
    """An API key as the folder has it: its hash, not the key itself."""

    name: str
    digest: bytes
    services: frozenset[str]
    """Feature services that it may ask for; empty for all."""


def read(folder: Path) -> tuple[Key, ...]:
    """The keys of `folder`, in the order of their names.

    Raises:
        ConfigurationError: there is no key, or a file cannot be read; names the file and the
            line, and repeats nothing that is in it.
    """
    found: dict[bytes, Key] = {}
    for name, text in read_texts(folder):
        where = f"{VARIABLE}: {folder / name}"
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
        raise ConfigurationError(f"{VARIABLE}: {folder} has no key")
    return tuple(found.values())


def read_texts(folder: Path) -> list[tuple[str, str]]:
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
        raise ConfigurationError(f"{VARIABLE}: {folder / name}: is not plain text") from None
    except OSError as error:
        raise ConfigurationError(f"{VARIABLE}: {folder / name}: {error.strerror}") from None


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


def digest_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The digest of the key that a request has.

    Raises:
        Unauthorized: it has none, several, or something else.
    """
    given = [value for name, value in headers if name == b"authorization"]
    if not given:
        raise Unauthorized("a key is needed, as the header Authorization: Bearer KEY", False)
    scheme, _, token = given[0].partition(b" ")
    token = token.strip()
    if len(given) > 1 or scheme.lower() != b"bearer" or not token or len(given[0]) > LONGEST:
        raise Unauthorized("the header Authorization is not Bearer KEY", True)
    return sha256(token).digest()


def owner_of(digest: bytes, known: Sequence[tuple[bytes, T]]) -> T:
    """The owner of the key with `digest`; takes as long for any key, so that time tells nothing.

    Raises:
        Unauthorized: no key has it.
    """
    found = None
    for one, owner in known:
        if compare_digest(one, digest):
            found = owner
    if found is None:
        raise Unauthorized("the key is not known here", True)
    return found
