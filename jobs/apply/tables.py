"""Brings the tables of the months to what the feature repository declares, if it declares any."""

from psycopg import Connection

from streamflow import settings, snapshots
from streamflow.postgres import snapshot_tables


def bring_tables(connection: Connection) -> None:
    """Makes the tables as they are declared.

    Raises:
        SourceMismatch: a column has another type in the database, of which values need not fit.
        ConfigurationError: the declaration does not load.
    """
    if declared := snapshots.declared(settings.streamflow().feature_repo):
        snapshot_tables.bring(connection, declared)


def table_changes(connection: Connection) -> dict[str, list[str]]:
    """The changes that `bring_tables` would make, by table; raises as it does."""
    declared = snapshots.declared(settings.streamflow().feature_repo)
    return snapshot_tables.changes(connection, declared) if declared else {}
