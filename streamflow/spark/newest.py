"""The rows of a view that a materialization means, and the newest of each user, by Spark.

A file has one instant, so that the window chooses files, and Iceberg's own counts are those of
their rows. Only the late rows before the window are looked for, by their time of loading.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as f
from pyspark.sql.pandas.types import from_arrow_schema

from streamflow.engine.source import Counted
from streamflow.lake.newest import Meant
from streamflow.lake.staged import CREATED
from streamflow.lake.table import LakeFile
from streamflow.lake.types import TYPES
from streamflow.snapshots import INSTANT, KEY, TIME
from streamflow.spark import read as reading
from streamflow.spark.read import Reading, Split, Taken, splits_of
from streamflow.spark.write import WRITTEN, Target, copy, write

MOST_PARTS = 10_000


class Files(NamedTuple):
    """The files of a view's table, by what is meant of them."""

    whole: list[LakeFile]
    """All of their rows."""
    late: list[LakeFile]
    """Those rows that came since the view was materialized."""
    ahead: int
    """The rows of all others that are too far ahead."""

    @classmethod
    def of(cls, meant: Meant, files: Sequence[LakeFile]) -> "Files":
        """Chooses the files of a version."""
        window = meant.window
        last = min(window.end, window.limit)
        before = [one for one in files if one.instant < window.start and one.instant <= last]
        return cls(
            [one for one in files if window.start <= one.instant <= last],
            before if window.seen_at and meant.view.created else [],
            sum(one.rows for one in files if one.instant > window.limit),
        )


@dataclass(frozen=True)
class Newest:
    """The rows of a view that are meant, over the files of one version."""

    meant: Meant
    files: Files

    @property
    def reading(self) -> Reading:
        """The parts of files that are read, and the columns of them."""
        window, view = self.meant.window, self.meant.view
        since = window.seen_at - window.lookback if window.seen_at else None
        splits: list[Split] = []
        for one in self.files.whole:
            splits += splits_of(one.location, one.bytes, None)
        for one in self.files.late:
            splits += splits_of(one.location, one.bytes, since)
        instant = TYPES[INSTANT].arrow
        kinds = {name: TYPES[one.type].arrow for name, one in view.snapshot.every_column().items()}
        columns = [
            Taken(KEY, KEY, kinds[KEY], pa.string()),
            Taken(TIME, TIME, kinds[TIME], instant),
            Taken(view.created, CREATED, instant, instant),
        ]
        for at, feature in enumerate(view.features):
            kind = kinds[feature.column]
            columns.append(
                Taken(feature.column, f"f{at}", kind, pa.string() if feature.as_text else kind)
            )
        return Reading(splits, columns, view.created)

    def count(self, spark: SparkSession) -> Counted:
        """Counts the rows; Spark has to look only where some of them may be late."""
        window, passed = self.meant.window, self.meant.passed
        read = sum(one.rows for one in self.files.whole)
        if window.seen_at is None or passed is None or not self.meant.view.created:
            return Counted(read, 0, self.files.ahead)
        count = partial(self.reading.counts, window.seen_at, passed)
        counted = self.parts(spark).mapInArrow(count, from_arrow_schema(reading.COUNTS))
        row = counted.agg(f.sum("read"), f.sum("late")).first()
        found = (row[0] or 0, row[1] or 0) if row else (0, 0)
        return Counted(*found, self.files.ahead)

    def stage(self, spark: SparkSession, target: Target, connections: int) -> dict[int, int]:
        """Has the executors write the newest row of each user; gives the rows by partition.

        Args:
            connections: the most partitions, each of which has a connection.
        """
        of_reading, schema = self.reading, from_arrow_schema(WRITTEN)
        if len(self.files.whole) + len(self.files.late) > 1:
            rows = self.parts(spark).mapInArrow(
                of_reading.rows, from_arrow_schema(of_reading.schema)
            )
            written = newest(rows, connections).mapInArrow(partial(write, target), schema)
        else:  # each row is the newest, and goes from the file to PostgreSQL
            parts = self.parts(spark, connections)
            written = parts.mapInArrow(partial(copy, of_reading, target), schema)
        return {one.part: one.rows for one in written.collect() if one.rows}

    def parts(self, spark: SparkSession, most: int = MOST_PARTS) -> DataFrame:
        """The numbers of the splits, each in a task of its own while these are no more."""
        count = len(self.reading.splits)
        return spark.range(0, count, 1, max(min(count, most), 1))


def newest(frame: DataFrame, partitions: int) -> DataFrame:
    """The newest row of each user, in so many partitions.

    A user has one row of a table at an instant. Were there two, which nothing here writes, the one
    that was loaded last would be taken, as it is from the database.
    """
    first = Window.partitionBy(KEY).orderBy(f.desc(TIME), f.desc_nulls_last(CREATED))
    ranked = frame.repartition(partitions, KEY).withColumn("rank", f.row_number().over(first))
    return ranked.where("rank = 1").drop("rank")
