"""Arrow's arrays of Python's values, for which `pa.array` and `pa.scalar` would import pandas."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from streamflow.offline.arrow import INSTANT, bits

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def numbers(first: int, count: int) -> pa.Array:
    """So many whole numbers, from the first one on."""
    return made(pa.int64(), np.arange(first, first + count, dtype=np.int64))


def truths(values: Sequence[bool]) -> pa.Array:
    """Booleans."""
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, bits(np.array(values, np.bool_))])


def strings(values: Sequence[str]) -> pa.Array:
    """Texts."""
    texts = [one.encode() for one in values]
    ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
    content = pa.py_buffer(b"".join(texts))
    return pa.Array.from_buffers(pa.string(), len(texts), [None, pa.py_buffer(ends), content])


def instants(values: Sequence[datetime]) -> pa.Array:
    """Aware times, to the microsecond."""
    since = [(one - EPOCH) // timedelta(microseconds=1) for one in values]
    return made(INSTANT, np.array(since, np.int64))


def made(kind: pa.DataType, values: "np.ndarray[Any, Any]") -> pa.Array:
    """An array without nulls of values that have Arrow's form."""
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])
