"""Splits of a training set into rows to train with and rows to test with, the same every time.

A row's side depends on the row alone: neither other rows nor their order change it.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from streamflow.errors import ConfigurationError
from streamflow.offline.arrays import instants, strings, truths

SPLIT = "split"
"""The column that says on which side a row is."""
TRAIN, TEST = "train", "test"
SIDES = strings([TRAIN, TEST])


@dataclass(frozen=True)
class SplitAt:
    """By time: rows before an instant are `train`, those at it or later `test`.

    A naive instant is UTC.
    """

    instant: datetime

    def column(self, rows: pa.RecordBatch, timestamp: str, keys: Sequence[str]) -> pa.Array:
        """The side of each row, as text."""
        instant = self.instant if self.instant.tzinfo else self.instant.replace(tzinfo=UTC)
        later = pc.greater_equal(rows.column(timestamp), instants([instant])[0])
        return sides(later)

    def described(self, keys: Sequence[str]) -> dict[str, Any]:
        """The split as a manifest has it."""
        instant = self.instant if self.instant.tzinfo else self.instant.replace(tzinfo=UTC)
        return {"by": "time", "at": instant.astimezone(UTC).isoformat()}


@dataclass(frozen=True)
class SplitByKey:
    """By a hash of the join keys: about `share` of the keys are `test`, with all their rows.

    The hash is SHA-256 over JSON of the seed and the keys' texts, in the order of their names; its
    first 64 bits as a fraction are below `share` for `test`. With the same seed, a larger share
    takes in the keys of a smaller one.
    """

    share: float
    """Between 0 and 1, both excluded."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ConfigurationError(
                f"the share of keys for testing is {self.share}; it has to be between 0 and 1"
            )

    def column(self, rows: pa.RecordBatch, timestamp: str, keys: Sequence[str]) -> pa.Array:
        """The side of each row, as text."""
        columns = [texts(rows.column(key)) for key in sorted(keys)]
        limit = self.share * 2**64
        found = [
            int.from_bytes(hashlib.sha256(hashed.encode()).digest()[:8]) < limit
            for hashed in (json.dumps([self.seed, *row]) for row in zip(*columns, strict=True))
        ]
        return sides(truths(found))

    def described(self, keys: Sequence[str]) -> dict[str, Any]:
        """The split as a manifest has it."""
        return {"by": "key", "share": self.share, "seed": self.seed, "keys": sorted(keys)}


Split = SplitAt | SplitByKey


def split_of(described: dict[str, Any]) -> Split:
    """The split that a manifest describes."""
    if described["by"] == "time":
        return SplitAt(datetime.fromisoformat(described["at"]))
    return SplitByKey(described["share"], described["seed"])


def sides(test: pa.Array) -> pa.Array:
    """`test` where true, else `train`."""
    return SIDES.take(test.cast(pa.int32()))


def texts(column: pa.Array) -> list[str]:
    """Each value's text: of the integer 7 the same as of the text 7."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_large_string(kind):
        column = column.cast(pa.string())
    return [str(one) for one in column.to_pylist()]
