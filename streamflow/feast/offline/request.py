"""Feast's objects of a point-in-time request in the library's terms."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import Any

from feast import FeatureView
from feast.infra.offline_stores.offline_store import RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.utils import (
    _get_requested_feature_views_to_features_dict,
    _get_requested_on_demand_feature_views,
)
from psycopg import Connection

from streamflow.catalog.layout import NO_KEY
from streamflow.feast.json_values import maker
from streamflow.feast.sources import own_names, postgres_source, relation
from streamflow.offline.join.entities import QueryEntities
from streamflow.offline.join.frame import FrameEntities
from streamflow.offline.join.sql import View


class QueryMetadata(RetrievalMetadata):
    """Feast's description of a request with an entity query, asked of the database when needed."""

    def __init__(
        self,
        features: list[str],
        entities: QueryEntities,
        connected: Callable[[], AbstractContextManager[Connection[Any]]],
    ) -> None:
        self.features = features
        self._entities = entities
        self._connected = connected

    @cached_property
    def _found(self) -> tuple[list[str], datetime | None, datetime | None]:
        with self._connected() as connection:
            return self._entities.span(connection)

    @property
    def keys(self) -> list[str]:
        """All columns but the time."""
        return self._found[0]

    @property
    def min_event_timestamp(self) -> datetime | None:
        """The first time, None where there are no rows."""
        return self._found[1]

    @property
    def max_event_timestamp(self) -> datetime | None:
        """The last time, None where there are no rows."""
        return self._found[2]


def frame_metadata(features: list[str], entities: FrameEntities) -> RetrievalMetadata:
    """Feast's description of a request with a data frame."""
    return RetrievalMetadata(features, *entities.span())


def requested(
    refs: Sequence[str],
    views: Sequence[FeatureView],
    registry: BaseRegistry,
    project: str,
    full_names: bool,
    known_only: bool,
) -> list[View]:
    """Feast's views with the features that `refs` ask of them.

    Raises:
        FeastOfflineStoreUnsupportedDataSource: a view's source is not PostgreSQL's.
    """
    on_demand = _get_requested_on_demand_feature_views(list(refs), project, registry)
    ordered = inputs_in_order(refs, views, on_demand)
    wanted, _ = _get_requested_feature_views_to_features_dict(ordered, list(views), on_demand)
    return [view_of(view, names, full_names, known_only) for view, names in wanted.items()]


def inputs_in_order(
    refs: Sequence[str], views: Sequence[FeatureView], on_demand: Sequence[OnDemandFeatureView]
) -> list[str]:
    """`refs`, those at their end that are inputs of on-demand views by view and in its order.

    Feast adds these from sets and from maps of protobuf, whose order differs in each process.
    """
    inputs = {
        f"{source.name}:{feature.name}"
        for view in on_demand
        for source in view.source_feature_view_projections.values()
        for feature in source.features
    }
    asked = list(refs)
    while asked and asked[-1] in inputs:
        asked.pop()
    places = {
        f"{view.projection.name_to_use()}:{feature.name}": (view.projection.name_to_use(), place)
        for view in views
        for place, feature in enumerate(view.features)
    }
    return [*asked, *sorted(refs[len(asked) :], key=lambda ref: places.get(ref, (ref, 0)))]


def view_of(view: FeatureView, features: Sequence[str], full_names: bool, known_only: bool) -> View:
    """A feature view with its own names turned into those of its source."""
    source = postgres_source(view.batch_source)
    column = own_names(source)
    prefix = f"{view.projection.name_to_use()}__" if full_names else ""
    types = {one.name: one.dtype for one in view.features if one.name in features}
    return View(
        name=view.projection.name_to_use(),
        source=relation(source),
        keys=tuple(
            (
                view.projection.join_key_map.get(entity.name, entity.name),
                column.get(entity.name, entity.name),
            )
            for entity in view.entity_columns
            if entity.name != NO_KEY
        ),
        features=tuple((column.get(name, name), prefix + name) for name in features),
        timestamp=column.get(source.timestamp_field, source.timestamp_field),
        created=column.get(source.created_timestamp_column, source.created_timestamp_column),
        ttl=view.ttl or timedelta(0),
        known_only=known_only,
        types={prefix + name: dtype.to_value_type().name for name, dtype in types.items()},
        makers={prefix + name: partial(maker, dtype=dtype) for name, dtype in types.items()},
        declared={
            one.name: (column.get(one.name, one.name), one.dtype.to_value_type().name)
            for one in view.features
        },
        source_name=source.name,
    )


def computed_names(views: Iterable[OnDemandFeatureView], full_names: bool) -> list[str]:
    """The names that on-demand views add to the answer: of their features, and of their inputs.

    Feast hands them the features of other views under their short names, whatever the answer
    calls those: a column of such a name would be a second one.
    """
    found = []
    for view in views:
        prefix = f"{view.projection.name_to_use()}__" if full_names else ""
        found += [prefix + feature.name for feature in view.features]
        for source in view.source_feature_view_projections.values():
            found += [feature.name for feature in source.features]
    return found
