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
from streamflow.catalog.model import FIRST, Catalog, CatalogTooNew, Service

THERE = "SELECT to_regclass('ops.catalog') IS NOT NULL, to_regclass('ops.contracts') IS NOT NULL"
CURRENT = """
    SELECT version, format, document::text, applied_at,
           document->>'project', (document->'views')::text <> '{{}}'
    FROM {}"""
"""A catalog as it is; its project and whether it has views, whatever its format."""
FURTHER = "ops.further_catalogs"
"""The table with the catalogs of projects that came when ops.catalog was another's."""
HAS_FURTHER = "SELECT to_regclass('ops.further_catalogs') IS NOT NULL"


@dataclass(frozen=True)
class Change:
    """A project's catalog and its contracts before and after the catalog is written."""

    table: str
    """The one that has, or gets, the catalog."""
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
    return change.is_same and change.before == change.after


def write(connection: Connection, found: Catalog) -> None:
    """Makes `found` its project's catalog, with the next version unless all is the same already.

    The first project that was applied to a database is in ops.catalog, until it is torn down; each
    other one has a row in ops.further_catalogs. The lists of the contracts that its services have,
    or had until now, are kept in the same transaction.
    """
    change = change_to(connection, found, locks=True)
    for key, one in change.after.items():
        if change.before.get(key) != one:
            connection.execute(KEEP, row_of(found.project, one))
    if not change.is_same or change.before != change.after:
        connection.execute(WRITE[change.table], [found.format, found.document()])


WRITE = {
    FIRST: """
        INSERT INTO ops.catalog AS c (version, format, document) VALUES (1, %s, %s)
        ON CONFLICT (only_row) DO UPDATE
        SET version = c.version + 1, format = EXCLUDED.format, document = EXCLUDED.document,
            applied_at = now()""",
    FURTHER: """
        WITH given (format, document) AS (VALUES (%s, %s::json))
        INSERT INTO ops.further_catalogs AS c (project, version, format, document)
        SELECT document->>'project', 1, format, document FROM given
        ON CONFLICT (project) DO UPDATE
        SET version = c.version + 1, format = EXCLUDED.format, document = EXCLUDED.document,
            applied_at = now()""",
}
"""By table: makes a document the catalog of its project."""

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


def change_to(connection: Connection, found: Catalog, locks: bool = False) -> Change:
    """The change that makes `found` the catalog of its project.

    Args:
        connection: to a database with catalog and contracts.
        found: its `known` contracts are those that its services have now.
        locks: hold the catalog's row until the transaction ends.
    """
    table, row = current(connection, found.project, locks)
    now = moment(connection)
    known = {one.key: one for one in known_contracts(connection, found.project)}
    after = known
    if row is not None:
        version, format_, document, applied_at, project, _ = row
        if project == found.project:
            former = of_catalog(version, format_, document, known)
            after = advanced(after.values(), former, applied_at)
    after = advanced(after.values(), found.known, now)
    after = retained(after, settings.streamflow().contract_retention_days, now)
    is_same = row is not None and row[1:3] == (found.format, found.document())
    return Change(table, is_same, known, after)


def current(
    connection: Connection, project: str, locks: bool = False
) -> tuple[str, tuple[Any, ...] | None]:
    """The table of a project's catalog, and the row of CURRENT that it has or is to replace.

    The row of ops.catalog is locked first, so that two projects do not both become the first.
    """
    query = CURRENT + (" FOR UPDATE" if locks else "")
    first = connection.execute(query.format(FIRST)).fetchone()
    if first is not None and first[4] == project:
        return FIRST, first
    row = None
    if connection.execute(HAS_FURTHER).fetchone() == (True,):
        own = query.format(f"{FURTHER} WHERE project = %s")
        row = connection.execute(own, [project]).fetchone()
    if row is None and (first is None or not first[5]):
        return FIRST, first
    return FURTHER, row


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


def served(connection: Connection, project: str = "") -> Catalog | None:
    """The catalog that the API of a project serves, with its known contracts; None for none.

    Those are as the next apply will find them, also where an earlier version applied last.

    Raises:
        CatalogTooNew: a later version of StreamFlow wrote it.
    """
    if project:
        row = current(connection, project)[1]
    else:
        row = connection.execute(CURRENT.format(FIRST)).fetchone()
    if row is None or project not in ("", row[4]):
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
