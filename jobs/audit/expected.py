"""The rows that should be online of a view's keys, with their values as training sees them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobs.audit.keys import Key
from jobs.audit.projects.interface import Sources
from jobs.audit.trained import NEVER, SourceRows, Watermark, recomputed, source_rows
from jobs.audit.views import AuditedView


@dataclass(frozen=True)
class Expected:
    """The row of a key that should be online."""

    at: datetime
    """The instant as of which it was recomputed."""
    values: dict[str, Any]
    """By feature, as a training set has them."""
    seen: SourceRows | None
    """The rows that the source has of the key."""


def expected(
    sources: Sources,
    view: AuditedView,
    keys: Sequence[Key],
    mark: Watermark,
    as_of: Sequence[datetime | None],
) -> list[Expected]:
    """The rows of keys that should be online, of one view.

    Args:
        as_of: of each key the instant that is served, None where it is not known.
    """
    seen = source_rows(sources, view, keys, mark)
    if seen is None:
        times = [at or mark.until for at in as_of]
    else:
        times = [expected_at(at, mark, seen.get(key)) for at, key in zip(as_of, keys, strict=True)]
    trained = recomputed(sources, view, keys, times)
    return [
        Expected(at, values, seen_in_training(values, mark) if seen is None else seen.get(key))
        for at, key, values in zip(times, keys, trained, strict=True)
    ]


def seen_in_training(values: Mapping[str, Any], mark: Watermark) -> SourceRows | None:
    """A key's rows in a source that only training can read: there is one if it has a value."""
    has_values = any(one is not None for one in values.values())
    return SourceRows(mark.until, (), False) if has_values else None


def expected_at(as_of: datetime | None, mark: Watermark, seen: SourceRows | None) -> datetime:
    """The instant as of which to recompute a key's view: that of the row that should be online."""
    if as_of is not None and as_of > mark.until:  # it was pushed
        return as_of
    return (seen and seen.event) or NEVER.until
