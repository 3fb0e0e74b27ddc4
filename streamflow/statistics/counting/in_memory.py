"""The statistics of columns in memory, in the bins that a feature has already."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamflow.statistics.counting.measured import LONGEST
from streamflow.statistics.counting.numbers import LARGEST
from streamflow.statistics.counting.served import SECONDS
from streamflow.statistics.summary import PROBABILITIES, TOP, Summary


def summary_of(values: pa.ChunkedArray, like: Summary, is_day: bool) -> Summary:
    """The statistics of a column as a month of the feature has them.

    Args:
        values: numbers, instants, texts or truths.
        like: tells the kind, and has the edges of bins.
        is_day: instants are counted in days.
    """
    if like.kind == "number":
        return number(values, like, is_day)
    if like.kind == "category":
        return category(values)
    return Summary(kind="other", rows=len(values), nulls=values.null_count)


def number(values: pa.ChunkedArray, like: Summary, is_day: bool) -> Summary:
    """The statistics of a number."""
    known = values.drop_null()
    if pa.types.is_timestamp(known.type):
        seconds = known.cast(pa.timestamp("us", known.type.tz)).cast(pa.int64()).to_numpy() / 1e6
        every = seconds / SECONDS if is_day else seconds
    else:
        every = known.cast(pa.float64()).to_numpy()
    return of_numbers(every, len(values), like)


def of_numbers(every: "np.ndarray[Any, Any]", rows: int, like: Summary) -> Summary:
    """The statistics of a number by its values.

    Args:
        every: the values that are not null, as 64-bit floats.
        rows: how many values there are with the nulls.
        like: has the edges of bins.
    """
    finite = every[np.abs(every) < LARGEST]
    edges = like.edges if finite.size else ()
    bins = np.bincount(np.searchsorted(edges, finite, "right"), minlength=len(edges) + 1)
    return Summary(
        kind="number",
        rows=rows,
        nulls=rows - every.size,
        not_finite=every.size - finite.size,
        distinct=np.unique(finite).size,
        minimum=float(finite.min()) if finite.size else None,
        maximum=float(finite.max()) if finite.size else None,
        mean=float(finite.mean()) if finite.size else None,
        deviation=float(finite.std(ddof=1)) if finite.size > 1 else None,
        quantiles=tuple(np.quantile(finite, PROBABILITIES, method="inverted_cdf").tolist())
        if finite.size
        else (),
        edges=tuple(like.edges),
        bins=tuple(bins.tolist()) if edges else (0,) * len(like.bins),
    )


def category(values: pa.ChunkedArray) -> Summary:
    """The statistics of a text or truth."""
    known = pc.value_counts(values.drop_null().cast(pa.string())).to_pylist()
    return of_categories(((one["values"], one["counts"]) for one in known), len(values))


def of_categories(counts: Iterable[tuple[str, int]], rows: int) -> Summary:
    """The statistics of a text or truth by its values.

    Args:
        counts: each value that is not null, with how often it is there; a value may come again.
        rows: how many values there are with the nulls.
    """
    counted: Counter[str] = Counter()
    for value, count in counts:
        counted[value[:LONGEST]] += count
    top = sorted(counted.items(), key=lambda one: (-one[1], one[0].encode()))[:TOP]
    return Summary(
        kind="category",
        rows=rows,
        nulls=rows - counted.total(),
        distinct=len(counted),
        categories=dict(top),
        others=counted.total() - sum(count for _, count in top),
    )
