"""Stores dumps of pg_dump as named folders with checksums at a path or URL, and reads them back.

A backup is the folder PREFIX-TIME with WHAT.dump for each database, SHA256SUMS as `sha256sum
--check` reads it, and manifest.json. It is put together under a name that begins with a dot and
renamed when it is whole; where a folder cannot be renamed, as in S3, the manifest comes last,
and a folder without one is no backup.
"""

import logging
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from jobs.backup.manifest import Manifest, describe, parse
from jobs.run.urls import url_error, without_secrets
from streamflow.errors import ConfigurationError, StreamflowError, VerificationFailed
from streamflow.visible_text import quoted

log = logging.getLogger(__name__)

MANIFEST, SUMS = "manifest.json", "SHA256SUMS"
PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
NAME = re.compile(rf"(?P<prefix>{PREFIX.pattern})-\d{{8}}T\d{{6}}Z")
LATEST = "latest"


class Place:
    """The place of backups: a folder, or an fsspec URL of one.

    Raises:
        ConfigurationError: no such kind of URL.
    """

    def __init__(self, url: str) -> None:
        try:
            self.files, path = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError, OSError) as error:
            raise ConfigurationError(without_secrets(f"{url}: {error}")) from None
        self.url, self.path = without_secrets(url), path.rstrip("/")
        self.is_local = isinstance(self.files, LocalFileSystem)

    @contextmanager
    def errors_explained(self, what: str) -> Iterator[None]:
        """Raises StreamflowError in place of the errors of any kind of file system."""
        try:
            yield
        except StreamflowError:
            raise
        except Exception as error:  # each kind of file system has errors of its own
            raise url_error(f"{self.url} cannot be {what}", error) from None

    def names(self, prefix: str = "") -> list[str]:
        """The names of the backups, oldest first; those of all prefixes if none is given."""
        with self.errors_explained("read"):
            self.files.invalidate_cache()
            try:  # `exists` would be False for a server that does not answer, too
                found = self.files.ls(self.path, False)
            except FileNotFoundError:
                return []
            listed = [one.rstrip("/").rsplit("/", 1)[-1] for one in found]
            named = [match for one in listed if (match := NAME.fullmatch(one))]
            return sorted(
                (one[0] for one in named if prefix in ("", one["prefix"]) and self.has(one[0])),
                key=lambda name: (name[-16:], name),
            )

    def has(self, name: str) -> bool:
        """True if there is a complete backup of this name."""
        return bool(self.files.exists(f"{self.path}/{name}/{MANIFEST}"))

    def add(self, work: Path, manifest: Manifest) -> None:
        """Stores the dumps in the folder `work` as the backup that `manifest` describes.

        A folder beside the backups is renamed, any other is copied first.

        Raises:
            StreamflowError: it cannot be written, or there is a backup of that name; what was
                written is removed again.
        """
        final = f"{self.path}/{manifest.name}"
        with self.errors_explained("written"):
            if self.files.exists(final):
                raise StreamflowError(f"{self.url}: {manifest.name} is there already")
            complete(work, manifest)
            if self.is_local and work.resolve().parent == Path(self.path).resolve():
                work.rename(final)
                sync(Path(self.path))
                return
            self.copy(work, final, [*(one.file for one in manifest.databases), SUMS, MANIFEST])
            shutil.rmtree(work)

    def copy(self, work: Path, final: str, names: list[str]) -> None:
        """Copies files to a scratch folder and from there to `final`, in this order."""
        scratch = f"{self.path}/.{uuid.uuid4().hex}.tmp"
        try:
            self.files.makedirs(scratch, exist_ok=True)
            for name in names:
                self.files.put_file(str(work / name), f"{scratch}/{name}")
            if self.is_local:
                for name in names:
                    sync(Path(scratch) / name)
                Path(scratch).rename(final)
                return
            self.files.makedirs(final, exist_ok=True)
            for name in names:
                self.files.mv(f"{scratch}/{name}", f"{final}/{name}")
        finally:
            if self.files.exists(scratch):
                self.files.rm(scratch, recursive=True)

    def prune(self, prefix: str, keep: int) -> list[str]:
        """Removes all but the newest `keep` backups with this prefix; returns the removed names."""
        with self.errors_explained("tidied"):
            gone = self.names(prefix)[:-keep]
            for name in gone:
                # Without its manifest it is no backup, should the rest of the removal not happen.
                self.files.rm_file(f"{self.path}/{name}/{MANIFEST}")
                self.files.rm(f"{self.path}/{name}", recursive=True)
        return gone

    def find(self, name: str, prefix: str) -> Manifest:
        """The manifest of the backup `name`, or of the newest one with this prefix for `latest`.

        Raises:
            ConfigurationError: there is no such backup; says which there are.
        """
        known = self.names()
        if name == LATEST:
            known = self.names(prefix)
            name = known[-1] if known else name
        if name not in known:
            raise ConfigurationError(
                f"{self.url}: no backup {quoted(name)}; there are: {', '.join(known) or 'none'}"
            )
        with self.errors_explained("read"):
            return parse(self.files.cat_file(f"{self.path}/{name}/{MANIFEST}"))

    def fetch(self, manifest: Manifest, into: Path) -> dict[str, Path]:
        """The dumps of a backup as files of this machine, their checksums verified.

        What is behind a URL is downloaded to the folder `into`, what is here stays where it is.

        Raises:
            VerificationFailed: a file is not the one that the manifest describes.
        """
        found = {}
        for one in manifest.databases:
            path = f"{self.path}/{manifest.name}/{one.file}"
            local = Path(path)
            with self.errors_explained("read"):
                if not self.is_local:
                    local = into / one.file
                    self.files.get_file(path, str(local))
                with local.open("rb") as file:
                    digest = file_digest(file, "sha256").hexdigest()
            if digest != one.sha256:
                raise VerificationFailed(
                    f"{manifest.name}/{one.file}: not the file its manifest describes "
                    f"(sha256 {digest[:12]}…, manifest {one.sha256[:12]}…)"
                )
            found[one.what] = local
        return found

    def read(self, name: str) -> bytes | None:
        """The content of a file beside the backups; None where there is none.

        Raises:
            StreamflowError: the place cannot be read.
        """
        with self.errors_explained("read"):
            self.files.invalidate_cache()
            try:
                return bytes(self.files.cat_file(f"{self.path}/{name}"))
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """Writes a file beside the backups, whole or not at all.

        Raises:
            StreamflowError: the place cannot be written.
        """
        scratch = f"{self.path}/.{uuid.uuid4().hex}.tmp"
        with self.errors_explained("written"):
            self.files.makedirs(self.path, exist_ok=True)
            self.files.pipe_file(scratch, content)
            if self.is_local:
                sync(Path(scratch))
            self.files.mv(scratch, f"{self.path}/{name}")

    def probe(self) -> None:
        """Writes a file, reads it back and removes it.

        Raises:
            StreamflowError: one of these cannot be done.
        """
        path, content = f"{self.path}/.{uuid.uuid4().hex}.tmp", uuid.uuid4().bytes
        with self.errors_explained("written"):
            self.files.makedirs(self.path, exist_ok=True)
            self.files.pipe_file(path, content)
            if self.files.cat_file(path) != content:
                raise StreamflowError(f"{self.url}: what was written is not what is read")
            self.files.rm_file(path)


def complete(work: Path, manifest: Manifest) -> None:
    """Adds checksums and manifest to the dumps in `work` and flushes all of them to the disk."""
    for facts in work.glob("*.facts"):
        facts.unlink()
    (work / SUMS).write_bytes(manifest.sums())
    (work / MANIFEST).write_bytes(manifest.text())
    for path in (*work.iterdir(), work):
        sync(path)


def sync(path: Path) -> None:
    """Flushes a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def store(work: Path, to: str, prefix: str, keep: int) -> Manifest:
    """Stores the dumps in the folder `work` as a backup at `to`; removes all but the newest `keep`.

    One of a database without data removes none: after a loss the good ones have to stay.

    Raises:
        StreamflowError: it cannot be stored (nothing of it stays), or older ones cannot be removed.
    """
    place = Place(to)
    manifest = describe(work, prefix)
    place.add(work, manifest)
    log.info("backup stored", extra={"backup": manifest.name, "bytes": manifest.bytes})
    if not manifest.has_data:
        log.warning("no data in this backup, so that older ones stay", extra={"place": place.url})
        return manifest
    for gone in place.prune(prefix, keep):
        log.info("backup removed", extra={"backup": gone})
    return manifest
