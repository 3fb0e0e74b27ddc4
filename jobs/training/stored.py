"""The rows of a training set as they were stored, in batches."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.training.forms import KEY, Facts, Form
from jobs.training.join import columns
from jobs.training.manifest import Manifest
from jobs.training.target import Target
from streamflow.catalog.contract import Contract
from streamflow.offline.features import feature_fields
from streamflow.offline.spine import csv_files
from streamflow.offline.spine.split import SPLIT

TIMESTAMP = re.compile(r"timestamp\[(s|ms|us|ns)(?:, tz=(.+))?\]")
DECIMAL = re.compile(r"(decimal\d+)\((\d+), (-?\d+)\)")


@dataclass(frozen=True)
class Stored:
    """The data of a training set at its place."""

    target: Target
    manifest: Manifest
    form: Form
    contract: Contract

    def facts(self) -> Facts | None:
        """Reads what the data say of themselves; None for CSV, and where an earlier version wrote.

        Of several files, the first one's.
        """
        if self.form.is_csv:
            return None
        with self.parquet(self.target.paths(self.manifest)[0]) as data:
            text = (data.metadata.metadata or {}).get(KEY.encode())
        return None if text is None else json.loads(text)

    @contextmanager
    def parquet(self, path: str) -> Iterator[pq.ParquetFile]:
        """Opens a Parquet file, to be read in batches."""
        with self.file(path) as file, pq.ParquetFile(file, pre_buffer=False) as data:
            yield data

    @contextmanager
    def file(self, path: str) -> Iterator[IO[bytes]]:
        """Opens a file of the data."""
        with self.target.files.open(path, "rb") as file:
            yield file

    def schema(self) -> pa.Schema:
        """The columns; of CSV as the manifest has them."""
        if not self.form.is_csv:
            with self.parquet(self.target.paths(self.manifest)[0]) as data:
                return plain(data.schema_arrow)
        split = [pa.field(SPLIT, pa.string())] if self.manifest.split else []
        if self.manifest.as_of:
            return pa.schema([*columns(self.contract), *split])
        spine = [
            pa.field(one["name"], type_named(one["type"])) for one in self.manifest.spine["columns"]
        ]
        return pa.schema([*spine, *feature_fields(self.contract), *split])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows in their order."""
        if self.form.is_csv:
            yield from csv_files.batches(lambda: self.file(self.target.path), self.schema())
            return
        for path in self.target.paths(self.manifest):
            with self.parquet(path) as data:
                for batch in data.iter_batches():
                    yield pa.RecordBatch.from_arrays(batch.columns, schema=plain(batch.schema))

    def groups(self) -> list[int]:
        """The rows of each row group of Parquet, in order; none for CSV."""
        found: list[int] = []
        if self.form.is_csv:
            return found
        for path in self.target.paths(self.manifest):
            with self.parquet(path) as data:
                groups = range(data.num_row_groups)
                found += [data.metadata.row_group(at).num_rows for at in groups]
        return found


def plain(schema: pa.Schema) -> pa.Schema:
    """The columns without notes of a file on them."""
    return pa.schema([pa.field(one.name, one.type) for one in schema])


def type_named(name: str) -> pa.DataType:
    """The Arrow type of a name, e.g. `int64`, `timestamp[us, tz=UTC]`, `decimal128(10, 2)`.

    Raises:
        ValueError: there is none.
    """
    if found := TIMESTAMP.fullmatch(name):
        return pa.timestamp(found[1], found[2])
    if found := DECIMAL.fullmatch(name):
        make: Any = getattr(pa, found[1])
        return make(int(found[2]), int(found[3]))
    return pa.type_for_alias(name)
