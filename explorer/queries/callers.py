"""Reads who asks for the contracts of a feature service, as the API notes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from explorer.database import Connection, row, rows


@dataclass(frozen=True)
class Requests:
    """The requests of one caller for one contract."""

    caller: str
    """The name of its API key; empty for none."""
    contract: str
    requests: int
    first_at: datetime
    last_at: datetime


def noted_since(connection: Connection) -> datetime | None:
    """When the database began to keep callers; None where it keeps none, or none for this role."""
    found = row(connection, SINCE, {})
    return found["since"] if found else None


SINCE = """
    SELECT applied_at AS since FROM ops.migrations
    WHERE number = 16
      AND coalesce(has_table_privilege(to_regclass('ops.callers'), 'SELECT'), false)"""
"""The time of the migration that made the table."""


def requests_for(connection: Connection, project: str, service: str) -> Sequence[Requests]:
    """The requests for a service by caller and contract, the last first."""
    found = rows(connection, REQUESTS, {"project": project, "service": service})
    return [Requests(**one) for one in found]


REQUESTS = """
    SELECT caller, contract, requests, first_at, last_at FROM ops.callers
    WHERE project = %(project)s AND service = %(service)s ORDER BY last_at DESC, caller, contract"""
"""The callers of a service."""
