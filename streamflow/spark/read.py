"""Reads files of the lake on executors, by Arrow and fsspec: no kind of URL needs a jar."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyarrow.fs import FSSpecHandler, PyFileSystem

from streamflow.errors import StreamflowError, reason
from streamflow.offline.arrow import BATCH_ROWS
from streamflow.snapshots import TIME
from streamflow.visible_text import without_secrets

SPLIT_BYTES = 8 * 2**20
"""Of a larger file, several tasks read a part each."""


class Split(NamedTuple):
    """A part of a month's file, and which of its rows are meant."""

    location: str
    part: int
    """Its number, from 0."""
    parts: int
    since: datetime | None
    """The rows that were loaded after it are meant; None for all."""


class Taken(NamedTuple):
    """A column of a file, and what becomes of it."""

    column: str
    """Empty where there is none, so that the value is null."""
    name: str
    stored: pa.DataType
    """Its type in the file."""
    type: pa.DataType
    """The type of the value, as which it is cast."""


@dataclass(frozen=True)
class Reading:
    """What is read of a table's files; it goes to the executors, and names no secret."""

    splits: Sequence[Split]
    columns: Sequence[Taken]
    created: str
    """The column of the time of loading; empty for none."""

    @property
    def schema(self) -> pa.Schema:
        """The columns of the rows."""
        return pa.schema([(one.name, one.type) for one in self.columns])

    def rows(self, numbers: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The rows of the splits of these numbers."""
        for split in self.named(numbers):
            with explained(split):
                yield from self.of_split(split)

    def named(self, numbers: Iterator[pa.RecordBatch]) -> Iterator[Split]:
        """The splits that a partition of `spark.range` names."""
        for batch in numbers:
            for number in batch.column(0).to_pylist():
                yield self.splits[number]

    def of_split(self, split: Split) -> Iterator[pa.RecordBatch]:
        """The rows of one split."""
        stored = {one.column: one.stored for one in self.columns if one.column}
        fragment = fragment_of(split)
        batches = fragment.to_batches(
            schema=pa.schema(stored.items()),  # a column that the file lacks is null
            columns=list(stored),
            filter=self.meant(split),
            batch_size=BATCH_ROWS,
            use_threads=False,
        )
        for batch in batches:
            if batch.num_rows:
                columns = [
                    batch.column(one.column).cast(one.type)
                    if one.column
                    else pa.nulls(batch.num_rows, one.type)
                    for one in self.columns
                ]
                yield pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def meant(self, split: Split) -> pc.Expression | None:
        """The condition for a row that is meant; None for all."""
        if split.since is None:
            return None
        return pc.field(self.created) > pa.scalar(split.since, CREATED)

    def counts(
        self, late_since: datetime, passed: datetime, numbers: Iterator[pa.RecordBatch]
    ) -> Iterator[pa.RecordBatch]:
        """Counts the rows of the splits, and those that came after their time was passed."""
        times = pa.schema([(self.created, CREATED), (TIME, CREATED)])
        late = (pc.field(self.created) > pa.scalar(late_since, CREATED)) & (
            pc.field(TIME) <= pa.scalar(passed, CREATED)
        )
        for split in self.named(numbers):
            with explained(split):
                fragment, meant = fragment_of(split), self.meant(split)
                both = late if meant is None else meant & late
                read, came_late = (
                    fragment.scanner(schema=times, filter=one, use_threads=False).count_rows()
                    for one in (meant, both)
                )
                yield pa.RecordBatch.from_pydict({"read": [read], "late": [came_late]}, COUNTS)


CREATED = pa.timestamp("us", "UTC")
COUNTS = pa.schema([("read", pa.int64()), ("late", pa.int64())])


def splits_of(location: str, size: int, since: datetime | None) -> list[Split]:
    """The splits of a file of so many bytes."""
    parts = -(-size // SPLIT_BYTES) or 1
    return [Split(location, part, parts, since) for part in range(parts)]


def fragment_of(split: Split) -> ds.ParquetFileFragment:
    """The groups of rows of a file that a split has."""
    files, path = fsspec.core.url_to_fs(split.location)
    whole = ds.ParquetFileFormat().make_fragment(path, PyFileSystem(FSSpecHandler(files)))
    groups = whole.num_row_groups
    first, end = (groups * part // split.parts for part in (split.part, split.part + 1))
    return whole.subset(row_group_ids=list(range(first, end)))


@contextmanager
def explained(split: Split) -> Iterator[None]:
    """Turns the errors of a file's reading into one that names the file."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        said = f"{split.location} cannot be read: {reason(error)}"
        raise StreamflowError(without_secrets(said)) from None
