"""CSV files with columns in types: text in which nothing is lost.

An empty field is null and "" is the empty text. A column is read as 64-bit integers, doubles or
booleans where all its values are written as such, else it stays text; join keys are integers or
text, so that 007 is not 7.
"""

import codecs
import csv
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from streamflow.errors import SpineRefused

Reopen = Callable[[], Any]
"""Gives the file anew from its beginning, as a context manager."""
BLOCK = 4 * 2**20
"""Bytes that are read at once; a line is no longer."""
WHOLE = r"^(0|-?[1-9][0-9]{0,17})$"
"""Integers that are written as they are printed again, within 64 bits."""
NUMBER = (
    r"^-?((0|[1-9][0-9]{0,14})|(0|[1-9][0-9]*)?\.[0-9]+|(0|[1-9][0-9]*)\."
    r"|[1-9]?[0-9]*\.?[0-9]+[eE][+-]?[0-9]+|inf|nan)$"
)
"""Doubles; a longer integer would lose digits as one, and what begins with 0 or + is a code."""
BOOLEAN = r"^([Tt]rue|[Ff]alse)$"
KINDS = {pa.int64(): WHOLE, pa.float64(): NUMBER, pa.bool_(): BOOLEAN}
"""By type, the values that are written as such; the first that fits a column is taken."""


def header(again: Reopen, shown: str) -> list[str]:
    """The names in the first line.

    Raises:
        SpineRefused: there is no line.
        UnicodeError: it is not UTF-8.
    """
    with again() as file:
        if not file.read(len(codecs.BOM_UTF8) + 1).strip(codecs.BOM_UTF8):
            raise SpineRefused(f"{shown} is empty; the first line has to name its columns")
        file.seek(0)
        with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
            return next(csv.reader(text))


def schema(
    again: Reopen, names: Sequence[str], texts: Sequence[str], keys: Sequence[str]
) -> pa.Schema:
    """The columns with their types, by looking at all values.

    Args:
        texts: the columns that stay text; `keys` are integers or text.
    """
    fits = {
        name: [] if name in texts else [pa.int64()] if name in keys else list(KINDS)
        for name in names
    }
    valued = set()
    for batch in batches(again, pa.schema([(name, pa.string()) for name in names])):
        for name, column in zip(names, batch.columns, strict=True):
            if fits[name] and column.null_count < len(column):
                valued.add(name)
                fits[name] = [kind for kind in fits[name] if all_match(column, KINDS[kind])]
    return pa.schema(
        [(name, fits[name][0] if fits[name] and name in valued else pa.string()) for name in names]
    )


def all_match(column: pa.Array, pattern: str) -> bool:
    """True where all values that are not null match."""
    return pc.all(pc.match_substring_regex(column, pattern), min_count=0).as_py() is not False


def batches(again: Reopen, types: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows, their columns in the types of `types`, in the order of the file."""
    texts = pa.schema([(name, pa.string()) for name in types.names])
    with (
        again() as file,
        pyarrow.csv.open_csv(
            file,
            read_options=pyarrow.csv.ReadOptions(block_size=BLOCK, use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=texts,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        ) as reader,
    ):
        for batch in reader:
            columns = [
                column if kind == pa.string() else column.cast(kind)
                for column, kind in zip(batch.columns, types.types, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=types)
