"""Counts and hashes the rows of a training set, batch by batch, while they are written."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from streamflow.offline.copy import csv
from streamflow.offline.spine.split import SPLIT


class Tally:
    """Counts of the batches that went through `watch`."""

    def __init__(self, spine: Sequence[str], features: Sequence[str], split: bool) -> None:
        """Counts nothing yet.

        Args:
            spine: the columns of the spine, whose rows are hashed.
            features: the columns whose values come from the database.
            split: the rows are on the sides of a split.
        """
        self.spine, self.features, self.split = list(spine), list(features), split
        self.hash = hashlib.sha256()
        self.without_features = 0
        """Rows that have no feature: of a key that is unknown, or not known at their time."""
        self.sides = Counter[str]()

    def watch(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Counts each batch and gives it on."""
        for batch in batches:
            columns = [exact(batch.column(name)) for name in self.spine]
            self.hash.update(csv(pa.RecordBatch.from_arrays(columns, names=self.spine)))
            if self.features:
                valid = [pc.is_valid(batch.column(name)) for name in self.features]
                found = pc.sum(reduce(pc.or_, valid)).as_py() or 0
                self.without_features += batch.num_rows - found
            if self.split:
                counted = pc.value_counts(batch.column(SPLIT)).to_pylist()
                self.sides.update({one["values"]: one["counts"] for one in counted})
            yield batch

    def rows_by_side(self) -> dict[str, int]:
        """The rows on each side of the split."""
        return {side: self.sides[side] for side in ("train", "test")}

    def described(self) -> dict[str, Any]:
        """The findings about a spine, as a manifest has them."""
        return {"rows_sha256": self.hash.hexdigest(), "without_features": self.without_features}


def exact(column: pa.Array) -> pa.Array:
    """A column whose text tells all its values apart: nanoseconds as numbers, no extensions."""
    if isinstance(column.type, pa.BaseExtensionType):
        return exact(column.storage)
    return column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
