"""The fields of a declared column: calibrated values where they fit it, else of its declaration.

So a column that a team declares in its snapshots.py is in the next months that are generated. It
has random numbers of its own, so that the values of all others stay the same.
"""

import datetime
import zlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from jobs.sample.users import FLAG, WORDS, Block, last_day
from streamflow.errors import ConfigurationError
from streamflow.snapshots import KEY, Column, Snapshot

NULLS = 0.1
"""Share of empty fields in a column that may be null."""
STEPS = 100
"""Generated numbers are whole or have two decimals."""
OLDEST_DAYS = 1000
"""Generated days are no more than these before the month's last one."""
TYPES = {"b": ("boolean",), "i": ("bigint", "real", "double precision"), "M": ("date",)}
TYPES |= {"f": ("real", "double precision")}
"""Types of PostgreSQL that hold calibrated values, by numpy's kind of theirs."""
ALLOWED = "declare it by a function of streamflow.snapshots: whole_number, number, choice, …"
STRUCTURE = frozenset(',"\r\n')
"""Letters for which a field is written in quotes."""


def fields(snapshot: Snapshot, name: str, block: Block) -> pa.Array:
    """The fields of a column as they are written, one for each user of the block.

    Raises ConfigurationError for a declaration that no value fits.
    """
    values = block.rows.get(name)
    if name == KEY:
        return pa.array(values)
    column = snapshot.columns[name]
    if values is not None and is_fit(name, values, column):
        return text(name, within(values, column))
    month = 0 if snapshot.newest_only else block.month  # who a user is does not change
    source = zlib.crc32(f"{snapshot.file}.{name}".encode())
    rng = default_rng([block.seed, block.number, source, month])
    size = len(block.rows[KEY])
    try:
        found = generated(rng, size, column, last_day(month))
    except ValueError as error:
        raise ConfigurationError(f"{snapshot.file}.csv, column {name}: {error}") from error
    if column.nullable:
        found = pc.if_else(pa.array(rng.random(size) < NULLS), "", pc.cast(found, pa.string()))
    return found


def quoting(snapshot: Snapshot) -> str:
    """Arrow's style of quoting for a file: none, unless a declared text cannot do without."""
    texts = (text for column in snapshot.columns.values() for text in column.values)
    return "needed" if any(STRUCTURE & set(text) for text in texts) else "none"


def is_fit(name: str, values: NDArray[Any], column: Column) -> bool:
    """True if a column declares what the calibrated values of its name are."""
    if name not in WORDS:
        return column.type in TYPES[values.dtype.kind]
    allowed = {*column.values, *(FLAG if column.type == "boolean" else ())}
    return set(WORDS[name]) <= allowed | ({""} if column.nullable else set())


def within(values: NDArray[Any], column: Column) -> NDArray[Any]:
    """Values in the declared range; the nearest end of it for those beyond."""
    if column.low is None or column.high is None:
        return values
    clipped: NDArray[Any] = np.clip(values, column.low, column.high)
    return clipped


def generated(rng: Generator, size: int, column: Column, as_of: datetime.date) -> pa.Array:
    """Fields of which the declaration says all that is known, equally likely in its range.

    Raises ValueError for a type of which no months can have a column.
    """
    low, high = column.low or 0, column.high or 0
    match column.type:
        case "boolean":
            return text("", rng.random(size) < 0.5)
        case "bigint":
            return pa.array(rng.integers(low, high, size, endpoint=True))
        case "real" | "double precision":
            return text("", np.rint((low + (high - low) * rng.random(size)) * STEPS) / STEPS)
        case "date":
            return pa.array(np.datetime64(as_of) - rng.integers(0, OLDEST_DAYS, size))
        case "text" if column.values:
            return pa.array(column.values).take(pa.array(rng.integers(0, len(column.values), size)))
        case _:
            raise ValueError(f"no values are known of {column.type}; {ALLOWED}")


def text(name: str, values: NDArray[Any]) -> pa.Array:
    """Formats values as the real files do: True, 16.0, and the shortest float that reads back.

    Arrow alone would print true and 16.
    """
    if values.dtype == np.bool_:
        return pa.array(FLAG).take(pa.array(values.astype(np.int8)))
    if name in WORDS:
        return pa.array(WORDS[name]).take(pa.array(values))
    if values.dtype != np.float64:
        return pa.array(values)
    shortest = pa.array(values).cast(pa.string())
    whole = pa.array(values == np.floor(values))
    return pc.if_else(whole, pc.binary_join_element_wise(shortest, "0", "."), shortest)
