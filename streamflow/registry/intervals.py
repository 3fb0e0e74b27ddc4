"""The intervals of a view in its entry of Feast's registry: those for which it was materialized."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

MOST_INTERVALS = 100
"""So many of a view stand in its entry one by one; those of before are merged where they meet."""
AVAILABLE_ONLINE = 4
"""Feast's number of the state."""
PINNED = re.compile(r"v(ersion)?\d+", re.IGNORECASE)
"""A version as definitions name one that is not the latest."""


def with_intervals(kind: Any, entry: bytes, windows: Iterable[tuple[datetime, datetime]]) -> bytes:
    """A view's entry with further intervals, and as available online.

    A pinned version without a state stays so: Feast writes the pinned entry anew whenever it begins
    with a view that has one, which takes rights on the registry that only `apply` needs.

    Args:
        kind: the class of the entry's message, of messages.VIEWS.
        entry: as the registry has it. What `kind` does not know stays as it is.
        windows: one that the entry has already is not added again.
    """
    found = kind.FromString(entry)
    intervals = found.meta.materialization_intervals
    there = {(start_of(one), end_of(one)) for one in intervals}
    for window in windows:
        start, end = map(stamp, window)
        interval = (start.ToNanoseconds(), end.ToNanoseconds())
        if interval not in there:
            there.add(interval)
            intervals.add(start_time=start, end_time=end)
    shorten_intervals(intervals)
    if not PINNED.match(found.spec.version) or found.meta.state:
        found.meta.state = AVAILABLE_ONLINE
    return bytes(found.SerializeToString())


def stamp(instant: datetime) -> Timestamp:
    """An instant as protobuf has it."""
    found = Timestamp()
    found.FromDatetime(instant)
    return found


def shorten_intervals(intervals: Any) -> None:
    """Merges the older ones of an entry's `materialization_intervals`, in place.

    Feast appends the window of each materialization, and itself uses their latest end alone. What
    they say together, up to when and without which gaps the view was materialized, stays.
    """
    if len(intervals) <= MOST_INTERVALS:
        return
    found = list(intervals)
    older = sorted(found[:-MOST_INTERVALS], key=start_of)
    merged = older[:1]
    for one in older[1:]:
        last = merged[-1]
        if start_of(one) > end_of(last):
            merged.append(one)
        elif end_of(one) > end_of(last):
            last.end_time.CopyFrom(one.end_time)
    kept = [
        type(one).FromString(one.SerializeToString()) for one in [*merged, *found[-MOST_INTERVALS:]]
    ]
    del intervals[:]
    intervals.extend(kept)


def start_of(interval: Any) -> int:
    """The first instant in nanoseconds."""
    return int(interval.start_time.ToNanoseconds())


def end_of(interval: Any) -> int:
    """The last instant in nanoseconds."""
    return int(interval.end_time.ToNanoseconds())
