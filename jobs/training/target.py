"""A training set's place: its data, hashed as they are written, and the manifest beside them."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import IO, Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from jobs.run.urls import url_error, without_secrets
from jobs.training.forms import Form, Open, form_of
from jobs.training.manifest import Manifest
from jobs.training.scratch import alone, scratch
from streamflow.errors import ConfigurationError, VerificationFailed
from streamflow.sources.written_sql import is_query
from streamflow.visible_text import quoted

BLOCK = 2**20


class Target:
    """A training set's place: a path or fsspec URL, with the manifest beside it."""

    def __init__(self, out: str) -> None:
        try:
            self.files, self.path = fsspec.core.url_to_fs(out)
        except (ImportError, ValueError, OSError) as error:
            raise ConfigurationError(without_secrets(f"--out {out}: {error}")) from None
        self.out = without_secrets(out)
        self.path = self.path.rstrip("/") or self.path
        self.manifest = f"{self.path}.manifest.json"

    def form(self, rows_per_file: int = 0) -> Form:
        """The form that the name asks for; see `form_of`."""
        return form_of(self.out, self.path, rows_per_file)

    def place(self, form: Form, fill: Callable[[Open], Manifest]) -> Manifest:
        """Writes data and manifest under temporary names and renames them when whole.

        The manifest comes last. Two runs at once leave the files of one of them. A folder is
        exchanged by two renames, between which it is not there.

        Args:
            fill: writes the data and says what they are.

        Raises:
            ConfigurationError: files can only be read there, or something else is there.
            StreamflowError: they cannot be written now.
        """
        folder = bool(form.rows_per_file)
        try:
            self.require_free(folder)
            self.files.makedirs(self.files._parent(self.path), exist_ok=True)
            with scratch(self.files, (self.path, self.manifest), folder) as (data, described):
                manifest = fill(partial(self.opened, data))
                with alone(self.files, self.path):
                    self.files.pipe_file(described, manifest.text())
                    if folder:
                        self.exchange(data)
                    else:
                        self.files.mv(data, self.path)
                    self.files.mv(described, self.manifest)
        # Not a left-over: fsspec raises it for file systems that can only be read, such as http://.
        except NotImplementedError:
            raise ConfigurationError(f"--out {self.out}: can only be read") from None
        except OSError as error:
            raise url_error(f"{self.out} cannot be written", error) from None
        return manifest

    def exchange(self, data: str) -> None:
        """Puts a folder in the place of the one that is there, which stays if that fails."""
        before = f"{data}.old"
        there = self.files.exists(self.path)
        if there:
            self.files.mv(self.path, before, recursive=True)
        try:
            self.files.mv(data, self.path, recursive=True)
        except BaseException:
            if there:
                self.files.mv(before, self.path, recursive=True)
            raise
        if there:
            self.files.rm(before, recursive=True)

    @contextmanager
    def opened(self, data: str, name: str) -> Iterator[IO[bytes]]:
        """Opens a file to write: `data` itself, or of that name within it."""
        with self.files.open(f"{data}/{name}" if name else data, "wb") as file:
            yield file

    def require_free(self, folder: bool) -> None:
        """Refuses to write over something else than a training set.

        Raises:
            ConfigurationError: a folder is where a file is to be, or the other way round, or one
                with files that are of no training set.
        """
        if not folder:
            if isinstance(self.files, LocalFileSystem) and self.files.isdir(self.path):
                raise ConfigurationError(f"--out {self.out}: cannot be written, is a folder")
            return
        if self.files.isfile(self.path):
            raise ConfigurationError(
                f"--out {self.out}: cannot be written, is a file; --rows-per-file makes a folder"
            )
        if not self.files.isdir(self.path):
            return
        found = {self.name_of(one) for one in self.files.find(self.path)}
        try:
            own = {one["name"] for one in self.description().files}
        except ConfigurationError:
            own = set()
        if more := sorted(found - own):
            raise ConfigurationError(
                f"--out {self.out}: the folder has {quoted(more[0])}, which is of no training set;"
                " name another folder"
            )

    def require_other_than(self, entities: str) -> None:
        """Refuses to write over the file that a training set is made of.

        Raises:
            ConfigurationError: it is that file, by whatever name.
        """
        if is_query(entities):
            return
        try:
            files, path = fsspec.core.url_to_fs(entities)
        except (ImportError, ValueError, OSError):  # which reading it says better
            return
        same = type(files) is type(self.files) and path == self.path
        if isinstance(self.files, LocalFileSystem) and isinstance(files, LocalFileSystem):
            same = os.path.realpath(path) == os.path.realpath(self.path)
        if same:
            raise ConfigurationError(
                f"--out {self.out}: is the file of --entities, which would be written over"
            )

    def name_of(self, file: str) -> str:
        """The name of a file of the folder."""
        return file[len(self.path) :].lstrip("/")

    def size(self) -> int:
        """The bytes of the data."""
        return int(self.files.du(self.path))

    def described(self) -> tuple[str, Manifest]:
        """Hashes the data as they are now; returns their sha256 and the manifest.

        Raises:
            ConfigurationError: they are not a training set.
            VerificationFailed: a file of the folder is missing, or one too many.
        """
        if not self.files.isdir(self.path):
            return self.hashed([self.path]), self.description()
        manifest = self.description()
        names = [one["name"] for one in manifest.files]
        found = {self.name_of(one) for one in self.files.find(self.path)}
        if other := sorted(found.symmetric_difference(names)):
            how = "is not in the manifest" if other[0] in found else "is missing"
            raise VerificationFailed(f"{self.out}: file {quoted(other[0])} {how}")
        return self.hashed(self.paths(manifest)), manifest

    def paths(self, manifest: Manifest) -> list[str]:
        """The files of the data, in order."""
        return [f"{self.path}/{one['name']}" for one in manifest.files] or [self.path]

    def hashed(self, paths: Sequence[str]) -> str:
        """The sha256 of files, one after the other.

        Raises:
            ConfigurationError: one cannot be read.
        """
        whole = hashlib.sha256()
        try:
            for path in paths:
                with self.files.open(path, "rb") as file:
                    while block := file.read(BLOCK):
                        whole.update(block)
        except Exception as error:  # each kind of file system has errors of its own
            raise self.none_there(error) from None
        return whole.hexdigest()

    def description(self) -> Manifest:
        """Reads the manifest of a training set.

        Raises:
            ConfigurationError: none is.
        """
        try:
            if not self.files.exists(self.path):
                raise FileNotFoundError(self.path)
            text: Any = json.loads(self.files.cat_file(self.manifest))
            return Manifest(**text)
        except Exception as error:  # each kind of file system has errors of its own
            raise self.none_there(error) from None

    def none_there(self, error: Exception) -> ConfigurationError:
        """Makes the error that says why no training set can be read here."""
        if isinstance(error, FileNotFoundError):
            said = f"{quoted(self.out)}: no training set there ({error})"
            return ConfigurationError(without_secrets(said))
        return ConfigurationError(without_secrets(f"{self.out}: no readable training set: {error}"))
