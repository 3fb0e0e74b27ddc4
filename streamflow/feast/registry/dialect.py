"""Feast's registry connects as everything else here does: `postgresql+streamflow` for SQLAlchemy.

Feast makes its engine of the URL in feature_store.yaml alone, so that the URL's driver is the one
place where a connection can be made by streamflow.postgres.options. What the URL names (host, user,
password, database, libpq's options) comes before the PG* variables; `search_path` says in which
schemas the registry's tables are.
"""

from collections.abc import Iterable
from typing import Any

from psycopg import sql
from sqlalchemy import URL
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from streamflow import settings
from streamflow.postgres import options as connection_options


class StreamflowDialect(PGDialect_psycopg):
    """SQLAlchemy's dialect for psycopg, to the database of the PG* variables."""

    supports_statement_cache = True
    begin: str = ""
    """The beginning of each transaction, since a pooler keeps nothing from one to the next."""

    def create_connect_args(self, url: URL) -> tuple[Any, dict[str, Any]]:
        """The arguments of psycopg.connect.

        Raises:
            ConfigurationError: a PG* variable is missing or wrong.
        """
        named = url.query.get("search_path", "")
        path = quoted(named.split(",") if isinstance(named, str) else named)
        session = [connection_options.CHECKED]
        if path:
            session.append(("search_path", path))
            self.begin = f"SET LOCAL search_path = {path}" if connection_options.is_pooled() else ""
        _, given = super().create_connect_args(  # type: ignore[no-untyped-call]
            url.difference_update_query(["search_path"])
        )
        return [], {
            **connection_options.address(settings.postgres()),
            **connection_options.for_psycopg(*session),
            **given,
        }

    def do_begin(self, dbapi_connection: Any) -> None:
        """Begins a transaction; the driver does by itself with the first statement."""
        if self.begin:
            dbapi_connection.execute(self.begin)

    def _get_default_schema_name(self, connection: Any) -> Any:
        self.do_begin(connection.connection.driver_connection)  # it is asked outside of any
        return super()._get_default_schema_name(connection)  # type: ignore[no-untyped-call]


def quoted(schemas: Iterable[str]) -> str:
    """A search path of these schemas, whatever their letters are."""
    names = [one.strip() for one in schemas if one.strip()]
    return sql.SQL(", ").join(map(sql.Identifier, names)).as_string()
