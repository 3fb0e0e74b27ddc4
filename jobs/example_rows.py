"""Chooses a service to ask, and rows to ask it for, of the keys that are online."""

from datetime import UTC, datetime
from typing import Any

from psycopg import Connection, sql

from jobs.run.instants import iso
from streamflow.catalog.layout import NO_KEY
from streamflow.catalog.model import Catalog, Service, View
from streamflow.errors import StreamflowError

Row = dict[str, Any]
"""The values of one row of a request by name: join keys, then what computed features take."""
ROWS = 2


def choose(connection: Connection[Any], catalog: Catalog) -> tuple[str, list[Row]]:
    """Chooses the service with the most features of those that have rows online, and some rows.

    Raises:
        StreamflowError: no service has any, or there is none.
    """
    if not catalog.services:
        raise StreamflowError(
            "the definitions have no feature service, by which features are asked for;"
            ' add one: FeatureService(name="…", features=[…])'
        )
    for service in sorted(
        catalog.services.values(), key=lambda one: -len(catalog.contracts[one.name].features)
    ):
        rows = [] if service.unservable else rows_of(connection, catalog, service)
        if rows:
            return service.name, rows
    raise StreamflowError("no service has a row online; are the sources' tables filled?")


def rows_of(connection: Connection[Any], catalog: Catalog, service: Service) -> list[Row]:
    """Some rows of which each view of a service has a value; empty where one has no row online.

    A join key of two views is that of the view with more keys.
    """
    rows: list[Row] = [{} for _ in range(ROWS)]
    views = sorted(keyed_views(catalog, service), key=lambda one: -len(one[0].keys))
    for view, names in views:
        asked = [names.get(key.name, key.name) for key in view.keys]
        if not set(asked) - set(rows[0]):
            continue
        if not (found := online_keys(connection, view)):
            return []
        for at, row in enumerate(rows):
            row |= dict(zip(asked, found[at % len(found)], strict=True)) | row
    if not rows[0]:
        return []
    order = [
        names.get(key.name, key.name)
        for view, names in keyed_views(catalog, service)
        for key in view.keys
    ]
    inputs = request_values(catalog, service)
    distinct = [row for at, row in enumerate(rows) if row not in rows[:at]]
    return [{name: row[name] for name in order} | inputs for row in distinct]


def request_for(catalog: Catalog, service: str, rows: list[Row]) -> dict[str, Any]:
    """The body of POST /get-online-features that asks a service for rows."""
    names = [one.name for one in catalog.contracts[service].features]
    full = {"full_feature_names": True} if len({*names}) < len(names) else {}
    entities = {name: [row[name] for row in rows] for name in rows[0]}
    return {"feature_service": service, "entities": entities, **full}


def keyed_views(catalog: Catalog, service: Service) -> list[tuple[View, dict[str, str]]]:
    """The stored views that a service needs, each with the names that its join keys have there."""
    found = []
    for projection in service.projections:
        if view := catalog.views.get(projection.view):
            found.append((view, projection.join_keys))
        else:
            inputs = catalog.computed[projection.view].join_keys.items()
            found += [(catalog.views[name], names) for name, names in inputs]
    return [one for one in found if [key.name for key in one[0].keys] != [NO_KEY]]


def online_keys(connection: Connection[Any], view: View) -> list[tuple[Any, ...]]:
    """The first keys that have a value of the view."""
    columns = sql.SQL(", ").join(sql.Identifier(key.column) for key in view.keys)
    table, event = sql.Identifier("online", view.table), sql.Identifier(view.event_column)
    query = sql.SQL("SELECT {0} FROM {1} WHERE {2} IS NOT NULL ORDER BY {0} LIMIT {3}")
    return connection.execute(query.format(columns, table, event, sql.Literal(ROWS))).fetchall()


def request_values(catalog: Catalog, service: Service) -> Row:
    """A value for each that the computed features of a service take: 1, true, a text, or now."""
    now = iso(datetime.now(UTC).replace(microsecond=0))
    values: Row = {"Bool": True, "String": "a", "UnixTimestamp": now}
    return {
        name: values.get(type_, 1)
        for projection in service.projections
        if projection.view in catalog.computed
        for name, type_ in catalog.computed[projection.view].request.items()
    }
