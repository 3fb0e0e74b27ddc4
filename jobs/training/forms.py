"""The forms of a training set: one Parquet file, a folder of several, or CSV.

The same batches give the same bytes. Parquet has a row group for each batch; CSV does not depend
on the batches.
"""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO, Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from streamflow.errors import ConfigurationError, SpineRefused
from streamflow.offline.local_columns import Rows
from streamflow.sink import Sink
from streamflow.visible_text import quoted

KEY = "streamflow"
"""The key in a Parquet file's own metadata under which it describes itself, as JSON."""
Facts = dict[str, Any]
Open = Callable[[str], AbstractContextManager[IO[bytes] | None]]
"""Opens the file of a name within the training set to be written, "" for a set of one file; None
where its bytes are hashed alone."""
CSV_TYPES = (
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_date32,
    pa.types.is_timestamp,
    pa.types.is_decimal,
)
"""The types whose text in a CSV file is read back as the same values."""


@dataclass(frozen=True)
class Form:
    """The form of a training set."""

    is_csv: bool = False
    rows_per_file: int = 0
    """Rows that each Parquet file of a folder has at most; 0 for a single file."""


@dataclass(frozen=True)
class Written:
    """The result of writing a training set."""

    rows: int
    null_counts: dict[str, int]
    sha256: str
    files: list[dict[str, Any]] = field(default_factory=list)


def form_of(out: str, path: str, rows_per_file: int) -> Form:
    """The form that the name of a training set asks for.

    Args:
        out: as it is shown; `path` is the same within its file system.

    Raises:
        ConfigurationError: it asks for none, or for one that has no several files.
    """
    suffix = PurePosixPath(path.partition("?")[0]).suffix.lower()
    if rows_per_file:
        if suffix == ".csv":
            raise ConfigurationError(f"--out {out}: --rows-per-file writes Parquet, and no CSV")
        return Form(rows_per_file=rows_per_file)
    if out.endswith("/"):
        raise ConfigurationError(f"--out {out}: let the name be a file's")
    if suffix not in ("", ".parquet", ".csv"):
        raise ConfigurationError(
            f"--out {out}: a training set is Parquet or CSV; let the name end in .parquet or .csv"
        )
    return Form(is_csv=suffix == ".csv")


def kept(schema: pa.Schema, form: Form) -> pa.Schema:
    """The columns in the types in which a form keeps them, and gives them back again.

    Parquet has no seconds, which become milliseconds, and no dates in milliseconds.

    Raises:
        SpineRefused: there is no such type; names the column.
    """
    place, hint = "Parquet", "cast it, or leave it out"
    if form.is_csv:
        place, hint = "CSV", "name the training set .parquet, or leave it out"
    fields = []
    for column in schema:
        kind = type_in_csv(column.type) if form.is_csv else type_in_parquet(column.type)
        if kind is None:
            raise SpineRefused(
                f"column {quoted(column.name)} is {column.type}, which {place} cannot keep; {hint}"
            )
        fields.append(pa.field(column.name, kind))
    return pa.schema(fields)


def type_in_csv(kind: pa.DataType) -> pa.DataType | None:
    """The type itself where CSV has a form for it; None where it has none."""
    return kind if any(known(kind) for known in CSV_TYPES) else None


def type_in_parquet(kind: pa.DataType) -> pa.DataType | None:
    """The type that Parquet gives back for a column of this one; None where it keeps none."""
    file = io.BytesIO()
    try:
        # Not by empty_table, for which pyarrow imports pandas.
        pq.write_table(pa.Table.from_batches([], pa.schema([pa.field("x", kind)])), file)
        return pq.read_schema(file).field(0).type
    # Not a left-over: pyarrow says by these errors, and in no other way, what Parquet cannot keep.
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid, pa.ArrowTypeError):
        return None


def write(
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    form: Form,
    opened: Open,
    facts: Facts | None = None,
    typed: bool = False,
) -> Written:
    """Writes batches in a form; holds one of them at a time.

    Args:
        facts: what a Parquet file says of itself, so that it can be told without its manifest.
        typed: Parquet also notes Arrow's own types, so that they are read back.
    """
    whole, nulls, total = hashlib.sha256(), Counter[str](), 0
    counted = counting(batches, schema, nulls)
    parts = in_files(counted, form.rows_per_file) if form.rows_per_file else [("", counted)]
    files = []
    for name, rows in parts:
        with opened(name) as file:
            sink = Sink(file, whole)
            if form.is_csv:
                count = write_csv(rows, schema, sink)
            else:
                count = write_parquet(rows, schema, sink, facts, typed)
            total += count
            files.append({"name": name, "rows": count, "sha256": sink.hash.hexdigest()})
    return Written(
        total,
        {name: nulls[name] for name in schema.names},
        whole.hexdigest(),
        files if form.rows_per_file else [],
    )


def counting(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, nulls: Counter[str]
) -> Iterator[pa.RecordBatch]:
    """The batches in the types of `schema`; counts their nulls by column."""
    for batch in batches:
        for name, column in zip(schema.names, batch.columns, strict=True):
            nulls[name] += column.null_count
        yield batch if batch.schema.equals(schema) else batch.cast(schema)


def in_files(
    batches: Iterable[pa.RecordBatch], most: int
) -> Iterator[tuple[str, Iterator[pa.RecordBatch]]]:
    """The name of each file of a folder and its rows, `most` at most; one file at least.

    The rows of a file are to be taken before the next one is asked for.
    """
    rows = Rows(batches)
    first = rows.piece(most)
    number = 0
    while first is not None or not number:

        def of_one(first: pa.RecordBatch | None = first) -> Iterator[pa.RecordBatch]:
            left, batch = most, first
            while batch is not None:
                yield batch
                left -= batch.num_rows
                batch = rows.piece(left) if left else None

        yield f"part-{number:05}.parquet", of_one()
        number += 1
        first = rows.piece(most)


def write_parquet(
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    sink: Sink,
    facts: Facts | None = None,
    typed: bool = False,
) -> int:
    """Writes batches as Parquet, each a row group; returns the number of rows."""
    rows = 0
    with pq.ParquetWriter(sink, schema, compression="zstd", store_schema=typed) as writer:
        for batch in batches:
            rows += batch.num_rows
            writer.write_batch(batch)
        if facts is not None:
            writer.add_key_value_metadata({KEY: json.dumps(facts)})
    return rows


def write_csv(batches: Iterable[pa.RecordBatch], schema: pa.Schema, sink: Sink) -> int:
    """Writes batches as CSV, read back as the same values; returns the number of rows.

    Null is an empty field and the empty text is "". A 32-bit float is the double that it equals,
    as in the API's answers, so that it is that float whether it is read in 32 bits or in 64. An
    instant ends in Z or its zone's offset.
    """
    rows = 0
    wide = [
        pa.field(one.name, pa.float64() if pa.types.is_floating(one.type) else one.type)
        for one in schema
    ]
    with pyarrow.csv.CSVWriter(sink, pa.schema(wide)) as writer:
        for batch in batches:
            rows += batch.num_rows
            writer.write_batch(batch.cast(pa.schema(wide)))
    return rows


@contextmanager
def nowhere(name: str) -> Iterator[None]:
    """Opens no file, for a training set that is hashed alone."""
    yield None
