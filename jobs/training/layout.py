"""The layout of a training set, by the options of the command."""

from dataclasses import dataclass
from datetime import datetime

from streamflow.training import Split, SplitAt, SplitByKey


@dataclass(frozen=True)
class Layout:
    """The layout of a training set: its split, and the rows of each file."""

    split: Split | None = None
    rows_per_file: int = 0
    """Rows that each Parquet file of a folder has at most; 0 for one file."""


PLAIN = Layout()


def layout_of(
    split_at: datetime | None, split_by_key: float | None, seed: int, rows_per_file: int
) -> Layout:
    """The layout that options ask for.

    Raises:
        ConfigurationError: the share of keys is not between 0 and 1.
    """
    split: Split | None = None
    if split_at is not None:
        split = SplitAt(split_at)
    if split_by_key is not None:
        split = SplitByKey(split_by_key, seed)
    return Layout(split, rows_per_file)
