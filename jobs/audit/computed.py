"""Computed features as training has them: expressions over the rows that should be online.

Each input is recomputed as of its own row, as a stored view is, and the view's own code computes
the features of these, as it does in a training set.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from jobs.audit.expected import Expected, expected
from jobs.audit.keys import Row
from jobs.audit.projects.interface import Sources
from jobs.audit.trained import NEVER, SourceRows, Watermark
from jobs.audit.views import AuditedComputation, AuditedView
from streamflow.catalog.layout import NO_KEY
from streamflow.offline.features import arrow_type

Keys = dict[tuple[Any, ...], int]
"""By the keys of all inputs of a view, the number of the first row that has them."""


def request_value(type_: str, row: int) -> Any:
    """A value that a request gives in place of a caller, another one in each row.

    Zero is among them, and numbers with a fraction that 32 bits hold.
    """
    match type_:
        case "Bool":
            return row % 2 == 0
        case "String":
            return f"word {row}"
        case "Float32" | "Float64":
            return row + 0.5
    return row  # an integer, or seconds since 1970


def give_request_values(rows: Sequence[Row], computations: Sequence[AuditedComputation]) -> None:
    """Adds to rows of requests the values that computed features take from them."""
    for number, row in enumerate(rows):
        for one in computations:
            for name, type_ in one.request.items():
                row.setdefault(name, request_value(type_, number))


def keys_of(one: AuditedComputation, rows: Sequence[Row]) -> Keys:
    """The keys that a computed view is asked by in these rows, each once."""
    found: Keys = {}
    for number, row in enumerate(rows):
        key = tuple(
            tuple("" if name == NO_KEY else row[name] for name in view.asked_as)
            for view in one.inputs
        )
        found.setdefault(key, number)
    return found


def computed_values(
    sources: Sources,
    one: AuditedComputation,
    keys: Keys,
    rows: Sequence[Row],
    marks: Mapping[str, Watermark],
    as_of: Sequence[datetime | None],
) -> list[tuple[dict[str, Any], SourceRows]]:
    """A computed view's features of each key, and the rows that its inputs have.

    Args:
        marks: by alias of an input.
        as_of: of each key the instant that is served, which is that of its oldest input.
    """
    columns: dict[str, list[Any]] = {
        name: [rows[row][name] for row in keys.values()] for name in one.request
    }
    seen: list[list[Expected]] = []
    for place, view in enumerate(one.inputs):
        own = [key[place] for key in keys]
        # Which of several inputs is as old as that, nobody says.
        ages = dict(zip(own, as_of, strict=True)) if len(one.inputs) == 1 else dict.fromkeys(own)
        mark = marks.get(view.alias, NEVER)
        found = expected(sources, view, list(ages), mark, list(ages.values()))
        by_key = dict(zip(ages, found, strict=True))
        seen.append([by_key[key] for key in own])
        for feature in view.features:
            name = f"{view.view.name}__{feature.name}"
            columns[name] = [served_value(view, row, feature.name) for row in seen[-1]]
    values = one.computed(columns)
    exact = {
        feature.name: pa.array(values[feature.name], arrow_type(feature.type)).to_pylist()
        for feature in one.features
    }
    return [
        (
            {name: column[row] for name, column in exact.items()},
            together([by_view[row].seen for by_view in seen], as_of[row]),
        )
        for row in range(len(keys))
    ]


def served_value(view: AuditedView, row: Expected, feature: str) -> Any:
    """The value of an input as it is served: null where it is too old."""
    is_too_old = view.max_age and datetime.now(UTC) - row.at > view.max_age
    return None if is_too_old else row.values[feature]


def together(inputs: Sequence[SourceRows | None], as_of: datetime | None) -> SourceRows:
    """The rows of all inputs as those of one view.

    Of several inputs with a row that was not materialized yet, it is not known which one is served:
    then the row counts as late, so that a difference is no skew.
    """
    there = [one for one in inputs if one is not None]
    if len(inputs) == 1 and there:
        return there[0]
    is_pending = any(one.is_pending for one in there)
    events = [one.event for one in there if one.event is not None]
    late = (as_of,) if is_pending and as_of else ()
    return SourceRows(min(events, default=None), late, is_pending)
