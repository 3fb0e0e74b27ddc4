"""The catalog and the contracts that it has known, as rows: `apply` writes them, commands read."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from streamflow import settings
from streamflow.catalog import model
from streamflow.catalog.known_contracts import (
    IS_READABLE,
    READ_KNOWN,
    Key,
    KnownContract,
    KnownFeature,
    KnownView,
    advanced,
    list_behind,
    parse_known,
    retained,
)
from streamflow.catalog.model import Catalog, CatalogTooNew, Service

THERE = "SELECT to_regclass('ops.catalog') IS NOT NULL, to_regclass('ops.contracts') IS NOT NULL"
CURRENT = """
    SELECT version, format, document::text, applied_at,
           document->>'project', (document->'views')::text <> '{}'
    FROM ops.catalog"""
"""The catalog as it is; its project and whether it has views, whatever its format."""


@dataclass(frozen=True)
class Change:
    """The catalog and its contracts before and after a catalog is written."""

    version: int
    """Of the catalog that there is; 0 for none."""
    is_same: bool
    """True if that catalog is the one to be written."""
    before: dict[Key, KnownContract]
    after: dict[Key, KnownContract]
    """The contracts that the table has, and those that it is to have."""


def is_current(connection: Connection, found: Catalog) -> bool:
    """True where `write` would change nothing."""
    if connection.execute(THERE).fetchone() != (True, True):
        return False
    change = change_to(connection, found)
    return change is None or (change.is_same and change.before == change.after)


def write(connection: Connection, found: Catalog) -> None:
    """Makes `found` the catalog, with the next version unless all is the same already.

    A database has one catalog, of the project that is served from it: the first that was
    applied. Another project's is not written, until that one was torn down. The lists of the
    contracts that its services have, or had until now, are kept in the same transaction.
    """
    change = change_to(connection, found, locks=True)
    if change is None:
        return
    for key, one in change.after.items():
        if change.before.get(key) != one:
            connection.execute(KEEP, row_of(found.project, one))
    if not change.is_same or change.before != change.after:
        values = {"format": found.format, "document": found.document()}
        connection.execute(WRITE, values)


WRITE = """
    INSERT INTO ops.catalog AS c (version, format, document)
    VALUES (1, %(format)s, %(document)s)
    ON CONFLICT (only_row) DO UPDATE
    SET version = c.version + 1, format = EXCLUDED.format, document = EXCLUDED.document,
        applied_at = now()"""
"""Makes a document the catalog."""

KEEP = """
    INSERT INTO ops.contracts
        (project, service, contract, features, views, since, superseded_at, ends_at, ended_at)
    VALUES (%(project)s, %(service)s, %(contract)s, %(features)s, %(views)s, %(since)s,
        %(superseded_at)s, %(ends_at)s, %(ended_at)s)
    ON CONFLICT (project, service, contract) DO UPDATE
    SET features = EXCLUDED.features, views = EXCLUDED.views, since = EXCLUDED.since,
        superseded_at = EXCLUDED.superseded_at, ends_at = EXCLUDED.ends_at,
        ended_at = EXCLUDED.ended_at"""
"""Keeps one contract."""


def change_to(connection: Connection, found: Catalog, locks: bool = False) -> Change | None:
    """The change that makes `found` the catalog; None where the catalog is another project's.

    Args:
        connection: to a database with both tables.
        found: its `known` contracts are those that its services have now.
        locks: hold the catalog's row until the transaction ends.
    """
    query = CURRENT + (" FOR UPDATE" if locks else "")
    row = connection.execute(query).fetchone()
    now = moment(connection)
    known = {one.key: one for one in known_contracts(connection, found.project)}
    after = known
    if row is not None:
        version, format_, document, applied_at, project, has_views = row
        if project != found.project and has_views:
            return None
        if project == found.project:
            former = of_catalog(version, format_, document, known)
            after = advanced(after.values(), former, applied_at)
    after = advanced(after.values(), found.known, now)
    after = retained(after, settings.streamflow().contract_retention_days, now)
    is_same = row is not None and row[1:3] == (found.format, found.document())
    return Change(row[0] if row else 0, is_same, known, after)


def of_catalog(
    version: int, format_: int, document: str, known: Mapping[Key, KnownContract]
) -> list[KnownContract]:
    """The contracts that the services of a catalog have; those of an unreadable one are unknown.

    An earlier version of StreamFlow may have written it, without a word to the table.
    """
    try:
        found = model.parse(version, format_, document)
    except CatalogTooNew:
        return [one for one in known.values() if one.superseded is None]
    lists = (
        known.get((name, service.contract)) or list_of(found, service)
        for name, service in found.services.items()
    )
    return [one for one in lists if one is not None]


def list_of(found: Catalog, service: Service) -> KnownContract | None:
    """A service's contract by the catalog alone; None where that has not all of its features."""
    contract = found.contracts[service.name]
    if contract.hash != service.contract or service.unservable:
        return None
    views = [KnownView(one.alias, one.view, one.join_keys) for one in service.projections]
    return list_behind(contract, views, found.sources)


def known_contracts(connection: Connection, project: str) -> list[KnownContract]:
    """The contracts of a project in the database; none where there is no list that may be read."""
    if connection.execute(IS_READABLE).fetchone() != (True,):
        return []
    rows = connection.execute(READ_KNOWN.format(project="%s"), [project])
    return [parse_known(row) for row in rows]


def served(connection: Connection) -> Catalog | None:
    """The catalog that the API serves, with its known contracts; None where there is none.

    Those are as the next apply will find them, also where an earlier version applied last.

    Raises:
        CatalogTooNew: a later version of StreamFlow wrote it.
    """
    row = connection.execute(CURRENT).fetchone()
    if row is None:
        return None
    version, format_, document, applied_at, project, _ = row
    known = {one.key: one for one in known_contracts(connection, project)}
    after = advanced(known.values(), of_catalog(version, format_, document, known), applied_at)
    return model.parse(version, format_, document, after.values())


def moment(connection: Connection) -> datetime:
    """The moment at which the transaction began, by the database's clock."""
    row = connection.execute("SELECT now()").fetchone()
    assert row is not None  # noqa: S101  # a SELECT without FROM gives one row
    found: datetime = row[0]
    return found


def row_of(project: str, one: KnownContract) -> dict[str, Any]:
    """A contract as KEEP hands it to PostgreSQL."""
    return {
        "project": project,
        "service": one.service,
        "contract": one.hash,
        "features": listed(one.features),
        "views": listed(one.views),
        "since": one.since,
        "superseded_at": one.superseded,
        "ends_at": one.ends,
        "ended_at": one.ended,
    }


def listed(parts: Iterable[KnownFeature | KnownView]) -> str:
    """The parts of a list as JSON."""
    return json.dumps([asdict(one) for one in parts])
