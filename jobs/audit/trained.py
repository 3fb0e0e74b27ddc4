"""Recomputes values as training sees them, and finds the rows that could be materialized."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from psycopg import Connection, sql

from streamflow.catalog.contract import Contract
from streamflow.feast.training import arrow_type

if TYPE_CHECKING:
    from feast import FeatureStore

    from streamflow.engine.source import Source


@dataclass(frozen=True)
class Watermark:
    """The point up to which a view was materialized."""

    until: datetime
    """Rows after this instant are not online yet."""
    seen_at: datetime
    """Rows that were loaded after this instant are not online yet either."""


@dataclass(frozen=True)
class SourceRows:
    """A user's rows in the source of a view."""

    event: datetime | None
    """Instant of the newest row that the last materialization could see; None for none."""
    late: tuple[datetime, ...]
    """Instants up to the watermark whose rows were loaded, or corrected, after it."""
    is_ahead: bool
    """True if there are rows after the watermark."""

    @property
    def is_pending(self) -> bool:
        """True if there is a row that was not materialized yet."""
        return self.is_ahead or bool(self.late)


def projected(store: "FeatureStore", contract: Contract) -> dict[str, str]:
    """The views of a contract: their names in the registry by the names that answers use.

    Without a service they are called as in the registry.
    """
    if not contract.service:
        return {view: view for view in contract.views}
    service = store.get_feature_service(contract.service)
    return {one.name_to_use(): one.name for one in service.feature_view_projections}


def watermarks(
    connection: Connection, store: "FeatureStore", contract: Contract
) -> dict[str, Watermark]:
    """By view: its watermark; views that were never materialized are missing."""
    found = connection.execute(
        "SELECT view, max(window_end), max(seen_at) FROM ops.materializations"
        " WHERE project = %s GROUP BY view",
        [store.project],
    )
    known = {view: Watermark(until, seen_at) for view, until, seen_at in found}
    names = projected(store, contract)
    return {alias: known[name] for alias, name in names.items() if name in known}


def source_rows(
    connection: Connection,
    store: "FeatureStore",
    contract: Contract,
    users: Sequence[str],
    marks: dict[str, Watermark],
) -> dict[str, dict[str, SourceRows]]:
    """By view, then by user: the rows in its source; users without rows are missing.

    For a view whose source is not in this database there is no user.
    """
    from feast.infra.common.materialization_job import MaterializationTask

    from streamflow.feast.engine.plan import NotInside, is_here, source_of

    found: dict[str, dict[str, SourceRows]] = {}
    for alias, name in projected(store, contract).items():
        mark = marks.get(alias, NEVER)
        view = store.registry.get_any_feature_view(name, store.project)
        task = MaterializationTask(store.project, view, mark.until, mark.until)
        found[alias] = {}
        if not is_here(store.config):
            continue
        # `source_of` sets the search path of this transaction, by which the query finds its tables.
        with suppress(NotInside), connection.transaction():
            source = source_of(connection, store.config, task, None, timedelta(0))
            found[alias] = rows_in(connection, source, mark, users)
    return found


def rows_in(
    connection: Connection, source: "Source", mark: Watermark, users: Sequence[str]
) -> dict[str, SourceRows]:
    """By user: the rows in one source."""
    query = sql.SQL(ROWS).format(
        key=source.keys[0],
        event=source.event,
        created=source.created,
        query=sql.SQL(source.query.replace("%", "%%")),
    )
    asked = {"until": mark.until, "seen_at": mark.seen_at, "users": list(users)}
    rows = connection.execute(query, asked)
    return {user: SourceRows(event, tuple(late), ahead) for user, event, late, ahead in rows}


NEVER = Watermark(datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC))
ROWS = """
    SELECT user_id, max(event) FILTER (WHERE event <= %(until)s AND NOT is_late),
           coalesce(array_agg(event) FILTER (WHERE event <= %(until)s AND is_late), '{{}}'),
           bool_or(event > %(until)s)
    FROM (SELECT {key}::text AS user_id, {event} AS event,
                 coalesce({created} > %(seen_at)s, false) AS is_late
          FROM {query} AS s) AS s
    WHERE user_id = ANY(%(users)s) AND event <= now() GROUP BY user_id"""
"""One row per user with the fields of `SourceRows`."""


def recomputed(
    store: "FeatureStore",
    contract: Contract,
    view: str,
    users: Sequence[str],
    times: Sequence[datetime],
) -> dict[str, dict[str, Any]]:
    """By user: a view's features as a training set has them as of the user's time in `times`."""
    name = projected(store, contract)[view]
    features = [one for one in contract.features if one.view == view]
    entities = sql.SQL(
        "SELECT * FROM unnest({}::text[], {}::timestamptz[]) AS t(user_id, event_timestamp)"
    ).format(sql.Literal(list(users)), sql.Literal(list(times)))
    found = store.get_historical_features(
        entity_df=entities.as_string(None), features=[f"{name}:{one.name}" for one in features]
    ).to_arrow()
    kinds = pa.schema(
        [
            pa.field("user_id", pa.string()),
            *(pa.field(one.name, arrow_type(one.type)) for one in features),
        ]
    )
    rows = found.select(kinds.names).cast(kinds).to_pylist()
    return {row["user_id"]: row for row in rows}
