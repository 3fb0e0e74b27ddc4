"""Brings the tables of the months to what the feature repository declares, if it declares any."""

from collections.abc import Sequence

from psycopg import Connection

from streamflow import settings, snapshots
from streamflow.errors import SchemaMissing
from streamflow.feast.registry.open import open_store
from streamflow.postgres import snapshot_tables


def bring_tables(connection: Connection, read_before: Sequence[str]) -> None:
    """Makes the tables as they are declared.

    Args:
        read_before: the `applied_queries`, from before the transaction that may hold their locks.

    Raises:
        SourceMismatch: a column has another type in the database, of which values need not fit.
        ConfigurationError: the declaration does not load.
    """
    if declared := snapshots.declared(settings.streamflow().feature_repo):
        snapshot_tables.bring(connection, declared, read_before)


def table_changes(connection: Connection) -> dict[str, list[str]]:
    """The changes that `bring_tables` would make, by table; raises as that does."""
    declared = snapshots.declared(settings.streamflow().feature_repo)
    if declared is None:
        return {}
    return snapshot_tables.changes(connection, declared, applied_queries())


def applied_queries() -> list[str]:
    """The queries of the sources in the registry; none before the first `apply`."""
    try:
        with open_store() as store:
            sources = store.list_data_sources()
    except SchemaMissing:
        return []
    return [one.get_table_query_string() for one in sources if hasattr(one, "_postgres_options")]
