"""The features of a service whose views are plain, joined without Feast."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pyarrow as pa
from psycopg import Connection

from streamflow import settings
from streamflow.offline.compose import text
from streamflow.offline.connect import connect, from_environment
from streamflow.offline.features import Features, Needs, Spine, feature_fields, in_types, with_views
from streamflow.offline.join.entities import ENTITY_QUERY, QueryEntities
from streamflow.offline.join.history import History
from streamflow.offline.join.sql import View
from streamflow.offline.select import fetched
from streamflow.postgres import connect as postgres
from streamflow.registry.services import PlainProjection, PlainService, plain_service
from streamflow.registry.stores import OwnStores, own_stores
from streamflow.sources.written_sql import subquery

WORK_MEM = "64MB"
"""PostgreSQL's memory per sort and hash of a join, as of the offline store's settings."""


def registered(service: str) -> Features | None:
    """The features of a service of the project of the PG* variables and the feature repository.

    None where Feast is needed: for its error where there is no such service, or for features whose
    values are not a source's columns.

    Args:
        service: empty for the one that is meant where none is named.
    """
    stores = own_stores(settings.streamflow().feature_repo)
    if stores is None:
        return None
    with postgres.connect() as connection:
        found = plain_service(connection, stores, service)
    return features_of(stores, found) if found else None


def features_of(stores: OwnStores, service: PlainService) -> Features:
    """The features of a service, to be joined in the database of the PG* variables."""
    names = [field.name for field in feature_fields(service.contract)]

    @contextmanager
    def joined(spine: Spine) -> Iterator[pa.RecordBatchReader]:
        full = with_views(service.contract)
        views = [view_of(one, full) for one in service.projections]
        with (
            read(stores, History(views, spine, full_names=full)) as batches,
            in_types(batches, spine, service.contract) as typed,
        ):
            yield typed

    return Features(
        service.contract, Needs(list(service.key_types), [], names, names), joined, service
    )


def history(stores: OwnStores, used: PlainProjection, query: str) -> pa.Table:
    """The rows of an entity query with features of one view, point-in-time."""
    entities = QueryEntities(text(subquery(query, ENTITY_QUERY)))
    with read(stores, History([view_of(used, full_names=False)], entities)) as batches:
        return batches.read_all()


@contextmanager
def read(stores: OwnStores, request: History) -> Iterator[pa.RecordBatchReader]:
    """Yields the rows of a request in batches."""
    names = [one.name for one in request.views]
    with reading(stores, f"feature view{'s' * (len(names) > 1)} {', '.join(names)}") as connection:
        select = request(connection)
        connection.execute("SET TRANSACTION READ ONLY")
        schema, batches = fetched(connection, select)
        with closing(batches):
            yield pa.RecordBatchReader.from_batches(schema, batches)


@contextmanager
def reading(stores: OwnStores, subject: str = "") -> Iterator[Connection[Any]]:
    """A connection that sees sources as training does; see streamflow/offline/connect.py."""
    where = from_environment()
    with connect(where, stores.search_path, WORK_MEM, None, subject) as connection:
        yield connection


def view_of(used: PlainProjection, full_names: bool) -> View:
    """A view as the join needs it, with its own names turned into those of its source."""
    view, source = used.view, used.view.source
    prefix = f"{used.name}__" if full_names else ""
    return View(
        name=used.name,
        source=source.relation,
        keys=tuple((ours, source.column(name)) for ours, name in used.keys),
        features=tuple((source.column(name), prefix + name) for name in used.features),
        timestamp=source.column(source.timestamp_field),
        created=source.column(source.created_field),
        ttl=view.ttl,
        types={prefix + name: view.types[name] for name in used.features},
        declared={name: (source.column(name), view.types[name]) for name in view.layout.features},
        source_name=source.name,
    )
