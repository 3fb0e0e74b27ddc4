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
    """The bins that lie between edges in words, the open ones at both ends.

    Where each value has a bin of its own, it is the bin's name: what a later month has between two
    of them is counted with the lower one.
    """
    if not edges:
        return []
    shown = figures(edges)
    inner = [f"{low} to {high}" for low, high in itertools.pairwise(shown)]
    if edges[-1] == math.nextafter(edges[-2], math.inf):
        inner = shown[:-1]
    return [f"below {shown[0]}", *inner, f"above {shown[-1]}"]


def figures(edges: Sequence[float]) -> list[str]:
    """Edges with as few digits as tell them apart, the last two excepted."""
    for digits in (6, 9, 12, 15):
        shown = [f"{one:.{digits}g}" for one in edges]
        if len({*shown[:-1]}) == len(shown) - 1:
            return shown
    return [repr(one) for one in edges]
