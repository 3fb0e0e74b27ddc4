"""Rows that Feast's provider hands over, as the driver takes them."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from streamflow.catalog.layout import Layout
from streamflow.feast.online.keys import key_of
from streamflow.feast.online.values import in_utc, writer
from streamflow.online.rows import Row, rounds_of

FeastRow = tuple[EntityKey, Mapping[str, Value], datetime, datetime | None]


def rows_of(layout: Layout, types: Mapping[str, str], data: Iterable[FeastRow]) -> list[list[Row]]:
    """The rows of a batch in rounds to be written one after the other.

    Those of one key in one round have the same features and times.

    Args:
        layout: of the view.
        types: Feast's value type by feature; other features of a row are left out.
        data: as Feast's provider hands them over; naive times are UTC.

    Raises:
        ValueError: naming the view, the row, the feature and what is wrong with its value.
    """
    writers = {name: writer(types[name]) for name in layout.features}
    rows: list[Row] = []
    for number, given in enumerate(data, 1):
        try:
            row = row_of(layout, writers, given, number)
        except ValueError as error:
            raise ValueError(f"feature view {layout.view}, row {number}: {error}") from error
        rows.append(row)
    return rounds_of(rows)


def row_of(
    layout: Layout,
    writers: Mapping[str, Callable[[Value], Any]],
    given: FeastRow,
    number: int = 0,
) -> Row:
    """A row as the driver takes it, with its number in the batch.

    Raises:
        ValueError: naming the feature and what is wrong with its value.
    """
    entity_key, values, event, created = given
    key = key_of(entity_key, layout)
    if event is None or event != event:  # pandas' NaT, which no comparison finds equal
        raise ValueError("it has no event time")
    if created is not None and created != created:
        created = None
    names = tuple(name for name in layout.features if name in values)
    cells = []
    for name in names:
        try:
            cells.append(writers[name](values[name]))
        except ValueError as error:
            raise ValueError(f"feature {name}: {error}") from error
    return Row(key, in_utc(event), created and in_utc(created), names, cells, number)
