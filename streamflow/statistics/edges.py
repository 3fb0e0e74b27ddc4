"""Edges of bins, made once of a reference and kept, so that later months compare with it."""

import itertools
import math
from collections.abc import Sequence

BINS = 20
"""The number of bins between the open ends; a column with as few values has a bin for each."""


def edges_of(values: Sequence[float], low: float, high: float) -> list[float]:
    """The edges of a reference's bins: below the first and from the last on, bins are open.

    Few values have a bin each, which ends where the next begins. Of more, bins are equally wide
    from the 1st to the 99th percentile, so that an outlier does not take all others into one bin.

    Args:
        values: the different values, if they are BINS at most; else empty.
        low: the 1st percentile, where there are more.
        high: the 99th.
    """
    if values:
        ascending = sorted(values)
        return [*ascending, math.nextafter(ascending[-1], math.inf)]
    if not low < high:  # nearly all have one value, the others are in the open bins
        return [low, math.nextafter(low, math.inf)]
    width = (high - low) / BINS
    found = [low + width * at for at in range(BINS)]
    # The 99th percentile itself is inside.
    return sorted({*found, math.nextafter(high, math.inf)})


def ranges(edges: Sequence[float]) -> list[str]:
    """The bins that lie between edges in words, the open ones at both ends."""
    if not edges:
        return []
    shown = [f"{one:.6g}" for one in edges]
    inner = [low if low == high else f"{low} to {high}" for low, high in itertools.pairwise(shown)]
    return [f"below {shown[0]}", *inner, f"above {shown[-1]}"]
