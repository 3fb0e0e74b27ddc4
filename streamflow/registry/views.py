"""The feature views of Feast's registry whose values are columns of a source in PostgreSQL."""

import json
from collections.abc import Sequence
from typing import Any, get_args

from psycopg import Connection, sql

from streamflow.catalog.layout import JSON, NO_KEY, column_type, layout
from streamflow.catalog.model import TtlPolicy
from streamflow.registry.messages import CLASSES, pairs
from streamflow.registry.plain import PlainView
from streamflow.registry.stores import OwnStores
from streamflow.sources.table import SourceTable

POSTGRES = (
    "feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source.PostgreSQLSource"
)
NO_ENTITY = "__dummy"
"""The entity that Feast gives views without any."""
CREATED = 1
"""The state of a view from which Feast lets none be materialized."""
NUMBERS = {
    1: "BYTES STRING INT32 INT64 DOUBLE FLOAT BOOL UNIX_TIMESTAMP",
    11: "BYTES_LIST STRING_LIST INT32_LIST INT64_LIST DOUBLE_LIST FLOAT_LIST BOOL_LIST",
    18: "UNIX_TIMESTAMP_LIST",
    22: "BYTES_SET STRING_SET INT32_SET INT64_SET DOUBLE_SET FLOAT_SET BOOL_SET",
    29: "UNIX_TIMESTAMP_SET PDF_BYTES IMAGE_BYTES JSON JSON_LIST",
    36: "UUID TIME_UUID UUID_LIST TIME_UUID_LIST UUID_SET TIME_UUID_SET",
    44: "DECIMAL DECIMAL_LIST DECIMAL_SET",
}
"""Feast's value types from a number on, of those that have a column of their own."""
VALUE_TYPES = {
    first + n: name for first, names in NUMBERS.items() for n, name in enumerate(names.split())
}
"""The same by number."""
KINDS = {"feature_services": "feature_service"}
"""By table of the registry, what its columns begin with, if not as those of views do."""


def plain_views(
    connection: Connection, stores: OwnStores, names: Sequence[str] = ()
) -> list[PlainView] | None:
    """The views to materialize, by name; None where Feast is needed to say or to compute one.

    Args:
        connection: to the registry's database.
        names: views by name; none for all that are enabled and kept online.
    """
    views = {
        name: CLASSES["FeatureView"].FromString(entry)
        for name, entry in entries(connection, stores, "feature_views")
    }
    if names:
        wanted = sorted(set(names))
        if any(name not in views or views[name].spec.disabled for name in wanted):
            return None
    else:
        if is_more_materialized(connection, stores):
            return None
        wanted = sorted(
            name for name, view in views.items() if view.spec.online and not view.spec.disabled
        )
    found = [
        plain_view(stores, views[name]) if is_materialized(views[name]) else None for name in wanted
    ]
    plain = [one for one in found if one is not None]
    return plain if len(plain) == len(found) else None


def entries(connection: Connection, stores: OwnStores, table: str) -> list[tuple[str, bytes]]:
    """The names and messages of a project in a table of the registry."""
    kind = KINDS.get(table, "feature_view")
    query = sql.SQL("SELECT {}, {} FROM {} WHERE project_id = %s").format(
        sql.Identifier(f"{kind}_name"),
        sql.Identifier(f"{kind}_proto"),
        sql.Identifier(stores.registry, table),
    )
    return connection.execute(query, [stores.project]).fetchall()


def is_materialized(view: Any) -> bool:
    """True where Feast lets a view be materialized."""
    return bool(view.spec.online) and view.meta.state != CREATED


def is_more_materialized(connection: Connection, stores: OwnStores) -> bool:
    """True where the registry has views of other classes that may be kept online."""
    if entries(connection, stores, "stream_feature_views"):
        return True
    return any(
        CLASSES["OnDemandFeatureView"].FromString(entry).spec.write_to_online_store
        for _, entry in entries(connection, stores, "on_demand_feature_views")
    )


def plain_view(stores: OwnStores, view: Any) -> PlainView | None:
    """A view in the library's terms; None where its values are not columns, or not ours to make."""
    spec, source = view.spec, view.spec.batch_source
    tags = pairs(spec.tags)
    policy = tags.get("ttl_policy", stores.ttl_policy)
    columns = (spec.entity_columns, spec.features)
    if (
        spec.HasField("feature_transformation")
        or spec.source_views
        or policy not in get_args(TtlPolicy)
        or source.data_source_class_type != POSTGRES
        or any(one.value_type not in VALUE_TYPES for part in columns for one in part)
    ):
        return None
    keys, features = (
        {one.name: VALUE_TYPES[one.value_type] for one in part if one.name != NO_KEY}
        for part in columns
    )
    if any(column_type(one) == JSON for one in (*keys.values(), *features.values())):
        return None
    named = json.loads(source.custom_options.configuration)
    return PlainView(
        name=spec.name,
        kind="feature view",
        layout=layout(stores.project, spec.name, keys, features),
        source=SourceTable(
            name=named["name"],
            table=named["table"] or "",
            query=named["query"] or "",
            timestamp_field=source.timestamp_field,
            created_field=source.created_timestamp_column,
            own_names={one.value: one.key for one in source.field_mapping},
        ),
        types=keys | features | keys,
        entities=tuple(one for one in spec.entities if one != NO_ENTITY),
        is_online=spec.online,
        ttl=spec.ttl.ToTimedelta(),
        ttl_policy=policy,
    )
