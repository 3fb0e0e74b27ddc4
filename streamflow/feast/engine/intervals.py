"""The intervals that Feast's registry has of a view, kept from growing with every run.

Feast appends the window of each materialization to the view's entry, reads and writes the entry
as a whole, and itself uses their latest end alone. What they say together, up to when and without
which gaps the view was materialized, stays.
"""

from typing import Any

MOST = 100
"""So many stand there one by one; those of before are merged where they overlap or touch."""


def shorten(intervals: Any) -> None:
    """Merges the older ones of a protobuf entry's `materialization_intervals`, in place."""
    if len(intervals) <= MOST:
        return
    found = list(intervals)
    older = sorted(found[:-MOST], key=start)
    merged = older[:1]
    for one in older[1:]:
        last = merged[-1]
        if start(one) > end(last):
            merged.append(one)
        elif end(one) > end(last):
            last.end_time.CopyFrom(one.end_time)
    kept = [type(one).FromString(one.SerializeToString()) for one in [*merged, *found[-MOST:]]]
    del intervals[:]
    intervals.extend(kept)


def start(interval: Any) -> int:
    """The first instant in nanoseconds."""
    return int(interval.start_time.ToNanoseconds())


def end(interval: Any) -> int:
    """The last instant in nanoseconds."""
    return int(interval.end_time.ToNanoseconds())
