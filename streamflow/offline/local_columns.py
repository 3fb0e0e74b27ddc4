"""Columns that never go to the database, cut to the batches in which the others come back."""

from collections.abc import Iterable
from typing import Protocol

import pyarrow as pa


class LocalColumns(Protocol):
    """Columns in batches of any size, as a `pa.Table` has them."""

    @property
    def schema(self) -> pa.Schema:
        """The names and types of the columns."""

    def to_batches(self) -> Iterable[pa.RecordBatch]:
        """The rows from the first on."""


class Rows:
    """Rows that are taken in pieces of another size than they come in; one batch is held."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self.batches = iter(batches)
        self.rest: pa.RecordBatch | None = None

    def take(self, count: int) -> pa.RecordBatch | None:
        """The next `count` rows; fewer where there are no more, and None where there is none."""
        parts: list[pa.RecordBatch] = []
        while count:
            batch = self.rest if self.rest is not None else next(self.batches, None)
            if batch is None:
                break
            part = batch.slice(0, count)
            self.rest = batch.slice(count) if count < batch.num_rows else None
            count -= part.num_rows
            parts.append(part)
        if len(parts) > 1:
            return pa.concat_batches(parts)
        return parts[0] if parts else None

    def piece(self, most: int) -> pa.RecordBatch | None:
        """The next rows of one batch, `most` at most; None where there are no more."""
        batch = self.rest if self.rest is not None else next(self.batches, None)
        if batch is None:
            return None
        self.rest = batch.slice(most) if most < batch.num_rows else None
        return batch.slice(0, most)
