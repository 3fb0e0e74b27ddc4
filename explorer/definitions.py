"""The definitions of a project as pages show them: services, views, features, and their months."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from explorer.database import Connection
from explorer.queries import catalog as catalogs
from explorer.queries import statistics
from explorer.queries.catalog import Registered, RegisteredView, Version
from streamflow.catalog.layout import NO_KEY
from streamflow.catalog.model import Catalog, Service, View
from streamflow.registry.plain import PlainView
from streamflow.sources.monthly import is_called, query_of, unrenamed
from streamflow.statistics.comparison.limits import Limits


@dataclass(frozen=True)
class FeatureInfo:
    """A feature of a view."""

    view: str
    name: str
    type: str
    description: str
    tags: Mapping[str, str] = field(default_factory=dict)
    expression: str = ""
    """Of a computed feature."""
    column: str = ""
    """The column of the view's monthly table that has it; empty where there is none."""

    @property
    def reference(self) -> str:
        """Its name in requests."""
        return f"{self.view}:{self.name}"


@dataclass(frozen=True)
class ViewInfo:
    """A feature view."""

    name: str
    description: str
    features: Mapping[str, FeatureInfo]
    keys: tuple[str, ...] = ()
    """Its join keys; none for a view of one row."""
    stored: View | None = None
    """The view as it is online; None where it is not served from a table."""
    computed_from: tuple[str, ...] = ()
    """The views that a computed one takes features of."""
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    plain: PlainView | None = None
    """The view as columns of its source; None where it is not known to be only that."""
    table: str = ""
    """The monthly table that has its values; empty where there is none with statistics."""

    @property
    def source(self) -> str:
        """The name of its data source; empty where it is not known."""
        return self.plain.source.name if self.plain else ""


@dataclass(frozen=True)
class Definitions:
    """The definitions of a project at one version of its catalog."""

    catalog: Catalog
    applied_at: datetime
    views: Mapping[str, ViewInfo]
    fault: str = ""
    """The reason why tags and sources are not known; empty where they are."""

    @property
    def project(self) -> str:
        """Feast's project."""
        return self.catalog.project

    @property
    def services(self) -> Mapping[str, Service]:
        """The feature services by name."""
        return self.catalog.services

    def feature(self, view: str, name: str) -> FeatureInfo | None:
        """A feature by its names; None where there is no such one."""
        found = self.views.get(view)
        return found.features.get(name) if found else None

    def services_of(self, view: str) -> list[str]:
        """The services that use a view, by name."""
        return [
            name
            for name, service in sorted(self.services.items())
            if any(one.view == view for one in service.projections)
        ]

    def features_by_column(self) -> dict[tuple[str, str], list[FeatureInfo]]:
        """The features that a column of a monthly table is, by table and column."""
        found: dict[tuple[str, str], list[FeatureInfo]] = {}
        for view in self.views.values():
            for one in view.features.values():
                if one.column:
                    found.setdefault((view.table, one.column), []).append(one)
        return found


State = tuple[Version, Mapping[str, frozenset[str]], str]
"""Tells definitions apart: the version of the catalog, tables with statistics, the registry."""


class KeptDefinitions:
    """The definitions that were read last, read anew when what they are made of is another."""

    def __init__(self, project: str, registry_schema: str) -> None:
        self._project, self._schema = project, registry_schema
        self._lock = threading.Lock()
        self._kept: tuple[State, Definitions] | None = None

    def of(self, connection: Connection) -> Definitions:
        """The present definitions.

        Raises:
            NotApplied: the project is not there yet.
            CatalogTooNew: a later version of StreamFlow wrote its catalog.
        """
        version = catalogs.version_of(connection, self._project)
        tables = statistics.tables(connection)
        state = (
            version,
            tables,
            catalogs.registry_state(connection, version.project, self._schema),
        )
        with self._lock:
            if self._kept is not None and self._kept[0] == state:
                return self._kept[1]
        found = definitions(connection, version, tables, self._schema)
        with self._lock:
            self._kept = state, found
        return found


def definitions(
    connection: Connection,
    version: Version,
    tables: Mapping[str, frozenset[str]],
    registry_schema: str,
) -> Definitions:
    """The definitions of a project.

    Args:
        tables: the columns of each monthly table that has statistics.
    """
    catalog = catalogs.catalog_of(connection, version.project)
    registered = catalogs.registered(connection, version.project, registry_schema)
    views = {one.name: one for one in views_of(catalog, registered, tables)}
    return Definitions(catalog, version.applied_at, views, registered.fault)


def views_of(
    catalog: Catalog, registered: Registered, tables: Mapping[str, frozenset[str]]
) -> Iterator[ViewInfo]:
    """The views of a catalog by name, with what the registry says of them."""
    for name in sorted({*catalog.views, *catalog.computed}):
        found = registered.views.get(name, NOT_REGISTERED)
        stored, computed = catalog.views.get(name), catalog.computed.get(name)
        view = stored or computed
        assert view is not None  # noqa: S101  # the name is of one of the two
        table = monthly_table(found.plain, tables) if found.plain else ""
        columns = columns_of(found.plain, tables[table]) if found.plain and table else {}
        features = {
            one.name: FeatureInfo(
                view=name,
                name=one.name,
                type=one.type,
                description=one.description,
                tags=found.feature_tags.get(one.name, {}),
                expression=one.expression,
                column=columns.get(one.name, ""),
            )
            for one in catalog.features_of(name).values()
        }
        yield ViewInfo(
            name=name,
            description=view.description,
            features=features,
            keys=keys_of(stored, found.plain),
            stored=stored,
            computed_from=tuple(sorted({one for one, _ in computed.inputs.values()}))
            if computed
            else (),
            owner=found.owner,
            tags=found.tags,
            limits=found.limits,
            plain=found.plain,
            table=table,
        )


NOT_REGISTERED = RegisteredView({}, {}, "", Limits(), None)
"""A view of which nothing is known but what the catalog says."""


def keys_of(stored: View | None, plain: PlainView | None) -> tuple[str, ...]:
    """The join keys of a view, in the order of its table."""
    if stored is not None:
        return tuple(one.name for one in stored.keys if one.name != NO_KEY)
    return tuple(one for one in plain.layout.join_keys if one != NO_KEY) if plain else ()


def monthly_table(view: PlainView, tables: Mapping[str, frozenset[str]]) -> str:
    """The table with statistics that a view's source selects columns of; empty for none."""
    plain = unrenamed(query_of(view.source))
    if plain is None:
        return ""
    return next((one for one in tables if is_called(plain, one)), "")


def columns_of(view: PlainView, there: frozenset[str]) -> dict[str, str]:
    """By feature: its column, of those that have statistics."""
    named = {name: view.source.column(name) for name in view.layout.features}
    return {name: column for name, column in named.items() if column in there}
