"""A spine: rows with keys and times, which are read in batches as often as they are needed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from streamflow.errors import SpineRefused, shorten
from streamflow.offline.arrays import truths
from streamflow.offline.arrow import BATCH_ROWS, INSTANT
from streamflow.offline.join.refusals import NotATime
from streamflow.offline.join.times import instants
from streamflow.sources.columns import did_you_mean, listed
from streamflow.visible_text import quoted

TRUE = truths([True])[0]
"""Arrow's, since it would make one of Python's by importing pandas."""


@dataclass(frozen=True)
class Spine:
    """The rows of a spine as they stand in the training set, but for the features beside them."""

    subject: str
    """Its name in messages, e.g. the file's."""
    timestamp: str
    """The column with the rows' times."""
    schema: pa.Schema
    """The columns in their order; the time is an instant in UTC to the microsecond."""
    read: Callable[[], Iterable[pa.RecordBatch]]
    """Gives the rows from the first on, each time anew, in the columns of the source."""

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        """The rows in their order, BATCH_ROWS at most at once.

        Raises:
            SpineRefused: a time is none, or a file cannot be read to its end.
        """
        done = 0
        for large in self.read():
            for start in range(0, large.num_rows, BATCH_ROWS):
                batch = large.slice(start, BATCH_ROWS)
                yield self.final(batch, done)
                done += batch.num_rows

    def final(self, batch: pa.RecordBatch, before: int) -> pa.RecordBatch:
        """A batch in the types of `schema`; `before` is the number of the rows before it."""
        columns = []
        for field, column in zip(self.schema, batch.columns, strict=True):
            if field.name == self.timestamp:
                column = times(column, self.subject, field.name, before)
            elif column.type != field.type:
                column = column.cast(field.type)
            columns.append(column)
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


def spine_of(
    subject: str, timestamp: str, schema: pa.Schema, read: Callable[[], Iterable[pa.RecordBatch]]
) -> Spine:
    """A spine of rows that have the columns of `schema`.

    Dictionaries become their values, views of text and bytes what they are views of; all other
    types stay. Notes on the schema and its columns, such as those of pandas, are left out.

    Raises:
        SpineRefused: the time is of a type that is no time.
    """
    fields = []
    for field in schema:
        kind = plain(field.type)
        if field.name == timestamp:
            if not may_be_time(kind):
                raise SpineRefused(
                    f"{subject}: column {quoted(timestamp)} is {kind} and no time; it has to be a"
                    " timestamp, a date, or text like 2024-01-31T00:00:00Z"
                )
            kind = INSTANT
        fields.append(pa.field(field.name, kind))
    return Spine(subject, timestamp, pa.schema(fields), read)


def plain(kind: pa.DataType) -> pa.DataType:
    """The type whose values a column of type `kind` has."""
    if pa.types.is_dictionary(kind):
        return plain(kind.value_type)
    return {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}.get(kind, kind)


def may_be_time(kind: pa.DataType) -> bool:
    """True where a type holds times, or texts, which may be times."""
    texts = (pa.types.is_string, pa.types.is_large_string)
    times = (pa.types.is_timestamp, pa.types.is_date, pa.types.is_null)
    return any(one(kind) for one in (*texts, *times))


def times(column: pa.Array, subject: str, name: str, before: int) -> pa.Array:
    """A column of times as instants in UTC; naive ones and dates are UTC.

    Args:
        before: the number of rows before the first one here.

    Raises:
        SpineRefused: one is no time, or too far away; names row, column and value.
    """
    if pa.types.is_dictionary(column.type) or column.type == pa.string_view():
        column = column.cast(plain(column.type))
    try:
        found = instants(pa.chunked_array([column])).combine_chunks()
    except (NotATime, pa.ArrowInvalid):
        wrong = next((at for at in range(len(column)) if not is_time(column.slice(at, 1))), 0)
        value = shorten(str(column[wrong]))
        raise SpineRefused(
            f"{subject}, row {before + wrong + 1}, column {quoted(name)}: {value} is no time that"
            " can be kept; write it like 2024-01-31T00:00:00Z"
        ) from None
    return found.chunk(0) if isinstance(found, pa.ChunkedArray) else found


def is_time(value: pa.Array) -> bool:
    """True where the one value of an array is a time, or null."""
    try:
        instants(pa.chunked_array([value]))
    except (NotATime, pa.ArrowInvalid):
        return False
    return True


def require_columns(
    subject: str, names: Sequence[str], timestamp: str, keys: Sequence[str], taken: Sequence[str]
) -> None:
    """Returns when a spine has the columns that it must have, and none that it may not have.

    Args:
        keys: the join keys of its service, and what this takes from a request.
        taken: the names of the features, and of further columns of the training set.

    Raises:
        SpineRefused: names the column.
    """
    if twice := [one for one in dict.fromkeys(names) if list(names).count(one) > 1]:
        raise SpineRefused(f"{subject} has several columns named {listed(quotes(twice))}")
    known = dict(zip(names, names, strict=True))
    has = f"it has {listed(quotes(names))}"
    if timestamp not in known:
        raise SpineRefused(
            f"{subject} has no column {timestamp} with the times of its"
            f" rows{did_you_mean(timestamp, known)}; {has}; --timestamp-column names another"
        )
    if missing := [one for one in keys if one not in known]:
        told = ", ".join(f"{one}{did_you_mean(one, known)}" for one in missing)
        raise SpineRefused(f"{subject} has no column {told}, which the service needs; {has}")
    if both := [one for one in names if one in taken]:
        raise SpineRefused(
            f"{subject} has a column with the name of a feature or of the split:"
            f" {listed(quotes(both))}; give it another name"
        )


def quotes(names: Iterable[str]) -> list[str]:
    """Names as they are shown."""
    return [quoted(one) for one in names]


def nulls(column: pa.Array) -> int | None:
    """The place of the first null of a column; None where there is none."""
    if not column.null_count:
        return None
    return int(pc.index(pc.is_null(column), TRUE).as_py())


def with_nul(column: pa.Array) -> int | None:
    """The place of the first text with the character NUL; None where there is none."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return None
    at = int(pc.index(pc.match_substring(column, "\0"), TRUE).as_py())
    return None if at < 0 else at
