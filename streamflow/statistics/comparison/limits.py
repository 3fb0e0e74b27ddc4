"""Thresholds of drift for the columns of monthly tables, from the tags of views and features."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from psycopg import Connection

from streamflow import settings
from streamflow.postgres import migrate as schema
from streamflow.registry.messages import CLASSES, pairs
from streamflow.registry.plain import PlainView
from streamflow.registry.stores import OwnStores, own_stores
from streamflow.registry.views import entries, plain_view
from streamflow.snapshots import Snapshot, Snapshots
from streamflow.sources.monthly import query_of, snapshot_of
from streamflow.statistics.comparison.thresholds import Thresholds, strictest, thresholds


@dataclass(frozen=True)
class Limits:
    """The thresholds of a table or view: of each column, and of its rows."""

    columns: Mapping[str, Thresholds] = field(default_factory=dict)
    rows: Thresholds = field(default_factory=Thresholds)


@dataclass(frozen=True)
class TaggedView:
    """A feature view whose values are columns of its source, with its thresholds."""

    view: PlainView
    limits: Limits
    """By feature."""


def tagged_views(connection: Connection[Any], stores: OwnStores) -> dict[str, TaggedView | None]:
    """The feature views of the registry by name; None of one that is more than columns.

    Raises:
        ConfigurationError: a tag is not what it has to be.
    """
    found: dict[str, TaggedView | None] = {}
    for name, message in sorted(entries(connection, stores, "feature_views")):
        entry = CLASSES["FeatureView"].FromString(message)
        if entry.spec.disabled:
            continue
        view = plain_view(stores, entry)
        found[name] = None if view is None else TaggedView(view, limits_of(name, entry.spec))
    return found


def limits_of(name: str, spec: Any) -> Limits:
    """The thresholds of a view, by feature: the feature's tags go before the view's."""
    whole = pairs(spec.tags)
    columns = {
        one.name: thresholds(f"feature {name}:{one.name}", pairs(one.tags), whole)
        for one in spec.features
    }
    return Limits(columns, thresholds(f"feature view {name}", whole))


def table_of(view: PlainView, declared: Snapshots | None) -> Snapshot | None:
    """The monthly table that a view's source selects columns of; None for any other source."""
    if declared is None:
        return None
    return snapshot_of(query_of(view.source), declared)


def limits_by_table(connection: Connection[Any], declared: Snapshots) -> dict[str, Limits]:
    """The thresholds of monthly tables; of a column that several features are, the strictest.

    Defaults for what no view has, and in a project that is not applied or whose
    feature_store.yaml takes Feast to read.

    Raises:
        ConfigurationError: a tag is not what it has to be.
    """
    stores = own_stores(settings.streamflow().feature_repo)
    if stores is None or not schema.exists(connection, f"{stores.registry}.feature_views"):
        return {}
    columns: dict[str, dict[str, list[Thresholds]]] = {}
    rows: dict[str, list[Thresholds]] = {}
    for one in tagged_views(connection, stores).values():
        if one is None or (table := table_of(one.view, declared)) is None:
            continue
        rows.setdefault(table.table, []).append(one.limits.rows)
        for feature, asked in one.limits.columns.items():
            name = one.view.source.column(feature)
            columns.setdefault(table.table, {}).setdefault(name, []).append(asked)
    return {
        table: Limits(
            {name: strictest(several) for name, several in columns.get(table, {}).items()},
            strictest(asked),
        )
        for table, asked in rows.items()
    }
