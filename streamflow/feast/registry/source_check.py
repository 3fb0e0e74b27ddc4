"""Compares definitions with their sources: every column, type and time that a view asks for."""

import re
from collections.abc import Mapping
from typing import Any

from feast import Entity, ValueType
from feast.feature_view import DUMMY_ENTITY_ID
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.repo_config import RepoConfig
from feast.repo_contents import RepoContents
from feast.types import from_value_type
from psycopg import Connection

from streamflow.errors import SourceMismatch
from streamflow.feast.connection import search_path
from streamflow.feast.sources import source_table
from streamflow.postgres.options import choose
from streamflow.sources.faults import FieldType, Wanted, faults


def wanted_of(view: Any, keys: Mapping[str, Any]) -> Wanted | None:
    """The fields that a view of any class needs; None where its source is not PostgreSQL's.

    A view that is computed from other views asks for nothing, and one that is computed by a
    function or aggregations for no features.

    Args:
        keys: Feast's type by join key, None for any.
    """
    source = getattr(view, "batch_source", None)
    if not isinstance(source, PostgreSQLSource) or getattr(view, "source_views", None):
        return None
    own = {name: dtype for name, dtype in keys.items() if name != DUMMY_ENTITY_ID}
    aggregations = getattr(view, "aggregations", None)
    if getattr(view, "feature_transformation", None) or getattr(view, "udf", None):
        own = {}
    elif aggregations:
        own |= {one.column: None for one in aggregations}
    else:
        own |= {one.name: one.dtype for one in view.features if one.name != DUMMY_ENTITY_ID}
    fields = {
        name: None if dtype is None else FieldType(dtype.to_value_type().name, str(dtype))
        for name, dtype in own.items()
    }
    return Wanted(named(view), source_table(source), fields)


def named(view: Any) -> str:
    """A view's kind and name: `feature view prices`."""
    return f"{kind_of(view)} {view.name}"


def kind_of(view: Any) -> str:
    """A view's class in words: `feature view`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(view).__name__).lower()


def unreadable(view: Any) -> str:
    """The fault of a view whose source is not in PostgreSQL; empty where it is, or there is none.

    A view that is computed from other views has as its source the place that it is written to.
    """
    source = getattr(view, "batch_source", None)
    if source is None or isinstance(source, PostgreSQLSource):
        return ""
    if getattr(view, "source_views", None):
        return ""
    return (
        f"{named(view)}: data source {source.name} is a {type(source).__name__}, which the"
        " offline store cannot read: name a PostgreSQLSource, or no source"
    )


def require_fit(connection: Connection[Any], config: RepoConfig, contents: RepoContents) -> None:
    """Returns when every definition of a repository fits its source.

    Args:
        connection: to the offline store's database, inside a transaction.

    Raises:
        SourceMismatch: naming all faults.
    """
    connection.execute(choose([("search_path", search_path(config.offline_store))]))
    entities = {one.name: one for one in contents.entities}
    views = [*contents.feature_views, *contents.stream_feature_views, *contents.label_views]
    wanted = [wanted_of(view, keys_of(view, entities)) for view in views]
    unread = [
        source_table(one) for one in contents.data_sources if isinstance(one, PostgreSQLSource)
    ]
    found = [said for view in views if (said := unreadable(view))]
    if found := [*found, *faults(connection, [one for one in wanted if one], unread)]:
        raise SourceMismatch(found, "nothing was changed")


def require_view(connection: Connection[Any], config: RepoConfig, view: Any) -> None:
    """Returns when the source of a registered view has its columns and a time.

    Args:
        connection: to the offline store's database, inside a transaction.

    Raises:
        SourceMismatch: naming the view, the source and what that has.
    """
    connection.execute(choose([("search_path", search_path(config.offline_store))]))
    wanted = wanted_of(view, {one.name: None for one in view.entity_columns})
    if wanted and (found := faults(connection, [wanted], types=False)):
        raise SourceMismatch(found)


def keys_of(view: Any, entities: Mapping[str, Entity]) -> dict[str, Any]:
    """Feast's type by join key of a view that was not applied yet; None where it says none."""
    declared = {one.name: one.dtype for one in view.entity_columns}
    keys = {}
    for name in view.entities:
        if entity := entities.get(name):
            known = entity.value_type != ValueType.UNKNOWN
            own = from_value_type(entity.value_type) if known else None
            keys[entity.join_key] = declared.get(entity.join_key, own)
    return keys
