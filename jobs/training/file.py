"""Writes and reads a training set's files: Parquet, hashed as it is written, and its manifest."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import IO, Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from jobs.run.urls import url_error, without_secrets
from jobs.training.scratch import alone, scratch
from streamflow.errors import ConfigurationError
from streamflow.visible_text import quoted

BLOCK = 2**20
KEY = "streamflow"
"""The key in a Parquet file's own metadata under which it describes itself, as JSON."""
Facts = dict[str, Any]


@dataclass(frozen=True)
class Manifest:
    """The description of a training set, in a JSON file beside it."""

    service: str
    contract: str
    """Hash of the service's ordered features; the API answers with the same one."""
    as_of: str
    rows: int
    features: list[dict[str, str]]
    """In column order: view, name, type, description."""
    label: str
    null_counts: dict[str, int]
    sha256: str
    """The hash of the Parquet file's bytes."""
    versions: dict[str, str]
    definitions: str = ""
    """Hash of the definitions behind the features; empty if an earlier version wrote this."""

    def text(self) -> bytes:
        """The manifest as the bytes of its file."""
        return (json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n").encode()


class Sink:
    """A file to write to that hashes what goes through; without a file it only hashes."""

    closed = False

    def __init__(self, file: IO[bytes] | None = None) -> None:
        self.file = file
        self.hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        """Hashes the next bytes and passes them on."""
        self.hash.update(data)
        self.size += len(data)
        if self.file is not None:
            self.file.write(data)
        return len(data)

    def tell(self) -> int:
        """The number of bytes so far."""
        return self.size

    def flush(self) -> None:
        """Does nothing, since no bytes are held back."""

    def close(self) -> None:
        """Does nothing, since the file belongs to whoever opened it."""


@dataclass(frozen=True)
class Written:
    """The result of writing a Parquet file."""

    rows: int
    null_counts: dict[str, int]
    sha256: str
    bytes: int


def write(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, sink: Sink, facts: Facts | None = None
) -> Written:
    """Writes batches as Parquet, each a row group: the same bytes for the same batches and facts.

    Holds one batch at a time.

    Args:
        facts: what the file says of itself, so that it can be told without its manifest.
    """
    rows, nulls = 0, Counter[str]()
    with pq.ParquetWriter(sink, schema, compression="zstd", store_schema=False) as writer:
        for batch in batches:
            rows += batch.num_rows
            for name, column in zip(schema.names, batch.columns, strict=True):
                nulls[name] += column.null_count
            writer.write_batch(batch)
        if facts is not None:
            writer.add_key_value_metadata({KEY: json.dumps(facts)})
    counts = {name: nulls[name] for name in schema.names}
    return Written(rows, counts, sink.hash.hexdigest(), sink.size)


class Target:
    """A training set's place: a path or fsspec URL, with the manifest beside it."""

    def __init__(self, out: str) -> None:
        try:
            self.files, self.path = fsspec.core.url_to_fs(out)
        except (ImportError, ValueError, OSError) as error:
            raise ConfigurationError(without_secrets(f"--out {out}: {error}")) from None
        self.out = without_secrets(out)
        self.manifest = f"{self.path}.manifest.json"

    def require_parquet(self) -> None:
        """Refuses a name that says that the file is something else than Parquet.

        Raises:
            ConfigurationError: it says something else, or is a folder's.
        """
        if self.out.endswith("/"):
            raise ConfigurationError(f"--out {self.out}: let the name be a file's")
        suffix = PurePosixPath(self.path.partition("?")[0]).suffix
        if suffix.lower() not in ("", ".parquet"):
            raise ConfigurationError(
                f"--out {self.out}: a training set is Parquet; let the name end in .parquet"
            )

    def place(self, fill: Callable[[Sink], Manifest]) -> Manifest:
        """Writes both files under temporary names and renames them when whole, the manifest last.

        Two runs at once leave the files of one of them.

        Args:
            fill: writes the data and says what it is.

        Raises:
            ConfigurationError: files can only be read there.
            StreamflowError: they cannot be written now.
        """
        try:
            if isinstance(self.files, LocalFileSystem) and self.files.isdir(self.path):
                raise ConfigurationError(f"--out {self.out}: cannot be written, is a folder")
            self.files.makedirs(self.files._parent(self.path), exist_ok=True)
            with scratch(self.files, (self.path, self.manifest)) as (data, described):
                with self.files.open(data, "wb") as file:
                    manifest = fill(Sink(file))
                with alone(self.files, self.path):
                    self.files.pipe_file(described, manifest.text())
                    self.files.mv(data, self.path)
                    self.files.mv(described, self.manifest)
        # Not a left-over: fsspec raises it for file systems that can only be read, such as http://.
        except NotImplementedError:
            raise ConfigurationError(f"--out {self.out}: can only be read") from None
        except OSError as error:
            raise url_error(f"{self.out} cannot be written", error) from None
        return manifest

    def size(self) -> int:
        """The bytes of the data."""
        return int(self.files.size(self.path))

    def described(self) -> tuple[str, Manifest]:
        """Hashes the data as it is now; returns its sha256 and the manifest.

        Raises:
            ConfigurationError: they are not a training set.
        """
        try:
            with self.files.open(self.path, "rb") as file:
                sink = Sink()
                while block := file.read(BLOCK):
                    sink.write(block)
        except Exception as error:  # each kind of file system has errors of its own
            raise self.none_there(error) from None
        return sink.hash.hexdigest(), self.description()

    def description(self) -> Manifest:
        """Reads the manifest of a training set.

        Raises:
            ConfigurationError: none is.
        """
        try:
            self.files.size(self.path)
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

    def facts(self) -> Facts | None:
        """Reads the data's own description of itself; None if an earlier version wrote it."""
        with self.data() as data:
            text = (data.metadata.metadata or {}).get(KEY.encode())
        return None if text is None else json.loads(text)

    @contextmanager
    def data(self) -> Iterator[pq.ParquetFile]:
        """Opens the data, to be read in batches."""
        with self.files.open(self.path, "rb") as file, pq.ParquetFile(file) as data:
            yield data
