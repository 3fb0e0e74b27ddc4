"""The feature services of Feast's registry whose views all have their values in PostgreSQL."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import Connection, sql

from streamflow.catalog.contract import Contract, Feature, service_by_default
from streamflow.registry.messages import CLASSES, pairs
from streamflow.registry.plain import PlainView
from streamflow.registry.stores import OwnStores
from streamflow.registry.views import VALUE_TYPES, entries, plain_view

TYPES = {
    "BYTES": "Bytes",
    "STRING": "String",
    "INT32": "Int32",
    "INT64": "Int64",
    "DOUBLE": "Float64",
    "FLOAT": "Float32",
    "BOOL": "Bool",
    "UNIX_TIMESTAMP": "UnixTimestamp",
    "PDF_BYTES": "PdfBytes",
    "IMAGE_BYTES": "ImageBytes",
    "JSON": "Json",
    "UUID": "Uuid",
    "TIME_UUID": "TimeUuid",
    "DECIMAL": "Decimal",
}
"""Feast's type, as contracts have it, by value type."""
COLLECTIONS = {"_LIST": "Array", "_SET": "Set"}


@dataclass(frozen=True)
class PlainProjection:
    """A view of PostgreSQL's columns as a service uses it."""

    name: str
    """The service's name for the view."""
    view: PlainView
    features: tuple[str, ...]
    join_key_map: Mapping[str, str]
    """The names that the service gives join keys, by the view's."""

    @property
    def keys(self) -> list[tuple[str, str]]:
        """The service's and the view's name of each join key, in the order of the view."""
        keys = [name for name in self.view.types if name in self.view.layout.join_keys]
        return [(self.join_key_map.get(name, name), name) for name in keys]


@dataclass(frozen=True)
class PlainService:
    """A feature service in the library's own terms, of views that are all plain."""

    contract: Contract
    projections: tuple[PlainProjection, ...]

    @property
    def key_types(self) -> dict[str, str]:
        """Feast's value type of each value that a request has to give, by name."""
        return {ours: one.view.types[name] for one in self.projections for ours, name in one.keys}


def plain_service(connection: Connection, stores: OwnStores, name: str) -> PlainService | None:
    """A service of the registry; None where Feast is needed to say or to compute something of it.

    Args:
        connection: to the registry's database.
        name: empty for the service that is meant where none is named.
    """
    services = dict(entries(connection, stores, "feature_services"))
    name = name or service_by_default(services)
    if name not in services:
        return None
    spec = CLASSES["FeatureService"].FromString(services[name]).spec
    return plain_service_of(connection, stores, name, spec)


def plain_service_of(
    connection: Connection, stores: OwnStores, name: str, spec: Any
) -> PlainService | None:
    """The same of a service whose message was read."""
    used = spec.features
    views = views_called(connection, stores, [one.feature_view_name for one in used])
    projections = []
    for one in used:
        view = views.get(one.feature_view_name)
        found = None if view is None else projection(view, one)
        if found is None:
            return None
        projections.append(found)
    names = [one.name for one in projections]
    if len(set(names)) < len(names):
        return None
    features = (
        feature(found, field)
        for found, one in zip(projections, used, strict=True)
        for field in one.feature_columns
    )
    return PlainService(Contract(name, tuple(features)), tuple(projections))


def views_called(
    connection: Connection, stores: OwnStores, names: list[str]
) -> dict[str, PlainView]:
    """The plain ones of these feature views by name, but for those that are disabled."""
    query = sql.SQL(
        "SELECT feature_view_proto FROM {} WHERE project_id = %s AND feature_view_name = ANY(%s)"
    ).format(sql.Identifier(stores.registry, "feature_views"))
    messages = connection.execute(query, [stores.project, names]).fetchall()
    views = [CLASSES["FeatureView"].FromString(message) for (message,) in messages]
    plain = (plain_view(stores, one) for one in views if not one.spec.disabled)
    return {one.name: one for one in plain if one is not None}


def projection(view: PlainView, used: Any) -> PlainProjection | None:
    """A view as a service uses it; None of a pinned version, or of features that it has not.

    Nor of features that have another type in the service, which was applied before the view.
    """
    columns = used.feature_columns
    features = tuple(one.name for one in columns)
    if (
        used.HasField("version_tag")
        or len(set(features)) < len(features)
        or not set(features) <= set(view.layout.features)
        or any(VALUE_TYPES.get(one.value_type) != view.types[one.name] for one in columns)
    ):
        return None
    return PlainProjection(
        name=used.feature_view_name_alias or used.feature_view_name,
        view=view,
        features=features,
        join_key_map=pairs(used.join_key_map),
    )


def feature(found: PlainProjection, field: Any) -> Feature:
    """A feature as the contract has it."""
    type_ = type_name(VALUE_TYPES[field.value_type])
    return Feature(found.name, field.name, type_, field.description)


def type_name(value_type: str) -> str:
    """Feast's type, as contracts have it, of a value type: FLOAT_LIST is Array(Float32)."""
    for suffix, collection in COLLECTIONS.items():
        if value_type.endswith(suffix):
            return f"{collection}({TYPES[value_type.removesuffix(suffix)]})"
    return TYPES[value_type]
