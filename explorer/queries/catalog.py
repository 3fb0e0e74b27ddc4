"""Reads a project's catalog, and what Feast's registry has of its views beyond that."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import psycopg
from psycopg import sql

from explorer.database import Connection, row, rows
from streamflow.catalog.model import Catalog, parse
from streamflow.errors import ConfigurationError, SchemaMissing
from streamflow.postgres import migrate as schema
from streamflow.registry.messages import CLASSES, pairs
from streamflow.registry.plain import PlainView
from streamflow.registry.stores import OwnStores
from streamflow.registry.views import entries, plain_view
from streamflow.statistics.comparison.limits import Limits, limits_of

NO_LOOKBACK = timedelta(0)
"""A setting of materializations, which the explorer makes none of."""


class NotApplied(SchemaMissing):
    """The database has no catalog of the project yet."""


@dataclass(frozen=True)
class Version:
    """A catalog's place and number, by which a cached one is told to be the present one."""

    project: str
    version: int
    applied_at: datetime


@dataclass(frozen=True)
class RegisteredView:
    """A feature view as Feast's registry has it."""

    tags: Mapping[str, str]
    feature_tags: Mapping[str, Mapping[str, str]]
    """By feature."""
    owner: str
    limits: Limits
    """The thresholds of drift, by feature."""
    plain: PlainView | None
    """The view as columns of its source; None where it is more than that."""


@dataclass(frozen=True)
class Registered:
    """The views of a project as Feast's registry has them."""

    views: Mapping[str, RegisteredView] = field(default_factory=dict)
    fault: str = ""
    """The reason why it could not be read, in words; then there are no views."""


def version_of(connection: Connection, project: str) -> Version:
    """The version of a project's catalog; of the first one for "".

    Raises:
        NotApplied: there is none.
        SchemaTooNew: a later version applied, which this one cannot use.
    """
    schema.require(connection)
    found = row(connection, VERSION, {"project": project})
    if found is None:
        called = f" {project}" if project else ""
        raise NotApplied(f"the database has no project{called} yet; run: streamflow apply")
    return Version(**found)


VERSION = """
    SELECT project, version, applied_at FROM ops.catalogs
    WHERE project = coalesce(nullif(%(project)s, ''), (SELECT project FROM ops.catalog))"""
"""Project, version and time of a catalog."""


def catalog_of(connection: Connection, project: str) -> Catalog:
    """A project's catalog, without the contracts that its services had before.

    Raises:
        CatalogTooNew: a later version of StreamFlow wrote it.
    """
    found = row(connection, DOCUMENT, {"project": project})
    if found is None:
        raise NotApplied(f"the database has no project {project} any more")
    return parse(found["version"], found["format"], found["document"])


DOCUMENT = "SELECT version, format, document FROM ops.catalogs WHERE project = %(project)s"
"""A catalog."""


@dataclass(frozen=True)
class OlderContract:
    """A contract that a service had before its present one."""

    contract: str
    since: datetime
    superseded_at: datetime
    ends_at: datetime | None
    """After which an apply ends it; None for never."""
    ended_at: datetime | None
    """From when on it is not answered any more."""


def older_contracts(connection: Connection, project: str, service: str) -> list[OlderContract]:
    """The contracts that a service had, the last one first; none where there is no list of them."""
    if not schema.exists(connection, "ops.contracts"):
        return []
    found = rows(connection, OLDER_CONTRACTS, {"project": project, "service": service})
    return [OlderContract(**one) for one in found]


OLDER_CONTRACTS = """
    SELECT contract, since, superseded_at, ends_at, ended_at FROM ops.contracts
    WHERE project = %(project)s AND service = %(service)s AND superseded_at IS NOT NULL
    ORDER BY superseded_at DESC"""
"""The contracts of a service but for the present one."""


def registry_state(connection: Connection, project: str, schema_name: str) -> str:
    """A text that is another one as soon as a view of Feast's registry is; empty where unreadable.

    A tag may change without a change of the catalog.
    """
    query = sql.SQL(REGISTRY_STATE).format(sql.Identifier(schema_name, "feature_views"))
    try:
        with connection.transaction():
            found = row(connection, query, {"project": project})
    except psycopg.OperationalError:
        raise
    except psycopg.Error:
        return ""
    return str(found["state"]) if found else ""


REGISTRY_STATE = """
    SELECT md5(string_agg(feature_view_name || ' ' || xmin, ',' ORDER BY feature_view_name))
           AS state
    FROM {} WHERE project_id = %(project)s"""
"""The views of a project, each with the transaction that wrote it."""


def registered(connection: Connection, project: str, schema_name: str) -> Registered:
    """The views of Feast's registry; none, with the reason, where that cannot be read.

    A page without tags is of more use than none: the role may have no right to the registry.
    """
    stores = OwnStores(project, schema_name, "", NO_LOOKBACK)
    try:
        with connection.transaction():  # a savepoint: what fails here leaves the page's own alone
            found = entries(connection, stores, "feature_views")
        return Registered({name: registered_view(stores, name, entry) for name, entry in found})
    except (psycopg.Error, ConfigurationError) as error:
        if isinstance(error, psycopg.OperationalError):
            raise
        return Registered(fault=str(error).strip().splitlines()[0])


def registered_view(stores: OwnStores, name: str, message: bytes) -> RegisteredView:
    """A view of a message of the registry."""
    entry = CLASSES["FeatureView"].FromString(message)
    spec = entry.spec
    try:
        limits = limits_of(name, spec)
    except ConfigurationError:
        limits = Limits()  # `apply` of an earlier version let the tag pass
    return RegisteredView(
        tags=pairs(spec.tags),
        feature_tags={one.name: pairs(one.tags) for one in spec.features},
        owner=spec.owner,
        limits=limits,
        plain=plain_view(stores, entry),
    )
