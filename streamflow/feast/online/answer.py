"""Rows of the typed online tables as Feast's SDK answers them."""

import logging
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from feast import FeatureView
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp

from streamflow.errors import StaleFeatures
from streamflow.feast.online.plan import FeastPlan, FeastViewRead
from streamflow.feast.online.values import UNREADABLE
from streamflow.online.plan import Placed
from streamflow.online.read import Row

log = logging.getLogger(__name__)

PRESENT, NOT_FOUND = FieldStatus.PRESENT, FieldStatus.NOT_FOUND
NOWHERE: Row = ()
"""The row of a key that the table does not have."""
FeastRow = tuple[datetime | None, dict[str, Value] | None]


def fill(
    response: GetOnlineFeaturesResponse,
    plan: FeastPlan,
    keys: Mapping[tuple[str, ...], Sequence[Row]],
    found: Sequence[Mapping[Row, Row]],
    full_names: bool,
) -> None:
    """Adds the features of a request to `response`, in its order of views.

    Args:
        response: has the join keys already.
        plan: of the request.
        keys: the primary keys of each answered row, by the names under which they were given.
        found: for each table of the plan its rows by primary key.
        full_names: whether features are called `view__feature`.

    Raises:
        StaleFeatures: a row is older than its view's ttl, and the policy is to refuse it.
    """
    now = datetime.now(UTC)
    for placed in plan.views:
        table = found[placed.table]
        rows = [table.get(key, NOWHERE) for key in keys[placed.read.asked_as]]
        fill_view(response, placed, rows, full_names, now)


def fill_view(
    response: GetOnlineFeaturesResponse,
    placed: Placed[FeastViewRead],
    rows: Sequence[Row],
    full_names: bool,
    now: datetime,
) -> None:
    """Adds the features of one view, a value for each of `rows`."""
    read, at = placed.read, placed.at
    name = read.view.projection.name_to_use()
    times = [row[at] if row else None for row in rows]
    status = {time: status_of(read, time, now) for time in set(times)}
    stamps = {time: stamp(time) for time in status}
    empty = GetOnlineFeaturesResponse.FeatureVector(
        statuses=[status[time] for time in times], event_timestamps=[stamps[time] for time in times]
    )
    shown = [
        row if status[time] == PRESENT else NOWHERE for row, time in zip(rows, times, strict=True)
    ]
    for column, (feature, put) in enumerate(zip(read.features, read.readers, strict=True), at + 1):
        response.metadata.feature_names.val.append(f"{name}__{feature}" if full_names else feature)
        vector = response.results.add()
        vector.CopyFrom(empty)
        add = vector.values.add
        for row in shown:
            value = add()  # several times as fast as copying finished ones
            if row and row[column] is not None:
                try:
                    put(value, row[column])
                except UNREADABLE:
                    without(value, read.layout.view, feature)
    count(read, len(rows), sum(map(bool, shown)))


def status_of(read: FeastViewRead, time: datetime | None, now: datetime) -> Any:
    """The status of a view's values of an event time: present, not found, or outside of their ttl.

    Raises:
        StaleFeatures: they are older than the view's ttl, and the policy is to refuse them.
    """
    if time is None:
        return NOT_FOUND
    if read.policy == "serve" or not read.ttl or now - time <= read.ttl:
        return PRESENT
    if read.policy == "refuse":
        raise StaleFeatures(read.layout.view, now - time, read.ttl)
    return FieldStatus.OUTSIDE_MAX_AGE


def stamp(time: datetime | None) -> Timestamp:
    """An instant as protobuf has it; the epoch for none."""
    found = Timestamp()
    if time is not None:
        found.FromDatetime(time)
    return found


def without(value: Value, view: str, feature: str) -> None:
    """Leaves out a value that Feast's SDK cannot read, so that it spoils no other one."""
    value.Clear()
    warn(view, feature)


@cache
def warn(view: str, feature: str) -> None:
    """Says once that a view has such values."""
    log.warning(
        "a stored value cannot be read by Feast's SDK and is served as null; materialize again",
        extra={"view": view, "feature": feature},
    )


def count(read: FeastViewRead, asked: int, there: int) -> None:
    """Counts values for Feast's own metrics, where its server was started with them."""
    metrics = sys.modules.get("feast.metrics")
    if metrics is not None:
        width = len(read.features)
        metrics.track_feature_statuses(read.view.name, there * width, (asked - there) * width)


def as_feast_rows(
    placed: Placed[FeastViewRead], keys: Sequence[Row], found: Mapping[Row, Row]
) -> list[FeastRow]:
    """The rows of one view as Feast's `online_read` gives them: event time (UTC) and values."""
    now = datetime.now(UTC)
    return [as_feast_row(placed, found.get(key, NOWHERE), now) for key in keys]


def as_feast_row(placed: Placed[FeastViewRead], row: Row, now: datetime) -> FeastRow:
    """One row; (None, None) where the view has none."""
    read, at = placed.read, placed.at
    time: datetime | None = row[at] if row else None
    if time is None:
        return None, None
    values = {name: Value() for name in read.features}
    if status_of(read, time, now) == PRESENT:
        for name, put, found in zip(read.features, read.readers, row[at + 1 :], strict=True):
            if found is not None:
                try:
                    put(values[name], found)
                except UNREADABLE:
                    without(values[name], read.layout.view, name)
    return time.astimezone(UTC), values


def add_versions(
    response: GetOnlineFeaturesResponse, grouped_refs: Sequence[tuple[FeatureView, list[str]]]
) -> None:
    """Says which version of each view was read; of a view read in several, the first."""
    for view, _ in grouped_refs:
        name = view.projection.name_alias or view.projection.name
        if name not in (one.name for one in response.metadata.feature_view_metadata):
            metadata = response.metadata.feature_view_metadata.add()
            metadata.name = name
            metadata.version = getattr(view, "current_version_number", 0) or 0
