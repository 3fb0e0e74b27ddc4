"""Reads files of the lake on executors, by Arrow and fsspec: no kind of URL needs a jar."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

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
    """Parts of a table's files to read, and columns; it goes to the executors, without a secret."""

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
        for batch in self.meant(split, [one.column for one in self.columns if one.column]):
            has = set(batch.schema.names)
            columns = [
                batch.column(one.column).cast(one.stored).cast(one.type)
                if one.column in has
                else pa.nulls(batch.num_rows, one.type)
                for one in self.columns
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def meant(self, split: Split, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Columns of the rows of a split that are meant; of a file that lacks one, without it."""
        wanted = [*columns, self.created] if split.since else columns
        with fsspec.open(split.location, "rb") as opened, pq.ParquetFile(opened) as file:
            has = file.schema_arrow.names
            if split.since and self.created not in has:
                return
            for batch in file.iter_batches(
                BATCH_ROWS,
                row_groups=self.groups(file, split),
                columns=[one for one in dict.fromkeys(wanted) if one in has],
                use_threads=False,
            ):
                if split.since:
                    since = pa.scalar(split.since, CREATED)
                    batch = batch.filter(pc.greater(batch.column(self.created), since))
                if batch.num_rows:
                    yield batch

    def groups(self, file: pq.ParquetFile, split: Split) -> list[int]:
        """The groups of rows of a file that a split has, but for those without a row that is meant.

        Statistics of a group tell when the last of its rows was loaded.
        """
        count, names = file.num_row_groups, file.schema_arrow.names
        first, end = (count * part // split.parts for part in (split.part, split.part + 1))
        if not split.since:
            return list(range(first, end))
        column = names.index(self.created)
        found = []
        for group in range(first, end):
            statistics = file.metadata.row_group(group).column(column).statistics
            known = statistics is not None and statistics.has_min_max
            if not known or statistics.max > split.since:
                found.append(group)
        return found

    def counts(
        self, late_since: datetime, passed: datetime, numbers: Iterator[pa.RecordBatch]
    ) -> Iterator[pa.RecordBatch]:
        """Counts the rows of the splits, and those that came after their time was passed."""
        for split in self.named(numbers):
            read = late = 0
            with explained(split):
                for batch in self.meant(split, [self.created, TIME]):
                    read += batch.num_rows
                    if self.created in batch.schema.names:
                        after = pc.greater(
                            batch.column(self.created), pa.scalar(late_since, CREATED)
                        )
                        before = pc.less_equal(batch.column(TIME), pa.scalar(passed, CREATED))
                        late += pc.sum(pc.and_(after, before)).as_py() or 0
            yield pa.RecordBatch.from_pydict({"read": [read], "late": [late]}, COUNTS)


CREATED = pa.timestamp("us", "UTC")
COUNTS = pa.schema([("read", pa.int64()), ("late", pa.int64())])


def splits_of(location: str, size: int, since: datetime | None) -> list[Split]:
    """The splits of a file of so many bytes."""
    parts = -(-size // SPLIT_BYTES) or 1
    return [Split(location, part, parts, since) for part in range(parts)]


@contextmanager
def explained(split: Split) -> Iterator[None]:
    """Turns the errors of a file's reading into one that names the file."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        said = f"{split.location} cannot be read: {reason(error)}"
        raise StreamflowError(without_secrets(said)) from None
