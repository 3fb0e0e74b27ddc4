"""The catalog of the lake: the present version of each table, kept in PostgreSQL.

A table of Apache Iceberg is a folder of files that never change. Whoever knows the newest file of
metadata knows all of a version; which one that is stands in ops.iceberg_tables, so that a version
becomes the present one by one row that changes.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from pyiceberg.catalog import MetastoreCatalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from streamflow import settings
from streamflow.errors import ConfigurationError, StreamflowError, reason
from streamflow.lake.files import AnyFiles, warehouse
from streamflow.postgres import options
from streamflow.postgres.connect import translated
from streamflow.visible_text import without_secrets

NAME = "streamflow"
SCHEMA = "ops"


class PostgresCatalog(SqlCatalog):
    """Iceberg's SQL catalog in a transaction that is open."""

    def __init__(self, transaction: Connection, **properties: str) -> None:
        MetastoreCatalog.__init__(self, NAME, **properties)
        # A session on a connection joins its transaction, so that all tables change at once.
        self.engine = transaction  # type: ignore[assignment]
        self._init_catalog()


@contextmanager
def opened() -> Iterator[SqlCatalog]:
    """Yields the catalog in one transaction: all of its tables are read, and change, at once.

    Raises:
        ConfigurationError: there is no lake.
        StoreUnavailable, SchemaMissing, NotAllowed: as for any connection to PostgreSQL.
        StreamflowError: another run changed the table at the same time, or a file is away.
    """
    place = warehouse(url())
    engine = create_engine("postgresql+psycopg://", creator=connection, poolclass=NullPool)
    engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with explained(), engine.begin() as transaction:
        transaction.exec_driver_sql(f"SET LOCAL search_path = {SCHEMA}")
        # Iceberg's catalog would take a table that is missing for one to be made later.
        transaction.exec_driver_sql("SELECT FROM iceberg_tables LIMIT 0")
        yield PostgresCatalog(
            transaction,
            warehouse=place,
            **{"py-io-impl": f"{AnyFiles.__module__}.{AnyFiles.__name__}"},
            init_catalog_tables="false",  # `streamflow apply` makes them
        )


def connection() -> psycopg.Connection:
    """A connection to the database of the PG* variables."""
    return psycopg.connect(
        **options.address(settings.postgres()), **options.for_psycopg(options.CHECKED)
    )


def url() -> str:
    """The URL of the lake.

    Raises:
        ConfigurationError: there is none.
    """
    if found := settings.streamflow().lake_url:
        return found
    raise ConfigurationError(
        "there is no lake: set STREAMFLOW_LAKE_URL to the folder or URL of its files, e.g."
        " s3://bucket/lake"
    )


@contextmanager
def explained() -> Iterator[None]:
    """Turns the errors of catalog and file systems into ours."""
    with translated(settings.postgres()):
        try:
            yield
        except DBAPIError as error:
            raise error.orig or error from error
        except CommitFailedException as error:
            raise StreamflowError(f"the lake was written by another run: {error}") from error
        except (StreamflowError, psycopg.Error):
            raise
        except Exception as error:  # each kind of file system has errors of its own
            said = f"the lake at {url()} cannot be used: {reason(error)}"
            raise StreamflowError(without_secrets(said)) from None
