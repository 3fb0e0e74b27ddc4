"""Spines in memory: data frames, Arrow tables, and streams, which can be read once alone."""

import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

import pyarrow as pa

from streamflow.errors import ConfigurationError, SpineRefused

if TYPE_CHECKING:
    import pandas as pd


class ArrowStream(Protocol):
    """Rows that give a stream of Arrow's: a `pa.Table` or reader, a frame of another library."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The stream in Arrow's C interface."""


def batches_of(
    rows: "pd.DataFrame | pa.Table | Stored",
) -> tuple[pa.Schema, Callable[[], Iterable[pa.RecordBatch]]]:
    """The schema and the batches of rows in memory.

    Raises:
        SpineRefused: a column of a data frame has values of several types.
        ConfigurationError: they are no rows.
    """
    if is_frame(rows):
        twice = rows.columns[rows.columns.duplicated()]
        if len(twice):
            raise SpineRefused(f"the spine has several columns named {', '.join(map(str, twice))}")
        try:
            rows = pa.Table.from_pandas(rows, preserve_index=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError, ValueError) as error:
            raise SpineRefused(f"the spine: {'; '.join(map(str, error.args))}") from None
    if not isinstance(rows, pa.Table | Stored):
        raise ConfigurationError(
            f"{type(rows).__name__} is no spine: give a path, a URL, a query, a data frame, or an"
            " Arrow table or reader"
        )
    return rows.schema, rows.to_batches


def is_frame(rows: Any) -> "TypeGuard[pd.DataFrame]":
    """True for a data frame of pandas, which nobody has made where pandas was not imported."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(rows, pandas.DataFrame)


class Stored:
    """Batches in a file without a name, to be read again."""

    def __init__(self, schema: pa.Schema, path: str) -> None:
        self.schema, self.path = schema, path

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        """The batches from the first on."""
        with pa.OSFile(self.path) as file, pa.ipc.open_stream(file) as reader:
            yield from reader


@contextmanager
def kept(rows: Any) -> "Iterator[pd.DataFrame | pa.Table | Stored]":
    """Yields rows that can be read again: those of a stream from a file, others as they are.

    A stream is whatever gives one of Arrow's: a reader, or a frame of another library.
    """
    if is_frame(rows) or isinstance(rows, pa.Table) or not hasattr(rows, "__arrow_c_stream__"):
        yield rows
        return
    reader = pa.RecordBatchReader.from_stream(rows)
    with tempfile.NamedTemporaryFile(suffix=".arrow") as file:
        with pa.ipc.new_stream(file.name, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
        yield Stored(reader.schema, file.name)
